//! The wall clock: its time and its trust, and the SNTP client that sets it.
//!
//! What it decides is in the crate `clock`; here are the packets and the timer. lwIP's own client
//! is not used: it knows one port for all servers, takes a server's word without judging it, and
//! asks for names that do not resolve hundreds of times a second.
//!
//! All of the client runs in lwIP's thread, or with its lock held.

use alloc::boxed::Box;
use alloc::ffi::CString;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_void};
use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use clock::{ANSWER_S, Clock, MOST_SERVERS, PERIOD_S, SECOND_LOOK_S, Schedule, Verdict, packet};
use vendor_sys as sys;

use crate::Core;

pub use clock::{Date, Trust};

/// Seconds since 1970 at which this firmware was built.
pub const BUILD_TIME: u32 = parse(env!("FW_BUILD_EPOCH"));

const fn parse(text: &str) -> u32 {
    let bytes = text.as_bytes();
    let (mut value, mut index) = (0u32, 0);
    while index < bytes.len() {
        value = value * 10 + (bytes[index] - b'0') as u32;
        index += 1;
    }
    value
}

/// Milliseconds between two looks at the schedule.
const TURN_MS: u32 = 1000;

/// A time server: its name, kept for ever, and its port.
type Server = (&'static CStr, u16);

/// A question that is open.
struct Question {
    /// The socket; null until the server's address is known.
    pcb: *mut sys::udp_pcb,
    /// What came back must carry this.
    stamp: u64,
    /// Uptime in seconds at which it counts as lost; while the name is being looked up, lwIP says.
    until: Option<u32>,
}

struct State {
    clock: Clock,
    servers: [Option<Server>; MOST_SERVERS],
    schedule: Schedule,
    /// The server that was asked, by number, and how.
    open: Option<(usize, Question)>,
    /// Whether there is an address to ask from.
    online: bool,
}

/// State that only who holds lwIP's lock touches.
struct Locked(UnsafeCell<State>);

// SAFETY: see `with`.
unsafe impl Sync for Locked {}

static STATE: Locked = Locked(UnsafeCell::new(State {
    clock: Clock::new(BUILD_TIME),
    servers: [None; MOST_SERVERS],
    schedule: Schedule::new(0),
    open: None,
    online: false,
}));

/// Runs `work` on the state.
///
/// # Safety
/// lwIP's core is locked by the caller or the caller is lwIP's thread, and `work` does not call
/// `with`, nor anything of lwIP's that calls back.
unsafe fn with<T>(work: impl FnOnce(&mut State) -> T) -> T {
    // SAFETY: the lock keeps all others out, and there is no second reference.
    work(unsafe { &mut *STATE.0.get() })
}

/// Sets the time that was kept from before the reset, in seconds since 1970: until a server
/// answers, it is later than that.
pub fn recall(kept: u32) {
    let _core = Core::lock();
    // SAFETY: the core is locked.
    let (trust, now) = unsafe {
        with(|state| {
            state.clock.recall(kept, uptime_s());
            (state.clock.trust(), state.clock.now(uptime_s()))
        })
    };
    publish(trust, now);
    if trust == Trust::Kept {
        log::info!("it is later than {}, kept from before the reset", Date::of(now));
    }
}

/// Starts asking `servers` (host and port; at most four) for the time: as soon as there is an
/// address, and then every hour. Called once, after the interface was started.
pub fn start<'a>(servers: impl Iterator<Item = (&'a str, u16)>) {
    let _core = Core::lock();
    // SAFETY: the core is locked; nothing in there calls back.
    unsafe {
        with(|state| {
            let mut count = 0;
            for (host, port) in servers.take(MOST_SERVERS) {
                if let Ok(name) = CString::new(host) {
                    // lwIP may keep the name by address while it looks it up.
                    state.servers[count] = Some((Box::leak(name.into_boxed_c_str()), port));
                    count += 1;
                }
            }
            state.schedule = Schedule::new(count);
        });
        turn(ptr::null_mut());
    }
}

/// A certificate's dates do not fit: the time may be wrong, so ask for it again soon.
pub fn suspect() {
    let _core = Core::lock();
    // SAFETY: the core is locked; nothing in there calls back.
    unsafe {
        with(|state| {
            state.clock.suspect();
            state.schedule.hurry(uptime_s());
        });
    }
}

/// Where the time comes from, and the time: seconds since 1970-01-01 UTC, exact or at least.
pub fn reading() -> (Trust, u32) {
    let _core = Core::lock();
    // SAFETY: the core is locked; nothing in there calls back.
    unsafe { with(|state| (state.clock.trust(), state.clock.now(uptime_s()))) }
}

/// Whether a server has told the time since boot.
pub fn is_synchronised() -> bool {
    reading().0 == Trust::Server
}

