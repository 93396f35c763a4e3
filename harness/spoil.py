# SPDX-License-Identifier: GPL-2.0-only
"""Damages what is handed over of devices with PASIDs, one way for each device, in one jump.

A device whose records, or whose entries, are not what they must be is lost: stopped, then
blocked, and its files are refused. Its neighbours keep theirs. The layouts are those of
include/linux/kho/abi/iommu.h and of the VT-d specification.
"""
import re
import struct
from dataclasses import dataclass

from harness import console, judges, trace, walker
from harness.handover import DEVICE, DOMAIN, PASID, between

ADDRESS = 0x000ffffffffff000
WAIT = 0.1                      # what was on its way when the device was stopped


@dataclass
class Spoil:
    """One way of damage: what is changed, and what the new kernel has to say about it."""

    where: str                  # record of the device, record of a PASID, entry, pde, or context
    offset: int                 # in it
    form: str
    value: object               # a number, or function(old, Place)
    says: str = ''              # a pattern of the line that tells it
    lost: bool = True           # whether the device is lost


class Place:
    """Where everything about one device, and one of its PASIDs, is in memory."""

    def __init__(self, memory, bdf, pasid):
        bus, number = walker.devfn(bdf)
        self.memory, self.pasid = memory, pasid
        self.slots = memory.slots()
        self.device = next(a for a in memory.records(DEVICE)
                           if memory.number(a + 32, '<I') == bus << 8 | number)
        self.slot = self.slots.index(self.device)
        self.record = next(a for a in memory.records(PASID) if memory.number(a + 24, '<I') == pasid
                           and memory.number(a + 16, '<I') == self.slot)
        self.directory = memory.number(self.device + 120, '<Q')
        self.pde = self.directory + 8 * (pasid >> 6)
        self.table = memory.number(self.record + 96, '<Q')
        self.entry = self.table + 64 * (pasid & 63)
        self.unit = self._context(bus, number)

    def _context(self, bus, number):
        root = self.memory.number(self.memory.records(1)[0] + 56, '<Q') & ADDRESS
        half = self.memory.number(root + 16 * bus + 8 * (number >> 7), '<Q') & ADDRESS
        return half + 32 * (number & 127)

    def other_domain(self, slot):
        """Return another domain record than that in a slot."""
        found = [self.slots.index(a) for a in self.memory.records(DOMAIN)]
        return next(n for n in found if n != slot)

    def other_table(self):
        """Return a PASID table of another device."""
        return next(t for t in (self.memory.number(a + 136, '<Q')
                                for a in self.memory.records(DEVICE)) if t >> 12 != self.table >> 12
                    and t != self.memory.number(self.device + 136, '<Q'))

    def address(self, where):
        """Return the address of one of them."""
        return {'device': self.device, 'pasid': self.record, 'entry': self.entry,
                'pde': self.pde, 'context': self.unit,
                'entry0': self.memory.number(self.device + 136, '<Q')}[where]


def flip(mask):
    """Return a value: the old one with some bits the other way round."""
    return lambda old, _: old ^ mask


def change(plan, pasid):
    """Return a change for handover.between(): plan is {bdf: Spoil}."""
    def make(_, memory):
        found = []
        for bdf, spoil in plan.items():
            place = Place(memory, bdf, pasid)
            at = place.address(spoil.where) + spoil.offset
            old = memory.number(at, spoil.form)
            new = spoil.value(old, place) if callable(spoil.value) else spoil.value
            if old == new:
                raise ValueError(f'{bdf}: {spoil.where}+{spoil.offset} is {new:#x} already')
            found.append((at, struct.pack(spoil.form, new)))
        return found
    return between(make)


def unchanged(run):
    """What a scenario has at its kexec when nothing is damaged."""
    run.marks['changed'] = run.marks['kexec']


def _lost(run, device, said):
    """It was stopped before it was blocked, and leads nowhere."""
    bdf = device.endpoint.bdf
    off = [w.time for w in trace.config_writes(run.events) if w.bdf == bdf and w.offset == 4
           and run.marks['changed'] < w.time < run.marks['booted'] and not w.value & 4]
    found = [] if said < 0 else [f'{bdf}: it was retrieved']
    if not off:
        return found + [f'{bdf}: it was not stopped before the first process']
    late = [d for d in device.dma if d[0] > off[0] + WAIT and not d[3]]
    found += [f'{bdf}: {len(late)} accesses went through after it was stopped'] if late else []
    found += [f'{bdf}: it faulted'] if trace.faults(
        trace.within(run.events, run.marks['kexec'], run.ended), [bdf]) else []
    for label in ('after', 'finished'):
        entry = run.dumps[label].get('requesters', {}).get(bdf)
        if entry and (entry['leaves'] or entry['pasids']):
            found.append(f'{label}: {bdf} still has mappings or PASIDs')
    return found


def _whole(run, device, said):
    """Nothing happened to it, because of others."""
    bdf = device.endpoint.bdf
    window = [d for d in device.dma if run.marks['preserved'] <= d[0] <= run.marks['finished']]
    refused = [d for d in window if d[3]]
    jump = [d for d in window if run.marks['kexec'] < d[0] < run.marks['booted']]
    found = [f'{bdf}: it was refused ({said})'] if said else []
    found += [f'{bdf}: {len(refused)} accesses were refused'] if refused else []
    found += [f'{bdf}: {len(jump)} accesses during the jump'] if len(jump) < 10 else []
    for label in ('after', 'retrieved', 'finished'):
        found += [f'{label}: {text}' for text in walker.differences(
            run.dumps['before'], run.dumps[label], bdf)[:3]]
    return found


