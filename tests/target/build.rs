//! Compiles the tests written in C and links as the board's firmware is linked.

include!("../../bsp/own_c.rs");

const SOURCES: &[&str] = &[
    "c/arithmetic.c",
    "c/bench.c",
    "c/check.c",
    "c/crypto_bench.c",
    "c/interrupts.c",
    "c/irq_source.c",
    "c/memory.c",
    "c/registers.S",
    "c/registers.c",
    "c/scheduling.c",
    "c/sockets.c",
    "c/time.c",
    "c/victims.c",
    "c/wild_stack.S",
];

fn main() {
    let board = |key: &str| {
        std::env::var(format!("DEP_BOARD_{key}")).expect("the board tells its dependents")
    };
    // port_frame.h, the one header of the port that tests look into.
    compile_own_c("target_tests", SOURCES, &["c", &board("INCLUDE"), "../../bsp/lx106/c", "../../vendor/paho/include"]);
    println!("cargo::rustc-link-arg-bins=-T{}", board("LINK_SCRIPT"));
    println!("cargo::rerun-if-changed=c");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../bsp/own_c.rs");
    println!("cargo::rerun-if-changed=../../bsp/lx106/c/port_frame.h");
}
