// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parser of IOMMU live update records, outside the kernel and under the
 * sanitizers. Prints KTAP and exits 0 or 1.
 */
#include <stdlib.h>

#include "ktap.h"

#include "../../kernel/overlay/drivers/iommu/liveupdate-parse-vectors.h"

static struct vec_image *new_image(void)
{
	/* On the heap, so that the sanitizer sees the first byte too much */
	struct vec_image *image = malloc(sizeof(*image));

	if (!image)
		abort();
	vec_build(image);
	return image;
}

static int parse_root(struct vec_image *image, struct iommu_parse *p)
{
	const struct iommu_parse_mem mem = { .ctx = image, .map = vec_map };

	return iommu_liveupdate_parse_root(&mem, VEC_ROOT_PA, p);
}

static int parse_one(struct vec_image *image, u32 slot)
{
	const struct iommu_record_ser *rec;
	struct iommu_parse p;
	int ret;

	ret = parse_root(image, &p);
	return ret ? ret : iommu_liveupdate_parse_record(&p, slot, &rec);
}

static void test_good(void)
{
	struct vec_image *image = new_image();
	const struct iommu_record_ser *rec;
	struct iommu_parse p;
	bool good = true;
	u32 slot;
	int ret;

	good = !parse_root(image, &p) && p.nr_slots == VEC_SLOTS;
	result(good, "good image: chain");
	for (slot = 0; good && slot < VEC_SLOTS + 2; slot++) {
		ret = iommu_liveupdate_parse_record(&p, slot, &rec);
		if (ret != (vec_used(slot) ? 0 : -ENOENT) ||
		    (!ret && (const void *)rec != vec_slot(image, slot))) {
			printf("# slot %u: %d: %s\n", slot, ret,
			       iommu_parse_reason(&p));
			good = false;
		}
	}
	result(good, "good image: records");
	free(image);
}

static void test_chain_changes(void)
{
	struct vec_image *image;
	struct iommu_parse p;
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(vec_chain_changes); i++) {
		image = new_image();
		vec_apply(image, &vec_chain_changes[i]);
		ret = parse_root(image, &p);
		if (ret != vec_chain_changes[i].ret)
			printf("# %d: %s\n", ret, iommu_parse_reason(&p));
		result(ret == vec_chain_changes[i].ret && p.nr_slots == 0,
		       vec_chain_changes[i].name);
		free(image);
	}
}

/* A change costs the record and what depends on it, and nothing else. */
static bool record_change(const struct vec_change *change)
{
	struct vec_image *image = new_image();
	const struct iommu_record_ser *rec;
	struct iommu_parse p;
	bool good = true;
	int ret, want;
	u32 slot;

	vec_apply(image, change);
	if (parse_root(image, &p))
		good = false;
	for (slot = 0; good && slot < VEC_SLOTS; slot++) {
		ret = iommu_liveupdate_parse_record(&p, slot, &rec);
		want = vec_used(slot) ? 0 : -ENOENT;
		if (slot == change->slot)
			want = change->ret;
		else if (change->ret && vec_depends(slot, change->slot))
			want = -EINVAL;
		if (ret == want)
			continue;
		printf("# slot %u: %d instead of %d: %s\n", slot, ret, want,
		       iommu_parse_reason(&p));
		good = false;
	}
	free(image);
	return good;
}

static void test_record_changes(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(vec_record_changes); i++)
		result(record_change(&vec_record_changes[i]),
		       vec_record_changes[i].name);
}

/* Unit, domain and entries say the same of dirty tracking, or it is refused. */
static void test_dirty(void)
{
	const struct vec_dirty *dirty;
	struct vec_image *image;
	size_t i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(vec_dirty_changes); i++) {
		dirty = &vec_dirty_changes[i];
		image = new_image();
		vec_track_dirty(image);
		vec_apply(image, &dirty->change);
		ret = parse_one(image, dirty->victim);
		if (ret != dirty->change.ret)
			printf("# %d instead of %d\n", ret, dirty->change.ret);
		result(ret == dirty->change.ret, dirty->change.name);
		free(image);
	}
}

static void test_hidden(void)
{
	struct vec_image *image = new_image();
	struct iommu_parse p;
	u32 page;

	for (page = 0; page < VEC_PAGES; page++) {
		image->hidden = 1U << page;
		result(parse_root(image, &p) == -EINVAL, "page not preserved");
	}
	free(image);
}

