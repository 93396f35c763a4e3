// SPDX-License-Identifier: GPL-2.0-only
/* An iommufd with mock devices, and its journey, see mock.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "guest.h"
#include "mock.h"

#define MAGIC	0x6b63656d6d6f636bULL

#define for_each_table(k, i)	for ((i) = 0; (i) < (k)->s->nr_tables; (i)++)
#define for_each_device(k, i)	for ((i) = 0; (i) < (k)->s->nr_devices; (i)++)

static uint8_t *area(struct mock_kit *k, unsigned int i)
{
	return k->mem + MOCK_OFF(i);
}

void mock_kit_clear(struct mock_kit *k)
{
	unsigned int i;

	memset(k, 0, sizeof(*k));
	k->memfd = k->iommufd = k->luo = k->session = -1;
	for (i = 0; i < MOCK_DEVICES; i++)
		k->file[i] = -1;
}

static int make_table(struct mock_kit *k, unsigned int i)
{
	struct mock_state *s = k->s;
	struct mock first;
	int rc;

	rc = iommufd_ioas_alloc(k->iommufd, &s->ioas[i]);
	if (rc)
		return v_error(rc, "IOMMU_IOAS_ALLOC");
	rc = iommufd_map_file(k->iommufd, s->ioas[i], k->memfd, MOCK_OFF(i),
			      MOCK_AREA, MOCK_IOVA, true);
	if (rc)
		return v_error(rc, "IOMMU_IOAS_MAP_FILE");
	/* A page table is made for a device, and that one has to be there */
	if (!i) {
		rc = mock_add(k->iommufd, s->ioas[0], true, &first);
		if (rc)
			return v_error(rc, "a mock device");
		s->dev[0] = first;
	}
	rc = mock_hwpt(k->iommufd, s->dev[0].dev_id, s->ioas[i], &s->hwpt[i]);
	if (rc)
		return v_error(rc, "IOMMU_HWPT_ALLOC");
	rc = iommufd_mark(k->iommufd, s->hwpt[i], MOCK_TOKEN + i, 0);
	return rc ? v_error(rc, "IOMMU_HWPT_LIVEUPDATE") : 0;
}

static int make_device(struct mock_kit *k, unsigned int i)
{
	struct mock *m = &k->s->dev[i];
	int rc = 0;

	if (i)
		rc = mock_add(k->iommufd, k->s->ioas[0], true, m);
	if (!rc)
		rc = mock_replace(k->iommufd, m->stdev,
				  k->s->hwpt[i % k->s->nr_tables]);
	if (rc)
		return v_error(rc, "a mock device");
	k->file[i] = mock_file(k->iommufd, m->stdev);
	return k->file[i] < 0 ? v_error(k->file[i], "the file of a device") : 0;
}

/* Everything is ready to be preserved; device i is on page table i % tables. */
int mock_kit_open(struct mock_kit *k, unsigned int tables, unsigned int devices)
{
	unsigned int i;
	void *mem;
	int rc = 0;

	mock_kit_clear(k);
	k->memfd = make_memfd("mock", MOCK_MEM, &mem);
	if (k->memfd < 0)
		return v_error(k->memfd, "memfd");
	k->mem = mem;
	k->s = mem;
	k->iommufd = iommufd_open();
	if (k->iommufd < 0)
		return v_error(k->iommufd, "open /dev/iommu");
	k->s->magic = MAGIC;
	k->s->nr_tables = tables;
	k->s->nr_devices = devices;
	pattern_fill(k->mem + MOCK_OFF(0), MOCK_MEM - MOCK_OFF(0), MAGIC);
	for (i = 0; !rc && i < tables; i++)
		rc = make_table(k, i);
	for (i = 0; !rc && i < devices; i++)
		rc = make_device(k, i);
	return rc;
}

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Devices first, then their IOMMU, then the memory. A step; always 0. */
int mock_kit_close(void *kit)
{
	struct mock_kit *k = kit;
	unsigned int i;

	mock_kit_end_session(k);
	for (i = 0; i < MOCK_DEVICES; i++)
		drop(&k->file[i]);
	drop(&k->iommufd);
	if (k->mem)
		munmap(k->mem, MOCK_MEM);
	k->mem = NULL;
	k->s = NULL;
	drop(&k->memfd);
	return 0;
}

int mock_kit_session(struct mock_kit *k, const char *name)
{
	/* Only one can have it open: it may come from another kit */
	if (k->luo < 0)
		k->luo = luo_open();
	if (k->luo < 0)
		return v_error(k->luo, "open /dev/liveupdate");
	k->session = luo_create(k->luo, name);
	return k->session < 0 ? v_error(k->session, "create a session") : 0;
}

