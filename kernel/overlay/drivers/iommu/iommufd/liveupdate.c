// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live update of an iommufd.
 *
 * An iommufd in a live update session comes back in the next kernel as a whole:
 * its IOASs, their mappings, its HWPTs and its devices, with the same ids, while
 * the devices keep on doing DMA. This file is the old kernel's half and the
 * ioctls, but for devices, which are in liveupdate-device.c; liveupdate-ser.c
 * knows the records, liveupdate-restore.c is the new kernel's half.
 *
 * What is kept. Userspace marks HWPTs. Preserving the file keeps each marked
 * HWPT, its IOAS and all mappings of that, all of which must be of memfds that
 * are preserved in the same session. An unmarked HWPT or IOAS is left behind,
 * but only when nothing uses it: what is in use and cannot be kept is refused.
 * A device is kept by the driver it is bound to, with iommufd_device_preserve().
 *
 * What changes. Nothing about a kept IOAS, HWPT or attachment can change from
 * preserve to unpreserve or to the jump: those operations return -EBUSY. Other
 * objects of the same iommufd stay usable. Freezing refuses when something got
 * into use in the meantime that would be lost, such as another bound device.
 *
 * Why the page tables can be trusted. A memfd that is mapped can have lost the
 * mapped page by a hole punch, so that the page table and the file disagree about
 * what is the memory. That is compared, once for each folio and page table, when
 * everything is immutable and the memfd is frozen.
 *
 * Locks. The live update session lock is outermost and held by LUO in all of its
 * callbacks. Then ictx->lu.lock, igroup->lock, domains_rwsem, iova_rwsem,
 * pages->mutex, and the locks of the IOMMU core. sw_msi_lock is taken alone.
 *   ictx->lu.lock protects ictx->lu, marks, tokens and @restored of HWPTs and
 *     devices, and pages->lu.index.
 *   domains_rwsem and iova_rwsem, both for writing, protect iopt->lu.immutable,
 *     so that each of them for reading is enough to test it.
 *   sw_msi_lock and ictx->lu.lock protect hwpt->lu.preserved.
 *   igroup->lock protects idev->lu.attached and what becomes of PASIDs.
 *
 * Ownership. Before the preserve everything belongs to the iommufd as always.
 * While it is preserved, a reference on each kept HWPT stops its destruction and
 * that of its IOAS; the records belong to ictx->lu.ser. At the jump the records,
 * and what they name, belong to the next kernel. After an unpreserve nothing is
 * left of it.
 *
 * What cannot fail: unpreserve, which only gives back. The freeze changes
 * nothing, so there is nothing to unfreeze.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/iommufd.h>
#include <linux/iommufd_liveupdate.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_refuse.h>
#include <linux/major.h>
#include <linux/memfd_luo.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <uapi/linux/iommufd.h>

#include "io_pagetable.h"
#include "iommufd_private.h"
#include "liveupdate-priv.h"

