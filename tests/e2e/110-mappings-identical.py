# SPDX-License-Identifier: GPL-2.0-only
"""The page-table walker sees the same before and after; and it would see one flipped bit."""
from harness import walker
from harness.scenario import FRAME_JUDGES, Scenario

FLIP = 0x2              # second stage: write permission


def flip_one_bit(run):
    """Flip one bit of one page-table entry in the guest's memory, walk, and put it back."""
    qtest = run.machine.qtest
    kept = run.dumps['before']['requesters'][run.bdf]
    table = kept['tables'][-1]
    words = [int.from_bytes(qtest.read(table + 8 * n, 8), 'little') for n in range(512)]
    index = max(n for n, word in enumerate(words) if word & 7)
    address = table + 8 * index
    qtest.write(address, (words[index] ^ FLIP).to_bytes(8, 'little'))
    changed = walker.Unit(qtest).dump([run.bdf])
    qtest.write(address, words[index].to_bytes(8, 'little'))
    restored = walker.Unit(qtest).dump([run.bdf])
    run.flip = (walker.differences(run.dumps['before'], changed, run.bdf),
                walker.differences(run.dumps['before'], restored, run.bdf))


def check(run):
    """The flipped bit must have been seen, and only it."""
    if not hasattr(run, 'flip'):
        return ['no bit was flipped']
    seen, rest = run.flip
    found = [] if len(seen) == 1 else [f'a flipped bit gave {len(seen)} differences']
    return found + [f'after the bit was put back: {text}' for text in rest[:2]]


SCENARIOS = [
    Scenario(name='mappings-identical', test='dma', rate=2000, judges=FRAME_JUDGES,
             at={'retrieved': flip_one_bit}, check=check,
             summary='the walker\'s dumps are identical, and a flipped bit is noticed'),
]
