//! The image that `make image` makes, on virtual boards: flashed by `thing` with stock esptool
//! through a serial port, as a person does it, watched by `thing monitor`, and what goes wrong
//! with either. `make flash-test` builds what this needs and runs it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use board::boards;
use board::console::Console;
use board::esptool::Esptool;
use board::image::{self, FIRMWARE_OFFSET, FLASH_SIZE, IDENTITY_OFFSET, Image};
use board::status::{Led, Report};
use board::virtual_board::{VirtualBoard, VirtualOptions};
use board_facts::Board;
use e2e::{SOON, Server, Stage, Watcher, cable};
use identity::Stored;
use process::files::{self, SECRET};
use process::programs::Owned;
use serde_json::Value;
use tempfile::TempDir;

/// The board that these tests play.
fn nodemcu() -> Board {
    Board::named("nodemcu").unwrap()
}

/// For what esptool does in seconds on an idle machine.
const FLASHING: Duration = Duration::from_secs(240);

fn built(path: &str) -> PathBuf {
    e2e::built(path, "make flash-test")
}

fn elf() -> PathBuf {
    built("xtensa-esp8266-none-elf/release/firmware-nodemcu")
}

fn files() -> Image {
    Image::in_folder(&built("image/nodemcu"))
}

fn esptool() -> Esptool {
    Esptool::set_up(&built("esptool")).unwrap()
}

/// A running `thing`, and what it says.
struct Thing {
    process: Owned,
    console: Console,
}

impl Thing {
    fn start(verb: &str, port: &str, arguments: &[&str]) -> Self {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut command = Command::new(built("debug/thing"));
        command.arg(verb).args(["--port", port]).args(arguments);
        command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
        if verb != "monitor" {
            command.arg("--esptool").arg(built("esptool"));
        }
        let process = Owned::spawn(&mut command).unwrap();
        // The command keeps its ends of the pipe, which would never end.
        drop(command);
        Self { process, console: Console::attach(reader, Path::new(""), false).unwrap() }
    }

    /// Waits for a line with this in it.
    #[track_caller]
    fn says(&self, wanted: &str) {
        let found = self.console.wait_for(0, FLASHING, wanted, |line| line.contains(wanted));
        if let Err(error) = found {
            panic!("{error:#}\n{}", self.console.tail(60));
        }
    }

    /// Whether it succeeded, and all that it said.
    #[track_caller]
    fn finish(mut self) -> (bool, String) {
        let status = self.process.wait(FLASHING).unwrap().expect("an end");
        (status.success(), self.console.finish().join("\n"))
    }
}

#[track_caller]
fn succeeds(verb: &str, port: &str, arguments: &[&str]) -> String {
    let (success, text) = Thing::start(verb, port, arguments).finish();
    assert!(success, "{text}");
    text
}

#[track_caller]
fn fails(verb: &str, port: &str, arguments: &[&str]) -> String {
    let (success, text) = Thing::start(verb, port, arguments).finish();
    assert!(!success, "{text}");
    text
}

/// A folder with what one board needs.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(process::scratch::folder().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn flash(&self) -> Vec<u8> {
        std::fs::read(self.path("flash.bin")).unwrap()
    }

    /// Writes image and identity into the flash by hand; `change` is made to it.
    fn prepare(&self, region: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
        let mut flash = vec![0xFF; FLASH_SIZE as usize];
        let region = (IDENTITY_OFFSET, region.to_vec());
        for (at, bytes) in files().contents().unwrap().into_iter().chain([region]) {
            flash[at as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        change(&mut flash);
        files::write(&self.path("flash.bin"), &flash, SECRET).unwrap();
    }

    fn board(&self, further: &[&str]) -> VirtualBoard {
        let mut options = VirtualOptions::new(
            &nodemcu(),
            &built("debug/virtual-nodemcu"),
            &self.path("flash.bin"),
            &elf(),
        );
        options.further = further.iter().map(Into::into).collect();
        VirtualBoard::start(&options).unwrap()
    }
}

#[track_caller]
fn shows(board: &VirtualBoard, wanted: &str) -> usize {
    match board.console.wait_for(0, SOON, wanted, |line| line.contains(wanted)) {
        Ok((_, mark)) => mark,
        Err(error) => panic!("{error:#}\n{}", board.console.tail(60)),
    }
}

fn json(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).unwrap()
}

