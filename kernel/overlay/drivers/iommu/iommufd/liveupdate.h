/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update of an iommufd: the fields that existing structs carry for it and
 * the tests that existing functions make. The essay is at the top of
 * liveupdate.c. With CONFIG_IOMMUFD_LIVEUPDATE=n the structs are empty and the
 * tests are constant.
 */
#ifndef __IOMMUFD_LIVEUPDATE_PRIVATE_H
#define __IOMMUFD_LIVEUPDATE_PRIVATE_H

#include <linux/errno.h>
#include <linux/iommu-liveupdate.h>
#include <linux/iommu.h>
#include <linux/liveupdate_break.h>
#include <linux/mutex.h>

struct file_operations;
struct iommufd_ctx;
struct iommufd_device;
struct iommufd_device_ser;
struct iommufd_hwpt_paging;
struct iommufd_lu_incoming;
struct iommufd_ser;
struct iommufd_ucmd;

#ifdef CONFIG_IOMMUFD_LIVEUPDATE

/**
 * struct iommufd_lu_ctx - What a context carries
 * @lock: protects the others, marks and tokens of HWPTs, and @restored of both
 *	HWPTs and devices
 * @ser: the root that was handed to LUO, NULL when not preserved
 * @incoming: what the previous kernel handed over, from retrieve to finish
 */
struct iommufd_lu_ctx {
	struct mutex lock; /* see above */
	struct iommufd_ser *ser;
	struct iommufd_lu_incoming *incoming;
};

/**
 * struct iommufd_lu_iopt - What an IOAS carries
 * @immutable: preserved: nothing about it may change. Written with domains_rwsem
 *	and iova_rwsem held for writing
 */
struct iommufd_lu_iopt {
	bool immutable;
};

/**
 * struct iommufd_lu_pages - What an iopt_pages carries
 * @index: position in the table, valid while its iommufd is being preserved
 */
struct iommufd_lu_pages {
	u32 index;
};

/**
 * struct iommufd_lu_hwpt - What a paging HWPT carries
 * @token: given with the mark
 * @record: number of the domain record, when @recorded
 * @marked: to be kept
 * @preserved: kept; written with sw_msi_lock held as well
 * @nr_attached: number of preserved attachments to it, of devices and PASIDs
 * @recorded: the IOMMU core has preserved the domain
 * @restored: from the previous kernel, whose session is not finished
 */
struct iommufd_lu_hwpt {
	u64 token;
	u32 record;
	u32 nr_attached;
	bool marked;
	bool preserved;
	bool recorded;
	bool restored;
};

/**
 * struct iommufd_lu_attach - One attachment of a preserved device
 * @ser: its entry
 * @hwpt_paging: the HWPT it was preserved with
 */
struct iommufd_lu_attach {
	struct iommufd_device_ser *ser;
	struct iommufd_hwpt_paging *hwpt_paging;
};

/**
 * struct iommufd_lu_claim - What a device that is being restored is attached to
 * @domain: without a PASID
 * @pasids: the domains of its PASIDs
 * @nr: number of @pasids
 */
struct iommufd_lu_claim {
	struct iommu_domain *domain;
	struct iommu_liveupdate_attach *pasids;
	unsigned int nr;
};

/**
 * struct iommufd_lu_device - What a device carries
 * @attached: its attachments while preserved, the one without a PASID first.
 *	Written with igroup->lock held
 * @nr: number of @attached
 * @claim: not NULL while it is being restored: it comes from the owner that the
 *	IOMMU core keeps restored devices with, and goes back there
 * @restored: from the previous kernel, whose session is not finished
 */
struct iommufd_lu_device {
	struct iommufd_lu_attach *attached;
	unsigned int nr;
	const struct iommufd_lu_claim *claim;
	bool restored;
};

static inline void iommufd_lu_ctx_init(struct iommufd_lu_ctx *lu)
{
	mutex_init(&lu->lock);
}

static inline void iommufd_lu_ctx_destroy(struct iommufd_lu_ctx *lu)
{
	mutex_destroy(&lu->lock);
}

