// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live update of an iommufd: the new kernel's half.
 *
 * The page tables are in use by devices all the time. So nothing is mapped here,
 * nothing is unmapped, and nothing that hardware can reach is freed. A retrieve
 * adopts: it pins the folios that the memfd has, compares them with what the page
 * table says, and builds the objects around that. Every other operation on the
 * result is unchanged code of iommufd.
 *
 * Pins. Until here the memfd code holds a pin on each folio of a memfd that was
 * mapped. An area takes its own pins, one for each page as an ordinary mapping
 * does. Pages that several areas share are pinned by the first one. The charge
 * for pinned pages goes to who retrieves, in the mode that was saved, without
 * regard to limits: the memory is pinned and cannot be given back.
 * IOMMU_IOAS_CHANGE_PROCESS moves it, with regard to limits.
 *
 * Errors. A retrieve that fails takes away the pins and the objects and gives
 * every domain back to the IOMMU core, which keeps it as it was from boot. It can
 * be tried again if LUO allows that. What stops the devices is the finish.
 *
 * Devices. Their ids are reserved by the retrieve, so that nobody else gets them.
 * iommufd_device_restore() makes the objects. Its undo, from within, gives the
 * ownership of the device back to the IOMMU core and does not touch hardware;
 * after it succeeded, the caller undoes it like any bind and attach.
 *
 * Ownership. What was handed over is struct iommufd_lu_incoming: one for each
 * file, made by the first callback that needs it, found by the physical address
 * of its root, destroyed by the finish. lu_incoming_lock protects the list; an
 * element is only used in callbacks of its file, which LUO serializes, and under
 * ictx->lu.lock while ictx->lu.incoming points to it. Records are not changed.
 *
 * Locks: see liveupdate.c. Objects that are not finalized yet are not visible to
 * anybody, so building them takes only the locks that helpers assert.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/iommu.h>
#include <linux/iommufd.h>
#include <linux/iommufd_liveupdate.h>
#include <linux/liveupdate.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/sched/user.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>

#include "io_pagetable.h"
#include "iommufd_private.h"
#include "liveupdate-priv.h"

#define LU_PIN_BATCH 64

static DEFINE_MUTEX(lu_incoming_lock);
static LIST_HEAD(lu_incoming_list);

static struct iommufd_lu_incoming *lu_incoming_get(u64 pa)
{
	struct iommufd_lu_incoming *in;

	mutex_lock(&lu_incoming_lock);
	list_for_each_entry(in, &lu_incoming_list, item)
		if (in->pa == pa)
			goto out;
	in = kzalloc_obj(*in);
	if (!in)
		goto out_unlock;
	in->pa = pa;
	in->error = -ENOMEM;
	list_add_tail(&in->item, &lu_incoming_list);
out:
	if (in->error == -ENOMEM)
		iommufd_lu_read(in);
out_unlock:
	mutex_unlock(&lu_incoming_lock);
	return in;
}

static void lu_incoming_put(struct iommufd_lu_incoming *in)
{
	mutex_lock(&lu_incoming_lock);
	list_del(&in->item);
	mutex_unlock(&lu_incoming_lock);
	iommufd_lu_read_free(in);
	kfree(in);
}

/* What a retrieve has built so far. The arrays are parallel to the tables. */
struct lu_restore {
	struct iommufd_lu_incoming *in;
	struct iommufd_ctx *ictx;
	struct file *file;
	struct file **memfds;
	struct iopt_pages **pages;
	struct iommufd_ioas **ioas;
	struct iommufd_hwpt_paging **hwpts;
	u32 nr_reserved;
	u32 nr_adopted;
	bool held;
};

/* Until the context exists a close must not look for it */
static const struct file_operations lu_empty_fops = {
	.owner = THIS_MODULE,
};

static int lu_create_file(struct lu_restore *r)
{
	const struct file_operations *fops = iommufd_lu_fops();
	int rc;

	r->file = anon_inode_getfile("[iommufd]", &lu_empty_fops, NULL, O_RDWR);
	if (IS_ERR(r->file))
		return PTR_ERR(r->file);
	rc = fops->open(file_inode(r->file), r->file);
	if (rc) {
		fput(r->file);
		return rc;
	}
	/* The reference on the module that the file has is for either of them */
	r->file->f_op = fops;
	r->ictx = r->file->private_data;
	r->ictx->account_mode = r->in->ser.account_mode;
	return 0;
}

static int lu_alloc_arrays(struct lu_restore *r)
{
	const struct iommufd_ser *ser = &r->in->ser;

	r->memfds = kvcalloc(ser->nr_memfds, sizeof(*r->memfds), GFP_KERNEL);
	r->pages = kvcalloc(ser->nr_pages, sizeof(*r->pages), GFP_KERNEL);
	r->ioas = kvcalloc(ser->nr_ioas, sizeof(*r->ioas), GFP_KERNEL);
	r->hwpts = kvcalloc(ser->nr_hwpts, sizeof(*r->hwpts), GFP_KERNEL);
	if ((ser->nr_memfds && !r->memfds) || (ser->nr_pages && !r->pages) ||
	    !r->ioas || !r->hwpts)
		return -ENOMEM;
	return 0;
}

static int lu_get_memfds(struct lu_restore *r,
			 struct liveupdate_session *session)
{
	u32 i;
	int rc;

	for (i = 0; i < r->in->ser.nr_memfds; i++) {
		u64 token = r->in->t.memfds[i].token;
		struct file *file;

		rc = liveupdate_get_file_incoming(session, token, &file);
		if (rc)
			return rc;
		r->memfds[i] = file;
		/* The token may be of any kind of file */
		if (!shmem_file(file))
			return -EINVAL;
	}
	return 0;
}

