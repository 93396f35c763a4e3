// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live update of IOMMUs: the new kernel's side. liveupdate.c is the old one's and
 * says what is handed over, and how the locks nest.
 *
 * What it keeps
 *
 * For each record of the FLB that can be used what has become of its unit, domain,
 * device or PASID, in the lists of "incoming"; incoming_pci finds the devices
 * among them. The records are read only. They and what is kept about them are
 * freed when the FLB is finished. A restored domain belongs to this file, which has
 * a reference to each device on it, until it is claimed, or abandoned and freed.
 *
 * Restore
 *
 * The FLB is parsed early, before IOMMU drivers come up. A driver takes
 * the tables of its units over without writing to them. When a kept device is
 * probed, its domain is rebuilt and the group is told that it already is
 * attached to it; the domains of its PASIDs are, too, or it is lost as a whole.
 * What has the address of a kept device but is another one, as the PCI core tells,
 * gets nothing of it, and its entry is cleared.
 * The group is owned by a placeholder, so that neither a driver with the DMA API
 * nor another user can get at it, and no other device joins it, as in the old
 * kernel from preserve on. The iommufd that is retrieved claims domain and
 * device. From then on everything is upstream code.
 *
 * Abandon
 *
 * A kept device that nobody claimed is stopped (bus master off, pending
 * transactions waited for, reset), then blocked, and then its domain is freed:
 * device, IOMMU, memory, in that order. That happens when its file is finished,
 * which includes the death of the session's holder; when the last file that
 * uses the FLB is finished, for what is left; before the next kexec or
 * shutdown; and at the deadline iommu.liveupdate_deadline=SECONDS, when one is
 * given. A record that cannot be used has its hardware entry cleared. What
 * cannot be freed safely is leaked, and said.
 *
 * What cannot fail
 *
 * To return what was claimed: hardware is not touched. To lose, abandon or finish
 * it: the blocking domain of a group is there before its device is restored.
 *
 * Locks
 *
 * The lists and incoming_pci are filled by the FLB's retrieve, under the inner
 * lock, and emptied by its finish, under both. They do not change in between, so
 * that one of the locks is enough to walk them. Everything in an entry changes
 * under the inner lock. A domain is freed with the outer one only, when no entry
 * has it any more.
 *
 * Cost
 *
 * A device is found by its PCI address in constant time, and a domain in a list:
 * again n^2 short steps.
 */
#define pr_fmt(fmt) "iommu: live update: " fmt

#include <linux/iommu.h>
#include <linux/kexec_handover.h>
#include <linux/kho_query.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_break.h>
#include <linux/module.h>
#include <linux/pci_liveupdate.h>
#include <linux/reboot.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "iommu-priv.h"
#include "liveupdate-parse.h"
#include "liveupdate-priv.h"

char iommu_liveupdate_placeholder;

/* A unit record of the old kernel that a driver may take over */
struct iommu_liveupdate_incoming_unit {
	struct list_head list;
	u32 slot;
	struct iommu_unit_ser *ser;
	const struct iommu_liveupdate_ops *ops;
};

/* root is NULL unless the FLB is retrieved and not finished. */
static struct {
	struct iommu_ser *root;
	struct list_head units;
	struct list_head domains;
	struct list_head devices;
	struct list_head pasids; /* while the records are being read */
} incoming = {
	.units = LIST_HEAD_INIT(incoming.units),
	.domains = LIST_HEAD_INIT(incoming.domains),
	.devices = LIST_HEAD_INIT(incoming.devices),
	.pasids = LIST_HEAD_INIT(incoming.pasids),
};

/* The PCI devices of incoming.devices by iommu_pci_key() */
static DEFINE_XARRAY(incoming_pci);

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "iommu."

static unsigned int deadline;
module_param_named(liveupdate_deadline, deadline, uint, 0444);
MODULE_PARM_DESC(liveupdate_deadline,
		 "Stop unclaimed kept devices after so many seconds");

/* ------------------------------------------------------------- what came in */

static const void *iommu_liveupdate_map(void *ctx, u64 pa, u64 size)
{
	/* Root and chunks are preserved as single pages, never in between. */
	if (!IS_ALIGNED(pa, IOMMU_SER_CHUNK_SIZE) ||
	    size > IOMMU_SER_CHUNK_SIZE || !kho_folio_preserved(pa, 0))
		return NULL;
	return phys_to_virt(pa);
}