/// Replaces what switches the light on by these instructions: it is the one thing that a test
/// can ask the firmware to do.
fn hurt_light(flash: &mut [u8], instructions: &[u8]) {
    replace(flash, "chip_gpio_write", instructions);
}

/// Replaces the beginning of a function of slot A's firmware.
fn replace(flash: &mut [u8], function: &str, instructions: &[u8]) {
    let address = image::address_of(&elf(), function).unwrap();
    let at = (address - slots::WINDOW) as usize;
    flash[at..][..instructions.len()].copy_from_slice(instructions);
    image::seal(&mut flash[FIRMWARE_OFFSET as usize..]).unwrap();
}

/// `level` false, which lights it: an illegal instruction.
const CRASHES: &[u8] = &[
    0x30, 0x30, 0x74, // extui a3, a3, 0, 8
    0x56, 0x23, 0x00, // bnez a3, 1f
    0x00, 0x00, 0x00, // ill
    0x80, 0x00, 0x00, // 1: ret
];

/// The same with an endless loop that no interrupt ends.
const HANGS: &[u8] = &[
    0x30, 0x30, 0x74, // extui a3, a3, 0, 8
    0x56, 0x53, 0x00, // bnez a3, 1f
    0x30, 0x6F, 0x00, // rsil a3, 15
    0x06, 0xFF, 0xFF, // 2: j 2b
    0x80, 0x00, 0x00, // 1: ret
];

/// Boots a firmware that cannot light its light, asks for light, and checks that the next boot
/// tells of that in one status and no other. Returns the board and what was told.
#[track_caller]
fn told_once(instructions: &[u8], reset: &str) -> (VirtualBoard, String) {
    let (stage, bench) = (Stage::new(), Bench::new());
    bench.prepare(&stage.region(), |flash| hurt_light(flash, instructions));
    let mut watcher: Watcher = stage.watch();
    let mut board = bench.board(&[]);
    board.restart().unwrap();
    let first = watcher.status("first status", |_| true);
    assert_ne!(first.reset, reset);
    // At QoS 0: a message that the device did not acknowledge would come again after the crash.
    watcher.throw(b"on");
    let told = loop {
        let status = json(&watcher.payload(SOON));
        if let Some(crash) = status["crash"].as_str() {
            assert_eq!(status["reset"], reset, "{status}");
            break crash.to_owned();
        }
    };
    watcher.send(b"off");
    let next = loop {
        let status = json(&watcher.payload(SOON));
        // A last will comes from the first life.
        if status["online"] == true {
            break status;
        }
    };
    assert_eq!(next["reset"], reset, "it must not have been reset again: {next}");
    assert!(next["crash"].is_null(), "told again: {next}");
    (board, told)
}

#[test]
fn a_crash_is_told_once_by_the_next_boot() {
    let (board, told) = told_once(CRASHES, "exception");
    assert!(told.contains("IllegalInstruction") && told.contains("task led"), "{told}");
    // The report on the console has functions and lines.
    shows(&board, "Backtrace:");
    let lines = board.console.lines();
    let named =
        |name: &str| lines.iter().any(|line| line.starts_with("    0x") && line.contains(name));
    assert!(named("chip_gpio_write"), "{}", lines.join("\n"));
}

#[test]
fn the_watchdog_tells_which_task_hung() {
    let (board, told) = told_once(HANGS, "watchdog");
    assert!(told.contains("task led"), "{told}");
    shows(&board, "[board] reset: watchdog");
}

/// What may pass by itself is tried again, then the device is reset, and tells why.
#[test]
fn a_random_source_that_fails_at_start_is_told() {
    let (stage, bench) = (Stage::new(), Bench::new());
    bench.prepare(&stage.region(), |_| ());
    let mut watcher = stage.watch();
    let mut board = bench.board(&["--random", "fails-once"]);
    board.restart().unwrap();
    shows(&board, "the random source repeats itself");
    shows(&board, "*** gave up at start: tls: the random source failed");
    shows(&board, "reset: gave-up");
    watcher.told_once("gave-up", "gave up at start: tls: the random source failed");
}

