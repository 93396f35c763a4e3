// SPDX-License-Identifier: GPL-2.0-only
/* /dev/iommu: address spaces, page tables, and what a live update keeps. */
#include <errno.h>
#include <fcntl.h>

#include "guest.h"
#include "hw.h"

int iommufd_open(void)
{
	int fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int iommufd_ioas_alloc(int fd, uint32_t *ioas)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };
	int rc = sys_ioctl(fd, IOMMU_IOAS_ALLOC, &arg);

	*ioas = arg.out_ioas_id;
	return rc;
}

int iommufd_map_file(int fd, uint32_t ioas, int memfd, uint64_t start,
		     uint64_t len, uint64_t iova, bool writeable)
{
	struct iommu_ioas_map_file arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE,
		.ioas_id = ioas,
		.fd = memfd,
		.start = start,
		.length = len,
		.iova = iova,
	};

	if (writeable)
		arg.flags |= IOMMU_IOAS_MAP_WRITEABLE;
	return sys_ioctl(fd, IOMMU_IOAS_MAP_FILE, &arg);
}

/* Memory of this process, writeable. */
int iommufd_map(int fd, uint32_t ioas, void *mem, uint64_t len, uint64_t iova)
{
	struct iommu_ioas_map arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE |
			 IOMMU_IOAS_MAP_WRITEABLE,
		.ioas_id = ioas,
		.user_va = (uintptr_t)mem,
		.length = len,
		.iova = iova,
	};

	return sys_ioctl(fd, IOMMU_IOAS_MAP, &arg);
}

/* A whole mapping, read-only, in the same address space. */
int iommufd_copy(int fd, uint32_t ioas, uint64_t from, uint64_t len,
		 uint64_t to)
{
	struct iommu_ioas_copy arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_READABLE,
		.dst_ioas_id = ioas,
		.src_ioas_id = ioas,
		.length = len,
		.dst_iova = to,
		.src_iova = from,
	};

	return sys_ioctl(fd, IOMMU_IOAS_COPY, &arg);
}

int iommufd_unmap(int fd, uint32_t ioas, uint64_t iova, uint64_t len)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = ioas, .iova = iova,
		.length = len,
	};
	int rc = sys_ioctl(fd, IOMMU_IOAS_UNMAP, &arg);

	if (!rc && arg.length != len)
		return -ERANGE;
	return rc;
}

/* @n is the room in @ranges, then the number of ranges there are. */
int iommufd_ranges(int fd, uint32_t ioas, struct iommu_iova_range *ranges,
		   uint32_t *n)
{
	struct iommu_ioas_iova_ranges arg = {
		.size = sizeof(arg), .ioas_id = ioas, .num_iovas = *n,
		.allowed_iovas = (uintptr_t)ranges,
	};
	int rc = sys_ioctl(fd, IOMMU_IOAS_IOVA_RANGES, &arg);

	*n = arg.num_iovas;
	return rc;
}

/* Each page has an entry of its own from now on; nothing may be mapped yet. */
int iommufd_small_pages(int fd, uint32_t ioas)
{
	struct iommu_option arg = {
		.size = sizeof(arg),
		.option_id = IOMMU_OPTION_HUGE_PAGES,
		.op = IOMMU_OPTION_OP_SET,
		.object_id = ioas,
		.val64 = 0,
	};

	return sys_ioctl(fd, IOMMU_OPTION, &arg);
}

/* What is pinned counts against the process and not its user; nothing may be there yet. */
int iommufd_charge_process(int fd)
{
	struct iommu_option arg = {
		.size = sizeof(arg),
		.option_id = IOMMU_OPTION_RLIMIT_MODE,
		.op = IOMMU_OPTION_OP_SET,
		.val64 = 1,
	};

	return sys_ioctl(fd, IOMMU_OPTION, &arg);
}

int iommufd_allow(int fd, uint32_t ioas, const struct iommu_iova_range *ranges,
		  uint32_t n)
{
	struct iommu_ioas_allow_iovas arg = {
		.size = sizeof(arg), .ioas_id = ioas, .num_iovas = n,
		.allowed_iovas = (uintptr_t)ranges,
	};

	return sys_ioctl(fd, IOMMU_IOAS_ALLOW_IOVAS, &arg);
}

int iommufd_change_process(int fd)
{
	struct iommu_ioas_change_process arg = { .size = sizeof(arg) };

	return sys_ioctl(fd, IOMMU_IOAS_CHANGE_PROCESS, &arg);
}

