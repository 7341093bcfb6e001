//! Stock esptool against the virtual board, over its RFC 2217 port.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "board/esptool.rs"]
mod esptool;

/// A board that runs in its own process, switched off when dropped.
struct Board {
    child: Child,
    port: String,
}

impl Board {
    fn new(flash: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_virtual-nodemcu"))
            .arg("--flash")
            .arg(flash)
            .args(["--net", "none"])
            .args(options)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut console = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        console.read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("[board] serial port: ").unwrap().to_owned();
        // The rest is read too, so that the board never waits for a full pipe.
        std::thread::spawn(move || {
            let mut rest = Vec::new();
            let _ = console.read_to_end(&mut rest);
        });
        Self { child, port }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(esptool::program());
        command.args(["--chip", "esp8266", "--port", &self.port]).args(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.command(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    }

    /// Runs esptool, which has to succeed; its output.
    fn good(&self, arguments: &[&str]) -> String {
        let (success, text) = self.run(arguments);
        assert!(success, "{arguments:?}: {text}");
        text
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn flash(&self) -> PathBuf {
        self.folder.path().join("flash.bin")
    }

    /// A file of bytes that repeat after 64 KiB at the earliest, so that they compress a little.
    fn file(&self, name: &str, size: usize, seed: u32) -> (String, Vec<u8>) {
        let mut state = seed | 1;
        let bytes: Vec<u8> = (0..size)
            .map(|i| {
                if i % 0x1_0000 == 0 {
                    state = seed | 1;
                }
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let path = self.folder.path().join(name);
        std::fs::write(&path, &bytes).unwrap();
        (path.to_str().unwrap().to_owned(), bytes)
    }

    fn flashed(&self, offset: usize, size: usize) -> Vec<u8> {
        std::fs::read(self.flash()).unwrap()[offset..offset + size].to_vec()
    }
}

#[test]
fn two_boards_at_once_tell_who_they_are() {
    let (one, two) = (Bench::new(), Bench::new());
    let first = Board::new(&one.flash(), &["--mac", "5c:cf:7f:00:00:01"]);
    let second = Board::new(&two.flash(), &["--mac", "18:fe:34:00:00:02", "--flash-size", "1"]);
    let running = second.command(&["flash-id"]).spawn().unwrap();
    let text = first.good(&["--no-stub", "flash-id"]);
    assert!(text.contains("5c:cf:7f:00:00:01") && text.contains("4MB"), "{text}");
    let output = running.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("18:fe:34:00:00:02") && text.contains("1MB"), "{text}");
    assert!(second.good(&["read-mac"]).contains("18:fe:34:00:00:02"));
}

#[test]
fn stub_writes_verifies_reads_and_erases() {
    let bench = Bench::new();
    let (path, bytes) = bench.file("data.bin", 0x9001, 7);
    let board = Board::new(&bench.flash(), &[]);
    let text = board.good(&["write-flash", "0x1000", &path]);
    assert!(
        text.contains("Stub flasher running") && text.contains("Hash of data verified"),
        "{text}"
    );
    assert_eq!(bench.flashed(0x1000, bytes.len()), bytes);
    board.good(&["write-flash", "-u", "0x20000", &path]);
    assert_eq!(bench.flashed(0x20000, bytes.len()), bytes);
    board.good(&["--baud", "460800", "verify-flash", "0x20000", &path]);
    let copy = bench.folder.path().join("copy.bin");
    board.good(&["read-flash", "0x20000", "0x9001", copy.to_str().unwrap()]);
    assert_eq!(std::fs::read(copy).unwrap(), bytes);
    board.good(&["erase-flash"]);
    assert!(bench.flashed(0, 4 << 20).iter().all(|byte| *byte == 0xFF));
    let (success, text) = board.run(&["verify-flash", "0x20000", &path]);
    assert!(!success, "an erased flash is not what was written: {text}");
}

#[test]
fn the_rom_writes_without_a_stub() {
    let bench = Bench::new();
    let (path, bytes) = bench.file("data.bin", 0x2345, 9);
    let board = Board::new(&bench.flash(), &[]);
    board.good(&["--no-stub", "write-flash", "0x5000", &path]);
    assert_eq!(bench.flashed(0x5000, bytes.len()), bytes);
    assert!(bench.flashed(0, 0x5000).iter().all(|byte| *byte == 0xFF));
}

#[test]
fn aborted_half_way_and_flashed_again() {
    let bench = Bench::new();
    let (path, bytes) = bench.file("data.bin", 0x20000, 11);
    let board = Board::new(&bench.flash(), &[]);
    for options in
        [&["write-flash", "-u", "0", &path][..], &["--no-stub", "write-flash", "0", &path]]
    {
        std::fs::metadata(bench.flash()).unwrap();
        let before = bench.flashed(0, bytes.len());
        let mut running = board.command(options).spawn().unwrap();
        let start = Instant::now();
        // Some of it has been written, not all.
        while bench.flashed(0, bytes.len()) == before {
            assert!(start.elapsed() < Duration::from_secs(60));
            assert!(running.try_wait().unwrap().is_none());
            std::thread::sleep(Duration::from_millis(20));
        }
        running.kill().unwrap();
        running.wait().unwrap();
        assert_ne!(bench.flashed(0, bytes.len()), bytes);
    }
    board.good(&["write-flash", "0", &path]);
    assert_eq!(bench.flashed(0, bytes.len()), bytes);
}

#[test]
fn power_cut_while_writing_and_flashed_again() {
    let bench = Bench::new();
    let (path, bytes) = bench.file("data.bin", 0x8000, 13);
    // Not blank, so that it has to be erased first: the power goes while it is programmed.
    std::fs::write(bench.flash(), vec![0; 4 << 20]).unwrap();
    let mut board = Board::new(&bench.flash(), &["--power-cut-after", "45000"]);
    let (success, text) = board.run(&["write-flash", "0", &path]);
    assert!(!success, "{text}");
    assert_eq!(board.child.wait().unwrap().code(), Some(3));
    assert_ne!(bench.flashed(0, bytes.len()), bytes, "torn");
    let board = Board::new(&bench.flash(), &[]);
    board.good(&["write-flash", "0", &path]);
    assert_eq!(bench.flashed(0, bytes.len()), bytes);
}

#[test]
fn a_full_flash_of_4_mib() {
    let bench = Bench::new();
    let (path, bytes) = bench.file("data.bin", 4 << 20, 17);
    let board = Board::new(&bench.flash(), &[]);
    let text = board.good(&["--baud", "921600", "write-flash", "0", &path]);
    assert!(text.contains("Hash of data verified"), "{text}");
    assert_eq!(bench.flashed(0, bytes.len()), bytes);
}
