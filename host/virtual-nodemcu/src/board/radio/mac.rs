//! The MAC: registers, transmit slots, the ring of received frames, key table, interrupts.
//!
//! Facts about registers come from what the chip's own radio libraries do with them; names are
//! ours.

use std::collections::VecDeque;

use super::air::{Heard, Sending, Sent, Tuning, with_fcs};
use super::crypto::{self, CCMP_HEADER, CCMP_MIC};
use super::frame::{self, Address, Header, is_group, kind};
use super::rate::Rate;
use crate::board::DRAM;
use crate::snapshot::{check, keep};

/// Where the registers are.
pub const MAC: std::ops::Range<u32> = 0x3FF2_0000..0x3FF2_2000;
/// RAM that descriptors and buffers can be in: [`DRAM`].
pub type Memory = [u8; (DRAM.end - DRAM.start) as usize];

/// Register offsets.
mod reg {
    pub const RX_CONTROL: u32 = 0x004;
    pub const RX_FIRST: u32 = 0x008;
    pub const RX_LAST: u32 = 0x014;
    pub const RX_NEXT: u32 = 0x018;
    pub const RX_CURRENT: u32 = 0x01C;
    pub const HEARD: u32 = 0x1C0;
    pub const STATE_RX: u32 = 0x1D0;
    pub const STATE: u32 = 0x410;
    pub const KEYS_VALID: u32 = 0x80C;
    pub const TIME: u32 = 0xC00;
    pub const INT_ENABLE: u32 = 0xC18;
    pub const INT_RAW: u32 = 0xC1C;
    pub const INT_STATUS: u32 = 0xC20;
    pub const INT_CLEAR: u32 = 0xC24;
    pub const BSSID: u32 = 0xC28;
    pub const BSSID_MASK: u32 = 0xC38;
    pub const ADDRESS: u32 = 0xC48;
    pub const ADDRESS_MASK: u32 = 0xC58;
    pub const RECEIVER: u32 = 0xC70;
    pub const TX_STATUS: u32 = 0xC84;
    /// Slot 0; the others are below it.
    pub const SLOT: u32 = 0xDC0;
    pub const ACK_RSSI: u32 = 0xE04;
    pub const RANDOM: u32 = 0xE44;
    pub const TSF_LOW: u32 = 0x1004;
    pub const TSF_HIGH: u32 = 0x1008;
    pub const COUNT_LOW: u32 = 0x1048;
    pub const COUNT_HIGH: u32 = 0x104C;
    pub const TSF_CONTROL: u32 = 0x1058;
    /// Timer 0: switch, and the TSF at which it interrupts, low and high.
    pub const TIMER_0: u32 = 0x1098;
    /// Timer 1, by the count at 0x1048.
    pub const TIMER_1: u32 = 0x10C8;
    pub const RX_END_TIME: u32 = 0x10FC;
    pub const RX_START_TIME: u32 = 0x1100;
    pub const KEYS: u32 = 0x1400;
}

/// What the libraries of the chip use, offsets of the first and last register of each run. Others
/// are storage too, but are named on the console.
const KNOWN: [(u32, u32); 26] = [
    (0x000, 0x01C),
    (0x038, 0x03C),
    (0x06C, 0x06C),
    (0x07C, 0x088),
    (0x098, 0x1C0),
    (0x1CC, 0x1D8),
    (0x400, 0x418),
    (0x800, 0x80C),
    (0xC00, 0xC00),
    (0xC14, 0xC78),
    (0xC84, 0xC94),
    (0xCA8, 0xCAC),
    (0xCC0, 0xCC0),
    (0xD18, 0xDD4),
    (0xDE0, 0xDE0),
    (0xE04, 0xE08),
    (0xE2C, 0xE3C),
    (0xE44, 0xE44),
    (0x1000, 0x1008),
    (0x1014, 0x1014),
    (0x1048, 0x104C),
    (0x1058, 0x1060),
    (0x1098, 0x10A0),
    (0x10C8, 0x10D0),
    (0x10FC, 0x1100),
    (0x1400, 0x17BC),
];

