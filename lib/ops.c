// SPDX-License-Identifier: LGPL-2.1-or-later
/* The real system behind struct ferry_ops; nothing here decides anything. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "private.h"

#define SEALS	(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static void *real_alloc(void *ctx, size_t size)
{
	(void)ctx;
	return calloc(1, size);
}

static int real_open(void *ctx, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	(void)ctx;
	return fd < 0 ? -errno : fd;
}

static void real_close(void *ctx, int fd)
{
	(void)ctx;
	close(fd);
}

static int real_dup(void *ctx, int fd)
{
	/* Not among the standard ones */
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	(void)ctx;
	return copy < 0 ? -errno : copy;
}

static int real_ioctl(void *ctx, int fd, unsigned long request, void *arg)
{
	int rc;

	(void)ctx;
	do
		rc = ioctl(fd, request, arg);
	while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : rc;
}

static int real_memfd(void *ctx, const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	(void)ctx;
	return fd < 0 ? -errno : fd;
}

static int real_truncate(void *ctx, int fd, uint64_t length)
{
	(void)ctx;
	return ftruncate(fd, length) ? -errno : 0;
}

static int real_length(void *ctx, int fd, uint64_t *length)
{
	struct stat st;

	(void)ctx;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EBADF;
	*length = st.st_size;
	return 0;
}

static ssize_t real_pread(void *ctx, int fd, void *buf, size_t len, uint64_t offset)
{
	ssize_t n = pread(fd, buf, len, offset);

	(void)ctx;
	return n < 0 ? -errno : n;
}

static ssize_t real_pwrite(void *ctx, int fd, const void *buf, size_t len, uint64_t offset)
{
	ssize_t n = pwrite(fd, buf, len, offset);

	(void)ctx;
	return n < 0 ? -errno : n;
}

static int real_seal(void *ctx, int fd)
{
	(void)ctx;
	return fcntl(fd, F_ADD_SEALS, SEALS) ? -errno : 0;
}

/* Is all sealed that has to be? 1 or 0. */
static int real_seals(void *ctx, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	(void)ctx;
	return seals < 0 ? -errno : (seals & SEALS) == SEALS;
}

static int real_access(void *ctx, const char *path, int mode)
{
	(void)ctx;
	return access(path, mode) ? -errno : 0;
}

static ssize_t real_readlink(void *ctx, const char *path, char *buf, size_t len)
{
	ssize_t n = readlink(path, buf, len - 1);

	(void)ctx;
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return n;
}

static int real_entry(void *ctx, const char *path, unsigned int nth, char *buf, size_t len)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int rc = -ENOENT;

	(void)ctx;
	if (!dir)
		return -errno;
	while (rc == -ENOENT && (e = readdir(dir))) {
		if (e->d_name[0] == '.' || nth--)
			continue;
		rc = strlen(e->d_name) < len ? 0 : -ENAMETOOLONG;
		if (!rc)
			strcpy(buf, e->d_name);
	}
	closedir(dir);
	return rc;
}

static void real_pause(void *ctx, unsigned int ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000L };

	(void)ctx;
	nanosleep(&ts, NULL);
}

const struct ferry_ops ferry_real_ops = {
	.alloc = real_alloc,
	.open = real_open,
	.close = real_close,
	.dup = real_dup,
	.ioctl = real_ioctl,
	.memfd = real_memfd,
	.truncate = real_truncate,
	.length = real_length,
	.pread = real_pread,
	.pwrite = real_pwrite,
	.seal = real_seal,
	.seals = real_seals,
	.access = real_access,
	.readlink = real_readlink,
	.entry = real_entry,
	.pause = real_pause,
};
