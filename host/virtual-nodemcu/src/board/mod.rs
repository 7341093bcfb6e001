//! The board around the core: memory map, devices, flash, boot ROM and serial line.

pub mod clock;
pub mod control;
pub mod flash;
pub mod gpio;
pub mod hspi;
pub mod machine;
#[cfg(feature = "network")]
pub mod net;
#[cfg(not(feature = "network"))]
#[path = "no_net.rs"]
pub mod net;
pub mod nic;
pub mod noise;
pub mod pins;
pub mod radio;
pub mod recent;
pub mod rom;
pub mod serial;
pub mod spi;
pub mod timer;
pub mod uart;
pub mod watchdog;

use std::ops::Range;

use crate::cpu::{Bus, Cause, Signals};
use crate::parts::{Part, Parts, Spec};
use crate::snapshot::{Keep, Kept, LATEST, Tape, check, keep_enum};
use clock::Clock;
use flash::Flash;
use gpio::Gpio;
use hspi::Hspi;
use nic::Nic;
use noise::Noise;
use pins::{Drive, Pull, Wiring};
use radio::Radio;
use radio::mac::{MAC, Mac};
use radio::phy::{self, BASEBAND};
use spi::Spi;
use timer::{Kind, Timer};
use uart::Uart;
use watchdog::{Bite, Watchdog};

/// Data RAM: 80 KiB for programs and 16 KiB that the ROM uses until the program runs.
pub const DRAM: Range<u32> = 0x3FFE_8000..0x4000_0000;
/// Instruction RAM, and behind it the RAM of the flash cache.
pub const IRAM: Range<u32> = 0x4010_0000..0x4011_0000;
/// The boot ROM.
pub const ROM: Range<u32> = 0x4000_0000..0x4001_0000;
/// Bytes of [`ROM`].
const ROM_SIZE: usize = (ROM.end - ROM.start) as usize;
/// The window through which the cache shows 1 MiB of flash.
pub const FLASH_WINDOW: Range<u32> = 0x4020_0000..0x4030_0000;
/// RTC memory: 512 bytes of the SDK's and 512 of the user's.
pub const RTC_MEMORY: Range<u32> = 0x6000_1000..0x6000_1400;
const DPORT: Range<u32> = 0x3FF0_0000..0x3FF0_1000;
const PERIPHERALS: Range<u32> = 0x6000_0000..0x6000_1000;
/// Where the chip has devices; those not modelled read as zero and take what is written.
const DEVICES: [Range<u32>; 2] = [0x3FF0_0000..DRAM.start, 0x6000_0000..0x6001_0000];
const NIC: Range<u32> = nic::BASE..nic::BASE + 0x100;

/// The registers of UART0.
const UART0: u32 = 0x6000_0000;
/// DPORT: bit 0 lets an interrupt through to the core's NMI, bits 4:1 say whose.
const DPORT_NMI: u32 = 0x00;
/// The sources of [`DPORT_NMI`] that programs choose: 1 is written for the radio's interrupt, 15 for
/// FRC1's (NmiTimSetFunc of the SDK). Others are not known; the order would be that of the core's inputs.
mod nmi_source {
    pub const MAC: u32 = 0;
    pub const FRC1: u32 = 7;
}
/// DPORT: bit 0 doubles the CPU's clock.
const DPORT_CLOCK: u32 = 0x14;
/// DPORT: the flash cache. Bit 8 turns it on, bits 25:24 choose the odd (10) or even (01) MiB,
/// bits 18:16 which two MiB. (The names are ours; the ROM's Cache_Read_Enable sets them.)
const DPORT_CACHE: u32 = 0x0C;
/// DPORT: bits 4:3 give the upper half of IRAM to the cache, 16 KiB each.
const DPORT_CACHE_RAM: u32 = 0x24;
/// DPORT: the first of four words of eFuse contents.
const DPORT_EFUSE: u32 = 0x50;
const CACHE_ON: u32 = 1 << 8;
/// Bit 0 empties the cache; bit 1 says that it is empty.
const CACHE_FLUSH: u32 = 1 << 0;
const CACHE_EMPTY: u32 = 1 << 1;
/// Bit 1 of this register is a pulse on the MAC's reset.
const MAC_RESET: u32 = 0x6000_0D48;
const MAC_RESET_PULSE: u32 = 1 << 1;
/// Measures the RTC's slow clock: bits 9:0 say over how many of its periods; bit 31 starts.
const RTC_CALIBRATION: u32 = 0x6000_036C;
/// When a sleep ends, in periods of the RTC's slow clock.
const RTC_WAKE_AT: u32 = 0x6000_0704;
/// Bit 20 starts a sleep.
const RTC_SLEEP: u32 = 0x6000_0708;
const RTC_SLEEP_NOW: u32 = 1 << 20;
/// Bits 5:0: what ends a sleep; bits 13:8: what did.
const RTC_WAKE: u32 = 0x6000_0718;
const WAKE_BY_GPIO: u32 = 4;
const WAKE_BY_TIMER: u32 = 8;
/// The longest that a light sleep lasts before the outside gets its turn (ns).
const DOZE_NS: u64 = 1_000_000;
/// The first of four words, among the `other` ones, that only a reset from outside clears: in one
/// of them the SDK's libraries leave why they reset the chip.
const RTC_STORES: usize = 0x730 / 4;
/// All ones before a deep sleep and never otherwise: what the SDK switches off with it.
const RTC_POWER_DOWN: u32 = 0x6000_0740;
/// The result: periods of the crystal in bits 19:0, bit 31 when it is there.
const RTC_CALIBRATION_VALUE: u32 = 0x6000_0370;

/// What is not modelled although its registers keep what is written: the bits that start it.
const ABSENT: [(u32, u32, &str); 5] = [
    (0x6000_0E08, 3 << 8, "I2S"),
    (0x6000_0B24, 1 << 29, "the DMA of I2S and SDIO"),
    (0x6000_0B28, 1 << 29, "the DMA of I2S and SDIO"),
    (0x6000_0368, 1 << 16, "sigma-delta at pins"),
    (0x3FF0_0028, 1 << 2, "UART0 at GPIO13 and GPIO15"),
];

/// Addresses that are named because nothing is modelled there: a program that has lost its way
/// touches them all.
const MOST_REPORTED: usize = 256;

/// Interrupt inputs of the core.
mod line {
    /// For programs that do not take it by the NMI.
    pub const MAC: u32 = 0;
    pub const NIC: u32 = 1;
    pub const GPIO: u32 = 4;
    pub const UART: u32 = 5;
    pub const WATCHDOG: u32 = 8;
    pub const FRC1: u32 = 9;
    pub const FRC2: u32 = 10;
    pub const NMI: u32 = 14;
}

