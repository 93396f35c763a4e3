# SPDX-License-Identifier: GPL-2.0-only
"""What can go wrong in the new kernel: each case has one ending, and one line that tells it."""
import re
import struct
import threading
import time

from harness import abandoned, console, handover, judges, trace
from harness.handover import DEVICE, DOMAIN, UNIT, field
from harness.machine import NIC_MAC, nic_bdf
from harness.poker import FAILED, Poker
from harness.scenario import FRAME_JUDGES, INTO_BREAK, Scenario, broken

JUDGES = ('verdict', 'console', 'handover', 'translation')


def log_of(run, boot=-1):
    """Return what the new kernel, or another boot, wrote to the console."""
    boots = console.boots(run.console)
    return boots[boot][1] if boots else []


def says(*patterns, boot=-1):
    """Return a check: the log of the new kernel, or of another boot, has each of these lines."""
    def check(run):
        lines = log_of(run, boot)
        return [f'boot {boot} did not say {p!r}' for p in patterns
                if not any(re.search(p, line) for line in lines)]
    return check


def next_words(words, without=()):
    """Return what makes the next kernel's command line differ: with words, without others."""
    return ' '.join([f'ferry.next={w}' for w in words] + [f'ferry.dropnext={w}' for w in without])


def kept(name, words, summary, without=(), lines=(), both='', **more):
    """Return a scenario: whatever the next kernel's command line says, DMA goes on."""
    return Scenario(name=f'cmdline-{name}', test='dma', rate=2000, judges=FRAME_JUDGES,
                    append=f'{both} {next_words(words, without)}'.strip(),
                    check=says(*lines) if lines else None, summary=summary, **more)


SM_OFF, SM_ON = 'intel_iommu=on,sm_off', 'intel_iommu=on,sm_on'
FORCED = r'is translating for kept devices: the IOMMU is switched on'

COMMAND_LINES = [
    kept('liveupdate-off', ['liveupdate=off'], 'liveupdate=off: on all the same, DMA goes on',
         without=['liveupdate=on'], lines=['devices were kept: assuming liveupdate=on']),
    kept('iommu-off', ['intel_iommu=off'], 'intel_iommu=off: on all the same, DMA goes on',
         without=[SM_OFF], lines=[FORCED]),
    kept('all-iommu-off', ['iommu=off'], 'iommu=off: on all the same, DMA goes on',
         without=[SM_OFF], lines=[FORCED], long=True),
    kept('sm-on', [SM_ON], 'a unit in legacy mode stays in it, whatever sm_on says',
         without=[SM_OFF], iommu='legacy', unit={'scalable-mode': 'on'},
         needs=('scalable-mode',), lines=['Enable scalable mode if hardware supports'],
         long=True),
    kept('sm-off', [SM_OFF], 'a unit in scalable mode stays in it, whatever sm_off says',
         without=[SM_ON], iommu='scalable-ss', lines=['Scalable mode is disallowed']),
    kept('unsafe-interrupts', ['intremap=off', 'iommufd.allow_unsafe_interrupts=1'],
         'no interrupt remapping, allowed: DMA goes on', long=True),
    kept('mem', [], 'both kernels leave the same memory unused: DMA goes on', memory='2G',
         both='mem=1G', long=True),
    kept('swiotlb-force', ['swiotlb=force'], 'swiotlb=force: a kept device bounces nothing',
         lines=['software IO TLB: area num'], long=True),
    kept('gigantic', ['hugepagesz=1G', 'hugepages=1'],
         'gigantic pages are asked for: none is made of what is kept', memory='4G', long=True,
         lines=['HugeTLB: (allocating 1 of page size 1.00 GiB failed|registered 1.00 GiB page '
                'size, pre-allocated 1 )']),
]


def command_writes(run, jump='kexec'):
    """Return the writes to the device's command register since the jump."""
    return [w for w in trace.config_writes(run.events)
            if w.bdf == run.bdf and w.offset == 4 and w.time > run.marks[jump]]


