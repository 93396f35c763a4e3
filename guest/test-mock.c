// SPDX-License-Identifier: GPL-2.0-only
/*
 * mock: devices of iommufd's mock IOMMU over a kexec.
 *
 * Options: first=devices retrieves a device before what it depends on.
 */
#include <string.h>

#include "guest.h"
#include "mock.h"

static struct mock_kit kit;

static int set_up(void *p)
{
	return mock_kit_open(p, 2, 3);
}

static int preserve(void *p)
{
	int rc = mock_kit_session(p, MOCK_SESSION);

	return rc ? rc : mock_kit_preserve(p);
}

static int frozen(void *p)
{
	return mock_kit_frozen(p);
}

static int cancel(void *p)
{
	mock_kit_end_session(p);
	return 0;
}

static int mutable(void *p)
{
	return mock_kit_mutable(p);
}

/* The memfd has a pin of its own until the session is finished. */
static int mapped(void *p)
{
	return mock_kit_mapped(p, 2);
}

static int finished(void *p)
{
	int rc = mock_kit_mapped(p, 1);

	return rc ? rc : mock_kit_mutable(p);
}

static int retrieve(void *p)
{
	return mock_kit_retrieve(p, MOCK_SESSION,
				 !strcmp(opt_str("first", ""), "devices"));
}

static int finish(void *p)
{
	struct mock_kit *k = p;
	int rc = luo_finish(k->session);

	return rc ? v_error(rc, "LIVEUPDATE_SESSION_FINISH") : 0;
}

static const struct step old_kernel[] = {
	STEP("mock devices are attached", set_up),
	STEP("everything is preserved", preserve),
	CHECK("nothing of it can change", frozen),
	STEP("the session is closed", cancel),
	CHECK("everything can change", mutable),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("everything is preserved again", preserve),
	SYNC("kexec"),
};

static const struct step new_kernel[] = {
	SYNC("booted"),
	STEP("everything is retrieved", retrieve),
	CHECK("the objects are the same, no attachment was written",
	      mock_kit_same),
	CHECK("the page tables are the same", mapped),
	CHECK("map, unmap, replace and dirty tracking work", mutable),
	STEP("the session is finished", finish),
	CHECK("the page tables still are the same, and changeable", finished),
	STEP("the session is closed", cancel),
	STEP("everything is preserved once more", preserve),
	CHECK("nothing of it can change once more", frozen),
	STEP("and that session is closed", cancel),
	CHECK("everything can change again", mutable),
	STEP("everything is closed", mock_kit_close),
};

int test_mock(unsigned int stage)
{
	if (stage > 1)
		return v_run(new_kernel, ARRAY_SIZE(new_kernel), &kit);
	return kexec_after(old_kernel, ARRAY_SIZE(old_kernel), &kit);
}
