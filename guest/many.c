// SPDX-License-Identifier: GPL-2.0-only
/* Several virtual machines with several cards each: set up, look, take down. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "guest.h"
#include "many.h"

#define STATE_MAGIC	0x6d616e79766d7321ULL

static void init_vm(struct many *m, unsigned int index)
{
	unsigned int cards = opt_u64("cards", MAX_CARDS);
	unsigned int left = opt_u64("leave", NO_CARD);
	unsigned int hot = opt_u64("hot", 0), rest = m->nr_vms - hot, i;
	struct vm *v = &m->vm[index];

	v->index = index;
	v->session = v->memfd = v->iommufd = -1;
	v->nr_cards = index < rest ? cards : 1;
	for (i = 0; i < v->nr_cards; i++) {
		struct card *c = &v->card[i];

		c->number = index < rest ? i * rest + index : rest * cards;
		c->left = c->number == left;
		c->vfio = c->own_iommufd = -1;
		frames_init(&c->rx);
	}
}

void many_init(struct many *m)
{
	unsigned int i;

	memset(m, 0, sizeof(*m));
	m->luo = -1;
	m->nr_vms = opt_u64("vms", MAX_VMS);
	m->random = opt_u64("seed", strtoull(cmdline_nonce(), NULL, 16)) | 1;
	for (i = 0; i < m->nr_vms; i++)
		init_vm(m, i);
}

/* Numbers from 0 on, in an order that the seed decides. */
void many_shuffle(struct many *m, unsigned int *what, unsigned int n)
{
	unsigned int i, j;

	for (i = 0; i < n; i++) {
		m->random ^= m->random << 13;
		m->random ^= m->random >> 7;
		m->random ^= m->random << 17;
		j = m->random % (i + 1);
		what[i] = what[j];
		what[j] = i;
	}
}

void many_name(const struct vm *v, char name[VM_NAME_LEN])
{
	snprintf(name, VM_NAME_LEN, "vm%u", v->index);
}

/* Tells drivers and frame counters where their memory is. */
void many_look_at(struct vm *v)
{
	struct card *c;

	v->s = (void *)v->mem;
	for_each_card(v, c) {
		unsigned int i = c - v->card;

		c->s = &v->s->card[i];
		c->mem = v->mem + VM_OFF_CARDS + i * CARD_LEN;
		c->nic.rx_ring = MANY_RING;
		c->nic.rx = (void *)c->mem;
		c->nic.rx_bufs = c->mem + CARD_OFF_RX_BUF;
		c->nic.tx = (void *)(c->mem + CARD_OFF_TX);
		c->nic.tx_bufs = c->mem + CARD_OFF_TX_BUF;
		memcpy(c->rx.whose, c->s->mac, sizeof(c->s->mac));
	}
}

static uint64_t card_iova(const struct vm *v, const struct card *c)
{
	return VM_IOVA + (c->mem - v->mem);
}

static uint64_t card_window(const struct vm *v, const struct card *c)
{
	return VM_RO_IOVA + (c - v->card) * CARD_TX_LEN;
}

static int make_memory(struct vm *v)
{
	void *mem;

	v->memfd = make_memfd("guest-ram", VM_LEN, &mem);
	if (v->memfd < 0)
		return v_error(v->memfd, "memfd");
	v->mem = mem;
	memset(mem, 0, VM_LEN);
	many_look_at(v);
	v->s->magic = STATE_MAGIC;
	v->s->index = v->index;
	v->s->seed = now_ms() ^ (uint64_t)v->index << 56;
	pattern_fill(v->mem + VM_OFF_PATTERN, VM_PATTERN_LEN, v->s->seed);
	return 0;
}

int many_map_memory(struct vm *v)
{
	v->mem = mmap(NULL, VM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
		      v->memfd, 0);
	if (v->mem == MAP_FAILED) {
		v->mem = NULL;
		return v_error(-errno, "mmap");
	}
	many_look_at(v);
	if (v->s->magic != STATE_MAGIC || v->s->index != v->index)
		return v_error(0, "this is not its memory");
	if (pattern_check(v->mem + VM_OFF_PATTERN, VM_PATTERN_LEN, v->s->seed))
		return v_error(0, "the pattern is damaged");
	return 0;
}

