//! A device with a flash, and the server's jobs and streams.

// Each test program uses its own part.
#![allow(dead_code)]

use std::collections::VecDeque;

use minicbor::{Decoder, Encoder};
use packets::Guard;
use update::job::Status;
use update::json::Json;
use update::machine::{Action, FlashError, Installed, Limits, Machine, Outcome, Store};
use update::progress::{Fetch, HEADER_WORDS, Missing};

pub const BLOCK: usize = 1024;
pub const LIMITS: Limits = Limits { slot_size: 200_000, block_size: BLOCK as u32, window: 4 };
const SECTOR: usize = 4096;
/// r = 1, s = 2.
const SIGNATURE: &str = "MAYCAQECAQI=";

/// An image of so many bytes that are not all alike.
pub fn image(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 1024 * 3 + at / 256) as u8).collect()
}

/// A slot and the sector of progress, and bytes until the power fails.
#[derive(Clone)]
pub struct Flash {
    pub slot: Vec<u8>,
    pub progress: Vec<u8>,
    pub budget: Option<usize>,
    pub spent: usize,
}

impl Flash {
    pub fn has_power(&self) -> bool {
        self.budget != Some(0)
    }

    fn spend(&mut self) -> bool {
        match &mut self.budget {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => {
                self.spent += 1;
                true
            }
        }
    }

    fn erase(&mut self, progress: bool, offset: usize) {
        for at in offset..offset + SECTOR {
            if !self.spend() {
                return;
            }
            let bytes = if progress { &mut self.progress } else { &mut self.slot };
            bytes[at] = 0xFF;
        }
    }

    fn write(&mut self, progress: bool, offset: usize, content: &[u8]) {
        for (at, byte) in (offset..).zip(content) {
            if !self.spend() {
                return;
            }
            // The last byte before the end is half done.
            let byte = if self.has_power() { *byte } else { byte | 0x0F };
            let bytes = if progress { &mut self.progress } else { &mut self.slot };
            bytes[at] &= byte;
        }
    }

    fn word(&self, index: usize) -> u32 {
        u32::from_le_bytes(self.progress[4 * index..][..4].try_into().unwrap())
    }
}

pub struct Device {
    pub machine: Machine,
    limits: Limits,
    pub flash: Flash,
    pub installed: Option<u32>,
    /// What a check of the image says.
    pub verdict: Result<(), &'static str>,
    pub now: u64,
    /// How often a file was begun.
    pub begins: u32,
    /// For how many of them the sector of progress was erased.
    pub prepared: u32,
    size: usize,
}

impl Device {
    pub fn new() -> Self {
        Self::with(LIMITS)
    }

    pub fn with(limits: Limits) -> Self {
        let flash = Flash {
            // Whatever an earlier firmware left.
            slot: vec![0x5A; limits.slot_size as usize / SECTOR * SECTOR + SECTOR],
            progress: vec![0xA5; SECTOR],
            budget: None,
            spent: 0,
        };
        let machine = Machine::new("lamp", limits, None);
        let (installed, verdict, now) = (None, Ok(()), 0);
        let (begins, prepared, size) = (0, 0, 0);
        Self { machine, limits, flash, installed, verdict, now, begins, prepared, size }
    }

    /// After a reset; the boot record is about the last image that was installed.
    pub fn restarted(self, outcome: Option<Outcome>) -> Self {
        let installed = outcome.map(|outcome| Installed {
            what: self.installed.expect("something was installed"),
            outcome,
        });
        let machine = Machine::new("lamp", self.limits, installed);
        Self { machine, installed: None, ..self }
    }

    /// The connection is lost, and a second later there is another, with a machine of its own.
    pub fn reconnect(&mut self, server: &mut Server) {
        let done = self.machine.done();
        self.machine = Machine::new("lamp", self.limits, None);
        self.machine.comes_after(done);
        self.now += 1000;
        server.inbox.clear();
        self.machine.connected(self.now);
    }

    pub fn slot(&self) -> &[u8] {
        &self.flash.slot[..self.size]
    }

