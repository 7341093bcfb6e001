//! Hostile servers: whatever comes, the machine neither panics nor writes where it must not, installs
//! nothing that was not found good and announced, and goes on with what is right.

mod common;

use std::collections::BTreeSet;

use common::{BLOCK, Job, LIMITS, Server, base64, der, image};
use fuzz::Random;
use minicbor::Encoder;
use update::job::{self, Execution, Kind, MAX_JOB_ID, MAX_STREAM_ID};
use update::json::Json;
use update::machine::{Action, FlashError, Installed, Machine, Outcome, Store};
use update::progress::{Fetch, HEADER_WORDS, Missing};
use update::{base64 as reader, stream};

const TOPICS: &[&str] = &[
    "jobs/notify-next",
    "jobs/start-next/accepted",
    "jobs/start-next/rejected",
    "jobs/$next/get/accepted",
    "jobs/job-1/update/accepted",
    "jobs/job-1/update/rejected",
    "jobs/job-2/update/accepted",
    "streams/AFR_OTA-1/data/cbor",
    "streams/AFR_OTA-1/rejected/cbor",
    "streams/other/data/cbor",
    "",
];

/// What the honest server is told of.
const HONEST: &[&str] =
    &["jobs/start-next", "jobs/$next/get", "jobs/job-1/update", "streams/AFR_OTA-1/get/cbor"];

/// What means something to JSON and CBOR.
const TELLING: &[u8] =
    b"{}[]\":,\\u0159eE+-./ \tnulltrefalsMA=\x00\xFF\xA2\xA4\xBF\x61\x58\x59\x9F";

fn one<'a>(random: &mut Random, of: &[&'a str]) -> &'a str {
    of[random.below(of.len())]
}

/// A number of a document, mostly the right one.
fn figure(random: &mut Random, right: usize) -> String {
    if !random.once_in(4) {
        return right.to_string();
    }
    let slot = u64::from(LIMITS.slot_size);
    match random.below(8) {
        0 => (slot + random.below(2) as u64).to_string(),
        1 => (u64::from(u32::MAX) + random.below(2) as u64).to_string(),
        2 => random.below(LIMITS.slot_size as usize).to_string(),
        _ => {
            one(random, &["0", "1", "8192", "8193", "-1", "1e3", "\"5\"", "null", "[]"]).to_owned()
        }
    }
}

/// A job's document, as one of an update and not quite.
fn document(random: &mut Random, size: usize) -> String {
    let (size, file) = (figure(random, size), figure(random, 0));
    let kinds = ["", "", ":0", ":1", ":1", ":1", ":2", ":null", ":\"1\"", ":1,\"fileType\":0"];
    let kind = match one(random, &kinds) {
        "" => String::new(),
        kind => format!(",\"fileType\"{kind}"),
    };
    let more = one(
        random,
        &[
            "",
            "",
            ",\"allow_downgrade\":true",
            ",\"allow_downgrade\":1",
            ",\"filesize\":7,\"size\":7",
            ",\"attr\":{\"a\":[1,{\"b\":null}],\"c\":-1.5e3}",
            ",\"file\\u0073ize\":\"\\\"\\\\\"",
        ],
    );
    const RIGHT: &str = "MAYCAQECAQI=";
    let signatures = [RIGHT, RIGHT, RIGHT, r"MAcCAQ8CAj\/\/", "MAYCAQECAQI", "MAYCAQACAQI=", ""];
    let signature = one(random, &signatures);
    let streams = ["AFR_OTA-1", "AFR_OTA-1", "AFR_OTA-1", "AFR_OTA-1", "other", "", "a/b", "+"];
    let stream = one(random, &streams);
    if random.once_in(2) {
        format!(
            r#"{{"afr_ota":{{"protocols":["MQTT"],"streamname":"{stream}","files":[{{"filepath":"a.bin","filesize":{size},"fileid":{file},"certfile":"key","sig-sha256-ecdsa":"{signature}"{kind}{more}}}]}}}}"#
        )
    } else {
        format!(
            r#"{{"update":{{"stream":"{stream}","file":{file},"size":{size},"sig-sha256-ecdsa":"{signature}"{kind}{more}}}}}"#
        )
    }
}

