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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

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

static int real_seek_end(void *ctx, int fd)
{
	(void)ctx;
	return lseek(fd, 0, SEEK_END) < 0 ? -errno : 0;
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

/* Who answers has something to do now and then, but not for as long as this. */
#define PATIENCE_S	30

static int real_connect(void *ctx, const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd, rc;

	(void)ctx;
	if (strlen(path) >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	strcpy(to.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) &&
	    !setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) &&
	    !connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

/* Room for one file descriptor beside a message */
union control {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static int real_send(void *ctx, int fd, const void *buf, size_t len, int pass)
{
	struct iovec iov = { (void *)buf, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control = { .bytes = { 0 } };
	struct cmsghdr *c;
	ssize_t n;

	(void)ctx;
	if (pass >= 0) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = sizeof(control.bytes);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &pass, sizeof(pass));
	}
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static ssize_t real_recv(void *ctx, int fd, void *buf, size_t len, int *passed)
{
	struct iovec iov = { buf, len };
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.bytes,
		/* With its padding two would find room */
		.msg_controllen = CMSG_LEN(sizeof(int)),
	};
	struct cmsghdr *c;
	ssize_t n;

	(void)ctx;
	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	*passed = -1;
	if (n < 0)
		return -errno;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			memcpy(passed, CMSG_DATA(c), sizeof(*passed));
	return n;
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
	.seek_end = real_seek_end,
	.seal = real_seal,
	.seals = real_seals,
	.access = real_access,
	.readlink = real_readlink,
	.entry = real_entry,
	.pause = real_pause,
	.connect = real_connect,
	.send = real_send,
	.recv = real_recv,
};
