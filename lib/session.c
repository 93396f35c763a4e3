// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A session: what becomes of all its objects together.
 *
 * The kernel has no call that takes one file out of a session: to back out is to close
 * it. That ends what was preserved when no other process has the file descriptor,
 * and then, of what was made here, nothing is left but the marks of page tables, which
 * are taken away last. Each step of a preserve that needs memory comes before the first
 * that changes something; backing out needs none.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

#define BUSY_MS		1000
#define BUSY_STEP_MS	5

static bool name_is_good(const char *name)
{
	size_t len = name ? strnlen(name, FERRY_NAME_SIZE) : 0, i;

	for (i = 0; i < len; i++)
		if (name[i] == '/' || (unsigned char)name[i] < ' ' || name[i] == 0x7f)
			return false;
	return len && len < FERRY_NAME_SIZE;
}

/* It can be open once; who has it is done in a moment. */
static int open_liveupdate(struct ferry_host *h)
{
	unsigned int waited;
	int fd;

	for (waited = 0;; waited += BUSY_STEP_MS) {
		fd = h->ops->open(h->ctx, "/dev/liveupdate", 2);
		if (fd != -EBUSY || waited >= BUSY_MS)
			return fd;
		h->ops->pause(h->ctx, BUSY_STEP_MS);
	}
}

static int host_fails(struct ferry_host *h, int rc, const char *name, const char *what)
{
	char text[160];

	snprintf(text, sizeof(text), "session \"%.63s\": %s", name ? name : "", what);
	return ferry_say(h->error, rc, text, NULL, NULL);
}

static int no_liveupdate(struct ferry_host *h, const char *name, int rc)
{
	char text[160];

	snprintf(text, sizeof(text), "session \"%.63s\": /dev/liveupdate", name);
	if (rc == -ENOENT || rc == -ENXIO || rc == -ENODEV)
		return ferry_say(h->error, -ENODEV, text, "this kernel runs without live update",
				 "boot one that has it with liveupdate=on kho=on");
	if (rc == -EBUSY)
		return ferry_say(h->error, rc, text, "another process has it open",
				 "have that one pass the session's file descriptor");
	return ferry_say(h->error, rc, text, NULL, NULL);
}

static struct ferry_session *session_new(struct ferry_host *h, const char *name)
{
	struct ferry_session *s = h->ops->alloc(h->ctx, sizeof(*s));

	if (!s) {
		host_fails(h, -ENOMEM, name, "no handle");
		return NULL;
	}
	s->host = h;
	s->fd = -1;
	strcpy(s->name, name);
	return s;
}

/* Both calls have the same argument. Sets the file descriptor, or says why not. */
static int get_fd(struct ferry_session *s, unsigned long request, const char *what)
{
	struct liveupdate_ioctl_create_session arg = { .size = sizeof(arg), .fd = -1 };
	struct ferry_host *h = s->host;
	int luo = open_liveupdate(h), rc;

	_Static_assert(sizeof(arg) == sizeof(struct liveupdate_ioctl_retrieve_session), "");
	if (luo < 0)
		return no_liveupdate(h, s->name, luo);
	memcpy(arg.name, s->name, sizeof(arg.name));
	rc = h->ops->ioctl(h->ctx, luo, request, &arg);
	h->ops->close(h->ctx, luo);
	if (rc == -EINVAL && request == LIVEUPDATE_IOCTL_RETRIEVE_SESSION)
		rc = -EALREADY;
	if (rc)
		return host_fails(h, rc, s->name, what);
	s->fd = arg.fd;
	return 0;
}

static int make(struct ferry_host *h, const char *name, unsigned long request,
		const char *what, struct ferry_session **session)
{
	struct ferry_session *s;
	int rc;

	if (!name_is_good(name))
		return host_fails(h, -EINVAL, name, "that is no name");
	s = session_new(h, name);
	if (!s)
		return -ENOMEM;
	rc = get_fd(s, request, what);
	if (rc) {
		free(s);
		return rc;
	}
	*session = s;
	return 0;
}

EXPORT int ferry_session_create(struct ferry_host *h, const char *name,
				struct ferry_session **session)
{
	return make(h, name, LIVEUPDATE_IOCTL_CREATE_SESSION, "it is not created", session);
}

EXPORT int ferry_session_retrieve(struct ferry_host *h, const char *name,
				  struct ferry_session **session)
{
	int rc = make(h, name, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, "it is not retrieved",
		      session);

