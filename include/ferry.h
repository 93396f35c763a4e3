/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libferry: memory, IOMMU and devices of a process, kept by name over a live
 * update.
 *
 * The old process puts what it has under names into a session and preserves the
 * session; the kernel is replaced; a new process that knows the name of the
 * session gets everything back by name. See ferry(7) for the whole journey.
 *
 * Rules that hold for every function:
 *
 * Errors: 0 means done, a negative value is -errno; nothing has changed then
 * unless the function says otherwise. Nothing is printed, nothing exits. The text
 * that belongs to the last failure, with the object, the reason and the remedy, is
 * ferry_session_error() or ferry_host_error(). -ENOMEM, -EMFILE and -ENFILE can
 * come from each function that makes something.
 *
 * Threads: there is no global state. A host, its sessions and their objects are
 * used by one thread at a time; different hosts are independent of each other.
 *
 * Ownership: an object belongs to its session and lives until it, or the
 * session, is closed. File descriptors that are passed in stay the caller's: the
 * library keeps duplicates. One exception, ferry_session_adopt(). File descriptors
 * that are given out belong to the object; duplicate what has to live longer.
 *
 * Names: 1 to 63 letters, digits and any of "._:-"; unique in a session, whatever
 * the kind of the object. Sizes, offsets and addresses are in bytes.
 *
 * Structures: the caller sets @size to sizeof() of the structure, so that it can
 * grow.
 */
#ifndef FERRY_H
#define FERRY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FERRY_VERSION		"1.1.0"
#define FERRY_NAME_SIZE		64	/* with the terminating NUL */

struct ferry_host;
struct ferry_session;
struct ferry_memory;
struct ferry_iommu;
struct ferry_device;

/**
 * ferry_version() - The version of the library that runs.
 *
 * Return: a constant string such as "1.0.0"; FERRY_VERSION is what was compiled
 * against.
 */
const char *ferry_version(void);

/* ---- the host: ferry_host(3) ---- */

/**
 * ferry_host_new() - A way to this machine.
 * @host: Output.
 *
 * Opens nothing and needs no privilege.
 */
int ferry_host_new(struct ferry_host **host);

/** ferry_host_free() - The opposite; all its sessions must be closed. NULL is fine. */
void ferry_host_free(struct ferry_host *host);

/**
 * ferry_host_error() - What the last failed call with this host was about.
 *
 * Return: one sentence, valid until the next call; empty before the first failure.
 */
const char *ferry_host_error(const struct ferry_host *host);

enum ferry_answer {
	FERRY_NO = 0,
	FERRY_YES = 1,
	FERRY_UNKNOWN = 2,		/* it could not be looked at */
};

/**
 * struct ferry_requirement - One thing a live update needs.
 * @size: sizeof(struct ferry_requirement).
 * @answer: One of enum ferry_answer.
 * @name: What is needed, in a word that does not change between versions.
 * @text: The same for people.
 * @reason: Why the answer is what it is.
 * @remedy: What to do about it; empty when nothing has to be done.
 */
struct ferry_requirement {
	uint32_t size;
	uint32_t answer;
	char name[FERRY_NAME_SIZE];
	char text[128];
	char reason[256];
	char remedy[256];
};

/**
 * ferry_host_requirement() - What this machine needs, one thing after the other.
 * @nth: From 0 on.
 * @req: Output; the caller sets @size.
 *
 * Reads sysfs and /proc, and asks /dev/iommu; works without root as far as it can.
 *
 * Return: 0; -ENOENT behind the last one.
 */
int ferry_host_requirement(struct ferry_host *host, unsigned int nth,
			   struct ferry_requirement *req);

/**
 * ferry_host_device_requirement() - What a device needs to be kept.
 * @address: Of a PCI function, as in "0000:00:03.0".
 * @nth: From 0 on.
 * @req: Output; the caller sets @size.
 *
 * The last but one, whether its IOMMU can keep what it reaches, binds the device to an
 * iommufd for a moment. The last, whether the kernel keeps it, preserves it for a moment,
 * with nothing mapped, in a session of its own; it waits up to a second for
 * /dev/liveupdate. Both open the device, which resets it; their answer is FERRY_UNKNOWN
 * while a process has it. So ask before the VMM opens the device, and never in a new
 * kernel before it is retrieved. ferry-check(1) says what else this does.
 *
 * Return: 0; -ENOENT behind the last one; -EINVAL: that is no address.
 */
