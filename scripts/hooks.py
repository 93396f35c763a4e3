# SPDX-License-Identifier: GPL-2.0-only
"""Reading kernel/hooks: the map from files to patches, and the patches."""

import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
HOOKS = TOP / "kernel" / "hooks"
OVERLAY = TOP / "kernel" / "overlay"
LITTER = re.compile(r"(~|\.orig|\.rej|\.sw.|\.o|\.cmd)$")


def glob_regex(glob):
    """* stays within a folder, ** does not."""
    parts = re.split(r"(\*\*|\*)", glob)
    return re.compile("".join({"**": ".*", "*": "[^/]*"}.get(p, re.escape(p)) for p in parts) + "$")


class Map:
    def __init__(self):
        self.rules = []
        for line in (HOOKS / "map").read_text().splitlines():
            words = line.split("#")[0].split()
            if words:
                self.rules.append((words[0], [glob_regex(g) for g in words[1:]]))
        self.patches = [name for name, _ in self.rules]

    def patch_of(self, path):
        for name, globs in self.rules:
            if any(g.match(path) for g in globs):
                return name
        sys.exit(f"kernel/hooks/map: no patch for {path}")


def series():
    """The hook patches in the order they apply."""
    path = HOOKS / "series"
    if not path.exists():
        return []
    names = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return [HOOKS / name for name in names if name]


def split_patch(text):
    """A patch as (mail header and message, diff)."""
    at = re.search(r"^diff --git ", text, re.M)
    head, diff = (text[:at.start()], text[at.start():]) if at else (text, "")
    return re.split(r"^---$", head, maxsplit=1, flags=re.M)[0], diff


def overlay_files():
    """New files, as paths in the kernel tree."""
    if not OVERLAY.is_dir():
        return []
    found = (p for p in OVERLAY.rglob("*") if p.is_file() and not LITTER.search(p.name))
    return sorted(str(p.relative_to(OVERLAY)) for p in found)


def changed_lines(diff):
    """(added, removed) lines of a diff."""
    added = len(re.findall(r"^\+(?!\+\+ )", diff, re.M))
    removed = len(re.findall(r"^-(?!-- )", diff, re.M))
    return added, removed


def is_configured(tree, config, obj):
    """Does this .config build the object? Read from the Makefiles that can name it."""
    folder = tree / Path(obj).parent
    text = "".join(p.read_text() for p in (folder / "Makefile", folder.parent / "Makefile")
                   if p.exists()).replace("\\\n", " ")
    name = re.escape(Path(obj).name)
    rule = rf"^[\w-]+-(?:\$\((CONFIG_\w+)\)|y|m|objs)\s*[+:]?=.*\b{name}"
    conditions = re.findall(rule, text, re.M)
    enabled = set(re.findall(r"^(CONFIG_\w+)=[ym]", config.read_text(), re.M))
    return any(not c or c in enabled for c in conditions)
