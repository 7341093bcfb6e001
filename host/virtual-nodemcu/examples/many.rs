//! Runs 32 boards at once and prints what that takes: `make virtual-bench` runs it.
//!
//! Each board boots an image and computes, as its program says, while a timer interrupts it. None
//! keeps to the wall clock here: all of them together are as fast as this machine.

#[path = "../tests/board/program.rs"]
mod program;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use virtual_nodemcu::harness::VirtualBoard;

const BOARDS: usize = 32;
/// How long each of them runs, by its own clock.
const TIME: Duration = Duration::from_millis(500);

/// A field of /proc/self/status in KB.
fn kilobytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn main() -> ExitCode {
    let images = program::images("speed");
    let before = kilobytes("VmRSS");
    let start = Instant::now();
    let boards: Vec<_> = (0..BOARDS)
        .map(|number| {
            let images = images.clone();
            std::thread::spawn(move || {
                let mut builder = VirtualBoard::builder().unpaced().seed(number as u64 + 1);
                for (offset, image) in &images {
                    builder = builder.image(*offset, image);
                }
                let mut board = builder.build().expect("the images fit");
                board.run(TIME);
                // A crash loop would be fast too: the program must have done its work.
                let worked = board.serial().contains("100 ms");
                (board.machine.cpu.instructions(), worked)
            })
        })
        .collect();
    let results: Vec<_> = boards.into_iter().filter_map(|board| board.join().ok()).collect();
    let seconds = start.elapsed().as_secs_f64();
    let instructions: u64 = results.iter().map(|(instructions, _)| instructions).sum();
    let worked = results.iter().filter(|(_, worked)| *worked).count();
    println!(
        "{worked} of {BOARDS} boards at once: {:.1} s of board time each in {seconds:.1} s, {:.0} M \
         instructions per second together, {:.1} MB a board",
        TIME.as_secs_f64(),
        instructions as f64 / 1e6 / seconds,
        (kilobytes("VmHWM") - before) as f64 / 1e3 / BOARDS as f64,
    );
    if worked == BOARDS { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
