/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Test vectors for the parser of IOMMU live update records: one image that is
 * good, and a list of changes to it with what the parser has to say about each.
 * KUnit, the tests in userspace and the fuzzer's corpus are made from it.
 *
 * The image is a root and two chunks. Nothing in here is shared: each test
 * builds an image of its own, in memory that it owns.
 */
#ifndef __IOMMU_LIVEUPDATE_PARSE_VECTORS_H
#define __IOMMU_LIVEUPDATE_PARSE_VECTORS_H

#include "liveupdate-parse.h"

#define VEC_PAGE 4096
#define VEC_PAGES 3
#define VEC_ROOT_PA 0x100000000ULL
#define VEC_CHUNK0_PA 0x100001000ULL
#define VEC_CHUNK1_PA 0x100002000ULL

/* Who is where. The mock's records are in the second chunk. */
enum {
	VEC_UNIT_LEGACY = 0,
	VEC_UNIT_SCALABLE = 1,
	VEC_DOMAIN_LEGACY = 2,
	VEC_DOMAIN_SECOND = 3,
	VEC_DOMAIN_FIRST = 4,
	VEC_DEVICE_LEGACY_A = 5,
	VEC_DEVICE_LEGACY_B = 6,
	VEC_DEVICE_SECOND = 7,
	VEC_DEVICE_FIRST = 8,
	VEC_FREE = 9,
	/* Of VEC_DEVICE_SECOND; A is in its first table, B and C in another */
	VEC_PASID_A = 10,
	VEC_PASID_B = 11,
	VEC_PASID_C = 12,
	VEC_UNIT_MOCK = 16,
	VEC_DOMAIN_MOCK = 17,
	VEC_DEVICE_MOCK = 18,
	VEC_PASID_MOCK = 19,
	VEC_SLOTS = 30,
};

struct vec_image {
	u8 mem[VEC_PAGES][VEC_PAGE];
	/* Pages that cannot be mapped, one bit each */
	u32 hidden;
};

static inline struct iommu_ser *vec_root(struct vec_image *image)
{
	return (struct iommu_ser *)image->mem[0];
}

static inline struct iommu_chunk_ser *vec_chunk(struct vec_image *image, int n)
{
	return (struct iommu_chunk_ser *)image->mem[1 + n];
}

static inline void *vec_slot(struct vec_image *image, u32 slot)
{
	return image->mem[1 + slot / IOMMU_SER_SLOTS_PER_CHUNK] +
	       (1 + slot % IOMMU_SER_SLOTS_PER_CHUNK) * IOMMU_SER_SLOT_SIZE;
}

static inline const void *vec_map(void *ctx, u64 pa, u64 size)
{
	struct vec_image *image = ctx;
	u64 page;

	if (pa < VEC_ROOT_PA || pa % VEC_PAGE || size > VEC_PAGE)
		return NULL;
	page = (pa - VEC_ROOT_PA) / VEC_PAGE;
	if (page >= VEC_PAGES || image->hidden & (1U << page))
		return NULL;
	return image->mem[page];
}

static inline void vec_head(struct iommu_record_ser *head, u16 type, u16 driver)
{
	head->type = type;
	head->driver = driver;
	head->version = IOMMU_RECORD_VERSION_MIN;
	head->size = IOMMU_SER_SLOT_SIZE;
}

static inline void vec_unit(struct vec_image *image, u32 slot, u16 driver,
			    u64 reg_pa, u32 nr_devices)
{
	struct iommu_unit_ser *unit = vec_slot(image, slot);

	vec_head(&unit->head, IOMMU_RECORD_UNIT, driver);
	unit->reg_pa = reg_pa;
	unit->state = IOMMU_UNIT_SER_HANDED_OVER;
	unit->nr_devices = nr_devices;
}

static inline void vec_unit_vtd(struct vec_image *image, u32 slot, u64 reg_pa,
				u64 tables_pa, bool scalable)
{
	struct iommu_unit_ser *unit = vec_slot(image, slot);

	vec_unit(image, slot, IOMMU_SER_DRIVER_VTD, reg_pa, 2);
	unit->vtd.cap = 0xd2008c222f0606ULL;
	unit->vtd.ecap = 0xf00f5eULL;
	unit->vtd.rtaddr = tables_pa | (scalable ? 1U << 10 : 0);
	unit->vtd.prq_pa = scalable ? tables_pa + 0x10000 : 0;
	unit->vtd.prq_order = scalable ? 4 : 0;
	unit->vtd.ir_table_pa = tables_pa + 0x100000;
	unit->vtd.ir_order = 8;
	/* Bus 0; in scalable mode both halves of it and half of bus 1 */
	unit->vtd.ctx_kept[0] = scalable ? 7 : 1;
}

static inline void vec_domain(struct vec_image *image, u32 slot, u16 driver,
			      u32 format, u64 top_pa, u32 nr_attachments)
{
	struct iommu_domain_ser *domain = vec_slot(image, slot);
	bool mock = format == IOMMU_PT_SER_AMDV1_MOCK;

	vec_head(&domain->head, IOMMU_RECORD_DOMAIN, driver);
	domain->pt.format = format;
	if (!mock)
		domain->pt.features = IOMMU_PT_SER_FLUSH_RANGE |
				      IOMMU_PT_SER_DMA_INCOHERENT;
	if (format == IOMMU_PT_SER_X86_64)
		domain->pt.features |= IOMMU_PT_SER_SIGN_EXTEND;
	domain->pt.top_pa = top_pa;
	domain->pt.nr_tables = 5;
	domain->pt.pgsize_bitmap = mock ? 0x800 : 0x40201000;
	domain->pt.top_level = 3;
	domain->pt.max_vasz_lg2 = 47;
	domain->pt.max_oasz_lg2 = 51;
	domain->nr_attachments = nr_attachments;
	domain->nid = ~0U;
}

