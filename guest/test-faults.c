// SPDX-License-Identifier: GPL-2.0-only
/*
 * faults: one allocation after the other fails in each call of the journey of a
 * network card that goes on receiving. The new kernel's half is that of the test
 * "dma", which does the same with its calls when it has the option faults=1.
 */
#include <errno.h>
#include <unistd.h>
#include <sys/reboot.h>

#include "dma.h"
#include "failnth.h"
#include "guest.h"

static struct dma ctx;

static int sweep(const char *what, int (*try)(void *), int (*undo)(void *))
{
	struct failnth f = { .what = what };

	return dma_sweep(&f, try, undo, &ctx);
}

static int create(void *p)
{
	struct dma *d = p;

	d->luo = luo_open();
	if (d->luo < 0)
		return d->luo;
	d->session = luo_create(d->luo, SESSION_NAME);
	if (d->session < 0) {
		close(d->luo);
		d->luo = -1;
	}
	return d->session;
}

static int put_memfd(void *p)
{
	struct dma *d = p;

	return luo_preserve(d->session, d->memfd, dma_token_memfd());
}

static int put_iommufd(void *p)
{
	struct dma *d = p;

	return luo_preserve(d->session, d->iommufd, dma_token_iommufd());
}

static int put_vfio(void *p)
{
	struct dma *d = p;

	return luo_preserve(d->session, d->vfio, dma_token_vfio());
}

static int upto_session(void *p)
{
	int rc;

	dma_close_session(p);
	rc = create(p);
	return rc < 0 ? rc : 0;
}

static int upto_memfd(void *p)
{
	int rc = upto_session(p);

	return rc ? rc : put_memfd(p);
}

static int upto_iommufd(void *p)
{
	int rc = upto_memfd(p);

	return rc ? rc : put_iommufd(p);
}

static int upto_vfio(void *p)
{
	int rc = upto_iommufd(p);

	return rc ? rc : put_vfio(p);
}

static int sweep_create(void *p)
{
	(void)p;
	return sweep("create a session", create, dma_close_session);
}

static int sweep_memfd(void *p)
{
	(void)p;
	return sweep("preserve the memfd", put_memfd, upto_session);
}

static int sweep_iommufd(void *p)
{
	(void)p;
	return sweep("preserve the iommufd", put_iommufd, upto_memfd);
}

static int sweep_vfio(void *p)
{
	(void)p;
	return sweep("preserve the VFIO device", put_vfio, upto_iommufd);
}

/* What cannot fail must not allocate, or do without what it asked for. */
static int sweep_close(void *p)
{
	int rc = sweep("close the session", dma_close_session, upto_vfio);

	return rc ? rc : upto_vfio(p);
}

/* The jump never takes place: all is frozen but for the last file. */
static int freeze(void *p)
{
	(void)p;
	if (!reboot(RB_KEXEC))
		return -EIO;
	return errno == EBUSY ? 0 : -errno;
}

static int is_thawed(void *p)
{
	return dma_goes_on(p);
}

static int sweep_freeze(void *p)
{
	(void)p;
	return sweep("freeze, and unfreeze", freeze, is_thawed);
}

static int without_late(void *p)
{
	int rc = upto_vfio(p);

	dma_refuse_no_more();
	return rc;
}

static int open_faults(void *p)
{
	(void)p;
	return failnth_open();
}

static int old_kernel(struct dma *d)
{
	static const struct step steps[] = {
		STEP("failures can be injected", open_faults),
		DMA_STEPS_READY,
		STEP("frames arrive", dma_frames_arrive),
		STEP("the next kernel is loaded", kexec_load_next),
		STEP("the page table is marked", dma_mark),
		STEP("each failure: create a session", sweep_create),
		STEP("each failure: preserve the memfd", sweep_memfd),
		STEP("each failure: preserve the iommufd", sweep_iommufd),
		STEP("each failure: preserve the device", sweep_vfio),
		STEP("DMA goes on", dma_goes_on),
		STEP("each failure: close the session", sweep_close),
		STEP("a file that is frozen later will refuse",
		     dma_refuse_later),
		STEP("each failure: freeze and unfreeze", sweep_freeze),
		STEP("without that file all is preserved again", without_late),
		STEP("the objects are listed", dma_list_objects),
		SYNC("preserved"),
		STEP("DMA goes on after it", dma_goes_on),
		STEP("frames are contiguous and written down", dma_write_down),
		CHECK_WHEN("nothing is leaked", dma_no_leak, dma_has_kmemleak),
		SYNC("kexec"),
	};
	int rc = v_run(steps, ARRAY_SIZE(steps), d);

	if (rc)
		return rc;
	v_error(kexec_jump(), "the jump");
	return VERDICT_FAIL;
}

int test_faults(unsigned int stage)
{
	if (stage > 1)
		return test_dma(stage);
	dma_init(&ctx);
	return old_kernel(&ctx);
}
