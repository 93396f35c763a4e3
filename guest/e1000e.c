// SPDX-License-Identifier: GPL-2.0-only
/*
 * Enough of a driver for the 82574L: reset it, post a long ring of receive
 * descriptors (which it fills for half a minute without any help), hand
 * descriptors back, send. No interrupts.
 */
#include <errno.h>
#include <string.h>

#include "guest.h"
#include "hw.h"

#define CTRL		0x0000
#define  CTRL_FD	0x00000001
#define  CTRL_LRST	0x00000008
#define  CTRL_SLU	0x00000040
#define  CTRL_RST	0x04000000
#define STATUS		0x0008
#define  STATUS_LU	0x00000002
#define ICR		0x00c0
#define IMC		0x00d8
#define RCTL		E1000E_RCTL
/* enabled, promiscuous both ways, broadcast, 256 byte buffers, strip CRC */
#define  RCTL_ON	0x0403801a
#define TCTL		0x0400
#define  TCTL_ON	0x0003f0fa
#define RDBAL		0x2800
#define RDBAH		0x2804
#define RDLEN		0x2808
#define RDH		0x2810
#define RDT		0x2818
#define TDBAL		0x3800
#define TDBAH		0x3804
#define TDLEN		0x3808
#define TDH		0x3810
#define TDT		0x3818
#define RFCTL		0x5008
#define MTA		0x5200
#define RAL		0x5400
#define RAH		0x5404

#define TX_EOP		0x01
#define TX_IFCS		0x02

static uint32_t rd(const struct e1000e *nic, unsigned int reg)
{
	return nic->bar[reg / 4];
}

static void wr(struct e1000e *nic, unsigned int reg, uint32_t val)
{
	nic->bar[reg / 4] = val;
}

static int reset(struct e1000e *nic)
{
	unsigned int i;

	wr(nic, IMC, ~0U);
	wr(nic, CTRL, rd(nic, CTRL) | CTRL_RST);
	sleep_ms(20);
	wr(nic, IMC, ~0U);
	rd(nic, ICR);
	wr(nic, CTRL, (rd(nic, CTRL) | CTRL_SLU | CTRL_FD) & ~CTRL_LRST);
	wr(nic, RCTL, 0);
	for (i = 0; i < 128; i++)
		wr(nic, MTA + 4 * i, 0);
	wr(nic, RFCTL, 0);
	for (i = 0; i < 500; i++) {
		if (rd(nic, STATUS) & STATUS_LU)
			return 0;
		sleep_ms(10);
	}
	return -ENOLINK;
}

int e1000e_start(struct e1000e *nic, uint64_t rx_iova, uint64_t rx_buf_iova,
		 uint64_t tx_iova)
{
	uint32_t i;
	int rc;

	rc = reset(nic);
	if (rc)
		return rc;
	for (i = 0; i < nic->rx_ring; i++) {
		nic->rx[i].addr = rx_buf_iova + (uint64_t)i * RX_BUF;
		nic->rx[i].status = 0;
	}
	memset((void *)nic->tx, 0, TX_RING * sizeof(*nic->tx));
	nic->rx_clean = 0;
	wr(nic, TDBAL, tx_iova);
	wr(nic, TDBAH, tx_iova >> 32);
	wr(nic, TDLEN, TX_RING * sizeof(struct tx_desc));
	wr(nic, TDH, 0);
	wr(nic, TDT, 0);
	wr(nic, TCTL, TCTL_ON);
	wr(nic, RDBAL, rx_iova);
	wr(nic, RDBAH, rx_iova >> 32);
	wr(nic, RDLEN, nic->rx_ring * sizeof(struct rx_desc));
	wr(nic, RDH, 0);
	wr(nic, RDT, 0);
	wr(nic, RCTL, RCTL_ON);
	wr(nic, RDT, nic->rx_ring - 1);
	return rd(nic, RDLEN) == nic->rx_ring * sizeof(struct rx_desc) ? 0 : -EIO;
}

uint32_t e1000e_rdh(const struct e1000e *nic)
{
	return rd(nic, RDH);
}

uint32_t e1000e_rctl(const struct e1000e *nic)
{
	return rd(nic, RCTL);
}

/* Hands the descriptors before @upto, which have been read, to the device. */
void e1000e_replenish(struct e1000e *nic, uint32_t upto)
{
	if (nic->rx_clean == upto)
		return;
	while (nic->rx_clean != upto) {
		nic->rx[nic->rx_clean].status = 0;
		nic->rx_clean = (nic->rx_clean + 1) % nic->rx_ring;
	}
	__sync_synchronize();
	wr(nic, RDT, (upto + nic->rx_ring - 1) % nic->rx_ring);
}

/* The address that is its own. */
void e1000e_mac(const struct e1000e *nic, uint8_t mac[6])
{
	uint32_t low = rd(nic, RAL), high = rd(nic, RAH);

	memcpy(mac, &low, 4);
	memcpy(mac + 4, &high, 2);
}

/* Sends one frame and waits until the device has read it. */
int e1000e_send(struct e1000e *nic, uint64_t iova, size_t len)
{
	uint32_t tail = rd(nic, TDT), next = (tail + 1) % TX_RING;
	unsigned int i;

	if (tail >= TX_RING)
		return -EIO;
	nic->tx[tail].addr = iova;
	nic->tx[tail].len = len;
	nic->tx[tail].cmd = TX_EOP | TX_IFCS;
	nic->tx[tail].status = 0;
	__sync_synchronize();
	wr(nic, TDT, next);
	for (i = 0; i < 1000; i++) {
		if (rd(nic, TDH) == next)
			return 0;
		sleep_ms(1);
	}
	return -ETIMEDOUT;
}
