/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A system in memory behind struct ferry_ops: /dev/liveupdate with sessions, /dev/iommu,
 * one VFIO device, memfds, some of sysfs. mock_kexec() makes the next kernel of it.
 */
#ifndef FERRY_MOCK_H
#define FERRY_MOCK_H

#include "private.h"
#include "agent-protocol.h"

#define MOCK_FDS	64
#define MOCK_FILES	64
#define MOCK_SESSIONS	8
#define MOCK_KEPT	16

enum mock_kind { FREE, LUO, SESSION, IOMMUFD, VFIO, MEMFD, TEXT, LOG, AGENT };

struct mock_file {
	enum mock_kind kind;
	int refs;			/* file descriptors, and sessions it is kept in */
	/* memfd, text */
	uint8_t *bytes;
	size_t length;
	bool sealed;
	unsigned int at;		/* log: the record that is read next */
	/* iommufd */
	uint32_t next_id, ioas[4], hwpt[8], marked[8];
	unsigned int nr_ioas, nr_hwpt, nr_maps;
	/* device */
	struct mock_file *bound;
	uint32_t dev_id, attached;
	/* session */
	char name[64];
	bool incoming, retrieved;
	struct mock_file *kept[MOCK_KEPT];
	uint64_t tokens[MOCK_KEPT];
	unsigned int nr_kept;
};

struct mock {
	struct mock_file files[MOCK_FILES];
	struct mock_file *fds[MOCK_FDS];
	bool luo_open;
	unsigned int calls;		/* so far */
	unsigned int fail_at;		/* the call that fails, 0: none */
	int fail_with;
	bool failed;
	unsigned long refuse;		/* an ioctl that fails with refuse_with */
	int refuse_with;
	unsigned int refuse_times;
	/* The kernel log, and how many of its records come with a refused ioctl; "": lost */
	const char *log[4];
	unsigned int says, said;
	unsigned int short_io;		/* bytes a read or write moves at most, 0: all */
	unsigned int paused;
	const char *missing;		/* a path that is not there */
	const char *forbidden;		/* one this user may not open */
	const char *driver;		/* of the device */
	const char *cmdline, *class;
	const char *regions;	/* reserved ones of every device */
	const char *sriov;	/* what a device has more, or NULL */
	bool crowded;			/* its group has two members */
	uint64_t caps;
	unsigned int wrong_id;		/* what a bind says more than it should */
	bool no_objects;		/* the next kernel has forgotten the IOAS */
	bool odd_list;			/* the second list is another one */
	/* The agent: what it holds, by name, and its next answer */
	struct {
		char name[FERRY_NAME_SIZE];
		struct mock_file *file;
	} held[4];
	struct agent_answer answer;
	struct mock_file *passed;
	int answer_with;		/* what it answers instead, unless 0 */
	bool no_answer, odd_answer, other_magic;
};

void mock_init(struct mock *m);
void mock_free(struct mock *m);
void mock_kexec(struct mock *m);
unsigned int mock_open_fds(const struct mock *m);
unsigned int mock_preserved(const struct mock *m, const char *session);
struct mock_file *mock_directory(struct mock *m, const char *session);
int mock_session(struct mock *m, const char *name);
void mock_hold(struct mock *m, const char *name);
void mock_hold_fd(struct mock *m, const char *name, int fd);
extern const struct ferry_ops mock_ops;

#endif
