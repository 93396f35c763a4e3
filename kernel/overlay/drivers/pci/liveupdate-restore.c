// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI devices that keep doing DMA while the kernel is replaced: the new kernel's
 * side. liveupdate.c is the old one's and says what is handed over, and how the
 * locks nest.
 *
 * What it keeps
 *
 * A &struct pci_lu_record for each record of the last kernel that can be used: a
 * copy, and what this kernel has done to the function because of it.
 *
 * New kernel
 *
 * The hardware is the source of truth. pci_setup_device() looks the function up
 * by segment and bus number and, when vendor, device, class, subsystem and serial
 * number are the recorded ones, sets pci_dev->lu_incoming. The hooks that test it
 * read where the kernel would otherwise program: bus numbers (those of all
 * bridges, while anything is incoming), bridge windows, BARs, payload size, tags,
 * ordering, LTR, ASPM, ARI, ACS, PME and MSI. The size of a BAR cannot be read: it
 * comes from the record, so that the function decodes its BARs all the time and
 * other devices reach it. The device may be bound only by a
 * driver that names the recorded file handler, and is offered to the recorded
 * driver through driver_override, which is cleared in the end unless somebody
 * changed it. Runtime PM is held. All this ends with pci_liveupdate_finish(),
 * which is called after the owner took the device back or after
 * pci_liveupdate_stop() stopped it.
 *
 * Lost devices
 *
 * A function that is not what the record says is *lost*: its bus mastering is
 * switched off at once, and it is an ordinary device from then on. So is every
 * endpoint below a bridge that is not what its record says. When the kernel was
 * handed something but cannot tell which devices it is about, because all of it
 * or a single record is damaged, every endpoint without a record that is found
 * with Bus Master Enable set is treated that way: nobody else leaves it set for
 * the next kernel. So is what was found running, and stopped, before there was a
 * PCI bus, because KHO is off. A driver that switches bus mastering on before it
 * resets the device would set it going where it stood, so it is reset before any
 * driver is bound to it.
 *
 * Locks
 *
 * pci_lu_mutex protects the records, the state, which is also read without it, and
 * every write of pci_dev->lu_incoming. That is a byte of its own and is read
 * without it: it is set before the device is visible to anybody else and only ever
 * cleared. ->lu_lost is set before a driver can be bound, and cleared with the
 * device lock by the first that is.
 *
 * Ownership
 *
 * After the kexec the chunks belong to the FLB again. They are copied when the
 * first device is scanned and freed by the finish callback, when the last file is
 * finished; a record that still exists then, because nobody finished it, is
 * stopped and finished there.
 *
 * Cannot fail: stop, finish.
 */

#define pr_fmt(fmt) "PCI: liveupdate: " fmt

#include <linux/cleanup.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/landing.h>
#include <linux/kho/abi/pci.h>
#include <linux/kho_query.h>
#include <linux/list.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_break.h>
#include <linux/liveupdate_device.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/pci_liveupdate.h>
#include <linux/pm_runtime.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "liveupdate-priv.h"
#include "liveupdate-ser.h"
#include "pci.h"

/* A record of the last kernel */
struct pci_lu_record {
	struct list_head list;
	struct pci_dev_ser ser;
	/* resources that became IORESOURCE_PCI_FIXED because of the record */
	u32 fixed;
	/* the driver_override of the device is ours */
	bool offered;
	bool seen;
	bool stopped;
};

static enum pci_lu_state pci_lu_state;
/* A record is damaged: any device that has none may be the one it is about */
static bool pci_lu_damaged;
static LIST_HEAD(pci_lu_records);
static u64 pci_lu_incoming_pa;

/* ---- The records ---- */

/*
 * When it cannot be told which devices were kept nobody is waited for: all that
 * may be one is stopped when it is found.
 */
static void pci_lu_set_state(enum pci_lu_state state)
{
	lockdep_assert_held(&pci_lu_mutex);

	WRITE_ONCE(pci_lu_state, state);
	liveupdate_device_set_waiting(state == PCI_LU_SET);
}

/* The record of a function in the new kernel, or NULL */
static struct pci_lu_record *pci_lu_find_at(u32 domain, u16 bdf)
{
	struct pci_lu_record *rec;

	lockdep_assert_held(&pci_lu_mutex);

