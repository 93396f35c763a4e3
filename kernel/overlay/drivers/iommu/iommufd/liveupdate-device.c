// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live update of the devices of an iommufd: the old kernel's half.
 *
 * What is kept. The attachment of a device without a PASID, and of each of its
 * PASIDs whose disposition userspace has set to be kept. A device that has a
 * PASID attached which is not to be kept is refused: the guest behind it would
 * fault in the next kernel. All of that is decided in one critical section, so
 * that an attach that races with a preserve comes before it, and is seen, or
 * after it, and is refused; the IOMMU core makes the same comparison with the
 * group's own PASIDs, which are not all of iommufd.
 *
 * Disposition. It belongs to the attachment: a mark on the device in
 * iommufd_attach::device_array, so a detach clears it and a replace keeps it.
 * What was retrieved is marked again.
 *
 * Locks, ownership: see liveupdate.c. igroup->lock protects everything here,
 * ictx->lu.lock the entries and what is counted in HWPTs.
 *
 * What cannot fail: unpreserve. Preserve makes all entries before the IOMMU core
 * is asked, which is the last step.
 */
#include <linux/iommu.h>
#include <linux/iommufd.h>
#include <linux/iommufd_liveupdate.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_break.h>
#include <linux/liveupdate_refuse.h>
#include <linux/slab.h>
#include <uapi/linux/iommufd.h>

#include "iommufd_private.h"
#include "liveupdate-priv.h"

/* On the device in iommufd_attach::device_array: keep this PASID */
#define LU_KEEP XA_MARK_1

/**
 * iommufd_lu_capabilities - What can be kept of a device
 * @dev: the device
 *
 * Return: IOMMU_HW_CAP_LIVEUPDATE_*
 */
u64 iommufd_lu_capabilities(struct device *dev)
{
	u64 caps = 0;

	if (iommu_liveupdate_supported(dev))
		caps |= IOMMU_HW_CAP_LIVEUPDATE_DOMAIN;
	if (iommu_liveupdate_pasid_supported(dev))
		caps |= IOMMU_HW_CAP_LIVEUPDATE_PASID;
	if (iommu_liveupdate_ats_supported(dev))
		caps |= IOMMU_HW_CAP_LIVEUPDATE_ATS;
	return caps;
}

/* The attachment of a PASID, if @idev has it, else NULL */
static struct iommufd_attach *lu_attach(struct iommufd_device *idev,
					ioasid_t pasid)
{
	struct iommufd_attach *attach;

	lockdep_assert_held(&idev->igroup->lock);

	attach = xa_load(&idev->igroup->pasid_attach, pasid);
	if (!attach || !xa_load(&attach->device_array, idev->obj.id))
		return NULL;
	return attach;
}

/**
 * iommufd_lu_device_hwpt - The marked HWPT of a device
 * @idev: the device
 *
 * Context: ictx->lu.lock and igroup->lock are held.
 * Return: what it is attached to without a PASID if that is marked, else NULL
 */
struct iommufd_hwpt_paging *iommufd_lu_device_hwpt(struct iommufd_device *idev)
{
	struct iommufd_attach *attach = lu_attach(idev, IOMMU_NO_PASID);
	struct iommufd_hwpt_paging *hwpt_paging;

	lockdep_assert_held(&idev->ictx->lu.lock);

	if (!attach || !hwpt_is_paging(attach->hwpt))
		return NULL;
	hwpt_paging = to_hwpt_paging(attach->hwpt);
	return hwpt_paging->lu.marked ? hwpt_paging : NULL;
}

/**
 * iommufd_lu_keep_pasid - Mark the attachment of a PASID to be kept
 * @idev: the device
 * @pasid: a PASID that is attached
 *
 * Context: igroup->lock is held.
 */
void iommufd_lu_keep_pasid(struct iommufd_device *idev, u32 pasid)
{
	struct iommufd_attach *attach = lu_attach(idev, pasid);

	if (!WARN_ON(!attach))
		xa_set_mark(&attach->device_array, idev->obj.id, LU_KEEP);
}

/**
 * iommufd_lu_next_kept_pasid - The next PASID that is to be kept
 * @idev: the device
 * @pasid: the last one, %IOMMU_NO_PASID for the first
 * @hwpt_paging: set to what it is attached to, NULL when there is none
 *
 * Context: igroup->lock is held.
 * Return: the PASID; %IOMMU_NO_PASID when there is none
 */
u32 iommufd_lu_next_kept_pasid(struct iommufd_device *idev, u32 pasid,
			       struct iommufd_hwpt_paging **hwpt_paging)
{
	struct iommufd_attach *attach;
	unsigned long next = pasid;

