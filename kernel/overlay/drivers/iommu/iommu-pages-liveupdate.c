// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pages of IOMMU tables over a live update
 *
 * An IOMMU page is a folio of its own, so it is handed over as a KHO folio of
 * its own order. Nothing is kept here beside it: KHO remembers the address and
 * the order, and whoever preserves a page has to remember that it did.
 *
 * The old kernel owns a page until the jump; preserving it changes nothing
 * about it but that it must not be freed before it is unpreserved. After the
 * jump the page belongs to KHO, is reserved and may be read, until exactly one
 * caller takes it over with iommu_pages_restore(). From then on it is an IOMMU
 * page like any other: it is counted and freed in the same way.
 *
 * There is no lock. The callers see to it that a table is not changed while it
 * is preserved, and that only one of them restores a page; a second attempt is
 * refused because KHO forgets a page that was taken over.
 *
 * What cannot fail: unpreserve. Restore refuses an address that is not memory,
 * was not preserved or was preserved with another order, without a warning,
 * because the address was found in handed-over data.
 */
#include <kunit/static_stub.h>
#include <linux/export.h>
#include <linux/kexec_handover.h>
#include <linux/kho_query.h>
#include <linux/mm.h>

#include "iommu-pages.h"

/**
 * iommu_pages_preserve - Let the next kernel find a page
 * @virt: Address returned from iommu_alloc_pages_node_sz()
 *
 * Context: Process context, may sleep.
 *
 * Return: 0, or -ERRNO with the page as it was.
 */
int iommu_pages_preserve(void *virt)
{
	KUNIT_STATIC_STUB_REDIRECT(iommu_pages_preserve, virt);

	return kho_preserve_folio(virt_to_folio(virt));
}
EXPORT_SYMBOL_GPL(iommu_pages_preserve);

/**
 * iommu_pages_unpreserve - Undo iommu_pages_preserve(), cannot fail
 * @virt: Address given to iommu_pages_preserve()
 *
 * Context: Process context, may sleep.
 */
void iommu_pages_unpreserve(void *virt)
{
	KUNIT_STATIC_STUB_REDIRECT(iommu_pages_unpreserve, virt);

	kho_unpreserve_folio(virt_to_folio(virt));
}
EXPORT_SYMBOL_GPL(iommu_pages_unpreserve);

/**
 * iommu_pages_restore_count - Count restored pages as managed
 * @uncounted: what iommu_pages_restore_many() has added up, empty afterwards
 *
 * Before any of these pages is freed.
 */
void iommu_pages_restore_count(struct iommu_pages_uncounted *uncounted)
{
	if (uncounted->nr)
		adjust_managed_page_count(uncounted->page, uncounted->nr);
	uncounted->nr = 0;
}
EXPORT_SYMBOL_GPL(iommu_pages_restore_count);

/**
 * iommu_pages_restore_many - Take over one of many pages
 * @uncounted: empty before the first of them
 * @pa: as for iommu_pages_restore()
 * @order: as for iommu_pages_restore()
 *
 * To count a page as managed costs many times what the rest does, so pages of one
 * zone are counted together. iommu_pages_restore_count() has to follow, also
 * after a failure.
 *
 * Return: as iommu_pages_restore().
 */
void *iommu_pages_restore_many(struct iommu_pages_uncounted *uncounted,
			       phys_addr_t pa, unsigned int order)
{
	const unsigned long pgcnt = 1UL << order;
	struct folio *folio;
	long nr = 0;

	if (!kho_folio_preserved(pa, order))
		return NULL;
	folio = kho_restore_folio_uncounted(pa, &nr);
	if (!folio)
		return NULL;
	if (uncounted->nr && page_zone(uncounted->page) != folio_zone(folio))
		iommu_pages_restore_count(uncounted);
	uncounted->page = folio_page(folio, 0);
	uncounted->nr += nr;

	folio_ioptdesc(folio)->incoherent = false;
	mod_node_page_state(folio_pgdat(folio), NR_IOMMU_PAGES, pgcnt);
	lruvec_stat_mod_folio(folio, NR_SECONDARY_PAGETABLE, pgcnt);
	return folio_address(folio);
}
EXPORT_SYMBOL_GPL(iommu_pages_restore_many);

/**
 * iommu_pages_restore - Take over a page that the previous kernel preserved
 * @pa: Physical address of the page, not trusted
 * @order: Order that the page was preserved with, not trusted
 *
 * Return: the virtual address of the page, which is an IOMMU page from now on,
 * or NULL when there is no such preserved page.
 */
void *iommu_pages_restore(phys_addr_t pa, unsigned int order)
{
	struct iommu_pages_uncounted uncounted = {};
	void *virt = iommu_pages_restore_many(&uncounted, pa, order);

	iommu_pages_restore_count(&uncounted);
	return virt;
}
EXPORT_SYMBOL_GPL(iommu_pages_restore);

/**
 * iommu_pages_restore_incoherent - A restored page is read past the CPU caches
 * @virt: Address returned from iommu_pages_restore()
 * @dma_dev: The iommu device
 *
 * Like iommu_pages_start_incoherent() for a page whose content the previous
 * kernel has already flushed.
 *
 * Return: 0 or -ERRNO.
 */
int iommu_pages_restore_incoherent(void *virt, struct device *dma_dev)
{
	if (IOMMU_PAGES_USE_DMA_API)
		return iommu_pages_start_incoherent(virt, dma_dev);
	virt_to_ioptdesc(virt)->incoherent = 1;
	return 0;
}
EXPORT_SYMBOL_GPL(iommu_pages_restore_incoherent);
