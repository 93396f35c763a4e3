# SPDX-License-Identifier: GPL-2.0-only
"""Each allocation fails in turn, in every call of a card that goes on receiving; debug kernels.

A retrieve that works in spite of a failure cannot be repeated, so what comes after it is not tried.
The scenarios "pressure" try it: once one allocation has failed, all that follow fail, too.
"""
from harness.scenario import FRAME_JUDGES, NO_DEBUGFS, SECOND_NIC, Scenario


def check(run, wanted=('failnth_old', 'failnth_new')):
    """Failures were injected in both kernels, and there are figures."""
    info, found = run.verdict.info(), []
    for key in wanted:
        words = info.get(key, '0').split()
        run.figures[f'{key}_points'] = int(words[0])
        found += [f'{key}: no failure was injected'] if words[0] == '0' else []
    return found


def faults(name, iommu, order):
    """Return one scenario; a file that another one needs is retrieved with it."""
    return Scenario(name=f'faults-{name}', test='faults', kernels=('debug', 'debug'), rate=100,
                    iommu=iommu, memory='2G', timeout=600, judges=FRAME_JUDGES, check=check,
                    options={'faults': 1, 'order': order}, extra=SECOND_NIC, tolerate=NO_DEBUGFS,
                    append='vfio_pci.disable_idle_d3=1', long=True,
                    summary='DMA goes on whichever allocation fails')


def pressure(name, iommu, order):
    """Return one scenario: only the new kernel has no memory."""
    return Scenario(name=f'pressure-{name}', test='dma', kernels=('old', 'debug'), rate=100,
                    iommu=iommu, memory='2G', timeout=600, judges=FRAME_JUDGES,
                    check=lambda run: check(run, ('failnth_new',)),
                    options={'faults': 2, 'order': order}, tolerate=NO_DEBUGFS, long=True,
                    summary='DMA goes on however little memory a retrieve gets')


SCENARIOS = [
    pressure('legacy', 'legacy', 'miv'),
    pressure('ss', 'scalable-ss', 'vmi'),
    pressure('fs', 'scalable-fs', 'ivm'),
    faults('legacy', 'legacy', 'miv'),
    faults('ss', 'scalable-ss', 'vmi'),
    faults('fs', 'scalable-fs', 'ivm'),
]
