# SPDX-License-Identifier: GPL-2.0-only
"""A live update that does not take place: it is as if nobody had begun one."""
from dataclasses import replace

from harness import trace
from harness.scenario import Scenario, broken

SECOND = ('-device', 'igb,bus=pcie.0,addr=06.0')
JUDGES = ('verdict', 'console', 'translation', 'faults')


def never_faulted(run):
    """Nor did the device fault when its users were killed: it was stopped before it was blocked."""
    seen = trace.faults(trace.within(run.events, run.marks.get('ready', 0), run.ended), [run.bdf])
    return [f'{len(seen)} DMA faults in all'] if seen else []


OUT = Scenario(
    name='back-out', test='back-out', kernels=('break', 'new'), stages=1, rate=2000,
    judges=JUDGES, kept_until='closing', extra=SECOND, check=never_faulted, timeout=60,
    options={'timeout': 5000},
    append='vfio_pci.disable_idle_d3=1 liveupdate_delay=frozen:300',
    summary='called off in every way before the jump: DMA, interrupts and changes go on')

SCENARIOS = [
    OUT,
    replace(OUT, name='back-out-thousand', options={'timeout': 5000, 'cycles': 1000}, timeout=120,
            long=True, summary='the same, with a thousand live updates that are called off'),
    broken(OUT, 'kick', ('verdict',)),
]