/// The time if it is worth keeping over a reset: told by a server, and nothing speaks against it.
pub fn worth_keeping() -> Option<u32> {
    let _core = Core::lock();
    // SAFETY: the core is locked; nothing in there calls back.
    unsafe { with(|state| state.clock.is_worth_keeping().then(|| state.clock.now(uptime_s()))) }
}

/// DHCP has an answer (`online`), which may be a renewal, or there is no network any more. Runs
/// with lwIP's core locked.
pub(crate) fn network_changed(online: bool) {
    // SAFETY: the core is locked; nothing in there calls back.
    let news = unsafe {
        with(|state| {
            let news = online && !state.online;
            state.online = online;
            if news {
                state.schedule.network_changed(uptime_s());
            }
            news
        })
    };
    if news {
        // SAFETY: the core is locked.
        unsafe { ask_if_due() };
    }
}

fn uptime_s() -> u32 {
    (rtos::uptime_ms() / 1000) as u32
}

/// What mbedTLS reads without lwIP's lock: the time at boot, in seconds since 1970, and whether it
/// is exact.
static BOOT_TIME: AtomicU32 = AtomicU32::new(BUILD_TIME);
static EXACT: AtomicBool = AtomicBool::new(false);

fn publish(trust: Trust, now: u32) {
    BOOT_TIME.store(now.saturating_sub(uptime_s()), Ordering::Release);
    EXACT.store(trust == Trust::Server, Ordering::Release);
}

/// The time for mbedTLS's check of certificate dates.
#[unsafe(no_mangle)]
extern "C" fn fw_unix_time() -> i64 {
    i64::from(BOOT_TIME.load(Ordering::Acquire).saturating_add(uptime_s()))
}

/// Whether that is exact.
#[unsafe(no_mangle)]
extern "C" fn fw_time_is_exact() -> bool {
    EXACT.load(Ordering::Acquire)
}

/// The date for that check.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn fw_date(seconds: u32, out: *mut sys::fw_date) {
    let Date { year, month, day, hour, minute, second } = Date::of(seconds);
    // SAFETY: by the caller's promise.
    unsafe { out.write(sys::fw_date { year, month, day, hour, minute, second }) };
}

/// A timer of lwIP's, which runs in its thread with its core locked.
unsafe extern "C" fn turn(_: *mut c_void) {
    // SAFETY: the core is locked.
    unsafe {
        give_up_if_late();
        ask_if_due();
        sys::sys_timeout(TURN_MS, Some(turn), ptr::null_mut());
    }
}

/// # Safety
/// The core is locked.
unsafe fn give_up_if_late() {
    // SAFETY: the core is locked; nothing in there calls back.
    let late = unsafe {
        with(|state| match &state.open {
            Some((_, Question { until: Some(until), .. })) => uptime_s() >= *until,
            _ => false,
        })
    };
    if late {
        // SAFETY: the core is locked.
        unsafe { fail(&"it does not answer") };
    }
}

/// # Safety
/// The core is locked.
unsafe fn ask_if_due() {
    // SAFETY: the core is locked; nothing in there calls back.
    let asked = unsafe {
        with(|state| {
            if !state.online {
                return None;
            }
            let index = state.schedule.ask(uptime_s())?;
            let stamp = u64::from(sys::net_random()) << 32 | u64::from(sys::net_random());
            state.open = Some((index, Question { pcb: ptr::null_mut(), stamp, until: None }));
            state.servers[index]
        })
    };
    let Some((name, _)) = asked else { return };
    let mut address = sys::ip_addr_t::default();
    // SAFETY: the core is locked; the name lives for ever.
    match i32::from(unsafe {
        sys::dns_gethostbyname(name.as_ptr(), &mut address, Some(found), ptr::null_mut())
    }) {
        // SAFETY: the core is locked.
        ERR_OK => unsafe { send(&address) },
        ERR_INPROGRESS => {}
        // SAFETY: the core is locked.
        _ => unsafe { fail(&"its name cannot be looked up") },
    }
}

// lwip/err.h
const ERR_OK: i32 = 0;
const ERR_INPROGRESS: i32 = -5;

/// The name has an address, or none.
unsafe extern "C" fn found(_: *const c_char, address: *const sys::ip_addr_t, _: *mut c_void) {
    // SAFETY: lwIP calls with its core locked and a valid address or null.
    unsafe {
        match address.as_ref() {
            Some(address) => send(address),
            None => fail(&"its name does not resolve"),
        }
    }
}