int iommufd_hwpt_alloc_flags(int fd, uint32_t dev, uint32_t ioas,
			     uint32_t flags, uint32_t *hwpt)
{
	struct iommu_hwpt_alloc arg = {
		.size = sizeof(arg), .flags = flags, .dev_id = dev,
		.pt_id = ioas,
	};
	int rc = sys_ioctl(fd, IOMMU_HWPT_ALLOC, &arg);

	*hwpt = arg.out_hwpt_id;
	return rc;
}

int iommufd_hwpt_alloc(int fd, uint32_t dev, uint32_t ioas, uint32_t *hwpt)
{
	return iommufd_hwpt_alloc_flags(fd, dev, ioas, 0, hwpt);
}

int iommufd_track_dirty(int fd, uint32_t hwpt, bool on)
{
	struct iommu_hwpt_set_dirty_tracking arg = {
		.size = sizeof(arg), .hwpt_id = hwpt,
		.flags = on ? IOMMU_HWPT_DIRTY_TRACKING_ENABLE : 0,
	};

	return sys_ioctl(fd, IOMMU_HWPT_SET_DIRTY_TRACKING, &arg);
}

/* Which pages of 4 KiB were seen written; without @keep they are seen only once. */
int iommufd_read_dirty(int fd, uint32_t hwpt, uint64_t iova, uint64_t len,
		       bool keep, uint64_t *got)
{
	struct iommu_hwpt_get_dirty_bitmap arg = {
		.size = sizeof(arg), .hwpt_id = hwpt, .iova = iova,
		.length = len, .page_size = 4096, .data = (uintptr_t)got,
		.flags = keep ? IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR : 0,
	};

	return sys_ioctl(fd, IOMMU_HWPT_GET_DIRTY_BITMAP, &arg);
}

int iommufd_destroy(int fd, uint32_t id)
{
	struct iommu_destroy arg = { .size = sizeof(arg), .id = id };

	return sys_ioctl(fd, IOMMU_DESTROY, &arg);
}

int iommufd_hw_info(int fd, uint32_t dev, uint64_t *caps)
{
	struct iommu_hw_info arg = { .size = sizeof(arg), .dev_id = dev };
	int rc = sys_ioctl(fd, IOMMU_GET_HW_INFO, &arg);

	*caps = arg.out_capabilities;
	return rc;
}

int iommufd_mark(int fd, uint32_t hwpt, uint64_t token, uint32_t flags)
{
	struct iommu_hwpt_liveupdate arg = {
		.size = sizeof(arg), .hwpt_id = hwpt, .token = token,
		.flags = flags,
	};

	return sys_ioctl(fd, IOMMU_HWPT_LIVEUPDATE, &arg);
}

int iommufd_disposition(int fd, uint32_t dev, uint32_t pasid,
			uint32_t disposition)
{
	struct iommu_device_liveupdate arg = {
		.size = sizeof(arg), .dev_id = dev, .pasid = pasid,
		.disposition = disposition,
	};

	return sys_ioctl(fd, IOMMU_DEVICE_LIVEUPDATE, &arg);
}

/* The number of objects there are, which may be more than @n. */
int iommufd_objects(int fd, struct iommu_liveupdate_object *objects,
		    uint32_t n, uint32_t *state)
{
	struct iommu_liveupdate_objects arg = {
		.size = sizeof(arg), .count = n,
		.objects_uptr = (uintptr_t)objects,
	};
	int rc = sys_ioctl(fd, IOMMU_LIVEUPDATE_OBJECTS, &arg);

	*state = arg.out_state;
	return rc < 0 ? rc : (int)arg.count;
}

/* Says whether the objects that came back are those that were listed before. */
int iommufd_same_objects(int fd, const struct iommu_liveupdate_object *wanted,
			 uint32_t nr)
{
	struct iommu_liveupdate_object o[MAX_OBJECTS] = { 0 };
	uint32_t state, i;
	int n;

	n = iommufd_objects(fd, o, MAX_OBJECTS, &state);
	if (n < 0)
		return v_error(n, "IOMMU_LIVEUPDATE_OBJECTS");
	v_info("objects_new", "%d state %u", n, state);
	for (i = 0; i < (uint32_t)n && i < MAX_OBJECTS; i++)
		v_note("object type %u id %u parent %u pasid %u token %#llx",
		       o[i].type, o[i].id, o[i].parent_id, o[i].pasid,
		       (unsigned long long)o[i].token);
	if ((uint32_t)n != nr)
		return v_error(0, "another number of objects");
	for (i = 0; i < nr; i++)
		if (o[i].type != wanted[i].type || o[i].id != wanted[i].id ||
		    o[i].parent_id != wanted[i].parent_id ||
		    o[i].pasid != wanted[i].pasid ||
		    o[i].token != wanted[i].token)
			return v_error(0, "an object is not what it was");
	return 0;
}
