/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Good records of an iommufd, of PCI functions and of a vfio-pci file, to start
 * from. Those of the iommufd are written by the code that writes them in the old
 * kernel.
 */
#ifndef FERRY_RECORDS_H
#define FERRY_RECORDS_H

#include "fake-kho.h"

#include "../../kernel/overlay/drivers/iommu/iommufd/liveupdate-ser.c"
#include "../../kernel/overlay/drivers/pci/liveupdate-ser.h"
#include "../../kernel/overlay/drivers/vfio/pci/vfio_pci_liveupdate_ser.h"

/* The records of one iommufd where they lie in preserved memory */
struct iommufd_image {
	struct iommufd_ser *root;
	struct iommufd_chunk_ser *data;
	struct iommufd_lu_tables t;
	struct iommufd_device_ser *devices;
};

static inline void fill_tables(struct iommufd_lu_tables *t)
{
	t->memfds[0].token = 0x600000001ULL;
	t->memfds[1].token = 2;
	t->pages[0] = (struct iommufd_pages_ser){
		.length = 0x200000, .flags = IOMMUFD_PAGES_SER_WRITABLE,
	};
	t->pages[1] = (struct iommufd_pages_ser){
		.start = 0x1000, .length = 0x3000, .memfd = 1,
		.account_mode = IOMMUFD_SER_ACCOUNT_MM,
	};
	t->ioas[0] = (struct iommufd_ioas_ser){ .id = 2, .nr_allowed = 2,
						.nr_areas = 2 };
	t->ioas[1] = (struct iommufd_ioas_ser){ .id = 5, .nr_areas = 1 };
	t->allowed[0] = (struct iommufd_allowed_ser){ 0x1000, 0xfffff };
	t->allowed[1] = (struct iommufd_allowed_ser){ 0x100000, 0x1fffff };
	t->areas[0] = (struct iommufd_area_ser){
		.iova = 0x10000, .length = 0x100000, .start_byte = 0x100000,
		.prot = IOMMUFD_AREA_SER_KNOWN,
	};
	t->areas[1] = (struct iommufd_area_ser){
		.iova = 0x110000, .length = 0x3000, .pages = 1,
		.prot = IOMMUFD_AREA_SER_READ,
	};
	t->areas[2] = t->areas[1];
	t->hwpts[0] = (struct iommufd_hwpt_ser){ .token = 7, .id = 3,
						 .ioas_id = 2, .sw_msi = 2 };
	t->hwpts[1] = (struct iommufd_hwpt_ser){
		.token = 8, .id = 6, .ioas_id = 5, .record = 1,
		.flags = IOMMUFD_HWPT_SER_COHERENT,
	};
	t->sw_msi[0] = (struct iommufd_sw_msi_ser){
		.start = 0x8000000, .offset = 0x1000, .msi_pa = 0xfee00000,
		.id = 1,
	};
}

/* The tables as they lie one behind the other in the only data chunk */
static inline void find_tables(struct iommufd_image *image)
{
	struct lu_table list[LU_NR_TABLES];
	u8 *pos = image->data->data;
	unsigned int i;

	lu_tables_list(list, &image->t, image->root);
	for (i = 0; i < LU_NR_TABLES; i++) {
		*list[i].ptr = pos;
		pos += list[i].nr * list[i].size;
	}
}

static inline void iommufd_build(struct iommufd_image *image)
{
	struct iommufd_lu_tables t;
	struct iommufd_ser *root;
	int i;

	kho_reset();
	root = kho_alloc_preserve(sizeof(*root));
	root->magic = IOMMUFD_SER_MAGIC;
	root->version = IOMMUFD_SER_VERSION_MIN;
	root->size = sizeof(*root);
	root->next_sw_msi = 2;
	root->nr_memfds = 2;
	root->nr_pages = 2;
	root->nr_ioas = 2;
	root->nr_allowed = 2;
	root->nr_areas = 3;
	root->nr_hwpts = 2;
	root->nr_sw_msi = 1;
	if (iommufd_lu_tables_alloc(&t, root))
		abort();
	fill_tables(&t);
	if (iommufd_lu_write(root, &t))
		abort();
	iommufd_lu_tables_free(&t);

	image->root = root;
	image->data = phys_to_virt(root->data_pa);
	find_tables(image);
	for (i = 0; i < 3; i++) {
		struct iommufd_device_ser *d = iommufd_lu_new_device(root);

		if (!i)
			image->devices = d;
		*d = (struct iommufd_device_ser){
			.sw_msi_start = ~0ULL, .dev_id = 10 + i, .hwpt_id = 3,
			.name = "pci/0000:01:00.0",
		};
	}
}

static inline void pci_build(struct pci_chunk_ser *chunk)
{
	struct pci_dev_ser *slot = (struct pci_dev_ser *)(chunk + 1);

	memset(chunk, 0, PCI_SER_CHUNK_SIZE);
	chunk->magic = PCI_SER_MAGIC;
	chunk->version = PCI_SER_VERSION_MIN;
	slot[0].flags = PCI_DEV_SER_ENDPOINT;
	slot[0].bdf = 0x100;
	slot[0].refcount = 1;
	strcpy(slot[0].compat, "vfio-pci-v1");
	strcpy(slot[0].driver, "vfio-pci");
	/* 128 KiB, 32 ports, 8 GiB above 4 GiB, one that has no address; ROM */
	slot[0].optional = PCI_DEV_SER_BAR_MASKS;
	slot[0].bar[0] = 0xfe640000;
	slot[0].bar_mask[0] = 0xfffe0000;
	slot[0].bar[1] = 0xc001;
	slot[0].bar_mask[1] = 0xffffffe1;
	slot[0].bar[2] = 0x0000000c;
	slot[0].bar_mask[2] = 0x0000000c;
	slot[0].bar[3] = 6;
	slot[0].bar_mask[3] = 0xfffffffe;
	slot[0].bar_mask[4] = 0xfffff000;
	slot[0].rom_mask = 0xfffc0000;
	slot[1].flags = PCI_DEV_SER_BRIDGE;
	slot[1].bdf = 0x28;
	slot[1].hdr_type = PCI_HEADER_TYPE_BRIDGE;
	slot[1].refcount = 3;
	slot[1].optional = PCI_DEV_SER_BAR_MASKS;
	slot[1].bar[0] = 0xfe800000;
	slot[1].bar_mask[0] = 0xfffff000;
}

static inline void vfio_build(struct vfio_pci_ser *ser)
{
	memset(ser, 0, sizeof(*ser));
	ser->magic = VFIO_PCI_SER_MAGIC;
	ser->version = VFIO_PCI_SER_VERSION_MIN;
	ser->size = sizeof(*ser);
	ser->flags = VFIO_PCI_SER_RESET_WORKS;
	ser->bdf = 0x100;
	ser->iommufd_token = 0x600000002ULL;
	ser->iommufd_dev_id = 10;
	ser->irq_type = VFIO_PCI_SER_IRQ_MSIX;
	ser->irq_count = 5;
	ser->config_size = VFIO_PCI_SER_CONFIG_SIZE;
}

#endif