/// Sends the question.
///
/// # Safety
/// The core is locked.
unsafe fn send(address: &sys::ip_addr_t) {
    // SAFETY: the core is locked; nothing in there calls back.
    let Some((stamp, port)) = (unsafe {
        with(|state| {
            let (index, question) = state.open.as_ref()?;
            Some((question.stamp, state.servers[*index]?.1))
        })
    }) else {
        return;
    };
    // SAFETY: the core is locked, and each object is used only while it is there.
    unsafe {
        let pcb = sys::udp_new();
        if pcb.is_null() {
            return fail(&"out of memory");
        }
        with(|state| {
            if let Some((_, question)) = &mut state.open {
                question.pcb = pcb;
                question.until = Some(uptime_s() + ANSWER_S);
            }
        });
        let request = packet::request(stamp);
        // Connected: lwIP then passes on only what comes from there.
        sys::udp_recv(pcb, Some(received), ptr::null_mut());
        let mut sent = i32::from(sys::udp_connect(pcb, address, port));
        if sent == ERR_OK {
            let buffer = sys::pbuf_alloc(
                sys::pbuf_layer::PBUF_TRANSPORT,
                packet::SIZE as u16,
                sys::pbuf_type::PBUF_RAM,
            );
            if buffer.is_null() {
                return fail(&"out of memory");
            }
            sys::pbuf_take(buffer, request.as_ptr().cast(), packet::SIZE as u16);
            sent = i32::from(sys::udp_send(pcb, buffer));
            sys::pbuf_free(buffer);
        }
        if sent != ERR_OK {
            fail(&"there is no way to it");
        }
    }
}

/// lwIP has a datagram from the server.
unsafe extern "C" fn received(
    _: *mut c_void,
    _: *mut sys::udp_pcb,
    buffer: *mut sys::pbuf,
    _: *const sys::ip_addr_t,
    _: u16,
) {
    let mut bytes = [0; packet::SIZE];
    // SAFETY: lwIP hands the buffer over, with its core locked.
    let length = unsafe {
        let length =
            sys::pbuf_copy_partial(buffer, bytes.as_mut_ptr().cast(), bytes.len() as u16, 0);
        sys::pbuf_free(buffer);
        usize::from(length)
    };
    let now = uptime_s();
    // SAFETY: the core is locked; nothing in there calls back.
    let outcome = unsafe {
        with(|state| {
            let (_, question) = state.open.as_ref()?;
            Some(packet::answer(&bytes[..length], question.stamp).map(|seconds| {
                let before = state.clock.now(now);
                (seconds, before, state.clock.hear(seconds, now))
            }))
        })
    };
    // SAFETY: the core is locked.
    unsafe {
        match outcome {
            // Somebody else's: the answer may still come.
            None | Some(Err(packet::Refusal::Foreign)) => {}
            Some(Err(refusal)) => fail(&refusal),
            Some(Ok((seconds, before, verdict))) => heard(seconds, before, verdict),
        }
    }
}

/// A server has told a time, and that was judged.
///
/// # Safety
/// The core is locked.
unsafe fn heard(seconds: u32, before: u32, verdict: Verdict) {
    let told = Date::of(seconds);
    let wait = match verdict {
        Verdict::Set => {
            log::info!("clock set by SNTP: {told}");
            (SECOND_LOOK_S, true)
        }
        Verdict::Agrees => (PERIOD_S, false),
        Verdict::Corrected => {
            log::warn!("clock corrected by SNTP: {told}, it was {}", Date::of(before));
            (SECOND_LOOK_S, true)
        }
        Verdict::Doubted => {
            log::warn!("a time server says {told}, the clock {}: asking again", Date::of(before));
            (1, true)
        }
        Verdict::BeforeBuild => {
            // SAFETY: the caller's contract.
            return unsafe {
                fail(&format_args!(
                    "it says {told}, which is before this firmware was built: ignored"
                ))
            };
        }
        Verdict::TooLate => {
            // SAFETY: the caller's contract.
            return unsafe {
                fail(&format_args!("it says {told}, which is absurdly late: ignored"))
            };
        }
    };
    // SAFETY: the core is locked; nothing in there calls back.
    unsafe {
        close();
        with(|state| {
            state.schedule.helped(uptime_s(), wait.0, wait.1);
            publish(state.clock.trust(), state.clock.now(uptime_s()));
        });
    }
}

/// The server that was asked is of no help now.
///
/// # Safety
/// The core is locked.
unsafe fn fail(why: &dyn fmt::Display) {
    // SAFETY: the core is locked; nothing in there calls back.
    unsafe {
        let name = with(|state| {
            state.schedule.failed(uptime_s(), sys::net_random());
            let (index, _) = state.open.as_ref()?;
            state.servers[*index].map(|(name, _)| name)
        });
        if let Some(name) = name {
            log::warn!("time server {}: {why}", name.to_str().unwrap_or("?"));
        }
        close();
    }
}

/// Closes the open question's socket, if it has one. Also from within its callback: lwIP does not
/// touch it afterwards.
///
/// # Safety
/// The core is locked.
unsafe fn close() {
    // SAFETY: the core is locked; removing a socket calls nobody back.
    unsafe {
        if let Some((_, question)) = with(|state| state.open.take())
            && !question.pcb.is_null()
        {
            sys::udp_remove(question.pcb);
        }
    }
}
