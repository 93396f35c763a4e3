/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Device files that come back after a live update. See
 * drivers/vfio/liveupdate.c.
 */
#ifndef __VFIO_LIVEUPDATE_H__
#define __VFIO_LIVEUPDATE_H__

#include <linux/errno.h>
#include <linux/types.h>

struct file;
struct vfio_device;
struct vfio_device_file;

#ifdef CONFIG_VFIO_PCI_LIVEUPDATE

struct vfio_device *vfio_liveupdate_device(struct file *file, bool *bound);
struct file *vfio_liveupdate_open(struct vfio_device *device,
				  struct file *iommufd, u32 dev_id,
				  void (*stop)(struct vfio_device *device));
bool vfio_liveupdate_preserved(struct vfio_device *device);
int vfio_liveupdate_rebind(struct vfio_device_file *df, int iommufd,
			   u32 __user *out_devid);

#else

static inline bool vfio_liveupdate_preserved(struct vfio_device *device)
{
	return false;
}

static inline int vfio_liveupdate_rebind(struct vfio_device_file *df,
					 int iommufd, u32 __user *out_devid)
{
	return -EINVAL;
}

#endif /* CONFIG_VFIO_PCI_LIVEUPDATE */
#endif /* __VFIO_LIVEUPDATE_H__ */