void mock_kit_end_session(struct mock_kit *k)
{
	drop(&k->session);
	drop(&k->luo);
}

/* Tokens: the memfd, the iommufd, then the devices. */
int mock_kit_preserve(struct mock_kit *k)
{
	unsigned int i;
	int rc;

	rc = luo_preserve(k->session, k->memfd, MOCK_TOKEN);
	if (rc)
		return v_error(rc, "preserve the memfd");
	rc = luo_preserve(k->session, k->iommufd, MOCK_TOKEN + 1);
	if (rc)
		return v_error(rc, "preserve the iommufd");
	for_each_device(k, i) {
		rc = luo_preserve(k->session, k->file[i], MOCK_TOKEN + 2 + i);
		if (rc)
			return v_error(rc, "preserve a device");
	}
	return 0;
}

/* The memfd was retrieved. */
int mock_kit_map(struct mock_kit *k)
{
	void *mem;

	mem = mmap(NULL, MOCK_MEM, PROT_READ | PROT_WRITE, MAP_SHARED, k->memfd,
		   0);
	if (mem == MAP_FAILED)
		return v_error(-errno, "mmap");
	k->mem = mem;
	k->s = mem;
	return k->s->magic == MAGIC ? 0 : v_error(0, "the memory is another");
}

static int get_devices(struct mock_kit *k)
{
	unsigned int i;

	for_each_device(k, i) {
		k->file[i] = luo_get(k->session, MOCK_TOKEN + 2 + i);
		if (k->file[i] < 0)
			return v_error(k->file[i], "retrieve a device");
	}
	return 0;
}

/* Devices first makes LUO retrieve what they depend on. */
int mock_kit_retrieve(struct mock_kit *k, const char *name, bool devices_first)
{
	int rc;

	mock_kit_clear(k);
	k->luo = luo_open();
	if (k->luo < 0)
		return v_error(k->luo, "open /dev/liveupdate");
	k->session = luo_retrieve(k->luo, name);
	if (k->session < 0)
		return v_error(k->session, "retrieve the session");
	if (devices_first) {
		k->file[0] = luo_get(k->session, MOCK_TOKEN + 2);
		if (k->file[0] < 0)
			return v_error(k->file[0], "retrieve a device");
		drop(&k->file[0]);
	}
	k->iommufd = luo_get(k->session, MOCK_TOKEN + 1);
	if (k->iommufd < 0)
		return v_error(k->iommufd, "retrieve the iommufd");
	k->memfd = luo_get(k->session, MOCK_TOKEN);
	if (k->memfd < 0)
		return v_error(k->memfd, "retrieve the memfd");
	rc = mock_kit_map(k);
	return rc ? rc : get_devices(k);
}

/* Attach one more PASID of a device, to a page table of its own. */
int mock_kit_pasid(struct mock_kit *k, unsigned int dev, uint32_t pasid,
		   unsigned int table, bool keep)
{
	struct mock_state *s = k->s;
	struct mock_pasid *p = &s->pasids[dev][s->nr_pasids[dev]];
	int rc;

	rc = mock_pasid_attach(k->iommufd, s->dev[dev].stdev, pasid,
			       s->hwpt[table]);
	if (!rc && keep)
		rc = iommufd_disposition(k->iommufd, s->dev[dev].dev_id, pasid,
					 IOMMU_DEVICE_LIVEUPDATE_PRESERVE);
	if (rc)
		return v_error(rc, "attach a PASID");
	*p = (struct mock_pasid){ pasid, table, keep };
	s->nr_pasids[dev]++;
	return 0;
}

/* All PASIDs are where they belong. */
int mock_kit_pasids(struct mock_kit *k)
{
	struct mock_state *s = k->s;
	unsigned int i, j;
	int bad = 0;

	for_each_device(k, i) {
		for (j = 0; j < s->nr_pasids[i]; j++) {
			struct mock_pasid *p = &s->pasids[i][j];

			bad |= want(mock_pasid_check(k->iommufd,
						     s->dev[i].stdev, p->pasid,
						     s->hwpt[p->table]), 0,
				    "the page table of a PASID");
		}
	}
	return bad;
}

