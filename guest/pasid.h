/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices with PASIDs, as the host serves them (harness/vfiouser.py), and the
 * memory their page tables lead to. The subsystem id of a device is its kind,
 * which says what PASIDs it gets and what becomes of them.
 */
#ifndef GUEST_PASID_H
#define GUEST_PASID_H

#include "hw.h"

#define PASID_VENDOR	0xfe22
#define PASID_PLAIN	0x0001
#define PASID_WITH_ATS	0x0002

enum kind {
	KIND_ONE = 1,	/* one PASID */
	KIND_TWO,	/* two, on two page tables */
	KIND_MANY,	/* sixty-four, on two page tables */
	KIND_TABLES,	/* the same PASID table holds no two of them */
	KIND_UNSET,	/* none is set to be kept: they are detached */
	KIND_SOME,	/* some are, some are not */
	KIND_LEFT,	/* the device is not kept, in an iommufd of its own */
};

/*
 * An area is the memory one page table leads to, at the same IOVA in all of
 * them, so that a mix-up of page tables shows. The first one is where devices
 * do DMA without a PASID.
 */
enum area {
	AREA_NO_PASID,
	AREA_B,
	AREA_C,
	AREA_D,
	AREA_UNMARKED,
	NR_FILE_AREAS,
	AREA_LEFT = NR_FILE_AREAS,	/* of the device that is not kept */
	AREA_FRESH,			/* of the new kernel */
	NR_AREAS,
	NO_AREA = NR_AREAS,		/* detached */
};

#define AREA_LEN	(64 * KIB)
#define AREA_IOVA	0x4200000000ULL
#define OFF_SLOTS	4096
#define DMA_SLOT	64		/* per device, in the first page */

#define MAX_DEVICES	16
#define MAX_PASIDS	64
#define MAX_LISTED	512

/* What the host wrote through a PASID's entry, at the IOVA of the slot. */
struct slot {
	uint64_t round, key;
};

struct attachment {
	uint32_t pasid, area;
	bool keep;
};

struct pasid_device {
	char bdf[PCI_BDF_LEN];
	uint32_t index, kind, dev_id;
	bool ats;
	uint32_t done;		/* accesses before the kexec */
	uint32_t nr;
	struct attachment p[MAX_PASIDS];
};

/* In the first area's place of the memfd; the areas follow. */
#define OFF_AREAS	(64 * KIB)
#define PASID_MEM_LEN	(OFF_AREAS + NR_FILE_AREAS * AREA_LEN)

struct pasid_state {
	uint64_t magic;
	uint32_t nr_devices;
	uint32_t ioas[NR_AREAS], hwpt[NR_AREAS];
	struct pasid_device dev[MAX_DEVICES];
	uint32_t nr_objects;
	struct iommu_liveupdate_object objects[MAX_LISTED];
};

struct pasid_test {
	int luo, session, memfd, iommufd, left_iommufd;
	int extra[NR_AREAS];		/* memfds beside the first one */
	int vfio[MAX_DEVICES];
	uint32_t round;
	void *mem, *area[NR_AREAS];
	struct pasid_state *s;
	struct pasid_state scratch;	/* while there is no memory yet */
};

#define for_each_dev(t, d)						\
	for ((d) = (t)->s->dev; (d) < (t)->s->dev + (t)->s->nr_devices; (d)++)
#define for_each_kept(t, d)						\
	for_each_dev(t, d)						\
		if ((d)->kind != KIND_LEFT)
#define for_each_att(d, a)						\
	for ((a) = (d)->p; (a) < (d)->p + (d)->nr; (a)++)

/* pasid.c */
int pasid_find_devices(void *p);
int pasid_bind_drivers(void *p);
int pasid_make_memory(void *p);
int pasid_make_extra(struct pasid_test *t, enum area area);
int pasid_make_table(struct pasid_test *t, int iommufd, uint32_t dev_id,
		     enum area area);
int pasid_set_up(void *p);
int pasid_attach_all(void *p);
int pasid_attach(struct pasid_test *t, struct pasid_device *d,
		 struct attachment *a, enum area area);
int pasid_detach(struct pasid_test *t, struct pasid_device *d,
		 struct attachment *a);
int pasid_keep(struct pasid_test *t, struct pasid_device *d,
	       struct attachment *a);
void pasid_look_at_memory(struct pasid_test *t);
void pasid_say(struct pasid_test *t);
int pasid_check_slots(void *p);
int pasid_list(struct pasid_test *t, struct iommu_liveupdate_object *o);
int pasid_iommufd(struct pasid_test *t, const struct pasid_device *d);
int pasid_want(int rc, int wanted, const char *what);
void pasid_close_files(struct pasid_test *t);

/* test-pasid.c */
extern const char *const pasid_session;
uint64_t pasid_token(const struct pasid_device *d);
int pasid_open_session(struct pasid_test *t);
void pasid_close_session(struct pasid_test *t);
int pasid_new_kernel(struct pasid_test *t);

/* pasid-race.c */
int pasid_race(void *p);

/* pasid-refuse.c: what is refused, with which errno */
int pasid_caps(void *p);
int pasid_refuse_unattached(void *p);
int pasid_refuse_attached(void *p);
int pasid_detach_forgets(void *p);
int pasid_refuse_unmarked(void *p);
int pasid_refuse_unset(void *p);
int pasid_refuse_late(void *p);
int pasid_decide(void *p);
int pasid_frozen(void *p);
int pasid_thawed(void *p);
int pasid_legacy(void);

#endif /* GUEST_PASID_H */
