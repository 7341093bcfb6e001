//! The control socket of a board that is a process of its own: pins, parts, buttons, power, serial
//! port, and what it tells by itself.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};
use virtual_nodemcu::board::control::{PROTOCOL, Remote};

#[path = "board/process.rs"]
mod process;
#[path = "board/program.rs"]
mod program;

use process::Process;

struct Bench {
    board: Process,
    remote: Remote,
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control");
        let flash = program::flash(folder.path(), "flash.bin", "echo");
        let mut all = vec!["--net", "none", "--control", socket.to_str().unwrap()];
        all.extend(options);
        let board = Process::new(&flash, &all);
        let remote = connect(&socket);
        Self { board, remote, folder }
    }

    fn ask(&mut self, request: Value) -> Value {
        self.remote.ask(request.clone()).unwrap_or_else(|error| panic!("{request}: {error}"))
    }

    fn refuses(&mut self, request: Value, says: &str) {
        let error = self.remote.ask(request.clone()).unwrap_err();
        assert!(error.contains(says), "{request}: {error}");
    }

    /// Waits for an event.
    fn event(&mut self, what: &str, good: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.remote.event().unwrap_or_else(|error| panic!("{what}: {error}"));
            if good(&event) {
                return event;
            }
        }
    }

    /// Waits until the serial port has said this.
    fn says(&mut self, text: &str) {
        let mut said = String::new();
        while !said.contains(text) {
            let event = self.event(text, |event| event["event"] == "serial");
            said.push_str(event["data"].as_str().unwrap());
        }
    }
}

/// An answer has this in it, by key.
#[track_caller]
fn has(answer: &Value, wanted: Value) {
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(&answer[key], value, "{key}: {answer}");
    }
}

