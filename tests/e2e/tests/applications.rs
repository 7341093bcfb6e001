//! The examples, and applications outside of this project, on a virtual board with parts at its
//! pins and a real broker. `make app-test` builds what this needs and runs it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use board::image::{IDENTITY_OFFSET, Image};
use board::virtual_board::{VirtualBoard, VirtualOptions};
use board_facts::Board;
use e2e::{Stage, Watcher};
use process::files::{self, SECRET};
use serde_json::{Value, json};
use tempfile::TempDir;
use virtual_nodemcu::board::control::Remote;

/// For what happens in some seconds of the board's time, on a machine that is busy.
const LONG: Duration = Duration::from_secs(240);

fn built(path: &str) -> PathBuf {
    e2e::built(path, "make app-test")
}

/// A board with an application and parts.
struct Set {
    stage: Stage,
    watcher: Watcher,
    board: VirtualBoard,
    control: Remote,
    folder: TempDir,
}

impl Set {
    /// An example on its board, or an application of one's own on a NodeMCU.
    fn new(application: &str, options: &[&str]) -> Self {
        let image = built(&format!("apps/{application}/image"));
        let example = root().join("examples").join(application);
        let board = Board::read(&example).or_else(|_| Board::named("nodemcu")).unwrap();
        Self::with(&board, application, &image, options)
    }

