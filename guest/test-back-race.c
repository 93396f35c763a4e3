// SPDX-License-Identifier: GPL-2.0-only
/*
 * Another process maps and unmaps all the time while everything is preserved
 * and given up again. A mapping is made before the preserve or refused after
 * it: none changes while preserved, and none is stuck afterwards. A preserve
 * that finds one under way is refused, and succeeds when it is repeated.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "back.h"
#include "guest.h"
#include "kit.h"

#define ROUNDS		30
#define LOOK_MS		3

struct counts {
	volatile unsigned long done, busy, other;
	volatile int stop, last_error;
	unsigned long again;
};

static void account(struct counts *c, int rc)
{
	if (!rc) {
		c->done++;
	} else if (rc == -EBUSY) {
		c->busy++;
	} else {
		c->other++;
		c->last_error = rc;
	}
}

/* Ends with nothing mapped: what was mapped is unmapped as soon as it can be. */
static void map_and_unmap(struct dma *d, struct counts *c)
{
	uint64_t iova = d->state->iova + NEW_IOVA_OFF;
	uint32_t ioas = d->state->ioas_id;
	int rc;

	while (!c->stop && !c->other) {
		rc = iommufd_map_file(d->iommufd, ioas, d->memfd, 0, NEW_LEN,
				      iova, true);
		account(c, rc);
		while (!rc && (rc = iommufd_unmap(d->iommufd, ioas, iova,
						  NEW_LEN)) == -EBUSY) {
			account(c, rc);
			rc = 0;
		}
		if (!rc)
			account(c, rc);
		else if (rc != -EBUSY)
			account(c, rc);
	}
	_exit(0);
}

static int preserve(struct dma *d, struct counts *c)
{
	uint64_t end = now_ms() + 5000;
	int rc = dma_preserve_memfd(d);

	if (rc)
		return rc;
	do {
		rc = luo_preserve(d->session, d->iommufd, dma_token_iommufd());
		c->again += rc == -EBUSY;
	} while (rc == -EBUSY && now_ms() < end);
	return rc ? v_error(rc, "preserve the iommufd") : dma_preserve_vfio(d);
}

/* While it is preserved nothing gets through. */
static int one_round(struct dma *d, struct counts *c)
{
	unsigned long done;
	int rc;

	rc = preserve(d, c);
	if (rc)
		goto out;
	/* What was under way when the preserve ended may be counted late */
	sleep_ms(LOOK_MS);
	done = c->done;
	sleep_ms(LOOK_MS);
	rc = want(c->done - done, 0, "changes while preserved");
out:
	dma_close_session(d);
	done = c->done;
	while (!rc && c->done == done && !c->other)
		sleep_ms(1);
	frames_scan(&d->rx, &d->nic);
	e1000e_replenish(&d->nic, d->rx.next);
	return rc;
}

int back_map_race(void *p)
{
	struct counts *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct dma *d = p;
	unsigned int i;
	int bad = 0;
	pid_t pid;

	if (c == MAP_FAILED)
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		map_and_unmap(d, c);
	while (!c->done && !c->other)
		sleep_ms(1);
	for (i = 0; !bad && i < ROUNDS; i++)
		bad = one_round(d, c);
	c->stop = 1;
	waitpid(pid, NULL, 0);
	v_info("map_race", "%lu done, %lu refused, error %d; preserved again %lu",
	       c->done, c->busy, c->last_error, c->again);
	bad |= want(c->other, 0, "calls that ended otherwise");
	bad |= want(c->done > ROUNDS && c->busy > ROUNDS, 1, "both happened");
	munmap(c, sizeof(*c));
	return bad | dma_goes_on(d);
}