static int lu_make_pages(struct lu_restore *r)
{
	u32 i;

	for (i = 0; i < r->in->ser.nr_pages; i++) {
		const struct iommufd_pages_ser *p = &r->in->t.pages[i];
		bool writable = p->flags & IOMMUFD_PAGES_SER_WRITABLE;
		struct file *file = r->memfds[p->memfd];
		struct iopt_pages *pages;

		if (p->start + p->length > i_size_read(file_inode(file)))
			return -EINVAL;
		pages = iopt_alloc_file_pages(file, 0, p->start, p->length,
					      writable);
		if (IS_ERR(pages))
			return PTR_ERR(pages);
		pages->account_mode = p->account_mode;
		r->pages[i] = pages;
	}
	return 0;
}

/* Like _iommufd_object_alloc(), with a given id */
static int lu_init_object(struct iommufd_ctx *ictx, struct iommufd_object *obj,
			  enum iommufd_object_type type, u32 id)
{
	int rc;

	obj->type = type;
	obj->id = id;
	refcount_set(&obj->wait_cnt, 1);
	refcount_set(&obj->users, 1);
	rc = xa_insert(&ictx->objects, id, XA_ZERO_ENTRY, GFP_KERNEL_ACCOUNT);
	return rc == -EBUSY ? -EINVAL : rc;
}

static int lu_insert_area(struct io_pagetable *iopt,
			  const struct iommufd_area_ser *a,
			  struct iopt_pages *pages)
{
	struct iopt_area *area;

	area = kzalloc_obj(*area, GFP_KERNEL_ACCOUNT);
	if (!area)
		return -ENOMEM;
	RB_CLEAR_NODE(&area->pages_node.rb);
	area->iopt = iopt;
	area->iommu_prot = IOMMU_CACHE;
	if (a->prot & IOMMUFD_AREA_SER_READ)
		area->iommu_prot |= IOMMU_READ;
	if (a->prot & IOMMUFD_AREA_SER_WRITE)
		area->iommu_prot |= IOMMU_WRITE;
	area->page_offset = a->start_byte % PAGE_SIZE;
	area->node.start = a->iova;
	area->node.last = a->iova + a->length - 1;
	area->pages_node.start = a->start_byte / PAGE_SIZE;
	area->pages_node.last = (a->start_byte + a->length - 1) / PAGE_SIZE;
	kref_get(&pages->kref);
	area->pages = pages;
	interval_tree_insert(&area->node, &iopt->area_itree);
	return 0;
}

static int lu_insert_allowed(struct io_pagetable *iopt,
			     const struct iommufd_allowed_ser *a)
{
	struct iopt_allowed *allowed;

	allowed = kzalloc_obj(*allowed, GFP_KERNEL_ACCOUNT);
	if (!allowed)
		return -ENOMEM;
	allowed->node.start = a->start;
	allowed->node.last = a->last;
	interval_tree_insert(&allowed->node, &iopt->allowed_itree);
	return 0;
}

static int lu_fill_iopt(struct lu_restore *r, struct io_pagetable *iopt,
			const struct iommufd_ioas_ser *s, u32 first_allowed,
			u32 first_area)
{
	const struct iommufd_allowed_ser *allowed =
		r->in->t.allowed + first_allowed;
	const struct iommufd_area_ser *a = r->in->t.areas + first_area;
	int rc = 0;
	u32 i;

	if (s->flags & IOMMUFD_IOAS_SER_SMALL_PAGES)
		rc = iopt_disable_large_pages(iopt);
	down_write(&iopt->iova_rwsem);
	for (i = 0; !rc && i < s->nr_allowed; i++)
		rc = lu_insert_allowed(iopt, &allowed[i]);
	for (i = 0; !rc && i < s->nr_areas; i++)
		rc = lu_insert_area(iopt, &a[i], r->pages[a[i].pages]);
	up_write(&iopt->iova_rwsem);
	return rc;
}

static int lu_make_ioas(struct lu_restore *r)
{
	u32 allowed = 0, areas = 0;
	u32 i;
	int rc;

	for (i = 0; i < r->in->ser.nr_ioas; i++) {
		const struct iommufd_ioas_ser *s = &r->in->t.ioas[i];
		struct iommufd_ioas *ioas;

		ioas = kzalloc_obj(*ioas, GFP_KERNEL_ACCOUNT);
		if (!ioas)
			return -ENOMEM;
		rc = lu_init_object(r->ictx, &ioas->obj, IOMMUFD_OBJ_IOAS,
				    s->id);
		if (rc) {
			kfree(ioas);
			return rc;
		}
		iopt_init_table(&ioas->iopt);
		INIT_LIST_HEAD(&ioas->hwpt_list);
		mutex_init(&ioas->mutex);
		r->ioas[i] = ioas;
		rc = lu_fill_iopt(r, &ioas->iopt, s, allowed, areas);
		if (rc)
			return rc;
		allowed += s->nr_allowed;
		areas += s->nr_areas;
		if (s->id == r->in->ser.vfio_ioas_id)
			r->ictx->vfio_ioas = ioas;
	}
	return 0;
}

