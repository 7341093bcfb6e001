//! Whose time the device takes, and what it does without.

use certificates::{Authority, KeyKind, LeafRequest, Validity};
use cloud::dns::{HOST_FROM_GUEST, ZONE};
use cloud::local::TIME_SERVER_NAME;
use cloud::pki::SERVER_NAME;
use e2e::time_server::{TimeServer, answer, now};
use e2e::{Device, SOON, Stage, seconds};
use time::{Duration, OffsetDateTime};

/// For what the device waits minutes for by its own clock, which skips most of it.
const PATIENCE: std::time::Duration = seconds(180);
const DAY: u64 = 86_400;

/// A cloud whose server's certificate is valid from and until so many days from now, under a root
/// that has long been valid.
fn valid(from_days: i64, to_days: i64) -> Stage {
    let mut roots = Vec::new();
    let mut stage = Stage::with(|_, options| {
        let now = OffsetDateTime::now_utc();
        let root = Authority::root(
            "Old root",
            KeyKind::P256,
            Validity {
                not_before: OffsetDateTime::from_unix_timestamp(1_577_836_800)?, // 2020
                not_after: now + Duration::days(9000),
            },
        )?;
        let mut request = LeafRequest::server(&[SERVER_NAME]);
        request.validity = Validity {
            not_before: now + Duration::days(from_days),
            not_after: now + Duration::days(to_days),
        };
        options.server = root.issue(&request)?;
        roots.push(root.certificate().clone());
        Ok(())
    });
    stage.identity.roots = roots;
    stage
}

/// A cloud with these time servers.
fn asking(servers: &[&TimeServer]) -> Stage {
    let mut stage = Stage::new();
    stage.identity.endpoints.ntp = settings(servers);
    stage
}

fn settings(servers: &[&TimeServer]) -> Vec<String> {
    servers.iter().enumerate().map(|(n, server)| server.setting(&format!("time{n}"))).collect()
}

/// The date in a line that ends with `2026-01-31 12:00:00 UTC`, as seconds since 1970.
#[track_caller]
fn date_in(text: &str, before: &str) -> u64 {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("{before:?} in {text:?}"));
    let digits: Vec<i64> = rest[..19]
        .split(['-', ' ', ':'])
        .map(|part| part.parse().unwrap_or_else(|_| panic!("a date in {text:?}")))
        .collect();
    let month = time::Month::try_from(u8::try_from(digits[1]).unwrap()).unwrap();
    let date = time::Date::from_calendar_date(
        i32::try_from(digits[0]).unwrap(),
        month,
        u8::try_from(digits[2]).unwrap(),
    )
    .unwrap();
    let seconds = digits[3] * 3600 + digits[4] * 60 + digits[5];
    u64::try_from(date.midnight().assume_utc().unix_timestamp() + seconds).unwrap()
}

/// What a first server may answer and must not be believed, and what the device says of it.
type Lie = fn(&[u8]) -> Vec<u8>;
const LIES: [(Lie, &str); 8] = [
    // A public bug report: all is well but the time of transmission.
    (|request| with(request, |packet| packet[40..48].fill(0)), "it tells no time"),
    (|request| with(request, |packet| packet[0] |= 0xC0), "not synchronised"),
    (|request| with(request, |packet| packet[1] = 16), "not synchronised"),
    (|request| with(request, |packet| packet[8] = 1), "not synchronised"),
    (
        |request| {
            with(request, |packet| {
                packet[1] = 0;
                packet[12..16].copy_from_slice(b"DENY");
            })
        },
        "it does not want to be asked (DENY)",
    ),
    // Somebody who has not seen the question.
    (|request| with(request, |packet| packet[24] ^= 1), "it does not answer"),
    (|request| answer(request, now() - 10 * 365 * DAY), "before this firmware was built: ignored"),
    (|request| answer(request, now() + 30 * 365 * DAY), "absurdly late: ignored"),
];

fn with(request: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut packet = answer(request, now());
    change(&mut packet);
    packet
}

