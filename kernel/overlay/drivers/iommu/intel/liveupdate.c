// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live update of Intel VT-d units: the old kernel's side, which preserves, and
 * leaves a unit translating. liveupdate-restore.c is the new kernel's.
 *
 * What it keeps
 *
 * The hardware of a unit walks root table -> context table -> (scalable mode:
 * PASID directory -> PASID table) -> page table. For a unit with kept devices
 * the root table, the context tables that hold a kept device, and the PASID
 * directory of each kept device with those PASID tables that hold a kept entry
 * are preserved through KHO, each page as it is. The page tables are the domains'
 * business (generic_pt). Where writes are tracked (SSADE in the PASID entry)
 * hardware marks them in the leaves all along, and the marks are read in the
 * next kernel. The interrupt remapping table and the page request queue are
 * preserved only as a shield: the hardware points at them until the next kernel
 * has programmed its own.
 *
 * What a device caches
 *
 * The PASID capability stays as the driver has set it. ATS stays on: what the
 * device has cached remains true, because no table changes, and it is
 * invalidated once more at the end of the old kernel, when nobody else uses the
 * invalidation queue, so that no invalidation that was under way can be missed.
 * A device that does not answer is blocked, and costs nobody but its owner. Page
 * requests are switched off by the preserve, because nobody could answer them
 * during the jump, and on again by the unpreserve or the finish. A device whose
 * page requests are being handled, for a domain that can fault, is refused.
 *
 * Old kernel
 *
 * Preserving a device copies its entries into its record. Nothing may change
 * them from then on; the IOMMU core refuses every change of domain. At the end of
 * the shutdown, when one CPU is left and interrupts are off,
 * intel_liveupdate_shutdown() prunes: every entry that has no record is cleared,
 * the caches are invalidated, the event interrupts are masked, the interrupt
 * remapping table is emptied and the invalidation queue is switched off.
 * Translation stays on. It takes no lock, because the CPU that holds it may be
 * one of those that were parked: it owns the queue by switching it off and on
 * again, and every wait has a bound. When the unit passes one, it is not marked as
 * handed over, and the next kernel quarantines it.
 *
 * What cannot fail
 *
 * Undo gives back what preserve took and allocates nothing. The prune ends in
 * bounded time, and in any case with translation on.
 *
 * Locks
 *
 * struct intel_liveupdate_unit and its fields are protected by the inner lock of
 * the IOMMU core, which is held around every operation; the shutdown runs when
 * nobody else does.
 *
 * References are to the VT-d specification, revision 4.1.
 */
#define pr_fmt(fmt) "DMAR: live update: " fmt

#include <linux/delay.h>
#include <linux/dmar.h>
#include <linux/generic_pt/iommu.h>
#include <linux/iommu-liveupdate.h>
#include <linux/kexec.h>
#include <linux/liveupdate_break.h>
#include <linux/liveupdate_refuse.h>
#include <linux/pci.h>
#include <linux/pci-ats.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "iommu.h"
#include "../iommu-pages.h"
#include "liveupdate.h"
#include "liveupdate-tables.h"
#include "pasid.h"

/* Bound of every wait in the shutdown, in microseconds */
#define SHUTDOWN_WAIT_US 500000

/* How long a device may go on sending page requests, in milliseconds */
#define PRI_STOP_MS 100

/* Device TLBs that are invalidated together; the queue has room for more */
#define DEV_TLB_BATCH 32

/**
 * struct intel_liveupdate_unit - A unit with kept devices
 * @ser: its record
 * @kept: bit for each bus/devfn of a kept device
 * @ctx_refs: kept devices in each half of the root table
 * @status: where the last invalidation reports completion
 * @tables: how many kept entries are in a preserved PASID table, by its page
 *	frame number
 * @dev_tlbs: &struct device_domain_info of each kept device with ATS and each of
 *	its PASIDs, by dev_tlb_key()
 */
struct intel_liveupdate_unit {
	struct iommu_unit_ser *ser;
	unsigned long *kept;
	u16 ctx_refs[CTX_HALVES];
	u32 *status;
	struct xarray tables;
	struct xarray dev_tlbs;
};

static unsigned long dev_tlb_key(const struct device_domain_info *info,
				 u32 pasid)
{
	return (unsigned long)PCI_DEVID(info->bus, info->devfn) << 20 | pasid;
}

/* ----------------------------------------------------------------- preserve */

static struct intel_iommu *to_intel_iommu(struct iommu_device *iommu_dev)
{
	return container_of(iommu_dev, struct intel_iommu, iommu);
}

