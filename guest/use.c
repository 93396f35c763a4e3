// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a VMM does with an iommufd it got back, by the ordinary ioctls on the same
 * ids, while the card goes on receiving: copies, unmaps and maps again what was
 * mapped before the update, asks for and restricts ranges, has another process
 * charged for what is pinned, makes a second page table of the kept address space,
 * attaches another device to the kept page table, moves the card from one of the
 * two page tables to the other and back. At last the card, with its receiver off,
 * is taken off and put back, and everything that was kept is destroyed.
 *
 * What the card sends is read by it through the mapping in question.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dma.h"
#include "failnth.h"
#include "guest.h"
#include "kit.h"
#include "use.h"

#define COPY_IOVA_OFF	(0xc0000000ULL + 0x7000)
#define NR_RANGES	16
#define NR_FRAMES	4

static uint32_t second_hwpt;

bool use_wanted(void *p)
{
	return dma_keeps(p) && opt_u64("use", 0);
}

static uint64_t window(const struct dma *d)
{
	return d->state->iova + RO_IOVA_OFF;
}

/* Frames out through @iova, where the transmit buffers are; frames in meanwhile. */
static int sends_from(struct dma *d, uint64_t iova)
{
	int rc = dma_send(d, d->nic.tx_bufs, iova, NR_FRAMES);

	v_info("tx_sent", "%llu", (unsigned long long)d->state->tx_seq);
	return rc;
}

/* As it was; nothing is sent meanwhile. */
static int make_window_again(struct dma *d)
{
	uint32_t ioas = d->state->ioas_id;
	int bad;

	bad = want(iommufd_unmap(d->iommufd, ioas, window(d), TX_BUF_LEN), 0,
		   "unmap a kept mapping");
	bad |= want(iommufd_map_file(d->iommufd, ioas, d->memfd, OFF_TX_BUF,
				     TX_BUF_LEN, window(d), false), 0,
		    "map it again");
	return bad;
}

int use_copy(void *p)
{
	struct dma *d = p;
	struct dma_state *s = d->state;
	uint64_t copy = s->iova + COPY_IOVA_OFF;
	int bad = 0;

	bad |= want(iommufd_copy(d->iommufd, s->ioas_id, window(d), TX_BUF_LEN,
				 copy), 0, "copy a kept mapping");
	if (!bad)
		bad |= sends_from(d, copy);
	bad |= want(iommufd_unmap(d->iommufd, s->ioas_id, copy, TX_BUF_LEN), 0,
		    "unmap the copy");
	return bad | dma_goes_on(d);
}

int use_remap(void *p)
{
	struct dma *d = p;
	int bad = 0;

	bad |= want(iommufd_unmap(d->iommufd, d->state->ioas_id, window(d),
				  4096),
		    -ENOENT, "unmap a part of a kept mapping");
	bad |= make_window_again(d);
	if (!bad)
		bad |= sends_from(d, window(d));
	return bad | dma_goes_on(d);
}

int use_ranges(void *p)
{
	struct iommu_iova_range r[NR_RANGES], all = { 0 };
	struct dma *d = p;
	uint32_t ioas = d->state->ioas_id, n = NR_RANGES, i;
	bool inside = false;
	int bad = 0;

	bad |= want(iommufd_ranges(d->iommufd, ioas, r, &n), 0, "IOVA ranges");
	for (i = 0; !bad && i < n && i < NR_RANGES; i++)
		inside |= r[i].start <= d->state->iova &&
			  r[i].last >= window(d) + TX_BUF_LEN - 1;
	bad |= want(inside, true, "what is mapped is in a range");
	all.start = d->state->iova;
	all.last = d->state->iova + COPY_IOVA_OFF + TX_BUF_LEN - 1;
	bad |= want(iommufd_allow(d->iommufd, ioas, &all, 1), 0,
		    "allow what is in use");
	bad |= make_window_again(d);
	bad |= want(iommufd_allow(d->iommufd, ioas, NULL, 0), 0, "allow all");
	return bad | dma_goes_on(d);
}

bool use_charged(void *p)
{
	return use_wanted(p) && strcmp(opt_str("account", "none"), "none");
}

int use_be_charged(void *p)
{
	int rc = be_charged();

	(void)p;
	return rc ? v_error(rc, "be charged") : 0;
}

