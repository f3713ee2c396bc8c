# Thin: cargo and meson do the work. `make help` lists the targets.
.DEFAULT_GOAL := build
.NOTPARALLEL:
.PHONY: build demo bench check compare crash memory stress sanitize loom miri coverage mutants install clean header abi deb vendor help set-up simulate fuzz \
	check-format check-lint check-rust check-c check-install

MESON_FLAGS ?=
# Debug builds of the checks share what cargo test has compiled.
CARGO_DIR = $(abspath $(or $(CARGO_TARGET_DIR),target))
# A build directory may be there already, from another set of flags.
reconfigure = $(if $(wildcard $(1)/build.ninja),--reconfigure)
step = @printf '\n== %s\n' '$(1)'

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 16

build: ## compile the libraries into build/
	$(call step,build)
	meson setup $(call reconfigure,build) build $(MESON_FLAGS)
	meson compile -C build

demo: set-up build ## install what is missing, build, run examples/demo.c, live-demo and tool-demo
	$(call step,demo)
	build/examples/demo
	$(call step,demo of a running guest)
	examples/live-demo build/examples/minivmm
	$(call step,demo of the command line tool)
	LD_LIBRARY_PATH=build examples/tool-demo build/cli/virsnap

bench: build ## time this library beside the real libvirt, write docs/benchmarks.md
	$(call step,bench)
	python3 benches/compare.py build/benches/snapbench build/libvirsnap.so.0 \
		$$(pkg-config --variable=libdir libvirt)/libvirt.so.0 $(BENCH_FLAGS)

check: set-up check-format check-lint check-rust loom check-c check-install ## run every check
	@printf '\ncheck: everything passed\n'

crash: ## kill, fail and power-cut every operation at every call (hours); docs/testing.md gets the table
	$(call step,crash: the full sweep)
	meson setup $(call reconfigure,build-check) build-check -Dbuildtype=debug -Dwerror=true \
		-Dtests=enabled -Dcargo_target_dir=$(CARGO_DIR)
	meson compile -C build-check sweep short_writes
	tools/crash build-check/c-tests/sweep --table docs/testing.md $(CRASH_FLAGS)

memory: ## refuse each allocation of each kind of call, once and from then on
	$(call step,memory: every allocation refused)
	meson setup $(call reconfigure,build-check) build-check -Dbuildtype=debug -Dwerror=true \
		-Dtests=enabled -Dcargo_target_dir=$(CARGO_DIR)
	meson compile -C build-check allocations
	build-check/c-tests/allocations

stress: ## 8 processes of 8 threads on one domain for a minute
	$(call step,stress)
	meson setup $(call reconfigure,build-check) build-check -Dbuildtype=debug -Dwerror=true \
		-Dtests=enabled -Dcargo_target_dir=$(CARGO_DIR)
	meson compile -C build-check stress
	build-check/c-tests/stress 60

compare: ## the same random calls on libvirt and here, answer by answer; SEED=1..20 STEPS=3000
	$(call step,compare with the real libvirt)
	meson setup $(call reconfigure,build-check) build-check -Dbuildtype=debug -Dwerror=true \
		-Dtests=enabled -Dcargo_target_dir=$(CARGO_DIR)
	meson compile -C build-check
	c-tests/compare/compare.py --program $(CURDIR)/build-check/c-tests/compare/compare \
		--preloaded $(CURDIR)/build-check/c-tests/compare/compare-preloaded \
		--libvirt "$$(pkg-config --variable=libdir libvirt)/libvirt.so.0" \
		--virsnap $(CURDIR)/build-check/libvirsnap.so.0 \
		--seed $(or $(SEED),1) --steps $(or $(STEPS),3000)

sanitize: ## the C harness under AddressSanitizer and ThreadSanitizer; needs a nightly toolchain
	$(call step,sanitize)
	tools/sanitize address
	tools/sanitize thread

loom: ## every order in which threads can come to the owners of a handle
	$(call step,loom: every order of threads)
	cargo run --locked --release --manifest-path tests/interleavings/Cargo.toml

miri: ## raw pointers, atomics and threads under Miri; needs a nightly toolchain with it
	$(call step,miri)
	tools/miri

coverage: ## branches of commit, recovery and journal that the tests take; needs nightly and its LLVM's tools
	$(call step,coverage)
	tools/coverage

mutants: ## changes of commit, recovery and journal that no test notices; needs cargo-mutants
	$(call step,mutants)
	tools/mutants

install: build ## install; MESON_FLAGS=--prefix=..., DESTDIR=...
	meson install -C build --no-rebuild

header: ## write include/virsnap.h anew from the exports, and debian/libvirsnap0.symbols from virsnap.map
	UPDATE_HEADER=1 cargo test -p virsnap --test header
	python3 tools/debian-symbols.py --write virsnap.map debian/libvirsnap0.symbols $$(tools/crate-version)

abi: ## write the dump that check-abi compares with anew: when a change of the ABI is meant, and for each release
	python3 tools/check-abi.py --write include/virsnap.h virsnap.map abi/libvirsnap.so.0-x86_64.abi

deb: ## build the Debian packages in build-deb/, ask lintian, use them
	$(call step,deb)
	@tools/set-up deb
	tools/build-deb build-deb

vendor: ## put the crates into vendor/, for a build without a network
	cargo vendor --locked vendor > vendor.toml
	mv vendor.toml vendor/config.toml

simulate: ## random histories under faults against a model; SEED=1 STEPS=1000000
	VIRSNAP_SIMULATE_SEED=$(or $(SEED),1) VIRSNAP_SIMULATE_STEPS=$(or $(STEPS),1000000) \
		cargo test --locked --profile simulate -p virsnap --lib random_histories_under_faults -- --nocapture

fuzz: ## fuzz TARGET for SECONDS; FUZZ_FLAGS=-snone without AddressSanitizer (nightly, cargo-fuzz)
	cargo +nightly fuzz run $(FUZZ_FLAGS) $(or $(TARGET),snapshot_xml) -- \
		-max_total_time=$(or $(SECONDS),60) -max_len=4096 -dict=fuzz/xml.dict

clean: ## remove what was built
	rm -rf build build-check build-deb tests/interleavings/target
	cargo clean

set-up:
	$(call step,set-up: tools and libraries)
	@tools/set-up

check-format:
	$(call step,check: format)
	cargo fmt --check
	cargo fmt --check --manifest-path tests/languages/rust/Cargo.toml
	cargo fmt --check --manifest-path tests/interleavings/Cargo.toml

check-lint:
	$(call step,check: lint)
	cargo clippy --locked --all-targets -- -D warnings

check-rust:
	$(call step,check: Rust tests and header)
	cargo test --locked

check-c:
	$(call step,check: C harness and symbols (debug build))
	meson setup $(call reconfigure,build-check) build-check -Dbuildtype=debug -Dwerror=true \
		-Dtests=enabled -Dcargo_target_dir=$(CARGO_DIR)
	meson compile -C build-check
	meson test -C build-check --print-errorlogs

check-install: build
	$(call step,check: symbols and installed files (release build))
	meson test -C build --print-errorlogs --suite abi
	tools/check-install build
