// SPDX-License-Identifier: GPL-2.0-only
/* Small things: files, time, counters, memory patterns, the power switch. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <linux/capability.h>

#include "guest.h"

int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		rc = -errno;
	close(fd);
	return rc;
}

int copy_file(const char *from, const char *to)
{
	static char buf[64 * KIB];
	int in = open(from, O_RDONLY | O_CLOEXEC), out, rc = 0;
	ssize_t n;

	if (in < 0)
		return -errno;
	out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (out < 0)
		rc = -errno;
	while (!rc && (n = read(in, buf, sizeof(buf)))) {
		if (n < 0)
			rc = -errno;
		else if (write(out, buf, n) != n)
			rc = -ENOSPC;
	}
	close(in);
	if (out >= 0)
		close(out);
	return rc;
}

/* Reads the whole file; the last byte of @buf is always a NUL. */
int read_file(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t used = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	do {
		n = read(fd, buf + used, len - 1 - used);
		if (n > 0)
			used += n;
	} while (n > 0 && used < len - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	buf[used] = '\0';
	return n < 0 ? n : (int)used;
}

int make_dir(const char *path)
{
	return mkdir(path, 0755) && errno != EEXIST ? -errno : 0;
}

int sys_ioctl(int fd, unsigned long req, void *arg)
{
	int rc = ioctl(fd, req, arg);

	return rc < 0 ? -errno : rc;
}

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

void sleep_ms(unsigned int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&ts, NULL);
}

/* A counter of /proc/vmstat, after the per-CPU parts have been added up. */
long vmstat(const char *key)
{
	static char buf[32768];
	size_t len = strlen(key);
	char *p;

	write_file("/proc/sys/vm/stat_refresh", "1");
	if (read_file("/proc/vmstat", buf, sizeof(buf)) < 0)
		return -1;
	for (p = buf; p && *p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, key, len) && p[len] == ' ')
			return strtol(p + len + 1, NULL, 10);
	}
	return -1;
}

/*
 * Free pages, with those on the per-CPU lists, which nr_free_pages leaves out: on an
 * idle machine of 1 GiB they are anything from none to 6 MiB.
 */
long free_pages(void)
{
	long pages = vmstat("nr_free_pages");
	static char buf[32768];
	const char *p = buf;

	if (read_file("/proc/zoneinfo", buf, sizeof(buf)) < 0)
		return -1;
	while ((p = strstr(p, " count:"))) {
		p += strlen(" count:");
		pages += strtol(p, NULL, 10);
	}
	return pages;
}

/* KiB of this process, as a field of /proc/self/status says. */
long status_kib(const char *key)
{
	char buf[4096], *p;

	if (read_file("/proc/self/status", buf, sizeof(buf)) < 0)
		return -1;
	p = strstr(buf, key);
	return p ? strtol(p + strlen(key), NULL, 10) : -1;
}

/* From here on what is pinned is charged: as for a VMM, and not for root. No limit is set. */
int be_charged(void)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct caps[2];

	if (setrlimit(RLIMIT_MEMLOCK, &none) ||
	    syscall(SYS_capget, &header, caps))
		return -errno;
	caps[0].effective &= ~(1U << CAP_IPC_LOCK);
	return syscall(SYS_capset, &header, caps) ? -errno : 0;
}

int make_memfd(const char *name, uint64_t size, void **map)
{
	int fd = memfd_create(name, MFD_CLOEXEC), rc;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, size))
		goto fail;
	*map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (*map == MAP_FAILED)
		goto fail;
	return fd;
fail:
	rc = -errno;
	close(fd);
	return rc;
}

/* Different in each word and in each place, so that moved pages show. */
static uint64_t pattern(uint64_t i, uint64_t seed)
{
	uint64_t x = (i + 1) * 0x9e3779b97f4a7c15ULL ^ seed;

	x ^= x >> 29;
	return x * 0xbf58476d1ce4e5b9ULL;
}

void pattern_fill(void *mem, size_t len, uint64_t seed)
{
	uint64_t *p = mem;
	size_t i;

	for (i = 0; i < len / sizeof(*p); i++)
		p[i] = pattern(i, seed);
}

/* The number of words that are wrong. */
size_t pattern_check(const void *mem, size_t len, uint64_t seed)
{
	const uint64_t *p = mem;
	size_t i, wrong = 0;

	for (i = 0; i < len / sizeof(*p); i++)
		wrong += p[i] != pattern(i, seed);
	return wrong;
}

/* One of the kernel's arrays of 64-bit words in a file. */
static int read_word(const char *path, uint64_t index, uint64_t *word)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pread(fd, word, sizeof(*word), index * sizeof(*word));
	close(fd);
	return n == sizeof(*word) ? 0 : -EIO;
}

static int64_t page_frame(const void *virt)
{
	uint64_t entry;
	int rc = read_word("/proc/self/pagemap", (uintptr_t)virt / 4096, &entry);

	if (rc)
		return rc;
	return entry >> 63 ? (int64_t)(entry & ((1ULL << 55) - 1)) : -EIO;
}

/* Where the page behind @virt is, for the host. */
int64_t physical_address(void *virt)
{
	int64_t pfn;

	/* The page must be there to have an address. */
	*(volatile uint32_t *)virt = 0;
	pfn = page_frame(virt);
	return pfn < 0 ? pfn : pfn * 4096;
}

/* Is the page behind @virt part of a larger folio? */
bool folio_is_large(const void *virt)
{
	uint64_t flags, compound = 3ULL << 15;
	int64_t pfn;

	(void)*(const volatile uint32_t *)virt;
	pfn = page_frame(virt);
	return pfn >= 0 && !read_word("/proc/kpageflags", pfn, &flags) &&
	       flags & compound;
}

/* Runs a program; what it writes goes to the file @out, or to the log. */
int run_program(const char *path, char *const argv[], const char *out)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (!out || freopen(out, "w", stdout))
			execv(path, argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -ECHILD;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

/* How a program hibernates by itself: it is under way while this is open. */
int snapshot_open(void)
{
	int fd = open("/dev/snapshot", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* A check: nothing objects when hibernation begins. */
int machine_may_sleep(void *p)
{
	int fd = snapshot_open();

	(void)p;
	if (fd < 0)
		return v_error(fd, "/dev/snapshot");
	close(fd);
	return 0;
}

void power_off(void)
{
	v_drain();
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}
