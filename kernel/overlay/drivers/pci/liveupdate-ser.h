/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What makes a PCI record of the previous kernel valid. Pure functions of the
 * bytes, without locks or allocation, so that they are also built for userspace,
 * where tests/parse and tests/fuzz feed them with anything. What a record says is
 * compared with the function afterwards, see liveupdate-restore.c.
 */
#ifndef DRIVERS_PCI_LIVEUPDATE_SER_H
#define DRIVERS_PCI_LIVEUPDATE_SER_H

#include <linux/array_size.h>
#include <linux/errno.h>
#include <linux/kho/abi/pci.h>
#include <linux/limits.h>
#include <linux/pci_regs.h>
#include <linux/string.h>

/* Is this chunk number @index of a chain that this kernel can read? */
static inline int pci_ser_check_chunk(const struct pci_chunk_ser *chunk,
				      u32 index)
{
	if (chunk->magic != PCI_SER_MAGIC || chunk->index != index)
		return -EINVAL;
	if (chunk->version < PCI_SER_VERSION_MIN ||
	    chunk->version > PCI_SER_VERSION)
		return -EOPNOTSUPP;
	return 0;
}

static inline bool pci_ser_text(const char *text, size_t size)
{
	return strnlen(text, size) < size;
}

/* Bytes that have no meaning are 0, unless a newer kernel gave them one */
static inline bool pci_ser_unused(const struct pci_dev_ser *ser)
{
	if (ser->optional & ~PCI_DEV_SER_OPTIONAL_KNOWN)
		return true;
	if (!(ser->optional & PCI_DEV_SER_BAR_MASKS) &&
	    (memchr_inv(ser->bar_mask, 0, sizeof(ser->bar_mask)) ||
	     ser->rom_mask))
		return false;
	return !ser->reserved0 && !ser->reserved2 &&
	       !memchr_inv(ser->reserved3, 0, sizeof(ser->reserved3));
}

/*
 * A BAR decodes a power of two bytes at a multiple of its size: of the bits that
 * are an address the mask has all from one on, and @bar none below that one.
 */
static inline bool pci_ser_mask_fits(u64 mask, u64 bar, u64 address)
{
	u64 lowest = mask & address & -(mask & address);

	return lowest && (mask & address) == (address & -lowest) &&
	       !(bar & address & ~mask);
}

/* Does a memory BAR with this value have a second register? */
static inline bool pci_ser_is_wide(u32 bar)
{
	return !(bar & PCI_BASE_ADDRESS_SPACE_IO) &&
	       (bar & PCI_BASE_ADDRESS_MEM_TYPE_MASK) ==
		       PCI_BASE_ADDRESS_MEM_TYPE_64;
}

/*
 * Does the mask of BAR @i go with its value? The bits that say what kind of BAR it
 * is are read only (PCI Local Bus Specification 3.0, 6.2.5.1), so they are the same.
 * Returns how many registers the BAR has, or -EINVAL.
 */
static inline int pci_ser_check_bar(const struct pci_dev_ser *ser,
				    unsigned int i, unsigned int bars)
{
	u64 mask = ser->bar_mask[i], bar = ser->bar[i];
	bool io = bar & PCI_BASE_ADDRESS_SPACE_IO;
	bool wide = pci_ser_is_wide(bar);
	u64 address = io ? (u32)PCI_BASE_ADDRESS_IO_MASK :
			   (u32)PCI_BASE_ADDRESS_MEM_MASK;

	if (!mask || i >= bars)
		return mask || bar ? -EINVAL : 1;
	if ((mask ^ bar) & (u32)~address)
		return -EINVAL;
	if (!io && !wide && bar & PCI_BASE_ADDRESS_MEM_TYPE_MASK)
		return -EINVAL;
	if (wide) {
		if (i + 1 >= bars)
			return -EINVAL;
		mask |= (u64)ser->bar_mask[i + 1] << 32;
		bar |= (u64)ser->bar[i + 1] << 32;
		address |= (u64)U32_MAX << 32;
	}
	if (!pci_ser_mask_fits(mask, bar, address))
		return -EINVAL;
	return wide ? 2 : 1;
}

static inline unsigned int pci_ser_bars(const struct pci_dev_ser *ser)
{
	return ser->hdr_type == PCI_HEADER_TYPE_BRIDGE ? 2 : 6;
}

/*
 * Can BARs have these masks? A wrong one that passes is as long as the address in
 * the BAR allows at most, and has to be free of other devices when it is claimed.
 */
static inline int pci_ser_check_masks(const struct pci_dev_ser *ser)
{
	unsigned int i;
	int registers;

	for (i = 0; i < ARRAY_SIZE(ser->bar); i += registers) {
		registers = pci_ser_check_bar(ser, i, pci_ser_bars(ser));
		if (registers < 0)
			return registers;
	}
	if (ser->rom_mask & ~PCI_ROM_ADDRESS_MASK)
		return -EINVAL;
	if (ser->rom_mask &&
	    !pci_ser_mask_fits(ser->rom_mask, 0, PCI_ROM_ADDRESS_MASK))
		return -EINVAL;
	return 0;
}

/* Can this be the value of the expansion ROM BAR, which need not be the recorded? */
static inline bool pci_ser_rom_fits(const struct pci_dev_ser *ser, u32 rom)
{
	return !(rom & PCI_ROM_ADDRESS_MASK & ~ser->rom_mask);
}

/* Is this used slot a record that this kernel can read? */
static inline int pci_ser_check(const struct pci_dev_ser *ser)
{
	bool bridge = ser->flags & PCI_DEV_SER_BRIDGE;
	bool endpoint = ser->flags & PCI_DEV_SER_ENDPOINT;

	if (ser->flags & ~PCI_DEV_SER_KNOWN)
		return -EOPNOTSUPP;
	if (bridge == endpoint || !pci_ser_unused(ser))
		return -EINVAL;
	if (!ser->refcount || ser->domain > U16_MAX)
		return -EINVAL;
	if (ser->hdr_type !=
	    (bridge ? PCI_HEADER_TYPE_BRIDGE : PCI_HEADER_TYPE_NORMAL))
		return -EINVAL;
	if (!pci_ser_text(ser->compat, sizeof(ser->compat)) ||
	    !pci_ser_text(ser->driver, sizeof(ser->driver)))
		return -EINVAL;
	if (endpoint && (ser->refcount != 1 || !ser->compat[0]))
		return -EINVAL;
	if (ser->optional & PCI_DEV_SER_BAR_MASKS)
		return pci_ser_check_masks(ser);
	return 0;
}

#endif /* DRIVERS_PCI_LIVEUPDATE_SER_H */
