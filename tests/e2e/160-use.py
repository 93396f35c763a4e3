# SPDX-License-Identifier: GPL-2.0-only
"""What comes back is a whole iommufd: it is used by the ordinary ioctls, under traffic."""
from harness.scenario import FRAME_JUDGES, Scenario

SECOND = ('-device', 'igb,bus=pcie.0,addr=06.0')

SCENARIOS = [
    Scenario(name=f'use-{name}', test='dma', iommu=iommu, rate=2000, judges=FRAME_JUDGES,
             options={'use': 1}, extra=SECOND, append='vfio_pci.disable_idle_d3=1',
             summary=f'ordinary use of a retrieved iommufd while DMA goes on: VT-d {iommu}')
    for name, iommu in (('legacy', 'legacy'), ('ss', 'scalable-ss'), ('fs', 'scalable-fs'))
]
