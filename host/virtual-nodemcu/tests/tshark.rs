//! What is on the air, judged by somebody else: tshark reads the capture of a board's air and, given
//! the passphrase, decrypts it. Without tshark (Debian: tshark) this test says so and passes.

use std::fs::File;
use std::process::Command;

use virtual_nodemcu::board::radio::ap::Action;
use virtual_nodemcu::board::radio::pcap::Pcap;

#[path = "radio/station.rs"]
mod station;

use station::{MAC, RATE_54M, Station};

const HOST: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];

/// An ARP request from `from`, as Ethernet payload.
fn arp(from: [u8; 6], ip: u8) -> Vec<u8> {
    let mut body = vec![0, 1, 8, 0, 6, 4, 0, 1];
    body.extend(from);
    body.extend([10, 0, 2, ip, 0, 0, 0, 0, 0, 0, 10, 0, 2, 77]);
    body
}

/// Fields of the frames that the filter lets through, a line each.
fn tshark(
    capture: &std::path::Path,
    passphrase: &str,
    filter: &str,
    fields: &[&str],
) -> Vec<String> {
    let key = format!("uat:80211_keys:\"wpa-pwd\",\"{passphrase}:home\"");
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(["-o", "wlan.enable_decryption:TRUE", "-o", &key]);
    command.args(["-o", "wlan.check_checksum:TRUE", "-Y", filter, "-T", "fields"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn tshark_reads_the_air_and_decrypts_it_with_the_passphrase() {
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("left out: there is no tshark (Debian: apt-get install tshark)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("air.pcap");
    let mut station = Station::new(&["ssid=home,psk=correct horse,channel=6,rssi=-48"]);
    station.board.radio.air.pcap =
        Some(Pcap::new(Box::new(File::create(&path).unwrap()), 1_800_000_000_000_000_000).unwrap());
    assert!(station.join_wpa2("home", "correct horse", 6));
    for ip in [1, 2] {
        assert!(station.send_data([0xFF; 6], [8, 6], &arp(MAC, ip), RATE_54M));
    }
    let mut host = [&MAC[..], &HOST, &[8, 6]].concat();
    host.extend(arp(HOST, 3));
    station.deliver(&host);
    station.wait(10_000);
    // Another group key, and a broadcast under it.
    let now = station.board.clock.nanoseconds(station.cycle);
    station.ap().act(&Action::Rekey, now).unwrap();
    station.board.radio.serve();
    assert_eq!(station.group_handshake(500), Some(2));
    station.wait(10_000);
    host[..6].fill(0xFF);
    host[14 + 17] = 4;
    station.deliver(&host);
    station.wait(10_000);

    let all = tshark(&path, "correct horse", "wlan", &["frame.number"]);
    assert!(all.len() > 20, "{} frames", all.len());
    let bad =
        tshark(&path, "correct horse", "wlan.fcs.status != 1 || _ws.malformed", &["frame.number"]);
    assert!(bad.is_empty(), "checksums: {bad:?}");
    // The four-way handshake and the group's, as tshark numbers them.
    let messages = tshark(&path, "correct horse", "eapol", &["wlan_rsna_eapol.keydes.msgnr"]);
    let first: Vec<_> = messages.iter().take(4).map(String::as_str).collect();
    assert_eq!(first, ["1", "2", "3", "4"], "{messages:?}");
    let fields = ["wlan.sa", "arp.src.proto_ipv4", "wlan.ccmp.extiv", "radiotap.channel.freq"];
    let opened = tshark(&path, "correct horse", "arp", &fields);
    let source = |line: &String| line.split('\t').nth(1).unwrap_or_default().to_owned();
    let found: Vec<_> = opened.iter().map(source).collect();
    // The station's are broadcasts: the access point repeats them under the group key.
    for ip in ["10.0.2.1", "10.0.2.2"] {
        assert_eq!(found.iter().filter(|source| *source == ip).count(), 2, "{opened:#?}");
    }
    for ip in ["10.0.2.3", "10.0.2.4"] {
        assert_eq!(found.iter().filter(|source| *source == ip).count(), 1, "{opened:#?}");
    }
    assert!(opened.iter().all(|line| line.ends_with("2437")), "channel 6: {opened:#?}");
    let closed = tshark(&path, "wrong horse", "arp", &["frame.number"]);
    assert!(closed.is_empty(), "another passphrase opens nothing");
}
