// SPDX-License-Identifier: GPL-2.0-only
/*
 * abandon: nobody in the new kernel wants the card. It must be stopped before
 * its page tables and its memory are freed, and be an ordinary card then.
 *
 * Options: retrieve= what is retrieved of v, m, i (m: the memory, so that it
 * can be watched; "none" for nothing); how= finish, or close: the holder of the
 * session closes it without having finished it, kill: it is killed, deadline:
 * it does nothing, for too long; driver=0 has a new kernel without vfio-pci.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "dma.h"
#include "guest.h"

static struct dma ctx;

static bool has_memory(void *p)
{
	(void)p;
	return strchr(opt_str("retrieve", "m"), 'm');
}

static int get_some(void *p)
{
	const char *what = opt_str("retrieve", "m");
	struct dma *d = p;
	int rc;

	if (!strcmp(what, "none"))
		return 0;
	for (; *what; what++) {
		rc = dma_get_file(d, *what);
		if (rc)
			return rc;
	}
	return 0;
}

static bool how(const char *what)
{
	return !strcmp(opt_str("how", "finish"), what);
}

/* What was retrieved but for the memory goes first. */
static void close_files(struct dma *d)
{
	if (d->vfio >= 0)
		close(d->vfio);
	if (d->iommufd >= 0)
		close(d->iommufd);
	d->vfio = d->iommufd = -1;
}

/* A child that has all the files as well is the last that has them. */
static int kill_holder(struct dma *d)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return v_error(-errno, "fork");
	if (!pid)
		for (;;)
			pause();
	close_files(d);
	dma_close_session(d);
	if (kill(pid, SIGKILL) || waitpid(pid, &status, 0) != pid)
		return v_error(-errno, "kill the holder");
	return WIFSIGNALED(status) ? 0 : v_error(0, "it ended by itself");
}

/* Nobody does anything, while it still is a bus master. */
static int wait_for_deadline(struct dma *d)
{
	uint64_t end = now_ms() + 20000;
	int cmd;

	do {
		sleep_ms(50);
		cmd = pci_config_read16(d->bdf, 4);
	} while (cmd & 4 && now_ms() < end);
	/* Bus mastering goes first; what follows has a second. */
	sleep_ms(1000);
	return 0;
}

static int let_go(void *p)
{
	struct dma *d = p;
	int rc;

	if (how("deadline"))
		return wait_for_deadline(d);
	if (how("kill"))
		return kill_holder(d);
	close_files(d);
	if (how("finish")) {
		rc = luo_finish(d->session);
		if (rc)
			return v_error(rc, "LIVEUPDATE_SESSION_FINISH");
	}
	return dma_close_session(d);
}

static bool has_driver(void *p)
{
	(void)p;
	return opt_u64("driver", 1);
}

static bool lacks_driver(void *p)
{
	return !has_driver(p);
}

static int has_no_driver(void *p)
{
	struct dma *d = p;
	int rc = luo_get(d->session, dma_token_vfio());

	v_info("errno", "%d", rc < 0 ? -rc : 0);
	return rc < 0 ? 0 : v_error(0, "the device was retrieved");
}

int test_abandon(unsigned int stage)
{
	static const struct step after[] = {
		CHECK_WHEN("vfio-pci has bound itself to the card",
			   dma_bound_by_itself, has_driver),
		CHECK_WHEN("the card has no driver", dma_not_bound_yet,
			   lacks_driver),
		CHECK("the card is a bus master", dma_still_mastering),
		SYNC("booted"),
		STEP("the session is retrieved", dma_get_session),
		STEP("some files are retrieved", get_some),
		CHECK_WHEN("the device cannot be retrieved", has_no_driver,
			   lacks_driver),
		STEP_WHEN("memory is intact", dma_memory_is_intact, has_memory),
		SYNC("retrieved"),
		CHECK_WHEN("frames are contiguous", dma_frames_are_whole,
			   has_memory),
		CHECK_WHEN("frames arrived during the kexec",
			   dma_frames_crossed, has_memory),
		STEP("the rest is let go", let_go),
		CHECK("the card is stopped", dma_is_stopped),
		CHECK_WHEN("nothing lands in memory any more",
			   dma_memory_is_quiet, has_memory),
		SYNC("abandoned"),
		STEP("the memory is closed", dma_forget),
		STEP_WHEN("the card is bound to vfio-pci", dma_bind_driver,
			  has_driver),
		STEP_WHEN("memory is made", dma_make_memory, has_driver),
		STEP_WHEN("the card is attached to its page table", dma_attach,
			  has_driver),
		STEP_WHEN("the receive ring is up", dma_ring_up, has_driver),
		SYNC_WHEN("ready", has_driver),
		CHECK_WHEN("frames arrive", dma_frames_arrive, has_driver),
		CHECK_WHEN("filled descriptors are as many as the card says",
			   dma_ring_is_consistent, has_driver),
		STEP_WHEN("everything is closed", dma_close_all, has_driver),
		SYNC("closed"),
		CHECK("the card is reset", dma_device_is_reset),
		CHECK_WHEN("nothing is leaked", dma_no_leak, dma_has_kmemleak),
	};

	dma_init(&ctx);
	if (stage == 1)
		return dma_old_kernel(&ctx);
	return v_run(after, ARRAY_SIZE(after), &ctx);
}
