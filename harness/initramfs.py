# SPDX-License-Identifier: GPL-2.0-only
"""Writes initramfs archives (cpio "newc") without cpio, root, or files on disk in between.

Every stage boots the same archive: /init, /bin/busybox when there is a static one, the other
guest programs under /bin, and the next kernel with its own initramfs under /boot/next. A kernel
that has modules finds them where modprobe looks.
"""
import gzip
import os
import re
import shutil
import stat

MODES = {'dir': stat.S_IFDIR | 0o755, 'file': stat.S_IFREG | 0o755, 'char': stat.S_IFCHR | 0o600,
         'link': stat.S_IFLNK | 0o777}


class Archive:
    """A newc archive under construction."""

    def __init__(self):
        self.parts = []
        self.seen = set()

    def _entry(self, name, kind, data=b'', device=(0, 0)):
        raw = name.encode() + b'\0'
        fields = (len(self.seen) + 1, MODES[kind], 0, 0, 1, 0, len(data), 0, 0,
                  device[0], device[1], len(raw), 0)
        head = b'070701' + b''.join(b'%08X' % f for f in fields) + raw
        self.parts += [head, b'\0' * (-len(head) % 4), data, b'\0' * (-len(data) % 4)]
        self.seen.add(name)

    def folder(self, name):
        """Add a folder and the folders above it."""
        parts = name.strip('/').split('/')
        for depth in range(1, len(parts) + 1):
            path = '/'.join(parts[:depth])
            if path and path not in self.seen:
                self._entry(path, 'dir')

    def file(self, name, data):
        """Add an executable file with this content."""
        self.folder(os.path.dirname(name))
        self._entry(name.strip('/'), 'file', data)

    def link(self, name, target):
        """Add a symbolic link."""
        self.folder(os.path.dirname(name))
        self._entry(name.strip('/'), 'link', target.encode())

    def char(self, name, major, minor):
        """Add a character device node."""
        self.folder(os.path.dirname(name))
        self._entry(name.strip('/'), 'char', device=(major, minor))

    def pack(self):
        """Return the compressed archive."""
        self._entry('TRAILER!!!', 'file')
        return gzip.compress(b''.join(self.parts), 1, mtime=0)


def read(path):
    """Return the content of a file."""
    with open(path, 'rb') as handle:
        return handle.read()


def is_static_elf(path):
    """Tell whether a file is an ELF program without an interpreter."""
    try:
        data = read(path)
    except OSError:
        return False
    return data[:4] == b'\x7fELF' and b'/ld-linux' not in data[:4096]


def find_busybox(build):
    """Return the path of a static busybox, or None."""
    places = [os.path.join(build, 'guest', 'busybox'), shutil.which('busybox')]
    return next((p for p in places if p and is_static_elf(p)), None)


MODULE_FIELD = re.compile(rb'(?<![a-z_.=-])(alias|depends|name)=([ -~]*)\0')


def module_files(build):
    """Return [(path in the guest, content)] of the modules that are built in a kernel's folder."""
    try:
        order = read(os.path.join(build, 'modules.order')).decode().split()
        release = read(os.path.join(build, 'include/config/kernel.release')).decode().strip()
    except OSError:
        return []
    found, aliases, fields = [], [], {}
    for entry in order:
        data = read(os.path.join(build, os.path.splitext(entry)[0] + '.ko'))
        info = [(key.decode(), text.decode()) for key, text in MODULE_FIELD.findall(data)]
        name = next(text for key, text in info if key == 'name')
        # A module's own name has no dash; what it depends on is named by its file
        depends = next((t for k, t in info if k == 'depends' and t), '')
        fields[name] = depends.replace('-', '_').split(',')
        aliases += [f'alias {text} {name}\n' for key, text in info if key == 'alias']
        found.append((f'lib/modules/{release}/{name}.ko', data))

    def needs(name):
        names = [d for d in fields[name] if d]
        return names + [n for d in names for n in needs(d) if n not in names]

    lines = [f'{name}.ko: {" ".join(n + ".ko" for n in needs(name))}\n' for name in fields]
    if found:
        found += [(f'lib/modules/{release}/modules.dep', ''.join(lines).encode()),
                  (f'lib/modules/{release}/modules.alias', ''.join(aliases).encode())]
    return found


def base(init, programs=(), busybox=None, extra=()):
    """Return an archive with what every stage needs; extra is a list of (path, content)."""
    archive = Archive()
    for name in ('dev', 'proc', 'sys', 'tmp', 'run', 'boot/next'):
        archive.folder(name)
    archive.char('dev/console', 5, 1)
    archive.char('dev/null', 1, 3)
    archive.file('init', read(init))
    for program in programs:
        archive.file('bin/' + os.path.basename(program), read(program))
    if busybox:
        archive.file('bin/busybox', read(busybox))
        archive.link('bin/sh', 'busybox')
        archive.link('sbin/modprobe', '../bin/busybox')
    for path, content in extra:
        archive.file(path, content)
    return archive


def ring(kernels, **parts):
    """Return the archive for every boot of a run in which kernels take turns.

    It carries all of them. Its own successor is itself, which retain_initrd leaves in memory.
    """
    archive = base(**parts)
    for number, kernel in enumerate(kernels):
        archive.folder(f'boot/{number}')
        archive.file(f'boot/{number}/bzImage', read(kernel))
    return archive.pack()


def chain(kernels, **parts):
    """Return the archive for the first boot; kernels are the images kexec'ed one after another.

    The last kernel's archive has no /boot/next content, each earlier one carries its successor.
    """
    inner = base(**parts).pack()
    for kernel in reversed(kernels):
        outer = base(**parts)
        outer.file('boot/next/bzImage', read(kernel))
        outer.file('boot/next/initramfs.cpio.gz', inner)
        inner = outer.pack()
    return inner
