// SPDX-License-Identifier: GPL-2.0-only
/*
 * mock-failnth: one allocation after the other fails in each call of the journey of
 * an iommufd with mock devices. A call that fails has changed nothing and works
 * when it is tried again; what was kept is intact at the end.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "dma.h"
#include "failnth.h"
#include "guest.h"
#include "mock.h"

/* The files of a kit in the order they are preserved, as luo_get() names them. */
#define MAX_FILES	4

/*
 * A call that works in spite of a failure cannot be tried once more in the new
 * kernel, so the next session goes on from there.
 */
#define SESSIONS	16
#define BLOCKER		SESSIONS

struct sweep {
	struct mock_kit kits[SESSIONS + 1], *k;
	unsigned int file;	/* what is tried now */
	unsigned int points, calls;
};

static struct sweep sweep;

static const char *name_of(struct sweep *s)
{
	static char name[32];

	snprintf(name, sizeof(name), "mock-%td", s->k - s->kits);
	return name;
}

static int file_of(struct sweep *s, unsigned int i)
{
	if (!i)
		return s->k->memfd;
	return i == 1 ? s->k->iommufd : s->k->file[i - 2];
}

static void count(struct sweep *s, const struct failnth *f)
{
	failnth_report(f);
	s->points += f->failed + f->survived;
	s->calls += f->tries;
}

static int one(struct sweep *s, const char *what, int (*try)(void *),
	       int (*undo)(void *))
{
	struct failnth f = { .what = what };
	int rc = failnth_sweep(&f, try, undo, s);

	count(s, &f);
	return rc;
}

static int say_counts(void *p)
{
	struct sweep *s = p;

	v_info("failnth_points", "%u", s->points);
	v_info("failnth_calls", "%u", s->calls);
	return 0;
}

static int start(void *p)
{
	struct sweep *s = p;

	s->k = s->kits;
	return failnth_open();
}

static int set_up(void *p)
{
	struct sweep *s = p;
	int rc = mock_kit_open(s->k, 2, 2);

	if (!rc)
		rc = mock_kit_pasid(s->k, 0, 1, 1, true);
	return rc ? rc : mock_kit_pasid(s->k, 0, 0x10001, 0, true);
}

/* ---- Old kernel ---- */

static int preserve_file(void *p)
{
	struct sweep *s = p;

	return luo_preserve(s->k->session, file_of(s, s->file),
			    MOCK_TOKEN + s->file);
}

/* Everything up to the file that is tried is in a new session */
static int start_again(void *p)
{
	struct sweep *s = p;
	unsigned int upto = s->file;
	int rc;

	mock_kit_end_session(s->k);
	if (s->k != s->kits)
		s->k->luo = dup(s->kits->luo);
	rc = mock_kit_session(s->k, name_of(s));
	for (s->file = 0; !rc && s->file < upto; s->file++)
		rc = preserve_file(s);
	return rc;
}

static int create_session(void *p)
{
	struct sweep *s = p;

	s->k->session = luo_create(s->k->luo, name_of(s));
	return s->k->session;
}

static int close_session(void *p)
{
	struct sweep *s = p;

	close(s->k->session);
	s->k->session = -1;
	return 0;
}

static int sweep_preserve(void *p)
{
	static const char *const names[MAX_FILES] = {
		"preserve the memfd", "preserve the iommufd",
		"preserve a device with PASIDs", "preserve a device",
	};
	struct sweep *s = p;
	int rc;

	s->k->luo = luo_open();
	if (s->k->luo < 0)
		return v_error(s->k->luo, "open /dev/liveupdate");
	rc = one(s, "create a session", create_session, close_session);
	for (s->file = 0; !rc && s->file < MAX_FILES; s->file++)
		rc = one(s, names[s->file], preserve_file, start_again);
	return rc;
}

static int preserve_all(void *p)
{
	struct sweep *s = p;

	s->file = MAX_FILES;
	return start_again(s);
}

static int sweep_unpreserve(void *p)
{
	return one(p, "unpreserve everything", close_session, preserve_all);
}

static int as_before(void *p)
{
	struct sweep *s = p;
	int bad;

	mock_kit_end_session(s->k);
	bad = mock_kit_mapped(s->k, 1);
	bad |= mock_kit_mutable(s->k);
	bad |= mock_kit_pasids(s->k);
	return bad;
}

/* One iommufd with a device that is not preserved: freezing it is refused. */
static int set_up_blocker(void *p)
{
	struct sweep *s = p;
	int rc;

	s->k = s->kits + BLOCKER;
	rc = mock_kit_open(s->k, 1, 1);
	s->file = 2;
	return rc ? rc : start_again(s);
}

/* That refusal comes last, when everything else has been frozen. */
static int refused_jump(void *p)
{
	int rc = kexec_jump();

	(void)p;
	return rc == -EBUSY ? 0 : rc;
}

static int nothing(void *p)
{
	(void)p;
	return 0;
}

static int sweep_freeze(void *p)
{
	return one(p, "freeze and unfreeze", refused_jump, nothing);
}

static int close_blocker(void *p)
{
	struct sweep *s = p;

	mock_kit_close(s->k);
	s->k = s->kits;
	return 0;
}

/* The first one is preserved already. */
static int preserve_more(void *p)
{
	struct sweep *s = p;
	unsigned int i;
	int rc = 0;

	for (i = 1; !rc && i < SESSIONS; i++) {
		s->k = s->kits + i;
		rc = mock_kit_open(s->k, 1, 1);
		if (!rc)
			rc = mock_kit_pasid(s->k, 0, 5, 0, true);
		s->file = 3;
		if (!rc)
			rc = start_again(s);
	}
	return rc;
}

