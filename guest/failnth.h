/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection, one failure at a time: a call is tried again and again, and
 * each time a later one of its allocations fails, until one try meets no
 * failure. Wants a kernel with FAILSLAB and FAIL_PAGE_ALLOC.
 *
 *	struct failnth f = { .what = "preserve the device" };
 *
 *	failnth_open();
 *	rc = failnth_sweep(&f, try, undo, ctx);
 *
 * try() does the call once and returns its result, 0 or more when it worked. A
 * call that failed must have changed nothing and be possible again. One that
 * worked in spite of a failure is undone with undo(). Without an undo() the sweep
 * ends there, to be continued with the same call on another object, and the same
 * struct failnth, until @all is set. After each sweep the call has worked.
 *
 * failnth_press() is for calls that cannot be undone: with the first failure all
 * that follow fail, too, so that a call which can do without something does not
 * end the sweep. Each try is given PRESS_STEP more bytes before that.
 */
#ifndef GUEST_FAILNTH_H
#define GUEST_FAILNTH_H

#include <stdbool.h>

struct failnth {
	const char *what;
	unsigned int next;	/* the allocation that fails next, 0: the first */
	unsigned int tries;	/* how often the call was made */
	unsigned int failed;	/* the call failed */
	unsigned int survived;	/* it worked in spite of a failure */
	bool all;		/* the last try met no failure: done */
	unsigned int bytes;	/* what failnth_press() gives out */
};

int failnth_open(void);
void failnth_arm(unsigned int nth);
bool failnth_disarm(void);
int failnth_sweep(struct failnth *f, int (*try)(void *ctx),
		  int (*undo)(void *ctx), void *ctx);
int failnth_press(struct failnth *f, int (*try)(void *ctx), void *ctx);
void failnth_report(const struct failnth *f);

#endif /* GUEST_FAILNTH_H */
