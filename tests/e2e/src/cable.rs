//! The cable between the board and its network: every frame passes through the test's hands.
//!
//! QEMU's user network, which gives address, names and a way to this machine, is one end; the
//! board is the other. A [`Judge`] may drop, change and add frames, so that it can play a DHCP
//! server, another host or a router.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use board::qemu::EmulatorOptions;
use tempfile::TempDir;

/// How often the threads look whether they shall end.
const POLL: Duration = Duration::from_millis(50);
/// Longest frame in bytes, with room.
const FRAME: usize = 2048;
/// Bytes of a frame that are kept for looking at later.
const KEPT: usize = 400;

/// The address that QEMU's user network gives the board.
pub const BOARD: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The user network's gateway, which is this machine.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The emulated board's hardware address.
pub const BOARD_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
/// To everybody.
pub const BROADCAST_MAC: [u8; 6] = [0xFF; 6];

/// A hardware address that nobody has.
pub const OTHER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x77];

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// From the board to the network.
    Network,
    /// From the network to the board.
    Board,
}

/// Frames of a storm, as the board's neighbours may send them.
#[must_use]
pub fn storm() -> Vec<Frame> {
    let somebody = Ipv4Addr::new(10, 0, 2, 99);
    let broadcast = (BROADCAST_MAC, OTHER_MAC);
    let arp = Arp {
        operation: 1,
        sender_mac: OTHER_MAC,
        sender: somebody,
        target_mac: [0; 6],
        target: Ipv4Addr::new(10, 0, 2, 100),
    };
    let everybody = (Ipv4Addr::BROADCAST, 1900);
    vec![
        Frame::arp(BROADCAST_MAC, &arp),
        Frame::arp(BROADCAST_MAC, &Arp { target: BOARD, ..arp }),
        Frame::udp(broadcast, (somebody, 1900), everybody, &[b'x'; 1400]),
        Frame::udp(broadcast, (somebody, 67), (Ipv4Addr::BROADCAST, 68), &[2; 300]),
        Frame::udp(
            ([1, 0, 0x5E, 0x7F, 0xFF, 0xFA], OTHER_MAC),
            (somebody, 1900),
            (Ipv4Addr::new(239, 255, 255, 250), 1900),
            &[b'x'; 200],
        ),
        Frame::new(BROADCAST_MAC, OTHER_MAC, 0x88CC, &[0; 100]),
    ]
}

/// Decides what becomes of a frame: returns it, changed or not, or `None` to drop it. May send
/// frames of its own by the [`Plug`].
pub type Judge = Box<dyn FnMut(To, Frame, &Plug) -> Option<Frame> + Send>;

/// An Ethernet frame, without its check sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(pub Vec<u8>);

impl Frame {
    /// A frame with this content.
    #[must_use]
    pub fn new(to: [u8; 6], from: [u8; 6], kind: u16, content: &[u8]) -> Self {
        let mut bytes = [&to[..], &from, &kind.to_be_bytes(), content].concat();
        bytes.resize(bytes.len().max(60), 0);
        Self(bytes)
    }

    /// An ARP packet (RFC 826) in a frame to `to`.
    #[must_use]
    pub fn arp(to: [u8; 6], arp: &Arp) -> Self {
        let mut content = vec![0, 1, 8, 0, 6, 4, 0, u8::try_from(arp.operation).unwrap_or(0)];
        content.extend(arp.sender_mac);
        content.extend(arp.sender.octets());
        content.extend(arp.target_mac);
        content.extend(arp.target.octets());
        Self::new(to, arp.sender_mac, 0x0806, &content)
    }

    /// A UDP datagram over IPv4, without a UDP checksum.
    #[must_use]
    pub fn udp(
        (to, from): ([u8; 6], [u8; 6]),
        source: (Ipv4Addr, u16),
        target: (Ipv4Addr, u16),
        data: &[u8],
    ) -> Self {
        let udp_length = u16::try_from(8 + data.len()).expect("a datagram");
        let mut ip = vec![0x45, 0];
        ip.extend((20 + udp_length).to_be_bytes());
        ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        ip.extend(source.0.octets());
        ip.extend(target.0.octets());
        let sum: u32 = ip.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum();
        let sum = (sum & 0xFFFF) + (sum >> 16);
        let check = !u16::try_from((sum & 0xFFFF) + (sum >> 16)).expect("16 bits");
        ip[10..12].copy_from_slice(&check.to_be_bytes());
        for word in [source.1, target.1, udp_length, 0] {
            ip.extend(word.to_be_bytes());
        }
        ip.extend(data);
        Self::new(to, from, 0x0800, &ip)
    }

    fn half(&self, at: usize) -> Option<u16> {
        self.0.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]))
    }

    /// Hardware address of who sent it.
    #[must_use]
    pub fn sender(&self) -> [u8; 6] {
        self.0[6..12].try_into().expect("six bytes")
    }

    /// What it holds if it is ARP.
    #[must_use]
    pub fn as_arp(&self) -> Option<Arp> {
        let address = |at: usize| {
            Ipv4Addr::from(<[u8; 4]>::try_from(&self.0[at..at + 4]).expect("four bytes"))
        };
        (self.half(12) == Some(0x0806) && self.0.len() >= 42).then(|| Arp {
            operation: self.half(20).expect("long enough"),
            sender_mac: self.0[22..28].try_into().expect("six bytes"),
            sender: address(28),
            target_mac: self.0[32..38].try_into().expect("six bytes"),
            target: address(38),
        })
    }

    /// Source and destination port, and data, if it is UDP over IPv4.
    #[must_use]
    pub fn as_udp(&self) -> Option<(u16, u16, &[u8])> {
        let is_udp = self.half(12) == Some(0x0800) && self.0.get(23) == Some(&17);
        let at = 14 + usize::from(self.0.get(14)? & 15) * 4;
        let data = self.0.get(at + 8..).filter(|_| is_udp)?;
        Some((self.half(at)?, self.half(at + 2)?, data))
    }

    /// The DHCP message type (option 53), if it is DHCP from or to a client.
    #[must_use]
    pub fn as_dhcp(&self) -> Option<u8> {
        let (source, target, data) = self.as_udp()?;
        if ![(67, 68), (68, 67)].contains(&(source, target)) {
            return None;
        }
        dhcp_option(data, 53).and_then(|value| value.first().copied())
    }
}

