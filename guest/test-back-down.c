// SPDX-License-Identifier: GPL-2.0-only
/*
 * back-down: the machine goes down for another reason while a device is kept.
 * Option how=: reboot, poweroff, emergency (sysrq) or panic. The frames go on
 * to the end, and the host looks at what the device does meanwhile.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/reboot.h>

#include "back.h"
#include "guest.h"

static struct dma ctx;

/* Comes back only when it did not work. */
static int go_down(const char *how)
{
	if (!strcmp(how, "reboot"))
		return reboot(RB_AUTOBOOT) ? -errno : -EIO;
	if (!strcmp(how, "poweroff"))
		return reboot(RB_POWER_OFF) ? -errno : -EIO;
	return write_file("/proc/sysrq-trigger",
			  strcmp(how, "panic") ? "b" : "c");
}

int test_back_down(unsigned int stage)
{
	static const struct step steps[] = {
		STEP("the card is bound to vfio-pci", dma_bind_driver),
		STEP("memory is made", dma_make_memory),
		STEP("the card is attached to its page table", dma_attach),
		STEP("the receive ring is up", dma_ring_up),
		SYNC("ready"),
		STEP("frames arrive", dma_frames_arrive),
		STEP("the next kernel is loaded", dma_load_next),
		STEP("the page table is marked", dma_mark),
		STEP("everything is preserved", dma_preserve_all),
		SYNC("preserved"),
		STEP("DMA goes on", dma_goes_on),
		STEP("frames are contiguous", back_contiguous),
		SYNC("down"),
	};
	int rc;

	(void)stage;
	dma_init(&ctx);
	rc = v_run(steps, ARRAY_SIZE(steps), &ctx);
	if (rc)
		return rc;
	v_line("# exit %d", rc);
	v_drain();
	go_down(opt_str("how", "reboot"));
	/* A panic takes its time; the harness waits for the machine to end */
	for (;;)
		pause();
}
