// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-pci devices that are kept over a live update.
 *
 * Kept is the file of a device that was opened through its character device,
 * bound to an iommufd and attached: the device goes on doing DMA, and the new
 * kernel makes a file that is bound and attached the same way. Not kept is what
 * refers to other things of the process: eventfds for interrupts and requests,
 * ioeventfds and memory maps of the BARs. Userspace sets those up again, and
 * after the interrupts it should look for work once: one that came while they
 * were silent may be gone.
 *
 * Preserve has the iommufd, which must be in the session already, keep the
 * attachment, and the PCI core keep the path. The device may be used as before,
 * including interrupts and configuration writes, but a reset by its user is
 * refused: the IOMMU would have to block the device meanwhile.
 *
 * Freeze is the last moment. The gate, @lu_frozen, refuses whatever writes to
 * the device through the file; @lu_gate is held for read by everyone who may
 * write and for write to close it, so nobody is inside when it is closed. Then
 * interrupts are silenced at the device, because the new kernel has given their
 * vectors to others: INTx by DisINTx, MSI-X by the function mask, MSI by its
 * enable bit. What the user sees of the configuration space is copied last.
 * Unfreeze undoes it all; MSI is kicked once because it has no pending bit.
 *
 * Interrupts stay silent until userspace sets them up in the new kernel. A cause
 * that appears meanwhile, or that was signalled to an eventfd which nobody read any
 * more, is lost with MSI and MSI-X: the message was sent or dropped, and a device
 * does not send it again while the cause is there. The pending bits of MSI-X are
 * only good as long as it is enabled, which ends with retrieve. So each vector that
 * may have been in use is kicked once, as by an interrupt, after it got its first
 * eventfd. From then on causes arrive by themselves; those before are found by who
 * is kicked. A vector that had nothing to say, or whose pending bit was good, is
 * kicked in vain, once. Which have been kicked is remembered by vector, because they
 * may be set up one at a time, from retrieve to the close of the device: finish is no
 * end of it, as interrupts may be set up later, nor is a reset, after which a kick in
 * vain does no harm. Kicks that are due at the next freeze are handed over again.
 * The record says how many vectors there were, up to the highest one in use; the
 * device has the last word. Another type of interrupt than the one in use is not
 * kicked, nor does it take the kicks of that: who changes the type makes the
 * device's driver begin anew.
 *
 * INTx is a level, which is still there. But it may rise before its input of the
 * interrupt controller is that of a level, which is when the interrupt is requested,
 * and not everyone looks at it then. It is masked and unmasked instead of kicked:
 * vfio-pci then looks at the device, and signals when there is a cause.
 *
 * In the new kernel vfio-pci binds by itself and leaves the device alone; it is
 * kept in D0 by the PCI core. vfio_pci_core_enable() refuses such a device
 * except from retrieve, which announces itself with @lu_opener and skips all that a
 * first open does to a device: no reset, bus mastering stays on, INTx masking is
 * not probed. The state that the last close restores is the one found, with bus
 * mastering off.
 *
 * Retrieve gets all that opening needs memory for before the device changes
 * hands, and does not do without a BAR. Until then every failure leaves the
 * device as it is, and one for want of memory, or because vfio-pci is not bound
 * yet, can be tried again: -EAGAIN. Who fails after that stops the device first,
 * then unbinds it. Finish hands the device over for good, or, when nobody
 * retrieved it or retrieve failed, stops it, blocks it in the IOMMU, and releases
 * it, in this order. iommufd and memory are finished later than this because they
 * were preserved earlier.
 *
 * Locks: dev_set->lock protects being bound and attached while a device is
 * preserved, and @lu_opener; igate protects @lu_kicks, @lu_kick_count and
 * @lu_kick_type. Order: the locks of the Live Update Orchestrator,
 * dev_set->lock, the locks of iommufd and of the PCI core; @lu_gate inside the
 * locks of the orchestrator, outside of all locks of vfio-pci.
 *
 * Ownership: @lu_kicks belongs to the open device, from retrieve to close or to the
 * last kick. &struct vfio_pci_ser belongs to preserve, then to the new kernel's
 * finish. Cannot fail: unpreserve, unfreeze, finish.
 */

#include <linux/bitmap.h>
#include <linux/cleanup.h>
#include <linux/file.h>
#include <linux/io.h>
#include <linux/iommu-liveupdate.h>
#include <linux/iommufd.h>
#include <linux/iommufd_liveupdate.h>
#include <linux/kexec_handover.h>
#include <linux/kho_query.h>
#include <linux/liveupdate.h>
#include <linux/liveupdate_break.h>
#include <linux/liveupdate_refuse.h>
#include <linux/pci_liveupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "../liveupdate.h"
#include "../vfio.h"
#include "vfio_pci_liveupdate.h"
#include "vfio_pci_liveupdate_ser.h"
#include "vfio_pci_priv.h"

MODULE_IMPORT_NS("IOMMUFD");

