# SPDX-License-Identifier: GPL-2.0-only
"""The devices of our own: a conversation with one, as QEMU has it, and its DMA."""
import json
import os
import shutil
import socket
import struct
import tempfile
import time
import unittest

from harness import cfgwrites, vfiouser

PLAIN = vfiouser.Endpoint(6, kind=1)
FULL = vfiouser.Endpoint(7, kind=2, ats=True, width=8, bus=1)


class Peer:
    """QEMU's side of a connection."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(10)
        self.sock.connect(path)
        self.ident = 0

    def receive(self):
        """Return (id, command, flags, error, payload) of the next message."""
        head = self._exactly(vfiouser.HEADER.size)
        ident, command, size, flags, error = vfiouser.HEADER.unpack(head)
        return ident, command, flags, error, self._exactly(size - len(head))

    def _exactly(self, size):
        data = b''
        while len(data) < size:
            chunk = self.sock.recv(size - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    def send(self, command, payload=b'', flags=0, ident=None, error=0):
        """Send a message; return its id."""
        self.ident += 1
        ident = self.ident if ident is None else ident
        head = vfiouser.HEADER.pack(ident, command, 16 + len(payload), flags, error)
        self.sock.sendall(head + payload)
        return ident

    def ask(self, command, payload=b''):
        """Send a command and return what is answered; None when it was refused."""
        ident = self.send(command, payload)
        answer = self.receive()
        assert answer[0] == ident and answer[2] & vfiouser.REPLY
        return None if answer[2] & vfiouser.ERROR else answer[4]

    def read(self, region, offset, size):
        """Read a register."""
        answer = self.ask(vfiouser.REGION_READ, struct.pack('<QII', offset, region, size))
        return None if answer is None else int.from_bytes(answer[16:], 'little')

    def write(self, region, offset, size, value):
        """Write a register; nobody waits for the answer."""
        self.send(vfiouser.REGION_WRITE, struct.pack('<QII', offset, region, size)
                  + value.to_bytes(size, 'little'), vfiouser.NO_REPLY)

    def config(self, offset, size):
        """Read config space."""
        return self.read(vfiouser.CONFIG_REGION, offset, size)


class Served(unittest.TestCase):
    """Two devices and their server."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='ferry-')
        self.server = vfiouser.Server([PLAIN, FULL], lambda n: os.path.join(self.folder, n))
        self.server.start()
        self.peers = [Peer(os.path.join(self.folder, e.name)) for e in (PLAIN, FULL)]

    def tearDown(self):
        for peer in self.peers:
            peer.sock.close()
        self.server.stop()
        shutil.rmtree(self.folder)

    def test_introduction(self):
        """Version, device, regions and interrupts."""
        peer = self.peers[0]
        answer = peer.ask(vfiouser.VERSION, struct.pack('<HH', 0, 0) + b'{}\0')
        self.assertEqual(struct.unpack_from('<HH', answer), (0, 0))
        self.assertIn('capabilities', json.loads(answer[4:-1]))
        answer = peer.ask(vfiouser.GET_INFO, struct.pack('<IIII', 16, 0, 0, 0))
        self.assertEqual(struct.unpack('<IIII', answer)[1:], (3, 9, 5))
        sizes = []
        for index in range(9):
            answer = peer.ask(vfiouser.GET_REGION, struct.pack('<IIIIQQ', 32, 0, index, 0, 0, 0))
            sizes.append(struct.unpack('<IIIIQQ', answer)[4])
        self.assertEqual([n for n, size in enumerate(sizes) if size], [0, 7])
        self.assertIsNone(peer.ask(99))

    def test_capabilities(self):
        """PASID alone; PASID with ATS and PRI; widths as wanted."""
        lists = []
        for peer in self.peers:
            data = b''.join(peer.config(at, 4).to_bytes(4, 'little') for at in range(0, 4096, 4))
            lists.append(cfgwrites.capabilities(data))
        self.assertEqual(set(lists[0]), {('cap', 1), ('cap', 0x10), ('ecap', 0x1b)})
        self.assertEqual(set(lists[1]) - set(lists[0]), {('ecap', 0x0f), ('ecap', 0x13)})
        self.assertEqual(self.peers[0].config(vfiouser.PASID + 5, 1), 20)
        self.assertEqual(self.peers[1].config(vfiouser.PASID + 5, 1), 8)
        self.assertEqual((PLAIN.bdf, FULL.bdf, FULL.port), ('00:06.0', '01:00.0', '00:07.0'))

    def test_registers_keep_what_they_may(self):
        """Enable bits can be written, identity cannot; a function level reset clears them."""
        peer, region = self.peers[1], vfiouser.CONFIG_REGION
        peer.write(region, 0, 4, 0)
        peer.write(region, vfiouser.PASID_CONTROL, 2, 0xffff)
        peer.write(region, vfiouser.PRI_CONTROL, 2, 1)
        peer.write(region, vfiouser.BAR0, 4, 0xffffffff)
        self.assertEqual(peer.config(0, 4), 0xfe22 | 2 << 16)
        self.assertEqual(peer.config(vfiouser.PASID_CONTROL, 2), 7)
        self.assertEqual(peer.config(vfiouser.PRI_CONTROL, 4), 0x8000 << 16 | 1)
        self.assertEqual(peer.config(vfiouser.BAR0, 4), 0xfffff00c)
        peer.write(region, vfiouser.DEVCTL, 2, vfiouser.FLR)
        self.assertEqual(peer.config(vfiouser.PASID_CONTROL, 2), 0)
        self.assertEqual(peer.config(vfiouser.PRI_CONTROL, 4), 0x8100 << 16)
        self.assertEqual(peer.config(vfiouser.DEVCTL, 2) & vfiouser.FLR, 0)

    def test_maps(self):
        """What QEMU maps and unmaps is known."""
        peer = self.peers[0]
        for at in (0x1000, 0x2000, 0x8000):
            peer.ask(vfiouser.DMA_MAP, struct.pack('<IIQQQ', 32, 3, 0, at, 0x1000))
        peer.ask(vfiouser.DMA_UNMAP, struct.pack('<IIQQ', 24, 0, 0x1000, 0x2000))
        self.assertEqual(self.server.devices[PLAIN.bdf].maps, {0x8000: (0x1000, 3)})

    def start_dma(self, address):
        """Program the first device."""
        peer = self.peers[0]
        for register, value in ((vfiouser.R_ADDRESS, address & 0xffffffff),
                                (vfiouser.R_ADDRESS + 4, address >> 32),
                                (vfiouser.R_PERIOD, 1000), (vfiouser.R_RUN, 1)):
            peer.write(0, register, 4, value)
        return peer

    def answer(self, peer, memory, error=0):
        """Answer one access; return (write, address)."""
        ident, command, _, _, payload = peer.receive()
        address, size = struct.unpack_from('<QQ', payload)
        if command == vfiouser.DMA_WRITE:
            if not error:
                memory[address] = payload[16:16 + size]
            payload = payload[:16]
        elif not error:
            payload += memory[address]
        peer.send(command, payload, vfiouser.REPLY | (vfiouser.ERROR if error else 0), ident,
                  error)
        return command == vfiouser.DMA_WRITE, address

    def test_dma(self):
        """Numbers arrive in order, are read back, and a refusal or a wrong answer is counted."""
        peer, memory = self.start_dma(0x5_0000_0040), {}
        kinds = [self.answer(peer, memory) for _ in range(20)]
        self.assertEqual({address for _, address in kinds}, {0x5_0000_0040})
        self.assertEqual(sum(not write for write, _ in kinds), 2)
        self.assertEqual(struct.unpack('<QQ', memory[0x5_0000_0040]), (18, 1))
        self.answer(peer, memory, error=19)
        memory[0x5_0000_0040] = bytes(16)
        while self.answer(peer, memory)[0]:
            memory[0x5_0000_0040] = bytes(16)
        self.answer(peer, memory)
        time.sleep(0.05)
        device = self.server.devices[PLAIN.bdf]
        self.assertEqual([e for _, _, _, e in device.dma if e], [19])
        self.assertEqual((device.bar[vfiouser.R_REFUSED], device.bar[vfiouser.R_WRONG]), (1, 1))

    def test_no_thread_stays(self):
        """stop() ends the thread and removes the sockets, whatever QEMU does."""
        self.peers[1].sock.close()
        self.server.stop()
        self.assertFalse(self.server.thread.is_alive())
        self.assertEqual(os.listdir(self.folder), [])
        self.server.stop()


if __name__ == '__main__':
    unittest.main()
