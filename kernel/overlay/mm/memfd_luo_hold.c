// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memfds that devices write to while the kernel is replaced ("DMA hold").
 *
 * A plain memfd that comes out of a live update is an ordinary file from the
 * first moment: its folios can be reclaimed, migrated and punched out. That
 * must not happen to memory that an IOMMU still maps for a device of the
 * previous kernel, and the owner of that mapping may be retrieved much later
 * than the memfd. So a memfd that is mapped for DMA is handed over in a format
 * of its own, memfd-v3: the struct is that of memfd-v2 with MEMFD_LUO_DMA_HOLD
 * in its flags. A kernel that does not know it does not touch the memory.
 * Everything before the freeze is done by memfd_luo.c; memfds without the flag
 * never come here.
 *
 * What it keeps. In the new kernel one pin on each folio of the file, a frozen
 * mapping (no truncate, no punch, no growth), the array of folios and the
 * struct itself, from retrieve to finish. The array is read where it lies, so
 * that no memory is needed once the first folio was taken over. struct
 * memfd_hold has it all; LUO carries it from one callback to the other in
 * private_data.
 *
 * Who owns it. Before the jump KHO and the pins of memfd_luo.c. After it, KHO
 * until the file is retrieved, then the hold, and after finish whoever has a
 * pin of their own: an iommufd pins when it is retrieved. Finish runs in
 * reverse order of preservation, so the device and the iommufd, which are
 * preserved after the memfds they use, have been finished before.
 *
 * Errors. What a device may write to is never freed while the device may be
 * running. A retrieve that fails before the first folio was taken over changes
 * nothing, and when it was for want of memory it can be tried again. One that
 * fails later leaves everything where it is, for good: folios, pins, the file.
 * A memfd that was never retrieved is freed by finish. If an owner of a device
 * could not be finished properly, see liveupdate_session_leak(), nothing is
 * freed or unpinned.
 *
 * Locks. The mutex of the session, which LUO holds over every callback, covers
 * struct memfd_hold. memfd_hold_leaked has its own mutex. The frozen flag is
 * written with the inode lock held.
 *
 * What cannot fail: finish, and setting the flag of a preserved memfd.
 */

#define pr_fmt(fmt) "memfd: " fmt

#include <linux/err.h>
#include <linux/export.h>
#include <linux/file.h>
#include <linux/folio_batch.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/kexec_handover.h>
#include <linux/kho/abi/memfd.h>
#include <linux/kho_query.h>
#include <linux/list.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_break.h>
#include <linux/liveupdate_refuse.h>
#include <linux/memcontrol.h>
#include <linux/memfd.h>
#include <linux/memfd_luo.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <uapi/linux/memfd.h>

#include "internal.h"

/**
 * struct memfd_hold - One held memfd in the new kernel
 * @list: in memfd_hold_leaked when it can never be released
 * @file: the memfd, not counted except when leaked by a failed retrieve
 * @ser: what the previous kernel wrote
 */
struct memfd_hold {
	struct list_head list;
	struct file *file;
	struct memfd_luo_ser *ser;
};

static LIST_HEAD(memfd_hold_leaked);
static DEFINE_MUTEX(memfd_hold_leaked_mutex);

static void memfd_hold_leak(struct memfd_hold *hold)
{
	mutex_lock(&memfd_hold_leaked_mutex);
	list_add_tail(&hold->list, &memfd_hold_leaked);
	mutex_unlock(&memfd_hold_leaked_mutex);
}

static void memfd_hold_freeze_mapping(struct file *file, bool freeze)
{
	struct inode *inode = file_inode(file);

	if (liveupdate_break("hold"))
		return;

	inode_lock(inode);
	shmem_freeze(inode, freeze);
	inode_unlock(inode);
}

