# SPDX-License-Identifier: GPL-2.0-only
"""Reads QEMU's trace file and answers the judges' questions about it."""
import datetime
import functools
import re
from dataclasses import dataclass

OLD_FORMAT = re.compile(r'\d+@(\d+\.\d+):(\w+) ?(.*)')
NEW_FORMAT = re.compile(r'(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+)Z (\w+) ?(.*)')
FAULT = re.compile(r'sid (?:0x)?([0-9a-f]+) fault (\d+) addr 0x([0-9a-f]+) write (\d)')
CONFIG = re.compile(r'(\S+) ([0-9a-f]{2}:[0-9a-f]{2}\.\d) @0x([0-9a-f]+) <- 0x([0-9a-f]+)')
RESET = re.compile(r'obj=\S+\((e1000e|pcie-root-port)\)')
DESCRIPTOR = re.compile(r'.* type (device\S*) high 0x[0-9a-f]+ low 0x([0-9a-f]+)')
INVALIDATIONS = ('vtd_inv_desc_cc', 'vtd_inv_desc_iotlb', 'vtd_inv_desc_pasid_cache')
CHATTER = ('vtd_inv_desc_wait', 'vtd_inv_desc_iec')


@dataclass
class Event:
    """One line of the trace file."""

    time: float                     # seconds since the epoch
    name: str
    text: str


@dataclass
class ConfigWrite:
    """One write to a function's config space."""

    time: float
    device: str
    bdf: str
    offset: int
    value: int


@functools.lru_cache
def whole_seconds(text):
    """Return the epoch seconds of an ISO time without a fraction."""
    moment = datetime.datetime.fromisoformat(text)
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()


def stamp(text):
    """Return the epoch seconds of an ISO time. There are 100,000 of them in a trace file."""
    seconds, fraction = text.split('.')
    return whole_seconds(seconds) + float(f'0.{fraction}')


def parse(lines):
    """Return the events of a trace file; other lines are ignored."""
    found = []
    for line in lines:
        match = NEW_FORMAT.match(line)
        if match:
            found.append(Event(stamp(match[1]), match[2], match[3].rstrip()))
            continue
        match = OLD_FORMAT.match(line)
        if match:
            found.append(Event(float(match[1]), match[2], match[3].rstrip()))
    return found


def load(path):
    """Return the events of a trace file on disk."""
    with open(path, encoding='utf-8', errors='replace') as handle:
        return parse(handle)


def within(events, begin, end):
    """Return the events of a time window."""
    return [e for e in events if begin <= e.time <= end]


def translation_off(events, begin, end):
    """Return the intervals inside the window in which translation was off."""
    off_since = None
    gaps = []
    for event in events:
        if event.name != 'vtd_dmar_enable' or event.time > end:
            continue
        if event.text.endswith('0'):
            off_since = event.time if off_since is None else off_since
        elif off_since is not None:
            gaps.append((off_since, event.time))
            off_since = None
    if off_since is not None:
        gaps.append((off_since, end))
    return [(max(a, begin), b) for a, b in gaps if b > begin]


def ever_on(events, before):
    """Tell whether translation was switched on before a moment (a judge needs something to see)."""
    return any(e.name == 'vtd_dmar_enable' and e.text.endswith('1') and e.time < before
               for e in events)


def source_id(bdf):
    """Return the PCI requester id of 'bb:dd.f'."""
    bus, rest = bdf.split(':')
    dev, func = rest.split('.')
    return int(bus, 16) << 8 | int(dev, 16) << 3 | int(func)


def faults(events, bdfs=None):
    """Return the DMA faults of some requesters: (time, sid, reason, address, write)."""
    wanted = {source_id(b) for b in bdfs} if bdfs else None
    found = []
    for event in events:
        match = FAULT.search(event.text) if event.name == 'vtd_dmar_fault' else None
        if match and (wanted is None or int(match[1], 16) in wanted):
            found.append((event.time, int(match[1], 16), int(match[2]), int(match[3], 16),
                          int(match[4])))
    return found


def unreadable_faults(events):
    """Return fault lines that could not be understood: a judge must not overlook them."""
    return [e.text for e in events
            if e.name == 'vtd_dmar_fault' and not FAULT.search(e.text)]


def queue_off(events):
    """Return when queued invalidation went off for the last time, or None."""
    return next((e.time for e in reversed(events)
                 if e.name == 'vtd_inv_qi_enable' and e.text.endswith('0')), None)


