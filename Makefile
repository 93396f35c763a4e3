# SPDX-License-Identifier: GPL-2.0-only
# The front door. `make` alone prints this list.

# Kernels `make kernel` builds; scripts/kernel-build lists the names it knows.
KERNELS ?= old new
TEST_KERNELS = old new break debug

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help demo test test-long bench fuzz check kernel guest headers lib cmd manual install deb \
	series series-check clean distclean

help: ## this list
	@echo "ferry: a device's DMA goes on while the kernel under it is replaced."
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: ## the main claim, shown: builds what is missing, then about 3 minutes
	@scripts/doctor demo
	@$(MAKE) kernel guest
	@scripts/demo

test: ## every test; the last line is the verdict
	@scripts/doctor test
	@$(MAKE) kernel guest KERNELS="$(TEST_KERNELS)"
	@tests/run

test-long: ## every test and the long ones: sweeps, soaks, the base's selftests on the base
	@scripts/doctor test alt deb
	@$(MAKE) kernel guest KERNELS="$(TEST_KERNELS) alt"
	@FULL=1 tests/run --long

bench: ## measure what a live update costs, write docs/performance.md: 10 minutes on a quiet machine, and the kernels
	@scripts/doctor demo
	@$(MAKE) kernel guest KERNELS="new new-base"
	@scripts/bench

fuzz: ## fuzz the readers of handed-over records: SECONDS=60 for each
	@scripts/doctor fuzz
	@tests/fuzz/run $(or $(SECONDS),60)

check: ## style and static analysis of every file; silent when clean
	@scripts/doctor check
	@scripts/check

kernel: ## build/old and build/new (KERNELS="debug new-base" for others)
	@scripts/doctor build
	@scripts/kernel-build $(KERNELS)

guest: headers ## the static programs that run inside the laboratory
	@$(MAKE) -C guest

headers: ## the patched kernel's UAPI headers, in build/headers (UAPI=FOLDER: there are others)
	@[ -n "$(UAPI)" ] || { scripts/doctor build && scripts/headers; }

lib: headers ## libferry, shared and static, in build/lib
	@$(MAKE) -s -C lib

cmd: lib ## the command ferry, in build/cmd
	@$(MAKE) -s -C cmd

manual: ## the manual pages, in build/man
	@scripts/doctor manual
	@scripts/manual

install: cmd manual ## libferry, ferry, manual, completion and units (PREFIX=/usr/local DESTDIR=)
	@$(MAKE) -s -C lib install
	@$(MAKE) -s -C cmd install
	@scripts/manual --install $(DESTDIR)$(or $(PREFIX),/usr/local)/share/man

deb: ## Debian packages of library and command in build/deb (KERNEL=1: the kernel's, too; hours, LSMOD=FILE: less)
	@scripts/doctor $(if $(KERNEL),deb-kernel,deb)
	@$(MAKE) headers
	@scripts/deb $(if $(KERNEL),--kernel)

series: ## mail-ready patches in build/series
	@scripts/doctor build
	@scripts/series

series-check: ## the same, and each patch is built
	@scripts/doctor build
	@scripts/series --check

clean: ## remove what was built; sources fetched and unpacked stay
	@scripts/clean

distclean: ## remove build/ altogether (the download cache stays)
	@scripts/clean --all
