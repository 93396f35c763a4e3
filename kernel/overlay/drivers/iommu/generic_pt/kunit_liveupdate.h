/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tests of live update of page tables, built once for each format. Included
 * after kunit_iommu_pt.h, whose table of a test, priv->fmt_table, is what is
 * kept here.
 *
 * There is only one kernel. The jump is played: what would be lost is taken
 * from each page of the table, and KHO's mark is put on it as KHO does in early
 * boot. Whatever a test does, each page has one owner at its end: the table,
 * which the suite's exit frees, or release_pages(). That exit also finds leaks,
 * which needs a kernel without SMP, as the base's own suites do.
 */
#ifndef __GENERIC_PT_KUNIT_LIVEUPDATE_H
#define __GENERIC_PT_KUNIT_LIVEUPDATE_H

#if IS_ENABLED(CONFIG_IOMMU_LIVEUPDATE)

#include <kunit/static_stub.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/iommu.h>
#include <linux/kho_query.h>

#define pt_iommu_restore CONCATENATE(CONCATENATE(pt_iommu_, PTPFX), restore)

/* KHO's mark of an order-0 folio, see kho_preserved_memory_reserve() */
#define LU_KHO_MARK (0x4b484f50UL << 32)

enum { LU_MAX_TABLES = 64, LU_MAX_MAPS = 8 };

struct lu_tables {
	unsigned int nr;
	phys_addr_t pa[LU_MAX_TABLES];
	/* The first entry of the tree that points to a table */
	u64 *entry;
};

struct lu_map {
	pt_vaddr_t va;
	pt_oaddr_t oa;
};

static int __lu_collect(struct pt_range *range, void *arg, unsigned int level,
			struct pt_table_p *table)
{
	struct pt_state pts = pt_init(range, level, table);
	struct lu_tables *tables = arg;
	int ret;

	if (tables->nr == LU_MAX_TABLES)
		return -E2BIG;
	tables->pa[tables->nr++] = virt_to_phys(table);
	if (!pt_can_have_table(&pts))
		return 0;
	for_each_pt_level_entry(&pts) {
		if (pts.type != PT_ENTRY_TABLE)
			continue;
		if (!tables->entry)
			tables->entry = pt_cur_table(&pts, u64) + pts.index;
		ret = pt_descend(&pts, arg, __lu_collect);
		if (ret)
			return ret;
	}
	return 0;
}

static void lu_collect(struct kunit *test, struct lu_tables *tables)
{
	struct kunit_iommu_priv *priv = test->priv;
	struct pt_range range = pt_all_range(priv->common);

	memset(tables, 0, sizeof(*tables));
	KUNIT_ASSERT_NO_ERRNO(test,
			      pt_walk_range(&range, __lu_collect, tables));
	KUNIT_ASSERT_NOT_NULL(test, tables->entry);
	KUNIT_ASSERT_GT(test, tables->nr, 2);
}

/* Map pages that are far from each other, in all parts of the address space. */
static unsigned int lu_map_some(struct kunit *test, struct lu_map *maps)
{
	struct kunit_iommu_priv *priv = test->priv;
	struct pt_range lower = pt_top_range(priv->common);
	struct pt_range upper = pt_upper_range(priv->common);
	pt_vaddr_t last_page = lower.last_va - priv->smallest_pgsz + 1;
	unsigned int i, nr = 0;

	maps[nr++].va = lower.va + priv->smallest_pgsz;
	maps[nr++].va = lower.va + SZ_16M;
	maps[nr++].va = lower.va + (last_page - lower.va) / 2 + 1;
	maps[nr++].va = last_page;
	if (pt_feature(priv->common, PT_FEAT_SIGN_EXTEND)) {
		maps[nr++].va = upper.va;
		maps[nr++].va = upper.last_va - priv->smallest_pgsz + 1;
	}
	/* This gets the table another top */
	if (pt_feature(priv->common, PT_FEAT_DYNAMIC_TOP) &&
	    priv->common->max_vasz_lg2 > lower.max_vasz_lg2)
		maps[nr++].va = lower.last_va + 1;

	for (i = 0; i < nr; i++) {
		maps[i].va = ALIGN_DOWN(maps[i].va, priv->smallest_pgsz);
		maps[i].oa = (i + 1) * (pt_oaddr_t)SZ_1M;
		do_map(test, maps[i].va, maps[i].oa, priv->smallest_pgsz);
	}
	return nr;
}

