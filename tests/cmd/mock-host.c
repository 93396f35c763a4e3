// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * For the command under test: a host that is a mock. FERRY_MOCK is a list of words such as
 * missing=/dev/iommu, forbidden=/dev/iommu, driver=e1000e, crowded=1, caps=0, cmdline=WORD,
 * class=0x030000, sriov=/physfn, agent=NAME, which the agent holds, kept=NAME or bare=NAME, the
 * same of the previous kernel, refuse=ERRNO, which it answers.
 */
#include <stdlib.h>
#include <string.h>

#include "../lib/mock.h"

int mock_host_new(struct ferry_host **host);

static struct mock m;

/* The agent holds a session of the previous kernel, with a directory or without. */
static void keep(const char *name, bool bare)
{
	struct ferry_memory *ram;
	struct ferry_session *s;
	struct ferry_host *h;

	if (ferry_host_new_with(&mock_ops, &m, &h) || ferry_session_create(h, name, &s) ||
	    ferry_memory_create(s, "ram", 1 << 20, &ram) ||
	    (!bare && ferry_session_preserve(s)))
		abort();
	mock_kexec(&m);
	s->fd = ram->o.fd = -1;
	ferry_session_close(s);
	if (ferry_session_retrieve(h, name, &s))
		abort();
	mock_hold_fd(&m, name, ferry_session_fd(s));
	ferry_session_close(s);
	ferry_host_free(h);
}

static void set(const char *word)
{
	const char *value = strchr(word, '=');

	value = value ? value + 1 : "";
	if (!strncmp(word, "missing=", 8))
		m.missing = value;
	else if (!strncmp(word, "forbidden=", 10))
		m.forbidden = value;
	else if (!strncmp(word, "driver=", 7))
		m.driver = value;
	else if (!strncmp(word, "cmdline=", 8))
		m.cmdline = value;
	else if (!strncmp(word, "class=", 6))
		m.class = value;
	else if (!strncmp(word, "sriov=", 6))
		m.sriov = value;
	else if (!strncmp(word, "agent=", 6))
		mock_hold(&m, value);
	else if (!strncmp(word, "kept=", 5))
		keep(value, false);
	else if (!strncmp(word, "bare=", 5))
		keep(value, true);
	else if (!strncmp(word, "refuse=", 7))
		m.answer_with = -atoi(value);
	else if (!strncmp(word, "crowded=", 8))
		m.crowded = true;
	else if (!strncmp(word, "caps=", 5))
		m.caps = 0;
	else
		abort();
}

int mock_host_new(struct ferry_host **host)
{
	char *words = getenv("FERRY_MOCK"), *save;

	mock_init(&m);
	if (words) {
		/* Kept as long as the program runs */
		static char copy[256];

		strncpy(copy, words, sizeof(copy) - 1);
		for (words = strtok_r(copy, " ", &save); words;
		     words = strtok_r(NULL, " ", &save))
			set(words);
	}
	return ferry_host_new_with(&mock_ops, &m, host);
}
