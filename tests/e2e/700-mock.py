# SPDX-License-Identifier: GPL-2.0-only
"""iommufd's mock IOMMU as a client of the live update: no device, no VT-d, a debug kernel."""
from dataclasses import replace

from harness.scenario import Scenario, broken
from tests.selftests import kept

JUDGES = ('verdict', 'console', 'handover')
MOCK = {'test': 'mock', 'topology': 'none', 'iommu': 'none', 'memory': '2G', 'timeout': 400,
        'kernels': ('debug', 'debug'), 'judges': JUDGES}
DIRTY = Scenario(name='mock-dirty', **{**MOCK, 'test': 'mock-dirty'},
                 summary='what mock devices write is tracked over a kexec')


def selftests(name, fixtures, tests, **more):
    """Return a scenario: the base's selftests of some fixtures, on what was retrieved."""
    return Scenario(
        name=f'mock-selftests-{name}', files=kept.program, check=kept.judge,
        options={'bin': 'iommufd', 'fixture': ':'.join(fixtures), 'tests': tests, 'hp': 80},
        summary=f"iommufd's own selftests on what went through an update: {name}",
        **{**MOCK, 'test': 'selftest-kept', 'timeout': 1200, **more})


SHORT = selftests('short', ('change_process', 'iommufd_device_pasid'), 5)
SELFTESTS = [
    SHORT,
    broken(SHORT, 'restore', ('check',), SHORT.kernels, name='mock-selftests-lost'),
    replace(SHORT, name='mock-selftests-ids', options={**SHORT.options, 'spoil': 'ids'},
            must_fail=('check',), long=True,
            summary='control: one id is another after the update, which must be noticed'),
    selftests('ioas', ('iommufd_ioas',), 108, long=True),
    selftests('rest', ('iommufd', 'iommufd_mock_domain', 'iommufd_dirty_tracking',
                       'vfio_compat_mock_domain', 'iommufd_viommu'), 133, long=True),
]

SCENARIOS = [
    *SELFTESTS,
    Scenario(name='mock-kexec', options={'first': 'devices'}, **MOCK,
             summary='mock devices over a kexec: same ids, same page tables, all goes on'),
    Scenario(name='mock-pasid', **{**MOCK, 'test': 'mock-pasid'},
             summary='mock devices with PASIDs: what is refused, and a kexec with 64 of them'),
    DIRTY,
    broken(DIRTY, 'dirty', ('verdict',), DIRTY.kernels),
    replace(DIRTY, name='mock-dirty-cleared', options={'spoil': 'cleared'}, must_fail=('verdict',),
            long=True,
            summary='control: the marks are cleared before they are read, which must be noticed'),
    Scenario(name='mock-failnth', long=True, **{**MOCK, 'test': 'mock-failnth'},
             summary='mock devices over a kexec, each allocation of each call fails once'),
]
