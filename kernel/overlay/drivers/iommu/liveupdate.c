// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live update of IOMMUs: page tables, and the attachment of devices to them,
 * that stay in use while one kernel replaces another.
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
 * New kernel
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
 * Locks
 *
 * iommu_liveupdate_op_lock is the outer one: it serializes everything that
 * iommufd, the FLB callbacks, the reboot notifier and the deadline ask for.
 * group->mutex nests inside. iommu_liveupdate_lock is the inner one: it
 * protects the lists, the records and the states below against the probing of
 * devices, which holds group->mutex and never takes the outer lock.
 * dev->iommu->liveupdate and domain->liveupdate are written under the inner
 * lock, too, and what they point to is only looked into with it. A device that
 * is removed takes the outer lock before its group goes away.
 *
 * Cost
 *
 * A device is found by its PCI address in constant time. The old kernel looks
 * for a free slot from the start, and the new one looks for a domain in a list:
 * with n records n^2 short steps, nothing for the 4096 devices a host may have.
 */
#define pr_fmt(fmt) "iommu: live update: " fmt

#include <linux/iommu.h>
#include <linux/kexec_handover.h>
#include <linux/kho_query.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_break.h>
#include <linux/liveupdate_refuse.h>
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

static DEFINE_MUTEX(iommu_liveupdate_op_lock);
static DEFINE_MUTEX(iommu_liveupdate_lock);

/* One chunk of the old kernel */
struct iommu_liveupdate_chunk {
	struct list_head list;
	struct iommu_chunk_ser *ser;
};

/* A unit with kept devices, old kernel */
struct iommu_liveupdate_unit {
	struct list_head list;
	u32 slot;
	struct iommu_unit_ser *ser;
	struct iommu_device *iommu;
};

/* Old kernel. root is NULL while the FLB is not preserved. */
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

/* A unit record of the old kernel that a driver may take over */
struct iommu_liveupdate_incoming_unit {
	struct list_head list;
	u32 slot;
	struct iommu_unit_ser *ser;
	const struct iommu_liveupdate_ops *ops;
};

/* New kernel */
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

static struct liveupdate_flb iommu_liveupdate_flb;

/* ------------------------------------------------------- records, old kernel */

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

/* ------------------------------------------------------- preserve, old kernel */

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

static int iommu_device_identify(struct device *dev,
				 struct iommu_device_ser *ser)
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
	ret = iommu_device_identify(dev, ldev->ser);
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

static bool iommu_device_in_state(struct device *dev,
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
	return iommu_device_in_state(dev, IOMMU_LIVEUPDATE_DEVICE_PRESERVED);
}

/* --------------------------------------------------- what came in, new kernel */

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

static int iommu_liveupdate_flb_retrieve(struct liveupdate_flb_op_args *args)
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

	if (list_empty(&incoming.devices) || iommu_device_identify(dev, &id))
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

/* -------------------------------------------------------- restore, new kernel */

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
		pci_clear_master(to_pci_dev(dev));
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
	return iommu_device_in_state(dev, IOMMU_LIVEUPDATE_DEVICE_RESTORED);
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

/**
 * iommu_liveupdate_return_pasid - Undo the attach of a PASID that was claimed
 * @dev: the device, which is going to be returned
 * @pasid: the PASID, not attached to anything else meanwhile
 *
 * Context: Process context, takes group->mutex. Hardware is not touched.
 */
void iommu_liveupdate_return_pasid(struct device *dev, u32 pasid)
{
	struct iommu_liveupdate_pasid *lp;

	guard(mutex)(&iommu_liveupdate_op_lock);
	iommu_group_liveupdate_return_pasid(dev, pasid);

	guard(mutex)(&iommu_liveupdate_lock);
	lp = xa_load(&dev->iommu->liveupdate->pasids, pasid);
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
	ldev = dev->iommu ? dev->iommu->liveupdate : NULL;
	if (WARN_ON(!ldev || ldev->state != IOMMU_LIVEUPDATE_DEVICE_CLAIMED))
		return;

	iommu_group_liveupdate_return(dev, owner);
	guard(mutex)(&iommu_liveupdate_lock);
	ldev->state = IOMMU_LIVEUPDATE_DEVICE_RESTORED;
}
EXPORT_SYMBOL_GPL(iommu_liveupdate_return_device);

/* ------------------------------------------- abandon and finish, new kernel */

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
	lockdep_assert_held(&iommu_liveupdate_op_lock);

	iommu_domain_abandon_devices(ld);
	if (ld->state != IOMMU_LIVEUPDATE_DOMAIN_KEPT)
		return;
	ld->state = IOMMU_LIVEUPDATE_DOMAIN_LOST;
	if (ld->domain) {
		ld->domain->liveupdate = NULL;
		iommu_domain_free(ld->domain);
		ld->domain = NULL;
	} else {
		pr_warn("record %u: the tables of a domain without a device are leaked\n",
			ld->slot);
	}
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

static void iommu_liveupdate_flb_finish(struct liveupdate_flb_op_args *args)
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

static const struct liveupdate_flb_ops iommu_liveupdate_flb_ops = {
	.preserve = iommu_liveupdate_flb_preserve,
	.unpreserve = iommu_liveupdate_flb_unpreserve,
	.retrieve = iommu_liveupdate_flb_retrieve,
	.finish = iommu_liveupdate_flb_finish,
	.owner = THIS_MODULE,
};

static struct liveupdate_flb iommu_liveupdate_flb = {
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

/* ------------------------------------------------------------------- triggers */

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
