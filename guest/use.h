/* SPDX-License-Identifier: GPL-2.0-only */
/* Ordinary use of an iommufd that came back; each is a step on a struct dma. */
#ifndef GUEST_USE_H
#define GUEST_USE_H

#include <stdbool.h>

bool use_wanted(void *ctx);

/* While frames arrive */
int use_copy(void *ctx);
int use_remap(void *ctx);
int use_ranges(void *ctx);
bool use_charged(void *ctx);
int use_be_charged(void *ctx);
int use_account(void *ctx);
int use_second_table(void *ctx);
int use_other_device(void *ctx);
int use_move(void *ctx);
int use_move_back(void *ctx);
bool use_tracking(void *ctx);
int use_dirty(void *ctx);
int use_dirty_off(void *ctx);
bool use_failing(void *ctx);
int use_failing_move(void *ctx);

/* With the receiver off */
int use_replace(void *ctx);
int use_destroy(void *ctx);

/* The steps that can be repeated, before and after the session is finished */
#define USE_STEPS(when)							\
	CHECK_WHEN("a kept mapping is copied, and read through the copy " when,	\
		   use_copy, use_wanted),				\
	CHECK_WHEN("a kept mapping is unmapped and made again " when,	\
		   use_remap, use_wanted),				\
	CHECK_WHEN("ranges are told and set " when, use_ranges,	\
		   use_wanted),						\
	CHECK_WHEN("pinned memory is charged to whom it belongs " when,	\
		   use_account, use_wanted),				\
	CHECK_WHEN("more page tables of the kept address space " when,	\
		   use_second_table, use_wanted),			\
	CHECK_WHEN("another device is attached to the kept page table " when,	\
		   use_other_device, use_wanted)

#endif /* GUEST_USE_H */
