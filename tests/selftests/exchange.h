/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included before everything else by the copy of iommufd's selftests that runs over
 * a live update. The harness calls lu_exchange() between the setup of a
 * fixture and the test, see tests/selftests/kept.
 *
 * In the old kernel, LU_PHASE=preserve: the fixture's iommufd goes into a session of
 * its own, with all its devices, and a process that stays behind holds it until
 * the kexec. The test is skipped. In the new kernel, LU_PHASE=retrieve: the setup
 * has made another iommufd, which is closed: the test gets the one of the old
 * kernel. Both have to have the same ids; LU_SPOIL=ids adds one. What the old
 * kernel has refused is skipped in both; the runner knows which tests those are.
 */
#ifndef FERRY_EXCHANGE_H
#define FERRY_EXCHANGE_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <linux/iommufd.h>
#include <linux/liveupdate.h>

#define __EXPORTED_HEADERS__
#include "../../../../drivers/iommu/iommufd/iommufd_test.h"

/* More ids than any setup uses */
#define LU_IDS		32
#define LU_TOKEN	0x100

enum { LU_GO_ON, LU_SKIP, LU_FAIL };

static int lu_say(char *why, int what, const char *text, int err)
{
	snprintf(why, 128, "%s%s%s", text, err ? ": " : "",
		 err ? strerrorname_np(err) : "");
	return what;
}

static int lu_stdev_file(int fd, uint32_t id)
{
	struct iommu_test_cmd cmd = {
		.size = sizeof(cmd), .op = IOMMU_TEST_OP_LIVEUPDATE_FILE,
		.id = id,
	};

	return ioctl(fd, IOMMU_TEST_CMD, &cmd) ? -1 : cmd.liveupdate.fd;
}

static int lu_mark(int fd, uint32_t id)
{
	struct iommu_hwpt_liveupdate cmd = {
		.size = sizeof(cmd), .hwpt_id = id, .token = id,
	};

	return ioctl(fd, IOMMU_HWPT_LIVEUPDATE, &cmd);
}

static char lu_kind(int fd, uint32_t id)
{
	struct iommu_ioas_iova_ranges ranges = {
		.size = sizeof(ranges), .ioas_id = id,
	};
	struct iommu_hw_info info = { .size = sizeof(info), .dev_id = id };
	int file = lu_stdev_file(fd, id);

	if (file >= 0) {
		close(file);
		return 'S';
	}
	if (!lu_mark(fd, id))
		return 'H';
	if (!ioctl(fd, IOMMU_GET_HW_INFO, &info))
		return 'D';
	if (!ioctl(fd, IOMMU_IOAS_IOVA_RANGES, &ranges) || errno == EMSGSIZE)
		return 'A';
	return '.';
}

/* What there is at each id */
static void lu_kinds(int fd, char kinds[LU_IDS + 1])
{
	uint32_t id;

	for (id = 0; id < LU_IDS; id++)
		kinds[id] = lu_kind(fd, id);
	kinds[LU_IDS] = '\0';
}

/* The name of a session is short; that of a test is not. */
static void lu_name(char name[24], const char *fixture, const char *variant,
		    const char *test)
{
	const char *parts[] = { fixture, ".", variant, ".", test };
	uint64_t hash = 0xcbf29ce484222325ULL;
	unsigned int i;
	const char *p;

	for (i = 0; i < 5; i++)
		for (p = parts[i]; *p; p++)
			hash = (hash ^ (unsigned char)*p) * 0x100000001b3ULL;
	snprintf(name, 24, "%016llx", (unsigned long long)hash);
}

/* Sessions outlive /dev/liveupdate, which only one process can have open. */
static int lu_session(const char *name, int new)
{
	struct liveupdate_ioctl_create_session make = {
		.size = sizeof(make),
	};
	struct liveupdate_ioctl_retrieve_session get = { .size = sizeof(get) };
	int luo = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	int rc, err;

	if (luo < 0)
		return -1;
	snprintf((char *)make.name, sizeof(make.name), "%s", name);
	snprintf((char *)get.name, sizeof(get.name), "%s", name);
	rc = new ? ioctl(luo, LIVEUPDATE_IOCTL_CREATE_SESSION, &make) :
		   ioctl(luo, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &get);
	err = errno;
	close(luo);
	errno = err;
	return rc ? -1 : new ? make.fd : get.fd;
}

static int lu_put(int session, int fd, uint64_t token)
{
	struct liveupdate_session_preserve_fd cmd = {
		.size = sizeof(cmd), .fd = fd, .token = token,
	};

	return ioctl(session, LIVEUPDATE_SESSION_PRESERVE_FD, &cmd);
}

static int lu_get(int session, uint64_t token)
{
	struct liveupdate_session_retrieve_fd cmd = {
		.size = sizeof(cmd), .token = token,
	};

	return ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &cmd) ? -1 :
								      cmd.fd;
}

