// SPDX-License-Identifier: GPL-2.0-only
/* /dev/liveupdate: sessions of files that live through a kexec. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

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