/* ---- New kernel ---- */

static int open_luo(void *p)
{
	struct sweep *s = p;

	s->k->luo = luo_open();
	return s->k->luo;
}

static int close_luo(void *p)
{
	struct sweep *s = p;

	return close(s->k->luo);
}

static int get_session(void *p)
{
	struct sweep *s = p;

	s->k->session = luo_retrieve(s->k->luo, name_of(s));
	return s->k->session;
}

static int get_file(void *p)
{
	struct sweep *s = p;
	int fd = luo_get(s->k->session, MOCK_TOKEN + s->file);

	if (!s->file)
		s->k->memfd = fd;
	else if (s->file == 1)
		s->k->iommufd = fd;
	else
		s->k->file[s->file - 2] = fd;
	return fd;
}

/* The sessions, one after the other, as long as there is a failure to be tried. */
static int retrieve_one(struct sweep *s, struct failnth *session,
			struct failnth *files)
{
	unsigned int nr = s->k == s->kits ? MAX_FILES : MAX_FILES - 1;
	int rc;

	rc = failnth_sweep(session, get_session, NULL, s);
	for (s->file = 0; !rc && s->file < nr; s->file++)
		rc = failnth_sweep(&files[s->file < 3 ? s->file : 2], get_file,
				   NULL, s);
	return rc ? rc : mock_kit_map(s->k);
}

static int sweep_retrieve(void *p)
{
	struct failnth session = { .what = "retrieve the session" };
	struct failnth files[] = {
		{ .what = "retrieve the memfd" },
		{ .what = "retrieve the iommufd" },
		{ .what = "retrieve a device" },
	};
	struct sweep *s = p;
	unsigned int i;
	int rc;

	for (i = 0; i < SESSIONS; i++)
		mock_kit_clear(s->kits + i);
	rc = one(s, "open /dev/liveupdate", open_luo, close_luo);
	for (i = 0; !rc && i < SESSIONS; i++) {
		s->kits[i].luo = i ? dup(s->kits->luo) : s->kits->luo;
		s->k = s->kits + i;
		rc = retrieve_one(s, &session, files);
	}
	count(s, &session);
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		count(s, &files[i]);
		if (!rc && !files[i].all)
			rc = v_error(0, "that was not all");
	}
	return rc;
}

static int same(void *p)
{
	struct sweep *s = p;
	int bad = 0;

	for (s->k = s->kits; s->k < s->kits + SESSIONS; s->k++) {
		bad |= mock_kit_same(s->k);
		bad |= mock_kit_pasids(s->k);
		bad |= mock_kit_mapped(s->k, 2);
	}
	return bad;
}

static int finish(void *p)
{
	struct sweep *s = p;

	return luo_finish(s->k->session);
}

static int sweep_finish(void *p)
{
	struct failnth f = { .what = "finish" };
	struct sweep *s = p;
	int rc = 0;

	for (s->k = s->kits; !rc && s->k < s->kits + SESSIONS; s->k++)
		rc = failnth_sweep(&f, finish, NULL, s);
	count(s, &f);
	return rc || f.all ? rc : v_error(0, "that was not all");
}

static int all_as_before(void *p)
{
	struct sweep *s = p;
	int bad = 0;

	for (s->k = s->kits; s->k < s->kits + SESSIONS; s->k++)
		bad |= as_before(s);
	return bad;
}

/* The laboratory has no other IOMMU here. */
static int close_all(void *p)
{
	struct sweep *s = p;
	unsigned int i;

	for (i = 0; i < SESSIONS; i++)
		mock_kit_close(s->kits + i);
	say_counts(s);
	/* Files are closed by task work, tables are freed by RCU */
	sleep_ms(1000);
	return want(vmstat("nr_iommu_pages"), 0, "pages of page tables");
}

int test_mock_failnth(unsigned int stage)
{
	static const struct step old_kernel[] = {
		STEP("allocations can be made to fail", start),
		STEP("mock devices are attached", set_up),
		STEP("preserve: each allocation fails once", sweep_preserve),
		STEP("unpreserve: each allocation fails once",
		     sweep_unpreserve),
		CHECK("everything is as before", as_before),
		CHECK_WHEN("nothing is leaked", dma_no_leak, dma_has_kmemleak),
		STEP("the next kernel is loaded", kexec_load_next),
		STEP("everything is preserved", preserve_all),
		STEP("so is an iommufd with a device that is not",
		     set_up_blocker),
		STEP("freeze: each allocation fails once", sweep_freeze),
		STEP("that iommufd is closed", close_blocker),
		STEP("more sessions are preserved", preserve_more),
		STEP("calls and failures are counted", say_counts),
		SYNC("kexec"),
	};
	static const struct step new_kernel[] = {
		SYNC("booted"),
		STEP("allocations can be made to fail", start),
		STEP("retrieve: each allocation fails once", sweep_retrieve),
		CHECK("what was kept is the same", same),
		STEP("finish: each allocation fails once", sweep_finish),
		CHECK("everything can change", all_as_before),
		CHECK("everything is closed, no table is left", close_all),
		CHECK_WHEN("nothing is leaked", dma_no_leak, dma_has_kmemleak),
	};

	if (stage > 1)
		return v_run(new_kernel, ARRAY_SIZE(new_kernel), &sweep);
	return kexec_after(old_kernel, ARRAY_SIZE(old_kernel), &sweep);
}
