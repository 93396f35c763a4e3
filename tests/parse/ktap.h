/* SPDX-License-Identifier: GPL-2.0-only */
/* Results in KTAP, the plan at the end */
#ifndef FERRY_KTAP_H
#define FERRY_KTAP_H

#include <stdbool.h>
#include <stdio.h>

static unsigned int tests, failed;

static inline void result(bool good, const char *what)
{
	tests++;
	if (!good)
		failed++;
	printf("%sok %u - %s\n", good ? "" : "not ", tests, what);
}

/* The exit code */
static inline int results(void)
{
	printf("1..%u\n", tests);
	printf("# totals: pass:%u fail:%u\n", tests - failed, failed);
	return failed ? 1 : 0;
}

#endif
