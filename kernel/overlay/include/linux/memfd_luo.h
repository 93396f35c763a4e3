/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memfds that devices write to while the kernel is replaced. The essay is at
 * the top of mm/memfd_luo_hold.c.
 */
#ifndef _LINUX_MEMFD_LUO_H
#define _LINUX_MEMFD_LUO_H

#include <linux/errno.h>

struct file;
struct liveupdate_file_op_args;
struct liveupdate_session;

#ifdef CONFIG_LIVEUPDATE_MEMFD

int memfd_luo_hold_dma(struct liveupdate_session *session, struct file *memfd);

/* For memfd_luo.c */
void memfd_luo_freeze_held(struct liveupdate_file_op_args *args);

#else

static inline int memfd_luo_hold_dma(struct liveupdate_session *session,
				     struct file *memfd)
{
	return -EOPNOTSUPP;
}

#endif /* CONFIG_LIVEUPDATE_MEMFD */
#endif /* _LINUX_MEMFD_LUO_H */
