# SPDX-License-Identifier: GPL-2.0-only
"""The judges against made-up runs: each must object when it should, and only then."""
import copy
import types
import unittest

from harness import cfgwrites, judges, scenario
from harness.trace import Event
from harness.verdict import Verdict

T = 1000.0
NIC = '00:04.0'


def good_run():
    """Return a run in which everything went well: 100 frames, kexec from 2 to 4 s."""
    item = scenario.Scenario(name='x', summary='', test='dma', rate=2000)
    run = scenario.Run(item, None, '/nonexistent', {})
    run.began = run.began_monotonic = T
    run.ended = T + 10
    run.marks = {'ready': T + 1, 'preserved': T + 1.5, 'kexec': T + 2, 'booted': T + 4,
                 'retrieved': T + 5, 'continued': T + 6, 'finished': T + 7, 'closed': T + 8}
    run.sent = {'continued': {'sent': 100, 'refused': 0, 'blocks': [], 'waiting': 0,
                              'worst_wait': 0.01, 'stopped': T + 6}}
    samples = [(T + 1 + n / 100, n, 65527, True, True, False, True) for n in range(700)]
    run.sampler = types.SimpleNamespace(samples=samples)
    run.receiver = types.SimpleNamespace(numbers=[0, 1, 2], damaged=0)
    run.events = [Event(T + 0.5, 'vtd_dmar_enable', 'enable 1')]
    for n in range(100):
        run.events += [Event(T + 1 + n / 20, 'e1000e_rx_receive_iov', ''),
                       Event(T + 1 + n / 20, 'e1000e_rx_written_to_guest', '')]
    space = bytearray(4096)
    space[0x04:0x06], space[0x10:0x14] = b'\x07\x01', b'\x00\x00\xb8\xfe'
    run.functions = [cfgwrites.Function(NIC, 'endpoint', bytes(space))]
    run.events.append(Event(T + 2, 'pci_cfg_write', f'e1000e {NIC} @0x4 <- 0x507'))
    run.verdict = Verdict(run.nonce)
    leaf = [0x100000000, 0x5000, 4096, 3, 0x5003]
    entry = {'mode': 'legacy', 'did': 5, 'top': 0x1000, 'levels': 4, 'leaves': [leaf]}
    dump = {'translation': True, 'requesters': {NIC: entry}}
    run.dumps = {k: copy.deepcopy(dump) for k in ('before', 'during', 'after', 'retrieved')}
    info(run, frames_in_memory=100, tx_sent=3, holes=0)
    return run


def info(run, **figures):
    """Let the guest report figures."""
    if not run.verdict.stages:
        for line in ('KTAP version 1', '1..0', f'# nonce {run.nonce} stage 1 kernel 7'):
            run.verdict.feed(line.encode())
    for key, value in figures.items():
        run.verdict.feed(f'# info {key} {value}'.encode())