/**
 * memfd_luo_hold_dma - Keep devices' memory in place over the next kexec
 * @session: the session that is preserving the user of @memfd
 * @memfd: the file whose memory is mapped for DMA
 *
 * May be called again for the same file. Nothing happens in this kernel; the
 * hold lasts as long as @memfd is preserved.
 *
 * Context: from a callback of @session, in the old kernel.
 * Return: 0, -ENOENT if @memfd was not preserved in @session before,
 * -EINVAL if it was but is not a memfd.
 */
int memfd_luo_hold_dma(struct liveupdate_session *session, struct file *memfd)
{
	struct liveupdate_file_op_args args;
	struct memfd_luo_ser *ser;
	int err;

	err = liveupdate_get_outgoing(session, memfd, NULL, &args);
	if (err)
		return err;
	if (strcmp(args.handler->compatible, MEMFD_LUO_FH_COMPATIBLE))
		return liveupdate_refuse("memfd", -EINVAL, "%pD is not a memfd",
					 memfd);

	ser = phys_to_virt(args.serialized_data);
	ser->flags |= MEMFD_LUO_DMA_HOLD;

	return 0;
}
EXPORT_SYMBOL_GPL(memfd_luo_hold_dma);

/* Is all of the array of folios there? Only the last chunk may be short. */
static bool memfd_hold_array_preserved(const struct kho_vmalloc *array)
{
	const struct kho_vmalloc_chunk *chunk;
	u64 pa = array->first.phys, pages = 0;
	unsigned int i;

	if (array->order > MAX_PAGE_ORDER)
		return false;

	while (pa) {
		if (!kho_folio_preserved(pa, 0))
			return false;
		chunk = phys_to_virt(pa);
		for (i = 0; i < KHO_VMALLOC_SIZE && chunk->phys[i]; i++)
			if (!kho_folio_preserved(chunk->phys[i], array->order))
				return false;
		pages += (u64)i << array->order;
		pa = chunk->hdr.next.phys;
		if (pages > array->total_pages || (pa && i < KHO_VMALLOC_SIZE))
			return false;
	}

	return pages == array->total_pages;
}

/* A walk over the array of folios, after memfd_hold_check() */
struct memfd_hold_walk {
	const struct kho_vmalloc_chunk *chunk;
	unsigned int per_block, block, entry;
	u64 left;
};

static_assert(PAGE_SIZE % sizeof(struct memfd_luo_folio_ser) == 0);

static struct memfd_hold_walk memfd_hold_walk(const struct memfd_luo_ser *ser)
{
	struct memfd_hold_walk walk = { .left = ser->nr_folios };

	if (walk.left)
		walk.chunk = phys_to_virt(ser->folios.first.phys);
	walk.per_block = (PAGE_SIZE << ser->folios.order) /
			 sizeof(struct memfd_luo_folio_ser);
	return walk;
}

/* The next one that is there, NULL at the end */
static const struct memfd_luo_folio_ser *
memfd_hold_next(struct memfd_hold_walk *walk)
{
	const struct memfd_luo_folio_ser *pfolio;

	while (walk->left) {
		walk->left--;
		pfolio = phys_to_virt(walk->chunk->phys[walk->block]);
		pfolio += walk->entry++;
		if (walk->entry == walk->per_block) {
			walk->entry = 0;
			walk->block++;
		}
		if (walk->left && walk->block == KHO_VMALLOC_SIZE) {
			walk->chunk = phys_to_virt(walk->chunk->hdr.next.phys);
			walk->block = 0;
		}
		if (pfolio->pfn)
			return pfolio;
	}
	return NULL;
}

static void memfd_hold_free_pages(phys_addr_t phys, unsigned int order)
{
	struct page *page = kho_restore_pages(phys, 1UL << order);

	for (unsigned long i = 0; page && i < 1UL << order; i++)
		__free_page(page + i);
}

static void memfd_hold_free_array(const struct kho_vmalloc *array)
{
	u64 pa = array->first.phys, next;
	unsigned int order = array->order;

	for (; pa; pa = next) {
		const struct kho_vmalloc_chunk *chunk = phys_to_virt(pa);

		next = chunk->hdr.next.phys;
		for (int i = 0; i < KHO_VMALLOC_SIZE && chunk->phys[i]; i++)
			memfd_hold_free_pages(chunk->phys[i], order);
		memfd_hold_free_pages(pa, 0);
	}
}