static int intel_preserve_shields(struct intel_iommu *iommu,
				  struct iommu_unit_vtd_ser *vtd)
{
	int ret;

#ifdef CONFIG_IRQ_REMAP
	if (iommu->ir_table) {
		ret = iommu_pages_preserve(iommu->ir_table->base);
		if (ret)
			return ret;
		vtd->ir_table_pa = virt_to_phys(iommu->ir_table->base);
		vtd->ir_order = get_order(SZ_1M);
	}
#endif
	if (iommu->prq) {
		ret = iommu_pages_preserve(iommu->prq);
		if (ret)
			goto err_ir;
		vtd->prq_pa = virt_to_phys(iommu->prq);
		vtd->prq_order = PRQ_ORDER;
	}
	return 0;

err_ir:
	if (vtd->ir_table_pa)
		iommu_pages_unpreserve(phys_to_virt(vtd->ir_table_pa));
	return ret;
}

/*
 * A device whose firmware needs a direct mapping all the time is never kept, and
 * what is not kept is blocked from the prune on: the firmware would stumble. To
 * pass the device through meanwhile is no answer, it could write anywhere.
 */
static int intel_check_rmrr(struct intel_iommu *iommu)
{
	struct device *dev = intel_liveupdate_rmrr(iommu, false);
	int ret = 0;

	if (dev)
		ret = liveupdate_refuse_dev(dev, -EOPNOTSUPP,
					    "firmware needs it mapped; in %s",
					    iommu->name);
	put_device(dev);
	return ret;
}

/* USB and display controllers have them for the time of the boot only. */
static void intel_warn_rmrr(struct intel_iommu *iommu)
{
	struct device *dev = intel_liveupdate_rmrr(iommu, true);

	if (dev)
		dev_warn(dev,
			 "live update: its DMA to memory of firmware stops\n");
	put_device(dev);
}

static int intel_preserve_unit(struct iommu_device *iommu_dev,
			       struct iommu_unit_ser *ser)
{
	struct intel_iommu *iommu = to_intel_iommu(iommu_dev);
	struct intel_liveupdate_unit *lu;
	int ret;

	/* Register based invalidation cannot be done without a lock. */
	if (!iommu->qi || iommu->copied_tables || iommu->drhd->ignored)
		return liveupdate_refuse("DMAR", -EOPNOTSUPP,
					 "%s has no queue, or copied tables",
					 iommu->name);
	ret = intel_check_rmrr(iommu);
	if (ret)
		return ret;
	intel_warn_rmrr(iommu);

	lu = kzalloc_obj(*lu);
	if (!lu)
		return -ENOMEM;
	lu->ser = ser;
	xa_init(&lu->tables);
	xa_init(&lu->dev_tlbs);
	lu->kept = bitmap_zalloc(BIT(16), GFP_KERNEL);
	lu->status = kzalloc_obj(*lu->status);
	ret = -ENOMEM;
	if (!lu->kept || !lu->status)
		goto err_free;

	ret = iommu_pages_preserve(iommu->root_entry);
	if (ret)
		goto err_free;

	ser->reg_pa = iommu->reg_phys;
	ser->segment = iommu->segment;
	ser->vtd.cap = iommu->cap;
	ser->vtd.ecap = iommu->ecap;
	ser->vtd.rtaddr = virt_to_phys(iommu->root_entry);
	if (sm_supported(iommu))
		ser->vtd.rtaddr |= DMA_RTADDR_SMT;
	ret = intel_preserve_shields(iommu, &ser->vtd);
	if (ret)
		goto err_root;

	iommu->liveupdate = lu;
	return 0;

err_root:
	iommu_pages_unpreserve(iommu->root_entry);
err_free:
	kfree(lu->status);
	bitmap_free(lu->kept);
	kfree(lu);
	return ret;
}

static void intel_unpreserve_unit(struct iommu_device *iommu_dev,
				  struct iommu_unit_ser *ser)
{
	struct intel_iommu *iommu = to_intel_iommu(iommu_dev);
	struct intel_liveupdate_unit *lu = iommu->liveupdate;

	iommu->liveupdate = NULL;
	if (ser->vtd.prq_pa)
		iommu_pages_unpreserve(phys_to_virt(ser->vtd.prq_pa));
	if (ser->vtd.ir_table_pa)
		iommu_pages_unpreserve(phys_to_virt(ser->vtd.ir_table_pa));
	iommu_pages_unpreserve(iommu->root_entry);
	xa_destroy(&lu->dev_tlbs);
	xa_destroy(&lu->tables);
	kfree(lu->status);
	bitmap_free(lu->kept);
	kfree(lu);
}

static int intel_preserve_domain(struct iommu_domain *iommu_domain,
				 struct iommu_domain_ser *ser)
{
	struct dmar_domain *domain = to_dmar_domain(iommu_domain);

	if (!intel_domain_is_fs_paging(domain) &&
	    !intel_domain_is_ss_paging(domain))
		return liveupdate_refuse("DMAR", -EOPNOTSUPP,
					 "a domain without a page table");
	if (domain->nested_parent)
		return liveupdate_refuse("DMAR", -EOPNOTSUPP,
					 "a nesting parent");

