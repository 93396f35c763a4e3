# SPDX-License-Identifier: GPL-2.0-only
"""The judges: each looks at one kind of evidence of a run and returns its objections.

They are independent of the code under test; a judge that finds no evidence objects as well.
"""
import os

from harness import cfgwrites, console, trace, walker

SLACK = 0.002


class Missing(str):
    """An objection because there is no evidence; it never satisfies a negative control."""


def kept_window(run):
    """Return (begin, end) of the time in which the device must not notice anything."""
    begin = run.marks.get('preserved')
    names = (run.scenario.kept_until, 'finished', 'closed')
    return begin, next((run.marks[n] for n in names if n in run.marks), run.ended)


def verdict(run):
    """The guest's own results: complete, of this run, and all ok."""
    found = list(run.verdict.problems) + run.verdict.failed()
    if not found and run.verdict.exit_code() == 1:
        stage = run.verdict.stage
        found.append(f'the guest ended with {stage.exit}' if stage else 'the guest never spoke')
    names = [s.kernel for s in run.verdict.stages]
    run.figures['old_version'] = names[0] if names else None
    run.figures['new_version'] = names[-1] if names else None
    wanted = run.scenario.kernels
    if len(names) == len(wanted) and len(set(wanted)) > 1 and len(set(names)) == 1 \
            and not run.settings.get('same_kernel_ok'):
        found.append(f'old and new kernel are the same build ({names[0]})')
    return found


def console_log(run):
    """The kernel's log: no warning, no bug, no lockdep or KASAN report."""
    bad = console.scan(run.console, run.scenario.tolerate)
    return ([] if run.console else ['the console log is empty']) + bad[:5]


def handover(run):
    """KHO was on: each boot after the first found its predecessor's handover data."""
    found = console.handed_over(run.console)
    if len(found) != len(run.scenario.kernels):
        return [f'{len(found)} boots in the console log, {len(run.scenario.kernels)} expected']
    return [f'boot {n} found no kexec handover data'
            for n, ok in enumerate(found, 1) if n > 1 and not ok]


def _host_drops(run, counters, delivered):
    """Return the frames that did not reach the NIC because of the host."""
    drops = 0
    if nic_received(run, counters['stopped'] - 0.5, counters['stopped']):
        drops += max(0, counters['sent'] - counters['refused'] - delivered)
    return drops + sum(count for _, _, count, dead in counters.get('blocks', []) if not dead)


def nic_received(run, begin, end):
    """Tell whether the NIC could receive all through an interval (CLOCK_MONOTONIC seconds)."""
    shift = run.figures['clock_shift']
    samples = [s for s in run.sampler.samples if s[0] <= end + shift]
    seen = [s for s in samples if s[0] >= begin + shift] or samples[-1:]
    return all(s[3] for s in seen)


def frames_judge(run):
    """Every frame the wire carried is in the guest's memory, none is twice or damaged."""
    counters = run.sent.get('continued') or run.sent.get('closed') or run.sent.get('end')
    info = run.verdict.info()
    figures = run.figures
    if not counters or not run.sampler:
        return [Missing('no frames were sent')]
    figures['clock_shift'] = run.began - run.began_monotonic
    begin = run.marks.get('ready', 0)
    end = run.marks.get('continued', run.ended) + 4
    window = trace.within(run.events, begin, end)
    figures['frames_sent'] = counters['sent']
    figures['frames_refused'] = counters['refused']
    figures['frames_delivered'] = trace.deliveries(window)
    figures['host_drops'] = 0
    if 'continued' in run.sent:         # otherwise the guest gave up, which is not the host's fault
        figures['host_drops'] = _host_drops(run, counters, figures['frames_delivered'])
    figures['longest_wait_ms'] = round(1000 * counters['worst_wait'], 1)
    if not str(info.get('frames_in_memory', '')).isdigit():
        return [Missing('the guest did not say how many frames are in its memory')]
    inside = int(info['frames_in_memory'])
    lost = counters['sent'] - figures['host_drops'] - inside
    figures['frames_in_memory'] = inside
    figures['frames_lost'] = lost
    landed = [t for t in trace.landings(window) if t <= run.marks.get('continued', run.ended)]
    figures['blackout_ms'] = round(trace.longest_gap(landed), 1)
    if 'booted' in run.marks and 'kexec' in run.marks:
        figures['kexec_to_userspace_ms'] = round(1000 * (run.marks['booted']
                                                         - run.marks['kexec']))
    found = []
    if figures['host_drops']:
        found.append(f'invalid run: the host dropped {figures["host_drops"]} frames')
    if lost:
        found.append(f'{lost} of {counters["sent"]} frames lost')
    for key in ('holes', 'dups', 'corrupt'):
        if info.get(key, '0') != '0':
            found.append(f'{key}: {info[key]}')
    if 'kexec' in run.marks and 'booted' in run.marks and not any(
            run.marks['kexec'] < t < run.marks['booted'] for t in landed):
        found.append('no frame landed between the kexec and the new userspace')
    return found


