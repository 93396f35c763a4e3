/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update of an iommufd: between liveupdate.c, which preserves,
 * liveupdate-ser.c, which writes, reads and checks records, and
 * liveupdate-restore.c, which retrieves.
 */
#ifndef __IOMMUFD_LIVEUPDATE_INTERNAL_H
#define __IOMMUFD_LIVEUPDATE_INTERNAL_H

#include <linux/iommu.h>
#include <linux/kho/abi/iommufd.h>
#include <linux/list.h>
#include <linux/types.h>

struct address_space;
struct iommu_domain;
struct iommufd_device;
struct iommufd_hwpt_paging;
struct iopt_area;
struct liveupdate_file_op_args;

/**
 * struct iommufd_lu_tables - The tables of the data chain, in memory
 * @memfds: and the rest: see linux/kho/abi/iommufd.h
 */
struct iommufd_lu_tables {
	struct iommufd_memfd_ser *memfds;
	struct iommufd_pages_ser *pages;
	struct iommufd_ioas_ser *ioas;
	struct iommufd_allowed_ser *allowed;
	struct iommufd_area_ser *areas;
	struct iommufd_hwpt_ser *hwpts;
	struct iommufd_sw_msi_ser *sw_msi;
};

#define IOMMUFD_LU_DEVICE_DONE 1

/**
 * struct iommufd_lu_incoming - Everything about one iommufd that was handed over
 * @item: in the list of liveupdate-restore.c
 * @pa: physical address of the root, the handle
 * @ser: checked copy of the root
 * @data: copy of the data chain, which @t points into
 * @t: the tables
 * @devices: copy of the used entries of the device chain, sorted by device and
 *	PASID. Their flags are 0 when read, and %IOMMUFD_LU_DEVICE_DONE once the
 *	device is restored
 * @nr_devices: number of @devices
 * @devices_lost: an entry cannot be used: some device, that nobody can name, runs
 *	on one of the HWPTs
 * @error: 0, or why the records are refused
 * @hwpts_valid: the HWPT table is there, so that its domains can be abandoned
 *	even if something else is refused
 * @retrieved: an iommufd was made of it, which refers to it until its finish
 */
struct iommufd_lu_incoming {
	struct list_head item;
	u64 pa;
	struct iommufd_ser ser;
	void *data;
	struct iommufd_lu_tables t;
	struct iommufd_device_ser *devices;
	u32 nr_devices;
	bool devices_lost;
	int error;
	bool hwpts_valid;
	bool retrieved;
};

/* liveupdate-ser.c, old kernel */
int iommufd_lu_tables_alloc(struct iommufd_lu_tables *t,
			    const struct iommufd_ser *ser);
void iommufd_lu_tables_free(struct iommufd_lu_tables *t);
int iommufd_lu_write(struct iommufd_ser *ser,
		     const struct iommufd_lu_tables *t);
void iommufd_lu_free(struct iommufd_ser *ser);
struct iommufd_device_ser *iommufd_lu_new_device(struct iommufd_ser *ser);

/* liveupdate-ser.c, new kernel */
void iommufd_lu_read(struct iommufd_lu_incoming *in);
void iommufd_lu_read_free(struct iommufd_lu_incoming *in);
u32 iommufd_lu_find_ioas(const struct iommufd_lu_incoming *in, u32 id);
u32 iommufd_lu_find_hwpt(const struct iommufd_lu_incoming *in, u32 id);
u32 iommufd_lu_count_entries(const struct iommufd_lu_incoming *in,
			     const struct iommufd_device_ser *d);

/* liveupdate-device.c */
struct iommufd_hwpt_paging *iommufd_lu_device_hwpt(struct iommufd_device *idev);
void iommufd_lu_keep_pasid(struct iommufd_device *idev, u32 pasid);
u32 iommufd_lu_next_kept_pasid(struct iommufd_device *idev, u32 pasid,
			       struct iommufd_hwpt_paging **hwpt_paging);

/* liveupdate.c */
int iommufd_lu_verify_area(struct iopt_area *area, struct iommu_domain *domain);
void iommufd_lu_device_name(struct device *dev, char *name, size_t size);

/* liveupdate-restore.c */
int iommufd_lu_retrieve(struct liveupdate_file_op_args *args);
bool iommufd_lu_can_finish(struct liveupdate_file_op_args *args);
void iommufd_lu_finish(struct liveupdate_file_op_args *args);

#endif /* __IOMMUFD_LIVEUPDATE_INTERNAL_H */