int ferry_host_device_requirement(struct ferry_host *host, const char *address,
				  unsigned int nth, struct ferry_requirement *req);

/* ---- a session: ferry_session(3) ---- */

enum ferry_session_state {
	FERRY_OPEN = 0,			/* objects come and go */
	FERRY_PRESERVED = 1,		/* the next kernel gets them */
	FERRY_RETRIEVED = 2,		/* they come from the previous kernel */
	FERRY_FINISHED = 3,		/* they are ordinary again */
	FERRY_SPENT = 4,		/* see ferry_session_preserve() */
};

/**
 * ferry_session_create() - A new, empty session.
 * @name: 1 to 63 bytes, neither '/' nor control characters; the one thing the new
 *	process has to know.
 *
 * Return: 0; -EEXIST: there is one of that name; -ENODEV: this kernel has no live
 * update; -EBUSY: another process has held /dev/liveupdate for a second; -EACCES.
 */
int ferry_session_create(struct ferry_host *host, const char *name,
			 struct ferry_session **session);

/**
 * ferry_session_retrieve() - A session of the previous kernel.
 * @name: As it was created.
 *
 * Its directory is read when an object is asked for the first time. Those functions
 * say -ENODATA when there is none (it was made without this library, or the jump came
 * before ferry_session_preserve() was done), -EBADMSG when it is damaged, -EOPNOTSUPP
 * when a newer library wrote it. Whatever they say, nothing is
 * lost before the session is closed.
 *
 * Return: 0; -ENOENT: there is no such session; -EALREADY: a process has retrieved it,
 * ask that one for its file descriptor; otherwise as ferry_session_create().
 */
int ferry_session_retrieve(struct ferry_host *host, const char *name,
			   struct ferry_session **session);

/**
 * ferry_session_adopt() - A session whose file descriptor was made elsewhere.
 * @fd: Of a session that has nothing in it yet, or one of the previous kernel; it
 *	was inherited or has come over a socket. It belongs to the library when, and only
 *	when, this function has worked.
 *
 * Return: 0; -EBADF: @fd is no session.
 */
int ferry_session_adopt(struct ferry_host *host, int fd,
			struct ferry_session **session);

/**
 * ferry_session_close() - The end of a session and of all its objects in this process.
 *
 * Devices are closed first, then IOMMUs, then memory. Not preserved: nothing else
 * happens. Preserved: nothing is any more, unless another process has the file
 * descriptor of the session, too. Retrieved and not finished: what was not retrieved
 * is abandoned, that is stopped and blocked, and the rest is finished. NULL is fine.
 */
void ferry_session_close(struct ferry_session *session);

/** ferry_session_name() - Its name. */
const char *ferry_session_name(const struct ferry_session *session);

/** ferry_session_state() - One of enum ferry_session_state. */
enum ferry_session_state ferry_session_state(const struct ferry_session *session);

/**
 * ferry_session_fd() - Its file descriptor, to be handed to a process that holds it.
 *
 * Return: the file descriptor; -ENOENT: there is none between a finish, or a preserve
 * that failed, and the next preserve.
 */
int ferry_session_fd(const struct ferry_session *session);

/**
 * ferry_session_error() - What the last failed call with it or its objects was about.
 *
 * Return: one sentence with the object, the reason and the remedy, valid until the
 * next call; empty before the first failure.
 */
const char *ferry_session_error(const struct ferry_session *session);

/**
 * ferry_session_preserve() - Keep all objects over the next kexec.
 *
 * Memory first, then IOMMUs, then devices, then the directory: a session that has a
 * directory is whole. DMA goes on; mappings and attachments cannot change any more.
 * Works on an open session and, for the next update, on a finished one.
 *
 * If anything is refused nothing is preserved, and the session is as it was before. For
 * a session that was adopted this takes that no other process has its file descriptor;
 * it is FERRY_SPENT then, because this process has closed its own, and can only be closed.
 *
 * Return: 0; -EALREADY: it is preserved; -EBUSY: it is retrieved and not finished;
 * -ESTALE: it is spent; -EOPNOTSUPP: something is in use that cannot be kept; -ENOENT:
 * the kernel keeps no files of that kind; -EEXIST: the name of the session is taken, or
 * a file is in it already; others of the kernel. The error text names the object.
 */
