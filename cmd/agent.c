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
 * space can make that last for ever. A thread of its own does it, one for each user, who
 * cannot put anything before it is done.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cmd.h"
#include "private.h"
#include "agent-protocol.h"

#define MAX_HELD		4096
#define MAX_HELD_EACH		2048
#define MAX_CLIENTS		256
#define MAX_CLIENTS_EACH	16
#define MAX_CLOSING		16
#define OTHER_FILES		64
/* Whom the kernel cannot name in our user namespace: all of them are one to us */
#define NOBODY			65534U

struct client {
	int fd;
	uint32_t uid;
};

struct held {
	uint32_t owner;
	int fd;
	int lent;			/* to the client with this fd, or -1 */
	char name[FERRY_NAME_SIZE];
};

struct closing {
	atomic_bool busy;
	uint32_t uid;
	int fd;
};

static struct held held[MAX_HELD];
static unsigned int nr_held, max_held;
static struct client clients[MAX_CLIENTS];
static unsigned int nr_clients;
static struct closing closings[MAX_CLOSING];

/* ---- files that are no sessions ---- */

static void *close_it(void *p)
{
	struct closing *c = p;

	close(c->fd);
	atomic_store(&c->busy, false);
	return NULL;
}

static struct closing *find_closing(uint32_t uid)
{
	struct closing *c, *free = NULL;

	for (c = closings; c < closings + MAX_CLOSING; c++) {
		if (!atomic_load(&c->busy))
			free = c;
		else if (c->uid == uid)
			return NULL;
	}
	return free;
}

static bool is_session(int fd)
{
	char path[32], link[sizeof(SESSION_LINK)] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, link, sizeof(link) - 1) == sizeof(link) - 1 &&
	       !strcmp(link, SESSION_LINK);
}

/* find_closing() has found a place before the file was received. */
static void close_unwanted(uint32_t uid, int fd)
{
	struct closing *c = find_closing(uid);
	pthread_attr_t attr;
	pthread_t thread;

	if (is_session(fd)) {
		close(fd);
		return;
	}
	c->uid = uid;
	c->fd = fd;
	atomic_store(&c->busy, true);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, close_it, c))
		close_it(c);
	pthread_attr_destroy(&attr);
}

/* ---- what is held ---- */

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

static int put(uint32_t owner, const char *name, int fd)
{
	int rc = is_session(fd) ? add(owner, name, fd) : -EBADF;

	if (rc)
		return rc;
	rc = fdstore_put(owner, name, fd);
	if (rc) {
		nr_held--;
		fdstore_remove(owner, name);
	}
	return rc;
}