static int is_charged(struct dma *d, bool all)
{
	struct dma_state *s = d->state;
	int bad;

	bad = want(status_kib("VmPin:"), all ? s->pinned_kib : 0, "VmPin");
	return bad | want(status_kib("VmLck:"), all ? s->locked_kib : 0,
			  "VmLck");
}

/* In the child, which stays until the parent has let go of its end of the pipe. */
static void take_charge(struct dma *d, bool moves, int done, int end)
{
	int bad = want(iommufd_change_process(d->iommufd), 0,
		       "CHANGE_PROCESS, in the child");
	char c = bad || is_charged(d, moves);

	if (write(done, &c, 1) == 1)
		(void)!read(end, &c, 1);
	_exit(0);
}

/*
 * Who owns it is charged as in the old kernel: this process, another one, this one. What a
 * privileged process mapped is counted, and not charged: it stays with who retrieved it.
 * The other process lives meanwhile: CHANGE_PROCESS takes no charge off one that is gone.
 */
int use_account(void *p)
{
	const bool locks = !strcmp(opt_str("account", "none"), "process");
	const bool moves = use_charged(p);
	int done[2], end[2], bad;
	struct dma *d = p;
	char c = 1;
	pid_t pid;

	bad = want(d->state->pinned_kib, (MEM_LEN + TX_BUF_LEN) / KIB,
		   "VmPin in the old kernel");
	bad |= want(d->state->locked_kib, locks ? d->state->pinned_kib : 0,
		    "VmLck in the old kernel");
	bad |= is_charged(d, true);
	if (pipe(done) || pipe(end))
		return v_error(-errno, "pipe");
	pid = fork();
	if (!pid) {
		close(end[1]);
		take_charge(d, moves, done[1], end[0]);
	}
	close(done[1]);
	bad |= want(pid > 0 && read(done[0], &c, 1) == 1 && !c, true,
		    "the other process is charged");
	bad |= is_charged(d, !moves);
	bad |= want(iommufd_change_process(d->iommufd), 0, "CHANGE_PROCESS");
	bad |= is_charged(d, true);
	close(done[0]);
	close(end[0]);
	close(end[1]);
	waitpid(pid, NULL, 0);
	return bad | dma_goes_on(d);
}

static int make_second_table(struct dma *d)
{
	bool track = !strcmp(opt_str("spoil", ""), "dirty");
	struct dma_state *s = d->state;
	int rc;

	rc = iommufd_hwpt_alloc_flags(d->iommufd, s->dev_id, s->ioas_id,
				      track ? IOMMU_HWPT_ALLOC_DIRTY_TRACKING :
				      0, &second_hwpt);
	if (!rc && track)
		rc = iommufd_track_dirty(d->iommufd, second_hwpt, true);
	return rc;
}

/* Left for use_replace(): it is filled from the kept address space. */
int use_second_table(void *p)
{
	struct dma *d = p;
	struct dma_state *s = d->state;
	uint32_t hwpt;
	int bad = 0;

	bad |= want(iommufd_hwpt_alloc(d->iommufd, s->dev_id, s->ioas_id,
				       &hwpt), 0, "a page table");
	if (!bad)
		bad |= want(iommufd_destroy(d->iommufd, hwpt), 0, "destroy it");
	if (!second_hwpt)
		bad |= want(make_second_table(d), 0, "a second page table");
	bad |= want(iommufd_destroy(d->iommufd, s->hwpt_id), -EBUSY,
		    "destroy the one in use");
	bad |= want(iommufd_destroy(d->iommufd, s->ioas_id), -EBUSY,
		    "destroy its address space");
	return bad | dma_goes_on(d);
}

int use_other_device(void *p)
{
	struct dma *d = p;
	int fd = dma_open_second(d), bad = 0;

	if (fd < 0)
		return fd;
	bad |= want(vfio_attach(fd, d->state->hwpt_id), 0,
		    "attach it to the kept page table");
	if (!bad)
		bad |= dma_goes_on(d);
	bad |= want(vfio_detach(fd), 0, "detach it");
	close(fd);
	return bad | dma_goes_on(d);
}

