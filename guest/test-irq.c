// SPDX-License-Identifier: GPL-2.0-only
/*
 * irq: interrupts of a card that is kept come back. They are silent from freeze
 * until they are set up again, and a cause that came meanwhile is lost by itself:
 * the card raises an interrupt when a cause appears, not while it is there. Here is
 * a driver that looks at the card only when it hears of a vector, as they do.
 *
 * Five causes, with MSI-X each with a vector of its own, else with one for all. Each
 * is raised in another phase: by frames all the time; before the freeze, heard by a
 * process that does not live to serve it; by the host during the kexec; by the host
 * before the files are retrieved; by the program after that.
 *
 * Options: irq= is msix, msi or intx; kernels= is how many there are, of which the
 * last one sets interrupts up again; those of "dma" about frames.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>

#include "dma.h"
#include "guest.h"
#include "kit.h"

#define ICR		0x00c0
#define ICS		0x00c8	/* reads like ICR, and clears nothing */
#define IMS		0x00d0
#define IMC		0x00d8
#define IVAR		0x00e4
#define  IVAR_EACH	0x000cba98	/* one vector for each cause */

#define CAUSES		5

/* By phase, see above; the host knows the third and the fourth. */
enum { BY_FRAMES, BEFORE_FREEZE, IN_KEXEC, BOOTED, RETRIEVED };

struct irq {
	struct dma dma;			/* first: its steps work on this, too */
	unsigned int index, vectors;
	const uint32_t *causes;		/* by phase */
	int events[CAUSES];
	uint32_t served;		/* of all vectors */
	unsigned int heard[CAUSES], found[CAUSES];
};

/* RxQ0, RxQ1, TxQ0, TxQ1, other */
static const uint32_t msix_causes[CAUSES] = {
	0x100000, 0x200000, 0x400000, 0x800000, 0x1000000,
};

/* RXT0, LSC, RXDMT0, RXO, TXDW */
static const uint32_t intx_causes[CAUSES] = { 0x80, 0x4, 0x10, 0x40, 0x1 };

static struct irq ctx;

static uint32_t rd(struct irq *q, unsigned int reg)
{
	return q->dma.nic.bar[reg / 4];
}

static void wr(struct irq *q, unsigned int reg, uint32_t val)
{
	q->dma.nic.bar[reg / 4] = val;
}

static uint32_t all_causes(struct irq *q)
{
	uint32_t all = 0;
	unsigned int i;

	for (i = 0; i < CAUSES; i++)
		all |= q->causes[i];
	return all;
}

static uint32_t causes_of(struct irq *q, unsigned int vector)
{
	return q->vectors > 1 ? q->causes[vector] : all_causes(q);
}

static int set_irqs(struct irq *q, uint32_t flags, unsigned int start,
		    unsigned int count, const int *events)
{
	struct {
		struct vfio_irq_set head;
		int32_t events[CAUSES];
	} arg = {
		.head.argsz = sizeof(arg), .head.flags = flags,
		.head.index = q->index, .head.start = start, .head.count = count,
	};

	if (events)
		memcpy(arg.events, events, count * sizeof(*events));
	return sys_ioctl(q->dma.vfio, VFIO_DEVICE_SET_IRQS, &arg);
}

static int arm(struct irq *q, unsigned int start, unsigned int count)
{
	return want(set_irqs(q, VFIO_IRQ_SET_DATA_EVENTFD |
			     VFIO_IRQ_SET_ACTION_TRIGGER, start, count,
			     q->events + start), 0, "VFIO_DEVICE_SET_IRQS");
}

