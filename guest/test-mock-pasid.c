// SPDX-License-Identifier: GPL-2.0-only
/*
 * mock-pasid: PASIDs of mock devices: which of them a preserve refuses, and what
 * becomes of them over a kexec.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest.h"
#include "mock.h"

/* Table 0 is for devices without a PASID, the next two for PASIDs. */
#define TABLES		3
#define SPARE		0
#define FAKE_DEV	3
#define FAKE_PASID	1024	/* the mock fails every second write of it */
#define LAST_PASID	0xfffff
#define RACING_PASID	6
#define CYCLES		60

static const unsigned int nr_pasids[] = { 1, 2, 64, 2 };
static struct mock_kit kit;
static uint32_t unmarked;

#define for_each_pasid(k, i, p)						\
	for ((p) = (k)->s->pasids[i];					\
	     (p) < (k)->s->pasids[i] + (k)->s->nr_pasids[i]; (p)++)

static int set(struct mock_kit *k, unsigned int dev, uint32_t pasid, bool keep)
{
	return iommufd_disposition(k->iommufd, k->s->dev[dev].dev_id, pasid,
				   keep ? IOMMU_DEVICE_LIVEUPDATE_PRESERVE : 0);
}

static int preserve_device(struct mock_kit *k, unsigned int dev)
{
	return luo_preserve(k->session, k->file[dev], MOCK_TOKEN + 2 + dev);
}

static uint32_t pasid_of(unsigned int dev, unsigned int i)
{
	if (dev == FAKE_DEV)
		return i ? LAST_PASID : FAKE_PASID;
	return 1 + i * 100;
}

static int set_up(void *p)
{
	struct mock_kit *k = p;
	unsigned int i, j;
	int rc;

	rc = mock_kit_open(k, TABLES, ARRAY_SIZE(nr_pasids));
	for (i = 0; !rc && i < ARRAY_SIZE(nr_pasids); i++)
		for (j = 0; !rc && j < nr_pasids[i]; j++)
			rc = mock_kit_pasid(k, i, pasid_of(i, j), 1 + j % 2,
					    false);
	if (!rc)
		rc = mock_hwpt(k->iommufd, k->s->dev[0].dev_id, k->s->ioas[0],
			       &unmarked);
	return rc;
}

static int refuse_settings(void *p)
{
	struct mock_kit *k = p;
	int bad = 0;

	bad |= want(set(k, 0, 2, true), -ENOENT, "set what is not attached");
	bad |= want(set(k, 0, 0, true), -EINVAL, "no PASID");
	bad |= want(set(k, 1, pasid_of(1, 1) + LAST_PASID + 1, true), -ENOENT,
		    "a PASID of too many bits");
	bad |= want(iommufd_disposition(k->iommufd, k->s->hwpt[0], 1, 1),
		    -ENOENT, "the id of a page table");
	return bad;
}

/* A PASID on a page table that is not marked: the iommufd is refused. */
static int refuse_unmarked(void *p)
{
	struct mock_kit *k = p;
	uint32_t stdev = k->s->dev[0].stdev;
	int bad = 0, rc;

	rc = mock_kit_session(k, MOCK_SESSION);
	if (!rc)
		rc = luo_preserve(k->session, k->memfd, MOCK_TOKEN);
	if (rc)
		return v_error(rc, "preserve the memfd");
	bad |= want(mock_pasid_attach(k->iommufd, stdev, 2, unmarked), 0,
		    "attach");
	bad |= want(luo_preserve(k->session, k->iommufd, MOCK_TOKEN + 1),
		    -EOPNOTSUPP, "the iommufd");
	bad |= want(mock_pasid_detach(k->iommufd, stdev, 2), 0, "detach");
	bad |= want(luo_preserve(k->session, k->iommufd, MOCK_TOKEN + 1), 0,
		    "the iommufd without it");
	return bad;
}

/* None is set, or every other one: refused, and nothing has changed. */
static int refuse_unset(void *p)
{
	struct mock_kit *k = p;
	struct mock_pasid *a;
	unsigned int i;
	int bad = 0;

	for (i = 0; i < k->s->nr_devices; i++) {
		bad |= want(preserve_device(k, i), -EOPNOTSUPP, "none is set");
		if (k->s->nr_pasids[i] == 1)
			continue;
		for_each_pasid(k, i, a)
			if ((a - k->s->pasids[i]) % 2 == 0)
				bad |= want(set(k, i, a->pasid, true), 0,
					    "PRESERVE");
		bad |= want(preserve_device(k, i), -EOPNOTSUPP,
			    "some are set");
	}
	return bad | mock_kit_pasids(k);
}

/* After its iommufd was preserved: the page table is not in the set. */
static int refuse_late(void *p)
{
	struct mock_kit *k = p;
	uint32_t stdev = k->s->dev[0].stdev;
	int bad = 0;

	bad |= want(set(k, 0, pasid_of(0, 0), true), 0, "PRESERVE");
	bad |= want(mock_pasid_attach(k->iommufd, stdev, 2, unmarked), 0,
		    "attach");
	bad |= want(preserve_device(k, 0), -EOPNOTSUPP, "it is UNSET");
	bad |= want(set(k, 0, 2, true), 0, "PRESERVE");
	bad |= want(preserve_device(k, 0), -EINVAL, "it is not in the set");
	bad |= want(mock_pasid_detach(k->iommufd, stdev, 2), 0, "detach");
	return bad;
}

