//! A UART: FIFOs, interrupts, and what arrives when the two ends disagree about the baud rate.
//!
//! What is sent takes its time, ten bits a byte: what the program sends at the divider's rate, what the
//! host sends at the host's. Who writes to a full FIFO loses the byte; a byte that arrives at a full
//! one is lost too, and interrupt 4 of the UART says so. What the ROM's functions send takes no time,
//! what its serial loader receives neither, and what that was given to run receives bytes as fast as it
//! takes them: nobody wants to flash a virtual board as slowly as a cable would.

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
const INT_RX_OVERFLOW: u32 = 1 << 4;
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
    /// What the host sent and has not arrived yet: bytes and their baud rate, 0 for the UART's own.
    incoming: VecDeque<(u8, u32)>,
    /// When the first of them will have arrived, in nanoseconds.
    arrives: Option<u64>,
    /// When the line will have been quiet for as long as the program wants to be told of.
    quiet: Option<u64>,
    /// How many bits the line has been high when another byte follows at once.
    high: Option<u64>,
    /// Bytes lost since somebody asked.
    lost: usize,
    /// Bytes of the host take no time, and wait until there is room.
    hurried: bool,
    transmit: VecDeque<u8>,
    /// The byte on the wire, and when it will have left, in nanoseconds.
    shifting: Option<(u8, u64)>,
    sent: Vec<u8>,
}