/* The struct, if it is one. What has to be true before anything is taken over */
static struct memfd_luo_ser *memfd_hold_check(u64 pa)
{
	struct memfd_luo_ser *ser;
	u64 room;

	if (!pa || !kho_folio_preserved(pa, 0))
		return ERR_PTR(-EINVAL);

	ser = phys_to_virt(pa);
	if (ser->flags != MEMFD_LUO_DMA_HOLD ||
	    ser->seals & ~MEMFD_LUO_ALL_SEALS)
		return ERR_PTR(-EOPNOTSUPP);

	room = (u64)ser->folios.total_pages * PAGE_SIZE /
	       sizeof(struct memfd_luo_folio_ser);
	if (ser->size > MAX_LFS_FILESIZE || ser->pos > MAX_LFS_FILESIZE ||
	    ser->nr_folios > room ||
	    (ser->nr_folios && !memfd_hold_array_preserved(&ser->folios)))
		return ERR_PTR(-EINVAL);

	return ser;
}

/* Take a folio over from KHO. Its order is only known to KHO. */
static struct folio *
memfd_hold_restore_folio(const struct memfd_luo_folio_ser *pfolio)
{
	phys_addr_t phys = PFN_PHYS(pfolio->pfn);

	for (unsigned int order = 0; order <= MAX_PAGE_ORDER; order++)
		if (kho_folio_preserved(phys, order))
			return kho_restore_folio(phys);

	return NULL;
}

static struct file *memfd_hold_alloc_file(const struct memfd_luo_ser *ser)
{
	struct file *file;
	int err;

	file = memfd_alloc_file("", MFD_ALLOW_SEALING);
	if (IS_ERR(file))
		return file;

	err = memfd_add_seals(file, ser->seals);
	if (err) {
		fput(file);
		return ERR_PTR(err);
	}
	vfs_setpos(file, ser->pos, MAX_LFS_FILESIZE);
	i_size_write(file_inode(file), ser->size);
	memfd_hold_freeze_mapping(file, true);

	return file;
}

/* Put a locked, pinned folio in the file; it stays there whatever happens */
static int memfd_hold_insert(struct inode *inode, struct folio *folio,
			     const struct memfd_luo_folio_ser *pfolio)
{
	struct address_space *mapping = inode->i_mapping;
	gfp_t gfp = mapping_gfp_mask(mapping) | __GFP_NOFAIL;
	long npages = folio_nr_pages(folio);
	int err;

	/* The memory is in use: above the limit is better than lost */
	err = mem_cgroup_charge(folio, NULL, gfp);
	if (err)
		return err;

	err = shmem_add_to_page_cache(folio, mapping, pfolio->index, NULL, gfp);
	if (err)
		return err;

	if (pfolio->flags & MEMFD_LUO_FOLIO_UPTODATE)
		folio_mark_uptodate(folio);
	if (pfolio->flags & MEMFD_LUO_FOLIO_DIRTY)
		folio_mark_dirty(folio);

	err = shmem_inode_acct_blocks(inode, npages);
	if (err)
		return err;
	shmem_recalc_inode(inode, npages, 0);

	return 0;
}

static int memfd_hold_add_folio(struct file *file,
				const struct memfd_luo_folio_ser *pfolio)
{
	struct inode *inode = file_inode(file);
	struct folio *folio;
	u64 npages;
	int err;

	folio = memfd_hold_restore_folio(pfolio);
	if (!folio)
		return -EIO;

	npages = folio_nr_pages(folio);
	if (pfolio->index & (npages - 1) ||
	    pfolio->index >= DIV_ROUND_UP_ULL(i_size_read(inode), PAGE_SIZE))
		return -EINVAL;

	__folio_set_locked(folio);
	__folio_set_swapbacked(folio);
	err = try_grab_folio(folio, 1, FOLL_PIN);
	if (!err)
		err = memfd_hold_insert(inode, folio, pfolio);
	if (!err)
		folio_add_lru(folio);
	folio_unlock(folio);
	if (!err)
		folio_put(folio);

	return err;
}

