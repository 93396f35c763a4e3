// SPDX-License-Identifier: GPL-2.0-only
/*
 * A PASID is attached and detached without a pause while the device is put in a
 * session. Either the preserve comes first, and no attach works after it; or it
 * finds the PASID attached and is refused. A preserve that works while the PASID
 * is attached would have lost it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "guest.h"
#include "pasid.h"

#define MIN_CYCLES	20
#define MAX_CYCLES	300	/* when one side is very lucky */
#define RACING_PASID	6	/* in no plan */

struct racer {
	struct pasid_test *t;
	struct pasid_device *d;
	atomic_bool stop;
	bool attached;
	int error;
	unsigned int attaches;
};

static void *race(void *p)
{
	struct attachment a = { .pasid = RACING_PASID };
	struct racer *r = p;
	int rc;

	while (!atomic_load(&r->stop)) {
		rc = r->attached ? pasid_detach(r->t, r->d, &a) :
		     pasid_attach(r->t, r->d, &a, AREA_UNMARKED);
		if (!rc) {
			r->attached = !r->attached;
			r->attaches += r->attached;
		} else if (rc != -EBUSY) {
			r->error = rc;
			break;
		}
		/* Neither state may be so short that it is never met. */
		usleep(rand() % 300);
	}
	return NULL;
}

/* One preserve against the racer; 1 when it worked, 0 when it was refused. */
static int cycle(struct racer *r)
{
	struct attachment a = { .pasid = RACING_PASID };
	struct pasid_test *t = r->t;
	pthread_t thread;
	int rc;

	rc = pasid_open_session(t);
	if (rc)
		return rc;
	atomic_store(&r->stop, false);
	rc = pthread_create(&thread, NULL, race, r);
	if (rc)
		return v_error(-rc, "a thread");
	usleep(rand() % 1000);
	rc = luo_preserve(t->session, t->vfio[r->d->index], pasid_token(r->d));
	usleep(200);
	atomic_store(&r->stop, true);
	pthread_join(thread, NULL);
	if (!rc && r->attached)
		rc = v_error(0, "preserved, and a PASID is attached");
	else if (rc && rc != -EOPNOTSUPP)
		v_error(rc, "preserve the VFIO device");
	pasid_close_session(t);
	/* On a page table that is not marked, it is in the way of the next one. */
	if (r->attached && !pasid_detach(t, r->d, &a))
		r->attached = false;
	if (r->error)
		return v_error(r->error, "attach or detach");
	return rc == -EOPNOTSUPP ? 0 : rc ? rc : 1;
}

int pasid_race(void *p)
{
	struct racer r = { .t = p };
	struct pasid_device *d;
	unsigned int i, kept = 0;
	int rc = 0;

	for_each_dev(r.t, d)
		if (d->kind == KIND_UNSET)
			r.d = d;
	for (i = 0; rc >= 0 && i < MAX_CYCLES; i++) {
		if (i >= MIN_CYCLES && kept && kept < i)
			break;
		rc = cycle(&r);
		kept += rc == 1;
	}
	v_info("race", "%u of %u preserves worked, %u attaches", kept, i,
	       r.attaches);
	if (rc < 0)
		return rc;
	return kept && kept < i ? 0 : v_error(0, "only one side ever won");
}
