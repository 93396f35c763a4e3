# SPDX-License-Identifier: GPL-2.0-only
"""Reads a VT-d unit's tables the way the hardware does, over qtest, independent of any kernel.

Root table -> context table -> (PASID directory -> PASID table entry) -> page table, legacy and
scalable mode, second and first stage. A dump holds for each requester its mode, domain id and
every mapping, and the same for each PASID whose entry is present; two dumps are compared modulo
the accessed and dirty bits, which hardware sets.
"""
import struct
from dataclasses import dataclass, field

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
class Space:
    """One address space: what a context entry or a PASID entry points to."""

    mode: str                   # legacy, second-stage, first-stage, pass-through, blocked
    did: int = 0
    top: int = 0
    levels: int = 0
    entry: list = field(default_factory=list)
    tables: list = field(default_factory=list)
    leaves: list = field(default_factory=list)      # [iova, pa, size, perm, entry without A/D]


@dataclass
class Requester(Space):
    """One present context entry, with its address space without a PASID and those of PASIDs."""

    bdf: str = ''
    context: list = field(default_factory=list)
    pasids: dict = field(default_factory=dict)      # PASID (not 0) -> Space

    def plain(self):
        """Return it as plain data; the lists, which may be long, are not copied."""
        return {**vars(self), 'pasids': {n: dict(vars(s)) for n, s in self.pasids.items()}}


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
        self.walked = {}            # (mode, top, levels) -> Space, while a dump is made

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

    def _walk(self, space, table, level, iova, kind):
        if table in space.tables or len(space.tables) > LIMIT:
            raise WalkError(f'table {table:#x} is used twice')
        space.tables.append(table)
        for index, entry in enumerate(self._words(table, 512)):
            if not entry & kind['present']:
                continue
            shift = 12 + 9 * (level - 1)
            here = iova | index << shift
            if level > 1 and not entry & 0x80:
                self._walk(space, entry & ADDRESS, level - 1, here, kind)
                continue
            size = 1 << shift
            if level > 3:
                raise WalkError(f'large page at level {level}')
            space.leaves.append([here, entry & ADDRESS & ~(size - 1), size,
                                 entry & kind['perm'], entry & ~kind['ad']])

    def _fill(self, space, pointer, levels, deep):
        """Read what the top of a page table leads to; tables that are shared are read once."""
        space.top, space.levels = pointer & ADDRESS, levels
        if not 3 <= levels <= 5:
            raise WalkError(f'{levels} levels')
        if not deep:
            return
        key = (space.mode, space.top, levels)
        if key not in self.walked:
            fresh = Space(space.mode)
            self._walk(fresh, space.top, levels, 0,
                       FIRST_STAGE if space.mode == 'first-stage' else SECOND_STAGE)
            self.walked[key] = fresh
        space.tables, space.leaves = self.walked[key].tables, self.walked[key].leaves

    def _legacy(self, found, deep):
        context = found.context
        found.did = context[1] >> 8 & 0xffff
        found.mode = 'pass-through' if context[0] >> 2 & 3 == 2 else 'legacy'
        if found.mode == 'legacy':
            self._fill(found, context[0], (context[1] & 7) + 2, deep)

    def _scalable(self, space, entry, deep):
        """Read what a present PASID entry says."""
        space.entry = entry
        space.did = entry[1] & 0xffff
        kind = entry[0] >> 6 & 7
        if kind not in (1, 2, 4):
            raise WalkError(f'translation type {kind}')
        space.mode = {1: 'first-stage', 2: 'second-stage', 4: 'pass-through'}[kind]
        if kind == 1:
            self._fill(space, entry[2], 4 + (entry[2] >> 2 & 3), deep)
        elif kind == 2:
            self._fill(space, entry[0], (entry[0] >> 2 & 7) + 2, deep)

    def directory(self, bdf):
        """Return the indexes of the PASID tables that a requester's directory points to."""
        context = self._context(*devfn(bdf), self.root())
        if not context or not context[0] & 1:
            return set()
        words = self._words(context[0] & ADDRESS, 1 << (context[0] >> 9 & 7) + 7)
        return {index for index, pointer in enumerate(words) if pointer & 1}

    def _present_pasids(self, context):
        """Return {PASID: entry} of every entry that is present, of every table."""
        directory = self._words(context[0] & ADDRESS, 1 << (context[0] >> 9 & 7) + 7)
        found = {}
        for index, pointer in enumerate(directory):
            if not pointer & 1:
                continue
            words = self._words(pointer & ADDRESS, 512)
            found.update({index << 6 | at >> 3: words[at:at + 8]
                          for at in range(0, 512, 8) if words[at] & 1})
        return found

    def requester(self, bus, number, root, deep=True):
        """Return the Requester of a present entry, or None; not deep: without mappings, PASIDs."""
        context = self._context(bus, number, root)
        if not context or not context[0] & 1:
            return None
        found = Requester('blocked', bdf=name(bus, number), context=context)
        where = found.bdf
        try:
            if not root[1]:
                self._legacy(found, deep)
                return found
            entry = self._pasid(context, NO_PASID)
            if entry and entry[0] & 1:
                self._scalable(found, entry, deep)
            for pasid, words in self._present_pasids(context).items() if deep else ():
                where = f'{found.bdf} PASID {pasid}'
                if pasid != NO_PASID:
                    found.pasids[pasid] = Space('')
                    self._scalable(found.pasids[pasid], words, deep)
        except WalkError as error:
            raise WalkError(f'{where}: {error}') from error
        return found

    def dump(self, deep=None):
        """Return everything as plain data; deep limits which requesters' mappings are read."""
        root = self.root()
        self.walked = {}
        found = [self.requester(bus, number, root, not deep or name(bus, number) in deep)
                 for bus, number in self._present(root)]
        return {'translation': self.translating(), 'root': root[0], 'scalable': root[1],
                'requesters': {r.bdf: r.plain() for r in found if r}}

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
    found = space_differences(old, new, bdf)
    sides = [side.get('pasids', {}) for side in (old, new)]
    for pasid in sorted(set(sides[0]) | set(sides[1])):
        one, two = (side.get(pasid) for side in sides)
        where = f'{bdf} PASID {pasid}'
        if one is None or two is None:
            found.append(f'{where}: no entry {"before" if one is None else "after"}')
            continue
        found += space_differences(one, two, where)
        if one['entry'] != two['entry']:
            found.append(f'{where}: entry {words(one)} became {words(two)}')
    return found


def space_differences(old, new, where):
    """Return what differs between two address spaces."""
    found = [f'{where}: {key} {old[key]!r} became {new[key]!r}'
             for key in ('mode', 'levels', 'did', 'top') if old[key] != new[key]]
    leaves = [{leaf[0]: leaf for leaf in side['leaves']} for side in (old, new)]
    for iova in sorted(set(leaves[0]) | set(leaves[1])):
        one, two = leaves[0].get(iova), leaves[1].get(iova)
        if one != two:
            found.append(f'{where}: iova {iova:#x}: {show(one)} became {show(two)}')
    return found


def translate(space, iova):
    """Return the physical address an address space leads to, or None."""
    for start, physical, size, _, _ in space['leaves']:
        if start <= iova < start + size:
            return physical + iova - start
    return None


def words(space):
    """Return the words of an entry in readable form."""
    return '/'.join(f'{word:x}' for word in space['entry'])


def show(leaf):
    """Return a mapping in readable form."""
    if leaf is None:
        return 'unmapped'
    return f'pa {leaf[1]:#x} size {leaf[2]:#x} perm {leaf[3]:#x} entry {leaf[4]:#x}'
