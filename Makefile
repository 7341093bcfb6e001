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
EXAMPLES := $(patsubst examples/%/Cargo.toml,%,$(wildcard examples/*/Cargo.toml))
CHIP_BOARDS := $(filter-out qemu,$(BOARDS))
# APP=folder: an application of one's own, in place of app/, whose folder has a board.toml too
# (docs/your-own.md). Its firmware is built here, in target/.
own = $(if $(APP),$(filter-out new,$(MAKECMDGOALS)))
ifneq ($(own),)
APP_FOLDER := $(realpath $(APP))
ifeq ($(wildcard $(APP_FOLDER)/Cargo.toml),)
$(error $(APP) is no folder of an application: `make new APP=$(APP)` makes it one)
endif
APP_NAME := $(shell sed -n '/^\[\[bin\]\]/,/^$$/s/^name = "\(.*\)"/\1/p' '$(APP_FOLDER)/Cargo.toml')
ifneq ($(words $(APP_NAME)),1)
$(error $(APP)/Cargo.toml has to have one [[bin]] with a name)
endif
override BOARD := $(APP_FOLDER)
else ifeq ($(filter $(BOARD),$(BOARDS)),)
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
# What core and alloc are compiled with. No folder of the machine that builds it enters the firmware:
# one commit, one image.
CHIP_ENV = RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=core,alloc CARGO_UNSTABLE_TRIM_PATHS=true CARGO_PROFILE_RELEASE_TRIM_PATHS=all
# Cargo shares out its jobs itself: make -j does not hand on what MAKEFLAGS names.
FIRMWARE = MAKEFLAGS= $(CHIP_ENV) $(CARGO)
# In a shell that has them (`make env`), they are not for host crates.
unexport CARGO_UNSTABLE_BUILD_STD CARGO_UNSTABLE_TRIM_PATHS CARGO_PROFILE_RELEASE_TRIM_PATHS
# VERSION=1.2.3 on the command line makes it the firmware's; otherwise that is the crate's.
ifeq ($(origin VERSION),command line)
ifeq ($(shell echo '$(VERSION)' | grep -xE '[0-9]{1,5}(\.[0-9]{1,5}){2}'),)
$(error VERSION=$(VERSION): a version is three numbers, such as 1.2.3)
endif
export FIRMWARE_VERSION := $(VERSION)
endif
# .cargo/config.toml, which is for the chip, must not be found from where host cargo runs. With
# tests/features beside them, all builds want third-party crates alike, and compile them once.
host = cd / && MAKEFLAGS= $(CARGO) $(1) --manifest-path '$(CURDIR)/Cargo.toml' \
	$(if $(wildcard vendor/crates/config.toml),--config '$(CURDIR)/vendor/crates/config.toml') \
	$(if $(filter build test,$(1)),-p features)
# A host program, of the package $(1), and then its arguments.
host_program = $(call host,build) --quiet $(LOCKED) -p $(1) --bin $(2) && '$(CURDIR)/target/debug/$(2)'
HOST_TESTS = -p virtual-nodemcu -p aws-stand-in -p board-tests -p boot-tests -p curve-tests -p e2e -p features -p pin-tests -p fleet-tests

# CI takes the lock file as it is; at home a new dependency or crate enters it by itself.
LOCKED = $(if $(CI),--locked)
# UPDATES=0 leaves updates over the air out of a board's firmware (board-facts reads it).
ifneq ($(filter-out 0 1,$(UPDATES)),)
$(error UPDATES=$(UPDATES): 0 leaves updates over the air out, 1 is the usual)
endif
without_updates = $(filter 0,$(UPDATES))
ifneq ($(without_updates),)
export FIRMWARE_UPDATES := 0
endif

# For tests that mostly wait: for a keep-alive, for esptool, for the AWS CLI.
WAITING = export RUST_TEST_THREADS=4
# Tested on this machine, with clippy's eye on them: the host programs and the pure crates.
HOST_CRATES = $(foreach crate,app-model board-facts clock crypto-tests dns fuzz gcm identity p256-lx106 packets records rsa-lx106 runtime-model slots soft-i2c update wpa \
	process isa certificates things board cloud provisioning releases updates checks thing,-p $(crate))
# The chip's: what is linked, and what it is made of beside the pure crates.
CHIP_PROGRAMS = $(addprefix -p firmware-,$(BOARDS)) $(addprefix -p example-,$(EXAMPLES)) -p boot-stage -p target-tests
CHIP_CRATES = $(foreach crate,app esp8266-chip launch lx106 mqtt net rtos runtime tls vendor-sys,-p $(crate))

# Budgets in bytes. They hold what this project ships small; an application of your own may take
# what the chip has room for: 950,256 bytes of code and constants. Updates over the air have an
# allowance of their own, on top of that of a firmware without them: 25 KB (19 with the radio), identities, what
# keeps an image from booting that was not found good, and how AWS sends blocks and refuses subscriptions included.
with_radio = $(if $(filter qemu,$(BOARD)),,$(radio))
without_updates_too = $(if $(filter qemu,$(BOARD)),1,$(without_updates))
FLASH_MAX ?= $(if $(own),950256,$(if $(with_radio),$(if $(without_updates_too),419840,440320),$(if $(without_updates_too),256000,282624)))
IRAM_MAX ?= $(if $(with_radio),20480,12288)
DRAM_MAX ?= $(if $(with_radio),81920,51200)

# Espressif's libraries for the radio, which a board's firmware is linked with when they are there:
# `make sdk` fetches them. RADIO=0 leaves them out.
SDK = $(CURDIR)/sdk/ESP8266_RTOS_SDK
ifeq ($(origin ESP8266_SDK),undefined)
# By the shell: make takes a folder's name with a blank for two.
ESP8266_SDK := $(shell for sdk in '$(SDK)' "$$HOME/esp/ESP8266_RTOS_SDK"; do \
	if [ -d "$$sdk" ]; then echo "$$sdk"; break; fi; done)
endif
RADIO ?= $(if $(ESP8266_SDK),1,0)
ifneq ($(filter-out 0 1,$(RADIO)),)
$(error RADIO=$(RADIO): 0 leaves the radio out, 1 wants it)
endif
export ESP8266_SDK
radio = $(filter 1,$(RADIO))

CHIP = target/xtensa-esp8266-none-elf/release
ELF = $(if $(own),$(CHIP_ELF),$(CHIP)/firmware-$(BOARD))
THING_PROGRAM = target/debug/thing
THING_TOOL = $(THING_PROGRAM)$(if $(own), --state 'target/apps/$(APP_NAME)')$(if $(outside), \
	--config '$(APP_FOLDER)/config.toml' --things '$(APP_FOLDER)/certs')
# What it reports and obeys is its own business.
application = $(if $(own),--application)
# An application of one's own has settings and credentials of its own; an example has none.
outside = $(if $(own),$(if $(filter $(CURDIR)/examples/%,$(APP_FOLDER)),,$(APP_FOLDER)))

# The chip's boards: `make image` and what follows it are for the NodeMCU unless BOARD names
# another. CPU_MHZ=160 doubles the clock.
CHIP_BOARD = $(if $(filter qemu,$(BOARD)),nodemcu,$(BOARD))
CHIP_ELF = $(CHIP)/$(or $(APP_NAME),firmware-$(CHIP_BOARD))
BOOT_ELF = $(CHIP)/boot-stage
IMAGE = target/$(if $(own),apps/$(APP_NAME)/image,image/$(CHIP_BOARD))$(if $(fast),-$(CPU_MHZ))$(if $(radio),-wifi)$(if $(without_updates),-no-updates)
things = $(if $(outside),$(APP_FOLDER)/)certs
# With its whole path where that is another folder than the person's.
releases = $(if $(outside),$(CURDIR)/)target/releases
IDENTITY ?= $(things)/$(THING)/identity.bin
# Builds the firmware of a board ($(1)), or that of an application of one's own, with features ($(2)).
firmware = $(if $(own),$(call own_cargo,build,$(2)),$(FIRMWARE) build --release $(LOCKED) -p firmware-$(1) $(2))
# From the root, where no other .cargo/config.toml is found than the one that is named.
own_cargo = (cd / && $(FIRMWARE) $(1) --release --manifest-path '$(APP_FOLDER)/Cargo.toml' \
	--config '$(or $(outside),$(CURDIR))/.cargo/config.toml' --target-dir '$(CURDIR)/target' $(2))
# What `make run` and `make smoke` run: QEMU takes the ELF; a virtual board is flashed.
MACHINE = $(if $(filter qemu,$(BOARD)),build,image virtual-board)
FIRMWARE_ON_BOARD = --board $(BOARD) --elf $(ELF) --image $(IMAGE) $(if $(with_radio),--radio $(if $(PCAP),--pcap '$(PCAP)')) \
	$(if $(virtual_options),--virtual '$(virtual_options)')
# WEB=1 shows the board on a page, at a port that the console names; WEB=8080 at this one.
ifneq ($(filter-out 0,$(WEB)),)
ifeq ($(BOARD),qemu)
$(error WEB= shows a virtual board on a page: give one as well, as in make run BOARD=nodemcu WEB=1)
endif
endif
virtual_options = $(strip $(VIRTUAL) $(if $(filter-out 0,$(WEB)),--web 127.0.0.1:$(if $(filter 1,$(WEB)),0,$(WEB))))
ESPBAUD ?= 460800
MONITORBAUD ?= 115200
export ESPPORT
ifneq ($(filter-out 80 160,$(CPU_MHZ)),)
$(error CPU_MHZ=$(CPU_MHZ): 80 (the usual) or 160)
endif
fast = $(filter 160,$(CPU_MHZ))
chip_features = $(if $(fast),--features cpu-160mhz) $(if $(radio),--features radio)
features = $(if $(filter qemu,$(BOARD)),,$(chip_features))

# For the AWS CLI; empty leaves them to its configuration.
AWS = $(if $(AWS_PROFILE),AWS_PROFILE='$(AWS_PROFILE)') $(if $(AWS_REGION),AWS_REGION='$(AWS_REGION)')

.PHONY: foreign help setup build tools fmt doc port host-crates chip-crates run on off send watch smoke provision deprovision provision-fleet aws-stand-in \
	new identity identity-info signing-key release update update-identity update-status update-cancel update-policy update-fleet test lint unit virtual-test virtual-bench fuzz target-test board-test boot-test \
	app-test foreign-test rom-compare flash-test update-test update-powercut update-soak e2e image flash flash-identity whose erase monitor esptool virtual-board boards nodemcu-image new-board \
	page-packages page-test crate-test chip-tests curve-test constant-time curve-fuzz container audit soak bench size vendor env clean sdk radio-test radio-soak hostapd-test \
	battery battery-test
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\(\( [a-z0-9-]*\)*\)\):.*## /make \1\t/p' Makefile | expand -t 24

setup: ## install what is missing: Debian packages and crates
	@MAKEFLAGS= tools/setup $(CARGO) $(RUSTC)

# Within `make test`, of a board: an application's is made all the same.
board_made = $(if $(own),,$(filter images,$(MADE)))
ifneq ($(board_made),)
build image: ;
else
build: setup ## the firmware's ELF
	@$(call firmware,$(BOARD),$(features))
endif

ifeq ($(MADE),)
tools: setup
	@[ -x $(THING_PROGRAM) ] || echo "building the host programs: two to three minutes the first time (all that is built takes 4 GB in target/)" >&2
	@$(call host,build) --quiet $(LOCKED) -p thing --bin thing

virtual-board: setup ## the program that stands in for a board (docs/virtual-nodemcu.md)
	@$(call host,build) --quiet $(LOCKED) -p virtual-nodemcu --bin virtual-nodemcu
else
tools virtual-board: ;
endif

run: $(MACHINE) tools ## boot it on this machine with a local cloud; Ctrl-C stops all [BOARD=] [WEB=1]
	@$(THING_TOOL) run $(FIRMWARE_ON_BOARD) $(application)

on off: tools ## (second terminal) light or darken the LED
	@$(THING_TOOL) $@ $(application)

watch: tools ## (second terminal) show what the device says
	@$(THING_TOOL) watch

send: tools ## (second terminal) MESSAGE='{"led":"on"}': publish it to the device's control topic
	@$(THING_TOOL) send '$(subst ','\'',$(MESSAGE))'

smoke: $(MACHINE) tools ## the same by itself: exit 0 once the device published and obeyed on and off [BOARD=] [APP=: published]
	@$(THING_TOOL) smoke $(FIRMWARE_ON_BOARD) $(application)

identity: tools ## THING=name: its identity region from config.toml and certs/name
	@$(THING_TOOL) identity

identity-info: tools ## THING=name: what is in it, without the secrets
	@$(THING_TOOL) identity-info

foreign = $(if $(filter-out 0,$(FOREIGN)),--foreign)
retire = $(if $(filter-out 0,$(RETIRE)),--retire)

provision: tools ## make THING on AWS (AWS_PROFILE, AWS_REGION), or complete or confirm it; ROTATE=1 renews its certificate, RETIRE=1 ends topics of before, FOREIGN=1 joins a thing that was made elsewhere
	@$(AWS) $(THING_TOOL) provision $(foreign) $(retire) $(if $(filter-out 0,$(ROTATE)),--rotate $(if $(filter-out 0,$(EMULATED)),--emulated))

deprovision: tools ## remove THING from AWS; FOREIGN=1 also what was not made here
	@$(AWS) $(THING_TOOL) deprovision $(foreign)

provision-fleet: tools ## make all things of FILE (CSV with a header and a column `thing`)
	@$(AWS) $(THING_TOOL) provision-fleet $(foreign) $(retire) --file '$(or $(FILE),$(error name the list: make provision-fleet FILE=things.csv))'

aws-stand-in: setup ## an empty AWS account on this machine, for the verbs above in a second terminal
	@$(call host_program,aws-stand-in,aws-stand-in)

ifneq ($(own),)
test: lint size smoke
	@echo "make test: all passed"
else
# Programs, test programs and images are made once, by both cores, and not again (MADE). Then the
# suites: some compute, others mostly wait, for a keep-alive, for esptool, for a page. Four at a time
# fill two cores; the longest begin first. One that fails does not stop the others (-k).
SUITES = update-test e2e app-test update-fleet lint unit flash-test foreign-test figures page-test crate-test board-test \
	target-test battery-test boot-test curve-test
.PHONY: firmwares test-programs board-images figures suites
# The NodeMCU's has its turn in `boards`, after its variants.
firmwares: setup
	@$(FIRMWARE) build --quiet --release $(LOCKED) -p boot-stage $(addprefix -p firmware-,$(filter-out nodemcu,$(BOARDS)))

test-programs: tools
	@$(call host,test) --quiet --no-run --tests $(LOCKED) $(HOST_CRATES) $(HOST_TESTS)

board-images: size boards chip-tests

# One after the other: both run the thing of `make run`.
figures: tools chip-tests
	@$(MAKE) --no-print-directory bench
	@$(MAKE) --no-print-directory smoke
	@$(MAKE) --no-print-directory bench BOARD=nodemcu RADIO=0
	@$(MAKE) --no-print-directory smoke BOARD=nodemcu RADIO=0

suites: $(SUITES)

test: setup ## everything CI checks
	@$(MAKE) --no-print-directory -j3 page-packages firmwares tools virtual-board
	@$(MAKE) --no-print-directory -j2 MADE=programs test-programs board-images
	@echo "make test: $(SUITES), four at a time; each tells what it has to tell at its end"
	@FLEET_BOARDS=3 $(MAKE) --no-print-directory -k -j4 --output-sync=target MADE='programs images' suites
	@$(MAKE) --no-print-directory radio-test
	@echo "make test: all passed"
endif

audit: tools ## what is known against the versions of the C libraries and crates (vendor/advisories.toml, cargo audit) [ADVISORY_DB=]
	@$(THING_TOOL) audit

ifneq ($(own),)
lint: setup
	@cd '$(APP_FOLDER)' && { $(CARGO) fmt --check || { echo "make lint: 'make fmt' mends the formatting" >&2; exit 1; }; }
	@$(call own_cargo,clippy,--quiet $(chip_features) -- -D warnings)

fmt: setup
	@cd '$(APP_FOLDER)' && $(CARGO) fmt
else
lint: tools ## rustfmt, clippy, no private key under version control, no crate that climbs the floors
	@$(THING_TOOL) check-secrets
	@($(call host,metadata) $(LOCKED) --no-deps --format-version 1) | $(THING_TOOL) check-floors
	@$(call host,fmt) --all --check || { echo "make lint: 'make fmt' mends the formatting" >&2; exit 1; }
	@$(FIRMWARE) clippy --quiet $(LOCKED) --release $(CHIP_PROGRAMS) -- -D warnings
	@$(FIRMWARE) clippy --quiet $(LOCKED) --release -p target-tests --no-default-features \
		--features chip -- -D warnings
ifneq ($(radio),)
	@$(FIRMWARE) clippy --quiet $(LOCKED) --release -p firmware-nodemcu --features radio -- -D warnings
endif
	@$(call host,clippy) --quiet $(LOCKED) $(HOST_CRATES) $(HOST_TESTS) --all-targets -- -D warnings

doc: setup ## the Rust documentation of all crates, without a warning, in target/doc and target/xtensa-esp8266-none-elf/doc
	@export RUSTDOCFLAGS='-D warnings'; $(call host,doc) --quiet $(LOCKED) --no-deps $(HOST_CRATES) $(HOST_TESTS)
	@export RUSTDOCFLAGS='-D warnings'; $(FIRMWARE) doc --quiet $(LOCKED) --no-deps $(CHIP_CRATES) $(CHIP_PROGRAMS)
	@echo "target/doc/thing/index.html (this machine's crates), target/xtensa-esp8266-none-elf/doc/app/index.html (the device's)"

fmt: setup ## format all Rust
	@$(call host,fmt) --all
endif

ifneq ($(CRATE),)
unit: tools
	@$(WAITING); $(call host,test) $(LOCKED) -p $(CRATE) -- $(TEST)
else
unit: tools ## host tests: pure logic, and the host programs against a real broker [CRATE=app-model [TEST=name]]
	@$(WAITING); $(call host,test) --quiet $(LOCKED) $(HOST_CRATES)
	@$(WAITING); $(call host,test) --quiet $(LOCKED) -p aws-stand-in
	@$(WAITING); $(call host,test) --quiet $(LOCKED) -p fleet-tests --test fleet
	@export RUSTDOC='$(CURDIR)/tools/rustdoc-errors'; $(call host,test) --quiet $(LOCKED) -p pin-tests
	@$(THING_TOOL) esptool >/dev/null
	@$(call host,test) --quiet $(LOCKED) -p virtual-nodemcu --lib --test instructions --test system --test qemu --test debug --test board --test radio --test air --test tshark \
		--test parts --test control --test snapshot --test rom_compare
	@$(call host,test) --quiet $(LOCKED) -p virtual-nodemcu --doc
	@command -v tshark >/dev/null || echo 'left out: nobody else judged what is on the air (Debian: apt-get install tshark)'
	@$(WAITING); $(call host,test) --quiet $(LOCKED) -p virtual-nodemcu --test esptool
endif

# Its tests sleep in pyserial nearly all the time: eight of them do no harm to two cores.
virtual-test: tools ## (two minutes) the virtual NodeMCU with stock esptool: what make test leaves out, 4 MiB and aborted writes
	@$(THING_TOOL) esptool >/dev/null
	@export RUST_TEST_THREADS=8; $(call host,test) $(LOCKED) -p virtual-nodemcu --test esptool_long

foreign-test: tools ## firmware that nobody here wrote (MicroPython, CircuitPython, Espruino, NodeMCU Lua, Arduino), its tools (mpremote, ampy, nodemcu-uploader, esphomeflasher, esp_flasher) and old esptools on the virtual NodeMCU
	@$(THING_TOOL) esptool >/dev/null
	@if tools/foreign target/foreign target/esptool/bin/python; then \
		$(WAITING); $(call host,test) --quiet $(LOCKED) -p virtual-nodemcu --test foreign; \
	else \
		echo "make foreign-test: left out, because its images are not here"; \
	fi

# An image of somebody's own is nobody's business: not part of `make test`.
foreign: setup ## IMAGES=folder: how far the firmware in it gets on the virtual NodeMCU, as a table [SECONDS=20]
	@$(call host,run) --quiet $(LOCKED) -p virtual-nodemcu --example foreign -- \
		'$(abspath $(or $(IMAGES),$(error name the folder: make foreign IMAGES=folder)))' $(SECONDS)

# Nor is a ROM, of which none is in the repository.
rom-compare: tools ## ROM=file: the boot ROM's functions that the virtual NodeMCU does itself, against a dump of your chip's ROM, and its serial loader with esptool [ROUNDS=2000]
	@$(call host,run) --quiet $(LOCKED) -p virtual-nodemcu --example rom_compare -- '$(abspath $(or $(ROM),$(error \
		name a dump of your chip's boot ROM: esptool --chip esp8266 dump-mem 0x40000000 65536 bootrom.bin, then make rom-compare ROM=bootrom.bin)))' $(ROUNDS)
	@$(THING_TOOL) esptool >/dev/null
	@export BOOT_ROM='$(abspath $(ROM))'; $(call host,test) --quiet $(LOCKED) -p virtual-nodemcu --test esptool_long -- --ignored a_dumped_rom

# Chromium is 300 MB: it and pytest have a list of their own, and come when they are needed.
page-packages: setup
	@tools/install tools/page-packages.txt

page-test: page-packages nodemcu-image virtual-board ## the board's page in a headless Chromium, which is installed if it is missing
	@$(THING_TOOL) esptool >/dev/null
	@$(call host,test) --quiet $(LOCKED) -p virtual-nodemcu --test page -- --ignored
	@$(call host,test) --quiet $(LOCKED) -p e2e --test page -- --ignored

crate-test: page-packages tools virtual-board ## the virtual board by itself: built from a copy of its folder, and its example for pytest
	@$(THING_TOOL) esptool >/dev/null
	@export CARGO='$(CARGO)'; $(call host,test) --quiet $(LOCKED) -p virtual-nodemcu --test alone -- --ignored

virtual-bench: tools ## the virtual NodeMCU's speed, which fails below 200 million instructions per second or above 50 ms from a snapshot; 32 at once
	@$(THING_TOOL) esptool >/dev/null
	@$(call host,run) --quiet $(LOCKED) -p virtual-nodemcu --example speed
	@$(call host,run) --quiet $(LOCKED) -p virtual-nodemcu --example many

# Ten million inputs take minutes: not part of `make test`, which runs some 100,000.
fuzz: setup ## ten million hostile identity regions, MQTT streams, TLS records, ciphers, EAPOL frames, times and updates through what reads them
	@export FUZZ_INPUTS=$${FUZZ_INPUTS:-10000000} CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true; \
		$(call host,test) --quiet $(LOCKED) --release -p clock -p gcm -p identity -p packets -p records -p update -p wpa --test fuzz -- --nocapture
	@export FUZZ_SNAPSHOTS=$${FUZZ_SNAPSHOTS:-20000}; \
		$(call host,test) --quiet $(LOCKED) -p virtual-nodemcu --test snapshot -- damaged
	@export FUZZ_SEED=$${FUZZ_SEED:-$$(date +%s)}; $(call host,test) --quiet $(LOCKED) -p virtual-nodemcu --test board -- no_program no_request

# Not part of `make test`: it fetches sources, and what it finds is about code that seldom changes.
hostapd-test: setup ## the supplicant against hostapd's authenticator, compiled from Debian's source package
	@export HOSTAPD_AUTHENTICATOR="$$(tools/hostapd '$(CURDIR)/target/hostapd')" && \
		$(call host,test) $(LOCKED) -p wpa --test hostapd

target-test: setup tools ## tests of kernel, libraries and crash reports on the emulated CPU
	@$(FIRMWARE) build --release $(LOCKED) -p target-tests
	@$(THING_TOOL) target-test --elf $(CHIP)/target-tests

curve-test: build ## the chip's code for P-256 and RSA, call by call: kernels against their twins, constant time, stack, vectors [VECTORS=all]
	@export FIRMWARE_ELF='$(CURDIR)/$(ELF)'; $(call host,test) --quiet $(LOCKED) -p curve-tests

constant-time: build ## (minutes) 1,000 secrets through key pair, ECDH and signature: one course for all
	@export FIRMWARE_ELF='$(CURDIR)/$(ELF)' CURVE_SCALARS=$${CURVE_SCALARS:-1000}; \
		$(call host,test) $(LOCKED) -p curve-tests --test constant_time -- --nocapture

curve-fuzz: setup ## (an hour and more) ten million operations on P-256 and 100,000 of RSA, compared with another library's
	@export P256_FUZZ_OPERATIONS=$${P256_FUZZ_OPERATIONS:-10000000} RSA_FUZZ_OPERATIONS=$${RSA_FUZZ_OPERATIONS:-100000} \
		CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true; \
		$(call host,test) --quiet $(LOCKED) --release -p p256-lx106 -p rsa-lx106 --test differential

ifeq ($(filter images,$(MADE)),)
# The test firmware as a board is flashed with it.
chip-tests: tools
	@$(FIRMWARE) build --release $(LOCKED) -p target-tests --no-default-features --features chip
	@$(THING_TOOL) image --elf $(CHIP)/target-tests-chip --boot $(BOOT_ELF) --folder target/image/target-tests >/dev/null
else
chip-tests: ;
endif

board-test: boards chip-tests ## the same, and the chip's own, on the virtual NodeMCU, which then boots each board's image
	@$(call host_program,board-tests,board-tests) --elf '$(CURDIR)/$(CHIP)/target-tests-chip' \
		--image '$(CURDIR)/target/image/target-tests' $(foreach image,$(CHIP_BOARDS) nodemcu-160, \
		--firmware '$(CURDIR)/target/image/$(image)')

boot-test: nodemcu-image ## the boot stage on the virtual NodeMCU: which slot it starts, damaged images and records, power cuts
	@$(call host,test) --quiet $(LOCKED) -p boot-tests

soak: build setup ## (half an hour) the heap over 4000 reconnects, a flood of commands for minutes
	@export FIRMWARE_ELF='$(CURDIR)/$(ELF)'; $(call host,test) $(LOCKED) -p e2e -- --ignored --nocapture endurance

e2e: build tools ## the firmware against real brokers, kind and hostile
	@$(WAITING) FIRMWARE_ELF='$(CURDIR)/$(ELF)' THING_PROGRAM='$(CURDIR)/$(THING_PROGRAM)'; \
		$(call host,test) --quiet $(LOCKED) -p e2e --lib --test suite --test aws

ifeq ($(BOARD),qemu)
bench: build tools ## instructions of a context switch, a publish, AES-GCM, a handshake [BOARD=nodemcu: of a boot too]
	@$(FIRMWARE) build --release $(LOCKED) -p target-tests
	@$(THING_TOOL) bench --elf $(CHIP)/target-tests
	@$(THING_TOOL) figures --elf $(ELF)
else
bench: image chip-tests
	@$(call host_program,board-tests,board-tests) --bench --elf '$(CURDIR)/$(CHIP)/target-tests-chip' \
		--image '$(CURDIR)/target/image/target-tests'
	@$(call host_program,e2e,board-figures) --image '$(CURDIR)/$(IMAGE)'
endif

size: build tools ## flash, IRAM and DRAM by section and library, held to the budgets
	@$(THING_TOOL) size --elf $(ELF) --flash-max $(FLASH_MAX) --iram-max $(IRAM_MAX) --dram-max $(DRAM_MAX)

ifeq ($(board_made),)
image: tools ## a board's flash files and memory map [BOARD=] [CPU_MHZ=160] [UPDATES=0]
	@$(FIRMWARE) build --release $(LOCKED) -p boot-stage
	@$(call firmware,$(CHIP_BOARD),$(chip_features))
	@$(THING_TOOL) iram --elf $(CHIP_ELF)
	@$(THING_TOOL) image --elf $(CHIP_ELF) --boot $(BOOT_ELF) --board $(CHIP_BOARD) --folder $(IMAGE)
ifneq ($(radio),)
	@cp '$(ESP8266_SDK)/LICENSE' $(IMAGE)/LICENSE-ESP8266_RTOS_SDK
	@echo "Wi-Fi: by Espressif's libraries in $(ESP8266_SDK); hand their licence on with the image ($(IMAGE)/LICENSE-ESP8266_RTOS_SDK)"
else
	@echo "Wi-Fi: none in this image; 'make sdk' fetches Espressif's libraries for it"
endif
endif

signing-key: tools ## the key that signs releases, once: certs/signing/signing.key, which git ignores
	@$(THING_TOOL) signing-key

release: image ## sign a board's image: one file in target/releases [BOARD=] [VERSION=1.2.3] [SIGNER=command]
	@$(THING_TOOL) release --board $(CHIP_BOARD) --image $(IMAGE) --to '$(releases)' \
		$(if $(SIGNER),--signer '$(subst ','\'',$(SIGNER))')

# Which things: all that were said behind `make`, and the program refuses two. A group or a list only counts
# there: tcsh gives every program a GROUP, the person's own. If nobody says, the one of `make run` is meant.
said = $(filter command,$(origin $(1)))
said_group = $(if $(call said,GROUP),$(GROUP))
said_fleet = $(if $(call said,FLEET),$(FLEET))
said_thing = $(if $(said_group)$(said_fleet),$(call said,THING),$(filter-out file,$(origin THING)))
update_of = $(if $(said_thing),--named) $(if $(said_group),--group '$(said_group)') $(if $(said_fleet),--fleet '$(said_fleet)') \
	$(if $(CLOUD),--cloud $(CLOUD))
update_places = $(if $(BUCKET),--bucket '$(BUCKET)') $(if $(ROLE),--role '$(ROLE)')
update_image = --board $(CHIP_BOARD) --image $(IMAGE) --releases '$(releases)' $(if $(RELEASE),--release '$(RELEASE)') \
	$(if $(radio),,--no-radio $(if $(call said,RADIO),meant,missing))

update: tools ## new firmware over the air for THING, GROUP or FLEET=things.csv, or for what `make run` runs [VERSION=] [RELEASE=file] [RATE=] [ABORT=] [TIMEOUT=]
	@set -e; version=$$($(THING_TOOL) update-version $(update_of) $(update_image) $(if $(FIRMWARE_VERSION),--new-version $(FIRMWARE_VERSION))); \
	if [ -n "$$version" ]; then $(MAKE) --no-print-directory release BOARD=$(CHIP_BOARD) VERSION="$$version"; fi; \
	version=$${version:-$(FIRMWARE_VERSION)}; \
	$(AWS) $(THING_TOOL) update $(update_of) $(update_image) $(update_places) $${version:+--new-version $$version} \
		$(if $(RATE),--rate $(RATE)) $(if $(ABORT),--abort $(ABORT)) $(if $(ABORT_AFTER),--abort-after $(ABORT_AFTER)) \
		$(if $(TIMEOUT),--timeout $(TIMEOUT)) $(if $(filter-out 0,$(DOWNGRADE)),--allow-downgrade)

update-identity: tools ## the identity of THING over the air, made as `make identity` makes it, on trial like firmware [TIMEOUT=] [SIGNER=command SIGNER_SEES_KEY=1] [DOWNGRADE=1]
	@$(AWS) $(THING_TOOL) update-identity $(update_of) $(update_places) $(if $(TIMEOUT),--timeout $(TIMEOUT)) \
		$(if $(filter-out 0,$(DOWNGRADE)),--allow-downgrade) $(if $(SIGNER),--signer '$(subst ','\'',$(SIGNER))') \
		$(if $(filter-out 0,$(SIGNER_SEES_KEY)),--signer-sees-key)

update-status: tools ## how the updates stand that were ordered here
	@$(AWS) $(THING_TOOL) update-status

update-cancel: tools ## call an update off, of THING, GROUP or FLEET; FORCE=1 also where a device has begun
	@$(AWS) $(THING_TOOL) update-cancel $(update_of) $(if $(filter-out 0,$(FORCE)),--force)

update-policy: tools ## the policy on AWS of whoever orders updates
	@$(AWS) $(THING_TOOL) update-policy $(update_places)

# FLEET_BOARDS= makes the fleet another; `make test` takes three.
update-fleet: tools virtual-board ## virtual boards updated as a person does it: two terminals, a bad image, a fleet of eight by one job
	@$(MAKE) --no-print-directory image BOARD=nodemcu RADIO=0 >/dev/null
	@export FLEET_BOARDS=$${FLEET_BOARDS:-8}; $(call host,test) --quiet $(LOCKED) -p fleet-tests --test boards

sdk: ## fetch what the radio of a board needs: Espressif's ESP8266_RTOS_SDK, at the commit that the driver knows
	@tools/sdk '$(SDK)'

# The examples' images, which several suites take: in one make each is made once.
example-image-%: tools
	@$(MAKE) --no-print-directory image APP=examples/$* RADIO=0 >/dev/null

app-test: tools virtual-board $(addprefix example-image-,$(filter-out battery,$(EXAMPLES))) ## the examples, and applications made by `make new`, on virtual boards with parts at their pins
	@$(WAITING); $(call host,test) --quiet $(LOCKED) -p e2e --test applications

# Told before anything is built. The rest that can be wrong with a port, thing says.
port:
ifeq ($(ESPPORT),)
	@echo "which port? Say for example ESPPORT=/dev/ttyUSB0. Plugged in: $(or $(wildcard /dev/ttyUSB* /dev/ttyACM*),no USB serial port)" >&2; exit 1
else ifeq ($(findstring ://,$(ESPPORT))$(wildcard $(ESPPORT)),)
	@echo "$(ESPPORT) does not exist. Plugged in: $(or $(wildcard /dev/ttyUSB* /dev/ttyACM*),no USB serial port)" >&2; exit 1
endif

# Nobody said whose identity is meant, and there are several: the usual one would be written over a board's own.
identities = $(patsubst $(things)/%/identity.bin,%,$(wildcard $(things)/*/identity.bin))
whose:
ifeq ($(origin THING)$(origin IDENTITY),filefile)
ifneq ($(and $(filter $(THING),$(identities)),$(filter-out $(THING),$(identities))),)
	@echo "which thing is this board? There are identities of $(identities): say for example THING=$(THING)" >&2; exit 1
