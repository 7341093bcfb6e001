//! The local cloud does what AWS IoT does, seen from clients that are not the firmware.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use certificates::{LeafRequest, Validity};
use cloud::broker::Connection;
use cloud::client::operator_options;
use cloud::client::{ClientOptions, Message, MqttClient};
use cloud::local::LocalCloud;
use rumqttc::QoS;
use tempfile::TempDir;
use things::config::Config;
use things::settings::Settings;

const LIMIT: Duration = Duration::from_secs(5);

/// Long enough for a message that must not come.
const QUIET: Duration = Duration::from_millis(500);

fn start() -> (TempDir, LocalCloud) {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::below(folder.path(), "a-thing");
    let cloud = LocalCloud::start(&settings, &folder.path().join("cloud")).unwrap();
    (folder, cloud)
}

/// A client with the device's certificate, on the devices' port.
fn device(cloud: &LocalCloud) -> ClientOptions {
    ClientOptions {
        port: cloud.broker.device_port(),
        credential: Some(cloud.pki.device.clone()),
        client_id: "ESP-010203040506".to_owned(),
        ..operator_options(&cloud.pki, 0)
    }
}

fn message(topic: &str, payload: &str) -> Message {
    Message { topic: topic.to_owned(), payload: payload.into(), retained: false }
}

