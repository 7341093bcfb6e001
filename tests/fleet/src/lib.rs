//! Devices that take updates, without a chip: the state machine of `crates/update` with a flash in
//! memory, one thread each, at a local cloud that is run for the test.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use certificates::LeafRequest;
use cloud::broker::Grant;
use cloud::client::{ClientOptions, MqttClient, operator_options};
use cloud::local::LocalCloud;
use cloud::updates::Requests;
use releases::{PublicKey, Release, Signer};
use slots::{
    ATTEMPTS, DESCRIPTOR_WORD, DESCRIPTOR_WORDS, Descriptor, Mark, RECORD_WORDS, RECORDS, Records,
    SECTOR, Slot, Version, mark_attempt,
};
use tempfile::TempDir;
use things::settings::Settings;
use things::topics::Topics;
use update::install::{Flash, Installer, LIMITS, Own};
use update::machine::{Action, FlashError, Machine, Outcome};
use updates::{Content, Local, Order, Orders, Place, Standing, Targets, ThingStanding, Watcher};

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
        let settings = Settings::below(self.folder.path(), &self.things[0]);
        let things = self.things.clone();
        let cloud =
            LocalCloud::start_with(&settings, &self.folder.path().join("cloud"), |_, options| {
                for thing in &things[1..] {
                    let (status, control) = (format!("{thing}/status"), format!("{thing}/control"));
                    options.grants.push(Grant::device(thing, &Topics::new(&status, &control)));
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
            port: cloud.broker.device_port(),
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
        let content = Content::Firmware(release);
        let order = Order::new(targets, content, place, None, None, limits).unwrap();
        self.orders().begin(&order, content).unwrap();
        order
    }

    /// What the cloud still stores for streams.
    #[must_use]
    pub fn objects(&self) -> usize {
        let folder = self.folder.path().join("cloud/updates/objects");
        std::fs::read_dir(folder).unwrap().count()
    }
}

/// Follows an update for so long at most, and keeps what it hears of things.
#[derive(Debug)]
pub struct Patient {
    until: Instant,
    /// How the job stood last.
    pub standing: Standing,
    /// Everything that was told of things.
    pub things: Vec<ThingStanding>,
}

impl Patient {
    /// For so long.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        let until = Instant::now() + limit;
        Self { until, standing: Standing::default(), things: Vec::new() }
    }
}

impl Watcher for Patient {
    fn say(&mut self, _: &str) {}

    fn stands(&mut self, standing: &Standing) -> bool {
        self.standing = standing.clone();
        self.things.extend(standing.things.iter().cloned());
        Instant::now() < self.until
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
        version: [u8; 3],
        behaviour: Behaviour,
    ) -> Self {
        let mut flash = vec![0xFF; 0x40_0000];
        let first = image(version, BOARD, 1000);
        flash[Slot::A.offset() as usize..][..first.len()].copy_from_slice(&first);
        let [major, minor, patch] = version.map(u16::from);
        let version = Version { major, minor, patch };
        let known = Arc::new(Mutex::new(Known { version, boots: 0 }));
        let stop = Arc::new(AtomicBool::new(false));
        let mut chip = Chip {
            thing: thing.to_owned(),
            key,
            behaviour,
            flash: Memory(RefCell::new(flash)),
            slot: Slot::A,
            version,
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

/// A flash of 4 MiB.
struct Memory(RefCell<Vec<u8>>);

impl Flash for Memory {
    fn read(&self, offset: u32, words: &mut [u32]) -> Result<(), FlashError> {
        let bytes = self.0.borrow();
        for (word, bytes) in words.iter_mut().zip(bytes[offset as usize..].chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into().map_err(|_| FlashError)?);
        }
        Ok(())
    }

    fn write(&self, offset: u32, words: &[u32]) -> Result<(), FlashError> {
        let mut bytes = self.0.borrow_mut();
        let new = words.iter().flat_map(|word| word.to_le_bytes());
        for (byte, new) in bytes[offset as usize..].iter_mut().zip(new) {
            *byte &= new;
        }
        Ok(())
    }

    fn erase(&self, offset: u32) -> Result<(), FlashError> {
        self.0.borrow_mut()[offset as usize..][..SECTOR as usize].fill(0xFF);
        Ok(())
    }
}

/// The chip: flash, keys, and what runs.
struct Chip {
    thing: String,
    key: PublicKey,
    behaviour: Behaviour,
    flash: Memory,
    slot: Slot,
    version: Version,
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
        let crash = self.start();
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.boots += 1;
            known.version = self.version;
        }
        let mut client = MqttClient::connect(options)?;
        let installer = Installer::new(&self.flash, self.slot);
        let installed = installer.installed(crash);
        let trial = installed.as_ref().is_some_and(|last| last.outcome == Outcome::Trial);
        let own = Own { keys: vec![self.key.point()], thing: &self.thing, ..Own::default() };
        let mut machine = Machine::new(&self.thing, LIMITS, installed);
        machine.connected(self.now());
        if trial {
            installer.accept()?;
            machine.proved(self.now());
        }
        while !self.stopped() {
            while let Some(action) = machine.poll(self.now()) {
                match action {
                    Action::Subscribe(topic) => client.subscribe(&topic)?,
                    Action::Publish { topic, payload } => {
                        client.publish(&topic, &payload, false)?
                    }
                    Action::Begin(fetch) => machine.begun(installer.begin(fetch), self.now()),
                    Action::Check => {
                        let verdict = installer.check::<crypto_tests::Hash>(machine.work(), &own);
                        machine.checked(verdict, self.now());
                    }
                    Action::Carry { sector } => {
                        machine.carried(installer.carry(sector), self.now());
                    }
                    Action::Install => {
                        installer.install(machine.work(), &own)?;
                        return Ok(());
                    }
                }
            }
            let Some(message) = client.next(Duration::from_millis(20))? else { continue };
            let now = self.now();
            if let Some(store) = machine.message(&message.topic, &message.payload, now) {
                machine.stored(installer.store(&store), now);
            }
        }
        Ok(())
    }

    /// What the boot stage does; and, of a new image that is bad, what is left of its three starts.
    fn start(&mut self) -> Option<&'static str> {
        let mut sectors = [[0; RECORD_WORDS]; 2];
        for (offset, words) in RECORDS.into_iter().zip(&mut sectors) {
            self.flash.read(offset, words).ok()?;
        }
        let (sector, newest) = Records::read(&sectors).newest()?;
        if newest.slot != self.slot && newest.may_boot() {
            if self.behaviour == Behaviour::Crashes {
                for attempt in 0..ATTEMPTS {
                    let Mark { word, value } = mark_attempt(attempt);
                    self.flash.write(RECORDS[sector] + 4 * word, &[value]).ok()?;
                }
                return Some("panic at the first line");
            }
            self.slot = newest.slot;
            let mut words = [0; DESCRIPTOR_WORDS];
            let descriptor = self.slot.offset() + 4 * DESCRIPTOR_WORD;
            self.flash.read(descriptor, &mut words).ok()?;
            let descriptor = Descriptor::read(|at| words[(at - DESCRIPTOR_WORD) as usize])?;
            self.version = descriptor.version();
        }
        None
    }
}
