/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that KHO preserved, for readers that are built for userspace: pages
 * at consecutive addresses, each in an allocation of its own, so that the
 * sanitizer sees the first byte beyond it. What is preserved and restored is
 * checked as the kernel checks it.
 */
#ifndef FERRY_FAKE_KHO_H
#define FERRY_FAKE_KHO_H

#include "kernel-types.h"

#define KHO_BASE 0x100000000ULL
#define KHO_PAGE 4096
#define KHO_MAX_PAGES 64

struct fake_page {
	u8 *mem;
	bool preserved;
};

static struct fake_page kho_pages[KHO_MAX_PAGES];

static inline struct fake_page *kho_page(phys_addr_t pa)
{
	if (pa < KHO_BASE || pa - KHO_BASE >= KHO_MAX_PAGES * KHO_PAGE)
		return NULL;
	return &kho_pages[(pa - KHO_BASE) / KHO_PAGE];
}

static inline bool kho_folio_preserved(phys_addr_t pa, unsigned int order)
{
	struct fake_page *page = kho_page(pa);

	return page && page->preserved && pa % KHO_PAGE == 0 && order == 0;
}

static inline void *phys_to_virt(phys_addr_t pa)
{
	struct fake_page *page = kho_page(pa);

	if (!page || !page->mem)
		abort();
	return page->mem + pa % KHO_PAGE;
}

static inline phys_addr_t virt_to_phys(const void *mem)
{
	int i;

	for (i = 0; i < KHO_MAX_PAGES; i++)
		if (kho_pages[i].mem == mem)
			return KHO_BASE + i * KHO_PAGE;
	abort();
}

static inline void *kho_alloc_preserve(size_t size)
{
	int i;

	for (i = 0; i < KHO_MAX_PAGES; i++) {
		if (kho_pages[i].mem || size > KHO_PAGE)
			continue;
		kho_pages[i].mem = calloc(1, KHO_PAGE);
		if (!kho_pages[i].mem)
			abort();
		kho_pages[i].preserved = true;
		return kho_pages[i].mem;
	}
	return ERR_PTR(-ENOMEM);
}

static inline void kho_unpreserve_free(void *mem)
{
	struct fake_page *page = kho_page(virt_to_phys(mem));

	/* Twice would be a bug of the caller */
	if (!page->preserved)
		abort();
	free(page->mem);
	page->mem = NULL;
	page->preserved = false;
}

static inline void kho_restore_free(void *mem)
{
	kho_unpreserve_free(mem);
}

/* Whatever a test left behind */
static inline void kho_reset(void)
{
	int i;

	for (i = 0; i < KHO_MAX_PAGES; i++) {
		free(kho_pages[i].mem);
		kho_pages[i].mem = NULL;
		kho_pages[i].preserved = false;
	}
}

#endif
