//! The radio: what the application asks of it, and the supplicant between Espressif's libraries
//! and `crates/wpa`. The C side is `bsp/esp8266/radio`.

use core::cell::RefCell;
use core::ffi::{c_int, c_void};
use core::mem::{MaybeUninit, zeroed};
use core::sync::atomic::{AtomicU32, Ordering};

use runtime::wifi::{AccessPoint, Bssid, Event, Reason, Security, Ssid, Target, Wifi};
use vendor_sys as sys;
use wpa::eapol::MAX_REPLY;
use wpa::element::{self, Offer, akm, cipher};
use wpa::{Config, Heard, Progress, SmallAes128, SmallSha1, Supplicant};

/// The one radio.
pub struct Radio(());

impl Radio {
    /// The radio, for the application. Called once, by the board's start.
    pub(crate) fn take() -> Self {
        Self(())
    }
}

impl Wifi for Radio {
    fn is_on(&self) -> bool {
        // SAFETY: a plain question.
        unsafe { radio_is_on() }
    }

    fn scan(&mut self) -> bool {
        // SAFETY: allowed at any time once the driver has started.
        unsafe { radio_scan() == 0 }
    }

    fn found(&mut self, mut see: &mut dyn FnMut(AccessPoint)) {
        type See<'a> = &'a mut dyn FnMut(AccessPoint);
        unsafe extern "C" fn tell(see: *mut c_void, one: *const RawAccessPoint) {
            // SAFETY: what is handed in below, and an access point.
            let (see, one) = unsafe { (&mut *see.cast::<See<'_>>(), &*one) };
            see(one.describe());
        }
        // SAFETY: calls with its second argument, and is over before that is.
        unsafe { radio_scanned(tell, (&raw mut see).cast()) }
    }

    fn join(&mut self, target: &Target) -> bool {
        let ssid = target.ssid.as_bytes();
        let mut raw = RawTarget {
            ssid: [0; RawAccessPoint::SSID_MAX],
            ssid_length: ssid.len() as u8,
            has_bssid: target.bssid.is_some(),
            bssid: target.bssid.unwrap_or_default(),
            channel: target.channel,
            has_key: target.pmk.is_some(),
            pmk: target.pmk.unwrap_or_default(),
            modem_sleep: target.modem_sleep,
        };
        raw.ssid[..ssid.len()].copy_from_slice(ssid);
        // SAFETY: is copied.
        unsafe { radio_join(&raw) == 0 }
    }

    fn leave(&mut self) {
        // SAFETY: allowed at any time.
        unsafe { radio_leave() }
    }

    fn next_event(&mut self, milliseconds: u32) -> Option<Event> {
        let mut event = RawEvent { id: 0, reason: 0 };
        // SAFETY: this is the one caller (`&mut self` of the one radio); fills the event.
        let got = unsafe { radio_next_event(&mut event, milliseconds) };
        match event.id {
            _ if !got => None,
            RawEvent::SCANNED => Some(Event::Scanned),
            RawEvent::CONNECTED => Some(Event::Connected),
            _ => Some(Event::Disconnected(Reason {
                code: event.reason as u8,
                key_unproven: event.reason & RawEvent::UNPROVEN != 0,
            })),
        }
    }

    fn current(&self) -> Option<AccessPoint> {
        let mut current = MaybeUninit::<RawAccessPoint>::uninit();
        // SAFETY: filled when it says so.
        unsafe { radio_current(current.as_mut_ptr()).then(|| current.assume_init().describe()) }
    }

    fn pmk(&self, passphrase: &str, ssid: &Ssid) -> [u8; 32] {
        wpa::key::pmk::<SmallSha1>(passphrase.as_bytes(), ssid.as_bytes())
    }

    fn keep(&mut self, network: usize, access_point: &AccessPoint) {
        let [a, b, c, d, e, f] = access_point.bssid;
        let words = [
            u32::from_le_bytes([a, b, c, d]),
            u32::from_le_bytes([e, f, access_point.channel, network as u8]),
        ];
        for (place, word) in KEPT.iter().zip([words[0], words[1], mark(words)]) {
            place.store(word, Ordering::Relaxed);
        }
    }

    fn kept(&self) -> Option<(usize, Bssid, u8)> {
        let [first, second, marked] = [0, 1, 2].map(|i| KEPT[i].load(Ordering::Relaxed));
        let [a, b, c, d] = first.to_le_bytes();
        let [e, f, channel, network] = second.to_le_bytes();
        (marked == mark([first, second])).then_some((network.into(), [a, b, c, d, e, f], channel))
    }
}

/// The access point kept last, in the RTC's memory, and what tells it from what that holds after
/// power-on.
#[unsafe(link_section = ".noinit")]
static KEPT: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

fn mark([first, second]: [u32; 2]) -> u32 {
    first ^ second.rotate_left(16) ^ 0x5B27_D3A9
}

/// `struct radio_access_point`
#[repr(C)]
struct RawAccessPoint {
    bssid: [u8; 6],
    ssid: [u8; Self::SSID_MAX],
    ssid_length: u8,
    channel: u8,
    rssi: i8,
    security: u8,
    pairwise: u8,
}

impl RawAccessPoint {
    const SSID_MAX: usize = 32;

    fn describe(&self) -> AccessPoint {
        /// `WIFI_CIPHER_TYPE_CCMP`, and TKIP with it.
        const WITH_CCMP: [u8; 2] = [4, 5];
        // `wifi_auth_mode_t`
        let security = match self.security {
            0 => Security::Open,
            1 => Security::Wep,
            3 | 4 | 7 if WITH_CCMP.contains(&self.pairwise) => Security::Wpa2,
            2..=4 => Security::TkipOnly,
            5 => Security::Enterprise,
            6 => Security::Wpa3Only,
            _ => Security::Unknown,
        };
        AccessPoint {
            ssid: Ssid::new(&self.ssid[..usize::from(self.ssid_length)]).unwrap_or_default(),
            bssid: self.bssid,
            channel: self.channel,
            rssi: self.rssi,
            security,
        }
    }
}

/// `struct radio_target`
#[repr(C)]
struct RawTarget {
    ssid: [u8; RawAccessPoint::SSID_MAX],
    ssid_length: u8,
    has_bssid: bool,
    bssid: [u8; 6],
    channel: u8,
    has_key: bool,
    pmk: [u8; 32],
    modem_sleep: bool,
}

/// `struct radio_event`
#[repr(C)]
struct RawEvent {
    id: u32,
    reason: u32,
}

impl RawEvent {
    const SCANNED: u32 = 1;
    const CONNECTED: u32 = 2;
    const UNPROVEN: u32 = 0x100;
}

/// `struct radio_keys`
#[repr(C)]
struct RawKeys {
    has_pairwise: bool,
    pairwise: [u8; 16],
    group_index: u8,
    group_length: u8,
    group: [u8; 32],
    group_rsc: [u8; 6],
    complete: bool,
}

/// The supplicant of the present association. The libraries' task uses it, the others only ask
/// how far it is; each holds it with the scheduler stopped for no longer than a frame takes.
struct Shared(RefCell<Option<Supplicant>>);

// SAFETY: `with` lets one task in at a time.
unsafe impl Sync for Shared {}

static SUPPLICANT: Shared = Shared(RefCell::new(None));

fn with<R>(use_it: impl FnOnce(&mut Option<Supplicant>) -> R) -> R {
    // SAFETY: called by tasks, which do not wait in between.
    unsafe { sys::vTaskSuspendAll() };
    let result = use_it(&mut SUPPLICANT.0.borrow_mut());
    // SAFETY: undoes the call above.
    unsafe { sys::xTaskResumeAll() };
    result
}

#[unsafe(no_mangle)]
unsafe extern "C" fn radio_wpa_begin(
    pmk: *const [u8; 32],
    own: *const [u8; 6],
    bssid: *const [u8; 6],
    group: u8,
) {
    // SAFETY: the caller's contract (radio.h): arrays of these sizes.
    let config = unsafe { Config { pmk: *pmk, own: *own, bssid: *bssid, group } };
    with(|supplicant| *supplicant = Some(Supplicant::new(config, Heard::new())));
}

#[unsafe(no_mangle)]
unsafe extern "C" fn radio_wpa_receive(
    frame: *mut u8,
    length: usize,
    reply: *mut [u8; MAX_REPLY],
) -> usize {
    // SAFETY: the caller's contract (radio.h): so many bytes that nobody else uses, and room for
    // the longest answer.
    let (frame, reply) = unsafe { (core::slice::from_raw_parts_mut(frame, length), &mut *reply) };
    let nonce = || {
        let mut nonce = [0; 32];
        // SAFETY: fills what it is given.
        let code = unsafe { sys::fw_random(nonce.as_mut_ptr(), nonce.len() as _) };
        assert_eq!(code, 0, "the random source failed");
        nonce
    };
    let answer = with(|supplicant| {
        supplicant
            .as_mut()
            .map(|supplicant| supplicant.receive::<SmallSha1, SmallAes128>(frame, nonce, reply))
    });
    match answer {
        Some(Ok(length)) => length,
        Some(Err(refused)) => {
            log::warn!(target: "radio", "a key message of the access point is refused: {refused}");
            0
        }
        None => 0,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn radio_wpa_acknowledged(keys: *mut RawKeys) {
    let install =
        with(|supplicant| supplicant.as_mut().map(Supplicant::acknowledged)).unwrap_or_default();
    // SAFETY: all fields may be zero.
    let mut raw: RawKeys = unsafe { zeroed() };
    if let Some(key) = install.pairwise {
        (raw.has_pairwise, raw.pairwise) = (true, key);
    }
    if let Some(group) = install.group {
        let key = group.key();
        raw.group_index = group.index;
        raw.group_length = key.len() as u8;
        raw.group[..key.len()].copy_from_slice(key);
        raw.group_rsc = group.rsc;
    }
    raw.complete = install.complete;
    // SAFETY: the caller's contract (radio.h): room for it.
    unsafe { keys.write(raw) };
}

#[unsafe(no_mangle)]
extern "C" fn radio_wpa_unproven() -> bool {
    with(|supplicant| supplicant.as_ref().is_some_and(|one| one.progress() == Progress::Unproven))
}

/// `struct radio_offer`
#[repr(C)]
struct RawOffer {
    protocol: u32,
    pairwise: u32,
    group: u32,
    key_management: u32,
    capabilities: u32,
    pmkid_count: usize,
    pmkid: *const u8,
    management_group: u32,
}

/// The libraries ask what the elements of a beacon mean, in the numbers of Espressif's
/// `esp_wifi_types.h` and, for the key management, of the wpa_supplicant that they expect.
#[unsafe(no_mangle)]
unsafe extern "C" fn radio_wpa_parse(
    element: *const u8,
    length: usize,
    parsed: *mut RawOffer,
) -> c_int {
    const WPA: u32 = 1;
    const RSN: u32 = 2;
    // `wifi_cipher_type_t`
    const TKIP: u32 = 3;
    const CCMP: u32 = 4;
    const TKIP_AND_CCMP: u32 = 5;
    const UNKNOWN: u32 = 7;

    // SAFETY: the caller's contract (radio.h): so many bytes.
    let bytes = unsafe { core::slice::from_raw_parts(element, length) };
    let Some(Ok(element)) = element::elements(bytes).next() else { return -1 };
    let (protocol, offer) = if element.id == element::RSN {
        (RSN, Offer::rsn(element.value))
    } else {
        (WPA, Offer::wpa(element.value))
    };
    let Some(offer) = offer else { return -1 };
    let pairwise = match (offer.pairwise.has(cipher::TKIP), offer.pairwise.has(cipher::CCMP)) {
        (true, true) => TKIP_AND_CCMP,
        (true, false) => TKIP,
        (false, true) => CCMP,
        (false, false) => UNKNOWN,
    };
    let group = match offer.group {
        cipher::TKIP => TKIP,
        cipher::CCMP => CCMP,
        _ => UNKNOWN,
    };
    let key_management = [
        (akm::ENTERPRISE, 1 << 0),
        (akm::PSK, 1 << 1),
        (akm::ENTERPRISE_SHA256, 1 << 7),
        (akm::SAE, 1 << 10),
    ]
    .into_iter()
    .filter(|(suite, _)| offer.akm.has(*suite))
    .fold(0, |all, (_, bit)| all | bit);
    // SAFETY: the caller's contract (radio.h): room for it.
    unsafe {
        parsed.write(RawOffer {
            protocol,
            pairwise,
            group,
            key_management,
            capabilities: offer.capabilities.into(),
            pmkid_count: 0,
            pmkid: core::ptr::null(),
            management_group: 0,
        });
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn radio_wpa_element(group: u8, out: *mut [u8; 22]) {
    // SAFETY: the caller's contract (radio.h): room for it.
    unsafe { out.write(element::own_rsn(group)) };
}

// bsp/esp8266/radio/radio.h
unsafe extern "C" {
    fn radio_is_on() -> bool;
    fn radio_scan() -> c_int;
    fn radio_scanned(
        tell: unsafe extern "C" fn(*mut c_void, *const RawAccessPoint),
        context: *mut c_void,
    );
    fn radio_join(target: *const RawTarget) -> c_int;
    fn radio_leave();
    fn radio_next_event(event: *mut RawEvent, milliseconds: u32) -> bool;
    fn radio_current(current: *mut RawAccessPoint) -> bool;
}
