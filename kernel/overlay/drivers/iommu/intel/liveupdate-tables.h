/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update of VT-d: how both liveupdate.c and liveupdate-restore.c find the
 * entries of a device in the tables of hardware and compare them with its record.
 * Nothing here writes, and nothing takes a lock: see the essays of the two.
 */
#ifndef __INTEL_IOMMU_LIVEUPDATE_TABLES_H
#define __INTEL_IOMMU_LIVEUPDATE_TABLES_H

#include <linux/kho/abi/iommu.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "iommu.h"
#include "pasid.h"

#define CTX_HALVES 512
#define SM_CTX_WORDS 4
#define LEGACY_CTX_WORDS 2

static inline unsigned int ctx_half(struct intel_iommu *iommu, u8 bus, u8 devfn)
{
	return 2 * bus + (sm_supported(iommu) && devfn >= 0x80);
}

static inline u64 *root_half(struct intel_iommu *iommu, unsigned int half)
{
	struct root_entry *root = &iommu->root_entry[half / 2];

	return half & 1 ? &root->hi : &root->lo;
}

static inline unsigned int ctx_words(struct intel_iommu *iommu)
{
	return sm_supported(iommu) ? SM_CTX_WORDS : LEGACY_CTX_WORDS;
}

static inline u64 *ctx_entry(struct intel_iommu *iommu, u8 bus, u8 devfn)
{
	u64 root = READ_ONCE(*root_half(iommu, ctx_half(iommu, bus, devfn)));
	u64 *table;

	if (!(root & 1))
		return NULL;

	table = phys_to_virt(root & VTD_PAGE_MASK);
	if (sm_supported(iommu))
		devfn &= 0x7f;
	return table + devfn * ctx_words(iommu);
}

static inline u64 *rid_entry(struct intel_iommu *iommu, u16 rid)
{
	return ctx_entry(iommu, PCI_BUS_NUM(rid), rid & 0xff);
}

/* Scalable mode: the entry of any PASID, NULL when there is no table for it */
static inline u64 *ctx_pasid(const u64 *ctx, u32 pasid)
{
	struct pasid_dir_entry *dir = phys_to_virt(ctx[0] & VTD_PAGE_MASK);
	struct pasid_entry *entries;

	entries = get_pasid_table_from_pde(&dir[pasid >> PASID_PDE_SHIFT]);
	return entries ? entries[pasid & PASID_PTE_MASK].val : NULL;
}

static inline u16 ctx_did(const u64 *ctx)
{
	return (ctx[1] >> 8) & 0xffff;
}

static inline u16 pasid_did(const u64 *entry)
{
	return entry[1] & 0xffff;
}

/* What ssads_supported() asks for: SMPWC and SSADS, 11.4.3 */
#define VTD_ECAP_DIRTY (BIT_ULL(48) | BIT_ULL(45))

/* Second Stage Access/Dirty Enable, 9.6 */
#define PASID_SSADE BIT_ULL(9)

/* Does hardware mark in the leaves what is written with this entry? */
static inline bool pasid_tracks_dirty(const u64 *entry)
{
	return entry[0] & PASID_SSADE;
}

static inline bool pasid_differs(const u64 *ctx, u32 pasid, const void *want)
{
	const u64 *entry = ctx_pasid(ctx, pasid);

	return !entry || memcmp(entry, want, sizeof(struct pasid_entry));
}

static inline bool entry_differs(struct intel_iommu *iommu,
				 const struct iommu_device_ser *ser)
{
	const u64 *ctx = rid_entry(iommu, ser->rid);

	if (!ctx || memcmp(ctx, ser->vtd.ctx, ctx_words(iommu) * sizeof(*ctx)))
		return true;
	return ser->vtd.scalable &&
	       pasid_differs(ctx, IOMMU_NO_PASID, ser->vtd.pasid0);
}

static inline bool pasid_entry_differs(struct device_domain_info *info,
				       const struct iommu_pasid_ser *ser)
{
	const u64 *ctx = ctx_entry(info->iommu, info->bus, info->devfn);

	return !ctx || !(ctx[0] & 1) ||
	       pasid_differs(ctx, ser->pasid, ser->vtd.entry);
}

#endif /* __INTEL_IOMMU_LIVEUPDATE_TABLES_H */
