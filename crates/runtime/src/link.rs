//! The link task: brings the network up, keeps the device connected, carries messages.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::convert::Infallible;

use identity::Identity;
use mqtt::{Client, Error, Event, Options, Qos, Will};
use net::{Interface, NotReady};
use rtos::{Duration, watchdog};
use runtime_model::backoff::Backoff;
use runtime_model::patience::Patience;

use crate::clock::{self, Keeper};
use crate::outbox::{Kind, NotPublished, Outgoing};
use crate::plan::{self, Plan};
use crate::update::{self, Updates};
use crate::{Thing, TimeStore, pause};

/// Milliseconds that name look-up, TCP, TLS, CONNACK and SUBACK may take together. A handshake is 3 s
/// of computing on the chip; the rest is for the network.
const CONNECT_TIMEOUT_MS: u32 = 30_000;
/// Milliseconds of these that the name look-up may take.
const RESOLVE_TIMEOUT_MS: u32 = 10_000;
/// Milliseconds between looks at the connection when nothing wakes the task.
pub(crate) const LOOK_MS: u32 = 500;

/// Packets that are handled before the task looks at everything else.
const PACKETS_PER_TURN: u32 = 8;
/// Milliseconds that it leaves the CPU to others when there are more: a server that sends without
/// end must not starve whoever works below it.
const TURN_PAUSE_MS: u32 = 5;
/// Least milliseconds from one report to the next. Commands that come faster each change it.
const REPORT_FLOOR_MS: u64 = 500;
/// Milliseconds until something is published again where the heap was too low.
const MEMORY_PAUSE_MS: u64 = 2_000;

/// Seconds within which the task shows life. The longest that it waits in one piece is a
/// connect, [`CONNECT_TIMEOUT_MS`] and the computing of its last step.
pub(crate) const LIFE_S: u16 = 90;