/* Same ids, and nobody wrote to a device. Learns what the test op names. */
int mock_kit_same(void *kit)
{
	struct mock_kit *k = kit;
	struct mock_state *s = k->s;
	struct mock m;
	unsigned int i;
	int bad = 0;

	for_each_device(k, i) {
		bad |= want(mock_look(k->iommufd, k->file[i], &m), 0, "look");
		bad |= want(m.dev_id, s->dev[i].dev_id, "device id");
		bad |= want(m.writes, 0, "writes of attachments");
		s->dev[i].stdev = m.stdev;
	}
	return bad;
}

/* Every page table leads to its own part of the memfd, which is intact. */
int mock_kit_mapped(struct mock_kit *k, unsigned int pins)
{
	struct mock_state *s = k->s;
	unsigned int i;
	int bad = 0;

	for_each_table(k, i) {
		bad |= want(mock_check_map(k->iommufd, s->hwpt[i], MOCK_IOVA,
					   area(k, i), MOCK_AREA), 0,
			    "what the page table has");
		if (pins)
			bad |= want(mock_check_pins(k->iommufd, area(k, i),
						    MOCK_AREA, pins), 0,
				    "pins of its pages");
	}
	bad |= want(pattern_check(k->mem + MOCK_OFF(0), MOCK_MEM - MOCK_OFF(0),
				  MAGIC), 0, "content of memory");
	return bad;
}

/* While it is preserved. */
int mock_kit_frozen(struct mock_kit *k)
{
	struct mock_state *s = k->s;
	int fd = k->iommufd, bad = 0;
	uint32_t id;

	bad |= want(iommufd_unmap(fd, s->ioas[0], MOCK_IOVA, MOCK_AREA), -EBUSY,
		    "unmap");
	bad |= want(iommufd_map_file(fd, s->ioas[0], k->memfd, MOCK_OFF(0),
				     4096, MOCK_IOVA + MOCK_AREA, true), -EBUSY,
		    "map");
	bad |= want(mock_hwpt(fd, s->dev[0].dev_id, s->ioas[0], &id), -EBUSY,
		    "a new page table");
	bad |= want(mock_replace(fd, s->dev[0].stdev, s->hwpt[0]), -EBUSY,
		    "replace");
	bad |= want(mock_pasid_attach(fd, s->dev[0].stdev, 77, s->hwpt[0]),
		    -EBUSY, "attach a PASID");
	bad |= want(iommufd_track_dirty(fd, s->hwpt[0], true), -EBUSY,
		    "track dirty pages");
	bad |= want(iommufd_destroy(fd, s->dev[0].stdev), -EBUSY,
		    "destroy the device");
	return bad;
}

static int dirty_pages(struct mock_kit *k, uint32_t hwpt)
{
	int fd = k->iommufd, bad = 0;

	bad |= want(iommufd_track_dirty(fd, hwpt, true), 0, "track dirty pages");
	bad |= want(mock_count_dirty(fd, hwpt, MOCK_IOVA, MOCK_AREA),
		    MOCK_AREA / 4096 / 2, "dirty pages");
	bad |= want(iommufd_track_dirty(fd, hwpt, false), 0, "no longer");
	return bad;
}

/* Everything can change, and is put back as it was. */
int mock_kit_mutable(struct mock_kit *k)
{
	struct mock_state *s = k->s;
	uint32_t stdev = s->dev[0].stdev, id;
	int fd = k->iommufd, bad = 0;

	bad |= dirty_pages(k, s->hwpt[0]);
	bad |= want(iommufd_unmap(fd, s->ioas[0], MOCK_IOVA, MOCK_AREA), 0,
		    "unmap");
	bad |= want(iommufd_map_file(fd, s->ioas[0], k->memfd, MOCK_OFF(0),
				     MOCK_AREA, MOCK_IOVA, true), 0, "map");
	bad |= want(mock_hwpt(fd, s->dev[0].dev_id, s->ioas[0], &id), 0,
		    "a new page table");
	bad |= want(mock_check_map(fd, id, MOCK_IOVA, area(k, 0), MOCK_AREA), 0,
		    "what the new page table has");
	bad |= want(mock_replace(fd, stdev, id), 0, "replace");
	bad |= want(mock_pasid_attach(fd, stdev, 77, id), 0, "attach a PASID");
	bad |= dirty_pages(k, id);
	bad |= want(mock_pasid_detach(fd, stdev, 77), 0, "detach the PASID");
	bad |= want(mock_replace(fd, stdev, s->hwpt[0]), 0, "replace back");
	bad |= want(iommufd_destroy(fd, id), 0, "destroy the page table");
	bad |= mock_kit_mapped(k, 0);
	return bad;
}
