// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * IOMMU: an iommufd with one address space under a name. The kernel has no call that
 * lists mappings, so they are written down here, in the order of their IOVAs.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

#define PAGE	4096ULL

static int iommu_new(struct ferry_session *s, const char *name, struct object **o)
{
	int rc = ferry_session_is_open(s, FERRY_IOMMU, name);

	return rc ? rc : ferry_object_new(s, FERRY_IOMMU, name, sizeof(struct ferry_iommu), o);
}

EXPORT int ferry_iommu_create(struct ferry_session *s, const char *name,
			      struct ferry_iommu **iommu)
{
	struct iommu_ioas_alloc arg = { .size = sizeof(arg) };
	struct ferry_host *h = s->host;
	struct object *o;
	int rc = iommu_new(s, name, &o);

	if (rc)
		return rc;
	rc = h->ops->open(h->ctx, "/dev/iommu", 2);
	if (rc < 0) {
		ferry_object_fails(o, rc == -ENOENT ? -ENODEV : rc, "/dev/iommu");
		goto free;
	}
	o->fd = rc;
	rc = h->ops->ioctl(h->ctx, o->fd, IOMMU_IOAS_ALLOC, &arg);
	if (rc) {
		ferry_object_fails(o, rc, "no address space is made");
		goto free;
	}
	iommu_of(o)->ioas = arg.out_ioas_id;
	ferry_object_append(o);
	*iommu = iommu_of(o);
	return 0;
free:
	ferry_object_free(o);
	return rc == -ENOENT ? -ENODEV : rc;
}

EXPORT int ferry_iommu_adopt(struct ferry_session *s, const char *name, int fd, uint32_t ioas,
			     struct ferry_iommu **iommu)
{
	struct ferry_host *h = s->host;
	struct object *o;
	int rc = iommu_new(s, name, &o);

	if (rc)
		return rc;
	rc = ioas ? h->ops->dup(h->ctx, fd) : -EINVAL;
	if (rc < 0) {
		ferry_object_fails(o, rc, "it is not adopted");
		ferry_object_free(o);
		return rc;
	}
	o->fd = rc;
	iommu_of(o)->ioas = ioas;
	ferry_object_append(o);
	*iommu = iommu_of(o);
	return 0;
}

/* Is the address space of the directory one of those the kernel has restored? */
static int has_ioas(struct ferry_iommu *iommu)
{
	struct iommu_liveupdate_objects arg = { .size = sizeof(arg) };
	struct ferry_host *h = iommu->o.session->host;
	struct iommu_liveupdate_object *list;
	int rc = -EBADMSG;
	uint32_t i;

	if (h->ops->ioctl(h->ctx, iommu->o.fd, IOMMU_LIVEUPDATE_OBJECTS, &arg) == -EMSGSIZE)
		rc = 0;
	if (rc || arg.count > 1U << 20)
		return -EBADMSG;
	list = h->ops->alloc(h->ctx, (size_t)arg.count * sizeof(*list));
	if (!list)
		return -ENOMEM;
	arg.objects_uptr = (uintptr_t)list;
	rc = h->ops->ioctl(h->ctx, iommu->o.fd, IOMMU_LIVEUPDATE_OBJECTS, &arg);
	for (i = 0; !rc && i < arg.count; i++)
		if (list[i].type == IOMMU_LIVEUPDATE_OBJECT_IOAS && list[i].id == iommu->ioas)
			break;
	if (!rc && i == arg.count)
		rc = -EBADMSG;
	free(list);
	return rc;
}

/* With the memory that is mapped in it, so that no mapping is without its memory. */
int ferry_iommu_whole(struct ferry_iommu *iommu)
{
	uint32_t i;
	int rc = 0;

	if (iommu->o.session->state != FERRY_RETRIEVED)
		return 0;
	for (i = 0; !rc && i < iommu->nr_mappings; i++)
		rc = ferry_memory_whole(iommu->mappings[i].memory);
	if (rc)
		return rc;
	rc = has_ioas(iommu);
	return rc ? ferry_object_fails(&iommu->o, rc, "its address space is not there") : 0;
}