/// The power fails at several places of writing an identity over another one: each time the
/// board has one of the two, whole.
#[test]
fn a_power_cut_leaves_one_identity() {
    let stage = Stage::new();
    let old = stage.region();
    // The next sequence number, as `make identity` gives it to what replaces another.
    let first = Stored::read(&old).unwrap();
    let last = first.sequence + 1;
    let new = first.identity.encode_copy(last).unwrap().repeat(2);
    let outcomes = std::thread::scope(|scope| {
        // While copy 0 is erased, while it is written, while copy 1 is erased, while it is written:
        // each counts 8192 bytes.
        let cuts = [700, 8_600, 17_500, 25_000];
        let runs = cuts.map(|cut| {
            let (old, new) = (&old, &new);
            scope.spawn(move || {
                let bench = Bench::new();
                bench.prepare(old, |_| ());
                let file = bench.path("identity.bin");
                files::write(&file, new, SECRET).unwrap();
                let cut = cut.to_string();
                let board = bench.board(&["--net", "none", "--power-cut-after", &cut]);
                let arguments = ["--identity", file.to_str().unwrap()];
                let text = fails("flash-identity", &board.port.port, &arguments);
                assert!(text.contains("HALF WRITTEN: one of its two copies"), "{cut}: {text}");
                let flash = bench.flash();
                let region = &flash[IDENTITY_OFFSET as usize..][..identity::REGION_SIZE];
                assert!(region != &old[..] && region != &new[..], "the cut at {cut} hit nothing");
                Stored::read(region).unwrap_or_else(|e| panic!("cut at {cut}: {e}")).sequence
            })
        });
        runs.map(|run| run.join().unwrap())
    });
    assert_eq!(outcomes, [first.sequence, first.sequence, last, last]);
}

/// The last known time lies in flash, behind the identity, which is not touched.
#[test]
fn the_time_is_kept_over_a_power_cut() {
    const KEPT: &str = "kept from before the reset";
    // Two sectors behind the identity region of 16 KB.
    let log = IDENTITY_OFFSET as usize + 0x4000;
    let end = log + 0x2000;
    let (stage, bench) = (Stage::new(), Bench::new());
    bench.prepare(&stage.region(), |_| ());
    let mut watcher = stage.watch();
    let mut board = bench.board(&[]);
    board.restart().unwrap();
    watcher.status("status", |_| true);
    // It is kept in the link task's turn before the status is published.
    assert_eq!(board.console.lines().iter().filter(|line| line.contains(KEPT)).count(), 0);
    board.process.kill();
    let flash = bench.flash();
    assert_ne!(flash[log..][..8], [0xFF; 8], "nothing was kept");
    assert!(flash[log + 8..end].iter().all(|byte| *byte == 0xFF), "more than one record");
    assert_eq!(flash[IDENTITY_OFFSET as usize..log], stage.region(), "the identity was changed");
    stage.cloud.sntp.silence(true);
    let mut board = bench.board(&[]);
    board.restart().unwrap();
    shows(&board, "it is later than 20");
    shows(&board, KEPT);
}

/// What the client says in the clear while it sets a TLS 1.2 connection up.
#[derive(Debug)]
struct Handshake {
    /// Of the ClientHello, without the four bytes of time.
    random: Vec<u8>,
    /// The point of its key exchange.
    exchange: Vec<u8>,
    /// Number r of the ECDSA signature over the handshake: the nonce's trace.
    nonce: Vec<u8>,
}

