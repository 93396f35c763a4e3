// SPDX-License-Identifier: GPL-2.0-only
/* What is refused around PASIDs, with which errno, and that nothing changed. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"
#include "pasid.h"

#define NO_ID		0x7ffffff0
#define OTHER_PASID	6	/* in no plan */

static struct pasid_device *first(struct pasid_test *t, enum kind kind)
{
	struct pasid_device *d;

	for_each_dev(t, d)
		if (d->kind == kind)
			return d;
	return NULL;
}

static int set(struct pasid_test *t, struct pasid_device *d, uint32_t pasid,
	       uint32_t disposition)
{
	return iommufd_disposition(t->iommufd, d->dev_id, pasid, disposition);
}

/* What userspace can ask beforehand. */
int pasid_caps(void *p)
{
	uint64_t caps, want = IOMMU_HW_CAP_LIVEUPDATE_DOMAIN |
			      IOMMU_HW_CAP_LIVEUPDATE_PASID;
	struct pasid_test *t = p;
	struct pasid_device *d;
	int rc, bad = 0;

	for_each_dev(t, d) {
		rc = iommufd_hw_info(pasid_iommufd(t, d), d->dev_id, &caps);
		if (rc)
			return v_error(rc, "IOMMU_GET_HW_INFO");
		if (d->ats)
			want |= IOMMU_HW_CAP_LIVEUPDATE_ATS;
		if ((caps & want) == want)
			continue;
		v_note("%s: capabilities %#llx", d->bdf,
		       (unsigned long long)caps);
		bad = -EIO;
	}
	return bad;
}

static int sizes(struct pasid_test *t, struct pasid_device *d)
{
	struct {
		struct iommu_device_liveupdate arg;
		uint64_t tail;
	} big = {
		.arg = {
			.size = sizeof(big), .dev_id = d->dev_id,
			.pasid = OTHER_PASID,
		},
		.tail = 1,
	};
	int fd = t->iommufd, bad = 0;

	bad |= pasid_want(sys_ioctl(fd, IOMMU_DEVICE_LIVEUPDATE, &big), -E2BIG,
			  "an unknown tail");
	big.tail = 0;
	bad |= pasid_want(sys_ioctl(fd, IOMMU_DEVICE_LIVEUPDATE, &big), -ENOENT,
			  "a zero tail");
	big.arg.size = 8;
	bad |= pasid_want(sys_ioctl(fd, IOMMU_DEVICE_LIVEUPDATE, &big), -EINVAL,
			  "too short");
	big.arg.size = sizeof(big.arg);
	big.arg.flags = 1;
	bad |= pasid_want(sys_ioctl(fd, IOMMU_DEVICE_LIVEUPDATE, &big),
			  -EOPNOTSUPP, "an unknown flag");
	return bad;
}

int pasid_refuse_unattached(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d = t->s->dev;
	uint32_t keep = IOMMU_DEVICE_LIVEUPDATE_PRESERVE;
	int bad = sizes(t, d);

	bad |= pasid_want(iommufd_disposition(t->iommufd, NO_ID, OTHER_PASID,
					      keep), -ENOENT, "no such device");
	bad |= pasid_want(iommufd_disposition(t->iommufd, t->s->hwpt[AREA_B],
					      OTHER_PASID, keep),
			  -ENOENT, "the id of a page table");
	bad |= pasid_want(set(t, d, OTHER_PASID, keep), -ENOENT,
			  "PRESERVE where nothing is attached");
	bad |= pasid_want(set(t, d, OTHER_PASID, 0), -ENOENT,
			  "UNSET where nothing is attached");
	bad |= pasid_want(set(t, d, 0, keep), -EINVAL, "no PASID");
	bad |= pasid_want(set(t, d, OTHER_PASID, 2), -EINVAL,
			  "a reserved disposition");
	return bad;
}

/* Then all PASIDs that are to be kept are set to be. */
int pasid_refuse_attached(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	struct attachment *a;
	int bad = 0;

	for_each_kept(t, d) {
		for_each_att(d, a) {
			if (!a->keep || bad)
				continue;
			bad |= pasid_want(set(t, d, a->pasid, 2), -EINVAL,
					  "a reserved disposition");
			bad |= pasid_want(set(t, d, a->pasid, 1), 0,
					  "PRESERVE");
			bad |= pasid_want(set(t, d, a->pasid, 0), 0, "UNSET");
			bad |= pasid_want(set(t, d, a->pasid, 1), 0,
					  "PRESERVE again");
		}
		bad |= pasid_want(set(t, d, OTHER_PASID, 1), -ENOENT,
				  "a PASID beside the attached ones");
	}
	return bad;
}

