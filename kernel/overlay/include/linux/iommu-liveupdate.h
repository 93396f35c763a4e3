/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update of IOMMU domains and devices: what the IOMMU core offers to
 * iommufd, what it asks of an IOMMU driver, and the stubs for kernels without
 * it. The essays are at the top of liveupdate.c and liveupdate-restore.c in
 * drivers/iommu/.
 */
#ifndef _LINUX_IOMMU_LIVEUPDATE_H
#define _LINUX_IOMMU_LIVEUPDATE_H

#include <linux/errno.h>
#include <linux/types.h>

struct device;
struct iommu_device;
struct iommu_device_ser;
struct iommu_domain;
struct iommu_domain_ser;
struct iommu_group;
struct iommu_pasid_ser;
struct iommu_unit_ser;
struct liveupdate_file_handler;

/**
 * struct iommu_liveupdate_attach - One PASID of a device
 * @domain: the domain it is attached to
 * @pasid: the PASID, not %IOMMU_NO_PASID
 */
struct iommu_liveupdate_attach {
	struct iommu_domain *domain;
	u32 pasid;
};

/**
 * struct iommu_liveupdate_ops - What an IOMMU driver does for a live update
 *
 * A driver that leaves iommu_ops->liveupdate NULL keeps nothing and every
 * request is refused with -EOPNOTSUPP. The core calls all of them in process
 * context and serialized by its own mutex, with the group mutex of the device
 * held where a device is given, but for @freeze_device. The core owns @head of each record, the
 * identity and the cross references; the driver fills its driver part.
 *
 * @driver: IOMMU_SER_DRIVER_*
 * @keeps_ats: devices are kept with ATS on
 * @preserve_unit: the first device of @iommu is preserved: preserve the
 *	unit's own tables and fill reg_pa, segment and the driver part
 * @unpreserve_unit: undo; cannot fail
 * @preserve_domain: refuse what cannot be kept, then walk the page table
 *	and fill @ser->pt and the required flags
 * @unpreserve_domain: undo; cannot fail
 * @pasid_supported: can PASIDs of @dev be kept? NULL when the driver never does
 * @preserve_device: refuse what cannot be kept, then preserve the device's
 *	own tables and fill the driver part. nr_pasids of @ser says how many PASIDs
 *	will be preserved next; anything else that is attached is refused
 * @unpreserve_device: undo; cannot fail
 * @preserve_pasid: preserve the tables of one more PASID of a preserved device
 *	and fill the driver part
 * @unpreserve_pasid: undo; cannot fail. Called before @unpreserve_device
 * @freeze_device: compare the record with the live entry, -EIO when different
 * @freeze_pasid: the same for a PASID
 * @restore_domain: build a domain over the tables that @ser names; the pages
 *	are taken over from KHO, the hardware is not written. The domain is not
 *	attached. @dev is the first device that uses it
 * @attach_restored: software only: make the driver's books say what the
 *	hardware already does for @dev; the hardware is not written
 * @attach_restored_pasid: the same for one PASID of @dev; undone with the
 *	set_dev_pasid op of the blocked domain, which does write to the hardware
 * @block_record: clear the hardware entries of the device that @ser names, those
 *	of its PASIDs too, and flush them. For records whose device was not
 *	attached; the core has cleared its bus mastering when it can be found, and
 *	then @dev is not NULL. Cannot fail
 * @finish_device: the device is an ordinary one from now on: give it back what the
 *	preserve took from it. May be NULL. Cannot fail
 * @finish_unit: the last record of the unit is released: free what was only
 *	kept to shield the jump. Cannot fail
 */
