// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The directory is what another program wrote: each field is made wrong in turn, with a
 * good checksum, and then bytes at random. And the real operations, as far as they go
 * without a kernel that keeps anything.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../parse/ktap.h"
#include "mock.h"

static struct mock m;
static struct ferry_host *host;
static struct directory_place good;

/* By the book, as a second opinion on the one in the library */
static uint32_t crc(const uint8_t *p, size_t n)
{
	uint32_t c = ~0U;
	unsigned int bit;
	size_t i;

	for (i = 0; i < n; i++) {
		c ^= i >= 24 && i < 28 ? 0 : p[i];
		for (bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (c & 1 ? 0xedb88320 : 0);
	}
	return ~c;
}

static void seal(struct directory_place *d)
{
	uint32_t c;

	if (d->length < 28)
		return;
	c = crc(d->bytes, d->length);
	memcpy(d->bytes + 24, &c, 4);
}

static struct ferry_session *session(void)
{
	struct ferry_session *s = NULL;

	if (ferry_session_create(host, "vm0", &s))
		abort();
	return s;
}

/* ram, rom, dma, dma2, nic; two mappings, one in each; seven bytes */
static void make_good(void)
{
	struct ferry_session *s = session();
	struct ferry_mapping map = {
		.size = sizeof(map), .flags = FERRY_MAP_WRITE, .length = 1 << 20, .iova = 1 << 30,
	};
	struct ferry_memory *ram, *rom;
	struct ferry_iommu *dma, *dma2;
	struct ferry_device *nic;

	if (ferry_memory_create(s, "ram", 1 << 20, &ram) ||
	    ferry_memory_create(s, "rom", 1 << 20, &rom) ||
	    ferry_iommu_create(s, "dma", &dma) || ferry_iommu_create(s, "dma2", &dma2) ||
	    ferry_device_open(s, "nic", "0000:00:03.0", dma2, &nic) ||
	    ferry_device_attach(nic))
		abort();
	map.memory = ram;
	if (ferry_iommu_note(dma2, &map))
		abort();
	map.memory = rom;
	if (ferry_iommu_note(dma, &map) || ferry_state_set(s, "abcdefg", 7) ||
	    ferry_directory_make(s, &good))
		abort();
	ferry_session_close(s);
}

static int try(const struct directory_place *d, unsigned int *objects)
{
	struct ferry_object o = { .size = sizeof(o) };
	struct ferry_session *s = session();
	unsigned int n = 0;
	int rc = ferry_directory_read(s, d);

	while (!ferry_session_object(s, n, &o))
		n++;
	if (objects)
		*objects = n;
	ferry_session_close(s);
	return rc;
}

#define H(at)		(at)
#define O(n, at)	(128 + (n) * 128 + (at))
#define M(n, at)	(128 + 5 * 128 + (n) * 48 + (at))

static const struct spoilt {
	size_t at;
	unsigned int size;
	uint64_t value;
	int rc;
	const char *what;
} spoilt[] = {
	{ H(0), 1, 'f', -EBADMSG, "magic" },
	{ H(8), 4, 2, -EOPNOTSUPP, "a newer version" },
	{ H(8), 4, 0, -EBADMSG, "version 0" },
	{ H(12), 4, 64, -EBADMSG, "size of the header" },
	{ H(16), 8, 0, -EBADMSG, "length" },
	{ H(28), 4, 3, -EOPNOTSUPP, "an unknown flag" },
	{ H(28), 4, 0, -EBADMSG, "bytes that are said not to be there" },
	{ H(32), 4, 4, -EBADMSG, "fewer objects" },
	{ H(32), 4, 0xffffffff, -EBADMSG, "too many objects" },
	{ H(36), 4, 3, -EBADMSG, "more mappings" },
	{ H(36), 4, 0xffffffff, -EBADMSG, "too many mappings" },
	{ H(40), 8, 6, -EBADMSG, "fewer bytes" },
	{ H(40), 8, UINT64_MAX - 100, -EBADMSG, "too many bytes" },
	{ H(48), 8, 1, -EBADMSG, "something reserved in the header" },
	{ H(64), 1, 'x', -EBADMSG, "another session's name" },
	{ H(70), 1, 'x', -EBADMSG, "something behind the session's name" },
	{ H(127), 1, 1, -EBADMSG, "something at the end of the header" },
	{ O(0, 0), 4, 0, -EBADMSG, "an object of kind 0" },
	{ O(0, 0), 4, 4, -EOPNOTSUPP, "an object of an unknown kind" },
	{ O(0, 0), 4, 2, -EBADMSG, "objects out of order" },
	{ O(0, 4), 4, 1, -EOPNOTSUPP, "a flag of memory" },
	{ O(2, 4), 4, 1, -EOPNOTSUPP, "a flag of an IOMMU" },
	{ O(4, 4), 4, 2, -EOPNOTSUPP, "a flag of a device" },
	{ O(0, 8), 8, 7, -EBADMSG, "a token" },
	{ O(1, 8), 8, FERRY_TOKEN + 1, -EBADMSG, "a token twice" },
	{ O(0, 16), 8, 0, -EBADMSG, "memory of length 0" },
	{ O(0, 16), 8, 1ULL << 63, -EBADMSG, "memory that is too long" },
	{ O(0, 16), 8, 4096, -EBADMSG, "memory shorter than what is mapped of it" },
	{ O(2, 16), 8, 1, -EBADMSG, "length of an IOMMU" },
	{ O(4, 16), 8, 1, -EBADMSG, "length of a device" },
	{ O(0, 24), 4, 1, -EBADMSG, "id of memory" },
	{ O(2, 24), 4, 0, -EBADMSG, "an IOMMU without an address space" },
	{ O(2, 28), 4, 1, -EBADMSG, "page table of an IOMMU" },
	{ O(4, 24), 4, 0, -EBADMSG, "a device without an id" },
	{ O(4, 28), 4, 0, -EBADMSG, "a page table that is ours and not there" },
	{ O(4, 32), 4, 0, -EBADMSG, "memory for an IOMMU" },
	{ O(4, 32), 4, 4, -EBADMSG, "a device for an IOMMU" },
	{ O(4, 32), 4, 0xffffffff, -EBADMSG, "no IOMMU" },
	{ O(4, 40), 4, 1, -EBADMSG, "something reserved in an object" },
	{ O(0, 64), 1, 0, -EBADMSG, "no name" },
	{ O(0, 64), 1, '/', -EBADMSG, "a bad name" },
	{ O(0, 65), 1, 'i', 0, "another name" },
	{ O(1, 64), 4, 'r' | 'a' << 8 | 'm' << 16, -EBADMSG, "a name twice" },
	{ O(0, 127), 1, 1, -EBADMSG, "a name without an end" },
	{ M(0, 0), 4, 0, -EBADMSG, "a mapping in memory" },
	{ M(0, 0), 4, 3, -EBADMSG, "two mappings at one place" },
	{ M(1, 0), 4, 2, -EBADMSG, "the same, in the first IOMMU" },
	{ M(0, 0), 4, 9, -EBADMSG, "a mapping of no IOMMU" },
	{ M(0, 4), 4, 2, -EBADMSG, "a mapping of an IOMMU" },
	{ M(0, 4), 4, 9, -EBADMSG, "a mapping of no memory" },
	{ M(0, 8), 4, 0, -EBADMSG, "a mapping without flags" },
	{ M(0, 8), 4, 5, -EBADMSG, "a mapping with an unknown flag" },
	{ M(0, 12), 4, 1, -EBADMSG, "something reserved in a mapping" },
	{ M(0, 16), 8, 1, -EBADMSG, "IOVA" },
	{ M(0, 16), 8, UINT64_MAX - 4095, -EBADMSG, "a mapping that wraps" },
	{ M(0, 24), 8, 0, -EBADMSG, "a mapping of length 0" },
	{ M(0, 24), 8, 2 << 20, -EBADMSG, "a mapping longer than its memory" },
	{ M(0, 32), 8, 4096, -EBADMSG, "a mapping behind its memory" },
	{ M(0, 32), 8, 0 - 4096ULL, -EBADMSG, "an offset that wraps" },
	{ M(1, 40), 8, 1, -EBADMSG, "something reserved at the end" },
};

static void copy(struct directory_place *d, size_t length)
{
	d->bytes = malloc(length ? length : 1);
	d->length = length;
	memset(d->bytes, 0, length ? length : 1);
	memcpy(d->bytes, good.bytes, length < good.length ? length : good.length);
}

static void test_fields(void)
{
	unsigned int i, n = 0, bad = 0, objects;
	struct directory_place d;

	for (i = 0; i < ARRAY_SIZE(spoilt); i++) {
		const struct spoilt *s = &spoilt[i];
		int rc;

		copy(&d, good.length);
		memcpy(d.bytes + s->at, &s->value, s->size);
		seal(&d);
		rc = try(&d, &objects);
		if (rc != s->rc || (rc && objects)) {
			printf("# %s: %d, %u objects\n", s->what, rc, objects);
			bad++;
		}
		n++;
		free(d.bytes);
	}
	printf("# %u fields\n", n);
	result(!bad, "each field of a directory that is wrong is refused");
}

static void test_lengths(void)
{
	struct directory_place d;
	unsigned int bad = 0;
	size_t length;

	result(!try(&good, &bad) && bad == 5, "a good directory is read");
	bad = 0;
	for (length = 0; length < good.length + 64; length++) {
		if (length == good.length)
			continue;
		copy(&d, length);
		if (length >= 24)
			memcpy(d.bytes + 16, &length, 8);
		seal(&d);
		bad += !try(&d, NULL);
		free(d.bytes);
	}
	result(!bad, "a directory of any other length is refused");
	copy(&d, good.length);
	for (length = bad = 0; length < good.length; length++) {
		d.bytes[length] ^= 4;
		bad += !try(&d, NULL);
		d.bytes[length] ^= 4;
	}
	free(d.bytes);
	result(!bad, "a flipped bit anywhere is refused");
}

static uint64_t seed = 88172645463325252ULL;

static uint64_t rnd(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static void test_random(void)
{
	static const uint32_t odd[] = { 0, 1, 2, 3, 4, 5, 0x80, 0xff, 4096, 1U << 31, ~0U };
	const char *wanted = getenv("FERRY_ROUNDS");	/* fewer, for slow checkers */
	unsigned int rounds = wanted ? atoi(wanted) : 100000, round, i, taken = 0;
	struct directory_place d;

	for (round = 0; round < rounds; round++) {
		copy(&d, good.length);
		for (i = rnd() % 4 + 1; i; i--)
			memcpy(d.bytes + rnd() % (good.length - 4),
			       &odd[rnd() % ARRAY_SIZE(odd)], rnd() % 4 + 1);
		seal(&d);
		taken += !try(&d, NULL);
		free(d.bytes);
	}
	printf("# %u inputs, %u of them are directories\n", rounds, taken);
	result(taken > rounds / 1000, "bytes at random upset nothing");
}

static void test_memory(void)
{
	unsigned int n, failed = 0;
	int rc = -ENOMEM;

	for (n = 2; rc && n < 30; n++) {
		struct ferry_session *s = session();

		m.calls = 0;
		m.fail_at = n - 1;
		rc = ferry_directory_read(s, &good);
		failed += rc == -ENOMEM && !s->objects;
		m.fail_at = 0;
		ferry_session_close(s);
	}
	result(!rc && failed > 5, "each allocation of a reader fails once, and leaves nothing");
}

static void test_limits(void)
{
	struct ferry_session *s = session();
	struct ferry_memory *memory;
	struct directory_place d;
	unsigned int i;
	char name[16];
	int rc = 0;

	m.fail_at = 0;
	s->state = FERRY_OPEN;
	for (i = 0; !rc && i <= FERRY_MAX_OBJECTS; i++) {
		struct object *o;

		snprintf(name, sizeof(name), "m%u", i);
		rc = ferry_object_new(s, FERRY_MEMORY, name, sizeof(*memory), &o);
		if (!rc)
			ferry_object_append(o);
	}
	result(!rc && ferry_directory_make(s, &d) == -ENOSPC, "more objects than a directory has "
	       "room for are refused");
	ferry_session_close(s);
}

/* ---- the real operations ---- */

static void test_real(void)
{
	const struct ferry_ops *ops = &ferry_real_ops;
	struct ferry_requirement r = { .size = sizeof(r) };
	struct ferry_session *s = NULL;
	struct ferry_host *real;
	char buf[256] = "";
	uint64_t length = 0;
	int fd, copy, ok = 1;
	unsigned int i;

	fd = ops->memfd(NULL, "test");
	copy = ops->dup(NULL, fd);
	ok &= fd >= 0 && copy > fd && !ops->truncate(NULL, fd, 100);
	ok &= !ops->length(NULL, copy, &length) && length == 100;
	ok &= ops->pwrite(NULL, fd, "abc", 3, 50) == 3 && ops->pread(NULL, copy, buf, 3, 50) == 3;
	ok &= !memcmp(buf, "abc", 3) && ops->seals(NULL, fd) == 0;
	ok &= !ops->seal(NULL, fd) && ops->seals(NULL, copy) == 1;
	ok &= ops->pwrite(NULL, fd, "abc", 3, 50) == -EPERM;
	ok &= ops->truncate(NULL, fd, 10) == -EPERM;
	ok &= ops->ioctl(NULL, fd, LIVEUPDATE_SESSION_FINISH, buf) == -ENOTTY;
	ops->close(NULL, fd);
	ops->close(NULL, copy);
	result(ok, "real files");
	ok = ops->open(NULL, "/nonexistent", O_RDONLY) == -ENOENT &&
	     ops->access(NULL, "/nonexistent", F_OK) == -ENOENT &&
	     ops->access(NULL, "/proc", F_OK) == 0 && ops->dup(NULL, -1) == -EBADF &&
	     ops->length(NULL, -1, &length) == -EBADF && ops->pread(NULL, -1, buf, 1, 0) == -EBADF &&
	     ops->seal(NULL, -1) == -EBADF && ops->seals(NULL, -1) == -EBADF;
	fd = ops->open(NULL, "/proc", O_RDONLY);
	ok &= ops->length(NULL, fd, &length) == -EBADF;
	ops->close(NULL, fd);
	ok &= ops->readlink(NULL, "/proc/self/exe", buf, sizeof(buf)) > 0 && buf[0] == '/';
	ok &= ops->readlink(NULL, "/proc", buf, sizeof(buf)) == -EINVAL;
	ok &= !ops->entry(NULL, "/proc/self/fd", 0, buf, sizeof(buf));
	ok &= ops->entry(NULL, "/proc/self/fd", 1000, buf, sizeof(buf)) == -ENOENT;
	ok &= ops->entry(NULL, "/proc/self", 0, buf, 1) == -ENAMETOOLONG;
	ok &= ops->entry(NULL, "/nonexistent", 0, buf, sizeof(buf)) == -ENOENT;
	ops->pause(NULL, 1);
	result(ok, "the real system");
	ok = !ferry_host_new(&real);
	for (i = 0; !ferry_host_requirement(real, i, &r); i++)
		ok &= *r.name && *r.reason;
	for (i = 0; !ferry_host_device_requirement(real, "ffff:ff:1f.7", i, &r); i++)
		ok &= r.answer != FERRY_YES;
	if (access("/dev/liveupdate", F_OK))
		ok &= ferry_session_create(real, "x", &s) == -ENODEV;
	ferry_host_free(real);
	result(ok && !strcmp(ferry_version(), FERRY_VERSION), "a host without any of it");
}

int main(void)
{
	mock_init(&m);
	if (ferry_host_new_with(&mock_ops, &m, &host))
		abort();
	make_good();
	test_lengths();
	test_fields();
	test_random();
	test_memory();
	test_limits();
	test_real();
	free(good.bytes);
	ferry_host_free(host);
	mock_free(&m);
	return results();
}
