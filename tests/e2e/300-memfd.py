# SPDX-License-Identifier: GPL-2.0-only
"""Memory alone: a memfd survives, and a session with something unknown in it still opens."""
from harness.scenario import Scenario

JUDGES = ('verdict', 'console', 'handover')

SCENARIOS = [
    Scenario(name='memfd-64m', test='memfd', options={'size': '64M'}, judges=JUDGES,
             topology='none', summary='64 MiB in a memfd survive the kexec, byte for byte'),
    Scenario(name='unknown-file-type', test='unknown-file', judges=JUDGES, topology='none',
             summary='a session with a file type the new kernel lacks still opens'),
    Scenario(name='kho-boot-twice', test='memfd', options={'size': '16M', 'hops': 2},
             kernels=('old', 'new', 'old'), judges=JUDGES, topology='none',
             summary='two updates in a row, old -> new -> old'),
]