def stop_and_start(run, jump='kexec'):
    """Return when the device was stopped, and when its ordinary driver let it go on, or None."""
    command = command_writes(run, jump)
    stopped = next((w.time for w in command if not w.value & 4), None)
    return stopped, next((w.time for w in command
                          if stopped and w.time > stopped and w.value & 4), None)


def stopped_first(run, since='preserved', jump='kexec', end='abandoned'):
    """Translation may go off when the device is stopped, and not before."""
    begin = run.marks[since]
    stopped, started = stop_and_start(run, jump)
    if stopped is None:
        return ['bus mastering was never switched off']
    gaps = trace.translation_off(run.events, begin, run.marks[end])
    early = [a for a, _ in gaps if a < stopped]
    # Until its ordinary driver starts it. What was on its way arrives within the time that the
    # kernel waits.
    later = trace.within(run.events, stopped + 0.1, started or run.marks[end])
    landed = len(trace.landings(later))
    return (['translation went off before the device was stopped'] if early else []) + (
        [f'{landed} frames landed after it was stopped'] if landed else [])


def reset_first(run):
    """The device was reset before its ordinary driver let it do DMA again."""
    stopped, started = stop_and_start(run)
    if started is None:
        return ['its ordinary driver never started it']
    return [] if judges.path_resets(run, stopped, started) else ['it was not reset first']


def stood_early(run):
    """It stood when PCI found it, and was reset first."""
    return reset_first(run) + [
        'it was running when PCI found it'
        for line in log_of(run) if 'may be a kept device, stopped' in line]


def stopped_and_reset(run):
    """The PCI core stopped it at once; its ordinary driver has it, after a reset."""
    return stopped_first(run) + reset_first(run)


def given_up(name, summary, lines, options, judge=abandoned.check, at=None, **more):
    """Return a scenario: the new kernel gives the device up, and says why."""
    def check(run):
        return says(*lines)(run) + judge(run)
    return Scenario(name=name, test='jump', rate=2000, judges=JUDGES, options=options,
                    kept_until='retrieved', check=check, summary=summary,
                    at={**(at or {}), 'abandoned': abandoned.at_abandoned}, **more)


def damaged(name, change, summary, lines, long=False, iommu='legacy', judge=abandoned.check,
            **options):
    """Return a scenario: what was handed over is damaged in the moment between the kernels."""
    return given_up(f'damaged-{name}', summary, lines, options, judge,
                    {'kexec': handover.between(change)}, long=long, iommu=iommu)


def records(kind):
    """Return where the IOMMU records of a kind are, for field()."""
    return lambda memory: memory.records(kind)


QUARANTINE = r'quarantined: all DMA behind it is blocked'