#[test]
fn a_bad_answer_is_told_and_the_next_server_is_asked() {
    for (lie, told) in LIES {
        let bad = TimeServer::start(move |_, request| Some(lie(request)));
        let good = TimeServer::good();
        let stage = asking(&[&bad, &good]);
        let mut device = stage.boot();
        let line = device.expect(SOON, "time server time0.iot.test: ");
        assert!(line.text.contains(told), "{line:?}, not {told:?}");
        let line = device.expect(SOON, "clock set by SNTP: ");
        assert!(date_in(&line.text, "SNTP: ").abs_diff(now()) < 60, "{line:?}");
        // Three seconds for the one that was waited for.
        assert!(line.ms < 8_000, "{line:?}");
        device.expect_connected();
        device.assert_sound();
    }
}

#[test]
fn each_of_four_servers_has_its_own_port() {
    let dead: Vec<TimeServer> = (0..3).map(|_| TimeServer::start(|_, _| None)).collect();
    let good = TimeServer::good();
    let stage = asking(&[&dead[0], &dead[1], &dead[2], &good]);
    let mut device = stage.boot();
    device.expect(SOON, "clock set by SNTP: ");
    for server in &dead {
        assert_eq!(server.asked().len(), 1);
    }
    device.expect_connected();
    device.assert_sound();
}

/// A lie that no rule finds, as it came first: the certificate shows it.
#[test]
fn a_first_answer_that_lies_is_corrected_when_the_certificate_does_not_fit() {
    let server = TimeServer::start(|count, request| {
        Some(answer(request, now() + if count == 0 { 3 * 365 * DAY } else { 0 }))
    });
    let mut stage = valid(-10, 100);
    stage.identity.endpoints.ntp = settings(&[&server]);
    let mut device = stage.boot();
    device.expect(SOON, "clock set by SNTP: ");
    device.expect(SOON, "the server's certificate has expired (or this device's clock is wrong)");
    let line = device.expect(seconds(60), "clock corrected by SNTP: ");
    assert!(date_in(&line.text, "SNTP: ").abs_diff(now()) < 60, "{line:?}");
    device.expect_connected();
    device.assert_sound();
}

/// A time server whose first answers lie by so many seconds. These tests take their time: a device
/// that skips what it sleeps through has given up on a question before a busy machine has answered.
fn lying(lies: [u64; 2]) -> TimeServer {
    TimeServer::start(move |count, request| {
        Some(answer(request, now() + lies.get(count).copied().unwrap_or_default()))
    })
}

/// Nothing shows a lie of some days but another answer.
#[test]
fn a_first_answer_that_lies_by_days_is_corrected_within_minutes() {
    let server = lying([3 * DAY, 0]);
    let stage = asking(&[&server]);
    let mut device = stage.boot();
    device.expect(SOON, "clock set by SNTP: ");
    let line = device.expect(PATIENCE, "asking again");
    assert!((60_000..180_000).contains(&line.ms), "{line:?}");
    let line = device.expect(PATIENCE, "clock corrected by SNTP: ");
    assert!(line.ms < 200_000, "{line:?}");
    assert!(date_in(&line.text, "SNTP: ").abs_diff(now()) < 60, "{line:?}");
    device.assert_sound();
}

#[test]
fn one_answer_that_jumps_changes_nothing() {
    let server = lying([0, 3 * DAY]);
    let stage = asking(&[&server]);
    let mut device = stage.boot();
    device.expect(SOON, "clock set by SNTP: ");
    device.expect(PATIENCE, "asking again");
    device.expect_where(PATIENCE, "a third question", |_| server.asked().len() >= 3);
    // Two statuses later the answer has been dealt with.
    device.expect(SOON, "published ");
    device.expect(SOON, "published ");
    assert_eq!(device.count("clock corrected"), 0);
    assert_eq!(device.count("asking again"), 1);
    device.assert_sound();
}

/// UDP port 123 is blocked for ever, and the server's certificate is younger than the firmware.
#[test]
fn without_a_time_server_a_young_certificate_is_taken() {
    let mute = TimeServer::start(|_, _| None);
    let mut stage = valid(200, 300);
    stage.identity.endpoints.ntp = settings(&[&mute]);
    let mut device = stage.boot_skipping_sleep();
    let line = device.expect(PATIENCE, "until one answers, certificates count as begun");
    assert!(line.text.contains("(when this firmware was built)"), "{line:?}");
    device.expect(PATIENCE, "connected to ");
    device.assert_sound();
}

