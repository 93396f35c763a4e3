// SPDX-License-Identifier: GPL-2.0-only
/*
 * join: a function appears beside a card that is preserved, which would share
 * its IOMMU group. It must not: it would be attached to the page table that is
 * kept. No kexec.
 *
 * A rescan is refused while a card is preserved, and so is to preserve one
 * beside which a function was removed; this test wants a kernel that has both
 * measures switched off. Option beside= is the address of the other function.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "dma.h"
#include "guest.h"
#include "kit.h"

static struct dma ctx;

static const char *beside(void)
{
	return opt_str("beside", "0000:01:00.1");
}

static bool has_group(void)
{
	char path[320];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group",
		 beside());
	return !access(path, F_OK);
}

static int rescan(void)
{
	int rc = write_file("/sys/bus/pci/rescan", "1");

	if (rc)
		return v_error(rc, "rescan");
	return pci_id(beside(), "vendor") ? 0 : v_error(0, "it did not appear");
}

static int hide(void *p)
{
	int rc = pci_set(beside(), "remove", "1");

	(void)p;
	return rc ? v_error(rc, "removing the other function") : 0;
}

static int stays_outside(void *p)
{
	int rc;

	(void)p;
	kmsg_skip();
	rc = rescan();
	if (rc)
		return rc;
	rc = kmsg_refusal(beside(), "it would share the group of");
	return has_group() ? v_error(0, "it has joined the group") : rc;
}

static int joins(void *p)
{
	int rc = hide(p);

	if (!rc)
		rc = rescan();
	if (rc)
		return rc;
	return has_group() ? 0 : v_error(0, "it has no group");
}

int test_join(unsigned int stage)
{
	static const struct step steps[] = {
		STEP("the card is bound to vfio-pci", dma_bind_driver),
		STEP("the function beside it is removed", hide),
		STEP("memory is made", dma_make_memory),
		STEP("the card is attached to its page table", dma_attach),
		STEP("the receive ring is up", dma_ring_up),
		SYNC("ready"),
		STEP("frames arrive", dma_frames_arrive),
		STEP("the next kernel is loaded", kexec_load_next),
		STEP("the page table is marked", dma_mark),
		STEP("memfd, iommufd and device are preserved",
		     dma_preserve_all),
		SYNC("preserved"),
		CHECK("a function that appears does not join its group",
		      stays_outside),
		STEP("DMA goes on", dma_goes_on),
		STEP("frames are contiguous", dma_write_down),
		SYNC("closing"),
		STEP("the session is closed", dma_close_session),
		CHECK("from then on it joins", joins),
		STEP("everything is closed", dma_close_all),
	};

	(void)stage;
	dma_init(&ctx);
	return v_run(steps, ARRAY_SIZE(steps), &ctx);
}
