// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live update of Intel VT-d units: the new kernel's side, which goes on with the
 * tables in use. liveupdate.c is the old one's and says what they are.
 *
 * What it keeps
 *
 * A struct intel_incoming_unit for each unit whose tables it took over, until
 * the records of the unit are finished: with the domain ids that hardware uses
 * and that no domain has yet. The tables themselves are the driver's own from
 * then on, as if it had made them: the root and context tables the unit's, a PASID
 * directory the device's, a page table the domain's.
 *
 * New kernel
 *
 * A unit that is found translating on a boot with handed-over memory is live:
 * its translation is never switched off. intel_liveupdate_adopt() takes its root
 * and context tables over without writing to them, compares every present entry
 * with the records and clears what has none, and reserves the domain ids. A unit
 * whose record cannot be used is quarantined: it gets an empty root table, so
 * that everything is blocked. When a kept device is probed its domain is built
 * over the table in use, and the driver's books are made to say what the
 * hardware does already.
 *
 * Crash kernel
 *
 * A kernel that boots because another one panicked has been handed over nothing:
 * no unit is live for it, whatever it was for the kernel that panicked. The base's
 * own way for such a kernel copies the root and context tables, so that DMA goes
 * on into memory of the kernel that panicked until a driver attaches the device.
 * It cannot copy tables of another mode, and switches translation off then, so
 * here, too, the mode in use decides, whatever the command line says.
 *
 * What cannot fail
 *
 * To block and to finish, which allocate nothing, and to take over the PASID
 * directory of a device, which waits for memory. When anything else fails, what
 * hardware may still walk is leaked.
 *
 * Locks
 *
 * The list of adopted units is complete before the first device is probed; it is
 * protected by intel_liveupdate_lock, and who looks into a unit holds the inner
 * lock of the IOMMU core, so that it is not finished; @dids is protected by the
 * xarray's own lock. Entries are cleared under iommu->lock once devices are probed.
 *
 * References are to the VT-d specification, revision 4.1.
 */
#define pr_fmt(fmt) "DMAR: live update: " fmt

#include <linux/crash_dump.h>
#include <linux/dmar.h>
#include <linux/generic_pt/iommu.h>
#include <linux/kexec_handover.h>
#include <linux/list.h>
#include <linux/liveupdate_break.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/pci_liveupdate.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "iommu.h"
#include "../iommu-pages.h"
#include "../liveupdate-priv.h"
#include "liveupdate.h"
#include "liveupdate-tables.h"
#include "pasid.h"

/**
 * struct intel_incoming_unit - A unit whose tables were taken over
 * @list: in intel_liveupdate_units
 * @iommu: the unit
 * @ser: its record
 * @dids: domain ids that are reserved but have no domain yet
 */
struct intel_incoming_unit {
	struct list_head list;
	struct intel_iommu *iommu;
	struct iommu_unit_ser *ser;
	struct xarray dids;
};

static DEFINE_MUTEX(intel_liveupdate_lock);
static LIST_HEAD(intel_liveupdate_units);

/* -------------------------------------------------------------------- adopt */

/**
 * intel_liveupdate_alloc_iommu - Find out whether a unit is live
 * @iommu: the unit, its registers are mapped and its capabilities read
 *
 * The mode cannot change while translation is on (11.4.6, TTM), so the mode of
 * a live unit decides, whatever the command line says, and that of any unit that
 * is found translating by a crash kernel. A unit that knows only one mode has no
 * say.
 *
 * Context: Early boot; nothing is done for a unit that is plugged in later.
 */
void intel_liveupdate_alloc_iommu(struct intel_iommu *iommu)
{
	bool crash = is_kdump_kernel() && !liveupdate_break("crash");

	if (liveupdate_break("ssads"))
		iommu->ecap |= VTD_ECAP_DIRTY;
	if (!(crash || is_kho_boot()) || intel_iommu_enabled ||
	    !(readl(iommu->reg + DMAR_GSTS_REG) & DMA_GSTS_TES))
		return;

	if (!crash)
		iommu->flags |= VTD_FLAG_LIVE;
	if (ecap_smts(iommu->ecap))
		intel_iommu_sm = !!(readq(iommu->reg + DMAR_RTADDR_REG) &
				    DMA_RTADDR_SMT);
}

