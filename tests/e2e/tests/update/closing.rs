//! A server that closes the connection without a word when it is asked for updates, as AWS IoT does
//! where the policy does not allow their topics: commands and statuses matter more. One that refuses a
//! subscription, as AWS IoT does while it is too busy.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, Result};
use e2e::server::{PUBLISH, SUBSCRIBE, Server, Session, tls_config};

use super::{Field, UPDATE};

const LEFT_OUT: &str = "update: no update is taken for an hour: asked for them, the server closes";
const LIT: &str = "[board] LED blue (GPIO2) on";

/// What a server does with a packet.
enum Answer {
    Yes,
    /// To a SUBSCRIBE.
    No,
    Close,
}

/// What it does with a packet of this connection, type and topic.
type Judge = fn(usize, u8, &str) -> Answer;

/// A board, and a server that does with packets what `judge` says. It tells which connections
/// subscribe to topics of updates, and publish to them.
fn field(judge: Judge) -> (Field, Server, Receiver<(usize, u8)>) {
    let (tell, asked) = channel();
    let mut server = None;
    let field = Field::with(|stage| {
        let next = AtomicUsize::new(0);
        let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
        let started = Server::tls(config, move |session| {
            let connection = next.fetch_add(1, Ordering::SeqCst);
            serve(session, &|kind, topic| {
                if topic.starts_with("$aws/") {
                    let _ = tell.send((connection, kind));
                }
                judge(connection, kind, topic)
            })
        });
        stage.identity.endpoints.port = started.port();
        server = Some(started);
    });
    (field, server.expect("it was started"), asked)
}

fn serve(session: &mut Session, judge: &dyn Fn(u8, &str) -> Answer) -> Result<()> {
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
        let granted = match judge(kind, &topic) {
            Answer::Yes => 1,
            Answer::No => 0x80,
            Answer::Close => return Ok(()),
        };
        // At QoS 0 there is no answer.
        if kind != PUBLISH || first & 6 != 0 {
            session.answer_to(kind, &body, granted)?;
        }
        if topic == "esp8266/status" {
            session.publish("esp8266/control", Some(1), b"on")?;
        }
    }
}

fn closes(so: bool) -> Answer {
    if so { Answer::Close } else { Answer::Yes }
}

#[track_caller]
fn obeys_without_updates(judge: Judge) {
    let (field, _server, asked) = field(judge);
    for wanted in [LEFT_OUT, LIT] {
        let found = field.board.console.wait_for(0, UPDATE, wanted, |line| line.contains(wanted));
        assert!(found.is_ok(), "{wanted}\n{}", field.board.console.tail(80));
    }
    // Two are enough, and the third is left alone.
    let asked: BTreeSet<usize> = asked.try_iter().map(|(connection, _)| connection).collect();
    assert!(asked.iter().eq(&[0, 1]), "{asked:?}\n{}", field.board.console.tail(80));
}

#[test]
fn a_server_that_closes_at_the_subscription_to_jobs_costs_updates_alone() {
    obeys_without_updates(|_, kind, topic| closes(kind == SUBSCRIBE && topic.starts_with("$aws/")));
}

#[test]
fn a_server_that_closes_at_the_question_for_jobs_costs_updates_alone() {
    obeys_without_updates(|_, kind, topic| closes(kind == PUBLISH && topic.starts_with("$aws/")));
}

/// Where something else is the reason, updates may be the only help.
#[test]
fn a_server_that_closes_at_everything_is_asked_for_updates_again() {
    let (field, _server, asked) = field(|_, kind, _| closes(kind == PUBLISH));
    let mut seen = BTreeSet::new();
    while seen.len() < 4 {
        let (connection, _) = asked.recv_timeout(UPDATE).unwrap_or_else(|_| {
            panic!("only {seen:?} ask for updates\n{}", field.board.console.tail(80))
        });
        seen.insert(connection);
    }
    // One is without them, which ends as well.
    assert!(seen.iter().eq(&[0, 1, 3, 4]), "{seen:?}\n{}", field.board.console.tail(80));
}

/// Commands are obeyed meanwhile, and another connection asks for all of it.
#[test]
fn a_server_that_refuses_a_subscription_is_asked_again() {
    let (field, _server, asked) = field(|connection, kind, topic| {
        let busy = connection == 0 && kind == SUBSCRIBE && topic.contains("/streams/");
        if busy { Answer::No } else { Answer::Yes }
    });
    let mut seen = Vec::new();
    while seen.last() != Some(&(1, PUBLISH)) {
        seen.push(
            asked
                .recv_timeout(UPDATE)
                .unwrap_or_else(|_| panic!("only {seen:?} came\n{}", field.board.console.tail(80))),
        );
    }
    let subscribed = |to: usize| seen.iter().filter(|it| **it == (to, SUBSCRIBE)).count();
    assert_eq!((subscribed(0), subscribed(1)), (4, 5), "{seen:?}");
    assert!(!seen.contains(&(0, PUBLISH)), "{seen:?}");
    assert!(field.board.console.tail(200).contains(LIT));
}
