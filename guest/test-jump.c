// SPDX-License-Identifier: GPL-2.0-only
/*
 * jump: the new kernel cannot have the card back, or not all that belongs to
 * it. What it can have is whole, what it cannot have is refused, and the card
 * is stopped and an ordinary one then.
 *
 * Options, each a word of the letters v, m, i: have= what is retrieved; lost=
 * what cannot be retrieved. session=0: there is no session at all; running=1:
 * the card runs until the session is finished; gone=1: the card is not there;
 * taken=1: its ordinary driver has it; fresh=0: it cannot be used afterwards;
 * other=1: in its place is a test device, which is used afterwards.
 */
#include <errno.h>
#include <string.h>

#include "dma.h"
#include "guest.h"

static struct dma ctx;

static const char *have(void)
{
	return opt_str("have", "m");
}

static bool has_memory(void *p)
{
	(void)p;
	return strchr(have(), 'm');
}

static bool has_session(void *p)
{
	(void)p;
	return opt_u64("session", 1);
}

static bool has_none(void *p)
{
	return !has_session(p);
}

static bool loses(void *p)
{
	return has_session(p) && *opt_str("lost", "");
}

static bool runs(void *p)
{
	(void)p;
	return opt_u64("running", 0);
}

static bool is_there(void *p)
{
	(void)p;
	return !opt_u64("gone", 0);
}

static bool stands(void *p)
{
	return is_there(p) && !runs(p) && !opt_u64("taken", 0);
}

static bool stands_later(void *p)
{
	return is_there(p) && !opt_u64("taken", 0);
}

static bool is_usable(void *p)
{
	return is_there(p) && opt_u64("fresh", 1);
}

static bool has_other(void *p)
{
	(void)p;
	return opt_u64("other", 0);
}

static bool is_absent(void *p)
{
	return !is_there(p);
}

static int find_none(void *p)
{
	struct dma *d = p;
	int rc = pci_find(E1000E_VENDOR, E1000E_DEVICE, 0, d->bdf);

	return rc == -ENODEV ? 0 : v_error(rc, "it is there");
}

static int no_session(void *p)
{
	struct dma *d = p;

	d->luo = luo_open();
	if (d->luo < 0)
		return 0;
	d->session = luo_retrieve(d->luo, SESSION_NAME);
	return d->session < 0 ? 0 : v_error(0, "there is a session");
}

static int get_rest(void *p)
{
	const char *what;
	int rc;

	for (what = have(); *what; what++) {
		rc = dma_get_file(p, *what);
		if (rc)
			return rc;
	}
	return 0;
}

/* Refused for good, twice the same. */
static int get_lost(void *p)
{
	struct dma *d = p;
	const char *what;
	uint64_t token;
	int first, rc;

	for (what = opt_str("lost", ""); *what; what++) {
		token = dma_token(*what);
		first = luo_get(d->session, token);
		rc = luo_get(d->session, token);
		v_info("lost", "%c %d", *what, first);
		if (first >= 0 || rc >= 0)
			return v_error(0, "it was retrieved");
		if (first != rc || rc == -EAGAIN)
			return v_error(rc, "it may come back");
	}
	return 0;
}

static int let_go(void *p)
{
	struct dma *d = p;
	int rc = luo_finish(d->session);

	if (rc)
		return v_error(rc, "LIVEUPDATE_SESSION_FINISH");
	return dma_close_session(d);
}

int test_jump(unsigned int stage)
{
	static const struct step after[] = {
		STEP_WHEN("the card is found", dma_find, is_there),
		CHECK_WHEN("the card is not there", find_none, is_absent),
		CHECK_WHEN("the card is stopped", dma_is_stopped, stands),
		CHECK_WHEN("the card is a bus master", dma_still_mastering,
			   runs),
		SYNC("booted"),
		STEP_WHEN("there is no session", no_session, has_none),
		STEP_WHEN("the session is retrieved", dma_get_session,
			  has_session),
		STEP_WHEN("what is whole is retrieved", get_rest, has_session),
		CHECK_WHEN("what is lost is refused", get_lost, loses),
		STEP_WHEN("memory is intact", dma_memory_is_intact, has_memory),
		SYNC("retrieved"),
		CHECK_WHEN("the session is finished", let_go, has_session),
		CHECK_WHEN("the card stands still", dma_is_stopped,
			   stands_later),
		CHECK_WHEN("nothing lands in memory any more",
			   dma_memory_is_quiet, has_memory),
		SYNC("abandoned"),
		STEP("the memory is closed", dma_forget),
		STEP_WHEN("the other device is set up", testdev_new,
			  has_other),
		SYNC_WHEN("testdev", has_other),
		CHECK_WHEN("the other device is closed", testdev_close,
			   has_other),
		STEP_WHEN("the card is bound to vfio-pci", dma_bind_driver,
			  is_usable),
		STEP_WHEN("memory is made", dma_make_memory, is_usable),
		STEP_WHEN("the card is attached to its page table", dma_attach,
			  is_usable),
		STEP_WHEN("the receive ring is up", dma_ring_up, is_usable),
		SYNC_WHEN("ready", is_usable),
		CHECK_WHEN("frames arrive", dma_frames_arrive, is_usable),
		CHECK_WHEN("filled descriptors are as many as the card says",
			   dma_ring_is_consistent, is_usable),
		STEP_WHEN("everything is closed", dma_close_all, is_usable),
		SYNC("closed"),
		CHECK("the machine may sleep", machine_may_sleep),
		CHECK_WHEN("nothing is leaked", dma_no_leak, dma_has_kmemleak),
	};

	dma_init(&ctx);
	if (stage == 1)
		return dma_old_kernel(&ctx);
	return v_run(after, ARRAY_SIZE(after), &ctx);
}
