// SPDX-License-Identifier: GPL-2.0-only
/*
 * pasid: devices with attached PASIDs over a live update. Before each sync point
 * the guest says what is attached where; the host compares that with the unit's
 * tables, and writes a word through the entry of every PASID, as the device
 * would. In the new kernel the guest looks for these words.
 *
 * Options: mode=legacy for a unit that has no PASIDs; mode=abandon: in the new
 * kernel nobody retrieves a device; mode=damaged: the host damages what is handed
 * over, and nothing else is tried.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "dma.h"
#include "guest.h"
#include "pasid.h"

#define TOKEN_MEMFD	1
#define TOKEN_IOMMUFD	2
#define TOKEN_DEVICE	0x300000000ULL

const char *const pasid_session = "ferry-pasid";

static struct pasid_test test;

uint64_t pasid_token(const struct pasid_device *d)
{
	return TOKEN_DEVICE + d->index;
}

static int say(void *p)
{
	pasid_say(p);
	return 0;
}

static int mark(void *p)
{
	struct pasid_test *t = p;
	unsigned int i;
	int rc;

	for (i = 0; i < AREA_UNMARKED; i++) {
		rc = iommufd_mark(t->iommufd, t->s->hwpt[i], 10 + i, 0);
		if (rc)
			return v_error(rc, "IOMMU_HWPT_LIVEUPDATE");
	}
	return 0;
}

static int preserve_iommufd(void *p)
{
	struct pasid_test *t = p;
	int rc = luo_preserve(t->session, t->iommufd, TOKEN_IOMMUFD);

	return rc ? v_error(rc, "preserve the iommufd") : 0;
}

static int preserve_memfd(void *p)
{
	struct pasid_test *t = p;
	int rc;

	t->luo = luo_open();
	if (t->luo < 0)
		return v_error(t->luo, "open /dev/liveupdate");
	t->session = luo_create(t->luo, pasid_session);
	if (t->session < 0)
		return v_error(t->session, "create the session");
	rc = luo_preserve(t->session, t->memfd, TOKEN_MEMFD);
	return rc ? v_error(rc, "preserve the memfd") : 0;
}

/* A session that holds everything but devices. */
int pasid_open_session(struct pasid_test *t)
{
	int rc = preserve_memfd(t);

	return rc ? rc : preserve_iommufd(t);
}

static int open_session(void *p)
{
	return pasid_open_session(p);
}

void pasid_close_session(struct pasid_test *t)
{
	close(t->session);
	close(t->luo);
}

static int preserve_devices(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	int rc;

	for_each_kept(t, d) {
		rc = luo_preserve(t->session, t->vfio[d->index],
				  pasid_token(d));
		if (rc) {
			v_note("%s", d->bdf);
			return v_error(rc, "preserve the VFIO device");
		}
	}
	return say(t);
}

static int back_out(void *p)
{
	pasid_close_session(p);
	return 0;
}

static int all_again(void *p)
{
	int rc = pasid_open_session(p);

	return rc ? rc : preserve_devices(p);
}

/* Is this object the attachment of @a? Ids are as when it was attached. */
static bool is_attachment(const struct iommu_liveupdate_object *o,
			  struct pasid_test *t, const struct pasid_device *d,
			  uint32_t pasid, uint32_t area)
{
	return o->type == IOMMU_LIVEUPDATE_OBJECT_DEVICE &&
	       o->id == d->dev_id && o->pasid == pasid &&
	       o->parent_id == t->s->hwpt[area];
}

/* A device's attachments stand together, the one without a PASID first. */
static int list_is_right(struct pasid_test *t,
			 const struct iommu_liveupdate_object *o, int n)
{
	int seen = 0, devices = 0, i, nr;
	struct pasid_device *d;
	struct attachment *a;

	for (i = 0; i < n; i++)
		devices += o[i].type == IOMMU_LIVEUPDATE_OBJECT_DEVICE;
	for_each_kept(t, d) {
		for (i = 0; i < n; i++)
			if (is_attachment(&o[i], t, d, 0, AREA_NO_PASID))
				break;
		if (i == n)
			return v_error(0, "a device is not listed");
		seen++;
		nr = 0;
		for_each_att(d, a)
			nr += a->area != NO_AREA;
		for_each_att(d, a) {
			int j = i + 1;

			if (a->area == NO_AREA)
				continue;
			while (j < n && j <= i + nr &&
			       !is_attachment(&o[j], t, d, a->pasid, a->area))
				j++;
			if (j == n || j > i + nr)
				return v_error(0, "a PASID is not listed");
			seen++;
		}
	}
	v_info("attachments_listed", "%d", devices);
	return seen == devices ? 0 : v_error(0, "more is listed than there is");
}