/* What unfreeze needs, and the record: private_data of a preserved file */
struct vfio_pci_lu_file {
	struct vfio_pci_ser *ser;
	u16 command;
	u16 msi;
	u16 msix;
	bool virq_disabled;
};

static_assert(PAGE_SIZE << VFIO_PCI_SER_ORDER == VFIO_PCI_SER_MAX_SIZE);

static const struct vfio_device_ops *vfio_pci_lu_ops;
static bool vfio_pci_lu_registered;

static struct vfio_pci_core_device *to_vdev(struct vfio_device *core_vdev)
{
	return container_of(core_vdev, struct vfio_pci_core_device, vdev);
}

/* The device of a file that can_preserve accepted, or that was retrieved */
static struct vfio_pci_core_device *vfio_pci_lu_vdev(struct file *file)
{
	bool bound;

	return to_vdev(vfio_liveupdate_device(file, &bound));
}

/* ---- Kicks ---- */

static u32 vfio_pci_lu_irq_type(int index)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return VFIO_PCI_SER_IRQ_INTX;
	case VFIO_PCI_MSI_IRQ_INDEX:
		return VFIO_PCI_SER_IRQ_MSI;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return VFIO_PCI_SER_IRQ_MSIX;
	}
	return VFIO_PCI_SER_IRQ_NONE;
}

static void vfio_pci_lu_forget_kicks(struct vfio_pci_core_device *vdev)
{
	lockdep_assert_held(&vdev->igate);

	bitmap_free(vdev->lu_kicks);
	vdev->lu_kicks = NULL;
	vdev->lu_kick_count = 0;
}

/* How many vectors the device has of what the record says was in use */
static int vfio_pci_lu_vectors(struct pci_dev *pdev, u32 irq_type)
{
	switch (irq_type) {
	case VFIO_PCI_SER_IRQ_INTX:
		return 1;
	case VFIO_PCI_SER_IRQ_MSI:
		return max(pci_msi_vec_count(pdev), 0);
	case VFIO_PCI_SER_IRQ_MSIX:
		return max(pci_msix_vec_count(pdev), 0);
	}
	return 0;
}

/* Each vector that may have been in use is to be kicked once */
static int vfio_pci_lu_plan_kicks(struct vfio_pci_core_device *vdev,
				  const struct vfio_pci_ser *ser)
{
	u32 count;

	count = min_t(u32, ser->irq_count,
		      vfio_pci_lu_vectors(vdev->pdev, ser->irq_type));
	if (!count)
		return 0;

	guard(mutex)(&vdev->igate);
	vdev->lu_kicks = bitmap_alloc(count, GFP_KERNEL_ACCOUNT);
	if (!vdev->lu_kicks)
		return -ENOMEM;
	bitmap_fill(vdev->lu_kicks, count);
	vdev->lu_kick_count = count;
	vdev->lu_kick_type = ser->irq_type;
	return 0;
}

static void vfio_pci_lu_irq(struct vfio_pci_core_device *vdev, u32 action,
			    unsigned int vector)
{
	lockdep_assert_held(&vdev->igate);

	vfio_pci_set_irqs_ioctl(vdev, VFIO_IRQ_SET_DATA_NONE | action,
				vdev->irq_type, vector, 1, NULL);
}

/* With DisINTx set its user has heard of it already, or does not want to */
static void vfio_pci_lu_kick_intx(struct vfio_pci_core_device *vdev)
{
	u16 command;

	pci_read_config_word(vdev->pdev, PCI_COMMAND, &command);
	if (!vdev->pci_2_3 || command & PCI_COMMAND_INTX_DISABLE)
		return;
	vfio_pci_lu_irq(vdev, VFIO_IRQ_SET_ACTION_MASK, 0);
	vfio_pci_lu_irq(vdev, VFIO_IRQ_SET_ACTION_UNMASK, 0);
}

/* Interrupts were set up: kick those that have an eventfd for the first time */
static void vfio_pci_lu_kick(struct vfio_pci_core_device *vdev)
{
	unsigned int vector;

	guard(mutex)(&vdev->igate);
	if (!vdev->lu_kicks ||
	    vfio_pci_lu_irq_type(vdev->irq_type) != vdev->lu_kick_type)
		return;
	for_each_set_bit(vector, vdev->lu_kicks, vdev->lu_kick_count) {
		if (!xa_load(&vdev->ctx, vector))
			continue;
		__clear_bit(vector, vdev->lu_kicks);
		if (liveupdate_break("kick"))
			continue;
		if (vdev->irq_type == VFIO_PCI_INTX_IRQ_INDEX)
			vfio_pci_lu_kick_intx(vdev);
		else
			vfio_pci_lu_irq(vdev, VFIO_IRQ_SET_ACTION_TRIGGER,
					vector);
	}
	if (bitmap_empty(vdev->lu_kicks, vdev->lu_kick_count))
		vfio_pci_lu_forget_kicks(vdev);
}