/* The session stays open until the kexec, without memory and output of the test. */
static int lu_stay_behind(int session)
{
	pid_t pid = fork();

	if (pid)
		return pid < 0 ? -1 : 0;
	setsid();
	setenv("LU_PHASE", "hold", 1);
	/* A copy that lives through the exec */
	if (dup(session) >= 0)
		execl("/proc/self/exe", "hold", NULL);
	_exit(1);
}

__attribute__((constructor(101))) static void lu_hold(void)
{
	const char *phase = getenv("LU_PHASE");

	if (!phase || strcmp(phase, "hold"))
		return;
	close(0);
	close(1);
	close(2);
	for (;;)
		pause();
}

static int lu_preserve(int fd, const char *name, char *why)
{
	char kinds[LU_IDS + 1];
	int session, file, err;
	uint32_t id;

	lu_kinds(fd, kinds);
	if (!strchr(kinds, 'H'))
		return lu_say(why, LU_SKIP, "refused: nothing to keep", 0);
	session = lu_session(name, 1);
	if (session < 0)
		return lu_say(why, LU_FAIL, "create a session", errno);
	if (lu_put(session, fd, LU_TOKEN)) {
		err = errno;
		close(session);
		return lu_say(why, LU_SKIP, "refused: the iommufd", err);
	}
	for (id = 0; id < LU_IDS; id++) {
		if (kinds[id] != 'S')
			continue;
		file = lu_stdev_file(fd, id);
		if (file < 0 || lu_put(session, file, LU_TOKEN + 1 + id)) {
			err = errno;
			close(session);
			return lu_say(why, LU_SKIP, "refused: a device", err);
		}
	}
	if (lu_stay_behind(session))
		return lu_say(why, LU_FAIL, "fork", errno);
	return lu_say(why, LU_SKIP, "preserved", 0);
}

static int lu_retrieve(int *fd, const char *name, char *why)
{
	struct liveupdate_session_finish finish = { .size = sizeof(finish) };
	struct iommu_ioas_alloc more = { .size = sizeof(more) };
	const char *spoil = getenv("LU_SPOIL");
	char fresh[LU_IDS + 1], old[LU_IDS + 1], text[100];
	int session, new, files[LU_IDS];
	uint32_t id;

	lu_kinds(*fd, fresh);
	session = lu_session(name, 0);
	if (session < 0)
		return lu_say(why, errno == ENOENT ? LU_SKIP : LU_FAIL,
			      "no session", errno);
	new = lu_get(session, LU_TOKEN);
	if (new < 0)
		return lu_say(why, LU_FAIL, "retrieve the iommufd", errno);
	for (id = 0; id < LU_IDS; id++) {
		files[id] = -1;
		if (fresh[id] != 'S')
			continue;
		files[id] = lu_get(session, LU_TOKEN + 1 + id);
		if (files[id] < 0)
			return lu_say(why, LU_FAIL, "retrieve a device", errno);
	}
	if (ioctl(session, LIVEUPDATE_SESSION_FINISH, &finish))
		return lu_say(why, LU_FAIL, "finish", errno);
	for (id = 0; id < LU_IDS; id++)
		if (files[id] >= 0)
			close(files[id]);
	close(session);
	if (spoil && !strcmp(spoil, "ids"))
		ioctl(new, IOMMU_IOAS_ALLOC, &more);
	lu_kinds(new, old);
	snprintf(text, sizeof(text), "ids %s, not %s", old, fresh);
	if (strcmp(old, fresh))
		return lu_say(why, LU_FAIL, text, 0);
	if (dup2(new, *fd) != *fd)
		return lu_say(why, LU_FAIL, "dup2", errno);
	close(new);
	return LU_GO_ON;
}

static inline int lu_exchange(int *fd, const char *fixture,
			      const char *variant, const char *test, char *why)
{
	const char *phase = getenv("LU_PHASE");
	char name[24];

	if (!phase)
		return lu_say(why, LU_FAIL, "no LU_PHASE", 0);
	lu_name(name, fixture, variant, test);
	return strcmp(phase, "preserve") ? lu_retrieve(fd, name, why) :
					   lu_preserve(*fd, name, why);
}

/* Where the harness has set a fixture up; each one begins with its iommufd. */
#define LU_EXCHANGE(fixture, variant, test)                                   \
	do {                                                                  \
		char lu_why[128] = "";                                        \
		int lu_rc;                                                    \
									      \
		if (_metadata->exit_code)                                     \
			break;                                                \
		lu_rc = lu_exchange((int *)self, fixture, variant, test,      \
				    lu_why);                                  \
		if (lu_rc == LU_SKIP)                                         \
			SKIP(_exit(0), "%s", lu_why);                         \
		if (lu_rc == LU_FAIL) {                                       \
			fprintf(stderr, "# exchange: %s\n", lu_why);          \
			_metadata->exit_code = KSFT_FAIL;                     \
		}                                                             \
	} while (0)

#endif /* FERRY_EXCHANGE_H */
