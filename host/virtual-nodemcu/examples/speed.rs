//! Prints how many million instructions per second of CPU time the core alone and the whole
//! board execute here, and how long a board takes to start from a snapshot; fails if that is not
//! what the project demands. `make virtual-bench` runs it.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/board/program.rs"]
mod program;

use std::process::ExitCode;
use std::time::Duration;

use virtual_nodemcu::board::Board;
use virtual_nodemcu::board::flash::Flash;
use virtual_nodemcu::board::machine::Machine;
use virtual_nodemcu::board::net::Net;
use virtual_nodemcu::board::serial::Serial;
use virtual_nodemcu::cpu::Cpu;
use virtual_nodemcu::harness::VirtualBoard;
use virtual_nodemcu::snapshot::Snapshot;

/// Million instructions per second that the board has to reach on one core.
const DEMANDED: f64 = 200.0;
/// Milliseconds of CPU time within which a board has to run that was saved.
const DEMANDED_START: f64 = 50.0;
const STARTS: u32 = 20;
const INSTRUCTIONS: u64 = 500_000_000;

/// The programs that the tests compile (CRC, SHA-256, sorting, division, a jump table,
/// recursion), on memory and nothing else.
fn core() -> f64 {
    let image = common::build("speed", &["programs.c"]);
    let mut memory = common::Memory::new();
    let mut cpu = Cpu::new();
    cpu.stop_at_simcall(true);
    let start = common::cpu_seconds();
    while cpu.instructions() < INSTRUCTIONS {
        common::run_again(&mut cpu, &mut memory, &image, &[], u64::MAX);
    }
    cpu.instructions() as f64 / 1e6 / (common::cpu_seconds() - start)
}

/// A program that computes from flash at 160 MHz while a timer interrupts, with everything that
/// belongs to a board around it: devices, serial port, network, clock.
fn board() -> f64 {
    let mut flash = Flash::blank(4 << 20);
    for (offset, image) in program::images("speed") {
        flash.load(offset, &image);
    }
    let (serial, _input, output) = Serial::channel();
    let board = Board::new(flash, [0x5C, 0xCF, 0x7F, 0, 0, 1], 1);
    let mut machine = Machine::new(
        board,
        serial,
        Some(Net::new()),
        Vec::new(),
        Box::new(|text| println!("{text}")),
    );
    let start = common::cpu_seconds();
    while machine.cpu.instructions() < INSTRUCTIONS {
        machine.run(Some(Duration::from_millis(100)));
    }
    let seconds = common::cpu_seconds() - start;
    // A crash loop would be fast too: the program must have done its work.
    let said: Vec<u8> = output.try_iter().flatten().collect();
    let said = String::from_utf8_lossy(&said);
    assert!(said.matches("100 ms").count() > 10, "the program did not run: {said}");
    machine.cpu.instructions() as f64 / 1e6 / seconds
}

/// Milliseconds of CPU time from a snapshot's file, all 4 MiB of its flash in use, to a program
/// that has run for a millisecond.
fn start() -> f64 {
    let mut builder = VirtualBoard::builder().unpaced().image(0, &vec![0; 4 << 20]);
    for (offset, image) in program::images("speed") {
        builder = builder.image(offset, &image);
    }
    let mut board = builder.build().expect("the images fit");
    board.run(Duration::from_millis(150));
    let saved = board.machine.save().expect("it is alone");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("snapshot");
    std::fs::write(&path, saved).expect("room for it");
    let start = common::cpu_seconds();
    for _ in 0..STARTS {
        let snapshot = Snapshot::read(&path).expect("a snapshot");
        let mut board = VirtualBoard::builder()
            .unpaced()
            .snapshot(&snapshot)
            .build()
            .expect("the snapshot is good");
        let before = board.machine.cpu.instructions();
        board.run(Duration::from_millis(1));
        assert!(board.machine.cpu.instructions() > before, "it does not run");
    }
    (common::cpu_seconds() - start) * 1e3 / f64::from(STARTS)
}

fn main() -> ExitCode {
    println!("core alone:  {:>4.0} M instructions per second of CPU time", core());
    let speed = board();
    println!("whole board: {speed:>4.0} M instructions per second of CPU time");
    if speed < DEMANDED {
        println!("less than the {DEMANDED} M demanded");
        return ExitCode::FAILURE;
    }
    let start = start();
    println!("from a snapshot: {start:.1} ms of CPU time until it runs");
    if start > DEMANDED_START {
        println!("more than the {DEMANDED_START} ms demanded");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