/**
 * vfio_pci_liveupdate_close - vfio_pci_core_close_device(), and no kick is due
 * @core_vdev: The device
 */
void vfio_pci_liveupdate_close(struct vfio_device *core_vdev)
{
	struct vfio_pci_core_device *vdev = to_vdev(core_vdev);

	vfio_pci_core_close_device(core_vdev);
	guard(mutex)(&vdev->igate);
	vfio_pci_lu_forget_kicks(vdev);
}
EXPORT_SYMBOL_GPL(vfio_pci_liveupdate_close);

/* ---- The gate ---- */

/**
 * vfio_pci_liveupdate_init_dev - Initialise the fields of a live update
 * @vdev: A device that is being made
 */
void vfio_pci_liveupdate_init_dev(struct vfio_pci_core_device *vdev)
{
	init_rwsem(&vdev->lu_gate);
}
EXPORT_SYMBOL_GPL(vfio_pci_liveupdate_init_dev);

/**
 * vfio_pci_liveupdate_ioctl - vfio_pci_core_ioctl() unless frozen
 * @core_vdev: The device
 * @cmd: The command
 * @arg: Its argument
 *
 * Vectors of a retrieved device that got their first eventfd are kicked.
 *
 * Return: -EBUSY when @cmd may write to the device and the device is frozen.
 */
long vfio_pci_liveupdate_ioctl(struct vfio_device *core_vdev, unsigned int cmd,
			       unsigned long arg)
{
	struct vfio_pci_core_device *vdev = to_vdev(core_vdev);
	long ret;

	switch (cmd) {
	case VFIO_DEVICE_IOEVENTFD:
	case VFIO_DEVICE_PCI_HOT_RESET:
	case VFIO_DEVICE_RESET:
	case VFIO_DEVICE_SET_IRQS:
		break;
	default:
		return vfio_pci_core_ioctl(core_vdev, cmd, arg);
	}

	guard(rwsem_read)(&vdev->lu_gate);
	if (vdev->lu_frozen)
		return -EBUSY;
	/* The bus would say that it cannot be reset, and that with another errno */
	if (cmd == VFIO_DEVICE_PCI_HOT_RESET && pci_liveupdate_busy(vdev->pdev))
		return -EBUSY;
	ret = vfio_pci_core_ioctl(core_vdev, cmd, arg);
	if (!ret && cmd == VFIO_DEVICE_SET_IRQS)
		vfio_pci_lu_kick(vdev);
	return ret;
}
EXPORT_SYMBOL_GPL(vfio_pci_liveupdate_ioctl);

/**
 * vfio_pci_liveupdate_feature - vfio_pci_core_ioctl_feature() unless frozen
 * @core_vdev: The device
 * @flags: The feature and what to do with it
 * @arg: Its argument
 * @argsz: Size of that
 *
 * Return: -EBUSY when the device is frozen.
 */
int vfio_pci_liveupdate_feature(struct vfio_device *core_vdev, u32 flags,
				void __user *arg, size_t argsz)
{
	struct vfio_pci_core_device *vdev = to_vdev(core_vdev);

	guard(rwsem_read)(&vdev->lu_gate);
	if (vdev->lu_frozen)
		return -EBUSY;
	return vfio_pci_core_ioctl_feature(core_vdev, flags, arg, argsz);
}
EXPORT_SYMBOL_GPL(vfio_pci_liveupdate_feature);

/**
 * vfio_pci_liveupdate_write - vfio_pci_core_write() unless frozen
 * @core_vdev: The device
 * @buf: What to write
 * @count: How much
 * @ppos: Where
 *
 * Return: -EBUSY when the device is frozen.
 */
ssize_t vfio_pci_liveupdate_write(struct vfio_device *core_vdev,
				  const char __user *buf, size_t count,
				  loff_t *ppos)
{
	struct vfio_pci_core_device *vdev = to_vdev(core_vdev);

	guard(rwsem_read)(&vdev->lu_gate);
	if (vdev->lu_frozen)
		return -EBUSY;
	return vfio_pci_core_write(core_vdev, buf, count, ppos);
}
EXPORT_SYMBOL_GPL(vfio_pci_liveupdate_write);

static void vfio_pci_lu_set_frozen(struct vfio_pci_core_device *vdev, bool on)
{
	guard(rwsem_write)(&vdev->lu_gate);
	vdev->lu_frozen = on;
}

/* ---- Old kernel ---- */

static bool vfio_pci_lu_can_preserve(struct liveupdate_file_handler *handler,
				     struct file *file)
{
	struct vfio_device *device;
	bool bound;

	device = vfio_liveupdate_device(file, &bound);
	return device && device->ops == vfio_pci_lu_ops &&
	       !vfio_device_is_noiommu(device);
}

