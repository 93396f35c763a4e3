// SPDX-License-Identifier: LGPL-2.1-or-later
/* libferry over a mock of the system: what it does, what it refuses, every call failing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../parse/ktap.h"
#include "mock.h"

#define MIB	(1ULL << 20)
#define NIC	"0000:00:03.0"

static struct mock m;
static struct ferry_host *host;
static bool good;

/* Sets @good to false and says where. */
#define IS(x)	is((x), #x, __LINE__)

static void is(bool right, const char *what, int line)
{
	if (!right) {
		printf("# line %d, call %u fails: not so: %s\n", line, m.fail_at, what);
		good = false;
	}
}

static void begin(void)
{
	good = true;
	mock_init(&m);
	IS(!ferry_host_new_with(&mock_ops, &m, &host));
}

static void end(const char *what)
{
	ferry_host_free(host);
	IS(mock_open_fds(&m) == 0);
	mock_free(&m);
	result(good, what);
}

struct vm {
	struct ferry_session *s;
	struct ferry_memory *ram, *rom;
	struct ferry_iommu *iommu;
	struct ferry_device *nic, *disk;
};

static const char *last_error;

/* A call that fails once, if it does, and works when it is repeated. */
#define AGAIN(error, call)						\
	do {								\
		int rc_ = (call);					\
		if (rc_) {						\
			IS(m.failed);					\
			m.failed = false;				\
			last_error = (error);				\
			IS(strlen(last_error) > 10);			\
			rc_ = (call);					\
		}							\
		IS(!rc_);						\
		if (rc_)						\
			return;						\
	} while (0)
#define HOST(call)	AGAIN(ferry_host_error(host), call)
#define SESSION(call)	AGAIN(ferry_session_error(v->s), call)

static struct ferry_mapping mapping(struct ferry_memory *memory, uint64_t offset,
				    uint64_t length, uint64_t iova)
{
	return (struct ferry_mapping){
		.size = sizeof(struct ferry_mapping), .flags = FERRY_MAP_READ,
		.memory = memory, .offset = offset, .length = length, .iova = iova,
	};
}

/* Two devices, two pieces of memory, three mappings that were not made in order. */
static void old_process(struct vm *v)
{
	struct ferry_mapping map;

	HOST(ferry_session_create(host, "vm0", &v->s));
	SESSION(ferry_memory_create(v->s, "ram", 64 * MIB, &v->ram));
	SESSION(ferry_memory_create(v->s, "rom", 4095, &v->rom));
	SESSION(ferry_iommu_create(v->s, "dma", &v->iommu));
	map = mapping(v->ram, 0, 32 * MIB, 1 << 30);
	SESSION(ferry_iommu_map(v->iommu, &map));
	map = mapping(v->rom, 0, 4096, 0x1000);
	SESSION(ferry_iommu_map(v->iommu, &map));
	map = mapping(v->ram, 32 * MIB, 32 * MIB, 2ULL << 30);
	SESSION(ferry_iommu_note(v->iommu, &map));
	SESSION(ferry_device_open(v->s, "nic", NIC, v->iommu, &v->nic));
	SESSION(ferry_device_attach(v->nic));
	SESSION(ferry_device_open(v->s, "disk", "0000:00:04.0", v->iommu, &v->disk));
	SESSION(ferry_device_attach(v->disk));
	SESSION(ferry_state_set(v->s, "hello", 6));
}

static void preserve(struct vm *v)
{
	int rc = ferry_session_preserve(v->s);

	if (rc) {
		/* Nothing is left of it, neither files nor marks */
		IS(m.failed);
		m.failed = false;
		IS(strlen(ferry_session_error(v->s)) > 10);
		IS(ferry_session_state(v->s) == FERRY_OPEN ||
		   ferry_session_state(v->s) == FERRY_FINISHED);
		IS(mock_preserved(&m, "vm0") == 0);
		rc = ferry_session_preserve(v->s);
	}
	IS(!rc);
	IS(ferry_session_state(v->s) == FERRY_PRESERVED);
	IS(mock_preserved(&m, "vm0") == 6);
}

static void new_process(struct vm *v)
{
	struct ferry_object o = { .size = sizeof(o) };
	struct ferry_mapping map = { .size = sizeof(map) };
	const void *data;
	size_t length;

	HOST(ferry_session_retrieve(host, "vm0", &v->s));
	IS(ferry_session_state(v->s) == FERRY_RETRIEVED);
	SESSION(ferry_session_object(v->s, 4, &o));
	IS(!strcmp(o.name, "disk") && o.kind == FERRY_DEVICE && !o.present);
	IS(ferry_session_object(v->s, 5, &o) == -ENOENT);
	SESSION(ferry_device_retrieve(v->s, "nic", &v->nic));
	SESSION(ferry_iommu_retrieve(v->s, "dma", &v->iommu));
	IS(v->iommu == ferry_device_iommu(v->nic));
	SESSION(ferry_memory_retrieve(v->s, "ram", &v->ram));
	IS(ferry_memory_length(v->ram) == 64 * MIB && ferry_memory_fd(v->ram) >= 0);
	SESSION(ferry_memory_retrieve(v->s, "rom", &v->rom));
	SESSION(ferry_device_retrieve(v->s, "disk", &v->disk));
	IS(ferry_device_hwpt(v->disk) && ferry_device_hwpt(v->disk) == ferry_device_hwpt(v->nic));
	IS(ferry_device_id(v->disk) != ferry_device_id(v->nic));
	SESSION(ferry_state_get(v->s, &data, &length));
	IS(length == 6 && !memcmp(data, "hello", 6));
	IS(!ferry_iommu_mapping(v->iommu, 0, &map) && map.iova == 0x1000 &&
	   map.memory == v->rom && map.length == 4096 && map.flags == FERRY_MAP_READ);
	IS(!ferry_iommu_mapping(v->iommu, 1, &map) && map.iova == 1 << 30);
	IS(!ferry_iommu_mapping(v->iommu, 2, &map) && map.iova == 2ULL << 30 &&
	   map.offset == 32 * MIB && map.memory == v->ram);
	IS(ferry_iommu_mapping(v->iommu, 3, &map) == -ENOENT);
	SESSION(ferry_session_finish(v->s));
	IS(ferry_session_fd(v->s) == -ENOENT && ferry_session_state(v->s) == FERRY_FINISHED);
}

