# SPDX-License-Identifier: GPL-2.0-only
"""The three conversations with a running QEMU: QMP, qtest, and the verdict serial port."""
import json
import queue
import socket
import threading
import time


class PortError(Exception):
    """A conversation ended, or the other side did not answer in time."""


def connect(path, deadline):
    """Connect to a unix stream socket that QEMU is about to create."""
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(path)
            return sock
        except OSError as error:
            sock.close()
            if time.monotonic() > deadline:
                raise PortError(f'{path}: {error}') from error
            time.sleep(0.01)


class Lines:
    """A socket read line by line, with a time limit per line."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b''

    def read(self, timeout):
        """Return the next line without its end; None on time-out; raise PortError at the end."""
        end = time.monotonic() + timeout
        while b'\n' not in self.buffer:
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.sock.settimeout(left)
            try:
                chunk = self.sock.recv(1 << 16)
            except (TimeoutError, socket.timeout):
                return None
            except OSError as error:
                raise PortError(str(error)) from error
            if not chunk:
                raise PortError('closed')
            self.buffer += chunk
        line, self.buffer = self.buffer.split(b'\n', 1)
        return line

    def rest(self):
        """Return what was received after the last complete line."""
        return self.buffer

    def write(self, data):
        """Send everything."""
        self.sock.settimeout(10)
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise PortError(str(error)) from error

    def close(self):
        """Close the socket."""
        self.sock.close()


class Qmp:
    """QEMU's machine protocol: commands with an answer, and a list of events."""

    def __init__(self, path, deadline):
        self.lines = Lines(connect(path, deadline))
        self.events = []
        self.answers = queue.Queue()
        self.lock = threading.Lock()
        if not self.lines.read(10):
            raise PortError('QMP: no greeting')
        threading.Thread(target=self._reader, daemon=True).start()
        self.command('qmp_capabilities')

    def _reader(self):
        try:
            while True:
                line = self.lines.read(3600)
                if line is None:
                    continue
                message = json.loads(line)
                if 'event' in message:
                    self.events.append(message)
                else:
                    self.answers.put(message)
        except (PortError, ValueError):
            self.answers.put({'error': {'desc': 'closed'}})

    def command(self, name, patience=10, **arguments):
        """Execute a command and return what it returns."""
        with self.lock:
            self.lines.write(json.dumps({'execute': name, 'arguments': arguments}).encode())
            try:
                answer = self.answers.get(timeout=patience)
            except queue.Empty:
                raise PortError(f'QMP: no answer to {name}') from None
        if 'error' in answer:
            raise PortError(f'QMP: {name}: {answer["error"].get("desc")}')
        return answer.get('return')

    def event(self, name):
        """Return the data of the first event with this name, or None."""
        return next((e.get('data', {}) for e in list(self.events) if e['event'] == name), None)


class Qtest:
    """Reads and writes guest-physical space while the guest runs; no guest CPU is involved."""

    ECAM = 0xb0000000

    def __init__(self, path, deadline):
        self.lines = Lines(connect(path, deadline))
        self.lock = threading.Lock()

    def command(self, text):
        """Send one qtest command and return the words of its answer."""
        with self.lock:
            self.lines.write(text.encode() + b'\n')
            while True:
                answer = self.lines.read(20)
                if answer is None:
                    raise PortError(f'qtest: no answer to {text}')
                words = answer.decode().split()
                if words and words[0] == 'OK':
                    return words[1:]
                if words and words[0] in ('FAIL', 'ERR'):
                    raise PortError(f'qtest: {text}: {" ".join(words)}')

    def readl(self, address):
        """Read 32 bits."""
        return int(self.command(f'readl {address:#x}')[0], 16)

    def readq(self, address):
        """Read 64 bits."""
        return int(self.command(f'readq {address:#x}')[0], 16)

    def writel(self, address, value):
        """Write 32 bits."""
        self.command(f'writel {address:#x} {value:#x}')

    def read(self, address, size):
        """Read a block of bytes."""
        return bytes.fromhex(self.command(f'read {address:#x} {size:#x}')[0][2:])

    def write(self, address, data):
        """Write a block of bytes."""
        self.command(f'write {address:#x} {len(data):#x} 0x{data.hex()}')

    def ecam(self, bdf, offset=0):
        """Return the guest-physical address of a config register of 'bb:dd.f'."""
        bus, rest = bdf.split(':')
        dev, func = rest.split('.')
        return self.ECAM + (int(bus, 16) << 20 | int(dev, 16) << 15 | int(func) << 12) + offset

    def config(self, bdf):
        """Return the whole 4 KiB of a function's config space."""
        return b''.join(self.read(self.ecam(bdf, at), 256) for at in range(0, 4096, 256))
