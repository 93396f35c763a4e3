// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live update of an iommufd: its records.
 *
 * This file knows how the tables of linux/kho/abi/iommufd.h are cut into chunks
 * and what makes them valid. It knows no object of iommufd.
 *
 * Old kernel: the tables are built in ordinary memory and written once, when
 * nothing can change any more, into chunks that KHO preserves. The root and the
 * chunks belong to the iommufd that is preserved and are protected by its
 * lu.lock. The device chain is the only part that grows afterwards.
 *
 * New kernel: what is read here was written by another kernel and is not
 * trusted. No address is followed before KHO has said that a folio of the right
 * order was preserved there, and the chains are copied before they are checked,
 * so that what was checked is what is used. Nothing is allocated for a count
 * that the bytes which are really there do not back. The preserved memory stays
 * as it is until iommufd_lu_read_free(), which cannot fail.
 */
#include <linux/iommu.h>
#include <linux/kexec_handover.h>
#include <linux/kho_query.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>

#include "liveupdate-priv.h"

/* Position of each table: which pointer, how many entries, how large */
struct lu_table {
	void **ptr;
	u32 nr;
	size_t size;
};

#define LU_NR_TABLES 7

static void lu_tables_list(struct lu_table *list, struct iommufd_lu_tables *t,
			   const struct iommufd_ser *ser)
{
	list[0] = (struct lu_table){ (void **)&t->memfds, ser->nr_memfds,
				     sizeof(*t->memfds) };
	list[1] = (struct lu_table){ (void **)&t->pages, ser->nr_pages,
				     sizeof(*t->pages) };
	list[2] = (struct lu_table){ (void **)&t->ioas, ser->nr_ioas,
				     sizeof(*t->ioas) };
	list[3] = (struct lu_table){ (void **)&t->allowed, ser->nr_allowed,
				     sizeof(*t->allowed) };
	list[4] = (struct lu_table){ (void **)&t->areas, ser->nr_areas,
				     sizeof(*t->areas) };
	list[5] = (struct lu_table){ (void **)&t->hwpts, ser->nr_hwpts,
				     sizeof(*t->hwpts) };
	list[6] = (struct lu_table){ (void **)&t->sw_msi, ser->nr_sw_msi,
				     sizeof(*t->sw_msi) };
}

/**
 * iommufd_lu_tables_alloc - Allocate tables to fill
 * @t: where
 * @ser: how many entries
 *
 * Return: 0, -E2BIG, -ENOMEM
 */
int iommufd_lu_tables_alloc(struct iommufd_lu_tables *t,
			    const struct iommufd_ser *ser)
{
	struct lu_table list[LU_NR_TABLES];
	unsigned int i;
	void *table;

	memset(t, 0, sizeof(*t));
	lu_tables_list(list, t, ser);
	for (i = 0; i < LU_NR_TABLES; i++) {
		if (list[i].nr > IOMMUFD_SER_MAX_ENTRIES) {
			iommufd_lu_tables_free(t);
			return -E2BIG;
		}
		if (!list[i].nr)
			continue;
		table = kvcalloc(list[i].nr, list[i].size, GFP_KERNEL_ACCOUNT);
		if (!table) {
			iommufd_lu_tables_free(t);
			return -ENOMEM;
		}
		*list[i].ptr = table;
	}
	return 0;
}

/**
 * iommufd_lu_tables_free - Free what iommufd_lu_tables_alloc() allocated
 * @t: the tables
 */
void iommufd_lu_tables_free(struct iommufd_lu_tables *t)
{
	kvfree(t->memfds);
	kvfree(t->pages);
	kvfree(t->ioas);
	kvfree(t->allowed);
	kvfree(t->areas);
	kvfree(t->hwpts);
	kvfree(t->sw_msi);
	memset(t, 0, sizeof(*t));
}

/* Append a chunk to a chain whose last chunk is @last, NULL for none */
static struct iommufd_chunk_ser *lu_chunk_add(u64 *head_pa, u32 *nr,
					      struct iommufd_chunk_ser *last)
{
	struct iommufd_chunk_ser *chunk;

