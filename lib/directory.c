// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The directory: what a new process has to know about a session, in a sealed memfd of
 * that session. All numbers are little-endian and of fixed width; what is not named is 0.
 *
 *	header		128 bytes
 *	   0  magic	"FERRYDIR"
 *	   8  u32	version, 1
 *	  12  u32	size of the header
 *	  16  u64	length of all
 *	  24  u32	CRC-32 of all, with 0 here
 *	  28  u32	flags: HAS_STATE
 *	  32  u32	number of objects
 *	  36  u32	number of mappings
 *	  40  u64	length of the VMM's bytes
 *	  64  64 bytes	name of the session, ended by NUL
 *	objects		128 bytes each: memory, then IOMMUs, then devices
 *	   0  u32	kind
 *	   4  u32	flags: OURS, of a device's page table
 *	   8  u64	token
 *	  16  u64	length of memory
 *	  24  u32	id of an IOMMU's address space; id of a device
 *	  28  u32	page table of a device, 0 for none
 *	  32  u32	number of a device's IOMMU among the objects
 *	  64  64 bytes	name, ended by NUL
 *	mappings	48 bytes each: by IOMMU, then by IOVA
 *	   0  u32	number of the IOMMU among the objects
 *	   4  u32	number of the memory
 *	   8  u32	flags: FERRY_MAP_*
 *	  16  u64	IOVA
 *	  24  u64	length
 *	  32  u64	offset
 *	the VMM's bytes
 *
 * A reader takes version 1 only, and no unknown flag. Nothing of it is believed before
 * all of it was checked: whoever wrote it may have been another program.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

#define MAGIC		"FERRYDIR"
#define VERSION		1
#define HEADER		128
#define OBJECT		128
#define MAPPING		48
#define HAS_STATE	1U
#define OURS		1U
#define CRC_AT		24

static void put32(uint8_t *p, uint32_t v)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		p[i] = v >> 8 * i;
}

static void put64(uint8_t *p, uint64_t v)
{
	put32(p, v);
	put32(p + 4, v >> 32);
}

static uint32_t get32(const uint8_t *p)
{
	return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const uint8_t *p)
{
	return get32(p) | (uint64_t)get32(p + 4) << 32;
}

