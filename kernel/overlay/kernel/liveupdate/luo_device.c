// SPDX-License-Identifier: GPL-2.0-only
/*
 * Devices that do DMA while the kernel is replaced: the landing check.
 *
 * What it keeps. The number of devices that this kernel has promised to keep,
 * and the mark about it in the root of the outgoing KHO tree. While the number
 * is not zero there is only one way out of this kernel that is not a plain
 * reboot: kexec into an image that says that it reads everything this kernel
 * hands over. Any other image would free, or use for something else, memory
 * that devices write to, or switch translation off under them. So loading such
 * an image is refused, jumping into one is refused, and so are suspend and
 * hibernation, which power devices off, and kexec with preserve_context, which
 * comes back to a kernel whose devices another kernel has used. Crash kernels
 * are not refused: they run in memory of their own and the machine is lost
 * anyway. Reboot and power-off are not refused: they reset the devices.
 *
 * Locks. luo_device_mutex covers @count, @sleeps and @ser. @waiting is written by
 * the PCI core, which knows, with a lock of its own, and read without one. Which
 * image is loaded is covered by the kexec lock, a trylock that is held over the
 * whole of a load and of a jump. liveupdate_device_get() takes it, too, so an
 * image that is being loaded sees the device or the device sees the image. The
 * order is luo_device_mutex, kexec lock. luo_device_check_image() is called with
 * the kexec lock and must not wait for the mutex: it reads @count with
 * READ_ONCE(), and any device that is counted later has yet to get the kexec lock.
 *
 * Who owns it. The old kernel only. In the new one the devices are the business
 * of the records of PCI and IOMMU, and nothing is refused here but to sleep, and
 * kexec with preserve_context, while one of them waits for its owner; the page of
 * the mark stays reserved until the next kexec, like all that KHO shows in debugfs.
 *
 * What cannot fail. liveupdate_device_put(), and the check, which allocates
 * nothing and changes nothing.
 *
 * Memory that was added to the machine after it was booted is not in the memory
 * map that the next kernel boots with, so nothing in it can be preserved. Where
 * such memory is online as movable, nothing that is preserved ever lies in it,
 * because what devices write to is migrated when it is pinned; otherwise a
 * preserve may find a page in it and be refused. No memory that has anything
 * preserved in it goes offline.
 *
 * If KHO cannot be revived in the new kernel, the memory that devices write to
 * and the tables that translate for them are about to be given to the page
 * allocator, and nobody knows where they are. When the mark says that devices
 * are kept, bus mastering is then cleared on every function that can be reached
 * and the kernel panics, because some of that memory has been overwritten by
 * then. What panic=, earlyprintk= and earlycon= say is honoured, though it comes
 * before the command line is parsed. If the root of the tree is unreadable,
 * nobody can tell whether there is a mark: all functions are stopped, and the
 * kernel goes on as KHO always does. A kernel that was given a tree and takes
 * itself for a crash kernel, elfcorehdr= being on its command line, is one that
 * cannot revive KHO: it has all memory, and gives everything in it away.
 */

#define pr_fmt(fmt) "liveupdate: " fmt

#include <linux/err.h>
#include <linux/init.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/landing.h>
#include <linux/kho_query.h>
#include <linux/kstrtox.h>
#include <linux/libfdt.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_break.h>
#include <linux/liveupdate_device.h>
#include <linux/liveupdate_refuse.h>
#include <linux/lockdep.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/panic.h>
#include <linux/pfn.h>
#include <linux/printk.h>
#include <linux/sprintf.h>
#include <linux/string.h>
#include <linux/suspend.h>
#include <asm/setup.h>
#include "../kexec_internal.h"
#include "luo_device.h"

