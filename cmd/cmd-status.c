// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ferry status: which process has which session. The kernel lists no sessions; what it
 * shows is the open files of processes.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

static void read_command(int proc, const char *pid, char *buf, size_t len)
{
	char path[64];
	ssize_t n = -1;
	int fd;

	snprintf(path, sizeof(path), "%.20s/comm", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, buf, len - 1);
		close(fd);
	}
	buf[n < 0 ? 0 : n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
}

static int add(struct open_sessions *l, int proc, const char *pid, const char *session)
{
	struct open_session *f, *more;

	if (l->n == l->room) {
		more = realloc(l->rows, (l->room + 64) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		l->rows = more;
		l->room += 64;
	}
	f = &l->rows[l->n];
	snprintf(f->name, sizeof(f->name), "%.63s", session);
	f->pid = strtoul(pid, NULL, 10);
	read_command(proc, pid, f->command, sizeof(f->command));
	l->n++;
	return 0;
}

static int look_at(struct open_sessions *l, int proc, const char *pid)
{
	char path[32], link[256];
	struct dirent *e;
	ssize_t n;
	int fd, rc = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%.20s/fd", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		l->hidden += errno == EACCES || errno == EPERM;
		return 0;
	}
	while (!rc && (e = readdir(dir))) {
		n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);
		link[n < 0 ? 0 : n] = '\0';
		if (!strncmp(link, SESSION_LINK, strlen(SESSION_LINK)))
			rc = add(l, proc, pid, link + strlen(SESSION_LINK));
	}
	closedir(dir);
	return rc;
}

static int by_session(const void *a, const void *b)
{
	const struct open_session *x = a, *y = b;
	int rc = strcmp(x->name, y->name);

	return rc ? rc : (x->pid > y->pid) - (x->pid < y->pid);
}

/* A file descriptor that was duplicated is one session still. */
static void sort(struct open_sessions *l)
{
	size_t i, n = 0;

	if (l->n)
		qsort(l->rows, l->n, sizeof(*l->rows), by_session);
	for (i = 0; i < l->n; i++)
		if (!i || by_session(&l->rows[i], &l->rows[n - 1]))
			l->rows[n++] = l->rows[i];
	l->n = n;
}

void open_sessions_hidden(const struct open_sessions *l)
{
	if (l->hidden)
		text("%u process%s could not be looked at; root sees all.\n", l->hidden,
		     l->hidden == 1 ? "" : "es");
}

static void show(const struct open_sessions *l)
{
	size_t i;

	json_open(NULL, '{');
	json_open("sessions", '[');
	if (l->n)
		text("%8s  %-16s SESSION\n", "PROCESS", "COMMAND");
	for (i = 0; i < l->n; i++) {
		text("%8lu  ", l->rows[i].pid);
		text_safe(l->rows[i].command);
		text("%*s ", 16 - (int)strlen(l->rows[i].command), "");
		text_safe(l->rows[i].name);
		text("\n");
		json_open(NULL, '{');
		json_string("session", l->rows[i].name);
		json_number("process", l->rows[i].pid);
		json_string("command", l->rows[i].command);
		json_close('}');
	}
	json_close(']');
	json_number("hidden_processes", l->hidden);
	json_close('}');
	if (!l->n)
		text("No process has a session.\n");
	open_sessions_hidden(l);
	out_end();
}

int open_sessions_find(const char *proc, struct open_sessions *l)
{
	DIR *dir = opendir(proc);
	struct dirent *e;
	int rc = 0;

	*l = (struct open_sessions){ 0 };
	if (!dir)
		return -errno;
	while (!rc && (e = readdir(dir)))
		if (isdigit((unsigned char)e->d_name[0]))
			rc = look_at(l, dirfd(dir), e->d_name);
	closedir(dir);
	if (rc)
		free(l->rows);
	else
		sort(l);
	return rc;
}

static int run(int argc, char **argv)
{
	const char *where = given("proc") ? given("proc") : "/proc";
	struct open_sessions l;
	int rc;

	(void)argv;
	if (argc)
		return usage("it takes no argument");
	rc = open_sessions_find(where, &l);
	if (rc)
		return fail(FAILED, "%s: %s", where, strerror(-rc));
	show(&l);
	free(l.rows);
	return DONE;
}

static const struct option_row options[] = {
	{ "proc", "DIR", "look there instead of in /proc" },
	{ 0 },
};

const struct verb verb_status = {
	"status", "", "Which process has which session", options, run,
};
