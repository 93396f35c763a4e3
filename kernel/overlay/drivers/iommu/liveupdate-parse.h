/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parser of what a kernel hands over about its IOMMUs. The same source is
 * built for the kernel, for its unit tests, for the fuzzer and for userspace,
 * where the compiler is told to include tests/parse/kernel-types.h first.
 */
#ifndef __IOMMU_LIVEUPDATE_PARSE_H
#define __IOMMU_LIVEUPDATE_PARSE_H

#ifdef __KERNEL__
#include <linux/array_size.h>
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/sprintf.h>
#include <linux/stddef.h>
#include <linux/string.h>
#include <linux/types.h>
#endif

#include <linux/kho/abi/iommu.h>

/* iommu_parse_error.slot when the fault is not in a record */
#define IOMMU_PARSE_NO_SLOT (~0U)

/**
 * struct iommu_parse_mem - How the parser gets at handed-over memory
 * @ctx: for @map
 * @map: gives @size bytes at @pa, or NULL when that is not memory that was
 *	handed over. @pa is a multiple of the page size and not trusted
 *	otherwise. It may be called again for what was mapped before
 */
struct iommu_parse_mem {
	void *ctx;
	const void *(*map)(void *ctx, u64 pa, u64 size);
};

/**
 * struct iommu_parse_error - Why something was refused
 * @slot: the record, or %IOMMU_PARSE_NO_SLOT
 * @field: name of the field
 * @why: what is wrong with it
 * @value: what is in it
 */
struct iommu_parse_error {
	u32 slot;
	const char *field;
	const char *why;
	u64 value;
};

/**
 * struct iommu_parse - A chain that was found to be sound
 * @mem: how to get at the memory
 * @root_pa: address of the root
 * @root: the root
 * @nr_slots: number of slots, used and free, in the chain
 * @error: why the last call failed
 * @reason: @error as text, see iommu_parse_reason()
 * @chunk: private, the chunk that was used last
 * @chunk_index: private, its position
 * @pasids_slot: private, the device that was asked about last for all its PASIDs
 * @pasids_good: private, the answer
 */
struct iommu_parse {
	struct iommu_parse_mem mem;
	u64 root_pa;
	const struct iommu_ser *root;
	u32 nr_slots;
	struct iommu_parse_error error;
	char reason[80];
	const struct iommu_chunk_ser *chunk;
	u32 chunk_index;
	u32 pasids_slot;
	bool pasids_good;
};

int iommu_liveupdate_parse_root(const struct iommu_parse_mem *mem, u64 root_pa,
				struct iommu_parse *p);
int iommu_liveupdate_parse_record(struct iommu_parse *p, u32 slot,
				  const struct iommu_record_ser **rec);
u32 iommu_liveupdate_parse_missing(struct iommu_parse *p, u32 slot);
const char *iommu_parse_reason(struct iommu_parse *p);

#endif /* __IOMMU_LIVEUPDATE_PARSE_H */
