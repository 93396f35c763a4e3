# SPDX-License-Identifier: GPL-2.0-only
"""Scans the console log of a run for signs that the kernel is not well."""
import re

BAD = re.compile(
    r'WARNING:|WARNING at|BUG:|BUG at|Oops|KASAN|UBSAN|KFENCE|general protection fault|'
    r'INFO: possible|INFO: task|INFO: trying to register|scheduling while atomic|'
    r'sleeping function called|Kernel panic|rcu_.*(stall|self-detected)|'
    r'inconsistent lock state|circular locking|suspicious RCU|Unable to handle|'
    r'unreferenced object|refcount_t:|list_(add|del) corruption|hung_task|soft lockup|'
    r'hard LOCKUP|stack-protector|use-after-free|double free|Bad page|nobody cared')
HARMLESS = re.compile(
    r'KernelAddressSanitizer initialized|kobject_add_internal failed for iommufd_mock|'
    r'vgaarb: bridge control possible|Command line:|Kernel command line:|'
    r'KASAN: shadow|kasan: |debug: unmapping')
KHO_FOUND = re.compile(r'KHO: found kexec handover data')
BOOT = re.compile(r'Linux version (\S+)')


def read(path):
    """Return the lines of a console log."""
    with open(path, encoding='utf-8', errors='replace') as handle:
        return [line.rstrip('\r\n') for line in handle]


def scan(lines, allowed=()):
    """Return the lines that must not be there; allowed is a list of tolerated patterns."""
    tolerated = [re.compile(p) for p in allowed]
    return [line for line in lines
            if BAD.search(line) and not HARMLESS.search(line)
            and not any(p.search(line) for p in tolerated)]


def boots(lines):
    """Split the log into boots: a list of (version, lines)."""
    found = []
    for line in lines:
        match = BOOT.search(line)
        if match:
            found.append((match[1], []))
        if found:
            found[-1][1].append(line)
    return found


def handed_over(lines):
    """Tell for each boot whether it found handover data of its predecessor."""
    return [any(KHO_FOUND.search(line) for line in part) for _, part in boots(lines)]
