# SPDX-License-Identifier: GPL-2.0-only
"""One virtual machine: its command line, its life, its folder of artefacts.

Whatever happens to the harness (an error, Ctrl-C, SIGTERM, SIGKILL), no process stays behind:
QEMU is in a process group of its own that stop() kills, and asks Linux to be killed when the
harness dies.
"""
import ctypes
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field

from harness import vfiouser
from harness.ports import Lines, PortError, Qmp, Qtest, connect

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1
NIC_MAC = '52:54:00:12:34:56'
TRACES = (
    'pci_cfg_write', 'pci_pm_transition', 'vtd_dmar_enable', 'vtd_dmar_fault', 'vtd_ir_enable',
    'vtd_reg_write_gcmd', 'vtd_reg_dmar_root', 'vtd_frr_new', 'vtd_re_not_present',
    'vtd_ce_not_present', 'vtd_inv_qi_enable', 'vtd_inv_desc*', 'vtd_context_cache_reset',
    'e1000e_core_ctrl_sw_reset', 'e1000e_core_ctrl_phy_reset', 'e1000e_rx_null_descriptor',
    'e1000e_rx_receive_iov', 'e1000e_rx_written_to_guest', 'resettable_phase_hold_exec',
)
TESTDEV_TRACES = ('iommu_testdev_dma_result',)


@dataclass
class Nic(vfiouser.Placed):
    """One of several test NICs: where it is, and the address that it has."""

    slot: int                       # on the root bus; of its port when behind one
    bus: int = 0                    # not 0: behind a root port, as the only device of this bus
    kept: bool = True               # the scenario keeps it over the kexec
    plugged: bool = True            # False: the scenario plugs it in

    @property
    def name(self):
        """A name for sockets and in QEMU."""
        return f'nic{self.slot:02x}'

    @property
    def mac(self):
        """Its address."""
        return f'52:54:00:12:35:{self.slot:02x}'

    def device(self):
        """Return its properties for QEMU."""
        where = {'bus': f'rp{self.slot:02x}'} if self.bus else {
            'bus': 'pcie.0', 'addr': f'{self.slot:02x}.0'}
        return {'driver': 'e1000e', 'id': self.name, 'netdev': f'net{self.slot:02x}',
                'mac': self.mac, **where}

    def arguments(self, socket):
        """Return the QEMU arguments that make a machine have it; socket gives paths."""
        argv = ['-netdev', f'dgram,id=net{self.slot:02x},local.type=unix,'
                f'local.path={socket(self.name)},remote.type=unix,'
                f'remote.path={socket("wire-" + self.name)}']
        if self.bus:
            argv += ['-device', f'pcie-root-port,id=rp{self.slot:02x},bus=pcie.0,'
                     f'addr={self.slot:02x}.0,chassis={self.slot}']
        if self.plugged:
            argv += ['-device', ','.join(
                f'{key}={value}'.replace('driver=', '') for key, value in self.device().items())]
        return argv


@dataclass
class Spec:
    """What the machine consists of."""

    kernel: str = ''
    initrd: str = ''
    append: str = ''
    smp: int = 2
    memory: str = '1G'
    iommu: str = 'legacy'           # legacy, scalable-ss, scalable-fs, none
    topology: str = 'root'          # root, rp (behind a root port), none (no test NIC)
    testdev: bool = False
    nics: tuple = ()                # Nic, instead of the test NIC
    devices: tuple = ()             # vfiouser.Endpoint, served by a thread of ours
    unit: dict = field(default_factory=dict)    # more options of the VT-d unit
    accel: str = 'tcg'
    console: str = 'file'           # file, or stdio for an interactive machine
    extra: list = field(default_factory=list)


def nic_bdf(topology):
    """Return where the test NIC is, as bb:dd.f."""
    return {'root': '00:04.0', 'rp': '01:00.0'}.get(topology)


def bridge_bdfs(topology):
    """Return the bridges between the root bus and the NIC."""
    return ['00:05.0'] if topology == 'rp' else []


