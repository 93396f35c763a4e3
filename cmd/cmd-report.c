// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ferry report: how the last update went, as the log of this kernel tells it. What the log does
 * not tell is unknown: nothing is guessed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define LOG		"/dev/kmsg"
#define MAX_RECORD	8192

/* A time of this kernel's clock, in microseconds; a phase that was not seen has none */
#define UNSEEN		UINT64_MAX

enum phase { FOUND, UNITS, DEVICES, NR_PHASES };

static const struct {
	const char *name, *text;
} phases[NR_PHASES] = {
	[FOUND] = { "handed-over", "what was handed over is found" },
	[UNITS] = { "iommus", "the last IOMMU is taken over" },
	[DEVICES] = { "devices", "the last device is on its page table" },
};

static const struct {
	const char *words;
	enum phase phase;
} marks[] = {
	{ "luo: Retrieved live update data", FOUND },
	{ ": took over the tables of the previous kernel", UNITS },
	{ ": runs on the page table of the previous kernel", DEVICES },
};

/* What says that something was lost on the way */
static const char *const losses[] = {
	"it is stopped and blocked",
	"kept, but its IOMMU has no record of it: stopped",
	"kept device was not retrieved, stopping it",
	"nobody finished this device, stopping it",
	"quarantined: all DMA behind it is blocked",
	"its translation was switched off on the way",
	"nothing of the previous kernel is taken over",
	"cannot read what the previous kernel handed over",
	"devices were kept but KHO is off",
	"nobody can tell whether devices were kept",
	"its memory is lost",
	"its device is lost",
};

struct line {
	struct line *next;
	char text[];
};

struct list {
	struct line *first, **end;
};

struct report {
	uint64_t when[NR_PHASES];
	unsigned long number;		/* of updates since the machine was started, 0: unknown */
	char from[64];			/* version of the kernel before, or empty */
	struct list kept, lost;
};

static int append(struct list *l, const char *text, size_t len)
{
	struct line *more, *at;

	for (at = l->first; at; at = at->next)
		if (strlen(at->text) == len && !strncmp(at->text, text, len))
			return 0;
	more = calloc(1, sizeof(*more) + len + 1);
	if (!more)
		return -ENOMEM;
	memcpy(more->text, text, len);
	*l->end = more;
	l->end = &more->next;
	return 0;
}

static void drop(struct list *l)
{
	struct line *next;

	for (; l->first; l->first = next) {
		next = l->first->next;
		free(l->first);
	}
}

/* ---- the log ---- */

/* The name of a device is the last word before what is said about it. */
static int note_device(struct list *l, const char *text, const char *said)
{
	const char *from = said;

	while (from > text && from[-1] != ' ')
		from--;
	return append(l, from, said - from);
}

static int note(struct report *r, uint64_t when, const char *text)
{
	const char *at;
	size_t i;

	for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		at = strstr(text, marks[i].words);
		if (!at)
			continue;
		if (marks[i].phase != FOUND || r->when[FOUND] == UNSEEN)
			r->when[marks[i].phase] = when;
		if (marks[i].phase == DEVICES)
			return note_device(&r->kept, text, at);
	}
	at = strstr(text, "liveupdate number: ");
	if (at && !strncmp(text, "luo: ", 5))
		r->number = strtoul(at + 19, NULL, 10);
	if (sscanf(text, "KHO: exec from: %63s", r->from) == 1)
		return 0;
	for (i = 0; i < sizeof(losses) / sizeof(losses[0]); i++)
		if (strstr(text, losses[i]))
			return append(&r->lost, text, strlen(text));
	return 0;
}

/* "PRIORITY,NUMBER,MICROSECONDS,...;TEXT", or "[ SECONDS.MICROSECONDS] TEXT" as dmesg has it. */
static int read_record(struct report *r, char *record)
{
	unsigned long long a, b;
	char *text = strchr(record, ';');
	int at = 0;

	record[strcspn(record, "\n")] = '\0';
	if (text && sscanf(record, "%*u,%*u,%llu,", &a) == 1)
		return note(r, a, text + 1);
	if (sscanf(record, "[%llu.%6llu] %n", &a, &b, &at) == 2 && at)
		return note(r, a * 1000000 + b, record + at);
	return 0;
}