	list_for_each_entry(rec, &pci_lu_records, list) {
		if (rec->ser.domain == domain && rec->ser.bdf == bdf)
			return rec;
	}
	return NULL;
}

/* The function itself, with a reference, or NULL */
static struct pci_dev *pci_lu_get_at(u32 domain, u16 bdf)
{
	return pci_get_domain_bus_and_slot(domain, PCI_BUS_NUM(bdf),
					   bdf & 0xff);
}

static struct pci_lu_record *pci_lu_find_incoming(const struct pci_dev *dev)
{
	return pci_lu_find_at(pci_domain_nr(dev->bus), pci_lu_bdf(dev));
}

static int pci_lu_copy_chunk(struct pci_chunk_ser *chunk)
{
	struct pci_lu_record *rec;
	struct pci_dev_ser *ser;
	unsigned int i;
	int ret;

	for (i = 0; i < PCI_SER_SLOTS_PER_CHUNK; i++) {
		ser = pci_lu_slot(chunk, i);
		if (!ser->flags)
			continue;
		ret = pci_ser_check(ser);
		if (!ret && pci_lu_find_at(ser->domain, ser->bdf))
			ret = -EEXIST;
		if (ret) {
			pr_err("record %u of chunk %u cannot be used: %pe\n", i,
			       chunk->index, ERR_PTR(ret));
			pci_lu_damaged = true;
			continue;
		}
		rec = liveupdate_alloc("pci", kzalloc_obj(*rec));
		if (!rec)
			return -ENOMEM;
		rec->ser = *ser;
		list_add_tail(&rec->list, &pci_lu_records);
	}
	return 0;
}

static struct pci_chunk_ser *pci_lu_check_chunk(u64 pa, u32 index)
{
	struct pci_chunk_ser *chunk;
	int ret;

	if (!pa || index >= PCI_SER_MAX_CHUNKS || !kho_folio_preserved(pa, 0))
		return ERR_PTR(-EINVAL);
	chunk = phys_to_virt(pa);
	ret = pci_ser_check_chunk(chunk, index);
	return ret ? ERR_PTR(ret) : chunk;
}

static void pci_lu_free_records(void)
{
	struct pci_lu_record *rec, *next;

	lockdep_assert_held(&pci_lu_mutex);

	list_for_each_entry_safe(rec, next, &pci_lu_records, list) {
		list_del(&rec->list);
		kfree(rec);
	}
}

/**
 * pci_lu_flb_retrieve - Read what the previous kernel handed over
 * @args: data is the physical address of the first chunk, obj becomes the list of
 *	records
 *
 * A record that cannot be used is left out, and any device that has none may then
 * be the one that it is about.
 *
 * Context: Process context, takes pci_lu_mutex.
 * Return: 0; -ENOMEM, -EINVAL or -EOPNOTSUPP when nothing of it can be used.
 */
int pci_lu_flb_retrieve(struct liveupdate_flb_op_args *args)
{
	struct pci_chunk_ser *chunk;
	u64 pa = args->data;
	u32 index = 0;
	int ret = 0;

	guard(mutex)(&pci_lu_mutex);
	do {
		chunk = pci_lu_check_chunk(pa, index++);
		ret = IS_ERR(chunk) ? PTR_ERR(chunk) : pci_lu_copy_chunk(chunk);
	} while (!ret && (pa = chunk->next_pa));

	if (!ret && pci_lu_damaged && list_empty(&pci_lu_records))
		ret = -EINVAL;
	if (ret) {
		pci_lu_free_records();
		return ret;
	}
	pci_lu_incoming_pa = args->data;
	pci_lu_set_state(list_empty(&pci_lu_records) ? PCI_LU_NONE :
						       PCI_LU_SET);
	args->obj = &pci_lu_records;
	return 0;
}

/* Did the last kernel keep any device? */
static bool pci_lu_handed_over(void)
{
	phys_addr_t pa;

	return is_kho_boot() &&
	       kho_retrieve_subtree(LIVEUPDATE_DEVICES_KHO_ENTRY, &pa, NULL) !=
		       -ENOENT;
}

