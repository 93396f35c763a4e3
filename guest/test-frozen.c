// SPDX-License-Identifier: GPL-2.0-only
/*
 * frozen: what may not change while a device is preserved, each with its errno,
 * with the device receiving frames all the time. Then everything is backed out
 * of, and all of it works again. No kexec.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "dma.h"
#include "frozen.h"
#include "guest.h"
#include "kit.h"

#define SPARE_IOVA	(DEFAULT_IOVA + 0x100000000ULL)

static struct dma ctx;
static uint32_t spare_ioas, spare_hwpt;

/* ---- Each operation as a function of its own; @ctx is struct dma ---- */

static int do_map_file(struct dma *d)
{
	return iommufd_map_file(d->iommufd, d->state->ioas_id, d->memfd, 0,
				0x1000, SPARE_IOVA, true);
}

static int do_map(struct dma *d)
{
	static char page[4096] __attribute__((aligned(4096)));

	return iommufd_map(d->iommufd, d->state->ioas_id, page, 4096,
			   SPARE_IOVA);
}

static int do_copy(struct dma *d)
{
	return iommufd_copy(d->iommufd, d->state->ioas_id, d->state->iova,
			    0x1000, SPARE_IOVA);
}

static int do_unmap(struct dma *d)
{
	return iommufd_unmap(d->iommufd, d->state->ioas_id,
			     d->state->iova + RO_IOVA_OFF, TX_BUF_LEN);
}

static int do_unmap_all(struct dma *d)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = d->state->ioas_id,
		.length = UINT64_MAX,
	};

	return sys_ioctl(d->iommufd, IOMMU_IOAS_UNMAP, &arg);
}

static int do_hwpt(struct dma *d)
{
	uint32_t id;

	return iommufd_hwpt_alloc(d->iommufd, d->state->dev_id,
				  d->state->ioas_id, &id);
}

static int do_allow(struct dma *d)
{
	return iommufd_allow(d->iommufd, d->state->ioas_id, NULL, 0);
}

static int do_small_pages(struct dma *d)
{
	return iommufd_small_pages(d->iommufd, d->state->ioas_id);
}

static int do_destroy_ioas(struct dma *d)
{
	return iommufd_destroy(d->iommufd, d->state->ioas_id);
}

static int do_destroy_hwpt(struct dma *d)
{
	return iommufd_destroy(d->iommufd, d->state->hwpt_id);
}

static int do_mark(struct dma *d)
{
	return iommufd_mark(d->iommufd, d->state->hwpt_id, 5, 0);
}

static int do_unmark(struct dma *d)
{
	return iommufd_mark(d->iommufd, d->state->hwpt_id, 5,
			    IOMMU_HWPT_LIVEUPDATE_UNMARK);
}

static int do_replace(struct dma *d)
{
	return vfio_attach(d->vfio, spare_hwpt);
}

static int do_replace_auto(struct dma *d)
{
	return vfio_attach(d->vfio, spare_ioas);
}

static int do_detach(struct dma *d)
{
	return vfio_detach(d->vfio);
}

