/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The program under test, as the tests share it: a network card owned through
 * VFIO and iommufd, whose rings and buffers lie in one memfd. What the
 * successor in the new kernel must know lies in the first page of that memfd.
 */
#ifndef GUEST_DMA_H
#define GUEST_DMA_H

#include "hw.h"

#define SESSION_NAME	"ferry-demo"
#define STATE_MAGIC	0x6665727279646d61ULL

/* Where things are in the memfd; the device sees offset + iova. */
#define OFF_STATE	0
#define OFF_PATTERN	(64 * KIB)
#define PATTERN_LEN	(896 * KIB)
#define OFF_TX_RING	(1 * MIB)
#define OFF_TX_BUF	(1 * MIB + 64 * KIB)
#define TX_BUF_LEN	(64 * KIB)
#define OFF_RX_RING	(2 * MIB)
#define OFF_COUNT	(3 * MIB + 512 * KIB)	/* struct frames */
#define OFF_RX_BUF	(4 * MIB)
#define MEM_LEN		(20 * MIB)

/* No RAM has these addresses, so an untranslated access shows. */
#define DEFAULT_IOVA	(64 * 1024 * MIB)
#define RO_IOVA_OFF	(0x40000000ULL + 0x30000)	/* read-only window */
#define NEW_IOVA_OFF	(0x80000000ULL + 0x5000)	/* mapped by stage 2 */
#define NEW_LEN		(1 * MIB)

#define TX_FRAMES_OLD	8
#define TX_FRAMES_NEW	32	/* the last eight from new memory */
#define TX_FRAMES_FRESH	8

struct dma_state {
	uint64_t magic, mem_len, iova, seed;
	uint32_t dev_id, ioas_id, hwpt_id;
	uint32_t nr_objects;
	struct iommu_liveupdate_object objects[MAX_OBJECTS];
	uint64_t caps;
	uint64_t tx_seq;
	uint64_t frames;		/* seen before the kexec */
	int64_t table_pages;
	int32_t pinned_kib, locked_kib;	/* what its owner is charged */
	uint32_t updates;		/* kernels that handed this on */
	uint32_t rx_clean;
	int64_t pages[2];		/* see test-chain.c */
	char bdf[PCI_BDF_LEN];
};

struct dma {
	bool keep;
	int luo, session, memfd, iommufd, vfio;
	char bdf[PCI_BDF_LEN];
	void *mem;
	struct dma_state *state;
	struct e1000e nic;
	struct frames rx;
	long pages_booted;
	bool bus_reset;
};

/* dma.c; each of these is a step */
void dma_init(struct dma *d);
int dma_bind_driver(void *ctx);
int dma_make_memory(void *ctx);
int dma_attach(void *ctx);
int dma_open_second(struct dma *d);
int dma_ring_up(void *ctx);
int dma_frames_arrive(void *ctx);
int dma_ring_is_consistent(void *ctx);
int dma_goes_on(void *ctx);
int dma_mark(void *ctx);
int dma_preserve_memfd(void *ctx);
int dma_preserve_iommufd(void *ctx);
int dma_preserve_vfio(void *ctx);
int dma_preserve_all(void *ctx);
int dma_close_session(void *ctx);
int dma_close_all(void *ctx);
bool dma_keeps(void *ctx);
bool dma_tracks(void *ctx);
int dma_track(void *ctx);
bool dma_wants_large(void *ctx);
int dma_memory_is_large(void *ctx);

/* What most old kernels begin with: the card is ready to receive, and frames come. */
#define DMA_STEPS_READY							\
	STEP("the card is bound to vfio-pci", dma_bind_driver),		\
	STEP("memory is made", dma_make_memory),			\
	STEP("the card is attached to its page table", dma_attach),	\
	STEP("the receive ring is up", dma_ring_up),			\
	SYNC("ready")

/* What a new one begins with that looks at the card: all of it is back. */
#define DMA_STEPS_BACK							\
	SYNC("booted"),							\
	STEP("the session is retrieved", dma_get_session),		\
	STEP("the files are retrieved", dma_get_files),			\
	STEP("memory is intact", dma_memory_is_intact),			\
	SYNC("retrieved"),						\
	STEP("the registers are mapped", dma_map_registers)

/* dma-new.c: steps in the new kernel */
int dma_find(void *ctx);
int dma_bound_by_itself(void *ctx);
int dma_is_ordinary(void *ctx);
int dma_not_bound_yet(void *ctx);
int dma_still_mastering(void *ctx);
int dma_get_session(void *ctx);
int dma_get_file(struct dma *d, char what);
int dma_get_files(void *ctx);
int dma_memory_is_intact(void *ctx);
int dma_map_registers(void *ctx);
int dma_replenish(void *ctx);
int dma_frames_are_whole(void *ctx);
int dma_frames_crossed(void *ctx);
int dma_final_count(void *ctx);
int dma_finish(void *ctx);
int dma_close_everything(void *ctx);
int dma_is_stopped(void *ctx);
int dma_memory_is_quiet(void *ctx);
int dma_forget(void *ctx);
int dma_device_is_reset(void *ctx);
int dma_pages_are_back(void *ctx);
bool dma_has_kmemleak(void *ctx);
int dma_no_leak(void *ctx);

/* intruder.c: another process that wants the device while it is retrieved */
int intruder_start(void *ctx);
int intruder_result(void *ctx);

struct failnth;
int dma_sweep(struct failnth *f, int (*try)(void *ctx),
	      int (*undo)(void *ctx), void *ctx);

/* dma-old.c; each of these but the last is a step, or undoes one */
int dma_refuse_later(void *ctx);
void dma_refuse_no_more(void);
int dma_list_objects(void *ctx);
int dma_write_down(void *ctx);
int dma_old_kernel(struct dma *d);

/* crash.c */
bool dma_wants_crash(void *ctx);
int dma_load_crash(void *ctx);
void dma_panic(void) __attribute__((noreturn));

/* helpers */
uint64_t dma_token_memfd(void);
uint64_t dma_token_iommufd(void);
uint64_t dma_token_vfio(void);
uint64_t dma_token(char what);
void dma_look_at_memory(struct dma *d);
int dma_wait_frames(struct dma *d, uint64_t more);
int dma_send(struct dma *d, uint8_t *bufs, uint64_t iova, unsigned int n);

/* testdev.c: a device that is not kept */
bool testdev_wanted(void *p);
int testdev_old(void *p);
int testdev_new(void *p);
int testdev_close(void *p);

#endif /* GUEST_DMA_H */
