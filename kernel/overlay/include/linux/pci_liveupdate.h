/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI devices that keep doing DMA while the kernel is replaced: the calls for
 * drivers that keep devices, the tests that the PCI core makes, and the stubs.
 * The essays are at the top of drivers/pci/liveupdate.c and liveupdate-restore.c.
 */
#ifndef _LINUX_PCI_LIVEUPDATE_H
#define _LINUX_PCI_LIVEUPDATE_H

#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/pci.h>
#include <linux/types.h>

struct acpi_device;
struct liveupdate_file_handler;

#ifdef CONFIG_PCI_LIVEUPDATE

/* This function is kept, or is a bridge above one: old kernel, from preserve */
static inline bool pci_liveupdate_outgoing(const struct pci_dev *dev)
{
	return READ_ONCE(dev->lu_outgoing);
}

/* The same in the new kernel, until the owner has finished with it */
static inline bool pci_liveupdate_incoming(const struct pci_dev *dev)
{
	return READ_ONCE(dev->lu_incoming);
}

int pci_liveupdate_register(struct liveupdate_file_handler *fh);
void pci_liveupdate_unregister(struct liveupdate_file_handler *fh);

/* For whoever takes devices away from their drivers */
int pci_liveupdate_begin_change(struct device *dev);
int pci_liveupdate_begin_event(struct acpi_device *adev);
void pci_liveupdate_end_change(void);

/* Old kernel */
int pci_liveupdate_preserve(struct pci_dev *dev, const char *compat);
void pci_liveupdate_unpreserve(struct pci_dev *dev);
int pci_liveupdate_freeze(struct pci_dev *dev);

/* New kernel */
bool pci_liveupdate_any_incoming(void);
struct pci_dev *pci_liveupdate_get_incoming(u32 domain, u16 bdf,
					    const char *compat);
void pci_liveupdate_lose(struct pci_dev *dev);
void pci_liveupdate_quiet_msi(struct pci_dev *dev);
void pci_liveupdate_disable(struct pci_dev *dev);
void pci_liveupdate_stop(struct pci_dev *dev);
void pci_liveupdate_finish(struct pci_dev *dev);

#else

static inline bool pci_liveupdate_outgoing(const struct pci_dev *dev)
{
	return false;
}

static inline bool pci_liveupdate_incoming(const struct pci_dev *dev)
{
	return false;
}

static inline bool pci_liveupdate_any_incoming(void)
{
	return false;
}

static inline int pci_liveupdate_begin_change(struct device *dev)
{
	return 0;
}

static inline int pci_liveupdate_begin_event(struct acpi_device *adev)
{
	return 0;
}

static inline void pci_liveupdate_end_change(void)
{
}

static inline void pci_liveupdate_lose(struct pci_dev *dev)
{
	pci_clear_master(dev);
}

static inline void pci_liveupdate_stop(struct pci_dev *dev)
{
}

#endif /* CONFIG_PCI_LIVEUPDATE */

/* Kept, in the one direction or the other: hands off */
static inline bool pci_liveupdate_busy(const struct pci_dev *dev)
{
	return pci_liveupdate_outgoing(dev) || pci_liveupdate_incoming(dev);
}

#endif /* _LINUX_PCI_LIVEUPDATE_H */
