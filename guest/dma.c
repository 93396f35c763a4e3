// SPDX-License-Identifier: GPL-2.0-only
/* The program under test: set it up, look at it, take it down. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "dma.h"
#include "guest.h"
#include "kit.h"

uint64_t dma_token_memfd(void)
{
	return opt_u64("token_memfd", 1);
}

uint64_t dma_token_iommufd(void)
{
	return opt_u64("token_iommufd", 2);
}

uint64_t dma_token_vfio(void)
{
	return opt_u64("token_vfio", 0x300000003);
}

/* By the letter that names a file in the options: m, i or v. */
uint64_t dma_token(char what)
{
	return what == 'm' ? dma_token_memfd() :
	       what == 'i' ? dma_token_iommufd() : dma_token_vfio();
}

bool dma_wants_large(void *ctx)
{
	(void)ctx;
	return opt_u64("large", 0);
}

/* Every part of memory that the card writes to. */
int dma_memory_is_large(void *ctx)
{
	struct dma *d = ctx;
	uint64_t off;
	int bad = 0;

	for (off = OFF_RX_BUF; off < d->state->mem_len; off += 2 * MIB)
		if (!folio_is_large((char *)d->mem + off))
			bad = v_error(0, "a folio of one page");
	return bad;
}

bool dma_keeps(void *ctx)
{
	struct dma *d = ctx;

	return d->keep;
}

void dma_init(struct dma *d)
{
	memset(d, 0, sizeof(*d));
	d->keep = opt_u64("preserve", 1);
	d->luo = d->session = d->memfd = d->iommufd = d->vfio = -1;
	frames_init(&d->rx);
}

int dma_bind_driver(void *ctx)
{
	struct dma *d = ctx;
	int rc = dma_find(d);

	if (rc)
		return rc;
	rc = pci_bind_vfio(d->bdf);
	return rc ? v_error(rc, "binding it to vfio-pci") : 0;
}

/* Tells the driver and the frame counter where their memory is. */
void dma_look_at_memory(struct dma *d)
{
	uint8_t *mem = d->mem;

	d->state = d->mem;
	d->nic.rx_ring = RX_RING;
	d->nic.rx = (void *)(mem + OFF_RX_RING);
	d->nic.rx_bufs = mem + OFF_RX_BUF;
	d->nic.tx = (void *)(mem + OFF_TX_RING);
	d->nic.tx_bufs = mem + OFF_TX_BUF;
}

int dma_make_memory(void *ctx)
{
	struct dma *d = ctx;
	uint64_t iova = opt_u64("iova", DEFAULT_IOVA);

	d->memfd = make_memfd("guest-ram", MEM_LEN, &d->mem);
	if (d->memfd < 0)
		return v_error(d->memfd, "memfd");
	memset(d->mem, 0, MEM_LEN);
	dma_look_at_memory(d);
	d->state->magic = STATE_MAGIC;
	d->state->mem_len = MEM_LEN;
	d->state->iova = iova;
	d->state->seed = now_ms() ^ iova;
	memcpy(d->state->bdf, d->bdf, sizeof(d->bdf));
	pattern_fill((uint8_t *)d->mem + OFF_PATTERN, PATTERN_LEN,
		     d->state->seed);
	return 0;
}

bool dma_tracks(void *ctx)
{
	return dma_keeps(ctx) && opt_u64("dirty", 0);
}

int dma_track(void *ctx)
{
	struct dma *d = ctx;

	return want(iommufd_track_dirty(d->iommufd, d->state->hwpt_id, true),
		    0, "track dirty pages");
}

/* Option account=: none, as for root; user or process, as for a VMM. */
static int choose_account(int iommufd)
{
	const char *who = opt_str("account", "none");
	int rc = strcmp(who, "none") ? be_charged() : 0;

	if (rc || strcmp(who, "process"))
		return rc;
	return iommufd_charge_process(iommufd);
}

/*
 * The page table is allocated over the filled address space and only then
 * attached: attaching to an address space by its own id would attach an empty
 * table first.
 */
