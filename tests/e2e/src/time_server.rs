//! A time server that a test can make bad in any way.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cloud::dns::ZONE;

/// How often the thread looks whether it shall end.
const POLL: Duration = Duration::from_millis(50);
/// Seconds between the NTP era (1900) and 1970.
const NTP_TO_UNIX: u64 = 2_208_988_800;

/// Seconds since 1970 by this machine.
///
/// # Panics
/// When its clock is before that.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

/// A good answer to `request` (RFC 4330) that tells `seconds` since 1970.
#[must_use]
pub fn answer(request: &[u8], seconds: u64) -> Vec<u8> {
    let mut packet = vec![0; 48];
    packet[0] = request[0] & 0x38 | 4;
    packet[1] = 2;
    packet[12..16].copy_from_slice(b"TEST");
    packet[24..32].copy_from_slice(&request[40..48]);
    // The seconds wrap in 2036.
    let stamp = ((seconds + NTP_TO_UNIX) & 0xFFFF_FFFF) << 32 | 0x1234_5678;
    packet[32..40].copy_from_slice(&stamp.to_be_bytes());
    packet[40..48].copy_from_slice(&stamp.to_be_bytes());
    packet
}

/// The running server; stops when dropped.
#[derive(Debug)]
pub struct TimeServer {
    port: u16,
    asked: Arc<Mutex<Vec<Instant>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TimeServer {
    /// Answers the n-th request, counted from 0, with what `answers` makes of both.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(
        mut answers: impl FnMut(usize, &[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        socket.set_read_timeout(Some(POLL)).expect("a time-out");
        let port = socket.local_addr().expect("an address").port();
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (noted, ends) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !ends.load(Ordering::Relaxed) {
                let (length, peer) = match socket.recv_from(&mut buffer) {
                    Ok(received) => received,
                    Err(error) => {
                        // A peer that is gone shows as another error; the next one may be there.
                        assert_ne!(error.kind(), ErrorKind::InvalidInput, "{error}");
                        continue;
                    }
                };
                let count = {
                    let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                    noted.push(Instant::now());
                    noted.len() - 1
                };
                if let Some(answer) = answers(count, &buffer[..length]) {
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        Self { port, asked, stop, thread: Some(thread) }
    }

    /// A good one.
    #[must_use]
    pub fn good() -> Self {
        Self::start(|_, request| Some(answer(request, now())))
    }

    /// The server as the device's settings name it; `name` within the local cloud's zone.
    #[must_use]
    pub fn setting(&self, name: &str) -> String {
        format!("{name}.{ZONE}:{}", self.port)
    }

    /// When it was asked, so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Instant> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TimeServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
