// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench: what each step of a live update costs, by its size.
 *
 * One memfd is mapped again and again, so that the mapped address space is as large
 * as asked for and memory is not. Nothing is sent: what is measured is the kernel.
 * The clock is the time stamp counter, which goes on over the kexec; on a machine that
 * counts instructions it counts them.
 *
 * Options: iova= is how much is mapped, chunk= how long the memfd and each mapping are,
 * page=4K, 2M or 1G how large the IOMMU's pages can be, folio=4K or 2M those of the
 * memfd, devices= how many cards are on the page table, scatter= for how many bytes of
 * tables no two free pages are neighbours, preserve=0 keeps nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "guest.h"
#include "hw.h"

#define SESSION		"bench"
#define TOKEN		0x700000000ULL
#define BASE		(128 * 1024 * MIB)
#define GIB		(1024 * MIB)
#define SMALL_PAGE	(4 * KIB)
#define MAX_DEVICES	8
#define PIPE_LEN	(1 * MIB)
#define MAX_PIPES	512
#define FILL		0x5a
#define CALIBRATE_MS	200

struct bench {
	int memfd, iommufd, luo, session;
	int vfio[MAX_DEVICES];
	unsigned int devices;
	uint32_t ioas, hwpt;
	uint64_t began;
	void *mem;
	uint64_t start;		/* in the memfd, where what is mapped begins */
	uint64_t chunk;
};

static struct bench ctx;

static uint64_t tsc(void)
{
	unsigned int aux;

	return __builtin_ia32_rdtscp(&aux);
}

static void cost(const char *key, uint64_t since)
{
	uint64_t n = tsc() - since;

	v_info(key, "%llu", (unsigned long long)n);
}

static bool keeps(void *p)
{
	(void)p;
	return opt_u64("preserve", 1);
}

/*
 * A line of the log with the counter in it: the log's clock is set to it, and what
 * the kernel says while there is no program is known by that.
 */
static int log_mark(const char *what)
{
	char text[80];
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	snprintf(text, sizeof(text), "<0>bench: %s %llu\n", what,
		 (unsigned long long)tsc());
	if (write(fd, text, strlen(text)) < 0) {
		close(fd);
		return -EIO;
	}
	return close(fd);
}

static int clock_is_known(void *p)
{
	uint64_t t, ms;

	(void)p;
	for (ms = now_ms(); now_ms() == ms;)
		;
	ms = now_ms();
	t = tsc();
	while (now_ms() < ms + CALIBRATE_MS)
		;
	v_info("tsc_khz", "%llu", (unsigned long long)(tsc() - t) / CALIBRATE_MS);
	return log_mark("clock");
}

static int cards_are_bound(void *p)
{
	struct bench *b = p;
	unsigned int i;
	char bdf[PCI_BDF_LEN];
	int rc;

	b->devices = opt_u64("devices", 1);
	if (b->devices > MAX_DEVICES)
		return -EINVAL;
	b->iommufd = iommufd_open();
	if (b->iommufd < 0)
		return v_error(b->iommufd, "open /dev/iommu");
	rc = iommufd_ioas_alloc(b->iommufd, &b->ioas);
	for (i = 0; !rc && i < b->devices; i++) {
		uint32_t dev;

		rc = pci_find(E1000E_VENDOR, E1000E_DEVICE, i, bdf);
		if (!rc)
			rc = pci_bind_vfio(bdf);
		if (rc)
			return v_error(rc, "a card");
		b->vfio[i] = vfio_open(bdf);
		if (b->vfio[i] < 0)
			return v_error(b->vfio[i], "open a card");
		rc = vfio_bind(b->vfio[i], b->iommufd, &dev);
		if (!rc && !i)
			rc = iommufd_hwpt_alloc(b->iommufd, dev, b->ioas,
						&b->hwpt);
		if (!rc)
			rc = vfio_attach(b->vfio[i], b->hwpt);
	}
	return rc ? v_error(rc, "attach a card") : 0;
}

/* Two streams of pages, taken in turn; then one of them is given back. */
static int memory_is_scattered(void *p)
{
	static int pipes[MAX_PIPES][2];
	static char page[SMALL_PAGE];
	uint64_t want = opt_size("scatter", 0), n = want / PIPE_LEN * 2, i, j;

	(void)p;
	if (n > MAX_PIPES)
		return -EINVAL;
	for (i = 0; i < n; i++)
		if (pipe2(pipes[i], O_CLOEXEC) ||
		    fcntl(pipes[i][1], F_SETPIPE_SZ, PIPE_LEN) < 0)
			return v_error(-errno, "a pipe");
	for (i = 0; i < n; i += 2)
		for (j = 0; j < PIPE_LEN / SMALL_PAGE; j++)
			if (write(pipes[i][1], page, SMALL_PAGE) < 0 ||
			    write(pipes[i + 1][1], page, SMALL_PAGE) < 0)
				return v_error(-errno, "fill a pipe");
	for (i = 0; i < n; i += 2) {
		close(pipes[i][0]);
		close(pipes[i][1]);
	}
	return 0;
}