	if (!rc)
		(*session)->state = FERRY_RETRIEVED;
	return rc;
}

/* One of the previous kernel knows retrieve: -EINVAL says that it does not. */
static int find_state(struct ferry_session *s, int fd)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg), .token = FERRY_TOKEN, .fd = -1,
	};
	struct ferry_host *h = s->host;
	int rc = h->ops->ioctl(h->ctx, fd, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg);

	s->state = rc == -EINVAL ? FERRY_OPEN : FERRY_RETRIEVED;
	if (!rc)
		h->ops->close(h->ctx, arg.fd);
	return rc == -EINVAL || rc == -ENOENT ? 0 : rc;
}

EXPORT int ferry_session_adopt(struct ferry_host *h, int fd, struct ferry_session **session)
{
	struct liveupdate_session_get_name arg = { .size = sizeof(arg) };
	struct ferry_session *s = session_new(h, "");
	int rc;

	if (!s)
		return -ENOMEM;
	rc = h->ops->ioctl(h->ctx, fd, LIVEUPDATE_SESSION_GET_NAME, &arg);
	if (rc == -ENOTTY || rc == -EINVAL)
		rc = -EBADF;
	if (!rc) {
		memcpy(s->name, arg.name, sizeof(s->name) - 1);
		rc = find_state(s, fd);
	}
	if (rc) {
		host_fails(h, rc, s->name, "it is not adopted");
		free(s);
		return rc;
	}
	s->fd = fd;
	s->adopted = true;
	*session = s;
	return 0;
}

static void close_fd(struct ferry_session *s)
{
	if (s->fd >= 0)
		s->host->ops->close(s->host->ctx, s->fd);
	s->fd = -1;
}

static void remove_kind(struct ferry_session *s, enum ferry_kind kind, bool absent_only)
{
	struct object *o, *next;

	for (o = s->objects; o; o = next) {
		next = o->next;
		if (o->kind == kind && (!absent_only || o->fd < 0))
			ferry_object_remove(o);
	}
}

EXPORT void ferry_session_close(struct ferry_session *s)
{
	if (!s)
		return;
	/* The kernel lets nothing go while it is preserved */
	close_fd(s);
	remove_kind(s, FERRY_DEVICE, false);
	remove_kind(s, FERRY_IOMMU, false);
	remove_kind(s, FERRY_MEMORY, false);
	free(s->data);
	free(s);
}

EXPORT const char *ferry_session_name(const struct ferry_session *s)
{
	return s->name;
}

EXPORT enum ferry_session_state ferry_session_state(const struct ferry_session *s)
{
	return s->state;
}

EXPORT int ferry_session_fd(const struct ferry_session *s)
{
	return s->fd < 0 ? -ENOENT : s->fd;
}

EXPORT const char *ferry_session_error(const struct ferry_session *s)
{
	return s->error;
}

/* ---- preserve, and its opposite ---- */

static int mark(struct ferry_device *d, uint32_t flags)
{
	struct ferry_host *h = d->o.session->host;
	/* Its id is as unique in its iommufd as a token has to be */
	struct iommu_hwpt_liveupdate arg = {
		.size = sizeof(arg), .hwpt_id = d->hwpt, .token = d->hwpt, .flags = flags,
	};

	return h->ops->ioctl(h->ctx, d->iommu->o.fd, IOMMU_HWPT_LIVEUPDATE, &arg);
}

static int mark_all(struct ferry_session *s)
{
	struct object *o;
	int rc;

	for (o = s->objects; o; o = o->next) {
		if (o->kind != FERRY_DEVICE)
			continue;
		rc = mark(device_of(o), 0);
		if (rc)
			return ferry_object_fails(o, rc, "its page table is not marked");
		device_of(o)->marked = true;
	}
	return 0;
}

static void unmark_all(struct ferry_session *s)
{
	struct object *o;

	for (o = s->objects; o; o = o->next) {
		if (o->kind == FERRY_DEVICE && device_of(o)->marked) {
			mark(device_of(o), IOMMU_HWPT_LIVEUPDATE_UNMARK);
			device_of(o)->marked = false;
		}
	}
}

static int preserve_fd(struct ferry_session *s, int fd, uint64_t token)
{
	struct liveupdate_session_preserve_fd arg = {
		.size = sizeof(arg), .fd = fd, .token = token,
	};

	return s->host->ops->ioctl(s->host->ctx, s->fd, LIVEUPDATE_SESSION_PRESERVE_FD, &arg);
}

