/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _LINUX_KHO_ABI_IOMMUFD_H
#define _LINUX_KHO_ABI_IOMMUFD_H

#ifdef __KERNEL__
#include <linux/build_bug.h>
#include <linux/types.h>
#endif

/**
 * DOC: iommufd live update ABI
 *
 * What one kernel tells the next about one iommufd. The handle of the file in
 * its live update session is the physical address of one &struct iommufd_ser,
 * the root. The root names two chains of chunks. A chunk is 4096 bytes,
 * &struct iommufd_chunk_ser; the chunks of a chain are numbered from 0, so a
 * reader needs no other defence against a loop.
 *
 * The *data* chain is one stream of bytes, cut into chunks. The stream is a row
 * of tables without padding, in this order, with the numbers of entries in the
 * root: memfds, pages, IOASs, allowed ranges, areas, HWPTs, MSI pages. Tables
 * refer to each other by index or by object id. The allowed ranges and the areas
 * of the first IOAS come first, then those of the second, and so on; inside one
 * IOAS they are sorted by IO virtual address and do not overlap. IOASs and HWPTs
 * are sorted by id.
 *
 * The *device* chain is separate because devices are added later, one by one:
 * each chunk holds %IOMMUFD_SER_DEVICES_PER_CHUNK entries, and an entry with a
 * dev_id of 0 is free. A device has one entry for its attachment without a
 * PASID and one for each of its PASIDs, in no particular order.
 *
 * Object ids are the ids that userspace knows and the next kernel gives each
 * object the same one. Tokens of memfds are tokens of the same live update
 * session. Page tables are not described here: @record of a HWPT is the number
 * of a domain record of linux/kho/abi/iommu.h.
 *
 * Everything is little endian and packed, and sizes are asserted. There is no C
 * enum, no bit field and no kernel-internal bit number in here. The only physical
 * addresses, those that end in _pa, name the chunks; every chunk and the root are
 * KHO folios of order 0.
 *
 * A reader accepts a range of versions, ignores bits of @optional of the root
 * that it does not know, and refuses the whole file on an unknown bit of @required
 * or when anything does not fit. Flags of a table's entries are required ones. An
 * entry of the device chain with an unknown flag costs that device. A bit of
 * @optional may give a meaning to reserved fields and to bytes that follow the
 * last table. Of a file that is refused the records of its domains are abandoned
 * by its finish.
 *
 * Ownership: the old kernel writes it when the file is preserved and when one of
 * its devices is, until the jump. The new kernel only reads it, and frees it
 * when the file is finished.
 */

/* The compatibility string of the file: bump on every incompatible change. */
#define IOMMUFD_LUO_COMPATIBLE "iommufd-v1"

#define IOMMUFD_SER_MAGIC 0x31554c44464d4f49ULL /* "IOMFDLU1" */
/* The version that is written, and the oldest that is read */
#define IOMMUFD_SER_VERSION 1
#define IOMMUFD_SER_VERSION_MIN 1

#define IOMMUFD_SER_CHUNK_SIZE 4096
#define IOMMUFD_SER_CHUNK_DATA 4080
/* A chain longer than this is damaged. */
#define IOMMUFD_SER_MAX_CHUNKS 131072
/* A table longer than this is damaged. */
#define IOMMUFD_SER_MAX_ENTRIES 4194304

/**
 * struct iommufd_chunk_ser - One piece of a chain
 * @next_pa: physical address of the next chunk, 0 at the end
 * @index: position of this chunk in the chain, from 0
 * @reserved: 0
 * @data: the payload
 */
struct iommufd_chunk_ser {
	u64 next_pa;
	u32 index;
	u32 reserved;
	u8 data[IOMMUFD_SER_CHUNK_DATA];
} __packed;
static_assert(sizeof(struct iommufd_chunk_ser) == IOMMUFD_SER_CHUNK_SIZE);

/* Who is charged for pinned pages */
#define IOMMUFD_SER_ACCOUNT_NONE 0
#define IOMMUFD_SER_ACCOUNT_USER 1
#define IOMMUFD_SER_ACCOUNT_MM 2