endif
endif

flash: port whose image ## write them and the thing's identity to a board: ESPPORT=/dev/ttyUSB0 [ESPBAUD=] [THING=]
	@$(THING_TOOL) flash --board $(CHIP_BOARD) --folder $(IMAGE) --baud $(ESPBAUD) --identity '$(IDENTITY)'

flash-identity: port whose tools ## write only the identity of THING to a board: ESPPORT=/dev/ttyUSB0
	@$(THING_TOOL) flash-identity --board $(CHIP_BOARD) --baud $(ESPBAUD) --identity '$(IDENTITY)'

erase: port tools ## erase a board's whole flash, without asking: ESPPORT=/dev/ttyUSB0
	@$(THING_TOOL) erase --baud $(ESPBAUD)

monitor: port tools ## a board's console, crash addresses resolved: ESPPORT=/dev/ttyUSB0 [MONITORBAUD=74880]
	@$(THING_TOOL) monitor --elf $(CHIP_ELF) --baud $(MONITORBAUD)

esptool: tools ## set esptool up, as the verbs above do by themselves, and say where it is
	@$(THING_TOOL) esptool

new: setup ## APP=../my-lamp [BOARD=nodemcu]: an application of your own outside this folder, for the same verbs (docs/your-own.md)
	@tools/new '$(APP)' '$(CHIP_BOARD)'

