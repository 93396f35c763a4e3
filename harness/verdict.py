# SPDX-License-Identifier: GPL-2.0-only
"""Reads what the guest says on the verdict port, and believes nothing that is incomplete.

The language is KTAP: per stage a version line, the plan, a line with the nonce of the run and the
stage, then results. A line that is not part of the language is a torn line, and fails the run.
"""
import re

VERSION = 'KTAP version 1'
PLAN = re.compile(r'1\.\.(\d+)$')
NONCE = re.compile(r'# nonce (\S+) stage (\d+) kernel (\S+)$')
RESULT = re.compile(r'(not )?ok (\d+) - (.*)$')
SYNC = re.compile(r'# sync (\S+)$')
INFO = re.compile(r'# info (\S+) (.*)$')
EXIT = re.compile(r'# exit (\d+)$')
COMMENT = re.compile(r'# \S')
NOTES = 4                           # as many are told with a result that failed
SKIP = re.compile(r'#\s*SKIP\b', re.I)


class Stage:
    """What one kernel's userspace reported."""

    def __init__(self, number):
        self.number = number
        self.kernel = None
        self.plan = None
        self.results = []           # (ok, text)
        self.notes = []             # what was said since the last of them
        self.syncs = []
        self.info = {}
        self.exit = None

    def failed(self):
        """Return the texts of the failed results."""
        return [text for ok, text in self.results if not ok]


class Verdict:
    """A parser fed line by line; problems is empty when all was as it must be."""

    def __init__(self, nonce):
        self.nonce = nonce
        self.stages = []
        self.problems = []
        self.expect = 'version'

    @property
    def stage(self):
        """The stage that is being read, or None before the first."""
        return self.stages[-1] if self.stages else None

    def _problem(self, text):
        self.problems.append(text)

    def feed(self, raw):
        """Take one line (bytes); return the name of a sync point, or None."""
        try:
            line = raw.rstrip(b'\r').decode('ascii')
        except UnicodeDecodeError:
            self._problem(f'torn line {raw!r}')
            return None
        if line == VERSION:
            if self.expect == 'plan' or self.expect == 'nonce':
                self._problem('a stage ended before its nonce')
            self.stages.append(Stage(len(self.stages) + 1))
            self.expect = 'plan'
            return None
        handler = getattr(self, '_' + self.expect)
        return handler(line)

    def _version(self, line):
        self._problem(f'before the version line: {line!r}')

    def _plan(self, line):
        match = PLAN.match(line)
        if not match:
            self._problem(f'the plan must come first, not {line!r}')
            return
        self.stage.plan = int(match[1])
        self.expect = 'nonce'

    def _nonce(self, line):
        match = NONCE.match(line)
        if not match:
            self._problem(f'the nonce must follow the plan, not {line!r}')
            return
        if match[1] != self.nonce:
            self._problem(f'nonce {match[1]} is not of this run')
        if int(match[2]) != self.stage.number:
            self._problem(f'stage {match[2]} where {self.stage.number} was expected')
        self.stage.kernel = match[3]
        self.expect = 'body'

    def _body(self, line):
        stage = self.stage
        if stage.exit is not None:
            self._problem(f'after the exit line: {line!r}')
        match = RESULT.match(line)
        if match:
            self._result(match)
            return None
        match = SYNC.match(line)
        if match:
            stage.syncs.append(match[1])
            return match[1]
        match = INFO.match(line)
        if match:
            stage.info[match[1]] = match[2]
            return None
        match = EXIT.match(line)
        if match:
            stage.exit = int(match[1])
            return None
        if not COMMENT.match(line):
            self._problem(f'torn line {line!r}')
            return None
        stage.notes.append(line[2:])
        return None

    def _result(self, match):
        stage = self.stage
        number = int(match[2])
        if number != len(stage.results) + 1:
            self._problem(f'result {number} where {len(stage.results) + 1} was expected')
        good = not match[1] or bool(SKIP.search(match[3]))
        why = '' if good or not stage.notes else f' ({"; ".join(stage.notes[:NOTES])})'
        stage.notes.clear()
        stage.results.append((good, match[3] + why))

    def end(self, rest=b'', stages=None):
        """Check completeness after the machine ended; rest is an unfinished last line."""
        if rest:
            self._problem(f'torn last line {rest!r}')
        if not self.stages:
            self._problem('the guest never spoke')
            return
        for stage in self.stages:
            if stage.plan is not None and len(stage.results) != stage.plan:
                self._problem(f'stage {stage.number}: {len(stage.results)} results of a plan '
                              f'of {stage.plan}')
        if stages and len(self.stages) != stages:
            self._problem(f'{len(self.stages)} stages where {stages} were expected')
        if self.expect != 'body':
            self._problem(f'the last stage ended before its {self.expect} line')
        elif self.stage.exit is None:
            self._problem('no exit line')

    def failed(self):
        """Return the failed results of all stages."""
        return [f'stage {s.number}: {text}' for s in self.stages for text in s.failed()]

    def info(self):
        """Return all figures, later stages overriding earlier ones."""
        merged = {}
        for stage in self.stages:
            merged.update(stage.info)
        return merged

    def exit_code(self):
        """Return 0, 1 or 77: what the guest said, if everything it said was complete."""
        if not self.stages or self.problems or self.failed():
            return 1
        code = self.stage.exit
        return code if code in (0, 77) else 1