/**
 * struct iommufd_ser - The root
 * @magic: %IOMMUFD_SER_MAGIC
 * @version: %IOMMUFD_SER_VERSION
 * @size: bytes of the root that carry meaning, at most one page
 * @data_pa: physical address of the first chunk of the data chain
 * @devices_pa: physical address of the first chunk of the device chain, 0 when
 *	no device was preserved
 * @data_bytes: length of the stream in the data chain
 * @data_chunks: number of chunks of the data chain
 * @device_chunks: number of chunks of the device chain
 * @account_mode: IOMMUFD_SER_ACCOUNT_*: mode of later mappings
 * @vfio_ioas_id: the IOAS of the VFIO compatibility ioctls, 0 when there is none
 * @next_sw_msi: id of the next MSI page
 * @nr_memfds: entries of type &struct iommufd_memfd_ser
 * @nr_pages: entries of type &struct iommufd_pages_ser
 * @nr_ioas: entries of type &struct iommufd_ioas_ser
 * @nr_allowed: entries of type &struct iommufd_allowed_ser
 * @nr_areas: entries of type &struct iommufd_area_ser
 * @nr_hwpts: entries of type &struct iommufd_hwpt_ser
 * @nr_sw_msi: entries of type &struct iommufd_sw_msi_ser
 * @required: flags that a reader must know
 * @optional: flags that a reader may ignore
 * @reserved: 0
 */
struct iommufd_ser {
	u64 magic;
	u32 version;
	u32 size;
	u64 data_pa;
	u64 devices_pa;
	u64 data_bytes;
	u32 data_chunks;
	u32 device_chunks;
	u32 account_mode;
	u32 vfio_ioas_id;
	u32 next_sw_msi;
	u32 nr_memfds;
	u32 nr_pages;
	u32 nr_ioas;
	u32 nr_allowed;
	u32 nr_areas;
	u32 nr_hwpts;
	u32 nr_sw_msi;
	u32 required;
	u32 optional;
	u32 reserved[8];
} __packed;
static_assert(sizeof(struct iommufd_ser) == 128);

/**
 * struct iommufd_memfd_ser - One memfd that is mapped for DMA
 * @token: its token in the session of the iommufd
 * @reserved: 0
 */
struct iommufd_memfd_ser {
	u64 token;
	u64 reserved;
} __packed;
static_assert(sizeof(struct iommufd_memfd_ser) == 16);

/* iommufd_pages_ser.flags */
#define IOMMUFD_PAGES_SER_WRITABLE 0x1
#define IOMMUFD_PAGES_SER_KNOWN IOMMUFD_PAGES_SER_WRITABLE

/**
 * struct iommufd_pages_ser - A range of a memfd that areas take slices of
 * @start: first byte in the file, a multiple of the page size
 * @length: bytes, a multiple of the page size
 * @memfd: index of the memfd
 * @flags: IOMMUFD_PAGES_SER_*
 * @account_mode: IOMMUFD_SER_ACCOUNT_*
 * @reserved: 0
 */
struct iommufd_pages_ser {
	u64 start;
	u64 length;
	u32 memfd;
	u32 flags;
	u32 account_mode;
	u32 reserved;
} __packed;
static_assert(sizeof(struct iommufd_pages_ser) == 32);

/* iommufd_ioas_ser.flags */
#define IOMMUFD_IOAS_SER_SMALL_PAGES 0x1 /* no large pages */
#define IOMMUFD_IOAS_SER_KNOWN IOMMUFD_IOAS_SER_SMALL_PAGES

/**
 * struct iommufd_ioas_ser - One IO address space
 * @id: object id
 * @flags: IOMMUFD_IOAS_SER_*
 * @nr_allowed: number of allowed ranges
 * @nr_areas: number of areas
 */
struct iommufd_ioas_ser {
	u32 id;
	u32 flags;
	u32 nr_allowed;
	u32 nr_areas;
} __packed;
static_assert(sizeof(struct iommufd_ioas_ser) == 16);

/**
 * struct iommufd_allowed_ser - IO virtual addresses that may not get reserved
 * @start: first address
 * @last: last address
 */
