// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI devices that keep doing DMA while the kernel is replaced. This is the old
 * kernel's side, and what keeps others off a kept device in either kernel;
 * liveupdate-restore.c is the new kernel's side.
 *
 * What it keeps
 *
 * The File-Lifecycle-Bound object (FLB) "pci-v1" of the Live Update Orchestrator:
 * a chain of chunks in memory that KHO preserves, with a record for each function
 * that is kept. It says what the next kernel cannot find out by looking, see
 * include/linux/kho/abi/pci.h.
 *
 * Old kernel
 *
 * A driver that owns a device calls pci_liveupdate_preserve() from the preserve
 * callback of its file handler. From then on the endpoint and every bridge above
 * it, the *path*, is left alone: shutdown for a kexec does not clear Bus Master
 * Enable, and unbind, remove, reset, rescan, slot power and events of ACPI are
 * refused with -EBUSY before any lock is taken that device_shutdown() needs. When
 * the machine goes down for anything else than a kexec, the IOMMU is switched off
 * and what the device has for addresses would be taken for those of memory:
 * shutdown stops it.
 *
 * Both kernels in one
 *
 * A kernel that came by a live update may be replaced by the next one, so both
 * sides run in it. They share the FLB, the mutex and the refusals: what is
 * refused about a device that is kept is so until the new kernel has finished with
 * it, and only then can it be preserved again.
 *
 * Locks
 *
 * pci_lu_mutex is that of both sides. Here it protects the chunks, the count of
 * changes that are under way, and every write of pci_dev->lu_outgoing. That is a
 * byte of its own and is read without it; who must not miss that it is set
 * announces itself with pci_liveupdate_begin_change(). pci_lu_error is set by
 * whoever handles an error, without any lock. Order: the locks of the Live Update
 * Orchestrator (outer), the lock of its FLB, pci_lu_mutex. The device lock may be
 * held around pci_lu_mutex, it is only ever tried inside the locks of the
 * orchestrator.
 *
 * Ownership
 *
 * Until the kexec the chunks belong to the FLB, from its preserve to its unpreserve
 * callback, and a slot in them to the preserved function.
 *
 * Cannot fail: unpreserve. Preserve leaves nothing behind when it fails.
 */

#include <linux/acpi.h>
#include <linux/cleanup.h>
#include <linux/idr.h>
#include <linux/iommu.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/pci.h>
#include <linux/list.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_break.h>
#include <linux/liveupdate_refuse.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci_liveupdate.h>
#include <linux/pm_runtime.h>
#include <linux/string.h>

#include "liveupdate-priv.h"
#include "liveupdate-ser.h"
#include "pci.h"

/* Of both kernels: the chunks, the records, and what is known about either */
DEFINE_MUTEX(pci_lu_mutex);

/* The first chunk, while the FLB is preserved */
static struct pci_chunk_ser *pci_lu_chunks;
/* An error was seen on a path since the FLB was preserved */
static bool pci_lu_error;
/* Unbinds and removals that are under way */
static unsigned int pci_lu_changes;

/* ---- The chain of chunks ---- */

static struct pci_chunk_ser *pci_lu_next(const struct pci_chunk_ser *chunk)
{
	return chunk->next_pa ? phys_to_virt(chunk->next_pa) : NULL;
}

static struct pci_chunk_ser *pci_lu_alloc_chunk(u32 index)
{
	struct pci_chunk_ser *chunk = kho_alloc_preserve(PCI_SER_CHUNK_SIZE);

	if (!IS_ERR(chunk)) {
		chunk->magic = PCI_SER_MAGIC;
		chunk->version = PCI_SER_VERSION;
		chunk->index = index;
	}
	return chunk;
}

/* The record of @dev in the old kernel, or NULL */
static struct pci_dev_ser *pci_lu_find_outgoing(const struct pci_dev *dev)
{
	struct pci_chunk_ser *chunk;
	struct pci_dev_ser *ser;
	unsigned int i;

	lockdep_assert_held(&pci_lu_mutex);

