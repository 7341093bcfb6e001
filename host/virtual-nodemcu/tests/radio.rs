//! The radio, driven as the chip's libraries drive it, against the virtual access point.

use virtual_nodemcu::board::radio::ap::{Action, Forge, Replay};
use virtual_nodemcu::board::radio::crypto;
use virtual_nodemcu::board::radio::eapol::info;
use virtual_nodemcu::board::radio::frame::{self, flag, kind};

#[path = "radio/station.rs"]
mod station;

use station::{MAC, RATE_1M, RATE_6M, RATE_54M, RSN, Station, ssid};

const HOME: &str = "ssid=home,psk=correct horse,channel=6,rssi=-48";
const CAFE: &str = "ssid=cafe,channel=11,rssi=-70";
const SECRET: &str = "ssid=secret,channel=1,hidden";
const HOST: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];

/// A station that has joined [`HOME`].
fn at_home() -> Station {
    let mut station = Station::new(&[HOME]);
    assert!(station.join_wpa2("home", "correct horse", 6));
    station
}

/// A station that has joined an open network with these settings.
fn at_cafe(settings: &str) -> Station {
    let mut station = Station::new(&[&format!("ssid=cafe,channel=11{settings}")]);
    assert!(station.join("cafe", 11, &[]));
    station
}

/// Whether the access point has said so.
fn said(station: &mut Station, text: &str) -> bool {
    let log = station.ap().take_log();
    let found = log.iter().any(|line| line.contains(text));
    if !found {
        eprintln!("no {text:?} in {log:#?}");
    }
    found
}

fn act(station: &mut Station, action: &Action) {
    let now = station.board.clock.nanoseconds(station.cycle);
    station.ap().act(action, now).unwrap();
    station.board.radio.serve();
}

fn change(station: &mut Station, key: &str, value: &str) {
    station.ap().change(key, value).unwrap();
}

/// An Ethernet frame from the host with `length` bytes of payload.
fn from_host(to: [u8; 6], length: usize) -> Vec<u8> {
    let mut frame = [&to[..], &HOST, &[0x12, 0x34]].concat();
    frame.extend((0..length).map(|i| i as u8));
    frame
}

/// Data passes both ways.
fn exchange(station: &mut Station) {
    station.wire();
    assert!(station.send_data(HOST, [0x12, 0x34], b"to the host", RATE_54M));
    let frames = station.wire();
    assert_eq!(frames, [[&HOST[..], &MAC, &[0x12, 0x34], b"to the host"].concat()]);
    station.deliver(&from_host(MAC, 100));
    let payload = station.await_data([0x12, 0x34], 100).expect("a frame from the host");
    assert_eq!(payload, (0..100).collect::<Vec<u8>>());
    station.deliver(&from_host([0xFF; 6], 60));
    let payload = station.await_data([0x12, 0x34], 200).expect("a broadcast");
    assert_eq!(payload.len(), 60);
}

#[test]
fn a_scan_finds_what_is_there() {
    let mut station = Station::new(&[HOME, CAFE, SECRET]);
    let mut found = Vec::new();
    for channel in 1..=14 {
        station.tune(channel);
        station.inbox.clear();
        station.probe(b"");
        station.wait(120_000);
        for received in &station.inbox {
            assert!(matches!(received.frame[0], kind::BEACON | kind::PROBE_RESPONSE));
            let name = String::from_utf8_lossy(ssid(&received.frame).unwrap()).into_owned();
            found.push((channel, received.frame[0], name, received.rssi, received.for_us));
        }
    }
    found.sort();
    found.dedup();
    let name = str::to_owned;
    let expected = [
        (1, kind::BEACON, name(""), -50, false),
        (6, kind::PROBE_RESPONSE, name("home"), -48, true),
        (6, kind::BEACON, name("home"), -48, false),
        (11, kind::PROBE_RESPONSE, name("cafe"), -70, true),
        (11, kind::BEACON, name("cafe"), -70, false),
    ];
    assert_eq!(found, expected);
    station.tune(1);
    station.probe(b"secret");
    let hidden = station.await_frame(&[kind::PROBE_RESPONSE], 50).expect("asked by its name");
    assert_eq!(ssid(&hidden.frame), Some(&b"secret"[..]));
}

