# SPDX-License-Identifier: GPL-2.0-only
"""What comes back is a whole iommufd: it is used by the ordinary ioctls, under traffic."""
from dataclasses import replace

from harness.judges import Missing
from harness.scenario import FRAME_JUDGES, INTO_BREAK, NO_DEBUGFS, SECOND_NIC, Scenario, broken

# What is free differs by as much from one boot to the next, whatever is kept
NOISE = 1024


def nothing_grows(run):
    """The last update leaves as much as the second: page table, its domain id, free memory."""
    last = run.syncs['booted']
    first = 2 + last % 2
    stages = run.verdict.stages[1:-1]
    if last < len(run.scenario.kernels) - 1 or not all('free_pages' in s.info for s in stages):
        return [Missing('the chain broke off')]
    if any(run.bdf not in run.dumps[f'after{n}']['requesters'] for n in (first, last)):
        return [Missing('the entry of the device was not read')]
    entries = [run.dumps[label]['requesters'][run.bdf]
               for label in (f'after{first}', f'after{last}')]
    found = [f'{key}: {entries[0][key]} after update {first}, {entries[1][key]} after {last}'
             for key in ('did', 'top', 'levels') if entries[0][key] != entries[1][key]]
    same = [int(stage.info['free_pages']) for stage in stages[::2]]
    run.figures['free_pages_lost'] = lost = same[0] - same[-1]
    return found + ([f'{lost} pages are free no more'] if lost > NOISE else [])


def chain(updates, rate, **more):
    """Return a scenario: update after update."""
    kernels = ('old', 'new') * updates
    return Scenario(name=f'chain-{updates}', test='chain', kernels=kernels[:updates + 1],
                    ring=True, rate=rate, judges=FRAME_JUDGES, check=nothing_grows,
                    timeout=60 * updates, options={'kernels': updates + 1},
                    summary=f'{updates} updates, one after the other, under traffic', **more)


def moved(run):
    """The entry of the card named the other page table, which maps the same."""
    if 'moved' not in run.dumps or 'retrieved' not in run.dumps:
        return [Missing('the card was not moved')]
    dumps = [run.dumps[label] for label in ('retrieved', 'moved')]
    entries = [dump['requesters'].get(run.bdf) for dump in dumps]
    if not all(entries):
        return [Missing('the entry of the device was not read')]
    run.figures['moved_did'] = entries[1]['did'] != entries[0]['did']
    found = ['the page table is the same'] if entries[0]['top'] == entries[1]['top'] else []
    if entries[0]['leaves'] != entries[1]['leaves']:
        found.append('the other page table has other mappings')
    return found


USE = [
    Scenario(name=f'use-{name}', test='dma', iommu=iommu, rate=2000, judges=FRAME_JUDGES,
             options={'use': 1}, extra=SECOND_NIC, append='vfio_pci.disable_idle_d3=1',
             at={'moved': lambda run: run.dump('moved')}, check=moved,
             summary=f'ordinary use of a retrieved iommufd while DMA goes on: VT-d {iommu}')
    for name, iommu in (('legacy', 'legacy'), ('ss', 'scalable-ss'), ('fs', 'scalable-fs'))
]

# The ordinary attach, which blocks the device first
CONTROLS = [broken(use, 'replace', ('frames', 'faults'), INTO_BREAK, at={}, check=None,
                   name=f'negative-break-replace-{use.name[4:]}', long=use.name == 'use-ss',
                   options={'use': 1, 'timeout': 3000, 'moves': 2000})
            for use in USE]

FAILING = [replace(use, name=f'use-faults-{use.name[4:]}', kernels=('debug', 'debug'), rate=100,
                   memory='2G', timeout=900, long=True, tolerate=NO_DEBUGFS, check=None,
                   options={'use': 1, 'faults': 1},
                   summary='the same, and each allocation of a replace fails in turn')
           for use in USE]

SCENARIOS = [*USE, *CONTROLS, *FAILING, chain(5, 2000), chain(50, 200, long=True)]
