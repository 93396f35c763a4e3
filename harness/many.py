# SPDX-License-Identifier: GPL-2.0-only
"""What is judged of several virtual machines with several NICs each, NIC by NIC.

The guest tells of each NIC, by its address, which machine it belongs to and what is in its
memory: `card_BDF` when all sessions but one are finished, `last_BDF` when that one is, too.
"""
import re

from harness import trace, walker
from harness.judges import Missing

WORD = re.compile(r'(\w+) (\d+)')


def told(run, when):
    """Return {bdf: {word: number}} of what the guest told of each NIC."""
    info = run.verdict.info()
    return {nic.bdf: {word: int(number) for word, number in
                      WORD.findall(info.get(f'{when}_{nic.bdf}', ''))}
            for nic in run.scenario.nics}


def _loss(bdf, counters, inside):
    """Return what is wrong with the frames of one NIC."""
    lost = counters['sent'] - inside['frames']
    found = [f'{bdf}: {lost} of {counters["sent"]} frames lost'] if lost else []
    return found + [f'{bdf}: {word}: {inside[word]}' for word in ('holes', 'dups', 'corrupt')
                    if inside[word]]


def frames(run):
    """Every frame that was sent to a NIC is in the memory of its machine, once."""
    sent, inside = run.sent.get('continued'), told(run, 'card')
    if not sent or not all(inside.values()):
        return [Missing('the guest did not say how many frames each NIC has in memory')]
    figures = run.figures
    figures['frames_sent'] = sum(counters['sent'] for counters in sent.values())
    figures['frames_in_memory'] = sum(words['frames'] for words in inside.values())
    figures['frames_lost'] = figures['frames_sent'] - figures['frames_in_memory']
    drops = {bdf: sum(count for _, _, count, dead in counters['blocks'] if not dead)
             for bdf, counters in sent.items()}
    figures['host_drops'] = sum(drops.values())
    found = [f'invalid run: the host dropped {count} frames to {bdf}'
             for bdf, count in drops.items() if count]
    for bdf, counters in sent.items():
        found += _loss(bdf, counters, inside[bdf])
    landed = trace.landings(trace.within(run.events, run.marks['ready'], run.marks['continued']))
    figures['blackout_ms'] = round(trace.longest_gap(landed), 1)
    figures['kexec_to_userspace_ms'] = round(1000 * (run.marks['booted'] - run.marks['kexec']))
    return found


def last(run):
    """The machine whose session is finished when all others are closed loses nothing."""
    machine, inside = run.verdict.info().get('finished_last'), told(run, 'last')
    sent = run.sent.get('last')
    if machine is None or not sent or not all(inside.values()):
        return [Missing('the last session was not finished')]
    found = []
    for bdf in (bdf for bdf in run.kept if inside[bdf]['vm'] == int(machine)):
        found += _loss(bdf, sent[bdf], inside[bdf])
        found += walker.differences(run.dumps['before'], run.dumps['last'], bdf)[:3]
        window = trace.within(run.events, run.marks['preserved'], run.marks['last'])
        found += [f'{bdf}: it faulted'] if trace.faults(window, [bdf]) else []
    return found


def apart(run):
    """No machine's NICs reach memory of another; a NIC has its own page table where it should."""
    dump, inside = run.dumps.get('retrieved', {}), told(run, 'card')
    pages, found = {}, []
    if not all(inside.values()) or not dump.get('requesters'):
        return [Missing('the entries of the NICs were not read')]
    ids = {}
    for bdf in run.kept:
        entry, machine = dump['requesters'][bdf], inside[bdf]['vm']
        ids.setdefault((machine, bdf if machine % 2 else ''), set()).add(
            (entry['top'], entry['did']))
        for _, physical, size, _, _ in entry['leaves']:
            for page in range(physical, physical + size, walker.PAGE):
                if pages.setdefault(page, machine) != machine:
                    found.append(f'{bdf}: reaches {page:#x}, which is of machine {pages[page]}')
    tables = [pair for group in ids.values() for pair in group]
    run.figures['page_tables'] = len(tables)
    found += ['NICs of one page table have several'] if any(
        len(group) > 1 for group in ids.values()) else []
    for kind, values in zip(('page tables', 'domain ids'), zip(*tables)):
        found += [f'{kind} are shared: {values}'] if len(set(values)) < len(tables) else []
    return found[:5]


def sent_back(run):
    """The frames of each NIC came out of it, whole and in order."""
    found = []
    for bdf, words in told(run, 'last').items():
        seen = run.receivers[bdf]
        if not words:
            found.append(Missing(f'{bdf}: the guest did not say what it sent'))
        elif seen.damaged or seen.numbers != list(range(words['sent'])):
            found.append(f'{bdf}: sent {words["sent"]} frames, {len(seen.numbers)} came out')
    return found


def check(run):
    """Return all objections."""
    return [text for judge in (frames, last, apart, sent_back) for text in judge(run)]


def only(run, wanted):
    """Return all objections; a control in which others than one NIC lost frames is none."""
    found = check(run)
    for text in found:
        if isinstance(text, Missing) or not text.startswith(f'{wanted}: '):
            run.object_to('control', f'not of {wanted}: {text}')
    return found


def at_last(run):
    """Stop the sources, for the count of the machine that was finished last."""
    run.sent['last'] = run.source.stop()
    run.dump('last')


def plug(nic):
    """Return what plugs a NIC in."""
    def at_plug(run):
        run.machine.qmp.command('device_add', **nic.device())
    return at_plug


def plugged(nic):
    """Return what sends to a NIC that was plugged in, from now on."""
    def at_plugged(run):
        run.source.absent.discard(nic.bdf)
        run.source.start()
    return at_plugged
