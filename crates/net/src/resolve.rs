//! Looks host names up: all addresses of one, within a time, from all name servers in turn.

use core::ffi::{c_int, c_void};
use core::fmt;
use core::mem::size_of;
use core::net::Ipv4Addr;

use dns::{Addresses, Fault, MAX_ANSWER, Question};
use vendor_sys as sys;

use crate::Core;
use crate::interface::MOST_DNS_SERVERS;

/// Milliseconds that each server has in the first round; doubled with each round up to the most.
const FIRST_WAIT_MS: u32 = 1_000;
const MOST_WAIT_MS: u32 = 4_000;

/// Least port of a question. It is drawn at random, so that together with the question's id it is
/// hard to forge an answer (RFC 5452).
const FIRST_PORT: u16 = 0xC000;

/// Why a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// There is no name server to ask.
    NoServer,
    /// None has answered in time.
    NoAnswer,
    /// What one has answered.
    Answered(Fault),
}

impl fmt::Display for Unresolved {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoServer => write!(out, "no name server is known"),
            Self::NoAnswer => write!(out, "no name server answers"),
            Self::Answered(fault) => write!(out, "{fault}"),
        }
    }
}

impl core::error::Error for Unresolved {}

/// The addresses of `name`, in the order of the name server's answer. Blocks the calling task for
/// at most `timeout_ms`.
///
/// # Errors
/// When there is none.
// Not inlined: the caller's stack is short of what these buffers take.
#[inline(never)]
pub fn resolve(name: &str, timeout_ms: u32) -> Result<Addresses, Unresolved> {
    if let Ok(address) = name.parse::<Ipv4Addr>() {
        return Ok(Addresses::one(address));
    }
    let end = rtos::uptime_ms() + u64::from(timeout_ms);
    let mut wait_ms = FIRST_WAIT_MS;
    let mut last = Unresolved::NoServer;
    loop {
        let mut silent = 0;
        for index in 0..MOST_DNS_SERVERS {
            let Some((address, port)) = server(index) else { continue };
            let left = end.saturating_sub(rtos::uptime_ms());
            if left == 0 {
                return Err(last);
            }
            match ask(name, address, port, wait_ms.min(left as u32)) {
                Ok(addresses) => return Ok(addresses),
                Err(Unresolved::NoAnswer) => {
                    silent += 1;
                    // What another one has said is worth more.
                    if last == Unresolved::NoServer {
                        last = Unresolved::NoAnswer;
                    }
                }
                Err(fault) => last = fault,
            }
        }
        // Who has said no will say it again.
        if silent == 0 {
            return Err(last);
        }
        wait_ms = (wait_ms * 2).min(MOST_WAIT_MS);
    }
}

/// Address in network byte order and port of a name server.
fn server(index: usize) -> Option<(u32, u16)> {
    let _core = Core::lock();
    // SAFETY: the core is locked; there are as many ports as servers.
    let (address, port) =
        unsafe { ((*sys::dns_getserver(index as u8)).addr, sys::net_dns_ports[index]) };
    (address != 0).then_some((address, port))
}

/// A UDP socket of lwIP.
struct Socket(c_int);

impl Socket {
    /// One that hears only this server, on a port that nobody can guess.
    fn towards(address: u32, port: u16) -> Option<Self> {
        // SAFETY: makes a socket; the rest are addresses of this function's own.
        unsafe {
            let socket = sys::lwip_socket(sys::AF_INET as c_int, sys::SOCK_DGRAM as c_int, 0);
            if socket < 0 {
                return None;
            }
            let socket = Self(socket);
            let bind = |port: u16| {
                let own = address_of(0, port);
                sys::lwip_bind(
                    socket.0,
                    as_socket_address(&own),
                    size_of::<sys::sockaddr_in>() as u32,
                ) == 0
            };
            // A port may be in use.
            let bound = (0..4).any(|_| bind(FIRST_PORT | sys::net_random() as u16));
            let peer = address_of(address, port);
            let length = size_of::<sys::sockaddr_in>() as u32;
            (bound && sys::lwip_connect(socket.0, as_socket_address(&peer), length) == 0)
                .then_some(socket)
        }
    }

    fn send(&self, bytes: &[u8]) -> bool {
        // SAFETY: the bytes are readable.
        let sent =
            unsafe { sys::lwip_send(self.0, bytes.as_ptr().cast::<c_void>(), bytes.len() as _, 0) };
        sent as usize == bytes.len()
    }

    /// The next packet, if one comes in time.
    fn receive<'a>(&self, buffer: &'a mut [u8], timeout_ms: u32) -> Option<&'a [u8]> {
        let mut poll = sys::pollfd { fd: self.0, events: sys::POLLIN as i16, ..Default::default() };
        // SAFETY: polls one socket; the buffer is writable.
        let length = unsafe {
            if sys::lwip_poll(&mut poll, 1, timeout_ms as c_int) <= 0 {
                return None;
            }
            let flags = sys::MSG_DONTWAIT as c_int;
            sys::lwip_recv(self.0, buffer.as_mut_ptr().cast(), buffer.len() as _, flags)
        };
        buffer.get(..usize::try_from(length).ok()?)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: made by `lwip_socket`.
        unsafe { sys::lwip_close(self.0) };
    }
}

fn address_of(address: u32, port: u16) -> sys::sockaddr_in {
    sys::sockaddr_in {
        sin_len: size_of::<sys::sockaddr_in>() as u8,
        sin_family: sys::AF_INET as u8,
        sin_port: port.to_be(),
        sin_addr: sys::in_addr { s_addr: address },
        ..Default::default()
    }
}

fn as_socket_address(address: &sys::sockaddr_in) -> *const sys::sockaddr {
    core::ptr::from_ref(address).cast()
}

/// Asks one server once.
fn ask(name: &str, address: u32, port: u16, timeout_ms: u32) -> Result<Addresses, Unresolved> {
    // SAFETY: draws a number.
    let id = unsafe { sys::net_random() } as u16;
    let question = Question::new(name, id).map_err(Unresolved::Answered)?;
    let end = rtos::uptime_ms() + u64::from(timeout_ms);
    let socket = Socket::towards(address, port).filter(|socket| socket.send(question.bytes()));
    let Some(socket) = socket else {
        // There is no way to it now, or no memory: others may be reached, or this one later. Without a
        // wait the caller, who asks again, would keep the CPU until its time is over.
        rtos::CurrentTask::delay(rtos::Duration::ms(timeout_ms));
        return Err(Unresolved::NoAnswer);
    };
    let mut buffer = [0; MAX_ANSWER];
    loop {
        let left = end.saturating_sub(rtos::uptime_ms()) as u32;
        let packet = socket.receive(&mut buffer, left).ok_or(Unresolved::NoAnswer)?;
        match question.addresses(packet) {
            // A forged packet does not end the wait for the right one.
            Err(Fault::NotOurs) if left > 0 => {}
            Err(Fault::NotOurs) => return Err(Unresolved::NoAnswer),
            Err(fault) => return Err(Unresolved::Answered(fault)),
            Ok(addresses) => return Ok(addresses),
        }
    }
}