struct iommufd_allowed_ser {
	u64 start;
	u64 last;
} __packed;
static_assert(sizeof(struct iommufd_allowed_ser) == 16);

/* iommufd_area_ser.prot */
#define IOMMUFD_AREA_SER_READ 0x1
#define IOMMUFD_AREA_SER_WRITE 0x2
#define IOMMUFD_AREA_SER_KNOWN (IOMMUFD_AREA_SER_READ | IOMMUFD_AREA_SER_WRITE)

/**
 * struct iommufd_area_ser - One mapping
 * @iova: first IO virtual address
 * @length: bytes
 * @start_byte: first byte in the pages entry
 * @pages: index of the pages entry
 * @prot: IOMMUFD_AREA_SER_*
 */
struct iommufd_area_ser {
	u64 iova;
	u64 length;
	u64 start_byte;
	u32 pages;
	u32 prot;
} __packed;
static_assert(sizeof(struct iommufd_area_ser) == 32);

/* iommufd_hwpt_ser.flags */
#define IOMMUFD_HWPT_SER_AUTO 0x1 /* goes with its last device */
#define IOMMUFD_HWPT_SER_COHERENT 0x2 /* cache coherency enforced */
#define IOMMUFD_HWPT_SER_NEST_PARENT 0x4
#define IOMMUFD_HWPT_SER_PASID 0x8 /* for PASID capable devices */
#define IOMMUFD_HWPT_SER_KNOWN                               \
	(IOMMUFD_HWPT_SER_AUTO | IOMMUFD_HWPT_SER_COHERENT | \
	 IOMMUFD_HWPT_SER_NEST_PARENT | IOMMUFD_HWPT_SER_PASID)

/**
 * struct iommufd_hwpt_ser - One page table
 * @token: token given with the mark
 * @sw_msi: MSI pages that are mapped, one bit for each id
 * @id: object id
 * @ioas_id: object id of its IOAS
 * @flags: IOMMUFD_HWPT_SER_*
 * @record: number of its domain record
 */
struct iommufd_hwpt_ser {
	u64 token;
	u64 sw_msi;
	u32 id;
	u32 ioas_id;
	u32 flags;
	u32 record;
} __packed;
static_assert(sizeof(struct iommufd_hwpt_ser) == 32);

/**
 * struct iommufd_sw_msi_ser - A page that interrupt messages are written to
 * @start: start of the region for such pages
 * @offset: from @start to the IO virtual address of the page
 * @msi_pa: what it is mapped to
 * @id: less than 64
 * @reserved: 0
 */
struct iommufd_sw_msi_ser {
	u64 start;
	u64 offset;
	u64 msi_pa;
	u32 id;
	u32 reserved;
} __packed;
static_assert(sizeof(struct iommufd_sw_msi_ser) == 32);

/* A PASID has 20 bits. */
#define IOMMUFD_SER_PASID_LAST 0xfffff

/**
 * struct iommufd_device_ser - One attachment of a bound device
 * @sw_msi_start: start of the region for MSI pages, ~0 when there is none
 * @sw_msi: MSI pages that the device uses, one bit for each id
 * @dev_id: object id, 0 when this entry is free
 * @hwpt_id: object id of what it is attached to
 * @flags: 0
 * @pasid: the PASID, 0 for the attachment without one
 * @name: bus and name of the device with a slash between, NUL terminated
 *
 * For a PASID @sw_msi_start, @sw_msi and @name are 0: the entry of the device
 * has them.
 */
struct iommufd_device_ser {
	u64 sw_msi_start;
	u64 sw_msi;
	u32 dev_id;
	u32 hwpt_id;
	u32 flags;
	u32 pasid;
	char name[96];
} __packed;
static_assert(sizeof(struct iommufd_device_ser) == 128);

#define IOMMUFD_SER_DEVICES_PER_CHUNK 31
static_assert(IOMMUFD_SER_DEVICES_PER_CHUNK *
		      sizeof(struct iommufd_device_ser) <=
	      IOMMUFD_SER_CHUNK_DATA);

#endif /* _LINUX_KHO_ABI_IOMMUFD_H */
