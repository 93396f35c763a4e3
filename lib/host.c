// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The host: what a live update needs of it, one question after the other. Each answer
 * has a reason and, if something can be done about it, a remedy.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "private.h"

EXPORT const char *ferry_version(void)
{
	return FERRY_VERSION;
}

int ferry_host_new_with(const struct ferry_ops *ops, void *ctx, struct ferry_host **host)
{
	struct ferry_host *h = ops->alloc(ctx, sizeof(*h));

	if (!h)
		return -ENOMEM;
	h->ops = ops;
	h->ctx = ctx;
	*host = h;
	return 0;
}

EXPORT int ferry_host_new(struct ferry_host **host)
{
	return ferry_host_new_with(&ferry_real_ops, NULL, host);
}

EXPORT void ferry_host_free(struct ferry_host *host)
{
	free(host);
}

EXPORT const char *ferry_host_error(const struct ferry_host *host)
{
	return host->error;
}

/* ---- answers ---- */

/* The beginning of a file, as text. */
static int read_text(struct ferry_host *h, const char *path, char *text, size_t len)
{
	int fd = h->ops->open(h->ctx, path, O_RDONLY);
	ssize_t n;

	*text = '\0';
	if (fd < 0)
		return fd;
	n = h->ops->pread(h->ctx, fd, text, len - 1, 0);
	h->ops->close(h->ctx, fd);
	text[n < 0 ? 0 : n] = '\0';
	return n < 0 ? (int)n : 0;
}

static bool has_word(struct ferry_host *h, const char *word)
{
	char line[4097], *save, *at;

	if (read_text(h, "/proc/cmdline", line, sizeof(line)))
		return false;
	for (at = strtok_r(line, " \n", &save); at; at = strtok_r(NULL, " \n", &save))
		if (!strcmp(at, word))
			return true;
	return false;
}

static void no_file(struct ferry_requirement *r, const char *path, int rc)
{
	char reason[128];

	snprintf(reason, sizeof(reason), "%s may not be opened by this user", path);
	if (rc == -EACCES || rc == -EPERM)
		answer(r, FERRY_UNKNOWN, reason, "ask as root, or let this user have the file");
	else
		answer(r, FERRY_UNKNOWN, "it cannot be looked at", "");
}

static void ask_liveupdate(struct ferry_host *h, struct ferry_requirement *r)
{
	int rc = h->ops->access(h->ctx, "/dev/liveupdate", R_OK | W_OK);

	if (!rc)
		answer(r, FERRY_YES, "/dev/liveupdate is there", "");
	else if (rc == -EACCES)
		answer(r, FERRY_YES, "/dev/liveupdate is there, for other users than this one",
		       "be root to make sessions, or let this user have the file");
	else if (rc != -ENOENT)
		no_file(r, "/dev/liveupdate", rc);
	else if (!has_word(h, "liveupdate=on"))
		answer(r, FERRY_NO, "there is no /dev/liveupdate, and the kernel was not started "
		       "with liveupdate=on", "start a kernel that has CONFIG_LIVEUPDATE with "
		       "liveupdate=on kho=on");
	else if (!has_word(h, "kho=on"))
		answer(r, FERRY_NO, "there is no /dev/liveupdate, and the kernel was not started "
		       "with kho=on", "start it with kho=on, too");
	else
		answer(r, FERRY_NO, "there is no /dev/liveupdate", "start a kernel that has "
		       "CONFIG_LIVEUPDATE, and look at its log for \"KHO\"");
}

static void ask_kexec(struct ferry_host *h, struct ferry_requirement *r)
{
	if (h->ops->access(h->ctx, "/sys/kernel/kexec_loaded", F_OK) &&
	    h->ops->access(h->ctx, "/sys/kernel/kexec", F_OK))
		answer(r, FERRY_NO, "this kernel cannot start another one",
		       "start a kernel that has CONFIG_KEXEC_FILE");
	else
		answer(r, FERRY_YES, "kexec is there", "");
}

