//! The examples, and applications outside of this project, on a virtual board with parts at its
//! pins and a real broker. `make app-test` builds what this needs and runs it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use board::image::{FLASH_SIZE, IDENTITY_OFFSET, Image};
use board::virtual_board::{VirtualBoard, VirtualOptions};
use board_facts::Board;
use e2e::{Stage, Watcher};
use process::files::{self, SECRET};
use serde_json::{Value, json};
use tempfile::TempDir;
use virtual_nodemcu::board::control::Remote;

/// For what happens in some seconds of the board's time, on a machine that is busy.
const LONG: Duration = Duration::from_secs(240);

/// Where everything was built. This program is in `target/debug/deps`.
fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    program.ancestors().nth(3).unwrap().to_owned()
}

fn built(path: &str) -> PathBuf {
    let path = target().join(path);
    assert!(path.exists(), "{} is missing: `make app-test` builds it", path.display());
    path
}

/// A board with an application and parts.
struct Set {
    _stage: Stage,
    watcher: Watcher,
    board: VirtualBoard,
    control: Remote,
    _folder: TempDir,
}

impl Set {
    fn new(application: &str, options: &[&str]) -> Self {
        let stage = Stage::new();
        let watcher = stage.watch();
        let folder = process::scratch::folder().unwrap();
        let image = Image::in_folder(&built(&format!("apps/{application}/image")));
        let mut flash = vec![0xFF; FLASH_SIZE as usize];
        let region = (IDENTITY_OFFSET, stage.region());
        for (at, bytes) in image.contents().unwrap().into_iter().chain([region]) {
            flash[at as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        let file = folder.path().join("flash.bin");
        files::write(&file, &flash, SECRET).unwrap();
        let socket = folder.path().join("control");
        let mut started = VirtualOptions::new(
            &Board::named("nodemcu").unwrap(),
            &built("debug/virtual-nodemcu"),
            &file,
            &built(&format!("xtensa-esp8266-none-elf/release/{application}")),
        );
        started.further.extend(["--control".into(), socket.clone().into()]);
        started.further.extend(options.iter().map(Into::into));
        let mut board = VirtualBoard::start(&started).unwrap();
        board.restart().unwrap();
        let control = connect(&socket);
        Self { _stage: stage, watcher, board, control, _folder: folder }
    }

    /// Waits for a line with this in it.
    #[track_caller]
    fn shows(&self, wanted: &str) {
        if let Err(error) =
            self.board.console.wait_for(0, LONG, wanted, |line| line.contains(wanted))
        {
            panic!("{error:#}\n{}", self.board.console.tail(60));
        }
    }

    /// The next message of the status topic.
    #[track_caller]
    fn message(&mut self) -> Value {
        let payload = self.watcher.payload(LONG);
        serde_json::from_slice(&payload).unwrap_or_else(|_| {
            panic!("not JSON: {}\n{}", payload.escape_ascii(), self.board.console.tail(60))
        })
    }

    #[track_caller]
    fn ask(&mut self, request: Value) -> Value {
        self.control.ask(request).unwrap()
    }

    /// Waits for so many milliseconds of the board's time.
    #[track_caller]
    fn passes(&mut self, milliseconds: u64) {
        let mut now = || self.control.ask(json!({"do": "status"})).unwrap()["time_ns"].as_u64();
        let end = now().expect("a time") + milliseconds * 1_000_000;
        let start = Instant::now();
        while now().expect("a time") < end {
            assert!(start.elapsed() < LONG, "time stands");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until a light of the board is lit or dark.
    #[track_caller]
    fn light(&self, mark: usize, word: &str) {
        let wanted = format!("[board] LED blue (GPIO2) {word}");
        if let Err(error) = self.board.console.wait_for(mark, LONG, &wanted, |line| line == wanted)
        {
            panic!("{error:#}\n{}", self.board.console.tail(60));
        }
    }

    /// No crash, and no reset that was not meant.
    #[track_caller]
    fn is_whole(&self) {
        let text = self.board.console.tail(5000);
        for sign in ["*** CRASH", "[board] fault", "[board] reset: watchdog"] {
            assert!(!text.contains(sign), "{text}");
        }
    }
}

/// The board says its port before it has its control socket.
fn connect(socket: &Path) -> Remote {
    let start = Instant::now();
    loop {
        match Remote::connect(socket) {
            Ok(remote) => return remote,
            Err(error) => assert!(start.elapsed() < LONG, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn close(value: &Value, wanted: f64) {
    let value = value.as_f64().expect("a number");
    assert!((value - wanted).abs() < 0.1, "{value} instead of {wanted}");
}

#[test]
fn hello_obeys_and_reports() {
    let mut set = Set::new("hello", &[]);
    let report = set.message();
    assert_eq!((&report["online"], &report["app"]), (&json!(true), &json!("hello")));
    set.shows("subscribed to");
    let mark = set.board.console.mark();
    set.watcher.send(b"on");
    set.light(mark, "on");
    let mark = set.board.console.mark();
    set.watcher.send(b"off");
    set.light(mark, "off");
    set.watcher.send(b"perhaps");
    set.shows("ignored: it is neither on nor off");
    set.is_whole();
}

#[test]
fn each_press_of_the_button_is_one_message() {
    let mut set = Set::new("button", &["--part", "button:D3,name=key,bounce_ms=5"]);
    // The first before there is a connection: it is kept.
    set.shows("client id");
    for count in 1..=3 {
        set.ask(json!({"do": "part", "part": "key", "pressed": true}));
        assert_eq!(set.message(), json!({"presses": count}));
        set.ask(json!({"do": "part", "part": "key", "pressed": false}));
        set.passes(300);
    }
    set.is_whole();
}

#[test]
fn the_sensors_readings_are_published() {
    let part = "bme280:D2+D1,name=room,temperature=-3.5,pressure=98765,humidity=61";
    let mut set = Set::new("sensor", &["--part", part]);
    let air = set.message();
    close(&air["celsius"], -3.5);
    close(&air["hectopascal"], 987.65);
    assert!((air["humidity"].as_f64().unwrap() - 61.0).abs() < 0.5, "{air}");
    set.is_whole();
}

#[test]
fn a_sensor_that_is_not_there_is_told_of() {
    let set = Set::new("sensor", &[]);
    set.shows("no reading: ");
    set.is_whole();
}

#[test]
fn wishes_in_json_and_nonsense() {
    let mut set = Set::new("json", &[]);
    assert_eq!(set.message(), json!({"lit": true, "period_ms": 1000}));
    set.shows("subscribed to");
    set.watcher.send(br#"{"period_ms": 250}"#);
    assert_eq!(set.message(), json!({"lit": true, "period_ms": 250}));
    let mark = set.board.console.mark();
    set.light(mark, "on");
    set.light(mark, "off");
    for (nonsense, reason) in [
        (&br#"{"period_ms": 1}"#[..], "period_ms is 20 to 60000"),
        (br#"{"brightness": 3}"#, "ignored: "),
        (br#"{"lit": "#, "ignored: "),
        (&[b' '; 65], "ignored: "),
    ] {
        let mark = set.board.console.mark();
        set.watcher.send(nonsense);
        let found = set.board.console.wait_for(mark, LONG, reason, |line| line.contains(reason));
        assert!(found.is_ok(), "{reason}\n{}", set.board.console.tail(60));
    }
    set.watcher.send(br#"{"lit": false}"#);
    assert_eq!(set.message(), json!({"lit": false, "period_ms": 250}));
    set.is_whole();
}

#[test]
fn the_display_shows_what_comes() {
    let mut set = Set::new("display", &["--part", "ssd1306:D2+D1,name=screen"]);
    set.shows("subscribed to");
    set.watcher.send(b"HH i");
    assert_eq!(set.watcher.payload(LONG), b"HH i");
    let state = set.ask(json!({"do": "part", "part": "screen"}));
    assert_eq!(state["on"], true, "{state}");
    let rows: Vec<&str> =
        state["screen"].as_array().unwrap().iter().map(|row| row.as_str().unwrap()).collect();
    let cell = |column: usize| -> Vec<&str> {
        rows[..8].iter().map(|row| &row[column * 8..][..8]).collect()
    };
    let lit = |cell: &[&str]| cell.iter().any(|row| row.contains('#'));
    assert!(lit(&cell(0)) && cell(0) == cell(1), "{rows:#?}");
    assert!(!lit(&cell(2)), "{rows:#?}");
    assert!(lit(&cell(3)) && cell(3) != cell(0), "{rows:#?}");
    assert!(!lit(&rows[8..]) && !rows[..8].iter().any(|row| row[32..].contains('#')), "{rows:#?}");
    // Letters and no colour: another text takes its place.
    set.watcher.send(b"");
    set.watcher.send(&[0xFF]);
    set.shows("a display takes up to 128 characters of ASCII");
    set.is_whole();
}