keep!(
    Uart {
        registers,
        raised,
        receive,
        incoming,
        arrives,
        quiet,
        high,
        lost,
        hurried,
        transmit,
        shifting,
        sent
    },
    |uart: &Uart| check(
        uart.receive.len() <= FIFO_SIZE
            && uart.transmit.len() <= FIFO_SIZE
            && uart.incoming.is_empty() == uart.arrives.is_none()
            && uart.high.is_none_or(|bits| bits <= BITS)
            && [uart.arrives, uart.quiet, uart.shifting.map(|(_, left)| left)]
                .into_iter()
                .flatten()
                .all(|at| at < LATEST),
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
            arrives: None,
            quiet: None,
            high: None,
            lost: 0,
            hurried: false,
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

    /// Bytes that the host sends from the moment `now` (ns) on, or behind those that are under way, at
    /// `sender` baud; 0 is whatever the UART's rate is, of the bus clock `hz`.
    pub fn push(&mut self, bytes: &[u8], sender: u32, now: u64, hz: u64) {
        self.incoming.extend(bytes.iter().map(|byte| (*byte, sender)));
        if self.arrives.is_none() {
            self.expect(now, hz);
        }
    }

    /// From now on bytes of the host take no time and wait until there is room; or they do not.
    pub fn set_hurried(&mut self, hurried: bool) {
        self.hurried = hurried;
    }

    /// The next byte begins at the moment `now`.
    fn expect(&mut self, now: u64, hz: u64) {
        self.arrives = self.incoming.front().map(|(_, sender)| {
            let own = self.byte_ns(hz);
            let sent = (BITS * 1_000_000_000).checked_div(u64::from(*sender)).unwrap_or(own);
            if self.hurried { now } else { now + sent }
        });
        if self.arrives.is_none() {
            self.high = None;
        }
    }

    /// What the receiver hears of a byte, which is measured if the program asked for it.
    fn hear(&mut self, (byte, sender): (u8, u32), hz: u64) -> Vec<u8> {
        let own = self.baud(hz);
        let sender = if sender == 0 { own } else { sender };
        self.measure(byte, sender, hz);
        over_the_wire(&[byte], sender, own)
    }

    /// Measures the pulses of a byte (8N1) at `sender` baud, at the bus clock `hz`.
    fn measure(&mut self, byte: u8, sender: u32, hz: u64) {
        let control = self.get(reg::AUTOBAUD);
        let clocks = hz.checked_div(sender.into()).unwrap_or(0);
        let frame = 1 << 9 | u32::from(byte) << 1;
        // The line was high before, for nobody knows how long unless a byte came right before.
        let (mut level, mut length) = (true, self.high);
        self.high = Some(u64::from((frame << (32 - BITS)).leading_ones()));
        if control & AUTOBAUD_ENABLE == 0 || clocks == 0 {
            return;
        }
        let loss = u64::from((control >> 8 & 0xFF) + PULSE_LOSS);
        for bit in (0..BITS).map(|place| frame >> place & 1 != 0) {
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

    /// Takes a byte of what was received or is under way past the registers, as the ROM's loader
    /// does at the moment `now` (ns).
    pub fn take_received(&mut self, now: u64, hz: u64) -> Option<u8> {
        while self.receive.is_empty() {
            let next = self.incoming.pop_front()?;
            let heard = self.hear(next, hz);
            self.receive.extend(heard);
            self.expect(now, hz);
        }
        let byte = self.receive.pop_front();
        self.listen(now, hz);
        byte
    }

    /// Lets what the host sent arrive until the moment `now` (ns).
    fn arrive(&mut self, now: u64, hz: u64) {
        while let Some(at) = self.arrival().filter(|at| *at <= now) {
            self.fall_quiet(at);
            let Some(next) = self.incoming.pop_front() else { break };
            for byte in self.hear(next, hz) {
                if self.receive.len() < FIFO_SIZE {
                    self.receive.push_back(byte);
                } else {
                    self.raised |= INT_RX_OVERFLOW;
                    self.lost += 1;
                }
            }
            self.listen(at, hz);
            self.expect(at, hz);
        }
        self.fall_quiet(now);
    }

    /// When the next byte will have arrived; none while it waits for room.
    fn arrival(&self) -> Option<u64> {
        self.arrives.filter(|_| !self.hurried || self.receive.len() < FIFO_SIZE)
    }

    /// From the moment `now` on it counts how long nothing comes or is taken while the FIFO holds
    /// something (RX_TOUT of CONF1, in bytes).
    fn listen(&mut self, now: u64, hz: u64) {
        let bytes = u64::from(self.get(reg::CONF1) >> 24 & 0x7F).max(1);
        self.quiet = (!self.receive.is_empty()).then(|| now + bytes * self.byte_ns(hz));
    }

    fn fall_quiet(&mut self, now: u64) {
        if self.quiet.is_some_and(|at| at <= now) {
            self.quiet = None;
            if self.get(reg::CONF1) & CONF1_TIMEOUT_ENABLE != 0 {
                self.raised |= INT_RX_TIMEOUT;
            }
        }
    }

    /// How many bytes were lost since the last call, because the program did not take them in time.
    pub fn take_lost(&mut self) -> usize {
        std::mem::take(&mut self.lost)
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

    /// Lets bytes leave and arrive until the moment `now` (ns), at the bus clock `hz`.
    pub fn advance(&mut self, now: u64, hz: u64) {
        self.arrive(now, hz);
        let byte_ns = self.byte_ns(hz);
        while let Some((byte, left)) = self.shifting.filter(|(_, left)| *left <= now) {
            self.sent.push(byte);
            self.shifting = self.transmit.pop_front().map(|next| (next, left + byte_ns));
        }
    }

    /// When (ns) it has something to do or to tell next.
    #[must_use]
    pub fn next(&self, hz: u64) -> Option<u64> {
        [self.arrival(), self.quiet, self.emptied(hz)].into_iter().flatten().min()
    }

    /// When the FIFO will be as empty as the program wants to be told, if it is not yet.
    fn emptied(&self, hz: u64) -> Option<u64> {
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

    /// Its clock stands still from `from` to `to` (ns): what leaves waits, what arrives is lost.
    pub fn stand_still(&mut self, from: u64, to: u64, hz: u64) {
        while let Some(at) = self.arrives.filter(|at| *at <= to) {
            self.incoming.pop_front();
            self.expect(at, hz);
        }
        let passed = to - from;
        self.quiet = self.quiet.map(|at| at + passed);
        self.shifting = self.shifting.map(|(byte, left)| (byte, left + passed));
    }

    /// Whether bytes are under way to the host.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.shifting.is_some()
    }

    /// Reads the register at `offset`, at the moment `now` (ns) and the bus clock `hz`.
    pub fn read(&mut self, offset: u32, now: u64, hz: u64) -> u32 {
        match offset {
            reg::FIFO => {
                let byte = self.receive.pop_front();
                self.listen(now, hz);
                self.arrive(now, hz);
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
                if matches!(offset, reg::CONF0 | reg::CONF1) {
                    self.listen(now, hz);
                }
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

    impl Uart {
        fn load(&mut self, offset: u32) -> u32 {
            self.read(offset, 0, HZ)
        }

        /// Bytes at a line that was quiet before, to their end.
        fn hears(&mut self, bytes: &[u8], sender: u32) {
            self.push(bytes, sender, 0, HZ);
            self.advance(u64::MAX / 2, HZ);
        }
    }

    #[test]
    fn pulses_are_measured_for_who_asks() {
        const CLOCKS: u64 = HZ / 115_200;
        let mut uart = Uart::default();
        uart.hears(b"UU", 115_200);
        assert_eq!(uart.load(reg::PULSES), 0, "nobody asked");
        write(&mut uart, reg::AUTOBAUD, 8 << 8 | 1);
        assert_eq!((uart.load(reg::LOW_PULSE), uart.load(reg::PULSES)), (NO_PULSE, 0));
        // Start bit and seven low ones, one high with the stop bit and the next byte's none.
        uart.hears(&[0x80, 0x80], 115_200);
        let of_bits = |bits: u64| (CLOCKS * bits - 12) as u32;
        assert_eq!(uart.load(reg::LOW_PULSE), of_bits(8));
        assert_eq!(uart.load(reg::HIGH_PULSE), of_bits(2));
        assert_eq!(uart.load(reg::PULSES), 4);
        uart.hears(b"UU", 115_200);
        let measured = [reg::LOW_PULSE, reg::HIGH_PULSE].map(|register| uart.load(register));
        assert_eq!((measured, uart.load(reg::PULSES)), ([of_bits(1); 2], 24));
        // What the ROM makes of it is the host's speed.
        write(&mut uart, reg::CLKDIV, (measured[0] + measured[1]) / 2 + 12);
        assert!(uart.baud(HZ).abs_diff(115_200) < 200);
        write(&mut uart, reg::PULSES, 7);
        assert_eq!(uart.load(reg::PULSES), 24, "it is not written");
        uart.hears(&[0x55; 1000], 9600);
        assert_eq!((uart.load(reg::LOW_PULSE), uart.load(reg::PULSES)), (of_bits(1), MOST_EDGES));
        // Bit by bit slower than the counter reaches.
        write(&mut uart, reg::AUTOBAUD, 0);
        write(&mut uart, reg::AUTOBAUD, 1);
        uart.hears(&[0x55; 2], 1);
        assert_eq!((uart.load(reg::LOW_PULSE), uart.load(reg::PULSES)), (NO_PULSE, 20));
    }

    /// 86.75 us a byte at 115200 baud.
    #[test]
    fn what_is_sent_takes_its_time() {
        const BYTE: u64 = 86_750;
        let mut uart = Uart::default();
        write(&mut uart, reg::CLKDIV, 694);
        write(&mut uart, reg::CONF1, 32 << 8);
        let waiting = |uart: &mut Uart| uart.load(reg::STATUS) >> 16 & 0xFF;
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

    /// At 115200 baud the chip hands on 11.5 bytes a millisecond; who does not take them loses them.
    #[test]
    fn what_is_received_takes_its_time() {
        const BYTE: u64 = 1_000_000_000 * BITS / 115_200;
        let mut uart = Uart::default();
        write(&mut uart, reg::CLKDIV, 694);
        write(&mut uart, reg::CONF1, 120 | 2 << 24 | CONF1_TIMEOUT_ENABLE);
        write(&mut uart, reg::INT_ENA, INT_RX_FULL | INT_RX_TIMEOUT | INT_RX_OVERFLOW);
        uart.push(&[1; 100], 115_200, 1000, HZ);
        uart.push(&[2; 200], 115_200, 2000, HZ);
        let waits = |uart: &mut Uart| uart.load(reg::STATUS) & 0xFF;
        assert_eq!(uart.next(HZ), Some(1000 + BYTE));
        uart.advance(1000 + BYTE - 1, HZ);
        assert_eq!(waits(&mut uart), 0);
        uart.advance(1000 + 119 * BYTE, HZ);
        assert_eq!((waits(&mut uart), uart.interrupt()), (119, false));
        uart.advance(1000 + 120 * BYTE, HZ);
        assert_eq!(uart.load(reg::INT_ST), INT_RX_FULL);
        uart.advance(1000 + 128 * BYTE, HZ);
        assert_eq!((waits(&mut uart), uart.take_lost()), (128, 0));
        uart.advance(1000 + 130 * BYTE, HZ);
        assert_eq!(uart.load(reg::INT_ST), INT_RX_FULL | INT_RX_OVERFLOW);
        assert_eq!((waits(&mut uart), uart.take_lost(), uart.take_lost()), (128, 2, 0));
        // What came last is lost, not what waits.
        let taken: Vec<u32> = (0..128).map(|_| uart.load(reg::FIFO)).collect();
        assert_eq!(taken, [[1; 100].as_slice(), &[2; 28]].concat());
        assert_eq!((waits(&mut uart), uart.load(reg::FIFO)), (0, 0));
        assert_eq!(uart.load(reg::INT_ST), INT_RX_OVERFLOW, "latched");
        write(&mut uart, reg::INT_CLR, INT_RX_OVERFLOW);
        uart.advance(1000 + 300 * BYTE, HZ);
        assert_eq!((waits(&mut uart), uart.waiting()), (128, 128));
        assert_eq!(uart.take_lost(), 42);
    }

    /// The time-out comes once the line was quiet for so many bytes, and anew after each that is taken.
    #[test]
    fn a_quiet_line_is_told_of() {
        const BYTE: u64 = 86_750;
        let mut uart = Uart::default();
        write(&mut uart, reg::CLKDIV, 694);
        write(&mut uart, reg::INT_ENA, INT_RX_TIMEOUT);
        write(&mut uart, reg::CONF1, 120 | 2 << 24 | CONF1_TIMEOUT_ENABLE);
        uart.push(b"ab", 0, 0, HZ);
        uart.advance(2 * BYTE, HZ);
        assert_eq!(uart.next(HZ), Some(4 * BYTE));
        uart.advance(4 * BYTE - 1, HZ);
        assert!(!uart.interrupt());
        uart.advance(4 * BYTE, HZ);
        assert!(uart.interrupt());
        write(&mut uart, reg::INT_CLR, INT_RX_TIMEOUT);
        uart.advance(100 * BYTE, HZ);
        assert!(!uart.interrupt(), "once");
        assert_eq!(uart.read(reg::FIFO, 100 * BYTE, HZ), u32::from(b'a'));
        uart.advance(102 * BYTE, HZ);
        assert!(uart.interrupt(), "one is left");
        write(&mut uart, reg::INT_CLR, INT_RX_TIMEOUT);
        assert_eq!(uart.read(reg::FIFO, 102 * BYTE, HZ), u32::from(b'b'));
        uart.advance(200 * BYTE, HZ);
        assert!(!uart.interrupt() && uart.next(HZ).is_none(), "none is");
        // A byte that comes within the time puts it off; one of a slower host does not.
        uart.push(b"cd", 0, 300 * BYTE, HZ);
        uart.advance(304 * BYTE - 1, HZ);
        assert!(!uart.interrupt());
        uart.push(b"e", 9600, 303 * BYTE, HZ);
        uart.advance(304 * BYTE, HZ);
        assert!(uart.interrupt());
    }

    /// In a light sleep: what leaves waits, what arrives is lost.
    #[test]
    fn a_uart_whose_clock_stands_still() {
        const BYTE: u64 = 86_750;
        let mut uart = Uart::default();
        write(&mut uart, reg::CLKDIV, 694);
        write(&mut uart, reg::FIFO, 7);
        uart.push(b"abcd", 0, 0, HZ);
        uart.advance(BYTE / 2, HZ);
        uart.stand_still(BYTE / 2, BYTE / 2 + 3 * BYTE, HZ);
        uart.advance(4 * BYTE - 1, HZ);
        assert!(!uart.has_sent());
        uart.advance(4 * BYTE, HZ);
        assert_eq!((uart.take_sent(), uart.take_received(4 * BYTE, HZ)), (vec![7], Some(b'd')));
    }

    #[test]
    fn who_is_flashed_loses_nothing_and_waits_for_nothing() {
        let mut uart = Uart::default();
        write(&mut uart, reg::CLKDIV, 694);
        uart.set_hurried(true);
        let bytes: Vec<u8> = (0..200).chain(0..200).collect();
        uart.push(&bytes, 115_200, 1000, HZ);
        uart.advance(1000, HZ);
        assert_eq!((uart.load(reg::STATUS) & 0xFF, uart.waiting()), (128, 400));
        assert!(uart.next(HZ).is_none_or(|at| at > 1000), "nothing to do until there is room");
        let taken: Vec<u8> = (0..400).map(|_| uart.read(reg::FIFO, 2000, HZ) as u8).collect();
        assert_eq!((taken, uart.take_lost(), uart.waiting()), (bytes, 0, 0));
    }

    #[test]
    fn the_loader_waits_for_no_byte() {
        let mut uart = Uart::default();
        write(&mut uart, reg::CLKDIV, 694);
        uart.push(&[7; 300], 115_200, 0, HZ);
        uart.advance(1_000_000, HZ);
        let taken = std::iter::from_fn(|| uart.take_received(1_000_000, HZ)).count();
        assert_eq!((taken, uart.next(HZ)), (300, None));
        uart.push(b"ab", 0, 1_000_000, HZ);
        assert_eq!(uart.take_received(5_000_000, HZ), Some(b'a'));
        assert_eq!(uart.next(HZ), Some(5_086_750), "the next one begins then");
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
