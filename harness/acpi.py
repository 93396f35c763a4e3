# SPDX-License-Identifier: GPL-2.0-only
"""ACPI tables that QEMU never has.

An SSDT that makes a host bridge ejectable is given to QEMU as a file. An RMRR is added to the
guest's DMAR table before the kernel reads it: the tables lie in the guest's memory as SeaBIOS put
them there, and the RMRR takes the place of the table behind DMAR (WAET, which only says something
about timers), so that nothing has to move.
"""
import struct
import time

RMRR = 1
ENDPOINT = 1
HEADER = 36


class AcpiError(Exception):
    """The tables are not where, or not what, they should be."""


def checksummed(table):
    """Return the table with its length and its checksum put right."""
    table = bytearray(table)
    table[4:8] = struct.pack('<I', len(table))
    table[9] = 0
    table[9] = -sum(table) & 0xff
    return bytes(table)


def ejectable(name):
    """Return an SSDT that gives a device of the root scope, like PCI0, a method _EJ0."""
    method = b'_EJ0\x01'                         # one argument, does nothing
    method = bytes([0x14, 1 + len(method)]) + method
    scope = b'\\\x2e_SB_' + name.encode().ljust(4, b'_') + method
    scope = bytes([0x10, 1 + len(scope)]) + scope
    header = struct.pack('<4sIBB6s8sI4sI', b'SSDT', 0, 2, 0, b'FERRY ', b'EJECT   ', 1, b'FERY', 1)
    return checksummed(header + scope)


def rmrr(base, end, devices):
    """Return an RMRR structure for functions of bus 0, given as (device, function)."""
    scopes = b''.join(struct.pack('<BBHBBBB', ENDPOINT, 8, 0, 0, 0, device, function)
                      for device, function in devices)
    return struct.pack('<HHHHQQ', RMRR, 24 + len(scopes), 0, 0, base, end) + scopes


def find_root(memory):
    """Return the address of the RSDT, or None when the firmware is not that far.

    The pointer to it gets its checksum last of all tables.
    """
    area = memory.read(0xf0000, 0x10000)
    for at in range(0, len(area) - 20, 16):
        if area[at:at + 8] == b'RSD PTR ' and not sum(area[at:at + 20]) & 0xff:
            return struct.unpack_from('<I', area, at + 16)[0]
    return None


def read_table(memory, address):
    """Return a whole table."""
    length = struct.unpack_from('<I', memory.read(address, HEADER), 4)[0]
    if not HEADER <= length < 0x10000:
        raise AcpiError(f'a table of {length} bytes')
    return memory.read(address, length)


def add_rmrr(memory, structure):
    """Add a structure to the DMAR table in place of the table behind it."""
    root = find_root(memory)
    if root is None:
        raise AcpiError('no RSDT')
    rsdt = read_table(memory, root)
    entries = list(struct.unpack_from(f'<{(len(rsdt) - HEADER) // 4}I', rsdt, HEADER))
    where = next((e for e in entries if memory.read(e, 4) == b'DMAR'), None)
    if where is None:
        raise AcpiError('no DMAR table')
    dmar = checksummed(read_table(memory, where) + structure)
    behind = min((e for e in [*entries, root] if e > where), default=None)
    if behind == root or behind is None:
        raise AcpiError('no table behind DMAR')
    room = behind + len(read_table(memory, behind)) - where
    if len(dmar) > room:
        raise AcpiError(f'{len(dmar)} bytes do not fit in {room}')
    entries.remove(behind)
    memory.write(where, dmar)
    memory.write(root, checksummed(rsdt[:HEADER] + struct.pack(f'<{len(entries)}I', *entries)))


def add_rmrr_at_boot(machine, structure, limit=20):
    """Wait for the firmware to write the tables, then change them while the machine stands."""
    deadline = time.monotonic() + limit
    while find_root(machine.qtest) is None:
        if time.monotonic() > deadline:
            raise AcpiError('the firmware wrote no tables')
        time.sleep(0.005)
    machine.qmp.command('stop')
    add_rmrr(machine.qtest, structure)
    machine.qmp.command('cont')
