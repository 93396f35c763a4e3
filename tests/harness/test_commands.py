# SPDX-License-Identifier: GPL-2.0-only
"""Unit tests of what ./lab takes from its user."""
import argparse
import os
import sys
import tempfile
import unittest

from harness import commands


class Programs(unittest.TestCase):
    """Programs from outside."""

    def test_static_program(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'mine')
            with open(path, 'wb') as handle:
                handle.write(b'\x7fELF' + bytes(100))
            self.assertIn(('bin/mine', b'\x7fELF' + bytes(100)), commands.programs_of([path]))

    def test_others(self):
        for path in (sys.executable, __file__, '/nonexistent'):
            with self.assertRaisesRegex(argparse.ArgumentTypeError, 'is not a static ELF'):
                commands.programs_of([path])


if __name__ == '__main__':
    unittest.main()
