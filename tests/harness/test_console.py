# SPDX-License-Identifier: GPL-2.0-only
"""The console scan."""
import unittest

from harness import console

BOOT = ['[    0.000000] Linux version 7.3.4-ferry-old (ferry@ferry)', '[    1.0] fine']
NEXT = ['[    0.000000] Linux version 7.3.4-ferry-new (ferry@ferry)',
        '[    0.000000] KHO: found kexec handover data.']


class Scan(unittest.TestCase):
    """Bad lines are found, harmless ones are not."""

    def test_bad(self):
        """One line for each detector."""
        for line in ('WARNING: CPU: 0 PID: 1 at mm/x.c:1 f+0x1/0x2', 'BUG: KASAN: use-after-free',
                     'Oops: Oops: 0000 [#1]', 'INFO: possible circular locking dependency',
                     'WARNING: possible recursive locking detected', 'INFO: task init:1 blocked',
                     'BUG: scheduling while atomic: init/1', 'kernel BUG at mm/slab.c:1!',
                     'BUG: sleeping function called from invalid context',
                     'Kernel panic - not syncing: x', 'unreferenced object 0xffff (size 192):',
                     'rcu: INFO: rcu_sched self-detected stall on CPU',
                     'WARNING: suspicious RCU usage', 'irq 16: nobody cared'):
            with self.subTest(line):
                self.assertEqual(console.scan(['[    1.000000] ' + line]),
                                 ['[    1.000000] ' + line])

    def test_harmless(self):
        """Lines that only look like trouble."""
        self.assertEqual(console.scan([
            'kasan: KernelAddressSanitizer initialized',
            'pci 0000:00:01.0: vgaarb: bridge control possible',
            'Command line: liveupdate_break=te BUG:']), [])

    def test_tolerated(self):
        """A scenario may tolerate a line."""
        self.assertEqual(console.scan(['WARNING: x at y'], ['x at y']), [])

    def test_handover(self):
        """Which boots found handover data."""
        self.assertEqual(console.handed_over(BOOT + NEXT), [False, True])
        self.assertEqual(console.handed_over(BOOT + BOOT), [False, False])
        self.assertEqual([v for v, _ in console.boots(BOOT + NEXT)],
                         ['7.3.4-ferry-old', '7.3.4-ferry-new'])


if __name__ == '__main__':
    unittest.main()