/* What of the device itself, or of how it is used, cannot be kept */
static const char *vfio_pci_lu_reason(struct vfio_pci_core_device *vdev)
{
	struct vfio_device *device = &vdev->vdev;

	if (vdev->pdev->is_virtfn || vdev->sriov_pf_core_dev)
		return "it is an SR-IOV virtual function";
	if (vdev->sriov_active)
		return "it is an SR-IOV physical function with virtual functions";
	if (vdev->pdev->is_physfn || vdev->vf_token)
		return "it is an SR-IOV physical function";
	if (device->mig_ops || device->log_ops)
		return "its driver migrates devices";
	if (vdev->has_vga)
		return "it is a VGA device";
	if (vdev->num_regions)
		return "it has regions of its own";
	/* INTx that is masked at the interrupt controller, not at the device */
	if (vdev->irq_type == VFIO_PCI_INTX_IRQ_INDEX && !vdev->pci_2_3)
		return "its INTx is in use and cannot be masked at the device";
	if (vdev->pdev->cfg_size > VFIO_PCI_SER_CONFIG_SIZE)
		return "its configuration space is too large";
	return NULL;
}

static int vfio_pci_lu_check(struct vfio_pci_core_device *vdev)
{
	struct vfio_device *device = &vdev->vdev;
	const char *reason;

	lockdep_assert_held(&device->dev_set->lock);

	reason = vfio_pci_lu_reason(vdev);
	if (reason)
		return liveupdate_refuse_dev(device->dev, -EOPNOTSUPP, "%s",
					     reason);
	if (!device->iommufd_device || !device->iommufd_attached)
		return liveupdate_refuse_dev(device->dev, -EINVAL,
					     "it is not attached");

	guard(rwsem_read)(&vdev->memory_lock);
	if (vdev->pm_runtime_engaged)
		return liveupdate_refuse_dev(device->dev, -EBUSY,
					     "its user put it to low power");
	if (!list_empty(&vdev->dmabufs))
		return liveupdate_refuse_dev(device->dev, -EBUSY,
					     "a dma-buf of it was exported");
	return 0;
}

static int vfio_pci_lu_keep(struct vfio_pci_core_device *vdev,
			    struct liveupdate_session *session,
			    struct vfio_pci_ser *ser)
{
	struct iommufd_device *idev = vdev->vdev.iommufd_device;
	struct pci_dev *pdev = vdev->pdev;
	u64 token;
	int ret;

	ret = vfio_pci_lu_check(vdev);
	if (ret)
		return ret;
	ret = pci_liveupdate_preserve(pdev, VFIO_PCI_LIVEUPDATE_COMPATIBLE);
	if (ret)
		return ret;
	ret = iommufd_device_preserve(session, idev, &token);
	if (ret) {
		pci_liveupdate_unpreserve(pdev);
		return ret;
	}

	ser->magic = VFIO_PCI_SER_MAGIC;
	ser->version = VFIO_PCI_SER_VERSION;
	ser->size = sizeof(*ser);
	ser->domain = pci_domain_nr(pdev->bus);
	ser->bdf = pci_dev_id(pdev);
	ser->iommufd_token = token;
	ser->iommufd_dev_id = iommufd_device_to_id(idev);
	ser->config_size = pdev->cfg_size;
	return 0;
}

static int vfio_pci_lu_preserve(struct liveupdate_file_op_args *args)
{
	struct vfio_pci_core_device *vdev;
	struct vfio_pci_lu_file *lu;
	bool bound;
	int ret;

	vdev = to_vdev(vfio_liveupdate_device(args->file, &bound));
	if (!bound)
		return liveupdate_refuse_dev(vdev->vdev.dev, -EINVAL,
					     "not bound to an iommufd");

	lu = kzalloc_obj(*lu);
	if (!lu)
		return -ENOMEM;
	lu->ser = kho_alloc_preserve(VFIO_PCI_SER_MAX_SIZE);
	if (IS_ERR(lu->ser)) {
		ret = PTR_ERR(lu->ser);
		goto err_free;
	}

	mutex_lock(&vdev->vdev.dev_set->lock);
	ret = vfio_pci_lu_keep(vdev, args->session, lu->ser);
	mutex_unlock(&vdev->vdev.dev_set->lock);
	if (ret)
		goto err_ser;

	args->private_data = lu;
	args->serialized_data = virt_to_phys(lu->ser);
	return 0;

err_ser:
	kho_unpreserve_free(lu->ser);
err_free:
	kfree(lu);
	return ret;
}

static void vfio_pci_lu_unpreserve(struct liveupdate_file_op_args *args)
{
	struct vfio_pci_core_device *vdev = vfio_pci_lu_vdev(args->file);
	struct vfio_pci_lu_file *lu = args->private_data;

	mutex_lock(&vdev->vdev.dev_set->lock);
	iommufd_device_unpreserve(vdev->vdev.iommufd_device);
	pci_liveupdate_unpreserve(vdev->pdev);
	mutex_unlock(&vdev->vdev.dev_set->lock);
	kho_unpreserve_free(lu->ser);
	kfree(lu);
}