impl Handshake {
    /// Of the bytes that the client sent (RFC 5246, 6.2.1 and 7.4), once it is complete.
    fn read(sent: &[u8]) -> Option<Self> {
        let (mut records, mut messages) = (sent, Vec::new());
        loop {
            let (header, rest) = records.split_at_checked(5)?;
            let (body, rest) =
                rest.split_at_checked(usize::from(u16::from_be_bytes([header[3], header[4]])))?;
            match header[0] {
                // ChangeCipherSpec: what follows is encrypted.
                20 => break,
                _ => messages.extend_from_slice(body),
            }
            records = rest;
        }
        let (mut random, mut exchange, mut nonce) = (None, None, None);
        let mut messages = &messages[..];
        while let Some((header, rest)) = messages.split_at_checked(4) {
            let length = u32::from_be_bytes([0, header[1], header[2], header[3]]) as usize;
            let (body, rest) = rest.split_at_checked(length)?;
            match header[0] {
                1 => random = body.get(6..34),
                16 => exchange = body.get(1..),
                // Algorithm, length, SEQUENCE of two INTEGERs (RFC 8422, 5.8).
                15 => nonce = body.get(8..8 + usize::from(*body.get(7)?)),
                _ => {}
            }
            messages = rest;
        }
        Some(Self {
            random: random?.to_vec(),
            exchange: exchange?.to_vec(),
            nonce: nonce?.to_vec(),
        })
    }
}

/// Passes connections on to a broker and hands over what the client says in each.
fn eavesdrop(broker: u16, heard: Sender<Handshake>) -> Server {
    let heard = Mutex::new(heard);
    Server::start(move |mut client| {
        let mut server = TcpStream::connect(("127.0.0.1", broker))?;
        let (mut from, mut to) = (server.try_clone()?, client.try_clone()?);
        std::thread::spawn(move || {
            // Ends with the connection.
            let _ = std::io::copy(&mut from, &mut to);
        });
        let (mut sent, mut complete) = (Vec::new(), false);
        let mut buffer = [0; 4096];
        loop {
            let count = client.read(&mut buffer)?;
            if count == 0 {
                return Ok(server.shutdown(std::net::Shutdown::Both)?);
            }
            server.write_all(&buffer[..count])?;
            sent.extend_from_slice(&buffer[..count]);
            if !complete && let Some(handshake) = Handshake::read(&sent) {
                complete = true;
                // Whoever does not listen any more has heard enough.
                let _ = heard.lock().unwrap().send(handshake);
            }
        }
    })
}

/// A signature whose nonce comes twice gives the private key away, and so would a key exchange
/// give the session's.
#[test]
fn a_random_source_that_repeats_itself_gives_no_key_away() {
    let (mut stage, bench) = (Stage::new(), Bench::new());
    let (heard, handshakes) = channel();
    let ear = eavesdrop(stage.cloud.broker.device_port(), heard);
    stage.identity.endpoints.port = ear.port();
    bench.prepare(&stage.region(), |_| ());
    let mut seen = Vec::new();
    let bad = ["--random", "repeats", "--seed", "7"];
    let mut board = bench.board(&bad);
    for then in ["the reset pin", "power off and on", "nothing"] {
        let Ok(handshake) = handshakes.recv_timeout(2 * SOON) else {
            panic!("no handshake before {then}:\n{}", board.console.tail(60));
        };
        seen.push(handshake);
        match then {
            "the reset pin" => board.restart().unwrap(),
            "power off and on" => {
                drop(board);
                board = bench.board(&bad);
            }
            _ => {}
        }
    }
    for (index, one) in seen.iter().enumerate() {
        for other in &seen[..index] {
            assert_ne!(one.random, other.random, "{seen:?}");
            assert_ne!(one.exchange, other.exchange, "{seen:?}");
            assert_ne!(one.nonce, other.nonce, "{seen:?}");
        }
    }
}

