/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What goes between a process and the agent, over a SOCK_SEQPACKET socket: one request, one
 * answer, in the byte order of the machine. PUT brings the file descriptor of a session,
 * the answer to BORROW has one.
 */
#ifndef FERRY_AGENT_PROTOCOL_H
#define FERRY_AGENT_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "ferry.h"

#define AGENT_MAGIC	0x31674146U	/* "FAg1" */
#define AGENT_SELF	(~0U)		/* the owner is who has connected */

enum agent_op {
	AGENT_PUT = 1,
	AGENT_BORROW = 2,
	AGENT_DROP = 3,
	AGENT_NEXT = 4,			/* behind @name, which may be empty */
};

struct agent_request {
	uint32_t magic;
	uint32_t op;
	uint32_t owner;
	uint32_t reserved;		/* 0 */
	char name[FERRY_NAME_SIZE];	/* NULs behind its end */
};

struct agent_answer {
	uint32_t magic;
	int32_t rc;			/* 0 or -errno */
	char name[FERRY_NAME_SIZE];	/* of NEXT */
};

_Static_assert(sizeof(struct agent_request) == 80, "no holes");
_Static_assert(sizeof(struct agent_answer) == 72, "no holes");

/* Names have no ':', which the service manager cannot have in its own. */
bool ferry_agent_name_is_good(const char *name);

#endif /* FERRY_AGENT_PROTOCOL_H */
