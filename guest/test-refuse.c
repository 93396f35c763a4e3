// SPDX-License-Identifier: GPL-2.0-only
/*
 * refuse: what a preserve refuses, with which errno and which line in the log,
 * and that a refusal changes nothing. Every row makes one thing wrong, gets its
 * errno, makes it right again, and then the same call in the same session must
 * succeed; after that the session is closed and everything can be changed.
 *
 * Rows about a kind of device, which nothing makes right, end with the device
 * being as usable as before. No kexec. The machine is that of
 * tests/e2e/140-refusals.py; option nic= is the device that can be kept.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "guest.h"
#include "kit.h"

#define HUGE_LEN	(2 * MIB)

static struct kit kit;
static const char *nic;

/* One refusal, with its line; then @k must be able to do what it was refused. */
static int refused(int rc, int wanted, const char *object, const char *reason)
{
	int bad = want(rc, wanted, "the refused call");

	bad |= kmsg_refusal(object, reason);
	return bad;
}

/* In the same session: what was refused works now, and can be backed out of. */
static int right_now(struct kit *k, bool iommufd)
{
	int bad = 0;

	kmsg_skip();
	if (iommufd)
		bad |= want(kit_preserve_iommufd(k), 0, "the iommufd now");
	bad |= want(kit_preserve_vfio(k), 0, "the device now");
	bad |= want(kmsg_count("refused"), 0, "refusals in the log");
	kit_end_session(k);
	return bad | kit_mutable(k);
}

/* Everything is there, and the memfd is preserved. */
static int begin(void)
{
	int rc = kit_open(&kit, nic, KIT_ALL);

	if (!rc)
		rc = kit_preserve_memfd(&kit);
	kmsg_skip();
	return rc;
}

static int end(int bad)
{
	kit_close(&kit);
	return bad ? -EIO : 0;
}

/* ---- The iommufd ---- */

static int nothing_marked(void *p)
{
	int bad = begin();

	(void)p;
	if (bad)
		return end(bad);
	bad |= want(vfio_detach(kit.vfio), 0, "detach");
	iommufd_mark(kit.iommufd, kit.hwpt, 1, IOMMU_HWPT_LIVEUPDATE_UNMARK);
	bad |= refused(kit_preserve_iommufd(&kit), -EINVAL, "iommufd",
		       "no HWPT is marked");
	iommufd_mark(kit.iommufd, kit.hwpt, 1, 0);
	bad |= want(vfio_attach(kit.vfio, kit.hwpt), 0, "attach");
	return end(bad | right_now(&kit, true));
}

/* The same, and there is a second page table. */
static int begin_with_two(uint32_t *other)
{
	int bad = begin();

	if (!bad)
		bad = want(iommufd_hwpt_alloc(kit.iommufd, kit.dev, kit.ioas,
					      other), 0, "a second page table");
	return bad;
}

static int unmarked_in_use(void *p)
{
	uint32_t other;
	int bad = begin_with_two(&other);

	(void)p;
	if (bad)
		return end(bad);
	bad |= want(vfio_attach(kit.vfio, other), 0, "replace");
	bad |= refused(kit_preserve_iommufd(&kit), -EOPNOTSUPP, nic,
		       "is not marked");
	bad |= want(vfio_attach(kit.vfio, kit.hwpt), 0, "replace");
	bad |= want(iommufd_destroy(kit.iommufd, other), 0, "destroy");
	return end(bad | right_now(&kit, true));
}

/* A page table that is kept for nobody: the next kernel would not find it. */
static int marked_unused(void *p)
{
	uint32_t other;
	int bad = begin_with_two(&other);

	(void)p;
	if (bad)
		return end(bad);
	bad |= want(iommufd_mark(kit.iommufd, other, 2, 0), 0, "mark");
	bad |= refused(kit_preserve_iommufd(&kit), -EINVAL, "iommufd",
		       "is marked, and has no device");
	bad |= want(iommufd_mark(kit.iommufd, other, 2,
				 IOMMU_HWPT_LIVEUPDATE_UNMARK), 0, "unmark");
	return end(bad | right_now(&kit, true));
}

