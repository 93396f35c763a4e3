// SPDX-License-Identifier: LGPL-2.1-or-later
/* ferry decode: what is in a file: a session's directory, or an image of handed-over memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cmd.h"
#include "decode-kernel.h"
#include "private.h"

#define MAGIC	"FERRYDIR"

static void show_mappings(const struct ferry_iommu *iommu)
{
	uint32_t i;

	json_open("mappings", '[');
	for (i = 0; i < iommu->nr_mappings; i++) {
		const struct mapping *m = &iommu->mappings[i];
		const char *r = m->flags & FERRY_MAP_READ ? "r" : "-";
		const char *w = m->flags & FERRY_MAP_WRITE ? "w" : "-";

		text("    %#llx + %#llx -> %s + %#llx %s%s\n", (unsigned long long)m->iova,
		     (unsigned long long)m->length, m->memory->o.name,
		     (unsigned long long)m->offset, r, w);
		json_open(NULL, '{');
		json_number("iova", m->iova);
		json_number("length", m->length);
		json_string("memory", m->memory->o.name);
		json_number("offset", m->offset);
		json_bool("read", m->flags & FERRY_MAP_READ);
		json_bool("write", m->flags & FERRY_MAP_WRITE);
		json_close('}');
	}
	json_close(']');
}

static void show_object(struct object *o)
{
	text("  %-6s %s", ferry_kind_name(o->kind), o->name);
	json_open(NULL, '{');
	json_string("kind", ferry_kind_name(o->kind));
	json_string("name", o->name);
	json_number("token", o->token);
	if (o->kind == FERRY_MEMORY) {
		text(" length %#llx\n", (unsigned long long)memory_of(o)->length);
		json_number("length", memory_of(o)->length);
	} else if (o->kind == FERRY_IOMMU) {
		text(" ioas %u\n", iommu_of(o)->ioas);
		json_number("ioas", iommu_of(o)->ioas);
		show_mappings(iommu_of(o));
	} else {
		text(" id %u hwpt %u iommu %s\n", device_of(o)->id, device_of(o)->hwpt,
		     device_of(o)->iommu->o.name);
		json_number("id", device_of(o)->id);
		json_number("hwpt", device_of(o)->hwpt);
		json_string("iommu", device_of(o)->iommu->o.name);
	}
	json_close('}');
}

void show_directory(const struct ferry_session *s)
{
	struct object *o;

	text("directory of session ");
	text_safe(s->name);
	text("\n");
	json_open(NULL, '{');
	json_string("what", "directory");
	json_string("session", s->name);
	json_open("objects", '[');
	for (o = s->objects; o; o = o->next)
		show_object(o);
	json_close(']');
	json_number("state_length", s->data_length);
	text("  state  %zu bytes\n", s->data_length);
	json_close('}');
	out_end();
}

/* The library's reader, which believes nothing; a session that is not in any kernel */
static int decode_directory(const char *path, const uint8_t *bytes, size_t length)
{
	struct directory_place place = { (uint8_t *)bytes, length };
	struct ferry_session s = { .fd = -1 };
	struct ferry_host *host;
	int rc = FAILED;

	if (ferry_host_new(&host))
		return fail(FAILED, "there is no memory");
	s.host = host;
	if (length >= 128)
		memcpy(s.name, bytes + 64, sizeof(s.name) - 1);
	switch (ferry_directory_read(&s, &place)) {
	case 0:
		show_directory(&s);
		rc = DONE;
		break;
	case -EOPNOTSUPP:
		fail(FAILED, "%s: a newer version of this library has written it", path);
		break;
	case -ENOMEM:
		fail(FAILED, "there is no memory");
		break;
	default:
		fail(FAILED, "%s: the directory is damaged", path);
	}
	while (s.objects)
		ferry_object_remove(s.objects);
	free(s.data);
	ferry_host_free(host);
	return rc;
}

static int decode(const char *path, const void *bytes, size_t length, uint64_t base)
{
	int rc;

	if (length >= 8 && !memcmp(bytes, MAGIC, 8))
		return decode_directory(path, bytes, length);
	rc = decode_kernel(bytes, length, base);
	if (rc == UNSUPPORTED)
		return fail(FAILED, "%s: nothing in it that was handed over by a kernel or a session",
			    path);
	return rc;
}

static int run(int argc, char **argv)
{
	const char *text_base = given("base");
	uint64_t base = 0;
	struct stat st;
	void *bytes;
	char *end;
	int fd, rc;

	if (argc != 1)
		return usage("it wants one file");
	if (text_base) {
		base = strtoull(text_base, &end, 0);
		if (!*text_base || *end || base % 4096)
			return usage("--base wants the address of a page, not '%s'", text_base);
	}
	fd = open(argv[0], O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		rc = fail(FAILED, "%s: %s", argv[0], strerror(errno));
		goto close;
	}
	bytes = st.st_size ? mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
	if (bytes == MAP_FAILED) {
		rc = fail(FAILED, "%s: %s", argv[0], st.st_size ? strerror(errno) : "it is empty");
		goto close;
	}
	rc = decode(argv[0], bytes, st.st_size, base);
	munmap(bytes, st.st_size);
close:
	if (fd >= 0)
		close(fd);
	return rc;
}

static const struct option_row options[] = {
	{ "base", "ADDR", "physical address of the first byte of the file; 0 if not given" },
	{ 0 },
};

const struct verb verb_decode = {
	"decode", "FILE", "What is in a session's directory, or in an image of handed-over memory",
	options, run,
};