/// The IOMUX at 0x60000800: a word for each pad.
mod pads {
    /// The pad's pull-up.
    pub const PULL_UP: u32 = 1 << 7;
    /// GPIO numbers by register, from offset 4 on (SDK, eagle_soc.h).
    const GPIO: [u32; 16] = [12, 13, 14, 15, 3, 1, 6, 7, 8, 9, 10, 11, 0, 2, 4, 5];

    /// The function that a pad's register chooses.
    pub fn function(value: u32) -> u32 {
        value >> 4 & 3 | value >> 6 & 4
    }

    /// The pin whose pad the register at `offset` sets.
    pub fn gpio(offset: u32) -> Option<u32> {
        GPIO.get((offset as usize / 4).checked_sub(1)?).copied()
    }
}

/// The ADC's samples, eight of them.
const SAR_DATA: Range<u32> = 0x6000_0D80..0x6000_0DA0;

/// By its bit 21 (word of 0x60000D5C) the ADC's input is the pin TOUT, and not the radio's detectors.
const SAR_INPUT: usize = 0xD5C / 4;
const SAR_TOUT: u32 = 1 << 21;

/// The sample from which programs compute `value`: they invert it, take 11 bits, stretch the lower
/// eight by 279/256 above an offset of 21, and take a sixteenth of the sum of eight.
fn sar_sample(value: u16) -> u32 {
    let doubled = u32::from(value.min(1023)) * 2;
    !(doubled & 0x700 | (((doubled & 0xFF) * 256).div_ceil(279) + 21))
}

/// A sample of the radio's detectors: the last two, from which programs tell nothing from something,
/// are lower (they are inverted) than what is measured. Libraries up to SDK 0.9.1 divide by the difference.
fn detector_sample(address: u32) -> u32 {
    if address < SAR_DATA.start + 6 * 4 { 0 } else { 0x40 }
}

/// What the ROM reports as reset cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetCause {
    /// Power came on: RAM and RTC memory are lost.
    #[default]
    PowerOn = 1,
    /// The reset pin (EN), or a reset asked for through the RTC.
    External = 2,
    /// The watchdog.
    Watchdog = 4,
    /// The end of a deep sleep: RAM is lost, RTC memory is not.
    DeepSleep = 5,
}

/// How long the chip wants to sleep deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sleep {
    /// Until its timer pulls GPIO16 low, after so many nanoseconds.
    For(u64),
    /// Until it is reset.
    Forever,
}

/// What the board has to say to whoever watches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A pin's level changed while the pin is an output, or became one.
    Pin {
        /// Its number.
        pin: u32,
        /// Its level.
        high: bool,
        /// When, in nanoseconds since the board was made.
        time: u64,
    },
    /// The level at a pin that is watched changed, whoever did it.
    Level {
        /// Its number.
        pin: u32,
        /// Its level.
        high: bool,
        /// When, in nanoseconds since the board was made.
        time: u64,
    },
    /// A program did something that the board does not model; said once per kind and address.
    Unmodelled(String),
    /// The program came to its end: nothing goes on but the watchdog.
    Crash(String),
}

/// All of the board but the core.
pub struct Board {
    iram: Box<[u8; 0x1_0000]>,
    dram: Box<[u8; 0x1_8000]>,
    rtc_memory: [u8; 0x400],
    dport: [u32; 64],
    other: [u32; 1024],
    /// A boot ROM that somebody dumped, instead of the host's.
    dump: Option<Box<[u8; ROM_SIZE]>>,
    /// The flash chip.
    pub flash: Flash,
    spi: [Spi; 2],
    hspi: Hspi,
    /// UART0 and UART1.
    pub uarts: [Uart; 2],
    /// The pins.
    pub gpio: Gpio,
    timers: [Timer; 2],
    watchdog: Watchdog,
    /// The network port.
    pub nic: Nic,
    /// The radio.
    pub radio: Radio,
    /// The clock.
    pub clock: Clock,
    mac: [u8; 6],
    cause: ResetCause,
    wiring: Wiring,
    /// What is wired to the pins.
    pub parts: Parts,
    /// Pins each change of which is an [`Event::Level`], a bit each.
    pub watched: u32,
    /// What the ADC measures: 0 to 1023.
    pub adc: u16,
    /// The random source.
    pub noise: Noise,
    /// A reset that the watchdog or the program demands.
    demanded: Option<ResetCause>,
    /// The program asked for a deep sleep.
    sleep: Option<Sleep>,
    /// The chip sleeps lightly until this moment (ns), unless a pin wakes it earlier.
    doze: Option<u64>,
    invalidate: Option<Range<u32>>,
    stop: bool,
    /// The last cycle that devices have seen.
    seen: u64,
    events: Vec<Event>,
    reported: std::collections::HashSet<u32>,
}

keep_enum!(ResetCause { PowerOn, External, Watchdog, DeepSleep });

/// Everything but what is the host's: parts, the random source, what is still to be said.
impl Keep for Board {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        let Self {
            iram,
            dram,
            rtc_memory,
            dport,
            other,
            dump,
            flash,
            spi,
            hspi,
            uarts,
            gpio,
            timers,
            watchdog,
            nic,
            radio,
            clock,
            mac,
            cause,
            wiring,
            adc,
            demanded,
            seen,
            parts: _,
            watched: _,
            noise: _,
            sleep: _,
            doze,
            invalidate,
            stop,
            events: _,
            reported: _,
        } = self;
        tape.bytes(&mut iram[..])?;
        tape.bytes(&mut dram[..])?;
        tape.bytes(rtc_memory)?;
        let mut dumped = dump.is_some();
        dumped.keep(tape)?;
        if dumped {
            tape.bytes(&mut dump.get_or_insert_with(|| Box::new([0; ROM_SIZE]))[..])?;
        }
        dport.keep(tape)?;
        other.keep(tape)?;
        flash.keep(tape)?;
        spi.keep(tape)?;
        hspi.keep(tape)?;
        uarts.keep(tape)?;
        gpio.keep(tape)?;
        clock.keep(tape)?;
        seen.keep(tape)?;
        check(clock.start() <= *seen && *seen < LATEST, "its clock is ahead of it")?;
        timers.keep(tape)?;
        let tick = clock.ticks(*seen);
        check(timers.iter().all(|timer| timer.since() <= tick), "a timer is ahead of its clock")?;
        watchdog.keep(tape)?;
        nic.keep(tape)?;
        radio.keep(tape)?;
        mac.keep(tape)?;
        cause.keep(tape)?;
        wiring.keep(tape)?;
        adc.keep(tape)?;
        check(*adc <= 1023, "the ADC measures more than it can")?;
        demanded.keep(tape)?;
        doze.keep(tape)?;
        check(doze.is_none_or(|until| until <= LATEST), "it sleeps for ever")?;
        if tape.plays() {
            // Whatever was decoded or planned is not any more.
            *invalidate = Some(0..u32::MAX);
            *stop = true;
            self.gpio.set_other(self.hspi.shown());
            self.gpio.set_outside(self.outside());
        }
        Ok(())
    }
}

