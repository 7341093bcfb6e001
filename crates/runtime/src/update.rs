//! Updates over the air: what `crates/update` decides, carried out on connection and flash
//! (`docs/updates.md`).

use alloc::boxed::Box;
use alloc::format;

use ::update::install::{Flash, GaveUp, Installer, LIMITS, Own};
use ::update::machine::{Action, Done, Installed, Machine, Outcome, Store};
use identity::Stored;
use mqtt::{Client, Error, Message, Qos};
use runtime_model::closings::{ANSWER_MS, Closings};

use crate::{Plan, Thing};

pub use ::update::install::Slot;

/// Milliseconds that a connection lasts before a firmware on trial has proved itself: one that
/// crashes as soon as it is connected has not.
const PROVING_MS: u64 = 15_000;

/// Milliseconds of a connection that a thing which sleeps stays awake for an update: longer than the
/// machine waits for blocks that do not come. What is left is done when it wakes.
const HOLD_MS: u32 = 900_000;

/// Milliseconds that the restart into an update waits for messages that are to be published.
const LAST_WORDS_MS: u64 = 10_000;

/// Longest message of the jobs service that is understood, in bytes.
pub(crate) const LONGEST_MESSAGE: usize = 2048;

/// The two slots of a board.
#[derive(Clone, Copy)]
pub struct Slots {
    slot: Slot,
    flash: &'static (dyn Flash + Sync),
    restart: fn() -> !,
    /// A pointer, and [`Updates`] a trait, so that the linker leaves all of updates out of an image
    /// that makes no slots.
    pub(crate) begin: Begin,
}

impl Slots {
    /// Of a board that runs `slot`, whose flash may be touched as far as `flash` does, and which
    /// `restart` resets.
    pub fn new(slot: Slot, flash: &'static (dyn Flash + Sync), restart: fn() -> !) -> Self {
        Self { slot, flash, restart, begin: OverTheAir::begin }
    }
}

/// Begins with what the boot records say, before anything else is known of this boot. Takes the record
/// of the last crash, and what resets the device with a reason.
type Begin = fn(Slots, Option<&str>, fn(&str) -> !) -> Box<dyn Updates>;