    fn with(board: &Board, program: &str, image: &Path, options: &[&str]) -> Self {
        let stage = Stage::new();
        let watcher = stage.watch();
        let folder = process::scratch::folder().unwrap();
        let image = Image::in_folder(image);
        let mut flash = vec![0xFF; usize::from(board.flash_mib) << 20];
        let region = (IDENTITY_OFFSET, stage.region());
        for (at, bytes) in image.contents().unwrap().into_iter().chain([region]) {
            flash[at as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        let file = folder.path().join("flash.bin");
        files::write(&file, &flash, SECRET).unwrap();
        let socket = folder.path().join("control");
        let mut started = VirtualOptions::new(
            board,
            &built("debug/virtual-nodemcu"),
            &file,
            &built(&format!("xtensa-esp8266-none-elf/release/{program}")),
        );
        started.further.extend(["--control".into(), socket.clone().into()]);
        started.further.extend(options.iter().map(Into::into));
        let mut board = VirtualBoard::start(&started).unwrap();
        board.restart().unwrap();
        let control = connect(&socket);
        Self { stage, watcher, board, control, folder }
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

    /// Waits until the NodeMCU's light is lit or dark.
    #[track_caller]
    fn light(&self, mark: usize, word: &str) {
        self.light_of(mark, "blue (GPIO2)", word);
    }

    #[track_caller]
    fn light_of(&self, mark: usize, light: &str, word: &str) {
        let wanted = format!("[board] LED {light} {word}");
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
    // By the verbs of the second terminal.
    let state = set.folder.path();
    let mut announced = set.stage.cloud.running().announce(state).unwrap();
    announced.board_runs().unwrap();
    for verb in ["on", "off"] {
        let mark = set.board.console.mark();
        let mut thing = Command::new(built("debug/thing"));
        let done = thing.args([verb, "--application", "--state"]).arg(state).output().unwrap();
        assert!(done.status.success(), "{done:?}");
        set.light(mark, verb);
    }
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

/// On a board with one slot, in 1 MiB of flash.
#[test]
fn wishes_in_json_and_nonsense() {
    let mut set = Set::new("json", &[]);
    set.shows("none is taken: this firmware is for one slot");
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

/// The project's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Whether it succeeded, and what it said.
fn output(command: &mut Command) -> (bool, String) {
    // Of the make that runs this test nothing is meant for another one.
    for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MADE"] {
        command.env_remove(variable);
    }
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (status.success(), text.concat())
}

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let (success, text) = output(command);
    assert!(success, "{command:?}\n{text}");
    text
}

/// Where the diffs of an application of one's own stand, and those of a new board.
const YOUR_OWN: &str = "docs/your-own.md";
const CONTRIBUTING: &str = "CONTRIBUTING.md";

/// The diff of a page below a heading.
fn diff_of(page: &str, heading: &str) -> String {
    let page = fs::read_to_string(root().join(page)).unwrap();
    let (_, below) = page.split_once(&format!("# {heading}\n")).expect(heading);
    let section = below.split("\n#").next().unwrap();
    let (_, diff) = section.split_once("```diff\n").expect("a diff");
    diff.split_once("```\n").expect("its end").0.to_owned()
}

/// Applies it, to the letter.
#[track_caller]
fn apply(folder: &Path, diff: &str) {
    patch(folder, diff, &[]);
}

#[track_caller]
fn patch(folder: &Path, diff: &str, options: &[&str]) {
    let mut patch = Command::new("patch");
    patch.args(["-p1", "--fuzz=0", "--no-backup-if-mismatch"]).args(options).current_dir(folder);
    let mut child = patch.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(diff.as_bytes()).unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    assert!(status.success(), "{}\n{diff}", String::from_utf8_lossy(&stdout));
}

#[test]
fn a_new_application_with_a_sensors_crate_publishes_and_sleeps() {
    let folder = e2e::target().join("apps/made/my-lamp");
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let new = format!("APP={}", folder.display());
    succeeds(Command::new("make").args(["new", &new]).current_dir(root()));
    let (success, text) = output(Command::new("make").args(["new", &new]).current_dir(root()));
    assert!(!success && text.contains("is there already"), "{text}");

    // Another version of the framework is told of, and taken when one says so.
    let verb = |verb: &str| {
        let mut command = Command::new("make");
        command.args([verb, "RADIO=0"]).current_dir(&folder);
        command
    };
    let makefile = fs::read_to_string(folder.join("Makefile")).unwrap();
    if makefile.contains("REVISION = \n") {
        eprintln!("left out: without git there is no version to hold an application to");
    } else {
        let other = format!("REVISION = {}", "0".repeat(40));
        let line = makefile.lines().find(|line| line.starts_with("REVISION = ")).unwrap();
        fs::write(folder.join("Makefile"), makefile.replace(line, &other)).unwrap();
        let (success, text) = output(&mut verb("image"));
        assert!(!success && text.contains("'make pin'"), "{text}");
        succeeds(&mut verb("pin"));
        assert_eq!(fs::read_to_string(folder.join("Makefile")).unwrap(), makefile);
    }

    apply(&folder, &diff_of(YOUR_OWN, "A crate"));
    apply(&folder, &diff_of(YOUR_OWN, "A sensor"));
    let main = folder.join("src/main.rs");
    let text = fs::read_to_string(&main).unwrap();
    assert!(text.contains("from_secs(600)"));
    fs::write(&main, text.replace("from_secs(600)", "from_secs(3)")).unwrap();
    succeeds(&mut verb("image"));

    // Its devices' key is its own, where its config.toml and `make run` look for it.
    let key = folder.join("certs/signing/signing.pub");
    let (success, text) = output(&mut verb("signing-key"));
    assert!(success && key.exists() && text.contains(key.to_str().unwrap()), "{text}");

    let part = "bme280:D2+D1,name=room,temperature=21.5";
    let mut set = Set::new("my-lamp", &["--wake-wire", "--part", part]);
    assert_eq!(set.message(), json!({"celsius": 21.5}));
    set.ask(json!({"do": "part", "part": "room", "temperature": -4.0}));
    set.shows("reset: deep-sleep");
    // One that was measured before the change may have been on its way.
    while set.message() != json!({"celsius": -4.0}) {}
    set.is_whole();
}

/// A copy of the tree, in which a newcomer adds what the papers show.
struct Tree {
    folder: PathBuf,
    cargo: String,
}

impl Tree {
    fn new() -> Self {
        let folder = e2e::target().join("your-own");
        if folder.exists() {
            fs::remove_dir_all(&folder).unwrap();
        }
        fs::create_dir_all(&folder).unwrap();
        // With the times of the files: what is not touched is not built again.
        let copy = "git ls-files -z | xargs -0 cp -dp --parents -t \"$0\"";
        succeeds(Command::new("sh").args(["-c", copy]).arg(&folder).current_dir(root()));
        if root().join("vendor/crates").exists() {
            std::os::unix::fs::symlink(root().join("vendor/crates"), folder.join("vendor/crates"))
                .unwrap();
        }
        Self { folder, cargo: std::env::var("CARGO").expect("cargo runs this") }
    }

    /// `make new-board`.
    fn new_board(&self, name: &str, gpio: &str) -> Command {
        let mut command = Command::new(self.folder.join("tools/new-board"));
        command.args([name, gpio, "low", &self.cargo]).current_dir(&self.folder);
        command.env("CARGO_TARGET_DIR", e2e::target());
        command
    }

    /// From the root: the configuration for the chip is not the host's.
    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args(arguments).current_dir("/").env("RUSTC_BOOTSTRAP", "1");
        command.arg("--manifest-path").arg(self.folder.join("Cargo.toml"));
        command.arg("--target-dir").arg(e2e::target());
        command
    }

    fn cargo_for_the_chip(&self, arguments: &[&str]) -> Command {
        let mut command = self.cargo(arguments);
        command.env("CARGO_UNSTABLE_BUILD_STD", "core,alloc");
        command.arg("--config").arg(self.folder.join(".cargo/config.toml"));
        command
    }
}

#[test]
fn the_papers_walks_through_the_tree_work() {
    let tree = Tree::new();
    a_board_with_a_dht_sensor(&tree);
    let (made, said) = output(&mut tree.new_board("lamp", "16"));
    assert!(!made && said.contains("board.toml of lamp: GPIO16 cannot carry a light"), "{said}");
    assert!(!tree.folder.join("bsp/lamp").exists());
    succeeds(&mut tree.new_board("lamp", "5"));
    for heading in ["A board", "A command of the aws_iot application", "A field of its status"] {
        apply(&tree.folder, &diff_of(YOUR_OWN, heading));
    }
    let main = tree.folder.join("bsp/lamp/src/main.rs");
    let pins = fs::read_to_string(&main).unwrap() + "chip::pins!();\n";
    fs::write(&main, pins).unwrap();
    succeeds(&mut tree.cargo(&["test", "--quiet", "-p", "app-model"]));
    succeeds(&mut tree.cargo_for_the_chip(&[
        "check",
        "--quiet",
        "--release",
        "-p",
        "firmware-lamp",
    ]));
}

/// CONTRIBUTING's walk; what of it is the application's is taken back.
fn a_board_with_a_dht_sensor(tree: &Tree) {
    succeeds(&mut tree.new_board("dht", "5"));
    let field = diff_of(CONTRIBUTING, "3. A field in the status");
    apply(&tree.folder, &diff_of(CONTRIBUTING, "2. The sensor"));
    apply(&tree.folder, &field);
    // What make would do there, without the host programs once more.
    let verb = ["--dry-run", "RADIO=0", "smoke", "BOARD=dht"];
    let said = succeeds(Command::new("make").args(verb).current_dir(&tree.folder));
    for step in ["-p firmware-dht", "thing image --elf", "thing smoke --board dht"] {
        assert!(said.contains(step), "{step}\n{said}");
    }
    succeeds(&mut tree.cargo_for_the_chip(&[
        "build",
        "--quiet",
        "--release",
        "-p",
        "firmware-dht",
    ]));
    let release = e2e::target().join("xtensa-esp8266-none-elf/release");
    let (elf, facts) = (release.join("firmware-dht"), tree.folder.join("bsp/dht"));
    let image = tree.folder.join("image");
    let mut thing = Command::new(built("debug/thing"));
    thing.arg("image").arg("--elf").arg(elf).arg("--boot").arg(release.join("boot-stage"));
    succeeds(thing.arg("--board").arg(&facts).arg("--folder").arg(&image).current_dir(root()));

    let part = "dht22:GPIO4,name=dht,humidity=61.5";
    let board = Board::read(&facts).unwrap();
    let mut set = Set::with(&board, "firmware-dht", &image, &["--part", part]);
    set.shows("subscribed to");
    for word in ["on", "off"] {
        let mark = set.board.console.mark();
        set.watcher.send(word.as_bytes());
        set.light_of(mark, "led (GPIO5)", word);
    }
    while set.message()["humidity"] != json!(61.5) {}
    set.ask(json!({"do": "part", "part": "dht", "humidity": 7.5}));
    while set.message()["humidity"] != json!(7.5) {}
    set.ask(json!({"do": "part", "part": "dht", "damaged": true}));
    set.shows("no reading of the DHT22");
    set.is_whole();
    patch(&tree.folder, &field, &["--reverse"]);
}
