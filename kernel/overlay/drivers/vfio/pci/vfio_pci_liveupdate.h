/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vfio-pci devices that are kept over a live update. See
 * drivers/vfio/pci/vfio_pci_liveupdate.c.
 */
#ifndef VFIO_PCI_LIVEUPDATE_H
#define VFIO_PCI_LIVEUPDATE_H

#include <linux/kho/abi/vfio_pci.h>
#include <linux/pci_liveupdate.h>
#include <linux/vfio_pci_core.h>

#ifdef CONFIG_VFIO_PCI_LIVEUPDATE

int vfio_pci_liveupdate_register(const struct vfio_device_ops *ops,
				 struct module *owner);
void vfio_pci_liveupdate_unregister(void);

void vfio_pci_liveupdate_init_dev(struct vfio_pci_core_device *vdev);
int vfio_pci_liveupdate_enable(struct vfio_pci_core_device *vdev);

/* In vfio_pci_core.c: all BARs that can be */
void vfio_pci_liveupdate_map_bars(struct vfio_pci_core_device *vdev);

void vfio_pci_liveupdate_close(struct vfio_device *core_vdev);
long vfio_pci_liveupdate_ioctl(struct vfio_device *core_vdev, unsigned int cmd,
			       unsigned long arg);
int vfio_pci_liveupdate_feature(struct vfio_device *core_vdev, u32 flags,
				void __user *arg, size_t argsz);
ssize_t vfio_pci_liveupdate_write(struct vfio_device *core_vdev,
				  const char __user *buf, size_t count,
				  loff_t *ppos);

#else

/* The ops of vfio-pci name these calls; there is no gate then, and no kick */
#define vfio_pci_liveupdate_close vfio_pci_core_close_device
#define vfio_pci_liveupdate_ioctl vfio_pci_core_ioctl
#define vfio_pci_liveupdate_feature vfio_pci_core_ioctl_feature
#define vfio_pci_liveupdate_write vfio_pci_core_write

static inline int
vfio_pci_liveupdate_register(const struct vfio_device_ops *ops,
			     struct module *owner)
{
	return 0;
}

static inline void vfio_pci_liveupdate_unregister(void)
{
}

static inline void
vfio_pci_liveupdate_init_dev(struct vfio_pci_core_device *vdev)
{
}

static inline int vfio_pci_liveupdate_enable(struct vfio_pci_core_device *vdev)
{
	return -EBUSY;
}

#endif /* CONFIG_VFIO_PCI_LIVEUPDATE */
#endif /* VFIO_PCI_LIVEUPDATE_H */
