// SPDX-License-Identifier: GPL-2.0-only
/*
 * An interrupt that comes while a device is frozen for a jump that is then
 * called off: its user hears of it. The card raises one when told to, so there
 * is exactly one, and nobody acknowledges it before it was heard.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include "back.h"
#include "guest.h"
#include "kit.h"

#define ICR		0x00c0
#define ICS		0x00c8
#define IMS		0x00d0
#define IMC		0x00d8
#define IVAR		0x00e4
#define  IVAR_ALL_TO_0	0x00088888
#define  CAUSE_LSC	0x00000004
#define  CAUSE_OTHER	0x01000000

static void wr(struct dma *d, unsigned int reg, uint32_t val)
{
	d->nic.bar[reg / 4] = val;
}

static int set_irqs(struct dma *d, unsigned int index, uint32_t flags,
		    unsigned int count, int fd)
{
	struct {
		struct vfio_irq_set head;
		int32_t fd;
	} arg = {
		.head.argsz = sizeof(arg), .head.flags = flags,
		.head.index = index, .head.count = count, .fd = fd,
	};

	return sys_ioctl(d->vfio, VFIO_DEVICE_SET_IRQS, &arg);
}

static uint64_t drain(int event)
{
	uint64_t n = 0;

	if (read(event, &n, sizeof(n)) != sizeof(n))
		return 0;
	return n;
}

static bool comes(int event, int ms)
{
	struct pollfd p = { .fd = event, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

/* Until nothing comes any more. */
static void acknowledge(struct dma *d, unsigned int index, int event)
{
	do {
		wr(d, ICR, ~0U);
		drain(event);
		if (index == VFIO_PCI_INTX_IRQ_INDEX)
			set_irqs(d, index, VFIO_IRQ_SET_DATA_NONE |
				 VFIO_IRQ_SET_ACTION_UNMASK, 1, -1);
	} while (comes(event, 20));
}

static void raise_one(struct dma *d)
{
	wr(d, ICS, CAUSE_LSC | CAUSE_OTHER);
}

/* In a process of its own: raise one as soon as the device is frozen. */
static void raise_when_frozen(struct dma *d, int event)
{
	uint64_t end = now_ms() + 10000;

	while (vfio_config_write16(d->vfio, 0x3c, 0) != -EBUSY) {
		if (now_ms() > end)
			_exit(1);
		sleep_ms(2);
	}
	/* What silences the device follows the gate at once */
	sleep_ms(50);
	if (comes(event, 0))
		_exit(2);
	raise_one(d);
	sleep_ms(20);
	_exit(comes(event, 0) ? 3 : 0);
}

/* One is raised between freeze and unfreeze, and heard after it. */
static int one_while_frozen(struct dma *d, unsigned int index, int event)
{
	int status, bad = 0;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		raise_when_frozen(d, event);
	bad |= want(kexec_jump(), -EBUSY, "reboot(KEXEC)");
	waitpid(pid, &status, 0);
	bad |= want(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0,
		    "raising an interrupt while frozen");
	if (!comes(event, 2000))
		bad |= v_error(0, "the interrupt was lost");
	acknowledge(d, index, event);
	return bad;
}

static int irq(struct dma *d, unsigned int index)
{
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int bad = 0, i;

	if (event < 0)
		return -errno;
	wr(d, IMC, ~0U);
	wr(d, ICR, ~0U);
	bad |= want(set_irqs(d, index, VFIO_IRQ_SET_DATA_EVENTFD |
			     VFIO_IRQ_SET_ACTION_TRIGGER, 1, event), 0,
		    "VFIO_DEVICE_SET_IRQS");
	wr(d, IVAR, IVAR_ALL_TO_0);
	wr(d, IMS, CAUSE_LSC | CAUSE_OTHER);
	for (i = 0; !bad && i < 3; i++) {
		acknowledge(d, index, event);
		if (i == 1) {
			bad |= one_while_frozen(d, index, event);
			continue;
		}
		raise_one(d);
		if (!comes(event, 2000))
			bad |= v_error(0, i ? "no interrupt after it" :
				       "no interrupt before it");
	}
	wr(d, IMC, ~0U);
	bad |= want(set_irqs(d, index, VFIO_IRQ_SET_DATA_NONE |
			     VFIO_IRQ_SET_ACTION_TRIGGER, 0, -1), 0,
		    "interrupts off");
	close(event);
	return bad | dma_goes_on(d);
}

int back_irq_msi(void *p)
{
	return irq(p, VFIO_PCI_MSI_IRQ_INDEX);
}

int back_irq_msix(void *p)
{
	return irq(p, VFIO_PCI_MSIX_IRQ_INDEX);
}

int back_irq_intx(void *p)
{
	return irq(p, VFIO_PCI_INTX_IRQ_INDEX);
}
