//! The station's decisions, from the first scan to what goes wrong.

use runtime_model::wifi::{
    AccessPoint, Bssid, Network, Reason, Security, Ssid, Station, Step, Trouble, reason,
};

fn ssid(name: &str) -> Ssid {
    Ssid::new(name.as_bytes()).unwrap()
}

fn home_and_office() -> Station {
    let network = |name| Network { ssid: ssid(name), has_key: true };
    Station::new(vec![network("home"), network("office")], 60)
}

fn access_point(name: &str, last: u8, rssi: i8) -> AccessPoint {
    AccessPoint {
        ssid: ssid(name),
        bssid: bssid(last),
        channel: last,
        rssi,
        security: Security::Wpa2,
    }
}

fn bssid(last: u8) -> Bssid {
    [2, 0, 0, 0, 0, last]
}

fn join(network: usize, last: u8) -> Step {
    Step::Join { network, bssid: Some(bssid(last)), channel: last }
}

fn because(code: u8) -> Reason {
    Reason { code, key_unproven: false }
}

#[track_caller]
fn pause(step: Step) -> u32 {
    match step {
        Step::Pause(milliseconds) => milliseconds,
        other => panic!("{other:?} is no pause"),
    }
}

#[test]
fn the_preferred_network_and_its_strongest_access_point() {
    let mut station = home_and_office();
    assert_eq!(station.start(None, false), Step::Scan);
    let found = [
        access_point("office", 1, -30),
        access_point("home", 2, -80),
        access_point("neighbour", 3, -20),
        access_point("home", 4, -60),
    ];
    assert_eq!(station.scanned(&found, 0), join(0, 4));
    // One after the other until one takes it.
    assert_eq!(station.failed(because(1), 0), join(0, 2));
    assert_eq!(station.failed(because(1), 0), join(1, 1));
    let milliseconds = pause(station.failed(because(1), 0));
    assert!(milliseconds >= 1000);
    assert_eq!(station.paused(), Step::Scan);
}

#[test]
fn pauses_grow_with_jitter_up_to_the_cap() {
    let mut station = home_and_office();
    station.start(None, false);
    let mut longest = 0;
    for _ in 0..10 {
        let milliseconds = pause(station.scanned(&[], u32::MAX));
        assert!(milliseconds >= longest && milliseconds <= 60_000);
        longest = milliseconds;
        assert_eq!(station.paused(), Step::Scan);
    }
    assert_eq!(longest, 60_000);
    assert_eq!(pause(station.scanned(&[], 0)), 1000, "the least of the widest window");
}

#[test]
fn a_lost_connection_is_tried_where_it_was() {
    let mut station = home_and_office();
    station.start(None, false);
    assert_eq!(station.scanned(&[access_point("home", 6, -50)], 0), join(0, 6));
    station.connected(Some(&access_point("home", 6, -50)));
    station.addressed();
    assert_eq!(station.lost(because(8), 100_000, 0), join(0, 6));
    // Not there: look around at once.
    assert_eq!(station.failed(because(reason::NOT_FOUND), 0), Step::Scan);
}

#[test]
fn an_access_point_that_throws_out_is_not_stormed() {
    let mut station = home_and_office();
    station.start(None, false);
    station.scanned(&[access_point("home", 6, -50)], 0);
    station.connected(None);
    station.addressed();
    let first = pause(station.lost(because(8), 200, u32::MAX));
    assert_eq!(station.paused(), join(0, 6));
    station.connected(None);
    station.addressed();
    let second = pause(station.lost(because(8), 200, u32::MAX));
    assert!(second > first);
}

#[test]
fn roaming_when_beacons_stop() {
    let mut station = home_and_office();
    station.start(None, false);
    station.scanned(&[access_point("home", 6, -50), access_point("home", 1, -70)], 0);
    station.connected(None);
    station.addressed();
    assert_eq!(station.lost(because(reason::BEACONS_STOPPED), 100_000, 0), Step::Scan);
    assert_eq!(station.scanned(&[access_point("home", 1, -70)], 0), join(0, 1));
}

