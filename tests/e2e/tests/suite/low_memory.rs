//! A heap that is too low for one thing at a time: functions that ask for memory are replaced, while
//! the device runs or before it starts.

use std::path::PathBuf;

use board::image::address_of;
use board::status::Led;
use e2e::memory::{debugger_option, write};
use e2e::{CLIENT_ID, Device, SOON, Stage};
use tempfile::TempDir;

/// Returns `false`.
const REFUSE: &[u8] = &[
    0x0C, 0x02, // movi.n a2, 0
    0x0D, 0xF0, // ret.n
];

/// Returns lwIP's `ERR_MEM`.
const NO_MEMORY: &[u8] = &[
    0x7C, 0xF2, // movi.n a2, -1
    0x0D, 0xF0, // ret.n
];

/// Returns the `None` of an `Option<Vec<u8>>`: a capacity that no vector has.
const NOTHING: &[u8] = &[
    0x0C, 0x18, // movi.n a8, 1
    0x10, 0x88, 0x01, // slli a8, a8, 31
    0x89, 0x02, // s32i.n a8, a2, 0
    0x0D, 0xF0, // ret.n
];

/// Leaves its result as it was.
const DO_NOTHING: &[u8] = &[0x0D, 0xF0]; // ret.n

/// A connected device whose functions can be replaced.
struct Patient {
    stage: Stage,
    device: Device,
    debugger: PathBuf,
    _folder: TempDir,
}

impl Patient {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let debugger = folder.path().join("debugger");
        let stage = Stage::new();
        let mut device = Device::boot_with(Some(stage.region()), |options| {
            options.further.extend(debugger_option(&debugger).map(Into::into));
        });
        device.expect_connected();
        Self { stage, device, debugger, _folder: folder }
    }

    /// Replaces the beginning of a function, and returns what restores it.
    fn replace(&self, function: &str, instructions: &[u8]) -> impl FnOnce() + use<> {
        let debugger = self.debugger.clone();
        let address = address_of(&Device::firmware(), function).unwrap();
        let before = write(&debugger, address, instructions).unwrap();
        move || drop(write(&debugger, address, &before).unwrap())
    }
}

/// A message for which there is no memory is left to the server, which delivers it again.
#[track_caller]
fn is_delivered_again(function: &str, instructions: &[u8], told: &str) {
    let mut patient = Patient::new();
    let mut watcher = patient.stage.watch();
    let restore = patient.replace(function, instructions);
    watcher.send(b"on");
    let device = &mut patient.device;
    for _ in 0..2 {
        device.expect(SOON, told);
    }
    assert_eq!(device.count("LED on"), 0);
    let acknowledged = format!("Received PUBACK from {CLIENT_ID}");
    assert_eq!(patient.stage.log_count(&acknowledged), 0);
    restore();
    device.expect_led(Led::On);
    watcher.status("status with the LED on", |status| status.led == Led::On);
    assert_eq!(patient.stage.log_count(&acknowledged), 1);
    device.assert_sound();
}

#[test]
fn a_message_that_cannot_be_stored_is_not_acknowledged() {
    is_delivered_again("mqtt::client::store::copy", NOTHING, "connection lost: out of memory");
}

/// Not even the packet. It is not the server's fault.
#[test]
fn a_packet_for_which_there_is_no_memory_is_not_acknowledged() {
    is_delivered_again(
        "<packets::guard::Guard>::reserve",
        REFUSE,
        "connect failed: TLS: out of memory",
    );
}

/// There will be another one: the connection is worth more.
#[test]
fn a_status_without_memory_is_skipped() {
    let mut patient = Patient::new();
    let mut watcher = patient.stage.watch();
    let device = &mut patient.device;
    device.expect(SOON, "published ");
    let restore = patient.replace("vPortGetHeapStats", DO_NOTHING);
    let device = &mut patient.device;
    for _ in 0..2 {
        device.expect(SOON, "not published to esp8266/status: the heap is too low");
    }
    restore();
    watcher.switch(device, Led::On);
    let status = watcher.status("status", |_| true);
    assert_eq!(status.reconnects, 0);
    assert_eq!(device.count("connection lost"), 0);
    device.assert_sound();
}

/// What fails at start for want of memory is tried some times, and then by a fresh start, of which
/// the next status tells. The emulator loads the firmware anew at a reset, and so mends it.
#[track_caller]
fn is_tried_again_at_start(function: &str, instructions: &[u8], told: &str) {
    let folder = tempfile::tempdir().unwrap();
    let debugger = folder.path().join("debugger");
    let stage = Stage::new();
    let mut watcher = stage.watch();
    let mut device = Device::boot_with(Some(stage.region()), |options| {
        options.further.extend(debugger_option(&debugger).map(Into::into));
        // Halted before its first instruction, until the debugger leaves.
        options.further.push("-S".into());
    });
    write(&debugger, address_of(&Device::firmware(), function).unwrap(), instructions).unwrap();
    for left in (1..5).rev() {
        device.expect(SOON, &format!("{told}; {left} more attempts"));
    }
    device.expect(SOON, &format!("*** gave up at start: {told}"));
    device.expect(SOON, "reset: gave-up");
    device.expect_connected();
    watcher.told_once("gave-up", &format!("gave up at start: {told}"));
    assert_eq!(device.count("reset: "), 2);
}

#[test]
fn credentials_without_memory_end_in_a_fresh_start() {
    is_tried_again_at_start("calloc", REFUSE, "tls: out of memory (mbedTLS -0x7F00)");
}

#[test]
fn dhcp_without_memory_ends_in_a_fresh_start() {
    is_tried_again_at_start("dhcp_start", NO_MEMORY, "network: out of memory");
}
