// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ferry show: what is in a session of the previous kernel. Its directory can be read as often as
 * one likes and changes nothing; but to retrieve a session only to look at it, and to close it
 * then, would be its end. So this looks at what somebody else goes on to hold.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

static int show(struct ferry_host *host, int fd)
{
	struct ferry_object object = { .size = sizeof(object) };
	struct ferry_session *s;
	int rc;

	if (ferry_session_adopt(host, fd, &s)) {
		close(fd);
		return fail(FAILED, "%s", ferry_host_error(host));
	}
	if (ferry_session_state(s) == FERRY_OPEN) {
		rc = fail(FAILED, "session \"%s\": it is of this kernel, which shows nobody what is in "
			  "it before the jump; ask the process that has made it",
			  ferry_session_name(s));
	} else {
		rc = ferry_session_object(s, 0, &object);
		if (rc && rc != -ENOENT)
			rc = fail(FAILED, "%s", ferry_session_error(s));
		else
			rc = (show_directory(s), DONE);
	}
	/* Nothing but the directory was asked for, and others have the session */
	ferry_session_close(s);
	return rc;
}

static int from_agent(struct ferry_host *host, const char *name)
{
	struct ferry_agent *agent;
	int fd, rc;

	if (ferry_agent_connect(host, agent_socket(), &agent))
		return fail(FAILED, "%s", ferry_host_error(host));
	rc = ferry_agent_borrow(agent, name, &fd);
	if (rc == -ENOENT)
		rc = fail(FAILED, "session \"%s\": the agent has none of that name. One that nobody has "
			  "retrieved cannot be looked at: first 'ferry agent retrieve %s'", name, name);
	else if (rc)
		rc = fail(FAILED, "%s", ferry_host_error(host));
	else
		rc = show(host, fd);
	ferry_agent_close(agent);
	return rc;
}

static int inherited(struct ferry_host *host, const char *number)
{
	char *end;
	long n = strtol(number, &end, 10);
	int fd;

	if (*number < '0' || *number > '9' || *end || n > 1 << 20)
		return usage("--fd wants a file descriptor, not '%s'", number);
	fd = fcntl(n, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? fail(FAILED, "--fd %s: %s", number, strerror(errno)) : show(host, fd);
}

static int run(int argc, char **argv)
{
	struct ferry_host *host;
	int rc;

	if (argc + !!given("fd") != 1)
		return usage("it wants the name of a session the agent holds, or --fd");
	if (ferry_host_new(&host))
		return fail(FAILED, "there is no memory");
	rc = given("fd") ? inherited(host, given("fd")) : from_agent(host, argv[0]);
	ferry_host_free(host);
	return rc;
}

static const struct option_row options[] = {
	{ "fd", "N", "the session that was inherited as this file descriptor" },
	{ "socket", "PATH", "of the agent; " FERRY_AGENT_SOCKET " if not given" },
	{ 0 },
};

const struct verb verb_show = {
	"show", "SESSION | --fd N", "What is in a session of the previous kernel", options, run,
};