static void ask_iommu(struct ferry_host *h, struct ferry_requirement *r)
{
	char name[64];

	if (h->ops->entry(h->ctx, "/sys/class/iommu", 0, name, sizeof(name)))
		answer(r, FERRY_NO, "the kernel uses no IOMMU",
		       "switch it on in the firmware, and start the kernel with intel_iommu=on");
	else
		answer(r, FERRY_YES, name, "");
}

static void ask_iommufd(struct ferry_host *h, struct ferry_requirement *r)
{
	if (!h->ops->access(h->ctx, "/dev/iommu", F_OK))
		answer(r, FERRY_YES, "/dev/iommu is there", "");
	else
		answer(r, FERRY_NO, "there is no /dev/iommu",
		       "load the module iommufd, or start a kernel that has CONFIG_IOMMUFD");
}

static void ask_calls(struct ferry_host *h, struct ferry_requirement *r)
{
	struct iommu_liveupdate_objects arg = { .size = sizeof(arg) };
	int fd = h->ops->open(h->ctx, "/dev/iommu", O_RDWR), rc;

	if (fd == -ENOENT || fd == -ENODEV) {
		answer(r, FERRY_NO, "there is no /dev/iommu", "see above");
		return;
	}
	if (fd < 0) {
		no_file(r, "/dev/iommu", fd);
		return;
	}
	rc = h->ops->ioctl(h->ctx, fd, IOMMU_LIVEUPDATE_OBJECTS, &arg);
	h->ops->close(h->ctx, fd);
	if (!rc)
		answer(r, FERRY_YES, "iommufd knows the calls of a live update", "");
	else
		answer(r, FERRY_NO, "iommufd does not know the calls of a live update",
		       "start a kernel that keeps devices, with CONFIG_IOMMUFD_LIVEUPDATE");
}

static void ask_vfio(struct ferry_host *h, struct ferry_requirement *r)
{
	if (!h->ops->access(h->ctx, "/sys/bus/pci/drivers/vfio-pci", F_OK))
		answer(r, FERRY_YES, "vfio-pci is there", "");
	else
		answer(r, FERRY_NO, "there is no vfio-pci",
		       "load the module vfio-pci, or start a kernel that has CONFIG_VFIO_PCI "
		       "and CONFIG_VFIO_DEVICE_CDEV");
}

static const struct question {
	const char *name, *text;
	void (*ask)(struct ferry_host *h, struct ferry_requirement *r);
} questions[] = {
	{ "liveupdate", "the kernel keeps files over a kexec", ask_liveupdate },
	{ "kexec", "the kernel can start another one", ask_kexec },
	{ "iommu", "an IOMMU is in use", ask_iommu },
	{ "iommufd", "processes can have address spaces of it", ask_iommufd },
	{ "iommufd-liveupdate", "and these can be kept", ask_calls },
	{ "vfio-pci", "processes can have PCI devices", ask_vfio },
};

EXPORT int ferry_host_requirement(struct ferry_host *h, unsigned int nth,
				  struct ferry_requirement *req)
{
	struct ferry_requirement r = { .size = sizeof(r) };

	if (nth >= ARRAY_SIZE(questions))
		return -ENOENT;
	snprintf(r.name, sizeof(r.name), "%s", questions[nth].name);
	snprintf(r.text, sizeof(r.text), "%s", questions[nth].text);
	questions[nth].ask(h, &r);
	return GIVE(req, &r);
}

/* ---- a device ---- */

struct about {
	struct ferry_host *h;
	const char *address;
	struct ferry_requirement *r;
};

static void path_of(const struct about *a, const char *what, char *path, size_t len)
{
	snprintf(path, len, "/sys/bus/pci/devices/%.12s%s", a->address, what);
}

