# SPDX-License-Identifier: GPL-2.0-only
"""Looks at the machine from outside, every few milliseconds, with no help of a guest CPU.

One sample: time, the NIC's receive head and tail, whether it can receive, whether translation
is on, and whether the NIC's context (or PASID) entry is pass-through.
"""
import csv
import threading
import time

from harness import walker
from harness.ports import PortError

RCTL, RDH, RDT, RDLEN = 0x100, 0x2810, 0x2818, 0x2808
COMMAND_MEMORY, COMMAND_MASTER, ABSENT = 2, 4, 0xffff
FIELDS = ('time', 'rdh', 'rdt', 'receiving', 'translation', 'passthrough', 'present')


class Sampler:
    """A thread that fills a list of samples until it is stopped.

    tell(receiving) is called when the NIC becomes unable, or able again, to receive.
    """

    PERIOD = 0.01
    CERTAIN = 3             # samples in a row that make a change of the NIC's state certain

    def __init__(self, qtest, bdf, tell=lambda receiving: None):
        self.qtest = qtest
        self.bdf = bdf
        self.tell = tell
        self.told = True
        self.samples = []
        self.errors = []
        self.bar = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        """Begin sampling."""
        self._thread.start()

    def stop(self):
        """End sampling; safe to call more than once."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(25)

    def once(self):
        """Take one sample."""
        qtest = self.qtest
        now = time.time()
        command = qtest.readl(qtest.ecam(self.bdf, 4)) & 0xffff
        rdh = rdt = None
        if command == ABSENT:
            command = 0
        receiving = bool(command & COMMAND_MASTER)
        if command & COMMAND_MEMORY:
            self.bar = self.bar or qtest.readl(qtest.ecam(self.bdf, 0x10)) & ~0xf
            rdh, rdt = qtest.readl(self.bar + RDH), qtest.readl(self.bar + RDT)
            if rdh > 0xffff or rdt > 0xffff:
                rdh = rdt = None            # the BAR is being sized, or was moved
            else:
                receiving &= bool(qtest.readl(self.bar + RCTL) & 2) and rdh != rdt
        state = walker.Unit(qtest).glance(self.bdf)
        return (now, rdh, rdt, receiving, state.translation, state.passthrough, state.present)

    def look(self):
        """Take one sample, remember it, and notice what it says."""
        sample = self.once()
        self.samples.append(sample)
        self._notice()
        return sample

    def _run(self):
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self.look()
            except (PortError, walker.WalkError, ValueError, IndexError) as error:
                self.errors.append(f'{time.time():.3f} {error}')
                if isinstance(error, PortError) and 'FAIL' not in str(error):
                    return                      # the conversation is over
            self._stop.wait(min(0.1, max(self.PERIOD, 3 * (time.monotonic() - began))))

    def _notice(self):
        last = [s[3] for s in self.samples[-self.CERTAIN:]]
        if len(set(last)) == 1 and last[0] != self.told:
            self.told = last[0]
            self.tell(self.told)

    def save(self, path):
        """Write the samples as CSV."""
        with open(path, 'w', newline='', encoding='utf-8') as handle:
            writer = csv.writer(handle)
            writer.writerow(FIELDS)
            for sample in self.samples:
                writer.writerow(['' if v is None else int(v) if isinstance(v, bool) else v
                                 for v in sample])


class Fleet(Sampler):
    """Samples of several NICs in turn; tell is {bdf: function}."""

    def __init__(self, qtest, tell):
        self.each = [Sampler(qtest, bdf, each) for bdf, each in tell.items()]
        super().__init__(qtest, None)

    def once(self):
        """Take one sample of one NIC, and let that one notice."""
        return self.each[len(self.samples) % len(self.each)].look()

    def _notice(self):
        """Each has noticed for itself."""


class Watcher(Sampler):
    """Samples of the entries of several requesters in turn, where there is no test NIC."""

    def __init__(self, qtest, bdfs):
        super().__init__(qtest, None)
        self.bdfs = bdfs

    def once(self):
        """Take one sample of one requester."""
        now = time.time()
        bdf = self.bdfs[len(self.samples) % len(self.bdfs)]
        state = walker.Unit(self.qtest).glance(bdf)
        return (now, None, None, True, state.translation, state.passthrough, state.present)
