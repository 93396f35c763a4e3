# SPDX-License-Identifier: GPL-2.0-only
"""iommufd's own selftests on what went through a live update: the program, and its judge.

A copy of the base's selftests is built in which each fixture, once it is set up, is exchanged for
one that was preserved, went through a kexec and was retrieved (exchange.h); the tests and what
they assert are untouched. The copy of the harness calls the exchange and has more patience.
Every test passes, but for those in `not-kept` and `expected-failures`: exactly these have to be
skipped, for the reason that is given there, or have to fail.
"""
import fnmatch
import re
import shutil
import subprocess
from pathlib import Path

from harness.judges import Missing

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / 'build'
OUT = BUILD / 'selftests-kept'
KST = BUILD / 'linux' / 'tools' / 'testing' / 'selftests'
SETUP = re.compile(r'(fixture_name##_setup\(_metadata, self, variant->data\); \\\n)')
RESULT = re.compile(r'# out (?:# )?\s*(ok|not ok) \d+ (\S+)(?: # SKIP (.*))?$')


def copy_sources():
    """Return the folder with the copied sources; only the harness is another."""
    root = OUT / 'src'
    shutil.rmtree(root, ignore_errors=True)
    copy = root / 'tools' / 'testing' / 'selftests'
    copy.mkdir(parents=True)
    (root / 'drivers').symlink_to(BUILD / 'linux' / 'drivers')
    shutil.copytree(KST / 'iommu', copy / 'iommu')
    shutil.copy(HERE / 'exchange.h', copy / 'iommu')
    for header in KST.glob('*.h'):
        shutil.copy(header, copy)
    harness = copy / 'kselftest_harness.h'
    text = re.sub(r'(#define TEST_TIMEOUT_DEFAULT) 30\b', r'\1 600', harness.read_text())
    text, count = SETUP.subn(r'\1\t\t\tLU_EXCHANGE(#fixture_name, variant->name, #test_name); \\'
                             '\n', text)
    if count != 1:
        raise OSError('the selftest harness is not as it was: no place for the exchange')
    harness.write_text(text)
    return copy


def program(_run):
    """Return the program, for the archive of the guest."""
    copy = copy_sources()
    target = OUT / 'iommufd'
    command = ['gcc', '-static', '-O2', '-D_GNU_SOURCE', '-isystem', BUILD / 'headers/include',
               '-I', copy, '-include', copy / 'iommu/exchange.h', '-o', target,
               copy / 'iommu/iommufd.c', '-lcap']
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    if done.returncode:
        raise OSError(f'the selftests cannot be built:\n{done.stdout[-2000:]}')
    return [('bin/iommufd', target.read_bytes())]


def listed(name):
    """Return [(pattern, rest of the line)] of a list."""
    found = []
    for line in (HERE / name).read_text().splitlines():
        words = line.split('#')[0].split(maxsplit=2)
        if words and words[0] == 'iommufd':
            found.append((words[1], words[2] if len(words) > 2 else ''))
    return found


def results(run):
    """Return [{test: (ok or not ok, reason of a skip)}] of the two stages."""
    stages = []
    path = Path(run.folder) / 'verdict.ktap'
    for line in path.read_text(errors='replace').splitlines():
        m = RESULT.match(line)
        if line.startswith('KTAP version'):
            stages.append({})
        elif m and stages:
            stages[-1][m.group(2)] = (m.group(1), m.group(3))
    return (stages + [{}, {}])[:2]


def judge(run):
    """Return what is not as the lists say."""
    old, new = results(run)
    wanted = run.scenario.options['tests']
    found = [] if len(old) == len(new) == wanted else [
        Missing(f'{len(old)} and {len(new)} tests ran, not {wanted}')]
    kept = listed('not-kept')
    fails = [test for test, _ in listed('expected-failures')]
    run.figures['kept'] = run.figures['not_kept'] = 0
    for test in sorted(set(old) | set(new)):
        before, after = old.get(test, ('none', None)), new.get(test, ('none', None))
        reason = next((r for pattern, r in kept if fnmatch.fnmatchcase(test, pattern)), None)
        if reason:
            run.figures['not_kept'] += 1
            if before != ('ok', reason) or after[0] != 'ok' or not after[1]:
                found.append(f'{test}: {before} and {after}, to be skipped: {reason}')
            continue
        run.figures['kept'] += 1
        result = 'not ok' if test in fails else 'ok'
        if before != ('ok', 'preserved') or after != (result, None):
            found.append(f'{test}: {before} and {after}')
    return found
