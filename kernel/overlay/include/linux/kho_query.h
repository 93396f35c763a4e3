/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Questions to KHO that do not change anything, and a restore for very many folios.
 *
 * kho_restore_folio() warns when it is given memory that the previous kernel
 * did not preserve. An address that came from the previous kernel is not to be
 * trusted, so whoever restores one asks here first. And what is preserved for the
 * next kernel can neither move nor go, so memory hotplug asks, too.
 */
#ifndef _LINUX_KHO_QUERY_H
#define _LINUX_KHO_QUERY_H

#include <linux/types.h>

struct folio;

#ifdef CONFIG_PCI_LIVEUPDATE
struct folio *kho_restore_folio_uncounted(phys_addr_t phys, long *uncounted);
bool kho_folio_preserved(phys_addr_t phys, unsigned int order);
bool kho_range_preserved(phys_addr_t phys, size_t size);
#else
static inline bool kho_folio_preserved(phys_addr_t phys, unsigned int order)
{
	return false;
}
#endif

#endif /* _LINUX_KHO_QUERY_H */
