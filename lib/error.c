// SPDX-License-Identifier: LGPL-2.1-or-later
/* One sentence for each failure: the object, what was tried, why not, what to do. */
#include <errno.h>
#include <stdio.h>

#include "private.h"

#define ASK_LOG	"see \"live update: refused\" in the kernel log"

static const struct meaning {
	int err;
	const char *name, *why, *todo;
} meanings[] = {
	{ EACCES, "EACCES", "this user may not", "run it as root, or let this user have the file" },
	{ EPERM, "EPERM", "this user may not", "run it as root" },
	{ EAGAIN, "EAGAIN", "its driver has not taken it yet",
	  "bind it to vfio-pci and try again" },
	{ EALREADY, "EALREADY", "that is done already", NULL },
	{ EBADF, "EBADF", "that is no such file", "pass the right file descriptor" },
	{ EBADMSG, "EBADMSG", "it is not what was handed over",
	  "close the session: what is in it is stopped and blocked" },
	{ EBUSY, "EBUSY", "something uses it", "end that use first" },
	{ EEXIST, "EEXIST", "there is one already", "take another name" },
	{ EFBIG, "EFBIG", "it is too long", "put it into memory of its own" },
	{ EINVAL, "EINVAL", "an argument is wrong", NULL },
	{ EMFILE, "EMFILE", "this process has too many files open", "raise its limit" },
	{ ENFILE, "ENFILE", "the system has too many files open", "raise its limit" },
	{ ENODATA, "ENODATA", "it has no directory: it was made without this library, or not "
	  "preserved to the end", "retrieve its files by their tokens" },
	{ ENODEV, "ENODEV", "it is not there, or not what it was", ASK_LOG },
	{ ENOENT, "ENOENT", "there is none", "look at the name" },
	{ ENOMEM, "ENOMEM", "there is no memory", "free some and try again" },
	{ ENOSPC, "ENOSPC", "there is no room for it", NULL },
	{ ENOTTY, "ENOTTY", "this kernel does not know the call",
	  "boot a kernel that keeps devices" },
	{ EOPNOTSUPP, "EOPNOTSUPP", "it is of a kind, or used in a way, that cannot be kept",
	  ASK_LOG },
	{ ESTALE, "ESTALE", "the session was given up when a preserve failed",
	  "have every process close it, and make a new one" },
};

static const struct meaning *meaning_of(int rc)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(meanings); i++)
		if (meanings[i].err == -rc)
			return &meanings[i];
	return NULL;
}

int ferry_say(char *error, int rc, const char *what, const char *why, const char *todo)
{
	const struct meaning *m = meaning_of(rc);
	char number[24];

	snprintf(number, sizeof(number), "error %d", -rc);
	if (!why) {
		why = m ? m->why : "the kernel refuses";
		todo = todo ? todo : m ? m->todo : ASK_LOG;
	}
	snprintf(error, ERROR_SIZE, "%s: %s (%s)%s%s", what, why, m ? m->name : number,
		 todo ? "; " : "", todo ? todo : "");
	return rc;
}

const char *ferry_kind_name(enum ferry_kind kind)
{
	return kind == FERRY_MEMORY ? "memory" : kind == FERRY_IOMMU ? "iommu" : "device";
}

int ferry_name_fails(struct ferry_session *s, enum ferry_kind kind, const char *name, int rc,
		     const char *what)
{
	char text[256];

	snprintf(text, sizeof(text), "session \"%s\": %s \"%.63s\": %s", s->name,
		 ferry_kind_name(kind), name ? name : "", what);
	return ferry_say(s->error, rc, text, NULL, NULL);
}

int ferry_object_fails(const struct object *o, int rc, const char *what)
{
	return ferry_name_fails(o->session, o->kind, o->name, rc, what);
}

int ferry_session_fails(struct ferry_session *s, int rc, const char *what)
{
	char text[256];

	snprintf(text, sizeof(text), "session \"%s\": %s", s->name, what);
	return ferry_say(s->error, rc, text, NULL, NULL);
}
