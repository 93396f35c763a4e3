// SPDX-License-Identifier: GPL-2.0-only
/*
 * abandon: nobody in the new kernel wants the card. It must be stopped before
 * its page tables and its memory are freed, and be an ordinary card then.
 *
 * Options: retrieve= what is retrieved of v, m, i (m: the memory, so that it
 * can be watched; "none" for nothing); how= finish, or close: the holder of the
 * session dies without having finished it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

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

static int let_go(void *p)
{
	struct dma *d = p;
	int rc;

	/* What was retrieved but for the memory goes first. */
	if (d->vfio >= 0)
		close(d->vfio);
	if (d->iommufd >= 0)
		close(d->iommufd);
	d->vfio = d->iommufd = -1;
	if (strcmp(opt_str("how", "finish"), "close")) {
		rc = luo_finish(d->session);
		if (rc)
			return v_error(rc, "LIVEUPDATE_SESSION_FINISH");
	}
	return dma_close_session(d);
}

static int is_stopped(void *p)
{
	struct dma *d = p;
	int cmd = pci_config_read16(d->bdf, 4);

	v_info("command_abandoned", "%#x", cmd);
	return cmd >= 0 && !(cmd & 4) ? 0 : v_error(0, "it is a bus master");
}

/* Frames are still being sent; none may land in the memory any more. */
static int memory_is_quiet(void *p)
{
	struct dma *d = p;

	frames_scan(&d->rx, &d->nic);
	frames_report(&d->rx);
	sleep_ms(1000);
	if (frames_scan(&d->rx, &d->nic))
		return v_error(0, "a frame landed");
	if (pattern_check((uint8_t *)d->mem + OFF_PATTERN, PATTERN_LEN,
			  d->state->seed))
		return v_error(0, "the pattern is damaged");
	return 0;
}

/* The kept table's pages are gone from the count by now. */
static int forget(void *p)
{
	struct dma *d = p;

	dma_close_all(d);
	frames_init(&d->rx);
	return 0;
}

int test_abandon(unsigned int stage)
{
	static const struct step after[] = {
		CHECK("vfio-pci has bound itself to the card",
		      dma_bound_by_itself),
		CHECK("the card is a bus master", dma_still_mastering),
		SYNC("booted"),
		STEP("the session is retrieved", dma_get_session),
		STEP("some files are retrieved", get_some),
		STEP_WHEN("memory is intact", dma_memory_is_intact, has_memory),
		SYNC("retrieved"),
		CHECK_WHEN("frames are contiguous", dma_frames_are_whole,
			   has_memory),
		CHECK_WHEN("frames arrived during the kexec",
			   dma_frames_crossed, has_memory),
		STEP("the rest is let go", let_go),
		CHECK("the card is stopped", is_stopped),
		CHECK_WHEN("nothing lands in memory any more", memory_is_quiet,
			   has_memory),
		SYNC("abandoned"),
		STEP("the memory is closed", forget),
		STEP("the card is bound to vfio-pci", dma_bind_driver),
		STEP("memory is made", dma_make_memory),
		STEP("the card is attached to its page table", dma_attach),
		STEP("the receive ring is up", dma_ring_up),
		SYNC("ready"),
		CHECK("frames arrive", dma_frames_arrive),
		CHECK("filled descriptors are as many as the card says",
		      dma_ring_is_consistent),
		STEP("everything is closed", dma_close_all),
		SYNC("closed"),
		CHECK("the card is reset", dma_device_is_reset),
		CHECK_WHEN("nothing is leaked", dma_no_leak, dma_has_kmemleak),
	};

	dma_init(&ctx);
	if (stage == 1)
		return dma_old_kernel(&ctx);
	return v_run(after, ARRAY_SIZE(after), &ctx);
}