static bool has(const struct about *a, const char *what)
{
	char path[80];

	path_of(a, what, path, sizeof(path));
	return !a->h->ops->access(a->h->ctx, path, F_OK);
}

static void ask_there(const struct about *a)
{
	if (has(a, ""))
		answer(a->r, FERRY_YES, "it is there", "");
	else
		answer(a->r, FERRY_NO, "there is no such PCI function", "look at lspci -D");
}

/* The kernel's reasons, as far as they can be seen from outside */
static const char *kind_reason(const struct about *a, unsigned long class)
{
	if (class >> 16 == 0x06)
		return "it is a bridge";
	if (class >> 16 == 0x03)
		return "it is a display controller, which is used at boot";
	if (class >> 8 == 0x0c03)
		return "it is a USB controller, which is taken from firmware at boot";
	if (has(a, "/physfn"))
		return "it is an SR-IOV virtual function";
	if (has(a, "/sriov_totalvfs"))
		return "it is an SR-IOV physical function";
	if (!has(a, "/current_link_speed"))
		return "it is not a PCI Express device";
	return NULL;
}

static void ask_kind(const struct about *a)
{
	char path[80], text[32];
	const char *reason;
	int rc;

	path_of(a, "/class", path, sizeof(path));
	rc = read_text(a->h, path, text, sizeof(text));
	if (rc) {
		no_file(a->r, path, rc);
		return;
	}
	reason = kind_reason(a, strtoul(text, NULL, 16));
	if (reason)
		answer(a->r, FERRY_NO, reason, "give it back before the update, or keep another");
	else
		answer(a->r, FERRY_YES, "it is an ordinary PCI Express endpoint", "");
}

/* Firmware may want any device behind the same IOMMU to reach some memory always. */
static void ask_firmware(const struct about *a)
{
	const char *const devices = "/iommu/devices";
	char dir[80], path[200], name[64], text[4097], reason[200];
	unsigned int i;

	path_of(a, devices, dir, sizeof(dir));
	for (i = 0; !a->h->ops->entry(a->h->ctx, dir, i, name, sizeof(name)); i++) {
		snprintf(path, sizeof(path), "%s/%s/iommu_group/reserved_regions", dir, name);
		if (read_text(a->h, path, text, sizeof(text)) || !strstr(text, " direct\n"))
			continue;
		snprintf(reason, sizeof(reason),
			 "firmware needs a direct mapping for %s, behind the same IOMMU", name);
		answer(a->r, FERRY_NO, reason, "look for a way to switch that off in the firmware");
		return;
	}
	if (i)
		answer(a->r, FERRY_YES, "no device behind its IOMMU does", "");
	else
		answer(a->r, FERRY_UNKNOWN, "it cannot be looked at", "");
}

static void ask_group(const struct about *a)
{
	char path[96], name[64];

	if (!has(a, "/iommu_group")) {
		answer(a->r, FERRY_NO, "no IOMMU is responsible for it",
		       "start the kernel with the IOMMU on");
		return;
	}
	path_of(a, "/iommu_group/devices", path, sizeof(path));
	if (!a->h->ops->entry(a->h->ctx, path, 1, name, sizeof(name)))
		answer(a->r, FERRY_NO, "it shares its IOMMU group with other devices",
		       "put it into a slot of its own");
	else
		answer(a->r, FERRY_YES, "it is alone in its IOMMU group", "");
}

static void ask_driver(const struct about *a)
{
	char path[96], link[200], reason[256];
	const char *name;

	path_of(a, "/driver", path, sizeof(path));
	if (a->h->ops->readlink(a->h->ctx, path, link, sizeof(link)) < 0) {
		answer(a->r, FERRY_NO, "it has no driver", "bind it to vfio-pci");
		return;
	}
	name = strrchr(link, '/') ? strrchr(link, '/') + 1 : link;
	snprintf(reason, sizeof(reason), "its driver is %s", name);
	if (!strcmp(name, "vfio-pci"))
		answer(a->r, FERRY_YES, reason, "");
	else
		answer(a->r, FERRY_NO, reason, "unbind it, and bind it to vfio-pci");
}

