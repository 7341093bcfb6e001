//! Devices that take updates, without a chip: the state machine of `crates/update` with a flash in
//! memory, one thread each, at a local cloud that is run for the test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use certificates::LeafRequest;
use cloud::broker::Grant;
use cloud::client::{ClientOptions, MqttClient, operator_options};
use cloud::local::LocalCloud;
use cloud::updates::Requests;
use releases::{PublicKey, Release, Signer};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use slots::Version;
use tempfile::TempDir;
use things::settings::Settings;
use update::machine::{Action, FlashError, Installed, Limits, Machine, Outcome, Store};
use update::progress::{Fetch, Missing};
use updates::{Local, Order, Orders, Place, Targets};

const SECTOR: usize = 4096;
const LIMITS: Limits = Limits { slot_size: 999_424, block_size: 4096, window: 4 };

/// The board that everything here is for.
pub const BOARD: &str = "lamp-board";

/// A sound image for a slot, of about so many bytes, which are not all alike.
#[must_use]
pub fn image(version: [u8; 3], board: &str, bytes: usize) -> Vec<u8> {
    let mut code = b"FWD1".to_vec();
    code.extend([version[0], 0, version[1], 0, version[2], 0, 0, 0]);
    code.extend(board.as_bytes());
    code.resize(48, 0);
    code.extend((0..bytes.next_multiple_of(16)).map(|at| (at * 7 + at / 1024) as u8));
    let length = u32::try_from(code.len()).expect("it is small").to_le_bytes();
    let mut image = vec![0xEA, 4, 2, 0x40, 4, 0, 0x10, 0x40, 0, 0, 0, 0];
    image.extend(length);
    image.extend(code);
    image.extend([0xE9, 1, 2, 0x40, 4, 0, 0x10, 0x40]);
    image.extend([0, 0, 0x10, 0x40, 4, 0, 0, 0, 1, 2, 3, 4]);
    image.resize(image.len().next_multiple_of(16) + 4 + 8, 0);
    board::image::seal(&mut image).expect("it is an image");
    image
}

/// A local cloud with jobs and streams for some things, and a key that signs.
pub struct Lab {
    /// The cloud; None while it is stopped. Ends before its folder does.
    pub cloud: Option<LocalCloud>,
    /// Where everything lies.
    pub folder: TempDir,
    things: Vec<String>,
    /// Whoever signs.
    pub signer: Signer,
    /// Its key.
    pub key: PublicKey,
}

impl Lab {
    /// A cloud that runs, with these things.
    ///
    /// # Panics
    /// When something does not start, as everything here does.
    #[must_use]
    pub fn new(things: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("signing");
        let signer = Signer::with_key(&releases::make_key(&keys).unwrap()).unwrap();
        let key = PublicKey::read(&keys.join("signing.pub")).unwrap();
        let things = things.iter().map(|thing| (*thing).to_owned()).collect();
        let mut lab = Self { folder, cloud: None, things, signer, key };
        lab.start();
        lab
    }

    /// Starts the cloud, as `make run` does.
    pub fn start(&mut self) {
        let settings = Settings {
            certs: self.folder.path().join("certs"),
            state: self.folder.path().join("state"),
            thing: self.things[0].clone(),
            status_topic: "esp8266/status".to_owned(),
            control_topic: "esp8266/control".to_owned(),
        };
        let things = self.things.clone();
        let cloud =
            LocalCloud::start_with(&settings, &self.folder.path().join("cloud"), |_, options| {
                for thing in &things[1..] {
                    let (status, control) = (format!("{thing}/status"), format!("{thing}/control"));
                    options.grants.push(Grant::device(thing, &status, &control));
                }
                Ok(())
            });
        let mut cloud = cloud.unwrap();
        cloud.serve_updates(&self.things[1..]).unwrap();
        self.cloud = Some(cloud);
    }

    /// The cloud.
    #[must_use]
    pub fn cloud(&self) -> &LocalCloud {
        self.cloud.as_ref().expect("it runs")
    }

