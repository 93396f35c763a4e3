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

/* hammer.c */
int hammer_start(struct dma *d);
void hammer_stop(void);
int hammer_result(struct dma *d);

#endif /* GUEST_FROZEN_H */
