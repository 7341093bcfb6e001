//! Updates over the air: a virtual NodeMCU with the firmware as shipped, and the local cloud's jobs
//! and streams. `make update-test` builds what this needs and runs it.

#[path = "update/application.rs"]
mod application;
#[path = "update/closing.rs"]
mod closing;
#[path = "update/joined.rs"]
mod joined;
#[path = "update/power.rs"]
mod power;
#[path = "update/sleeping.rs"]
mod sleeping;
#[path = "update/weather.rs"]
mod weather;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use board::image::{self, FLASH_SIZE, IDENTITY_OFFSET, Image};
use board::status::Report;
use board::virtual_board::{VirtualBoard, VirtualOptions};
use board_facts::Board;
use certificates::LeafRequest;
use cloud::updates::Requests;
use e2e::{Relay, Stage, THING, Watcher};
use process::files::{self, SECRET};
use releases::{PublicKey, Release, SignedIdentity, Signer, make_key};
use serde_json::{Value, json};
use slots::{SLOT_START, Slot};
use tempfile::TempDir;
use things::device_identity::{DeviceIdentity, Wifi};
use virtual_nodemcu::board::control::Remote;

/// What an update takes at most on a busy machine.
const UPDATE: Duration = Duration::from_secs(300);

fn built(path: &str) -> PathBuf {
    e2e::built(path, "make update-test")
}

fn elf() -> PathBuf {
    built("xtensa-esp8266-none-elf/release/firmware-nodemcu")
}

/// The firmware as shipped, without the radio, as it goes into a slot.
fn shipped() -> Vec<u8> {
    slot_image("image/nodemcu")
}

fn slot_image(folder: &str) -> Vec<u8> {
    part(folder, SLOT_START)
}

/// What an image has at this place of the flash.
fn part(folder: &str, place: u32) -> Vec<u8> {
    let contents = Image::in_folder(&built(folder)).contents().unwrap();
    contents.into_iter().find(|(at, _)| *at == place).unwrap().1
}

/// The same with another version, as if it had been built so.
fn version(image: &[u8], version: [u8; 3]) -> Vec<u8> {
    let mut image = image.to_vec();
    let old = releases::describe(&image).unwrap().version().to_string();
    let [major, minor, patch] = version;
    let new = format!("{major}.{minor}.{patch}");
    reword(&mut image, &old, &new, 1);
    // The descriptor's numbers, behind its first word.
    image[20..26].copy_from_slice(&[major, 0, minor, 0, patch, 0]);
    image::seal(&mut image).unwrap();
    image
}

/// Replaces a text, which stands so many times in the image, by another of its length.
fn reword(image: &mut [u8], old: &str, new: &str, times: usize) {
    assert_eq!(old.len(), new.len());
    let mut found = 0;
    for at in 0..=image.len() - old.len() {
        if image[at..].starts_with(old.as_bytes()) {
            image[at..][..new.len()].copy_from_slice(new.as_bytes());
            found += 1;
        }
    }
    assert_eq!(found, times, "{old} in the image");
}

/// Replaces the beginning of a function.
fn replace(image: &mut [u8], function: &str, instructions: &[u8]) {
    replace_of(&elf(), image, function, instructions);
}

/// The same in an image made of this program.
fn replace_of(elf: &Path, image: &mut [u8], function: &str, instructions: &[u8]) {
    let address = image::address_of(elf, function).unwrap();
    let at = (address - slots::WINDOW - SLOT_START) as usize;
    image[at..][..instructions.len()].copy_from_slice(instructions);
    image::seal(image).unwrap();
}

/// A cloud, a board, and who signs for it.
struct Field {
    stage: Stage,
    requests: Requests,
    watcher: Watcher,
    signer: Signer,
    folder: TempDir,
    board: VirtualBoard,
    jobs: u32,
    /// How the next job and its stream are named.
    names: Names,
}

/// Names of a job and of its stream, each with a number.
#[derive(Clone, Copy)]
enum Names {
    /// As long as those of `make update`.
    Ours,
    /// As long as those that `create-ota-update` makes: a prefix and a UUID.
    Aws,
}

impl Names {
    fn of(self, number: u32) -> (String, String) {
        let uuid = format!("AFR_OTA-3f2504e0-4f89-41d3-9a0c-{number:012x}");
        match self {
            Self::Ours => (format!("job-{number}"), format!("nodemcu-0-2-0-{number:08}")),
            Self::Aws => (uuid.clone(), uuid),
        }
    }
}

impl Field {
    fn new() -> Self {
        Self::with(|_| ())
    }

    /// A field whose stage `change` has had its way with, before the board is given its identity.
    fn with(change: impl FnOnce(&mut Stage)) -> Self {
        Self::of("image/nodemcu", &[], change)
    }