/**
 * intel_liveupdate_live - Must this unit go on translating?
 * @iommu: the unit
 *
 * Context: Any.
 * Return: true from boot until its records are finished, or the system goes
 * down.
 */
bool intel_liveupdate_live(struct intel_iommu *iommu)
{
	return (iommu->flags & VTD_FLAG_LIVE) && system_state < SYSTEM_HALT;
}

/**
 * intel_liveupdate_force_on - A live unit needs its driver
 *
 * Switching a live unit off would turn the addresses of kept devices into
 * physical ones. Called before the driver believes intel_iommu=off.
 *
 * Context: Boot, dmar_global_lock held for writing.
 */
void intel_liveupdate_force_on(void)
{
	struct dmar_drhd_unit *drhd;
	struct intel_iommu *iommu;

	for_each_iommu(iommu, drhd) {
		if (!intel_liveupdate_live(iommu))
			continue;
		if (dmar_policy_off())
			pr_warn("%s is translating for kept devices: the IOMMU is switched on\n",
				iommu->name);
		dmar_policy = DMAR_FORCE_ON;
		no_iommu = 0;
	}
}

static int intel_check_unit(struct intel_iommu *iommu,
			    const struct iommu_unit_ser *ser)
{
	u64 rtaddr = readq(iommu->reg + DMAR_RTADDR_REG);

	if (ser->state != IOMMU_UNIT_SER_HANDED_OVER) {
		pr_err("%s: the handover was not completed\n", iommu->name);
		return -EINVAL;
	}
	if (ser->vtd.cap != iommu->cap || ser->vtd.ecap != iommu->ecap ||
	    ser->vtd.rtaddr != rtaddr ||
	    !!(rtaddr & DMA_RTADDR_SMT) != sm_supported(iommu)) {
		pr_err("%s: its registers are not those of the record\n",
		       iommu->name);
		return -EINVAL;
	}
	return 0;
}

static int intel_adopt_tables(struct intel_iommu *iommu,
			      const struct iommu_unit_vtd_ser *vtd)
{
	unsigned int half;
	u64 *root;

	iommu->root_entry = iommu_pages_restore(vtd->rtaddr & VTD_PAGE_MASK, 0);
	if (!iommu->root_entry)
		return -EINVAL;

	for (half = 0; half < CTX_HALVES; half++) {
		root = root_half(iommu, half);
		if (!(*root & 1))
			continue;
		if ((vtd->ctx_kept[half / 64] & BIT_ULL(half % 64)) &&
		    iommu_pages_restore(*root & VTD_PAGE_MASK, 0))
			continue;
		pr_warn("%s: the context table of bus %02x has no record and is cut off\n",
			iommu->name, half / 2);
		WRITE_ONCE(*root, 0);
		__iommu_flush_cache(iommu, root, sizeof(*root));
	}
	return 0;
}

static const struct iommu_pasid_ser *
next_pasid(const struct iommu_device_ser *ser, u32 first)
{
	return iommu_liveupdate_incoming_pasid(ser, first,
					       IOMMU_PASID_SER_LAST);
}

/*
 * Take over one PASID table: what has a record must be what the record says, and
 * everything else is cleared. A table without a record was not preserved.
 */
static int intel_adopt_pasid_table(struct intel_iommu *iommu,
				   const struct iommu_device_ser *ser,
				   struct pasid_dir_entry *pde, u32 first,
				   const struct iommu_pasid_ser **to)
{
	struct pasid_entry *entries = get_pasid_table_from_pde(pde);
	u32 pasid, last = first + PASID_TBL_ENTRIES - 1;
	const struct iommu_pasid_ser *next = *to;
	u64 table_pa = first ? 0 : ser->vtd.pasid_table_pa;
	const u64 *want;

	if (next && next->pasid <= last)
		table_pa = next->vtd.table_pa;
	if (!table_pa) {
		WRITE_ONCE(pde->val, 0);
		return 0;
	}
	if (!entries || virt_to_phys(entries) != table_pa ||
	    !iommu_pages_restore(table_pa, 0))
		return -EINVAL;

	for (pasid = first; pasid <= last; pasid++, entries++) {
		want = pasid ? NULL : ser->vtd.pasid0;
		if (next && next->pasid == pasid) {
			want = next->vtd.entry;
			next = next_pasid(ser, pasid + 1);
		}
		if (!want)
			WRITE_ONCE(entries->val[0], 0);
		else if (memcmp(entries, want, sizeof(*entries)))
			return -EINVAL;
	}
	__iommu_flush_cache(iommu, phys_to_virt(table_pa), PAGE_SIZE);
	*to = next;
	return 0;
}