static void lu_init_hwpt(struct lu_restore *r,
			 struct iommufd_hwpt_paging *hwpt_paging,
			 const struct iommufd_hwpt_ser *h)
{
	u32 flags = h->flags;

	INIT_LIST_HEAD(&hwpt_paging->hwpt_item);
	hwpt_paging->ioas = r->ioas[iommufd_lu_find_ioas(r->in, h->ioas_id)];
	refcount_inc(&hwpt_paging->ioas->obj.users);
	hwpt_paging->common.pasid_compat = flags & IOMMUFD_HWPT_SER_PASID;
	hwpt_paging->auto_domain = flags & IOMMUFD_HWPT_SER_AUTO;
	hwpt_paging->enforce_cache_coherency = flags &
					       IOMMUFD_HWPT_SER_COHERENT;
	hwpt_paging->nest_parent = flags & IOMMUFD_HWPT_SER_NEST_PARENT;
	bitmap_from_arr64(hwpt_paging->present_sw_msi.bitmap, &h->sw_msi, 64);
	hwpt_paging->lu.token = h->token;
	hwpt_paging->lu.record = h->record;
	hwpt_paging->lu.marked = true;
	hwpt_paging->lu.restored = true;
}

static int lu_make_hwpts(struct lu_restore *r)
{
	u32 i;
	int rc;

	for (i = 0; i < r->in->ser.nr_hwpts; i++) {
		const struct iommufd_hwpt_ser *h = &r->in->t.hwpts[i];
		struct iommufd_hwpt_paging *hwpt_paging;

		hwpt_paging = kzalloc_obj(*hwpt_paging, GFP_KERNEL_ACCOUNT);
		if (!hwpt_paging)
			return -ENOMEM;
		rc = lu_init_object(r->ictx, &hwpt_paging->common.obj,
				    IOMMUFD_OBJ_HWPT_PAGING, h->id);
		if (rc) {
			kfree(hwpt_paging);
			return rc;
		}
		lu_init_hwpt(r, hwpt_paging, h);
		r->hwpts[i] = hwpt_paging;
	}
	return 0;
}

/* The HWPT of an attachment, before it is visible */
static struct iommufd_object *lu_device_hwpt(struct lu_restore *r, u32 i)
{
	u32 hwpt = iommufd_lu_find_hwpt(r->in, r->in->devices[i].hwpt_id);

	return &r->hwpts[hwpt]->common.obj;
}

/*
 * Reserve the ids. As long as a device is not restored a reference on the HWPT of
 * each of its attachments stands for what the hardware has.
 */
static int lu_reserve_devices(struct lu_restore *r)
{
	const struct iommufd_device_ser *d;
	int rc;

	while (r->nr_reserved < r->in->nr_devices) {
		d = &r->in->devices[r->nr_reserved];
		rc = d->pasid ? 0 :
				xa_insert(&r->ictx->objects, d->dev_id,
					  XA_ZERO_ENTRY, GFP_KERNEL_ACCOUNT);
		if (rc)
			return rc == -EBUSY ? -EINVAL : rc;
		refcount_inc(&lu_device_hwpt(r, r->nr_reserved)->users);
		r->nr_reserved++;
	}
	return 0;
}

/* Which HWPT a lost device runs on is not known: none may go before the finish. */
static void lu_hold_hwpts(struct lu_restore *r)
{
	u32 i;

	r->held = r->in->devices_lost;
	for (i = 0; r->held && i < r->in->ser.nr_hwpts; i++)
		refcount_inc(&r->hwpts[i]->common.obj.users);
}

/* Freed with the context */
static int lu_make_sw_msi(struct lu_restore *r)
{
	u32 i;

	r->ictx->sw_msi_id = r->in->ser.next_sw_msi;
	for (i = 0; i < r->in->ser.nr_sw_msi; i++) {
		const struct iommufd_sw_msi_ser *m = &r->in->t.sw_msi[i];
		struct iommufd_sw_msi_map *msi;

		msi = kzalloc_obj(*msi);
		if (!msi)
			return -ENOMEM;
		msi->sw_msi_start = m->start;
		msi->msi_addr = m->msi_pa;
		msi->pgoff = m->offset / PAGE_SIZE;
		msi->id = m->id;
		list_add_tail(&msi->sw_msi_item, &r->ictx->sw_msi_list);
	}
	return 0;
}

/*
 * Unpin pages that lu_pin_range() pinned. The memfd is frozen and the folios are
 * pinned, so the file still has them.
 */
static void lu_unpin_range(struct iopt_pages *pages, unsigned long idx,
			   unsigned long end)
{
	pgoff_t base = pages->start >> PAGE_SHIFT;

	while (idx < end) {
		struct folio *folio;
		struct page *page;
		unsigned long nr;

		folio = filemap_get_folio(pages->file->f_mapping, base + idx);
		if (WARN_ON(IS_ERR(folio)))
			return;
		nr = min(folio_next_index(folio) - (base + idx), end - idx);
		page = folio_file_page(folio, base + idx);
		unpin_user_page_range_dirty_lock(page, nr, pages->writable);
		folio_put(folio);
		pages->npinned -= nr;
		idx += nr;
	}
}

/* @folio has one pin: pin @nr pages of it in total, or none */
static int lu_pin_folio(struct iopt_pages *pages, struct folio *folio,
			unsigned long nr)
{
	int rc = nr ? 0 : -EIO;

	if (nr > 1)
		rc = folio_add_pins(folio, nr - 1);
	if (!rc)
		pages->npinned += nr;
	return rc;
}

