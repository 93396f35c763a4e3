# SPDX-License-Identifier: GPL-2.0-only
"""The trace judges see what they must see, in both of QEMU's formats."""
import unittest

from harness import trace

T0 = 1795467130.0


def events(*items):
    """Build events from (seconds after T0, name, text)."""
    return [trace.Event(T0 + t, name, text) for t, name, text in items]


class Parsing(unittest.TestCase):
    """Lines of QEMU 7.2 and 11.1."""

    def test_both_formats(self):
        """The same event, the same time."""
        new = trace.parse(['2026-11-23T20:52:10.500000Z vtd_dmar_enable enable 1'])
        old = trace.parse(['18397@1795467130.500000:vtd_dmar_enable enable 1', 'noise'])
        self.assertEqual(new, old)
        self.assertEqual((new[0].name, new[0].text), ('vtd_dmar_enable', 'enable 1'))

    def test_config_write(self):
        """Bus, offset and value of a config write."""
        lines = ['2026-11-23T20:52:10.5Z pci_cfg_write e1000e 01:00.0 @0xcc <- 0x3']
        write = trace.config_writes(trace.parse(
            [lines[0].replace('10.5Z', '10.500000Z')]))[0]
        self.assertEqual((write.bdf, write.offset, write.value), ('01:00.0', 0xcc, 3))


class Landings(unittest.TestCase):
    """Frames that reached memory."""

    def test_only_with_a_buffer(self):
        """A frame that met descriptors without a buffer has not, the next one may have."""
        received, null, written = ('e1000e_rx_receive_iov', 'e1000e_rx_null_descriptor',
                                   'e1000e_rx_written_to_guest')
        seen = events(*[(t, name, '') for t, name in enumerate(
            (received, written, received, null, null, written, received, written))])
        self.assertEqual(trace.landings(seen), [T0 + 1, T0 + 7])


class Translation(unittest.TestCase):
    """Times with translation off."""

    def off(self, *items):
        """Return the gaps in the window 1..10."""
        return trace.translation_off(events(*[(t, 'vtd_dmar_enable', f'enable {v}')
                                              for t, v in items]), T0 + 1, T0 + 10)

    def test_never_off(self):
        """Switched on before the window."""
        self.assertEqual(self.off((0, 1)), [])
        self.assertEqual(self.off((0, 0), (0.5, 1)), [])

    def test_off_and_on(self):
        """A gap inside, one that begins before, one that does not end."""
        self.assertEqual(self.off((0, 1), (3, 0), (4, 1)), [(T0 + 3, T0 + 4)])
        self.assertEqual(self.off((0, 0), (2, 1)), [(T0 + 1, T0 + 2)])
        self.assertEqual(self.off((0, 1), (3, 0)), [(T0 + 3, T0 + 10)])

    def test_ever_on(self):
        """A trace without the event is no evidence."""
        self.assertFalse(trace.ever_on([], T0))


class Faults(unittest.TestCase):
    """DMA faults."""

    def test_only_of_the_requester(self):
        """Other requesters' faults do not count."""
        found = events((1, 'vtd_dmar_fault', 'sid 0x100 fault 5 addr 0x100000000 write 1'),
                       (2, 'vtd_dmar_fault', 'sid 0x30 fault 2 addr 0x2000 write 0'))
        self.assertEqual(len(trace.faults(found, ['01:00.0'])), 1)
        self.assertEqual(len(trace.faults(found)), 2)
        self.assertEqual(trace.faults(found, ['00:06.0'])[0][1:], (0x30, 2, 0x2000, 0))

    def test_unreadable(self):
        """A fault line in another format is reported."""
        found = events((1, 'vtd_dmar_fault', 'something else'))
        self.assertEqual(len(trace.unreadable_faults(found)), 1)


class Invalidation(unittest.TestCase):
    """The order of invalidations and queued invalidation going off."""

    good = [(1, 'vtd_inv_desc_cc_global', ''), (2, 'vtd_inv_desc_iotlb_global', ''),
            (3, 'vtd_inv_qi_enable', 'enabled 0'), (4, 'vtd_inv_qi_enable', 'enabled 1'),
            (5, 'vtd_inv_desc_iec', '')]

    def test_good(self):
        """Context cache, IOTLB, off."""
        self.assertEqual(trace.invalidation_order(events(*self.good), False), [])

    def test_bad(self):
        """Missing ones, a wrong order, and one while it is off."""
        for damage in (self.good[1:], self.good[:1] + self.good[2:], self.good[:2],
                       [self.good[1], (1.5, 'vtd_inv_desc_cc_global', ''), *self.good[2:]],
                       [*self.good[:3], (3.5, 'vtd_inv_desc_iotlb_global', ''), *self.good[3:]]):
            self.assertTrue(trace.invalidation_order(events(*damage), False))
        self.assertTrue(trace.invalidation_order(events(*self.good), True))


class Resets(unittest.TestCase):
    """Resets of any kind."""

    def test_each_kind(self):
        """Function, core, power and bus resets are seen."""
        config = 'pci_cfg_write'
        for items in ([(1, 'resettable_phase_hold_exec', 'obj=0x5(e1000e) method=1')],
                      [(1, 'e1000e_core_ctrl_sw_reset', 'Doing SW reset')],
                      [(1, config, 'e1000e 01:00.0 @0xcc <- 0x3'),
                       (2, config, 'e1000e 01:00.0 @0xcc <- 0x0')],
                      [(1, 'pci_pm_transition', 'e1000e 01:00.0 PM transition D3->D0')],
                      [(1, config, 'pcie-root-port 00:05.0 @0x3e <- 0x42')]):
            with self.subTest(items[0][1]):
                self.assertTrue(trace.resets(events(*items), {'01:00.0': 0xcc}, ['00:05.0']))

    def test_others(self):
        """Another device's reset, and D0 -> D0, are none."""
        self.assertEqual(trace.resets(events(
            (1, 'resettable_phase_hold_exec', 'obj=0x5(ich9-ahci) method=1'),
            (2, 'pci_cfg_write', 'e1000e 01:00.0 @0xcc <- 0x0'),
            (3, 'pci_cfg_write', 'pcie-root-port 00:05.0 @0x3e <- 0x2')),
            {'01:00.0': 0xcc}, ['00:05.0']), [])


class DeviceTlb(unittest.TestCase):
    """The flush of one device's translations before queued invalidation goes off."""

    flush = 'invalidate desc type device high 0x7ffffffffffff001 low 0x6800000003'
    pasid = 'invalidate desc type device-piotlb high 0x0 low 0x4d00680008'

    def flushed(self, *items, bdf='00:0d.0'):
        """Return the answer for a trace."""
        return trace.device_tlb_flushed(events(*items), bdf)

    def test_seen(self):
        """Without and with a PASID, of this device only, in time only."""
        off = (5, 'vtd_inv_qi_enable', 'enabled 0')
        for text in (self.flush, self.pasid):
            with self.subTest(text):
                flush = (4, 'vtd_inv_desc', text)
                self.assertTrue(self.flushed(flush, off))
                self.assertFalse(self.flushed(flush, off, bdf='00:0e.0'))
                self.assertFalse(self.flushed(off, (6, *flush[1:])))
        self.assertFalse(self.flushed(off))


class Gaps(unittest.TestCase):
    """The blackout figure."""

    def test_longest(self):
        """The longest time between neighbours, in ms."""
        self.assertAlmostEqual(trace.longest_gap([1.0, 1.1, 1.35, 1.4]), 250)
        self.assertEqual(trace.longest_gap([]), 0)


if __name__ == '__main__':
    unittest.main()
