# Verbs only: each line calls a program that does the work (build.rs, tools/).
#
#   make run     the firmware on an emulated ESP8266 CPU, against a local stand-in for AWS IoT
#   make test    everything CI checks
#   make help    the other verbs
#
# RUST_TOOLCHAIN=NAME takes a rustup toolchain (>= 1.96 with rust-src) instead of Debian's.

BOARD ?= qemu
THING ?= demo
export THING

ifdef RUST_TOOLCHAIN
RUSTC := $(shell rustup which --toolchain $(RUST_TOOLCHAIN) rustc)
CARGO := $(shell rustup which --toolchain $(RUST_TOOLCHAIN) cargo)
TOOLS_PATH := $(dir $(RUSTC)):$(PATH)
else
RUSTC ?= /usr/bin/rustc
CARGO ?= /usr/bin/cargo
TOOLS_PATH := /usr/bin:$(PATH)
endif
export RUST_TOOLCHAIN

# Debian's cargo finds its own rustc, clippy and rustfmt even where a rustup shim comes
# first in PATH. The build date is the commit's: one commit, one image.
HOST = $(shell $(RUSTC) -vV | sed -n 's/^host: //p')
DATE = $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
HOST_CARGO = PATH="$(TOOLS_PATH)" RUSTC=$(RUSTC) $(CARGO)
FIRMWARE_CARGO = SOURCE_DATE_EPOCH=$(DATE) RUSTC_BOOTSTRAP=1 $(HOST_CARGO)
CHIP = target/xtensa-esp8266-none-elf/release
ELF = $(CHIP)/firmware-$(BOARD)
HOST_CRATES = -p tools -p identity -p app-model
THING_TOOL = $(HOST_CARGO) run --quiet --locked --target $(HOST) -p tools --

.PHONY: help setup build run on off watch smoke test lint unit target-test e2e soak bench size vendor env clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /make \1\t/p' Makefile | expand -t 20

setup: ## install what is missing: Debian packages and crates
	@tools/setup $(CARGO) $(RUSTC)

build: setup ## the firmware's ELF
	@$(FIRMWARE_CARGO) build --release --locked -p firmware-$(BOARD)

run: build ## boot it in the emulator with a local cloud; Ctrl-C stops all
	@$(THING_TOOL) run --elf $(ELF)

on off watch: setup ## (second terminal) switch the LED on or off; watch what the device says
	@$(THING_TOOL) $@

smoke: build ## the same by itself: exit 0 once the device published and obeyed on and off
	@$(THING_TOOL) smoke --elf $(ELF)

test: lint unit target-test e2e smoke size bench ## everything CI checks
	@echo "make test: all passed"

lint: setup ## rustfmt, clippy, shell
	@$(HOST_CARGO) fmt --all --check
	@$(HOST_CARGO) clippy --quiet --locked --target $(HOST) $(HOST_CRATES) --all-targets -- -D warnings
	@$(FIRMWARE_CARGO) clippy --quiet --locked --release -p firmware-qemu -p target-tests -- -D warnings

unit: setup ## host tests of pure logic
	@$(HOST_CARGO) test --locked --target $(HOST) $(HOST_CRATES)

vendor: setup ## an offline copy of every dependency in vendor/crates, which the build then uses
	@tools/vendor $(CARGO) $(RUSTC)

env: ## print what a shell needs for a plain `cargo build --release`: eval "$$(make -s env)"
	@echo 'export PATH="$(TOOLS_PATH)" RUSTC=$(RUSTC) RUSTC_BOOTSTRAP=1'

clean: ## remove what was built (the local PKI stays)
	@rm -rf target
