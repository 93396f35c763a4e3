// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The service manager's store of files, see "FDSTORE=1" in sd_notify(3): what was put there
 * comes back, under its name, when the service is started again.
 *
 * The name of a session there is "ferry.UID.NAME". A message is one datagram to
 * $NOTIFY_SOCKET. After "BARRIER=1", which has the end of a pipe with it, the manager
 * closes that end when it has done everything that came before: only then a session counts
 * as stored, or as removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "cmd.h"
#include "private.h"
#include "agent-protocol.h"

#define FIRST_FD	3
#define PREFIX		"ferry."
#define PATIENCE_MS	5000

bool fdstore_exists(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path && (*path == '/' || *path == '@') && path[1] &&
	       strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path);
}

static int notify(const char *message, int fd)
{
	struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	int rc, s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		return -errno;
	strcpy(to.sun_path, path);
	if (*path == '@')
		to.sun_path[0] = '\0';
	/* An abstract address ends where its length says */
	rc = setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) ||
	     connect(s, (struct sockaddr *)&to,
		     offsetof(struct sockaddr_un, sun_path) + strlen(path)) ? -errno : 0;
	if (!rc)
		rc = ferry_real_ops.send(NULL, s, message, strlen(message), fd);
	close(s);
	return rc;
}

/* Everything that was said so far has been heard, and done. */
static int barrier(void)
{
	struct pollfd end = { .events = 0 };
	int pair[2], rc;

	if (pipe2(pair, O_CLOEXEC))
		return -errno;
	rc = notify("BARRIER=1", pair[1]);
	close(pair[1]);
	end.fd = pair[0];
	while (!rc) {
		rc = poll(&end, 1, PATIENCE_MS);
		if (rc < 0 && errno == EINTR)
			rc = 0;
		else
			rc = rc > 0 ? 1 : -EIO;
	}
	close(pair[0]);
	return rc > 0 ? 0 : -EIO;
}

/* FDPOLL=0: the manager drops no file because it looks ready. */
static int store(uint32_t owner, const char *name, int fd)
{
	char message[160];

	snprintf(message, sizeof(message), "FDSTORE=1\nFDNAME=" PREFIX "%u.%s\nFDPOLL=0", owner,
		 name);
	return notify(message, fd);
}

int fdstore_put(uint32_t owner, const char *name, int fd)
{
	if (!fdstore_exists())
		return 0;
	return store(owner, name, fd) ? -EIO : barrier();
}

/* After a removal that was not confirmed. The manager stores one file once. */
void fdstore_again(uint32_t owner, const char *name, int fd)
{
	if (fdstore_exists())
		store(owner, name, fd);
}

int fdstore_remove(uint32_t owner, const char *name)
{
	char message[160];
	int rc;

	if (!fdstore_exists())
		return 0;
	snprintf(message, sizeof(message), "FDSTOREREMOVE=1\nFDNAME=" PREFIX "%u.%s", owner, name);
	rc = notify(message, -1);
	return rc ? -EIO : barrier();
}

void fdstore_ready(void)
{
	if (fdstore_exists())
		notify("READY=1", -1);
}

/* "ferry.UID.NAME", and nothing that only looks like it */
static bool take_apart(const char *stored, uint32_t *owner, const char **name)
{
	unsigned long uid;
	char *end, again[16];

	if (strncmp(stored, PREFIX, strlen(PREFIX)))
		return false;
	uid = strtoul(stored + strlen(PREFIX), &end, 10);
	*owner = uid;
	*name = end + 1;
	snprintf(again, sizeof(again), "%u.", *owner);
	return uid < AGENT_SELF && *end == '.' &&
	       !strncmp(stored + strlen(PREFIX), again, strlen(again)) &&
	       ferry_agent_name_is_good(*name);
}

static bool listens(int fd)
{
	int type = 0, is = 0;
	socklen_t len = sizeof(int);

	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_SEQPACKET &&
	       !getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &is, &len) && is;
}

/*
 * What the manager gives to the service when it starts: @is_back is told each stored
 * session, @socket is set if there is one that listens. What is not understood stays open
 * and is left alone: it is somebody's.
 */
void fdstore_begin(int (*is_back)(uint32_t owner, const char *name, int fd), int *socket)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS"), *name;
	char *names = getenv("LISTEN_FDNAMES"), *at;
	int n = count ? atoi(count) : 0, fd;
	uint32_t owner;

	if (pid && strtoul(pid, NULL, 10) == (unsigned long)getpid()) {
		for (fd = FIRST_FD; fd - FIRST_FD < n; fd++) {
			at = names ? strsep(&names, ":") : NULL;
			if (fcntl(fd, F_SETFD, FD_CLOEXEC))
				continue;
			if (at && take_apart(at, &owner, &name) && !is_back(owner, name, fd))
				continue;
			if (listens(fd) && *socket < 0)
				*socket = fd;
			else
				fail(FAILED, "the service manager's file \"%s\" is left alone",
				     at ? at : "");
		}
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}
