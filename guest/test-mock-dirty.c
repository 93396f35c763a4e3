// SPDX-License-Identifier: GPL-2.0-only
/*
 * mock-dirty: what devices of the mock write is tracked over a kexec.
 *
 * Three page tables: one with an entry for each page, so that it is known to the page
 * what has to be read; one with entries as large as they get; one that is able
 * to track and does not. The mock's device "writes" by marking a leaf, as the
 * hardware does, and iommufd has no say in that.
 *
 * Options: spoil=cleared switches tracking off and on again before the first
 * look in the new kernel, which clears the marks: the test has to notice.
 */
#include <errno.h>
#include <string.h>

#include "guest.h"
#include "mock.h"

enum { SMALL, LARGE, OFF, TABLES };

/* Pages of an area, which are 64 */
#define EARLY	0x4444444444444444ULL	/* written and read before */
#define BEFORE	0x1111111111111111ULL	/* written before */
#define WINDOW	0x2222222222222222ULL	/* written while all is preserved */
#define AFTER	0x8888888888888888ULL	/* written in the new kernel */
#define UPPER	0xffffffff00000000ULL	/* read while all is preserved */

static struct mock_kit kit;

static int write_pages(struct mock_kit *k, unsigned int table, uint64_t pages)
{
	return mock_write_dirty(k->iommufd, k->s->hwpt[table], MOCK_IOVA,
				MOCK_AREA, &pages);
}

/* Exactly these, or where entries are large, at least these. */
static int read_pages(struct mock_kit *k, unsigned int table, bool keep,
		      uint64_t pages)
{
	uint64_t got = 0;
	int rc;

	rc = iommufd_read_dirty(k->iommufd, k->s->hwpt[table], MOCK_IOVA,
			     MOCK_AREA, keep, &got);
	if (rc)
		return v_error(rc, "IOMMU_HWPT_GET_DIRTY_BITMAP");
	if (got == pages || (table == LARGE && pages && (got & pages) == pages))
		return 0;
	v_note("table %u: %#llx is dirty, not %#llx", table,
	       (unsigned long long)got, (unsigned long long)pages);
	return -EINVAL;
}

/* Read, and then there is nothing left to read. */
static int read_once(struct mock_kit *k, unsigned int table, uint64_t pages)
{
	int bad = read_pages(k, table, false, pages);

	return bad ? bad : read_pages(k, table, false, 0);
}

/* Map it again, a page at a time. */
static int small_pages(struct mock_kit *k)
{
	uint32_t ioas = k->s->ioas[SMALL];
	int fd = k->iommufd, bad = 0;

	bad |= want(iommufd_unmap(fd, ioas, MOCK_IOVA, MOCK_AREA), 0, "unmap");
	bad |= want(iommufd_small_pages(fd, ioas), 0, "IOMMU_OPTION");
	bad |= want(iommufd_map_file(fd, ioas, k->memfd, MOCK_OFF(SMALL),
				     MOCK_AREA, MOCK_IOVA, true), 0, "map");
	return bad;
}

static int set_up(void *p)
{
	struct mock_kit *k = p;
	int rc = mock_kit_open(k, TABLES, TABLES);

	return rc ? rc : small_pages(k);
}

static int track(void *p)
{
	struct mock_kit *k = p;
	unsigned int i;
	int bad = 0;

	for (i = SMALL; i <= LARGE; i++) {
		bad |= want(iommufd_track_dirty(k->iommufd, k->s->hwpt[i], true),
			    0, "track dirty pages");
		bad |= want(write_pages(k, i, EARLY), 0, "write");
		bad |= read_once(k, i, EARLY);
		bad |= want(write_pages(k, i, BEFORE), 0, "write");
	}
	bad |= want(write_pages(k, OFF, BEFORE), -EINVAL, "write untracked");
	return bad;
}

static int preserve(void *p)
{
	int rc = mock_kit_session(p, MOCK_SESSION);

	return rc ? rc : mock_kit_preserve(p);
}

static int cancel(void *p)
{
	mock_kit_end_session(p);
	return 0;
}

static int frozen(void *p)
{
	struct mock_kit *k = p;
	int bad = 0;

	bad |= want(iommufd_track_dirty(k->iommufd, k->s->hwpt[SMALL], false),
		    -EBUSY, "switch tracking off");
	bad |= want(iommufd_track_dirty(k->iommufd, k->s->hwpt[OFF], true),
		    -EBUSY, "switch tracking on");
	return bad;
}

/* A backing out has changed nothing. */
static int untouched(void *p)
{
	struct mock_kit *k = p;

	return read_pages(k, SMALL, true, BEFORE) |
	       read_pages(k, LARGE, true, BEFORE);
}