static u32 vfio_pci_lu_irq_count(struct vfio_pci_core_device *vdev)
{
	unsigned long index;
	u32 count = 0;
	void *ctx;

	lockdep_assert_held(&vdev->igate);

	xa_for_each(&vdev->ctx, index, ctx)
		count = index + 1;
	return count;
}

/* What the next kernel sets up, or kicks: kicks that are due may add to it */
static void vfio_pci_lu_snapshot_irqs(struct vfio_pci_core_device *vdev,
				      struct vfio_pci_ser *ser)
{
	guard(mutex)(&vdev->igate);
	ser->irq_type = vfio_pci_lu_irq_type(vdev->irq_type);
	ser->irq_count = vfio_pci_lu_irq_count(vdev);
	if (!vdev->lu_kicks)
		return;
	if (ser->irq_type == VFIO_PCI_SER_IRQ_NONE)
		ser->irq_type = vdev->lu_kick_type;
	if (ser->irq_type == vdev->lu_kick_type)
		ser->irq_count = max(ser->irq_count, vdev->lu_kick_count);
}

/* The device raises no interrupt any more; the gate is closed */
static int vfio_pci_lu_silence(struct vfio_pci_core_device *vdev,
			       struct vfio_pci_lu_file *lu)
{
	struct pci_dev *pdev = vdev->pdev;
	u16 ctrl;

	pci_read_config_word(pdev, PCI_COMMAND, &lu->command);
	/* An irqfd may unmask INTx without passing the gate, but not then */
	scoped_guard(spinlock_irqsave, &vdev->irqlock) {
		lu->virq_disabled = vdev->virq_disabled;
		vdev->virq_disabled = true;
	}
	vfio_pci_intx_mask(vdev);
	scoped_guard(spinlock_irqsave, &vdev->irqlock)
		pci_intx(pdev, 0);

	if (pdev->msi_enabled) {
		pci_read_config_word(pdev, pdev->msi_cap + PCI_MSI_FLAGS,
				     &lu->msi);
		pci_write_config_word(pdev, pdev->msi_cap + PCI_MSI_FLAGS,
				      lu->msi & ~PCI_MSI_FLAGS_ENABLE);
	}
	if (pdev->msix_enabled) {
		pci_read_config_word(pdev, pdev->msix_cap + PCI_MSIX_FLAGS,
				     &lu->msix);
		pci_write_config_word(pdev, pdev->msix_cap + PCI_MSIX_FLAGS,
				      lu->msix | PCI_MSIX_FLAGS_MASKALL);
		pci_read_config_word(pdev, pdev->msix_cap + PCI_MSIX_FLAGS,
				     &ctrl);
		if (!(ctrl & PCI_MSIX_FLAGS_MASKALL))
			return -EIO;
	}
	return 0;
}

static void vfio_pci_lu_unsilence(struct vfio_pci_core_device *vdev,
				  struct vfio_pci_lu_file *lu)
{
	const u32 kick = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
	struct pci_dev *pdev = vdev->pdev;
	u32 count;

	if (pdev->msix_enabled)
		pci_write_config_word(pdev, pdev->msix_cap + PCI_MSIX_FLAGS,
				      lu->msix);
	if (pdev->msi_enabled)
		pci_write_config_word(pdev, pdev->msi_cap + PCI_MSI_FLAGS,
				      lu->msi);
	scoped_guard(spinlock_irqsave, &vdev->irqlock) {
		pci_intx(pdev, !(lu->command & PCI_COMMAND_INTX_DISABLE));
		vdev->virq_disabled = lu->virq_disabled;
	}
	if (vdev->irq_type == VFIO_PCI_INTX_IRQ_INDEX && !lu->virq_disabled)
		vfio_pci_intx_unmask(vdev);
	if (vdev->irq_type != VFIO_PCI_MSI_IRQ_INDEX ||
	    liveupdate_break("kick"))
		return;

	guard(mutex)(&vdev->igate);
	count = vfio_pci_lu_irq_count(vdev);
	/* With a count of 0 that would switch MSI off */
	if (count)
		vfio_pci_set_irqs_ioctl(vdev, kick, VFIO_PCI_MSI_IRQ_INDEX, 0,
					count, NULL);
}

/* What the user sees; nobody changes it any more */
static void vfio_pci_lu_snapshot(struct vfio_pci_core_device *vdev,
				 struct vfio_pci_lu_file *lu)
{
	struct vfio_pci_ser *ser = lu->ser;

	ser->flags = 0;
	if (vdev->reset_works)
		ser->flags |= VFIO_PCI_SER_RESET_WORKS;
	if (vdev->nointx)
		ser->flags |= VFIO_PCI_SER_NO_INTX;
	if (vdev->pci_2_3)
		ser->flags |= VFIO_PCI_SER_INTX_MASKS;
	if (lu->virq_disabled)
		ser->flags |= VFIO_PCI_SER_INTX_DISABLED;
	vfio_pci_lu_snapshot_irqs(vdev, ser);
	memcpy(ser->config, vdev->vconfig, ser->config_size);
}