/* To and fro, at last to the second page table; a frame comes in through each. */
int use_move(void *p)
{
	struct dma *d = p;
	const uint32_t table[] = { d->state->hwpt_id, second_hwpt };
	uint64_t moves = opt_u64("moves", 200), i;
	int bad = 0;

	for (i = 0; !bad && i < moves; i++) {
		e1000e_replenish(&d->nic, d->rx.next);
		bad = want(vfio_attach(d->vfio, table[i % 2]), 0, "replace");
		if (!bad)
			bad = dma_wait_frames(d, 1);
	}
	v_info("moves", "%llu", (unsigned long long)i);
	bad |= want(d->rx.holes, 0, "frames lost meanwhile");
	return bad | dma_goes_on(d);
}

int use_move_back(void *p)
{
	struct dma *d = p;
	int bad = want(vfio_attach(d->vfio, d->state->hwpt_id), 0, "replace");

	return bad | dma_goes_on(d);
}

bool use_tracking(void *p)
{
	return use_wanted(p) && dma_tracks(p);
}

/* The unit marks nothing here, so that it is not known what has to be read. */
int use_dirty(void *p)
{
	struct dma *d = p;
	struct dma_state *s = d->state;
	uint64_t got = 0;
	int bad;

	bad = want(iommufd_read_dirty(d->iommufd, s->hwpt_id, s->iova,
				      64 * 4096, false, &got), 0,
		   "read what is dirty");
	bad |= want(iommufd_read_dirty(d->iommufd, second_hwpt, s->iova,
				       64 * 4096, false, &got), -EOPNOTSUPP,
		    "read it of a page table that does not track");
	return bad | dma_goes_on(d);
}

int use_dirty_off(void *p)
{
	struct dma *d = p;

	return want(iommufd_track_dirty(d->iommufd, d->state->hwpt_id, false),
		    0, "no longer track");
}

static int to_second(void *p)
{
	struct dma *d = p;

	return vfio_attach(d->vfio, second_hwpt);
}

static int to_kept(void *p)
{
	struct dma *d = p;
	int rc = vfio_attach(d->vfio, d->state->hwpt_id);

	return rc ? rc : dma_goes_on(d);
}

/* A move that fails leaves it where it was, and it goes on receiving. */
int use_failing_move(void *p)
{
	struct failnth f = { .what = "replace the page table" };
	int bad = dma_sweep(&f, to_second, to_kept, p);

	return bad | to_kept(p);
}

bool use_failing(void *p)
{
	return use_wanted(p) && opt_u64("faults", 0);
}

/* With its receiver off the card can be without any page table. */
int use_replace(void *p)
{
	struct dma *d = p;
	struct dma_state *s = d->state;
	const uint32_t table[] = { second_hwpt, s->hwpt_id, second_hwpt };
	unsigned int i;
	int bad = 0;

	d->nic.bar[E1000E_RCTL / 4] = 0;
	for (i = 0; !bad && i < ARRAY_SIZE(table); i++) {
		bad |= want(vfio_attach(d->vfio, table[i]), 0, "replace");
		if (!bad)
			bad = sends_from(d, window(d));
		bad |= want(vfio_detach(d->vfio), 0, "detach");
		bad |= want(vfio_attach(d->vfio, table[i]), 0, "attach again");
		if (!bad)
			bad = sends_from(d, window(d));
	}
	return bad;
}

int use_destroy(void *p)
{
	struct dma *d = p;
	struct dma_state *s = d->state;
	int bad = 0;

	bad |= want(iommufd_destroy(d->iommufd, s->hwpt_id), 0,
		    "destroy the kept page table");
	bad |= want(sends_from(d, window(d)), 0, "send through the other one");
	bad |= want(vfio_detach(d->vfio), 0, "detach");
	bad |= want(iommufd_destroy(d->iommufd, second_hwpt), 0,
		    "destroy that one");
	bad |= want(iommufd_unmap(d->iommufd, s->ioas_id, s->iova, MEM_LEN), 0,
		    "unmap all the memory");
	bad |= want(iommufd_unmap(d->iommufd, s->ioas_id, window(d),
				  TX_BUF_LEN), 0, "unmap the window");
	bad |= want(iommufd_destroy(d->iommufd, s->ioas_id), 0,
		    "destroy the address space");
	return bad | is_charged(d, false);
}