static bool scatters(void *p)
{
	return keeps(p) && opt_size("scatter", 0);
}

static uint64_t page_size(void)
{
	return opt_size("page", SMALL_PAGE);
}

/*
 * The IOMMU's page is as large as both addresses allow. For small ones memory is
 * mapped one page further than its own alignment asks for.
 */
static uint64_t skew(void)
{
	return page_size() == SMALL_PAGE ? SMALL_PAGE : 0;
}

/* Finds 1 GiB of memory in a row, by what the kernel says about each 2 MiB. */
static int find_giant(struct bench *b, uint64_t len)
{
	const uint64_t step = 2 * MIB;
	uint64_t off, run = 0;
	int64_t pa, last = -1;

	for (off = 0; off < len; off += step) {
		pa = physical_address((char *)b->mem + off);
		if (run && pa == last + (int64_t)step)
			run += step;
		else
			run = pa % (int64_t)GIB ? 0 : step;
		last = pa;
		if (run == GIB) {
			b->start = off + step - GIB;
			return 0;
		}
	}
	return v_error(0, "no GiB of memory in a row");
}

/* What memory_is_whole() looks at: a byte of each small page */
static void memory_fill(struct bench *b, uint64_t len)
{
	uint64_t at;

	for (at = 0; at < len; at += SMALL_PAGE)
		((char *)b->mem)[at] = FILL;
}

static int memory_is_made(void *p)
{
	struct bench *b = p;
	uint64_t len = opt_size("memfd", b->chunk);
	int rc;

	if (opt_size("folio", 2 * MIB) > SMALL_PAGE)
		write_file("/sys/kernel/mm/transparent_hugepage/shmem_enabled",
			   "force");
	b->memfd = make_memfd("bench", len, &b->mem);
	if (b->memfd < 0)
		return v_error(b->memfd, "memfd");
	memory_fill(b, len);
	if (page_size() != GIB)
		return 0;
	/* To ask where a page is changes it */
	rc = find_giant(b, len);
	memory_fill(b, len);
	return rc;
}

static int memory_is_mapped(void *p)
{
	struct bench *b = p;
	uint64_t size = opt_size("iova", MIB), at;
	uint64_t began = tsc();
	int rc;

	for (at = 0; at < size; at += b->chunk) {
		rc = iommufd_map_file(b->iommufd, b->ioas, b->memfd, b->start,
				      b->chunk, BASE + skew() + at, true);
		if (rc)
			return v_error(rc, "IOMMU_IOAS_MAP_FILE");
	}
	cost("map", began);
	return iommufd_mark(b->iommufd, b->hwpt, 1, 0);
}

static int session_is_made(void *p)
{
	struct bench *b = p;

	b->luo = luo_open();
	if (b->luo < 0)
		return v_error(b->luo, "open /dev/liveupdate");
	b->session = luo_create(b->luo, SESSION);
	return b->session < 0 ? v_error(b->session, "create a session") : 0;
}

static int keep(struct bench *b, const char *key, int fd, uint64_t token)
{
	long free = free_pages();
	uint64_t began = tsc();
	int rc = luo_preserve(b->session, fd, token);
	char name[40];

	cost(key, began);
	snprintf(name, sizeof(name), "%s_bytes", key);
	v_info(name, "%lld", (free - free_pages()) * 4096LL);
	return rc ? v_error(rc, key) : 0;
}

static int all_is_preserved(void *p)
{
	struct bench *b = p;
	uint64_t began;
	unsigned int i;
	int rc;

	rc = keep(b, "preserve_memfd", b->memfd, TOKEN);
	if (!rc)
		rc = keep(b, "preserve_iommufd", b->iommufd, TOKEN + 1);
	began = tsc();
	for (i = 0; !rc && i < b->devices; i++)
		rc = luo_preserve(b->session, b->vfio[i], TOKEN + 2 + i);
	cost("preserve_vfio", began);
	return rc;
}

static const struct step before[] = {
	STEP("the clock is known", clock_is_known),
	STEP_WHEN("the cards are on a page table", cards_are_bound, keeps),
	STEP_WHEN("memory is made", memory_is_made, keeps),
	STEP_WHEN("free memory is scattered", memory_is_scattered, scatters),
	STEP_WHEN("memory is mapped", memory_is_mapped, keeps),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP_WHEN("there is a session", session_is_made, keeps),
	STEP_WHEN("all is preserved", all_is_preserved, keeps),
	SYNC("kexec"),
};

