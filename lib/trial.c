// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Would the kernel keep this device? It is asked by doing it: the device is bound to an
 * empty address space, preserved in a session of its own, and the session is closed. So
 * the answer is the kernel's, of all that it looks at and userspace cannot see. Its reason
 * is in its log, one line for each refusal.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "private.h"

/* The kernel has no longer ones */
#define RECORD		4096
/* What is looked at of a log that others are filling */
#define MAX_RECORDS	1024

static const char refused[] = ": live update: refused: ";

/* The kernel log from now on; negative when this user may not read it. */
static int open_log(struct ferry_host *h)
{
	int log = h->ops->open(h->ctx, "/dev/kmsg", O_RDONLY | O_NONBLOCK), rc;

	if (log < 0)
		return log;
	rc = h->ops->seek_end(h->ctx, log);
	if (!rc)
		return log;
	h->ops->close(h->ctx, log);
	return rc;
}

/* The next record, as text. False at the end of the log. */
static bool next_record(struct ferry_host *h, int log, char *record)
{
	ssize_t n = h->ops->pread(h->ctx, log, record, RECORD - 1, 0);

	record[n > 0 ? n : 0] = '\0';
	/* What was next has been overwritten, or a signal came: more follows */
	return n > 0 || n == -EPIPE || n == -EINTR;
}

/*
 * Takes "5,77,9,-;vfio-pci 0000:00:03.0: live update: refused: it is in D3hot (-EBUSY)"
 * to pieces. False when it is no such line.
 */
static bool take_apart(char *record, char **object, char **why)
{
	char *end;

	*object = strchr(record, ';');
	if (!*object)
		return false;
	record[strcspn(record, "\n")] = '\0';
	*why = strstr(++*object, refused);
	if (!*why)
		return false;
	**why = '\0';
	*why += strlen(refused);
	end = strrchr(*why, '(');
	/* There is always something before it */
	if (end)
		end[-1] = '\0';
	return true;
}

static bool is_of(const char *object, const char *address)
{
	const char *last = strrchr(object, ' ');

	return !strcmp(last ? last + 1 : object, address);
}

static void refusal(struct ferry_requirement *r, const char *object, const char *why, int rc)
{
	char reason[RECORD], *c;

	snprintf(reason, sizeof(reason), "%s%s%s", object, *object ? ": " : "", why);
	for (c = reason; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	answer(r, FERRY_NO, reason, !strncmp(object, "kexec", 5) ?
	       "\"ferry abort\", or load an image that can take over what is kept" :
	       rc == -EOPNOTSUPP ? "end that, or keep another device" :
				   "ask again when that is over");
}

/*
 * The first refusal of this device, or else the first of what is no endpoint: a port of
 * its path, its iommufd, the image that is loaded. Other processes may be refused at the
 * same time.
 */
static bool read_refusal(struct ferry_host *h, int log, const char *address, int rc,
			 struct ferry_requirement *r)
{
	char record[RECORD], *object, *why;
	bool found = false, ours = false;
	unsigned int i;

	for (i = 0; i < MAX_RECORDS && !ours && next_record(h, log, record); i++) {
		if (!take_apart(record, &object, &why))
			continue;
		ours = is_of(object, address);
		if (!ours && (found || !strncmp(object, "vfio-pci ", 9)))
			continue;
		refusal(r, ours ? "" : object, why, rc);
		found = true;
	}
	return found;
}

/* What a sentence of error.c is about, without session and object, which the user has not made. */
static void unknown(struct ferry_requirement *r, const char *error, int rc)
{
	const char *from = strstr(error, ": ") + 2, *todo = strstr(error, "; ");
	char reason[ERROR_SIZE];

	if (!strncmp(from, "iommu ", 6) || !strncmp(from, "device ", 7))
		from = strstr(from, ": ") + 2;
	snprintf(reason, sizeof(reason), "%.*s", todo ? (int)(todo - from) : ERROR_SIZE, from);
	answer(r, FERRY_UNKNOWN, reason,
	       rc == -EACCES ? "ask as root, or let this user have the file" :
	       rc == -EPERM ? "finish the session of the previous kernel that has it, if one has" :
	       rc == -EBUSY ? "ask again when it is not in use" :
	       rc == -ENODEV ? "see above" : "ask again");
}

static bool is_refusal(int rc)
{
	switch (rc) {
	case -EOPNOTSUPP:
	case -EBUSY:
	case -EINVAL:
	case -EIO:
	case -ENODEV:
	case -ENOENT:
	case -ENOEXEC:
		return true;
	}
	return false;
}

static void preserve(struct ferry_session *s, const char *address, struct ferry_requirement *r)
{
	struct ferry_host *h = s->host;
	int log = open_log(h), rc = ferry_session_preserve(s);

	if (!rc) {
		answer(r, FERRY_YES, "it was preserved, and let go again", "");
	} else if (!is_refusal(rc)) {
		unknown(r, s->error, rc);
	} else if (log < 0 || !read_refusal(h, log, address, rc, r)) {
		answer(r, FERRY_NO, "the kernel refuses it",
		       "see \"live update: refused\" in the kernel log");
	}
	if (log >= 0)
		h->ops->close(h->ctx, log);
}

static int set_up(struct ferry_session *s, const char *address)
{
	struct ferry_device *device;
	struct ferry_iommu *iommu;
	int rc = ferry_iommu_create(s, "iommu", &iommu);

	if (!rc)
		rc = ferry_device_open(s, "device", address, iommu, &device);
	return rc ? rc : ferry_device_attach(device);
}

static void in_session(struct ferry_host *h, const char *address, struct ferry_requirement *r)
{
	char name[FERRY_NAME_SIZE];
	struct ferry_session *s;
	int rc;

	/* Who asks at the same time finds the device in use */
	snprintf(name, sizeof(name), "ferry-check-%s-%d", address, getpid());
	rc = ferry_session_create(h, name, &s);
	if (rc) {
		unknown(r, h->error, rc);
		return;
	}
	rc = set_up(s, address);
	if (rc)
		unknown(r, s->error, rc);
	else
		preserve(s, address, r);
	ferry_session_close(s);
}

void ferry_trial(struct ferry_host *h, const char *address, struct ferry_requirement *r)
{
	char path[80], error[ERROR_SIZE];
	int rc = ferry_device_cdev(h, address, path, sizeof(path));

	if (rc) {
		answer(r, FERRY_UNKNOWN, rc == -ENODEV ? "it is not bound to vfio-pci" :
		       "its device file cannot be looked at", "bind it to vfio-pci, and ask again");
		return;
	}
	/* That is about calls that fail, and this one does not */
	memcpy(error, h->error, sizeof(error));
	in_session(h, address, r);
	memcpy(h->error, error, sizeof(error));
}
