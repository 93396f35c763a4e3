# SPDX-License-Identifier: GPL-2.0-only
"""What reads a register from outside."""
import time
import unittest

from harness.poker import Reader
from harness.ports import PortError


class Register:
    """A register of BAR 0 at 0xfeb80000, out of reach for a while after some reads."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def ecam(self, bdf, offset):
        """Return where a config register is."""
        return 0xb0000000 + offset

    def readl(self, address):
        """Answer a read; in the end the conversation is over."""
        self.asked.append(address)
        if address == 0xb0000010:
            return 0xfeb80004
        if not self.answers:
            raise PortError('closed')
        return self.answers.pop(0)


class Reading(unittest.TestCase):
    """The reader and what it says."""

    def read(self, *answers):
        """Return a reader that has read all there was."""
        reader = Reader(Register(list(answers)), '00:04.0', 0x2808)
        reader.PERIOD = 0.002
        reader.thread.start()
        reader.thread.join(10)
        return reader

    def test_answers(self):
        """What was there at first is what has to be there."""
        reader = self.read(7, 7, 7)
        self.assertEqual((len(reader.results), reader.wrong()), (2, []))
        self.assertEqual(set(reader.qtest.asked[1:]), {0xfeb82808})
        self.assertGreater(reader.longest_gap(), 1)
        for other in (0, 0xffffffff, 8):
            reader = self.read(7, 7, other, 7)
            self.assertEqual(len(reader.wrong()), 1)
            self.assertLessEqual(reader.wrong()[0], time.time())


if __name__ == '__main__':
    unittest.main()
