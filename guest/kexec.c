// SPDX-License-Identifier: GPL-2.0-only
/* Load the next kernel, and jump. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/kexec.h>
#include <sys/reboot.h>
#include <sys/syscall.h>

#include "guest.h"

static int load(const char *kernel, const char *initrd, const char *cmdline,
		unsigned long flags)
{
	int kfd, ifd = -1, rc = 0;

	if (!initrd)
		flags |= KEXEC_FILE_NO_INITRAMFS;
	kfd = open(kernel, O_RDONLY | O_CLOEXEC);
	if (kfd < 0)
		return -errno;
	if (initrd) {
		ifd = open(initrd, O_RDONLY | O_CLOEXEC);
		if (ifd < 0) {
			rc = -errno;
			close(kfd);
			return rc;
		}
	}
	if (syscall(SYS_kexec_file_load, kfd, ifd, strlen(cmdline) + 1,
		    cmdline, flags))
		rc = -errno;
	if (ifd >= 0)
		close(ifd);
	close(kfd);
	return rc;
}

int kexec_load_file(const char *kernel, const char *initrd)
{
	char cmdline[4096];
	int rc = cmdline_next(cmdline, sizeof(cmdline));

	return rc ? rc : load(kernel, initrd, cmdline, 0);
}

static int load_next(void)
{
	char kernel[32];
	int rc;

	if (!access(NEXT_KERNEL, R_OK))
		return kexec_load_file(NEXT_KERNEL, NEXT_INITRD);
	rc = copy_file("/sys/firmware/initrd", "/tmp/initrd");
	if (rc)
		return rc;
	snprintf(kernel, sizeof(kernel), "/boot/%u/bzImage",
		 cmdline_stage() % 2);
	rc = kexec_load_file(kernel, "/tmp/initrd");
	unlink("/tmp/initrd");
	return rc;
}

/*
 * A step: the next kernel with its archive; or, where two kernels take turns, the
 * other one with this archive, see initramfs.py.
 */
int kexec_load_next(void *ctx)
{
	int rc = load_next();

	(void)ctx;
	return rc ? v_error(rc, "kexec_file_load") : 0;
}

/* The kernel that a panic jumps into. */
int kexec_load_crash(const char *kernel, const char *initrd)
{
	char cmdline[4096];
	int rc = cmdline_crash(cmdline, sizeof(cmdline));

	return rc ? rc : load(kernel, initrd, cmdline, KEXEC_FILE_ON_CRASH);
}

/*
 * The older system call, which gives the kernel segments instead of an image,
 * so that nothing can be known about what they hold. Never jumped to.
 */
int kexec_load_old(unsigned long flags)
{
	static char page[4096] __attribute__((aligned(4096)));
	struct kexec_segment seg = {
		.buf = page,
		.bufsz = sizeof(page),
		.mem = (void *)(16 * MIB),
		.memsz = sizeof(page),
	};

	memset(page, 0xf4, sizeof(page));	/* hlt */
	if (syscall(SYS_kexec_load, (unsigned long)seg.mem, 1UL, &seg,
		    flags | KEXEC_ARCH_DEFAULT))
		return -errno;
	return 0;
}

int kexec_unload(void)
{
	if (syscall(SYS_kexec_file_load, -1, -1, 0UL, NULL,
		    (unsigned long)KEXEC_FILE_UNLOAD))
		return -errno;
	return 0;
}

int kexec_loaded(void)
{
	char buf[8];
	int rc = read_file("/sys/kernel/kexec_loaded", buf, sizeof(buf));

	return rc < 0 ? rc : buf[0] == '1';
}

/* Comes back only when the jump was refused. */
int kexec_jump(void)
{
	v_drain();
	sync();
	if (reboot(RB_KEXEC))
		return -errno;
	return -EIO;
}

/* The steps of an old kernel, then the jump; comes back with a verdict. */
int kexec_after(const struct step *steps, size_t n, void *ctx)
{
	int rc = v_run(steps, n, ctx);

	if (rc)
		return rc;
	v_error(kexec_jump(), "the jump");
	return VERDICT_FAIL;
}