static int in_between(void *p)
{
	struct mock_kit *k = p;
	uint64_t got = 0;
	int bad = 0;

	bad |= want(write_pages(k, SMALL, WINDOW), 0, "write");
	bad |= want(write_pages(k, LARGE, WINDOW), 0, "write");
	bad |= read_pages(k, SMALL, true, BEFORE | WINDOW);
	bad |= want(iommufd_read_dirty(k->iommufd, k->s->hwpt[SMALL],
				    MOCK_IOVA + MOCK_AREA / 2, MOCK_AREA / 2,
				    false, &got), 0, "read the upper half");
	bad |= want(got == (BEFORE | WINDOW) >> 32, 1, "the upper half");
	return bad;
}

static int retrieve(void *p)
{
	struct mock_kit *k = p;
	int rc = mock_kit_retrieve(k, MOCK_SESSION, false);

	if (rc || strcmp(opt_str("spoil", ""), "cleared"))
		return rc;
	iommufd_track_dirty(k->iommufd, k->s->hwpt[SMALL], false);
	return iommufd_track_dirty(k->iommufd, k->s->hwpt[SMALL], true);
}

static int read_old(void *p)
{
	struct mock_kit *k = p;

	return read_once(k, SMALL, (BEFORE | WINDOW) & ~UPPER) |
	       read_once(k, LARGE, BEFORE | WINDOW);
}

static int goes_on(void *p)
{
	struct mock_kit *k = p;
	unsigned int i;
	int bad = 0;

	for (i = SMALL; i <= LARGE; i++) {
		bad |= want(write_pages(k, i, AFTER), 0, "write");
		bad |= read_once(k, i, AFTER);
	}
	return bad;
}

/* One that was on, and one that was off and is able to. */
static int on_and_off(void *p)
{
	struct mock_kit *k = p;
	uint32_t *hwpt = k->s->hwpt;
	int fd = k->iommufd, bad = 0;

	bad |= want(iommufd_track_dirty(fd, hwpt[SMALL], false), 0, "off");
	bad |= want(write_pages(k, SMALL, AFTER), -EINVAL, "write untracked");
	bad |= want(iommufd_track_dirty(fd, hwpt[SMALL], true), 0, "on");
	bad |= want(write_pages(k, SMALL, EARLY), 0, "write");
	bad |= read_once(k, SMALL, EARLY);
	bad |= want(write_pages(k, OFF, AFTER), -EINVAL, "write untracked");
	bad |= want(iommufd_track_dirty(fd, hwpt[OFF], true), 0, "on");
	bad |= want(mock_count_dirty(fd, hwpt[OFF], MOCK_IOVA, MOCK_AREA),
		    MOCK_AREA / 4096 / 2, "dirty pages");
	bad |= want(iommufd_track_dirty(fd, hwpt[OFF], false), 0, "off");
	return bad;
}

static int finish(void *p)
{
	struct mock_kit *k = p;
	int rc = luo_finish(k->session);

	if (rc)
		return v_error(rc, "LIVEUPDATE_SESSION_FINISH");
	mock_kit_end_session(k);
	return goes_on(k);
}

static int once_more(void *p)
{
	struct mock_kit *k = p;
	int bad = want(write_pages(k, SMALL, BEFORE), 0, "write");

	bad |= preserve(k);
	bad |= frozen(k);
	mock_kit_end_session(k);
	return bad | read_once(k, SMALL, BEFORE);
}

static const struct step old_kernel[] = {
	STEP("mock devices are attached", set_up),
	STEP("what devices write is tracked", track),
	STEP("everything is preserved", preserve),
	CHECK("tracking is neither switched on nor off", frozen),
	STEP("the session is closed", cancel),
	CHECK("the same pages are dirty", untouched),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("everything is preserved again", preserve),
	CHECK("what is written meanwhile is tracked, and can be read", in_between),
	SYNC("kexec"),
};

static const struct step new_kernel[] = {
	SYNC("booted"),
	STEP("everything is retrieved", retrieve),
	CHECK("the objects are the same, no attachment was written",
	      mock_kit_same),
	CHECK("what was written and not read yet is read, and once", read_old),
	CHECK("tracking goes on", goes_on),
	CHECK("tracking is switched off and on", on_and_off),
	CHECK("tracking goes on after finish", finish),
	CHECK("everything is preserved once more, and given back", once_more),
	STEP("everything is closed", mock_kit_close),
};

int test_mock_dirty(unsigned int stage)
{
	if (stage > 1)
		return v_run(new_kernel, ARRAY_SIZE(new_kernel), &kit);
	return kexec_after(old_kernel, ARRAY_SIZE(old_kernel), &kit);
}
