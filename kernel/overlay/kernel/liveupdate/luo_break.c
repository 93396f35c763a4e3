// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take safety measures of the live update away, one by one, to prove that the
 * tests would notice. liveupdate_break=NAME[,NAME...] on the command line:
 *
 *  landing	any image may be loaded and jumped into
 *  memory	and an image may leave out memory that is kept
 *  frozen	page tables and attachments may change while they are kept
 *  veto	kept devices may be unbound and removed
 *  hidden	a function beside a kept one may have been removed
 *  join	devices join the IOMMU group of a kept one
 *  sleep	the machine may sleep while devices are kept
 *  offline	preserved memory may be taken offline
 *  pasids	PASIDs that are attached and not kept are no reason to refuse
 *  kick	a jump that is called off loses interrupts by MSI, a retrieve all
 *  pri	page requests are not stopped
 *  busmaster	bus mastering of kept devices is cleared at shutdown
 *  te		translation of kept IOMMUs is switched off at shutdown
 *  down		kept devices run on when the machine goes down without a kexec
 *  prune	entries of devices that are not kept stay at shutdown
 *  flush	caches of a kept IOMMU are not invalidated at shutdown
 *  dev_tlb	those of kept devices are not
 *  drain	its invalidation queue stands still at shutdown
 *  park	a CPU is stopped while it holds the locks of kept IOMMUs
 *  lockless	the shutdown takes one of them
 *  size	BARs of kept devices are sized by writing to them
 *  bind	any driver may bind a kept device
 *  ats	ATS of kept devices is enabled again
 *  adopt	the new kernel does not take over what the IOMMU uses
 *  scrub	entries without a record are not cleared when it does
 *  restore	kept devices get a default domain
 *  dirty	the mock forgets which page tables track what is written
 *  ssads	units are said to be able to track it, which none in QEMU is
 *  other	what has the address of a kept device gets its page table
 *  vfio_reset	vfio-pci resets the device when it is retrieved
 *  hold	a held memfd can be truncated before it is finished
 *  stop	a kept device nobody wants is blocked, but not stopped
 *  scrub_stop	nor is one whose entry has no record
 *  stop_all	nor is any device when KHO is off
 *  reset	what had to be stopped is not reset before it is bound
 *  crash	a crash kernel does not stay in the mode of an IOMMU in use
 *
 * Fault injection of the kernel's own is armed by processes. Allocations of the
 * new kernel that come before any of them fail by name:
 *
 *  nomem_unit, nomem_domain, nomem_device, nomem_pasid	records of the IOMMU
 *  nomem_index	the index of its device records
 *  nomem_pci	records of PCI
 *  nomem_adopt	what the adopted unit is remembered with
 *  nomem_did	the domain ids in use
 *
 * liveupdate_delay=NAME:MS stays at a point for a while and says so all the
 * time, for tests of what happens in between:
 *
 *  frozen	a device was frozen, the jump is not far
 *  retrieve	a device is about to be opened for who retrieves it
 *
 * Both are set once, before any user runs, and read without a lock. A kernel that
 * breaks something is tainted.
 */
#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/delay.h>
#include <linux/kstrtox.h>
#include <linux/liveupdate_break.h>
#include <linux/moduleparam.h>
#include <linux/panic.h>
#include <linux/printk.h>
#include <linux/export.h>
#include <linux/string.h>

#define DELAY_STEP_MS 20
#define DELAY_LAST_MS 200 /* who reads that it stays has this long to act */

static char liveupdate_broken[64];
static char liveupdate_delayed[32];

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX ""
module_param_string(liveupdate_break, liveupdate_broken,
		    sizeof(liveupdate_broken), 0);
module_param_string(liveupdate_delay, liveupdate_delayed,
		    sizeof(liveupdate_delayed), 0);

/**
 * liveupdate_break - Is this safety measure switched off for a test?
 * @what: name of the measure
 *
 * Context: Any. Taints the kernel and says so when the answer is yes.
 * Return: true when it is switched off.
 */
bool liveupdate_break(const char *what)
{
	const char *p = liveupdate_broken;
	size_t len = strlen(what);

	while ((p = strstr(p, what))) {
		if ((p == liveupdate_broken || p[-1] == ',') &&
		    (p[len] == ',' || !p[len])) {
			pr_warn("%s is broken on purpose\n", what);
			add_taint(TAINT_TEST, LOCKDEP_STILL_OK);
			return true;
		}
		p += len;
	}
	return false;
}
EXPORT_SYMBOL_GPL(liveupdate_break);

/**
 * liveupdate_delay - Stay here, if a test wants it
 * @where: name of the point
 *
 * Context: Process context, may sleep.
 */
void liveupdate_delay(const char *where)
{
	size_t len = strlen(where);
	unsigned int ms;

	if (strncmp(liveupdate_delayed, where, len) ||
	    liveupdate_delayed[len] != ':' ||
	    kstrtouint(liveupdate_delayed + len + 1, 10, &ms))
		return;
	for (; ms >= DELAY_STEP_MS; ms -= DELAY_STEP_MS) {
		if (ms > DELAY_LAST_MS)
			pr_info("staying at %s for %u ms\n", where, ms);
		msleep(DELAY_STEP_MS);
	}
}
EXPORT_SYMBOL_GPL(liveupdate_delay);
