// SPDX-License-Identifier: GPL-2.0-only
/*
 * back-down: the machine goes down for another reason while a device is kept.
 * Option how=: reboot, poweroff, emergency (sysrq), panic, or frozen: a panic
 * between the freeze of the device and the jump, with a crash kernel loaded, for
 * which the kernel stays there (liveupdate_delay=frozen:MS). The frames go on to
 * the end, and the host looks at what the device does meanwhile.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/reboot.h>

#include "back.h"
#include "guest.h"
#include "kit.h"

static struct dma ctx;

static bool frozen(void *p)
{
	(void)p;
	return !strcmp(opt_str("how", ""), "frozen");
}

/* Comes back only when it did not work. */
static int jump_and_panic(void)
{
	pid_t pid;

	kmsg_skip();
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid)
		return kexec_jump();
	while (!kmsg_count("staying at frozen for"))
		sleep_ms(2);
	dma_panic();
}

/* Comes back only when it did not work. */
static int go_down(const char *how)
{
	if (!strcmp(how, "reboot"))
		return reboot(RB_AUTOBOOT) ? -errno : -EIO;
	if (!strcmp(how, "poweroff"))
		return reboot(RB_POWER_OFF) ? -errno : -EIO;
	if (!strcmp(how, "panic"))
		dma_panic();
	if (frozen(NULL))
		return jump_and_panic();
	return write_file("/proc/sysrq-trigger", "b");
}

int test_back_down(unsigned int stage)
{
	static const struct step steps[] = {
		DMA_STEPS_READY,
		STEP("frames arrive", dma_frames_arrive),
		STEP("the next kernel is loaded", kexec_load_next),
		STEP("the page table is marked", dma_mark),
		STEP("everything is preserved", dma_preserve_all),
		STEP_WHEN("a crash kernel is loaded", dma_load_crash, frozen),
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