#[test]
fn beacons_come_every_102400_microseconds_and_tell_the_time() {
    let mut station = Station::new(&[HOME]);
    station.tune(6);
    let mut stamps = Vec::new();
    while stamps.len() < 20 {
        let beacon = station.await_frame(&[kind::BEACON], 150).unwrap();
        stamps.push(u64::from_le_bytes(*beacon.body().first_chunk().unwrap()));
    }
    let first = stamps[0];
    for (n, stamp) in (0..).zip(&stamps) {
        let planned = first / 102_400 * 102_400 + 102_400 * n;
        assert!((planned..planned + 500).contains(stamp), "{n}: {stamp}");
    }
    // Once told to, the MAC's clock follows.
    let bssid = station.ap().bssid();
    station.set_bssid(bssid);
    station.store(0x3FF2_1058, 0xC400_0000);
    station.await_frame(&[kind::BEACON], 150).unwrap();
    let beacon = station.await_frame(&[kind::BEACON], 150).unwrap();
    let stamp = u64::from_le_bytes(*beacon.body().first_chunk().unwrap());
    let tsf = u64::from(station.load(0x3FF2_1004)) | u64::from(station.load(0x3FF2_1008)) << 32;
    assert!((stamp..stamp + 3000).contains(&tsf), "{tsf} behind {stamp}");
}

#[test]
fn an_open_network_passes_data() {
    let mut station = at_cafe("");
    assert!(said(&mut station, "joined"));
    exchange(&mut station);
    // 1514 bytes need three descriptors.
    station.deliver(&from_host(MAC, 1500));
    let received = station.await_frame(&[kind::DATA], 100).unwrap();
    assert_eq!((received.body().len(), received.pieces), (1508, 3));
    assert!(received.for_us);
}

#[test]
fn wpa2_passes_data_encrypted() {
    let mut station = at_home();
    assert!(said(&mut station, "joined by WPA2"));
    exchange(&mut station);
    station.deliver(&from_host(MAC, 1500));
    let received = station.await_frame(&[kind::DATA], 100).unwrap();
    assert!(received.head().protected());
    assert_eq!((received.body().len(), received.pieces), (8 + 1508 + 8, 3));
    // The other key gives nothing: the hardware drops what it cannot decrypt.
    station.install(6, 0, false, &[9; 16]);
    station.deliver(&from_host(MAC, 40));
    assert!(station.await_data([0x12, 0x34], 100).is_none());
}

#[test]
fn the_access_point_drops_what_is_not_protected_right() {
    let mut station = at_home();
    exchange(&mut station);
    let plain = |station: &Station, flags: u8, number: u64| {
        let mut frame = frame::header(kind::DATA, flag::TO_DS | flags, [station.bssid, MAC, HOST]);
        if flags != 0 {
            frame.extend(crypto::ccmp_header(number, 0));
        }
        frame.extend(frame::SNAP);
        frame.extend([0x12, 0x34, 1, 2, 3]);
        frame
    };
    let frame = plain(&station, 0, 0);
    assert!(station.send(frame, RATE_6M, 0), "acknowledged by the hardware");
    assert!(said(&mut station, "data in the clear"));
    let frame = plain(&station, flag::PROTECTED, 1);
    assert!(station.send(frame, RATE_6M, 6));
    assert!(said(&mut station, "dropped as a replay"));
    station.install(6, 0, false, &[9; 16]);
    let frame = plain(&station, flag::PROTECTED, 100);
    assert!(station.send(frame, RATE_6M, 6));
    assert!(said(&mut station, "wrong integrity code"));
    assert_eq!(station.wire(), [[0; 0]; 0]);
}

#[test]
fn a_wrong_passphrase_ends_in_a_deauthentication() {
    let mut station = Station::new(&[HOME]);
    assert!(station.join("home", 6, &RSN));
    assert!(!station.handshake("home", "wrong horse"));
    assert!(said(&mut station, "another passphrase"));
    let goodbye = station.await_frame(&[kind::DEAUTHENTICATION], 5000).unwrap();
    assert_eq!(goodbye.body(), [15, 0], "reason: four-way handshake time-out");
}