#[test]
fn a_channel_from_an_earlier_life() {
    let mut station = home_and_office();
    assert_eq!(station.start(Some((1, bssid(9), 9)), false), join(1, 9));
    assert_eq!(station.failed(because(reason::NOT_FOUND), 0), Step::Scan);
    let mut station = home_and_office();
    let no_more = station.start(Some((2, bssid(9), 9)), false);
    assert_eq!(no_more, Step::Scan, "a network that is no more");
}

/// In a house with many access points most are of no use, and may be stronger. Twins that nobody
/// can join displace none that can be.
#[test]
fn only_what_may_be_joined_takes_a_place() {
    let station = home_and_office();
    let open = AccessPoint { security: Security::Open, ..access_point("home", 0, -20) };
    let mut all = vec![open; 60];
    all.extend((0..60).map(|last| access_point("neighbour", last, -30)));
    all.extend((0..60).map(|last| access_point("", last, -40)));
    all.extend((0..60).map(|last| access_point("office", last, -50)));
    all.push(access_point("home", 1, -60));
    let mut found = Vec::new();
    for one in all {
        if station.wants(&found, &one) {
            found.push(one);
        }
    }
    let of = |name: &str| found.iter().filter(|one| one.ssid == ssid(name)).count();
    assert_eq!((of("home"), of("neighbour"), of(""), of("office")), (2, 0, 1, 8));
    assert_eq!(found.last(), Some(&access_point("home", 1, -60)));
}

#[test]
fn hidden_networks_are_asked_for_by_name() {
    let mut station = home_and_office();
    station.start(None, false);
    let step = station.scanned(&[access_point("", 7, -40)], 0);
    assert_eq!(step, Step::Join { network: 0, bssid: None, channel: 0 });
    station.connected(Some(&access_point("home", 7, -40)));
    station.addressed();
    assert_eq!(station.lost(because(1), 10_000, 0), join(0, 7), "and then it is known");
    // Nobody hides: nobody is asked.
    let mut station = home_and_office();
    station.start(None, false);
    pause(station.scanned(&[access_point("neighbour", 7, -40)], 0));
}

/// Home and office, as they are seen.
fn both() -> [AccessPoint; 2] {
    [access_point("home", 1, -40), access_point("office", 2, -40)]
}

#[test]
fn no_address_goes_to_another_network_or_stays_and_looks_again() {
    let mut station = home_and_office();
    station.start(None, false);
    assert_eq!(station.scanned(&both(), 0), join(0, 1));
    station.connected(None);
    assert_eq!(station.no_address(0), join(1, 2));
    station.connected(None);
    let mut longest = 0;
    for _ in 0..8 {
        // All were tried.
        let Step::Stay(milliseconds) = station.no_address(u32::MAX) else { panic!("it leaves") };
        assert!(milliseconds >= longest && milliseconds <= 60_000);
        longest = milliseconds;
        assert_eq!(station.no_address(0), Step::Scan);
        assert_eq!(station.scanned(&both(), 0), join(0, 1), "where it was is the last");
        station.connected(None);
        assert_eq!(station.no_address(0), join(1, 2));
        station.connected(None);
    }
    assert_eq!(longest, 60_000);
    let lines: Vec<_> = station.trouble();
    assert_eq!(lines, [Trouble::NoAddress(ssid("home")), Trouble::NoAddress(ssid("office"))]);
    // Mended, and broken again.
    station.addressed();
    assert_eq!(station.no_address(0), Step::Scan);
    assert_eq!(station.trouble(), [Trouble::NoAddress(ssid("office"))]);
}

