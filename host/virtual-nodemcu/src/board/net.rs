//! The network behind the port: libslirp in this process, as QEMU uses it.
//!
//! The board gets 10.0.2.15 by DHCP, the host is 10.0.2.2, a name server 10.0.2.3.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::Instant;

use libslirp::{Context, Handler, PollEvents};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A network with the host in it.
pub struct Net {
    context: Context<Rc<RefCell<Ends>>>,
    ends: Rc<RefCell<Ends>>,
}

/// What libslirp asks of its surroundings.
struct Ends {
    start: Instant,
    to_board: VecDeque<Vec<u8>>,
}

impl Handler for Ends {
    /// Only IPv6 uses timers, and that is off.
    type Timer = ();

    fn clock_get_ns(&mut self) -> i64 {
        i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    fn send_packet(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.to_board.push_back(buf.to_vec());
        Ok(buf.len())
    }

    fn register_poll_fd(&mut self, _fd: RawFd) {}

    fn unregister_poll_fd(&mut self, _fd: RawFd) {}

    fn guest_error(&mut self, msg: &str) {
        let _ = writeln!(io::stderr(), "virtual-nodemcu: network: {msg}");
    }

    fn notify(&mut self) {}

    fn timer_new(&mut self, _func: Box<dyn FnMut()>) -> Box<()> {
        Box::new(())
    }

    fn timer_mod(&mut self, _timer: &mut Box<()>, _expire_time: i64) {}

    fn timer_free(&mut self, _timer: Box<()>) {}
}

impl Default for Net {
    fn default() -> Self {
        Self::new()
    }
}

impl Net {
    /// A network of its own, shared with no other board.
    #[must_use]
    pub fn new() -> Self {
        let ends = Rc::new(RefCell::new(Ends { start: Instant::now(), to_board: VecDeque::new() }));
        let context = Context::new(
            false,
            true,
            Ipv4Addr::new(10, 0, 2, 0),
            Ipv4Addr::new(255, 255, 255, 0),
            Ipv4Addr::new(10, 0, 2, 2),
            false,
            Ipv6Addr::UNSPECIFIED,
            64,
            Ipv6Addr::UNSPECIFIED,
            None,
            None,
            None,
            None,
            Ipv4Addr::new(10, 0, 2, 15),
            Ipv4Addr::new(10, 0, 2, 3),
            Ipv6Addr::UNSPECIFIED,
            Vec::new(),
            None,
            Rc::clone(&ends),
        );
        Self { context, ends }
    }

    /// A frame from the board.
    pub fn send(&mut self, frame: &[u8]) {
        self.context.input(frame);
    }

    /// Lets the host's sockets work, without waiting; `receive` gets the frames for the board.
    pub fn poll(&mut self, mut receive: impl FnMut(&[u8])) {
        let mut wanted: Vec<(RawFd, PollFlags)> = Vec::new();
        let mut timeout = 0;
        self.context.pollfds_fill(&mut timeout, |fd, events| {
            wanted.push((fd, flags(&events)));
            wanted.len() as i32 - 1
        });
        let mut polled: Vec<PollFd> = wanted
            .iter()
            // SAFETY: libslirp keeps its sockets open at least until pollfds_poll below.
            .map(|(fd, flags)| PollFd::new(unsafe { BorrowedFd::borrow_raw(*fd) }, *flags))
            .collect();
        let failed = poll(&mut polled, PollTimeout::ZERO).is_err();
        let results: Vec<PollFlags> =
            polled.iter().map(|p| p.revents().unwrap_or(PollFlags::empty())).collect();
        self.context.pollfds_poll(failed, |index| {
            results.get(index as usize).map_or_else(PollEvents::empty, |flags| events(*flags))
        });
        // Taken out first: a frame's receiver must not find the cell borrowed.
        let frames = std::mem::take(&mut self.ends.borrow_mut().to_board);
        for frame in frames {
            receive(&frame);
        }
    }
}

fn flags(events: &PollEvents) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::POLLIN, events.has_in());
    flags.set(PollFlags::POLLOUT, events.has_out());
    flags.set(PollFlags::POLLPRI, events.has_pri());
    flags
}

