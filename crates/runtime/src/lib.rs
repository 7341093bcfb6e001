//! What every thing on AWS IoT needs: it reads the identity, brings network and clock up, keeps
//! the device connected, carries messages, and tells of crashes. It knows no topic and no policy.
//!
//! An application says once what it wants of a connection, and uses its [`Thing`] from any task:
//!
//! ```ignore
//! runtime::start(board, "greenhouse", runtime::version!(), |thing, identity, plan| {
//!     let topic = identity.status_topic;
//!     let sensor = thing.clone();
//!     runtime::spawn("sensor", 384, runtime::priority::ORDINARY, move || loop {
//!         let _ = sensor.post(topic, format!("{{\"celsius\":{}}}", celsius()));
//!         runtime::pause(60_000);
//!     });
//!     plan.subscribe(identity.control_topic, 64, move |mut message| match message.whole() {
//!         Some(b"water") => valve.open(),
//!         _ => message.ignore(&"it is not \"water\""),
//!     });
//! });
//! ```
//!
//! Its own tasks are `link`, which owns the MQTT client and blocks in handshakes, and `wifi`,
//! where there is a radio. Handlers run in the link task: they hand work on and do not wait.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod clock;
mod link;
mod nap;
mod outbox;
mod plan;
mod thing;
pub mod update;
pub mod wifi;

pub use identity::Identity;
pub use outbox::{NotPublished, Refused, Topic};
pub use plan::{Plan, Received};
pub use rtos::{self, Waker, priority};
pub use runtime_model as model;
pub use thing::Thing;

use alloc::string::String;

use identity::Stored;
use rtos::{Task, watchdog};

/// The version of the application that says it: that of its crate, unless who builds the firmware
/// says another.
#[macro_export]
macro_rules! version {
    () => {
        match ::core::option_env!("FIRMWARE_VERSION") {
            ::core::option::Option::Some(version) => version,
            ::core::option::Option::None => ::core::env!("CARGO_PKG_VERSION"),
        }
    };
}

/// Where a board keeps the last known time, in seconds since 1970, over resets.
#[derive(Clone, Copy)]
pub struct TimeStore {
    /// The time that was kept last, if any.
    pub kept: fn() -> Option<u32>,
    /// Keeps a time. Called once an hour at most, from a task.
    pub keep: fn(u32),
}

/// What a board hands to the runtime.
pub struct Board<W: wifi::Wifi> {
    /// The flash region with credentials and settings (`crates/identity`).
    pub identity_region: &'static [u8],
    /// The network driver.
    pub network: net::Driver,
    /// The radio, where the network is one.
    pub wifi: Option<W>,
    /// Unpredictable 32 bits, for jitter.
    pub random: fn() -> u32,
    /// Where the time survives resets.
    pub time: TimeStore,
    /// Why the CPU was last reset.
    pub reset_reason: &'static str,
    /// Record of the last crash, if no report has told of it yet.
    pub crash: Option<String>,
    /// Forgets that record, once a report has told of it.
    pub forget_crash: fn(),
    /// Crashes in a row that led to this boot.
    pub crashes: u32,
    /// Resets the device, whose work cannot go on; the next boot's crash record says why.
    pub give_up: fn(&str) -> !,
    /// The slots for firmware, where the board has two of them and takes updates.
    pub slots: Option<update::Slots>,
}

/// Stacks of the tasks, in words: what `status=debug` in the log shows as used, and a third
/// more. The link task's is deepest in a handshake (4464 bytes), which is also when RAM is
/// scarcest: it has a sixth more.
const LINK_STACK: u16 = 1328;
const WIFI_STACK: u16 = 640;

/// The reset reason of who was without a connection for hours.
const GAVE_UP: &str = "gave-up";

