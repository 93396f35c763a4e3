/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What liveupdate.c, the old kernel's side of kept PCI devices, and
 * liveupdate-restore.c, the new kernel's, share.
 */
#ifndef DRIVERS_PCI_LIVEUPDATE_PRIV_H
#define DRIVERS_PCI_LIVEUPDATE_PRIV_H

#include <linux/kho/abi/pci.h>
#include <linux/mutex.h>
#include <linux/pci.h>

struct liveupdate_flb;
struct liveupdate_flb_op_args;

/* What this kernel knows about what the last one handed over */
enum pci_lu_state {
	PCI_LU_UNTRIED, /* not asked yet */
	PCI_LU_NONE, /* nothing, or all of it is finished */
	PCI_LU_SET, /* there are records */
	PCI_LU_UNKNOWN, /* something, but it cannot be read */
};

/* In liveupdate.c: see there */
extern struct mutex pci_lu_mutex;
extern struct liveupdate_flb pci_lu_flb;

/* In liveupdate-restore.c */
enum pci_lu_state pci_lu_get_state(void);
int pci_lu_flb_retrieve(struct liveupdate_flb_op_args *args);
void pci_lu_flb_finish(struct liveupdate_flb_op_args *args);

static inline u16 pci_lu_bdf(const struct pci_dev *dev)
{
	return PCI_DEVID(dev->bus->number, dev->devfn);
}

static inline struct pci_dev_ser *pci_lu_slot(struct pci_chunk_ser *chunk,
					      unsigned int i)
{
	return (struct pci_dev_ser *)(chunk + 1) + i;
}

#endif /* DRIVERS_PCI_LIVEUPDATE_PRIV_H */