static void lu_check_maps(struct kunit *test, const struct lu_map *maps,
			  unsigned int nr)
{
	struct kunit_iommu_priv *priv = test->priv;
	unsigned int i;

	for (i = 0; i < nr; i++)
		KUNIT_EXPECT_EQ(test,
				iommu_iova_to_phys(&priv->domain, maps[i].va),
				maps[i].oa);
	KUNIT_EXPECT_EQ(test, count_valids(test) > 0, nr > 0);
}

/* What early boot of the new kernel makes of a preserved page */
static void lu_hide_page(phys_addr_t pa)
{
	struct folio *folio = virt_to_folio(__va(pa));
	struct page *page = folio_page(folio, 0);

	mod_node_page_state(folio_pgdat(folio), NR_IOMMU_PAGES, -1);
	lruvec_stat_mod_folio(folio, NR_SECONDARY_PAGETABLE, -1);
	folio_ioptdesc(folio)->incoherent = false;
	set_page_count(page, 0);
	adjust_managed_page_count(page, -1);
	set_page_private(page, LU_KHO_MARK);
}

/* Also undoes what a failed restore took over */
static void lu_hide_pages(const struct lu_tables *tables)
{
	unsigned int i;

	for (i = 0; i < tables->nr; i++)
		if (page_private(phys_to_page(tables->pa[i])) < LU_KHO_MARK)
			lu_hide_page(tables->pa[i]);
}

static void lu_jump(struct kunit *test, const struct lu_tables *tables)
{
	struct kunit_iommu_priv *priv = test->priv;

	/* The old kernel's KHO, so that the pages can be freed some day */
	priv->iommu->ops->unpreserve(priv->iommu);
	lu_hide_pages(tables);
	priv->iommu->ops = NULL;
}

static void lu_release_pages(const struct lu_tables *tables)
{
	unsigned int i;

	for (i = 0; i < tables->nr; i++)
		if (kho_folio_preserved(tables->pa[i], 0))
			iommu_free_pages(iommu_pages_restore(tables->pa[i], 0));
		else
			iommu_free_pages(__va(tables->pa[i]));
}

static void lu_need_kho(struct kunit *test)
{
	if (!kho_is_enabled())
		kunit_skip(test, "needs kho=on");
}

static void lu_check_ser(struct kunit *test, const struct iommu_pt_ser *ser,
			 unsigned int nr_tables)
{
	struct kunit_iommu_priv *priv = test->priv;
	struct pt_range range = pt_top_range(priv->common);

	KUNIT_EXPECT_NE(test, ser->format, 0);
	KUNIT_EXPECT_EQ(test, ser->top_pa, virt_to_phys(range.top_table));
	KUNIT_EXPECT_EQ(test, ser->nr_tables, nr_tables);
	KUNIT_EXPECT_EQ(test, ser->pgsize_bitmap, priv->domain.pgsize_bitmap);
	KUNIT_EXPECT_EQ(test, ser->top_level, range.top_level);
	KUNIT_EXPECT_EQ(test, ser->max_vasz_lg2, priv->common->max_vasz_lg2);
	KUNIT_EXPECT_EQ(test, ser->max_oasz_lg2, priv->common->max_oasz_lg2);
	KUNIT_EXPECT_EQ(test, ser->top_order_lg2, 0);
	KUNIT_EXPECT_EQ(test, ser->reserved, 0);
}