/* Pin each page of a range once. @done tells how far it came. */
static int lu_pin_range(struct iopt_pages *pages, unsigned long idx,
			unsigned long end, unsigned long *done)
{
	struct folio *folios[LU_PIN_BATCH];
	loff_t last = pages->start + end * PAGE_SIZE - 1;

	for (*done = idx; *done < end; cond_resched()) {
		loff_t start = pages->start + *done * PAGE_SIZE;
		pgoff_t offset;
		long nr, i;

		nr = memfd_pin_folios_existing(pages->file, start, last, folios,
					       LU_PIN_BATCH, &offset);
		if (nr <= 0)
			return nr ? nr : -ENOENT;
		offset >>= PAGE_SHIFT;
		for (i = 0; i < nr; i++) {
			unsigned long n = folio_nr_pages(folios[i]) - offset;
			int rc;

			n = min(n, end - *done);
			rc = lu_pin_folio(pages, folios[i], n);
			if (rc) {
				unpin_folios(folios + i, nr - i);
				return rc;
			}
			*done += n;
			offset = 0;
		}
	}
	return 0;
}

/* Unpin what of [@idx, @end) no area in the tree holds */
static void lu_unpin_holes(struct iopt_pages *pages, unsigned long idx,
			   unsigned long end)
{
	struct interval_tree_span_iter span;

	lockdep_assert_held(&pages->mutex);

	if (idx == end)
		return;
	interval_tree_for_each_span(&span, &pages->domains_itree, idx, end - 1)
		if (span.is_hole)
			lu_unpin_range(pages, span.start_hole,
				       span.last_hole + 1);
}

static int lu_pin_holes(struct iopt_pages *pages, unsigned long idx,
			unsigned long end)
{
	struct interval_tree_span_iter span;
	unsigned long done;
	int rc;

	lockdep_assert_held(&pages->mutex);

	interval_tree_for_each_span(&span, &pages->domains_itree, idx,
				    end - 1) {
		if (!span.is_hole)
			continue;
		rc = lu_pin_range(pages, span.start_hole, span.last_hole + 1,
				  &done);
		if (rc) {
			lu_unpin_holes(pages, idx, done);
			return rc;
		}
	}
	return 0;
}

/* Charge without regard to limits, to be uncharged by the ordinary code */
static void lu_charge(struct iopt_pages *pages)
{
	unsigned long npages = pages->npinned - pages->last_npinned;

	lockdep_assert_held(&pages->mutex);

	if (!npages)
		return;
	switch (pages->account_mode) {
	case IOPT_PAGES_ACCOUNT_USER:
		atomic_long_add(npages, &pages->source_user->locked_vm);
		break;
	case IOPT_PAGES_ACCOUNT_MM:
		mmap_write_lock(pages->source_mm);
		pages->source_mm->locked_vm += npages;
		mmap_write_unlock(pages->source_mm);
		break;
	}
	atomic64_add(npages, &pages->source_mm->pinned_vm);
	pages->last_npinned = pages->npinned;
}

static void lu_uncharge(struct iopt_pages *pages)
{
	lockdep_assert_held(&pages->mutex);

	if (pages->npinned != pages->last_npinned)
		iopt_pages_update_pinned(pages,
					 pages->last_npinned - pages->npinned,
					 false, NULL);
}

/* Pin the pages of an area, and let it be found as their holder */
static int lu_adopt_area(struct iopt_area *area, struct iommu_domain *domain)
{
	unsigned long end = iopt_area_last_index(area) + 1;
	struct iopt_pages *pages = area->pages;
	int rc;

	lockdep_assert_held(&pages->mutex);

	/* Adopted already, with the first HWPT of the IOAS */
	if (area->storage_domain)
		return iommufd_lu_verify_area(area, domain) ? -EIO : 0;

	rc = lu_pin_holes(pages, iopt_area_index(area), end);
	if (rc)
		return rc;
	if (iommufd_lu_verify_area(area, domain)) {
		lu_unpin_holes(pages, iopt_area_index(area), end);
		return -EIO;
	}
	area->storage_domain = domain;
	interval_tree_insert(&area->pages_node, &pages->domains_itree);
	lu_charge(pages);
	return 0;
}

static void lu_unadopt_area(struct iopt_area *area, struct iommu_domain *domain)
{
	struct iopt_pages *pages = area->pages;

	lockdep_assert_held(&pages->mutex);

	if (area->storage_domain != domain)
		return;
	area->storage_domain = NULL;
	interval_tree_remove(&area->pages_node, &pages->domains_itree);
	lu_unpin_holes(pages, iopt_area_index(area),
		       iopt_area_last_index(area) + 1);
	lu_uncharge(pages);
}

static void lu_unadopt_areas(struct io_pagetable *iopt,
			     struct iommu_domain *domain)
{
	struct iopt_area *area;

	for (area = iopt_area_iter_first(iopt, 0, ULONG_MAX); area;
	     area = iopt_area_iter_next(area, 0, ULONG_MAX)) {
		mutex_lock(&area->pages->mutex);
		lu_unadopt_area(area, domain);
		mutex_unlock(&area->pages->mutex);
	}
}

static int lu_adopt_areas(struct io_pagetable *iopt,
			  struct iommu_domain *domain)
{
	struct iopt_area *area;
	int rc = 0;

	for (area = iopt_area_iter_first(iopt, 0, ULONG_MAX); area && !rc;
	     area = iopt_area_iter_next(area, 0, ULONG_MAX)) {
		mutex_lock(&area->pages->mutex);
		rc = lu_adopt_area(area, domain);
		mutex_unlock(&area->pages->mutex);
	}
	if (rc)
		lu_unadopt_areas(iopt, domain);
	return rc;
}

