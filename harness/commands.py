# SPDX-License-Identifier: GPL-2.0-only
"""The commands of ./lab. Exit codes: 0 all passed, 1 something failed, 77 all were skipped."""
import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace

from harness import initramfs, machine, qemu, report, scenario

EPILOG = '''exit codes: 0 passed, 1 failed, 77 skipped, 2 usage.
Artefacts of a run (exact QEMU command, console, trace, verdict, dumps, summary) are in
build/lab/TIME-SCENARIO/.'''


def run_folder(name):
    """Return a new folder for the artefacts of a run."""
    base = os.path.join(scenario.BUILD, 'lab', f'{time.strftime("%Y%m%d-%H%M%S")}-{name}')
    path, count = base, 1
    while os.path.exists(path):
        count += 1
        path = f'{base}.{count}'
    return path


def pairs(items):
    """Turn NAME=PATH arguments into a dictionary."""
    found = {}
    for item in items or ():
        name, _, path = item.partition('=')
        if name not in scenario.KERNELS or not path:
            raise argparse.ArgumentTypeError(f'{item!r} is not NAME=BZIMAGE; names: '
                                             + ', '.join(scenario.KERNELS))
        found[name] = os.path.abspath(path)
    return found


def settings_of(options):
    """Return the settings of a run from the command line."""
    kernels = pairs(options.kernel)
    return {'accel': options.accel, 'kernels': kernels, 'verbose': options.verbose,
            'init': options.init and os.path.abspath(options.init), 'rate': options.rate,
            'patience': options.patience, 'same_kernel_ok': bool(kernels),
            'extra': shlex.split(options.qemu_args or '')}


def run_one(item, program, settings, folder=None):
    """Run one scenario; return (result, seconds, why, run)."""
    run = scenario.Run(item, program, folder or run_folder(item.name), settings)
    reason = run.skip_reason()
    if reason:
        return scenario.SKIP, 0.0, reason, run
    try:
        result = run.execute()
        invalid = run.invalid() if result == scenario.FAIL and folder is None else None
        if invalid:
            print(f'      {invalid}: the run of {item.name} says nothing, repeating it', flush=True)
            run = scenario.Run(item, program, run_folder(item.name), settings)
            result = run.execute()
    except (OSError, qemu.QemuError) as error:
        return scenario.FAIL, run.seconds() if run.ended else 0.0, str(error), run
    why = ''
    if result == scenario.FAIL:
        why = report.reason(run)
    elif item.must_fail:
        why = 'as it must, the judges objected: ' + ', '.join(run.figures['objecting'])
    return result, run.seconds(), why, run


def command_list(options):
    """List the scenarios."""
    for item in scenario.load().values():
        kernels = f' [{" -> ".join(item.kernels)}]' if options.long else ''
        print(f'{item.name:<32} {item.summary}{kernels}')
    return 0


def choose(names):
    """Return the scenarios with these names; a pattern ending in * is a prefix."""
    known = scenario.load()
    chosen = []
    for name in names:
        if name.endswith('*'):
            chosen += [s for n, s in known.items() if n.startswith(name[:-1])]
        elif name in known:
            chosen.append(known[name])
        else:
            print(f'lab: no scenario {name!r}; see ./lab list', file=sys.stderr)
            sys.exit(2)
    return chosen


def command_run(options):
    """Run scenarios."""
    program = qemu.find(options.qemu)
    settings = settings_of(options)
    rows = []
    opts = dict(item.partition('=')[::2] for item in options.opt)
    for item in choose(options.scenario) * options.repeat:
        item = replace(item, options={**item.options, **opts})
        result, seconds, why, run = run_one(item, program, settings)
        rows.append((item.name, result, seconds, why, run.folder))
        print(report.line(item.name, result, seconds, why), flush=True)
        if run.ended:
            lines = report.figures(run) if options.verbose or item.rate else []
            lines += report.objections(run) if result == scenario.FAIL else []
            lines.append(f'    {os.path.relpath(run.folder)}')
            print('\n'.join(lines), flush=True)
            if not options.keep:
                drop(os.path.join(run.folder, 'initramfs.cpio.gz'))
    results = [row[1] for row in rows]
    report.write_results(os.path.join(scenario.BUILD, 'lab', 'results.json'), rows)
    if len(rows) > 1:
        print(report.totals(results))
    if scenario.FAIL in results:
        return 1
    return 77 if results and all(r == scenario.SKIP for r in results) else 0


