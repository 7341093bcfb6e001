//! The network as it can be: DHCP, ARP, name servers, floods.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use board::image::address_of;
use board::status::Led;
use cloud::dns::HOST_FROM_GUEST;
use e2e::cable::{
    self, Arp, BOARD, BOARD_MAC, BROADCAST_MAC, Cable, Frame, GATEWAY, OTHER_MAC, Seen, To,
};
use e2e::memory::{debugger_option, read, read_word};
use e2e::time_server::TimeServer;
use e2e::{Device, SOON, Stage, seconds};

/// DHCP's message types (RFC 2132 section 9.6).
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const NAK: u8 = 6;
const RELEASE: u8 = 7;

/// A DHCP answer to `request` (RFC 2131 section 2), broadcast.
fn dhcp(request: &Frame, kind: u8, offered: Ipv4Addr, lease_s: u32) -> Option<Frame> {
    let (_, _, data) = request.as_udp()?;
    let mut message = vec![2, 1, 6, 0];
    message.extend(data.get(4..8)?); // xid
    message.extend([0, 0, 0x80, 0, 0, 0, 0, 0]);
    message.extend(if kind == NAK { [0; 4] } else { offered.octets() });
    message.extend([0; 8]);
    message.extend(data.get(28..44)?); // the client's hardware address
    message.extend([0; 192]);
    message.extend([99, 130, 83, 99, 53, 1, kind]);
    message.extend([54, 4]);
    message.extend(GATEWAY.octets());
    if kind != NAK {
        message.extend([51, 4]);
        message.extend(lease_s.to_be_bytes());
        message.extend([1, 4, 255, 255, 255, 0, 3, 4]);
        message.extend(GATEWAY.octets());
        message.extend([6, 4, 10, 0, 2, 3]);
    }
    message.push(255);
    let addresses = (BROADCAST_MAC, OTHER_MAC);
    Some(Frame::udp(addresses, (GATEWAY, 67), (Ipv4Addr::BROADCAST, 68), &message))
}

/// A DHCP server in the place of the user network's.
fn lease(cable: &Cable, lease_s: u32, refuse: bool) {
    cable.judge(move |to, frame, plug| {
        let reply = match (to, frame.as_dhcp()) {
            (_, None) => return Some(frame),
            (To::Network, Some(DISCOVER)) => dhcp(&frame, OFFER, BOARD, lease_s),
            (To::Network, Some(REQUEST)) => {
                dhcp(&frame, if refuse { NAK } else { ACK }, BOARD, lease_s)
            }
            _ => None,
        };
        if let Some(reply) = reply {
            plug.send(To::Board, &reply);
        }
        None
    });
}

/// When the board sent DHCP messages of that type, by this machine's clock.
fn sent(cable: &Cable, kind: u8) -> Vec<Instant> {
    cable
        .seen()
        .into_iter()
        .filter(|seen| seen.to == To::Network && seen.frame.as_dhcp() == Some(kind))
        .map(|seen| seen.at)
        .collect()
}

fn boot(stage: &Stage, cable: &Cable) -> Device {
    Device::boot_with(Some(stage.region()), |options| cable.plug_in(options))
}

/// A public bug report: any lease under 90 s was released each minute, and all connections broke.
#[test]
fn a_lease_of_a_minute_is_renewed_at_half() {
    let stage = Stage::new();
    let cable = Cable::new();
    lease(&cable, 60, false);
    let mut device = boot(&stage, &cable);
    device.expect_connected();
    std::thread::sleep(seconds(75));
    let requests = sent(&cable, REQUEST);
    let gaps: Vec<u64> = requests.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert!(gaps.len() >= 2, "{gaps:?}");
    assert!(gaps.iter().all(|gap| (25..=36).contains(gap)), "{gaps:?}");
    assert!(sent(&cable, RELEASE).is_empty(), "the address was given back");
    assert_eq!(device.count("connection lost"), 0);
    stage.watch().switch(&mut device, Led::On);
    device.assert_sound();
}