struct iommu_liveupdate_ops {
	u16 driver;
	bool keeps_ats;
	int (*preserve_unit)(struct iommu_device *iommu,
			     struct iommu_unit_ser *ser);
	void (*unpreserve_unit)(struct iommu_device *iommu,
				struct iommu_unit_ser *ser);
	int (*preserve_domain)(struct iommu_domain *domain,
			       struct iommu_domain_ser *ser);
	void (*unpreserve_domain)(struct iommu_domain *domain,
				  struct iommu_domain_ser *ser);
	bool (*pasid_supported)(struct device *dev);
	int (*preserve_device)(struct device *dev, struct iommu_domain *domain,
			       struct iommu_unit_ser *unit,
			       struct iommu_device_ser *ser);
	void (*unpreserve_device)(struct device *dev,
				  struct iommu_unit_ser *unit,
				  struct iommu_device_ser *ser);
	int (*preserve_pasid)(struct device *dev, u32 pasid,
			      struct iommu_domain *domain,
			      struct iommu_unit_ser *unit,
			      const struct iommu_device_ser *device,
			      struct iommu_pasid_ser *ser);
	void (*unpreserve_pasid)(struct device *dev,
				 struct iommu_unit_ser *unit,
				 struct iommu_pasid_ser *ser);
	int (*freeze_device)(struct device *dev,
			     const struct iommu_device_ser *ser);
	int (*freeze_pasid)(struct device *dev,
			    const struct iommu_pasid_ser *ser);
	int (*restore_domain)(struct device *dev,
			      const struct iommu_domain_ser *ser,
			      struct iommu_domain **domainp);
	int (*attach_restored)(struct device *dev, struct iommu_domain *domain,
			       const struct iommu_device_ser *ser);
	int (*attach_restored_pasid)(struct device *dev,
				     struct iommu_domain *domain,
				     const struct iommu_device_ser *device,
				     const struct iommu_pasid_ser *ser);
	void (*block_record)(const struct iommu_unit_ser *unit,
			     const struct iommu_device_ser *ser,
			     struct device *dev);
	void (*finish_device)(struct device *dev,
			      const struct iommu_device_ser *ser);
	void (*finish_unit)(const struct iommu_unit_ser *unit);
};

#if IS_ENABLED(CONFIG_IOMMU_LIVEUPDATE)

/* For the file handler of iommufd */
int iommu_liveupdate_register(struct liveupdate_file_handler *fh);
void iommu_liveupdate_unregister(struct liveupdate_file_handler *fh);

bool iommu_liveupdate_supported(struct device *dev);
bool iommu_liveupdate_pasid_supported(struct device *dev);
bool iommu_liveupdate_ats_supported(struct device *dev);

/* Old kernel */
int iommu_liveupdate_preserve_domain(struct iommu_domain *domain, u32 *record);
void iommu_liveupdate_unpreserve_domain(struct iommu_domain *domain);
int iommu_liveupdate_preserve_device(struct device *dev,
				     struct iommu_domain *domain,
				     struct iommu_liveupdate_attach *pasids,
				     unsigned int nr);
void iommu_liveupdate_unpreserve_device(struct device *dev);
int iommu_liveupdate_freeze_device(struct device *dev);

/* New kernel */
bool iommu_liveupdate_device_restored(struct device *dev);
struct iommu_domain *iommu_liveupdate_claim_domain(u32 record);
void iommu_liveupdate_return_domain(u32 record);
void iommu_liveupdate_finish_domain(u32 record, bool abandon);
int iommu_liveupdate_claim_device(struct device *dev, void *owner,
				  struct iommu_domain *domain,
				  const struct iommu_liveupdate_attach *pasids,
				  unsigned int nr);
void iommu_liveupdate_return_pasid(struct device *dev, u32 pasid);
void iommu_liveupdate_return_device(struct device *dev, void *owner);
void iommu_liveupdate_abandon_device(struct device *dev);
void iommu_liveupdate_finish_device(struct device *dev);

#else

static inline int iommu_liveupdate_register(struct liveupdate_file_handler *fh)
{
	return -EOPNOTSUPP;
}

static inline void
iommu_liveupdate_unregister(struct liveupdate_file_handler *fh)
{
}

static inline bool iommu_liveupdate_supported(struct device *dev)
{
	return false;
}

static inline bool iommu_liveupdate_pasid_supported(struct device *dev)
{
	return false;
}

static inline bool iommu_liveupdate_ats_supported(struct device *dev)
{
	return false;
}

static inline bool iommu_liveupdate_device_restored(struct device *dev)
{
	return false;
}

#endif /* CONFIG_IOMMU_LIVEUPDATE */
#endif /* _LINUX_IOMMU_LIVEUPDATE_H */
