//! A UART: FIFOs, interrupts, and what arrives when the two ends disagree about the baud rate.
//!
//! What the program sends takes its time: ten bits a byte, at the divider's rate. Who writes to a
//! full FIFO loses the byte. What the ROM's functions send takes none, and bytes from the host wait
//! (outside, without limit) until the receive FIFO has room, so it never overruns.

use std::collections::VecDeque;

use crate::snapshot::{LATEST, check, keep};

/// Register offsets.
pub mod reg {
    #![allow(missing_docs)]
    pub const FIFO: u32 = 0x00;
    pub const INT_RAW: u32 = 0x04;
    pub const INT_ST: u32 = 0x08;
    pub const INT_ENA: u32 = 0x0C;
    pub const INT_CLR: u32 = 0x10;
    pub const CLKDIV: u32 = 0x14;
    pub const AUTOBAUD: u32 = 0x18;
    pub const STATUS: u32 = 0x1C;
    pub const CONF0: u32 = 0x20;
    pub const CONF1: u32 = 0x24;
    pub const LOW_PULSE: u32 = 0x28;
    pub const HIGH_PULSE: u32 = 0x2C;
    pub const PULSES: u32 = 0x30;
    pub const DATE: u32 = 0x78;
    pub const ID: u32 = 0x7C;
}

const FIFO_SIZE: usize = 128;
const INT_RX_FULL: u32 = 1 << 0;
const INT_TX_EMPTY: u32 = 1 << 1;
const INT_RX_TIMEOUT: u32 = 1 << 8;
const CONF0_RX_RESET: u32 = 1 << 17;
const CONF0_TX_RESET: u32 = 1 << 18;
/// Start bit, eight of data, stop bit.
const BITS: u64 = 10;
const CONF1_TIMEOUT_ENABLE: u32 = 1 << 31;
/// Pulses are measured; bits 15:8: those of fewer clocks count as noise.
const AUTOBAUD_ENABLE: u32 = 1 << 0;
/// No pulse of a level was measured yet, and the most edges that are counted.
const NO_PULSE: u32 = 0xF_FFFF;
const MOST_EDGES: u32 = 0x3FF;
/// Clocks by which a pulse is measured too short, with the filter's: together the 12 that the ROM adds.
const PULSE_LOSS: u32 = 4;
/// Modem lines and RXD are high when idle.
const STATUS_IDLE: u32 = 1 << 15;

/// One UART.
#[derive(Clone, Debug)]
pub struct Uart {
    registers: [u32; 32],
    raised: u32,
    receive: VecDeque<u8>,
    incoming: VecDeque<u8>,
    transmit: VecDeque<u8>,
    /// The byte on the wire, and when it will have left, in nanoseconds.
    shifting: Option<(u8, u64)>,
    sent: Vec<u8>,
}

keep!(
    Uart { registers, raised, receive, incoming, transmit, shifting, sent },
    |uart: &Uart| check(
        uart.receive.len() <= FIFO_SIZE
            && uart.transmit.len() <= FIFO_SIZE
            && uart.shifting.is_none_or(|(_, left)| left < LATEST),
        "a UART's FIFO holds too much"
    )
);

impl Default for Uart {
    fn default() -> Self {
        let mut registers = [0; 32];
        registers[reg::CONF0 as usize / 4] = 0x1C;
        registers[reg::CONF1 as usize / 4] = 0x60 << 8 | 0x60;
        registers[reg::DATE as usize / 4] = 0x0006_2000;
        registers[reg::ID as usize / 4] = 0x0000_0500;
        Self {
            registers,
            raised: 0,
            receive: VecDeque::new(),
            incoming: VecDeque::new(),
            transmit: VecDeque::new(),
            shifting: None,
            sent: Vec::new(),
        }
    }
}

impl Uart {
    /// Whether the UART asks for interrupt 5.
    #[must_use]
    pub fn interrupt(&self) -> bool {
        self.raw() & self.get(reg::INT_ENA) != 0
    }

