# SPDX-License-Identifier: GPL-2.0-only
"""The config-write lint and the allow-list it is shipped with."""
import os
import unittest

import harness
from harness import cfgwrites
from harness.trace import ConfigWrite

ALLOW = os.path.join(os.path.dirname(harness.__file__), 'path-writes.allow')
NIC, PORT = '01:00.0', '00:05.0'


def config(command=0x107, bar=0xfeb80000):
    """Return a config space with PM, PCIe and AER capabilities."""
    space = bytearray(4096)
    space[0x04:0x06] = command.to_bytes(2, 'little')
    space[0x10:0x14] = bar.to_bytes(4, 'little')
    space[0x18:0x1b] = bytes((0, 1, 1))
    space[0x3e] = 2
    space[0x34] = 0xc8
    space[0xc8:0xca] = bytes((1, 0xe0))
    space[0xe0:0xe2] = bytes((0x10, 0))
    space[0xe8:0xea] = bytes((0x10, 0x28))
    space[0x100:0x104] = (1 | 1 << 16).to_bytes(4, 'little')
    return bytes(space)


class Lint(unittest.TestCase):
    """Writes against the shipped allow-list."""

    def setUp(self):
        with open(ALLOW, encoding='utf-8') as handle:
            self.rules = cfgwrites.parse_rules(handle.read())

    def lint(self, *writes):
        """Return the lint's result for (bdf, offset, value) writes."""
        functions = [cfgwrites.Function(NIC, 'endpoint', config()),
                     cfgwrites.Function(PORT, 'bridge', config())]
        names = {NIC: 'e1000e', PORT: 'pcie-root-port'}
        return cfgwrites.lint([ConfigWrite(0, names.get(b, 'e1000e'), b, o, v)
                               for b, o, v in writes], functions, self.rules)

    def test_allowed(self):
        """What a quiet scan writes."""
        result = self.lint((NIC, 4, 0x507), (PORT, 4, 0x507), (PORT, 0x1e, 0xffff),
                           (PORT, 0x3e, 2), (NIC, 0x110, 0xffffffff), (NIC, 0xcc, 0x8000))
        self.assertEqual(result.refused, [])
        self.assertEqual(len(result.allowed), 6)

    def test_other_devices_do_not_count(self):
        """Functions beside the path may be written."""
        functions = [cfgwrites.Function(NIC, 'endpoint', config())]
        result = cfgwrites.lint([ConfigWrite(0, 'ICH9-LPC', '00:1f.0', 0x90, 1)], functions,
                                self.rules)
        self.assertEqual((result.refused, result.allowed), ([], []))

    def test_refused(self):
        """Each of these harms a real machine, and QEMU would not show it."""
        for bdf, offset, value in (
                (NIC, 4, 0x103), (PORT, 4, 0x103),              # bus mastering off
                (NIC, 4, 0x104), (NIC, 4, 0x105), (PORT, 4, 0x106),     # decode off
                (NIC, 0xcc, 3), (NIC, 0xcc, 0x103),             # D3hot, PME on
                (PORT, 0x18, 0), (PORT, 0x19, 2), (PORT, 0x1a, 0xff),   # bus numbers
                (PORT, 0x3e, 0x42), (PORT, 0x3e, 0),            # bus reset, other bits
                (NIC, 0xe8, 0x2830), (PORT, 0x20, 0xfff0),      # MPS, window
                (NIC, 0x10, 0xffffffff), (NIC, 0x10, 0xfeb80000),       # BAR sized, and put back
                (NIC, 0x30, 0xfffff800), (PORT, 0x38, 0xfffff800),      # ROM sized
                (PORT, 0x1c, 0xe0f0), (PORT, 0x24, 0xffe0fff0), (PORT, 0x28, 0xffffffff),
                (NIC, 0x10, 0xfe000000),                        # BAR moved
                (PORT, 0x14e, 0x1d), ('02:00.0', 4, 0x107)):    # ACS; NIC renumbered
            with self.subTest(bdf=bdf, offset=hex(offset), value=hex(value)):
                self.assertEqual(len(self.lint((bdf, offset, value)).refused), 1)

    def absences(self, *writes):
        """Return when the NIC was not at its addresses, for (time, offset, value) writes."""
        return cfgwrites.absences([ConfigWrite(t, 'e1000e', NIC, o, v) for t, o, v in writes],
                                  cfgwrites.Function(NIC, 'endpoint', config()))

    def test_absences(self):
        """Decode off, a BAR elsewhere, in part or for ever; and nothing of it."""
        self.assertEqual(self.absences((1, 4, 0x507), (2, 0x10, 0xfeb80000), (3, 0x3c, 0xff)), [])
        self.assertEqual(self.absences((1, 4, 0x104), (3, 4, 0x100), (4, 4, 0x507)), [(1, 4, 4)])
        self.assertEqual(self.absences((1, 0x10, 0xffffffff), (2, 0x10, 0xfeb80000)),
                         [(1, 2, 0x10)])
        self.assertEqual(self.absences((1, 0x12, 0xfeb9)), [(1, None, 0x10)])
        self.assertEqual(self.absences((1, 0x12, 0xfeb8)), [])
        self.assertEqual(self.absences((1, 0x24, 1), (2, 0x30, 1)),
                         [(1, None, 0x24), (2, None, 0x30)])
        self.assertEqual(cfgwrites.absences([ConfigWrite(1, 'e1000e', PORT, 4, 0)],
                                            cfgwrites.Function(NIC, 'endpoint', config())), [])

    def test_every_rule_has_a_reason(self):
        """The list explains itself."""
        self.assertTrue(self.rules)
        self.assertTrue(all(len(rule.reason) > 15 for rule in self.rules))

    def test_bad_lines(self):
        """A line that cannot be understood is an error."""
        for line in ('endpoint 0x4 any no size', 'nobody 0x4/2 any who', 'both 0x4/2 maybe why',
                     'both cap:1/2 any no offset'):
            with self.assertRaises(cfgwrites.AllowListError):
                cfgwrites.parse_rules(line)


if __name__ == '__main__':
    unittest.main()
