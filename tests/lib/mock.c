// SPDX-License-Identifier: LGPL-2.1-or-later
/* See mock.h. What the kernel refuses is refused here, with the same errno. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mock.h"

static bool fails(struct mock *m)
{
	m->calls++;
	if (m->calls != m->fail_at)
		return false;
	m->failed = true;
	return true;
}

static struct mock_file *file_new(struct mock *m, enum mock_kind kind)
{
	struct mock_file *f = m->files;

	while (f->kind)
		if (++f == m->files + MOCK_FILES)
			abort();
	memset(f, 0, sizeof(*f));
	f->kind = kind;
	f->next_id = 1;
	return f;
}

static int fd_new(struct mock *m, struct mock_file *f)
{
	int fd = 3;

	while (m->fds[fd])
		if (++fd == MOCK_FDS)
			abort();
	m->fds[fd] = f;
	f->refs++;
	return fd;
}

static void put(struct mock *m, struct mock_file *f)
{
	unsigned int i;

	if (--f->refs)
		return;
	if (f->kind == LUO)
		m->luo_open = false;
	if (f->kind == SESSION)
		for (i = f->nr_kept; i--;)
			put(m, f->kept[i]);
	if (f->kind == VFIO && f->bound)
		put(m, f->bound);
	free(f->bytes);
	f->kind = FREE;
}

static struct mock_file *file_of(struct mock *m, int fd)
{
	return fd < 0 || fd >= MOCK_FDS ? NULL : m->fds[fd];
}

static void *mock_alloc(void *ctx, size_t size)
{
	return fails(ctx) ? NULL : calloc(1, size);
}

static struct mock_file *text(struct mock *m, const char *s)
{
	struct mock_file *f = file_new(m, TEXT);

	f->bytes = (uint8_t *)strdup(s);
	f->length = strlen(s);
	return f;
}

static bool ends_with(const char *path, const char *end)
{
	return strlen(path) >= strlen(end) && !strcmp(path + strlen(path) - strlen(end), end);
}

static int mock_open(void *ctx, const char *path, int flags)
{
	struct mock *m = ctx;

	(void)flags;
	if (fails(m))
		return m->fail_with;
	if (m->missing && !strcmp(path, m->missing))
		return -ENOENT;
	if (m->forbidden && !strcmp(path, m->forbidden))
		return -EACCES;
	if (!strcmp(path, "/dev/liveupdate")) {
		if (m->luo_open)
			return -EBUSY;
		m->luo_open = true;
		return fd_new(m, file_new(m, LUO));
	}
	if (!strcmp(path, "/dev/iommu"))
		return fd_new(m, file_new(m, IOMMUFD));
	if (!strcmp(path, "/dev/vfio/devices/vfio0") || !strcmp(path, "/dev/vfio/devices/vfio1"))
		return fd_new(m, file_new(m, VFIO));
	if (!strcmp(path, "/dev/kmsg"))
		return fd_new(m, file_new(m, LOG));
	if (!strcmp(path, "/proc/cmdline"))
		return fd_new(m, text(m, m->cmdline));
	if (ends_with(path, "/class"))
		return fd_new(m, text(m, m->class));
	if (ends_with(path, "/reserved_regions"))
		return fd_new(m, text(m, m->regions));
	return -ENOENT;
}

static void mock_close(void *ctx, int fd)
{
	struct mock *m = ctx;
	struct mock_file *f = file_of(m, fd);

	if (!f)
		abort();
	m->fds[fd] = NULL;
	put(m, f);
}

static int mock_dup(void *ctx, int fd)
{
	struct mock *m = ctx;

	if (fails(m))
		return m->fail_with;
	return file_of(m, fd) ? fd_new(m, file_of(m, fd)) : -EBADF;
}

/* ---- ioctls ---- */

static struct mock_file *session_named(struct mock *m, const char *name, bool incoming)
{
	unsigned int i;

	for (i = 0; i < MOCK_FILES; i++)
		if (m->files[i].kind == SESSION && m->files[i].incoming == incoming &&
		    !strcmp(m->files[i].name, name))
			return &m->files[i];
	return NULL;
}

static int luo_ioctl(struct mock *m, unsigned long request,
		     struct liveupdate_ioctl_create_session *arg)
{
	struct mock_file *s;

	if (request == LIVEUPDATE_IOCTL_CREATE_SESSION) {
		if (session_named(m, (char *)arg->name, false))
			return -EEXIST;
		s = file_new(m, SESSION);
		strcpy(s->name, (char *)arg->name);
	} else {
		s = session_named(m, (char *)arg->name, true);
		if (!s)
			return -ENOENT;
		if (s->retrieved)
			return -EINVAL;
		s->retrieved = true;
		s->refs--;		/* the kernel's own, until now */
	}
	arg->fd = fd_new(m, s);
	return 0;
}

