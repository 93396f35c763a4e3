// SPDX-License-Identifier: GPL-2.0-only
/* The new kernel's half: steps that more than one test needs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "dma.h"
#include "failnth.h"
#include "guest.h"

int dma_find(void *p)
{
	struct dma *d = p;
	int rc = pci_find(E1000E_VENDOR, E1000E_DEVICE, 0, d->bdf);

	return rc ? v_error(rc, "looking for the network card") : 0;
}

static int has_driver(struct dma *d, const char *wanted)
{
	char name[32];
	int rc = dma_find(d);

	if (rc)
		return rc;
	rc = pci_driver(d->bdf, name, sizeof(name));
	if (rc)
		return v_error(rc, "driver of the card");
	return strcmp(name, wanted) ? v_error(0, name) : 0;
}

int dma_bound_by_itself(void *p)
{
	return has_driver(p, "vfio-pci");
}

int dma_is_ordinary(void *p)
{
	return has_driver(p, "e1000e");
}

/* Its driver is a module that nobody has asked for. */
int dma_not_bound_yet(void *p)
{
	struct dma *d = p;
	char name[32];
	int rc = dma_find(d);

	if (rc)
		return rc;
	rc = pci_driver(d->bdf, name, sizeof(name));
	return rc < 0 ? 0 : v_error(0, name);
}

int dma_still_mastering(void *p)
{
	struct dma *d = p;
	int cmd = pci_config_read16(d->bdf, 4);

	v_info("command_booted", "%#x", cmd);
	return cmd >= 0 && cmd & 4 ? 0 : -EIO;
}

/*
 * A call, with each of its allocations failing in turn if that is the test, or
 * with faults=2 all of them once it has had more and more memory.
 */
int dma_sweep(struct failnth *f, int (*try)(void *ctx),
	      int (*undo)(void *ctx), void *ctx)
{
	static unsigned int points, calls;
	int rc;

	if (!opt_u64("faults", 0)) {
		rc = try(ctx);
		return rc < 0 ? rc : 0;
	}
	rc = failnth_open();
	if (!rc)
		rc = opt_u64("faults", 0) > 1 && !undo ?
			     failnth_press(f, try, ctx) :
			     failnth_sweep(f, try, undo, ctx);
	failnth_report(f);
	points += f->failed + f->survived;
	calls += f->tries;
	v_info(cmdline_stage() > 1 ? "failnth_new" : "failnth_old",
	       "%u points, %u calls", points, calls);
	return rc;
}

static int get_session(void *p)
{
	struct dma *d = p;

	return d->session = luo_retrieve(d->luo, SESSION_NAME);
}

int dma_get_session(void *p)
{
	struct failnth f = { .what = "retrieve the session" };
	struct dma *d = p;

	d->luo = luo_open();
	if (d->luo < 0)
		return v_error(d->luo, "open /dev/liveupdate");
	dma_sweep(&f, get_session, NULL, d);
	return d->session < 0 ? v_error(d->session, "the session") : 0;
}

struct get {
	int session, fd;
	uint64_t token;
};

static int get_file(void *p)
{
	struct get *g = p;

	return g->fd = luo_get(g->session, g->token);
}

int dma_get_file(struct dma *d, char what)
{
	struct failnth f = { 0 };
	struct get g = { .session = d->session };
	int *fd = what == 'm' ? &d->memfd :
		  what == 'i' ? &d->iommufd : &d->vfio;
	unsigned int tries = 50;
	char text[32];

	snprintf(text, sizeof(text), "retrieve '%c'", what);
	f.what = text;
	g.token = dma_token(what);
	dma_sweep(&f, get_file, NULL, &g);
	/* Its driver may not have come up yet. */
	while (g.fd == -EAGAIN && tries--) {
		sleep_ms(100);
		get_file(&g);
	}
	*fd = g.fd;
	return *fd < 0 ? v_error(*fd, text) : 0;
}

int dma_get_files(void *p)
{
	struct dma *d = p;
	const char *order = opt_str("order", "vmi");
	int rc;

	if (!d->keep)
		order = "m";
	for (; *order; order++) {
		rc = dma_get_file(d, *order);
		if (rc)
			return rc;
	}
	return 0;
}

int dma_memory_is_intact(void *p)
{
	struct dma *d = p;
	size_t wrong;

	d->mem = mmap(NULL, MEM_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
		      d->memfd, 0);
	if (d->mem == MAP_FAILED) {
		d->mem = NULL;
		return v_error(-errno, "mmap");
	}
	dma_look_at_memory(d);
	if (d->state->magic != STATE_MAGIC || d->state->mem_len != MEM_LEN)
		return v_error(0, "the first page is not what it was");
	/* After the first update all frames are still there to be counted */
	if (d->state->updates > 1) {
		memcpy(&d->rx, (char *)d->mem + OFF_COUNT, sizeof(d->rx));
		d->nic.rx_clean = d->state->rx_clean;
	}
	wrong = pattern_check((uint8_t *)d->mem + OFF_PATTERN, PATTERN_LEN,
			      d->state->seed);
	if (wrong)
		return v_error(0, "the pattern is damaged");
	return 0;
}

int dma_map_registers(void *p)
{
	struct dma *d = p;

	d->nic.bar = vfio_map_bar0(d->vfio, &d->nic.bar_len);
	return d->nic.bar ? 0 : v_error(0, "no BAR 0");
}

