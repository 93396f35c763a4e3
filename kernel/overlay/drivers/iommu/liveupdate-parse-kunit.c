// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parser of IOMMU live update records, tested inside the kernel: the build
 * that counts. The vectors are shared with the tests in userspace, which have
 * more of them and the sanitizers. Each test owns its image.
 */
#include <kunit/test.h>
#include <linux/panic.h>

#include "liveupdate-parse-vectors.h"

static int parse_init(struct kunit *test)
{
	struct vec_image *image;

	image = kunit_kzalloc(test, sizeof(*image), GFP_KERNEL);
	if (!image)
		return -ENOMEM;
	vec_build(image);
	test->priv = image;
	return 0;
}

static int parse_image(struct kunit *test, struct iommu_parse *p)
{
	const struct iommu_parse_mem mem = {
		.ctx = test->priv,
		.map = vec_map,
	};

	return iommu_liveupdate_parse_root(&mem, VEC_ROOT_PA, p);
}

static void parse_good(struct kunit *test)
{
	const struct iommu_record_ser *rec;
	struct iommu_parse p;
	u32 slot;
	int ret;

	KUNIT_ASSERT_EQ(test, parse_image(test, &p), 0);
	KUNIT_EXPECT_EQ(test, p.nr_slots, VEC_SLOTS);
	for (slot = 0; slot < VEC_SLOTS + 2; slot++) {
		ret = iommu_liveupdate_parse_record(&p, slot, &rec);
		KUNIT_EXPECT_EQ_MSG(test, ret, vec_used(slot) ? 0 : -ENOENT,
				    "slot %u: %s", slot,
				    iommu_parse_reason(&p));
		if (!ret)
			KUNIT_EXPECT_PTR_EQ(test, (const void *)rec,
					    vec_slot(test->priv, slot));
	}
}

static void parse_bad_chain(struct kunit *test)
{
	const struct vec_change *change;
	struct iommu_parse p;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vec_chain_changes); i++) {
		change = &vec_chain_changes[i];
		vec_build(test->priv);
		vec_apply(test->priv, change);
		KUNIT_EXPECT_EQ_MSG(test, parse_image(test, &p), change->ret,
				    "%s: %s", change->name,
				    iommu_parse_reason(&p));
	}
}

/* A change costs the record and what depends on it, and nothing else. */
static void parse_one_change(struct kunit *test,
			     const struct vec_change *change)
{
	const struct iommu_record_ser *rec;
	struct iommu_parse p;
	int ret, want;
	u32 slot;

	vec_build(test->priv);
	vec_apply(test->priv, change);
	KUNIT_ASSERT_EQ_MSG(test, parse_image(test, &p), 0, "%s", change->name);
	for (slot = 0; slot < VEC_SLOTS; slot++) {
		ret = iommu_liveupdate_parse_record(&p, slot, &rec);
		want = vec_used(slot) ? 0 : -ENOENT;
		if (slot == change->slot)
			want = change->ret;
		else if (change->ret && vec_depends(slot, change->slot))
			want = -EINVAL;
		KUNIT_EXPECT_EQ_MSG(test, ret, want, "%s: slot %u: %s",
				    change->name, slot, iommu_parse_reason(&p));
	}
}

static void parse_bad_records(struct kunit *test)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vec_record_changes); i++)
		parse_one_change(test, &vec_record_changes[i]);
}

/* Who tracks what is written, and who is able to, has to fit together. */
static void parse_dirty(struct kunit *test)
{
	const struct iommu_record_ser *rec;
	const struct vec_dirty *dirty;
	struct iommu_parse p;
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(vec_dirty_changes); i++) {
		dirty = &vec_dirty_changes[i];
		vec_build(test->priv);
		vec_track_dirty(test->priv);
		vec_apply(test->priv, &dirty->change);
		KUNIT_ASSERT_EQ(test, parse_image(test, &p), 0);
		ret = iommu_liveupdate_parse_record(&p, dirty->victim, &rec);
		KUNIT_EXPECT_EQ_MSG(test, ret, dirty->change.ret, "%s: %s",
				    dirty->change.name, iommu_parse_reason(&p));
	}
}

static void parse_not_preserved(struct kunit *test)
{
	struct vec_image *image = test->priv;
	struct iommu_parse p;
	unsigned int page;

	for (page = 0; page < VEC_PAGES; page++) {
		image->hidden = 1U << page;
		KUNIT_EXPECT_EQ(test, parse_image(test, &p), -EINVAL);
	}
}

/* Each byte of the image, changed in several ways, and no splat */
static void parse_every_byte(struct kunit *test)
{
	static const u8 masks[] = { 0x01, 0x80, 0xff };
	bool warned = test_taint(TAINT_WARN);
	struct vec_image *image = test->priv;
	const struct iommu_record_ser *rec;
	u8 *byte = image->mem[0];
	struct iommu_parse p;
	unsigned int i, m;
	u32 slot;
	int ret;

	for (i = 0; i < sizeof(image->mem); i++) {
		for (m = 0; m < ARRAY_SIZE(masks); m++) {
			byte[i] ^= masks[m];
			if (parse_image(test, &p))
				p.nr_slots = 0;
			for (slot = 0; slot < p.nr_slots; slot++) {
				ret = iommu_liveupdate_parse_record(&p, slot,
								    &rec);
				if (ret && ret != -ENOENT && ret != -EINVAL &&
				    ret != -EOPNOTSUPP)
					KUNIT_FAIL(test, "byte %u: %d", i, ret);
			}
			byte[i] ^= masks[m];
		}
		cond_resched();
	}
	KUNIT_EXPECT_EQ(test, test_taint(TAINT_WARN), warned);
}

static void parse_counts(struct kunit *test)
{
	struct iommu_unit_ser *unit = vec_slot(test->priv, VEC_UNIT_LEGACY);
	const struct iommu_record_ser *rec;
	struct iommu_parse p;
	u32 missing;
	int ret;

	KUNIT_ASSERT_EQ(test, parse_image(test, &p), 0);
	unit->nr_devices = 4;
	ret = iommu_liveupdate_parse_record(&p, VEC_UNIT_LEGACY, &rec);
	KUNIT_EXPECT_EQ(test, ret, 0);
	missing = iommu_liveupdate_parse_missing(&p, VEC_UNIT_LEGACY);
	KUNIT_EXPECT_EQ(test, missing, 2);

	unit->nr_devices = 1;
	ret = iommu_liveupdate_parse_record(&p, VEC_DEVICE_LEGACY_A, &rec);
	KUNIT_EXPECT_EQ(test, ret, 0);
	ret = iommu_liveupdate_parse_record(&p, VEC_DEVICE_LEGACY_B, &rec);
	KUNIT_EXPECT_EQ(test, ret, -EINVAL);
}

static struct kunit_case parse_cases[] = {
	KUNIT_CASE(parse_good),		 KUNIT_CASE(parse_bad_chain),
	KUNIT_CASE(parse_bad_records),	 KUNIT_CASE(parse_dirty),
	KUNIT_CASE(parse_not_preserved), KUNIT_CASE_SLOW(parse_every_byte),
	KUNIT_CASE(parse_counts),	 {},
};

static struct kunit_suite parse_suite = {
	.name = "iommu_liveupdate_parse",
	.init = parse_init,
	.test_cases = parse_cases,
};

kunit_test_suites(&parse_suite);

MODULE_DESCRIPTION("KUnit tests of the parser of IOMMU live update records");
MODULE_LICENSE("GPL");