	if (domain->force_snooping)
		ser->head.required |= IOMMU_DOMAIN_SER_FORCE_SNOOPING;
	/* iommufd has shut the door: it is neither switched on nor off now. */
	if (iommu_domain->dirty_ops)
		ser->head.required |= IOMMU_DOMAIN_SER_DIRTY_CAPABLE;
	if (domain->dirty_tracking)
		ser->head.required |= IOMMU_DOMAIN_SER_DIRTY_TRACKING;
	ser->nid = domain->iommu.nid;
	return domain->iommu.ops->preserve(&domain->iommu, &ser->pt);
}

static void intel_unpreserve_domain(struct iommu_domain *iommu_domain,
				    struct iommu_domain_ser *ser)
{
	struct dmar_domain *domain = to_dmar_domain(iommu_domain);

	domain->iommu.ops->unpreserve(&domain->iommu);
}

static int count_aliases(struct pci_dev *pdev, u16 alias, void *data)
{
	unsigned int *n = data;

	(*n)++;
	return 0;
}

/* What can be kept in this version: no aliases, no page requests in use. */
static int intel_device_check(struct device *dev, struct dmar_domain *domain)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	unsigned int nr_aliases = 0;

	if (!dev_is_pci(dev) || dev_is_real_dma_subdevice(dev))
		return liveupdate_refuse_dev(dev, -EOPNOTSUPP,
					     "it is no PCI function itself");
	pci_for_each_dma_alias(to_pci_dev(dev), count_aliases, &nr_aliases);
	if (nr_aliases != 1)
		return liveupdate_refuse_dev(dev, -EOPNOTSUPP,
					     "it does DMA under %u addresses",
					     nr_aliases);
	if (info->iopf_refcount)
		return liveupdate_refuse_dev(dev, -EOPNOTSUPP,
					     "its page requests are in use");
	if (info->domain != domain || !info->domain_attached)
		return liveupdate_refuse_dev(dev, -EINVAL,
					     "attached to another page table");
	return 0;
}

/* The hardware's entry is not what the driver believes it is. */
static int intel_refuse_entry(struct device *dev, u32 pasid)
{
	return liveupdate_refuse_dev(dev, -EINVAL, "PASID %u has another entry",
				     pasid);
}

static unsigned int count_pasid_entries(struct pasid_table *table)
{
	struct pasid_dir_entry *dir = table->table;
	unsigned int nr_dirs = table->max_pasid >> PASID_PDE_SHIFT;
	struct pasid_entry *entries;
	unsigned int i, n, nr = 0;

	for (i = 0; i < nr_dirs; i++) {
		entries = get_pasid_table_from_pde(&dir[i]);
		for (n = 0; entries && n < PASID_TBL_ENTRIES; n++)
			nr += pasid_pte_is_present(&entries[n]);
	}
	return nr;
}

/* Preserve a PASID table, once for all kept entries in it. */
static int pasid_table_get(struct intel_liveupdate_unit *lu, u64 table_pa)
{
	unsigned long pfn = table_pa >> PAGE_SHIFT;
	void *count = xa_load(&lu->tables, pfn);
	unsigned long nr = count ? xa_to_value(count) : 0;
	int ret;

	count = xa_store(&lu->tables, pfn, xa_mk_value(nr + 1), GFP_KERNEL);
	ret = xa_err(count);
	if (ret || nr)
		return ret;
	ret = iommu_pages_preserve(phys_to_virt(table_pa));
	if (ret)
		xa_erase(&lu->tables, pfn);
	return ret;
}

static void pasid_table_put(struct intel_liveupdate_unit *lu, u64 table_pa)
{
	unsigned long pfn = table_pa >> PAGE_SHIFT;
	unsigned long nr = xa_to_value(xa_load(&lu->tables, pfn));

	if (nr > 1) {
		/* In place of another value, which takes no memory */
		xa_store(&lu->tables, pfn, xa_mk_value(nr - 1), GFP_KERNEL);
		return;
	}
	xa_erase(&lu->tables, pfn);
	iommu_pages_unpreserve(phys_to_virt(table_pa));
}

static int intel_preserve_pasid_table(struct device_domain_info *info,
				      struct iommu_device_ser *ser)
{
	struct intel_liveupdate_unit *lu = info->iommu->liveupdate;
	struct iommu_device_vtd_ser *vtd = &ser->vtd;
	struct pasid_table *table = info->pasid_table;
	struct pasid_entry *entries;
	int ret;

	entries = get_pasid_table_from_pde(table->table);
	if (!entries || !pasid_pte_is_present(entries))
		return intel_refuse_entry(info->dev, IOMMU_NO_PASID);
	/* An entry that no PASID record is made for would be lost. */
	if (count_pasid_entries(table) != 1 + ser->nr_pasids)
		return liveupdate_refuse_dev(info->dev, -EOPNOTSUPP,
					     "other PASIDs are attached");

