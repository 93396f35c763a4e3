// SPDX-License-Identifier: LGPL-2.1-or-later
/* A device: the character device of a VFIO device under a name, bound to an IOMMU. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "private.h"

/* dddd:bb:dd.f */
bool ferry_address_is_good(const char *a)
{
	static const char form[] = "xxxx:xx:xx.o";
	size_t i;

	for (i = 0; form[i]; i++) {
		if (form[i] == 'x' ? !isxdigit((unsigned char)a[i]) :
		    form[i] == 'o' ? a[i] < '0' || a[i] > '7' : a[i] != form[i])
			return false;
	}
	return !a[i];
}

int ferry_device_cdev(struct ferry_host *h, const char *address, char *path, size_t len)
{
	char dir[80], name[32];
	int rc;

	snprintf(dir, sizeof(dir), "/sys/bus/pci/devices/%.12s/vfio-dev", address);
	rc = h->ops->entry(h->ctx, dir, 0, name, sizeof(name));
	if (rc)
		return rc == -ENOENT ? -ENODEV : rc;
	snprintf(path, len, "/dev/vfio/devices/%s", name);
	return 0;
}

int ferry_device_bind(struct ferry_host *h, int fd, int iommufd, uint32_t *id)
{
	struct vfio_device_bind_iommufd arg = { .argsz = sizeof(arg), .iommufd = iommufd };
	int rc = h->ops->ioctl(h->ctx, fd, VFIO_DEVICE_BIND_IOMMUFD, &arg);

	*id = arg.out_devid;
	/* Another file of the device is open: the kernel says no more than that */
	return rc == -EINVAL ? -EBUSY : rc;
}

static int device_new(struct ferry_session *s, const char *name, struct ferry_iommu *iommu,
		      struct object **o)
{
	int rc = ferry_session_is_open(s, FERRY_DEVICE, name);

	if (rc)
		return rc;
	if (!iommu || iommu->o.session != s)
		return ferry_name_fails(s, FERRY_DEVICE, name, -EINVAL,
					"its IOMMU is not of this session");
	rc = ferry_object_new(s, FERRY_DEVICE, name, sizeof(struct ferry_device), o);
	if (!rc)
		device_of(*o)->iommu = iommu;
	return rc;
}

static int not_vfio(struct object *o)
{
	char text[256];

	snprintf(text, sizeof(text), "session \"%s\": device \"%s\"", o->session->name, o->name);
	return ferry_say(o->session->error, -ENODEV, text,
			 "there is none, or its driver is not vfio-pci",
			 "\"ferry check\" with its address says which, ferry(7) how to bind it");
}

static int open_and_bind(struct object *o, const char *address)
{
	struct ferry_host *h = o->session->host;
	char path[80];
	int rc;

	if (!address || !ferry_address_is_good(address))
		return ferry_object_fails(o, -EINVAL, "that is no address");
	rc = ferry_device_cdev(h, address, path, sizeof(path));
	if (rc == -ENODEV)
		return not_vfio(o);
	if (rc)
		return ferry_object_fails(o, rc, "its file is not found");
	rc = h->ops->open(h->ctx, path, 2);
	if (rc < 0)
		return ferry_object_fails(o, rc, "it is not opened");
	o->fd = rc;
	rc = ferry_device_bind(h, o->fd, device_of(o)->iommu->o.fd, &device_of(o)->id);
	return rc ? ferry_object_fails(o, rc, "it is not bound to its IOMMU") : 0;
}

EXPORT int ferry_device_open(struct ferry_session *s, const char *name, const char *address,
			     struct ferry_iommu *iommu, struct ferry_device **device)
{
	struct object *o;
	int rc = device_new(s, name, iommu, &o);

	if (rc)
		return rc;
	rc = open_and_bind(o, address);
	if (rc) {
		ferry_object_free(o);
		return rc;
	}
	ferry_object_append(o);
	*device = device_of(o);
	return 0;
}

EXPORT int ferry_device_adopt(struct ferry_session *s, const char *name, int fd,
			      struct ferry_iommu *iommu, uint32_t id, uint32_t hwpt,
			      struct ferry_device **device)
{
	struct object *o;
	int rc = device_new(s, name, iommu, &o);

	if (rc)
		return rc;
	rc = id ? s->host->ops->dup(s->host->ctx, fd) : -EINVAL;
	if (rc < 0) {
		ferry_object_fails(o, rc, "it is not adopted");
		ferry_object_free(o);
		return rc;
	}
	o->fd = rc;
	device_of(o)->id = id;
	device_of(o)->hwpt = hwpt;
	ferry_object_append(o);
	*device = device_of(o);
	return 0;
}

EXPORT int ferry_device_retrieve(struct ferry_session *s, const char *name,
				 struct ferry_device **device)
{
	struct ferry_device *d;
	struct object *o;
	uint32_t id = 0;
	int rc = ferry_session_load(s);

