# SPDX-License-Identifier: GPL-2.0-only
"""Writes the figures of scripts/bench into docs/performance.md, and draws them.

What stands between two marks of the page is written anew; all else is written by people.
"""
import os
import re
import shutil
import subprocess

from harness import bench

BLOCK = r'(<!-- bench: {} -->\n).*?(<!-- bench end -->\n)'
TABLE_COSTS = ('preserve_iommufd', 'early_us', 'probe_us', 'retrieve_iommufd')


def table(head, rows):
    """Return a table."""
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    return '\n'.join(lines + ['| ' + ' | '.join(map(str, row)) + ' |' for row in rows]) + '\n'


def number(value):
    """Return a number as people read it."""
    return f'{value:,.0f}'.replace('-0', '0')


def law_table(cases):
    """Return what each cost grows with."""
    meaning = dict(bench.TERMS)
    rows = []
    for (_, text, _, inside), law in zip(bench.COSTS, bench.laws(cases)):
        slopes = ', '.join(f'{number(v)} for each {meaning[k]}' for k, v in law.slopes.items())
        rows.append((text, 'yes' if inside else 'no', number(law.constant), slopes or 'none',
                     f'{law.worst:.2f}',
                     'not asked' if law.space is None else f'{law.space * 100:+.1f} %',
                     'FAILS' if law.objections else 'holds'))
    return table(('step', 'in the blackout', 'constant', 'and', 'residual', 'size term', 'law'),
                 rows)


def case_table(cases):
    """Return the figures of each case."""
    rows = [(c.name(), number(c.tables()), *(number(c.figures[k]) for k in TABLE_COSTS),
             number(c.figures['retrieve_memfd']), number(c.figures['retrieve_vfio']))
            for c in cases if c.kept and c.icount]
    return table(('case', 'table pages', 'preserve iommufd', 'boot: reserve', 'boot: probe',
                  'retrieve iommufd', 'retrieve memfd', 'retrieve devices'), rows)


def bytes_table(cases):
    """Return the memory a table page costs beside itself."""
    rows = [(c.name(), number(c.tables()),
             number(c.figures['preserve_iommufd_bytes']),
             f"{c.figures['preserve_iommufd_bytes'] / c.tables():.1f}",
             number(4096 * (c.figures['free_pages_booted'] - c.figures['free_pages_retrieved'])))
            for c in cases if c.kept and c.icount]
    return table(('case', 'table pages', 'bytes at preserve', 'for each table page',
                  'bytes at retrieve'), rows)


def phase_table(cases):
    """Return the blackout, phase by phase, in millions of instructions."""
    shown = [c for c in cases if c.icount and (not c.kept or c.name() in (
        '1G-4K-folio2M', '64G-4K-folio2M', '64G-4K-folio2M-scattered', '64G-2M-folio2M'))]
    rows = [(text, *(f'{c.figures[key] / 1e6:.2f}' for c in shown)) for key, text in bench.PHASES]
    rows.append(('all', *(f"{c.figures['blackout'] / 1e6:.2f}" for c in shown)))
    return table(('phase', *(c.name() for c in shown)), rows)


def growth_table(cases):
    """Return the part of the blackout that grows with what is kept, in millions."""
    nothing = next(c.figures for c in cases if c.icount and c.name() == 'nothing-new')
    rows = []
    for case in (c for c in cases if c.kept and c.icount):
        parts = [case.figures[k] - nothing[k] for k in ('first_us', 'early_us', 'probe_us')]
        parts += [case.figures['retrieve_memfd'], case.figures['retrieve_iommufd']]
        rows.append((case.name(), number(case.tables()), *(f'{p / 1e6:.2f}' for p in parts),
                     f'{sum(parts) / 1e6:.2f}',
                     f"{100 * sum(parts) / case.figures['blackout']:.1f} %"))
    return table(('case', 'table pages', 'look', 'reserve', 'probe', 'retrieve memfd',
                  'retrieve iommufd', 'all', 'of the blackout'), rows)


