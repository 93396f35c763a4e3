# shellcheck shell=sh disable=SC2034 # used by those who source it
# SPDX-License-Identifier: GPL-2.0-only
# What every shell script here needs. Source it as: . "$(dirname "$0")/lib.sh"

TOP=$(cd "$(dirname "$0")/.." && pwd)
BUILD=$TOP/build
# Downloads and compiler caches live outside the tree: `make distclean` keeps them.
CACHE=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/ferry
ME=${0##*/}

# Messages go to stderr: stdout is for what a script answers.
say() { printf '%s: %s\n' "$ME" "$*" >&2; }
note() { printf '%s: NOTE: %s\n' "$ME" "$*" >&2; }
die() {
	printf '%s: %s\n' "$ME" "$*" >&2
	exit 1
}

# The value of KEY in kernel/BASE.
base_value() { sed -n "s/^$1=//p" "$TOP/kernel/BASE"; }

# A scratch directory below $1, removed when the script ends, in $SCRATCH.
scratch() {
	mkdir -p "$1" || die "cannot write to $1"
	SCRATCH=$(mktemp -d "$1/.tmp.XXXXXX") || exit 1
	trap 'rm -rf "$SCRATCH"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
}

# Only one process at a time may fill the cache: lock_cache NAME.
lock_cache() {
	mkdir -p "$CACHE" || die "cannot write to $CACHE"
	exec 9>"$CACHE/.lock-$1"
	flock 9
}

sha256_of() { sha256sum "$1" | cut -d' ' -f1; }