	lockdep_assert_held(&idev->igroup->lock);

	while ((attach = xa_find_after(&idev->igroup->pasid_attach, &next,
				       UINT_MAX, XA_PRESENT))) {
		if (!xa_get_mark(&attach->device_array, idev->obj.id, LU_KEEP))
			continue;
		if (!hwpt_is_paging(attach->hwpt))
			continue;
		*hwpt_paging = to_hwpt_paging(attach->hwpt);
		return next;
	}
	*hwpt_paging = NULL;
	return IOMMU_NO_PASID;
}

static int lu_count_device(struct device *dev, void *data)
{
	++*(unsigned int *)data;
	return 0;
}

/* May this device be kept? */
static int lu_check_keepable(struct iommufd_device *idev)
{
	struct iommufd_group *igroup = idev->igroup;
	struct iommufd_hwpt_paging *hwpt_paging;
	unsigned int nr = 0;

	lockdep_assert_held(&igroup->lock);

	if (!igroup->group)
		return liveupdate_refuse_dev(idev->dev, -EOPNOTSUPP,
					     "it has no IOMMU");
	hwpt_paging = iommufd_lu_device_hwpt(idev);
	if (!hwpt_paging || !hwpt_paging->lu.preserved)
		return liveupdate_refuse_dev(idev->dev, -EINVAL,
					     "its HWPT is not preserved");
	if (idev->vdev)
		return liveupdate_refuse_dev(idev->dev, -EOPNOTSUPP,
					     "it has a vDEVICE");
	iommu_group_for_each_dev(igroup->group, &nr, lu_count_device);
	if (nr != 1)
		return liveupdate_refuse_dev(idev->dev, -EOPNOTSUPP,
					     "it shares its IOMMU group");
	return 0;
}

/* Is @pasid to be kept, on a HWPT that is? */
static int lu_check_pasid(struct iommufd_device *idev, unsigned long pasid,
			  struct iommufd_attach *attach)
{
	struct iommufd_hw_pagetable *hwpt = attach->hwpt;

	if (!xa_get_mark(&attach->device_array, idev->obj.id, LU_KEEP))
		return liveupdate_refuse_dev(idev->dev, -EOPNOTSUPP,
					     "PASID %lu is attached and UNSET",
					     pasid);
	if (!hwpt_is_paging(hwpt) || !to_hwpt_paging(hwpt)->lu.preserved)
		return liveupdate_refuse_dev(idev->dev, -EINVAL,
					     "PASID %lu: HWPT %u is not kept",
					     pasid, hwpt->obj.id);
	return 0;
}

/* The group has one device, so all that is attached to it belongs to the device. */
static int lu_check_pasids(struct iommufd_device *idev, unsigned int *nr)
{
	struct iommufd_attach *attach;
	unsigned long pasid = IOMMU_NO_PASID;
	int rc;

	lockdep_assert_held(&idev->igroup->lock);

	*nr = 0;
	while ((attach = xa_find_after(&idev->igroup->pasid_attach, &pasid,
				       UINT_MAX, XA_PRESENT))) {
		if (liveupdate_break("pasids"))
			continue;
		rc = lu_check_pasid(idev, pasid, attach);
		if (rc)
			return rc;
		++*nr;
	}
	return 0;
}

static void lu_save_sw_msi(struct iommufd_device *idev,
			   struct iommufd_device_ser *ser)
{
	struct iommufd_group *igroup = idev->igroup;

	lockdep_assert_held(&igroup->lock);

	ser->sw_msi_start = igroup->sw_msi_start == PHYS_ADDR_MAX ?
				    U64_MAX :
				    igroup->sw_msi_start;
	bitmap_to_arr64(&ser->sw_msi, igroup->required_sw_msi.bitmap, 64);
}

static void lu_free_attached(struct iommufd_lu_attach *attached,
			     unsigned int nr)
{
	while (nr--)
		memset(attached[nr].ser, 0, sizeof(*attached[nr].ser));
	kfree(attached);
}

static int lu_add_entry(struct iommufd_device *idev, ioasid_t pasid,
			struct iommufd_hwpt_paging *hwpt_paging,
			struct iommufd_lu_attach *to)
{
	struct iommufd_device_ser *ser;

	ser = iommufd_lu_new_device(idev->ictx->lu.ser);
	if (IS_ERR(ser))
		return PTR_ERR(ser);
	ser->dev_id = idev->obj.id;
	ser->hwpt_id = hwpt_paging->common.obj.id;
	ser->pasid = pasid;
	to->ser = ser;
	to->hwpt_paging = hwpt_paging;
	return 0;
}

