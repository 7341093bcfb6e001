//! The network interface: link and address, as events.

use alloc::boxed::Box;
use alloc::ffi::CString;
use core::ffi::{CStr, c_void};
use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use lx106::Kept;
use rtos::Waker;
use vendor_sys as sys;

use crate::{Core, Error};

/// A board's network driver: lwIP's `netif_init_fn`.
#[derive(Clone, Copy)]
pub struct Driver(unsafe extern "C" fn(*mut sys::netif) -> sys::err_t);

impl Driver {
    /// Wraps the function that a board offers.
    ///
    /// # Safety
    /// `init` follows the rules of lwIP's `netif_init_fn`.
    pub const unsafe fn new(init: unsafe extern "C" fn(*mut sys::netif) -> sys::err_t) -> Self {
        Self(init)
    }
}

/// Why nothing can be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// No cable, no access point.
    LinkDown,
    /// Waiting for a DHCP server.
    NoAddress,
}

impl fmt::Display for NotReady {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::LinkDown => "the link is down: check the cable or the access point",
            Self::NoAddress => "no address yet: is there a DHCP server on this network?",
        })
    }
}

/// The device's one network interface, with DHCP.
pub struct Interface {
    mac: [u8; 6],
}

static STARTED: AtomicBool = AtomicBool::new(false);
static LINK_UP: AtomicBool = AtomicBool::new(false);
/// The address in network byte order; 0 for none.
static ADDRESS: AtomicU32 = AtomicU32::new(0);
/// Whether DHCP has answered since the link came up.
static CONFIRMED: AtomicBool = AtomicBool::new(false);
/// A leaked box: lwIP's thread reads it at any time.
static LISTENER: AtomicPtr<Waker> = AtomicPtr::new(ptr::null_mut());
/// Most name servers that are asked in turn.
pub(crate) const MOST_DNS_SERVERS: usize = sys::DNS_MAX_SERVERS as usize;
/// Name servers that override DHCP's, in network byte order, the preferred one first; 0 for none.
static DNS_OVERRIDE: [AtomicU32; MOST_DNS_SERVERS] = [const { AtomicU32::new(0) }; _];

impl Interface {
    /// Starts lwIP's thread and the board's driver. `listener` is woken whenever link
    /// or address change; `host_name` is what DHCP servers are told.
    ///
    /// # Errors
    /// `AlreadyStarted` the second time, also after a failure; `Driver` when the board's driver
    /// refuses.
    pub fn start(driver: Driver, host_name: &str, listener: Waker) -> Result<Self, Error> {
        if STARTED.swap(true, Ordering::AcqRel) {
            return Err(Error::AlreadyStarted);
        }
        LISTENER.store(Box::into_raw(Box::new(listener)), Ordering::Release);
        // lwIP keeps both by address for as long as the interface lives: for ever.
        let host_name: &'static CStr =
            Box::leak(CString::new(host_name).unwrap_or_default().into_boxed_c_str());
        let netif: &'static mut sys::netif = Box::leak(Box::default());
        // SAFETY: called once, after the scheduler has started.
        unsafe { sys::tcpip_init(None, ptr::null_mut()) };
        let _core = Core::lock();
        // SAFETY: the core is locked; `netif` and `host_name` live for ever.
        unsafe {
            let added = sys::netif_add(
                netif,
                ptr::null(),
                ptr::null(),
                ptr::null(),
                ptr::null_mut(),
                Some(driver.0),
                Some(sys::tcpip_input),
            );
            if added.is_null() {
                return Err(Error::Driver);
            }
            netif.hostname = host_name.as_ptr();
            sys::netif_set_default(netif);
            sys::netif_add_ext_callback(Box::leak(Box::default()), Some(bound));
            sys::netif_set_status_callback(netif, Some(changed));
            sys::netif_set_link_callback(netif, Some(changed));
            sys::netif_set_up(netif);
            changed(netif);
            sys::sys_timeout(LIFE_MS, Some(show_life), ptr::null_mut());
        }
        let mut mac = [0; 6];
        mac.copy_from_slice(&netif.hwaddr[..6]);
        Ok(Self { mac })
    }

    /// Starts to ask for an address (DHCP). What failed can be tried again.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn request_address(&self) -> Result<(), Error> {
        let _core = Core::lock();
        // SAFETY: the core is locked, and `start` made this interface the default one for ever.
        Error::check(unsafe { sys::dhcp_start(sys::netif_default) })
    }

    /// The same, by asking for the address that this network has lent before a reset or a deep
    /// sleep, if that was kept ([`keep_address`]): one question instead of two. A network that
    /// does not know it says so, or nothing, and the device asks for another one. It is not kept any
    /// more then.
    ///
    /// # Errors
    /// `OutOfMemory`.
    pub fn request_kept_address(&self) -> Result<(), Error> {
        let [address] = LEASE.get().unwrap_or_default();
        LEASE.forget();
        let _core = Core::lock();
        // SAFETY: as above.
        Error::check(unsafe { sys::net_dhcp_start_with(sys::netif_default, address) })
    }

    /// The interface's MAC address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The address, once there is a link and DHCP has answered.
    ///
    /// # Errors
    /// What is missing.
    pub fn address(&self) -> Result<Ipv4Addr, NotReady> {
        address()
    }

    /// Asks these name servers in turn, at most four, instead of those that DHCP names. An empty
    /// list changes nothing.
    pub fn set_dns_servers(&self, servers: &[SocketAddrV4]) {
        let _core = Core::lock();
        for (index, server) in servers.iter().take(MOST_DNS_SERVERS).enumerate() {
            DNS_OVERRIDE[index].store(in_network_order(*server.ip()), Ordering::Release);
            // SAFETY: lwIP reads the ports with its core locked.
            unsafe { sys::net_dns_ports[index] = server.port() };
        }
        apply_dns_override();
    }

    /// Forgets the hardware addresses of the network's hosts: whoever does not answer may have
    /// been replaced (RFC 1122 section 2.3.2.1). They are asked for again when they are needed.
    pub fn forget_neighbours(&self) {
        let _core = Core::lock();
        // SAFETY: the core is locked, and `start` made this interface the default one for ever.
        unsafe { sys::etharp_cleanup_netif(sys::netif_default) };
    }
}

