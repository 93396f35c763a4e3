// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live update of IOMMUs: page tables, and the attachment of devices to them,
 * that stay in use while one kernel replaces another. This is the old kernel's
 * side, and the FLB; liveupdate-restore.c is the new kernel's.
 *
 * What it keeps
 *
 * The File-Lifecycle-Bound object (FLB) "iommu-v1" of the Live Update
 * Orchestrator: a root and a chain of chunks with one record for each kept
 * unit, domain, device and PASID, as described in include/linux/kho/abi/iommu.h.
 * This file owns the records, their heads and the references between them. What a
 * record says about hardware is written and read by the IOMMU driver, through
 * struct iommu_liveupdate_ops. The users are iommufd, which preserves and claims
 * domains and devices, and the core's own group code.
 *
 * Old kernel
 *
 * A domain is preserved first, then the devices that are attached to it, each
 * together with its PASIDs: all that are attached, or the device is refused. From
 * then on the group of such a device refuses every change of domain, because
 * its hardware entries are part of what is handed over. The record of a unit comes
 * with its first device. Undo cannot fail: it only gives back what preserve
 * took. The records may be written until the jump; the driver does so once
 * more, in its shutdown, when it declares a unit handed over.
 *
 * Both kernels in one
 *
 * A kernel that came by a live update may be replaced by the next one, so both
 * sides run in it. They share the FLB, the locks and one pointer in each device
 * and domain. That is the new side's first: a device that is not finished and a
 * domain that is not claimed cannot be preserved.
 *
 * Locks
 *
 * Both sides have the same. iommu_liveupdate_op_lock is the outer one: it
 * serializes everything that iommufd, the FLB's finish, the reboot notifier and
 * the deadline ask for. group->mutex nests inside. iommu_liveupdate_lock is the
 * inner one: it protects the lists, the records and the states of devices and
 * domains against the probing of devices, which holds group->mutex and never
 * takes the outer lock. dev->iommu->liveupdate and domain->liveupdate are written
 * under the inner lock, too, and what they point to is only looked into with it.
 * A device that is removed takes the outer lock before its group goes away.
 *
 * Cost
 *
 * A record takes the first free slot, which is looked for from the start: with n
 * records n^2 short steps, nothing for the 4096 devices a host may have.
 */
#include <linux/iommu.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_device.h>
#include <linux/liveupdate_refuse.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "iommu-priv.h"
#include "liveupdate-priv.h"

/* Outer: serializes who wants something of either side */
DEFINE_MUTEX(iommu_liveupdate_op_lock);

/* Inner: protects the lists, records and states of both sides */
DEFINE_MUTEX(iommu_liveupdate_lock);

/* One chunk of the old kernel */
struct iommu_liveupdate_chunk {
	struct list_head list;
	struct iommu_chunk_ser *ser;
};

/* A unit with kept devices */
struct iommu_liveupdate_unit {
	struct list_head list;
	u32 slot;
	struct iommu_unit_ser *ser;
	struct iommu_device *iommu;
};

/* root is NULL while the FLB is not preserved. */
static struct {
	struct iommu_ser *root;
	struct list_head chunks;
	struct list_head units;
	struct list_head domains;
	struct list_head devices;
} outgoing = {
	.chunks = LIST_HEAD_INIT(outgoing.chunks),
	.units = LIST_HEAD_INIT(outgoing.units),
	.domains = LIST_HEAD_INIT(outgoing.domains),
	.devices = LIST_HEAD_INIT(outgoing.devices),
};

/* ------------------------------------------------------------------ records */

static void *iommu_record_of(struct iommu_liveupdate_chunk *chunk,
			     unsigned int n)
{
	return (void *)chunk->ser + (n + 1) * IOMMU_SER_SLOT_SIZE;
}

static int iommu_chunk_add(void)
{
	struct iommu_liveupdate_chunk *chunk, *last;

	if (outgoing.root->nr_chunks == IOMMU_SER_MAX_CHUNKS)
		return -ENOSPC;

	chunk = kzalloc_obj(*chunk);
	if (!chunk)
		return -ENOMEM;
	chunk->ser = kho_alloc_preserve(IOMMU_SER_CHUNK_SIZE);
	if (IS_ERR(chunk->ser)) {
		int ret = PTR_ERR(chunk->ser);

		kfree(chunk);
		return ret;
	}

	chunk->ser->index = outgoing.root->nr_chunks++;
	if (list_empty(&outgoing.chunks)) {
		outgoing.root->first_chunk_pa = virt_to_phys(chunk->ser);
	} else {
		last = list_last_entry(&outgoing.chunks,
				       struct iommu_liveupdate_chunk, list);
		last->ser->next_pa = virt_to_phys(chunk->ser);
	}
	list_add_tail(&chunk->list, &outgoing.chunks);
	return 0;
}

