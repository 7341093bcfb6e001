//! The link task: brings the network up, keeps the device connected, carries messages.

use alloc::format;
use alloc::string::String;
use core::convert::Infallible;

use app_model::backoff::Backoff;
use app_model::command::{self, Command, MAX_PAYLOAD, Rejected};
use app_model::patience::Patience;
use app_model::throttle::Throttle;
use identity::Identity;
use mqtt::{Client, Error, Event, Options, Qos, Will};
use net::{Interface, NotReady};
use rtos::{Duration, watchdog};

use crate::clock::{self, Keeper};
use crate::{Shared, TimeStore};

/// Milliseconds that name look-up, TCP, TLS, CONNACK and SUBACK may take together. A handshake is 3 s
/// of computing on the chip; the rest is for the network.
const CONNECT_TIMEOUT_MS: u32 = 30_000;
/// Milliseconds of these that the name look-up may take.
const RESOLVE_TIMEOUT_MS: u32 = 10_000;
/// Milliseconds between looks at the connection when nothing wakes the task.
const LOOK_MS: u32 = 500;

/// Packets that are handled before the task looks at everything else.
const PACKETS_PER_TURN: u32 = 8;
/// Milliseconds that it leaves the CPU to others when there are more: a server that sends without
/// end must not starve whoever works below it.
const TURN_PAUSE_MS: u32 = 5;
/// Least milliseconds from one status to the next. Commands that come faster each change it.
const STATUS_FLOOR_MS: u64 = 500;
/// Lines about messages that are no commands: so many at once, then one in so many milliseconds.
const REJECTED_LINES: u32 = 32;
const REJECTED_LINE_MS: u64 = 250;

/// Seconds within which the task shows life. The longest that it waits in one piece is a
/// connect, [`CONNECT_TIMEOUT_MS`] and the computing of its last step.
const LIFE_S: u16 = 90;

// What an identity may name can be looked up.
const _: () = assert!(identity::MAX_TIME_SERVER <= net::MAX_TIME_SERVER);

/// Why the device cannot begin to connect.
enum Fault {
    /// The identity is wrong: only a person can mend that.
    Identity(String),
    /// Another attempt may go better.
    Passing(String),
}

/// How often what may go better is tried before the device is reset, and how long it waits in
/// between, in milliseconds.
const START_ATTEMPTS: u32 = 5;
const START_PAUSE_MS: u32 = 2_000;

/// What the task needs of the board and of this boot.
pub struct Boot {
    /// The network driver.
    pub driver: net::Driver,
    /// Unpredictable 32 bits.
    pub random: fn() -> u32,
    /// Where the time is kept over resets.
    pub time: TimeStore,
    /// Crashes in a row that led to this boot.
    pub crashes: u32,
    /// Resets the device, with the reason.
    pub give_up: fn(&str) -> !,
}

/// Keeps the device connected, for ever. Ends only when the identity is wrong.
pub fn run(shared: &Shared, identity: &Identity<'static>, boot: Boot) {
    let give_up = boot.give_up;
    match try_run(shared, identity, boot) {
        Ok(never) => match never {},
        Err(Fault::Identity(error)) => {
            log::error!("{error}");
            log::error!("waiting; this device cannot connect until that is mended");
        }
        Err(Fault::Passing(error)) => {
            log::error!("{error}");
            give_up(&format!("gave up at start: {error}"));
        }
    }
}

/// Makes an attempt, and some more where another may go better.
fn patiently<T, E: core::fmt::Display>(
    what: &str,
    passing: impl Fn(&E) -> bool,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, Fault> {
    for left in (0..START_ATTEMPTS).rev() {
        watchdog::alive(LIFE_S);
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if !passing(&error) => {
                return Err(Fault::Identity(format!("{what}: {error}")));
            }
            Err(error) if left == 0 => return Err(Fault::Passing(format!("{what}: {error}"))),
            Err(error) => log::warn!("{what}: {error}; {left} more attempts"),
        }
        pause(START_PAUSE_MS);
    }
    unreachable!("the last attempt returns")
}