	if (rc)
		return rc;
	o = ferry_object_find(s, FERRY_DEVICE, name);
	if (o && s->state == FERRY_RETRIEVED) {
		rc = ferry_object_fd(&device_of(o)->iommu->o);
		if (!rc)
			rc = ferry_iommu_whole(device_of(o)->iommu);
		if (rc)
			return rc;
	}
	rc = ferry_object_retrieve(s, FERRY_DEVICE, name, &o);
	if (rc)
		return rc;
	d = device_of(o);
	if (s->state == FERRY_RETRIEVED) {
		/* It is bound; this only says to whom */
		rc = ferry_device_bind(s->host, o->fd, d->iommu->o.fd, &id);
		if (!rc && id != d->id)
			rc = -EBADMSG;
		if (rc)
			return ferry_object_fails(o, rc, "it is not bound to its IOMMU");
	}
	*device = d;
	return 0;
}

static int attach_to(struct ferry_device *d, uint32_t hwpt)
{
	struct ferry_host *h = d->o.session->host;
	struct vfio_device_attach_iommufd_pt arg = { .argsz = sizeof(arg), .pt_id = hwpt };

	return h->ops->ioctl(h->ctx, d->o.fd, VFIO_DEVICE_ATTACH_IOMMUFD_PT, &arg);
}

/* Another device of the same IOMMU that has this page table, or has any (0). */
static struct ferry_device *sharer(struct ferry_device *d, uint32_t hwpt, struct object *o)
{
	for (; o; o = o->next)
		if (o->kind == FERRY_DEVICE && o != &d->o && device_of(o)->iommu == d->iommu &&
		    device_of(o)->hwpt && (!hwpt || device_of(o)->hwpt == hwpt))
			return device_of(o);
	return NULL;
}

static void destroy(struct ferry_device *d, uint32_t hwpt)
{
	struct ferry_host *h = d->o.session->host;
	struct iommu_destroy arg = { .size = sizeof(arg), .id = hwpt };

	h->ops->ioctl(h->ctx, d->iommu->o.fd, IOMMU_DESTROY, &arg);
}

/* The address space is filled already: attached to it by its id, a table would be empty. */
static int attach_to_new(struct ferry_device *d)
{
	struct ferry_host *h = d->o.session->host;
	struct iommu_hwpt_alloc arg = {
		.size = sizeof(arg), .dev_id = d->id, .pt_id = d->iommu->ioas,
	};
	int rc = h->ops->ioctl(h->ctx, d->iommu->o.fd, IOMMU_HWPT_ALLOC, &arg);

	if (rc)
		return ferry_object_fails(&d->o, rc, "no page table is made");
	rc = attach_to(d, arg.out_hwpt_id);
	if (rc) {
		destroy(d, arg.out_hwpt_id);
		return ferry_object_fails(&d->o, rc, "it is not attached");
	}
	d->hwpt = arg.out_hwpt_id;
	d->ours = true;
	return 0;
}

EXPORT int ferry_device_attach(struct ferry_device *d)
{
	struct object *from = d->o.session->objects;
	struct ferry_device *other;
	int rc = ferry_session_is_open(d->o.session, FERRY_DEVICE, d->o.name);

	if (rc)
		return rc;
	if (d->hwpt)
		return ferry_object_fails(&d->o, -EALREADY, "it is attached");
	while ((other = sharer(d, 0, from))) {
		rc = attach_to(d, other->hwpt);
		if (!rc) {
			d->hwpt = other->hwpt;
			d->ours = other->ours;
			return 0;
		}
		/* Behind another IOMMU, maybe, which wants another table */
		if (rc != -EINVAL)
			return ferry_object_fails(&d->o, rc, "it is not attached");
		from = other->o.next;
	}
	return attach_to_new(d);
}

static void let_go_of_table(struct ferry_device *d)
{
	if (d->ours && !sharer(d, d->hwpt, d->o.session->objects))
		destroy(d, d->hwpt);
	d->hwpt = 0;
	d->ours = false;
}

EXPORT int ferry_device_detach(struct ferry_device *d)
{
	struct vfio_device_detach_iommufd_pt arg = { .argsz = sizeof(arg) };
	struct ferry_host *h = d->o.session->host;
	int rc = ferry_session_is_open(d->o.session, FERRY_DEVICE, d->o.name);

	if (rc)
		return rc;
	if (!d->hwpt)
		return ferry_object_fails(&d->o, -ENOENT, "it is not attached");
	rc = h->ops->ioctl(h->ctx, d->o.fd, VFIO_DEVICE_DETACH_IOMMUFD_PT, &arg);
	if (rc)
		return ferry_object_fails(&d->o, rc, "it is not detached");
	let_go_of_table(d);
	return 0;
}

EXPORT int ferry_device_close(struct ferry_device *d)
{
	struct ferry_host *h = d->o.session->host;
	int rc = ferry_session_is_open(d->o.session, FERRY_DEVICE, d->o.name);

	if (rc)
		return rc;
	h->ops->close(h->ctx, d->o.fd);
	d->o.fd = -1;
	let_go_of_table(d);
	ferry_object_remove(&d->o);
	return 0;
}

EXPORT int ferry_device_fd(const struct ferry_device *d)
{
	return d->o.fd;
}

EXPORT struct ferry_iommu *ferry_device_iommu(const struct ferry_device *d)
{
	return d->iommu;
}

EXPORT uint32_t ferry_device_id(const struct ferry_device *d)
{
	return d->id;
}

EXPORT uint32_t ferry_device_hwpt(const struct ferry_device *d)
{
	return d->hwpt;
}
