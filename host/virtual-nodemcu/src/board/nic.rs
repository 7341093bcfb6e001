//! The network port: a paravirtual interface at an address that the chip does not use.
//!
//! The radio is not modelled; this stands in its place. Registers are described in
//! `docs/virtual-nodemcu.md`.

use std::collections::VecDeque;

use crate::snapshot::{check, keep};

/// Where the registers are.
pub const BASE: u32 = 0x6FF0_0000;

/// Register offsets.
pub mod reg {
    #![allow(missing_docs)]
    pub const ID: u32 = 0x00;
    pub const MAC_LO: u32 = 0x04;
    pub const MAC_HI: u32 = 0x08;
    pub const STATUS: u32 = 0x0C;
    pub const INT_ENA: u32 = 0x10;
    pub const INT_CLR: u32 = 0x14;
    pub const RX_LEN: u32 = 0x18;
    pub const DMA_ADDR: u32 = 0x1C;
    pub const RX_COPY: u32 = 0x20;
    pub const RX_DONE: u32 = 0x24;
    pub const TX_COPY: u32 = 0x28;
    pub const TX_SEND: u32 = 0x2C;
    pub const ERRORS: u32 = 0x30;
}

/// What [`reg::ID`] reads: "VINC" in memory order.
pub const ID: u32 = 0x434E_4956;
/// Longest frame, without checksum.
pub const MAX_FRAME: usize = 1514;
/// Shortest frame: its header.
pub const MIN_FRAME: usize = 14;
/// Received frames that may wait.
pub const QUEUE: usize = 64;

const STATUS_LINK: u32 = 1 << 0;
const STATUS_RECEIVED: u32 = 1 << 1;
const STATUS_LINK_CHANGED: u32 = 1 << 2;

/// A write that the caller carries out, because it touches memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copy {
    /// Up to so many bytes of the oldest frame go to memory.
    Receive(usize),
    /// So many bytes of memory are appended to the frame being built.
    Transmit(usize),
}

/// The port.
#[derive(Debug, Default)]
pub struct Nic {
    mac: [u8; 6],
    link: bool,
    link_changed: bool,
    enabled: u32,
    address: u32,
    received: VecDeque<Vec<u8>>,
    /// Bytes of the oldest frame already copied.
    copied: usize,
    building: Vec<u8>,
    overlong: bool,
    sent: Vec<Vec<u8>>,
    errors: u32,
}

// The cable is whoever's loads it.
keep!(
    Nic { mac, link_changed, enabled, address, received, copied, building, overlong, sent, errors }
        but { link },
    |nic: &Nic| check(
        nic.copied <= nic.received.front().map_or(0, Vec::len)
            && nic.building.len() <= MAX_FRAME
            && nic.received.len() <= QUEUE
            && nic.received.iter().chain(&nic.sent).all(|f| (MIN_FRAME..=MAX_FRAME).contains(&f.len())),
        "the network port has no such frame"
    )
);

impl Nic {
    /// The port with its address, link down.
    #[must_use]
    pub fn new(mac: [u8; 6]) -> Self {
        Self { mac, ..Self::default() }
    }

    /// A reset of the chip: frames are lost, the cable stays.
    pub fn reset(&mut self) {
        *self = Self { link: self.link, ..Self::new(self.mac) };
    }

    /// Plugs or unplugs the cable. Frames that wait are lost with the link.
    pub fn set_link(&mut self, up: bool) {
        if self.link != up {
            self.link = up;
            self.link_changed = true;
            if !up {
                self.received.clear();
                self.copied = 0;
            }
        }
    }

    /// Whether the port asks for its interrupt.
    #[must_use]
    pub fn interrupt(&self) -> bool {
        self.status() & self.enabled & (STATUS_RECEIVED | STATUS_LINK_CHANGED) != 0
    }

    /// A frame from the network; dropped while the link is down or too many wait.
    pub fn receive(&mut self, frame: &[u8]) {
        let fits = (MIN_FRAME..=MAX_FRAME).contains(&frame.len());
        if self.link && fits && self.received.len() < QUEUE {
            self.received.push_back(frame.to_vec());
        }
    }

