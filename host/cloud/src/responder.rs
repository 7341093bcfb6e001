//! A UDP server that answers one datagram with one datagram.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

/// How often the thread looks whether it shall end.
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    silent: AtomicBool,
    answered: AtomicUsize,
}

/// The server's thread; ends when dropped.
#[derive(Debug)]
pub(super) struct Responder {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Answers what arrives at `socket` with what `answer` makes of it.
    pub(super) fn start(
        name: &str,
        socket: UdpSocket,
        mut answer: impl FnMut(&[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> Result<Self> {
        socket.set_read_timeout(Some(POLL))?;
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared::default());
        let state = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let mut buffer = [0; 1500];
                while !state.stop.load(Ordering::Relaxed) {
                    let (length, peer) = match socket.recv_from(&mut buffer) {
                        Ok(received) => received,
                        Err(error)
                            if matches!(
                                error.kind(),
                                ErrorKind::WouldBlock | ErrorKind::TimedOut
                            ) =>
                        {
                            continue;
                        }
                        // A peer that is gone (ICMP port unreachable) shows here; the
                        // next datagram may come from another.
                        Err(_) => continue,
                    };
                    if state.silent.load(Ordering::Relaxed) {
                        continue;
                    }
                    if let Some(reply) = answer(&buffer[..length]) {
                        // Counted first: whoever has the answer finds it counted.
                        state.answered.fetch_add(1, Ordering::SeqCst);
                        if socket.send_to(&reply, peer).is_err() {
                            state.answered.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                }
            })
            .with_context(|| format!("cannot start the {name} thread"))?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn silence(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::Relaxed);
    }

    pub(super) fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, which has been reported already.
            let _ = thread.join();
        }
    }
}