EXPORT int ferry_iommu_retrieve(struct ferry_session *s, const char *name,
				struct ferry_iommu **iommu)
{
	struct object *o;
	int rc = ferry_object_retrieve(s, FERRY_IOMMU, name, &o);

	if (rc)
		return rc;
	rc = ferry_iommu_whole(iommu_of(o));
	if (!rc)
		*iommu = iommu_of(o);
	return rc;
}

EXPORT int ferry_iommu_close(struct ferry_iommu *iommu)
{
	struct object *o;
	int rc = ferry_session_is_open(iommu->o.session, FERRY_IOMMU, iommu->o.name);

	if (rc)
		return rc;
	for (o = iommu->o.session->objects; o; o = o->next)
		if (o->kind == FERRY_DEVICE && device_of(o)->iommu == iommu)
			return ferry_object_fails(&iommu->o, -EBUSY, "a device uses it");
	ferry_object_remove(&iommu->o);
	return 0;
}

/* The first mapping that ends behind @iova. */
static uint32_t place_of(const struct ferry_iommu *iommu, uint64_t iova)
{
	uint32_t low = 0, high = iommu->nr_mappings;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct mapping *m = &iommu->mappings[mid];

		if (m->iova + (m->length - 1) < iova)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Room first, so that what the kernel has mapped can always be written down. */
static int make_room(struct ferry_iommu *iommu)
{
	struct ferry_host *h = iommu->o.session->host;
	uint32_t room = iommu->room ? iommu->room * 2 : 16;
	struct mapping *more;

	if (iommu->nr_mappings < iommu->room)
		return 0;
	more = h->ops->alloc(h->ctx, room * sizeof(*more));
	if (!more)
		return -ENOMEM;
	if (iommu->nr_mappings)
		memcpy(more, iommu->mappings, iommu->nr_mappings * sizeof(*more));
	free(iommu->mappings);
	iommu->mappings = more;
	iommu->room = room;
	return 0;
}

/* What is wrong with it in itself; of the directory, too, so nothing may wrap. */
static int check(const struct mapping *m)
{
	uint64_t room;

	if (!m->memory || !m->length || (m->iova | m->length | m->offset) % PAGE)
		return -EINVAL;
	if (!m->flags || m->flags & ~(FERRY_MAP_READ | FERRY_MAP_WRITE))
		return -EINVAL;
	if (m->offset >= m->memory->length || m->iova + (m->length - 1) < m->iova)
		return -EINVAL;
	/* The last page of the memory may be a part of one */
	room = (m->memory->length - m->offset + (PAGE - 1)) & ~(PAGE - 1);
	return m->length > room ? -EINVAL : 0;
}

static int find_place(struct ferry_iommu *iommu, const struct mapping *m, uint32_t *at)
{
	int rc = check(m);

	if (rc)
		return rc;
	*at = place_of(iommu, m->iova);
	if (*at < iommu->nr_mappings && iommu->mappings[*at].iova <= m->iova + (m->length - 1))
		return -EEXIST;
	return make_room(iommu);
}

static void put_at(struct ferry_iommu *iommu, const struct mapping *m, uint32_t at)
{
	memmove(&iommu->mappings[at + 1], &iommu->mappings[at],
		(iommu->nr_mappings - at) * sizeof(*m));
	iommu->mappings[at] = *m;
	iommu->nr_mappings++;
}

int ferry_iommu_insert(struct ferry_iommu *iommu, const struct mapping *m)
{
	uint32_t at;
	int rc = find_place(iommu, m, &at);

	if (!rc)
		put_at(iommu, m, at);
	return rc;
}

/* May it change, and what does the caller mean? */
static int begin(struct ferry_iommu *iommu, const struct ferry_mapping *in, struct mapping *m)
{
	struct ferry_mapping ours = { .size = sizeof(ours) };
	int rc = ferry_session_is_open(iommu->o.session, FERRY_IOMMU, iommu->o.name);

	if (rc)
		return rc;
	rc = TAKE(&ours, in);
	if (!rc && (!ours.memory || ours.memory->o.session != iommu->o.session))
		rc = -EINVAL;
	if (rc)
		return ferry_object_fails(&iommu->o, rc, "that is no mapping");
	*m = (struct mapping){ ours.memory, ours.iova, ours.length, ours.offset, ours.flags };
	return 0;
}

static int map_file(struct ferry_iommu *iommu, const struct mapping *m)
{
	struct ferry_host *h = iommu->o.session->host;
	struct iommu_ioas_map_file arg = {
		.size = sizeof(arg),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA,
		.ioas_id = iommu->ioas,
		.fd = m->memory->o.fd,
		.start = m->offset,
		.length = m->length,
		.iova = m->iova,
	};

	if (m->flags & FERRY_MAP_READ)
		arg.flags |= IOMMU_IOAS_MAP_READABLE;
	if (m->flags & FERRY_MAP_WRITE)
		arg.flags |= IOMMU_IOAS_MAP_WRITEABLE;
	return h->ops->ioctl(h->ctx, iommu->o.fd, IOMMU_IOAS_MAP_FILE, &arg);
}

EXPORT int ferry_iommu_map(struct ferry_iommu *iommu, const struct ferry_mapping *mapping)
{
	struct mapping m;
	uint32_t at;
	int rc = begin(iommu, mapping, &m);

	if (rc)
		return rc;
	rc = find_place(iommu, &m, &at);
	if (!rc)
		rc = map_file(iommu, &m);
	if (rc)
		return ferry_object_fails(&iommu->o, rc, "it is not mapped");
	put_at(iommu, &m, at);
	return 0;
}

EXPORT int ferry_iommu_note(struct ferry_iommu *iommu, const struct ferry_mapping *mapping)
{
	struct mapping m;
	int rc = begin(iommu, mapping, &m);

	if (rc)
		return rc;
	rc = ferry_iommu_insert(iommu, &m);
	return rc ? ferry_object_fails(&iommu->o, rc, "it is not noted") : 0;
}

static int take_out(struct ferry_iommu *iommu, uint64_t iova, uint64_t length, bool unmap)
{
	struct iommu_ioas_unmap arg = {
		.size = sizeof(arg), .ioas_id = iommu->ioas, .iova = iova, .length = length,
	};
	struct ferry_host *h = iommu->o.session->host;
	int rc = ferry_session_is_open(iommu->o.session, FERRY_IOMMU, iommu->o.name);
	uint32_t at = place_of(iommu, iova);

	if (rc)
		return rc;
	if (at == iommu->nr_mappings || iommu->mappings[at].iova != iova ||
	    iommu->mappings[at].length != length)
		return ferry_object_fails(&iommu->o, -ENOENT, "no mapping is exactly there");
	if (unmap) {
		rc = h->ops->ioctl(h->ctx, iommu->o.fd, IOMMU_IOAS_UNMAP, &arg);
		if (rc)
			return ferry_object_fails(&iommu->o, rc, "it is not unmapped");
	}
	iommu->nr_mappings--;
	memmove(&iommu->mappings[at], &iommu->mappings[at + 1],
		(iommu->nr_mappings - at) * sizeof(*iommu->mappings));
	return 0;
}

EXPORT int ferry_iommu_unmap(struct ferry_iommu *iommu, uint64_t iova, uint64_t length)
{
	return take_out(iommu, iova, length, true);
}

EXPORT int ferry_iommu_forget(struct ferry_iommu *iommu, uint64_t iova, uint64_t length)
{
	return take_out(iommu, iova, length, false);
}

EXPORT int ferry_iommu_mapping(struct ferry_iommu *iommu, unsigned int nth,
			       struct ferry_mapping *mapping)
{
	struct ferry_mapping out = { .size = sizeof(out) };
	const struct mapping *m;

	if (nth >= iommu->nr_mappings)
		return -ENOENT;
	m = &iommu->mappings[nth];
	out.flags = m->flags;
	out.memory = m->memory;
	out.offset = m->offset;
	out.length = m->length;
	out.iova = m->iova;
	return GIVE(mapping, &out);
}

EXPORT int ferry_iommu_fd(const struct ferry_iommu *iommu)
{
	return iommu->o.fd;
}

EXPORT uint32_t ferry_iommu_ioas(const struct ferry_iommu *iommu)
{
	return iommu->ioas;
}
