// SPDX-License-Identifier: GPL-2.0-only
/* Devices with PASIDs: find them, set them up, attach, look at memory. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "guest.h"
#include "pasid.h"

/* Registers of BAR 0. */
#define R_ID		0x00
#define R_RUN		0x04
#define R_ADDRESS	0x08
#define R_PERIOD	0x10
#define DEVICE_ID	0x72726566
#define PERIOD_US	20000

#define STATE_MAGIC	0x70617369647479ULL

/* Says whether a call ended as it should. */
int pasid_want(int rc, int wanted, const char *what)
{
	if (rc == wanted)
		return 0;
	v_note("%s: got %d, wanted %d", what, rc, wanted);
	return -EIO;
}

static void plan(struct pasid_device *d, uint32_t pasid, enum area area,
		 bool keep)
{
	d->p[d->nr++] = (struct attachment){ pasid, area, keep };
}

static void plan_device(struct pasid_device *d)
{
	unsigned int i;

	switch (d->kind) {
	case KIND_ONE:
		plan(d, 5, AREA_B, true);
		break;
	case KIND_TWO:
		plan(d, 1, AREA_B, true);
		plan(d, 2, AREA_C, true);
		break;
	case KIND_MANY:
		for (i = 0; i < 64; i++)
			plan(d, 100 + i, i & 1 ? AREA_B : AREA_C, true);
		break;
	case KIND_TABLES:
		plan(d, 77, AREA_B, true);
		plan(d, 4000, AREA_C, true);
		plan(d, 70000, AREA_D, true);
		plan(d, 0xfffff, AREA_B, true);
		break;
	case KIND_UNSET:
		plan(d, 7, AREA_B, false);
		plan(d, 300, AREA_C, false);
		break;
	case KIND_SOME:
		plan(d, 11, AREA_B, true);
		plan(d, 12, AREA_D, true);
		plan(d, 200, AREA_C, false);
		plan(d, 201, AREA_D, false);
		break;
	case KIND_LEFT:
		plan(d, 33, AREA_LEFT, false);
		plan(d, 444, AREA_LEFT, false);
		break;
	}
}

int pasid_find_devices(void *p)
{
	static const unsigned int ids[] = { PASID_PLAIN, PASID_WITH_ATS };
	struct pasid_test *t = p;
	struct pasid_device *d;
	unsigned int i, nth;

	t->s = &t->scratch;
	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		for (nth = 0; t->s->nr_devices < MAX_DEVICES; nth++) {
			d = &t->s->dev[t->s->nr_devices];
			if (pci_find(PASID_VENDOR, ids[i], nth, d->bdf))
				break;
			d->index = t->s->nr_devices++;
			d->ats = ids[i] == PASID_WITH_ATS;
			d->kind = pci_id(d->bdf, "subsystem_device");
			plan_device(d);
		}
	}
	return t->s->nr_devices ? 0 : v_error(0, "no device with a PASID");
}

int pasid_bind_drivers(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	int rc = pasid_find_devices(t);

	if (rc)
		return rc;
	for_each_dev(t, d) {
		rc = pci_bind_vfio(d->bdf);
		if (rc)
			return v_error(rc, d->bdf);
	}
	return 0;
}

void pasid_look_at_memory(struct pasid_test *t)
{
	uint8_t *mem = t->mem;
	unsigned int i;

	t->s = t->mem;
	for (i = 0; i < NR_FILE_AREAS; i++)
		t->area[i] = mem + OFF_AREAS + i * AREA_LEN;
}

/* Tells the host where the pages of an area are: pinned, they do not move. */
static int say_area(struct pasid_test *t, enum area area)
{
	char key[32], text[512];
	size_t used = 0, off;
	int64_t pa;

	for (off = 0; off < AREA_LEN; off += 4096) {
		pa = physical_address((uint8_t *)t->area[area] + off);
		if (pa < 0)
			return v_error(pa, "the physical address");
		used += snprintf(text + used, sizeof(text) - used, "%s%llx",
				 used ? "," : "", (unsigned long long)pa);
	}
	snprintf(key, sizeof(key), "area_%u", area);
	v_info(key, "%s", text);
	return 0;
}

int pasid_make_extra(struct pasid_test *t, enum area area)
{
	int fd = make_memfd("extra", AREA_LEN, &t->area[area]);

	if (fd < 0)
		return v_error(fd, "memfd");
	t->extra[area] = fd;
	memset(t->area[area], 0, AREA_LEN);
	return 0;
}

