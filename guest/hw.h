/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's interfaces and the network card, each wrapped thinly. */
#ifndef GUEST_HW_H
#define GUEST_HW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../lib/uapi.h"

/* luo.c */
int luo_open(void);
int luo_create(int luo, const char *name);
int luo_retrieve(int luo, const char *name);
int luo_preserve(int session, int fd, uint64_t token);
int luo_get(int session, uint64_t token);
int luo_finish(int session);

/* A session and the way to it, for steps: failures are reported */
struct luo_session {
	int luo, fd;
};

int luo_session_keep(struct luo_session *s, const char *name, int file,
		     uint64_t token);
int luo_session_finish(struct luo_session *s);
void luo_session_close(struct luo_session *s);

/* iommufd.c */
#define MAX_OBJECTS	16
int iommufd_open(void);
int iommufd_ioas_alloc(int fd, uint32_t *ioas);
int iommufd_map_file(int fd, uint32_t ioas, int memfd, uint64_t start,
		     uint64_t len, uint64_t iova, bool writeable);
int iommufd_map(int fd, uint32_t ioas, void *mem, uint64_t len, uint64_t iova);
int iommufd_copy(int fd, uint32_t ioas, uint64_t from, uint64_t len,
		 uint64_t to);
int iommufd_unmap(int fd, uint32_t ioas, uint64_t iova, uint64_t len);
int iommufd_ranges(int fd, uint32_t ioas, struct iommu_iova_range *ranges,
		   uint32_t *n);
int iommufd_small_pages(int fd, uint32_t ioas);
int iommufd_allow(int fd, uint32_t ioas, const struct iommu_iova_range *ranges,
		  uint32_t n);
int iommufd_charge_process(int fd);
int iommufd_change_process(int fd);
int iommufd_hwpt_alloc(int fd, uint32_t dev, uint32_t ioas, uint32_t *hwpt);
int iommufd_hwpt_alloc_flags(int fd, uint32_t dev, uint32_t ioas,
			     uint32_t flags, uint32_t *hwpt);
int iommufd_track_dirty(int fd, uint32_t hwpt, bool on);
int iommufd_read_dirty(int fd, uint32_t hwpt, uint64_t iova, uint64_t len,
		       bool keep, uint64_t *got);
int iommufd_destroy(int fd, uint32_t id);
int iommufd_hw_info(int fd, uint32_t dev, uint64_t *caps);
int iommufd_mark(int fd, uint32_t hwpt, uint64_t token, uint32_t flags);
int iommufd_disposition(int fd, uint32_t dev, uint32_t pasid,
			uint32_t disposition);
int iommufd_objects(int fd, struct iommu_liveupdate_object *objects,
		    uint32_t n, uint32_t *state);
int iommufd_same_objects(int fd, const struct iommu_liveupdate_object *wanted,
			 uint32_t nr);

/* pci.c */
#define PCI_BDF_LEN	16

int pci_find(unsigned int vendor, unsigned int device, unsigned int nth,
	     char bdf[PCI_BDF_LEN]);
unsigned int pci_id(const char *bdf, const char *attr);
int pci_bind_vfio(const char *bdf);
int pci_driver(const char *bdf, char *name, size_t len);
int pci_config_read16(const char *bdf, unsigned int off);
int pci_config_write16(const char *bdf, unsigned int off, uint16_t val);
int pci_set(const char *bdf, const char *attr, const char *text);
volatile uint32_t *pci_map_bar0(const char *bdf, size_t len);

/* vfio.c */
int vfio_open(const char *bdf);
int vfio_bind_token(int fd, int iommufd, uint32_t *dev_id,
		    const uint8_t *uuid);
int vfio_set_vf_token(int fd, const uint8_t *uuid);
int vfio_bind(int fd, int iommufd, uint32_t *dev_id);
int vfio_attach(int fd, uint32_t pt_id);
int vfio_detach(int fd);
int vfio_attach_pasid(int fd, uint32_t pasid, uint32_t pt_id);
int vfio_detach_pasid(int fd, uint32_t pasid);
volatile uint32_t *vfio_map_bar0(int fd, size_t *len);
int vfio_reset(int fd);
int vfio_feature_set(int fd, uint32_t feature);
int vfio_find_cap(int fd, uint8_t id);
int vfio_config_or16(int fd, unsigned int off, uint16_t bits);
int vfio_bar0_read32(int fd, unsigned int off, uint32_t *val);
int vfio_bar0_write32(int fd, unsigned int off, uint32_t val);
int vfio_config_write16(int fd, unsigned int off, uint16_t val);

/* e1000e.c */
#define E1000E_VENDOR	0x8086
#define E1000E_DEVICE	0x10d3
#define E1000E_RCTL	0x0100
#define RX_RING		65528	/* descriptors at most; one less can be posted */
#define RX_BUF		256
#define TX_RING		256
#define TX_BUF		256

struct rx_desc {
	uint64_t addr;
	uint16_t len, csum;
	uint8_t status, err;
	uint16_t special;
};

struct tx_desc {
	uint64_t addr;
	uint16_t len;
	uint8_t cso, cmd, status, css;
	uint16_t special;
};

#define RX_DD	0x01
#define RX_EOP	0x02

/* A ring as the CPU sees it, and where the device sees it. */
struct e1000e {
	volatile uint32_t *bar;
	size_t bar_len;
	volatile struct rx_desc *rx;
	const uint8_t *rx_bufs;
	volatile struct tx_desc *tx;
	uint8_t *tx_bufs;
	uint32_t rx_ring;	/* descriptors */
	uint32_t rx_clean;	/* the first descriptor not handed back */
};

int e1000e_start(struct e1000e *nic, uint64_t rx_iova, uint64_t rx_buf_iova,
		 uint64_t tx_iova);
uint32_t e1000e_rdh(const struct e1000e *nic);
uint32_t e1000e_rctl(const struct e1000e *nic);
void e1000e_replenish(struct e1000e *nic, uint32_t upto);
void e1000e_mac(const struct e1000e *nic, uint8_t mac[6]);
int e1000e_send(struct e1000e *nic, uint64_t iova, size_t len);

/* frames.c: what the host sent, as it lies in memory */
#define HIST_BUCKETS	16384
#define HIST_NS		10000000ULL

struct frames {
	uint32_t next;		/* the descriptor to look at next */
	uint8_t whose[6];	/* frames to others are corrupt; 0: not looked at */
	uint64_t count, holes, dups, corrupt;
	uint64_t first_seq, last_seq;
	uint64_t first_ns, last_ns, max_gap_ns, gap_after_ns;
	uint16_t hist[HIST_BUCKETS];
};

void frames_init(struct frames *f);
uint32_t frames_scan(struct frames *f, const struct e1000e *nic);
void frames_report(const struct frames *f);
void frames_report_hist(const struct frames *f);
size_t frame_make(uint8_t *buf, uint64_t seq);

#endif /* GUEST_HW_H */