// What an identity may name can be looked up, and what it may show can be sent.
const _: () = assert!(identity::MAX_TIME_SERVER <= net::MAX_TIME_SERVER);
const _: () = assert!(identity::MAX_CHAIN_MESSAGE == tls::MAX_CHAIN_MESSAGE);

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
pub fn run(
    thing: &Thing,
    identity: &Identity<'static>,
    plan: Plan,
    boot: Boot,
    mut updates: Option<Box<dyn Updates>>,
) {
    let give_up = boot.give_up;
    match try_run(thing, identity, plan, boot, &mut updates) {
        Ok(never) => match never {},
        Err(Fault::Identity(error)) => {
            log::error!("{error}");
            if let Some(updates) = &updates {
                updates.reject_on_trial(&error);
            }
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

fn try_run(
    thing: &Thing,
    identity: &Identity<'static>,
    mut plan: Plan,
    boot: Boot,
    updates: &mut Option<Box<dyn Updates>>,
) -> Result<Infallible, Fault> {
    let Boot { driver, random, time, crashes, give_up } = boot;
    let credentials = tls::Credentials {
        certificates: &identity.certificates,
        private_key: identity.private_key,
        extra_roots: &identity.roots,
        port: identity.port,
    };
    let profile = patiently("tls", tls::Error::is_passing, || tls::Profile::new(&credentials))?;
    if let Some(error) = tls::Error::last() {
        log::warn!("tls: {error}; going on without it");
    }
    if let Some(nap) = plan.nap {
        (nap.recall)(&profile);
    }

    // The driver can be started once a boot; what fails there, a fresh start may mend.
    let passing = |error: &dyn core::fmt::Display| Fault::Passing(format!("network: {error}"));
    let interface = Interface::start(driver, "esp8266", thing.link().clone())
        .map_err(|error| passing(&error))?;
    let request_address =
        plan.nap.map_or(Interface::request_address as _, |nap| nap.request_address);
    patiently("network", |_| true, || request_address(&interface))?;
    interface.set_dns_servers(&identity.dns_servers);
    let mut keeper = Keeper::new(time);
    net::clock::start(identity.ntp_servers().iter().map(|server| (server.host, server.port)));

    let default_id = runtime_model::client_id(interface.mac());
    let client_id = identity.client_id.unwrap_or(&default_id);
    log::info!("client id {client_id}, endpoint {}:{}", identity.endpoint, identity.port);
    let mut client = Client::take(
        identity.endpoint,
        identity.port,
        client_id,
        profile,
        plan.longest().max(if updates.is_some() { update::LONGEST_MESSAGE } else { 0 }),
        thing.link().clone(),
    )
    .map_err(|error| match error {
        mqtt::Error::BadText => Fault::Identity(format!("mqtt: {error}")),
        _ => Fault::Passing(format!("mqtt: {error}")),
    })?;

    thing.hold(updates);
    let mut backoff = Backoff::new(thing.backoff_cap_s(identity.backoff_cap_s));
    let mut failures = 0;
    // Whether this client has had SUBACK for all of the plan since it booted. A session exists
    // from CONNECT on, so that the server kept one says nothing about that.
    let mut subscribed = false;
    let looks_around = thing.wifi().is_some() && !identity.wifi.is_empty();
    let mut patience = Patience::new(rtos::uptime_ms(), looks_around, random());
    wait_for_network(thing, &interface, &mut patience, updates, give_up);
    // Who wakes does so by a clock of his own, and is awake for as short as can be.
    let woke = plan.nap.is_some() && thing.reset_reason() == WOKE;
    if !(woke && clock::is_kept()) {
        clock::wait();
    }
    // Devices that boot together must not connect in step, and one that crashes again and again
    // must not connect each time.
    if !woke {
        pause(backoff.first_delay_ms(crashes, random()));
    }
    loop {
        watchdog::alive(LIFE_S);
        look(updates);
        let computing = rtos::cpu_time_us();
        match connect(&mut client, identity, &plan, failures) {
            Ok(session_present) => {
                let computing = rtos::cpu_time_us().wrapping_sub(computing) / 1000;
                log::info!(
                    "connected to {}:{} with {computing} ms of computing",
                    identity.endpoint,
                    identity.port
                );
                thing.count_connection();
                let since = rtos::uptime_ms();
                patience.connected(since);
                subscribed &= session_present;
                let end = match subscribe(&mut client, &plan, updates, &mut subscribed) {
                    Ok(()) => {
                        serve(thing, &mut plan, &interface, &mut client, &mut keeper, updates)
                    }
                    Err(error) => Some(error),
                };
                let end = match (end, plan.nap) {
                    (Some(end), _) => end,
                    (None, Some(nap)) => (nap.leave)(thing, client, &keeper),
                    // Who does not sleep does not leave.
                    (None, None) => continue,
                };
                client.abort();
                thing.disconnected();
                if let Some(updates) = updates {
                    updates.disconnected(&end);
                }
                thing.hold(updates);
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
        backoff.set_cap(thing.backoff_cap_s(identity.backoff_cap_s));
        let delay = backoff.next_delay_ms(random());
        log::info!("next try in {}.{} s", delay / 1000, delay % 1000 / 100);
        pause(delay);
        wait_for_network(thing, &interface, &mut patience, updates, give_up);
    }
}

/// The reset reason of who woke from a deep sleep.
const WOKE: &str = "deep-sleep";

/// Blocks until there is an address, and says what is missing while there is none. Gives up where
/// the device has been without a connection for too long.
fn wait_for_network(
    thing: &Thing,
    interface: &Interface,
    patience: &mut Patience,
    updates: &Option<Box<dyn Updates>>,
    give_up: fn(&str) -> !,
) {
    /// Milliseconds before a missing link or address is worth a line.
    const PATIENCE_MS: u64 = 5_000;
    let mut told: Option<NotReady> = None;
    let start = rtos::uptime_ms();
    loop {
        watchdog::alive(LIFE_S);
        look(updates);
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
        thing.link().wait(1000);
    }
}

/// Sees whether a firmware on trial has had its time.
fn look(updates: &Option<Box<dyn Updates>>) {
    if let Some(updates) = updates {
        updates.look();
    }
}

/// Connects, within the time that there is for it. Of several addresses another one comes first
/// after each failure: one that takes a connection may still be of no use.
fn connect(
    client: &mut Client,
    identity: &Identity,
    plan: &Plan,
    failures: usize,
) -> Result<bool, Error> {
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
        will: plan.will.as_ref().map(|(topic, payload)| Will {
            topic,
            payload,
            qos: Qos::AtLeastOnce,
            retained: false,
        }),
    })
}

/// Subscribes to all of the plan, unless the session is known to hold that.
fn subscribe(
    client: &mut Client,
    plan: &Plan,
    updates: &mut Option<Box<dyn Updates>>,
    subscribed: &mut bool,
) -> Result<(), Error> {
    let kept = *subscribed;
    if kept {
        log::info!("the server kept the session");
    } else {
        for subscription in &plan.subscriptions {
            client.subscribe(&subscription.filter, Qos::AtLeastOnce)?;
            log::info!("subscribed to {}", subscription.filter);
        }
        *subscribed = true;
    }
    if let Some(updates) = updates {
        updates.connected(client, kept)?;
    }
    client.subscribed()
}

/// Carries messages both ways until the session ends, and says why it did; `None`: the application
/// wants to leave.
fn serve(
    thing: &Thing,
    plan: &mut Plan,
    interface: &Interface,
    client: &mut Client,
    keeper: &mut Keeper,
    updates: &mut Option<Box<dyn Updates>>,
) -> Option<Error> {
    let mut sent = None;
    thing.connected();
    // A fresh report tells the other side at once who is there.
    plan.wake_reporter();
    let end = carry(thing, plan, interface, client, keeper, updates, &mut sent);
    give_back(thing, &mut sent, NotPublished::Unacknowledged);
    end
}

/// What was on its way was not published.
fn give_back(thing: &Thing, sent: &mut Option<Sent>, error: NotPublished) {
    if let Some(Sent { message, .. }) = sent.take() {
        thing.outbox().failed(message, error);
    }
}

fn carry(
    thing: &Thing,
    plan: &mut Plan,
    interface: &Interface,
    client: &mut Client,
    keeper: &mut Keeper,
    updates: &mut Option<Box<dyn Updates>>,
    sent: &mut Option<Sent>,
) -> Option<Error> {
    let mut ignored = plan::throttle();
    // When the next message may be published, and the next report.
    let mut not_before = 0;
    let mut report_not_before = 0;
    loop {
        watchdog::alive(LIFE_S);
        for _ in 0..PACKETS_PER_TURN {
            if let Some(updates) = updates
                && updates.block(client)
                && let Err(error) = updates.turn(client, thing, plan)
            {
                return Some(error);
            }
            match client.turn() {
                Ok(Some(Event::Message(message))) => {
                    let taken = updates.as_mut().is_some_and(|updates| updates.message(&message));
                    plan.deliver(&message, taken, &mut ignored);
                }
                Ok(Some(Event::Published)) => {
                    if let Some(updates) = updates {
                        updates.acknowledged();
                    }
                    if let Some(sent) = sent.take() {
                        sent.arrived(thing, plan);
                    }
                }
                Ok(None) if client.has_more() => {}
                Ok(None) => break,
                Err(error) => return Some(error),
            }
        }
        if plan.nap.is_some() {
            thing.hold(updates);
            if thing.is_leaving(sent.is_some()) {
                return None;
            }
        }
        keeper.turn();
        if let Some(updates) = updates
            && let Err(error) = updates.turn(client, thing, plan)
        {
            return Some(error);
        }
        // While the link is down nothing is published: TCP may well survive a short loss,
        // and a longer one is found by the keep-alive.
        let now = rtos::uptime_ms();
        if !client.is_publishing()
            && now >= not_before
            && interface.address().is_ok()
            && let Some(message) = thing.outbox().take(now >= report_not_before)
        {
            if let Kind::Report { .. } = message.kind {
                report_not_before = now + REPORT_FLOOR_MS;
            }
            let computing = rtos::cpu_time_us();
            let Sent { message, .. } = sent.insert(Sent { message, computing });
            match client.publish(&message.topic, &message.payload, Qos::AtLeastOnce) {
                Ok(()) => {}
                // There will be room for it when others have gone on: the connection is worth more.
                Err(Error::OutOfMemory) => {
                    if !matches!(message.kind, Kind::Kept(tries) if tries.was_put_off()) {
                        log::warn!("not published to {}: the heap is too low", message.topic);
                    }
                    give_back(thing, sent, NotPublished::OutOfMemory);
                    not_before = now + MEMORY_PAUSE_MS;
                }
                Err(error) => return Some(error),
            }
        }
        if client.has_more() {
            rtos::CurrentTask::delay(Duration::ms(TURN_PAUSE_MS));
        } else {
            let floor = not_before.max(report_not_before).saturating_sub(now) as u32;
            thing.link().wait(if floor > 0 { floor.min(LOOK_MS) } else { LOOK_MS });
        }
    }
}

/// A message on its way.
struct Sent {
    message: Box<Outgoing>,
    /// The task's computing time when it was sent, in microseconds.
    computing: u32,
}

impl Sent {
    /// The server has it.
    fn arrived(self, thing: &Thing, plan: &Plan) {
        let computing = rtos::cpu_time_us().wrapping_sub(self.computing);
        let payload = core::str::from_utf8(&self.message.payload).unwrap_or("(not text)");
        match self.message.kind {
            Kind::Report { .. } => log::info!("published {payload}"),
            _ => log::info!("published to {}: {payload}", self.message.topic),
        }
        log::debug!("publish with {computing} us of computing");
        self.message.arrived();
        if let Kind::Report { tells_crash: true } = self.message.kind
            && thing.crash_told()
        {
            // One composed meanwhile would tell of the crash again.
            thing.outbox().forget_reports();
            plan.wake_reporter();
        }
    }
}
