# SPDX-License-Identifier: GPL-2.0-only
"""Scenarios: what they are, where they are defined, and one run of one of them."""
import glob
import importlib.util
import json
import os
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field, replace

from harness import cfgwrites, console, frames, initramfs, judges, machine, trace
from harness import report, walker
from harness.ports import PortError
from harness.sampler import Fleet, Sampler
from harness.verdict import Verdict

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, 'build')
COMMAND = os.path.join(BUILD, 'guest/ferry')
KERNELS = ('old', 'new', 'break', 'debug', 'alt', 'new-base')
UNBUILT = ('build/alt is missing; to un-skip, make kernel KERNELS=alt, which wants the package '
           'clang-19')
INTO_BREAK = ('old', 'break')           # what is switched off is so in the new kernel
PASS, FAIL, SKIP = 0, 1, 77
FRAME_JUDGES = ('verdict', 'console', 'handover', 'frames', 'translation', 'faults',
                'invalidation', 'config-writes', 'mmio', 'resets', 'mappings', 'sent-back',
                'afterwards')
# KHO warns when its file in debugfs cannot be made for want of memory, and goes on without it
NO_DEBUGFS = ('kho_add_subtree+',)
# The kernel's check of the timer takes a busy host for a broken one. Its watchdog of the clock
# waits for another CPU, with interrupts off and jiffies as its time limit: for ever, when that CPU
# waits for this one to change the clock, as it does once in each boot.
CLOCK = ('no_timer_check', 'tsc=nowatchdog')
# Another device that can do DMA, where the guest looks for it
SECOND_NIC = ('-device', 'igb,bus=pcie.0,addr=06.0')


def with_command(_):
    """Return the command ferry, which the initramfs is to have more."""
    return [('bin/ferry', initramfs.read(COMMAND))]


@dataclass
class Scenario:
    """One row of the list that `lab list` prints."""

    name: str
    summary: str
    test: str                               # what the guest runs (ferry.test=)
    options: dict = field(default_factory=dict)
    kernels: tuple = ('old', 'new')         # one per boot
    ring: bool = False                      # the first two of them take turns
    iommu: str = 'legacy'
    topology: str = 'root'
    testdev: bool = False
    nics: tuple = ()                        # machine.Nic, instead of the test NIC
    devices: tuple = ()                     # vfiouser.Endpoint
    unit: dict = field(default_factory=dict)    # more options of the VT-d unit
    memory: str = '1G'
    smp: int = 2
    append: str = ''
    needs: tuple = ()
    rate: int = 0                           # frames per second and NIC, 0 without frames
    judges: tuple = ('verdict', 'console')
    must_fail: tuple = ()                   # negative control: one of these has to object
    ending: str = 'guest-shutdown'
    stages: int = 0                         # how many stages speak; 0: one per kernel
    timeout: int = 120
    files: object = None                    # function(run) -> [(path in the guest, content)]
    begin: object = None                    # function(run), when the machine begins to run
    meanwhile: object = None                # function(run), again and again during the kexec
    at: dict = field(default_factory=dict)  # sync name -> function(run), before the answer
    check: object = None                    # function(run) -> list of objections
    walked: bool = True                     # the host reads the unit's tables at each step
    tolerate: tuple = ()                    # console lines that may appear
    kept_until: str = 'finished'            # the sync that ends the time of the kept device
    extra: tuple = ()                       # more arguments for QEMU
    ssdt: bytes = b''                       # one more ACPI table
    long: bool = False                      # only in `make test-long`, or when named

    def spoken(self):
        """Return the number of stages that speak on the verdict port."""
        return self.stages or len(self.kernels)


def broken(scenario, what, must_fail, kernels=('break', 'new'), **more):
    """Return the control of a scenario: safety hooks are off, in the kernel that can do that."""
    name = what.split(',', maxsplit=1)[0]
    words = [scenario.append] if scenario.append else []
    return replace(scenario, **{
        'name': f'negative-break-{name}', 'kernels': kernels, 'must_fail': must_fail,
        'append': ' '.join([*words, f'liveupdate_break={what}']),
        'summary': f'control: the {name} hook is off, which must be noticed', **more})


