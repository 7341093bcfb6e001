//! Stock esptool against the virtual board: what takes seconds. The rest is in
//! `esptool_long.rs`.

#[path = "board/flashing.rs"]
mod flashing;
#[path = "board/process.rs"]
mod process;

use flashing::{Bench, Wire, erased, noise, text};

#[test]
fn dtr_and_rts_reset_into_the_loader_and_out_of_it() {
    let mut bench = Bench::new(Wire::Rfc2217, &["--mac", "18:fe:34:0a:0b:0c"]);
    let said = bench.good(&["--no-stub", "read-mac"]);
    assert!(said.contains("18:fe:34:0a:0b:0c"), "{said}");
    bench.board.line("reset: EN pin; boot from: serial loader (GPIO0 low)");
    bench.board.line("reset: EN pin; boot from: flash");
}

#[test]
fn two_boards_at_once_tell_who_they_are() {
    let first = Bench::new(Wire::Pty, &["--mac", "5c:cf:7f:00:00:01"]);
    let second = Bench::new(Wire::Pty, &["--mac", "18:fe:34:00:00:02", "--flash-size", "1"]);
    let running = second.command(&["flash-id"]).spawn().unwrap();
    let said = first.good(&["--no-stub", "flash-id"]);
    assert!(said.contains("5c:cf:7f:00:00:01") && said.contains("4MB"), "{said}");
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("18:fe:34:00:00:02") && said.contains("1MB"), "{said}");
}

#[test]
fn the_stub_writes_verifies_reads_and_erases() {
    let bench = Bench::new(Wire::Pty, &[]);
    // Compressed to a tenth, so that the stub's inflating counts.
    let (long, short) = (text(100_000), noise(0x9001, 7));
    let (long_file, short_file) = (bench.file("long", &long), bench.file("short", &short));
    let said = bench.good(&["write-flash", "0x1000", &long_file]);
    assert!(said.contains("Stub flasher running"), "{said}");
    assert!(said.contains("Hash of data verified"), "{said}");
    assert_eq!(bench.flashed(0x1000, long.len()), long);
    assert!(erased(&bench.flashed(0, 0x1000)));
    bench.good(&["write-flash", "-u", "0x20000", &short_file]);
    assert_eq!(bench.flashed(0x20000, short.len()), short);
    bench.good(&["verify-flash", "0x20000", &short_file]);
    let copy = bench.path("copy");
    bench.good(&["read-flash", "0x20000", "0x9001", copy.to_str().unwrap()]);
    assert_eq!(std::fs::read(copy).unwrap(), short);
    bench.good(&["erase-flash"]);
    assert!(erased(&bench.flashed(0, 4 << 20)));
    let (success, said) = bench.run(&["verify-flash", "0x20000", &short_file]);
    assert!(!success, "an erased flash is not what was written: {said}");
    // The last, because nothing resets the stub back to the first baud rate.
    bench.good(&["--baud", "460800", "write-flash", "0x20000", &short_file]);
    assert_eq!(bench.flashed(0x20000, short.len()), short);
}

#[test]
fn the_rom_writes_without_a_stub() {
    let bench = Bench::new(Wire::Pty, &[]);
    let bytes = noise(0x2345, 9);
    let file = bench.file("data", &bytes);
    bench.good(&["--no-stub", "write-flash", "0x5000", &file]);
    assert_eq!(bench.flashed(0x5000, bytes.len()), bytes);
    assert!(erased(&bench.flashed(0, 0x5000)));
}

#[test]
fn power_cut_while_writing_and_flashed_again() {
    let folder = tempfile::tempdir().unwrap();
    // Not blank, so that it has to be erased first: the power goes while it is programmed.
    std::fs::write(folder.path().join("flash.bin"), vec![0; 4 << 20]).unwrap();
    let mut bench = Bench::with(folder, Wire::Pty, &["--power-cut-after", "45000"]);
    let bytes = noise(0x8000, 13);
    let file = bench.file("data", &bytes);
    let (success, said) = bench.run(&["write-flash", "0", &file]);
    assert!(!success, "{said}");
    assert_eq!(bench.board.end().code(), Some(3));
    assert_ne!(bench.flashed(0, bytes.len()), bytes, "torn");
    let bench = bench.again(&[]);
    bench.good(&["write-flash", "0", &file]);
    assert_eq!(bench.flashed(0, bytes.len()), bytes);
}
