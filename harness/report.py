# SPDX-License-Identifier: GPL-2.0-only
"""Tables and summaries of runs, for people and for programs."""
import csv
import json
import os

from harness import trace
from harness.judges import Missing

WORDS = {0: 'ok', 1: 'FAIL', 77: 'skip'}
FIGURES = (
    ('frames_sent', 'frames the wire carried while the device was kept'),
    ('frames_in_memory', 'of these, found in the guest\'s memory by their numbers'),
    ('frames_lost', 'sent, reached the NIC, and not in memory'),
    ('host_drops', 'lost by the host before the NIC (makes a run invalid)'),
    ('dma_faults', 'accesses of the kept device the IOMMU refused'),
    ('translation_off_ms', 'time in which the IOMMU translated nothing'),
    ('path_config_writes', 'config writes to the path that are not on the allow-list'),
    ('path_config_writes_allowed', 'config writes to the path that are, each with a reason'),
    ('decode_off_ms', 'longest time in which it, or a bridge above it, was not at its addresses'),
    ('mmio_reads', 'reads of a register of the device by the host while it was kept'),
    ('mmio_reads_wrong', 'of these, answered with anything but what is in the register'),
    ('mmio_gap_ms', 'longest time between two of them'),
    ('resets', 'resets of the device or a bridge above it, of any kind'),
    ('blackout_ms', 'longest time between two frames landing in memory'),
    ('kexec_to_userspace_ms', 'from the jump to the new kernel\'s first program'),
    ('mappings', 'page-table entries compared before and after'),
)


def line(name, result, seconds, why=''):
    """Return the one line a test gets."""
    text = f'{WORDS[result]:<5} {seconds:7.1f} s  {name}'
    return f'{text}: {why}' if why else text


def figures(run):
    """Return the figures of a run as a table."""
    rows = [(key, run.figures[key], meaning) for key, meaning in FIGURES if key in run.figures]
    return [f'    {key:<27} {value!s:>9}  {meaning}' for key, value, meaning in rows]


def write_timeline(run, path, width=0.01):
    """Write how many frames landed in memory per 10 ms; time 0 is the kexec."""
    zero = run.marks.get('kexec')
    landed = trace.landings(run.events)
    if zero is None or not landed:
        return
    counts = {}
    for when in landed:
        slot = int((when - zero) // width)
        counts[slot] = counts.get(slot, 0) + 1
    with open(path, 'w', newline='', encoding='utf-8') as out:
        writer = csv.writer(out)
        writer.writerow(['ms_after_kexec', 'frames'])
        last = max(run.marks.values())
        for slot in range(min(counts), max(max(counts), int((last - zero) // width)) + 1):
            writer.writerow([round(slot * width * 1000), counts.get(slot, 0)])


def split(run):
    """Return (real objections as (judge, text), names of the judges that lacked evidence)."""
    rows = [(judge, text) for judge, texts in run.objections.items() for text in texts
            if not text.endswith('(not reached)')]
    real = [row for row in rows if not isinstance(row[1], Missing)]
    return real, sorted({judge for judge, text in rows if isinstance(text, Missing)})


def objections(run):
    """Return what the judges object to."""
    real, blind = split(run)
    lines = [f'    {judge}: {text}' for judge, text in real]
    return lines + ([f'    without evidence: {", ".join(blind)}'] if blind else [])


def reason(run):
    """Return the reason of a failure in one line."""
    real, blind = split(run)
    texts = [f'{judge}: {text}' for judge, text in real[:2]]
    texts += [f'{len(real) - 2} more'] if len(real) > 2 else []
    texts += [f'without evidence: {", ".join(blind)}'] if blind and not real else []
    stage = run.verdict.stage
    return '; '.join(texts) or f'guest exit {stage.exit if stage else None}'


def failures(rows):
    """Return the lines of what failed once more, for who reads the end of a long list."""
    failed = [row for row in rows if row[1] == 1]
    lines = ['', 'failed:'] if failed else []
    for name, result, seconds, why, folder in failed:
        lines.append(line(name, result, seconds, why))
        lines += [f'    {os.path.relpath(folder)}'] if folder else []
    return lines


def totals(results):
    """Return the last line: N passed, N failed (, N skipped)."""
    passed, failed, skipped = (sum(r == code for r in results) for code in (0, 1, 77))
    return f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else '')


def write_results(path, rows):
    """Write the results of several runs as JSON; rows are (name, result, seconds, why, folder)."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    data = [{'name': n, 'result': WORDS[r], 'seconds': round(s, 2), 'why': w, 'folder': f}
            for n, r, s, w, f in rows]
    with open(path, 'w', encoding='utf-8') as out:
        json.dump(data, out, indent=1)
        out.write('\n')


def read_results(path):
    """Return the rows that write_results() wrote."""
    codes = {word: code for code, word in WORDS.items()}
    with open(path, encoding='utf-8') as source:
        return [(r['name'], codes[r['result']], r['seconds'], r['why'], r['folder'])
                for r in json.load(source)]
