/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a VMM does with libferry: one piece of guest memory, one IOMMU address space, one
 * device. The caller drives the device, here a virtual machine would.
 */
#ifndef EXAMPLE_VMM_H
#define EXAMPLE_VMM_H

#include <ferry.h>

/* The VMM's own bytes: whatever it needs beside what the kernel keeps. */
struct vmm_state {
	uint64_t iova;			/* where the device sees the memory */
	uint64_t counter;
	uint8_t vcpu[4000];		/* registers, device models, ... */
};

struct vmm {
	struct ferry_host *host;
	struct ferry_session *session;
	struct ferry_memory *ram;
	struct ferry_iommu *iommu;
	struct ferry_device *nic;
	void *mem;
	struct vmm_state state;
};

int vmm_open(struct vmm *v, const char *name);
int vmm_adopt(struct vmm *v, int session_fd);
int vmm_start(struct vmm *v, const char *address, uint64_t length, uint64_t iova);
int vmm_preserve(struct vmm *v);
int vmm_resume(struct vmm *v, const char *name);
int vmm_take_over(struct vmm *v);
int vmm_finish(struct vmm *v);
void vmm_stop(struct vmm *v);
const char *vmm_error(const struct vmm *v);

#endif /* EXAMPLE_VMM_H */
