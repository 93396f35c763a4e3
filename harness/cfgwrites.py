# SPDX-License-Identifier: GPL-2.0-only
"""The config-write lint: every write to a function on the kept path must be on the allow-list.

QEMU does not model what most of these registers do to traffic (bridge bus mastering, bus numbers,
D3hot, MPS, ASPM, ACS), so a run cannot show the harm: the write itself is the defect.

A line of the allow-list:  ROLE WHERE/SIZE CONDITION[,CONDITION] REASON...
  ROLE        endpoint, bridge or both
  WHERE       an offset, cap:ID+OFFSET or ecap:ID+OFFSET (all hexadecimal)
  CONDITION   set:MASK all these bits are written as one, clear:MASK as zero, keep:MASK with the
              value they have, same the register already has this value, any
"""
import re
from dataclasses import dataclass, field

LINE = re.compile(r'(endpoint|bridge|both)\s+(\S+)/([124])\s+(\S+)\s+(\S.*)$')
WORD, LONG = 0xffff, 0xffffffff
DECODE = (0x04, 1, 3)           # I/O and memory space enable
# What says which addresses a function decodes: (offset, size, bits). BARs, the expansion ROM's
# one, of a bridge also the windows
ADDRESSES = {
    'endpoint': (DECODE, *((at, 4, LONG) for at in range(0x10, 0x28, 4)), (0x30, 4, LONG)),
    'bridge': (DECODE, (0x10, 4, LONG), (0x14, 4, LONG), (0x1c, 2, WORD),
               *((at, 4, LONG) for at in range(0x20, 0x34, 4)), (0x38, 4, LONG)),
}
PLACE = re.compile(r'(?:(cap|ecap):([0-9a-f]+)\+)?(0x[0-9a-f]+)$')


class AllowListError(Exception):
    """A line of the allow-list cannot be understood."""


@dataclass
class Rule:
    """One line of the allow-list."""

    role: str
    kind: str
    ident: int
    offset: int
    size: int
    conditions: list
    reason: str
    line: int


@dataclass
class Result:
    """What the lint found."""

    allowed: list = field(default_factory=list)         # (write, rule)
    refused: list = field(default_factory=list)         # (write, why)

    def table(self):
        """Return readable lines, the refused writes first."""
        lines = [f'REFUSED {show(w)}: {why}' for w, why in self.refused]
        counts = {}
        for write, rule in self.allowed:
            key = (write.bdf, write.offset, rule.reason)
            counts[key] = counts.get(key, 0) + 1
        return lines + [f'allowed {bdf} @{offset:#05x} x{n}: {reason}'
                        for (bdf, offset, reason), n in sorted(counts.items())]


def show(write):
    """Return a write in readable form."""
    return f'{write.device} {write.bdf} @{write.offset:#x} <- {write.value:#x}'


def parse_rules(text):
    """Return the rules of an allow-list."""
    rules = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith('#'):
            continue
        match = LINE.match(line)
        place = PLACE.match(match[2]) if match else None
        if not place:
            raise AllowListError(f'line {number}: {line!r}')
        conditions = match[4].split(',')
        for condition in conditions:
            if not re.match(r'(set|clear|keep):0x[0-9a-f]+$|same$|any$', condition):
                raise AllowListError(f'line {number}: condition {condition!r}')
        rules.append(Rule(match[1], place[1] or 'fixed', int(place[2] or '0', 16),
                          int(place[3], 16), int(match[3]), conditions, match[5], number))
    return rules


def capabilities(config):
    """Return {('cap'|'ecap', id): offset} of a config space."""
    found = {}
    at = config[0x34] & 0xfc
    for _ in range(48):
        if at < 0x40:
            break
        found.setdefault(('cap', config[at]), at)
        at = config[at + 1] & 0xfc
    at = 0x100
    for _ in range(96):
        header = int.from_bytes(config[at:at + 4], 'little')
        if at < 0x100 or header in (0, 0xffffffff):
            break
        found.setdefault(('ecap', header & 0xffff), at)
        at = header >> 20 & 0xffc
    return found


class Function:
    """A function on the path, with the value each of its registers has."""

    def __init__(self, bdf, role, config):
        self.bdf = bdf
        self.role = role
        self.config = bytes(config)
        self.shadow = bytearray(config)
        self.capabilities = capabilities(config)

    def kept(self, offset, size):
        """Return the value of a register when the device was kept."""
        return int.from_bytes(self.config[offset:offset + size], 'little')

    def register(self, offset, size):
        """Return the value of a register."""
        return int.from_bytes(self.shadow[offset:offset + size], 'little')

    def find(self, rules, offset):
        """Return the rules that speak about an offset."""
        found = []
        for rule in rules:
            start = 0 if rule.kind == 'fixed' else self.capabilities.get((rule.kind, rule.ident))
            if rule.role in (self.role, 'both') and start is not None \
                    and start + rule.offset == offset:
                found.append(rule)
        return found

    def check(self, rule, write):
        """Return why a write breaks a rule, or None; then its value is remembered."""
        size = 8 * rule.size
        if write.value >> size:
            return f'wider than {rule.size} bytes'
        before = self.register(write.offset, rule.size)
        for condition in rule.conditions:
            name, _, mask = condition.partition(':')
            bits = int(mask, 16) if mask else 0
            if name == 'set' and write.value & bits != bits:
                return f'bits {bits:#x} must stay set'
            if name == 'clear' and write.value & bits:
                return f'bits {bits:#x} must stay clear'
            if name == 'keep' and (write.value ^ before) & bits:
                return f'bits {bits:#x} must stay as they are ({before:#x})'
            if name == 'same' and write.value != before:
                return f'the register has {before:#x}'
        self.store(write, rule.size)
        return None

    def store(self, write, size):
        """Remember a value that was written."""
        data = (write.value & ((1 << 8 * size) - 1)).to_bytes(size, 'little')
        self.shadow[write.offset:write.offset + size] = data


def lint(writes, functions, rules):
    """Judge the writes of a window; functions are the Functions of the path."""
    result = Result()
    by_bdf = {f.bdf: f for f in functions}
    names = {'e1000e': 'endpoint', 'pcie-root-port': 'bridge'}
    for write in writes:
        function = by_bdf.get(write.bdf)
        if function is None:
            if write.device in names:
                result.refused.append((write, 'the function is at another address'))
            continue
        why = 'no rule'
        for rule in function.find(rules, write.offset):
            why = function.check(rule, write)
            if why is None:
                result.allowed.append((write, rule))
                break
        if why:
            result.refused.append((write, why))
    return result


def absences(writes, function):
    """Return when a function did not decode, at its addresses, what it decoded when it was kept.

    One entry is (begin, end, register); end is None when it never did again. What QEMU writes to
    its trace has no size: a write into the middle of a register is taken to go to its end.
    """
    found, since = [], {}
    for write in writes:
        for offset, size, mask in ADDRESSES[function.role]:
            if write.bdf != function.bdf or not offset <= write.offset < offset + size:
                continue
            at = write.offset - offset
            differs = (write.value ^ function.kept(offset, size) >> 8 * at) & mask >> 8 * at
            if differs:
                since.setdefault((offset, at), write.time)
            elif (offset, at) in since:
                found.append((since.pop((offset, at)), write.time, offset))
    return found + [(begin, None, offset) for (offset, _), begin in since.items()]