static int lu_check_geometry(struct io_pagetable *iopt,
			     struct iommu_domain *domain,
			     unsigned long *alignment)
{
	const struct iommu_domain_geometry *geometry = &domain->geometry;
	struct iopt_area *area;
	unsigned long mask;
	int rc;

	lockdep_assert_held_write(&iopt->iova_rwsem);

	if (!domain->pgsize_bitmap)
		return -EINVAL;
	*alignment =
		max(1UL << __ffs(domain->pgsize_bitmap), iopt->iova_alignment);
	if (*alignment > PAGE_SIZE)
		return -EINVAL;
	mask = *alignment - 1;
	for (area = iopt_area_iter_first(iopt, 0, ULONG_MAX); area;
	     area = iopt_area_iter_next(area, 0, ULONG_MAX))
		if ((iopt_area_iova(area) & mask) ||
		    (iopt_area_length(area) & mask) ||
		    (area->page_offset & mask))
			return -EINVAL;

	if (geometry->aperture_start != 0) {
		rc = iopt_reserve_iova(iopt, 0, geometry->aperture_start - 1,
				       domain);
		if (rc)
			return rc;
	}
	if (geometry->aperture_end != ULONG_MAX)
		return iopt_reserve_iova(iopt, geometry->aperture_end + 1,
					 ULONG_MAX, domain);
	return 0;
}

/*
 * iopt_table_add_domain() for a domain that maps the areas already. On failure
 * the caller removes the reservations.
 */
static int lu_adopt_domain(struct io_pagetable *iopt,
			   struct iommu_domain *domain)
{
	unsigned long alignment;
	int rc;

	down_write(&iopt->domains_rwsem);
	down_write(&iopt->iova_rwsem);
	rc = lu_check_geometry(iopt, domain, &alignment);
	if (!rc)
		rc = xa_insert(&iopt->domains, iopt->next_domain_id, domain,
			       GFP_KERNEL_ACCOUNT);
	if (rc)
		goto out_unlock;
	rc = lu_adopt_areas(iopt, domain);
	if (rc) {
		xa_erase(&iopt->domains, iopt->next_domain_id);
		goto out_unlock;
	}
	iopt->iova_alignment = alignment;
	iopt->next_domain_id++;
out_unlock:
	up_write(&iopt->iova_rwsem);
	up_write(&iopt->domains_rwsem);
	return rc;
}

/* Only for the domain that was adopted last: an earlier one may be storage */
static void lu_unadopt_domain(struct io_pagetable *iopt,
			      struct iommu_domain *domain)
{
	down_write(&iopt->domains_rwsem);
	down_write(&iopt->iova_rwsem);
	iopt->next_domain_id--;
	WARN_ON(xa_erase(&iopt->domains, iopt->next_domain_id) != domain);
	lu_unadopt_areas(iopt, domain);
	up_write(&iopt->iova_rwsem);
	up_write(&iopt->domains_rwsem);
}

static void lu_return_domain(struct iommufd_hwpt_paging *hwpt_paging)
{
	struct iommu_domain *domain = hwpt_paging->common.domain;

	iopt_remove_reserved_iova(&hwpt_paging->ioas->iopt, domain);
	domain->iommufd_hwpt = NULL;
	domain->cookie_type = IOMMU_COOKIE_NONE;
	hwpt_paging->common.domain = NULL;
	iommu_liveupdate_return_domain(hwpt_paging->lu.record);
}

static int lu_adopt_hwpt(struct iommufd_hwpt_paging *hwpt_paging)
{
	struct iommu_domain *domain;
	int rc;

	domain = iommu_liveupdate_claim_domain(hwpt_paging->lu.record);
	if (IS_ERR(domain))
		return PTR_ERR(domain);
	hwpt_paging->common.domain = domain;
	domain->iommufd_hwpt = &hwpt_paging->common;
	domain->cookie_type = IOMMU_COOKIE_IOMMUFD;
	rc = domain->owner ? 0 : -EINVAL;
	if (!rc)
		rc = lu_adopt_domain(&hwpt_paging->ioas->iopt, domain);
	if (rc) {
		lu_return_domain(hwpt_paging);
		return rc;
	}
	list_add_tail(&hwpt_paging->hwpt_item, &hwpt_paging->ioas->hwpt_list);
	return 0;
}

static int lu_adopt_hwpts(struct lu_restore *r)
{
	int rc;

	while (r->nr_adopted < r->in->ser.nr_hwpts) {
		rc = lu_adopt_hwpt(r->hwpts[r->nr_adopted]);
		if (rc)
			return rc;
		r->nr_adopted++;
	}
	return 0;
}

/* Nothing here is visible to anybody yet */
static void lu_undo(struct lu_restore *r)
{
	struct iommufd_hwpt_paging *hwpt_paging;
	u32 i;

	while (r->nr_adopted) {
		hwpt_paging = r->hwpts[--r->nr_adopted];
		list_del(&hwpt_paging->hwpt_item);
		lu_unadopt_domain(&hwpt_paging->ioas->iopt,
				  hwpt_paging->common.domain);
		lu_return_domain(hwpt_paging);
	}
	while (r->nr_reserved)
		refcount_dec(&lu_device_hwpt(r, --r->nr_reserved)->users);
	for (i = 0; r->held && i < r->in->ser.nr_hwpts; i++)
		refcount_dec(&r->hwpts[i]->common.obj.users);
	for (i = 0; r->hwpts && i < r->in->ser.nr_hwpts; i++) {
		if (!r->hwpts[i])
			break;
		refcount_dec(&r->hwpts[i]->ioas->obj.users);
		iommufd_object_abort(r->ictx, &r->hwpts[i]->common.obj);
	}
	r->ictx->vfio_ioas = NULL;
	/* No domains, so that this frees areas and does not unmap anything */
	for (i = 0; r->ioas && i < r->in->ser.nr_ioas; i++) {
		if (!r->ioas[i])
			break;
		iommufd_object_abort_and_destroy(r->ictx, &r->ioas[i]->obj);
	}
}