/// Interrupts.
mod interrupt {
    pub const RECEIVED: u32 = 1 << 8;
    pub const SENT: u32 = 1 << 19;
    pub const BEGUN: u32 = 1 << 18;
    /// Timers 0 and 1.
    pub const TIMERS: [u32; 2] = [1 << 27, 1 << 26];
}

/// Registers of the timers.
const TIMERS: [u32; 2] = [reg::TIMER_0, reg::TIMER_1];
const TIMER_ON: u32 = 1 << 31;

/// Slots, and the bytes between them.
const SLOTS: u32 = 8;
const SLOT_SIZE: u32 = 24;
/// Words of a slot, as offsets.
mod slot {
    pub const BACKOFF: u32 = 0x0;
    pub const START: u32 = 0x4;
    pub const LENGTH: u32 = 0x8;
    pub const HT: u32 = 0xC;
}
const START_BITS: u32 = 3 << 30;
const LENGTH_HT: u32 = 1 << 24;

/// Results in the transmit status.
mod result {
    pub const GOOD: u32 = 0;
    pub const ERROR: u32 = 4;
    pub const NO_ACK: u32 = 5;
}

const RX_ON: u32 = 1 << 31;
/// The baseband's receiver is on; libphy clears it when the radio sleeps between two beacons.
const RECEIVER_ON: u32 = 1 << 1;
/// The upper half of a mask: the comparison is on.
const MASK_ON: u32 = 1 << 16;
const DESCRIPTOR_OWNER: u32 = 1 << 31;
const DESCRIPTOR_END: u32 = 1 << 30;
/// Bytes in front of a received frame.
const RX_HEADER: usize = 12;
/// Signal strength is counted from here, in dBm.
const RX_ZERO: i32 = -93;
/// Noise floor in the header of a received frame, in dBm.
const NOISE: i8 = -96;

/// Entries of the key table, and their size.
const KEYS: u32 = 24;
const KEY_SIZE: u32 = 40;
const ALGORITHM_TKIP: u32 = 2;
const ALGORITHM_CCMP: u32 = 3;
/// TKIP's two integrity codes; its header is as long as CCMP's.
const TKIP_MIC: usize = 12;
/// Of a slot's key: its number. The bit above asks for TKIP's second integrity code.
const KEY_NUMBER: u32 = 0x7F;
/// Longest frame that the length field of a received one can tell.
const LONGEST: usize = 0xFFF;
/// Descriptors of one frame to send.
const MOST_DESCRIPTORS: usize = 16;

/// The MAC.
#[derive(Debug)]
pub struct Mac {
    words: Box<[u32; 0x800]>,
    raw: u32,
    enabled: u32,
    /// When the chip was reset, in nanoseconds.
    born: u64,
    /// TSF minus the microseconds since the reset; the same for the other count.
    tsf: u64,
    count: u64,
    /// Timers that will interrupt. (The SDK of 2014 to 2018 feeds the watchdog by timer 1.)
    armed: [bool; 2],
    /// Slots to send, the first of them under way once `sending`.
    slots: VecDeque<u32>,
    sending: bool,
    /// Frames for the air.
    outbox: Option<Sending>,
    /// A slot that could not be sent is done at once.
    broken: Option<u32>,
    aborted: bool,
    /// Received frames that found no room.
    overflows: u64,
    /// Frames in the ring that the program has not taken yet.
    untaken: Vec<Untaken>,
}

/// A frame in the ring. Its descriptors stay the hardware's: the program takes them away, the owner
/// bit and the link, as it comes across them. (The libraries clear the bit, and move the ring where
/// the next three are not the hardware's: a frame that waits must not look like that.)
#[derive(Debug, Default)]
struct Untaken {
    descriptors: Vec<u32>,
    /// What the last one was left with. It says that a frame ends there, which one that was given
    /// back does not.
    word: u32,
}

keep!(Untaken { descriptors, word });
// Only a MAC that sends nothing is kept (`is_quiet`).
keep!(
    Mac { words, raw, enabled, born, tsf, count, armed, overflows, untaken }
        but { slots, sending, outbox, broken, aborted },
    |mac: &Mac| check(
        mac.untaken.iter().all(|frame| frame.descriptors.len() <= MOST_DESCRIPTORS),
        "a received frame has too many pieces"
    )
);