static int intel_adopt_device_tables(struct intel_iommu *iommu,
				     const struct iommu_device_ser *ser)
{
	const struct iommu_device_vtd_ser *vtd = &ser->vtd;
	const struct iommu_pasid_ser *next = next_pasid(ser, 1);
	struct pasid_dir_entry *dir;
	unsigned int i;
	int ret;

	if (vtd->scalable != sm_supported(iommu))
		return -EINVAL;
	if (!vtd->scalable)
		return 0;

	dir = iommu_pages_restore(vtd->pasid_dir_pa, vtd->pasid_dir_order);
	if (!dir)
		return -EINVAL;
	for (i = 0; i < vtd->max_pasid >> PASID_PDE_SHIFT; i++) {
		ret = intel_adopt_pasid_table(iommu, ser, &dir[i],
					      i << PASID_PDE_SHIFT, &next);
		if (ret)
			return ret;
	}
	__iommu_flush_cache(iommu, dir, PAGE_SIZE << vtd->pasid_dir_order);
	return 0;
}

static int intel_reserve_did(struct intel_incoming_unit *lu, u16 did)
{
	int ret;

	if (xa_load(&lu->dids, did))
		return 0;
	if (did < IDA_START_DID || did >= lu->iommu->max_domain_id)
		return -EINVAL;
	if (liveupdate_break("nomem_did"))
		return -ENOMEM;
	ret = ida_alloc_range(&lu->iommu->domain_ida, did, did, GFP_KERNEL);
	if (ret < 0)
		return ret;
	ret = xa_err(xa_store(&lu->dids, did, xa_mk_value(1), GFP_KERNEL));
	if (ret)
		ida_free(&lu->iommu->domain_ida, did);
	return ret;
}

static int intel_reserve_dids(struct intel_incoming_unit *lu,
			      const struct iommu_device_ser *ser)
{
	const u32 last = IOMMU_PASID_SER_LAST;
	const struct iommu_pasid_ser *pasid;
	u32 first = 1;
	int ret;

	ret = intel_reserve_did(lu, ser->vtd.did);
	while (!ret) {
		pasid = iommu_liveupdate_incoming_pasid(ser, first, last);
		if (!pasid)
			break;
		ret = intel_reserve_did(lu, pasid->vtd.did);
		first = pasid->pasid + 1;
	}
	return ret;
}

/*
 * Blocked alone, it would come back to life with the default domain that it is
 * attached to when it is probed, which may pass it through.
 */
static void intel_stop_requester(struct intel_iommu *iommu, u16 rid)
{
	struct pci_dev *pdev;

	pdev = pci_get_domain_bus_and_slot(iommu->segment, PCI_BUS_NUM(rid),
					   rid & 0xff);
	if (pdev && !pci_is_bridge(pdev) && !liveupdate_break("scrub_stop")) {
		pci_liveupdate_lose(pdev);
		pci_wait_for_pending_transaction(pdev);
	}
	pci_dev_put(pdev);
}

/* Afterwards the present entries are exactly those with a good record. */
static void intel_scrub(struct intel_incoming_unit *lu)
{
	struct intel_iommu *iommu = lu->iommu;
	const struct iommu_device_ser *ser;
	unsigned int rid;
	bool keep_all = liveupdate_break("scrub");
	u64 *ctx;

	for (rid = 0; rid < BIT(16); rid++) {
		ctx = rid_entry(iommu, rid);
		if (!ctx) {
			rid |= sm_supported(iommu) ? 0x7f : 0xff;
			continue;
		}
		if (!(ctx[0] & 1))
			continue;
		ser = iommu_liveupdate_incoming_device(lu->ser, rid);
		if (ser &&
		    !memcmp(ctx, ser->vtd.ctx,
			    ctx_words(iommu) * sizeof(*ctx)) &&
		    !intel_adopt_device_tables(iommu, ser) &&
		    !intel_reserve_dids(lu, ser))
			continue;
		if (keep_all)
			continue;

		pr_err("%s: the entry of %02x:%02x.%x has no record that fits, it is stopped and blocked\n",
		       iommu->name, PCI_BUS_NUM(rid), PCI_SLOT(rid & 0xff),
		       PCI_FUNC(rid & 0xff));
		intel_stop_requester(iommu, rid);
		WRITE_ONCE(ctx[0], 0);
		__iommu_flush_cache(iommu, ctx, sizeof(*ctx));
	}
}

