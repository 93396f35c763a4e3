/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What makes the record of a vfio-pci file valid. A pure function of the bytes,
 * so that it is also built for userspace, where tests/parse and tests/fuzz feed
 * it with anything.
 */
#ifndef VFIO_PCI_LIVEUPDATE_SER_H
#define VFIO_PCI_LIVEUPDATE_SER_H

#include <linux/errno.h>
#include <linux/kho/abi/vfio_pci.h>
#include <linux/string.h>

/* @ser has the magic; everything else may be anything */
static inline int vfio_pci_ser_check(const struct vfio_pci_ser *ser)
{
	if (ser->version < VFIO_PCI_SER_VERSION_MIN ||
	    ser->version > VFIO_PCI_SER_VERSION ||
	    ser->flags & ~VFIO_PCI_SER_KNOWN)
		return -EOPNOTSUPP;
	if (ser->size < sizeof(*ser) || ser->size > VFIO_PCI_SER_MAX_SIZE ||
	    ser->irq_type > VFIO_PCI_SER_IRQ_MSIX)
		return -EINVAL;
	if (!ser->optional &&
	    memchr_inv(ser->reserved, 0, sizeof(ser->reserved)))
		return -EINVAL;
	if (ser->config_size != VFIO_PCI_SER_CONFIG_SHORT &&
	    ser->config_size != VFIO_PCI_SER_CONFIG_SIZE)
		return -EINVAL;
	return 0;
}

#endif /* VFIO_PCI_LIVEUPDATE_SER_H */
