/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What makes a PCI record of the previous kernel valid. Pure functions of the
 * bytes, without locks or allocation, so that they are also built for userspace,
 * where tests/parse and tests/fuzz feed them with anything. What a record says is
 * compared with the function afterwards, see liveupdate-restore.c.
 */
#ifndef DRIVERS_PCI_LIVEUPDATE_SER_H
#define DRIVERS_PCI_LIVEUPDATE_SER_H

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
	return ser->optional ||
	       (!ser->reserved0 && !ser->reserved2 &&
		!memchr_inv(ser->reserved3, 0, sizeof(ser->reserved3)));
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
	return 0;
}

#endif /* DRIVERS_PCI_LIVEUPDATE_SER_H */
