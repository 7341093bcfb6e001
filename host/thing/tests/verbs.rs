//! The verbs of the second terminal against a running cloud and a stand-in for the device.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use certificates::{Authority, Credential, KeyKind, LeafRequest, Validity};
use cloud::client::operator_options;
use cloud::client::{ClientOptions, MqttClient};
use cloud::local::LocalCloud;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use things::config::Config;
use things::folder::ThingFolder;
use things::settings::Settings;

fn settings(folder: &Path) -> Settings {
    Settings { state: folder.to_owned(), ..Settings::below(folder, "a-thing") }
}

fn start(folder: &Path) -> LocalCloud {
    LocalCloud::start(&settings(folder), &folder.join("cloud")).unwrap()
}

fn thing(folder: &Path, verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thing"));
    command.arg(verb).arg("--state").arg(folder);
    command
}

/// What it says when it fails, which it must.
#[track_caller]
fn failing(folder: &Path, verb: &str) -> String {
    let output = thing(folder, verb).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The status that the firmware would send once it has obeyed.
fn status(led: &str) -> String {
    format!(
        r#"{{"online":true,"uptime_s":1,"heap_free":2,"heap_min":3,"stack_min":4,
            "led":"{led}","reset":"power-on","reconnects":0}}"#
    )
}

/// Answers every command with a report.
struct FakeDevice {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeDevice {
    fn start(cloud: &LocalCloud, report: fn(&str) -> String) -> Self {
        let mut client = MqttClient::connect(&ClientOptions {
            port: cloud.broker.device_port(),
            credential: Some(cloud.pki.device.clone()),
            ..operator_options(&cloud.pki, 0)
        })
        .unwrap();
        client.subscribe("esp8266/control").unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let Some(command) = client.next(Duration::from_millis(50)).unwrap() else {
                    continue;
                };
                let command = String::from_utf8(command.payload).unwrap();
                client.publish("esp8266/status", report(&command).as_bytes(), false).unwrap();
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for FakeDevice {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn without_a_cloud_the_message_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for verb in ["on", "off", "watch"] {
        let error = failing(folder.path(), verb);
        assert!(error.contains("make run"), "{error}");
    }
}

#[test]
fn on_and_off_wait_for_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = start(folder.path());
    let mut announced = cloud.running().announce(folder.path()).unwrap();
    let error = failing(folder.path(), "on");
    assert!(error.contains("does not run its firmware yet"), "{error}");
    announced.board_runs().unwrap();
    let device = FakeDevice::start(&cloud, status);
    for verb in ["on", "off"] {
        let output = thing(folder.path(), verb).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.ends_with(&format!("the device's LED is {verb}\n")), "{text}");
    }
    drop(device);
    let error = failing(folder.path(), "on");
    assert!(error.contains("no device answered"), "{error}");
}

/// What an application reports, and whether it knows `on` at all, is its own business.
#[test]
fn an_application_is_sent_on_and_off() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = start(folder.path());
    let mut announced = cloud.running().announce(folder.path()).unwrap();
    announced.board_runs().unwrap();
    let _device = FakeDevice::start(&cloud, |_| r#"{"online":true,"app":"my-lamp"}"#.to_owned());
    for verb in ["on", "off"] {
        let output = thing(folder.path(), verb).arg("--application").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            text.starts_with("sent to esp8266/control; what the device makes of it, "),
            "{text}"
        );
    }
}

#[test]
fn watch_shows_statuses_and_ends_by_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = start(folder.path());
    let _announced = cloud.running().announce(folder.path()).unwrap();
    let mut watch = thing(folder.path(), "watch").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("esp8266/status"), "{first}");
    let mut operator = cloud.operator().unwrap();
    operator.publish("esp8266/status", b"one", false).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    kill(Pid::from_raw(i32::try_from(watch.id()).unwrap()), Signal::SIGINT).unwrap();
    assert!(watch.wait().unwrap().success());
}

/// The cloud plays AWS for a provisioned thing: under its endpoint's name, by its certificate,
/// whose authority nobody here knows.
#[test]
fn a_provisioned_thing_is_let_in_by_its_own_certificate_only() {
    const ENDPOINT: &str = "a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com";
    let folder = tempfile::tempdir().unwrap();
    let things = folder.path().join("things");
    let own = things.join("a-thing");
    std::fs::create_dir_all(&own).unwrap();
    let authority = Authority::root("AWS", KeyKind::P256, Validity::for_days(9)).unwrap();
    let credential = authority.issue(&LeafRequest::client("AWS IoT Certificate")).unwrap();
    credential.save(&own, "device").unwrap();
    std::fs::write(own.join("thing.json"), format!("{{\"endpoint\": \"{ENDPOINT}\"}}")).unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "[topics]\nstatus = \"{thing}/status\"\n").unwrap();
    let config = Config::load(&config).unwrap();
    let mut settings = settings(folder.path());
    settings.adopt(&config).unwrap();
    let own = ThingFolder::new(&things, "a-thing").unwrap();
    let cloud = folder.path().join("cloud");
    let cloud = LocalCloud::start_configured(&settings, &cloud, &config, &own).unwrap();
    assert!(cloud.stands_in_for_aws());
    let identity = cloud.device_identity();
    assert_eq!(identity.endpoints.host, ENDPOINT);
    assert_eq!(identity.client_id.as_deref(), Some("a-thing"));
    assert_eq!(identity.credential.chain, credential.chain);
    assert_eq!(identity.roots, [cloud.pki.root.certificate().clone()]);
    let region = identity.region().unwrap();
    assert_eq!(identity::decode(&region).unwrap().port, identity.endpoints.port);

    let connect = |credential: &Credential| {
        MqttClient::connect(&ClientOptions {
            port: identity.endpoints.port,
            credential: Some(credential.clone()),
            client_id: "a-thing".to_owned(),
            ..operator_options(&cloud.pki, 0)
        })
    };
    // Neither another certificate of the same authority, nor one of the local authority.
    let other = authority.issue(&LeafRequest::client("AWS IoT Certificate")).unwrap();
    for credential in [&other, &cloud.pki.device] {
        assert!(connect(credential).is_err());
    }
    let log = cloud.gate_log();
    assert!(log.iter().all(|line| line.contains("the device's TLS")), "{log:?}");
    assert_eq!(log.len(), 2);
    let mut device = connect(&credential).unwrap();
    let mut operator = cloud.operator().unwrap();
    operator.subscribe("a-thing/status").unwrap();
    device.publish("a-thing/status", b"here", false).unwrap();
    let message = operator.next(Duration::from_secs(5)).unwrap().unwrap();
    assert_eq!(message.payload, b"here");
    // More than a record, so that the gate has to cut and join.
    device.subscribe("esp8266/control").unwrap();
    let large = vec![b'x'; 100_000];
    operator.publish("esp8266/control", &large, false).unwrap();
    let message = device.next(Duration::from_secs(5)).unwrap().unwrap();
    assert!(message.payload == large, "{} bytes", message.payload.len());
    // The broker knows it as the thing, so that the thing's grants hold.
    let connections = cloud.broker.connections();
    assert!(connections.iter().any(|connection| connection.user == "a-thing"), "{connections:?}");
}

#[test]
fn watch_ends_quietly_when_nobody_reads() {
    let folder = tempfile::tempdir().unwrap();
    let cloud = start(folder.path());
    let _announced = cloud.running().announce(folder.path()).unwrap();
    let mut watch = thing(folder.path(), "watch")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    drop(lines);
    cloud.operator().unwrap().publish("esp8266/status", b"one", false).unwrap();
    let output = watch.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
