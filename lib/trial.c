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

#define RECORD		4096
/* More than a log holds: it grows while it is read */
#define MAX_RECORDS	(1U << 16)

static const char refused[] = ": live update: refused: ";

/* The next record of the kernel log, as text. False at its end. */
static bool next_record(struct ferry_host *h, int log, char *record)
{
	ssize_t n = h->ops->pread(h->ctx, log, record, RECORD - 1, 0);

	record[n > 0 ? n : 0] = '\0';
	/* What was next has been overwritten: more follows */
	return n > 0 || n == -EPIPE;
}

/* The kernel log from now on; negative when this user may not read it. */
static int open_log(struct ferry_host *h)
{
	int log = h->ops->open(h->ctx, "/dev/kmsg", O_RDONLY | O_NONBLOCK);
	char record[RECORD];
	unsigned int i;

	for (i = 0; log >= 0 && i < MAX_RECORDS && next_record(h, log, record); i++)
		;
	return log;
}

/* "5,77,1000,-;vfio-pci 0000:00:03.0: live update: refused: it is in D3hot (-EBUSY)" */
static bool reason_of(char *record, const char *address, char *reason, size_t size)
{
	char *object = strchr(record, ';'), *why = strstr(record, refused), *end, *c;

	if (!object || !why || why < object)
		return false;
	*why = '\0';
	why += strlen(refused);
	why[strcspn(why, "\n")] = '\0';
	end = strrchr(why, '(');
	if (end && end > why)
		end[-1] = '\0';
	if (strstr(object, address))
		snprintf(reason, size, "%s", why);
	else
		snprintf(reason, size, "%s: %s", object + 1, why);
	for (c = reason; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return true;
}

/* The first refusal of this device, or else the first one: of its path, or its iommufd. */
static bool read_reason(struct ferry_host *h, int log, const char *address, char *reason,
			size_t size)
{
	char record[RECORD];
	bool found = false, ours;
	unsigned int i;

	for (i = 0; log >= 0 && i < MAX_RECORDS && next_record(h, log, record); i++) {
		ours = strstr(record, address) != NULL;
		if ((ours || !found) && reason_of(record, address, reason, size)) {
			if (ours)
				return true;
			found = true;
		}
	}
	return found;
}

/* A sentence of error.c without the name of our session: what is wrong; what to do. */
static void split(const char *error, struct ferry_requirement *r)
{
	const char *from = strchr(error, ':'), *todo = strstr(error, "; ");

	from = from && from[1] == ' ' ? from + 2 : error;
	snprintf(r->reason, sizeof(r->reason), "%.*s",
		 todo && todo > from ? (int)(todo - from) : (int)strlen(from), from);
	snprintf(r->remedy, sizeof(r->remedy), "%s", todo ? todo + 2 :
		 "ask again when that is over");
}

static int set_up(struct ferry_session *s, const char *address)
{
	struct ferry_device *device;
	struct ferry_iommu *iommu;
	int rc = ferry_iommu_create(s, "iommu", &iommu);

	if (!rc)
		rc = ferry_device_open(s, address, address, iommu, &device);
	return rc ? rc : ferry_device_attach(device);
}

static bool is_no_answer(int rc)
{
	return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE;
}

static void preserve(struct ferry_session *s, const char *address, struct ferry_requirement *r)
{
	struct ferry_host *h = s->host;
	int log = open_log(h), rc = ferry_session_preserve(s);

	if (!rc) {
		r->answer = FERRY_YES;
		snprintf(r->reason, sizeof(r->reason), "it was preserved, and let go again");
	} else if (read_reason(h, log, address, r->reason, sizeof(r->reason))) {
		r->answer = FERRY_NO;
		snprintf(r->remedy, sizeof(r->remedy), "end that, or keep another device");
	} else {
		r->answer = is_no_answer(rc) ? FERRY_UNKNOWN : FERRY_NO;
		split(s->error, r);
	}
	if (log >= 0)
		h->ops->close(h->ctx, log);
}

void ferry_trial(struct ferry_host *h, const char *address, struct ferry_requirement *r)
{
	char name[FERRY_NAME_SIZE];
	struct ferry_session *s;

	r->answer = FERRY_UNKNOWN;
	snprintf(name, sizeof(name), "ferry-check-%d", getpid());
	if (ferry_session_create(h, name, &s)) {
		split(h->error, r);
		return;
	}
	if (set_up(s, address))
		split(s->error, r);
	else
		preserve(s, address, r);
	ferry_session_close(s);
}