static void pci_lu_load(void)
{
	enum pci_lu_state state = PCI_LU_NONE;
	void *obj;
	int ret;

	ret = liveupdate_flb_get_incoming(&pci_lu_flb, &obj);
	if (!ret) {
		liveupdate_flb_put_incoming(&pci_lu_flb);
		return;
	}
	if (ret != -ENOENT && ret != -ENODATA && pci_lu_handed_over()) {
		pr_err("cannot tell which devices were kept: %pe\n",
		       ERR_PTR(ret));
		state = PCI_LU_UNKNOWN;
	}

	guard(mutex)(&pci_lu_mutex);
	if (pci_lu_state == PCI_LU_UNTRIED)
		pci_lu_set_state(state);
}

/**
 * pci_lu_get_state - What is known about the devices of the last kernel
 *
 * Context: Process context after early initcalls, may sleep: the first call reads
 * the FLB.
 * Return: The state, which is not %PCI_LU_UNTRIED any more.
 */
enum pci_lu_state pci_lu_get_state(void)
{
	if (READ_ONCE(pci_lu_state) == PCI_LU_UNTRIED)
		pci_lu_load();
	return READ_ONCE(pci_lu_state);
}

/**
 * pci_liveupdate_any_incoming - Is any device of the last kernel still kept?
 *
 * Context: Process context after early initcalls, may sleep.
 * Return: true when one is, or when that cannot be told.
 */
bool pci_liveupdate_any_incoming(void)
{
	enum pci_lu_state state = pci_lu_get_state();

	return state == PCI_LU_SET || state == PCI_LU_UNKNOWN;
}
EXPORT_SYMBOL_GPL(pci_liveupdate_any_incoming);

/* ---- Read, do not program ---- */

