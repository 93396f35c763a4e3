// SPDX-License-Identifier: GPL-2.0-only
/*
 * The x86 part of the landing check of kernel/liveupdate/luo_device.c: find the
 * capability word in a boot image, know the memory of the next kernel, and stop
 * every device without a driver.
 *
 * The next kernel gets the memory map that this one got. What mem= and memmap=
 * did to this one's is done to the next one's by its own command line: where the
 * two say the same, or the next one says nothing, everything this kernel has is
 * there. Anything else may take kept memory away, which the next kernel would
 * notice when it touches it, without a console. So it must not be jumped into.
 *
 * Nothing is kept here and no lock is needed. The image comes from userspace and
 * every offset in it is checked against its length before it is used; an image
 * in which the word cannot be found does not have it.
 */

#include <linux/bitmap.h>
#include <linux/ctype.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/kexec.h>
#include <linux/kho/abi/landing.h>
#include <linux/liveupdate_device.h>
#include <linux/pci.h>
#include <linux/string.h>
#include <linux/unaligned.h>

#include <asm/bootparam.h>
#include <asm/e820/api.h>
#include <asm/kexec-bzimage64.h>
#include <asm/pci-direct.h>

#include "../../../kernel/liveupdate/luo_device.h"

/* The protocol version that introduced kernel_info_offset */
#define PROTOCOL_KERNEL_INFO 0x020f
/* Magic, size, size with the variable part */
#define KERNEL_INFO_MIN 12

/* Look for the word in the variable part of kernel_info */
static u32 landing_find_word(const char *data, u32 len)
{
	while (len >= LIVEUPDATE_LANDING_SIZE) {
		u32 size = get_unaligned_le32(data + 4);

		if (size < 8 || size > len)
			break;
		if (size >= LIVEUPDATE_LANDING_SIZE &&
		    !memcmp(data, LIVEUPDATE_LANDING_MAGIC, 4))
			return get_unaligned_le32(data + 8);
		data += size;
		len -= size;
	}

	return 0;
}

/*
 * The next parameter at *@pos that changes the memory map, or NULL. Parameters
 * are split as next_arg() does it: at spaces outside of quotes, up to "--".
 */
static const char *landing_next_memory(const char **pos, size_t *len)
{
	const char *word, *name;
	bool quoted;

	for (;;) {
		word = skip_spaces(*pos);
		quoted = false;
		for (*pos = word; **pos && (quoted || !isspace(**pos)); ++*pos)
			quoted ^= **pos == '"';
		*len = *pos - word;
		if (!*len || (*len == 2 && !memcmp(word, "--", 2)))
			return NULL;

		name = word + (*word == '"');
		if (!strncmp(name, "mem=", 4) || !strncmp(name, "memmap=", 7))
			return word;
	}
}

/* May the next kernel lack memory that this one has? */
static bool landing_cuts_memory(const char *next, const char *running)
{
	const char *word, *mine;
	size_t len, my_len;

	word = landing_next_memory(&next, &len);
	if (!word)
		return false;
	do {
		mine = landing_next_memory(&running, &my_len);
		if (!mine || my_len != len || memcmp(word, mine, len))
			return true;
		word = landing_next_memory(&next, &len);
	} while (word);

	return landing_next_memory(&running, &my_len);
}

/**
 * kexec_bzimage_can_land - Note if a bzImage reads what devices hand over
 * @image: image->can_land and image->cuts_memory are set
 * @kernel: the file
 * @len: its length, at least that of the setup header
 * @setup: length of the real mode part, at most @len
 */