	ret = iommu_pages_preserve(table->table);
	if (ret)
		return ret;
	ret = pasid_table_get(lu, virt_to_phys(entries));
	if (ret) {
		iommu_pages_unpreserve(table->table);
		return ret;
	}

	vtd->pasid_dir_pa = virt_to_phys(table->table);
	vtd->pasid_dir_order = folio_order(virt_to_folio(table->table));
	vtd->max_pasid = table->max_pasid;
	vtd->pasid_table_pa = virt_to_phys(entries);
	memcpy(vtd->pasid0, entries, sizeof(vtd->pasid0));
	vtd->scalable = 1;
	vtd->did = pasid_did(vtd->pasid0);
	return 0;
}

static void intel_unpreserve_pasid_table(struct intel_liveupdate_unit *lu,
					 struct iommu_device_vtd_ser *vtd)
{
	if (!vtd->scalable)
		return;
	pasid_table_put(lu, vtd->pasid_table_pa);
	iommu_pages_unpreserve(phys_to_virt(vtd->pasid_dir_pa));
}

/* Only what pci_enable_pri() does after it has checked: that cannot fail. */
static void intel_resume_pri(struct device_domain_info *info)
{
#ifdef CONFIG_PCI_PRI
	struct pci_dev *pdev = to_pci_dev(info->dev);

	pci_write_config_dword(pdev, pdev->pri_cap + PCI_PRI_ALLOC_REQ,
			       pdev->pri_reqs_alloc);
	pci_write_config_word(pdev, pdev->pri_cap + PCI_PRI_CTRL,
			      PCI_PRI_CTRL_ENABLE);
	pdev->pri_enabled = 1;
	info->pri_enabled = 1;
#endif
}

/*
 * Nobody could answer a page request during the jump. On failure, -EBUSY, the
 * device did not stop sending them and they are on as before.
 */
static int intel_stop_pri(struct device_domain_info *info)
{
#ifdef CONFIG_PCI_PRI
	struct pci_dev *pdev = to_pci_dev(info->dev);
	unsigned int ms;
	u16 status;

	if (liveupdate_break("pri"))
		return 0;

	pci_disable_pri(pdev);
	info->pri_enabled = 0;
	for (ms = 0; ms < PRI_STOP_MS; ms++) {
		pci_read_config_word(pdev, pdev->pri_cap + PCI_PRI_STATUS,
				     &status);
		if (status & PCI_PRI_STATUS_STOPPED)
			return 0;
		usleep_range(1000, 1100);
	}
	intel_resume_pri(info);
	return liveupdate_refuse_dev(info->dev, -EBUSY,
				     "page requests are outstanding");
#else
	return 0;
#endif
}

/* ATS stays on, and page requests are switched off. */
static int intel_preserve_caps(struct device_domain_info *info,
			       struct iommu_device_ser *ser)
{
	struct intel_liveupdate_unit *lu = info->iommu->liveupdate;
	int ret;

	if (info->ats_enabled) {
		ret = xa_insert(&lu->dev_tlbs,
				dev_tlb_key(info, IOMMU_NO_PASID), info,
				GFP_KERNEL);
		if (ret)
			return ret;
		ser->head.required |= IOMMU_DEVICE_SER_ATS;
	}
	if (info->pri_enabled) {
		ret = intel_stop_pri(info);
		if (ret) {
			xa_erase(&lu->dev_tlbs,
				 dev_tlb_key(info, IOMMU_NO_PASID));
			return ret;
		}
		ser->head.optional |= IOMMU_DEVICE_SER_PRI;
	}
	return 0;
}

static void intel_unpreserve_caps(struct device_domain_info *info,
				  const struct iommu_device_ser *ser)
{
	struct intel_liveupdate_unit *lu = info->iommu->liveupdate;

	if (ser->head.optional & IOMMU_DEVICE_SER_PRI)
		intel_resume_pri(info);
	xa_erase(&lu->dev_tlbs, dev_tlb_key(info, IOMMU_NO_PASID));
}

static int intel_preserve_ctx(struct device_domain_info *info, const u64 *ctx,
			      struct iommu_unit_ser *unit)
{
	struct intel_liveupdate_unit *lu = info->iommu->liveupdate;
	unsigned int half = ctx_half(info->iommu, info->bus, info->devfn);
	void *table = PTR_ALIGN_DOWN((void *)ctx, PAGE_SIZE);
	int ret;

	if (!lu->ctx_refs[half]) {
		ret = iommu_pages_preserve(table);
		if (ret)
			return ret;
		unit->vtd.ctx_kept[half / 64] |= BIT_ULL(half % 64);
	}
	lu->ctx_refs[half]++;
	set_bit(PCI_DEVID(info->bus, info->devfn), lu->kept);
	return 0;
}

