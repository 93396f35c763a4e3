# SPDX-License-Identifier: GPL-2.0-only
"""Reads a VT-d unit's tables the way the hardware does, over qtest, independent of any kernel.

Root table -> context table -> (PASID directory -> PASID table entry) -> page table, legacy and
scalable mode, second and first stage. A dump holds for each requester its mode, domain id and
every mapping; two dumps are compared modulo the accessed and dirty bits, which hardware sets.
"""
import struct
from dataclasses import asdict, dataclass, field

BASE = 0xfed90000
GSTS, RTADDR = 0x1c, 0x20
GSTS_TES = 1 << 31
ADDRESS = 0x000ffffffffff000
PAGE = 4096
NO_PASID = 0
LIMIT = 1 << 20

SECOND_STAGE = {'present': 0x7, 'ad': 0x300, 'perm': 0x7}
FIRST_STAGE = {'present': 0x1, 'ad': 0x60, 'perm': 0x6 | 1 << 63}


class WalkError(Exception):
    """The tables make no sense."""


@dataclass
class Glance:
    """What can be seen with four or five reads."""

    translation: bool = False
    present: bool = False
    passthrough: bool = False


@dataclass
class Requester:
    """One present context (and PASID) entry with all its mappings."""

    bdf: str
    mode: str                   # legacy, second-stage, first-stage, pass-through, blocked
    did: int = 0
    top: int = 0
    levels: int = 0
    entry: list = field(default_factory=list)
    tables: list = field(default_factory=list)
    leaves: list = field(default_factory=list)      # [iova, pa, size, perm, entry without A/D]


def devfn(bdf):
    """Return (bus, devfn) of 'bb:dd.f'."""
    bus, rest = bdf.split(':')
    dev, func = rest.split('.')
    return int(bus, 16), int(dev, 16) << 3 | int(func)


def name(bus, number):
    """Return 'bb:dd.f'."""
    return f'{bus:02x}:{number >> 3:02x}.{number & 7}'


