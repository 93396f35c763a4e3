/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Switches that take one safety measure of the live update away, so that a test
 * can show that its judge notices, or that make a window wide enough to look
 * into. Only in kernels made for that.
 */
#ifndef _LINUX_LIVEUPDATE_BREAK_H
#define _LINUX_LIVEUPDATE_BREAK_H

#include <linux/types.h>

#ifdef CONFIG_LIVEUPDATE_BREAK_TEST
bool liveupdate_break(const char *what);
void liveupdate_delay(const char *where);
#else
static inline bool liveupdate_break(const char *what)
{
	return false;
}

static inline void liveupdate_delay(const char *where)
{
}
#endif

/* NULL instead of @alloc, which is not evaluated, when a test wants it to fail */
#define liveupdate_alloc(what, alloc) \
	(liveupdate_break("nomem_" what) ? NULL : (alloc))

#endif /* _LINUX_LIVEUPDATE_BREAK_H */