static void lu_free_arrays(struct lu_restore *r)
{
	u32 i;

	for (i = 0; r->pages && i < r->in->ser.nr_pages; i++)
		if (r->pages[i])
			iopt_put_pages(r->pages[i]);
	for (i = 0; r->memfds && i < r->in->ser.nr_memfds; i++)
		if (r->memfds[i])
			fput(r->memfds[i]);
	kvfree(r->memfds);
	kvfree(r->pages);
	kvfree(r->ioas);
	kvfree(r->hwpts);
}

static int lu_build(struct lu_restore *r, struct liveupdate_session *session)
{
	int rc;

	rc = lu_alloc_arrays(r);
	if (rc)
		return -EAGAIN;
	rc = lu_get_memfds(r, session);
	if (rc)
		return rc;
	rc = lu_make_pages(r);
	if (!rc)
		rc = lu_make_ioas(r);
	if (!rc)
		rc = lu_make_hwpts(r);
	if (!rc)
		rc = lu_reserve_devices(r);
	if (!rc)
		lu_hold_hwpts(r);
	if (!rc)
		rc = lu_make_sw_msi(r);
	if (!rc)
		rc = lu_adopt_hwpts(r);
	return rc == -ENOMEM ? -EAGAIN : rc;
}

/**
 * iommufd_lu_retrieve - Retrieve an iommufd
 * @args: of LUO
 *
 * Return: 0 with @args->file set, or
 * -EINVAL if the records are not valid, -EIO if a page table and a memfd
 * disagree, -EAGAIN if it can be tried again, such as when there is no memory,
 * or what a memfd or the IOMMU core returned. On failure nothing has changed for
 * the hardware.
 */
int iommufd_lu_retrieve(struct liveupdate_file_op_args *args)
{
	struct lu_restore r = {};
	u32 i;
	int rc;

	r.in = lu_incoming_get(args->serialized_data);
	if (!r.in)
		return -EAGAIN;
	rc = r.in->error;
	/* Two files of the session may claim to be the same thing */
	if (!rc && r.in->retrieved)
		rc = -EINVAL;
	if (!rc)
		rc = lu_create_file(&r);
	if (rc)
		return rc == -ENOMEM || rc == -ENFILE ? -EAGAIN : rc;
	rc = lu_build(&r, args->session);
	if (rc) {
		lu_undo(&r);
		lu_free_arrays(&r);
		fput(r.file);
		return rc;
	}
	for (i = 0; i < r.in->ser.nr_ioas; i++)
		iommufd_object_finalize(r.ictx, &r.ioas[i]->obj);
	for (i = 0; i < r.in->ser.nr_hwpts; i++)
		iommufd_object_finalize(r.ictx, &r.hwpts[i]->common.obj);
	lu_free_arrays(&r);
	r.ictx->lu.incoming = r.in;
	r.in->retrieved = true;
	args->file = r.file;
	return 0;
}

/**
 * iommufd_lu_can_finish - It always can
 * @args: of LUO
 *
 * Return: true
 */
bool iommufd_lu_can_finish(struct liveupdate_file_op_args *args)
{
	return true;
}

/* Drop the references for devices that nobody restored: they are stopped */
static void lu_put_devices(struct iommufd_ctx *ictx)
{
	struct iommufd_lu_incoming *in = ictx->lu.incoming;
	struct iommufd_hw_pagetable *hwpt;
	u32 i;

	lockdep_assert_held(&ictx->lu.lock);

	for (i = 0; i < in->nr_devices; i++) {
		if (in->devices[i].flags & IOMMUFD_LU_DEVICE_DONE)
			continue;
		/* It is there because of the reference */
		hwpt = xa_load(&ictx->objects, in->devices[i].hwpt_id);
		if (WARN_ON(!hwpt || !hwpt_is_paging(hwpt)))
			continue;
		iommufd_hw_pagetable_put(ictx, hwpt);
	}
	for (i = 0; in->devices_lost && i < in->ser.nr_hwpts; i++) {
		hwpt = xa_load(&ictx->objects, in->t.hwpts[i].id);
		if (!WARN_ON(!hwpt || !hwpt_is_paging(hwpt)))
			iommufd_hw_pagetable_put(ictx, hwpt);
	}
}

static_assert(!offsetof(struct iommufd_hw_pagetable, obj));

/* The objects are like any others from here on */
static void lu_forget(struct iommufd_ctx *ictx)
{
	struct iommufd_object *obj;
	unsigned long index;

	mutex_lock(&ictx->lu.lock);
	xa_lock(&ictx->objects);
	xa_for_each(&ictx->objects, index, obj) {
		if (obj->type == IOMMUFD_OBJ_HWPT_PAGING)
			container_of(obj, struct iommufd_hwpt_paging,
				     common.obj)
				->lu.restored = false;
		else if (obj->type == IOMMUFD_OBJ_DEVICE)
			container_of(obj, struct iommufd_device, obj)
				->lu.restored = false;
	}
	xa_unlock(&ictx->objects);
	lu_put_devices(ictx);
	ictx->lu.incoming = NULL;
	mutex_unlock(&ictx->lu.lock);
}

/**
 * iommufd_lu_finish - The session is over
 * @args: of LUO
 *
 * The files of the devices were finished before, and the memfds will be
 * afterwards. The IOMMU core stops what nobody claimed and is still on a domain,
 * and frees the domain if nobody retrieved the iommufd. Only then the references
 * are dropped that have kept HWPTs alive for such devices.
 */
