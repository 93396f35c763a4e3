// SPDX-License-Identifier: GPL-2.0-only
/*
 * dma: a network card keeps receiving while the kernel is replaced.
 *
 * Options: preserve=0 keeps the memory only (the negative control); warm=,
 * more=, cont=, fin= are numbers of frames to wait for; order= is the order of
 * retrieval, a word of the letters v, m, i; token_*= are the tokens; iova=;
 * timeout= (ms); modules=late has the new kernel ask for its modules; unbound=1
 * means that no driver of the new kernel takes the card by itself; use=1 does all
 * that a VMM may do with an iommufd, see use.c; intruder=1 has another process
 * want the card; dirty=1 tracks what the card writes (spoil=dirty: at the second
 * page table, too), for which the unit has to be able to;
 * kmemleak=0 leaves the leak scan out; testdev=1 has a second
 * device beside it that is not kept; crash=1 has both kernels load a crash
 * kernel beside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/kexec.h>
#include <sys/mman.h>

#include "dma.h"
#include "frozen.h"
#include "guest.h"
#include "kit.h"
#include "use.h"

static struct dma ctx;

static int same_objects(void *p)
{
	struct dma *d = p;

	return iommufd_same_objects(d->iommufd, d->state->objects,
				    d->state->nr_objects);
}

static int ids_work(void *p)
{
	struct dma *d = p;
	uint64_t caps;
	int rc;

	rc = iommufd_hw_info(d->iommufd, d->state->dev_id, &caps);
	if (rc)
		return v_error(rc, "IOMMU_GET_HW_INFO");
	if (caps != d->state->caps)
		return v_error(0, "other capabilities");
	return 0;
}

static int bind_again(void *p)
{
	struct dma *d = p;
	uint32_t id;
	int rc;

	rc = vfio_bind(d->vfio, d->iommufd, &id);
	if (rc)
		return v_error(rc, "VFIO_DEVICE_BIND_IOMMUFD");
	return id == d->state->dev_id ? 0 : v_error(0, "another device id");
}

static int bind_elsewhere(void *p)
{
	struct dma *d = p;
	int other = iommufd_open(), rc;
	uint32_t id;

	if (other < 0)
		return v_error(other, "open /dev/iommu");
	rc = vfio_bind(d->vfio, other, &id);
	close(other);
	return rc == -EPERM ? 0 : v_error(rc, "wanted EPERM");
}

static int final_count(void *p)
{
	struct dma *d = p;
	int rc = 0;

	if (d->keep)
		rc = dma_ring_is_consistent(d);
	return dma_final_count(d) ? -EIO : rc;
}

static int new_send(void *p)
{
	struct dma *d = p;

	return dma_send(d, d->nic.tx_bufs, d->state->iova + RO_IOVA_OFF,
			TX_FRAMES_NEW - TX_FRAMES_FRESH);
}

static int new_mapping(void *p)
{
	struct dma *d = p;
	struct dma_state *s = d->state;
	uint64_t iova = s->iova + NEW_IOVA_OFF;
	void *mem;
	int fd, rc;

	fd = make_memfd("fresh", NEW_LEN, &mem);
	if (fd < 0)
		return v_error(fd, "memfd");
	rc = iommufd_map_file(d->iommufd, s->ioas_id, fd, 0, NEW_LEN, iova,
			      true);
	if (rc) {
		v_error(rc, "IOMMU_IOAS_MAP_FILE");
		goto out;
	}
	rc = dma_send(d, mem, iova, TX_FRAMES_FRESH);
	v_info("tx_sent", "%llu", (unsigned long long)s->tx_seq);
	if (!rc)
		rc = iommufd_unmap(d->iommufd, s->ioas_id, iova, NEW_LEN);
	else
		iommufd_unmap(d->iommufd, s->ioas_id, iova, NEW_LEN);
out:
	munmap(mem, NEW_LEN);
	close(fd);
	return rc;
}

static int frames_after_finish(void *p)
{
	struct dma *d = p;
	int rc;

	e1000e_replenish(&d->nic, d->rx.next);
	rc = dma_wait_frames(d, opt_u64("fin", 100));
	v_info("frames_total", "%llu", (unsigned long long)d->rx.count);
	v_info("holes_total", "%llu", (unsigned long long)d->rx.holes);
	return rc ? rc : dma_ring_is_consistent(d);
}

/* The card may write to all of it until the session is finished. */
static int is_held(void *p)
{
	struct dma *d = p;
	int bad = 0;

	bad |= want(ftruncate(d->memfd, MEM_LEN / 2) ? -errno : 0, -EPERM,
		    "shorten the memfd");
	bad |= want(fallocate(d->memfd, FALLOC_FL_PUNCH_HOLE |
			      FALLOC_FL_KEEP_SIZE, OFF_RX_BUF, MIB) ?
		    -errno : 0, -EPERM, "punch a hole");
	return bad;
}

/* The old kernel's processes, see hammer.c. */
static bool was_hammered(void *p)
{
	(void)p;
	return opt_u64("hammer", 0);
}

static int hammered(void *p)
{
	return hammer_result(p);
}

static bool wants_fin(void *p)
{
	return dma_keeps(p) && opt_u64("fin", 100);
}

static bool is_unbound(void *p)
{
	(void)p;
	return opt_u64("unbound", 0);
}

/* Its driver may come at any time. */
static int not_yet(void *p)
{
	struct dma *d = p;
	int bad;

	kmsg_skip();
	bad = want(luo_get(d->session, dma_token_vfio()), -EAGAIN,
		   "retrieve the device");
	bad |= kmsg_refusal(d->bdf, "vfio-pci is not bound to it yet");
	return bad;
}