static inline bool iommufd_lu_immutable(const struct iommufd_lu_iopt *lu)
{
	return READ_ONCE(lu->immutable) && !liveupdate_break("frozen");
}

static inline bool iommufd_lu_hwpt_busy(const struct iommufd_lu_hwpt *lu)
{
	return READ_ONCE(lu->preserved) && !liveupdate_break("frozen");
}

static inline bool iommufd_lu_device_busy(const struct iommufd_lu_device *lu)
{
	return READ_ONCE(lu->attached) && !liveupdate_break("frozen");
}

static inline int iommufd_lu_claim_dma_owner(const struct iommufd_lu_device *lu,
					     struct device *dev, void *owner)
{
	if (lu->claim)
		return iommu_liveupdate_claim_device(dev, owner,
						     lu->claim->domain,
						     lu->claim->pasids,
						     lu->claim->nr);
	return iommu_device_claim_dma_owner(dev, owner);
}

static inline void
iommufd_lu_release_dma_owner(const struct iommufd_lu_device *lu,
			     struct device *dev, void *owner)
{
	if (lu->claim)
		iommu_liveupdate_return_device(dev, owner);
	else
		iommu_device_release_dma_owner(dev);
}

/* A PASID of a device that is being restored goes back to where it was. */
static inline void iommufd_lu_detach_pasid(const struct iommufd_lu_device *lu,
					   struct iommu_domain *domain,
					   struct device *dev, ioasid_t pasid)
{
	if (lu->claim)
		iommu_liveupdate_return_pasid(dev, pasid);
	else
		iommu_detach_device_pasid(domain, dev, pasid);
}

u64 iommufd_lu_capabilities(struct device *dev);

/* What main.c and device.c have to show */
const struct file_operations *iommufd_lu_fops(void);
int iommufd_lu_bind_iommu(struct iommufd_device *idev);

void iommufd_lu_init(void);
void iommufd_lu_exit(void);
int iommufd_hwpt_liveupdate(struct iommufd_ucmd *ucmd);
int iommufd_device_liveupdate(struct iommufd_ucmd *ucmd);
int iommufd_liveupdate_objects(struct iommufd_ucmd *ucmd);

#else

struct iommufd_lu_ctx {};
struct iommufd_lu_iopt {};
struct iommufd_lu_pages {};
struct iommufd_lu_hwpt {};
struct iommufd_lu_device {};

static inline void iommufd_lu_ctx_init(struct iommufd_lu_ctx *lu)
{
}

static inline void iommufd_lu_ctx_destroy(struct iommufd_lu_ctx *lu)
{
}

static inline bool iommufd_lu_immutable(const struct iommufd_lu_iopt *lu)
{
	return false;
}

static inline bool iommufd_lu_hwpt_busy(const struct iommufd_lu_hwpt *lu)
{
	return false;
}

static inline bool iommufd_lu_device_busy(const struct iommufd_lu_device *lu)
{
	return false;
}

static inline int iommufd_lu_claim_dma_owner(const struct iommufd_lu_device *lu,
					     struct device *dev, void *owner)
{
	return iommu_device_claim_dma_owner(dev, owner);
}

static inline void
iommufd_lu_release_dma_owner(const struct iommufd_lu_device *lu,
			     struct device *dev, void *owner)
{
	iommu_device_release_dma_owner(dev);
}

static inline void iommufd_lu_detach_pasid(const struct iommufd_lu_device *lu,
					   struct iommu_domain *domain,
					   struct device *dev, ioasid_t pasid)
{
	iommu_detach_device_pasid(domain, dev, pasid);
}

static inline u64 iommufd_lu_capabilities(struct device *dev)
{
	return 0;
}

static inline void iommufd_lu_init(void)
{
}

static inline void iommufd_lu_exit(void)
{
}

#endif /* CONFIG_IOMMUFD_LIVEUPDATE */
#endif /* __IOMMUFD_LIVEUPDATE_PRIVATE_H */
