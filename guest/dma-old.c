// SPDX-License-Identifier: GPL-2.0-only
/*
 * The old kernel's half of the tests with a device: own it, receive, put it
 * into a session, jump. What it does is the same whatever the new kernel's
 * half is about.
 */
#include <errno.h>
#include <string.h>

#include "dma.h"
#include "guest.h"
#include "kit.h"

static int old_send(void *p)
{
	struct dma *d = p;

	return dma_send(d, d->nic.tx_bufs, d->state->iova + RO_IOVA_OFF,
			TX_FRAMES_OLD);
}

static int refuse_changes(void *p)
{
	struct dma *d = p;
	struct dma_state *s = d->state;
	int rc;

	rc = iommufd_map_file(d->iommufd, s->ioas_id, d->memfd, 0, MIB,
			      s->iova + NEW_IOVA_OFF, true);
	if (rc != -EBUSY)
		return v_error(rc, "map, wanted EBUSY");
	rc = iommufd_unmap(d->iommufd, s->ioas_id, s->iova + RO_IOVA_OFF,
			   TX_BUF_LEN);
	if (rc != -EBUSY)
		return v_error(rc, "unmap, wanted EBUSY");
	rc = iommufd_destroy(d->iommufd, s->hwpt_id);
	if (rc != -EBUSY)
		return v_error(rc, "destroy the HWPT, wanted EBUSY");
	rc = vfio_detach(d->vfio);
	if (rc != -EBUSY)
		return v_error(rc, "detach the device, wanted EBUSY");
	return 0;
}

int dma_list_objects(void *p)
{
	struct dma *d = p;
	struct dma_state *s = d->state;
	uint32_t state;
	int n;

	n = iommufd_objects(d->iommufd, s->objects, MAX_OBJECTS, &state);
	if (n < 0)
		return v_error(n, "IOMMU_LIVEUPDATE_OBJECTS");
	if (n > MAX_OBJECTS || n < 3)
		return v_error(0, "an odd number of objects");
	s->nr_objects = n;
	v_info("objects_old", "%d state %u", n, state);
	return 0;
}

int dma_write_down(void *p)
{
	struct dma *d = p;

	frames_scan(&d->rx, &d->nic);
	d->state->frames = d->rx.count;
	d->state->rx_clean = d->nic.rx_clean;
	d->state->updates++;
	memcpy((char *)d->mem + OFF_COUNT, &d->rx, sizeof(d->rx));
	v_info("frames_before", "%llu", (unsigned long long)d->rx.count);
	v_info("tx_sent", "%llu", (unsigned long long)d->state->tx_seq);
	return d->rx.holes || d->rx.corrupt || d->rx.dups ? -EIO : 0;
}

static struct kit late;

/*
 * The last file of the session is an iommufd with a device that is not kept: its
 * freeze refuses, when all else is frozen.
 */
int dma_refuse_later(void *p)
{
	const char *bdf = opt_str("second", "0000:00:06.0");
	struct dma *d = p;
	int rc;

	rc = pci_bind_vfio(bdf);
	if (!rc)
		rc = kit_open(&late, bdf, KIT_ALL & ~KIT_SESSION);
	if (!rc)
		rc = luo_preserve(d->session, late.memfd, KIT_TOKEN);
	if (!rc)
		rc = luo_preserve(d->session, late.iommufd, KIT_TOKEN + 1);
	return rc ? v_error(rc, "a second iommufd") : 0;
}

void dma_refuse_no_more(void)
{
	kit_close(&late);
}

static const struct step old_kernel[] = {
	DMA_STEPS_READY,
	CHECK_WHEN("memory is of large folios", dma_memory_is_large,
		   dma_wants_large),
	STEP("frames arrive", dma_frames_arrive),
	STEP("frames are sent", old_send),
	STEP_WHEN("another device is set up", testdev_old, testdev_wanted),
	STEP_WHEN("what the card writes is tracked", dma_track, dma_tracks),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP_WHEN("the page table is marked", dma_mark, dma_keeps),
	STEP("the memfd is preserved", dma_preserve_memfd),
	STEP_WHEN("the iommufd is preserved", dma_preserve_iommufd, dma_keeps),
	STEP_WHEN("the VFIO device is preserved", dma_preserve_vfio, dma_keeps),
	CHECK_WHEN("changes are refused from here on", refuse_changes,
		   dma_keeps),
	CHECK_WHEN("the objects that are kept are listed", dma_list_objects,
		   dma_keeps),
	CHECK_WHEN("a crash kernel is loaded", dma_load_crash, dma_wants_crash),
	STEP("DMA goes on", dma_goes_on),
	SYNC("preserved"),
	STEP("frames are contiguous and written down", dma_write_down),
	SYNC("kexec"),
};

int dma_old_kernel(struct dma *d)
{
	int rc = v_run(old_kernel, ARRAY_SIZE(old_kernel), d);

	if (rc)
		return rc;
	v_error(kexec_jump(), "the jump");
	return VERDICT_FAIL;
}
