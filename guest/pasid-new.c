// SPDX-License-Identifier: GPL-2.0-only
/* The new kernel's half: retrieve devices with PASIDs, then change them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "dma.h"
#include "guest.h"
#include "pasid.h"

#define NEW_PASID	3	/* in no plan */

/* What the host writes before anything is retrieved. */
#define ROUND_BOOTED	99

static long pages_booted;

static int bound_by_themselves(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	unsigned int tries;
	char name[32];
	int rc = pasid_find_devices(t);

	if (rc)
		return rc;
	for_each_kept(t, d) {
		for (tries = 0; tries < 50; tries++) {
			rc = pci_driver(d->bdf, name, sizeof(name));
			if (!rc)
				break;
			sleep_ms(100);
		}
		if (rc || strcmp(name, "vfio-pci"))
			return v_error(rc, d->bdf);
	}
	return 0;
}

static int get(struct pasid_test *t, uint64_t token)
{
	unsigned int tries = 50;
	int fd = luo_get(t->session, token);

	/* Its driver may not have come up yet. */
	while (fd == -EAGAIN && tries--) {
		sleep_ms(100);
		fd = luo_get(t->session, token);
	}
	return fd;
}

static int get_session(void *p)
{
	struct pasid_test *t = p;

	t->luo = luo_open();
	if (t->luo < 0)
		return v_error(t->luo, "open /dev/liveupdate");
	t->session = luo_retrieve(t->luo, pasid_session);
	return t->session < 0 ? v_error(t->session, "the session") : 0;
}

static int get_memory(void *p)
{
	struct pasid_test *t = p;

	t->memfd = get(t, 1);
	if (t->memfd < 0)
		return v_error(t->memfd, "retrieve the memfd");
	t->mem = mmap(NULL, PASID_MEM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
		      t->memfd, 0);
	if (t->mem == MAP_FAILED)
		return v_error(-errno, "mmap");
	pasid_look_at_memory(t);
	return 0;
}

/* The last device first, so that the order is another one than before. */
static int get_devices(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	unsigned int i;

	for (i = t->s->nr_devices; i--;) {
		d = &t->s->dev[i];
		if (d->kind == KIND_LEFT)
			continue;
		t->vfio[i] = get(t, pasid_token(d));
		if (t->vfio[i] < 0) {
			v_note("%s", d->bdf);
			return v_error(t->vfio[i], "retrieve the VFIO device");
		}
	}
	t->iommufd = get(t, 2);
	if (t->iommufd < 0)
		return v_error(t->iommufd, "retrieve the iommufd");
	return 0;
}

static int say(void *p)
{
	pasid_say(p);
	return 0;
}

/* The device counts for itself what was refused, and what it read wrong. */
static int dma_went_on(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	uint32_t done, refused, wrong;
	int rc, fd, bad = 0;

	for_each_kept(t, d) {
		fd = t->vfio[d->index];
		if (fd < 0)
			continue;	/* it is lost, and the host knows */
		rc = vfio_bar0_read32(fd, 0x14, &done);
		if (!rc)
			rc = vfio_bar0_read32(fd, 0x18, &refused);
		if (!rc)
			rc = vfio_bar0_read32(fd, 0x1c, &wrong);
		if (rc)
			return v_error(rc, "the device's registers");
		if (done > d->done && !refused && !wrong)
			continue;
		v_note("%s: %u done before, %u now, %u refused, %u wrong",
		       d->bdf, d->done, done, refused, wrong);
		bad = -EIO;
	}
	return bad;
}

static bool same_object(const struct iommu_liveupdate_object *a,
			const struct iommu_liveupdate_object *b)
{
	return a->type == b->type && a->id == b->id &&
	       a->parent_id == b->parent_id && a->pasid == b->pasid &&
	       a->token == b->token;
}

