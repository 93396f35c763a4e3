// SPDX-License-Identifier: GPL-2.0-only
/*
 * memfd: memory that no device uses keeps its content through a kexec.
 *
 * Options: size= (64M); hops= how many times the kernel is replaced (1).
 */
#include <errno.h>
#include <unistd.h>
#include <sys/mman.h>

#include "guest.h"
#include "hw.h"

#define SESSION		"ferry-memfd"
#define TOKEN		0x600000007ULL
#define SEED		0x6d656d6664ULL

static struct luo_session s;
static int memfd;
static uint64_t len;
static void *mem;

static int fill(void *p)
{
	(void)p;
	memfd = make_memfd("memory", len, &mem);
	if (memfd < 0)
		return v_error(memfd, "memfd");
	pattern_fill(mem, len, SEED);
	return 0;
}

static int preserve(void *p)
{
	(void)p;
	return luo_session_keep(&s, SESSION, memfd, TOKEN);
}

static int retrieve(void *p)
{
	(void)p;
	s.luo = luo_open();
	if (s.luo < 0)
		return v_error(s.luo, "open /dev/liveupdate");
	s.fd = luo_retrieve(s.luo, SESSION);
	if (s.fd < 0)
		return v_error(s.fd, "the session");
	memfd = luo_get(s.fd, TOKEN);
	return memfd < 0 ? v_error(memfd, "retrieve the memfd") : 0;
}

static int intact(void *p)
{
	size_t wrong;

	(void)p;
	if (mem)
		munmap(mem, len);
	mem = mmap(NULL, len, PROT_READ, MAP_SHARED, memfd, 0);
	if (mem == MAP_FAILED)
		return v_error(-errno, "mmap");
	wrong = pattern_check(mem, len, SEED);
	v_info("wrong_words", "%zu", wrong);
	return wrong ? -EIO : 0;
}

static int finish(void *p)
{
	(void)p;
	return luo_session_finish(&s);
}

static int close_session(void *p)
{
	(void)p;
	luo_session_close(&s);
	return 0;
}

static int close_all(void *p)
{
	munmap(mem, len);
	close(memfd);
	return close_session(p);
}

static const struct step first[] = {
	STEP("memory is filled", fill),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("the memfd is preserved", preserve),
	SYNC("kexec"),
};

static const struct step between[] = {
	SYNC("booted"),
	STEP("the memfd is retrieved", retrieve),
	STEP("its content is intact", intact),
	STEP("the session is finished", finish),
	STEP("the session is closed", close_session),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("the memfd is preserved once more", preserve),
	SYNC("kexec"),
};

static const struct step last[] = {
	SYNC("booted"),
	STEP("the memfd is retrieved", retrieve),
	STEP("its content is intact", intact),
	STEP("the session is finished", finish),
	CHECK("its content is still intact", intact),
	STEP("everything is closed", close_all),
};

int test_memfd(unsigned int stage)
{
	len = opt_size("size", 64 * MIB);
	if (stage > opt_u64("hops", 1))
		return v_run(last, ARRAY_SIZE(last), NULL);
	if (stage == 1)
		return kexec_after(first, ARRAY_SIZE(first), NULL);
	return kexec_after(between, ARRAY_SIZE(between), NULL);
}