/// A block as a server could send it, or why it sends none.
fn block(random: &mut Random, image: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut cbor = Encoder::new(&mut bytes);
    let open = random.once_in(2);
    let refusal = random.once_in(20);
    if open { cbor.begin_map() } else { cbor.map(if refusal { 1 } else { 4 }) }.unwrap();
    if refusal {
        let words = ["InternalError", "Unauthorized", "ResourceNotFound", "é", ""];
        cbor.str("o").unwrap().str(one(random, &words)).unwrap();
    } else {
        let number = random.below(8);
        let from = (number * BLOCK).min(image.len());
        let content = &image[from..(from + BLOCK).min(image.len())];
        cbor.str("f")
            .and_then(|cbor| cbor.u32(0)?.str("l")?.u32(BLOCK as u32))
            .and_then(|cbor| cbor.str("i")?.u32(number as u32)?.str("p")?.bytes(content))
            .unwrap();
    }
    if open {
        cbor.end().unwrap();
    }
    bytes
}

/// A message as a server could send it, and then not quite.
fn message(random: &mut Random, image: &[u8]) -> Vec<u8> {
    let long = "j".repeat(MAX_JOB_ID + random.below(2));
    let mut bytes = match random.below(8) {
        0 => random.bytes(200),
        1 | 2 => {
            let job = one(random, &["job-1", "job-1", "job-1", "job-2", "a/b", "", &long]);
            let document = match document(random, image.len()) {
                _ if random.once_in(4) => String::new(),
                document => format!(",\"jobDocument\":{document}"),
            };
            let version = random.below(5);
            format!(
                r#"{{"execution":{{"jobId":"{job}","status":"QUEUED","versionNumber":{version}{document}}}}}"#
            )
            .into_bytes()
        }
        3 => {
            let codes =
                ["VersionMismatch", "InvalidStateTransition", "RequestThrottled", "InvalidJson"];
            format!(r#"{{"code":"{}"}}"#, one(random, &codes)).into_bytes()
        }
        4 => br#"{"timestamp":1}"#.to_vec(),
        _ => block(random, image),
    };
    if random.below(3) > 0 {
        // Where blocks have names and lengths, or anywhere.
        let within = if random.once_in(2) { 80 } else { bytes.len() };
        mutate(random, &mut bytes, within);
        if random.once_in(5) {
            bytes.truncate(random.below(bytes.len() + 1));
        }
    }
    bytes
}

/// Changes up to three of the first so many bytes.
fn mutate(random: &mut Random, bytes: &mut [u8], within: usize) {
    let within = within.min(bytes.len());
    if within > 0 {
        for _ in 0..random.below(4) {
            bytes[random.below(within)] = random.byte();
        }
    }
}

/// How often something was reached.
#[derive(Debug, Default)]
struct Reached {
    blocks: u64,
    checks: u64,
    sectors: u64,
    installs: u64,
    trials: u64,
}

/// What is right of a device that carries out what its machine wants.
struct Device {
    machine: Machine,
    now: u64,
    /// Blocks that were stored.
    written: BTreeSet<u32>,
    /// The file that was found good.
    good: Option<u32>,
    /// The next sector that is to be carried.
    sector: u32,
    /// The topic on which the announcement of a restart is taken, and whether it was.
    announced: Option<(String, bool)>,
    trial: bool,
    reached: Reached,
}

impl Device {
    fn start(&mut self, installed: Option<Installed>) {
        self.trial = matches!(&installed, Some(last) if last.outcome == Outcome::Trial);
        self.machine = Machine::new("lamp", LIMITS, installed);
        self.machine.connected(self.now);
        self.announced = None;
    }

    fn act(&mut self, action: Action, server: &mut Server, random: &mut Random) {
        let (now, kind, what) = (self.now, self.machine.work().kind, self.machine.work().what);
        match action {
            Action::Subscribe(topic) => server.subscribed.push(topic),
            Action::Publish { topic, payload } => {
                if topic.ends_with("/update") {
                    let json = Json::parse(&payload).expect("what is said is JSON");
                    let details = json.get("statusDetails").expect("with details");
                    if details.text_of("state") == "restarting" {
                        self.announced = Some((format!("{topic}/accepted"), false));
                    }
                }
                let own = topic.strip_prefix("$aws/things/lamp/").expect("the thing's own topics");
                if HONEST.contains(&own) {
                    server.hear(&topic, &payload);
                }
            }
            Action::Begin(fetch) => {
                assert!(!self.trial, "what would come back is overwritten");
                assert!((1..=LIMITS.slot_size).contains(&fetch.size));
                self.good = None;
                self.written.clear();
                let missing = self.begin(fetch, random);
                self.machine.begun(missing, now);
            }
            Action::Check => {
                let work = self.machine.work();
                assert_eq!(self.written.len(), (work.size as usize).div_ceil(BLOCK));
                self.reached.checks += 1;
                let verdict = match random.below(8) {
                    0 => Err("no"),
                    1 => Err("the device has it already"),
                    2 => Err("the image cannot be read back"),
                    _ => Ok(()),
                };
                self.good = verdict.is_ok().then_some(what);
                self.sector = 0;
                self.machine.checked(verdict, now);
            }
            Action::Carry { sector } => {
                assert_eq!((kind, self.good, self.sector), (Kind::Identity, Some(what), sector));
                self.reached.sectors += 1;
                self.sector += 1;
                let next = match random.below(20) {
                    0 => Err(FlashError),
                    _ => Ok(Some(self.sector).filter(|next| *next < 3)),
                };
                self.machine.carried(next, now);
            }
            Action::Install => {
                assert_eq!(self.good, Some(what), "it was not found good");
                assert!(kind == Kind::Firmware || self.sector == 3, "it has no image");
                let topic =
                    format!("$aws/things/lamp/jobs/{}/update/accepted", self.machine.work().job);
                assert_eq!(self.announced, Some((topic, true)), "nobody was told");
                self.reached.installs += 1;
                if random.once_in(4) {
                    return self.machine.not_installed(now);
                }
                let what = if random.once_in(8) { what ^ 1 } else { what };
                let outcome = match random.below(4) {
                    0 => Outcome::Good,
                    1 => Outcome::Failed("panic \"x\"\n".to_owned()),
                    _ => Outcome::Trial,
                };
                self.start(Some(Installed { what, outcome }));
            }
        }
    }

    /// All of it is missing, or some, or the flash fails.
    fn begin(&mut self, fetch: Fetch, random: &mut Random) -> Result<Missing, FlashError> {
        let mut words = [u32::MAX; HEADER_WORDS + 8];
        words[..HEADER_WORDS].copy_from_slice(&fetch.header());
        match random.below(10) {
            0 => return Err(FlashError),
            1..4 => words[HEADER_WORDS..].fill(random.number() as u32),
            _ => {}
        }
        let missing = Missing::resume(fetch, &words).expect("it is about this");
        self.written = (0..fetch.blocks()).filter(|block| !missing.is_missing(*block)).collect();
        Ok(missing)
    }

    fn hear(&mut self, topic: &str, payload: &[u8], random: &mut Random) {
        if let Some((taken, was_taken)) = &mut self.announced {
            *was_taken |= taken == topic;
        }
        if let Some(store) = self.machine.message(topic, payload, self.now) {
            self.store(&store);
            let result = if random.once_in(200) { Err(FlashError) } else { Ok(()) };
            self.machine.stored(result, self.now);
        }
    }

    /// What is stored is a block of the file, at its place, and erases none that is there.
    fn store(&mut self, store: &Store<'_>) {
        let Store { erase, offset, content, mark: (word, value) } = *store;
        let work = self.machine.work();
        let at = offset.checked_sub(work.base).expect("it lies behind the file's beginning");
        let number = at / BLOCK as u32;
        assert!(at.is_multiple_of(BLOCK as u32));
        assert!(content.len() as u32 == (work.size - at).min(BLOCK as u32));
        assert!(offset + content.len() as u32 <= LIMITS.slot_size);
        assert!(word == HEADER_WORDS + number as usize / 32 && value != u32::MAX);
        let sector = number / 4 * 4;
        let others = self.written.range(sector..sector + 4).count();
        assert_eq!(erase, (others == 0).then_some(offset / 4096 * 4096));
        assert!(self.written.insert(number), "it is there");
        self.reached.blocks += 1;
    }
}

/// Between an honest server's messages come others'. What is stored lies in the slot, and what is
/// installed was found good, and its restart announced.
#[test]
fn a_machine_among_hostile_messages() {
    let (inputs, random) = fuzz::begin(30_000);
    let mut random = random.with_telling(TELLING);
    let image = image(6 * BLOCK + 17);
    let mut left = inputs;
    let mut device = Device {
        machine: Machine::new("lamp", LIMITS, None),
        now: 0,
        written: BTreeSet::new(),
        good: None,
        sector: 0,
        announced: None,
        trial: false,
        reached: Reached::default(),
    };
    while left > 0 {
        let mut job = Job::plain(&image);
        match random.below(4) {
            0 => job.document = document(&mut random, image.len()),
            1 | 2 => job.document = job.document.replace("\"file\":0", "\"file\":0,\"fileType\":1"),
            _ => {}
        }
        let mut server = Server::new(job, &image);
        let what = server.what() ^ u32::from(random.once_in(4));
        device.start(match random.below(6) {
            0 => Some(Installed { what, outcome: Outcome::Trial }),
            1 => Some(Installed { what, outcome: Outcome::Good }),
            2 => Some(Installed { what, outcome: Outcome::Failed("it crashed".to_owned()) }),
            _ => None,
        });
        for _ in 0..200 {
            left = left.saturating_sub(1);
            device.now += random.below(6_000) as u64;
            while let Some(action) = device.machine.poll(device.now) {
                device.act(action, &mut server, &mut random);
            }
            let (topic, payload) = match server.inbox.pop_front() {
                Some(message) if !random.once_in(8) => message,
                _ => {
                    // Blocks more often than what ends a job.
                    let topic = match random.once_in(3) {
                        true => TOPICS[random.below(TOPICS.len())],
                        false => "streams/AFR_OTA-1/data/cbor",
                    };
                    (format!("$aws/things/lamp/{topic}"), message(&mut random, &image))
                }
            };
            device.hear(&topic, &payload, &mut random);
            match random.below(60) {
                0 => {
                    device.machine.offline();
                    device.machine.connected(device.now);
                }
                1 => {
                    let done = device.machine.done();
                    device.start(None);
                    device.machine.comes_after(done);
                }
                2 => device.machine.missed(device.now),
                3 if random.once_in(4) => device.machine.forbid_naming(),
                4..10 if device.trial => {
                    device.trial = false;
                    device.reached.trials += 1;
                    device.machine.proved(device.now);
                }
                10..30 if server.idle_jobs() => server.again(),
                _ => {}
            }
        }
    }
    let reached = &device.reached;
    println!("{inputs} messages: {reached:?}");
    assert!(reached.blocks > inputs / 20, "{reached:?}");
    for count in [reached.checks, reached.sectors, reached.installs, reached.trials] {
        assert!(count > inputs / 2_000, "{reached:?}");
    }
}

/// Texts and bytes of any kind, read by each reader.
#[test]
fn readers_take_anything() {
    let (inputs, random) = fuzz::begin(50_000);
    let mut random = random.with_telling(TELLING);
    for _ in 0..inputs {
        let bytes = random.bytes(120);
        let _ = Execution::read(&bytes);
        let _ = job::standing(&bytes);
        let _ = stream::Block::read(&bytes);
        let _ = stream::refusal(&bytes);
        let _ = reader::signature(&bytes);
        let _ = reader::decode(&bytes, &mut [0; 64]);
        if let Some(json) = Json::parse(&bytes) {
            let _ = json.get("a").and_then(|json| json.get("b")).map(Json::number);
            let _ = json.only().and_then(Json::text);
        }
    }
}

/// Jobs that are nearly right: what is taken of them is fit to stand in a topic.
#[test]
fn ids_of_hostile_jobs_are_ids() {
    let (inputs, random) = fuzz::begin(20_000);
    let mut random = random.with_telling(TELLING);
    let image = image(6 * BLOCK + 17);
    let is_id = |id: &str, most: usize| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        !id.is_empty() && id.len() <= most && id.bytes().all(allowed)
    };
    let mut documents = 0;
    for _ in 0..inputs {
        let bytes = message(&mut random, &image);
        let Ok(Some(Execution { job, document, .. })) = Execution::read(&bytes) else { continue };
        assert!(is_id(job, MAX_JOB_ID), "{job}");
        if let Ok(document) = document {
            assert!(is_id(document.stream, MAX_STREAM_ID), "{}", document.stream);
            documents += 1;
        }
    }
    assert!(documents > inputs / 100, "{documents} documents of {inputs} messages");
}