static int vfio_pci_lu_check_power(struct vfio_pci_core_device *vdev)
{
	guard(rwsem_read)(&vdev->memory_lock);
	return vdev->pm_runtime_engaged ? -EBUSY : 0;
}

static int vfio_pci_lu_freeze(struct liveupdate_file_op_args *args)
{
	struct vfio_pci_core_device *vdev = vfio_pci_lu_vdev(args->file);
	struct vfio_pci_lu_file *lu = args->private_data;
	int ret;

	vfio_pci_lu_set_frozen(vdev, true);
	ret = vfio_pci_lu_check_power(vdev);
	if (ret)
		goto err_gate;
	ret = iommufd_device_freeze(vdev->vdev.iommufd_device);
	if (ret)
		goto err_gate;
	ret = pci_liveupdate_freeze(vdev->pdev);
	if (ret)
		goto err_gate;
	ret = vfio_pci_lu_silence(vdev, lu);
	if (ret)
		goto err_silence;
	vfio_pci_lu_snapshot(vdev, lu);
	liveupdate_delay("frozen");
	return 0;

err_silence:
	vfio_pci_lu_unsilence(vdev, lu);
err_gate:
	vfio_pci_lu_set_frozen(vdev, false);
	return ret;
}

static void vfio_pci_lu_unfreeze(struct liveupdate_file_op_args *args)
{
	struct vfio_pci_core_device *vdev = vfio_pci_lu_vdev(args->file);

	vfio_pci_lu_unsilence(vdev, args->private_data);
	vfio_pci_lu_set_frozen(vdev, false);
}

/* ---- New kernel ---- */

/* The record at @pa, or NULL; only which device it is about can be believed */
static struct vfio_pci_ser *vfio_pci_lu_ser(u64 pa)
{
	struct vfio_pci_ser *ser;

	if (!pa || !kho_folio_preserved(pa, VFIO_PCI_SER_ORDER))
		return NULL;
	ser = phys_to_virt(pa);
	return ser->magic == VFIO_PCI_SER_MAGIC ? ser : NULL;
}

/**
 * vfio_pci_liveupdate_enable - Open a device that kept running
 * @vdev: A device that the PCI core says is incoming
 *
 * Stands for what vfio_pci_core_enable() does up to the configuration space:
 * retrieve has done the same before, without touching what runs.
 *
 * Return: 0; -EBUSY when it is not retrieve that opens the device, though one may
 * be under way.
 */
int vfio_pci_liveupdate_enable(struct vfio_pci_core_device *vdev)
{
	lockdep_assert_held(&vdev->vdev.dev_set->lock);

	if (vdev->lu_opener != current)
		return -EBUSY;
	if (liveupdate_break("vfio_reset"))
		pci_liveupdate_stop(vdev->pdev);
	pci_liveupdate_quiet_msi(vdev->pdev);
	return 0;
}

static void vfio_pci_lu_free_prepared(struct vfio_pci_core_device *vdev)
{
	struct pci_dev *pdev = vdev->pdev;
	unsigned int i;

	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		if (!IS_ERR_OR_NULL(vdev->barmap[i])) {
			pci_iounmap(pdev, vdev->barmap[i]);
			pci_release_selected_regions(pdev, BIT(i));
		}
		vdev->barmap[i] = NULL;
	}
	vfio_config_free(vdev);
	kfree(vdev->pci_saved_state);
	vdev->pci_saved_state = NULL;
	scoped_guard(mutex, &vdev->igate)
		vfio_pci_lu_forget_kicks(vdev);
	pci_liveupdate_disable(pdev);
}

/* An ordinary open does without such a BAR, and so would this one for ever */
static int vfio_pci_lu_map_bars(struct vfio_pci_core_device *vdev)
{
	unsigned int i;

	vfio_pci_liveupdate_map_bars(vdev);
	for (i = 0; i < PCI_STD_NUM_BARS; i++) {
		if (IS_ERR(vdev->barmap[i]) &&
		    vdev->barmap[i] != IOMEM_ERR_PTR(-ENODEV))
			return liveupdate_refuse_dev(&vdev->pdev->dev, -EAGAIN,
						     "BAR %u cannot be mapped",
						     i);
	}
	return 0;
}

/* All that opening the device needs memory for. What close restores is no DMA. */
static int vfio_pci_lu_alloc_prepared(struct vfio_pci_core_device *vdev,
				      const struct vfio_pci_ser *ser)
{
	struct pci_dev *pdev = vdev->pdev;
	u32 *command = &pdev->saved_config_space[PCI_COMMAND / 4];
	int ret;

	pci_save_state(pdev);
	*command &= ~PCI_COMMAND_MASTER;
	*command |= PCI_COMMAND_INTX_DISABLE;
	vdev->pci_saved_state = pci_store_saved_state(pdev);
	if (!vdev->pci_saved_state)
		return -ENOMEM;
	ret = vfio_config_init(vdev);
	if (!ret)
		ret = vfio_pci_lu_plan_kicks(vdev, ser);
	return ret ?: vfio_pci_lu_map_bars(vdev);
}

