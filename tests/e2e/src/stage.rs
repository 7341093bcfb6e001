//! A cloud of a test's own, and who looks on.

use std::time::{Duration, Instant};

use anyhow::Result;
use board::qemu::{EmulatorOptions, INSTRUCTION_SHIFT};
use board::status::{Led, Report, Status};
use cloud::broker::BrokerOptions;
use cloud::client::operator_options;
use cloud::client::{ClientOptions, MqttClient};
use cloud::local::LocalCloud;
use cloud::pki::Pki;
use process::scratch;
use tempfile::TempDir;
use things::device_identity::DeviceIdentity;
use things::settings::Settings;
use things::topics::Topics;

use crate::{CLIENT_ID, Device, Relay, SOON};

/// Name of the device.
pub const THING: &str = "e2e";

/// Lines of the broker's log shown with a failure.
const TAIL: usize = 40;

/// PKI, broker, name and time server of one test, and the identity that leads a device there.
#[derive(Debug)]
pub struct Stage {
    /// The cloud.
    pub cloud: LocalCloud,
    /// What the next device will be given. Keep-alive and backoff are as short as they may be,
    /// so that tests are.
    pub identity: DeviceIdentity,
    /// Whether a client is meant to do what AWS IoT would end the connection for; otherwise the test
    /// fails when one has.
    pub forbidden_is_meant: bool,
    /// Holds everything's files; removed after the cloud has stopped.
    _folder: TempDir,
}

impl Stage {
    /// A good cloud.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn new() -> Self {
        Self::with(|_, _| Ok(()))
    }

    /// A cloud whose broker's options `change` has had its way with.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn with(change: impl FnOnce(&Pki, &mut BrokerOptions) -> Result<()>) -> Self {
        let folder = scratch::folder().expect("a folder");
        let settings = Settings::below(folder.path(), THING);
        let cloud = LocalCloud::start_with(&settings, &folder.path().join("cloud"), change)
            .unwrap_or_else(|error| panic!("the local cloud does not start: {error:#}"));
        let mut identity = cloud.device_identity();
        identity.keep_alive_s = *identity::KEEP_ALIVE_S.start();
        identity.backoff_cap_s = *identity::BACKOFF_CAP_S.start();
        Self { cloud, identity, forbidden_is_meant: false, _folder: folder }
    }

    /// Puts a relay between later devices and the broker.
    #[must_use]
    pub fn relay(&mut self) -> Relay {
        let relay = Relay::start(self.cloud.broker.device_port());
        self.identity.endpoints.port = relay.port();
        relay
    }

    /// The identity as the bytes of its region.
    ///
    /// # Panics
    /// When the test has asked for one that cannot be.
    #[must_use]
    pub fn region(&self) -> Vec<u8> {
        self.identity.region().unwrap_or_else(|error| panic!("no identity: {error:#}"))
    }

    /// Boots a device with the identity.
    ///
    /// # Panics
    /// When the emulator does not start.
    #[must_use]
    pub fn boot(&self) -> Device {
        Device::boot(Some(self.region()))
    }

    /// As [`Stage::boot`], with a clock that counts instructions and skips what the device
    /// sleeps through: its time-outs and delays cost a tenth of their time. In turn all the
    /// world seems slow to it, so this is for tests of the device's own time only.
    ///
    /// # Panics
    /// When the emulator does not start.
    #[must_use]
    pub fn boot_skipping_sleep(&self) -> Device {
        self.boot_skipping_sleep_with(|_| {})
    }

    /// As [`Stage::boot_skipping_sleep`], with other options for the emulator.
    ///
    /// # Panics
    /// When the emulator does not start.
    #[must_use]
    pub fn boot_skipping_sleep_with(&self, change: impl FnOnce(&mut EmulatorOptions)) -> Device {
        Device::boot_with(Some(self.region()), |options| {
            options.icount_shift = Some(INSTRUCTION_SHIFT);
            change(options);
        })
    }

    /// Connects as the operator and subscribes to the status.
    ///
    /// # Panics
    /// When the broker refuses.
    #[must_use]
    pub fn watch(&self) -> Watcher {
        let mut client = self
            .cloud
            .operator()
            .unwrap_or_else(|error| panic!("the operator cannot connect: {error:#}"));
        client.subscribe(&self.cloud.topics.status).expect("a subscription");
        Watcher { client, topics: self.cloud.topics.clone() }
    }

    /// How a client connects that pretends to be the device: with its certificate and its
    /// client id.
    #[must_use]
    pub fn rival_options(&self) -> ClientOptions {
        ClientOptions {
            port: self.cloud.broker.device_port(),
            credential: Some(self.cloud.pki.device.clone()),
            client_id: CLIENT_ID.to_owned(),
            ..operator_options(&self.cloud.pki, 0)
        }
    }

    /// How often the broker's log has a line with this in it.
    #[must_use]
    pub fn log_count(&self, text: &str) -> usize {
        self.cloud.broker.log().lines().filter(|line| line.contains(text)).count()
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.cloud.broker.log();
            let log: Vec<&str> = log.lines().collect();
            let tail = log[log.len().saturating_sub(TAIL)..].join("\n");
            eprintln!("--- the broker's log\n{tail}\n---");
        } else if !self.forbidden_is_meant {
            let forbidden: Vec<String> = self.cloud.broker.forbidden().collect();
            assert!(forbidden.is_empty(), "AWS IoT would have ended the connection: {forbidden:?}");
        }
    }
}