def die_with_parent():
    """Ask Linux to kill this process when its parent dies (runs in the child)."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def iommu_option(qemu, kind, more=None):
    """Return the -device argument for one kind of VT-d unit; more overrides options."""
    options = {'intremap': 'on', 'caching-mode': 'off'}
    if kind != 'legacy':
        options[qemu.scalable_option()] = 'on'
        if 'aw-bits' in qemu.options('intel-iommu'):
            options['aw-bits'] = '48'
    if kind == 'scalable-fs':
        options['fsts'] = 'on'
    options.update(more or {})
    return ','.join(['intel-iommu', *(f'{name}={value}' for name, value in options.items())])


class Machine:
    """A QEMU process with its sockets; use it as a context manager."""

    def __init__(self, qemu, spec, folder):
        self.qemu = qemu
        self.spec = spec
        self.folder = folder
        self.process = None
        self.qmp = self.qtest = self.verdict = self.server = None
        os.makedirs(folder, exist_ok=True)
        self.sockets = tempfile.mkdtemp(prefix='ferry-')

    def path(self, name):
        """Return the path of an artefact."""
        return os.path.join(self.folder, name)

    def socket(self, name):
        """Return the path of a socket (a short one: their length is limited)."""
        return os.path.join(self.sockets, name)

    def _nic(self):
        if self.spec.topology == 'none':
            return []
        net = (f'dgram,id=net0,local.type=unix,local.path={self.socket("nic")},'
               f'remote.type=unix,remote.path={self.socket("wire")}')
        nic = f'e1000e,id=nic0,netdev=net0,mac={NIC_MAC}'
        if self.spec.topology == 'rp':
            port = 'pcie-root-port,id=rp0,bus=pcie.0,addr=05.0,chassis=1'
            return ['-netdev', net, '-device', port, '-device', nic + ',bus=rp0']
        return ['-netdev', net, '-device', nic + ',bus=pcie.0,addr=04.0']

    def _serial(self):
        if self.spec.console == 'stdio':
            return ['-serial', 'mon:stdio', '-serial', f'file:{self.path("verdict.ktap")}']
        return ['-chardev', f'file,id=console,path={self.path("console.log")}',
                '-serial', 'chardev:console',
                '-chardev', f'socket,id=verdict,path={self.socket("verdict")},server=on,wait=off',
                '-serial', 'chardev:verdict']

    def command(self):
        """Return the exact command line."""
        spec = self.spec
        argv = [*self.qemu.argv, '-nodefaults', '-no-user-config', '-display', 'none',
                '-vga', 'none', '-machine', 'q35,kernel-irqchip=split' if spec.accel == 'kvm'
                else 'q35', '-accel', spec.accel, '-cpu', 'max', '-smp', str(spec.smp),
                '-m', spec.memory, '-no-reboot']
        if spec.iommu != 'none':
            argv += ['-device', iommu_option(self.qemu, spec.iommu, spec.unit)]
        argv += self._nic() + self._serial()
        if spec.testdev:
            argv += ['-device', 'iommu-testdev,bus=pcie.0,addr=06.0']
        for nic in spec.nics:
            argv += nic.arguments(self.socket)
        for endpoint in spec.devices:
            argv += vfiouser.arguments(endpoint, self.socket(endpoint.name))
        if spec.console == 'file':
            argv += ['-qmp', f'unix:{self.socket("qmp")},server=on,wait=off', '-S',
                     '-qtest', f'unix:{self.socket("qtest")},server=on,wait=off',
                     '-qtest-log', 'none']
            for event in TRACES + (TESTDEV_TRACES if spec.testdev else ()):
                argv += ['-trace', event]
            argv += ['-D', self.path('trace.log'), '-msg', 'timestamp=on']
        argv += ['-kernel', spec.kernel, '-initrd', spec.initrd, '-append', spec.append]
        return argv + list(spec.extra)

    def _write_script(self, argv):
        names = ''.join(f'{k}={shlex.quote(v)} ' for k, v in self.qemu.env.items())
        with open(self.path('qemu.sh'), 'w', encoding='utf-8') as script:
            script.write('#!/bin/sh\n# The exact command of this run (its sockets were in '
                         f'{self.sockets}).\nmkdir -p {self.sockets}\n'
                         f'{names}exec {shlex.join(argv)}\n')
        os.chmod(self.path('qemu.sh'), 0o755)

    def start(self):
        """Start the machine; with sockets, it waits for go()."""
        argv = self.command()
        self._write_script(argv)
        if self.spec.devices:
            self.server = vfiouser.Server(self.spec.devices, self.socket)
            self.server.start()
        interactive = self.spec.console == 'stdio'
        with open(self.path('qemu.err'), 'wb') as errors:
            # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
            self.process = subprocess.Popen(
                argv, env=self.qemu.environment(), preexec_fn=die_with_parent,
                start_new_session=not interactive,
                stdin=None if interactive else subprocess.DEVNULL,
                stdout=None if interactive else errors,
                stderr=None if interactive else errors)
        if interactive:
            return
        deadline = time.monotonic() + 20
        try:
            self.qmp = Qmp(self.socket('qmp'), deadline)
            self.qtest = Qtest(self.socket('qtest'), deadline)
            self.verdict = Lines(connect(self.socket('verdict'), deadline))
        except PortError as error:
            self.stop()
            raise PortError(f'QEMU did not start: {error}: {self.errors()}') from error

    def go(self):
        """Let the processors run."""
        self.qmp.command('cont')

    def alive(self):
        """Tell whether QEMU is running."""
        return self.process is not None and self.process.poll() is None

    def errors(self):
        """Return what QEMU wrote to its standard error."""
        with open(self.path('qemu.err'), encoding='utf-8', errors='replace') as handle:
            return handle.read().strip()

    def wait(self, timeout):
        """Wait for the end of QEMU; return whether it ended by itself in time."""
        try:
            self.process.wait(timeout)
            return True
        except subprocess.TimeoutExpired:
            return False

    def ending(self):
        """Return why the machine ended: guest-shutdown, guest-reset, ... or None."""
        until = time.monotonic() + 5            # the event may still have to be read
        while self.qmp and not self.qmp.event('SHUTDOWN') and time.monotonic() < until:
            time.sleep(0.02)
        event = self.qmp.event('SHUTDOWN') if self.qmp else None
        return event.get('reason') if event else None

    def stop(self):
        """End QEMU and remove the sockets; may be called at any time, more than once."""
        if self.process is not None and self.process.poll() is None:
            if self.spec.console == 'stdio':
                self.process.kill()
            else:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.server:
            self.server.stop()
            for device in self.server.devices.values():
                device.save(self.path(f'{device.endpoint.name}.log'))
        for port in (self.verdict, self.qtest and self.qtest.lines, self.qmp and self.qmp.lines):
            if port:
                port.close()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc):
        self.stop()
