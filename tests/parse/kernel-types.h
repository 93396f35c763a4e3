/* SPDX-License-Identifier: GPL-2.0-only */
/* What liveupdate-parse.c needs from the kernel's headers, for userspace */
#ifndef FERRY_KERNEL_TYPES_H
#define FERRY_KERNEL_TYPES_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define BIT_ULL(nr) (1ULL << (nr))
#define ARRAY_SIZE(arr) (sizeof(arr) / sizeof((arr)[0]))
#define sizeof_field(type, member) sizeof(((type *)0)->member)
#define __packed __attribute__((packed))

#endif
