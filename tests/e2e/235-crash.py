# SPDX-License-Identifier: GPL-2.0-only
"""A kernel panics while it keeps a device, or has taken one over: its crash kernel boots beside it.

The crash kernel has memory of its own. The device goes on into the memory that it always had, or
is blocked; the crash kernel takes nothing that was handed over.
"""
from dataclasses import replace

from harness import console, handover, initramfs, judges, trace, walker
from harness.handover import UNIT, field
from harness.scenario import FRAME_JUDGES, INTO_BREAK, Scenario, broken, kernel_image

# By default KHO takes several times the memory that is reserved at boot, which this is part of.
RESERVED = 'crashkernel=128M kho_scratch=32M,288M,0M panic=1'
# Crash kernels have no driver of the card, so that DMA goes on for as long as it can.
NO_DRIVER = 'ferry.crash=initcall_blacklist=e1000_init_module'
PANIC = 'Kernel panic - not syncing: sysrq triggered crash'
LOW = 1 << 20


def ranges(text):
    """Return the memory that the guest told of: [(first, last)]."""
    return [tuple(int(n, 16) for n in part.split('-')) for part in (text or '').split(',')
            if '-' in part]


def at_panic(run):
    """Frames land from here on until the machine ends."""
    run.dump('panic')


def at_crashed(run):
    """Read the tables that the crash kernel has made, when it runs."""
    run.dump('crashed')


def own_memory(run):
    """The crash kernel has what was reserved for it, and the tables lead to none of it."""
    info = run.verdict.info()
    reserved, own = ranges(info.get('crash_memory')), ranges(info.get('ram'))
    own = [r for r in own if r[0] >= LOW]
    if not reserved or not own:
        return [judges.Missing('the guest did not say what its memory is')]
    found = [f'memory {a:#x}-{b:#x} was not reserved for it' for a, b in own
             if not any(c <= a and b <= d for c, d in reserved)]
    dump = run.dumps['crashed']
    if 'error' in dump:
        return found + [f'crashed: {dump["error"]}']
    leaves = [leaf for entry in dump['requesters'].values() for leaf in entry['leaves']]
    return found + [f'{iova:#x} leads to its memory at {pa:#x}' for iova, pa, size, *_ in leaves
                    for a, b in own if pa <= b and a < pa + size]


def landed(run, begin, end):
    """Return how many frames landed between two syncs."""
    return len(trace.landings(trace.within(run.events, run.marks[begin], run.marks[end])))


def goes_on(run):
    """Through the panic and under the crash kernel the device uses the same page table."""
    before, after = run.dumps['before'], run.dumps['crashed']
    found = ['crashed: no mappings' for bdf in run.kept
             if not before['requesters'][bdf]['leaves']]
    for begin, end in (('panic', 'crashed'), ('crashed', 'stayed')):
        number = landed(run, begin, end)
        run.figures[f'landed_{end}'] = number
        found += [f'{number} frames landed from {begin} to {end}'] if number < 100 else []
    if 'error' in after:
        return found + [f'crashed: {after["error"]}']
    return found + [f'crashed: {text}' for bdf in run.kept
                    for text in walker.differences(before, after, bdf)[:3]]


def stands(run):
    """Nothing lands, and its entry leads nowhere."""
    number = landed(run, 'panic', 'stayed')
    entry = run.dumps['crashed'].get('requesters', {}).get(run.bdf)
    return ([f'{number} frames landed'] if number else []) + (
        ['its entry has mappings'] if entry and entry['leaves'] else [])


def crashed(device, said):
    """Return a check: the crash kernel came up beside the one that panicked."""
    def check(run):
        if not {'panic', 'crashed', 'stayed'} <= set(run.marks):
            return [judges.Missing('no crash kernel came up')]
        boots = console.boots(run.console)
        wanted = [False] + [True] * (len(run.scenario.kernels) - 2) + [False]
        found = [] if console.handed_over(run.console) == wanted else [
            f'handover data were found by {console.handed_over(run.console)}, not {wanted}']
        found += [f'the crash kernel did not say {text!r}' for text in said
                  if not any(text in line for line in boots[-1][1])]
        return found + own_memory(run) + device(run)
    return check


COPIED = ('KHO: disabled in the kdump kernel', 'Copied translation tables from previous kernel')


def scenario(name, where, summary, device=goes_on, said=COPIED, at=None, **more):
    """Return one scenario."""
    options = {'where': where, **more.pop('options', {})}
    words = ' '.join([RESERVED, NO_DRIVER, *more.pop('words', ())])
    kernels = ('old', 'new') if where == 'old' else ('old', 'new', 'new')
    return Scenario(**{
        'name': f'crash-{name}', 'test': 'crash', 'kernels': kernels, 'rate': 1000,
        'options': options, 'append': words, 'tolerate': (PANIC,),
        'judges': ('verdict', 'console', 'translation', 'faults'), 'kept_until': 'stayed',
        'at': {'panic': at_panic, 'crashed': at_crashed, **(at or {})},
        'check': crashed(device, said), 'summary': summary, 'timeout': 180, **more})


def beside(run):
    """The image that the last kernel of a run loads as its crash kernel."""
    image = initramfs.read(kernel_image('new', run.settings.get('kernels')))
    return [('boot/other/bzImage', image)]


OLD = scenario('old', 'old', 'the old kernel panics with a kept device')
MODE = scenario('mode', 'old', 'the crash kernel is told another mode of the IOMMU', long=True,
                iommu='scalable-ss', words=['ferry.crash=intel_iommu=on,sm_off'])

SCENARIOS = [
    OLD,
    replace(OLD, name='crash-old-ss', iommu='scalable-ss', long=True),
    replace(OLD, name='crash-old-fs', iommu='scalable-fs', long=True),
    scenario('booted', 'booted', 'the new kernel panics before the device is retrieved',
             long=True),
    scenario('booted-ss', 'booted', 'the same in scalable mode', iommu='scalable-ss', long=True),
    scenario('retrieved', 'retrieved', 'the new kernel panics when the device is retrieved',
             long=True),
    scenario('retrieved-ss', 'retrieved', 'the same in scalable mode', iommu='scalable-ss',
             long=True),
    scenario('retrieved-fs', 'retrieved', 'the same with first-stage tables',
             iommu='scalable-fs', long=True),
    scenario('quarantined', 'quarantined', 'the new kernel panics with its IOMMU quarantined',
             device=stands, long=True,
             at={'kexec': handover.between(field(lambda m: m.records(UNIT), 28, '<I', 1))}),
    replace(scenario('iommu-off', 'old', 'control: a crash kernel obeys intel_iommu=off',
                     words=['ferry.crash=intel_iommu=off'], must_fail=('translation',), long=True),
            name='negative-crash-iommu-off'),
    MODE,
    broken(MODE, 'crash', ('translation',), INTO_BREAK),
    Scenario(name='crash-beside', test='dma', rate=2000, judges=FRAME_JUDGES,
             options={'crash': 1}, append=RESERVED, files=beside,
             summary='both kernels have memory, and an image, for a crash kernel', long=True),
]