def sent_back(run):
    """The frames the guest sent (the device read memory) came out whole and in order."""
    wanted = run.verdict.info().get('tx_sent')
    if wanted is None:
        return [Missing('the guest sent no frames')]
    numbers = run.receiver.numbers
    run.figures['frames_from_guest'] = len(numbers)
    found = [f'{run.receiver.damaged} frames from the guest are damaged'] \
        if run.receiver.damaged else []
    if numbers != list(range(int(wanted))):
        found.append(f'the guest sent {wanted} frames, {len(numbers)} came out as they must')
    return found


def translation(run):
    """Translation was never off, and the device's entry never was pass-through."""
    begin, end = kept_window(run)
    if begin is None:
        return [Missing('nothing was preserved')]
    found = []
    if not trace.ever_on(run.events, begin):
        found.append(Missing('the trace never shows translation switched on'))
    gaps = trace.translation_off(run.events, begin - SLACK, end)
    milliseconds = sum(b - a for a, b in gaps) * 1000
    samples = [s for s in run.sampler.samples if begin <= s[0] <= end] if run.sampler else []
    through = sum(bool(s[5]) for s in samples)
    dark = sum(not s[4] for s in samples)
    run.figures['translation_off_ms'] = round(milliseconds, 3)
    run.figures['samples'] = len(samples)
    run.figures['samples_passthrough'] = through
    if gaps:
        found.append(f'translation was off for {milliseconds:.1f} ms')
    if dark and not gaps:
        found.append(f'translation was off in {dark} samples that the trace does not explain')
    if through:
        found.append(f'the entry was pass-through in {through} samples')
    if len(samples) < 10:
        found.append(Missing(f'only {len(samples)} samples were taken'))
    return found


def faults(run):
    """No DMA of the kept device faulted."""
    begin, end = kept_window(run)
    if begin is None:
        return [Missing('nothing was preserved')]
    window = trace.within(run.events, begin - SLACK, end)
    seen = trace.faults(window, run.kept)
    run.figures['dma_faults'] = len(seen)
    found = [f'unreadable trace line: {t}' for t in trace.unreadable_faults(window)[:3]]
    burnt = sum(e.name == 'e1000e_rx_null_descriptor' for e in window)
    if burnt:
        found.append(f'the NIC skipped {burnt} descriptors it could not read')
    if seen:
        _, sid, reason, address, write = seen[0]
        found.append(f'{len(seen)} DMA faults; first: requester {sid:#06x} reason {reason} '
                     f'address {address:#x} {"write" if write else "read"}')
    return found


def invalidation(run):
    """The old kernel flushed what it cleared before it switched queued invalidation off."""
    begin, end = run.marks.get('kexec'), run.marks.get('booted')
    if begin is None or end is None:
        return [Missing('there was no kexec')]
    scalable = run.scenario.iommu != 'legacy'
    return trace.invalidation_order(trace.within(run.events, begin, end), scalable)


def path_writes(run):
    """Every config write to the path is on the allow-list."""
    begin, end = run.marks.get('kexec'), kept_window(run)[1]
    if not run.functions or begin is None or 'booted' not in run.marks:
        return [Missing('there was no kexec of a kept device')]
    with open(os.path.join(os.path.dirname(__file__), 'path-writes.allow'),
              encoding='utf-8') as handle:
        rules = cfgwrites.parse_rules(handle.read())
    writes = trace.config_writes(run.events)
    if not writes:
        return [Missing('the trace has no config writes at all')]
    early = [w for w in writes if run.marks['preserved'] <= w.time < begin]
    result = cfgwrites.lint(early + [w for w in writes if begin <= w.time <= end],
                            run.functions, rules)
    run.figures['path_config_writes'] = len(result.refused)
    run.figures['path_config_writes_allowed'] = len(result.allowed)
    with open(os.path.join(run.folder, 'config-writes.txt'), 'w', encoding='utf-8') as out:
        out.write('\n'.join(result.table()) + '\n')
    return [f'config write {cfgwrites.show(w)}: {why}' for w, why in result.refused]


