/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The mock IOMMU and its devices over a live update. selftest.c includes this
 * in its middle, because everything of the mock is private to it; nobody else
 * may. Without CONFIG_IOMMUFD_TEST there is nothing of it in a kernel.
 *
 * The mock is a client of the live update of IOMMUs like any driver of hardware:
 * it implements struct iommu_liveupdate_ops for its IOMMU, and a file handler
 * for its devices, "iommufd-mock-v1", as vfio-pci does. So all of iommufd and of
 * the IOMMU core can be tested without an IOMMU and without a device.
 *
 * Hardware. What a real unit and a real device would keep in registers over the
 * jump is kept in the driver parts of the records: which devices there are, and
 * the top table that each of them is attached to. The new kernel finds the kept
 * devices there when the mock comes up, as a bus is scanned at boot, and compares
 * the top tables with the domains. Each device counts how often its attachments
 * were written since it was found: a retrieve must not do that at all.
 *
 * File. IOMMU_TEST_OP_LIVEUPDATE_FILE makes a file for a mock device. It holds
 * the device, and the iommufd that owns it, for as long as it is open. A file that
 * was retrieved comes with a new selftest object in the retrieved iommufd, which
 * IOMMU_TEST_OP_LIVEUPDATE_STDEV looks up; ids of the device and of page tables
 * are the old ones.
 *
 * Ownership: struct mock_lu_ser belongs to preserve, then to the new kernel's
 * finish. mock_lu_kept has the devices that came over and were not retrieved; it
 * is filled at boot and only used by callbacks afterwards. Its own lock is enough
 * because LUO serializes the callbacks of a file, and no two are about one device.
 */

#include <linux/iommufd_liveupdate.h>

#ifdef MOCK_LIVEUPDATE

#include <linux/kexec_handover.h>
#include <linux/kho_query.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_break.h>
#include <linux/liveupdate_refuse.h>

#include "../liveupdate-priv.h"

/* The identity of the unit: no memory is there */
#define MOCK_LU_REG_PA 0x4d4f434b000ULL

/* Driver part of a unit: a byte for each device, with its flags */
#define MOCK_LU_KEPT 0x80
#define MOCK_LU_MAX_DEVS sizeof_field(struct iommu_unit_ser, raw)

/* Driver part of a domain */
#define MOCK_LU_HUGE 0x1

struct mock_lu_domain_ser {
	u32 flags;
	u32 reserved;
} __packed;

/* Driver part of a device and of a PASID */
struct mock_lu_attach_ser {
	u64 top_pa;
	u32 fake_error;
	u32 reserved;
} __packed;

#define MOCK_LU_COMPATIBLE "iommufd-mock-v1"
#define MOCK_LU_MAGIC 0x31554c4b434f4dULL /* "MOCKLU1" */

struct mock_lu_ser {
	u64 magic;
	u64 iommufd_token;
	u32 mock_id;
	u32 dev_id;
} __packed;

static DEFINE_XARRAY(mock_lu_kept);

/* ---- The IOMMU, old kernel ---- */

static u64 mock_lu_top(struct iommu_domain *domain)
{
	uintptr_t top = to_mock_domain(domain)->amdv1.amdpt.common.top_of_table;

	return virt_to_phys((void *)(top & ~(uintptr_t)PT_TOP_LEVEL_MASK));
}

static bool mock_lu_is_paging(struct iommu_domain *domain)
{
	return domain->ops == &amdv1_mock_ops ||
	       domain->ops == &amdv1_mock_huge_ops;
}

static int mock_lu_preserve_unit(struct iommu_device *iommu,
				 struct iommu_unit_ser *ser)
{
	ser->reg_pa = MOCK_LU_REG_PA;
	return 0;
}

static void mock_lu_unpreserve_unit(struct iommu_device *iommu,
				    struct iommu_unit_ser *ser)
{
}

static int mock_lu_preserve_domain(struct iommu_domain *domain,
				   struct iommu_domain_ser *ser)
{
	struct mock_iommu_domain *mock = to_mock_domain(domain);
	struct mock_lu_domain_ser *part = (void *)ser->raw;

	if (!mock_lu_is_paging(domain))
		return liveupdate_refuse("mock", -EOPNOTSUPP, "no page table");

	if (domain->ops == &amdv1_mock_huge_ops)
		part->flags |= MOCK_LU_HUGE;
	if (domain->dirty_ops)
		ser->head.required |= IOMMU_DOMAIN_SER_DIRTY_CAPABLE;
	if (mock->flags & MOCK_DIRTY_TRACK)
		ser->head.required |= IOMMU_DOMAIN_SER_DIRTY_TRACKING;
	ser->nid = mock->iommu.nid;
	return mock->iommu.ops->preserve(&mock->iommu, &ser->pt);
}

