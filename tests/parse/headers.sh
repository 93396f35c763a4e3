# shellcheck shell=sh
# SPDX-License-Identifier: GPL-2.0-only
# Headers of the kernel that the readers include, empty: kernel-types.h, which is
# included first, has what they need. kernel_headers DIR makes them.

kernel_headers() {
	mkdir -p "$1/linux"
	for header in array_size iommu kexec_handover kho_query list overflow slab sort; do
		: >"$1/linux/$header.h"
	done
}