def mmio(run):
    """The device and the bridges above it decoded their addresses all the time."""
    begin, end = kept_window(run)
    writes = trace.config_writes(run.events)
    if begin is None or not run.functions or 'booted' not in run.marks:
        return [Missing('there was no kexec of a kept device')]
    if not writes or not run.sampler:
        return [Missing('the trace has no config writes at all, or nobody looked at the device')]
    window = [w for w in writes if begin <= w.time <= end]
    found, longest = [], 0
    for function in run.functions:
        for since, until, offset in cfgwrites.absences(window, function):
            milliseconds = 1000 * ((until or end) - since)
            longest = max(longest, milliseconds)
            found.append(f'{function.bdf}: register {offset:#x} had another value for '
                         f'{milliseconds:.1f} ms')
    samples = [s for s in run.sampler.samples if begin <= s[0] <= end]
    dark = sum(s[1] is None for s in samples)
    if dark:
        found.append(f'the device could not be read in {dark} of {len(samples)} samples')
    if len(samples) < 10:
        found.append(Missing(f'only {len(samples)} samples were taken'))
    run.figures['decode_off_ms'] = round(longest, 3)
    return found


def path_resets(run, begin, end):
    """Return the resets of the device and of the bridges above it: (time, what)."""
    pmcsr = {f.bdf: f.capabilities[('cap', 1)] + 4 for f in run.functions
             if ('cap', 1) in f.capabilities}
    bridges = [f.bdf for f in run.functions if f.role == 'bridge']
    return trace.resets(trace.within(run.events, begin, end), pmcsr, bridges)


def resets(run):
    """No reset of any kind reached the device or a bridge above it."""
    begin, end = kept_window(run)
    if begin is None:
        return [Missing('nothing was preserved')]
    seen = path_resets(run, begin, end)
    run.figures['resets'] = len(seen)
    return [f'reset {1000 * (when - begin):.0f} ms after the preserve: {what}'
            for when, what in seen[:5]]


def mappings(run):
    """The walker sees the same mappings before the kexec, during, and after it."""
    found = []
    for update in range(1, max(run.syncs['preserved'], 1) + 1):
        found += _mappings_of(run, '' if update == 1 else str(update))
    return found


def _mappings_of(run, number):
    """The same for one update."""
    before = run.dumps.get('before' + number)
    if not before or 'after' + number not in run.dumps:
        return [Missing('there are no two dumps to compare')]
    found = []
    for label in ('during' + number, 'after' + number, 'retrieved' + number):
        dump = run.dumps.get(label)
        if dump is None:
            continue
        if 'error' in dump:
            found.append(f'{label}: {dump["error"]}')
            continue
        if not dump['translation']:
            found.append(f'{label}: translation is off')
        for bdf in run.kept:
            different = walker.differences(before, dump, bdf)
            found += [f'{label}: {text}' for text in different[:3]]
    kept = [before['requesters'].get(bdf, {}).get('leaves') for bdf in run.kept]
    run.figures['mappings'] = sum(len(leaves or ()) for leaves in kept)
    if not all(kept):
        found.append(Missing('the device has no mappings'))
    return found


def afterwards(run):
    """After finish and close the device was reset and can reach nothing."""
    begin, end = run.marks.get('finished'), run.marks.get('closed')
    if begin is None or end is None or 'closed' not in run.dumps:
        return [Missing('the device was never closed')]
    found = []
    if not path_resets(run, begin, end):
        found.append('the device was not reset when it was closed')
    dump = run.dumps['closed']
    if 'error' in dump:
        return found + [f'closed: {dump["error"]}']
    if not dump['translation']:
        found.append('translation is off')
    for bdf in run.kept:
        entry = dump['requesters'].get(bdf)
        if entry and entry['mode'] == 'pass-through':
            found.append(f'{bdf}: the entry is pass-through')
        if entry and entry['leaves']:
            found.append(f'{bdf}: the entry still has {len(entry["leaves"])} mappings')
    return found


JUDGES = {
    'verdict': verdict, 'console': console_log, 'handover': handover, 'frames': frames_judge,
    'translation': translation, 'faults': faults, 'invalidation': invalidation,
    'config-writes': path_writes, 'mmio': mmio, 'resets': resets, 'mappings': mappings,
    'sent-back': sent_back, 'afterwards': afterwards,
}
