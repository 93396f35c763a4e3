# SPDX-License-Identifier: GPL-2.0-only
"""A VMM that is written with libferry: a new process that knows a name gets everything back."""
from dataclasses import replace

from harness.scenario import FRAME_JUDGES, Scenario

LEGACY = Scenario(
    name='lib-legacy', test='lib', rate=2000, judges=FRAME_JUDGES,
    summary='libferry: memory, mappings, device and bytes come back by the name of a session')

SCENARIOS = [
    LEGACY,
    replace(LEGACY, name='lib-fs-passed', iommu='scalable-fs', topology='rp',
            options={'passed': 1},
            summary='libferry: the session is made, and retrieved, by another process'),
    replace(LEGACY, name='negative-lib-less', options={'spoil': 1}, must_fail=('verdict',),
            summary='control: the card is left out of the session, which must be noticed'),
]
