// SPDX-License-Identifier: GPL-2.0-only
/*
 * many: several virtual machines with several network cards each, kept in one
 * update, retrieved and finished in an order that chance decides.
 *
 * Options: vms=, cards= (of each machine); seed= repeats an order: what a run
 * said as info "seed"; hot=1: the last machine has one card, which is plugged
 * in after the others were preserved; leave=N: card N, counted in the order of
 * addresses, is not kept (the negative control); warm=, cont= are numbers of
 * frames to wait for at each card; timeout= (ms).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest.h"
#include "kit.h"
#include "many.h"

#define MAX_FILES	(MAX_VMS * (2 + MAX_CARDS))
#define ALL		(~0U)
#define TX_FRAMES	4

static struct many ctx;

static bool has_hot(void *p)
{
	(void)p;
	return opt_u64("hot", 0);
}

static bool has_several(void *p)
{
	struct many *m = p;

	return m->nr_vms > 1;
}

static struct vm *hot_vm(struct many *m)
{
	return &m->vm[m->nr_vms - 1];
}

static int set_up(void *p)
{
	struct many *m = p;
	unsigned int i, n = m->nr_vms - has_hot(m);
	int rc = 0;

	for (i = 0; !rc && i < n; i++)
		rc = many_set_up(m, &m->vm[i]);
	return rc;
}

static int frames_arrive(void *p)
{
	return many_wait(p, ALL, opt_u64("warm", 50));
}

static int send(void *p)
{
	struct many *m = p;
	struct vm *v;
	int rc = 0;

	for_each_vm(m, v)
		if (!rc)
			rc = many_send(v, TX_FRAMES);
	return rc;
}

static int preserve(void *p)
{
	struct many *m = p;
	struct vm *v;
	int rc = 0;

	for_each_vm(m, v)
		if (!rc)
			rc = many_preserve(m, v);
	return rc;
}

/* While the others are preserved; by itself, as its slot says that it is there. */
static int hot_comes(void *p)
{
	struct many *m = p;
	char bdf[PCI_BDF_LEN];
	unsigned int i;

	for (i = 0; i < 300; i++) {
		if (!pci_find(E1000E_VENDOR, E1000E_DEVICE,
			      hot_vm(m)->card->number, bdf))
			return 0;
		sleep_ms(100);
	}
	return v_error(-ENODEV, "the card that was plugged in");
}

static int hot_set_up(void *p)
{
	struct many *m = p;

	return many_set_up(m, hot_vm(m));
}

static int hot_preserve(void *p)
{
	struct many *m = p;
	int rc = many_send(hot_vm(m), TX_FRAMES);

	return rc ? rc : many_preserve(m, hot_vm(m));
}

static int write_down(void *p)
{
	struct many *m = p;
	struct card *c;
	struct vm *v;
	int rc = many_whole(m);

	for_each_vm(m, v)
		for_each_card(v, c)
			c->s->frames = c->rx.count;
	many_report(m, "before");
	return rc;
}

static const struct step old_kernel[] = {
	STEP("the machines are set up", set_up),
	SYNC("ready"),
	STEP("frames arrive at every card", frames_arrive),
	STEP("every card sends frames", send),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("every machine is preserved in a session of its own", preserve),
	SYNC_WHEN("plug", has_hot),
	STEP_WHEN("a card is plugged in while others are preserved", hot_comes,
		  has_hot),
	STEP_WHEN("it gets a machine of its own", hot_set_up, has_hot),
	SYNC_WHEN("plugged", has_hot),
	STEP_WHEN("that machine is preserved, too", hot_preserve, has_hot),
	STEP("DMA goes on", frames_arrive),
	SYNC("preserved"),
	STEP("frames are contiguous and written down", write_down),
	SYNC("kexec"),
};

/* In the new kernel: what can be retrieved, and where it belongs. */
struct file {
	struct vm *v;
	struct card *c;
	uint64_t token;
	int *fd;
};

