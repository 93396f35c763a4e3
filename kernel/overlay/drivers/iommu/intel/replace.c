// SPDX-License-Identifier: GPL-2.0-only
/*
 * One page table takes the place of another, and the device does not stop.
 *
 * What a VMM gets back from a live update it may change like anything else, and
 * its device does DMA meanwhile. The driver's ordinary attach blocks the device
 * first, and a DMA that comes while it is blocked is lost. Here the hardware
 * entry of the device, or of one of its PASIDs, goes from one page table to the
 * other by a single store, so that each DMA is translated by one or the other.
 *
 * The unit fetches entries in pieces of 16 bytes (9.3, 9.6), and this is how wide
 * the store is. What has to change together must lie in one such piece:
 *
 *	legacy context entry	all of it
 *	second stage		page table, address width and domain id
 *	first stage		the page table; the domain id lies in another
 *				piece. So it stays: the new page table takes over
 *				the domain id of the old one, which nothing else
 *				may use then.
 *
 * Whatever does not fit is left to the ordinary attach (-EOPNOTSUPP): from or to
 * something that is no page table of the same kind, a first stage that has
 * another device at its old or its new page table, a nested domain, page
 * requests.
 *
 * Caches hold what came from the old entry, tagged with its domain id. They are
 * flushed after the store, in the order of "Guidance to Software for
 * Invalidations" (6.5.3.3); until then a DMA may still be translated by the old
 * table. So the old domain keeps its cache tags until that is done, and the new
 * one has its own before the store: whoever unmaps meanwhile flushes both. ATS
 * stays as it is; its cache is flushed, too.
 *
 * What can fail does so before the store, and the device keeps its old page
 * table. group->mutex is held: nothing else changes the entry, but for its flags
 * of snooping and dirty tracking, which are written under domain->lock and
 * iommu->lock. Under these two the device enters the list of its new domain and
 * the entry is made, so that whoever changes a flag for all devices of the domain
 * finds both or neither. did_lock is held while one domain id has two domains.
 */
#define pr_fmt(fmt) "DMAR: " fmt

#include <linux/iommu.h>
#include <linux/liveupdate_break.h>
#include <linux/pci.h>

#include "iommu.h"
#include "liveupdate-tables.h"
#include "liveupdate.h"
#include "pasid.h"

/* Page Snoop of a PASID entry's second word, 9.6 */
#define PASID_PGSNP BIT_ULL(24)

struct vtd_replace {
	struct device *dev;
	struct intel_iommu *iommu;
	ioasid_t pasid;
	struct dmar_domain *from;
	struct dmar_domain *to;
	u16 old_did;
	u16 new_did;
};

/* One fetch of the unit */
static u128 make_piece(const u64 *val)
{
	return (u128)val[1] << 64 | val[0];
}

static void store_piece(struct intel_iommu *iommu, u64 *entry, const u64 *val)
{
	u128 old = make_piece(entry);

	/* The table has to be there before what leads to it */
	dma_wmb();
	while (!try_cmpxchg128((u128 *)entry, &old, make_piece(val)))
		;
	__iommu_flush_cache(iommu, entry, sizeof(u128));
}

static u64 ss_table(struct dmar_domain *domain)
{
	struct pt_iommu_vtdss_hw_info info;

	pt_iommu_vtdss_hw_info(&domain->sspt, &info);
	return info.ssptptr;
}

/* -- legacy mode: a context entry for each requester id -- */

struct context_walk {
	const struct vtd_replace *r;
	bool write;
};

static int replace_context(struct pci_dev *pdev, u16 alias, void *opaque)
{
	const struct context_walk *walk = opaque;
	const struct vtd_replace *r = walk->r;
	struct context_entry *entry, made = {};
	struct pt_iommu_vtdss_hw_info info;
	u64 table;

	lockdep_assert_held(&r->iommu->lock);
	entry = iommu_context_addr(r->iommu, PCI_BUS_NUM(alias), alias & 0xff,
				   0);
	if (!entry || !context_present(entry))
		return -EOPNOTSUPP;

	/* Another device of the group may have the same alias */
	table = entry->lo & VTD_PAGE_MASK;
	if (table != ss_table(r->from) && table != ss_table(r->to))
		return -EOPNOTSUPP;
	if (!walk->write)
		return 0;

	pt_iommu_vtdss_hw_info(&r->to->sspt, &info);
	context_set_domain_id(&made, r->new_did);
	context_set_address_width(&made, info.aw);
	context_set_address_root(&made, info.ssptptr);
	context_set_translation_type(&made, entry->lo >> 2);
	context_set_present(&made);
	store_piece(r->iommu, &entry->lo, &made.lo);
	return 0;
}