int dma_attach(void *ctx)
{
	struct dma *d = ctx;
	struct dma_state *s = d->state;
	long pages = vmstat("nr_iommu_pages");
	int rc;

	d->iommufd = iommufd_open();
	if (d->iommufd < 0)
		return v_error(d->iommufd, "open /dev/iommu");
	rc = choose_account(d->iommufd);
	if (rc)
		return v_error(rc, "choose who is charged");
	d->vfio = vfio_open(d->bdf);
	if (d->vfio < 0)
		return v_error(d->vfio, "open the VFIO device");
	rc = vfio_bind(d->vfio, d->iommufd, &s->dev_id);
	if (rc)
		return v_error(rc, "VFIO_DEVICE_BIND_IOMMUFD");
	rc = iommufd_hw_info(d->iommufd, s->dev_id, &s->caps);
	if (rc)
		return v_error(rc, "IOMMU_GET_HW_INFO");
	rc = iommufd_ioas_alloc(d->iommufd, &s->ioas_id);
	if (rc)
		return v_error(rc, "IOMMU_IOAS_ALLOC");
	rc = iommufd_map_file(d->iommufd, s->ioas_id, d->memfd, 0, MEM_LEN,
			      s->iova, true);
	if (rc)
		return v_error(rc, "IOMMU_IOAS_MAP_FILE");
	rc = iommufd_map_file(d->iommufd, s->ioas_id, d->memfd, OFF_TX_BUF,
			      TX_BUF_LEN, s->iova + RO_IOVA_OFF, false);
	if (rc)
		return v_error(rc, "IOMMU_IOAS_MAP_FILE, read-only");
	rc = iommufd_hwpt_alloc_flags(d->iommufd, s->dev_id, s->ioas_id,
				      dma_tracks(d) ?
				      IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0,
				      &s->hwpt_id);
	if (rc)
		return v_error(rc, "IOMMU_HWPT_ALLOC");
	s->table_pages = vmstat("nr_iommu_pages") - pages;
	rc = vfio_attach(d->vfio, s->hwpt_id);
	if (rc)
		return v_error(rc, "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
	s->pinned_kib = status_kib("VmPin:");
	s->locked_kib = status_kib("VmLck:");
	v_info("ids", "dev %u ioas %u hwpt %u", s->dev_id, s->ioas_id,
	       s->hwpt_id);
	v_info("hw_caps", "%#llx", (unsigned long long)s->caps);
	v_info("table_pages", "%lld", (long long)s->table_pages);
	v_info("charged", "VmPin %d VmLck %d", s->pinned_kib, s->locked_kib);
	return 0;
}

/* Another device, bound to the same iommufd: its file, to be closed by the caller. */
int dma_open_second(struct dma *d)
{
	const char *bdf = opt_str("second", "0000:00:06.0");
	uint32_t dev;
	int fd, rc;

	rc = pci_bind_vfio(bdf);
	if (rc)
		return v_error(rc, "there is no second device");
	fd = vfio_open(bdf);
	if (fd < 0)
		return v_error(fd, "open the second device");
	rc = vfio_bind(fd, d->iommufd, &dev);
	if (rc) {
		close(fd);
		return v_error(rc, "bind the second device");
	}
	return fd;
}

int dma_ring_up(void *ctx)
{
	struct dma *d = ctx;
	uint64_t iova = d->state->iova;
	int rc;

	rc = vfio_config_or16(d->vfio, 4, 0x6);	/* memory, bus master */
	if (rc)
		return v_error(rc, "PCI command register");
	d->nic.bar = vfio_map_bar0(d->vfio, &d->nic.bar_len);
	if (!d->nic.bar)
		return v_error(0, "no BAR 0");
	rc = e1000e_start(&d->nic, iova + OFF_RX_RING, iova + OFF_RX_BUF,
			  iova + OFF_TX_RING);
	return rc ? v_error(rc, "e1000e") : 0;
}

/* Waits until @more frames have come in. */
int dma_wait_frames(struct dma *d, uint64_t more)
{
	uint64_t want = d->rx.count + more;
	uint64_t limit = cmdline_stage() > 1 ? 10000 : 60000;
	uint64_t end = now_ms() + opt_u64("timeout", limit);

	while (d->rx.count < want) {
		if (frames_scan(&d->rx, &d->nic))
			continue;
		if (now_ms() > end) {
			v_note("%llu of %llu frames came in",
			       (unsigned long long)(d->rx.count + more - want),
			       (unsigned long long)more);
			return -ETIMEDOUT;
		}
		sleep_ms(1);
	}
	return 0;
}

int dma_frames_arrive(void *ctx)
{
	return dma_wait_frames(ctx, opt_u64("warm", 500));
}

int dma_goes_on(void *ctx)
{
	int rc = dma_wait_frames(ctx, opt_u64("more", 100));

	return rc ? rc : dma_ring_is_consistent(ctx);
}

/*
 * A DMA that fails makes this card skip the descriptor without filling it, so
 * its head pointer runs away from the filled descriptors and the frames have
 * holes. Frames may arrive while we look: look until the two agree.
 */
int dma_ring_is_consistent(void *ctx)
{
	struct dma *d = ctx;
	uint32_t head = 0;
	unsigned int i;

	for (i = 0; i < 500; i++) {
		frames_scan(&d->rx, &d->nic);
		head = e1000e_rdh(&d->nic);
		if (!frames_scan(&d->rx, &d->nic) && head == d->rx.next)
			break;
	}
	v_info("rdh", "%u", head);
	v_info("dd", "%u", d->rx.next);
	v_info("rctl", "%#x", e1000e_rctl(&d->nic));
	if (head != d->rx.next)
		return v_error(0, "the head pointer ran away");
	return 0;
}

int dma_mark(void *ctx)
{
	struct dma *d = ctx;
	int rc;

	rc = iommufd_mark(d->iommufd, d->state->hwpt_id,
			  opt_u64("token_hwpt", 0x100000000), 0);
	return rc ? v_error(rc, "IOMMU_HWPT_LIVEUPDATE") : 0;
}

int dma_preserve_memfd(void *ctx)
{
	struct dma *d = ctx;
	int rc;

	d->luo = luo_open();
	if (d->luo < 0)
		return v_error(d->luo, "open /dev/liveupdate");
	d->session = luo_create(d->luo, SESSION_NAME);
	if (d->session < 0)
		return v_error(d->session, "create the session");
	rc = luo_preserve(d->session, d->memfd, dma_token_memfd());
	return rc ? v_error(rc, "preserve the memfd") : 0;
}

int dma_preserve_iommufd(void *ctx)
{
	struct dma *d = ctx;
	int rc = luo_preserve(d->session, d->iommufd, dma_token_iommufd());

	return rc ? v_error(rc, "preserve the iommufd") : 0;
}

int dma_preserve_vfio(void *ctx)
{
	struct dma *d = ctx;
	int rc = luo_preserve(d->session, d->vfio, dma_token_vfio());

	return rc ? v_error(rc, "preserve the VFIO device") : 0;
}

int dma_preserve_all(void *ctx)
{
	int rc = dma_preserve_memfd(ctx);

	if (!rc)
		rc = dma_preserve_iommufd(ctx);
	return rc ? rc : dma_preserve_vfio(ctx);
}

/* Sends @n frames from @bufs, which the device finds at @iova. */
int dma_send(struct dma *d, uint8_t *bufs, uint64_t iova, unsigned int n)
{
	struct dma_state *s = d->state;
	unsigned int i;
	size_t len;
	int rc;

	for (i = 0; i < n; i++) {
		len = frame_make(bufs + i * TX_BUF, s->tx_seq);
		rc = e1000e_send(&d->nic, iova + i * TX_BUF, len);
		if (rc)
			return v_error(rc, "sending a frame");
		s->tx_seq++;
	}
	return 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int dma_close_session(void *ctx)
{
	struct dma *d = ctx;

	close_fd(&d->session);
	close_fd(&d->luo);
	return 0;
}

/* The device first, then its IOMMU, then the memory. */
int dma_close_all(void *ctx)
{
	struct dma *d = ctx;

	if (d->nic.bar)
		munmap((void *)d->nic.bar, d->nic.bar_len);
	d->nic.bar = NULL;
	close_fd(&d->vfio);
	close_fd(&d->iommufd);
	dma_close_session(d);
	if (d->mem)
		munmap(d->mem, MEM_LEN);
	d->mem = d->state = NULL;
	close_fd(&d->memfd);
	return 0;
}
