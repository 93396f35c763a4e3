/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the verbs of ferry(1) share. */
#ifndef FERRY_CMD_H
#define FERRY_CMD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include <ferry.h>

/* Exit codes, see ferry(1) */
enum {
	DONE = 0,
	FAILED = 1,		/* refused or failed, nothing has changed */
	USAGE = 2,
	CHANGED = 3,		/* failed, and something has changed */
	UNSUPPORTED = 77,
};

struct option_row {
	const char *name;	/* without the dashes */
	const char *value;	/* what it takes, or NULL */
	const char *help;
};

struct verb {
	const char *name, *args, *help;
	const struct option_row *options;	/* ended by a row without a name */
	int (*run)(int argc, char **argv);	/* what is not an option */
};

/* What the link in /proc/PID/fd of a session's file descriptor begins with; its name follows */
#define SESSION_LINK	"anon_inode:[luo_session] "

extern const struct verb verb_abort, verb_agent, verb_check, verb_decode, verb_go, verb_load,
	verb_preserve, verb_report, verb_run, verb_show, verb_status;

/* ferry.c: the options that were given */
const char *given(const char *name);
int usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* From here on a failure has to say that something is not as it was */
void changed(void);

/* out.c: text or JSON; in text mode json_*() do nothing */
void out_begin(bool json);
void out_end(void);
bool out_json(void);
void text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void text_safe(const char *s);
/* Progress: begins a stage and ends the one before. On a terminal it gets its time. */
void stage(const char *name);
void stage_end(bool good);
const char *colour(const char *code);
void json_open(const char *key, char bracket);
void json_close(char bracket);
void json_string(const char *key, const char *value);
void json_number(const char *key, uint64_t value);
void json_bool(const char *key, bool value);

/* cmd-agent.c: the agent that --socket names, or the usual one */
const char *agent_socket(void);
int agent_failed(struct ferry_host *with, int rc);
void block_signals(sigset_t *signals, sigset_t *before);
int agent_keep(struct ferry_host *with, const char *name, int fd);

/* cmd-decode.c: what is in a session, as its directory says */
void show_directory(const struct ferry_session *s);

/* cmd-status.c: sessions that processes have, in the order of their names */
struct open_session {
	char name[64];
	unsigned long pid;
	char command[64];
};

struct open_sessions {
	struct open_session *rows;
	size_t n, room;
	unsigned int hidden;		/* processes that could not be looked at */
};

/* 0, or a negative errno and nothing to free(); @proc: where /proc is */
int open_sessions_find(const char *proc, struct open_sessions *l);
/* Says how many processes could not be looked at, if any */
void open_sessions_hidden(const struct open_sessions *l);

/* agent.c, fdstore.c: see there */
int agent_serve(const char *path);
bool fdstore_exists(void);
int fdstore_put(uint32_t owner, const char *name, int fd);
int fdstore_remove(uint32_t owner, const char *name);
void fdstore_again(uint32_t owner, const char *name, int fd);
void fdstore_ready(void);
void fdstore_begin(int (*is_back)(uint32_t owner, const char *name, int fd), int *socket);

#endif /* FERRY_CMD_H */