static bool is_preserved(struct mock *m, const struct mock_file *f)
{
	unsigned int i, k;

	for (i = 0; i < MOCK_FILES; i++)
		for (k = 0; m->files[i].kind == SESSION && k < m->files[i].nr_kept; k++)
			if (m->files[i].kept[k] == f)
				return true;
	return false;
}

static int preserve(struct mock *m, struct mock_file *s,
		    struct liveupdate_session_preserve_fd *arg)
{
	struct mock_file *f = file_of(m, arg->fd);
	unsigned int i;

	if (s->incoming)
		return -EINVAL;
	if (!f)
		return -EBADF;
	if (f->kind == TEXT)
		return -ENOENT;
	if (is_preserved(m, f))
		return -EBUSY;
	for (i = 0; i < s->nr_kept; i++)
		if (s->tokens[i] == arg->token)
			return -EEXIST;
	if (f->kind == VFIO && !m->caps)
		return -EOPNOTSUPP;
	if (f->kind == VFIO && (!f->bound || !is_preserved(m, f->bound)))
		return -EINVAL;
	s->kept[s->nr_kept] = f;
	s->tokens[s->nr_kept++] = arg->token;
	f->refs++;
	return 0;
}

static int retrieve(struct mock *m, struct mock_file *s,
		    struct liveupdate_session_retrieve_fd *arg)
{
	unsigned int i;

	if (!s->incoming)
		return -EINVAL;
	for (i = 0; i < s->nr_kept; i++)
		if (s->tokens[i] == arg->token) {
			arg->fd = fd_new(m, s->kept[i]);
			return 0;
		}
	return -ENOENT;
}

static int session_ioctl(struct mock *m, struct mock_file *s, unsigned long request, void *arg)
{
	unsigned int i;

	switch (request) {
	case LIVEUPDATE_SESSION_PRESERVE_FD:
		return preserve(m, s, arg);
	case LIVEUPDATE_SESSION_RETRIEVE_FD:
		return retrieve(m, s, arg);
	case LIVEUPDATE_SESSION_FINISH:
		if (!s->incoming)
			return -EINVAL;
		for (i = s->nr_kept; i--;)
			put(m, s->kept[i]);
		s->nr_kept = 0;
		return 0;
	case LIVEUPDATE_SESSION_GET_NAME:
		strcpy((char *)((struct liveupdate_session_get_name *)arg)->name, s->name);
		return 0;
	}
	return -EINVAL;
}

static int list_objects(struct mock *m, struct mock_file *f,
			struct iommu_liveupdate_objects *arg)
{
	struct iommu_liveupdate_object *list = (void *)(uintptr_t)arg->objects_uptr;
	uint32_t room = arg->count, i;
	uint32_t n = m->no_objects ? 0 : f->nr_ioas;

	arg->count = n + f->nr_hwpt;
	if (room < arg->count)
		return -EMSGSIZE;
	for (i = 0; i < n; i++)
		list[i] = (struct iommu_liveupdate_object){
			.type = IOMMU_LIVEUPDATE_OBJECT_IOAS,
			.id = f->ioas[i] + (m->odd_list ? 1000 : 0),
		};
	for (; i < arg->count; i++)
		list[i].type = IOMMU_LIVEUPDATE_OBJECT_HWPT;
	return 0;
}

static int mark(struct mock_file *f, const struct iommu_hwpt_liveupdate *arg)
{
	unsigned int i;

	for (i = 0; i < f->nr_hwpt; i++)
		if (f->hwpt[i] == arg->hwpt_id) {
			f->marked[i] = !(arg->flags & IOMMU_HWPT_LIVEUPDATE_UNMARK);
			return 0;
		}
	return -ENOENT;
}