/* All are set. */
static int preserve_all(void *p)
{
	struct mock_kit *k = p;
	struct mock_pasid *a;
	unsigned int i;
	int bad = 0;

	for (i = 0; i < k->s->nr_devices; i++) {
		for_each_pasid(k, i, a)
			bad |= want(set(k, i, a->pasid, true), 0, "PRESERVE");
		bad |= want(preserve_device(k, i), 0, "all are set");
	}
	return bad;
}

static int frozen(void *p)
{
	struct mock_kit *k = p;
	struct mock_state *s = k->s;
	unsigned int i;
	int bad = 0;

	for (i = 0; i < s->nr_devices; i++) {
		uint32_t stdev = s->dev[i].stdev, pasid = s->pasids[i]->pasid;
		int fd = k->iommufd;

		bad |= want(mock_pasid_attach(fd, stdev, 2, s->hwpt[SPARE]),
			    -EBUSY, "attach");
		bad |= want(mock_pasid_replace(fd, stdev, pasid,
					       s->hwpt[SPARE]), -EBUSY,
			    "replace");
		bad |= want(mock_pasid_detach(fd, stdev, pasid), -EBUSY,
			    "detach");
		bad |= want(set(k, i, pasid, false), -EBUSY, "UNSET");
	}
	return bad | mock_kit_pasids(k);
}

static int back_out(void *p)
{
	struct mock_kit *k = p;

	mock_kit_end_session(k);
	return mock_kit_pasids(k);
}

/* ---- A preserve against an attach ---- */

struct racer {
	struct mock_kit *k;
	atomic_bool stop;
	atomic_uint rounds;
	bool attached;
	int error;
	unsigned int attaches;
};

static void *race_thread(void *p)
{
	struct racer *r = p;
	uint32_t stdev = r->k->s->dev[0].stdev;
	int rc;

	while (!atomic_load(&r->stop) && !r->error) {
		rc = r->attached ?
		     mock_pasid_detach(r->k->iommufd, stdev, RACING_PASID) :
		     mock_pasid_attach(r->k->iommufd, stdev, RACING_PASID,
				       unmarked);
		if (!rc) {
			r->attached = !r->attached;
			r->attaches += r->attached;
		} else if (rc != -EBUSY) {
			r->error = rc;
		}
		atomic_fetch_add(&r->rounds, 1);
		usleep(rand() % 300);
	}
	return NULL;
}

/* 1 when the preserve worked, 0 when it was refused. */
static int race_once(struct racer *r)
{
	unsigned int rounds = rand() % 4;
	struct mock_kit *k = r->k;
	pthread_t thread;
	int rc;

	rc = mock_kit_session(k, "race");
	if (!rc)
		rc = luo_preserve(k->session, k->memfd, MOCK_TOKEN);
	if (!rc)
		rc = luo_preserve(k->session, k->iommufd, MOCK_TOKEN + 1);
	if (rc)
		return v_error(rc, "preserve the iommufd");
	atomic_store(&r->stop, false);
	atomic_store(&r->rounds, 0);
	rc = pthread_create(&thread, NULL, race_thread, r);
	if (rc)
		return v_error(-rc, "a thread");
	/* Either state is met, and the way from one to the other */
	while (atomic_load(&r->rounds) <= rounds)
		usleep(rand() % 100);
	rc = preserve_device(k, 0);
	usleep(200);
	atomic_store(&r->stop, true);
	pthread_join(thread, NULL);
	if (r->error)
		return v_error(r->error, "attach or detach");
	if (!rc && r->attached)
		return v_error(0, "preserved, and an UNSET PASID is attached");
	mock_kit_end_session(k);
	/* On a page table that is not marked, it is in the way of the next one */
	if (r->attached && !mock_pasid_detach(k->iommufd, k->s->dev[0].stdev,
					      RACING_PASID))
		r->attached = false;
	if (rc && rc != -EOPNOTSUPP)
		return v_error(rc, "preserve the device");
	return !rc;
}

static int race(void *p)
{
	struct racer r = { .k = p };
	unsigned int i, kept = 0;
	int rc = 0;

	for (i = 0; rc >= 0 && i < CYCLES; i++) {
		rc = race_once(&r);
		kept += rc == 1;
	}
	v_info("race", "%u of %u preserves worked, %u attaches", kept, i,
	       r.attaches);
	if (rc < 0)
		return rc;
	return kept && kept < i ? 0 : v_error(0, "only one side ever won");
}

static int preserve_again(void *p)
{
	int rc = mock_kit_session(p, MOCK_SESSION);

	return rc ? rc : mock_kit_preserve(p);
}

/* ---- New kernel ---- */

static int retrieve(void *p)
{
	return mock_kit_retrieve(p, MOCK_SESSION, false);
}

static int same(void *p)
{
	return mock_kit_same(p) | mock_kit_pasids(p) | mock_kit_mapped(p, 2);
}

