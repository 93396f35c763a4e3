/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The landing check: what kexec and KHO ask while devices are kept. The essay
 * is at the top of kernel/liveupdate/luo_device.c.
 */
#ifndef _LINUX_LUO_DEVICE_H
#define _LINUX_LUO_DEVICE_H

#include <linux/types.h>

struct kimage;

#ifdef CONFIG_LIVEUPDATE

int luo_device_check_image(const struct kimage *image);
bool luo_device_memory_lands(phys_addr_t phys, size_t size);
bool luo_device_early_startup(void);
void luo_device_lost(const void *fdt);
void luo_device_stop_all(void);

#else

static inline int luo_device_check_image(const struct kimage *image)
{
	return 0;
}

static inline void luo_device_lost(const void *fdt)
{
}

#endif /* CONFIG_LIVEUPDATE */

#ifdef CONFIG_PCI_LIVEUPDATE
int luo_device_check_memory(phys_addr_t phys, size_t size);
void *luo_device_check_page(unsigned long page);
#else
static inline void *luo_device_check_page(unsigned long page)
{
	return (void *)page;
}

static inline int luo_device_check_memory(phys_addr_t phys, size_t size)
{
	return 0;
}
#endif
#endif /* _LINUX_LUO_DEVICE_H */
