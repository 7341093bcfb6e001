//! `examples/battery`: what it keeps over its sleep helps it, and whoever changes that cannot.
//! `make battery-test` builds what this needs and runs it.

use std::path::PathBuf;
use std::time::Duration;

use e2e::server::{PUBLISH, Server, tls_config};
use e2e::{Sleeper, Stage};

/// For a message that was sent already.
const SOON: Duration = Duration::from_secs(60);

fn image() -> PathBuf {
    e2e::built("apps/battery/image", "make battery-test")
}

#[test]
fn a_sleep_makes_the_next_connect_short() {
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let mut sleeper = Sleeper::new(&image(), &stage.region(), &[]).unwrap();
    sleeper.measure(1);
    let first = sleeper.run().unwrap();
    assert_eq!(watcher.payload(SOON), b"{\"level\":1,\"woken_by\":\"power-on\"}");
    for level in 2..=4 {
        sleeper.measure(level);
        sleeper.wake();
        let awake = sleeper.run().unwrap();
        let wanted = format!("{{\"level\":{level},\"woken_by\":\"deep-sleep\"}}");
        assert_eq!(watcher.payload(SOON), wanted.as_bytes(), "{}", awake.said);
        // Its time is the RTC's, which is off by some percent.
        assert!((590..610).contains(&awake.sleep.as_secs()), "{:?}", awake.sleep);
        // The signatures of two certificates are not verified again.
        assert!(awake.instructions + 5_000_000 < first.instructions, "{}", awake.said);
    }
    // It said so before it went: the broker did not find out by itself.
    assert_eq!(stage.log_count("closed its connection"), 0);
    assert_eq!(stage.log_count(" disconnected."), 4);
}

#[test]
fn what_is_damaged_in_the_rtcs_memory_is_not_used() {
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let mut sleeper = Sleeper::new(&image(), &stage.region(), &[]).unwrap();
    sleeper.measure(5);
    let first = sleeper.run().unwrap();
    watcher.payload(SOON);
    let mut seed = 0x1234_5678_u32;
    let mut noise = move |_, _| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed
    };
    // All of it; zeros; one bit of each word behind the crash record's, which tells why it booted.
    let changes: [&mut dyn FnMut(usize, u32) -> u32; 3] =
        [&mut noise, &mut |_, _| 0, &mut |index, word| {
            if index < 31 { word } else { word ^ 1 << (index % 32) }
        }];
    for (number, change) in changes.into_iter().enumerate() {
        sleeper.change_rtc_memory(change);
        sleeper.wake();
        let awake = sleeper.run().unwrap();
        let woken_by = if number < 2 { "power-on" } else { "deep-sleep" };
        let wanted = format!("{{\"level\":5,\"woken_by\":\"{woken_by}\"}}");
        assert_eq!(watcher.payload(SOON), wanted.as_bytes(), "{}", awake.said);
        // All signatures are verified again.
        assert!(awake.instructions + 3_000_000 > first.instructions, "{number}: {}", awake.said);
    }
}

#[test]
fn another_servers_certificate_is_refused_after_a_sleep_too() {
    let stage = Stage::new();
    // Its certificates come from an authority that the device does not know.
    let other = Stage::new();
    let mut sleeper = Sleeper::new(&image(), &stage.region(), &[]).unwrap();
    sleeper.run().unwrap();
    let mut moved = stage.identity.clone();
    moved.endpoints.port = other.identity.endpoints.port;
    sleeper.set_identity(&moved.region().unwrap());
    sleeper.wake();
    let awake = sleeper.run().unwrap();
    assert!(awake.said.contains("connect failed"), "{}", awake.said);
    assert!(!awake.said.contains(" connected to "), "{}", awake.said);
    assert!(awake.said.contains("no connection within 30 s"), "{}", awake.said);
    // And it goes on when the right one is back, with what it has kept.
    sleeper.set_identity(&stage.region());
    let mut watcher = stage.watch();
    sleeper.wake();
    sleeper.run().unwrap();
    watcher.payload(SOON);
}

/// A server that takes the message and never says so: it sleeps in time, and tells what it knows.
#[test]
fn a_message_that_is_not_acknowledged_keeps_it_awake_for_its_time_alone() {
    let mut stage = Stage::new();
    let config = tls_config(&stage.cloud.pki, &stage.cloud.pki.server);
    let server = Server::tls(config, |session| {
        session.welcome(0)?;
        loop {
            let (kind, body) = session.receive()?;
            if kind != PUBLISH {
                session.answer_to(kind, &body, 1)?;
            }
        }
    });
    stage.identity.endpoints.port = server.port();
    let mut sleeper = Sleeper::new(&image(), &stage.region(), &[]).unwrap();
    let awake = sleeper.run().unwrap();
    assert!(awake.said.contains("link: messages not sent: 1"), "{}", awake.said);
    assert!(awake.said.contains("link: left"), "{}", awake.said);
    // Boot, clock and connect are in it.
    assert!((10..20).contains(&awake.time.as_secs()), "{:?}\n{}", awake.time, awake.said);
}
