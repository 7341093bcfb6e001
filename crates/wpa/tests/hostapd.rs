//! The four-way handshake against an access point's side of other hands: hostapd's authenticator, compiled
//! from the sources of Debian's package `wpa` (`hostap/authenticator.c`, `make hostapd-test`).
//! `HOSTAPD_AUTHENTICATOR` names the program; without it these tests say so and pass.

mod common;

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use common::{Aes, BSSID, PMK, SNONCE, STATION, Sha1, station};
use wpa::eapol::MAX_REPLY;
use wpa::element::own_rsn;
use wpa::{Config, Heard, Progress, Supplicant};

struct Hostapd {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
    /// Index and key of the newest group key.
    group: Vec<u8>,
}

impl Drop for Hostapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Hostapd {
    /// With this key; none where there is no such program.
    fn start(pmk: [u8; 32]) -> Option<Self> {
        Self::start_renewing(pmk, 0)
    }

    /// The same, with a new group key every so many seconds; 0: never.
    fn start_renewing(pmk: [u8; 32], seconds: u32) -> Option<Self> {
        let Some(program) = std::env::var_os("HOSTAPD_AUTHENTICATOR") else {
            println!("left out: there is no hostapd to shake hands with (`make hostapd-test`)");
            return None;
        };
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        let mut child = Command::new(program)
            .args([hex(&own_rsn(4)), hex(&pmk), seconds.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Self { child, to, from, group: Vec::new() })
    }

    fn send(&mut self, kind: u8, contents: &[u8]) {
        let [high, low] = (contents.len() as u16).to_be_bytes();
        self.to.write_all(&[&[kind, high, low], contents].concat()).unwrap();
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 3];
        self.from.read_exact(&mut head).unwrap();
        let mut contents = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        self.from.read_exact(&mut contents).unwrap();
        if head[0] == b'T' {
            self.group.clone_from(&contents);
        }
        (head[0], contents)
    }

    /// The next of this kind; others before it are passed by.
    fn next(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let (found, contents) = self.receive();
            if found == kind {
                return contents;
            }
        }
    }

    /// The pairwise key that it installs; it removes the old one first.
    fn pairwise(&mut self) -> Vec<u8> {
        loop {
            let key = self.next(b'P');
            if !key.is_empty() {
                return key;
            }
        }
    }

    /// Takes the next frame to the station and its answer back.
    fn exchange(&mut self, station: &mut Supplicant) {
        let frame = self.next(b'E');
        self.answer(station, frame);
    }

    /// Takes a frame to the station and its answer back.
    fn answer(&mut self, station: &mut Supplicant, mut frame: Vec<u8>) {
        let mut reply = [0; MAX_REPLY];
        let length = station.receive::<Sha1, Aes>(&mut frame, || SNONCE, &mut reply).unwrap();
        self.send(b'E', &reply[..length]);
    }
}

#[test]
fn hostapd_and_the_station_have_the_same_keys() {
    let Some(mut hostapd) = Hostapd::start(PMK) else { return };
    let mut station = station();
    hostapd.exchange(&mut station);
    hostapd.exchange(&mut station);
    let install = station.acknowledged();
    assert!(install.complete);
    assert_eq!(station.progress(), Progress::Complete);
    let pairwise = hostapd.pairwise();
    assert_eq!(install.pairwise.unwrap()[..], pairwise);
    let own = install.group.unwrap();
    assert_eq!((own.index, own.key()), (hostapd.group[0], &hostapd.group[1..]));
    assert_eq!(own.rsc, [7, 0, 0, 0, 0, 0]);
}

/// The two group keys take turns, and the pairwise one stays as it is.
#[test]
fn hostapd_renews_the_group_key() {
    let Some(mut hostapd) = Hostapd::start_renewing(PMK, 2) else { return };
    let mut station = station();
    hostapd.exchange(&mut station);
    hostapd.exchange(&mut station);
    let mut own = station.acknowledged().group.unwrap();
    let _ = hostapd.pairwise();
    let mut indices = vec![own.index];
    while indices.len() < 4 {
        let before = hostapd.group.clone();
        // On a slow machine the next key may be on its way before this one is in use.
        while hostapd.group == before {
            if let (b'E', frame) = hostapd.receive() {
                hostapd.answer(&mut station, frame);
                let install = station.acknowledged();
                assert!(install.pairwise.is_none(), "a key that is in use is not installed again");
                own = install.group.unwrap();
            }
        }
        assert_eq!((own.index, own.key()), (hostapd.group[0], &hostapd.group[1..]));
        indices.push(own.index);
    }
    assert!(indices.windows(2).all(|pair| pair[0] != pair[1]), "{indices:?}");
}

#[test]
fn hostapd_repeats_what_was_lost() {
    let Some(mut hostapd) = Hostapd::start(PMK) else { return };
    let mut station = station();
    // The first message, and later the third, come again with a higher counter.
    let _ = hostapd.next(b'E');
    hostapd.exchange(&mut station);
    let _ = hostapd.next(b'E');
    hostapd.exchange(&mut station);
    assert!(station.acknowledged().complete);
    let _ = hostapd.pairwise();
}

#[test]
fn hostapd_finds_another_key_out() {
    let Some(mut hostapd) = Hostapd::start([1; 32]) else { return };
    let config = Config { pmk: PMK, own: STATION, bssid: BSSID, group: 4 };
    let mut station = Supplicant::new(config, Heard::new());
    hostapd.exchange(&mut station);
    let _ = hostapd.next(b'F');
    assert_eq!(station.progress(), Progress::Unproven);
}
