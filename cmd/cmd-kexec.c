// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ferry load, abort, go: the next kernel. Sessions are preserved by the processes that have
 * them, before or after the load; what the jump needs of the image the kernel checks itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/kexec.h>
#include <sys/reboot.h>
#include <sys/syscall.h>

#include "cmd.h"

#ifdef KEXEC_MOCK
/* Of the test: they say what they would do */
long mock_kexec_file_load(int kernel, int initrd, unsigned long length, const char *line,
			  unsigned long flags);
int mock_reboot(int command);
#define kexec_file_load	mock_kexec_file_load
#define reboot		mock_reboot
#define LOADED		"kexec_loaded"
#define CMDLINE		"cmdline"
#define PROC		"proc"
#else
#define LOADED		"/sys/kernel/kexec_loaded"
#define CMDLINE		"/proc/cmdline"
#define PROC		"/proc"

static long kexec_file_load(int kernel, int initrd, unsigned long length, const char *line,
			    unsigned long flags)
{
	return syscall(SYS_kexec_file_load, kernel, initrd, length, line, flags);
}
#endif

#define JUMP		0x45584543	/* LINUX_REBOOT_CMD_KEXEC */
#define MAX_LINE	4096

/* A file without its last newline; its length, or -1. */
static int read_line(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, buf, len - 1);
	close(fd);
	buf[n < 0 ? 0 : n] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return n < 0 ? -1 : (int)strlen(buf);
}

/* 1, 0, or -1 when this kernel does not say. */
static int is_loaded(void)
{
	char buf[8];

	return read_line(LOADED, buf, sizeof(buf)) < 0 ? -1 : buf[0] == '1';
}

static int refused(const char *what)
{
	switch (errno) {
	case ENOSYS:
		return fail(UNSUPPORTED, "%s: this kernel cannot do it; start one that has "
			    "CONFIG_KEXEC_FILE", what);
	case EPERM:
		return fail(FAILED, "%s: this user may not, or the kernel is locked down; nothing "
			    "has changed. Be root", what);
	case ENOEXEC:
	case EOPNOTSUPP:
		return fail(FAILED, "%s: it is no kernel, or one that cannot read what is handed "
			    "over; nothing has changed. See the kernel log", what);
	case EBUSY:
		return fail(FAILED, "%s: something that is preserved is in the way; nothing has "
			    "changed. See the kernel log", what);
	default:
		return fail(FAILED, "%s: %s; nothing has changed. See the kernel log", what,
			    strerror(errno));
	}
}

/* ---- load ---- */

/* The boot loader's own word is about the image that it has loaded. */
static void drop_boot_image(char *line)
{
	char *end;

	if (strncmp(line, "BOOT_IMAGE=", 11))
		return;
	end = line + strcspn(line, " ");
	memmove(line, end + (*end == ' '), strlen(end + (*end == ' ')) + 1);
}

static int command_line(char *line)
{
	const char *text = given("command-line");

	if (!text == !given("reuse-cmdline"))
		return usage("it wants --command-line or --reuse-cmdline");
	if (!text) {
		if (read_line(CMDLINE, line, MAX_LINE) < 0)
			return fail(FAILED, "%s: %s", CMDLINE, strerror(errno));
		drop_boot_image(line);
		return DONE;
	}
	if (strlen(text) >= MAX_LINE)
		return usage("the command line is too long");
	strcpy(line, text);
	return DONE;
}

static int load_files(const char *kernel, const char *initrd, const char *line)
{
	unsigned long flags = initrd ? 0 : KEXEC_FILE_NO_INITRAMFS;
	int ifd = -1, kfd = open(kernel, O_RDONLY | O_CLOEXEC), rc = DONE;

	if (kfd < 0)
		return fail(FAILED, "%s: %s", kernel, strerror(errno));
	if (initrd) {
		ifd = open(initrd, O_RDONLY | O_CLOEXEC);
		if (ifd < 0)
			rc = fail(FAILED, "%s: %s", initrd, strerror(errno));
	}
	if (!rc && kexec_file_load(kfd, ifd, strlen(line) + 1, line, flags))
		rc = refused(kernel);
	if (ifd >= 0)
		close(ifd);
	close(kfd);
	return rc;
}