	for (chunk = pci_lu_chunks; chunk; chunk = pci_lu_next(chunk)) {
		for (i = 0; i < PCI_SER_SLOTS_PER_CHUNK; i++) {
			ser = pci_lu_slot(chunk, i);
			if (ser->flags && ser->bdf == pci_lu_bdf(dev) &&
			    ser->domain == pci_domain_nr(dev->bus))
				return ser;
		}
	}
	return NULL;
}

static struct pci_dev_ser *pci_lu_alloc_slot(void)
{
	struct pci_chunk_ser *chunk, *last = NULL;
	unsigned int i;

	lockdep_assert_held(&pci_lu_mutex);

	for (chunk = pci_lu_chunks; chunk; chunk = pci_lu_next(chunk)) {
		for (i = 0; i < PCI_SER_SLOTS_PER_CHUNK; i++) {
			if (!pci_lu_slot(chunk, i)->flags)
				return pci_lu_slot(chunk, i);
		}
		last = chunk;
	}
	if (last->index + 1 >= PCI_SER_MAX_CHUNKS)
		return ERR_PTR(-ENOSPC);
	chunk = pci_lu_alloc_chunk(last->index + 1);
	if (IS_ERR(chunk))
		return ERR_CAST(chunk);
	last->next_pa = virt_to_phys(chunk);
	return pci_lu_slot(chunk, 0);
}

/* ---- Old kernel ---- */

static int pci_lu_flb_preserve(struct liveupdate_flb_op_args *args)
{
	struct pci_chunk_ser *chunk = pci_lu_alloc_chunk(0);

	if (IS_ERR(chunk))
		return PTR_ERR(chunk);

	guard(mutex)(&pci_lu_mutex);
	pci_lu_chunks = chunk;
	WRITE_ONCE(pci_lu_error, false);
	args->obj = chunk;
	args->data = virt_to_phys(chunk);
	return 0;
}

static void pci_lu_flb_unpreserve(struct liveupdate_flb_op_args *args)
{
	struct pci_chunk_ser *chunk, *next;

	guard(mutex)(&pci_lu_mutex);
	for (chunk = pci_lu_chunks; chunk; chunk = next) {
		next = pci_lu_next(chunk);
		kho_unpreserve_free(chunk);
	}
	pci_lu_chunks = NULL;
}

static int pci_lu_count_device(struct device *dev, void *data)
{
	(*(unsigned int *)data)++;
	return 0;
}

static bool pci_lu_alone_in_group(struct pci_dev *dev)
{
	struct iommu_group *group = iommu_group_get(&dev->dev);
	unsigned int count = 0;

	if (!group)
		return false;
	iommu_group_for_each_dev(group, &count, pci_lu_count_device);
	iommu_group_put(group);
	return count == 1;
}

/*
 * Is there a function beside this one that this kernel was told to forget? The
 * next one finds it, and then the two share a group.
 */
static bool pci_lu_has_hidden_sibling(struct pci_dev *dev)
{
	unsigned int first = 0, last = 255, devfn;
	struct pci_dev *sibling;
	u32 id;

	if (liveupdate_break("hidden") ||
	    (!dev->multifunction && !PCI_FUNC(dev->devfn)))
		return false;
	if (!pci_ari_enabled(dev->bus)) {
		first = PCI_DEVFN(PCI_SLOT(dev->devfn), 0);
		last = first + 7;
	}
	for (devfn = first; devfn <= last; devfn++) {
		sibling = pci_get_slot(dev->bus, devfn);
		pci_dev_put(sibling);
		if (!sibling &&
		    pci_bus_read_dev_vendor_id(dev->bus, devfn, &id, 0))
			return true;
	}
	return false;
}

/* Classes that quirks or firmware touch at boot, and what is not an endpoint */
static const char *pci_lu_class_reason(struct pci_dev *dev)
{
	if (dev->hdr_type != PCI_HEADER_TYPE_NORMAL ||
	    dev->class >> 16 == PCI_BASE_CLASS_BRIDGE)
		return "it is a bridge";
	if (dev->class >> 16 == PCI_BASE_CLASS_DISPLAY)
		return "it is a display controller, which is used at boot";
	if (dev->class >> 8 == PCI_CLASS_SERIAL_USB)
		return "it is a USB controller, which is taken from firmware at boot";
	if (!pci_is_pcie(dev))
		return "it is not a PCI Express device";
	return NULL;
}

