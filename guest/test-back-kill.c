// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process that dies on its way into a live update: with it goes everything
 * it had preserved, its device is stopped, and the next process finds the
 * machine as the first one did.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "back.h"
#include "guest.h"
#include "kit.h"

#define SIGNAL_ROUNDS	100
#define SIGNAL_US	300

enum point { SESSION, MEMFD, IOMMUFD, VFIO, CLOSED };

static long base_pages, base_shmem;
static volatile sig_atomic_t signals;

int back_baseline(void *p)
{
	(void)p;
	base_pages = vmstat("nr_iommu_pages");
	base_shmem = vmstat("nr_shmem");
	v_info("base", "iommu %ld shmem %ld", base_pages, base_shmem);
	return base_pages < 0 || base_shmem < 0 ? -EIO : 0;
}

/* Nothing is left of a user whose device was the network card. */
static int all_gone(const char *bdf)
{
	uint64_t end = now_ms() + 2000;
	int bad = 0;

	while ((vmstat("nr_iommu_pages") > base_pages ||
		vmstat("nr_shmem") > base_shmem) && now_ms() < end)
		sleep_ms(10);
	bad |= want(vmstat("nr_iommu_pages") - base_pages, 0,
		    "pages of page tables that are left");
	bad |= want(vmstat("nr_shmem") > base_shmem, 0, "memory is left");
	bad |= want(pci_config_read16(bdf, 4) & 4, 0, "bus mastering");
	return bad;
}

/* The whole way to @point, quietly, with frames coming in. */
static int go_to(struct dma *d, enum point point)
{
	int rc = dma_make_memory(d);

	if (!rc)
		rc = dma_attach(d);
	if (!rc)
		rc = dma_ring_up(d);
	if (!rc)
		rc = dma_wait_frames(d, 20);
	if (!rc)
		rc = dma_mark(d);
	if (!rc && point == SESSION) {
		d->luo = luo_open();
		d->session = luo_create(d->luo, SESSION_NAME);
		rc = d->session < 0 ? d->session : 0;
	}
	if (!rc && point >= MEMFD)
		rc = dma_preserve_memfd(d);
	if (!rc && point >= IOMMUFD)
		rc = dma_preserve_iommufd(d);
	if (!rc && point >= VFIO)
		rc = dma_preserve_vfio(d);
	if (!rc && point >= CLOSED) {
		munmap((void *)d->nic.bar, d->nic.bar_len);
		close(d->vfio);
		close(d->iommufd);
		close(d->memfd);
		rc = dma_wait_frames(d, 20);
	}
	return rc;
}

static pid_t child_at(struct dma *like, enum point point, int *ready)
{
	int fds[2];
	struct dma d;
	pid_t pid;
	char rc;

	if (pipe(fds))
		return -errno;
	pid = fork();
	if (!pid) {
		dma_init(&d);
		memcpy(d.bdf, like->bdf, sizeof(d.bdf));
		rc = !!go_to(&d, point);
		if (write(fds[1], &rc, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	*ready = fds[0];
	return pid < 0 ? -errno : pid;
}

/* Once more from the start, by a process of its own, up to a preserve. */
static int usable_again(struct dma *like)
{
	char rc = 1;
	int ready, bad;
	pid_t pid;

	pid = child_at(like, VFIO, &ready);
	if (pid < 0)
		return v_error(pid, "fork");
	bad = want(read(ready, &rc, 1), 1, "the next process") | rc;
	close(ready);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return bad | all_gone(like->bdf);
}

static int killed(struct dma *d, enum point point)
{
	char rc = 1;
	int ready, bad;
	pid_t pid;

	pid = child_at(d, point, &ready);
	if (pid < 0)
		return v_error(pid, "fork");
	bad = want(read(ready, &rc, 1), 1, "the process got there") | rc;
	bad |= want(!(pci_config_read16(d->bdf, 4) & 4), 0,
		    "bus mastering is on before");
	bad |= want(kill(pid, SIGKILL), 0, "kill");
	waitpid(pid, NULL, 0);
	close(ready);
	/* That all can be used again is what the next one shows */
	return bad | all_gone(d->bdf);
}

int back_killed_session(void *p)
{
	return killed(p, SESSION);
}

int back_killed_memfd(void *p)
{
	return killed(p, MEMFD);
}

int back_killed_iommufd(void *p)
{
	return killed(p, IOMMUFD);
}

int back_killed_vfio(void *p)
{
	return killed(p, VFIO);
}

int back_killed_closed(void *p)
{
	return killed(p, CLOSED);
}

/* At no point in particular: inside whatever it is doing then. */
int back_killed_loose(void *p)
{
	struct dma *d = p;
	unsigned int i;
	int ready, bad = 0;
	pid_t pid;

	for (i = 0; i < 12; i++) {
		pid = child_at(d, VFIO, &ready);
		if (pid < 0)
			return v_error(pid, "fork");
		sleep_ms(20 + i * i * 4);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		close(ready);
		bad |= all_gone(d->bdf);
	}
	return bad | usable_again(d);
}

static void count_signal(int sig)
{
	(void)sig;
	signals++;
}

/* With signals raining on the process: done, or not done and said so. */
int back_signal(void *p)
{
	struct itimerval often = { { 0, SIGNAL_US }, { 0, SIGNAL_US } };
	struct itimerval never = { 0 };
	struct sigaction act = { .sa_handler = count_signal };
	struct dma *d = p;
	unsigned int i, interrupted = 0;
	int rc = 0, step;

	sigaction(SIGALRM, &act, NULL);
	for (i = 0; !rc && i < SIGNAL_ROUNDS; i++) {
		d->luo = luo_open();
		d->session = luo_create(d->luo, SESSION_NAME);
		setitimer(ITIMER_REAL, &often, NULL);
		for (step = 0; !rc && step < 3; step++) {
			do {
				rc = luo_preserve(d->session,
						  step == 0 ? d->memfd :
						  step == 1 ? d->iommufd :
						  d->vfio, step + 1);
				interrupted += rc == -EINTR;
			} while (rc == -EINTR);
		}
		setitimer(ITIMER_REAL, &never, NULL);
		dma_close_session(d);
	}
	v_info("signals", "%d, interrupted %u", (int)signals, interrupted);
	if (rc)
		return v_error(rc, "preserve");
	return want(signals > SIGNAL_ROUNDS, 1, "signals came") |
	       dma_goes_on(d);
}
