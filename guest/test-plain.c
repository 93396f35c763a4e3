// SPDX-License-Identifier: GPL-2.0-only
/* Nothing is preserved: kexec, reboot and power-off are what they were. */
#include <sys/reboot.h>

#include "guest.h"

static int booted(void *p)
{
	(void)p;
	return 0;
}

int test_plain_kexec(unsigned int stage)
{
	static const struct step before[] = {
		STEP("the next kernel is loaded", kexec_load_next),
		SYNC("kexec"),
	};
	static const struct step after[] = {
		STEP("the next kernel has booted", booted),
		SYNC("booted"),
		CHECK("the machine may sleep", machine_may_sleep),
	};

	if (stage > 1)
		return v_run(after, ARRAY_SIZE(after), NULL);
	return kexec_after(before, ARRAY_SIZE(before), NULL);
}

int test_plain_poweroff(unsigned int stage)
{
	static const struct step steps[] = {
		STEP("the kernel has booted", booted),
		SYNC("poweroff"),
	};

	(void)stage;
	return v_run(steps, ARRAY_SIZE(steps), NULL);
}

int test_plain_reboot(unsigned int stage)
{
	static const struct step steps[] = {
		STEP("the kernel has booted", booted),
		SYNC("reboot"),
	};
	int rc;

	(void)stage;
	rc = v_run(steps, ARRAY_SIZE(steps), NULL);
	if (rc)
		return rc;
	v_line("# exit %d", rc);
	v_drain();
	reboot(RB_AUTOBOOT);
	return VERDICT_FAIL;
}
