// SPDX-License-Identifier: GPL-2.0-only
/*
 * back-sleep: what would stop the machine and come back to it, while a device is
 * kept: suspend, hibernation, kexec with KEXEC_PRESERVE_CONTEXT. All of it is
 * refused, says so, and DMA goes on; all of it is allowed when the session was
 * closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <linux/kexec.h>
#include <sys/timerfd.h>

#include "back.h"
#include "guest.h"
#include "kit.h"

#define NO_SLEEP	"devices cannot be kept by suspend or hibernation"
#define NO_CONTEXT	"refused: not loaded by kexec_file_load()"

static struct dma ctx;

/* One call, what it says in the log, once, and DMA after it. */
static int ends(int rc, int wanted, const char *what, const char *reason)
{
	int bad = want(rc, wanted, what);

	bad |= want(kmsg_count(reason ? reason : "refused: "), !!reason, what);
	return bad | dma_goes_on(&ctx);
}

/* The machine must come back when it is not refused to sleep. */
static int alarm_soon(void)
{
	const struct itimerspec soon = { { 0, 0 }, { 1, 800000000 } };
	int fd = timerfd_create(CLOCK_BOOTTIME_ALARM, TFD_CLOEXEC);

	if (fd < 0 || timerfd_settime(fd, 0, &soon, NULL))
		return -errno;
	return fd;
}

static int no_state(const char *text)
{
	int timer = alarm_soon(), bad;

	if (timer < 0)
		return v_error(timer, "an alarm");
	kmsg_skip();
	bad = ends(write_file("/sys/power/state", text), -EBUSY, text,
		   NO_SLEEP);
	close(timer);
	return bad;
}

/* How a program hibernates by itself: it is under way while this is open. */
static int snapshot(void)
{
	int fd = open("/dev/snapshot", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int no_sleep(void *p)
{
	int bad = 0, fd;

	(void)p;
	bad |= no_state("freeze");
	bad |= no_state("mem");
	bad |= no_state("disk");
	kmsg_skip();
	fd = snapshot();
	bad |= ends(fd, -EBUSY, "/dev/snapshot", NO_SLEEP);
	if (fd >= 0)
		close(fd);
	return bad;
}

/*
 * Suspend goes as far as all programs standing still: an alarm that is due within
 * two seconds calls it off when it comes to devices.
 */
static int sleep_again(void *p)
{
	int fd = snapshot(), timer = alarm_soon(), bad;

	(void)p;
	bad = want(fd < 0 ? fd : 0, 0, "/dev/snapshot");
	if (fd >= 0)
		close(fd);
	if (timer < 0)
		return v_error(timer, "an alarm");
	kmsg_skip();
	bad |= want(write_file("/sys/power/state", "freeze"), -EBUSY, "freeze");
	bad |= want(kmsg_count("Freezing user space processes completed"), 1,
		    "programs stand still");
	close(timer);
	return bad;
}

static int load_context(int wanted, const char *reason)
{
	kmsg_skip();
	return ends(kexec_load_old(KEXEC_PRESERVE_CONTEXT), wanted,
		    "KEXEC_PRESERVE_CONTEXT", reason);
}

static int no_context(void *p)
{
	(void)p;
	return load_context(-EOPNOTSUPP, NO_CONTEXT) |
	       want(kexec_loaded(), 1, "the next kernel is loaded");
}

static int context_again(void *p)
{
	(void)p;
	return load_context(0, NULL);
}

/* What would be refused anyway, and nothing is kept by it. */
static int preserve(struct dma *d, int wanted, const char *reason)
{
	int bad = dma_preserve_memfd(d) | dma_preserve_iommufd(d);

	kmsg_skip();
	return bad | ends(luo_preserve(d->session, d->vfio, dma_token_vfio()),
			  wanted, "preserve the device", reason);
}

/* With such an image loaded, and while the machine is about to sleep. */
static int too_late(void *p)
{
	struct dma *d = p;
	int bad, fd;

	bad = want(kexec_load_old(KEXEC_PRESERVE_CONTEXT), 0, "kexec_load");
	bad |= preserve(d, -EOPNOTSUPP, NO_CONTEXT);
	bad |= dma_close_session(d);
	bad |= want(kexec_unload(), 0, "unload it");

	fd = snapshot();
	bad |= want(fd < 0 ? fd : 0, 0, "/dev/snapshot");
	bad |= preserve(d, -EBUSY, "refused: the machine is about to sleep");
	if (fd >= 0)
		close(fd);
	return bad | dma_close_session(d);
}

static const struct step back_sleep[] = {
	STEP("the card is bound to vfio-pci", dma_bind_driver),
	STEP("memory is made", dma_make_memory),
	STEP("the card is attached to its page table", dma_attach),
	STEP("the receive ring is up", dma_ring_up),
	SYNC("ready"),
	STEP("frames arrive", dma_frames_arrive),
	STEP("the page table is marked", dma_mark),
	CHECK("a preserve that comes too late is refused", too_late),
	STEP("the next kernel is loaded", dma_load_next),
	STEP("everything is preserved", dma_preserve_all),
	SYNC("preserved"),
	CHECK("suspend and hibernation are refused", no_sleep),
	CHECK("kexec with KEXEC_PRESERVE_CONTEXT is refused", no_context),
	STEP("the session is closed", dma_close_session),
	CHECK("then KEXEC_PRESERVE_CONTEXT is allowed", context_again),
	CHECK("frames are contiguous", back_contiguous),
	SYNC("closing"),
	STEP("everything is closed", dma_close_all),
	SYNC("closed"),
	CHECK("then the machine may sleep", sleep_again),
};

int test_back_sleep(unsigned int stage)
{
	(void)stage;
	dma_init(&ctx);
	return v_run(back_sleep, ARRAY_SIZE(back_sleep), &ctx);
}