/* What is there is used, kept once more, and taken back; then all is taken apart. */
static void ordinary_life(struct vm *v)
{
	struct ferry_mapping map;

	preserve(v);
	ferry_session_unpreserve(v->s);
	ferry_session_unpreserve(v->s);
	IS(ferry_session_state(v->s) == FERRY_OPEN && mock_preserved(&m, "vm0") == 0);
	map = mapping(v->ram, 0, MIB, 4ULL << 30);
	SESSION(ferry_iommu_map(v->iommu, &map));
	SESSION(ferry_iommu_unmap(v->iommu, 4ULL << 30, MIB));
	SESSION(ferry_device_detach(v->disk));
	SESSION(ferry_device_close(v->disk));
	SESSION(ferry_device_close(v->nic));
	SESSION(ferry_iommu_unmap(v->iommu, 1 << 30, 32 * MIB));
	SESSION(ferry_iommu_forget(v->iommu, 2ULL << 30, 32 * MIB));
	SESSION(ferry_memory_close(v->ram));
	SESSION(ferry_iommu_close(v->iommu));
	SESSION(ferry_memory_close(v->rom));
}

static void test_journey(void)
{
	struct vm v = { 0 };

	begin();
	old_process(&v);
	IS(!strcmp(ferry_session_name(v.s), "vm0") && ferry_session_fd(v.s) >= 0);
	preserve(&v);
	IS(ferry_session_preserve(v.s) == -EALREADY);
	mock_kexec(&m);
	/* What the old process had is gone without a word to the kernel */
	m.fail_at = 0;
	result(good && mock_open_fds(&m) == 0, "all of it is in the session");
	good = true;
	{
		struct vm n = { 0 };

		new_process(&n);
		ordinary_life(&n);
		ferry_session_close(n.s);
	}
	/* The old handles point to nothing but memory */
	v.s->fd = -1;
	for (struct object *o = v.s->objects; o; o = o->next)
		o->fd = -1;
	ferry_session_close(v.s);
	end("a new process that knows the name gets all of it back, and can keep it again");
}

/* Each call to the system fails once; the function that it was for works when repeated. */
static unsigned int sweep(int error, unsigned int short_io)
{
	unsigned int n, calls = 1;

	for (n = 1; n <= calls && good; n++) {
		struct vm v = { 0 }, w = { 0 };
		struct object *o;

		mock_init(&m);
		IS(!ferry_host_new_with(&mock_ops, &m, &host));
		m.fail_with = error;
		m.fail_at = n + 1;
		m.short_io = short_io;
		old_process(&v);
		if (good)
			preserve(&v);
		if (good) {
			mock_kexec(&m);
			new_process(&w);
		}
		if (good)
			ordinary_life(&w);
		for (o = v.s ? v.s->objects : NULL; o && good; o = o->next)
			o->fd = -1;
		if (v.s && good)
			v.s->fd = -1;
		ferry_session_close(w.s);
		ferry_session_close(v.s);
		ferry_host_free(host);
		IS(mock_open_fds(&m) == 0);
		calls = m.calls;
		mock_free(&m);
	}
	return n;
}

static void test_sweep(void)
{
	unsigned int points;

	good = true;
	points = sweep(-EIO, 0);
	printf("# %u calls\n", points);
	result(good && points > 80, "each call to the system fails once: nothing is lost, and it "
	       "works when repeated");
	good = true;
	IS(sweep(-ENOMEM, 100) > 80);
	result(good, "the same without memory, and with short reads and writes");
}

/* ---- what is refused ---- */

static void test_names(void)
{
	static const char *const bad[] = {
		"", "a b", "a/b", "\x7f", NULL,
		"0123456789012345678901234567890123456789012345678901234567890123",
	};
	struct ferry_memory *ram = NULL;
	struct ferry_session *s = NULL;
	struct ferry_iommu *iommu;
	unsigned int i;

	begin();
	IS(ferry_session_create(host, "", &s) == -EINVAL);
	IS(ferry_session_create(host, NULL, &s) == -EINVAL);
	IS(ferry_session_create(host, "a/b", &s) == -EINVAL);
	IS(ferry_session_create(host, "a\nb", &s) == -EINVAL);
	IS(ferry_session_create(host, bad[5], &s) == -EINVAL);
	IS(!ferry_session_create(host, "a vm", &s));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		IS(ferry_memory_create(s, bad[i], MIB, &ram) == -EINVAL);
	IS(strstr(ferry_session_error(s), "that is no name") != NULL);
	IS(!ferry_memory_create(s, "Ram_0.1:2-3", MIB, &ram));
	IS(ferry_memory_create(s, "Ram_0.1:2-3", MIB, &ram) == -EEXIST);
	IS(ferry_iommu_create(s, "Ram_0.1:2-3", &iommu) == -EEXIST);
	IS(!strncmp(ferry_session_error(s), "session \"a vm\": iommu \"Ram_0.1:2-3\": ", 37));
	ferry_session_close(s);
	ferry_session_close(NULL);
	end("names");
}

static void test_create(void)
{
	struct ferry_session *s = NULL, *t = NULL;

	begin();
	m.missing = "/dev/liveupdate";
	IS(ferry_session_create(host, "x", &s) == -ENODEV);
	IS(strstr(ferry_host_error(host), "liveupdate=on kho=on") != NULL);
	m.missing = NULL;
	m.forbidden = "/dev/liveupdate";
	IS(ferry_session_create(host, "x", &s) == -EACCES);
	m.forbidden = NULL;
	m.luo_open = true;
	IS(ferry_session_create(host, "x", &s) == -EBUSY && m.paused >= 1000);
	m.luo_open = false;
	IS(!ferry_session_create(host, "x", &s));
	IS(ferry_session_create(host, "x", &t) == -EEXIST);
	IS(ferry_session_retrieve(host, "x", &t) == -ENOENT);
	ferry_session_close(s);
	IS(!ferry_session_create(host, "x", &s));
	mock_kexec(&m);
	s->fd = -1;
	ferry_session_close(s);
	IS(!ferry_session_retrieve(host, "x", &s));
	IS(ferry_session_retrieve(host, "x", &t) == -EALREADY);
	IS(strstr(ferry_host_error(host), "session \"x\"") != NULL);
	ferry_session_close(s);
	end("sessions are made and retrieved once");
}

