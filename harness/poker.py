# SPDX-License-Identifier: GPL-2.0-only
"""Accesses from outside while the guest runs, whatever it does.

QEMU's iommu-testdev does DMA when the host tells it to, whatever the guest or the device's own bus
mastering say. A reader reads a register of a device as another device would: through the windows
of the bridges above it, and only where the device decodes its BAR.
"""
import threading
import time

from harness.ports import PortError

TRIGGER, IOVA_LOW, IOVA_HIGH, LENGTH, RESULT, ARM, GPA_LOW, GPA_HIGH = (
    0x00, 0x04, 0x08, 0x0c, 0x10, 0x14, 0x1c, 0x20)
FAILED = 0xdead0002
CANARY = 0x5ca1ab1e


class Poker:
    """Makes the test device write to one IOVA again and again, and keeps the results."""

    def __init__(self, qtest, bdf, iova, target=None):
        self.qtest = qtest
        self.bdf = bdf
        self.iova = iova
        self.target = target                # where the canary is, if there is one
        self.bar = qtest.readl(qtest.ecam(bdf, 0x10)) & ~0xf
        self.results = []                   # (time it began, result, canary is whole)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def access(self):
        """Let the device write once; return its result register."""
        qtest, bar, target = self.qtest, self.bar, self.target or 0
        if not qtest.readl(qtest.ecam(self.bdf, 4)) & 2:
            return None                     # memory decoding is off (BAR sizing)
        for register, value in ((IOVA_LOW, self.iova & 0xffffffff), (IOVA_HIGH, self.iova >> 32),
                                (GPA_LOW, target & 0xffffffff),
                                (GPA_HIGH, target >> 32), (LENGTH, 4), (ARM, 1)):
            qtest.writel(bar + register, value)
        qtest.readl(bar + TRIGGER)
        return qtest.readl(bar + RESULT)

    def _run(self):
        while not self.stopping.is_set():
            try:
                if self.target is not None:
                    self.qtest.writel(self.target, CANARY)
                began = time.time()
                result = self.access()
                whole = self.target is None or self.qtest.readl(self.target) == CANARY
                self.results.append((began, result, whole))
            except PortError:
                return
            self.stopping.wait(0.005)

    def stop(self):
        """End the thread."""
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join(25)


class Reader:
    """Reads a register that does not change, of BAR 0 of a device, again and again."""

    PERIOD = 0.001

    def __init__(self, qtest, bdf, register):
        self.qtest = qtest
        self.address = (qtest.readl(qtest.ecam(bdf, 0x10)) & ~0xf) + register
        self.value = qtest.readl(self.address)
        self.results = []                   # (time, value)
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.stopping.is_set():
            try:
                self.results.append((time.time(), self.qtest.readl(self.address)))
            except PortError:
                return
            self.stopping.wait(self.PERIOD)

    def wrong(self):
        """Return when what was read was not what is in the register."""
        return [when for when, value in self.results if value != self.value]

    def longest_gap(self):
        """Return the longest time between two reads, in milliseconds."""
        times = [when for when, _ in self.results]
        return max((1000 * (b - a) for a, b in zip(times, times[1:])), default=0.0)

    def stop(self):
        """End the thread."""
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join(25)
