# SPDX-License-Identifier: GPL-2.0-only
"""Runs all tests: the harness's own unit tests, every tests/*/run script, every scenario.

A test that tests/required.list names fails when it is missing, and when it is skipped although
QEMU has everything (>= 11.1). Scenarios run one after the other: frames need a quiet host. Those
without frames run beside the test programs.
"""
import argparse
import glob
import os
import re
import signal
import subprocess
import sys
import time

from harness import commands, contract, qemu, report, scenario

TESTS = os.path.join(scenario.TOP, 'tests')
LOGS = os.path.join(scenario.BUILD, 'test')
OWN = ('e2e', 'harness')
FRAMES = ('demo', 'harness')           # test programs that send frames
LIMIT = 3600
SKIP_LINE = re.compile(r'(?:not )?ok \d+ .*#\s*SKIP\s*(.*)', re.I)


def required():
    """Return the names in tests/required.list."""
    with open(os.path.join(TESTS, 'required.list'), encoding='utf-8') as handle:
        lines = (line.split('#')[0].strip() for line in handle)
        return [line for line in lines if line]


def run_script(name, argv, environment=None):
    """Run one test program; return (result, seconds, why)."""
    os.makedirs(LOGS, exist_ok=True)
    path = os.path.join(LOGS, f'{name}.log')
    began = time.monotonic()
    with open(path, 'wb') as log:
        # pylint: disable=consider-using-with
        process = subprocess.Popen(argv, cwd=scenario.TOP, stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=subprocess.STDOUT, start_new_session=True,
                                   env={**os.environ, **(environment or {})})
        try:
            code = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            code = f'not finished within {LIMIT} s'
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    seconds = time.monotonic() - began
    with open(path, encoding='utf-8', errors='replace') as log:
        lines = log.read().splitlines()
    return (*judge_script(code, lines, os.path.relpath(path)), seconds)


def told(lines, bad):
    """Return a result line with the last two of the comments that lead to it."""
    first = at = lines.index(bad)
    while first and at - first < 2 and lines[first - 1].startswith('# '):
        first -= 1
    text = '; '.join([bad, *(line[2:202] for line in lines[first:at])])
    return ''.join(c if c.isprintable() else '?' for c in text)


def judge_script(code, lines, path):
    """Return (result, why) of a test program from its exit code and its KTAP output."""
    bad = [line for line in lines if line.startswith('not ok') and not SKIP_LINE.match(line)]
    skipped = [m[1] for m in map(SKIP_LINE.match, lines) if m]
    good = [line for line in lines if line.startswith('ok ') and not SKIP_LINE.match(line)]
    plan = next((int(m[1]) for m in (re.match(r'1\.\.(\d+)$', x) for x in lines) if m), None)
    if code == scenario.SKIP or (code == 0 and skipped and not good and not bad):
        return scenario.SKIP, skipped[0] if skipped else f'see {path}'
    if code != 0 or bad:
        return scenario.FAIL, f'{told(lines, bad[0]) if bad else f"exit {code}"}; see {path}'
    if plan is not None and plan != len(good) + len(skipped):
        return scenario.FAIL, f'{len(good) + len(skipped)} results of a plan of {plan}; see {path}'
    return scenario.PASS, f'{len(skipped)} parts skipped: {skipped[0]}' if skipped else ''


def scripts():
    """Return [(name, argv, environment)] of all test programs that are not scenarios."""
    found = [('harness', [sys.executable, '-B', '-m', 'unittest', 'discover', '-s',
                          'tests/harness'], {'PYTHONPATH': scenario.TOP})]
    for path in sorted(glob.glob(os.path.join(TESTS, '*/run'))):
        name = os.path.basename(os.path.dirname(path))
        if name not in OWN and os.access(path, os.X_OK):
            found.append((name, [path], None))
    return found


