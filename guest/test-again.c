// SPDX-License-Identifier: GPL-2.0-only
/*
 * again: the kernel that took a card over is replaced once more, and this time
 * nothing is preserved. Whether somebody had retrieved the card or nobody had,
 * it is stopped before its memory is anybody's, and an ordinary card in the
 * third kernel.
 *
 * Option take=1: the second kernel retrieves everything and finishes.
 */
#include <errno.h>
#include <unistd.h>

#include "dma.h"
#include "guest.h"

static struct dma ctx;

static bool takes(void *p)
{
	(void)p;
	return opt_u64("take", 0);
}

static int frames_go_on(void *p)
{
	return dma_wait_frames(p, opt_u64("more", 100));
}

static int no_session(void *p)
{
	int luo = luo_open(), rc;

	(void)p;
	if (luo < 0)
		return v_error(luo, "open /dev/liveupdate");
	rc = luo_retrieve(luo, SESSION_NAME);
	if (rc >= 0)
		close(rc);
	close(luo);
	return rc == -ENOENT ? 0 : v_error(rc, "wanted ENOENT");
}

static int second_kernel(struct dma *d)
{
	static const struct step steps[] = {
		CHECK("vfio-pci has bound itself to the card",
		      dma_bound_by_itself),
		CHECK("the card is a bus master", dma_still_mastering),
		SYNC("booted"),
		STEP_WHEN("the session is retrieved", dma_get_session, takes),
		STEP_WHEN("the files are retrieved", dma_get_files, takes),
		STEP_WHEN("memory is intact", dma_memory_is_intact, takes),
		CHECK_WHEN("frames are contiguous", dma_frames_are_whole,
			   takes),
		STEP_WHEN("the session is finished", dma_finish, takes),
		CHECK_WHEN("frames arrive after that", frames_go_on, takes),
		STEP("the next kernel is loaded", kexec_load_next),
		SYNC("kexec"),
	};

	return kexec_after(steps, ARRAY_SIZE(steps), d);
}

int test_again(unsigned int stage)
{
	static const struct step last[] = {
		CHECK("the card has its ordinary driver", dma_is_ordinary),
		CHECK("there is no session", no_session),
		SYNC("booted"),
		DMA_STEPS_READY,
		CHECK("frames arrive", dma_frames_arrive),
		CHECK("filled descriptors are as many as the card says",
		      dma_ring_is_consistent),
		STEP("everything is closed", dma_close_all),
		SYNC("closed"),
	};

	dma_init(&ctx);
	if (stage == 1)
		return dma_old_kernel(&ctx);
	if (stage == 2)
		return second_kernel(&ctx);
	return v_run(last, ARRAY_SIZE(last), &ctx);
}
