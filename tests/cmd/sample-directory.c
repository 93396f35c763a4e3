// SPDX-License-Identifier: LGPL-2.1-or-later
/* Writes the directory of a session to its standard output. */
#include <stdio.h>
#include <stdlib.h>

#include "../lib/mock.h"

static struct mock m;

int main(void)
{
	struct ferry_mapping map = {
		.size = sizeof(map), .flags = FERRY_MAP_READ | FERRY_MAP_WRITE,
		.length = 1 << 20, .iova = 1ULL << 60,
	};
	struct directory_place d;
	struct ferry_session *s;
	struct ferry_device *nic;
	struct ferry_iommu *dma;
	struct ferry_host *h;

	mock_init(&m);
	if (ferry_host_new_with(&mock_ops, &m, &h) || ferry_session_create(h, "vm0", &s) ||
	    ferry_memory_create(s, "ram", 2 << 20, &map.memory) ||
	    ferry_iommu_create(s, "dma", &dma) || ferry_iommu_note(dma, &map))
		return 1;
	map.offset = 1 << 20;
	map.iova = 1 << 20;
	map.flags = FERRY_MAP_READ;
	if (ferry_iommu_note(dma, &map) ||
	    ferry_device_open(s, "nic", "0000:00:03.0", dma, &nic) ||
	    ferry_device_attach(nic) || ferry_state_set(s, "hello", 6) ||
	    ferry_directory_make(s, &d))
		return 1;
	fwrite(d.bytes, d.length, 1, stdout);
	free(d.bytes);
	ferry_session_close(s);
	ferry_host_free(h);
	mock_free(&m);
	return 0;
}
