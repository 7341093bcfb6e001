//! A server that closes the connection without a word when it is asked for updates, as AWS IoT does
//! where the policy does not allow their topics: commands and statuses matter more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result};
use e2e::server::{PUBLISH, SUBSCRIBE, Server, Session, tls_config};

use super::{Field, UPDATE};

const LEFT_OUT: &str = "update: no update is taken for an hour: asked for them, the server closes";
const LIT: &str = "[board] LED blue (GPIO2) on";

/// A board, and a server that closes when a packet of this type and topic is `forbidden`. It tells
/// which connections subscribe to topics of updates.
fn field(forbidden: fn(u8, &str) -> bool) -> (Field, Server, Receiver<usize>) {
    let (tell, asked) = channel();
    let mut server = None;
    let field = Field::with(|stage| {
        let next = AtomicUsize::new(0);
        let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
        let started = Server::tls(config, move |session| {
            let connection = next.fetch_add(1, Ordering::SeqCst);
            serve(session, forbidden, &|| {
                let _ = tell.send(connection);
            })
        });
        stage.identity.endpoints.port = started.port();
        server = Some(started);
    });
    (field, server.expect("it was started"), asked)
}

fn serve(session: &mut Session, forbidden: fn(u8, &str) -> bool, asked: &dyn Fn()) -> Result<()> {
    session.welcome(0)?;
    loop {
        let (first, body) = session.packet()?;
        let kind = first >> 4;
        let topic = match kind {
            PUBLISH => &body[..],
            SUBSCRIBE => &body[2..],
            _ => &[0, 0],
        };
        let (length, rest) = topic.split_first_chunk().context("no topic")?;
        let topic = rest.get(..u16::from_be_bytes(*length).into()).context("no topic")?;
        let topic = std::str::from_utf8(topic)?.to_owned();
        if kind == SUBSCRIBE && topic.starts_with("$aws/") {
            asked();
        }
        if forbidden(kind, &topic) {
            return Ok(());
        }
        // At QoS 0 there is no answer.
        if kind != PUBLISH || first & 6 != 0 {
            session.answer_to(kind, &body, 1)?;
        }
        if topic == "esp8266/status" {
            session.publish("esp8266/control", Some(1), b"on")?;
        }
    }
}

#[track_caller]
fn obeys_without_updates(forbidden: fn(u8, &str) -> bool) {
    let (field, _server, asked) = field(forbidden);
    for wanted in [LEFT_OUT, LIT] {
        let found = field.board.console.wait_for(0, UPDATE, wanted, |line| line.contains(wanted));
        assert!(found.is_ok(), "{wanted}\n{}", field.board.console.tail(80));
    }
    // Two are enough, and the third is left alone.
    let asked: std::collections::BTreeSet<usize> = asked.try_iter().collect();
    assert!(asked.iter().eq(&[0, 1]), "{asked:?}\n{}", field.board.console.tail(80));
}

#[test]
fn a_server_that_closes_at_the_subscription_to_jobs_costs_updates_alone() {
    obeys_without_updates(|kind, topic| kind == SUBSCRIBE && topic.starts_with("$aws/"));
}

#[test]
fn a_server_that_closes_at_the_question_for_jobs_costs_updates_alone() {
    obeys_without_updates(|kind, topic| kind == PUBLISH && topic.starts_with("$aws/"));
}

/// Where something else is the reason, updates may be the only help.
#[test]
fn a_server_that_closes_at_everything_is_asked_for_updates_again() {
    let (field, _server, asked) = field(|kind, _| kind == PUBLISH);
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < 4 {
        seen.insert(asked.recv_timeout(UPDATE).unwrap_or_else(|_| {
            panic!("only {seen:?} ask for updates\n{}", field.board.console.tail(80))
        }));
    }
    // One is without them, which ends as well.
    assert!(seen.iter().eq(&[0, 1, 3, 4]), "{seen:?}\n{}", field.board.console.tail(80));
}