fn try_run(shared: &Shared, identity: &Identity<'static>, boot: Boot) -> Result<Infallible, Fault> {
    let Boot { driver, random, time, crashes, give_up } = boot;
    let credentials = tls::Credentials {
        certificates: &identity.certificates,
        private_key: identity.private_key,
        extra_roots: &identity.roots,
        port: identity.port,
    };
    let profile = patiently("tls", tls::Error::is_passing, || tls::Profile::new(&credentials))?;

    // The driver can be started once a boot; what fails there, a fresh start may mend.
    let passing = |error: &dyn core::fmt::Display| Fault::Passing(format!("network: {error}"));
    let interface = Interface::start(driver, "esp8266", shared.link.clone())
        .map_err(|error| passing(&error))?;
    patiently("network", |_| true, || interface.request_address())?;
    interface.set_dns_servers(&identity.dns_servers);
    let mut keeper = Keeper::new(time);
    net::clock::start(identity.ntp_servers().iter().map(|server| (server.host, server.port)));

    let default_id = app_model::client_id(interface.mac());
    let client_id = identity.client_id.unwrap_or(&default_id);
    log::info!("client id {client_id}, endpoint {}:{}", identity.endpoint, identity.port);
    let mut client = Client::take(
        identity.endpoint,
        identity.port,
        client_id,
        profile,
        MAX_PAYLOAD,
        shared.link.clone(),
    )
    .map_err(|error| match error {
        mqtt::Error::BadText => Fault::Identity(format!("mqtt: {error}")),
        _ => Fault::Passing(format!("mqtt: {error}")),
    })?;

    let mut backoff = Backoff::new(identity.backoff_cap_s);
    let mut first = true;
    let mut failures = 0;
    // Whether this client has had SUBACK for the control topic since it booted. A session exists
    // from CONNECT on, so that the server kept one says nothing about that.
    let mut subscribed = false;
    let mut patience = Patience::new(rtos::uptime_ms(), random());
    wait_for_network(shared, &interface, &mut patience, give_up);
    clock::wait();
    // Devices that boot together must not connect in step, and one that crashes again and again
    // must not connect each time.
    pause(backoff.first_delay_ms(crashes, random()));
    loop {
        watchdog::alive(LIFE_S);
        let computing = rtos::cpu_time_us();
        match connect(&mut client, identity, failures) {
            Ok(session_present) => {
                let computing = rtos::cpu_time_us().wrapping_sub(computing) / 1000;
                log::info!(
                    "connected to {}:{} with {computing} ms of computing",
                    identity.endpoint,
                    identity.port
                );
                if !core::mem::take(&mut first) {
                    shared.facts.count_reconnect();
                }
                let since = rtos::uptime_ms();
                patience.connected(since);
                subscribed &= session_present;
                let end = match subscribe(&mut client, identity, &mut subscribed) {
                    Ok(()) => serve(shared, identity, &interface, &mut client, &mut keeper),
                    Err(error) => error,
                };
                client.abort();
                let lasted = rtos::uptime_ms() - since;
                patience.connected(since + lasted);
                backoff.connected_for(u32::try_from(lasted).unwrap_or(u32::MAX));
                match end {
                    Error::Silent => log::warn!("{end}: connection given up"),
                    _ => log::warn!("connection lost: {end}"),
                }
            }
            Err(error) => {
                failures += 1;
                log::warn!("connect failed: {error}");
                clock::look_at_failure();
            }
        }
        // Whoever did not answer may have been replaced.
        interface.forget_neighbours();
        let delay = backoff.next_delay_ms(random());
        log::info!("next try in {}.{} s", delay / 1000, delay % 1000 / 100);
        pause(delay);
        wait_for_network(shared, &interface, &mut patience, give_up);
    }
}

/// Sleeps, and shows life meanwhile.
fn pause(milliseconds: u32) {
    let mut left = milliseconds;
    while left > 0 {
        watchdog::alive(LIFE_S);
        let piece = left.min(10_000);
        rtos::CurrentTask::delay(Duration::ms(piece));
        left -= piece;
    }
}

/// Blocks until there is an address, and says what is missing while there is none. Gives up where
/// the device has been without a connection for too long.
fn wait_for_network(
    shared: &Shared,
    interface: &Interface,
    patience: &mut Patience,
    give_up: fn(&str) -> !,
) {
    /// Milliseconds before a missing link or address is worth a line.
    const PATIENCE_MS: u64 = 5_000;
    let mut told: Option<NotReady> = None;
    let start = rtos::uptime_ms();
    loop {
        watchdog::alive(LIFE_S);
        let address = interface.address();
        let link = !matches!(address, Err(NotReady::LinkDown));
        if patience.is_over(rtos::uptime_ms(), link) {
            give_up(&format!("gave up: no connection for {} h", patience.hours()));
        }
        let Err(missing) = address else { return };
        if told != Some(missing) && rtos::uptime_ms() - start > PATIENCE_MS {
            log::warn!("{missing}");
            told = Some(missing);
        }
        shared.link.wait(1000);
    }
}

