//! Prints how many million instructions per second of CPU time the core executes here, on the
//! programs that the tests compile (CRC, SHA-256, sorting, division, a jump table, recursion):
//! `cargo run -p virtual-nodemcu --example mips`.

#[path = "../tests/common/mod.rs"]
mod common;

use virtual_nodemcu::cpu::Cpu;

fn main() {
    let image = common::build("mips", &["programs.c"]);
    let mut memory = common::Memory::new();
    let mut cpu = Cpu::new();
    cpu.stop_at_simcall(true);
    let start = common::cpu_seconds();
    while cpu.instructions() < 500_000_000 {
        common::run_again(&mut cpu, &mut memory, &image, &[], u64::MAX);
    }
    let seconds = common::cpu_seconds() - start;
    println!("{:.0} MIPS", cpu.instructions() as f64 / 1e6 / seconds);
}
