// SPDX-License-Identifier: GPL-2.0-only
/*
 * back-out: a live update that does not take place, in every way a user or the
 * kernel can call it off before the jump. The device receives frames all the
 * time and loses none; what was refused works again; nothing is left.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "back.h"
#include "guest.h"
#include "kit.h"

#define WARM_CYCLES	10
#define MORE_PAGES	64	/* of the whole machine, after all cycles */

static struct dma ctx;

/* The ring is long, but not as long as this test: hand back what was read. */
static int goes_on(void *p)
{
	struct dma *d = p;
	int rc = dma_goes_on(d);

	e1000e_replenish(&d->nic, d->rx.next);
	return rc;
}

/* What is refused while preserved and a running device does not notice. */
static int mutable(void *p)
{
	struct dma *d = p;
	struct dma_state *s = d->state;
	uint64_t iova = s->iova + NEW_IOVA_OFF;
	uint32_t hwpt;
	int bad = 0;

	bad |= want(iommufd_map_file(d->iommufd, s->ioas_id, d->memfd, 0, MIB,
				     iova, true), 0, "map");
	bad |= want(iommufd_unmap(d->iommufd, s->ioas_id, iova, MIB), 0,
		    "unmap");
	bad |= want(iommufd_hwpt_alloc(d->iommufd, s->dev_id, s->ioas_id,
				       &hwpt), 0, "a new HWPT");
	bad |= want(iommufd_destroy(d->iommufd, hwpt), 0, "destroy it");
	bad |= want(iommufd_mark(d->iommufd, s->hwpt_id, 5,
				 IOMMU_HWPT_LIVEUPDATE_UNMARK), 0, "unmark");
	bad |= want(dma_mark(d), 0, "mark");
	return bad | goes_on(d);
}

/* And what it would notice; after this there are no more frames. */
static int attachments(void *p)
{
	struct dma *d = p;
	struct dma_state *s = d->state;
	uint32_t hwpt;
	int bad = 0;

	bad |= want(vfio_config_write16(d->vfio, 4, 2), 0, "bus mastering off");
	bad |= want(vfio_reset(d->vfio), 0, "VFIO_DEVICE_RESET");
	bad |= want(iommufd_hwpt_alloc(d->iommufd, s->dev_id, s->ioas_id,
				       &hwpt), 0, "a new HWPT");
	bad |= want(vfio_attach(d->vfio, hwpt), 0, "replace");
	bad |= want(vfio_detach(d->vfio), 0, "detach");
	bad |= want(vfio_attach(d->vfio, s->hwpt_id), 0, "attach");
	return bad;
}

static int closed_before(void *p)
{
	struct dma *d = p;

	dma_close_session(d);
	return mutable(d);
}

static int again(void *p)
{
	int rc = dma_preserve_all(p);

	return rc ? rc : goes_on(p);
}

static int bad_image(void *p)
{
	int bad = 0;

	bad |= want(kexec_load_file("/proc/version", NULL), -EINVAL,
		    "load an empty image");
	bad |= want(kexec_load_file("/init", NEXT_INITRD), -ENOEXEC,
		    "load what is no kernel");
	bad |= want(kexec_loaded(), 1, "the next kernel is loaded");
	return bad | goes_on(p);
}

/* The called-off jumps are over; close what called them off. */
static int called_off_then(void *p)
{
	struct dma *d = p;

	dma_close_session(d);
	dma_refuse_no_more();
	return mutable(d);
}

static int cycles(struct dma *d, unsigned int n)
{
	int rc = 0;

	while (!rc && n--) {
		rc = dma_preserve_all(d);
		dma_close_session(d);
		frames_scan(&d->rx, &d->nic);
		e1000e_replenish(&d->nic, d->rx.next);
	}
	return rc;
}

struct counters {
	long iommu, slab, free;
};

static struct counters look(void)
{
	sleep_ms(500);	/* what waits for RCU is freed */
	return (struct counters){
		.iommu = vmstat("nr_iommu_pages"),
		.slab = vmstat("nr_slab_unreclaimable") +
			vmstat("nr_slab_reclaimable"),
		.free = free_pages(),
	};
}

static int many_cycles(void *p)
{
	unsigned int n = opt_u64("cycles", 100);
	struct counters before, after;
	struct dma *d = p;
	int rc, bad = 0;

	rc = cycles(d, WARM_CYCLES);
	before = look();
	if (!rc)
		rc = cycles(d, n);
	after = look();
	v_info("cycles", "%u: iommu %+ld slab %+ld free %+ld pages", n,
	       after.iommu - before.iommu, after.slab - before.slab,
	       after.free - before.free);
	bad |= want(after.iommu - before.iommu, 0, "pages of page tables");
	bad |= want(after.slab - before.slab > MORE_PAGES, 0, "slabs grow");
	bad |= want(before.free - after.free > MORE_PAGES, 0,
		    "free memory shrinks");
	return rc ? rc : bad | goes_on(d);
}

int back_contiguous(void *p)
{
	struct dma *d = p;

	frames_scan(&d->rx, &d->nic);
	frames_report(&d->rx);
	return d->rx.holes || d->rx.dups || d->rx.corrupt ? -EIO : 0;
}

static const struct step back_out[] = {
	STEP("the card is bound to vfio-pci", dma_bind_driver),
	STEP("counters are read", back_baseline),
	STEP("memory is made", dma_make_memory),
	STEP("the card is attached to its page table", dma_attach),
	STEP("the receive ring is up", dma_ring_up),
	SYNC("ready"),
	STEP("frames arrive", dma_frames_arrive),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("the page table is marked", dma_mark),
	STEP("everything is preserved", dma_preserve_all),
	SYNC("preserved"),
	CHECK("a file that is no kernel is not loaded", bad_image),
	CHECK("the session is closed: everything works again", closed_before),
	CHECK("preserved a second time, DMA goes on", again),
	STEP("a file that is frozen later will refuse", dma_refuse_later),
	CHECK("called off: an MSI meanwhile is not lost", back_irq_msi),
	CHECK("called off: an MSI-X meanwhile is not lost", back_irq_msix),
	CHECK("called off: an INTx meanwhile is not lost", back_irq_intx),
	CHECK("called off, closed: everything works again", called_off_then),
	CHECK("signals while it is preserved", back_signal),
	CHECK("another process maps meanwhile: before, or refused",
	      back_map_race),
	CHECK("preserved and called off many times, nothing grows",
	      many_cycles),
	CHECK("frames are contiguous", back_contiguous),
	SYNC("closing"),
	CHECK("resets and attachments work again", attachments),
	STEP("everything is closed", dma_close_all),
	CHECK("killed with a session", back_killed_session),
	CHECK("killed after the memfd", back_killed_memfd),
	CHECK("killed after the iommufd", back_killed_iommufd),
	CHECK("killed after the device", back_killed_vfio),
	CHECK("killed with nothing but the session", back_killed_closed),
	CHECK("killed at any moment", back_killed_loose),
	SYNC("closed"),
};

int test_back_out(unsigned int stage)
{
	(void)stage;
	dma_init(&ctx);
	return v_run(back_out, ARRAY_SIZE(back_out), &ctx);
}