new-board: setup ## NAME=name LED=gpio [LIT=low|high]: a board of your own in bsp/ (bsp/README.md)
	@tools/new-board '$(NAME)' '$(LED)' '$(or $(LIT),low)' $(CARGO)

ifeq ($(filter images,$(MADE)),)
# The ELF that stays is not that of the doubled clock, nor one without updates: they come first.
boards: tools ## build every board's image (one with the doubled clock, one without updates), check budgets and that nothing needs flash when it is off
	@$(MAKE) --no-print-directory image size BOARD=nodemcu UPDATES=0 RADIO=0
	@$(MAKE) --no-print-directory image size BOARD=nodemcu CPU_MHZ=160 RADIO=0
	@for board in $(CHIP_BOARDS); do $(MAKE) --no-print-directory image size BOARD=$$board RADIO=0 || exit 1; done

# What most tests on virtual boards flash.
nodemcu-image: tools
	@$(MAKE) --no-print-directory image BOARD=nodemcu RADIO=0 >/dev/null
else
boards nodemcu-image: ;
endif

update-test: nodemcu-image virtual-board example-image-button example-image-valve example-image-battery ## updates over the air on virtual boards: good ones, bad ones that come back, refusals, power cuts
	@export RUST_TEST_THREADS=3; $(call host,test) --quiet $(LOCKED) -p e2e --test update