/// `dhcp_start` finds no memory, at every boot.
#[test]
fn a_fault_that_stays_slows_down() {
    const NO_MEMORY: &[u8] = &[
        0x22, 0xAF, 0xFF, // movi a2, -1
        0x80, 0x00, 0x00, // ret
    ];
    let (stage, bench) = (Stage::new(), Bench::new());
    bench.prepare(&stage.region(), |flash| replace(flash, "dhcp_start", NO_MEMORY));
    let mut board = bench.board(&[]);
    board.restart().unwrap();
    let mut from = 0;
    for wanted in [
        "network: out of memory; 1 more attempts",
        "*** gave up at start: network: out of memory",
        "crashed before: gave up at start: network: out of memory",
        "*** gave up at start: network: out of memory",
        "*** gave up at start: network: out of memory",
        "*** 3 crashes in a row: waiting 30 s before the next start",
        "crashed before: gave up at start: network: out of memory",
    ] {
        let found = board.console.wait_for(from, FLASHING, wanted, |line| line.contains(wanted));
        match found {
            Ok((_, mark)) => from = mark,
            Err(error) => panic!("{error:#}\n{}", board.console.tail(60)),
        }
    }
}

#[test]
fn a_damaged_image_is_explained() {
    let bench = Bench::new();
    bench.prepare(&[], |flash| flash[100] ^= 1);
    let elf = elf();
    let elf = ["--elf", elf.to_str().unwrap()];
    let board = bench.board(&["--net", "none"]);
    let monitor = Thing::start("monitor", &board.port.port, &elf);
    monitor.says("rom| csum err");
    monitor.says("rom| => the firmware in flash is missing or damaged");
    drop(monitor);
    // An empty flash, too.
    let empty = Bench::new();
    let board = empty.board(&["--net", "none"]);
    let monitor = Thing::start("monitor", &board.port.port, &elf);
    monitor.says("rom| ets_main.c");
    monitor.says("`make flash` writes it");
    // And the port that goes away under it, before it resets the board once more or after that.
    drop(board);
    let (success, text) = monitor.finish();
    assert!(!success && (text.contains("is gone") || text.contains("cannot reset")), "{text}");
}

/// A board without a sound firmware says so, and is mended by flashing, as one is whose flash is empty.
#[test]
fn no_sound_firmware_is_said_and_flashing_mends_it() {
    let (stage, bench) = (Stage::new(), Bench::new());
    bench.prepare(&stage.region(), |flash| flash[FIRMWARE_OFFSET as usize + 0x1000] ^= 1);
    let elf = elf();
    let mut board = bench.board(&[]);
    let port = board.port.port.clone();
    let monitor = Thing::start("monitor", &port, &["--elf", elf.to_str().unwrap()]);
    monitor.says("rom| boot: nothing sound in slot A");
    monitor.says("rom| boot: nothing sound in slot B");
    monitor.says("rom| boot: no firmware: `make flash` writes it");
    drop(monitor);
    let folder = built("image/nodemcu");
    let none = bench.path("none.bin");
    let folder = ["--folder", folder.to_str().unwrap(), "--baud", "921600", "--identity"];
    let named = ["--thing", "lamp"];
    let text = succeeds("flash", &port, &[&folder[..], &[none.to_str().unwrap()], &named].concat());
    assert!(text.contains("`make identity THING=lamp` makes it"), "{text}");
    board.restart().unwrap();
    shows(&board, "connected to ");
}

/// A board that was flashed before there were slots: what the boot ROM loads at 0, code at 0x10000,
/// the identity where it still is.
#[test]
fn a_board_of_before_the_slots_keeps_its_identity() {
    let (stage, bench) = (Stage::new(), Bench::new());
    bench.prepare(&stage.region(), |flash| {
        flash[..IDENTITY_OFFSET as usize].fill(0xFF);
        for (word, place) in flash[..0x5_0000].chunks_exact_mut(4).enumerate() {
            place.copy_from_slice(&(word as u32).wrapping_mul(0x9E37_79B9).to_le_bytes());
        }
        flash[..8].copy_from_slice(&[0xE9, 2, 2, 0x40, 4, 0, 0x10, 0x40]);
    });
    let mut board = bench.board(&[]);
    let folder = built("image/nodemcu");
    let port = board.port.port.clone();
    succeeds("flash", &port, &["--folder", folder.to_str().unwrap(), "--baud", "921600"]);
    let region = &bench.flash()[IDENTITY_OFFSET as usize..][..identity::REGION_SIZE];
    assert!(region == stage.region(), "the identity was changed");
    board.restart().unwrap();
    shows(&board, "connected to ");
}

