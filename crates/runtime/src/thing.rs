//! The device as its application sees it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use rtos::{Waker, watchdog};
use runtime_model::report::{self, Report};
use runtime_model::tries::Tries;

use crate::outbox::{Delivery, Kind, NotPublished, Outbox, Outgoing, Refused, Topic};
use crate::update::Updates;
use crate::{LOOK_MS, made, wifi};

/// The device as its application sees it: a handle that any task may hold, cheap to clone.
#[derive(Clone)]
pub struct Thing(Arc<Shared>);

/// Longest pause between two attempts to connect while a firmware is on trial, in seconds.
const TRIAL_CAP_S: u16 = 20;

/// Milliseconds between looks whether the connection has ended.
const LEAVE_LOOK_MS: u32 = 5;
/// Milliseconds of the time to leave in which no message is waited for any more: to say so to the
/// server and keep what is kept.
const LEAVE_AT_ONCE_MS: u64 = 100;

/// What is known of this boot.
pub(crate) struct Facts {
    pub version: &'static str,
    pub reset_reason: &'static str,
    pub crash: Option<String>,
    pub forget_crash: fn(),
    pub wifi: Option<wifi::Facts>,
    /// The slot that runs and what became of the last update, on a board with two slots.
    pub update: Option<(&'static str, &'static str)>,
}

struct Shared {
    facts: Facts,
    outbox: Outbox,
    /// Wakes the link task: network, message, something to publish.
    link: Waker,
    connected: AtomicBool,
    /// Connections since boot.
    connections: AtomicU32,
    crash_told: AtomicBool,
    /// The application wants the connection to end for good.
    leaving: AtomicBool,
    /// Its time is nearly over.
    late: AtomicBool,
    /// It has to wait for an update.
    held: AtomicBool,
    /// It has, and what is kept over a sleep is kept.
    left: AtomicBool,
    /// The update that was on trial has proved itself.
    update_proved: AtomicBool,
}

impl Thing {
    pub(crate) fn new(facts: Facts) -> Self {
        Self(Arc::new(Shared {
            facts,
            outbox: Outbox::new(),
            link: made(Waker::new()),
            connected: AtomicBool::new(false),
            connections: AtomicU32::new(0),
            crash_told: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            late: AtomicBool::new(false),
            held: AtomicBool::new(false),
            left: AtomicBool::new(false),
            update_proved: AtomicBool::new(false),
        }))
    }

