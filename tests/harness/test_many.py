# SPDX-License-Identifier: GPL-2.0-only
"""The judge of several NICs: it finds the loss of one NIC, and of that one only."""
import types
import unittest

from harness import judges, many
from harness.machine import Nic

NICS = (Nic(8), Nic(9), Nic(0x10, bus=1))
GOOD = {'vm': 0, 'frames': 100, 'before': 50, 'holes': 0, 'dups': 0, 'corrupt': 0, 'sent': 2}


def made_up(**spoiled):
    """Return a run in which every NIC got 100 frames; spoiled is for the second one."""
    info = {}
    for nic in NICS:
        words = {**GOOD, **(spoiled if nic is NICS[1] else {})}
        info[f'card_{nic.bdf}'] = ' '.join(f'{k} {v}' for k, v in words.items())
    return types.SimpleNamespace(
        scenario=types.SimpleNamespace(nics=NICS), figures={}, events=[],
        verdict=types.SimpleNamespace(info=lambda: info),
        sent={'continued': {n.bdf: {'sent': 100, 'blocks': []} for n in NICS}},
        marks={'ready': 1, 'kexec': 2, 'booted': 3, 'continued': 4})


class Many(unittest.TestCase):
    """Frames, NIC by NIC."""

    def test_good(self):
        """Nothing is lost."""
        run = made_up()
        self.assertEqual(many.frames(run), [])
        self.assertEqual(run.figures['frames_lost'], 0)

    def test_one_is_spoiled(self):
        """A frame less, a hole, one twice, one that is another's."""
        for spoiled in ({'frames': 99}, {'holes': 1}, {'dups': 1}, {'corrupt': 1}):
            found = many.frames(made_up(**spoiled))
            self.assertEqual(len(found), 1)
            self.assertTrue(found[0].startswith(NICS[1].bdf))

    def test_host(self):
        """What the host dropped makes the run invalid."""
        run = made_up()
        run.sent['continued'][NICS[2].bdf]['blocks'] = [[2, 3, 7, False]]
        self.assertIn('invalid', many.frames(run)[0])
        self.assertEqual(run.figures['host_drops'], 7)

    def test_silence(self):
        """Without the guest's word there is no evidence."""
        run = made_up()
        run.sent = {}
        self.assertIsInstance(many.frames(run)[0], judges.Missing)