static void test_memory(void)
{
	struct ferry_memory *ram = NULL, *rom = NULL;
	struct ferry_session *s = NULL;
	int fd;

	begin();
	IS(!ferry_session_create(host, "x", &s));
	IS(ferry_memory_create(s, "ram", 0, &ram) == -EINVAL);
	IS(ferry_memory_create(s, "ram", UINT64_MAX, &ram) == -EINVAL);
	IS(ferry_memory_adopt(s, "ram", -1, &ram) == -EBADF);
	fd = mock_ops.memfd(&m, "");
	IS(ferry_memory_adopt(s, "ram", fd, &ram) == -EINVAL);
	mock_ops.truncate(&m, fd, 4 * MIB);
	IS(!ferry_memory_adopt(s, "ram", fd, &ram));
	IS(ferry_memory_length(ram) == 4 * MIB && ferry_memory_fd(ram) != fd);
	mock_ops.close(&m, fd);
	IS(!ferry_memory_retrieve(s, "ram", &rom) && rom == ram);
	IS(ferry_memory_retrieve(s, "rom", &rom) == -ENOENT);
	ferry_session_close(s);
	end("memory");
}

static void test_mappings(void)
{
	struct ferry_session *s = NULL, *other = NULL;
	struct ferry_mapping map, out = { .size = 3 };
	struct ferry_memory *ram = NULL, *far = NULL;
	struct ferry_iommu *iommu = NULL;
	struct {
		struct ferry_mapping map;
		uint32_t more;
	} longer = { .more = 0 };
	uint64_t i;

	begin();
	IS(!ferry_session_create(host, "x", &s) && !ferry_session_create(host, "y", &other));
	IS(!ferry_memory_create(s, "ram", 3 * MIB + 1, &ram));
	IS(!ferry_memory_create(other, "ram", MIB, &far));
	m.missing = "/dev/iommu";
	IS(ferry_iommu_create(s, "dma", &iommu) == -ENODEV);
	m.missing = NULL;
	IS(ferry_iommu_adopt(s, "dma", -1, 1, &iommu) == -EBADF);
	IS(ferry_iommu_adopt(s, "dma", ferry_memory_fd(ram), 0, &iommu) == -EINVAL);
	IS(!ferry_iommu_create(s, "dma", &iommu));
#define REFUSED(rc, ...)						\
	do {								\
		map = mapping(ram, 0, MIB, 16 * MIB);			\
		__VA_ARGS__;						\
		IS(ferry_iommu_map(iommu, &map) == (rc));		\
		IS(ferry_iommu_note(iommu, &map) == (rc));		\
	} while (0)
	REFUSED(-EINVAL, map.size = 4);
	REFUSED(-EINVAL, map.memory = NULL);
	REFUSED(-EINVAL, map.memory = far);
	REFUSED(-EINVAL, map.flags = 0);
	REFUSED(-EINVAL, map.flags = 4);
	REFUSED(-EINVAL, map.length = 0);
	REFUSED(-EINVAL, map.length = 100);
	REFUSED(-EINVAL, map.iova = 1);
	REFUSED(-EINVAL, map.offset = 8);
	REFUSED(-EINVAL, map.iova = 0 - MIB + 4096);
	REFUSED(-EINVAL, map.offset = 4 * MIB);
	REFUSED(-EINVAL, map.offset = 0 - 4096ULL);
	REFUSED(-EINVAL, map.length = 3 * MIB + 8192);
	longer.map = mapping(ram, 0, MIB, 0 - MIB);
	longer.map.size = sizeof(longer);
	longer.more = 1;
	IS(ferry_iommu_map(iommu, &longer.map) == -E2BIG);
	longer.more = 0;
	IS(!ferry_iommu_map(iommu, &longer.map));
	map = mapping(ram, 0, 3 * MIB + 4096, 16 * MIB);
	IS(!ferry_iommu_map(iommu, &map));
	REFUSED(-EEXIST, map.iova = 15 * MIB + 4096);
	REFUSED(-EEXIST, map.iova = 19 * MIB);
	REFUSED(-EEXIST, map.iova = 17 * MIB, map.length = 4096);
	for (i = 0; i < 40; i++) {
		map = mapping(ram, 0, 4096, (100 - i) * MIB);
		IS(!ferry_iommu_note(iommu, &map));
	}
	IS(ferry_iommu_mapping(iommu, 0, &out) == -EINVAL);
	out.size = 16;
	IS(!ferry_iommu_mapping(iommu, 1, &out) && out.flags == FERRY_MAP_READ);
	longer.map.size = sizeof(longer);
	longer.more = 7;
	IS(!ferry_iommu_mapping(iommu, 1, &longer.map) && longer.map.iova == 61 * MIB &&
	   !longer.more);
	IS(ferry_iommu_unmap(iommu, 16 * MIB, MIB) == -ENOENT);
	IS(ferry_iommu_unmap(iommu, 17 * MIB, MIB) == -ENOENT);
	IS(ferry_iommu_forget(iommu, 200 * MIB, MIB) == -ENOENT);
	IS(ferry_memory_close(ram) == -EBUSY);
	ferry_session_close(s);
	ferry_session_close(other);
	end("mappings that cannot be are refused");
}

