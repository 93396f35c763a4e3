// SPDX-License-Identifier: GPL-2.0-only
/*
 * iommufd-basic: what the new calls of iommufd take and refuse, with which errno,
 * where nothing is preserved. No kexec.
 */
#include <errno.h>
#include <unistd.h>

#include "dma.h"
#include "guest.h"
#include "kit.h"

#define NO_ID	0x7ffffff0

static struct dma ctx;
static uint32_t spare_hwpt;

static int mark_refused(void *p)
{
	struct dma *d = p;
	uint32_t hwpt = d->state->hwpt_id;
	int fd = d->iommufd, bad = 0;

	bad |= want(iommufd_mark(fd, NO_ID, 1, 0), -ENOENT, "no such id");
	bad |= want(iommufd_mark(fd, d->state->dev_id, 1, 0), -EINVAL,
		    "a device's id");
	bad |= want(iommufd_mark(fd, hwpt, 1, 0x80), -EOPNOTSUPP,
		    "an unknown flag");
	return bad;
}

static int mark_sizes(void *p)
{
	struct {
		struct iommu_hwpt_liveupdate arg;
		uint64_t tail;
	} big = { .arg = { .size = sizeof(big) }, .tail = 1 };
	struct dma *d = p;
	int bad = 0;

	big.arg.hwpt_id = d->state->hwpt_id;
	bad |= want(sys_ioctl(d->iommufd, IOMMU_HWPT_LIVEUPDATE, &big), -E2BIG,
		    "an unknown tail");
	big.arg.size = 4;
	bad |= want(sys_ioctl(d->iommufd, IOMMU_HWPT_LIVEUPDATE, &big), -EINVAL,
		    "too short");
	big.arg.size = sizeof(big);
	big.arg.token = 5;
	big.tail = 0;
	bad |= want(sys_ioctl(d->iommufd, IOMMU_HWPT_LIVEUPDATE, &big), 0,
		    "a zero tail");
	bad |= want(iommufd_mark(d->iommufd, d->state->hwpt_id, 5,
				 IOMMU_HWPT_LIVEUPDATE_UNMARK), 0, "unmark");
	return bad;
}

static int second_hwpt(void *p)
{
	struct dma *d = p;
	int rc;

	rc = iommufd_hwpt_alloc(d->iommufd, d->state->dev_id,
				d->state->ioas_id, &spare_hwpt);
	return rc ? v_error(rc, "IOMMU_HWPT_ALLOC") : 0;
}

static int tokens(void *p)
{
	struct dma *d = p;
	uint32_t hwpt = d->state->hwpt_id;
	uint64_t token = 0x100000001ULL;
	int fd = d->iommufd, bad = 0;

	bad |= want(iommufd_mark(fd, hwpt, token, 0), 0, "mark");
	bad |= want(iommufd_mark(fd, spare_hwpt, token, 0), -EADDRINUSE,
		    "a token that is taken");
	bad |= want(iommufd_mark(fd, spare_hwpt, 1, 0), 0,
		    "a token that differs in the upper half");
	bad |= want(iommufd_mark(fd, hwpt, token, IOMMU_HWPT_LIVEUPDATE_UNMARK),
		    0, "unmark");
	bad |= want(iommufd_mark(fd, spare_hwpt, 1,
				 IOMMU_HWPT_LIVEUPDATE_UNMARK), 0, "unmark");
	return bad;
}

static int pasid_refused(void *p)
{
	struct dma *d = p;
	struct iommu_device_liveupdate arg = {
		.size = sizeof(arg), .dev_id = d->state->dev_id, .pasid = 7,
		.disposition = 99,
	};
	int fd = d->iommufd, bad = 0, rc;

	rc = sys_ioctl(fd, IOMMU_DEVICE_LIVEUPDATE, &arg);
	if (rc >= 0 || rc == -ENOTTY)
		bad |= want(rc, -EINVAL, "an unknown disposition");
	arg.disposition = IOMMU_DEVICE_LIVEUPDATE_PRESERVE;
	rc = sys_ioctl(fd, IOMMU_DEVICE_LIVEUPDATE, &arg);
	if (rc >= 0 || rc == -ENOTTY)
		bad |= want(rc, -ENOENT, "a PASID that is not attached");
	arg.pasid = 0;
	rc = sys_ioctl(fd, IOMMU_DEVICE_LIVEUPDATE, &arg);
	if (rc >= 0 || rc == -ENOTTY)
		bad |= want(rc, -EINVAL, "no PASID");
	arg.pasid = 7;
	arg.flags = 1;
	bad |= want(sys_ioctl(fd, IOMMU_DEVICE_LIVEUPDATE, &arg), -EOPNOTSUPP,
		    "an unknown flag");
	return bad;
}

static int objects(void *p)
{
	struct iommu_liveupdate_object o[MAX_OBJECTS];
	struct iommu_liveupdate_objects none = { .size = sizeof(none) };
	struct dma *d = p;
	int bad = 0, n, rc;
	uint32_t state;

	rc = iommufd_mark(d->iommufd, d->state->hwpt_id, 9, 0);
	if (rc)
		return v_error(rc, "mark");
	n = iommufd_objects(d->iommufd, o, MAX_OBJECTS, &state);
	rc = sys_ioctl(d->iommufd, IOMMU_LIVEUPDATE_OBJECTS, &none);
	iommufd_mark(d->iommufd, d->state->hwpt_id, 9,
		     IOMMU_HWPT_LIVEUPDATE_UNMARK);
	if (n < 0)
		return v_error(n, "IOMMU_LIVEUPDATE_OBJECTS");
	bad |= want(n, 3, "objects: an IOAS, an HWPT, a device");
	bad |= want(state, 0, "the state");
	bad |= want(rc, -EMSGSIZE, "no array");
	bad |= want(none.count, n, "the count with no array");
	none.flags = 1;
	bad |= want(sys_ioctl(d->iommufd, IOMMU_LIVEUPDATE_OBJECTS, &none),
		    -EOPNOTSUPP, "an unknown flag");
	return bad;
}

static int capability(void *p)
{
	struct dma *d = p;

	if (d->state->caps & IOMMU_HW_CAP_LIVEUPDATE_DOMAIN)
		return 0;
	return v_error(0, "no IOMMU_HW_CAP_LIVEUPDATE_DOMAIN");
}

int test_iommufd_basic(unsigned int stage)
{
	static const struct step steps[] = {
		STEP("the card is bound to vfio-pci", dma_bind_driver),
		STEP("memory is made", dma_make_memory),
		STEP("the card is attached to its page table", dma_attach),
		STEP("a second page table is made", second_hwpt),
		CHECK("the capability is told", capability),
		CHECK("marks that are refused", mark_refused),
		CHECK("sizes of the struct", mark_sizes),
		CHECK("tokens are unique and have 64 bits", tokens),
		CHECK("dispositions that are refused", pasid_refused),
		CHECK("objects are counted", objects),
		STEP("everything is closed", dma_close_all),
	};

	(void)stage;
	dma_init(&ctx);
	return v_run(steps, ARRAY_SIZE(steps), &ctx);
}
