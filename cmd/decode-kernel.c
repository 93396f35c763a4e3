// SPDX-License-Identifier: GPL-2.0-only
/*
 * What one kernel hands over to the next about its IOMMUs, read from an image of memory by
 * the kernel's own parser: it is compiled into this command, so that the two cannot differ.
 */
#include "../kernel/overlay/drivers/iommu/liveupdate-parse.h"
#include "cmd.h"
#include "decode-kernel.h"

#define PAGE	4096

struct image {
	const uint8_t *bytes;
	u64 length, base;
};

static const void *map(void *ctx, u64 pa, u64 size)
{
	const struct image *m = ctx;

	if (pa < m->base || pa - m->base > m->length || size > m->length - (pa - m->base))
		return NULL;
	return m->bytes + (pa - m->base);
}

static const char *const types[] = { "free", "unit", "domain", "device", "pasid" };

static void number(const char *key, u64 value)
{
	text(" %s %#llx", key, (unsigned long long)value);
	json_number(key, value);
}

static void show_unit(const struct iommu_unit_ser *u)
{
	number("registers", u->reg_pa);
	number("segment", u->segment);
	number("state", u->state);
	number("devices", u->nr_devices);
}

static void show_domain(const struct iommu_domain_ser *d)
{
	number("format", d->pt.format);
	number("top", d->pt.top_pa);
	number("tables", d->pt.nr_tables);
	number("attachments", d->nr_attachments);
}

static void show_device(const struct iommu_device_ser *d)
{
	char name[64];

	if (d->bus == IOMMU_DEVICE_SER_PCI)
		snprintf(name, sizeof(name), "%04x:%02x:%02x.%x", d->segment, d->rid >> 8 & 0xff,
			 d->rid >> 3 & 31, d->rid & 7);
	else
		snprintf(name, sizeof(name), "%.48s", d->name);
	text(" ");
	text_safe(name);
	json_string("name", name);
	number("unit", d->unit);
	number("domain", d->domain);
	number("pasids", d->nr_pasids);
}

static void show_pasid(const struct iommu_pasid_ser *p)
{
	number("pasid", p->pasid);
	number("device", p->device);
	number("domain", p->domain);
}

/* A record that the parser has refused is told by its head alone. */
static bool show(struct iommu_parse *p, u32 slot)
{
	const struct iommu_record_ser *rec;
	int rc = iommu_liveupdate_parse_record(p, slot, &rec);

	if (rc == -ENOENT)
		return true;
	json_open(NULL, '{');
	json_number("slot", slot);
	text("  %3u ", slot);
	if (rc) {
		text("refused: %s\n", iommu_parse_reason(p));
		json_string("refused", iommu_parse_reason(p));
	} else {
		text("%-6s", types[rec->type]);
		json_string("type", types[rec->type]);
		if (rec->type == IOMMU_RECORD_UNIT)
			show_unit((const void *)rec);
		else if (rec->type == IOMMU_RECORD_DOMAIN)
			show_domain((const void *)rec);
		else if (rec->type == IOMMU_RECORD_DEVICE)
			show_device((const void *)rec);
		else
			show_pasid((const void *)rec);
		text("\n");
	}
	json_close('}');
	return !rc;
}

static int show_all(struct image *m, u64 root)
{
	const struct iommu_parse_mem mem = { .ctx = m, .map = map };
	struct iommu_parse p;
	bool good = true;
	u32 slot;
	int rc;

	rc = iommu_liveupdate_parse_root(&mem, root, &p);
	json_open(NULL, '{');
	json_string("what", "iommu records");
	json_number("root", root);
	text("IOMMU records, root at %#llx", (unsigned long long)root);
	if (rc) {
		text(": refused: %s\n", iommu_parse_reason(&p));
		json_string("refused", iommu_parse_reason(&p));
		json_close('}');
		return FAILED;
	}
	text("\n");
	json_open("records", '[');
	for (slot = 0; slot < p.nr_slots; slot++)
		good &= show(&p, slot);
	json_close(']');
	json_close('}');
	return good ? DONE : FAILED;
}

/* Every root in an image; UNSUPPORTED when there is none. */
int decode_kernel(const void *bytes, size_t length, uint64_t base)
{
	struct image m = { .bytes = bytes, .length = length, .base = base };
	int worst = UNSUPPORTED, rc;
	u64 at, magic;

	for (at = 0; at + PAGE <= length; at += PAGE) {
		memcpy(&magic, m.bytes + at, sizeof(magic));
		if (magic != IOMMU_SER_MAGIC)
			continue;
		if (worst == UNSUPPORTED)
			json_open(NULL, '[');
		rc = show_all(&m, base + at);
		worst = worst == UNSUPPORTED || rc ? rc : worst;
	}
	if (worst != UNSUPPORTED) {
		json_close(']');
		out_end();
	}
	return worst;
}