/* Nothing has happened to the device when this fails, or is undone */
static int vfio_pci_lu_prepare(struct vfio_pci_core_device *vdev,
			       const struct vfio_pci_ser *ser)
{
	struct device *dev = &vdev->pdev->dev;
	int ret;

	lockdep_assert_held(&vdev->vdev.dev_set->lock);

	if (ser->config_size != vdev->pdev->cfg_size)
		return liveupdate_refuse_dev(dev, -EINVAL,
					     "its config space changed size");
	/* Two records may be about the same device */
	if (vdev->vdev.open_count)
		return liveupdate_refuse_dev(dev, -EBUSY, "it is in use");
	ret = pci_enable_device(vdev->pdev);
	if (ret)
		return liveupdate_refuse_dev(dev, -EAGAIN,
					     "it cannot be enabled: %pe",
					     ERR_PTR(ret));

	vdev->reset_works = !!(ser->flags & VFIO_PCI_SER_RESET_WORKS);
	vdev->nointx = !!(ser->flags & VFIO_PCI_SER_NO_INTX);
	vdev->pci_2_3 = !!(ser->flags & VFIO_PCI_SER_INTX_MASKS);
	ret = vfio_pci_lu_alloc_prepared(vdev, ser);
	if (ret) {
		vfio_pci_lu_free_prepared(vdev);
		return ret == -ENOMEM ? -EAGAIN : ret;
	}
	vdev->lu_opener = current;
	return 0;
}

/* The user goes on seeing the same; the interrupt pin is up to this kernel */
static void vfio_pci_lu_load_config(struct vfio_pci_core_device *vdev,
				    const struct vfio_pci_ser *ser)
{
	u8 pin = vdev->vconfig[PCI_INTERRUPT_PIN];

	memcpy(vdev->vconfig, ser->config, ser->config_size);
	vdev->vconfig[PCI_INTERRUPT_PIN] = pin;
	vdev->virq_disabled = !!(ser->flags & VFIO_PCI_SER_INTX_DISABLED);
}

/* The device with a reference on its registration, -EAGAIN when not bound yet */
static struct vfio_pci_core_device *vfio_pci_lu_find(struct pci_dev *pdev)
{
	struct vfio_pci_core_device *vdev = NULL;
	int ret;

	/* Whoever has the lock may be waiting for this device's user */
	if (!device_trylock(&pdev->dev))
		goto not_bound;
	if (device_is_bound(&pdev->dev) && pdev->driver->liveupdate_compat &&
	    !strcmp(pdev->driver->liveupdate_compat,
		    VFIO_PCI_LIVEUPDATE_COMPATIBLE))
		vdev = dev_get_drvdata(&pdev->dev);
	if (vdev && !vfio_device_try_get_registration(&vdev->vdev))
		vdev = NULL;
	device_unlock(&pdev->dev);
	if (vdev)
		return vdev;
not_bound:
	ret = liveupdate_refuse_dev(&pdev->dev, -EAGAIN,
				    "vfio-pci is not bound to it yet");
	return ERR_PTR(ret);
}

static void vfio_pci_lu_stop(struct vfio_device *core_vdev)
{
	pci_liveupdate_stop(to_vdev(core_vdev)->pdev);
}

static struct file *vfio_pci_lu_open(struct vfio_pci_core_device *vdev,
				     struct file *iommufd,
				     const struct vfio_pci_ser *ser)
{
	struct mutex *lock = &vdev->vdev.dev_set->lock;
	struct file *file;
	int ret;

	scoped_guard(mutex, lock)
		ret = vfio_pci_lu_prepare(vdev, ser);
	if (ret) {
		vfio_device_put_registration(&vdev->vdev);
		return ERR_PTR(ret);
	}
	liveupdate_delay("retrieve");
	/* The other one goes with the file, or its failure; nobody unregisters */
	WARN_ON(!vfio_device_try_get_registration(&vdev->vdev));
	file = vfio_liveupdate_open(&vdev->vdev, iommufd, ser->iommufd_dev_id,
				    vfio_pci_lu_stop);
	scoped_guard(mutex, lock) {
		vdev->lu_opener = NULL;
		if (IS_ERR(file))
			vfio_pci_lu_free_prepared(vdev);
	}
	if (!IS_ERR(file))
		vfio_pci_lu_load_config(vdev, ser);
	vfio_device_put_registration(&vdev->vdev);
	return file;
}