static int memfd_hold_add_folios(struct memfd_hold *hold)
{
	struct memfd_hold_walk walk = memfd_hold_walk(hold->ser);
	const struct memfd_luo_folio_ser *pfolio;
	int err;

	while ((pfolio = memfd_hold_next(&walk))) {
		err = memfd_hold_add_folio(hold->file, pfolio);
		if (err)
			return err;
		cond_resched();
	}

	return 0;
}

/* -ENOSPC is what shmem says when there is no memory for an inode */
static bool memfd_hold_no_memory(int err)
{
	return err == -ENOMEM || err == -ENFILE || err == -ENOSPC;
}

static int memfd_hold_retrieve(struct liveupdate_file_op_args *args)
{
	struct memfd_luo_ser *ser;
	struct memfd_hold *hold;
	int err;

	ser = memfd_hold_check(args->serialized_data);
	if (IS_ERR(ser))
		return PTR_ERR(ser);

	hold = kzalloc_obj(*hold);
	if (!hold)
		return -EAGAIN;
	hold->ser = ser;
	hold->file = memfd_hold_alloc_file(ser);
	if (IS_ERR(hold->file)) {
		err = PTR_ERR(hold->file);
		kfree(hold);
		return memfd_hold_no_memory(err) ? -EAGAIN : err;
	}

	err = memfd_hold_add_folios(hold);
	if (err) {
		pr_err("a memfd that devices write to cannot be retrieved, its memory is lost: %pe\n",
		       ERR_PTR(err));
		memfd_hold_leak(hold);
		return err;
	}

	args->file = hold->file;
	args->private_data = hold;

	return 0;
}

static void memfd_hold_discard_folio(const struct memfd_luo_folio_ser *pfolio)
{
	struct folio *folio = memfd_hold_restore_folio(pfolio);

	if (folio)
		folio_put(folio);
}

/* Never retrieved, and every device has been stopped */
static void memfd_hold_discard(u64 pa)
{
	struct memfd_luo_ser *ser = memfd_hold_check(pa);
	const struct memfd_luo_folio_ser *pfolio;
	struct memfd_hold_walk walk;

	if (IS_ERR(ser)) {
		pr_warn("the record of a memfd is damaged, its memory is lost\n");
		return;
	}

	walk = memfd_hold_walk(ser);
	while ((pfolio = memfd_hold_next(&walk)))
		memfd_hold_discard_folio(pfolio);
	if (ser->nr_folios)
		memfd_hold_free_array(&ser->folios);
	kho_restore_free(ser);
}

static void memfd_hold_release(struct memfd_hold *hold)
{
	struct memfd_hold_walk walk = memfd_hold_walk(hold->ser);
	const struct memfd_luo_folio_ser *pfolio;

	while ((pfolio = memfd_hold_next(&walk)))
		unpin_folio(pfn_folio(pfolio->pfn));

	memfd_hold_freeze_mapping(hold->file, false);
	if (hold->ser->nr_folios)
		memfd_hold_free_array(&hold->ser->folios);
	kho_restore_free(hold->ser);
	kfree(hold);
}

static void memfd_hold_finish(struct liveupdate_file_op_args *args)
{
	struct memfd_hold *hold = args->private_data;

	/* A failed retrieve has left everything where it must stay */
	if (args->retrieve_status < 0)
		return;

	if (liveupdate_session_leaked(args->session)) {
		pr_warn("devices may still write to a memfd, its memory is lost\n");
		if (hold)
			memfd_hold_leak(hold);
		return;
	}

	if (hold)
		memfd_hold_release(hold);
	else
		memfd_hold_discard(args->serialized_data);
}

/* Files are preserved by memfd_luo.c, which calls memfd_luo_freeze_held() */
static bool memfd_hold_can_preserve(struct liveupdate_file_handler *handler,
				    struct file *file)
{
	return false;
}

