# SPDX-License-Identifier: GPL-2.0-only
"""Two kernels that differ in compiler, options and modules, in both directions.

old and new differ in KASLR, CPUs, tick and preemption model, which every scenario of
dma-continues has crossed from old to new; alt differs from both in everything else.
"""
from harness.scenario import FRAME_JUDGES, Scenario


def differ(name, kernels, summary, **more):
    """Return one scenario."""
    return Scenario(name=f'differ-{name}', test='dma', kernels=kernels, rate=2000,
                    judges=FRAME_JUDGES, summary=summary, **more)


SCENARIOS = [
    differ('back', ('new', 'old'), 'the newer configuration is replaced by the older one'),
    differ('back-fs', ('new', 'old'), 'the same with first stage tables', iommu='scalable-fs'),
    differ('alt', ('old', 'alt'), 'into a kernel of clang, with modules', long=True),
    differ('alt-fs', ('old', 'alt'), 'the same with first stage tables', iommu='scalable-fs',
           long=True),
    differ('alt-late', ('old', 'alt'), 'into one whose modules come late', long=True,
           options={'modules': 'late'}),
    differ('alt-back', ('alt', 'new'), 'out of a kernel of clang, with modules', long=True),
    differ('alt-back-ss', ('alt', 'new'), 'the same with second stage tables',
           iommu='scalable-ss', long=True),
    differ('alt-alt', ('alt', 'alt'), 'the same kernel twice', long=True),
]