static void test_devices(void)
{
	static const char *const bad[] = {
		"", "00:03.0", "0000:00:03.8", "0000:00:03.0x", "zzzz:00:03.0", NULL,
	};
	struct ferry_session *s = NULL, *other = NULL;
	struct ferry_device *nic = NULL, *disk = NULL;
	struct ferry_iommu *iommu = NULL, *far = NULL;
	struct ferry_memory *ram = NULL;
	unsigned int i;
	int fd;

	begin();
	IS(!ferry_session_create(host, "x", &s) && !ferry_session_create(host, "y", &other));
	IS(!ferry_iommu_create(s, "dma", &iommu) && !ferry_iommu_create(other, "dma", &far));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		IS(ferry_device_open(s, "nic", bad[i], iommu, &nic) == -EINVAL);
	IS(ferry_device_open(s, "nic", NIC, NULL, &nic) == -EINVAL);
	IS(ferry_device_open(s, "nic", NIC, far, &nic) == -EINVAL);
	m.missing = "/sys/bus/pci/devices/" NIC "/vfio-dev";
	IS(ferry_device_open(s, "nic", NIC, iommu, &nic) == -ENODEV);
	IS(strstr(ferry_session_error(s), "ferry check"));
	m.missing = NULL;
	m.forbidden = "/dev/vfio/devices/vfio0";
	IS(ferry_device_open(s, "nic", NIC, iommu, &nic) == -EACCES);
	m.forbidden = NULL;
	IS(!ferry_device_open(s, "nic", NIC, iommu, &nic));
	IS(ferry_device_detach(nic) == -ENOENT);
	IS(ferry_session_preserve(s) == -EINVAL);
	IS(ferry_iommu_close(iommu) == -EBUSY);
	IS(!ferry_device_attach(nic));
	IS(ferry_device_attach(nic) == -EALREADY);
	/* Behind another unit: it wants a page table of its own */
	IS(!ferry_device_open(s, "disk", "0000:00:04.0", iommu, &disk));
	m.refuse = VFIO_DEVICE_ATTACH_IOMMUFD_PT;
	m.refuse_with = -EPERM;
	m.refuse_times = 1;
	IS(ferry_device_attach(disk) == -EPERM);
	m.refuse_with = -EINVAL;
	m.refuse_times = 1;
	IS(!ferry_device_attach(disk) && ferry_device_hwpt(disk) != ferry_device_hwpt(nic));
	IS(!ferry_device_detach(disk) && !ferry_device_hwpt(disk));
	IS(m.fds[ferry_iommu_fd(iommu)]->nr_hwpt == 1);
	/* A page table that nobody could be attached to goes away again */
	IS(!ferry_device_detach(nic));
	m.refuse_times = 1;
	IS(ferry_device_attach(nic) == -EINVAL);
	IS(m.fds[ferry_iommu_fd(iommu)]->nr_hwpt == 0);
	IS(!ferry_device_close(disk));
	/* One that was made elsewhere; its page table is not ours to destroy */
	fd = ferry_device_fd(nic);
	IS(ferry_device_adopt(s, "disk", -1, iommu, 3, 4, &disk) == -EBADF);
	IS(ferry_device_adopt(s, "disk", fd, iommu, 0, 4, &disk) == -EINVAL);
	IS(ferry_device_adopt(s, "disk", fd, far, 3, 4, &disk) == -EINVAL);
	IS(!ferry_device_adopt(s, "disk", fd, iommu, ferry_device_id(nic), 4, &disk));
	IS(!ferry_device_close(disk));
	IS(ferry_device_retrieve(s, "disk", &disk) == -ENOENT);
	IS(!ferry_device_retrieve(s, "nic", &disk) && disk == nic);
	IS(!ferry_iommu_retrieve(s, "dma", &far) && far == iommu);
	IS(ferry_iommu_ioas(iommu) == 1);
	IS(!ferry_memory_create(s, "ram", MIB, &ram) && !ferry_memory_close(ram));
	ferry_session_close(s);
	ferry_session_close(other);
	end("devices that cannot be are refused, and page tables do not pile up");
}

static void test_frozen(void)
{
	struct ferry_mapping map;
	struct vm v = { 0 };
	void *p;

	begin();
	old_process(&v);
	preserve(&v);
	map = mapping(v.ram, 0, MIB, 8ULL << 30);
	IS(ferry_memory_create(v.s, "more", MIB, (struct ferry_memory **)&p) == -EBUSY);
	IS(ferry_memory_adopt(v.s, "more", 3, (struct ferry_memory **)&p) == -EBUSY);
	IS(ferry_iommu_create(v.s, "more", (struct ferry_iommu **)&p) == -EBUSY);
	IS(ferry_iommu_adopt(v.s, "more", 3, 1, (struct ferry_iommu **)&p) == -EBUSY);
	IS(ferry_device_open(v.s, "more", NIC, v.iommu, (struct ferry_device **)&p) == -EBUSY);
	IS(ferry_device_adopt(v.s, "more", 3, v.iommu, 1, 1, (struct ferry_device **)&p) ==
	   -EBUSY);
	IS(ferry_iommu_map(v.iommu, &map) == -EBUSY);
	IS(ferry_iommu_note(v.iommu, &map) == -EBUSY);
	IS(ferry_iommu_unmap(v.iommu, 1 << 30, 32 * MIB) == -EBUSY);
	IS(ferry_device_attach(v.nic) == -EBUSY && ferry_device_detach(v.nic) == -EBUSY);
	IS(ferry_device_close(v.nic) == -EBUSY && ferry_iommu_close(v.iommu) == -EBUSY);
	IS(ferry_memory_close(v.ram) == -EBUSY && ferry_state_set(v.s, "", 0) == -EBUSY);
	IS(ferry_session_finish(v.s) == -EINVAL);
	IS(strstr(ferry_session_error(v.s), "previous kernel") != NULL);
	ferry_session_close(v.s);
	end("nothing changes while it is preserved");
}

static void test_state(void)
{
	struct ferry_session *s = NULL;
	const void *data = NULL;
	size_t length = 1;

	begin();
	IS(!ferry_session_create(host, "x", &s));
	IS(ferry_state_get(s, &data, &length) == -ENOENT);
	IS(ferry_state_set(s, "", (16 << 20) + 1) == -EFBIG);
	IS(!ferry_state_set(s, NULL, 0));
	IS(!ferry_state_get(s, &data, &length) && data && !length);
	IS(!ferry_session_preserve(s));
	mock_kexec(&m);
	s->fd = -1;
	ferry_session_close(s);
	length = 1;
	IS(!ferry_session_retrieve(host, "x", &s));
	IS(!ferry_state_get(s, &data, &length) && data && !length);
	IS(ferry_state_set(s, "", 0) == -EBUSY && ferry_session_preserve(s) == -EBUSY);
	ferry_session_close(s);
	end("the VMM's bytes, none of them too");
}

