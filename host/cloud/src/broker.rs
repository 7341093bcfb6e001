//! Mosquitto, set up as AWS IoT Core behaves.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::forbidden::Forbidden;
use crate::pki::OPERATOR;
use certificates::Credential;
use process::programs::{self, Owned};
use process::wait;
use things::topics::{Topics, UPDATE_ANSWERS, UPDATE_REQUESTS};

/// Largest message in bytes, AWS IoT's limit (128 KB).
const MESSAGE_LIMIT: u32 = 128 * 1024;

/// The keep-alives in seconds that AWS IoT takes. Mosquitto cannot enforce the limits on
/// MQTT 3.1.1 clients; [`Broker::connections`] tells what they asked for.
pub const KEEP_ALIVE: RangeInclusive<u32> = 30..=1200;

/// What AWS IoT's TLS 1.2 policies offer and the device speaks.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
                       ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";

/// How long Mosquitto may take to accept connections.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How often free ports are looked for: another program may take one in the moment before
/// Mosquitto does.
const PORT_ATTEMPTS: u32 = 5;

/// What Mosquitto's log says then.
const PORT_TAKEN: &str = "Address already in use";

/// What one client may do, as an AWS IoT policy would grant it.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Common name of the client's certificate.
    pub user: String,
    /// Topic filters it may publish to.
    pub publish: Vec<String>,
    /// Topic filters it may subscribe to and receive from.
    pub receive: Vec<String>,
}

impl Grant {
    /// A device: it publishes its status and its own last will there, hears its control topic, talks
    /// to jobs and streams as the thing that it is, and does what its application is allowed besides.
    #[must_use]
    pub fn device(thing: &str, topics: &Topics) -> Self {
        let with = |own: &str, application: &[String], below: &[&str]| {
            let below = below.iter().map(|path| format!("$aws/things/{thing}/{path}"));
            let own = std::iter::once(own.to_owned()).chain(application.iter().cloned());
            own.chain(below).collect()
        };
        Self {
            user: thing.to_owned(),
            publish: with(&topics.status, &topics.publish, &UPDATE_REQUESTS),
            receive: with(&topics.control, &topics.subscribe, &UPDATE_ANSWERS),
        }
    }

    /// The operator: everything. A plain `#` does not reach AWS's own topics.
    #[must_use]
    pub fn operator() -> Self {
        let everything = vec!["#".to_owned(), "$aws/#".to_owned()];
        Self { user: OPERATOR.to_owned(), publish: everything.clone(), receive: everything }
    }
}

/// What a broker needs to start.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// Shown to devices. Tests replace it by a bad one.
    pub server: Credential,
    /// Shown to this machine's own clients, on a port of its own, so that they can look on
    /// while devices refuse `server`. Must be good for 127.0.0.1.
    pub local_server: Credential,
    /// The authority of all clients, PEM.
    pub client_authority_pem: String,
    /// Who may do what.
    pub grants: Vec<Grant>,
}

/// A running Mosquitto; killed when dropped.
#[derive(Debug)]
pub struct Broker {
    process: Owned,
    folder: PathBuf,
    program: PathBuf,
    grants: Vec<Grant>,
    device_port: u16,
    operator_port: u16,
}

