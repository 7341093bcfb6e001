//! A UDP server that answers one datagram with one datagram.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

/// How often the thread looks whether it shall end.
const POLL: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Shared<S> {
    stop: AtomicBool,
    silent: AtomicBool,
    answered: AtomicUsize,
    state: S,
}

/// The server's thread; ends when dropped. What it answers depends on a state, which may change.
#[derive(Debug)]
pub struct Responder<S> {
    address: SocketAddr,
    shared: Arc<Shared<S>>,
    thread: Option<JoinHandle<()>>,
}

impl<S: Send + Sync + 'static> Responder<S> {
    /// Answers what arrives at a free port of 127.0.0.1 with what `answer` makes of it.
    pub(super) fn serve(
        name: &str,
        state: S,
        answer: fn(&[u8], &S) -> Option<Vec<u8>>,
    ) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
            .with_context(|| format!("no port for {name}"))?;
        socket.set_read_timeout(Some(POLL))?;
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            state,
        });
        let name = name.to_lowercase();
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.answer_all(&socket, answer)
            })
            .with_context(|| format!("cannot start the {name} thread"))?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// What the answers depend on.
    pub(super) fn state(&self) -> &S {
        &self.shared.state
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops or resumes answering; while silent every question is lost.
    pub fn silence(&self, silent: bool) {
        self.shared.silent.store(silent, Ordering::Relaxed);
    }

    /// Questions answered so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.shared.answered.load(Ordering::SeqCst)
    }
}

impl<S> Shared<S> {
    fn answer_all(&self, socket: &UdpSocket, answer: fn(&[u8], &S) -> Option<Vec<u8>>) {
        let mut buffer = [0; 1500];
        while !self.stop.load(Ordering::Relaxed) {
            // Nothing came in time, or a peer is gone (ICMP port unreachable): the next datagram may
            // come from another.
            let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
            if self.silent.load(Ordering::Relaxed) {
                continue;
            }
            if let Some(reply) = answer(&buffer[..length], &self.state) {
                // Counted first: whoever has the answer finds it counted.
                self.answered.fetch_add(1, Ordering::SeqCst);
                if socket.send_to(&reply, peer).is_err() {
                    self.answered.fetch_sub(1, Ordering::SeqCst);
                }
            }
        }
    }
}

impl<S> Drop for Responder<S> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It can only have panicked, which has been reported already.
            let _ = thread.join();
        }
    }
}
