# SPDX-License-Identifier: GPL-2.0-only
"""The wire: pace, back-pressure, and that nothing is lost silently."""
import os
import socket
import tempfile
import threading
import time
import unittest

from harness import frames


class Wire(unittest.TestCase):
    """The source against a socket in place of QEMU's."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, 'nic')
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.addCleanup(self.sock.close)
        self.source = frames.Source(self.path, 2000)
        self.addCleanup(self.source.close)
        self.numbers = []
        self.pause = threading.Event()

    def _read(self):
        self.sock.settimeout(0.2)
        while True:
            if self.pause.is_set():
                time.sleep(0.01)
                continue
            try:
                data = self.sock.recv(2048)
            except (TimeoutError, OSError):
                if self.done:
                    return
                continue
            self.numbers.append(frames.HEAD.unpack_from(data)[4])

    def listen(self):
        """Begin to read."""
        self.done = False
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def finish(self):
        """Read the rest."""
        self.done = True
        self.pause.clear()
        self.thread.join()

    def test_pace_and_no_loss(self):
        """All frames arrive in order, at the rate; the numbers go on after a stop."""
        self.listen()
        for _ in range(2):
            self.source.start()
            time.sleep(0.5)
            report = self.source.stop()
        self.finish()
        self.assertEqual(self.numbers, list(range(report['sent'])))
        self.assertEqual((report['refused'], report['waiting']), (0, 0))
        self.assertTrue(1500 < report['sent'] < 2600, report)

    def test_short_stall_loses_nothing(self):
        """A reader that sleeps for 200 ms gets everything, later."""
        self.listen()
        self.source.start()
        time.sleep(0.2)
        self.pause.set()
        time.sleep(0.2)
        self.pause.clear()
        time.sleep(0.4)
        report = self.source.stop()
        self.finish()
        self.assertEqual(self.numbers, list(range(report['sent'])))
        self.assertEqual(report['refused'], 0)
        self.assertGreater(report['worst_wait'], 0.1)

    def test_blocked_nic_is_reported(self):
        """A reader that stops: what is due is counted as refused, with the time."""
        self.listen()
        self.source.start()
        time.sleep(0.2)
        self.pause.set()
        time.sleep(0.1)
        self.source.tell(False)
        time.sleep(1.1)
        asked = time.monotonic()
        report = self.source.stop()
        self.assertLess(time.monotonic() - asked, 1.5, 'it does not wait for a NIC that cannot')
        self.finish()
        self.assertGreater(report['waiting'], 0)
        self.assertGreater(report['refused'], 1000)
        self.assertEqual(len(report['blocks']), 1)
        begin, end, refused, dead = report['blocks'][0]
        self.assertEqual((refused, dead), (report['refused'], True))
        self.assertGreater(end - begin, 1.0)
        self.assertEqual(report['sent'], len(self.numbers) + report['refused'])

    def test_slow_host_is_told_apart(self):
        """A reader that stops although the NIC could receive."""
        self.listen()
        self.source.start()
        time.sleep(0.1)
        self.pause.set()
        time.sleep(1.0)
        report = self.source.stop()
        self.finish()
        self.assertEqual([(b[2] > 0, b[3]) for b in report['blocks']], [(True, False)])

    def test_frame_format(self):
        """Layout and padding, and the frames that come back."""
        data = frames.frame(7, 9)
        self.assertEqual(len(data), 60)
        self.assertEqual(data[12:18].hex(), '88b54c555021')
        back = data[:12] + bytes.fromhex('88b64c555422') + data[18:]
        self.assertEqual(frames.parse_back(back), 7)
        self.assertEqual(frames.parse_back(back[:40] + b'\0' + back[41:]), -1)
        self.assertIsNone(frames.parse_back(data))


if __name__ == '__main__':
    unittest.main()
