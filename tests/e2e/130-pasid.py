# SPDX-License-Identifier: GPL-2.0-only
"""Devices with attached PASIDs over a kexec.

At every sync point the guest has said which PASID leads to which memory. The walker reads the
unit's tables, and a word is written where they lead, as the device would do with the PASID (no
QEMU device sends one); the guest looks for it. Without a PASID the devices do real DMA all along.
"""
import struct
import time

from harness import judges, spoil, trace, vfiouser, walker
from harness.sampler import Watcher
from harness.scenario import INTO_BREAK, Scenario, broken
from harness.vfiouser import Endpoint

IOVA, SLOTS, SLOT, MANY = 0x4200000000, 4096, 16, 64
ONE, TWO, SIXTY_FOUR, TABLES, UNSET, SOME, LEFT = range(1, 8)
SPEAKING = ('ready', 'undone', 'finished', 'abandoned')
LABELS = {'preserved': 'before', 'booted': 'after'}
ROUND_BOOTED = 99
JUDGES = ('verdict', 'console', 'handover', 'translation', 'faults', 'invalidation',
          'config-writes', 'mappings')
# What is too large for the space below 4 GiB, so that firmware gives BARs of 64 bits places above
HIGH = ('-device', 'pci-testdev,membar=8G,bus=pcie.0,addr=1d.0')
# QEMU lets a unit have page requests with svm only, and svm with the first stage only.
UNITS = {'scalable-ss': {'caching-mode': 'on', 'pasid-bits': 20, 'device-iotlb': 'on'},
         'scalable-fs': {'caching-mode': 'on', 'pasid-bits': 20, 'device-iotlb': 'on',
                         'svm': 'on'}}


def told(run):
    """Return {bdf: (index, kind, [(PASID, area, number)])} as the guest said it last."""
    info, found = run.verdict.info(), {}
    for key, text in info.items():
        if key.startswith('dev_'):
            bdf, kind, _ = text.split()
            entries = [tuple(map(int, entry.split('=')))
                       for entry in info.get('map_' + key[4:], '-').split()[1:]]
            found[bdf.split(':', 1)[1]] = (int(key[4:]), int(kind), entries)
    return found


def compare(run, label, dump, jumped):
    """Check the tables against what the guest said; return [(address, index, PASID)] of slots."""
    slots, info = [], run.verdict.info()
    for bdf, (index, kind, entries) in told(run).items():
        gone = kind == LEFT and jumped
        found = dump['requesters'].get(bdf, {})
        seen, said = set(found.get('pasids', ())), {e[0] for e in entries if not gone}
        if seen != said:
            run.problems.append(f'{label}: {bdf} has entries of PASIDs {sorted(seen)}, '
                                f'wanted {sorted(said)}')
        if found.get('leaves') and gone:
            run.problems.append(f'{label}: {bdf} is not kept and has mappings')
        for pasid, area, number in entries:
            space = found.get('pasids', {}).get(pasid)
            if not space or gone:
                continue
            offset = SLOTS + (index * MANY + number) * SLOT
            address = walker.translate(space, IOVA + offset)
            wanted = int(info[f'area_{area}'].split(',')[offset >> 12], 16) + (offset & 4095)
            if space['mode'] != run.stage_wanted or address != wanted:
                run.problems.append(f'{label}: {bdf} PASID {pasid}: {space["mode"]} leads to '
                                    f'{address and hex(address)}, not to {wanted:#x}')
            elif kind != LEFT:
                slots.append((address, index, pasid))
    return slots


def controls(run, label):
    """PASID and ATS stay enabled; PRI is off while the device is preserved or restored."""
    quiet = label in ('first', 'preserved', 'booted', 'retrieved', 'replaced', 'detached')
    for bdf in run.kept:
        device = run.machine.server.devices[bdf]
        config, ats = device.config, device.endpoint.ats
        if not config.get(vfiouser.PASID_CONTROL, 2) & 1:
            run.problems.append(f'{label}: {bdf} has its PASID capability disabled')
        if ats and not config.get(vfiouser.ATS_CONTROL, 2) >> 15:
            run.problems.append(f'{label}: {bdf} has ATS disabled')
        pri = config.get(vfiouser.PRI_CONTROL, 2) & 1 if ats else 0
        if quiet and pri:
            run.problems.append(f'{label}: {bdf} may send page requests')
        if label in SPEAKING and ats and pri != ('svm' in run.scenario.unit):
            run.problems.append(f'{label}: {bdf} has PRI {"on" if pri else "off"}')


