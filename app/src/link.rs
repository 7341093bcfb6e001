//! The link task: brings the network up, keeps the device connected, carries messages.

use alloc::format;
use alloc::string::String;
use core::convert::Infallible;

use app_model::backoff::Backoff;
use app_model::command::{self, Command, MAX_PAYLOAD, Rejected};
use app_model::patience::Patience;
use identity::Identity;
use mqtt::{Client, Options, Qos, Will};
use net::{Interface, NotReady};
use rtos::{Duration, watchdog};

use crate::clock::{self, Keeper};
use crate::{Shared, TimeStore};

/// Seconds that name look-up, TCP, TLS and CONNACK may take together. A handshake is 3 s of
/// computing on the chip; the rest is for the network.
const CONNECT_TIMEOUT_S: u16 = 30;
/// Milliseconds until a status without PUBACK means a dead connection.
const PUBLISH_TIMEOUT_MS: u32 = 15_000;
/// Milliseconds between looks at the connection when nothing wakes the task.
const LOOK_MS: u32 = 500;

/// Seconds within which the task shows life. The longest that it waits in one piece is a
/// connect: a name server that does not answer, then [`CONNECT_TIMEOUT_S`] each for TCP, TLS
/// and the CONNACK.
const LIFE_S: u16 = 150;

/// Why a session ended.
enum End {
    /// It was silent for too long.
    Dead,
    /// It was closed or broken, or a client call failed.
    Failed(mqtt::Error),
}

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

/// Keeps the device connected, for ever. Ends only when the identity is wrong.
pub fn run(
    shared: &Shared,
    identity: &Identity<'static>,
    driver: net::Driver,
    random: fn() -> u32,
    time: TimeStore,
    give_up: fn(&str) -> !,
) {
    match try_run(shared, identity, driver, random, time, give_up) {
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

fn try_run(
    shared: &Shared,
    identity: &Identity<'static>,
    driver: net::Driver,
    random: fn() -> u32,
    time: TimeStore,
    give_up: fn(&str) -> !,
) -> Result<Infallible, Fault> {
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
    let mut patience = Patience::new(rtos::uptime_ms(), random());
    wait_for_network(shared, &interface, &mut patience, give_up);
    clock::wait();
    loop {
        watchdog::alive(LIFE_S);
        let computing = rtos::cpu_time_us();
        match connect(&mut client, identity) {
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
                let end = match subscribe(&mut client, identity, session_present) {
                    Ok(()) => serve(shared, identity, &interface, &mut client, &mut keeper),
                    Err(error) => End::Failed(error),
                };
                client.abort();
                let lasted = rtos::uptime_ms() - since;
                patience.connected(since + lasted);
                backoff.connected_for(u32::try_from(lasted).unwrap_or(u32::MAX));
                match end {
                    End::Dead => log::warn!(
                        "no sign of life from the server for 1.5 keep-alives: connection given up"
                    ),
                    End::Failed(error) => log::warn!("connection lost: {error}"),
                }
            }
            Err(error) => {
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

fn connect(client: &mut Client, identity: &Identity) -> Result<bool, mqtt::Error> {
    client.connect(&Options {
        keep_alive_s: identity.keep_alive_s,
        clean_session: identity.clean_session,
        timeout_s: CONNECT_TIMEOUT_S,
        will: Some(Will {
            topic: identity.status_topic,
            payload: app_model::status::LAST_WILL,
            qos: Qos::AtLeastOnce,
            retained: false,
        }),
    })
}

fn subscribe(
    client: &mut Client,
    identity: &Identity,
    session_present: bool,
) -> Result<(), mqtt::Error> {
    if session_present {
        log::info!("the server kept the session");
        return Ok(());
    }
    client.subscribe(identity.control_topic, Qos::AtLeastOnce)?;
    log::info!("subscribed to {}", identity.control_topic);
    Ok(())
}

/// Carries messages both ways until the session ends.
fn serve(
    shared: &Shared,
    identity: &Identity,
    interface: &Interface,
    client: &mut Client,
    keeper: &mut Keeper,
) -> End {
    // A fresh status tells the other side at once who is there.
    shared.status.wake();
    loop {
        watchdog::alive(LIFE_S);
        while let Some(message) = client.receive() {
            obey(shared, identity.control_topic, &message);
        }
        if !client.is_connected() {
            return End::Failed(client.end_cause());
        }
        if client.is_peer_dead() {
            return End::Dead;
        }
        keeper.turn();
        // While the link is down nothing is published: TCP may well survive a short loss,
        // and a longer one is found by the keep-alive.
        if interface.address().is_ok()
            && let Ok(status) = shared.outbox.receive(Duration::zero())
        {
            let computing = rtos::cpu_time_us();
            match client.publish(
                identity.status_topic,
                status.as_bytes(),
                Qos::AtLeastOnce,
                PUBLISH_TIMEOUT_MS,
            ) {
                Ok(()) => {
                    let computing = rtos::cpu_time_us().wrapping_sub(computing);
                    log::info!("published {status}");
                    log::debug!("publish with {computing} us of computing");
                    if shared.facts.published() {
                        // One composed meanwhile would tell of the crash again.
                        let _ = shared.outbox.receive(Duration::zero());
                        shared.status.wake();
                    }
                }
                Err(error) => return End::Failed(error),
            }
        }
        shared.link.wait(LOOK_MS);
    }
}

/// Does what a message on the control topic says, or says why not.
fn obey(shared: &Shared, control_topic: &str, message: &mqtt::Message) {
    // A session that the server kept may hold subscriptions of an earlier identity.
    if message.topic != control_topic {
        log::warn!("{}: ignored: not the control topic", message.topic);
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
        Err(rejected) => log::warn!("{}: ignored: {rejected}", message.topic),
    }
}