static int read_file(struct report *r, const char *path)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	int rc = 0;

	if (!f)
		return -errno;
	while (!rc && getline(&line, &room, f) >= 0)
		rc = read_record(r, line);
	free(line);
	fclose(f);
	return rc;
}

/* One record for each read; what was overwritten meanwhile is not there. */
static int read_log(struct report *r)
{
	int fd = open(LOG, O_RDONLY | O_NONBLOCK | O_CLOEXEC), rc = 0;
	char record[MAX_RECORD + 1];
	ssize_t n;

	if (fd < 0)
		return -errno;
	while (!rc) {
		n = read(fd, record, MAX_RECORD);
		if (n < 0 && (errno == EPIPE || errno == EINTR))
			continue;
		if (n <= 0)
			break;
		record[n] = '\0';
		rc = read_record(r, record);
	}
	close(fd);
	return rc;
}

/* ---- the report ---- */

static void show_times(const struct report *r)
{
	int i;

	text("times, from the start of this kernel\n");
	json_open("phases", '[');
	for (i = 0; i < NR_PHASES; i++) {
		json_open(NULL, '{');
		json_string("name", phases[i].name);
		if (r->when[i] == UNSEEN) {
			text("     unknown  %s\n", phases[i].text);
		} else {
			text("  %10.3f  %s\n", r->when[i] / 1e6, phases[i].text);
			json_number("us", r->when[i]);
		}
		json_close('}');
	}
	text("     unknown  from the freeze in the old kernel to the start of this one\n");
	json_open(NULL, '{');
	json_string("name", "jump");
	json_close('}');
	json_close(']');
}

static void show_list(const char *key, const char *title, const struct list *l)
{
	const struct line *at;

	text("%s\n", title);
	json_open(key, '[');
	for (at = l->first; at; at = at->next) {
		text("  ");
		text_safe(at->text);
		text("\n");
		json_string(NULL, at->text);
	}
	if (!l->first)
		text("  nothing\n");
	json_close(']');
}

static int show(const struct report *r)
{
	bool was = r->when[FOUND] != UNSEEN;

	json_open(NULL, '{');
	json_bool("updated", was);
	if (!was) {
		text("The log of this kernel says nothing of a live update: there was none, or the log "
		     "has been overwritten.\n");
	} else {
		text("update %lu, from kernel ", r->number);
		text_safe(*r->from ? r->from : "unknown");
		text("\n");
		json_number("number", r->number);
		if (*r->from)
			json_string("from", r->from);
		show_times(r);
	}
	if (was || r->lost.first) {
		show_list("kept", "devices whose DMA went on", &r->kept);
		show_list("lost", "what was not kept", &r->lost);
	}
	json_close('}');
	out_end();
	return r->lost.first ? FAILED : was ? DONE : UNSUPPORTED;
}

static int run(int argc, char **argv)
{
	const char *path = given("log");
	struct report r = { .when = { UNSEEN, UNSEEN, UNSEEN } };
	int rc;

	(void)argv;
	if (argc)
		return usage("it takes no argument");
	r.kept.end = &r.kept.first;
	r.lost.end = &r.lost.first;
	rc = path ? read_file(&r, path) : read_log(&r);
	rc = rc ? fail(FAILED, "%s: %s", path ? path : LOG, strerror(-rc)) : show(&r);
	drop(&r.kept);
	drop(&r.lost);
	return rc;
}

static const struct option_row options[] = {
	{ "log", "FILE", "read what dmesg wrote to this file instead of " LOG },
	{ 0 },
};

const struct verb verb_report = {
	"report", "", "How the last update went, as the kernel log tells it", options, run,
};