static int iommu_incoming_add(u32 slot, struct iommu_record_ser *rec)
{
	struct iommu_liveupdate_incoming_unit *unit;
	struct iommu_liveupdate_domain *domain;
	struct iommu_liveupdate_device *device;
	struct iommu_liveupdate_pasid *pasid;

	switch (rec->type) {
	case IOMMU_RECORD_UNIT:
		unit = liveupdate_alloc("unit", kzalloc_obj(*unit));
		if (!unit)
			return -ENOMEM;
		unit->slot = slot;
		unit->ser = (void *)rec;
		list_add_tail(&unit->list, &incoming.units);
		return 0;
	case IOMMU_RECORD_DOMAIN:
		domain = liveupdate_alloc("domain", kzalloc_obj(*domain));
		if (!domain)
			return -ENOMEM;
		domain->slot = slot;
		domain->ser = (void *)rec;
		list_add_tail(&domain->list, &incoming.domains);
		return 0;
	case IOMMU_RECORD_DEVICE:
		device = liveupdate_alloc("device", kzalloc_obj(*device));
		if (!device)
			return -ENOMEM;
		device->slot = slot;
		device->ser = (void *)rec;
		device->state = IOMMU_LIVEUPDATE_DEVICE_WAITING;
		xa_init(&device->pasids);
		list_add_tail(&device->list, &incoming.devices);
		return 0;
	case IOMMU_RECORD_PASID:
		pasid = liveupdate_alloc("pasid", kzalloc_obj(*pasid));
		if (!pasid)
			return -ENOMEM;
		pasid->ser = (void *)rec;
		list_add_tail(&pasid->list, &incoming.pasids);
		return 0;
	}
	return -EINVAL;
}

static struct iommu_liveupdate_domain *iommu_incoming_domain(u32 slot)
{
	struct iommu_liveupdate_domain *domain;

	list_for_each_entry(domain, &incoming.domains, list)
		if (domain->slot == slot)
			return domain;
	return NULL;
}

static unsigned long iommu_pci_key(u32 segment, u32 rid)
{
	return (unsigned long)segment << 16 | rid;
}

static int iommu_incoming_index(struct iommu_liveupdate_device *device)
{
	const struct iommu_device_ser *ser = device->ser;

	if (ser->bus != IOMMU_DEVICE_SER_PCI)
		return 0;
	if (liveupdate_break("nomem_index"))
		return -ENOMEM;
	return xa_insert(&incoming_pci, iommu_pci_key(ser->segment, ser->rid),
			 device, GFP_KERNEL);
}

static struct iommu_liveupdate_device *iommu_incoming_slot(u32 slot)
{
	struct iommu_liveupdate_device *device;

	list_for_each_entry(device, &incoming.devices, list)
		if (device->slot == slot)
			return device;
	return NULL;
}

/* Give every PASID its device and domain; what has none is missed by its device. */
static void iommu_incoming_resolve_pasids(void)
{
	struct iommu_liveupdate_pasid *pasid, *next;
	struct iommu_liveupdate_device *device;

	list_for_each_entry_safe(pasid, next, &incoming.pasids, list) {
		list_del(&pasid->list);
		device = iommu_incoming_slot(pasid->ser->device);
		pasid->domain = iommu_incoming_domain(pasid->ser->domain);
		if (!device || !pasid->domain ||
		    xa_insert(&device->pasids, pasid->ser->pasid, pasid,
			      GFP_KERNEL))
			kfree(pasid);
	}
}

static unsigned int iommu_pasid_count(struct iommu_liveupdate_device *device)
{
	struct iommu_liveupdate_pasid *lp;
	unsigned long pasid;
	unsigned int nr = 0;

	xa_for_each(&device->pasids, pasid, lp)
		nr++;
	return nr;
}

static void iommu_incoming_free_device(struct iommu_liveupdate_device *device)
{
	struct iommu_liveupdate_pasid *lp;
	unsigned long pasid;

	xa_for_each(&device->pasids, pasid, lp)
		kfree(lp);
	xa_destroy(&device->pasids);
	list_del(&device->list);
	kfree(device);
}

/*
 * Give every device its unit, domain and PASIDs; what it cannot have costs the
 * device. The entries of a device without a record are cleared.
 */
static void iommu_incoming_resolve(void)
{
	struct iommu_liveupdate_device *device, *next;
	struct iommu_liveupdate_incoming_unit *unit;

	iommu_incoming_resolve_pasids();
	list_for_each_entry_safe(device, next, &incoming.devices, list) {
		device->domain = iommu_incoming_domain(device->ser->domain);
		list_for_each_entry(unit, &incoming.units, list)
			if (unit->slot == device->ser->unit)
				device->unit = unit->ser;
		if (device->domain && device->unit &&
		    iommu_pasid_count(device) == device->ser->nr_pasids &&
		    !iommu_incoming_index(device))
			continue;
		pr_err("record %u: its device is lost, it cannot be used with the other records\n",
		       device->slot);
		iommu_incoming_free_device(device);
	}
}

/**
 * iommu_liveupdate_flb_retrieve - Read what the previous kernel handed over
 * @args: data is the physical address of the root, obj becomes the root
 *
 * A record that cannot be used is left out, and what refers to it with it.
 *
 * Context: Process context, once, takes the inner lock.
 * Return: 0; an error of iommu_liveupdate_parse_root() when there is nothing that
 * can be believed.
 */
