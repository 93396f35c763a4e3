// SPDX-License-Identifier: GPL-2.0-only
/* Fault injection, one failure at a time, see failnth.h. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failnth.h"
#include "guest.h"

#define DEBUGFS	"/sys/kernel/debug/"
#define SLABS	"/sys/kernel/slab"
/* A call that makes more allocations than this is not one to be swept. */
#define MAX_TRIES	3000

/*
 * No object is smaller than the least of them by much. What needs much memory is
 * not tried for each object of it: firmware's interpreter takes thousands.
 */
#define PRESS_STEP	64
#define PRESS_PART	64
#define PRESS_MAX	(4 * MIB)
#define PRESS_TIMES	1000000000

/* Both stay open: without memory nothing can be opened to stop it. */
static int fd = -1, victim = -1;

/*
 * All caches but those of the detectors: nothing but a detector would notice.
 * Without the filter every second failure would be one of kmemleak's.
 */
static void filter_caches(void)
{
	DIR *dir = opendir(SLABS);
	struct dirent *e;
	char path[320];

	if (!dir)
		return;
	while ((e = readdir(dir))) {
		snprintf(path, sizeof(path), SLABS "/%s/failslab", e->d_name);
		if (e->d_name[0] != '.' && strncmp(e->d_name, "kmemleak", 8))
			write_file(path, "1");
	}
	closedir(dir);
	write_file(DEBUGFS "failslab/cache-filter", "Y");
}

/* Allocations that may sleep fail, too, of every size, and quietly. */
int failnth_open(void)
{
	static const struct {
		const char *path, *value;
	} set[] = {
		{ DEBUGFS "failslab/ignore-gfp-wait", "N" },
		{ DEBUGFS "failslab/verbose", "0" },
		{ DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N" },
		{ DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ DEBUGFS "fail_page_alloc/min-order", "0" },
		{ DEBUGFS "fail_page_alloc/verbose", "0" },
		{ DEBUGFS "fail_iommufd/verbose", "0" },
	};
	unsigned int i;
	int rc;

	for (i = 0; i < ARRAY_SIZE(set); i++) {
		rc = write_file(set[i].path, set[i].value);
		/* iommufd's own points are there with its mock only */
		if (rc < 0 && i != ARRAY_SIZE(set) - 1)
			return v_error(rc, set[i].path);
	}
	filter_caches();
	if (fd < 0)
		fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (victim < 0)
		victim = open("/proc/thread-self/make-it-fail",
			      O_RDWR | O_CLOEXEC);
	return fd < 0 || victim < 0 ? v_error(-errno, "fail-nth") : 0;
}

/* The nth allocation of this thread from now on fails, with 0 none. */
void failnth_arm(unsigned int nth)
{
	char buf[16];
	int n = snprintf(buf, sizeof(buf), "%u", nth);

	if (pwrite(fd, buf, n, 0) != n)
		v_note("fail-nth: cannot be written");
}

/* Did it happen? */
bool failnth_disarm(void)
{
	char buf[16] = "";
	ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);

	failnth_arm(0);
	return n > 0 && isdigit(buf[0]) && !atoi(buf);
}

void failnth_report(const struct failnth *f)
{
	v_note("fail-nth: %s: %u calls, %u failed, %u worked in spite of a failure%s",
	       f->what, f->tries, f->failed, f->survived,
	       f->all ? "" : "; there are more to come");
}

/* One more call, with the next failure. Positive: it worked in spite of it. */
static int try_once(struct failnth *f, int (*try)(void *ctx), void *ctx)
{
	bool happened;
	int rc;

	failnth_arm(f->all ? 0 : f->next);
	rc = try(ctx);
	happened = failnth_disarm() && !f->all;
	f->tries++;
	if (!happened) {
		f->all = true;
		return rc < 0 ? v_error(rc, f->what) : 0;
	}
	f->next++;
	/* Another errno than usual is a hint when the next try fails, too */
	if (rc < 0 && rc != -ENOMEM && rc != -EAGAIN)
		v_note("fail-nth: %s, failure %u: %s", f->what, f->next - 1,
		       strerrorname_np(-rc));
	if (rc < 0)
		f->failed++;
	else
		f->survived++;
	return rc < 0 ? -EAGAIN : 1;
}

static void be_victim(const char *yes)
{
	if (pwrite(victim, yes, 1, 0) != 1)
		v_note("make-it-fail: cannot be written");
}

/* After @bytes more all of this thread's allocations fail, with 0 at once. */
static void press(unsigned int bytes)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", bytes);
	write_file(DEBUGFS "failslab/space", text);
	snprintf(text, sizeof(text), "%u", PRESS_TIMES);
	write_file(DEBUGFS "failslab/times", text);
	write_file(DEBUGFS "failslab/task-filter", "Y");
	write_file(DEBUGFS "failslab/probability", "100");
	be_victim("1");
}

/* Did any? */
static bool press_no_more(void)
{
	char text[16] = "";

	be_victim("0");
	write_file(DEBUGFS "failslab/probability", "0");
	read_file(DEBUGFS "failslab/times", text, sizeof(text));
	return atoi(text) != PRESS_TIMES;
}

int failnth_press(struct failnth *f, int (*try)(void *ctx), void *ctx)
{
	bool happened;
	int rc;

	for (; f->bytes < PRESS_MAX;
	     f->bytes += PRESS_STEP + f->bytes / PRESS_PART) {
		press(f->bytes);
		rc = try(ctx);
		happened = press_no_more();
		f->tries++;
		f->all = !happened;
		if (rc >= 0) {
			f->survived += happened;
			return 0;
		}
		if (!happened)
			return v_error(rc, f->what);
		f->failed++;
	}
	return v_error(-E2BIG, f->what);
}

int failnth_sweep(struct failnth *f, int (*try)(void *ctx),
		  int (*undo)(void *ctx), void *ctx)
{
	int rc;

	if (!f->next)
		f->next = 1;
	do {
		rc = try_once(f, try, ctx);
		if (rc > 0 && !undo)
			return 0;
		if (rc > 0 && undo(ctx) < 0)
			return v_error(-EIO, "undo what worked after all");
		if (f->tries == MAX_TRIES)
			return v_error(-E2BIG, f->what);
	} while (rc && (rc == -EAGAIN || rc > 0));
	return rc;
}
