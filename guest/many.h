/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Several virtual machines, each with a session of its own, an iommufd, its
 * memory in one memfd, and several network cards. All machines have the same
 * IOVAs and the same tokens for memory and iommufd, so that a mix-up shows.
 * Every other machine has one page table for all of its cards, the rest one
 * for each card.
 */
#ifndef GUEST_MANY_H
#define GUEST_MANY_H

#include "hw.h"

#define MAX_VMS		4
#define MAX_CARDS	4	/* of one machine */
#define MANY_RING	32768	/* four minutes of 125 frames a second */

/* The memory of a machine: its state, a pattern, then a part for each card. */
#define VM_OFF_PATTERN	(64 * KIB)
#define VM_PATTERN_LEN	(896 * KIB)
#define VM_OFF_CARDS	(1 * MIB)
#define CARD_LEN	(9 * MIB)
#define CARD_OFF_TX	(512 * KIB)
#define CARD_OFF_TX_BUF	(576 * KIB)
#define CARD_OFF_RX_BUF	(1 * MIB)
#define CARD_TX_LEN	(64 * KIB)
#define VM_LEN		(VM_OFF_CARDS + MAX_CARDS * CARD_LEN)
#define VM_IOVA		(64 * 1024 * MIB)
#define VM_RO_IOVA	(VM_IOVA + 0x40030000ULL)	/* read-only windows */

#define VM_TOKEN_MEMFD	1
#define VM_TOKEN_IOMMUFD	2
#define VM_TOKEN_CARD	0x300000000ULL		/* and its number */
#define VM_TOKEN_HWPT	0x100000000ULL

#define NO_CARD		(~0U)
#define VM_NAME_LEN	16


struct card_state {
	char bdf[PCI_BDF_LEN];
	uint8_t mac[6];
	uint32_t dev_id, hwpt;
	uint64_t tx_seq;
	uint64_t frames;	/* seen before the kexec */
};

struct vm_state {
	uint64_t magic, seed;
	uint32_t index, ioas;
	int64_t table_pages;
	struct card_state card[MAX_CARDS];
	uint32_t nr_objects;
	struct iommu_liveupdate_object objects[MAX_OBJECTS];
};

struct card {
	unsigned int number;	/* of all cards, in the order of addresses */
	bool left;		/* not kept, in an iommufd of its own */
	int vfio, own_iommufd;
	uint64_t want;
	uint8_t *mem;
	struct card_state *s;
	struct e1000e nic;
	struct frames rx;
};

struct vm {
	unsigned int index;
	int session, memfd, iommufd;
	uint8_t *mem;
	struct vm_state *s;
	unsigned int nr_cards;
	struct card card[MAX_CARDS];
};

struct many {
	int luo;
	unsigned int nr_vms, ready;	/* machines that have been set up */
	unsigned int order[MAX_VMS];	/* in which they are finished */
	uint64_t random;
	long pages_booted;
	struct vm vm[MAX_VMS];
};

#define for_each_vm(m, v)						\
	for ((v) = (m)->vm; (v) < (m)->vm + (m)->ready; (v)++)
#define for_each_card(v, c)						\
	for ((c) = (v)->card; (c) < (v)->card + (v)->nr_cards; (c)++)

/* many.c; the options are told in test-many.c */
void many_init(struct many *m);
void many_shuffle(struct many *m, unsigned int *what, unsigned int n);
void many_name(const struct vm *v, char name[VM_NAME_LEN]);
void many_look_at(struct vm *v);
int many_map_memory(struct vm *v);
int many_set_up(struct many *m, struct vm *v);
int many_preserve(struct many *m, struct vm *v);
int many_send(struct vm *v, unsigned int n);
int many_wait(struct many *m, unsigned int machines, uint64_t more);
int many_whole(struct many *m);
void many_report(struct many *m, const char *when);
void many_close(struct vm *v);

#endif /* GUEST_MANY_H */
