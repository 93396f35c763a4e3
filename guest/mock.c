// SPDX-License-Identifier: GPL-2.0-only
/* The test operations of iommufd, and of its mock IOMMU. */
#include <stdlib.h>
#include <iommufd_test.h>

#include "guest.h"
#include "mock.h"

#define PAGE	4096

static int test_op(int iommufd, struct iommu_test_cmd *cmd)
{
	cmd->size = sizeof(*cmd);
	return sys_ioctl(iommufd, IOMMU_TEST_CMD, cmd);
}

/* A new device, bound to the iommufd and attached to an IOAS. */
int mock_add(int iommufd, uint32_t pt, bool pasid, struct mock *m)
{
	struct iommu_test_cmd cmd = {
		.op = IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
		.id = pt,
	};
	int rc;

	if (pasid)
		cmd.mock_domain_flags.dev_flags = MOCK_FLAGS_DEVICE_PASID;
	rc = test_op(iommufd, &cmd);
	m->stdev = cmd.mock_domain_flags.out_stdev_id;
	m->dev_id = cmd.mock_domain_flags.out_idev_id;
	return rc;
}

int mock_replace(int iommufd, uint32_t stdev, uint32_t pt)
{
	struct iommu_test_cmd cmd = {
		.op = IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
		.id = stdev,
		.mock_domain_replace.pt_id = pt,
	};

	return test_op(iommufd, &cmd);
}

static int pasid_op(int iommufd, uint32_t op, uint32_t stdev, uint32_t pasid,
		    uint32_t pt)
{
	struct iommu_test_cmd cmd = {
		.op = op, .id = stdev,
		.pasid_attach = { .pasid = pasid, .pt_id = pt },
	};

	return test_op(iommufd, &cmd);
}

int mock_pasid_attach(int iommufd, uint32_t stdev, uint32_t pasid, uint32_t pt)
{
	return pasid_op(iommufd, IOMMU_TEST_OP_PASID_ATTACH, stdev, pasid, pt);
}

int mock_pasid_replace(int iommufd, uint32_t stdev, uint32_t pasid, uint32_t pt)
{
	return pasid_op(iommufd, IOMMU_TEST_OP_PASID_REPLACE, stdev, pasid, pt);
}

int mock_pasid_detach(int iommufd, uint32_t stdev, uint32_t pasid)
{
	return pasid_op(iommufd, IOMMU_TEST_OP_PASID_DETACH, stdev, pasid, 0);
}

/* Is the PASID attached to @hwpt, or with 0 not at all? */
int mock_pasid_check(int iommufd, uint32_t stdev, uint32_t pasid, uint32_t hwpt)
{
	return pasid_op(iommufd, IOMMU_TEST_OP_PASID_CHECK_HWPT, stdev, pasid,
			hwpt);
}

/* A file of the device, which can be preserved. */
int mock_file(int iommufd, uint32_t stdev)
{
	struct iommu_test_cmd cmd = {
		.op = IOMMU_TEST_OP_LIVEUPDATE_FILE, .id = stdev,
	};
	int rc = test_op(iommufd, &cmd);

	return rc ? rc : cmd.liveupdate.fd;
}

int mock_look(int iommufd, int file, struct mock *m)
{
	struct iommu_test_cmd cmd = {
		.op = IOMMU_TEST_OP_LIVEUPDATE_STDEV, .liveupdate.fd = file,
	};
	int rc = test_op(iommufd, &cmd);

	m->stdev = cmd.liveupdate.out_stdev_id;
	m->dev_id = cmd.liveupdate.out_idev_id;
	m->writes = cmd.liveupdate.out_writes;
	return rc;
}

/* Does the page table lead to the very pages that are mapped at @mem? */
int mock_check_map(int iommufd, uint32_t hwpt, uint64_t iova, void *mem,
		   uint64_t len)
{
	struct iommu_test_cmd cmd = {
		.op = IOMMU_TEST_OP_MD_CHECK_MAP, .id = hwpt,
		.check_map = {
			.iova = iova, .length = len, .uptr = (uintptr_t)mem,
		},
	};

	return test_op(iommufd, &cmd);
}

int mock_check_pins(int iommufd, void *mem, uint64_t len, unsigned int pins)
{
	struct iommu_test_cmd cmd = {
		.op = IOMMU_TEST_OP_MD_CHECK_REFS,
		.check_refs = {
			.length = len, .uptr = (uintptr_t)mem, .refs = pins,
		},
	};

	return test_op(iommufd, &cmd);
}

/* One that can be attached to PASIDs, and that can track dirty pages. */
int mock_hwpt(int iommufd, uint32_t dev_id, uint32_t ioas, uint32_t *hwpt)
{
	return iommufd_hwpt_alloc_flags(iommufd, dev_id, ioas,
					IOMMU_HWPT_ALLOC_PASID |
					IOMMU_HWPT_ALLOC_DIRTY_TRACKING, hwpt);
}

/* Let the device write the pages whose bits are set. */
int mock_write_dirty(int iommufd, uint32_t hwpt, uint64_t iova, uint64_t len,
		     const uint64_t *set)
{
	struct iommu_test_cmd cmd = {
		.op = IOMMU_TEST_OP_DIRTY, .id = hwpt,
		.dirty = {
			.iova = iova, .length = len, .page_size = PAGE,
			.uptr = (uintptr_t)set,
		},
	};

	return test_op(iommufd, &cmd);
}

/*
 * Let the device write every other page, and count those of them that iommufd saw.
 * It may see others, too: of contiguous pages that share an entry.
 */
int mock_count_dirty(int iommufd, uint32_t hwpt, uint64_t iova, uint64_t len)
{
	uint64_t pages = len / PAGE, set[64] = { 0 }, got[64] = { 0 };
	unsigned int i;
	int rc, n = 0;

	for (i = 0; i < pages && i < 64 * 64; i += 2)
		set[i / 64] |= 1ULL << i % 64;
	rc = mock_write_dirty(iommufd, hwpt, iova, len, set);
	if (!rc)
		rc = iommufd_read_dirty(iommufd, hwpt, iova, len, false, got);
	for (i = 0; i < 64; i++)
		n += __builtin_popcountll(got[i] & set[i]);
	return rc ? rc : n;
}
