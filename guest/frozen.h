/* SPDX-License-Identifier: GPL-2.0-only */
/* Operations that are refused while a device is preserved, as a table. */
#ifndef GUEST_FROZEN_H
#define GUEST_FROZEN_H

#include <stddef.h>

struct dma;

struct frozen_op {
	const char *what;
	int (*run)(struct dma *d);
	int wanted;
};

const struct frozen_op *frozen_ops(size_t *n);

/* What an operation needs besides the device: a second address space. */
int frozen_spare(void *d);

/* What "frozen" and "window" begin with: all is preserved, and frames arrive. */
#define FROZEN_STEPS_PRESERVED						\
	STEP("the card is bound to vfio-pci", dma_bind_driver),		\
	STEP("memory is made", dma_make_memory),			\
	STEP("the card is attached to its page table", dma_attach),	\
	STEP("a second address space is made", frozen_spare),		\
	STEP("the receive ring is up", dma_ring_up),			\
	SYNC("ready"),							\
	STEP("frames arrive", dma_frames_arrive),			\
	STEP("the next kernel is loaded", kexec_load_next),		\
	STEP("the page table is marked", dma_mark),			\
	STEP("the memfd is preserved", dma_preserve_memfd),		\
	STEP("the iommufd is preserved", dma_preserve_iommufd),		\
	STEP("the VFIO device is preserved", dma_preserve_vfio)

/* hammer.c */
int hammer_start(struct dma *d);
void hammer_stop(void);
int hammer_result(struct dma *d);

#endif /* GUEST_FROZEN_H */