/*
 * Nobody knows what they do, and the default domain that they will be attached
 * to may pass them through. No driver is bound yet.
 */
static void intel_stop_devices(struct intel_iommu *iommu)
{
	struct pci_dev *pdev = NULL;

	for_each_pci_dev(pdev)
		if (!pci_is_bridge(pdev) &&
		    intel_liveupdate_lookup(&pdev->dev) == iommu)
			pci_liveupdate_lose(pdev);
}

/**
 * intel_liveupdate_adopt - Take over the tables that a live unit uses
 * @iommu: the unit; its invalidation queue is on, its root table is not
 *	allocated
 *
 * Context: Boot, dmar_global_lock held for writing. The caller programs the root
 * table pointer and flushes everything afterwards, with translation on.
 * Return: true when @iommu->root_entry is the table in use; false when the unit
 * is not live or is to be quarantined, and the caller allocates an empty one.
 */
bool intel_liveupdate_adopt(struct intel_iommu *iommu)
{
	struct intel_incoming_unit *lu;
	struct iommu_unit_ser *ser;

	ser = iommu_liveupdate_incoming_unit(&intel_liveupdate_ops,
					     iommu->reg_phys);
	if (!(iommu->flags & VTD_FLAG_LIVE)) {
		if (ser)
			pr_err("%s: its translation was switched off on the way: its devices are lost\n",
			       iommu->name);
		return false;
	}
	iommu->flags &= ~VTD_FLAG_TRANS_PRE_ENABLED;

	lu = liveupdate_alloc("adopt", kzalloc_obj(*lu));
	if (!lu || !ser || liveupdate_break("adopt") ||
	    intel_check_unit(iommu, ser) ||
	    intel_adopt_tables(iommu, &ser->vtd))
		goto quarantine;

	lu->iommu = iommu;
	lu->ser = ser;
	xa_init(&lu->dids);
	intel_scrub(lu);
	scoped_guard(mutex, &intel_liveupdate_lock)
		list_add_tail(&lu->list, &intel_liveupdate_units);
	pr_info("%s: took over the tables of the previous kernel\n",
		iommu->name);
	return true;

quarantine:
	pr_err("%s: quarantined: all DMA behind it is blocked until drivers map again\n",
	       iommu->name);
	intel_stop_devices(iommu);
	kfree(lu);
	iommu->root_entry = NULL;
	iommu->flags &= ~VTD_FLAG_LIVE;
	return false;
}

static struct intel_incoming_unit *intel_adopted_unit(struct intel_iommu *iommu)
{
	struct intel_incoming_unit *lu;

	guard(mutex)(&intel_liveupdate_lock);
	list_for_each_entry(lu, &intel_liveupdate_units, list)
		if (lu->iommu == iommu)
			return lu;
	return NULL;
}

/**
 * intel_liveupdate_adopted - Are the unit's tables those of the last kernel?
 * @iommu: the unit
 *
 * Context: Process context.
 * Return: true until its records are finished.
 */
bool intel_liveupdate_adopted(struct intel_iommu *iommu)
{
	return intel_adopted_unit(iommu);
}

/* ------------------------------------------------------------------ restore */

/**
 * intel_liveupdate_adopt_pasid_table - Use the PASID table in use
 * @info: a device of a unit in scalable mode that is being probed
 *
 * Context: Probe of the device.
 * Return: true when @info->pasid_table is set and the context entry points to
 * it; false when the caller is to make a new one.
 */
