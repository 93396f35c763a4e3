# SPDX-License-Identifier: GPL-2.0-only
"""The walker against synthetic tables, and against every single-bit mutation of them."""
import struct
import unittest

from harness import walker

BDF = '01:00.0'
ROOT, CONTEXT, DIRECTORY, PASIDS, TOP = 0x1000, 0x2000, 0x3000, 0x4000, 0x10000
IOVA = 0x1_0000_0000


class Memory:
    """Sparse guest-physical memory with the unit's registers in it."""

    def __init__(self):
        self.words = {}

    def put(self, address, *values):
        """Store 64-bit words."""
        for index, value in enumerate(values):
            self.words[address + 8 * index] = value

    def read(self, address, size):
        """Read bytes, as qtest does."""
        first = address & ~7
        count = (address + size - first + 7) // 8
        data = b''.join(struct.pack('<Q', self.words.get(first + 8 * n, 0)) for n in range(count))
        return data[address - first:address - first + size]

    def copy(self):
        """Return an independent copy."""
        other = Memory()
        other.words = dict(self.words)
        return other


def tables(memory, present, leaf):
    """Build a 4-level table: two 4 KiB pages and one 2 MiB page."""
    memory.put(TOP, (TOP + 0x1000) | present)
    memory.put(TOP + 0x1000 + 8 * (IOVA >> 30), (TOP + 0x2000) | present)
    memory.put(TOP + 0x2000, (TOP + 0x3000) | present)
    memory.put(TOP + 0x2000 + 8 * 3, 0x40000000 | leaf | 0x80)
    memory.put(TOP + 0x3000, 0x50000000 | leaf)
    memory.put(TOP + 0x3000 + 8 * 7, 0x50001000 | leaf)


def machine(mode):
    """Return memory with one requester in one of the modes."""
    memory = Memory()
    memory.put(walker.BASE + 0x18, walker.GSTS_TES << 32)
    memory.put(walker.BASE + 0x20, ROOT | (0 if mode == 'legacy' else 1 << 10))
    memory.put(ROOT + 16, CONTEXT | 1, 0)
    if mode == 'legacy':
        memory.put(CONTEXT, TOP | 1, 2 | 5 << 8)
        tables(memory, 3, 3)
        return memory
    memory.put(CONTEXT, DIRECTORY | 1, 0, 0, 0)
    memory.put(DIRECTORY, PASIDS | 1)
    if mode == 'second-stage':
        memory.put(PASIDS, TOP | 2 << 6 | 2 << 2 | 1, 5, 0)
        tables(memory, 3, 3)
    elif mode == 'first-stage':
        memory.put(PASIDS, 1 << 6 | 1, 5, TOP)
        tables(memory, 7, 7)
    else:
        memory.put(PASIDS, 4 << 6 | 1, 5, 0)
    return memory


MODES = ('legacy', 'second-stage', 'first-stage')


class Walk(unittest.TestCase):
    """What a walk finds."""

    def test_every_mode(self):
        """Mode, domain id and all mappings are found."""
        for mode in MODES:
            with self.subTest(mode):
                dump = walker.Unit(machine(mode)).dump()
                self.assertTrue(dump['translation'])
                self.assertEqual(list(dump['requesters']), [BDF])
                found = dump['requesters'][BDF]
                self.assertEqual((found['mode'], found['did'], found['levels']), (mode, 5, 4))
                self.assertEqual([(leaf[0], leaf[1], leaf[2]) for leaf in found['leaves']],
                                 [(IOVA, 0x50000000, 4096), (IOVA + 0x7000, 0x50001000, 4096),
                                  (IOVA + 3 * (2 << 20), 0x40000000, 2 << 20)])

    def test_pass_through(self):
        """A pass-through entry is recognised, in a dump and at a glance."""
        memory = machine('pass-through')
        self.assertEqual(walker.Unit(memory).dump()['requesters'][BDF]['mode'], 'pass-through')
        self.assertTrue(walker.Unit(memory).glance(BDF).passthrough)
        memory = machine('legacy')
        self.assertFalse(walker.Unit(memory).glance(BDF).passthrough)
        memory.put(CONTEXT, TOP | 2 << 2 | 1)
        self.assertTrue(walker.Unit(memory).glance(BDF).passthrough)

    def test_glance(self):
        """Translation off and an absent entry are seen."""
        for mode in MODES:
            with self.subTest(mode):
                memory = machine(mode)
                seen = walker.Unit(memory).glance(BDF)
                self.assertTrue(seen.translation and seen.present and not seen.passthrough)
                self.assertFalse(walker.Unit(memory).glance('00:04.0').present)
                memory.put(walker.BASE + 0x18, 0)
                self.assertFalse(walker.Unit(memory).glance(BDF).translation)

    def test_loop_is_refused(self):
        """A table that is reached twice is an error, not an endless walk."""
        memory = machine('legacy')
        memory.put(TOP + 0x2000 + 8, (TOP + 0x2000) | 3)
        with self.assertRaises(walker.WalkError):
            walker.Unit(memory).dump()

    def test_empty_unit(self):
        """A unit that was never set up has no requesters."""
        self.assertEqual(walker.Unit(Memory()).dump()['requesters'], {})

    def test_upper_half(self):
        """In scalable mode functions from 10.0 on are in the upper context table."""
        memory = machine('second-stage')
        memory.put(ROOT + 16, 0, CONTEXT | 1)
        self.assertEqual(list(walker.Unit(memory).dump()['requesters']), ['01:10.0'])