fn events(flags: PollFlags) -> PollEvents {
    let mut events = PollEvents::empty();
    for (flag, event) in [
        (PollFlags::POLLIN, PollEvents::poll_in()),
        (PollFlags::POLLOUT, PollEvents::poll_out()),
        (PollFlags::POLLPRI, PollEvents::poll_pri()),
        (PollFlags::POLLERR, PollEvents::poll_err()),
        (PollFlags::POLLHUP, PollEvents::poll_hup()),
    ] {
        if flags.contains(flag) {
            events |= event;
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_answers_arp_for_10_0_2_2() {
        let mut net = Net::new();
        let mac = [0x5C, 0xCF, 0x7F, 1, 2, 3];
        let mut request = vec![0xFF; 6];
        request.extend(mac);
        request.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        request.extend(mac);
        request.extend([10, 0, 2, 15]);
        request.extend([0; 6]);
        request.extend([10, 0, 2, 2]);
        net.send(&request);
        let mut answers = Vec::new();
        net.poll(|frame| answers.push(frame.to_vec()));
        assert!(
            answers
                .iter()
                .any(|a| a[..6] == mac && a[12..14] == [8, 6] && a[28..32] == [10, 0, 2, 2])
        );
    }

    /// The sum that IP and UDP headers carry.
    fn checksum(bytes: &[u8]) -> [u8; 2] {
        let sum: u32 =
            bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let folded = (sum & 0xFFFF) + (sum >> 16);
        (!(folded + (folded >> 16)) as u16).to_be_bytes()
    }

    /// What a station without an address broadcasts to find a DHCP server.
    fn discover(mac: [u8; 6]) -> Vec<u8> {
        let mut dhcp = vec![1, 1, 6, 0, 0xDE, 0xAD, 0xBE, 0xEF];
        dhcp.resize(28, 0);
        dhcp.extend(mac);
        dhcp.resize(236, 0);
        // Magic cookie; message type DISCOVER; end.
        dhcp.extend([99, 130, 83, 99, 53, 1, 1, 255]);
        let length = |header: usize| ((header + dhcp.len()) as u16).to_be_bytes();
        let udp = [&[0, 68, 0, 67][..], &length(8), &[0, 0]].concat();
        let mut ip = [&[0x45, 0][..], &length(28), &[0, 0, 0, 0, 64, 17, 0, 0]].concat();
        ip.extend([0, 0, 0, 0, 255, 255, 255, 255]);
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum);
        [&[0xFF; 6][..], &mac, &[8, 0], &ip, &udp, &dhcp].concat()
    }

    #[test]
    fn dhcp_offers_10_0_2_15() {
        let mac = [0x5C, 0xCF, 0x7F, 1, 2, 3];
        let mut net = Net::new();
        net.send(&discover(mac));
        let mut offers = Vec::new();
        net.poll(|frame| offers.push(frame.to_vec()));
        let offer = offers.iter().find(|f| f.len() > 282 && f[12..14] == [8, 0]).expect("a frame");
        let dhcp = &offer[42..];
        assert_eq!(dhcp[..8], [2, 1, 6, 0, 0xDE, 0xAD, 0xBE, 0xEF], "a reply to ours");
        assert_eq!(dhcp[16..20], [10, 0, 2, 15]);
        assert_eq!(dhcp[28..34], mac);
        let options = &dhcp[240..];
        assert_eq!(options[..3], [53, 1, 2], "an OFFER");
        let holds = |option: &[u8]| options.windows(option.len()).any(|part| part == option);
        assert!(holds(&[3, 4, 10, 0, 2, 2]), "router: {options:?}");
        assert!(holds(&[6, 4, 10, 0, 2, 3]), "name server: {options:?}");
    }

    #[test]
    fn hostile_frames_are_survived() {
        let mac = [0x5C, 0xCF, 0x7F, 1, 2, 3];
        let mut net = Net::new();
        let mut state = 7u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        let good = discover(mac);
        for _ in 0..20_000 {
            // Shortest and longest as the port lets through; a good frame with a few bytes
            // changed, or nonsense behind a header that is taken seriously.
            let mut frame = good.clone();
            if random() % 2 == 0 {
                let length = 14 + random() as usize % 1501;
                frame = (0..length).map(|_| random() as u8).collect();
                let kinds = [[8, 0], [8, 6], [0x86, 0xDD], [0, 0]];
                frame[12..14].copy_from_slice(&kinds[random() as usize % 4]);
                if length > 38 {
                    frame[14] = 0x45;
                    frame[23] = [1, 6, 17][random() as usize % 3];
                    // To this machine's port 9, where nobody listens: no one else is bothered.
                    let host = [2, 15, 255][random() as usize % 3];
                    frame[30..34].copy_from_slice(&[10, 0, 2, host]);
                    frame[36..38].copy_from_slice(&[0, 9]);
                }
            } else {
                for _ in 0..1 + random() % 4 {
                    let at = random() as usize % 30;
                    frame[at] = random() as u8;
                }
                let length = 14 + random() as usize % (frame.len() - 13);
                frame.truncate(length);
            }
            net.send(&frame);
            net.poll(|_| {});
        }
        net.send(&good);
        let mut offered = false;
        net.poll(|frame| offered |= frame.len() > 282 && frame[58..62] == [10, 0, 2, 15]);
        assert!(offered, "it still works");
    }
}