/* An address space with all the memory, and the read-only windows. */
static int make_ioas(struct vm *v, int iommufd, uint32_t *ioas)
{
	struct card *c;
	int rc;

	rc = iommufd_ioas_alloc(iommufd, ioas);
	if (rc)
		return v_error(rc, "IOMMU_IOAS_ALLOC");
	rc = iommufd_map_file(iommufd, *ioas, v->memfd, 0, VM_LEN, VM_IOVA,
			      true);
	for_each_card(v, c)
		if (!rc)
			rc = iommufd_map_file(iommufd, *ioas, v->memfd,
					      c->nic.tx_bufs - v->mem,
					      CARD_TX_LEN, card_window(v, c),
					      false);
	return rc ? v_error(rc, "IOMMU_IOAS_MAP_FILE") : 0;
}

static int open_card(struct vm *v, struct card *c)
{
	int rc;

	rc = pci_find(E1000E_VENDOR, E1000E_DEVICE, c->number, c->s->bdf);
	if (rc)
		return v_error(rc, "looking for a card");
	rc = pci_bind_vfio(c->s->bdf);
	if (rc)
		return v_error(rc, "binding it to vfio-pci");
	c->vfio = vfio_open(c->s->bdf);
	if (c->vfio < 0)
		return v_error(c->vfio, "open the VFIO device");
	if (c->left)
		c->own_iommufd = iommufd_open();
	rc = vfio_bind(c->vfio, c->left ? c->own_iommufd : v->iommufd,
		       &c->s->dev_id);
	return rc ? v_error(rc, "VFIO_DEVICE_BIND_IOMMUFD") : 0;
}

static int attach_card(struct vm *v, struct card *c)
{
	bool shared = !(v->index & 1) && c != v->card && !c->left &&
		      !v->card->left;
	int fd = c->left ? c->own_iommufd : v->iommufd, rc = 0;
	uint32_t ioas = v->s->ioas;

	c->s->hwpt = v->card->s->hwpt;
	if (c->left)
		rc = make_ioas(v, fd, &ioas);
	if (!rc && !shared)
		rc = iommufd_hwpt_alloc(fd, c->s->dev_id, ioas, &c->s->hwpt);
	if (rc)
		return v_error(rc, "IOMMU_HWPT_ALLOC");
	rc = vfio_attach(c->vfio, c->s->hwpt);
	if (rc)
		return v_error(rc, "VFIO_DEVICE_ATTACH_IOMMUFD_PT");
	if (shared || c->left)
		return 0;
	rc = iommufd_mark(fd, c->s->hwpt, VM_TOKEN_HWPT + c->number, 0);
	return rc ? v_error(rc, "IOMMU_HWPT_LIVEUPDATE") : 0;
}

static int ring_up(struct vm *v, struct card *c)
{
	uint64_t iova = card_iova(v, c);
	int rc;

	rc = vfio_config_or16(c->vfio, 4, 0x6);	/* memory, bus master */
	if (rc)
		return v_error(rc, "PCI command register");
	c->nic.bar = vfio_map_bar0(c->vfio, &c->nic.bar_len);
	if (!c->nic.bar)
		return v_error(0, "no BAR 0");
	rc = e1000e_start(&c->nic, iova, iova + CARD_OFF_RX_BUF,
			  iova + CARD_OFF_TX);
	if (rc)
		return v_error(rc, "e1000e");
	e1000e_mac(&c->nic, c->s->mac);
	memcpy(c->rx.whose, c->s->mac, sizeof(c->s->mac));
	v_info("card", "%u vm %u at %s", c->number, v->index, c->s->bdf);
	return 0;
}

/* The IOMMU has all of a machine before the first of its cards does DMA. */
int many_set_up(struct many *m, struct vm *v)
{
	struct card *c;
	long pages = vmstat("nr_iommu_pages");
	int rc;

	rc = make_memory(v);
	v->iommufd = iommufd_open();
	for_each_card(v, c)
		if (!rc)
			rc = open_card(v, c);
	if (!rc)
		rc = make_ioas(v, v->iommufd, &v->s->ioas);
	for_each_card(v, c)
		if (!rc)
			rc = attach_card(v, c);
	v->s->table_pages = vmstat("nr_iommu_pages") - pages;
	for_each_card(v, c)
		if (!rc)
			rc = ring_up(v, c);
	if (!rc)
		m->ready++;
	return rc;
}

