# SPDX-License-Identifier: GPL-2.0-only
"""PCI Express endpoints of our own, served to QEMU's vfio-user-pci over unix sockets.

No device of stock QEMU has a PASID capability; these have one, alone or with ATS and PRI. Such a
device is also a DMA source: it writes numbers to an IOVA at a fixed pace, through QEMU's bus
master address space and so through the virtual IOMMU, reads them back, and counts what was
refused. A PASID is not part of the protocol: all of its DMA is without one.

A message is a header (id, command, size, flags, error) and a payload; both sides ask and answer.
One thread serves all devices of a machine; it ends with stop(), at the latest with the program.
"""
import array
import json
import os
import selectors
import socket
import struct
import threading
import time
from dataclasses import dataclass

VENDOR = 0xfe22                     # nobody's
PLAIN, WITH_ATS = 0x0001, 0x0002    # device ids: PASID only; PASID, ATS and PRI
CLASS = 0x120000                    # a processing accelerator
BAR_SIZE = 4096
CONFIG_REGION, REGIONS, IRQS = 7, 9, 5

HEADER = struct.Struct('<HHIII')
REPLY, NO_REPLY, ERROR = 0x1, 0x10, 0x20
(VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION, _, GET_IRQ, SET_IRQS, REGION_READ,
 REGION_WRITE, DMA_READ, DMA_WRITE, RESET) = range(1, 14)
EINVAL = 22

PM, EXPRESS, PASID, ATS, PRI, ACS = 0x40, 0x50, 0x100, 0x110, 0x120, 0x130
COMMAND, BAR0, SUBSYSTEM, CAPABILITIES = 0x04, 0x10, 0x2c, 0x34
PASID_CONTROL, ATS_CONTROL, PRI_CONTROL = PASID + 6, ATS + 6, PRI + 4
PMCSR, DEVCTL, DEVCTL2 = PM + 4, EXPRESS + 8, EXPRESS + 0x28
FLR = 1 << 15
ISOLATED = 0x5c                     # requests and completions go upstream, whatever they name

# Registers of BAR 0, all of 32 bits.
R_ID, R_RUN, R_ADDRESS, R_PERIOD, R_DONE, R_REFUSED, R_WRONG = 0, 4, 8, 0x10, 0x14, 0x18, 0x1c
ID = 0x72726566                     # "ferr"


class Placed:
    """Something with a slot of the root bus, or, when it has a bus, behind a root port there."""

    function = 0

    @property
    def bdf(self):
        """Where it is, as bb:dd.f."""
        place = f'{self.bus:02x}:00' if self.bus else f'00:{self.slot:02x}'
        return f'{place}.{self.function}'

    @property
    def port(self):
        """Where the root port above it is, or None."""
        return f'00:{self.slot:02x}.0' if self.bus else None


@dataclass
class Endpoint(Placed):
    """What one device is, and where QEMU puts it."""

    slot: int                       # on the root bus; of its port when behind one
    kind: int = 0                   # subsystem id: tells the guest what to do with it
    ats: bool = False               # with ATS and PRI
    width: int = 20                 # bits of a PASID
    bus: int = 0                    # not 0: behind a root port, as the only device of this bus
    kept: bool = True               # the scenario keeps it over the kexec
    function: int | None = None     # one of several of its slot, each in an IOMMU group of its own

    def __post_init__(self):
        self.acs = self.function is not None
        self.function = self.function or 0

    @property
    def name(self):
        """A name for files and sockets."""
        return f'vfu{self.slot:02x}.{self.function}'


def arguments(endpoint, path):
    """Return the QEMU arguments that make a machine have this device."""
    device = {'driver': 'vfio-user-pci', 'id': endpoint.name,
              'socket': {'type': 'unix', 'path': path}}
    if endpoint.acs:
        device['multifunction'] = True
    if not endpoint.bus:
        place = f'{endpoint.slot:x}.{endpoint.function}'
        return ['-device', json.dumps({**device, 'bus': 'pcie.0', 'addr': place})]
    port = f'rp-{endpoint.name}'
    return ['-device', f'pcie-root-port,id={port},bus=pcie.0,addr={endpoint.slot:x}.0,'
            f'chassis={endpoint.slot}', '-device', json.dumps({**device, 'bus': port})]