update-powercut: nodemcu-image virtual-board ## (an hour and a half on two cores; goes on where it was interrupted) the power fails after every 256th byte of an update, and at each around boot records [POWERCUT_BOARDS=14]
	@$(call host,test) $(LOCKED) -p e2e --test update -- --ignored --nocapture power::

update-soak: nodemcu-image virtual-board ## (an hour and a half) ROUNDS=100 updates to and fro, with a level heap
	@export ROUNDS=$(or $(ROUNDS),100); $(call host,test) $(LOCKED) -p e2e --test update -- --ignored --nocapture a_hundred_updates

flash-test: nodemcu-image virtual-board ## flashing, monitor and the firmware on virtual boards, what goes wrong included
	@$(WAITING); $(call host,test) --quiet $(LOCKED) -p e2e --test board

battery-test: tools example-image-battery ## the example that sleeps, on the virtual board: what is kept over a sleep, and what of it is believed
	@$(call host_program,e2e,battery) --image '$(CURDIR)/target/apps/battery/image'
	@$(WAITING); $(call host,test) --quiet $(LOCKED) -p e2e --test battery

battery: tools ## its time awake over the virtual access point, at 160 MHz, and an estimate of charge (with the radio's libraries)
ifneq ($(radio),)
	@$(MAKE) --no-print-directory image APP=examples/battery CPU_MHZ=160 >/dev/null
	@$(call host_program,e2e,battery) --radio --image '$(CURDIR)/target/apps/battery/image-160-wifi'
