/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * "Templated C code" that keeps a page table over a live update. Compiled once
 * for each format, like iommu_pt.h, which includes it.
 *
 * The old kernel walks the tree and preserves every table; what the next
 * kernel cannot learn from the tree itself goes into struct iommu_pt_ser. The
 * new kernel builds a struct pt_iommu over the tree that the hardware is using:
 * it takes over the pages one by one from the top downwards, each before it is
 * read, and writes none of them.
 *
 * No lock is taken. The caller of preserve has made sure that the table is not
 * mutated until it is unpreserved, so two walks see the same tree in the same
 * order and the second can undo the first. Nobody else knows the table while
 * it is restored.
 *
 * The tree is not trusted. A table that is not memory, was not preserved or has
 * another order is refused. As KHO forgets a page that was taken over, a table
 * that is used twice is refused in the same way, so a loop ends at once. The
 * number of tables has to be the recorded one. Leaves are not looked at, and
 * the tables of level 0, which hold nothing else, are not even read.
 *
 * Unpreserve cannot fail. When restore fails the hardware may still be reading
 * the tables: those that were taken over are leaked, and none is freed.
 */
#ifndef __GENERIC_PT_LIVEUPDATE_H
#define __GENERIC_PT_LIVEUPDATE_H

#include <linux/kho/abi/iommu.h>

/* The ABI's name of each format, 0 for those that are not kept */
#define PT_SER_FORMAT_vtdss IOMMU_PT_SER_VTDSS
#define PT_SER_FORMAT_x86_64 IOMMU_PT_SER_X86_64
#define PT_SER_FORMAT_amdv1 IOMMU_PT_SER_AMDV1
#define PT_SER_FORMAT_amdv1_mock IOMMU_PT_SER_AMDV1_MOCK
#define PT_SER_FORMAT_riscv_64 0
#define PT_SER_FORMAT CONCATENATE(PT_SER_FORMAT_, PTPFX_RAW)

#if IS_ENABLED(CONFIG_IOMMU_LIVEUPDATE) && PT_SER_FORMAT

/* Defined in iommu_pt.h, below the place where this is included */
static const struct pt_iommu_ops NS(ops);
static int pt_init_common(struct pt_common *common);
static int pt_iommu_init_domain(struct pt_iommu *iommu_table,
				struct iommu_domain *domain);
static void pt_iommu_zero(struct pt_iommu_table *fmt_table);

/* The numbers of enum pt_features are not ABI */
static const struct {
	u32 ser;
	unsigned int feature;
} NS(ser_features)[] = {
	{ IOMMU_PT_SER_FLUSH_RANGE, BIT(PT_FEAT_FLUSH_RANGE) },
	{ IOMMU_PT_SER_SIGN_EXTEND, BIT(PT_FEAT_SIGN_EXTEND) },
	{ IOMMU_PT_SER_DMA_INCOHERENT, BIT(PT_FEAT_DMA_INCOHERENT) },
	{ IOMMU_PT_SER_DYNAMIC_TOP, BIT(PT_FEAT_DYNAMIC_TOP) },
	{ IOMMU_PT_SER_FLUSH_NO_GAPS, BIT(PT_FEAT_FLUSH_RANGE_NO_GAPS) },
#if PT_SER_FORMAT == IOMMU_PT_SER_VTDSS
	{ IOMMU_PT_SER_FORCE_COHERENCE, BIT(PT_FEAT_VTDSS_FORCE_COHERENCE) },
	{ IOMMU_PT_SER_FORCE_WRITEABLE, BIT(PT_FEAT_VTDSS_FORCE_WRITEABLE) },
#elif PT_SER_FORMAT == IOMMU_PT_SER_X86_64
	{ IOMMU_PT_SER_ENCRYPT_TABLES, BIT(PT_FEAT_X86_64_AMD_ENCRYPT_TABLES) },
#else
	{ IOMMU_PT_SER_FORCE_COHERENCE, BIT(PT_FEAT_AMDV1_FORCE_COHERENCE) },
	{ IOMMU_PT_SER_ENCRYPT_TABLES, BIT(PT_FEAT_AMDV1_ENCRYPT_TABLES) },
#endif
};

enum lu_op { LU_PRESERVE, LU_UNPRESERVE, LU_RESTORE };

struct lu_walk {
	enum lu_op op;
	/* Tables seen */
	u64 count;
	/* Tables there may be, or for LU_UNPRESERVE where to stop */
	u64 limit;
	/* What LU_RESTORE has yet to count */
	struct iommu_pages_uncounted uncounted;
};

/* One table, before it is read. Unpreserve stops the walk with -ERANGE. */
static int lu_do_table(struct pt_common *common, struct lu_walk *walk,
		       phys_addr_t pa, unsigned int order)
{
	struct device *dev;
	void *virt;
	int ret = 0;

	if (walk->count == walk->limit)
		return -ERANGE;

	switch (walk->op) {
	case LU_PRESERVE:
		ret = iommu_pages_preserve(__va(pa));
		break;
	case LU_UNPRESERVE:
		iommu_pages_unpreserve(__va(pa));
		break;
	case LU_RESTORE:
		dev = iommu_from_common(common)->iommu_device;
		virt = iommu_pages_restore_many(&walk->uncounted, pa, order);
		if (!virt)
			return -EFAULT;
		if (pt_feature(common, PT_FEAT_DMA_INCOHERENT))
			ret = iommu_pages_restore_incoherent(virt, dev);
		break;
	}
	if (ret)
		return ret;
	walk->count++;
	return 0;
}