static inline struct iommu_device_ser *
vec_device(struct vec_image *image, u32 slot, u16 driver, u32 unit, u32 domain)
{
	struct iommu_device_ser *device = vec_slot(image, slot);

	vec_head(&device->head, IOMMU_RECORD_DEVICE, driver);
	device->unit = unit;
	device->domain = domain;
	device->bus = IOMMU_DEVICE_SER_PCI;
	return device;
}

static inline void vec_device_legacy(struct vec_image *image, u32 slot, u32 rid)
{
	struct iommu_domain_ser *domain = vec_slot(image, VEC_DOMAIN_LEGACY);
	struct iommu_device_ser *device;

	device = vec_device(image, slot, IOMMU_SER_DRIVER_VTD, VEC_UNIT_LEGACY,
			    VEC_DOMAIN_LEGACY);
	device->rid = rid;
	device->vtd.did = 7;
	device->vtd.ctx[0] = domain->pt.top_pa | 1;
	device->vtd.ctx[1] = 2 | 7 << 8;
}

/* The PASID entry of a domain */
static inline void vec_entry(struct vec_image *image, u32 domain_slot, u16 did,
			     void *words)
{
	struct iommu_domain_ser *domain = vec_slot(image, domain_slot);
	u64 entry[3] = { 0, did, 0 };

	if (domain->pt.format == IOMMU_PT_SER_VTDSS) {
		entry[0] = domain->pt.top_pa | 2 << 6 | 2 << 2 | 1;
	} else {
		entry[0] = 1 << 6 | 2 << 2 | 1;
		entry[2] = domain->pt.top_pa;
	}
	memcpy(words, entry, sizeof(entry));
}

static inline void vec_device_scalable(struct vec_image *image, u32 slot,
				       u32 domain_slot, u32 rid, u16 did,
				       u64 tables_pa)
{
	struct iommu_device_ser *device;

	device = vec_device(image, slot, IOMMU_SER_DRIVER_VTD,
			    VEC_UNIT_SCALABLE, domain_slot);
	device->rid = rid;
	device->vtd.scalable = 1;
	device->vtd.did = did;
	device->vtd.pasid_dir_pa = tables_pa;
	device->vtd.pasid_dir_order = 1;
	device->vtd.max_pasid = 1U << 16;
	device->vtd.pasid_table_pa = tables_pa + 0x2000;
	device->vtd.ctx[0] = tables_pa | 3 << 9 | 1;
	vec_entry(image, domain_slot, did, device->vtd.pasid0);
}

static inline struct iommu_pasid_ser *
vec_pasid(struct vec_image *image, u32 slot, u32 device, u32 domain, u32 value)
{
	struct iommu_device_ser *owner = vec_slot(image, device);
	struct iommu_pasid_ser *pasid = vec_slot(image, slot);

	vec_head(&pasid->head, IOMMU_RECORD_PASID, owner->head.driver);
	pasid->device = device;
	pasid->domain = domain;
	pasid->pasid = value;
	owner->nr_pasids++;
	return pasid;
}

static inline void vec_pasid_vtd(struct vec_image *image, u32 slot, u32 domain,
				 u32 value, u16 did, u64 table_pa)
{
	struct iommu_pasid_ser *pasid;

	pasid = vec_pasid(image, slot, VEC_DEVICE_SECOND, domain, value);
	pasid->vtd.table_pa = table_pa;
	pasid->vtd.did = did;
	vec_entry(image, domain, did, pasid->vtd.entry);
}

static inline void vec_drop_pasids(struct vec_image *image)
{
	struct iommu_device_ser *device = vec_slot(image, VEC_DEVICE_SECOND);
	u32 slot;

	for (slot = VEC_PASID_A; slot <= VEC_PASID_C; slot++)
		memset(vec_slot(image, slot), 0, IOMMU_SER_SLOT_SIZE);
	device->nr_pasids = 0;
}

static inline void vec_build_mock(struct vec_image *image)
{
	static const char name[] = "iommufd_mock/iommufd_mock0";
	struct iommu_device_ser *device;

	vec_unit(image, VEC_UNIT_MOCK, IOMMU_SER_DRIVER_MOCK, 0xfed92000, 1);
	vec_domain(image, VEC_DOMAIN_MOCK, IOMMU_SER_DRIVER_MOCK,
		   IOMMU_PT_SER_AMDV1_MOCK, 0x30003000, 2);
	device = vec_device(image, VEC_DEVICE_MOCK, IOMMU_SER_DRIVER_MOCK,
			    VEC_UNIT_MOCK, VEC_DOMAIN_MOCK);
	device->bus = IOMMU_DEVICE_SER_NAMED;
	memcpy(device->name, name, sizeof(name));
	vec_pasid(image, VEC_PASID_MOCK, VEC_DEVICE_MOCK, VEC_DOMAIN_MOCK, 7);
}