DAMAGED = [
    damaged('iommu-root', field(lambda m: m.roots(), 8, '<I', 99),
            'the root of the IOMMU records has another version: quarantine',
            ['cannot read what the previous kernel handed over', QUARANTINE], lost='iv', long=True),
    damaged('unit', field(records(UNIT), 28, '<I', 1),
            'the unit was not handed over: quarantine',
            ['the handover was not completed', QUARANTINE], lost='iv'),
    damaged('device', field(records(DEVICE), 4, '<H', 99),
            'the record of the device has another version: the device is lost',
            [r'record \d+ cannot be used'], lost='iv'),
    damaged('domain', field(records(DOMAIN), 32, '<Q', lambda n: n + 1),
            'the page table has fewer tables than its record says: the device is lost',
            ['cannot be restored'], lost='iv'),
    damaged('pci', field(lambda m: m.functions()[1], 8, '<I', 99),
            'the PCI records have another version: the device is stopped',
            ['may be a kept device, stopped'], lost='iv', taken=1,
            judge=stopped_and_reset),
    damaged('pci-other', field(lambda m: m.functions()[0], 16, '<H', 0x1af4),
            'another device is where the kept one was: it is stopped',
            ['is not the kept device, lost'], lost='iv', long=True, taken=1,
            judge=stopped_and_reset),
    damaged('pci-bdf', field(lambda m: m.functions()[0], 8, '<H', lambda n: n ^ 8),
            'the PCI record says another address: the IOMMU stops the device',
            ['cannot be restored', 'was running when it was found: reset'], lost='iv', taken=1,
            judge=stopped_and_reset, long=True),
    damaged('pci-mask', field(lambda m: m.functions()[0], 152, '<I', lambda n: n ^ 1 << 31),
            'the PCI record says a size that no BAR has: it is stopped',
            [r'record \d+ of chunk 0 cannot be used', 'may be a kept device, stopped'],
            lost='iv', taken=1, judge=stopped_and_reset, long=True),
    damaged('iommufd', field(lambda m: m.iommufds(), 8, '<I', 99),
            'the records of the iommufd have another version: it is lost, with its device',
            ['nobody claimed it'], lost='iv', running=1, long=True),
    damaged('vfio', field(lambda m: m.files(), 22, '<H', 99),
            'the record of the device file has another version: it is lost, with its device',
            ['nobody claimed it'], lost='v', running=1, long=True),
    damaged('chain', field(lambda m: m.roots(), 24, '<I', 0),
            'the chain of IOMMU records is longer than its root says: quarantine',
            [r'nr_chunks \(0x0\): too few', QUARANTINE], lost='iv', long=True),
    damaged('chunk', field(lambda m: m.chunks(), 8, '<I', 7),
            'a chunk of IOMMU records is not the one that belongs there: quarantine',
            [r'index \(0x7\): out of order', QUARANTINE], lost='iv', long=True),
    damaged('unit-ss', field(records(UNIT), 56, '<Q', lambda n: n ^ 0x400),
            'the unit was in another mode, by its record: quarantine',
            ['its registers are not those of the record', QUARANTINE], lost='iv', long=True,
            iommu='scalable-ss'),
    damaged('domain-ss', field(records(DOMAIN), 4, '<H', 99),
            'the record of the page table has another version, in scalable mode',
            [r'version \(0x63\): not supported'], lost='iv', long=True, iommu='scalable-ss'),
    damaged('domain-top', field(records(DOMAIN), 24, '<Q', lambda n: n ^ 1 << 20),
            'the page table is another one than that of the entry',
            ['pasid0 .*: not the table of the domain'], lost='iv', long=True,
            iommu='scalable-ss'),
    damaged('domain-fs', field(records(DOMAIN), 32, '<Q', lambda n: n - 1),
            'the page table has more tables than its record says, first stage',
            ['cannot be restored'], lost='iv', long=True, iommu='scalable-fs'),
]


def undrained(run):
    """The old kernel gave up on the unit, and the new one blocks it."""
    return says('invalidation does not end, it will be blocked', boot=0)(run) + abandoned.check(run)


UNDRAINED = given_up(
    'undrained', "the IOMMU's invalidations do not end at the jump: quarantine",
    ['the handover was not completed', QUARANTINE], {'lost': 'iv'}, undrained,
    kernels=('break', 'new'), append='liveupdate_break=drain')


def nomem(name, lines, long=True, lost='iv', judge=abandoned.check, **options):
    """Return a scenario: an allocation that comes before any process fails in the new kernel."""
    return given_up(f'nomem-{name}', f'the new kernel has no memory for it ({name}): abandoned',
                    lines, {'lost': lost, **options}, judge, kernels=INTO_BREAK, long=long,
                    append=next_words([f'liveupdate_break=nomem_{name}']))


NOMEM = [
    nomem('unit', [r'record \d+ is lost', QUARANTINE]),
    nomem('domain', [r'record \d+ is lost', 'its device is lost', 'stopped and blocked']),
    nomem('device', [r'record \d+ is lost', 'stopped and blocked']),
    nomem('index', ['its device is lost', 'stopped and blocked']),
    nomem('pci', ['cannot tell which devices were kept', 'may be a kept device, stopped'],
          judge=stopped_and_reset, taken=1),
    nomem('adopt', [QUARANTINE]),
    nomem('did', ['stopped and blocked'], have='mi', lost='v', long=False),
]