/// A board whose other slot was booted boots slot A again once that was flashed.
#[test]
fn flashing_leads_back_to_slot_a() {
    let (stage, bench) = (Stage::new(), Bench::new());
    let image = files().contents().unwrap()[1].1.clone();
    bench.prepare(&stage.region(), |flash| {
        let mut record = slots::Record::trial(4, slots::Slot::B, 0);
        record[slots::mark_good().word as usize] = slots::mark_good().value;
        for (place, word) in flash[slots::RECORDS[1] as usize..].chunks_exact_mut(4).zip(record) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let slot = slots::Slot::B.offset() as usize;
        flash[slot..][..image.len()].copy_from_slice(&image);
        let at = (slots::MIB + IDENTITY_OFFSET) as usize;
        flash[at..][..identity::REGION_SIZE].copy_from_slice(&stage.region());
        // Nothing to fall back to, and no identity there.
        flash[FIRMWARE_OFFSET as usize..][..4].fill(0);
        flash[IDENTITY_OFFSET as usize..][..identity::REGION_SIZE].fill(0xFF);
    });
    let mut board = bench.board(&[]);
    board.restart().unwrap();
    // The firmware in slot B, with the identity that it sees.
    shows(&board, "connected to ");
    // The console holds the port.
    drop(board);
    let mut board = bench.board(&[]);
    let identity = bench.path("identity.bin");
    files::write(&identity, &stage.region(), SECRET).unwrap();
    let folder = built("image/nodemcu");
    let arguments =
        ["--folder", folder.to_str().unwrap(), "--identity", identity.to_str().unwrap()];
    let port = board.port.port.clone();
    succeeds("flash", &port, &[&arguments[..], &["--baud", "921600"]].concat());
    let records = &bench.flash()[slots::RECORDS[0] as usize..][..2 * slots::SECTOR as usize];
    assert!(records.iter().all(|byte| *byte == 0xFF), "the records lead elsewhere");
    board.restart().unwrap();
    shows(&board, "connected to ");
}

/// Flashing from nothing to a running firmware, with what can go wrong on the way.
#[test]
fn a_cut_cable_is_said_and_flashing_again_mends_it() {
    let (stage, bench) = (Stage::new(), Bench::new());
    let identity = bench.path("identity.bin");
    files::write(&identity, &stage.region(), SECRET).unwrap();
    let identity = identity.to_str().unwrap();
    let folder = built("image/nodemcu");
    let firmware = ["--folder", folder.to_str().unwrap(), "--baud", "921600"];
    let everything = [&firmware[..], &["--identity", identity]].concat();
    let files = files();
    let firmware_file = std::fs::read(&files.firmware).unwrap();
    let written = |flash: &[u8]| flash[FIRMWARE_OFFSET as usize..].starts_with(&firmware_file);

    let mut board = bench.board(&["--net", "none"]);
    let flashing = Thing::start("flash", &board.port.port, &everything);
    // Some of the code is there, more of it is not.
    flashing.says("Writing at 0x0002");
    board.process.kill();
    let (success, text) = flashing.finish();
    assert!(!success, "{text}");
    assert!(text.contains("HALF WRITTEN (it stopped in what begins at 0x4000)"), "{text}");
    assert!(text.contains("Run the same command again"), "{text}");
    assert!(!written(&bench.flash()));
    drop(board);

    let mut board = bench.board(&[]);
    let port = board.port.port.clone();
    let text = succeeds("flash", &port, &everything);
    assert!(text.contains("Firmware and identity ("), "{text}");
    assert!(written(&bench.flash()));
    board.restart().unwrap();
    shows(&board, "connected to ");
}

/// esptool as a person gives it, without this project's help.
#[test]
fn esptool_by_hand() {
    let bench = Bench::new();
    bench.prepare(&[], |_| ());
    let board = bench.board(&["--net", "none", "--mac", "5c:cf:7f:00:00:07"]);
    let port = board.port.port.clone();
    let by_hand = |arguments: &[&str]| {
        esptool().output([&["--chip", "esp8266", "--port", &port][..], arguments].concat()).unwrap()
    };
    assert!(by_hand(&["read-mac"]).contains("5c:cf:7f:00:00:07"));
    let text = by_hand(&["flash-id"]);
    assert!(text.contains("Detected flash size: 4MB"), "{text}");
    let firmware = files().firmware;
    let text = by_hand(&["verify-flash", "0x4000", firmware.to_str().unwrap()]);
    assert!(text.contains("erification successful"), "{text}");
}