static inline void vec_build(struct vec_image *image)
{
	struct iommu_ser *root = vec_root(image);

	memset(image, 0, sizeof(*image));
	root->magic = IOMMU_SER_MAGIC;
	root->version = IOMMU_SER_VERSION_MIN;
	root->size = sizeof(*root);
	root->first_chunk_pa = VEC_CHUNK0_PA;
	root->nr_chunks = 2;
	vec_chunk(image, 0)->next_pa = VEC_CHUNK1_PA;
	vec_chunk(image, 1)->index = 1;

	vec_unit_vtd(image, VEC_UNIT_LEGACY, 0xfed90000, 0x20000000, false);
	vec_unit_vtd(image, VEC_UNIT_SCALABLE, 0xfed91000, 0x21000000, true);
	vec_domain(image, VEC_DOMAIN_LEGACY, IOMMU_SER_DRIVER_VTD,
		   IOMMU_PT_SER_VTDSS, 0x30000000, 2);
	vec_domain(image, VEC_DOMAIN_SECOND, IOMMU_SER_DRIVER_VTD,
		   IOMMU_PT_SER_VTDSS, 0x30001000, 3);
	vec_domain(image, VEC_DOMAIN_FIRST, IOMMU_SER_DRIVER_VTD,
		   IOMMU_PT_SER_X86_64, 0x30002000, 2);
	vec_device_legacy(image, VEC_DEVICE_LEGACY_A, 0x18);
	vec_device_legacy(image, VEC_DEVICE_LEGACY_B, 0x20);
	vec_device_scalable(image, VEC_DEVICE_SECOND, VEC_DOMAIN_SECOND, 0x90,
			    8, 0x40000000);
	vec_device_scalable(image, VEC_DEVICE_FIRST, VEC_DOMAIN_FIRST, 0x108, 9,
			    0x40010000);
	vec_pasid_vtd(image, VEC_PASID_A, VEC_DOMAIN_SECOND, 5, 8, 0x40002000);
	vec_pasid_vtd(image, VEC_PASID_B, VEC_DOMAIN_FIRST, 70, 9, 0x40003000);
	vec_pasid_vtd(image, VEC_PASID_C, VEC_DOMAIN_SECOND, 71, 8, 0x40003000);
	vec_build_mock(image);
}

static inline bool vec_is_pasid(u32 slot)
{
	return slot >= VEC_PASID_A && slot <= VEC_PASID_C;
}

static inline bool vec_used(u32 slot)
{
	return slot <= VEC_DEVICE_FIRST || vec_is_pasid(slot) ||
	       (slot >= VEC_UNIT_MOCK && slot <= VEC_PASID_MOCK);
}

/* Cannot the device in @slot be used without the record @bad? */
static inline bool vec_device_needs(u32 slot, u32 bad)
{
	switch (slot) {
	case VEC_DEVICE_LEGACY_A:
	case VEC_DEVICE_LEGACY_B:
		return bad == VEC_UNIT_LEGACY || bad == VEC_DOMAIN_LEGACY;
	case VEC_DEVICE_SECOND:
		return bad == VEC_UNIT_SCALABLE || bad == VEC_DOMAIN_SECOND ||
		       bad == VEC_DOMAIN_FIRST || vec_is_pasid(bad);
	case VEC_DEVICE_FIRST:
		return bad == VEC_UNIT_SCALABLE || bad == VEC_DOMAIN_FIRST;
	case VEC_DEVICE_MOCK:
		return bad == VEC_UNIT_MOCK || bad == VEC_DOMAIN_MOCK ||
		       bad == VEC_PASID_MOCK;
	}
	return false;
}

/* Is @slot, or what it needs, the record @bad? */
static inline bool vec_depends(u32 slot, u32 bad)
{
	if (vec_is_pasid(slot))
		slot = slot == bad ? bad : VEC_DEVICE_SECOND;
	if (slot == VEC_PASID_MOCK)
		slot = slot == bad ? bad : VEC_DEVICE_MOCK;
	return slot == bad || vec_device_needs(slot, bad);
}

/**
 * struct vec_change - One change to the good image and its price
 * @name: what is wrong
 * @slot: the record that is changed, and the only one that is refused, besides
 *	the devices that need it; or the root or a chunk, see below
 * @offset: of the changed field
 * @size: of the field, 1, 2, 4 or 8
 * @value: its new value
 * @ret: what the parser says about the record, or about the whole
 */
struct vec_change {
	const char *name;
	u32 slot;
	u16 offset;
	u16 size;
	u64 value;
	int ret;
};

/* vec_change.slot for what is not a record */
#define VEC_ROOT 0x10000
#define VEC_CHUNK(n) (0x10001 + (n))

static inline void vec_apply(struct vec_image *image,
			     const struct vec_change *change)
{
	u8 *where = change->slot >= VEC_ROOT ?
			    image->mem[change->slot - VEC_ROOT] :
			    (u8 *)vec_slot(image, change->slot);

	/* Little endian, as everything */
	memcpy(where + change->offset, &change->value, change->size);
}

/* Takes the type and the field at the end */
#define VEC_AT(where, new, err, ...)                                         \
	{                                                                    \
		.name = #where ": " #__VA_ARGS__ " = " #new, .slot = where,  \
		.offset = offsetof(__VA_ARGS__),                             \
		.size = sizeof_field(__VA_ARGS__), .value = new, .ret = err, \
	}
#define VEC_R(field, new, err) \
	VEC_AT(VEC_ROOT, new, err, struct iommu_ser, field)
#define VEC_C(n, field, new) \
	VEC_AT(VEC_CHUNK(n), new, -EINVAL, struct iommu_chunk_ser, field)