/// An address that another host answers for is declined; the next one is taken.
#[test]
fn an_address_that_answers_is_declined() {
    const NEXT: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 16);
    let stage = Stage::new();
    let cable = Cable::new();
    cable.judge(|to, frame, plug| {
        if let (To::Network, Some(arp)) = (to, frame.as_arp())
            && arp.target == BOARD
            && arp.sender != BOARD
        {
            let taken = Arp {
                operation: 2,
                sender_mac: OTHER_MAC,
                sender: BOARD,
                target_mac: arp.sender_mac,
                target: arp.sender,
            };
            plug.send(To::Board, &Frame::arp(BOARD_MAC, &taken));
            return None;
        }
        Some(frame)
    });
    let mut device = boot(&stage, &cable);
    device.expect_where(SOON, "a DHCPDECLINE", |_| !sent(&cable, DECLINE).is_empty());
    assert_eq!(device.count("net: address "), 0);
    // QEMU's server offers the declined address again, so the next offer is the test's.
    cable.judge(move |to, frame, plug| match (to, frame.as_dhcp()) {
        (To::Network, Some(DISCOVER)) => {
            dhcp(&frame, OFFER, NEXT, 3600).inspect(|reply| plug.send(To::Board, reply));
            None
        }
        (To::Network, Some(REQUEST)) => {
            dhcp(&frame, ACK, NEXT, 3600).inspect(|reply| plug.send(To::Board, reply));
            None
        }
        _ => Some(frame),
    });
    device.expect(SOON, "net: address 10.0.2.16, ");
    device.expect_connected();
    device.assert_sound();
}

/// A server that offers and then refuses, for ever: lwIP starts anew at once, without a pause.
#[test]
fn a_dhcp_server_that_refuses_makes_no_storm() {
    let stage = Stage::new();
    let cable = Cable::new();
    lease(&cable, 60, true);
    let mut device = boot(&stage, &cable);
    device.expect(SOON, "no address yet");
    std::thread::sleep(seconds(30));
    let asked = sent(&cable, DISCOVER).len() + sent(&cable, REQUEST).len();
    assert!((4..=40).contains(&asked), "{asked} messages");
    lease(&cable, 3600, false);
    device.expect(seconds(90), "net: address 10.0.2.15");
    device.expect_connected();
    device.assert_sound();
}

#[test]
fn a_missing_dhcp_server_makes_no_storm() {
    let stage = Stage::new();
    let cable = Cable::new();
    cable.judge(|_, _, _| None);
    let mut device = boot(&stage, &cable);
    device.expect(SOON, "no address yet");
    std::thread::sleep(seconds(30));
    // At its start the driver sends one frame of zeros, to nobody.
    let all = cable.count(|seen| seen.to == To::Network && seen.frame.sender() == BOARD_MAC);
    assert!((3..=8).contains(&all), "{all} frames");
    assert_eq!(sent(&cable, DISCOVER).len(), all);
    device.assert_sound();
}

/// A public bug report: 47 s passed between the address and the first question for the time, as
/// its back-off had grown while there was no network.
#[test]
fn the_time_is_asked_for_as_soon_as_there_is_an_address() {
    let server = TimeServer::good();
    let mut stage = Stage::new();
    stage.identity.endpoints.ntp = vec![server.setting("time")];
    let cable = Cable::new();
    cable.judge(|_, _, _| None);
    let mut device = boot(&stage, &cable);
    device.expect(SOON, "no address yet");
    std::thread::sleep(seconds(35));
    assert!(server.asked().is_empty());
    cable.judge(|_, frame, _| Some(frame));
    let address = device.expect(seconds(90), "net: address ");
    let clock = device.expect(SOON, "clock set by SNTP: ");
    assert!(clock.ms - address.ms < 3_000, "{address:?}, {clock:?}");
    device.expect_connected();
    // And when the network was gone for a while, which may be another one now.
    let before = server.asked().len();
    std::thread::sleep(seconds(15));
    device.emulator.set_link(false).unwrap();
    device.expect(SOON, "net: link down");
    device.emulator.set_link(true).unwrap();
    device.expect(SOON, "net: link up");
    device.expect_where(SOON, "a question for the time", |_| server.asked().len() > before);
    device.assert_sound();
}

/// Rewrites what a router with another hardware address would send and hear: frames to the old
/// one are lost.
fn replace_gateway(to: To, mut frame: Frame) -> Option<Frame> {
    let old = [0x52, 0x55, 10, 0, 2, 2];
    match to {
        To::Network => {
            if frame.0[..6] == old {
                return None;
            }
            if frame.0[..6] == OTHER_MAC {
                frame.0[..6].copy_from_slice(&old);
            }
        }
        To::Board => {
            frame.0[6..12].copy_from_slice(&OTHER_MAC);
            if frame.as_arp().is_some() {
                frame.0[22..28].copy_from_slice(&OTHER_MAC);
            }
        }
    }
    Some(frame)
}

/// A public bug report: 316 s without network after the router was replaced.
#[test]
fn a_new_router_is_found_within_a_minute() {
    let stage = Stage::new();
    let cable = Cable::new();
    let mut device = boot(&stage, &cable);
    device.expect_connected();
    device.expect(SOON, "published ");
    cable.judge(|to, frame, _| replace_gateway(to, frame));
    let replaced = Instant::now();
    let mut watcher = stage.watch();
    watcher.forget();
    watcher.report(seconds(80));
    while device.count("published ") < 2 {
        watcher.report(seconds(80));
    }
    assert!(replaced.elapsed() < seconds(80), "{:?}", replaced.elapsed());
    device.assert_sound();
}