static int preserve_kind(struct ferry_session *s, enum ferry_kind kind)
{
	struct object *o;
	int rc;

	for (o = s->objects; o; o = o->next) {
		rc = o->kind == kind ? preserve_fd(s, o->fd, o->token) : 0;
		if (rc == -ENOENT)
			rc = ferry_object_fails(o, rc, "this kernel keeps no such file");
		else if (rc)
			ferry_object_fails(o, rc, "it is not preserved");
		if (rc)
			return rc;
	}
	return 0;
}

static int write_all(struct ferry_host *h, int fd, const struct directory_place *d)
{
	size_t done = 0;
	ssize_t n;

	while (done < d->length) {
		n = h->ops->pwrite(h->ctx, fd, d->bytes + done, d->length - done, done);
		if (n <= 0)
			return n ? (int)n : -EIO;
		done += n;
	}
	return 0;
}

static int make_directory(struct ferry_session *s, int *fd)
{
	struct ferry_host *h = s->host;
	struct directory_place d;
	int rc = ferry_directory_make(s, &d);

	if (rc)
		return ferry_session_fails(s, rc, "its directory is not made");
	*fd = rc = h->ops->memfd(h->ctx, "ferry-directory");
	if (rc >= 0)
		rc = write_all(h, *fd, &d);
	if (!rc)
		rc = h->ops->seal(h->ctx, *fd);
	free(d.bytes);
	if (!rc)
		return 0;
	if (*fd >= 0)
		h->ops->close(h->ctx, *fd);
	return ferry_session_fails(s, rc, "its directory is not written");
}

static int can_preserve(struct ferry_session *s)
{
	struct object *o;

	if (s->state == FERRY_PRESERVED)
		return ferry_session_fails(s, -EALREADY, "it is preserved");
	if (s->state == FERRY_RETRIEVED)
		return ferry_session_fails(s, -EBUSY, "it is not finished");
	if (s->state == FERRY_SPENT)
		return ferry_session_fails(s, -ESTALE, "it is not preserved");
	for (o = s->objects; o; o = o->next)
		if (o->kind == FERRY_DEVICE && !device_of(o)->hwpt)
			return ferry_object_fails(o, -EINVAL, "it is not attached");
	return 0;
}

static int preserve_all(struct ferry_session *s, int directory)
{
	int rc = 0;

	if (s->fd < 0) {
		rc = get_fd(s, LIVEUPDATE_IOCTL_CREATE_SESSION, "it is not created again");
		if (rc)
			memcpy(s->error, s->host->error, sizeof(s->error));
	}
	if (!rc)
		rc = mark_all(s);
	if (!rc)
		rc = preserve_kind(s, FERRY_MEMORY);
	if (!rc)
		rc = preserve_kind(s, FERRY_IOMMU);
	if (!rc)
		rc = preserve_kind(s, FERRY_DEVICE);
	if (rc)
		return rc;
	rc = preserve_fd(s, directory, FERRY_TOKEN);
	return rc ? ferry_session_fails(s, rc, "its directory is not preserved") : 0;
}

static void back_out(struct ferry_session *s)
{
	close_fd(s);
	unmark_all(s);
	s->state = s->adopted ? FERRY_SPENT : FERRY_OPEN;
}

EXPORT int ferry_session_preserve(struct ferry_session *s)
{
	int directory = -1, rc = can_preserve(s);

	if (rc)
		return rc;
	rc = make_directory(s, &directory);
	if (rc)
		return rc;
	rc = preserve_all(s, directory);
	/* The session has it now */
	s->host->ops->close(s->host->ctx, directory);
	if (rc)
		back_out(s);
	else
		s->state = FERRY_PRESERVED;
	return rc;
}

EXPORT void ferry_session_unpreserve(struct ferry_session *s)
{
	if (s->state == FERRY_PRESERVED)
		back_out(s);
}

/* ---- the new kernel ---- */

