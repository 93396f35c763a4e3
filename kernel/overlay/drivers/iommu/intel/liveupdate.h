/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update of VT-d: what liveupdate.c offers to the rest of the driver, and
 * the stubs for kernels without it.
 */
#ifndef __INTEL_IOMMU_LIVEUPDATE_H
#define __INTEL_IOMMU_LIVEUPDATE_H

#include <linux/bits.h>
#include <linux/types.h>

struct device;
struct device_domain_info;
struct dmar_domain;
struct intel_iommu;
struct iommu_liveupdate_ops;

/* intel_iommu.flags: found translating on a boot with handed-over memory */
#define VTD_FLAG_LIVE BIT(8)

#ifdef CONFIG_INTEL_IOMMU_LIVEUPDATE

extern const struct iommu_liveupdate_ops intel_liveupdate_ops;

void intel_liveupdate_alloc_iommu(struct intel_iommu *iommu);
bool intel_liveupdate_live(struct intel_iommu *iommu);
void intel_liveupdate_force_on(void);
bool intel_liveupdate_adopt(struct intel_iommu *iommu);
bool intel_liveupdate_adopted(struct intel_iommu *iommu);
bool intel_liveupdate_adopt_pasid_table(struct device_domain_info *info);
bool intel_liveupdate_probe_finalize(struct device *dev);
bool intel_liveupdate_shutdown(struct intel_iommu *iommu);
int intel_liveupdate_busy(struct intel_iommu *iommu);

/* In iommu.c, for liveupdate.c */
struct dmar_domain *intel_liveupdate_domain_alloc(void);
struct intel_iommu *intel_liveupdate_lookup(struct device *dev);
struct device *intel_liveupdate_rmrr(struct intel_iommu *iommu, bool relaxable);
void intel_liveupdate_enable_pri(struct device_domain_info *info);

#else

static inline void intel_liveupdate_alloc_iommu(struct intel_iommu *iommu)
{
}

static inline bool intel_liveupdate_live(struct intel_iommu *iommu)
{
	return false;
}

static inline void intel_liveupdate_force_on(void)
{
}

static inline bool intel_liveupdate_adopt(struct intel_iommu *iommu)
{
	return false;
}

static inline bool intel_liveupdate_adopted(struct intel_iommu *iommu)
{
	return false;
}

static inline bool
intel_liveupdate_adopt_pasid_table(struct device_domain_info *info)
{
	return false;
}

static inline bool intel_liveupdate_probe_finalize(struct device *dev)
{
	return false;
}

static inline bool intel_liveupdate_shutdown(struct intel_iommu *iommu)
{
	return false;
}

static inline int intel_liveupdate_busy(struct intel_iommu *iommu)
{
	return 0;
}

#endif /* CONFIG_INTEL_IOMMU_LIVEUPDATE */
#endif /* __INTEL_IOMMU_LIVEUPDATE_H */