static void test_root_address(void)
{
	static const u64 bad[] = { 0, 1, 0x1000, VEC_ROOT_PA + 8, ~0ULL,
				   1ULL << 52 };
	struct vec_image *image = new_image();
	const struct iommu_parse_mem mem = { .ctx = image, .map = vec_map };
	struct iommu_parse p;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		result(iommu_liveupdate_parse_root(&mem, bad[i], &p) == -EINVAL,
		       "bad address of the root");
	free(image);
}

static void test_empty(void)
{
	struct vec_image *image = new_image();
	const struct iommu_record_ser *rec;
	struct iommu_parse p;

	vec_root(image)->nr_chunks = 0;
	vec_root(image)->first_chunk_pa = 0;
	result(!parse_root(image, &p) && p.nr_slots == 0 &&
		       iommu_liveupdate_parse_record(&p, 0, &rec) == -ENOENT,
	       "no chunks");
	free(image);
}

/* What is taken from a unit or domain costs nothing; surplus costs devices. */
static void test_counts(void)
{
	struct vec_image *image = new_image();
	struct iommu_unit_ser *unit = vec_slot(image, VEC_UNIT_LEGACY);
	struct iommu_domain_ser *domain = vec_slot(image, VEC_DOMAIN_LEGACY);
	struct iommu_parse p;

	unit->nr_devices = 4;
	result(!parse_one(image, VEC_UNIT_LEGACY) &&
		       !parse_one(image, VEC_DEVICE_LEGACY_B) &&
		       !parse_root(image, &p) &&
		       iommu_liveupdate_parse_missing(&p, VEC_UNIT_LEGACY) == 2,
	       "unit: two records missing");
	unit->nr_devices = 1;
	result(!parse_one(image, VEC_UNIT_LEGACY) &&
		       !parse_one(image, VEC_DEVICE_LEGACY_A) &&
		       parse_one(image, VEC_DEVICE_LEGACY_B) == -EINVAL &&
		       !iommu_liveupdate_parse_missing(&p, VEC_UNIT_LEGACY),
	       "unit: one record too many");
	unit->nr_devices = 2;
	domain->nr_attachments = 3;
	result(!parse_one(image, VEC_DOMAIN_LEGACY) &&
		       !parse_one(image, VEC_DEVICE_LEGACY_B) &&
		       iommu_liveupdate_parse_missing(&p, VEC_DOMAIN_LEGACY) ==
			       1,
	       "domain: one record missing");
	domain->nr_attachments = 0;
	result(!parse_one(image, VEC_DOMAIN_LEGACY) &&
		       parse_one(image, VEC_DEVICE_LEGACY_A) == -EINVAL,
	       "domain: no device expected");
	free(image);
}

/* An id belongs to one domain on a unit, and to any domain on another unit. */
static void test_did(void)
{
	struct vec_image *image = new_image();
	struct iommu_device_ser *first = vec_slot(image, VEC_DEVICE_FIRST);
	struct iommu_device_ser *second = vec_slot(image, VEC_DEVICE_SECOND);

	vec_drop_pasids(image);
	first->vtd.did = 8;
	first->vtd.pasid0[1] = 8;
	result(!parse_one(image, VEC_DEVICE_SECOND) &&
		       parse_one(image, VEC_DEVICE_FIRST) == -EINVAL,
	       "domain id of another domain");
	first->vtd.did = 7;
	first->vtd.pasid0[1] = 7;
	result(!parse_one(image, VEC_DEVICE_FIRST),
	       "domain id also used on another unit");
	second->vtd.did = 0x1234;
	second->vtd.pasid0[1] = 0x1234;
	result(!parse_one(image, VEC_DEVICE_SECOND), "large domain id");
	free(image);
}

