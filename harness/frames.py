# SPDX-License-Identifier: GPL-2.0-only
"""The wire: numbered Ethernet frames into QEMU's NIC, and the frames the guest sends back.

Frames travel over unix datagram sockets with blocking sends, so nothing is lost between this
program and QEMU: a datagram is refused (we wait) or delivered. What can go wrong is told apart:
  sent      frames that were due on the wire, by the clock, at the given rate
  refused   due frames that QEMU did not take. A wire does not wait for a NIC that cannot receive
            (the sampler tells): they are lost. It does wait for a host that is slow, up to
            PATIENCE seconds; what is refused then makes the run invalid (see judges.py)
  waiting   bytes QEMU had not read when the source stopped and had given it time to

The source is a process of its own, so that its pace does not depend on what the harness does.
"""
import errno
import fcntl
import json
import os
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

MAGIC = 0x4c555021
MAGIC_BACK = 0x4c555422
ETHERTYPE = 0x88b5
ETHERTYPE_BACK = 0x88b6
DESTINATION = bytes.fromhex('525400123456')
SOURCE = bytes.fromhex('020000000001')
SIZE = 60
PATIENCE = 15
DRAIN, DRAIN_DEAD = 3.0, 0.2
BURST = 64
HEAD = struct.Struct('>6s6sHIQQ')
SIOCOUTQ = termios.TIOCOUTQ


def frame(seq, stamp, destination=DESTINATION):
    """Return frame number seq, with the time it was made (CLOCK_MONOTONIC, ns)."""
    head = HEAD.pack(destination, SOURCE, ETHERTYPE, MAGIC, seq, stamp)
    return head + bytes((seq + i) & 0xff for i in range(len(head), SIZE))


def parse_back(data):
    """Return the number of a frame the guest sent; None when it is not one; -1 when damaged."""
    if len(data) < SIZE:
        return None
    _, _, kind, magic, seq, _ = HEAD.unpack_from(data)
    if kind != ETHERTYPE_BACK:
        return None
    good = bytes((seq + i) & 0xff for i in range(HEAD.size, SIZE))
    return seq if magic == MAGIC_BACK and data[HEAD.size:SIZE] == good else -1


class Pump:
    """The sending side, inside its own process."""

    def __init__(self, path, rate, destination):
        self.path = path
        self.rate = rate
        self.destination = destination
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        limit = struct.pack('ll', 0, 100000)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self.seq = 0                    # next number
        self.refused = 0
        self.blocks = []                # [from, to, refused, dead] (CLOCK_MONOTONIC, s)
        self.dead = False               # the NIC cannot receive, says the sampler
        self.worst = 0.0                # longest time a single frame had to wait
        self.gone = False

    def _try(self, seq):
        try:
            self.sock.sendto(frame(seq, time.monotonic_ns(), self.destination), self.path)
            return True
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EINTR):
                return False
            self.gone = True
            return False

    def run(self, commands):
        """Send until another command than dead or alive arrives, or QEMU is gone; return it."""
        start, first = time.monotonic(), self.seq
        block = None
        while True:
            due = first + int((time.monotonic() - start) * self.rate) + 1
            burst = 0
            while self.seq < due and burst < BURST and not self.gone:
                begun = block or time.monotonic()
                if not self._try(self.seq):
                    block = begun
                    break
                self.worst = max(self.worst, time.monotonic() - begun)
                block = None
                self.seq += 1
                burst += 1
            now = time.monotonic()
            due = first + int((now - start) * self.rate)
            if block and (self.dead or now - block > PATIENCE):
                self._give_up(block, now, due)
            wait = start + (self.seq - first) / self.rate - now
            command = self._command(commands, None if self.gone else 0 if block else max(0, wait))
            if command:
                if block:
                    self._give_up(block, now, due)
                return command

    def _command(self, commands, timeout):
        if not select.select([commands], [], [], timeout)[0]:
            return None
        command = commands.read(1)
        if command in (b'd', b'a'):
            self.dead = command == b'd'
            return None
        return command or b'q'

    def _give_up(self, since, now, due):
        lost = max(0, due - self.seq)
        self.refused += lost
        self.seq += lost
        if self.blocks and self.blocks[-1][0] == since and self.blocks[-1][3] == self.dead:
            self.blocks[-1][1] = now
            self.blocks[-1][2] += lost
        else:
            self.blocks.append([since, now, lost, self.dead])

    def drain(self):
        """Wait until QEMU has read everything, which it does not for a NIC that cannot receive;
        return the bytes it has not."""
        end = time.monotonic() + (DRAIN_DEAD if self.dead else DRAIN)
        while True:
            waiting = struct.unpack('i', fcntl.ioctl(self.sock, SIOCOUTQ, b'\0\0\0\0'))[0]
            if not waiting or self.gone or time.monotonic() > end:
                return waiting
            time.sleep(0.005)

    def report(self):
        """Return the counters."""
        return {'sent': self.seq, 'refused': self.refused, 'blocks': self.blocks,
                'waiting': self.drain(), 'worst_wait': round(self.worst, 4), 'gone': self.gone,
                'stopped': time.monotonic()}