static bool pci_lu_secured(const struct pci_dev *dev)
{
#ifdef CONFIG_PCI_TSM
	if (dev->tsm)
		return true;
#endif
#ifdef CONFIG_PCI_IDE
	if (!ida_is_empty(&dev->ide_stream_ida))
		return true;
#endif
	return false;
}

/* Why an endpoint cannot be kept: what the next kernel could not leave alone */
static const char *pci_lu_endpoint_reason(struct pci_dev *dev)
{
	if (pci_lu_class_reason(dev))
		return pci_lu_class_reason(dev);
	if (dev->is_virtfn)
		return "it is an SR-IOV virtual function";
	if (dev->is_physfn)
		return "it is an SR-IOV physical function";
	if (dev->is_cxl)
		return "it is a CXL device";
	if (pci_lu_secured(dev))
		return "it is bound to a TSM or has IDE streams";
	if (dev->untrusted)
		return "it is untrusted";
	if (dev->dma_alias_mask)
		return "it does DMA under the address of another function";
	/* INTx that cannot be silenced would scream in the next kernel */
	if (dev->pin && dev->broken_intx_masking)
		return "its INTx cannot be masked";
	return NULL;
}

static const char *pci_lu_bridge_reason(struct pci_dev *dev)
{
	if (dev->external_facing)
		return "it is a port to the outside";
	if (!pci_is_pcie(dev) || dev->hdr_type != PCI_HEADER_TYPE_BRIDGE)
		return "it is not a PCI Express port";
	/* Isolation that a quirk programs, where ACS does not tell */
	if (dev->dev_flags & PCI_DEV_FLAGS_ACS_ENABLED_QUIRK)
		return "it isolates devices in a way of its own";

	switch (pci_pcie_type(dev)) {
	case PCI_EXP_TYPE_ROOT_PORT:
	case PCI_EXP_TYPE_UPSTREAM:
	case PCI_EXP_TYPE_DOWNSTREAM:
		return NULL;
	}
	return "it leads to conventional PCI";
}

/* The next kernel switches decoding of such a function off */
static const char *pci_lu_decode_reason(struct pci_dev *dev)
{
	if (dev->rom_bar_overlap || dev->non_compliant_bars ||
	    dev->mmio_always_on)
		return "its BARs or its memory decoding are not as they should be";
	return NULL;
}

/* May any function of a path be kept right now? */
static int pci_lu_check_function(struct pci_dev *dev, bool endpoint)
{
	const char *reason;

	reason = endpoint ? pci_lu_endpoint_reason(dev) :
			    pci_lu_bridge_reason(dev);
	if (!reason)
		reason = pci_lu_decode_reason(dev);
	/* Segments above 16 bits are made up at run time */
	if (pci_domain_nr(dev->bus) > U16_MAX)
		reason = "its segment has no fixed number";
	if (reason)
		return liveupdate_refuse_dev(&dev->dev, -EOPNOTSUPP, "%s",
					     reason);
	if (dev->error_state != pci_channel_io_normal)
		return liveupdate_refuse_dev(&dev->dev, -EIO,
					     "it is in error recovery");
	return 0;
}

/*
 * What all ones written to BAR @i would read back as, made from the resource that
 * it was sized to be. False when that is not what the BAR says: a quirk knows
 * better, or there is another way to tell (Enhanced Allocation).
 */
static bool pci_lu_fill_mask(struct pci_dev_ser *ser, struct pci_dev *dev,
			     unsigned int i)
{
	struct resource *res = pci_resource_n(dev, i);
	u64 mask = -(u64)resource_size(res), bar = ser->bar[i], kind;
	bool io = bar & PCI_BASE_ADDRESS_SPACE_IO;
	struct pci_bus_region region;

	if (!res->flags)
		return true;
	if (io != !!(res->flags & IORESOURCE_IO))
		return false;

	kind = io ? ~PCI_BASE_ADDRESS_IO_MASK : ~PCI_BASE_ADDRESS_MEM_MASK;
	ser->bar_mask[i] = lower_32_bits((mask & ~kind) | (bar & kind));
	if (pci_ser_is_wide(bar) && i + 1 < pci_ser_bars(ser)) {
		ser->bar_mask[i + 1] = upper_32_bits(mask);
		bar |= (u64)ser->bar[i + 1] << 32;
	}
	pcibios_resource_to_bus(dev->bus, &region, res);
	return res->flags & IORESOURCE_UNSET || region.start == (bar & ~kind);
}