bool intel_liveupdate_adopt_pasid_table(struct device_domain_info *info)
{
	struct iommu_device_ser ser;
	struct pasid_table *table;
	u64 *ctx;

	if (!intel_adopted_unit(info->iommu) ||
	    !iommu_liveupdate_record(info->dev, &ser))
		return false;
	/* Cleared by the scrub? Then there is nothing to take over. */
	ctx = ctx_entry(info->iommu, info->bus, info->devfn);
	if (!ctx || !(ctx[0] & 1) ||
	    (ctx[0] & VTD_PAGE_MASK) != ser.vtd.pasid_dir_pa)
		return false;

	/* With another table the books would not be about what the device uses */
	table = kzalloc_obj(*table, GFP_KERNEL | __GFP_NOFAIL);
	table->table = phys_to_virt(ser.vtd.pasid_dir_pa);
	table->max_pasid = ser.vtd.max_pasid;
	info->pasid_table = table;
	return true;
}

/* ATS is on or off as the record says, and not touched. */
static int intel_inherit_ats(struct device_domain_info *info,
			     const struct iommu_device_ser *ser)
{
	bool ats = ser->head.required & IOMMU_DEVICE_SER_ATS;

	if (ats != to_pci_dev(info->dev)->ats_enabled ||
	    (ats && !info->ats_supported))
		return -EINVAL;
	info->ats_enabled = ats;
	return 0;
}

/* A device that was lost, or has no record, keeps nothing cached. */
static void intel_drop_ats(struct device *dev)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct pci_dev *pdev = to_pci_dev(dev);

	if (!pdev->ats_enabled)
		return;
	if (pci_device_is_present(pdev))
		qi_flush_dev_iotlb(info->iommu, pci_dev_id(pdev), info->pfsid,
				   info->ats_qdep, 0, MAX_AGAW_PFN_WIDTH);
	pci_disable_ats(pdev);
	info->ats_enabled = 0;
}

/* The PASID capability is the old driver's doing and stays as it is. */
static void intel_inherit_pasid(struct device_domain_info *info)
{
#ifdef CONFIG_PCI_PASID
	struct pci_dev *pdev = to_pci_dev(info->dev);
	u16 ctrl;

	if (!pdev->pasid_cap)
		return;
	pci_read_config_word(pdev, pdev->pasid_cap + PCI_PASID_CTRL, &ctrl);
	if (!(ctrl & PCI_PASID_CTRL_ENABLE))
		return;
	pdev->pasid_features = ctrl &
			       (PCI_PASID_CTRL_EXEC | PCI_PASID_CTRL_PRIV);
	pdev->pasid_enabled = 1;
	info->pasid_enabled = 1;
#endif
}

/**
 * intel_liveupdate_probe_finalize - Leave a kept device's capabilities alone
 * @dev: the device
 *
 * Context: End of the probe.
 * Return: true when the device is a kept one, and the caller is not to enable
 * anything.
 */
bool intel_liveupdate_probe_finalize(struct device *dev)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);

	if (!iommu_liveupdate_device_restored(dev)) {
		/* Found enabled, and nobody has taken it over */
		if (dev_is_pci(dev) && !info->ats_enabled)
			intel_drop_ats(dev);
		return false;
	}

	intel_inherit_pasid(info);
	return true;
}

/*
 * Tracking goes on without its being switched on, which would clear the marks in
 * the leaves. That the unit is able to is a matter of paging_domain_compatible().
 */
static void intel_restore_dirty(struct dmar_domain *domain, u32 required)
{
	if (required & IOMMU_DOMAIN_SER_DIRTY_CAPABLE)
		domain->domain.dirty_ops = intel_liveupdate_dirty_ops();
	domain->dirty_tracking = !!(required & IOMMU_DOMAIN_SER_DIRTY_TRACKING);
}

/**
 * intel_liveupdate_restore_domain - Build a domain over the tables in use
 * @dev: the first device that uses it
 * @ser: record of the domain
 * @domainp: where the domain goes, which is not attached to anything
 *
 * Context: Process context, the inner lock of the IOMMU core and group->mutex held.
 * Hardware is not written.
 * Return: 0; -ENODEV when the unit of @dev was not adopted; -EINVAL when the unit
 * cannot use such a table; or an error of the restore of the page table. The
 * tables are leaked then.
 */