/// What the link task asks of updates.
pub(crate) trait Updates {
    /// Takes the identity's settings.
    fn configure(&mut self, stored: &Stored<'static>);

    /// Whether this firmware has to prove itself.
    fn on_trial(&self) -> bool;

    /// The slot, and the word for what became of the last update.
    fn facts(&self) -> (&'static str, &'static str);

    /// Lets the old firmware come back, when this one is on trial and has had its time. Called now
    /// and then, connected or not.
    fn look(&self);

    /// Lets the old firmware come back, when this one is on trial and cannot use its identity.
    fn reject_on_trial(&self, why: &str);

    /// The server took a connection. `kept`: with the session of the one before.
    ///
    /// # Errors
    /// Those of the connection. That the server allows no jobs is none.
    fn connected(&mut self, client: &mut Client, kept: bool) -> Result<(), Error>;

    /// Whether a thing that wants to sleep has to wait: for the end of its trial, for an update, or
    /// for the answer that may tell of one.
    fn holds(&self) -> bool;

    /// The connection has ended, and why.
    fn disconnected(&mut self, end: &Error);

    /// The server has a message of ours.
    fn acknowledged(&mut self);

    /// Takes a message, if it is one of updates. The application may have subscribed to it too.
    fn message(&mut self, message: &Message) -> bool;

    /// Takes a block, if one has come.
    fn block(&mut self, client: &mut Client) -> bool;

    /// Does what is due, and says when this firmware has proved itself.
    ///
    /// # Errors
    /// Those of the connection; `Renewed` when there should be another.
    fn turn(&mut self, client: &mut Client, thing: &Thing, plan: &mut Plan) -> Result<(), Error>;
}

/// The updates of a board with two slots.
struct OverTheAir {
    slots: Slots,
    installer: Installer<'static>,
    /// Of the identity that runs.
    own: Own<'static>,
    /// The other slot has that identity, or it could not be given to it in this boot.
    shared: bool,
    installed: Option<Installed>,
    /// The jobs service was told in this boot that it failed.
    told: bool,
    /// The job that was ended last in this boot.
    done: Done,
    /// On trial: the uptime in milliseconds by which this firmware must have proved itself.
    deadline: Option<u64>,
    /// On trial: what it has not come to yet.
    lacks: GaveUp,
    give_up: fn(&str) -> !,
    /// Whether the server has acknowledged the subscriptions since boot.
    subscribed: bool,
    /// Of this connection.
    machine: Option<Box<Machine>>,
    since: u64,
    /// Messages that were too large, of all connections.
    oversized: u32,
    /// A connection ended when it was asked for the name of a job, as AWS ends it where a policy does
    /// not allow that: never again in this boot.
    nameless: bool,
    /// The server has acknowledged a message on it.
    acknowledged: bool,
    /// The jobs service has answered on it.
    answered: bool,
    closings: Closings,
    /// Fewest bytes of heap that were free on it before an update began.
    least_heap: usize,
    /// When an update was installed, after which nothing is done but the restart.
    installed_at: Option<u64>,
}

impl OverTheAir {
    /// What the boot records say, before anything else is known of this boot. `crash` is the record
    /// of the last crash.
    fn begin(slots: Slots, crash: Option<&str>, give_up: fn(&str) -> !) -> Box<dyn Updates> {
        let installer = Installer::new(slots.flash, slots.slot);
        let installed = installer.installed(crash);
        let trial = matches!(&installed, Some(Installed { outcome: Outcome::Trial, .. }));
        let outcome = match &installed {
            None => "no update yet",
            Some(Installed { outcome: Outcome::Trial, .. }) => "an update on trial",
            Some(Installed { outcome: Outcome::Good, .. }) => "the last update is good",
            Some(Installed { outcome: Outcome::Failed(reason), .. }) => {
                log::warn!("the last update failed: {reason}");
                "an update failed"
            }
        };
        log::info!("slot {}, {outcome}", slots.slot.name());
        Box::new(Self {
            slots,
            installer,
            own: Own::default(),
            shared: false,
            installed,
            told: false,
            done: Done::default(),
            deadline: trial.then_some(u64::from(identity::DEFAULT_TRIAL_S) * 1000),
            lacks: GaveUp::NotConnected,
            give_up,
            subscribed: false,
            machine: None,
            since: 0,
            oversized: 0,
            nameless: false,
            acknowledged: false,
            answered: false,
            closings: Closings::default(),
            least_heap: 0,
            installed_at: None,
        })
    }

    fn reject(&self, why: &str, reason: GaveUp) -> ! {
        log::error!("{why}: back to the other slot");
        // Without the mark, what is left of the attempts comes first.
        if self.installer.give_up(reason).is_err() {
            log::error!("the boot record cannot be written");
        }
        (self.give_up)(why)
    }

    fn prove(&mut self, thing: &Thing, plan: &Plan, now: u64) {
        match self.installer.accept() {
            Ok(()) => {
                log::info!("this firmware has proved itself");
                self.deadline = None;
                if let Some(installed) = &mut self.installed {
                    installed.outcome = Outcome::Good;
                }
                thing.update_proved();
                plan.wake_reporter();
                if let Some(machine) = &mut self.machine {
                    machine.proved(now);
                }
            }
            // Tried again until the time is up.
            Err(error) => log::error!("{error}"),
        }
    }
}

impl Updates for OverTheAir {
    fn configure(&mut self, stored: &Stored<'static>) {
        self.own = Own::from(stored);
        if let Some(deadline) = &mut self.deadline {
            *deadline = u64::from(stored.identity.trial_s) * 1000;
        }
        if self.own.keys.is_empty() {
            log::info!("no update is taken: the identity has no key for them");
        } else if self.own.thing.is_empty() {
            log::warn!("no update is taken: the identity names no thing");
        }
    }