/*
 * The sizes of the BARs. Where one cannot be told for certain none is, and the next
 * kernel sizes them; the device is kept all the same, but cannot be reached while
 * it does.
 */
static void pci_lu_fill_masks(struct pci_dev_ser *ser, struct pci_dev *dev)
{
	struct resource *res = pci_resource_n(dev, PCI_ROM_RESOURCE);
	bool certain = true;
	u32 rom = 0;
	unsigned int i;

	for (i = 0; i < pci_ser_bars(ser); i++) {
		certain &= pci_lu_fill_mask(ser, dev, i);
		if (pci_ser_is_wide(ser->bar[i]))
			i++;
	}
	if (dev->rom_base_reg)
		pci_read_config_dword(dev, dev->rom_base_reg, &rom);
	if (res->flags)
		ser->rom_mask = -(u32)resource_size(res);
	if (certain && !pci_ser_check_masks(ser) &&
	    pci_ser_rom_fits(ser, rom)) {
		ser->optional |= PCI_DEV_SER_BAR_MASKS;
		return;
	}
	pci_info(dev, "the next kernel has to size the BARs\n");
	memset(ser->bar_mask, 0, sizeof(ser->bar_mask));
	ser->rom_mask = 0;
}

static void pci_lu_fill(struct pci_dev_ser *ser, struct pci_dev *dev)
{
	unsigned int i;

	ser->domain = pci_domain_nr(dev->bus);
	ser->bdf = pci_lu_bdf(dev);
	ser->hdr_type = dev->hdr_type;
	ser->refcount = 1;
	pci_read_config_word(dev, PCI_VENDOR_ID, &ser->vendor);
	pci_read_config_word(dev, PCI_DEVICE_ID, &ser->device);
	pci_read_config_dword(dev, PCI_CLASS_REVISION, &ser->class_rev);
	ser->serial = pci_get_dsn(dev);
	for (i = 0; i < pci_ser_bars(ser); i++)
		pci_read_config_dword(dev, PCI_BASE_ADDRESS_0 + 4 * i,
				      &ser->bar[i]);
	pci_lu_fill_masks(ser, dev);

	if (dev->hdr_type == PCI_HEADER_TYPE_BRIDGE) {
		pci_read_config_dword(dev, PCI_PRIMARY_BUS, &ser->buses);
		return;
	}
	pci_read_config_word(dev, PCI_SUBSYSTEM_VENDOR_ID,
			     &ser->subsystem_vendor);
	pci_read_config_word(dev, PCI_SUBSYSTEM_ID, &ser->subsystem_device);
}

static int pci_lu_keep(struct pci_dev *dev, const char *compat)
{
	struct pci_dev_ser *ser = pci_lu_find_outgoing(dev);
	bool endpoint = compat;
	int ret;

	lockdep_assert_held(&pci_lu_mutex);

	if (ser) {
		ser->refcount++;
		return 0;
	}
	ret = pci_lu_check_function(dev, endpoint);
	if (ret)
		return ret;
	/* In use, so it is awake; not if somebody says so in between */
	pm_runtime_get_noresume(&dev->dev);
	pm_runtime_barrier(&dev->dev);
	if (dev->current_state != PCI_D0) {
		ret = liveupdate_refuse_dev(&dev->dev, -EBUSY, "it is in %s",
					    pci_power_name(dev->current_state));
		goto err_put;
	}
	ser = pci_lu_alloc_slot();
	ret = PTR_ERR_OR_ZERO(ser);
	if (ret)
		goto err_put;

	memset(ser, 0, sizeof(*ser));
	pci_lu_fill(ser, dev);
	ser->flags = endpoint ? PCI_DEV_SER_ENDPOINT : PCI_DEV_SER_BRIDGE;
	if (dev->broken_intx_masking)
		ser->flags |= PCI_DEV_SER_INTX_BROKEN;
	if (endpoint) {
		strscpy(ser->compat, compat);
		strscpy(ser->driver, dev->driver->name);
	}
	WRITE_ONCE(dev->lu_outgoing, true);
	return 0;

err_put:
	pm_runtime_put(&dev->dev);
	return ret;
}

