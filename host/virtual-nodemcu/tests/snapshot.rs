//! Boards that are saved and go on elsewhere; snapshots that are damaged.

use std::time::Duration;

use sha1::{Digest as _, Sha1};
use virtual_nodemcu::board::machine::Machine;
use virtual_nodemcu::harness::VirtualBoard;
use virtual_nodemcu::snapshot::{Damaged, Snapshot};

#[path = "board/process.rs"]
mod process;
#[path = "board/program.rs"]
mod program;

use process::Process;

fn bytes(machine: &mut Machine) -> Vec<u8> {
    machine.save().unwrap()
}

fn loaded(bytes: &[u8]) -> Result<VirtualBoard, String> {
    let snapshot = Snapshot::new(bytes.to_vec()).map_err(|Damaged(text)| text)?;
    let board = VirtualBoard::builder().unpaced().snapshot(&snapshot).build();
    board.map_err(|error| error.to_string())
}

/// Timers, interrupts, a changed clock, code in flash and bytes in the UART: saved at many moments,
/// the copy does to the last bit what the original does.
#[test]
fn a_copy_goes_on_as_the_original_does() {
    for (test, moments) in [("speed", 60), ("chip", 12), ("watchdog", 12)] {
        let mut board = program::board(test).build().unwrap();
        for moment in 0..moments {
            // Odd numbers of cycles, from the middle of everything.
            board.machine.run_for(Duration::from_nanos(1_234_567 + 131_071 * moment));
            let saved = bytes(&mut board.machine);
            let mut copy = loaded(&saved).unwrap();
            assert_eq!(bytes(&mut copy.machine), saved, "{test}, {moment}: saved again at once");
            for machine in [&mut board.machine, &mut copy.machine] {
                machine.run_for(Duration::from_millis(7));
            }
            assert_eq!(board.machine.cpu.registers(), copy.machine.cpu.registers());
            assert!(
                bytes(&mut board.machine) == bytes(&mut copy.machine),
                "{test}, {moment}: they differ after 7 ms"
            );
        }
    }
}

#[test]
fn the_serial_loader_goes_on_in_the_middle_of_a_frame() {
    let mut board = VirtualBoard::builder().unpaced().build().unwrap();
    board.machine.press_button(true);
    board.reset();
    // SYNC, cut in two.
    let frame =
        [&[0xC0, 0, 8, 36, 0, 0, 0, 0, 0, 7, 7, 0x12, 0x20][..], &[0x55; 32], &[0xC0]].concat();
    let (first, second) = frame.split_at(20);
    let now = |board: &mut VirtualBoard, bytes: &[u8]| {
        board.machine.type_in(bytes);
        board.run(Duration::from_millis(20));
    };
    now(&mut board, first);
    let mut copy = loaded(&bytes(&mut board.machine)).unwrap();
    now(&mut copy, second);
    let answers = copy.serial().matches("\u{1}\u{8}\u{2}").count();
    assert_eq!(answers, 8, "{:?}", copy.serial());
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let refused = |board: &mut VirtualBoard| board.machine.save().unwrap_err().to_string();
    let mut board = program::board("led").part("led:D1").build().unwrap();
    assert!(refused(&mut board).contains("parts are wired"), "{}", refused(&mut board));
    let mut board = program::board("led").access_point("ssid=home").build().unwrap();
    assert!(refused(&mut board).contains("access points are on"), "{}", refused(&mut board));
    let mut board = program::board("led").build().unwrap();
    board.machine.set_power(false);
    assert!(refused(&mut board).contains("the power is off"), "{}", refused(&mut board));
    let mut board = program::board("led").build().unwrap();
    board.machine.press_reset(true);
    assert!(refused(&mut board).contains("held in reset"), "{}", refused(&mut board));

    // Whoever loads it wires its own.
    let mut board = program::board("led").build().unwrap();
    let snapshot = board.save().unwrap();
    let builder = VirtualBoard::builder().snapshot(&snapshot);
    let loaded = builder.part("led:D1").access_point("ssid=home").build().unwrap();
    assert!(loaded.part("led").is_ok());
    let flashed = VirtualBoard::builder().snapshot(&snapshot).image(0, &[1]).build();
    let why = flashed.err().unwrap().to_string();
    assert!(why.contains("holds something else"), "{why}");
}

/// With a sum that is right, so that it is the contents that have to be refused, or run.
#[test]
fn damaged_snapshots_are_refused_or_run_and_none_panics() {
    let mut board = program::board("speed").build().unwrap();
    board.run(Duration::from_millis(30));
    let saved = bytes(&mut board.machine);
    let body = saved.len() - 20;
    let mut state = 7u64;
    let mut random = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    // What is not memory: the core in front of it, the devices behind it.
    let (core, devices) = (16 + 300, 16 + 300 + 0x1_0000 + 0x1_8000 + 0x400);
    let (mut refused, mut ran) = (0, 0);
    // `make fuzz` says how many.
    let rounds = std::env::var("FUZZ_SNAPSHOTS").map_or(400, |text| text.parse().unwrap());
    for round in 0..rounds {
        let mut bad = saved[..body].to_vec();
        for _ in 0..=random(4) {
            let at = match round % 4 {
                0 => 16 + random(core - 16),
                1 => devices + random(5_000),
                2 => body - 1 - random(13_000),
                _ => 16 + random(body - 16),
            };
            bad[at] = match random(3) {
                0 => 0xFF,
                1 => bad[at] ^ 1 << random(8),
                _ => random(256) as u8,
            };
        }
        if random(16) == 0 {
            bad.truncate(16 + random(body - 16));
        }
        let sum = Sha1::digest(&bad);
        bad.extend(sum);
        match loaded(&bad) {
            Err(text) => {
                assert!(text.contains("snapshot"), "{text}");
                refused += 1;
            }
            Ok(mut board) => {
                board.machine.run_for(Duration::from_millis(2));
                ran += 1;
            }
        }
    }
    // Most of what is damaged is memory, which is as good as any other.
    assert!(refused * 20 > rounds && ran * 20 > rounds, "{refused} refused, {ran} ran");
}

#[test]
fn a_board_in_a_process_is_saved_at_its_end_and_loaded_without_its_flash() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let flash = program::flash(folder.path(), "flash.bin", "led");
    let mut board = Process::new(&flash, &["--net", "none", "--save", &path("snapshot")]);
    board.line("LED blue (GPIO2) on");
    assert!(board.interrupt().success());
    assert!(board.seen.iter().any(|line| line.contains("saved: ")), "{:#?}", board.seen);

    let load = |flash: &str| Process::new(flash.as_ref(), &["--load", &path("snapshot")]);
    let mut copy = load(&path("new.bin"));
    copy.line("loaded: ");
    assert!(copy.interrupt().success());
    assert_eq!(std::fs::read(path("new.bin")).unwrap(), std::fs::read(&flash).unwrap());
    assert!(!copy.seen.iter().any(|line| line.contains("reset:")), "{:#?}", copy.seen);

    std::fs::write(path("other.bin"), [0; 16]).unwrap();
    assert!(!load(&path("other.bin")).end().success());
    let kept = std::fs::read(path("other.bin")).unwrap();
    assert_eq!(kept[..17], [[0; 16].as_slice(), &[0xFF]].concat(), "what was there is not lost");

    let mut short = std::fs::read(path("snapshot")).unwrap();
    short.pop();
    std::fs::write(path("snapshot"), short).unwrap();
    assert_eq!(load(&path("new.bin")).end().code(), Some(1));
}