/* Hands all read descriptors back, and sees frames arrive in the new ones. */
int dma_replenish(void *p)
{
	struct dma *d = p;
	int rc;

	frames_scan(&d->rx, &d->nic);
	e1000e_replenish(&d->nic, d->rx.next);
	rc = dma_wait_frames(d, opt_u64("cont", 200));
	e1000e_replenish(&d->nic, d->rx.next);
	return rc;
}

int dma_frames_are_whole(void *p)
{
	struct dma *d = p;

	frames_scan(&d->rx, &d->nic);
	frames_report(&d->rx);
	if (d->rx.holes || d->rx.dups || d->rx.corrupt)
		return -EIO;
	if (d->rx.count < d->state->frames)
		return v_error(0, "frames of the old kernel are gone");
	return 0;
}

int dma_frames_crossed(void *p)
{
	struct dma *d = p;

	v_info("frames_before", "%llu", (unsigned long long)d->state->frames);
	return d->rx.count > d->state->frames ? 0 : -EIO;
}

static int finish(void *p)
{
	struct dma *d = p;

	return luo_finish(d->session);
}

/* For the judges, too. */
int dma_final_count(void *p)
{
	struct dma *d = p;
	struct frames *rx = &d->rx;

	frames_scan(rx, &d->nic);
	frames_report(rx);
	frames_report_hist(rx);
	return rx->holes || rx->dups || rx->corrupt ? -EIO : 0;
}

int dma_finish(void *p)
{
	struct failnth f = { .what = "finish" };
	struct dma *d = p;
	int rc = dma_sweep(&f, finish, NULL, d);

	return rc ? v_error(rc, "LIVEUPDATE_SESSION_FINISH") : 0;
}

/*
 * Kept awake, so that what resets it is VFIO and not the way out of D3. Its
 * power management reset is nothing QEMU acts upon (it leaves the registers
 * alone), so where the card sits alone behind a port it is reset with its bus.
 */
int dma_close_everything(void *p)
{
	struct dma *d = p;

	if (d->keep) {
		pci_set(d->bdf, "power/control", "on");
		d->bus_reset = !pci_set(d->bdf, "reset_method", "bus");
		v_info("reset_method", "%s", d->bus_reset ? "bus" : "pm");
	}
	if (d->state)
		d->pages_booted -= d->state->table_pages;
	return dma_close_all(d);
}

int dma_is_stopped(void *p)
{
	struct dma *d = p;
	int cmd = pci_config_read16(d->bdf, 4);

	v_info("command_abandoned", "%#x", cmd);
	return cmd >= 0 && !(cmd & 4) ? 0 : v_error(0, "it is a bus master");
}

/* Frames are still being sent; none may land in the memory any more. */
int dma_memory_is_quiet(void *p)
{
	struct dma *d = p;

	frames_scan(&d->rx, &d->nic);
	frames_report(&d->rx);
	sleep_ms(1000);
	if (frames_scan(&d->rx, &d->nic))
		return v_error(0, "a frame landed");
	if (pattern_check((uint8_t *)d->mem + OFF_PATTERN, PATTERN_LEN,
			  d->state->seed))
		return v_error(0, "the pattern is damaged");
	return 0;
}

/* The kept table's pages are gone from the count by now. */
int dma_forget(void *p)
{
	struct dma *d = p;

	dma_close_all(d);
	frames_init(&d->rx);
	return 0;
}

int dma_device_is_reset(void *p)
{
	struct dma *d = p;
	volatile uint32_t *bar;
	uint32_t rctl;
	int cmd;

	cmd = pci_config_read16(d->bdf, 4);
	v_info("command_closed", "%#x", cmd);
	if (cmd < 0 || cmd & 4)
		return v_error(0, "it is a bus master");
	pci_config_write16(d->bdf, 4, cmd | 2);
	bar = pci_map_bar0(d->bdf, 128 * KIB);
	if (!bar)
		return v_error(-errno, "resource0");
	rctl = bar[E1000E_RCTL / 4];
	munmap((void *)bar, 128 * KIB);
	pci_config_write16(d->bdf, 4, cmd);
	v_info("rctl_closed", "%#x", rctl);
	return rctl && d->bus_reset ? v_error(0, "its receiver is on") : 0;
}

/*
 * What was counted when the new kernel had booted, less the pages of the kept
 * page table (counted in the old kernel when it was made).
 */
int dma_pages_are_back(void *p)
{
	struct dma *d = p;
	long now = vmstat("nr_iommu_pages");

	v_info("iommu_pages_baseline", "%ld", d->pages_booted);
	v_info("iommu_pages_closed", "%ld", now);
	return now == d->pages_booted ? 0 : -EIO;
}

bool dma_has_kmemleak(void *p)
{
	(void)p;
	return opt_u64("kmemleak", 1) &&
	       !access("/sys/kernel/debug/kmemleak", W_OK);
}

int dma_no_leak(void *p)
{
	const char *path = "/sys/kernel/debug/kmemleak";
	char buf[2048], *line, *save;
	int n;

	(void)p;
	write_file(path, "scan");
	sleep_ms(6000);
	write_file(path, "scan");
	n = read_file(path, buf, sizeof(buf));
	if (n <= 0)
		return n;
	for (line = strtok_r(buf, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save))
		v_note("kmemleak: %s", line);
	return -EIO;
}