#[test]
fn erasing_says_what_is_gone() {
    let bench = Bench::new();
    bench.prepare(&[0; 16], |_| ());
    let board = bench.board(&["--net", "none"]);
    let text = succeeds("erase", &board.port.port, &[]);
    assert!(text.contains("Erased: the whole flash, with firmware and identity"), "{text}");
    assert!(bench.flash().iter().all(|byte| *byte == 0xFF));
}

#[test]
fn the_identity_is_written_alone() {
    let (stage, bench) = (Stage::new(), Bench::new());
    bench.prepare(&[], |_| ());
    let before = bench.flash();
    let identity = bench.path("identity.bin");
    let arguments = ["--identity", identity.to_str().unwrap(), "--thing", "lamp"];
    let mut board = bench.board(&[]);
    let port = board.port.port.clone();
    let text = fails("flash-identity", &port, &arguments);
    assert!(text.contains("`make identity THING=lamp` makes it"), "{text}");
    std::fs::write(&identity, [0; 16384]).unwrap();
    let text = fails("flash-identity", &port, &arguments);
    assert!(text.contains("identity.bin: "), "{text}");
    assert!(bench.flash() == before, "a region that is none was written");
    files::write(&identity, &stage.region(), SECRET).unwrap();
    let text = succeeds("flash-identity", &port, &arguments);
    assert!(text.contains("The identity of lamp"), "{text}");
    let flash = bench.flash();
    let at = IDENTITY_OFFSET as usize;
    assert!(flash[..at] == before[..at], "the firmware was touched");
    // One for the firmware in either slot.
    for at in [at, slots::MIB as usize + at] {
        assert!(flash[at..].starts_with(&stage.region()));
    }
    board.restart().unwrap();
    shows(&board, "connected to ");
}

#[test]
fn two_boards_at_once() {
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let benches = [Bench::new(), Bench::new()];
    let mut boards = Vec::new();
    for (bench, mac) in benches.iter().zip(["5c:cf:7f:00:00:01", "5c:cf:7f:00:00:02"]) {
        bench.prepare(&stage.region(), |_| ());
        let mut board = bench.board(&["--mac", mac]);
        board.restart().unwrap();
        boards.push(board);
    }
    for (board, client) in boards.iter().zip(["ESP-5CCF7F000001", "ESP-5CCF7F000002"]) {
        shows(board, &format!("client id {client}"));
        shows(board, "subscribed to ");
    }
    watcher.send(b"on");
    for board in &boards {
        let lit = boards::led_line(&nodemcu(), Led::On);
        let light = |line: &str| line == lit;
        board.console.wait_for(0, SOON, "the light", light).unwrap();
    }
}

/// Answers esptool as the boot loader of a chip does that is no ESP8266: the protocol is the same,
/// the register that tells the chips apart is not.
fn esp32() -> SocketAddr {
    /// What an ESP32 has there.
    const MAGIC: u32 = 0x00F0_1D83;
    const SYNC: u8 = 0x08;
    const READ_REGISTER: u8 = 0x0A;
    fn serve(mut stream: TcpStream) -> std::io::Result<()> {
        let mut request = Vec::new();
        let mut byte = [0];
        loop {
            if stream.read(&mut byte)? == 0 {
                return Ok(());
            }
            if byte[0] != 0xC0 {
                request.push(byte[0]);
                continue;
            }
            // Direction, command, length, checksum.
            let Some(&command) = request.get(1) else {
                continue;
            };
            request.clear();
            let (value, status, times) = match command {
                SYNC => (0, [0, 0], 8),
                READ_REGISTER => (MAGIC, [0, 0], 1),
                // Not known.
                _ => (0, [1, 5], 1),
            };
            let mut answer = vec![0xC0, 1, command, 2, 0];
            answer.extend(value.to_le_bytes());
            answer.extend(status);
            answer.push(0xC0);
            for _ in 0..times {
                stream.write_all(&answer)?;
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever hangs up has heard enough.
            let _ = serve(stream);
        }
    });
    address
}

