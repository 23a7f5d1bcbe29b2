# SPDX-License-Identifier: BSD-3-Clause
# A thin front: the work is in CMake (CMakePresets.json), tools/ and testbed/.
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := all

export CMAKE_C_COMPILER_LAUNCHER ?= $(shell command -v ccache)
export CMAKE_CXX_COMPILER_LAUNCHER ?= $(shell command -v ccache)

.PHONY: all check check-all check-quick demo bench fuzz-system arm64-root format tidy install clean help

all:  ## build for this machine, into build/release
	@tools/install-deps build
	@cmake --preset release >/dev/null
	@cmake --build build/release

check:  ## build everything, run the tests, the test bed's too
	@tools/install-deps build cross lint fuzz testbed
	@tools/check

check-all:  ## the same with more kernels and versions of OP-TEE in the guest, before a release
	@tools/install-deps build cross lint fuzz testbed
	@tools/check --all

check-quick:  ## the same without the test bed
	@tools/install-deps build cross lint fuzz
	@tools/check --quick

demo: arm64-root  ## an unmodified guest runs xtest, on an emulated machine; BACKEND=user or host
	@tools/install-deps testbed
	@testbed/demo $(if $(BACKEND),--backend $(BACKEND))

bench: arm64-root  ## measure natively and on the emulated machine; table, and build/bench.json
	@tools/install-deps cross testbed bench
	@cmake --preset bench >/dev/null
	@cmake --build build/bench --target installed invoke_bench guest_bench
	@testbed/bench

fuzz-system: arm64-root  ## hostile guests against vteed on the emulated machine; MINUTES=1 [SEED=s]
	@tools/install-deps testbed
	@testbed/fuzz-system --minutes $(or $(MINUTES),1) $(if $(SEED),--seed $(SEED))

arm64-root:  ## cross-build the programs and install them into build/arm64-root
	@tools/install-deps build cross
	@tools/arm64-root

format:  ## format every source file in place
	@tools/install-deps lint
	@tools/format

tidy: all  ## clang-tidy on every source file
	@tools/install-deps lint
	@tools/tidy

install:  ## install below PREFIX (/usr/local), DESTDIR before it; run make first
	@test -f build/release/build.ninja || { echo 'install: nothing is built yet; run make first' >&2; exit 1; }
	@cmake --build build/release --target installed
	@cmake --install build/release --prefix "$(or $(PREFIX),/usr/local)"

clean:  ## remove everything that was built (downloads of the test bed stay)
	@rm -rf build

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