#[test]
fn a_second_name_server_with_its_own_port_is_asked() {
    let mut stage = Stage::new();
    let good = stage.identity.endpoints.dns[0].clone();
    stage.identity.endpoints.dns = ["5301", "5302", "5303"]
        .map(|port| format!("{HOST_FROM_GUEST}:{port}"))
        .into_iter()
        .chain([good])
        .collect();
    let cable = Cable::new();
    let mut device = boot(&stage, &cable);
    device.expect(seconds(90), "connected to ");
    let to_port = |port: u16| {
        cable.count(|Seen { to, frame, .. }| {
            *to == To::Network && frame.as_udp().is_some_and(|(_, target, _)| target == port)
        })
    };
    for port in 5301..=5303 {
        assert!(to_port(port) > 0, "port {port} was not asked");
    }
    // "Instead of those that DHCP offers": 10.0.2.3, port 53, is the user network's.
    assert_eq!(to_port(53), 0);
    device.assert_sound();
}

#[test]
fn name_servers_of_the_identity_replace_all_of_dhcps() {
    let stage = Stage::new();
    // One that does not know the name; DHCP names a second one.
    stage.cloud.dns.silence(true);
    let cable = Cable::new();
    cable.judge(|to, mut frame, _| {
        // Option 6 grows by a second server: the user network's options end well before.
        if to == To::Board
            && frame.as_dhcp().is_some()
            && let Some(at) = frame.0.windows(6).position(|six| six == [6, 4, 10, 0, 2, 3])
        {
            frame.0[at + 1] = 8;
            frame.0.splice(at + 6..at + 6, [10, 0, 2, 2]);
            let end = frame.0.len() - 4;
            frame.0.truncate(end);
            // No checksum of UDP instead of a wrong one.
            frame.0[40..42].fill(0);
        }
        Some(frame)
    });
    let mut device = boot(&stage, &cable);
    device.expect(seconds(60), "connect failed: TLS: the endpoint's name cannot be resolved");
    let to_port_53 = cable.count(|Seen { to, frame, .. }| {
        *to == To::Network && frame.as_udp().is_some_and(|(_, target, _)| target == 53)
    });
    assert_eq!(to_port_53, 0, "a name server of DHCP's was asked");
    device.assert_sound();
}

/// The address and its name servers are kept over a lost link, until DHCP answers.
#[test]
fn name_servers_of_before_are_asked_until_dhcp_answers_again() {
    let mut stage = Stage::new();
    stage.identity.endpoints.dns.clear();
    let cable = Cable::new();
    let asked = |server: [u8; 4]| {
        cable.count(|Seen { to, frame, .. }| {
            *to == To::Network
                && frame.0.get(30..34) == Some(&server)
                && frame.as_udp().is_some_and(|(_, port, _)| port == 53)
        })
    };
    let (before, other) = ([10, 0, 2, 3], [10, 0, 2, 2]);
    let mut device = boot(&stage, &cable);
    // It does not know the name, which does not matter here.
    device.expect(seconds(60), "connect failed: TLS: the endpoint's name cannot be resolved");
    cable.judge(|_, frame, _| frame.as_dhcp().is_none().then_some(frame));
    device.emulator.set_link(false).unwrap();
    device.expect(SOON, "net: link down");
    let questions = asked(before);
    assert!(questions > 0);
    device.emulator.set_link(true).unwrap();
    device.expect(SOON, "net: link up");
    device.expect(seconds(60), "connect failed: TLS: the endpoint's name cannot be resolved");
    assert!(asked(before) > questions);
    assert_eq!(asked(other), 0);

    cable.judge(move |_, mut frame, _| {
        if frame.as_dhcp().is_some()
            && let Some(at) = frame.0.windows(6).position(|six| six == [6, 4, 10, 0, 2, 3])
        {
            frame.0[at + 2..at + 6].copy_from_slice(&other);
            // No checksum of UDP instead of a wrong one.
            frame.0[40..42].fill(0);
        }
        Some(frame)
    });
    let another = |_: &str| asked(other) > 0;
    device.expect_where(seconds(120), "a question for the other one", another);
    let questions = asked(before);
    device.expect(seconds(60), "connect failed: TLS: the endpoint's name cannot be resolved");
    device.expect(seconds(60), "connect failed: TLS: the endpoint's name cannot be resolved");
    assert_eq!(asked(before), questions, "the one of before was asked");
    device.assert_sound();
}