static int do_pasid_attach(struct dma *d)
{
	struct vfio_device_attach_iommufd_pt arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DEVICE_ATTACH_PASID,
		.pt_id = spare_hwpt,
		.pasid = 7,
	};

	return sys_ioctl(d->vfio, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

static int do_pasid_detach(struct dma *d)
{
	struct vfio_device_detach_iommufd_pt arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DEVICE_DETACH_PASID,
		.pasid = 7,
	};

	return sys_ioctl(d->vfio, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

static int do_reset(struct dma *d)
{
	return vfio_reset(d->vfio);
}

static int do_hot_reset(struct dma *d)
{
	struct vfio_pci_hot_reset arg = { .argsz = sizeof(arg) };

	return sys_ioctl(d->vfio, VFIO_DEVICE_PCI_HOT_RESET, &arg);
}

static int do_truncate(struct dma *d)
{
	return ftruncate(d->memfd, MEM_LEN / 2) ? -errno : 0;
}

static int do_grow(struct dma *d)
{
	return ftruncate(d->memfd, 2 * MEM_LEN) ? -errno : 0;
}

static int do_punch(struct dma *d)
{
	return fallocate(d->memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 OFF_PATTERN, 0x1000) ? -errno : 0;
}

static int do_unbind(struct dma *d)
{
	return pci_set(d->bdf, "driver/unbind", d->bdf);
}

static int do_remove(struct dma *d)
{
	return pci_set(d->bdf, "remove", "1");
}

static int do_sysfs_reset(struct dma *d)
{
	return pci_set(d->bdf, "reset", "1");
}

static int do_enable(struct dma *d)
{
	return pci_set(d->bdf, "enable", "0");
}

static int do_rescan(struct dma *d)
{
	(void)d;
	return write_file("/sys/bus/pci/rescan", "1");
}

static int do_dev_rescan(struct dma *d)
{
	return pci_set(d->bdf, "rescan", "1");
}

static const char *port(void)
{
	return opt_str("port", "0000:00:05.0");
}

static int do_port_unbind(struct dma *d)
{
	(void)d;
	return pci_set(port(), "driver/unbind", port());
}

static int do_port_remove(struct dma *d)
{
	(void)d;
	return pci_set(port(), "remove", "1");
}

static int do_port_reset(struct dma *d)
{
	(void)d;
	return pci_set(port(), "reset_subordinate", "1");
}

static int do_slot_power(struct dma *d)
{
	static const char power[] = "/sys/bus/pci/slots/0/power";
	int rc = write_file(power, "0");

	(void)d;
	/* One that vanished between open() and write() is just as gone. */
	return rc == -ENODEV && access(power, F_OK) ? -errno : rc;
}

static const struct frozen_op ops[] = {
	{ "map a memfd", do_map_file, -EBUSY },
	{ "map memory of the process", do_map, -EBUSY },
	{ "copy a mapping", do_copy, -EBUSY },
	{ "unmap", do_unmap, -EBUSY },
	{ "unmap all", do_unmap_all, -EBUSY },
	{ "a new HWPT on the IOAS", do_hwpt, -EBUSY },
	{ "allow IOVAs", do_allow, -EBUSY },
	{ "no huge pages", do_small_pages, -EBUSY },
	{ "destroy the IOAS", do_destroy_ioas, -EBUSY },
	{ "destroy the HWPT", do_destroy_hwpt, -EBUSY },
	{ "mark", do_mark, -EBUSY },
	{ "unmark", do_unmark, -EBUSY },
	{ "replace", do_replace, -EBUSY },
	{ "replace by an IOAS", do_replace_auto, -EBUSY },
	{ "detach", do_detach, -EBUSY },
	{ "attach a PASID", do_pasid_attach, -EBUSY },
	{ "detach a PASID", do_pasid_detach, -EBUSY },
	{ "VFIO_DEVICE_RESET", do_reset, -EBUSY },
	{ "VFIO_DEVICE_PCI_HOT_RESET", do_hot_reset, -EBUSY },
	{ "shorten the memfd", do_truncate, -EPERM },
	{ "lengthen the memfd", do_grow, -EPERM },
	{ "punch a hole", do_punch, -EPERM },
	{ "sysfs: unbind", do_unbind, -EBUSY },
	{ "sysfs: remove", do_remove, -EBUSY },
	{ "sysfs: reset", do_sysfs_reset, -EBUSY },
	{ "sysfs: disable", do_enable, -EBUSY },
	{ "sysfs: rescan all", do_rescan, -EBUSY },
	{ "sysfs: rescan", do_dev_rescan, -EBUSY },
	{ "sysfs: unbind the port above", do_port_unbind, -EBUSY },
	{ "sysfs: remove the port above", do_port_remove, -EBUSY },
	{ "sysfs: reset what is below the port", do_port_reset, -EBUSY },
	{ "sysfs: switch the slot off", do_slot_power, -EBUSY },
};

const struct frozen_op *frozen_ops(size_t *n)
{
	*n = ARRAY_SIZE(ops);
	return ops;
}

/* Every operation of the part of the table that starts with @first. */
static int part(struct dma *d, const char *first, const char *last)
{
	bool in = false;
	int bad = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		in |= !strcmp(ops[i].what, first);
		if (in)
			bad |= want(ops[i].run(d), ops[i].wanted, ops[i].what);
		if (!strcmp(ops[i].what, last))
			break;
	}
	return bad | dma_goes_on(d);
}

static int frozen_mappings(void *p)
{
	return part(p, "map a memfd", "no huge pages");
}

static int frozen_objects(void *p)
{
	return part(p, "destroy the IOAS", "unmark");
}

static int frozen_attachments(void *p)
{
	return part(p, "replace", "detach a PASID");
}

static int frozen_resets(void *p)
{
	return part(p, "VFIO_DEVICE_RESET", "VFIO_DEVICE_PCI_HOT_RESET");
}

static int frozen_memory(void *p)
{
	return part(p, "shorten the memfd", "punch a hole");
}

static int frozen_sysfs(void *p)
{
	return part(p, "sysfs: unbind", "sysfs: rescan");
}

static int frozen_path(void *p)
{
	return part(p, "sysfs: unbind the port above",
		    "sysfs: switch the slot off");
}

/* ---- Setting up ---- */

int frozen_spare(void *p)
{
	struct dma *d = p;
	int rc;

	rc = iommufd_ioas_alloc(d->iommufd, &spare_ioas);
	if (!rc)
		rc = iommufd_hwpt_alloc(d->iommufd, d->state->dev_id,
					spare_ioas, &spare_hwpt);
	return rc ? v_error(rc, "a second address space") : 0;
}

/* ---- What is still allowed ---- */

static int other_objects(void *p)
{
	struct dma *d = p;
	uint32_t ioas, hwpt;
	uint64_t caps;
	int bad = 0;

	bad |= want(iommufd_ioas_alloc(d->iommufd, &ioas), 0, "a new IOAS");
	bad |= want(iommufd_map_file(d->iommufd, ioas, d->memfd, 0, 0x1000,
				     SPARE_IOVA, true), 0, "map in it");
	bad |= want(iommufd_hwpt_alloc(d->iommufd, d->state->dev_id, ioas,
				       &hwpt), 0, "a page table of it");
	bad |= want(iommufd_destroy(d->iommufd, hwpt), 0, "destroy that");
	bad |= want(iommufd_unmap(d->iommufd, ioas, SPARE_IOVA, 0x1000), 0,
		    "unmap in it");
	bad |= want(iommufd_destroy(d->iommufd, ioas), 0, "destroy it");
	bad |= want(iommufd_hw_info(d->iommufd, d->state->dev_id, &caps), 0,
		    "IOMMU_GET_HW_INFO");
	bad |= want(pci_set(d->bdf, "driver_override", "nobody"), 0,
		    "driver_override");
	bad |= want(pci_set(d->bdf, "driver_override", "vfio-pci"), 0,
		    "driver_override");
	return bad | dma_goes_on(d);
}

/* Another device of the same iommufd cannot join what is preserved. */
static int second_device(void *p)
{
	struct dma *d = p;
	int fd = dma_open_second(d), bad = 0;

	if (fd < 0)
		return fd;
	bad |= want(vfio_attach(fd, d->state->hwpt_id), -EBUSY,
		    "attach to what is preserved");
	bad |= want(vfio_attach(fd, d->state->ioas_id), -EBUSY,
		    "attach to the IOAS");
	bad |= want(vfio_attach(fd, spare_hwpt), 0, "attach elsewhere");
	/* Loaded or not: with this device bound there is no jump */
	bad |= want(kexec_jump(), -EBUSY, "reboot(KEXEC) with it");
	bad |= want(vfio_detach(fd), 0, "detach");
	close(fd);
	return bad | dma_goes_on(d);
}

static bool firmware_slot(void)
{
	return opt_u64("acpi", 0);
}

/* The host presses the button of the slot, or its firmware asks: see the scenario. */
static int button(void *p)
{
	const char *said = firmware_slot() ?
				   "refused: ACPI event of" :
				   "kept over a live update, stays on";
	struct dma *d = p;
	uint64_t end = now_ms() + 20000;

	/* The kernel waits five seconds in case it is pressed again */
	while (now_ms() < end) {
		if (kmsg_count(said))
			return dma_goes_on(d);
		sleep_ms(100);
	}
	return v_error(0, "nobody pressed the button");
}

static int skip_log(void *p)
{
	(void)p;
	return kmsg_skip();
}

/* The user's own references are gone, and nothing has happened. */
static int close_files(void *p)
{
	struct dma *d = p;

	munmap((void *)d->nic.bar, d->nic.bar_len);
	d->nic.bar = NULL;
	close(d->iommufd);
	close(d->vfio);
	d->iommufd = d->vfio = -1;
	return dma_wait_frames(d, 500);
}

/* With the session the last reference goes: the device is stopped and reset. */
static int stopped(void *p)
{
	struct dma *d = p;
	int command = pci_config_read16(d->bdf, 4);

	return want(command & 4, 0, "bus mastering");
}

static int contiguous(void *p)
{
	struct dma *d = p;

	frames_scan(&d->rx, &d->nic);
	frames_report(&d->rx);
	return d->rx.holes || d->rx.dups || d->rx.corrupt ? -EIO : 0;
}

/* After the session is closed: everything works that was refused. */
static int works_again(void *p)
{
	struct dma *d = p;
	struct dma_state *s = d->state;
	int bad = 0;

	bad |= want(do_map_file(d), 0, "map");
	bad |= want(iommufd_unmap(d->iommufd, s->ioas_id, SPARE_IOVA, 0x1000),
		    0, "unmap");
	bad |= want(do_unmark(d), 0, "unmark");
	/* QEMU's port tells no state of its link when the slot is firmware's */
	bad |= want(do_hot_reset(d), firmware_slot() ? -ENOTTY : 0,
		    "VFIO_DEVICE_PCI_HOT_RESET");
	bad |= want(do_reset(d), 0, "VFIO_DEVICE_RESET");
	bad |= want(do_replace(d), 0, "replace");
	bad |= want(do_detach(d), 0, "detach");
	bad |= want(do_destroy_hwpt(d), 0, "destroy the HWPT");
	bad |= want(do_small_pages(d), 0, "no huge pages");
	bad |= want(do_unmap_all(d), 0, "unmap all");
	bad |= want(do_destroy_ioas(d), 0, "destroy the IOAS");
	bad |= want(do_punch(d), 0, "punch a hole");
	return bad;
}

static int sysfs_again(void *p)
{
	struct dma *d = p;
	int bad = 0;

	bad |= want(do_rescan(d), 0, "rescan");
	bad |= want(do_unbind(d), 0, "unbind");
	bad |= want(do_sysfs_reset(d), 0, "reset");
	bad |= want(do_remove(d), 0, "remove");
	bad |= want(do_rescan(d), 0, "rescan");
	bad |= want(pci_config_read16(d->bdf, 0), E1000E_VENDOR, "it is back");
	return bad;
}

int test_frozen(unsigned int stage)
{
	static const struct step steps[] = {
		FROZEN_STEPS_PRESERVED,
		SYNC("preserved"),
		CHECK("mappings do not change", frozen_mappings),
		CHECK("objects and marks do not change", frozen_objects),
		CHECK("attachments do not change", frozen_attachments),
		CHECK("the device is not reset by its user", frozen_resets),
		CHECK("the memfd does not change", frozen_memory),
		CHECK("the device is not taken away", frozen_sysfs),
		CHECK("the path is not taken away", frozen_path),
		CHECK("another device does not join", second_device),
		CHECK("what is not preserved can change", other_objects),
		STEP("the log is read", skip_log),
		SYNC("button"),
		CHECK("the button of its slot is refused", button),
		CHECK("the user's files are closed, DMA goes on", close_files),
		SYNC("closing"),
		STEP("the session is closed", dma_close_session),
		CHECK("with it the device is stopped", stopped),
		CHECK("frames are contiguous", contiguous),
		SYNC("closed"),
		STEP("everything is closed", dma_close_all),
		STEP("memory is made again", dma_make_memory),
		STEP("the card is attached again", dma_attach),
		STEP("a second address space is made again", frozen_spare),
		CHECK("everything works again", works_again),
		STEP("everything is closed again", dma_close_all),
		CHECK("the device can be taken away again", sysfs_again),
	};

	(void)stage;
	dma_init(&ctx);
	return v_run(steps, ARRAY_SIZE(steps), &ctx);
}