/// Creates the link task, which does the rest. It begins when the scheduler starts: it reads the
/// identity, with which `prepare` makes the application's tasks and fills in its plan. `name` and
/// `version` are the application's.
///
/// # Panics
/// When the heap cannot hold it: the image is wrong for its board.
pub fn start<W: wifi::Wifi>(
    board: Board<W>,
    name: &'static str,
    version: &'static str,
    prepare: impl FnOnce(&Thing, &Identity<'static>, &mut Plan) + Send + 'static,
) {
    // All work is done in tasks: the stack that boot has is small and the interrupts' later.
    spawn("link", LINK_STACK, priority::LINK, move || main(board, name, version, prepare));
}

fn main<W: wifi::Wifi>(
    board: Board<W>,
    name: &str,
    version: &'static str,
    prepare: impl FnOnce(&Thing, &Identity<'static>, &mut Plan),
) {
    rtos::log::init();
    let Board {
        identity_region,
        network,
        wifi,
        random,
        time,
        reset_reason,
        crash,
        forget_crash,
        crashes,
        give_up,
        slots,
    } = board;
    log::info!(target: "app", "{name} {version}, reset: {reset_reason}");
    if let Some(crash) = &crash {
        log::warn!(target: "app", "crashed before: {crash}");
    }

    let mut updates = slots.map(|slots| (slots.begin)(slots, crash.as_deref(), give_up));
    let stored = match Stored::read(identity_region) {
        Ok(stored) => {
            if let Some(error) = &stored.other {
                log::warn!(target: "app", "identity: one of its two copies cannot be used: {error}");
            }
            stored
        }
        // Without an identity there is nothing to do, and resetting would not help: one
        // message, then quiet.
        Err(error) => {
            log::error!(target: "app", "identity: {error}");
            if let Some(updates) = &updates {
                updates.reject_on_trial("update: it cannot read the identity");
            }
            log::error!(target: "app", "waiting; this device does nothing until it has an identity");
            return;
        }
    };
    match &mut updates {
        Some(updates) => updates.configure(&stored),
        None => log::info!(target: "update", "none is taken: this firmware is for one slot"),
    }
    let Stored { identity, .. } = stored;
    set_log_levels(&identity);

    let thing = Thing::new(thing::Facts {
        version,
        reset_reason,
        crash,
        forget_crash,
        wifi: wifi.is_some().then(wifi::Facts::new),
        update: updates.as_ref().map(|updates| updates.facts()),
    });
    let mut plan = Plan::default();
    prepare(&thing, &identity, &mut plan);
    if let Some(radio) = wifi {
        let networks = wifi::Networks::of(&identity);
        spawn("wifi", WIFI_STACK, priority::LINK, {
            let thing = thing.clone();
            // Who sleeps keeps the address when it leaves a connection.
            let in_vain = reset_reason == GAVE_UP || plan.nap.is_some() && !net::is_address_kept();
            move || wifi::run(&thing, networks, radio, random, in_vain, give_up)
        });
    }
    link::run(
        &thing,
        &identity,
        plan,
        link::Boot { driver: network, random, time, crashes, give_up },
        updates,
    );
}

/// Creates a task with a stack of so many words of four bytes, which begins when the scheduler
/// runs. What never ends shows life in each turn (`rtos::watchdog`), unless a hang of it is no reason
/// to reset the device.
///
/// # Panics
/// When the heap cannot hold it.
pub fn spawn(
    name: &str,
    stack_words: u16,
    priority: rtos::TaskPriority,
    run: impl FnOnce() + Send + 'static,
) {
    made(Task::new().name(name).stack_size(stack_words).priority(priority).start(move |_| {
        run();
        watchdog::leave();
    }));
}

/// What is made once, at start. Only the heap can be in its way.
///
/// # Panics
/// When the heap cannot hold it: the image is wrong for its board.
pub fn made<T>(result: Result<T, rtos::FreeRtosError>) -> T {
    match result {
        Ok(made) => made,
        Err(_) => panic!("the heap cannot hold what is made at start"),
    }
}

/// Sleeps so many milliseconds, in steps of the kernel's clock: 5 ms, of which the first is under way
/// (`chip::Delay` is for shorter ones). A task under watch shows life meanwhile.
pub fn pause(milliseconds: u32) {
    let mut left = milliseconds;
    while left > 0 {
        watchdog::renew();
        let piece = left.min(LOOK_MS);
        rtos::CurrentTask::delay(rtos::at_least(piece));
        left -= piece;
    }
    watchdog::renew();
}

/// Milliseconds that a task waits in one piece where it waits for long.
const LOOK_MS: u32 = 1_000;

fn set_log_levels(identity: &Identity) {
    let filter = |level: identity::Level| match level {
        identity::Level::Off => log::LevelFilter::Off,
        identity::Level::Error => log::LevelFilter::Error,
        identity::Level::Warn => log::LevelFilter::Warn,
        identity::Level::Info => log::LevelFilter::Info,
        identity::Level::Debug => log::LevelFilter::Debug,
        identity::Level::Trace => log::LevelFilter::Trace,
    };
    let levels = identity.log_levels.iter().map(|entry| (entry.module.into(), filter(entry.level)));
    rtos::log::set_levels(rtos::log::Levels(levels.collect()));
}
