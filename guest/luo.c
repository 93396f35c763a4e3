// SPDX-License-Identifier: GPL-2.0-only
/* /dev/liveupdate: sessions of files that live through a kexec. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "guest.h"
#include "hw.h"

int luo_open(void)
{
	int fd = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int luo_create(int luo, const char *name)
{
	struct liveupdate_ioctl_create_session arg = { .size = sizeof(arg) };
	int rc;

	snprintf((char *)arg.name, sizeof(arg.name), "%s", name);
	rc = sys_ioctl(luo, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg);
	return rc < 0 ? rc : arg.fd;
}

int luo_retrieve(int luo, const char *name)
{
	struct liveupdate_ioctl_retrieve_session arg = { .size = sizeof(arg) };
	int rc;

	snprintf((char *)arg.name, sizeof(arg.name), "%s", name);
	rc = sys_ioctl(luo, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &arg);
	return rc < 0 ? rc : arg.fd;
}

int luo_preserve(int session, int fd, uint64_t token)
{
	struct liveupdate_session_preserve_fd arg = {
		.size = sizeof(arg), .fd = fd, .token = token,
	};

	return sys_ioctl(session, LIVEUPDATE_SESSION_PRESERVE_FD, &arg);
}

int luo_get(int session, uint64_t token)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg), .token = token,
	};
	int rc = sys_ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg);

	return rc < 0 ? rc : arg.fd;
}

int luo_finish(int session)
{
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };

	return sys_ioctl(session, LIVEUPDATE_SESSION_FINISH, &arg);
}

/* Make a session and put one file in it. */
int luo_session_keep(struct luo_session *s, const char *name, int file,
		     uint64_t token)
{
	int rc;

	s->luo = luo_open();
	if (s->luo < 0)
		return v_error(s->luo, "open /dev/liveupdate");
	s->fd = luo_create(s->luo, name);
	if (s->fd < 0)
		return v_error(s->fd, "create the session");
	rc = luo_preserve(s->fd, file, token);
	return rc ? v_error(rc, "preserve the file") : 0;
}

int luo_session_finish(struct luo_session *s)
{
	int rc = luo_finish(s->fd);

	return rc ? v_error(rc, "LIVEUPDATE_SESSION_FINISH") : 0;
}

void luo_session_close(struct luo_session *s)
{
	close(s->fd);
	close(s->luo);
}
