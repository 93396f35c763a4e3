# SPDX-License-Identifier: GPL-2.0-only
"""Changes what one kernel hands over to the next, in the moment between them.

The old kernel's last deed to a unit is to switch queued invalidation off. Then the machine is
halted, its memory is searched for the records by their magic numbers, some bytes are changed
through qtest, and the machine goes on. The layouts are those of include/linux/kho/abi/.
"""
import mmap
import os
import struct
import threading
import time

from harness import walker
from harness.ports import PortError

PAGE = 4096
SLOT = 256
GSTS_QIES = 1 << 26
CERTAIN = 3
UNIT, DOMAIN, DEVICE, PASID = 1, 2, 3, 4


class Memory:
    """All of the guest's memory at one moment; it must be one piece from address 0 on."""

    def __init__(self, run, size):
        self.path = run.machine.socket('memory')
        run.machine.qmp.command('pmemsave', val=0, size=size, filename=self.path, patience=60)
        with open(self.path, 'rb') as handle:
            self.bytes = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        os.unlink(self.path)
        self.found = {}                 # magic -> addresses; looking takes its time

    def pages(self, magic, fits):
        """Return the addresses of the pages that begin with a magic and fit."""
        if magic not in self.found:
            self.found[magic], at = [], self.bytes.find(magic)
            while at >= 0:
                if at % PAGE == 0:
                    self.found[magic].append(at)
                at = self.bytes.find(magic, at + 1)
        found = [at for at in self.found[magic] if fits(self.bytes[at:at + PAGE])]
        if not found:
            raise ValueError(f'there is no {magic!r} in memory')
        return found

    def roots(self):
        """Return the addresses of the IOMMU records' roots."""
        return self.pages(b'IOMMLU1\0', lambda p: struct.unpack_from('<II', p, 8) == (1, 64))

    def chunks(self):
        """Return the addresses of the chunks of IOMMU records, in the order of the chain."""
        found = []
        for root in self.roots():
            at = self.number(root + 16, '<Q')
            while at and at not in found:
                found.append(at)
                at = self.number(at, '<Q')
        return found

    def slots(self):
        """Return the addresses of all slots of IOMMU records; a slot's number is its index."""
        return [at for chunk in self.chunks() for at in range(chunk + SLOT, chunk + PAGE, SLOT)]

    def records(self, kind):
        """Return the addresses of the IOMMU records of one kind."""
        found = [at for at in self.slots() if self.number(at, '<H') == kind]
        if not found:
            raise ValueError(f'there is no record of kind {kind}')
        return found

    def functions(self):
        """Return the addresses of the PCI records, and of the chunks they are in."""
        chunks = self.pages(b'PCILU1\0\0', lambda p: struct.unpack_from('<I', p, 8)[0] == 1)
        slots = [at for chunk in chunks for at in range(chunk + SLOT, chunk + PAGE, SLOT)]
        return [at for at in slots if struct.unpack_from('<I', self.bytes, at)[0]], chunks

    def iommufds(self):
        """Return the addresses of the iommufds' roots."""
        return self.pages(b'IOMFDLU1', lambda p: struct.unpack_from('<II', p, 8) == (1, 128))

    def files(self):
        """Return the addresses of the records of vfio-pci's files."""
        return self.pages(b'PVFIOLU1', lambda p: struct.unpack_from('<H', p, 22)[0] == 1)

    def trees(self):
        """Return the addresses of the roots of KHO's tree in which devices are marked."""
        return self.pages(b'\xd0\x0d\xfe\xed', lambda p: b'liveupdate-devices' in p)

    def map_root(self):
        """Return the address of the top node of KHO's map of what is preserved."""
        for tree in self.trees():
            head = struct.unpack_from('>10I', self.bytes, tree)
            name = self.bytes.find(b'preserved-memory-map', tree + head[3], tree + PAGE)
            mark = struct.pack('>III', 3, 8, name - tree - head[3])
            at = self.bytes.find(mark, tree + head[2], tree + PAGE)
            if name >= 0 and at >= 0:
                return self.number(at + len(mark), '<Q')
        raise ValueError('there is no map of what is preserved')

    def number(self, address, form):
        """Return a number."""
        return struct.unpack_from(form, self.bytes, address)[0]


def _wait(run, limit=30):
    """Wait until the old kernel has switched queued invalidation off."""
    end, seen = time.monotonic() + limit, 0
    while seen < CERTAIN:
        if time.monotonic() > end:
            raise ValueError('queued invalidation was never switched off')
        status = run.machine.qtest.readl(walker.BASE + walker.GSTS)
        seen = 0 if status & GSTS_QIES else seen + 1
        time.sleep(0.002)


def resume(run):
    """Let the machine go on, if there still is one."""
    try:
        run.machine.qmp.command('cont')
    except PortError as error:
        run.notes.append(f'the machine has ended: {error}')


def between(change, size=1 << 30):
    """Return what a scenario has at its kexec: change(run, memory), between the kernels.

    change returns a list of (address, bytes) to write.
    """
    def act(run):
        try:
            _wait(run)
            run.machine.qmp.command('stop')
            for address, data in change(run, Memory(run, size)):
                run.machine.qtest.write(address, data)
                run.notes.append(f'wrote {data.hex()} to {address:#x}')
            run.marks['changed'] = time.time()
        except (PortError, ValueError, OSError) as error:
            run.object_to('check', f'nothing was changed between the kernels: {error}')
        finally:
            resume(run)

    def at_kexec(run):
        threading.Thread(target=act, args=(run,), daemon=True).start()
    return at_kexec


def field(where, offset, form, value):
    """Return a change: a field of each record that where(memory) finds; value may be computed."""
    def change(_, memory):
        return [(at + offset, struct.pack(form, value(memory.number(at + offset, form))
                                          if callable(value) else value))
                for at in where(memory)]
    return change