/* The memory, the iommufd, the cards; what is kept is listed. */
int many_preserve(struct many *m, struct vm *v)
{
	char name[VM_NAME_LEN];
	uint32_t state;
	struct card *c;
	int rc, n;

	if (m->luo < 0)
		m->luo = luo_open();
	if (m->luo < 0)
		return v_error(m->luo, "open /dev/liveupdate");
	many_name(v, name);
	v->session = luo_create(m->luo, name);
	if (v->session < 0)
		return v_error(v->session, "create a session");
	rc = luo_preserve(v->session, v->memfd, VM_TOKEN_MEMFD);
	if (!rc)
		rc = luo_preserve(v->session, v->iommufd, VM_TOKEN_IOMMUFD);
	for_each_card(v, c)
		if (!rc && !c->left)
			rc = luo_preserve(v->session, c->vfio,
					  VM_TOKEN_CARD + c->number);
	if (rc)
		return v_error(rc, name);
	n = iommufd_objects(v->iommufd, v->s->objects, MAX_OBJECTS, &state);
	if (n < 3 || n > MAX_OBJECTS)
		return v_error(0, "an odd number of objects");
	v->s->nr_objects = n;
	return 0;
}

/* Sends @n frames from each card of a machine, through its window. */
int many_send(struct vm *v, unsigned int n)
{
	struct card *c;
	unsigned int i;
	size_t len;
	int rc;

	for_each_card(v, c) {
		for (i = 0; !c->left && i < n; i++) {
			len = frame_make(c->nic.tx_bufs + i * TX_BUF,
					 c->s->tx_seq);
			rc = e1000e_send(&c->nic, card_window(v, c) + i * TX_BUF,
					 len);
			if (rc)
				return v_error(rc, "sending a frame");
			c->s->tx_seq++;
		}
	}
	return 0;
}

static bool all_came(struct vm *v)
{
	bool done = true;
	struct card *c;

	for_each_card(v, c) {
		frames_scan(&c->rx, &c->nic);
		done &= c->rx.count >= c->want;
	}
	return done;
}

/* Waits until @more frames have come in at each card of these machines. */
int many_wait(struct many *m, unsigned int machines, uint64_t more)
{
	uint64_t end = now_ms() + opt_u64("timeout", 60000);
	struct card *c;
	struct vm *v;
	bool done;

	for_each_vm(m, v)
		for_each_card(v, c)
			c->want = c->left || !(machines >> v->index & 1) ?
					  0 : c->rx.count + more;
	for (;;) {
		done = true;
		for_each_vm(m, v)
			done &= all_came(v);
		if (done)
			return 0;
		if (now_ms() > end)
			break;
		sleep_ms(5);
	}
	for_each_vm(m, v)
		for_each_card(v, c)
			if (c->rx.count < c->want)
				v_note("card %u: %llu of %llu frames",
				       c->number, (unsigned long long)c->rx.count,
				       (unsigned long long)c->want);
	return -ETIMEDOUT;
}

/* Each frame is there once, at the card it was sent to. */
int many_whole(struct many *m)
{
	struct card *c;
	struct vm *v;
	int bad = 0;

	for_each_vm(m, v) {
		for_each_card(v, c) {
			frames_scan(&c->rx, &c->nic);
			if (!c->rx.holes && !c->rx.dups && !c->rx.corrupt)
				continue;
			v_note("card %u: %llu holes, %llu twice, %llu corrupt",
			       c->number, (unsigned long long)c->rx.holes,
			       (unsigned long long)c->rx.dups,
			       (unsigned long long)c->rx.corrupt);
			bad = -EIO;
		}
	}
	return bad;
}

/* For the judges, which know the cards by their addresses. */
void many_report(struct many *m, const char *when)
{
	struct card *c;
	struct vm *v;
	char key[32];

	for_each_vm(m, v) {
		for_each_card(v, c) {
			frames_scan(&c->rx, &c->nic);
			snprintf(key, sizeof(key), "%s_%s", when,
				 c->s->bdf + 5);
			v_info(key, "vm %u frames %llu before %llu holes %llu dups %llu corrupt %llu sent %llu",
			       v->index, (unsigned long long)c->rx.count,
			       (unsigned long long)c->s->frames,
			       (unsigned long long)c->rx.holes,
			       (unsigned long long)c->rx.dups,
			       (unsigned long long)c->rx.corrupt,
			       (unsigned long long)c->s->tx_seq);
		}
	}
}

static void drop(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* The devices first, then their IOMMU, then the memory. */
void many_close(struct vm *v)
{
	struct card *c;

	for_each_card(v, c) {
		if (c->nic.bar)
			munmap((void *)c->nic.bar, c->nic.bar_len);
		c->nic.bar = NULL;
		drop(&c->vfio);
		drop(&c->own_iommufd);
	}
	drop(&v->iommufd);
	drop(&v->session);
	drop(&v->memfd);
}
