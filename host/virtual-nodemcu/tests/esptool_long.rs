//! Stock esptool against the virtual board: what takes minutes. Nearly all of it is sleep in
//! pyserial's RFC 2217 client, so these run well side by side.

#[path = "board/flashing.rs"]
mod flashing;
#[path = "board/process.rs"]
mod process;

use std::time::{Duration, Instant};

use flashing::{Bench, Wire, noise, text};
use process::PATIENCE;

#[test]
fn a_whole_session_over_rfc2217() {
    let mut bench = Bench::new(Wire::Rfc2217, &[]);
    let bytes = text(100_000);
    let file = bench.file("data", &bytes);
    let said = bench.good(&["--baud", "460800", "write-flash", "0x1000", &file]);
    assert!(said.contains("Stub flasher running"), "{said}");
    assert!(said.contains("Hash of data verified"), "{said}");
    assert_eq!(bench.flashed(0x1000, bytes.len()), bytes);
    bench.good(&["verify-flash", "0x1000", &file]);
    let said = bench.good(&["flash-id"]);
    assert!(said.contains("Detected flash size: 4MB"), "{said}");
    // Three sessions: into the loader and out of it.
    bench.board.times("reset: EN pin; boot from: serial loader (GPIO0 low)", 3);
    bench.board.times("reset: EN pin; boot from: flash", 3);
}

/// Kills esptool half-way through, then flashes again.
fn aborted(options: &[&str]) {
    let bench = Bench::new(Wire::Rfc2217, &[]);
    let bytes = noise(0x20000, 11);
    let file = bench.file("data", &bytes);
    let mut running = bench.command(&[options, &["0", &file]].concat()).spawn().unwrap();
    let start = Instant::now();
    // Some of it has been written, not all.
    while flashing::erased(&bench.flashed(0, bytes.len())) {
        assert!(start.elapsed() < PATIENCE * 2);
        assert!(running.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    running.kill().unwrap();
    running.wait().unwrap();
    assert_ne!(bench.flashed(0, bytes.len()), bytes);
    bench.good(&["write-flash", "0", &file]);
    assert_eq!(bench.flashed(0, bytes.len()), bytes);
}

#[test]
fn aborted_half_way_and_flashed_again() {
    aborted(&["write-flash", "-u"]);
}

#[test]
fn aborted_half_way_without_a_stub_and_flashed_again() {
    aborted(&["--no-stub", "write-flash"]);
}

#[test]
fn a_full_flash_of_4_mib() {
    let bench = Bench::new(Wire::Pty, &[]);
    let bytes = [noise(3 << 20, 17), text(1 << 20)].concat();
    let file = bench.file("data", &bytes);
    let said = bench.good(&["--baud", "921600", "write-flash", "0", &file]);
    assert!(said.contains("Hash of data verified"), "{said}");
    assert_eq!(bench.flashed(0, bytes.len()), bytes);
}

#[test]
fn a_full_flash_of_4_mib_without_a_stub() {
    let bench = Bench::new(Wire::Pty, &[]);
    let bytes = noise(4 << 20, 19);
    let file = bench.file("data", &bytes);
    bench.good(&["--no-stub", "--baud", "921600", "write-flash", "0", &file]);
    assert_eq!(bench.flashed(0, bytes.len()), bytes);
}

/// The serial loader of a ROM that a person dumped, which `BOOT_ROM` names: commands, and blocks of
/// data with the stub and without (`make rom-compare`).
#[test]
#[ignore = "needs a dump of a chip's boot ROM"]
fn a_dumped_roms_loader_is_flashed() {
    let rom = std::env::var("BOOT_ROM").expect("BOOT_ROM: a dump of a chip's boot ROM");
    let bench = Bench::new(Wire::Pty, &["--rom", &rom]);
    let bytes = noise(0x5432, 21);
    let file = bench.file("data", &bytes);
    bench.good(&["--no-stub", "write-flash", "0x5000", &file]);
    assert_eq!(bench.flashed(0x5000, bytes.len()), bytes);
    let said = bench.good(&["write-flash", "0x20000", &file]);
    assert!(said.contains("Stub flasher running"), "{said}");
    assert!(said.contains("Hash of data verified"), "{said}");
    assert_eq!(bench.flashed(0x20000, bytes.len()), bytes);
}
