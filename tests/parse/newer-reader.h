/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A kernel that writes version 2 of everything and goes on reading version 1:
 * to it the records of today are those of an older kernel.
 */
#ifndef FERRY_NEWER_READER_H
#define FERRY_NEWER_READER_H

#include "kernel-types.h"

#include <linux/kho/abi/iommu.h>
#include <linux/kho/abi/iommufd.h>
#include <linux/kho/abi/pci.h>
#include <linux/kho/abi/vfio_pci.h>

#undef IOMMU_SER_VERSION
#define IOMMU_SER_VERSION 2
#undef IOMMU_RECORD_VERSION
#define IOMMU_RECORD_VERSION 2
#undef IOMMUFD_SER_VERSION
#define IOMMUFD_SER_VERSION 2
#undef PCI_SER_VERSION
#define PCI_SER_VERSION 2
#undef VFIO_PCI_SER_VERSION
#define VFIO_PCI_SER_VERSION 2

#endif
