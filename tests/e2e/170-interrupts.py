# SPDX-License-Identifier: GPL-2.0-only
"""Interrupts of a kept device: silent from freeze until set up again; then none is lost."""
import re
from dataclasses import replace

from harness import trace
from harness.scenario import FRAME_JUDGES, INTO_BREAK, Scenario

JUDGES = tuple(name for name in FRAME_JUDGES if name not in ('sent-back', 'afterwards'))
ICS = 0xc8
# What the host raises: during the kexec, and when the new kernel has booted; see test-irq.c
CAUSES = {'msix': (0x400000, 0x800000), 'msi': (0x10, 0x40), 'intx': (0x10, 0x40)}
# A capability's id, where its switch is, and what it says when the device is silent
SWITCHES = {'msix': (0x11, 2, 0x4000, 0x4000), 'msi': (0x05, 2, 1, 0),
            'intx': (None, 4, 0x400, 0x400)}
PIRQS = range(16, 24)                   # the inputs of the IO-APIC that are those of INTx
# QEMU calls the second half of the entry low; in it is whose entry it is
IRTE = re.compile(r'index \d+ low 0x([0-9a-f]+) high 0x([0-9a-f]+)')
PIN = re.compile(r'vector: (\d+) level: (\d)')


def switch(run):
    """Return where in the NIC's config space it is silenced, and the bit, and its silent value."""
    capability, offset, mask, silent = SWITCHES[run.scenario.options['irq']]
    function = next(f for f in run.functions if f.bdf == run.bdf)
    base = function.capabilities[('cap', capability)] if capability else 0
    return base + offset, mask, silent


def raise_cause(run, which):
    """Raise a cause from outside: no processor of the guest takes part."""
    qtest = run.machine.qtest
    bar = qtest.readl(qtest.ecam(run.bdf, 0x10)) & ~0xf
    qtest.writel(bar + ICS, CAUSES[run.scenario.options['irq']][which])
    run.figures['raised_by_host'] = run.figures.get('raised_by_host', 0) + 1


def booted(run):
    """Raise the second cause when the first new kernel has booted."""
    if run.syncs['booted'] == 1:
        raise_cause(run, 1)


def in_kexec(run):
    """Raise the first cause as soon as the old kernel has frozen the device."""
    if run.figures.get('raised_by_host'):
        return
    offset, mask, silent = switch(run)
    qtest = run.machine.qtest
    value = qtest.readl(qtest.ecam(run.bdf, offset & ~3)) >> 8 * (offset & 3)
    if value & mask == silent:
        raise_cause(run, 0)


def interrupts(run, begin, end):
    """Return the interrupts of the NIC that reached the IOMMU, or the IO-APIC: what it said.

    An entry that is not present says of nobody that it is his: whoever it was used it in vain.
    """
    sid, found = trace.source_id(run.bdf), []
    for event in trace.within(run.events, begin, end):
        irte = IRTE.search(event.text) if event.name == 'vtd_ir_irte_get' else None
        pin = PIN.search(event.text) if event.name == 'ioapic_set_irq' else None
        if irte and (int(irte[1], 16) & 0xffff == sid or not int(irte[2], 16) & 1) \
                or pin and int(pin[1]) in PIRQS and pin[2] == '1':
            found.append(f'{event.name} {event.text}')
    return found


def silenced(run):
    """Return when the old kernel silenced the NIC."""
    offset, mask, silent = switch(run)
    events = trace.within(run.events, run.marks.get('kexec', run.ended), run.ended)
    return next((w.time for w in trace.config_writes(events)
                 if w.bdf == run.bdf and w.offset == offset and w.value & mask == silent), None)


def silent(run):
    """Nothing is heard of the NIC from freeze until its user sets interrupts up again."""
    begin, end = silenced(run), run.marks.get('rearm')
    if begin is None or end is None:
        return ['the NIC was never silenced, or its interrupts never set up again']
    found = []
    for what, since, until in (('before the freeze', run.marks['ready'], run.marks['preserved']),
                               ('when it was set up again', end, run.marks['continued'])):
        run.figures[f'interrupts {what}'] = len(interrupts(run, since, until))
        if not run.figures[f'interrupts {what}']:
            found.append(f'no interrupt was seen {what}: this shows nothing')
    seen = interrupts(run, begin + 0.001, end)
    run.figures['interrupts while silent'] = len(seen)
    if seen:
        found.append(f'{len(seen)} interrupts while silent; first: {seen[0]}')
    if run.figures.get('raised_by_host') != 2:
        found.append('the host did not raise both of its causes')
    return found


def lost(run):
    """Some cause is never heard of, so its driver waits for ever."""
    found = silent(run)
    run.figures['silence'] = found
    count = int(run.verdict.info().get('irq_causes_lost', 0))
    return [f'{count} of 5 causes were lost'] if count and not found else []


def comes_back(irq, **more):
    """Return the scenario of one type of interrupt."""
    return Scenario(**{
        'name': f'irq-{irq}', 'test': 'irq', 'options': {'irq': irq}, 'rate': 2000,
        'judges': JUDGES, 'meanwhile': in_kexec, 'at': {'booted': booted}, 'check': silent,
        'extra': ('-trace', 'ioapic_set_irq' if irq == 'intx' else 'vtd_ir_irte_get'),
        'summary': f'{irq}: silent until set up again, then every cause is served', **more})


def without_kick(irq):
    """Return its control: without the kick a cause is lost."""
    scenario = comes_back(irq)
    return replace(scenario, name=f'negative-break-kick-{irq}', kernels=INTO_BREAK, check=lost,
                   must_fail=('check',), append='liveupdate_break=kick',
                   summary=f'control: {irq} vectors are not kicked, which must be noticed')


SCENARIOS = [
    comes_back('msix'), comes_back('msi'), comes_back('intx'),
    comes_back('msix', name='irq-msix-fs', iommu='scalable-fs', topology='rp',
               summary='the same, first stage tables, behind a root port'),
    comes_back('msix', name='irq-msix-later', kernels=('old', 'new', 'break'), timeout=180,
               options={'irq': 'msix', 'kernels': 3},
               summary='the same over two updates, set up again in the last kernel only'),
    without_kick('msix'), without_kick('msi'), without_kick('intx'),
]
