// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI devices that keep doing DMA while the kernel is replaced.
 *
 * A driver that owns a device calls pci_liveupdate_preserve() from the preserve
 * callback of its file handler. From then on the endpoint and every bridge above
 * it, the *path*, is left alone: shutdown for a kexec does not clear Bus Master
 * Enable, and unbind, remove, reset, rescan, slot power and events of ACPI are
 * refused with -EBUSY before any lock is taken that device_shutdown() needs. What
 * the next kernel cannot find out by looking is written to records in memory that
 * KHO preserves, see include/linux/kho/abi/pci.h. When the machine goes down for
 * anything else than a kexec, the IOMMU is switched off and what the device has
 * for addresses would be taken for those of memory: shutdown stops it.
 *
 * In the new kernel the hardware is the source of truth. pci_setup_device()
 * looks the function up by segment and bus number and, when vendor, device,
 * class, subsystem and serial number are the recorded ones, sets
 * pci_dev->lu_incoming. The hooks that test it read where the kernel would
 * otherwise program: bus numbers (those of all bridges, while anything is
 * incoming), bridge windows, BARs, payload size, tags, ordering, LTR, ASPM, ARI,
 * ACS, PME and MSI. The device may be bound only by a driver that names the
 * recorded file handler, and is offered to the recorded driver through
 * driver_override, which is cleared in the end unless somebody changed it.
 * Runtime PM is held. All this ends with pci_liveupdate_finish(), which is called
 * after the owner took the device back or after pci_liveupdate_stop() stopped it.
 *
 * A function that is not what the record says is *lost*: its bus mastering is
 * switched off at once, and it is an ordinary device from then on. So is every
 * endpoint below a bridge that is not what its record says. When the kernel was
 * handed something but cannot tell which devices it is about, because all of it
 * or a single record is damaged, every endpoint without a record that is found
 * with Bus Master Enable set is treated that way: nobody else leaves it set for
 * the next kernel. So is what was found running, and stopped, before there was a
 * PCI bus, because KHO is off. A driver that switches bus mastering on before it
 * resets the device would set it going where it stood, so it is reset before any
 * driver is bound to it.
 *
 * Locks: pci_lu_mutex protects both sets of records, the flags, and every
 * write of pci_dev->lu_outgoing and ->lu_incoming. Those are bytes of their own
 * and are read without it: ->lu_incoming is set before the device is visible to
 * anybody else and only ever cleared, and who must not miss ->lu_outgoing being
 * set announces itself with pci_liveupdate_begin_change(). Order: the locks of
 * the Live Update Orchestrator (outer), the lock of its FLB, pci_lu_mutex. The
 * device lock may be held around pci_lu_mutex, it is only ever tried inside the
 * locks of the orchestrator.
 *
 * Ownership: before the kexec the chunks belong to the FLB, from its preserve to
 * its unpreserve callback. After it they are copied to &struct pci_lu_record
 * when the first device is scanned and freed by the finish callback of the FLB,
 * when the last file is finished; a record that still exists then, because
 * nobody finished it, is stopped and finished there.
 *
 * Cannot fail: unpreserve, stop, finish. Preserve leaves nothing behind when it
 * fails.
 */

#define pr_fmt(fmt) "PCI: liveupdate: " fmt

#include <linux/acpi.h>
#include <linux/cleanup.h>
#include <linux/iommu.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/landing.h>
#include <linux/kho/abi/pci.h>
#include <linux/kho_query.h>
#include <linux/list.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_break.h>
#include <linux/liveupdate_refuse.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci_liveupdate.h>
#include <linux/pm_runtime.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "liveupdate-ser.h"
#include "pci.h"

/* What this kernel knows about what the last one handed over */
enum pci_lu_state {
	PCI_LU_UNTRIED, /* not asked yet */
	PCI_LU_NONE, /* nothing, or all of it is finished */
	PCI_LU_SET, /* there are records */
	PCI_LU_UNKNOWN, /* something, but it cannot be read */
};

/* A record of the last kernel */
struct pci_lu_record {
	struct list_head list;
	struct pci_dev_ser ser;
	/* resources that became IORESOURCE_PCI_FIXED because of the record */
	u32 fixed;
	/* the driver_override of the device is ours */
	bool offered;
	bool seen;
	bool stopped;
};

static DEFINE_MUTEX(pci_lu_mutex);

/* New kernel */
static enum pci_lu_state pci_lu_state;
/* A record is damaged: any device that has none may be the one it is about */
static bool pci_lu_damaged;
static LIST_HEAD(pci_lu_records);
static u64 pci_lu_incoming_pa;

