// SPDX-License-Identifier: LGPL-2.1-or-later
/* What memory, IOMMUs and devices have in common: names, the list, retrieving. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

bool ferry_name_is_good(const char *name)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-";
	size_t len = name ? strnlen(name, FERRY_NAME_SIZE) : 0;

	return len && len < FERRY_NAME_SIZE && strspn(name, good) == len;
}

int ferry_give(void *out, const void *ours, size_t size)
{
	uint32_t room;

	memcpy(&room, out, sizeof(room));
	if (room < sizeof(room))
		return -EINVAL;
	if (room > size)
		memset((char *)out + size, 0, room - size);
	memcpy((char *)out + sizeof(room), (const char *)ours + sizeof(room),
	       (room < size ? room : size) - sizeof(room));
	return 0;
}

int ferry_take(void *ours, const void *in, size_t size)
{
	const char *bytes = in;
	uint32_t given, i;

	memcpy(&given, in, sizeof(given));
	if (given < size)
		return -EINVAL;
	for (i = size; i < given; i++)
		if (bytes[i])
			return -E2BIG;
	memcpy(ours, in, size);
	return 0;
}

/* Not in the list yet: that is the last step, so that a failure has only to free it. */
int ferry_object_new(struct ferry_session *s, enum ferry_kind kind, const char *name,
		     size_t size, struct object **out)
{
	struct object *o;

	if (!ferry_name_is_good(name))
		return ferry_name_fails(s, kind, name, -EINVAL, "that is no name");
	for (o = s->objects; o; o = o->next)
		if (!strcmp(o->name, name))
			return ferry_name_fails(s, kind, name, -EEXIST, "the name is taken");
	o = s->host->ops->alloc(s->host->ctx, size);
	if (!o)
		return ferry_name_fails(s, kind, name, -ENOMEM, "no object");
	o->session = s;
	o->kind = kind;
	o->fd = -1;
	strcpy(o->name, name);
	*out = o;
	return 0;
}

void ferry_object_free(struct object *o)
{
	struct ferry_host *h = o->session->host;

	if (o->fd >= 0)
		h->ops->close(h->ctx, o->fd);
	if (o->kind == FERRY_IOMMU)
		free(iommu_of(o)->mappings);
	free(o);
}

void ferry_object_append(struct object *o)
{
	struct object **end = &o->session->objects;

	while (*end)
		end = &(*end)->next;
	*end = o;
}

void ferry_object_remove(struct object *o)
{
	struct object **at = &o->session->objects;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	ferry_object_free(o);
}

/* May objects come, go and change? */
int ferry_session_is_open(struct ferry_session *s, enum ferry_kind kind, const char *name)
{
	if (s->state == FERRY_OPEN || s->state == FERRY_FINISHED)
		return 0;
	if (s->state == FERRY_SPENT)
		return ferry_session_fails(s, -ESTALE, "nothing can be changed");
	return ferry_name_fails(s, kind, name, -EBUSY, s->state == FERRY_PRESERVED ?
				"the session is preserved" : "the session is not finished");
}

struct object *ferry_object_find(struct ferry_session *s, enum ferry_kind kind,
				 const char *name)
{
	struct object *o;

	for (o = s->objects; o; o = o->next)
		if (name && o->kind == kind && !strcmp(o->name, name))
			return o;
	return NULL;
}

int ferry_object_fd(struct object *o)
{
	struct ferry_session *s = o->session;
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg), .token = o->token, .fd = -1,
	};
	int rc;

	if (o->fd >= 0)
		return 0;
	rc = s->host->ops->ioctl(s->host->ctx, s->fd, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg);
	if (rc)
		return ferry_object_fails(o, rc, "it is not retrieved");
	o->fd = arg.fd;
	return 0;
}

/* Finds the object and its file; what that holds is for the caller to look at. */
int ferry_object_retrieve(struct ferry_session *s, enum ferry_kind kind, const char *name,
			  struct object **out)
{
	struct object *o;
	int rc = ferry_session_load(s);

	if (rc)
		return rc;
	o = ferry_object_find(s, kind, name);
	if (!o)
		return ferry_name_fails(s, kind, name, -ENOENT, "it is not in the session");
	rc = ferry_object_fd(o);
	if (!rc)
		*out = o;
	return rc;
}
