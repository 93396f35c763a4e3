// SPDX-License-Identifier: GPL-2.0-only
/*
 * Device files that come back after a live update.
 *
 * A driver whose device kept running makes the file of that device here, without
 * a path and without an ioctl: the file is bound to its iommufd and attached, as
 * if userspace had opened the character device, bound and attached it. The order
 * inside is that of a first open, dev_set->lock protects the same fields, and
 * closing the file is the ordinary close.
 *
 * vfio_device_file.restored is written before the file is visible to anybody
 * and only read after that.
 *
 * Until the iommufd gave the device back nothing has happened to it and every
 * error leaves it running. After that an error stops it first, then takes it off
 * its page table.
 */

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/idr.h>
#include <linux/iommufd.h>
#include <linux/iommufd_liveupdate.h>
#include <linux/vfio.h>

#include "liveupdate.h"
#include "vfio.h"

/**
 * vfio_liveupdate_device - The device of a file, if it is a device file
 * @file: Any file
 * @bound: Set to whether the file is bound to an iommufd
 *
 * Return: The device, valid as long as @file is, or NULL when @file is not one
 * that was opened through the character device.
 */
struct vfio_device *vfio_liveupdate_device(struct file *file, bool *bound)
{
	struct vfio_device_file *df = file->private_data;

	if (file->f_op != &vfio_device_fops || df->group)
		return NULL;
	/* Paired with smp_store_release() when the file is bound */
	*bound = smp_load_acquire(&df->access_granted);
	return df->device;
}
EXPORT_SYMBOL_GPL(vfio_liveupdate_device);

static int vfio_liveupdate_first_open(struct vfio_device_file *df,
				      struct file *iommufd, u32 dev_id,
				      void (*stop)(struct vfio_device *device))
{
	struct vfio_device *device = df->device;
	struct iommufd_device *idev;
	int ret;

	lockdep_assert_held(&device->dev_set->lock);

	if (!try_module_get(device->dev->driver->owner))
		return -ENODEV;

	ida_init(&device->pasids);
	idev = iommufd_device_restore(iommufd, device->dev, dev_id,
				      &device->pasids);
	if (IS_ERR(idev)) {
		/* Nothing has happened, so it can be tried again */
		ret = PTR_ERR(idev) == -ENOMEM ? -EAGAIN : PTR_ERR(idev);
		ida_destroy(&device->pasids);
		goto err_module;
	}
	device->iommufd_device = idev;
	device->iommufd_attached = true;
	df->devid = dev_id;

	ret = device->ops->open_device(device);
	if (ret)
		goto err_stop;
	return 0;

err_stop:
	stop(device);
	vfio_iommufd_physical_unbind(device);
err_module:
	module_put(device->dev->driver->owner);
	return ret;
}

static int vfio_liveupdate_bind(struct vfio_device_file *df,
				struct file *iommufd, u32 dev_id,
				void (*stop)(struct vfio_device *device))
{
	struct vfio_device *device = df->device;
	struct iommufd_ctx *ictx;
	int ret;

	lockdep_assert_held(&device->dev_set->lock);

	if (device->open_count)
		return -EBUSY;
	ictx = iommufd_ctx_from_file(iommufd);
	if (IS_ERR(ictx))
		return PTR_ERR(ictx);

	df->iommufd = ictx;
	device->open_count++;
	ret = vfio_liveupdate_first_open(df, iommufd, dev_id, stop);
	if (ret) {
		device->open_count--;
		df->iommufd = NULL;
		iommufd_ctx_put(ictx);
		return ret;
	}

	df->restored = true;
	device->cdev_opened = true;
	/* Paired with smp_load_acquire() in vfio_device_fops */
	smp_store_release(&df->access_granted, true);
	return 0;
}

/**
 * vfio_liveupdate_open - Make the file of a device that kept running
 * @device: The device, with a reference on its registration that this consumes
 * @iommufd: The iommufd it is to be bound to
 * @dev_id: Its id there
 * @stop: Stops the device, called before it is taken off its page table again
 *
 * The driver's open_device op is called with the device bound and attached.
 *
 * Context: Process context, may sleep.
 * Return: The file or an ERR_PTR: -EAGAIN when there is no memory or the group is
 * in use and nothing has happened yet, -EBUSY when the device is in use.
 */
struct file *vfio_liveupdate_open(struct vfio_device *device,
				  struct file *iommufd, u32 dev_id,
				  void (*stop)(struct vfio_device *device))
{
	struct vfio_device_file *df;
	struct file *file;
	int ret;

	df = vfio_allocate_device_file(device);
	if (IS_ERR(df)) {
		vfio_device_put_registration(device);
		return ERR_PTR(-EAGAIN);
	}
	file = anon_inode_getfile_fmode("[vfio-device]", &vfio_device_fops, df,
					O_RDWR, FMODE_PREAD | FMODE_PWRITE);
	if (IS_ERR(file)) {
		kfree(df);
		vfio_device_put_registration(device);
		return ERR_PTR(-EAGAIN);
	}
	/* The same address space for all mappings of the device's BARs */
	file->f_mapping = device->inode->i_mapping;

	/* From here on the reference and df go with the file */
	ret = vfio_device_block_group(device);
	if (ret) {
		ret = -EAGAIN;
		goto err_file;
	}
	mutex_lock(&device->dev_set->lock);
	ret = vfio_liveupdate_bind(df, iommufd, dev_id, stop);
	mutex_unlock(&device->dev_set->lock);
	if (ret)
		goto err_unblock;
	return file;

err_unblock:
	vfio_device_unblock_group(device);
err_file:
	fput(file);
	return ERR_PTR(ret);
}
EXPORT_SYMBOL_GPL(vfio_liveupdate_open);

/**
 * vfio_liveupdate_preserved - May the device not be attached or detached?
 * @device: The device
 *
 * Return: true while the device is preserved.
 */
bool vfio_liveupdate_preserved(struct vfio_device *device)
{
	lockdep_assert_held(&device->dev_set->lock);

	return device->iommufd_device &&
	       iommufd_device_preserved(device->iommufd_device);
}

/**
 * vfio_liveupdate_rebind - VFIO_DEVICE_BIND_IOMMUFD of a file that is bound
 * @df: The file
 * @iommufd: File descriptor of an iommufd
 * @out_devid: Where userspace wants the device id
 *
 * A file that came back after a live update is bound already. To bind it to the
 * same iommufd again tells the device id, so that userspace need not know.
 *
 * Return: 0; -EINVAL when the file did not come back that way; -EPERM when it is
 * bound to another iommufd; -EBADF or -EBADFD when @iommufd is not one.
 */
int vfio_liveupdate_rebind(struct vfio_device_file *df, int iommufd,
			   u32 __user *out_devid)
{
	struct iommufd_ctx *ictx;
	bool same;

	lockdep_assert_held(&df->device->dev_set->lock);

	if (!df->restored)
		return -EINVAL;
	ictx = iommufd_ctx_from_fd(iommufd);
	if (IS_ERR(ictx))
		return PTR_ERR(ictx);
	same = ictx == df->iommufd;
	iommufd_ctx_put(ictx);
	if (!same)
		return -EPERM;
	return put_user(df->devid, out_devid);
}
