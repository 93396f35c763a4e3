// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's log, as a test reads it: what was said since the last look. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "kit.h"

#define REFUSED	"live update: refused: "

static int kmsg = -1;

/* Forgets what was said until now. */
int kmsg_skip(void)
{
	if (kmsg < 0)
		kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg < 0)
		return -errno;
	return lseek(kmsg, 0, SEEK_END) < 0 ? -errno : 0;
}

/* The text of the next record, or NULL when there is none. */
static char *next_text(char *buf, size_t len)
{
	ssize_t n;
	char *p;

	do {
		n = read(kmsg, buf, len - 1);
	} while (n < 0 && errno == EPIPE);
	if (n < 0)
		return NULL;
	buf[n] = '\0';
	p = strchr(buf, ';');
	if (!p)
		return buf;
	p[strcspn(p, "\n")] = '\0';
	return p + 1;
}

/* How many lines with @text there are since the last look. */
int kmsg_count(const char *text)
{
	char buf[2048], *line;
	int n = 0;

	while ((line = next_text(buf, sizeof(buf))))
		n += !!strstr(line, text);
	return n;
}

/*
 * Exactly one line since the last look says that something was refused, and it
 * has @object before that and @reason after it.
 */
int kmsg_refusal(const char *object, const char *reason)
{
	char buf[2048], said[512] = "nothing", *line, *p;
	int n = 0, good = 0;

	while ((line = next_text(buf, sizeof(buf)))) {
		p = strstr(line, REFUSED);
		if (!p)
			continue;
		n++;
		snprintf(said, sizeof(said), "%s", line);
		*p = '\0';
		good += strstr(line, object) &&
			strstr(p + strlen(REFUSED), reason);
	}
	if (n == 1 && good == 1)
		return 0;
	v_note("%d refusals in the log, not one of %s: %s; the last: %s", n,
	       object, reason, said);
	return -EIO;
}
