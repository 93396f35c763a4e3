# SPDX-License-Identifier: GPL-2.0-only
"""Checks docs/contract.md against a test run: every row names the test that proves it.

A row of the table is `| operation | state | result | test |`. The last cell is either
`TEST`, the name of a scenario or of a test program as `tests/run --list` prints it: the row is
proven by the test as a whole; or `TEST: TEXT`, where TEXT is the text of one of its results.
"""
import os
import re

from harness import scenario

PATH = os.path.join(scenario.TOP, 'docs/contract.md')
LINE = re.compile(r'\|(.*)\|\s*$')
PROOF = re.compile(r'`([\w-]+)(?:: ([^`]+))?`')
OK = re.compile(r'(not )?ok \d+ (?:- )?(.*)$')
SKIP = re.compile(r'\s*#\s*SKIP\b.*', re.I)


class ContractError(Exception):
    """The table is not one."""


def rows(path=PATH):
    """Return [(line number, operation, state, result, test, text or None)]."""
    found = []
    with open(path, encoding='utf-8') as handle:
        for number, line in enumerate(handle, 1):
            match = LINE.match(line)
            if not match:
                continue
            cells = [cell.strip() for cell in match[1].split('|')]
            if cells[0] in ('operation', '') or set(cells[0]) <= set('-: '):
                continue
            if len(cells) != 4 or not all(cells):
                raise ContractError(f'{path}:{number}: a row has four cells, none empty')
            proof = PROOF.fullmatch(cells[3])
            if not proof:
                raise ContractError(f'{path}:{number}: a row names one test: {cells[3]}')
            found.append((number, *cells[:3], proof[1], proof[2]))
    return found


def results(path):
    """Return {text: passed} of a KTAP log; a text that failed once has failed."""
    found = {}
    try:
        with open(path, encoding='utf-8', errors='replace') as log:
            lines = log.read().splitlines()
    except OSError:
        return found
    for line in lines:
        match = OK.match(line.strip())
        if match:
            text = SKIP.sub('', match[2]).strip()
            good = not match[1] and not SKIP.search(match[2])
            found[text] = good and found.get(text, True)
    return found


def objections(tests, long_tests, path=PATH):
    """Return what is wrong; tests maps each name that ran to (passed, path of its KTAP log).

    Rows of tests in long_tests that did not run are left to the long run.
    """
    found, logs = [], {}
    table = rows(path)
    for number, operation, _, _, test, text in table:
        where = f'line {number} ({operation}): '
        if test not in tests:
            if test not in long_tests:
                found.append(where + f'its test {test!r} did not run')
            continue
        passed, log = tests[test]
        if not passed:
            found.append(where + f'its test {test!r} did not pass')
        elif text is not None:
            logs.setdefault(test, results(log))
            if text not in logs[test]:
                found.append(where + f'{test!r} has no result {text!r}')
            elif not logs[test][text]:
                found.append(where + f'{test}: {text!r} was skipped or failed')
    return found if table else ['the table has no rows']
