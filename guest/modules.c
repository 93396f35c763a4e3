// SPDX-License-Identifier: GPL-2.0-only
/*
 * Some kernels have iommufd and vfio-pci as modules. They are loaded before the
 * test starts, as an initramfs does, or, with the option modules=late, not in
 * a new kernel: then somebody else has to ask for them.
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

#define MODPROBE	"/sbin/modprobe"

bool modules_late(void)
{
	return cmdline_stage() > 1 && !strcmp(opt_str("modules", ""), "late");
}

/* A kernel without modules has them built in, which is no failure. */
void modules_load(void)
{
	static const char *const names[] = { "iommufd", "vfio-pci" };
	size_t i;
	pid_t pid;

	if (access("/lib/modules", F_OK))
		return;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		pid = fork();
		if (!pid) {
			execl(MODPROBE, MODPROBE, "-q", names[i], NULL);
			_exit(127);
		}
		waitpid(pid, NULL, 0);
	}
}