static int replace_contexts(const struct vtd_replace *r)
{
	struct pci_dev *pdev = to_pci_dev(r->dev);
	struct context_walk walk = { .r = r };
	int ret;

	ret = pci_for_each_dma_alias(pdev, replace_context, &walk);
	if (ret)
		return ret;
	walk.write = true;
	return pci_for_each_dma_alias(pdev, replace_context, &walk);
}

static int flush_context(struct pci_dev *pdev, u16 alias, void *opaque)
{
	const struct vtd_replace *r = opaque;

	r->iommu->flush.flush_context(r->iommu, r->old_did, alias,
				      DMA_CCMD_MASK_NOBIT,
				      DMA_CCMD_DEVICE_INVL);
	return 0;
}

/* -- scalable mode: a PASID entry -- */

static int replace_second_stage(const struct vtd_replace *r,
				struct pasid_entry *entry)
{
	struct pt_iommu_vtdss_hw_info info;
	struct pasid_entry made = *entry;

	if (pasid_pte_get_pgtt(entry) != PASID_ENTRY_PGTT_SL_ONLY)
		return -EOPNOTSUPP;

	pt_iommu_vtdss_hw_info(&r->to->sspt, &info);
	pasid_set_domain_id(&made, r->new_did);
	pasid_set_slptr(&made, info.ssptptr);
	pasid_set_address_width(&made, info.aw);
	pasid_set_page_snoop(&made, !(r->to->sspt.vtdss_pt.common.features &
				      BIT(PT_FEAT_DMA_INCOHERENT)));
	if (r->to->dirty_tracking)
		pasid_set_ssade(&made);
	else
		pasid_clear_ssade(&made);
	store_piece(r->iommu, &entry->val[0], &made.val[0]);
	return 0;
}

static int replace_first_stage(const struct vtd_replace *r,
			       struct pasid_entry *entry)
{
	struct pt_iommu_x86_64_hw_info info;
	struct pasid_entry made = *entry;

	if (pasid_pte_get_pgtt(entry) != PASID_ENTRY_PGTT_FL_ONLY)
		return -EOPNOTSUPP;

	/* What the other piece holds would have to change with the table */
	if (!(entry->val[1] & PASID_PGSNP) != !r->to->force_snooping)
		return -EOPNOTSUPP;
	pasid_set_page_snoop(&made, !(r->to->fspt.x86_64_pt.common.features &
				      BIT(PT_FEAT_DMA_INCOHERENT)));
	if (made.val[1] != entry->val[1])
		return -EOPNOTSUPP;

	pt_iommu_x86_64_hw_info(&r->to->fspt, &info);
	pasid_set_flptr(&made, info.gcr3_pt);
	pasid_set_flpm(&made, info.levels == 5);
	store_piece(r->iommu, &entry->val[2], &made.val[2]);
	return 0;
}

static int replace_pasid(const struct vtd_replace *r)
{
	struct device_domain_info *info = dev_iommu_priv_get(r->dev);
	u64 *context = ctx_entry(r->iommu, info->bus, info->devfn);
	struct pasid_entry *entry;

	lockdep_assert_held(&r->iommu->lock);
	entry = context && (context[0] & 1) ?
			(struct pasid_entry *)ctx_pasid(context, r->pasid) :
			NULL;
	if (!entry || !pasid_pte_is_present(entry))
		return -EOPNOTSUPP;
	return intel_domain_is_fs_paging(r->to) ?
		       replace_first_stage(r, entry) :
		       replace_second_stage(r, entry);
}