/// Pins as the board's resistors pull them: all up but GPIO15.
const PULLS: u32 = gpio::PINS & !(1 << 15);

impl Board {
    /// A board with this flash chip and station address. `seed` starts the random source.
    #[must_use]
    pub fn new(flash: Flash, mac: [u8; 6], seed: u64) -> Self {
        Self {
            // RAM is not cleared by anything: what a program does not set is not zero.
            iram: Box::new([0xA5; 0x1_0000]),
            dram: Box::new([0xA5; 0x1_8000]),
            rtc_memory: [0xA5; 0x400],
            dport: [0; 64],
            other: [0; 1024],
            dump: None,
            flash,
            spi: Default::default(),
            hspi: Hspi::default(),
            uarts: Default::default(),
            gpio: Gpio::new(Wiring::new(PULLS).outside(0, 0)),
            timers: [Timer::new(Kind::Frc1), Timer::new(Kind::Frc2)],
            watchdog: Watchdog::default(),
            nic: Nic::new(mac),
            radio: Radio::new(seed),
            clock: Clock::new(0, 0),
            mac,
            cause: ResetCause::PowerOn,
            wiring: Wiring::new(PULLS),
            parts: Parts::default(),
            watched: 0,
            adc: 0,
            noise: Noise::new(seed),
            demanded: None,
            sleep: None,
            doze: None,
            invalidate: None,
            stop: false,
            seen: 0,
            events: Vec::new(),
            reported: std::collections::HashSet::new(),
        }
    }

    /// Puts a boot ROM in place that was dumped from a chip: it is executed from the reset vector
    /// on, and the host does none of its functions. Before a [`Machine`](machine::Machine) is made.
    ///
    /// # Errors
    /// What is wrong with the dump.
    pub fn set_rom(&mut self, dump: &[u8]) -> Result<(), String> {
        let length = dump.len();
        let bytes =
            Box::<[u8; ROM_SIZE]>::try_from(dump.to_vec().into_boxed_slice()).map_err(|_| {
                format!("a dump of the boot ROM has {ROM_SIZE} bytes, this has {length}")
            })?;
        let at = (rom::CHIP_MAGIC.0 - ROM.start) as usize;
        if word_at(&bytes[..], at) != rom::CHIP_MAGIC.1 {
            let (address, magic) = rom::CHIP_MAGIC;
            return Err(format!(
                "this is no ESP8266's boot ROM: {magic:#010x} has to stand at {address:#010x}"
            ));
        }
        self.dump = Some(bytes);
        Ok(())
    }

    /// Whether there is a dumped boot ROM ([`set_rom`](Self::set_rom)).
    #[must_use]
    pub fn has_rom(&self) -> bool {
        self.dump.is_some()
    }

    fn rom_word(&self, address: u32) -> u32 {
        match &self.dump {
            Some(dump) => word_at(&dump[..], (address & !3) as usize - ROM.start as usize),
            None => rom::word(address),
        }
    }

    /// A reset from outside comes: the RTC's stores are cleared. The SDK's libraries take such a
    /// reset for one of their own otherwise.
    pub fn clear_rtc_stores(&mut self) {
        self.other[RTC_STORES..][..4].fill(0);
    }

    /// Resets everything that each reset of the chip resets; RAM and RTC memory stay unless the
    /// power was off.
    pub fn reset(&mut self, cause: ResetCause, now: u64) {
        let time = self.clock.nanoseconds(now);
        self.clock = Clock::new(now, time);
        self.seen = now;
        if matches!(cause, ResetCause::PowerOn | ResetCause::DeepSleep) {
            self.iram.fill(0xA5);
            self.dram.fill(0xA5);
        }
        if cause == ResetCause::PowerOn {
            self.rtc_memory.fill(0xA5);
            self.flash.power_on();
            self.parts.power_on(self.gpio.levels(), time);
        }
        self.cause = cause;
        self.dport = [0; 64];
        let efuses = self.efuses();
        self.dport[DPORT_EFUSE as usize / 4..][..4].copy_from_slice(&efuses);
        let (before, rest) = self.other.split_at_mut(RTC_STORES);
        before.fill(0);
        rest[4..].fill(0);
        self.spi = Default::default();
        self.hspi = Hspi::default();
        self.uarts = Default::default();
        let levels = self.gpio.levels();
        self.gpio = Gpio::new(self.outside());
        self.settle(levels, time);
        self.timers = [Timer::new(Kind::Frc1), Timer::new(Kind::Frc2)];
        self.watchdog = Watchdog::default();
        self.nic.reset();
        self.radio.reset(time);
        self.noise.reset();
        if cause == ResetCause::DeepSleep {
            self.other[(RTC_WAKE & 0xFFF) as usize / 4] = WAKE_BY_TIMER << 8;
        }
        self.demanded = None;
        self.sleep = None;
        self.doze = None;
        self.invalidate = Some(0..u32::MAX);
    }

    /// Somebody outside holds `pin`, or lets it go.
    pub fn hold_pin(&mut self, pin: u32, drive: Drive) {
        self.rewire(|wiring| wiring.hold(pin, drive));
    }

    /// Somebody outside drives `pin`.
    pub fn drive_pin(&mut self, pin: u32, high: bool) {
        self.hold_pin(pin, if high { Drive::High } else { Drive::Low });
    }

    /// Another resistor at `pin`.
    pub fn pull_pin(&mut self, pin: u32, pull: Pull) {
        self.rewire(|wiring| wiring.set_pull(pin, pull));
    }

    /// The button FLASH or the transistor at DTR pulls GPIO0 low, or lets it go.
    pub fn set_gpio0_low(&mut self, low: bool) {
        self.rewire(|wiring| wiring.set_gpio0_low(low));
    }

    /// Who is at the pins.
    #[must_use]
    pub fn wiring(&self) -> &Wiring {
        &self.wiring
    }

    fn rewire(&mut self, change: impl FnOnce(&mut Wiring)) {
        let before = self.gpio.levels();
        change(&mut self.wiring);
        self.gpio.set_outside(self.outside());
        self.settle(before, self.clock.nanoseconds(self.seen));
    }

    fn outside(&self) -> pins::Outside {
        let (low, high) = self.parts.held();
        self.wiring.outside(low, high)
    }

    /// Wires a part to its pins, under a name of its own.
    ///
    /// # Errors
    /// The name is taken, or a pin is none.
    pub fn add_part(&mut self, name: &str, part: Box<dyn Part>) -> Result<(), String> {
        self.change_parts(|parts, at| parts.add(name.to_owned(), part, at))
    }

    /// The same for one that is described; its name.
    ///
    /// # Errors
    /// The name is taken.
    pub fn add_part_like(&mut self, spec: &Spec) -> Result<String, String> {
        let name = spec.name_among(&self.parts);
        self.add_part(&name, spec.make()?)?;
        Ok(name)
    }