static void refuse(unsigned long request, int error, unsigned int times)
{
	m.refuse = request;
	m.refuse_with = error;
	m.refuse_times = times;
}

static void test_back_out(void)
{
	struct vm v = { 0 };
	int fd;

	begin();
	old_process(&v);
	refuse(LIVEUPDATE_SESSION_PRESERVE_FD, -ENOENT, 1);
	IS(ferry_session_preserve(v.s) == -ENOENT);
	IS(strstr(ferry_session_error(v.s), "memory \"ram\"") != NULL);
	IS(mock_preserved(&m, "vm0") == 0 && ferry_session_fd(v.s) == -ENOENT);
	IS(!m.fds[ferry_iommu_fd(v.iommu)]->marked[0]);
	/* The name was taken in the meantime */
	fd = mock_session(&m, "vm0");
	IS(ferry_session_preserve(v.s) == -EEXIST);
	mock_ops.close(&m, fd);
	refuse(IOMMU_HWPT_LIVEUPDATE, -EOPNOTSUPP, 1);
	IS(ferry_session_preserve(v.s) == -EOPNOTSUPP);
	IS(strstr(ferry_session_error(v.s), "device \"nic\"") != NULL);
	preserve(&v);
	ferry_session_close(v.s);
	end("a preserve that is refused leaves nothing behind");
}

static void test_adopt(void)
{
	struct ferry_memory *ram = NULL;
	struct ferry_session *s = NULL;
	int fd, dup;

	begin();
	IS(ferry_session_adopt(host, -1, &s) == -EBADF);
	fd = mock_ops.memfd(&m, "");
	IS(ferry_session_adopt(host, fd, &s) == -EBADF);
	mock_ops.close(&m, fd);
	fd = mock_session(&m, "vm7");
	refuse(LIVEUPDATE_SESSION_RETRIEVE_FD, -EIO, 1);
	IS(ferry_session_adopt(host, fd, &s) == -EIO && m.fds[fd]);
	m.fail_at = m.calls + 1;
	IS(ferry_session_adopt(host, fd, &s) == -ENOMEM);
	IS(!ferry_session_adopt(host, fd, &s));
	IS(!strcmp(ferry_session_name(s), "vm7") && ferry_session_state(s) == FERRY_OPEN);
	IS(!ferry_memory_create(s, "ram", MIB, &ram));
	IS(!ferry_session_preserve(s));
	dup = mock_ops.dup(&m, ferry_session_fd(s));
	ferry_session_unpreserve(s);
	IS(ferry_session_state(s) == FERRY_SPENT && mock_preserved(&m, "vm7") == 2);
	IS(ferry_session_preserve(s) == -ESTALE && ferry_state_set(s, "", 0) == -ESTALE);
	IS(ferry_memory_close(ram) == -ESTALE);
	IS(strstr(ferry_session_error(s), "have every process close it") != NULL);
	ferry_session_close(s);
	/* The other process has it, and the next kernel gets it */
	m.fds[dup]->incoming = true;
	IS(!ferry_session_adopt(host, dup, &s) && ferry_session_state(s) == FERRY_RETRIEVED);
	IS(!ferry_memory_retrieve(s, "ram", &ram));
	IS(!ferry_session_finish(s) && !ferry_session_preserve(s));
	ferry_session_unpreserve(s);
	IS(ferry_session_state(s) == FERRY_OPEN);
	ferry_session_close(s);
	end("sessions of another process");
}

/* ---- the new kernel ---- */

static struct ferry_session *handed_over(void)
{
	struct ferry_session *s = NULL;
	struct vm v = { 0 };
	struct object *o;

	begin();
	old_process(&v);
	preserve(&v);
	mock_kexec(&m);
	v.s->fd = -1;
	for (o = v.s->objects; o; o = o->next)
		o->fd = -1;
	ferry_session_close(v.s);
	IS(!ferry_session_retrieve(host, "vm0", &s));
	return s;
}

static void test_retrieve(void)
{
	struct ferry_session *s = handed_over();
	struct ferry_iommu *iommu = NULL;
	struct ferry_device *d = NULL;
	struct ferry_object o = { .size = sizeof(o) };

	m.wrong_id = 1;
	IS(ferry_device_retrieve(s, "nic", &d) == -EBADMSG);
	m.wrong_id = 0;
	m.no_objects = true;
	IS(ferry_iommu_retrieve(s, "dma", &iommu) == -EBADMSG);
	m.no_objects = false;
	m.odd_list = true;
	IS(ferry_iommu_retrieve(s, "dma", &iommu) == -EBADMSG);
	m.odd_list = false;
	refuse(IOMMU_LIVEUPDATE_OBJECTS, -ENOTTY, 1);
	IS(ferry_iommu_retrieve(s, "dma", &iommu) == -EBADMSG);
	IS(ferry_device_retrieve(s, "none", &d) == -ENOENT);
	IS(ferry_device_retrieve(s, NULL, &d) == -ENOENT);
	IS(ferry_device_retrieve(s, "dma", &d) == -ENOENT);
	IS(!ferry_device_retrieve(s, "nic", &d));
	IS(ferry_memory_close((struct ferry_memory *)s->objects) == -EBUSY);
	refuse(LIVEUPDATE_SESSION_FINISH, -EIO, 1);
	IS(ferry_session_finish(s) == -EIO && ferry_session_state(s) == FERRY_RETRIEVED);
	IS(!ferry_session_finish(s));
	IS(!ferry_session_object(s, 3, &o) && !strcmp(o.name, "nic") && o.present);
	IS(ferry_session_object(s, 4, &o) == -ENOENT);
	ferry_session_close(s);
	end("what comes back is looked at; what does not is no object any more");
	s = handed_over();
	mock_directory(&m, "vm0")->sealed = false;
	IS(ferry_device_retrieve(s, "nic", &d) == -EBADMSG);
	mock_directory(&m, "vm0")->sealed = true;
	IS(!ferry_session_object(s, 0, &o));
	((struct ferry_memory *)s->objects)->length++;
	IS(ferry_memory_retrieve(s, "ram", (struct ferry_memory **)&d) == -EBADMSG);
	ferry_session_close(s);
	end("a directory that is not sealed, memory of another length");
	begin();
	IS(!ferry_session_create(host, "bare", &s));
	mock_kexec(&m);
	s->fd = -1;
	ferry_session_close(s);
	IS(!ferry_session_retrieve(host, "bare", &s));
	IS(ferry_session_object(s, 0, &o) == -ENODATA);
	IS(ferry_memory_retrieve(s, "ram", NULL) == -ENODATA);
	IS(ferry_state_get(s, NULL, NULL) == -ENODATA);
	IS(ferry_device_retrieve(s, "nic", NULL) == -ENODATA);
	IS(ferry_iommu_retrieve(s, "dma", NULL) == -ENODATA);
	ferry_session_close(s);
	end("a session without a directory");
}

