// SPDX-License-Identifier: GPL-2.0-only
/*
 * chain: update after update, under traffic that never stops. Each kernel but the
 * last takes everything over, finishes the session, and hands all of it on again:
 * the same files, the same objects. The last one's half is that of "dma".
 *
 * What was counted is handed on in the memfd. Option kernels= says how many there
 * are.
 */
#include <errno.h>
#include <unistd.h>

#include "dma.h"
#include "guest.h"
#include "kit.h"

static struct dma ctx;

/* Preserve again, while the session that brought it is not finished. */
static int refused_before_finish(void *p)
{
	struct dma *d = p;
	int session = luo_create(d->luo, "too-early"), bad;

	if (session < 0)
		return v_error(session, "create a session");
	kmsg_skip();
	bad = want(luo_preserve(session, d->memfd, 1), -EBUSY, "the memfd");
	bad |= kmsg_refusal("luo", "came with an unfinished one");
	bad |= want(luo_preserve(session, d->iommufd, 2), -EBUSY,
		    "the iommufd");
	bad |= want(luo_preserve(session, d->vfio, 3), -EBUSY, "the device");
	close(session);
	return bad;
}

/*
 * An update leaves nothing behind: from the second one on a kernel has as many of
 * the IOMMU's pages as the last kernel of its kind.
 */
static int pages_are_as_before(void *p)
{
	struct dma *d = p;
	int64_t *before = &d->state->pages[d->state->updates % 2];
	long now = vmstat("nr_iommu_pages");

	v_info("iommu_pages", "%ld", now);
	sleep_ms(500);	/* what waits for RCU is freed */
	v_info("free_pages", "%ld", free_pages());
	if (!*before)
		*before = now;
	return want(now, *before, "nr_iommu_pages");
}

static const struct step middle[] = {
	CHECK("vfio-pci has bound itself to the card", dma_bound_by_itself),
	CHECK("the card is a bus master", dma_still_mastering),
	DMA_STEPS_BACK,
	CHECK("frames are contiguous", dma_frames_are_whole),
	CHECK("frames arrived during the kexec", dma_frames_crossed),
	CHECK("more frames arrive in new descriptors", dma_replenish),
	CHECK("nothing is preserved before it is finished",
	      refused_before_finish),
	STEP("the session is finished", dma_finish),
	STEP("it is closed", dma_close_session),
	CHECK("DMA goes on after that", dma_goes_on),
	CHECK("no page was left behind", pages_are_as_before),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("all is preserved again", dma_preserve_all),
	CHECK("the objects that are kept are listed", dma_list_objects),
	STEP("DMA goes on", dma_goes_on),
	SYNC("preserved"),
	STEP("frames are contiguous and written down", dma_write_down),
	SYNC("kexec"),
};

int test_chain(unsigned int stage)
{
	if (stage == opt_u64("kernels", 2))
		return test_dma(stage);
	dma_init(&ctx);
	if (stage == 1)
		return dma_old_kernel(&ctx);
	return kexec_after(middle, ARRAY_SIZE(middle), &ctx);
}