def lost(name, words, summary, lines, more=None, at=None, **options):
    """Return a scenario: the new kernel cannot have the device, mostly for its command line."""
    def check(run):
        return says(*lines)(run) + stopped_first(run) + (more(run) if more else [])
    return Scenario(name=name, test='jump', rate=2000,
                    judges=('verdict', 'console'), options=options, summary=summary,
                    append=next_words(words), kept_until='retrieved', check=check,
                    at={'abandoned': abandoned.at_abandoned, **(at or {})})


LOST = [
    lost('cmdline-intremap-off', ['intremap=off'], 'no interrupt remapping: the device is refused',
         ['nobody claimed it|was not retrieved'], have='mi', lost='v', running=1, fresh=0),
    lost('cmdline-kho-off', ['kho=off'], 'KHO is off: devices are stopped before memory is used',
         ['devices were kept but KHO is off: stopping all devices',
          'was running when it was found: reset'], stood_early, session=0,
         have='', taken=1),
]


def without_map(_, memory):
    """Take the name of the map of what is preserved away."""
    name = b'preserved-memory-map'
    found = [memory.bytes.find(name, tree, tree + handover.PAGE) for tree in memory.trees()]
    return [(at, b'X') for at in found if at >= 0]


def without_tree(_, memory):
    """Have the root of KHO's tree no longer be one."""
    return [(at, bytes(4)) for at in memory.trees()]


def stand_by(run):
    """End the machine, which does not end itself, some seconds after the damage."""
    limit = time.monotonic() + 90
    while 'changed' not in run.marks and time.monotonic() < limit:
        time.sleep(0.1)
    time.sleep(5)
    run.marks['read'] = time.time()
    run.machine.qmp.command('quit')


def stands_after(change):
    """Return what damages the map, and gives the machine some seconds."""
    def at_kexec(run):
        handover.between(change)(run)
        threading.Thread(target=stand_by, args=(run,), daemon=True).start()
    return at_kexec


def stopped_and_panicked(run):
    """The device was stopped before the kernel gave up, and translation stayed on."""
    writes, end = command_writes(run), run.marks.get('read', run.ended)
    if not writes or writes[-1].value & 4:
        return ['the device was not stopped']
    found = ['translation went off'] if trace.translation_off(
        run.events, run.marks['kexec'], end) else []
    later = trace.within(run.events, writes[-1].time + 0.1, end)
    found += ['frames landed after it was stopped'] if trace.landings(later) else []
    told = any('Kernel panic - not syncing: KHO cannot be revived' in line
               for line in run.console)
    return found + ([] if told else ['the early console does not say why'])


EARLY = 'earlyprintk=serial,ttyS0,115200'


def panics(name, summary, **more):
    """Return a scenario: the preserved memory cannot be found, and the operator is told so."""
    return Scenario(**{
        'name': f'damaged-{name}', 'test': 'jump', 'rate': 2000, 'judges': (), 'stages': 1,
        'ending': 'guest-reset', 'check': stopped_and_panicked, 'summary': summary,
        'append': next_words([EARLY]), **more})


LOST_ALL = [
    lost('damaged-tree', [], "the root of KHO's tree is not one: devices are stopped at once",
         ['handover FDT .* is invalid', 'nobody can tell whether devices were kept',
          'was running when it was found: reset'], stood_early,
         {'kexec': handover.between(without_tree)}, session=0, have='', taken=1),
    panics('map', 'what is preserved cannot be found: devices are stopped, the machine reboots',
           at={'kexec': handover.between(without_map)}),
    panics('map-still', 'the same without panic=: the machine stands still', long=True,
           append=next_words([EARLY], ['panic=-1']), ending='host-qmp-quit',
           at={'kexec': stands_after(without_map)}),
    panics('map-crash', 'the new kernel takes itself for a crash kernel: the same',
           append=next_words([EARLY, 'elfcorehdr=1M'])),
]


def without_node(_, memory):
    """Have a pointer in the map of what is preserved lead where no memory is."""
    root = memory.map_root()
    at = next(a for a in range(root, root + handover.PAGE, 8) if memory.number(a, '<Q'))
    return [(at, struct.pack('<Q', 0x4141414141414000))]