static int list_objects(void *p)
{
	struct pasid_test *t = p;
	int n = pasid_list(t, t->s->objects);

	if (n < 0)
		return n;
	t->s->nr_objects = n;
	return list_is_right(t, t->s->objects, n);
}

static int write_down(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	int rc;

	for_each_dev(t, d) {
		rc = vfio_bar0_read32(t->vfio[d->index], 0x14, &d->done);
		if (rc)
			return v_error(rc, "the device's registers");
	}
	return 0;
}

static const struct step old_kernel[] = {
	STEP("the devices are bound to vfio-pci", pasid_bind_drivers),
	STEP("memory is made", pasid_make_memory),
	STEP("the devices are attached and do DMA", pasid_set_up),
	CHECK("the capability bits say that PASIDs can be kept", pasid_caps),
	CHECK("dispositions are refused where nothing is attached",
	      pasid_refuse_unattached),
	STEP("PASIDs are attached", pasid_attach_all),
	CHECK("dispositions of attached PASIDs", pasid_refuse_attached),
	CHECK("replace keeps a disposition, detach forgets it",
	      pasid_detach_forgets),
	STEP("the host is told what is attached", say),
	SYNC("ready"),
	CHECK("what is written through PASIDs is where it must be",
	      pasid_check_slots),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("page tables are marked", mark),
	STEP("the memfd is preserved", preserve_memfd),
	CHECK("a PASID on an unmarked page table: the iommufd is refused",
	      pasid_refuse_unmarked),
	STEP("the iommufd is preserved", preserve_iommufd),
	CHECK("an unset PASID: the device is refused, nothing has changed",
	      pasid_refuse_unset),
	CHECK("a PASID outside the marked set: the device is refused",
	      pasid_refuse_late),
	SYNC("refused"),
	CHECK("detached or set, they are refused no longer", pasid_decide),
	STEP("the devices are preserved", preserve_devices),
	CHECK("attach, replace, detach and set are refused while preserved",
	      pasid_frozen),
	SYNC("first"),
	STEP("the session is closed", back_out),
	CHECK("attach, replace, detach and set work after backing out",
	      pasid_thawed),
	STEP("the host is told what is attached", say),
	SYNC("undone"),
	CHECK("after backing out PASIDs lead to their memory",
	      pasid_check_slots),
	CHECK("a preserve that races with attaching a PASID loses none",
	      pasid_race),
	STEP("everything is preserved again", all_again),
	CHECK("each attachment is listed, that without a PASID first",
	      list_objects),
	SYNC("preserved"),
	STEP("what devices have done is written down", write_down),
	SYNC("kexec"),
};

static int keep_all(void *p)
{
	struct pasid_test *t = p;
	struct pasid_device *d;
	struct attachment *a;
	int rc;

	for_each_dev(t, d) {
		for_each_att(d, a) {
			rc = pasid_keep(t, d, a);
			if (rc)
				return v_error(rc, "IOMMU_DEVICE_LIVEUPDATE");
		}
	}
	return 0;
}

static const struct step to_be_damaged[] = {
	STEP("the devices are bound to vfio-pci", pasid_bind_drivers),
	STEP("memory is made", pasid_make_memory),
	STEP("the devices are attached and do DMA", pasid_set_up),
	STEP("PASIDs are attached", pasid_attach_all),
	STEP("they are set to be kept", keep_all),
	STEP("the host is told what is attached", say),
	SYNC("ready"),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("page tables are marked", mark),
	STEP("memfd and iommufd are preserved", open_session),
	STEP("the devices are preserved", preserve_devices),
	SYNC("preserved"),
	STEP("what devices have done is written down", write_down),
	SYNC("kexec"),
};

int test_pasid(unsigned int stage)
{
	struct pasid_test *t = &test;
	int rc;

	if (!strcmp(opt_str("mode", ""), "legacy"))
		return pasid_legacy();
	memset(t->vfio, -1, sizeof(t->vfio));
	t->luo = t->session = t->memfd = t->iommufd = t->left_iommufd = -1;
	if (stage > 1)
		return pasid_new_kernel(t);
	if (!strcmp(opt_str("mode", ""), "damaged"))
		return kexec_after(to_be_damaged, ARRAY_SIZE(to_be_damaged), t);
	rc = v_run(old_kernel, ARRAY_SIZE(old_kernel), t);
	if (rc)
		return rc;
	v_error(kexec_jump(), "the jump");
	return VERDICT_FAIL;
}