static int same_objects(void *p)
{
	static struct iommu_liveupdate_object o[MAX_LISTED];
	struct pasid_test *t = p;
	int n = pasid_list(t, o), i;

	if (n < 0)
		return n;
	if ((uint32_t)n != t->s->nr_objects)
		return v_error(0, "another number of objects");
	for (i = 0; i < n; i++)
		if (!same_object(&o[i], &t->s->objects[i]))
			return v_error(0, "an object is not what it was");
	return 0;
}

/* The first PASID to a page table of this kernel, the second to a kept one. */
static int replace(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	struct attachment *a;
	int rc = pasid_make_extra(t, AREA_FRESH), bad = 0;
	unsigned int nr;

	if (!rc)
		rc = pasid_make_table(t, t->iommufd, t->s->dev->dev_id,
				      AREA_FRESH);
	if (rc)
		return rc;
	for_each_kept(t, d) {
		nr = 0;
		for_each_att(d, a)
			if (a->area != NO_AREA && nr < 2)
				bad |= pasid_want(pasid_attach(t, d, a, nr++ ?
						  AREA_D : AREA_FRESH), 0,
						  d->bdf);
	}
	pasid_say(t);
	return bad;
}

/* Every third PASID, and the last one; then a new one is attached. */
static int detach(void *p)
{
	struct attachment fresh = { .pasid = NEW_PASID, .area = NO_AREA };
	struct pasid_test *t = p;
	struct pasid_device *d;
	struct attachment *a;
	int bad = 0;

	for_each_kept(t, d) {
		for_each_att(d, a)
			if (a->area != NO_AREA &&
			    ((a - d->p) % 3 == 2 || a == d->p + d->nr - 1))
				bad |= pasid_want(pasid_detach(t, d, a), 0,
						  "detach");
		bad |= pasid_want(pasid_attach(t, d, &fresh, AREA_C), 0,
				  "attach");
		d->p[d->nr - 1] = fresh;
	}
	pasid_say(t);
	return bad;
}

static int finish(void *p)
{
	struct pasid_test *t = p;
	int rc = luo_finish(t->session);

	pasid_say(t);
	return rc ? v_error(rc, "LIVEUPDATE_SESSION_FINISH") : 0;
}

static int close_all(void *p)
{
	struct pasid_test *t = p;

	pasid_close_files(t);
	pasid_close_session(t);
	munmap(t->mem, PASID_MEM_LEN);
	close(t->memfd);
	if (t->area[AREA_FRESH]) {
		munmap(t->area[AREA_FRESH], AREA_LEN);
		close(t->extra[AREA_FRESH]);
	}
	return 0;
}

/* Fewer than when the kept tables were still there, and the same every time. */
static int pages_are_back(void *p)
{
	long now = vmstat("nr_iommu_pages");

	(void)p;
	v_info("iommu_pages_booted", "%ld", pages_booted);
	v_info("iommu_pages_closed", "%ld", now);
	return now < pages_booted ? 0 : v_error(0, "page tables are left");
}

/* A device nobody wants any more is stopped: nothing lands in its slot. */
static int all_quiet(void *p)
{
	struct pasid_test *t = p;
	uint8_t *slots = t->area[AREA_NO_PASID];
	uint64_t before[MAX_DEVICES];
	struct pasid_device *d;
	int cmd, bad = 0;

	for_each_kept(t, d)
		before[d->index] = *(uint64_t *)(slots + d->index * DMA_SLOT);
	sleep_ms(300);
	for_each_kept(t, d) {
		if (t->vfio[d->index] >= 0)
			continue;
		cmd = pci_config_read16(d->bdf, 4);
		if (before[d->index] ==
		    *(uint64_t *)(slots + d->index * DMA_SLOT) && cmd >= 0 &&
		    !(cmd & 4))
			continue;
		bad |= v_error(0, d->bdf);
	}
	return bad;
}

