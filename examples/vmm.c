// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A VMM's part in a live update, in the order of its life:
 *
 *	old process	vmm_open(), vmm_start()		a session, memory, IOMMU, device
 *			vmm_preserve()			before the kexec; DMA goes on
 *	new process	vmm_resume(NAME)		everything is back, by name
 *			vmm_finish()			from here on it is ordinary again
 *			vmm_preserve()			and can be kept once more
 *	either		vmm_stop()
 *
 * Functions return 0 or a negative errno; vmm_error() says what was wrong.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm.h"

static int map_ram(struct vmm *v)
{
	v->mem = mmap(NULL, ferry_memory_length(v->ram), PROT_READ | PROT_WRITE, MAP_SHARED,
		      ferry_memory_fd(v->ram), 0);
	if (v->mem != MAP_FAILED)
		return 0;
	v->mem = NULL;
	return -errno;
}

/* The session's name is all that the new process has to know. */
int vmm_open(struct vmm *v, const char *name)
{
	int rc = ferry_host_new(&v->host);

	return rc ? rc : ferry_session_create(v->host, name, &v->session);
}

/* A session that another process has made or retrieved, and passed on. */
int vmm_adopt(struct vmm *v, int session_fd)
{
	int rc = ferry_host_new(&v->host);

	return rc ? rc : ferry_session_adopt(v->host, session_fd, &v->session);
}

int vmm_start(struct vmm *v, const char *address, uint64_t length, uint64_t iova)
{
	struct ferry_mapping all = {
		.size = sizeof(all), .flags = FERRY_MAP_READ | FERRY_MAP_WRITE,
		.length = length, .iova = iova,
	};
	int rc;

	v->state.iova = iova;
	rc = ferry_memory_create(v->session, "ram", length, &v->ram);
	if (!rc)
		rc = map_ram(v);
	if (!rc)
		rc = ferry_iommu_create(v->session, "dma", &v->iommu);
	all.memory = v->ram;
	if (!rc)
		rc = ferry_iommu_map(v->iommu, &all);
	if (!rc)
		rc = ferry_device_open(v->session, "nic", address, v->iommu, &v->nic);
	return rc ? rc : ferry_device_attach(v->nic);
}

/* vCPUs are stopped by now; the device is not. */
int vmm_preserve(struct vmm *v)
{
	int rc = ferry_state_set(v->session, &v->state, sizeof(v->state));

	return rc ? rc : ferry_session_preserve(v->session);
}

int vmm_resume(struct vmm *v, const char *name)
{
	int rc = ferry_host_new(&v->host);

	if (!rc)
		rc = ferry_session_retrieve(v->host, name, &v->session);
	return rc ? rc : vmm_take_over(v);
}

/* Everything by name. The device brings its IOMMU, and that its memory. */
int vmm_take_over(struct vmm *v)
{
	const void *bytes;
	size_t length;
	int rc;

	rc = ferry_device_retrieve(v->session, "nic", &v->nic);
	if (rc)
		return rc;
	v->iommu = ferry_device_iommu(v->nic);
	rc = ferry_memory_retrieve(v->session, "ram", &v->ram);
	if (!rc)
		rc = ferry_state_get(v->session, &bytes, &length);
	if (!rc && length != sizeof(v->state))
		rc = -EPROTO;
	if (rc)
		return rc;
	memcpy(&v->state, bytes, length);
	return map_ram(v);
}

int vmm_finish(struct vmm *v)
{
	return ferry_session_finish(v->session);
}

/* The device first, then its IOMMU, then the memory: the library sees to that. */
void vmm_stop(struct vmm *v)
{
	if (v->mem)
		munmap(v->mem, ferry_memory_length(v->ram));
	ferry_session_close(v->session);
	ferry_host_free(v->host);
	memset(v, 0, sizeof(*v));
}

const char *vmm_error(const struct vmm *v)
{
	if (v->session && *ferry_session_error(v->session))
		return ferry_session_error(v->session);
	return v->host ? ferry_host_error(v->host) : "";
}
