// SPDX-License-Identifier: GPL-2.0-only
/*
 * The verdict port. The console is a log that anybody may write to; what
 * counts is said here, on the second serial port, as KTAP with the plan
 * first. At a sync point the guest stops until the host has answered.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <sys/utsname.h>

#include "guest.h"

#define SYNC_TIMEOUT_MS	(15 * 60 * 1000)

static int port = -1;

void v_open(void)
{
	struct termios tio;

	port = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (port < 0) {
		fprintf(stderr, "init: no verdict port: %m\n");
		return;
	}
	if (tcgetattr(port, &tio))
		return;
	cfmakeraw(&tio);
	tio.c_cflag |= CLOCAL | CREAD;
	cfsetspeed(&tio, B115200);
	tcsetattr(port, TCSANOW, &tio);
}

/* A copy on the console makes the log readable by itself. */
static bool echo = true;

static void put(const char *buf, size_t len)
{
	ssize_t n = 0;

	if (echo)
		n = write(STDOUT_FILENO, buf, len);
	while (port >= 0 && len) {
		n = write(port, buf, len);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return;
		if (n > 0) {
			buf += n;
			len -= n;
		}
	}
}

static void vline(const char *prefix, const char *fmt, va_list ap)
{
	char buf[2048];
	int n, m;

	n = snprintf(buf, sizeof(buf), "%s", prefix);
	m = vsnprintf(buf + n, sizeof(buf) - n - 1, fmt, ap);
	if (m > 0)
		n += m;
	if (n > (int)sizeof(buf) - 2)
		n = sizeof(buf) - 2;
	buf[n++] = '\n';
	put(buf, n);
}

void v_line(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vline("", fmt, ap);
	va_end(ap);
}

/* For what is on the console already. */
void v_quiet(const char *fmt, ...)
{
	va_list ap;

	echo = false;
	va_start(ap, fmt);
	vline("", fmt, ap);
	va_end(ap);
	echo = true;
}

void v_note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vline("# ", fmt, ap);
	va_end(ap);
}

void v_info(const char *key, const char *fmt, ...)
{
	char prefix[80];
	va_list ap;

	snprintf(prefix, sizeof(prefix), "# info %s ", key);
	va_start(ap, fmt);
	vline(prefix, fmt, ap);
	va_end(ap);
}

/* Says what failed and hands the error on. */
int v_error(int err, const char *what)
{
	if (err < 0)
		v_note("%s: %s (%d)", what, strerrorname_np(-err), -err);
	else
		v_note("%s", what);
	return err < 0 ? err : -EIO;
}

static int read_answer(char *buf, size_t len)
{
	struct pollfd pfd = { .fd = port, .events = POLLIN };
	uint64_t end = now_ms() + SYNC_TIMEOUT_MS;
	size_t n = 0;

	while (now_ms() < end) {
		if (poll(&pfd, 1, 1000) <= 0)
			continue;
		if (read(port, buf + n, 1) != 1)
			continue;
		if (buf[n] == '\n') {
			buf[n] = '\0';
			return 0;
		}
		if (++n == len)
			return -EPROTO;
	}
	return -ETIMEDOUT;
}

int v_sync(const char *name)
{
	char answer[32];
	int rc;

	v_line("# sync %s", name);
	if (opt_u64("nosync", 0))
		return 0;
	rc = read_answer(answer, sizeof(answer));
	if (rc)
		return v_error(rc, "waiting for the host");
	if (strcmp(answer, "go")) {
		v_note("the host said \"%s\"", answer);
		return -EPROTO;
	}
	return 0;
}

void v_drain(void)
{
	if (port >= 0)
		tcdrain(port);
	tcdrain(STDOUT_FILENO);
}

static bool planned(const struct step *s, void *ctx)
{
	return !s->when || s->when(ctx);
}

static size_t say_plan(const struct step *steps, size_t n, void *ctx)
{
	struct utsname u;
	size_t i, plan = 0;

	for (i = 0; i < n; i++)
		if (steps[i].run && planned(&steps[i], ctx))
			plan++;
	uname(&u);
	v_line("KTAP version 1");
	v_line("1..%zu", plan);
	v_note("nonce %s stage %u kernel %s", cmdline_nonce(), cmdline_stage(),
	       u.release);
	return plan;
}

/*
 * Runs the steps in order. After a failure that ends the test, the steps that
 * are left are said to be not ok, so that the plan is always fulfilled.
 */
int v_run(const struct step *steps, size_t n, void *ctx)
{
	size_t i, nr = 0, skipped = 0, failed = 0;
	size_t plan = say_plan(steps, n, ctx);
	bool ended = false;
	int rc;

	for (i = 0; i < n; i++) {
		const struct step *s = &steps[i];

		if (!planned(s, ctx))
			continue;
		if (!s->run) {
			if (!ended && v_sync(s->text)) {
				failed++;
				ended = true;
			}
			continue;
		}
		if (ended) {
			v_line("not ok %zu - %s (not reached)", ++nr, s->text);
			failed++;
			continue;
		}
		rc = s->run(ctx);
		v_line("%sok %zu - %s%s", rc < 0 ? "not " : "", ++nr, s->text,
		       rc == STEP_SKIP ? " # SKIP" : "");
		skipped += rc == STEP_SKIP;
		failed += rc < 0;
		ended = rc < 0 && !s->go_on;
	}
	if (failed)
		return VERDICT_FAIL;
	return plan && skipped == plan ? VERDICT_SKIP : VERDICT_PASS;
}
