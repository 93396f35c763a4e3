# SPDX-License-Identifier: GPL-2.0-only
"""Judges a device that was given up: it stands still, and what it could reach is out of reach."""
import time

from harness import trace
from harness.sampler import RDH


def at_abandoned(run):
    """The device must stand still, with frames on the wire."""
    def head():
        return run.machine.qtest.readl(run.sampler.bar + RDH)
    run.heads = [head()]
    time.sleep(0.3)
    run.heads.append(head())
    run.sent['continued'] = run.source.stop()
    run.dump('abandoned')


def check(run):
    """Nothing landed and nothing faulted after the device was abandoned."""
    if not hasattr(run, 'heads'):
        return ['the device was never abandoned']
    begin = run.marks['abandoned']
    later = trace.within(run.events, begin, begin + 0.3)
    found = [] if run.heads[0] == run.heads[1] else [f'RDH went on: {run.heads}']
    landed = len(trace.landings(later))
    found += [f'{landed} frames landed after the device was abandoned'] if landed else []
    window = trace.within(run.events, run.marks['kexec'], run.ended)
    faults = trace.faults(window, [run.bdf])
    found += [f'{len(faults)} DMA faults: it was blocked before it was stopped'] if faults else []
    entry = run.dumps['abandoned']['requesters'].get(run.bdf)
    before = run.dumps['before']['requesters'][run.bdf]
    if entry and entry['top'] == before['top']:
        found.append('the entry still points to the old page table')
    return found