/// Nobody has looked around before such a connection: the access point of an earlier life, or the
/// one that was good until its address ran out.
#[test]
fn no_address_where_it_was_before_is_a_reason_to_look_around() {
    let mut station = home_and_office();
    assert_eq!(station.start(Some((0, bssid(1), 1)), false), join(0, 1));
    station.connected(Some(&access_point("home", 1, -40)));
    assert_eq!(station.no_address(0), Step::Scan);
    let found = [access_point("home", 1, -40), access_point("home", 3, -70), both()[1]];
    assert_eq!(station.scanned(&found, 0), join(0, 3));
    station.connected(None);
    assert_eq!(station.no_address(0), join(1, 2));
    station.connected(None);
    station.addressed();
    assert_eq!(station.no_address(0), Step::Scan);
    assert_eq!(station.scanned(&both(), 0), join(0, 1), "it may have an address again");

    // What cannot be looked for is not gone back to.
    let mut station = home_and_office();
    station.start(Some((0, bssid(1), 1)), false);
    station.connected(None);
    assert_eq!(station.no_address(0), Step::Scan);
    pause(station.unanswered(0).unwrap());
    assert_eq!(station.paused(), Step::Scan);
    assert_eq!(station.scanned(&both(), 0), join(1, 2));

    // One that hides its name.
    let mut station = home_and_office();
    station.start(Some((0, bssid(7), 7)), false);
    station.connected(None);
    station.no_address(0);
    assert_eq!(station.scanned(&[access_point("", 7, -40), both()[1]], 0), join(1, 2));
}

/// A radio that refuses each scan or never ends one, or a join. One that says anything goes on for ever.
#[test]
fn a_radio_that_does_not_answer_is_given_up_after_minutes() {
    const ROUNDS: usize = 12;
    let silent = |station: &mut Station, rounds: usize| {
        for _ in 0..rounds {
            assert_eq!(pause(station.unanswered(0).unwrap()), 10_000);
            assert_eq!(station.paused(), Step::Scan);
        }
    };
    let mut station = home_and_office();
    station.start(None, false);
    silent(&mut station, ROUNDS - 1);
    assert_eq!(station.unanswered(0), None);

    for answer in 0..3 {
        let mut station = home_and_office();
        station.start(None, false);
        silent(&mut station, ROUNDS - 1);
        match answer {
            0 => drop(station.scanned(&[], 0)),
            1 => {
                station.scanned(&[access_point("home", 1, -40)], 0);
                station.failed(because(1), 0);
            }
            _ => {
                station.scanned(&[access_point("home", 1, -40)], 0);
                station.connected(None);
                station.lost(because(reason::BEACONS_STOPPED), 60_000, 0);
            }
        }
        silent(&mut station, ROUNDS - 1);
        assert_eq!(station.unanswered(0), None);
    }

    // A join is one of a round.
    let mut station = home_and_office();
    station.start(None, false);
    for round in 1..=ROUNDS {
        assert_eq!(station.scanned(&both(), 0), join(0, 1));
        assert_eq!(station.unanswered(0), Some(join(1, 2)));
        let step = station.unanswered(0);
        assert_eq!(step.is_none(), round == ROUNDS, "round {round}");
        station.paused();
    }
}

/// An access point that throws out whoever has just joined holds nobody who could be elsewhere.
#[test]
fn lost_before_there_was_an_address() {
    for lasted_ms in [200, 15_000] {
        let mut station = home_and_office();
        station.start(Some((0, bssid(1), 1)), false);
        station.connected(None);
        if station.lost(because(8), lasted_ms, 0) != Step::Scan {
            assert_eq!(station.paused(), Step::Scan);
        }
        assert_eq!(station.scanned(&both(), 0), join(1, 2));
    }
}

/// An access point with addresses and without a way to the server.
#[test]
fn who_was_there_in_vain_begins_elsewhere() {
    let mut station = home_and_office();
    assert_eq!(station.start(Some((0, bssid(1), 1)), true), Step::Scan);
    assert_eq!(station.scanned(&both(), 0), join(1, 2));
    let mut station = home_and_office();
    assert_eq!(station.start(Some((0, bssid(1), 1)), true), Step::Scan);
    assert_eq!(station.scanned(&both()[..1], 0), join(0, 1), "there is no other");
}