#define luo_device_refuse(err, fmt, ...) \
	liveupdate_refuse("kexec", err, fmt, ##__VA_ARGS__)

static DEFINE_MUTEX(luo_device_mutex);
static unsigned int luo_device_count;
static unsigned int luo_device_sleeps; /* under way; they may nest */
static bool luo_device_waiting;
static struct liveupdate_devices_ser *luo_device_ser;

/* Why @image must not be jumped into while devices are kept, 0 if it may be */
static int luo_device_image_error(const struct kimage *image)
{
	if (image->preserve_context)
		return luo_device_refuse(-EOPNOTSUPP,
					 "preserve_context with kept devices");
	if (!image->file_mode)
		return luo_device_refuse(-EOPNOTSUPP,
					 "not loaded by kexec_file_load()");
	if (!image->kho.fdt || !image->kho.scratch)
		return luo_device_refuse(-EOPNOTSUPP,
					 "the image does not get the KHO tree");
	if (!image->can_land && !liveupdate_break("landing"))
		return luo_device_refuse(-ENOEXEC,
					 "the image lacks landing word %#x",
					 LIVEUPDATE_LANDING_WORD);
	if (image->cuts_memory && !liveupdate_break("memory"))
		return luo_device_refuse(-EINVAL,
					 "image has another mem= or memmap=");

	return 0;
}

/**
 * luo_device_check_image - May @image be loaded, or jumped into, now?
 * @image: the image; a crash image always may
 *
 * Context: with the kexec lock held.
 * Return: 0, -ENOEXEC if a device is kept and the image lacks the capability
 * word, -EINVAL if a device is kept and the image's command line may take memory
 * away, -EOPNOTSUPP if a device is kept, or was and is not finished, and this way
 * of loading or jumping is not possible with devices at all. The reason is in the
 * log.
 */
int luo_device_check_image(const struct kimage *image)
{
	if (image->type == KEXEC_TYPE_CRASH)
		return 0;
	if (READ_ONCE(luo_device_count))
		return luo_device_image_error(image);
	/* Nobody is asked about such a jump who could stop the device first */
	if (image->preserve_context && READ_ONCE(luo_device_waiting))
		return luo_device_refuse(-EOPNOTSUPP,
					 "preserve_context with kept devices");
	return 0;
}

static int luo_device_check_loaded(void)
{
	if (!kexec_image)
		return 0;

	return luo_device_image_error(kexec_image);
}

/**
 * luo_device_memory_lands - Will the next kernel have this memory?
 * @phys: physical address
 * @size: in bytes
 *
 * An architecture that does not hand a memory map of its own to the next kernel
 * has this one.
 *
 * Return: true if all of it is in the memory map that the next kernel gets.
 */
bool __weak luo_device_memory_lands(phys_addr_t phys, size_t size)
{
	return true;
}

#ifdef CONFIG_PCI_LIVEUPDATE
/**
 * luo_device_check_memory - May this memory be preserved?
 * @phys: physical address
 * @size: in bytes
 *
 * Asked by KHO about everything that it preserves. The map that is compared with
 * does not change any more after boot, so that it need not be asked again when
 * an image is loaded.
 *
 * Return: 0, -EOPNOTSUPP if the next kernel will not have the memory, -EINVAL if
 * the next kernel will use it before it knows what is preserved.
 */
int luo_device_check_memory(phys_addr_t phys, size_t size)
{
	phys_addr_t last = phys + size - 1;

	if (!luo_device_memory_lands(phys, size))
		return liveupdate_refuse("KHO", -EOPNOTSUPP,
					 "next kernel lacks memory %pa-%pa",
					 &phys, &last);
	if (kho_scratch_overlap(phys, size))
		return liveupdate_refuse("KHO", -EINVAL,
					 "memory %pa-%pa is KHO scratch", &phys,
					 &last);
	return 0;
}

/**
 * luo_device_check_page - May KHO note down in this page what is preserved?
 * @page: of get_zeroed_page(), may be 0
 *
 * Return: @page, or NULL if the next kernel could not read it, and it was freed.
 */
void *luo_device_check_page(unsigned long page)
{
	if (page && luo_device_check_memory(__pa(page), PAGE_SIZE)) {
		free_page(page);
		page = 0;
	}
	return (void *)page;
}

/**
 * liveupdate_device_check_offline - May this memory be taken offline?
 * @pfn: the first page
 * @nr_pages: how many
 *
 * What is preserved can be neither freed nor migrated, and most of it is pinned:
 * an attempt would not end. A preserve that comes later pins, or has allocated,
 * what it preserves, so that nothing is lost then either.
 *
 * Context: Process context, may sleep.
 * Return: 0, -EBUSY if anything in it is preserved for the next kernel.
 */
int liveupdate_device_check_offline(unsigned long pfn, unsigned long nr_pages)
{
	phys_addr_t phys = PFN_PHYS(pfn), size = PFN_PHYS(nr_pages);
	phys_addr_t last = phys + size - 1;

	if (!kho_range_preserved(phys, size) || liveupdate_break("offline"))
		return 0;
	return liveupdate_refuse("KHO", -EBUSY,
				 "memory %pa-%pa is preserved, stays online",
				 &phys, &last);
}
#endif

/* Put the mark in the root of the KHO tree */
static int luo_device_mark(void)
{
	struct liveupdate_devices_ser *ser;
	int err;

	ser = kho_alloc_preserve(sizeof(*ser));
	if (IS_ERR(ser))
		return PTR_ERR(ser);

	ser->formats = LIVEUPDATE_LANDING_WORD;
	err = kho_add_subtree(LIVEUPDATE_DEVICES_KHO_ENTRY, ser, sizeof(*ser));
	if (err) {
		kho_unpreserve_free(ser);
		return err;
	}
	luo_device_ser = ser;

	return 0;
}

static void luo_device_unmark(void)
{
	kho_remove_subtree(luo_device_ser);
	kho_unpreserve_free(luo_device_ser);
	luo_device_ser = NULL;
}

static int luo_device_get_locked(void)
{
	int err;

	lockdep_assert_held(&luo_device_mutex);
	if (luo_device_sleeps)
		return luo_device_refuse(-EBUSY,
					 "the machine is about to sleep");

	if (!luo_device_count) {
		err = luo_device_mark();
		if (err)
			return err;
	}

	if (kexec_trylock()) {
		err = luo_device_check_loaded();
		if (!err)
			WRITE_ONCE(luo_device_count, luo_device_count + 1);
		kexec_unlock();
	} else {
		err = luo_device_refuse(-EBUSY, "an image is being loaded");
	}
	if (!luo_device_count)
		luo_device_unmark();

	return err;
}

/**
 * liveupdate_device_get - One more device will be kept over the next kexec
 *
 * From success until liveupdate_device_put() the machine can only jump into an
 * image that can land.
 *
 * Context: Process context, may sleep.
 * Return: 0, -EOPNOTSUPP if live update is off or the loaded image cannot land
 * for another reason than the missing word, -ENOEXEC if the loaded image lacks
 * the capability word, -EINVAL if its command line may take memory away, -EBUSY
 * if an image is being loaded or the machine is about to sleep, or the error of
 * putting the mark in the KHO tree.
 */
int liveupdate_device_get(void)
{
	int err;

	if (!liveupdate_enabled())
		return -EOPNOTSUPP;

	mutex_lock(&luo_device_mutex);
	err = luo_device_get_locked();
	mutex_unlock(&luo_device_mutex);

	return err;
}

/**
 * liveupdate_device_put - One device less will be kept
 *
 * Undoes liveupdate_device_get(), cannot fail.
 *
 * Context: Process context, may sleep.
 */
void liveupdate_device_put(void)
{
	mutex_lock(&luo_device_mutex);
	if (!WARN_ON_ONCE(!luo_device_count)) {
		WRITE_ONCE(luo_device_count, luo_device_count - 1);
		if (!luo_device_count)
			luo_device_unmark();
	}
	mutex_unlock(&luo_device_mutex);
}

/**
 * liveupdate_device_set_waiting - Do devices of the last kernel wait for an owner?
 * @waiting: whether one does DMA that nobody has finished
 *
 * Until then the machine does not sleep, and preserve_context is refused.
 *
 * Context: Any; the caller serializes.
 */
void liveupdate_device_set_waiting(bool waiting)
{
	WRITE_ONCE(luo_device_waiting, waiting);
}

/* Devices of the last kernel that wait for their owner cannot sleep either. */
static int luo_device_may_sleep(void)
{
	bool waiting = READ_ONCE(luo_device_waiting);

	guard(mutex)(&luo_device_mutex);
	if ((luo_device_count || waiting) && !liveupdate_break("sleep"))
		return liveupdate_refuse("power", -EBUSY,
					 "sleep with %u devices preserved%s",
					 luo_device_count,
					 waiting ? ", and some to finish" : "");
	luo_device_sleeps++;
	return 0;
}

static int luo_device_pm(struct notifier_block *nb, unsigned long event,
			 void *unused)
{
	switch (event) {
	case PM_SUSPEND_PREPARE:
	case PM_HIBERNATION_PREPARE:
	case PM_RESTORE_PREPARE:
		return notifier_from_errno(luo_device_may_sleep());
	case PM_POST_SUSPEND:
	case PM_POST_HIBERNATION:
	case PM_POST_RESTORE:
		mutex_lock(&luo_device_mutex);
		luo_device_sleeps--;
		mutex_unlock(&luo_device_mutex);
		return NOTIFY_OK;
	default:
		return NOTIFY_DONE;
	}
}

static struct notifier_block luo_device_pm_nb = {
	.notifier_call = luo_device_pm,
};

static int __init luo_device_init(void)
{
	return register_pm_notifier(&luo_device_pm_nb);
}
late_initcall(luo_device_init);

/**
 * luo_device_early_startup - Was a device kept for this kernel?
 *
 * When one was, live update is on whatever the command line says: without it
 * PCI and IOMMU would take the device for a fresh one. If KHO was switched off,
 * so that nobody can be told, the devices are stopped right here.
 *
 * Return: true if live update has to be on.
 */
bool __init luo_device_early_startup(void)
{
	phys_addr_t phys;

	if (kho_retrieve_subtree(LIVEUPDATE_DEVICES_KHO_ENTRY, &phys, NULL))
		return false;
	if (kho_is_enabled()) {
		if (!liveupdate_enabled())
			pr_warn("devices were kept: assuming liveupdate=on\n");
		return true;
	}

	pr_err("devices were kept but KHO is off: stopping all devices\n");
	if (!liveupdate_break("stop_all"))
		luo_device_stop_all();

	return false;
}

/**
 * luo_device_stop_all - Clear bus mastering everywhere, without drivers
 *
 * An architecture without a raw way to its PCI config space has this one.
 */
void __init __weak luo_device_stop_all(void)
{
	pr_emerg("no way to stop devices on this architecture\n");
}

/**
 * liveupdate_device_stopped - Was this function running and had to be stopped?
 * @segment: PCI segment
 * @bdf: bus, device and function
 *
 * Return: true if luo_device_stop_all() stopped it, which it cannot here.
 */
bool __weak liveupdate_device_stopped(u32 segment, u16 bdf)
{
	return false;
}

/* How a panic ends, and where it can be read, is for the operator to say */
static int __init luo_device_panic_param(char *param, char *val,
					 const char *unused, void *arg)
{
	static char early[64] __initdata;

	if (!val)
		return 0;
	if (!strcmp(param, "panic") && kstrtoint(val, 0, &panic_timeout))
		pr_warn("panic=%s is no number\n", val);
	if (!strcmp(param, "earlyprintk") || !strcmp(param, "earlycon")) {
		snprintf(early, sizeof(early), "%s=%s", param, val);
		parse_early_options(early);
	}
	return 0;
}

static void __init luo_device_panic_params(void)
{
	static char line[COMMAND_LINE_SIZE] __initdata;

	strscpy(line, boot_command_line);
	parse_args("live update", line, NULL, 0, 0, 0, NULL,
		   luo_device_panic_param);
}

/**
 * luo_device_lost - The preserved memory cannot be found
 * @fdt: root of the incoming KHO tree, may be damaged; NULL if it is out of reach
 *
 * Does not return when @fdt says that devices are kept. When it cannot be read
 * all devices are stopped: they may have been kept.
 */
void __init luo_device_lost(const void *fdt)
{
	int node = -FDT_ERR_BADSTATE;

	if (fdt)
		node = fdt_subnode_offset(fdt, 0, LIVEUPDATE_DEVICES_KHO_ENTRY);
	if (node == -FDT_ERR_NOTFOUND)
		return;

	luo_device_stop_all();
	if (node < 0) {
		pr_err("nobody can tell whether devices were kept: all are stopped\n");
		return;
	}
	luo_device_panic_params();
	panic("KHO cannot be revived and devices were writing to preserved memory");
}
