# SPDX-License-Identifier: GPL-2.0-only
"""Several virtual machines with several NICs each, all kept in one update."""
from dataclasses import replace

from harness import many
from harness.machine import Nic
from harness.scenario import Scenario

# A card's number is its place in the order of addresses; machine = number modulo machines.
ROOT = tuple(Nic(slot) for slot in range(8, 16))
PORTS = tuple(Nic(0x10 + n, bus=n + 1) for n in range(8))
RATE = 125
JUDGES = ('verdict', 'console', 'handover', 'translation', 'faults', 'invalidation',
          'config-writes', 'resets', 'mappings', 'afterwards')


def scenario(name, **more):
    """Return a scenario: four machines with four NICs each, two of them behind root ports."""
    return Scenario(**{
        'name': name, 'test': 'many', 'topology': 'none', 'nics': ROOT + PORTS, 'rate': RATE,
        'judges': JUDGES, 'check': many.check, 'at': {'last': many.at_last}, 'timeout': 240,
        **more})


def left(number):
    """Return the control: one card is not kept, and only its frames are lost."""
    nics = list(ROOT[:2] + PORTS[:2])
    nics[number] = replace(nics[number], kept=False)
    bdf = nics[number].bdf
    return scenario('negative-many', nics=tuple(nics), must_fail=('check',),
                    options={'vms': 2, 'cards': 2, 'leave': number},
                    check=lambda run: many.only(run, bdf),
                    summary='control: one of four NICs is not kept, and the loss is only its own')


HOT = Nic(0x12, bus=2, plugged=False)

SCENARIOS = [
    scenario('many-legacy', summary='four machines with four NICs each in one update'),
    scenario('many-ss', iommu='scalable-ss', long=True,
             summary='the same: VT-d scalable-ss'),
    scenario('many-fs', iommu='scalable-fs', long=True,
             summary='the same: VT-d scalable-fs'),
    scenario('many-one', nics=ROOT[:2] + PORTS[:2], options={'vms': 1, 'cards': 4},
             iommu='scalable-ss', summary='four NICs of one machine, in one session'),
    left(1),
    scenario('many-hotplug', nics=ROOT[:1] + PORTS[:1] + (HOT,), iommu='scalable-fs',
             options={'vms': 2, 'cards': 2, 'hot': 1},
             extra=('-global', 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off'),
             at={'last': many.at_last, 'plug': many.plug(HOT), 'plugged': many.plugged(HOT)},
             summary='a NIC is plugged in while others are preserved, and kept, too'),
]
