//! A device with a flash, and the server's jobs and streams.

// Each test program uses its own part.
#![allow(dead_code)]

use std::collections::VecDeque;
use std::fmt::Write as _;

use minicbor::{Decoder, Encoder};
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
    pub flash: Flash,
    pub installed: Option<u32>,
    /// What a check of the image says.
    pub verdict: Result<(), &'static str>,
    pub now: u64,
    /// How often a file was begun.
    pub begins: u32,
    size: usize,
}

impl Device {
    pub fn new() -> Self {
        let flash = Flash {
            // Whatever an earlier firmware left.
            slot: vec![0x5A; LIMITS.slot_size as usize / SECTOR * SECTOR + SECTOR],
            progress: vec![0xA5; SECTOR],
            budget: None,
            spent: 0,
        };
        let machine = Machine::new("lamp", LIMITS, None);
        Self { machine, flash, installed: None, verdict: Ok(()), now: 0, begins: 0, size: 0 }
    }

    /// After a reset; the boot record is about the last image that was installed.
    pub fn restarted(self, outcome: Option<Outcome>) -> Self {
        let installed = outcome.map(|outcome| Installed {
            what: self.installed.expect("something was installed"),
            outcome,
        });
        Self { machine: Machine::new("lamp", LIMITS, installed), installed: None, ..self }
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
        let mut quiet = 0;
        // Longer than the machine's longest patience.
        while quiet < 1500 && self.installed.is_none() && self.flash.has_power() && !end(server) {
            quiet += 1;
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
    /// Of so many blocks in a row of one request the last arrives.
    Joins(u32),
    Doubles,
    Reverses,
    /// The first answer to each request is a block that is none.
    TooLong,
    TooShort,
    OtherFile,
    BeyondTheEnd,
    NoCbor,
    EndsAfter(u32),
    CancelsAfter(u32),
    /// What was ended is there again at once, and it says so.
    Returns,
    /// It knows of no report what it is about.
    Mismatches,
    /// So many requests, by the member `o` or `code` and with this word.
    Refuses(u32, &'static str, &'static str),
}

/// AWS's jobs and streams for one thing.
pub struct Server {
    job: Job,
    image: Vec<u8>,
    pub inbox: VecDeque<(String, Vec<u8>)>,
    pub subscribed: Vec<String>,
    version: u32,
    status: Option<Status>,
    reason: String,
    started: bool,
    cancelled: bool,
    pub states: Vec<String>,
    pub mismatches: u32,
    pub blocks_sent: u32,
    pub fault: Option<Fault>,
    pub cancel_silently_at_announcement: bool,
    pub requests: u32,
}

impl Server {
    pub fn new(job: Job, image: &[u8]) -> Self {
        Self {
            job,
            image: image.to_vec(),
            inbox: VecDeque::new(),
            subscribed: Vec::new(),
            version: 1,
            status: None,
            reason: String::new(),
            started: false,
            cancelled: false,
            states: Vec::new(),
            mismatches: 0,
            blocks_sent: 0,
            fault: None,
            cancel_silently_at_announcement: false,
            requests: 0,
        }
    }

    /// The number of what is to be installed, as the device computes it.
    pub fn what(&self) -> u32 {
        let mut signature = [0; 64];
        (signature[31], signature[63]) = (1, 2);
        let bytes = b"job-1".iter().chain(b"AFR_OTA-1").chain(&signature);
        !bytes.fold(!0_u32, |mut crc, byte| {
            crc ^= u32::from(*byte);
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
        self.started = false;
        self.version += 1;
    }

    fn over(&self) -> bool {
        self.cancelled || self.verdict().is_some()
    }

    /// Whether there is no job that could still bring something.
    pub fn idle_jobs(&self) -> bool {
        self.over() && self.inbox.is_empty()
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

    fn cancel(&mut self) {
        self.cancelled = true;
        self.send("jobs/notify-next", r#"{"timestamp":1}"#);
    }

    pub fn hear(&mut self, topic: &str, payload: &[u8]) {
        let topic = topic.strip_prefix("$aws/things/lamp/").expect("the thing's own topics");
        match topic {
            "jobs/start-next" => {
                if self.over() {
                    return self.send("jobs/start-next/accepted", r#"{"timestamp":1}"#);
                }
                if !self.started {
                    self.started = true;
                    self.version += 1;
                }
                let answer = format!(
                    r#"{{"execution":{{"jobId":"job-1","status":"IN_PROGRESS","versionNumber":{},"executionNumber":1,"jobDocument":{}}},"timestamp":1}}"#,
                    self.version, self.job.document
                );
                self.send("jobs/start-next/accepted", answer);
            }
            "jobs/job-1/update" => self.updated(std::str::from_utf8(payload).unwrap()),
            "streams/AFR_OTA-1/get/cbor" => self.blocks(payload),
            other => panic!("published to {other}"),
        }
    }

    fn updated(&mut self, payload: &str) {
        let json = Json::parse(payload.as_bytes()).unwrap_or_else(|| panic!("no JSON: {payload}"));
        let text =
            |json: Json<'_>, name: &str| json.get(name).and_then(Json::text).unwrap().to_owned();
        let details = json.get("statusDetails").unwrap();
        let state = text(details, "state");
        if self.cancel_silently_at_announcement && state == "restarting" {
            self.cancelled = true;
        }
        let expected: u32 = text(json, "expectedVersion").parse().unwrap();
        let lost = matches!(self.fault, Some(Fault::Mismatches));
        if self.over() || lost || expected != self.version {
            self.mismatches += u32::from(!self.over());
            let code = if self.over() { "InvalidStateTransition" } else { "VersionMismatch" };
            let mut answer = String::new();
            write!(answer, r#"{{"code":"{code}","message":"no"}}"#).unwrap();
            return self.send("jobs/job-1/update/rejected", answer);
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
        self.send("jobs/job-1/update/accepted", r#"{"timestamp":1}"#);
        if status != Status::InProgress && matches!(self.fault, Some(Fault::Returns)) {
            self.again();
            let next = r#"{"execution":{"jobId":"job-1","status":"QUEUED","versionNumber":1},"timestamp":1}"#;
            self.send("jobs/notify-next", next);
        }
    }

    fn blocks(&mut self, request: &[u8]) {
        self.requests += 1;
        if let Some(Fault::Refuses(times, member, word)) = self.fault
            && self.requests <= times
        {
            let mut answer = Vec::new();
            let mut cbor = Encoder::new(&mut answer);
            cbor.begin_map().unwrap().str(member).unwrap().str(word).unwrap();
            cbor.str("m").unwrap().str("no").unwrap().end().unwrap();
            return self.send("streams/AFR_OTA-1/rejected/cbor", answer);
        }
        let mut cbor = Decoder::new(request);
        let (mut size, mut first, mut most, mut bitmap) = (0, 0, 0, &[][..]);
        for _ in 0..cbor.map().unwrap().unwrap() {
            match cbor.str().unwrap() {
                "f" => assert_eq!(cbor.u32().unwrap(), 0),
                "l" => size = cbor.u32().unwrap() as usize,
                "o" => first = cbor.u32().unwrap(),
                "n" => most = cbor.u32().unwrap(),
                "b" => bitmap = cbor.bytes().unwrap(),
                other => panic!("member {other}"),
            }
        }
        assert_eq!(size, BLOCK);
        assert!(!bitmap.is_empty() && bitmap.iter().any(|byte| *byte != 0), "nothing is asked for");
        let numbers = (0..8 * bitmap.len() as u32)
            .filter(|bit| bitmap[*bit as usize / 8] >> (bit % 8) & 1 == 1)
            .map(|bit| first + bit);
        let mut numbers: Vec<u32> = numbers.take(most as usize).collect();
        assert!(numbers.len() <= LIMITS.window as usize);
        if matches!(self.fault, Some(Fault::Reverses)) {
            numbers.reverse();
        }
        self.nonsense(numbers[0]);
        let last = numbers[numbers.len() - 1];
        for number in numbers {
            if let Some(Fault::EndsAfter(count)) = self.fault
                && self.blocks_sent >= count
            {
                return;
            }
            if let Some(Fault::CancelsAfter(count)) = self.fault
                && self.blocks_sent >= count
                && !self.cancelled
            {
                self.cancel();
            }
            self.blocks_sent += 1;
            if let Some(Fault::Drops(each)) = self.fault
                && self.blocks_sent.is_multiple_of(each)
            {
                continue;
            }
            if let Some(Fault::Joins(count)) = self.fault
                && number != last
                && (number - first + 1) % count != 0
            {
                continue;
            }
            let from = number as usize * BLOCK;
            let content = self.image[from..(from + BLOCK).min(self.image.len())].to_vec();
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
            .and_then(|cbor| cbor.str("i")?.u32(number)?.str("l")?.u32(BLOCK as u32))
            .and_then(|cbor| cbor.str("p")?.bytes(content)?.end())
            .unwrap();
        self.send("streams/AFR_OTA-1/data/cbor", cbor);
    }
}
