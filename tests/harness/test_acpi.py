# SPDX-License-Identifier: GPL-2.0-only
"""An RMRR is added to the DMAR table, and all checksums are right after it."""
import struct
import unittest

from harness import acpi

ROOT, DMAR, WAET = 0x3000, 0x2000, 0x2050


class Memory:
    """A guest's memory."""

    def __init__(self):
        self.bytes = bytearray(0x100000)
        self.write(DMAR, acpi.checksummed(b'DMAR' + bytes(32 + 40)))
        self.write(WAET, acpi.checksummed(b'WAET' + bytes(36)))
        self.write(ROOT, acpi.checksummed(b'RSDT' + bytes(32) + struct.pack('<2I', DMAR, WAET)))

    def root(self):
        """Let the firmware finish."""
        pointer = bytearray(b'RSD PTR ' + bytes(8) + struct.pack('<I', ROOT))
        pointer[8] = -sum(pointer) & 0xff
        self.write(0xf5a50, pointer)

    def read(self, address, length):
        """Read."""
        return bytes(self.bytes[address:address + length])

    def write(self, address, data):
        """Write."""
        self.bytes[address:address + len(data)] = data


class Acpi(unittest.TestCase):
    """The tables of QEMU, in small."""

    def setUp(self):
        self.memory = Memory()
        self.rmrr = acpi.rmrr(0xf0000, 0xf0fff, [(6, 0)])

    def test_structure(self):
        """The structure is as the VT-d specification has it."""
        self.assertEqual(self.rmrr[:4], b'\x01\x00\x20\x00')
        self.assertEqual(self.rmrr[8:24], struct.pack('<QQ', 0xf0000, 0xf0fff))
        self.assertEqual(self.rmrr[24:], b'\x01\x08\x00\x00\x00\x00\x06\x00')

    def test_added(self):
        """DMAR is longer, the table behind it is gone, every sum is zero."""
        self.memory.root()
        before = acpi.read_table(self.memory, DMAR)
        acpi.add_rmrr(self.memory, self.rmrr)
        after = acpi.read_table(self.memory, DMAR)
        self.assertEqual(after[acpi.HEADER:], before[acpi.HEADER:] + self.rmrr)
        root = acpi.read_table(self.memory, ROOT)
        self.assertEqual(root[acpi.HEADER:], struct.pack('<I', DMAR))
        self.assertEqual([sum(after) & 0xff, sum(root) & 0xff], [0, 0])

    def test_not_yet(self):
        """A pointer without its checksum is none."""
        self.memory.root()
        self.memory.write(0xf5a58, bytes(1))
        self.assertIsNone(acpi.find_root(self.memory))

    def test_refused(self):
        """Nothing is written where there is no room, or nothing yet."""
        with self.assertRaises(acpi.AcpiError):
            acpi.add_rmrr(self.memory, self.rmrr)
        self.memory.root()
        before = bytes(self.memory.bytes)
        with self.assertRaises(acpi.AcpiError):
            acpi.add_rmrr(self.memory, self.rmrr * 2)
        self.assertEqual(bytes(self.memory.bytes), before)


if __name__ == '__main__':
    unittest.main()