static void mock_lu_unpreserve_domain(struct iommu_domain *domain,
				      struct iommu_domain_ser *ser)
{
	struct mock_iommu_domain *mock = to_mock_domain(domain);

	mock->iommu.ops->unpreserve(&mock->iommu);
}

static bool mock_lu_pasid_supported(struct device *dev)
{
	return to_mock_dev(dev)->flags & MOCK_FLAGS_DEVICE_PASID;
}

static int mock_lu_preserve_device(struct device *dev,
				   struct iommu_domain *domain,
				   struct iommu_unit_ser *unit,
				   struct iommu_device_ser *ser)
{
	struct mock_lu_attach_ser *part = (void *)ser->raw;
	struct mock_dev *mdev = to_mock_dev(dev);

	if (mdev->id >= MOCK_LU_MAX_DEVS || mdev->iopf_refcount || mdev->viommu)
		return liveupdate_refuse_dev(dev, -EOPNOTSUPP,
					     "its faults or vIOMMU are in use");
	if (mdev->domain != domain)
		return liveupdate_refuse_dev(dev, -EINVAL,
					     "attached to another page table");

	part->top_pa = mock_lu_top(domain);
	unit->raw[mdev->id] = MOCK_LU_KEPT | mdev->flags;
	return 0;
}

static void mock_lu_unpreserve_device(struct device *dev,
				      struct iommu_unit_ser *unit,
				      struct iommu_device_ser *ser)
{
	unit->raw[to_mock_dev(dev)->id] = 0;
}

static int mock_lu_preserve_pasid(struct device *dev, u32 pasid,
				  struct iommu_domain *domain,
				  struct iommu_unit_ser *unit,
				  const struct iommu_device_ser *device,
				  struct iommu_pasid_ser *ser)
{
	struct mock_lu_attach_ser *part = (void *)ser->raw;
	struct mock_dev *mdev = to_mock_dev(dev);

	part->top_pa = mock_lu_top(domain);
	if (pasid == IOMMU_TEST_PASID_RESERVED)
		part->fake_error = atomic_read(&mdev->pasid_1024_fake_error);
	return 0;
}

static void mock_lu_unpreserve_pasid(struct device *dev,
				     struct iommu_unit_ser *unit,
				     struct iommu_pasid_ser *ser)
{
}

static int mock_lu_freeze_device(struct device *dev,
				 const struct iommu_device_ser *ser)
{
	const struct mock_lu_attach_ser *part = (const void *)ser->raw;

	return mock_lu_top(to_mock_dev(dev)->domain) == part->top_pa ? 0 : -EIO;
}

/* The mock has no entry for a PASID: what iommufd has was compared already. */
static int mock_lu_freeze_pasid(struct device *dev,
				const struct iommu_pasid_ser *ser)
{
	return 0;
}

/* ---- The IOMMU, new kernel ---- */

static int mock_lu_restore_domain(struct device *dev,
				  const struct iommu_domain_ser *ser,
				  struct iommu_domain **domainp)
{
	const struct mock_lu_domain_ser *part = (const void *)ser->raw;
	u32 dirty = ser->head.required & IOMMU_DOMAIN_SER_DIRTY_ANY;
	struct mock_iommu_domain *mock;
	int ret;

	if (dirty && to_mock_dev(dev)->flags & MOCK_FLAGS_DEVICE_NO_DIRTY)
		return -EINVAL;
	if (liveupdate_break("dirty"))
		dirty = 0;

	mock = kzalloc_obj(*mock);
	if (!mock)
		return -ENOMEM;

	mock->domain.type = IOMMU_DOMAIN_UNMANAGED;
	mock->domain.ops = part->flags & MOCK_LU_HUGE ? &amdv1_mock_huge_ops :
							&amdv1_mock_ops;
	mock->amdv1.iommu.nid = NUMA_NO_NODE;
	ret = pt_iommu_amdv1_mock_restore(&mock->amdv1, &ser->pt);
	if (ret) {
		kfree(mock);
		return ret;
	}

	/* Switching it on would clear the marks in the leaves. */
	if (dirty & IOMMU_DOMAIN_SER_DIRTY_CAPABLE)
		mock->domain.dirty_ops = &amdv1_mock_dirty_ops;
	if (dirty & IOMMU_DOMAIN_SER_DIRTY_TRACKING)
		mock->flags |= MOCK_DIRTY_TRACK;
	if (part->flags & MOCK_LU_HUGE) {
		mock->domain.pgsize_bitmap = MOCK_HUGE_PAGE_SIZE | PAGE_SIZE;
	} else {
		mock->domain.geometry.aperture_start = MOCK_APERTURE_START;
		mock->domain.geometry.aperture_end = MOCK_APERTURE_LAST;
	}
	*domainp = &mock->domain;
	return 0;
}