static void pci_lu_unkeep(struct pci_dev *dev)
{
	struct pci_dev_ser *ser = pci_lu_find_outgoing(dev);

	lockdep_assert_held(&pci_lu_mutex);

	if (WARN_ON(!ser) || --ser->refcount)
		return;
	memset(ser, 0, sizeof(*ser));
	WRITE_ONCE(dev->lu_outgoing, false);
	pm_runtime_put(&dev->dev);
}

/**
 * pci_liveupdate_preserve - Keep a device and the bridges above it
 * @dev: An endpoint that is bound to a driver
 * @compat: Compatibility string of the file handler that keeps it
 *
 * Call from the preserve callback of a file handler that is registered with
 * pci_liveupdate_register(). The device goes on working and may be used, but it
 * is not reset, removed, unbound or suspended any more.
 *
 * Context: Process context, may sleep.
 * Return: 0; -EOPNOTSUPP when a function on the path is of a kind that cannot be
 * kept; -EBUSY when it is kept already, is not in D0, or some device is being
 * unbound or removed; -EIO when it is in error recovery; -ENODEV, -ENOENT or
 * -EINVAL when called wrongly; -ENOMEM or -ENOSPC. Nothing has changed then.
 */
int pci_liveupdate_preserve(struct pci_dev *dev, const char *compat)
{
	struct pci_dev *pos, *undo;
	int ret;

	if (!compat || !*compat ||
	    strlen(compat) >= sizeof_field(struct pci_dev_ser, compat))
		return -EINVAL;
	if (!dev->driver)
		return -ENODEV;
	/* Says more than that it shares a group, which such devices mostly do */
	ret = pci_lu_check_function(dev, true);
	if (ret)
		return ret;
	/* Takes the lock of the group, which is not one of those inside ours */
	if (!pci_lu_alone_in_group(dev))
		return liveupdate_refuse_dev(&dev->dev, -EOPNOTSUPP,
					     "it shares its IOMMU group");
	if (strlen(dev->driver->name) >=
	    sizeof_field(struct pci_dev_ser, driver))
		return liveupdate_refuse_dev(&dev->dev, -EOPNOTSUPP,
					     "its driver has too long a name");

	guard(mutex)(&pci_lu_mutex);
	if (!pci_lu_chunks)
		return -ENOENT;
	if (pci_liveupdate_busy(dev))
		return liveupdate_refuse_dev(&dev->dev, -EBUSY,
					     "it is kept already");
	if (pci_lu_changes)
		return liveupdate_refuse_dev(&dev->dev, -EBUSY,
					     "a device is added or removed");
	if (pci_lu_has_hidden_sibling(dev))
		return liveupdate_refuse_dev(&dev->dev, -EOPNOTSUPP,
					     "a function beside it is hidden");

	for (pos = dev; pos; pos = pci_upstream_bridge(pos)) {
		ret = pci_lu_keep(pos, pos == dev ? compat : NULL);
		if (ret)
			goto err_undo;
	}
	return 0;

err_undo:
	for (undo = dev; undo != pos; undo = pci_upstream_bridge(undo))
		pci_lu_unkeep(undo);
	return ret;
}
EXPORT_SYMBOL_GPL(pci_liveupdate_preserve);

/**
 * pci_liveupdate_unpreserve - Undo pci_liveupdate_preserve()
 * @dev: The endpoint
 *
 * Context: Process context, may sleep. Cannot fail.
 */
void pci_liveupdate_unpreserve(struct pci_dev *dev)
{
	struct pci_dev *pos;

	guard(mutex)(&pci_lu_mutex);
	if (WARN_ON(!pci_liveupdate_outgoing(dev)))
		return;
	for (pos = dev; pos; pos = pci_upstream_bridge(pos))
		pci_lu_unkeep(pos);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_unpreserve);

/**
 * pci_liveupdate_freeze - Last look at a kept device before the jump
 * @dev: The endpoint
 *
 * Context: Process context, may sleep. Writes nothing to the device.
 * Return: 0; -EBUSY when a function of the path is not in D0; -EIO when it does
 * not answer or there was an error on a path; -ENOENT when it is not kept.
 */