static void intel_unpreserve_ctx(struct device_domain_info *info,
				 struct iommu_unit_ser *unit)
{
	struct intel_liveupdate_unit *lu = info->iommu->liveupdate;
	unsigned int half = ctx_half(info->iommu, info->bus, info->devfn);
	u64 root;

	clear_bit(PCI_DEVID(info->bus, info->devfn), lu->kept);
	if (--lu->ctx_refs[half])
		return;
	unit->vtd.ctx_kept[half / 64] &= ~BIT_ULL(half % 64);
	root = *root_half(info->iommu, half);
	iommu_pages_unpreserve(phys_to_virt(root & VTD_PAGE_MASK));
}

static int intel_preserve_device(struct device *dev,
				 struct iommu_domain *iommu_domain,
				 struct iommu_unit_ser *unit,
				 struct iommu_device_ser *ser)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct dmar_domain *domain = to_dmar_domain(iommu_domain);
	struct intel_iommu *iommu = info->iommu;
	u64 *ctx;
	int ret;

	ret = intel_device_check(dev, domain);
	if (ret)
		return ret;

	ctx = ctx_entry(iommu, info->bus, info->devfn);
	if (!ctx || !(READ_ONCE(ctx[0]) & 1))
		return intel_refuse_entry(dev, IOMMU_NO_PASID);
	memcpy(ser->vtd.ctx, ctx, ctx_words(iommu) * sizeof(*ctx));
	ser->vtd.did = ctx_did(ctx);

	if (sm_supported(iommu)) {
		ret = intel_preserve_pasid_table(info, ser);
		if (ret)
			return ret;
	}
	if (ser->vtd.did != domain_id_iommu(domain, iommu) ||
	    (ser->vtd.scalable &&
	     pasid_tracks_dirty(ser->vtd.pasid0) != domain->dirty_tracking)) {
		ret = intel_refuse_entry(dev, IOMMU_NO_PASID);
		goto err_pasid;
	}
	ret = intel_preserve_ctx(info, ctx, unit);
	if (ret)
		goto err_pasid;
	ret = intel_preserve_caps(info, ser);
	if (ret)
		goto err_ctx;
	return 0;

err_ctx:
	intel_unpreserve_ctx(info, unit);
err_pasid:
	intel_unpreserve_pasid_table(iommu->liveupdate, &ser->vtd);
	return ret;
}

static void intel_unpreserve_device(struct device *dev,
				    struct iommu_unit_ser *unit,
				    struct iommu_device_ser *ser)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);

	intel_unpreserve_caps(info, ser);
	intel_unpreserve_ctx(info, unit);
	intel_unpreserve_pasid_table(info->iommu->liveupdate, &ser->vtd);
}

static bool intel_pasid_supported(struct device *dev)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);

	return dev_is_pci(dev) && sm_supported(info->iommu) &&
	       pasid_supported(info->iommu) && info->pasid_supported;
}

static int intel_preserve_pasid(struct device *dev, u32 pasid,
				struct iommu_domain *iommu_domain,
				struct iommu_unit_ser *unit,
				const struct iommu_device_ser *device,
				struct iommu_pasid_ser *ser)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct dmar_domain *domain = to_dmar_domain(iommu_domain);
	struct intel_liveupdate_unit *lu = info->iommu->liveupdate;
	u64 table_pa;
	u64 *entry;
	int ret;

	entry = pasid < info->pasid_table->max_pasid ?
			ctx_pasid(device->vtd.ctx, pasid) :
			NULL;
	if (!entry || !(READ_ONCE(entry[0]) & 1) ||
	    pasid_did(entry) != domain_id_iommu(domain, info->iommu) ||
	    pasid_tracks_dirty(entry) != domain->dirty_tracking)
		return intel_refuse_entry(dev, pasid);

	table_pa = virt_to_phys(PTR_ALIGN_DOWN(entry, PAGE_SIZE));
	ret = pasid_table_get(lu, table_pa);
	if (ret)
		return ret;
	if (info->ats_enabled) {
		ret = xa_insert(&lu->dev_tlbs, dev_tlb_key(info, pasid), info,
				GFP_KERNEL);
		if (ret)
			goto err_table;
	}
	memcpy(ser->vtd.entry, entry, sizeof(ser->vtd.entry));
	ser->vtd.did = pasid_did(entry);
	ser->vtd.table_pa = table_pa;
	return 0;

err_table:
	pasid_table_put(lu, table_pa);
	return ret;
}

static void intel_unpreserve_pasid(struct device *dev,
				   struct iommu_unit_ser *unit,
				   struct iommu_pasid_ser *ser)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct intel_liveupdate_unit *lu = info->iommu->liveupdate;

	xa_erase(&lu->dev_tlbs, dev_tlb_key(info, ser->pasid));
	pasid_table_put(lu, ser->vtd.table_pa);
}

