/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device with all that a live update of it needs, ready to be preserved: the
 * tests of what is refused take one piece away, or damage it.
 */
#ifndef GUEST_KIT_H
#define GUEST_KIT_H

#include "hw.h"

#define KIT_IOVA	0x2000000000ULL
#define KIT_MEM		(1 * MIB)
#define KIT_TOKEN	0x500000000ULL

struct kit {
	char bdf[PCI_BDF_LEN];
	int memfd, iommufd, vfio;
	void *mem;
	uint32_t dev, ioas, hwpt;
	int luo, session;
};

/* What a kit is made with; the rest is left out. */
enum kit_parts {
	KIT_MEMFD = 1, KIT_MAP = 2, KIT_HWPT = 4, KIT_ATTACH = 8, KIT_MARK = 16,
	KIT_SESSION = 32,
	KIT_ALL = 63,
};

int kit_open(struct kit *k, const char *bdf, unsigned int parts);
int kit_open_with(struct kit *k, const char *bdf, unsigned int parts,
		  const uint8_t *vf_token);
void kit_close(struct kit *k);
int kit_session(struct kit *k, const char *name);
void kit_end_session(struct kit *k);
int kit_preserve_memfd(struct kit *k);
int kit_preserve_iommufd(struct kit *k);
int kit_preserve_vfio(struct kit *k);
int kit_preserve(struct kit *k);
int kit_mutable(struct kit *k);

/* Says whether a call ended as it should. */
int want(int rc, int wanted, const char *what);
int kit_check_says_no(char *bdf, const char *reason);

/* kmsg.c */
int kmsg_skip(void);
int kmsg_count(const char *text);
int kmsg_refusal(const char *object, const char *reason);

#endif /* GUEST_KIT_H */