def look(label):
    """Return what the host does at a sync point."""
    def at_sync(run):
        if label == 'ready':
            run.problems, run.looked = [], []
            run.stage_wanted = {'scalable-ss': 'second-stage',
                                'scalable-fs': 'first-stage'}[run.scenario.iommu]
        if label == 'preserved':
            run.look_at_path()
            run.directories = []
            look_at_directories(run)
            run.sampler = Watcher(run.machine.qtest, run.kept)
            run.sampler.start()
        name = LABELS.get(label, label)
        run.dump(name)
        if 'error' in run.dumps[name]:
            run.problems.append(f'{label}: {run.dumps[name]["error"]}')
            return
        jumped = 'booted' in run.marks
        number = ROUND_BOOTED if label == 'booted' else int(run.verdict.info()['round'])
        for address, index, pasid in compare(run, label, run.dumps[name], jumped):
            run.machine.qtest.write(address, struct.pack('<QQ', number, index << 32 | pasid))
            run.figures['pasid_words'] = run.figures.get('pasid_words', 0) + 1
        controls(run, label)
        run.looked.append(label)
    return at_sync


def look_at_directories(run):
    """Remember which PASID tables the directories of kept devices point to."""
    try:
        unit = walker.Unit(run.machine.qtest)
        run.directories.append((time.time(), {b: unit.directory(b) for b in run.kept}))
    except walker.WalkError:
        pass                            # the new kernel is just writing the root


def check_directories(run, jump):
    """From the prune on no directory points to a table that was not kept."""
    pruned = trace.queue_off(jump)
    kept = {bdf: {0} | {pasid >> 6 for pasid in found['pasids']}
            for bdf, found in run.dumps['before']['requesters'].items() if bdf in run.kept}
    if not any(run.directories[0][1][bdf] - tables for bdf, tables in kept.items()):
        return [judges.Missing('no directory ever pointed to a table without entries')]
    late = [seen for when, seen in run.directories if pruned and when > pruned]
    if not late:
        return [judges.Missing('no directory was read after the prune')]
    run.figures['directories_read'] = len(late)
    return sorted({f'{bdf}: its directory still points to tables {sorted(seen[bdf] - tables)}'
                   for seen in late for bdf, tables in kept.items() if seen[bdf] - tables})


def at_closed(run):
    """Nothing leads anywhere any more."""
    run.dump('closed')


def at_abandoned(run):
    """Nobody wanted the devices: they are stopped, their entries are gone, PRI is back."""
    run.dump('abandoned')
    controls(run, 'abandoned')


def look_only(label):
    """Return what the host does at a sync point of a run in which something was damaged."""
    return lambda run: run.dump(LABELS.get(label, label))


SYNCS = ('ready', 'refused', 'first', 'undone', 'preserved', 'booted', 'retrieved', 'replaced',
         'detached', 'finished')


def check_dma(run, device):
    """Judge the DMA of one device without a PASID."""
    bdf = device.endpoint.bdf
    if not device.endpoint.kept:
        late = [d for d in device.dma if d[0] > run.marks['booted'] and not d[3]]
        return [f'{bdf} is not kept, and {len(late)} accesses went through'] if late else []
    begin, end = run.marks['preserved'], run.marks['finished']
    window = [d for d in device.dma if begin <= d[0] <= end]
    refused = [d for d in window if d[3]]
    found = [f'{bdf}: {len(refused)} of {len(window)} accesses were refused'] if refused else []
    jump = [d[0] for d in window if run.marks['kexec'] < d[0] < run.marks['booted']]
    times = [d[0] for d in window if not d[3]]
    run.figures['accesses'] = run.figures.get('accesses', 0) + len(window)
    run.figures['blackout_ms'] = max(run.figures.get('blackout_ms', 0),
                                     round(trace.longest_gap(times), 1))
    if len(jump) < 10:
        found.append(f'{bdf}: {len(jump)} accesses between the kexec and the new userspace')
    found += [f'{bdf}: page requests were enabled before the session was finished'
              for when, what, *write in device.log if what == 'config'
              and begin <= when <= run.marks['detached']
              and write[0] == vfiouser.PRI_CONTROL and write[2] & 1]
    found += [f'{bdf}: {what} while it was kept' for when, what, *_ in device.log
              if what in ('reset', 'wrong', 'lost') and begin <= when <= end]
    return found