#[test]
fn frames_take_their_time_and_retries_are_told() {
    let mut station = at_cafe("");
    station.wait(30_000);
    // In between beacons: 1500 bytes at 54 Mbit/s, at 1 Mbit/s.
    let mut frame = frame::header(kind::DATA, flag::TO_DS, [station.bssid, MAC, HOST]);
    frame.resize(1500, 0);
    let fast = station.transmit(&frame, RATE_54M, 0);
    // DIFS and 3 slots 55, frame 250, SIFS and ACK 44 us.
    assert_eq!(fast.result, 0);
    assert!((345..355).contains(&fast.took), "{fast:?}");
    let slow = station.transmit(&frame, RATE_1M, 0);
    assert_eq!(slow.result, 0);
    assert!((12_550..12_650).contains(&slow.took), "{slow:?}");
    // Nobody acknowledges: result 5, sooner than an acknowledgement would have ended.
    change(&mut station, "acks", "off");
    station.wait(60_000);
    let lost = station.transmit(&frame, RATE_54M, 0);
    assert_eq!(lost.result, 5);
    assert!((335..355).contains(&lost.took), "{lost:?}");
    let group = frame::header(kind::DATA, flag::TO_DS, [[0xFF; 6], MAC, HOST]);
    assert_eq!(station.transmit(&group, RATE_6M, 0).result, 0, "a group's frame needs none");
}

#[test]
fn loss_is_repaired_by_retries() {
    for seed in 1..=3 {
        let mut station = Station::with_seed(&["ssid=cafe,channel=11,loss=20"], seed);
        // A probe request is not repeated.
        assert!((0..10).any(|_| station.join("cafe", 11, &[])));
        station.wire();
        for i in 0..100u8 {
            assert!(station.send_data(HOST, [0x12, 0x34], &[i; 200], RATE_54M));
            station.deliver(&from_host(MAC, 200));
        }
        station.wait(300_000);
        let up: Vec<u8> = station.wire().iter().map(|frame| frame[14]).collect();
        assert_eq!(up, (0..100).collect::<Vec<u8>>(), "each once, in order");
        let mut down: Vec<_> = station
            .inbox
            .iter()
            .filter(|r| r.frame[0] == kind::DATA)
            .map(|r| r.head().sequence)
            .collect();
        let all = down.len();
        down.dedup();
        assert!(all > down.len(), "a lost acknowledgement makes a repetition");
        assert_eq!(down.len(), 100);
    }
    // Weak signals pass slow frames only.
    let mut station = Station::new(&["ssid=far,channel=11,rssi=-90"]);
    assert!(station.join("far", 11, &[]));
    let frame = frame::header(kind::NULL, flag::TO_DS, [station.bssid, MAC, HOST]);
    assert_eq!(station.transmit(&frame, RATE_6M, 0).result, 0);
    assert_eq!(station.transmit(&frame, RATE_54M, 0).result, 5);
    change(&mut station, "rssi", "-105");
    assert_eq!(station.transmit(&frame, RATE_1M, 0).result, 5);
}

#[test]
fn a_full_ring_loses_frames_and_goes_on() {
    let mut station = at_cafe(",beacons=off");
    // The chain ends behind the third descriptor; the handler is held up by the gate.
    let next = station.load(0x3FF2_0018);
    let mut last = next;
    for _ in 0..2 {
        last = station.load(last + 8);
    }
    let behind = station.load(last + 8);
    station.store(last + 8, 0);
    for n in 0..5 {
        let mut frame = from_host(MAC, 50);
        frame[14] = n;
        station.deliver(&frame);
    }
    station.store(0x3FF0_0000, 0);
    station.store(0x3FF2_0C18, 0);
    station.wait(50_000);
    assert_eq!(station.load(0x3FF2_0014), last);
    assert_eq!(station.load(0x3FF2_0018), 0);
    assert_eq!(station.board.radio.mac.overflows(), 2);
    // The chain is made longer: the next frame finds it.
    station.store(last + 8, behind);
    station.store(0x3FF2_0C18, 0x2C88_0300);
    station.store(0x3FF0_0000, 1);
    station.deliver(&from_host(MAC, 51));
    let lengths: Vec<_> =
        (0..4).map(|_| station.await_data([0x12, 0x34], 100).unwrap().len()).collect();
    assert_eq!(lengths, [50, 50, 50, 51]);
}

/// The descriptors of frames that wait still are the hardware's, by their owner bit; it does not come
/// round the ring and over them.
#[test]
fn frames_that_wait_are_not_written_over() {
    let mut station = at_cafe(",beacons=off");
    station.wait(50_000);
    station.store(0x3FF0_0000, 0);
    station.store(0x3FF2_0C18, 0);
    for n in 0..40 {
        station.deliver(&from_host(MAC, 50 + n));
    }
    station.wait(100_000);
    let lost = station.board.radio.mac.overflows() as usize;
    assert!(lost > 0, "the ring has fewer descriptors");
    station.store(0x3FF2_0C18, 0x2C88_0300);
    station.store(0x3FF0_0000, 1);
    for n in 0..40 - lost {
        assert_eq!(station.await_data([0x12, 0x34], 100).unwrap().len(), 50 + n, "oldest first");
    }
    exchange(&mut station);
}

