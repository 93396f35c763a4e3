# SPDX-License-Identifier: GPL-2.0-only
"""What a live update costs: the cases, what is read from a run, and the law it has to follow.

On a machine that counts instructions (QEMU's -icount shift=0) an instruction is a nanosecond of
the guest's clock, so that figures do not depend on how fast or how busy the host is. A wait counts
as the time it takes.
"""
from dataclasses import dataclass, field

from harness.scenario import Scenario

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
UNITS = {'K': KIB, 'M': MIB, 'G': GIB}
ICOUNT = ('-icount', 'shift=0,sleep=off')
FIRST_CARD = 0x10

# What a cost may grow with: name, meaning
TERMS = (
    ('tables', 'table page'),
    ('upper', 'table page above the lowest level'),
    ('mappings', 'folio of a mapping'),
    ('areas', 'mapping'),
    ('lookups', 'look-up for a folio of a mapping'),
    ('folios', 'folio of the memfd'),
    ('pages', 'page of the memfd'),
    ('devices', 'device'),
    ('gib', 'GiB of address space'),
)
# Each cost: key, what it is, the terms it may have, whether devices' owners wait for it
COSTS = (
    ('preserve_memfd', 'preserve: memfd', ('folios',), False),
    ('preserve_iommufd', 'preserve: iommufd',
     ('tables', 'upper', 'mappings', 'lookups', 'areas'), False),
    ('preserve_vfio', 'preserve: devices', ('devices',), False),
    ('first_us', 'boot: KHO looks for room beside what was preserved', ('tables', 'folios'), True),
    ('early_us', 'boot: KHO reserves what was preserved', ('tables', 'folios'), True),
    ('probe_us', 'boot: tables taken over, devices probed', ('tables', 'upper', 'devices'), True),
    ('retrieve_memfd', 'retrieve: memfd', ('folios', 'pages'), True),
    ('retrieve_iommufd', 'retrieve: iommufd', ('tables', 'mappings', 'lookups', 'areas'), True),
    ('retrieve_vfio', 'retrieve: devices', ('devices',), True),
    ('finish', 'finish', ('folios', 'devices'), False),
)
SMOKE_COSTS = ('preserve_iommufd', 'early_us', 'probe_us', 'retrieve_iommufd')
# What may be left of a figure when the law has been taken away, of the figure, and at least
# as many instructions: the kernel's clock is read in microseconds, and ticks come in between.
RELATIVE, ABSOLUTE = 0.05, 150e3
# The probe of devices waits for something that a tick of the clock ends, CONFIG_HZ=1000: where
# in the tick it began is not known.
TICK = {'probe_us': 1e6}


def allowed(cost, value):
    """Return what a figure may differ by from the law."""
    return max(RELATIVE * value, TICK.get(cost, ABSOLUTE))


def size(text):
    """Return a number that may end in K, M or G."""
    return int(text[:-1]) * UNITS[text[-1]] if text[-1] in UNITS else int(text)