static inline unsigned int lu_lg2_to_order(unsigned int lg2sz)
{
	return lg2sz > PAGE_SHIFT ? lg2sz - PAGE_SHIFT : 0;
}

/*
 * Not for_each_pt_level_entry(): that decodes leaves to skip over contiguous
 * ones, and a decoder may be confused by a leaf that no kernel has written.
 */
static int __lu_walk_tables(struct pt_range *range, void *arg,
			    unsigned int level, struct pt_table_p *table)
{
	struct pt_state pts = pt_init(range, level, table);
	struct pt_state child = pt_init(range, level ? level - 1 : 0, NULL);
	struct lu_walk *walk = arg;
	unsigned int order;
	phys_addr_t pa;
	int ret;

	if (!pt_can_have_table(&pts))
		return 0;

	order = lu_lg2_to_order(pt_num_items_lg2(&child) +
				ilog2(PT_ITEM_WORD_SIZE));
	for (_pt_iter_first(&pts); pts.index < pts.end_index; pts.index++) {
		pt_index_to_va(&pts);
		pts.type = pt_load_entry_raw(&pts);
		if (pts.type != PT_ENTRY_TABLE)
			continue;

		pa = pt_table_pa(&pts);
		ret = lu_do_table(range->common, walk, pa, order);
		if (ret)
			return ret;
		pts.table_lower = __va(pa);
		ret = pt_descend(&pts, arg, __lu_walk_tables);
		if (ret)
			return ret;
	}
	cond_resched();
	return 0;
}

static unsigned int lu_top_order(struct pt_common *common)
{
	unsigned int lg2sz = pt_top_memsize_lg2(common, common->top_of_table);

	return lu_lg2_to_order(lg2sz);
}

/* The walk goes through the tables in the same order each time. */
static int lu_walk_tables(struct pt_common *common, struct lu_walk *walk,
			  phys_addr_t top_pa)
{
	struct pt_range range = pt_all_range(common);
	int ret;

	ret = lu_do_table(common, walk, top_pa, lu_top_order(common));
	if (ret)
		return ret;
	return pt_walk_range(&range, __lu_walk_tables, walk);
}

static int lu_features_to_ser(struct pt_common *common, u32 *features)
{
	/* Follows from max_vasz_lg2 */
	unsigned int left = common->features & ~BIT(PT_FEAT_FULL_VA);
	unsigned int i;

	*features = 0;
	for (i = 0; i != ARRAY_SIZE(NS(ser_features)); i++) {
		if (!(left & NS(ser_features)[i].feature))
			continue;
		left &= ~NS(ser_features)[i].feature;
		*features |= NS(ser_features)[i].ser;
	}
	return left ? -EOPNOTSUPP : 0;
}

static int lu_features_from_ser(struct pt_common *common, u32 features)
{
	unsigned int i;

	common->features = 0;
	for (i = 0; i != ARRAY_SIZE(NS(ser_features)); i++) {
		if (!(features & NS(ser_features)[i].ser))
			continue;
		features &= ~NS(ser_features)[i].ser;
		common->features |= NS(ser_features)[i].feature;
	}
	return features ? -EOPNOTSUPP : 0;
}

static void NS(unpreserve)(struct pt_iommu *iommu_table)
{
	struct pt_common *common = common_from_iommu(iommu_table);
	struct lu_walk walk = { .op = LU_UNPRESERVE, .limit = U64_MAX };
	struct pt_range range = pt_top_range(common);

	lu_walk_tables(common, &walk, virt_to_phys(range.top_table));
}

static int NS(preserve)(struct pt_iommu *iommu_table, struct iommu_pt_ser *ser)
{
	struct pt_common *common = common_from_iommu(iommu_table);
	struct pt_range range = pt_top_range(common);
	struct lu_walk undo = { .op = LU_UNPRESERVE };
	struct lu_walk walk = { .op = LU_PRESERVE, .limit = U64_MAX };
	phys_addr_t top_pa = virt_to_phys(range.top_table);
	u32 features;
	int ret;

	if (PAGE_SHIFT != IOMMU_SER_PAGE_SIZE_LG2)
		return -EOPNOTSUPP;
	ret = lu_features_to_ser(common, &features);
	if (ret)
		return ret;

	ret = lu_walk_tables(common, &walk, top_pa);
	if (ret) {
		undo.limit = walk.count;
		lu_walk_tables(common, &undo, top_pa);
		return ret;
	}

	*ser = (struct iommu_pt_ser){
		.format = PT_SER_FORMAT,
		.features = features,
		.top_pa = top_pa,
		.nr_tables = walk.count,
		.pgsize_bitmap = iommu_table->domain.pgsize_bitmap,
		.top_level = range.top_level,
		.max_vasz_lg2 = common->max_vasz_lg2,
		.max_oasz_lg2 = common->max_oasz_lg2,
		.top_order_lg2 = lu_top_order(common),
	};
	return 0;
}