/* The same table is there after the jump, and it goes on to work. */
static void test_lu_restore(struct kunit *test)
{
	struct kunit_iommu_priv *priv = test->priv;
	struct lu_map maps[LU_MAX_MAPS];
	struct iommu_pt_ser ser, again;
	struct lu_tables tables;
	struct pt_common before;
	bool incoherent = pt_feature(priv->common, PT_FEAT_DMA_INCOHERENT);
	struct ioptdesc *iopt;
	unsigned int nr, i;

	lu_need_kho(test);
	nr = lu_map_some(test, maps);
	lu_collect(test, &tables);
	before = *priv->common;

	KUNIT_ASSERT_NO_ERRNO(test,
			      priv->iommu->ops->preserve(priv->iommu, &ser));
	lu_check_ser(test, &ser, tables.nr);
	lu_jump(test, &tables);
	KUNIT_ASSERT_NO_ERRNO(test, pt_iommu_restore(&priv->fmt_table, &ser));

	KUNIT_EXPECT_MEMEQ(test, priv->common, &before, sizeof(before));
	KUNIT_EXPECT_EQ(test, priv->domain.pgsize_bitmap, ser.pgsize_bitmap);
	for (i = 0; i < tables.nr; i++) {
		iopt = virt_to_ioptdesc(__va(tables.pa[i]));
		KUNIT_EXPECT_EQ(test, iopt->incoherent, incoherent);
	}
	lu_check_maps(test, maps, nr);

	/* A second live update */
	KUNIT_ASSERT_NO_ERRNO(test,
			      priv->iommu->ops->preserve(priv->iommu, &again));
	KUNIT_EXPECT_MEMEQ(test, &again, &ser, sizeof(ser));
	priv->iommu->ops->unpreserve(priv->iommu);

	do_unmap(test, maps[0].va, priv->smallest_pgsz);
	do_map(test, maps[0].va, maps[0].oa, priv->smallest_pgsz);
	lu_check_maps(test, maps, nr);
	for (i = 0; i < nr; i++)
		do_unmap(test, maps[i].va, priv->smallest_pgsz);
	KUNIT_EXPECT_EQ(test, count_valids(test), 0);
}

/* Leaves in the order of the walk */
struct lu_leaves {
	bool write;
	unsigned int nr;
	u32 dirty;
};

static int __lu_dirty(struct pt_range *range, void *arg, unsigned int level,
		      struct pt_table_p *table)
{
	struct pt_state pts = pt_init(range, level, table);
	struct lu_leaves *leaves = arg;
	int ret;

	for_each_pt_level_entry(&pts) {
		if (pts.type == PT_ENTRY_TABLE) {
			ret = pt_descend(&pts, arg, __lu_dirty);
			if (ret)
				return ret;
		}
		if (pts.type != PT_ENTRY_OA)
			continue;
		if (leaves->write) {
			pt_entry_make_write_clean(&pts);
			pt_load_entry(&pts);
		}
		if (leaves->write && leaves->nr % 2 &&
		    !pt_entry_make_write_dirty(&pts))
			return -EAGAIN;
		if (pt_entry_is_write_dirty(&pts))
			leaves->dirty |= BIT(leaves->nr);
		leaves->nr++;
	}
	return 0;
}

/* What hardware has marked as written is still marked, and nothing else is. */
static void test_lu_dirty(struct kunit *test)
{
	struct kunit_iommu_priv *priv = test->priv;
	struct lu_leaves before = { .write = true }, after = {};
	struct lu_map maps[LU_MAX_MAPS];
	struct lu_tables tables;
	struct iommu_pt_ser ser;
	struct pt_range range;
	unsigned int nr;

	lu_need_kho(test);
	if (!pt_dirty_supported(priv->common))
		kunit_skip(test, "the format does not track");
	nr = lu_map_some(test, maps);
	lu_collect(test, &tables);
	range = pt_all_range(priv->common);
	KUNIT_ASSERT_NO_ERRNO(test, pt_walk_range(&range, __lu_dirty, &before));
	KUNIT_EXPECT_EQ(test, before.nr, nr);
	KUNIT_EXPECT_EQ(test, before.dirty, 0xaa & (BIT(nr) - 1));

	KUNIT_ASSERT_NO_ERRNO(test,
			      priv->iommu->ops->preserve(priv->iommu, &ser));
	lu_jump(test, &tables);
	KUNIT_ASSERT_NO_ERRNO(test, pt_iommu_restore(&priv->fmt_table, &ser));

	range = pt_all_range(priv->common);
	KUNIT_ASSERT_NO_ERRNO(test, pt_walk_range(&range, __lu_dirty, &after));
	KUNIT_EXPECT_EQ(test, after.nr, before.nr);
	KUNIT_EXPECT_EQ(test, after.dirty, before.dirty);
}

