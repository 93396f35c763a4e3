/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of libferry share.
 *
 * A session has three lists of objects, one of each kind. Every object begins with
 * struct object, which knows its name, its file descriptor and the token the kernel
 * gets for it. In a retrieved session an object exists from the moment on when the
 * directory was read, and has no file descriptor before it is asked for.
 *
 * Whatever reaches the system goes through struct ferry_ops, which a test replaces.
 */
#ifndef FERRY_PRIVATE_H
#define FERRY_PRIVATE_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "ferry.h"
#include "uapi.h"

#define EXPORT		__attribute__((visibility("default")))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/*
 * Functions return 0, a file descriptor or a count, or a negative errno. @alloc gives
 * zeroed memory for free(). @pause sleeps some milliseconds.
 */
struct ferry_ops {
	void *(*alloc)(void *ctx, size_t size);
	int (*open)(void *ctx, const char *path, int flags);
	void (*close)(void *ctx, int fd);
	int (*dup)(void *ctx, int fd);
	int (*ioctl)(void *ctx, int fd, unsigned long request, void *arg);
	int (*memfd)(void *ctx, const char *name);
	int (*truncate)(void *ctx, int fd, uint64_t length);
	int (*length)(void *ctx, int fd, uint64_t *length);
	ssize_t (*pread)(void *ctx, int fd, void *buf, size_t len, uint64_t offset);
	ssize_t (*pwrite)(void *ctx, int fd, const void *buf, size_t len, uint64_t offset);
	int (*seek_end)(void *ctx, int fd);
	int (*seal)(void *ctx, int fd);
	int (*seals)(void *ctx, int fd);
	int (*access)(void *ctx, const char *path, int mode);
	ssize_t (*readlink)(void *ctx, const char *path, char *buf, size_t len);
	int (*entry)(void *ctx, const char *dir, unsigned int nth, char *buf, size_t len);
	void (*pause)(void *ctx, unsigned int ms);
	int (*connect)(void *ctx, const char *path);
	/* One message, with a file descriptor unless that is negative */
	int (*send)(void *ctx, int fd, const void *buf, size_t len, int pass);
	ssize_t (*recv)(void *ctx, int fd, void *buf, size_t len, int *passed);
};

extern const struct ferry_ops ferry_real_ops;

int ferry_host_new_with(const struct ferry_ops *ops, void *ctx, struct ferry_host **host);

#define ERROR_SIZE	512

/* Limits of a directory, and the token of it; those of objects follow */
#define FERRY_TOKEN		0x6665727279000000ULL
#define FERRY_MAX_OBJECTS	4096U
#define FERRY_MAX_MAPPINGS	(1U << 20)
#define FERRY_MAX_STATE		(16U << 20)
#define FERRY_MAX_DIRECTORY	(128U << 20)

struct ferry_host {
	const struct ferry_ops *ops;
	void *ctx;
	char error[ERROR_SIZE];
};

struct object {
	struct ferry_session *session;
	struct object *next;
	enum ferry_kind kind;
	int fd;				/* -1: not retrieved yet */
	uint64_t token;
	uint32_t index;			/* in the directory, while that is made or read */
	char name[FERRY_NAME_SIZE];
};

struct ferry_memory {
	struct object o;
	uint64_t length;
};

struct mapping {
	struct ferry_memory *memory;
	uint64_t iova, length, offset;
	uint32_t flags;
};

struct ferry_iommu {
	struct object o;
	uint32_t ioas;
	struct mapping *mappings;	/* by ascending IOVA */
	uint32_t nr_mappings, room;
};

struct ferry_device {
	struct object o;
	struct ferry_iommu *iommu;
	uint32_t id;
	uint32_t hwpt;			/* 0: not attached */
	bool ours;			/* the page table was made here */
	bool marked;
};

struct ferry_session {
	struct ferry_host *host;
	int fd;				/* -1: see ferry_session_fd() */
	bool adopted;
	bool loaded;			/* the directory of a retrieved session */
	enum ferry_session_state state;
	struct object *objects;		/* in the order in which they came */
	void *data;			/* the VMM's bytes */
	size_t data_length;
	bool has_data;
	char name[FERRY_NAME_SIZE];
	char error[ERROR_SIZE];
};

/* error.c; @rc is handed through. @todo is the remedy, or NULL */
int ferry_say(char *error, int rc, const char *what, const char *why, const char *todo);
int ferry_object_fails(const struct object *o, int rc, const char *what);
int ferry_session_fails(struct ferry_session *s, int rc, const char *what);
int ferry_name_fails(struct ferry_session *s, enum ferry_kind kind, const char *name, int rc,
		     const char *what);
const char *ferry_kind_name(enum ferry_kind kind);

/* object.c */
bool ferry_name_is_good(const char *name);
int ferry_object_new(struct ferry_session *s, enum ferry_kind kind, const char *name,
		     size_t size, struct object **o);
void ferry_object_free(struct object *o);
void ferry_object_append(struct object *o);
void ferry_object_remove(struct object *o);
int ferry_object_fd(struct object *o);
struct object *ferry_object_find(struct ferry_session *s, enum ferry_kind kind,
				 const char *name);
int ferry_object_retrieve(struct ferry_session *s, enum ferry_kind kind, const char *name,
			  struct object **o);
int ferry_session_is_open(struct ferry_session *s, enum ferry_kind kind, const char *name);

/* session.c */
int ferry_session_load(struct ferry_session *s);
int ferry_session_set_data(struct ferry_session *s, const void *data, size_t length);

static inline struct ferry_memory *memory_of(struct object *o)
{
	return (struct ferry_memory *)o;
}

static inline struct ferry_iommu *iommu_of(struct object *o)
{
	return (struct ferry_iommu *)o;
}

static inline struct ferry_device *device_of(struct object *o)
{
	return (struct ferry_device *)o;
}

/* memory.c, iommu.c, device.c */
int ferry_iommu_insert(struct ferry_iommu *iommu, const struct mapping *m);
int ferry_iommu_whole(struct ferry_iommu *iommu);
int ferry_memory_whole(struct ferry_memory *memory);
int ferry_device_bind(struct ferry_host *host, int fd, int iommufd, uint32_t *id);
int ferry_device_cdev(struct ferry_host *host, const char *address, char *path, size_t len);
bool ferry_address_is_good(const char *address);

/* host.c, trial.c */
static inline void answer(struct ferry_requirement *r, enum ferry_answer a, const char *reason,
			  const char *remedy)
{
	r->answer = a;
	snprintf(r->reason, sizeof(r->reason), "%.*s", (int)sizeof(r->reason) - 1, reason);
	snprintf(r->remedy, sizeof(r->remedy), "%s", remedy);
}

void ferry_trial(struct ferry_host *host, const char *address, struct ferry_requirement *r);

/* directory.c */
struct directory_place {
	uint8_t *bytes;
	size_t length;
};

int ferry_directory_make(struct ferry_session *s, struct directory_place *place);
int ferry_directory_read(struct ferry_session *s, const struct directory_place *place);

/* A structure of the caller's, which may be older or newer than ours */
int ferry_give(void *out, const void *ours, size_t size);

int ferry_take(void *ours, const void *in, size_t size);

#define GIVE(out, ours)	ferry_give(out, ours, sizeof(*(ours)))
#define TAKE(ours, in)	ferry_take(ours, in, sizeof(*(ours)))

#endif /* FERRY_PRIVATE_H */