    fn on_trial(&self) -> bool {
        self.deadline.is_some()
    }

    fn facts(&self) -> (&'static str, &'static str) {
        let outcome = match self.installed.as_ref().map(|last| &last.outcome) {
            None => "",
            Some(Outcome::Trial) if self.on_trial() => "trial",
            Some(Outcome::Trial | Outcome::Good) => "good",
            Some(Outcome::Failed(_)) => "failed",
        };
        (self.slots.slot.name(), outcome)
    }

    fn look(&self) {
        if let Some(deadline) = self.deadline
            && rtos::uptime_ms() >= deadline
        {
            let why = format!("update: not proved within {} s", deadline / 1000);
            self.reject(&why, self.lacks);
        }
    }

    fn reject_on_trial(&self, why: &str) {
        if self.on_trial() {
            self.reject(why, GaveUp::NoIdentity);
        }
    }

    fn connected(&mut self, client: &mut Client, kept: bool) -> Result<(), Error> {
        let now = rtos::uptime_ms();
        self.since = now;
        self.acknowledged = false;
        self.answered = false;
        self.lacks = self.lacks.max(GaveUp::NotAnswered);
        self.subscribed &= kept;
        if self.own.keys.is_empty() || self.own.thing.is_empty() {
            return Ok(());
        }
        if !self.closings.connected(now as u32) {
            return Ok(());
        }
        let installed = self.installed.clone().filter(|_| !self.told);
        let mut machine = Box::new(Machine::new(self.own.thing, LIMITS, installed));
        machine.comes_after(self.done);
        if self.nameless {
            machine.forbid_naming();
        }
        machine.connected(now);
        while let Some(filter) = machine.next_filter() {
            if self.subscribed {
                continue;
            }
            self.closings.asked(rtos::uptime_ms() as u32);
            match client.subscribe(&filter, Qos::AtMostOnce) {
                Ok(()) => self.closings.answered(),
                Err(Error::SubscriptionRefused) => {
                    log::warn!("no update is taken for now: the server refuses {filter}");
                    let own = identity::crc32(&[self.own.thing.as_bytes()]);
                    self.closings.refused(own, self.on_trial(), rtos::uptime_ms() as u32);
                    return Ok(());
                }
                Err(error) => {
                    log::warn!("not subscribed to {filter}");
                    return Err(error);
                }
            }
        }
        self.subscribed = true;
        self.closings.granted();
        client.set_aside(&machine.streams());
        // What the handshake took is not what an update is compared with.
        rtos::heap::mark();
        self.machine = Some(machine);
        Ok(())
    }

    fn holds(&self) -> bool {
        let lasted = (rtos::uptime_ms() - self.since) as u32;
        let busy = self.machine.as_ref().is_some_and(|machine| machine.is_busy());
        self.on_trial() || busy && lasted < if self.answered { HOLD_MS } else { ANSWER_MS }
    }

    fn disconnected(&mut self, end: &Error) {
        if self.installed_at.is_some() {
            (self.slots.restart)();
        }
        if let Some(machine) = self.machine.take() {
            self.told |= machine.is_told();
            self.done = machine.done();
            self.nameless |= end.is_close() && machine.is_naming_in_vain();
        }
        let (closed, now) = (end.is_close(), rtos::uptime_ms() as u32);
        if self.closings.ended(closed, self.on_trial(), now) {
            log::warn!(
                "no update is taken for an hour: asked for them, the server closes; does the policy allow jobs?"
            );
        }
    }

    fn acknowledged(&mut self) {
        self.acknowledged = true;
    }

    fn message(&mut self, message: &Message) -> bool {
        let Some(machine) = &mut self.machine else { return false };
        if !machine.is_for_updates(&message.topic) {
            return false;
        }
        self.closings.answered();
        take(machine, &self.installer, &message.topic, &message.payload);
        true
    }

