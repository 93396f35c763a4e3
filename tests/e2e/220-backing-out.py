# SPDX-License-Identifier: GPL-2.0-only
"""A live update that does not take place: it is as if nobody had begun one."""
from dataclasses import replace

from harness import acpi, console, trace
from harness.scenario import FRAME_JUDGES, SECOND_NIC, Scenario, broken

JUDGES = ('verdict', 'console', 'translation', 'faults')


def never_faulted(run):
    """Nor did the device fault when its users were killed: it was stopped before it was blocked."""
    seen = trace.faults(trace.within(run.events, run.marks.get('ready', 0), run.ended), [run.bdf])
    return [f'{len(seen)} DMA faults in all'] if seen else []


OUT = Scenario(
    name='back-out', test='back-out', kernels=('break', 'new'), stages=1, rate=2000,
    judges=JUDGES, kept_until='closing', extra=SECOND_NIC, check=never_faulted, timeout=60,
    options={'timeout': 5000},
    append='vfio_pci.disable_idle_d3=1 liveupdate_delay=frozen:300',
    summary='called off in every way before the jump: DMA, interrupts and changes go on')


def silenced(run):
    """Return when bus mastering of the NIC was switched off after the machine began to go down."""
    events = trace.within(run.events, run.marks.get('down', run.ended), run.ended)
    return next((w.time for w in trace.config_writes(events)
                 if w.bdf == run.bdf and w.offset == 4 and not w.value & 4), None)


def stopped_first(run):
    """An orderly end: the device is stopped while its IOMMU translates, and does nothing more."""
    when = silenced(run)
    if when is None:
        return ['bus mastering was never switched off']
    found = []
    events = trace.within(run.events, run.marks['preserved'], run.ended)
    times = trace.landings(events)
    if not [t for t in times if t < when] or trace.deliveries(events) <= len(times):
        found.append('no frame came in before and after the stop: this shows nothing')
    after = [t for t in times if t > when + 0.001]
    if after:
        found.append(f'{len(after)} frames landed after the device was stopped')
    found += [f'translation was off {1000 * (when - a):.1f} ms before the device was stopped'
              for a, _ in trace.translation_off(run.events, run.marks['preserved'], when)]
    return found + down_faults(run)


def translated_to_the_end(run):
    """An end without order: the device goes on into its own memory until the machine is reset."""
    gaps = trace.translation_off(run.events, run.marks['preserved'], run.ended)
    found = ['translation was switched off under a running device'] if gaps else []
    if not trace.ever_on(run.events, run.marks['preserved']):
        found.append('translation was never on')
    return found + down_faults(run)


def panicked(run):
    """The same in the second the kernel waits after a panic, in which frames go on to land."""
    landed = trace.landings(trace.within(run.events, run.marks.get('down', 0), run.ended))
    found = [] if len(landed) > 100 else [f'{len(landed)} frames landed during the panic']
    return found + translated_to_the_end(run)


def panicked_frozen(run):
    """The same. The jump has the lock of all kexec images: the crash kernel is not started."""
    found = [] if any('staying at frozen' in line for line in run.console) else [
        'it was not between freeze and jump']
    return found + panicked(run)


def down_faults(run):
    """No fault from the preserve to the very end."""
    seen = trace.faults(trace.within(run.events, run.marks['preserved'], run.ended))
    return [f'{len(seen)} DMA faults'] if seen else []


def down(how, ending, check, summary, **more):
    """Return the scenario of one way to go down.

    A frame has to come in between the stop and the end, which is soon: they come twice as often.
    """
    return Scenario(name=f'back-{how}', test='back-down', options={'how': how}, stages=1,
                    rate=4000, ending=ending, check=check, summary=summary, timeout=40, **more)


REBOOT = down('reboot', 'guest-reset', stopped_first,
              'an ordinary reboot with a kept device: stopped, then the IOMMU goes off')

SLEEP = Scenario(
    name='back-sleep', test='back-sleep', stages=1, rate=2000, judges=JUDGES,
    kept_until='closing', check=never_faulted, timeout=60,
    append='movablecore=384M kho_scratch=16M,64M,0M', ssdt=acpi.ejectable('PCI0'),
    summary='suspend, hibernation, memory and host bridge that go away: refused while kept')


def was_parked(run):
    """The jump was made while another CPU held the locks, and an NMI had to stop it."""
    boots = console.boots(run.console)
    old = '\n'.join(boots[0][1]) if boots else ''
    return [f'the old kernel did not say {words!r}' for words in
            ('is parked with the locks of 1 units', 'Shutting down cpus with NMI')
            if words not in old]


PARK = Scenario(
    name='back-park', test='dma', kernels=('break', 'new'), rate=2000, judges=FRAME_JUDGES,
    append='liveupdate_break=park', check=was_parked,
    summary='a CPU is stopped with the locks of the IOMMU: the jump needs none of them')

SCENARIOS = [
    SLEEP,
    broken(SLEEP, 'sleep,veto', ('verdict',), stages=1, long=True),
    broken(SLEEP, 'offline', ('verdict',), stages=1, timeout=40, long=True),
    PARK,
    replace(PARK, name='negative-break-lockless', append='liveupdate_break=park,lockless',
            must_fail=('verdict',), stages=1, timeout=40, long=True,
            summary='control: the shutdown takes a lock, which must be noticed'),
    REBOOT,
    broken(REBOOT, 'down', ('check',)),
    down('poweroff', 'guest-shutdown', stopped_first,
         'a power-off with a kept device: stopped, then the IOMMU goes off'),
    down('emergency', 'guest-reset', translated_to_the_end,
         'an emergency restart with a kept device: nothing lands where it should not'),
    down('panic', 'guest-reset', panicked, append='panic=1',
         summary='a panic with a kept device: nothing lands where it should not',
         tolerate=('Kernel panic - not syncing: sysrq triggered crash',)),
    down('frozen', 'guest-reset', panicked_frozen, kernels=('break', 'new'), long=True,
         append='panic=1 crashkernel=128M kho_scratch=32M,288M,0M liveupdate_delay=frozen:3000',
         summary='a panic between freeze and jump, with a crash kernel: the machine is reset',
         tolerate=('Kernel panic - not syncing: sysrq triggered crash',)),
    OUT,
    replace(OUT, name='back-out-thousand', options={'timeout': 5000, 'cycles': 1000}, timeout=120,
            long=True, summary='the same, with a thousand live updates that are called off'),
    broken(OUT, 'kick', ('verdict',)),
]
