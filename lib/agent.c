// SPDX-License-Identifier: LGPL-2.1-or-later
/* The way to the agent, which holds the sessions of processes that restart. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"
#include "agent-protocol.h"

struct ferry_agent {
	struct ferry_host *host;
	int fd;
	bool lost;			/* an answer may come that belongs to an older request */
	uint32_t owner;
};

bool ferry_agent_name_is_good(const char *name)
{
	return ferry_name_is_good(name) && !strchr(name, ':');
}

static int agent_fails(struct ferry_host *h, int rc, const char *name, const char *what)
{
	static const struct {
		int err;
		const char *why, *todo;
	} own[] = {
		{ ENOENT, "this user has put none of that name there", "look at ferry agent list" },
		{ EBUSY, "another process has borrowed it", "wait for that one" },
		{ EBADF, "that is no session", "pass what ferry_session_fd() gives" },
		{ EEXIST, "the name is taken, or the agent holds this session under another",
		  "look at ferry agent list" },
		{ EPERM, "only root may act for other users", NULL },
		{ EDQUOT, "this user has as many as it may", "drop some" },
		{ EIO, "the agent has no answer of the service manager", "look at its log" },
		{ ETIMEDOUT, "the agent does not answer", "look at its log" },
		{ ECONNRESET, "the agent has ended", "try again" },
		{ EPIPE, "the agent has ended this connection", "make a new one" },
		{ ENOTCONN, "an answer is missing on this connection", "make a new one" },
		{ EPROTO, "it speaks differently", "use the agent and the library of one version" },
	};
	char text[160];
	size_t i;

	snprintf(text, sizeof(text), *name ? "agent: \"%.63s\": %s" : "agent%s: %s", name, what);
	for (i = 0; i < ARRAY_SIZE(own); i++)
		if (own[i].err == -rc)
			return ferry_say(h->error, rc, text, own[i].why, own[i].todo);
	return ferry_say(h->error, rc, text, NULL, NULL);
}

EXPORT int ferry_agent_connect(struct ferry_host *h, const char *path,
			       struct ferry_agent **agent)
{
	struct ferry_agent *a = h->ops->alloc(h->ctx, sizeof(*a));
	char text[160];

	if (!path)
		path = FERRY_AGENT_SOCKET;
	snprintf(text, sizeof(text), "agent: %.120s", path);
	if (!a)
		return ferry_say(h->error, -ENOMEM, text, NULL, NULL);
	a->host = h;
	a->owner = AGENT_SELF;
	a->fd = h->ops->connect(h->ctx, path);
	if (a->fd < 0) {
		int rc = a->fd;

		free(a);
		if (rc == -ENOENT || rc == -ECONNREFUSED)
			return ferry_say(h->error, rc, text, "there is no agent",
					 "start ferry-agent.socket");
		/* Too many wait for it already */
		if (rc == -EAGAIN)
			return ferry_say(h->error, -ETIMEDOUT, text, "the agent does not answer",
					 "look at its log");
		return ferry_say(h->error, rc, text, NULL, NULL);
	}
	*agent = a;
	return 0;
}

EXPORT void ferry_agent_close(struct ferry_agent *a)
{
	if (!a)
		return;
	a->host->ops->close(a->host->ctx, a->fd);
	free(a);
}

EXPORT void ferry_agent_owner(struct ferry_agent *a, uint32_t uid)
{
	a->owner = uid;
}

/* One request and its answer. @passed: the file descriptor that came with it, or -1. */
static int ask(struct ferry_agent *a, uint32_t op, const char *name, int pass,
	       struct agent_answer *answer, int *passed)
{
	struct agent_request request = {
		.magic = AGENT_MAGIC, .op = op, .owner = a->owner,
	};
	const struct ferry_ops *ops = a->host->ops;
	void *ctx = a->host->ctx;
	ssize_t n;
	int rc;

	*passed = -1;
	if (a->lost)
		return -ENOTCONN;
	memcpy(request.name, name, strlen(name));
	rc = ops->send(ctx, a->fd, &request, sizeof(request), pass);
	if (rc)
		return rc == -EAGAIN ? -ETIMEDOUT : rc;
	n = ops->recv(ctx, a->fd, answer, sizeof(*answer), passed);
	if (n == sizeof(*answer) && answer->magic == AGENT_MAGIC && answer->rc <= 0 &&
	    (*passed >= 0) == (op == AGENT_BORROW && !answer->rc))
		return answer->rc;
	a->lost = true;
	if (n < 0)
		return n == -EAGAIN ? -ETIMEDOUT : (int)n;
	if (*passed >= 0)
		ops->close(ctx, *passed);
	return n ? -EPROTO : -ECONNRESET;
}

static int ask_name(struct ferry_agent *a, uint32_t op, const char *name, int pass,
		    int *passed, const char *what)
{
	struct agent_answer answer;
	int rc = -EINVAL;

	if (!ferry_agent_name_is_good(name))
		name = "";
	else
		rc = ask(a, op, name, pass, &answer, passed);
	return rc ? agent_fails(a->host, rc, name, what) : 0;
}

EXPORT int ferry_agent_put(struct ferry_agent *a, const char *name, int fd)
{
	int none;

	if (fd < 0)
		return agent_fails(a->host, -EBADF, name ? name : "", "it is not put there");
	return ask_name(a, AGENT_PUT, name, fd, &none, "it is not put there");
}

EXPORT int ferry_agent_borrow(struct ferry_agent *a, const char *name, int *fd)
{
	int passed, rc;

	rc = ask_name(a, AGENT_BORROW, name, -1, &passed, "it is not borrowed");
	if (!rc)
		*fd = passed;
	return rc;
}

EXPORT int ferry_agent_drop(struct ferry_agent *a, const char *name)
{
	int none;

	return ask_name(a, AGENT_DROP, name, -1, &none, "it is not dropped");
}

EXPORT int ferry_agent_take(struct ferry_agent *a, const char *name, int *fd)
{
	int passed, rc;

	rc = ferry_agent_borrow(a, name, &passed);
	if (rc)
		return rc;
	rc = ferry_agent_drop(a, name);
	/* Without an answer this may be the only one there is */
	if (rc && !a->lost) {
		a->host->ops->close(a->host->ctx, passed);
		return rc;
	}
	*fd = passed;
	return 0;
}

EXPORT int ferry_agent_next(struct ferry_agent *a, char name[FERRY_NAME_SIZE])
{
	struct agent_answer answer;
	int none, rc = -EINVAL;

	if (!*name || ferry_agent_name_is_good(name))
		rc = ask(a, AGENT_NEXT, name, -1, &answer, &none);
	if (!rc && (!memchr(answer.name, 0, sizeof(answer.name)) ||
		    !ferry_agent_name_is_good(answer.name)))
		rc = -EPROTO;
	if (rc)
		return rc == -ENOENT ? rc : agent_fails(a->host, rc, "", "no list");
	memcpy(name, answer.name, sizeof(answer.name));
	return 0;
}
