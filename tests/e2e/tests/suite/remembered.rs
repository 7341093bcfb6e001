//! A chain of certificates that was found good is not computed again at the next connect, and
//! nothing but that very chain profits from it.

use std::time::Duration;

use anyhow::Result;
use certificates::{Authority, Credential, KeyKind, LeafRequest, Validity};
use cloud::pki::SERVER_NAME;
use e2e::server::{Server, Session, tls_config};
use e2e::{Device, Relay, SOON, Stage};
use time::OffsetDateTime;

const KINDS: [KeyKind; 2] = [KeyKind::P256, KeyKind::Rsa2048];

/// For time-outs of the device and the slowness of the machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// What a server answers; the test looks at the device.
fn serve(session: &mut Session) -> Result<()> {
    session.welcome(0)?;
    session.serve()
}

/// A server's credential of keys of one kind, and the root that the device shall trust.
fn chain(kind: KeyKind, validity: Validity) -> (Credential, Authority) {
    let attempt = || -> Result<_> {
        let days = Validity::for_days(30);
        let root = Authority::root("Remembered root", kind, days)?;
        let mut request = LeafRequest::server(&[SERVER_NAME]);
        request.key = kind;
        request.validity = validity;
        let leaf = root.intermediate("Remembered authority", kind, days)?.issue(&request)?;
        Ok((leaf, root))
    };
    attempt().expect("a chain")
}

/// A device that trusts one root alone, and a relay to servers of the test's.
struct Bed {
    stage: Stage,
    relay: Relay,
}

impl Bed {
    fn trusting(root: &Authority) -> Self {
        let mut stage = Stage::new();
        stage.identity.roots = vec![root.certificate().clone()];
        let relay = stage.relay();
        Self { stage, relay }
    }

    /// A server with this credential, where the next connection ends.
    fn serve_as(&self, credential: &Credential) -> Server {
        let server = Server::tls(tls_config(&self.stage.cloud.pki, credential), serve);
        self.relay.set_target(server.port());
        server
    }
}

/// Milliseconds of computing that the next connection took.
fn connected(device: &mut Device) -> u64 {
    let line = device.expect(PATIENCE, "connected to ");
    let (_, rest) = line.text.split_once(" with ").expect("what it took");
    rest.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

#[test]
fn a_chain_seen_before_is_cheaper() {
    for kind in KINDS {
        let (credential, root) = chain(kind, Validity::for_days(30));
        let bed = Bed::trusting(&root);
        let _server = bed.serve_as(&credential);
        let mut device = bed.stage.boot_skipping_sleep();
        let first = connected(&mut device);
        for _ in 0..2 {
            bed.relay.reset();
            let again = connected(&mut device);
            // Two signatures of four operations and more with P-256, which are the cheapest.
            assert!(again * 100 < first * 80, "{kind:?}: {again} ms after {first} ms");
        }
        // The same names and dates, other keys.
        let (other, _) = chain(kind, Validity::for_days(30));
        let _other = bed.serve_as(&other);
        bed.relay.reset();
        device.expect(PATIENCE, "connect failed: TLS: the server's certificate is not signed");
        device.assert_sound();
    }
}

/// One bit of it is another, in each certificate and each part of one; and what was refused is
/// refused again.
#[test]
fn a_chain_that_is_nearly_the_same_is_refused() {
    for kind in KINDS {
        let (credential, root) = chain(kind, Validity::for_days(30));
        let bed = Bed::trusting(&root);
        let good = bed.serve_as(&credential);
        let mut device = bed.stage.boot_skipping_sleep();
        connected(&mut device);
        for certificate in 0..2 {
            // In the serial number, which is signed; at both ends of the signature's last number.
            let length = credential.chain[certificate].len();
            for (at, bit) in [(20, 0), (length - 1, 0), (length - 20, 7)] {
                let mut changed = credential.clone();
                let mut der = changed.chain[certificate].to_vec();
                der[at] ^= 1 << bit;
                changed.chain[certificate] = der.into();
                let _bad = bed.serve_as(&changed);
                bed.relay.reset();
                for _ in 0..2 {
                    device.expect(
                        PATIENCE,
                        "connect failed: TLS: the server's certificate is not signed by a root",
                    );
                }
                bed.relay.set_target(good.port());
                connected(&mut device);
            }
        }
        device.assert_sound();
    }
}

/// The server's own signature over the handshake is computed each time: who has the chain, but not
/// the key, gets nowhere.
#[test]
fn the_chain_of_another_key_is_refused() {
    for kind in KINDS {
        let (credential, root) = chain(kind, Validity::for_days(30));
        let bed = Bed::trusting(&root);
        let good = bed.serve_as(&credential);
        let mut device = bed.stage.boot_skipping_sleep();
        connected(&mut device);
        let (thief, _) = chain(kind, Validity::for_days(30));
        let stolen = Credential { chain: credential.chain.clone(), key: thief.key };
        let _bad = bed.serve_as(&stolen);
        bed.relay.reset();
        for _ in 0..2 {
            device.expect(PATIENCE, "connect failed: TLS: ");
        }
        assert_eq!(device.count("connected to "), 1);
        bed.relay.set_target(good.port());
        connected(&mut device);
        device.assert_sound();
    }
}

/// That the signatures are good does not make a certificate younger.
#[test]
fn a_chain_that_has_expired_since_is_refused() {
    let end = OffsetDateTime::now_utc() + Duration::from_secs(60);
    let mut validity = Validity::for_days(1);
    validity.not_after = end;
    let (credential, root) = chain(KeyKind::P256, validity);
    let bed = Bed::trusting(&root);
    let _server = bed.serve_as(&credential);
    let mut device = bed.stage.boot();
    connected(&mut device);
    let left = end - OffsetDateTime::now_utc() + Duration::from_secs(3);
    std::thread::sleep(left.try_into().expect("the device has connected in time"));
    bed.relay.reset();
    let line = device.expect(SOON, "connect failed: TLS: ");
    assert!(line.text.contains("the server's certificate has expired"), "{line:?}");
    device.assert_sound();
}
