// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel command line is the only input of the guest. This file reads it,
 * and makes the one the next kernel gets: the same with the stage counted up,
 * "ferry.next=PARAM" turned into PARAM, and what "ferry.dropnext=PARAM" names
 * left out. A crash kernel reserves no memory for another one, runs on one
 * processor, and gets what "ferry.crash=PARAM" names, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

#include "guest.h"

#define MAX_WORDS	128

static char text[4096];
static char *words[MAX_WORDS];
static size_t nr_words;
static char added[256];

void cmdline_read(void)
{
	char *save = NULL, *w;

	if (read_file("/proc/cmdline", text, sizeof(text)) < 0)
		return;
	for (w = strtok_r(text, " \n", &save); w && nr_words < MAX_WORDS;
	     w = strtok_r(NULL, " \n", &save))
		words[nr_words++] = w;
}

/* The value of the last word that starts with prefix, or NULL. */
static const char *find(const char *prefix)
{
	const char *found = NULL;
	size_t i, len = strlen(prefix);

	for (i = 0; i < nr_words; i++)
		if (!strncmp(words[i], prefix, len))
			found = words[i] + len;
	return found;
}

const char *cmdline_test(void)
{
	const char *v = find("ferry.test=");

	return v ? v : "shell";
}

const char *cmdline_nonce(void)
{
	const char *v = find("ferry.nonce=");

	return v ? v : "0";
}

unsigned int cmdline_stage(void)
{
	const char *v = find("ferry.stage=");

	return v ? strtoul(v, NULL, 0) : 1;
}

const char *opt_str(const char *key, const char *fallback)
{
	char prefix[80];
	const char *v;

	snprintf(prefix, sizeof(prefix), "ferry.opt=%s=", key);
	v = find(prefix);
	return v ? v : fallback;
}

uint64_t opt_u64(const char *key, uint64_t fallback)
{
	const char *v = opt_str(key, NULL);

	return v ? strtoull(v, NULL, 0) : fallback;
}

/* A number that may end in K, M or G. */
uint64_t opt_size(const char *key, uint64_t fallback)
{
	const char *v = opt_str(key, NULL);
	uint64_t n;
	char *end;

	if (!v)
		return fallback;
	n = strtoull(v, &end, 0);
	switch (*end) {
	case 'G':
		n *= 1024;
		/* fallthrough */
	case 'M':
		n *= 1024;
		/* fallthrough */
	case 'K':
		n *= 1024;
	}
	return n;
}

static bool dropped(const char *word)
{
	size_t i;

	for (i = 0; i < nr_words; i++)
		if (!strncmp(words[i], "ferry.dropnext=", 15) &&
		    !strcmp(words[i] + 15, word))
			return true;
	return !strncmp(word, "ferry.dropnext=", 15) ||
	       !strncmp(word, "ferry.stage=", 12);
}

/* A test that wants one more parameter for the next kernel says so; NULL: none any more. */
void cmdline_add_next(const char *param)
{
	size_t used = param ? strlen(added) : 0;

	if (!param)
		added[0] = '\0';
	else
		snprintf(added + used, sizeof(added) - used, " %s", param);
}

static int make_line(char *buf, size_t len, bool crash)
{
	size_t i, used;
	int n;

	n = snprintf(buf, len, "ferry.stage=%u%s%s", cmdline_stage() + 1, added,
		     crash ? " nr_cpus=1 ferry.opt=crashed=1" : "");
	used = n;
	for (i = 0; i < nr_words && used < len; i++) {
		const char *w = words[i];

		if (dropped(w) || (crash && !strncmp(w, "crashkernel=", 12)))
			continue;
		if (!strncmp(w, "ferry.next=", 11))
			w += 11;
		if (crash && !strncmp(w, "ferry.crash=", 12))
			w += 12;
		n = snprintf(buf + used, len - used, " %s", w);
		used += n;
	}
	return used < len ? 0 : -E2BIG;
}

int cmdline_next(char *buf, size_t len)
{
	return make_line(buf, len, false);
}

int cmdline_crash(char *buf, size_t len)
{
	return make_line(buf, len, true);
}
