// SPDX-License-Identifier: GPL-2.0-only
/*
 * The readers of the records of iommufd, PCI and vfio-pci, outside the kernel
 * and under the sanitizers: what is good, what another version may bring, and
 * every field that can be wrong. Prints KTAP and exits 0 or 1.
 */
#include "ktap.h"
#include "records.h"

/* ---- iommufd ---- */

static struct iommufd_image image;
static u32 devices_read;

static int read_iommufd(void)
{
	struct iommufd_lu_incoming in = { .pa = KHO_BASE };
	int i, leaked = 0;

	iommufd_lu_read(&in);
	/* Once more, as after a lack of memory */
	iommufd_lu_read(&in);
	devices_read = in.nr_devices;
	iommufd_lu_read_free(&in);
	for (i = 0; i < KHO_MAX_PAGES; i++)
		leaked += kho_pages[i].preserved;
	return in.error ?: (leaked ? -EBUSY : 0);
}

/* The good records with one change give @want */
#define IOMMUFD(change, want)                                            \
	do {                                                             \
		iommufd_build(&image);                                   \
		change;                                                  \
		result(read_iommufd() == (want), "iommufd: " #change);   \
	} while (0)

/* A damaged device costs that device */
#define DEVICE(change)                                                   \
	do {                                                             \
		iommufd_build(&image);                                   \
		image.devices[1].change;                                 \
		result(!read_iommufd() && devices_read == 2,             \
		       "iommufd: device: " #change);                     \
	} while (0)

/* Two PASIDs of the first device, in the entries of the others */
#define PASIDS(change, left)                                             \
	do {                                                             \
		iommufd_build(&image);                                   \
		image.devices[1] = (struct iommufd_device_ser){          \
			.dev_id = 10, .hwpt_id = 3, .pasid = 70,         \
		};                                                       \
		image.devices[2] = image.devices[1];                     \
		image.devices[2].pasid = 5;                              \
		change;                                                  \
		result(!read_iommufd() && devices_read == (left),        \
		       "iommufd: PASIDs: " #change);                     \
	} while (0)

/* A damaged entry is missed later, when the device is claimed without it */
static void test_iommufd_pasids(void)
{
	PASIDS((void)0, 3);
	PASIDS(image.devices[2].pasid = 70, 0);
	PASIDS(image.devices[2].pasid = 0, 2);
	PASIDS(image.devices[0].dev_id = 11, 1);
	PASIDS(image.devices[0].pasid = 6, 0);
	PASIDS(image.devices[1].pasid = IOMMUFD_SER_PASID_LAST + 1, 2);
	PASIDS(image.devices[1].hwpt_id = 4, 2);
	PASIDS(image.devices[1].sw_msi = 1, 2);
	PASIDS(image.devices[1].sw_msi_start = 1, 2);
	PASIDS(image.devices[1].name[3] = 'x', 2);
}

static void test_iommufd_versions(void)
{
	const u32 newest = IOMMUFD_SER_VERSION;

	IOMMUFD((void)0, 0);
	result(devices_read == 3, "iommufd: all devices are read");
	IOMMUFD(image.root->version = IOMMUFD_SER_VERSION_MIN, 0);
	IOMMUFD(image.root->version = newest, 0);
	IOMMUFD(image.root->version = newest + 1, -EOPNOTSUPP);
	IOMMUFD(image.root->version = IOMMUFD_SER_VERSION_MIN - 1, -EOPNOTSUPP);
	IOMMUFD(image.root->required = 0x80000000, -EOPNOTSUPP);
	IOMMUFD(image.root->optional = 0x80000000, 0);
	IOMMUFD(image.root->size = sizeof(*image.root) + 8, 0);
	IOMMUFD(image.root->size = sizeof(*image.root) - 1, -EINVAL);
	IOMMUFD(image.root->size = 4097, -EINVAL);
	IOMMUFD(image.root->reserved[7] = 1, -EINVAL);
	IOMMUFD((image.root->optional = 1, image.root->reserved[7] = 1), 0);
	IOMMUFD(image.root->data_bytes += 16, -EINVAL);
	/* A table behind the last one */
	IOMMUFD((image.root->optional = 1, image.root->data_bytes += 16), 0);
	IOMMUFD((image.root->optional = 1, image.root->data_bytes -= 16),
		-EINVAL);
	IOMMUFD((image.root->optional = 1, image.t.pages[1].reserved = 1), 0);
	IOMMUFD(image.t.pages[1].flags |= 2, -EOPNOTSUPP);
	IOMMUFD(image.t.ioas[1].flags |= 2, -EOPNOTSUPP);
	IOMMUFD(image.t.areas[1].prot |= 4, -EOPNOTSUPP);
	IOMMUFD(image.t.hwpts[1].flags |= 0x80000000, -EOPNOTSUPP);
	DEVICE(flags = 0x80000000);
}

static void test_iommufd_root(void)
{
	IOMMUFD(image.root->magic ^= 1, -EINVAL);
	IOMMUFD(image.root->data_pa = 0, -EINVAL);
	IOMMUFD(image.root->data_pa += 8, -EINVAL);
	IOMMUFD(image.root->data_pa = ~0ULL, -EINVAL);
	IOMMUFD(image.root->data_pa = KHO_BASE, -EINVAL);
	IOMMUFD(image.root->devices_pa = 0, -EINVAL);
	IOMMUFD(image.root->devices_pa = image.root->data_pa + 8, -EINVAL);
	IOMMUFD(image.root->data_chunks = 0, -EINVAL);
	IOMMUFD(image.root->data_chunks = 2, -EINVAL);
	IOMMUFD(image.root->device_chunks = 0, -EINVAL);
	IOMMUFD(image.root->device_chunks = 0xffffffff, -EINVAL);
	IOMMUFD(image.root->account_mode = 3, -EINVAL);
	IOMMUFD(image.root->vfio_ioas_id = 4, -EINVAL);
	IOMMUFD(image.root->next_sw_msi = 65, -EINVAL);
	IOMMUFD(image.root->next_sw_msi = 1, -EINVAL);
	IOMMUFD(image.root->nr_memfds = 0xffffffff, -EINVAL);
	IOMMUFD(image.root->nr_memfds = 3, -EINVAL);
	IOMMUFD(image.root->nr_ioas = 0, -EINVAL);
	IOMMUFD(image.root->nr_hwpts = 0, -EINVAL);
	IOMMUFD(image.data->index = 1, -EINVAL);
	IOMMUFD(image.data->reserved = 1, -EINVAL);
	IOMMUFD(image.data->next_pa = image.root->data_pa, -EINVAL);
}

static void test_iommufd_tables(void)
{
	IOMMUFD(image.t.memfds[1].reserved = 1, -EINVAL);
	IOMMUFD(image.t.pages[1].memfd = 2, -EINVAL);
	IOMMUFD(image.t.pages[1].start = 0x800, -EINVAL);
	IOMMUFD(image.t.pages[1].length = 0, -EINVAL);
	IOMMUFD(image.t.pages[1].length = 0x3800, -EINVAL);
	IOMMUFD(image.t.pages[1].length = ~0xfffULL, -EINVAL);
	IOMMUFD(image.t.pages[1].start = 1ULL << 63, -EINVAL);
	IOMMUFD(image.t.pages[1].account_mode = 3, -EINVAL);
	IOMMUFD(image.t.pages[1].reserved = 1, -EINVAL);
	IOMMUFD(image.t.ioas[0].id = 0, -EINVAL);
	IOMMUFD(image.t.ioas[1].id = 2, -EINVAL);
	IOMMUFD(image.t.ioas[1].id = 0x80000000, -EINVAL);
	IOMMUFD(image.t.ioas[0].nr_allowed = 1, -EINVAL);
	IOMMUFD(image.t.ioas[0].nr_allowed = 3, -EINVAL);
	IOMMUFD(image.t.ioas[1].nr_areas = 0xffffffff, -EINVAL);
	IOMMUFD(image.t.allowed[1].start = 0xfffff, -EINVAL);
	IOMMUFD(image.t.allowed[0].last = 0xfff, -EINVAL);
	IOMMUFD(image.t.allowed[0].last = ~0ULL, -EINVAL);
	IOMMUFD(image.t.areas[1].pages = 2, -EINVAL);
	IOMMUFD(image.t.areas[1].length = 0, -EINVAL);
	IOMMUFD(image.t.areas[1].length = 0x3001, -EINVAL);
	IOMMUFD(image.t.areas[1].start_byte = ~0ULL, -EINVAL);
	IOMMUFD(image.t.areas[1].iova = 0x10ffff, -EINVAL);
	IOMMUFD(image.t.areas[0].iova = ~0xfffULL, -EINVAL);
	IOMMUFD(image.t.areas[1].prot = 0, -EINVAL);
	IOMMUFD(image.t.areas[1].prot = IOMMUFD_AREA_SER_WRITE, -EINVAL);
	IOMMUFD(image.t.hwpts[0].id = 0, -EINVAL);
	IOMMUFD(image.t.hwpts[1].id = 3, -EINVAL);
	IOMMUFD(image.t.hwpts[1].ioas_id = 4, -EINVAL);
	IOMMUFD(image.t.hwpts[0].sw_msi = 1, -EINVAL);
	IOMMUFD(image.t.sw_msi[0].id = 2, -EINVAL);
	IOMMUFD(image.t.sw_msi[0].start = 0x800, -EINVAL);
	IOMMUFD(image.t.sw_msi[0].offset = 1ULL << 40, -EINVAL);
	IOMMUFD(image.t.sw_msi[0].msi_pa = 1, -EINVAL);
	IOMMUFD(image.t.sw_msi[0].reserved = 1, -EINVAL);
	DEVICE(dev_id = 0);
	DEVICE(dev_id = 0x80000000);
	DEVICE(hwpt_id = 4);
	DEVICE(pasid = 1);
	DEVICE(pasid = IOMMUFD_SER_PASID_LAST + 1);
	DEVICE(name[0] = 0);
	iommufd_build(&image);
	memset(image.devices[1].name, 'x', sizeof(image.devices[1].name));
	result(!read_iommufd() && devices_read == 2,
	       "iommufd: device: a name without an end");
}

/* ---- PCI and vfio-pci ---- */

static u8 page[PCI_SER_CHUNK_SIZE];
static struct pci_chunk_ser *const chunk = (struct pci_chunk_ser *)page;
static struct pci_dev_ser *const slot = (struct pci_dev_ser *)(page + 256);
static struct vfio_pci_ser ser;

#define CHUNK(change, want)                                              \
	do {                                                             \
		pci_build(chunk);                                        \
		change;                                                  \
		result(pci_ser_check_chunk(chunk, 0) == (want),          \
		       "PCI: " #change);                                 \
	} while (0)
#define PCI(n, change, want)                                             \
	do {                                                             \
		pci_build(chunk);                                        \
		slot[n].change;                                          \
		result(pci_ser_check(&slot[n]) == (want), "PCI: " #change); \
	} while (0)
#define VFIO(change, want)                                               \
	do {                                                             \
		vfio_build(&ser);                                        \
		ser.change;                                              \
		result(vfio_pci_ser_check(&ser) == (want),               \
		       "vfio-pci: " #change);                            \
	} while (0)

static void test_pci(void)
{
	const u32 newest = PCI_SER_VERSION;

	CHUNK((void)0, 0);
	CHUNK(chunk->version = PCI_SER_VERSION_MIN - 1, -EOPNOTSUPP);
	CHUNK(chunk->version = newest, 0);
	CHUNK(chunk->version = newest + 1, -EOPNOTSUPP);
	CHUNK(chunk->magic = 0, -EINVAL);
	CHUNK(chunk->index = 1, -EINVAL);
	PCI(0, refcount = 1, 0);
	PCI(1, refcount = 3, 0);
	PCI(0, flags |= 0x80000000, -EOPNOTSUPP);
	PCI(1, flags |= 8, -EOPNOTSUPP);
	PCI(0, optional = 0x80000000, 0);
	PCI(0, reserved3[75] = 1, -EINVAL);
	pci_build(chunk);
	slot[0].optional |= 0x80000000;
	slot[0].reserved3[75] = 1;
	result(!pci_ser_check(&slot[0]), "PCI: reserved bytes got a meaning");
	PCI(0, reserved0 = 1, -EINVAL);
	PCI(0, reserved2 = 1, -EINVAL);
	PCI(0, flags |= PCI_DEV_SER_BRIDGE, -EINVAL);
	PCI(0, flags = PCI_DEV_SER_INTX_BROKEN, -EINVAL);
	PCI(0, refcount = 2, -EINVAL);
	PCI(1, refcount = 0, -EINVAL);
	PCI(0, domain = 0x10000, -EINVAL);
	PCI(0, hdr_type = 1, -EINVAL);
	PCI(1, hdr_type = 0, -EINVAL);
	PCI(0, compat[0] = 0, -EINVAL);
	pci_build(chunk);
	memset(slot[0].driver, 'x', sizeof(slot[0].driver));
	result(pci_ser_check(&slot[0]) == -EINVAL,
	       "PCI: a driver's name without an end");
	memset(slot[1].compat, 'x', sizeof(slot[1].compat));
	result(pci_ser_check(&slot[1]) == -EINVAL,
	       "PCI: a compatible string without an end");
}

static void test_vfio_irqs(void)
{
	static const struct {
		u32 type, most;
	} irqs[] = {
		{ VFIO_PCI_SER_IRQ_NONE, 0 }, { VFIO_PCI_SER_IRQ_INTX, 1 },
		{ VFIO_PCI_SER_IRQ_MSI, 32 }, { VFIO_PCI_SER_IRQ_MSIX, 2048 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(irqs); i++) {
		vfio_build(&ser);
		ser.irq_type = irqs[i].type;
		ser.irq_count = irqs[i].most;
		result(!vfio_pci_ser_check(&ser),
		       "vfio-pci: as many interrupts as there can be");
		ser.irq_count++;
		result(vfio_pci_ser_check(&ser) == -EINVAL,
		       "vfio-pci: one more");
	}
	VFIO(irq_count = ~0U, -EINVAL);
	VFIO(irq_type = 4, -EINVAL);
}

static void test_pci_masks(void)
{
	/* An older kernel's */
	pci_build(chunk);
	slot[0].optional = 0;
	memset(slot[0].bar_mask, 0, sizeof(slot[0].bar_mask));
	slot[0].rom_mask = 0;
	result(!pci_ser_check(&slot[0]), "PCI: no masks");
	slot[0].rom_mask = 0xfffff800;
	result(pci_ser_check(&slot[0]) == -EINVAL, "PCI: a ROM mask unasked for");
	PCI(0, optional = 0, -EINVAL);
	PCI(1, optional = 0, -EINVAL);
	/* Holes, sizes that are too large for the address, no size, other kinds */
	PCI(0, bar_mask[0] = 0xfffd0000, -EINVAL);
	PCI(0, bar_mask[0] = 0x7ffe0000, -EINVAL);
	PCI(0, bar_mask[0] = 0xfff00000, -EINVAL);
	PCI(0, bar_mask[0] = 0xfffffff0, 0);
	PCI(0, bar_mask[0] = 0, -EINVAL);
	PCI(0, bar_mask[0] |= 1, -EINVAL);
	PCI(0, bar_mask[0] |= 8, -EINVAL);
	PCI(0, bar[0] |= 0x10000, -EINVAL);
	PCI(0, bar_mask[1] = 0xffffffe0, -EINVAL);
	PCI(0, bar_mask[1] = 0xffffffe3, -EINVAL);
	PCI(0, bar_mask[1] = 1, -EINVAL);
	PCI(0, bar_mask[1] = 0xffff0001, -EINVAL);
	PCI(0, bar_mask[1] = 0xfffffffd, 0);
	PCI(0, bar_mask[2] = 0, -EINVAL);
	PCI(0, bar_mask[2] = 0xf000000c, -EINVAL);
	PCI(0, bar_mask[3] = 0, -EINVAL);
	PCI(0, bar_mask[3] = 0xfffffffc, -EINVAL);
	PCI(0, bar_mask[3] = 0xffff7ffe, -EINVAL);
	PCI(0, bar[3] = 7, -EINVAL);
	PCI(0, bar_mask[4] = 0, 0);
	PCI(0, bar_mask[4] = 8, -EINVAL);
	/* Below 1 MiB, or reserved */
	PCI(0, bar_mask[4] |= (slot[0].bar[4] = 2), -EINVAL);
	PCI(0, bar_mask[4] |= (slot[0].bar[4] = 6), -EINVAL);
	/* 64 bits in the last register */
	PCI(0, bar_mask[5] = (slot[0].bar[5] = 4) | 0xfffff000, -EINVAL);
	PCI(0, rom_mask = 0, 0);
	PCI(0, rom_mask = 0xfffc0001, -EINVAL);
	PCI(0, rom_mask = 0xfffa0000, -EINVAL);
	PCI(0, rom_mask = 0xfffff400, -EINVAL);
	PCI(1, bar_mask[1] = 0xffffff00, 0);
	PCI(1, bar_mask[1] = (slot[1].bar[1] = 4) | 0xfffff000, -EINVAL);
	PCI(1, bar_mask[2] = 0xfffff000, -EINVAL);
	PCI(1, bar[5] = 0xfe900000, -EINVAL);
	pci_build(chunk);
	result(pci_ser_rom_fits(&slot[0], 0) &&
		       pci_ser_rom_fits(&slot[0], 0xfe600001),
	       "PCI: values of the ROM BAR");
	result(!pci_ser_rom_fits(&slot[0], 0xfe620000),
	       "PCI: a ROM BAR at no multiple of its size");
}

static void test_vfio(void)
{
	const u16 newest = VFIO_PCI_SER_VERSION;

	VFIO(size = sizeof(ser), 0);
	VFIO(version = VFIO_PCI_SER_VERSION_MIN - 1, -EOPNOTSUPP);
	VFIO(version = newest, 0);
	VFIO(version = newest + 1, -EOPNOTSUPP);
	VFIO(flags |= 0x80000000, -EOPNOTSUPP);
	VFIO(optional = 0x80000000, 0);
	VFIO(size = VFIO_PCI_SER_MAX_SIZE, 0);
	VFIO(size = VFIO_PCI_SER_MAX_SIZE + 1, -EINVAL);
	VFIO(size = sizeof(ser) - 1, -EINVAL);
	VFIO(reserved[75] = 1, -EINVAL);
	vfio_build(&ser);
	ser.optional = 1;
	ser.reserved[75] = 1;
	result(!vfio_pci_ser_check(&ser),
	       "vfio-pci: reserved bytes got a meaning");
	VFIO(config_size = 256, 0);
	VFIO(config_size = 0, -EINVAL);
	VFIO(config_size = 4097, -EINVAL);
}

int main(void)
{
	printf("KTAP version 1\n");
	test_iommufd_versions();
	test_iommufd_pasids();
	test_iommufd_root();
	test_iommufd_tables();
	test_pci();
	test_pci_masks();
	test_vfio();
	test_vfio_irqs();
	kho_reset();
	return results();
}
