/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the readers of handed-over records need from the kernel's headers, for
 * userspace. Memory is a matter of fake-kho.h.
 */
#ifndef FERRY_KERNEL_TYPES_H
#define FERRY_KERNEL_TYPES_H

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef u64 phys_addr_t;

#define U16_MAX UINT16_MAX
#define U32_MAX UINT32_MAX
#define U64_MAX UINT64_MAX
#define MAX_LFS_FILESIZE INT64_MAX
#define BIT_ULL(nr) (1ULL << (nr))
#define ARRAY_SIZE(arr) (sizeof(arr) / sizeof((arr)[0]))
#define sizeof_field(type, member) sizeof(((type *)0)->member)
#define DIV_ROUND_UP_ULL(a, b) (((a) + (b) - 1) / (b))
#define PAGE_ALIGNED(a) (!((a) & 4095))
#define min(a, b) ((a) < (b) ? (a) : (b))
#define min_t(type, a, b) min((type)(a), (type)(b))
#define check_add_overflow(a, b, sum) __builtin_add_overflow(a, b, sum)
#define __packed __attribute__((packed))

struct device;

struct list_head {
	struct list_head *next, *prev;
};

#define GFP_KERNEL_ACCOUNT 0
#define kvcalloc(n, size, flags) calloc(n, size)
/* Reading 0 bytes is no reason to run out of memory */
#define kvmalloc(size, flags) malloc((size) ? (size) : 1)
#define kvfree(mem) free(mem)
#define sort(base, n, size, cmp, swap) qsort(base, n, size, cmp)
#define pr_warn(...) ((void)0)

static inline void *ERR_PTR(long err)
{
	return (void *)err;
}

static inline long PTR_ERR(const void *ptr)
{
	return (long)ptr;
}

static inline bool IS_ERR(const void *ptr)
{
	return (unsigned long)ptr >= (unsigned long)-4095;
}

#define ERR_CAST(ptr) ((void *)(ptr))

/* The first byte that is not @c, or NULL */
static inline void *memchr_inv(const void *mem, int c, size_t size)
{
	const u8 *bytes = mem;
	size_t i;

	for (i = 0; i < size; i++)
		if (bytes[i] != (u8)c)
			return (void *)(bytes + i);
	return NULL;
}

#endif
