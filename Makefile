# Verbs only: each line calls a program that does the work (build.rs, host/, tools/).
#
#   make run     the firmware on an emulated ESP8266 CPU, against a local stand-in for AWS IoT
#   make test    everything CI checks
#   make help    all verbs
#
# RUST_TOOLCHAIN=NAME takes a rustup toolchain (>= 1.96 with rust-src) instead of Debian's.

BOARD ?= qemu
THING ?= demo
# A board is a folder of bsp/ with a board.toml (bsp/README.md); those with the chip are flashed.
BOARDS := $(patsubst bsp/%/board.toml,%,$(wildcard bsp/*/board.toml))
CHIP_BOARDS := $(filter-out qemu,$(BOARDS))
ifeq ($(filter $(BOARD),$(BOARDS)),)
ifeq ($(filter new-board,$(MAKECMDGOALS)),)
$(error there is no board $(BOARD): BOARD= takes one of $(BOARDS) (`make new-board NAME=$(BOARD) LED=5` makes it))
endif
endif
export THING RUST_TOOLCHAIN

ifneq ($(RUST_TOOLCHAIN),)
RUSTC := $(shell rustup which --toolchain $(RUST_TOOLCHAIN) rustc)
CARGO := $(shell rustup which --toolchain $(RUST_TOOLCHAIN) cargo)
ifeq ($(RUSTC),)
$(error RUST_TOOLCHAIN=$(RUST_TOOLCHAIN): rustup does not have it; see 'rustup toolchain list')
endif
else
RUSTC := /usr/bin/rustc
CARGO := /usr/bin/cargo
endif
# The compiler's own folder first: a rustup shim earlier in PATH would shadow it, and cargo
# finds clippy, rustfmt and rustdoc by PATH.
export PATH := $(dir $(RUSTC)):$(PATH)
export RUSTC

# The build date is the commit's: one commit, one image.
export SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
FIRMWARE = RUSTC_BOOTSTRAP=1 $(CARGO)
# .cargo/config.toml, which is for the chip, must not be found from where host cargo runs.
host = cd / && $(CARGO) $(1) --manifest-path '$(CURDIR)/Cargo.toml' \
	$(if $(wildcard vendor/crates/config.toml),--config '$(CURDIR)/vendor/crates/config.toml')
# For tests that mostly wait: for a keep-alive, for esptool, for the AWS CLI.
WAITING = export RUST_TEST_THREADS=4
# Tested on this machine, with clippy's eye on them: the host programs and the pure crates.
HOST_CRATES = $(foreach crate,app-model board-facts clock identity packets wpa \
	process certificates things board cloud provisioning checks thing,-p $(crate))

CHIP = target/xtensa-esp8266-none-elf/release
ELF = $(CHIP)/firmware-$(BOARD)
THING_TOOL = target/debug/thing

# The chip's boards: `make image` and what follows it are for the NodeMCU unless BOARD names
# another. CPU_MHZ=160 doubles the clock.
CHIP_BOARD = $(if $(filter qemu,$(BOARD)),nodemcu,$(BOARD))
CHIP_ELF = $(CHIP)/firmware-$(CHIP_BOARD)
IMAGE = target/image/$(CHIP_BOARD)$(if $(features),-$(CPU_MHZ))
IDENTITY ?= certs/$(THING)/identity.bin
# What `make run` and `make smoke` run: QEMU takes the ELF; a virtual board is flashed.
MACHINE = $(if $(filter qemu,$(BOARD)),build,image virtual-board)
FIRMWARE_ON_BOARD = --board $(BOARD) --elf $(ELF) --image $(IMAGE)
ESPBAUD ?= 460800
MONITORBAUD ?= 115200
export ESPPORT
features = $(if $(filter 160,$(CPU_MHZ)),--features cpu-160mhz)

# For the AWS CLI; empty leaves them to its configuration.
AWS = $(if $(AWS_PROFILE),AWS_PROFILE='$(AWS_PROFILE)') $(if $(AWS_REGION),AWS_REGION='$(AWS_REGION)')

.PHONY: help setup build tools run on off watch smoke provision deprovision provision-fleet aws-stand-in \
	identity identity-info test lint unit virtual-test virtual-bench fuzz target-test board-test \
	flash-test e2e image flash flash-identity erase monitor esptool virtual-board boards new-board \
	container soak bench size vendor env clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\(\( [a-z0-9-]*\)*\)\):.*## /make \1\t/p' Makefile | expand -t 24

setup: ## install what is missing: Debian packages and crates
	@tools/setup $(CARGO) $(RUSTC)

build: setup ## the firmware's ELF
	@$(FIRMWARE) build --release --locked -p firmware-$(BOARD) $(features)

tools: setup
	@$(call host,build) --quiet --locked -p thing

run: $(MACHINE) tools ## boot it on this machine with a local cloud; Ctrl-C stops all [BOARD=]
	@$(THING_TOOL) run $(FIRMWARE_ON_BOARD)

on off watch: tools ## (second terminal) light or darken the LED; watch what the device says
	@$(THING_TOOL) $@

smoke: $(MACHINE) tools ## the same by itself: exit 0 once the device published and obeyed on and off [BOARD=]
	@$(THING_TOOL) smoke $(FIRMWARE_ON_BOARD)

identity: tools ## THING=name: its identity region from config.toml and certs/name
	@$(THING_TOOL) identity

identity-info: tools ## THING=name: what is in it, without the secrets
	@$(THING_TOOL) identity-info

provision: tools ## make THING on AWS (AWS_PROFILE, AWS_REGION), or complete or confirm it; ROTATE=1 renews its certificate
	@$(AWS) $(THING_TOOL) provision $(if $(filter-out 0,$(ROTATE)),--rotate $(if $(filter-out 0,$(EMULATED)),--emulated))

deprovision: tools ## remove THING from AWS
	@$(AWS) $(THING_TOOL) deprovision

provision-fleet: tools ## make all things of FILE (CSV with a header and a column `thing`)
	@$(AWS) $(THING_TOOL) provision-fleet --file '$(or $(FILE),$(error name the list: make provision-fleet FILE=things.csv))'

aws-stand-in: setup ## an empty AWS account on this machine, for the verbs above in a second terminal
	@$(call host,run) --quiet --locked -p aws-stand-in

test: lint unit size boards target-test board-test flash-test e2e bench smoke ## everything CI checks
	@$(MAKE) --no-print-directory bench smoke BOARD=nodemcu
	@echo "make test: all passed"

lint: tools ## rustfmt, clippy, no private key under version control, no crate that climbs the floors
	@$(THING_TOOL) check-secrets
	@($(call host,metadata) --locked --no-deps --format-version 1) | $(THING_TOOL) check-floors
	@$(call host,fmt) --all --check
	@$(FIRMWARE) clippy --quiet --locked --release $(addprefix -p firmware-,$(BOARDS)) \
		-p target-tests -- -D warnings
	@$(FIRMWARE) clippy --quiet --locked --release -p target-tests --no-default-features \
		--features chip -- -D warnings
	@$(call host,clippy) --quiet --locked $(HOST_CRATES) -p virtual-nodemcu -p aws-stand-in -p board-tests -p e2e --all-targets -- -D warnings

unit: tools ## host tests: pure logic, and the host programs against a real broker
	@$(WAITING); $(call host,test) --quiet --locked $(HOST_CRATES)
	@$(THING_TOOL) esptool >/dev/null
	@$(call host,test) --quiet --locked -p virtual-nodemcu --lib --test instructions --test system --test qemu --test debug --test board --test radio --test radio
	@$(WAITING); $(call host,test) --quiet --locked -p virtual-nodemcu --test esptool

# Its tests sleep in pyserial nearly all the time: eight of them do no harm to two cores.
virtual-test: tools ## (two minutes) the virtual NodeMCU with stock esptool: what make test leaves out, 4 MiB and aborted writes
	@$(THING_TOOL) esptool >/dev/null
	@export RUST_TEST_THREADS=8; $(call host,test) --locked -p virtual-nodemcu --test esptool_long

virtual-bench: tools ## instructions per second of the virtual NodeMCU; fails below 50 million
	@$(THING_TOOL) esptool >/dev/null
	@$(call host,run) --quiet --locked -p virtual-nodemcu --example speed

# Ten million inputs take minutes: not part of `make test`, which runs some 100,000.
fuzz: setup ## ten million hostile identity regions, MQTT streams, EAPOL frames and times through what reads them
	@export IDENTITY_FUZZ_INPUTS=$${IDENTITY_FUZZ_INPUTS:-10000000} PACKETS_FUZZ_INPUTS=$${PACKETS_FUZZ_INPUTS:-10000000} \
		WPA_FUZZ_INPUTS=$${WPA_FUZZ_INPUTS:-10000000} CLOCK_FUZZ_INPUTS=$${CLOCK_FUZZ_INPUTS:-10000000} CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true; \
		$(call host,test) --quiet --locked --release -p clock -p identity -p packets -p wpa --test fuzz -- --nocapture

target-test: setup tools ## tests of kernel, libraries and crash reports on the emulated CPU
	@$(FIRMWARE) build --release --locked -p target-tests
	@$(THING_TOOL) target-test --elf $(CHIP)/target-tests

board-test: boards ## the same, and the chip's own, on the virtual NodeMCU, which then boots each board's image
	@$(FIRMWARE) build --release --locked -p target-tests --no-default-features --features chip
	@$(THING_TOOL) image --elf $(CHIP)/target-tests-chip --folder target/image/target-tests >/dev/null
	@$(call host,run) --quiet --locked -p board-tests -- --elf '$(CURDIR)/$(CHIP)/target-tests-chip' \
		--image '$(CURDIR)/target/image/target-tests' $(foreach image,$(CHIP_BOARDS) nodemcu-160, \
		--firmware '$(CURDIR)/target/image/$(image)')

soak: build setup ## (half an hour) the heap over 4000 reconnects
	@export FIRMWARE_ELF='$(CURDIR)/$(ELF)'; $(call host,test) --locked -p e2e -- --ignored --nocapture endurance

e2e: build tools ## the firmware against real brokers, kind and hostile
	@$(WAITING) FIRMWARE_ELF='$(CURDIR)/$(ELF)' THING_PROGRAM='$(CURDIR)/$(THING_TOOL)'; \
		$(call host,test) --quiet --locked -p e2e --lib --test suite --test aws

ifeq ($(BOARD),qemu)
bench: build tools ## instructions of a context switch, a publish, AES-GCM, a handshake; [BOARD=nodemcu] of a boot
	@$(FIRMWARE) build --release --locked -p target-tests
	@$(THING_TOOL) bench --elf $(CHIP)/target-tests
	@$(THING_TOOL) figures --elf $(ELF)
else
bench: image
	@$(call host,run) --quiet --locked -p e2e --bin board-figures -- --image '$(CURDIR)/$(IMAGE)'
endif

size: build tools ## flash, IRAM and DRAM by section and library, held to the budgets
	@$(THING_TOOL) size --elf $(ELF) --flash-max 262144 --iram-max 12288 --dram-max 51200

image: tools ## a board's flash files and memory map [BOARD=] [CPU_MHZ=160]
	@$(FIRMWARE) build --release --locked -p firmware-$(CHIP_BOARD) $(features)
	@$(THING_TOOL) iram --elf $(CHIP_ELF)
	@$(THING_TOOL) image --elf $(CHIP_ELF) --folder $(IMAGE)

flash: image ## write them and the thing's identity to a board: ESPPORT=/dev/ttyUSB0 [ESPBAUD=] [THING=]
	@$(THING_TOOL) flash --folder $(IMAGE) --baud $(ESPBAUD) --identity '$(IDENTITY)'

flash-identity: tools ## write only the identity of THING to a board: ESPPORT=/dev/ttyUSB0
	@$(THING_TOOL) flash-identity --baud $(ESPBAUD) --identity '$(IDENTITY)'

erase: tools ## erase a board's whole flash, without asking: ESPPORT=/dev/ttyUSB0
	@$(THING_TOOL) erase --baud $(ESPBAUD)

monitor: tools ## a board's console, crash addresses resolved: ESPPORT=/dev/ttyUSB0 [MONITORBAUD=74880]
	@$(THING_TOOL) monitor --elf $(CHIP_ELF) --baud $(MONITORBAUD)

esptool: tools ## set esptool up, as the verbs above do by themselves, and say where it is
	@$(THING_TOOL) esptool

virtual-board: setup ## the program that stands in for a board (docs/virtual-nodemcu.md)
	@$(call host,build) --quiet --locked -p virtual-nodemcu

new-board: setup ## NAME=name LED=gpio [LIT=low|high]: a board of your own in bsp/ (bsp/README.md)
	@tools/new-board '$(NAME)' '$(LED)' '$(or $(LIT),low)' $(CARGO)

boards: tools ## build every board's image (one with the doubled clock), check budgets and that nothing needs flash when it is off
	@for board in $(CHIP_BOARDS); do $(MAKE) --no-print-directory image size BOARD=$$board || exit 1; done
	@$(MAKE) --no-print-directory image size BOARD=nodemcu CPU_MHZ=160

flash-test: tools virtual-board ## flashing, monitor and the firmware on virtual boards, what goes wrong included
	@$(MAKE) --no-print-directory image BOARD=nodemcu >/dev/null
	@$(WAITING); $(call host,test) --quiet --locked -p e2e --test board --test radio

container: ## a shell in the container that CI uses (docker or podman)
	@tools/container

vendor: setup ## an offline copy of every dependency in vendor/crates, which the build then uses
	@tools/vendor $(CARGO) $(RUSTC)

env: ## what a shell needs for a plain `cargo build --release`: eval "$(make -s env)"
	@echo 'export PATH="$(dir $(RUSTC)):$$PATH" RUSTC=$(RUSTC) RUSTC_BOOTSTRAP=1'

clean: ## remove what was built (the local PKI stays)
	@rm -rf target
