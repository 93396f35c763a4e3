// SPDX-License-Identifier: GPL-2.0-only
/* shell: a shell on the console; the next kernel is loaded, "kexec" jumps. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "guest.h"
#include "hw.h"

#define BUSYBOX	"/bin/busybox"

static void shell(void)
{
	static char *const env[] = {
		"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/", "TERM=linux",
		"PS1=ferry# ", NULL,
	};
	int fd;

	setsid();
	fd = open("/dev/ttyS0", O_RDWR);
	if (fd >= 0) {
		ioctl(fd, TIOCSCTTY, 1);
		dup2(fd, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		dup2(fd, STDERR_FILENO);
	}
	execle(BUSYBOX, "sh", NULL, env);
	perror(BUSYBOX);
	_exit(127);
}

static int run_shell(void *p)
{
	char bdf[PCI_BDF_LEN];
	int status = 0;
	pid_t pid;

	(void)p;
	make_dir("/sbin");
	make_dir("/usr");
	make_dir("/usr/bin");
	make_dir("/usr/sbin");
	if (access(BUSYBOX, X_OK)) {
		v_note("there is no " BUSYBOX);
		return STEP_SKIP;
	}
	if (!fork()) {
		execl(BUSYBOX, "busybox", "--install", "-s", NULL);
		_exit(127);
	}
	wait(NULL);
	unlink("/bin/kexec");
	if (symlink("/init", "/bin/kexec"))
		v_note("no /bin/kexec: %m");
	printf("\nThis is stage %u. \"kexec\" jumps to the next kernel, \"exit\" powers off.\n",
	       cmdline_stage());
	if (!pci_find(E1000E_VENDOR, E1000E_DEVICE, 0, bdf))
		printf("The NIC is %s.\n", bdf);
	fflush(stdout);
	pid = fork();
	if (!pid)
		shell();
	while (wait(&status) != pid)
		;
	return 0;
}

int test_shell(unsigned int stage)
{
	static const struct step steps[] = {
		CHECK("the next kernel is loaded", kexec_load_next),
		SYNC("shell"),
		STEP("the shell has ended", run_shell),
	};

	(void)stage;
	/* The last of a chain has no next kernel: that is no failure. */
	if (access(NEXT_KERNEL, R_OK))
		return v_run(steps + 1, ARRAY_SIZE(steps) - 1, NULL);
	return v_run(steps, ARRAY_SIZE(steps), NULL);
}