    /// Takes a part away.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove_part(&mut self, name: &str) -> Result<(), String> {
        self.change_parts(|parts, _| parts.remove(name))
    }

    /// Changes what a part measures or does.
    ///
    /// # Errors
    /// There is no such part or setting, or the value is wrong.
    pub fn set_part(&mut self, name: &str, settings: &[(String, String)]) -> Result<(), String> {
        self.change_parts(|parts, at| parts.set(name, settings, at))
    }

    fn change_parts<T>(&mut self, change: impl FnOnce(&mut Parts, (u64, u32)) -> T) -> T {
        let (time, before) = (self.clock.nanoseconds(self.seen), self.gpio.levels());
        let result = change(&mut self.parts, (time, before));
        self.gpio.set_outside(self.outside());
        self.settle(before, time);
        result
    }

    /// Lets parts see the pins that are no longer as in `before`, and the pins what parts do then.
    fn settle(&mut self, mut before: u32, time: u64) {
        /// A part that answers its own edges would never come to rest.
        const MOST_ROUNDS: u32 = 16;
        for _ in 0..MOST_ROUNDS {
            let levels = self.gpio.levels();
            let changed = levels ^ before;
            for pin in (0..=gpio::RTC_PIN).filter(|pin| changed & self.watched & 1 << pin != 0) {
                self.events.push(Event::Level { pin, high: levels >> pin & 1 != 0, time });
            }
            if changed & self.parts.pins() == 0 {
                return;
            }
            self.parts.edges(changed, levels, time);
            self.gpio.set_outside(self.outside());
            before = levels;
        }
    }

    /// Parts have power from now on, at `time` (ns).
    fn power_parts(&mut self, time: u64) {
        let levels = self.gpio.levels();
        self.parts.power_on(levels, time);
        self.gpio.set_outside(self.outside());
        self.settle(levels, time);
    }

    /// The last cycle that devices have seen.
    fn seen(&self) -> u64 {
        self.seen
    }

    /// The station address.
    #[must_use]
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// What caused the last reset.
    #[must_use]
    pub fn reset_cause(&self) -> ResetCause {
        self.cause
    }

    /// The reset that something demanded since the last call.
    pub fn take_reset(&mut self) -> Option<ResetCause> {
        self.demanded.take()
    }

    /// The deep sleep that the program asked for since the last call.
    pub fn take_sleep(&mut self) -> Option<Sleep> {
        self.sleep.take()
    }

    /// Whether something happened since [`take_events`](Self::take_events).
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.events.is_empty()
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Says once what is not modelled at `address`.
    pub fn unmodelled(&mut self, address: u32, what: impl FnOnce() -> String) {
        if self.reported.len() > MOST_REPORTED {
            return;
        }
        if self.reported.insert(address) {
            let text = if self.reported.len() > MOST_REPORTED {
                format!("not modelled at {MOST_REPORTED} addresses; no more of them are named")
            } else {
                what()
            };
            self.events.push(Event::Unmodelled(text));
        }
    }

    /// Says that the program came to its end.
    pub fn crashed(&mut self, text: String) {
        self.events.push(Event::Crash(text));
    }

    /// The MAC address as the factory burns it: three bytes and a choice of two prefixes, or all
    /// six.
    fn efuses(&self) -> [u32; 4] {
        let m = self.mac.map(u32::from);
        [
            m[5] << 24,
            m[4] | m[3] << 8,
            // Bit 15 says that it is an ESP8266; real chips have bit 12 too.
            0x9000,
            m[0] << 16 | m[1] << 8 | m[2],
        ]
    }

    /// The CPU cycle at which a device has something to do.
    #[must_use]
    pub fn next_event(&self, now: u64) -> Option<u64> {
        // Rounded up by so much, so that it is due when the cycle comes.
        let cycle = |due: u64, up: u64| {
            let left = due.saturating_sub(self.clock.nanoseconds(now));
            now + self.clock.cycles_in(left) + up
        };
        let timers = timer::next_cycle(&self.timers, &self.clock, now);
        let watchdog = self.watchdog.next().map(|due| cycle(due, 2));
        let radio = self.radio.next().map(|due| cycle(due, 1));
        let hz = self.clock.bus_hz();
        let uarts = self.uarts.iter().filter_map(|uart| uart.next(hz)).map(|due| cycle(due, 2));
        let parts = self.parts.next().map(|due| cycle(due, 1));
        let hspi = self.hspi.next().map(|due| cycle(due, 1));
        timers.into_iter().chain(watchdog).chain(radio).chain(uarts).chain(parts).chain(hspi).min()
    }

    /// Lets devices see that it is cycle `now`.
    pub fn advance(&mut self, now: u64) {
        self.seen = now;
        let tick = self.clock.ticks(now);
        for timer in &mut self.timers {
            timer.advance(tick);
        }
        let (time, hz) = (self.clock.nanoseconds(now), self.clock.bus_hz());
        for uart in &mut self.uarts {
            uart.advance(time, hz);
        }
        if self.uarts[0].take_lost() > 0 {
            self.unmodelled(UART0, || {
                "UART0: the program does not take what the host sends; bytes are lost, as on the chip"
                    .to_owned()
            });
        }
        if self.watchdog.advance(time) == Some(Bite::Reset) {
            self.demand_reset(ResetCause::Watchdog);
        }
        self.radio.advance(time, &mut self.dram);
        self.play_hspi(time);
        if self.parts.next().is_some_and(|due| due <= time) {
            self.change_parts(|parts, (time, levels)| parts.wake(levels, time));
        }
    }

    /// Lets the edges of HSPI up to `time` happen, each at its own.
    fn play_hspi(&mut self, time: u64) {
        while let Some(due) = self.hspi.next().filter(|due| *due <= time) {
            let before = self.gpio.levels();
            let received = self.hspi.step(before);
            self.gpio.set_other(self.hspi.shown());
            self.settle(before, due);
            if let Some(bytes) = received {
                self.spi[1].set_buffer(&bytes);
            }
        }
    }

    /// Something of HSPI changed but for its edges.
    fn hspi_changed(&mut self, now: u64) {
        let before = self.gpio.levels();
        self.gpio.set_other(self.hspi.shown());
        self.pins_changed(before, now);
    }

    fn hspi_store(&mut self, offset: u32, value: u32, now: u64) {
        if offset == spi::reg::CMD && value & spi::CMD_USR != 0 && self.hspi.has_pins() {
            let (time, hz) = (self.clock.nanoseconds(now), self.clock.bus_hz());
            self.hspi.start(&self.spi[1], time, hz);
            self.hspi_changed(now);
            // Its edges come earlier than the core's budget ends.
            self.stop = true;
            return;
        }
        self.spi[1].write(offset, value, &mut self.flash);
        if offset == spi::reg::PIN {
            self.hspi.set_pin_register(value);
            self.hspi_changed(now);
        }
    }

    /// The host sends bytes to UART0 at this baud rate; 0 is the chip's own.
    pub fn send_to_uart(&mut self, bytes: &[u8], baud: u32, now: u64) {
        let (time, hz) = (self.clock.nanoseconds(now), self.clock.bus_hz());
        self.uarts[0].push(bytes, baud, time, hz);
    }

    /// A byte that the host sent, for the ROM's serial loader, which waits for none.
    pub fn take_received(&mut self) -> Option<u8> {
        let (time, hz) = (self.clock.nanoseconds(self.seen), self.clock.bus_hz());
        self.uarts[0].take_received(time, hz)
    }

    /// The cycle of accesses that the ROM's serial loader makes: the core stands still.
    #[must_use]
    pub fn loader_cycle(&self) -> u64 {
        self.seen
    }

    /// The watchdog starts with both stages 0.8 ms << `exponent` long.
    pub fn start_watchdog(&mut self, exponent: u32, now: u64) {
        self.watchdog.start(exponent, self.clock.nanoseconds(now));
        self.stop = true;
    }

    /// The program asks for a reset, which the chip reports as if EN had asked.
    pub fn reset_by_program(&mut self) {
        self.noise.reset_by_program();
        self.demand_reset(ResetCause::External);
    }

    fn demand_reset(&mut self, cause: ResetCause) {
        self.demanded = Some(cause);
        self.stop = true;
    }

    /// A deep sleep begins at cycle `now`: all that a reset resets has no power. The pins stay.
    pub fn power_down(&mut self, now: u64) {
        self.watchdog = Watchdog::default();
        self.timers = [Timer::new(Kind::Frc1), Timer::new(Kind::Frc2)];
        self.radio.reset(self.clock.nanoseconds(now));
        self.demanded = None;
    }

    /// The interrupt inputs of the core.
    #[must_use]
    pub fn lines(&self) -> u32 {
        u32::from(self.radio.mac.interrupt()) << line::MAC
            | u32::from(self.nic.interrupt()) << line::NIC
            | u32::from(self.gpio.interrupt()) << line::GPIO
            | u32::from(self.uarts.iter().any(Uart::interrupt)) << line::UART
            | u32::from(self.watchdog.interrupt()) << line::WATCHDOG
            | u32::from(self.timers[0].interrupt()) << line::FRC1
            | u32::from(self.timers[1].interrupt()) << line::FRC2
            | u32::from(self.nmi()) << line::NMI
    }

    /// Whether frames wait for a network outside.
    #[must_use]
    pub fn has_frames(&self) -> bool {
        self.nic.has_sent() || self.radio.has_wire()
    }

    /// The interrupt behind the gate of the NMI.
    fn nmi(&self) -> bool {
        let choice = self.dport[DPORT_NMI as usize / 4];
        choice & 1 != 0
            && match choice >> 1 & 0xF {
                nmi_source::MAC => self.radio.mac.interrupt(),
                nmi_source::FRC1 => self.timers[0].interrupt(),
                _ => false,
            }
    }

    /// The program opened or shut the gate of the NMI, or chose who interrupts by it.
    fn nmi_chosen(&mut self, value: u32) {
        let source = value >> 1 & 0xF;
        if value & 1 != 0 && !matches!(source, nmi_source::MAC | nmi_source::FRC1) {
            let address = DPORT.start + DPORT_NMI;
            self.unmodelled(address, || {
                format!("write of {value:#010x} to {address:#010x}: an NMI from source {source} is not modelled")
            });
        }
        // An edge of the timer that came before the gate opens is over by then.
        self.stop = true;
    }

    /// The bus runs at the speed to which the CPU's PLL is set.
    fn set_pll(&mut self, now: u64) {
        let hz = if self.radio.phy.cpu_pll() { clock::PLL_HZ } else { clock::ROM_HZ };
        if hz != self.clock.bus_hz() {
            self.clock.set_bus_hz(hz, now);
            self.stop = true;
        }
    }

    /// The cache shows flash from MiB `odd + 2 * pair` on; `whole` takes 32 KiB of RAM for it
    /// instead of 16.
    pub fn cache_enable(&mut self, odd: bool, pair: u32, whole: bool) {
        self.dport[DPORT_CACHE as usize / 4] =
            CACHE_ON | (1 << (24 + u32::from(odd))) | (pair & 7) << 16;
        self.dport[DPORT_CACHE_RAM as usize / 4] = 0x08 | u32::from(whole) << 4;
        self.invalidate = Some(IRAM.start..FLASH_WINDOW.end);
    }

    /// The cache is off: the flash window faults.
    pub fn cache_disable(&mut self) {
        self.dport[DPORT_CACHE as usize / 4] &= !CACHE_ON;
        self.dport[DPORT_CACHE_RAM as usize / 4] = 0;
        self.invalidate = Some(IRAM.start..FLASH_WINDOW.end);
    }

    /// The offset in flash of `address` in the window, while the cache is on.
    fn flash_offset(&self, address: u32) -> Option<usize> {
        let control = self.dport[DPORT_CACHE as usize / 4];
        if control & CACHE_ON == 0 {
            return None;
        }
        let mib = (control >> 16 & 7) * 2 + (control >> 25 & 1);
        Some(((mib << 20 | address & 0xF_FFFF) as usize) % self.flash.size())
    }

    /// End of IRAM: the cache takes RAM from its end.
    fn iram_end(&self) -> u32 {
        match self.dport[DPORT_CACHE_RAM as usize / 4] & 0x18 {
            0 => IRAM.end,
            0x18 => 0x4010_8000,
            _ => 0x4010_C000,
        }
    }

    /// The word at `address` as the core would load it; none where it may not.
    pub fn word(&mut self, address: u32, now: u64) -> Option<u32> {
        self.load32(address & !3, now).ok()
    }

    /// Copies `bytes` into RAM at `address`, past the core's rules about widths.
    ///
    /// Returns false, and copies nothing, if not all of it is RAM.
    pub fn write_ram(&mut self, address: u32, bytes: &[u8]) -> bool {
        let Some(end) = u32::try_from(bytes.len()).ok().and_then(|n| address.checked_add(n)) else {
            return false;
        };
        if DRAM.contains(&address) && end <= DRAM.end {
            let at = (address - DRAM.start) as usize;
            self.dram[at..at + bytes.len()].copy_from_slice(bytes);
        } else if IRAM.contains(&address) && end <= self.iram_end() {
            let at = (address - IRAM.start) as usize;
            self.iram[at..at + bytes.len()].copy_from_slice(bytes);
        } else {
            return false;
        }
        self.touch(address..end);
        true
    }

    /// `length` bytes of RAM or flash window at `address`; none if not all of it is there.
    #[must_use]
    pub fn read_memory(&self, address: u32, length: usize) -> Option<Vec<u8>> {
        let end = u32::try_from(length).ok().and_then(|n| address.checked_add(n))?;
        let cut = |memory: &[u8], base: u32| {
            let at = (address - base) as usize;
            memory[at..at + length].to_vec()
        };
        if DRAM.contains(&address) && end <= DRAM.end {
            Some(cut(&self.dram[..], DRAM.start))
        } else if IRAM.contains(&address) && end <= self.iram_end() {
            Some(cut(&self.iram[..], IRAM.start))
        } else if FLASH_WINDOW.contains(&address) && end <= FLASH_WINDOW.end {
            (0..length as u32)
                .map(|i| Some(self.flash.data()[self.flash_offset(address + i)?]))
                .collect()
        } else {
            None
        }
    }

    /// Code in `range` changed behind the core's back.
    pub fn touch(&mut self, range: Range<u32>) {
        self.invalidate = Some(match self.invalidate.take() {
            Some(old) => old.start.min(range.start)..old.end.max(range.end),
            None => range,
        });
    }

    /// The range of code that changed behind the core's back since the last call.
    pub fn take_invalid(&mut self) -> Option<Range<u32>> {
        if !self.flash.take_changes().is_empty() {
            self.touch(FLASH_WINDOW);
        }
        self.invalidate.take()
    }

    fn peripheral_load(&mut self, address: u32, now: u64) -> u32 {
        let offset = address & 0xFF;
        match address & 0xF00 {
            0x000 | 0xF00 => {
                let (time, hz) = (self.clock.nanoseconds(now), self.clock.bus_hz());
                let uart = &mut self.uarts[usize::from(address & 0xF00 != 0)];
                uart.advance(time, hz);
                uart.read(offset, time, hz)
            }
            0x100 if offset == spi::reg::CMD && self.hspi.busy() => spi::CMD_USR,
            0x100 => self.spi[1].read(offset),
            0x200 => self.spi[0].read(offset),
            0x300 => match address {
                RTC_CALIBRATION | RTC_CALIBRATION_VALUE => {
                    self.other[(address & 0xFFF) as usize / 4]
                }
                _ => self.gpio.read(offset),
            },
            0x600 => {
                let timer = &self.timers[usize::from(offset >= 0x20)];
                timer.read(offset & 0x1F, self.clock.ticks(now))
            }
            0x700 => match offset {
                0x14 => self.cause as u32,
                0x1C => self.slow_clock(now),
                _ => self.gpio.read_rtc(offset).unwrap_or_else(|| self.other_load(address)),
            },
            0x900 => self.watchdog.read(offset),
            _ => self.other_load(address),
        }
    }

    /// The RTC's slow counter, about 150 kHz.
    fn slow_clock(&self, now: u64) -> u32 {
        (self.clock.nanoseconds(now) * 3 / 20_000) as u32
    }

    /// A register that keeps what is written, or answers for the analogue side.
    fn other_load(&self, address: u32) -> u32 {
        if SAR_DATA.contains(&address) {
            let detectors = self.other[SAR_INPUT] & SAR_TOUT == 0;
            return if detectors { detector_sample(address) } else { sar_sample(self.adc) };
        }
        let stored = self.other[(address & 0xFFF) as usize / 4];
        self.radio.phy.answer(address, stored).unwrap_or(stored)
    }

    fn peripheral_store(&mut self, address: u32, value: u32, now: u64) {
        let offset = address & 0xFF;
        match address & 0xF00 {
            0x000 | 0xF00 => {
                let (time, hz) = (self.clock.nanoseconds(now), self.clock.bus_hz());
                let uart = &mut self.uarts[usize::from(address & 0xF00 != 0)];
                uart.advance(time, hz);
                uart.write(offset, value, time, hz);
                // What it waits for now comes at another moment.
                self.stop = true;
            }
            0x100 => self.hspi_store(offset, value, now),
            0x200 => {
                self.spi[0].write(offset, value, &mut self.flash);
                self.stop |= !self.flash.powered();
            }
            0x300 if address == RTC_CALIBRATION => {
                self.other[(address & 0xFFF) as usize / 4] = value;
                // 26 MHz against 150 kHz.
                let periods = (value & 0x3FF) * 520 / 3;
                self.other[(RTC_CALIBRATION_VALUE & 0xFFF) as usize / 4] =
                    if value >> 31 != 0 { 1 << 31 | periods } else { 0 };
            }
            0x300 => {
                let before = (self.gpio.levels(), self.gpio.enabled());
                self.gpio.write(offset, value);
                self.report_pins(before, now);
                self.pins_changed(before.0, now);
            }
            0x600 => {
                let timer = &mut self.timers[usize::from(offset >= 0x20)];
                timer.write(offset & 0x1F, value, self.clock.ticks(now));
                self.stop = true;
            }
            0x700 if address == RTC_SLEEP && value & RTC_SLEEP_NOW != 0 => {
                let register = |address: u32| self.other[(address & 0xFFF) as usize / 4];
                if register(RTC_POWER_DOWN) == u32::MAX {
                    let periods = register(RTC_WAKE_AT).wrapping_sub(self.slow_clock(now));
                    self.sleep = Some(if register(RTC_WAKE) & WAKE_BY_TIMER != 0 {
                        Sleep::For(u64::from(periods) * 20_000 / 3)
                    } else {
                        Sleep::Forever
                    });
                    self.stop = true;
                } else {
                    self.sleep_lightly(now);
                }
                self.other[(address & 0xFFF) as usize / 4] = value & !RTC_SLEEP_NOW;
            }
            0x700 if offset == 0 && value & 1 << 31 != 0 => {
                self.reset_by_program();
            }
            0x700 => {
                let before = (self.gpio.levels(), self.gpio.enabled());
                if self.gpio.write_rtc(offset, value) {
                    self.report_pins(before, now);
                    self.pins_changed(before.0, now);
                } else {
                    self.other[(address & 0xFFF) as usize / 4] = value;
                }
            }
            0x900 => {
                self.watchdog.write(offset, value, self.clock.nanoseconds(now));
                self.stop = true;
            }
            0x800 if pads::gpio(offset).is_some() => {
                self.other[(address & 0xFFF) as usize / 4] = value;
                if let Some(pin) = pads::gpio(offset) {
                    let before = self.gpio.levels();
                    self.gpio.set_pull_up(pin, value & pads::PULL_UP != 0);
                    self.hspi.set_function(pin, pads::function(value));
                    self.gpio.set_other(self.hspi.shown());
                    self.pins_changed(before, now);
                }
            }
            _ if phy::ANALOG.contains(&address) => {
                self.radio.phy.command(address, value);
                self.set_pll(now);
            }
            _ => {
                let register = &mut self.other[(address & 0xFFF) as usize / 4];
                let rising = value & !*register;
                *register = value;
                if address == MAC_RESET && rising & MAC_RESET_PULSE != 0 {
                    self.radio.reset_mac();
                }
            }
        }
    }

    /// The chip's clocks stop until the RTC's counter is where the program wants it, or a pin wakes it.
    /// Who names neither, or a moment that is over, is awake at once.
    fn sleep_lightly(&mut self, now: u64) {
        let register = |address: u32| self.other[(address & 0xFFF) as usize / 4];
        let by = register(RTC_WAKE);
        let periods = register(RTC_WAKE_AT).wrapping_sub(self.slow_clock(now)) as i32;
        let left = u64::try_from(periods).unwrap_or(0) * 20_000 / 3;
        if by & (WAKE_BY_TIMER | WAKE_BY_GPIO) != 0 {
            let by_timer = by & WAKE_BY_TIMER != 0;
            let time = self.clock.nanoseconds(now);
            self.doze = Some(if by_timer { time + left } else { LATEST });
            self.stop = true;
            self.wake_up(time);
        }
    }

    /// Ends a light sleep if something wakes the chip at `time` (ns), and says what.
    fn wake_up(&mut self, time: u64) {
        let Some(until) = self.doze else { return };
        let wake = &mut self.other[(RTC_WAKE & 0xFFF) as usize / 4];
        let by_timer = *wake & WAKE_BY_TIMER != 0 && until <= time;
        let by_pin = *wake & WAKE_BY_GPIO != 0 && self.gpio.wakes();
        if by_timer || by_pin {
            let timer = if by_timer { WAKE_BY_TIMER } else { 0 };
            let pin = if by_pin { WAKE_BY_GPIO } else { 0 };
            *wake = *wake & !0x3F00 | (timer | pin) << 8;
            self.doze = None;
        }
    }

    /// Whether the chip sleeps lightly.
    #[must_use]
    pub fn dozes(&self) -> bool {
        self.doze.is_some()
    }

    /// Time passes in a light sleep, up to its end or the next thing that happens outside, while the core
    /// stands at cycle `now`. Core, timers, watchdog and UARTs stand still. The MAC goes on, with its
    /// microseconds: else Espressif's libraries, which sleep so between beacons, come late to the next.
    pub fn doze(&mut self, now: u64) {
        let Some(until) = self.doze else { return };
        let (time, hz) = (self.clock.nanoseconds(now), self.clock.bus_hz());
        let events = [Some(until), Some(time + DOZE_NS), self.parts.next(), self.radio.next()];
        let end = events.into_iter().flatten().min().unwrap_or(until).max(time + 1);
        self.clock.pass(end - time);
        self.watchdog.stand_still(end - time);
        for uart in &mut self.uarts {
            uart.stand_still(time, end, hz);
        }
        self.advance(now);
        self.wake_up(end);
    }

    /// The program changed pins: what is wired to them sees it at once.
    fn pins_changed(&mut self, before: u32, now: u64) {
        if (self.gpio.levels() ^ before) & (self.parts.pins() | self.watched) != 0 {
            let due = self.parts.next();
            self.settle(before, self.clock.nanoseconds(now));
            // A part acts earlier than the core's budget ends.
            self.stop |= self.parts.next() != due;
        }
    }

    fn mac_load(&mut self, address: u32, now: u64) -> u32 {
        if Mac::is_random(address) {
            return self.noise.next_value();
        }
        if !Mac::is_known(address) {
            self.unmodelled(address, || {
                format!("read of {address:#010x}: a register of the MAC that is not known")
            });
        }
        self.radio.mac.read(address, self.clock.nanoseconds(now))
    }

    fn mac_store(&mut self, address: u32, value: u32, now: u64) {
        if !Mac::is_known(address) {
            self.unmodelled(address, || {
                format!(
                    "write of {value:#010x} to {address:#010x}: a register of the MAC that is not \
                     known"
                )
            });
        }
        let time = self.clock.nanoseconds(now);
        let before = self.radio.next();
        self.radio.write_mac(address, value, time, &self.dram);
        // What is sent ends earlier than the core's budget.
        self.stop |= self.radio.next() != before;
    }

    fn report_pins(&mut self, (levels, enabled): (u32, u32), now: u64) {
        let (now_levels, now_enabled) = (self.gpio.levels(), self.gpio.enabled());
        let changed = (levels ^ now_levels | enabled ^ now_enabled) & now_enabled;
        for pin in 0..=gpio::RTC_PIN {
            if changed >> pin & 1 != 0 {
                let high = now_levels >> pin & 1 != 0;
                let time = self.clock.nanoseconds(now);
                self.events.push(Event::Pin { pin, high, time });
            }
        }
    }

    fn nic_store(&mut self, offset: u32, value: u32) {
        let copy = self.nic.write(offset, value);
        let address = self.nic.address();
        match copy {
            None => {}
            Some(nic::Copy::Receive(count)) => {
                let bytes = self.nic.remaining()[..count].to_vec();
                if DRAM.contains(&address) && self.write_ram(address, &bytes) {
                    self.nic.copied(count);
                } else {
                    self.nic.refuse();
                }
            }
            Some(nic::Copy::Transmit(count)) => {
                match self.read_memory(address, count).filter(|_| DRAM.contains(&address)) {
                    Some(bytes) => self.nic.append(&bytes),
                    None => self.nic.refuse(),
                }
            }
        }
        // Frames leave at once, not at the end of the core's budget.
        self.stop |= self.nic.has_sent();
    }

    fn slow_load32(&mut self, address: u32, now: u64) -> Result<u32, Cause> {
        if PERIPHERALS.contains(&address) {
            Ok(self.peripheral_load(address, now))
        } else if DPORT.contains(&address) {
            Ok(self.dport.get((address & 0xFFF) as usize / 4).copied().unwrap_or(0))
        } else if RTC_MEMORY.contains(&address) {
            Ok(word_at(&self.rtc_memory, (address - RTC_MEMORY.start) as usize))
        } else if NIC.contains(&address) {
            Ok(self.nic.read(address - NIC.start))
        } else if MAC.contains(&address) {
            Ok(self.mac_load(address, now))
        } else if BASEBAND.contains(&address) {
            Ok(self.radio.phy.read(address))
        } else if ROM.contains(&address) {
            Ok(self.rom_word(address))
        } else if DEVICES.iter().any(|range| range.contains(&address)) {
            self.unmodelled(address, || format!("read of {address:#010x}: no such register here"));
            Ok(0)
        } else {
            Err(Cause::LoadProhibited)
        }
    }

    fn slow_store32(&mut self, address: u32, value: u32, now: u64) -> Result<(), Cause> {
        let starts = |(at, bits, _): &&(u32, u32, &str)| *at == address && value & bits != 0;
        if let Some((_, _, what)) = ABSENT.iter().find(starts) {
            self.unmodelled(address, || {
                format!("write of {value:#010x} to {address:#010x}: {what} is not modelled")
            });
        }
        if PERIPHERALS.contains(&address) {
            self.peripheral_store(address, value, now);
        } else if DPORT.contains(&address) {
            let offset = address & 0xFFF;
            let mut value = value;
            if offset == DPORT_CACHE && value & CACHE_FLUSH != 0 {
                value |= CACHE_EMPTY;
            }
            if let Some(register) = self.dport.get_mut(offset as usize / 4) {
                *register = value;
            }
            match offset {
                DPORT_NMI => self.nmi_chosen(value),
                DPORT_CLOCK => self.clock.set_double(value & 1 != 0, now),
                DPORT_CACHE | DPORT_CACHE_RAM => self.touch(IRAM.start..FLASH_WINDOW.end),
                _ => {}
            }
        } else if RTC_MEMORY.contains(&address) {
            let at = (address - RTC_MEMORY.start) as usize;
            self.rtc_memory[at..at + 4].copy_from_slice(&value.to_le_bytes());
        } else if NIC.contains(&address) {
            self.nic_store(address - NIC.start, value);
        } else if MAC.contains(&address) {
            self.mac_store(address, value, now);
        } else if BASEBAND.contains(&address) {
            self.radio.write_baseband(address, value);
        } else if DEVICES.iter().any(|range| range.contains(&address)) {
            self.unmodelled(address, || {
                format!("write of {value:#010x} to {address:#010x}: no such register here")
            });
        } else {
            return Err(Cause::StoreProhibited);
        }
        Ok(())
    }

    /// A sub-word load outside DRAM. DPORT and MAC do it; the bus of IRAM, ROM and flash, and that
    /// of the peripherals, know words only.
    fn narrow_load(&mut self, address: u32, now: u64) -> Result<u32, Cause> {
        if DPORT.contains(&address) || MAC.contains(&address) {
            let word = self.slow_load32(address & !3, now)?;
            return Ok(word >> (8 * (address & 3)));
        }
        Err(Self::narrow(address, Cause::LoadProhibited))
    }

    /// The same for a store of the bits in `mask`.
    fn narrow_store(&mut self, address: u32, value: u32, mask: u32, now: u64) -> Result<(), Cause> {
        if DPORT.contains(&address) || MAC.contains(&address) {
            let shift = 8 * (address & 3);
            let word = self.slow_load32(address & !3, now)?;
            let word = word & !(mask << shift) | (value & mask) << shift;
            return self.slow_store32(address & !3, word, now);
        }
        Err(Self::narrow(address, Cause::StoreProhibited))
    }

    fn narrow(address: u32, hole: Cause) -> Cause {
        let words_only = ROM.contains(&address)
            || IRAM.contains(&address)
            || FLASH_WINDOW.contains(&address)
            || PERIPHERALS.contains(&address)
            || RTC_MEMORY.contains(&address)
            || BASEBAND.contains(&address)
            || NIC.contains(&address);
        if words_only { Cause::LoadStoreError } else { hole }
    }
}