#define lu_refuse(err, fmt, ...) \
	liveupdate_refuse("iommufd", err, fmt, ##__VA_ARGS__)

/* The first object with an id above @index, with a short reference. */
static struct iommufd_object *lu_after(struct iommufd_ctx *ictx,
				       unsigned long index)
{
	struct iommufd_object *obj;

	xa_lock(&ictx->objects);
	do {
		obj = xa_find_after(&ictx->objects, &index, ULONG_MAX,
				    XA_PRESENT);
	} while (obj && !iommufd_lock_obj(obj));
	xa_unlock(&ictx->objects);
	return obj;
}

/*
 * The object after @prev, NULL for the first one, with a short reference that the
 * next call puts. Leaving a loop over this early needs an iommufd_put_object().
 */
static struct iommufd_object *lu_next(struct iommufd_ctx *ictx,
				      struct iommufd_object *prev)
{
	/* Ids start at 1 */
	unsigned long index = prev ? prev->id : 0;

	if (prev)
		iommufd_put_object(ictx, prev);
	return lu_after(ictx, index);
}

static struct iommufd_hwpt_paging *lu_obj_hwpt(struct iommufd_object *obj)
{
	return container_of(obj, struct iommufd_hwpt_paging, common.obj);
}

static struct iommufd_ioas *lu_obj_ioas(struct iommufd_object *obj)
{
	return container_of(obj, struct iommufd_ioas, obj);
}

static struct iommufd_device *lu_obj_device(struct iommufd_object *obj)
{
	return container_of(obj, struct iommufd_device, obj);
}

/* Is every HWPT that is attached to the group of @idev kept? */
static int lu_check_device(struct iommufd_device *idev)
{
	struct iommufd_attach *attach;
	unsigned long pasid;
	int rc = 0;

	lockdep_assert_held(&idev->ictx->lu.lock);

	if (!idev->igroup->group)
		return liveupdate_refuse_dev(idev->dev, -EOPNOTSUPP,
					     "it has no IOMMU");
	mutex_lock(&idev->igroup->lock);
	xa_for_each(&idev->igroup->pasid_attach, pasid, attach) {
		if (!rc && (!hwpt_is_paging(attach->hwpt) ||
			    !to_hwpt_paging(attach->hwpt)->lu.marked))
			rc = liveupdate_refuse_dev(idev->dev, -EOPNOTSUPP,
						   "HWPT %u is not marked",
						   attach->hwpt->obj.id);
	}
	mutex_unlock(&idev->igroup->lock);
	return rc;
}

/* What is never kept, so that it must not be there */
static const char *lu_object_kind(const struct iommufd_object *obj)
{
	switch (obj->type) {
	case IOMMUFD_OBJ_HWPT_NESTED:
		return "nested HWPT";
	case IOMMUFD_OBJ_ACCESS:
		return "access";
	case IOMMUFD_OBJ_FAULT:
		return "fault queue";
	case IOMMUFD_OBJ_VIOMMU:
		return "vIOMMU";
	case IOMMUFD_OBJ_VDEVICE:
		return "vDEVICE";
	case IOMMUFD_OBJ_VEVENTQ:
		return "vEVENTQ";
	case IOMMUFD_OBJ_HW_QUEUE:
		return "hardware queue";
	default:
		return "object of an unknown kind";
	}
}

static int lu_check_object(struct iommufd_object *obj)
{
	struct iommufd_hwpt_paging *hwpt_paging = lu_obj_hwpt(obj);

	switch (obj->type) {
	case IOMMUFD_OBJ_DEVICE:
		return lu_check_device(lu_obj_device(obj));
	case IOMMUFD_OBJ_HWPT_PAGING:
		if (hwpt_paging->lu.marked && hwpt_paging->common.fault)
			return lu_refuse(-EOPNOTSUPP,
					 "HWPT %u has a fault queue", obj->id);
		return 0;
	case IOMMUFD_OBJ_IOAS:
		return 0;
#ifdef CONFIG_IOMMUFD_TEST
	case IOMMUFD_OBJ_SELFTEST:
		return 0;
#endif
	default:
		return lu_refuse(-EOPNOTSUPP, "%s %u is in use",
				 lu_object_kind(obj), obj->id);
	}
}

/* Is there nothing in use that would be lost? */
static int lu_check_objects(struct iommufd_ctx *ictx)
{
	struct iommufd_object *obj = NULL;
	int rc;

	while ((obj = lu_next(ictx, obj))) {
		rc = lu_check_object(obj);
		if (rc) {
			iommufd_put_object(ictx, obj);
			return rc;
		}
	}
	return 0;
}

static bool lu_is_vfio_container(struct file *file)
{
	return S_ISCHR(file_inode(file)->i_mode) &&
	       imajor(file_inode(file)) == MISC_MAJOR &&
	       iminor(file_inode(file)) == VFIO_MINOR;
}

static bool lu_device_uses(struct iommufd_device *idev,
			   struct iommufd_hwpt_paging *hwpt_paging)
{
	struct iommufd_attach *attach;
	unsigned long pasid;

	guard(mutex)(&idev->igroup->lock);
	xa_for_each(&idev->igroup->pasid_attach, pasid, attach)
		if (attach->hwpt == &hwpt_paging->common)
			return true;
	return false;
}

/* The next kernel finds a page table by its devices, and none joins from now on */
static bool lu_is_used(struct iommufd_ctx *ictx,
		       struct iommufd_hwpt_paging *hwpt_paging)
{
	struct iommufd_object *obj = NULL;

	while ((obj = lu_next(ictx, obj))) {
		if (obj->type == IOMMUFD_OBJ_DEVICE &&
		    lu_device_uses(lu_obj_device(obj), hwpt_paging)) {
			iommufd_put_object(ictx, obj);
			return true;
		}
	}
	return false;
}

/* Keep every marked HWPT from being destroyed and from getting more MSI pages */
static int lu_hold_hwpts(struct iommufd_ctx *ictx)
{
	struct iommufd_object *obj = NULL;
	u32 nr = 0;

	while ((obj = lu_next(ictx, obj))) {
		struct iommufd_hwpt_paging *hwpt_paging = lu_obj_hwpt(obj);

		if (obj->type != IOMMUFD_OBJ_HWPT_PAGING ||
		    !hwpt_paging->lu.marked)
			continue;
		if (!lu_is_used(ictx, hwpt_paging)) {
			lu_refuse(-EINVAL,
				  "HWPT %u is marked, and has no device",
				  obj->id);
			iommufd_put_object(ictx, obj);
			return -EINVAL;
		}
		refcount_inc(&obj->users);
		mutex_lock(&ictx->sw_msi_lock);
		hwpt_paging->lu.preserved = true;
		mutex_unlock(&ictx->sw_msi_lock);
		nr++;
	}
	return nr ? 0 : lu_refuse(-EINVAL, "no HWPT is marked");
}

static unsigned int lu_ioas_id(const struct io_pagetable *iopt)
{
	return container_of(iopt, struct iommufd_ioas, iopt)->obj.id;
}

/*
 * A mapping that passed the test of immutable before it was set has its area in
 * the tree, without pages until its page tables are filled. That is the only
 * mapping in flight that is not excluded by the locks.
 */
static int lu_make_immutable(struct io_pagetable *iopt)
{
	struct iopt_area *area;
	int rc = 0;

	down_write(&iopt->domains_rwsem);
	down_write(&iopt->iova_rwsem);
	for (area = iopt_area_iter_first(iopt, 0, ULONG_MAX); area && !rc;
	     area = iopt_area_iter_next(area, 0, ULONG_MAX)) {
		if (!area->pages || area->num_locks)
			rc = lu_refuse(-EBUSY,
				       "IOVA %#lx-%#lx of IOAS %u is busy",
				       iopt_area_iova(area),
				       iopt_area_last_iova(area),
				       lu_ioas_id(iopt));
		else if (area->pages->type != IOPT_ADDRESS_FILE)
			rc = lu_refuse(-EOPNOTSUPP,
				       "no memfd at IOVA %#lx-%#lx, IOAS %u",
				       iopt_area_iova(area),
				       iopt_area_last_iova(area),
				       lu_ioas_id(iopt));
	}
	if (!rc)
		iopt->lu.immutable = true;
	up_write(&iopt->iova_rwsem);
	up_write(&iopt->domains_rwsem);
	return rc;
}

static void lu_make_mutable(struct io_pagetable *iopt)
{
	down_write(&iopt->domains_rwsem);
	down_write(&iopt->iova_rwsem);
	iopt->lu.immutable = false;
	up_write(&iopt->iova_rwsem);
	up_write(&iopt->domains_rwsem);
}

static int lu_hold_ioas(struct iommufd_ctx *ictx)
{
	struct iommufd_object *obj = NULL;
	int rc;

	while ((obj = lu_next(ictx, obj))) {
		struct iommufd_hwpt_paging *hwpt_paging = lu_obj_hwpt(obj);

		if (obj->type != IOMMUFD_OBJ_HWPT_PAGING ||
		    !hwpt_paging->lu.preserved ||
		    hwpt_paging->ioas->iopt.lu.immutable)
			continue;
		rc = lu_make_immutable(&hwpt_paging->ioas->iopt);
		if (rc) {
			iommufd_put_object(ictx, obj);
			return rc;
		}
	}
	return 0;
}

/* Every domain is given back before anything can change one of them */
static void lu_unpreserve_domains(struct iommufd_ctx *ictx)
{
	struct iommufd_object *obj = NULL;

	while ((obj = lu_next(ictx, obj))) {
		struct iommufd_hwpt_paging *hwpt_paging = lu_obj_hwpt(obj);

		if (obj->type != IOMMUFD_OBJ_HWPT_PAGING ||
		    !hwpt_paging->lu.recorded)
			continue;
		WARN_ON(hwpt_paging->lu.nr_attached);
		iommu_liveupdate_unpreserve_domain(hwpt_paging->common.domain);
		hwpt_paging->lu.recorded = false;
	}
}

/* Undo lu_hold_hwpts() and lu_hold_ioas() */
static void lu_release(struct iommufd_ctx *ictx)
{
	struct iommufd_hw_pagetable *last = NULL;
	struct iommufd_object *obj = NULL;

	while ((obj = lu_next(ictx, obj))) {
		struct iommufd_hwpt_paging *hwpt_paging = lu_obj_hwpt(obj);

		if (obj->type != IOMMUFD_OBJ_HWPT_PAGING ||
		    !hwpt_paging->lu.preserved)
			continue;
		if (hwpt_paging->ioas->iopt.lu.immutable)
			lu_make_mutable(&hwpt_paging->ioas->iopt);
		mutex_lock(&ictx->sw_msi_lock);
		hwpt_paging->lu.preserved = false;
		mutex_unlock(&ictx->sw_msi_lock);
		/* Destroys it if its last device went away in the meantime */
		if (last)
			iommufd_hw_pagetable_put(ictx, last);
		last = &hwpt_paging->common;
	}
	if (last)
		iommufd_hw_pagetable_put(ictx, last);
}

/* What lu_fill() works on: how far each table is filled is in @ser */
struct lu_fill {
	struct iommufd_ctx *ictx;
	struct liveupdate_session *session;
	struct iommufd_ser *ser;
	struct iommufd_lu_tables t;
	struct inode **inodes;
};

/* Upper bounds, and no iopt_pages has a position yet */
static void lu_count(struct lu_fill *f, struct iommufd_ser *max)
{
	struct iommufd_sw_msi_map *msi;
	struct interval_tree_node *node;
	struct iommufd_object *obj = NULL;
	struct iopt_area *area;

	while ((obj = lu_next(f->ictx, obj))) {
		struct io_pagetable *iopt = &lu_obj_ioas(obj)->iopt;

		if (obj->type == IOMMUFD_OBJ_HWPT_PAGING)
			max->nr_hwpts += lu_obj_hwpt(obj)->lu.preserved;
		if (obj->type != IOMMUFD_OBJ_IOAS || !iopt->lu.immutable)
			continue;
		max->nr_ioas++;
		down_read(&iopt->iova_rwsem);
		for (area = iopt_area_iter_first(iopt, 0, ULONG_MAX); area;
		     area = iopt_area_iter_next(area, 0, ULONG_MAX)) {
			area->pages->lu.index = U32_MAX;
			max->nr_areas++;
		}
		for (node = interval_tree_iter_first(&iopt->allowed_itree, 0,
						     ULONG_MAX);
		     node; node = interval_tree_iter_next(node, 0, ULONG_MAX))
			max->nr_allowed++;
		up_read(&iopt->iova_rwsem);
	}
	max->nr_pages = max->nr_areas;
	max->nr_memfds = max->nr_areas;

	mutex_lock(&f->ictx->sw_msi_lock);
	list_for_each_entry(msi, &f->ictx->sw_msi_list, sw_msi_item)
		max->nr_sw_msi++;
	mutex_unlock(&f->ictx->sw_msi_lock);
}

/* Position of a memfd, which has to be preserved already */
static int lu_fill_memfd(struct lu_fill *f, struct file *file, u32 *pos)
{
	u64 token;
	u32 i;
	int rc;

	/* Mappings of one file mostly come together */
	for (i = f->ser->nr_memfds; i > 0; i--) {
		if (f->inodes[i - 1] == file_inode(file)) {
			*pos = i - 1;
			return 0;
		}
	}
	rc = liveupdate_get_token_outgoing(f->session, file, &token);
	if (rc)
		return lu_refuse(rc, "%pD is mapped and not in session %s",
				 file, liveupdate_session_name(f->session));
	rc = memfd_luo_hold_dma(f->session, file);
	if (rc)
		return rc;
	i = f->ser->nr_memfds++;
	f->inodes[i] = file_inode(file);
	f->t.memfds[i].token = token;
	*pos = i;
	return 0;
}

static int lu_fill_pages(struct lu_fill *f, struct iopt_pages *pages)
{
	struct iommufd_pages_ser *p;
	loff_t end;
	u32 memfd;
	int rc;

	if (pages->lu.index != U32_MAX)
		return 0;
	/* The file is frozen from here on, or this fails */
	rc = lu_fill_memfd(f, pages->file, &memfd);
	if (rc)
		return rc;
	end = pages->start + pages->npages * PAGE_SIZE;
	/* To the byte, as for every pin of a memfd, or it cannot be adopted */
	if (end > i_size_read(file_inode(pages->file)))
		return lu_refuse(-EINVAL, "%pD is shorter than what is mapped",
				 pages->file);

	pages->lu.index = f->ser->nr_pages;
	p = &f->t.pages[f->ser->nr_pages++];
	p->start = pages->start;
	p->length = pages->npages * PAGE_SIZE;
	p->memfd = memfd;
	p->flags = pages->writable ? IOMMUFD_PAGES_SER_WRITABLE : 0;
	p->account_mode = pages->account_mode;
	return 0;
}

static void lu_fill_area(struct lu_fill *f, struct iopt_area *area)
{
	struct iommufd_area_ser *a = &f->t.areas[f->ser->nr_areas++];

	a->iova = iopt_area_iova(area);
	a->length = iopt_area_length(area);
	a->start_byte = iopt_area_start_byte(area, iopt_area_iova(area));
	a->pages = area->pages->lu.index;
	if (area->iommu_prot & IOMMU_READ)
		a->prot |= IOMMUFD_AREA_SER_READ;
	if (area->iommu_prot & IOMMU_WRITE)
		a->prot |= IOMMUFD_AREA_SER_WRITE;
}

static int lu_fill_ioas(struct lu_fill *f, struct iommufd_ioas *ioas)
{
	struct iommufd_ioas_ser *s = &f->t.ioas[f->ser->nr_ioas++];
	struct io_pagetable *iopt = &ioas->iopt;
	struct iopt_allowed *allowed;
	struct iopt_area *area;
	int rc = 0;

	s->id = ioas->obj.id;
	if (iopt->disable_large_pages)
		s->flags |= IOMMUFD_IOAS_SER_SMALL_PAGES;

	down_read(&iopt->iova_rwsem);
	for (allowed = iopt_allowed_iter_first(iopt, 0, ULONG_MAX); allowed;
	     allowed = iopt_allowed_iter_next(allowed, 0, ULONG_MAX)) {
		struct iommufd_allowed_ser *a =
			&f->t.allowed[f->ser->nr_allowed++];

		a->start = allowed->node.start;
		a->last = allowed->node.last;
		s->nr_allowed++;
	}
	for (area = iopt_area_iter_first(iopt, 0, ULONG_MAX); area;
	     area = iopt_area_iter_next(area, 0, ULONG_MAX)) {
		rc = lu_fill_pages(f, area->pages);
		if (rc)
			break;
		lu_fill_area(f, area);
		s->nr_areas++;
	}
	up_read(&iopt->iova_rwsem);
	return rc;
}

static void lu_fill_sw_msi(struct lu_fill *f, u32 max)
{
	struct iommufd_sw_msi_map *msi;

	mutex_lock(&f->ictx->sw_msi_lock);
	f->ser->next_sw_msi = f->ictx->sw_msi_id;
	list_for_each_entry(msi, &f->ictx->sw_msi_list, sw_msi_item) {
		struct iommufd_sw_msi_ser *m;

		/* A later one is not mapped in anything that is kept */
		if (f->ser->nr_sw_msi == max)
			break;
		m = &f->t.sw_msi[f->ser->nr_sw_msi++];
		m->start = msi->sw_msi_start;
		m->offset = (u64)msi->pgoff * PAGE_SIZE;
		m->msi_pa = msi->msi_addr;
		m->id = msi->id;
	}
	mutex_unlock(&f->ictx->sw_msi_lock);
}

/* What @domain has for index @idx of the pages of @area */
static unsigned long lu_area_pfn(struct iopt_area *area,
				 struct iommu_domain *domain, unsigned long idx)
{
	unsigned long iova = iopt_area_iova(area);

	if (idx != iopt_area_index(area))
		iova += (idx - iopt_area_index(area)) * PAGE_SIZE -
			area->page_offset;
	return PHYS_PFN(iommu_iova_to_phys(domain, iova));
}

/**
 * iommufd_lu_verify_area - Does the page table map what is in the memfd?
 * @area: an area of a file that cannot change
 * @domain: a page table of its IOAS
 *
 * One probe at each end of each folio is enough. If the page table has the page
 * of the folio that is in the file, then that page has been pinned since it was
 * mapped, so it cannot have been freed and come back as another folio, and the
 * rest of the folio was mapped with it.
 *
 * Return: 0, or -ESTALE when they differ
 */
int iommufd_lu_verify_area(struct iopt_area *area, struct iommu_domain *domain)
{
	struct iopt_pages *pages = area->pages;
	pgoff_t base = pages->start >> PAGE_SHIFT;
	unsigned long last = iopt_area_last_index(area);
	unsigned long idx = iopt_area_index(area);

	while (idx <= last) {
		unsigned long pfn, nr;
		struct folio *folio;
		bool same;

		folio = filemap_get_folio(pages->file->f_mapping, base + idx);
		if (IS_ERR(folio))
			return -ESTALE;
		pfn = page_to_pfn(folio_file_page(folio, base + idx));
		nr = min(folio_next_index(folio) - (base + idx),
			 last - idx + 1);
		same = lu_area_pfn(area, domain, idx) == pfn &&
		       (nr == 1 || lu_area_pfn(area, domain, idx + nr - 1) ==
					   pfn + nr - 1);
		folio_put(folio);
		if (!same)
			return -ESTALE;
		idx += nr;
		cond_resched();
	}
	return 0;
}

static int lu_verify_hwpt(struct iommufd_hwpt_paging *hwpt_paging)
{
	struct io_pagetable *iopt = &hwpt_paging->ioas->iopt;
	struct iopt_area *area;
	int rc = 0;

	down_read(&iopt->iova_rwsem);
	for (area = iopt_area_iter_first(iopt, 0, ULONG_MAX); area && !rc;
	     area = iopt_area_iter_next(area, 0, ULONG_MAX))
		rc = iommufd_lu_verify_area(area, hwpt_paging->common.domain);
	if (rc)
		lu_refuse(rc,
			  "HWPT %u maps memory that is no longer in its memfd",
			  hwpt_paging->common.obj.id);
	up_read(&iopt->iova_rwsem);
	return rc;
}

static int lu_fill_hwpt(struct lu_fill *f,
			struct iommufd_hwpt_paging *hwpt_paging)
{
	struct iommufd_hwpt_ser *h = &f->t.hwpts[f->ser->nr_hwpts++];
	int rc;

	rc = lu_verify_hwpt(hwpt_paging);
	if (rc)
		return rc;
	rc = iommu_liveupdate_preserve_domain(hwpt_paging->common.domain,
					      &hwpt_paging->lu.record);
	if (rc)
		return rc;
	hwpt_paging->lu.recorded = true;

	h->id = hwpt_paging->common.obj.id;
	h->ioas_id = hwpt_paging->ioas->obj.id;
	h->token = hwpt_paging->lu.token;
	h->record = hwpt_paging->lu.record;
	bitmap_to_arr64(&h->sw_msi, hwpt_paging->present_sw_msi.bitmap, 64);
	if (hwpt_paging->auto_domain)
		h->flags |= IOMMUFD_HWPT_SER_AUTO;
	if (hwpt_paging->enforce_cache_coherency)
		h->flags |= IOMMUFD_HWPT_SER_COHERENT;
	if (hwpt_paging->nest_parent)
		h->flags |= IOMMUFD_HWPT_SER_NEST_PARENT;
	if (hwpt_paging->common.pasid_compat)
		h->flags |= IOMMUFD_HWPT_SER_PASID;
	return 0;
}

/* IOASs before HWPTs: the memfds have to be frozen before they are compared */
static int lu_fill(struct lu_fill *f, u32 max_sw_msi)
{
	struct iommufd_object *obj = NULL;
	int rc;

	while ((obj = lu_next(f->ictx, obj))) {
		if (obj->type != IOMMUFD_OBJ_IOAS ||
		    !lu_obj_ioas(obj)->iopt.lu.immutable)
			continue;
		rc = lu_fill_ioas(f, lu_obj_ioas(obj));
		if (rc)
			goto err_put;
		if (f->ictx->vfio_ioas == lu_obj_ioas(obj))
			f->ser->vfio_ioas_id = obj->id;
	}
	while ((obj = lu_next(f->ictx, obj))) {
		if (obj->type != IOMMUFD_OBJ_HWPT_PAGING ||
		    !lu_obj_hwpt(obj)->lu.preserved)
			continue;
		rc = lu_fill_hwpt(f, lu_obj_hwpt(obj));
		if (rc)
			goto err_put;
	}
	lu_fill_sw_msi(f, max_sw_msi);
	return 0;

err_put:
	iommufd_put_object(f->ictx, obj);
	return rc;
}

/* Everything is immutable: write it down */
static int lu_serialize(struct iommufd_ctx *ictx,
			struct liveupdate_session *session,
			struct iommufd_ser *ser)
{
	struct lu_fill f = { .ictx = ictx, .session = session, .ser = ser };
	struct iommufd_ser max = {};
	int rc;

	lu_count(&f, &max);
	rc = iommufd_lu_tables_alloc(&f.t, &max);
	if (rc)
		return rc;
	f.inodes =
		kvcalloc(max.nr_memfds, sizeof(*f.inodes), GFP_KERNEL_ACCOUNT);
	if (max.nr_memfds && !f.inodes) {
		rc = -ENOMEM;
		goto out;
	}
	ser->magic = IOMMUFD_SER_MAGIC;
	ser->version = IOMMUFD_SER_VERSION;
	ser->size = sizeof(*ser);
	ser->account_mode = ictx->account_mode;
	rc = lu_fill(&f, max.nr_sw_msi);
	if (!rc)
		rc = iommufd_lu_write(ser, &f.t);
out:
	kvfree(f.inodes);
	iommufd_lu_tables_free(&f.t);
	return rc;
}

static bool iommufd_lu_can_preserve(struct liveupdate_file_handler *handler,
				    struct file *file)
{
	return file->f_op == iommufd_lu_fops();
}

static int lu_preserve(struct iommufd_ctx *ictx,
		       struct liveupdate_session *session)
{
	struct iommufd_ser *ser;
	int rc;

	lockdep_assert_held(&ictx->lu.lock);

	if (ictx->lu.ser || ictx->lu.incoming)
		return lu_refuse(-EBUSY, "it is preserved or not finished");
	if (ictx->no_iommu_mode || lu_is_vfio_container(ictx->file))
		return lu_refuse(-EOPNOTSUPP, "it is used as a VFIO container");
	rc = lu_check_objects(ictx);
	if (rc)
		return rc;

	ser = kho_alloc_preserve(sizeof(*ser));
	if (IS_ERR(ser))
		return PTR_ERR(ser);
	rc = lu_hold_hwpts(ictx);
	if (!rc)
		rc = lu_hold_ioas(ictx);
	if (!rc)
		rc = lu_serialize(ictx, session, ser);
	if (rc) {
		lu_unpreserve_domains(ictx);
		lu_release(ictx);
		iommufd_lu_free(ser);
		return rc;
	}
	ictx->lu.ser = ser;
	return 0;
}

static int iommufd_lu_preserve(struct liveupdate_file_op_args *args)
{
	struct iommufd_ctx *ictx = args->file->private_data;
	int rc;

	mutex_lock(&ictx->lu.lock);
	rc = lu_preserve(ictx, args->session);
	if (!rc)
		args->serialized_data = virt_to_phys(ictx->lu.ser);
	mutex_unlock(&ictx->lu.lock);
	return rc;
}

static void iommufd_lu_unpreserve(struct liveupdate_file_op_args *args)
{
	struct iommufd_ctx *ictx = args->file->private_data;

	mutex_lock(&ictx->lu.lock);
	if (!WARN_ON(!ictx->lu.ser)) {
		lu_unpreserve_domains(ictx);
		lu_release(ictx);
		iommufd_lu_free(ictx->lu.ser);
		ictx->lu.ser = NULL;
	}
	mutex_unlock(&ictx->lu.lock);
}

/*
 * Refuse an object that would be lost. Every device has to be kept, whatever came
 * into use after the preserve, and the next kernel finds a page table by its
 * devices.
 */
static int lu_refuse_lost(struct iommufd_object *obj)
{
	struct iommufd_hwpt_paging *hwpt_paging = lu_obj_hwpt(obj);

	if (lu_check_object(obj) ||
	    (obj->type == IOMMUFD_OBJ_DEVICE &&
	     !iommufd_lu_device_busy(&lu_obj_device(obj)->lu)))
		return lu_refuse(-EBUSY, "object %u came into use, not kept",
				 obj->id);
	if (obj->type == IOMMUFD_OBJ_HWPT_PAGING && hwpt_paging->lu.preserved &&
	    !hwpt_paging->lu.nr_attached)
		return lu_refuse(-EBUSY, "HWPT %u has no kept device", obj->id);
	return 0;
}

static int iommufd_lu_freeze(struct liveupdate_file_op_args *args)
{
	struct iommufd_ctx *ictx = args->file->private_data;
	struct iommufd_object *obj = NULL;
	int rc = 0;

	mutex_lock(&ictx->lu.lock);
	while (!rc && (obj = lu_next(ictx, obj)))
		rc = lu_refuse_lost(obj);
	if (rc)
		iommufd_put_object(ictx, obj);
	mutex_unlock(&ictx->lu.lock);
	return rc;
}

static const struct liveupdate_file_ops iommufd_lu_file_ops = {
	.can_preserve = iommufd_lu_can_preserve,
	.preserve = iommufd_lu_preserve,
	.unpreserve = iommufd_lu_unpreserve,
	.freeze = iommufd_lu_freeze,
	.retrieve = iommufd_lu_retrieve,
	.can_finish = iommufd_lu_can_finish,
	.finish = iommufd_lu_finish,
	.owner = THIS_MODULE,
};

static struct liveupdate_file_handler iommufd_lu_handler = {
	.ops = &iommufd_lu_file_ops,
	.compatible = IOMMUFD_LUO_COMPATIBLE,
};

MODULE_ALIAS("luo-" IOMMUFD_LUO_COMPATIBLE);

static bool iommufd_lu_registered;

/**
 * iommufd_lu_init - Offer the preservation of iommufds
 *
 * It is no reason not to have iommufds if that fails.
 */
void iommufd_lu_init(void)
{
	int rc;

	rc = liveupdate_register_file_handler(&iommufd_lu_handler);
	if (rc) {
		if (rc != -EOPNOTSUPP)
			pr_warn("iommufd: no live update: %d\n", rc);
		return;
	}
	rc = iommu_liveupdate_register(&iommufd_lu_handler);
	if (rc) {
		pr_warn("iommufd: no live update: %d\n", rc);
		liveupdate_unregister_file_handler(&iommufd_lu_handler);
		return;
	}
	iommufd_lu_registered = true;
}

/**
 * iommufd_lu_exit - Undo iommufd_lu_init()
 */
void iommufd_lu_exit(void)
{
	if (!iommufd_lu_registered)
		return;
	iommu_liveupdate_unregister(&iommufd_lu_handler);
	liveupdate_unregister_file_handler(&iommufd_lu_handler);
}

/**
 * iommufd_lu_device_name - What a device is identified by in its record
 * @dev: the device
 * @name: where
 * @size: of @name
 */
void iommufd_lu_device_name(struct device *dev, char *name, size_t size)
{
	snprintf(name, size, "%s/%s", dev_bus_name(dev), dev_name(dev));
}

/* Is the token of a mark free? A HWPT may keep its own */
static bool lu_token_free(struct iommufd_ctx *ictx,
			  struct iommufd_hwpt_paging *self, u64 token)
{
	struct iommufd_object *obj = NULL;

	while ((obj = lu_next(ictx, obj))) {
		struct iommufd_hwpt_paging *hwpt_paging = lu_obj_hwpt(obj);

		if (obj->type == IOMMUFD_OBJ_HWPT_PAGING &&
		    hwpt_paging != self && hwpt_paging->lu.marked &&
		    hwpt_paging->lu.token == token) {
			iommufd_put_object(ictx, obj);
			return false;
		}
	}
	return true;
}

static int lu_mark(struct iommufd_ctx *ictx,
		   struct iommufd_hwpt_paging *hwpt_paging, u64 token)
{
	const struct iommu_ops *ops = hwpt_paging->common.domain->owner;

	if (hwpt_paging->common.fault || !ops || !ops->liveupdate)
		return -EOPNOTSUPP;
	if (!lu_token_free(ictx, hwpt_paging, token))
		return -EADDRINUSE;
	hwpt_paging->lu.token = token;
	hwpt_paging->lu.marked = true;
	return 0;
}

/**
 * iommufd_hwpt_liveupdate - ioctl(IOMMU_HWPT_LIVEUPDATE)
 * @ucmd: the command
 *
 * Return: see struct iommu_hwpt_liveupdate
 */
int iommufd_hwpt_liveupdate(struct iommufd_ucmd *ucmd)
{
	struct iommu_hwpt_liveupdate *cmd = ucmd->cmd;
	struct iommufd_ctx *ictx = ucmd->ictx;
	struct iommufd_object *obj;
	int rc = 0;

	if (cmd->flags & ~IOMMU_HWPT_LIVEUPDATE_UNMARK || cmd->__reserved)
		return -EOPNOTSUPP;
	obj = iommufd_get_object(ictx, cmd->hwpt_id, IOMMUFD_OBJ_ANY);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	if (obj->type != IOMMUFD_OBJ_HWPT_PAGING) {
		rc = -EINVAL;
		goto out_put;
	}

	mutex_lock(&ictx->lu.lock);
	if (ictx->lu.ser)
		rc = -EBUSY;
	else if (cmd->flags & IOMMU_HWPT_LIVEUPDATE_UNMARK)
		lu_obj_hwpt(obj)->lu.marked = false;
	else
		rc = lu_mark(ictx, lu_obj_hwpt(obj), cmd->token);
	mutex_unlock(&ictx->lu.lock);
out_put:
	iommufd_put_object(ictx, obj);
	return rc;
}

static void lu_describe_ioas(struct iommufd_ioas *ioas,
			     struct iommu_liveupdate_object *out)
{
	struct iommufd_hwpt_paging *hwpt_paging;

	mutex_lock(&ioas->mutex);
	list_for_each_entry(hwpt_paging, &ioas->hwpt_list, hwpt_item) {
		if (hwpt_paging->lu.marked)
			out->type = IOMMU_LIVEUPDATE_OBJECT_IOAS;
		if (hwpt_paging->lu.restored)
			out->flags |= IOMMU_LIVEUPDATE_OBJECT_RESTORED;
	}
	mutex_unlock(&ioas->mutex);
	if (iommufd_lu_immutable(&ioas->iopt.lu))
		out->flags |= IOMMU_LIVEUPDATE_OBJECT_PRESERVED;
}

static void lu_describe_hwpt(struct iommufd_hwpt_paging *hwpt_paging,
			     struct iommu_liveupdate_object *out)
{
	if (!hwpt_paging->lu.marked)
		return;
	out->type = IOMMU_LIVEUPDATE_OBJECT_HWPT;
	out->parent_id = hwpt_paging->ioas->obj.id;
	out->token = hwpt_paging->lu.token;
	if (hwpt_paging->lu.preserved)
		out->flags |= IOMMU_LIVEUPDATE_OBJECT_PRESERVED;
	if (hwpt_paging->lu.restored)
		out->flags |= IOMMU_LIVEUPDATE_OBJECT_RESTORED;
}

static u32 lu_device_flags(struct iommufd_device *idev)
{
	u32 flags = 0;

	if (iommufd_lu_device_busy(&idev->lu))
		flags |= IOMMU_LIVEUPDATE_OBJECT_PRESERVED;
	if (idev->lu.restored)
		flags |= IOMMU_LIVEUPDATE_OBJECT_RESTORED;
	return flags;
}

/* The attachment with the lowest PASID from @pasid on that is kept */
static void lu_describe_device(struct iommufd_device *idev, u32 pasid,
			       struct iommu_liveupdate_object *out)
{
	struct iommufd_hwpt_paging *hwpt_paging;

	mutex_lock(&idev->igroup->lock);
	hwpt_paging = iommufd_lu_device_hwpt(idev);
	if (hwpt_paging && pasid != IOMMU_NO_PASID)
		pasid = iommufd_lu_next_kept_pasid(idev, pasid - 1,
						   &hwpt_paging);
	if (hwpt_paging) {
		out->type = IOMMU_LIVEUPDATE_OBJECT_DEVICE;
		out->parent_id = hwpt_paging->common.obj.id;
		out->pasid = pasid;
	}
	mutex_unlock(&idev->igroup->lock);
	out->flags = lu_device_flags(idev);
}

/* Describe @obj if it is kept; a device from PASID @pasid on */
static bool lu_describe(struct iommufd_object *obj, u32 pasid,
			struct iommu_liveupdate_object *out)
{
	*out = (struct iommu_liveupdate_object){ .id = obj->id };
	if (obj->type == IOMMUFD_OBJ_DEVICE)
		lu_describe_device(lu_obj_device(obj), pasid, out);
	else if (pasid)
		return false;
	else if (obj->type == IOMMUFD_OBJ_IOAS)
		lu_describe_ioas(lu_obj_ioas(obj), out);
	else if (obj->type == IOMMUFD_OBJ_HWPT_PAGING)
		lu_describe_hwpt(lu_obj_hwpt(obj), out);
	return out->type;
}

static u32 lu_state(struct iommufd_ctx *ictx)
{
	lockdep_assert_held(&ictx->lu.lock);

	if (ictx->lu.ser)
		return IOMMU_LIVEUPDATE_STATE_PRESERVED;
	if (ictx->lu.incoming)
		return IOMMU_LIVEUPDATE_STATE_RESTORED;
	return IOMMU_LIVEUPDATE_STATE_NONE;
}

/*
 * Describe the first that is kept, from PASID @pasid of the object @id on. The
 * caller copies it to userspace without a lock: that may wait for as long as
 * userspace likes, and a reboot waits for these.
 */
static bool lu_describe_from(struct iommufd_ctx *ictx, u32 id, u32 pasid,
			     struct iommu_liveupdate_object *out)
{
	struct iommufd_object *obj;
	bool found;

	guard(mutex)(&ictx->lu.lock);
	for (obj = lu_after(ictx, id - 1UL); obj; obj = lu_next(ictx, obj)) {
		found = lu_describe(obj, obj->id == id ? pasid : IOMMU_NO_PASID,
				    out);
		if (found) {
			iommufd_put_object(ictx, obj);
			return true;
		}
	}
	return false;
}

/**
 * iommufd_liveupdate_objects - ioctl(IOMMU_LIVEUPDATE_OBJECTS)
 * @ucmd: the command
 *
 * Return: see struct iommu_liveupdate_objects
 */
int iommufd_liveupdate_objects(struct iommufd_ucmd *ucmd)
{
	struct iommu_liveupdate_objects *cmd = ucmd->cmd;
	struct iommu_liveupdate_object __user *to =
		u64_to_user_ptr(cmd->objects_uptr);
	struct iommufd_ctx *ictx = ucmd->ictx;
	struct iommu_liveupdate_object out;
	u32 id = 1, pasid = IOMMU_NO_PASID, nr = 0;
	int rc = 0;

	if (cmd->flags)
		return -EOPNOTSUPP;

	mutex_lock(&ictx->lu.lock);
	cmd->out_state = lu_state(ictx);
	mutex_unlock(&ictx->lu.lock);
	while (lu_describe_from(ictx, id, pasid, &out)) {
		if (nr < cmd->count && copy_to_user(&to[nr], &out, sizeof(out)))
			return -EFAULT;
		nr++;
		id = out.id;
		pasid = out.pasid + 1;
	}
	if (nr > cmd->count)
		rc = -EMSGSIZE;
	cmd->count = nr;
	if (iommufd_ucmd_respond(ucmd, sizeof(*cmd)))
		return -EFAULT;
	return rc;
}
