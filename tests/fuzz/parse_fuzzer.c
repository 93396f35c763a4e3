// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzer of the parser of IOMMU live update records.
 *
 * The input is physical memory: page 0 is the root, the others follow it.
 *
 * Beyond surviving, the parser has to be right about three things: a record it
 * accepts is accepted again, no two accepted records own the same table, and
 * an accepted device names accepted records.
 */
#include "fuzz.h"

#include "../../kernel/overlay/drivers/iommu/liveupdate-parse-vectors.h"

#define MAX_PAGES 16
#define MAX_SLOTS (MAX_PAGES * IOMMU_SER_SLOTS_PER_CHUNK)

struct memory {
	const u8 *data;
	size_t size;
};

static const void *map(void *ctx, u64 pa, u64 size)
{
	const struct memory *memory = ctx;

	if (pa < VEC_ROOT_PA || pa - VEC_ROOT_PA > memory->size ||
	    size > memory->size - (pa - VEC_ROOT_PA))
		return NULL;
	return memory->data + (pa - VEC_ROOT_PA);
}

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "the parser was wrong: %s\n", what);
	abort();
}

static u64 top_pa(const struct iommu_record_ser *rec)
{
	const struct iommu_domain_ser *domain = (const void *)rec;

	return rec->type == IOMMU_RECORD_DOMAIN ? domain->pt.top_pa : 0;
}

static void check_device(struct iommu_parse *p,
			 const struct iommu_record_ser *rec)
{
	const struct iommu_device_ser *device = (const void *)rec;
	const struct iommu_record_ser *other;

	if (rec->type != IOMMU_RECORD_DEVICE)
		return;
	check(!iommu_liveupdate_parse_record(p, device->unit, &other) &&
		      other->type == IOMMU_RECORD_UNIT,
	      "a device of a bad unit");
	check(!iommu_liveupdate_parse_record(p, device->domain, &other) &&
		      other->type == IOMMU_RECORD_DOMAIN,
	      "a device of a bad domain");
}

static void parse_all(struct iommu_parse *p)
{
	const struct iommu_record_ser *rec, *again;
	u64 tops[MAX_SLOTS];
	unsigned int i, nr = 0;
	u32 slot;
	int ret;

	for (slot = 0; slot < p->nr_slots + 1; slot++) {
		ret = iommu_liveupdate_parse_record(p, slot, &rec);
		if (ret) {
			check(ret == -ENOENT || ret == -EINVAL ||
				      ret == -EOPNOTSUPP,
			      "an errno that is not documented");
			check(ret == -ENOENT || *iommu_parse_reason(p),
			      "no reason");
			continue;
		}
		check(!iommu_liveupdate_parse_record(p, slot, &again) &&
			      again == rec,
		      "it changes its mind");
		check_device(p, rec);
		if (rec->type != IOMMU_RECORD_DEVICE)
			iommu_liveupdate_parse_missing(p, slot);
		if (!top_pa(rec))
			continue;
		for (i = 0; i < nr; i++)
			check(tops[i] != top_pa(rec), "a table of two domains");
		tops[nr++] = top_pa(rec);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct memory memory = { .size = size };
	const struct iommu_parse_mem mem = { .ctx = &memory, .map = map };
	struct iommu_parse p;
	u8 *copy;

	/* Aligned, and with its end where the sanitizer looks */
	if (size > MAX_PAGES * VEC_PAGE)
		return 0;
	copy = malloc(size ? size : 1);
	if (!copy)
		abort();
	memcpy(copy, data, size);
	memory.data = copy;
	if (!iommu_liveupdate_parse_root(&mem, VEC_ROOT_PA, &p))
		parse_all(&p);
	else
		check(*iommu_parse_reason(&p), "no reason");
	free(copy);
	return 0;
}

static struct vec_image image;

/* The good image, and one for each change that the tests know */
size_t fuzz_seed(unsigned int n, u8 *data)
{
	const unsigned int chains = ARRAY_SIZE(vec_chain_changes);
	const unsigned int records = ARRAY_SIZE(vec_record_changes);
	const unsigned int dirty = ARRAY_SIZE(vec_dirty_changes);

	if (n > chains + records + dirty)
		return 0;
	vec_build(&image);
	if (n > chains + records) {
		n -= chains + records + 1;
		vec_track_dirty(&image);
		vec_apply(&image, &vec_dirty_changes[n].change);
	} else if (n > chains)
		vec_apply(&image, &vec_record_changes[n - chains - 1]);
	else if (n)
		vec_apply(&image, &vec_chain_changes[n - 1]);
	memcpy(data, image.mem, sizeof(image.mem));
	return sizeof(image.mem);
}
