//! The network behind the port: libslirp in this process, as QEMU uses it.
//!
//! The board gets 10.0.2.15 by DHCP, the host is 10.0.2.2, a name server 10.0.2.3.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
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
        eprintln!("virtual-nodemcu: network: {msg}");
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
}
