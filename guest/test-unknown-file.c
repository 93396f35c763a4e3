// SPDX-License-Identifier: GPL-2.0-only
/*
 * unknown-file: a session holds a file of a kind the new kernel does not know.
 * That costs this file, and nothing else. The new kernel is made ignorant by
 * not letting it register its memfd handler.
 */
#include <errno.h>
#include <unistd.h>

#include "guest.h"
#include "hw.h"

#define SESSION		"ferry-unknown"
#define TOKEN		42

static struct luo_session s;
static int memfd;

static int load_next(void *p)
{
	cmdline_add_next("initcall_blacklist=memfd_luo_init");
	return kexec_load_next(p);
}

static int preserve(void *p)
{
	void *mem;

	(void)p;
	memfd = make_memfd("unknown", MIB, &mem);
	if (memfd < 0)
		return v_error(memfd, "memfd");
	pattern_fill(mem, MIB, TOKEN);
	return luo_session_keep(&s, SESSION, memfd, TOKEN);
}

static int open_luo(void *p)
{
	(void)p;
	s.luo = luo_open();
	return s.luo < 0 ? v_error(s.luo, "open /dev/liveupdate") : 0;
}

static int open_session(void *p)
{
	(void)p;
	s.fd = luo_retrieve(s.luo, SESSION);
	return s.fd < 0 ? v_error(s.fd, "the session") : 0;
}

/* Without this the test would show nothing. */
static int is_unknown(void *p)
{
	int other = luo_create(s.luo, "ferry-control"), rc;
	void *mem;

	(void)p;
	if (other < 0)
		return v_error(other, "create a session");
	memfd = make_memfd("control", MIB, &mem);
	rc = luo_preserve(other, memfd, 1);
	close(other);
	close(memfd);
	return rc == -ENOENT ? 0 : v_error(rc, "preserve, wanted ENOENT");
}

static int get_unknown(void *p)
{
	int rc = luo_get(s.fd, TOKEN);

	(void)p;
	v_info("errno", "%d", rc < 0 ? -rc : 0);
	if (rc >= 0)
		return v_error(0, "it was retrieved");
	return rc == -EIO ? v_error(rc, "the reason is not told") : 0;
}

static int get_nothing(void *p)
{
	int rc = luo_get(s.fd, TOKEN + 1);

	(void)p;
	return rc == -ENOENT ? 0 : v_error(rc, "wanted ENOENT");
}

static int finish(void *p)
{
	(void)p;
	return luo_session_finish(&s);
}

static int close_all(void *p)
{
	(void)p;
	luo_session_close(&s);
	return 0;
}

int test_unknown_file(unsigned int stage)
{
	static const struct step before[] = {
		STEP("the next kernel is loaded", load_next),
		STEP("a memfd is preserved", preserve),
		SYNC("kexec"),
	};
	static const struct step after[] = {
		STEP("/dev/liveupdate opens", open_luo),
		CHECK("memfds are unknown here", is_unknown),
		STEP("the session is retrieved", open_session),
		CHECK("the unknown file is refused", get_unknown),
		CHECK("a token that never was is refused", get_nothing),
		CHECK("the session is finished", finish),
		STEP("everything is closed", close_all),
	};

	if (stage > 1)
		return v_run(after, ARRAY_SIZE(after), NULL);
	return kexec_after(before, ARRAY_SIZE(before), NULL);
}