#[test]
fn mute_name_servers_make_no_storm() {
    let stage = Stage::new();
    stage.cloud.dns.silence(true);
    let cable = Cable::new();
    let mut device = boot(&stage, &cable);
    device.expect(SOON, "net: address ");
    std::thread::sleep(seconds(30));
    let asked = cable.count(|Seen { to, frame, .. }| {
        *to == To::Network && frame.as_udp().is_some_and(|(_, port, _)| port > 1000 && port != 5353)
    });
    assert!((3..=24).contains(&asked), "{asked} questions in 30 s");
    device.assert_sound();
}

/// Some 3,000 frames a second for a minute, each as dear as ten on the chip: statuses come in time,
/// the LED obeys.
#[test]
fn a_broadcast_storm_costs_neither_status_nor_connection() {
    let stage = Stage::new();
    let cable = Arc::new(Cable::new());
    let mut watcher = stage.watch();
    let mut device = Device::boot_with(Some(stage.region()), |options| {
        cable.plug_in(options);
        // A tenth of the chip's speed, by this machine's clock: it makes the storm ten times as
        // heavy.
        options.further.extend(["-icount", "shift=7,sleep=on"].map(Into::into));
    });
    device.expect_connected();
    watcher.status("status", |_| true);
    let (over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let storm = std::thread::spawn({
        let (cable, over, count) = (Arc::clone(&cable), Arc::clone(&over), Arc::clone(&count));
        move || {
            for frames in cable::storm().chunks(3).cycle() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                for frame in frames {
                    cable.send(To::Board, frame);
                }
                count.fetch_add(frames.len() as u64, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(700));
            }
        }
    });
    let start = Instant::now();
    let mut statuses = 0;
    while start.elapsed() < seconds(60) {
        watcher.report(seconds(30));
        statuses += 1;
    }
    watcher.switch(&mut device, Led::On);
    over.store(true, Ordering::Relaxed);
    storm.join().unwrap();
    let count = count.load(Ordering::Relaxed);
    println!("{count} frames in {:?}, {statuses} statuses", start.elapsed());
    assert!(count > 20_000, "{count} frames are no storm");
    assert!(statuses >= 5, "{statuses} statuses in a minute");
    assert_eq!(device.count("connection lost"), 0);
    device.assert_sound();
}

/// lwIP's lists of what waits for packets, in a device that runs and is halted for a look at them.
struct Sockets<'a> {
    debugger: &'a Path,
    elf: PathBuf,
}

impl Sockets<'_> {
    /// The first of a list. Only that of UDP is sure to be linked: what keeps no list has none.
    fn first(&self, list: &str) -> Option<u32> {
        let at = address_of(&self.elf, list).ok()?;
        Some(read_word(self.debugger, at).unwrap()).filter(|&first| first != 0)
    }

    /// The local ports of UDP. `struct udp_pcb` begins, with IPv4 alone, with two addresses and
    /// four bytes; then come the next one, a byte of flags, and the local port.
    fn udp_ports(&self) -> Vec<u16> {
        let next = |pcb: &u32| read_word(self.debugger, pcb + 12).unwrap();
        std::iter::successors(self.first("udp_pcbs"), |pcb| Some(next(pcb)).filter(|&pcb| pcb != 0))
            .map(|pcb| read(self.debugger, pcb + 18, 2).unwrap())
            .map(|port| u16::from_le_bytes([port[0], port[1]]))
            .collect()
    }
}

/// Half of lwIP's faults lie where connections are taken (CVE-2026-91018 in vendor/advisories.toml):
/// this device takes none. Whoever is in the network finds DHCP's client, and sockets that ask
/// for names and the time, at ports that nobody knows.
#[test]
fn nothing_listens() {
    const DHCP_CLIENT: u16 = 68;
    const EPHEMERAL: u16 = 49152; // lwIP's first (RFC 6335 section 6)
    let folder = tempfile::tempdir().unwrap();
    let debugger = folder.path().join("debugger");
    let stage = Stage::new();
    let cable = Cable::new();
    let mut device = Device::boot_with(Some(stage.region()), |options| {
        cable.plug_in(options);
        options.further.extend(debugger_option(&debugger).map(Into::into));
    });
    device.expect_connected();
    device.expect(SOON, "published ");
    let sockets = Sockets { debugger: &debugger, elf: Device::firmware() };
    // The broker's connection: the lists are those of a device at work.
    assert!(sockets.first("tcp_active_pcbs").is_some());
    for list in ["tcp_listen_pcbs", "tcp_bound_pcbs", "raw_pcbs"] {
        assert_eq!(sockets.first(list), None, "{list}");
    }
    let ports = sockets.udp_ports();
    assert!(ports.contains(&DHCP_CLIENT), "{ports:?}");
    assert!(ports.iter().all(|&port| port == DHCP_CLIENT || port >= EPHEMERAL), "{ports:?}");
    device.assert_sound();
}