/* Returns a zeroed record whose head is set, or an ERR_PTR. */
static void *iommu_record_alloc(u16 type, u16 driver, u32 *slot)
{
	struct iommu_liveupdate_chunk *chunk;
	struct iommu_record_ser *rec;
	unsigned int n;
	int ret;

	lockdep_assert_held(&iommu_liveupdate_lock);

	if (!outgoing.root)
		return ERR_PTR(-ENODEV);
again:
	list_for_each_entry(chunk, &outgoing.chunks, list) {
		for (n = 0; n < IOMMU_SER_SLOTS_PER_CHUNK; n++) {
			rec = iommu_record_of(chunk, n);
			if (rec->type != IOMMU_RECORD_FREE)
				continue;
			rec->type = type;
			rec->driver = driver;
			rec->version = IOMMU_RECORD_VERSION;
			rec->size = IOMMU_SER_SLOT_SIZE;
			*slot = chunk->ser->index * IOMMU_SER_SLOTS_PER_CHUNK +
				n;
			return rec;
		}
	}
	ret = iommu_chunk_add();
	if (ret)
		return ERR_PTR(ret);
	goto again;
}

static void iommu_record_free(void *rec)
{
	lockdep_assert_held(&iommu_liveupdate_lock);
	memset(rec, 0, IOMMU_SER_SLOT_SIZE);
}

static int iommu_liveupdate_flb_preserve(struct liveupdate_flb_op_args *args)
{
	struct iommu_ser *root = kho_alloc_preserve(IOMMU_SER_CHUNK_SIZE);

	if (IS_ERR(root))
		return PTR_ERR(root);

	root->magic = IOMMU_SER_MAGIC;
	root->version = IOMMU_SER_VERSION;
	root->size = sizeof(*root);

	guard(mutex)(&iommu_liveupdate_lock);
	outgoing.root = root;
	args->data = virt_to_phys(root);
	args->obj = root;
	return 0;
}

static void iommu_liveupdate_flb_unpreserve(struct liveupdate_flb_op_args *args)
{
	struct iommu_liveupdate_chunk *chunk, *next;

	guard(mutex)(&iommu_liveupdate_lock);
	WARN_ON(!list_empty(&outgoing.devices) ||
		!list_empty(&outgoing.domains) || !list_empty(&outgoing.units));

	list_for_each_entry_safe(chunk, next, &outgoing.chunks, list) {
		list_del(&chunk->list);
		kho_unpreserve_free(chunk->ser);
		kfree(chunk);
	}
	kho_unpreserve_free(outgoing.root);
	outgoing.root = NULL;
}

/* ----------------------------------------------------------------- preserve */

/**
 * iommu_liveupdate_supported - Can the domains of this device be kept?
 * @dev: a device
 *
 * Context: Process context, @dev stays in its group.
 * Return: true when the kernel and the device's IOMMU driver can keep domains.
 */
bool iommu_liveupdate_supported(struct device *dev)
{
	return liveupdate_enabled() && dev->iommu && dev->iommu->iommu_dev &&
	       dev_iommu_ops(dev)->liveupdate;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_supported);

/**
 * iommu_liveupdate_pasid_supported - Can PASIDs of this device be kept?
 * @dev: a device
 *
 * Context: Process context, @dev stays in its group.
 * Return: true when its driver and the mode of its IOMMU can.
 */
bool iommu_liveupdate_pasid_supported(struct device *dev)
{
	const struct iommu_liveupdate_ops *ops;

	if (!iommu_liveupdate_supported(dev))
		return false;
	ops = dev_iommu_ops(dev)->liveupdate;
	return ops->pasid_supported && ops->pasid_supported(dev);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_pasid_supported);

/**
 * iommu_liveupdate_ats_supported - Can this device be kept with ATS on?
 * @dev: a device
 *
 * Context: Process context, @dev stays in its group.
 * Return: true when its driver can.
 */
bool iommu_liveupdate_ats_supported(struct device *dev)
{
	return iommu_liveupdate_supported(dev) &&
	       dev_iommu_ops(dev)->liveupdate->keeps_ats;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_ats_supported);

