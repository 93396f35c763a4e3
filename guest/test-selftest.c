// SPDX-License-Identifier: GPL-2.0-only
/*
 * selftest: runs static programs of other people, one after the other.
 *
 * Options: bin=A,B,... names in /tests or /bin (without it: everything in
 * /tests, in the order of the names); hp= how many huge pages to reserve;
 * limit= seconds for one program (1200). A program's output goes to the
 * console as it is, and line by line to the verdict port ("# out LINE"). It is
 * the host that knows which of its results to expect: a step is ok when the
 * program has ended by itself.
 *
 * selftest-kept: the same with a kexec in between. LU_PHASE in the environment
 * tells the program on which side it is, see tests/selftests/exchange.h, and
 * LU_SPOIL, from spoil=, what to do wrong; fixture=A:B:... chooses what it runs.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/wait.h>

#include "guest.h"

#define MAX_PROGRAMS	32

static char names[MAX_PROGRAMS][64], texts[MAX_PROGRAMS][72];
static struct step steps[MAX_PROGRAMS];
static size_t nr, current;

static void add(const char *name)
{
	if (nr < MAX_PROGRAMS)
		snprintf(names[nr++], sizeof(names[0]), "%.63s", name);
}

static void find_programs(void)
{
	char list[1024], *save = NULL, *w;
	const char *run = opt_str("bin", NULL);
	struct dirent **e;
	int i, n;

	if (run) {
		snprintf(list, sizeof(list), "%s", run);
		for (w = strtok_r(list, ",", &save); w;
		     w = strtok_r(NULL, ",", &save))
			add(w);
		return;
	}
	n = scandir("/tests", &e, NULL, alphasort);
	for (i = 0; i < n; i++) {
		if (e[i]->d_name[0] != '.')
			add(e[i]->d_name);
		free(e[i]);
	}
	if (n >= 0)
		free(e);
}

/* Copies to the console, and line by line to the verdict port. */
static void take_output(const char *buf, size_t n)
{
	static char line[1024];
	static size_t used;
	size_t i;

	if (write(STDOUT_FILENO, buf, n) < 0)
		used = 0;
	for (i = 0; i < n; i++) {
		if (buf[i] != '\n') {
			if (used < sizeof(line) - 1)
				line[used++] = isprint(buf[i]) ? buf[i] : '?';
			continue;
		}
		line[used] = '\0';
		used = 0;
		v_quiet("# out %s", line);
	}
}

/* -f FIXTURE for each one that is asked for, to programs that know that */
static void fixtures(char *name, char **args, size_t n)
{
	static char list[512];
	char *save = NULL, *w;
	size_t i = 0;

	args[i++] = name;
	snprintf(list, sizeof(list), "%s", opt_str("fixture", ""));
	for (w = strtok_r(list, ":", &save); w && i + 2 < n;
	     w = strtok_r(NULL, ":", &save)) {
		args[i++] = "-f";
		args[i++] = w;
	}
	args[i] = NULL;
}

static void child(const char *path, char *name, int out)
{
	char *args[32];

	fixtures(name, args, ARRAY_SIZE(args));
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	close(out);
	execv(path, args);
	perror(path);
	_exit(127);
}

/* Until the program has closed its output, or has had its time. */
static bool follow(int fd, uint64_t end)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char buf[1024];
	ssize_t n;

	while (now_ms() < end) {
		if (poll(&pfd, 1, 1000) <= 0)
			continue;
		n = read(fd, buf, sizeof(buf));
		if (n <= 0)
			return true;
		take_output(buf, n);
	}
	return false;
}

static int run_one(void *p)
{
	uint64_t start = now_ms();
	char *name = names[current++];
	int fds[2], status = 0;
	char path[320], key[80];
	bool ended;
	pid_t pid;

	(void)p;
	snprintf(path, sizeof(path), "/tests/%s", name);
	if (access(path, X_OK))
		snprintf(path, sizeof(path), "/bin/%s", name);
	if (pipe(fds))
		return v_error(-errno, "pipe");
	printf("ferry-selftest: begin %s\n", name);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		close(fds[0]);
		child(path, name, fds[1]);
	}
	close(fds[1]);
	ended = follow(fds[0], start + 1000 * opt_u64("limit", 1200));
	if (!ended)
		kill(pid, SIGKILL);
	close(fds[0]);
	waitpid(pid, &status, 0);
	printf("ferry-selftest: end %s %#x\n", name, status);
	fflush(stdout);
	snprintf(key, sizeof(key), "exit_%s", name);
	v_info(key, "%d", WIFEXITED(status) ? WEXITSTATUS(status) :
					      128 + WTERMSIG(status));
	snprintf(key, sizeof(key), "seconds_%s", name);
	v_info(key, "%llu", (unsigned long long)(now_ms() - start) / 1000);
	if (!ended)
		return v_error(-ETIMEDOUT, name);
	return WIFEXITED(status) && WEXITSTATUS(status) != 127 ? 0 : -EIO;
}

static void reserve_huge_pages(void)
{
	if (opt_str("hp", NULL))
		write_file("/proc/sys/vm/nr_hugepages", opt_str("hp", "0"));
}

int test_selftest(unsigned int stage)
{
	size_t i;

	(void)stage;
	find_programs();
	for (i = 0; i < nr; i++) {
		snprintf(texts[i], sizeof(texts[i]), "%s ran", names[i]);
		steps[i].text = texts[i];
		steps[i].run = run_one;
		steps[i].go_on = true;
	}
	reserve_huge_pages();
	if (!nr) {
		v_run(steps, 0, NULL);
		v_note("there is nothing in /tests");
		return VERDICT_SKIP;
	}
	return v_run(steps, nr, NULL);
}

static int run_phase(void *p)
{
	setenv("LU_PHASE", p, 1);
	setenv("LU_SPOIL", opt_str("spoil", ""), 1);
	add(opt_str("bin", ""));
	return run_one(p);
}

static const struct step old_kernel[] = {
	STEP("fixtures are preserved", run_phase),
	STEP("the next kernel is loaded", kexec_load_next),
	SYNC("kexec"),
};

static const struct step new_kernel[] = {
	SYNC("booted"),
	STEP("tests ran on retrieved fixtures", run_phase),
};

int test_selftest_kept(unsigned int stage)
{
	reserve_huge_pages();
	if (stage > 1)
		return v_run(new_kernel, ARRAY_SIZE(new_kernel), "retrieve");
	return kexec_after(old_kernel, ARRAY_SIZE(old_kernel), "preserve");
}