class Config:
    """Config space: what a register holds, and which of its bits can be written."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.data = bytearray(4096)
        self.mask = bytearray(4096)
        self.reset()

    def put(self, offset, size, value, writable=0):
        """Define a register."""
        self.data[offset:offset + size] = value.to_bytes(size, 'little')
        self.mask[offset:offset + size] = writable.to_bytes(size, 'little')

    def get(self, offset, size):
        """Read a register."""
        return int.from_bytes(self.data[offset:offset + size], 'little')

    def reset(self):
        """Bring every register to the value it has after a reset."""
        endpoint = self.endpoint
        put = self.put
        put(0, 4, VENDOR | (WITH_ATS if endpoint.ats else PLAIN) << 16)
        put(COMMAND, 2, 0, 0x0546)
        put(6, 2, 0x0010)
        put(8, 4, CLASS << 8 | 1)
        put(12, 1, 0, 0xff)
        put(BAR0, 8, 0xc, -BAR_SIZE & (1 << 64) - 1)    # of 64 bits, prefetchable
        put(SUBSYSTEM, 4, VENDOR | endpoint.kind << 16)
        put(CAPABILITIES, 1, PM)
        put(PM, 4, 0x01 | EXPRESS << 8 | 3 << 16)
        put(PMCSR, 2, 0x8, 0x3)                         # no reset on the way from D3 to D0
        put(EXPRESS, 4, 0x10 | 2 << 16)                 # version 2, an endpoint
        put(EXPRESS + 4, 4, 1 << 15 | 1 << 28)          # function level reset
        put(DEVCTL, 2, 0x2810, 0x7fff)
        put(EXPRESS + 0xc, 4, 0x11)
        put(EXPRESS + 0x10, 2, 0, 0x1fb)
        put(EXPRESS + 0x12, 2, 0x11)
        put(EXPRESS + 0x24, 4, 1 << 21)                 # end-to-end TLP prefixes
        put(DEVCTL2, 2, 0, 0x8000)
        self._extended()

    def _extended(self):
        endpoint, put = self.endpoint, self.put
        last = ACS << 20 if endpoint.acs else 0
        put(PASID, 4, 0x1b | 1 << 16 | (ATS << 20 if endpoint.ats else last))
        put(PASID + 4, 2, endpoint.width << 8 | 0x6)
        put(PASID_CONTROL, 2, 0, 0x7)
        if endpoint.ats:
            put(ATS, 4, 0x0f | 1 << 16 | PRI << 20)
            put(ATS + 4, 2, 0x20)
            put(ATS_CONTROL, 2, 0, 0x801f)
            put(PRI, 4, 0x13 | 1 << 16 | last)
            put(PRI_CONTROL, 2, 0, 0x1)
            put(PRI + 6, 2, 0x8100)                     # answers carry a PASID; stopped
            put(PRI + 8, 4, 64)
            put(PRI + 12, 4, 0, 0xffffffff)
        if endpoint.acs:
            put(ACS, 4, 0x0d | 1 << 16)
            put(ACS + 4, 2, ISOLATED)
            put(ACS + 6, 2, 0, ISOLATED)

    def write(self, offset, data):
        """Let the guest write; return whether it asked for a reset."""
        for at, byte in enumerate(data, offset):
            mask = self.mask[at]
            self.data[at] = self.data[at] & ~mask & 0xff | byte & mask
        if self.endpoint.ats:
            stopped = 0 if self.get(PRI_CONTROL, 2) & 1 else 0x100
            self.put(PRI + 6, 2, 0x8000 | stopped)
        return offset <= DEVCTL + 1 < offset + len(data) and bool(data[DEVCTL + 1 - offset] & 0x80)


class Device:
    """One device: its registers, its connection to QEMU, and everything that happened to it."""

    def __init__(self, endpoint, path):
        self.endpoint = endpoint
        self.path = path
        self.config = Config(endpoint)
        self.bar = {}
        self.maps = {}                  # iova -> (size, flags)
        self.log = []                   # (time, what, *details)
        self.dma = []                   # (time, number, write, errno), one per finished access
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(1)
        self.sock = None
        self.buffer = b''
        self.number = self.turn = 0
        self.due = 0.0
        self.stored = None              # what the last write left in memory
        self.pending = None             # (id, write, data) of the access under way
        self._reset_registers()

    def _reset_registers(self):
        self.bar = {R_ID: ID, R_RUN: 0, R_ADDRESS: 0, R_ADDRESS + 4: 0, R_PERIOD: 20000,
                    R_DONE: 0, R_REFUSED: 0, R_WRONG: 0}

    def note(self, what, *details):
        """Write something down."""
        self.log.append((time.time(), what, *details))

    def reset(self, why):
        """Reset the device."""
        self.note('reset', why)
        self.config.reset()
        self._reset_registers()

    # -- the connection ------------------------------------------------------------------------

    def accept(self):
        """QEMU is there."""
        self.sock, _ = self.listener.accept()
        return self.sock

    def close(self):
        """Close everything; may be called more than once."""
        for sock in (self.sock, self.listener):
            if sock:
                sock.close()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def receive(self):
        """Take what QEMU sent; return whether it is still there."""
        fds = array.array('i')
        try:
            data, ancillary, _, _ = self.sock.recvmsg(1 << 16, socket.CMSG_SPACE(16 * 4))
        except OSError:
            return False
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
        for fd in fds:
            os.close(fd)                # interrupts are never raised, memory is never mapped
        self.buffer += data
        while len(self.buffer) >= HEADER.size:
            ident, command, size, flags, error = HEADER.unpack_from(self.buffer)
            if size < HEADER.size:
                return False
            if len(self.buffer) < size:
                break
            payload, self.buffer = self.buffer[HEADER.size:size], self.buffer[size:]
            if flags & REPLY:
                self.answered(ident, flags & ERROR and error, payload)
            else:
                self.serve(ident, command, flags, payload)
        return bool(data)

    def send(self, ident, command, flags, payload=b'', error=0):
        """Send one message."""
        head = HEADER.pack(ident, command, HEADER.size + len(payload), flags, error)
        try:
            self.sock.sendall(head + payload)
        except OSError as problem:
            self.note('lost', str(problem))

    def serve(self, ident, command, flags, payload):
        """Do what QEMU asks for."""
        handler = HANDLERS.get(command)
        answer = handler(self, payload) if handler else None
        if answer is None:
            self.note('refused', command)
        if flags & NO_REPLY:
            return
        if answer is None:
            self.send(ident, command, REPLY | ERROR, error=EINVAL)
        else:
            self.send(ident, command, REPLY, answer)

    # -- what QEMU asks for --------------------------------------------------------------------

    @staticmethod
    def version(payload):
        """Agree on a version of the protocol."""
        major, minor = struct.unpack_from('<HH', payload)
        offer = {'capabilities': {'max_msg_fds': 8, 'max_data_xfer_size': 1 << 20}}
        return struct.pack('<HH', major, minor) + json.dumps(offer).encode() + b'\0'

    @staticmethod
    def info(_payload):
        """A PCI device that can be reset."""
        return struct.pack('<IIII', 16, 0x3, REGIONS, IRQS)

    @staticmethod
    def region(payload):
        """BAR 0 and config space."""
        _, _, index, _ = struct.unpack_from('<IIII', payload)
        size = {0: BAR_SIZE, CONFIG_REGION: 4096}.get(index, 0)
        return struct.pack('<IIIIQQ', 32, 0x3 if size else 0, index, 0, size, 0)

    @staticmethod
    def irq(payload):
        """There are no interrupts."""
        _, _, index, _ = struct.unpack_from('<IIII', payload)
        return struct.pack('<IIII', 16, 0, index, 0)

    @staticmethod
    def set_irqs(_payload):
        """Nothing to set."""
        return b''

    def map(self, payload):
        """QEMU tells what the virtual IOMMU lets through."""
        _, flags, _, address, size = struct.unpack_from('<IIQQQ', payload)
        self.maps[address] = (size, flags)
        self.note('map', address, size, flags)
        return b''

    def unmap(self, payload):
        """QEMU tells what it lets through no longer."""
        _, flags, address, size = struct.unpack_from('<IIQQ', payload)
        for at in [a for a in self.maps if flags & 2 or address <= a < address + size]:
            del self.maps[at]
        self.note('unmap', address, size, flags)
        return payload[:24]

    def read(self, payload):
        """The guest, or QEMU, reads a register."""
        offset, region, count = struct.unpack_from('<QII', payload)
        if region == CONFIG_REGION and offset + count <= 4096:
            data = bytes(self.config.data[offset:offset + count])
        elif region == 0 and offset + count <= BAR_SIZE:
            data = (self.bar.get(offset, 0) & (1 << 8 * count) - 1).to_bytes(count, 'little')
        else:
            return None
        return struct.pack('<QII', offset, region, count) + data

    def write(self, payload):
        """The guest, or QEMU, writes a register."""
        offset, region, count = struct.unpack_from('<QII', payload)
        data = payload[16:16 + count]
        if len(data) != count:
            return None
        if region == CONFIG_REGION and offset + count <= 4096:
            self.note('config', offset, count, int.from_bytes(data, 'little'))
            if self.config.write(offset, data):
                self.reset('function level reset')
        elif region == 0 and offset + count <= BAR_SIZE:
            self.set_register(offset, int.from_bytes(data, 'little'))
        else:
            return None
        return struct.pack('<QII', offset, region, count)

    def set_register(self, offset, value):
        """The guest programs the device."""
        self.note('register', offset, value)
        if offset in (R_RUN, R_ADDRESS, R_ADDRESS + 4, R_PERIOD):
            self.bar[offset] = value
        if offset == R_RUN:
            self.due = time.monotonic()
            self.stored = None

    def power_cycle(self, _payload):
        """The machine resets the device."""
        self.reset('device reset')
        return b''

    # -- DMA -----------------------------------------------------------------------------------

    def running(self):
        """Tell whether the device does DMA."""
        return bool(self.sock and self.bar[R_RUN] & 1)

    def tick(self, now):
        """Begin the next access when it is time: eight writes, then one read."""
        if not self.running() or self.pending or now < self.due:
            return
        self.due = max(self.due + self.bar[R_PERIOD] / 1e6, now)
        self.turn += 1
        ident = self.turn & 0x7fff
        write = self.stored is None or self.turn % 9 > 0
        address = self.bar[R_ADDRESS] | self.bar[R_ADDRESS + 4] << 32
        data = b''
        if write:
            self.number += 1
            data = struct.pack('<QQ', self.number, self.endpoint.kind)
        self.pending = (ident, write, data)
        self.send(ident, DMA_WRITE if write else DMA_READ, 0,
                  struct.pack('<QQ', address, 16) + data)

    def answered(self, ident, error, payload):
        """QEMU says what became of an access."""
        if not self.pending or self.pending[0] != ident:
            self.note('stray', ident)
            return
        _, write, data = self.pending
        self.pending = None
        self.dma.append((time.time(), self.number, write, error))
        if error:
            self.bar[R_REFUSED] += 1
            return
        self.bar[R_DONE] += 1
        if write:
            self.stored = data
        elif payload[16:32] != self.stored:
            self.bar[R_WRONG] += 1
            self.note('wrong', self.number, payload[16:32].hex())

    def save(self, path):
        """Write down what happened."""
        lines = [f'{t:.6f} {what} ' + ' '.join(f'{d:#x}' if isinstance(d, int) else str(d)
                                               for d in details)
                 for t, what, *details in self.log]
        lines += [f'{t:.6f} dma {"write" if w else "read"} {n} errno {e}'
                  for t, n, w, e in self.dma]
        with open(path, 'w', encoding='utf-8') as out:
            out.write('\n'.join(sorted(lines)) + '\n')


HANDLERS = {
    VERSION: lambda d, p: d.version(p), DMA_MAP: Device.map, DMA_UNMAP: Device.unmap,
    GET_INFO: lambda d, p: d.info(p), GET_REGION: lambda d, p: d.region(p),
    GET_IRQ: lambda d, p: d.irq(p), SET_IRQS: lambda d, p: d.set_irqs(p),
    REGION_READ: Device.read, REGION_WRITE: Device.write, RESET: Device.power_cycle,
}


class Server:
    """The thread that serves all devices of one machine."""

    def __init__(self, endpoints, path):
        """Listen on path(name) for each device, so that QEMU can be started."""
        self.devices = {e.bdf: Device(e, path(e.name)) for e in endpoints}
        self.selector = selectors.DefaultSelector()
        self.wake, self.woken = socket.socketpair()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        """Begin to serve."""
        self.selector.register(self.woken, selectors.EVENT_READ, None)
        for device in self.devices.values():
            self.selector.register(device.listener, selectors.EVENT_READ, device)
        self.thread.start()

    def stop(self):
        """End the thread and close everything; may be called more than once."""
        self.wake.close()
        if self.thread.is_alive():
            self.thread.join(10)
        for device in self.devices.values():
            device.close()
        self.woken.close()
        self.selector.close()

    def _run(self):
        while True:
            due = [d.due for d in self.devices.values() if d.running() and not d.pending]
            wait = max(0.0, min(due) - time.monotonic()) if due else 1.0
            for key, _ in self.selector.select(wait):
                device = key.data
                if device is None:
                    return
                if key.fileobj is device.listener:
                    self.selector.unregister(device.listener)
                    self.selector.register(device.accept(), selectors.EVENT_READ, device)
                elif not device.receive():
                    self.selector.unregister(device.sock)
                    device.bar[R_RUN] = 0
            now = time.monotonic()
            for device in self.devices.values():
                device.tick(now)
