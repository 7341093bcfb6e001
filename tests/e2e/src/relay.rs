//! A relay between the device and a server: the network as it can be.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::SockRef;

/// How often a connection's threads look whether they shall end.
const POLL: Duration = Duration::from_millis(10);

/// One connection, on both of its sides. When the last owner lets go of it, it is closed.
#[derive(Debug)]
struct Link {
    device: TcpStream,
    server: TcpStream,
    over: AtomicBool,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    stalled: AtomicBool,
    target: AtomicU16,
    /// Bytes passed on, both ways.
    carried: AtomicU64,
    /// When the device connected.
    attempts: Mutex<Vec<Instant>>,
    links: Mutex<Vec<Arc<Link>>>,
}

/// Passes connections on from a port of its own; stops when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Relay {
    /// Passes connections on to `target`, a port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("the relay's address");
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            target: AtomicU16::new(target),
            carried: AtomicU64::new(0),
            attempts: Mutex::default(),
            links: Mutex::default(),
        });
        let state = Arc::clone(&shared);
        let acceptor = std::thread::spawn(move || accept(&listener, &state));
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// The relay's port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Passes later connections on to another port.
    pub fn set_target(&self, target: u16) {
        self.shared.target.store(target, Ordering::Release);
    }

    /// Holds back every byte in both directions, or lets them flow again. The connections
    /// stay: to either side the other one has gone silent.
    pub fn stall(&self, stalled: bool) {
        self.shared.stalled.store(stalled, Ordering::Release);
    }

    /// Breaks all connections by a TCP reset, in both directions.
    pub fn reset(&self) {
        for link in lock(&self.shared.links).drain(..) {
            for side in [&link.device, &link.server] {
                // Closing drops what is unsent and sends RST.
                let _ = SockRef::from(side).set_linger(Some(Duration::ZERO));
            }
            link.over.store(true, Ordering::Release);
        }
    }

    /// Ends all connections in order (FIN), in both directions.
    pub fn close(&self) {
        for link in lock(&self.shared.links).drain(..) {
            link.over.store(true, Ordering::Release);
        }
    }

    /// Bytes passed on so far, both ways together.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.shared.carried.load(Ordering::Acquire)
    }

    /// When the device connected, so far.
    #[must_use]
    pub fn attempts(&self) -> Vec<Instant> {
        lock(&self.shared.attempts).clone()
    }

    /// Fails unless there was about a second at least between any two attempts to connect:
    /// AWS IoT takes one CONNECT per second.
    ///
    /// # Panics
    /// When two were closer.
    #[track_caller]
    pub fn assert_spaced(&self) {
        // The emulator's clock follows the host's, but not to the millisecond.
        const LEAST: Duration = Duration::from_millis(950);
        let attempts = self.attempts();
        for pair in attempts.windows(2) {
            let gap = pair[1] - pair[0];
            assert!(gap >= LEAST, "two attempts within {gap:?}");
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        self.close();
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// A thread that panicked leaves nothing half done in these lists.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for device in listener.incoming() {
        if shared.stop.load(Ordering::Acquire) {
            return;
        }
        let Ok(device) = device else { continue };
        lock(&shared.attempts).push(Instant::now());
        // Held until the link is in the list: once the server has seen the connection, it can
        // be reset.
        let mut links = lock(&shared.links);
        // Those that ended by themselves are held by nobody else.
        links.retain(|link| Arc::strong_count(link) > 1);
        let target = (Ipv4Addr::LOCALHOST, shared.target.load(Ordering::Acquire));
        match TcpStream::connect(target) {
            Ok(server) => links.push(start_link(shared, device, server)),
            // As near to a refused connection as a relay comes.
            Err(_) => {
                let _ = SockRef::from(&device).set_linger(Some(Duration::ZERO));
            }
        }
    }
}

fn start_link(shared: &Arc<Shared>, device: TcpStream, server: TcpStream) -> Arc<Link> {
    for side in [&device, &server] {
        // Without these the pumps would never look at their flags; the device's small
        // packets must not wait for each other.
        side.set_read_timeout(Some(POLL)).expect("a read timeout");
        side.set_nodelay(true).expect("no delay");
    }
    let link = Arc::new(Link { device, server, over: AtomicBool::new(false) });
    for towards_server in [true, false] {
        let (shared, link) = (Arc::clone(shared), Arc::clone(&link));
        std::thread::spawn(move || {
            let (from, to) = match towards_server {
                true => (&link.device, &link.server),
                false => (&link.server, &link.device),
            };
            // Broken or ended: the other side hears of it. A link that the test has ended is
            // closed as the test wanted, by its last owner.
            let _ = pump(&shared, &link, from, to);
            if !link.over.load(Ordering::Acquire) {
                let _ = to.shutdown(Shutdown::Write);
            }
        });
    }
    link
}

/// Copies bytes one way until the end.
fn pump(
    shared: &Shared,
    link: &Link,
    mut from: &TcpStream,
    mut to: &TcpStream,
) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    while !link.over.load(Ordering::Acquire) {
        if shared.stalled.load(Ordering::Acquire) {
            std::thread::sleep(POLL);
            continue;
        }
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                // What came just before the stall belongs to it.
                while shared.stalled.load(Ordering::Acquire) && !link.over.load(Ordering::Acquire) {
                    std::thread::sleep(POLL);
                }
                // Counted first: whoever has received them finds them counted.
                shared.carried.fetch_add(length as u64, Ordering::AcqRel);
                to.write_all(&buffer[..length])?;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connected() -> (Relay, TcpStream, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::start(server.local_addr().unwrap().port());
        let device = TcpStream::connect(relay.address).unwrap();
        let (server, _) = server.accept().unwrap();
        for side in [&device, &server] {
            side.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
        (relay, device, server)
    }

    fn receive(mut stream: &TcpStream) -> std::io::Result<Vec<u8>> {
        let mut buffer = [0; 64];
        let length = stream.read(&mut buffer)?;
        Ok(buffer[..length].to_vec())
    }

    #[test]
    fn bytes_pass_both_ways_unless_stalled() {
        let (relay, mut device, mut server) = connected();
        device.write_all(b"up").unwrap();
        assert_eq!(receive(&server).unwrap(), b"up");
        server.write_all(b"down").unwrap();
        assert_eq!(receive(&device).unwrap(), b"down");
        relay.stall(true);
        device.write_all(b"more").unwrap();
        server.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(receive(&server).is_err());
        relay.stall(false);
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(receive(&server).unwrap(), b"more");
        assert_eq!(relay.attempts().len(), 1);
        assert_eq!(relay.carried(), "updownmore".len() as u64);
    }

    #[test]
    fn reset_and_close_differ() {
        let (relay, device, server) = connected();
        relay.reset();
        for side in [&device, &server] {
            assert_eq!(receive(side).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        let (relay, device, server) = connected();
        relay.close();
        for side in [&device, &server] {
            assert_eq!(receive(side).unwrap(), b"");
        }
    }

    #[test]
    fn one_side_hears_of_the_others_end() {
        let (_relay, device, server) = connected();
        drop(server);
        assert_eq!(receive(&device).unwrap(), b"");
    }
}