    /// Baud rate at the bus clock `hz`; 0 while the divider is 0.
    #[must_use]
    pub fn baud(&self, hz: u64) -> u32 {
        hz.checked_div(u64::from(self.get(reg::CLKDIV) & 0xF_FFFF)).unwrap_or(0) as u32
    }

    /// Sets the divider as the ROM does: for `baud` at the bus clock `hz`.
    pub fn set_baud(&mut self, baud: u32, hz: u64) {
        self.registers[reg::CLKDIV as usize / 4] = (hz / u64::from(baud.max(1))) as u32;
    }

    /// UART0 as the ROM leaves it to programs: eight bits, an interrupt for each byte received. Old
    /// stubs of esptool build on that.
    pub fn left_by_the_rom(&mut self) {
        self.registers[reg::CONF0 as usize / 4] = 3 << 2;
        self.registers[reg::CONF1 as usize / 4] = 1;
        self.registers[reg::INT_ENA as usize / 4] = INT_RX_FULL;
    }

    /// Bytes from the host, as they arrive at the pin.
    pub fn push(&mut self, bytes: impl IntoIterator<Item = u8>) {
        self.incoming.extend(bytes);
        self.fill();
    }

    /// Measures the pulses of what a host sends back to back (8N1) at `sender` baud, at the bus clock
    /// `hz`, if the program asked for it.
    pub fn measure(&mut self, bytes: &[u8], sender: u32, hz: u64) {
        let control = self.get(reg::AUTOBAUD);
        let clocks = hz.checked_div(sender.into()).unwrap_or(0);
        if control & AUTOBAUD_ENABLE == 0 || clocks == 0 {
            return;
        }
        let loss = u64::from((control >> 8 & 0xFF) + PULSE_LOSS);
        let bits = bytes.iter().flat_map(|byte| {
            let frame = 1 << 9 | u32::from(*byte) << 1;
            (0..BITS).map(move |place| frame >> place & 1 != 0)
        });
        // The line was high before, for nobody knows how long.
        let (mut level, mut length) = (true, None::<u64>);
        for bit in bits {
            if bit == level {
                length = length.map(|length| length + 1);
                continue;
            }
            let at = if level { reg::HIGH_PULSE } else { reg::LOW_PULSE } as usize / 4;
            if let Some(length) = length {
                let measured = (clocks * length).saturating_sub(loss).min(NO_PULSE.into()) as u32;
                self.registers[at] = self.registers[at].min(measured);
            }
            let edges = &mut self.registers[reg::PULSES as usize / 4];
            *edges = (*edges + 1).min(MOST_EDGES);
            (level, length) = (bit, Some(1));
        }
    }

    /// Takes a byte out of the receive FIFO past the registers, as the ROM's loader does.
    pub fn take_received(&mut self) -> Option<u8> {
        let byte = self.receive.pop_front();
        self.fill();
        byte
    }

