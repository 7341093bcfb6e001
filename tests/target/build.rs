//! Compiles the tests written in C and links as the board's firmware is linked.

include!("../../bsp/own_c.rs");

const SOURCES: &[&str] = &[
    "c/arithmetic.c",
    "c/bench.c",
    "c/check.c",
    "c/crypto_bench.c",
    "c/interrupts.c",
    "c/mem.c",
    "c/memory.c",
    "c/registers.S",
    "c/registers.c",
    "c/scheduling.c",
    "c/sha256.c",
    "c/sockets.c",
    "c/time.c",
    "c/verified.c",
    "c/victims.c",
    "c/watchdog.c",
    "c/wild_stack.S",
];
const QEMU_SOURCES: &[&str] = &["c/qemu/host.c", "c/qemu/irq_source.c"];
const CHIP_SOURCES: &[&str] = &[
    "c/chip/console.c",
    "c/chip/generator.c",
    "c/chip/health.c",
    "c/chip/host.c",
    "c/chip/irq_source.c",
    "c/chip/probes.S",
    "c/chip/widths.c",
];

fn main() {
    let of_board = |key: &str| std::env::var(key).expect("the board tells its dependents");
    let chip = std::env::var_os("CARGO_FEATURE_CHIP").is_some();
    let (board, own) = if chip { ("CHIP", CHIP_SOURCES) } else { ("BOARD", QEMU_SOURCES) };
    let include = of_board(&format!("DEP_{board}_INCLUDE"));
    // port_frame.h, the one header of the port that tests look into.
    let mut includes = vec!["c", &include, "../../bsp/lx106/c", "../../vendor/paho/include"];
    let inside;
    if chip {
        inside = of_board("DEP_CHIP_SOURCES");
        includes.push(&inside);
    }
    link_own_c(own_c().includes(&includes).files(SOURCES).files(own), "target_tests");
    board_facts::build::link_by(&of_board(&format!("DEP_{board}_LINK_SCRIPT")));
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../bsp/own_c.rs");
    println!("cargo::rerun-if-changed=../../bsp/lx106/c/port_frame.h");
    println!("cargo::rerun-if-changed=../../bsp/lx106/include/registers.h");
}
