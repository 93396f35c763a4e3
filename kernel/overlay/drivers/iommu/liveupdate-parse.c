// SPDX-License-Identifier: GPL-2.0-only
/*
 * Parser of the records of IOMMU live update
 *
 * What another kernel handed over is read here, and nowhere else, before it is
 * believed. The other kernel may be of another version, may have a bug, or may
 * have been overwritten. The format is described in
 * include/linux/kho/abi/iommu.h.
 *
 * This is a pure function of the memory: no allocation, no lock, no state of
 * the kernel, no log. It is handed a way to map memory, and it hands back
 * errnos and the reason as a string. So the same source is built for the
 * kernel, for KUnit, for the fuzzer and for userspace. The caller owns all of
 * the memory; the records have to stay as they are for as long as a
 * struct iommu_parse over them is used, which is a matter of course after the
 * jump, when nobody owns them who could write.
 *
 * The chain is checked once, by iommu_liveupdate_parse_root(), after which any
 * slot can be found. If that fails nothing can be believed. A struct iommu_parse
 * remembers the chunk that was used last, so two must not use it at a time. A
 * record is checked each time it is asked for, with everything that it refers
 * to, so the order of the calls does not matter. A record that is refused costs
 * only the objects that need it. Hence these rules for what concerns two records:
 *
 *  - Memory, the identity of a unit, device or PASID, and a place among those
 *    that a unit, domain or device counts go to the record with the lowest slot
 *    that is good by itself. The later one is refused.
 *  - A unit or domain with fewer records that name it than it counts is good. A
 *    damaged device record must not cost its unit. The caller can ask how many
 *    are missing, to say so.
 *  - A device is good only if its unit and its domain are, and if all the PASIDs
 *    that it counts are: a device that lost one of them would not do what its
 *    owner believes. A PASID is good only if its device is.
 *
 * Cost: a unit or domain is compared with each record of a lower slot once, a
 * device three times (itself, its unit and its domain) and twice more for each of
 * its PASIDs, each comparison ending at the first field that differs. A PASID asks
 * for all PASIDs of its device, too; that answer is remembered for one device,
 * because the records of one mostly come together. All n records take n^2 such
 * comparisons then: nothing for hundreds of records. A step back in the chain
 * begins at its head, so it is n^3 where records do not come together, or have
 * domain ids that do not agree, which IOMMU_SER_MAX_CHUNKS bounds.
 *
 * What the hardware does with the tables is not known here. The driver compares
 * the records with it afterwards.
 */
#include "liveupdate-parse.h"

/* No physical address of a supported machine has more bits. */
#define PA_BITS 52

/* No table is larger than this. */
#define MAX_ORDER 8

/* The largest PASID directory: 20 bits of PASID */
#define MAX_PASID_DIR_ORDER 5

/* A PASID table is for PASIDs that differ in this many bits */
#define VTD_PASID_TABLE_LG2 6

#define MAX_SEGMENT 0xffff
#define MAX_RID 0xffff
#define MAX_NID 0xffff
#define NID_ANY (~0U)

/* Domain ids 0 and 1 are never given to a domain. */
#define VTD_FIRST_DID 2

#define VTD_ADDR_MASK (~0xfffULL)
#define VTD_RTADDR_SCALABLE BIT_ULL(10)

/* VT-d specification: fields of registers and entries */
struct vtd_field {
	u8 first;
	u8 width;
};

static const struct vtd_field cap_nd = { 0, 3 };
static const struct vtd_field ecap_ssads = { 45, 1 };
static const struct vtd_field ctx_lo_present = { 0, 1 };
static const struct vtd_field ctx_lo_tt = { 2, 2 };
static const struct vtd_field ctx_hi_aw = { 0, 3 };
static const struct vtd_field ctx_hi_did = { 8, 16 };
static const struct vtd_field sm_ctx_lo_pdts = { 9, 3 };
static const struct vtd_field sm_ctx_hi_rid_pasid = { 0, 20 };
static const struct vtd_field pasid_0_present = { 0, 1 };
static const struct vtd_field pasid_0_aw = { 2, 3 };
static const struct vtd_field pasid_0_pgtt = { 6, 3 };
static const struct vtd_field pasid_0_ssade = { 9, 1 };
static const struct vtd_field pasid_1_did = { 0, 16 };
static const struct vtd_field pasid_2_flpm = { 2, 2 };

/* Translation types */
#define VTD_TT_DEV_TLB 1
#define VTD_PGTT_FIRST 1
#define VTD_PGTT_SECOND 2

/* The record that is checked */
struct subject {
	struct iommu_parse *p;
	u32 slot;
	/* Whether the reason for a refusal is wanted */
	bool explain;
};

static bool good_alone(struct iommu_parse *p, u32 slot);

/* Tables that belong to one record */
struct claim {
	const char *field;
	u64 pa;
	unsigned int order;
};

#define MAX_CLAIMS 3

/* What a page table format can be */
struct format_limits {
	u8 min_level;
	u8 max_level;
	u8 min_vasz_lg2;
	u8 max_vasz_lg2;
	u8 max_oasz_lg2;
	u8 granule_lg2;
	u32 features;
};

static const struct format_limits format_limits[] = {
	[IOMMU_PT_SER_VTDSS] = {
		2, 4, 31, 57, 52, 12,
		IOMMU_PT_SER_FLUSH_RANGE | IOMMU_PT_SER_DMA_INCOHERENT |
		IOMMU_PT_SER_FORCE_COHERENCE | IOMMU_PT_SER_FORCE_WRITEABLE,
	},
	[IOMMU_PT_SER_X86_64] = {
		3, 4, 31, 57, 52, 12,
		IOMMU_PT_SER_FLUSH_RANGE | IOMMU_PT_SER_FLUSH_NO_GAPS |
		IOMMU_PT_SER_SIGN_EXTEND | IOMMU_PT_SER_DMA_INCOHERENT |
		IOMMU_PT_SER_ENCRYPT_TABLES,
	},
	[IOMMU_PT_SER_AMDV1] = {
		1, 5, 13, 64, 52, 12,
		IOMMU_PT_SER_FLUSH_RANGE | IOMMU_PT_SER_FLUSH_NO_GAPS |
		IOMMU_PT_SER_DYNAMIC_TOP | IOMMU_PT_SER_FORCE_COHERENCE |
		IOMMU_PT_SER_ENCRYPT_TABLES,
	},
	[IOMMU_PT_SER_AMDV1_MOCK] = { 1, 4, 13, 56, 51, 11, 0 },
};