/// The operator, subscribed to the device's status.
#[derive(Debug)]
pub struct Watcher {
    client: MqttClient,
    topics: Topics,
}

impl Watcher {
    /// Waits for the next message of the status topic.
    ///
    /// # Panics
    /// When none comes, or one that is no status.
    #[track_caller]
    pub fn report(&mut self, limit: Duration) -> Report {
        let message = self.payload(limit);
        Report::parse(&message).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// The next message of the status topic, if one has come.
    ///
    /// # Panics
    /// When it is no status.
    #[track_caller]
    pub fn poll(&mut self) -> Option<Report> {
        let message = self.client.next(Duration::ZERO).expect("a connection")?;
        Some(Report::parse(&message.payload).unwrap_or_else(|error| panic!("{error:#}")))
    }

    /// Waits for the next message of the status topic, as it came.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn payload(&mut self, limit: Duration) -> Vec<u8> {
        match self.client.next(limit) {
            Ok(Some(message)) => message.payload,
            Ok(None) => panic!("no status within {limit:?}"),
            Err(error) => panic!("the operator was disconnected: {error:#}"),
        }
    }

    /// Waits for a status that satisfies `wanted`.
    ///
    /// # Panics
    /// When none comes within [`SOON`].
    #[track_caller]
    pub fn status(&mut self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + SOON;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} within {SOON:?}");
            if let Report::Online(status) = self.report(left)
                && wanted(&status)
            {
                return status;
            }
        }
    }

    /// Waits for the next status as it came, last wills left out.
    ///
    /// # Panics
    /// When none comes within [`SOON`].
    #[track_caller]
    pub fn online(&mut self) -> serde_json::Value {
        loop {
            let payload = self.payload(SOON);
            let status: serde_json::Value = serde_json::from_slice(&payload).expect("JSON");
            if status["online"] == true {
                return status;
            }
        }
    }

    /// Checks that a status tells of a reset for this reason with a record that begins so, and
    /// the next no more.
    ///
    /// # Panics
    /// When they do not.
    #[track_caller]
    pub fn told_once(&mut self, reset: &str, record: &str) {
        let status = self.online();
        assert_eq!(status["reset"], reset, "{status}");
        let told = status["crash"].as_str().unwrap_or_default();
        assert!(told.starts_with(record), "{status}");
        let next = loop {
            let next = self.online();
            // At QoS 1 a message may come twice.
            if next != status {
                break next;
            }
        };
        assert!(next["crash"].is_null(), "told again: {next}");
    }

    /// Forgets the statuses that have come so far.
    pub fn forget(&mut self) {
        while let Ok(Some(_)) = self.client.next(Duration::ZERO) {}
    }

    /// Sends a message to the device.
    ///
    /// # Panics
    /// When the broker does not take it.
    #[track_caller]
    pub fn send(&mut self, payload: &[u8]) {
        self.publish(payload, false);
    }

    /// Leaves a message for whoever subscribes; an empty one takes it back.
    ///
    /// # Panics
    /// When the broker does not take it.
    #[track_caller]
    pub fn retain(&mut self, payload: &[u8]) {
        self.publish(payload, true);
    }

    #[track_caller]
    fn publish(&mut self, payload: &[u8], retain: bool) {
        let topic = self.topics.control.clone();
        if let Err(error) = self.client.publish(&topic, payload, retain) {
            panic!("the broker did not take a message: {error:#}");
        }
    }

    /// Sends a message to the device at QoS 0, without waiting.
    ///
    /// # Panics
    /// When the connection has ended.
    #[track_caller]
    pub fn throw(&mut self, payload: &[u8]) {
        let topic = self.topics.control.clone();
        self.client
            .publish_unwatched(&topic, payload, rumqttc::QoS::AtMostOnce)
            .expect("a connection");
    }

    /// Switches the LED and waits until the board shows it and the device says it.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn switch(&mut self, device: &mut Device, led: Led) {
        self.obeys(device, led.word().as_bytes(), led);
    }

    /// Sends a message and waits until the device has obeyed it.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn obeys(&mut self, device: &mut Device, payload: &[u8], led: Led) {
        // A status that was sent before says nothing.
        self.forget();
        self.send(payload);
        device.expect_led(led);
        self.status(&format!("status with the LED {}", led.word()), |status| status.led == led);
    }
}