static const struct iommu_liveupdate_ops *
iommu_domain_liveupdate_ops(struct iommu_domain *domain)
{
	return domain->owner ? domain->owner->liveupdate : NULL;
}

/**
 * iommu_liveupdate_preserve_domain - Keep a page table over the next kexec
 * @domain: a paging domain that is not changed until it is unpreserved
 * @record: number of its record, for iommu_liveupdate_claim_domain()
 *
 * Context: Process context; a file that uses the FLB is being preserved.
 * Return: 0; -EOPNOTSUPP when the IOMMU driver cannot keep it; -EBUSY when it
 * already is preserved; or an error of the driver or of the allocations.
 */
int iommu_liveupdate_preserve_domain(struct iommu_domain *domain, u32 *record)
{
	const struct iommu_liveupdate_ops *ops =
		iommu_domain_liveupdate_ops(domain);
	struct iommu_liveupdate_domain *ld;
	int ret;

	if (!ops || !(domain->type & __IOMMU_DOMAIN_PAGING) ||
	    domain->iopf_handler)
		return liveupdate_refuse("iommu", -EOPNOTSUPP,
					 "a page table that is not kept");

	guard(mutex)(&iommu_liveupdate_op_lock);
	if (domain->liveupdate)
		return liveupdate_refuse("iommu", -EBUSY,
					 "a page table that is kept already");

	ld = kzalloc_obj(*ld);
	if (!ld)
		return -ENOMEM;

	guard(mutex)(&iommu_liveupdate_lock);
	ld->domain = domain;
	ld->ser =
		iommu_record_alloc(IOMMU_RECORD_DOMAIN, ops->driver, &ld->slot);
	if (IS_ERR(ld->ser)) {
		ret = PTR_ERR(ld->ser);
		goto err_free;
	}

	ret = ops->preserve_domain(domain, ld->ser);
	if (ret)
		goto err_record;

	domain->liveupdate = ld;
	list_add_tail(&ld->list, &outgoing.domains);
	*record = ld->slot;
	return 0;

err_record:
	iommu_record_free(ld->ser);
err_free:
	kfree(ld);
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_preserve_domain);

/**
 * iommu_liveupdate_unpreserve_domain - Undo iommu_liveupdate_preserve_domain()
 * @domain: the domain; its devices have been unpreserved
 *
 * Context: Process context. Cannot fail.
 */
void iommu_liveupdate_unpreserve_domain(struct iommu_domain *domain)
{
	struct iommu_liveupdate_domain *ld;

	guard(mutex)(&iommu_liveupdate_op_lock);
	guard(mutex)(&iommu_liveupdate_lock);
	ld = domain->liveupdate;
	if (WARN_ON(!ld || ld->ser->nr_attachments))
		return;

	iommu_domain_liveupdate_ops(domain)->unpreserve_domain(domain, ld->ser);
	domain->liveupdate = NULL;
	list_del(&ld->list);
	iommu_record_free(ld->ser);
	kfree(ld);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_unpreserve_domain);

static struct iommu_liveupdate_unit *
iommu_liveupdate_unit_get(struct iommu_device *iommu,
			  const struct iommu_liveupdate_ops *ops)
{
	struct iommu_liveupdate_unit *unit;
	int ret;

	list_for_each_entry(unit, &outgoing.units, list)
		if (unit->iommu == iommu)
			return unit;

	unit = kzalloc_obj(*unit);
	if (!unit)
		return ERR_PTR(-ENOMEM);

	unit->iommu = iommu;
	unit->ser =
		iommu_record_alloc(IOMMU_RECORD_UNIT, ops->driver, &unit->slot);
	if (IS_ERR(unit->ser)) {
		ret = PTR_ERR(unit->ser);
		goto err_free;
	}
	unit->ser->state = IOMMU_UNIT_SER_ACTIVE;
	ret = ops->preserve_unit(iommu, unit->ser);
	if (ret)
		goto err_record;

	list_add_tail(&unit->list, &outgoing.units);
	return unit;

err_record:
	iommu_record_free(unit->ser);
err_free:
	kfree(unit);
	return ERR_PTR(ret);
}

/* Drops the unit when it has no device left. */
static void iommu_liveupdate_unit_put(struct iommu_liveupdate_unit *unit,
				      const struct iommu_liveupdate_ops *ops)
{
	if (unit->ser->nr_devices)
		return;

	ops->unpreserve_unit(unit->iommu, unit->ser);
	list_del(&unit->list);
	iommu_record_free(unit->ser);
	kfree(unit);
}

