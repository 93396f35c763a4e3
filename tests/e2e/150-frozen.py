# SPDX-License-Identifier: GPL-2.0-only
"""What may not change while a device is preserved, and that nothing hangs because of it."""
from dataclasses import replace

from harness.scenario import FRAME_JUDGES, SECOND_NIC, Scenario, broken

ACPI = ('-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=on')
# The slots of root ports are PCI Express ones, so that their buttons are there.
NATIVE = ('-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off')
# The judge of resets sees those of the second device, too.
NO_D3 = 'vfio_pci.disable_idle_d3=1'
JUDGES = ('verdict', 'console', 'translation', 'faults', 'resets')


def press_button(run):
    """Press the attention button of the NIC's slot."""
    run.machine.qmp.command('device_del', id='nic0')


FROZEN = Scenario(
    name='frozen', test='frozen', kernels=('old', 'new'), stages=1, topology='rp', rate=2000,
    judges=JUDGES, kept_until='closing', extra=NATIVE + SECOND_NIC, at={'button': press_button},
    timeout=150, append=NO_D3,
    summary='what is refused while a device is preserved; DMA goes on')

# Two functions of one device, the second of which was hidden when the first one was preserved.
BESIDE = ('-global', 'e1000e.multifunction=on', '-device',
          'virtio-rng-pci-non-transitional,bus=rp0,addr=00.1,multifunction=on')

JOIN = Scenario(
    name='join', test='join', kernels=('break', 'new'), stages=1, topology='rp', rate=2000,
    judges=('verdict', 'console', 'faults', 'resets'), kept_until='closing', extra=BESIDE,
    append='liveupdate_break=veto,hidden',
    summary='a function that appears beside a preserved one does not join its group')

SCENARIOS = [
    FROZEN,
    JOIN,
    broken(JOIN, 'join,veto,hidden', ('verdict',)),
    Scenario(name='frozen-window', test='window', kernels=('break', 'new'), topology='rp',
             rate=2000, judges=FRAME_JUDGES, extra=NATIVE + SECOND_NIC,
             append=f'{NO_D3} liveupdate_delay=frozen:600', options={'hammer': 1},
             summary='nothing can be changed between the freeze and the jump, whoever tries'),
    replace(FROZEN, name='frozen-acpi', kernels=('alt', 'new'), extra=ACPI + SECOND_NIC, long=True,
            options={'acpi': 1}, summary='the same when the slot belongs to firmware (acpiphp)'),
    broken(FROZEN, 'frozen', ('verdict',), timeout=30),
    broken(FROZEN, 'veto', ('verdict',), timeout=30),
]
