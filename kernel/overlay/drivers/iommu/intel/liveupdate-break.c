// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the shutdown of units with kept devices.
 *
 * liveupdate_break=park stops a CPU in the middle of an invalidation: just
 * before the machine is shut down for the jump a CPU other than the one that
 * jumps takes the lock of the invalidation queue and that of the entries of each
 * unit with kept devices, with interrupts off, and is never heard of again. The
 * interrupt that stops CPUs for a kexec does not get through to it, so it is
 * stopped by the NMI that follows, and owns the locks for ever.
 *
 * This is the last syscore callback before machine_shutdown(): it is registered
 * before all others, and they are called in reverse. Whatever runs earlier may
 * wait for RCU, and so for every CPU; what runs later has to be able to do
 * without them.
 */
#define pr_fmt(fmt) "DMAR: live update: " fmt

#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/dmar.h>
#include <linux/kexec.h>
#include <linux/liveupdate_break.h>
#include <linux/smp.h>
#include <linux/syscore_ops.h>

#include "iommu.h"

#define PARK_WAIT_US 1000000

/* Units whose locks the parked CPU has */
static unsigned int parked;

/* On the CPU to be parked, interrupts are off */
static void park(void *unused)
{
	struct dmar_drhd_unit *drhd;
	unsigned int units = 0;

	list_for_each_entry(drhd, &dmar_drhd_units, list) {
		if (!drhd->iommu || !drhd->iommu->liveupdate)
			continue;
		raw_spin_lock(&drhd->iommu->qi->q_lock);
		spin_lock(&drhd->iommu->lock);
		units++;
	}
	WRITE_ONCE(parked, units);
	for (;;)
		cpu_relax();
}

static void park_one(void *unused)
{
	unsigned int cpu, us;

	if (!kexec_in_progress || !liveupdate_break("park"))
		return;

	cpu = cpumask_any_but(cpu_online_mask, raw_smp_processor_id());
	if (cpu >= nr_cpu_ids || smp_call_function_single(cpu, park, NULL, 0)) {
		pr_err("no CPU to park\n");
		return;
	}
	for (us = 0; us < PARK_WAIT_US && !READ_ONCE(parked); us++)
		udelay(1);
	pr_info("CPU %u is parked with the locks of %u units\n", cpu,
		READ_ONCE(parked));
}

static const struct syscore_ops park_ops = {
	.shutdown = park_one,
};

static struct syscore park_syscore = {
	.ops = &park_ops,
};

static int __init park_init(void)
{
	register_syscore(&park_syscore);
	return 0;
}
early_initcall(park_init);
