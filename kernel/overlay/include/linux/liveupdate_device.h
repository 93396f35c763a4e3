/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Devices that do DMA while the kernel is replaced: what those who keep them tell
 * the landing check, and what others ask it. The essay is at the top of
 * kernel/liveupdate/luo_device.c.
 */
#ifndef _LINUX_LIVEUPDATE_DEVICE_H
#define _LINUX_LIVEUPDATE_DEVICE_H

#include <linux/types.h>

/* For those who keep devices, and depend on LIVEUPDATE */
int liveupdate_device_get(void);
void liveupdate_device_put(void);
bool liveupdate_device_stopped(u32 segment, u16 bdf);
void liveupdate_device_set_waiting(bool waiting);

/* For memory hotplug */
#ifdef CONFIG_PCI_LIVEUPDATE
int liveupdate_device_check_offline(unsigned long pfn, unsigned long nr_pages);
#else
static inline int liveupdate_device_check_offline(unsigned long pfn,
						  unsigned long nr_pages)
{
	return 0;
}
#endif

#endif /* _LINUX_LIVEUPDATE_DEVICE_H */