else
	@echo "make battery: left out, because there is no ESP8266_RTOS_SDK ('make sdk' fetches it)"
endif

radio-test: ## the firmware over the virtual air, with Espressif's libraries: budgets, WPA2, the whole job, bad days
ifneq ($(radio),)
	@$(MAKE) --no-print-directory size BOARD=nodemcu UPDATES=0
	@$(MAKE) --no-print-directory image size smoke BOARD=nodemcu
	@$(MAKE) --no-print-directory battery
	@$(WAITING); $(call host,test) --quiet $(LOCKED) -p e2e --test radio --test radio_load
	@$(call host,test) --quiet $(LOCKED) -p e2e --test update -- --ignored an_update_comes_by_radio
else
	@echo "make radio-test: left out, because there is no ESP8266_RTOS_SDK ('make sdk' fetches it)"
endif

radio-soak: ## (minutes) an hour of the board's time: traffic, flash writes, lost frames, new keys; ten keep-alives in modem sleep
ifneq ($(radio),)
	@$(MAKE) --no-print-directory image virtual-board BOARD=nodemcu
	@$(call host,test) $(LOCKED) -p e2e --test radio --test radio_load -- --ignored --nocapture
else
	@echo "make radio-soak: left out, because there is no ESP8266_RTOS_SDK ('make sdk' fetches it)"
endif

container: ## a shell in the container that CI uses (docker or podman)
	@tools/container

vendor: setup ## an offline copy of every dependency in vendor/crates, which the build then uses
	@tools/vendor $(CARGO) $(RUSTC)

env: ## what a shell needs for a plain `cargo build --release`: eval "$(make -s env)"
	@echo 'export PATH="$(dir $(RUSTC)):$$PATH" RUSTC=$(RUSTC) $(CHIP_ENV)'

# For tools/editor-check.
chip-crates:
	@echo $(CHIP_PROGRAMS)

host-crates:
	@echo $(HOST_CRATES) $(HOST_TESTS)

# A release is what devices run, and cannot be built again.
clean: ## remove what was built (releases and the local PKI stay)
	@[ ! -d target ] || find target/ -mindepth 1 -maxdepth 1 ! -name releases -exec rm -rf {} +
