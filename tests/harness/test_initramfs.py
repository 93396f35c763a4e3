# SPDX-License-Identifier: GPL-2.0-only
"""The archive writer."""
import gzip
import os
import tempfile
import unittest

from harness import initramfs


def names(archive):
    """Return {name: content} of a packed archive."""
    data, at, found = gzip.decompress(archive), 0, {}
    while at < len(data):
        assert data[at:at + 6] == b'070701'
        fields = [int(data[at + 6 + 8 * n:at + 14 + 8 * n], 16) for n in range(13)]
        size, length = fields[6], fields[11]
        name = data[at + 110:at + 110 + length - 1].decode()
        at += (110 + length + 3) & ~3
        found[name] = data[at:at + size]
        at += (size + 3) & ~3
        if name == 'TRAILER!!!':
            break
    return found


def files(folder, *texts):
    """Write files that hold their own names; return their paths."""
    paths = [os.path.join(folder, text) for text in texts]
    for path, text in zip(paths, texts):
        with open(path, 'w', encoding='ascii') as out:
            out.write(text)
    return paths


class Archives(unittest.TestCase):
    """Chains of kernels."""

    def test_chain(self):
        """Each archive carries the next kernel and its archive; the last one carries none."""
        with tempfile.TemporaryDirectory() as folder:
            paths = files(folder, 'init', 'kernel two', 'kernel three')
            outer = names(initramfs.chain(paths[1:], init=paths[0], extra=[('boot/x', b'y')]))
            self.assertEqual(outer['init'], b'init')
            self.assertEqual(outer['boot/x'], b'y')
            self.assertEqual(outer['boot/next/bzImage'], b'kernel two')
            inner = names(outer['boot/next/initramfs.cpio.gz'])
            self.assertEqual(inner['boot/next/bzImage'], b'kernel three')
            last = names(inner['boot/next/initramfs.cpio.gz'])
            self.assertNotIn('boot/next/bzImage', last)
            self.assertEqual(last['init'], b'init')

    def test_ring(self):
        """Both kernels are in the only archive, and nothing that is for the next one alone."""
        with tempfile.TemporaryDirectory() as folder:
            paths = files(folder, 'init', 'first', 'second')
            found = names(initramfs.ring(paths[1:], init=paths[0]))
            self.assertEqual(found['boot/0/bzImage'], b'first')
            self.assertEqual(found['boot/1/bzImage'], b'second')
            self.assertNotIn('boot/next/bzImage', found)

    def test_modules(self):
        """What modprobe has to know is there: what a module needs, how else it is called."""
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(initramfs.module_files(folder), [])
            os.makedirs(os.path.join(folder, 'include/config'))
            for path, text in (('include/config/kernel.release', '1.2-x\n'),
                               ('modules.order', 'a.o\nb.o\nc-c.o\nd.o\n'),
                               ('a.ko', 'ELF\0license=GPL\0depends=\0name=a\0'),
                               ('b.ko', 'ELFdepends=a\0alias=luo-b-v1\0parm=name=no\0name=b\0'),
                               ('c-c.ko', 'ELF\0depends=b\0name=c_c\0'),
                               ('d.ko', 'ELF\0depends=c-c\0name=d\0')):
                with open(os.path.join(folder, path), 'w', encoding='ascii') as out:
                    out.write(text)
            found = dict(initramfs.module_files(folder))
            self.assertEqual(sorted(found), ['lib/modules/1.2-x/' + name for name in (
                'a.ko', 'b.ko', 'c_c.ko', 'd.ko', 'modules.alias', 'modules.dep')])
            self.assertEqual(found['lib/modules/1.2-x/modules.dep'],
                             b'a.ko: \nb.ko: a.ko\nc_c.ko: b.ko a.ko\n'
                             b'd.ko: c_c.ko b.ko a.ko\n')
            self.assertEqual(found['lib/modules/1.2-x/modules.alias'], b'alias luo-b-v1 b\n')


if __name__ == '__main__':
    unittest.main()