int iommu_liveupdate_flb_retrieve(struct liveupdate_flb_op_args *args)
{
	struct iommu_parse_mem mem = { .map = iommu_liveupdate_map };
	struct iommu_parse parse = {};
	const struct iommu_record_ser *rec;
	u32 slot;
	int ret;

	ret = iommu_liveupdate_parse_root(&mem, args->data, &parse);
	if (ret) {
		pr_err("cannot read what the previous kernel handed over: %s\n",
		       iommu_parse_reason(&parse));
		return ret;
	}

	guard(mutex)(&iommu_liveupdate_lock);
	for (slot = 0; slot < parse.nr_slots; slot++) {
		cond_resched();
		ret = iommu_liveupdate_parse_record(&parse, slot, &rec);
		if (ret == -ENOENT)
			continue;
		if (ret) {
			pr_err("record %u cannot be used: %s\n", slot,
			       iommu_parse_reason(&parse));
			continue;
		}
		ret = iommu_incoming_add(slot, (void *)rec);
		if (ret)
			pr_err("record %u is lost: %pe\n", slot, ERR_PTR(ret));
	}

	incoming.root = phys_to_virt(args->data);
	iommu_incoming_resolve();
	args->obj = incoming.root;
	return 0;
}

/*
 * Reads the FLB before any IOMMU driver looks for its units: drivers do that with
 * locks held that finishing the FLB, under the same lock, may need.
 */
static int __init iommu_incoming_load(void)
{
	void *obj;
	int ret;

	ret = liveupdate_flb_get_incoming(&iommu_liveupdate_flb, &obj);
	if (!ret)
		liveupdate_flb_put_incoming(&iommu_liveupdate_flb);
	else if (ret != -ENOENT && ret != -ENODATA && ret != -EOPNOTSUPP)
		pr_err("nothing of the previous kernel is taken over: %pe\n",
		       ERR_PTR(ret));
	return 0;
}
core_initcall(iommu_incoming_load);

/**
 * iommu_liveupdate_incoming_unit - The record of a unit
 * @ops: operations of the caller, used for the unit's devices from now on
 * @reg_pa: physical address of the unit's registers
 *
 * Context: Process context, before the unit is registered with the core.
 * Return: the record, or NULL when there is none that can be used.
 */
struct iommu_unit_ser *
iommu_liveupdate_incoming_unit(const struct iommu_liveupdate_ops *ops,
			       u64 reg_pa)
{
	struct iommu_liveupdate_incoming_unit *unit;
	struct iommu_liveupdate_device *device;

	guard(mutex)(&iommu_liveupdate_lock);
	list_for_each_entry(unit, &incoming.units, list) {
		if (unit->ser->head.driver != ops->driver ||
		    unit->ser->reg_pa != reg_pa)
			continue;
		unit->ops = ops;
		list_for_each_entry(device, &incoming.devices, list)
			if (device->unit == unit->ser)
				device->ops = ops;
		return unit->ser;
	}
	return NULL;
}

/**
 * iommu_liveupdate_incoming_device - The record of a PCI device of a unit
 * @unit: record of the unit
 * @rid: bus, device and function of the device
 *
 * Context: Process context.
 * Return: the record, or NULL when there is none that can be used.
 */
const struct iommu_device_ser *
iommu_liveupdate_incoming_device(const struct iommu_unit_ser *unit, u16 rid)
{
	struct iommu_liveupdate_device *device;

	guard(mutex)(&iommu_liveupdate_lock);
	device = xa_load(&incoming_pci, iommu_pci_key(unit->segment, rid));
	return device && device->unit == unit ? device->ser : NULL;
}

/**
 * iommu_liveupdate_incoming_pasid - The next PASID record of a PCI device
 * @device: record of the device
 * @first: lowest PASID to look for
 * @last: highest PASID to look for
 *
 * Context: Process context.
 * Return: the record with the lowest PASID in the range, or NULL.
 */
const struct iommu_pasid_ser *
iommu_liveupdate_incoming_pasid(const struct iommu_device_ser *device,
				u32 first, u32 last)
{
	struct iommu_liveupdate_device *ldev;
	struct iommu_liveupdate_pasid *lp;
	unsigned long pasid = first;

	guard(mutex)(&iommu_liveupdate_lock);
	ldev = xa_load(&incoming_pci,
		       iommu_pci_key(device->segment, device->rid));
	if (!ldev || ldev->ser != device)
		return NULL;
	lp = xa_find(&ldev->pasids, &pasid, last, XA_PRESENT);
	return lp ? lp->ser : NULL;
}

static struct iommu_liveupdate_device *iommu_incoming_find(struct device *dev)
{
	struct iommu_liveupdate_device *device;
	struct iommu_device_ser id = {};

	lockdep_assert_held(&iommu_liveupdate_lock);

	if (list_empty(&incoming.devices) ||
	    iommu_liveupdate_identify(dev, &id))
		return NULL;
	if (id.bus == IOMMU_DEVICE_SER_PCI)
		return xa_load(&incoming_pci,
			       iommu_pci_key(id.segment, id.rid));

	list_for_each_entry(device, &incoming.devices, list)
		if (device->ser->bus == id.bus &&
		    !strncmp(id.name, device->ser->name, sizeof(id.name)))
			return device;
	return NULL;
}

static struct iommu_liveupdate_device *
iommu_incoming_find_waiting(struct device *dev)
{
	struct iommu_liveupdate_device *device = iommu_incoming_find(dev);

	if (!device || device->state != IOMMU_LIVEUPDATE_DEVICE_WAITING ||
	    !device->ops)
		return NULL;
	return device;
}