/**
 * iommu_liveupdate_identify - Write down what a device is found by
 * @dev: the device
 * @ser: its record; the identity in it is zeroed
 *
 * Context: Any.
 * Return: 0; -EOPNOTSUPP when the name of @dev is too long for a record.
 */
int iommu_liveupdate_identify(struct device *dev, struct iommu_device_ser *ser)
{
	int len;

	if (dev_is_pci(dev)) {
		struct pci_dev *pdev = to_pci_dev(dev);

		ser->bus = IOMMU_DEVICE_SER_PCI;
		ser->segment = pci_domain_nr(pdev->bus);
		ser->rid = pci_dev_id(pdev);
		return 0;
	}

	ser->bus = IOMMU_DEVICE_SER_NAMED;
	len = snprintf(ser->name, sizeof(ser->name), "%s/%s",
		       dev->bus ? dev->bus->name : "", dev_name(dev));
	return len < sizeof(ser->name) ? 0 : -EOPNOTSUPP;
}

static int iommu_pasid_preserve(struct iommu_liveupdate_device *ldev,
				struct device *dev,
				const struct iommu_liveupdate_attach *attach)
{
	struct iommu_liveupdate_domain *domain = attach->domain->liveupdate;
	const struct iommu_liveupdate_ops *ops = ldev->ops;
	struct iommu_liveupdate_pasid *lp;
	u32 slot;
	int ret;

	if (!domain || iommu_domain_liveupdate_ops(attach->domain) != ops)
		return liveupdate_refuse_dev(dev, -EINVAL,
					     "PASID %u: no kept page table",
					     attach->pasid);

	lp = kzalloc_obj(*lp);
	if (!lp)
		return -ENOMEM;
	ret = xa_insert(&ldev->pasids, attach->pasid, lp, GFP_KERNEL);
	if (ret)
		goto err_free;
	/* No record names a PASID, so its own number is of no use */
	lp->ser = iommu_record_alloc(IOMMU_RECORD_PASID, ops->driver, &slot);
	if (IS_ERR(lp->ser)) {
		ret = PTR_ERR(lp->ser);
		goto err_erase;
	}
	lp->ser->device = ldev->slot;
	lp->ser->domain = domain->slot;
	lp->ser->pasid = attach->pasid;
	ret = ops->preserve_pasid(dev, attach->pasid, attach->domain,
				  ldev->unit, ldev->ser, lp->ser);
	if (ret)
		goto err_record;

	lp->domain = domain;
	domain->ser->nr_attachments++;
	return 0;

err_record:
	iommu_record_free(lp->ser);
err_erase:
	xa_erase(&ldev->pasids, attach->pasid);
err_free:
	kfree(lp);
	return ret;
}

static void iommu_pasids_unpreserve(struct iommu_liveupdate_device *ldev,
				    struct device *dev)
{
	struct iommu_liveupdate_pasid *lp;
	unsigned long pasid;

	xa_for_each(&ldev->pasids, pasid, lp) {
		ldev->ops->unpreserve_pasid(dev, ldev->unit, lp->ser);
		lp->domain->ser->nr_attachments--;
		iommu_record_free(lp->ser);
		kfree(lp);
	}
	xa_destroy(&ldev->pasids);
}

static int iommu_pasids_preserve(struct iommu_liveupdate_device *ldev,
				 struct device *dev,
				 const struct iommu_liveupdate_attach *pasids,
				 unsigned int nr)
{
	unsigned int i;
	int ret;

	for (i = 0; i < nr; i++) {
		ret = iommu_pasid_preserve(ldev, dev, &pasids[i]);
		if (ret) {
			iommu_pasids_unpreserve(ldev, dev);
			return ret;
		}
	}
	return 0;
}

