// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fuzzer of the readers of iommufd, PCI and vfio-pci records.
 *
 * The first 8 bytes of the input choose the reader, what follows is preserved
 * memory: for iommufd its root and the pages behind it, for the others one
 * record. Beyond surviving, what a reader accepts has to be fit for use: the
 * checks below are what the code that restores relies on.
 */
#include "fuzz.h"

#include "../parse/records.h"

enum { FUZZ_IOMMUFD, FUZZ_PCI_CHUNK, FUZZ_PCI, FUZZ_VFIO, FUZZ_READERS };

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "a reader was wrong: %s\n", what);
	abort();
}

/* Preserved memory with the content @data, as many whole pages as there are */
static bool preserve(const u8 *data, size_t size)
{
	size_t pages = size / KHO_PAGE, i;

	if (!pages || pages > KHO_MAX_PAGES)
		return false;
	for (i = 0; i < pages; i++) {
		u8 *page = kho_alloc_preserve(KHO_PAGE);

		memcpy(page, data + i * KHO_PAGE, KHO_PAGE);
	}
	return true;
}

static void check_areas(const struct iommufd_lu_incoming *in)
{
	u32 i, k, allowed = 0, area = 0;

	for (i = 0; i < in->ser.nr_ioas; i++) {
		u64 free = 0;

		check(iommufd_lu_find_ioas(in, in->t.ioas[i].id) == i,
		      "an IOAS is not found");
		allowed += in->t.ioas[i].nr_allowed;
		for (k = 0; k < in->t.ioas[i].nr_areas; k++, area++) {
			const struct iommufd_area_ser *a = &in->t.areas[area];
			const struct iommufd_pages_ser *p;

			check(area < in->ser.nr_areas && a->length,
			      "areas that are not there");
			check(a->iova >= free || !k, "areas overlap");
			check(a->iova + (a->length - 1) >= a->iova,
			      "an area wraps around");
			free = a->iova + a->length;
			check(a->pages < in->ser.nr_pages, "no such pages");
			p = &in->t.pages[a->pages];
			check(a->start_byte < p->length &&
				      a->length <= p->length - a->start_byte,
			      "an area behind the end of its pages");
			check(p->memfd < in->ser.nr_memfds, "no such memfd");
		}
	}
	check(allowed == in->ser.nr_allowed && area == in->ser.nr_areas,
	      "entries of no IOAS");
}

static void check_objects(const struct iommufd_lu_incoming *in)
{
	u32 i;

	for (i = 0; i < in->ser.nr_hwpts; i++) {
		check(iommufd_lu_find_hwpt(in, in->t.hwpts[i].id) == i,
		      "a HWPT is not found");
		check(iommufd_lu_find_ioas(in, in->t.hwpts[i].ioas_id) !=
			      U32_MAX,
		      "a HWPT without an IOAS");
	}
	for (i = 0; i < in->nr_devices; i++) {
		const struct iommufd_device_ser *d = &in->devices[i];

		check(iommufd_lu_find_hwpt(in, d->hwpt_id) != U32_MAX,
		      "a device without a HWPT");
		check(memchr(d->name, 0, sizeof(d->name)), "an endless name");
		check(!d->flags, "a device with unknown flags");
		check(d->pasid ? i && d->dev_id == d[-1].dev_id &&
					d->pasid > d[-1].pasid :
				 !i || d->dev_id > d[-1].dev_id,
		      "a PASID without its device");
	}
}

static void fuzz_iommufd(const u8 *data, size_t size)
{
	struct iommufd_lu_incoming in = { .pa = KHO_BASE };
	int error;

	if (!preserve(data, size))
		return;
	iommufd_lu_read(&in);
	error = in.error;
	iommufd_lu_read(&in);
	check(in.error == error, "it changes its mind");
	check(!error || error == -EINVAL || error == -EOPNOTSUPP,
	      "an errno that is not documented");
	if (!error) {
		check_areas(&in);
		check_objects(&in);
	}
	iommufd_lu_read_free(&in);
	kho_reset();
}