fn word_at(memory: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([memory[at], memory[at + 1], memory[at + 2], memory[at + 3]])
}

impl Bus for Board {
    fn fetch(&mut self, addr: u32) -> Result<u32, Cause> {
        if IRAM.start <= addr && addr < self.iram_end() {
            Ok(word_at(&self.iram[..], (addr - IRAM.start) as usize))
        } else if FLASH_WINDOW.contains(&addr) {
            let at = self.flash_offset(addr).ok_or(Cause::InstructionFetchError)?;
            Ok(word_at(self.flash.data(), at))
        } else if rom::is_code(addr) || self.has_rom() && ROM.contains(&addr) {
            Ok(self.rom_word(addr))
        } else {
            // Data RAM is not on the instruction bus; ROM functions are hooks, never fetched.
            Err(Cause::InstructionFetchProhibited)
        }
    }

    #[inline]
    fn load8(&mut self, addr: u32, now: u64) -> Result<u8, Cause> {
        let at = addr.wrapping_sub(DRAM.start) as usize;
        match self.dram.get(at) {
            Some(byte) => Ok(*byte),
            None => self.narrow_load(addr, now).map(|word| word as u8),
        }
    }

    #[inline]
    fn load16(&mut self, addr: u32, now: u64) -> Result<u16, Cause> {
        let at = addr.wrapping_sub(DRAM.start) as usize;
        match self.dram.get(at..at.wrapping_add(2)) {
            Some(bytes) => Ok(u16::from_le_bytes([bytes[0], bytes[1]])),
            None => self.narrow_load(addr, now).map(|word| word as u16),
        }
    }