/* Attached by the id of the address space: the page table is nobody's. */
static int auto_in_use(void *p)
{
	int bad = begin();

	(void)p;
	if (bad)
		return end(bad);
	bad |= want(vfio_detach(kit.vfio), 0, "detach");
	bad |= want(vfio_attach(kit.vfio, kit.ioas), 0, "attach by IOAS");
	bad |= refused(kit_preserve_iommufd(&kit), -EOPNOTSUPP, nic,
		       "is not marked");
	bad |= want(vfio_detach(kit.vfio), 0, "detach");
	bad |= want(vfio_attach(kit.vfio, kit.hwpt), 0, "attach");
	return end(bad | right_now(&kit, true));
}

static int anonymous_area(void *p)
{
	void *mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t iova = KIT_IOVA + KIT_MEM;
	int bad = begin();

	(void)p;
	if (bad)
		return end(bad);
	bad |= want(iommufd_map(kit.iommufd, kit.ioas, mem, 4096, iova), 0,
		    "IOMMU_IOAS_MAP");
	bad |= refused(kit_preserve_iommufd(&kit), -EOPNOTSUPP, "iommufd",
		       "no memfd at IOVA");
	bad |= want(iommufd_unmap(kit.iommufd, kit.ioas, iova, 4096), 0,
		    "unmap");
	munmap(mem, 4096);
	return end(bad | right_now(&kit, true));
}

static int memfd_first(void *p)
{
	int bad = kit_open(&kit, nic, KIT_ALL);

	(void)p;
	kmsg_skip();
	if (bad)
		return end(bad);
	bad |= refused(kit_preserve_iommufd(&kit), -ENOENT, "iommufd",
		       "is mapped and not in session kit");
	bad |= want(kit_preserve_memfd(&kit), 0, "the memfd");
	return end(bad | right_now(&kit, true));
}

static int memfd_elsewhere(void *p)
{
	int bad = kit_open(&kit, nic, KIT_ALL), other = -1;

	(void)p;
	kmsg_skip();
	if (bad)
		return end(bad);
	other = luo_create(kit.luo, "other");
	bad |= want(luo_preserve(other, kit.memfd, 1), 0, "in another session");
	bad |= refused(kit_preserve_iommufd(&kit), -ENOENT, "iommufd",
		       "is mapped and not in session kit");
	bad |= refused(kit_preserve_memfd(&kit), -EBUSY, "luo",
		       "session kit, token 0x500000000: it is in a session");
	close(other);
	bad |= want(kit_preserve_memfd(&kit), 0, "the memfd");
	return end(bad | right_now(&kit, true));
}

/* A hole punched below a mapping: the device writes to what is not the file. */
static int punched(void *p)
{
	int bad = kit_open(&kit, nic, KIT_ALL);

	(void)p;
	kmsg_skip();
	if (bad)
		return end(bad);
	bad |= want(fallocate(kit.memfd,
			      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			      0x10000, 0x1000), 0, "punch a hole");
	bad |= want(kit_preserve_memfd(&kit), 0, "the memfd");
	bad |= refused(kit_preserve_iommufd(&kit), -ESTALE, "iommufd",
		       "no longer in its memfd");
	/* The hole is filled with a new page; mapped again it is the file's */
	kit_end_session(&kit);
	bad |= kit_mutable(&kit);
	bad |= kit_session(&kit, "kit");
	bad |= want(kit_preserve_memfd(&kit), 0, "the memfd");
	return end(bad | right_now(&kit, true));
}

static int truncated(void *p)
{
	int bad = kit_open(&kit, nic, KIT_ALL);

	(void)p;
	kmsg_skip();
	if (bad)
		return end(bad);
	bad |= want(ftruncate(kit.memfd, KIT_MEM - 0x1000), 0, "truncate");
	bad |= want(kit_preserve_memfd(&kit), 0, "the memfd");
	bad |= refused(kit_preserve_iommufd(&kit), -EINVAL, "iommufd",
		       "is shorter than what is mapped");
	kit_end_session(&kit);
	bad |= want(ftruncate(kit.memfd, KIT_MEM), 0, "truncate");
	bad |= kit_mutable(&kit);
	bad |= kit_session(&kit, "kit");
	bad |= want(kit_preserve_memfd(&kit), 0, "the memfd");
	return end(bad | right_now(&kit, true));
}

