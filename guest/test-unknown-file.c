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

static int luo, session, memfd;

static int load_next(void *p)
{
	int rc;

	(void)p;
	cmdline_add_next("initcall_blacklist=memfd_luo_init");
	rc = kexec_load_file(NEXT_KERNEL, NEXT_INITRD);
	return rc ? v_error(rc, "kexec_file_load") : 0;
}

static int preserve(void *p)
{
	void *mem;
	int rc;

	(void)p;
	luo = luo_open();
	if (luo < 0)
		return v_error(luo, "open /dev/liveupdate");
	session = luo_create(luo, SESSION);
	if (session < 0)
		return v_error(session, "create the session");
	memfd = make_memfd("unknown", MIB, &mem);
	if (memfd < 0)
		return v_error(memfd, "memfd");
	pattern_fill(mem, MIB, TOKEN);
	rc = luo_preserve(session, memfd, TOKEN);
	return rc ? v_error(rc, "preserve the memfd") : 0;
}

static int open_luo(void *p)
{
	(void)p;
	luo = luo_open();
	return luo < 0 ? v_error(luo, "open /dev/liveupdate") : 0;
}

static int open_session(void *p)
{
	(void)p;
	session = luo_retrieve(luo, SESSION);
	return session < 0 ? v_error(session, "the session") : 0;
}

/* Without this the test would show nothing. */
static int is_unknown(void *p)
{
	int s = luo_create(luo, "ferry-control"), rc;
	void *mem;

	(void)p;
	if (s < 0)
		return v_error(s, "create a session");
	memfd = make_memfd("control", MIB, &mem);
	rc = luo_preserve(s, memfd, 1);
	close(s);
	close(memfd);
	return rc == -ENOENT ? 0 : v_error(rc, "preserve, wanted ENOENT");
}

static int get_unknown(void *p)
{
	int rc = luo_get(session, TOKEN);

	(void)p;
	v_info("errno", "%d", rc < 0 ? -rc : 0);
	if (rc >= 0)
		return v_error(0, "it was retrieved");
	return rc == -EIO ? v_error(rc, "the reason is not told") : 0;
}

static int get_nothing(void *p)
{
	int rc = luo_get(session, TOKEN + 1);

	(void)p;
	return rc == -ENOENT ? 0 : v_error(rc, "wanted ENOENT");
}

static int finish(void *p)
{
	int rc = luo_finish(session);

	(void)p;
	return rc ? v_error(rc, "LIVEUPDATE_SESSION_FINISH") : 0;
}

static int close_all(void *p)
{
	(void)p;
	close(session);
	close(luo);
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
	int rc;

	if (stage > 1)
		return v_run(after, ARRAY_SIZE(after), NULL);
	rc = v_run(before, ARRAY_SIZE(before), NULL);
	if (rc)
		return rc;
	v_error(kexec_jump(), "the jump");
	return VERDICT_FAIL;
}