	if (*nr >= IOMMUFD_SER_MAX_CHUNKS)
		return ERR_PTR(-E2BIG);
	chunk = kho_alloc_preserve(sizeof(*chunk));
	if (IS_ERR(chunk))
		return chunk;
	chunk->index = (*nr)++;
	if (last)
		last->next_pa = virt_to_phys(chunk);
	else
		*head_pa = virt_to_phys(chunk);
	return chunk;
}

static void lu_chain_unpreserve(u64 pa)
{
	while (pa) {
		struct iommufd_chunk_ser *chunk = phys_to_virt(pa);

		pa = chunk->next_pa;
		kho_unpreserve_free(chunk);
	}
}

/**
 * iommufd_lu_write - Write the tables into preserved memory
 * @ser: the root; receives the data chain. The counts are already there
 * @t: the tables
 *
 * Return: 0, -E2BIG, -ENOMEM or what KHO returned. On failure the chunks written
 * so far are freed by iommufd_lu_free().
 */
int iommufd_lu_write(struct iommufd_ser *ser, const struct iommufd_lu_tables *t)
{
	size_t used = IOMMUFD_SER_CHUNK_DATA;
	struct iommufd_lu_tables tmp = *t;
	struct lu_table list[LU_NR_TABLES];
	struct iommufd_chunk_ser *chunk = NULL;
	unsigned int i;

	lu_tables_list(list, &tmp, ser);
	for (i = 0; i < LU_NR_TABLES; i++) {
		size_t left = list[i].nr * list[i].size;
		const u8 *from = *list[i].ptr;

		while (left) {
			size_t n;

			if (used == IOMMUFD_SER_CHUNK_DATA) {
				chunk = lu_chunk_add(&ser->data_pa,
						     &ser->data_chunks, chunk);
				if (IS_ERR(chunk))
					return PTR_ERR(chunk);
				used = 0;
			}
			n = min(left, IOMMUFD_SER_CHUNK_DATA - used);
			memcpy(chunk->data + used, from, n);
			used += n;
			from += n;
			left -= n;
			ser->data_bytes += n;
		}
	}
	return 0;
}

/**
 * iommufd_lu_free - Free a root and its chains in the old kernel
 * @ser: the root
 */
void iommufd_lu_free(struct iommufd_ser *ser)
{
	lu_chain_unpreserve(ser->data_pa);
	lu_chain_unpreserve(ser->devices_pa);
	kho_unpreserve_free(ser);
}

/**
 * iommufd_lu_new_device - Find a free device entry, or make one
 * @ser: the root
 *
 * The entry is in use as soon as its dev_id is not 0. It is freed by clearing it.
 *
 * Return: the entry, or an ERR_PTR
 */
struct iommufd_device_ser *iommufd_lu_new_device(struct iommufd_ser *ser)
{
	struct iommufd_chunk_ser *chunk = NULL;
	struct iommufd_device_ser *dev;
	u64 pa = ser->devices_pa;
	unsigned int i;

	while (pa) {
		chunk = phys_to_virt(pa);
		dev = (struct iommufd_device_ser *)chunk->data;
		for (i = 0; i < IOMMUFD_SER_DEVICES_PER_CHUNK; i++, dev++)
			if (!dev->dev_id)
				return dev;
		pa = chunk->next_pa;
	}
	chunk = lu_chunk_add(&ser->devices_pa, &ser->device_chunks, chunk);
	if (IS_ERR(chunk))
		return ERR_CAST(chunk);
	return (struct iommufd_device_ser *)chunk->data;
}

/* From here on: new kernel, hostile data. */

/* The chunk at @pa if there can be one, which has to be number @index */
static struct iommufd_chunk_ser *lu_chunk_get(u64 pa, u32 index)
{
	struct iommufd_chunk_ser *chunk;

	if (!pa || !kho_folio_preserved(pa, 0))
		return NULL;
	chunk = phys_to_virt(pa);
	if (chunk->index != index || chunk->reserved)
		return NULL;
	return chunk;
}

/* Free as much of a chain as is intact */
static void lu_chain_restore_free(u64 pa, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++) {
		struct iommufd_chunk_ser *chunk = lu_chunk_get(pa, i);

		if (!chunk)
			return;
		pa = chunk->next_pa;
		kho_restore_free(chunk);
	}
}