/// A TLS handshake by an independent implementation, with the device's certificate.
fn s_client(folder: &Path, port: u16, arguments: &[&str]) -> Output {
    let certs = folder.join("certs");
    Command::new("openssl")
        .args(["s_client", "-connect", &format!("127.0.0.1:{port}")])
        .args(["-servername", "local-ats.iot.test", "-verify_return_error"])
        .arg("-CAfile")
        .arg(certs.join("root.pem"))
        .arg("-cert")
        .arg(certs.join("device.pem"))
        .arg("-key")
        .arg(certs.join("device.key"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn device_and_operator_talk() {
    let (_folder, cloud) = start();
    let mut operator = cloud.operator().unwrap();
    operator.subscribe("esp8266/status").unwrap();
    let mut device = MqttClient::connect(&device(&cloud)).unwrap();
    device.subscribe("esp8266/control").unwrap();
    device.publish("esp8266/status", b"hello", false).unwrap();
    operator.publish("esp8266/control", b"on", false).unwrap();
    assert_eq!(operator.next(LIMIT).unwrap(), Some(message("esp8266/status", "hello")));
    assert_eq!(device.next(LIMIT).unwrap(), Some(message("esp8266/control", "on")));
}

#[test]
fn policy_is_enforced() {
    let (_folder, cloud) = start();
    let mut operator = cloud.operator().unwrap();
    operator.subscribe("#").unwrap();
    let mut device = MqttClient::connect(&device(&cloud)).unwrap();
    // Mosquitto grants any subscription and then delivers nothing: what counts is that
    // neither direction goes through.
    device.subscribe("other/control").unwrap();
    device.publish("other/status", b"x", false).unwrap();
    device.publish("esp8266/control", b"x", false).unwrap();
    operator.publish("other/control", b"x", false).unwrap();
    assert_eq!(operator.next(QUIET).unwrap(), Some(message("other/control", "x")));
    assert_eq!(operator.next(QUIET).unwrap(), None);
    assert_eq!(device.next(QUIET).unwrap(), None);
}

#[test]
fn what_the_settings_name_for_the_application_is_granted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let names = "[topics]\npublish = [\"{thing}/heat\"]\nsubscribe = [\"house/+/light\"]\n";
    std::fs::write(&file, names).unwrap();
    let mut settings = Settings::below(folder.path(), "a-thing");
    settings.adopt(&Config::load(&file).unwrap()).unwrap();
    let cloud = LocalCloud::start(&settings, &folder.path().join("cloud")).unwrap();
    let mut operator = cloud.operator().unwrap();
    operator.subscribe("#").unwrap();
    let mut client = MqttClient::connect(&device(&cloud)).unwrap();
    client.subscribe("house/+/light").unwrap();
    client.publish("a-thing/heat", b"21", false).unwrap();
    assert_eq!(operator.next(LIMIT).unwrap(), Some(message("a-thing/heat", "21")));
    operator.publish("house/3/light", b"on", false).unwrap();
    assert_eq!(client.next(LIMIT).unwrap(), Some(message("house/3/light", "on")));
    assert_eq!(cloud.broker.forbidden().next(), None);
    client.publish("b-thing/heat", b"21", false).unwrap();
    let told = cloud.broker.forbidden().next();
    assert_eq!(
        told.as_deref(),
        Some("a-thing: a message to b-thing/heat, which its policy does not allow")
    );
}

/// Mosquitto says yes to all of it.
#[test]
fn what_aws_ends_the_connection_for_is_named() {
    let (_folder, cloud) = start();
    let allowed = ClientOptions {
        last_will: Some(("esp8266/status".to_owned(), b"gone".to_vec())),
        ..device(&cloud)
    };
    let mut client = MqttClient::connect(&allowed).unwrap();
    client.subscribe("esp8266/control").unwrap();
    client.subscribe("$aws/things/a-thing/jobs/notify-next").unwrap();
    client.publish("esp8266/status", b"x", true).unwrap();
    client.publish("$aws/things/a-thing/jobs/7/update", b"x", false).unwrap();
    let mut operator = cloud.operator().unwrap();
    operator.subscribe("#").unwrap();
    operator.publish("a/b", b"x", false).unwrap();
    let mut forbidden = cloud.broker.forbidden();
    assert_eq!(forbidden.next(), None);
    drop(client);
    let with_will =
        ClientOptions { last_will: Some(("lamp/gone".to_owned(), b"x".to_vec())), ..allowed };
    let mut client = MqttClient::connect(&with_will).unwrap();
    for _ in 0..2 {
        client.publish("lamp/it's, pressed", b"x", false).unwrap();
    }
    client.publish("1/2/3/4/5/6/7/8/9", b"x", false).unwrap();
    client.subscribe("esp8266/+").unwrap();
    assert_eq!(
        forbidden.collect::<Vec<_>>(),
        [
            "a-thing: a last will for lamp/gone, which its policy does not allow",
            "a-thing: a message to lamp/it's, pressed, which its policy does not allow",
            "a-thing: a message to 1/2/3/4/5/6/7/8/9: it must not have more than 7 slashes",
            "a-thing: a subscription to esp8266/+, which its policy does not allow",
        ]
    );
}

#[test]
fn only_known_certificates_come_in() {
    let (_folder, cloud) = start();
    let nobody = ClientOptions { credential: None, ..device(&cloud) };
    assert!(MqttClient::connect(&nobody).is_err());
    // Signed by the authority of servers, not of clients.
    let stranger = cloud.pki.intermediate.issue(&LeafRequest::client("a-thing")).unwrap();
    let stranger = ClientOptions { credential: Some(stranger), ..device(&cloud) };
    assert!(MqttClient::connect(&stranger).is_err());
    let expired = cloud
        .pki
        .clients
        .issue(&LeafRequest { validity: Validity::expired(), ..LeafRequest::client("a-thing") })
        .unwrap();
    let expired = ClientOptions { credential: Some(expired), ..device(&cloud) };
    assert!(MqttClient::connect(&expired).is_err());
    MqttClient::connect(&device(&cloud)).unwrap();
}

#[test]
fn tls_1_2_with_the_named_suites_and_nothing_older() {
    let (folder, cloud) = start();
    let port = cloud.broker.device_port();
    let weak = ["-cipher", "DEFAULT:@SECLEVEL=0"];
    let old = s_client(folder.path(), port, &["-tls1_1", weak[0], weak[1]]);
    assert!(!old.status.success(), "{old:?}");
    let current = s_client(folder.path(), port, &["-tls1_2", weak[0], weak[1]]);
    assert!(current.status.success(), "{current:?}");
    let text = String::from_utf8_lossy(&current.stdout);
    assert!(text.contains("ECDHE-ECDSA-AES"), "{text}");
    assert!(text.contains("Verify return code: 0"), "{text}");
    // Leaf and intermediate, not the root.
    assert!(text.contains(" 1 s:CN = Local IoT server authority"), "{text}");
    assert!(!text.contains(" 2 s:"), "{text}");
    let cbc = ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"];
    let cbc = s_client(folder.path(), port, &cbc);
    assert!(!cbc.status.success(), "{cbc:?}");
}

#[test]
fn qos_2_ends_the_connection() {
    let (_folder, cloud) = start();
    let mut device = MqttClient::connect(&device(&cloud)).unwrap();
    device.publish_unwatched("esp8266/status", b"x", QoS::ExactlyOnce).unwrap();
    device.closed(LIMIT).unwrap();
}

#[test]
fn connections_are_known_with_their_keep_alive() {
    let (_folder, cloud) = start();
    let _device =
        MqttClient::connect(&ClientOptions { keep_alive_s: 77, ..device(&cloud) }).unwrap();
    assert_eq!(
        cloud.broker.connections(),
        [Connection {
            client_id: "ESP-010203040506".to_owned(),
            user: "a-thing".to_owned(),
            keep_alive_s: 77,
            clean_session: true,
        }]
    );
}

#[test]
fn messages_beyond_128_kb_do_not_pass() {
    let (_folder, cloud) = start();
    let mut operator = cloud.operator().unwrap();
    operator.subscribe("esp8266/status").unwrap();
    let mut device = MqttClient::connect(&device(&cloud)).unwrap();
    let largest = vec![b'x'; 128 * 1024];
    device.publish("esp8266/status", &largest, false).unwrap();
    assert_eq!(operator.next(LIMIT).unwrap().unwrap().payload, largest);
    let larger = vec![b'x'; 128 * 1024 + 1];
    device.publish_unwatched("esp8266/status", &larger, QoS::AtLeastOnce).unwrap();
    assert_eq!(operator.next(QUIET).unwrap(), None);
}

#[test]
fn a_second_client_of_the_same_id_pushes_out_the_first() {
    let (_folder, cloud) = start();
    let mut first = MqttClient::connect(&device(&cloud)).unwrap();
    let _second = MqttClient::connect(&device(&cloud)).unwrap();
    first.closed(LIMIT).unwrap();
}

#[test]
fn last_will_is_sent_when_the_device_is_lost() {
    let (_folder, cloud) = start();
    let mut operator = cloud.operator().unwrap();
    operator.subscribe("esp8266/status").unwrap();
    let mut first = MqttClient::connect(&ClientOptions {
        last_will: Some(("esp8266/status".to_owned(), b"gone".to_vec())),
        ..device(&cloud)
    })
    .unwrap();
    let _second = MqttClient::connect(&device(&cloud)).unwrap();
    first.closed(LIMIT).unwrap();
    assert_eq!(operator.next(LIMIT).unwrap(), Some(message("esp8266/status", "gone")));
}

#[test]
fn broker_comes_back_on_the_same_port() {
    let (_folder, mut cloud) = start();
    let mut device_client = MqttClient::connect(&device(&cloud)).unwrap();
    cloud.broker.kill();
    assert!(cloud.broker.check().is_err());
    device_client.closed(LIMIT).unwrap();
    assert!(MqttClient::connect(&device(&cloud)).is_err());
    cloud.broker.restart().unwrap();
    MqttClient::connect(&device(&cloud)).unwrap();
}

#[test]
fn retained_messages_are_kept() {
    let (_folder, cloud) = start();
    cloud.operator().unwrap().publish("esp8266/control", b"on", true).unwrap();
    let mut device = MqttClient::connect(&device(&cloud)).unwrap();
    device.subscribe("esp8266/control").unwrap();
    let kept = device.next(LIMIT).unwrap().unwrap();
    assert!(kept.retained);
    assert_eq!(kept.payload, b"on");
}
