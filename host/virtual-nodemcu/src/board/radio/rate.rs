//! Rates, and how long frames are on the air.

/// Between a frame and its acknowledgement, in nanoseconds.
pub const SIFS: u64 = 10_000;
/// A slot of the back-off.
pub const SLOT: u64 = 9_000;
/// How long the medium must be free before a frame.
pub const DIFS: u64 = SIFS + 2 * SLOT;
/// Smallest contention window, in slots.
pub const WINDOW: u32 = 15;
/// Bytes of an acknowledgement.
const ACK: usize = 14;

/// How a frame is modulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// 802.11b, in units of 500 kbit/s; true: with the short preamble.
    Dsss(u8, bool),
    /// 802.11g, in units of 500 kbit/s.
    Ofdm(u8),
    /// 802.11n, one stream, 20 MHz: MCS 0-7.
    Ht(u8),
}

/// 1 Mbit/s.
pub const SLOWEST: Rate = Rate::Dsss(2, false);

impl Rate {
    /// The rate that the chip's number stands for; none: there is no such rate.
    #[must_use]
    pub fn from_chip(code: u8) -> Option<Self> {
        const OFDM: [u8; 8] = [96, 48, 24, 12, 108, 72, 36, 18];
        const DSSS: [u8; 4] = [2, 4, 11, 22];
        match code {
            0..=3 => Some(Self::Dsss(DSSS[usize::from(code)], false)),
            5..=7 => Some(Self::Dsss(DSSS[usize::from(code - 4)], true)),
            8..=15 => Some(Self::Ofdm(OFDM[usize::from(code - 8)])),
            _ => None,
        }
    }

    /// The chip's number of it; for 802.11n the one of MCS 0's nearest, as the number is not used
    /// there.
    #[must_use]
    pub fn to_chip(self) -> u8 {
        (0..16).find(|code| Self::from_chip(*code) == Some(self)).unwrap_or(0xB)
    }

    /// In units of 500 kbit/s.
    #[must_use]
    pub fn units(self) -> u8 {
        const HT: [u8; 8] = [13, 26, 39, 52, 78, 104, 117, 130];
        match self {
            Self::Dsss(units, _) | Self::Ofdm(units) => units,
            Self::Ht(mcs) => HT[usize::from(mcs & 7)],
        }
    }

    /// Nanoseconds that a frame of so many bytes (checksum included) takes.
    #[must_use]
    pub fn air_time(self, bytes: usize) -> u64 {
        let bits = bytes as u64 * 8;
        // Bits of a symbol of 4 us: 2 for each 500 kbit/s. 22 bits of service and tail; 6 us of
        // silence behind, for the receiver's decoder.
        let symbols = |units: u8| (bits + 22).div_ceil(2 * u64::from(units)) * 4_000 + 6_000;
        match self {
            Self::Dsss(units, short) => {
                let preamble = if short { 96_000 } else { 192_000 };
                preamble + (bits * 2_000).div_ceil(u64::from(units))
            }
            Self::Ofdm(units) => 20_000 + symbols(units),
            Self::Ht(_) => 36_000 + symbols(self.units()),
        }
    }

    /// The rate of the acknowledgement: the fastest mandatory one that is not faster.
    #[must_use]
    pub fn of_ack(self) -> Self {
        match self {
            Self::Dsss(2, _) => SLOWEST,
            Self::Dsss(_, short) => Self::Dsss(4, short),
            Self::Ofdm(_) | Self::Ht(_) => match self.units() {
                0..=23 => Self::Ofdm(12),
                24..=47 => Self::Ofdm(24),
                _ => Self::Ofdm(48),
            },
        }
    }

    /// Nanoseconds from the end of a frame to the end of its acknowledgement.
    #[must_use]
    pub fn ack_time(self) -> u64 {
        SIFS + self.of_ack().air_time(ACK)
    }

    /// The weakest signal, in dBm, at which a receiver makes anything of it: the chip's data sheet
    /// gives -98 at 1 Mbit/s, -91 at 11, -93 at 6, -75 at 54 and -72 at MCS 7.
    #[must_use]
    pub fn sensitivity(self) -> i32 {
        match self {
            Self::Dsss(2, _) => -98,
            Self::Dsss(4, _) => -95,
            Self::Dsss(..) => -91,
            Self::Ofdm(_) | Self::Ht(_) => match self.units() {
                0..=13 => -93,
                14..=26 => -89,
                27..=39 => -86,
                40..=52 => -83,
                53..=78 => -79,
                79..=104 => -76,
                105..=108 => -75,
                _ => -72,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of IEEE 802.11-2016 (16.2.5, 17.4.3): an ACK at 6 Mbit/s takes 44 us, a frame of
    /// 1536 bytes at 54 Mbit/s 254 us with its signal extension, 100 bytes at 1 Mbit/s 992 us.
    #[test]
    fn frames_take_their_time() {
        assert_eq!(Rate::Ofdm(12).air_time(14), 50_000);
        assert_eq!(Rate::Ofdm(108).air_time(1536), 254_000);
        assert_eq!(SLOWEST.air_time(100), 992_000);
        assert_eq!(Rate::Dsss(22, true).air_time(1024), 840_728);
        assert_eq!(Rate::Ofdm(108).ack_time(), 10_000 + 20_000 + 8_000 + 6_000);
    }

    #[test]
    fn the_chips_numbers_are_read_and_written() {
        assert_eq!(Rate::from_chip(0xB), Some(Rate::Ofdm(12)));
        assert_eq!(Rate::from_chip(4), None);
        for code in (0..16).filter(|code| *code != 4) {
            assert_eq!(Rate::from_chip(code).unwrap().to_chip(), code);
        }
    }
}