/* Old kernel: the first chunk, while the FLB is preserved */
static struct pci_chunk_ser *pci_lu_chunks;
/* An error was seen on a path since the FLB was preserved */
static bool pci_lu_error;
/* Unbinds and removals that are under way */
static unsigned int pci_lu_changes;

static struct liveupdate_flb pci_lu_flb;

static enum pci_lu_state pci_lu_get_state(void);

/*
 * When it cannot be told which devices were kept nobody is waited for: all that
 * may be one is stopped when it is found.
 */
static void pci_lu_set_state(enum pci_lu_state state)
{
	lockdep_assert_held(&pci_lu_mutex);

	WRITE_ONCE(pci_lu_state, state);
	liveupdate_device_set_waiting(state == PCI_LU_SET);
}

static u16 pci_lu_bdf(const struct pci_dev *dev)
{
	return PCI_DEVID(dev->bus->number, dev->devfn);
}

/* ---- The chain of chunks ---- */

static struct pci_chunk_ser *pci_lu_next(const struct pci_chunk_ser *chunk)
{
	return chunk->next_pa ? phys_to_virt(chunk->next_pa) : NULL;
}

static struct pci_dev_ser *pci_lu_slot(struct pci_chunk_ser *chunk,
				       unsigned int i)
{
	return (struct pci_dev_ser *)(chunk + 1) + i;
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
	if (dev->nr_ide_streams)
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
	if (dev->rom_bar_overlap || dev->non_compliant_bars ||
	    dev->mmio_always_on)
		return "its BARs or its memory decoding are not as they should be";
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

/* May any function of a path be kept right now? */
static int pci_lu_check_function(struct pci_dev *dev, bool endpoint)
{
	const char *reason;

	reason = endpoint ? pci_lu_endpoint_reason(dev) :
			    pci_lu_bridge_reason(dev);
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

static void pci_lu_fill(struct pci_dev_ser *ser, struct pci_dev *dev)
{
	unsigned int i, bars = dev->hdr_type == PCI_HEADER_TYPE_BRIDGE ? 2 : 6;

	ser->domain = pci_domain_nr(dev->bus);
	ser->bdf = pci_lu_bdf(dev);
	ser->hdr_type = dev->hdr_type;
	ser->refcount = 1;
	pci_read_config_word(dev, PCI_VENDOR_ID, &ser->vendor);
	pci_read_config_word(dev, PCI_DEVICE_ID, &ser->device);
	pci_read_config_dword(dev, PCI_CLASS_REVISION, &ser->class_rev);
	ser->serial = pci_get_dsn(dev);
	for (i = 0; i < bars; i++)
		pci_read_config_dword(dev, PCI_BASE_ADDRESS_0 + 4 * i,
				      &ser->bar[i]);

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

/* ---- New kernel: the records ---- */

/* The record of a function in the new kernel, or NULL */
static struct pci_lu_record *pci_lu_find_at(u32 domain, u16 bdf)
{
	struct pci_lu_record *rec;

	lockdep_assert_held(&pci_lu_mutex);

	list_for_each_entry(rec, &pci_lu_records, list) {
		if (rec->ser.domain == domain && rec->ser.bdf == bdf)
			return rec;
	}
	return NULL;
}

static struct pci_lu_record *pci_lu_find_incoming(const struct pci_dev *dev)
{
	return pci_lu_find_at(pci_domain_nr(dev->bus), pci_lu_bdf(dev));
}

static int pci_lu_copy_chunk(struct pci_chunk_ser *chunk)
{
	struct pci_lu_record *rec;
	struct pci_dev_ser *ser;
	unsigned int i;
	int ret;

	for (i = 0; i < PCI_SER_SLOTS_PER_CHUNK; i++) {
		ser = pci_lu_slot(chunk, i);
		if (!ser->flags)
			continue;
		ret = pci_ser_check(ser);
		if (!ret && pci_lu_find_at(ser->domain, ser->bdf))
			ret = -EEXIST;
		if (ret) {
			pr_err("record %u of chunk %u cannot be used: %pe\n", i,
			       chunk->index, ERR_PTR(ret));
			pci_lu_damaged = true;
			continue;
		}
		rec = liveupdate_alloc("pci", kzalloc_obj(*rec));
		if (!rec)
			return -ENOMEM;
		rec->ser = *ser;
		list_add_tail(&rec->list, &pci_lu_records);
	}
	return 0;
}

static struct pci_chunk_ser *pci_lu_check_chunk(u64 pa, u32 index)
{
	struct pci_chunk_ser *chunk;
	int ret;

	if (!pa || index >= PCI_SER_MAX_CHUNKS || !kho_folio_preserved(pa, 0))
		return ERR_PTR(-EINVAL);
	chunk = phys_to_virt(pa);
	ret = pci_ser_check_chunk(chunk, index);
	return ret ? ERR_PTR(ret) : chunk;
}

static void pci_lu_free_records(void)
{
	struct pci_lu_record *rec, *next;

	lockdep_assert_held(&pci_lu_mutex);

	list_for_each_entry_safe(rec, next, &pci_lu_records, list) {
		list_del(&rec->list);
		kfree(rec);
	}
}

static int pci_lu_flb_retrieve(struct liveupdate_flb_op_args *args)
{
	struct pci_chunk_ser *chunk;
	u64 pa = args->data;
	u32 index = 0;
	int ret = 0;

	guard(mutex)(&pci_lu_mutex);
	do {
		chunk = pci_lu_check_chunk(pa, index++);
		ret = IS_ERR(chunk) ? PTR_ERR(chunk) : pci_lu_copy_chunk(chunk);
	} while (!ret && (pa = chunk->next_pa));

	if (!ret && pci_lu_damaged && list_empty(&pci_lu_records))
		ret = -EINVAL;
	if (ret) {
		pci_lu_free_records();
		return ret;
	}
	pci_lu_incoming_pa = args->data;
	pci_lu_set_state(list_empty(&pci_lu_records) ? PCI_LU_NONE :
						       PCI_LU_SET);
	args->obj = &pci_lu_records;
	return 0;
}

/* A device that has a record and that nobody finished, with a reference */
static struct pci_dev *pci_lu_get_left(void)
{
	struct pci_lu_record *rec;
	struct pci_dev *dev;

	guard(mutex)(&pci_lu_mutex);
	list_for_each_entry(rec, &pci_lu_records, list) {
		if (!(rec->ser.flags & PCI_DEV_SER_ENDPOINT))
			continue;
		dev = pci_get_domain_bus_and_slot(rec->ser.domain,
						  PCI_BUS_NUM(rec->ser.bdf),
						  rec->ser.bdf & 0xff);
		if (dev && pci_liveupdate_incoming(dev))
			return dev;
		pci_dev_put(dev);
	}
	return NULL;
}

static void pci_lu_drop_one(struct pci_dev *dev);

static void pci_lu_flb_finish(struct liveupdate_flb_op_args *args)
{
	struct pci_chunk_ser *chunk;
	struct pci_lu_record *rec, *next;
	struct pci_dev *dev;
	u64 pa;

	while ((dev = pci_lu_get_left())) {
		pci_warn(dev, "nobody finished this device, stopping it\n");
		pci_liveupdate_stop(dev);
		pci_liveupdate_finish(dev);
		pci_dev_put(dev);
	}

	guard(mutex)(&pci_lu_mutex);
	/* Bridges of endpoints that were lost */
	list_for_each_entry_safe(rec, next, &pci_lu_records, list) {
		dev = pci_get_domain_bus_and_slot(rec->ser.domain,
						  PCI_BUS_NUM(rec->ser.bdf),
						  rec->ser.bdf & 0xff);
		rec->ser.refcount = 1;
		if (dev && pci_liveupdate_incoming(dev))
			pci_lu_drop_one(dev);
		pci_dev_put(dev);
	}
	pci_lu_free_records();
	for (pa = pci_lu_incoming_pa; pa;) {
		chunk = phys_to_virt(pa);
		pa = chunk->next_pa;
		kho_restore_free(chunk);
	}
	pci_lu_incoming_pa = 0;
	pci_lu_damaged = false;
	pci_lu_set_state(PCI_LU_NONE);
}

static const struct liveupdate_flb_ops pci_lu_flb_ops = {
	.preserve = pci_lu_flb_preserve,
	.unpreserve = pci_lu_flb_unpreserve,
	.retrieve = pci_lu_flb_retrieve,
	.finish = pci_lu_flb_finish,
	.owner = THIS_MODULE,
};

static struct liveupdate_flb pci_lu_flb = {
	.ops = &pci_lu_flb_ops,
	.compatible = PCI_LIVEUPDATE_FLB_COMPATIBLE,
};

/* Did the last kernel keep any device? */
static bool pci_lu_handed_over(void)
{
	phys_addr_t pa;

	return is_kho_boot() &&
	       kho_retrieve_subtree(LIVEUPDATE_DEVICES_KHO_ENTRY, &pa, NULL) !=
		       -ENOENT;
}

static void pci_lu_load(void)
{
	enum pci_lu_state state = PCI_LU_NONE;
	void *obj;
	int ret;

	ret = liveupdate_flb_get_incoming(&pci_lu_flb, &obj);
	if (!ret) {
		liveupdate_flb_put_incoming(&pci_lu_flb);
		return;
	}
	if (ret != -ENOENT && ret != -ENODATA && pci_lu_handed_over()) {
		pr_err("cannot tell which devices were kept: %pe\n",
		       ERR_PTR(ret));
		state = PCI_LU_UNKNOWN;
	}

	guard(mutex)(&pci_lu_mutex);
	if (pci_lu_state == PCI_LU_UNTRIED)
		pci_lu_set_state(state);
}

static enum pci_lu_state pci_lu_get_state(void)
{
	if (READ_ONCE(pci_lu_state) == PCI_LU_UNTRIED)
		pci_lu_load();
	return READ_ONCE(pci_lu_state);
}

/**
 * pci_liveupdate_any_incoming - Is any device of the last kernel still kept?
 *
 * Context: Process context after early initcalls, may sleep.
 * Return: true when one is, or when that cannot be told.
 */
bool pci_liveupdate_any_incoming(void)
{
	enum pci_lu_state state = pci_lu_get_state();

	return state == PCI_LU_SET || state == PCI_LU_UNKNOWN;
}
EXPORT_SYMBOL_GPL(pci_liveupdate_any_incoming);

/* ---- New kernel: read, do not program ---- */

/* Before the device has a name, so messages are made from its numbers */
static void pci_lu_clear_master(struct pci_dev *dev, const char *why)
{
	u16 cmd;

	pr_err("%04x:%02x:%02x.%d %s\n", pci_domain_nr(dev->bus),
	       dev->bus->number, PCI_SLOT(dev->devfn), PCI_FUNC(dev->devfn),
	       why);
	if (dev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return;
	pci_read_config_word(dev, PCI_COMMAND, &cmd);
	dev->lu_lost = cmd & PCI_COMMAND_MASTER;
	if (cmd & PCI_COMMAND_MASTER)
		pci_write_config_word(dev, PCI_COMMAND,
				      cmd & ~PCI_COMMAND_MASTER);
	dev->is_busmaster = 0;
}

/**
 * pci_liveupdate_lose - Stop a device that its IOMMU has nothing usable about
 * @dev: An endpoint, no driver is bound to it
 *
 * Clears bus mastering and takes no lock. One that is kept is reset when it is
 * finished; any other one that was running, before a driver is bound to it.
 *
 * Context: Any in which config space can be accessed.
 */
void pci_liveupdate_lose(struct pci_dev *dev)
{
	u16 cmd;

	pci_read_config_word(dev, PCI_COMMAND, &cmd);
	if (cmd & PCI_COMMAND_MASTER && !pci_liveupdate_incoming(dev))
		dev->lu_lost = true;
	pci_clear_master(dev);
}

static bool pci_lu_is(struct pci_dev *dev, const struct pci_dev_ser *ser)
{
	u16 vendor = 0, device = 0;
	u32 class_rev;

	pci_read_config_dword(dev, PCI_CLASS_REVISION, &class_rev);
	if (dev->hdr_type == PCI_HEADER_TYPE_NORMAL) {
		pci_read_config_word(dev, PCI_SUBSYSTEM_VENDOR_ID, &vendor);
		pci_read_config_word(dev, PCI_SUBSYSTEM_ID, &device);
	}
	return dev->vendor == ser->vendor && dev->device == ser->device &&
	       class_rev == ser->class_rev && dev->hdr_type == ser->hdr_type &&
	       vendor == ser->subsystem_vendor &&
	       device == ser->subsystem_device;
}

static bool pci_lu_bars_are(struct pci_dev *dev, const struct pci_dev_ser *ser)
{
	unsigned int i, bars = dev->hdr_type == PCI_HEADER_TYPE_BRIDGE ? 2 : 6;
	u32 value;

	for (i = 0; i < bars; i++) {
		pci_read_config_dword(dev, PCI_BASE_ADDRESS_0 + 4 * i, &value);
		if (value != ser->bar[i])
			return false;
	}
	if (dev->hdr_type == PCI_HEADER_TYPE_BRIDGE) {
		pci_read_config_dword(dev, PCI_PRIMARY_BUS, &value);
		return !((value ^ ser->buses) & ~PCI_SEC_LATENCY_TIMER_MASK);
	}
	return true;
}

/**
 * pci_liveupdate_setup_device - Is this function on the path of a kept device?
 * @dev: A function of which only ids, header type and bus are known
 *
 * The first thing pci_setup_device() does once it can read the function. A
 * function that is not what its record says is stopped here.
 *
 * Context: Process context, may sleep.
 */
void pci_liveupdate_setup_device(struct pci_dev *dev)
{
	enum pci_lu_state state = pci_lu_get_state();
	struct pci_dev *bridge = dev->bus->self;
	struct pci_lu_record *rec;
	u16 cmd;

	if (dev->hdr_type == PCI_HEADER_TYPE_NORMAL &&
	    liveupdate_device_stopped(pci_domain_nr(dev->bus), pci_lu_bdf(dev)))
		dev->lu_lost = true;
	if (state == PCI_LU_NONE || dev->is_virtfn)
		return;
	pci_read_config_word(dev, PCI_COMMAND, &cmd);

	guard(mutex)(&pci_lu_mutex);
	rec = pci_lu_find_incoming(dev);
	if (!rec && (state == PCI_LU_UNKNOWN || pci_lu_damaged) &&
	    cmd & PCI_COMMAND_MASTER && dev->hdr_type == PCI_HEADER_TYPE_NORMAL)
		pci_lu_clear_master(dev, "may be a kept device, stopped");
	if (!rec || dev->lu_incoming)
		return;
	if (rec->seen)
		pci_lu_clear_master(dev, "was kept and came back, lost");
	else if (!pci_lu_is(dev, &rec->ser) || !pci_lu_bars_are(dev, &rec->ser))
		pci_lu_clear_master(dev, "is not the kept device, lost");
	else if (bridge && !pci_liveupdate_incoming(bridge))
		pci_lu_clear_master(dev, "was kept below another bridge, lost");
	else
		WRITE_ONCE(dev->lu_incoming, true);
	rec->seen = true;
	if (!dev->lu_incoming)
		return;

	dev->is_busmaster = !!(cmd & PCI_COMMAND_MASTER);
	dev->broken_intx_masking = !!(rec->ser.flags & PCI_DEV_SER_INTX_BROKEN);
}

/**
 * pci_liveupdate_configure_device - Inherit what pci_configure_device() programs
 * @dev: A function that is being added
 *
 * Return: true when @dev keeps its payload size, tags, ordering and LTR.
 */
bool pci_liveupdate_configure_device(struct pci_dev *dev)
{
	u16 ctl = 0;

	if (!pci_liveupdate_incoming(dev))
		return false;
#ifdef CONFIG_PCIEASPM
	pcie_capability_read_word(dev, PCI_EXP_DEVCTL2, &ctl);
	dev->ltr_path = !!(ctl & PCI_EXP_DEVCTL2_LTR_EN);
#endif
	return true;
}

/* The BARs stay where they are */
static void pci_lu_fix_bars(struct pci_dev *dev, struct pci_lu_record *rec)
{
	struct resource *res;
	unsigned int i;

	for (i = 0; i <= PCI_ROM_RESOURCE; i++) {
		res = pci_resource_n(dev, i);
		if (!res->flags || res->flags & IORESOURCE_PCI_FIXED)
			continue;
		res->flags |= IORESOURCE_PCI_FIXED;
		rec->fixed |= BIT(i);
	}
}

/**
 * pci_liveupdate_add_device - A function of a path gets its struct device
 * @dev: A function that is being added; its configuration was read
 *
 * Pins BARs and power state until pci_liveupdate_finish() and offers the device
 * to its driver.
 *
 * Context: Process context, may sleep.
 * Return: true when @dev is incoming.
 */
bool pci_liveupdate_add_device(struct pci_dev *dev)
{
	struct pci_lu_record *rec;

	if (!pci_liveupdate_incoming(dev))
		return false;

	guard(mutex)(&pci_lu_mutex);
	rec = pci_lu_find_incoming(dev);
	if (WARN_ON(!rec))
		return false;
	if (pci_get_dsn(dev) != rec->ser.serial) {
		WRITE_ONCE(dev->lu_incoming, false);
		pci_lu_clear_master(dev, "has another serial number, lost");
		return false;
	}
	pci_lu_fix_bars(dev, rec);
	pm_runtime_get_noresume(&dev->dev);
	if (rec->ser.driver[0] && !liveupdate_break("bind")) {
		rec->offered =
			!device_set_driver_override(&dev->dev, rec->ser.driver);
		if (!rec->offered)
			pci_warn(dev,
				 "set driver_override to %s to get it back\n",
				 rec->ser.driver);
	}
	pci_info(dev, "kept over the live update\n");
	return true;
}

/**
 * pci_liveupdate_skip_bridge - Must the buses below this bridge stay unknown?
 * @bus: The bus the bridge is on
 * @dev: The bridge
 *
 * No bus is renumbered while a device is kept: its requester id would change
 * under its DMA, or another device's would become the same.
 *
 * Context: Process context, may sleep.
 * Return: true when only a new number would make the bridge usable.
 */
bool pci_liveupdate_skip_bridge(struct pci_bus *bus, struct pci_dev *dev)
{
	u8 primary, secondary, subordinate;
	u32 buses;

	if (!pci_liveupdate_any_incoming())
		return false;

	pci_read_config_dword(dev, PCI_PRIMARY_BUS, &buses);
	primary = FIELD_GET(PCI_PRIMARY_BUS_MASK, buses);
	secondary = FIELD_GET(PCI_SECONDARY_BUS_MASK, buses);
	subordinate = FIELD_GET(PCI_SUBORDINATE_BUS_MASK, buses);
	/* Some bridges have a primary bus number that is wired to 0 */
	if ((primary == bus->number || !primary) && secondary > bus->number &&
	    secondary <= subordinate)
		return false;
	pci_warn(dev, "[bus %02x-%02x] not scanned: a device is kept\n",
		 secondary, subordinate);
	return true;
}

#ifdef CONFIG_PCI_ATS
/**
 * pci_liveupdate_inherit_ats - Leave ATS on where it was found on
 * @dev: A function whose IOMMU driver is about to prepare ATS, with it off
 * @ps: Smallest translation unit the driver wants, as a power of two
 *
 * Whether a device can be kept with ATS on is for its IOMMU driver to say.
 *
 * Return: 1 when there is nothing to inherit, 0 when it has been inherited, or
 * -EINVAL when the device uses another translation unit.
 */
int pci_liveupdate_inherit_ats(struct pci_dev *dev, int ps)
{
	u16 ctrl;

	if (!pci_liveupdate_incoming(dev) || liveupdate_break("ats"))
		return 1;
	pci_read_config_word(dev, dev->ats_cap + PCI_ATS_CTRL, &ctrl);
	if (!(ctrl & PCI_ATS_CTRL_ENABLE))
		return 1;
	if (PCI_ATS_CTRL_STU(ctrl) + PCI_ATS_MIN_STU != ps)
		return -EINVAL;
	dev->ats_stu = ps;
	dev->ats_enabled = 1;
	return 0;
}
#endif

/**
 * pci_liveupdate_inherit_ari - Inherit ARI forwarding of the bridge above
 * @dev: Function 0 below a bridge
 *
 * Return: true when the bridge is on the path of a kept device.
 */
bool pci_liveupdate_inherit_ari(struct pci_dev *dev)
{
	struct pci_dev *bridge = dev->bus->self;
	u16 ctl = 0;

	if (!bridge || !pci_liveupdate_incoming(bridge))
		return false;
	if (!dev->devfn) {
		pcie_capability_read_word(bridge, PCI_EXP_DEVCTL2, &ctl);
		bridge->ari_enabled = !!(ctl & PCI_EXP_DEVCTL2_ARI);
	}
	return true;
}

/**
 * pci_liveupdate_mask_msix - Keep MSI-X silent, but on
 * @dev: A function that is being added
 * @ctrl: Its MSI-X message control
 *
 * A masked function keeps its pending bits, and does not fall back to INTx. MSI
 * needs no such thing: the owner switched it off before the jump.
 *
 * Return: true when @dev is an incoming endpoint.
 */
bool pci_liveupdate_mask_msix(struct pci_dev *dev, u16 ctrl)
{
	if (!pci_liveupdate_incoming(dev) ||
	    dev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return false;
	if (ctrl & PCI_MSIX_FLAGS_ENABLE && !(ctrl & PCI_MSIX_FLAGS_MASKALL))
		pci_write_config_word(dev, dev->msix_cap + PCI_MSIX_FLAGS,
				      ctrl | PCI_MSIX_FLAGS_MASKALL);
	return true;
}

static int pci_lu_reset_locked(struct pci_dev *dev)
{
	int ret;

	pci_save_state(dev);
	pci_write_config_word(dev, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
	ret = __pci_reset_function_locked(dev);
	pci_restore_state(dev);
	return ret;
}

/*
 * Reset with the configuration restored, but never wait for a lock. @locked: the
 * device lock is held.
 */
static int pci_lu_reset(struct pci_dev *dev, bool locked)
{
	struct pci_dev *bridge = pci_upstream_bridge(dev);
	int ret = -EAGAIN;

	if (!pci_reset_supported(dev))
		return -ENOTTY;
	if (bridge && !pci_dev_trylock(bridge))
		return ret;
	if (locked) {
		pci_cfg_access_lock(dev);
		ret = pci_lu_reset_locked(dev);
		pci_cfg_access_unlock(dev);
	} else if (pci_dev_trylock(dev)) {
		ret = pci_lu_reset_locked(dev);
		pci_dev_unlock(dev);
	}
	if (bridge)
		pci_dev_unlock(bridge);
	return ret;
}

/**
 * pci_liveupdate_may_bind - May this driver have this device?
 * @dev: A device
 * @drv: A driver that wants it
 *
 * A driver that does not know that the device is running would reset it. Bridges
 * are not restricted: pcieport does not.
 *
 * Context: Process context, may sleep.
 * Return: true when @dev is not kept, or by a file handler that @drv names.
 */
bool pci_liveupdate_may_bind(struct pci_dev *dev, const struct pci_driver *drv)
{
	struct pci_lu_record *rec;

	if (!pci_liveupdate_incoming(dev) ||
	    dev->hdr_type != PCI_HEADER_TYPE_NORMAL || liveupdate_break("bind"))
		return true;

	guard(mutex)(&pci_lu_mutex);
	rec = pci_lu_find_incoming(dev);
	return !rec || (drv->liveupdate_compat &&
			!strcmp(drv->liveupdate_compat, rec->ser.compat));
}

/**
 * pci_liveupdate_check_probe - May this driver probe this device now?
 * @dev: A device, with its lock held
 * @drv: The driver
 *
 * Resets what was found running and could not be kept. Where there is no reset
 * the driver has to cope, as after any other kexec.
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENODEV when pci_liveupdate_may_bind() says no, -EPROBE_DEFER when
 * the bridge above is in use, for the reset of another function for example.
 */
int pci_liveupdate_check_probe(struct pci_dev *dev,
			       const struct pci_driver *drv)
{
	int ret;

	device_lock_assert(&dev->dev);
	if (!pci_liveupdate_may_bind(dev, drv))
		return -ENODEV;
	if (!dev->lu_lost || liveupdate_break("reset"))
		return 0;
	ret = pci_lu_reset(dev, true);
	if (ret == -EAGAIN)
		return -EPROBE_DEFER;
	pci_info(dev, "was running when it was found: %s\n",
		 ret ? "not reset" : "reset");
	dev->lu_lost = false;
	return 0;
}

/**
 * pci_liveupdate_get_incoming - Find a kept device
 * @domain: PCI segment
 * @bdf: Bus, device and function
 * @compat: Compatibility string of the file handler that kept it
 *
 * Context: Process context, may sleep.
 * Return: The device with a reference; -ENODEV when there is none, it is lost,
 * or it was finished; -EPERM when another file handler kept it.
 */
struct pci_dev *pci_liveupdate_get_incoming(u32 domain, u16 bdf,
					    const char *compat)
{
	struct pci_lu_record *rec;
	struct pci_dev *dev;
	int ret = -ENODEV;

	dev = pci_get_domain_bus_and_slot(domain, PCI_BUS_NUM(bdf), bdf & 0xff);
	if (!dev)
		return ERR_PTR(-ENODEV);

	scoped_guard(mutex, &pci_lu_mutex) {
		rec = pci_lu_find_at(domain, bdf);
		if (!rec || !pci_liveupdate_incoming(dev))
			break;
		if (rec->ser.flags & PCI_DEV_SER_ENDPOINT &&
		    !strcmp(rec->ser.compat, compat))
			return dev;
		ret = -EPERM;
	}
	pci_dev_put(dev);
	return ERR_PTR(ret);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_get_incoming);

/**
 * pci_liveupdate_quiet_msi - Switch off MSI and MSI-X of the last kernel
 * @dev: A device of which no interrupt was set up by this kernel
 *
 * INTx is disabled, so the device stays silent.
 */
void pci_liveupdate_quiet_msi(struct pci_dev *dev)
{
	u16 ctrl;

	pci_intx(dev, 0);
	if (dev->msi_cap && !dev->msi_enabled) {
		pci_read_config_word(dev, dev->msi_cap + PCI_MSI_FLAGS, &ctrl);
		if (ctrl & PCI_MSI_FLAGS_ENABLE)
			pci_write_config_word(dev, dev->msi_cap + PCI_MSI_FLAGS,
					      ctrl & ~PCI_MSI_FLAGS_ENABLE);
	}
	if (dev->msix_cap && !dev->msix_enabled) {
		pci_read_config_word(dev, dev->msix_cap + PCI_MSIX_FLAGS,
				     &ctrl);
		if (ctrl & PCI_MSIX_FLAGS_ENABLE)
			pci_write_config_word(dev,
					      dev->msix_cap + PCI_MSIX_FLAGS,
					      ctrl & ~PCI_MSIX_FLAGS_ENABLE);
	}
}
EXPORT_SYMBOL_GPL(pci_liveupdate_quiet_msi);

/**
 * pci_liveupdate_disable - Undo pci_enable_device() of a device that goes on
 * @dev: A kept device
 *
 * What pci_disable_device() does besides counting would stop it.
 */
void pci_liveupdate_disable(struct pci_dev *dev)
{
	atomic_dec(&dev->enable_cnt);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_disable);

/**
 * pci_liveupdate_stop - Stop a device that kept running
 * @dev: The endpoint
 *
 * Bus mastering off, then everything that is under way has ended, then a reset
 * if the function has one. After this the memory of the device may be freed as
 * soon as the IOMMU has been told. May be called again.
 *
 * Context: Process context, may sleep. Cannot fail: a device that cannot be
 * reset, or only by waiting for a lock, has bus mastering off all the same.
 */
void pci_liveupdate_stop(struct pci_dev *dev)
{
	struct pci_lu_record *rec;
	bool stopped = false;
	int ret;

	if (liveupdate_break("stop"))
		return;

	pci_clear_master(dev);
	if (!pci_wait_for_pending_transaction(dev))
		pci_err(dev,
			"transactions still pending after bus mastering is off\n");

	scoped_guard(mutex, &pci_lu_mutex) {
		rec = pci_lu_find_incoming(dev);
		if (rec) {
			stopped = rec->stopped;
			rec->stopped = true;
		}
	}
	if (stopped)
		return;
	ret = pci_lu_reset(dev, false);
	if (ret)
		pci_info(dev, "stopped without a reset: %pe\n", ERR_PTR(ret));
	pci_liveupdate_quiet_msi(dev);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_stop);

/* Clear the driver_override, unless somebody has changed it */
static void pci_lu_withdraw(struct pci_dev *dev, struct pci_lu_record *rec)
{
	const struct device_driver drv = { .name = rec->ser.driver };

	if (rec->offered && device_match_driver_override(&dev->dev, &drv) > 0)
		device_set_driver_override(&dev->dev, "");
}

/* The function is an ordinary one from now on */
static void pci_lu_drop_one(struct pci_dev *dev)
{
	struct pci_lu_record *rec = pci_lu_find_incoming(dev);
	unsigned int i;

	lockdep_assert_held(&pci_lu_mutex);

	if (WARN_ON(!rec) || --rec->ser.refcount)
		return;
	for (i = 0; i <= PCI_ROM_RESOURCE; i++) {
		if (rec->fixed & BIT(i))
			pci_resource_n(dev, i)->flags &= ~IORESOURCE_PCI_FIXED;
	}
	pci_lu_withdraw(dev, rec);
	list_del(&rec->list);
	kfree(rec);
	WRITE_ONCE(dev->lu_incoming, false);
	pm_runtime_put(&dev->dev);
}

/**
 * pci_liveupdate_finish - A kept device is an ordinary one again
 * @dev: The endpoint
 *
 * Either its owner has taken it back, or pci_liveupdate_stop() was called. May
 * be called again.
 *
 * Context: Process context, may sleep. Cannot fail.
 */
void pci_liveupdate_finish(struct pci_dev *dev)
{
	struct pci_dev *pos, *up;

	guard(mutex)(&pci_lu_mutex);
	if (!pci_liveupdate_incoming(dev))
		return;
	for (pos = dev; pos; pos = up) {
		up = pci_upstream_bridge(pos);
		if (pci_liveupdate_incoming(pos))
			pci_lu_drop_one(pos);
	}
	if (list_empty(&pci_lu_records))
		pci_lu_set_state(PCI_LU_NONE);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_finish);

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