    /// How a thing connects.
    #[must_use]
    pub fn options(&self, thing: &str) -> ClientOptions {
        let cloud = self.cloud();
        let credential = cloud.pki.clients.issue(&LeafRequest::client(thing)).unwrap();
        ClientOptions {
            port: cloud.servers.broker.device_port(),
            credential: Some(credential),
            client_id: thing.to_owned(),
            ..operator_options(&cloud.pki, 0)
        }
    }

    /// A signed image.
    #[must_use]
    pub fn release(&self, version: [u8; 3], bytes: usize) -> Release {
        Release::sign(image(version, BOARD, bytes), &self.signer).unwrap()
    }

    /// The account as a person reaches it.
    #[must_use]
    pub fn account(&self) -> (Local, Place) {
        let mut local = Local(Requests::new(self.cloud().operator().unwrap()).unwrap());
        let place = Place::ask(&mut local, cloud::updates::account::REGION, true).unwrap();
        (local, place)
    }

    /// Where orders are written down.
    #[must_use]
    pub fn orders(&self) -> Orders {
        Orders::new(&self.folder.path().join("orders"))
    }

    /// Writes an order down.
    #[must_use]
    pub fn order(
        &self,
        place: &Place,
        targets: Targets,
        release: &Release,
        limits: updates::Limits,
    ) -> Order {
        let order = Order::new(targets, release, place, None, None, limits).unwrap();
        self.orders().begin(&order, release).unwrap();
        order
    }

    /// What the cloud still stores for streams.
    #[must_use]
    pub fn objects(&self) -> usize {
        let folder = self.folder.path().join("cloud/updates/objects");
        std::fs::read_dir(folder).unwrap().count()
    }
}

/// How a device behaves once it runs a new image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// It proves itself.
    Good,
    /// It does not, and the old image comes back.
    Crashes,
}

/// What is known of a device from outside.
#[derive(Clone, Debug)]
pub struct Known {
    /// The version that runs.
    pub version: Version,
    /// How often it was started.
    pub boots: u32,
}

