// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * For the agent under test: what it asks of the system, counted. FERRY_KILL=N kills it, as
 * SIGKILL does, before call N / 2, or after it if N is odd. A memfd called "session" passes for
 * a session; to close one called "hang" takes HANG_S seconds. With FERRY_FAST a millisecond
 * is a second.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/socket.h>

#define LINK	"anon_inode:[luo_session] x"

static int calls = -1;

static void step(int after)
{
	const char *at = getenv("FERRY_KILL");

	if (!after)
		calls++;
	if (at && atoi(at) == 2 * calls + after)
		kill(getpid(), SIGKILL);
}

#define WRAP(type, name, args, pass)	\
	type __real_##name args;	\
	type __wrap_##name args;	\
	type __wrap_##name args		\
	{				\
		type rc;		\
					\
		step(0);		\
		rc = __real_##name pass;\
		step(1);		\
		return rc;		\
	}

WRAP(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
WRAP(int, poll, (struct pollfd *fds, nfds_t n, int ms), (fds, n, ms))
WRAP(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
WRAP(int, pipe2, (int *pair, int flags), (pair, flags))

ssize_t __real_readlink(const char *path, char *buf, size_t len);
ssize_t __wrap_readlink(const char *path, char *buf, size_t len);
ssize_t __wrap_readlink(const char *path, char *buf, size_t len)
{
	char link[64] = "";

	if (__real_readlink(path, link, sizeof(link) - 1) > 0 &&
	    !strncmp(link, "/memfd:session", 14)) {
		memcpy(buf, LINK, len < strlen(LINK) ? len : strlen(LINK));
		return len < strlen(LINK) ? len : strlen(LINK);
	}
	return __real_readlink(path, buf, len);
}

int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	int rc = __real_clock_gettime(clock, t);

	if (getenv("FERRY_FAST"))
		t->tv_sec = t->tv_sec * 1000 + t->tv_nsec / 1000000;
	return rc;
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	char path[32], link[64] = "";
	int rc;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (__real_readlink(path, link, sizeof(link) - 1) > 0 &&
	    !strncmp(link, "/memfd:hang", 11)) {
		sleep(HANG_S);
		return __real_close(fd);
	}
	step(0);
	rc = __real_close(fd);
	step(1);
	return rc;
}