/* ---- the agent ---- */

static void test_agent(void)
{
	char name[FERRY_NAME_SIZE] = "", longest[70];
	struct ferry_agent *a = NULL;
	int fd = -1, held, second, other;

	begin();
	memset(longest, 'x', 64);
	longest[64] = '\0';
	m.missing = FERRY_AGENT_SOCKET;
	IS(ferry_agent_connect(host, NULL, &a) == -ENOENT);
	IS(strstr(ferry_host_error(host), "ferry-agent.socket") != NULL);
	m.fail_at = m.calls + 1;
	IS(ferry_agent_connect(host, NULL, &a) == -ENOMEM);
	m.fail_at = m.calls + 2;
	IS(ferry_agent_connect(host, "elsewhere", &a) == -EIO);
	m.fail_at = m.calls + 2;
	m.fail_with = -EAGAIN;
	IS(ferry_agent_connect(host, "elsewhere", &a) == -ETIMEDOUT);
	IS(strstr(ferry_host_error(host), "does not answer") != NULL);
	m.fail_with = -EIO;
	ferry_agent_close(NULL);
	IS(!ferry_agent_connect(host, "elsewhere", &a));
	held = mock_session(&m, "vm0");
	second = mock_session(&m, "vm1");
	other = mock_ops.memfd(&m, "");
	IS(ferry_agent_put(a, "vm0", -1) == -EBADF && ferry_agent_put(a, "vm0", other) == -EBADF);
	IS(ferry_agent_put(a, NULL, held) == -EINVAL && ferry_agent_put(a, "", held) == -EINVAL);
	IS(ferry_agent_put(a, "a:b", held) == -EINVAL);
	IS(ferry_agent_put(a, longest, held) == -EINVAL);
	IS(!ferry_agent_put(a, "vm1", second) && !ferry_agent_put(a, "vm1", second));
	IS(ferry_agent_put(a, "vm1", held) == -EEXIST);
	IS(ferry_agent_put(a, "vm0", second) == -EEXIST);
	IS(strstr(ferry_host_error(host), "under another") != NULL);
	IS(!ferry_agent_put(a, "vm0", held) && m.fds[held]);
	IS(!ferry_agent_next(a, name) && !strcmp(name, "vm0"));
	IS(!ferry_agent_next(a, name) && !strcmp(name, "vm1"));
	IS(ferry_agent_next(a, name) == -ENOENT && !strcmp(name, "vm1"));
	IS(ferry_agent_borrow(a, "vm2", &fd) == -ENOENT && fd == -1);
	IS(!ferry_agent_borrow(a, "vm0", &fd) && m.fds[fd] == m.fds[held]);
	mock_ops.close(&m, fd);
	IS(!ferry_agent_take(a, "vm0", &fd) && m.fds[fd] == m.fds[held]);
	mock_ops.close(&m, fd);
	IS(ferry_agent_take(a, "vm0", &fd) == -ENOENT && ferry_agent_drop(a, "vm0") == -ENOENT);
	IS(strstr(ferry_host_error(host), "ferry agent list") != NULL);
	ferry_agent_owner(a, 8);
	IS(ferry_agent_next(a, name) == -EPERM && ferry_agent_drop(a, "vm1") == -EPERM);
	ferry_agent_owner(a, 7);
	/* The drop of a take is not sent: it is the agent's still */
	m.fail_at = m.calls + 3;
	IS(ferry_agent_take(a, "vm1", &fd) == -EIO && mock_open_fds(&m) == 4);
	/* Or it has no answer, and may be done */
	m.fail_at = m.calls + 4;
	IS(!ferry_agent_take(a, "vm1", &fd) && m.fds[fd] == m.fds[second]);
	mock_ops.close(&m, fd);
	IS(ferry_agent_drop(a, "vm1") == -ENOTCONN);
	ferry_agent_close(a);
	mock_ops.close(&m, held);
	mock_ops.close(&m, second);
	mock_ops.close(&m, other);
	end("sessions in the agent");
}

/* The agent is root's; still, nothing it says is believed unseen. */
static void test_odd_agent(void)
{
	static const int expected[] = {
		-ECONNRESET, -EPROTO, -EPROTO, -ETIMEDOUT, -EIO, -ENOENT, -EPROTO,
	};
	char name[FERRY_NAME_SIZE] = "";
	struct ferry_agent *a = NULL;
	unsigned int way;
	int fd = -1, rc;

	for (way = 0; way < 7; way++) {
		begin();
		mock_hold(&m, "vm0");
		IS(!ferry_agent_connect(host, NULL, &a));
		m.no_answer = way == 0;
		m.other_magic = way == 1;
		m.answer_with = way == 2 ? 1 : way == 5 ? -ENOENT : 0;
		m.fail_at = way == 3 || way == 4 ? m.calls + 2 : 0;
		m.fail_with = way == 3 ? -EAGAIN : -EIO;
		m.odd_answer = way == 6;
		rc = way == 6 ? ferry_agent_next(a, name) : ferry_agent_borrow(a, "vm0", &fd);
		IS(rc == expected[way]);
		m.fail_at = 0;
		if (way < 5)
			IS(ferry_agent_borrow(a, "vm0", &fd) == -ENOTCONN);
		IS(fd == -1 && mock_open_fds(&m) == 1);
		ferry_agent_close(a);
		m.no_answer = m.other_magic = m.odd_answer = false;
		m.answer_with = 0;
		IS(!ferry_agent_connect(host, NULL, &a) && !ferry_agent_drop(a, "vm0"));
		m.fail_at = m.calls + 1;
		m.fail_with = -EAGAIN;
		IS(ferry_agent_drop(a, "vm0") == -ETIMEDOUT);
		ferry_agent_close(a);
		end("an agent that answers oddly, or not");
	}
}

