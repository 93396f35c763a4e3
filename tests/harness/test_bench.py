# SPDX-License-Identifier: GPL-2.0-only
"""The law of scripts/bench: it finds what it is told, and objects to what it must not pass."""
import csv
import os
import shutil
import statistics
import subprocess
import tempfile
import unittest
import unittest.mock

from harness import bench, benchdoc, scenario

BENCH = os.path.join(scenario.TOP, 'scripts/bench')
DOCS = os.path.join(scenario.TOP, 'docs')
FIXTURE = os.path.join(scenario.TOP, 'tests/harness/bench.csv')
CASES = (('1M', '4K', '1M'), ('1G', '4K', '64M'), ('4G', '4K', '64M'), ('64G', '4K', '64M'),
         ('16G', '2M', '64M'), ('64G', '2M', '64M'), ('256M', '4K', '4M'))


def cases(cost):
    """Return cases whose only figure is computed from their terms."""
    made = []
    for iova, page, chunk in CASES:
        case = bench.Case(iova, page=page, chunk=chunk)
        case.figures = {'it': cost(case.terms())}
        made.append(case)
    return made


def plain(terms):
    """A cost that is as it should be."""
    return 200000 + 900 * terms['tables'] + 3000 * terms['areas']


class Law(unittest.TestCase):
    """The fit and its two checks."""

    def test_what_is_put_in_comes_out(self):
        """The slopes of an exact law are found."""
        law = bench.law('it', ('tables', 'areas'), cases(plain))
        self.assertEqual(law.objections, [])
        self.assertAlmostEqual(law.slopes['tables'], 900, 3)
        self.assertAlmostEqual(law.slopes['areas'], 3000, 3)
        self.assertAlmostEqual(law.constant, 200000, 0)

    def test_quadratic_growth_is_refused(self):
        """A term in the square of the table pages is objected to."""
        law = bench.law('it', ('tables', 'areas'),
                        cases(lambda t: plain(t) + 0.1 * t['tables'] ** 2))
        self.assertTrue(any('not linear' in text for text in law.objections))

    def test_growth_with_address_space_is_refused(self):
        """A term in the size of what is mapped is objected to, however few its tables."""
        law = bench.law('it', ('tables',), cases(lambda t: 200000 + 900 * t['tables']
                                                 + 1000000 * t['gib']))
        self.assertTrue(any('size of the address space' in text for text in law.objections))

    def test_too_few_cases_say_nothing(self):
        """Without enough cases nothing is taken for proven."""
        law = bench.law('it', ('tables', 'areas'), cases(plain)[:2])
        self.assertTrue(law.objections)

    def test_smoke_sees_a_bend(self):
        """The short test objects to three cases that are not on a line."""
        bent = []
        for iova, value in (('64M', 10e6), ('1G', 20e6), ('2G', 60e6)):
            case = bench.Case(iova)
            case.figures = {cost: value for cost in bench.SMOKE_COSTS}
            bent.append(case)
        self.assertTrue(all(law.objections for law in bench.smoke(bent)))


class Results(unittest.TestCase):
    """A run that was measured, as scripts/bench reads it back, whole and spoiled."""

    def setUp(self):
        """Read it."""
        with open(FIXTURE, newline='', encoding='utf-8') as source:
            self.rows = list(csv.DictReader(source))
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def row(self, name):
        """Return the row of a case on the machine that counts instructions."""
        return next(r for r in self.rows if r['case'] == name and r['clock'] == 'instructions')

    def check(self, *more):
        """Return the exit status of scripts/bench on the rows, and what it said."""
        path = os.path.join(self.folder, 'spoiled.csv')
        with open(path, 'w', newline='', encoding='utf-8') as out:
            writer = csv.DictWriter(out, list(self.rows[0]))
            writer.writeheader()
            writer.writerows(self.rows)
        done = subprocess.run([BENCH, '--check', '--results', path, *more], check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def test_as_measured(self):
        """Nothing is objected to, nor to the same run a second time."""
        self.assertEqual(self.check('--compare', FIXTURE)[0], 0)

    def test_growth_that_is_not_linear_is_refused(self):
        """A reservation that costs three times as much for the most table pages is found."""
        row = self.row('64G-4K-folio2M')
        row['early_us'] = 3 * int(row['early_us'])
        code, said = self.check()
        self.assertEqual(code, 1)
        self.assertIn('early_us is not linear', said)

    def test_other_figures_than_last_time_are_refused(self):
        """A tenth more than in the run compared with is found, where the law does not see it."""
        for row in self.rows:
            if row['preserve_iommufd']:
                row['preserve_iommufd'] = int(int(row['preserve_iommufd']) * 1.1)
        self.assertEqual(self.check()[0], 0)
        code, said = self.check('--compare', FIXTURE)
        self.assertEqual(code, 1)
        self.assertIn('64G-4K-folio2M: preserve_iommufd is', said)

    def test_a_case_that_was_not_run_is_refused(self):
        """What cannot be compared does not agree."""
        self.rows.append({**self.row('1G-4K-folio2M'), 'iova': '2G'})
        self.assertIn('2G-4K-folio2M was not run', self.check('--compare', FIXTURE)[1])

    def test_page_is_written(self):
        """Each block of the page is filled, and what people wrote stays."""
        shutil.copy(os.path.join(DOCS, 'performance.md'), self.folder)
        with unittest.mock.patch('harness.benchdoc.plot'):
            benchdoc.write(self.rows, self.folder, statistics.median)
        with open(os.path.join(self.folder, 'performance.md'), encoding='utf-8') as page:
            text = page.read()
        self.assertNotRegex(text, r'<!-- bench: \w+ -->\n<!-- bench end -->')
        self.assertIn('## What was tried', text)


class Tables(unittest.TestCase):
    """How many table pages there are."""

    def test_counted(self):
        """As QEMU's guest counts them with four levels."""
        self.assertEqual(bench.Case('1M').tables(), 4)
        self.assertEqual(bench.Case('1G').tables(), 517)
        self.assertEqual(bench.Case('4G').tables(), 2056)
        self.assertEqual(bench.Case('1G', page='2M').tables(), 3)


if __name__ == '__main__':
    unittest.main()