int intel_liveupdate_restore_domain(struct device *dev,
				    const struct iommu_domain_ser *ser,
				    struct iommu_domain **domainp)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct intel_iommu *iommu = info->iommu;
	struct dmar_domain *domain;
	int ret;

	if (!intel_adopted_unit(iommu))
		return -ENODEV;
	domain = intel_liveupdate_domain_alloc();
	if (IS_ERR(domain))
		return PTR_ERR(domain);

	domain->iommu.iommu_device = dev;
	domain->iommu.nid = dev_to_node(dev);
	domain->force_snooping =
		!!(ser->head.required & IOMMU_DOMAIN_SER_FORCE_SNOOPING);
	domain->iotlb_sync_map = cap_rwbf(iommu->cap);
	if (ser->pt.format == IOMMU_PT_SER_X86_64) {
		domain->domain.ops = &intel_fs_paging_domain_ops;
		ret = pt_iommu_x86_64_restore(&domain->fspt, &ser->pt);
	} else if (ser->pt.format == IOMMU_PT_SER_VTDSS) {
		domain->domain.ops = &intel_ss_paging_domain_ops;
		domain->iotlb_sync_map |= cap_caching_mode(iommu->cap);
		intel_restore_dirty(domain, ser->head.required);
		ret = pt_iommu_vtdss_restore(&domain->sspt, &ser->pt);
	} else {
		ret = -EINVAL;
	}
	if (ret)
		goto err_free;

	domain->domain.pgsize_bitmap &= ser->pt.pgsize_bitmap;
	ret = domain->domain.pgsize_bitmap ?
		      paging_domain_compatible(&domain->domain, dev) :
		      -EINVAL;
	if (ret)
		goto err_free;
	*domainp = &domain->domain;
	return 0;

err_free:
	/* The hardware uses the tables: they are leaked, only this is not. */
	kfree(domain);
	return ret;
}

/* Does a PASID entry name this page table, and track what the domain tracks? */
static bool pasid_names_domain(const u64 *entry, struct dmar_domain *domain)
{
	struct pt_iommu_x86_64_hw_info fs;
	struct pt_iommu_vtdss_hw_info ss;

	if (intel_domain_is_fs_paging(domain)) {
		pt_iommu_x86_64_hw_info(&domain->fspt, &fs);
		return (entry[2] & VTD_PAGE_MASK) == fs.gcr3_pt;
	}
	pt_iommu_vtdss_hw_info(&domain->sspt, &ss);
	return (entry[0] & VTD_PAGE_MASK) == ss.ssptptr &&
	       ((entry[0] >> 2) & 0x7) == ss.aw &&
	       pasid_tracks_dirty(entry) == domain->dirty_tracking;
}

/* Does the entry that the hardware uses name this page table? */
static bool entry_names_domain(const struct iommu_device_vtd_ser *vtd,
			       struct dmar_domain *domain)
{
	struct pt_iommu_vtdss_hw_info ss;

	if (vtd->scalable)
		return pasid_names_domain(vtd->pasid0, domain);
	if (intel_domain_is_fs_paging(domain))
		return false;
	pt_iommu_vtdss_hw_info(&domain->sspt, &ss);
	return (vtd->ctx[0] & VTD_PAGE_MASK) == ss.ssptptr &&
	       (vtd->ctx[1] & 0x7) == ss.aw;
}

/* domain_attach_iommu() with a domain id that is reserved already */
static int intel_attach_did(struct dmar_domain *domain,
			    struct intel_incoming_unit *lu, u16 did)
{
	struct intel_iommu *iommu = lu->iommu;
	struct iommu_domain_info *info, *curr;
	int ret;

	guard(mutex)(&iommu->did_lock);
	curr = xa_load(&domain->iommu_array, iommu->seq_id);
	if (curr) {
		if (curr->did != did)
			return -EINVAL;
		curr->refcnt++;
		return 0;
	}
	if (!xa_load(&lu->dids, did))
		return -EINVAL;

	info = kzalloc_obj(*info);
	if (!info)
		return -ENOMEM;
	info->refcnt = 1;
	info->did = did;
	info->iommu = iommu;
	ret = xa_err(xa_store(&domain->iommu_array, iommu->seq_id, info,
			      GFP_KERNEL));
	if (ret) {
		kfree(info);
		return ret;
	}
	xa_erase(&lu->dids, did);
	return 0;
}