/* ---- the host ---- */

static struct ferry_requirement ask(const char *name)
{
	struct ferry_requirement r = { .size = sizeof(r) };
	unsigned int i;

	for (i = 0; !ferry_host_requirement(host, i, &r); i++)
		if (!strcmp(r.name, name))
			return r;
	for (i = 0; !ferry_host_device_requirement(host, NIC, i, &r); i++)
		if (!strcmp(r.name, name))
			return r;
	IS(!"such a requirement");
	return r;
}

static void wants(const char *name, enum ferry_answer answer, const char *word)
{
	struct ferry_requirement r = ask(name);

	IS(r.answer == (uint32_t)answer);
	if (!strstr(r.reason, word) && !strstr(r.remedy, word)) {
		printf("# %s: %s; %s\n", name, r.reason, r.remedy);
		good = false;
	}
	IS(answer == FERRY_YES || *r.remedy || strstr(r.reason, "looked at"));
}

static void test_host(void)
{
	struct ferry_requirement r = { .size = sizeof(r) };
	unsigned int i;

	begin();
	for (i = 0; !ferry_host_requirement(host, i, &r); i++)
		IS(r.answer == FERRY_YES && !*r.remedy && *r.text);
	IS(i == 6);
	m.missing = "/dev/liveupdate";
	wants("liveupdate", FERRY_NO, "CONFIG_LIVEUPDATE");
	m.cmdline = "quiet";
	wants("liveupdate", FERRY_NO, "liveupdate=on");
	m.cmdline = "liveupdate=on";
	wants("liveupdate", FERRY_NO, "kho=on");
	m.missing = "/proc/cmdline";
	m.forbidden = "/dev/liveupdate";
	wants("liveupdate", FERRY_YES, "other users");
	m.missing = "/sys/kernel/kexec";
	wants("kexec", FERRY_NO, "CONFIG_KEXEC_FILE");
	m.missing = "/sys/class/iommu";
	wants("iommu", FERRY_NO, "intel_iommu=on");
	m.missing = "/dev/iommu";
	wants("iommufd", FERRY_NO, "CONFIG_IOMMUFD");
	wants("iommufd-liveupdate", FERRY_NO, "/dev/iommu");
	m.missing = "/sys/bus/pci/drivers/vfio-pci";
	wants("vfio-pci", FERRY_NO, "CONFIG_VFIO_PCI");
	m.missing = NULL;
	m.forbidden = "/dev/iommu";
	wants("iommufd-liveupdate", FERRY_UNKNOWN, "root");
	m.forbidden = NULL;
	refuse(IOMMU_LIVEUPDATE_OBJECTS, -ENOTTY, 1);
	wants("iommufd-liveupdate", FERRY_NO, "CONFIG_IOMMUFD_LIVEUPDATE");
	for (i = 1; i < 30; i++) {
		m.calls = 0;
		m.fail_at = i;
		ask("keep");
	}
	end("what a host needs");
}

static void test_host_device(void)
{
	struct ferry_requirement r = { .size = sizeof(r) };
	unsigned int i;

	begin();
	for (i = 0; !ferry_host_device_requirement(host, NIC, i, &r); i++)
		IS(r.answer == FERRY_YES && !*r.remedy && *r.text);
	IS(i == 7);
	IS(ferry_host_device_requirement(host, "nic", 0, &r) == -EINVAL);
	IS(ferry_host_device_requirement(host, NULL, 0, &r) == -EINVAL);
	IS(strstr(ferry_host_error(host), "0000:00:03.0") != NULL);
	m.class = "0x060400\n";
	wants("kind", FERRY_NO, "bridge");
	m.class = "0x030000\n";
	wants("kind", FERRY_NO, "display");
	m.class = "0x0c0330\n";
	wants("kind", FERRY_NO, "USB");
	m.class = "0x020000\n";
	m.sriov = "/physfn";
	wants("kind", FERRY_NO, "virtual function");
	m.sriov = "/sriov_totalvfs";
	wants("kind", FERRY_NO, "physical function");
	m.sriov = NULL;
	m.missing = "/sys/bus/pci/devices/" NIC "/current_link_speed";
	wants("kind", FERRY_NO, "PCI Express");
	m.missing = "/sys/bus/pci/devices/" NIC "/class";
	wants("kind", FERRY_UNKNOWN, "looked at");
	m.missing = "/sys/bus/pci/devices/" NIC "/iommu/devices";
	wants("firmware", FERRY_UNKNOWN, "looked at");
	m.missing = NULL;
	m.regions = "0x000000007f000000 0x000000007f0fffff direct-relaxable\n";
	wants("firmware", FERRY_YES, "no device");
	m.regions = "0x000000007f000000 0x000000007f0fffff direct\n";
	wants("firmware", FERRY_NO, "direct mapping for 0000:00:03.0");
	m.crowded = true;
	wants("group", FERRY_NO, "shares");
	m.crowded = false;
	m.driver = "e1000e";
	wants("driver", FERRY_NO, "e1000e");
	m.driver = NULL;
	wants("driver", FERRY_NO, "no driver");
	m.driver = "vfio-pci";
	m.missing = "/sys/bus/pci/devices/" NIC;
	wants("device", FERRY_NO, "lspci");
	m.missing = "/sys/bus/pci/devices/" NIC "/iommu_group";
	wants("group", FERRY_NO, "IOMMU on");
	m.missing = "/sys/bus/pci/devices/" NIC "/vfio-dev";
	wants("keep", FERRY_UNKNOWN, "vfio-pci");
	m.missing = NULL;
	m.caps = 0;
	wants("keep", FERRY_NO, "cannot keep");
	refuse(VFIO_DEVICE_BIND_IOMMUFD, -EINVAL, 1);
	wants("keep", FERRY_UNKNOWN, "has it open");
	m.forbidden = "/dev/vfio/devices/vfio0";
	wants("keep", FERRY_UNKNOWN, "root");
	end("what a device needs");
}