/// An address as lwIP keeps it.
fn in_network_order(address: Ipv4Addr) -> u32 {
    u32::from_le_bytes(address.octets())
}

/// The address that DHCP gave, in network byte order, over resets and deep sleep.
#[unsafe(link_section = ".noinit")]
static LEASE: Kept<1> = Kept::new();

/// Whether an address is kept.
pub fn is_address_kept() -> bool {
    LEASE.get().is_some()
}

/// Keeps the address that the device has now for [`Interface::request_kept_address`].
pub fn keep_address() {
    match ADDRESS.load(Ordering::Acquire) {
        0 => LEASE.forget(),
        address => LEASE.keep(&[address]),
    }
}

/// Whether this network has given the device its address: DHCP has answered since the link came
/// up. Without that, [`address`] is that of the network before, which may be another one.
pub fn is_address_confirmed() -> bool {
    CONFIRMED.load(Ordering::Acquire)
}

/// The device's address, once there is an interface, a link, and DHCP has answered. While the link
/// was down it is kept, and used until DHCP answers anew (RFC 2131, 3.2): connections go on.
///
/// # Errors
/// What is missing.
pub fn address() -> Result<Ipv4Addr, NotReady> {
    if !LINK_UP.load(Ordering::Acquire) {
        return Err(NotReady::LinkDown);
    }
    match ADDRESS.load(Ordering::Acquire) {
        0 => Err(NotReady::NoAddress),
        address => Ok(Ipv4Addr::from(address.to_le_bytes())),
    }
}

/// Milliseconds between two signs of life of lwIP's thread, and the seconds within which it
/// promises the next.
const LIFE_MS: u32 = 5_000;
const LIFE_S: u16 = 30;

/// A timer of lwIP's, which runs in its thread with its core locked.
unsafe extern "C" fn show_life(_: *mut c_void) {
    rtos::watchdog::alive(LIFE_S);
    // SAFETY: the core is locked.
    unsafe { sys::sys_timeout(LIFE_MS, Some(show_life), ptr::null_mut()) };
}

/// lwIP tells that link, address or flags changed. Runs with its core locked.
unsafe extern "C" fn changed(netif: *mut sys::netif) {
    // SAFETY: lwIP hands in the interface that it was given.
    let netif = unsafe { &*netif };
    let up = u32::from(netif.flags) & sys::NETIF_FLAG_LINK_UP != 0;
    let address = netif.ip_addr.addr;
    if LINK_UP.swap(up, Ordering::AcqRel) != up {
        log::info!("link {}", if up { "up" } else { "down" });
    }
    if !up || address == 0 {
        CONFIRMED.store(false, Ordering::Release);
        crate::clock::network_changed(false);
    }
    if address == 0 && DNS_OVERRIDE[0].load(Ordering::Acquire) == 0 {
        // They came with the address. Over a lost link both are kept.
        (0..MOST_DNS_SERVERS).for_each(|index| set_dns_server(index, 0));
    }
    if ADDRESS.swap(address, Ordering::AcqRel) != address && address != 0 {
        let text = |address: u32| Ipv4Addr::from(address.to_le_bytes());
        log::info!("address {}, gateway {}", text(address), text(netif.gw.addr));
    }
    // SAFETY: a leaked box.
    if let Some(listener) = unsafe { LISTENER.load(Ordering::Acquire).as_ref() } {
        listener.wake();
    }
}

/// DHCP has an answer, at first or again: after a lost link, at each renewal. It has just
/// named its own DNS servers. Runs with lwIP's core locked.
unsafe extern "C" fn bound(
    _: *mut sys::netif,
    reason: sys::netif_nsc_reason_t,
    _: *const sys::netif_ext_callback_args_t,
) {
    if u32::from(reason) & sys::LWIP_NSC_IPV4_ADDR_VALID != 0 {
        CONFIRMED.store(true, Ordering::Release);
        apply_dns_override();
        crate::clock::network_changed(true);
    }
}

/// Runs with lwIP's core locked.
fn apply_dns_override() {
    if DNS_OVERRIDE[0].load(Ordering::Acquire) != 0 {
        for (index, server) in DNS_OVERRIDE.iter().enumerate() {
            set_dns_server(index, server.load(Ordering::Acquire));
        }
    }
}

/// Sets a name server by its address in network byte order; 0 removes it. Runs with lwIP's core
/// locked.
fn set_dns_server(index: usize, address: u32) {
    let server = sys::ip_addr_t { addr: address };
    // SAFETY: the core is locked; the address is copied.
    unsafe { sys::dns_setserver(index as u8, &server) };
}
