// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The agent: sessions of processes that restart, each under the uid of its owner and a name.
 *
 * One thread, one loop, nothing on disk. The owner is who has connected, as the kernel says
 * (SO_PEERCRED); all that a request says is looked for among the sessions of that owner, so
 * that of the others it can learn or change nothing. Root, and the user the agent runs as, can
 * speak for others.
 *
 * A session is in the service manager's store before its put is answered, and until its drop
 * is (fdstore.c): the agent can be killed at any point. Who borrows a session gets a
 * duplicate; a connection that ends gives back what it has borrowed.
 *
 * Clients are hostile. A file that is no session is told by its link in /proc, which asks
 * nothing of whoever made that file. To close it is another matter: a file system in user
 * space can make that last for ever, and so does a connection with such a file in a message
 * that nobody has received. Threads of their own do it, one for each user, whose connections
 * wait until it is done. So whatever a user sends is received, and closed there.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <poll.h>
#include <linux/kcmp.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "cmd.h"
#include "private.h"
#include "agent-protocol.h"

#define MAX_HELD		4096
#define MAX_HELD_EACH		2048
#define MAX_CLIENTS		256
#define MAX_CLIENTS_EACH	16
/* Of the clients, and of the places to close files: for those who can speak for others */
#define RESERVED_CLIENTS	16
#define RESERVED_CLOSING	2
#define MAX_CLOSING		32
/* The kernel passes no more files with one message */
#define MAX_PASSED		253
/* These, the connection they came with, and connections that are refused meanwhile */
#define MAX_QUEUE		320
#define OTHER_FILES		64
/* When all are taken, one that has borrowed nothing and was silent for so long has to go */
#define IDLE_S			60
/* Whom the kernel cannot name in our user namespace: all of them are one to us */
#define NOBODY			65534U
#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY		(1024 + 3)
#endif

struct client {
	int fd;
	uint32_t uid;
	time_t heard;			/* when it was heard last */
};

struct held {
	uint32_t owner;
	int fd;
	int lent;			/* to the client with this fd, or -1 */
	char name[FERRY_NAME_SIZE];
};

/* What came with a message */
struct files {
	int fds[MAX_PASSED];
	unsigned int nr;
};

struct closing {
	bool busy;			/* its thread runs */
	uint32_t uid;
	int fds[MAX_QUEUE];
	unsigned int nr;
};

static struct held held[MAX_HELD];
static unsigned int nr_held, max_held;
static struct client clients[MAX_CLIENTS];
static unsigned int nr_clients;
/* There was no file descriptor for who is at the door; it stays there, which would wake poll() */
static bool no_room;
/* To be closed as soon as there is a place for it; nobody is welcome before. Or -1. */
static struct client refused = { .fd = -1 };
/* Of the closings, and of nothing else */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct closing closings[MAX_CLOSING];
static int closed = -1;			/* an eventfd: something is closed */

static bool is_privileged(uint32_t uid)
{
	return !uid || uid == geteuid();
}

/* ---- files nobody wants ---- */

static void *close_them(void *p)
{
	struct closing *c = p;
	int fd;

	do {
		pthread_mutex_lock(&lock);
		c->busy = c->nr;
		fd = c->nr ? c->fds[--c->nr] : -1;
		pthread_mutex_unlock(&lock);
		if (fd >= 0)
			close(fd);
		eventfd_write(closed, 1);
	} while (fd >= 0);
	return NULL;
}

/* Where this user's files are being closed, or can be; under the lock. NULL: nowhere. */
static struct closing *place(uint32_t uid)
{
	unsigned int i, n = MAX_CLOSING - (is_privileged(uid) ? 0 : RESERVED_CLOSING);
	struct closing *free = NULL;

	for (i = 0; i < n; i++) {
		if (!closings[i].busy)
			free = &closings[i];
		else if (closings[i].uid == uid)
			return &closings[i];
	}
	return free;
}

/* Nothing of this user is being closed, and all that comes can be. */
static bool is_served(uint32_t uid)
{
	const struct closing *c;
	bool is;

	pthread_mutex_lock(&lock);
	c = place(uid);
	is = c && !c->busy;
	pthread_mutex_unlock(&lock);
	return is;
}