#define PRESERVE	LIVEUPDATE_SESSION_PRESERVE_FD
#define LINE(object, text) "5,2,9,-;" object ": live update: refused: " text

/* The next preserve is refused, and the kernel says these; what it said before is no reason. */
static void refused(int rc, const char *first, const char *second, const char *third)
{
	m.log[0] = LINE("vfio-pci " NIC, "an old reason (-EBUSY)\n");
	m.log[1] = first;
	m.log[2] = second;
	m.log[3] = third;
	m.said = 1;
	m.says = 4;
	refuse(PRESERVE, rc, 1);
}

static void tells(enum ferry_answer answer, const char *reason, const char *remedy)
{
	struct ferry_requirement r = ask("preserve");

	IS(r.answer == (uint32_t)answer);
	if (strcmp(r.reason, reason) || !strstr(r.remedy, remedy)) {
		printf("# not \"%s\", \"%s\": \"%s\", \"%s\"\n", reason, remedy, r.reason, r.remedy);
		good = false;
	}
	IS(!mock_open_fds(&m));
}

static void test_refusals(void)
{
	static const char own[] = LINE("vfio-pci " NIC, "it is odd (a) (-EOPNOTSUPP)\n X=(y)\n");

	begin();
	refused(-EOPNOTSUPP, own, NULL, NULL);
	tells(FERRY_NO, "it is odd (a)", "keep another");
	tells(FERRY_YES, "it was preserved, and let go again", "");
	refused(-EBUSY, LINE("iommufd", "an \033 access\n S=1"), NULL, NULL);
	tells(FERRY_NO, "iommufd: an ? access", "ask again");
	refused(-EBUSY, LINE("pcieport 0000:00:1c.0", "it is in D3hot (-EBUSY)"), own,
		LINE("vfio-pci " NIC, "a later one"));
	tells(FERRY_NO, "it is odd (a)", "ask again");
	refused(-EBUSY, LINE("pci 0000:00:1c.0", "one (-EBUSY)"), LINE("iommufd", "two"), NULL);
	tells(FERRY_NO, "pci 0000:00:1c.0: one", "ask again");
	refused(-ENOEXEC, LINE("kexec", "it cannot land (-ENOEXEC)"), NULL, NULL);
	tells(FERRY_NO, "kexec: it cannot land", "ferry abort");
	/* Of another device, a part of whose address is this one's; no lines of this kind */
	refused(-EOPNOTSUPP, LINE("vfio-pci 1" NIC, "not this one"), "",
		LINE("vfio-pci 0000:0a:00.0", "like " NIC));
	tells(FERRY_NO, "the kernel refuses it", "kernel log");
	refused(-EOPNOTSUPP, "5,2,9,-;nothing", "no line", ": live update: refused: ;");
	tells(FERRY_NO, "the kernel refuses it", "kernel log");
	refused(-EOPNOTSUPP, "", LINE(NIC, "(b"), NULL);
	tells(FERRY_NO, "(b", "keep another");
	m.forbidden = "/dev/kmsg";
	refused(-EOPNOTSUPP, own, NULL, NULL);
	tells(FERRY_NO, "the kernel refuses it", "kernel log");
	end("a refusal is told with the kernel's reason");
}

static void test_trial(void)
{
	static const int others[] = { -ENOMEM, -EMFILE, -ENFILE, -EINTR, -ENOSPC };
	struct ferry_requirement r;
	unsigned int i;

	begin();
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		refused(others[i], LINE("iommufd", "of somebody else"), NULL, NULL);
		IS(ask("preserve").answer == FERRY_UNKNOWN);
	}
	refused(-ENOMEM, NULL, NULL, NULL);
	tells(FERRY_UNKNOWN, "it is not preserved: there is no memory (ENOMEM)", "ask again");
	m.forbidden = "/dev/liveupdate";
	tells(FERRY_UNKNOWN, "/dev/liveupdate: this user may not (EACCES)", "as root");
	m.forbidden = "/dev/vfio/devices/vfio0";
	tells(FERRY_UNKNOWN, "it is not opened: this user may not (EACCES)", "as root");
	m.forbidden = NULL;
	m.missing = "/dev/liveupdate";
	tells(FERRY_UNKNOWN, "/dev/liveupdate: this kernel runs without live update (ENODEV)",
	      "see above");
	m.missing = "/sys/bus/pci/devices/" NIC "/vfio-dev";
	tells(FERRY_UNKNOWN, "it is not bound to vfio-pci", "bind it");
	m.missing = NULL;
	refuse(VFIO_DEVICE_BIND_IOMMUFD, -EPERM, 1);
	IS(strstr(ask("preserve").remedy, "previous kernel") == NULL);
	refuse(VFIO_DEVICE_BIND_IOMMUFD, -EPERM, 2);
	tells(FERRY_UNKNOWN, "it is not bound to its IOMMU: this user may not (EPERM)",
	      "previous kernel");
	m.luo_open = true;
	tells(FERRY_UNKNOWN, "/dev/liveupdate: another process has it open (EBUSY)", "in use");
	m.luo_open = false;
	/* What is certain is not tried */
	m.crowded = true;
	refused(-EIO, NULL, NULL, NULL);
	tells(FERRY_UNKNOWN, "it was not tried, because of what is said above", "see there");
	IS(m.refuse_times == 1);
	m.crowded = false;
	m.refuse_times = 0;
	/* Each call fails once: without the log, or before it, all is as it was */
	m.fail_with = -ENOMEM;
	for (i = 1; i < 120; i++) {
		m.calls = 0;
		m.failed = false;
		m.fail_at = i;
		r = ask("preserve");
		IS(r.answer == FERRY_UNKNOWN || r.answer == FERRY_YES);
		IS(!mock_open_fds(&m) && !*ferry_host_error(host));
	}
	IS(!m.failed);
	end("the kernel is asked by a trial, and all of it is undone");
}

int main(void)
{
	test_journey();
	test_sweep();
	test_names();
	test_create();
	test_memory();
	test_mappings();
	test_devices();
	test_frozen();
	test_state();
	test_back_out();
	test_adopt();
	test_retrieve();
	test_agent();
	test_odd_agent();
	test_host();
	test_host_device();
	test_refusals();
	test_trial();
	return results();
}