class Mutation(unittest.TestCase):
    """Every bit of every table word that means something must be noticed when it flips."""

    ignored = {'legacy': 0x300, 'second-stage': 0x300, 'first-stage': 0x60}

    def differs(self, before, memory):
        """Tell whether a walk of changed memory is noticed."""
        try:
            after = walker.Unit(memory).dump()
        except walker.WalkError:
            return True
        return bool(walker.differences(before, after, BDF))

    def test_identical(self):
        """Nothing changed, nothing found; accessed and dirty bits do not count."""
        for mode in MODES:
            memory = machine(mode)
            before = walker.Unit(memory).dump()
            self.assertFalse(self.differs(before, memory.copy()))
            for address in (TOP + 0x3000, TOP + 0x2000 + 24):
                memory.put(address, memory.words[address] | self.ignored[mode])
            self.assertFalse(self.differs(before, memory))

    def test_every_leaf_bit(self):
        """Each bit of each leaf entry, except accessed and dirty."""
        for mode in MODES:
            memory = machine(mode)
            before = walker.Unit(memory).dump()
            for address in (TOP + 0x3000, TOP + 0x3000 + 56, TOP + 0x2000 + 24):
                for bit in range(64):
                    if self.ignored[mode] >> bit & 1:
                        continue
                    changed = memory.copy()
                    changed.put(address, memory.words[address] ^ 1 << bit)
                    with self.subTest(mode=mode, address=hex(address), bit=bit):
                        self.assertTrue(self.differs(before, changed))

    def test_table_address_bits(self):
        """Each address bit of each pointer above the leaves."""
        for mode in MODES:
            memory = machine(mode)
            before = walker.Unit(memory).dump()
            pointers = [TOP, TOP + 0x1000 + 8 * (IOVA >> 30), TOP + 0x2000]
            pointers += [CONTEXT] if mode == 'legacy' else [CONTEXT, DIRECTORY]
            for address in pointers:
                for bit in range(12, 52):
                    changed = memory.copy()
                    changed.put(address, memory.words[address] ^ 1 << bit)
                    with self.subTest(mode=mode, address=hex(address), bit=bit):
                        self.assertTrue(self.differs(before, changed))

    def test_new_mapping_and_lost_mapping(self):
        """One mapping more, or one less."""
        for mode in MODES:
            memory = machine(mode)
            before = walker.Unit(memory).dump()
            more, less = memory.copy(), memory.copy()
            more.put(TOP + 0x3000 + 8, 0x60000007)
            less.put(TOP + 0x3000, 0)
            self.assertTrue(self.differs(before, more))
            self.assertTrue(self.differs(before, less))

    def test_domain_id_and_presence(self):
        """Another domain id, and an entry that is gone."""
        memory = machine('legacy')
        before = walker.Unit(memory).dump()
        other = memory.copy()
        other.put(CONTEXT + 8, 2 | 6 << 8)
        self.assertTrue(self.differs(before, other))
        other.put(CONTEXT, 0)
        self.assertTrue(self.differs(before, other))


PASID_TABLE, OTHER_TABLE, OTHER_TOP = 0x5000, 0x6000, 0x20000
PRESENT = (1, 63, 77, 4000, 8191)           # in four tables; the last entry there is


def pasid_entry(mode, did, top):
    """Return the words of a PASID entry."""
    if mode == 'first-stage':
        return 1 << 6 | 1, did, top
    return top | 2 << 6 | 2 << 2 | 1, did, 0


def pasid_machine(mode):
    """Return memory whose requester has PASIDs in several tables, on two page tables."""
    memory = machine(mode)
    memory.put(CONTEXT, DIRECTORY | 1, 0, 0, 0)         # 128 directory entries: 13 bits
    for number, pasid in enumerate(PRESENT):
        table = PASIDS if pasid < 64 else PASID_TABLE + 0x1000 * (pasid >> 6)
        memory.put(DIRECTORY + 8 * (pasid >> 6), table | 1)
        top = OTHER_TOP if number % 2 else TOP
        memory.put(table + 64 * (pasid & 63), *pasid_entry(mode, 20 + number, top))
    memory.put(OTHER_TOP, (OTHER_TOP + 0x1000) | 7)
    memory.put(OTHER_TOP + 0x1000, (OTHER_TOP + 0x2000) | 7)
    memory.put(OTHER_TOP + 0x2000, (OTHER_TOP + 0x3000) | 7)
    memory.put(OTHER_TOP + 0x3000, 0x70000000 | 7)
    return memory