/* Marks come back with all 64 bits of their tokens. */
static int tokens(void *p)
{
	struct iommu_liveupdate_object o[128];
	struct mock_kit *k = p;
	uint32_t state, found = 0;
	int i, n;

	n = iommufd_objects(k->iommufd, o, ARRAY_SIZE(o), &state);
	if (n < 0 || n > (int)ARRAY_SIZE(o))
		return v_error(n, "IOMMU_LIVEUPDATE_OBJECTS");
	for (i = 0; i < n; i++) {
		if (o[i].type != IOMMU_LIVEUPDATE_OBJECT_HWPT)
			continue;
		if (o[i].token >= MOCK_TOKEN &&
		    o[i].token < MOCK_TOKEN + TABLES &&
		    o[i].id == k->s->hwpt[o[i].token - MOCK_TOKEN])
			found++;
	}
	return want(found, TABLES, "page tables with their tokens");
}

/* The mock fails the next write of this one, and iommufd takes it back. */
static int fake_error(void *p)
{
	struct mock_kit *k = p;
	struct mock_state *s = k->s;
	uint32_t stdev = s->dev[FAKE_DEV].stdev;
	int fd = k->iommufd, bad = 0;

	bad |= want(mock_pasid_replace(fd, stdev, FAKE_PASID, s->hwpt[SPARE]),
		    -ENOMEM, "a replace that the mock fails");
	bad |= mock_kit_pasids(k);
	bad |= want(mock_pasid_replace(fd, stdev, FAKE_PASID, s->hwpt[2]), 0,
		    "the same once more");
	bad |= want(mock_pasid_check(fd, stdev, FAKE_PASID, s->hwpt[2]), 0,
		    "where it is");
	bad |= want(mock_pasid_detach(fd, stdev, FAKE_PASID), 0, "detach");
	bad |= want(mock_pasid_attach(fd, stdev, FAKE_PASID, s->hwpt[1]), 0,
		    "attach");
	return bad;
}

/* Replace one, detach another, attach a new one; all of them at the end. */
static int change(void *p)
{
	struct mock_kit *k = p;
	struct mock_state *s = k->s;
	int fd = k->iommufd, bad = 0;
	struct mock_pasid *a;
	unsigned int i;

	for (i = 0; i < s->nr_devices; i++) {
		uint32_t stdev = s->dev[i].stdev;

		for_each_pasid(k, i, a) {
			if (a->pasid == FAKE_PASID)
				continue;
			bad |= want(mock_pasid_replace(fd, stdev, a->pasid,
						       s->hwpt[SPARE]), 0,
				    "replace");
			bad |= want(mock_pasid_check(fd, stdev, a->pasid,
						     s->hwpt[SPARE]), 0,
				    "where it is");
			bad |= want(mock_pasid_detach(fd, stdev, a->pasid), 0,
				    "detach");
			bad |= want(mock_pasid_check(fd, stdev, a->pasid, 0), 0,
				    "it is detached");
		}
		bad |= want(mock_pasid_attach(fd, stdev, 3, s->hwpt[1]), 0,
			    "attach");
	}
	return bad;
}

static int finish(void *p)
{
	struct mock_kit *k = p;
	int rc = luo_finish(k->session);

	return rc ? v_error(rc, "LIVEUPDATE_SESSION_FINISH") : 0;
}

/* PASIDs are still attached; the laboratory has no other IOMMU here. */
static int close_all(void *p)
{
	mock_kit_close(p);
	sleep_ms(500);
	return want(vmstat("nr_iommu_pages"), 0, "pages of page tables");
}

int test_mock_pasid(unsigned int stage)
{
	static const struct step old_kernel[] = {
		STEP("1, 2 and 64 PASIDs are attached", set_up),
		CHECK("dispositions are refused where nothing is attached",
		      refuse_settings),
		STEP("a PASID on an unmarked page table: the iommufd is refused",
		     refuse_unmarked),
		CHECK("none or some set: the device is refused", refuse_unset),
		CHECK("a PASID outside the marked set: the device is refused",
		      refuse_late),
		STEP("all set: the devices are preserved", preserve_all),
		CHECK("attach, replace, detach and set are refused", frozen),
		STEP("after backing out nothing has changed", back_out),
		CHECK("a preserve that races with an attach loses nothing",
		      race),
		STEP("the next kernel is loaded", kexec_load_next),
		STEP("everything is preserved again", preserve_again),
		SYNC("kexec"),
	};
	static const struct step new_kernel[] = {
		SYNC("booted"),
		STEP("everything is retrieved", retrieve),
		CHECK("each PASID has its page table, none was written", same),
		CHECK("tokens have all their bits", tokens),
		CHECK("a replace that the driver fails is undone", fake_error),
		CHECK("PASIDs are replaced, detached and attached", change),
		STEP("the session is finished", finish),
		CHECK("everything is closed, no table is left", close_all),
	};

	if (stage > 1)
		return v_run(new_kernel, ARRAY_SIZE(new_kernel), &kit);
	return kexec_after(old_kernel, ARRAY_SIZE(old_kernel), &kit);
}
