// SPDX-License-Identifier: GPL-2.0-only
/* PCI functions as sysfs shows them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "guest.h"
#include "hw.h"

#define PCI_DEVICES	"/sys/bus/pci/devices"

/* A hexadecimal number sysfs tells: vendor, device, subsystem_device, ... */
unsigned int pci_id(const char *bdf, const char *attr)
{
	char path[320], buf[32];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", bdf, attr);
	if (read_file(path, buf, sizeof(buf)) < 0)
		return 0;
	return strtoul(buf, NULL, 16);
}

/* The nth function (from 0) with these ids, in the order of the addresses. */
int pci_find(unsigned int vendor, unsigned int device, unsigned int nth,
	     char bdf[PCI_BDF_LEN])
{
	struct dirent **list;
	int i, n, rc = -ENODEV;

	n = scandir(PCI_DEVICES, &list, NULL, alphasort);
	if (n < 0)
		return -errno;
	for (i = 0; i < n; i++) {
		const char *name = list[i]->d_name;

		if (rc && name[0] != '.' && pci_id(name, "vendor") == vendor &&
		    pci_id(name, "device") == device && !nth--) {
			snprintf(bdf, PCI_BDF_LEN, "%.*s", PCI_BDF_LEN - 1,
				 name);
			rc = 0;
		}
		free(list[i]);
	}
	free(list);
	return rc;
}

int pci_set(const char *bdf, const char *attr, const char *text)
{
	char path[320];

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", bdf, attr);
	return write_file(path, text);
}

int pci_driver(const char *bdf, char *name, size_t len)
{
	char path[320], link[256], *base;
	ssize_t n;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/driver", bdf);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return -errno;
	link[n] = '\0';
	base = strrchr(link, '/');
	snprintf(name, len, "%s", base ? base + 1 : link);
	return 0;
}

int pci_bind_vfio(const char *bdf)
{
	char name[32];
	int rc;

	if (!pci_driver(bdf, name, sizeof(name))) {
		if (!strcmp(name, "vfio-pci"))
			return 0;
		rc = pci_set(bdf, "driver/unbind", bdf);
		if (rc)
			return rc;
	}
	rc = pci_set(bdf, "driver_override", "vfio-pci");
	if (rc)
		return rc;
	rc = write_file("/sys/bus/pci/drivers_probe", bdf);
	if (rc)
		return rc;
	rc = pci_driver(bdf, name, sizeof(name));
	if (rc)
		return rc;
	return strcmp(name, "vfio-pci") ? -EBUSY : 0;
}

static int open_attr(const char *bdf, const char *attr)
{
	char path[320];
	int fd;

	snprintf(path, sizeof(path), PCI_DEVICES "/%s/%s", bdf, attr);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int pci_config_read16(const char *bdf, unsigned int off)
{
	int fd = open_attr(bdf, "config");
	uint16_t val;
	ssize_t n;

	if (fd < 0)
		return fd;
	n = pread(fd, &val, sizeof(val), off);
	close(fd);
	return n == sizeof(val) ? val : -EIO;
}

int pci_config_write16(const char *bdf, unsigned int off, uint16_t val)
{
	int fd = open_attr(bdf, "config");
	ssize_t n;

	if (fd < 0)
		return fd;
	n = pwrite(fd, &val, sizeof(val), off);
	close(fd);
	return n == sizeof(val) ? 0 : -EIO;
}

volatile uint32_t *pci_map_bar0(const char *bdf, size_t len)
{
	int fd = open_attr(bdf, "resource0");
	void *p;

	if (fd < 0)
		return NULL;
	p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}
