// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * For the command under test: a host that is a mock. FERRY_MOCK is a list of words such as
 * missing=/dev/iommu, forbidden=/dev/iommu, driver=e1000e, crowded=1, caps=0, cmdline=WORD,
 * class=0x030000, sriov=/physfn, agent=NAME, which the agent holds, kept=NAME or bare=NAME, the
 * same of the previous kernel, refuse=ERRNO, which it answers, mute=OP, to which it does not
 * answer, left=NAME, of the previous kernel and not retrieved, processes=0, of which no more can
 * be made, closed=PATH, which this user sees and may not open, hidden=1, which the kernel
 * finds beside a device.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/mock.h"

int mock_host_new(struct ferry_host **host);
pid_t mock_fork(void);

static struct mock m;
static uint32_t mute, asked;
static bool no_processes;
static const char *closed;

static int host_send(void *ctx, int fd, const void *buf, size_t len, int pass)
{
	asked = ((const struct agent_request *)buf)->op;
	return mock_ops.send(ctx, fd, buf, len, pass);
}

static ssize_t host_recv(void *ctx, int fd, void *buf, size_t len, int *passed)
{
	ssize_t n = mock_ops.recv(ctx, fd, buf, len, passed);

	return asked == mute ? 0 : n;
}

static int host_open(void *ctx, const char *path, int flags)
{
	return closed && !strcmp(path, closed) ? -EACCES : mock_ops.open(ctx, path, flags);
}

pid_t mock_fork(void)
{
	if (!no_processes)
		return fork();
	errno = EAGAIN;
	return -1;
}

/* A session of the previous kernel, with a directory or without. */
static void leave(const char *name, bool bare)
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
	ferry_host_free(h);
}

/* The agent holds it. */
static void keep(const char *name, bool bare)
{
	struct ferry_session *s;
	struct ferry_host *h;

	leave(name, bare);
	if (ferry_host_new_with(&mock_ops, &m, &h) || ferry_session_retrieve(h, name, &s))
		abort();
	mock_hold_fd(&m, name, ferry_session_fd(s));
	ferry_session_close(s);
	ferry_host_free(h);
}

/* The next preserve is refused, and the kernel says why. */
static void hide(void)
{
	m.log[0] = "5,7,7,-;vfio-pci 0000:00:03.0: live update: refused: a function beside it "
		   "is hidden (-EOPNOTSUPP)\n SUBSYSTEM=pci\n";
	m.says = 1;
	m.refuse = LIVEUPDATE_SESSION_PRESERVE_FD;
	m.refuse_with = -EOPNOTSUPP;
	m.refuse_times = 1;
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
	else if (!strncmp(word, "left=", 5))
		leave(value, false);
	else if (!strncmp(word, "closed=", 7))
		closed = value;
	else if (!strncmp(word, "mute=", 5))
		mute = atoi(value);
	else if (!strncmp(word, "processes=", 10))
		no_processes = true;
	else if (!strncmp(word, "crowded=", 8))
		m.crowded = true;
	else if (!strncmp(word, "caps=", 5))
		m.caps = 0;
	else if (!strncmp(word, "hidden=", 7))
		hide();
	else
		abort();
}

int mock_host_new(struct ferry_host **host)
{
	char *words = getenv("FERRY_MOCK"), *save;
	static struct ferry_ops ops;

	mock_init(&m);
	if (words) {
		/* Kept as long as the program runs */
		static char copy[256];

		strncpy(copy, words, sizeof(copy) - 1);
		for (words = strtok_r(copy, " ", &save); words;
		     words = strtok_r(NULL, " ", &save))
			set(words);
	}
	ops = mock_ops;
	ops.open = host_open;
	ops.send = host_send;
	ops.recv = host_recv;
	return ferry_host_new_with(&ops, &m, host);
}