int ferry_session_preserve(struct ferry_session *session);

/**
 * ferry_session_unpreserve() - The opposite, before the jump; it cannot fail.
 *
 * The session is open then, or spent if it was adopted. Nothing happens to one that is
 * not preserved.
 */
void ferry_session_unpreserve(struct ferry_session *session);

/**
 * ferry_session_finish() - Done with what the previous kernel handed over.
 *
 * What was retrieved is ordinary from here on; what was not is abandoned, that is
 * stopped, blocked and freed, when this returns, and no object of the session any more.
 *
 * Return: 0; -EINVAL: the session is not retrieved; others of the kernel, and then
 * the call can be repeated.
 */
int ferry_session_finish(struct ferry_session *session);

enum ferry_kind {
	FERRY_MEMORY = 1,
	FERRY_IOMMU = 2,
	FERRY_DEVICE = 3,
};

/**
 * struct ferry_object - One object of a session.
 * @size: sizeof(struct ferry_object).
 * @kind: One of enum ferry_kind.
 * @present: 1 when this process has it, 0 when it can still be retrieved.
 * @name: Its name.
 */
struct ferry_object {
	uint32_t size;
	uint32_t kind;
	uint32_t present;
	uint32_t reserved;
	char name[FERRY_NAME_SIZE];
};

/**
 * ferry_session_object() - The objects of a session, one after the other.
 * @nth: From 0 on.
 * @object: Output; the caller sets @size.
 *
 * Return: 0; -ENOENT behind the last one; of a retrieved session also what its
 * directory says, see ferry_session_retrieve().
 */
int ferry_session_object(struct ferry_session *session, unsigned int nth,
			 struct ferry_object *object);

/* ---- the VMM's own bytes: ferry_state(3) ---- */

/**
 * ferry_state_set() - Bytes for the new process.
 * @data: Copied; NULL when @length is 0.
 * @length: At most 16 MiB; replaces what was set before.
 *
 * They are written down by ferry_session_preserve(). What changes until the jump belongs
 * into memory of its own, see ferry_memory(3).
 *
 * Return: 0; -EFBIG; -EBUSY: the session is preserved, or not finished.
 */
int ferry_state_set(struct ferry_session *session, const void *data, size_t length);

/**
 * ferry_state_get() - The bytes that were set, by this process or the old one.
 * @data: Output; belongs to the session, aligned like malloc()'s.
 * @length: Output.
 *
 * Return: 0; -ENOENT: none were set.
 */
int ferry_state_get(struct ferry_session *session, const void **data, size_t *length);

/* ---- memory: ferry_memory(3) ---- */

/**
 * ferry_memory_create() - New memory, a memfd.
 * @length: More than 0.
 *
 * Return: 0; -EEXIST: the name is taken; -EINVAL; -EBUSY: the session is preserved,
 * or not finished.
 */
int ferry_memory_create(struct ferry_session *session, const char *name,
			uint64_t length, struct ferry_memory **memory);

/**
 * ferry_memory_adopt() - Memory that exists.
 * @fd: A memfd; duplicated.
 *
 * Return: as ferry_memory_create(); -EBADF.
 */
int ferry_memory_adopt(struct ferry_session *session, const char *name, int fd,
		       struct ferry_memory **memory);

/**
 * ferry_memory_retrieve() - Memory of a retrieved session, by its name.
 *
 * Again: the same object.
 *
 * Return: 0; -ENOENT: the session has no memory of that name; -EBADMSG: it is not as
 * long as it was; others of the kernel.
 */
int ferry_memory_retrieve(struct ferry_session *session, const char *name,
			  struct ferry_memory **memory);

/**
 * ferry_memory_close() - This process does not need it any more.
 *
 * Return: 0, and @memory is gone; -EBUSY: it is mapped for DMA, or the session is
 * preserved, or not finished.
 */