/* Replace keeps the disposition, detach forgets it; what is refused tells. */
int pasid_detach_forgets(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	int bad = 0;

	for_each_dev(t, d) {
		if (d->kind != KIND_SOME)
			continue;
		bad |= pasid_want(pasid_attach(t, d, &d->p[1], AREA_C), 0,
				  "replace");
		bad |= pasid_want(pasid_keep(t, d, &d->p[3]), 0, "PRESERVE");
		bad |= pasid_want(pasid_detach(t, d, &d->p[3]), 0, "detach");
		bad |= pasid_want(pasid_attach(t, d, &d->p[3], AREA_D), 0,
				  "attach");
	}
	return bad;
}

/* A PASID on a page table that is not marked: the iommufd is refused. */
int pasid_refuse_unmarked(void *p)
{
	struct attachment a = { .pasid = OTHER_PASID };
	struct pasid_test *t = p;
	struct pasid_device *d = first(t, KIND_ONE);
	int bad = 0;

	if (!d)
		return STEP_SKIP;
	bad |= pasid_want(pasid_attach(t, d, &a, AREA_UNMARKED), 0, "attach");
	bad |= pasid_want(pasid_keep(t, d, &a), 0, "PRESERVE");
	bad |= pasid_want(luo_preserve(t->session, t->iommufd, 2), -EOPNOTSUPP,
			  "the iommufd");
	bad |= pasid_want(pasid_detach(t, d, &a), 0, "detach");
	return bad;
}

static int preserve(struct pasid_test *t, struct pasid_device *d, int wanted,
		    const char *what)
{
	static struct iommu_liveupdate_object before[MAX_LISTED];
	static struct iommu_liveupdate_object after[MAX_LISTED];
	int n = pasid_list(t, before), bad;

	bad = pasid_want(luo_preserve(t->session, t->vfio[d->index],
				      pasid_token(d)), wanted, what);
	if (wanted && (n < 0 || pasid_list(t, after) != n ||
		       memcmp(before, after, n * sizeof(*before))))
		bad |= v_error(0, "the objects are not as before");
	return bad;
}

/* Success would have lost the PASIDs that nobody decided about. */
int pasid_refuse_unset(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	int bad = 0;

	for_each_dev(t, d) {
		if (d->kind != KIND_UNSET && d->kind != KIND_SOME)
			continue;
		bad |= preserve(t, d, -EOPNOTSUPP, d->bdf);
	}
	return bad;
}

/* A page table that is not marked, attached after the iommufd was preserved. */
int pasid_refuse_late(void *p)
{
	struct attachment a = { .pasid = OTHER_PASID };
	struct pasid_test *t = p;
	struct pasid_device *d = first(t, KIND_ONE);
	int bad = 0;

	if (!d)
		return STEP_SKIP;
	bad |= pasid_want(pasid_attach(t, d, &a, AREA_UNMARKED), 0, "attach");
	bad |= preserve(t, d, -EOPNOTSUPP, "UNSET");
	bad |= pasid_want(pasid_keep(t, d, &a), 0, "PRESERVE");
	bad |= preserve(t, d, -EINVAL, "PRESERVE, not in the marked set");
	bad |= pasid_want(pasid_detach(t, d, &a), 0, "detach");
	return bad;
}

/* Userspace decides: after that nothing is lost unasked. */
int pasid_decide(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	int bad = 0;

	for_each_dev(t, d) {
		if (d->kind == KIND_UNSET) {
			bad |= pasid_want(pasid_detach(t, d, &d->p[0]), 0,
					  "detach the first");
			bad |= preserve(t, d, -EOPNOTSUPP, "one is left");
			bad |= pasid_want(pasid_detach(t, d, &d->p[1]), 0,
					  "detach the last");
		}
		if (d->kind == KIND_SOME) {
			bad |= pasid_want(pasid_detach(t, d, &d->p[2]), 0,
					  "detach");
			bad |= preserve(t, d, -EOPNOTSUPP,
				       "attached again, so not set again");
			bad |= pasid_want(pasid_keep(t, d, &d->p[3]), 0,
					  "PRESERVE");
		}
	}
	return bad;
}

static int frozen_device(struct pasid_test *t, struct pasid_device *d)
{
	struct attachment a = { .pasid = OTHER_PASID };
	struct attachment *b;
	int bad = 0;

	bad |= pasid_want(pasid_attach(t, d, &a, AREA_UNMARKED), -EBUSY,
			  "attach");
	bad |= pasid_want(vfio_detach(t->vfio[d->index]), -EBUSY,
			  "detach without a PASID");
	for_each_att(d, b) {
		if (b->area == NO_AREA)
			continue;
		bad |= pasid_want(pasid_attach(t, d, b, AREA_UNMARKED), -EBUSY,
				  "replace");
		bad |= pasid_want(pasid_detach(t, d, b), -EBUSY, "detach");
		bad |= pasid_want(set(t, d, b->pasid, 0), -EBUSY, "UNSET");
		bad |= pasid_want(set(t, d, b->pasid, 1), -EBUSY, "PRESERVE");
	}
	return bad;
}

