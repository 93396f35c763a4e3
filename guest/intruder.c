// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process that tries to bind the kept device to an iommufd of its own, all the
 * time, while another one retrieves it. What it meets is counted in memory that
 * both share.
 */
#include <errno.h>
#include <signal.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "dma.h"
#include "guest.h"
#include "kit.h"

struct intruder {
	uint64_t tries, bound;
	int last, other;
};

static volatile struct intruder *shared;
static pid_t pid;

static int try_to_bind(const char *bdf, int iommufd)
{
	int fd = vfio_open(bdf), rc;
	uint32_t id;

	if (fd < 0)
		return fd;
	rc = vfio_bind(fd, iommufd, &id);
	close(fd);
	return rc;
}

static void try_for_ever(const char *bdf, int iommufd)
{
	int rc;

	for (;;) {
		rc = try_to_bind(bdf, iommufd);
		shared->last = rc;
		/* EINVAL is the base's word for a device that is in use */
		if (rc >= 0)
			shared->bound++;
		else if (rc != -EPERM && rc != -EINVAL)
			shared->other = rc;
		shared->tries++;
	}
}

int intruder_start(void *p)
{
	struct dma *d = p;
	int iommufd;
	void *page = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return v_error(-errno, "mmap");
	shared = page;
	iommufd = iommufd_open();
	if (iommufd < 0)
		return v_error(iommufd, "another iommufd");
	pid = fork();
	if (pid < 0)
		return v_error(-errno, "fork");
	if (!pid)
		try_for_ever(d->bdf, iommufd);
	close(iommufd);
	while (shared->tries < 10)
		sleep_ms(1);
	return want(shared->last, -EPERM, "bind what waits for its owner");
}

int intruder_result(void *p)
{
	int bad;

	(void)p;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	v_info("intruder", "%llu tries", (unsigned long long)shared->tries);
	bad = want((int)shared->bound, 0, "bound to another iommufd");
	return bad | want(shared->other, 0, "an error of another kind");
}