/// With the time, the same certificate is refused.
#[test]
fn with_the_time_a_certificate_that_has_not_begun_is_refused() {
    let stage = valid(200, 300);
    let mut device = stage.boot();
    let line = device.expect(SOON, "connect failed: TLS: ");
    assert!(line.text.contains("the server's certificate is not valid yet"), "{line:?}");
    device.assert_sound();
}

/// The lower bound is enough to know that a certificate has expired.
#[test]
fn without_a_time_server_an_expired_certificate_is_refused() {
    let mute = TimeServer::start(|_, _| None);
    let mut stage = valid(-2000, -1500);
    stage.identity.endpoints.ntp = settings(&[&mute]);
    let mut device = stage.boot_skipping_sleep();
    device.expect(PATIENCE, "until one answers, certificates count as begun");
    let line = device.expect(PATIENCE, "connect failed: TLS: ");
    assert!(line.text.contains("the server's certificate has expired"), "{line:?}");
    device.assert_sound();
}

/// A certificate that expired since the firmware was built, and a reset without time server: the
/// last known time is remembered.
#[test]
fn the_time_is_kept_over_a_reset() {
    let stage = valid(-10, 100);
    stage.cloud.sntp.lie_by(50 * 86_400);
    let mut device = stage.boot();
    device.expect_connected();
    // The time is kept in the task's next turn.
    device.expect(SOON, "published ");
    stage.cloud.sntp.silence(true);
    device.emulator.reset().unwrap();
    let line = device.expect(SOON, "it is later than ");
    assert!(line.text.contains("kept from before the reset"), "{line:?}");
    let kept = date_in(&line.text, "later than ");
    assert!(kept.abs_diff(now() + 50 * DAY) < 120, "{line:?}");
    let line = device.expect(SOON, "no answer from a time server");
    assert!(line.text.contains("(kept from before the reset)"), "{line:?}");
    device.expect_connected();
    // An answer from before that needs a second one that says the same.
    stage.cloud.sntp.lie_by(0);
    stage.cloud.sntp.silence(false);
    device.expect(PATIENCE, "asking again");
    device.expect(PATIENCE, "clock set by SNTP: ");
    device.assert_boots(2);
}

/// The known fault of lwIP's own client: two names that the name server refuses made 10,000
/// questions in ten seconds.
#[test]
fn time_servers_without_a_name_make_no_storm() {
    let mut stage = valid(-10, 100);
    stage.identity.endpoints.ntp =
        vec![TIME_SERVER_NAME.to_owned(), format!("other.{ZONE}"), format!("third.{ZONE}")];
    for server in &stage.identity.endpoints.ntp {
        stage.cloud.dns.set(server, None);
    }
    let mut device = stage.boot();
    device.expect(SOON, "connected to ");
    let before = stage.cloud.dns.answered();
    std::thread::sleep(seconds(30));
    let asked = stage.cloud.dns.answered() - before;
    assert!((1..=9).contains(&asked), "{asked} questions in 30 s");
    // It still asks.
    for server in &stage.identity.endpoints.ntp {
        stage.cloud.dns.set(server, Some(HOST_FROM_GUEST));
    }
    device.assert_sound();
}

#[test]
fn mute_time_servers_are_asked_ever_less_often() {
    let mute = [TimeServer::start(|_, _| None), TimeServer::start(|_, _| None)];
    let mut stage = valid(-10, 100);
    stage.identity.endpoints.ntp = settings(&[&mute[0], &mute[1]]);
    let mut device: Device = stage.boot();
    device.expect(SOON, "connected to ");
    std::thread::sleep(seconds(30));
    for server in &mute {
        let asked = server.asked();
        assert!((2..=4).contains(&asked.len()), "{} questions", asked.len());
        // The emulator's clock follows the host's, but not to the millisecond.
        for pair in asked.windows(2) {
            assert!(pair[1] - pair[0] >= seconds(14), "{:?}", pair[1] - pair[0]);
        }
    }
    device.assert_sound();
}
