//! What the device does: it reports its status to `esp8266/status` and switches its LED when
//! `esp8266/control` says so. Topics come from the identity; these are their defaults.
//!
//! Three tasks, joined by queues:
//!
//! ```text
//!            control            LED state
//!   link ───────────────► led ────────────► status
//!    ▲                                        │
//!    └────────────────────────────────────────┘
//!                 outbox (newest status only)
//! ```
//!
//! The link task owns the MQTT client and blocks in handshakes; the other two stay prompt.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod clock;
mod led;
mod link;
mod status;
pub mod wifi;

use alloc::string::String;
use alloc::sync::Arc;
use core::convert::Infallible;

use app_model::Led as LedState;
use embedded_hal::digital::OutputPin;
use identity::{Identity, Stored};
use rtos::{Queue, Task, Waker};

/// The firmware's version: that of this crate, unless who builds it says another.
pub const VERSION: &str = match option_env!("FIRMWARE_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// A light that is lit while its output is high. The board hides pin and polarity.
pub trait Led: OutputPin<Error = Infallible> + Send + 'static {}

impl<L: OutputPin<Error = Infallible> + Send + 'static> Led for L {}

/// Where a board keeps the last known time, in seconds since 1970, over resets.
#[derive(Clone, Copy)]
pub struct TimeStore {
    /// The time that was kept last, if any.
    pub kept: fn() -> Option<u32>,
    /// Keeps a time. Called once an hour at most, from a task.
    pub keep: fn(u32),
}

/// What a board hands to the application.
pub struct Board<L: Led, W: wifi::Wifi> {
    /// The light that the control topic switches.
    pub led: L,
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
    /// Record of the last crash, if no status has told of it yet.
    pub crash: Option<String>,
    /// Forgets that record, once a status has told of it.
    pub forget_crash: fn(),
    /// Crashes in a row that led to this boot.
    pub crashes: u32,
    /// Resets the device, whose work cannot go on; the next boot's crash record says why.
    pub give_up: fn(&str) -> !,
}

/// What the tasks share.
struct Shared {
    /// LED states asked for, oldest first.
    commands: Queue<LedState>,
    /// The newest status that is not yet published: a stale one is worth nothing.
    outbox: Queue<String>,
    /// Wakes the link task: network, message or status.
    link: Waker,
    /// Wakes the status task: the LED changed or the connection came back.
    status: Waker,
    /// What the status tells of the other tasks.
    facts: status::Facts,
    /// And of the radio.
    wifi: Option<wifi::Facts>,
}

/// Stacks of the tasks, in words: what `status=debug` in the log shows as used, and a third
/// more. The link task's is deepest in a handshake (4464 bytes), which is also when RAM is
/// scarcest: it has a sixth more.
const LINK_STACK: u16 = 1328;
const STATUS_STACK: u16 = 352;
const LED_STACK: u16 = 288;
const WIFI_STACK: u16 = 640;

/// Creates the first task, which creates the others. It begins when the scheduler starts.
///
/// # Panics
/// When the heap cannot hold it: the image is wrong for its board.
pub fn start<L: Led, W: wifi::Wifi>(board: Board<L, W>) {
    // All work is done in tasks: the stack that boot has is small and the interrupts' later.
    spawn("link", LINK_STACK, rtos::priority::LINK, move || main(board));
}

fn main<L: Led, W: wifi::Wifi>(board: Board<L, W>) {
    rtos::log::init();
    let Board {
        led,
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
    } = board;
    log::info!("esp8266-aws-iot {VERSION}, reset: {reset_reason}");
    if let Some(crash) = &crash {
        log::warn!("crashed before: {crash}");
    }

    let identity = match Stored::read(identity_region) {
        Ok(Stored { identity, other, .. }) => {
            if let Some(error) = other {
                log::warn!("identity: one of its two copies cannot be used: {error}");
            }
            identity
        }
        // Without an identity there is nothing to do, and resetting would not help: one
        // message, then quiet.
        Err(error) => {
            log::error!("identity: {error}");
            log::error!("waiting; this device does nothing until it has an identity");
            return;
        }
    };
    set_log_levels(&identity);

    let shared = Arc::new(Shared {
        commands: Queue::new(4).expect("heap"),
        outbox: Queue::new(1).expect("heap"),
        link: Waker::new().expect("heap"),
        status: Waker::new().expect("heap"),
        facts: status::Facts::new(reset_reason, crash, forget_crash),
        wifi: wifi.is_some().then(wifi::Facts::new),
    });
    spawn("led", LED_STACK, rtos::priority::LED, {
        let shared = shared.clone();
        move || led::run(&shared, led)
    });
    spawn("status", STATUS_STACK, rtos::priority::STATUS, {
        let shared = shared.clone();
        move || status::run(&shared)
    });
    if let Some(radio) = wifi {
        let networks = wifi::Networks::of(&identity);
        spawn("wifi", WIFI_STACK, rtos::priority::LINK, {
            let shared = shared.clone();
            move || wifi::run(&shared, networks, radio, random)
        });
    }
    link::run(&shared, &identity, link::Boot { driver: network, random, time, crashes, give_up });
}

fn spawn(
    name: &str,
    stack_words: u16,
    priority: rtos::TaskPriority,
    run: impl FnOnce() + Send + 'static,
) {
    Task::new()
        .name(name)
        .stack_size(stack_words)
        .priority(priority)
        .start(move |_| {
            run();
            rtos::watchdog::leave();
        })
        .expect("the heap holds every task at start");
}

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