/* An entry for each attachment; @nr PASIDs are to be kept. Or an ERR_PTR */
static struct iommufd_lu_attach *lu_add_entries(struct iommufd_device *idev,
						unsigned int nr)
{
	struct iommufd_hwpt_paging *hwpt_paging = iommufd_lu_device_hwpt(idev);
	struct iommufd_lu_attach *attached;
	u32 pasid = IOMMU_NO_PASID;
	unsigned int i;
	int rc;

	attached = kcalloc(1 + nr, sizeof(*attached), GFP_KERNEL_ACCOUNT);
	if (!attached)
		return ERR_PTR(-ENOMEM);
	for (i = 0; i <= nr; i++) {
		rc = lu_add_entry(idev, pasid, hwpt_paging, &attached[i]);
		if (rc) {
			lu_free_attached(attached, i);
			return ERR_PTR(rc);
		}
		pasid = iommufd_lu_next_kept_pasid(idev, pasid, &hwpt_paging);
	}
	iommufd_lu_device_name(idev->dev, attached->ser->name,
			       sizeof(attached->ser->name));
	lu_save_sw_msi(idev, attached->ser);
	return attached;
}

static int lu_preserve_attached(struct iommufd_device *idev,
				const struct iommufd_lu_attach *attached,
				unsigned int nr)
{
	struct iommu_domain *domain = attached->hwpt_paging->common.domain;
	struct iommu_liveupdate_attach *pasids;
	unsigned int i;
	int rc;

	pasids = kcalloc(nr, sizeof(*pasids), GFP_KERNEL_ACCOUNT);
	if (nr && !pasids)
		return -ENOMEM;
	for (i = 0; i < nr; i++) {
		pasids[i].pasid = attached[1 + i].ser->pasid;
		pasids[i].domain = attached[1 + i].hwpt_paging->common.domain;
	}
	rc = iommu_liveupdate_preserve_device(idev->dev, domain, pasids, nr);
	kfree(pasids);
	return rc;
}

static int lu_preserve_device(struct iommufd_device *idev)
{
	struct iommufd_lu_attach *attached;
	unsigned int nr, i;
	int rc;

	lockdep_assert_held(&idev->ictx->lu.lock);
	lockdep_assert_held(&idev->igroup->lock);

	if (!idev->ictx->lu.ser)
		return -ENOENT;
	if (iommufd_lu_device_busy(&idev->lu))
		return liveupdate_refuse_dev(idev->dev, -EBUSY,
					     "it is preserved already");
	rc = lu_check_keepable(idev);
	if (rc)
		return rc;
	rc = lu_check_pasids(idev, &nr);
	if (rc)
		return rc;
	attached = lu_add_entries(idev, nr);
	if (IS_ERR(attached))
		return PTR_ERR(attached);
	rc = lu_preserve_attached(idev, attached, nr);
	if (rc) {
		lu_free_attached(attached, 1 + nr);
		return rc;
	}

	for (i = 0; i <= nr; i++)
		attached[i].hwpt_paging->lu.nr_attached++;
	idev->lu.nr = 1 + nr;
	WRITE_ONCE(idev->lu.attached, attached);
	return 0;
}

/**
 * iommufd_device_preserve - Keep a device and its attachments
 * @session: the session of the caller's file
 * @idev: the device
 * @iommufd_token: receives the token of its iommufd in @session
 *
 * Keeps the attachment without a PASID and those of PASIDs that are marked to be
 * kept. From here on none of them can be changed nor another one be added.
 * Called from the preserve callback of the file that the device belongs to, so
 * that LUO's session lock is held.
 *
 * Return: 0, or with nothing changed:
 * -ENOENT if its iommufd has not been preserved in @session yet,
 * -EINVAL if it, or a PASID that is to be kept, is not attached to a HWPT that is
 * preserved,
 * -EOPNOTSUPP if a PASID is attached that is not to be kept, it has a vdevice,
 * shares its IOMMU group or the IOMMU driver cannot keep it,
 * -EBUSY if it is preserved already, or another error of the IOMMU driver.
 */
int iommufd_device_preserve(struct liveupdate_session *session,
			    struct iommufd_device *idev, u64 *iommufd_token)
{
	struct iommufd_ctx *ictx = idev->ictx;
	int rc;

	rc = liveupdate_get_token_outgoing(session, ictx->file, iommufd_token);
	if (rc)
		return liveupdate_refuse_dev(idev->dev, rc,
					     "its iommufd is not in session %s",
					     liveupdate_session_name(session));
	mutex_lock(&ictx->lu.lock);
	mutex_lock(&idev->igroup->lock);
	rc = lu_preserve_device(idev);
	mutex_unlock(&idev->igroup->lock);
	mutex_unlock(&ictx->lu.lock);
	return rc;
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_preserve, "IOMMUFD");