    fn block(&mut self, client: &mut Client) -> bool {
        let Some(machine) = &mut self.machine else { return false };
        let taken = client.aside(|topic, payload| take(machine, &self.installer, topic, payload));
        if taken.is_some() {
            self.closings.answered();
        }
        taken.is_some()
    }

    fn turn(&mut self, client: &mut Client, thing: &Thing, plan: &mut Plan) -> Result<(), Error> {
        if let Some(since) = self.installed_at {
            let talks = client.is_publishing() || thing.outbox().waiting() > 0;
            let waits = talks && rtos::uptime_ms() - since < LAST_WORDS_MS;
            if !waits && plan.is_ready_to_restart() {
                (self.slots.restart)();
            }
            return Ok(());
        }
        self.look();
        // One that the jobs service does not know could never be mended by the next. An application may
        // have nothing to publish; what it has, the server must have taken.
        self.answered |= self.machine.as_ref().is_some_and(|machine| machine.is_answered());
        let now = rtos::uptime_ms();
        if self.on_trial() && self.answered {
            self.lacks = GaveUp::NotLasting;
            if !client.is_publishing() && now - self.since >= PROVING_MS {
                self.prove(thing, plan, now);
            }
        }
        if !self.shared && (self.answered || self.acknowledged) && !self.on_trial() {
            self.shared = true;
            if let Err(error) = self.installer.share(&self.own) {
                log::error!("the identity of the other slot: {error}");
            }
        }
        if self.closings.is_time(now as u32) && !client.is_publishing() {
            return Err(Error::Renewed);
        }
        let Some(machine) = &mut self.machine else { return Ok(()) };
        if core::mem::replace(&mut self.oversized, client.oversized()) != self.oversized {
            machine.missed(now);
        }
        while let Some(action) = machine.poll(now) {
            match action {
                Action::Subscribe(_) => {}
                Action::Publish { topic, payload } => {
                    if !topic.ends_with("cbor") {
                        let text = core::str::from_utf8(&payload).unwrap_or_default();
                        log::info!("{text}");
                    }
                    self.closings.asked(now as u32);
                    match client.publish(&topic, &payload, Qos::AtMostOnce) {
                        Ok(()) => {}
                        // What has no answer is published again, or else said with the next block.
                        Err(Error::OutOfMemory) if topic.ends_with("/update") => machine.not_said(),
                        Err(Error::OutOfMemory) => {}
                        Err(error) => return Err(error),
                    }
                }
                Action::Begin(fetch) => {
                    self.least_heap = rtos::heap::low_water_since_mark();
                    rtos::heap::mark();
                    machine.begun(self.installer.begin(fetch), now);
                }
                Action::Check => {
                    let verdict = self.installer.check::<tls::Sha256>(machine.work(), &self.own);
                    let taken = self.least_heap.saturating_sub(rtos::heap::low_water_since_mark());
                    log::info!("took {taken} bytes of heap");
                    machine.checked(verdict, now);
                }
                // One in a turn: messages and keep-alives go on between them. Nothing is waited for: the
                // idle task, which the watchdog wants to see, gets its time here.
                Action::Carry { sector } => {
                    machine.carried(self.installer.carry(sector), now);
                    crate::pause(1);
                    thing.link().wake();
                    break;
                }
                Action::Install if !plan.is_ready_to_restart() => {
                    machine.not_yet();
                    break;
                }
                Action::Install => match self.installer.install(machine.work(), &self.own) {
                    Ok(()) => {
                        log::info!("restarting into slot {}", self.slots.slot.other().name());
                        self.installed_at = Some(now);
                        thing.link().wake();
                        break;
                    }
                    Err(_) => machine.not_installed(now),
                },
            }
        }
        Ok(())
    }
}

/// Hands a message to the machine, and stores the block that it is.
fn take(machine: &mut Machine, installer: &Installer<'_>, topic: &str, payload: &[u8]) {
    let now = rtos::uptime_ms();
    let stored =
        machine.message(topic, payload, now).map(|store: Store<'_>| installer.store(&store));
    if let Some(stored) = stored {
        machine.stored(stored, now);
    }
}
