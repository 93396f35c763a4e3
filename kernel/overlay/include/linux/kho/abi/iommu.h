/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_KHO_ABI_IOMMU_H
#define _LINUX_KHO_ABI_IOMMU_H

#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/types.h>
#endif

/**
 * DOC: IOMMU live update ABI
 *
 * What one kernel tells the next about the IOMMUs that translate for kept
 * devices. The data is an object of the Live Update Orchestrator that lives as
 * long as the files that need it (a File-Lifecycle-Bound object, FLB). Its
 * handle is the physical address of one &struct iommu_ser. That root points to
 * a chain of chunks of %IOMMU_SER_CHUNK_SIZE bytes. A chunk is one
 * &struct iommu_chunk_ser followed by %IOMMU_SER_SLOTS_PER_CHUNK slots of
 * %IOMMU_SER_SLOT_SIZE bytes; a slot is free or holds one record. Records are
 * named by their slot number, counted through the chain from 0, so nothing
 * below the chain itself is a pointer.
 *
 * There are four kinds of record. A *unit* is one IOMMU, named by the physical
 * address of its registers. A *domain* is one page table in a format of the
 * generic page table library. A *device* is one requester: it names the unit
 * that translates for it and the domain it is attached to without a PASID. A
 * *PASID* is one more attachment of a device: it names the device and the
 * domain that the process address space id leads to.
 *
 * Everything is little endian and packed, sizes are asserted, and there is no
 * C enum, no bit field and no kernel-internal bit number in here. Physical
 * addresses end in _pa, powers of two in _lg2. All the memory named here is
 * preserved through KHO: the root and the chunks as KHO folios of order 0, and
 * each table as a KHO folio of the order that the record states.
 *
 * Every record starts with &struct iommu_record_ser. A reader accepts a range
 * of versions, ignores bits of @optional that it does not know and refuses the
 * record on a bit of @required that it does not know. A refused device, PASID or
 * domain costs that device; only a refused unit costs the unit. The same holds
 * for the root; when it is refused nothing can be believed. Bytes that have no
 * meaning are 0, except that a bit of @optional may give them one.
 *
 * Ownership: the old kernel owns and may rewrite all of it until the jump. From
 * the jump on it is read only. The new kernel validates it once, with the parser in
 * drivers/iommu/liveupdate-parse.c and before it believes any of it, and frees
 * it when the last file of the last session is finished.
 */

/* The compatibility string of the FLB: bump on every incompatible change. */
#define IOMMU_LIVEUPDATE_FLB_COMPATIBLE "iommu-v1"

#define IOMMU_SER_MAGIC 0x31554c4d4d4f49ULL /* "IOMMLU1" */
/* Root and chain: the version that is written, and the oldest that is read */
#define IOMMU_SER_VERSION 1
#define IOMMU_SER_VERSION_MIN 1
/* Records: the same */
#define IOMMU_RECORD_VERSION 1
#define IOMMU_RECORD_VERSION_MIN 1

#define IOMMU_SER_CHUNK_SIZE 4096
#define IOMMU_SER_SLOT_SIZE 256
#define IOMMU_SER_SLOTS_PER_CHUNK 15
/* A chain longer than this is damaged. About 61,000 records. */
#define IOMMU_SER_MAX_CHUNKS 4096

/* The page size that every table address and order in here is based on. */
#define IOMMU_SER_PAGE_SIZE_LG2 12

/* iommu_record_ser.type */
#define IOMMU_RECORD_FREE 0
#define IOMMU_RECORD_UNIT 1
#define IOMMU_RECORD_DOMAIN 2
#define IOMMU_RECORD_DEVICE 3
#define IOMMU_RECORD_PASID 4

/* iommu_record_ser.driver */
#define IOMMU_SER_DRIVER_NONE 0
#define IOMMU_SER_DRIVER_VTD 1
#define IOMMU_SER_DRIVER_AMDVI 2
#define IOMMU_SER_DRIVER_SMMUV3 3
#define IOMMU_SER_DRIVER_MOCK 4