/**
 * intel_liveupdate_attach_restored - Enter an attachment in the driver's books
 * @dev: the device
 * @iommu_domain: the restored domain that its hardware entry names
 * @ser: record of the device
 *
 * Context: Process context, the inner lock of the IOMMU core and group->mutex held.
 * Hardware is not written.
 * Return: 0; -EINVAL when the unit was not adopted, or when hardware entry, record
 * and domain do not fit together; or an error of the allocations.
 */
int intel_liveupdate_attach_restored(struct device *dev,
				     struct iommu_domain *iommu_domain,
				     const struct iommu_device_ser *ser)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct dmar_domain *domain = to_dmar_domain(iommu_domain);
	struct intel_incoming_unit *lu = intel_adopted_unit(info->iommu);
	unsigned long flags;
	int ret;

	if (!lu || entry_differs(info->iommu, ser) ||
	    !entry_names_domain(&ser->vtd, domain))
		return -EINVAL;
	ret = intel_inherit_ats(info, ser);
	if (ret)
		return ret;

	ret = intel_attach_did(domain, lu, ser->vtd.did);
	if (ret)
		return ret;
	ret = cache_tag_assign_domain(domain, dev, IOMMU_NO_PASID);
	if (ret) {
		domain_detach_iommu(domain, info->iommu);
		return ret;
	}

	info->domain = domain;
	info->domain_attached = true;
	spin_lock_irqsave(&domain->lock, flags);
	list_add(&info->link, &domain->devices);
	spin_unlock_irqrestore(&domain->lock, flags);
	return 0;
}

/**
 * intel_liveupdate_attach_restored_pasid - Enter that of a PASID in the books
 * @dev: the device
 * @iommu_domain: the restored domain that the PASID's hardware entry names
 * @device: record of the device
 * @ser: record of the PASID
 *
 * Context: As for intel_liveupdate_attach_restored().
 * Return: As for intel_liveupdate_attach_restored().
 */
int intel_liveupdate_attach_restored_pasid(struct device *dev,
					   struct iommu_domain *iommu_domain,
					   const struct iommu_device_ser *device,
					   const struct iommu_pasid_ser *ser)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct dmar_domain *domain = to_dmar_domain(iommu_domain);
	struct intel_incoming_unit *lu = intel_adopted_unit(info->iommu);
	struct dev_pasid_info *dev_pasid;
	unsigned long flags;
	int ret;

	if (!lu || pasid_entry_differs(info, ser) ||
	    !pasid_names_domain(ser->vtd.entry, domain))
		return -EINVAL;
	ret = intel_inherit_ats(info, device);
	if (ret)
		return ret;

	dev_pasid = kzalloc_obj(*dev_pasid);
	if (!dev_pasid)
		return -ENOMEM;
	ret = intel_attach_did(domain, lu, ser->vtd.did);
	if (ret)
		goto err_free;
	ret = cache_tag_assign_domain(domain, dev, ser->pasid);
	if (ret)
		goto err_did;

	dev_pasid->dev = dev;
	dev_pasid->pasid = ser->pasid;
	spin_lock_irqsave(&domain->lock, flags);
	list_add(&dev_pasid->link_domain, &domain->dev_pasids);
	spin_unlock_irqrestore(&domain->lock, flags);
	intel_iommu_debugfs_create_dev_pasid(dev_pasid);
	return 0;

err_did:
	domain_detach_iommu(domain, info->iommu);
err_free:
	kfree(dev_pasid);
	return ret;
}

/**
 * intel_liveupdate_finish_device - Switch page requests on again
 * @dev: the device, an ordinary one from now on
 * @ser: its record, which says whether they were on before the preserve
 *
 * Context: Process context, the outer lock of the IOMMU core and group->mutex held.
 * Cannot fail.
 */
void intel_liveupdate_finish_device(struct device *dev,
				    const struct iommu_device_ser *ser)
{
	if (ser->head.optional & IOMMU_DEVICE_SER_PRI)
		intel_liveupdate_enable_pri(dev_iommu_priv_get(dev));
}

static struct intel_incoming_unit *
intel_unit_of_record(const struct iommu_unit_ser *ser)
{
	struct intel_incoming_unit *lu;

	guard(mutex)(&intel_liveupdate_lock);
	list_for_each_entry(lu, &intel_liveupdate_units, list)
		if (lu->ser == ser)
			return lu;
	return NULL;
}