/// Signatures that are nearly right: one that is taken has no other form, so two texts are never the
/// same signature.
#[test]
fn signatures_have_one_form() {
    let (inputs, random) = fuzz::begin(20_000);
    let mut random = random.with_telling(TELLING);
    let mut changed = 0;
    for _ in 0..inputs {
        let mut numbers: [u8; 64] = random.array();
        // Short ones, which are no zeros.
        for number in numbers.chunks_mut(32) {
            number[..random.below(32)].fill(0);
            number[31] |= 1;
        }
        let right = der(&numbers);
        let mut bytes = right.clone();
        if random.once_in(2) {
            let within = bytes.len();
            mutate(&mut random, &mut bytes, within);
        }
        let mut text = base64(&bytes).into_bytes();
        if random.once_in(2) {
            let within = text.len();
            mutate(&mut random, &mut text, within);
        }
        let mut out = [0; 72];
        let read = reader::decode(&text, &mut out).and_then(reader::signature);
        // As JSON may write a slash.
        text.retain(|byte| *byte != b'\\');
        let same = text == base64(&right).into_bytes();
        assert!(!same || read == Some(numbers), "{}", String::from_utf8_lossy(&text));
        if let Some(read) = read.filter(|_| !same) {
            assert_eq!(base64(&der(&read)).into_bytes(), text);
            changed += 1;
        }
    }
    assert!(changed > inputs / 100, "{changed} of {inputs} were others and were taken");
}
