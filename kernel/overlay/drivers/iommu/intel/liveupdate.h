/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update of VT-d: what liveupdate.c, the old kernel's side, and
 * liveupdate-restore.c, the new kernel's, offer to the rest of the driver and to
 * each other, and the stubs for kernels without it.
 */
#ifndef __INTEL_IOMMU_LIVEUPDATE_H
#define __INTEL_IOMMU_LIVEUPDATE_H

#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/iommu.h>
#include <linux/types.h>

struct device;
struct device_domain_info;
struct dmar_domain;
struct intel_iommu;
struct iommu_device_ser;
struct iommu_dirty_ops;
struct iommu_domain;
struct iommu_domain_ser;
struct iommu_liveupdate_ops;
struct iommu_pasid_ser;
struct iommu_unit_ser;

/* intel_iommu.flags: found translating on a boot with handed-over memory */
#define VTD_FLAG_LIVE BIT(8)

#ifdef CONFIG_INTEL_IOMMU_LIVEUPDATE

/* liveupdate.c */
extern const struct iommu_liveupdate_ops intel_liveupdate_ops;

bool intel_liveupdate_shutdown(struct intel_iommu *iommu);
int intel_liveupdate_busy(struct intel_iommu *iommu);

/* liveupdate-restore.c */
void intel_liveupdate_alloc_iommu(struct intel_iommu *iommu);
bool intel_liveupdate_live(struct intel_iommu *iommu);
void intel_liveupdate_force_on(void);
bool intel_liveupdate_adopt(struct intel_iommu *iommu);
bool intel_liveupdate_adopted(struct intel_iommu *iommu);
bool intel_liveupdate_adopt_pasid_table(struct device_domain_info *info);
bool intel_liveupdate_probe_finalize(struct device *dev);

/* liveupdate-restore.c, for intel_liveupdate_ops */
int intel_liveupdate_restore_domain(struct device *dev,
				    const struct iommu_domain_ser *ser,
				    struct iommu_domain **domainp);
int intel_liveupdate_attach_restored(struct device *dev,
				     struct iommu_domain *iommu_domain,
				     const struct iommu_device_ser *ser);
int intel_liveupdate_attach_restored_pasid(struct device *dev,
					   struct iommu_domain *iommu_domain,
					   const struct iommu_device_ser *device,
					   const struct iommu_pasid_ser *ser);
void intel_liveupdate_finish_device(struct device *dev,
				    const struct iommu_device_ser *ser);
void intel_liveupdate_block_record(const struct iommu_unit_ser *unit,
				   const struct iommu_device_ser *ser,
				   struct device *dev);
void intel_liveupdate_finish_unit(const struct iommu_unit_ser *ser);

/* replace.c */
int intel_replace(struct iommu_domain *domain, struct device *dev,
		  ioasid_t pasid, struct iommu_domain *old);

/* In iommu.c, for both sides */
struct dmar_domain *intel_liveupdate_domain_alloc(void);
const struct iommu_dirty_ops *intel_liveupdate_dirty_ops(void);
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

static inline int intel_replace(struct iommu_domain *domain, struct device *dev,
				ioasid_t pasid, struct iommu_domain *old)
{
	return -EOPNOTSUPP;
}

#endif /* CONFIG_INTEL_IOMMU_LIVEUPDATE */
#endif /* __INTEL_IOMMU_LIVEUPDATE_H */