/* An empty table is kept as well. */
static void test_lu_empty(struct kunit *test)
{
	struct kunit_iommu_priv *priv = test->priv;
	struct pt_range range = pt_top_range(priv->common);
	struct lu_tables tables = {
		.nr = 1,
		.pa = { virt_to_phys(range.top_table) },
	};
	struct iommu_pt_ser ser;

	lu_need_kho(test);
	KUNIT_ASSERT_NO_ERRNO(test,
			      priv->iommu->ops->preserve(priv->iommu, &ser));
	lu_check_ser(test, &ser, 1);
	lu_jump(test, &tables);
	KUNIT_ASSERT_NO_ERRNO(test, pt_iommu_restore(&priv->fmt_table, &ser));
	KUNIT_EXPECT_EQ(test, count_valids(test), 0);
}

static struct lu_fake {
	unsigned int calls;
	unsigned int fail_at;
	unsigned int unknown;
	struct lu_tables tables;
} lu_fake;

static int lu_fake_preserve(void *virt)
{
	struct lu_tables *tables = &lu_fake.tables;

	if (lu_fake.calls++ == lu_fake.fail_at || tables->nr == LU_MAX_TABLES)
		return -ENOMEM;
	tables->pa[tables->nr++] = virt_to_phys(virt);
	return 0;
}

static void lu_fake_unpreserve(void *virt)
{
	struct lu_tables *tables = &lu_fake.tables;
	unsigned int i;

	for (i = 0; i < tables->nr; i++) {
		if (tables->pa[i] != virt_to_phys(virt))
			continue;
		tables->pa[i] = tables->pa[--tables->nr];
		return;
	}
	lu_fake.unknown++;
}

/* A preserve that fails anywhere leaves nothing behind. */
static void test_lu_preserve_fails(struct kunit *test)
{
	struct kunit_iommu_priv *priv = test->priv;
	struct lu_map maps[LU_MAX_MAPS];
	struct iommu_pt_ser ser, before;
	struct lu_tables tables;
	unsigned int i, j;

	lu_map_some(test, maps);
	lu_collect(test, &tables);
	kunit_activate_static_stub(test, iommu_pages_preserve,
				   lu_fake_preserve);
	kunit_activate_static_stub(test, iommu_pages_unpreserve,
				   lu_fake_unpreserve);
	memset(&before, 0xa5, sizeof(before));
	for (i = 0; i < tables.nr; i++) {
		ser = before;
		lu_fake = (struct lu_fake){ .fail_at = i };
		KUNIT_EXPECT_EQ(test,
				priv->iommu->ops->preserve(priv->iommu, &ser),
				-ENOMEM);
		KUNIT_EXPECT_EQ(test, lu_fake.calls, i + 1);
		KUNIT_EXPECT_EQ(test, lu_fake.tables.nr, 0);
		KUNIT_EXPECT_EQ(test, lu_fake.unknown, 0);
		KUNIT_EXPECT_MEMEQ(test, &ser, &before, sizeof(ser));
	}

	/* And one that does not fail preserves each table once. */
	lu_fake = (struct lu_fake){ .fail_at = UINT_MAX };
	KUNIT_EXPECT_EQ(test, priv->iommu->ops->preserve(priv->iommu, &ser), 0);
	KUNIT_EXPECT_EQ(test, lu_fake.tables.nr, tables.nr);
	for (i = 0; i < tables.nr; i++) {
		for (j = 0; j < lu_fake.tables.nr; j++)
			if (lu_fake.tables.pa[j] == tables.pa[i])
				break;
		KUNIT_EXPECT_LT(test, j, lu_fake.tables.nr);
	}
	priv->iommu->ops->unpreserve(priv->iommu);
	KUNIT_EXPECT_EQ(test, lu_fake.tables.nr, 0);
	KUNIT_EXPECT_EQ(test, lu_fake.unknown, 0);
}

/* What the ABI has no name for is refused before anything is preserved. */
static void test_lu_unknown_feature(struct kunit *test)
{
	struct kunit_iommu_priv *priv = test->priv;
	struct iommu_pt_ser ser;

	kunit_activate_static_stub(test, iommu_pages_preserve,
				   lu_fake_preserve);
	lu_fake = (struct lu_fake){ .fail_at = UINT_MAX };
	priv->common->features |= BIT(31);
	KUNIT_EXPECT_EQ(test, priv->iommu->ops->preserve(priv->iommu, &ser),
			-EOPNOTSUPP);
	KUNIT_EXPECT_EQ(test, lu_fake.calls, 0);
	priv->common->features &= ~BIT(31);
}