void iommufd_lu_finish(struct liveupdate_file_op_args *args)
{
	bool retrieved = args->retrieve_status > 0;
	struct iommufd_lu_incoming *in;
	u32 i;

	in = lu_incoming_get(args->serialized_data);
	if (!in || in->error) {
		/* Whatever is on its domains may still do DMA to the memfds */
		pr_warn("iommufd: a live update left records that cannot be used\n");
		liveupdate_session_leak(args->session);
	}
	/* It belongs to another file, which will be finished, too */
	if (!in || in->retrieved != retrieved)
		return;
	for (i = 0; in->hwpts_valid && i < in->ser.nr_hwpts; i++)
		iommu_liveupdate_finish_domain(in->t.hwpts[i].record,
					       !retrieved);
	if (retrieved)
		lu_forget(args->file->private_data);
	lu_incoming_put(in);
}

static struct iommufd_device_ser *lu_find_device(struct iommufd_ctx *ictx,
						 struct device *dev, u32 dev_id)
{
	struct iommufd_lu_incoming *in = ictx->lu.incoming;
	char name[sizeof_field(struct iommufd_device_ser, name)];
	u32 i;

	lockdep_assert_held(&ictx->lu.lock);

	if (!in)
		return ERR_PTR(-ENOENT);
	iommufd_lu_device_name(dev, name, sizeof(name));
	for (i = 0; i < in->nr_devices; i++) {
		/* The first one is that without a PASID */
		if (in->devices[i].dev_id != dev_id)
			continue;
		if (strcmp(in->devices[i].name, name))
			return ERR_PTR(-ENODEV);
		if (in->devices[i].flags & IOMMUFD_LU_DEVICE_DONE)
			return ERR_PTR(-EBUSY);
		return &in->devices[i];
	}
	return ERR_PTR(-ENOENT);
}

/* The HWPT that came with the device, unless it was destroyed in the meantime */
static struct iommufd_hwpt_paging *lu_get_hwpt(struct iommufd_ctx *ictx, u32 id)
{
	struct iommufd_hwpt_paging *hwpt_paging;
	struct iommufd_object *obj;

	lockdep_assert_held(&ictx->lu.lock);

	obj = iommufd_get_object(ictx, id, IOMMUFD_OBJ_HWPT_PAGING);
	if (IS_ERR(obj))
		return ERR_CAST(obj);
	hwpt_paging = container_of(obj, struct iommufd_hwpt_paging, common.obj);
	if (!hwpt_paging->lu.restored) {
		iommufd_put_object(ictx, obj);
		return ERR_PTR(-ENOENT);
	}
	return hwpt_paging;
}

/* A device that is being restored: its entries, their HWPTs, what is claimed */
struct lu_attachments {
	struct iommufd_device_ser *ser;
	struct iommufd_hwpt_paging **hwpts;
	struct iommufd_lu_claim claim;
	unsigned int nr;
};

static void lu_put_attachments(struct iommufd_ctx *ictx,
			       struct lu_attachments *a)
{
	while (a->nr)
		iommufd_put_object(ictx, &a->hwpts[--a->nr]->common.obj);
	kfree(a->hwpts);
	kfree(a->claim.pasids);
}

/* The entries of the device that begin at @ser, with short references */
static int lu_get_attachments(struct iommufd_ctx *ictx,
			      struct iommufd_device_ser *ser,
			      struct lu_attachments *a)
{
	unsigned int i, nr;

	lockdep_assert_held(&ictx->lu.lock);

	nr = iommufd_lu_count_entries(ictx->lu.incoming, ser);
	*a = (struct lu_attachments){ .ser = ser };
	a->hwpts = kcalloc(nr, sizeof(*a->hwpts), GFP_KERNEL);
	a->claim.pasids = kcalloc(nr, sizeof(*a->claim.pasids), GFP_KERNEL);
	if (!a->hwpts || !a->claim.pasids) {
		lu_put_attachments(ictx, a);
		return -ENOMEM;
	}
	for (i = 0; i < nr; i++) {
		struct iommufd_hwpt_paging *hwpt_paging;

		hwpt_paging = lu_get_hwpt(ictx, ser[i].hwpt_id);
		if (IS_ERR(hwpt_paging)) {
			lu_put_attachments(ictx, a);
			return PTR_ERR(hwpt_paging);
		}
		a->hwpts[a->nr++] = hwpt_paging;
		if (!i) {
			a->claim.domain = hwpt_paging->common.domain;
			continue;
		}
		a->claim.pasids[i - 1].domain = hwpt_paging->common.domain;
		a->claim.pasids[i - 1].pasid = ser[i].pasid;
		a->claim.nr++;
	}
	return 0;
}

/*
 * Each attach is one in the books only, because of lu.claim, and so is the detach
 * of a PASID. The attachment without a PASID comes last and has no undo here.
 */
static int lu_attach_all(struct iommufd_device *idev,
			 const struct lu_attachments *a)
{
	unsigned int i;
	int rc;

	for (i = 1; i < a->nr; i++) {
		rc = iommufd_hw_pagetable_attach(&a->hwpts[i]->common, idev,
						 a->ser[i].pasid);
		if (rc)
			goto err_detach;
	}
	rc = iommufd_hw_pagetable_attach(&a->hwpts[0]->common, idev,
					 IOMMU_NO_PASID);
	if (rc)
		goto err_detach;

	mutex_lock(&idev->igroup->lock);
	for (i = 1; i < a->nr; i++)
		iommufd_lu_keep_pasid(idev, a->ser[i].pasid);
	mutex_unlock(&idev->igroup->lock);
	return 0;

err_detach:
	while (--i)
		iommufd_hw_pagetable_detach(idev, a->ser[i].pasid);
	return rc;
}