    /// Frames sent since the last call.
    pub fn take_sent(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.sent)
    }

    /// Whether frames wait to be taken by [`Nic::take_sent`].
    #[must_use]
    pub fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Reads the register at `offset`.
    #[must_use]
    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            reg::ID => ID,
            reg::MAC_LO => u32::from_le_bytes([self.mac[0], self.mac[1], self.mac[2], self.mac[3]]),
            reg::MAC_HI => u32::from_le_bytes([self.mac[4], self.mac[5], 0, 0]),
            reg::STATUS => self.status(),
            reg::INT_ENA => self.enabled,
            reg::RX_LEN => self.remaining().len() as u32,
            reg::DMA_ADDR => self.address,
            reg::ERRORS => self.errors,
            _ => 0,
        }
    }

    /// Writes the register at `offset`; a copy is for the caller to do.
    pub fn write(&mut self, offset: u32, value: u32) -> Option<Copy> {
        match offset {
            reg::INT_ENA => self.enabled = value & (STATUS_RECEIVED | STATUS_LINK_CHANGED),
            reg::INT_CLR => self.link_changed &= value & STATUS_LINK_CHANGED == 0,
            reg::DMA_ADDR => self.address = value,
            reg::RX_COPY => {
                return Some(Copy::Receive(self.remaining().len().min(value as usize)));
            }
            reg::RX_DONE => {
                self.received.pop_front();
                self.copied = 0;
            }
            reg::TX_COPY => {
                if self.building.len().saturating_add(value as usize) <= MAX_FRAME {
                    return Some(Copy::Transmit(value as usize));
                }
                self.overlong = true;
            }
            reg::TX_SEND => {
                let frame = std::mem::take(&mut self.building);
                let overlong = std::mem::take(&mut self.overlong);
                if value & 1 != 0 {
                    if overlong || frame.len() < MIN_FRAME {
                        self.errors += 1;
                    } else if self.link {
                        self.sent.push(frame);
                    }
                }
            }
            _ => {}
        }
        None
    }

    /// The address of the next copy.
    #[must_use]
    pub fn address(&self) -> u32 {
        self.address
    }

    /// What is left of the oldest frame.
    #[must_use]
    pub fn remaining(&self) -> &[u8] {
        self.received.front().map_or(&[], |frame| &frame[self.copied..])
    }

    /// `count` bytes of the oldest frame went to memory.
    pub fn copied(&mut self, count: usize) {
        self.copied += count;
        self.address = self.address.wrapping_add(count as u32);
    }

    /// `bytes` of memory join the frame being built.
    pub fn append(&mut self, bytes: &[u8]) {
        self.building.extend_from_slice(bytes);
        self.address = self.address.wrapping_add(bytes.len() as u32);
    }

    /// A copy whose address is not in DRAM.
    pub fn refuse(&mut self) {
        self.errors += 1;
    }

    fn status(&self) -> u32 {
        (u32::from(self.link) * STATUS_LINK)
            | (u32::from(!self.received.is_empty()) * STATUS_RECEIVED)
            | (u32::from(self.link_changed) * STATUS_LINK_CHANGED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked() -> Nic {
        let mut nic = Nic::new([1, 2, 3, 4, 5, 6]);
        nic.set_link(true);
        nic
    }

    #[test]
    fn frames_come_in_pieces() {
        let mut nic = linked();
        nic.write(reg::INT_CLR, STATUS_LINK_CHANGED);
        nic.write(reg::INT_ENA, STATUS_RECEIVED);
        nic.receive(&[9; 20]);
        assert!(nic.interrupt());
        assert_eq!(nic.write(reg::RX_COPY, 15), Some(Copy::Receive(15)));
        nic.copied(15);
        assert_eq!(nic.read(reg::RX_LEN), 5);
        assert_eq!(nic.write(reg::RX_COPY, 15), Some(Copy::Receive(5)));
        nic.write(reg::RX_DONE, 1);
        assert!(!nic.interrupt());
        assert_eq!(nic.read(reg::RX_LEN), 0);
    }

    #[test]
    fn refuses_what_is_no_frame() {
        let mut nic = linked();
        nic.write(reg::TX_SEND, 1);
        assert_eq!(nic.read(reg::ERRORS), 1, "empty");
        nic.append(&[0; MAX_FRAME]);
        assert_eq!(nic.write(reg::TX_COPY, 1), None);
        nic.write(reg::TX_SEND, 1);
        assert_eq!(nic.read(reg::ERRORS), 2, "too long");
        assert!(!nic.has_sent());
        assert_eq!(nic.write(reg::TX_COPY, u32::MAX), None);
        nic.write(reg::TX_SEND, 0);
        nic.append(&[0; MIN_FRAME]);
        nic.write(reg::TX_SEND, 1);
        assert_eq!(nic.take_sent(), [vec![0; MIN_FRAME]]);
        nic.receive(&[0; MIN_FRAME - 1]);
        nic.receive(&[0; MAX_FRAME + 1]);
        assert_eq!(nic.read(reg::RX_LEN), 0);
    }

    #[test]
    fn the_link_changes_and_the_queue_is_bounded() {
        let mut nic = Nic::new([0; 6]);
        nic.write(reg::INT_ENA, STATUS_LINK_CHANGED);
        nic.receive(&[0; 60]);
        assert_eq!(nic.read(reg::STATUS), 0, "link down");
        nic.set_link(true);
        assert!(nic.interrupt());
        nic.write(reg::INT_CLR, STATUS_LINK_CHANGED);
        assert!(!nic.interrupt());
        for _ in 0..QUEUE + 5 {
            nic.receive(&[0; 60]);
        }
        for _ in 0..QUEUE {
            assert_eq!(nic.read(reg::RX_LEN), 60);
            nic.write(reg::RX_DONE, 0);
        }
        assert_eq!(nic.read(reg::RX_LEN), 0);
    }
}
