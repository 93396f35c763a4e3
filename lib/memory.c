// SPDX-License-Identifier: LGPL-2.1-or-later
/* Memory: a memfd under a name. */
#include <errno.h>

#include "private.h"

static int memory_new(struct ferry_session *s, const char *name, struct object **o)
{
	int rc = ferry_session_is_open(s, FERRY_MEMORY, name);

	return rc ? rc : ferry_object_new(s, FERRY_MEMORY, name, sizeof(struct ferry_memory), o);
}

EXPORT int ferry_memory_create(struct ferry_session *s, const char *name, uint64_t length,
			       struct ferry_memory **memory)
{
	const struct ferry_ops *ops = s->host->ops;
	struct object *o;
	int rc = memory_new(s, name, &o);

	if (rc)
		return rc;
	if (!length || length > INT64_MAX) {
		rc = ferry_object_fails(o, -EINVAL, "that is no length");
		goto free;
	}
	o->fd = rc = ops->memfd(s->host->ctx, name);
	if (rc >= 0)
		rc = ops->truncate(s->host->ctx, o->fd, length);
	if (rc) {
		ferry_object_fails(o, rc, "no memory is made");
		goto free;
	}
	memory_of(o)->length = length;
	ferry_object_append(o);
	*memory = memory_of(o);
	return 0;
free:
	ferry_object_free(o);
	return rc;
}

EXPORT int ferry_memory_adopt(struct ferry_session *s, const char *name, int fd,
			      struct ferry_memory **memory)
{
	const struct ferry_ops *ops = s->host->ops;
	struct object *o;
	int rc = memory_new(s, name, &o);

	if (rc)
		return rc;
	rc = ops->length(s->host->ctx, fd, &memory_of(o)->length);
	if (!rc && !memory_of(o)->length)
		rc = -EINVAL;
	if (!rc) {
		rc = ops->dup(s->host->ctx, fd);
		o->fd = rc < 0 ? -1 : rc;
	}
	if (rc < 0) {
		ferry_object_fails(o, rc, "it is not adopted");
		ferry_object_free(o);
		return rc;
	}
	ferry_object_append(o);
	*memory = memory_of(o);
	return 0;
}

int ferry_memory_whole(struct ferry_memory *memory)
{
	struct ferry_host *h = memory->o.session->host;
	uint64_t length = 0;
	int rc;

	rc = ferry_object_fd(&memory->o);
	if (rc)
		return rc;
	rc = h->ops->length(h->ctx, memory->o.fd, &length);
	if (!rc && length != memory->length)
		rc = -EBADMSG;
	return rc ? ferry_object_fails(&memory->o, rc, "its length") : 0;
}

EXPORT int ferry_memory_retrieve(struct ferry_session *s, const char *name,
				 struct ferry_memory **memory)
{
	struct object *o;
	int rc = ferry_object_retrieve(s, FERRY_MEMORY, name, &o);

	if (!rc)
		rc = ferry_memory_whole(memory_of(o));
	if (!rc)
		*memory = memory_of(o);
	return rc;
}

static bool is_mapped(const struct ferry_memory *memory)
{
	struct object *o;
	uint32_t i;

	for (o = memory->o.session->objects; o; o = o->next) {
		if (o->kind != FERRY_IOMMU)
			continue;
		for (i = 0; i < iommu_of(o)->nr_mappings; i++)
			if (iommu_of(o)->mappings[i].memory == memory)
				return true;
	}
	return false;
}

EXPORT int ferry_memory_close(struct ferry_memory *memory)
{
	int rc = ferry_session_is_open(memory->o.session, FERRY_MEMORY, memory->o.name);

	if (rc)
		return rc;
	if (is_mapped(memory))
		return ferry_object_fails(&memory->o, -EBUSY, "an IOMMU has it mapped");
	ferry_object_remove(&memory->o);
	return 0;
}

EXPORT int ferry_memory_fd(const struct ferry_memory *memory)
{
	return memory->o.fd;
}

EXPORT uint64_t ferry_memory_length(const struct ferry_memory *memory)
{
	return memory->length;
}