    /// Whether the server can be reached now, as far as is known.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.connected.load(Ordering::Acquire)
    }

    /// How often the connection was made again since boot.
    #[must_use]
    pub fn reconnects(&self) -> u32 {
        self.0.connections.load(Ordering::Acquire).saturating_sub(1)
    }

    /// Why the CPU was last reset.
    #[must_use]
    pub fn reset_reason(&self) -> &'static str {
        self.0.facts.reset_reason
    }

    /// Publishes at QoS 1 without waiting. The message is kept until the server has it, over
    /// connections, but not over a reset; it may come twice. It is dropped, which the log tells,
    /// when three connections ended over it. To be sent it needs a block of heap of three times its
    /// topic and payload and 1 KB; until there is one, others go first, and after ten minutes of that it
    /// is dropped.
    ///
    /// # Errors
    /// [`Refused`]: eight messages are waiting, or 2 KB; or the topic is none.
    pub fn post(
        &self,
        topic: impl Into<Topic>,
        payload: impl Into<Vec<u8>>,
    ) -> Result<(), Refused> {
        self.put(topic.into(), payload.into(), Kind::Kept(Tries::default()))
    }

    /// Publishes at QoS 1 and waits until the server has it: at most so many milliseconds for the
    /// message's turn, then for the answer, which takes 15 s at most. A task under watch shows life
    /// meanwhile. Not for handlers, which run in the task that would have to send it.
    ///
    /// # Errors
    /// [`NotPublished`]. There is no message left behind, whatever it says.
    pub fn publish(
        &self,
        topic: impl Into<Topic>,
        payload: impl Into<Vec<u8>>,
        milliseconds: u32,
    ) -> Result<(), NotPublished> {
        if !self.is_connected() {
            return Err(NotPublished::NotConnected);
        }
        let delivery = Delivery::new()?;
        self.put(topic.into(), payload.into(), Kind::Waited(delivery.clone()))?;
        let end = rtos::uptime_ms() + u64::from(milliseconds);
        loop {
            watchdog::renew();
            // Put in after the connection's end it would wait for the next one.
            let connected = self.is_connected();
            let late = !connected || rtos::uptime_ms() >= end;
            if late && self.0.outbox.withdraw(&delivery) {
                return Err(if connected {
                    NotPublished::TooLate
                } else {
                    NotPublished::NotConnected
                });
            }
            if let Some(outcome) = delivery.wait(LOOK_MS) {
                return outcome;
            }
        }
    }

    /// Publishes a report at QoS 1, without waiting: what the runtime knows of the device, as a
    /// JSON object, with the application's members in it (`"led":"on"`). One that still waits is
    /// replaced; without a connection there is none. Reports are half a second apart at least.
    pub fn report(&self, topic: impl Into<Topic>, own: &str) {
        if !self.is_connected() {
            return;
        }
        let stacks = rtos::stack::headroom();
        for stack in &stacks {
            log::debug!(target: "status", "{}: {} bytes of stack never used", stack.task, stack.bytes);
        }
        let tightest = stacks.iter().min_by_key(|stack| stack.bytes);
        let facts = &self.0.facts;
        let access_point = facts.wifi.as_ref().and_then(wifi::Facts::access_point);
        let crash = facts.crash.as_deref().filter(|_| !self.0.crash_told.load(Ordering::Acquire));
        let report = Report {
            uptime_s: (rtos::uptime_ms() / 1000) as u32,
            heap_free: rtos::heap::free() as u32,
            heap_min: rtos::heap::low_water() as u32,
            stack_min: tightest.map_or(0, |stack| stack.bytes as u32),
            stack_task: tightest.map_or("", |stack| &stack.task),
            own,
            reset: facts.reset_reason,
            reconnects: self.reconnects(),
            version: facts.version,
            wifi: facts.wifi.as_ref().map(|wifi| report::Wifi {
                access_point: access_point.as_ref(),
                reconnects: wifi.reconnects(),
            }),
            update: facts.update.map(|(slot, outcome)| report::Update {
                slot,
                outcome: if self.is_update_proved() { "good" } else { outcome },
            }),
            crash,
        };
        let kind = Kind::Report { tells_crash: crash.is_some() };
        // Where there is no room there will be another one.
        let _ = self.put(topic.into(), report.to_json().into_bytes(), kind);
    }

    /// Ends the connection with a word to the server, and keeps what makes the next one short: before
    /// a deep sleep, of a thing whose plan says that it sleeps ([`Plan::sleeps`](crate::Plan::sleeps)).
    /// There is no connection after that until the next boot. Whether it went so within so many
    /// milliseconds: where there is no connection, or no such plan, it does not.
    ///
    /// What was posted or reported goes first, as far as it does in that time; the log tells of messages
    /// that did not, and they do not outlast the sleep.
    ///
    /// An update comes first, and its time does not count: the connection stays until the jobs service
    /// has answered (10 s at most), while an update is fetched (15 minutes at most), and, connected or
    /// not, until a firmware on trial has proved itself or its time is up. So a thing that sleeps calls
    /// this before each sleep, also without a connection.
    pub fn leave(&self, milliseconds: u32) -> bool {
        self.0.leaving.store(true, Ordering::Release);
        self.0.link.wake();
        let mut end = rtos::uptime_ms() + u64::from(milliseconds);
        let left = loop {
            if self.0.left.load(Ordering::Acquire) {
                break true;
            }
            let now = rtos::uptime_ms();
            if self.0.held.load(Ordering::Acquire) {
                end = now + u64::from(milliseconds);
            } else if now >= end {
                break false;
            }
            let late = now + LEAVE_AT_ONCE_MS >= end;
            if self.0.late.swap(late, Ordering::AcqRel) != late {
                self.0.link.wake();
            }
            watchdog::renew();
            crate::pause(LEAVE_LOOK_MS);
        };
        let lost = self.0.outbox.waiting();
        if lost > 0 {
            log::warn!(target: "link", "messages not sent: {lost}");
        }
        left
    }

    /// Whether the application wants no connection any more, and nothing holds it: no update, and, as
    /// long as there is time, no message. One may be on its way.
    pub(crate) fn is_leaving(&self, sending: bool) -> bool {
        let is = |flag: &AtomicBool| flag.load(Ordering::Acquire);
        is(&self.0.leaving)
            && !is(&self.0.held)
            && (is(&self.0.late) || !sending && self.0.outbox.waiting() == 0)
    }

    /// Lets a thing that sleeps wait where an update wants that.
    pub(crate) fn hold(&self, updates: &Option<Box<dyn Updates>>) {
        let held = updates.as_ref().is_some_and(|updates| updates.holds());
        self.0.held.store(held, Ordering::Release);
    }

    /// All is kept.
    pub(crate) fn left(&self) {
        self.0.left.store(true, Ordering::Release);
    }

    fn put(&self, topic: Topic, payload: Vec<u8>, kind: Kind) -> Result<(), Refused> {
        self.0.outbox.put(Box::new(Outgoing { topic, payload, kind }))?;
        self.0.link.wake();
        Ok(())
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    pub(crate) fn link(&self) -> &Waker {
        &self.0.link
    }

    pub(crate) fn wifi(&self) -> Option<&wifi::Facts> {
        self.0.facts.wifi.as_ref()
    }

    /// The update that was on trial has proved itself.
    pub(crate) fn update_proved(&self) {
        self.0.update_proved.store(true, Ordering::Release);
    }

    fn is_update_proved(&self) -> bool {
        self.0.update_proved.load(Ordering::Acquire)
    }

    /// Longest pause between two attempts to connect, to the network or the server, in seconds: the
    /// identity's, unless a firmware is on trial, which has little time.
    pub(crate) fn backoff_cap_s(&self, identitys: u16) -> u16 {
        let on_trial =
            matches!(self.0.facts.update, Some((_, "trial"))) && !self.is_update_proved();
        identitys.min(if on_trial { TRIAL_CAP_S } else { u16::MAX })
    }

    /// The server took a connection.
    pub(crate) fn count_connection(&self) {
        self.0.connections.fetch_add(1, Ordering::AcqRel);
    }

    /// Messages can be carried.
    pub(crate) fn connected(&self) {
        self.0.connected.store(true, Ordering::Release);
    }

    /// The connection has ended.
    pub(crate) fn disconnected(&self) {
        self.0.connected.store(false, Ordering::Release);
        self.0.outbox.disconnected();
    }

    /// A report that tells of the crash has arrived; whether it was the first.
    pub(crate) fn crash_told(&self) -> bool {
        let first = !self.0.crash_told.swap(true, Ordering::AcqRel);
        if first {
            (self.0.facts.forget_crash)();
        }
        first
    }
}
