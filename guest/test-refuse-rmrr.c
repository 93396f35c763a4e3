// SPDX-License-Identifier: GPL-2.0-only
/*
 * refuse-rmrr: firmware needs direct mappings for two devices behind the unit of
 * the device to be kept: for option second= all the time, so that it is refused
 * as long as that device is there, and for a USB controller at boot only, which
 * is just said. The host has changed the DMAR table: see tests/e2e/140-refusals.py.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest.h"
#include "kit.h"

#define NIC	"0000:01:00.0"

static struct kit kit;

static int firmware_needs(void *p)
{
	const char *second = opt_str("second", "");
	char path[128], text[256];
	int rc;

	(void)p;
	snprintf(path, sizeof(path),
		 "/sys/bus/pci/devices/%s/iommu_group/reserved_regions", second);
	rc = read_file(path, text, sizeof(text));
	if (rc < 0)
		return v_error(rc, path);
	return strstr(text, "0x00000000000f0000 0x00000000000f0fff direct\n") ?
		0 : v_error(0, "the kernel has not seen it");
}

static int refused_beside_it(void *p)
{
	char nic[] = NIC;
	int bad = kit_check_says_no(nic, "firmware needs a direct mapping");

	(void)p;
	if (kit_open(&kit, NIC, KIT_ALL))
		return -EIO;
	bad |= want(kit_preserve_memfd(&kit), 0, "the memfd");
	bad |= want(kit_preserve_iommufd(&kit), 0, "the iommufd");
	kmsg_skip();
	bad |= want(kit_preserve_vfio(&kit), -EOPNOTSUPP, "the device");
	bad |= kmsg_refusal(opt_str("second", ""),
			    "firmware needs it mapped");
	kit_end_session(&kit);
	return bad | kit_mutable(&kit);
}

static int kept_without_it(void *p)
{
	int bad = 0;

	(void)p;
	bad |= want(pci_set(opt_str("second", ""), "remove", "1"), 0, "remove");
	bad |= kit_session(&kit, "kit");
	kmsg_skip();
	bad |= want(kit_preserve(&kit), 0, "preserve");
	bad |= want(kmsg_count("0000:00:0a.0: live update: its DMA to memory of"),
		    1, "warnings about the USB controller");
	kit_end_session(&kit);
	bad |= kit_mutable(&kit);
	kit_close(&kit);
	return bad;
}

int test_refuse_rmrr(unsigned int stage)
{
	static const struct step steps[] = {
		STEP("firmware needs direct mappings", firmware_needs),
		STEP("beside a device that needs one: EOPNOTSUPP",
		     refused_beside_it),
		CHECK("beside one that needs it at boot only: kept, and said",
		      kept_without_it),
	};

	(void)stage;
	if (pci_bind_vfio(NIC))
		v_note("%s cannot be bound", NIC);
	return v_run(steps, ARRAY_SIZE(steps), NULL);
}