/* The old entry's caches: 6.5.3.3, the table of what to do for which change */
static void flush_old(struct vtd_replace *r)
{
	struct device_domain_info *info = dev_iommu_priv_get(r->dev);
	u16 sid = PCI_DEVID(info->bus, info->devfn);

	if (!sm_supported(r->iommu))
		pci_for_each_dma_alias(to_pci_dev(r->dev), flush_context, r);
	else
		qi_flush_pasid_cache(r->iommu, r->old_did, QI_PC_PASID_SEL,
				     r->pasid);

	if (intel_domain_is_fs_paging(r->from))
		qi_flush_piotlb_all(r->iommu, r->old_did, r->pasid);
	else
		r->iommu->flush.flush_iotlb(r->iommu, r->old_did, 0, 0,
					    DMA_TLB_DSI_FLUSH);

	if (cap_caching_mode(r->iommu->cap) && sm_supported(r->iommu) &&
	    r->new_did != r->old_did) {
		qi_flush_pasid_cache(r->iommu, r->new_did, QI_PC_PASID_SEL,
				     r->pasid);
		r->iommu->flush.flush_iotlb(r->iommu, r->new_did, 0, 0,
					    DMA_TLB_DSI_FLUSH);
	}

	/* A device that is gone does not answer */
	if (!info->ats_enabled || !pci_device_is_present(to_pci_dev(r->dev)))
		return;
	if (r->pasid == IOMMU_NO_PASID)
		qi_flush_dev_iotlb(r->iommu, sid, info->pfsid, info->ats_qdep,
				   0, MAX_AGAW_PFN_WIDTH);
	else
		qi_flush_dev_iotlb_pasid(r->iommu, sid, info->pfsid, r->pasid,
					 info->ats_qdep, 0, MAX_AGAW_PFN_WIDTH);
	quirk_extra_dev_tlb_flush(info, 0, MAX_AGAW_PFN_WIDTH, r->pasid,
				  info->ats_qdep);
}

/* Where a domain has the device, or the PASID, on a list; the list's lock is held */
static struct list_head *replace_link(const struct vtd_replace *r,
				      struct dmar_domain *domain)
{
	struct device_domain_info *info = dev_iommu_priv_get(r->dev);
	struct dev_pasid_info *dev_pasid;

	lockdep_assert_held(&domain->lock);
	if (r->pasid == IOMMU_NO_PASID)
		return &info->link;
	list_for_each_entry(dev_pasid, &domain->dev_pasids, link_domain)
		if (dev_pasid->dev == r->dev && dev_pasid->pasid == r->pasid)
			return &dev_pasid->link_domain;
	return NULL;
}

static struct list_head *replace_list(const struct vtd_replace *r,
				      struct dmar_domain *domain)
{
	return r->pasid == IOMMU_NO_PASID ? &domain->devices :
					    &domain->dev_pasids;
}

/* In the order of addresses, as nobody else takes two of them. */
static void lock_domains(struct dmar_domain *a, struct dmar_domain *b)
{
	if (a > b)
		swap(a, b);
	spin_lock(&a->lock);
	spin_lock_nested(&b->lock, SINGLE_DEPTH_NESTING);
}

static void unlock_domains(struct dmar_domain *a, struct dmar_domain *b)
{
	spin_unlock(&a->lock);
	spin_unlock(&b->lock);
}

/* The store, and from list to list */
static int replace_entry(const struct vtd_replace *r)
{
	struct list_head *link;
	unsigned long flags;
	int ret;

	local_irq_save(flags);
	lock_domains(r->from, r->to);
	link = replace_link(r, r->from);
	spin_lock(&r->iommu->lock);
	if (!link)
		ret = -EOPNOTSUPP;
	else
		ret = sm_supported(r->iommu) ? replace_pasid(r) :
					       replace_contexts(r);
	spin_unlock(&r->iommu->lock);
	if (!ret)
		list_move(link, replace_list(r, r->to));
	unlock_domains(r->from, r->to);
	local_irq_restore(flags);
	return ret;
}

/* Both domains have their ids. */
static int replace_table(struct vtd_replace *r)
{
	int ret;

	r->old_did = domain_id_iommu(r->from, r->iommu);
	r->new_did = domain_id_iommu(r->to, r->iommu);
	ret = cache_tag_assign_domain(r->to, r->dev, r->pasid);
	if (ret)
		return ret;
	ret = replace_entry(r);
	if (ret) {
		cache_tag_unassign_domain(r->to, r->dev, r->pasid);
		return ret;
	}

	flush_old(r);
	cache_tag_unassign_domain(r->from, r->dev, r->pasid);
	return 0;
}