static void start(struct closing *c)
{
	pthread_attr_t attr;
	pthread_t thread;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, close_them, c))
		close_them(c);
	pthread_attr_destroy(&attr);
}

/* False if there is no place; of users who are served there always is. */
static bool close_later(uint32_t uid, const int *fds, unsigned int nr)
{
	struct closing *c;
	bool fits, starts;

	if (!nr)
		return true;
	pthread_mutex_lock(&lock);
	c = place(uid);
	fits = c && nr <= MAX_QUEUE - c->nr;
	starts = fits && !c->busy;
	if (fits) {
		memcpy(c->fds + c->nr, fds, nr * sizeof(*fds));
		c->nr += nr;
		c->uid = uid;
		c->busy = true;
	}
	pthread_mutex_unlock(&lock);
	if (starts)
		start(c);
	return fits;
}

/* ---- what is held ---- */

static bool is_session(int fd)
{
	char path[32], link[sizeof(SESSION_LINK)] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, link, sizeof(link) - 1) == sizeof(link) - 1 &&
	       !strcmp(link, SESSION_LINK);
}

/* They are one file, not only of one inode: the service manager stores it once. */
static bool is_same(int a, int b)
{
	int same = fcntl(a, F_DUPFD_QUERY, b);

	/* Kernels before 6.10 do not know it */
	return same < 0 ? !syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, a, b) : same == 1;
}

static struct held *find_file(int fd)
{
	unsigned int i;

	for (i = 0; i < nr_held; i++)
		if (is_same(held[i].fd, fd))
			return &held[i];
	return NULL;
}

static struct held *find(uint32_t owner, const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_held; i++)
		if (held[i].owner == owner && !strcmp(held[i].name, name))
			return &held[i];
	return NULL;
}

static int add(uint32_t owner, const char *name, int fd)
{
	unsigned int i, n = 0;

	if (find(owner, name))
		return -EEXIST;
	for (i = 0; i < nr_held; i++)
		n += held[i].owner == owner;
	if (nr_held >= max_held)
		return -ENOSPC;
	if (n >= MAX_HELD_EACH)
		return -EDQUOT;
	held[nr_held] = (struct held){ .owner = owner, .fd = fd, .lent = -1 };
	strcpy(held[nr_held++].name, name);
	return 0;
}

/* Takes the file over, if it is to be held. */
static int put(uint32_t owner, const char *name, struct files *files)
{
	int rc, fd = files->nr ? files->fds[0] : -1;
	const struct held *h;

	if (files->nr > 1)
		return -EINVAL;
	if (!is_session(fd))
		return -EBADF;
	h = find_file(fd);
	if (h)
		return h == find(owner, name) ? 0 : -EEXIST;
	rc = add(owner, name, fd);
	if (rc)
		return rc;
	rc = fdstore_put(owner, name, fd);
	if (rc) {
		nr_held--;
		fdstore_remove(owner, name);
		return rc;
	}
	files->nr = 0;
	return 0;
}

static int drop(struct held *h)
{
	int rc = fdstore_remove(h->owner, h->name);

	if (rc) {
		/* It may yet be removed: what comes behind that stores it again */
		fdstore_again(h->owner, h->name, h->fd);
		return rc;
	}
	close(h->fd);
	*h = held[--nr_held];
	return 0;
}

static int next(uint32_t owner, const char *name, char *out)
{
	const struct held *best = NULL;
	unsigned int i;

	for (i = 0; i < nr_held; i++)
		if (held[i].owner == owner && strcmp(held[i].name, name) > 0 &&
		    (!best || strcmp(held[i].name, best->name) < 0))
			best = &held[i];
	if (best)
		strcpy(out, best->name);
	return best ? 0 : -ENOENT;
}

/* ---- requests ---- */

static bool is_whole(const struct agent_request *r, ssize_t n)
{
	size_t len = strnlen(r->name, sizeof(r->name)), i;

	for (i = len; i < sizeof(r->name); i++)
		if (r->name[i])
			return false;
	return n == sizeof(*r) && r->magic == AGENT_MAGIC && !r->reserved &&
	       len < sizeof(r->name) &&
	       (ferry_agent_name_is_good(r->name) || (r->op == AGENT_NEXT && !len));
}

