# SPDX-License-Identifier: GPL-2.0-only
"""What comes back is a whole iommufd: it is used by the ordinary ioctls, under traffic."""
from dataclasses import replace

from harness.judges import Missing
from harness.scenario import FRAME_JUDGES, INTO_BREAK, NO_DEBUGFS, SECOND_NIC, Scenario, broken

# What is free differs by half as much from one boot to the next, whatever is kept
NOISE = 128


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
             options={'use': 1, 'account': account}, extra=SECOND_NIC,
             append='vfio_pci.disable_idle_d3=1',
             at={'moved': lambda run: run.dump('moved')}, check=moved,
             summary=f'ordinary use of a retrieved iommufd while DMA goes on: VT-d {iommu}')
    for name, iommu, account in (('legacy', 'legacy', 'none'), ('ss', 'scalable-ss', 'process'),
                                 ('fs', 'scalable-fs', 'user'))
]


def tracked(run):
    """SSADE of the card's entry is as its page table says, whichever it has at the moment."""
    wanted = {'before': 1, 'after': 1, 'retrieved': 1, 'moved': 0, 'back': 1, 'finished': 0}
    found = []
    for label, bit in wanted.items():
        entry = run.dumps.get(label, {}).get('requesters', {}).get(run.bdf)
        if not entry or not entry['entry']:
            found.append(Missing(f'{label}: the entry of the card was not read'))
        elif entry['entry'][0] >> 9 & 1 != bit:
            found.append(f'{label}: SSADE is not {bit}: {entry["entry"][0]:#x}')
    return found + moved(run)


# A unit of QEMU's cannot track. The kernel is told that it can: the bits are all there then.
DIRTY = replace(USE[1], name='use-dirty', kernels=('break', 'break'), check=tracked,
                append=f'{USE[1].append} liveupdate_break=ssads', options={'use': 1, 'dirty': 1},
                at={**USE[1].at, 'continued': lambda run: run.dump('back')},
                summary='page tables that track what is written, and do not, under traffic')

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

SCENARIOS = [*USE, DIRTY,
             replace(DIRTY, name='use-dirty-both', must_fail=('check',),
                     options={**DIRTY.options, 'spoil': 'dirty'},
                     summary='control: both page tables track, which must be noticed'),
             *CONTROLS, *FAILING, chain(5, 2000), chain(50, 200, long=True)]