static bool has_intruder(void *p)
{
	(void)p;
	return opt_u64("intruder", 0);
}

static bool on_request(void *p)
{
	return dma_keeps(p) && modules_late();
}

static bool by_itself(void *p)
{
	return dma_keeps(p) && !modules_late() && !is_unbound(p);
}

static int no_sleep_yet(void *p)
{
	int bad;

	(void)p;
	kmsg_skip();
	bad = want(write_file("/sys/power/state", "freeze"), -EBUSY, "freeze");
	bad |= kmsg_refusal("power", "and some to finish");
	kmsg_skip();
	bad |= want(kexec_load_old(KEXEC_PRESERVE_CONTEXT), -EOPNOTSUPP,
		    "KEXEC_PRESERVE_CONTEXT");
	return bad | kmsg_refusal("kexec", "preserve_context with kept devices");
}

static const struct step new_kernel[] = {
	CHECK_WHEN("vfio-pci has bound itself to the card", dma_bound_by_itself,
		   by_itself),
	CHECK_WHEN("vfio-pci is not there yet", dma_not_bound_yet, on_request),
	CHECK_WHEN("the card has no driver", dma_not_bound_yet, is_unbound),
	CHECK_WHEN("the card is a bus master", dma_still_mastering, dma_keeps),
	SYNC("booted"),
	STEP_WHEN("what this process pins is charged to it", use_be_charged,
		  use_charged),
	STEP("the session is retrieved", dma_get_session),
	CHECK_WHEN("the device cannot be retrieved yet: EAGAIN", not_yet,
		   is_unbound),
	STEP_WHEN("the card is bound to vfio-pci", dma_bind_driver, is_unbound),
	STEP_WHEN("another process tries to bind the card", intruder_start,
		  has_intruder),
	STEP("the files are retrieved", dma_get_files),
	CHECK_WHEN("that process did not get the card", intruder_result, has_intruder),
	STEP("memory is intact", dma_memory_is_intact),
	SYNC("retrieved"),
	CHECK_WHEN("memory is of the same large folios", dma_memory_is_large,
		   dma_wants_large),
	CHECK_WHEN("memory is held", is_held, dma_keeps),
	CHECK_WHEN("vfio-pci has come and bound itself", dma_bound_by_itself,
		   on_request),
	CHECK_WHEN("the objects are the same", same_objects, dma_keeps),
	CHECK_WHEN("the device id works", ids_work, dma_keeps),
	CHECK_WHEN("binding again gives the same id", bind_again, dma_keeps),
	CHECK_WHEN("the machine does not sleep yet", no_sleep_yet, dma_keeps),
	CHECK_WHEN("binding to another iommufd is refused", bind_elsewhere,
		   dma_keeps),
	STEP_WHEN("the registers are mapped", dma_map_registers, dma_keeps),
	CHECK_WHEN("nothing changed between freeze and jump", hammered,
		   was_hammered),
	CHECK_WHEN("the new kernel loads a crash kernel, too", dma_load_crash,
		   dma_wants_crash),
	CHECK("frames are contiguous", dma_frames_are_whole),
	CHECK_WHEN("frames arrived during the kexec", dma_frames_crossed,
		   dma_keeps),
	CHECK_WHEN("filled descriptors are as many as the card says",
		   dma_ring_is_consistent, dma_keeps),
	CHECK_WHEN("more frames arrive in new descriptors", dma_replenish,
		   dma_keeps),
	USE_STEPS("before finish"),
	STEP_WHEN("the card is moved between page tables while frames arrive",
		  use_move, use_wanted),
	SYNC_WHEN("moved", use_wanted),
	CHECK_WHEN("the card is moved back", use_move_back, use_wanted),
	CHECK_WHEN("a move that fails leaves it where it was",
		   use_failing_move, use_failing),
	CHECK_WHEN("what it wrote can be read", use_dirty, use_tracking),
	SYNC("continued"),
	CHECK("the final count is whole", final_count),
	CHECK_WHEN("frames are sent", new_send, dma_keeps),
	CHECK_WHEN("new memory is mapped, read by the card, unmapped",
		   new_mapping, dma_keeps),
	CHECK("the session is finished", dma_finish),
	CHECK_WHEN("tracking is switched off", use_dirty_off, use_tracking),
	SYNC_WHEN("finished", dma_keeps),
	CHECK_WHEN("frames arrive after that", frames_after_finish, wants_fin),
	USE_STEPS("after finish"),
	CHECK_WHEN("the card is moved again after finish", use_move, use_wanted),
	CHECK_WHEN("the card is detached and attached", use_replace,
		   use_wanted),
	CHECK_WHEN("what was kept is destroyed", use_destroy, use_wanted),
	CHECK_WHEN("the other device is set up", testdev_new, testdev_wanted),
	SYNC_WHEN("testdev", testdev_wanted),
	CHECK_WHEN("the other device is closed", testdev_close, testdev_wanted),
	STEP("everything is closed", dma_close_everything),
	SYNC("closed"),
	CHECK_WHEN("the card is reset", dma_device_is_reset, dma_keeps),
	CHECK_WHEN("the IOMMU's pages are given back", dma_pages_are_back,
		   dma_keeps),
	CHECK_WHEN("nothing is leaked", dma_no_leak, dma_has_kmemleak),
};

int test_dma(unsigned int stage)
{
	dma_init(&ctx);
	if (stage == 1)
		return dma_old_kernel(&ctx);
	ctx.pages_booted = vmstat("nr_iommu_pages");
	return v_run(new_kernel, ARRAY_SIZE(new_kernel), &ctx);
}
