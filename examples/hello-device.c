// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A device that does DMA while the kernel changes.
 *
 *	hello-device 0000:00:03.0	owns the device, which is bound to vfio-pci; holds it
 *	hello-device			in the new kernel: has it again
 *
 * cc hello-device.c $(pkg-config --cflags --libs libferry)
 */
#include <stdio.h>
#include <unistd.h>

#include <ferry.h>

static int keep(struct ferry_host *host, const char *address, struct ferry_session **s)
{
	struct ferry_mapping all = {
		.size = sizeof(all), .flags = FERRY_MAP_READ | FERRY_MAP_WRITE,
		.length = 1 << 20, .iova = 1 << 30,
	};
	struct ferry_iommu *iommu;
	struct ferry_device *device;
	int rc = ferry_session_create(host, "hello", s);

	if (!rc)
		rc = ferry_memory_create(*s, "buffers", all.length, &all.memory);
	if (!rc)
		rc = ferry_iommu_create(*s, "dma", &iommu);
	if (!rc)
		rc = ferry_iommu_map(iommu, &all);
	if (!rc)
		rc = ferry_device_open(*s, "device", address, iommu, &device);
	if (!rc)
		rc = ferry_device_attach(device);
	if (!rc)
		rc = ferry_session_preserve(*s);
	if (!rc) {
		puts("preserved; kexec now. Enter gives it up.");
		/* In the background nobody can press it */
		if (getchar() == EOF)
			pause();
	}
	return rc;
}

static int get(struct ferry_host *host, struct ferry_session **s)
{
	struct ferry_device *device;
	int rc = ferry_session_retrieve(host, "hello", s);

	if (!rc)
		rc = ferry_device_retrieve(*s, "device", &device);
	if (!rc)
		printf("the device is back as number %u\n", ferry_device_id(device));
	return rc ? rc : ferry_session_finish(*s);
}

int main(int argc, char **argv)
{
	struct ferry_session *s = NULL;
	struct ferry_host *host;
	int rc;

	if (ferry_host_new(&host))
		return 1;
	rc = argc == 2 ? keep(host, argv[1], &s) : get(host, &s);
	if (rc)
		fprintf(stderr, "%s\n", s ? ferry_session_error(s) : ferry_host_error(host));
	ferry_session_close(s);
	ferry_host_free(host);
	return rc ? 1 : 0;
}