static int intel_freeze_device(struct device *dev,
			       const struct iommu_device_ser *ser)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	bool ats = ser->head.required & IOMMU_DEVICE_SER_ATS;
	int ret;

	/* A device that needs it may have come in the meantime */
	ret = intel_check_rmrr(info->iommu);
	if (ret)
		return ret;
	if (entry_differs(info->iommu, ser) || info->ats_enabled != ats ||
	    info->pri_enabled ||
	    (info->pasid_table &&
	     count_pasid_entries(info->pasid_table) != 1 + ser->nr_pasids))
		return liveupdate_refuse_dev(dev, -EIO,
					     "its IOMMU entries changed");
	return 0;
}

static int intel_freeze_pasid(struct device *dev,
			      const struct iommu_pasid_ser *ser)
{
	if (!pasid_entry_differs(dev_iommu_priv_get(dev), ser))
		return 0;
	return liveupdate_refuse_dev(dev, -EIO, "the entry of PASID %u changed",
				     ser->pasid);
}

/* -------------------------------------------------------------------- prune */

static bool wait_bits(struct intel_iommu *iommu, u32 mask, u32 want)
{
	unsigned int us;

	for (us = 0; us < SHUTDOWN_WAIT_US; us++) {
		if ((readl(iommu->reg + DMAR_GSTS_REG) & mask) == want)
			return true;
		udelay(1);
	}
	return false;
}

/* Let a submission that was under way end, then take the queue over. */
static bool queue_off(struct intel_iommu *iommu)
{
	unsigned int us;

	for (us = 0; us < SHUTDOWN_WAIT_US; us++) {
		if (readl(iommu->reg + DMAR_IQH_REG) ==
		    readl(iommu->reg + DMAR_IQT_REG))
			break;
		udelay(1);
	}

	iommu->gcmd &= ~DMA_GCMD_QIE;
	writel(iommu->gcmd, iommu->reg + DMAR_GCMD_REG);
	return wait_bits(iommu, DMA_GSTS_QIES, 0);
}

/* An empty queue that is ours alone (6.5.2). */
static bool queue_on(struct intel_iommu *iommu)
{
	u64 iqa = virt_to_phys(iommu->qi->desc);

	if (ecap_smts(iommu->ecap))
		iqa |= BIT_ULL(11) | BIT_ULL(0);
	/* An error that nobody has handled would stop the queue at once. */
	writel(DMA_FSTS_IQE | DMA_FSTS_ICE | DMA_FSTS_ITE,
	       iommu->reg + DMAR_FSTS_REG);
	writel(0, iommu->reg + DMAR_IQT_REG);
	writeq(iqa, iommu->reg + DMAR_IQA_REG);

	iommu->gcmd |= DMA_GCMD_QIE;
	writel(iommu->gcmd, iommu->reg + DMAR_GCMD_REG);
	return wait_bits(iommu, DMA_GSTS_QIES, DMA_GSTS_QIES);
}

/* Submit to the queue that queue_on() emptied and wait for completion. */
static bool queue_run(struct intel_iommu *iommu, const struct qi_desc *descs,
		      unsigned int nr)
{
	unsigned int shift = qi_shift(iommu), i, us;
	struct qi_desc wait = {
		.qw0 = QI_IWD_STATUS_DATA(QI_DONE) | QI_IWD_STATUS_WRITE |
		       QI_IWD_TYPE,
		.qw1 = virt_to_phys(iommu->liveupdate->status),
	};
	u32 *status = iommu->liveupdate->status;

	WRITE_ONCE(*status, QI_IN_USE);
	for (i = 0; i < nr; i++)
		memcpy(iommu->qi->desc + (i << shift), &descs[i], 1 << shift);
	memcpy(iommu->qi->desc + (nr << shift), &wait, 1 << shift);
	__iommu_flush_cache(iommu, iommu->qi->desc, (nr + 1) << shift);
	if (!liveupdate_break("drain"))
		writel((nr + 1) << shift, iommu->reg + DMAR_IQT_REG);

	for (us = 0; us < SHUTDOWN_WAIT_US; us++) {
		if (READ_ONCE(*status) == QI_DONE)
			return true;
		udelay(1);
	}
	return false;
}

/* An empty queue before, none afterwards but for its completion. */
static bool queue_once(struct intel_iommu *iommu, const struct qi_desc *descs,
		       unsigned int nr)
{
	return queue_off(iommu) && queue_on(iommu) &&
	       queue_run(iommu, descs, nr);
}

/* Context, PASID and IOTLB caches, then the interrupt entry cache (6.5.2). */
static bool invalidate_caches(struct intel_iommu *iommu)
{
	struct qi_desc descs[4] = {};
	unsigned int n = 0;

	descs[n++].qw0 = QI_CC_GRAN(DMA_CCMD_GLOBAL_INVL) | QI_CC_TYPE;
	if (sm_supported(iommu))
		descs[n++].qw0 = QI_PC_GRAN(QI_PC_GLOBAL) | QI_PC_TYPE;
	qi_desc_iotlb(iommu, 0, 0, 0, DMA_TLB_GLOBAL_FLUSH, &descs[n++]);
	if (ecap_ir_support(iommu->ecap))
		descs[n++].qw0 = QI_IEC_TYPE;

	return queue_once(iommu, descs, n);
}

