// SPDX-License-Identifier: GPL-2.0-only
/*
 * PID 1 of the laboratory's guest, in the old kernel and in the new one: it
 * mounts what the tests need, reads from the command line which test to run
 * and which stage of it this is, and gives the verdict on its own port.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "guest.h"

static const struct test tests[] = {
	{ "abandon", test_abandon },
	{ "again", test_again },
	{ "back-down", test_back_down },
	{ "back-out", test_back_out },
	{ "back-sleep", test_back_sleep },
	{ "bench", test_bench },
	{ "chain", test_chain },
	{ "crash", test_crash },
	{ "dma", test_dma },
	{ "faults", test_faults },
	{ "frozen", test_frozen },
	{ "iommufd-basic", test_iommufd_basic },
	{ "irq", test_irq },
	{ "join", test_join },
	{ "jump", test_jump },
	{ "many", test_many },
	{ "lib", test_lib },
	{ "memfd", test_memfd },
	{ "mock", test_mock },
	{ "mock-dirty", test_mock_dirty },
	{ "mock-failnth", test_mock_failnth },
	{ "mock-pasid", test_mock_pasid },
	{ "pasid", test_pasid },
	{ "plain-kexec", test_plain_kexec },
	{ "plain-poweroff", test_plain_poweroff },
	{ "plain-reboot", test_plain_reboot },
	{ "refuse", test_refuse },
	{ "refuse-image", test_refuse_image },
	{ "refuse-rmrr", test_refuse_rmrr },
	{ "selftest", test_selftest },
	{ "selftest-kept", test_selftest_kept },
	{ "shell", test_shell },
	{ "unknown-file", test_unknown_file },
	{ "window", test_window },
};

static void mount_all(void)
{
	static const struct {
		const char *dir, *type;
	} m[] = {
		{ "/proc", "proc" },
		{ "/sys", "sysfs" },
		{ "/dev", "devtmpfs" },
		{ "/sys/kernel/debug", "debugfs" },
		{ "/tmp", "tmpfs" },
		{ "/run", "tmpfs" },
		{ "/dev/shm", "tmpfs" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(m); i++) {
		make_dir(m[i].dir);
		mount(m[i].type, m[i].dir, m[i].type, 0, NULL);
	}
}

/* The kernel could not give us a console when /dev was still empty. */
static void open_console(void)
{
	int fd = open("/dev/console", O_RDWR);

	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static int run_test(void)
{
	static const struct step none[] = { SYNC("unknown-test") };
	const char *name = cmdline_test();
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tests); i++)
		if (!strcmp(tests[i].name, name))
			return tests[i].stage(cmdline_stage());
	v_run(none, 0, NULL);
	v_note("there is no test \"%s\"", name);
	return VERDICT_FAIL;
}

/* A tool for the shell: the same binary, called "kexec". */
static int as_tool(const char *name)
{
	const char *base = strrchr(name, '/');

	base = base ? base + 1 : name;
	if (strcmp(base, "kexec")) {
		fprintf(stderr, "%s: this wants to be PID 1\n", base);
		return 1;
	}
	fprintf(stderr, "kexec: %s\n", strerror(-kexec_jump()));
	return 1;
}

int main(int argc, char **argv)
{
	int rc;

	if (getpid() != 1)
		return as_tool(argc ? argv[0] : "");
	mount_all();
	open_console();
	signal(SIGPIPE, SIG_IGN);
	cmdline_read();
	v_open();
	if (!modules_late())
		modules_load();
	rc = run_test();
	v_line("# exit %d", rc);
	power_off();
}