static int replace_with_new_did(struct vtd_replace *r)
{
	int ret;

	ret = domain_attach_iommu(r->to, r->iommu);
	/* The ordinary attach frees the old id first, and may have that one */
	if (ret)
		return ret == -ENOSPC ? -EOPNOTSUPP : ret;
	ret = replace_table(r);
	domain_detach_iommu(ret ? r->to : r->from, r->iommu);
	return ret;
}

/* The id goes to the new domain with the device, which is the only one. */
static int replace_with_old_did(struct vtd_replace *r)
{
	struct intel_iommu *iommu = r->iommu;
	struct iommu_domain_info *id, *moved;
	int ret;

	moved = kzalloc_obj(*moved);
	if (!moved)
		return -ENOMEM;

	guard(mutex)(&iommu->did_lock);
	id = xa_load(&r->from->iommu_array, iommu->seq_id);
	ret = -EOPNOTSUPP;
	if (!id || id->refcnt != 1 ||
	    xa_load(&r->to->iommu_array, iommu->seq_id))
		goto err_free;
	*moved = *id;
	ret = xa_err(xa_store(&r->to->iommu_array, iommu->seq_id, moved,
			      GFP_KERNEL));
	if (ret)
		goto err_free;

	ret = replace_table(r);
	if (!ret)
		swap(moved, id);
	xa_erase(ret ? &r->to->iommu_array : &r->from->iommu_array,
		 iommu->seq_id);
err_free:
	kfree(moved);
	return ret;
}

/* Page tables of one kind, and nothing but these; page requests are not drained */
static bool same_stage(struct dmar_domain *a, struct dmar_domain *b)
{
	if (a->nested_parent || b->nested_parent || a->domain.iopf_handler ||
	    b->domain.iopf_handler)
		return false;
	return (intel_domain_is_fs_paging(a) && intel_domain_is_fs_paging(b)) ||
	       (intel_domain_is_ss_paging(a) && intel_domain_is_ss_paging(b));
}

static bool is_attached(const struct vtd_replace *r)
{
	struct device_domain_info *info = dev_iommu_priv_get(r->dev);

	if (r->pasid == IOMMU_NO_PASID)
		return info->domain_attached && info->domain == r->from;

	guard(spinlock_irqsave)(&r->from->lock);
	return replace_link(r, r->from);
}

static bool can_replace(struct vtd_replace *r)
{
	struct device_domain_info *info = dev_iommu_priv_get(r->dev);

	return r->from && r->from != r->to && same_stage(r->from, r->to) &&
	       is_attached(r) && dev_is_pci(r->dev) &&
	       !dev_is_real_dma_subdevice(r->dev) &&
	       !context_copied(r->iommu, info->bus, info->devfn) &&
	       system_has_cmpxchg128() && !liveupdate_break("replace");
}

/**
 * intel_replace - Put one page table in the place of another while DMA goes on
 * @domain: the paging domain that comes
 * @dev: the device
 * @pasid: which of its PASIDs, or IOMMU_NO_PASID
 * @old: the domain that is attached, or NULL
 *
 * Context: Process context, group->mutex held. Takes did_lock, the locks of the
 * domains and iommu->lock.
 * Return: 0; -EOPNOTSUPP when the caller has to go the ordinary way, by a moment in
 * which the device is blocked; -EINVAL when the unit cannot use @domain; -ENOMEM. On
 * any error @old is still attached and translates.
 */
int intel_replace(struct iommu_domain *domain, struct device *dev,
		  ioasid_t pasid, struct iommu_domain *old)
{
	struct device_domain_info *info = dev_iommu_priv_get(dev);
	struct vtd_replace r = {
		.dev = dev,
		.iommu = info->iommu,
		.pasid = pasid,
		.to = to_dmar_domain(domain),
	};
	int ret;

	if (old && (old->type & __IOMMU_DOMAIN_PAGING))
		r.from = to_dmar_domain(old);
	if (!can_replace(&r))
		return -EOPNOTSUPP;
	ret = paging_domain_compatible(domain, dev);
	if (ret)
		return ret;

	ret = intel_domain_is_fs_paging(r.to) ? replace_with_old_did(&r) :
						replace_with_new_did(&r);
	if (!ret && pasid == IOMMU_NO_PASID)
		info->domain = r.to;
	return ret;
}