def invalidation_order(events, scalable):
    """Check the old kernel's last invalidations; events from the jump to the new kernel.

    Before queued invalidation goes off for the last time (the old kernel may switch it off and on
    once more to own the queue), the context cache, the IOTLB (and the PASID cache) must have been
    flushed after the entries were cleared; nothing may be submitted while it is off.
    """
    problems = []
    off = next((i for i, e in reversed(list(enumerate(events)))
                if e.name == 'vtd_inv_qi_enable' and e.text.endswith('0')), None)
    if off is None:
        return ['queued invalidation was never switched off by the old kernel']
    seen = [e.name for e in events[:off]]
    wanted = list(INVALIDATIONS if scalable else INVALIDATIONS[:2])
    problems += [f'no {kind} before queued invalidation went off' for kind in wanted
                 if not any(n.startswith(kind) for n in seen)]
    order = [next((k for k in INVALIDATIONS if n.startswith(k)), None) for n in seen]
    order = [k for k in order if k]
    if order and not order[-1].startswith('vtd_inv_desc_iotlb'):
        problems.append(f'the last invalidation is {order[-1]}, not the IOTLB')
    for event in events[off:]:
        if event.name == 'vtd_inv_qi_enable' and event.text.endswith('1'):
            break
        if event.name.startswith('vtd_inv_desc') and not event.name.startswith(CHATTER):
            problems.append(f'{event.name} while queued invalidation was off')
    return problems


def device_tlb_flushed(events, bdf):
    """Tell whether a device was told to forget its translations, before invalidation went off."""
    off = [n for n, e in enumerate(events)
           if e.name == 'vtd_inv_qi_enable' and e.text.endswith('0')]
    wanted = source_id(bdf)
    for event in events[:off[-1]] if off else events:
        match = DESCRIPTOR.match(event.text) if event.name == 'vtd_inv_desc' else None
        shift = 32 if match and match[1] == 'device' else 16     # with a PASID it is elsewhere
        if match and int(match[2], 16) >> shift & 0xffff == wanted:
            return True
    return False


def config_writes(events):
    """Return the config writes among the events."""
    found = []
    for event in events:
        match = CONFIG.match(event.text) if event.name == 'pci_cfg_write' else None
        if match:
            found.append(ConfigWrite(event.time, match[1], match[2], int(match[3], 16),
                                     int(match[4], 16)))
    return found


def resets(events, pmcsr=None, bridges=()):
    """Return the resets seen: (time, what). pmcsr maps bdf -> offset of PMCSR."""
    found = []
    state = {}
    for event in events:
        if event.name == 'resettable_phase_hold_exec':
            match = RESET.match(event.text)
            if match:
                found.append((event.time, f'{match[1]} was reset'))
        elif event.name in ('e1000e_core_ctrl_sw_reset', 'e1000e_core_ctrl_phy_reset'):
            found.append((event.time, event.name))
        elif event.name == 'pci_pm_transition' and re.search(r'D?3.*->.*D?0', event.text):
            found.append((event.time, f'power transition {event.text}'))
    for write in config_writes(events):
        if pmcsr and pmcsr.get(write.bdf) == write.offset:
            if state.get(write.bdf) == 3 and write.value & 3 == 0:
                found.append((write.time, f'{write.bdf} D3 -> D0'))
            state[write.bdf] = write.value & 3
        if write.bdf in bridges and write.offset == 0x3e and write.value & 0x40:
            found.append((write.time, f'{write.bdf} secondary bus reset'))
    return sorted(found)


def landings(events):
    """Return the times at which QEMU's NIC completed a frame in memory.

    It says so as well of a frame that it found no place for: a card that may not read its ring
    takes every descriptor for one without a buffer, and none of ours is, and goes through them
    all, which takes it longer than what was on its way is waited for.
    """
    found, nowhere = [], False
    for event in events:
        if event.name == 'e1000e_rx_receive_iov':
            nowhere = False
        elif event.name == 'e1000e_rx_null_descriptor':
            nowhere = True
        elif event.name == 'e1000e_rx_written_to_guest' and not nowhere:
            found.append(event.time)
    return found


def deliveries(events):
    """Return the number of frames QEMU handed to its NIC model."""
    return sum(e.name == 'e1000e_rx_receive_iov' for e in events)


def longest_gap(times):
    """Return the longest time between two neighbours, in milliseconds."""
    return max(((b - a) * 1000 for a, b in zip(times, times[1:])), default=0.0)