static int abandoned(struct pasid_test *t)
{
	static const struct step steps[] = {
		SYNC("booted"),
		STEP("the session is retrieved", get_session),
		STEP("memory is retrieved", get_memory),
		CHECK("PASIDs led to their memory until then",
		      pasid_check_slots),
		CHECK("the session is finished", finish),
		CHECK("devices are stopped, nothing lands in memory any more",
		      all_quiet),
		SYNC("abandoned"),
		STEP("everything is closed", close_all),
		SYNC("closed"),
		CHECK("page tables are given back", pages_are_back),
		CHECK_WHEN("nothing is leaked", dma_no_leak, dma_has_kmemleak),
	};

	return v_run(steps, ARRAY_SIZE(steps), t);
}

static int find_devices(void *p)
{
	return pasid_find_devices(p);
}

/* What is lost is refused for good, and the host knows whether it has to be. */
static int get_rest(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	char key[24];
	int rc;

	for_each_kept(t, d) {
		rc = get(t, pasid_token(d));
		snprintf(key, sizeof(key), "got_%u", d->index);
		v_info(key, "%d", rc < 0 ? rc : 0);
		if (rc == -EAGAIN ||
		    (rc < 0 && luo_get(t->session, pasid_token(d)) != rc))
			return v_error(rc, "it may come back");
		t->vfio[d->index] = rc < 0 ? -1 : rc;
	}
	rc = get(t, 2);
	v_info("got_iommufd", "%d", rc < 0 ? rc : 0);
	t->iommufd = rc < 0 ? -1 : rc;
	return rc == -EAGAIN ? v_error(rc, "it may come back") : 0;
}

static int damaged(struct pasid_test *t)
{
	static const struct step steps[] = {
		STEP("the devices are found", find_devices),
		SYNC("booted"),
		STEP("the session is retrieved", get_session),
		STEP("memory is retrieved", get_memory),
		STEP("what is whole is retrieved, the rest is refused",
		     get_rest),
		CHECK("DMA of what is whole went on, none was refused",
		      dma_went_on),
		SYNC("retrieved"),
		CHECK("the session is finished", finish),
		CHECK("what is lost is stopped, nothing lands any more",
		      all_quiet),
		CHECK("DMA of what is whole goes on", dma_went_on),
		SYNC("finished"),
		STEP("everything is closed", close_all),
		SYNC("closed"),
	};

	return v_run(steps, ARRAY_SIZE(steps), t);
}

int pasid_new_kernel(struct pasid_test *t)
{
	static const struct step steps[] = {
		CHECK("vfio-pci has bound itself to the kept devices",
		      bound_by_themselves),
		SYNC("booted"),
		STEP("the session is retrieved", get_session),
		STEP("memory is retrieved", get_memory),
		STEP("devices and iommufd are retrieved", get_devices),
		CHECK("DMA without a PASID went on, none was refused",
		      dma_went_on),
		CHECK("PASIDs led to their memory before they were retrieved",
		      pasid_check_slots),
		STEP("the host is told what is attached", say),
		SYNC("retrieved"),
		CHECK("each PASID has its page table: the objects are the same",
		      same_objects),
		CHECK("what is written through PASIDs is where it must be",
		      pasid_check_slots),
		CHECK("PASIDs are replaced", replace),
		SYNC("replaced"),
		CHECK("replaced PASIDs lead to their new memory",
		      pasid_check_slots),
		CHECK("PASIDs are detached, and new ones attached", detach),
		SYNC("detached"),
		CHECK("the PASIDs that are left lead to their memory",
		      pasid_check_slots),
		CHECK("the session is finished", finish),
		SYNC("finished"),
		CHECK("they do so after that", pasid_check_slots),
		CHECK("DMA without a PASID goes on", dma_went_on),
		STEP("everything is closed", close_all),
		SYNC("closed"),
		CHECK("page tables are given back", pages_are_back),
		CHECK_WHEN("nothing is leaked", dma_no_leak, dma_has_kmemleak),
	};

	pages_booted = vmstat("nr_iommu_pages");
	t->round = ROUND_BOOTED;
	if (!strcmp(opt_str("mode", ""), "abandon"))
		return abandoned(t);
	if (!strcmp(opt_str("mode", ""), "damaged"))
		return damaged(t);
	return v_run(steps, ARRAY_SIZE(steps), t);
}