/* Copy a chain of @nr chunks whose payload is @bytes in total */
static void *lu_chain_copy(u64 pa, u32 nr, u64 bytes)
{
	u64 done = 0;
	u64 next = pa;
	void *copy;
	u32 i;

	/* First count what is there, then allocate */
	for (i = 0; i < nr; i++) {
		struct iommufd_chunk_ser *chunk = lu_chunk_get(next, i);

		if (!chunk)
			return ERR_PTR(-EINVAL);
		next = chunk->next_pa;
	}
	if (next)
		return ERR_PTR(-EINVAL);

	copy = kvmalloc(bytes, GFP_KERNEL_ACCOUNT);
	if (!copy)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i < nr; i++) {
		struct iommufd_chunk_ser *chunk = phys_to_virt(pa);
		size_t n = min_t(u64, bytes - done, IOMMUFD_SER_CHUNK_DATA);

		memcpy(copy + done, chunk->data, n);
		done += n;
		pa = chunk->next_pa;
	}
	return copy;
}

/* Bytes that have no meaning are 0, unless a newer kernel gave them one */
static bool lu_unused(const struct iommufd_lu_incoming *in, const void *bytes,
		      size_t size)
{
	return in->ser.optional || !memchr_inv(bytes, 0, size);
}

static int lu_read_root(struct iommufd_lu_incoming *in)
{
	const struct iommufd_ser *ser = &in->ser;
	struct lu_table list[LU_NR_TABLES];
	u64 bytes = 0;
	unsigned int i;

	if (!kho_folio_preserved(in->pa, 0))
		return -EINVAL;
	in->ser = *(struct iommufd_ser *)phys_to_virt(in->pa);
	if (ser->magic != IOMMUFD_SER_MAGIC)
		return -EINVAL;
	if (ser->version < IOMMUFD_SER_VERSION_MIN ||
	    ser->version > IOMMUFD_SER_VERSION || ser->required)
		return -EOPNOTSUPP;
	if (ser->size < sizeof(*ser) || ser->size > IOMMUFD_SER_CHUNK_SIZE ||
	    !lu_unused(in, ser->reserved, sizeof(ser->reserved)) ||
	    ser->account_mode > IOMMUFD_SER_ACCOUNT_MM ||
	    ser->next_sw_msi > 64 ||
	    ser->data_chunks > IOMMUFD_SER_MAX_CHUNKS ||
	    ser->device_chunks > IOMMUFD_SER_MAX_CHUNKS)
		return -EINVAL;

	lu_tables_list(list, &in->t, ser);
	for (i = 0; i < LU_NR_TABLES; i++) {
		if (list[i].nr > IOMMUFD_SER_MAX_ENTRIES)
			return -EINVAL;
		bytes += (u64)list[i].nr * list[i].size;
	}
	if (!ser->nr_hwpts || !ser->nr_ioas || bytes > ser->data_bytes ||
	    (bytes != ser->data_bytes && !ser->optional) ||
	    ser->data_chunks !=
		    DIV_ROUND_UP_ULL(ser->data_bytes, IOMMUFD_SER_CHUNK_DATA))
		return -EINVAL;
	return 0;
}

static int lu_read_data(struct iommufd_lu_incoming *in)
{
	struct lu_table list[LU_NR_TABLES];
	unsigned int i;
	void *pos;

	pos = lu_chain_copy(in->ser.data_pa, in->ser.data_chunks,
			    in->ser.data_bytes);
	if (IS_ERR(pos))
		return PTR_ERR(pos);
	in->data = pos;
	lu_tables_list(list, &in->t, &in->ser);
	for (i = 0; i < LU_NR_TABLES; i++) {
		*list[i].ptr = pos;
		pos += list[i].nr * list[i].size;
	}
	in->hwpts_valid = true;
	return 0;
}

static bool lu_id_valid(u32 id)
{
	return id && id <= INT_MAX;
}