void kexec_bzimage_can_land(struct kimage *image, const char *kernel,
			    unsigned long len, unsigned long setup)
{
	const struct setup_header *header;
	u32 offset, fixed, total, word;
	const char *info;

	if (image->cmdline_buf)
		image->cuts_memory = landing_cuts_memory(image->cmdline_buf,
							 saved_command_line);

	header = (void *)(kernel + offsetof(struct boot_params, hdr));
	if (header->version < PROTOCOL_KERNEL_INFO || setup > len)
		return;

	offset = header->kernel_info_offset;
	len -= setup;
	if (!offset || len < KERNEL_INFO_MIN || offset > len - KERNEL_INFO_MIN)
		return;

	info = kernel + setup + offset;
	fixed = get_unaligned_le32(info + 4);
	total = get_unaligned_le32(info + 8);
	if (memcmp(info, "LToP", 4) || total > len - offset ||
	    fixed < KERNEL_INFO_MIN || fixed > total)
		return;

	word = landing_find_word(info + fixed, total - fixed);
	image->can_land = LIVEUPDATE_LANDING_WORD &&
			  !(LIVEUPDATE_LANDING_WORD & ~word);
}

/**
 * luo_device_memory_lands - Will the next kernel have this memory?
 * @phys: physical address
 * @size: in bytes
 *
 * The map that kexec_file_load() gives to the next kernel is the one this kernel
 * got, without what was hotplugged since. Its entries are sorted and merged.
 *
 * Return: true if all of it is RAM there.
 */
bool luo_device_memory_lands(phys_addr_t phys, size_t size)
{
	const struct e820_entry *entry = e820_table_kexec->entries;
	u32 i;

	for (i = 0; i < e820_table_kexec->nr_entries; i++, entry++)
		if (entry->type == E820_TYPE_RAM && phys >= entry->addr &&
		    phys + size <= entry->addr + entry->size)
			return true;

	return false;
}

#ifdef CONFIG_PCI
/* Functions of segment 0 that were stopped, by bus, device and function */
static DECLARE_BITMAP(landing_stopped, BIT(16)) __initdata;

/**
 * liveupdate_device_stopped - Was this function running and had to be stopped?
 * @segment: PCI segment
 * @bdf: bus, device and function
 *
 * Return: true for a function that luo_device_stop_all() stopped, until the
 * memory of the boot is freed: what is found later was not there.
 */
bool __ref liveupdate_device_stopped(u32 segment, u16 bdf)
{
	return system_state < SYSTEM_FREEING_INITMEM && !segment &&
	       test_bit(bdf, landing_stopped);
}

static void __init landing_stop_slot(u8 bus, u8 slot)
{
	for (u8 func = 0; func < 8; func++) {
		u16 cmd;

		if (read_pci_config_16(bus, slot, func, PCI_VENDOR_ID) ==
		    0xffff) {
			if (!func)
				return;
			continue;
		}

		cmd = read_pci_config_16(bus, slot, func, PCI_COMMAND);
		if (cmd & PCI_COMMAND_MASTER) {
			write_pci_config_16(bus, slot, func, PCI_COMMAND,
					    cmd & ~PCI_COMMAND_MASTER);
			__set_bit(PCI_DEVID(bus, PCI_DEVFN(slot, func)),
				  landing_stopped);
		}
		if (!func &&
		    !(read_pci_config_byte(bus, slot, func, PCI_HEADER_TYPE) &
		      PCI_HEADER_TYPE_MFD))
			return;
	}
}

/**
 * luo_device_stop_all - Clear bus mastering of every function of segment 0
 *
 * Other segments cannot be reached without the tables of ACPI, which have not
 * been read when this is needed. The highest bus comes first, so that a device
 * is stopped before the bridges above it. What pci= says about such accesses is
 * not for this case: where they lead nowhere nothing is found.
 */
void __init luo_device_stop_all(void)
{
	for (int bus = 255; bus >= 0; bus--)
		for (u8 slot = 0; slot < 32; slot++)
			landing_stop_slot(bus, slot);

	/*
	 * What was on its way has arrived by then: 100 ms, when an access to
	 * config space takes a microsecond. No clock has been calibrated yet.
	 */
	for (u32 i = 0; i < 100 * 1000; i++)
		read_pci_config_16(0, 0, 0, PCI_VENDOR_ID);
}
#endif