/* The usual one, by half bytes */
static uint32_t crc32(const uint8_t *p, size_t n)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
		0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t crc = ~0U;
	size_t i;

	for (i = 0; i < n; i++) {
		/* Its own place counts as 0 */
		crc ^= i - CRC_AT < 4 ? 0 : p[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

/* Numbers the objects in the order of their kinds, and adds up what there is. */
static void count(struct ferry_session *s, uint32_t *objects, uint32_t *mappings)
{
	struct object *o;
	unsigned int kind;

	*objects = *mappings = 0;
	for (kind = FERRY_MEMORY; kind <= FERRY_DEVICE; kind++)
		for (o = s->objects; o; o = o->next) {
			if (o->kind != kind)
				continue;
			o->index = (*objects)++;
			o->token = FERRY_TOKEN + 1 + o->index;
			if (kind == FERRY_IOMMU)
				*mappings += iommu_of(o)->nr_mappings;
		}
}

static void put_object(uint8_t *p, const struct object *o)
{
	struct object *any = (struct object *)o;

	put32(p, o->kind);
	put64(p + 8, o->token);
	strcpy((char *)p + 64, o->name);
	if (o->kind == FERRY_MEMORY)
		put64(p + 16, memory_of(any)->length);
	if (o->kind == FERRY_IOMMU)
		put32(p + 24, iommu_of(any)->ioas);
	if (o->kind == FERRY_DEVICE) {
		put32(p + 4, device_of(any)->ours ? OURS : 0);
		put32(p + 24, device_of(any)->id);
		put32(p + 28, device_of(any)->hwpt);
		put32(p + 32, device_of(any)->iommu->o.index);
	}
}

static uint8_t *put_mappings(uint8_t *p, const struct ferry_iommu *iommu)
{
	const struct mapping *m = iommu->mappings;
	uint32_t i;

	for (i = 0; i < iommu->nr_mappings; i++, m++, p += MAPPING) {
		put32(p, iommu->o.index);
		put32(p + 4, m->memory->o.index);
		put32(p + 8, m->flags);
		put64(p + 16, m->iova);
		put64(p + 24, m->length);
		put64(p + 32, m->offset);
	}
	return p;
}

/* The bytes of a directory, for free(), and a token for each object. */
int ferry_directory_make(struct ferry_session *s, struct directory_place *place)
{
	uint32_t objects, mappings;
	struct object *o;
	uint8_t *p, *at;

	count(s, &objects, &mappings);
	if (objects > FERRY_MAX_OBJECTS || mappings > FERRY_MAX_MAPPINGS)
		return -ENOSPC;
	place->length = HEADER + (size_t)objects * OBJECT + (size_t)mappings * MAPPING +
			s->data_length;
	place->bytes = p = s->host->ops->alloc(s->host->ctx, place->length);
	if (!p)
		return -ENOMEM;
	memcpy(p, MAGIC, 8);
	put32(p + 8, VERSION);
	put32(p + 12, HEADER);
	put64(p + 16, place->length);
	put32(p + 28, s->has_data ? HAS_STATE : 0);
	put32(p + 32, objects);
	put32(p + 36, mappings);
	put64(p + 40, s->data_length);
	strcpy((char *)p + 64, s->name);
	at = p + HEADER + (size_t)objects * OBJECT;
	for (o = s->objects; o; o = o->next)
		put_object(p + HEADER + (size_t)o->index * OBJECT, o);
	for (o = s->objects; o; o = o->next)
		if (o->kind == FERRY_IOMMU)
			at = put_mappings(at, iommu_of(o));
	if (s->data_length)
		memcpy(at, s->data, s->data_length);
	put32(p + CRC_AT, crc32(p, place->length));
	return 0;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

static bool name_ends(const uint8_t *p)
{
	size_t len = strnlen((const char *)p, FERRY_NAME_SIZE);

	return len < FERRY_NAME_SIZE && is_zero(p + len, FERRY_NAME_SIZE - len);
}

static int check_header(const struct ferry_session *s, const struct directory_place *d)
{
	const uint8_t *p = d->bytes;
	uint64_t objects, mappings, data;

	if (d->length < HEADER || memcmp(p, MAGIC, 8))
		return -EBADMSG;
	if (get32(p + 8) > VERSION)
		return -EOPNOTSUPP;
	if (get32(p + 8) != VERSION || get32(p + 12) != HEADER || get64(p + 16) != d->length ||
	    get32(p + CRC_AT) != crc32(p, d->length))
		return -EBADMSG;
	if (get32(p + 28) & ~HAS_STATE)
		return -EOPNOTSUPP;
	objects = get32(p + 32);
	mappings = get32(p + 36);
	data = get64(p + 40);
	if (objects > FERRY_MAX_OBJECTS || mappings > FERRY_MAX_MAPPINGS ||
	    data > FERRY_MAX_STATE ||
	    d->length != HEADER + objects * OBJECT + mappings * MAPPING + data)
		return -EBADMSG;
	if ((data && !(get32(p + 28) & HAS_STATE)) || !is_zero(p + 48, 16) ||
	    !name_ends(p + 64) || strcmp((const char *)p + 64, s->name))
		return -EBADMSG;
	return 0;
}

/* The objects that were read so far, by their numbers */
struct known {
	struct object **table;
	uint32_t n;
};

static struct object *known_at(const struct known *k, uint32_t index, enum ferry_kind kind)
{
	return index < k->n && k->table[index]->kind == kind ? k->table[index] : NULL;
}

static int read_device(const struct known *k, const uint8_t *p, struct ferry_device *d)
{
	struct object *iommu = known_at(k, get32(p + 32), FERRY_IOMMU);

	if (get32(p + 4) & ~OURS)
		return -EOPNOTSUPP;
	if (!iommu)
		return -EBADMSG;
	d->iommu = iommu_of(iommu);
	d->id = get32(p + 24);
	d->hwpt = get32(p + 28);
	d->ours = get32(p + 4) & OURS;
	return d->id && (d->hwpt || !d->ours) ? 0 : -EBADMSG;
}

static int read_fields(const struct known *k, const uint8_t *p, struct object *o)
{
	if (o->kind == FERRY_DEVICE)
		return get64(p + 16) ? -EBADMSG : read_device(k, p, device_of(o));
	if (get32(p + 4))
		return -EOPNOTSUPP;
	if (o->kind == FERRY_MEMORY) {
		memory_of(o)->length = get64(p + 16);
		return get64(p + 16) - 1 < INT64_MAX && is_zero(p + 24, 12) ? 0 : -EBADMSG;
	}
	iommu_of(o)->ioas = get32(p + 24);
	return get32(p + 24) && is_zero(p + 28, 8) && !get64(p + 16) ? 0 : -EBADMSG;
}

static int read_object(struct ferry_session *s, const uint8_t *p, struct known *k,
		       uint32_t *kind)
{
	static const size_t sizes[] = {
		[FERRY_MEMORY] = sizeof(struct ferry_memory),
		[FERRY_IOMMU] = sizeof(struct ferry_iommu),
		[FERRY_DEVICE] = sizeof(struct ferry_device),
	};
	struct object *o;
	int rc;

	if (get32(p) > FERRY_DEVICE)
		return -EOPNOTSUPP;
	if (get32(p) < *kind || get64(p + 8) != FERRY_TOKEN + 1 + k->n ||
	    !is_zero(p + 36, 28) || !name_ends(p + 64))
		return -EBADMSG;
	*kind = get32(p);
	rc = ferry_object_new(s, *kind, (const char *)p + 64, sizes[*kind], &o);
	if (rc)
		return rc == -ENOMEM ? rc : -EBADMSG;
	o->token = get64(p + 8);
	o->index = k->n;
	rc = read_fields(k, p, o);
	if (rc) {
		ferry_object_free(o);
		return rc;
	}
	ferry_object_append(o);
	k->table[k->n++] = o;
	return 0;
}

static int read_mapping(const struct known *k, const uint8_t *p, struct ferry_iommu **last)
{
	struct object *memory = known_at(k, get32(p + 4), FERRY_MEMORY);
	struct ferry_iommu *iommu = *last;
	struct mapping m = {
		.iova = get64(p + 16), .length = get64(p + 24), .offset = get64(p + 32),
		.flags = get32(p + 8),
	};
	struct object *o;
	int rc;

	if (!iommu || iommu->o.index != get32(p)) {
		o = known_at(k, get32(p), FERRY_IOMMU);
		if (!o || (iommu && o->index < iommu->o.index))
			return -EBADMSG;
		*last = iommu = iommu_of(o);
	}
	if (!memory || get32(p + 12) || get64(p + 40))
		return -EBADMSG;
	m.memory = memory_of(memory);
	if (iommu->nr_mappings && iommu->mappings[iommu->nr_mappings - 1].iova >= m.iova)
		return -EBADMSG;
	rc = ferry_iommu_insert(iommu, &m);
	return rc && rc != -ENOMEM ? -EBADMSG : rc;
}

static int read_all(struct ferry_session *s, const struct directory_place *d, struct known *k)
{
	const uint8_t *p = d->bytes;
	uint32_t objects = get32(p + 32), mappings = get32(p + 36), kind = FERRY_MEMORY, i;
	struct ferry_iommu *last = NULL;
	int rc = 0;

	for (p += HEADER, i = 0; !rc && i < objects; i++, p += OBJECT)
		rc = read_object(s, p, k, &kind);
	for (i = 0; !rc && i < mappings; i++, p += MAPPING)
		rc = read_mapping(k, p, &last);
	if (rc || !(get32(d->bytes + 28) & HAS_STATE))
		return rc;
	return ferry_session_set_data(s, p, get64(d->bytes + 40));
}

/* Objects without files, and the VMM's bytes; nothing at all when it fails. */
int ferry_directory_read(struct ferry_session *s, const struct directory_place *d)
{
	struct known k = { NULL, 0 };
	int rc = check_header(s, d);

	if (rc)
		return rc;
	k.table = s->host->ops->alloc(s->host->ctx,
				      (get32(d->bytes + 32) + 1) * sizeof(*k.table));
	if (!k.table)
		return -ENOMEM;
	rc = read_all(s, d, &k);
	free(k.table);
	while (rc && s->objects)
		ferry_object_remove(s->objects);
	return rc;
}