#[test]
fn another_chip_is_left_alone() {
    let folder = built("image/nodemcu");
    let port = format!("socket://{}", esp32());
    let text = fails("flash", &port, &["--folder", folder.to_str().unwrap()]);
    assert!(text.contains("is not an ESP8266 but says that it is ESP32."), "{text}");
    assert!(text.contains("Nothing was written"), "{text}");
}

#[test]
fn nobody_who_answers_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("socket://{}", listener.local_addr().unwrap());
    // Takes what comes and says nothing: a board that runs its firmware.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    });
    let folder = built("image/nodemcu");
    let text = fails("flash", &port, &["--folder", folder.to_str().unwrap()]);
    assert!(text.contains("No boot loader of an ESP8266 answers"), "{text}");
    assert!(text.contains("Nothing was written"), "{text}");
    let text = fails("flash", "/dev/no-such-port", &["--folder", folder.to_str().unwrap()]);
    assert!(text.contains("/dev/no-such-port does not exist"), "{text}");
    let text = fails("monitor", "", &["--elf", "none"]);
    assert!(text.contains("which port? Say for example ESPPORT=/dev/ttyUSB0"), "{text}");
}

#[test]
fn a_damaged_file_is_not_written() {
    let bench = Bench::new();
    let damaged = Image::in_folder(bench.0.path());
    let good = files();
    let mut boot = std::fs::read(good.boot).unwrap();
    boot[100] ^= 1;
    std::fs::write(&damaged.boot, &boot).unwrap();
    std::fs::copy(good.firmware, &damaged.firmware).unwrap();
    let folder = bench.0.path().to_str().unwrap();
    let text = fails("flash", "/dev/no-such-port", &["--folder", folder]);
    assert!(text.contains("firmware-0x00000.bin is damaged (its checksum is"), "{text}");
}

/// As on QEMU's board, here with the chip's drivers and at its speed: 3,000 frames a second.
/// Statuses come, the LED obeys, the connection lasts, and nothing is left over.
#[test]
fn a_broadcast_storm_costs_neither_status_nor_connection() {
    const STORM: Duration = Duration::from_secs(25);
    const MILLISECOND: Duration = Duration::from_millis(1);
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let mut board = virtual_nodemcu::harness::VirtualBoard::builder().network();
    for (at, bytes) in files().contents().unwrap() {
        board = board.image(at as usize, &bytes);
    }
    let mut board = board.image(IDENTITY_OFFSET as usize, &stage.region()).build().unwrap();
    board.wait_for("published ", FLASHING).unwrap();
    watcher.forget();
    let storm = cable::storm();
    let mut frames = storm.iter().cycle();
    let (begun, mut statuses, mut sent) = (board.time(), Vec::new(), 0);
    while board.time() - begun < STORM {
        for frame in frames.by_ref().take(3) {
            board.machine.board.nic.receive(&frame.0);
            sent += 1;
        }
        board.run(MILLISECOND);
        if sent == 9_000 {
            watcher.send(b"on");
        }
        statuses.extend(watcher.poll().and_then(Report::online));
    }
    board.run(Duration::from_secs(1));
    let said = board.serial();
    println!("{sent} frames, {} statuses", statuses.len());
    assert!(sent > 60_000, "{sent} frames are no storm");
    assert!(statuses.len() >= 2, "{} statuses in {STORM:?}\n{said}", statuses.len());
    assert_eq!(statuses.last().unwrap().led, Led::On, "{said}");
    assert!(board.machine.board.nic.remaining().is_empty(), "frames wait that nobody takes");
    assert_eq!(said.matches("connection lost").count(), 0, "{said}");
    assert_eq!(said.matches("esp8266-aws-iot ").count(), 1, "{said}");
}
