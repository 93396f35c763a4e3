/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The live update calls of iommufd, for building with kernel headers that do
 * not have them (whether the kernel does is found out at run time).
 */
#ifndef FERRY_UAPI_H
#define FERRY_UAPI_H

#include <linux/iommufd.h>
#include <linux/liveupdate.h>
#include <linux/vfio.h>

#ifndef IOMMU_HW_CAP_LIVEUPDATE_DOMAIN
#define IOMMU_HW_CAP_LIVEUPDATE_DOMAIN	(1ULL << 48)
#endif

#ifndef IOMMU_HW_CAP_LIVEUPDATE_PASID
#define IOMMU_HW_CAP_LIVEUPDATE_PASID	(1ULL << 49)
#define IOMMU_HW_CAP_LIVEUPDATE_ATS	(1ULL << 50)
#endif

#ifndef IOMMU_HWPT_LIVEUPDATE
#define IOMMU_HWPT_LIVEUPDATE_UNMARK	(1 << 0)

struct iommu_hwpt_liveupdate {
	__u32 size;
	__u32 hwpt_id;
	__aligned_u64 token;
	__u32 flags;
	__u32 __reserved;
};

#define IOMMU_HWPT_LIVEUPDATE		_IO(IOMMUFD_TYPE, 0xb0)
#endif

#ifndef IOMMU_DEVICE_LIVEUPDATE
#define IOMMU_DEVICE_LIVEUPDATE_UNSET		0
#define IOMMU_DEVICE_LIVEUPDATE_PRESERVE	1

struct iommu_device_liveupdate {
	__u32 size;
	__u32 flags;
	__u32 dev_id;
	__u32 pasid;
	__u32 disposition;
	__u32 __reserved;
};

#define IOMMU_DEVICE_LIVEUPDATE		_IO(IOMMUFD_TYPE, 0xb1)
#endif

#ifndef IOMMU_LIVEUPDATE_OBJECTS
struct iommu_liveupdate_object {
	__u32 type;
	__u32 id;
	__u32 parent_id;
	__u32 pasid;
	__u32 flags;
	__u32 __reserved;
	__aligned_u64 token;
};

struct iommu_liveupdate_objects {
	__u32 size;
	__u32 flags;
	__u32 out_state;
	__u32 count;
	__aligned_u64 objects_uptr;
};

#define IOMMU_LIVEUPDATE_OBJECTS	_IO(IOMMUFD_TYPE, 0xb2)
#endif

#endif /* FERRY_UAPI_H */