#[test]
fn group_keys_change() {
    let mut station = at_home();
    for id in [2, 1, 2] {
        act(&mut station, &Action::Rekey);
        assert_eq!(station.group_handshake(500), Some(id));
        station.wait(10_000);
        assert!(said(&mut station, &format!("group key {id} is used")));
        exchange(&mut station);
    }
    // By itself, too.
    change(&mut station, "rekey", "2");
    assert_eq!(station.group_handshake(2500), Some(1));
    // Who does not answer is sent away.
    let goodbye = station.await_frame(&[kind::DEAUTHENTICATION], 8000).unwrap();
    assert_eq!(goodbye.body(), [16, 0], "reason: group key handshake time-out");
}

#[test]
fn what_is_replayed_or_forged_reaches_the_station() {
    let mut station = at_home();
    exchange(&mut station);
    for (replay, what) in [(Replay::Message1, info::MESSAGE_1), (Replay::Message3, info::MESSAGE_3)]
    {
        act(&mut station, &Action::Replay(replay));
        let (_, message) = station.await_eapol(100).unwrap();
        assert_eq!(message.info, what);
    }
    let first = station.await_frame(&[kind::DATA], 1);
    assert!(first.is_none());
    let [number, again] = [0, 1].map(|_| {
        act(&mut station, &Action::Replay(Replay::Data));
        let again = station.await_frame(&[kind::DATA], 100).unwrap();
        crypto::ccmp_pn(again.body()[..8].try_into().unwrap())
    });
    assert_eq!(again, number, "the same packet number");
    for forge in [Forge::Message1, Forge::Message3, Forge::Group, Forge::Malformed] {
        act(&mut station, &Action::Forge(forge));
        let bytes = station.await_data(frame::EAPOL, 100).unwrap();
        assert!(!bytes.is_empty());
    }
    act(&mut station, &Action::Deauthenticate { station: None, reason: 7, forged: true });
    assert_eq!(station.await_frame(&[kind::DEAUTHENTICATION], 100).unwrap().body(), [7, 0]);
    exchange(&mut station);
}

#[test]
fn each_step_can_stay_without_an_answer() {
    for mute in ["probe", "auth", "assoc", "message1", "message3"] {
        let mut station = Station::new(&[&format!("{HOME},mute={mute}")]);
        assert!(!station.join_wpa2("home", "correct horse", 6), "{mute}");
        change(&mut station, "mute", "nothing");
        assert!(station.join_wpa2("home", "correct horse", 6), "not {mute} any more");
        exchange(&mut station);
    }
    for message3 in ["wrong-key-data", "no-group-key"] {
        let mut station = Station::new(&[&format!("{HOME},message3={message3}")]);
        assert!(station.join("home", 6, &RSN));
        let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            station.handshake("home", "correct horse")
        }));
        assert!(!matches!(refused, Ok(true)), "{message3}");
    }
}

#[test]
fn who_may_not_come_in_is_told() {
    let mut station = Station::new(&[&format!("{HOME},refuse=full")]);
    assert!(!station.join("home", 6, &RSN));
    assert_eq!(station.associate("home", &RSN), Some(17));
    change(&mut station, "refuse", "auth");
    assert_eq!(station.authenticate(), Some(1));
    change(&mut station, "refuse", "nothing");
    assert_eq!(station.authenticate(), Some(0));
    assert_eq!(station.associate("home", &[]), Some(40), "without a security element");
    assert_eq!(station.associate("away", &RSN), Some(1), "another name");
    let data = frame::header(kind::DATA, flag::TO_DS, [station.bssid, MAC, HOST]);
    assert!(station.send(data, RATE_6M, 0));
    assert_eq!(station.await_frame(&[kind::DEAUTHENTICATION], 50).unwrap().body(), [7, 0]);
    for security in ["wep", "wpa", "wpa3", "enterprise"] {
        let ap = format!("ssid=old,channel=6,security={security}");
        let mut station = Station::new(&[&ap]);
        assert!(!station.join("old", 6, &RSN), "{security}");
    }
    for security in ["mixed", "transition"] {
        let ap = format!("ssid=new,psk=correct horse,channel=6,security={security},ht");
        let mut station = Station::new(&[&ap]);
        assert!(station.join("new", 6, &RSN), "{security}");
    }
}

