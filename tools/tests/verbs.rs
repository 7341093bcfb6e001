//! The verbs of the second terminal against a running cloud and a stand-in for the device.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tools::client::{ClientOptions, MqttClient};
use tools::lab::{Lab, operator_options};
use tools::settings::Settings;

fn settings(folder: &Path) -> Settings {
    Settings {
        certs: folder.join("certs"),
        state: folder.to_owned(),
        thing: "a-thing".to_owned(),
        status_topic: "esp8266/status".to_owned(),
        control_topic: "esp8266/control".to_owned(),
    }
}

fn thing(folder: &Path, verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_thing"));
    command.arg(verb).arg("--state").arg(folder);
    command
}

fn finish(folder: &Path, verb: &str) -> Output {
    thing(folder, verb).output().unwrap()
}

/// Answers every command with the status that the firmware would send.
struct FakeDevice {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeDevice {
    fn start(lab: &Lab) -> Self {
        let mut client = MqttClient::connect(&ClientOptions {
            port: lab.cloud.broker.device_port(),
            credential: Some(lab.pki.device.clone()),
            ..operator_options(&lab.pki, 0)
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
                let led = String::from_utf8(command.payload).unwrap();
                let status = format!(
                    r#"{{"online":true,"uptime_s":1,"heap_free":2,"heap_min":3,"stack_min":4,
                        "led":"{led}","reset":"power-on","reconnects":0}}"#
                );
                client.publish("esp8266/status", status.as_bytes(), false).unwrap();
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
        let output = finish(folder.path(), verb);
        assert!(!output.status.success());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("make run"), "{error}");
    }
}

#[test]
fn on_and_off_wait_for_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::start(&settings(folder.path()), &folder.path().join("cloud")).unwrap();
    let _announced = lab.running().announce(folder.path()).unwrap();
    let device = FakeDevice::start(&lab);
    for verb in ["on", "off"] {
        let output = finish(folder.path(), verb);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.ends_with(&format!("the device's LED is {verb}\n")), "{text}");
    }
    drop(device);
    let output = finish(folder.path(), "on");
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("no device answered"), "{error}");
}

#[test]
fn watch_shows_statuses_and_ends_by_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let lab = Lab::start(&settings(folder.path()), &folder.path().join("cloud")).unwrap();
    let _announced = lab.running().announce(folder.path()).unwrap();
    let mut watch = thing(folder.path(), "watch").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("esp8266/status"), "{first}");
    let mut operator = lab.operator().unwrap();
    operator.publish("esp8266/status", b"one", false).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    kill(Pid::from_raw(i32::try_from(watch.id()).unwrap()), Signal::SIGINT).unwrap();
    assert!(watch.wait().unwrap().success());
}
