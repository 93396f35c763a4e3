/* SPDX-License-Identifier: GPL-2.0-only */
/* What a fuzz target gives to libFuzzer and to standalone.c */
#ifndef FERRY_FUZZ_H
#define FERRY_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#define FUZZ_MAX_SIZE 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Input number @n to start from, in FUZZ_MAX_SIZE bytes; 0 when there are no more */
size_t fuzz_seed(unsigned int n, uint8_t *data);

#endif