static int drop(struct held *h)
{
	int rc = fdstore_remove(h->owner, h->name);

	if (rc)
		return rc;
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

/* @fd is taken over if it is put. @lent: what goes with the answer, or NULL. */
static int obey(const struct client *c, const struct agent_request *r, int fd,
		struct agent_answer *answer, struct held **lent)
{
	uint32_t owner = r->owner == AGENT_SELF ? c->uid : r->owner;
	struct held *h;

	if (owner != c->uid && c->uid && c->uid != geteuid())
		return -EPERM;
	if (r->op == AGENT_PUT)
		return put(owner, r->name, fd);
	if (fd >= 0)
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

/* One message. @fd: what came with it; -1: nothing; -EBUSY, -EINVAL: it was not wanted. */
static ssize_t receive(const struct client *c, struct agent_request *r, int *fd)
{
	bool may = find_closing(c->uid) != NULL;
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { r, sizeof(*r) };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = may ? room : NULL,
		/* Without padding: there would be room for two */
		.msg_controllen = may ? CMSG_LEN(sizeof(int)) : 0,
	};
	struct cmsghdr *m;
	ssize_t n = recvmsg(c->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	*fd = -1;
	if (n <= 0)
		return n ? -errno : 0;
	m = CMSG_FIRSTHDR(&msg);
	if (m && m->cmsg_level == SOL_SOCKET && m->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(m), sizeof(*fd));
	if (msg.msg_flags & MSG_CTRUNC) {
		if (*fd >= 0)
			close_unwanted(c->uid, *fd);
		*fd = may ? -EINVAL : -EBUSY;
	}
	return msg.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
}

static bool answer_it(const struct client *c, const struct agent_answer *answer, int fd)
{
	struct iovec iov = { (void *)answer, sizeof(*answer) };
	char room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *m;

	if (fd >= 0) {
		msg.msg_control = room;
		msg.msg_controllen = sizeof(room);
		m = CMSG_FIRSTHDR(&msg);
		m->cmsg_level = SOL_SOCKET;
		m->cmsg_type = SCM_RIGHTS;
		m->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(m), &fd, sizeof(fd));
	}
	return sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(*answer);
}

/* Returns false when the client has to go: it is gone, or does not keep to the rules. */
static bool serve(const struct client *c)
{
	struct agent_answer answer = { .magic = AGENT_MAGIC };
	struct agent_request request = { 0 };
	struct held *lent = NULL;
	int fd;
	ssize_t n = receive(c, &request, &fd);
	bool whole = n > 0 && is_whole(&request, n);

	if (n == -EAGAIN || n == -EINTR)
		return true;
	if (whole)
		answer.rc = fd < -1 ? fd : obey(c, &request, fd, &answer, &lent);
	if (fd >= 0 && !(whole && request.op == AGENT_PUT && !answer.rc))
		close_unwanted(c->uid, fd);
	if (!whole)
		return false;
	if (lent)
		lent->lent = c->fd;
	return answer_it(c, &answer, lent ? lent->fd : -1);
}

/* ---- clients ---- */

static void forget(unsigned int nth)
{
	unsigned int i;

	for (i = 0; i < nr_held; i++)
		if (held[i].lent == clients[nth].fd)
			held[i].lent = -1;
	close(clients[nth].fd);
	clients[nth] = clients[--nr_clients];
}

static void welcome(int listening)
{
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t len = sizeof(peer);
	unsigned int i, n = 0;

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		peer.uid = NOBODY;
	for (i = 0; i < nr_clients; i++)
		n += clients[i].uid == peer.uid;
	if (peer.uid == NOBODY || n >= MAX_CLIENTS_EACH)
		close(fd);
	else
		clients[nr_clients++] = (struct client){ fd, peer.uid };
}

static int loop(int listening)
{
	struct pollfd fds[MAX_CLIENTS + 1];
	unsigned int i;

	for (;;) {
		/* A full house does not look who knocks */
		fds[0].fd = nr_clients < MAX_CLIENTS ? listening : -1;
		fds[0].events = POLLIN;
		for (i = 0; i < nr_clients; i++)
			fds[i + 1] = (struct pollfd){ clients[i].fd, POLLIN, 0 };
		if (poll(fds, nr_clients + 1, -1) < 0) {
			if (errno == EINTR)
				continue;
			return fail(FAILED, "poll: %s", strerror(errno));
		}
		/* From the end: the last one takes the place of one that goes */
		for (i = nr_clients; i--;)
			if (fds[i + 1].revents && !serve(&clients[i]))
				forget(i);
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
	/* One that nobody listens on was left behind */
	if (rc == -EADDRINUSE && connect(s, (struct sockaddr *)&at, sizeof(at)) &&
	    errno == ECONNREFUSED && !unlink(path))
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
	rlim_t others = MAX_CLIENTS + MAX_CLOSING + OTHER_FILES;

	max_held = MAX_HELD;
	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur < MAX_HELD + others)
		max_held = limit.rlim_cur > others ? limit.rlim_cur - others : 0;
}

/* Serves until it is killed, or cannot begin. */
int agent_serve(const char *path)
{
	int listening = -1;

	if (access("/proc/self/fd", F_OK))
		return fail(FAILED, "/proc: %s", strerror(errno));
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