static void loaded_or_not(bool loaded, const char *text_now)
{
	stage_end(true);
	text("%s\n", text_now);
	json_open(NULL, '{');
	json_bool("loaded", loaded);
	json_close('}');
	out_end();
}

static int run_load(int argc, char **argv)
{
	char line[MAX_LINE];
	int rc;

	signal(SIGPIPE, SIG_IGN);
	if (argc != 1)
		return usage("it wants one kernel image");
	rc = command_line(line);
	if (rc)
		return rc;
	stage("The kernel reads and checks the image.");
	rc = load_files(argv[0], given("initrd"), line);
	if (rc)
		return rc;
	changed();
	loaded_or_not(true, "Loaded. 'ferry go' starts it, 'ferry abort' drops it.");
	return DONE;
}

/* ---- abort ---- */

static int run_abort(int argc, char **argv)
{
	(void)argv;
	signal(SIGPIPE, SIG_IGN);
	if (argc)
		return usage("it takes no argument");
	if (!is_loaded()) {
		loaded_or_not(false, "No kernel was loaded.");
		return DONE;
	}
	if (kexec_file_load(-1, -1, 0, NULL, KEXEC_FILE_UNLOAD))
		return refused("the kernel that is loaded");
	changed();
	loaded_or_not(false, "Dropped. What is preserved stays so until its process takes it back.");
	return DONE;
}

/* ---- go ---- */

/* What others hold at this moment: who starts the jump should have seen it. */
static void show_sessions(void)
{
	struct open_sessions l;
	size_t i;

	if (open_sessions_find(PROC, &l)) {
		text("Which sessions there are is not known: there is no %s to look into.\n", PROC);
		return;
	}
	if (l.n)
		text("Processes have these sessions:\n");
	for (i = 0; i < l.n; i++) {
		if (i && !strcmp(l.rows[i].name, l.rows[i - 1].name))
			continue;
		text("  ");
		text_safe(l.rows[i].name);
		text("\n");
	}
	open_sessions_hidden(&l);
	if (!l.n && !l.hidden)
		text("No process has a session: nothing is kept.\n");
	free(l.rows);
}

static int confirm(void)
{
	char answer[8];

	if (given("yes"))
		return DONE;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return usage("without a terminal to ask on it wants --yes");
	fflush(stdout);
	fprintf(stderr, "This replaces the running kernel now. All processes end; what is in no "
		"session is lost.\nGo on? [y/N] ");
	if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
		return DONE;
	return fail(FAILED, "not done; nothing has changed");
}

static int run_go(int argc, char **argv)
{
	int loaded = is_loaded(), rc;

	(void)argv;
	signal(SIGPIPE, SIG_IGN);
	if (argc)
		return usage("it takes no argument");
	if (loaded < 0)
		return fail(UNSUPPORTED, "this kernel cannot start another one; start one that has "
			    "CONFIG_KEXEC_FILE");
	if (!loaded)
		return fail(FAILED, "no kernel is loaded; nothing has changed. Use 'ferry load'");
	show_sessions();
	rc = confirm();
	if (rc)
		return rc;
	stage("The file systems are written out.");
	sync();
	stage("The next kernel takes over.");
	/* Comes back only when something has refused, and the kernel has undone the rest */
	reboot(JUMP);
	return refused("the jump");
}

static const struct option_row load_options[] = {
	{ "initrd", "FILE", "its initial ramdisk" },
	{ "command-line", "TEXT", "its command line" },
	{ "reuse-cmdline", NULL, "take the running kernel's" },
	{ 0 },
};

static const struct option_row abort_options[] = { { 0 } };

static const struct option_row go_options[] = {
	{ "yes", NULL, "do not ask" },
	{ 0 },
};

const struct verb verb_load = {
	"load", "KERNEL", "Load the kernel that will take over", load_options, run_load,
};

const struct verb verb_abort = {
	"abort", "", "Drop the kernel that is loaded", abort_options, run_abort,
};

const struct verb verb_go = {
	"go", "", "Start the kernel that is loaded", go_options, run_go,
};
