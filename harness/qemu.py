# SPDX-License-Identifier: GPL-2.0-only
"""Finds a QEMU and asks it what it can do (features are probed, never versions).

Order: an explicit path, $FERRY_QEMU_ROOT, the tree that scripts/qemu-fetch unpacked, the host's
own qemu-system-x86_64. An unpacked tree is run through its own dynamic loader, so that nothing of
the host's C library is touched.
"""
import os
import re
import shutil
import subprocess

BINARY = 'qemu-system-x86_64'
OLDEST = (7, 2)
REQUIRED_FROM = (11, 1)
HOW = 'run scripts/qemu-fetch (unpacks QEMU >= 11.1 under ~/.cache/ferry/qemu)'


class QemuError(Exception):
    """No usable QEMU was found, or it does not answer."""


class Qemu:
    """One QEMU program: how to start it, which version it is, what it can do."""

    def __init__(self, argv, env=None, origin=''):
        self.argv = argv
        self.env = env or {}
        self.origin = origin
        self._options = {}
        self.version = self._version()

    def environment(self):
        """Return the environment in which the program has to be started."""
        return {**os.environ, **self.env}

    def _ask(self, *args):
        try:
            done = subprocess.run([*self.argv, *args], env=self.environment(), timeout=60,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors='replace')
        except (OSError, subprocess.TimeoutExpired) as error:
            raise QemuError(f'{self.argv[-1]}: {error}') from error
        return done.returncode, done.stdout

    def _version(self):
        code, text = self._ask('--version')
        match = re.search(r'version (\d+)\.(\d+)', text)
        if code or not match:
            raise QemuError(f'{self.argv[0]} does not tell its version')
        return int(match[1]), int(match[2])

    def options(self, device):
        """Return the set of options of a device model; empty when QEMU has no such model."""
        if device not in self._options:
            code, text = self._ask('-device', f'{device},help')
            names = re.findall(r'^\s+([\w.-]+)=<', text, re.M) if code == 0 else []
            self._options[device] = set(names)
        return self._options[device]

    def missing(self, feature):
        """Return None when QEMU has the feature, else a sentence that says how to get it."""
        if feature.startswith('device:'):
            device = feature.split(':', 1)[1]
            if self.options(device):
                return None
        elif feature == 'first-stage':
            if 'fsts' in self.options('intel-iommu'):
                return None
        elif feature == 'scalable-mode':
            if self.scalable_option():
                return None
        else:
            raise QemuError(f'unknown feature {feature!r}')
        version = '.'.join(map(str, self.version))
        return f'QEMU {version} has no {feature.replace("device:", "")}; to un-skip, {HOW}'

    def scalable_option(self):
        """Return the name this version uses for VT-d scalable mode, or None."""
        options = self.options('intel-iommu')
        return next((n for n in ('scalable-mode', 'x-scalable-mode') if n in options), None)

    def full_coverage(self):
        """Tell whether no required test may be skipped on this QEMU."""
        return self.version >= REQUIRED_FROM


def from_root(root):
    """Return the Qemu of an unpacked package tree, or None when there is none in it."""
    lib = os.path.join(root, 'usr/lib/x86_64-linux-gnu')
    loader = os.path.join(root, 'usr/lib64/ld-linux-x86-64.so.2')
    binary = os.path.join(root, 'usr/bin', BINARY)
    if not (os.path.exists(loader) and os.path.exists(binary)):
        return None
    data = [os.path.join(root, p)
            for p in ('usr/share/qemu', 'usr/share/seabios', 'usr/lib/ipxe/qemu')]
    argv = [loader, '--library-path', lib, '--argv0', BINARY, binary]
    for folder in data:
        argv += ['-L', folder]
    return Qemu(argv, {'QEMU_MODULE_DIR': os.path.join(lib, 'qemu')}, root)


def cache_root():
    """Return the folder where scripts/qemu-fetch keeps what it unpacked."""
    cache = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return os.path.join(cache, 'ferry', 'qemu')


def find(explicit=None):
    """Return the best QEMU of this machine; explicit is a program or an unpacked tree."""
    if explicit:
        found = from_root(explicit) if os.path.isdir(explicit) else Qemu([explicit], {}, explicit)
        if found is None:
            raise QemuError(f'{explicit}: no {BINARY} in this tree')
        return found
    roots = [os.environ.get('FERRY_QEMU_ROOT'), cache_root(), os.path.join(cache_root(), 'root')]
    for root in filter(None, roots):
        found = from_root(root)
        if found:
            return found
    host = shutil.which(BINARY)
    if not host:
        raise QemuError(f'no {BINARY} on this machine: {HOW}')
    found = Qemu([host], {}, host)
    if found.version < OLDEST:
        raise QemuError(f'{host} is older than {OLDEST[0]}.{OLDEST[1]}: {HOW}')
    return found
