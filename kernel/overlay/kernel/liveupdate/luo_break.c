// SPDX-License-Identifier: GPL-2.0-only
/*
 * Take safety measures of the live update away, one by one, to prove that the
 * tests would notice. liveupdate_break=NAME[,NAME...] on the command line:
 *
 *  busmaster	bus mastering of kept devices is cleared at shutdown
 *  te		translation of kept IOMMUs is switched off at shutdown
 *  adopt	the new kernel does not take over what the IOMMU uses
 *  vfio_reset	vfio-pci resets the device when it is retrieved
 *
 * The list is set once, before any user runs, and is read without a lock. A
 * kernel that breaks something is tainted.
 */
#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/liveupdate_break.h>
#include <linux/moduleparam.h>
#include <linux/panic.h>
#include <linux/printk.h>
#include <linux/export.h>
#include <linux/string.h>

static char liveupdate_broken[64];

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX ""
module_param_string(liveupdate_break, liveupdate_broken,
		    sizeof(liveupdate_broken), 0);

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