/**
 * struct iommu_record_ser - The head of every record
 * @type: IOMMU_RECORD_*
 * @driver: IOMMU_SER_DRIVER_*, whose encoding the driver part has
 * @version: version of this kind of record, from 1
 * @size: bytes of the record that carry meaning, at most %IOMMU_SER_SLOT_SIZE
 * @required: flags that a reader must know
 * @optional: flags that a reader may ignore
 */
struct iommu_record_ser {
	u16 type;
	u16 driver;
	u16 version;
	u16 size;
	u32 required;
	u32 optional;
} __packed;
static_assert(sizeof(struct iommu_record_ser) == 16);

/**
 * struct iommu_chunk_ser - The head of a chunk
 * @next_pa: physical address of the next chunk, 0 at the end
 * @index: position of this chunk in the chain, from 0
 * @reserved: 0
 */
struct iommu_chunk_ser {
	u64 next_pa;
	u32 index;
	u32 reserved[61];
} __packed;
static_assert(sizeof(struct iommu_chunk_ser) == IOMMU_SER_SLOT_SIZE);
static_assert(sizeof(struct iommu_chunk_ser) +
		      IOMMU_SER_SLOTS_PER_CHUNK * IOMMU_SER_SLOT_SIZE ==
	      IOMMU_SER_CHUNK_SIZE);

/**
 * struct iommu_ser - The root
 * @magic: %IOMMU_SER_MAGIC
 * @version: %IOMMU_SER_VERSION
 * @size: bytes of the root that carry meaning, at most one page
 * @first_chunk_pa: physical address of the first chunk, 0 when there is none
 * @nr_chunks: number of chunks in the chain
 * @required: flags that a reader must know
 * @optional: flags that a reader may ignore
 * @reserved: 0
 */
struct iommu_ser {
	u64 magic;
	u32 version;
	u32 size;
	u64 first_chunk_pa;
	u32 nr_chunks;
	u32 required;
	u32 optional;
	u32 reserved[7];
} __packed;
static_assert(sizeof(struct iommu_ser) == 64);

/* iommu_pt_ser.format */
#define IOMMU_PT_SER_VTDSS 1
#define IOMMU_PT_SER_X86_64 2
#define IOMMU_PT_SER_AMDV1 3
#define IOMMU_PT_SER_AMDV1_MOCK 4

/* iommu_pt_ser.features: ABI bits, not the bits of enum pt_features */
#define IOMMU_PT_SER_FLUSH_RANGE 0x1
#define IOMMU_PT_SER_SIGN_EXTEND 0x2
#define IOMMU_PT_SER_DMA_INCOHERENT 0x4
#define IOMMU_PT_SER_FORCE_COHERENCE 0x8
#define IOMMU_PT_SER_FORCE_WRITEABLE 0x10
#define IOMMU_PT_SER_DYNAMIC_TOP 0x20
#define IOMMU_PT_SER_FLUSH_NO_GAPS 0x40
#define IOMMU_PT_SER_ENCRYPT_TABLES 0x80

/**
 * struct iommu_pt_ser - One page table
 * @format: IOMMU_PT_SER_* format
 * @features: IOMMU_PT_SER_* features the entries were written with
 * @top_pa: physical address of the top table
 * @nr_tables: number of tables, the top included; the walk of the new kernel
 *	must find exactly as many
 * @pgsize_bitmap: page sizes the old kernel used, for comparison only
 * @top_level: level of the top table, 0 is the level that holds only leaves
 * @max_vasz_lg2: bits of IO virtual address
 * @max_oasz_lg2: bits of output address
 * @top_order_lg2: order of the folio that holds the top table
 * @reserved: 0
 */
struct iommu_pt_ser {
	u32 format;
	u32 features;
	u64 top_pa;
	u64 nr_tables;
	u64 pgsize_bitmap;
	u8 top_level;
	u8 max_vasz_lg2;
	u8 max_oasz_lg2;
	u8 top_order_lg2;
	u32 reserved;
} __packed;
static_assert(sizeof(struct iommu_pt_ser) == 40);

/* iommu_unit_ser.state */
#define IOMMU_UNIT_SER_ACTIVE 1 /* still owned by the old kernel */
#define IOMMU_UNIT_SER_HANDED_OVER 2 /* pruned, ready for the next */

