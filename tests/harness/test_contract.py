# SPDX-License-Identifier: GPL-2.0-only
"""The contract: a row without a test that passed is noticed."""
import os
import tempfile
import unittest

from harness import contract, runner, scenario

TABLE = '''
| operation | state | result | test |
|---|---|---|---|
| map | preserved | EBUSY | `frozen: map is refused` |
| jump | preserved | works | `dma` |
| soak | any | works | `slow: all` |
'''
KTAP = '1..2\nok 1 - map is refused\nok 2 - other # SKIP no device\nnot ok 3 - third\n'


class Contract(unittest.TestCase):
    """A table, and a run."""

    def setUp(self):
        """Write both."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.table = os.path.join(folder.name, 'contract.md')
        self.log = os.path.join(folder.name, 'verdict.ktap')
        self.write(self.log, KTAP)
        self.write(self.table, TABLE)

    @staticmethod
    def write(path, text):
        """Write a file."""
        with open(path, 'w', encoding='utf-8') as out:
            out.write(text)

    def objections(self, tests=None, long_tests=('slow',)):
        """Return what is objected to."""
        tests = tests or {'frozen': (True, self.log), 'dma': (True, self.log)}
        return contract.objections(tests, long_tests, self.table)

    def test_green(self):
        """All rows have a test that passed, or belong to the long run."""
        self.assertEqual(self.objections(), [])

    def test_no_test(self):
        """A test that does not exist, that did not run, that failed."""
        self.assertEqual(len(self.objections(long_tests=())), 1)
        self.assertEqual(len(self.objections({'dma': (True, self.log)})), 1)
        self.assertEqual(len(self.objections({'dma': (False, self.log),
                                              'frozen': (True, self.log)})), 1)

    def test_texts(self):
        """A result that is missing, skipped or failed is no proof."""
        for text in ('other', 'third', 'nowhere'):
            self.write(self.table, TABLE.replace('map is refused', text))
            self.assertEqual(len(self.objections()), 1, text)

    def test_table(self):
        """A table without rows, and rows that are none."""
        self.write(self.table, 'nothing\n')
        self.assertEqual(len(self.objections()), 1)
        self.write(self.table, TABLE + '| a | b | c |\n')
        with self.assertRaises(contract.ContractError):
            self.objections()
        for proof in ('dma', '`dma`, `frozen`', '`dma: a`, `frozen: b`', '`dma: `'):
            self.write(self.table, TABLE + f'| a | b | c | {proof} |\n')
            with self.assertRaises(contract.ContractError, msg=proof):
                self.objections()

    def test_rows_name_existing_tests(self):
        """The contract itself is a table, and every name is a scenario or a test program."""
        names = set(scenario.load()) | {row[0] for row in runner.scripts()}
        self.assertEqual([row for row in contract.rows() if row[4] not in names], [])