/* A restore that has to be refused, and is, without a warning */
static void lu_refused(struct kunit *test, const struct lu_tables *tables,
		       const struct iommu_pt_ser *ser, const char *why)
{
	struct kunit_iommu_priv *priv = test->priv;
	bool warned = test_taint(TAINT_WARN);

	KUNIT_EXPECT_LT_MSG(test, pt_iommu_restore(&priv->fmt_table, ser), 0,
			    "%s", why);
	KUNIT_EXPECT_NULL_MSG(test, priv->iommu->ops, "%s", why);
	KUNIT_EXPECT_EQ_MSG(test, test_taint(TAINT_WARN), warned, "%s", why);
	lu_hide_pages(tables);
}

#define LU_REFUSED(test, tables, ser, member, new)                  \
	do {                                                        \
		struct iommu_pt_ser bad = *(ser);                   \
		bad.member = new;                                   \
		lu_refused(test, tables, &bad, #member " = " #new); \
	} while (0)

/* A record that does not fit the format or the tables */
static void test_lu_bad_record(struct kunit *test)
{
	struct kunit_iommu_priv *priv = test->priv;
	struct lu_map maps[LU_MAX_MAPS];
	struct lu_tables tables;
	struct iommu_pt_ser ser;
	unsigned int nr;

	lu_need_kho(test);
	nr = lu_map_some(test, maps);
	lu_collect(test, &tables);
	KUNIT_ASSERT_NO_ERRNO(test,
			      priv->iommu->ops->preserve(priv->iommu, &ser));
	lu_jump(test, &tables);

	LU_REFUSED(test, &tables, &ser, format, 0);
	LU_REFUSED(test, &tables, &ser, format, ser.format + 1);
	LU_REFUSED(test, &tables, &ser, features, ser.features | 0x80000000);
	LU_REFUSED(test, &tables, &ser, features, ~0U);
	LU_REFUSED(test, &tables, &ser, top_pa, 0);
	LU_REFUSED(test, &tables, &ser, top_pa, ser.top_pa + 8);
	LU_REFUSED(test, &tables, &ser, top_pa, 1ULL << 45);
	LU_REFUSED(test, &tables, &ser, top_pa, 1ULL << 63);
	LU_REFUSED(test, &tables, &ser, top_pa, ~0xfffULL);
	LU_REFUSED(test, &tables, &ser, nr_tables, 0);
	LU_REFUSED(test, &tables, &ser, nr_tables, 1);
	LU_REFUSED(test, &tables, &ser, nr_tables, ser.nr_tables - 1);
	LU_REFUSED(test, &tables, &ser, nr_tables, ser.nr_tables + 1);
	LU_REFUSED(test, &tables, &ser, nr_tables, ~0ULL);
	LU_REFUSED(test, &tables, &ser, top_level, PT_MAX_TOP_LEVEL + 1);
	LU_REFUSED(test, &tables, &ser, top_level, 255);
	LU_REFUSED(test, &tables, &ser, top_level, 0);
	LU_REFUSED(test, &tables, &ser, max_vasz_lg2, 0);
	LU_REFUSED(test, &tables, &ser, max_vasz_lg2, 65);
	LU_REFUSED(test, &tables, &ser, max_vasz_lg2, 255);
	LU_REFUSED(test, &tables, &ser, max_oasz_lg2, 0);
	LU_REFUSED(test, &tables, &ser, max_oasz_lg2, 255);
	LU_REFUSED(test, &tables, &ser, top_order_lg2, 1);
	LU_REFUSED(test, &tables, &ser, top_order_lg2, 255);
	LU_REFUSED(test, &tables, &ser, reserved, 1);

	KUNIT_EXPECT_EQ(test, pt_iommu_restore(&priv->fmt_table, &ser), 0);
	if (priv->iommu->ops)
		lu_check_maps(test, maps, nr);
	else
		lu_release_pages(&tables);
}

static u64 lu_entry_to(u64 entry, phys_addr_t from, phys_addr_t to)
{
	return entry - ((from >> PT_GRANULE_LG2SZ) << 12) +
	       ((to >> PT_GRANULE_LG2SZ) << 12);
}

/* An entry that does not point to a table that was preserved */
static void test_lu_bad_entry(struct kunit *test)
{
	struct kunit_iommu_priv *priv = test->priv;
	struct lu_map maps[LU_MAX_MAPS];
	struct lu_tables tables;
	struct iommu_pt_ser ser;
	unsigned int nr;
	void *other;
	u64 good;

	lu_need_kho(test);
	nr = lu_map_some(test, maps);
	lu_collect(test, &tables);
	other = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, other);
	KUNIT_ASSERT_NO_ERRNO(test,
			      priv->iommu->ops->preserve(priv->iommu, &ser));
	lu_jump(test, &tables);

	/* tables.pa[1] is the table that the entry points to */
	good = *tables.entry;
	*tables.entry = lu_entry_to(good, tables.pa[1], tables.pa[0]);
	lu_refused(test, &tables, &ser, "loop");
	*tables.entry =
		lu_entry_to(good, tables.pa[1], tables.pa[tables.nr - 1]);
	lu_refused(test, &tables, &ser, "used twice");
	*tables.entry = lu_entry_to(good, tables.pa[1], 1ULL << 45);
	lu_refused(test, &tables, &ser, "no memory");
	*tables.entry = lu_entry_to(good, tables.pa[1], virt_to_phys(other));
	lu_refused(test, &tables, &ser, "not preserved");
	*tables.entry = lu_entry_to(good, tables.pa[1], 0);
	lu_refused(test, &tables, &ser, "page 0");
	*tables.entry = 0;
	lu_refused(test, &tables, &ser, "no entry");
	*tables.entry = good;

	/* The mark of another order */
	set_page_private(phys_to_page(tables.pa[1]), LU_KHO_MARK | 1);
	lu_refused(test, &tables, &ser, "wrong order");
	set_page_private(phys_to_page(tables.pa[1]), LU_KHO_MARK);

	KUNIT_EXPECT_EQ(test, pt_iommu_restore(&priv->fmt_table, &ser), 0);
	if (priv->iommu->ops)
		lu_check_maps(test, maps, nr);
	else
		lu_release_pages(&tables);
}