class Judges(unittest.TestCase):
    """One judge at a time."""

    def setUp(self):
        self.run_ = good_run()

    def objects(self, judge):
        """Return the objections of a judge."""
        return judges.JUDGES[judge](self.run_)

    def test_second_update(self):
        """Each update's mappings are compared with what they were before that one."""
        self.run_.syncs.update(['preserved', 'preserved'])
        self.assertEqual(len(self.objects('mappings')), 1)
        for label in ('before', 'after'):
            self.run_.dumps[label + '2'] = copy.deepcopy(self.run_.dumps[label])
        self.assertEqual(self.objects('mappings'), [])
        self.run_.dumps['after2']['requesters'][NIC]['leaves'][0][1] = 0x6000
        self.assertEqual(len(self.objects('mappings')), 1)

    def test_good_run(self):
        """Nobody objects to a good run; the figures are right."""
        for judge in ('frames', 'sent-back', 'translation', 'faults', 'mmio', 'resets',
                      'mappings'):
            with self.subTest(judge):
                self.assertEqual(self.objects(judge), [])
        self.assertEqual(self.run_.figures['frames_lost'], 0)
        self.assertEqual(self.run_.figures['frames_delivered'], 100)
        self.assertAlmostEqual(self.run_.figures['blackout_ms'], 50, delta=0.2)
        self.assertEqual(self.run_.figures['translation_off_ms'], 0)

    def test_lost_frame(self):
        """One frame less in memory; a hole; one twice."""
        for figures in ({'frames_in_memory': 99}, {'holes': 1}, {'dups': 1}, {'corrupt': 1},
                        {'frames_in_memory': 101}):
            with self.subTest(figures):
                self.run_ = good_run()
                info(self.run_, **figures)
                self.assertTrue(self.objects('frames'))

    def test_refused_while_receiving_is_the_host(self):
        """Frames QEMU did not take although the NIC could: invalid, not lost."""
        self.run_.sent['continued'].update(refused=40, blocks=[[T + 3, T + 3.5, 40, False]])
        del self.run_.events[-80:]
        info(self.run_, frames_in_memory=60)
        self.assertIn('invalid', self.objects('frames')[0])
        self.assertEqual(self.run_.figures['host_drops'], 40)
        self.assertEqual(self.run_.figures['frames_lost'], 0)

    def test_refused_while_dead_is_lost(self):
        """Frames QEMU did not take because the NIC could not receive: lost."""
        self.run_.sent['continued'].update(refused=40, blocks=[[T + 3, T + 3.5, 40, True]])
        self.run_.sampler.samples = [(*s[:3], s[0] < T + 2.9, *s[4:])
                                     for s in self.run_.sampler.samples]
        del self.run_.events[-80:]
        info(self.run_, frames_in_memory=60)
        self.assertTrue(self.objects('frames'))
        self.assertEqual(self.run_.figures['host_drops'], 0)
        self.assertEqual(self.run_.figures['frames_lost'], 40)

    def test_no_frame_during_the_kexec(self):
        """Frames that all landed before or after the kexec prove nothing."""
        self.run_.events = [e for e in self.run_.events if not T + 2 < e.time < T + 4]
        self.assertTrue(self.objects('frames'))

    def test_translation(self):
        """A gap in the trace, a pass-through sample, an unexplained dark sample."""
        self.run_.events += [Event(T + 3, 'vtd_dmar_enable', 'enable 0'),
                             Event(T + 3.1, 'vtd_dmar_enable', 'enable 1')]
        self.assertTrue(self.objects('translation'))
        self.assertAlmostEqual(self.run_.figures['translation_off_ms'], 100, delta=0.1)
        for index, value in ((5, True), (4, False)):
            self.run_ = good_run()
            sample = list(self.run_.sampler.samples[150])
            sample[index] = value
            self.run_.sampler.samples[150] = tuple(sample)
            self.assertTrue(self.objects('translation'))

    def test_faults(self):
        """A fault of the device, and a descriptor it could not read."""
        for event in (Event(T + 3, 'vtd_dmar_fault', 'sid 0x20 fault 5 addr 0x1000 write 1'),
                      Event(T + 3, 'e1000e_rx_null_descriptor', ''),
                      Event(T + 3, 'vtd_dmar_fault', 'garbled')):
            self.run_ = good_run()
            self.run_.events.append(event)
            self.assertTrue(self.objects('faults'))

    def test_mmio(self):
        """Decode off, a BAR elsewhere, a sample that could not be read; while kept only."""
        for offset, there, back in ((0x4, 0x104, 0x507), (0x10, 0xffffffff, 0xfeb80000)):
            for begin, wanted in ((2.5, 1), (7.5, 0)):
                run = good_run()
                run.events += [
                    Event(T + when, 'pci_cfg_write', f'e1000e {NIC} @{offset:#x} <- {value:#x}')
                    for when, value in ((begin, there), (begin + 0.1, back))]
                self.assertEqual(len(judges.JUDGES['mmio'](run)), wanted)
                self.assertAlmostEqual(run.figures['decode_off_ms'], 100 * wanted, delta=0.1)
        sample = list(self.run_.sampler.samples[150])
        sample[1] = None
        self.run_.sampler.samples[150] = tuple(sample)
        self.assertEqual(len(self.objects('mmio')), 1)
        for change in ({'events': []}, {'functions': []}, {'sampler': None}):
            run = good_run()
            vars(run).update(change)
            self.assertEqual([type(t) for t in judges.JUDGES['mmio'](run)], [judges.Missing])

    def test_frames_from_the_guest(self):
        """One missing, one damaged, wrong order."""
        for numbers, damaged in (([0, 1], 0), ([0, 1, 2], 1), ([0, 2, 1], 0)):
            self.run_.receiver = types.SimpleNamespace(numbers=numbers, damaged=damaged)
            self.assertTrue(self.objects('sent-back'))

    def test_mappings(self):
        """Another physical address, a dump that failed, no mappings at all."""
        self.run_.dumps['after']['requesters'][NIC]['leaves'][0][1] = 0x6000
        self.assertTrue(self.objects('mappings'))
        self.run_ = good_run()
        self.run_.dumps['during'] = {'error': 'loop', 'requesters': {}}
        self.assertTrue(self.objects('mappings'))
        self.run_ = good_run()
        for dump in self.run_.dumps.values():
            dump['requesters'][NIC]['leaves'] = []
        self.assertTrue(self.objects('mappings'))

    def test_afterwards(self):
        """Not reset, still mapped, pass-through, translation off."""
        reset = Event(T + 7.5, 'e1000e_core_ctrl_sw_reset', '')
        closed = {'translation': True, 'requesters': {NIC: {'mode': 'legacy', 'leaves': []}}}
        cases = [(0, [reset], closed), (0, [reset], {'translation': True, 'requesters': {}}),
                 (1, [], closed), (1, [reset], dict(closed, translation=False)),
                 (1, [reset], self.run_.dumps['after'])]
        for wanted, events, dump in cases:
            run = good_run()
            run.events += events
            run.dumps['closed'] = dump
            self.assertEqual(len(judges.JUDGES['afterwards'](run)), wanted)

    def test_no_evidence(self):
        """Without evidence every judge objects."""
        run = scenario.Run(self.run_.scenario, None, '/nonexistent', {})
        run.ended = 1
        for name in scenario.FRAME_JUDGES:
            with self.subTest(name):
                self.assertTrue(judges.JUDGES[name](run))


class Controls(unittest.TestCase):
    """Negative controls."""

    def result(self, objections, stages=2, drops=0):
        """Return the result of a control that needs the frames judge to object."""
        item = scenario.Scenario(name='x', summary='', test='dma', must_fail=('frames',))
        run = scenario.Run(item, None, '/nonexistent', {})
        run.objections = objections
        run.figures['host_drops'] = drops
        run.verdict.stages = [None] * stages
        return run._result()                # pylint: disable=protected-access

    def test_controls(self):
        """Only a real objection of the right judge, in a complete and valid run, is success."""
        lost = {'frames': ['5 of 9 frames lost']}
        self.assertEqual(self.result(lost), scenario.PASS)
        self.assertEqual(self.result({}), scenario.FAIL)
        self.assertEqual(self.result({'console': ['BUG']}), scenario.FAIL)
        self.assertEqual(self.result({'frames': [judges.Missing('nothing')]}), scenario.FAIL)
        self.assertEqual(self.result(lost, stages=1), scenario.FAIL)
        self.assertEqual(self.result(lost, drops=3), scenario.FAIL)


if __name__ == '__main__':
    unittest.main()
