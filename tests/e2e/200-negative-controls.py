# SPDX-License-Identifier: GPL-2.0-only
"""Negative controls: with the feature, or one safety hook, off, a judge has to object.

More of them stand beside the scenario they belong to.
"""
from harness.scenario import FRAME_JUDGES, INTO_BREAK, Scenario, broken

DMA = Scenario(name='', test='dma', rate=2000, judges=FRAME_JUDGES, summary='')

SCENARIOS = [
    Scenario(name='negative-no-preserve', test='dma', options={'preserve': 0}, rate=2000,
             judges=('frames', 'translation'), must_fail=('frames',),
             summary='control: nothing preserved, frames must be lost'),
    broken(DMA, 'busmaster', ('frames',)),
    broken(DMA, 'te', ('translation',)),
    broken(DMA, 'flush', ('invalidation',)),
    broken(DMA, 'adopt', ('translation', 'faults', 'frames'), INTO_BREAK),
    broken(DMA, 'restore', ('mappings', 'faults', 'frames'), INTO_BREAK),
    broken(DMA, 'bind', ('resets',), INTO_BREAK),
    broken(DMA, 'vfio_reset', ('resets',), INTO_BREAK),
    broken(DMA, 'hold', ('verdict',), INTO_BREAK),
]