/**
 * struct iommu_unit_vtd_ser - VT-d part of a unit record
 * @cap: capability register (VT-d specification, 11.4.2)
 * @ecap: extended capability register (11.4.3)
 * @rtaddr: root table address register, mode bits included (11.4.6)
 * @ir_table_pa: interrupt remapping table, 0 when there is none; all its
 *	entries are not present after the jump
 * @prq_pa: page request queue, 0 when there is none
 * @ctx_kept: one bit for each half of the root table (bit 2 * bus + half): the
 *	context table of that half is preserved
 * @ir_order: order of the folio at @ir_table_pa
 * @prq_order: order of the folio at @prq_pa
 * @reserved: 0
 */
struct iommu_unit_vtd_ser {
	u64 cap;
	u64 ecap;
	u64 rtaddr;
	u64 ir_table_pa;
	u64 prq_pa;
	u64 ctx_kept[8];
	u8 ir_order;
	u8 prq_order;
	u8 reserved[6];
} __packed;
static_assert(sizeof(struct iommu_unit_vtd_ser) == 112);

/**
 * struct iommu_unit_ser - One IOMMU
 * @head: type %IOMMU_RECORD_UNIT
 * @reg_pa: physical address of the registers: the identity of the unit
 * @segment: PCI segment
 * @state: IOMMU_UNIT_SER_*
 * @nr_devices: number of device records that name this unit
 * @reserved: 0
 * @vtd: when @head.driver is %IOMMU_SER_DRIVER_VTD
 * @raw: the driver part as bytes
 */
struct iommu_unit_ser {
	struct iommu_record_ser head;
	u64 reg_pa;
	u32 segment;
	u32 state;
	u32 nr_devices;
	u32 reserved;
	union {
		struct iommu_unit_vtd_ser vtd;
		u8 raw[216];
	};
} __packed;
static_assert(sizeof(struct iommu_unit_ser) == IOMMU_SER_SLOT_SIZE);

/* iommu_domain_ser.head.required */
#define IOMMU_DOMAIN_SER_FORCE_SNOOPING 0x1
#define IOMMU_DOMAIN_SER_NEST_PARENT 0x2
/*
 * Writes of devices leave a mark in the leaves of the page table while tracking
 * is on, and it can be switched on where the domain is capable. The marks are in
 * the tables alone, and no record says which there are.
 */
#define IOMMU_DOMAIN_SER_DIRTY_TRACKING 0x4 /* enabled, and so capable */
#define IOMMU_DOMAIN_SER_DIRTY_CAPABLE 0x8
#define IOMMU_DOMAIN_SER_DIRTY_ANY \
	(IOMMU_DOMAIN_SER_DIRTY_TRACKING | IOMMU_DOMAIN_SER_DIRTY_CAPABLE)
#define IOMMU_DOMAIN_SER_KNOWN \
	(IOMMU_DOMAIN_SER_FORCE_SNOOPING | IOMMU_DOMAIN_SER_DIRTY_ANY)

/**
 * struct iommu_domain_ser - One page table and what belongs to it
 * @head: type %IOMMU_RECORD_DOMAIN, IOMMU_DOMAIN_SER_* in @head.required
 * @pt: the page table
 * @nr_attachments: number of device and PASID records that name this domain
 * @nid: NUMA node new tables come from, ~0 for any
 * @raw: driver part, 0 where the driver needs none
 */
struct iommu_domain_ser {
	struct iommu_record_ser head;
	struct iommu_pt_ser pt;
	u32 nr_attachments;
	u32 nid;
	u8 raw[192];
} __packed;
static_assert(sizeof(struct iommu_domain_ser) == IOMMU_SER_SLOT_SIZE);

/*
 * iommu_device_ser.head.required: the device holds translations in a TLB of its
 * own. The next kernel leaves ATS on and invalidates them as the last one did.
 */
#define IOMMU_DEVICE_SER_ATS 0x1
#define IOMMU_DEVICE_SER_KNOWN IOMMU_DEVICE_SER_ATS

