# SPDX-License-Identifier: GPL-2.0-only
"""A device that is not kept is blocked from the prune on, until its own driver maps again.

The device is QEMU's iommu-testdev: the host makes it do DMA whenever it likes, over qtest, and
bus mastering does not stop it. Its old IOVA equals a physical address, which holds a canary: were
translation off or bypassed, the canary would change.
"""
import time

from harness import trace
from harness.poker import FAILED, Poker
from harness.scenario import FRAME_JUDGES, Scenario, broken

BDF = '00:06.0'


def number(run, key):
    """Return a figure the guest printed."""
    return int(run.verdict.info()[key], 16)


def at_preserved(run):
    """Begin to poke the old IOVA; it works in the old kernel."""
    run.poker = Poker(run.machine.qtest, BDF, number(run, 'testdev_iova'),
                      number(run, 'testdev_pa'))
    run.poker.thread.start()
    time.sleep(0.2)


def at_finished(run):
    """The old IOVA has been poked long enough."""
    run.poker.stop()


def at_testdev(run):
    """The new kernel's driver has mapped a page: now it must work."""
    poker = Poker(run.machine.qtest, BDF, number(run, 'testdev_iova2'), number(run, 'testdev_pa2'))
    run.new_result = poker.access()


def check(run):
    """Judge the results of all accesses."""
    if not hasattr(run, 'poker') or not hasattr(run, 'new_result'):
        return ['the test device was not used']
    jump, booted = run.marks['kexec'], run.marks['booted']
    old = [r for t, r, _ in run.poker.results if t < jump]
    blocked = [(t, r, w) for t, r, w in run.poker.results if r is not None and t > jump]
    through = [t for t, r, w in blocked if r != FAILED]
    run.figures['unkept_accesses'] = len(blocked)
    run.figures['unkept_blocked'] = len(blocked) - len(through)
    found = [] if 0 in old else ['the device\'s own mapping never worked in the old kernel']
    first = next((t for t, r, w in blocked if r == FAILED), None)
    pruned = trace.queue_off(trace.within(run.events, jump, booted))
    if first is None or first > booted:
        found.append('the device was not blocked before the new kernel ran')
    elif pruned is None or any(pruned < t < first for t in through):
        found.append('the device was not blocked when the old kernel had ended')
    else:
        late = [t for t in through if t > first]
        found += [f'{len(late)} accesses went through after the prune'] if late else []
        if not all(w for t, r, w in blocked if t > first):
            found.append('the canary at PA == IOVA was overwritten')
    if run.new_result != 0:
        found.append(f'the new mapping does not work: {run.new_result:#x}')
    return found


UNKEPT = Scenario(
    name='unkept-device', test='dma', options={'testdev': 1}, rate=2000, testdev=True,
    judges=FRAME_JUDGES, check=check, needs=('device:iommu-testdev',),
    at={'preserved': at_preserved, 'finished': at_finished, 'testdev': at_testdev},
    summary='a device that is not kept is blocked, then usable by its own driver')

SCENARIOS = [
    UNKEPT,
    broken(UNKEPT, 'prune', ('check',)),
    broken(UNKEPT, 'scrub,prune', ('check',), ('break', 'break')),
]