/* As pt_iommu_init(), but what is wrong is not the fault of the driver */
static int lu_check_features(struct pt_iommu *iommu_table,
			     struct pt_common *common)
{
	const struct pt_iommu_driver_ops *driver_ops = iommu_table->driver_ops;

	if (pt_feature(common, PT_FEAT_DYNAMIC_TOP) &&
	    (!driver_ops || !driver_ops->change_top ||
	     !driver_ops->get_top_lock))
		return -EINVAL;
	if (pt_feature(common, PT_FEAT_SIGN_EXTEND) &&
	    (pt_feature(common, PT_FEAT_FULL_VA) ||
	     pt_feature(common, PT_FEAT_DYNAMIC_TOP)))
		return -EINVAL;
	if (pt_feature(common, PT_FEAT_DMA_INCOHERENT) &&
	    !iommu_table->iommu_device)
		return -EINVAL;
	return 0;
}

/* Everything but the memory of the table, without believing any of @ser */
static int lu_restore_common(struct pt_iommu_table *fmt_table,
			     const struct iommu_pt_ser *ser)
{
	struct pt_iommu *iommu_table = &fmt_table->iommu;
	struct pt_common *common = common_from_iommu(iommu_table);
	int ret;

	if (PAGE_SHIFT != IOMMU_SER_PAGE_SIZE_LG2)
		return -EOPNOTSUPP;
	if (ser->format != PT_SER_FORMAT || ser->reserved ||
	    ser->top_level > PT_MAX_TOP_LEVEL ||
	    ser->max_vasz_lg2 <= PT_GRANULE_LG2SZ ||
	    ser->max_vasz_lg2 > PT_MAX_VA_ADDRESS_LG2 ||
	    ser->max_oasz_lg2 <= PT_GRANULE_LG2SZ ||
	    ser->max_oasz_lg2 > pt_max_oa_lg2(common))
		return -EINVAL;

	ret = lu_features_from_ser(common, ser->features);
	if (ret)
		return ret;
	common->max_vasz_lg2 = ser->max_vasz_lg2;
	common->max_oasz_lg2 = ser->max_oasz_lg2;
	pt_top_set_level(common, ser->top_level);
	ret = pt_init_common(common);
	if (ret)
		return ret;

	ret = lu_check_features(iommu_table, common);
	if (ret)
		return ret;

	if (ser->top_order_lg2 != lu_top_order(common) ||
	    ser->top_pa & ~(u64)PT_TOP_PHYS_MASK ||
	    ser->top_pa & ((PAGE_SIZE << ser->top_order_lg2) - 1))
		return -EINVAL;
	return pt_iommu_init_domain(iommu_table, &iommu_table->domain);
}

#define pt_iommu_restore CONCATENATE(CONCATENATE(pt_iommu_, PTPFX), restore)

/**
 * pt_iommu_restore() - Build a page table over the tables that are in use
 * @fmt_table: Memory for the table. As for init, the caller has set
 *	iommu_device, driver_ops and nid
 * @ser: What the previous kernel wrote about the table, not trusted
 *
 * All tables are taken over from KHO, and none is written. What the table was
 * made for comes from @ser and is never computed again. Only pgsize_bitmap is
 * what this kernel would use.
 *
 * Context: Process context, may sleep.
 *
 * Return: 0, or -ERRNO. After an error the hardware may still use the tables;
 * what was taken over is leaked, and pt_iommu_deinit() does nothing.
 */
int pt_iommu_restore(struct pt_iommu_table *fmt_table,
		     const struct iommu_pt_ser *ser)
{
	struct lu_walk walk = { .op = LU_RESTORE, .limit = ser->nr_tables };
	struct pt_iommu *iommu_table = &fmt_table->iommu;
	struct pt_common *common = common_from_iommu(iommu_table);
	int ret;

	pt_iommu_zero(fmt_table);
	ret = lu_restore_common(fmt_table, ser);
	if (ret)
		return ret;

	pt_top_set(common, __va(ser->top_pa), ser->top_level);
	ret = lu_walk_tables(common, &walk, ser->top_pa);
	iommu_pages_restore_count(&walk.uncounted);
	if (!ret && walk.count != ser->nr_tables)
		ret = -ERANGE;
	if (ret) {
		pt_top_set_level(common, ser->top_level);
		return ret;
	}

	/* Must be last, see pt_iommu_deinit() */
	iommu_table->ops = &NS(ops);
	return 0;
}
EXPORT_SYMBOL_NS_GPL(pt_iommu_restore, "GENERIC_PT_IOMMU");

#define PT_IOMMU_LIVEUPDATE_OPS \
	.preserve = NS(preserve), .unpreserve = NS(unpreserve),

#else

#define PT_IOMMU_LIVEUPDATE_OPS

#endif
#endif /* __GENERIC_PT_LIVEUPDATE_H */
