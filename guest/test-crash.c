// SPDX-License-Identifier: GPL-2.0-only
/*
 * crash: a kernel panics while a device of a live update does DMA, and its crash
 * kernel boots beside it, in memory of its own that the device must not reach.
 *
 * Option where=: old, when the old kernel has preserved the device; booted, when
 * the new one has taken over its IOMMU; retrieved, when it has retrieved the
 * device; quarantined, when its IOMMU was not taken over, and it is stopped. The
 * crash kernel itself is told crashed=1.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "dma.h"
#include "guest.h"

static struct dma ctx;

static bool where(const char *what)
{
	return !strcmp(opt_str("where", "old"), what);
}

static bool runs(void *p)
{
	(void)p;
	return !where("quarantined");
}

static bool stands(void *p)
{
	(void)p;
	return where("quarantined");
}

static bool retrieves(void *p)
{
	(void)p;
	return where("retrieved");
}

static bool panics_here(void *p)
{
	(void)p;
	return where("old");
}

static bool jumps(void *p)
{
	return !panics_here(p);
}

/* Says where all memory of one kind is, as the host needs it: START-END,... */
static int say_memory(const char *key, const char *kind)
{
	static char text[16384];
	char found[512] = "", *line, *save;
	unsigned long long start, end;
	size_t used = 0;
	int at;

	if (read_file("/proc/iomem", text, sizeof(text)) < 0)
		return v_error(0, "/proc/iomem");
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (sscanf(line, "%llx-%llx : %n", &start, &end, &at) != 2 ||
		    strcmp(line + at, kind) || used >= sizeof(found))
			continue;
		used += snprintf(found + used, sizeof(found) - used, "%s%llx-%llx",
				 used ? "," : "", start, end);
	}
	v_info(key, "%s", used ? found : "none");
	return used && used < sizeof(found) ? 0 : v_error(0, kind);
}

static int load_crash(void *p)
{
	int rc = say_memory("crash_memory", "Crash kernel");

	return rc ? rc : dma_load_crash(p);
}

static const struct step old_kernel[] = {
	DMA_STEPS_READY,
	STEP("frames arrive", dma_frames_arrive),
	STEP("the next kernel is loaded", kexec_load_next),
	STEP("the page table is marked", dma_mark),
	STEP("everything is preserved", dma_preserve_all),
	STEP("a crash kernel is loaded", load_crash),
	STEP("DMA goes on", dma_goes_on),
	SYNC("preserved"),
	STEP("frames are contiguous and written down", dma_write_down),
	SYNC_WHEN("panic", panics_here),
	SYNC_WHEN("kexec", jumps),
};

static const struct step new_kernel[] = {
	STEP("the card is found", dma_find),
	CHECK_WHEN("the card is a bus master", dma_still_mastering, runs),
	CHECK_WHEN("the card is stopped", dma_is_stopped, stands),
	SYNC("booted"),
	STEP_WHEN("the session is retrieved", dma_get_session, retrieves),
	STEP_WHEN("the files are retrieved", dma_get_files, retrieves),
	STEP_WHEN("memory is intact", dma_memory_is_intact, retrieves),
	SYNC_WHEN("retrieved", retrieves),
	STEP("a crash kernel is loaded", load_crash),
	SYNC("panic"),
};

static int is_crash_kernel(void *p)
{
	char line[4096];

	(void)p;
	if (read_file("/proc/cmdline", line, sizeof(line)) < 0 ||
	    !strstr(line, "elfcorehdr="))
		return v_error(0, "it was not booted by a panic");
	return say_memory("ram", "System RAM");
}

static int nothing_handed_over(void *p)
{
	struct dma *d = p;

	d->luo = luo_open();
	return d->luo < 0 ? 0 : v_error(0, "there is /dev/liveupdate");
}

/* As much of it as can be had, while frames land. */
static int memory_stays(void *p)
{
	char text[4096], *free;
	size_t len, wrong;
	void *mem;

	(void)p;
	if (read_file("/proc/meminfo", text, sizeof(text)) < 0)
		return v_error(0, "/proc/meminfo");
	free = strstr(text, "MemFree:");
	if (!free || sscanf(free, "MemFree: %zu", &len) != 1)
		return v_error(0, "MemFree");
	len = len / 2 * KIB;
	mem = mmap(NULL, len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (mem == MAP_FAILED)
		return v_error(0, "mmap");
	pattern_fill(mem, len, len);
	sleep_ms(1000);
	wrong = pattern_check(mem, len, len);
	v_info("memory_watched", "%zu MiB", (size_t)(len / MIB));
	munmap(mem, len);
	return wrong ? v_error(0, "it was written to") : 0;
}

static const struct step crashed[] = {
	CHECK("it is a crash kernel", is_crash_kernel),
	CHECK("it takes nothing that was handed over", nothing_handed_over),
	STEP("the card is found", dma_find),
	CHECK_WHEN("the card is a bus master", dma_still_mastering, runs),
	SYNC("crashed"),
	CHECK("its memory stays as it is", memory_stays),
	SYNC("stayed"),
};

int test_crash(unsigned int stage)
{
	int rc;

	dma_init(&ctx);
	if (opt_u64("crashed", 0))
		return v_run(crashed, ARRAY_SIZE(crashed), &ctx);
	if (stage == 1 && jumps(NULL))
		return kexec_after(old_kernel, ARRAY_SIZE(old_kernel), &ctx);
	if (stage == 1)
		rc = v_run(old_kernel, ARRAY_SIZE(old_kernel), &ctx);
	else
		rc = v_run(new_kernel, ARRAY_SIZE(new_kernel), &ctx);
	if (rc)
		return rc;
	v_drain();
	dma_panic();
}
