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

/* By the type: as many interrupts as a device of PCI can have */
static inline u32 vfio_pci_ser_max_irqs(u32 irq_type)
{
	switch (irq_type) {
	case VFIO_PCI_SER_IRQ_INTX:
		return 1;
	case VFIO_PCI_SER_IRQ_MSI:
		return VFIO_PCI_SER_MAX_MSI;
	case VFIO_PCI_SER_IRQ_MSIX:
		return VFIO_PCI_SER_MAX_MSIX;
	}
	return 0;
}

/* @ser has the magic; everything else may be anything */
static inline int vfio_pci_ser_check(const struct vfio_pci_ser *ser)
{
	if (ser->version < VFIO_PCI_SER_VERSION_MIN ||
	    ser->version > VFIO_PCI_SER_VERSION ||
	    ser->flags & ~VFIO_PCI_SER_KNOWN)
		return -EOPNOTSUPP;
	if (ser->size < sizeof(*ser) || ser->size > VFIO_PCI_SER_MAX_SIZE ||
	    ser->irq_type > VFIO_PCI_SER_IRQ_MSIX ||
	    ser->irq_count > vfio_pci_ser_max_irqs(ser->irq_type))
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