def runs_on(run):
    """The kernel stands still; the device goes on into its own memory, translated."""
    if not {'changed', 'read'} <= set(run.marks):
        return ['nothing was changed, or the machine ended']
    begin, end = run.marks['kexec'], run.marks['read']
    found = ['translation went off'] if trace.translation_off(run.events, begin, end) else []
    found += ['DMA faulted'] if trace.faults(trace.within(run.events, begin, end),
                                             [run.bdf]) else []
    if not trace.landings(trace.within(run.events, end - 1, end)):
        found.append('no frame landed any more')
    told = any('PANIC: early exception' in line for line in run.console)
    return found + ([] if told else ['the early console does not tell of an exception'])


LOST_NODE = Scenario(
    name='damaged-node', test='jump', rate=2000, judges=(), stages=1, ending='host-qmp-quit',
    at={'kexec': stands_after(without_node)}, check=runs_on, long=True,
    append=next_words([EARLY]),
    summary='a pointer in the map of what is preserved leads nowhere: the kernel stands still')


def switch_slot(run, on):
    """Switch the slot on or off, from outside; a card that is in it when it goes off is gone."""
    qtest, port = run.machine.qtest, '00:05.0'
    config = qtest.config(port)
    at = config[0x34]
    while config[at] != 0x10:
        at = config[at + 1]
    bits = 0x0100 if on else 0x0700
    qtest.write(qtest.ecam(port, at + 0x18), struct.pack('<H', bits | config[at + 0x18] & 0xff))


def unplug(run, _):
    """The card is gone."""
    switch_slot(run, False)
    return []


NIC = nic_bdf('rp')
# The slots of root ports are PCI Express ones: a card can be taken out when its slot is off.
NATIVE = ('-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off')


def plug(run, **card):
    """Take the card out and put another one in, at the same address; return where its BARs were."""
    config = run.machine.qtest.config(NIC)
    switch_slot(run, False)
    run.machine.qmp.command('device_add', id='other', bus='rp0', **card)
    switch_slot(run, True)
    return struct.unpack_from('<6I', config, 0x10)


def plug_twin(run, _):
    """A card of the same model: firmware gave it the same addresses, and it is a bus master."""
    qtest = run.machine.qtest
    bars = plug(run, driver='e1000e', netdev='net0', mac=NIC_MAC[:-2] + '57')
    for number, value in enumerate(bars):
        qtest.writel(qtest.ecam(NIC, 0x10 + 4 * number), value)
    qtest.writel(qtest.ecam(NIC, 4), 7)
    return []


def plug_other(run, _):
    """A card that does DMA whenever the host likes."""
    run.window = plug(run, driver='iommu-testdev')[0]
    return []


KEPT_IOVA = (64 << 30) + (64 << 10)         # where the guest has its pattern


def poke_kept(run):
    """The other card tries to write to the memory that was kept."""
    qtest = run.machine.qtest
    if not qtest.readl(qtest.ecam(NIC, 0x10)) & ~0xf:
        qtest.writel(qtest.ecam(NIC, 0x10), run.window)
    qtest.writel(qtest.ecam(NIC, 4), 6)
    run.poker = Poker(qtest, NIC, KEPT_IOVA)
    run.poker.thread.start()


def poke_own(run):
    """Its own driver has mapped a page."""
    info = run.verdict.info()
    run.result = Poker(run.machine.qtest, NIC, int(info['testdev_iova2'], 16),
                       int(info['testdev_pa2'], 16)).access()


def nothing_reached(run):
    """All of its accesses failed, until it had a mapping of its own."""
    if not hasattr(run, 'poker') or not hasattr(run, 'result'):
        return ['the other card was not used']
    results = [result for _, result, _ in run.poker.results if result is not None]
    through = [result for result in results if result != FAILED]
    run.figures['other_accesses'] = len(results)
    found = [f'{len(through)} accesses to kept memory went through'] if through else []
    found += [] if len(results) > 20 else [f'only {len(results)} accesses were tried']
    return found + ([f'its own mapping does not work: {run.result:#x}'] if run.result else [])