static int iommufd_ioctl(struct mock *m, struct mock_file *f, unsigned long request, void *arg)
{
	unsigned int i;

	if (is_preserved(m, f) && request != IOMMU_LIVEUPDATE_OBJECTS &&
	    request != IOMMU_GET_HW_INFO)
		return -EBUSY;
	switch (request) {
	case IOMMU_IOAS_ALLOC:
		f->ioas[f->nr_ioas++] = f->next_id;
		((struct iommu_ioas_alloc *)arg)->out_ioas_id = f->next_id++;
		return 0;
	case IOMMU_IOAS_MAP_FILE:
		f->nr_maps++;
		return file_of(m, ((struct iommu_ioas_map_file *)arg)->fd) ? 0 : -EBADF;
	case IOMMU_IOAS_UNMAP:
		f->nr_maps--;
		return 0;
	case IOMMU_HWPT_ALLOC:
		f->hwpt[f->nr_hwpt++] = f->next_id;
		((struct iommu_hwpt_alloc *)arg)->out_hwpt_id = f->next_id++;
		return 0;
	case IOMMU_DESTROY:
		for (i = 0; i < f->nr_hwpt; i++)
			if (f->hwpt[i] == ((struct iommu_destroy *)arg)->id) {
				f->hwpt[i] = f->hwpt[--f->nr_hwpt];
				return 0;
			}
		return -ENOENT;
	case IOMMU_HWPT_LIVEUPDATE:
		return mark(f, arg);
	case IOMMU_LIVEUPDATE_OBJECTS:
		return list_objects(m, f, arg);
	case IOMMU_GET_HW_INFO:
		((struct iommu_hw_info *)arg)->out_capabilities = m->caps;
		return 0;
	}
	return -ENOTTY;
}

static int vfio_ioctl(struct mock *m, struct mock_file *f, unsigned long request, void *arg)
{
	struct vfio_device_bind_iommufd *bind = arg;
	struct mock_file *iommufd;

	if (request == VFIO_DEVICE_BIND_IOMMUFD) {
		iommufd = file_of(m, bind->iommufd);
		if (f->bound && f->bound != iommufd)
			return -EPERM;
		if (!f->bound) {
			f->bound = iommufd;
			iommufd->refs++;
			f->dev_id = iommufd->next_id++;
		}
		bind->out_devid = f->dev_id + m->wrong_id;
		return 0;
	}
	if (is_preserved(m, f))
		return -EBUSY;
	if (request == VFIO_DEVICE_ATTACH_IOMMUFD_PT)
		f->attached = ((struct vfio_device_attach_iommufd_pt *)arg)->pt_id;
	else if (request == VFIO_DEVICE_DETACH_IOMMUFD_PT)
		f->attached = 0;
	else
		return -ENOTTY;
	return 0;
}

static int mock_ioctl(void *ctx, int fd, unsigned long request, void *arg)
{
	struct mock *m = ctx;
	struct mock_file *f = file_of(m, fd);

	if (fails(m))
		return m->fail_with;
	if (request == m->refuse && m->refuse_times) {
		m->refuse_times--;
		m->said = m->says;
		return m->refuse_with;
	}
	if (!f)
		return -EBADF;
	switch (f->kind) {
	case LUO:
		return luo_ioctl(m, request, arg);
	case SESSION:
		return session_ioctl(m, f, request, arg);
	case IOMMUFD:
		return iommufd_ioctl(m, f, request, arg);
	case VFIO:
		return vfio_ioctl(m, f, request, arg);
	default:
		return -ENOTTY;
	}
}

/* ---- files ---- */

static int mock_memfd(void *ctx, const char *name)
{
	struct mock *m = ctx;

	(void)name;
	return fails(m) ? m->fail_with : fd_new(m, file_new(m, MEMFD));
}

static int resize(struct mock_file *f, size_t length)
{
	uint8_t *bytes = calloc(1, length + 1);

	if (f->bytes)
		memcpy(bytes, f->bytes, length < f->length ? length : f->length);
	free(f->bytes);
	f->bytes = bytes;
	f->length = length;
	return 0;
}

/* The mock keeps the length of memory, not the bytes */
static int mock_truncate(void *ctx, int fd, uint64_t length)
{
	struct mock *m = ctx;

	if (fails(m))
		return m->fail_with;
	file_of(m, fd)->length = length;
	return 0;
}

static int mock_length(void *ctx, int fd, uint64_t *length)
{
	struct mock *m = ctx;

	if (fails(m))
		return m->fail_with;
	if (!file_of(m, fd) || file_of(m, fd)->kind != MEMFD)
		return -EBADF;
	*length = file_of(m, fd)->length;
	return 0;
}

static ssize_t read_log(struct mock *m, struct mock_file *f, char *buf)
{
	const char *record = f->at < m->said ? m->log[f->at++] : NULL;

	if (!record)
		return -EAGAIN;
	strcpy(buf, record);
	return *record ? (ssize_t)strlen(record) : -EPIPE;
}

