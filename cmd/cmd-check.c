// SPDX-License-Identifier: LGPL-2.1-or-later
/* ferry check: what this host, and a device, lack for a live update. */
#include <errno.h>

#include "cmd.h"

static const char *const words[] = { "no", "yes", "?" };
static const char *const colours[] = { "\033[31m", "\033[32m", "\033[33m" };

/* How many there are of each answer */
struct sum {
	unsigned int n[3];
};

static void show(const struct ferry_requirement *r, struct sum *sum)
{
	static const char *const answers[] = { "no", "yes", "unknown" };

	sum->n[r->answer]++;
	text("  %s%-3s%s  %s: %s\n", colour(colours[r->answer]), words[r->answer],
	     colour("\033[0m"), r->text, r->reason);
	if (*r->remedy)
		text("         %s\n", r->remedy);
	json_open(NULL, '{');
	json_string("name", r->name);
	json_string("answer", answers[r->answer]);
	json_string("text", r->text);
	json_string("reason", r->reason);
	json_string("remedy", r->remedy);
	json_close('}');
}

/* Tell each requirement of the host, or of the device at @address. */
static void tell_each(struct ferry_host *host, const char *address,
		      void (*tell)(const struct ferry_requirement *r, struct sum *sum),
		      struct sum *sum)
{
	struct ferry_requirement r = { .size = sizeof(r) };
	unsigned int i;

	for (i = 0; !(address ? ferry_host_device_requirement(host, address, i, &r) :
				ferry_host_requirement(host, i, &r)); i++) {
		tell(&r, sum);
		/* Of what is not there nothing else can be said */
		if (address && !i && r.answer == FERRY_NO)
			break;
	}
}

/* The host, when all of these can be addresses; else NULL and the exit code. */
static struct ferry_host *host_for(int argc, char **argv, int *code)
{
	struct ferry_requirement r = { .size = sizeof(r) };
	struct ferry_host *host;
	int n;

	if (ferry_host_new(&host)) {
		*code = fail(FAILED, "there is no memory");
		return NULL;
	}
	for (n = 0; n < argc; n++)
		if (ferry_host_device_requirement(host, argv[n], ~0U, &r) != -ENOENT) {
			*code = usage("%s: %s", argv[n], ferry_host_error(host));
			ferry_host_free(host);
			return NULL;
		}
	return host;
}

static void check_device(struct ferry_host *host, const char *address, struct sum *sum)
{
	text("%s\n", address);
	json_open(NULL, '{');
	json_string("address", address);
	json_open("requirements", '[');
	tell_each(host, address, show, sum);
	json_close(']');
	json_close('}');
}

static int verdict(const struct sum *host, const struct sum *devices, int n)
{
	const char *s;
	int code;

	if (host->n[FERRY_NO])
		s = "This host cannot keep devices.", code = UNSUPPORTED;
	else if (devices->n[FERRY_NO])
		s = "Not all of these devices can be kept.", code = FAILED;
	else if (host->n[FERRY_UNKNOWN] || devices->n[FERRY_UNKNOWN])
		s = "Not all could be looked at.", code = FAILED;
	else
		s = n ? "These devices can be kept." : "This host can keep devices.", code = DONE;
	text("%s\n", s);
	json_string("verdict", s);
	json_bool("can", code == DONE);
	return code;
}

static int run(int argc, char **argv)
{
	struct sum host_sum = { 0 }, sum = { 0 };
	int rc, n;
	struct ferry_host *host = host_for(argc, argv, &rc);

	if (!host)
		return rc;
	json_open(NULL, '{');
	text("host\n");
	json_open("host", '[');
	tell_each(host, NULL, show, &host_sum);
	json_close(']');
	json_open("devices", '[');
	for (n = 0; n < argc; n++)
		check_device(host, argv[n], &sum);
	json_close(']');
	rc = verdict(&host_sum, &sum, argc);
	json_close('}');
	out_end();
	ferry_host_free(host);
	return rc;
}

/* ---- preserve --dry-run ---- */

static unsigned int in_the_way(const struct sum *sum)
{
	return sum->n[FERRY_NO] + sum->n[FERRY_UNKNOWN];
}

/* Only what stands in the way */
static void refusal(const struct ferry_requirement *r, struct sum *sum)
{
	sum->n[r->answer]++;
	if (r->answer == FERRY_YES)
		return;
	text("  %s: %s: %s%s%s\n", r->answer == FERRY_NO ? "refused" : "unknown", r->text,
	     r->reason, *r->remedy ? "; " : "", r->remedy);
	json_open(NULL, '{');
	json_string("name", r->name);
	json_string("answer", r->answer == FERRY_NO ? "no" : "unknown");
	json_string("reason", r->reason);
	json_string("remedy", r->remedy);
	json_close('}');
}

static void refusals_of(struct ferry_host *host, const char *address, struct sum *sum)
{
	unsigned int before = in_the_way(sum);

	json_open(NULL, '{');
	text("%s\n", address ? address : "host");
	if (address)
		json_string("address", address);
	json_open("refusals", '[');
	tell_each(host, address, refusal, sum);
	json_close(']');
	json_close('}');
	if (in_the_way(sum) == before)
		text("  nothing that could be looked at is in the way\n");
}

static int run_preserve(int argc, char **argv)
{
	struct sum host_sum = { 0 }, sum = { 0 };
	struct ferry_host *host;
	bool can;
	int n;

	if (!given("dry-run") || !argc)
		return usage("it wants --dry-run and devices; to preserve a session is for the process "
			     "that has it");
	host = host_for(argc, argv, &n);
	if (!host)
		return n;
	json_open(NULL, '{');
	json_open("preserve", '[');
	refusals_of(host, NULL, &host_sum);
	for (n = 0; n < argc; n++)
		refusals_of(host, argv[n], &sum);
	json_close(']');
	can = !in_the_way(&host_sum) && !in_the_way(&sum);
	json_bool("can", can);
	json_close('}');
	out_end();
	ferry_host_free(host);
	return host_sum.n[FERRY_NO] ? UNSUPPORTED : can ? DONE : FAILED;
}

static const struct option_row options[] = { { 0 } };

static const struct option_row preserve_options[] = {
	{ "dry-run", NULL, "say what would be refused, and leave nothing preserved" },
	{ 0 },
};

const struct verb verb_preserve = {
	"preserve", "--dry-run ADDRESS...", "What would be refused if these devices were preserved now",
	preserve_options, run_preserve,
};

const struct verb verb_check = {
	"check", "[ADDRESS]...", "Can this host keep devices, and the devices at these PCI addresses",
	options, run,
};