static int mock_lu_attach_restored(struct device *dev,
				   struct iommu_domain *domain,
				   const struct iommu_device_ser *ser)
{
	const struct mock_lu_attach_ser *part = (const void *)ser->raw;

	if (mock_lu_top(domain) != part->top_pa)
		return -EINVAL;
	to_mock_dev(dev)->domain = domain;
	return 0;
}

static int mock_lu_attach_restored_pasid(struct device *dev,
					 struct iommu_domain *domain,
					 const struct iommu_device_ser *device,
					 const struct iommu_pasid_ser *ser)
{
	const struct mock_lu_attach_ser *part = (const void *)ser->raw;

	if (mock_lu_top(domain) != part->top_pa)
		return -EINVAL;
	if (ser->pasid == IOMMU_TEST_PASID_RESERVED)
		atomic_set(&to_mock_dev(dev)->pasid_1024_fake_error,
			   part->fake_error);
	return 0;
}

static void mock_lu_block_record(const struct iommu_unit_ser *unit,
				 const struct iommu_device_ser *ser,
				 struct device *dev)
{
	if (dev)
		to_mock_dev(dev)->domain = &mock_blocking_domain;
}

static void mock_lu_finish_unit(const struct iommu_unit_ser *unit)
{
}

static const struct iommu_liveupdate_ops mock_liveupdate_ops = {
	.driver = IOMMU_SER_DRIVER_MOCK,
	.preserve_unit = mock_lu_preserve_unit,
	.unpreserve_unit = mock_lu_unpreserve_unit,
	.preserve_domain = mock_lu_preserve_domain,
	.unpreserve_domain = mock_lu_unpreserve_domain,
	.pasid_supported = mock_lu_pasid_supported,
	.preserve_device = mock_lu_preserve_device,
	.unpreserve_device = mock_lu_unpreserve_device,
	.preserve_pasid = mock_lu_preserve_pasid,
	.unpreserve_pasid = mock_lu_unpreserve_pasid,
	.freeze_device = mock_lu_freeze_device,
	.freeze_pasid = mock_lu_freeze_pasid,
	.restore_domain = mock_lu_restore_domain,
	.attach_restored = mock_lu_attach_restored,
	.attach_restored_pasid = mock_lu_attach_restored_pasid,
	.block_record = mock_lu_block_record,
	.finish_unit = mock_lu_finish_unit,
};

/* ---- The file of a device ---- */

static int mock_lu_release(struct inode *inode, struct file *file)
{
	struct selftest_obj *sobj = file->private_data;
	struct iommufd_ctx *ictx;

	if (!sobj)
		return 0;
	ictx = sobj->idev.ictx;
	refcount_dec(&sobj->obj.users);
	/* The last one destroys the object */
	iommufd_ctx_put(ictx);
	return 0;
}

static const struct file_operations mock_lu_fops = {
	.owner = THIS_MODULE,
	.release = mock_lu_release,
};

/* Until mock_lu_fill_file() it is a file of nothing */
static struct file *mock_lu_open_file(void)
{
	return anon_inode_getfile("[iommufd-mock]", &mock_lu_fops, NULL,
				  O_RDWR);
}

/* The caller has a reference on the iommufd, which is the file's from here on */
static void mock_lu_fill_file(struct file *file, struct selftest_obj *sobj)
{
	refcount_inc(&sobj->obj.users);
	file->private_data = sobj;
}

static int mock_lu_test_file(struct iommufd_ucmd *ucmd,
			     struct iommu_test_cmd *cmd)
{
	struct selftest_obj *sobj;
	struct file *file;
	int fd, rc;

	sobj = iommufd_test_get_selftest_obj(ucmd->ictx, cmd->id);
	if (IS_ERR(sobj))
		return PTR_ERR(sobj);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		rc = fd;
		goto out_put;
	}
	file = mock_lu_open_file();
	if (IS_ERR(file)) {
		rc = PTR_ERR(file);
		goto err_fd;
	}
	cmd->liveupdate.fd = fd;
	rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (rc) {
		fput(file);
		goto err_fd;
	}
	iommufd_ctx_get(ucmd->ictx);
	mock_lu_fill_file(file, sobj);
	fd_install(fd, file);
	goto out_put;

err_fd:
	put_unused_fd(fd);