int pasid_frozen(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	int bad = 0;

	for_each_kept(t, d)
		bad |= frozen_device(t, d);
	return bad;
}

/* After backing out everything can be changed again. */
int pasid_thawed(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	struct attachment *a;
	uint32_t area;
	int bad = 0;

	for_each_kept(t, d) {
		for_each_att(d, a) {
			area = a->area;
			if (area == NO_AREA)
				continue;
			bad |= pasid_want(pasid_attach(t, d, a, AREA_UNMARKED),
					  0, "replace");
			bad |= pasid_want(pasid_detach(t, d, a), 0, "detach");
			bad |= pasid_want(pasid_attach(t, d, a, area), 0,
					  "attach");
			bad |= pasid_want(pasid_keep(t, d, a), 0, "PRESERVE");
		}
	}
	return bad;
}

/* Legacy mode: no PASIDs, which userspace can know beforehand. */
static struct pasid_test legacy;

static int legacy_set_up(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	uint32_t ioas;
	int rc;

	memset(t->vfio, -1, sizeof(t->vfio));
	rc = pasid_bind_drivers(t);
	if (rc)
		return rc;
	d = t->s->dev;
	t->left_iommufd = -1;
	t->iommufd = iommufd_open();
	t->vfio[0] = vfio_open(d->bdf);
	if (t->iommufd < 0 || t->vfio[0] < 0)
		return v_error(0, "no iommufd or no VFIO device");
	rc = vfio_bind(t->vfio[0], t->iommufd, &d->dev_id);
	if (!rc)
		rc = iommufd_ioas_alloc(t->iommufd, &ioas);
	if (!rc)
		rc = iommufd_hwpt_alloc_flags(t->iommufd, d->dev_id, ioas,
					      IOMMU_HWPT_ALLOC_PASID,
					      &t->s->hwpt[AREA_B]);
	if (!rc)
		rc = vfio_attach(t->vfio[0], t->s->hwpt[AREA_B]);
	return rc ? v_error(rc, "attach the device") : 0;
}

static int legacy_caps(void *p)
{
	struct pasid_test *t = p;
	uint64_t caps;
	int rc = iommufd_hw_info(t->iommufd, t->s->dev->dev_id, &caps);

	if (rc)
		return v_error(rc, "IOMMU_GET_HW_INFO");
	if (!(caps & IOMMU_HW_CAP_LIVEUPDATE_DOMAIN))
		return v_error(0, "no IOMMU_HW_CAP_LIVEUPDATE_DOMAIN");
	return caps & IOMMU_HW_CAP_LIVEUPDATE_PASID ?
	       v_error(0, "IOMMU_HW_CAP_LIVEUPDATE_PASID") : 0;
}

/*
 * The IOMMU core attaches a PASID to a device that has none, without any effect.
 * It cannot be kept, and so a device with it cannot, until it is detached.
 */
static int legacy_refused(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d = t->s->dev;
	uint32_t hwpt = t->s->hwpt[AREA_B];
	int fd = t->vfio[0], bad = 0;

	bad |= pasid_want(vfio_attach_pasid(fd, OTHER_PASID, hwpt), 0,
			  "attach");
	bad |= pasid_want(set(t, d, OTHER_PASID,
			      IOMMU_DEVICE_LIVEUPDATE_PRESERVE), -EOPNOTSUPP,
			  "PRESERVE");
	bad |= pasid_want(set(t, d, OTHER_PASID,
			      IOMMU_DEVICE_LIVEUPDATE_UNSET), 0, "UNSET");
	bad |= pasid_want(iommufd_mark(t->iommufd, hwpt, 1, 0), 0, "mark");
	t->luo = luo_open();
	t->session = luo_create(t->luo, pasid_session);
	bad |= pasid_want(luo_preserve(t->session, t->iommufd, 2), 0,
			  "the iommufd");
	bad |= preserve(t, d, -EOPNOTSUPP, "with a PASID");
	bad |= pasid_want(vfio_detach_pasid(fd, OTHER_PASID), 0, "detach");
	bad |= preserve(t, d, 0, "without a PASID");
	pasid_close_session(t);
	return bad;
}

int pasid_legacy(void)
{
	static const struct step steps[] = {
		STEP("a device with a PASID capability is attached",
		     legacy_set_up),
		CHECK("the capability bits say no PASID", legacy_caps),
		CHECK("a PASID cannot be kept", legacy_refused),
	};
	int rc = v_run(steps, ARRAY_SIZE(steps), &legacy);

	pasid_close_files(&legacy);
	return rc;
}
