/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Why a live update was refused.
 *
 * An errno tells a program that something cannot be kept; what it was, and why,
 * is for the administrator and goes to the log. Whoever decides to refuse says
 * so, once, where the most is known, and everybody above only passes the errno
 * on. So one refused call gives one line:
 *
 *   vfio-pci 0000:01:00.0: live update: refused: it is in D3hot (-EBUSY)
 *   iommufd: live update: refused: an access is in use (-EOPNOTSUPP)
 *
 * The lines are rate-limited for each place that writes them, because
 * unprivileged owners of a device can ask as often as they like. Running out of
 * memory is not a refusal. Both forms have the value of @err, so that they can
 * be returned.
 */
#ifndef _LINUX_LIVEUPDATE_REFUSE_H
#define _LINUX_LIVEUPDATE_REFUSE_H

#include <linux/dev_printk.h>
#include <linux/err.h>
#include <linux/printk.h>

/* Not pr_notice(): the prefix is the object's, not that of the file it is in. */
#define LIVEUPDATE_REFUSED(what) KERN_NOTICE what ": live update: refused: "

/**
 * liveupdate_refuse - Say what is refused, and why
 * @what: string literal: the part of the kernel that the object belongs to
 * @err: negative errno that the caller will see
 * @fmt: the object and the reason
 *
 * Return: @err
 */
#define liveupdate_refuse(what, err, fmt, ...)                              \
	({                                                                  \
		int __refused = (err);                                      \
		printk_ratelimited(LIVEUPDATE_REFUSED(what) fmt " (%pe)\n", \
				   ##__VA_ARGS__, ERR_PTR(__refused));      \
		__refused;                                                  \
	})

/**
 * liveupdate_refuse_dev - Say why a device is refused
 * @dev: struct device that the reason is about
 * @err: negative errno that the caller will see
 * @fmt: the reason
 *
 * Return: @err
 */
#define liveupdate_refuse_dev(dev, err, fmt, ...)                          \
	({                                                                 \
		int __refused = (err);                                     \
		dev_notice_ratelimited(dev,                                \
				       "live update: refused: " fmt        \
				       " (%pe)\n",                         \
				       ##__VA_ARGS__, ERR_PTR(__refused)); \
		__refused;                                                 \
	})

#endif /* _LINUX_LIVEUPDATE_REFUSE_H */