static int make_events(struct irq *q)
{
	unsigned int i;

	for (i = 0; i < q->vectors; i++) {
		q->events[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (q->events[i] < 0)
			return v_error(-errno, "eventfd");
	}
	return 0;
}

/*
 * A vector was heard of: looks for its causes and serves them. Frames come all the
 * time: their cause is masked then, as drivers do that go on by polling.
 */
static void serve(struct irq *q, unsigned int vector)
{
	uint32_t pending;
	uint64_t n = 0;

	if (read(q->events[vector], &n, sizeof(n)) != sizeof(n))
		return;
	q->heard[vector] += n;
	pending = rd(q, ICS) & rd(q, IMS) & causes_of(q, vector);
	if (pending) {
		wr(q, IMC, pending & q->causes[BY_FRAMES]);
		wr(q, ICR, pending);
		q->served |= pending;
		q->found[vector]++;
	}
	if (q->index == VFIO_PCI_INTX_IRQ_INDEX)
		set_irqs(q, VFIO_IRQ_SET_DATA_NONE |
			 VFIO_IRQ_SET_ACTION_UNMASK, 0, 1, NULL);
}

/* Serves what is heard of until all of @causes were, or for all of @ms without. */
static int serve_for(struct irq *q, uint32_t causes, unsigned int ms)
{
	struct pollfd p[CAUSES] = { 0 };
	uint64_t end = now_ms() + ms;
	unsigned int i;

	for (i = 0; i < q->vectors; i++) {
		p[i].fd = q->events[i];
		p[i].events = POLLIN;
	}
	while (now_ms() < end) {
		if (causes && !(causes & ~q->served))
			return 0;
		poll(p, q->vectors, 10);
		for (i = 0; i < q->vectors; i++)
			if (p[i].revents & POLLIN)
				serve(q, i);
	}
	return causes & ~q->served ? -ETIMEDOUT : 0;
}

static void forget(struct irq *q)
{
	q->served = 0;
	memset(q->heard, 0, sizeof(q->heard));
	memset(q->found, 0, sizeof(q->found));
}

/* Each cause is raised, and heard and served before the next; at last all may come. */
static int each_is_served(void *p)
{
	struct irq *q = p;
	unsigned int i;

	forget(q);
	serve_for(q, 0, 20);
	for (i = 0; i < CAUSES; i++) {
		q->served = 0;
		if (i == BY_FRAMES)
			wr(q, IMS, q->causes[i]);
		else
			wr(q, ICS, q->causes[i]);
		if (serve_for(q, q->causes[i], 5000)) {
			v_note("cause %#x, pending %#x", q->causes[i],
			       rd(q, ICS));
			return v_error(0, "a cause was not heard of");
		}
	}
	wr(q, IMS, q->causes[BY_FRAMES]);
	return 0;
}

/* ---- Old kernel ---- */

static int set_up(void *p)
{
	struct irq *q = p;
	int rc = make_events(q);

	if (rc)
		return rc;
	wr(q, IMC, ~0U);
	wr(q, ICR, ~0U);
	rc = arm(q, 0, q->vectors);
	if (rc)
		return rc;
	wr(q, IVAR, IVAR_EACH);
	wr(q, IMS, all_causes(q));
	return 0;
}

/* The process that hears of this one is gone before it looks. */
static int leave_one(void *p)
{
	struct irq *q = p;
	struct pollfd event = {
		.fd = q->events[q->vectors > 1 ? BEFORE_FREEZE : 0],
		.events = POLLIN,
	};

	wr(q, ICS, q->causes[BEFORE_FREEZE]);
	if (poll(&event, 1, 5000) != 1)
		return v_error(0, "it was not heard of");
	return 0;
}

static const struct step old_kernel[] = {
	DMA_STEPS_READY,
	STEP("frames arrive", dma_frames_arrive),
	STEP("interrupts are set up", set_up),
	STEP("each cause is served", each_is_served),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("the page table is marked", dma_mark),
	STEP("everything is preserved", dma_preserve_all),
	STEP("each cause is served when preserved", each_is_served),
	STEP("DMA goes on", dma_goes_on),
	SYNC("preserved"),
	STEP("frames are contiguous and written down", dma_write_down),
	STEP("a cause is left for the next kernel", leave_one),
	SYNC("kexec"),
};

/* ---- A kernel in between, option kernels=3: it sets up no interrupts ---- */

static const struct step middle_kernel[] = {
	CHECK("vfio-pci has bound itself to the card", dma_bound_by_itself),
	DMA_STEPS_BACK,
	CHECK("more frames arrive in new descriptors", dma_replenish),
	STEP("the session is finished", dma_finish),
	STEP("it is closed", dma_close_session),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("all is preserved again", dma_preserve_all),
	SYNC("preserved"),
	STEP("frames are contiguous and written down", dma_write_down),
	SYNC("kexec"),
};

/* ---- New kernel ---- */

/* Nobody hears of it; the host watches what the card says. */
static int raise_retrieved(void *p)
{
	struct irq *q = p;
	uint32_t all = all_causes(q);

	wr(q, ICS, q->causes[RETRIEVED]);
	v_info("irq_causes_raised", "%#x of %#x", rd(q, ICS) & all, all);
	if (all & ~rd(q, ICS))
		return v_error(0, "not every cause is there");
	sleep_ms(100);
	return 0;
}

/* Several at once, then one at a time: how makes no difference. */
static int set_up_again(void *p)
{
	struct irq *q = p;
	unsigned int i, many = q->vectors > 1 ? q->vectors - 2 : 1;
	int rc = make_events(q);

	if (!rc)
		rc = arm(q, 0, many);
	for (i = many; !rc && i < q->vectors; i++)
		rc = arm(q, i, 1);
	return rc;
}

static int all_are_served(void *p)
{
	struct irq *q = p;
	uint32_t all = all_causes(q);

	serve_for(q, 0, 1500);
	v_info("irq_causes_lost", "%u",
	       (unsigned int)__builtin_popcount(all & ~q->served));
	if (all & ~q->served)
		return v_error(0, "a cause was never heard of");
	return 0;
}

/* By vector: heard of it without finding anything. */
static int few_are_spurious(void *p)
{
	struct irq *q = p;
	unsigned int i, n, most = 0;

	for (i = 0; i < q->vectors; i++) {
		n = q->heard[i] - q->found[i];
		v_note("vector %u: heard %u times, found something %u times",
		       i, q->heard[i], q->found[i]);
		most = n > most ? n : most;
	}
	v_info("irq_spurious_most", "%u", most);
	return most > 1 ? v_error(0, "more than one kick") : 0;
}

/* The card is told to be silent; what is heard then is a kick. */
static int no_second_kick(void *p)
{
	struct irq *q = p;
	unsigned int i;
	int bad = 0;

	wr(q, IMC, ~0U);
	serve_for(q, 0, 50);
	bad |= want(set_irqs(q, VFIO_IRQ_SET_DATA_NONE |
			     VFIO_IRQ_SET_ACTION_TRIGGER, 0, 0, NULL), 0,
		    "interrupts off");
	wr(q, ICR, ~0U);
	forget(q);
	bad |= arm(q, 0, q->vectors);
	serve_for(q, 0, 200);
	for (i = 0; i < q->vectors; i++)
		if (q->heard[i])
			bad |= v_error(0, "a vector was kicked again");
	wr(q, IMS, all_causes(q));
	return bad;
}

static const struct step new_kernel[] = {
	CHECK("vfio-pci has bound itself to the card", dma_bound_by_itself),
	DMA_STEPS_BACK,
	CHECK("a cause of each phase is pending", raise_retrieved),
	SYNC("rearm"),
	STEP("interrupts are set up again", set_up_again),
	CHECK("every cause is served", all_are_served),
	CHECK("no vector is kicked more than once", few_are_spurious),
	CHECK("set up once more, no vector is kicked", no_second_kick),
	CHECK("each cause is served as ever", each_is_served),
	CHECK("frames are contiguous", dma_frames_are_whole),
	CHECK("frames arrived during the kexec", dma_frames_crossed),
	CHECK("filled descriptors are as many as the card says",
	      dma_ring_is_consistent),
	CHECK("more frames arrive in new descriptors", dma_replenish),
	SYNC("continued"),
	CHECK("the final count is whole", dma_final_count),
	CHECK("the session is finished", dma_finish),
	SYNC("finished"),
	STEP("everything is closed", dma_close_everything),
	SYNC("closed"),
};

int test_irq(unsigned int stage)
{
	const char *irq = opt_str("irq", "msix");
	struct irq *q = &ctx;

	dma_init(&q->dma);
	q->causes = intx_causes;
	q->vectors = 1;
	q->index = VFIO_PCI_INTX_IRQ_INDEX;
	if (!strcmp(irq, "msi"))
		q->index = VFIO_PCI_MSI_IRQ_INDEX;
	if (!strcmp(irq, "msix")) {
		q->index = VFIO_PCI_MSIX_IRQ_INDEX;
		q->vectors = CAUSES;
		q->causes = msix_causes;
	}
	if (stage == 1)
		return kexec_after(old_kernel, ARRAY_SIZE(old_kernel), q);
	if (stage < opt_u64("kernels", 2))
		return kexec_after(middle_kernel, ARRAY_SIZE(middle_kernel), q);
	return v_run(new_kernel, ARRAY_SIZE(new_kernel), q);
}