def main(path, rate, mac):
    """Serve one-letter commands: run, stop, quit, dead, alive; answer stop with a JSON line."""
    pump = Pump(path, float(rate), bytes.fromhex(mac))
    commands = sys.stdin.buffer.raw
    command = commands.read(1)
    while command not in (b'', b'q'):
        if command == b'r':
            command = pump.run(commands)
            continue
        if command == b's':
            print(json.dumps(pump.report()), flush=True)
        elif command in (b'd', b'a'):
            pump.dead = command == b'd'
        command = commands.read(1)


class Source:
    """The harness's handle on the sending process."""

    def __init__(self, path, rate, mac=DESTINATION.hex()):
        # pylint: disable=consider-using-with
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), path, str(rate), mac],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        self.running = self.asked = False
        self.last = {'sent': 0, 'refused': 0, 'blocks': [], 'waiting': 0, 'worst_wait': 0.0}

    def _send(self, letter):
        try:
            self.process.stdin.write(letter)
            self.process.stdin.flush()
        except (OSError, ValueError):
            pass                                # it ended; stop() will notice

    def start(self):
        """Start sending, or go on."""
        if not self.running:
            self._send(b'r')
            self.running = True

    def tell(self, receiving):
        """Tell the wire whether the NIC can receive."""
        self._send(b'a' if receiving else b'd')

    def stop(self):
        """Stop sending, wait until QEMU has taken everything, return the counters."""
        self.ask_to_stop()
        if self.running:
            line = self.process.stdout.readline()
            self.last = json.loads(line) if line else self.last
            self.running = self.asked = False
        return self.last

    def ask_to_stop(self):
        """Stop sending without waiting: stop() will."""
        if self.running and not self.asked:
            self._send(b's')
            self.asked = True

    def close(self):
        """End the process."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Sources:
    """A source for each of several NICs, {bdf: (path, mac)}, started and stopped together."""

    def __init__(self, nics, rate, absent=()):
        self.absent = set(absent)       # NICs that are not there yet
        self.each = {bdf: Source(path, rate, mac) for bdf, (path, mac) in nics.items()}

    def start(self):
        """Start sending to all that are there, or go on."""
        for bdf, source in self.each.items():
            if bdf not in self.absent:
                source.start()

    def stop(self):
        """Stop sending; return the counters of each. What waits, waits together."""
        for source in self.each.values():
            source.ask_to_stop()
        return {bdf: source.stop() for bdf, source in self.each.items()}

    def close(self):
        """End the processes."""
        for source in self.each.values():
            source.close()


class Receiver:
    """Collects the frames the guest sends; the other end of QEMU's NIC."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.numbers = []
        self.damaged = 0
        self.foreign = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                data = self.sock.recv(4096)
            except OSError:
                return
            seq = parse_back(data)
            if seq is None:
                self.foreign += 1
            elif seq < 0:
                self.damaged += 1
            else:
                self.numbers.append(seq)

    def close(self):
        """Close the socket, which ends the thread."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


if __name__ == '__main__':
    main(*sys.argv[1:])