static unsigned int list_files(struct many *m, struct file *f)
{
	unsigned int n = 0;
	struct card *c;
	struct vm *v;

	for_each_vm(m, v) {
		f[n++] = (struct file){ v, NULL, VM_TOKEN_MEMFD, &v->memfd };
		f[n++] = (struct file){ v, NULL, VM_TOKEN_IOMMUFD,
					&v->iommufd };
		for_each_card(v, c)
			if (!c->left)
				f[n++] = (struct file){ v, c, VM_TOKEN_CARD +
							c->number, &c->vfio };
	}
	return n;
}

static int get_session(struct many *m, struct vm *v)
{
	char name[VM_NAME_LEN];

	if (v->session >= 0)
		return 0;
	many_name(v, name);
	v->session = luo_retrieve(m->luo, name);
	return v->session < 0 ? v_error(v->session, name) : 0;
}

/* Session by session would say less: the files of all come one among the other. */
static int retrieve(void *p)
{
	struct many *m = p;
	unsigned int order[MAX_FILES], i, n, used = 0;
	struct file files[MAX_FILES];
	char text[MAX_FILES * 6 + 1];
	int rc;

	m->ready = m->nr_vms;
	v_info("seed", "%#llx", (unsigned long long)m->random);
	n = list_files(m, files);
	m->luo = luo_open();
	if (m->luo < 0)
		return v_error(m->luo, "open /dev/liveupdate");
	many_shuffle(m, order, n);
	for (i = 0; i < n; i++) {
		struct file *f = &files[order[i]];

		rc = get_session(m, f->v);
		if (rc)
			return rc;
		*f->fd = luo_get(f->v->session, f->token);
		if (*f->fd < 0)
			return v_error(*f->fd, "retrieve a file");
		used += snprintf(text + used, sizeof(text) - used, " %u%c",
				 f->v->index, f->c ? '0' + (char)(f->c - f->v->card) :
				 f->fd == &f->v->memfd ? 'm' : 'i');
	}
	v_info("order", "%s", text + 1);
	return 0;
}

static int memory_is_intact(void *p)
{
	struct many *m = p;
	struct vm *v;
	int rc = 0;

	for_each_vm(m, v)
		if (!rc)
			rc = many_map_memory(v);
	return rc;
}

static int same_objects(void *p)
{
	struct many *m = p;
	struct vm *v;
	int rc = 0;

	for_each_vm(m, v)
		rc |= iommufd_same_objects(v->iommufd, v->s->objects,
					   v->s->nr_objects);
	return rc ? -EIO : 0;
}

/* Neither through the session of another machine, nor through its iommufd. */
static int apart(void *p)
{
	struct many *m = p;
	struct vm *v, *other;
	struct card *c;
	uint32_t id;
	int bad = 0;

	for_each_vm(m, v) {
		other = &m->vm[(v->index + 1) % m->nr_vms];
		for_each_card(v, c) {
			bad |= want(luo_get(other->session,
					    VM_TOKEN_CARD + c->number), -ENOENT,
				    "a card of another machine");
			if (!c->left)
				bad |= want(vfio_bind(c->vfio, other->iommufd,
						      &id), -EPERM,
					    "bind it to another's iommufd");
		}
	}
	return bad;
}

static int map_registers(void *p)
{
	struct many *m = p;
	struct card *c;
	struct vm *v;

	for_each_vm(m, v) {
		for_each_card(v, c) {
			if (c->left)
				continue;
			c->nic.bar = vfio_map_bar0(c->vfio, &c->nic.bar_len);
			if (!c->nic.bar)
				return v_error(0, "no BAR 0");
		}
	}
	return 0;
}

static int crossed(void *p)
{
	struct many *m = p;
	struct card *c;
	struct vm *v;
	int bad = 0;

	for_each_vm(m, v) {
		for_each_card(v, c) {
			frames_scan(&c->rx, &c->nic);
			if (c->left || c->rx.count > c->s->frames)
				continue;
			v_note("card %u: no frame arrived", c->number);
			bad = -EIO;
		}
	}
	return bad;
}