    #[inline]
    fn load32(&mut self, addr: u32, now: u64) -> Result<u32, Cause> {
        let at = addr.wrapping_sub(DRAM.start) as usize;
        if at < self.dram.len() {
            return Ok(word_at(&self.dram[..], at));
        }
        if FLASH_WINDOW.contains(&addr) {
            let at = self.flash_offset(addr).ok_or(Cause::LoadStoreError)?;
            return Ok(word_at(self.flash.data(), at));
        }
        if IRAM.start <= addr && addr < self.iram_end() {
            return Ok(word_at(&self.iram[..], (addr - IRAM.start) as usize));
        }
        self.slow_load32(addr, now)
    }

    #[inline]
    fn store8(&mut self, addr: u32, value: u8, now: u64) -> Result<(), Cause> {
        let at = addr.wrapping_sub(DRAM.start) as usize;
        match self.dram.get_mut(at) {
            Some(byte) => *byte = value,
            None => return self.narrow_store(addr, value.into(), 0xFF, now),
        }
        Ok(())
    }

    #[inline]
    fn store16(&mut self, addr: u32, value: u16, now: u64) -> Result<(), Cause> {
        let at = addr.wrapping_sub(DRAM.start) as usize;
        match self.dram.get_mut(at..at.wrapping_add(2)) {
            Some(bytes) => bytes.copy_from_slice(&value.to_le_bytes()),
            None => return self.narrow_store(addr, value.into(), 0xFFFF, now),
        }
        Ok(())
    }

    #[inline]
    fn store32(&mut self, addr: u32, value: u32, now: u64) -> Result<(), Cause> {
        let at = addr.wrapping_sub(DRAM.start) as usize;
        if let Some(bytes) = self.dram.get_mut(at..at.wrapping_add(4)) {
            bytes.copy_from_slice(&value.to_le_bytes());
            return Ok(());
        }
        if IRAM.start <= addr && addr < self.iram_end() {
            let at = (addr - IRAM.start) as usize;
            self.iram[at..at + 4].copy_from_slice(&value.to_le_bytes());
            return Ok(());
        }
        self.slow_store32(addr, value, now)
    }

    #[inline]
    fn is_device(addr: u32) -> bool {
        addr >= 0x6000_0000 || DEVICES[0].contains(&addr)
    }

    fn signals(&mut self) -> Signals {
        Signals {
            lines: self.lines(),
            invalidate: self.take_invalid(),
            stop: std::mem::take(&mut self.stop),
        }
    }
}
