/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection, one failure at a time: a call is tried again and again, and
 * each time a later one of its allocations fails, until one try meets no
 * failure. Wants a kernel with FAILSLAB and FAIL_PAGE_ALLOC.
 *
 *	failnth_open();
 *	rc = failnth_sweep("preserve the device", try, undo, ctx, &result);
 *
 * try() does the call once and returns its result, 0 or more when it worked. A
 * call that failed must have changed nothing and be possible again. One that
 * worked in spite of a failure is undone with undo(), unless that is NULL: then
 * the sweep ends there. After the sweep the call has worked, without a failure or
 * in spite of one.
 */
#ifndef GUEST_FAILNTH_H
#define GUEST_FAILNTH_H

#include <stdbool.h>

struct failnth {
	unsigned int tries;	/* how often the call was made */
	unsigned int failed;	/* the call failed */
	unsigned int survived;	/* it worked in spite of a failure */
	bool all;		/* the last try met no failure */
};

int failnth_open(void);
void failnth_arm(unsigned int nth);
bool failnth_disarm(void);
int failnth_sweep(const char *what, int (*try)(void *ctx),
		  int (*undo)(void *ctx), void *ctx, struct failnth *result);

#endif /* GUEST_FAILNTH_H */