/* Both locks and the group's mutex are held. */
static int preserve_device_locked(struct device *dev,
				  struct iommu_liveupdate_domain *domain,
				  const struct iommu_liveupdate_ops *ops,
				  const struct iommu_liveupdate_attach *pasids,
				  unsigned int nr)
{
	struct iommu_liveupdate_device *ldev;
	struct iommu_liveupdate_unit *unit;
	int ret;

	ldev = kzalloc_obj(*ldev);
	if (!ldev)
		return -ENOMEM;
	xa_init(&ldev->pasids);

	unit = iommu_liveupdate_unit_get(dev->iommu->iommu_dev, ops);
	if (IS_ERR(unit)) {
		ret = PTR_ERR(unit);
		goto err_free;
	}

	ldev->ser = iommu_record_alloc(IOMMU_RECORD_DEVICE, ops->driver,
				       &ldev->slot);
	if (IS_ERR(ldev->ser)) {
		ret = PTR_ERR(ldev->ser);
		goto err_unit;
	}
	ret = iommu_liveupdate_identify(dev, ldev->ser);
	if (ret)
		goto err_record;
	ldev->ser->unit = unit->slot;
	ldev->ser->domain = domain->slot;
	ldev->ser->nr_pasids = nr;
	ldev->ops = ops;
	ldev->unit = unit->ser;
	ret = ops->preserve_device(dev, domain->domain, unit->ser, ldev->ser);
	if (ret)
		goto err_record;
	ret = iommu_pasids_preserve(ldev, dev, pasids, nr);
	if (ret)
		goto err_device;

	ldev->dev = dev;
	ldev->domain = domain;
	ldev->state = IOMMU_LIVEUPDATE_DEVICE_PRESERVED;
	unit->ser->nr_devices++;
	domain->ser->nr_attachments++;
	list_add_tail(&ldev->list, &outgoing.devices);
	dev->iommu->liveupdate = ldev;
	return 0;

err_device:
	ops->unpreserve_device(dev, unit->ser, ldev->ser);
err_record:
	iommu_record_free(ldev->ser);
err_unit:
	iommu_liveupdate_unit_put(unit, ops);
err_free:
	kfree(ldev);
	return ret;
}

/**
 * iommu_liveupdate_preserve_device - Keep a device attached over the next kexec
 * @dev: the device
 * @domain: its domain without a PASID, preserved before
 * @pasids: its PASIDs and their domains, which are preserved, too, by PASID
 * @nr: how many
 *
 * On success the group refuses to change its domain, and the kernel refuses to
 * kexec into an image that cannot take the device over, until
 * iommu_liveupdate_unpreserve_device().
 *
 * Context: Process context; a file that uses the FLB is being preserved.
 * Return: 0; -EOPNOTSUPP when the driver cannot keep it or its PASIDs, when another
 * device shares its group, when a PASID is attached that is not in @pasids or
 * when firmware requires a direct mapping; -EINVAL when it is not attached to
 * @domain and as @pasids says, or one of the domains is not preserved; -EBUSY when
 * it already is preserved or is being reset; or an error of
 * liveupdate_device_get(), of the driver or of the allocations.
 */
int iommu_liveupdate_preserve_device(struct device *dev,
				     struct iommu_domain *domain,
				     struct iommu_liveupdate_attach *pasids,
				     unsigned int nr)
{
	const struct iommu_liveupdate_ops *ops =
		iommu_domain_liveupdate_ops(domain);
	int ret;

	if (!ops)
		return liveupdate_refuse_dev(dev, -EOPNOTSUPP,
					     "its IOMMU keeps no devices");
	if (nr && !iommu_liveupdate_pasid_supported(dev))
		return liveupdate_refuse_dev(dev, -EOPNOTSUPP,
					     "its IOMMU keeps no PASIDs");

	if (!dev->iommu_group || !dev->iommu || !dev->iommu->iommu_dev)
		return -ENODEV;

	guard(mutex)(&iommu_liveupdate_op_lock);
	iommu_group_liveupdate_lock(dev);
	ret = iommu_group_liveupdate_check(dev, domain, pasids, nr);
	if (ret)
		goto out_unlock;

	ret = liveupdate_device_get();
	if (ret)
		goto out_unlock;

	mutex_lock(&iommu_liveupdate_lock);
	if (!domain->liveupdate)
		ret = liveupdate_refuse_dev(dev, -EINVAL,
					    "its page table is not preserved");
	else if (dev->iommu->liveupdate)
		ret = liveupdate_refuse_dev(dev, -EBUSY,
					    "it is preserved or not finished");
	else
		ret = preserve_device_locked(dev, domain->liveupdate, ops,
					     pasids, nr);
	mutex_unlock(&iommu_liveupdate_lock);
	if (ret)
		liveupdate_device_put();
out_unlock:
	iommu_group_liveupdate_unlock(dev);
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_preserve_device);

/**
 * iommu_liveupdate_unpreserve_device - Undo iommu_liveupdate_preserve_device()
 * @dev: the device
 *
 * Context: Process context, takes group->mutex. Cannot fail.
 */