def where_is(pasid):
    """Return the address of a PASID's entry in pasid_machine()."""
    table = PASIDS if pasid < 64 else PASID_TABLE + 0x1000 * (pasid >> 6)
    return table + 64 * (pasid & 63)


class Pasids(unittest.TestCase):
    """Every PASID entry is found, and everything that differs in one is noticed."""

    modes = ('second-stage', 'first-stage')

    def setUp(self):
        self.cases = [(mode, pasid_machine(mode)) for mode in self.modes]

    def objections(self, before, memory):
        """Return the differences between a dump and a walk of changed memory."""
        return walker.differences(before, walker.Unit(memory).dump(), BDF)

    def test_all_are_found(self):
        """PASIDs of every table, with their mode, domain id, page table and mappings."""
        for mode, memory in self.cases:
            found = walker.Unit(memory).dump()['requesters'][BDF]
            self.assertEqual(tuple(found['pasids']), PRESENT)
            for number, space in enumerate(found['pasids'].values()):
                top = OTHER_TOP if number % 2 else TOP
                self.assertEqual((space['mode'], space['did'], space['top'], space['levels']),
                                 (mode, 20 + number, top, 4))
                wanted = {0: 0x70000000} if number % 2 else {IOVA: 0x50000000}
                for iova, physical in wanted.items():
                    self.assertEqual(walker.translate(space, iova + 5), physical + 5)
            self.assertEqual(found['did'], 5)
            self.assertIsNone(walker.translate(found['pasids'][63], IOVA))

    def test_size_of_the_directory(self):
        """What the directory's size excludes is not read."""
        for mode, memory in self.cases:
            beyond = memory.copy()
            beyond.put(DIRECTORY + 8 * 128, PASIDS | 1)
            before = walker.Unit(memory).dump()
            self.assertEqual(self.objections(before, beyond), [], mode)
            beyond.put(CONTEXT, DIRECTORY | 1 << 9 | 1)
            self.assertTrue(self.objections(before, beyond), mode)

    def test_without_no_pasid(self):
        """A requester whose PASID 0 is not present still has the others."""
        for mode, memory in self.cases:
            memory.put(PASIDS, 0)
            found = walker.Unit(memory).dump()['requesters'][BDF]
            self.assertEqual((found['mode'], len(found['pasids'])), ('blocked', 5), mode)

    def test_one_more_one_less(self):
        """An entry that appears, an entry or a whole table that disappears."""
        for mode, memory in self.cases:
            before = walker.Unit(memory).dump()
            self.assertEqual(self.objections(before, memory.copy()), [])
            for pasid in (2, 78, 8190):
                more = memory.copy()
                more.put(where_is(pasid), *pasid_entry(mode, 9, TOP))
                self.assertEqual(self.objections(before, more),
                                 [f'{BDF} PASID {pasid}: no entry before'])
            for pasid in PRESENT:
                less = memory.copy()
                less.put(where_is(pasid), 0)
                self.assertEqual(self.objections(before, less),
                                 [f'{BDF} PASID {pasid}: no entry after'])
            gone = memory.copy()
            gone.put(DIRECTORY + 8 * (4000 >> 6), 0)
            self.assertEqual(self.objections(before, gone),
                             [f'{BDF} PASID 4000: no entry after'])

    def test_every_bit_of_an_entry(self):
        """Present, mode, address width, domain id, page table and all other bits."""
        for mode, memory in self.cases:
            before = walker.Unit(memory).dump()
            for address in (where_is(77), where_is(8191)):
                for bit in range(3 * 64):
                    changed = memory.copy()
                    word = address + bit // 64 * 8
                    changed.put(word, changed.words[word] ^ 1 << bit % 64)
                    with self.subTest(mode=mode, address=hex(address), bit=bit):
                        try:
                            found = self.objections(before, changed)
                        except walker.WalkError as error:
                            found = [str(error)]
                        self.assertTrue(found)

    def test_mappings_of_a_pasid(self):
        """A mapping that only PASIDs have: changed; accessed and dirty bits do not count."""
        for mode, memory in self.cases:
            before = walker.Unit(memory).dump()
            leaf = OTHER_TOP + 0x3000
            memory.put(leaf, memory.words[leaf] | Mutation.ignored[mode])
            self.assertEqual(self.objections(before, memory), [])
            memory.put(leaf, 0x70001000 | 7)
            self.assertEqual(len(self.objections(before, memory)), 2)

    def test_shared_tables_are_read_once(self):
        """Sixty-four PASIDs on one page table cost one walk."""
        for mode, memory in self.cases:
            for pasid in range(1, 64):
                memory.put(where_is(pasid), *pasid_entry(mode, 7, TOP))
            reads = []
            read = memory.read
            memory.read = lambda at, size, real=read, log=reads: log.append(at) or real(at, size)
            found = walker.Unit(memory).dump()['requesters'][BDF]
            self.assertEqual(len(found['pasids']), 66)
            self.assertEqual(reads.count(TOP), 1, mode)


if __name__ == '__main__':
    unittest.main()
