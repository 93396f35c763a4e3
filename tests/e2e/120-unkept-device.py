# SPDX-License-Identifier: GPL-2.0-only
"""A device that is not kept is blocked from the prune on, until its own driver maps again.

The device is QEMU's iommu-testdev: the host makes it do DMA whenever it likes, over qtest, and
bus mastering does not stop it. Its old IOVA equals a physical address, which holds a canary: were
translation off or bypassed, the canary would change.
"""
import threading
import time

from harness import trace
from harness.ports import PortError
from harness.scenario import FRAME_JUDGES, Scenario, broken

BDF = '00:06.0'
TRIGGER, IOVA_LOW, IOVA_HIGH, LENGTH, RESULT, ARM, GPA_LOW, GPA_HIGH = (
    0x00, 0x04, 0x08, 0x0c, 0x10, 0x14, 0x1c, 0x20)
PATTERN = 0x12345678
FAILED = 0xdead0002
CANARY = 0x5ca1ab1e


class Poker:
    """Makes the test device write to one IOVA again and again, and keeps the results."""

    def __init__(self, qtest, iova, target):
        self.qtest = qtest
        self.iova = iova
        self.target = target
        self.bar = qtest.readl(qtest.ecam(BDF, 0x10)) & ~0xf
        self.results = []                   # (time it began, result, canary is whole)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def access(self):
        """Let the device write once; return its result register."""
        qtest, bar = self.qtest, self.bar
        if not qtest.readl(qtest.ecam(BDF, 4)) & 2:
            return None                     # memory decoding is off (BAR sizing)
        for register, value in ((IOVA_LOW, self.iova & 0xffffffff), (IOVA_HIGH, self.iova >> 32),
                                (GPA_LOW, self.target & 0xffffffff),
                                (GPA_HIGH, self.target >> 32), (LENGTH, 4), (ARM, 1)):
            qtest.writel(bar + register, value)
        qtest.readl(bar + TRIGGER)
        return qtest.readl(bar + RESULT)

    def _run(self):
        while not self.stopping.is_set():
            try:
                self.qtest.writel(self.target, CANARY)
                began = time.time()
                result = self.access()
                whole = self.qtest.readl(self.target) == CANARY
                self.results.append((began, result, whole))
            except PortError:
                return
            self.stopping.wait(0.005)

    def stop(self):
        """End the thread."""
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join(25)


def number(run, key):
    """Return a figure the guest printed."""
    return int(run.verdict.info()[key], 16)


def at_preserved(run):
    """Begin to poke the old IOVA; it works in the old kernel."""
    run.poker = Poker(run.machine.qtest, number(run, 'testdev_iova'), number(run, 'testdev_pa'))
    run.poker.thread.start()
    time.sleep(0.2)


def at_finished(run):
    """The old IOVA has been poked long enough."""
    run.poker.stop()


def at_testdev(run):
    """The new kernel's driver has mapped a page: now it must work."""
    poker = Poker(run.machine.qtest, number(run, 'testdev_iova2'), number(run, 'testdev_pa2'))
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