/* @lent: what goes with the answer, or NULL. */
static int obey(const struct client *c, const struct agent_request *r, struct files *files,
		struct agent_answer *answer, struct held **lent)
{
	uint32_t owner = r->owner == AGENT_SELF ? c->uid : r->owner;
	struct held *h;

	if (owner != c->uid && !is_privileged(c->uid))
		return -EPERM;
	if (r->op == AGENT_PUT)
		return put(owner, r->name, files);
	if (files->nr)
		return -EINVAL;
	if (r->op == AGENT_NEXT)
		return next(owner, r->name, answer->name);
	h = find(owner, r->name);
	if (!h)
		return -ENOENT;
	if (h->lent >= 0 && h->lent != c->fd)
		return -EBUSY;
	if (r->op == AGENT_DROP)
		return drop(h);
	if (r->op != AGENT_BORROW)
		return -EINVAL;
	*lent = h;
	return 0;
}

/* One message, which may be empty and still have files with it. */
static ssize_t receive(const struct client *c, struct agent_request *r, struct files *files)
{
	char room[CMSG_SPACE(sizeof(files->fds))] __attribute__((aligned(8)));
	struct iovec iov = { r, sizeof(*r) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room,
		/* Without padding: there would be room for one more */
		.msg_controllen = CMSG_LEN(sizeof(files->fds)),
	};
	struct cmsghdr *m;
	ssize_t n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	for (m = CMSG_FIRSTHDR(&msg); m; m = CMSG_NXTHDR(&msg, m)) {
		if (m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
			continue;
		files->nr = (m->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(files->fds, CMSG_DATA(m), files->nr * sizeof(int));
	}
	return msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EMSGSIZE : n;
}

static time_t now(void)
{
	struct timespec t = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

/* Returns false when the client has to go: it is gone, or does not keep to the rules. */
static bool serve(struct client *c)
{
	struct agent_answer answer = { .magic = AGENT_MAGIC };
	struct agent_request request = { 0 };
	struct files files = { .nr = 0 };
	struct held *lent = NULL;
	ssize_t n = receive(c, &request, &files);
	bool whole = n > 0 && is_whole(&request, n);

	if (n == -EAGAIN || n == -EINTR)
		return true;
	if (whole)
		answer.rc = obey(c, &request, &files, &answer, &lent);
	close_later(c->uid, files.fds, files.nr);
	if (!whole)
		return false;
	c->heard = now();
	if (lent)
		lent->lent = c->fd;
	/* The connection does not block: who does not listen has to go */
	return !ferry_real_ops.send(NULL, c->fd, &answer, sizeof(answer),
				    lent ? lent->fd : -1);
}

/* ---- clients ---- */

static void forget(struct client *c)
{
	unsigned int i;

	for (i = 0; i < nr_held; i++)
		if (held[i].lent == c->fd)
			held[i].lent = -1;
	close_later(c->uid, &c->fd, 1);
	*c = clients[--nr_clients];
}

static bool has_borrowed(const struct client *c)
{
	unsigned int i;

	for (i = 0; i < nr_held; i++)
		if (held[i].lent == c->fd)
			return true;
	return false;
}

/* All are taken: the one that is silent longest, if it may be sent away. */
static void forget_idle(void)
{
	struct client *c, *oldest = NULL;

	for (c = clients; c < clients + nr_clients; c++)
		if (now() - c->heard >= IDLE_S && (!oldest || c->heard < oldest->heard) &&
		    !has_borrowed(c) && is_served(c->uid))
			oldest = c;
	if (oldest)
		forget(oldest);
}

static bool is_welcome(uint32_t uid)
{
	unsigned int i, n = 0, max = MAX_CLIENTS - (is_privileged(uid) ? 0 : RESERVED_CLIENTS);

	if (uid == NOBODY)
		return false;
	for (i = 0; i < nr_clients; i++)
		n += clients[i].uid == uid;
	if (n >= MAX_CLIENTS_EACH)
		return false;
	if (nr_clients >= max)
		forget_idle();
	return nr_clients < max;
}

static void welcome(int listening)
{
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	no_room = fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			     errno == ENOBUFS);
	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		peer.uid = NOBODY;
	if (is_welcome(peer.uid))
		clients[nr_clients++] = (struct client){ fd, peer.uid, now() };
	else
		refused = (struct client){ fd, peer.uid, 0 };
}

static void get_ready(struct pollfd *fds, int listening)
{
	unsigned int i;

	if (refused.fd >= 0 && close_later(refused.uid, &refused.fd, 1))
		refused.fd = -1;
	fds[0] = (struct pollfd){ refused.fd < 0 && !no_room ? listening : -1, POLLIN, 0 };
	fds[1] = (struct pollfd){ closed, POLLIN, 0 };
	for (i = 0; i < nr_clients; i++)
		fds[i + 2] = (struct pollfd){ is_served(clients[i].uid) ? clients[i].fd : -1,
					      POLLIN, 0 };
}

static int loop(int listening)
{
	struct pollfd fds[MAX_CLIENTS + 2];
	eventfd_t count;
	unsigned int i;

	for (;;) {
		get_ready(fds, listening);
		if (poll(fds, nr_clients + 2, no_room ? 1000 : -1) < 0) {
			if (errno == EINTR)
				continue;
			return fail(FAILED, "poll: %s", strerror(errno));
		}
		no_room = false;
		if (fds[1].revents)
			eventfd_read(closed, &count);
		/* From the end: the last one takes the place of one that goes */
		for (i = nr_clients; i--;)
			if (fds[i + 2].revents && is_served(clients[i].uid) && !serve(&clients[i]))
				forget(&clients[i]);
		if (fds[0].revents)
			welcome(listening);
	}
}

/* ---- the beginning ---- */

static int bind_to(int s, const struct sockaddr_un *at)
{
	/* Everybody may come: who it is, the kernel says */
	mode_t mask = umask(0111);
	int rc = bind(s, (const struct sockaddr *)at, sizeof(*at)) ? -errno : 0;

	umask(mask);
	return rc;
}

/* A socket that nobody listens on: a regular file does not answer either. */
static bool is_left_behind(int s, const struct sockaddr_un *at)
{
	struct stat st;

	return !lstat(at->sun_path, &st) && S_ISSOCK(st.st_mode) &&
	       connect(s, (const struct sockaddr *)at, sizeof(*at)) && errno == ECONNREFUSED;
}

static int listen_at(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int s, rc;

	if (strlen(path) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	strcpy(at.sun_path, path);
	s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (s < 0)
		return -errno;
	rc = bind_to(s, &at);
	if (rc == -EADDRINUSE && is_left_behind(s, &at) && !unlink(path))
		rc = bind_to(s, &at);
	if (!rc && listen(s, 128))
		rc = -errno;
	if (!rc)
		return s;
	close(s);
	return rc;
}

static void set_limits(void)
{
	struct rlimit limit;
	rlim_t others = MAX_CLIENTS + MAX_CLOSING * MAX_QUEUE + OTHER_FILES;

	max_held = MAX_HELD;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < MAX_HELD + others)
		max_held = limit.rlim_cur / 2 < MAX_HELD ? limit.rlim_cur / 2 : MAX_HELD;
}

/* Serves until it is killed, or cannot begin. */
int agent_serve(const char *path)
{
	int listening = -1;

	if (access("/proc/self/fd", F_OK))
		return fail(FAILED, "/proc: %s", strerror(errno));
	closed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (closed < 0)
		return fail(FAILED, "eventfd: %s", strerror(errno));
	signal(SIGPIPE, SIG_IGN);
	set_limits();
	fdstore_begin(add, &listening);
	if (listening < 0)
		listening = listen_at(path);
	if (listening < 0)
		return fail(FAILED, "%s: %s", path, strerror(-listening));
	text("Holding %u session%s.%s\n", nr_held, nr_held == 1 ? "" : "s",
	     fdstore_exists() ? "" : " No service manager stores them: they end with this process.");
	fflush(stdout);
	fdstore_ready();
	return loop(listening);
}