static int refuse_as(const struct subject *s, int ret, const char *field,
		     const char *why, u64 value)
{
	if (s->explain) {
		s->p->error.slot = s->slot;
		s->p->error.field = field;
		s->p->error.why = why;
		s->p->error.value = value;
	}
	return ret;
}

static int refuse(const struct subject *s, const char *field, const char *why,
		  u64 value)
{
	return refuse_as(s, -EINVAL, field, why, value);
}

static int unsupported(const struct subject *s, const char *field, u64 value)
{
	return refuse_as(s, -EOPNOTSUPP, field, "not supported", value);
}

static unsigned int bits(u64 word, struct vtd_field field)
{
	return (word >> field.first) & (BIT_ULL(field.width) - 1);
}

static bool all_zero(const void *mem, size_t size)
{
	const u8 *bytes = mem;
	size_t i;

	for (i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

/* A table of this order may be at @pa. */
static bool pa_sane(u64 pa, unsigned int order)
{
	u64 size;

	if (!pa || order > MAX_ORDER)
		return false;
	size = BIT_ULL(order + IOMMU_SER_PAGE_SIZE_LG2);
	return !(pa & (size - 1)) && pa < BIT_ULL(PA_BITS);
}

/* Memory that could be mapped once can be mapped again. */
static const struct iommu_chunk_ser *chunk_at(struct iommu_parse *p, u32 index)
{
	u64 pa;

	if (p->chunk && index == p->chunk_index)
		return p->chunk;
	if (!p->chunk || index < p->chunk_index) {
		p->chunk_index = 0;
		pa = p->root->first_chunk_pa;
		p->chunk = p->mem.map(p->mem.ctx, pa, IOMMU_SER_CHUNK_SIZE);
	}
	while (p->chunk && p->chunk_index < index) {
		p->chunk_index++;
		pa = p->chunk->next_pa;
		p->chunk = p->mem.map(p->mem.ctx, pa, IOMMU_SER_CHUNK_SIZE);
	}
	return p->chunk;
}

/* Cheap when the slots are visited in order */
static const struct iommu_record_ser *record_at(struct iommu_parse *p, u32 slot)
{
	static const struct iommu_record_ser free_record;
	const u8 *chunk;

	if (slot >= p->nr_slots)
		return &free_record;
	chunk = (const u8 *)chunk_at(p, slot / IOMMU_SER_SLOTS_PER_CHUNK);
	if (!chunk)
		return &free_record;
	chunk += sizeof(struct iommu_chunk_ser);
	chunk += slot % IOMMU_SER_SLOTS_PER_CHUNK * IOMMU_SER_SLOT_SIZE;
	return (const struct iommu_record_ser *)chunk;
}

static bool version_known(const struct iommu_record_ser *rec)
{
	return rec->version >= IOMMU_RECORD_VERSION_MIN &&
	       rec->version <= IOMMU_RECORD_VERSION;
}

/* The record in @slot if it is of @type and can be read at all, or NULL */
static const void *typed_at(struct iommu_parse *p, u32 slot, u16 type)
{
	const struct iommu_record_ser *rec = record_at(p, slot);

	return rec->type == type && version_known(rec) ? rec : NULL;
}

static int check_root(const struct iommu_ser *root, struct subject *s)
{
	if (root->magic != IOMMU_SER_MAGIC)
		return refuse(s, "magic", "wrong", root->magic);
	if (root->version < IOMMU_SER_VERSION_MIN ||
	    root->version > IOMMU_SER_VERSION)
		return unsupported(s, "version", root->version);
	if (root->size < sizeof(*root) ||
	    root->size > BIT_ULL(IOMMU_SER_PAGE_SIZE_LG2))
		return refuse(s, "size", "wrong", root->size);
	if (root->required)
		return unsupported(s, "required", root->required);
	/* An optional flag may give a meaning to bytes that had none. */
	if (!root->optional &&
	    !all_zero(root->reserved, sizeof(root->reserved)))
		return refuse(s, "reserved", "not 0", 0);
	if (root->nr_chunks > IOMMU_SER_MAX_CHUNKS)
		return refuse(s, "nr_chunks", "too many", root->nr_chunks);
	return 0;
}

/**
 * iommu_liveupdate_parse_root - Check the root and the chain of chunks
 * @mem: how to get at the memory
 * @root_pa: physical address of the root, as handed over
 * @p: filled, on failure only for iommu_parse_reason()
 *
 * Return: 0; -EOPNOTSUPP for a version or required flag that is not known;
 * -EINVAL for anything else that is wrong, after which no record can be believed.
 */
int iommu_liveupdate_parse_root(const struct iommu_parse_mem *mem, u64 root_pa,
				struct iommu_parse *p)
{
	struct subject s = {
		.p = p,
		.slot = IOMMU_PARSE_NO_SLOT,
		.explain = true,
	};
	const struct iommu_chunk_ser *chunk;
	u32 i;
	u64 pa;
	int ret;

	memset(p, 0, sizeof(*p));
	p->pasids_slot = IOMMU_PARSE_NO_SLOT;
	p->mem = *mem;
	p->root_pa = root_pa;
	if (!pa_sane(root_pa, 0))
		return refuse(&s, "root", "bad address", root_pa);
	p->root = mem->map(mem->ctx, root_pa, sizeof(*p->root));
	if (!p->root)
		return refuse(&s, "root", "not preserved", root_pa);
	ret = check_root(p->root, &s);
	if (ret)
		return ret;

	/* An index is at one place in the chain only, so there is no loop. */
	pa = p->root->first_chunk_pa;
	for (i = 0; i < p->root->nr_chunks; i++) {
		if (!pa_sane(pa, 0) || pa == root_pa)
			return refuse(&s, "next_pa", "bad address", pa);
		chunk = mem->map(mem->ctx, pa, IOMMU_SER_CHUNK_SIZE);
		if (!chunk)
			return refuse(&s, "next_pa", "not preserved", pa);
		if (chunk->index != i)
			return refuse(&s, "index", "out of order",
				      chunk->index);
		if (!all_zero(chunk->reserved, sizeof(chunk->reserved)))
			return refuse(&s, "chunk reserved", "not 0", pa);
		pa = chunk->next_pa;
	}
	if (pa)
		return refuse(&s, "nr_chunks", "too few", i);

	p->nr_slots = i * IOMMU_SER_SLOTS_PER_CHUNK;
	return 0;
}

/* Bytes of a record that have a meaning in every version that is read */
static unsigned int known_size(const struct iommu_record_ser *rec)
{
	bool vtd = rec->driver == IOMMU_SER_DRIVER_VTD;

	switch (rec->type) {
	case IOMMU_RECORD_UNIT:
		return offsetof(struct iommu_unit_ser, raw) +
		       (vtd ? sizeof(struct iommu_unit_vtd_ser) : 0);
	case IOMMU_RECORD_DOMAIN:
		return offsetof(struct iommu_domain_ser, raw);
	case IOMMU_RECORD_DEVICE:
		return offsetof(struct iommu_device_ser, raw) +
		       (vtd ? sizeof(struct iommu_device_vtd_ser) : 0);
	default:
		return offsetof(struct iommu_pasid_ser, raw) +
		       (vtd ? sizeof(struct iommu_pasid_vtd_ser) : 0);
	}
}

/* Flags that must be known, and are */
static u32 known_required(u16 type)
{
	switch (type) {
	case IOMMU_RECORD_DOMAIN:
		return IOMMU_DOMAIN_SER_KNOWN;
	case IOMMU_RECORD_DEVICE:
		return IOMMU_DEVICE_SER_KNOWN;
	default:
		return 0;
	}
}

static int check_head(const struct iommu_record_ser *rec,
		      const struct subject *s)
{
	const u8 *bytes = (const u8 *)rec;
	unsigned int known;

	if (rec->type > IOMMU_RECORD_PASID)
		return unsupported(s, "type", rec->type);
	if (rec->driver == IOMMU_SER_DRIVER_NONE)
		return refuse(s, "driver", "missing", rec->driver);
	if (rec->driver != IOMMU_SER_DRIVER_VTD &&
	    rec->driver != IOMMU_SER_DRIVER_MOCK)
		return unsupported(s, "driver", rec->driver);
	if (!rec->version)
		return refuse(s, "version", "missing", rec->version);
	if (!version_known(rec))
		return unsupported(s, "version", rec->version);

	known = known_size(rec);
	if (rec->size < known || rec->size > IOMMU_SER_SLOT_SIZE)
		return refuse(s, "size", "wrong", rec->size);
	if (rec->required & ~known_required(rec->type))
		return unsupported(s, "required", rec->required);

	/* An optional flag may give a meaning to bytes that had none. */
	if (rec->optional || rec->driver == IOMMU_SER_DRIVER_MOCK)
		known = rec->size;
	if (!all_zero(bytes + known, IOMMU_SER_SLOT_SIZE - known))
		return refuse(s, "unused bytes", "not 0", known);
	return 0;
}

static unsigned int add_claim(struct claim *claims, unsigned int n,
			      const char *field, u64 pa, unsigned int order)
{
	/* The record itself is refused for an address that is not sane. */
	if (!pa_sane(pa, order))
		return n;
	claims[n].field = field;
	claims[n].pa = pa;
	claims[n].order = order;
	return n + 1;
}

/* The tables of a record; there are none when it cannot be read. */
static unsigned int get_claims(const struct iommu_record_ser *rec,
			       struct claim claims[MAX_CLAIMS])
{
	const struct iommu_unit_ser *unit = (const void *)rec;
	const struct iommu_domain_ser *domain = (const void *)rec;
	const struct iommu_device_ser *device = (const void *)rec;
	const struct iommu_pasid_ser *pasid = (const void *)rec;
	bool vtd = rec->driver == IOMMU_SER_DRIVER_VTD;
	unsigned int n = 0;

	if (!version_known(rec))
		return 0;

	if (rec->type == IOMMU_RECORD_UNIT && vtd) {
		n = add_claim(claims, n, "rtaddr",
			      unit->vtd.rtaddr & VTD_ADDR_MASK, 0);
		n = add_claim(claims, n, "ir_table_pa", unit->vtd.ir_table_pa,
			      unit->vtd.ir_order);
		n = add_claim(claims, n, "prq_pa", unit->vtd.prq_pa,
			      unit->vtd.prq_order);
	} else if (rec->type == IOMMU_RECORD_DOMAIN) {
		n = add_claim(claims, n, "top_pa", domain->pt.top_pa,
			      domain->pt.top_order_lg2);
	} else if (rec->type == IOMMU_RECORD_DEVICE && vtd) {
		n = add_claim(claims, n, "pasid_dir_pa",
			      device->vtd.pasid_dir_pa,
			      device->vtd.pasid_dir_order);
		n = add_claim(claims, n, "pasid_table_pa",
			      device->vtd.pasid_table_pa, 0);
	} else if (rec->type == IOMMU_RECORD_PASID && vtd &&
		   pasid->pasid >> VTD_PASID_TABLE_LG2) {
		/* The first table is the device's own claim */
		n = add_claim(claims, n, "table_pa", pasid->vtd.table_pa, 0);
	}
	return n;
}

/* PASIDs of one device that are in one PASID table */
static bool share_table(const struct iommu_record_ser *a,
			const struct iommu_record_ser *b)
{
	const struct iommu_pasid_ser *one = (const void *)a;
	const struct iommu_pasid_ser *two = (const void *)b;

	return a->type == IOMMU_RECORD_PASID && b->type == IOMMU_RECORD_PASID &&
	       one->device == two->device &&
	       one->pasid >> VTD_PASID_TABLE_LG2 ==
		       two->pasid >> VTD_PASID_TABLE_LG2;
}

static bool overlap(const struct claim *claim, u64 pa, unsigned int order)
{
	u64 mask = ~0ULL << (IOMMU_SER_PAGE_SIZE_LG2 +
			     (order > claim->order ? order : claim->order));

	/* Both are aligned to their size, so one contains the other or not. */
	return (claim->pa & mask) == (pa & mask);
}

static bool is_chunk(struct iommu_parse *p, const struct claim *claim)
{
	u64 pa = p->root->first_chunk_pa;
	u32 i;

	for (i = 0; i < p->root->nr_chunks; i++) {
		const struct iommu_chunk_ser *chunk = chunk_at(p, i);

		if (overlap(claim, pa, 0))
			return true;
		if (!chunk)
			break;
		pa = chunk->next_pa;
	}
	return false;
}

/* No table is used twice: not by the chain, this or an earlier record. */
static int check_claims(const struct iommu_record_ser *rec,
			const struct subject *s)
{
	struct claim claims[MAX_CLAIMS], others[MAX_CLAIMS];
	const unsigned int n = get_claims(rec, claims);
	const struct iommu_record_ser *other;
	unsigned int i, j, nr_others;
	u32 k;

	for (i = 0; i < n; i++) {
		if (overlap(&claims[i], s->p->root_pa, 0))
			return refuse(s, claims[i].field, "is the root",
				      claims[i].pa);
		for (j = 0; j < i; j++)
			if (overlap(&claims[i], claims[j].pa, claims[j].order))
				return refuse(s, claims[i].field, "used twice",
					      claims[i].pa);
		if (is_chunk(s->p, &claims[i]))
			return refuse(s, claims[i].field, "is a chunk",
				      claims[i].pa);
	}
	if (!n)
		return 0;

	for (k = 0; k < s->slot; k++) {
		other = record_at(s->p, k);
		if (share_table(rec, other))
			continue;
		nr_others = get_claims(other, others);
		for (i = 0; i < n * nr_others; i++) {
			j = i / n;
			if (overlap(&claims[i % n], others[j].pa,
				    others[j].order) &&
			    good_alone(s->p, k))
				return refuse(s, claims[i % n].field,
					      "belongs to another",
					      claims[i % n].pa);
		}
	}
	return 0;
}

static bool vtd_unit_scalable(const struct iommu_unit_ser *unit)
{
	return unit->vtd.rtaddr & VTD_RTADDR_SCALABLE;
}

static int check_unit_vtd(const struct iommu_unit_ser *unit,
			  const struct subject *s)
{
	const struct iommu_unit_vtd_ser *vtd = &unit->vtd;
	unsigned int i;

	if (unit->reg_pa & ~VTD_ADDR_MASK)
		return refuse(s, "reg_pa", "not aligned", unit->reg_pa);
	if (vtd->rtaddr & ~VTD_ADDR_MASK & ~VTD_RTADDR_SCALABLE ||
	    !pa_sane(vtd->rtaddr & VTD_ADDR_MASK, 0))
		return refuse(s, "rtaddr", "wrong", vtd->rtaddr);
	if (vtd->ir_table_pa ? !pa_sane(vtd->ir_table_pa, vtd->ir_order) :
			       vtd->ir_order)
		return refuse(s, "ir_table_pa", "wrong", vtd->ir_table_pa);
	if (vtd->prq_pa ? !pa_sane(vtd->prq_pa, vtd->prq_order) :
			  vtd->prq_order)
		return refuse(s, "prq_pa", "wrong", vtd->prq_pa);
	if (!all_zero(vtd->reserved, sizeof(vtd->reserved)))
		return refuse(s, "vtd reserved", "not 0", 0);

	/* Legacy mode has one context table for a bus, in the lower half. */
	for (i = 0; i < ARRAY_SIZE(vtd->ctx_kept); i++)
		if (!vtd_unit_scalable(unit) &&
		    vtd->ctx_kept[i] & 0xaaaaaaaaaaaaaaaaULL)
			return refuse(s, "ctx_kept", "not in legacy mode",
				      vtd->ctx_kept[i]);
	return 0;
}

static int check_unit(const struct iommu_record_ser *rec,
		      const struct subject *s)
{
	const struct iommu_unit_ser *unit = (const void *)rec;

	if (!unit->reg_pa || unit->reg_pa >= BIT_ULL(PA_BITS))
		return refuse(s, "reg_pa", "bad address", unit->reg_pa);
	if (unit->segment > MAX_SEGMENT)
		return refuse(s, "segment", "too large", unit->segment);
	if (unit->state != IOMMU_UNIT_SER_ACTIVE &&
	    unit->state != IOMMU_UNIT_SER_HANDED_OVER)
		return refuse(s, "state", "unknown", unit->state);
	if (unit->nr_devices > s->p->nr_slots)
		return refuse(s, "nr_devices", "too many", unit->nr_devices);
	if (unit->reserved)
		return refuse(s, "reserved", "not 0", unit->reserved);
	return rec->driver == IOMMU_SER_DRIVER_VTD ? check_unit_vtd(unit, s) :
						     0;
}

static int check_unit_earlier(const struct iommu_record_ser *rec,
			      const struct subject *s)
{
	const struct iommu_unit_ser *unit = (const void *)rec;
	const struct iommu_unit_ser *other;
	u32 i;

	for (i = 0; i < s->slot; i++) {
		other = typed_at(s->p, i, IOMMU_RECORD_UNIT);
		if (other && other->reg_pa == unit->reg_pa &&
		    good_alone(s->p, i))
			return refuse(s, "reg_pa", "two records of one unit",
				      unit->reg_pa);
	}
	return 0;
}

static bool vasz_fits(const struct iommu_pt_ser *pt,
		      const struct format_limits *limits)
{
	unsigned int top_lg2 = limits->granule_lg2 + 9 * (pt->top_level + 1);

	if (pt->max_vasz_lg2 < limits->min_vasz_lg2 ||
	    pt->max_vasz_lg2 > limits->max_vasz_lg2)
		return false;
	return pt->features & IOMMU_PT_SER_DYNAMIC_TOP ||
	       pt->max_vasz_lg2 <= top_lg2;
}

static int check_pt(const struct iommu_pt_ser *pt, const struct subject *s)
{
	const struct format_limits *limits;

	if (!pt->format)
		return refuse(s, "format", "missing", pt->format);
	if (pt->format >= ARRAY_SIZE(format_limits))
		return unsupported(s, "format", pt->format);
	limits = &format_limits[pt->format];

	if (pt->features >= IOMMU_PT_SER_ENCRYPT_TABLES << 1)
		return unsupported(s, "features", pt->features);
	if (pt->features & ~limits->features)
		return refuse(s, "features", "not of the format", pt->features);
	if (pt->top_level < limits->min_level ||
	    pt->top_level > limits->max_level)
		return refuse(s, "top_level", "not of the format",
			      pt->top_level);
	if (!vasz_fits(pt, limits))
		return refuse(s, "max_vasz_lg2", "not of the format",
			      pt->max_vasz_lg2);
	if (pt->max_oasz_lg2 <= IOMMU_SER_PAGE_SIZE_LG2 ||
	    pt->max_oasz_lg2 > limits->max_oasz_lg2)
		return refuse(s, "max_oasz_lg2", "not of the format",
			      pt->max_oasz_lg2);

	/* The top table of every format above is one page. */
	if (pt->top_order_lg2)
		return refuse(s, "top_order_lg2", "not of the format",
			      pt->top_order_lg2);
	if (!pa_sane(pt->top_pa, pt->top_order_lg2))
		return refuse(s, "top_pa", "bad address", pt->top_pa);
	if (!pt->nr_tables ||
	    pt->nr_tables > BIT_ULL(PA_BITS - IOMMU_SER_PAGE_SIZE_LG2))
		return refuse(s, "nr_tables", "impossible", pt->nr_tables);
	if (!pt->pgsize_bitmap ||
	    pt->pgsize_bitmap & (BIT_ULL(limits->granule_lg2) - 1))
		return refuse(s, "pgsize_bitmap", "impossible",
			      pt->pgsize_bitmap);
	if (pt->reserved)
		return refuse(s, "pt reserved", "not 0", pt->reserved);
	return 0;
}

/* Who tracks must be able to, and a first stage table never is. */
static int check_dirty(const struct iommu_domain_ser *domain,
		       const struct subject *s)
{
	u32 dirty = domain->head.required & IOMMU_DOMAIN_SER_DIRTY_ANY;

	if (dirty == IOMMU_DOMAIN_SER_DIRTY_TRACKING)
		return refuse(s, "required", "tracks and is not able to",
			      domain->head.required);
	if (dirty && domain->pt.format == IOMMU_PT_SER_X86_64)
		return refuse(s, "required", "not of the format",
			      domain->head.required);
	return 0;
}

static int check_domain(const struct iommu_record_ser *rec,
			const struct subject *s)
{
	const struct iommu_domain_ser *domain = (const void *)rec;
	int ret;

	ret = check_pt(&domain->pt, s);
	if (ret)
		return ret;
	if (rec->driver == IOMMU_SER_DRIVER_VTD &&
	    domain->pt.format != IOMMU_PT_SER_VTDSS &&
	    domain->pt.format != IOMMU_PT_SER_X86_64)
		return refuse(s, "format", "not of the driver",
			      domain->pt.format);
	if (domain->nr_attachments > s->p->nr_slots)
		return refuse(s, "nr_attachments", "too many",
			      domain->nr_attachments);
	if (domain->nid != NID_ANY && domain->nid > MAX_NID)
		return refuse(s, "nid", "too large", domain->nid);
	return check_dirty(domain, s);
}

/* The context entry is the one of the domain's table. */
static int check_vtd_legacy(const struct iommu_device_vtd_ser *vtd,
			    const struct iommu_domain_ser *domain,
			    const struct subject *s)
{
	if (domain->pt.format != IOMMU_PT_SER_VTDSS)
		return refuse(s, "domain", "not for legacy mode",
			      domain->pt.format);
	if (domain->head.required & IOMMU_DOMAIN_SER_DIRTY_ANY)
		return refuse(s, "domain", "tracks dirty in legacy mode",
			      domain->head.required);
	if (vtd->pasid_dir_pa || vtd->max_pasid || vtd->pasid_dir_order ||
	    vtd->pasid_table_pa || !all_zero(vtd->pasid0, sizeof(vtd->pasid0)))
		return refuse(s, "pasid", "not in legacy mode",
			      vtd->pasid_dir_pa);
	if (vtd->ctx[2] || vtd->ctx[3])
		return refuse(s, "ctx", "too long", vtd->ctx[2]);
	if (!bits(vtd->ctx[0], ctx_lo_present) ||
	    bits(vtd->ctx[0], ctx_lo_tt) > VTD_TT_DEV_TLB)
		return refuse(s, "ctx", "does not translate", vtd->ctx[0]);
	if ((vtd->ctx[0] & VTD_ADDR_MASK) != domain->pt.top_pa ||
	    bits(vtd->ctx[1], ctx_hi_aw) + 1 != domain->pt.top_level)
		return refuse(s, "ctx", "not the table of the domain",
			      vtd->ctx[0]);
	if (bits(vtd->ctx[1], ctx_hi_did) != vtd->did)
		return refuse(s, "did", "not in the entry", vtd->did);
	return 0;
}

/* The unit is able to track what the domain tracks, and the entry says so. */
static int check_vtd_dirty(u64 entry, const struct iommu_domain_ser *domain,
			   const struct iommu_unit_ser *unit, const char *field,
			   const struct subject *s)
{
	u32 dirty = domain->head.required & IOMMU_DOMAIN_SER_DIRTY_ANY;

	if (dirty && !bits(unit->vtd.ecap, ecap_ssads))
		return refuse(s, "domain", "tracks dirty, not the unit", dirty);
	if (bits(entry, pasid_0_ssade) !=
	    !!(dirty & IOMMU_DOMAIN_SER_DIRTY_TRACKING))
		return refuse(s, field, "tracks dirty, or the domain", entry);
	return 0;
}

/* A PASID entry is present and is the one of the domain's table. */
static int check_vtd_pasid_entry(const void *words, u16 did,
				 const struct iommu_domain_ser *domain,
				 const struct iommu_unit_ser *unit,
				 const char *field, const struct subject *s)
{
	const struct iommu_pt_ser *pt = &domain->pt;
	unsigned int pgtt;
	u64 entry[3];
	bool same;

	/* Part of a packed record */
	memcpy(entry, words, sizeof(entry));
	pgtt = bits(entry[0], pasid_0_pgtt);
	if (pt->format == IOMMU_PT_SER_VTDSS)
		same = pgtt == VTD_PGTT_SECOND &&
		       bits(entry[0], pasid_0_aw) + 1 == pt->top_level &&
		       (entry[0] & VTD_ADDR_MASK) == pt->top_pa;
	else
		same = pgtt == VTD_PGTT_FIRST &&
		       bits(entry[2], pasid_2_flpm) + 3 == pt->top_level &&
		       (entry[2] & VTD_ADDR_MASK) == pt->top_pa;
	if (!bits(entry[0], pasid_0_present) || !same)
		return refuse(s, field, "not the table of the domain",
			      entry[0]);
	if (bits(entry[1], pasid_1_did) != did)
		return refuse(s, "did", "not in the entry", did);
	return check_vtd_dirty(entry[0], domain, unit, field, s);
}

static int check_vtd_did(u16 did, const struct iommu_unit_ser *unit,
			 const struct subject *s)
{
	if (did < VTD_FIRST_DID ||
	    did >= BIT_ULL(4 + 2 * bits(unit->vtd.cap, cap_nd)))
		return refuse(s, "did", "out of range", did);
	return 0;
}

/* The entry of PASID 0 is the one of the domain's table. */
static int check_vtd_scalable(const struct iommu_device_vtd_ser *vtd,
			      const struct iommu_domain_ser *domain,
			      const struct iommu_unit_ser *unit,
			      const struct subject *s)
{
	if (vtd->pasid_dir_order > MAX_PASID_DIR_ORDER ||
	    !pa_sane(vtd->pasid_dir_pa, vtd->pasid_dir_order))
		return refuse(s, "pasid_dir_pa", "bad address",
			      vtd->pasid_dir_pa);
	if (vtd->max_pasid !=
	    1U << (vtd->pasid_dir_order + IOMMU_SER_PAGE_SIZE_LG2 + 3))
		return refuse(s, "max_pasid", "not the directory's",
			      vtd->max_pasid);
	if (!pa_sane(vtd->pasid_table_pa, 0))
		return refuse(s, "pasid_table_pa", "bad address",
			      vtd->pasid_table_pa);
	if (!bits(vtd->ctx[0], ctx_lo_present) ||
	    (vtd->ctx[0] & VTD_ADDR_MASK) != vtd->pasid_dir_pa ||
	    bits(vtd->ctx[0], sm_ctx_lo_pdts) > vtd->pasid_dir_order + 2U ||
	    bits(vtd->ctx[1], sm_ctx_hi_rid_pasid))
		return refuse(s, "ctx", "not the directory", vtd->ctx[0]);
	return check_vtd_pasid_entry(vtd->pasid0, vtd->did, domain, unit,
				     "pasid0", s);
}

static int check_device_vtd(const struct iommu_device_ser *device,
			    const struct iommu_unit_ser *unit,
			    const struct iommu_domain_ser *domain,
			    const struct subject *s)
{
	const struct iommu_device_vtd_ser *vtd = &device->vtd;
	unsigned int half;
	int ret;

	if (device->bus != IOMMU_DEVICE_SER_PCI)
		return refuse(s, "bus", "not PCI", device->bus);
	if (device->segment != unit->segment)
		return refuse(s, "segment", "not the unit's", device->segment);
	if (vtd->scalable != vtd_unit_scalable(unit))
		return refuse(s, "scalable", "not the unit's", vtd->scalable);

	if (!vtd->scalable && device->nr_pasids)
		return refuse(s, "nr_pasids", "not in legacy mode",
			      device->nr_pasids);
	ret = check_vtd_did(vtd->did, unit, s);
	if (ret)
		return ret;

	half = (device->rid >> 8) * 2;
	if (vtd->scalable && device->rid & 0x80)
		half++;
	if (!(unit->vtd.ctx_kept[half / 64] & BIT_ULL(half % 64)))
		return refuse(s, "rid", "context table not kept", device->rid);

	return vtd->scalable ? check_vtd_scalable(vtd, domain, unit, s) :
			       check_vtd_legacy(vtd, domain, s);
}

/* A name is text, and what follows its end is 0. */
static bool name_sane(const char *name, size_t size)
{
	size_t i;

	for (i = 0; i < size && name[i]; i++)
		if (name[i] <= ' ' || name[i] > '~')
			return false;
	return i && i < size && all_zero(name + i, size - i);
}

static int check_identity(const struct iommu_device_ser *device,
			  const struct subject *s)
{
	switch (device->bus) {
	case IOMMU_DEVICE_SER_PCI:
		if (device->segment > MAX_SEGMENT)
			return refuse(s, "segment", "too large",
				      device->segment);
		if (device->rid > MAX_RID)
			return refuse(s, "rid", "too large", device->rid);
		if (!all_zero(device->name, sizeof(device->name)))
			return refuse(s, "name", "not for PCI", 0);
		return 0;
	case IOMMU_DEVICE_SER_NAMED:
		if (device->segment || device->rid)
			return refuse(s, "rid", "only for PCI", device->rid);
		if (!name_sane(device->name, sizeof(device->name)))
			return refuse(s, "name", "not a name", 0);
		return 0;
	default:
		return refuse(s, "bus", "unknown", device->bus);
	}
}

static bool same_device(const struct iommu_device_ser *a,
			const struct iommu_device_ser *b)
{
	return a->rid == b->rid && a->segment == b->segment &&
	       a->bus == b->bus && !memcmp(a->name, b->name, sizeof(a->name));
}

/* One use of a domain: by a device, or by a PASID of one */
struct attachment {
	u32 unit;
	u32 domain;
	u16 did;
};

/* All but the unit; false when the record is none, or one that cannot be read */
static bool get_attachment(const struct iommu_record_ser *rec,
			   struct attachment *a)
{
	const struct iommu_device_ser *device = (const void *)rec;
	const struct iommu_pasid_ser *pasid = (const void *)rec;

	if (!version_known(rec))
		return false;
	if (rec->type == IOMMU_RECORD_DEVICE) {
		a->domain = device->domain;
		a->did = device->vtd.did;
		return true;
	}
	if (rec->type == IOMMU_RECORD_PASID) {
		a->domain = pasid->domain;
		a->did = pasid->vtd.did;
		return true;
	}
	return false;
}

/* The unit, which for a PASID is in another record; false when there is none */
static bool get_unit(struct iommu_parse *p, const struct iommu_record_ser *rec,
		     struct attachment *a)
{
	const struct iommu_device_ser *device = (const void *)rec;
	const struct iommu_pasid_ser *pasid = (const void *)rec;

	if (rec->type == IOMMU_RECORD_PASID)
		device = typed_at(p, pasid->device, IOMMU_RECORD_DEVICE);
	if (device)
		a->unit = device->unit;
	return device;
}

/*
 * On one VT-d unit a domain has one id, and an id one domain: the caches are
 * tagged with it.
 */
static bool did_conflict(const struct attachment *a, const struct attachment *b)
{
	return (a->domain == b->domain) != (a->did == b->did);
}

static int check_did_earlier(const struct iommu_record_ser *rec,
			     const struct subject *s)
{
	const struct iommu_record_ser *other;
	struct attachment a, b;
	u32 i;

	if (rec->driver != IOMMU_SER_DRIVER_VTD || !get_attachment(rec, &a) ||
	    !get_unit(s->p, rec, &a))
		return 0;
	for (i = 0; i < s->slot; i++) {
		other = record_at(s->p, i);
		if (other->driver == rec->driver && get_attachment(other, &b) &&
		    did_conflict(&a, &b) && get_unit(s->p, other, &b) &&
		    a.unit == b.unit && good_alone(s->p, i))
			return refuse(s, "did", "belongs to another", a.did);
	}
	return 0;
}

/* Does this record name the record of @type in @slot? */
static bool names(const struct iommu_record_ser *rec, u16 type, u32 slot)
{
	const struct iommu_device_ser *device = (const void *)rec;
	const struct iommu_pasid_ser *pasid = (const void *)rec;

	if (!version_known(rec))
		return false;
	if (rec->type == IOMMU_RECORD_DEVICE)
		return (type == IOMMU_RECORD_UNIT && device->unit == slot) ||
		       (type == IOMMU_RECORD_DOMAIN && device->domain == slot);
	if (rec->type == IOMMU_RECORD_PASID)
		return (type == IOMMU_RECORD_DEVICE && pasid->device == slot) ||
		       (type == IOMMU_RECORD_DOMAIN && pasid->domain == slot);
	return false;
}

/* Records before this one that name the same unit, domain or device */
static u32 count_earlier(u16 type, u32 slot, const struct subject *s,
			 bool only_good)
{
	u32 i, count = 0;

	for (i = 0; i < s->slot; i++)
		if (names(record_at(s->p, i), type, slot) &&
		    (!only_good || good_alone(s->p, i)))
			count++;
	return count;
}

/* Whether there are good ones is asked only when there seem to be too many. */
static bool is_surplus(u16 type, u32 slot, u32 nr, const struct subject *s)
{
	return count_earlier(type, slot, s, false) >= nr &&
	       count_earlier(type, slot, s, true) >= nr;
}

static int check_domain_surplus(u32 slot, const struct subject *s)
{
	const struct iommu_domain_ser *domain;

	domain = (const void *)record_at(s->p, slot);
	if (is_surplus(IOMMU_RECORD_DOMAIN, slot, domain->nr_attachments, s))
		return refuse(s, "domain", "has fewer attachments",
			      domain->nr_attachments);
	return 0;
}

/* What the records before this one leave for it */
static int check_device_earlier(const struct iommu_record_ser *rec,
				const struct subject *s)
{
	const struct iommu_device_ser *device = (const void *)rec;
	const struct iommu_device_ser *other;
	const struct iommu_unit_ser *unit;
	u32 i;
	int ret;

	for (i = 0; i < s->slot; i++) {
		other = typed_at(s->p, i, IOMMU_RECORD_DEVICE);
		if (other && other->head.driver == rec->driver &&
		    same_device(device, other) && good_alone(s->p, i))
			return refuse(s, "rid", "two records of one device",
				      device->rid);
	}
	ret = check_did_earlier(rec, s);
	if (ret)
		return ret;
	unit = (const void *)record_at(s->p, device->unit);
	if (is_surplus(IOMMU_RECORD_UNIT, device->unit, unit->nr_devices, s))
		return refuse(s, "unit", "has fewer devices", unit->nr_devices);
	return check_domain_surplus(device->domain, s);
}

static int check_pasid_earlier(const struct iommu_record_ser *rec,
			       const struct subject *s)
{
	const struct iommu_pasid_ser *pasid = (const void *)rec;
	const struct iommu_pasid_ser *other;
	u32 i;
	int ret;

	for (i = 0; i < s->slot; i++) {
		other = typed_at(s->p, i, IOMMU_RECORD_PASID);
		if (!other || other->device != pasid->device)
			continue;
		if (other->pasid == pasid->pasid && good_alone(s->p, i))
			return refuse(s, "pasid", "two records of one PASID",
				      pasid->pasid);
		if (rec->driver == IOMMU_SER_DRIVER_VTD &&
		    share_table(rec, &other->head) &&
		    other->vtd.table_pa != pasid->vtd.table_pa &&
		    good_alone(s->p, i))
			return refuse(s, "table_pa", "not the one of others",
				      pasid->vtd.table_pa);
	}
	ret = check_did_earlier(rec, s);
	if (ret)
		return ret;
	return check_domain_surplus(pasid->domain, s);
}

/* The record that another refers to, or NULL; its own faults are not told. */
static const struct iommu_record_ser *
referred(const struct iommu_record_ser *rec, u32 slot, u16 type,
	 const struct subject *s)
{
	static const char *const fields[] = {
		[IOMMU_RECORD_UNIT] = "unit",
		[IOMMU_RECORD_DOMAIN] = "domain",
		[IOMMU_RECORD_DEVICE] = "device",
	};
	const char *field = fields[type];
	const struct iommu_record_ser *other;

	if (slot >= s->p->nr_slots) {
		refuse(s, field, "no such record", slot);
		return NULL;
	}
	other = record_at(s->p, slot);
	if (other->type != type || other->driver != rec->driver) {
		refuse(s, field, "wrong kind of record", slot);
		return NULL;
	}
	if (!good_alone(s->p, slot)) {
		refuse(s, field, "bad record", slot);
		return NULL;
	}
	return other;
}

static int check_device(const struct iommu_record_ser *rec,
			const struct subject *s)
{
	const struct iommu_device_ser *device = (const void *)rec;
	const struct iommu_record_ser *domain;
	const struct iommu_record_ser *unit;
	int ret;

	ret = check_identity(device, s);
	if (ret)
		return ret;
	if (device->nr_pasids > s->p->nr_slots)
		return refuse(s, "nr_pasids", "too many", device->nr_pasids);
	unit = referred(rec, device->unit, IOMMU_RECORD_UNIT, s);
	if (!unit)
		return -EINVAL;
	domain = referred(rec, device->domain, IOMMU_RECORD_DOMAIN, s);
	if (!domain)
		return -EINVAL;
	if (rec->driver != IOMMU_SER_DRIVER_VTD)
		return 0;
	return check_device_vtd(device, (const void *)unit,
				(const void *)domain, s);
}

static int check_pasid_vtd(const struct iommu_pasid_ser *pasid,
			   const struct iommu_device_ser *device,
			   const struct iommu_domain_ser *domain,
			   const struct subject *s)
{
	const struct iommu_pasid_vtd_ser *vtd = &pasid->vtd;
	const struct iommu_unit_ser *unit;
	bool first = !(pasid->pasid >> VTD_PASID_TABLE_LG2);
	bool in_first = vtd->table_pa == device->vtd.pasid_table_pa;
	int ret;

	if (!device->vtd.scalable)
		return refuse(s, "device", "in legacy mode", pasid->device);
	if (pasid->pasid >= device->vtd.max_pasid)
		return refuse(s, "pasid", "not in the directory", pasid->pasid);
	if (!pa_sane(vtd->table_pa, 0))
		return refuse(s, "table_pa", "bad address", vtd->table_pa);
	if (in_first != first)
		return refuse(s, "table_pa", "not the one of the device",
			      vtd->table_pa);
	if (!all_zero(vtd->reserved, sizeof(vtd->reserved)))
		return refuse(s, "vtd reserved", "not 0", 0);
	unit = (const void *)record_at(s->p, device->unit);
	ret = check_vtd_did(vtd->did, unit, s);
	if (ret)
		return ret;
	return check_vtd_pasid_entry(vtd->entry, vtd->did, domain, unit,
				     "entry", s);
}

static int check_pasid(const struct iommu_record_ser *rec,
		       const struct subject *s)
{
	const struct iommu_pasid_ser *pasid = (const void *)rec;
	const struct iommu_record_ser *device;
	const struct iommu_record_ser *domain;

	if (!pasid->pasid || pasid->pasid > IOMMU_PASID_SER_LAST)
		return refuse(s, "pasid", "impossible", pasid->pasid);
	if (pasid->reserved)
		return refuse(s, "reserved", "not 0", pasid->reserved);
	device = referred(rec, pasid->device, IOMMU_RECORD_DEVICE, s);
	if (!device)
		return -EINVAL;
	domain = referred(rec, pasid->domain, IOMMU_RECORD_DOMAIN, s);
	if (!domain)
		return -EINVAL;
	if (rec->driver != IOMMU_SER_DRIVER_VTD)
		return 0;
	return check_pasid_vtd(pasid, (const void *)device,
			       (const void *)domain, s);
}

/* Everything that the other records, but those referred to, have no say in */
static int check_alone(const struct iommu_record_ser *rec,
		       const struct subject *s)
{
	int ret;

	ret = check_head(rec, s);
	if (ret)
		return ret;
	if (rec->type == IOMMU_RECORD_UNIT)
		return check_unit(rec, s);
	if (rec->type == IOMMU_RECORD_DOMAIN)
		return check_domain(rec, s);
	if (rec->type == IOMMU_RECORD_DEVICE)
		return check_device(rec, s);
	return check_pasid(rec, s);
}

/*
 * A PASID asks this of its device and domain, a device of its unit and domain,
 * which ask nobody.
 */
static bool good_alone(struct iommu_parse *p, u32 slot)
{
	const struct subject s = { .p = p, .slot = slot };

	return !check_alone(record_at(p, slot), &s);
}

static int check_earlier(const struct iommu_record_ser *rec,
			 const struct subject *s)
{
	int ret = 0;

	if (rec->type == IOMMU_RECORD_UNIT)
		ret = check_unit_earlier(rec, s);
	else if (rec->type == IOMMU_RECORD_DEVICE)
		ret = check_device_earlier(rec, s);
	else if (rec->type == IOMMU_RECORD_PASID)
		ret = check_pasid_earlier(rec, s);
	return ret ? ret : check_claims(rec, s);
}

/* A record that another needs, and that is good alone */
static bool needed_good(struct iommu_parse *p, u32 slot)
{
	const struct subject s = { .p = p, .slot = slot };

	return !check_earlier(record_at(p, slot), &s);
}

/* Are those PASIDs there that the device counts, and no other ones? */
static bool count_pasids(struct iommu_parse *p, u32 slot,
			 const struct iommu_device_ser *device)
{
	const struct iommu_pasid_ser *pasid;
	u32 i, found = 0;

	for (i = 0; i < p->nr_slots; i++) {
		pasid = typed_at(p, i, IOMMU_RECORD_PASID);
		if (!pasid || pasid->device != slot || !good_alone(p, i))
			continue;
		if (!needed_good(p, i) || !needed_good(p, pasid->domain))
			return false;
		found++;
	}
	return found == device->nr_pasids;
}

/* The records do not change, so one answer is good for all who ask. */
static bool has_all_pasids(struct iommu_parse *p, u32 slot,
			   const struct iommu_device_ser *device)
{
	if (p->pasids_slot != slot) {
		p->pasids_good = count_pasids(p, slot, device);
		p->pasids_slot = slot;
	}
	return p->pasids_good;
}

/* All that a device, which is good alone, cannot be used without */
static int check_device_whole(u32 slot, const struct subject *s)
{
	const struct iommu_device_ser *device;

	device = (const void *)record_at(s->p, slot);
	if (!needed_good(s->p, device->unit))
		return refuse(s, "unit", "bad record", device->unit);
	if (!needed_good(s->p, device->domain))
		return refuse(s, "domain", "bad record", device->domain);
	if (!has_all_pasids(s->p, slot, device))
		return refuse(s, "nr_pasids", "not those that are there",
			      device->nr_pasids);
	return 0;
}

static int check_pasid_whole(const struct iommu_pasid_ser *pasid,
			     const struct subject *s)
{
	if (!needed_good(s->p, pasid->device))
		return refuse(s, "device", "bad record", pasid->device);
	if (!needed_good(s->p, pasid->domain))
		return refuse(s, "domain", "bad record", pasid->domain);
	return check_device_whole(pasid->device, s);
}

/**
 * iommu_liveupdate_parse_record - Check one record
 * @p: the chain
 * @slot: number of the record
 * @rec: set to the record on success
 *
 * Return: 0; -ENOENT when the slot is free or there is no such slot;
 * -EOPNOTSUPP for a type, driver, version, required flag, format or feature
 * that is not known; -EINVAL for anything else that is wrong. After the last
 * two, iommu_parse_reason() says why.
 */
int iommu_liveupdate_parse_record(struct iommu_parse *p, u32 slot,
				  const struct iommu_record_ser **rec)
{
	const struct subject s = { .p = p, .slot = slot, .explain = true };
	const struct iommu_record_ser *found;
	int ret;

	if (slot >= p->nr_slots)
		return -ENOENT;
	found = record_at(p, slot);
	if (found->type == IOMMU_RECORD_FREE)
		return -ENOENT;

	/* Its own faults come before those of others, so that they are told. */
	ret = check_alone(found, &s);
	if (ret)
		return ret;
	ret = check_earlier(found, &s);
	if (ret)
		return ret;
	if (found->type == IOMMU_RECORD_DEVICE)
		ret = check_device_whole(slot, &s);
	else if (found->type == IOMMU_RECORD_PASID)
		ret = check_pasid_whole((const void *)found, &s);
	if (ret)
		return ret;

	*rec = found;
	return 0;
}

/**
 * iommu_liveupdate_parse_missing - Count the records that are lost
 * @p: the chain
 * @slot: a good unit or domain record
 *
 * Return: how many device and PASID records are missing that should name this
 * record, to be told to the user. Their devices cannot be kept.
 */
u32 iommu_liveupdate_parse_missing(struct iommu_parse *p, u32 slot)
{
	const struct iommu_record_ser *rec = record_at(p, slot);
	const struct iommu_unit_ser *unit = (const void *)rec;
	const struct iommu_domain_ser *domain = (const void *)rec;
	u32 expected = rec->type == IOMMU_RECORD_UNIT ? unit->nr_devices :
							domain->nr_attachments;
	u32 i, found = 0;

	for (i = 0; i < p->nr_slots; i++)
		if (names(record_at(p, i), rec->type, slot))
			found++;
	return expected > found ? expected - found : 0;
}

/**
 * iommu_parse_reason - Why the last call failed
 * @p: the chain
 *
 * Return: text for the log, without the number of the record, valid until the
 * next call.
 */
const char *iommu_parse_reason(struct iommu_parse *p)
{
	if (!p->error.field)
		return "no reason";
	snprintf(p->reason, sizeof(p->reason), "%s (%#llx): %s", p->error.field,
		 (unsigned long long)p->error.value, p->error.why);
	return p->reason;
}
