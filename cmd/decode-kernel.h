/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef FERRY_DECODE_KERNEL_H
#define FERRY_DECODE_KERNEL_H

#include <stddef.h>
#include <stdint.h>

int decode_kernel(const void *bytes, size_t length, uint64_t base);

#endif