/*
 * iommufd_device_bind() and iommufd_device_attach() in one, so that nobody sees
 * the device before all have succeeded, and so that it can be given back.
 */
static int lu_bind_attach(struct iommufd_device *idev,
			  const struct lu_attachments *a)
{
	struct iommufd_ctx *ictx = idev->ictx;
	int rc;

	idev->lu.claim = &a->claim;
	rc = iommufd_lu_bind_iommu(idev);
	if (rc)
		return rc;
	if (!iommufd_selftest_is_mock_dev(idev->dev))
		iommufd_ctx_get(ictx);

	mutex_lock(&idev->igroup->lock);
	bitmap_from_arr64(idev->igroup->required_sw_msi.bitmap, &a->ser->sw_msi,
			  64);
	mutex_unlock(&idev->igroup->lock);
	rc = lu_attach_all(idev, a);
	if (rc) {
		/* Gives the device back because of lu.claim */
		iommufd_device_destroy(&idev->obj);
		return rc;
	}
	idev->lu.claim = NULL;
	idev->lu.restored = true;
	/* One user is the driver, the others are the attachments */
	refcount_add(1 + a->nr, &idev->obj.users);
	iommufd_object_finalize(ictx, &idev->obj);
	return 0;
}

/* All PASIDs of a device into @pasids, which is empty */
static int lu_list_pasids(const struct lu_attachments *a, struct ida *pasids)
{
	unsigned int i;
	int rc;

	for (i = 1; i < a->nr; i++) {
		rc = ida_alloc_range(pasids, a->ser[i].pasid, a->ser[i].pasid,
				     GFP_KERNEL);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static struct iommufd_device *lu_make_device(struct iommufd_ctx *ictx,
					     struct device *dev,
					     const struct lu_attachments *a)
{
	struct iommufd_device *idev;
	int rc;

	/* The id has been reserved by the retrieve, and stays so on failure */
	idev = kzalloc_obj(*idev, GFP_KERNEL_ACCOUNT);
	if (!idev)
		return ERR_PTR(-ENOMEM);
	idev->obj.type = IOMMUFD_OBJ_DEVICE;
	idev->obj.id = a->ser->dev_id;
	refcount_set(&idev->obj.wait_cnt, 1);
	refcount_set(&idev->obj.users, 1);
	idev->ictx = ictx;
	idev->dev = dev;
	rc = lu_bind_attach(idev, a);
	if (rc) {
		kfree(idev);
		return ERR_PTR(rc);
	}
	return idev;
}

static struct iommufd_device *lu_restore_device(struct iommufd_ctx *ictx,
						struct device *dev, u32 dev_id,
						struct ida *pasids)
{
	struct iommufd_device_ser *ser;
	struct iommufd_device *idev;
	struct lu_attachments a;
	unsigned int i;
	int rc;

	lockdep_assert_held(&ictx->lu.lock);

	ser = lu_find_device(ictx, dev, dev_id);
	if (IS_ERR(ser))
		return ERR_CAST(ser);
	rc = lu_get_attachments(ictx, ser, &a);
	if (rc)
		return ERR_PTR(rc);

	rc = lu_list_pasids(&a, pasids);
	idev = rc ? ERR_PTR(rc) : lu_make_device(ictx, dev, &a);
	/* The attachments have their own references now */
	for (i = 0; !IS_ERR(idev) && i < a.nr; i++) {
		ser[i].flags |= IOMMUFD_LU_DEVICE_DONE;
		refcount_dec(&a.hwpts[i]->common.obj.users);
	}
	lu_put_attachments(ictx, &a);
	return idev;
}

/**
 * iommufd_device_restore - Bind and attach a device as it was
 * @iommufd_file: the iommufd, retrieved and not finished
 * @dev: the device, that the IOMMU core has restored
 * @dev_id: id it had
 * @pasids: initialized and empty: receives the PASIDs that are attached. On failure
 *	the caller destroys what is in it
 *
 * Does iommufd_device_bind() and iommufd_device_attach(), for each PASID as well,
 * for a device that has never stopped doing DMA through its HWPTs, without
 * touching hardware. The result holds a reference to the iommufd like that of
 * iommufd_device_bind().
 *
 * The caller undoes it with iommufd_device_detach() for all that is attached and
 * iommufd_device_unbind(), after it has stopped the device.
 *
 * Return: the device, or an ERR_PTR with nothing changed:
 * -ENOENT if the iommufd has no such device, a HWPT of it was destroyed or its
 * session is finished, -ENODEV if it is another device, -EBUSY if it has been
 * restored already, -EADDRINUSE if something mapped is a reserved region of the
 * device now, -EPERM if its interrupts are not isolated, or another error.
 */
struct iommufd_device *iommufd_device_restore(struct file *iommufd_file,
					      struct device *dev, u32 dev_id,
					      struct ida *pasids)
{
	struct iommufd_device *idev;
	struct iommufd_ctx *ictx;

	ictx = iommufd_ctx_from_file(iommufd_file);
	if (IS_ERR(ictx))
		return ERR_CAST(ictx);
	mutex_lock(&ictx->lu.lock);
	idev = lu_restore_device(ictx, dev, dev_id, pasids);
	mutex_unlock(&ictx->lu.lock);
	iommufd_ctx_put(ictx);
	return idev;
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_restore, "IOMMUFD");