/* A PASID uses the same domain ids as the devices of its unit. */
static void test_pasids(void)
{
	struct vec_image *image = new_image();
	struct iommu_domain_ser *domain = vec_slot(image, VEC_DOMAIN_FIRST);
	struct iommu_pasid_ser *b = vec_slot(image, VEC_PASID_B);
	struct iommu_parse p;

	b->vtd.did = 7;
	b->vtd.entry[1] = 7;
	result(!parse_one(image, VEC_DEVICE_FIRST) &&
		       parse_one(image, VEC_PASID_B) == -EINVAL &&
		       parse_one(image, VEC_DEVICE_SECOND) == -EINVAL &&
		       parse_one(image, VEC_PASID_A) == -EINVAL,
	       "PASID with another id of the domain");
	b->vtd.did = 9;
	b->vtd.entry[1] = 9;
	domain->nr_attachments = 1;
	result(!parse_one(image, VEC_DEVICE_FIRST) &&
		       parse_one(image, VEC_DEVICE_SECOND) == -EINVAL,
	       "domain: one attachment too many costs the later device");
	domain->nr_attachments = 3;
	result(!parse_one(image, VEC_PASID_B) && !parse_root(image, &p) &&
		       iommu_liveupdate_parse_missing(&p, VEC_DOMAIN_FIRST) ==
			       1,
	       "domain: a PASID record missing");
	free(image);
}

static void test_unused_bytes(void)
{
	struct vec_image *image = new_image();
	struct iommu_unit_ser *unit = vec_slot(image, VEC_UNIT_LEGACY);

	unit->raw[120] = 1;
	result(parse_one(image, VEC_UNIT_LEGACY) == -EINVAL,
	       "bytes without a meaning");
	unit->head.optional = 1;
	result(!parse_one(image, VEC_UNIT_LEGACY),
	       "bytes with a meaning that may be ignored");
	unit->head.size = 40 + 120;
	result(parse_one(image, VEC_UNIT_LEGACY) == -EINVAL,
	       "bytes behind the end of the record");
	free(image);
}

static bool is_expected(int ret)
{
	return !ret || ret == -ENOENT || ret == -EINVAL || ret == -EOPNOTSUPP;
}

/*
 * Change each byte of the image in several ways. The parser must survive it,
 * and what it accepts must be sane enough for the next question.
 */
static void test_every_byte(void)
{
	static const u8 masks[] = { 0x01, 0x08, 0x80, 0xff };
	struct vec_image *image = new_image();
	const struct iommu_record_ser *rec;
	unsigned long accepted = 0, refused = 0;
	struct iommu_parse p;
	u8 *byte = image->mem[0];
	bool good = true, all;
	size_t i, m;
	u32 slot;
	int ret;

	for (i = 0; i < sizeof(image->mem); i++) {
		for (m = 0; m < sizeof(masks); m++) {
			byte[i] ^= masks[m];
			all = !parse_root(image, &p);
			for (slot = 0; all && slot < p.nr_slots; slot++) {
				ret = iommu_liveupdate_parse_record(&p, slot,
								    &rec);
				good &= is_expected(ret);
				if (ret && vec_used(slot))
					refused++;
			}
			if (!all)
				refused++;
			else
				accepted++;
			byte[i] ^= masks[m];
		}
	}
	printf("# info byte_changes chain_good %lu refusals %lu\n", accepted,
	       refused);
	result(good && refused > 4000, "every byte changed");
	free(image);
}

static void test_garbage(void)
{
	struct vec_image *image = new_image();
	const struct iommu_record_ser *rec;
	struct iommu_parse p;
	bool good = true;
	unsigned int round, i;
	u32 slot;
	u8 *byte;

	srand(1);
	for (round = 0; round < 20000; round++) {
		vec_build(image);
		for (i = 0; i < 1 + round % 16; i++) {
			byte = vec_slot(image, rand() % VEC_PASID_MOCK);
			byte[rand() % IOMMU_SER_SLOT_SIZE] = rand();
		}
		if (parse_root(image, &p)) {
			good = false;
			continue;
		}
		for (slot = 0; slot < p.nr_slots; slot++)
			good &= is_expected(iommu_liveupdate_parse_record(
				&p, slot, &rec));
	}
	result(good, "garbage in records");
	free(image);
}

int main(void)
{
	printf("KTAP version 1\n");
	test_good();
	test_chain_changes();
	test_record_changes();
	test_dirty();
	test_hidden();
	test_root_address();
	test_empty();
	test_counts();
	test_did();
	test_pasids();
	test_unused_bytes();
	test_every_byte();
	test_garbage();
	return results();
}