static int lu_check_pages(const struct iommufd_lu_incoming *in)
{
	u32 i;

	for (i = 0; i < in->ser.nr_memfds; i++)
		if (!lu_unused(in, &in->t.memfds[i].reserved, sizeof(u64)))
			return -EINVAL;

	for (i = 0; i < in->ser.nr_pages; i++) {
		const struct iommufd_pages_ser *p = &in->t.pages[i];
		u64 end;

		if (p->flags & ~IOMMUFD_PAGES_SER_KNOWN)
			return -EOPNOTSUPP;
		if (p->memfd >= in->ser.nr_memfds ||
		    !lu_unused(in, &p->reserved, sizeof(p->reserved)) ||
		    p->account_mode > IOMMUFD_SER_ACCOUNT_MM || !p->length ||
		    !PAGE_ALIGNED(p->start) || !PAGE_ALIGNED(p->length) ||
		    check_add_overflow(p->start, p->length, &end) ||
		    end > MAX_LFS_FILESIZE)
			return -EINVAL;
	}
	return 0;
}

static int lu_check_areas(const struct iommufd_lu_incoming *in, u32 first,
			  u32 nr)
{
	u64 min_iova = 0;
	u32 i;

	for (i = first; i < first + nr; i++) {
		const struct iommufd_area_ser *a = &in->t.areas[i];
		const struct iommufd_pages_ser *p;
		u64 last, last_byte;

		if (a->prot & ~IOMMUFD_AREA_SER_KNOWN)
			return -EOPNOTSUPP;
		if (a->pages >= in->ser.nr_pages || !a->length || !a->prot)
			return -EINVAL;
		p = &in->t.pages[a->pages];
		if (check_add_overflow(a->iova, a->length - 1, &last) ||
		    check_add_overflow(a->start_byte, a->length - 1,
				       &last_byte) ||
		    last > ULONG_MAX || last_byte >= p->length)
			return -EINVAL;
		if ((a->prot & IOMMUFD_AREA_SER_WRITE) &&
		    !(p->flags & IOMMUFD_PAGES_SER_WRITABLE))
			return -EINVAL;
		if (a->iova < min_iova)
			return -EINVAL;
		/* Nothing can follow an area that ends at the very end */
		if (last == U64_MAX && i + 1 < first + nr)
			return -EINVAL;
		min_iova = last + 1;
	}
	return 0;
}

static int lu_check_allowed(const struct iommufd_lu_incoming *in, u32 first,
			    u32 nr)
{
	u64 min_iova = 0;
	u32 i;

	for (i = first; i < first + nr; i++) {
		const struct iommufd_allowed_ser *a = &in->t.allowed[i];

		if (a->start > a->last || a->last > ULONG_MAX ||
		    a->start < min_iova)
			return -EINVAL;
		if (a->last == U64_MAX && i + 1 < first + nr)
			return -EINVAL;
		min_iova = a->last + 1;
	}
	return 0;
}

static int lu_check_ioas(const struct iommufd_lu_incoming *in)
{
	u32 allowed = 0, areas = 0, id = 0;
	bool vfio_ioas = !in->ser.vfio_ioas_id;
	u32 i;
	int rc;

	for (i = 0; i < in->ser.nr_ioas; i++) {
		const struct iommufd_ioas_ser *s = &in->t.ioas[i];

		if (s->flags & ~IOMMUFD_IOAS_SER_KNOWN)
			return -EOPNOTSUPP;
		if (!lu_id_valid(s->id) || s->id <= id ||
		    s->nr_allowed > in->ser.nr_allowed - allowed ||
		    s->nr_areas > in->ser.nr_areas - areas)
			return -EINVAL;
		rc = lu_check_allowed(in, allowed, s->nr_allowed);
		if (rc)
			return rc;
		rc = lu_check_areas(in, areas, s->nr_areas);
		if (rc)
			return rc;
		id = s->id;
		allowed += s->nr_allowed;
		areas += s->nr_areas;
		vfio_ioas |= id == in->ser.vfio_ioas_id;
	}
	if (allowed != in->ser.nr_allowed || areas != in->ser.nr_areas ||
	    !vfio_ioas)
		return -EINVAL;
	return 0;
}

/**
 * iommufd_lu_find_ioas - Find an IOAS by its id
 * @in: the records
 * @id: object id
 *
 * Return: its index, or U32_MAX
 */