@dataclass
class Case:
    """One run: what is mapped, and how."""

    iova: str
    page: str = '4K'
    folio: str = '2M'
    chunk: str = '64M'
    devices: int = 1
    memfd: str = ''
    scatter: str = ''
    memory: str = '2G'
    kept: bool = True
    build: str = 'new'
    icount: bool = True
    figures: dict = field(default_factory=dict)

    def name(self):
        """Return a name for folders and tables."""
        if not self.kept:
            return f'nothing-{self.build}'
        extra = [f'chunk{self.chunk}'] if self.chunk != '64M' else []
        extra += [f'{self.devices}dev'] if self.devices > 1 else []
        extra += ['scattered'] if self.scatter else []
        return '-'.join([self.iova, self.page, f'folio{self.folio}', *extra])

    def options(self):
        """Return the options of the guest's program."""
        if not self.kept:
            return {'preserve': 0, 'nosync': 1}
        more = {key: getattr(self, key) for key in ('memfd', 'scatter') if getattr(self, key)}
        return {'iova': self.iova, 'page': self.page, 'folio': self.folio, 'chunk': self.chunk,
                'devices': self.devices, 'nosync': 1, **more}

    def scenario(self):
        """Return the scenario of one run."""
        cards = []
        for n in range(self.devices):
            cards += ['-device', f'e1000e,bus=pcie.0,addr={FIRST_CARD + n:02x}.0']
        return Scenario(
            name=f'bench-{self.name()}', summary='', test='bench', options=self.options(),
            kernels=(self.build, self.build), topology='none', memory=self.memory, smp=1,
            extra=(*(ICOUNT if self.icount else ()), *cards), append='loglevel=6',
            judges=('verdict',), timeout=1800, walked=False)

    def tables(self, lowest=True):
        """Return the number of table pages: what is mapped begins at 128 GiB, 4 levels.

        Those of the lowest level have entries for 4 KiB only. In any other an entry can point
        to a table, so that the kernel has to look at each.
        """
        if not self.kept:
            return 0
        end = size(self.iova) + (4 * KIB if self.page == '4K' else 0)
        spans = {'4K': (2 * MIB, GIB) if lowest else (GIB,), '2M': (GIB,), '1G': ()}[self.page]
        return 2 + sum(-(-end // span) for span in spans)

    def terms(self):
        """Return what there was of each term."""
        length = size(self.memfd or self.chunk)
        folio = size(self.folio) if length >= size(self.folio) else 4 * KIB
        return {'tables': self.tables(), 'upper': self.tables(False),
                'areas': size(self.iova) // size(self.chunk),
                'mappings': size(self.iova) // folio, 'folios': length // folio,
                'lookups': size(self.iova) // folio * (1 if folio == 4 * KIB else 2),
                'pages': length // (4 * KIB), 'devices': self.devices, 'gib': size(self.iova) / GIB}


def figures(info, console):
    """Return the figures of a run: all in instructions, or nanoseconds on a free clock."""
    found = {key: int(value) for key, value in info.items() if value.lstrip('-').isdigit()}
    khz = found['tsc_khz']
    for key in list(found):
        if key in {c[0] for c in COSTS} | {'map', 'retrieve'}:
            found[key] = found[key] * 1000000 // khz
    found['first_us'] = found['log_allocator'] * 1000
    found['early_us'] = (found['log_slab'] - found['log_allocator']) * 1000
    found['probe_us'] = (found['log_probed'] - found['log_units']) * 1000
    marks = {}
    for line in console:
        if 'bench: ' in line:
            words = line.split('bench: ')[1].split()
            marks.setdefault(words[0], []).append(int(words[1]))
    scale = 1e6 / khz
    jump, booted = marks['jump'][0], marks['booted'][0]
    end = marks.get('retrieved', [booted])[0]
    kernel = found['log_booted'] * 1000
    found['blackout'] = round((end - jump) * scale)
    found['phase_leave'] = round((booted - jump) * scale) - kernel
    found['phase_early'] = found['log_slab'] * 1000
    found['phase_middle'] = (found['log_units'] - found['log_slab']) * 1000
    found['phase_probe'] = found['probe_us']
    found['phase_rest'] = kernel - found['log_probed'] * 1000
    found['phase_retrieve'] = round((end - booted) * scale)
    return found


PHASES = (
    ('phase_leave', 'old kernel leaves, image is checked and unpacked'),
    ('phase_early', 'new kernel until its allocators work'),
    ('phase_middle', 'until the IOMMU is found'),
    ('phase_probe', 'tables are taken over, devices probed'),
    ('phase_rest', 'until the first program'),
    ('phase_retrieve', 'files are retrieved'),
)


def solve(matrix, right):
    """Solve a small system of equations; None when it has no single solution."""
    n = len(right)
    rows = [list(map(float, row)) + [float(right[i])] for i, row in enumerate(matrix)]
    for col in range(n):
        pivot = max(range(col, n), key=lambda r, c=col: abs(rows[r][c]))
        if abs(rows[pivot][col]) < 1e-9:
            return None
        rows[col], rows[pivot] = rows[pivot], rows[col]
        for other in range(n):
            if other != col:
                factor = rows[other][col] / rows[col][col]
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[col])]
    return [rows[i][n] / rows[i][i] for i in range(n)]


def fit(rows, values):
    """Least squares of values by the columns of rows, scaled; None when that is not possible."""
    scales = [max(abs(row[c]) for row in rows) or 1.0 for c in range(len(rows[0]))]
    scaled = [[x / s for x, s in zip(row, scales)] for row in rows]
    span = range(len(scales))
    normal = [[sum(r[a] * r[b] for r in scaled) for b in span] for a in span]
    found = solve(normal, [sum(r[a] * v for r, v in zip(scaled, values)) for a in span])
    return found and [x / s for x, s in zip(found, scales)]


@dataclass
class Law:
    """How a cost grows."""

    cost: str
    constant: float
    slopes: dict
    worst: float            # largest residual, of what may be
    space: float            # share of the largest case that a term in its size would have, or None
    objections: list = field(default_factory=list)


def law(cost, terms, cases, size_term=True):
    """Fit one cost, with and without a term in the size of the address space."""
    values = [case.figures[cost] for case in cases]
    known = [case.terms() for case in cases]
    terms = [t for t in terms if len({k[t] for k in known}) > 1]
    found = fit([[1, *(k[t] for t in terms)] for k in known], values)
    if not found:
        return Law(cost, 0, {}, 0, 0, ['too few cases to tell the terms apart'])
    guess = [found[0] + sum(f * k[t] for f, t in zip(found[1:], terms)) for k in known]
    worst = max(abs(v - g) / allowed(cost, v) for v, g in zip(values, guess))
    objections = [] if worst <= 1 else [
        f'{cost} is not linear in {", ".join(terms) or "nothing"}: '
        f'{worst:.1f} times what may be left is left']
    space = None
    # There is an upper table for each GiB, and a folio of a mapping for each so many bytes
    more = size_term and not {'mappings', 'upper'} & set(terms) and fit(
        [[1, *(k[t] for t in terms), k['gib']] for k in known], values)
    if more:
        largest = max(range(len(cases)), key=lambda i: known[i]['gib'])
        share = more[-1] * known[largest]['gib']
        space = share / max(values[largest], 1)
        if abs(share) > allowed(cost, values[largest]):
            objections.append(f'{cost} has a term in the size of the address space: '
                              f'{more[-1]:.0f} for each GiB')
    return Law(cost, found[0], dict(zip(terms, found[1:])), worst, space, objections)


def laws(cases):
    """Fit every cost over the cases whose tables are not scattered."""
    usable = [c for c in cases if c.kept and c.icount and not c.scatter]
    return [law(cost, terms, usable) for cost, _, terms, _ in COSTS]


def smoke(cases):
    """Hold cases that differ in nothing but how much is mapped against a straight line."""
    return [law(cost, ('tables',), cases, size_term=False) for cost in SMOKE_COSTS]


def differences(cases, others):
    """Return where the instructions of two runs of the same cases differ too much."""
    pairs = {case.name(): case for case in others if case.kept and case.icount}
    mine = [case for case in cases if case.kept and case.icount]
    found = [f'{case.name()} was not run both times' for case in mine
             if case.name() not in pairs]
    for case in mine:
        for cost in (c[0] for c in COSTS if case.name() in pairs):
            values = [c.figures[cost] for c in (case, pairs[case.name()])]
            if abs(values[0] - values[1]) > allowed(cost, max(values)):
                found.append(f'{case.name()}: {cost} is {values[0]:,}, and was {values[1]:,}')
    return found


def columns(case):
    """Return a case and its figures as a row of a table."""
    given = {key: getattr(case, key) for key in
             ('iova', 'page', 'folio', 'chunk', 'devices', 'memfd', 'scatter', 'memory', 'build')}
    return {**given, 'kept': int(case.kept), **case.figures}


def from_row(row):
    """Return the case of a row that was read back."""
    case = Case(row['iova'], devices=int(row['devices']), kept=row['kept'] == '1',
                icount=row['clock'] == 'instructions',
                **{key: row[key] for key in ('page', 'folio', 'chunk', 'memfd', 'scatter',
                                             'memory', 'build')})
    case.figures = {key: int(value) for key, value in row.items()
                    if value and value.lstrip('-').isdigit() and key not in vars(case)}
    return case