def is_refused(run):
    """The kernel says so, and nothing is reached."""
    return says('is not the kept device, lost', 'cannot be restored')(
        run) + nothing_reached(run)


OTHER = Scenario(
    name='replaced', test='jump', rate=2000, judges=JUDGES, topology='rp', extra=NATIVE,
    options={'gone': 1, 'lost': 'iv', 'other': 1}, needs=('device:iommu-testdev',),
    at={'kexec': handover.between(plug_other), 'booted': poke_kept,
        'abandoned': lambda run: run.poker.stop(), 'testdev': poke_own},
    kept_until='retrieved', check=is_refused,
    summary='another card is in its slot: blocked until its own driver maps')

REPLACED = [
    OTHER,
    broken(OTHER, 'other', ('check',), INTO_BREAK),
    Scenario(name='replaced-twin', test='jump', rate=2000, judges=JUDGES, topology='rp',
             extra=NATIVE, iommu='scalable-fs', options={'lost': 'iv', 'taken': 1},
             at={'kexec': handover.between(plug_twin), 'abandoned': abandoned.at_abandoned},
             kept_until='retrieved', check=says('has another serial number, lost'),
             summary='a card of the same model is in its slot: refused, and an ordinary one'),
]


def unbound(_, memory):
    """The record names a driver that the new kernel has not."""
    return field(lambda m: m.functions()[0], 120, '32s', b'vfio-pci-of-old')(None, memory)


LATE = Scenario(
    name='late-driver', test='dma', rate=2000, judges=FRAME_JUDGES, options={'unbound': 1},
    at={'kexec': handover.between(unbound)},
    summary='no driver has taken the card: try again, then bound and retrieved; DMA goes on')


INTRUDER = Scenario(
    name='intruder', test='dma', kernels=('old', 'break'), rate=2000, judges=FRAME_JUDGES,
    options={'intruder': 1}, append='liveupdate_delay=retrieve:400',
    summary='another process wants the card while it is retrieved, and does not get it')


def ordinary_again(run):
    """The second jump stopped the card first; the third kernel knows nothing of it."""
    lines = [line for _, boot in console.boots(run.console)[2:] for line in boot]
    found = [line for line in lines if re.search('iommu: live|PCI: live|kept', line)]
    return [f'the third kernel says {line!r}' for line in found] + stopped_first(
        run, 'kexec2', 'kexec2', 'booted2')


def again(name, summary, **options):
    """Return a scenario: three kernels, and nothing is preserved for the third."""
    return Scenario(name=f'again-{name}', test='again', kernels=('old', 'new', 'old'), rate=500,
                    judges=('verdict', 'console', 'handover'), options=options,
                    timeout=200, check=ordinary_again, summary=summary)


AGAIN = [
    again('untaken', 'nobody retrieves the card, and the next kexec is an ordinary one'),
    again('taken', 'it is retrieved and finished, and the next kexec is an ordinary one', take=1),
]

VANISHED = Scenario(
    name='vanished', test='jump', rate=2000, judges=JUDGES, topology='rp',
    options={'gone': 1, 'lost': 'iv'}, at={'kexec': handover.between(unplug)},
    kept_until='retrieved', check=says('a device that is gone: cannot be restored'),
    summary='the device is gone: its memory is whole, the rest is refused')

BY_NAME = {s.name: s for s in LOST + DAMAGED}
CONTROLS = [
    broken(BY_NAME['damaged-device'], 'scrub_stop', ('check',), INTO_BREAK),
    broken(BY_NAME['cmdline-kho-off'], 'stop_all', ('check',), INTO_BREAK),
    broken(BY_NAME['cmdline-kho-off'], 'reset', ('check',), INTO_BREAK),
]

SCENARIOS = (COMMAND_LINES + LOST + DAMAGED + NOMEM +
             [UNDRAINED, *LOST_ALL, LOST_NODE, VANISHED, *REPLACED, LATE, INTRUDER, *AGAIN] +
             CONTROLS)