/*
 * iommu_device_ser.head.optional: page requests were on before the preserve and
 * are off now. They may be switched on again when the device is finished.
 */
#define IOMMU_DEVICE_SER_PRI 0x1

/* iommu_device_ser.bus */
#define IOMMU_DEVICE_SER_PCI 1
#define IOMMU_DEVICE_SER_NAMED 2

/**
 * struct iommu_device_vtd_ser - VT-d part of a device record
 * @ctx: the context entry: two words in legacy mode, four in scalable mode
 *	(VT-d specification, 9.3 and 9.4)
 * @pasid_dir_pa: PASID directory, 0 in legacy mode
 * @max_pasid: number of PASIDs the directory is made for
 * @did: domain id
 * @pasid_dir_order: order of the folio at @pasid_dir_pa
 * @scalable: 1 in scalable mode, 0 in legacy mode
 * @pasid_table_pa: PASID table of PASIDs 0 to 63, 0 in legacy mode
 * @pasid0: PASID entry 0 (9.6)
 */
struct iommu_device_vtd_ser {
	u64 ctx[4];
	u64 pasid_dir_pa;
	u32 max_pasid;
	u16 did;
	u8 pasid_dir_order;
	u8 scalable;
	u64 pasid_table_pa;
	u64 pasid0[8];
} __packed;
static_assert(sizeof(struct iommu_device_vtd_ser) == 120);

/**
 * struct iommu_device_ser - One requester
 * @head: type %IOMMU_RECORD_DEVICE, IOMMU_DEVICE_SER_* in @head.required and
 *	@head.optional
 * @unit: slot of its unit record
 * @domain: slot of the record of the domain attached without a PASID
 * @bus: IOMMU_DEVICE_SER_*: how it is identified
 * @segment: PCI segment
 * @rid: PCI bus, device and function
 * @nr_pasids: number of PASID records that name this device
 * @name: bus and device name, NUL terminated, when @bus is
 *	%IOMMU_DEVICE_SER_NAMED; else 0
 * @vtd: when @head.driver is %IOMMU_SER_DRIVER_VTD
 * @raw: the driver part as bytes
 */
struct iommu_device_ser {
	struct iommu_record_ser head;
	u32 unit;
	u32 domain;
	u32 bus;
	u32 segment;
	u32 rid;
	u32 nr_pasids;
	char name[48];
	union {
		struct iommu_device_vtd_ser vtd;
		u8 raw[168];
	};
} __packed;
static_assert(sizeof(struct iommu_device_ser) == IOMMU_SER_SLOT_SIZE);

/* A PASID has 20 bits, and 0 is the attachment without a PASID. */
#define IOMMU_PASID_SER_LAST 0xfffff

/**
 * struct iommu_pasid_vtd_ser - VT-d part of a PASID record
 * @entry: the PASID entry (VT-d specification, 9.6)
 * @table_pa: the PASID table that it is in. PASIDs that differ only in their
 *	lowest six bits share one
 * @did: domain id
 * @reserved: 0
 */
struct iommu_pasid_vtd_ser {
	u64 entry[8];
	u64 table_pa;
	u16 did;
	u16 reserved[3];
} __packed;
static_assert(sizeof(struct iommu_pasid_vtd_ser) == 80);

/**
 * struct iommu_pasid_ser - One PASID of a requester
 * @head: type %IOMMU_RECORD_PASID
 * @device: slot of the record of the device
 * @domain: slot of the record of the domain attached to the PASID
 * @pasid: the PASID, from 1 to %IOMMU_PASID_SER_LAST
 * @reserved: 0
 * @vtd: when @head.driver is %IOMMU_SER_DRIVER_VTD
 * @raw: the driver part as bytes
 */
struct iommu_pasid_ser {
	struct iommu_record_ser head;
	u32 device;
	u32 domain;
	u32 pasid;
	u32 reserved;
	union {
		struct iommu_pasid_vtd_ser vtd;
		u8 raw[224];
	};
} __packed;
static_assert(sizeof(struct iommu_pasid_ser) == IOMMU_SER_SLOT_SIZE);

#endif /* _LINUX_KHO_ABI_IOMMU_H */
