// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ferry run: a command that has a session, as file descriptor 3. The session is held while the
 * command runs, so that the command can restart its parts, or hand the session on.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/wait.h>
#include <time.h>

#include "cmd.h"

#define FIRST_FD	3

/* What a shell says of what it cannot start, and of a signal */
enum { CANNOT_START = 126, NOT_FOUND = 127, SIGNALLED = 128 };

/* ---- the command ---- */

static void start(int fd, const char *name, char **argv)
{
	char pid[24];

	/* A duplicate of itself would be closed by the exec */
	if (fd == FIRST_FD ? fcntl(fd, F_SETFD, 0) : dup2(fd, FIRST_FD) < 0)
		_exit(fail(CANNOT_START, "file descriptor 3: %s", strerror(errno)));
	snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	if (setenv("LISTEN_PID", pid, 1) || setenv("LISTEN_FDS", "1", 1) ||
	    setenv("LISTEN_FDNAMES", "ferry-session", 1) || setenv("FERRY_SESSION", name, 1))
		_exit(fail(CANNOT_START, "there is no memory"));
	execvp(argv[0], argv);
	_exit(fail(errno == ENOENT ? NOT_FOUND : CANNOT_START, "%s: %s", argv[0],
		   strerror(errno)));
}

/* Signals are blocked: each is heard here, and handed on. */
static int attend(pid_t pid, const sigset_t *signals)
{
	siginfo_t info;
	int status;

	for (;;) {
		pid_t ended = waitpid(pid, &status, WNOHANG);

		if (ended < 0 && errno != EINTR)
			return fail(CHANGED, "how the command has ended is not known: %s",
				    strerror(errno));
		if (ended == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) :
						   SIGNALLED + WTERMSIG(status);
		/* What a terminal sends, it sends to the command, too */
		if (sigwaitinfo(signals, &info) > 0 && info.si_signo != SIGCHLD &&
		    info.si_code != SI_KERNEL)
			kill(pid, info.si_signo);
	}
}

/* What a terminal has sent before there was a command: from now on it comes from us. */
static void send_again(const sigset_t *signals)
{
	static const struct timespec none;
	sigset_t came;
	int signal;

	sigemptyset(&came);
	while ((signal = sigtimedwait(signals, NULL, &none)) > 0)
		sigaddset(&came, signal);
	for (signal = 1; signal < NSIG; signal++)
		if (sigismember(&came, signal) > 0)
			raise(signal);
}

/* Returns -errno if there is no process for it. */
static int command(int fd, const char *name, char **argv, const sigset_t *signals,
		   const sigset_t *before)
{
	pid_t pid;

	send_again(signals);
	pid = fork();
	if (!pid) {
		sigprocmask(SIG_SETMASK, before, NULL);
		start(fd, name, argv);
	}
	return pid < 0 ? -errno : attend(pid, signals);
}

/* ---- the session ---- */

/* The file descriptor, or -1 and @rc; with --agent the agent may have it. */
static int take(struct ferry_host *host, const char *name, int *rc)
{
	struct ferry_agent *agent;
	int fd = -1, err;

	*rc = DONE;
	if (!given("agent"))
		return -1;
	err = ferry_agent_connect(host, agent_socket(), &agent);
	if (!err) {
		err = ferry_agent_take(agent, name, &fd);
		ferry_agent_close(agent);
		if (err == -ENOENT)
			return -1;
	}
	if (err)
		*rc = agent_failed(host, err);
	return fd;
}

static int make(struct ferry_host *host, const char *name, struct ferry_session **session)
{
	int rc = given("create") ? -ENOENT : ferry_session_retrieve(host, name, session);

	if (rc == -ENOENT && !given("retrieve"))
		rc = ferry_session_create(host, name, session);
	return rc ? fail(FAILED, "%s", ferry_host_error(host)) : DONE;
}

/* @session: unless it was the agent's */
static int no_process(const struct ferry_session *session, int rc)
{
	if (session && given("agent"))
		return fail(CHANGED, "fork: %s. The agent gets the session", strerror(-rc));
	if (session && ferry_session_state(session) == FERRY_RETRIEVED)
		return fail(CHANGED, "fork: %s. The session was retrieved, and ends: its devices are "
			    "stopped and blocked", strerror(-rc));
	return fail(FAILED, "fork: %s", strerror(-rc));
}

static int hold(struct ferry_host *host, const char *name, char **argv)
{
	struct ferry_session *session = NULL;
	sigset_t signals, before;
	int rc, fd;

	block_signals(&signals, &before);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	/* Ignored, as some parents leave it, it would not come */
	signal(SIGCHLD, SIG_DFL);
	fd = take(host, name, &rc);
	if (!rc && fd < 0)
		rc = make(host, name, &session);
	if (rc)
		return rc;
	if (session)
		fd = ferry_session_fd(session);
	rc = command(fd, name, argv, &signals, &before);
	if (rc < 0)
		rc = no_process(session, rc);
	if (given("agent") && agent_keep(host, name, fd))
		rc = CHANGED;
	if (!session)
		close(fd);
	ferry_session_close(session);
	return rc;
}

static int run(int argc, char **argv)
{
	struct ferry_host *host;
	int rc;

	if (argc < 2)
		return usage("it wants a session and a command");
	if (given("create") && given("retrieve"))
		return usage("it wants --create or --retrieve, not both");
	argv[argc] = NULL;
	if (ferry_host_new(&host))
		return fail(FAILED, "there is no memory");
	rc = hold(host, argv[0], argv + 1);
	ferry_host_free(host);
	return rc;
}

static const struct option_row options[] = {
	{ "create", NULL, "make the session, retrieve none" },
	{ "retrieve", NULL, "retrieve the session, make none" },
	{ "agent", NULL, "take it from the agent if it has it, and put it there afterwards" },
	{ "socket", "PATH", "of the agent; " FERRY_AGENT_SOCKET " if not given" },
	{ 0 },
};

const struct verb verb_run = {
	"run", "SESSION -- COMMAND [ARGUMENT]...", "Hold a session while a command runs, which has it",
	options, run,
};