class Session:
    """All results so far."""

    def __init__(self, program):
        self.program = program
        self.required = set(required())
        self.rows = []

    def add(self, name, result, seconds, why, folder=''):
        """Record and print one result."""
        if result == scenario.SKIP and name in self.required and self.program.full_coverage():
            result, why = scenario.FAIL, f'required, but skipped: {why}'
        self.rows.append((name, result, seconds, why, folder))
        print(report.line(name, result, seconds, why), flush=True)

    def missing(self):
        """Fail for each required test that does not exist."""
        names = {row[0] for row in self.rows}
        for name in sorted(self.required - names):
            self.add(name, scenario.FAIL, 0.0, 'required, but there is no such test')

    def contract(self, long_tests):
        """Hold docs/contract.md against what was run."""
        began = time.monotonic()
        ran = {name: (result == scenario.PASS, os.path.join(folder, 'verdict.ktap') if folder
                      else os.path.join(LOGS, f'{name}.log'))
               for name, result, _, _, folder in self.rows}
        try:
            found = contract.objections(ran, long_tests)
        except (OSError, contract.ContractError) as error:
            found = [str(error)]
        self.add('contract', scenario.FAIL if found else scenario.PASS,
                 time.monotonic() - began, f'{len(found)} rows without proof' if found else '')
        print(''.join(f'    {text}\n' for text in found), end='', flush=True)

    def scenarios(self, chosen, settings):
        """Run scenarios, one after the other."""
        for item in chosen:
            result, seconds, why, run = commands.run_one(item, self.program, settings)
            self.add(item.name, result, seconds, why, run.folder)
            if run.ended:
                commands.drop(os.path.join(run.folder, 'initramfs.cpio.gz'))
                if result == scenario.FAIL:
                    print('\n'.join([*report.objections(run)[:8],
                                     f'    {os.path.relpath(run.folder)}']), flush=True)


class Beside:
    """The scenarios without frames, in a process of their own."""

    def __init__(self, chosen, arguments):
        self.names = [item.name for item in chosen if not item.rate]
        self.path = os.path.join(LOGS, 'results-beside.json')
        commands.drop(self.path)
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            [sys.executable, '-B', os.path.join(TESTS, 'run'), '--beside', *arguments],
            stdin=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()

    def rows(self):
        """Wait for the end and return a row for each scenario."""
        code = self.process.wait()
        found = report.read_results(self.path) if os.path.exists(self.path) else []
        lost = set(self.names) - {row[0] for row in found}
        return found + [(name, scenario.FAIL, 0.0, f'no result; the process beside ended with '
                         f'exit code {code}', '') for name in sorted(lost)]


def parser():
    """Return the parser of tests/run."""
    options = argparse.ArgumentParser(prog='tests/run', description=__doc__)
    options.add_argument('name', nargs='*', help='only these tests (prefixes); default: all')
    options.add_argument('--list', action='store_true', help='list the tests and exit')
    options.add_argument('--long', action='store_true',
                         help='with the scenarios of make test-long')
    options.add_argument('--beside', action='store_true', help=argparse.SUPPRESS)
    commands.common(options)
    options.add_argument('--patience', type=float, default=1.0, metavar='X',
                         help='multiply every time limit of a scenario')
    return options


def run_chosen(session, programs, chosen, options):
    """Run test programs, then scenarios."""
    for name, argv, environment in programs:
        result, why, seconds = run_script(name, argv, environment)
        session.add(name, result, seconds, why)
    settings = {'accel': options.accel, 'kernels': commands.pairs(options.kernel),
                'patience': options.patience, 'same_kernel_ok': bool(options.kernel)}
    session.scenarios(chosen, settings)


def run_all(session, programs, chosen, options, arguments):
    """Run everything: first what needs no quiet host, two at a time."""
    with Beside(chosen, arguments) as beside:
        run_chosen(session, [p for p in programs if p[0] not in FRAMES], [], options)
        session.rows += beside.rows()
    run_chosen(session, [p for p in programs if p[0] in FRAMES],
               [s for s in chosen if s.rate], options)
    session.contract({n for n, s in scenario.load().items() if s.long})
    session.missing()


def run_tests(arguments):
    """Run the tests that are asked for."""
    options = parser().parse_args(arguments)

    def wanted(name):
        return not options.name or any(name.startswith(n) for n in options.name)

    programs = [row for row in scripts() if wanted(row[0])]
    chosen = [s for n, s in scenario.load().items()
              if wanted(n) and (not s.long or options.long or options.name)]
    if options.list:
        print('\n'.join([row[0] for row in programs] + [s.name for s in chosen]))
        return 0
    session = Session(qemu.find(options.qemu))
    if options.beside:
        run_chosen(session, [], [s for s in chosen if not s.rate], options)
        report.write_results(os.path.join(LOGS, 'results-beside.json'), session.rows)
        return 0
    version = '.'.join(map(str, session.program.version))
    print(f'QEMU {version} ({session.program.origin})' + (
        '' if session.program.full_coverage() else f': reduced coverage; {qemu.HOW}'), flush=True)
    if options.name:
        run_chosen(session, programs, chosen, options)
    else:
        run_all(session, programs, chosen, options, arguments)
    report.write_results(os.path.join(LOGS, 'results.json'), session.rows)
    results = [row[1] for row in session.rows]
    print(''.join(f'{text}\n' for text in report.failures(session.rows)), end='')
    print(report.totals(results))
    return 1 if scenario.FAIL in results or not results else 0


def main(arguments):
    """Run ./tests/run."""
    return commands.as_program('tests', run_tests, arguments)
