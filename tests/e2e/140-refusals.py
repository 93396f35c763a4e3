# SPDX-License-Identifier: GPL-2.0-only
"""What a preserve refuses: each with its errno, its line in the log, and nothing changed."""
from harness import acpi
from harness.scenario import SECOND_NIC, Scenario, with_command

# Slot by slot of the root bus; SeaBIOS numbers the buses below in this order. The NIC that can
# be kept is behind the root port of topology 'rp' (00:05.0), so it is 01:00.0.
DEVICES = (
    'pcie-root-port,id=rp1,bus=pcie.0,addr=06.0,chassis=2', 'igb,bus=rp1',
    'pcie-pci-bridge,id=pb0,bus=pcie.0,addr=08.0', 'e1000,bus=pb0,addr=01.0',
    'pcie-root-port,id=rp2,bus=pcie.0,addr=09.0,chassis=3', 'x3130-upstream,id=up0,bus=rp2',
    'xio3130-downstream,id=dn0,bus=up0,addr=00.0,chassis=4',
    'xio3130-downstream,id=dn1,bus=up0,addr=01.0,chassis=5',
    'e1000e,bus=dn0', 'e1000e,bus=dn1',
    'pcie-root-port,id=rp3,bus=pcie.0,addr=0c.0,chassis=6',
    'virtio-rng-pci-non-transitional,bus=rp3,addr=00.0,multifunction=on',
    'virtio-rng-pci-non-transitional,bus=rp3,addr=00.1,multifunction=on',
    'qemu-xhci,bus=pcie.0,addr=0a.0', 'bochs-display,bus=pcie.0,addr=0b.0',
)
WHERE = {
    'nic': '0000:01:00.0', 'pf': '0000:02:00.0', 'vf': '0000:02:10.0',
    'multi': '0000:08:00.0+0000:08:00.1', 'conventional': '0000:03:01.0',
    'switch': '0000:06:00.0+0000:07:00.0', 'usb': '0000:00:0a.0', 'display': '0000:00:0b.0',
}

# A USB controller uses such memory at boot only; nobody knows that of another device.
FIRMWARE = acpi.rmrr(0xf0000, 0xf0fff, [(6, 0), (0xa, 0)])


def firmware_memory(run):
    """Let the firmware say that 00:06.0 and the USB controller need a direct mapping."""
    acpi.add_rmrr_at_boot(run.machine, FIRMWARE)


SCENARIOS = [
    Scenario(name='refuse-rmrr', test='refuse-rmrr', kernels=('old',), topology='rp',
             begin=firmware_memory, files=with_command, options={'second': '0000:00:06.0'},
             extra=(*SECOND_NIC, '-device', 'qemu-xhci,bus=pcie.0,addr=0a.0'),
             summary='a device that needs a direct mapping behind the same unit'),
    Scenario(name='refusals', test='refuse', kernels=('old',), topology='rp', options=WHERE,
             files=with_command,
             append='vfio_pci.enable_sriov=1 vfio_pci.disable_idle_d3=0',
             extra=tuple(word for device in DEVICES for word in ('-device', device)),
             summary='each refusal of a preserve: its errno, its line, nothing changed'),
    Scenario(name='iommufd-basic', test='iommufd-basic', kernels=('old',),
             summary='what the calls of iommufd take and refuse where nothing is preserved'),
]
