/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_KHO_ABI_PCI_H
#define _LINUX_KHO_ABI_PCI_H

#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/types.h>
#endif

/**
 * DOC: PCI live update ABI
 *
 * What one kernel tells the next about the PCI functions that keep working
 * while it is replaced. The data is an object of the Live Update Orchestrator
 * that lives as long as the files that need it (a File-Lifecycle-Bound object,
 * FLB). Its handle is the physical address of the first chunk of a chain.
 *
 * A chunk is one &struct pci_chunk_ser followed by %PCI_SER_SLOTS_PER_CHUNK
 * slots of &struct pci_dev_ser. A slot with @flags 0 is free. There are records
 * of two kinds: an *endpoint* is a function whose driver keeps it, a *bridge* is
 * on the path from an endpoint to the root port, that one included. Bridges are
 * shared; @refcount of a bridge is the number of endpoint records below it.
 *
 * A record says who the function is, so that the next kernel notices when it
 * finds another one, who may drive it, and what cannot be read from it without
 * disturbing it: the size of a BAR shows only in what it reads back after all ones
 * were written to it, with memory decoding off meanwhile. The rest the next kernel
 * reads from the function: it inherits the registers and does not program them from
 * here.
 *
 * A reader accepts a range of versions of the chain, and refuses all of it when
 * the version is another. It ignores bits of @optional of a record that it does
 * not know, which may give a meaning to reserved bytes, and refuses the record on
 * an unknown bit of @flags. Then it cannot tell which function is meant, and any
 * bus master without a record is stopped.
 *
 * Everything is little endian and packed, sizes are asserted, and there is no C
 * enum and no kernel-internal bit number in here. Each chunk is a KHO folio of
 * order 0.
 *
 * Ownership: the old kernel owns and may rewrite all of it until the jump. From
 * the jump on it is read only; the next kernel copies the records when it scans
 * the first device, after it checked them, and frees the chunks when the last
 * file of the last session is finished.
 */

/* The compatibility string of the FLB: bump on every incompatible change. */
#define PCI_LIVEUPDATE_FLB_COMPATIBLE "pci-v1"

#define PCI_SER_MAGIC 0x31554c494350ULL /* "PCILU1" */
/* The version that is written, and the oldest that is read */
#define PCI_SER_VERSION 1
#define PCI_SER_VERSION_MIN 1

#define PCI_SER_CHUNK_SIZE 4096
#define PCI_SER_SLOT_SIZE 256
#define PCI_SER_SLOTS_PER_CHUNK 15
/* A chain longer than this is damaged. About 61,000 records. */
#define PCI_SER_MAX_CHUNKS 4096

/**
 * struct pci_chunk_ser - The head of a chunk
 * @magic: %PCI_SER_MAGIC
 * @version: %PCI_SER_VERSION
 * @index: position of this chunk in the chain, from 0
 * @next_pa: physical address of the next chunk, 0 at the end
 * @reserved: 0
 */
struct pci_chunk_ser {
	u64 magic;
	u32 version;
	u32 index;
	u64 next_pa;
	u64 reserved[29];
} __packed;
static_assert(sizeof(struct pci_chunk_ser) == PCI_SER_SLOT_SIZE);
static_assert(sizeof(struct pci_chunk_ser) +
		      PCI_SER_SLOTS_PER_CHUNK * PCI_SER_SLOT_SIZE ==
	      PCI_SER_CHUNK_SIZE);

/* pci_dev_ser.flags: one of the first two is set in each used slot */
#define PCI_DEV_SER_ENDPOINT 0x1
#define PCI_DEV_SER_BRIDGE 0x2
#define PCI_DEV_SER_INTX_BROKEN 0x4 /* cannot mask INTx */
#define PCI_DEV_SER_KNOWN \
	(PCI_DEV_SER_ENDPOINT | PCI_DEV_SER_BRIDGE | PCI_DEV_SER_INTX_BROKEN)

/*
 * pci_dev_ser.optional: @bar_mask and @rom_mask have a meaning. Without it they are
 * 0, and the next kernel sizes the BARs as it does those of any other function.
 */
#define PCI_DEV_SER_BAR_MASKS 0x1
#define PCI_DEV_SER_OPTIONAL_KNOWN PCI_DEV_SER_BAR_MASKS

/**
 * struct pci_dev_ser - One function
 * @flags: PCI_DEV_SER_*, 0 in a free slot; a reader must know them
 * @domain: PCI segment
 * @bdf: bus, device and function
 * @hdr_type: header type (configuration space offset 0x0e) without bit 7
 * @reserved0: 0
 * @refcount: number of endpoint records this function serves, 1 for an endpoint
 * @vendor: offset 0x00
 * @device: offset 0x02
 * @class_rev: offset 0x08
 * @subsystem_vendor: offset 0x2c of an endpoint, else 0
 * @subsystem_device: offset 0x2e of an endpoint, else 0
 * @optional: PCI_DEV_SER_BAR_MASKS; flags that a reader may ignore
 * @serial: device serial number, 0 when the function has none
 * @bar: BARs (offset 0x10) as found in the function, two of them for a bridge
 * @buses: offset 0x18 of a bridge, else 0
 * @command: offset 0x04 when the function was frozen, for diagnosis only
 * @reserved2: 0
 * @compat: compatibility string of the file handler that keeps the endpoint,
 *	NUL terminated; only a driver that names it may bind. Empty for a bridge
 * @driver: name of the driver that had the endpoint, NUL terminated, which is
 *	offered it by itself. Empty for a bridge
 * @bar_mask: what each BAR reads back after all ones were written to it, 0 where
 *	there is none, or as the upper half of the one before; two for a bridge
 * @rom_mask: the same of the expansion ROM BAR (offset 0x30, of a bridge 0x38),
 *	without the bits that are no address
 * @reserved3: 0
 */
struct pci_dev_ser {
	u32 flags;
	u32 domain;
	u16 bdf;
	u8 hdr_type;
	u8 reserved0;
	u32 refcount;
	u16 vendor;
	u16 device;
	u32 class_rev;
	u16 subsystem_vendor;
	u16 subsystem_device;
	u32 optional;
	u64 serial;
	u32 bar[6];
	u32 buses;
	u16 command;
	u16 reserved2;
	char compat[48];
	char driver[32];
	u32 bar_mask[6];
	u32 rom_mask;
	u8 reserved3[76];
} __packed;
static_assert(sizeof(struct pci_dev_ser) == PCI_SER_SLOT_SIZE);

#endif /* _LINUX_KHO_ABI_PCI_H */