static int huge_memfd(void *p)
{
	uint64_t iova = KIT_IOVA + 64 * MIB;
	int bad, fd;
	char *mem;

	(void)p;
	if (write_file("/proc/sys/vm/nr_hugepages", "8"))
		return v_error(0, "no huge pages");
	fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
	if (fd < 0 || ftruncate(fd, HUGE_LEN))
		return v_error(-errno, "a huge memfd");
	mem = mmap(NULL, HUGE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return v_error(-errno, "mapping a huge memfd");
	*mem = 1;
	bad = begin();
	if (bad)
		return end(bad);
	bad |= want(iommufd_map_file(kit.iommufd, kit.ioas, fd, 0, HUGE_LEN,
				     iova, true), 0, "map it");
	bad |= refused(luo_preserve(kit.session, fd, 7), -ENOENT,
		       "luo", "no file of this kind can be kept");
	bad |= refused(kit_preserve_iommufd(&kit), -ENOENT, "iommufd",
		       "is mapped and not in session kit");
	bad |= want(iommufd_unmap(kit.iommufd, kit.ioas, iova, HUGE_LEN), 0,
		    "unmap");
	munmap(mem, HUGE_LEN);
	close(fd);
	bad |= right_now(&kit, true);
	write_file("/proc/sys/vm/nr_hugepages", "0");
	return end(bad);
}

static int fault_queue(void *p)
{
	struct iommu_fault_alloc arg = { .size = sizeof(arg) };
	int bad = begin();

	(void)p;
	if (bad)
		return end(bad);
	bad |= want(sys_ioctl(kit.iommufd, IOMMU_FAULT_QUEUE_ALLOC, &arg), 0,
		    "IOMMU_FAULT_QUEUE_ALLOC");
	bad |= refused(kit_preserve_iommufd(&kit), -EOPNOTSUPP, "iommufd",
		       "fault queue");
	close(arg.out_fault_fd);
	bad |= want(iommufd_destroy(kit.iommufd, arg.out_fault_id), 0,
		    "destroy it");
	return end(bad | right_now(&kit, true));
}

static int unknown_kind(void *p)
{
	int bad = begin(), fd = eventfd(0, EFD_CLOEXEC);

	(void)p;
	if (bad)
		return end(bad);
	bad |= refused(luo_preserve(kit.session, fd, 7), -ENOENT,
		       "luo", "no file of this kind can be kept");
	close(fd);
	return end(bad | right_now(&kit, true));
}

static int twice(void *p)
{
	int bad = begin(), other;

	(void)p;
	if (bad)
		return end(bad);
	bad |= want(kit_preserve_iommufd(&kit), 0, "the iommufd");
	bad |= want(kit_preserve_vfio(&kit), 0, "the device");
	kmsg_skip();
	bad |= refused(luo_preserve(kit.session, kit.iommufd, 77), -EBUSY,
		       "luo", "token 0x4d: it is in a session");
	bad |= refused(luo_preserve(kit.session, kit.vfio, 78), -EBUSY,
		       "luo", "token 0x4e: it is in a session");
	other = luo_create(kit.luo, "other");
	bad |= refused(luo_preserve(other, kit.vfio, 78), -EBUSY,
		       "luo", "session other, token 0x4e: it is in a session");
	close(other);
	kit_end_session(&kit);
	return end(bad | kit_mutable(&kit));
}

/* ---- The device ---- */

static int device_first(void *p)
{
	int bad = begin();

	(void)p;
	if (bad)
		return end(bad);
	bad |= refused(kit_preserve_vfio(&kit), -ENOENT, nic,
		       "its iommufd is not in session kit");
	return end(bad | right_now(&kit, true));
}

static int iommufd_elsewhere(void *p)
{
	int bad = kit_open(&kit, nic, KIT_ALL), other;

	(void)p;
	kmsg_skip();
	if (bad)
		return end(bad);
	other = luo_create(kit.luo, "other");
	bad |= want(luo_preserve(other, kit.memfd, 1), 0, "in another session");
	bad |= want(luo_preserve(other, kit.iommufd, 2), 0, "the same");
	bad |= refused(kit_preserve_vfio(&kit), -ENOENT, nic,
		       "its iommufd is not in session kit");
	close(other);
	bad |= want(kit_preserve_memfd(&kit), 0, "the memfd");
	return end(bad | right_now(&kit, true));
}

static int not_bound(void *p)
{
	int bad = begin(), second;

	(void)p;
	if (bad)
		return end(bad);
	bad |= want(kit_preserve_iommufd(&kit), 0, "the iommufd");
	second = vfio_open(nic);
	bad |= refused(luo_preserve(kit.session, second, 7), -EINVAL, "vfio",
		       "not bound to an iommufd");
	close(second);
	return end(bad | right_now(&kit, false));
}

static int not_attached(void *p)
{
	int bad = begin();

	(void)p;
	if (bad)
		return end(bad);
	bad |= want(kit_preserve_iommufd(&kit), 0, "the iommufd");
	bad |= want(vfio_detach(kit.vfio), 0, "detach");
	bad |= refused(kit_preserve_vfio(&kit), -EINVAL, "vfio",
		       "it is not attached");
	kit_end_session(&kit);
	bad |= want(vfio_attach(kit.vfio, kit.hwpt), 0, "attach");
	bad |= kit_session(&kit, "kit");
	bad |= want(kit_preserve_memfd(&kit), 0, "the memfd");
	return end(bad | right_now(&kit, true));
}

/* Attached elsewhere after the iommufd was preserved. */
static int attached_elsewhere(void *p)
{
	uint32_t ioas, hwpt;
	int bad = begin();

	(void)p;
	if (bad)
		return end(bad);
	bad |= want(kit_preserve_iommufd(&kit), 0, "the iommufd");
	bad |= want(vfio_detach(kit.vfio), 0, "detach");
	bad |= want(iommufd_ioas_alloc(kit.iommufd, &ioas), 0, "another IOAS");
	bad |= want(iommufd_hwpt_alloc(kit.iommufd, kit.dev, ioas, &hwpt), 0,
		    "another page table");
	bad |= want(vfio_attach(kit.vfio, hwpt), 0, "attach to that");
	bad |= refused(kit_preserve_vfio(&kit), -EINVAL, nic,
		       "its HWPT is not preserved");
	bad |= want(vfio_detach(kit.vfio), 0, "detach");
	bad |= want(iommufd_destroy(kit.iommufd, hwpt), 0, "destroy");
	kit_end_session(&kit);
	bad |= want(vfio_attach(kit.vfio, kit.hwpt), 0, "attach");
	return end(bad | kit_mutable(&kit));
}

static int low_power(void *p)
{
	int bad = begin();

	(void)p;
	if (bad)
		return end(bad);
	bad |= want(kit_preserve_iommufd(&kit), 0, "the iommufd");
	bad |= want(vfio_feature_set(kit.vfio,
				     VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY), 0,
		    "enter low power");
	bad |= refused(kit_preserve_vfio(&kit), -EBUSY, "vfio",
		       "its user put it to low power");
	bad |= want(vfio_feature_set(kit.vfio,
				     VFIO_DEVICE_FEATURE_LOW_POWER_EXIT), 0,
		    "exit low power");
	return end(bad | right_now(&kit, false));
}

static int d3hot(void *p)
{
	int bad = begin(), pm;

	(void)p;
	if (bad)
		return end(bad);
	pm = vfio_find_cap(kit.vfio, 1);
	if (pm <= 0)
		return end(v_error(0, "no power management capability"));
	bad |= want(kit_preserve_iommufd(&kit), 0, "the iommufd");
	bad |= want(vfio_config_write16(kit.vfio, pm + 4, 3), 0, "to D3hot");
	bad |= refused(kit_preserve_vfio(&kit), -EBUSY, nic, "it is in D3hot");
	bad |= want(vfio_config_write16(kit.vfio, pm + 4, 0), 0, "to D0");
	return end(bad | right_now(&kit, false));
}

/* Nothing to refuse: a device that does no DMA can be kept. */
static int no_master(void *p)
{
	int bad = begin(), command;

	(void)p;
	if (bad)
		return end(bad);
	command = pci_config_read16(nic, 4);
	bad |= want(command & 4, 0, "bus mastering");
	return end(bad | right_now(&kit, true));
}

/* ---- Devices that cannot be kept ---- */

/* Its group's other devices have to be with vfio-pci, too, or nowhere. */
static int bind_all(const char *list)
{
	char bdf[PCI_BDF_LEN + 1];
	int rc;

	for (; *list; list += strcspn(list, "+"), list += *list == '+') {
		snprintf(bdf, sizeof(bdf), "%.12s", list);
		rc = pci_bind_vfio(bdf);
		if (rc) {
			v_note("%s cannot be bound to vfio-pci", bdf);
			return rc;
		}
	}
	return 0;
}

/* The device of the kit is refused because of what it is. */
static int kind_refused(const char *reason)
{
	int bad = 0;

	bad |= want(kit_preserve_memfd(&kit), 0, "the memfd");
	bad |= want(kit_preserve_iommufd(&kit), 0, "the iommufd");
	kmsg_skip();
	bad |= refused(kit_preserve_vfio(&kit), -EOPNOTSUPP, kit.bdf, reason);
	/* It is not frozen, although its page table is */
	bad |= want(vfio_detach(kit.vfio), 0, "detach");
	kit_end_session(&kit);
	bad |= want(vfio_attach(kit.vfio, kit.hwpt), 0, "attach");
	bad |= want(vfio_detach(kit.vfio), 0, "detach");
	return bad;
}

/*
 * The first of these devices is refused, and works after it. @said is the reason
 * that ferry check has.
 */
static int kinds(const char *list, const char *reason, const char *said)
{
	char bdf[PCI_BDF_LEN];
	int bad;

	snprintf(bdf, sizeof(bdf), "%.12s", list);
	if (!*bdf || bind_all(list))
		return v_error(0, "no such device");
	bad = kit_check_says_no(bdf, said);
	if (!bad)
		bad = kit_open(&kit, bdf, KIT_ALL);
	return end(bad ? bad : kind_refused(reason));
}

static int kind(const char *key, const char *reason)
{
	return kinds(opt_str(key, ""), reason, reason);
}

static int multifunction(void *p)
{
	(void)p;
	return kind("multi", "shares its IOMMU group");
}

/* The new kernel would find what this one was told to forget. */
static int hidden_function(void *p)
{
	char first[PCI_BDF_LEN], second[PCI_BDF_LEN];
	int bad;

	(void)p;
	if (sscanf(opt_str("multi", ""), "%12s+%12s", first, second) != 2 ||
	    pci_set(second, "remove", "1"))
		return v_error(0, "no such device");
	bad = kinds(first, "a function beside it is hidden",
		    "the kernel keeps it: a function beside it is hidden");
	bad |= want(write_file("/sys/bus/pci/rescan", "1"), 0, "rescan");
	return bad ? -EIO : 0;
}

static int switch_without_acs(void *p)
{
	(void)p;
	return kind("switch", "shares its IOMMU group");
}

static int conventional(void *p)
{
	(void)p;
	return kind("conventional", "not a PCI Express device");
}

static int usb(void *p)
{
	(void)p;
	return kind("usb", "USB controller");
}

static int display(void *p)
{
	(void)p;
	return kind("display", "display controller");
}

static int physical_function(void *p)
{
	(void)p;
	return kind("pf", "SR-IOV physical function");
}

/* A VF of a PF that vfio-pci has: its user needs the token of the PF's user. */
static int virtual_function(const char *pf, const char *vf)
{
	static const uint8_t uuid[16] = { 1, 2, 3 };
	struct kit owner;
	int bad;

	bad = kit_open(&owner, pf, 0);
	if (!bad)
		bad = want(vfio_set_vf_token(owner.vfio, uuid), 0,
			   "VFIO_DEVICE_FEATURE_PCI_VF_TOKEN");
	if (!bad)
		bad = kit_open_with(&kit, vf, KIT_ALL, uuid);
	if (!bad)
		bad = kind_refused("SR-IOV virtual function");
	kit_close(&kit);
	kit_close(&owner);
	return bad;
}

static int virtual_functions(void *p)
{
	char pf[PCI_BDF_LEN], vf[PCI_BDF_LEN];
	int bad, rc;

	(void)p;
	snprintf(pf, sizeof(pf), "%.12s", opt_str("pf", ""));
	snprintf(vf, sizeof(vf), "%.12s", opt_str("vf", ""));
	rc = pci_set(pf, "sriov_numvfs", "1");
	if (rc)
		return v_error(rc, "sriov_numvfs");
	bad = kinds(opt_str("pf", ""), "SR-IOV physical function with virtual",
		    "SR-IOV physical function");
	bad |= pci_bind_vfio(vf);
	bad |= kit_check_says_no(vf, "SR-IOV virtual function");
	bad |= virtual_function(pf, vf);
	bad |= want(pci_set(pf, "sriov_numvfs", "0"), 0, "no VFs");
	return bad ? -EIO : 0;
}

int test_refuse(unsigned int stage)
{
	static const struct step steps[] = {
		CHECK("no HWPT is marked: EINVAL", nothing_marked),
		CHECK("a marked HWPT has no device: EINVAL", marked_unused),
		CHECK("attached to a HWPT that is not marked: EOPNOTSUPP",
		      unmarked_in_use),
		CHECK("attached by IOAS to an automatic HWPT: EOPNOTSUPP",
		      auto_in_use),
		CHECK("memory of the process is mapped: EOPNOTSUPP",
		      anonymous_area),
		CHECK("the iommufd before its memfd: ENOENT", memfd_first),
		CHECK("the memfd in another session: ENOENT", memfd_elsewhere),
		CHECK("a hole was punched below a mapping: ESTALE", punched),
		CHECK("the memfd is shorter than a mapping: EINVAL", truncated),
		CHECK("a memfd of huge pages: ENOENT", huge_memfd),
		CHECK("a fault queue: EOPNOTSUPP", fault_queue),
		CHECK("a file of another kind: ENOENT", unknown_kind),
		CHECK("preserved already: EBUSY", twice),
		CHECK("the device before its iommufd: ENOENT", device_first),
		CHECK("the iommufd in another session: ENOENT",
		      iommufd_elsewhere),
		CHECK("a device file that is not bound: EINVAL", not_bound),
		CHECK("the device is not attached: EINVAL", not_attached),
		CHECK("attached to what was not preserved: EINVAL",
		      attached_elsewhere),
		CHECK("its user put it to low power: EBUSY", low_power),
		CHECK("the device is in D3hot: EBUSY", d3hot),
		CHECK("bus mastering is off: kept", no_master),
		CHECK("two functions in one group: EOPNOTSUPP", multifunction),
		CHECK("beside a function that was removed: EOPNOTSUPP",
		      hidden_function),
		CHECK("a switch without ACS: EOPNOTSUPP", switch_without_acs),
		CHECK("behind a conventional bridge: EOPNOTSUPP", conventional),
		CHECK("a USB controller: EOPNOTSUPP", usb),
		CHECK("a display controller: EOPNOTSUPP", display),
		CHECK("a physical function: EOPNOTSUPP", physical_function),
		CHECK("a virtual function, and one that has some: EOPNOTSUPP",
		      virtual_functions),
	};

	(void)stage;
	nic = opt_str("nic", "0000:01:00.0");
	if (pci_bind_vfio(nic))
		v_note("%s cannot be bound", nic);
	return v_run(steps, ARRAY_SIZE(steps), NULL);
}