/// Connects, within the time that there is for it. Of several addresses another one comes first
/// after each failure: one that takes a connection may still be of no use.
fn connect(client: &mut Client, identity: &Identity, failures: usize) -> Result<bool, Error> {
    let start = rtos::uptime_ms();
    let mut addresses =
        net::resolve(identity.endpoint, RESOLVE_TIMEOUT_MS).map_err(|unresolved| {
            log::debug!("{}: {unresolved}", identity.endpoint);
            Error::Tls(tls::Error::unresolved())
        })?;
    addresses.rotate(failures);
    client.connect(&Options {
        keep_alive_s: identity.keep_alive_s,
        clean_session: identity.clean_session,
        addresses: addresses.as_slice(),
        timeout_ms: CONNECT_TIMEOUT_MS - (rtos::uptime_ms() - start) as u32,
        will: Some(Will {
            topic: identity.status_topic,
            payload: app_model::status::LAST_WILL,
            qos: Qos::AtLeastOnce,
            retained: false,
        }),
    })
}

/// Subscribes to the control topic, unless the session is known to hold that.
fn subscribe(client: &mut Client, identity: &Identity, subscribed: &mut bool) -> Result<(), Error> {
    if *subscribed {
        log::info!("the server kept the session");
        return Ok(());
    }
    client.subscribe(identity.control_topic, Qos::AtLeastOnce)?;
    *subscribed = true;
    log::info!("subscribed to {}", identity.control_topic);
    Ok(())
}

/// Carries messages both ways until the session ends, and says why it did.
fn serve(
    shared: &Shared,
    identity: &Identity,
    interface: &Interface,
    client: &mut Client,
    keeper: &mut Keeper,
) -> Error {
    let mut rejected = Throttle::new(REJECTED_LINES, REJECTED_LINE_MS);
    let mut sent: Option<Sent> = None;
    let mut not_before = 0;
    // A fresh status tells the other side at once who is there.
    shared.status.wake();
    loop {
        watchdog::alive(LIFE_S);
        for _ in 0..PACKETS_PER_TURN {
            match client.turn() {
                Ok(Some(Event::Message(message))) => {
                    obey(shared, identity.control_topic, &message, &mut rejected);
                }
                Ok(Some(Event::Published)) => {
                    if let Some(sent) = sent.take() {
                        sent.arrived(shared);
                    }
                }
                Ok(None) if client.has_more() => {}
                Ok(None) => break,
                Err(error) => return error,
            }
        }
        keeper.turn();
        // While the link is down nothing is published: TCP may well survive a short loss,
        // and a longer one is found by the keep-alive.
        let now = rtos::uptime_ms();
        if !client.is_publishing()
            && now >= not_before
            && interface.address().is_ok()
            && let Ok(status) = shared.outbox.receive(Duration::zero())
        {
            not_before = now + STATUS_FLOOR_MS;
            let computing = rtos::cpu_time_us();
            match client.publish(identity.status_topic, status.as_bytes(), Qos::AtLeastOnce) {
                Ok(()) => sent = Some(Sent { status, computing }),
                // There will be another status, and room for it when others have gone on.
                Err(Error::OutOfMemory) => log::warn!("status skipped: the heap is too low"),
                Err(error) => return error,
            }
        }
        if client.has_more() {
            rtos::CurrentTask::delay(Duration::ms(TURN_PAUSE_MS));
        } else {
            let floor = not_before.saturating_sub(now) as u32;
            shared.link.wait(if floor > 0 { floor.min(LOOK_MS) } else { LOOK_MS });
        }
    }
}

/// A status on its way.
struct Sent {
    status: String,
    /// The task's computing time when it was sent, in microseconds.
    computing: u32,
}

impl Sent {
    /// The server has it.
    fn arrived(self, shared: &Shared) {
        let computing = rtos::cpu_time_us().wrapping_sub(self.computing);
        log::info!("published {}", self.status);
        log::debug!("publish with {computing} us of computing");
        if shared.facts.published() {
            // One composed meanwhile would tell of the crash again.
            let _ = shared.outbox.receive(Duration::zero());
            shared.status.wake();
        }
    }
}

/// Does what a message on the control topic says, or says why not.
fn obey(shared: &Shared, control_topic: &str, message: &mqtt::Message, rejected: &mut Throttle) {
    let mut reject = |reason: &dyn core::fmt::Display| match rejected.take(rtos::uptime_ms()) {
        Some(0) => log::warn!("{}: ignored: {reason}", message.topic),
        Some(unsaid) => {
            log::warn!("{}: ignored: {reason}; so were {unsaid} before", message.topic);
        }
        None => {}
    };
    // A session that the server kept may hold subscriptions of an earlier identity.
    if message.topic != control_topic {
        reject(&"not the control topic");
        return;
    }
    let parsed = if message.length > message.payload.len() {
        Err(Rejected::too_long(&message.payload, message.length))
    } else {
        command::parse(&message.payload)
    };
    match parsed {
        Ok(Command::SetLed(state)) => {
            if shared.commands.send(state, Duration::zero()).is_err() {
                log::warn!("command dropped: the LED task is busy");
            }
        }
        Err(rejected) => reject(&rejected),
    }
}