    /// Bytes that wait for the receiver.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.receive.len() + self.incoming.len()
    }

    /// Sends past the registers, as the ROM does, behind what waits in the FIFO.
    pub fn send(&mut self, bytes: &[u8]) {
        self.sent.extend(self.shifting.take().map(|(byte, _)| byte));
        self.sent.extend(self.transmit.drain(..));
        self.sent.extend_from_slice(bytes);
    }

    /// Lets bytes leave until the moment `now` (ns), at the bus clock `hz`.
    pub fn advance(&mut self, now: u64, hz: u64) {
        let byte_ns = self.byte_ns(hz);
        while let Some((byte, left)) = self.shifting.filter(|(_, left)| *left <= now) {
            self.sent.push(byte);
            self.shifting = self.transmit.pop_front().map(|next| (next, left + byte_ns));
        }
    }

    /// When (ns) the FIFO will be as empty as the program wants to be told, if it is not yet.
    #[must_use]
    pub fn next(&self, hz: u64) -> Option<u64> {
        let over = self.transmit.len().checked_sub(self.empty_threshold())?;
        let (_, left) = self.shifting?;
        let wanted = self.get(reg::INT_ENA) & INT_TX_EMPTY != 0 && over > 0;
        wanted.then(|| left + (over as u64 - 1) * self.byte_ns(hz))
    }

    /// How long a byte takes; none while the divider is 0.
    fn byte_ns(&self, hz: u64) -> u64 {
        let divider = u64::from(self.get(reg::CLKDIV) & 0xF_FFFF);
        (BITS * divider * 1_000_000_000).checked_div(hz).unwrap_or(0)
    }

    fn empty_threshold(&self) -> usize {
        (self.get(reg::CONF1) >> 8 & 0x7F) as usize
    }

    /// What was sent since the last call.
    pub fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }

    /// Whether something was sent that is not taken yet.
    #[must_use]
    pub fn has_sent(&self) -> bool {
        !self.sent.is_empty()
    }

    /// Reads the register at `offset`.
    pub fn read(&mut self, offset: u32) -> u32 {
        match offset {
            reg::FIFO => {
                let byte = self.receive.pop_front();
                self.fill();
                byte.map_or(0, u32::from)
            }
            reg::INT_RAW => self.raw(),
            reg::INT_ST => self.raw() & self.get(reg::INT_ENA),
            reg::INT_CLR => 0,
            reg::STATUS => {
                let (waiting, room) = (self.receive.len(), self.transmit.len());
                STATUS_IDLE | waiting.min(0xFF) as u32 | (room as u32) << 16
            }
            _ => self.registers.get(offset as usize / 4).copied().unwrap_or(0),
        }
    }

    /// Writes the register at `offset`, at the moment `now` (ns) and the bus clock `hz`.
    pub fn write(&mut self, offset: u32, value: u32, now: u64, hz: u64) {
        match offset {
            reg::FIFO if self.shifting.is_none() => {
                self.shifting = Some((value as u8, now + self.byte_ns(hz)));
            }
            reg::FIFO if self.transmit.len() < FIFO_SIZE => self.transmit.push_back(value as u8),
            // Full: the byte is lost.
            reg::FIFO => {}
            reg::INT_CLR => self.raised &= !value,
            reg::INT_RAW | reg::INT_ST | reg::STATUS | reg::DATE => {}
            reg::LOW_PULSE | reg::HIGH_PULSE | reg::PULSES => {}
            _ => {
                if offset == reg::AUTOBAUD && value & !self.get(offset) & AUTOBAUD_ENABLE != 0 {
                    self.registers[reg::LOW_PULSE as usize / 4] = NO_PULSE;
                    self.registers[reg::HIGH_PULSE as usize / 4] = NO_PULSE;
                    self.registers[reg::PULSES as usize / 4] = 0;
                }
                if let Some(register) = self.registers.get_mut(offset as usize / 4) {
                    *register = value;
                }
                if offset == reg::CONF0 && value & CONF0_RX_RESET != 0 {
                    self.receive.clear();
                }
                if offset == reg::CONF0 && value & CONF0_TX_RESET != 0 {
                    self.transmit.clear();
                }
                self.fill();
            }
        }
    }

    fn get(&self, offset: u32) -> u32 {
        self.registers[offset as usize / 4]
    }

    /// Latched interrupts and those that stay as long as their reason does.
    fn raw(&self) -> u32 {
        let threshold = (self.get(reg::CONF1) & 0x7F).max(1) as usize;
        let full = if self.receive.len() >= threshold { INT_RX_FULL } else { 0 };
        let empty = if self.transmit.len() <= self.empty_threshold() { INT_TX_EMPTY } else { 0 };
        self.raised | full | empty
    }

    fn fill(&mut self) {
        let room = FIFO_SIZE - self.receive.len();
        let count = room.min(self.incoming.len());
        self.receive.extend(self.incoming.drain(..count));
        // The line fell quiet with bytes in the FIFO.
        let quiet = self.incoming.is_empty() && !self.receive.is_empty();
        if quiet && self.get(reg::CONF1) & CONF1_TIMEOUT_ENABLE != 0 {
            self.raised |= INT_RX_TIMEOUT;
        }
    }
}