/**
 * iommu_liveupdate_record - The record of a device that waits to be restored
 * @dev: the device, from its probe on
 * @ser: where to copy the record, or NULL
 *
 * Context: Process context.
 * Return: false when the device was not kept, is restored already or is lost.
 */
bool iommu_liveupdate_record(struct device *dev, struct iommu_device_ser *ser)
{
	struct iommu_liveupdate_device *device;

	guard(mutex)(&iommu_liveupdate_lock);
	device = iommu_incoming_find_waiting(dev);
	if (device && ser)
		*ser = *device->ser;
	return device;
}

/* ------------------------------------------------------------------ restore */

/* The device is stopped: its PASIDs are taken off their domains. */
static void iommu_pasids_block(struct iommu_liveupdate_device *ldev,
			       struct device *dev)
{
	struct iommu_domain *blocked = dev_iommu_ops(dev)->blocked_domain;
	struct iommu_liveupdate_pasid *lp;
	unsigned long pasid;

	lockdep_assert_held(&iommu_liveupdate_lock);

	xa_for_each(&ldev->pasids, pasid, lp) {
		if (!lp->attached)
			continue;
		WARN_ON(blocked->ops->set_dev_pasid(blocked, dev, pasid,
						    lp->domain->domain));
		lp->attached = false;
	}
}

/* The device cannot have its domain back: no DMA may reach memory any more. */
static void iommu_device_lose(struct iommu_liveupdate_device *device,
			      struct device *dev, int err)
{
	lockdep_assert_held(&iommu_liveupdate_lock);

	/* A reset takes group->mutex, which may be held; the entry goes anyway. */
	if (dev && dev_is_pci(dev))
		pci_liveupdate_lose(to_pci_dev(dev));
	if (dev)
		iommu_pasids_block(device, dev);
	device->ops->block_record(device->unit, device->ser, dev);
	device->state = IOMMU_LIVEUPDATE_DEVICE_LOST;
	pr_err("%s: cannot be restored (%pe); it is stopped and blocked\n",
	       dev ? dev_name(dev) : "a device that is gone", ERR_PTR(err));
}

/**
 * iommu_liveupdate_lose - A device that waits to be restored cannot be
 * @dev: the device, which has not been attached to anything
 *
 * Context: Process context, group->mutex held. Nothing happens to others.
 */
void iommu_liveupdate_lose(struct device *dev)
{
	struct iommu_liveupdate_device *device;

	guard(mutex)(&iommu_liveupdate_lock);
	device = iommu_incoming_find_waiting(dev);
	if (device)
		iommu_device_lose(device, dev, -EOPNOTSUPP);
}

static struct iommu_domain *
iommu_incoming_domain_get(struct iommu_liveupdate_domain *ld,
			  const struct iommu_liveupdate_ops *ops,
			  struct device *dev)
{
	struct iommu_domain *domain;
	int ret;

	if (ld->state == IOMMU_LIVEUPDATE_DOMAIN_LOST)
		return ERR_PTR(-ENODEV);
	if (ld->domain)
		return ld->domain;

	ret = ops->restore_domain(dev, ld->ser, &domain);
	if (ret) {
		ld->state = IOMMU_LIVEUPDATE_DOMAIN_LOST;
		return ERR_PTR(ret);
	}
	domain->owner = dev_iommu_ops(dev);
	domain->liveupdate = ld;
	ld->domain = domain;
	return domain;
}

static int iommu_pasids_restore(struct iommu_liveupdate_device *device,
				struct device *dev)
{
	const struct iommu_liveupdate_ops *ops = device->ops;
	struct iommu_liveupdate_pasid *lp;
	struct iommu_domain *domain;
	unsigned long pasid;
	int ret;

	if (!xa_empty(&device->pasids) && !ops->attach_restored_pasid)
		return -EOPNOTSUPP;
	/* All or nothing: undoing an attachment would free the domain's id. */
	xa_for_each(&device->pasids, pasid, lp) {
		domain = iommu_incoming_domain_get(lp->domain, ops, dev);
		if (IS_ERR(domain))
			return PTR_ERR(domain);
	}
	xa_for_each(&device->pasids, pasid, lp) {
		ret = ops->attach_restored_pasid(dev, lp->domain->domain,
						 device->ser, lp->ser);
		if (ret)
			return ret;
		lp->attached = true;
	}
	return 0;
}

/*
 * PCI keeps the device running and the IOMMU has no record of it: the default
 * domain, which it is about to be attached to, may pass it through.
 */