#[test]
fn the_access_point_comes_and_goes() {
    let mut station = at_home();
    act(&mut station, &Action::Switch { channel: 9, beacons: 3 });
    let announced = station
        .await_that(|r| frame::find_element(&r.frame[36..], 37).is_some(), 300)
        .expect("a beacon tells it");
    assert_eq!(frame::find_element(&announced.frame[36..], 37).unwrap()[1], 9);
    station.wait(500_000);
    station.inbox.clear();
    assert!(station.await_frame(&[kind::BEACON], 300).is_none(), "gone from channel 6");
    station.tune(9);
    exchange(&mut station);
    act(&mut station, &Action::Off(Some(1_000_000_000)));
    station.inbox.clear();
    assert!(station.await_frame(&[kind::BEACON], 900).is_none());
    assert!(station.await_frame(&[kind::BEACON], 400).is_some());
    // It does not know the station any more, and says so.
    assert!(station.send_data(HOST, [0x12, 0x34], b"still there?", RATE_6M));
    assert_eq!(station.await_frame(&[kind::DEAUTHENTICATION], 50).unwrap().body(), [6, 0]);
    change(&mut station, "beacons", "off");
    station.wait(200_000);
    station.inbox.clear();
    assert!(station.await_frame(&[kind::BEACON], 500).is_none());
    assert!(station.join_wpa2("home", "correct horse", 9));
}

#[test]
fn a_sleeping_station_is_told_by_the_beacon_and_fetches_its_frames() {
    let mut station = at_home();
    let null = |station: &Station, flags| {
        frame::header(kind::NULL, flag::TO_DS | flags, [station.bssid, MAC, station.bssid])
    };
    let frame = null(&station, flag::POWER);
    assert!(station.send(frame, RATE_6M, 0));
    station.deliver(&from_host(MAC, 70));
    station.inbox.clear();
    assert!(station.await_data([0x12, 0x34], 100).is_none());
    let beacon = station.await_frame(&[kind::BEACON], 110).unwrap();
    let tim = frame::find_element(&beacon.frame[36..], 5).unwrap();
    assert_eq!(tim[3] & 2, 2, "association 1 has something to fetch: {tim:?}");
    let frame = null(&station, 0);
    assert!(station.send(frame, RATE_6M, 0));
    assert_eq!(station.await_data([0x12, 0x34], 100).unwrap().len(), 70);
    exchange(&mut station);
}

/// IEEE 802.11-2016, 11.2.3.5 and 11.2.3.6: what is for a group waits for the beacon, which says so,
/// and what is for the station is given frame by frame as it asks.
#[test]
fn a_sleeping_station_gets_broadcasts_behind_the_beacon_and_polls_for_its_own() {
    let mut station = at_home();
    let doze =
        frame::header(kind::NULL, flag::TO_DS | flag::POWER, [station.bssid, MAC, station.bssid]);
    assert!(station.send(doze, RATE_6M, 0));
    // Out of step with the beacons, so that all four wait for the same one.
    station.await_frame(&[kind::BEACON], 110).unwrap();
    station.inbox.clear();
    for length in [60, 61] {
        station.deliver(&from_host([0xFF; 6], length));
        station.deliver(&from_host(MAC, length + 10));
    }
    let tim = |beacon: &station::Received| {
        let tim = frame::find_element(&beacon.frame[36..], 5).unwrap();
        [tim[2] & 1 != 0, tim[3] & 2 != 0]
    };
    let beacon = station.await_frame(&[kind::BEACON], 110).unwrap();
    assert!(station.inbox.is_empty(), "nothing came before the beacon");
    assert_eq!(tim(&beacon), [true, true], "for the group, for association 1");
    for (length, more) in [(60, true), (61, false)] {
        let received = station.await_frame(&[kind::DATA], 50).expect("a broadcast");
        assert_eq!(received.head().receiver, [0xFF; 6]);
        assert_eq!(received.body().len(), 8 + 8 + length + 8);
        assert_eq!(received.head().flags & flag::MORE_DATA != 0, more, "{length}");
    }
    let poll = [&[kind::PS_POLL, 0, 1, 0xC0], &station.bssid[..], &MAC].concat();
    for (length, more) in [(70, true), (71, false)] {
        assert!(station.inbox.is_empty(), "one frame for each request");
        assert_eq!(station.transmit(&poll, RATE_6M, 0).result, 0, "it is acknowledged");
        let received = station.await_frame(&[kind::DATA], 50).expect("what was polled for");
        assert_eq!(received.head().receiver, MAC);
        assert_eq!(received.body().len(), 8 + 8 + length + 8);
        assert_eq!(received.head().flags & flag::MORE_DATA != 0, more, "{length}");
    }
    let beacon = station.await_frame(&[kind::BEACON], 110).unwrap();
    assert_eq!(tim(&beacon), [false, false], "nothing waits any more");
}