impl Mac {
    /// The MAC after a reset at `now` nanoseconds.
    #[must_use]
    pub fn new(now: u64) -> Self {
        let mut words = Box::new([0; 0x800]);
        // Programs that never use power save need not know of it.
        words[reg::RECEIVER as usize / 4] = RECEIVER_ON;
        Self {
            words,
            raw: 0,
            enabled: 0,
            born: now,
            tsf: 0,
            count: 0,
            armed: [false; 2],
            slots: VecDeque::new(),
            sending: false,
            outbox: None,
            broken: None,
            aborted: false,
            overflows: 0,
            untaken: Vec::new(),
        }
    }

    /// Whether nothing waits to be sent, and nothing is.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.slots.is_empty() && self.outbox.is_none() && self.broken.is_none() && !self.aborted
    }

    /// Whether it asks for its interrupt, before the gate.
    #[must_use]
    pub fn interrupt(&self) -> bool {
        self.raw & self.enabled != 0
    }

    /// A pulse on the MAC's own reset: what it is doing ends. Registers stay: the libraries write
    /// them anew.
    pub fn reset(&mut self) {
        self.raw = 0;
        self.outbox = None;
        self.broken = None;
        self.aborted |= self.sending;
        self.sending = false;
        for slot in std::mem::take(&mut self.slots) {
            self.set(slot_at(slot) + slot::START, |word| word & !START_BITS);
        }
    }

    /// Whether the libraries use the register: a name for it is known.
    #[must_use]
    pub fn is_known(address: u32) -> bool {
        let offset = address - MAC.start;
        KNOWN.iter().any(|(first, last)| (*first..=*last).contains(&offset))
    }

    /// Whether the register is the random source.
    #[must_use]
    pub fn is_random(address: u32) -> bool {
        address - MAC.start == reg::RANDOM
    }

    fn word(&self, offset: u32) -> u32 {
        self.words[offset as usize / 4]
    }

    fn put(&mut self, offset: u32, value: u32) {
        self.words[offset as usize / 4] = value;
    }

    fn set(&mut self, offset: u32, change: impl FnOnce(u32) -> u32) {
        self.put(offset, change(self.word(offset)));
    }

    /// Reads the register at `address` at `now` nanoseconds.
    #[must_use]
    pub fn read(&self, address: u32, now: u64) -> u32 {
        match address - MAC.start {
            reg::TIME => self.microseconds(now) as u32,
            reg::TSF_LOW => self.value(0, now) as u32,
            reg::TSF_HIGH => (self.value(0, now) >> 32) as u32,
            reg::COUNT_LOW => self.value(1, now) as u32,
            reg::COUNT_HIGH => (self.value(1, now) >> 32) as u32,
            reg::INT_ENABLE => self.enabled,
            reg::INT_RAW => self.raw,
            reg::INT_STATUS => self.raw & self.enabled,
            // Never busy when asked.
            offset @ reg::STATE => self.word(offset) & !0xF,
            offset @ reg::STATE_RX => self.word(offset) & !0xF000,
            offset => self.word(offset),
        }
    }

    /// Writes the register at `address` at `now` nanoseconds.
    pub fn write(&mut self, address: u32, value: u32, now: u64, memory: &Memory) {
        let offset = address - MAC.start;
        match offset {
            reg::INT_ENABLE => self.enabled = value,
            reg::INT_CLEAR => self.raw &= !value,
            reg::INT_RAW | reg::INT_STATUS | reg::TIME => {}
            reg::TSF_LOW => self.tsf = self.changed(0, value.into(), !0xFFFF_FFFF, now),
            reg::TSF_HIGH => self.tsf = self.changed(0, u64::from(value) << 32, 0xFFFF_FFFF, now),
            reg::COUNT_LOW => self.count = self.changed(1, value.into(), !0xFFFF_FFFF, now),
            reg::COUNT_HIGH => {
                self.count = self.changed(1, u64::from(value) << 32, 0xFFFF_FFFF, now);
            }
            reg::RX_FIRST => {
                self.untaken.clear();
                self.put(offset, value);
                self.put(reg::RX_NEXT, value);
                self.put(reg::RX_CURRENT, value);
            }
            _ => {
                self.put(offset, value);
                if let Some(slot) = slot_of(offset, slot::START) {
                    self.start(slot, value, memory);
                }
                for (n, timer) in TIMERS.into_iter().enumerate() {
                    if (timer..=timer + 8).contains(&offset) {
                        // It interrupts when its time comes, not when that is over.
                        let on = self.word(timer) & TIMER_ON != 0;
                        self.armed[n] = on && self.wanted(n) > self.value(n, now);
                    }
                }
            }
        }
    }

    fn microseconds(&self, now: u64) -> u64 {
        now.saturating_sub(self.born) / 1000
    }

    /// What timer `n` counts: the TSF, or the other count.
    fn value(&self, n: usize, now: u64) -> u64 {
        let offset = [self.tsf, self.count][n];
        self.microseconds(now).wrapping_add(offset)
    }

    /// What there is to add to the microseconds once timer `n` has `half` where not `kept`.
    fn changed(&self, n: usize, half: u64, kept: u64, now: u64) -> u64 {
        (self.value(n, now) & kept | half).wrapping_sub(self.microseconds(now))
    }

    /// The value at which timer `n` interrupts.
    fn wanted(&self, n: usize) -> u64 {
        u64::from(self.word(TIMERS[n] + 4)) | u64::from(self.word(TIMERS[n] + 8)) << 32
    }

    /// When a timer interrupts next, in nanoseconds.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        let due = |n: usize| {
            let microseconds = self.wanted(n).wrapping_sub([self.tsf, self.count][n]);
            microseconds.checked_mul(1000)?.checked_add(self.born)
        };
        (0..2).filter(|n| self.armed[*n]).filter_map(due).min()
    }

    /// Lets timers see that it is `now` (ns).
    pub fn advance(&mut self, now: u64) {
        for n in 0..2 {
            if self.armed[n] && self.value(n, now) >= self.wanted(n) {
                self.armed[n] = false;
                self.raw |= interrupt::TIMERS[n];
            }
        }
    }

    /// What it listens to, on this channel.
    #[must_use]
    pub fn tuning(&self, channel: Option<u8>) -> Tuning {
        let on =
            self.word(reg::RX_CONTROL) & RX_ON != 0 && self.word(reg::RECEIVER) & RECEIVER_ON != 0;
        Tuning {
            channel: channel.filter(|_| on),
            addresses: [0, 1].map(|n| {
                let at = reg::ADDRESS + 8 * n;
                let on = self.word(reg::ADDRESS_MASK + 8 * n + 4) & MASK_ON != 0;
                on.then(|| address(self.word(at), self.word(at + 4)))
            }),
        }
    }

    /// What of the two comparisons at these registers match; those that are off do not.
    fn matches(&self, value: Address, at: u32, mask: u32) -> [Option<bool>; 2] {
        [0, 8].map(|n| {
            let high = self.word(mask + n + 4);
            let mask = address(self.word(mask + n), high);
            let wanted = address(self.word(at + n), self.word(at + n + 4));
            let equal = (0..6).all(|i| (value[i] ^ wanted[i]) & mask[i] == 0);
            (high & MASK_ON != 0).then_some(equal)
        })
    }

    /// The frame that is to go to the air now.
    pub fn take_sending(&mut self) -> Option<Sending> {
        self.outbox.take()
    }

    /// Whether what was given to the air is given up.
    pub fn take_aborted(&mut self) -> bool {
        std::mem::take(&mut self.aborted)
    }

    fn start(&mut self, slot: u32, value: u32, memory: &Memory) {
        let known = self.slots.contains(&slot);
        if value & START_BITS != START_BITS {
            if known {
                // Given up by the program.
                let first = self.slots.front() == Some(&slot);
                self.slots.retain(|s| *s != slot);
                if first && self.sending {
                    self.outbox = None;
                    self.sending = false;
                    self.aborted = true;
                    self.next_slot(memory);
                }
            }
        } else if !known {
            self.slots.push_back(slot);
            self.next_slot(memory);
        }
    }

    /// The first slot that waits is sent, unless one is under way.
    pub fn next_slot(&mut self, memory: &Memory) {
        if self.sending {
            return;
        }
        let Some(&slot) = self.slots.front() else { return };
        self.sending = true;
        match self.gather(slot, memory) {
            Some(sending) => self.outbox = Some(sending),
            None => self.broken = Some(slot),
        }
    }

    /// The frame of a slot as it goes on the air. None: the slot makes no sense.
    fn gather(&self, slot: u32, memory: &Memory) -> Option<Sending> {
        let at = slot_at(slot);
        let length_word = self.word(at + slot::LENGTH);
        let number = length_word >> 16 & KEY_NUMBER;
        let key = if number == 0 { None } else { Some(self.key(number)?) };
        let (rate, length) = if length_word & LENGTH_HT != 0 {
            let word = self.word(at + slot::HT);
            (Rate::Ht((word & 7) as u8), word >> 8 & 0xFFFF)
        } else {
            (Rate::from_chip((length_word >> 12 & 0xF) as u8)?, length_word & 0xFFF)
        };
        // Without checksum and, encrypted, integrity code: nobody writes them.
        let behind = 4 + match key.as_ref().map(|key| key.algorithm) {
            None => 0,
            Some(ALGORITHM_CCMP) => CCMP_MIC,
            Some(ALGORITHM_TKIP) => TKIP_MIC,
            Some(_) => return None,
        };
        let length = (length as usize).checked_sub(behind)?;
        let mut frame = Vec::with_capacity(length);
        let mut descriptor = self.word(at + slot::START) & 0x3_FFFF | 0x3FFC_0000;
        for _ in 0..MOST_DESCRIPTORS {
            let word = load(memory, descriptor)?;
            let buffer = load(memory, descriptor.wrapping_add(4))?;
            let count = (word >> 12 & 0xFFF) as usize;
            frame.extend(slice(memory, buffer, count.min(length - frame.len()))?);
            if word & DESCRIPTOR_END != 0 || frame.len() == length {
                break;
            }
            descriptor = load(memory, descriptor.wrapping_add(8))?;
        }
        if frame.len() < length || length < 10 {
            return None;
        }
        match key {
            None => {}
            Some(key) if key.algorithm == ALGORITHM_CCMP => {
                frame = crypto::ccmp_seal(&key.key, &frame)?;
            }
            // An access point of the program's own, for old stations. There are none here, so that
            // nobody reads it: it takes its time on the air, without its contents.
            Some(_) => {
                let body = Header::parse(&frame)?.length + CCMP_HEADER;
                frame.get_mut(body..)?.fill(0);
                frame.resize(frame.len() + TKIP_MIC, 0);
            }
        }
        let slots = self.word(at + slot::BACKOFF) >> 12 & 0x3FF;
        Some(Sending { frame, rate, slots })
    }

    /// A slot that cannot be sent is over as soon as time goes on.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Ends a slot that could not be sent; its number.
    pub fn end_broken(&mut self, memory: &Memory) -> Option<u32> {
        let slot = self.broken.take()?;
        self.end(slot, result::ERROR, memory);
        Some(slot)
    }

    /// The air says how the frame that it was given ended.
    pub fn sent(&mut self, sent: Sent, memory: &Memory) {
        let Some(&slot) = self.slots.front() else { return };
        let strength = (i32::from(sent.rssi) - RX_ZERO) as u8;
        self.put(reg::ACK_RSSI, u32::from(sent.acked) << 24 | u32::from(strength) << 16);
        self.end(slot, if sent.acked { result::GOOD } else { result::NO_ACK }, memory);
    }

    fn end(&mut self, slot: u32, result: u32, memory: &Memory) {
        self.slots.retain(|s| *s != slot);
        self.sending = false;
        self.set(slot_at(slot) + slot::START, |word| word & !START_BITS);
        // The libraries of the RTOS SDK read the slot from bits 11:8, older ones from 15:12; these
        // also want to be told that the frame was begun, before its end or with it.
        self.put(reg::TX_STATUS, slot << 8 | slot << 12 | result << 28);
        self.raw |= interrupt::SENT | interrupt::BEGUN;
        self.next_slot(memory);
    }

    /// A frame is heard on the channel: counted, and put into the ring if it is for this station.
    pub fn heard(&mut self, heard: &Heard, memory: &mut Memory) {
        if self.word(reg::RX_CONTROL) & RX_ON == 0 {
            return;
        }
        self.set(reg::HEARD, |count| count.wrapping_add(1));
        let frame = &heard.frame;
        let Some(head) = Header::parse(frame) else { return };
        let own = self.matches(head.receiver, reg::ADDRESS, reg::ADDRESS_MASK);
        let sender = if head.is_management() { head.third } else { head.transmitter };
        let bssid = self.matches(sender, reg::BSSID, reg::BSSID_MASK);
        let for_us = own.contains(&Some(true));
        // Data for a group is for those of the same network only.
        let for_group = is_group(head.receiver)
            && (head.is_management() || bssid.contains(&Some(true)) || bssid == [None, None]);
        if !for_us && !for_group {
            return;
        }
        let end = self.microseconds(heard.at);
        let start = end.saturating_sub(heard.rate.air_time(frame.len() + 4) / 1000);
        self.put(reg::RX_END_TIME, end as u32);
        self.put(reg::RX_START_TIME, start as u32);
        self.follow_tsf(&head, frame, bssid, start);
        let clear = if head.protected() { self.decrypt(&head, frame) } else { Some(frame.clone()) };
        if let Some(clear) = clear {
            self.deliver(&with_fcs(&clear), heard, own, memory);
        }
    }

    /// The clock of the network is the access point's.
    fn follow_tsf(&mut self, head: &Header, frame: &[u8], bssid: [Option<bool>; 2], start: u64) {
        let follows = self.word(reg::TSF_CONTROL) >> 30 == 3 && bssid[0] == Some(true);
        if follows
            && head.kind == kind::BEACON
            && let Some(&stamp) = frame.get(head.length..).and_then(<[u8]>::first_chunk)
        {
            self.tsf = u64::from_le_bytes(stamp).wrapping_sub(start);
        }
    }

    /// Clear text, still with its CCMP header, and nothing where its integrity code was; none
    /// without the right key.
    fn decrypt(&self, head: &Header, frame: &[u8]) -> Option<Vec<u8>> {
        let id = u32::from(frame.get(head.length..)?.get(3)? >> 6);
        let group = is_group(head.receiver);
        let key = (0..KEYS).filter_map(|n| self.key(n)).find(|key| {
            key.algorithm == ALGORITHM_CCMP
                && key.address == head.transmitter
                && key.group == group
                && (!group || key.id == id)
        })?;
        let mut clear = crypto::ccmp_open(&key.key, frame)?;
        debug_assert!(clear.len() >= head.length + CCMP_HEADER);
        clear.extend([0; CCMP_MIC]);
        Some(clear)
    }

    fn key(&self, number: u32) -> Option<KeyEntry> {
        if number >= KEYS || self.word(reg::KEYS_VALID) >> number & 1 == 0 {
            return None;
        }
        let at = reg::KEYS + KEY_SIZE * number;
        let flags = self.word(at + 4);
        let mut key = [0; 16];
        for (i, bytes) in (0..).zip(key.chunks_mut(4)) {
            bytes.copy_from_slice(&self.word(at + 8 + 4 * i).to_le_bytes());
        }
        Some(KeyEntry {
            address: address(self.word(at), flags),
            algorithm: flags >> 18 & 7,
            // 2 is a station's own key, 6 the network's for broadcasts, as libpp writes them.
            group: flags >> 21 & 7 == 6,
            id: flags >> 30,
            key,
        })
    }

    /// Puts a frame with its checksum into the ring. All descriptors that it needs must be the
    /// hardware's, or it is lost.
    fn deliver(
        &mut self,
        frame: &[u8],
        heard: &Heard,
        own: [Option<bool>; 2],
        memory: &mut Memory,
    ) {
        if frame.len() > LONGEST {
            return;
        }
        let mut bytes = rx_control(frame.len(), heard, own).to_vec();
        bytes.extend(frame);
        let last = self.word(reg::RX_LAST);
        let mut next = self.word(reg::RX_NEXT);
        if next == 0 {
            // The chain had come to its end; meanwhile it may have been made longer.
            next = load(memory, last.wrapping_add(8)).unwrap_or(0);
        }
        self.untaken.retain(|frame| {
            let last = frame.descriptors.last().and_then(|at| load(memory, *at));
            last == Some(frame.word)
        });
        let mut chain = Vec::new();
        let mut room = 0;
        let mut at = next;
        while room < bytes.len() && chain.len() < MOST_DESCRIPTORS {
            let descriptor = (|| {
                let word = load(memory, at)?;
                let buffer = load(memory, at.wrapping_add(4))?;
                let follows = load(memory, at.wrapping_add(8))?;
                let size = (word & 0xFFF) as usize;
                slice(memory, buffer, size)?;
                let free = !self.untaken.iter().any(|frame| frame.descriptors.contains(&at));
                (free && word & DESCRIPTOR_OWNER != 0 && size > 0)
                    .then_some((word, buffer, follows, size))
            })();
            let Some((word, buffer, follows, size)) = descriptor else { break };
            chain.push((at, word, buffer, size));
            room += size;
            at = follows;
        }
        if room < bytes.len() {
            self.overflows += 1;
            return;
        }
        let mut rest = &bytes[..];
        let count = chain.len();
        let mut untaken = Untaken { descriptors: Vec::new(), word: 0 };
        for (i, (descriptor, word, buffer, size)) in chain.into_iter().enumerate() {
            let (piece, more) = rest.split_at(rest.len().min(size));
            rest = more;
            let end = if i + 1 == count { DESCRIPTOR_END } else { 0 };
            let word = word & 0x9F00_0FFF | (piece.len() as u32) << 12 | end;
            store(memory, buffer, piece);
            store(memory, descriptor, &word.to_le_bytes());
            self.put(reg::RX_LAST, descriptor);
            untaken.descriptors.push(descriptor);
            untaken.word = word;
        }
        self.untaken.push(untaken);
        self.put(reg::RX_NEXT, at);
        self.put(reg::RX_CURRENT, at);
        self.raw |= interrupt::RECEIVED;
    }

    /// Received frames that found no room in the ring.
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.overflows
    }
}

