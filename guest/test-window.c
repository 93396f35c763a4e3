// SPDX-License-Identifier: GPL-2.0-only
/*
 * window: between the freeze of a device and the jump. First with a jump that is
 * called off, because a file that is frozen later refuses; then with one that
 * takes place. Processes try to change everything all the time. The new kernel's
 * half is that of the test "dma".
 *
 * The kernel stays at the point where the device is frozen, if it is one that
 * can: liveupdate_delay=frozen:MS.
 */
#include <errno.h>
#include <unistd.h>

#include "dma.h"
#include "frozen.h"
#include "guest.h"
#include "kit.h"

static struct dma ctx;

static int called_off(void *p)
{
	struct dma *d = p;
	int bad = 0;

	/* In this order: who has the log open already shares its place in it. */
	bad |= hammer_start(d);
	kmsg_skip();
	bad |= want(kexec_jump(), -EBUSY, "reboot(KEXEC)");
	hammer_stop();
	bad |= kmsg_refusal("iommufd", "came into use, not kept");
	return bad | hammer_result(d);
}

static int start(void *p)
{
	return hammer_start(p);
}

static int session_again(void *p)
{
	dma_close_session(p);
	dma_refuse_no_more();
	return dma_preserve_all(p);
}

static int old_kernel(struct dma *d)
{
	static const struct step steps[] = {
		FROZEN_STEPS_PRESERVED,
		STEP("a file that is frozen later will refuse",
		     dma_refuse_later),
		CHECK("a jump is called off, nothing changed meanwhile",
		      called_off),
		CHECK("DMA goes on after it", dma_goes_on),
		STEP("without that file all is preserved again", session_again),
		STEP("the objects are listed", dma_list_objects),
		SYNC("preserved"),
		STEP("DMA goes on", dma_goes_on),
		STEP("frames are contiguous and written down", dma_write_down),
		SYNC("kexec"),
		STEP("processes try to change everything", start),
	};
	int rc = v_run(steps, ARRAY_SIZE(steps), d);

	if (rc)
		return rc;
	v_error(kexec_jump(), "the jump");
	return VERDICT_FAIL;
}

int test_window(unsigned int stage)
{
	if (stage > 1)
		return test_dma(stage);
	dma_init(&ctx);
	return old_kernel(&ctx);
}
