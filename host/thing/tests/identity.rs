//! `thing identity` and `thing identity-info` as a person meets them: what they make, and what
//! they say about every mistake.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use certificates::{Authority, Credential, KeyKind, LeafRequest, Validity};
use identity::WifiKey;
use identity::{Level, Stored};
use tempfile::TempDir;

const ENDPOINT: &str = "a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com";

/// A working copy with a provisioned thing.
struct Place {
    folder: TempDir,
    authority: Authority,
    credential: Credential,
}

impl Place {
    fn new() -> Self {
        let authority = Authority::root("issuer", KeyKind::P256, Validity::for_days(9)).unwrap();
        let credential = authority.issue(&LeafRequest::client("lamp")).unwrap();
        let place = Self { folder: tempfile::tempdir().unwrap(), authority, credential };
        fs::create_dir_all(place.file("certs/lamp")).unwrap();
        place.put(&place.credential.clone());
        place.write("certs/lamp/thing.json", &format!("{{\n\"endpoint\": \"{ENDPOINT}\"\n}}\n"));
        place
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.file(name), text).unwrap();
    }

    /// Replaces a file that only its owner may read.
    fn write_key(&self, text: &[u8]) {
        let file = self.file("certs/lamp/device.key");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn put(&self, credential: &Credential) {
        credential.save(&self.file("certs/lamp"), "device").unwrap();
    }

    fn thing(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_thing"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("THING", "lamp")
            .output()
            .unwrap()
    }

    fn make(&self) -> Vec<u8> {
        let output = self.thing(&["identity"]);
        assert!(output.status.success(), "{output:?}");
        fs::read(self.file("certs/lamp/identity.bin")).unwrap()
    }

    /// Makes a key pair by openssl, `name` with .key and .pub. Returns the public key in DER.
    fn update_key(&self, name: &str) -> Vec<u8> {
        let [key, public] =
            ["key", "pub"].map(|kind| self.file(&format!("{name}.{kind}")).display().to_string());
        openssl(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out {key}"));
        openssl(&format!("pkey -in {key} -pubout -out {public}"));
        openssl(&format!("pkey -in {key} -pubout -outform DER"))
    }

    /// What the program says, which must fail.
    #[track_caller]
    fn failing(&self, arguments: &[&str]) -> String {
        let output = self.thing(arguments);
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{text}");
        text
    }

    /// Makes the identity, which must fail with these words.
    #[track_caller]
    fn refused(&self, words: &[&str]) {
        let text = self.failing(&["identity"]);
        assert!(!self.file("certs/lamp/identity.bin").exists(), "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in:\n{text}");
        }
        assert!(text.contains("what to do: "), "{text}");
        assert_silent(&text, &self.credential);
    }
}

/// Nothing of the key is in a text, neither as PEM nor as bytes.
#[track_caller]
fn assert_silent(text: &str, credential: &Credential) {
    for line in credential.key_pem().lines().filter(|line| !line.starts_with('-')) {
        assert!(!text.contains(line), "a line of the key is shown");
    }
    for bytes in credential.key.secret_der().chunks_exact(8) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!text.to_lowercase().contains(&hex), "a piece of the key is shown");
    }
}