/// As libphy closes and opens the radio between beacons.
#[test]
fn who_has_its_receiver_off_hears_nothing_and_acknowledges_nothing() {
    let mut station = at_cafe("");
    exchange(&mut station);
    let state = station.load(0x3FF2_0C70);
    station.store(0x3FF2_0C70, state & !2);
    station.inbox.clear();
    station.deliver(&from_host(MAC, 70));
    station.wait(300_000);
    assert!(station.inbox.is_empty(), "{:?}", station.inbox);
    station.store(0x3FF2_0C70, state | 2);
    station.wait(300_000);
    let heard = |kind| station.inbox.iter().filter(|r| r.frame[0] == kind).count();
    assert!(heard(kind::BEACON) >= 2);
    assert_eq!(heard(kind::DATA), 0, "lost: nobody had said that it would sleep");
    station.inbox.clear();
    exchange(&mut station);
}

#[test]
fn dhcp_can_be_off() {
    let mut station = at_cafe(",dhcp=off");
    let mut request = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    request.extend([0, 0, 0, 0, 255, 255, 255, 255, 0, 68, 0, 67, 0, 8, 0, 0]);
    assert!(station.send_data([0xFF; 6], [8, 0], &request, RATE_6M));
    assert_eq!(station.wire(), [[0; 0]; 0]);
    change(&mut station, "dhcp", "on");
    assert!(station.send_data([0xFF; 6], [8, 0], &request, RATE_6M));
    assert_eq!(station.wire().len(), 1);
}

/// The timers of the MAC: once, when their time comes, and not when that is over. Old SDKs feed
/// the watchdog by the second one.
#[test]
fn the_macs_timers_interrupt_once() {
    const RAW: u32 = 0x3FF2_0C1C;
    const CLEAR: u32 = 0x3FF2_0C24;
    let mut station = Station::new(&[]);
    for (switch, low, high, bit) in [
        (0x3FF2_1098, 0x3FF2_1004, 0x3FF2_1008, 1 << 27),
        (0x3FF2_10C8, 0x3FF2_1048, 0x3FF2_104C, 1 << 26),
    ] {
        // Over the carry of the lower word.
        station.store(high, 1);
        station.store(low, 0xFFFF_FF00);
        let before = station.load(low);
        assert!((0xFFFF_FF00..0xFFFF_FF10).contains(&before), "{before:x}");
        station.store(switch + 4, 100);
        station.store(switch + 8, 2);
        station.store(switch, 1 << 31);
        station.wait(300);
        assert_eq!(station.load(RAW) & bit, 0);
        station.wait(80);
        assert_eq!(station.load(RAW) & bit, bit);
        assert_eq!(station.load(high), 2);
        station.store(CLEAR, bit);
        station.wait(1000);
        assert_eq!(station.load(RAW) & bit, 0, "once");
        station.store(switch + 4, 50);
        station.wait(1000);
        assert_eq!(station.load(RAW) & bit, 0, "that was over");
        station.store(switch + 4, 3_000);
        station.store(switch, 0);
        station.wait(3000);
        assert_eq!(station.load(RAW) & bit, 0, "it is off");
    }
}

/// The interrupt is at the core's input 0 too, for programs that do not take the NMI; the end of a
/// frame is told with its beginning, and with the slot where each generation of libraries looks.
#[test]
fn what_older_libraries_want_of_the_end_of_a_frame() {
    const SENT_AND_BEGUN: u32 = 3 << 18;
    let mut station = Station::new(&[]);
    station.store(0x3FF2_0C18, SENT_AND_BEGUN);
    assert_eq!(station.board.lines() & 1, 0);
    station.store(0x3FF2_0DC8 - 24, 0xB01C);
    station.store(0x3FF2_0DC4 - 24, 0xC100_0004);
    station.wait(100);
    assert_eq!(station.load(0x3FF2_0C20), SENT_AND_BEGUN);
    assert_eq!(station.load(0x3FF2_0C84) & 0xFF00, 0x1100, "slot 1");
    assert_eq!(station.board.lines() & 1, 1);
    station.store(0x3FF2_0C24, SENT_AND_BEGUN);
    assert_eq!(station.board.lines() & 1, 0);
}