def ratio_table(cases, median):
    """Return the blackout against the baselines, on both clocks."""
    groups = {}
    for case in cases:
        groups.setdefault((case.icount, case.name()), []).append(case.figures['blackout'])
    rows = []
    for (icount, name), values in groups.items():
        if name.startswith('nothing') or name not in ('1G-4K-folio2M', '64G-4K-folio2M'):
            continue
        spread = f' ({min(values) / 1e6:.0f} to {max(values) / 1e6:.0f})'
        row = [name, 'instructions, millions' if icount else f'ms, median of {len(values)}',
               f'{median(values) / 1e6:.1f}{"" if icount else spread}']
        for build in ('new', 'new-base'):
            base = groups.get((icount, f'nothing-{build}'))
            row.append(f'{median(values) / median(base):.3f}' if base else 'not run')
        rows.append(row)
    return table(('kept', 'clock', 'blackout', 'to nothing kept', 'to the base kernel'), rows)


def environment(rows):
    """Return where the figures are from."""
    keys = ('date', 'qemu', 'accel', 'host_cpu', 'host_cpus', 'kernel')
    return table(('', ''), [(k, ', '.join(sorted({r[k] for r in rows if r.get(k)})))
                            for k in keys] +
                 [('load of the host', ' to '.join(f((r['host_load'] for r in rows), key=float)
                                                   for f in (min, max)))])


def draw(cases, folder):
    """Draw the growth of each cost, and the phases of the blackout."""
    plain = sorted((c for c in cases if c.kept and c.icount and not c.scatter
                    and c.page == '4K' and c.folio == '2M' and c.chunk == '64M'
                    and c.devices == 1), key=lambda c: c.tables())
    data = '\n'.join(' '.join(map(str, (c.tables(), *(c.figures[k] for k in TABLE_COSTS))))
                     for c in plain)
    names = {c[0]: c[1] for c in bench.COSTS}
    plots = ', '.join(f"$d using 1:(${n}/1e6) with linespoints lw 1.5 title '{names[k]}'"
                      for n, k in enumerate(TABLE_COSTS, 2))
    plot(folder, 'performance-tables.png', f'$d << EOD\n{data}\nEOD\n'
         "set logscale xy\nset xlabel 'IOMMU table pages'\nset key left top\n"
         f"set ylabel 'million instructions'\nplot {plots}\n")
    shown = [c for c in cases if c.icount and not c.scatter and
             (not c.kept or c.name() in ('1G-4K-folio2M', '64G-4K-folio2M'))]
    data = '\n'.join(' '.join([f'"{c.name()}"', *(str(c.figures[k]) for k, _ in bench.PHASES)])
                     for c in shown)
    plots = ', '.join(f"$d using (${n}/1e6):xtic(1) title '{text}'"
                      for n, (_, text) in enumerate(bench.PHASES, 2))
    plot(folder, 'performance-phases.png', f'$d << EOD\n{data}\nEOD\n'
         'set style data histograms\nset style histogram rowstacked\nset boxwidth 0.6\n'
         "set style fill solid 0.8\nset ylabel 'million instructions'\nset yrange [0:*]\n"
         f'set key outside bottom center\nplot {plots}\n')


def plot(folder, name, script):
    """Let gnuplot draw one picture; without gnuplot it stays as it is."""
    if not shutil.which('gnuplot'):
        print(f'bench: no gnuplot, {name} is not drawn')
        return
    subprocess.run(['gnuplot'], cwd=folder, check=True, text=True, input=(
        f"set terminal pngcairo size 760,440 background '#ffffff'\nset output '{name}'\n"
        f"set grid ytics lc rgb '#dddddd'\n{script}"))


def write(rows, folder, median):
    """Write all of docs/ that comes from a run."""
    cases = [bench.from_row(row) for row in rows]
    blocks = {'environment': environment(rows), 'law': law_table(cases),
              'cases': case_table(cases), 'bytes': bytes_table(cases),
              'phases': phase_table(cases), 'growth': growth_table(cases),
              'ratios': ratio_table(cases, median)}
    path = os.path.join(folder, 'performance.md')
    with open(path, encoding='utf-8') as page:
        text = page.read()
    for name, block in blocks.items():
        text, count = re.subn(BLOCK.format(name), lambda m, b=block: m[1] + b + m[2], text,
                              flags=re.S)
        if count != 1:
            raise OSError(f'{path} has {count} places for {name}')
    with open(path, 'w', encoding='utf-8') as page:
        page.write(text)
    draw(cases, folder)
