# SPDX-License-Identifier: GPL-2.0-only
"""A kept device that nobody wants any more is stopped before its memory is freed."""
from harness.abandoned import at_abandoned, check
from harness.scenario import INTO_BREAK, Scenario, broken

JUDGES = ('verdict', 'console', 'handover', 'translation', 'faults', 'config-writes', 'resets')


def abandoned(retrieve, how, summary, name=None, options=None, **more):
    """Return one scenario."""
    return Scenario(name=name or f'abandon-{retrieve}-{how}', test='abandon', rate=2000,
                    judges=JUDGES, kept_until='retrieved', at={'abandoned': at_abandoned},
                    options={'retrieve': retrieve, 'how': how, **(options or {})},
                    check=check, summary=summary, **more)


def steps():
    """Return a scenario for each set of files that can be retrieved, and each way to let go."""
    words = {'m': 'memfd', 'i': 'iommufd', 'v': 'device'}
    for retrieve in ('m', 'i', 'v', 'mi', 'vm', 'vmi'):
        named = ', '.join(words[letter] for letter in retrieve)
        for how in ('finish', 'close', 'kill'):
            if retrieve + how not in ('mifinish', 'mikill'):
                yield abandoned(retrieve, how, f'{named} retrieved, closed; then {how}', long=True)


NONE = abandoned('none', 'finish', 'never retrieved: stopped, blocked, freed, in that order')

SCENARIOS = [
    NONE,
    abandoned('none', 'close', 'the holder dies without having retrieved anything'),
    abandoned('mi', 'finish', 'memfd and iommufd retrieved, the device not'),
    abandoned('mi', 'kill', 'the holder is killed when it has retrieved memfd and iommufd'),
    abandoned('m', 'deadline', 'nobody comes until the deadline',
              append='ferry.next=iommu.liveupdate_deadline=6'),
    abandoned('mi', 'finish', 'no handler for the device: its file is lost, and no other',
              name='abandon-no-handler', options={'driver': 0},
              append='ferry.next=initcall_blacklist=vfio_pci_init'),
    *steps(),
    broken(NONE, 'stop', ('check',), INTO_BREAK),
]
