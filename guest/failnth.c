// SPDX-License-Identifier: GPL-2.0-only
/* Fault injection, one failure at a time, see failnth.h. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "failnth.h"
#include "guest.h"

#define DEBUGFS	"/sys/kernel/debug/"
/* A call that makes more allocations than this is not one to be swept. */
#define MAX_TRIES	3000

static int fd = -1;

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
	if (fd < 0)
		fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	return fd < 0 ? v_error(-errno, "fail-nth") : 0;
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

static int report(const char *what, const struct failnth *f)
{
	v_note("fail-nth: %s: %u tries, %u failed, %u worked in spite of a failure%s",
	       what, f->tries, f->failed, f->survived,
	       f->all ? "" : ", the last one among them");
	return 0;
}

int failnth_sweep(const char *what, int (*try)(void *ctx),
		  int (*undo)(void *ctx), void *ctx, struct failnth *result)
{
	struct failnth f = { 0 };
	bool happened;
	int rc;

	while (f.tries < MAX_TRIES) {
		failnth_arm(++f.tries);
		rc = try(ctx);
		happened = failnth_disarm();
		if (!happened) {
			f.all = true;
			break;
		}
		if (rc < 0) {
			f.failed++;
			continue;
		}
		f.survived++;
		if (!undo)
			break;
		rc = undo(ctx);
		if (rc < 0)
			return v_error(rc, "undo what worked in spite of a failure");
	}
	report(what, &f);
	if (result)
		*result = f;
	if (f.tries == MAX_TRIES)
		return v_error(-E2BIG, what);
	return rc < 0 ? v_error(rc, what) : 0;
}