/// What a receiver at `receiver` baud makes of `bytes` sent back to back (8N1) at `sender` baud.
///
/// Each bit is sampled in its middle, counted from the falling edge of the start bit; a frame
/// whose stop bit is low is delivered all the same, as the hardware does.
#[must_use]
pub fn over_the_wire(bytes: &[u8], sender: u32, receiver: u32) -> Vec<u8> {
    if sender == 0 || receiver == 0 {
        return Vec::new();
    }
    // Ten bits must not drift by half a bit: within 3 % both understand each other.
    if u64::from(sender.abs_diff(receiver)) * 33 <= u64::from(sender) {
        return bytes.to_vec();
    }
    let total = bytes.len() as u64 * 10;
    // The level of the sender's bit `n`: start 0, eight data bits, stop 1; idle is 1.
    let level = |n: u64| -> bool {
        let Some(byte) = bytes.get((n / 10) as usize) else { return true };
        match n % 10 {
            0 => false,
            9 => true,
            bit => byte >> (bit - 1) & 1 != 0,
        }
    };
    let (sender, receiver) = (u64::from(sender), u64::from(receiver));
    // Time in units of 1 / (2 * sender * receiver) seconds: both half bits are whole numbers.
    let (sender_bit, receiver_half) = (2 * receiver, sender);
    let mut received = Vec::new();
    let mut time = 0;
    loop {
        // The next falling edge.
        let mut bit = time / sender_bit;
        while bit < total && level(bit) {
            bit += 1;
        }
        if bit >= total {
            return received;
        }
        let start = time.max(bit * sender_bit);
        let mut byte = 0;
        for n in 0..8 {
            let sample = start + receiver_half * (3 + 2 * n);
            byte |= u8::from(level(sample / sender_bit)) << n;
        }
        received.push(byte);
        // Look for the next start bit from the middle of the stop bit on, once the line is high.
        let mut bit = (start + receiver_half * 19) / sender_bit;
        while bit < total && !level(bit) {
            bit += 1;
        }
        time = (start + receiver_half * 19).max(bit * sender_bit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HZ: u64 = 80_000_000;

    fn write(uart: &mut Uart, offset: u32, value: u32) {
        uart.write(offset, value, 0, HZ);
    }

    #[test]
    fn pulses_are_measured_for_who_asks() {
        const CLOCKS: u64 = HZ / 115_200;
        let mut uart = Uart::default();
        uart.measure(b"UU", 115_200, HZ);
        assert_eq!(uart.read(reg::PULSES), 0, "nobody asked");
        write(&mut uart, reg::AUTOBAUD, 8 << 8 | 1);
        assert_eq!((uart.read(reg::LOW_PULSE), uart.read(reg::PULSES)), (NO_PULSE, 0));
        // Start bit and seven low ones, one high with the stop bit and the next byte's none.
        uart.measure(&[0x80, 0x80], 115_200, HZ);
        let of_bits = |bits: u64| (CLOCKS * bits - 12) as u32;
        assert_eq!(uart.read(reg::LOW_PULSE), of_bits(8));
        assert_eq!(uart.read(reg::HIGH_PULSE), of_bits(2));
        assert_eq!(uart.read(reg::PULSES), 4);
        uart.measure(b"UU", 115_200, HZ);
        let measured = [reg::LOW_PULSE, reg::HIGH_PULSE].map(|register| uart.read(register));
        assert_eq!((measured, uart.read(reg::PULSES)), ([of_bits(1); 2], 24));
        // What the ROM makes of it is the host's speed.
        write(&mut uart, reg::CLKDIV, (measured[0] + measured[1]) / 2 + 12);
        assert!(uart.baud(HZ).abs_diff(115_200) < 200);
        write(&mut uart, reg::PULSES, 7);
        uart.measure(&[0x55; 1000], 0, HZ);
        assert_eq!(uart.read(reg::PULSES), 24, "neither written nor counted at no speed");
        uart.measure(&[0x55; 1000], 9600, HZ);
        assert_eq!((uart.read(reg::LOW_PULSE), uart.read(reg::PULSES)), (of_bits(1), MOST_EDGES));
        // Bit by bit slower than the counter reaches.
        write(&mut uart, reg::AUTOBAUD, 0);
        write(&mut uart, reg::AUTOBAUD, 1);
        uart.measure(&[0x55; 2], 1, HZ);
        assert_eq!((uart.read(reg::LOW_PULSE), uart.read(reg::PULSES)), (NO_PULSE, 20));
    }

    /// 86.75 us a byte at 115200 baud.
    #[test]
    fn what_is_sent_takes_its_time() {
        const BYTE: u64 = 86_750;
        let mut uart = Uart::default();
        write(&mut uart, reg::CLKDIV, 694);
        write(&mut uart, reg::CONF1, 32 << 8);
        let waiting = |uart: &mut Uart| uart.read(reg::STATUS) >> 16 & 0xFF;
        for byte in 0..150 {
            write(&mut uart, reg::FIFO, byte);
        }
        assert_eq!(waiting(&mut uart), 128, "one is on the wire, and what found no room is lost");
        assert!(!uart.interrupt());
        write(&mut uart, reg::INT_ENA, INT_TX_EMPTY);
        assert!(!uart.interrupt());
        let due = uart.next(HZ).unwrap();
        assert_eq!(due, 96 * BYTE);
        uart.advance(due - 1, HZ);
        assert!(!uart.interrupt());
        uart.advance(due, HZ);
        assert!(uart.interrupt());
        assert_eq!((waiting(&mut uart), uart.next(HZ)), (32, None));
        uart.advance(129 * BYTE, HZ);
        assert_eq!(uart.take_sent(), (0..129).collect::<Vec<u8>>());
        // The wire was idle: what follows takes its time from then on.
        uart.write(reg::FIFO, 1, 1_000_000_000, HZ);
        uart.advance(1_000_000_000 + BYTE - 1, HZ);
        assert!(!uart.has_sent());
        uart.send(b"rom");
        assert_eq!(uart.take_sent(), b"\x01rom", "the ROM waits for nothing, in order");
    }

    #[test]
    fn receive_interrupts_and_fifo() {
        let mut uart = Uart::default();
        write(&mut uart, reg::CONF1, 120 | 2 << 24 | CONF1_TIMEOUT_ENABLE);
        write(&mut uart, reg::INT_ENA, INT_RX_FULL | INT_RX_TIMEOUT);
        assert!(!uart.interrupt());
        uart.push([1; 300]);
        assert_eq!(uart.read(reg::STATUS) & 0xFF, 128, "the rest waits outside");
        assert_eq!(uart.read(reg::INT_ST), INT_RX_FULL);
        for _ in 0..300 {
            assert_eq!(uart.read(reg::FIFO), 1);
        }
        assert_eq!(uart.read(reg::STATUS) & 0xFF, 0);
        write(&mut uart, reg::INT_CLR, 0x1FF);
        assert!(!uart.interrupt());
        uart.push([7]);
        assert_eq!(uart.read(reg::INT_ST), INT_RX_TIMEOUT);
    }

    #[test]
    fn divider_sets_the_baud_rate() {
        let mut uart = Uart::default();
        write(&mut uart, reg::CLKDIV, 694);
        assert_eq!(uart.baud(80_000_000), 115_273);
        assert_eq!(uart.baud(52_000_000), 74_927, "the ROM's, before the PLL is set");
    }

    #[test]
    fn agreeing_ends_understand_each_other() {
        let text: Vec<u8> = (0..=255).collect();
        assert_eq!(over_the_wire(&text, 115_273, 115_200), text);
        assert_eq!(over_the_wire(&text, 100_000, 103_100), over_the_wire(&text, 100, 103));
    }

    #[test]
    fn disagreeing_ends_get_garbage() {
        let text = b"ets Jan  8 2013,rst cause:2, boot mode:(3,6)";
        let seen = over_the_wire(text, 74_880, 115_200);
        assert!(!seen.is_empty());
        assert!(!String::from_utf8_lossy(&seen).contains("rst cause"));
        // One byte at half the receiver's rate: each bit is seen twice.
        assert_eq!(over_the_wire(&[0xFF], 100, 200), [0xFE]);
        assert_eq!(over_the_wire(b"x", 0, 100), b"");
    }
}
