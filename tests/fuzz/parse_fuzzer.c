// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzer of the parser of IOMMU live update records.
 *
 * The input is physical memory: page 0 is the root, the others follow it. With
 * clang this is a libFuzzer target. With -DSTANDALONE it has a main of its own:
 *
 *   parse_fuzzer FILE...               parse these files
 *   parse_fuzzer --corpus DIR          write inputs to start from
 *   parse_fuzzer --rounds N [--seed S] mutate the good image at random
 *
 * Beyond surviving, the parser has to be right about three things: a record it
 * accepts is accepted again, no two accepted records own the same table, and
 * an accepted device names accepted records.
 */
#include <stdlib.h>

#include "../../kernel/overlay/drivers/iommu/liveupdate-parse-vectors.h"

#define MAX_PAGES 16
#define MAX_SLOTS (MAX_PAGES * IOMMU_SER_SLOTS_PER_CHUNK)

struct memory {
	const u8 *data;
	size_t size;
};

static const void *map(void *ctx, u64 pa, u64 size)
{
	const struct memory *memory = ctx;

	if (pa < VEC_ROOT_PA || pa - VEC_ROOT_PA > memory->size ||
	    size > memory->size - (pa - VEC_ROOT_PA))
		return NULL;
	return memory->data + (pa - VEC_ROOT_PA);
}

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "the parser was wrong: %s\n", what);
	abort();
}

static u64 top_pa(const struct iommu_record_ser *rec)
{
	const struct iommu_domain_ser *domain = (const void *)rec;

	return rec->type == IOMMU_RECORD_DOMAIN ? domain->pt.top_pa : 0;
}

static void check_device(struct iommu_parse *p,
			 const struct iommu_record_ser *rec)
{
	const struct iommu_device_ser *device = (const void *)rec;
	const struct iommu_record_ser *other;

	if (rec->type != IOMMU_RECORD_DEVICE)
		return;
	check(!iommu_liveupdate_parse_record(p, device->unit, &other) &&
		      other->type == IOMMU_RECORD_UNIT,
	      "a device of a bad unit");
	check(!iommu_liveupdate_parse_record(p, device->domain, &other) &&
		      other->type == IOMMU_RECORD_DOMAIN,
	      "a device of a bad domain");
}

static void parse_all(struct iommu_parse *p)
{
	const struct iommu_record_ser *rec, *again;
	u64 tops[MAX_SLOTS];
	unsigned int i, nr = 0;
	u32 slot;
	int ret;

	for (slot = 0; slot < p->nr_slots + 1; slot++) {
		ret = iommu_liveupdate_parse_record(p, slot, &rec);
		if (ret) {
			check(ret == -ENOENT || ret == -EINVAL ||
				      ret == -EOPNOTSUPP,
			      "an errno that is not documented");
			check(ret == -ENOENT || *iommu_parse_reason(p),
			      "no reason");
			continue;
		}
		check(!iommu_liveupdate_parse_record(p, slot, &again) &&
			      again == rec,
		      "it changes its mind");
		check_device(p, rec);
		if (rec->type != IOMMU_RECORD_DEVICE)
			iommu_liveupdate_parse_missing(p, slot);
		if (!top_pa(rec))
			continue;
		for (i = 0; i < nr; i++)
			check(tops[i] != top_pa(rec), "a table of two domains");
		tops[nr++] = top_pa(rec);
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct memory memory = { .size = size };
	const struct iommu_parse_mem mem = { .ctx = &memory, .map = map };
	struct iommu_parse p;
	u8 *copy;

	/* Aligned, and with its end where the sanitizer looks */
	if (size > MAX_PAGES * VEC_PAGE)
		return 0;
	copy = malloc(size ? size : 1);
	if (!copy)
		abort();
	memcpy(copy, data, size);
	memory.data = copy;
	if (!iommu_liveupdate_parse_root(&mem, VEC_ROOT_PA, &p))
		parse_all(&p);
	else
		check(*iommu_parse_reason(&p), "no reason");
	free(copy);
	return 0;
}

#ifdef STANDALONE

static struct vec_image image;

static int parse_file(const char *name)
{
	static u8 data[MAX_PAGES * VEC_PAGE + 1];
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

static int write_image(const char *dir, const char *kind, size_t n)
{
	char name[4096];
	FILE *file;

	snprintf(name, sizeof(name), "%s/%s-%03zu", dir, kind, n);
	file = fopen(name, "wb");
	if (!file || fwrite(image.mem, sizeof(image.mem), 1, file) != 1 ||
	    fclose(file)) {
		perror(name);
		return 1;
	}
	return 0;
}

/* The good image, and one for each change that the tests know */
static int write_corpus(const char *dir)
{
	size_t i;

	vec_build(&image);
	if (write_image(dir, "good", 0))
		return 1;
	for (i = 0; i < ARRAY_SIZE(vec_chain_changes); i++) {
		vec_build(&image);
		vec_apply(&image, &vec_chain_changes[i]);
		if (write_image(dir, "chain", i))
			return 1;
	}
	for (i = 0; i < ARRAY_SIZE(vec_record_changes); i++) {
		vec_build(&image);
		vec_apply(&image, &vec_record_changes[i]);
		if (write_image(dir, "record", i))
			return 1;
	}
	return 0;
}

/* One mutation: a byte, an interesting word, or a copy of another place */
static void mutate(void)
{
	static const u64 words[] = { 0, 1, ~0ULL, 1ULL << 63, 1ULL << 52,
				     VEC_ROOT_PA, VEC_CHUNK0_PA, VEC_CHUNK1_PA,
				     0x30000000, 0x40000000 };
	u8 *mem = image.mem[0];
	size_t size = sizeof(image.mem) - IOMMU_SER_SLOT_SIZE;
	size_t to = rand() % size, from = rand() % size;

	switch (rand() % 5) {
	case 0:
		mem[to] ^= 1 << rand() % 8;
		break;
	case 1:
		mem[to] = rand();
		break;
	case 2:
		memcpy(mem + to / 8 * 8, &words[rand() % ARRAY_SIZE(words)], 8);
		break;
	case 3:
		memmove(mem + to / 4 * 4, mem + from / 4 * 4, 1 + rand() % 16);
		break;
	default:
		memmove(vec_slot(&image, rand() % VEC_SLOTS),
			vec_slot(&image, rand() % VEC_SLOTS),
			IOMMU_SER_SLOT_SIZE);
	}
}

static int fuzz(unsigned long rounds, unsigned int seed)
{
	unsigned long round;
	unsigned int i;

	srand(seed);
	for (round = 0; round < rounds; round++) {
		vec_build(&image);
		for (i = 0; i < 1 + round % 24; i++)
			mutate();
		LLVMFuzzerTestOneInput(image.mem[0], sizeof(image.mem));
	}
	printf("# %lu rounds, seed %u\n", rounds, seed);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int seed = 1;
	int i, ret = 0;

	if (argc == 3 && !strcmp(argv[1], "--corpus"))
		return write_corpus(argv[2]);
	if (argc == 5 && !strcmp(argv[3], "--seed"))
		seed = strtoul(argv[4], NULL, 0);
	if (argc >= 3 && !strcmp(argv[1], "--rounds"))
		return fuzz(strtoul(argv[2], NULL, 0), seed);
	for (i = 1; i < argc; i++)
		ret |= parse_file(argv[i]);
	return ret;
}

#endif /* STANDALONE */
