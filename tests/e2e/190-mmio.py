# SPDX-License-Identifier: GPL-2.0-only
"""A kept device can be reached all the time: its registers are read from outside, every
millisecond, from the preserve to the finish. What sizes its BARs makes them go away meanwhile.
"""
import re

from harness import console, handover, judges
from harness.poker import Reader
from harness.sampler import RDLEN
from harness.scenario import FRAME_JUDGES, INTO_BREAK, Scenario, broken

# Where the size of the BARs is in a PCI record: the optional flags, the masks and what they are
OPTIONAL, MASKS, MASKS_SIZE = 28, 152, 28
LEAST = 100                     # reads during the jump


def start(run):
    """Begin to read."""
    run.reader = Reader(run.machine.qtest, run.bdf, RDLEN)
    run.reader.thread.start()


def stop(run):
    """End it."""
    run.reader.stop()


def answered(run):
    """Each read found what is in the register."""
    reader, marks = getattr(run, 'reader', None), run.marks
    if not reader or not {'kexec', 'booted', 'finished'} <= set(marks):
        return [judges.Missing('nobody read the registers until the end')]
    jump = [t for t, _ in reader.results if marks['kexec'] < t < marks['booted']]
    wrong = reader.wrong()
    run.figures['mmio_reads'] = len(reader.results)
    run.figures['mmio_reads_wrong'] = len(wrong)
    run.figures['mmio_gap_ms'] = round(reader.longest_gap(), 1)
    found = [] if reader.value not in (0, 0xffffffff) else ['there was nothing to read']
    if len(jump) < LEAST:
        found.append(judges.Missing(f'only {len(jump)} reads during the jump'))
    if wrong:
        found.append(f'{len(wrong)} of {len(reader.results)} reads were not answered, the first '
                     f'{1000 * (wrong[0] - marks["kexec"]):.0f} ms after the kexec')
    return found


def mmio(name, topology, iommu='legacy', **more):
    """Return a scenario in which registers are read all along."""
    where = {'root': 'on the root bus', 'rp': 'behind a root port'}[topology]
    return Scenario(**{
        'name': f'mmio-{name}', 'test': 'dma', 'rate': 2000, 'judges': FRAME_JUDGES,
        'iommu': iommu, 'topology': topology, 'at': {'preserved': start, 'finished': stop},
        'check': answered, 'summary': f'registers can be read all along: VT-d {iommu}, NIC {where}',
        **more})


def without_masks(_, memory):
    """Have the records be those of a kernel that does not say how large the BARs are."""
    return [(at + offset, bytes(size)) for at in memory.functions()[0]
            for offset, size in ((OPTIONAL, 4), (MASKS, MASKS_SIZE))]


def sized(run):
    """The new kernel sized the BARs of each function of the path itself, and said so."""
    log = '\n'.join(console.boots(run.console)[-1][1])
    return [f'the new kernel did not size the BARs of {f.bdf} itself' for f in run.functions
            if not re.search(rf'{f.bdf}: has to be sized', log)]


BEHIND = mmio('legacy-rp', 'rp')

SCENARIOS = [
    mmio('legacy-root', 'root'),
    BEHIND,
    mmio('scalable-fs-rp', 'rp', 'scalable-fs', long=True),
    # Registers are out of reach for a moment then; DMA is not concerned. The machine stands still
    # while its memory is searched: the ring has room for the frames of two minutes
    mmio('older-record', 'rp', rate=500, at={'kexec': handover.between(without_masks)}, check=sized,
         judges=tuple(j for j in FRAME_JUDGES if j not in ('mmio', 'config-writes')),
         summary='the record does not say how large BARs are: they are sized, DMA goes on'),
    broken(BEHIND, 'size', ('mmio',), INTO_BREAK),
    broken(BEHIND, 'size', ('config-writes',), INTO_BREAK, name='negative-break-size-writes'),
]
