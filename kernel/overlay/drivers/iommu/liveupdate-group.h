/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of IOMMU live update that needs the inside of struct iommu_group.
 * iommu.c includes it where that is known; nobody else may. The essays are at the
 * top of liveupdate.c and liveupdate-restore.c.
 *
 * A group with a kept device goes through these states in the new kernel, all
 * changes under group->mutex:
 *
 *   restored   domain == the kept one, owner == placeholder, owner_cnt == 1
 *   claimed    domain == the kept one, owner == an iommufd, owner_cnt == 1
 *   normal     whatever the upstream code makes of it
 *
 * restored -> claimed -> normal is the life of a retrieved device, the second
 * step is made by iommufd's ordinary detach. restored -> normal is abandon.
 * Neither restore nor claim writes to the hardware.
 */

#ifdef CONFIG_IOMMU_LIVEUPDATE

#include <linux/liveupdate_break.h>
#include <linux/liveupdate_refuse.h>

static struct device *iommu_group_first_dev(struct iommu_group *group);
static int __iommu_group_alloc_blocking_domain(struct iommu_group *group);
static void __iommu_release_dma_ownership(struct iommu_group *group);
static struct iommu_domain *pasid_array_entry_to_domain(void *entry);

/*
 * Make the domain that the hardware uses for a kept device the domain of its
 * group. Called where the default domain would be attached for the first time.
 * Returns false when there is nothing to restore, or nothing that can be.
 */
static bool iommu_group_restore_domain(struct iommu_group *group)
{
	struct device *dev = iommu_group_first_dev(group);
	struct iommu_domain *domain;
	struct group_device *gdev;

	lockdep_assert_held(&group->mutex);

	if (liveupdate_break("restore"))
		return false;

	/*
	 * A kept device was alone in its group: another one would be attached to
	 * its domain. And later detach code must not have to allocate.
	 */
	if (!list_is_singular(&group->devices) ||
	    (iommu_liveupdate_record(dev, NULL) &&
	     __iommu_group_alloc_blocking_domain(group))) {
		list_for_each_entry(gdev, &group->devices, list)
			iommu_liveupdate_lose(gdev->dev);
		return false;
	}

	domain = iommu_liveupdate_restore(dev);
	if (!domain)
		return false;

	group->domain = domain;
	group->owner = &iommu_liveupdate_placeholder;
	group->owner_cnt = 1;
	return true;
}

/* The claimed device already is where __iommu_attach_group() shall put it. */
static bool iommu_group_restored(struct iommu_group *group,
				 struct iommu_domain *domain)
{
	lockdep_assert_held(&group->mutex);

	return group->domain == domain &&
	       iommu_liveupdate_device_claimed(iommu_group_first_dev(group),
					       domain);
}

/* The PASID already is where iommu_attach_device_pasid() shall put it. */
static bool iommu_group_restored_pasid(struct iommu_group *group,
				       ioasid_t pasid,
				       struct iommu_domain *domain)
{
	lockdep_assert_held(&group->mutex);

	return iommu_liveupdate_pasid_claimed(iommu_group_first_dev(group),
					      pasid, domain);
}

/* Between preserve and the jump no domain of the group may be changed. */
static bool iommu_group_frozen(struct iommu_group *group)
{
	struct group_device *gdev;

	lockdep_assert_held(&group->mutex);

	list_for_each_entry(gdev, &group->devices, list)
		if (iommu_liveupdate_device_frozen(gdev->dev))
			return !liveupdate_break("frozen");
	return false;
}

/*
 * A group with a kept device does not grow, from preserve to finish: who joins
 * would be attached to the kept page table, and the new kernel would find two
 * devices where one was kept.
 */
static int iommu_group_check_join(struct iommu_group *group, struct device *dev)
{
	struct group_device *gdev;

	lockdep_assert_held(&group->mutex);

	list_for_each_entry(gdev, &group->devices, list) {
		if (gdev->dev == dev || !gdev->dev->iommu ||
		    !READ_ONCE(gdev->dev->iommu->liveupdate) ||
		    liveupdate_break("join"))
			continue;
		return liveupdate_refuse_dev(dev, -EBUSY,
					     "it would share the group of %s",
					     dev_name(gdev->dev));
	}
	return 0;
}

/* Are the PASIDs of the group, and their domains, exactly these? */
static int
iommu_group_check_pasids(struct iommu_group *group, struct device *dev,
			 const struct iommu_liveupdate_attach *pasids,
			 unsigned int nr)
{
	unsigned long pasid = IOMMU_NO_PASID;
	unsigned int i = 0;
	void *entry;

	lockdep_assert_held(&group->mutex);

	if (liveupdate_break("pasids"))
		return 0;

	while ((entry = xa_find_after(&group->pasid_array, &pasid, ULONG_MAX,
				      XA_PRESENT))) {
		if (i == nr || pasid != pasids[i].pasid)
			return liveupdate_refuse_dev(dev, -EOPNOTSUPP,
						     "PASID %lu is attached",
						     pasid);
		if (pasid_array_entry_to_domain(entry) != pasids[i++].domain)
			goto wrong_domain;
	}
	if (i < nr)
		return liveupdate_refuse_dev(dev, -EINVAL,
					     "PASID %u is not attached",
					     pasids[i].pasid);
	return 0;

wrong_domain:
	return liveupdate_refuse_dev(dev, -EINVAL, "PASID %lu: wrong domain",
				     pasid);
}