int ferry_memory_close(struct ferry_memory *memory);

/** ferry_memory_fd() - The memfd; map it with mmap(). */
int ferry_memory_fd(const struct ferry_memory *memory);

/** ferry_memory_length() - Bytes. */
uint64_t ferry_memory_length(const struct ferry_memory *memory);

/* ---- an IOMMU address space: ferry_iommu(3) ---- */

#define FERRY_MAP_READ		1U
#define FERRY_MAP_WRITE		2U

/**
 * struct ferry_mapping - Memory a device can reach.
 * @size: sizeof(struct ferry_mapping).
 * @flags: FERRY_MAP_READ, FERRY_MAP_WRITE or both.
 * @memory: Of the same session.
 * @offset: Of the first byte in @memory.
 * @length: More than 0.
 * @iova: The device's address of the first byte.
 *
 * @offset, @length and @iova are multiples of the page size.
 */
struct ferry_mapping {
	uint32_t size;
	uint32_t flags;
	struct ferry_memory *memory;
	uint64_t offset;
	uint64_t length;
	uint64_t iova;
};

/**
 * ferry_iommu_create() - A new iommufd with one empty address space.
 *
 * Return: 0; -EEXIST: the name is taken; -ENODEV: this kernel has no iommufd; -EACCES;
 * -EBUSY: the session is preserved, or not finished.
 */
int ferry_iommu_create(struct ferry_session *session, const char *name,
		       struct ferry_iommu **iommu);

/**
 * ferry_iommu_adopt() - An iommufd that exists.
 * @fd: The iommufd; duplicated. One object for each iommufd.
 * @ioas: The id of its address space.
 *
 * What is mapped in it already is told with ferry_iommu_note().
 *
 * Return: as ferry_iommu_create(); -EBADF.
 */
int ferry_iommu_adopt(struct ferry_session *session, const char *name, int fd,
		      uint32_t ioas, struct ferry_iommu **iommu);

/**
 * ferry_iommu_retrieve() - An iommufd of a retrieved session, by its name.
 *
 * With the memory that is mapped in it: that is retrieved, too. Its ids, page tables
 * and mappings are what they were. Again: the same object.
 *
 * Return: 0; -ENOENT: the session has none of that name; -EBADMSG: its address space is
 * not there; others of the kernel.
 */
int ferry_iommu_retrieve(struct ferry_session *session, const char *name,
			 struct ferry_iommu **iommu);

/**
 * ferry_iommu_close() - This process does not need it any more.
 *
 * Return: 0, and @iommu is gone; -EBUSY: a device uses it, or the session is preserved,
 * or not finished.
 */
int ferry_iommu_close(struct ferry_iommu *iommu);

/**
 * ferry_iommu_map() - Let the devices of an address space reach memory.
 *
 * Return: 0; -EINVAL: beyond the memory, not aligned, no flags; -EEXIST: something is
 * mapped there; -EBUSY: the session is preserved; others of the kernel.
 */
int ferry_iommu_map(struct ferry_iommu *iommu, const struct ferry_mapping *mapping);

/**
 * ferry_iommu_unmap() - The opposite.
 * @iova: Where the mapping begins.
 * @length: All of it.
 *
 * Return: 0; -ENOENT: no mapping is exactly there; -EBUSY: the session is preserved.
 */
int ferry_iommu_unmap(struct ferry_iommu *iommu, uint64_t iova, uint64_t length);

/**
 * ferry_iommu_note() - A mapping that the caller has made with its own ioctl.
 *
 * It is written down for the new process; the kernel is not asked.
 *
 * Return: as ferry_iommu_map().
 */
int ferry_iommu_note(struct ferry_iommu *iommu, const struct ferry_mapping *mapping);

/**
 * ferry_iommu_forget() - The opposite: the caller has unmapped it.
 *
 * Return: as ferry_iommu_unmap().
 */
int ferry_iommu_forget(struct ferry_iommu *iommu, uint64_t iova, uint64_t length);

/**
 * ferry_iommu_mapping() - The mappings, by ascending IOVA.
 * @nth: From 0 on.
 * @mapping: Output; the caller sets @size.
 *
 * Return: 0; -ENOENT behind the last one.
 */