static void dev_tlb_desc(const struct device_domain_info *info,
			 unsigned long key, struct qi_desc *desc)
{
	u32 pasid = key & IOMMU_PASID_SER_LAST;

	if (pasid == IOMMU_NO_PASID)
		qi_desc_dev_iotlb(key >> 20, info->pfsid, info->ats_qdep, 0,
				  MAX_AGAW_PFN_WIDTH, desc);
	else
		qi_desc_dev_iotlb_pasid(key >> 20, info->pfsid, pasid,
					info->ats_qdep, 0, 64 - VTD_PAGE_SHIFT,
					desc);
}

/*
 * A device that does not answer may go on using what it has cached, and costs
 * nobody but its owner: without an entry its translated requests are blocked,
 * too. The new kernel finds no entry and stops it.
 */
static void block_silent_device(struct intel_iommu *iommu, unsigned long key)
{
	u16 rid = key >> 20;
	u64 *ctx = rid_entry(iommu, rid);

	pr_emerg("%s: %02x:%02x.%x answers no invalidation, blocked\n",
		 iommu->name, PCI_BUS_NUM(rid), PCI_SLOT(rid & 0xff),
		 PCI_FUNC(rid & 0xff));
	WRITE_ONCE(ctx[0], 0);
	__iommu_flush_cache(iommu, ctx, sizeof(*ctx));
}

/* After a batch that was not answered: one device TLB after the other. */
static bool invalidate_each_dev_tlb(struct intel_iommu *iommu)
{
	struct device_domain_info *info;
	unsigned long key, silent = ULONG_MAX;
	struct qi_desc desc;

	xa_for_each(&iommu->liveupdate->dev_tlbs, key, info) {
		if (key >> 20 == silent)
			continue;
		dev_tlb_desc(info, key, &desc);
		if (queue_once(iommu, &desc, 1))
			continue;
		silent = key >> 20;
		block_silent_device(iommu, key);
	}
	return silent == ULONG_MAX || invalidate_caches(iommu);
}

/*
 * The device TLBs of kept devices (6.5.2.5 and 6.5.2.6), after the caches that
 * they are filled from.
 */
static bool invalidate_dev_tlbs(struct intel_iommu *iommu)
{
	struct qi_desc descs[DEV_TLB_BATCH];
	struct device_domain_info *info;
	unsigned int n = 0;
	unsigned long key;

	if (liveupdate_break("dev_tlb"))
		return true;

	xa_for_each(&iommu->liveupdate->dev_tlbs, key, info) {
		dev_tlb_desc(info, key, &descs[n++]);
		if (n < DEV_TLB_BATCH)
			continue;
		if (!queue_once(iommu, descs, n))
			return invalidate_each_dev_tlb(iommu);
		n = 0;
	}
	return !n || queue_once(iommu, descs, n) ||
	       invalidate_each_dev_tlb(iommu);
}

static bool invalidate_all(struct intel_iommu *iommu)
{
	bool done;

	if (liveupdate_break("flush"))
		return queue_off(iommu);

	done = invalidate_caches(iommu) && invalidate_dev_tlbs(iommu);
	/* Off in any case: its completion is written to memory of this kernel. */
	return queue_off(iommu) && done;
}

/* The word with the present bit goes first; the rest when nobody reads it. */
static void prune_context_table(struct intel_iommu *iommu, unsigned int half)
{
	unsigned int step = sm_supported(iommu) ? 0x80 : 0x100;
	unsigned int first = (half & 1) * 0x80, devfn;
	u64 *ctx;

	for (devfn = first; devfn < first + step; devfn++) {
		if (test_bit(PCI_DEVID(half / 2, devfn),
			     iommu->liveupdate->kept))
			continue;
		ctx = ctx_entry(iommu, half / 2, devfn);
		WRITE_ONCE(ctx[0], 0);
		__iommu_flush_cache(iommu, ctx, sizeof(*ctx));
	}
}

/*
 * A table that has no kept entry is memory of the next kernel, but its pointer
 * stays in the directory when the last entry goes. The size is that of the
 * context entry (9.4, PDTS).
 */
static void prune_pasid_dir(struct intel_iommu *iommu, const u64 *ctx)
{
	struct pasid_dir_entry *dir = phys_to_virt(ctx[0] & VTD_PAGE_MASK);
	unsigned int nr = get_pasid_dir_size((const struct context_entry *)ctx);
	unsigned int i;
	u64 pde;

	for (i = 0; i < nr; i++) {
		pde = READ_ONCE(dir[i].val);
		if (!(pde & PASID_PTE_PRESENT) ||
		    xa_load(&iommu->liveupdate->tables, pde >> PAGE_SHIFT))
			continue;
		WRITE_ONCE(dir[i].val, 0);
		__iommu_flush_cache(iommu, &dir[i], sizeof(dir[i]));
	}
}

