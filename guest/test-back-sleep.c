// SPDX-License-Identifier: GPL-2.0-only
/*
 * back-sleep: what would take the machine, a part of its memory or the way to a
 * device away, while the device is kept: suspend, hibernation, kexec with
 * KEXEC_PRESERVE_CONTEXT, memory that goes offline, a host bridge that is
 * ejected. All of it is refused, says so, and DMA goes on; all of it is allowed
 * when the session was closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/kexec.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "back.h"
#include "guest.h"
#include "kit.h"

#define BLOCKS		"/sys/devices/system/memory"
#define HOST_BRIDGE	"/sys/bus/acpi/devices/PNP0A08:00"
#define SLEEP_REASON	"sleep with 1 devices preserved"

#define MORE_LEN	(144 * MIB)

static struct dma ctx;
static void *more;
static int more_fd = -1;

/* One call, what it says in the log, and DMA after it. */
static int ends(int rc, int wanted, const char *what, const char *object,
		const char *reason)
{
	int bad = want(rc, wanted, what);

	if (reason)
		bad |= kmsg_refusal(object, reason);
	else
		bad |= want(kmsg_count("live update: refused"), 0, what);
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
	bad = ends(write_file("/sys/power/state", text), -EBUSY, text, "power",
		   SLEEP_REASON);
	close(timer);
	return bad;
}

static int no_sleep(void *p)
{
	int bad = 0, fd;

	(void)p;
	bad |= no_state("freeze");
	bad |= no_state("mem");
	bad |= no_state("disk");
	kmsg_skip();
	fd = snapshot_open();
	bad |= ends(fd, -EBUSY, "/dev/snapshot", "power", SLEEP_REASON);
	if (fd >= 0)
		close(fd);
	return bad;
}

/*
 * Suspend goes as far as all programs standing still: an alarm that is due within
 * two seconds calls it off when it comes to devices.
 */
static int suspend_once(void)
{
	int timer = alarm_soon(), bad;

	if (timer < 0)
		return v_error(timer, "an alarm");
	kmsg_skip();
	bad = want(write_file("/sys/power/state", "freeze"), -EBUSY, "freeze");
	bad |= want(kmsg_count("Freezing user space processes completed"), 1,
		    "programs stand still");
	close(timer);
	return bad;
}

static int sleep_again(void *p)
{
	return machine_may_sleep(p) | suspend_once();
}

static int load_context(int wanted, const char *reason)
{
	kmsg_skip();
	return ends(kexec_load_old(KEXEC_PRESERVE_CONTEXT), wanted,
		    "KEXEC_PRESERVE_CONTEXT", "kexec", reason);
}

static int no_context(void *p)
{
	(void)p;
	return load_context(-EOPNOTSUPP, "preserve_context with kept devices") |
	       want(kexec_loaded(), 1, "the next kernel is loaded");
}

static int context_again(void *p)
{
	(void)p;
	return load_context(0, NULL);
}

/* What would be refused anyway, and nothing is kept by it. */
static int preserve(struct dma *d, int wanted, const char *object,
		    const char *reason)
{
	int bad = dma_preserve_memfd(d) | dma_preserve_iommufd(d);

	kmsg_skip();
	return bad | ends(luo_preserve(d->session, d->vfio, dma_token_vfio()),
			  wanted, "preserve the device", object, reason);
}

/* With such an image loaded, and while the machine is about to sleep. */
static int too_late(void *p)
{
	struct dma *d = p;
	int bad, fd;

	bad = want(kexec_load_old(KEXEC_PRESERVE_CONTEXT), 0, "kexec_load");
	bad |= preserve(d, -EOPNOTSUPP, "kexec",
			"preserve_context with kept devices");
	bad |= dma_close_session(d);
	bad |= want(kexec_unload(), 0, "unload it");

	/* A suspend that ends does not end the hibernation that is under way */
	fd = snapshot_open();
	bad |= want(fd < 0 ? fd : 0, 0, "/dev/snapshot");
	bad |= suspend_once();
	bad |= preserve(d, -EBUSY, "kexec", "the machine is about to sleep");
	if (fd >= 0)
		close(fd);
	return bad | dma_close_session(d);
}