def programs_of(paths):
    """Return [(path in the guest, content)] of programs from outside, and of ferry."""
    found = []
    for path in paths:
        if not initramfs.is_static_elf(path):
            raise argparse.ArgumentTypeError(f'{path} is not a static ELF program; the guest has '
                                             'no C library: link it with -static')
        found.append(('bin/' + os.path.basename(path), initramfs.read(path)))
    if os.path.exists(scenario.COMMAND):
        found += scenario.with_command(None)
    return found


def command_guest(options):
    """Run one guest program outside the list of scenarios."""
    names = (options.old, *options.next)
    opts = dict(item.partition('=')[::2] for item in options.opt)
    programs = programs_of(options.program)
    item = scenario.Scenario(
        name=options.test, summary='', test=options.test, options=opts, kernels=names,
        iommu=options.iommu, topology=options.topology, memory=options.memory,
        append=options.append, timeout=options.timeout or 600, files=lambda run: programs)
    settings = {'accel': options.accel, 'kernels': pairs(options.kernel), 'verbose': True,
                'extra': shlex.split(options.qemu_args or ''), 'same_kernel_ok': True}
    result, seconds, why, run = run_one(item, qemu.find(options.qemu), settings, options.out)
    print(report.line(item.name, result, seconds, why))
    print('\n'.join([*report.objections(run), f'    {os.path.relpath(run.folder)}']))
    return result


def drop(path):
    """Remove a file if it is there."""
    if os.path.exists(path):
        os.remove(path)


def interactive(options, init, append, extra):
    """Start a machine whose console is this terminal."""
    program = qemu.find(options.qemu)
    kernels = pairs(options.kernel)
    names = [options.old, options.new]
    images = [scenario.kernel_image(n, kernels) for n in names]
    for path in [*images, init]:
        if not os.path.exists(path):
            print(f'lab: {path} is missing: run `make kernel guest`', file=sys.stderr)
            return 1
    folder = run_folder(options.command)
    os.makedirs(folder)
    initrd = os.path.join(folder, 'initramfs.cpio.gz')
    busybox = initramfs.find_busybox(scenario.BUILD)
    with open(initrd, 'wb') as handle:
        handle.write(initramfs.chain(images[1:], init=init, busybox=busybox, extra=extra))
    mode = 'sm_off' if options.iommu == 'legacy' else 'sm_on'
    line = (f'console=ttyS0,115200 {" ".join(scenario.CLOCK)} panic=-1 kho=on liveupdate=on '
            f'intel_iommu=on,{mode} {append}').strip()
    if 'debug' in names:
        line += ' kho_scratch=32M,512M,0M kunit.enable=0'
    spec = machine.Spec(kernel=images[0], initrd=initrd, append=line, memory=options.memory,
                        iommu=options.iommu, topology=options.topology, accel=options.accel,
                        console='stdio', extra=shlex.split(options.qemu_args or ''))
    box = machine.Machine(program, spec, folder)
    print(f'lab: artefacts in {os.path.relpath(folder)}; leave with Ctrl-A X', flush=True)
    try:
        with box:
            box.process.wait(options.timeout or None)
    except subprocess.TimeoutExpired:
        print(f'lab: not finished within {options.timeout} s', file=sys.stderr)
        return 1
    return verdict_file(folder)


def verdict_file(folder):
    """Return the exit code a program wrote on the verdict port (ttyS1), if it did."""
    path = os.path.join(folder, 'verdict.ktap')
    try:
        with open(path, encoding='ascii', errors='replace') as handle:
            codes = re.findall(r'^# exit (\d+)\r?$', handle.read(), re.M)
    except OSError:
        codes = []
    return int(codes[-1]) if codes else 0


def command_shell(options):
    """Start a shell in the guest, the next kernel loaded."""
    if not initramfs.find_busybox(scenario.BUILD):
        print('lab: the shell needs a static busybox: apt-get install busybox-static',
              file=sys.stderr)
        return 1
    return interactive(options, os.path.join(scenario.BUILD, 'guest/init'),
                       'ferry.test=shell ferry.nonce=shell ferry.stage=1 ferry.opt=nosync=1 '
                       + options.append, programs_of(options.program))