    /// Connects and goes on until nothing happens any more.
    pub fn run(&mut self, server: &mut Server) {
        self.run_until(server, |_| false);
    }

    pub fn run_until(&mut self, server: &mut Server, end: impl Fn(&Server) -> bool) {
        server.inbox.clear();
        self.machine.connected(self.now);
        self.go_on(server, end);
    }

    /// The firmware on trial has proved itself.
    pub fn prove(&mut self, server: &mut Server) {
        self.machine.proved(self.now);
        self.go_on(server, |_| false);
    }

    pub fn go_on(&mut self, server: &mut Server, end: impl Fn(&Server) -> bool) {
        let (mut quiet, until) = (0, self.now + 24 * 3_600_000);
        // Longer than the machine's longest patience.
        while quiet < 1500 && self.installed.is_none() && self.flash.has_power() && !end(server) {
            quiet += 1;
            assert!(self.now < until, "the device does not come to rest");
            while let Some(action) = self.machine.poll(self.now) {
                quiet = 0;
                self.act(action, server);
                if !self.flash.has_power() {
                    return;
                }
            }
            if let Some((topic, payload)) = server.inbox.pop_front() {
                quiet = 0;
                if let Some(store) = self.machine.message(&topic, &payload, self.now) {
                    Self::store(&mut self.flash, store);
                    if !self.flash.has_power() {
                        return;
                    }
                    self.machine.stored(Ok(()), self.now);
                }
            } else {
                self.now += 100;
            }
            if server.idle_jobs() && quiet > 200 {
                return;
            }
        }
    }

    fn store(flash: &mut Flash, store: Store<'_>) {
        let Store { erase, offset, content, mark: (word, value) } = store;
        if let Some(sector) = erase {
            flash.erase(false, sector as usize);
        }
        flash.write(false, offset as usize, content);
        flash.write(true, 4 * word, &value.to_le_bytes());
    }

    fn act(&mut self, action: Action, server: &mut Server) {
        match action {
            Action::Subscribe(topic) => server.subscribed.push(topic),
            Action::Publish { topic, payload } => server.hear(&topic, &payload),
            Action::Begin(fetch) => {
                self.begins += 1;
                self.size = fetch.size as usize;
                let words: Vec<u32> = (0..40).map(|index| self.flash.word(index)).collect();
                let missing = Missing::resume(fetch, &words).unwrap_or_else(|| self.prepare(fetch));
                if self.flash.has_power() {
                    self.machine.begun(Ok(missing), self.now);
                }
            }
            Action::Check => {
                let work = self.machine.work();
                assert_eq!((work.signature[31], work.signature[63]), (1, 2));
                if self.verdict.is_err() {
                    self.flash.erase(true, 0);
                }
                self.machine.checked(self.verdict, self.now);
            }
            Action::Carry { .. } => panic!("a firmware brings itself"),
            Action::Install => self.installed = Some(self.machine.work().what),
        }
    }

    fn prepare(&mut self, fetch: Fetch) -> Missing {
        self.prepared += 1;
        self.flash.erase(true, 0);
        // The checksum is the last word: until it is there, nothing is.
        for (index, word) in fetch.header().into_iter().enumerate() {
            self.flash.write(true, 4 * index, &word.to_le_bytes());
        }
        assert_eq!(fetch.header().len(), HEADER_WORDS);
        Missing::all(fetch)
    }

    pub fn fail_flash(&mut self) {
        self.machine.stored(Err(FlashError), self.now);
    }
}

pub struct Job {
    pub document: String,
}

impl Job {
    /// As AWS's create-ota-update makes it.
    pub fn of_aws(image: &[u8]) -> Self {
        let size = image.len();
        Self {
            document: format!(
                r#"{{"afr_ota":{{"protocols":["MQTT"],"streamname":"AFR_OTA-1","files":[{{"filepath":"firmware.bin","filesize":{size},"fileid":0,"certfile":"key","sig-sha256-ecdsa":"{SIGNATURE}"}}]}}}}"#
            ),
        }
    }

