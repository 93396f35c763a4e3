/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update inside the IOMMU subsystem: what liveupdate.c, the old kernel's
 * side, liveupdate-restore.c, the new kernel's, iommu.c and the IOMMU drivers
 * share.
 */
#ifndef __IOMMU_LIVEUPDATE_PRIV_H
#define __IOMMU_LIVEUPDATE_PRIV_H

#include <linux/iommu-liveupdate.h>
#include <linux/kho/abi/iommu.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/xarray.h>

struct device;
struct iommu_domain;
struct iommu_group;
struct liveupdate_flb;
struct liveupdate_flb_op_args;

#ifdef CONFIG_IOMMU_LIVEUPDATE

enum iommu_liveupdate_domain_state {
	/* Restored at boot, or will be when its first device is probed */
	IOMMU_LIVEUPDATE_DOMAIN_KEPT,
	/* An iommufd has it */
	IOMMU_LIVEUPDATE_DOMAIN_CLAIMED,
	/* Could not be restored, or was given up */
	IOMMU_LIVEUPDATE_DOMAIN_LOST,
};

/**
 * struct iommu_liveupdate_domain - One domain record
 * @list: in the list of its side, old or new kernel
 * @slot: number of the record
 * @ser: the record
 * @domain: the domain, NULL in the new kernel until its first device is probed
 * @state: new kernel only
 */
struct iommu_liveupdate_domain {
	struct list_head list;
	u32 slot;
	struct iommu_domain_ser *ser;
	struct iommu_domain *domain;
	enum iommu_liveupdate_domain_state state;
};

/**
 * struct iommu_liveupdate_pasid - One PASID record
 * @list: new kernel: among those without a device, until it is found
 * @ser: the record
 * @domain: the domain that the PASID is attached to
 * @attached: new kernel: the driver's books have it
 * @claimed: new kernel: an iommufd has it, from the claim of its device on
 */
struct iommu_liveupdate_pasid {
	struct list_head list;
	struct iommu_pasid_ser *ser;
	struct iommu_liveupdate_domain *domain;
	bool attached;
	bool claimed;
};

enum iommu_liveupdate_device_state {
	/* Old kernel: the record is complete */
	IOMMU_LIVEUPDATE_DEVICE_PRESERVED,
	/* New kernel: the device was not probed yet */
	IOMMU_LIVEUPDATE_DEVICE_WAITING,
	/* Runs on its restored domain, owned by the placeholder */
	IOMMU_LIVEUPDATE_DEVICE_RESTORED,
	/* Runs on its restored domain, owned by an iommufd */
	IOMMU_LIVEUPDATE_DEVICE_CLAIMED,
	/* Blocked; nobody can have it back */
	IOMMU_LIVEUPDATE_DEVICE_LOST,
};

/**
 * struct iommu_liveupdate_device - One device record
 * @list: in the list of its side, old or new kernel
 * @slot: number of the record
 * @ser: the record
 * @unit: record of the IOMMU
 * @ops: operations of the IOMMU driver, NULL until they are known
 * @dev: the device, NULL in the new kernel until it is probed, and then with a
 *	reference
 * @domain: the domain it is attached to without a PASID
 * @pasids: &struct iommu_liveupdate_pasid by PASID. Changed before the device is
 *	visible to others, or with the inner lock held
 * @state: see &enum iommu_liveupdate_device_state
 */
struct iommu_liveupdate_device {
	struct list_head list;
	u32 slot;
	struct iommu_device_ser *ser;
	struct iommu_unit_ser *unit;
	const struct iommu_liveupdate_ops *ops;
	struct device *dev;
	struct iommu_liveupdate_domain *domain;
	struct xarray pasids;
	enum iommu_liveupdate_device_state state;
};

/* The owner of groups between boot and retrieve; never dereferenced */
extern char iommu_liveupdate_placeholder;

/* Both kernels, the outer and the inner lock: see liveupdate.c */
extern struct mutex iommu_liveupdate_op_lock;
extern struct mutex iommu_liveupdate_lock;

/* In liveupdate.c, for liveupdate-restore.c */
extern struct liveupdate_flb iommu_liveupdate_flb;
int iommu_liveupdate_identify(struct device *dev, struct iommu_device_ser *ser);
bool iommu_liveupdate_in_state(struct device *dev,
			       enum iommu_liveupdate_device_state state);

/* In liveupdate-restore.c, for the FLB in liveupdate.c */
int iommu_liveupdate_flb_retrieve(struct liveupdate_flb_op_args *args);
void iommu_liveupdate_flb_finish(struct liveupdate_flb_op_args *args);

/* For IOMMU drivers */
struct iommu_unit_ser *
iommu_liveupdate_incoming_unit(const struct iommu_liveupdate_ops *ops,
			       u64 reg_pa);
const struct iommu_device_ser *
iommu_liveupdate_incoming_device(const struct iommu_unit_ser *unit, u16 rid);
const struct iommu_pasid_ser *
iommu_liveupdate_incoming_pasid(const struct iommu_device_ser *device,
				u32 first, u32 last);
bool iommu_liveupdate_record(struct device *dev, struct iommu_device_ser *ser);

/* For iommu.c */
struct iommu_domain *iommu_liveupdate_restore(struct device *dev);
void iommu_liveupdate_lose(struct device *dev);
void iommu_liveupdate_remove_device(struct device *dev);
bool iommu_liveupdate_device_frozen(struct device *dev);
bool iommu_liveupdate_device_claimed(struct device *dev,
				     struct iommu_domain *domain);
bool iommu_liveupdate_pasid_claimed(struct device *dev, u32 pasid,
				    struct iommu_domain *domain);

/* In iommu.c, for both sides: see liveupdate-group.h */
int iommu_group_liveupdate_check(struct device *dev,
				 struct iommu_domain *domain,
				 const struct iommu_liveupdate_attach *pasids,
				 unsigned int nr);
void iommu_group_liveupdate_lock(struct device *dev);
void iommu_group_liveupdate_unlock(struct device *dev);
int iommu_group_liveupdate_claim(struct device *dev, void *owner,
				 struct iommu_domain *domain);
void iommu_group_liveupdate_return(struct device *dev, void *owner);
void iommu_group_liveupdate_return_pasid(struct device *dev, u32 pasid);
void iommu_group_liveupdate_release(struct device *dev);

#endif /* CONFIG_IOMMU_LIVEUPDATE */
#endif /* __IOMMU_LIVEUPDATE_PRIV_H */