static int read_whole(struct ferry_session *s, int fd, struct directory_place *d)
{
	struct ferry_host *h = s->host;
	uint64_t length = 0;
	size_t done = 0;
	ssize_t n = 1;
	int rc = h->ops->length(h->ctx, fd, &length);

	if (rc)
		return rc;
	if (length > FERRY_MAX_DIRECTORY)
		return -EBADMSG;
	/* Nobody changes it between the check and the use */
	rc = h->ops->seals(h->ctx, fd);
	if (rc <= 0)
		return rc ? rc : -EBADMSG;
	d->length = length;
	d->bytes = h->ops->alloc(h->ctx, length + 1);
	if (!d->bytes)
		return -ENOMEM;
	while (done < d->length && n > 0) {
		n = h->ops->pread(h->ctx, fd, d->bytes + done, d->length - done, done);
		done += n > 0 ? n : 0;
	}
	return n < 0 ? (int)n : done == d->length ? 0 : -EBADMSG;
}

/* Read when it is needed first, and again after a failure: nothing is lost by one. */
int ferry_session_load(struct ferry_session *s)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg), .token = FERRY_TOKEN, .fd = -1,
	};
	struct directory_place d = { NULL, 0 };
	struct ferry_host *h = s->host;
	int rc;

	if (s->state != FERRY_RETRIEVED || s->loaded)
		return 0;
	rc = h->ops->ioctl(h->ctx, s->fd, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg);
	if (rc)
		return ferry_session_fails(s, rc == -ENOENT ? -ENODATA : rc,
					   "its directory is not retrieved");
	rc = read_whole(s, arg.fd, &d);
	h->ops->close(h->ctx, arg.fd);
	if (!rc)
		rc = ferry_directory_read(s, &d);
	free(d.bytes);
	if (rc == -EOPNOTSUPP) {
		ferry_session_fails(s, rc, "its directory is of a newer library");
		return rc;
	}
	if (rc)
		return ferry_session_fails(s, rc, "its directory is not read");
	s->loaded = true;
	return 0;
}

EXPORT int ferry_session_finish(struct ferry_session *s)
{
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };
	int rc;

	if (s->state != FERRY_RETRIEVED)
		return ferry_session_fails(s, -EINVAL, "it is not of the previous kernel");
	rc = s->host->ops->ioctl(s->host->ctx, s->fd, LIVEUPDATE_SESSION_FINISH, &arg);
	if (rc)
		return ferry_session_fails(s, rc, "it is not finished");
	close_fd(s);
	remove_kind(s, FERRY_DEVICE, true);
	remove_kind(s, FERRY_IOMMU, true);
	remove_kind(s, FERRY_MEMORY, true);
	/* The next one of this name is made here */
	s->adopted = false;
	s->state = FERRY_FINISHED;
	return 0;
}

EXPORT int ferry_session_object(struct ferry_session *s, unsigned int nth,
				struct ferry_object *object)
{
	struct ferry_object out = { .size = sizeof(out) };
	struct object *o;
	int rc = ferry_session_load(s);

	if (rc)
		return rc;
	for (o = s->objects; o && nth; nth--)
		o = o->next;
	if (!o)
		return -ENOENT;
	out.kind = o->kind;
	out.present = o->fd >= 0;
	memcpy(out.name, o->name, sizeof(out.name));
	return GIVE(object, &out);
}

/* ---- the VMM's bytes ---- */

int ferry_session_set_data(struct ferry_session *s, const void *data, size_t length)
{
	/* One more, so that there is something to point to */
	void *copy = s->host->ops->alloc(s->host->ctx, length + 1);

	if (!copy)
		return -ENOMEM;
	if (length)
		memcpy(copy, data, length);
	free(s->data);
	s->data = copy;
	s->data_length = length;
	s->has_data = true;
	return 0;
}

EXPORT int ferry_state_set(struct ferry_session *s, const void *data, size_t length)
{
	int rc = 0;

	if (s->state == FERRY_SPENT)
		rc = -ESTALE;
	else if (s->state != FERRY_OPEN && s->state != FERRY_FINISHED)
		rc = -EBUSY;
	else if (length > FERRY_MAX_STATE)
		rc = -EFBIG;
	else
		rc = ferry_session_set_data(s, data, length);
	return rc ? ferry_session_fails(s, rc, "its state is not set") : 0;
}

EXPORT int ferry_state_get(struct ferry_session *s, const void **data, size_t *length)
{
	int rc = ferry_session_load(s);

	if (rc)
		return rc;
	if (!s->has_data)
		return ferry_session_fails(s, -ENOENT, "it has no state");
	*data = s->data;
	*length = s->data_length;
	return 0;
}