/// The value of a DHCP option.
#[must_use]
pub fn dhcp_option(message: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut options = message.get(240..)?;
    loop {
        match options {
            [0, rest @ ..] => options = rest,
            [code, length, rest @ ..] if *code != 255 => {
                let value = rest.get(..usize::from(*length))?;
                if *code == wanted {
                    return Some(value);
                }
                options = &rest[value.len()..];
            }
            _ => return None,
        }
    }
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 asks, 2 answers.
    pub operation: u16,
    /// Who sends it.
    pub sender_mac: [u8; 6],
    /// Who sends it.
    pub sender: Ipv4Addr,
    /// Whom it is for; zeros in a question.
    pub target_mac: [u8; 6],
    /// Whom it is for, or who is looked for.
    pub target: Ipv4Addr,
}

/// Sends frames into either end.
#[derive(Debug)]
pub struct Plug {
    board: UnixDatagram,
    network: UnixDatagram,
    board_path: PathBuf,
    network_path: PathBuf,
}

impl Plug {
    /// Sends a frame; lost when that end is not there (yet). Waits while it has no room.
    pub fn send(&self, to: To, frame: &Frame) {
        let _ = match to {
            To::Board => self.board.send_to(&frame.0, &self.board_path),
            To::Network => self.network.send_to(&frame.0, &self.network_path),
        };
    }
}

/// A frame that passed by or was dropped.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When.
    pub at: Instant,
    /// Where it was going.
    pub to: To,
    /// Its beginning.
    pub frame: Frame,
}

struct Shared {
    stop: AtomicBool,
    plug: Plug,
    judge: Mutex<Judge>,
    seen: Mutex<Vec<Seen>>,
}

/// The cable of one board; pulled out when dropped.
pub struct Cable {
    folder: TempDir,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Cable {
    /// A cable that passes everything on until [`Cable::judge`].
    ///
    /// # Panics
    /// When there is no room for its sockets.
    #[must_use]
    pub fn new() -> Self {
        let folder = process::scratch::folder().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let bind = |name: &str| {
            let socket = UnixDatagram::bind(path(name)).expect("a socket");
            socket.set_read_timeout(Some(POLL)).expect("a time-out");
            socket
        };
        let (from_board, from_network) = (bind("from-board"), bind("from-network"));
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            plug: Plug {
                board: UnixDatagram::unbound().expect("a socket"),
                network: UnixDatagram::unbound().expect("a socket"),
                board_path: path("board"),
                network_path: path("network"),
            },
            judge: Mutex::new(Box::new(|_, frame, _| Some(frame))),
            seen: Mutex::default(),
        });
        let threads = [(from_board, To::Network), (from_network, To::Board)]
            .map(|(socket, to)| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || carry(&socket, to, &shared))
            })
            .into();
        Self { folder, shared, threads }
    }

    /// Puts it between the board and the user network.
    pub fn plug_in(&self, options: &mut EmulatorOptions) {
        let ends = |id: &str, here: &str, there: &str| {
            let path = |name: &str| self.folder.path().join(name).display().to_string();
            format!(
                "dgram,id={id},local.type=unix,local.path={},remote.type=unix,remote.path={}",
                path(here),
                path(there)
            )
        };
        options.network = false;
        for argument in [
            "-net",
            "nic,model=open_eth,netdev=gn",
            "-netdev",
            &ends("gn", "board", "from-board"),
            "-netdev",
            "user,id=wan",
            "-netdev",
            &ends("cable", "network", "from-network"),
            "-netdev",
            "hubport,id=end1,hubid=1,netdev=wan",
            "-netdev",
            "hubport,id=end2,hubid=1,netdev=cable",
        ] {
            options.further.push(argument.into());
        }
    }

    /// Lets `judge` decide from now on.
    pub fn judge(&self, judge: impl FnMut(To, Frame, &Plug) -> Option<Frame> + Send + 'static) {
        *lock(&self.shared.judge) = Box::new(judge);
    }

    /// Sends a frame of the test's own.
    pub fn send(&self, to: To, frame: &Frame) {
        self.shared.plug.send(to, frame);
    }

    /// All frames that came from either end so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// How many frames came so far for which `is_one` holds.
    #[must_use]
    pub fn count(&self, is_one: impl Fn(&Seen) -> bool) -> usize {
        lock(&self.shared.seen).iter().filter(|seen| is_one(seen)).count()
    }
}

impl Default for Cable {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Cable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cable").finish_non_exhaustive()
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A thread that panicked leaves nothing half done in these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn carry(socket: &UnixDatagram, to: To, shared: &Shared) {
    let mut buffer = [0; FRAME];
    while !shared.stop.load(Ordering::Acquire) {
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                continue;
            }
            Err(_) => return,
        };
        let frame = Frame(buffer[..length].to_vec());
        let beginning = Frame(buffer[..length.min(KEPT)].to_vec());
        lock(&shared.seen).push(Seen { at: Instant::now(), to, frame: beginning });
        let passed = (lock(&shared.judge))(to, frame, &shared.plug);
        if let Some(frame) = passed {
            shared.plug.send(to, &frame);
        }
    }
}