def check_gone(run, label):
    """Judge the tables when no PASID and no mapping may be left."""
    dump = run.dumps.get(label, {'error': 'no dump'})
    if 'error' in dump:
        return [f'{label}: {dump["error"]}']
    return [f'{label}: {bdf} still has mappings or PASIDs' for bdf in run.watched
            if dump['requesters'].get(bdf, {}).get('pasids')
            or dump['requesters'].get(bdf, {}).get('leaves')]


def check_abandoned(run, device):
    """Judge the DMA of a device that was kept and then abandoned."""
    bdf, when = device.endpoint.bdf, run.marks['abandoned']
    if not device.endpoint.kept:
        return check_dma(run, device)
    late = [d for d in device.dma if d[0] > when]
    jump = [d for d in device.dma if run.marks['preserved'] <= d[0] <= run.marks['booted']]
    found = [f'{bdf}: {len(late)} accesses after it was abandoned'] if late else []
    if any(d[3] for d in jump) or len(jump) < 10:
        found.append(f'{bdf}: its DMA did not go on until the new kernel ran')
    if trace.faults(trace.within(run.events, run.marks['booted'], when), [bdf]):
        found.append(f'{bdf}: it was blocked before it was stopped')
    return found


def check(run):
    """What only this scenario knows."""
    abandon = run.scenario.options.get('mode') == 'abandon'
    syncs = SYNCS[:SYNCS.index('booted') + 1] if abandon else SYNCS
    missing = [name for name in syncs if name not in getattr(run, 'looked', ())]
    missing += [name for name in run.scenario.at if name not in run.marks]
    if missing or 'kexec' not in run.marks:
        found = [judges.Missing(f'the host never looked at: {", ".join(missing)}')]
        return found + getattr(run, 'problems', [])
    found = list(run.problems) + check_gone(run, 'closed')
    found += check_gone(run, 'abandoned') if abandon else []
    jump = trace.within(run.events, run.marks['kexec'], run.marks['booted'])
    found += check_directories(run, jump)
    for device in run.machine.server.devices.values():
        found += (check_abandoned if abandon else check_dma)(run, device)
        endpoint = device.endpoint
        if endpoint.ats and endpoint.kept and not trace.device_tlb_flushed(jump, endpoint.bdf):
            found.append(f'{endpoint.bdf}: its device TLB was not flushed at the jump')
    if run.scenario.extra == HIGH:
        found += [f'{f.bdf}: its BAR 0 is below 4 GiB' for f in run.functions
                  if f.role == 'endpoint' and not f.kept(0x14, 4)]
    run.figures['pasids'] = sum(len(r['pasids']) for r in run.dumps['before']
                                ['requesters'].values())
    return found


def devices(kinds, first=6):
    """Return a device of each kind, with PASID only and with PASID, ATS and PRI."""
    found = []
    buses = iter((1, 2))
    for ats in (False, True):
        for kind in kinds:
            port = kind == (TABLES if ats else SIXTY_FOUR)
            found.append(Endpoint(first + len(found), kind=kind, ats=ats, kept=kind != LEFT,
                                  bus=next(buses) if port else 0,
                                  width=20 if kind == TABLES else 8 if kind == ONE else 16))
    return tuple(found)


ALL = (ONE, TWO, SIXTY_FOUR, TABLES, UNSET, SOME, LEFT)


def scenario(name, stage, **more):
    """Return one run."""
    abandon = more.get('options', {}).get('mode') == 'abandon'
    syncs = SYNCS[:SYNCS.index('booted') + 1] if abandon else SYNCS
    at = {**{label: look(label) for label in syncs}, 'closed': at_closed}
    if abandon:
        at['abandoned'] = at_abandoned
    return Scenario(
        name=name, test='pasid', iommu=f'scalable-{stage}', topology='none',
        unit=UNITS[f'scalable-{stage}'], judges=JUDGES, check=check, at=at,
        meanwhile=look_at_directories,
        **{'timeout': 240, 'devices': devices(ALL), **more})