/* Before the device has a name, so messages are made from its numbers */
static void pci_lu_clear_master(struct pci_dev *dev, const char *why)
{
	u16 cmd;

	pr_err("%04x:%02x:%02x.%d %s\n", pci_domain_nr(dev->bus),
	       dev->bus->number, PCI_SLOT(dev->devfn), PCI_FUNC(dev->devfn),
	       why);
	if (dev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return;
	pci_read_config_word(dev, PCI_COMMAND, &cmd);
	dev->lu_lost = cmd & PCI_COMMAND_MASTER;
	if (cmd & PCI_COMMAND_MASTER)
		pci_write_config_word(dev, PCI_COMMAND,
				      cmd & ~PCI_COMMAND_MASTER);
	dev->is_busmaster = 0;
}

/**
 * pci_liveupdate_lose - Stop a device that its IOMMU has nothing usable about
 * @dev: An endpoint, no driver is bound to it
 *
 * Clears bus mastering and takes no lock. One that is kept is reset when it is
 * finished; any other one that was running, before a driver is bound to it.
 *
 * Context: Any in which config space can be accessed.
 */
void pci_liveupdate_lose(struct pci_dev *dev)
{
	u16 cmd;

	pci_read_config_word(dev, PCI_COMMAND, &cmd);
	if (cmd & PCI_COMMAND_MASTER && !pci_liveupdate_incoming(dev))
		dev->lu_lost = true;
	pci_clear_master(dev);
}

static bool pci_lu_is(struct pci_dev *dev, const struct pci_dev_ser *ser)
{
	u16 vendor = 0, device = 0;
	u32 class_rev;

	pci_read_config_dword(dev, PCI_CLASS_REVISION, &class_rev);
	if (dev->hdr_type == PCI_HEADER_TYPE_NORMAL) {
		pci_read_config_word(dev, PCI_SUBSYSTEM_VENDOR_ID, &vendor);
		pci_read_config_word(dev, PCI_SUBSYSTEM_ID, &device);
	}
	return dev->vendor == ser->vendor && dev->device == ser->device &&
	       class_rev == ser->class_rev && dev->hdr_type == ser->hdr_type &&
	       vendor == ser->subsystem_vendor &&
	       device == ser->subsystem_device;
}

static bool pci_lu_bars_are(struct pci_dev *dev, const struct pci_dev_ser *ser)
{
	bool bridge = dev->hdr_type == PCI_HEADER_TYPE_BRIDGE;
	int rom = bridge ? PCI_ROM_ADDRESS1 : PCI_ROM_ADDRESS;
	unsigned int i;
	u32 value;

	for (i = 0; i < pci_ser_bars(ser); i++) {
		pci_read_config_dword(dev, PCI_BASE_ADDRESS_0 + 4 * i, &value);
		if (value != ser->bar[i])
			return false;
	}
	if (ser->optional & PCI_DEV_SER_BAR_MASKS) {
		pci_read_config_dword(dev, rom, &value);
		if (!pci_ser_rom_fits(ser, value))
			return false;
	}
	if (bridge) {
		pci_read_config_dword(dev, PCI_PRIMARY_BUS, &value);
		return !((value ^ ser->buses) & ~PCI_SEC_LATENCY_TIMER_MASK);
	}
	return true;
}

/**
 * pci_liveupdate_setup_device - Is this function on the path of a kept device?
 * @dev: A function of which only ids, header type and bus are known
 *
 * The first thing pci_setup_device() does once it can read the function. A
 * function that is not what its record says is stopped here.
 *
 * Context: Process context, may sleep.
 */
void pci_liveupdate_setup_device(struct pci_dev *dev)
{
	enum pci_lu_state state = pci_lu_get_state();
	struct pci_dev *bridge = dev->bus->self;
	struct pci_lu_record *rec;
	u16 cmd;

	if (dev->hdr_type == PCI_HEADER_TYPE_NORMAL &&
	    liveupdate_device_stopped(pci_domain_nr(dev->bus), pci_lu_bdf(dev)))
		dev->lu_lost = true;
	if (state == PCI_LU_NONE || dev->is_virtfn)
		return;
	pci_read_config_word(dev, PCI_COMMAND, &cmd);

	guard(mutex)(&pci_lu_mutex);
	rec = pci_lu_find_incoming(dev);
	if (!rec && (state == PCI_LU_UNKNOWN || pci_lu_damaged) &&
	    cmd & PCI_COMMAND_MASTER && dev->hdr_type == PCI_HEADER_TYPE_NORMAL)
		pci_lu_clear_master(dev, "may be a kept device, stopped");
	if (!rec || dev->lu_incoming)
		return;
	if (rec->seen)
		pci_lu_clear_master(dev, "was kept and came back, lost");
	else if (!pci_lu_is(dev, &rec->ser) || !pci_lu_bars_are(dev, &rec->ser))
		pci_lu_clear_master(dev, "is not the kept device, lost");
	else if (bridge && !pci_liveupdate_incoming(bridge))
		pci_lu_clear_master(dev, "was kept below another bridge, lost");
	else
		WRITE_ONCE(dev->lu_incoming, true);
	rec->seen = true;
	if (!dev->lu_incoming)
		return;

	dev->is_busmaster = !!(cmd & PCI_COMMAND_MASTER);
	dev->broken_intx_masking = !!(rec->ser.flags & PCI_DEV_SER_INTX_BROKEN);
}

/**
 * pci_liveupdate_size_bars - Take the sizes of BARs from the record
 * @dev: A function that is being added
 * @count: How many BARs it has
 * @masks: Of @count, what each reads back after all ones were written to it
 * @rom: The same of the expansion ROM BAR
 *
 * Nothing is written, so that the function goes on decoding its BARs where they
 * are, for the processors and for other devices.
 *
 * Context: Process context, may sleep.
 * Return: true when @masks and @rom are filled in; false when @dev is not kept, or
 * was by a kernel that does not say what sizes they have, and is sized as usual.
 */
bool pci_liveupdate_size_bars(struct pci_dev *dev, unsigned int count,
			      u32 *masks, u32 *rom)
{
	struct pci_lu_record *rec;

	if (!pci_liveupdate_incoming(dev) || liveupdate_break("size"))
		return false;

	guard(mutex)(&pci_lu_mutex);
	rec = pci_lu_find_incoming(dev);
	if (WARN_ON(!rec) || count > pci_ser_bars(&rec->ser))
		return false;
	if (!(rec->ser.optional & PCI_DEV_SER_BAR_MASKS)) {
		pci_info(dev, "has to be sized: no access for a moment\n");
		return false;
	}
	memcpy(masks, rec->ser.bar_mask, count * sizeof(*masks));
	*rom = rec->ser.rom_mask;
	return true;
}

/**
 * pci_liveupdate_configure_device - Inherit what pci_configure_device() programs
 * @dev: A function that is being added
 *
 * Return: true when @dev keeps its payload size, tags, ordering and LTR.
 */
bool pci_liveupdate_configure_device(struct pci_dev *dev)
{
	u16 ctl = 0;

	if (!pci_liveupdate_incoming(dev))
		return false;
#ifdef CONFIG_PCIEASPM
	pcie_capability_read_word(dev, PCI_EXP_DEVCTL2, &ctl);
	dev->ltr_path = !!(ctl & PCI_EXP_DEVCTL2_LTR_EN);
#endif
	return true;
}

/* The BARs stay where they are */
static void pci_lu_fix_bars(struct pci_dev *dev, struct pci_lu_record *rec)
{
	struct resource *res;
	unsigned int i;

	for (i = 0; i <= PCI_ROM_RESOURCE; i++) {
		res = pci_resource_n(dev, i);
		if (!res->flags || res->flags & IORESOURCE_PCI_FIXED)
			continue;
		res->flags |= IORESOURCE_PCI_FIXED;
		rec->fixed |= BIT(i);
	}
}

/**
 * pci_liveupdate_add_device - A function of a path gets its struct device
 * @dev: A function that is being added; its configuration was read
 *
 * Pins BARs and power state until pci_liveupdate_finish() and offers the device
 * to its driver.
 *
 * Context: Process context, may sleep.
 * Return: true when @dev is incoming.
 */
bool pci_liveupdate_add_device(struct pci_dev *dev)
{
	struct pci_lu_record *rec;

	if (!pci_liveupdate_incoming(dev))
		return false;

	guard(mutex)(&pci_lu_mutex);
	rec = pci_lu_find_incoming(dev);
	if (WARN_ON(!rec))
		return false;
	if (pci_get_dsn(dev) != rec->ser.serial) {
		WRITE_ONCE(dev->lu_incoming, false);
		pci_lu_clear_master(dev, "has another serial number, lost");
		return false;
	}
	pci_lu_fix_bars(dev, rec);
	pm_runtime_get_noresume(&dev->dev);
	if (rec->ser.driver[0] && !liveupdate_break("bind")) {
		rec->offered =
			!device_set_driver_override(&dev->dev, rec->ser.driver);
		if (!rec->offered)
			pci_warn(dev,
				 "set driver_override to %s to get it back\n",
				 rec->ser.driver);
	}
	pci_info(dev, "kept over the live update\n");
	return true;
}

/**
 * pci_liveupdate_skip_bridge - Must the buses below this bridge stay unknown?
 * @bus: The bus the bridge is on
 * @dev: The bridge
 *
 * No bus is renumbered while a device is kept: its requester id would change
 * under its DMA, or another device's would become the same.
 *
 * Context: Process context, may sleep.
 * Return: true when only a new number would make the bridge usable.
 */
bool pci_liveupdate_skip_bridge(struct pci_bus *bus, struct pci_dev *dev)
{
	u8 primary, secondary, subordinate;
	u32 buses;

	if (!pci_liveupdate_any_incoming())
		return false;

	pci_read_config_dword(dev, PCI_PRIMARY_BUS, &buses);
	primary = FIELD_GET(PCI_PRIMARY_BUS_MASK, buses);
	secondary = FIELD_GET(PCI_SECONDARY_BUS_MASK, buses);
	subordinate = FIELD_GET(PCI_SUBORDINATE_BUS_MASK, buses);
	/* Some bridges have a primary bus number that is wired to 0 */
	if ((primary == bus->number || !primary) && secondary > bus->number &&
	    secondary <= subordinate)
		return false;
	pci_warn(dev, "[bus %02x-%02x] not scanned: a device is kept\n",
		 secondary, subordinate);
	return true;
}

#ifdef CONFIG_PCI_ATS
/**
 * pci_liveupdate_inherit_ats - Leave ATS on where it was found on
 * @dev: A function whose IOMMU driver is about to prepare ATS, with it off
 * @ps: Smallest translation unit the driver wants, as a power of two
 *
 * Whether a device can be kept with ATS on is for its IOMMU driver to say.
 *
 * Return: 1 when there is nothing to inherit, 0 when it has been inherited, or
 * -EINVAL when the device uses another translation unit.
 */
int pci_liveupdate_inherit_ats(struct pci_dev *dev, int ps)
{
	u16 ctrl;

	if (!pci_liveupdate_incoming(dev) || liveupdate_break("ats"))
		return 1;
	pci_read_config_word(dev, dev->ats_cap + PCI_ATS_CTRL, &ctrl);
	if (!(ctrl & PCI_ATS_CTRL_ENABLE))
		return 1;
	if (PCI_ATS_CTRL_STU(ctrl) + PCI_ATS_MIN_STU != ps)
		return -EINVAL;
	dev->ats_stu = ps;
	dev->ats_enabled = 1;
	return 0;
}
#endif

/**
 * pci_liveupdate_inherit_ari - Inherit ARI forwarding of the bridge above
 * @dev: Function 0 below a bridge
 *
 * Return: true when the bridge is on the path of a kept device.
 */
bool pci_liveupdate_inherit_ari(struct pci_dev *dev)
{
	struct pci_dev *bridge = dev->bus->self;
	u16 ctl = 0;

	if (!bridge || !pci_liveupdate_incoming(bridge))
		return false;
	if (!dev->devfn) {
		pcie_capability_read_word(bridge, PCI_EXP_DEVCTL2, &ctl);
		bridge->ari_enabled = !!(ctl & PCI_EXP_DEVCTL2_ARI);
	}
	return true;
}

/**
 * pci_liveupdate_mask_msix - Keep MSI-X silent, but on
 * @dev: A function that is being added
 * @ctrl: Its MSI-X message control
 *
 * A masked function keeps its pending bits, and does not fall back to INTx. MSI
 * needs no such thing: the owner switched it off before the jump.
 *
 * Return: true when @dev is an incoming endpoint.
 */
bool pci_liveupdate_mask_msix(struct pci_dev *dev, u16 ctrl)
{
	if (!pci_liveupdate_incoming(dev) ||
	    dev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return false;
	if (ctrl & PCI_MSIX_FLAGS_ENABLE && !(ctrl & PCI_MSIX_FLAGS_MASKALL))
		pci_write_config_word(dev, dev->msix_cap + PCI_MSIX_FLAGS,
				      ctrl | PCI_MSIX_FLAGS_MASKALL);
	return true;
}

/* ---- Who may have it ---- */

static int pci_lu_reset_locked(struct pci_dev *dev)
{
	int ret;

	pci_save_state(dev);
	pci_write_config_word(dev, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
	ret = __pci_reset_function_locked(dev);
	pci_restore_state(dev);
	return ret;
}

/*
 * Reset with the configuration restored, but never wait for a lock. @locked: the
 * device lock is held.
 */
static int pci_lu_reset(struct pci_dev *dev, bool locked)
{
	struct pci_dev *bridge = pci_upstream_bridge(dev);
	int ret = -EAGAIN;

	if (!pci_reset_supported(dev))
		return -ENOTTY;
	if (bridge && !pci_dev_trylock(bridge))
		return ret;
	if (locked) {
		pci_cfg_access_lock(dev);
		ret = pci_lu_reset_locked(dev);
		pci_cfg_access_unlock(dev);
	} else if (pci_dev_trylock(dev)) {
		ret = pci_lu_reset_locked(dev);
		pci_dev_unlock(dev);
	}
	if (bridge)
		pci_dev_unlock(bridge);
	return ret;
}

/**
 * pci_liveupdate_may_bind - May this driver have this device?
 * @dev: A device
 * @drv: A driver that wants it
 *
 * A driver that does not know that the device is running would reset it. Bridges
 * are not restricted: pcieport does not.
 *
 * Context: Process context, may sleep.
 * Return: true when @dev is not kept, or by a file handler that @drv names.
 */
bool pci_liveupdate_may_bind(struct pci_dev *dev, const struct pci_driver *drv)
{
	struct pci_lu_record *rec;

	if (!pci_liveupdate_incoming(dev) ||
	    dev->hdr_type != PCI_HEADER_TYPE_NORMAL || liveupdate_break("bind"))
		return true;

	guard(mutex)(&pci_lu_mutex);
	rec = pci_lu_find_incoming(dev);
	return !rec || (drv->liveupdate_compat &&
			!strcmp(drv->liveupdate_compat, rec->ser.compat));
}

/**
 * pci_liveupdate_check_probe - May this driver probe this device now?
 * @dev: A device, with its lock held
 * @drv: The driver
 *
 * Resets what was found running and could not be kept. Where there is no reset
 * the driver has to cope, as after any other kexec.
 *
 * Context: Process context, may sleep.
 * Return: 0, -ENODEV when pci_liveupdate_may_bind() says no, -EPROBE_DEFER when
 * the bridge above is in use, for the reset of another function for example.
 */
int pci_liveupdate_check_probe(struct pci_dev *dev,
			       const struct pci_driver *drv)
{
	int ret;

	device_lock_assert(&dev->dev);
	if (!pci_liveupdate_may_bind(dev, drv))
		return -ENODEV;
	if (!dev->lu_lost || liveupdate_break("reset"))
		return 0;
	ret = pci_lu_reset(dev, true);
	if (ret == -EAGAIN)
		return -EPROBE_DEFER;
	pci_info(dev, "was running when it was found: %s\n",
		 ret ? "not reset" : "reset");
	dev->lu_lost = false;
	return 0;
}

/**
 * pci_liveupdate_get_incoming - Find a kept device
 * @domain: PCI segment
 * @bdf: Bus, device and function
 * @compat: Compatibility string of the file handler that kept it
 *
 * Context: Process context, may sleep.
 * Return: The device with a reference; -ENODEV when there is none, it is lost,
 * or it was finished; -EPERM when another file handler kept it.
 */
struct pci_dev *pci_liveupdate_get_incoming(u32 domain, u16 bdf,
					    const char *compat)
{
	struct pci_lu_record *rec;
	struct pci_dev *dev;
	int ret = -ENODEV;

	dev = pci_lu_get_at(domain, bdf);
	if (!dev)
		return ERR_PTR(-ENODEV);

	scoped_guard(mutex, &pci_lu_mutex) {
		rec = pci_lu_find_at(domain, bdf);
		if (!rec || !pci_liveupdate_incoming(dev))
			break;
		if (rec->ser.flags & PCI_DEV_SER_ENDPOINT &&
		    !strcmp(rec->ser.compat, compat))
			return dev;
		ret = -EPERM;
	}
	pci_dev_put(dev);
	return ERR_PTR(ret);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_get_incoming);

/* ---- Stop and finish ---- */

/**
 * pci_liveupdate_quiet_msi - Switch off MSI and MSI-X of the last kernel
 * @dev: A device of which no interrupt was set up by this kernel
 *
 * INTx is disabled, so the device stays silent.
 */
void pci_liveupdate_quiet_msi(struct pci_dev *dev)
{
	u16 ctrl;

	pci_intx(dev, 0);
	if (dev->msi_cap && !dev->msi_enabled) {
		pci_read_config_word(dev, dev->msi_cap + PCI_MSI_FLAGS, &ctrl);
		if (ctrl & PCI_MSI_FLAGS_ENABLE)
			pci_write_config_word(dev, dev->msi_cap + PCI_MSI_FLAGS,
					      ctrl & ~PCI_MSI_FLAGS_ENABLE);
	}
	if (dev->msix_cap && !dev->msix_enabled) {
		pci_read_config_word(dev, dev->msix_cap + PCI_MSIX_FLAGS,
				     &ctrl);
		if (ctrl & PCI_MSIX_FLAGS_ENABLE)
			pci_write_config_word(dev,
					      dev->msix_cap + PCI_MSIX_FLAGS,
					      ctrl & ~PCI_MSIX_FLAGS_ENABLE);
	}
}
EXPORT_SYMBOL_GPL(pci_liveupdate_quiet_msi);

/**
 * pci_liveupdate_disable - Undo pci_enable_device() of a device that goes on
 * @dev: A kept device
 *
 * What pci_disable_device() does besides counting would stop it.
 */
void pci_liveupdate_disable(struct pci_dev *dev)
{
	atomic_dec(&dev->enable_cnt);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_disable);

/**
 * pci_liveupdate_stop - Stop a device that kept running
 * @dev: The endpoint
 *
 * Bus mastering off, then everything that is under way has ended, then a reset
 * if the function has one. After this the memory of the device may be freed as
 * soon as the IOMMU has been told. May be called again.
 *
 * Context: Process context, may sleep. Cannot fail: a device that cannot be
 * reset, or only by waiting for a lock, has bus mastering off all the same.
 */
void pci_liveupdate_stop(struct pci_dev *dev)
{
	struct pci_lu_record *rec;
	bool stopped = false;
	int ret;

	if (liveupdate_break("stop"))
		return;

	pci_clear_master(dev);
	if (!pci_wait_for_pending_transaction(dev))
		pci_err(dev,
			"transactions still pending after bus mastering is off\n");

	scoped_guard(mutex, &pci_lu_mutex) {
		rec = pci_lu_find_incoming(dev);
		if (rec) {
			stopped = rec->stopped;
			rec->stopped = true;
		}
	}
	if (stopped)
		return;
	ret = pci_lu_reset(dev, false);
	if (ret)
		pci_info(dev, "stopped without a reset: %pe\n", ERR_PTR(ret));
	pci_liveupdate_quiet_msi(dev);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_stop);

/* Clear the driver_override, unless somebody has changed it */
static void pci_lu_withdraw(struct pci_dev *dev, struct pci_lu_record *rec)
{
	const struct device_driver drv = { .name = rec->ser.driver };

	if (rec->offered && device_match_driver_override(&dev->dev, &drv) > 0)
		device_set_driver_override(&dev->dev, "");
}

/* The function is an ordinary one from now on */
static void pci_lu_drop_one(struct pci_dev *dev)
{
	struct pci_lu_record *rec = pci_lu_find_incoming(dev);
	unsigned int i;

	lockdep_assert_held(&pci_lu_mutex);

	if (WARN_ON(!rec) || --rec->ser.refcount)
		return;
	for (i = 0; i <= PCI_ROM_RESOURCE; i++) {
		if (rec->fixed & BIT(i))
			pci_resource_n(dev, i)->flags &= ~IORESOURCE_PCI_FIXED;
	}
	pci_lu_withdraw(dev, rec);
	list_del(&rec->list);
	kfree(rec);
	WRITE_ONCE(dev->lu_incoming, false);
	pm_runtime_put(&dev->dev);
}

/**
 * pci_liveupdate_finish - A kept device is an ordinary one again
 * @dev: The endpoint
 *
 * Either its owner has taken it back, or pci_liveupdate_stop() was called. May
 * be called again.
 *
 * Context: Process context, may sleep. Cannot fail.
 */
void pci_liveupdate_finish(struct pci_dev *dev)
{
	struct pci_dev *pos, *up;

	guard(mutex)(&pci_lu_mutex);
	if (!pci_liveupdate_incoming(dev))
		return;
	for (pos = dev; pos; pos = up) {
		up = pci_upstream_bridge(pos);
		if (pci_liveupdate_incoming(pos))
			pci_lu_drop_one(pos);
	}
	if (list_empty(&pci_lu_records))
		pci_lu_set_state(PCI_LU_NONE);
}
EXPORT_SYMBOL_GPL(pci_liveupdate_finish);

/* A device that has a record and that nobody finished, with a reference */
static struct pci_dev *pci_lu_get_left(void)
{
	struct pci_lu_record *rec;
	struct pci_dev *dev;

	guard(mutex)(&pci_lu_mutex);
	list_for_each_entry(rec, &pci_lu_records, list) {
		if (!(rec->ser.flags & PCI_DEV_SER_ENDPOINT))
			continue;
		dev = pci_lu_get_at(rec->ser.domain, rec->ser.bdf);
		if (dev && pci_liveupdate_incoming(dev))
			return dev;
		pci_dev_put(dev);
	}
	return NULL;
}

/**
 * pci_lu_flb_finish - Stop what nobody finished, and free the records
 * @args: not used
 *
 * Context: Process context, after a retrieve that succeeded. Takes pci_lu_mutex,
 * may reset devices. Cannot fail.
 */
void pci_lu_flb_finish(struct liveupdate_flb_op_args *args)
{
	struct pci_chunk_ser *chunk;
	struct pci_lu_record *rec, *next;
	struct pci_dev *dev;
	u64 pa;

	while ((dev = pci_lu_get_left())) {
		pci_warn(dev, "nobody finished this device, stopping it\n");
		pci_liveupdate_stop(dev);
		pci_liveupdate_finish(dev);
		pci_dev_put(dev);
	}

	guard(mutex)(&pci_lu_mutex);
	/* Bridges of endpoints that were lost */
	list_for_each_entry_safe(rec, next, &pci_lu_records, list) {
		dev = pci_lu_get_at(rec->ser.domain, rec->ser.bdf);
		rec->ser.refcount = 1;
		if (dev && pci_liveupdate_incoming(dev))
			pci_lu_drop_one(dev);
		pci_dev_put(dev);
	}
	pci_lu_free_records();
	for (pa = pci_lu_incoming_pa; pa;) {
		chunk = phys_to_virt(pa);
		pa = chunk->next_pa;
		kho_restore_free(chunk);
	}
	pci_lu_incoming_pa = 0;
	pci_lu_damaged = false;
	pci_lu_set_state(PCI_LU_NONE);
}