    pub fn plain(image: &[u8]) -> Self {
        let size = image.len();
        Self {
            document: format!(
                r#"{{"update":{{"stream":"AFR_OTA-1","file":0,"size":{size},"sig-sha256-ecdsa":"{SIGNATURE}"}}}}"#
            ),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Each so many-th block does not arrive.
    Drops(u32),
    /// What answers a request comes in TLS records of so many bytes, as AWS joins it: of each the device
    /// keeps what it has room for.
    Joins(usize),
    Doubles,
    Reverses,
    /// The first answer to each request is a block that is none.
    TooLong,
    TooShort,
    OtherFile,
    BeyondTheEnd,
    NoCbor,
    EndsAfter(u32),
    /// The job has this status after so many blocks.
    Over(u32, &'static str),
    /// So many reports from this one on do not arrive.
    LosesReports(u32, u32),
    /// Of so many the answers do not.
    LosesAnswers(u32, u32),
    /// So many are too many at once.
    Throttles(u32, u32),
    /// What was ended is there again at once, and it says so.
    Returns,
    /// It knows of no report what it is about.
    Mismatches,
    /// So many requests, by the member `o` or `code` and with this word.
    Refuses(u32, &'static str, &'static str),
}

/// AWS's jobs and streams for one thing.
pub struct Server {
    id: String,
    job: Job,
    image: Vec<u8>,
    pub limits: Limits,
    pub inbox: VecDeque<(String, Vec<u8>)>,
    pub subscribed: Vec<String>,
    version: u32,
    status: Option<Status>,
    reason: String,
    started: bool,
    /// The status of a job that the device did not end.
    pub over: Option<&'static str>,
    pub states: Vec<String>,
    /// Reports that the device has published.
    pub reports: u32,
    pub mismatches: u32,
    pub blocks_sent: u32,
    pub fault: Option<Fault>,
    /// The status that the job has, silently, when the device announces its restart.
    pub over_at_announcement: Option<&'static str>,
    /// How many blocks each request was for.
    pub windows: Vec<u32>,
}

impl Server {
    pub fn new(job: Job, image: &[u8]) -> Self {
        Self {
            id: "job-1".to_owned(),
            job,
            image: image.to_vec(),
            limits: LIMITS,
            inbox: VecDeque::new(),
            subscribed: Vec::new(),
            version: 1,
            status: None,
            reason: String::new(),
            started: false,
            over: None,
            states: Vec::new(),
            reports: 0,
            mismatches: 0,
            blocks_sent: 0,
            fault: None,
            over_at_announcement: None,
            windows: Vec::new(),
        }
    }

    /// The number of what is to be installed, as the device computes it.
    pub fn what(&self) -> u32 {
        let mut signature = [0; 64];
        (signature[31], signature[63]) = (1, 2);
        let bytes = self.id.bytes().chain(*b"AFR_OTA-1").chain(signature);
        !bytes.fold(!0_u32, |mut crc, byte| {
            crc ^= u32::from(byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
            }
            crc
        })
    }

    /// How the job ended.
    pub fn verdict(&self) -> Option<(Status, String)> {
        let status = self.status.filter(|status| *status != Status::InProgress)?;
        Some((status, self.reason.clone()))
    }

    /// The same job once more.
    pub fn again(&mut self) {
        self.status = None;
        self.over = None;
        self.started = false;
        self.version += 1;
    }

    /// A job with this id is next, and what may have been before it is not. The device is told.
    pub fn offer(&mut self, id: &str) {
        self.id = id.to_owned();
        self.again();
        let next = format!(
            r#"{{"execution":{{"jobId":"{id}","status":"QUEUED","versionNumber":1}},"timestamp":1}}"#
        );
        self.send("jobs/notify-next", next);
    }

    /// The same, of another kind.
    pub fn offer_job(&mut self, id: &str, job: Job) {
        self.job = job;
        self.offer(id);
    }

    /// The job was cancelled, or its time is up. The device is told that none is next.
    pub fn end(&mut self, status: &'static str) {
        self.over = Some(status);
        self.send("jobs/notify-next", r#"{"timestamp":1}"#);
    }

    fn is_over(&self) -> bool {
        self.over.is_some() || self.verdict().is_some()
    }

    /// Whether there is no job that could still bring something.
    pub fn idle_jobs(&self) -> bool {
        self.is_over() && self.inbox.is_empty()
    }

    fn send(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        let topic = format!("$aws/things/lamp/{topic}");
        let fits = |filter: &String| {
            filter.split('/').count() == topic.split('/').count()
                && filter.split('/').zip(topic.split('/')).all(|(f, t)| f == "+" || f == t)
        };
        assert!(self.subscribed.iter().any(fits), "nobody asked for {topic}");
        self.inbox.push_back((topic, payload.into()));
    }

    pub fn hear(&mut self, topic: &str, payload: &[u8]) {
        let topic = topic.strip_prefix("$aws/things/lamp/").expect("the thing's own topics");
        match topic {
            "jobs/start-next" => {
                if self.is_over() {
                    return self.send("jobs/start-next/accepted", r#"{"timestamp":1}"#);
                }
                if !self.started {
                    self.started = true;
                    self.version += 1;
                }
                let answer = format!(
                    r#"{{"execution":{{"jobId":"{}","status":"IN_PROGRESS","versionNumber":{},"executionNumber":1,"jobDocument":{}}},"timestamp":1}}"#,
                    self.id, self.version, self.job.document
                );
                self.send("jobs/start-next/accepted", answer);
            }
            "jobs/$next/get" => {
                let answer = format!(
                    r#"{{"execution":{{"jobId":"{}","versionNumber":{}}},"timestamp":1}}"#,
                    self.id, self.version
                );
                self.send("jobs/$next/get/accepted", answer);
            }
            "streams/AFR_OTA-1/get/cbor" => self.blocks(payload),
            other => {
                let job = other.strip_prefix("jobs/").and_then(|rest| rest.strip_suffix("/update"));
                match job.unwrap_or_else(|| panic!("published to {other}")) {
                    job if job == self.id => self.updated(std::str::from_utf8(payload).unwrap()),
                    // Another is next since.
                    job => {
                        let no = r#"{"code":"InvalidStateTransition","message":"no"}"#;
                        self.send(&format!("jobs/{job}/update/rejected"), no);
                    }
                }
            }
        }
    }

    fn updated(&mut self, payload: &str) {
        let answer = format!("jobs/{}/update/", self.id);
        let (accepted, rejected) = (answer.clone() + "accepted", answer + "rejected");
        self.reports += 1;
        let lost = |first: u32, times: u32| (first..first + times).contains(&self.reports);
        match self.fault {
            Some(Fault::LosesReports(first, times)) if lost(first, times) => return,
            Some(Fault::Throttles(first, times)) if lost(first, times) => {
                let no = r#"{"code":"RequestThrottled","message":"no"}"#;
                return self.send(&rejected, no);
            }
            _ => {}
        }
        let json = Json::parse(payload.as_bytes()).unwrap_or_else(|| panic!("no JSON: {payload}"));
        let text =
            |json: Json<'_>, name: &str| json.get(name).and_then(Json::text).unwrap().to_owned();
        let details = json.get("statusDetails").unwrap();
        let state = text(details, "state");
        if state == "restarting" {
            self.over = self.over.or(self.over_at_announcement);
        }
        let expected: u32 = text(json, "expectedVersion").parse().unwrap();
        let mismatches = matches!(self.fault, Some(Fault::Mismatches));
        if self.is_over() {
            let ended = || format!("{:?}", self.verdict().unwrap().0).to_uppercase();
            let status = self.over.map_or_else(ended, str::to_owned);
            let no = format!(
                r#"{{"code":"InvalidStateTransition","message":"no","executionState":{{"status":"{status}"}}}}"#
            );
            return self.send(&rejected, no);
        }
        if mismatches || expected != self.version {
            self.mismatches += 1;
            return self.send(&rejected, r#"{"code":"VersionMismatch","message":"no"}"#);
        }
        self.version += 1;
        let status = match text(json, "status").as_str() {
            "IN_PROGRESS" => Status::InProgress,
            "SUCCEEDED" => Status::Succeeded,
            "FAILED" => Status::Failed,
            "REJECTED" => Status::Rejected,
            other => panic!("status {other}"),
        };
        self.status = Some(status);
        if status == Status::InProgress {
            self.states.push(state);
        }
        self.reason = details.get("reason").and_then(Json::text).unwrap_or("").to_owned();
        if !matches!(self.fault, Some(Fault::LosesAnswers(first, times)) if lost(first, times)) {
            self.send(&accepted, r#"{"timestamp":1}"#);
        }
        if status != Status::InProgress && matches!(self.fault, Some(Fault::Returns)) {
            let id = self.id.clone();
            self.offer(&id);
        }
    }

    fn blocks(&mut self, request: &[u8]) {
        let mut cbor = Decoder::new(request);
        let (mut file, mut size, mut first, mut most, mut bitmap) = (0, 0, 0, 0, &[][..]);
        for _ in 0..cbor.map().unwrap().unwrap() {
            match cbor.str().unwrap() {
                "f" => file = cbor.u32().unwrap(),
                "l" => size = cbor.u32().unwrap(),
                "o" => first = cbor.u32().unwrap(),
                "n" => most = cbor.u32().unwrap(),
                "b" => bitmap = cbor.bytes().unwrap(),
                other => panic!("member {other}"),
            }
        }
        assert_eq!(size, self.limits.block_size);
        assert!(!bitmap.is_empty() && bitmap.iter().any(|byte| *byte != 0), "nothing is asked for");
        let wanted: Vec<u32> = (0..8 * bitmap.len() as u32)
            .filter(|bit| bitmap[*bit as usize / 8] >> (bit % 8) & 1 == 1)
            .map(|bit| first + bit)
            .take(most as usize)
            .collect();
        assert!(wanted.len() <= self.limits.window as usize);
        self.windows.push(wanted.len() as u32);
        let refused = match self.fault {
            _ if file != 0 => Some(("o", "ResourceNotFound")),
            Some(Fault::Refuses(times, member, word)) if self.windows.len() <= times as usize => {
                Some((member, word))
            }
            _ => None,
        };
        if let Some((member, word)) = refused {
            let mut answer = Vec::new();
            let mut cbor = Encoder::new(&mut answer);
            cbor.begin_map().unwrap().str(member).unwrap().str(word).unwrap();
            cbor.str("m").unwrap().str("no").unwrap().end().unwrap();
            return self.send("streams/AFR_OTA-1/rejected/cbor", answer);
        }
        let before = self.inbox.len();
        self.send_blocks(wanted);
        if let Some(Fault::Joins(record)) = self.fault {
            let sent = self.inbox.split_off(before);
            self.inbox.extend(joined(sent, record));
        }
    }

    /// Those of them that the file has.
    fn send_blocks(&mut self, mut numbers: Vec<u32>) {
        if matches!(self.fault, Some(Fault::Reverses)) {
            numbers.reverse();
        }
        self.nonsense(numbers[0]);
        let size = self.limits.block_size as usize;
        for number in numbers {
            match self.fault {
                Some(Fault::EndsAfter(count)) if self.blocks_sent >= count => return,
                Some(Fault::Over(count, status))
                    if self.blocks_sent >= count && self.over.is_none() =>
                {
                    self.end(status);
                }
                _ => {}
            }
            let from = number as usize * size;
            let Some(content) = self.image.get(from..).filter(|rest| !rest.is_empty()) else {
                return;
            };
            let content = content[..size.min(content.len())].to_vec();
            self.blocks_sent += 1;
            if matches!(self.fault, Some(Fault::Drops(each)) if self.blocks_sent.is_multiple_of(each))
            {
                continue;
            }
            for _ in 0..1 + u32::from(matches!(self.fault, Some(Fault::Doubles))) {
                self.send_block(0, number, &content);
            }
        }
    }

    /// A block that is none, in front of the right ones.
    fn nonsense(&mut self, number: u32) {
        match self.fault {
            Some(Fault::TooLong) => self.send_block(0, number, &[0; BLOCK + 1]),
            Some(Fault::TooShort) => self.send_block(0, number, &[0; 10]),
            Some(Fault::OtherFile) => self.send_block(1, number, &[0; BLOCK]),
            Some(Fault::BeyondTheEnd) => {
                for number in [self.image.len().div_ceil(BLOCK) as u32, 1 << 20, u32::MAX] {
                    self.send_block(0, number, &[0; BLOCK]);
                }
            }
            Some(Fault::NoCbor) => {
                for bytes in [&[][..], &[0xFF], &[0xA4, 0x61], &[0xBF, 0xFF], &[0x9F; 300]] {
                    self.send("streams/AFR_OTA-1/data/cbor", bytes);
                }
            }
            _ => {}
        }
    }

    /// Its map has no length, as AWS writes it.
    fn send_block(&mut self, file: u32, number: u32, content: &[u8]) {
        let mut cbor = Vec::new();
        Encoder::new(&mut cbor)
            .begin_map()
            .and_then(|cbor| cbor.str("c")?.str("token")?.str("f")?.u32(file))
            .and_then(|cbor| cbor.str("i")?.u32(number)?.str("l")?.u32(self.limits.block_size))
            .and_then(|cbor| cbor.str("p")?.bytes(content)?.end())
            .unwrap();
        self.send("streams/AFR_OTA-1/data/cbor", cbor);
    }
}

/// What is left of messages that come in records of so many bytes, of which none counts before its
/// record is whole.
fn joined(sent: VecDeque<(String, Vec<u8>)>, record: usize) -> Vec<(String, Vec<u8>)> {
    let mut guard = Guard::new();
    guard.set_aside(b"$aws/things/lamp/streams/");
    // CONNECT and CONNACK.
    guard.sent(b"\x10\x0C\0\x04MQTT\x04\0\0\x1E\0\0");
    guard.offer(b"\x20\x02\0\0");
    let bytes: Vec<u8> = sent.iter().flat_map(|(topic, payload)| publish(topic, payload)).collect();
    let mut kept = Vec::new();
    for record in bytes.chunks(record) {
        guard.offer(record);
        guard.commit().unwrap();
        loop {
            if let Some((topic, payload)) = guard.aside() {
                kept.push((topic.to_owned(), payload.to_vec()));
            } else if guard.take().is_none() {
                break;
            }
        }
    }
    kept
}

/// A PUBLISH at QoS 0 (MQTT 3.1.1, 3.3).
fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x30];
    let mut length = 2 + topic.len() + payload.len();
    while length > 127 {
        packet.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    packet.push(length as u8);
    packet.extend((topic.len() as u16).to_be_bytes());
    packet.extend(topic.as_bytes());
    packet.extend(payload);
    packet
}

/// As documents have signatures.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = three
            .iter()
            .chain([0; 2].iter())
            .take(3)
            .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        let digit = |index: usize| match index {
            _ if index > three.len() => '=',
            _ => char::from(DIGITS[bits >> (18 - 6 * index) & 63]),
        };
        (0..4).map(digit).collect::<String>()
    };
    bytes.chunks(3).map(group).collect()
}

/// The signature of these two numbers of 32 bytes in DER.
pub fn der(signature: &[u8; 64]) -> Vec<u8> {
    let mut der = Vec::new();
    for number in signature.chunks(32) {
        let digits: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
        let positive = usize::from(digits[0] >= 0x80);
        der.extend([2, (digits.len() + positive) as u8]);
        der.extend(&[0][..positive]);
        der.extend(digits);
    }
    [&[0x30, der.len() as u8][..], &der].concat()
}
