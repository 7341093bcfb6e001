//! Every setting of `config.example.toml`, from the file to its effect on the device.

use std::fs;
use std::path::Path;

use board::status::Led;
use certificates::{Authority, KeyKind, LeafRequest, Validity};
use cloud::broker::Connection;
use cloud::dns::{HOST_FROM_GUEST, ZONE};
use e2e::cable::{Cable, To};
use e2e::server::Server;
use e2e::stage::THING;
use e2e::time_server::TimeServer;
use e2e::{Device, SOON, Stage, seconds};
use things::config::Config;
use things::folder::ThingFolder;
use things::identity_region;

/// The identity that `make identity` would make of this `config.toml` in `folder`.
fn configured(stage: &mut Stage, folder: &Path, config: &str) {
    fs::create_dir_all(folder.join("certs").join(THING)).unwrap();
    fs::write(folder.join("config.toml"), config).unwrap();
    let config = Config::load(&folder.join("config.toml")).unwrap_or_else(|error| {
        panic!("{error}");
    });
    let thing = ThingFolder::new(&folder.join("certs"), THING).unwrap();
    stage.identity = identity_region::of_thing(&config, &thing, &stage.cloud.topics)
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn each_has_its_effect() {
    // The longest name that is taken.
    let label = "a".repeat(63);
    let endpoint = [&*label, &label, &label, &label[..60 - ZONE.len()], ZONE].join(".");
    assert_eq!(endpoint.len(), identity::MAX_HOST_NAME);
    let own_root = Authority::root("Own root", KeyKind::P256, Validity::for_days(9)).unwrap();
    let (status, control) = ("home/e2e/status", "home/e2e/control");
    let mut stage = Stage::with(|_, options| {
        options.server = own_root.issue(&LeafRequest::server(&[&endpoint]))?;
        options.grants[0].publish = vec![status.to_owned()];
        options.grants[0].receive = vec![control.to_owned()];
        Ok(())
    });
    stage.cloud.topics.status = status.to_owned();
    stage.cloud.topics.control = control.to_owned();
    let relay = stage.relay();
    let (dead, good) = (TimeServer::start(|_, _| None), TimeServer::good());
    let folder = process::scratch::folder().unwrap();
    fs::write(folder.path().join("root.pem"), own_root.pem()).unwrap();
    fs::create_dir(folder.path().join("keys")).unwrap();
    stage.cloud.pki.device.save(&folder.path().join("keys"), THING).unwrap();
    let config = format!(
        r#"
        [connection]
        endpoint = "{endpoint}"
        port = {port}
        client_id = "the-{{thing}}"
        keep_alive = 45
        backoff_cap = 2
        clean_session = true
        [topics]
        status = "home/{{thing}}/status"
        control = "home/{{thing}}/control"
        [certificate]
        certificate = "keys/{{thing}}.pem"
        key = "keys/{{thing}}.key"
        roots = ["root.pem"]
        [network]
        ntp = ["{dead}", "{good}"]
        dns = ["{HOST_FROM_GUEST}:5301", "{HOST_FROM_GUEST}:{name_server}"]
        [log]
        "*" = "warn"
        link = "debug"
        "#,
        port = relay.port(),
        dead = dead.setting("dead"),
        good = good.setting("good"),
        name_server = stage.cloud.dns.address().port(),
    );
    names_all_of_the_example(&config);
    configured(&mut stage, folder.path(), &config);

    let cable = Cable::new();
    let mut watcher = stage.watch();
    let mut device = Device::boot_with(Some(stage.region()), |options| cable.plug_in(options));
    // endpoint, port, client_id, roots; ntp and dns: the first of each is dead.
    // The log cuts its lines, and shows that it did.
    let begins = &endpoint[..100];
    let line = device.expect(seconds(60), &format!("client id the-e2e, endpoint {begins}"));
    assert!(line.text.ends_with(" [...]"), "{line:?}");
    device.expect(seconds(60), &format!("connected to {begins}"));
    assert!(!relay.attempts().is_empty(), "port");
    assert!(!dead.asked().is_empty() && !good.asked().is_empty(), "ntp");
    let asked = |port: u16| {
        cable.count(|seen| {
            seen.to == To::Network && seen.frame.as_udp().is_some_and(|(_, to, _)| to == port)
        })
    };
    assert!(asked(5301) > 0, "dns: the first was not asked");
    assert_eq!(asked(53), 0, "dns: DHCP's was asked");
    // topics
    device.expect(SOON, &format!("subscribed to {control}"));
    watcher.switch(&mut device, Led::On);
    // client_id, keep_alive, clean_session; certificate and key: the broker takes the user from
    // the certificate.
    let connections = stage.cloud.broker.connections();
    assert!(
        connections.contains(&Connection {
            client_id: "the-e2e".to_owned(),
            user: THING.to_owned(),
            keep_alive_s: 45,
            clean_session: true,
        }),
        "{connections:?}"
    );
    // log: of all modules but `link` only what is wrong.
    device.expect_where(SOON, "a line of link's at level debug", |line| {
        line.starts_with("D (") && line.contains(") link: ")
    });
    let lines = device.lines();
    let told = |line: &&String| line.starts_with("I (") && !line.contains(") link: ");
    // What comes before the identity was read has no settings yet.
    let early = |line: &&String| line.contains(") app: ") || line.contains(") update: ");
    assert_eq!(lines.iter().filter(|line| !early(line)).find(told), None);
    // backoff_cap
    let nowhere = Server::start(|_| Ok(()));
    relay.set_target(nowhere.port());
    relay.reset();
    for _ in 0..5 {
        device.expect_delay();
    }
    let delays = device.delays();
    assert!(delays.iter().all(|delay| *delay <= 2000), "{delays:?}");
    device.assert_sound();
}

/// What is not the emulated board's: the setting, how the suite has it that sees its effect, on a board
/// with a radio or a second slot, or at the broker.
const ELSEWHERE: [(&str, &str, &str); 7] = [
    ("publish", "publish = ", include_str!("../../../../host/cloud/tests/cloud.rs")),
    ("subscribe", "subscribe = ", include_str!("../../../../host/cloud/tests/cloud.rs")),
    ("ssid", "Wifi::new(", include_str!("../radio.rs")),
    ("passphrase", "Wifi::new(", include_str!("../radio.rs")),
    ("modem_sleep", "identity.modem_sleep = ", include_str!("../radio_load.rs")),
    ("keys", "identity.update_keys = ", include_str!("../update.rs")),
    ("trial", "identity.trial_s = ", include_str!("../update.rs")),
];

/// A setting that the example gains must gain its place in the test above, or in [`ELSEWHERE`].
fn names_all_of_the_example(config: &str) {
    let example = include_str!("../../../../config.example.toml");
    for line in example.lines() {
        let Some((key, _)) = line.strip_prefix('#').and_then(|line| line.split_once(" = ")) else {
            continue;
        };
        // The log's keys are modules.
        if key.contains(' ') || ["\"*\"", "mqtt"].contains(&key) {
            continue;
        }
        if let Some((_, field, suite)) = ELSEWHERE.iter().find(|(name, ..)| *name == key) {
            assert!(suite.contains(field), "the setting {key}: no test has its {field}");
            continue;
        }
        assert!(
            config.lines().any(|line| line.trim_start().starts_with(&format!("{key} = "))),
            "the setting {key} has no test of its effect"
        );
    }
}
