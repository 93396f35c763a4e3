// SPDX-License-Identifier: GPL-2.0-only
/*
 * QEMU's iommu-testdev as a device that is not kept. The host makes it write
 * whenever it likes, so it shows what the IOMMU lets through at each moment.
 *
 * In the old kernel it is mapped one page at an IOVA that equals the page's
 * physical address. The page belongs to the memfd that is kept, so the host
 * may keep a canary there without hurting the new kernel. In the new kernel
 * the device is set up once more, in the ordinary way and with other numbers.
 */
#include <errno.h>
#include <unistd.h>

#include "dma.h"
#include "guest.h"

#define TESTDEV_VENDOR	0x1b36
#define TESTDEV_DEVICE	0x0005
#define PAGE		4096ULL
#define OFF_CANARY	(3 * MIB)	/* in the kept memfd, of no other use */
#define NEW_IOVA	(5ULL << 32)

static char bdf[PCI_BDF_LEN];
static int iommufd = -1, vfio = -1, page_fd = -1;

bool testdev_wanted(void *p)
{
	(void)p;
	return opt_u64("testdev", 0);
}

static int attach(int memfd, uint64_t off, uint64_t iova)
{
	uint32_t dev, ioas, hwpt;
	int rc;

	rc = pci_find(TESTDEV_VENDOR, TESTDEV_DEVICE, 0, bdf);
	if (!rc)
		rc = pci_bind_vfio(bdf);
	if (rc)
		return v_error(rc, "iommu-testdev");
	iommufd = iommufd_open();
	if (iommufd < 0)
		return v_error(iommufd, "open /dev/iommu");
	vfio = vfio_open(bdf);
	if (vfio < 0)
		return v_error(vfio, "open the VFIO device");
	rc = vfio_bind(vfio, iommufd, &dev);
	if (!rc)
		rc = iommufd_ioas_alloc(iommufd, &ioas);
	if (!rc)
		rc = iommufd_map_file(iommufd, ioas, memfd, off, PAGE, iova,
				      true);
	if (!rc)
		rc = iommufd_hwpt_alloc(iommufd, dev, ioas, &hwpt);
	if (!rc)
		rc = vfio_attach(vfio, hwpt);
	if (!rc)
		rc = vfio_config_or16(vfio, 4, 0x6);
	return rc ? v_error(rc, "setting the test device up") : 0;
}

int testdev_old(void *p)
{
	struct dma *d = p;
	int64_t pa = physical_address((uint8_t *)d->mem + OFF_CANARY);

	if (pa < 0)
		return v_error(pa, "the physical address");
	v_info("testdev_iova", "%#llx", (unsigned long long)pa);
	v_info("testdev_pa", "%#llx", (unsigned long long)pa);
	return attach(d->memfd, OFF_CANARY, pa);
}

int testdev_new(void *p)
{
	int64_t pa;
	void *mem;

	(void)p;
	page_fd = make_memfd("testdev", PAGE, &mem);
	if (page_fd < 0)
		return v_error(page_fd, "memfd");
	pa = physical_address(mem);
	if (pa < 0)
		return v_error(pa, "the physical address");
	v_info("testdev_iova2", "%#llx", NEW_IOVA);
	v_info("testdev_pa2", "%#llx", (unsigned long long)pa);
	return attach(page_fd, 0, NEW_IOVA);
}

int testdev_close(void *p)
{
	(void)p;
	close(vfio);
	close(iommufd);
	close(page_fd);
	return 0;
}