int ferry_iommu_mapping(struct ferry_iommu *iommu, unsigned int nth,
			struct ferry_mapping *mapping);

/** ferry_iommu_fd() - The iommufd. */
int ferry_iommu_fd(const struct ferry_iommu *iommu);

/** ferry_iommu_ioas() - The id of the address space; the same in the new kernel. */
uint32_t ferry_iommu_ioas(const struct ferry_iommu *iommu);

/* ---- a device: ferry_device(3) ---- */

/**
 * ferry_device_open() - A PCI function that is bound to vfio-pci.
 * @address: As in "0000:00:03.0".
 * @iommu: Of the same session; the device is bound to its iommufd, and can do no DMA
 *	before ferry_device_attach().
 *
 * Return: 0; -EEXIST: the name is taken; -ENODEV: no such device, or its driver is not
 * vfio-pci; -EINVAL: that is no address; -EBUSY: another process has it, or the session
 * is preserved, or not finished; others of the kernel.
 */
int ferry_device_open(struct ferry_session *session, const char *name,
		      const char *address, struct ferry_iommu *iommu,
		      struct ferry_device **device);

/**
 * ferry_device_adopt() - A device that is open, bound and attached.
 * @fd: Of a VFIO device's character device; duplicated.
 * @id: What VFIO_DEVICE_BIND_IOMMUFD with @iommu has given.
 * @hwpt: What it is attached to; 0 when it is not, ferry_device_attach() does that.
 *
 * Return: as ferry_device_open(); -EBADF.
 */
int ferry_device_adopt(struct ferry_session *session, const char *name, int fd,
		       struct ferry_iommu *iommu, uint32_t id, uint32_t hwpt,
		       struct ferry_device **device);

/**
 * ferry_device_retrieve() - A device of a retrieved session, by its name.
 *
 * With its IOMMU and the memory that is mapped there: they are retrieved, too. It is
 * bound and attached, and does DMA.
 * Interrupts have to be set up again, registers mapped again. Again: the same object.
 *
 * Return: 0; -ENOENT: the session has none of that name; -EAGAIN: vfio-pci has not
 * taken it yet, try again; -ENODEV: it is not the device it was, and blocked; -EBADMSG: its
 * id is another; others of the kernel.
 */
int ferry_device_retrieve(struct ferry_session *session, const char *name,
			  struct ferry_device **device);

/**
 * ferry_device_attach() - Let it do DMA through the address space of its IOMMU.
 *
 * To a page table the address space has, or a new one.
 *
 * Return: 0; -EALREADY: it is attached; -EBUSY: the session is preserved; others of
 * the kernel.
 */
int ferry_device_attach(struct ferry_device *device);

/**
 * ferry_device_detach() - The opposite: its DMA is blocked.
 *
 * Return: 0; -ENOENT: it is not attached; -EBUSY: the session is preserved; others of the
 * kernel.
 */
int ferry_device_detach(struct ferry_device *device);

/**
 * ferry_device_close() - This process does not need it any more; it is reset.
 *
 * Return: 0, and @device is gone; -EBUSY: the session is preserved, or not finished.
 */
int ferry_device_close(struct ferry_device *device);

/** ferry_device_fd() - The file descriptor of the VFIO device. */
int ferry_device_fd(const struct ferry_device *device);

/** ferry_device_iommu() - Its IOMMU. */
struct ferry_iommu *ferry_device_iommu(const struct ferry_device *device);

/** ferry_device_id() - Its id in the iommufd; the same in the new kernel. */
uint32_t ferry_device_id(const struct ferry_device *device);

/** ferry_device_hwpt() - The page table it is attached to, 0 for none; the same, too. */
uint32_t ferry_device_hwpt(const struct ferry_device *device);

/* ---- the agent, which holds sessions for processes that restart: ferry_agent(3) ---- */

struct ferry_agent;

#define FERRY_AGENT_SOCKET	"/run/ferry/agent.sock"