fn openssl(line: &str) -> Vec<u8> {
    let output = Command::new("openssl").args(line.split(' ')).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn identity_of_a_provisioned_thing() {
    let place = Place::new();
    let region = place.make();
    let stored = Stored::read(&region).unwrap();
    assert_eq!((stored.sequence, &stored.other), (1, &None));
    let identity = &stored.identity;
    assert_eq!((identity.endpoint, identity.port), (ENDPOINT, 8883));
    assert_eq!((identity.thing_name, identity.client_id), (Some("lamp"), Some("lamp")));
    assert_eq!(identity.status_topic, "esp8266/status");
    assert_eq!(identity.certificates, [place.credential.chain[0].as_ref()]);
    assert_eq!(identity.private_key, place.credential.key.secret_der());
    assert!(identity.roots.is_empty() && identity.dns_servers.is_empty());
    assert_eq!(identity.ntp_servers()[0].host, "pool.ntp.org");
    assert!(identity.update_keys.is_empty());
    let mode = fs::metadata(place.file("certs/lamp/identity.bin")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Made again, it is newer than the one that a device has.
    assert_eq!(Stored::read(&place.make()).unwrap().sequence, 2);
}

#[test]
fn every_setting_arrives() {
    let place = Place::new();
    let root = Authority::root("r", KeyKind::P256, Validity::for_days(9)).unwrap();
    place.write("root.pem", &root.pem());
    fs::create_dir(place.file("keys")).unwrap();
    place.credential.save(&place.file("keys"), "lamp").unwrap();
    let spki = ["old", "new"].map(|name| place.update_key(&format!("keys/{name}")));
    fs::remove_dir_all(place.file("certs/lamp")).unwrap();
    fs::create_dir(place.file("certs/lamp")).unwrap();
    place.write(
        "config.toml",
        r#"
        [connection]
        endpoint = "other-ats.iot.us-east-1.amazonaws.com"
        port = 443
        client_id = "the-{thing}"
        keep_alive = 1200
        backoff_cap = 300
        clean_session = true
        [topics]
        status = "home/{thing}/status"
        control = "home/{thing}/control"
        [certificate]
        certificate = "keys/{thing}.pem"
        key = "keys/{thing}.key"
        roots = ["root.pem"]
        [network]
        ntp = ["time.example", "10.0.0.1:1123"]
        dns = ["10.0.0.1", "10.0.0.2:5353"]
        modem_sleep = true
        [[wifi]]
        ssid = "café"
        passphrase = "correct horse"
        [[wifi]]
        ssid = "open"
        [log]
        "*" = "warn"
        mqtt = "trace"
        [update]
        keys = ["keys/old.pub", "keys/new.pub"]
        trial = 900
        "#,
    );
    let region = place.make();
    let identity = Stored::read(&region).unwrap().identity;
    assert_eq!(identity.endpoint, "other-ats.iot.us-east-1.amazonaws.com");
    assert_eq!((identity.port, identity.client_id), (443, Some("the-lamp")));
    assert_eq!((identity.keep_alive_s, identity.backoff_cap_s), (1200, 300));
    assert!(identity.clean_session);
    assert_eq!(identity.status_topic, "home/lamp/status");
    assert_eq!(identity.control_topic, "home/lamp/control");
    assert_eq!(identity.roots, [root.certificate().as_ref()]);
    let ntp: Vec<String> = identity.ntp_servers().iter().map(ToString::to_string).collect();
    assert_eq!(ntp, ["time.example", "10.0.0.1:1123"]);
    let dns: Vec<String> = identity.dns_servers.iter().map(ToString::to_string).collect();
    assert_eq!(dns, ["10.0.0.1:53", "10.0.0.2:5353"]);
    assert_eq!(identity.wifi[0].ssid, "café".as_bytes());
    assert!(matches!(identity.wifi[0].key, WifiKey::Pmk(_)));
    assert_eq!(identity.wifi[1].key, WifiKey::None);
    let levels: Vec<_> =
        identity.log_levels.iter().map(|entry| (entry.module, entry.level)).collect();
    assert_eq!(levels, [("*", Level::Warn), ("mqtt", Level::Trace)]);
    for (key, spki) in identity.update_keys.iter().zip(&spki) {
        assert!(spki.ends_with(*key), "{spki:x?}");
    }
    assert_eq!((identity.update_keys.len(), identity.trial_s), (2, 900));
    assert!(identity.modem_sleep);

    let file = place.file("new.der");
    fs::write(&file, &spki[1]).unwrap();
    let digest = openssl(&format!("dgst -sha256 -r {}", file.display()));
    let digest = String::from_utf8(digest).unwrap();

    let info = place.thing(&["identity-info"]);
    assert!(info.status.success(), "{info:?}");
    let text = String::from_utf8(info.stdout).unwrap();
    for line in [
        "copy 0        valid, sequence 1: this one counts",
        "copy 1        valid, the same",
        "endpoint      other-ats.iot.us-east-1.amazonaws.com:443",
        "certificate   CN=lamp, until ",
        "private key   present, not shown",
        "root          CN=r, until ",
        "Wi-Fi         caf\\xc3\\xa9 (with a key)",
        "Wi-Fi         open (open)",
        "modem sleep   on",
        "DNS server    10.0.0.2:5353",
        "log level     mqtt trace",
        &format!("update key    SHA-256 {}", digest.split(' ').next().unwrap()),
        "update trial  900 s",
    ] {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
    assert!(!text.contains("horse"));
    assert_silent(&text, &place.credential);
}

/// The example names every setting; with all comments taken away, it must be understood.
#[test]
fn the_example_is_complete_and_right() {
    let example =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config.example.toml"))
            .unwrap();
    let active: String = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let place = Place::new();
    // As it is: all defaults.
    place.write("config.toml", &example);
    let defaults = place.make();
    place.write("config.toml", &active.replace("xxxx-ats", "a1b2c3d4e5f6g7-ats"));
    let region = place.make();
    let (explicit, defaults) =
        (Stored::read(&region).unwrap().identity, Stored::read(&defaults).unwrap().identity);
    // What the example says of the defaults is true.
    assert_eq!(explicit.wifi[0].ssid, b"home");
    assert_eq!(explicit.ntp_servers(), defaults.ntp_servers());
    assert_eq!(explicit.port, defaults.port);
    assert_eq!(explicit.client_id, defaults.client_id);
    assert_eq!(explicit.keep_alive_s, defaults.keep_alive_s);
    assert_eq!(explicit.backoff_cap_s, defaults.backoff_cap_s);
    assert_eq!(explicit.clean_session, defaults.clean_session);
    assert_eq!(explicit.status_topic, defaults.status_topic);
    assert_eq!(explicit.control_topic, defaults.control_topic);
    assert_eq!(explicit.certificates, defaults.certificates);
    assert!(explicit.update_keys.is_empty());
    assert_eq!(explicit.trial_s, defaults.trial_s);
    assert_eq!(explicit.modem_sleep, defaults.modem_sleep);
    let keys = "endpoint port client_id keep_alive backoff_cap clean_session status control \
                certificate key roots ntp dns modem_sleep ssid passphrase keys trial";
    for key in keys.split(' ') {
        assert!(active.lines().any(|line| line.starts_with(&format!("{key} = "))), "{key}");
    }
    // As it stands, the example's endpoint is nobody's.
    fs::remove_file(place.file("certs/lamp/identity.bin")).unwrap();
    place.write("config.toml", &active);
    place.refused(&["config.toml:", "is the example's"]);
}

#[test]
fn mistakes_in_the_config_are_shown_with_file_line_and_remedy() {
    let place = Place::new();
    for (text, words) in [
        ("[connection]\nprot = 1", &["config.toml:2: unknown field `prot`", "`port`"][..]),
        ("\n[connexion]", &["config.toml:2: unknown field `connexion`"]),
        ("[connection]\nport = 70000", &["config.toml:2: ", "70000", "a number from 0 to 65535"]),
        (
            "[connection]\nport = \"8883\"",
            &["config.toml:2: ", "string", "a number from 0 to 65535"],
        ),
        ("[connection]\nport = 0", &["config.toml:2: the port must not be 0"]),
        ("[connection]\nport 1", &["config.toml:2: "]),
        ("[connection]\nport = 1\nport = 2", &["config.toml:3: duplicate key"]),
        ("[connection]\nkeep_alive = 29", &["config.toml:2: the keep-alive must be 30 to 1200"]),
        ("[connection]\nbackoff_cap = 1", &["config.toml:2: the backoff cap must be 2 to 3600"]),
        ("[connection]\nclient_id = \"\"", &["config.toml:2: the client id must have 1 to 128"]),
        ("[connection]\nclient_id = \"{name}\"", &["config.toml:2: ", "{thing}"]),
        ("[topics]\n\nstatus = \"a/#\"", &["config.toml:3: the status topic must not contain"]),
        (
            "[topics]\nstatus = \"a\"\ncontrol = \"a\"",
            &["config.toml:3: the control topic must differ"],
        ),
        (
            "[topics]\nstatus = \"esp8266/control\"",
            &["config.toml:2: the control topic must differ"],
        ),
        (
            "[topics]\npublish = [\"a\",\n\"b/+\"]",
            &["config.toml:3: the topic \"b/+\" must not contain the wildcards"],
        ),
        (
            "[topics]\nsubscribe = [\"$aws/things/other/shadow/#\"]",
            &["config.toml:2: the topic", "the thing's own $aws/things/{thing}/"],
        ),
        ("[topics]\nsubscribe = [\"a/#/b\"]", &["config.toml:2: the topic", "# only as the last"]),
        (
            "[network]\nntp = [\"a\",\n\"b:c\"]",
            &["config.toml:3: the NTP server must have a number"],
        ),
        ("[network]\ndns = [\"dns.example\"]", &["config.toml:2: the DNS server must be an IPv4"]),
        (
            "[network]\ndns = [\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\n\"1.1.1.1\"]",
            &["config.toml:3: the DNS server occurs too often"],
        ),
        (
            "[[wifi]]\nssid = \"a\"\npassphrase = \"short\"",
            &["config.toml:1: the Wi-Fi network must have a passphrase of 8 to 63"],
        ),
        ("[[wifi]]\nssid = \"\"", &["config.toml:1: the Wi-Fi network must have an SSID"]),
        ("[[wifi]]\npassphrase = \"12345678\"", &["config.toml:1: missing field `ssid`"]),
        ("[log]\nmqtt = \"loud\"", &["config.toml:2: unknown variant `loud`", "`debug`"]),
        ("[log]\n\"a b\" = \"info\"", &["config.toml:2: the device's log has no module \"a b\""]),
        (
            "[log]\nqmtt = \"info\"",
            &["config.toml:2: the device's log has no module \"qmtt\"", "mqtt"],
        ),
        ("[certificate]\nroots = [\"no.pem\"]", &["no.pem: the file cannot be read", "`roots`"]),
        ("[update]\ntrial = 59", &["config.toml:2: the trial time must be 60 to 3600 seconds"]),
        ("[update]\nkeys = [\"no.pub\"]", &["no.pub: the file cannot be read", "[update]"]),
        ("[certificate]\nkey = \"no.key\"", &["no.key: the file cannot be read"]),
        ("\0", &["config.toml:1: "]),
    ] {
        place.write("config.toml", text);
        place.refused(words);
    }
    fs::write(place.file("config.toml"), b"[log]\n\"\xFF\" = \"info\"").unwrap();
    place.refused(&["config.toml:2: this is text, but not in UTF-8"]);
    place.write("config.toml", &"#\n".repeat(40_000));
    place.refused(&["config.toml: the file has 80000 bytes, and no more than 65536"]);
}

#[test]
fn a_passphrase_is_never_repeated() {
    let place = Place::new();
    for value in
        ["31415926535", "\"31415926535\nx\"", "[\"31415926535\"]", "\"3141592\"", "31415926535x"]
    {
        place.write("config.toml", &format!("[[wifi]]\nssid = \"a\"\npassphrase = {value}\n"));
        let text = place.failing(&["identity"]);
        assert!(text.contains("config.toml:"), "{text}");
        assert!(!text.contains("3141592"), "{text}");
    }
}

#[test]
fn bad_endpoints_are_refused_wherever_they_come_from() {
    let place = Place::new();
    let label = "x".repeat(63);
    let too_long = [&*label, &label, &label, &label[..53], "iot.test"].join(".");
    assert_eq!(too_long.len(), 254);
    for (endpoint, words) in [
        ("https://a-ats.iot.eu-west-1.amazonaws.com", "without https://"),
        ("a-ats.iot.eu-west-1.amazonaws.com:8883", "and port"),
        ("a-ats.iot.eu-west-1.amazonaws.com.", "is not a host name"),
        ("a_b.example", "is not a host name"),
        ("10.0.0.1", "is not a host name"),
        ("localhost", "is not a host name"),
        (&*too_long, "is not a host name"),
        ("", "is not a host name"),
        ("a1b2c3d4e5f6g7.iot.eu-west-1.amazonaws.com", "AWS's old kind"),
        ("a-ats.credentials.iot.eu-west-1.amazonaws.com", "not the one for MQTT"),
    ] {
        let place = Place::new();
        place.write("config.toml", &format!("[connection]\n\nendpoint = \"{endpoint}\""));
        place.refused(&["config.toml:3: the endpoint", words]);
        place.write("config.toml", "");
        place.write("certs/lamp/thing.json", &format!("{{\n\n\"endpoint\": \"{endpoint}\"}}"));
        place.refused(&["thing.json:3: the endpoint", words, "make provision THING=lamp"]);
    }
    place.write("certs/lamp/thing.json", "{}");
    place.refused(&["config.toml: no endpoint is known", "describe-endpoint"]);
    place.write("certs/lamp/thing.json", "{\n\"endpoint\": 5}");
    place.refused(&["thing.json:2: this is damaged", "make provision"]);
    // Without AWS: any host name.
    place.write("config.toml", "[connection]\nendpoint = \"broker.example\"");
    fs::remove_file(place.file("certs/lamp/thing.json")).unwrap();
    let region = place.make();
    assert_eq!(Stored::read(&region).unwrap().identity.endpoint, "broker.example");
}

#[test]
fn what_the_policy_does_not_allow_is_refused() {
    let place = Place::new();
    place.write("config.toml", "[connection]\nclient_id = \"other\"");
    place.refused(&["thing.json: ", "allows the client id \"lamp\" only", "\"other\""]);
    place.write("config.toml", "[topics]\nstatus = \"mine\"");
    place.write(
        "certs/lamp/thing.json",
        &format!("{{\"endpoint\": \"{ENDPOINT}\",\n\"status_topic\": \"esp8266/status\"}}"),
    );
    place
        .refused(&["thing.json:2: the thing's policy allows \"esp8266/status\"", "make provision"]);
}

#[test]
fn certificates_that_do_not_serve() {
    let place = Place::new();
    let issue = |change: &dyn Fn(&mut LeafRequest)| {
        let mut request = LeafRequest::client("lamp");
        change(&mut request);
        place.put(&place.authority.issue(&request).unwrap());
    };
    issue(&|request| request.validity = Validity::expired());
    place.refused(&["device.pem:1: this certificate expired on 20"]);
    issue(&|request| {
        request.validity = Validity::not_yet();
        request.validity.not_before += std::time::Duration::from_secs(86_400);
    });
    place.refused(&["device.pem:1: this certificate is not valid before", "clock"]);
    issue(&|request| request.key = KeyKind::Rsa2048);
    place.refused(&["device.pem:1: this certificate has an RSA key", "P-256"]);

    let good = place.credential.chain_pem();
    place.put(&place.credential);
    for (text, words) in [
        (String::new(), "there is no PEM block"),
        ("certificate".to_owned(), "there is no PEM block"),
        (good.replace("-----END", "-----EN"), "device.pem:1: a PEM block begins here and is cut"),
        (format!("\n\n{}", good.replacen("MII", "!!!", 1)), "device.pem:3: a PEM block"),
        (good.replacen("MII", "AAA", 1), "device.pem:1: this certificate is damaged"),
        ("#".repeat(40_000), "has 40000 bytes, and no more than 32768"),
    ] {
        place.write("certs/lamp/device.pem", &text);
        place.refused(&[words]);
    }
    fs::write(place.file("certs/lamp/device.pem"), &place.credential.chain[0]).unwrap();
    place.refused(&["device.pem:1: this is no text file", "-inform DER"]);
    fs::remove_file(place.file("certs/lamp/device.pem")).unwrap();
    place.refused(&["device.pem: the file cannot be read", "make provision THING=lamp"]);
}

#[test]
fn certificates_of_a_kind_that_the_device_does_not_know() {
    let place = Place::new();
    place.write("config.toml", "[certificate]\nroots = [\"root.pem\"]");
    let good = place.authority.pem();
    for (options, words) in [
        (
            "ec -pkeyopt ec_paramgen_curve:secp384r1",
            "this root has a key on another elliptic curve",
        ),
        ("rsa:1024", "this root has an RSA key of another size than 2048 to 4096 bits"),
        ("rsa:2048 -sha512", "does not know (sha512WithRSAEncryption)"),
        ("rsa:2048 -sha256 -sigopt rsa_padding_mode:pss", "does not know (rsassa-pss)"),
        ("rsa:2048 -sha1", "does not know (sha1WithRSAEncryption)"),
        ("ed25519", "does not know ("),
    ] {
        let root =
            openssl(&format!("req -x509 -nodes -keyout /dev/null -subj /CN=a -newkey {options}"));
        place.write("root.pem", &(good.clone() + &String::from_utf8(root).unwrap()));
        // Behind a good one of so many lines.
        let line = format!("root.pem:{}: ", 1 + good.lines().count());
        place.refused(&[&line, words]);
    }
    // The device's own issuers are bytes to it.
    fs::remove_file(place.file("config.toml")).unwrap();
    let file = |name: &str| place.file(name).display().to_string();
    let (key, root) = (file("issuer.key"), file("issuer.pem"));
    let (own, request) = (file("certs/lamp/device.key"), file("request"));
    openssl(&format!("req -new -key {own} -subj /CN=lamp -out {request}"));
    let issuer = "req -x509 -nodes -subj /CN=a -newkey ec -pkeyopt ec_paramgen_curve:secp384r1";
    openssl(&format!("{issuer} -sha512 -keyout {key} -out {root}"));
    let signed = |hash: &str| {
        let sign = format!("x509 -req -in {request} -CA {root} -CAkey {key} -set_serial 1 {hash}");
        let chain = String::from_utf8(openssl(&sign)).unwrap();
        place.write("certs/lamp/device.pem", &(chain + &fs::read_to_string(&root).unwrap()));
    };
    signed("-sha512");
    place.refused(&["device.pem:1: ", "does not know (ecdsa-with-SHA512)"]);
    signed("-sha384");
    place.make();
}

#[test]
fn keys_that_do_not_serve() {
    let place = Place::new();
    let other = place.authority.issue(&LeafRequest::client("lamp")).unwrap();
    place.write_key(other.key_pem().as_bytes());
    place.refused(&["device.key:1: this key does not belong to the certificate in"]);
    place.write_key(&openssl("genrsa -traditional 2048"));
    place.refused(&["device.key:1: this is an RSA key", "P-256"]);
    place.write_key(&openssl("genpkey -algorithm RSA"));
    place.refused(&["device.key:1: this is an RSA key", "P-256"]);
    place.write_key(&openssl("ecparam -name secp384r1 -genkey -noout"));
    place.refused(&["device.key:1: this key is of another curve"]);
    place.write_key(&openssl("genpkey -algorithm ed25519"));
    place.refused(&["device.key:1: this key is damaged or of an unknown kind"]);
    let p_256 = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    place.write_key(&openssl(&format!("{p_256} -aes128 -pass pass:secret")));
    place.refused(&["device.key:1: this private key is encrypted", "openssl pkey"]);
    place.write_key(place.credential.chain_pem().as_bytes());
    place.refused(&["device.key:1: here is a CERTIFICATE, where the private key belongs"]);
    place.write_key(format!("{0}{0}", place.credential.key_pem()).as_bytes());
    place.refused(&["device.key: there must be one private key"]);
    place.put(&place.credential);
    place.write("certs/lamp/device.pem", &place.credential.key_pem());
    place.refused(&["device.pem:1: here is a PRIVATE KEY, where certificates belong"]);
    place.put(&place.credential);
    let key = place.file("certs/lamp/device.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    place.refused(&["others may read or write this private key (mode 0640)", "chmod 600"]);
    fs::remove_file(&key).unwrap();
    place.refused(&["device.key: the file cannot be read", "make provision THING=lamp"]);
}

/// What editors and older programs make of a PEM file.
#[test]
fn forms_of_pem_that_are_taken() {
    let place = Place::new();
    let good = place.credential.chain_pem();
    for text in [
        format!("\u{FEFF}{good}"),
        good.replace('\n', "\n\n"),
        good.replace('\n', "\r\n"),
        good.replace("CERTIFICATE", "X509 CERTIFICATE"),
        format!("subject=CN = lamp\n\n{good}"),
    ] {
        place.write("certs/lamp/device.pem", &text);
        let region = place.make();
        let identity = Stored::read(&region).unwrap().identity;
        assert_eq!(identity.certificates, [place.credential.chain[0].as_ref()], "{text}");
        fs::remove_file(place.file("certs/lamp/identity.bin")).unwrap();
    }
    let key = place.credential.key_pem().to_string();
    place.write_key(format!("\u{FEFF}{}", key.replace('\n', "\r\n\r\n")).as_bytes());
    place.make();
}

/// What is not taken is called what it is.
#[test]
fn forms_of_pem_that_are_not_taken() {
    let place = Place::new();
    let good = place.credential.chain_pem();
    let certificate = place.file("certs/lamp/device.pem");
    let utf_16 = |text: &str| -> Vec<u8> {
        [0xFF, 0xFE].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
    };
    fs::write(&certificate, utf_16(&good)).unwrap();
    place.refused(&["device.pem: this is text in UTF-16", "-Encoding ascii"]);
    for (label, words) in [
        ("TRUSTED CERTIFICATE", "openssl x509 -in"),
        ("CERTIFICATE REQUEST", "this is the request"),
        ("PKCS7", "openssl pkcs7 -print_certs"),
        ("PUBLIC KEY", "the public half"),
    ] {
        place.write("certs/lamp/device.pem", &good.replace("CERTIFICATE", label));
        place.refused(&[&format!("device.pem:1: here is a {label}"), words]);
    }
    place.put(&place.credential);
    let key = place.file("certs/lamp/device.key").display().to_string();
    place.write_key(&openssl(&format!("ec -in {key} -aes128 -passout pass:secret")));
    place.refused(&["device.key:1: this private key is encrypted", "openssl pkey"]);
    place.put(&place.credential);
    place.write_key(&openssl(&format!("ec -in {key} -param_enc explicit")));
    place.refused(&["device.key:1: its curve is spelled out", "named_curve"]);
    place.put(&place.credential);
    place.write_key(&openssl(&format!("pkey -in {key} -ec_param_enc explicit")));
    place.refused(&["device.key:1: its curve is spelled out", "named_curve"]);
}

/// Endpoints of AWS's other partitions, as `describe-endpoint` gives them there.
#[test]
fn endpoints_of_all_partitions_are_taken() {
    for endpoint in [
        "a2testtesttest.ats.iot.cn-north-1.amazonaws.com.cn",
        "a2testtesttest.ats.iot.cn-northwest-1.amazonaws.com.cn",
        "a2testtesttest-ats.iot.us-gov-west-1.amazonaws.com",
        "a2testtesttest-ats.iot.us-iso-east-1.c2s.ic.gov",
    ] {
        let place = Place::new();
        place.write("config.toml", &format!("[connection]\nendpoint = \"{endpoint}\""));
        let region = place.make();
        assert_eq!(Stored::read(&region).unwrap().identity.endpoint, endpoint);
    }
    let place = Place::new();
    let old = "a2testtesttest.iot.cn-north-1.amazonaws.com.cn";
    place.write("config.toml", &format!("[connection]\nendpoint = \"{old}\""));
    place.refused(&["AWS's old kind"]);
}

#[test]
fn sec1_keys_serve_as_openssl_writes_them() {
    let place = Place::new();
    let key = place.file("certs/lamp/device.key").display().to_string();
    let sec1 = openssl(&format!("ec -in {key}"));
    let parameters = openssl("ecparam -name prime256v1");
    place.write_key(&[parameters, sec1].concat());
    let region = place.make();
    let identity = Stored::read(&region).unwrap().identity;
    assert_ne!(identity.private_key, place.credential.key.secret_der());
}

#[test]
fn an_identity_that_is_too_large_is_refused() {
    let place = Place::new();
    let mut request = LeafRequest::client("lamp");
    let mut roots = String::new();
    for padding in [5_000, 3_500] {
        request.padding = padding;
        roots += &place.authority.issue(&request).unwrap().chain_pem();
    }
    place.write("root.pem", &roots);
    place.write("config.toml", "[certificate]\nroots = [\"root.pem\"]");
    place.refused(&["identity.bin: the identity would take ", " bytes of 8192", "leave out"]);
}

#[test]
fn a_chain_that_the_device_cannot_send_is_refused() {
    let place = Place::new();
    let between = place.authority.intermediate("between", KeyKind::P256, Validity::for_days(9));
    let mut request = LeafRequest::client("lamp");
    request.padding = 1_600;
    place.put(&between.unwrap().issue(&request).unwrap());
    place.refused(&[
        "device.pem: the identity's certificate must have at most 2038 bytes, with its",
    ]);
}

#[test]
fn names_of_things_that_cannot_be() {
    let place = Place::new();
    for name in ["../lamp", "local", ""] {
        let text = place.failing(&["identity", "--thing", name]);
        assert!(text.contains("cannot be a thing's name"), "{text}");
    }
    let text = place.failing(&["identity", "--thing", "nobody"]);
    assert!(text.contains("make provision THING=nobody"), "{text}");
}

#[test]
fn info_of_what_is_no_identity() {
    let place = Place::new();
    let file = place.file("region");
    let name = file.display().to_string();
    let info = ["identity-info", "--file", &name];
    let refused = |wanted: &str| {
        let text = place.failing(&info);
        assert!(text.contains(wanted), "{text}");
    };
    refused("make identity THING=lamp");
    fs::write(&file, "short").unwrap();
    refused("it has 5 bytes and not 16384");
    fs::write(&file, [0xFF; identity::REGION_SIZE]).unwrap();
    refused("the identity region is erased");
    // One copy damaged: the other is shown, and the damage too.
    let mut region = place.make();
    region[100] ^= 1;
    fs::write(&file, region).unwrap();
    let text = String::from_utf8(place.thing(&info).stdout).unwrap();
    assert!(text.contains("copy 0        the identity region is damaged"), "{text}");
    assert!(text.contains("copy 1        valid, sequence 1: this one counts"), "{text}");
}

#[test]
fn update_keys_that_do_not_serve() {
    let place = Place::new();
    place.update_key("a");
    let other = place.file("b.key").display().to_string();
    openssl(&format!("genpkey -algorithm ED25519 -out {other}"));
    let public = fs::read_to_string(place.file("a.pub")).unwrap();
    let ed25519 = openssl(&format!("pkey -in {other} -pubout"));
    place.write("b.pub", &String::from_utf8(ed25519).unwrap());
    place.write("both.pub", &format!("{public}{public}"));
    // A point that is not on the curve: the last byte is in "XX==".
    let at = public.find("==").unwrap() - 2;
    let (other, off) = (if public[at..].starts_with('A') { "B" } else { "A" }, public.clone());
    place.write("off.pub", &[&off[..at], other, &off[at + 1..]].concat());
    for (file, wanted) in [
        ("a.key", "a.key:1: this is no public key: its label is PRIVATE KEY"),
        ("b.pub", "b.pub:1: this is no public key on P-256"),
        ("off.pub", "off.pub:1: this is no public key on P-256"),
        ("both.pub", "both.pub: there is more than one PEM block"),
    ] {
        place.write("config.toml", &format!("[update]\nkeys = [\"{file}\"]"));
        place.refused(&[wanted, "make signing-key"]);
    }
    place.write("config.toml", "[update]\nkeys = [\"a.pub\", \"a.pub\",\n\"a.pub\"]");
    place.refused(&["config.toml:3: the update key occurs too often"]);
}