/// A device on a thread of its own; it ends when this is dropped.
pub struct Device {
    known: Arc<Mutex<Known>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Device {
    /// Starts a device that trusts this key.
    #[must_use]
    pub fn start(
        thing: &str,
        options: ClientOptions,
        key: PublicKey,
        version: [u16; 3],
        behaviour: Behaviour,
    ) -> Self {
        let [major, minor, patch] = version;
        let version = Version { major, minor, patch };
        let known = Arc::new(Mutex::new(Known { version, boots: 0 }));
        let stop = Arc::new(AtomicBool::new(false));
        let mut chip = Chip {
            thing: thing.to_owned(),
            key,
            behaviour,
            version,
            slot: vec![0x5A; LIMITS.slot_size as usize],
            progress: vec![0xA5; SECTOR],
            size: 0,
            installed: None,
            known: Arc::clone(&known),
            stop: Arc::clone(&stop),
            begun: Instant::now(),
        };
        let thread = std::thread::spawn(move || {
            while !chip.stopped() {
                // A broker that is gone: tried again, as a device does.
                if chip.boot(&options).is_err() {
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        });
        Self { known, stop, thread: Some(thread) }
    }

    /// What is known of it.
    #[must_use]
    pub fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The chip: flash, keys, and what runs.
struct Chip {
    thing: String,
    key: PublicKey,
    behaviour: Behaviour,
    version: Version,
    slot: Vec<u8>,
    progress: Vec<u8>,
    size: usize,
    installed: Option<Installed>,
    known: Arc<Mutex<Known>>,
    stop: Arc<AtomicBool>,
    begun: Instant,
}

impl Chip {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// From one start to the next.
    fn boot(&mut self, options: &ClientOptions) -> Result<()> {
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.boots += 1;
            known.version = self.version;
        }
        let mut client = MqttClient::connect(options)?;
        let mut machine = Machine::new(&self.thing, LIMITS, self.installed.clone());
        machine.connected(self.now());
        let trial = self.installed.as_ref().is_some_and(|last| last.outcome == Outcome::Trial);
        if trial {
            machine.proved(self.now());
            if let Some(installed) = &mut self.installed {
                installed.outcome = Outcome::Good;
            }
        }
        while !self.stopped() {
            while let Some(action) = machine.poll(self.now()) {
                if self.act(action, &mut machine, &mut client)? {
                    return Ok(());
                }
            }
            let Some(message) = client.next(Duration::from_millis(20))? else { continue };
            if let Some(store) = machine.message(&message.topic, &message.payload, self.now()) {
                self.store(store);
                machine.stored(Ok(()), self.now());
            }
        }
        Ok(())
    }

    /// Carries an action out; true when the device restarts.
    fn act(
        &mut self,
        action: Action,
        machine: &mut Machine,
        client: &mut MqttClient,
    ) -> Result<bool> {
        match action {
            Action::Subscribe(topic) => client.subscribe(&topic)?,
            Action::Publish { topic, payload } => client.publish(&topic, &payload, false)?,
            Action::Begin(fetch) => {
                self.size = fetch.size as usize;
                let found = Missing::resume(fetch, |index| {
                    let bytes = self.progress.get(4 * index..).and_then(|rest| rest.first_chunk());
                    bytes.map_or(u32::MAX, |word| u32::from_le_bytes(*word))
                });
                let missing = found.map_or_else(|| self.prepare(fetch), Ok);
                machine.begun(missing, self.now());
            }
            Action::Check(work) => {
                let verdict = self.check(&work);
                if verdict.is_err() {
                    self.progress.fill(0xFF);
                }
                let verdict = verdict.as_ref().map(|_| ()).map_err(String::as_str);
                machine.checked(verdict, self.now());
            }
            Action::Install { what } => {
                let (version, outcome) = match self.behaviour {
                    Behaviour::Good => (self.described()?.version(), Outcome::Trial),
                    Behaviour::Crashes => {
                        let reason = "panic at the first line, three times".to_owned();
                        (self.version, Outcome::Failed(reason))
                    }
                };
                self.version = version;
                self.installed = Some(Installed { what, outcome });
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn prepare(&mut self, fetch: Fetch) -> Result<Missing, FlashError> {
        self.progress.fill(0xFF);
        for (index, word) in fetch.header().into_iter().enumerate() {
            self.progress[4 * index..][..4].copy_from_slice(&word.to_le_bytes());
        }
        Ok(Missing::all(fetch))
    }

    fn store(&mut self, Store { erase, offset, content, mark: (word, value) }: Store<'_>) {
        if let Some(sector) = erase {
            self.slot[sector as usize..][..SECTOR].fill(0xFF);
        }
        for (at, byte) in (offset as usize..).zip(content) {
            // As flash: bits go from 1 to 0 only.
            self.slot[at] &= byte;
        }
        self.progress[4 * word..][..4].copy_from_slice(&value.to_le_bytes());
    }

    fn described(&self) -> Result<slots::Descriptor> {
        releases::describe(&self.slot[..self.size]).context("what was installed is no image")
    }

    /// What the device checks, over what is read back.
    fn check(&self, work: &update::machine::Work) -> Result<(), String> {
        let image = &self.slot[..self.size];
        let mut point = [4; 65];
        point[1..].copy_from_slice(self.key.point());
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(image, &work.signature)
            .map_err(|_| "the signature is of no key that this device trusts".to_owned())?;
        let descriptor = releases::describe(image).map_err(|error| error.to_string())?;
        if descriptor.board() != BOARD {
            return Err(format!("the image is for the board {}", descriptor.board()));
        }
        if descriptor.version() <= self.version && !work.allow_downgrade {
            return Err(format!("version {} is no newer one", descriptor.version()));
        }
        Ok(())
    }
}