def losing(endpoints, plan, kexec, stage='ss', **more):
    """Return a run in which the devices of the plan are lost; all are alike."""
    at = {'ready': look('ready'), 'preserved': look('preserved'), 'closed': at_closed,
          'kexec': kexec,
          **{label: look_only(label) for label in ('booted', 'retrieved', 'finished')}}
    return Scenario(
        test='pasid', iommu=f'scalable-{stage}', topology='none',
        devices=endpoints, unit=UNITS[f'scalable-{stage}'], options={'mode': 'damaged'}, at=at,
        judges=('verdict', 'console', 'handover', 'translation'), check=spoil.check(plan),
        timeout=240, long=True, **more)


def damaged(name, spoils, summary, stage='ss'):
    """Return a run in which each device but the first loses something else."""
    endpoints = tuple(Endpoint(6 + n, kind=TABLES, width=20) for n in range(len(spoils) + 1))
    plan = {e.bdf: one for e, one in zip(endpoints[1:], spoils)}
    return losing(endpoints, plan, spoil.change(plan, 4000), stage, name=f'damaged-{name}',
                  summary=summary)


def nomem():
    """Return a run in which no record of a PASID can be remembered, so that all are lost."""
    endpoints = tuple(Endpoint(6 + n, kind=TABLES, width=20) for n in range(2))
    return losing(endpoints, {e.bdf: spoil.FORGOTTEN for e in endpoints}, spoil.unchanged,
                  name='nomem-pasid', kernels=INTO_BREAK,
                  append='ferry.next=liveupdate_break=nomem_pasid',
                  summary='the new kernel has no memory for it (pasid): abandoned')


# Each slot has a function that is kept and one that is not
FUNCTIONS = (Endpoint(6, function=0, kind=TABLES),
             Endpoint(6, function=1, kind=LEFT, kept=False),
             Endpoint(7, function=0, kind=LEFT, kept=False),
             Endpoint(7, function=1, kind=UNSET, ats=True))

FS = scenario('pasid-fs', 'fs', summary='PASIDs over a kexec: first-stage tables, page requests')

SCENARIOS = [
    Scenario(name='pasid-legacy', test='pasid', options={'mode': 'legacy'}, kernels=('old',),
             topology='none', devices=(Endpoint(6, kind=ONE),), unit={'caching-mode': 'on'},
             summary='legacy mode: no PASID can be kept, and userspace can know'),
    scenario('pasid-ss', 'ss', extra=HIGH, needs=('device:pci-testdev',),
             summary='PASIDs over a kexec: second-stage tables; BARs above 4 GiB'),
    FS,
    scenario('pasid-abandon', 'fs', options={'mode': 'abandon'}, kept_until='booted',
             summary='PASIDs nobody retrieves: stopped, blocked, freed'),
    scenario('functions-of-slot', 'ss', devices=FUNCTIONS,
             summary='of the functions of one slot one is kept, whether it is the first or not'),
    damaged('pasids', spoil.PASIDS, 'records of PASIDs are damaged: their devices are lost'),
    damaged('pasids-fs', spoil.PASIDS, 'the same, first-stage tables', 'fs'),
    damaged('pasid-entries', spoil.ENTRIES,
            'PASID tables are not what their records say: their devices are lost'),
    broken(damaged('pasid-entries', spoil.ENTRIES, ''), 'scrub', ('check',), INTO_BREAK,
           name='negative-break-scrub-pasid'),
    damaged('devices', spoil.DEVICES, 'records of devices are damaged, in scalable mode'),
    damaged('devices-more', spoil.DEVICES_MORE, 'records of devices are damaged: other fields'),
    nomem(),
    broken(FS, 'prune', ('check',), name='negative-break-prune-pasid'),
    broken(FS, 'pasids', ('verdict',), stages=1),
    broken(FS, 'pri', ('check',), stages=1),
    broken(FS, 'dev_tlb', ('check',)),
    broken(FS, 'ats', ('config-writes', 'check'), INTO_BREAK),
]