/**
 * ferry_agent_connect() - A way to the agent of this machine, see ferry-agent(1).
 * @path: Of its socket; NULL for FERRY_AGENT_SOCKET.
 * @agent: Output; belongs to the caller, and uses @host until it is closed.
 *
 * The functions below wait for the agent, 30 seconds at most; what their failure was about
 * is ferry_host_error(). After -ETIMEDOUT, -ECONNRESET and -EPROTO this connection is of no
 * more use: -ENOTCONN. -EPIPE: the agent has ended it before it was asked.
 *
 * Return: 0; -ENOENT, -ECONNREFUSED: there is no agent; -EACCES; -ETIMEDOUT: there is one
 * that lets nobody in.
 */
int ferry_agent_connect(struct ferry_host *host, const char *path,
			struct ferry_agent **agent);

/** ferry_agent_close() - The opposite: what was borrowed is the agent's alone. NULL is fine. */
void ferry_agent_close(struct ferry_agent *agent);

/**
 * ferry_agent_owner() - Act for another user; only root may.
 * @uid: Whose sessions the functions below are about; at first those of the user of
 *	this process.
 */
void ferry_agent_owner(struct ferry_agent *agent, uint32_t uid);

/**
 * ferry_agent_put() - Have the agent hold a session.
 * @name: 1 to 63 letters, digits and any of "._-". Each user has names of its own.
 * @fd: Of the session, see ferry_session_fd(). It stays the caller's: the agent gets a
 *	duplicate.
 *
 * When this returns 0 the service manager has the session, too, if it lets the agent store
 * files: then an agent that ends, in whatever way, loses nothing.
 *
 * Return: 0, also if it holds just this session under this name; -EEXIST: it holds another
 * one under this name, or this one under another name or for another user; -EBADF: @fd is no
 * session; -EINVAL: that is no name; -EDQUOT: this user has as many as it may; -ENOSPC: so
 * has the agent; -EPERM; -EIO: the service manager does not answer; -ETIMEDOUT, -ECONNRESET,
 * -EPROTO: there was no answer, and it may hold it.
 */
int ferry_agent_put(struct ferry_agent *agent, const char *name, int fd);

/**
 * ferry_agent_borrow() - A session the agent holds; it goes on to hold it.
 * @fd: Output; belongs to the caller.
 *
 * Until this connection is closed nobody else gets it. ferry_agent_drop() with this
 * connection makes it the caller's alone.
 *
 * Return: 0; -ENOENT: this user has put none of that name; -EBUSY: another connection has
 * borrowed it; -EPERM; -ETIMEDOUT.
 */
int ferry_agent_borrow(struct ferry_agent *agent, const char *name, int *fd);

/**
 * ferry_agent_take() - Have a session back: ferry_agent_borrow(), then ferry_agent_drop().
 * @fd: Output; belongs to the caller.
 *
 * An agent that is killed meanwhile loses nothing. A caller that is killed after it has told
 * the agent to drop the session, and before this returns, loses it.
 *
 * When this fails the agent still holds it. When nothing is known of the drop, because the
 * agent has ended or does not answer, this returns 0 and the caller has the session: the agent
 * may have it, too, under this name, and it takes a new connection to ask it. To put it there
 * again works in either case.
 *
 * Return: as ferry_agent_borrow(); -EIO: the service manager does not answer.
 */
int ferry_agent_take(struct ferry_agent *agent, const char *name, int *fd);

/**
 * ferry_agent_drop() - The agent does not hold it any more.
 *
 * If nobody else has its file descriptor that is the end of the session, see
 * ferry_session_close().
 *
 * Return: as ferry_agent_borrow(); -EIO: the service manager does not answer, and the agent
 * still holds it; -ETIMEDOUT, -ECONNRESET, -EPROTO: there was no answer, and it may hold it.
 */
int ferry_agent_drop(struct ferry_agent *agent, const char *name);

/**
 * ferry_agent_next() - The names, in the order of their bytes.
 * @name: The name before; "" for the first. Output: the next one.
 *
 * Return: 0; -ENOENT behind the last one; -EPERM; -ETIMEDOUT.
 */
int ferry_agent_next(struct ferry_agent *agent, char name[FERRY_NAME_SIZE]);

#ifdef __cplusplus
}
#endif

#endif /* FERRY_H */
