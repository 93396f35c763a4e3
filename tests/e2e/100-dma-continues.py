# SPDX-License-Identifier: GPL-2.0-only
"""A NIC goes on receiving while the kernel under it is replaced: both modes, stages, topologies."""
from harness.scenario import FRAME_JUDGES, Scenario

MODES = {'legacy': 'legacy', 'ss': 'scalable-ss', 'fs': 'scalable-fs'}
WHERE = {'root': 'on the root bus', 'rp': 'behind a root port'}
RATE = 2000

SCENARIOS = [
    Scenario(name=f'dma-continues-{iommu}-{topology}', test='dma', iommu=iommu,
             topology=topology, rate=RATE, judges=FRAME_JUDGES,
             summary=f'DMA survives the kexec: VT-d {iommu}, NIC {where}')
    for iommu in MODES.values() for topology, where in WHERE.items()
] + [
    Scenario(name='large-folios', test='dma', options={'large': 1}, rate=RATE,
             judges=FRAME_JUDGES, append='transparent_hugepage_shmem=always',
             summary='memory and mappings of 2 MiB: they are the same, and are used again'),
]
