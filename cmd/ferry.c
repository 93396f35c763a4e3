// SPDX-License-Identifier: LGPL-2.1-or-later
/* ferry(1): a verb is a row of a table, with its options; parsing and help are here. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static const struct verb *const verbs[] = {
	&verb_check, &verb_preserve, &verb_status, &verb_load, &verb_go, &verb_abort,
	&verb_report, &verb_show, &verb_decode, &verb_agent, &verb_run,
};

static const struct verb *verb;

/* For each row of the verb's options, and for --json and --help: what was given. */
#define MAX_OPTIONS	8
static const char *values[MAX_OPTIONS];
static bool help, as_json, has_changed;

static const struct verb *find(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verbs[i]->name, name))
			return verbs[i];
	return NULL;
}

const char *given(const char *name)
{
	size_t i;

	for (i = 0; verb->options[i].name; i++)
		if (!strcmp(verb->options[i].name, name))
			return values[i];
	return NULL;
}

void changed(void)
{
	has_changed = true;
}

static int complain(int code, const char *fmt, va_list ap)
{
	stage_end(false);
	fflush(stdout);
	fprintf(stderr, "ferry%s%s: ", verb ? " " : "", verb ? verb->name : "");
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	return code;
}

int fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(code, fmt, ap);
	va_end(ap);
	return code;
}

int usage(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	complain(USAGE, fmt, ap);
	va_end(ap);
	fprintf(stderr, "Try 'ferry %s%s--help'.\n", verb ? verb->name : "", verb ? " " : "");
	return USAGE;
}

static int show_help(void)
{
	const struct option_row *o;
	char name[40];
	size_t i;

	if (!verb) {
		printf("Usage: ferry VERB [OPTION]... [ARGUMENT]...\n"
		       "A device's DMA goes on while the kernel under it is replaced.\n\n");
		for (i = 0; i < ARRAY_SIZE(verbs); i++)
			printf("  %-10s %s\n", verbs[i]->name, verbs[i]->help);
		printf("\n'ferry VERB --help' and ferry-VERB(1) say more.\n");
		return DONE;
	}
	printf("Usage: ferry %s [OPTION]... %s\n%s.\n\n", verb->name, verb->args, verb->help);
	for (o = verb->options; o->name; o++) {
		snprintf(name, sizeof(name), "--%s%s%s", o->name, o->value ? " " : "",
			 o->value ? o->value : "");
		printf("  %-22s %s\n", name, o->help);
	}
	printf("  %-22s %s\n  %-22s %s\n", "--json", "write JSON, see the manual", "--help",
	       "this text");
	printf("\nExit codes: 0 done, 1 refused or failed and nothing has changed, 2 usage,\n"
	       "3 failed but something has changed, 77 not supported here.\n");
	return DONE;
}

/* Takes an option and its value; how many words that were, or -1. */
static int take(int left, char **argv)
{
	const char *name = argv[0] + 2, *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name), i;
	const struct option_row *o = verb->options;

	if (!strcmp(name, "help"))
		return help = true;
	if (!strcmp(name, "json"))
		return as_json = true;
	for (i = 0; o[i].name; i++) {
		if (strlen(o[i].name) != len || strncmp(o[i].name, name, len))
			continue;
		if (!o[i].value && equals)
			return usage("--%s takes no value", o[i].name), -1;
		if (!o[i].value || equals) {
			values[i] = equals ? equals + 1 : "";
			return 1;
		}
		if (left < 2)
			return usage("--%s wants %s", o[i].name, o[i].value), -1;
		values[i] = argv[1];
		return 2;
	}
	return usage("there is no option '%s'", argv[0]), -1;
}

/* What is not an option is moved to the front. */
static int parse(int argc, char **argv, int *n)
{
	bool options = true;
	int i, used;

	for (i = 0, *n = 0; i < argc; i += used) {
		used = 1;
		if (options && !strcmp(argv[i], "--"))
			options = false;
		else if (options && !strcmp(argv[i], "-h"))
			help = true;
		else if (options && !strncmp(argv[i], "--", 2))
			used = take(argc - i, argv + i);
		else if (options && argv[i][0] == '-' && argv[i][1])
			return usage("there is no option '%s'", argv[i]);
		else
			argv[(*n)++] = argv[i];
		if (used < 0)
			return USAGE;
	}
	return DONE;
}

int main(int argc, char **argv)
{
	const char *first = argc > 1 ? argv[1] : "";
	int rc, n;

	if (!strcmp(first, "--help") || !strcmp(first, "-h"))
		return show_help();
	if (!strcmp(first, "--version")) {
		printf("ferry %s\n", ferry_version());
		return DONE;
	}
	if (argc < 2)
		return usage("no verb");
	if (first[0] == '-' || !find(first))
		return usage("there is no %s '%s'", first[0] == '-' ? "option" : "verb", first);
	verb = find(first);
	rc = parse(argc - 2, argv + 2, &n);
	if (rc)
		return rc;
	if (help)
		return show_help();
	out_begin(as_json);
	rc = verb->run(n, argv + 2);
	stage_end(!rc);
	if (!fflush(stdout) && !ferror(stdout))
		return rc;
	return fail(rc ? rc : has_changed ? CHANGED : FAILED, "%sthe output could not be written",
		    !rc && has_changed ? "it is done, but " : "");
}
