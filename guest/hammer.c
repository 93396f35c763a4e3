// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that try to change what is preserved, again and again, up to the last
 * moment of the old kernel. What came of it is counted in the memfd that the new
 * kernel gets back, so that it can be judged there.
 *
 * The operations of frozen.h are refused from the preserve on. Those of the gate
 * are refused from the freeze of the device on, so they are only tried while the
 * kernel says that it stays there (liveupdate_delay=frozen:MS).
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "dma.h"
#include "frozen.h"
#include "guest.h"
#include "kit.h"

#define NR_PROCESSES	4
#define NR_OPS		48
#define OFF_HAMMER	(32 * KIB)	/* in the memfd, before the pattern */
#define STAYING		"staying at frozen for"

struct hammer {
	uint64_t tries[NR_OPS], wrong[NR_OPS];
	int64_t got[NR_OPS];
	uint64_t gate_tries, gate_wrong;
};

static pid_t pids[NR_PROCESSES + 1];

static struct hammer *hammer_of(struct dma *d)
{
	return (struct hammer *)((char *)d->mem + OFF_HAMMER);
}

static void strike(struct dma *d, size_t i)
{
	struct hammer *h = hammer_of(d);
	const struct frozen_op *ops;
	size_t n;
	int rc;

	ops = frozen_ops(&n);
	rc = ops[i].run(d);
	/* The shutdown takes ports' services away, and their files with them. */
	if (rc == -ENOENT && ops[i].wanted != rc)
		return;
	if (rc != ops[i].wanted) {
		h->got[i] = rc;
		h->wrong[i]++;
	}
	h->tries[i]++;
}

/* One process has every fourth operation, so that a slow one stops no other. */
static void strike_for_ever(struct dma *d, unsigned int who)
{
	size_t i, n;

	frozen_ops(&n);
	for (;;)
		for (i = who; i < n; i += NR_PROCESSES)
			strike(d, i);
}

static int gate_irqs(struct dma *d)
{
	struct {
		struct vfio_irq_set head;
		int32_t fd;
	} arg = {
		.head.argsz = sizeof(arg),
		.head.flags = VFIO_IRQ_SET_DATA_EVENTFD |
			      VFIO_IRQ_SET_ACTION_TRIGGER,
		.head.index = VFIO_PCI_MSI_IRQ_INDEX,
		.head.count = 1,
		.fd = eventfd(0, EFD_CLOEXEC),
	};
	int rc = sys_ioctl(d->vfio, VFIO_DEVICE_SET_IRQS, &arg);

	close(arg.fd);
	return rc;
}

static void try_the_gate(struct dma *d)
{
	struct hammer *h = hammer_of(d);
	int rc[3];
	size_t i;

	kmsg_skip();
	for (;;) {
		if (!kmsg_count(STAYING)) {
			sleep_ms(2);
			continue;
		}
		rc[0] = gate_irqs(d);
		rc[1] = vfio_config_write16(d->vfio, 4, 0);
		rc[2] = vfio_feature_set(d->vfio,
					 VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
		for (i = 0; i < ARRAY_SIZE(rc); i++) {
			h->gate_tries++;
			h->gate_wrong += rc[i] != -EBUSY;
		}
	}
}

int hammer_start(struct dma *d)
{
	unsigned int i;

	memset(hammer_of(d), 0, sizeof(struct hammer));
	for (i = 0; i <= NR_PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			return v_error(-errno, "fork");
		if (pids[i])
			continue;
		if (i < NR_PROCESSES)
			strike_for_ever(d, i);
		else
			try_the_gate(d);
	}
	return 0;
}

void hammer_stop(void)
{
	unsigned int i;

	for (i = 0; i <= NR_PROCESSES; i++) {
		if (pids[i] <= 0)
			continue;
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
		pids[i] = 0;
	}
}

/* Every operation was tried and always refused in the same way. */
int hammer_result(struct dma *d)
{
	struct hammer *h = hammer_of(d);
	const struct frozen_op *ops;
	uint64_t tries = 0;
	int bad = 0;
	size_t i, n;

	ops = frozen_ops(&n);
	for (i = 0; i < n; i++) {
		tries += h->tries[i];
		if (h->tries[i] && !h->wrong[i])
			continue;
		v_note("%s: %llu tries, %llu of them not refused: %lld",
		       ops[i].what, (unsigned long long)h->tries[i],
		       (unsigned long long)h->wrong[i], (long long)h->got[i]);
		bad = -EIO;
	}
	v_info("hammer", "%llu tries, %llu at the gate",
	       (unsigned long long)tries, (unsigned long long)h->gate_tries);
	if (!h->gate_tries || h->gate_wrong) {
		v_note("%llu of %llu tries passed the gate",
		       (unsigned long long)h->gate_wrong,
		       (unsigned long long)h->gate_tries);
		bad = -EIO;
	}
	return bad;
}