fn connect(socket: &Path) -> Remote {
    let start = std::time::Instant::now();
    let remote = loop {
        match Remote::connect(socket) {
            Ok(remote) => break remote,
            Err(error) => assert!(start.elapsed() < process::PATIENCE, "{error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let mut stream = BufReader::new(UnixStream::connect(socket).unwrap());
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let greeting: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(greeting["hello"], "virtual-nodemcu");
    assert_eq!(greeting["protocol"], PROTOCOL);
    assert_eq!(greeting["version"], env!("CARGO_PKG_VERSION"));
    remote
}

#[test]
fn pins_are_read_held_pulled_and_watched() {
    let mut bench = Bench::new(&[]);
    bench.ask(json!({ "do": "listen", "serial": true, "pins": ["D1", 2] }));
    let pin = bench.ask(json!({ "do": "pin", "pin": "D1" }));
    has(&pin, json!({ "pin": 5, "by": "pull", "high": true }));
    let pin = bench.ask(json!({ "do": "pin", "pin": 5, "level": "low" }));
    has(&pin, json!({ "held": "low", "by": "outside", "high": false }));
    let first = bench.event("D1 falls", |event| event["event"] == "level" && event["pin"] == 5);
    assert_eq!(first["high"], false);
    bench.ask(json!({ "do": "pin", "pin": "GPIO5", "level": "open", "pull": "down" }));
    let pin = bench.ask(json!({ "do": "pin", "pin": "D1", "pull": "up" }));
    has(&pin, json!({ "held": "open", "high": true }));
    let second = bench.event("D1 rises", |event| event["event"] == "level" && event["pin"] == 5);
    assert_eq!(second["high"], true);
    assert!(second["time_ns"].as_u64() > first["time_ns"].as_u64());
    // What the program does to a pin: an event of the output and, watched, of the level.
    bench.ask(json!({ "do": "serial", "text": "on\r" }));
    bench.event("the output", |event| event["event"] == "pin" && event["high"] == false);
    bench.event("the lamp", |event| {
        event["event"] == "console"
            && event["text"].as_str().is_some_and(|text| text.contains("LED blue (GPIO2) on"))
    });
    let status = bench.ask(json!({ "do": "status" }));
    assert_eq!(status["leds"], json!([{ "name": "blue", "pin": 2, "lit": true }]));
    let pins = bench.ask(json!({ "do": "pins" }));
    has(&pins["pins"][2], json!({ "by": "chip", "output": true, "name": "D4" }));
    assert_eq!(pins["pins"][15]["pull"], "down");
    bench.ask(json!({ "do": "pin", "pin": "D0", "level": "low" }));
    let pins = bench.ask(json!({ "do": "pins" }));
    has(&pins["pins"][16], json!({ "name": "D0", "high": false, "by": "outside" }));
    let half = json!({ "do": "pin", "pin": 5, "level": "half" });
    bench.refuses(half, "level: one of low, high, open");
    bench.refuses(json!({ "do": "pin", "level": "low" }), "pin: a number");
    bench.refuses(json!({ "do": "pin", "pin": 5, "pull": 3 }), "pull: a text");
    bench.refuses(json!({ "do": "listen", "pins": ["D77"] }), "D77");
    bench.refuses(json!({ "do": "listen", "pins": "D1" }), "pins: a list");
}

#[test]
fn the_serial_port_buttons_power_and_straps() {
    let mut bench = Bench::new(&["--adc", "512"]);
    bench.ask(json!({ "do": "listen", "serial": true }));
    bench.ask(json!({ "do": "reset" }));
    bench.says("echo> ");
    bench.ask(json!({ "do": "serial", "text": "hello" }));
    bench.says("HELLO");
    let recent = bench.ask(json!({ "do": "recent" }));
    assert!(recent["serial"].as_str().unwrap().ends_with("HELLO"), "{recent}");
    assert!(recent["console"][0].as_str().unwrap().starts_with("reset: power on"));
    // Held in reset nothing runs.
    bench.ask(json!({ "do": "button", "name": "RST", "pressed": true }));
    let held = bench.ask(json!({ "do": "status" }));
    assert_eq!(held["held"], true);
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(bench.ask(json!({ "do": "status" }))["cycles"], held["cycles"]);
    // FLASH held while RST is let go: the loader.
    bench.ask(json!({ "do": "button", "name": "FLASH", "pressed": true }));
    bench.ask(json!({ "do": "button", "name": "RST", "pressed": false }));
    assert_eq!(bench.ask(json!({ "do": "status" }))["boot"], 1);
    bench.ask(json!({ "do": "button", "pressed": false }));
    bench.ask(json!({ "do": "power", "on": false }));
    let off = bench.ask(json!({ "do": "status" }));
    has(&off, json!({ "powered": false, "held": true }));
    bench.refuses(json!({ "do": "reset" }), "the power is off");
    bench.ask(json!({ "do": "button", "name": "RST", "pressed": true }));
    bench.ask(json!({ "do": "button", "name": "RST", "pressed": false }));
    assert_eq!(bench.ask(json!({ "do": "status" }))["held"], true, "a button is no power");
    bench.ask(json!({ "do": "power", "on": true }));
    bench.says("echo> ");
    let on = bench.ask(json!({ "do": "status" }));
    has(&on, json!({ "boot": 3, "reset": 1, "held": false, "adc": 512, "flash_size": 4 << 20 }));
    assert_eq!(bench.ask(json!({ "do": "adc", "value": 3 })), json!({ "value": 3 }));
    bench.refuses(json!({ "do": "adc", "value": 1024 }), "from 0 to 1023");
    bench.refuses(json!({ "do": "button", "name": "BOOT" }), "FLASH or RST");
    bench.refuses(json!({ "do": "serial", "text": "\u{20AC}" }), "each character is a byte");
    let map = bench.ask(json!({ "do": "flash" }));
    assert!(map["map"].as_str().unwrap().starts_with("b."), "{map}");
    assert_eq!(map["map"].as_str().unwrap().len(), 1024);
}

#[test]
fn parts_come_change_and_go() {
    let mut bench = Bench::new(&["--part", "dht22:D5,name=room,temperature=19"]);
    let parts = bench.ask(json!({ "do": "parts" }));
    has(&parts[0], json!({ "name": "room", "pins": [14] }));
    let state = bench.ask(json!({ "do": "part", "part": "room", "temperature": -3.5 }));
    assert_eq!(state["temperature"], -3.5);
    let added = bench.ask(json!({ "do": "part.add", "settings": "button:D1,bounce_ms=0" }));
    assert_eq!(added["name"], "button");
    bench.ask(json!({ "do": "part", "part": "button", "pressed": true }));
    let pin = bench.ask(json!({ "do": "pin", "pin": "D1" }));
    has(&pin, json!({ "high": false, "by": "part", "parts": ["button"] }));
    bench.ask(json!({ "do": "part.remove", "part": "button" }));
    assert_eq!(bench.ask(json!({ "do": "pin", "pin": "D1" }))["high"], true, "its wire is gone");
    bench.refuses(json!({ "do": "part.remove", "part": "button" }), "there is no button");
    bench.refuses(json!({ "do": "part.add", "settings": "dht22:D5,name=room" }), "another name");
    bench.refuses(json!({ "do": "part", "part": "room", "temperature": "hot" }), "from -40 to 80");
    for _ in 0..31 {
        bench.ask(json!({ "do": "part.add", "settings": "led:D1" }));
    }
    bench.refuses(json!({ "do": "part.add", "settings": "led:D1" }), "32 parts already");
    assert!(bench.board.child.try_wait().unwrap().is_none());
}

/// As `echo '{"do":"status"}' | socat - UNIX-CONNECT:/tmp/control` does: it ends its side, and reads.
#[test]
fn who_ends_after_a_request_gets_its_answer() {
    let mut bench = Bench::new(&[]);
    let socket = bench.folder.path().join("control");
    let connect = || {
        let stream = UnixStream::connect(&socket).unwrap();
        stream.set_read_timeout(Some(process::PATIENCE)).unwrap();
        stream
    };
    // More than may be connected at a time; the last line need not have an end.
    for end in ["\n", ""].repeat(20) {
        let mut stream = connect();
        write!(stream, "{{\"do\":\"status\"}}\n{{\"do\":\"adc\"}}{end}").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said.matches("\"ok\"").count(), 2, "{said}");
    }
    // Who does not wait for the answer has asked all the same.
    for value in [77, 78, 79] {
        write!(connect(), "{{\"do\":\"adc\",\"value\":{value}}}").unwrap();
        let start = std::time::Instant::now();
        while bench.ask(json!({ "do": "adc" }))["value"] != value {
            assert!(start.elapsed() < process::PATIENCE, "{value} was not heard");
        }
    }
    // Who listens is told what happens until it is gone.
    let mut listeners: Vec<_> = (0..14).map(|_| connect()).collect();
    for stream in &mut listeners {
        writeln!(stream, "{{\"do\":\"listen\"}}").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    }
    let mut lines = BufReader::new(listeners.pop().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("\"ok\"")));
    bench.ask(json!({ "do": "reset" }));
    assert!(lines.by_ref().any(|line| line.unwrap().contains("reset: EN pin")));
    drop((lines, listeners));
    for _ in 0..40 {
        let mut stream = BufReader::new(connect());
        let mut greeting = String::new();
        stream.read_line(&mut greeting).unwrap();
        assert!(greeting.contains("hello"), "its place is taken");
    }
}