struct KeyEntry {
    address: Address,
    algorithm: u32,
    group: bool,
    id: u32,
    key: crypto::Key,
}

/// What stands in front of a received frame.
fn rx_control(length: usize, heard: &Heard, own: [Option<bool>; 2]) -> [u8; RX_HEADER] {
    let strength = (i32::from(heard.rssi) - RX_ZERO) as u8;
    let matched = |n: usize| u32::from(own[n] == Some(true));
    let mut words = [
        u32::from(strength)
            | u32::from(heard.rate.to_chip()) << 8
            | (length as u32 & 0xFFF) << 16
            | matched(0) << 28
            | matched(1) << 29
            // The libraries take beacons of others only with this bit.
            | 1 << 30,
        0,
        u32::from(NOISE as u8) << 24,
    ];
    if let Rate::Ht(mcs) = heard.rate {
        words[0] |= 1 << 14;
        words[1] = u32::from(mcs) | (length as u32) << 8;
    }
    if is_group(frame::receiver_of(&heard.frame)) {
        words[0] |= 1 << 12;
    }
    let mut bytes = [0; RX_HEADER];
    for (chunk, word) in bytes.chunks_mut(4).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn address(low: u32, high: u32) -> Address {
    let [a, b, c, d] = low.to_le_bytes();
    let [e, f, ..] = high.to_le_bytes();
    [a, b, c, d, e, f]
}

fn slot_at(slot: u32) -> u32 {
    reg::SLOT - SLOT_SIZE * slot
}

/// The slot whose word at `word` is at `offset`.
fn slot_of(offset: u32, word: u32) -> Option<u32> {
    (0..SLOTS).find(|slot| slot_at(*slot) + word == offset)
}

fn slice(memory: &Memory, address: u32, length: usize) -> Option<&[u8]> {
    let at = address.checked_sub(DRAM.start)? as usize;
    memory.get(at..at.checked_add(length)?)
}

fn load(memory: &Memory, address: u32) -> Option<u32> {
    Some(u32::from_le_bytes(*slice(memory, address, 4)?.first_chunk()?))
}

/// Where [`slice`] has said that there is memory.
fn store(memory: &mut Memory, address: u32, bytes: &[u8]) {
    let at = address.wrapping_sub(DRAM.start) as usize;
    if let Some(place) = memory.get_mut(at..at.saturating_add(bytes.len())) {
        place.copy_from_slice(bytes);
    }
}
