# SPDX-License-Identifier: GPL-2.0-only
"""The runner: what counts as passed, and that the required list is complete."""
import contextlib
import io
import os
import tempfile
import unittest
from unittest import mock

from harness import report, runner, scenario


class Program:
    """A QEMU that can do everything, or not."""

    def __init__(self, full):
        self.full = full

    def full_coverage(self):
        """Tell whether nothing may be skipped."""
        return self.full


class Scripts(unittest.TestCase):
    """Test programs with KTAP output."""

    def test_judgement(self):
        """Exit code, results and plan have to agree."""
        good = ['KTAP version 1', '1..2', 'ok 1 - a', 'ok 2 - b']
        skip = ['1..1', 'ok 1 - a # SKIP no sparse']
        for expected, code, lines in (
                (0, 0, good), (0, 0, []), (1, 1, good), (1, 0, good[:3]),
                (1, 0, ['1..1', 'not ok 1 - a']), (77, 0, skip), (77, 77, []), (1, 1, skip),
                (1, 'not finished', good), (0, 0, ['1..2', 'ok 1 - a', 'ok 2 - b # SKIP x'])):
            with self.subTest(code=code, lines=lines):
                self.assertEqual(runner.judge_script(code, lines, 'log')[0], expected)

    def test_reason(self):
        """What a program said just before it failed goes with its result."""
        lines = ['1..2', '# of the first', 'ok 1 - a', '# x', '# not finished', '# after 5 s',
                 'not ok 2 - b']
        self.assertEqual(runner.judge_script(1, lines, 'log')[1],
                         'not ok 2 - b; not finished; after 5 s; see log')
        self.assertEqual(runner.judge_script(1, ['1..1', 'not ok 1 - a'], 'log')[1],
                         'not ok 1 - a; see log')
        self.assertEqual(runner.judge_script(1, ['1..1', '# \x1b[2J' + 'x' * 500, 'not ok 1 - a'],
                                             'log')[1],
                         'not ok 1 - a; ?[2J' + 'x' * 196 + '; see log')


class Required(unittest.TestCase):
    """tests/required.list."""

    def session(self, full, rows):
        """Return the results of a session with these rows."""
        with contextlib.redirect_stdout(io.StringIO()):
            session = runner.Session(Program(full))
            session.required = {'must'}
            for name, result in rows:
                session.add(name, result, 0.0, '')
            session.missing()
        return [row[1] for row in session.rows]

    def test_skipped(self):
        """A required test may be skipped on an old QEMU only."""
        self.assertEqual(self.session(True, [('must', 77), ('may', 77)]), [1, 77])
        self.assertEqual(self.session(False, [('must', 77)]), [77])

    def test_missing(self):
        """A required test that does not exist fails."""
        self.assertEqual(self.session(True, [('may', 0)]), [0, 1])

    def test_list_names_existing_tests(self):
        """Every name is a scenario or a test program."""
        names = set(scenario.load()) | {row[0] for row in runner.scripts()} | {'contract'}
        self.assertEqual(sorted(set(runner.required()) - names), [])

    def beside(self, program):
        """Return [(name, result)] of a process beside that is this program."""
        some = [scenario.Scenario('still', '', ''), scenario.Scenario('other', '', ''),
                scenario.Scenario('frames', '', '', rate=1)]
        with tempfile.TemporaryDirectory(prefix='ferry-') as folder, \
                mock.patch.multiple(runner, TESTS=folder, LOGS=folder):
            with open(os.path.join(folder, 'run'), 'w', encoding='utf-8') as out:
                out.write(program)
            with runner.Beside(some, [folder]) as beside:
                return sorted(row[:2] for row in beside.rows())

    def test_beside(self):
        """What the process beside does not answer for has failed."""
        rows = "[('still', 0, 1.0, '', '')]"
        writes = ('import os, sys\nfrom harness import report\n'
                  'path = os.path.join(sys.argv[-1], "results-beside.json")\n'
                  f'report.write_results(path, {rows})\n')
        with mock.patch.dict(os.environ, PYTHONPATH=scenario.TOP):
            self.assertEqual(self.beside(writes), [('other', 1), ('still', 0)])
            self.assertEqual(self.beside('raise SystemExit(3)'), [('other', 1), ('still', 1)])

    def test_failures(self):
        """They are said once more, where the eye is."""
        rows = [('a', 0, 1.0, '', ''), ('b', 1, 2.0, 'bad', os.path.abspath('run')),
                ('c', 77, 0.0, 'no', '')]
        self.assertEqual(report.failures(rows),
                         ['', 'failed:', report.line('b', 1, 2.0, 'bad'), '    run'])
        self.assertEqual(report.failures(rows[::2]), [])

    def test_totals(self):
        """The last line."""
        self.assertEqual(report.totals([0, 0, 1]), '2 passed, 1 failed')
        self.assertEqual(report.totals([0, 77]), '1 passed, 0 failed, 1 skipped')


if __name__ == '__main__':
    unittest.main()
