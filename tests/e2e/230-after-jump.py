# SPDX-License-Identifier: GPL-2.0-only
"""What can go wrong in the new kernel: each case has one ending, and one line that tells it."""
import re

from harness import console
from harness.scenario import FRAME_JUDGES, Scenario


def says(*patterns):
    """Return a check: the new kernel's log has each of these lines."""
    def check(run):
        boots = console.boots(run.console)
        lines = boots[-1][1] if boots else []
        return [f'the new kernel did not say {p!r}' for p in patterns
                if not any(re.search(p, line) for line in lines)]
    return check


def next_words(words, without=()):
    """Return what makes the next kernel's command line differ: with words, without others."""
    return ' '.join([f'ferry.next={w}' for w in words] + [f'ferry.dropnext={w}' for w in without])


def kept(name, words, summary, without=(), lines=(), **more):
    """Return a scenario: whatever the next kernel's command line says, DMA goes on."""
    return Scenario(name=f'cmdline-{name}', test='dma', rate=2000, judges=FRAME_JUDGES,
                    append=next_words(words, without), check=says(*lines) if lines else None,
                    summary=summary, **more)


SM_OFF, SM_ON = 'intel_iommu=on,sm_off', 'intel_iommu=on,sm_on'
FORCED = r'is translating for kept devices: the IOMMU is switched on'

COMMAND_LINES = [
    kept('liveupdate-off', ['liveupdate=off'], 'liveupdate=off: on all the same, DMA goes on',
         without=['liveupdate=on'], lines=['devices were kept: assuming liveupdate=on']),
    kept('iommu-off', ['intel_iommu=off'], 'intel_iommu=off: on all the same, DMA goes on',
         without=[SM_OFF], lines=[FORCED]),
    kept('all-iommu-off', ['iommu=off'], 'iommu=off: on all the same, DMA goes on',
         without=[SM_OFF], lines=[FORCED], long=True),
    kept('sm-on', [SM_ON], 'a unit in legacy mode stays in it, whatever sm_on says',
         without=[SM_OFF], iommu='legacy', unit={'scalable-mode': 'on'},
         needs=('scalable-mode',), lines=['Enable scalable mode if hardware supports'],
         long=True),
    kept('sm-off', [SM_OFF], 'a unit in scalable mode stays in it, whatever sm_off says',
         without=[SM_ON], iommu='scalable-ss', lines=['Scalable mode is disallowed']),
    kept('unsafe-interrupts', ['intremap=off', 'iommufd.allow_unsafe_interrupts=1'],
         'no interrupt remapping, allowed: DMA goes on', long=True),
    kept('swiotlb-force', ['swiotlb=force'], 'swiotlb=force: a kept device bounces nothing',
         lines=['software IO TLB: area num'], long=True),
    kept('gigantic', ['hugepagesz=1G', 'hugepages=1'],
         'gigantic pages are asked for: none is made of what is kept', memory='4G', long=True,
         lines=['HugeTLB: (allocating 1 of page size 1.00 GiB failed|registered 1.00 GiB page '
                'size, pre-allocated 1 )']),
]

SCENARIOS = COMMAND_LINES