def check(plan):
    """Return what judges a run."""
    def judge(run):
        if not {'changed', 'booted', 'retrieved', 'finished'} <= set(run.marks):
            return [judges.Missing('nothing was changed, or the new kernel did not come to an end')]
        info, found = run.verdict.info(), []
        errors = [f'{label}: {dump["error"]}' for label, dump in run.dumps.items()
                  if 'error' in dump]
        if errors:
            return errors
        said = {text.split()[0].split(':', 1)[1]: int(info.get('got_' + key[4:], -1))
                for key, text in info.items() if key.startswith('dev_')}
        for bdf, device in run.machine.server.devices.items():
            lost = bdf in plan and plan[bdf].lost
            found += (_lost if lost else _whole)(run, device, said[bdf])
        log = '\n'.join(console.boots(run.console)[-1][1])
        return found + [f'{bdf}: the new kernel did not say {spoil.says!r}'
                        for bdf, spoil in plan.items() if not re.search(spoil.says, log)]
    return judge


def refused(where, offset, form, value, field, why):
    """Return a damage that the parser finds: its line names the field and the reason."""
    return Spoil(where, offset, form, value, rf'cannot be used: {field} \(\w+\): {why}')


def differs(where, offset, form, value):
    """Return a damage that no single record shows: the hardware has something else."""
    return Spoil(where, offset, form, value, 'has no record that fits, it is stopped and blocked')


def ignored(where, offset, form, value):
    """Return a change that does no harm."""
    return Spoil(where, offset, form, value, lost=False)


PRESENT, UNKNOWN = 1, 1 << 31
NO_TABLE = 'not the table of the domain'

# Nothing is damaged, but the new kernel has no memory for its records
FORGOTTEN = Spoil('pasid', 0, '', 0, 'its device is lost')

# Each kind of field of the record of a PASID once
PASIDS = [
    refused('pasid', 0, '<H', 9, 'type', 'not supported'),
    refused('pasid', 2, '<H', 0, 'driver', 'missing'),
    refused('pasid', 4, '<H', 99, 'version', 'not supported'),
    refused('pasid', 6, '<H', 40, 'size', 'wrong'),
    refused('pasid', 8, '<I', 1, 'required', 'not supported'),
    refused('pasid', 16, '<I', lambda _, p: p.other_domain(-1), 'device', 'wrong kind of record'),
    refused('pasid', 20, '<I', lambda old, p: p.other_domain(old), 'entry', NO_TABLE),
    refused('pasid', 24, '<I', 0, 'pasid', 'impossible'),
    refused('pasid', 28, '<I', 1, 'reserved', 'not 0'),
    refused('pasid', 32, '<Q', flip(PRESENT), 'entry', NO_TABLE),
    refused('pasid', 96, '<Q', flip(0x10), 'table_pa', 'bad address'),
    refused('pasid', 104, '<H', 1, 'did', 'out of range'),
    refused('pasid', 106, '<H', 1, 'vtd reserved', 'not 0'),
]
# What only another record, or the hardware's entry, contradicts; and that entry itself
ENTRIES = [
    refused('pasid', 200, '<Q', 1, 'unused bytes', 'not 0'),
    refused('pasid', 96, '<Q', lambda _, p: p.other_table(), 'table_pa', 'belongs to another'),
    refused('pasid', 104, '<H', flip(0x40), 'did', 'not in the entry'),
    ignored('pasid', 12, '<I', UNKNOWN),
    differs('pasid', 24, '<I', flip(1)),
    differs('pasid', 72, '<Q', flip(1 << 40)),
    differs('entry', 0, '<Q', flip(PRESENT)),
    differs('entry', 8, '<H', flip(0x40)),
    differs('entry', 0, '<Q', flip(1 << 20)),
    ignored('entry', 64, '<Q', flip(PRESENT)),
    differs('pde', 0, '<Q', 0),
    differs('pde', 0, '<Q', lambda _, p: p.other_table() | PRESENT),
]
# Each kind of field of the record of a device
DEVICES = [
    refused('device', 4, '<H', 99, 'version', 'not supported'),
    refused('device', 6, '<H', 100, 'size', 'wrong'),
    refused('device', 8, '<I', 0x80, 'required', 'not supported'),
    refused('device', 16, '<I', 0xffff, 'unit', 'no such record'),
    refused('device', 20, '<I', lambda old, p: p.other_domain(old), 'pasid0', NO_TABLE),
    refused('device', 24, '<I', 3, 'bus', 'unknown'),
    refused('device', 28, '<I', 1, 'segment', "not the unit's"),
    differs('device', 32, '<I', flip(1)),
    refused('device', 36, '<I', 3, 'nr_pasids', 'not those that are there'),
    refused('device', 40, '<B', 65, 'name', 'not for PCI'),
    refused('device', 88, '<Q', flip(1 << 20), 'ctx', 'not the directory'),
    refused('device', 120, '<Q', flip(0x10), 'pasid_dir_pa', 'bad address'),
    refused('device', 128, '<I', flip(0x40), 'max_pasid', "not the directory's"),
]
DEVICES_MORE = [
    refused('device', 0, '<H', 0, 'device', 'wrong kind of record'),
    refused('device', 2, '<H', 3, 'driver', 'not supported'),
    ignored('device', 12, '<I', UNKNOWN),
    refused('device', 132, '<H', 1, 'did', 'out of range'),
    refused('device', 134, '<B', 9, 'pasid_dir_pa', 'bad address'),
    refused('device', 135, '<B', 0, 'scalable', "not the unit's"),
    refused('device', 136, '<Q', flip(0x10), 'pasid_table_pa', 'bad address'),
    refused('device', 144, '<Q', flip(PRESENT), 'pasid0', NO_TABLE),
    differs('device', 192, '<Q', flip(1 << 40)),
    refused('device', 250, '<H', 1, 'unused bytes', 'not 0'),
    differs('context', 16, '<Q', 1),
]