def load(folder=None):
    """Return all scenarios by name, in the order of their files."""
    found = {}
    for path in sorted(glob.glob(os.path.join(folder or os.path.join(TOP, 'tests/e2e'),
                                              '[0-9]*.py'))):
        spec = importlib.util.spec_from_file_location('e2e_' + os.path.basename(path)[:3], path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for scenario in module.SCENARIOS:
            if scenario.name in found:
                raise ValueError(f'{path}: {scenario.name} is defined twice')
            found[scenario.name] = scenario
    return found


def kernel_image(name, overrides=None):
    """Return the path of a kernel image by its build name."""
    given = (overrides or {}).get(name)
    return given or os.path.join(BUILD, name, 'arch/x86/boot/bzImage')


def command_line(scenario, nonce):
    """Return the kernel command line of stage 1."""
    mode = 'sm_off' if scenario.iommu == 'legacy' else 'sm_on'
    words = ['console=ttyS0,115200', *CLOCK, 'panic=-1', 'kho=on', 'liveupdate=on',
             f'intel_iommu=on,{mode}']
    if 'debug' in scenario.kernels:
        # KASAN asks the CPU's capabilities for its layout, which are unknown for a moment.
        words += ['kho_scratch=32M,512M,0M', 'kunit.enable=0', 'no5lvl']
    words += ['retain_initrd'] if scenario.ring else []
    words += [scenario.append] if scenario.append else []
    words += [f'ferry.test={scenario.test}', f'ferry.nonce={nonce}', 'ferry.stage=1']
    words += [f'ferry.opt={key}={value}' for key, value in scenario.options.items()]
    return ' '.join(words)


class Run:
    """One run of a scenario: everything that was seen, and what the judges say."""

    def __init__(self, scenario, qemu, folder, settings):
        self.scenario = scenario
        self.qemu = qemu
        self.folder = folder
        self.settings = settings
        self.nonce = secrets.token_hex(8)
        self.verdict = Verdict(self.nonce)
        self.machine = None
        self.source = self.receiver = self.sampler = None
        self.receivers = {}             # of several NICs: their addresses -> the receiver
        self.syncs = Counter()          # how often each was met
        self.marks = {}                 # sync name -> time; NAME2 for the second one
        self.sent = {}                  # sync name -> counters of the frame source
        self.dumps = {}                 # name -> walker dump
        self.functions = []             # the path, as it was before the kexec
        self.figures = {}
        self.objections = {}            # judge -> list of texts
        self.notes = []
        self.events = []
        self.console = []
        self.began = self.ended = self.began_monotonic = 0.0

    @property
    def bdf(self):
        """Where the test NIC is."""
        return machine.nic_bdf(self.scenario.topology)

    @property
    def watched(self):
        """The requesters whose mappings are read: the test NICs and the devices of our own."""
        return [bdf for bdf in (self.bdf, *(d.bdf for d in self.more)) if bdf]

    @property
    def more(self):
        """What there is beside the test NIC, or instead of it."""
        return (*self.scenario.nics, *self.scenario.devices)

    @property
    def kept(self):
        """Those of the watched requesters that are kept over the kexec."""
        left = {d.bdf for d in self.more if not d.kept}
        return [bdf for bdf in self.watched if bdf not in left]

    def object_to(self, judge, text):
        """Record an objection."""
        self.objections.setdefault(judge, []).append(text)

    # -- preparation ---------------------------------------------------------------------------

    def skip_reason(self):
        """Return why this run is not possible on this QEMU, or None."""
        needs = list(self.scenario.needs)
        needs += {'scalable-ss': ['scalable-mode'],
                  'scalable-fs': ['scalable-mode', 'first-stage']}.get(self.scenario.iommu, [])
        needs += ['device:iommu-testdev'] if self.scenario.testdev else []
        needs += ['device:vfio-user-pci'] if self.scenario.devices else []
        image = kernel_image('alt', self.settings.get('kernels', {}))
        if 'alt' in self.scenario.kernels and not os.path.exists(image):
            return UNBUILT
        return next(filter(None, (self.qemu.missing(n) for n in needs)), None)

    def _prepare(self):
        overrides = self.settings.get('kernels', {})
        images = [kernel_image(name, overrides) for name in self.scenario.kernels]
        init = self.settings.get('init') or os.path.join(BUILD, 'guest/init')
        for path in [*images, init]:
            if not os.path.exists(path):
                raise FileNotFoundError(f'{os.path.relpath(path, TOP)} is missing: '
                                        'run `make kernel guest`')
        os.makedirs(self.folder, exist_ok=True)
        extra = list(self.scenario.files(self)) if self.scenario.files else []
        for name in dict.fromkeys(self.scenario.kernels):
            if name not in overrides:
                extra += initramfs.module_files(os.path.join(BUILD, name))
        parts = {'init': init, 'extra': extra, 'busybox': initramfs.find_busybox(BUILD)}
        if self.scenario.ring:
            archive = initramfs.ring(images[:2], **parts)
        elif len(images) > 1:
            archive = initramfs.chain(images[1:], **parts)
        else:
            archive = initramfs.base(init, extra=extra).pack()
        initrd = os.path.join(self.folder, 'initramfs.cpio.gz')
        with open(initrd, 'wb') as handle:
            handle.write(archive)
        return machine.Spec(
            kernel=images[0], initrd=initrd, append=command_line(self.scenario, self.nonce),
            smp=self.scenario.smp, memory=self.scenario.memory, iommu=self.scenario.iommu,
            topology=self.scenario.topology, testdev=self.scenario.testdev,
            nics=self.scenario.nics, devices=self.scenario.devices, unit=self.scenario.unit,
            accel=self.settings.get('accel', 'tcg'),
            extra=[*self.scenario.extra, *self._ssdt(), *self.settings.get('extra', ())])

    def _ssdt(self):
        if not self.scenario.ssdt:
            return []
        path = os.path.join(self.folder, 'ssdt.aml')
        with open(path, 'wb') as handle:
            handle.write(self.scenario.ssdt)
        return ['-acpitable', f'file={path}']

    # -- the run -------------------------------------------------------------------------------

    def execute(self):
        """Run the machine to its end, then let the judges speak; return PASS or FAIL."""
        spec = self._prepare()
        limit = self.scenario.timeout * self.settings.get('patience', 1)
        self.began, self.began_monotonic = time.time(), time.monotonic()
        self.machine = machine.Machine(self.qemu, spec, self.folder)
        try:
            self._live(limit)
        except PortError as error:
            self.object_to('verdict', f'the machine: {error}')
        finally:
            self._close()
        self.ended = time.time()
        return self._judge()

    def _live(self, limit):
        self._listen()
        with self.machine as box:
            if self.scenario.rate:
                self._make_source(box, self.settings.get('rate') or self.scenario.rate)
            box.go()
            if self.scenario.begin:
                self.scenario.begin(self)
            end = time.monotonic() + limit
            try:
                self._converse(box, end)
            except PortError as error:
                if str(error) != 'closed':
                    self.object_to('verdict', str(error))
            if self.source:
                self.sent['end'] = self.source.stop()
            self.verdict.end(box.verdict.rest(), self.scenario.spoken())
            if self.sampler:
                self.sampler.stop()
            if not box.wait(20 if time.monotonic() < end else 0):
                self.object_to('verdict', f'the machine did not end within {limit} s')
                return
            ending = box.ending()
            if ending != self.scenario.ending:
                self.object_to('verdict', f'the machine ended by {ending}, '
                               f'not by {self.scenario.ending}')

    def _listen(self):
        """Be at the other end of every NIC before the machine has any."""
        if self.scenario.nics:
            self.receivers = {n.bdf: frames.Receiver(self.machine.socket(f'wire-{n.name}'))
                              for n in self.scenario.nics}
        elif self.scenario.rate:
            self.receiver = frames.Receiver(self.machine.socket('wire'))

    def _make_source(self, box, rate):
        if self.scenario.nics:
            self.source = frames.Sources(
                {n.bdf: (box.socket(n.name), n.mac.replace(':', ''))
                 for n in self.scenario.nics}, rate,
                [n.bdf for n in self.scenario.nics if not n.plugged])
        else:
            self.source = frames.Source(box.socket('nic'), rate)

    def _converse(self, box, end):
        while True:
            line = box.verdict.read(0.3)
            if line is None:
                if time.monotonic() > end or not box.alive():
                    return
                self._meanwhile()
                continue
            with open(box.path('verdict.ktap'), 'ab') as log:
                log.write(line + b'\n')
            sync = self.verdict.feed(line)
            if sync:
                self._answer(box, sync)

    def numbered(self, label, sync=None):
        """Return a label as it is called in the update under way: the first has no number."""
        count = self.syncs[sync or label]
        return label if count < 2 else f'{label}{count}'

    def _meanwhile(self):
        if self.syncs['kexec'] == self.syncs['booted']:
            return
        if self.numbered('during', 'kexec') not in self.dumps:
            self.dump(self.numbered('during', 'kexec'))
        if self.scenario.meanwhile:
            self.scenario.meanwhile(self)

    def _answer(self, box, sync):
        now = time.time()
        self.syncs[sync] += 1
        self.marks[self.numbered(sync)] = now
        handler = getattr(self, '_at_' + sync.replace('-', '_'), None)
        if handler and self.scenario.rate:
            handler()
        if sync in self.scenario.at:
            self.scenario.at[sync](self)
        if self.settings.get('verbose'):
            print(f'  {now - self.began:7.2f} s  {sync}', flush=True)
        if self.settings.get('on_sync'):
            self.settings['on_sync'](self, sync)
        box.verdict.write(b'go\n')

    def _at_ready(self):
        if not self.sampler:
            qtest = self.machine.qtest
            self.sampler = Fleet(qtest, {bdf: source.tell for bdf, source
                                         in self.source.each.items()}) \
                if self.scenario.nics else Sampler(qtest, self.bdf, self.source.tell)
            self.sampler.start()
        self.source.start()

    def _at_preserved(self):
        # What later updates find is compared with what the first one found
        if not self.functions:
            self.look_at_path()
        self.dump(self.numbered('before', 'preserved'))

    def look_at_path(self):
        """Remember the config space of every function on the path, as it is now."""
        qtest = self.machine.qtest
        roles = [(b, 'endpoint') for b in self.kept]
        roles += [(b, 'bridge') for b in machine.bridge_bdfs(self.scenario.topology)]
        roles += [(d.port, 'bridge') for d in self.more if d.port and d.kept]
        self.functions = [cfgwrites.Function(b, role, qtest.config(b)) for b, role in roles]

    def _at_booted(self):
        self.dump(self.numbered('after', 'booted'))

    def _at_retrieved(self):
        self.dump(self.numbered('retrieved'))

    def _at_continued(self):
        self.sent['continued'] = self.source.stop()

    def _at_finished(self):
        self.dump('finished')
        self.source.start()

    def _at_closed(self):
        self.sent['closed'] = self.source.stop()
        self.dump('closed')

    def dump(self, label):
        """Let the walker read the unit's tables now."""
        if self.scenario.iommu == 'none' or not self.scenario.walked:
            return
        try:
            self.dumps[label] = walker.Unit(self.machine.qtest).dump(self.watched)
        except (walker.WalkError, PortError) as error:
            self.dumps[label] = {'error': str(error), 'requesters': {}}
        with open(os.path.join(self.folder, f'walk-{label}.json'), 'w', encoding='utf-8') as out:
            json.dump(self.dumps[label], out)

    def _close(self):
        if self.sampler:
            self.sampler.stop()
            self.sampler.save(os.path.join(self.folder, 'samples.csv'))
        if self.source:
            self.source.close()
        self.machine.stop()
        for receiver in (self.receiver, *self.receivers.values()):
            if receiver:
                receiver.close()

    # -- the judgement -------------------------------------------------------------------------

    def _read_artefacts(self):
        path = self.machine.path('trace.log')
        self.events = trace.load(path) if os.path.exists(path) else []
        path = self.machine.path('console.log')
        self.console = console.read(path) if os.path.exists(path) else []

    def _judge(self):
        self._read_artefacts()
        for name in self.scenario.judges:
            for text in judges.JUDGES[name](self):
                self.object_to(name, text)
        if self.scenario.check:
            for text in self.scenario.check(self):
                self.object_to('check', text)
        result = self._result()
        report.write_timeline(self, os.path.join(self.folder, 'timeline.csv'))
        self._write_summary(result)
        return result

    def _result(self):
        if not self.scenario.must_fail:
            if self.objections:
                return FAIL
            code = self.verdict.exit_code()
            return code if 'verdict' in self.scenario.judges else PASS
        objecting = [name for name in self.scenario.must_fail
                     if any(not isinstance(t, judges.Missing)
                            for t in self.objections.get(name, ()))]
        self.figures['objecting'] = objecting
        if self.figures.get('host_drops'):
            self.object_to('control', 'invalid run: the host dropped frames')
        if len(self.verdict.stages) < self.scenario.spoken():
            self.object_to('control', 'the control did not get to its last kernel')
        if objecting and 'control' not in self.objections:
            return PASS
        if not objecting:
            self.object_to('control', 'none of the judges this control has to upset objected: '
                           + ', '.join(self.scenario.must_fail))
        return FAIL

    def invalid(self):
        """Why this run cannot say anything about what it tests, or None."""
        if self.figures.get('host_drops'):
            return 'the host dropped frames'
        if not self.verdict.stages:
            return 'the first kernel did not get to its first program'
        return None

    def seconds(self):
        """Return how long the run took."""
        return self.ended - self.began

    def _write_summary(self, result):
        stages = self.verdict.stages
        summary = {
            'scenario': self.scenario.name, 'result': {0: 'ok', 77: 'skip'}.get(result, 'FAIL'),
            'seconds': round(self.seconds(), 2), 'qemu': '.'.join(map(str, self.qemu.version)),
            'kernels': [s.kernel for s in stages], 'figures': self.figures,
            'objections': self.objections, 'guest': self.verdict.info(), 'marks': self.marks,
            'syncs': [s.syncs for s in stages]}
        with open(os.path.join(self.folder, 'summary.json'), 'w', encoding='utf-8') as out:
            json.dump(summary, out, indent=1)
            out.write('\n')