static int vfio_pci_lu_retrieve(struct liveupdate_file_op_args *args)
{
	struct vfio_pci_core_device *vdev;
	struct file *iommufd, *file;
	struct vfio_pci_ser *ser;
	struct pci_dev *pdev;
	int ret;

	ser = vfio_pci_lu_ser(args->serialized_data);
	ret = ser ? vfio_pci_ser_check(ser) : -EINVAL;
	if (ret)
		return liveupdate_refuse("vfio-pci", ret,
					 "a record that cannot be used");
	pdev = pci_liveupdate_get_incoming(ser->domain, ser->bdf,
					   VFIO_PCI_LIVEUPDATE_COMPATIBLE);
	if (IS_ERR(pdev))
		return liveupdate_refuse("vfio-pci", PTR_ERR(pdev),
					 "%04x:%02x:%02x.%x is not kept",
					 ser->domain, PCI_BUS_NUM(ser->bdf),
					 PCI_SLOT(ser->bdf & 0xff),
					 PCI_FUNC(ser->bdf & 0xff));
	vdev = vfio_pci_lu_find(pdev);
	if (IS_ERR(vdev)) {
		ret = PTR_ERR(vdev);
		goto out_pdev;
	}
	ret = liveupdate_get_file_incoming(args->session, ser->iommufd_token,
					   &iommufd);
	if (ret) {
		vfio_device_put_registration(&vdev->vdev);
		goto out_pdev;
	}

	file = vfio_pci_lu_open(vdev, iommufd, ser);
	ret = PTR_ERR_OR_ZERO(file);
	if (!ret)
		args->file = file;
	fput(iommufd);
out_pdev:
	pci_dev_put(pdev);
	return ret;
}

static bool vfio_pci_lu_can_finish(struct liveupdate_file_op_args *args)
{
	return true;
}

static void vfio_pci_lu_abandon(const struct vfio_pci_ser *ser)
{
	struct pci_dev *pdev;

	pdev = pci_liveupdate_get_incoming(ser->domain, ser->bdf,
					   VFIO_PCI_LIVEUPDATE_COMPATIBLE);
	/* A lost device was stopped when it was found */
	if (IS_ERR(pdev))
		return;
	pci_info(pdev, "kept device was not retrieved, stopping it\n");
	pci_liveupdate_stop(pdev);
	iommu_liveupdate_abandon_device(&pdev->dev);
	pci_liveupdate_finish(pdev);
	pci_dev_put(pdev);
}

static void vfio_pci_lu_finish(struct liveupdate_file_op_args *args)
{
	struct vfio_pci_ser *ser = vfio_pci_lu_ser(args->serialized_data);
	struct pci_dev *pdev;

	if (args->retrieve_status > 0) {
		pdev = vfio_pci_lu_vdev(args->file)->pdev;
		iommu_liveupdate_finish_device(&pdev->dev);
		pci_liveupdate_finish(pdev);
	} else if (ser) {
		vfio_pci_lu_abandon(ser);
	}
	/* A record that is not one may be anything: leave it alone */
	if (ser)
		kho_restore_free(ser);
}

static struct liveupdate_file_ops vfio_pci_lu_file_ops = {
	.can_preserve = vfio_pci_lu_can_preserve,
	.preserve = vfio_pci_lu_preserve,
	.unpreserve = vfio_pci_lu_unpreserve,
	.freeze = vfio_pci_lu_freeze,
	.unfreeze = vfio_pci_lu_unfreeze,
	.retrieve = vfio_pci_lu_retrieve,
	.can_finish = vfio_pci_lu_can_finish,
	.finish = vfio_pci_lu_finish,
};

static struct liveupdate_file_handler vfio_pci_lu_handler = {
	.ops = &vfio_pci_lu_file_ops,
	.compatible = VFIO_PCI_LIVEUPDATE_COMPATIBLE,
};

/**
 * vfio_pci_liveupdate_register - vfio-pci is there
 * @ops: The ops of its devices; no other driver's devices are kept
 * @owner: Its module
 *
 * Return: 0, also when live update is switched off, or a negative errno.
 */
int vfio_pci_liveupdate_register(const struct vfio_device_ops *ops,
				 struct module *owner)
{
	int ret;

	if (!liveupdate_enabled())
		return 0;
	vfio_pci_lu_ops = ops;
	vfio_pci_lu_file_ops.owner = owner;
	ret = liveupdate_register_file_handler(&vfio_pci_lu_handler);
	if (ret)
		return ret;
	ret = pci_liveupdate_register(&vfio_pci_lu_handler);
	if (ret)
		liveupdate_unregister_file_handler(&vfio_pci_lu_handler);
	vfio_pci_lu_registered = !ret;
	return ret;
}
EXPORT_SYMBOL_GPL(vfio_pci_liveupdate_register);

/**
 * vfio_pci_liveupdate_unregister - vfio-pci goes away
 */
void vfio_pci_liveupdate_unregister(void)
{
	if (!vfio_pci_lu_registered)
		return;
	pci_liveupdate_unregister(&vfio_pci_lu_handler);
	liveupdate_unregister_file_handler(&vfio_pci_lu_handler);
	vfio_pci_lu_registered = false;
}
EXPORT_SYMBOL_GPL(vfio_pci_liveupdate_unregister);
