// SPDX-License-Identifier: GPL-2.0-only
/* A VFIO device through its own character device. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "guest.h"
#include "hw.h"

int vfio_open(const char *bdf)
{
	char path[300];
	struct dirent *e;
	int fd = -ENODEV;
	DIR *dir;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/vfio-dev", bdf);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		if (strncmp(e->d_name, "vfio", 4))
			continue;
		snprintf(path, sizeof(path), "/dev/vfio/devices/%s", e->d_name);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
		break;
	}
	closedir(dir);
	return fd;
}

int vfio_bind(int fd, int iommufd, uint32_t *dev_id)
{
	return vfio_bind_token(fd, iommufd, dev_id, NULL);
}

/* With the 16 bytes of the token of its PF, for a VF; NULL for all others. */
int vfio_bind_token(int fd, int iommufd, uint32_t *dev_id,
		    const uint8_t *uuid)
{
	struct vfio_device_bind_iommufd arg = {
		.argsz = sizeof(arg), .iommufd = iommufd,
		.flags = uuid ? VFIO_DEVICE_BIND_FLAG_TOKEN : 0,
		.token_uuid_ptr = (uintptr_t)uuid,
	};
	int rc = sys_ioctl(fd, VFIO_DEVICE_BIND_IOMMUFD, &arg);

	*dev_id = arg.out_devid;
	return rc;
}

int vfio_attach(int fd, uint32_t pt_id)
{
	struct vfio_device_attach_iommufd_pt arg = {
		.argsz = sizeof(arg), .pt_id = pt_id,
	};

	return sys_ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

int vfio_detach(int fd)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg) };

	return sys_ioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

int vfio_attach_pasid(int fd, uint32_t pasid, uint32_t pt_id)
{
	struct vfio_device_attach_iommufd_pt arg = {
		.argsz = sizeof(arg), .flags = VFIO_DEVICE_ATTACH_PASID,
		.pt_id = pt_id, .pasid = pasid,
	};

	return sys_ioctl(fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

int vfio_detach_pasid(int fd, uint32_t pasid)
{
	struct vfio_device_detach_iommufd_pt arg = {
		.argsz = sizeof(arg), .flags = VFIO_DEVICE_DETACH_PASID,
		.pasid = pasid,
	};

	return sys_ioctl(fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
}

int vfio_reset(int fd)
{
	return sys_ioctl(fd, VFIO_DEVICE_RESET, NULL);
}

int vfio_set_vf_token(int fd, const uint8_t *uuid)
{
	struct {
		struct vfio_device_feature head;
		uint8_t uuid[16];
	} arg = {
		.head.argsz = sizeof(arg),
		.head.flags = VFIO_DEVICE_FEATURE_SET |
			      VFIO_DEVICE_FEATURE_PCI_VF_TOKEN,
	};

	memcpy(arg.uuid, uuid, sizeof(arg.uuid));
	return sys_ioctl(fd, VFIO_DEVICE_FEATURE, &arg);
}

/* Features without data, such as those about low power. */
int vfio_feature_set(int fd, uint32_t feature)
{
	struct vfio_device_feature arg = {
		.argsz = sizeof(arg),
		.flags = VFIO_DEVICE_FEATURE_SET | feature,
	};

	return sys_ioctl(fd, VFIO_DEVICE_FEATURE, &arg);
}

static int region(int fd, unsigned int index, struct vfio_region_info *info)
{
	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	info->index = index;
	return sys_ioctl(fd, VFIO_DEVICE_GET_REGION_INFO, info);
}

volatile uint32_t *vfio_map_bar0(int fd, size_t *len)
{
	struct vfio_region_info info;
	void *p;

	if (region(fd, VFIO_PCI_BAR0_REGION_INDEX, &info))
		return NULL;
	p = mmap(NULL, info.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		 info.offset);
	*len = info.size;
	return p == MAP_FAILED ? NULL : p;
}

int vfio_config_or16(int fd, unsigned int off, uint16_t bits)
{
	struct vfio_region_info info;
	uint16_t val;
	int rc;

	rc = region(fd, VFIO_PCI_CONFIG_REGION_INDEX, &info);
	if (rc)
		return rc;
	if (pread(fd, &val, sizeof(val), info.offset + off) != sizeof(val))
		return -EIO;
	val |= bits;
	if (pwrite(fd, &val, sizeof(val), info.offset + off) != sizeof(val))
		return -EIO;
	return 0;
}

/* A register of BAR 0, without a mapping of it. */
int vfio_bar0_read32(int fd, unsigned int off, uint32_t *val)
{
	struct vfio_region_info info;
	int rc;

	rc = region(fd, VFIO_PCI_BAR0_REGION_INDEX, &info);
	if (rc)
		return rc;
	if (pread(fd, val, sizeof(*val), info.offset + off) != sizeof(*val))
		return -EIO;
	return 0;
}

int vfio_bar0_write32(int fd, unsigned int off, uint32_t val)
{
	struct vfio_region_info info;
	int rc;

	rc = region(fd, VFIO_PCI_BAR0_REGION_INDEX, &info);
	if (rc)
		return rc;
	if (pwrite(fd, &val, sizeof(val), info.offset + off) != sizeof(val))
		return -EIO;
	return 0;
}

/* The place of a capability in the configuration space the user sees, or 0. */
int vfio_find_cap(int fd, uint8_t id)
{
	struct vfio_region_info info;
	uint8_t pos, cap[2];
	int rc;

	rc = region(fd, VFIO_PCI_CONFIG_REGION_INDEX, &info);
	if (rc)
		return rc;
	if (pread(fd, &pos, 1, info.offset + 0x34) != 1)
		return -EIO;
	while (pos >= 0x40) {
		if (pread(fd, cap, 2, info.offset + pos) != 2)
			return -EIO;
		if (cap[0] == id)
			return pos;
		pos = cap[1];
	}
	return 0;
}

int vfio_config_write16(int fd, unsigned int off, uint16_t val)
{
	struct vfio_region_info info;
	int rc;

	rc = region(fd, VFIO_PCI_CONFIG_REGION_INDEX, &info);
	if (rc)
		return rc;
	if (pwrite(fd, &val, sizeof(val), info.offset + off) != sizeof(val))
		return -errno;
	return 0;
}