class Unit:
    """One VT-d unit; memory is anything with read(address, size)."""

    def __init__(self, memory, base=BASE):
        self.memory = memory
        self.base = base

    def _words(self, address, count):
        data = self.memory.read(address, count * 8)
        if len(data) != count * 8:
            raise WalkError(f'short read at {address:#x}')
        return list(struct.unpack(f'<{count}Q', data))

    def translating(self):
        """Tell whether translation is on."""
        return bool(struct.unpack('<I', self.memory.read(self.base + GSTS, 4))[0] & GSTS_TES)

    def root(self):
        """Return (address of the root table, scalable)."""
        value = self._words(self.base + RTADDR, 1)[0]
        return value & ADDRESS, bool(value >> 10 & 1)

    def _context(self, bus, number, root):
        table, scalable = root
        low, high = self._words(table + bus * 16, 2)
        if not scalable:
            return self._words((low & ADDRESS) + number * 16, 2) if low & 1 else None
        half = high if number >= 128 else low
        return self._words((half & ADDRESS) + (number & 127) * 32, 4) if half & 1 else None

    def _pasid(self, context, pasid):
        directory = self._words((context[0] & ADDRESS) + (pasid >> 6) * 8, 1)[0]
        if not directory & 1:
            return None
        return self._words((directory & ADDRESS) + (pasid & 63) * 64, 8)

    def glance(self, bdf):
        """Return quickly whether translation is on and how a requester's entry looks."""
        state = Glance(self.translating())
        root = self.root()
        if not root[0]:
            return state
        context = self._context(*devfn(bdf), root)
        if not context or not context[0] & 1:
            return state
        if not root[1]:
            state.present = True
            state.passthrough = context[0] >> 2 & 3 == 2
            return state
        entry = self._pasid(context, NO_PASID)
        state.present = bool(entry and entry[0] & 1)
        state.passthrough = state.present and entry[0] >> 6 & 7 == 4
        return state

    def _walk(self, requester, table, level, iova, kind):
        if table in requester.tables or len(requester.tables) > LIMIT:
            raise WalkError(f'{requester.bdf}: table {table:#x} is used twice')
        requester.tables.append(table)
        for index, entry in enumerate(self._words(table, 512)):
            if not entry & kind['present']:
                continue
            shift = 12 + 9 * (level - 1)
            here = iova | index << shift
            if level > 1 and not entry & 0x80:
                self._walk(requester, entry & ADDRESS, level - 1, here, kind)
                continue
            size = 1 << shift
            if level > 3:
                raise WalkError(f'{requester.bdf}: large page at level {level}')
            requester.leaves.append([here, entry & ADDRESS & ~(size - 1), size,
                                     entry & kind['perm'], entry & ~kind['ad']])

    def requester(self, bus, number, root, deep=True):
        """Return the Requester of a present entry, or None; not deep: without its mappings."""
        context = self._context(bus, number, root)
        if not context or not context[0] & 1:
            return None
        found = Requester(name(bus, number), 'blocked', entry=context)
        walk = self._table if deep else self._top
        if not root[1]:
            found.did = context[1] >> 8 & 0xffff
            kind = context[0] >> 2 & 3
            walk(found, 'pass-through' if kind == 2 else 'legacy', context[0],
                 (context[1] & 7) + 2, SECOND_STAGE)
            return found
        entry = self._pasid(context, NO_PASID)
        if not entry or not entry[0] & 1:
            return found
        found.entry = context + entry
        found.did = entry[1] & 0xffff
        kind = entry[0] >> 6 & 7
        if kind == 1:
            walk(found, 'first-stage', entry[2], 4 + (entry[2] >> 2 & 3), FIRST_STAGE)
        elif kind == 2:
            walk(found, 'second-stage', entry[0], (entry[0] >> 2 & 7) + 2, SECOND_STAGE)
        elif kind == 4:
            found.mode = 'pass-through'
        else:
            raise WalkError(f'{found.bdf}: translation type {kind}')
        return found

    @staticmethod
    def _top(found, mode, pointer, levels, _kind):
        found.mode = mode
        if mode != 'pass-through':
            found.top, found.levels = pointer & ADDRESS, levels
            if not 3 <= levels <= 5:
                raise WalkError(f'{found.bdf}: {levels} levels')

    def _table(self, found, mode, pointer, levels, kind):
        self._top(found, mode, pointer, levels, kind)
        if found.levels:
            self._walk(found, found.top, levels, 0, kind)

    def dump(self, deep=None):
        """Return everything as plain data; deep limits which requesters' mappings are read."""
        root = self.root()
        found = [self.requester(bus, number, root, not deep or name(bus, number) in deep)
                 for bus, number in self._present(root)]
        return {'translation': self.translating(), 'root': root[0], 'scalable': root[1],
                'requesters': {r.bdf: asdict(r) for r in found if r}}

    def _present(self, root):
        if not root[0]:
            return []
        wanted = []
        table = self._words(root[0], 512)
        for bus in range(256):
            for half in range(2 if root[1] else 1):
                pointer = table[bus * 2 + half]
                if pointer & 1:
                    words = self._words(pointer & ADDRESS, 512)
                    step = 4 if root[1] else 2
                    wanted += [(bus, half * 128 + at // step)
                               for at in range(0, 512, step) if words[at] & 1]
        return wanted


def differences(before, after, bdf):
    """Return what differs between two dumps for one requester; an empty list means identical."""
    old, new = before['requesters'].get(bdf), after['requesters'].get(bdf)
    if old is None or new is None:
        return [f'{bdf}: no entry {"before" if old is None else "after"}']
    found = [f'{bdf}: {key} {old[key]!r} became {new[key]!r}'
             for key in ('mode', 'levels', 'did', 'top') if old[key] != new[key]]
    leaves = [{leaf[0]: leaf for leaf in side['leaves']} for side in (old, new)]
    for iova in sorted(set(leaves[0]) | set(leaves[1])):
        one, two = leaves[0].get(iova), leaves[1].get(iova)
        if one != two:
            found.append(f'{bdf}: iova {iova:#x}: {show(one)} became {show(two)}')
    return found


def show(leaf):
    """Return a mapping in readable form."""
    if leaf is None:
        return 'unmapped'
    return f'pa {leaf[1]:#x} size {leaf[2]:#x} perm {leaf[3]:#x} entry {leaf[4]:#x}'