static ssize_t mock_pread(void *ctx, int fd, void *buf, size_t len, uint64_t offset)
{
	struct mock *m = ctx;
	struct mock_file *f = file_of(m, fd);

	if (fails(m))
		return m->fail_with;
	if (f->kind == LOG)
		return read_log(m, f, buf);
	if (offset >= f->length)
		return 0;
	if (len > f->length - offset)
		len = f->length - offset;
	if (m->short_io && len > m->short_io)
		len = m->short_io;
	memcpy(buf, f->bytes + offset, len);
	return len;
}

static ssize_t mock_pwrite(void *ctx, int fd, const void *buf, size_t len, uint64_t offset)
{
	struct mock *m = ctx;
	struct mock_file *f = file_of(m, fd);

	if (fails(m))
		return m->fail_with;
	if (m->short_io && len > m->short_io)
		len = m->short_io;
	if (f->length < offset + len)
		resize(f, offset + len);
	memcpy(f->bytes + offset, buf, len);
	return len;
}

static int mock_seek_end(void *ctx, int fd)
{
	struct mock *m = ctx;

	if (fails(m))
		return m->fail_with;
	file_of(m, fd)->at = m->said;
	return 0;
}

static int mock_seal(void *ctx, int fd)
{
	struct mock *m = ctx;

	if (fails(m))
		return m->fail_with;
	file_of(m, fd)->sealed = true;
	return 0;
}

static int mock_seals(void *ctx, int fd)
{
	struct mock *m = ctx;

	return fails(m) ? m->fail_with : file_of(m, fd)->sealed;
}

/* ---- sysfs ---- */

static int mock_access(void *ctx, const char *path, int mode)
{
	struct mock *m = ctx;

	(void)mode;
	if (fails(m))
		return m->fail_with;
	if (m->missing && !strncmp(path, m->missing, strlen(m->missing)))
		return -ENOENT;
	if (ends_with(path, "/physfn") || ends_with(path, "/sriov_totalvfs"))
		return m->sriov && ends_with(path, m->sriov) ? 0 : -ENOENT;
	return m->forbidden && !strcmp(path, m->forbidden) ? -EACCES : 0;
}

static ssize_t mock_readlink(void *ctx, const char *path, char *buf, size_t len)
{
	struct mock *m = ctx;

	(void)path;
	(void)len;
	if (fails(m))
		return m->fail_with;
	if (!m->driver)
		return -ENOENT;
	strcpy(buf, m->driver);
	return strlen(buf);
}

static int mock_entry(void *ctx, const char *dir, unsigned int nth, char *buf, size_t len)
{
	struct mock *m = ctx;

	(void)len;
	if (fails(m))
		return m->fail_with;
	if (m->missing && !strcmp(dir, m->missing))
		return -ENOENT;
	if (strstr(dir, "vfio-dev") && (!m->driver || !ends_with(m->driver, "vfio-pci")))
		return -ENOENT;
	if (strstr(dir, "vfio-dev"))
		strcpy(buf, strstr(dir, "04.0") ? "vfio1" : "vfio0");
	else
		strcpy(buf, strstr(dir, "class/iommu") ? "dmar0" : "0000:00:03.0");
	return nth > m->crowded ? -ENOENT : 0;
}

static void mock_pause(void *ctx, unsigned int ms)
{
	((struct mock *)ctx)->paused += ms;
}

/* ---- the agent ---- */

static int mock_connect(void *ctx, const char *path)
{
	struct mock *m = ctx;

	if (fails(m))
		return m->fail_with;
	if (m->missing && !strcmp(path, m->missing))
		return -ENOENT;
	return fd_new(m, file_new(m, AGENT));
}

static int held_at(struct mock *m, const char *name)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		if (m->held[i].file ? !strcmp(m->held[i].name, name) : !*name)
			return i;
	return -1;
}

static int agent_put(struct mock *m, const char *name, struct mock_file *f)
{
	int at = held_at(m, "");
	unsigned int i;

	if (!f || f->kind != SESSION)
		return -EBADF;
	for (i = 0; i < 4; i++)
		if (m->held[i].file == f)
			return strcmp(m->held[i].name, name) ? -EEXIST : 0;
	if (held_at(m, name) >= 0)
		return -EEXIST;
	if (at < 0)
		return -ENOSPC;
	strcpy(m->held[at].name, name);
	m->held[at].file = f;
	f->refs++;
	return 0;
}

static int agent_next(struct mock *m, const char *name)
{
	const char *best = NULL;
	unsigned int i;

	for (i = 0; i < 4; i++)
		if (m->held[i].file && strcmp(m->held[i].name, name) > 0 &&
		    (!best || strcmp(m->held[i].name, best) < 0))
			best = m->held[i].name;
	if (best)
		strcpy(m->answer.name, best);
	return best ? 0 : -ENOENT;
}