static int block_write(unsigned long block, const char *text)
{
	char path[96];

	snprintf(path, sizeof(path), BLOCKS "/memory%lu/state", block);
	return write_file(path, text);
}

/*
 * Kept as well: more than a block of it, because the first block has two zones
 * and stays online whatever is in it.
 */
static int preserve_more(void *p)
{
	struct dma *d = p;
	int rc;

	more_fd = make_memfd("more", MORE_LEN, &more);
	if (more_fd < 0)
		return more_fd;
	rc = luo_preserve(d->session, more_fd, KIT_TOKEN);
	return rc ? v_error(rc, "preserve a memfd") : 0;
}

/* A block, not the first, that a part of it is in. */
static long kept_block(void)
{
	char text[32];
	uint64_t size, at;
	int64_t block;

	if (read_file(BLOCKS "/block_size_bytes", text, sizeof(text)) < 0)
		return -1;
	size = strtoull(text, NULL, 16);
	for (at = 0; at < MORE_LEN; at += MIB) {
		block = physical_address((char *)more + at) / (int64_t)size;
		if (block > 0)
			return block;
	}
	return -1;
}

/* What only has pages that can move; some have the memory for the next jump. */
static bool is_movable(long block)
{
	char path[96], text[64];

	snprintf(path, sizeof(path), BLOCKS "/memory%ld/valid_zones", block);
	return read_file(path, text, sizeof(text)) > 0 &&
	       !strncmp(text, "Movable", 7);
}

static int others_go(void)
{
	int rc = -ENOENT;
	long block;

	for (block = 0; rc && block < 64; block++) {
		if (!is_movable(block))
			continue;
		rc = block_write(block, "offline");
		v_info("movable", "%ld %d", block, rc);
		if (!rc)
			rc = block_write(block, "online_movable");
	}
	return rc;
}

static int no_offline(void *p)
{
	long kept = kept_block();
	int bad = 0;

	(void)p;
	v_info("block", "%ld", kept);
	kmsg_skip();
	bad |= ends(block_write(kept, "offline"), -EBUSY, "kept memory",
		    "KHO", "is preserved, stays online");
	kmsg_skip();
	return bad | ends(others_go(), 0, "other memory", NULL, NULL);
}

/* It may be in use otherwise, but it is not refused for being kept. */
static int offline_again(void *p)
{
	long kept = kept_block();
	int rc;

	(void)p;
	munmap(more, MORE_LEN);
	close(more_fd);
	kmsg_skip();
	rc = block_write(kept, "offline");
	v_info("offline_again", "%d", rc);
	if (!rc)
		rc = block_write(kept, "online");
	return ends(rc, rc == -EBUSY ? -EBUSY : 0, "kept memory", NULL, NULL);
}

static int no_eject(void *p)
{
	uint64_t end = now_ms() + 5000;
	struct dma *d = p;
	int rc, bad = 0;

	kmsg_skip();
	rc = write_file(HOST_BRIDGE "/eject", "1");
	if (rc)
		return v_error(rc, HOST_BRIDGE "/eject");
	/* That is done by somebody else, later */
	while (!kmsg_count("live update: refused: ACPI event of PNP0A08:00")) {
		if (now_ms() > end)
			return v_error(0, "nobody refused");
		sleep_ms(100);
	}
	bad |= want(access("/sys/bus/pci/devices/0000:00:00.0/vendor", F_OK), 0,
		    "the host bridge is there");
	return bad | dma_goes_on(d);
}

static const struct step back_sleep[] = {
	DMA_STEPS_READY,
	STEP("frames arrive", dma_frames_arrive),
	STEP("the page table is marked", dma_mark),
	CHECK("a preserve that comes too late is refused", too_late),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("everything is preserved", dma_preserve_all),
	STEP("more memory is preserved", preserve_more),
	SYNC("preserved"),
	CHECK("suspend and hibernation are refused", no_sleep),
	CHECK("kexec with KEXEC_PRESERVE_CONTEXT is refused", no_context),
	CHECK("memory that is kept does not go offline, other memory does",
	      no_offline),
	CHECK("the host bridge is not ejected", no_eject),
	STEP("the session is closed", dma_close_session),
	CHECK("then memory may go offline", offline_again),
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
