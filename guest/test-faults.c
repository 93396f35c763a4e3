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
#include "kit.h"

#define RB_KEXEC	0x45584543

static struct dma ctx;
static struct kit late;

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

/* The last file of the session is an iommufd with a device that is not kept. */
static int refuse_later(void *p)
{
	const char *bdf = opt_str("second", "0000:00:06.0");
	struct dma *d = p;
	int rc;

	rc = pci_bind_vfio(bdf);
	if (!rc)
		rc = kit_open(&late, bdf, KIT_ALL & ~KIT_SESSION);
	if (!rc)
		rc = luo_preserve(d->session, late.memfd, KIT_TOKEN);
	if (!rc)
		rc = luo_preserve(d->session, late.iommufd, KIT_TOKEN + 1);
	return rc ? v_error(rc, "a second iommufd") : 0;
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

	kit_close(&late);
	return rc;
}

static int list_objects(void *p)
{
	struct dma *d = p;
	uint32_t state;
	int n;

	n = iommufd_objects(d->iommufd, d->state->objects, MAX_OBJECTS, &state);
	if (n < 0)
		return v_error(n, "IOMMU_LIVEUPDATE_OBJECTS");
	d->state->nr_objects = n;
	return 0;
}

static int write_down(void *p)
{
	struct dma *d = p;

	frames_scan(&d->rx, &d->nic);
	d->state->frames = d->rx.count;
	d->state->last_seq = d->rx.last_seq;
	return d->rx.holes || d->rx.corrupt || d->rx.dups ? -EIO : 0;
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
		STEP("the card is bound to vfio-pci", dma_bind_driver),
		STEP("memory is made", dma_make_memory),
		STEP("the card is attached to its page table", dma_attach),
		STEP("the receive ring is up", dma_ring_up),
		SYNC("ready"),
		STEP("frames arrive", dma_frames_arrive),
		STEP("the next kernel is loaded", dma_load_next),
		STEP("the page table is marked", dma_mark),
		STEP("each failure: create a session", sweep_create),
		STEP("each failure: preserve the memfd", sweep_memfd),
		STEP("each failure: preserve the iommufd", sweep_iommufd),
		STEP("each failure: preserve the device", sweep_vfio),
		STEP("DMA goes on", dma_goes_on),
		STEP("each failure: close the session", sweep_close),
		STEP("a file that is frozen later will refuse", refuse_later),
		STEP("each failure: freeze and unfreeze", sweep_freeze),
		STEP("without that file all is preserved again", without_late),
		STEP("the objects are listed", list_objects),
		SYNC("preserved"),
		STEP("DMA goes on after it", dma_goes_on),
		STEP("frames are contiguous and written down", write_down),
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
