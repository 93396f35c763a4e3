/* SPDX-License-Identifier: GPL-2.0-only */
/* Backing out: what the parts of the test share. */
#ifndef GUEST_BACK_H
#define GUEST_BACK_H

#include "dma.h"

int back_contiguous(void *p);

/* test-back-irq.c */
int back_irq_msi(void *p);
int back_irq_msix(void *p);
int back_irq_intx(void *p);

/* test-back-race.c */
int back_map_race(void *p);

/* test-back-kill.c */
int back_baseline(void *p);
int back_signal(void *p);
int back_killed_session(void *p);
int back_killed_memfd(void *p);
int back_killed_iommufd(void *p);
int back_killed_vfio(void *p);
int back_killed_closed(void *p);
int back_killed_loose(void *p);

#endif /* GUEST_BACK_H */
