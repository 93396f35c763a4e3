// SPDX-License-Identifier: GPL-2.0-only
/* A crash kernel beside the kernel that has the card, and the panic. */
#include <unistd.h>

#include "dma.h"
#include "guest.h"

bool dma_wants_crash(void *p)
{
	(void)p;
	return opt_u64("crash", 0);
}

/* The last kernel of a chain has no next one: then there is another image. */
int dma_load_crash(void *p)
{
	bool other = !access(OTHER_KERNEL, R_OK);
	int rc = kexec_load_crash(other ? OTHER_KERNEL : NEXT_KERNEL,
				  other ? NULL : NEXT_INITRD);

	(void)p;
	return rc ? v_error(rc, "kexec_file_load of a crash kernel") : 0;
}

/* A panic takes its time; the harness waits for what comes then. */
void dma_panic(void)
{
	write_file("/proc/sysrq-trigger", "c");
	for (;;)
		pause();
}