#define VEC_H(who, field, new, err) \
	VEC_AT(VEC_##who, new, err, struct iommu_record_ser, field)
#define VEC_U(who, field, new) \
	VEC_AT(VEC_UNIT_##who, new, -EINVAL, struct iommu_unit_ser, field)
#define VEC_D(who, field, new) \
	VEC_AT(VEC_DOMAIN_##who, new, -EINVAL, struct iommu_domain_ser, field)
#define VEC_V(who, field, new) \
	VEC_AT(VEC_DEVICE_##who, new, -EINVAL, struct iommu_device_ser, field)
#define VEC_P(who, field, new) \
	VEC_AT(VEC_PASID_##who, new, -EINVAL, struct iommu_pasid_ser, field)

/* The chain: a refusal is one of everything */
static const struct vec_change vec_chain_changes[] = {
	VEC_R(magic, 0, -EINVAL),
	VEC_R(magic, IOMMU_SER_MAGIC + 1, -EINVAL),
	VEC_R(version, 0, -EOPNOTSUPP),
	VEC_R(version, IOMMU_SER_VERSION + 1, -EOPNOTSUPP),
	VEC_R(size, 0, -EINVAL),
	VEC_R(size, 63, -EINVAL),
	VEC_R(size, VEC_PAGE + 1, -EINVAL),
	VEC_R(required, 1, -EOPNOTSUPP),
	VEC_R(required, 0x80000000, -EOPNOTSUPP),
	VEC_R(first_chunk_pa, 0, -EINVAL),
	VEC_R(first_chunk_pa, VEC_CHUNK0_PA + 8, -EINVAL),
	VEC_R(first_chunk_pa, VEC_ROOT_PA, -EINVAL),
	VEC_R(first_chunk_pa, VEC_CHUNK1_PA, -EINVAL),
	VEC_R(first_chunk_pa, 0x1000, -EINVAL),
	VEC_R(first_chunk_pa, 1ULL << 63, -EINVAL),
	VEC_R(nr_chunks, 0, -EINVAL),
	VEC_R(nr_chunks, 1, -EINVAL),
	VEC_R(nr_chunks, 3, -EINVAL),
	VEC_R(nr_chunks, IOMMU_SER_MAX_CHUNKS, -EINVAL),
	VEC_R(nr_chunks, IOMMU_SER_MAX_CHUNKS + 1, -EINVAL),
	VEC_R(nr_chunks, 0xffffffff, -EINVAL),
	VEC_R(reserved[0], 1, -EINVAL),
	VEC_R(reserved[6], 0x80000000, -EINVAL),
	VEC_C(0, next_pa, 0),
	VEC_C(0, next_pa, VEC_CHUNK0_PA),
	VEC_C(0, next_pa, VEC_ROOT_PA),
	VEC_C(0, next_pa, VEC_CHUNK1_PA + 1),
	VEC_C(0, next_pa, ~0ULL),
	VEC_C(0, index, 1),
	VEC_C(0, reserved[0], 1),
	VEC_C(0, reserved[60], 1),
	VEC_C(1, next_pa, VEC_CHUNK0_PA),
	VEC_C(1, next_pa, VEC_CHUNK1_PA),
	VEC_C(1, next_pa, 1),
	VEC_C(1, index, 0),
	VEC_C(1, index, 2),
	VEC_C(1, index, 0xffffffff),
};

/* Records: a refusal is one of the record and of the devices that need it */
static const struct vec_change vec_record_changes[] = {
	/* Heads */
	VEC_H(UNIT_LEGACY, type, 5, -EOPNOTSUPP),
	VEC_H(PASID_A, type, 5, -EOPNOTSUPP),
	VEC_H(PASID_B, type, IOMMU_RECORD_FREE, -ENOENT),
	VEC_H(PASID_MOCK, type, IOMMU_RECORD_FREE, -ENOENT),
	VEC_H(DEVICE_SECOND, type, 0xffff, -EOPNOTSUPP),
	VEC_H(DOMAIN_FIRST, type, IOMMU_RECORD_FREE, -ENOENT),
	VEC_H(DEVICE_FIRST, type, IOMMU_RECORD_FREE, -ENOENT),
	VEC_H(UNIT_SCALABLE, type, IOMMU_RECORD_FREE, -ENOENT),
	VEC_H(UNIT_MOCK, driver, IOMMU_SER_DRIVER_NONE, -EINVAL),
	VEC_H(UNIT_LEGACY, driver, IOMMU_SER_DRIVER_AMDVI, -EOPNOTSUPP),
	VEC_H(DOMAIN_SECOND, driver, IOMMU_SER_DRIVER_SMMUV3, -EOPNOTSUPP),
	VEC_H(DOMAIN_SECOND, driver, 5, -EOPNOTSUPP),
	VEC_H(DEVICE_LEGACY_B, driver, 0xffff, -EOPNOTSUPP),
	VEC_H(DEVICE_LEGACY_B, driver, IOMMU_SER_DRIVER_MOCK, -EINVAL),
	VEC_H(DOMAIN_MOCK, version, 0, -EINVAL),
	VEC_H(DOMAIN_MOCK, version, IOMMU_RECORD_VERSION + 1, -EOPNOTSUPP),
	VEC_H(UNIT_LEGACY, version, IOMMU_RECORD_VERSION + 1, -EOPNOTSUPP),
	VEC_H(DEVICE_LEGACY_B, version, IOMMU_RECORD_VERSION + 1, -EOPNOTSUPP),
	VEC_H(PASID_C, version, IOMMU_RECORD_VERSION + 1, -EOPNOTSUPP),
	VEC_H(UNIT_LEGACY, size, 0, -EINVAL),
	VEC_H(UNIT_LEGACY, size, 151, -EINVAL),
	VEC_H(UNIT_LEGACY, size, 257, -EINVAL),
	VEC_H(DOMAIN_LEGACY, size, 63, -EINVAL),
	VEC_H(DEVICE_LEGACY_B, size, 207, -EINVAL),
	VEC_H(DEVICE_LEGACY_B, size, 0xffff, -EINVAL),
	VEC_H(PASID_A, size, 111, -EINVAL),
	VEC_H(PASID_MOCK, driver, IOMMU_SER_DRIVER_VTD, -EINVAL),
	VEC_H(UNIT_LEGACY, required, 1, -EOPNOTSUPP),
	VEC_H(DEVICE_FIRST, required, 0x80000000, -EOPNOTSUPP),
	VEC_H(DEVICE_FIRST, required, IOMMU_DEVICE_SER_ATS, 0),
	VEC_H(DEVICE_FIRST, required, 2, -EOPNOTSUPP),
	VEC_H(DEVICE_FIRST, optional, IOMMU_DEVICE_SER_PRI, 0),
	VEC_H(PASID_A, required, 1, -EOPNOTSUPP),
	VEC_H(PASID_A, optional, 1, 0),
	VEC_H(DOMAIN_SECOND, required, IOMMU_DOMAIN_SER_FORCE_SNOOPING, 0),
	VEC_H(DOMAIN_SECOND, required, IOMMU_DOMAIN_SER_NEST_PARENT,
	      -EOPNOTSUPP),
	VEC_H(DOMAIN_SECOND, required, 0x10, -EOPNOTSUPP),

	/* Dirty tracking: who is able to, and who does */
	VEC_H(DOMAIN_SECOND, required, IOMMU_DOMAIN_SER_DIRTY_TRACKING,
	      -EINVAL),
	VEC_H(DOMAIN_FIRST, required, IOMMU_DOMAIN_SER_DIRTY_CAPABLE, -EINVAL),
	VEC_H(DOMAIN_FIRST, required, IOMMU_DOMAIN_SER_DIRTY_ANY, -EINVAL),
	VEC_H(DOMAIN_MOCK, required, IOMMU_DOMAIN_SER_DIRTY_TRACKING, -EINVAL),
	VEC_H(DOMAIN_MOCK, required, IOMMU_DOMAIN_SER_DIRTY_CAPABLE, 0),
	VEC_H(DOMAIN_MOCK, required, IOMMU_DOMAIN_SER_DIRTY_ANY, 0),
	VEC_H(UNIT_LEGACY, optional, 0xffffffff, 0),
	VEC_H(DOMAIN_LEGACY, optional, 1, 0),
	VEC_H(DEVICE_FIRST, optional, 0x80000000, 0),

	/* Units */
	VEC_U(LEGACY, reg_pa, 0),
	VEC_U(LEGACY, reg_pa, 0xfed90800),
	VEC_U(LEGACY, reg_pa, 1ULL << 52),
	VEC_U(SCALABLE, reg_pa, 0xfed90000),
	VEC_U(MOCK, reg_pa, 0xfed91000),
	VEC_U(LEGACY, segment, 0x10000),
	VEC_U(LEGACY, state, 0),
	VEC_U(LEGACY, state, 3),
	VEC_U(LEGACY, nr_devices, VEC_SLOTS + 1),
	VEC_U(LEGACY, reserved, 1),
	VEC_U(LEGACY, vtd.rtaddr, 0),
	VEC_U(LEGACY, vtd.rtaddr, 0x20000001),
	VEC_U(LEGACY, vtd.rtaddr, 0x20000800),
	VEC_U(LEGACY, vtd.rtaddr, 1ULL << 52),
	VEC_U(SCALABLE, vtd.rtaddr, 0x20000400),
	VEC_U(SCALABLE, vtd.rtaddr, VEC_ROOT_PA | 0x400),
	VEC_U(SCALABLE, vtd.rtaddr, VEC_CHUNK1_PA | 0x400),
	VEC_U(SCALABLE, vtd.rtaddr, 0x21010400),
	VEC_U(LEGACY, vtd.ir_table_pa, 0x20100800),
	VEC_U(LEGACY, vtd.ir_table_pa, 0x20001000),
	VEC_U(LEGACY, vtd.ir_table_pa, 0),
	VEC_U(LEGACY, vtd.ir_table_pa, 0x20000000),
	VEC_U(LEGACY, vtd.ir_order, 9),
	VEC_U(LEGACY, vtd.ir_order, 255),
	VEC_U(SCALABLE, vtd.prq_pa, 0x21001000),
	VEC_U(SCALABLE, vtd.prq_pa, 0),
	VEC_U(SCALABLE, vtd.prq_pa, 0x21100000),
	VEC_U(SCALABLE, vtd.prq_pa, 0x20110000),
	VEC_U(SCALABLE, vtd.prq_order, 9),
	VEC_U(LEGACY, vtd.prq_order, 1),
	VEC_U(LEGACY, vtd.ctx_kept[0], 3),
	VEC_U(LEGACY, vtd.ctx_kept[7], 1ULL << 63),
	VEC_U(LEGACY, vtd.reserved[0], 1),
	VEC_U(LEGACY, vtd.reserved[5], 1),
	VEC_U(LEGACY, raw[215], 1),

	/* Domains */
	VEC_D(LEGACY, pt.format, 0),
	VEC_AT(VEC_DOMAIN_LEGACY, 5, -EOPNOTSUPP, struct iommu_domain_ser,
	       pt.format),
	VEC_D(SECOND, pt.format, IOMMU_PT_SER_AMDV1),
	VEC_D(SECOND, pt.format, IOMMU_PT_SER_AMDV1_MOCK),
	VEC_AT(VEC_DOMAIN_LEGACY, 0x100, -EOPNOTSUPP, struct iommu_domain_ser,
	       pt.features),
	VEC_D(LEGACY, pt.features, IOMMU_PT_SER_SIGN_EXTEND),
	VEC_D(LEGACY, pt.features, IOMMU_PT_SER_DYNAMIC_TOP),
	VEC_D(FIRST, pt.features, IOMMU_PT_SER_FORCE_COHERENCE),
	VEC_D(MOCK, pt.features, IOMMU_PT_SER_FLUSH_RANGE),
	VEC_D(LEGACY, pt.top_pa, 0),
	VEC_D(LEGACY, pt.top_pa, 0x30000800),
	VEC_D(LEGACY, pt.top_pa, 1ULL << 52),
	VEC_D(SECOND, pt.top_pa, 0x30000000),
	VEC_D(LEGACY, pt.top_pa, VEC_CHUNK0_PA),
	VEC_D(LEGACY, pt.top_pa, VEC_ROOT_PA),
	VEC_D(LEGACY, pt.top_pa, 0x201ff000),
	VEC_D(LEGACY, pt.nr_tables, 0),
	VEC_D(LEGACY, pt.nr_tables, ~0ULL),
	VEC_D(LEGACY, pt.pgsize_bitmap, 0),
	VEC_D(LEGACY, pt.pgsize_bitmap, 0x800),
	VEC_D(LEGACY, pt.top_level, 1),
	VEC_D(LEGACY, pt.top_level, 5),
	VEC_D(FIRST, pt.top_level, 2),
	VEC_D(MOCK, pt.top_level, 255),
	VEC_D(LEGACY, pt.max_vasz_lg2, 0),
	VEC_D(LEGACY, pt.max_vasz_lg2, 30),
	VEC_D(LEGACY, pt.max_vasz_lg2, 49),
	VEC_D(LEGACY, pt.max_vasz_lg2, 58),
	VEC_D(LEGACY, pt.max_vasz_lg2, 255),
	VEC_D(MOCK, pt.max_vasz_lg2, 48),
	VEC_D(LEGACY, pt.max_oasz_lg2, 0),
	VEC_D(LEGACY, pt.max_oasz_lg2, 12),
	VEC_D(LEGACY, pt.max_oasz_lg2, 53),
	VEC_D(MOCK, pt.max_oasz_lg2, 52),
	VEC_D(LEGACY, pt.top_order_lg2, 1),
	VEC_D(LEGACY, pt.top_order_lg2, 255),
	VEC_D(LEGACY, pt.reserved, 1),
	VEC_D(LEGACY, nr_attachments, VEC_SLOTS + 1),
	VEC_D(LEGACY, nid, 0x10000),
	VEC_D(LEGACY, raw[0], 1),
	VEC_D(LEGACY, raw[191], 1),

	/* Devices */
	VEC_V(LEGACY_B, unit, VEC_SLOTS),
	VEC_V(LEGACY_B, unit, 0xffffffff),
	VEC_V(LEGACY_B, unit, VEC_FREE),
	VEC_V(LEGACY_B, unit, VEC_DOMAIN_LEGACY),
	VEC_V(LEGACY_B, unit, VEC_DEVICE_LEGACY_B),
	VEC_V(LEGACY_B, unit, VEC_UNIT_MOCK),
	VEC_V(LEGACY_B, unit, VEC_UNIT_SCALABLE),
	VEC_V(LEGACY_B, domain, VEC_SLOTS),
	VEC_V(LEGACY_B, domain, VEC_UNIT_LEGACY),
	VEC_V(LEGACY_B, domain, VEC_DOMAIN_MOCK),
	VEC_V(LEGACY_B, domain, VEC_DOMAIN_SECOND),
	VEC_V(LEGACY_B, domain, VEC_DOMAIN_FIRST),
	VEC_V(LEGACY_B, bus, 0),
	VEC_V(LEGACY_B, bus, 3),
	VEC_V(LEGACY_B, bus, IOMMU_DEVICE_SER_NAMED),
	VEC_V(LEGACY_B, segment, 1),
	VEC_V(LEGACY_B, segment, 0x10000),
	VEC_V(LEGACY_B, rid, 0x10020),
	VEC_V(LEGACY_B, rid, 0x18),
	VEC_V(LEGACY_B, rid, 0x120),
	VEC_V(SECOND, rid, 0x190),
	VEC_V(SECOND, rid, 0x290),
	VEC_V(LEGACY_B, nr_pasids, 1),
	VEC_V(SECOND, nr_pasids, 0),
	VEC_V(SECOND, nr_pasids, 2),
	VEC_V(SECOND, nr_pasids, 4),
	VEC_V(SECOND, nr_pasids, VEC_SLOTS + 1),
	VEC_V(FIRST, nr_pasids, 1),
	VEC_V(MOCK, nr_pasids, 2),
	VEC_V(LEGACY_B, name[0], 'x'),
	VEC_V(LEGACY_B, name[47], 'x'),
	VEC_V(MOCK, name[0], 0),
	VEC_V(MOCK, name[3], '\n'),
	VEC_V(MOCK, name[47], 'x'),
	VEC_V(MOCK, rid, 1),
	VEC_V(MOCK, bus, IOMMU_DEVICE_SER_PCI),
	VEC_V(LEGACY_B, vtd.ctx[0], 0x30000000),
	VEC_V(LEGACY_B, vtd.ctx[0], 0x30000009),
	VEC_V(LEGACY_B, vtd.ctx[0], 0x30001001),
	VEC_V(LEGACY_B, vtd.ctx[1], 1 | 7 << 8),
	VEC_V(LEGACY_B, vtd.ctx[1], 2 | 8 << 8),
	VEC_V(LEGACY_B, vtd.ctx[2], 1),
	VEC_V(LEGACY_B, vtd.ctx[3], 1),
	VEC_V(LEGACY_B, vtd.did, 8),
	VEC_V(LEGACY_B, vtd.did, 0),
	VEC_V(LEGACY_B, vtd.scalable, 1),
	VEC_V(LEGACY_B, vtd.scalable, 2),
	VEC_V(LEGACY_B, vtd.pasid_dir_pa, 0x40020000),
	VEC_V(LEGACY_B, vtd.pasid_table_pa, 0x40020000),
	VEC_V(LEGACY_B, vtd.max_pasid, 1),
	VEC_V(LEGACY_B, vtd.pasid_dir_order, 1),
	VEC_V(LEGACY_B, vtd.pasid0[0], 1),
	VEC_V(LEGACY_B, vtd.pasid0[7], 1),
	VEC_V(LEGACY_B, raw[167], 1),
	VEC_V(SECOND, vtd.scalable, 0),
	VEC_V(SECOND, vtd.pasid_dir_pa, 0),
	VEC_V(SECOND, vtd.pasid_dir_pa, 0x40001000),
	VEC_V(FIRST, vtd.pasid_dir_pa, 0x40000000),
	VEC_V(SECOND, vtd.pasid_dir_order, 6),
	VEC_V(SECOND, vtd.pasid_dir_order, 255),
	VEC_V(SECOND, vtd.max_pasid, 1U << 15),
	VEC_V(SECOND, vtd.max_pasid, 0),
	VEC_V(SECOND, vtd.pasid_table_pa, 0),
	VEC_V(SECOND, vtd.pasid_table_pa, 0x40002004),
	VEC_V(SECOND, vtd.pasid_table_pa, 0x40001000),
	VEC_V(SECOND, vtd.pasid_table_pa, 0x30000000),
	VEC_V(SECOND, vtd.pasid_table_pa, 0x21100000),
	VEC_V(FIRST, vtd.pasid_table_pa, 0x40002000),
	VEC_V(SECOND, vtd.pasid_table_pa, VEC_ROOT_PA),
	VEC_V(SECOND, vtd.ctx[0], 0x40000000),
	VEC_V(SECOND, vtd.ctx[0], 0x40000000 | 4 << 9 | 1),
	VEC_V(SECOND, vtd.ctx[0], 0x40002601),
	VEC_V(SECOND, vtd.ctx[1], 1),
	VEC_V(SECOND, vtd.pasid0[0], 0x30001000 | 2 << 6 | 2 << 2),
	VEC_V(SECOND, vtd.pasid0[0], 0x30001000 | 1 << 6 | 2 << 2 | 1),
	VEC_V(SECOND, vtd.pasid0[0], 0x30001000 | 4 << 6 | 2 << 2 | 1),
	VEC_V(SECOND, vtd.pasid0[0], 0x30001000 | 2 << 6 | 3 << 2 | 1),
	VEC_V(SECOND, vtd.pasid0[0], 0x30000000 | 2 << 6 | 2 << 2 | 1),
	VEC_V(SECOND, vtd.pasid0[0], 0x30001000 | 0x200 | 2 << 6 | 2 << 2 | 1),
	VEC_V(SECOND, vtd.pasid0[1], 9),
	VEC_V(FIRST, vtd.pasid0[0], 2 << 6 | 2 << 2 | 1),
	VEC_V(FIRST, vtd.pasid0[0], 0x200 | 1 << 6 | 2 << 2 | 1),
	VEC_V(FIRST, vtd.pasid0[2], 0x30001000),
	VEC_V(FIRST, vtd.pasid0[2], 0x30002000 | 1 << 2),
	VEC_V(FIRST, vtd.did, 1),

	/* PASIDs */
	VEC_P(A, device, VEC_SLOTS),
	VEC_P(A, device, VEC_FREE),
	VEC_P(A, device, VEC_UNIT_SCALABLE),
	VEC_P(A, device, VEC_PASID_A),
	VEC_P(A, device, VEC_DEVICE_LEGACY_A),
	VEC_P(A, device, VEC_DEVICE_FIRST),
	VEC_P(A, device, VEC_DEVICE_MOCK),
	VEC_P(A, domain, VEC_SLOTS),
	VEC_P(A, domain, VEC_DEVICE_SECOND),
	VEC_P(A, domain, VEC_DOMAIN_MOCK),
	VEC_P(A, domain, VEC_DOMAIN_LEGACY),
	VEC_P(A, domain, VEC_DOMAIN_FIRST),
	VEC_P(A, pasid, 0),
	VEC_P(A, pasid, 70),
	VEC_P(A, pasid, 0x10000),
	VEC_P(A, pasid, 0x100000),
	VEC_P(B, pasid, 7),
	VEC_P(B, pasid, 71),
	VEC_P(C, pasid, 70),
	VEC_P(A, reserved, 1),
	VEC_P(A, vtd.table_pa, 0x40003000),
	VEC_P(B, vtd.table_pa, 0),
	VEC_P(B, vtd.table_pa, 0x40003004),
	VEC_P(B, vtd.table_pa, 0x40001000),
	VEC_P(B, vtd.table_pa, 0x40002000),
	VEC_P(B, vtd.table_pa, 0x40004000),
	VEC_P(B, vtd.table_pa, 0x40012000),
	VEC_P(B, vtd.table_pa, 0x30000000),
	VEC_P(B, vtd.table_pa, VEC_CHUNK1_PA),
	VEC_P(C, vtd.table_pa, 0x40004000),
	VEC_P(A, vtd.entry[0], 0x30001000 | 2 << 6 | 2 << 2),
	VEC_P(A, vtd.entry[0], 0x30000000 | 2 << 6 | 2 << 2 | 1),
	VEC_P(A, vtd.entry[0], 0x30001000 | 4 << 6 | 2 << 2 | 1),
	VEC_P(A, vtd.entry[0], 0x30001000 | 0x200 | 2 << 6 | 2 << 2 | 1),
	VEC_P(B, vtd.entry[2], 0x30001000),
	VEC_P(A, vtd.entry[1], 9),
	VEC_P(A, vtd.did, 9),
	VEC_P(A, vtd.reserved[0], 1),
	VEC_P(A, raw[223], 1),
	VEC_P(MOCK, pasid, 0),
	VEC_P(MOCK, device, VEC_UNIT_MOCK),
	VEC_P(MOCK, domain, VEC_DOMAIN_FIRST),
};

/**
 * struct vec_dirty - One change to the image in which a domain tracks dirty
 * @change: to any record, its ret is what the parser says about @victim
 * @victim: a device
 */
struct vec_dirty {
	struct vec_change change;
	u32 victim;
};

#define VEC_T(who, new, err, type, field, owner)                           \
	{                                                                  \
		.change = VEC_AT(VEC_##who, new, err, struct iommu_##type, \
				 field),                                   \
		.victim = VEC_DEVICE_##owner,                              \
	}

/* After vec_track_dirty(): unit, domain and entries have to agree */
static const struct vec_dirty vec_dirty_changes[] = {
	VEC_T(DOMAIN_SECOND, IOMMU_DOMAIN_SER_DIRTY_ANY, 0, record_ser,
	      required, SECOND),
	VEC_T(DOMAIN_SECOND, 0, -EINVAL, record_ser, required, SECOND),
	VEC_T(DOMAIN_SECOND, IOMMU_DOMAIN_SER_DIRTY_CAPABLE, -EINVAL,
	      record_ser, required, SECOND),
	VEC_T(DOMAIN_SECOND, IOMMU_DOMAIN_SER_DIRTY_TRACKING, -EINVAL,
	      record_ser, required, SECOND),
	VEC_T(UNIT_SCALABLE, 0xf00f5eULL, -EINVAL, unit_ser, vtd.ecap, SECOND),
	VEC_T(UNIT_SCALABLE, 0xf00f5eULL, 0, unit_ser, vtd.ecap, LEGACY_A),
	VEC_T(DEVICE_SECOND, 0x30001000 | 2 << 6 | 2 << 2 | 1, -EINVAL,
	      device_ser, vtd.pasid0[0], SECOND),
	VEC_T(PASID_A, 0x30001000 | 2 << 6 | 2 << 2 | 1, -EINVAL, pasid_ser,
	      vtd.entry[0], SECOND),
	VEC_T(DOMAIN_LEGACY, IOMMU_DOMAIN_SER_DIRTY_CAPABLE, -EINVAL,
	      record_ser, required, LEGACY_A),
	VEC_T(DOMAIN_LEGACY, IOMMU_DOMAIN_SER_DIRTY_ANY, -EINVAL, record_ser,
	      required, LEGACY_A),
};

/* The second stage domain tracks, as its entries say and its unit is able to */
static inline void vec_track_dirty(struct vec_image *image)
{
	struct iommu_unit_ser *unit = vec_slot(image, VEC_UNIT_SCALABLE);
	struct iommu_domain_ser *domain = vec_slot(image, VEC_DOMAIN_SECOND);
	struct iommu_device_ser *device = vec_slot(image, VEC_DEVICE_SECOND);
	struct iommu_pasid_ser *a = vec_slot(image, VEC_PASID_A);
	struct iommu_pasid_ser *c = vec_slot(image, VEC_PASID_C);

	unit->vtd.ecap |= 1ULL << 45;
	domain->head.required |= IOMMU_DOMAIN_SER_DIRTY_ANY;
	device->vtd.pasid0[0] |= 0x200;
	a->vtd.entry[0] |= 0x200;
	c->vtd.entry[0] |= 0x200;
}

#undef VEC_T
#undef VEC_P
#undef VEC_V
#undef VEC_D
#undef VEC_U
#undef VEC_H
#undef VEC_C
#undef VEC_R
#undef VEC_AT

#endif /* __IOMMU_LIVEUPDATE_PARSE_VECTORS_H */
