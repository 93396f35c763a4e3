// SPDX-License-Identifier: LGPL-2.1-or-later
/* ferry agent: hold sessions for processes that restart, and what an operator does about it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

static struct ferry_host *host;
static struct ferry_agent *agent;

const char *agent_socket(void)
{
	return given("socket") ? given("socket") : FERRY_AGENT_SOCKET;
}

static int set_owner(struct ferry_agent *of)
{
	const char *uid = given("owner");
	unsigned long n;
	char *end;

	if (!uid)
		return DONE;
	n = strtoul(uid, &end, 10);
	if (*uid < '0' || *uid > '9' || *end || n >= UINT32_MAX)
		return usage("--owner wants the number of a user, not '%s'", uid);
	ferry_agent_owner(of, n);
	return DONE;
}

/* What was asked and not answered may have been done; -EIO is half of it. */
int agent_failed(struct ferry_host *with, int rc)
{
	switch (rc) {
	case -ECONNRESET:
	case -EIO:
	case -EPROTO:
	case -ETIMEDOUT:
		return fail(CHANGED, "%s. It may have happened all the same: see ferry agent list",
			    ferry_host_error(with));
	default:
		return fail(FAILED, "%s", ferry_host_error(with));
	}
}

static int list(const char *none)
{
	char name[FERRY_NAME_SIZE] = "";
	int rc;

	(void)none;
	rc = ferry_agent_next(agent, name);
	/* Not among the names: those are read by programs, too */
	if (rc == -ENOENT && !out_json())
		fail(DONE, "the agent holds no session of this user");
	json_open(NULL, '{');
	json_open("sessions", '[');
	for (; !rc; rc = ferry_agent_next(agent, name)) {
		text("%s\n", name);
		json_string(NULL, name);
	}
	json_close(']');
	json_close('}');
	out_end();
	return rc == -ENOENT ? DONE : fail(FAILED, "%s", ferry_host_error(host));
}

static void now(const char *name, const char *what, bool is_held)
{
	changed();
	text("%s: %s\n", name, what);
	json_open(NULL, '{');
	json_string("session", name);
	json_bool("held", is_held);
	json_close('}');
	out_end();
}

static int drop(const char *name)
{
	int rc = ferry_agent_drop(agent, name);

	if (rc)
		return agent_failed(host, rc);
	now(name, "dropped", false);
	return DONE;
}

/* A name that is taken, or not one, is noticed before there is a session. */
static int is_free(const char *name)
{
	int fd, rc = ferry_agent_borrow(agent, name, &fd);

	if (rc == -ENOENT)
		return DONE;
	if (rc && rc != -EBUSY)
		return fail(FAILED, "%s", ferry_host_error(host));
	if (!rc)
		close(fd);
	return fail(FAILED, "agent: \"%s\": the name is taken; nothing has changed", name);
}

static int create(const char *name)
{
	struct ferry_session *session;
	int rc = is_free(name);

	if (rc)
		return rc;
	if (ferry_session_create(host, name, &session))
		return fail(FAILED, "%s", ferry_host_error(host));
	rc = ferry_agent_put(agent, name, ferry_session_fd(session));
	if (rc)
		rc = agent_failed(host, rc);
	ferry_session_close(session);
	if (!rc)
		now(name, "created, the agent holds it", true);
	return rc;
}

/*
 * What would end this process, before it holds what nobody else does. SIGPIPE is among them:
 * who reads our complaints may be gone. @signals: the other ones.
 */
void block_signals(sigset_t *signals, sigset_t *before)
{
	static const int ends[] = { SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2 };
	size_t i;

	sigemptyset(signals);
	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigaddset(signals, ends[i]);
	sigprocmask(SIG_BLOCK, signals, before);
	sigdelset(signals, SIGPIPE);
}

static bool is_told_to_end(time_t seconds)
{
	struct timespec patience = { .tv_sec = seconds };
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	return sigtimedwait(&ends, NULL, &patience) > 0;
}

static int put(struct ferry_host *with, const char *name, int fd)
{
	struct ferry_agent *to;
	int rc = ferry_agent_connect(with, agent_socket(), &to);

	if (rc)
		return rc;
	rc = set_owner(to) ? -EINVAL : ferry_agent_put(to, name, fd);
	ferry_agent_close(to);
	return rc;
}

/*
 * To close a session of the previous kernel ends its devices: from here on the agent gets it,
 * now or later. Signals are blocked. Another session of this name may be there for ever: only
 * then a signal ends this, one that came after it was said what that means.
 */
int agent_keep(struct ferry_host *with, const char *name, int fd)
{
	int rc, said = 0;

	while ((rc = put(with, name, fd))) {
		if (rc != -EEXIST) {
			fail(CHANGED, "%s. This process holds the session, and tries again",
			     ferry_host_error(with));
		} else if (said != rc) {
			while (is_told_to_end(0))
				;
			fail(CHANGED, "%s. Another session has that name: drop it there. This process "
			     "holds its own, and tries again; SIGINT or SIGTERM ends it and its session",
			     ferry_host_error(with));
		}
		said = rc;
		if (rc != -EEXIST)
			sleep(1);
		else if (is_told_to_end(1))
			return fail(CHANGED, "\"%s\" is not with the agent, and this process holds it no longer",
				    name);
	}
	return DONE;
}

static int retrieve(const char *name)
{
	struct ferry_session *session;
	sigset_t signals, before;
	int rc = is_free(name);

	if (rc)
		return rc;
	block_signals(&signals, &before);
	if (ferry_session_retrieve(host, name, &session))
		return fail(FAILED, "%s", ferry_host_error(host));
	rc = agent_keep(host, name, ferry_session_fd(session));
	ferry_session_close(session);
	if (!rc)
		now(name, "retrieved, the agent holds it", true);
	return rc;
}

static const struct action {
	const char *name;
	int (*run)(const char *name);
	int words;
} actions[] = {
	{ "list", list, 1 },
	{ "drop", drop, 2 },
	{ "create", create, 2 },
	{ "retrieve", retrieve, 2 },
};

static int act(const struct action *action, const char *name)
{
	int rc;

	if (ferry_host_new(&host))
		return fail(FAILED, "there is no memory");
	if (ferry_agent_connect(host, agent_socket(), &agent)) {
		rc = fail(FAILED, "%s", ferry_host_error(host));
	} else {
		rc = set_owner(agent);
		if (!rc)
			rc = action->run(name);
		ferry_agent_close(agent);
	}
	ferry_host_free(host);
	return rc;
}

static int run(int argc, char **argv)
{
	const struct action *a;

	if (argc == 1 && !strcmp(argv[0], "serve"))
		return agent_serve(agent_socket());
	for (a = actions; a < actions + sizeof(actions) / sizeof(*a); a++)
		if (argc && !strcmp(argv[0], a->name))
			return argc == a->words ? act(a, argv[1]) :
						  usage("%s wants %s", a->name, a->words == 1 ?
							"nothing" : "the name of a session");
	return usage("it wants serve, list, drop, create or retrieve");
}

static const struct option_row options[] = {
	{ "socket", "PATH", "of the agent; " FERRY_AGENT_SOCKET " if not given" },
	{ "owner", "UID", "the user whose sessions these are; only for root" },
	{ 0 },
};

const struct verb verb_agent = {
	"agent", "serve | list | drop NAME | create NAME | retrieve NAME",
	"Hold sessions for processes that restart", options, run,
};