static int replenish(void *p)
{
	struct many *m = p;
	struct card *c;
	struct vm *v;

	for_each_vm(m, v)
		for_each_card(v, c)
			if (!c->left)
				e1000e_replenish(&c->nic, c->rx.next);
	return many_wait(m, ALL, opt_u64("cont", 50));
}

static int finish_one(struct many *m, unsigned int i)
{
	struct vm *v = &m->vm[m->order[i]];
	int rc = luo_finish(v->session);

	if (rc)
		return v_error(rc, "LIVEUPDATE_SESSION_FINISH");
	return many_wait(m, ALL, opt_u64("cont", 50));
}

static int finish_most(void *p)
{
	struct many *m = p;
	unsigned int i;
	int rc = 0;

	many_shuffle(m, m->order, m->nr_vms);
	for (i = 0; !rc && i < m->nr_vms - 1; i++)
		rc = finish_one(m, i);
	v_info("finished_last", "%u", m->order[m->nr_vms - 1]);
	return rc;
}

static int count(void *p)
{
	many_report(p, "card");
	return many_whole(p);
}

static int count_last(void *p)
{
	many_report(p, "last");
	return many_whole(p);
}

static unsigned int last_vm(struct many *m)
{
	return m->order[m->nr_vms - 1];
}

static int close_most(void *p)
{
	struct many *m = p;
	unsigned int i;

	for (i = 0; i < m->nr_vms - 1; i++)
		many_close(&m->vm[m->order[i]]);
	return 0;
}

static int last_goes_on(void *p)
{
	struct many *m = p;

	return many_wait(m, 1U << last_vm(m), opt_u64("cont", 50));
}

static int finish_last(void *p)
{
	struct many *m = p;
	int rc = luo_finish(m->vm[last_vm(m)].session);

	if (rc)
		return v_error(rc, "LIVEUPDATE_SESSION_FINISH");
	return last_goes_on(m);
}

static int close_last(void *p)
{
	struct many *m = p;

	many_close(&m->vm[last_vm(m)]);
	return 0;
}

/* What the new kernel had when it began, less the kept page tables. */
static int pages_are_back(void *p)
{
	struct many *m = p;
	long now = vmstat("nr_iommu_pages"), wanted = m->pages_booted;
	struct vm *v;

	for_each_vm(m, v)
		wanted -= v->s->table_pages;
	v_info("iommu_pages", "%ld, of %ld", now, m->pages_booted);
	return want(now, wanted, "nr_iommu_pages");
}

static const struct step new_kernel[] = {
	SYNC("booted"),
	STEP("all is retrieved in shuffled order", retrieve),
	STEP("the memory of every machine is its own, and intact",
	     memory_is_intact),
	SYNC("retrieved"),
	CHECK("the objects are the same", same_objects),
	CHECK_WHEN("nothing is reached from another machine's session", apart,
		   has_several),
	STEP("the registers are mapped", map_registers),
	CHECK("frames arrived at every card during the kexec", crossed),
	CHECK("more frames arrive in new descriptors", replenish),
	CHECK("every card sends frames", send),
	CHECK("all sessions but one are finished in shuffled order",
	      finish_most),
	SYNC("continued"),
	CHECK("every frame is at the card it was sent to", count),
	SYNC("finished"),
	STEP("all machines but that one are closed", close_most),
	CHECK("the cards of that one go on", last_goes_on),
	CHECK("the last session is finished, its cards go on", finish_last),
	SYNC("last"),
	CHECK("every frame is there", count_last),
	STEP("that machine is closed, too", close_last),
	SYNC("closed"),
	CHECK("the IOMMU's pages are given back", pages_are_back),
};

int test_many(unsigned int stage)
{
	many_init(&ctx);
	ctx.pages_booted = vmstat("nr_iommu_pages");
	if (stage > 1)
		return v_run(new_kernel, ARRAY_SIZE(new_kernel), &ctx);
	return kexec_after(old_kernel, ARRAY_SIZE(old_kernel), &ctx);
}