/* 1 or 0, or a negative errno */
static int can_keep(const struct about *a)
{
	struct iommu_hw_info arg = { .size = sizeof(arg) };
	const struct ferry_ops *ops = a->h->ops;
	void *ctx = a->h->ctx;
	int iommufd, fd, rc;
	char path[80];

	rc = ferry_device_cdev(a->h, a->address, path, sizeof(path));
	if (rc)
		return rc;
	iommufd = ops->open(ctx, "/dev/iommu", O_RDWR);
	if (iommufd < 0)
		return iommufd;
	fd = rc = ops->open(ctx, path, O_RDWR);
	if (fd >= 0) {
		rc = ferry_device_bind(a->h, fd, iommufd, &arg.dev_id);
		if (!rc)
			rc = ops->ioctl(ctx, iommufd, IOMMU_GET_HW_INFO, &arg);
		ops->close(ctx, fd);
	}
	ops->close(ctx, iommufd);
	return rc ? rc : !!(arg.out_capabilities & IOMMU_HW_CAP_LIVEUPDATE_DOMAIN);
}

static void ask_keep(const struct about *a)
{
	int rc = can_keep(a);

	if (rc == 1)
		answer(a->r, FERRY_YES, "its IOMMU says so", "");
	else if (!rc)
		answer(a->r, FERRY_NO, "its IOMMU cannot keep page tables over a kexec",
		       "start a kernel that keeps devices, on a machine whose IOMMU it knows");
	else if (rc == -EBUSY)
		answer(a->r, FERRY_UNKNOWN, "a process has it open, only that one can ask",
		       "ask again when it is not in use");
	else if (rc == -ENODEV)
		answer(a->r, FERRY_UNKNOWN, "it is not bound to vfio-pci",
		       "bind it to vfio-pci, and ask again");
	else
		no_file(a->r, "its device file", rc);
}

/* To open a device resets it: not for an answer that is certain */
static void ask_preserve(const struct about *a)
{
	static void (*const before[])(const struct about *a) = {
		ask_there, ask_kind, ask_group, ask_firmware, ask_driver,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(before); i++) {
		before[i](a);
		if (a->r->answer == FERRY_NO) {
			answer(a->r, FERRY_UNKNOWN, "it was not tried, because of what is said above",
			       "see there");
			return;
		}
	}
	ferry_trial(a->h, a->address, a->r);
}

static const struct device_question {
	const char *name, *text;
	void (*ask)(const struct about *a);
} device_questions[] = {
	{ "device", "the device exists", ask_there },
	{ "kind", "the next kernel can leave it alone", ask_kind },
	{ "group", "the IOMMU can tell it from others", ask_group },
	{ "firmware", "firmware needs no memory to be mapped directly", ask_firmware },
	{ "driver", "a process can have it", ask_driver },
	{ "keep", "its IOMMU can keep what it reaches", ask_keep },
	{ "preserve", "the kernel keeps it", ask_preserve },
};

EXPORT int ferry_host_device_requirement(struct ferry_host *h, const char *address,
					 unsigned int nth, struct ferry_requirement *req)
{
	struct ferry_requirement r = { .size = sizeof(r) };
	struct about a = { h, address, &r };

	if (!address || !ferry_address_is_good(address))
		return ferry_say(h->error, -EINVAL, "device", "that is no PCI address",
				 "write it as in 0000:00:03.0");
	if (nth >= ARRAY_SIZE(device_questions))
		return -ENOENT;
	snprintf(r.name, sizeof(r.name), "%s", device_questions[nth].name);
	snprintf(r.text, sizeof(r.text), "%s", device_questions[nth].text);
	device_questions[nth].ask(&a);
	return GIVE(req, &r);
}