out_put:
	iommufd_put_object(ucmd->ictx, &sobj->obj);
	return rc;
}

static int mock_lu_test_stdev(struct iommufd_ucmd *ucmd,
			      struct iommu_test_cmd *cmd)
{
	struct selftest_obj *sobj;
	struct file *file;
	int rc = -EBADF;

	file = fget(cmd->liveupdate.fd);
	if (!file)
		return -EBADF;
	sobj = file->private_data;
	if (file->f_op == &mock_lu_fops && sobj &&
	    sobj->idev.ictx == ucmd->ictx) {
		cmd->liveupdate.out_stdev_id = sobj->obj.id;
		cmd->liveupdate.out_idev_id = sobj->idev.idev->obj.id;
		cmd->liveupdate.out_writes = sobj->idev.mock_dev->writes;
		rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	}
	fput(file);
	return rc;
}

static int iommufd_test_liveupdate(struct iommufd_ucmd *ucmd,
				   struct iommu_test_cmd *cmd)
{
	switch (cmd->op) {
	case IOMMU_TEST_OP_LIVEUPDATE_FILE:
		return mock_lu_test_file(ucmd, cmd);
	case IOMMU_TEST_OP_LIVEUPDATE_STDEV:
		return mock_lu_test_stdev(ucmd, cmd);
	default:
		return -EOPNOTSUPP;
	}
}

/* A retrieved device may have PASIDs when its iommufd is closed */
static void iommufd_test_liveupdate_destroy(struct iommufd_device *idev)
{
	unsigned long pasid = IOMMU_NO_PASID;

	while (xa_find_after(&idev->igroup->pasid_attach, &pasid, ULONG_MAX,
			     XA_PRESENT))
		iommufd_device_detach(idev, pasid);
}

/* ---- Callbacks of the file, old kernel ---- */

static struct iommufd_device *mock_lu_idev(struct liveupdate_file_op_args *args)
{
	struct selftest_obj *sobj = args->file->private_data;

	return sobj->idev.idev;
}

static bool mock_lu_can_preserve(struct liveupdate_file_handler *handler,
				 struct file *file)
{
	return file->f_op == &mock_lu_fops;
}

static int mock_lu_preserve(struct liveupdate_file_op_args *args)
{
	struct selftest_obj *sobj = args->file->private_data;
	struct mock_lu_ser *ser;
	u64 token;
	int rc;

	ser = kho_alloc_preserve(sizeof(*ser));
	if (IS_ERR(ser))
		return PTR_ERR(ser);
	rc = iommufd_device_preserve(args->session, sobj->idev.idev, &token);
	if (rc) {
		kho_unpreserve_free(ser);
		return rc;
	}
	ser->magic = MOCK_LU_MAGIC;
	ser->iommufd_token = token;
	ser->mock_id = sobj->idev.mock_dev->id;
	ser->dev_id = sobj->idev.idev->obj.id;
	args->private_data = ser;
	args->serialized_data = virt_to_phys(ser);
	return 0;
}

static void mock_lu_unpreserve(struct liveupdate_file_op_args *args)
{
	iommufd_device_unpreserve(mock_lu_idev(args));
	kho_unpreserve_free(args->private_data);
}

static int mock_lu_freeze(struct liveupdate_file_op_args *args)
{
	return iommufd_device_freeze(mock_lu_idev(args));
}

/* ---- Callbacks of the file, new kernel ---- */

static struct mock_lu_ser *mock_lu_ser(u64 pa)
{
	struct mock_lu_ser *ser;

	if (!pa || !kho_folio_preserved(pa, 0))
		return NULL;
	ser = phys_to_virt(pa);
	return ser->magic == MOCK_LU_MAGIC ? ser : NULL;
}

static int mock_lu_restore(struct mock_dev *mdev, struct file *iommufd,
			   u32 dev_id, struct file *file)
{
	struct selftest_obj *sobj;
	struct iommufd_device *idev;
	struct iommufd_ctx *ictx;
	struct ida pasids;

	/* What is attached is looked up in the device when it goes */
	ida_init(&pasids);
	ictx = iommufd_ctx_from_file(iommufd);
	if (IS_ERR(ictx))
		return PTR_ERR(ictx);
	sobj = iommufd_object_alloc(ictx, sobj, IOMMUFD_OBJ_SELFTEST);
	if (IS_ERR(sobj)) {
		iommufd_ctx_put(ictx);
		return PTR_ERR(sobj);
	}
	idev = iommufd_device_restore(iommufd, &mdev->dev, dev_id, &pasids);
	ida_destroy(&pasids);
	if (IS_ERR(idev)) {
		iommufd_object_abort(ictx, &sobj->obj);
		iommufd_ctx_put(ictx);
		return PTR_ERR(idev);
	}
	sobj->type = TYPE_IDEV;
	sobj->idev.ictx = ictx;
	sobj->idev.idev = idev;
	sobj->idev.mock_dev = mdev;
	mock_lu_fill_file(file, sobj);
	iommufd_object_finalize(ictx, &sobj->obj);
	return 0;
}