static int agent_does(struct mock *m, const struct agent_request *r, int pass)
{
	int at = held_at(m, r->name);

	if (r->owner != AGENT_SELF && r->owner != 7)
		return -EPERM;
	if (r->op == AGENT_PUT)
		return agent_put(m, r->name, file_of(m, pass));
	if (r->op == AGENT_NEXT)
		return agent_next(m, r->name);
	if (at < 0)
		return -ENOENT;
	if (r->op == AGENT_BORROW) {
		m->passed = m->held[at].file;
	} else {
		put(m, m->held[at].file);
		m->held[at].file = NULL;
	}
	return 0;
}

static int mock_send(void *ctx, int fd, const void *buf, size_t len, int pass)
{
	struct mock *m = ctx;

	if (fails(m))
		return m->fail_with;
	if (len != sizeof(struct agent_request) || file_of(m, fd)->kind != AGENT)
		abort();
	memset(&m->answer, 0, sizeof(m->answer));
	m->passed = NULL;
	m->answer.magic = m->other_magic ? 0 : AGENT_MAGIC;
	m->answer.rc = m->answer_with ? m->answer_with : agent_does(m, buf, pass);
	return 0;
}

static ssize_t mock_recv(void *ctx, int fd, void *buf, size_t len, int *passed)
{
	struct mock *m = ctx;

	(void)fd;
	*passed = -1;
	if (fails(m))
		return m->fail_with;
	if (m->no_answer)
		return 0;
	if (m->odd_answer)
		memset(m->answer.name, ':', sizeof(m->answer.name));
	if (m->passed)
		*passed = fd_new(m, m->passed);
	memcpy(buf, &m->answer, len);
	return len;
}

const struct ferry_ops mock_ops = {
	mock_alloc, mock_open, mock_close, mock_dup, mock_ioctl, mock_memfd, mock_truncate,
	mock_length, mock_pread, mock_pwrite, mock_seek_end, mock_seal, mock_seals, mock_access,
	mock_readlink, mock_entry, mock_pause, mock_connect, mock_send, mock_recv,
};

/* ---- for tests ---- */

void mock_init(struct mock *m)
{
	memset(m, 0, sizeof(*m));
	m->fail_with = -EIO;
	m->driver = "../../../bus/pci/drivers/vfio-pci";
	m->cmdline = "console=ttyS0 liveupdate=on kho=on\n";
	m->class = "0x020000\n";
	m->regions = "0x00000000fee00000 0x00000000feefffff msi\n";
	m->caps = IOMMU_HW_CAP_LIVEUPDATE_DOMAIN;
}

void mock_free(struct mock *m)
{
	unsigned int i;

	for (i = 0; i < MOCK_FILES; i++)
		if (m->files[i].kind)
			free(m->files[i].bytes);
	memset(m, 0, sizeof(*m));
}

/* All processes end; of sessions is left what is in them. */
void mock_kexec(struct mock *m)
{
	unsigned int i;

	for (i = 0; i < MOCK_FILES; i++)
		if (m->files[i].kind == SESSION) {
			m->files[i].incoming = true;
			m->files[i].refs++;
		}
	for (i = 0; i < MOCK_FDS; i++)
		if (m->fds[i])
			mock_close(m, i);
}

unsigned int mock_open_fds(const struct mock *m)
{
	unsigned int i, n = 0;

	for (i = 0; i < MOCK_FDS; i++)
		n += !!m->fds[i];
	return n;
}

unsigned int mock_preserved(const struct mock *m, const char *session)
{
	struct mock_file *s = session_named((struct mock *)m, session, false);

	return s ? s->nr_kept : 0;
}

struct mock_file *mock_directory(struct mock *m, const char *session)
{
	struct mock_file *s = session_named(m, session, true);
	unsigned int i;

	for (i = 0; s && i < s->nr_kept; i++)
		if (s->tokens[i] == FERRY_TOKEN)
			return s->kept[i];
	return NULL;
}

/* One that another process has made. */
int mock_session(struct mock *m, const char *name)
{
	struct mock_file *s = file_new(m, SESSION);

	strcpy(s->name, name);
	return fd_new(m, s);
}

/* One that the agent holds. */
void mock_hold(struct mock *m, const char *name)
{
	int fd = mock_session(m, name);

	mock_hold_fd(m, name, fd);
	mock_close(m, fd);
}

void mock_hold_fd(struct mock *m, const char *name, int fd)
{
	agent_put(m, name, file_of(m, fd));
}