/// Slots that make no sense end with an error; one that is given up, or whose MAC is reset, ends
/// without a word, and the next frame goes.
#[test]
fn slots_that_are_broken_or_given_up() {
    const SENT: u32 = 1 << 19;
    let mut station = at_cafe(",beacons=off");
    let frame = frame::header(kind::NULL, flag::TO_DS, [station.bssid, MAC, station.bssid]);
    assert_eq!(station.transmit(&frame, RATE_6M, 9).result, 4, "no such key");
    // A descriptor that is not in RAM, one without an end, a length of nothing.
    station.store(0x3FF2_0DC8, 0xB01C);
    for start in [0xC100_0004, 0xC103_FFFC] {
        station.store(0x3FF2_0DC4, start);
        station.wait(10);
        assert_eq!(station.load(0x3FF2_0C84) >> 28, 4);
        assert_eq!(station.load(0x3FF2_0DC4) >> 30, 0);
        station.store(0x3FF2_0C24, SENT);
    }
    for give_up in [0, 1] {
        station.store(0x3FF2_0DC8, 0xB01C);
        station.store(0x3FF2_0DC4, 0xC100_0000 | 0x3_0000);
        if give_up == 0 {
            station.store(0x3FF2_0DC4, 0x0100_0000);
        } else {
            station.store(0x6000_0D48, 2);
            station.store(0x6000_0D48, 0);
        }
        station.wait(5_000);
        assert_eq!(station.load(0x3FF2_0C1C) & SENT, 0, "{give_up}");
        assert_eq!(station.transmit(&frame, RATE_6M, 0).result, 0);
    }
    // Slots wait for each other; both are told.
    station.store(0x3FF2_0DC8 - 24, 0xB01C);
    station.store(0x3FF2_0DC4 - 24, 0xC000_0000 | 0x3_0000);
    assert_eq!(station.transmit_behind(&frame), [1, 0]);
}

#[test]
fn a_register_that_is_not_known_is_named_once() {
    let mut station = Station::new(&[]);
    station.board.take_events();
    for _ in 0..3 {
        station.store(0x3FF2_0300, 7);
        assert_eq!(station.load(0x3FF2_0300), 7, "it keeps what is written");
        station.store(0x3FF2_0C14, 7);
    }
    let events = station.board.take_events();
    assert_eq!(events.len(), 1, "{events:?}");
}

/// Frames of noise, and good ones with some bytes changed: nothing ends, and a station still gets
/// in afterwards.
#[test]
fn hostile_frames_are_survived() {
    let mut station = Station::new(&[HOME, "ssid=cafe,channel=6"]);
    assert!(station.join_wpa2("home", "correct horse", 6));
    let mut state = 5u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    let kinds = [0x00, 0x10, 0x20, 0x40, 0x80, 0xA0, 0xB0, 0xC0, 0xD0, 0xA4, 0x08, 0x48, 0x88];
    for _ in 0..5_000 {
        let length = 10 + random() as usize % 120;
        let mut frame: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        frame[0] = kinds[random() as usize % kinds.len()];
        frame[1] &= 0x5B;
        let bssid = station.board.radio.air.aps[random() as usize % 2].bssid();
        frame[4..10].copy_from_slice(&bssid);
        if length > 36 {
            frame[10..16].copy_from_slice(&MAC);
            // EAPOL now and then.
            frame[24..32].copy_from_slice(&[0xAA, 0xAA, 3, 0, 0, 0, 0x88, 0x8E]);
            if length > 110 && frame[0] == 8 && random() % 2 == 0 {
                frame[1] = 1;
                frame[33] = 3;
                frame[36] = 2;
            }
        }
        station.transmit(&frame, RATE_54M, 0);
        station.inbox.clear();
    }
    station.wait(100_000);
    station.inbox.clear();
    assert!(station.join_wpa2("home", "correct horse", 6));
    exchange(&mut station);
}
