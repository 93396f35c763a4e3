// SPDX-License-Identifier: GPL-2.0-only
/*
 * The program around a fuzz target where there is no libFuzzer:
 *
 *   FUZZER FILE...                run these inputs
 *   FUZZER --corpus DIR           write the inputs to start from
 *   FUZZER --rounds N --seed S    mutate these inputs at random
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static uint8_t data[FUZZ_MAX_SIZE];

static int run_file(const char *name)
{
	FILE *file = fopen(name, "rb");
	size_t size;

	if (!file) {
		perror(name);
		return 1;
	}
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	return LLVMFuzzerTestOneInput(data, size);
}

static int write_corpus(const char *dir)
{
	char name[4096];
	unsigned int n;
	size_t size;
	FILE *file;

	for (n = 0; (size = fuzz_seed(n, data)) != 0; n++) {
		snprintf(name, sizeof(name), "%s/seed-%03u", dir, n);
		file = fopen(name, "wb");
		if (!file || fwrite(data, size, 1, file) != 1 || fclose(file)) {
			perror(name);
			return 1;
		}
	}
	return 0;
}

/* One mutation: a bit, a byte, an interesting word, a copy, a record's copy */
static void mutate(size_t size)
{
	static const uint64_t words[] = { 0, 1, 2, 4096, ~0ULL, 1ULL << 63,
					  1ULL << 52, 0x100000000, 0x100001000,
					  0x100002000, 0x30000000, 0x40000000 };
	size_t to = rand() % size, from = rand() % size, room;
	size_t len = 1 + rand() % 16;

	switch (rand() % 5) {
	case 0:
		data[to] ^= 1 << rand() % 8;
		return;
	case 1:
		data[to] = rand();
		return;
	case 2:
		len = 8;
		to = to / 8 * 8;
		memcpy(&data[to],
		       &words[rand() % (sizeof(words) / sizeof(words[0]))], 8);
		return;
	case 3:
		to = to / 4 * 4;
		from = from / 4 * 4;
		break;
	default:
		len = 256;
		to = to / 256 * 256;
		from = from / 256 * 256;
	}
	room = size - (to > from ? to : from);
	memmove(&data[to], &data[from], len < room ? len : room);
}

static int fuzz(unsigned long rounds, unsigned int seed)
{
	unsigned long round;
	unsigned int i, seeds = 0;
	size_t size;

	srand(seed);
	while (fuzz_seed(seeds, data))
		seeds++;
	for (round = 0; round < rounds; round++) {
		/* The first one is good in every part, and so the best */
		size = fuzz_seed(rand() % 2 ? 0 : rand() % seeds, data);
		for (i = 0; i < 1 + round % 24; i++)
			mutate(size);
		LLVMFuzzerTestOneInput(data, size);
	}
	printf("%lu inputs, seed %u\n", rounds, seed);
	return 0;
}

int main(int argc, char **argv)
{
	int i, ret = 0;

	if (argc == 3 && !strcmp(argv[1], "--corpus"))
		return write_corpus(argv[2]);
	if (argc == 5 && !strcmp(argv[1], "--rounds") &&
	    !strcmp(argv[3], "--seed"))
		return fuzz(strtoul(argv[2], NULL, 0),
			    strtoul(argv[4], NULL, 0));
	for (i = 1; i < argc; i++)
		ret |= run_file(argv[i]);
	return ret;
}
