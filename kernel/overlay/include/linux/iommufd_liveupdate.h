/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update of devices bound to an iommufd: what a driver such as vfio-pci
 * calls from its live update callbacks.
 */
#ifndef _LINUX_IOMMUFD_LIVEUPDATE_H
#define _LINUX_IOMMUFD_LIVEUPDATE_H

#include <linux/err.h>
#include <linux/types.h>

struct device;
struct file;
struct ida;
struct iommufd_device;
struct liveupdate_session;

#if IS_ENABLED(CONFIG_IOMMUFD_LIVEUPDATE)

int iommufd_device_preserve(struct liveupdate_session *session,
			    struct iommufd_device *idev, u64 *iommufd_token);
void iommufd_device_unpreserve(struct iommufd_device *idev);
bool iommufd_device_preserved(struct iommufd_device *idev);
int iommufd_device_freeze(struct iommufd_device *idev);
struct iommufd_device *iommufd_device_restore(struct file *iommufd_file,
					      struct device *dev, u32 dev_id,
					      struct ida *pasids);

#else

static inline bool iommufd_device_preserved(struct iommufd_device *idev)
{
	return false;
}

#endif /* CONFIG_IOMMUFD_LIVEUPDATE */
#endif /* _LINUX_IOMMUFD_LIVEUPDATE_H */