static int mock_lu_retrieve_file(struct liveupdate_file_op_args *args,
				 const struct mock_lu_ser *ser)
{
	struct mock_dev *mdev = xa_load(&mock_lu_kept, ser->mock_id);
	struct file *iommufd, *file;
	int rc;

	if (!mdev)
		return -ENODEV;
	rc = liveupdate_get_file_incoming(args->session, ser->iommufd_token,
					  &iommufd);
	if (rc)
		return rc;
	file = mock_lu_open_file();
	rc = PTR_ERR_OR_ZERO(file);
	if (!rc) {
		rc = mock_lu_restore(mdev, iommufd, ser->dev_id, file);
		if (rc)
			fput(file);
	}
	fput(iommufd);
	if (rc)
		return rc;
	xa_erase(&mock_lu_kept, ser->mock_id);
	args->file = file;
	return 0;
}

static int mock_lu_retrieve(struct liveupdate_file_op_args *args)
{
	struct mock_lu_ser *ser = mock_lu_ser(args->serialized_data);
	int rc;

	rc = ser ? mock_lu_retrieve_file(args, ser) : -EINVAL;
	/*
	 * The device still runs, so it can be tried again. iommufd's own fault
	 * points have other errnos than that of missing memory.
	 */
	return rc && ser && rc != -ENODEV ? -EAGAIN : rc;
}

static void mock_lu_finish(struct liveupdate_file_op_args *args)
{
	struct mock_lu_ser *ser = mock_lu_ser(args->serialized_data);
	struct mock_dev *mdev;

	if (args->retrieve_status > 0) {
		iommu_liveupdate_finish_device(mock_lu_idev(args)->dev);
	} else if (ser) {
		mdev = xa_erase(&mock_lu_kept, ser->mock_id);
		if (mdev) {
			iommu_liveupdate_abandon_device(&mdev->dev);
			mock_dev_destroy(mdev);
		}
	}
	if (ser)
		kho_restore_free(ser);
}

static const struct liveupdate_file_ops mock_lu_file_ops = {
	.can_preserve = mock_lu_can_preserve,
	.preserve = mock_lu_preserve,
	.unpreserve = mock_lu_unpreserve,
	.freeze = mock_lu_freeze,
	.retrieve = mock_lu_retrieve,
	.finish = mock_lu_finish,
	.owner = THIS_MODULE,
};

static struct liveupdate_file_handler mock_lu_handler = {
	.ops = &mock_lu_file_ops,
	.compatible = MOCK_LU_COMPATIBLE,
};

/* ---- Boot ---- */

static void __init mock_lu_find(unsigned int id, unsigned long flags)
{
	struct mock_dev *mdev;
	int rc;

	mdev = mock_dev_create_id(flags, id, id);
	rc = PTR_ERR_OR_ZERO(mdev);
	if (!rc) {
		/* A device that could not be restored is blocked, and stays */
		mdev->writes = 0;
		rc = xa_insert(&mock_lu_kept, id, mdev, GFP_KERNEL);
		if (rc)
			mock_dev_destroy(mdev);
	}
	if (rc)
		pr_err("iommufd: mock device %u is lost: %pe\n", id,
		       ERR_PTR(rc));
}

static int __init iommufd_test_liveupdate_init(void)
{
	const struct iommu_unit_ser *unit;
	unsigned int id;

	if (!liveupdate_enabled())
		return 0;
	unit = iommu_liveupdate_incoming_unit(&mock_liveupdate_ops,
					      MOCK_LU_REG_PA);
	for (id = 0; unit && id < MOCK_LU_MAX_DEVS; id++)
		if (unit->raw[id] & MOCK_LU_KEPT)
			mock_lu_find(id, unit->raw[id] & ~MOCK_LU_KEPT);
	return liveupdate_register_file_handler(&mock_lu_handler);
}

#else

static inline int iommufd_test_liveupdate(struct iommufd_ucmd *ucmd,
					  struct iommu_test_cmd *cmd)
{
	return -EOPNOTSUPP;
}

static inline void iommufd_test_liveupdate_destroy(struct iommufd_device *idev)
{
}

static inline int iommufd_test_liveupdate_init(void)
{
	return 0;
}

#endif
