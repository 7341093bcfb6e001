//! The analogue side: the bus to its registers, the baseband's, and the answers that a calibration
//! waits for. Nothing is measured; what is read says "done" and "good".

use std::collections::HashMap;

use crate::snapshot::keep;

/// The baseband's registers.
pub const BASEBAND: std::ops::Range<u32> = 0x6000_9000..0x6000_A000;
/// The bus to analogue registers: a command register for each of eight hosts.
pub const ANALOG: std::ops::Range<u32> = 0x6000_0D00..0x6000_0D20;
/// IQ and power estimation.
pub const ESTIMATION: u32 = 0x6000_057C;
/// State after a short sleep, while the PLL settles.
pub const WAKE: u32 = 0x6000_0728;

const ANALOG_WRITE: u32 = 1 << 24;
const ESTIMATION_DONE: u32 = 1 << 31;
/// The chip never sleeps here: it is awake, and no sleep was refused.
const AWAKE: u32 = 1;
/// The RF PLL's block, and the register whose bit 7 says that its calibration is over.
const RF_PLL: (u8, u8) = (0x62, 7);
/// The CPU's PLL: block, and its registers with their values for a crystal of 26 MHz.
const CPU_PLL: u8 = 0x67;
const CPU_PLL_26MHZ: [(u8, u8); 2] = [(1, 0x88), (2, 0x91)];

/// Baseband, from [`BASEBAND`]'s start: the channel's frequency.
const FREQUENCY: u32 = 0xB14;
/// Noise floor, measured.
const NOISE: u32 = 0x824;
/// (x - 4095) / 2 quarters of a decibel: -96 dBm.
const NOISE_FLOOR: u32 = 0xCFF;
/// Starts the measurement of the noise floor.
const MEASURE: u32 = 0xB60;
const MEASURE_NOISE: u32 = 1 << 1;
/// 50 * 2^20 * 2, by which the channel's frequency in MHz is told.
const FREQUENCY_SCALE: u32 = 104_857_600;

/// The registers.
#[derive(Clone, Debug)]
pub struct Phy {
    baseband: Box<[u32; 0x400]>,
    /// By block and register.
    analog: HashMap<(u8, u8), u8>,
    commands: [u32; 8],
}

keep!(Phy { baseband, analog, commands });

impl Default for Phy {
    fn default() -> Self {
        Self { baseband: Box::new([0; 0x400]), analog: HashMap::new(), commands: [0; 8] }
    }
}

impl Phy {
    /// Reads a register of the baseband.
    #[must_use]
    pub fn read(&self, address: u32) -> u32 {
        match address - BASEBAND.start {
            NOISE => NOISE_FLOOR,
            offset => self.baseband[offset as usize / 4],
        }
    }

    /// Writes a register of the baseband.
    pub fn write(&mut self, address: u32, value: u32) {
        let offset = address - BASEBAND.start;
        // A measurement is over at once.
        let value = if offset == MEASURE { value & !MEASURE_NOISE } else { value };
        self.baseband[offset as usize / 4] = value;
    }

    /// What a register outside of the baseband reads, given what was written there; none: that.
    #[must_use]
    pub fn answer(&self, address: u32, stored: u32) -> Option<u32> {
        match address {
            ESTIMATION => Some(stored | ESTIMATION_DONE),
            WAKE => Some(AWAKE),
            address if ANALOG.contains(&address) => {
                Some(self.commands[(address - ANALOG.start) as usize / 4])
            }
            _ => None,
        }
    }

    /// A command on the bus to analogue registers; it is done at once.
    pub fn command(&mut self, address: u32, command: u32) {
        let host = (address - ANALOG.start) as usize / 4;
        let [block, register, value, _] = command.to_le_bytes();
        let value = if command & ANALOG_WRITE != 0 {
            self.set_analog(block, register, value);
            value
        } else {
            self.analog(block, register)
        };
        self.commands[host] = command & 0x0100_FFFF | u32::from(value) << 16;
    }

    /// An analogue register.
    #[must_use]
    pub fn analog(&self, block: u8, register: u8) -> u8 {
        let value = self.analog.get(&(block, register)).copied().unwrap_or(0);
        if (block, register) == RF_PLL { value | 0x80 } else { value }
    }

    /// Sets an analogue register.
    pub fn set_analog(&mut self, block: u8, register: u8, value: u8) {
        self.analog.insert((block, register), value);
    }

    /// Whether the CPU's PLL is set up for the crystal.
    #[must_use]
    pub fn cpu_pll(&self) -> bool {
        CPU_PLL_26MHZ.iter().all(|(register, value)| self.analog(CPU_PLL, *register) == *value)
    }

    /// The channel that the receiver is on; none: on no channel's frequency.
    #[must_use]
    pub fn channel(&self) -> Option<u8> {
        let divider = self.baseband[FREQUENCY as usize / 4] >> 16;
        let mhz = (FREQUENCY_SCALE + divider / 2).checked_div(divider)?;
        match mhz {
            2484 => Some(14),
            2412..=2472 if (mhz - 2407).is_multiple_of(5) => Some(((mhz - 2407) / 5) as u8),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_is_known_by_its_frequency() {
        let mut phy = Phy::default();
        assert_eq!(phy.channel(), None);
        let seen = [(0xA9D2, Some(1)), (0xA814, Some(6)), (0xA608, Some(12)), (0xA5B2, Some(13))];
        for (half, channel) in seen.into_iter().chain([(0xA4E4, Some(14)), (0xA9FB, None)]) {
            phy.write(BASEBAND.start + FREQUENCY, half << 16 | 0x1234);
            assert_eq!(phy.channel(), channel, "{half:#x}");
        }
        for channel in 1..=13u8 {
            let mhz = 2407.0 + 5.0 * f64::from(channel);
            let field = (50.0 * f64::from(1 << 20) / mhz).round() as u32;
            phy.write(BASEBAND.start + FREQUENCY, field << 17);
            assert_eq!(phy.channel(), Some(channel));
        }
    }

    #[test]
    fn the_analogue_bus_answers() {
        let mut phy = Phy::default();
        phy.command(ANALOG.start + 16, 0x0388_0167 & 0x00FF_FFFF | ANALOG_WRITE);
        assert!(!phy.cpu_pll());
        phy.command(ANALOG.start + 16, 0x0091_0267 | ANALOG_WRITE);
        assert!(phy.cpu_pll());
        phy.command(ANALOG.start + 4, 0x0000_0762);
        assert_eq!(phy.answer(ANALOG.start + 4, 0), Some(0x0080_0762), "calibrated, not busy");
        phy.write(0x6000_9B60, 3);
        assert_eq!(phy.read(0x6000_9B60), 1);
        assert_eq!(phy.answer(ESTIMATION, 2), Some(0x8000_0002));
    }
}
