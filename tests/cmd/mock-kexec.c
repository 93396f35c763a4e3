// SPDX-License-Identifier: LGPL-2.1-or-later
/* For the command under test: kexec that says what it would do. FERRY_KEXEC: an errno. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

long mock_kexec_file_load(int kernel, int initrd, unsigned long length, const char *line,
			  unsigned long flags);
int mock_reboot(int command);

static int result(void)
{
	const char *number = getenv("FERRY_KEXEC");

	errno = number ? atoi(number) : 0;
	return errno ? -1 : 0;
}

long mock_kexec_file_load(int kernel, int initrd, unsigned long length, const char *line,
			  unsigned long flags)
{
	fprintf(stderr, "kexec_file_load(%s, %s, %lu, \"%s\", %#lx)\n",
		kernel < 0 ? "none" : "kernel", initrd < 0 ? "none" : "initrd", length,
		line ? line : "", flags);
	return result();
}

int mock_reboot(int command)
{
	fprintf(stderr, "reboot(%#x)\n", command);
	/* It does not come back: here that is an error of its own */
	return result() ? -1 : (errno = EREMOTEIO, -1);
}