u32 iommufd_lu_find_ioas(const struct iommufd_lu_incoming *in, u32 id)
{
	u32 lo = 0, hi = in->ser.nr_ioas;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (in->t.ioas[mid].id == id)
			return mid;
		if (in->t.ioas[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return U32_MAX;
}

/**
 * iommufd_lu_find_hwpt - Find a HWPT by its id
 * @in: the records
 * @id: object id
 *
 * Return: its index, or U32_MAX
 */
u32 iommufd_lu_find_hwpt(const struct iommufd_lu_incoming *in, u32 id)
{
	u32 lo = 0, hi = in->ser.nr_hwpts;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (in->t.hwpts[mid].id == id)
			return mid;
		if (in->t.hwpts[mid].id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return U32_MAX;
}

/* Also tells which ids there are, one bit for each */
static int lu_check_sw_msi(const struct iommufd_lu_incoming *in, u64 *ids)
{
	u32 i;

	*ids = 0;
	for (i = 0; i < in->ser.nr_sw_msi; i++) {
		const struct iommufd_sw_msi_ser *m = &in->t.sw_msi[i];
		u64 iova;

		if (m->id >= in->ser.next_sw_msi || *ids & BIT_ULL(m->id) ||
		    !lu_unused(in, &m->reserved, sizeof(m->reserved)) ||
		    !PAGE_ALIGNED(m->msi_pa) || !PAGE_ALIGNED(m->start) ||
		    !PAGE_ALIGNED(m->offset) || m->offset > INT_MAX ||
		    check_add_overflow(m->start, m->offset, &iova))
			return -EINVAL;
		*ids |= BIT_ULL(m->id);
	}
	return 0;
}

static int lu_check_hwpts(const struct iommufd_lu_incoming *in)
{
	u64 sw_msi;
	u32 id = 0;
	u32 i;
	int rc;

	rc = lu_check_sw_msi(in, &sw_msi);
	if (rc)
		return rc;
	for (i = 0; i < in->ser.nr_hwpts; i++) {
		const struct iommufd_hwpt_ser *h = &in->t.hwpts[i];

		/* That ids are unique over all types shows when they are taken */
		if (h->flags & ~IOMMUFD_HWPT_SER_KNOWN)
			return -EOPNOTSUPP;
		if (!lu_id_valid(h->id) || h->id <= id || h->sw_msi & ~sw_msi ||
		    iommufd_lu_find_ioas(in, h->ioas_id) == U32_MAX)
			return -EINVAL;
		id = h->id;
	}
	return 0;
}

static int lu_check_device(const struct iommufd_lu_incoming *in,
			   const struct iommufd_device_ser *d)
{
	if (d->flags)
		return -EOPNOTSUPP;
	if (!lu_id_valid(d->dev_id) ||
	    iommufd_lu_find_hwpt(in, d->hwpt_id) == U32_MAX)
		return -EINVAL;
	if (d->pasid > IOMMUFD_SER_PASID_LAST)
		return -EINVAL;
	if (d->pasid) {
		if (d->sw_msi_start || d->sw_msi ||
		    memchr_inv(d->name, 0, sizeof(d->name)))
			return -EINVAL;
		return 0;
	}
	if (!d->name[0] || strnlen(d->name, sizeof(d->name)) == sizeof(d->name))
		return -EINVAL;
	return 0;
}

static int lu_device_cmp(const void *a, const void *b)
{
	const struct iommufd_device_ser *one = a, *two = b;

	if (one->dev_id != two->dev_id)
		return one->dev_id < two->dev_id ? -1 : 1;
	if (one->pasid != two->pasid)
		return one->pasid < two->pasid ? -1 : 1;
	return 0;
}

/**
 * iommufd_lu_count_entries - Count the entries of a device
 * @in: the records, whose devices are sorted
 * @d: its first entry
 *
 * Return: how many entries @d and those after it have of that device
 */
u32 iommufd_lu_count_entries(const struct iommufd_lu_incoming *in,
			     const struct iommufd_device_ser *d)
{
	const struct iommufd_device_ser *end = in->devices + in->nr_devices;
	u32 n = 1;

	while (d + n < end && d[n].dev_id == d->dev_id)
		n++;
	return n;
}

/* The one without a PASID first, and each PASID once */
static bool lu_device_whole(const struct iommufd_device_ser *d, u32 n)
{
	u32 i;

	for (i = 1; i < n; i++)
		if (d[i].pasid == d[i - 1].pasid)
			return false;
	return !d->pasid;
}

/* Sort by device and PASID; a device whose entries do not fit is lost */
static void lu_sort_devices(struct iommufd_lu_incoming *in)
{
	struct iommufd_device_ser *d = in->devices;
	u32 i, n, good = 0;

	sort(d, in->nr_devices, sizeof(*d), lu_device_cmp, NULL);
	for (i = 0; i < in->nr_devices; i += n) {
		n = iommufd_lu_count_entries(in, d + i);
		if (!lu_device_whole(d + i, n)) {
			pr_warn("iommufd: records of device %u do not fit\n",
				d[i].dev_id);
			in->devices_lost = true;
			continue;
		}
		memmove(d + good, d + i, n * sizeof(*d));
		good += n;
	}
	in->nr_devices = good;
}

static int lu_read_devices(struct iommufd_lu_incoming *in)
{
	u64 bytes = (u64)in->ser.device_chunks * IOMMUFD_SER_CHUNK_DATA;
	struct iommufd_device_ser *to, *from;
	void *copy;
	u32 i, k;
	int rc;

	if (!in->ser.device_chunks)
		return in->ser.devices_pa ? -EINVAL : 0;
	copy = lu_chain_copy(in->ser.devices_pa, in->ser.device_chunks, bytes);
	if (IS_ERR(copy))
		return PTR_ERR(copy);

	/* Move the used entries to the front: @to never overtakes @from */
	in->devices = copy;
	to = in->devices;
	for (i = 0; i < in->ser.device_chunks; i++) {
		from = copy + (size_t)i * IOMMUFD_SER_CHUNK_DATA;
		for (k = 0; k < IOMMUFD_SER_DEVICES_PER_CHUNK; k++, from++) {
			if (!from->dev_id)
				continue;
			rc = lu_check_device(in, from);
			if (rc) {
				pr_warn("iommufd: record of device %u cannot be used: %pe\n",
					from->dev_id, ERR_PTR(rc));
				in->devices_lost = true;
				continue;
			}
			memmove(to++, from, sizeof(*to));
			in->nr_devices++;
		}
	}
	lu_sort_devices(in);
	return 0;
}

static int lu_read(struct iommufd_lu_incoming *in)
{
	int rc;

	rc = lu_read_root(in);
	if (rc)
		return rc;
	rc = lu_read_data(in);
	if (rc)
		return rc;
	rc = lu_check_pages(in);
	if (rc)
		return rc;
	rc = lu_check_ioas(in);
	if (rc)
		return rc;
	rc = lu_check_hwpts(in);
	if (rc)
		return rc;
	return lu_read_devices(in);
}

/**
 * iommufd_lu_read - Read and check everything that was handed over
 * @in: zeroed, with pa set; @in->error says whether it can be used
 *
 * Can be called again when there was not enough memory.
 */
void iommufd_lu_read(struct iommufd_lu_incoming *in)
{
	in->hwpts_valid = false;
	in->nr_devices = 0;
	in->devices_lost = false;
	kvfree(in->devices);
	in->devices = NULL;
	kvfree(in->data);
	in->data = NULL;
	in->error = lu_read(in);
}

/**
 * iommufd_lu_read_free - Free the copies and the preserved memory
 * @in: what iommufd_lu_read() read; not freed itself
 *
 * What is too damaged to be found stays preserved and is lost, which is said.
 */
void iommufd_lu_read_free(struct iommufd_lu_incoming *in)
{
	kvfree(in->data);
	kvfree(in->devices);
	if (!kho_folio_preserved(in->pa, 0)) {
		pr_warn("iommufd: records of a live update leaked\n");
		return;
	}
	if (in->ser.magic == IOMMUFD_SER_MAGIC) {
		lu_chain_restore_free(in->ser.data_pa, in->ser.data_chunks);
		lu_chain_restore_free(in->ser.devices_pa,
				      in->ser.device_chunks);
	}
	/* Unless it was in one of the chains, too */
	if (kho_folio_preserved(in->pa, 0))
		kho_restore_free(phys_to_virt(in->pa));
}
