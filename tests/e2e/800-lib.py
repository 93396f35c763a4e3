# SPDX-License-Identifier: GPL-2.0-only
"""A VMM that is written with libferry: a new process that knows a name gets everything back."""
import struct
from dataclasses import replace

from harness import abandoned, handover
from harness.scenario import FRAME_JUDGES, Scenario, with_command


def check(run):
    """What `ferry status` has printed on the console names the session and the process."""
    with open(run.machine.path('console.log'), encoding='utf-8', errors='replace') as log:
        lines = [line.split() for line in log]
    return [] if ['1', 'init', 'vm0'] in lines else ['ferry status did not name the session']


LEGACY = Scenario(
    name='lib-legacy', test='lib', rate=2000, judges=FRAME_JUDGES, files=with_command, check=check,
    summary='libferry: memory, mappings, device and bytes come back by the name of a session')


def directories(memory):
    """Return the addresses of the directories of sessions."""
    return memory.pages(b'FERRYDIR', lambda p: struct.unpack_from('<II', p, 8) == (1, 128))


SCENARIOS = [
    LEGACY,
    replace(LEGACY, name='lib-damaged', options={'damaged': 1}, kept_until='retrieved',
            judges=('verdict', 'console', 'handover', 'translation', 'faults', 'resets'),
            at={'kexec': handover.between(handover.field(directories, 192, '<B', ord('X'))),
                'abandoned': abandoned.at_abandoned}, check=abandoned.check,
            summary='libferry: the directory of a session is damaged: refused, then abandoned'),
    replace(LEGACY, name='lib-fs-passed', iommu='scalable-fs', topology='rp',
            options={'passed': 1},
            summary='libferry: the session is made, and retrieved, by another process'),
    replace(LEGACY, name='lib-agent', options={'agent': 1}, check=None,
            summary='libferry: the agent holds the session for a process that comes later'),
    replace(LEGACY, name='negative-lib-less', options={'spoil': 1}, must_fail=('verdict',),
            summary='control: the card is left out of the session, which must be noticed'),
]
