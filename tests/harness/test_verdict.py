# SPDX-License-Identifier: GPL-2.0-only
"""The verdict parser believes complete reports of this run, and nothing else."""
import unittest

from harness.verdict import Verdict

STAGE1 = ['KTAP version 1', '1..2', '# nonce abc stage 1 kernel 7-old', 'ok 1 - a',
          '# info frames 12', 'ok 2 - b', '# sync kexec']
STAGE2 = ['KTAP version 1', '1..1', '# nonce abc stage 2 kernel 7-new', 'ok 1 - c', '# exit 0']


def verdict(lines, stages=2, rest=b''):
    """Feed lines and end; return the verdict."""
    found = Verdict('abc')
    for line in lines:
        found.feed(line.encode())
    found.end(rest, stages)
    return found


class Verdicts(unittest.TestCase):
    """Good reports pass, everything else fails."""

    def test_good(self):
        """Two complete stages."""
        found = verdict(STAGE1 + STAGE2)
        self.assertEqual((found.problems, found.exit_code()), ([], 0))
        self.assertEqual(found.info(), {'frames': '12'})
        self.assertEqual([s.kernel for s in found.stages], ['7-old', '7-new'])
        self.assertEqual(found.stages[0].syncs, ['kexec'])

    def test_sync_is_returned(self):
        """feed() tells about sync points."""
        found = Verdict('abc')
        self.assertEqual([found.feed(line.encode()) for line in STAGE1][-1], 'kexec')

    def test_reason(self):
        """A failed result comes with what was said for it, and with nothing said before."""
        lines = STAGE2[:3] + ['# a note', 'ok 1 - b', '# map: Busy (16)', '# twice', 'not ok 2 - c']
        found = verdict([line.replace('stage 2', 'stage 1') for line in lines], stages=1)
        self.assertEqual(found.failed(), ['stage 1: c (map: Busy (16); twice)'])

    def test_carriage_return(self):
        """A terminal's CR at the end of a line is no tear."""
        self.assertEqual(verdict([line + '\r' for line in STAGE1 + STAGE2]).exit_code(), 0)

    def test_bad(self):
        """Each of these damages must be noticed."""
        good = STAGE1 + STAGE2
        cases = {
            'nothing': [],
            'no version': good[1:],
            'no plan': good[:1] + good[2:],
            'no nonce': good[:2] + good[3:],
            'other nonce': [line.replace('abc', 'abd') for line in good],
            'stage repeated': STAGE1 + [line.replace('stage 2', 'stage 1') for line in STAGE2],
            'result missing': [line for line in good if line != 'ok 2 - b'],
            'result twice': STAGE1[:4] + STAGE1[3:] + STAGE2,
            'result out of order': STAGE1[:3] + ['ok 2 - b', 'ok 1 - a'] + STAGE2,
            'failed result': [line.replace('ok 1 - c', 'not ok 1 - c') for line in good],
            'torn line': STAGE1[:4] + ['o'] + STAGE1[4:] + STAGE2,
            'echo': STAGE1 + ['go'] + STAGE2,
            'no exit': good[:-1],
            'exit 1': good[:-1] + ['# exit 1'],
            'unknown exit': good[:-1] + ['# exit 3'],
            'after exit': good + ['ok 2 - d'],
            'one stage only': STAGE1,
            'a third stage': good + STAGE2,
            'glued lines': STAGE1[:3] + ['ok 1 - aok 2 - b'] + STAGE2,
        }
        for name, lines in cases.items():
            with self.subTest(name):
                self.assertEqual(verdict(lines).exit_code(), 1)

    def test_binary_and_rest(self):
        """Bytes that are no text, and an unfinished last line."""
        found = Verdict('abc')
        found.feed(b'\xff\xfe')
        self.assertTrue(found.problems)
        self.assertEqual(verdict(STAGE1 + STAGE2, rest=b'ok').exit_code(), 1)

    def test_skip(self):
        """A skipped test ends with 77; skipped results do not fail."""
        lines = STAGE1 + STAGE2[:3] + ['not ok 1 - c # SKIP no device', '# exit 77']
        self.assertEqual(verdict(lines).exit_code(), 77)


if __name__ == '__main__':
    unittest.main()
