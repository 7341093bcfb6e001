//! The device against a server that stands where AWS IoT stands: a name of AWS's form, and a
//! chain of AWS's shape and size. Its root comes to the device in the identity, as AWS's next
//! one will.

#[path = "aws/account.rs"]
mod account;

use std::sync::{Arc, Mutex};

use certificates::{Authority, Credential, KeyKind, LeafRequest, Validity};
use cloud::dns::HOST_FROM_GUEST;
use e2e::server::{Server, tls_config};
use e2e::{SOON, Stage};

const ENDPOINT: &str = "a1b2c3d4e5f6g7-ats.iot.eu-west-1.amazonaws.com";

/// Content in bytes that the record with AWS's certificates may have: the 5.4 KB that were
/// seen, and 20 % more.
const FLIGHT: std::ops::RangeInclusive<usize> = 6_500..=6_656;

/// Leaf, issuer, then the root as an older root has signed it, then that one as signed by a
/// still older one: what AWS sends. The device knows only the root itself.
fn chain(kind: KeyKind, padding: usize) -> (Credential, Authority) {
    let years = Validity::for_days(3650);
    let oldest = Authority::root("Starfield Class 2", kind, years).unwrap();
    let older = Authority::root("Starfield Services Root - G2", kind, years).unwrap();
    let root = Authority::root("Amazon Root CA", kind, years).unwrap();
    let issuer = root.intermediate("Amazon M03", kind, years).unwrap();
    let mut request = LeafRequest::server(&["*.iot.eu-west-1.amazonaws.com", ENDPOINT]);
    request.key = kind;
    request.padding = padding;
    let mut credential = issuer.issue(&request).unwrap();
    for (authority, by, name) in
        [(&root, &older, "Amazon Root CA"), (&older, &oldest, "Starfield Services Root - G2")]
    {
        credential.chain.push(authority.cross_signed_by(by, name, years).unwrap());
    }
    assert_eq!(credential.chain.len(), 4);
    (credential, root)
}

/// Connects to such a server and publishes; the flight came in one record.
#[track_caller]
fn connects(kind: KeyKind, padding: usize) {
    let (credential, root) = chain(kind, padding);
    let mut stage = Stage::new();
    stage.cloud.dns.set(ENDPOINT, Some(HOST_FROM_GUEST));
    stage.identity.endpoints.host = ENDPOINT.to_owned();
    stage.identity.roots = vec![root.certificate().clone()];
    let heard = Arc::new(Mutex::new(None));
    let note = Arc::clone(&heard);
    let server = Server::tls(tls_config(&stage.cloud.pki, &credential), move |session| {
        *note.lock().unwrap() = Some((session.server_name(), session.longest_record()));
        session.welcome(0)?;
        session.serve()
    });
    stage.identity.endpoints.port = server.port();
    let mut device = stage.boot();
    device.expect_connected();
    device.expect(SOON, "published ");
    let (name, longest) = heard.lock().unwrap().take().unwrap();
    assert_eq!(name.as_deref(), Some(ENDPOINT));
    assert!(FLIGHT.contains(&longest), "the longest record had {longest} bytes");
    device.assert_sound();
}

#[test]
fn ecdsa_chain_of_aws_s_shape_and_size() {
    connects(KeyKind::P256, 4_490);
}

#[test]
fn rsa_chain_of_aws_s_shape_and_size() {
    connects(KeyKind::Rsa2048, 2_730);
}