/* Clear the present bit of every entry that a context entry leads to. */
static void clear_pasid_entries(struct intel_iommu *iommu, const u64 *ctx)
{
	struct pasid_dir_entry *dir = phys_to_virt(ctx[0] & VTD_PAGE_MASK);
	/* PDTS, 9.4 */
	unsigned int nr_dirs = 1U << (((ctx[0] >> 9) & 0x7) + 7);
	struct pasid_entry *entries;
	unsigned int i, n;

	for (i = 0; i < nr_dirs; i++) {
		entries = get_pasid_table_from_pde(&dir[i]);
		for (n = 0; entries && n < PASID_TBL_ENTRIES; n++)
			if (pasid_pte_is_present(&entries[n]))
				WRITE_ONCE(entries[n].val[0], 0);
		if (entries)
			__iommu_flush_cache(iommu, entries, PAGE_SIZE);
	}
}

/**
 * intel_liveupdate_block_record - Clear the hardware entries of a device
 * @unit: record of the unit
 * @ser: record of the device
 * @dev: the device, whose bus mastering is off, or NULL when it was not found
 *
 * In scalable mode the PASID entries are cleared and not the context entry, which
 * the driver may have taken over for the device already, or have made itself
 * after the scrub had cleared it. So what is cleared is what the hardware uses
 * and not what the record names. The domain id may be that of another device:
 * it stays reserved until the unit is finished.
 *
 * Context: Process context, the inner lock of the IOMMU core held, and group->mutex
 * when @dev is given. Takes iommu->lock. Cannot fail.
 */
void intel_liveupdate_block_record(const struct iommu_unit_ser *unit,
				   const struct iommu_device_ser *ser,
				   struct device *dev)
{
	struct intel_incoming_unit *lu = intel_unit_of_record(unit);
	struct intel_iommu *iommu;
	u64 *entry;

	/* Not adopted: the tables of the record are not in use. */
	if (!lu)
		return;
	iommu = lu->iommu;

	spin_lock(&iommu->lock);
	entry = rid_entry(iommu, ser->rid);
	if (entry && (entry[0] & 1) && sm_supported(iommu)) {
		clear_pasid_entries(iommu, entry);
	} else if (entry) {
		WRITE_ONCE(entry[0], 0);
		__iommu_flush_cache(iommu, entry, sizeof(*entry));
	}
	spin_unlock(&iommu->lock);

	iommu->flush.flush_context(iommu, 0, 0, 0, DMA_CCMD_GLOBAL_INVL);
	if (sm_supported(iommu))
		qi_flush_pasid_cache(iommu, 0, QI_PC_GLOBAL, 0);
	iommu->flush.flush_iotlb(iommu, 0, 0, 0, DMA_TLB_GLOBAL_FLUSH);
	if (dev && dev_is_pci(dev))
		intel_drop_ats(dev);
}

static void intel_free_shield(u64 pa, unsigned int order, bool in_use)
{
	void *virt;

	if (!pa || in_use)
		return;
	virt = iommu_pages_restore(pa, order);
	if (virt)
		iommu_free_pages(virt);
}

/**
 * intel_liveupdate_finish_unit - Free what was only kept for the jump
 * @ser: record of the unit, whose devices are finished
 *
 * Context: Process context, both locks of the IOMMU core held. Cannot fail.
 */
void intel_liveupdate_finish_unit(const struct iommu_unit_ser *ser)
{
	struct intel_incoming_unit *lu = intel_unit_of_record(ser);
	bool ir_in_use = true;
	unsigned long did;
	void *entry;

	if (!lu)
		return;

#ifdef CONFIG_IRQ_REMAP
	/* Without interrupt remapping the hardware still points to the old one */
	ir_in_use = !lu->iommu->ir_table;
#endif
	intel_free_shield(ser->vtd.ir_table_pa, ser->vtd.ir_order, ir_in_use);
	intel_free_shield(ser->vtd.prq_pa, ser->vtd.prq_order, !lu->iommu->prq);

	xa_for_each(&lu->dids, did, entry)
		ida_free(&lu->iommu->domain_ida, did);
	xa_destroy(&lu->dids);
	lu->iommu->flags &= ~VTD_FLAG_LIVE;
	scoped_guard(mutex, &intel_liveupdate_lock)
		list_del(&lu->list);
	kfree(lu);
}