def command_boot(options):
    """Boot a foreign static program as PID 1."""
    if not initramfs.is_static_elf(options.init):
        print(f'lab: {options.init} is not a static ELF program', file=sys.stderr)
        return 1
    return interactive(options, os.path.abspath(options.init), options.append, [])


def common(parser):
    """Add the options that every machine needs."""
    parser.add_argument('--qemu', metavar='PATH', help='QEMU program or unpacked tree')
    parser.add_argument('--accel', default='tcg', help='QEMU accelerator (default: tcg)')
    parser.add_argument('--kernel', action='append', metavar='NAME=BZIMAGE',
                        help='use this image for old, new, debug, alt or new-base')
    parser.add_argument('--qemu-args', metavar='ARGS', help='more QEMU arguments, one string')


def hardware(parser):
    """Add the options that describe a machine."""
    parser.add_argument('--append', default='', metavar='WORDS', help='more kernel parameters')
    parser.add_argument('--old', default='old', metavar='NAME', help='kernel that boots first')
    parser.add_argument('--iommu', default='legacy',
                        choices=('legacy', 'scalable-ss', 'scalable-fs', 'none'))
    parser.add_argument('--topology', default='root', choices=('root', 'rp', 'none'))
    parser.add_argument('--memory', default='1G')
    parser.add_argument('--timeout', type=int, default=0, metavar='S', help='0: none')


def build_parser():
    """Return the parser of ./lab."""
    parser = argparse.ArgumentParser(prog='lab', description=__doc__, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest='command', required=True)
    one = commands.add_parser('list', help='list the scenarios')
    one.add_argument('--long', action='store_true', help='with the kernels they boot')
    one = commands.add_parser('run', help='run scenarios', epilog=EPILOG)
    one.add_argument('scenario', nargs='+', help='name, or prefix followed by *')
    common(one)
    one.add_argument('--init', metavar='ELF', help='instead of build/guest/init')
    one.add_argument('--rate', type=int, metavar='N', help='frames per second')
    one.add_argument('--opt', action='append', default=[], metavar='KEY=VALUE',
                     help='one more option for the program in the guest')
    one.add_argument('--repeat', type=int, default=1, metavar='N')
    one.add_argument('--patience', type=float, default=1.0, metavar='X',
                     help='multiply every time limit')
    one.add_argument('--keep', action='store_true', help='keep the initramfs too')
    one.add_argument('-v', '--verbose', action='store_true', help='show stages with times')
    one = commands.add_parser('shell', help='a shell in the guest, next kernel ready')
    one.add_argument('--new', default='new', metavar='NAME', help='kernel under /boot/next')
    one.add_argument('--program', action='append', default=[], metavar='ELF',
                     help='static program to put into /bin (again: one more)')
    common(one)
    hardware(one)
    one = commands.add_parser('guest', help='run one guest program with any options')
    one.add_argument('test', help='the program, ferry.test=')
    one.add_argument('--opt', action='append', default=[], metavar='KEY=VALUE')
    one.add_argument('--program', action='append', default=[], metavar='ELF',
                     help='static program to put into /bin')
    one.add_argument('--next', action='append', default=[], metavar='NAME',
                     help='kernel to kexec into (again: one more)')
    one.add_argument('--out', metavar='FOLDER', help='folder for the artefacts')
    common(one)
    hardware(one)
    one = commands.add_parser('boot', help='boot a static program as PID 1',
                              description='The next kernel and its initramfs are at '
                              '/boot/next/bzImage and /boot/next/initramfs.cpio.gz.')
    one.add_argument('--init', required=True, metavar='STATIC_ELF')
    one.add_argument('--new', default='new', metavar='NAME', help='kernel under /boot/next')
    common(one)
    hardware(one)
    return parser


def as_program(name, function, arguments):
    """Run a program's function; signals and known errors become exit codes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return function(arguments)
    except KeyboardInterrupt:
        print(f'{name}: interrupted', file=sys.stderr)
        return 130
    except (qemu.QemuError, argparse.ArgumentTypeError) as error:
        print(f'{name}: {error}', file=sys.stderr)
        return 1


def dispatch(arguments):
    """Run the command that is named."""
    options = build_parser().parse_args(arguments)
    handlers = {'list': command_list, 'run': command_run, 'shell': command_shell,
                'boot': command_boot, 'guest': command_guest}
    return handlers[options.command](options)


def main(arguments):
    """Run ./lab."""
    return as_program('lab', dispatch, arguments)