    /// A field with a relay between board and broker.
    fn with_relay() -> (Self, Relay) {
        let mut relay = None;
        let field = Self::with(|stage| relay = Some(stage.relay()));
        (field, relay.expect("a field has a stage"))
    }

    /// A field with the image in this folder, and further options for the board.
    fn of(folder_of_image: &str, further: &[&str], change: impl FnOnce(&mut Stage)) -> Self {
        Self::on(Stage::new(), folder_of_image, further, change)
    }

    /// The same on this stage.
    fn on(
        mut stage: Stage,
        folder_of_image: &str,
        further: &[&str],
        change: impl FnOnce(&mut Stage),
    ) -> Self {
        stage.cloud.serve_updates(&[]).unwrap();
        let folder = process::scratch::folder().unwrap();
        let key = make_key(folder.path()).unwrap();
        let public = PublicKey::read(&folder.path().join("signing.pub")).unwrap();
        stage.identity.update_keys = vec![*public.point()];
        stage.identity.trial_s = *identity::TRIAL_S.start();
        change(&mut stage);
        let mut flash = vec![0xFF; FLASH_SIZE as usize];
        let region = stage.region();
        let identities =
            [Slot::A, Slot::B].map(|slot| (slot.mib() + IDENTITY_OFFSET, region.clone()));
        let files = Image::in_folder(&built(folder_of_image)).contents().unwrap();
        for (at, bytes) in files.into_iter().chain(identities) {
            flash[at as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        files::write(&folder.path().join("flash.bin"), &flash, SECRET).unwrap();
        let watcher = stage.watch();
        let requests = Requests::new(stage.cloud.operator().unwrap()).unwrap();
        let signer = Signer::with_key(&key).unwrap();
        let board = start(&folder, further);
        let (jobs, names) = (0, Names::Ours);
        let mut field = Self { stage, requests, watcher, signer, folder, board, jobs, names };
        field.board.restart().unwrap();
        field
    }

    /// Switches the board off, and on again with further options.
    fn power_cycle(&mut self, further: &[&str]) {
        self.board.process.kill();
        self.board = start(&self.folder, further);
        self.board.restart().unwrap();
    }

    /// Checks that this is the boot of its `first` status: for what it was reset depends on how far the
    /// board had come when its console was opened.
    #[track_caller]
    fn still_runs(&mut self, first: &Value) {
        let status = self.status(|_| true);
        let (slot, reset) = (&status["slot"], &status["reset"]);
        assert_eq!((slot, reset), (&json!("A"), &first["reset"]), "{status}");
        let uptime = |status: &Value| status["uptime_s"].as_u64().unwrap();
        assert!(uptime(&status) > uptime(first), "{first}, then {status}");
    }

    /// Instructions that the board has executed since it was switched on; sleep is none.
    #[track_caller]
    fn instructions(&self) -> u64 {
        let socket = self.folder.path().join("control");
        let mut remote = Remote::connect(&socket).unwrap();
        remote.ask(json!({ "do": "status" })).unwrap()["instructions"].as_u64().unwrap()
    }

    /// Bytes of heap that the last update took beyond what was taken on its connection before, by the
    /// firmware's own low-water marks.
    #[track_caller]
    fn heap_taken(&self) -> u64 {
        let lines = self.board.console.lines();
        let taken = |line: &String| {
            let (_, taken) = line.split_once("update: took ")?;
            taken.split(' ').next()?.parse().ok()
        };
        lines.iter().rev().find_map(taken).expect("the firmware tells it")
    }

    fn flash(&self) -> Vec<u8> {
        std::fs::read(self.folder.path().join("flash.bin")).unwrap()
    }

    #[track_caller]
    fn aws(&mut self, service: &str, operation: &str, arguments: &[(&str, &str)]) -> Value {
        let arguments: BTreeMap<String, String> = arguments
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        self.requests
            .call(service, operation, arguments)
            .unwrap()
            .unwrap_or_else(|refused| panic!("{operation}: {refused:?}"))
    }

    /// A job that brings `served`, with what `change` makes of its document.
    #[track_caller]
    fn order(&mut self, served: &[u8], signature: &str, change: impl FnOnce(&mut Value)) -> String {
        self.jobs += 1;
        let (id, stream) = self.names.of(self.jobs);
        let file = self.folder.path().join(&id);
        files::write(&file, served, SECRET).unwrap();
        let body = file.display().to_string();
        self.aws("s3api", "put-object", &[("bucket", "b"), ("key", &id), ("body", &body)]);
        let listed =
            json!([{ "fileId": 0, "s3Location": { "bucket": "b", "key": id } }]).to_string();
        self.aws("iot", "create-stream", &[("stream-id", &stream), ("files", &listed)]);
        // What `create-ota-update` makes.
        let mut document = json!({ "afr_ota": {
            "protocols": ["MQTT"], "streamname": stream,
            "files": [{
                "filepath": "/", "filesize": served.len(), "fileid": 0,
                "update_data_url": null, "auth_scheme": null,
                "certfile": "Code Verify Key", "fileType": 0, "sig-sha256-ecdsa": signature,
            }],
        } });
        change(&mut document);
        let targets = json!([format!("arn:aws:iot:local:000000000000:thing/{}", THING)]);
        let arguments = [
            ("job-id", &*id),
            ("targets", &targets.to_string()),
            ("document", &document.to_string()),
        ];
        self.aws("iot", "create-job", &arguments);
        id
    }

    /// A job as it should be.
    #[track_caller]
    fn update(&mut self, image: &[u8]) -> String {
        let release = Release::sign(image.to_vec(), &self.signer).unwrap();
        self.order(image, release.signature(), |_| ())
    }

    /// An identity as it should be.
    #[track_caller]
    fn update_identity(&mut self, identity: &DeviceIdentity, sequence: u32) -> String {
        let file = identity.file(sequence).unwrap();
        let signed = SignedIdentity::sign(file, &self.signer).unwrap();
        self.order(signed.file(), signed.signature(), is_identity)
    }

    /// The endpoint's port and the sequence number in each slot's identity.
    fn identities(&self) -> [(u16, u32); 2] {
        let flash = self.flash();
        [Slot::A, Slot::B].map(|slot| {
            let region = &flash[(slot.mib() + IDENTITY_OFFSET) as usize..][..identity::REGION_SIZE];
            let stored = identity::Stored::read(region).expect("each slot has an identity");
            (stored.identity.port, stored.sequence)
        })
    }

    fn execution(&mut self, job: &str) -> Value {
        let arguments = [("job-id", job), ("thing-name", THING)];
        self.aws("iot", "describe-job-execution", &arguments)["execution"].clone()
    }

    /// Waits for the end of a job: its status and the reason.
    #[track_caller]
    fn ended(&mut self, job: &str) -> (String, String) {
        let start = Instant::now();
        loop {
            let execution = self.execution(job);
            let status = execution["status"].as_str().unwrap().to_owned();
            if !["QUEUED", "IN_PROGRESS"].contains(&&*status) {
                let reason = execution["statusDetails"]["detailsMap"]["reason"].as_str();
                return (status, reason.unwrap_or_default().to_owned());
            }
            if start.elapsed() > UPDATE {
                panic!("no end of {execution}:\n{}", self.board.console.tail(80));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits for a status of which this holds.
    #[track_caller]
    fn status(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let status = self.watcher.online();
            if wanted(&status) {
                return status;
            }
            assert!(start.elapsed() < UPDATE, "{status}\n{}", self.board.console.tail(80));
        }
    }
}

/// What the device says of a job's execution: per cent, or a word.
fn state(execution: &Value) -> &str {
    execution["statusDetails"]["detailsMap"]["state"].as_str().unwrap_or_default()
}

/// Says of a job that it brings an identity.
fn is_identity(document: &mut Value) {
    document["afr_ota"]["files"][0]["fileType"] = json!(1);
}

fn start(folder: &TempDir, further: &[&str]) -> VirtualBoard {
    let flash = folder.path().join("flash.bin");
    let board = Board::named("nodemcu").unwrap();
    let mut options = VirtualOptions::new(&board, &built("debug/virtual-nodemcu"), &flash, &elf());
    options.further = further.iter().map(Into::into).collect();
    options.further.extend(["--control".into(), folder.path().join("control").into()]);
    VirtualBoard::start(&options).unwrap()
}

/// Instructions that end a firmware: an illegal one, a loop that no interrupt ends, or a result of -1.
const CRASHES: &[u8] = &[0x00, 0x00, 0x00];
const HANGS: &[u8] = &[
    0x30, 0x6F, 0x00, // rsil a3, 15
    0x06, 0xFF, 0xFF, // 1: j 1b
];
const FAILS: &[u8] = &[
    0x7C, 0xF2, // movi.n a2, -1
    0x0D, 0xF0, // ret.n
];

/// What the job of a firmware ends with that has not connected.
const LATE: &str = "it did not connect in time";

/// Bytes of heap that an update may take beyond what is taken without one.
const MOST_HEAP: u64 = 6 * 1024;
/// What frames take beside that which the radio takes in while such a flash erases a sector.
const WAITING_FRAMES: u64 = 512;
/// What commands that wait behind a block may take besides: the guard holds as much beyond the block
/// (`packets`' CAPACITY less a block).
const WAITING_COMMANDS: u64 = 1024;
/// Bytes on the wire, both ways, for 100 bytes of an image.
const MOST_WIRE: u64 = 108;
/// Instructions for a byte of an image, with decrypting, storing and checking it, and what else the
/// board does meanwhile.
const MOST_INSTRUCTIONS: u64 = 300;

/// By which `make update` keeps it from boards that would have no network.
#[test]
fn a_firmware_without_the_radio_tells_that_of_itself() {
    assert!(!releases::has_radio(&shipped()));
}

/// There and back again, with commands and statuses meanwhile.
#[test]
fn a_new_firmware_comes_over_the_air_and_a_newer_one() {
    let (mut field, relay) = Field::with_relay();
    let first = field.watcher.online();
    assert_eq!((&first["slot"], &first["update"]), (&json!("A"), &Value::Null), "{first}");
    // While the first one comes, commands do as well; the second comes alone, and shows what an update
    // takes.
    for (number, old, new, names, commanded) in
        [([0, 2, 0], "A", "B", Names::Ours, true), ([0, 3, 0], "B", "A", Names::Aws, false)]
    {
        field.names = names;
        let image = version(&shipped(), number);
        let name = format!("0.{}.0", number[1]);
        field.status(|status| status["slot"] == old);
        let (carried, executed) = (relay.carried(), field.instructions());
        let job = field.update(&image);
        // Until the image is there and found good.
        let (mut commands, mut answers) = (0, 0);
        while !["restarting", "100"].contains(&state(&field.execution(&job))) {
            if commanded {
                field.watcher.throw(if answers % 2 == 0 { b"on" } else { b"off" });
                commands += 1;
            }
            while field.watcher.poll().and_then(Report::online).is_some() {
                answers += 1;
            }
        }
        let (fetched, executed) = (relay.carried() - carried, field.instructions() - executed);
        let late = std::cell::Cell::new(0);
        let status = field.status(|status| {
            let new = status["version"] == *name;
            late.set(late.get() + u32::from(!new));
            new
        });
        assert_eq!(status["slot"], new, "{status}");
        let (verdict, reason) = field.ended(&job);
        assert_eq!(verdict, "SUCCEEDED", "{reason}\n{}", field.board.console.tail(80));
        let status = field.status(|status| status["update"] == "good");
        assert_eq!((&status["slot"], &status["version"]), (&json!(new), &json!(name)), "{status}");
        let taken = field.heap_taken();
        println!(
            "{} bytes of image, {fetched} on the wire, {commands} commands and {answers} statuses \
             among them; {taken} bytes of heap, {executed} instructions",
            image.len(),
        );
        let said = answers + u64::from(late.get());
        assert!(said > 0 || !commanded, "the device said nothing while it fetched");
        let most = MOST_HEAP + if commanded { WAITING_COMMANDS } else { 0 };
        assert!(taken <= most, "an update takes {taken} bytes of heap");
        let most = MOST_INSTRUCTIONS * image.len() as u64;
        assert!(executed <= most, "an update takes {executed} instructions");
        // A command takes less than 100 bytes, a status and its acknowledgement less than 400.
        let wire = fetched.saturating_sub(100 * commands + 400 * answers);
        assert!(100 * wire <= MOST_WIRE * image.len() as u64, "{wire} bytes on the wire");
    }
}

#[test]
#[ignore = "`make radio-test`, which builds its image"]
fn an_update_comes_by_radio() {
    by_radio("typical", MOST_HEAP);
}

#[test]
#[ignore = "`make radio-test`, which builds its image"]
fn an_update_comes_by_radio_to_a_flash_as_slow_as_may_be() {
    by_radio("worst", MOST_HEAP + WAITING_FRAMES);
}

/// With Espressif's libraries, by way of an access point, an image, and an identity, for which the whole
/// image goes from one slot to the other.
#[track_caller]
fn by_radio(flash_speed: &str, most_heap: u64) {
    const HOME: &str = "ssid=home,psk=correct horse battery,channel=6,rssi=-50";
    assert!(releases::has_radio(&slot_image("image/nodemcu-wifi")));
    let mut field =
        Field::of("image/nodemcu-wifi", &["--ap", HOME, "--flash-speed", flash_speed], |stage| {
            stage.identity.wifi =
                vec![Wifi::new("home".to_owned(), "correct horse battery".to_owned())];
        });
    let job = field.update(&version(&slot_image("image/nodemcu-wifi"), [0, 2, 0]));
    let (verdict, reason) = field.ended(&job);
    assert_eq!(verdict, "SUCCEEDED", "{reason}\n{}", field.board.console.tail(80));
    let status = field.status(|status| status["update"] == "good");
    assert_eq!((&status["slot"], &status["version"]), (&json!("B"), &json!("0.2.0")), "{status}");
    assert_eq!(status["wifi"]["ssid"], "home", "{status}");
    let taken = field.heap_taken();
    println!("{taken} bytes of heap");
    assert!(taken <= most_heap, "an update takes {taken} bytes of heap");

    let job = field.update_identity(&field.stage.identity.clone(), 2);
    let (verdict, reason) = field.ended(&job);
    assert_eq!(verdict, "SUCCEEDED", "{reason}\n{}", field.board.console.tail(80));
    let text = field.board.console.tail(5000);
    for sign in ["*** CRASH", "[board] reset: watchdog"] {
        assert!(!text.contains(sign), "{text}");
    }
}

/// An example that publishes when its button is pressed, which nobody does.
#[test]
fn an_application_that_publishes_nothing_is_updated() {
    const IMAGE: &str = "apps/button/image";
    let mut field = Field::of(IMAGE, &[], |_| ());
    let job = field.update(&version(&slot_image(IMAGE), [0, 2, 0]));
    let (verdict, reason) = field.ended(&job);
    assert_eq!(verdict, "SUCCEEDED", "{reason}\n{}", field.board.console.tail(80));
}

/// Orders `image`, which must come back: the reason that the job ends with.
#[track_caller]
fn comes_back(image: &[u8]) -> (String, Value) {
    comes_back_in(&mut Field::new(), image)
}

#[track_caller]
fn comes_back_in(field: &mut Field, image: &[u8]) -> (String, Value) {
    field.watcher.online();
    let before = field.flash();
    let job = field.update(image);
    let (verdict, reason) = field.ended(&job);
    assert_eq!(verdict, "FAILED", "{}", field.board.console.tail(80));
    let status = field.status(|status| status["slot"] == "A");
    assert_eq!((&status["update"], &status["version"]), (&json!("failed"), &json!("0.1.0")));
    // Neither the old firmware nor an identity was touched.
    let after = field.flash();
    let mib = slots::MIB as usize;
    for range in [SLOT_START as usize..0xFC000, mib + 0xF8000..mib + 0xFC000] {
        assert!(before[range.clone()] == after[range.clone()], "{range:x?}");
    }
    // And it takes a good one.
    let good = field.update(&version(&shipped(), [0, 3, 0]));
    assert_eq!(field.ended(&good).0, "SUCCEEDED", "{}", field.board.console.tail(80));
    (reason, status)
}

#[test]
fn a_firmware_that_crashes_at_start_comes_back_and_is_told() {
    let mut image = version(&shipped(), [0, 2, 0]);
    replace(&mut image, "board_netif_init", CRASHES);
    let (reason, _) = comes_back(&image);
    assert!(reason.contains("IllegalInstruction") && reason.contains("task link"), "{reason}");
}

#[test]
fn a_firmware_that_hangs_comes_back_and_is_told() {
    let mut image = version(&shipped(), [0, 2, 0]);
    replace(&mut image, "board_netif_init", HANGS);
    let (reason, _) = comes_back(&image);
    assert!(reason.contains("watchdog") && reason.contains("link"), "{reason}");
}

#[test]
fn a_firmware_that_cannot_connect_comes_back_in_time() {
    let mut image = version(&shipped(), [0, 2, 0]);
    replace(&mut image, "fw_p256_shared_secret", FAILS);
    let (reason, _) = comes_back(&image);
    assert_eq!(reason, LATE);
}

/// It does all else, but the next update could never reach it.
#[test]
fn a_firmware_that_the_jobs_service_does_not_answer_comes_back_in_time() {
    let mut image = version(&shipped(), [0, 2, 0]);
    // The question, and the filter for its answers.
    reword(&mut image, "jobs/start-next", "jobs/start-last", 2);
    image::seal(&mut image).unwrap();
    let mut field = Field::new();
    // AWS would end its connections over that, which comes to the same.
    field.stage.forbidden_is_meant = true;
    let (reason, _) = comes_back_in(&mut field, &image);
    assert_eq!(reason, "it connected, and jobs did not answer in time");
}

#[test]
fn a_firmware_that_connects_and_then_crashes_comes_back() {
    let mut image = version(&shipped(), [0, 2, 0]);
    replace(&mut image, "paho_message_taken", CRASHES);
    let (reason, _) = comes_back(&image);
    assert!(reason.contains("IllegalInstruction"), "{reason}");
}

#[test]
fn what_is_not_to_be_taken_is_refused_with_a_reason() {
    let (mut field, relay) = Field::with_relay();
    let first = field.watcher.online();
    let good = version(&shipped(), [0, 2, 0]);
    let sign = |field: &Field, image: &[u8]| {
        Release::sign(image.to_vec(), &field.signer).unwrap().signature().to_owned()
    };
    let signature = sign(&field, &good);
    let other = process::scratch::folder().unwrap();
    let other = Signer::with_key(&make_key(other.path()).unwrap()).unwrap();
    let others = Release::sign(good.clone(), &other).unwrap().signature().to_owned();
    let mut flipped = good.clone();
    flipped[100_000] ^= 0x10;
    let older = version(&shipped(), [0, 0, 9]);
    let mut door = good.clone();
    door[28..32].copy_from_slice(b"door");
    image::seal(&mut door).unwrap();
    let size = |size: usize| {
        move |document: &mut Value| document["afr_ota"]["files"][0]["filesize"] = json!(size)
    };
    let unsigned = "no key that this device trusts has signed it";
    // One that is called off half way is left, and the next one begins at once.
    let carried = relay.carried();
    let left = field.order(&good, &signature, |_| ());
    while relay.carried() - carried < 60_000 {
        std::thread::sleep(Duration::from_millis(1));
    }
    relay.stall(true);
    field.aws("iot", "cancel-job", &[("job-id", &left), ("force", "true")]);
    relay.stall(false);
    assert_eq!(field.ended(&left).0, "CANCELED");
    for (name, status, reason, job) in [
        ("a flipped bit", "REJECTED", unsigned, field.order(&flipped, &signature, |_| ())),
        ("another key", "REJECTED", unsigned, field.order(&good, &others, |_| ())),
        ("cut off", "REJECTED", unsigned, field.order(&good[..200_000], &signature, |_| ())),
        ("cut off and signed", "REJECTED", "the image is not whole", {
            let signature = field.signer.signature(&good[..200_000]).unwrap();
            field.order(&good[..200_000], &signature, |_| ())
        }),
        ("older", "REJECTED", "it is not newer than what the device has", {
            let signature = sign(&field, &older);
            field.order(&older, &signature, |_| ())
        }),
        ("another board's", "REJECTED", "the image is for another board", {
            let signature = sign(&field, &door);
            field.order(&door, &signature, |_| ())
        }),
        ("too large", "REJECTED", "the image does not fit the slot", {
            field.order(&good, &signature, size(999_425))
        }),
        ("no update", "REJECTED", "this device knows no such job, only updates", {
            field.order(&good, &signature, |document| *document = json!({ "reboot": true }))
        }),
        ("unsigned", "REJECTED", "the signature is not one of ECDSA P-256 with SHA-256", {
            field.order(&good, "", |_| ())
        }),
    ] {
        let ended = field.ended(&job);
        assert_eq!(ended, (status.to_owned(), reason.to_owned()), "{name}");
    }
    // What runs is none of them, and no reason to restart.
    let job = field.update(&shipped());
    assert_eq!(field.ended(&job), ("SUCCEEDED".to_owned(), "the device has it already".to_owned()));
    field.still_runs(&first);
}

/// Jobs for other devices of a group: one that is no update, which the device's memory does not hold,
/// and one as large as AWS takes. What was ordered behind them is done.
#[test]
fn jobs_with_large_documents_are_rejected_and_the_next_is_taken() {
    let mut field = Field::new();
    field.watcher.online();
    let image = version(&shipped(), [0, 2, 0]);
    let jobs = [3_000, 32_000].map(|size| {
        field.order(&image, "", |document| *document = json!({ "steps": "x".repeat(size) }))
    });
    let good = field.update(&image);
    for job in jobs {
        let (verdict, reason) = field.ended(&job);
        let wanted = "its document is too large for this device, or cannot be read";
        assert_eq!((&*verdict, &*reason), ("REJECTED", wanted), "{}", field.board.console.tail(80));
    }
    assert_eq!(field.ended(&good).0, "SUCCEEDED", "{}", field.board.console.tail(80));
}

/// Whole as it is, and though nothing else is sound: the boot stage finds no image in it.
#[test]
fn what_was_refused_never_boots() {
    let mut field = Field::new();
    field.watcher.online();
    let other = process::scratch::folder().unwrap();
    let other = Signer::with_key(&make_key(other.path()).unwrap()).unwrap();
    let image = version(&shipped(), [0, 2, 0]);
    let signature = Release::sign(image.clone(), &other).unwrap().signature().to_owned();
    let job = field.order(&image, &signature, |_| ());
    let (_, reason) = field.ended(&job);
    assert_eq!(reason, "no key that this device trusts has signed it");
    field.board.process.kill();
    let mut flash = field.flash();
    let planted = &flash[Slot::B.offset() as usize..][..image.len()];
    assert!(planted[4..] == image[4..] && planted[..4] == [0xFF; 4], "all but its first word");
    flash[Slot::A.offset() as usize + 100_000] ^= 1;
    files::write(&field.folder.path().join("flash.bin"), &flash, SECRET).unwrap();
    field.power_cycle(&[]);
    // The stage looks again and again; its words come at another speed than the console's.
    let again = "reset: asked for by the program";
    let start = Instant::now();
    while field.board.console.tail(80).matches(again).count() < 2 {
        assert!(start.elapsed() < UPDATE, "{}", field.board.console.tail(80));
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = field.board.console.tail(80);
    assert!(!said.contains("update: slot"), "{said}");
}

#[test]
fn without_a_key_no_update_is_taken() {
    let mut field = Field::with(|stage| stage.identity.update_keys.clear());
    field.watcher.online();
    let job = field.update(&version(&shipped(), [0, 2, 0]));
    for _ in 0..2 {
        field.watcher.online();
    }
    assert_eq!(field.execution(&job)["status"], "QUEUED");
}

/// A thing that is updated, whose application hears this topic below its own `$aws/things/…`.
fn hearing(path: &str) -> Field {
    let topic = format!("$aws/things/{THING}/{path}");
    let stage = Stage::with(|_, broker| {
        broker.grants[0].receive.push(topic.clone());
        Ok(())
    });
    let mut field = Field::on(stage, "image/nodemcu", &[], |stage| {
        stage.cloud.topics.control = topic.clone();
        stage.identity.topics.control = topic.clone();
    });
    field.watcher.online();
    field
}

#[test]
fn an_application_hears_its_shadow_beside_updates() {
    let mut field = hearing("shadow/update/delta");
    field.watcher.send(b"on");
    field.status(|status| status["led"] == "on");
    let job = field.order(&[0], "", |document| *document = json!({ "reboot": true }));
    assert_eq!(field.ended(&job).0, "REJECTED", "{}", field.board.console.tail(80));
}

/// What is for updates is heard by both.
#[test]
fn an_application_hears_of_jobs_beside_updates() {
    let mut field = hearing("jobs/notify-next");
    let job = field.order(&[0], "", |document| *document = json!({ "reboot": true }));
    assert_eq!(field.ended(&job).0, "REJECTED", "{}", field.board.console.tail(80));
    let wanted = "jobs/notify-next: ignored: ";
    let found = field.board.console.wait_for(0, UPDATE, wanted, |line| line.contains(wanted));
    assert!(found.is_ok(), "{}", field.board.console.tail(80));
}

/// Another endpoint comes by a job, is used, and stays with the firmware that comes next.
#[test]
fn a_new_identity_comes_over_the_air_and_a_firmware_after_it() {
    let mut field = Field::new();
    field.watcher.online();
    let relay = field.stage.relay();
    let identity = field.stage.identity.clone();
    let job = field.update_identity(&identity, 2);
    let (verdict, reason) = field.ended(&job);
    assert_eq!(verdict, "SUCCEEDED", "{reason}\n{}", field.board.console.tail(80));
    let status = field.status(|status| status["update"] == "good");
    assert_eq!((&status["slot"], &status["version"]), (&json!("B"), &json!("0.1.0")), "{status}");
    assert!(relay.carried() > 0, "the new endpoint is not used");
    assert_eq!(field.identities(), [(relay.port(), 2); 2]);

    let before = relay.carried();
    let job = field.update(&version(&shipped(), [0, 2, 0]));
    let (verdict, reason) = field.ended(&job);
    assert_eq!(verdict, "SUCCEEDED", "{reason}\n{}", field.board.console.tail(80));
    let status = field.status(|status| status["version"] == "0.2.0");
    assert_eq!(status["slot"], "A", "{status}");
    assert!(relay.carried() - before > shipped().len() as u64, "the old endpoint came back");
    assert_eq!(field.identities(), [(relay.port(), 2); 2]);
}

/// One whose key is not its certificate's: the firmware sees it, and does not wait for its time to be up.
#[test]
fn an_identity_that_cannot_connect_comes_back_and_is_told() {
    let mut field = Field::new();
    field.watcher.online();
    let mut identity = field.stage.identity.clone();
    let stranger = field.stage.cloud.pki.clients.issue(&LeafRequest::client("stranger")).unwrap();
    identity.credential.key = stranger.key;
    let before = field.identities();
    let job = field.update_identity(&identity, 2);
    let (verdict, reason) = field.ended(&job);
    let wanted = ("FAILED", "it could not use its identity");
    assert_eq!((&*verdict, &*reason), wanted, "{}", field.board.console.tail(80));
    let status = field.status(|status| status["slot"] == "A");
    assert_eq!((&status["update"], &status["version"]), (&json!("failed"), &json!("0.1.0")));
    // The other slot has what works again, and the next identity is taken.
    assert_eq!(field.identities(), before);
    let job = field.update_identity(&field.stage.identity.clone(), 3);
    assert_eq!(field.ended(&job).0, "SUCCEEDED", "{}", field.board.console.tail(80));
}

/// Nothing but the flash's sector of progress and the end of the other slot is touched.
#[test]
fn an_identity_that_is_not_to_be_taken_is_refused_with_a_reason() {
    let mut field = Field::new();
    let first = field.watcher.online();
    let before = field.identities();
    let good = field.stage.identity.clone();
    let other = DeviceIdentity { thing: "door".to_owned(), ..good.clone() };
    let keyless = DeviceIdentity { update_keys: Vec::new(), ..good.clone() };
    let unsigned = "no key that this device trusts has signed it";
    let cases = [
        ("another thing's", other.file(2), "the identity is another thing's"),
        (
            "without a key",
            keyless.file(2),
            "the identity has no key for updates: none could follow",
        ),
        ("old", good.file(0), "it is not newer than what the device has"),
        ("unsigned", good.file(2), unsigned),
    ];
    for (name, file, reason) in cases {
        let file = file.unwrap();
        let signed = if name == "unsigned" { b"something else".to_vec() } else { file.clone() };
        let signature = field.signer.signature(&signed).unwrap();
        let job = field.order(&file, &signature, is_identity);
        assert_eq!(field.ended(&job), ("REJECTED".to_owned(), reason.to_owned()), "{name}");
    }
    // What is in use is none of them.
    let job = field.update_identity(&good, 1);
    assert_eq!(field.ended(&job), ("SUCCEEDED".to_owned(), "the device has it already".to_owned()));
    let large = vec![0; identity::COPY_SIZE + 1];
    let signature = field.signer.signature(&large).unwrap();
    let job = field.order(&large, &signature, is_identity);
    let wanted = ("REJECTED".to_owned(), "the identity is larger than its place".to_owned());
    assert_eq!(field.ended(&job), wanted);
    field.still_runs(&first);
    assert_eq!(field.identities(), before);
}

/// While the image that runs is carried into the other slot. What happens at each byte of flash is
/// tested without a board.
#[test]
fn the_power_fails_while_an_identity_comes() {
    let mut field = Field::new();
    field.watcher.online();
    let cut = shipped().len().to_string();
    field.power_cycle(&["--power-cut-after", &cut]);
    field.watcher.online();
    let job = field.update_identity(&field.stage.identity.clone(), 2);
    let status = field.board.process.wait(UPDATE).unwrap().expect("the power is cut");
    assert_eq!(status.code(), Some(3), "{}", field.board.console.tail(40));
    assert_eq!(field.identities()[0].1, 1);
    field.power_cycle(&[]);
    let (verdict, reason) = field.ended(&job);
    assert_eq!(verdict, "SUCCEEDED", "{reason}\n{}", field.board.console.tail(80));
    let status = field.status(|status| status["update"] == "good");
    assert_eq!(status["slot"], "B", "{status}");
    assert_eq!(field.identities().map(|(_, sequence)| sequence), [2, 2]);
}

/// To and fro, so often, and each time one on the way that is refused once it is there: the heap of
/// the second half is that of the first.
#[test]
#[ignore = "hours: `make update-soak`"]
fn a_hundred_updates_leave_the_heap_level() {
    let count = std::env::var("ROUNDS").map_or(100, |count| count.parse().unwrap());
    // The image that was there at the beginning: this takes long. It runs: the other one comes first.
    let images = [2, 1].map(|minor| version(&shipped(), [0, minor, 0]));
    let mut field = Field::new();
    field.watcher.online();
    let (mut free, mut least) = (Vec::new(), Vec::new());
    for round in 0..count {
        let image = &images[round % 2];
        let release = Release::sign(image.clone(), &field.signer).unwrap();
        let downgrade = |document: &mut Value| {
            document["afr_ota"]["files"][0]["allow_downgrade"] = json!(true);
        };
        let unfit = field.order(&image[..16_384], release.signature(), downgrade);
        assert_eq!(field.ended(&unfit).0, "REJECTED", "round {round}");
        let job = field.order(image, release.signature(), downgrade);
        let (verdict, reason) = field.ended(&job);
        assert_eq!(verdict, "SUCCEEDED", "round {round}: {reason}");
        // Of this round: those of the one before may wait to be read.
        let (slot, number) = [("B", "0.2.0"), ("A", "0.1.0")][round % 2];
        let status = field.status(|status| {
            (&status["slot"], &status["version"]) == (&json!(slot), &json!(number))
                && status["update"] == "good"
        });
        free.push(status["heap_free"].as_u64().unwrap());
        least.push(status["heap_min"].as_u64().unwrap());
        println!("round {round}: {status}");
    }
    for heaps in [free, least] {
        let (first, second) = heaps.split_at(heaps.len() / 2);
        let mean = |heaps: &[u64]| heaps.iter().sum::<u64>() / heaps.len().max(1) as u64;
        assert!(mean(first).abs_diff(mean(second)) < 128, "{heaps:?}");
    }
}
