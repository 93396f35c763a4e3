/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What two kernels must agree on before one of them may jump into the other
 * while devices do DMA.
 *
 * The capability word. A boot image says which handover formats it reads. On
 * x86 the word is a chunk in the variable part of kernel_info (see
 * Documentation/arch/x86/boot.rst), which is not compressed and can be found
 * from the setup header:
 *
 *	offset 0: LIVEUPDATE_LANDING_MAGIC, four bytes without a terminator
 *	offset 4: u32, size of the chunk, at least LIVEUPDATE_LANDING_SIZE
 *	offset 8: u32, LIVEUPDATE_LANDING_* bits, one for each format
 *
 * A kernel only jumps into an image that reads all it can write. Bits and
 * fields are added, never changed: a new version of a format has its own bit.
 *
 * The mark. While a device is kept, the root of the KHO tree has a subtree
 * LIVEUPDATE_DEVICES_KHO_ENTRY. The root is found without the preserved memory
 * map, so a kernel that cannot make sense of that map still learns that devices
 * write to memory it is about to give away. The blob is a struct
 * liveupdate_devices_ser.
 *
 * This file is included by assembler sources.
 */
#ifndef _LINUX_KHO_ABI_LANDING_H
#define _LINUX_KHO_ABI_LANDING_H

#define LIVEUPDATE_LANDING_MAGIC "LUpd"
#define LIVEUPDATE_LANDING_SIZE 12

#define LIVEUPDATE_LANDING_MEMFD 0x01 /* memfd-v3 */
#define LIVEUPDATE_LANDING_PCI 0x02 /* pci-v1 */
#define LIVEUPDATE_LANDING_IOMMU 0x04 /* iommu-v1 */
#define LIVEUPDATE_LANDING_INTEL 0x08 /* VT-d records of iommu-v1 */
#define LIVEUPDATE_LANDING_IOMMUFD 0x10 /* iommufd-v1 */
#define LIVEUPDATE_LANDING_VFIO_PCI 0x20 /* vfio-pci-v1 */
#define LIVEUPDATE_LANDING_IOMMU_DIRTY 0x40 /* domains that track dirty */

/* What the kernel that is being built reads and writes */
#define LIVEUPDATE_LANDING_WORD                                             \
	((IS_ENABLED(CONFIG_LIVEUPDATE_MEMFD) * LIVEUPDATE_LANDING_MEMFD) + \
	 (IS_ENABLED(CONFIG_PCI_LIVEUPDATE) * LIVEUPDATE_LANDING_PCI) +     \
	 (IS_ENABLED(CONFIG_IOMMU_LIVEUPDATE) * LIVEUPDATE_LANDING_IOMMU) + \
	 (IS_ENABLED(CONFIG_IOMMU_LIVEUPDATE) *                             \
	  LIVEUPDATE_LANDING_IOMMU_DIRTY) +                                 \
	 (IS_ENABLED(CONFIG_INTEL_IOMMU_LIVEUPDATE) *                       \
	  LIVEUPDATE_LANDING_INTEL) +                                       \
	 (IS_ENABLED(CONFIG_IOMMUFD_LIVEUPDATE) *                           \
	  LIVEUPDATE_LANDING_IOMMUFD) +                                     \
	 (IS_ENABLED(CONFIG_VFIO_PCI_LIVEUPDATE) *                          \
	  LIVEUPDATE_LANDING_VFIO_PCI))

#define LIVEUPDATE_DEVICES_KHO_ENTRY "liveupdate-devices"

#ifndef __ASSEMBLER__

#include <linux/build_bug.h>
#include <linux/types.h>

/**
 * struct liveupdate_devices_ser - The mark that devices are kept
 * @formats: the LIVEUPDATE_LANDING_WORD of the kernel that kept them
 * @reserved: zero
 */
struct liveupdate_devices_ser {
	u32 formats;
	u32 reserved;
} __packed;
static_assert(sizeof(struct liveupdate_devices_ser) == 8);

#endif /* __ASSEMBLER__ */
#endif /* _LINUX_KHO_ABI_LANDING_H */