impl Broker {
    /// Starts Mosquitto on two free ports of 127.0.0.1; its files go to `folder`.
    ///
    /// # Errors
    /// When Mosquitto is missing or does not come up; the message carries its log.
    pub fn start(folder: &Path, options: &BrokerOptions) -> Result<Self> {
        let program = programs::find("mosquitto", "mosquitto")?;
        fs::create_dir_all(folder)?;
        let authority = folder.join("clients.pem");
        fs::write(&authority, &options.client_authority_pem)?;
        options.server.save(folder, "device-side")?;
        options.local_server.save(folder, "operator-side")?;
        fs::write(folder.join("acl"), render_acl(&options.grants))?;
        let mut attempt = 1;
        loop {
            let (device_port, operator_port) = free_ports()?;
            let config = render_config(folder, device_port, operator_port);
            fs::write(folder.join("mosquitto.conf"), config)?;
            fs::write(log_path(folder), "")?;
            let process = launch(&program, folder)?;
            let mut broker = Self {
                process,
                folder: folder.to_owned(),
                program: program.clone(),
                grants: options.grants.clone(),
                device_port,
                operator_port,
            };
            match broker.await_ready(1) {
                Ok(()) => return Ok(broker),
                Err(_) if attempt < PORT_ATTEMPTS && broker.log().contains(PORT_TAKEN) => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The port for devices.
    #[must_use]
    pub fn device_port(&self) -> u16 {
        self.device_port
    }

    /// The port for this machine's own clients.
    #[must_use]
    pub fn operator_port(&self) -> u16 {
        self.operator_port
    }

    /// Kills the broker without any farewell to its clients.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks the broker to end, so that it closes its connections in order.
    ///
    /// # Errors
    /// When it does not end within five seconds.
    pub fn stop(&mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        match self.process.wait(Duration::from_secs(5))? {
            Some(_) => Ok(()),
            None => bail!("mosquitto does not end"),
        }
    }

    /// Starts the broker again on the same ports, with nothing remembered.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill();
        let starts = starts(&self.log());
        self.process = launch(&self.program, &self.folder)?;
        self.await_ready(starts + 1)
    }

    /// Replaces the certificate shown to devices and starts again.
    ///
    /// # Errors
    /// As [`Broker::start`].
    pub fn restart_with(&mut self, server: &Credential) -> Result<()> {
        server.save(&self.folder, "device-side")?;
        self.restart()
    }

    /// Freezes the broker (SIGSTOP): its sockets stay open and nothing answers.
    ///
    /// # Errors
    /// When the broker is gone.
    pub fn freeze(&self) -> Result<()> {
        self.process.signal(Signal::SIGSTOP)
    }

    /// Wakes a frozen broker.
    ///
    /// # Errors
    /// When the broker is gone.
    pub fn thaw(&self) -> Result<()> {
        self.process.signal(Signal::SIGCONT)
    }

    /// Fails when the broker has ended.
    ///
    /// # Errors
    /// With the end of its log.
    pub fn check(&mut self) -> Result<()> {
        match self.process.exited()? {
            None => Ok(()),
            Some(status) => bail!("mosquitto ended ({status}); its log:\n{}", self.log()),
        }
    }

    /// All connections of MQTT clients so far, from the log.
    #[must_use]
    pub fn connections(&self) -> Vec<Connection> {
        self.log().lines().filter_map(Connection::parse).collect()
    }

    /// What devices do, from its start, that Mosquitto passes over and AWS IoT ends the connection for.
    #[must_use]
    pub fn forbidden(&self) -> Forbidden {
        Forbidden::new(log_path(&self.folder), self.grants.clone())
    }

    /// Its log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(log_path(&self.folder)).unwrap_or_default()
    }

    /// Waits until it says for the so many-th time that it listens at both ports. That somebody does
    /// proves nothing: another program may have taken one of them, and the broker be about to end.
    fn await_ready(&mut self, start: usize) -> Result<()> {
        let listens = wait::until(START_LIMIT, Duration::from_millis(10), || {
            if starts(&self.log()) >= start {
                return Ok(Some(()));
            }
            self.check().map(|()| None)
        })?;
        listens.with_context(|| format!("mosquitto does not listen; its log:\n{}", self.log()))
    }
}

/// How often the broker whose log this is came as far as to listen.
fn starts(log: &str) -> usize {
    log.lines()
        .filter(|line| line.contains("mosquitto version") && line.ends_with(" running"))
        .count()
}

/// What a client said of itself when it connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its MQTT client id.
    pub client_id: String,
    /// The common name of its certificate.
    pub user: String,
    /// Its keep-alive in seconds.
    pub keep_alive_s: u32,
    /// Whether it asked for a clean session.
    pub clean_session: bool,
}

impl Connection {
    /// Reads `…: New client connected from ADDRESS as ID (p2, c1, k60, u'NAME').`
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once(": New client connected from ")?;
        let (_, rest) = rest.split_once(" as ")?;
        let (client_id, rest) = rest.rsplit_once(" (p")?;
        let (facts, user) = rest.strip_suffix("').")?.split_once(", u'")?;
        let mut clean_session = false;
        let mut keep_alive_s = None;
        for fact in facts.split(", ") {
            match fact.split_at_checked(1)? {
                ("c", value) => clean_session = value == "1",
                ("k", value) => keep_alive_s = value.parse().ok(),
                _ => {}
            }
        }
        Some(Self {
            client_id: client_id.to_owned(),
            user: user.to_owned(),
            keep_alive_s: keep_alive_s?,
            clean_session,
        })
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("mosquitto.log")
}

fn launch(program: &Path, folder: &Path) -> Result<Owned> {
    // What goes wrong before Mosquitto opens its log is written to standard error.
    let errors = fs::OpenOptions::new().create(true).append(true).open(log_path(folder))?;
    Owned::spawn(
        Command::new(program)
            .arg("-c")
            .arg(folder.join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors),
    )
}