static int get(struct bench *b, const char *key, uint64_t token)
{
	uint64_t began = tsc();
	int fd;

	while ((fd = luo_get(b->session, token)) == -EAGAIN)
		;
	cost(key, began);
	return fd;
}

/* When the kernel said what, in microseconds. The first line of each kind counts. */
static void log_report(void)
{
	static const struct {
		const char *key, *text;
	} lines[] = {
		{ "log_allocator", "mem auto-init:" },
		{ "log_slab", "SLUB: HWalign" },
		{ "log_units", "DMAR: dmar0: Using Queued invalidation" },
		{ "log_probed", "DMAR: Intel(R) Virtualization Technology" },
		{ "log_init", "Run /init as init process" },
		{ "log_booted", "bench: booted" },
	};
	bool seen[ARRAY_SIZE(lines)] = { false };
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char buf[2048];
	ssize_t n;
	size_t i;

	if (fd < 0)
		return;
	while ((n = read(fd, buf, sizeof(buf) - 1)) > 0) {
		unsigned long long us;

		buf[n] = '\0';
		if (sscanf(buf, "%*u,%*u,%llu", &us) != 1)
			continue;
		for (i = 0; i < ARRAY_SIZE(lines); i++)
			if (!seen[i] && strstr(buf, lines[i].text)) {
				seen[i] = true;
				v_info(lines[i].key, "%llu", us);
			}
	}
	close(fd);
}

static int booted(void *p)
{
	struct bench *b = p;

	log_report();
	v_info("began", "%llu", (unsigned long long)b->began);
	v_info("free_pages_booted", "%ld", free_pages());
	return 0;
}

static int all_is_retrieved(void *p)
{
	struct bench *b = p;
	uint64_t began = tsc(), got;
	unsigned int i;

	b->luo = luo_open();
	b->session = luo_retrieve(b->luo, SESSION);
	cost("retrieve_session", began);
	if (b->session < 0)
		return v_error(b->session, "the session");
	b->memfd = get(b, "retrieve_memfd", TOKEN);
	if (b->memfd < 0)
		return v_error(b->memfd, "the memfd");
	b->iommufd = get(b, "retrieve_iommufd", TOKEN + 1);
	if (b->iommufd < 0)
		return v_error(b->iommufd, "the iommufd");
	got = tsc();
	b->devices = opt_u64("devices", 1);
	for (i = 0; i < b->devices; i++) {
		b->vfio[i] = luo_get(b->session, TOKEN + 2 + i);
		if (b->vfio[i] < 0)
			return v_error(b->vfio[i], "a card");
	}
	cost("retrieve_vfio", got);
	cost("retrieve", began);
	v_info("free_pages_retrieved", "%ld", free_pages());
	return log_mark("retrieved");
}

static int memory_is_whole(void *p)
{
	struct bench *b = p;
	uint64_t len = opt_size("memfd", b->chunk), at;
	const char *mem;

	mem = mmap(NULL, len, PROT_READ, MAP_SHARED, b->memfd, 0);
	if (mem == MAP_FAILED)
		return v_error(-errno, "mmap");
	for (at = 0; at < len; at += SMALL_PAGE)
		if (mem[at] != FILL)
			return v_error(0, "memory is not what it was");
	return 0;
}

static int is_finished(void *p)
{
	struct bench *b = p;
	uint64_t began = tsc();
	int rc = luo_finish(b->session);

	cost("finish", began);
	return rc ? v_error(rc, "LIVEUPDATE_SESSION_FINISH") : 0;
}

/* What was kept is an ordinary table afterwards: it can be taken to pieces. */
static int can_be_unmapped(void *p)
{
	struct bench *b = p;
	uint64_t began = tsc();
	int rc;

	rc = iommufd_unmap(b->iommufd, 1, BASE + skew(), b->chunk);
	cost("unmap_first", began);
	return rc ? v_error(rc, "IOMMU_IOAS_UNMAP") : 0;
}

static const struct step after[] = {
	STEP("the next kernel has booted", booted),
	STEP_WHEN("all is retrieved", all_is_retrieved, keeps),
	CHECK_WHEN("memory is whole", memory_is_whole, keeps),
	CHECK_WHEN("the session is finished", is_finished, keeps),
	CHECK_WHEN("a mapping can be taken away", can_be_unmapped, keeps),
	SYNC("measured"),
};

int test_bench(unsigned int stage)
{
	struct bench *b = &ctx;
	int rc;

	b->began = tsc();
	b->chunk = opt_size("chunk", MIB);
	if (stage > 1) {
		log_mark("booted");
		return v_run(after, ARRAY_SIZE(after), b);
	}
	rc = v_run(before, ARRAY_SIZE(before), b);
	if (rc)
		return rc;
	v_drain();
	log_mark("jump");
	v_error(kexec_jump(), "the jump");
	return VERDICT_FAIL;
}