static int memfd_hold_preserve(struct liveupdate_file_op_args *args)
{
	return -EOPNOTSUPP;
}

static void memfd_hold_unpreserve(struct liveupdate_file_op_args *args)
{
}

static unsigned long memfd_hold_get_id(struct file *file)
{
	return (unsigned long)file_inode(file);
}

static const struct liveupdate_file_ops memfd_hold_ops = {
	.can_preserve = memfd_hold_can_preserve,
	.preserve = memfd_hold_preserve,
	.unpreserve = memfd_hold_unpreserve,
	.retrieve = memfd_hold_retrieve,
	.finish = memfd_hold_finish,
	.get_id = memfd_hold_get_id,
	.owner = THIS_MODULE,
};

static struct liveupdate_file_handler memfd_hold_handler = {
	.ops = &memfd_hold_ops,
	.compatible = MEMFD_LUO_HELD_FH_COMPATIBLE,
};

/**
 * memfd_luo_freeze_held - Choose the format that a memfd is handed over in
 * @args: of the freeze callback; the handler is changed for a held memfd
 */
void memfd_luo_freeze_held(struct liveupdate_file_op_args *args)
{
	struct memfd_luo_ser *ser = phys_to_virt(args->serialized_data);

	if (ser->flags & MEMFD_LUO_DMA_HOLD)
		args->handler = &memfd_hold_handler;
}

static int __init memfd_hold_init(void)
{
	int err = liveupdate_register_file_handler(&memfd_hold_handler);

	return err == -EOPNOTSUPP ? 0 : err;
}
late_initcall(memfd_hold_init);

/* Pin the folios of one batch, as many as there is room for */
static int memfd_pin_batch(struct folio_batch *fbatch, struct folio **folios,
			   unsigned int max_folios, unsigned int *nr)
{
	unsigned int i;
	int err;

	for (i = 0; i < folio_batch_count(fbatch) && *nr < max_folios; i++) {
		err = try_grab_folio(fbatch->folios[i], 1, FOLL_PIN);
		if (err)
			return err;
		folios[(*nr)++] = fbatch->folios[i];
	}

	return 0;
}

/**
 * memfd_pin_folios_existing - Pin what is in a memfd, where it is
 * @memfd: the memfd, not of hugetlb
 * @start: the first memfd offset
 * @end: the last memfd offset (inclusive)
 * @folios: array that receives pointers to the folios pinned
 * @max_folios: maximum number of entries in @folios
 * @offset: the offset into the first folio
 *
 * Like memfd_pin_folios(), but for memory that devices already use: nothing is
 * allocated, swapped in or migrated.
 *
 * Return: number of folios pinned, less than needed if @max_folios is.
 * -ENOENT if a page is missing, -EINVAL for a bad range or file; then nothing
 * is pinned.
 */
long memfd_pin_folios_existing(struct file *memfd, loff_t start, loff_t end,
			       struct folio **folios, unsigned int max_folios,
			       pgoff_t *offset)
{
	pgoff_t index = start >> PAGE_SHIFT, last = end >> PAGE_SHIFT;
	struct folio_batch fbatch;
	unsigned int nr = 0;
	int err = 0;

	if (!memfd || !shmem_file(memfd) || start < 0 || start > end ||
	    !max_folios || end >= i_size_read(file_inode(memfd)))
		return -EINVAL;

	folio_batch_init(&fbatch);
	while (!err && index <= last && nr < max_folios) {
		if (filemap_get_folios_contig(memfd->f_mapping, &index, last,
					      &fbatch))
			err = memfd_pin_batch(&fbatch, folios, max_folios, &nr);
		else
			err = -ENOENT;
		folio_batch_release(&fbatch);
	}
	if (err) {
		unpin_folios(folios, nr);
		return err;
	}
	*offset = offset_in_folio(folios[0], start);

	return nr;
}
EXPORT_SYMBOL_GPL(memfd_pin_folios_existing);
