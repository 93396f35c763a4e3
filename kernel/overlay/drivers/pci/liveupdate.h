/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the PCI core asks about devices that are kept over a live update.
 */
#ifndef DRIVERS_PCI_LIVEUPDATE_H
#define DRIVERS_PCI_LIVEUPDATE_H

#include <linux/pci_liveupdate.h>

struct pci_slot;

#ifdef CONFIG_PCI_LIVEUPDATE

/* liveupdate.c */
bool pci_liveupdate_keep_master(struct pci_dev *dev);
bool pci_liveupdate_slot_busy(const struct pci_slot *slot);
bool pci_liveupdate_no_recovery(struct pci_dev *dev);

/* liveupdate-restore.c */
void pci_liveupdate_setup_device(struct pci_dev *dev);
bool pci_liveupdate_size_bars(struct pci_dev *dev, unsigned int count,
			      u32 *masks, u32 *rom);
bool pci_liveupdate_configure_device(struct pci_dev *dev);
bool pci_liveupdate_add_device(struct pci_dev *dev);
bool pci_liveupdate_skip_bridge(struct pci_bus *bus, struct pci_dev *dev);
int pci_liveupdate_inherit_ats(struct pci_dev *dev, int ps);
bool pci_liveupdate_inherit_ari(struct pci_dev *dev);
bool pci_liveupdate_mask_msix(struct pci_dev *dev, u16 ctrl);
bool pci_liveupdate_may_bind(struct pci_dev *dev, const struct pci_driver *drv);
int pci_liveupdate_check_probe(struct pci_dev *dev,
			       const struct pci_driver *drv);

#else

static inline bool pci_liveupdate_keep_master(struct pci_dev *dev)
{
	return false;
}

static inline void pci_liveupdate_setup_device(struct pci_dev *dev)
{
}

static inline bool pci_liveupdate_size_bars(struct pci_dev *dev,
					    unsigned int count, u32 *masks,
					    u32 *rom)
{
	return false;
}

static inline bool pci_liveupdate_configure_device(struct pci_dev *dev)
{
	return false;
}

static inline bool pci_liveupdate_add_device(struct pci_dev *dev)
{
	return false;
}

static inline bool pci_liveupdate_skip_bridge(struct pci_bus *bus,
					      struct pci_dev *dev)
{
	return false;
}

static inline int pci_liveupdate_inherit_ats(struct pci_dev *dev, int ps)
{
	return 1;
}

static inline bool pci_liveupdate_inherit_ari(struct pci_dev *dev)
{
	return false;
}

static inline bool pci_liveupdate_mask_msix(struct pci_dev *dev, u16 ctrl)
{
	return false;
}

static inline bool pci_liveupdate_may_bind(struct pci_dev *dev,
					   const struct pci_driver *drv)
{
	return true;
}

static inline int pci_liveupdate_check_probe(struct pci_dev *dev,
					     const struct pci_driver *drv)
{
	return 0;
}

static inline bool pci_liveupdate_no_recovery(struct pci_dev *dev)
{
	return false;
}

static inline bool pci_liveupdate_slot_busy(const struct pci_slot *slot)
{
	return false;
}

#endif /* CONFIG_PCI_LIVEUPDATE */
#endif /* DRIVERS_PCI_LIVEUPDATE_H */