/// Two ports that nothing listens on. Mosquitto cannot pick a port itself and tell us.
fn free_ports() -> Result<(u16, u16)> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free TCP port");
    let (first, second) = (listen()?, listen()?);
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}

fn render_acl(grants: &[Grant]) -> String {
    let mut text = String::from("# No line before the first user: nobody else may do anything.\n");
    for grant in grants {
        let _ = writeln!(text, "user {}", grant.user);
        for topic in &grant.publish {
            let _ = writeln!(text, "topic write {topic}");
        }
        for topic in &grant.receive {
            let _ = writeln!(text, "topic read {topic}");
        }
    }
    text
}

fn render_config(folder: &Path, device_port: u16, operator_port: u16) -> String {
    let mut text = format!(
        "# Written at every start; AWS IoT Core's behaviour as far as Mosquitto can show it.\n\
         # Started by root, Mosquitto would change to a user who cannot read these files.\n\
         user root\n\
         per_listener_settings false\n\
         allow_anonymous false\n\
         acl_file {folder}/acl\n\
         persistence false\n\
         persistent_client_expiration 1h\n\
         max_keepalive {keep_alive}\n\
         message_size_limit {MESSAGE_LIMIT}\n\
         max_inflight_messages 100\n\
         retain_available true\n\
         set_tcp_nodelay true\n\
         log_dest file {log}\n\
         log_type all\n\
         log_timestamp_format %Y-%m-%dT%H:%M:%S\n\
         connection_messages true\n",
        folder = folder.display(),
        log = log_path(folder).display(),
        keep_alive = KEEP_ALIVE.end(),
    );
    for (port, stem) in [(device_port, "device-side"), (operator_port, "operator-side")] {
        let _ = write!(
            text,
            "\nlistener {port} 127.0.0.1\n\
             protocol mqtt\n\
             max_qos 1\n\
             certfile {folder}/{stem}.pem\n\
             keyfile {folder}/{stem}.key\n\
             cafile {folder}/clients.pem\n\
             require_certificate true\n\
             use_identity_as_username true\n\
             tls_version tlsv1.2\n\
             ciphers {CIPHERS}\n",
            folder = folder.display(),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acl_names_each_topic() {
        let mut topics = Topics::new("a/status", "a/control");
        topics.publish = vec!["a/heat".to_owned()];
        topics.subscribe = vec!["house/#".to_owned()];
        let text = render_acl(&[Grant::device("a", &topics)]);
        let expected = "user a\n\
            topic write a/status\n\
            topic write a/heat\n\
            topic write $aws/things/a/jobs/start-next\n\
            topic write $aws/things/a/jobs/$next/get\n\
            topic write $aws/things/a/jobs/+/update\n\
            topic write $aws/things/a/streams/+/get/cbor\n\
            topic read a/control\n\
            topic read house/#\n\
            topic read $aws/things/a/jobs/#\n\
            topic read $aws/things/a/streams/#\n";
        assert!(text.ends_with(expected), "{text}");
    }

    #[test]
    fn it_listens_when_it_says_so() {
        let (start, run) =
            ("1: mosquitto version 2.0.11 starting\n", "1: mosquitto version 2.0.11 running\n");
        assert_eq!(starts(start), 0);
        assert_eq!(starts(&format!("{start}{run}{start}")), 1);
        assert_eq!(starts(&format!("{start}{run}{start}{run}")), 2);
    }

    #[test]
    fn connections_are_read_from_the_log() {
        let line = "2026-01-01T00:00:00: New client connected from 127.0.0.1:45208 as \
                    ESP-01 (p2, c0, k60, u'demo').";
        assert_eq!(
            Connection::parse(line),
            Some(Connection {
                client_id: "ESP-01".to_owned(),
                user: "demo".to_owned(),
                keep_alive_s: 60,
                clean_session: false,
            })
        );
        assert_eq!(Connection::parse("2026: Sending PUBACK to ESP-01 (m1, rc0)"), None);
    }

    #[test]
    fn config_has_what_aws_demands_on_both_listeners() {
        let text = render_config(Path::new("/x y"), 1, 2);
        for line in [
            "require_certificate true",
            "use_identity_as_username true",
            "max_qos 1",
            "tls_version tlsv1.2",
        ] {
            assert_eq!(text.matches(line).count(), 2, "{line}");
        }
        assert!(text.contains("max_keepalive 1200\n"));
        assert!(text.contains("message_size_limit 131072\n"));
        assert!(text.contains("allow_anonymous false\n"));
        assert!(text.contains("listener 1 127.0.0.1\n"));
        assert!(text.contains("acl_file /x y/acl\n"));
    }
}