/**
 * iommu_group_liveupdate_check - Check that a device can be kept
 * @dev: the device, which has a group and an IOMMU
 * @domain: the domain it must be attached to without a PASID
 * @pasids: the PASIDs that must be attached, and to what, by PASID
 * @nr: how many
 *
 * Context: Process context, group->mutex held.
 * Return: 0; -EINVAL when the device or a PASID is not attached as given;
 * -EOPNOTSUPP when another device shares the group, when another PASID is
 * attached or when firmware requires a direct mapping; -EBUSY when the device is
 * being reset.
 */
int iommu_group_liveupdate_check(struct device *dev,
				 struct iommu_domain *domain,
				 const struct iommu_liveupdate_attach *pasids,
				 unsigned int nr)
{
	struct iommu_group *group = dev->iommu_group;

	lockdep_assert_held(&group->mutex);

	if (group->domain != domain)
		return liveupdate_refuse_dev(dev, -EINVAL,
					     "its page table is another");
	if (!list_is_singular(&group->devices))
		return liveupdate_refuse_dev(dev, -EOPNOTSUPP,
					     "it shares its IOMMU group");
	if (dev->iommu->require_direct)
		return liveupdate_refuse_dev(dev, -EOPNOTSUPP,
					     "firmware needs it mapped");
	if (group->recovery_cnt)
		return liveupdate_refuse_dev(dev, -EBUSY, "it is being reset");
	return iommu_group_check_pasids(group, dev, pasids, nr);
}

/**
 * iommu_group_liveupdate_lock - Lock the group of a device
 * @dev: the device, which has a group
 *
 * Context: Process context, takes group->mutex.
 */
void iommu_group_liveupdate_lock(struct device *dev)
{
	mutex_lock(&dev->iommu_group->mutex);
}

/**
 * iommu_group_liveupdate_unlock - Undo iommu_group_liveupdate_lock()
 * @dev: the device
 *
 * Context: Process context, group->mutex held.
 */
void iommu_group_liveupdate_unlock(struct device *dev)
{
	mutex_unlock(&dev->iommu_group->mutex);
}

/**
 * iommu_group_liveupdate_claim - Move a restored group to its owner
 * @dev: the device
 * @owner: the new DMA owner
 * @domain: the domain that the owner believes the device is attached to
 *
 * Context: Process context, takes group->mutex. Hardware is not touched.
 * Return: 0; -ENODEV when the group is not in the restored state; -EINVAL when
 * it is attached to another domain.
 */
int iommu_group_liveupdate_claim(struct device *dev, void *owner,
				 struct iommu_domain *domain)
{
	struct iommu_group *group = dev->iommu_group;

	guard(mutex)(&group->mutex);
	if (group->owner != &iommu_liveupdate_placeholder)
		return -ENODEV;
	if (group->domain != domain)
		return -EINVAL;

	group->owner = owner;
	return 0;
}

/**
 * iommu_group_liveupdate_return - Undo iommu_group_liveupdate_claim()
 * @dev: the device
 * @owner: the owner that claimed it
 *
 * Context: Process context, takes group->mutex. Hardware is not touched.
 */
void iommu_group_liveupdate_return(struct device *dev, void *owner)
{
	struct iommu_group *group = dev->iommu_group;

	guard(mutex)(&group->mutex);
	if (!WARN_ON(group->owner != owner))
		group->owner = &iommu_liveupdate_placeholder;
}

/**
 * iommu_group_liveupdate_return_pasid - Forget the handle of a PASID
 * @dev: the device
 * @pasid: the PASID, attached by iommu_group_restored_pasid()
 *
 * Context: Process context, takes group->mutex. Hardware is not touched.
 */
void iommu_group_liveupdate_return_pasid(struct device *dev, u32 pasid)
{
	struct iommu_group *group = dev->iommu_group;

	guard(mutex)(&group->mutex);
	xa_erase(&group->pasid_array, pasid);
}

/**
 * iommu_group_liveupdate_release - Take a device off its restored domain
 * @dev: the device, which has been stopped
 *
 * The group goes through the blocking domain to its default domain, as after
 * the release of any owner, and is a normal one afterwards.
 *
 * Context: Process context, takes group->mutex. Cannot fail.
 */
void iommu_group_liveupdate_release(struct device *dev)
{
	struct iommu_group *group = dev->iommu_group;

	guard(mutex)(&group->mutex);
	if (group->owner != &iommu_liveupdate_placeholder)
		return;

	__iommu_group_set_domain_nofail(group, group->blocking_domain);
	__iommu_release_dma_ownership(group);
}

#else /* !CONFIG_IOMMU_LIVEUPDATE */

static inline void iommu_liveupdate_remove_device(struct device *dev)
{
}

static inline bool iommu_group_restore_domain(struct iommu_group *group)
{
	return false;
}

static inline bool iommu_group_restored(struct iommu_group *group,
					struct iommu_domain *domain)
{
	return false;
}

static inline bool iommu_group_restored_pasid(struct iommu_group *group,
					      ioasid_t pasid,
					      struct iommu_domain *domain)
{
	return false;
}

static inline bool iommu_group_frozen(struct iommu_group *group)
{
	return false;
}

static inline int iommu_group_check_join(struct iommu_group *group,
					 struct device *dev)
{
	return 0;
}

#endif /* CONFIG_IOMMU_LIVEUPDATE */