static void prune_pasid_dirs(struct intel_iommu *iommu)
{
	unsigned int rid;

	if (!sm_supported(iommu))
		return;
	for_each_set_bit(rid, iommu->liveupdate->kept, BIT(16))
		prune_pasid_dir(iommu, rid_entry(iommu, rid));
}

static void prune_tables(struct intel_iommu *iommu)
{
	struct iommu_unit_vtd_ser *vtd = &iommu->liveupdate->ser->vtd;
	unsigned int half;
	u64 *root;

	if (liveupdate_break("prune"))
		return;

	prune_pasid_dirs(iommu);
	for (half = 0; half < CTX_HALVES; half++) {
		root = root_half(iommu, half);
		if (!(*root & 1))
			continue;
		if (vtd->ctx_kept[half / 64] & BIT_ULL(half % 64)) {
			prune_context_table(iommu, half);
			continue;
		}
		WRITE_ONCE(*root, 0);
		__iommu_flush_cache(iommu, root, sizeof(*root));
	}
}

/* An old entry would reach a vector, or a descriptor, of the new kernel. */
static void prune_interrupts(struct intel_iommu *iommu)
{
	writel(DMA_FECTL_IM, iommu->reg + DMAR_FECTL_REG);
	if (ecap_prs(iommu->ecap))
		writel(DMA_FECTL_IM, iommu->reg + DMAR_PECTL_REG);
	if (iommu->pmu)
		writel(DMA_FECTL_IM, iommu->reg + DMAR_PERFINTRCTL_REG);
#ifdef CONFIG_IRQ_REMAP
	if (iommu->ir_table) {
		memset(iommu->ir_table->base, 0, SZ_1M);
		__iommu_flush_cache(iommu, iommu->ir_table->base, SZ_1M);
	}
#endif
}

/**
 * intel_liveupdate_shutdown - Leave a unit translating for its kept devices
 * @iommu: the unit
 *
 * Context: End of the shutdown: one CPU, interrupts off. Takes no lock, and ends
 * in bounded time.
 * Return: true when the unit was left on; false when it has no kept device, or
 * the system does not kexec, and the caller is to switch it off.
 */
bool intel_liveupdate_shutdown(struct intel_iommu *iommu)
{
	struct intel_liveupdate_unit *lu = iommu->liveupdate;

	if (!lu || !kexec_in_progress || liveupdate_break("te"))
		return false;
	if (liveupdate_break("lockless"))
		raw_spin_lock(&iommu->qi->q_lock);

	prune_tables(iommu);
	prune_interrupts(iommu);
	if (invalidate_all(iommu))
		lu->ser->state = IOMMU_UNIT_SER_HANDED_OVER;
	else
		pr_emerg("%s: invalidation does not end, it will be blocked\n",
			 iommu->name);
	return true;
}

/**
 * intel_liveupdate_busy - Must this unit stay in the machine?
 * @iommu: the unit, which is about to be removed, may be NULL
 *
 * Context: Process context, dmar_global_lock held for writing.
 * Return: 0, -EBUSY while a device behind it is kept, or is waited for by its
 * owner.
 */
int intel_liveupdate_busy(struct intel_iommu *iommu)
{
	if (!iommu ||
	    (!READ_ONCE(iommu->liveupdate) && !intel_liveupdate_adopted(iommu)))
		return 0;
	return liveupdate_refuse("DMAR", -EBUSY, "removal of %s, in use",
				 iommu->name);
}

/* ------------------------------------------------- operations, both kernels */

const struct iommu_liveupdate_ops intel_liveupdate_ops = {
	.driver = IOMMU_SER_DRIVER_VTD,
	.keeps_ats = true,
	.preserve_unit = intel_preserve_unit,
	.unpreserve_unit = intel_unpreserve_unit,
	.preserve_domain = intel_preserve_domain,
	.unpreserve_domain = intel_unpreserve_domain,
	.pasid_supported = intel_pasid_supported,
	.preserve_device = intel_preserve_device,
	.unpreserve_device = intel_unpreserve_device,
	.preserve_pasid = intel_preserve_pasid,
	.unpreserve_pasid = intel_unpreserve_pasid,
	.freeze_device = intel_freeze_device,
	.freeze_pasid = intel_freeze_pasid,
	.restore_domain = intel_liveupdate_restore_domain,
	.attach_restored = intel_liveupdate_attach_restored,
	.attach_restored_pasid = intel_liveupdate_attach_restored_pasid,
	.block_record = intel_liveupdate_block_record,
	.finish_device = intel_liveupdate_finish_device,
	.finish_unit = intel_liveupdate_finish_unit,
};