int pci_liveupdate_freeze(struct pci_dev *dev)
{
	struct pci_dev_ser *ser;
	struct pci_dev *pos;
	u16 pmcsr;

	guard(mutex)(&pci_lu_mutex);
	if (READ_ONCE(pci_lu_error))
		return -EIO;
	for (pos = dev; pos; pos = pci_upstream_bridge(pos)) {
		ser = pci_lu_find_outgoing(pos);
		if (WARN_ON(!ser))
			return -ENOENT;
		if (pos->error_state != pci_channel_io_normal)
			return -EIO;
		if (pos->current_state != PCI_D0)
			return -EBUSY;
		pci_read_config_word(pos, PCI_COMMAND, &ser->command);
		if (PCI_POSSIBLE_ERROR(ser->command))
			return -EIO;
		if (!pos->pm_cap)
			continue;
		pci_read_config_word(pos, pos->pm_cap + PCI_PM_CTRL, &pmcsr);
		if (pmcsr & PCI_PM_CTRL_STATE_MASK)
			return -EBUSY;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(pci_liveupdate_freeze);

/**
 * pci_liveupdate_keep_master - Does shutdown leave Bus Master Enable alone?
 * @dev: Any function
 *
 * A kept device that no kernel will take back is stopped here, because its IOMMU
 * will not go on translating.
 *
 * Context: Process context, may sleep.
 * Return: true for the functions on the path of a kept device.
 */
bool pci_liveupdate_keep_master(struct pci_dev *dev)
{
	if (!pci_liveupdate_outgoing(dev) || liveupdate_break("busmaster"))
		return false;
	if (kexec_in_progress || pci_is_bridge(dev) || liveupdate_break("down"))
		return true;
	pci_info(dev, "was to be kept, stopping it: this is no live update\n");
	pci_clear_master(dev);
	if (!pci_wait_for_pending_transaction(dev))
		pci_err(dev,
			"transactions still pending after bus mastering is off\n");
	return true;
}

/* ---- Both kernels ---- */

static bool pci_lu_any_outgoing(void)
{
	struct pci_chunk_ser *chunk;
	unsigned int i;

	lockdep_assert_held(&pci_lu_mutex);

	for (chunk = pci_lu_chunks; chunk; chunk = pci_lu_next(chunk)) {
		for (i = 0; i < PCI_SER_SLOTS_PER_CHUNK; i++) {
			if (pci_lu_slot(chunk, i)->flags)
				return true;
		}
	}
	return false;
}

/**
 * pci_liveupdate_begin_change - A device is about to be unbound or removed
 * @dev: The device, or NULL when it can be any
 *
 * Call before the device lock is taken: an unbind that waits for a kept device
 * to be closed would wait for ever, and hold the lock that device_shutdown()
 * wants. No device is preserved until pci_liveupdate_end_change().
 *
 * Context: Process context, may sleep.
 * Return: 0 or -EBUSY when @dev is kept, or any device when @dev is NULL.
 */
int pci_liveupdate_begin_change(struct device *dev)
{
	if (!dev && pci_lu_get_state() == PCI_LU_SET)
		return -EBUSY;

	guard(mutex)(&pci_lu_mutex);
	if (liveupdate_break("veto")) {
		pci_lu_changes++;
		return 0;
	}
	if (!dev && pci_lu_any_outgoing())
		return -EBUSY;
	if (dev && dev_is_pci(dev) && pci_liveupdate_busy(to_pci_dev(dev)))
		return -EBUSY;
	pci_lu_changes++;
	return 0;
}

#ifdef CONFIG_ACPI
/* Is @adev what firmware calls @dev, or something that @dev is part of? */
static bool pci_lu_is_within(struct device *dev, struct acpi_device *adev)
{
	struct acpi_device *pos;

	for (; dev; dev = dev->parent) {
		for (pos = ACPI_COMPANION(dev); pos; pos = acpi_dev_parent(pos))
			if (pos == adev)
				return true;
	}
	return false;
}

/**
 * pci_liveupdate_begin_event - Firmware, or a user, wants something of a device
 * @adev: The device of an ACPI hotplug event: its ejection, or a new look at it
 *
 * Like pci_liveupdate_begin_change(). A host bridge takes everything behind it
 * along when it is ejected, and the IOMMU that comes with it. An event of a slot
 * (acpiphp) is about every function in it, whichever firmware names, and may scan
 * all slots of its bus anew: there is none while any device is kept.
 *
 * Context: Process context, may sleep.
 * Return: 0, or -EBUSY when it is the path of a kept device, or has it in it.
 */
int pci_liveupdate_begin_event(struct acpi_device *adev)
{
	struct pci_dev *dev = NULL;

	guard(mutex)(&pci_lu_mutex);
	for_each_pci_dev(dev) {
		if (!pci_liveupdate_busy(dev) ||
		    !(adev->hp || pci_lu_is_within(&dev->dev, adev)) ||
		    liveupdate_break("veto"))
			continue;
		liveupdate_refuse_dev(&dev->dev, -EBUSY, "ACPI event of %s",
				      dev_name(&adev->dev));
		pci_dev_put(dev);
		return -EBUSY;
	}
	pci_lu_changes++;
	return 0;
}
#endif

/**
 * pci_liveupdate_end_change - Ends pci_liveupdate_begin_change()
 */
void pci_liveupdate_end_change(void)
{
	guard(mutex)(&pci_lu_mutex);
	WARN_ON(!pci_lu_changes);
	pci_lu_changes--;
}

/**
 * pci_liveupdate_slot_busy - Is a kept device in or below this slot?
 * @slot: A hotplug slot
 *
 * Return: true when it is.
 */
bool pci_liveupdate_slot_busy(const struct pci_slot *slot)
{
	struct pci_dev *dev;
	bool busy = false;

	if (slot->bus->self && pci_liveupdate_busy(slot->bus->self))
		return true;

	down_read(&pci_bus_sem);
	list_for_each_entry(dev, &slot->bus->devices, bus_list) {
		if (dev->slot == slot)
			busy |= pci_liveupdate_busy(dev);
	}
	up_read(&pci_bus_sem);
	return busy;
}

/**
 * pci_liveupdate_no_recovery - Keep error recovery from a kept device
 * @dev: The function that reported an uncorrectable error
 *
 * Recovery resets what is below the port. In the old kernel that is right, and
 * the jump is called off. In the new kernel nobody is there yet who could handle
 * it: the device stays as the hardware left it.
 *
 * Return: true when there must be no recovery.
 */
bool pci_liveupdate_no_recovery(struct pci_dev *dev)
{
	struct pci_dev *bridge = pci_upstream_bridge(dev);

	/* Recovery of an endpoint takes in all that is below the port above */
	if (!bridge || dev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		bridge = dev;
	if (pci_liveupdate_outgoing(dev) || pci_liveupdate_outgoing(bridge))
		WRITE_ONCE(pci_lu_error, true);
	if (!pci_liveupdate_incoming(dev) && !pci_liveupdate_incoming(bridge))
		return false;
	pci_err(dev, "no error recovery before the device is finished\n");
	return true;
}

static const struct liveupdate_flb_ops pci_lu_flb_ops = {
	.preserve = pci_lu_flb_preserve,
	.unpreserve = pci_lu_flb_unpreserve,
	.retrieve = pci_lu_flb_retrieve,
	.finish = pci_lu_flb_finish,
	.owner = THIS_MODULE,
};

struct liveupdate_flb pci_lu_flb = {
	.ops = &pci_lu_flb_ops,
	.compatible = PCI_LIVEUPDATE_FLB_COMPATIBLE,
};

/**
 * pci_liveupdate_register - A file handler is going to keep PCI devices
 * @fh: The file handler, registered
 *
 * Return: 0 or what liveupdate_register_flb() says.
 */
int pci_liveupdate_register(struct liveupdate_file_handler *fh)
{
	return liveupdate_register_flb(fh, &pci_lu_flb);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_register);

/**
 * pci_liveupdate_unregister - Undo pci_liveupdate_register()
 * @fh: The file handler, still registered
 */
void pci_liveupdate_unregister(struct liveupdate_file_handler *fh)
{
	liveupdate_unregister_flb(fh, &pci_lu_flb);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_unregister);
