/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every program of the laboratory's guest shares: the command line, the
 * verdict port, and a test as a table of steps.
 *
 * Functions that can fail return 0 (or a file descriptor, or a count) when
 * they worked and a negative errno when they did not.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define KIB		1024ULL
#define MIB		(1024 * KIB)

/* cmdline.c: ferry.test=, ferry.nonce=, ferry.stage=, ferry.opt=KEY=VALUE */
void cmdline_read(void);
const char *cmdline_test(void);
const char *cmdline_nonce(void);
unsigned int cmdline_stage(void);
const char *opt_str(const char *key, const char *fallback);
uint64_t opt_u64(const char *key, uint64_t fallback);
uint64_t opt_size(const char *key, uint64_t fallback);
void cmdline_add_next(const char *param);
int cmdline_next(char *buf, size_t len);
int cmdline_crash(char *buf, size_t len);

/* modules.c: kernels that have drivers as modules */
bool modules_late(void);
void modules_load(void);

/* verdict.c: KTAP on the second serial port */
void v_open(void);
void v_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void v_quiet(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void v_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void v_info(const char *key, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
int v_error(int err, const char *what);
int v_sync(const char *name);
void v_drain(void);

/*
 * A test is a table of steps. A step with a function is one line of the plan;
 * a step without one is a sync point called @text. A step whose @when says no
 * is not part of the plan.
 */
struct step {
	const char *text;
	int (*run)(void *ctx);
	bool (*when)(void *ctx);
	bool go_on;	/* a failure does not end the test */
};

#define STEP(t, f)		{ .text = (t), .run = (f) }
#define STEP_WHEN(t, f, w)	{ .text = (t), .run = (f), .when = (w) }
#define CHECK(t, f)		{ .text = (t), .run = (f), .go_on = true }
#define CHECK_WHEN(t, f, w)	\
	{ .text = (t), .run = (f), .when = (w), .go_on = true }
#define SYNC(t)			{ .text = (t) }
#define SYNC_WHEN(t, w)		{ .text = (t), .when = (w) }

/* A step returns this when it cannot be tried here; v_note() says why. */
#define STEP_SKIP	1

/* Exit codes of a stage. */
#define VERDICT_PASS	0
#define VERDICT_FAIL	1
#define VERDICT_SKIP	77

int v_run(const struct step *steps, size_t n, void *ctx);

/* sys.c: files, time, the machine */
int write_file(const char *path, const char *text);
int copy_file(const char *from, const char *to);
int read_file(const char *path, char *buf, size_t len);
int make_dir(const char *path);
int sys_ioctl(int fd, unsigned long req, void *arg);
uint64_t now_ms(void);
void sleep_ms(unsigned int ms);
long vmstat(const char *key);
long free_pages(void);
long status_kib(const char *key);
int be_charged(void);
int make_memfd(const char *name, uint64_t size, void **map);
void pattern_fill(void *mem, size_t len, uint64_t seed);
size_t pattern_check(const void *mem, size_t len, uint64_t seed);
int64_t physical_address(void *virt);
bool folio_is_large(const void *virt);
int run_program(const char *path, char *const argv[], const char *out);
int snapshot_open(void);
int machine_may_sleep(void *p);
void power_off(void) __attribute__((noreturn));

/* kexec.c; the C library does not know this command of reboot() */
#define RB_KEXEC	0x45584543
#define NEXT_KERNEL	"/boot/next/bzImage"
#define NEXT_INITRD	"/boot/next/initramfs.cpio.gz"
#define OTHER_KERNEL	"/boot/other/bzImage"

int kexec_load_file(const char *kernel, const char *initrd);
int kexec_load_next(void *ctx);
int kexec_load_crash(const char *kernel, const char *initrd);
int kexec_load_old(unsigned long flags);
int kexec_unload(void);
int kexec_loaded(void);
int kexec_jump(void);
int kexec_after(const struct step *steps, size_t n, void *ctx);

/* One entry of the test list; stage() gives the verdict of one stage. */
struct test {
	const char *name;
	int (*stage)(unsigned int stage);
};

int test_abandon(unsigned int stage);
int test_again(unsigned int stage);
int test_back_down(unsigned int stage);
int test_back_out(unsigned int stage);
int test_back_sleep(unsigned int stage);
int test_bench(unsigned int stage);
int test_chain(unsigned int stage);
int test_crash(unsigned int stage);
int test_dma(unsigned int stage);
int test_faults(unsigned int stage);
int test_frozen(unsigned int stage);
int test_iommufd_basic(unsigned int stage);
int test_irq(unsigned int stage);
int test_join(unsigned int stage);
int test_jump(unsigned int stage);
int test_many(unsigned int stage);
int test_lib(unsigned int stage);
int test_memfd(unsigned int stage);
int test_mock(unsigned int stage);
int test_mock_dirty(unsigned int stage);
int test_mock_failnth(unsigned int stage);
int test_mock_pasid(unsigned int stage);
int test_pasid(unsigned int stage);
int test_plain_kexec(unsigned int stage);
int test_plain_poweroff(unsigned int stage);
int test_plain_reboot(unsigned int stage);
int test_refuse(unsigned int stage);
int test_refuse_image(unsigned int stage);
int test_refuse_rmrr(unsigned int stage);
int test_selftest(unsigned int stage);
int test_selftest_kept(unsigned int stage);
int test_shell(unsigned int stage);
int test_unknown_file(unsigned int stage);
int test_window(unsigned int stage);

#endif /* GUEST_H */
