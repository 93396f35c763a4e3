/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_KHO_ABI_VFIO_PCI_H
#define _LINUX_KHO_ABI_VFIO_PCI_H

#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/types.h>
#endif

/**
 * DOC: vfio-pci live update ABI
 *
 * What one kernel tells the next about the file of a vfio-pci device. It is the
 * data of one file in a session of the Live Update Orchestrator, which is the
 * physical address of one &struct vfio_pci_ser.
 *
 * The device itself is described elsewhere: that it is kept, in the PCI records
 * (linux/kho/abi/pci.h), what it is attached to, in the records of its iommufd.
 * Here is what vfio-pci would otherwise find out by touching the device, and the
 * configuration space as its user sees it.
 *
 * Everything is little endian and packed, and sizes are asserted. The struct is
 * in one KHO folio of order 1. A reader accepts a range of versions, ignores bits
 * of @optional that it does not know, which may give a meaning to reserved bytes
 * and to bytes behind the struct, and refuses the file on an unknown bit of
 * @flags. Which device it is can be read in every version, to stop it then.
 *
 * Ownership: the old kernel fills it at preserve and again at freeze, which is
 * what counts. The new kernel reads it at retrieve and frees it at finish.
 */

/* The compatibility string of the file handler, also in the PCI records. */
#define VFIO_PCI_LIVEUPDATE_COMPATIBLE "vfio-pci-v1"

#define VFIO_PCI_SER_MAGIC 0x31554c4f49465650ULL /* "VFIOLU1" */
/* The version that is written, and the oldest that is read */
#define VFIO_PCI_SER_VERSION 1
#define VFIO_PCI_SER_VERSION_MIN 1
#define VFIO_PCI_SER_ORDER 1
#define VFIO_PCI_SER_MAX_SIZE 8192

/* vfio_pci_ser.config_size: that of a conventional or of a PCI Express device */
#define VFIO_PCI_SER_CONFIG_SHORT 256
#define VFIO_PCI_SER_CONFIG_SIZE 4096

/* vfio_pci_ser.flags; a reader must know them */
#define VFIO_PCI_SER_RESET_WORKS 0x1
#define VFIO_PCI_SER_NO_INTX 0x2 /* INTx must not be used */
#define VFIO_PCI_SER_INTX_MASKS 0x4 /* DisINTx works */
#define VFIO_PCI_SER_INTX_DISABLED 0x8 /* by the user, in vconfig */
#define VFIO_PCI_SER_KNOWN 0xf

/* vfio_pci_ser.irq_type */
#define VFIO_PCI_SER_IRQ_NONE 0
#define VFIO_PCI_SER_IRQ_INTX 1
#define VFIO_PCI_SER_IRQ_MSI 2
#define VFIO_PCI_SER_IRQ_MSIX 3
/* The most there can be of them: one INTx, and by the size of the fields */
#define VFIO_PCI_SER_MAX_MSI 32
#define VFIO_PCI_SER_MAX_MSIX 2048

/**
 * struct vfio_pci_ser - The file of one device
 * @magic: %VFIO_PCI_SER_MAGIC
 * @size: bytes that carry meaning, at most %VFIO_PCI_SER_MAX_SIZE
 * @flags: VFIO_PCI_SER_*
 * @domain: PCI segment
 * @bdf: bus, device and function
 * @version: %VFIO_PCI_SER_VERSION
 * @iommufd_token: token, in the same session, of the iommufd it is bound to
 * @iommufd_dev_id: id of the device in that iommufd
 * @irq_type: interrupts that were in use; userspace sets them up again
 * @irq_count: how many, up to the highest in use; set up again, each is kicked once
 * @config_size: bytes of @config that are used: 256 or 4096
 * @optional: flags that a reader may ignore
 * @reserved: 0
 * @config: configuration space as the user sees it
 */
struct vfio_pci_ser {
	u64 magic;
	u32 size;
	u32 flags;
	u32 domain;
	u16 bdf;
	u16 version;
	u64 iommufd_token;
	u32 iommufd_dev_id;
	u32 irq_type;
	u32 irq_count;
	u32 config_size;
	u32 optional;
	u8 reserved[76];
	u8 config[VFIO_PCI_SER_CONFIG_SIZE];
} __packed;
static_assert(sizeof(struct vfio_pci_ser) == 128 + VFIO_PCI_SER_CONFIG_SIZE);

#endif /* _LINUX_KHO_ABI_VFIO_PCI_H */