/**
 * iommufd_device_unpreserve - Undo iommufd_device_preserve()
 * @idev: the device
 */
void iommufd_device_unpreserve(struct iommufd_device *idev)
{
	struct iommufd_lu_device *lu = &idev->lu;
	unsigned int i;

	mutex_lock(&idev->ictx->lu.lock);
	mutex_lock(&idev->igroup->lock);
	if (!WARN_ON(!lu->attached)) {
		iommu_liveupdate_unpreserve_device(idev->dev);
		for (i = 0; i < lu->nr; i++)
			lu->attached[i].hwpt_paging->lu.nr_attached--;
		lu_free_attached(lu->attached, lu->nr);
		WRITE_ONCE(lu->attached, NULL);
		lu->nr = 0;
	}
	mutex_unlock(&idev->igroup->lock);
	mutex_unlock(&idev->ictx->lu.lock);
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_unpreserve, "IOMMUFD");

/**
 * iommufd_device_preserved - Is this device preserved?
 * @idev: the device
 *
 * For callers whose own operations have to be refused then, such as a detach.
 *
 * Return: true from iommufd_device_preserve() to iommufd_device_unpreserve()
 */
bool iommufd_device_preserved(struct iommufd_device *idev)
{
	return iommufd_lu_device_busy(&idev->lu);
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_preserved, "IOMMUFD");

/* Are the attachments those that were written down? */
static bool lu_attached_same(struct iommufd_device *idev)
{
	const struct iommufd_lu_attach *attached = idev->lu.attached;
	struct iommufd_attach *attach;
	unsigned int i;

	for (i = 0; i < idev->lu.nr; i++) {
		attach = lu_attach(idev, attached[i].ser->pasid);
		if (!attach || attach->hwpt != &attached[i].hwpt_paging->common)
			return false;
	}
	return true;
}

/**
 * iommufd_device_freeze - Last words before the jump
 * @idev: a preserved device
 *
 * Return: 0, or the error of the IOMMU driver: what the hardware has is not what
 * was written down. Nothing has to be undone.
 */
int iommufd_device_freeze(struct iommufd_device *idev)
{
	int rc = -EIO;

	mutex_lock(&idev->ictx->lu.lock);
	mutex_lock(&idev->igroup->lock);
	if (!WARN_ON(!idev->lu.attached) && lu_attached_same(idev)) {
		lu_save_sw_msi(idev, idev->lu.attached->ser);
		rc = iommu_liveupdate_freeze_device(idev->dev);
	}
	mutex_unlock(&idev->igroup->lock);
	mutex_unlock(&idev->ictx->lu.lock);
	return rc;
}
EXPORT_SYMBOL_NS_GPL(iommufd_device_freeze, "IOMMUFD");

static int lu_set_disposition(struct iommufd_device *idev, ioasid_t pasid,
			      bool keep)
{
	struct iommufd_attach *attach = lu_attach(idev, pasid);

	if (!attach)
		return -ENOENT;
	if (iommufd_lu_device_busy(&idev->lu))
		return -EBUSY;
	if (!keep)
		xa_clear_mark(&attach->device_array, idev->obj.id, LU_KEEP);
	else if (iommu_liveupdate_pasid_supported(idev->dev))
		xa_set_mark(&attach->device_array, idev->obj.id, LU_KEEP);
	else
		return -EOPNOTSUPP;
	return 0;
}

/**
 * iommufd_device_liveupdate - ioctl(IOMMU_DEVICE_LIVEUPDATE)
 * @ucmd: the command
 *
 * Return: see struct iommu_device_liveupdate
 */
int iommufd_device_liveupdate(struct iommufd_ucmd *ucmd)
{
	struct iommu_device_liveupdate *cmd = ucmd->cmd;
	struct iommufd_device *idev;
	int rc;

	if (cmd->flags || cmd->__reserved)
		return -EOPNOTSUPP;
	if (cmd->pasid == IOMMU_NO_PASID ||
	    cmd->disposition > IOMMU_DEVICE_LIVEUPDATE_PRESERVE)
		return -EINVAL;
	idev = iommufd_get_device(ucmd, cmd->dev_id);
	if (IS_ERR(idev))
		return PTR_ERR(idev);

	mutex_lock(&idev->igroup->lock);
	rc = lu_set_disposition(idev, cmd->pasid,
				cmd->disposition ==
					IOMMU_DEVICE_LIVEUPDATE_PRESERVE);
	mutex_unlock(&idev->igroup->lock);
	iommufd_put_object(ucmd->ictx, &idev->obj);
	return rc;
}