#[test]
fn each_trouble_has_its_line_once() {
    let mut station = home_and_office();
    station.start(None, false);
    pause(station.scanned(&[], 0));
    assert_eq!(station.trouble(), [Trouble::Absent(ssid("home")), Trouble::Absent(ssid("office"))]);
    pause(station.scanned(&[], 0));
    assert_eq!(station.trouble(), []);

    let wrong = Reason { code: 2, key_unproven: true };
    for expected in [&[Trouble::WrongKey(ssid("home"))][..], &[]] {
        station.scanned(&[access_point("home", 1, -40)], 0);
        pause(station.failed(wrong, 0));
        assert_eq!(station.trouble(), expected);
    }
    station.scanned(&[access_point("home", 1, -40)], 0);
    pause(station.failed(because(reason::FULL), 0));
    assert_eq!(station.trouble(), [Trouble::Full(ssid("home"))]);

    // Mended, and broken again.
    station.scanned(&[access_point("home", 1, -40)], 0);
    station.connected(None);
    station.addressed();
    station.lost(because(1), 60_000, 0);
    station.failed(because(reason::FULL), 0);
    assert_eq!(
        station.trouble(),
        [Trouble::Ended(ssid("home"), because(1)), Trouble::Full(ssid("home"))]
    );
}

#[test]
fn what_cannot_be_joined_is_named_and_not_tried() {
    for security in [
        Security::Open,
        Security::Wep,
        Security::TkipOnly,
        Security::Enterprise,
        Security::Wpa3Only,
        Security::Unknown,
    ] {
        let mut station = home_and_office();
        station.start(None, false);
        let found = [AccessPoint { security, ..access_point("home", 1, -40) }];
        pause(station.scanned(&found, 0));
        let absent = Trouble::Absent(ssid("office"));
        assert_eq!(station.trouble(), [Trouble::Unusable(ssid("home"), security), absent]);
    }
    // A network without a key in the settings.
    let open = Network { ssid: ssid("guests"), has_key: false };
    let mut station = Station::new(vec![open], 60);
    station.start(None, false);
    pause(station.scanned(&[access_point("guests", 1, -40)], 0));
    assert_eq!(station.trouble(), [Trouble::Unusable(ssid("guests"), Security::Wpa2)]);
    let found = [AccessPoint { security: Security::Open, ..access_point("guests", 1, -40) }];
    assert_eq!(station.scanned(&found, 0), join(0, 1));
    // Another access point of the same name poses as it: the right one is taken.
    let mut station = home_and_office();
    station.start(None, false);
    let twin = AccessPoint { security: Security::Open, ..access_point("home", 5, -10) };
    assert_eq!(station.scanned(&[twin, access_point("home", 6, -80)], 0), join(0, 6));
    assert_eq!(station.trouble(), []);
}

#[test]
fn every_line_says_what_to_do() {
    let name = ssid("caf\u{e9}");
    for (trouble, words) in [
        (Trouble::Absent(name), "2.4 GHz"),
        (Trouble::WrongKey(name), "make flash-identity"),
        (Trouble::Full(name), "limit"),
        (Trouble::NoAddress(name), "DHCP"),
        (Trouble::Unusable(name, Security::Wpa2), "config.toml"),
        (Trouble::Unusable(name, Security::TkipOnly), "AES"),
        (Trouble::Ended(name, because(reason::BEACONS_STOPPED)), "off or out of reach"),
        (Trouble::Ended(name, because(7)), "reason 7"),
    ] {
        let line = trouble.to_string();
        assert!(line.contains(words) && line.is_ascii() && line.starts_with("caf"), "{line}");
    }
    assert_eq!(Ssid::new(&[b'x'; 33]), None);
}