/* The base's suites switch on every feature, known to the format or not. */
static int lu_kunit_init(struct kunit *test)
{
	unsigned int keep;
	struct kunit_iommu_priv *priv;
	int ret;

	ret = pt_kunit_iommu_init(test);
	if (ret)
		return ret;
	priv = test->priv;
#if IS_ENABLED(CONFIG_DEBUG_GENERIC_PT)
	keep = PT_ORIG_SUPPORTED_FEATURES;
#else
	keep = PT_SUPPORTED_FEATURES;
#endif
	/* Follows from the size, and no configuration here is large enough */
	keep &= ~BIT(PT_FEAT_FULL_VA);
	if (pt_top_range(priv->common).max_vasz_lg2 <
	    priv->common->max_vasz_lg2)
		keep |= BIT(PT_FEAT_DYNAMIC_TOP);
	priv->common->features &= keep;
	return 0;
}

static struct kunit_case lu_test_cases[] = {
	KUNIT_CASE_FMT(test_lu_restore),
	KUNIT_CASE_FMT(test_lu_dirty),
	KUNIT_CASE_FMT(test_lu_empty),
	KUNIT_CASE_FMT(test_lu_preserve_fails),
	KUNIT_CASE_FMT(test_lu_unknown_feature),
	KUNIT_CASE_FMT(test_lu_bad_record),
	KUNIT_CASE_FMT(test_lu_bad_entry),
	{},
};

static struct kunit_suite NS(lu_suite) = {
	.name = __stringify(NS(liveupdate)),
	.init = lu_kunit_init,
	.exit = pt_kunit_iommu_exit,
	.test_cases = lu_test_cases,
};

kunit_test_suites(&NS(lu_suite));

#endif /* CONFIG_IOMMU_LIVEUPDATE */
#endif /* __GENERIC_PT_KUNIT_LIVEUPDATE_H */