int pasid_make_memory(void *p)
{
	struct pasid_test *t = p;

	t->memfd = make_memfd("areas", PASID_MEM_LEN, &t->mem);
	if (t->memfd < 0)
		return v_error(t->memfd, "memfd");
	memset(t->mem, 0, PASID_MEM_LEN);
	pasid_look_at_memory(t);
	*t->s = t->scratch;
	t->s->magic = STATE_MAGIC;
	return pasid_make_extra(t, AREA_LEFT);
}

int pasid_iommufd(struct pasid_test *t, const struct pasid_device *d)
{
	return d->kind == KIND_LEFT ? t->left_iommufd : t->iommufd;
}

/* A page table of its own over an area. */
int pasid_make_table(struct pasid_test *t, int iommufd, uint32_t dev_id,
		     enum area area)
{
	struct pasid_state *s = t->s;
	int memfd = t->memfd, rc;
	uint64_t off = OFF_AREAS + area * AREA_LEN;

	if (area >= NR_FILE_AREAS) {
		memfd = t->extra[area];
		off = 0;
	}
	rc = iommufd_ioas_alloc(iommufd, &s->ioas[area]);
	if (!rc)
		rc = iommufd_map_file(iommufd, s->ioas[area], memfd, off,
				      AREA_LEN, AREA_IOVA, true);
	if (!rc)
		rc = iommufd_hwpt_alloc_flags(iommufd, dev_id, s->ioas[area],
					      IOMMU_HWPT_ALLOC_PASID,
					      &s->hwpt[area]);
	return rc ? v_error(rc, "a page table for PASIDs") : say_area(t, area);
}

static int make_tables(struct pasid_test *t, const struct pasid_device *d)
{
	unsigned int i;
	int rc;

	if (d->kind == KIND_LEFT)
		return t->s->hwpt[AREA_LEFT] ? 0 :
		       pasid_make_table(t, t->left_iommufd, d->dev_id,
					AREA_LEFT);
	for (i = 0; i < NR_FILE_AREAS && !t->s->hwpt[i]; i++) {
		rc = pasid_make_table(t, t->iommufd, d->dev_id, i);
		if (rc)
			return rc;
	}
	return 0;
}

static int start_dma(struct pasid_test *t, struct pasid_device *d)
{
	uint64_t iova = AREA_IOVA + d->index * DMA_SLOT;
	int fd = t->vfio[d->index], rc;
	uint32_t id;

	rc = vfio_config_or16(fd, 4, 0x6);	/* memory, bus master */
	if (!rc)
		rc = vfio_bar0_read32(fd, R_ID, &id);
	if (!rc && id != DEVICE_ID)
		rc = -ENODEV;
	if (!rc)
		rc = vfio_bar0_write32(fd, R_ADDRESS, iova);
	if (!rc)
		rc = vfio_bar0_write32(fd, R_ADDRESS + 4, iova >> 32);
	if (!rc)
		rc = vfio_bar0_write32(fd, R_PERIOD, PERIOD_US);
	if (!rc)
		rc = vfio_bar0_write32(fd, R_RUN, 1);
	return rc ? v_error(rc, "the device's registers") : 0;
}