void iommu_liveupdate_unpreserve_device(struct device *dev)
{
	struct iommu_liveupdate_device *ldev = dev->iommu->liveupdate;
	struct iommu_liveupdate_unit *unit;

	guard(mutex)(&iommu_liveupdate_op_lock);
	if (WARN_ON(!ldev || ldev->state != IOMMU_LIVEUPDATE_DEVICE_PRESERVED))
		return;
	iommu_group_liveupdate_lock(dev);

	mutex_lock(&iommu_liveupdate_lock);
	list_for_each_entry(unit, &outgoing.units, list)
		if (unit->ser == ldev->unit)
			break;

	iommu_pasids_unpreserve(ldev, dev);
	ldev->ops->unpreserve_device(dev, ldev->unit, ldev->ser);
	dev->iommu->liveupdate = NULL;
	ldev->domain->ser->nr_attachments--;
	ldev->unit->nr_devices--;
	iommu_liveupdate_unit_put(unit, ldev->ops);
	list_del(&ldev->list);
	iommu_record_free(ldev->ser);
	kfree(ldev);
	mutex_unlock(&iommu_liveupdate_lock);

	iommu_group_liveupdate_unlock(dev);
	liveupdate_device_put();
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_unpreserve_device);

/**
 * iommu_liveupdate_freeze_device - Last check before the jump
 * @dev: a preserved device
 *
 * Context: Process context. Nothing changes.
 * Return: 0; -ENODEV when it is not preserved; -EIO when the hardware no longer
 * is as the record says.
 */
int iommu_liveupdate_freeze_device(struct device *dev)
{
	struct iommu_liveupdate_device *ldev = dev->iommu->liveupdate;
	struct iommu_liveupdate_pasid *lp;
	unsigned long pasid;
	int ret;

	guard(mutex)(&iommu_liveupdate_op_lock);
	guard(mutex)(&iommu_liveupdate_lock);
	if (!ldev || ldev->state != IOMMU_LIVEUPDATE_DEVICE_PRESERVED)
		return -ENODEV;
	ret = ldev->ops->freeze_device(dev, ldev->ser);
	xa_for_each(&ldev->pasids, pasid, lp)
		if (!ret)
			ret = ldev->ops->freeze_pasid(dev, lp->ser);
	return ret;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_freeze_device);

/**
 * iommu_liveupdate_in_state - Is this a kept device in that state?
 * @dev: a device that stays in its group
 * @state: the state of either kernel
 *
 * Context: Process context, takes the inner lock when @dev is kept.
 * Return: true when it is. It may leave the state at once unless the caller holds
 * what prevents that.
 */
bool iommu_liveupdate_in_state(struct device *dev,
			       enum iommu_liveupdate_device_state state)
{
	struct iommu_liveupdate_device *ldev;

	/* All other devices pay no more than this. */
	if (!dev->iommu || !READ_ONCE(dev->iommu->liveupdate))
		return false;

	guard(mutex)(&iommu_liveupdate_lock);
	ldev = dev->iommu->liveupdate;
	return ldev && ldev->state == state;
}

/* group->mutex is held: may the device not change its domain? */
bool iommu_liveupdate_device_frozen(struct device *dev)
{
	return iommu_liveupdate_in_state(dev,
					 IOMMU_LIVEUPDATE_DEVICE_PRESERVED);
}

/* ---------------------------------------------------- the FLB, both kernels */

static const struct liveupdate_flb_ops iommu_liveupdate_flb_ops = {
	.preserve = iommu_liveupdate_flb_preserve,
	.unpreserve = iommu_liveupdate_flb_unpreserve,
	.retrieve = iommu_liveupdate_flb_retrieve,
	.finish = iommu_liveupdate_flb_finish,
	.owner = THIS_MODULE,
};

struct liveupdate_flb iommu_liveupdate_flb = {
	.ops = &iommu_liveupdate_flb_ops,
	.compatible = IOMMU_LIVEUPDATE_FLB_COMPATIBLE,
};

/**
 * iommu_liveupdate_register - Bind the life of the records to a kind of file
 * @fh: file handler whose files preserve domains or devices
 *
 * Context: Process context.
 * Return: 0 or an error of liveupdate_register_flb().
 */
int iommu_liveupdate_register(struct liveupdate_file_handler *fh)
{
	return liveupdate_register_flb(fh, &iommu_liveupdate_flb);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_register);

/**
 * iommu_liveupdate_unregister - Undo iommu_liveupdate_register()
 * @fh: the file handler
 *
 * Context: Process context.
 */
void iommu_liveupdate_unregister(struct liveupdate_file_handler *fh)
{
	liveupdate_unregister_flb(fh, &iommu_liveupdate_flb);
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_unregister);
