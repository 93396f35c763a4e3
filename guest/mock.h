/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices of iommufd's mock IOMMU, and an iommufd full of them that is kept: no
 * hardware is needed, the page tables are real ones.
 */
#ifndef GUEST_MOCK_H
#define GUEST_MOCK_H

#include "hw.h"

/* A mock device; its ids are those of its iommufd. */
struct mock {
	uint32_t stdev;		/* what the test operations name */
	uint32_t dev_id;	/* what iommufd names */
	uint32_t writes;	/* of attachments, since the kernel found it */
};

/* mock.c: the test operations, each wrapped thinly */
int mock_add(int iommufd, uint32_t pt, bool pasid, struct mock *m);
int mock_replace(int iommufd, uint32_t stdev, uint32_t pt);
int mock_pasid_attach(int iommufd, uint32_t stdev, uint32_t pasid, uint32_t pt);
int mock_pasid_replace(int iommufd, uint32_t stdev, uint32_t pasid,
		       uint32_t pt);
int mock_pasid_detach(int iommufd, uint32_t stdev, uint32_t pasid);
int mock_pasid_check(int iommufd, uint32_t stdev, uint32_t pasid,
		     uint32_t hwpt);
int mock_file(int iommufd, uint32_t stdev);
int mock_look(int iommufd, int file, struct mock *m);
int mock_check_map(int iommufd, uint32_t hwpt, uint64_t iova, void *mem,
		   uint64_t len);
int mock_check_pins(int iommufd, void *mem, uint64_t len, unsigned int pins);
int mock_hwpt(int iommufd, uint32_t dev_id, uint32_t ioas, uint32_t *hwpt);
int mock_write_dirty(int iommufd, uint32_t hwpt, uint64_t iova, uint64_t len,
		     const uint64_t *set);
int mock_count_dirty(int iommufd, uint32_t hwpt, uint64_t iova, uint64_t len);

/*
 * What is kept: one memfd, whose first page says what there is; address spaces,
 * each with its own part of the memfd at the same IOVA and its page table; and
 * devices.
 */
#define MOCK_IOVA	0x2000000ULL
#define MOCK_AREA	(256 * KIB)
#define MOCK_OFF(i)	(64 * KIB + (i) * MOCK_AREA)
#define MOCK_TABLES	4
#define MOCK_MEM	MOCK_OFF(MOCK_TABLES)
#define MOCK_DEVICES	12
#define MOCK_PASIDS	64
#define MOCK_TOKEN	0x4d0000000000ULL	/* above 32 bits */
#define MOCK_SESSION	"mock"

struct mock_pasid {
	uint32_t pasid, table;
	bool keep;
};

struct mock_state {
	uint64_t magic;
	uint32_t nr_tables, nr_devices;
	uint32_t ioas[MOCK_TABLES], hwpt[MOCK_TABLES];
	struct mock dev[MOCK_DEVICES];
	uint32_t nr_pasids[MOCK_DEVICES];
	struct mock_pasid pasids[MOCK_DEVICES][MOCK_PASIDS];
};

struct mock_kit {
	int memfd, iommufd, luo, session;
	int file[MOCK_DEVICES];
	uint8_t *mem;
	struct mock_state *s;
};

/* mock-kit.c */
int mock_kit_open(struct mock_kit *k, unsigned int tables,
		  unsigned int devices);
void mock_kit_clear(struct mock_kit *k);
int mock_kit_close(void *kit);
int mock_kit_session(struct mock_kit *k, const char *name);
void mock_kit_end_session(struct mock_kit *k);
int mock_kit_preserve(struct mock_kit *k);
int mock_kit_retrieve(struct mock_kit *k, const char *name, bool devices_first);
int mock_kit_map(struct mock_kit *k);
int mock_kit_pasid(struct mock_kit *k, unsigned int dev, uint32_t pasid,
		   unsigned int table, bool keep);
int mock_kit_pasids(struct mock_kit *k);
int mock_kit_same(void *kit);
int mock_kit_mapped(struct mock_kit *k, unsigned int pins);
int mock_kit_frozen(struct mock_kit *k);
int mock_kit_mutable(struct mock_kit *k);

/* kit.c: says whether a call ended as it should. */
int want(int rc, int wanted, const char *what);

#endif /* GUEST_MOCK_H */
