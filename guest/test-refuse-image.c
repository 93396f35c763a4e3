// SPDX-License-Identifier: GPL-2.0-only
/*
 * refuse-image: while a device is kept, no kernel is loaded that could not
 * take it over; with such a kernel loaded no device is kept; and a refusal
 * changes nothing.
 *
 * Option kind=: no-word, no-kho (the image is /boot/other/bzImage), memory (the
 * next kernel, with a command line that takes memory away) or kexec-load (the
 * older system call).
 */
#include <errno.h>
#include <string.h>

#include "dma.h"
#include "guest.h"

static struct dma ctx;

static int load_other(void)
{
	const char *kind = opt_str("kind", "no-word");
	int rc;

	if (!strcmp(kind, "kexec-load"))
		return kexec_load_old(0);
	if (!strcmp(kind, "memory")) {
		cmdline_add_next("mem=512M");
		rc = kexec_load_file(NEXT_KERNEL, NEXT_INITRD);
		cmdline_add_next(NULL);
		return rc;
	}
	return kexec_load_file(OTHER_KERNEL, NEXT_INITRD);
}

static int other_is_refused(void *p)
{
	int rc = load_other();

	(void)p;
	v_info("errno", "%d", rc < 0 ? -rc : 0);
	if (rc == -ENOSYS || rc == -ENOENT) {
		v_note(rc == -ENOSYS ? "this kernel has no kexec_load(2)" :
				       "there is no " OTHER_KERNEL);
		return STEP_SKIP;
	}
	return rc ? 0 : v_error(0, "it was loaded");
}

static int still_loaded(void *p)
{
	(void)p;
	return kexec_loaded() == 1 ? 0 : v_error(0, "nothing is loaded");
}

static int other_is_taken(void *p)
{
	int rc = load_other();

	(void)p;
	if (rc == -ENOSYS || rc == -ENOENT)
		return STEP_SKIP;
	return rc ? v_error(rc, "load") : 0;
}

static int keep(struct dma *d)
{
	int rc = dma_preserve_memfd(d);

	if (!rc)
		rc = dma_preserve_iommufd(d);
	return rc ? rc : luo_preserve(d->session, d->vfio, dma_token_vfio());
}

static int device_is_refused(void *p)
{
	int rc;

	if (other_is_taken(p) == STEP_SKIP)
		return STEP_SKIP;
	rc = keep(p);
	v_info("errno_device", "%d", rc < 0 ? -rc : 0);
	dma_close_session(p);
	return rc ? 0 : v_error(0, "it was preserved");
}

static int keep_again(void *p)
{
	int rc = kexec_unload();

	if (rc)
		return v_error(rc, "unload");
	rc = kexec_load_next(p);
	if (rc)
		return rc;
	rc = keep(p);
	return rc ? v_error(rc, "preserve") : 0;
}

static int contiguous(void *p)
{
	struct dma *d = p;

	frames_scan(&d->rx, &d->nic);
	frames_report(&d->rx);
	return d->rx.holes || d->rx.dups || d->rx.corrupt ? -EIO : 0;
}

int test_refuse_image(unsigned int stage)
{
	static const struct step steps[] = {
		DMA_STEPS_READY,
		STEP("frames arrive", dma_frames_arrive),
		STEP("the next kernel is loaded", kexec_load_next),
		STEP("the page table is marked", dma_mark),
		STEP("the memfd is preserved", dma_preserve_memfd),
		STEP("the iommufd is preserved", dma_preserve_iommufd),
		STEP("the VFIO device is preserved", dma_preserve_vfio),
		SYNC("preserved"),
		CHECK("the other image is refused", other_is_refused),
		CHECK("the next kernel is still loaded", still_loaded),
		CHECK("DMA goes on", dma_goes_on),
		STEP("the session is closed", dma_close_session),
		CHECK("the other image is taken now", other_is_taken),
		CHECK("the device is not kept under it", device_is_refused),
		CHECK("DMA still goes on", dma_goes_on),
		CHECK("with the next kernel it is kept again", keep_again),
		CHECK("DMA goes on to the end", dma_goes_on),
		CHECK("frames are contiguous", contiguous),
		SYNC("closed"),
		STEP("everything is closed", dma_close_all),
	};

	(void)stage;
	dma_init(&ctx);
	return v_run(steps, ARRAY_SIZE(steps), &ctx);
}