/* What pci_read_bases() makes of it is a power of two, and where it may be */
static void check_bars(const struct pci_dev_ser *ser)
{
	unsigned int i, bars = ser->flags & PCI_DEV_SER_BRIDGE ? 2 : 6;
	u64 bar, mask, kind;

	for (i = 0; i < bars; i++) {
		kind = ser->bar[i] & 1 ? 3 : 15;
		mask = ser->bar_mask[i];
		bar = ser->bar[i];
		check(!mask || (mask & kind) == (bar & kind), "another kind");
		if ((bar & 7) == 4) {
			check(++i < bars, "a BAR behind the last one");
			mask |= (u64)ser->bar_mask[i] << 32;
			bar |= (u64)ser->bar[i] << 32;
		} else if (mask) {
			mask |= (u64)U32_MAX << 32;
		}
		/* The size, less one */
		mask = ~(mask & ~kind);
		check(!(mask & (mask + 1)), "a size that is no power of two");
		check(!~mask || !(bar & ~kind & mask), "not at its size");
	}
	check(!(ser->rom_mask & 0x7ff), "a mask with more than an address");
}

static void fuzz_others(u64 reader, const u8 *data, size_t size)
{
	static struct vfio_pci_ser vfio;
	struct pci_chunk_ser chunk;
	struct pci_dev_ser pci;

	if (reader == FUZZ_PCI_CHUNK && size >= sizeof(chunk)) {
		memcpy(&chunk, data, sizeof(chunk));
		check(pci_ser_check_chunk(&chunk, 0) || !chunk.index,
		      "a chunk out of order");
	} else if (reader == FUZZ_PCI && size >= sizeof(pci)) {
		memcpy(&pci, data, sizeof(pci));
		if (pci_ser_check(&pci))
			return;
		check(!!(pci.flags & PCI_DEV_SER_BRIDGE) ==
			      (pci.hdr_type == PCI_HEADER_TYPE_BRIDGE),
		      "neither a bridge nor an endpoint");
		check(memchr(pci.compat, 0, sizeof(pci.compat)) &&
			      memchr(pci.driver, 0, sizeof(pci.driver)),
		      "an endless name");
		if (pci.optional & PCI_DEV_SER_BAR_MASKS)
			check_bars(&pci);
	} else if (reader == FUZZ_VFIO && size >= sizeof(vfio)) {
		memcpy(&vfio, data, sizeof(vfio));
		check(vfio_pci_ser_check(&vfio) ||
			      vfio.config_size <= sizeof(vfio.config),
		      "configuration space behind the end of the record");
		check(vfio_pci_ser_check(&vfio) ||
			      vfio.irq_count <= VFIO_PCI_SER_MAX_MSIX,
		      "more interrupts than a device can have");
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	u64 reader;

	if (size < sizeof(reader) || size > FUZZ_MAX_SIZE)
		return 0;
	memcpy(&reader, data, sizeof(reader));
	data += sizeof(reader);
	size -= sizeof(reader);
	if (reader % FUZZ_READERS == FUZZ_IOMMUFD)
		fuzz_iommufd(data, size);
	else
		fuzz_others(reader % FUZZ_READERS, data, size);
	return 0;
}

static size_t seed_iommufd(u8 *data)
{
	struct iommufd_image image;
	size_t size = 0;
	int i;

	iommufd_build(&image);
	for (i = 0; i < KHO_MAX_PAGES && kho_pages[i].preserved; i++) {
		memcpy(data + size, kho_pages[i].mem, KHO_PAGE);
		size += KHO_PAGE;
	}
	kho_reset();
	return size;
}

size_t fuzz_seed(unsigned int n, u8 *data)
{
	static struct vfio_pci_ser vfio;
	static u8 pci[PCI_SER_CHUNK_SIZE];
	const u64 reader = n;
	u8 *to = data + sizeof(reader);

	memcpy(data, &reader, sizeof(reader));
	pci_build((struct pci_chunk_ser *)pci);
	switch (n) {
	case FUZZ_IOMMUFD:
		return sizeof(reader) + seed_iommufd(to);
	case FUZZ_PCI_CHUNK:
		memcpy(to, pci, sizeof(struct pci_chunk_ser));
		return sizeof(reader) + sizeof(struct pci_chunk_ser);
	case FUZZ_PCI:
		memcpy(to, pci + PCI_SER_SLOT_SIZE, PCI_SER_SLOT_SIZE);
		return sizeof(reader) + PCI_SER_SLOT_SIZE;
	case FUZZ_VFIO:
		vfio_build(&vfio);
		memcpy(to, &vfio, sizeof(vfio));
		return sizeof(reader) + sizeof(vfio);
	default:
		return 0;
	}
}