static int set_up_device(struct pasid_test *t, struct pasid_device *d)
{
	enum area area = d->kind == KIND_LEFT ? AREA_LEFT : AREA_NO_PASID;
	int fd = vfio_open(d->bdf), rc;
	char key[24];

	if (fd < 0)
		return v_error(fd, "open the VFIO device");
	t->vfio[d->index] = fd;
	rc = vfio_bind(fd, pasid_iommufd(t, d), &d->dev_id);
	if (rc)
		return v_error(rc, "VFIO_DEVICE_BIND_IOMMUFD");
	rc = make_tables(t, d);
	if (rc)
		return rc;
	rc = vfio_attach(fd, t->s->hwpt[area]);
	if (rc)
		return v_error(rc, "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
	snprintf(key, sizeof(key), "dev_%u", d->index);
	v_info(key, "%s %u %u", d->bdf, d->kind, d->ats);
	return start_dma(t, d);
}

int pasid_set_up(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	int rc;

	t->iommufd = iommufd_open();
	t->left_iommufd = iommufd_open();
	if (t->iommufd < 0 || t->left_iommufd < 0)
		return v_error(t->iommufd, "open /dev/iommu");
	for_each_dev(t, d) {
		rc = set_up_device(t, d);
		if (rc)
			return rc;
	}
	return 0;
}

/* Attaches a PASID, or replaces what it is attached to. */
int pasid_attach(struct pasid_test *t, struct pasid_device *d,
		 struct attachment *a, enum area area)
{
	int rc = vfio_attach_pasid(t->vfio[d->index], a->pasid,
				   t->s->hwpt[area]);

	if (!rc)
		a->area = area;
	return rc;
}

int pasid_detach(struct pasid_test *t, struct pasid_device *d,
		 struct attachment *a)
{
	int rc = vfio_detach_pasid(t->vfio[d->index], a->pasid);

	if (!rc) {
		a->area = NO_AREA;
		a->keep = false;
	}
	return rc;
}

int pasid_keep(struct pasid_test *t, struct pasid_device *d,
	       struct attachment *a)
{
	int rc = iommufd_disposition(pasid_iommufd(t, d), d->dev_id, a->pasid,
				     IOMMU_DEVICE_LIVEUPDATE_PRESERVE);

	if (!rc)
		a->keep = true;
	return rc;
}

int pasid_attach_all(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	struct attachment *a;
	int rc;

	for_each_dev(t, d) {
		for_each_att(d, a) {
			rc = pasid_attach(t, d, a, a->area);
			if (rc) {
				v_note("%s PASID %u", d->bdf, a->pasid);
				return v_error(rc, "attach a PASID");
			}
		}
	}
	return 0;
}

/* Tells the host what is attached, and the number it is to write there. */
void pasid_say(struct pasid_test *t)
{
	char key[24], text[1024];
	struct pasid_device *d;
	struct attachment *a;
	size_t used;

	for_each_dev(t, d) {
		used = snprintf(text, sizeof(text), "-");
		for_each_att(d, a)
			if (a->area != NO_AREA)
				used += snprintf(text + used,
						 sizeof(text) - used,
						 " %u=%u=%u", a->pasid, a->area,
						 (unsigned int)(a - d->p));
		snprintf(key, sizeof(key), "map_%u", d->index);
		v_info(key, "%s", text);
	}
	v_info("round", "%u", ++t->round);
}

static struct slot *slot_of(struct pasid_test *t, struct pasid_device *d,
			    unsigned int i, unsigned int area)
{
	uint8_t *slots = (uint8_t *)t->area[area] + OFF_SLOTS;

	return (struct slot *)slots + d->index * MAX_PASIDS + i;
}

static int check_device(struct pasid_test *t, struct pasid_device *d)
{
	unsigned int i, area;
	struct slot *s;

	for (i = 0; i < d->nr; i++) {
		uint64_t key = (uint64_t)d->index << 32 | d->p[i].pasid;

		for (area = 0; area < NR_AREAS; area++) {
			bool here = area == d->p[i].area;

			if (!t->area[area])
				continue;
			s = slot_of(t, d, i, area);
			if (here == (s->round == t->round && s->key == key))
				continue;
			v_note("%s PASID %u area %u: round %llu key %llx",
			       d->bdf, d->p[i].pasid, area,
			       (unsigned long long)s->round,
			       (unsigned long long)s->key);
			return v_error(0, here ? "the host's word is not there" :
				       "it is where it must not be");
		}
	}
	return 0;
}

/* The host wrote through each PASID's entry: is it where it has to be? */
int pasid_check_slots(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;

	for_each_kept(t, d)
		if (check_device(t, d))
			return -EIO;
	return 0;
}

int pasid_list(struct pasid_test *t, struct iommu_liveupdate_object *o)
{
	uint32_t state;
	int n = iommufd_objects(t->iommufd, o, MAX_LISTED, &state);

	if (n < 0)
		return v_error(n, "IOMMU_LIVEUPDATE_OBJECTS");
	return n <= MAX_LISTED ? n : v_error(0, "too many objects");
}

void pasid_close_files(struct pasid_test *t)
{
	unsigned int i;

	for (i = 0; i < MAX_DEVICES; i++)
		if (t->vfio[i] >= 0)
			close(t->vfio[i]);
	memset(t->vfio, -1, sizeof(t->vfio));
	if (t->iommufd >= 0)
		close(t->iommufd);
	if (t->left_iommufd >= 0)
		close(t->left_iommufd);
	t->iommufd = t->left_iommufd = -1;
}
