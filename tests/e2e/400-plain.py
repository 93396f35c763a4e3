# SPDX-License-Identifier: GPL-2.0-only
"""With nothing preserved, kexec, reboot and power-off behave as in the base."""
from harness import trace
from harness.scenario import Scenario

JUDGES = ('verdict', 'console')


def translation_goes_off(run):
    """An ordinary kexec switches translation off, as the base does."""
    begin, end = run.marks.get('kexec'), run.marks.get('booted', run.ended)
    if begin is None:
        return ['there was no kexec']
    gaps = trace.translation_off(run.events, begin, end)
    return [] if gaps else ['translation stayed on through an ordinary kexec']


def nobody_asks(run):
    """The new kernel has no reason to look for kept devices."""
    found = [line for line in run.console if 'cannot tell which devices were kept' in line]
    return translation_goes_off(run) + found


SCENARIOS = [
    Scenario(name='plain-kexec', test='plain-kexec', judges=JUDGES, check=translation_goes_off,
             summary='an ordinary kexec: devices stopped, translation off, as in the base'),
    Scenario(name='plain-kexec-off', test='plain-kexec', judges=JUDGES, check=nobody_asks,
             append='ferry.next=liveupdate=off ferry.dropnext=liveupdate=on',
             summary='the same into a kernel without live update: it takes nobody for kept'),
    Scenario(name='plain-reboot', test='plain-reboot', judges=JUDGES, kernels=('new',),
             ending='guest-reset', summary='an ordinary reboot'),
    Scenario(name='plain-poweroff', test='plain-poweroff', judges=JUDGES, kernels=('new',),
             summary='an ordinary power-off'),
]
