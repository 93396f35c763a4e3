// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host numbers its frames and stamps them with its own clock, so what was
 * lost, and when, can be read from the receive buffers alone.
 */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "guest.h"
#include "hw.h"

#define FRAME_LEN	60
#define FRAME_PAD	34	/* the first byte after the header */
#define TYPE_TO_GUEST	0x88b5
#define MAGIC_TO_GUEST	0x4c555021
#define TYPE_TO_HOST	0x88b6
#define MAGIC_TO_HOST	0x4c555422

struct frame {
	uint8_t dst[6], src[6];
	uint16_t type;
	uint32_t magic;
	uint64_t seq, ns;
} __attribute__((packed));

void frames_init(struct frames *f)
{
	memset(f, 0, sizeof(*f));
}

static bool pad_is_good(const uint8_t *buf, uint64_t seq)
{
	size_t i;

	for (i = FRAME_PAD; i < FRAME_LEN; i++)
		if (buf[i] != (uint8_t)(seq + i))
			return false;
	return true;
}

static void account_time(struct frames *f, uint64_t ns)
{
	uint64_t bucket;

	if (!f->count) {
		f->first_ns = ns - ns % HIST_NS;
	} else if (ns > f->last_ns && ns - f->last_ns > f->max_gap_ns) {
		f->max_gap_ns = ns - f->last_ns;
		f->gap_after_ns = f->last_ns;
	}
	if (ns > f->last_ns)
		f->last_ns = ns;
	bucket = (ns - f->first_ns) / HIST_NS;
	if (bucket < HIST_BUCKETS && f->hist[bucket] < UINT16_MAX)
		f->hist[bucket]++;
}

static void account(struct frames *f, const uint8_t *buf)
{
	struct frame fr;
	uint64_t seq;

	memcpy(&fr, buf, sizeof(fr));
	seq = be64toh(fr.seq);
	if (be16toh(fr.type) != TYPE_TO_GUEST ||
	    be32toh(fr.magic) != MAGIC_TO_GUEST ||
	    (f->whose[0] && memcmp(fr.dst, f->whose, 6)) ||
	    (opt_u64("pad", 0) && !pad_is_good(buf, seq))) {
		f->corrupt++;
		return;
	}
	account_time(f, be64toh(fr.ns));
	if (!f->count)
		f->first_seq = seq;
	else if (seq <= f->last_seq)
		f->dups++;
	else
		f->holes += seq - f->last_seq - 1;
	if (!f->count || seq > f->last_seq)
		f->last_seq = seq;
	f->count++;
}

/* Looks at what has come in since the last call; how many descriptors. */
uint32_t frames_scan(struct frames *f, const struct e1000e *nic)
{
	uint32_t n = 0;

	while (n < nic->rx_ring - 1 && nic->rx[f->next].status & RX_DD) {
		volatile struct rx_desc *d = &nic->rx[f->next];

		__sync_synchronize();
		if (!(d->status & RX_EOP) || d->err || d->len != FRAME_LEN)
			f->corrupt++;
		else
			account(f, nic->rx_bufs + (size_t)f->next * RX_BUF);
		f->next = (f->next + 1) % nic->rx_ring;
		n++;
	}
	return n;
}

void frames_report(const struct frames *f)
{
	v_info("frames_in_memory", "%llu", (unsigned long long)f->count);
	v_info("first_seq", "%llu", (unsigned long long)f->first_seq);
	v_info("last_seq", "%llu", (unsigned long long)f->last_seq);
	v_info("holes", "%llu", (unsigned long long)f->holes);
	v_info("dups", "%llu", (unsigned long long)f->dups);
	v_info("corrupt", "%llu", (unsigned long long)f->corrupt);
	v_info("first_frame_ns", "%llu", (unsigned long long)f->first_ns);
	v_info("last_frame_ns", "%llu", (unsigned long long)f->last_ns);
	v_info("blackout_ms", "%.3f", f->max_gap_ns / 1e6);
	v_info("blackout_at_ns", "%llu", (unsigned long long)f->gap_after_ns);
}

/* Frames per 10 ms of the sender's clock, a hundred figures in a line. */
void frames_report_hist(const struct frames *f)
{
	uint64_t last = (f->last_ns - f->first_ns) / HIST_NS;
	char line[100 * 6 + 1];
	size_t i, used = 0;

	if (!f->count)
		return;
	if (last >= HIST_BUCKETS)
		last = HIST_BUCKETS - 1;
	for (i = 0; i <= last; i++) {
		used += snprintf(line + used, sizeof(line) - used, "%s%u",
				 i % 100 ? "," : "", f->hist[i]);
		if (i % 100 != 99 && i != last)
			continue;
		v_info("hist", "%llu %s",
		       (unsigned long long)(f->first_ns +
					    (i - i % 100) * HIST_NS), line);
		used = 0;
	}
}

/* A frame for the host; its length. */
size_t frame_make(uint8_t *buf, uint64_t seq)
{
	struct frame fr = {
		.dst = { 0x02, 0, 0, 0, 0, 0x01 },
		.src = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 },
		.type = htobe16(TYPE_TO_HOST),
		.magic = htobe32(MAGIC_TO_HOST),
		.seq = htobe64(seq),
	};
	size_t i;

	memcpy(buf, &fr, sizeof(fr));
	for (i = FRAME_PAD; i < FRAME_LEN; i++)
		buf[i] = seq + i;
	return FRAME_LEN;
}
