# SPDX-License-Identifier: GPL-2.0-only
"""Negative controls: with the feature, or one safety hook, off, a judge has to object."""
from harness.scenario import FRAME_JUDGES, Scenario


def broken(what, kernels, must_fail):
    """Return the control that switches one safety hook off; only the debug kernel can."""
    return Scenario(
        name=f'negative-break-{what}', test='dma', rate=500, kernels=kernels,
        memory='2G', timeout=400,
        judges=FRAME_JUDGES, must_fail=must_fail, append=f'liveupdate_break={what}',
        summary=f'control: the {what} hook is off, which must be noticed')


SCENARIOS = [
    Scenario(name='negative-no-preserve', test='dma', options={'preserve': 0}, rate=2000,
             judges=('frames', 'translation'), must_fail=('frames',),
             summary='control: nothing preserved, frames must be lost'),
    broken('busmaster', ('debug', 'new'), ('frames',)),
    broken('te', ('debug', 'new'), ('translation',)),
    broken('adopt', ('old', 'debug'), ('translation', 'faults', 'frames')),
    broken('vfio_reset', ('old', 'debug'), ('resets',)),
]
