// SPDX-License-Identifier: LGPL-2.1-or-later
/* Text for people, JSON for programs: one of the two, never both. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

static bool json, first;
static unsigned int depth;

void out_begin(bool as_json)
{
	json = as_json;
	first = true;
	depth = 0;
}

void out_end(void)
{
	if (json)
		putchar('\n');
}

bool out_json(void)
{
	return json;
}

void text(const char *fmt, ...)
{
	va_list ap;

	if (json)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
}

/* Names come from somewhere: nothing in them may reach the terminal as a command. */
void text_safe(const char *s)
{
	for (; !json && *s; s++)
		putchar((unsigned char)*s < ' ' || (unsigned char)*s >= 0x7f ? '?' : *s);
}

/* Colour is for a terminal, and for one whose owner has nothing against it. */
const char *colour(const char *code)
{
	const char *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no && *no) ? code : "";
}

/* ---- progress ---- */

static const char *stage_now;
static struct timespec stage_began;

/* Where a line can be written over: not on what only looks like a terminal. */
static bool on_terminal(void)
{
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && term && strcmp(term, "dumb");
}

void stage(const char *name)
{
	stage_end(true);
	if (json)
		return;
	stage_now = name;
	clock_gettime(CLOCK_MONOTONIC, &stage_began);
	printf(on_terminal() ? "... %s" : "%s\n", name);
	fflush(stdout);
}

void stage_end(bool good)
{
	struct timespec now;

	if (stage_now && on_terminal()) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		printf("\r%s%-3s%s %s  %.1f s\n", colour(good ? "\033[32m" : "\033[31m"),
		       good ? "ok" : "no", colour("\033[0m"), stage_now,
		       (double)(now.tv_sec - stage_began.tv_sec) +
			       (double)(now.tv_nsec - stage_began.tv_nsec) / 1e9);
	}
	stage_now = NULL;
}

/* ---- JSON ---- */

static void quoted(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < ' ' || *s == 0x7f || *s & 0x80)
			printf("\\u%04x", (unsigned char)*s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void item(const char *key)
{
	if (!first)
		putchar(',');
	if (depth)
		printf("\n%*s", 2 * depth, "");
	if (key) {
		quoted(key);
		printf(": ");
	}
	first = false;
}

void json_open(const char *key, char bracket)
{
	if (!json)
		return;
	item(key);
	putchar(bracket);
	depth++;
	first = true;
}

void json_close(char bracket)
{
	if (!json)
		return;
	depth--;
	if (!first)
		printf("\n%*s", 2 * depth, "");
	putchar(bracket);
	first = false;
}

void json_string(const char *key, const char *value)
{
	if (!json)
		return;
	item(key);
	quoted(value);
}

/* Beyond 2^53 other languages round: those are strings. */
void json_number(const char *key, uint64_t value)
{
	if (!json)
		return;
	item(key);
	if (value >> 53)
		printf("\"0x%llx\"", (unsigned long long)value);
	else
		printf("%llu", (unsigned long long)value);
}

void json_bool(const char *key, bool value)
{
	if (!json)
		return;
	item(key);
	printf(value ? "true" : "false");
}
