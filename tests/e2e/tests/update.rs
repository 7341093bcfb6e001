//! Updates over the air: a virtual NodeMCU with the firmware as shipped, and the local cloud's jobs
//! and streams. `make update-test` builds what this needs and runs it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use board::image::{self, FLASH_SIZE, IDENTITY_OFFSET, Image};
use board::virtual_board::{VirtualBoard, VirtualOptions};
use board_facts::Board;
use cloud::updates::Requests;
use e2e::{Stage, THING, Watcher};
use process::files::{self, SECRET};
use releases::{PublicKey, Release, Signer, make_key};
use serde_json::{Value, json};
use slots::{SLOT_START, Slot};
use tempfile::TempDir;

/// What an update takes at most on a busy machine.
const UPDATE: Duration = Duration::from_secs(300);

/// Where everything was built. This program is in `target/debug/deps`.
fn built(path: &str) -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let path = program.ancestors().nth(3).unwrap().join(path);
    assert!(path.exists(), "{} is missing: `make update-test` builds it", path.display());
    path
}

fn elf() -> PathBuf {
    built("xtensa-esp8266-none-elf/release/firmware-nodemcu")
}

/// The firmware as shipped, as it goes into a slot.
fn shipped() -> Vec<u8> {
    let contents = Image::in_folder(&built("image/nodemcu")).contents().unwrap();
    contents.into_iter().find(|(at, _)| *at == SLOT_START).unwrap().1
}

/// The same with another version, as if it had been built so.
fn version(image: &[u8], version: [u8; 3]) -> Vec<u8> {
    let mut image = image.to_vec();
    let old = releases::describe(&image).unwrap().version().to_string();
    let [major, minor, patch] = version;
    let new = format!("{major}.{minor}.{patch}");
    assert_eq!(old.len(), new.len());
    let places: Vec<usize> = image
        .windows(old.len())
        .enumerate()
        .filter(|(_, w)| *w == old.as_bytes())
        .map(|(at, _)| at)
        .collect();
    let [at] = places[..] else { panic!("{old} stands {} times in the image", places.len()) };
    image[at..][..new.len()].copy_from_slice(new.as_bytes());
    // The descriptor's numbers, behind its first word.
    image[20..26].copy_from_slice(&[major, 0, minor, 0, patch, 0]);
    image::seal(&mut image).unwrap();
    image
}

/// Replaces the beginning of a function.
fn replace(image: &mut [u8], function: &str, instructions: &[u8]) {
    let address = image::address_of(&elf(), function).unwrap();
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
}

impl Field {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(further: &[&str]) -> Self {
        let mut stage = Stage::new();
        stage.cloud.serve_updates(&[]).unwrap();
        let folder = process::scratch::folder().unwrap();
        let key = make_key(folder.path()).unwrap();
        let public = PublicKey::read(&folder.path().join("signing.pub")).unwrap();
        stage.identity.update_keys = vec![*public.point()];
        stage.identity.trial_s = *identity::TRIAL_S.start();
        let mut flash = vec![0xFF; FLASH_SIZE as usize];
        let region = stage.region();
        let identities =
            [Slot::A, Slot::B].map(|slot| (slot.mib() + IDENTITY_OFFSET, region.clone()));
        let files = Image::in_folder(&built("image/nodemcu")).contents().unwrap();
        for (at, bytes) in files.into_iter().chain(identities) {
            flash[at as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
        files::write(&folder.path().join("flash.bin"), &flash, SECRET).unwrap();
        let watcher = stage.watch();
        let requests = Requests::new(stage.cloud.operator().unwrap()).unwrap();
        let signer = Signer::with_key(&key).unwrap();
        let mut board = start(&folder, further);
        board.restart().unwrap();
        Self { stage, requests, watcher, signer, folder, board, jobs: 0 }
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
        let id = format!("job-{}", self.jobs);
        let file = self.folder.path().join(&id);
        files::write(&file, served, SECRET).unwrap();
        let body = file.display().to_string();
        self.aws("s3api", "put-object", &[("bucket", "b"), ("key", &id), ("body", &body)]);
        let listed =
            json!([{ "fileId": 0, "s3Location": { "bucket": "b", "key": id } }]).to_string();
        let stream = format!("AFR_OTA-{:036}", self.jobs);
        self.aws("iot", "create-stream", &[("stream-id", &stream), ("files", &listed)]);
        let mut document = json!({ "afr_ota": {
            "protocols": ["MQTT"], "streamname": stream,
            "files": [{
                "filepath": "firmware.bin", "filesize": served.len(), "fileid": 0,
                "certfile": "key", "sig-sha256-ecdsa": signature,
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

fn start(folder: &TempDir, further: &[&str]) -> VirtualBoard {
    let flash = folder.path().join("flash.bin");
    let board = Board::named("nodemcu").unwrap();
    let mut options = VirtualOptions::new(&board, &built("debug/virtual-nodemcu"), &flash, &elf());
    options.further = further.iter().map(Into::into).collect();
    VirtualBoard::start(&options).unwrap()
}

#[test]
fn a_new_firmware_comes_over_the_air() {
    let mut field = Field::new();
    let first = field.watcher.online();
    assert_eq!((&first["slot"], &first["update"]), (&json!("A"), &Value::Null), "{first}");
    let new = version(&shipped(), [0, 2, 0]);
    let job = field.update(&new);
    let (status, reason) = field.ended(&job);
    assert_eq!(status, "SUCCEEDED", "{reason}\n{}", field.board.console.tail(80));
    let status = field.status(|status| status["slot"] == "B");
    assert_eq!(status["version"], "0.2.0", "{status}");
    let status = field.status(|status| status["update"] == "good");
    assert_eq!(status["slot"], "B", "{status}");
}