static void iommu_stop_unrecorded(struct device *dev)
{
	struct pci_dev *pdev;

	if (!dev_is_pci(dev))
		return;
	pdev = to_pci_dev(dev);
	if (!pci_liveupdate_incoming(pdev) ||
	    pdev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return;
	pci_clear_master(pdev);
	pci_err(pdev, "kept, but its IOMMU has no record of it: stopped\n");
}

/**
 * iommu_liveupdate_restore - Rebuild the domain that the hardware uses
 * @dev: a device that waits to be restored
 *
 * Context: Process context, group->mutex held.
 * Return: the domain, which @dev is attached to as far as the driver is
 * concerned; NULL when that was not possible, and then the device is stopped and
 * its hardware entry cleared.
 */
struct iommu_domain *iommu_liveupdate_restore(struct device *dev)
{
	struct iommu_liveupdate_device *device;
	struct iommu_domain *domain;
	int ret;

	guard(mutex)(&iommu_liveupdate_lock);
	device = iommu_incoming_find_waiting(dev);
	if (!device) {
		iommu_stop_unrecorded(dev);
		return NULL;
	}
	/* What has the kept device's address now is another device */
	if (dev_is_pci(dev) && !pci_liveupdate_incoming(to_pci_dev(dev)) &&
	    !liveupdate_break("other")) {
		ret = -ENODEV;
		goto err_lose;
	}

	domain = iommu_incoming_domain_get(device->domain, device->ops, dev);
	if (IS_ERR(domain)) {
		ret = PTR_ERR(domain);
		goto err_lose;
	}
	ret = iommu_pasids_restore(device, dev);
	if (ret)
		goto err_lose;
	ret = device->ops->attach_restored(dev, domain, device->ser);
	if (ret)
		goto err_lose;

	device->dev = get_device(dev);
	device->state = IOMMU_LIVEUPDATE_DEVICE_RESTORED;
	dev->iommu->liveupdate = device;
	dev_info(dev, "runs on the page table of the previous kernel\n");
	return domain;

err_lose:
	iommu_device_lose(device, dev, ret);
	return NULL;
}

/**
 * iommu_liveupdate_device_restored - Does a device wait for its owner?
 * @dev: the device
 *
 * Context: Process context.
 * Return: true from its probe until it is claimed or abandoned.
 */
bool iommu_liveupdate_device_restored(struct device *dev)
{
	return iommu_liveupdate_in_state(dev, IOMMU_LIVEUPDATE_DEVICE_RESTORED);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_device_restored);

/* group->mutex is held: is @domain what the claimed device runs on? */
bool iommu_liveupdate_device_claimed(struct device *dev,
				     struct iommu_domain *domain)
{
	struct iommu_liveupdate_device *ldev;

	if (!dev->iommu || !READ_ONCE(dev->iommu->liveupdate))
		return false;

	guard(mutex)(&iommu_liveupdate_lock);
	ldev = dev->iommu->liveupdate;
	return ldev && ldev->state == IOMMU_LIVEUPDATE_DEVICE_CLAIMED &&
	       ldev->domain->domain == domain;
}

/*
 * group->mutex is held: is a PASID of a claimed device about to be attached to
 * what it runs on? True once, so that a later attach is one like any other.
 */
bool iommu_liveupdate_pasid_claimed(struct device *dev, u32 pasid,
				    struct iommu_domain *domain)
{
	struct iommu_liveupdate_device *ldev;
	struct iommu_liveupdate_pasid *lp;

	if (!dev->iommu || !READ_ONCE(dev->iommu->liveupdate))
		return false;

	guard(mutex)(&iommu_liveupdate_lock);
	ldev = dev->iommu->liveupdate;
	if (!ldev || ldev->state != IOMMU_LIVEUPDATE_DEVICE_CLAIMED)
		return false;
	lp = xa_load(&ldev->pasids, pasid);
	if (!lp || !lp->claimed || lp->domain->domain != domain)
		return false;
	lp->claimed = false;
	return true;
}

/* Is it to be probed? When init runs, what is not on its bus is gone. */
static bool iommu_device_awaited(struct iommu_liveupdate_device *ldev)
{
	const struct iommu_device_ser *ser = ldev->ser;
	struct pci_dev *pdev;

	if (ldev->state != IOMMU_LIVEUPDATE_DEVICE_WAITING)
		return false;
	if (ser->bus != IOMMU_DEVICE_SER_PCI || system_state < SYSTEM_RUNNING)
		return true;
	pdev = pci_get_domain_bus_and_slot(ser->segment, PCI_BUS_NUM(ser->rid),
					   ser->rid & 0xff);
	pci_dev_put(pdev);
	return pdev;
}

/* Will a device that is still to be probed bring the domain? */
static bool iommu_domain_awaited(struct iommu_liveupdate_domain *ld)
{
	struct iommu_liveupdate_device *ldev;
	struct iommu_liveupdate_pasid *lp;
	unsigned long pasid;

	lockdep_assert_held(&iommu_liveupdate_lock);

	list_for_each_entry(ldev, &incoming.devices, list) {
		if (!iommu_device_awaited(ldev))
			continue;
		if (ldev->domain == ld)
			return true;
		xa_for_each(&ldev->pasids, pasid, lp)
			if (lp->domain == ld)
				return true;
	}
	return false;
}

/**
 * iommu_liveupdate_claim_domain - Give a restored domain to an iommufd
 * @record: number of its record
 *
 * Context: Process context.
 * Return: the domain, or an ERR_PTR: -ENOENT when there is no such record,
 * -EAGAIN when no device on it was probed yet, -ENODEV when it or all its devices
 * could not be restored or were given up, -EBUSY when it has been claimed already.
 */
struct iommu_domain *iommu_liveupdate_claim_domain(u32 record)
{
	struct iommu_liveupdate_domain *ld;

	guard(mutex)(&iommu_liveupdate_op_lock);
	guard(mutex)(&iommu_liveupdate_lock);
	ld = iommu_incoming_domain(record);
	if (!ld)
		return ERR_PTR(-ENOENT);
	if (ld->state == IOMMU_LIVEUPDATE_DOMAIN_LOST)
		return ERR_PTR(-ENODEV);
	if (ld->state == IOMMU_LIVEUPDATE_DOMAIN_CLAIMED)
		return ERR_PTR(-EBUSY);
	if (!ld->domain)
		return ERR_PTR(iommu_domain_awaited(ld) ? -EAGAIN : -ENODEV);

	/* The claimer may free it from now on: do not look into it again. */
	ld->domain->liveupdate = NULL;
	ld->state = IOMMU_LIVEUPDATE_DOMAIN_CLAIMED;
	return ld->domain;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_claim_domain);

/**
 * iommu_liveupdate_return_domain - Undo iommu_liveupdate_claim_domain()
 * @record: number of its record
 *
 * Context: Process context. Cannot fail. No claimed device is attached to it.
 */
void iommu_liveupdate_return_domain(u32 record)
{
	struct iommu_liveupdate_domain *ld;

	guard(mutex)(&iommu_liveupdate_op_lock);
	guard(mutex)(&iommu_liveupdate_lock);
	ld = iommu_incoming_domain(record);
	if (WARN_ON(!ld || ld->state != IOMMU_LIVEUPDATE_DOMAIN_CLAIMED))
		return;
	ld->domain->liveupdate = ld;
	ld->state = IOMMU_LIVEUPDATE_DOMAIN_KEPT;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_return_domain);

/**
 * iommu_liveupdate_claim_device - Become the DMA owner of a restored device
 * @dev: the device
 * @owner: as for iommu_device_claim_dma_owner(), which it replaces
 * @domain: the claimed domain that the device is to be attached to
 * @pasids: its PASIDs and the claimed domains that they are to be attached to
 * @nr: how many
 *
 * Afterwards an attach of the device and of each of the PASIDs, as given here, is
 * one in the books only.
 *
 * Context: Process context, takes group->mutex. Hardware is not touched.
 * Return: 0; -ENODEV when the device does not wait for an owner; -EINVAL when it
 * or a PASID runs on another domain, or has other PASIDs.
 */
int iommu_liveupdate_claim_device(struct device *dev, void *owner,
				  struct iommu_domain *domain,
				  const struct iommu_liveupdate_attach *pasids,
				  unsigned int nr)
{
	struct iommu_liveupdate_device *ldev;
	struct iommu_liveupdate_pasid *lp;
	unsigned long pasid;
	unsigned int i;
	int ret;

	guard(mutex)(&iommu_liveupdate_op_lock);
	ldev = dev->iommu ? dev->iommu->liveupdate : NULL;
	if (!ldev || ldev->state != IOMMU_LIVEUPDATE_DEVICE_RESTORED)
		return -ENODEV;
	if (iommu_pasid_count(ldev) != nr)
		return -EINVAL;
	for (i = 0; i < nr; i++) {
		lp = xa_load(&ldev->pasids, pasids[i].pasid);
		if (!lp || lp->domain->domain != pasids[i].domain)
			return -EINVAL;
	}

	ret = iommu_group_liveupdate_claim(dev, owner, domain);
	if (ret)
		return ret;

	guard(mutex)(&iommu_liveupdate_lock);
	xa_for_each(&ldev->pasids, pasid, lp)
		lp->claimed = true;
	ldev->state = IOMMU_LIVEUPDATE_DEVICE_CLAIMED;
	return 0;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_claim_device);

/* Its owner, who is restoring it, has it for as long as it is claimed */
static struct iommu_liveupdate_device *iommu_device_claimed(struct device *dev)
{
	struct iommu_liveupdate_device *ldev;

	lockdep_assert_held(&iommu_liveupdate_op_lock);

	ldev = dev->iommu ? dev->iommu->liveupdate : NULL;
	if (WARN_ON(!ldev || ldev->state != IOMMU_LIVEUPDATE_DEVICE_CLAIMED))
		return NULL;
	return ldev;
}

/**
 * iommu_liveupdate_return_pasid - Undo the attach of a PASID that was claimed
 * @dev: the device, which is going to be returned
 * @pasid: the PASID, not attached to anything else meanwhile
 *
 * Context: Process context, takes group->mutex. Hardware is not touched.
 */
void iommu_liveupdate_return_pasid(struct device *dev, u32 pasid)
{
	struct iommu_liveupdate_device *ldev;
	struct iommu_liveupdate_pasid *lp;

	guard(mutex)(&iommu_liveupdate_op_lock);
	ldev = iommu_device_claimed(dev);
	if (!ldev)
		return;

	iommu_group_liveupdate_return_pasid(dev, pasid);
	guard(mutex)(&iommu_liveupdate_lock);
	lp = xa_load(&ldev->pasids, pasid);
	if (!WARN_ON(!lp))
		lp->claimed = true;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_return_pasid);

/**
 * iommu_liveupdate_return_device - Undo iommu_liveupdate_claim_device()
 * @dev: the device, which is not attached to anything else meanwhile; its PASIDs
 *	were returned
 * @owner: the owner that claimed it
 *
 * Context: Process context, takes group->mutex. Cannot fail.
 */
void iommu_liveupdate_return_device(struct device *dev, void *owner)
{
	struct iommu_liveupdate_device *ldev;

	guard(mutex)(&iommu_liveupdate_op_lock);
	ldev = iommu_device_claimed(dev);
	if (!ldev)
		return;

	iommu_group_liveupdate_return(dev, owner);
	guard(mutex)(&iommu_liveupdate_lock);
	ldev->state = IOMMU_LIVEUPDATE_DEVICE_RESTORED;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_return_device);

/* ------------------------------------------------------- abandon and finish */

/* What the driver has put off until the device is an ordinary one again */
static void iommu_device_normal(struct iommu_liveupdate_device *ldev)
{
	if (!ldev->ops->finish_device)
		return;
	iommu_group_liveupdate_lock(ldev->dev);
	ldev->ops->finish_device(ldev->dev, ldev->ser);
	iommu_group_liveupdate_unlock(ldev->dev);
}

/* The device is an ordinary one from now on, the record is done with. */
static void iommu_device_drop(struct iommu_liveupdate_device *ldev)
{
	lockdep_assert_held(&iommu_liveupdate_lock);

	ldev->dev->iommu->liveupdate = NULL;
	put_device(ldev->dev);
	ldev->dev = NULL;
	ldev->state = IOMMU_LIVEUPDATE_DEVICE_LOST;
}

/* Device, then IOMMU; the memory is freed by whoever comes after. */
static void iommu_device_abandon(struct iommu_liveupdate_device *ldev)
{
	lockdep_assert_held(&iommu_liveupdate_op_lock);

	scoped_guard(mutex, &iommu_liveupdate_lock) {
		if (ldev->state == IOMMU_LIVEUPDATE_DEVICE_WAITING && ldev->ops)
			iommu_device_lose(ldev, NULL, -ENODEV);
		if (ldev->state != IOMMU_LIVEUPDATE_DEVICE_RESTORED)
			return;
	}

	if (dev_is_pci(ldev->dev))
		pci_liveupdate_stop(to_pci_dev(ldev->dev));
	iommu_group_liveupdate_lock(ldev->dev);
	scoped_guard(mutex, &iommu_liveupdate_lock)
		iommu_pasids_block(ldev, ldev->dev);
	iommu_group_liveupdate_unlock(ldev->dev);
	iommu_group_liveupdate_release(ldev->dev);
	iommu_device_normal(ldev);
	dev_warn(ldev->dev, "nobody claimed it: it is stopped and blocked\n");

	guard(mutex)(&iommu_liveupdate_lock);
	iommu_device_drop(ldev);
}

/* Devices that anything of which is on @ld, and that nobody claimed */
static void iommu_domain_abandon_devices(struct iommu_liveupdate_domain *ld)
{
	struct iommu_liveupdate_device *ldev;
	struct iommu_liveupdate_pasid *lp;
	unsigned long pasid;
	bool uses;

	lockdep_assert_held(&iommu_liveupdate_op_lock);

	list_for_each_entry(ldev, &incoming.devices, list) {
		uses = ldev->domain == ld;
		xa_for_each(&ldev->pasids, pasid, lp)
			uses |= lp->domain == ld;
		if (uses)
			iommu_device_abandon(ldev);
	}
}

static void iommu_domain_abandon(struct iommu_liveupdate_domain *ld)
{
	struct iommu_domain *domain;

	lockdep_assert_held(&iommu_liveupdate_op_lock);

	iommu_domain_abandon_devices(ld);
	scoped_guard(mutex, &iommu_liveupdate_lock) {
		if (ld->state != IOMMU_LIVEUPDATE_DOMAIN_KEPT)
			return;
		ld->state = IOMMU_LIVEUPDATE_DOMAIN_LOST;
		domain = ld->domain;
		ld->domain = NULL;
		if (domain)
			domain->liveupdate = NULL;
	}
	if (domain)
		iommu_domain_free(domain);
	else
		pr_warn("record %u: the tables of a domain without a device are leaked\n",
			ld->slot);
}

/**
 * iommu_liveupdate_finish_domain - The file that kept a domain is finished
 * @record: number of its record
 * @abandon: nobody has claimed it: free it
 *
 * Devices on the domain that nobody has claimed are abandoned either way.
 *
 * Context: Process context, may reset devices. Cannot fail.
 */
void iommu_liveupdate_finish_domain(u32 record, bool abandon)
{
	struct iommu_liveupdate_domain *ld;

	guard(mutex)(&iommu_liveupdate_op_lock);
	ld = iommu_incoming_domain(record);
	if (!ld)
		return;

	if (abandon) {
		iommu_domain_abandon(ld);
		return;
	}

	iommu_domain_abandon_devices(ld);
	guard(mutex)(&iommu_liveupdate_lock);
	ld->domain = NULL;
	ld->state = IOMMU_LIVEUPDATE_DOMAIN_LOST;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_finish_domain);

/**
 * iommu_liveupdate_abandon_device - Give up a device that nobody claimed
 * @dev: the device
 *
 * It is stopped, if the caller did not do that, and blocked. A claimed device
 * is left to its owner.
 *
 * Context: Process context, may reset the device. Cannot fail.
 */
void iommu_liveupdate_abandon_device(struct device *dev)
{
	struct iommu_liveupdate_device *ldev;

	guard(mutex)(&iommu_liveupdate_op_lock);
	ldev = dev->iommu ? dev->iommu->liveupdate : NULL;
	if (ldev)
		iommu_device_abandon(ldev);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_abandon_device);

/**
 * iommu_liveupdate_finish_device - A claimed device is an ordinary one now
 * @dev: the device
 *
 * Context: Process context. Cannot fail.
 */
void iommu_liveupdate_finish_device(struct device *dev)
{
	struct iommu_liveupdate_device *ldev;

	guard(mutex)(&iommu_liveupdate_op_lock);
	ldev = dev->iommu ? dev->iommu->liveupdate : NULL;
	if (!ldev || ldev->state != IOMMU_LIVEUPDATE_DEVICE_CLAIMED)
		return;
	iommu_device_normal(ldev);
	guard(mutex)(&iommu_liveupdate_lock);
	iommu_device_drop(ldev);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_finish_device);

/**
 * iommu_liveupdate_remove_device - A device is about to leave its group
 * @dev: the device, which no driver is bound to any more
 *
 * Context: Process context, takes group->mutex, may reset the device.
 */
void iommu_liveupdate_remove_device(struct device *dev)
{
	struct iommu_liveupdate_device *ldev;

	/* Nobody waits for the outer lock because of an ordinary device. */
	if (!dev->iommu || !READ_ONCE(dev->iommu->liveupdate))
		return;

	guard(mutex)(&iommu_liveupdate_op_lock);
	ldev = dev->iommu->liveupdate;
	if (!ldev)
		return;
	iommu_device_abandon(ldev);

	guard(mutex)(&iommu_liveupdate_lock);
	if (ldev->state == IOMMU_LIVEUPDATE_DEVICE_CLAIMED)
		iommu_device_drop(ldev);
}

static void iommu_liveupdate_abandon_all(void)
{
	struct iommu_liveupdate_device *ldev;

	guard(mutex)(&iommu_liveupdate_op_lock);
	list_for_each_entry(ldev, &incoming.devices, list)
		iommu_device_abandon(ldev);
}

static void iommu_incoming_free_chunks(void)
{
	u64 pa = incoming.root->first_chunk_pa;
	struct iommu_chunk_ser *chunk;

	while (pa) {
		chunk = phys_to_virt(pa);
		pa = chunk->next_pa;
		kho_restore_free(chunk);
	}
	kho_restore_free(incoming.root);
	incoming.root = NULL;
}

/**
 * iommu_liveupdate_flb_finish - Abandon what is left and free the records
 * @args: not used
 *
 * Context: Process context, after a retrieve that succeeded. Takes both locks and
 * group->mutex, may reset devices. Cannot fail.
 */
void iommu_liveupdate_flb_finish(struct liveupdate_flb_op_args *args)
{
	struct iommu_liveupdate_incoming_unit *unit, *next_unit;
	struct iommu_liveupdate_device *device, *next_device;
	struct iommu_liveupdate_domain *domain, *next_domain;

	guard(mutex)(&iommu_liveupdate_op_lock);

	list_for_each_entry(domain, &incoming.domains, list)
		iommu_domain_abandon(domain);

	guard(mutex)(&iommu_liveupdate_lock);
	xa_destroy(&incoming_pci);
	list_for_each_entry_safe(device, next_device, &incoming.devices, list) {
		if (device->dev)
			iommu_device_drop(device);
		iommu_incoming_free_device(device);
	}
	list_for_each_entry_safe(domain, next_domain, &incoming.domains, list) {
		list_del(&domain->list);
		kfree(domain);
	}
	list_for_each_entry_safe(unit, next_unit, &incoming.units, list) {
		if (unit->ops)
			unit->ops->finish_unit(unit->ser);
		list_del(&unit->list);
		kfree(unit);
	}
	iommu_incoming_free_chunks();
}

/* ----------------------------------------------------------------- triggers */

static int iommu_liveupdate_reboot(struct notifier_block *nb,
				   unsigned long action, void *data)
{
	iommu_liveupdate_abandon_all();
	return NOTIFY_DONE;
}

static struct notifier_block iommu_liveupdate_reboot_nb = {
	.notifier_call = iommu_liveupdate_reboot,
};

static void iommu_liveupdate_deadline(struct work_struct *work)
{
	iommu_liveupdate_abandon_all();
}

static DECLARE_DELAYED_WORK(iommu_liveupdate_deadline_work,
			    iommu_liveupdate_deadline);

static int __init iommu_liveupdate_init(void)
{
	register_reboot_notifier(&iommu_liveupdate_reboot_nb);
	if (deadline && !list_empty(&incoming.devices))
		schedule_delayed_work(&iommu_liveupdate_deadline_work,
				      secs_to_jiffies(deadline));
	return 0;
}
late_initcall(iommu_liveupdate_init);
