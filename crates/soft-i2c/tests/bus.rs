//! The controller against a target that knows nothing of it but its two lines.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use embedded_hal::i2c::{I2c as _, Operation};
use soft_i2c::{Error, I2c, STRETCH_US, Speed};

/// A target with 256 registers at one address; the first byte that is written chooses one.
#[derive(Default)]
struct Target {
    address: u8,
    registers: Vec<u8>,
    pointer: usize,
    /// Bytes that it acknowledges in one write, register's number included.
    takes: Option<usize>,
    /// Microseconds that it holds the clock after each byte.
    stretches_us: u32,

    state: State,
    bits: u32,
    shift: u8,
    pulls: bool,
    holds_clock_until: u64,
    written: usize,
}

#[derive(Clone, Copy, Default, PartialEq, Debug)]
enum State {
    #[default]
    Idle,
    Address,
    Write,
    Read,
}

/// The two lines and who is on them.
struct Bus {
    controller: [bool; 2],
    levels: [bool; 2],
    target: Target,
    now_ns: u64,
    /// What happened: S, P, and each byte with A or N.
    log: Vec<String>,
    /// A short circuit, for good.
    shorted: [bool; 2],
    /// A target left in the middle of a byte: clocks until it lets go.
    stuck: u32,
    /// When the clock rose and fell, and when START and STOP were.
    edges: Vec<(u64, char)>,
}

const SDA: usize = 0;
const SCL: usize = 1;

impl Bus {
    fn new(target: Target) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            controller: [true; 2],
            levels: [true; 2],
            target,
            now_ns: 0,
            log: Vec::new(),
            shorted: [false; 2],
            stuck: 0,
            edges: Vec::new(),
        }))
    }

    fn settle(&mut self) {
        loop {
            let target = &self.target;
            let sda =
                self.controller[SDA] && !target.pulls && !self.shorted[SDA] && self.stuck == 0;
            let scl = self.controller[SCL]
                && self.now_ns >= target.holds_clock_until
                && !self.shorted[SCL];
            let before = self.levels;
            if before == [sda, scl] {
                return;
            }
            // One line at a time, as on a wire: data never changes with the clock.
            if scl != before[SCL] {
                self.levels[SCL] = scl;
                self.edges.push((self.now_ns, if scl { 'r' } else { 'f' }));
                if scl { self.rises(before[SDA]) } else { self.falls() }
            } else {
                self.levels[SDA] = sda;
                if scl {
                    let what = if sda { 'P' } else { 'S' };
                    self.log.push(what.to_string());
                    self.edges.push((self.now_ns, what));
                    self.target.state = if sda { State::Idle } else { State::Address };
                    (self.target.bits, self.target.pulls, self.target.written) = (0, false, 0);
                }
            }
        }
    }

    fn rises(&mut self, sda: bool) {
        self.stuck = self.stuck.saturating_sub(1);
        let target = &mut self.target;
        if target.state == State::Idle {
            return;
        }
        if target.bits < 8 {
            target.shift = target.shift << 1 | u8::from(sda);
        } else {
            let acknowledged = if sda { 'N' } else { 'A' };
            self.log.push(format!("{:02x}{acknowledged}", target.shift));
            if sda {
                target.state = State::Idle;
            }
        }
        target.bits += 1;
    }

    fn falls(&mut self) {
        let now = self.now_ns;
        let target = &mut self.target;
        target.pulls = false;
        match (target.state, target.bits) {
            (State::Idle, _) | (_, 0) => return,
            (State::Address, 8) if target.shift >> 1 == target.address => target.pulls = true,
            (State::Address, 8) => {}
            (State::Write, 8) => {
                target.pulls = target.takes.is_none_or(|takes| target.written < takes);
                if target.written == 0 {
                    target.pointer = target.shift.into();
                } else {
                    target.registers[target.pointer] = target.shift;
                    target.pointer += 1;
                }
                target.written += 1;
            }
            (State::Address, 9) => {
                target.state = if target.shift & 1 != 0 { State::Read } else { State::Write };
                target.bits = 0;
            }
            (_, 9) => target.bits = 0,
            _ => {}
        }
        if target.bits == 0 && target.stretches_us > 0 {
            target.holds_clock_until = now + u64::from(target.stretches_us) * 1000;
        }
        if target.state == State::Read && target.bits < 8 {
            let byte = target.registers[target.pointer];
            target.pulls = byte >> (7 - target.bits) & 1 == 0;
            if target.bits == 7 {
                target.pointer += 1;
            }
        }
    }
}

struct Line(Rc<RefCell<Bus>>, usize);

impl ErrorType for Line {
    type Error = Infallible;
}

impl OutputPin for Line {
    fn set_low(&mut self) -> Result<(), Infallible> {
        let mut bus = self.0.borrow_mut();
        bus.controller[self.1] = false;
        bus.settle();
        Ok(())
    }
    fn set_high(&mut self) -> Result<(), Infallible> {
        let mut bus = self.0.borrow_mut();
        bus.controller[self.1] = true;
        bus.settle();
        Ok(())
    }
}

impl InputPin for Line {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.borrow().levels[self.1])
    }
    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.borrow().levels[self.1])
    }
}

struct Clock(Rc<RefCell<Bus>>);

impl DelayNs for Clock {
    fn delay_ns(&mut self, ns: u32) {
        let mut bus = self.0.borrow_mut();
        bus.now_ns += u64::from(ns);
        bus.settle();
    }
}

fn target() -> Target {
    Target { address: 0x76, registers: (0..=255).collect(), ..Target::default() }
}

fn on(bus: &Rc<RefCell<Bus>>, speed: Speed) -> I2c<Line, Line, Clock> {
    I2c::new(Line(bus.clone(), SDA), Line(bus.clone(), SCL), Clock(bus.clone()), speed)
}

fn log(bus: &Rc<RefCell<Bus>>) -> String {
    bus.borrow_mut().log.drain(..).collect::<Vec<_>>().join(" ")
}

#[test]
fn registers_are_written_and_read() {
    let bus = Bus::new(target());
    let mut i2c = on(&bus, Speed::Standard);
    i2c.write(0x76, &[0x20, 0xAA, 0x55, 0x00, 0xFF]).unwrap();
    assert_eq!(log(&bus), "S ecA 20A aaA 55A 00A ffA P");
    let mut bytes = [0; 4];
    i2c.write_read(0x76, &[0x20], &mut bytes).unwrap();
    assert_eq!(bytes, [0xAA, 0x55, 0x00, 0xFF]);
    assert_eq!(log(&bus), "S ecA 20A S edA aaA 55A 00A ffN P");
}

#[test]
fn neighbours_of_one_direction_are_one_transfer() {
    let bus = Bus::new(target());
    let mut i2c = on(&bus, Speed::Fast);
    let (mut one, mut two) = ([0; 1], [0; 2]);
    i2c.transaction(
        0x76,
        &mut [
            Operation::Write(&[0x10]),
            Operation::Write(&[0xC0, 0xC1]),
            Operation::Write(&[]),
            Operation::Read(&mut one),
            Operation::Read(&mut two),
            Operation::Write(&[0x40]),
        ],
    )
    .unwrap();
    assert_eq!(log(&bus), "S ecA 10A c0A c1A S edA 12A 13A 14N S ecA 40A P");
    assert_eq!((one, two), ([0x12], [0x13, 0x14]));
    i2c.transaction(0x76, &mut []).unwrap();
    assert_eq!(log(&bus), "", "nothing to do, nothing on the bus");
}

#[test]
fn empty_reads_and_writes_ask_for_the_address() {
    let bus = Bus::new(target());
    let mut i2c = on(&bus, Speed::Fast);
    i2c.write(0x76, &[]).unwrap();
    assert_eq!(log(&bus), "S ecA P");
    // Register 0 holds 0: a target that went on would hold the line.
    i2c.read(0x76, &mut []).unwrap();
    assert_eq!(log(&bus), "S edA 00N P");
    i2c.write(0x76, &[0x55]).unwrap();
}

#[test]
fn who_does_not_answer_is_told_and_the_bus_is_free() {
    let bus = Bus::new(target());
    let mut i2c = on(&bus, Speed::Fast);
    assert_eq!(i2c.write(0x77, &[1]), Err(Error::NoAddress));
    assert_eq!(log(&bus), "S eeN P");
    bus.borrow_mut().target.takes = Some(2);
    assert_eq!(i2c.write(0x76, &[1, 2, 3, 4]), Err(Error::NoData));
    assert_eq!(log(&bus), "S ecA 01A 02A 03N P");
    assert_eq!(bus.borrow().levels, [true, true]);
}

#[test]
fn a_stretched_clock_is_waited_for_but_not_for_ever() {
    let bus = Bus::new(Target { stretches_us: 24_000, ..target() });
    let mut i2c = on(&bus, Speed::Fast);
    let mut bytes = [0; 2];
    i2c.write_read(0x76, &[0x30], &mut bytes).unwrap();
    assert_eq!(bytes, [0x30, 0x31]);

    bus.borrow_mut().target.stretches_us = STRETCH_US + 2;
    assert_eq!(i2c.write(0x76, &[0x30]), Err(Error::ClockHeld));
    assert_eq!(bus.borrow().controller, [true, true], "both lines are let go");
    // Some targets take their time.
    bus.borrow_mut().now_ns += 1_000_000_000;
    bus.borrow_mut().settle();
    i2c.set_stretch_limit(80_000);
    bus.borrow_mut().target.stretches_us = 79_000;
    i2c.write(0x76, &[0x30]).unwrap();
}

#[test]
fn a_target_left_in_the_middle_of_a_byte_is_clocked_free() {
    for clocks in 1..=9 {
        let bus = Bus::new(target());
        bus.borrow_mut().stuck = clocks;
        bus.borrow_mut().levels[SDA] = false;
        let mut i2c = on(&bus, Speed::Standard);
        let mut bytes = [0; 1];
        i2c.write_read(0x76, &[0x42], &mut bytes)
            .unwrap_or_else(|error| panic!("{clocks} clocks: {error}"));
        assert_eq!(bytes, [0x42]);
    }
}

#[test]
fn held_lines_are_named() {
    let bus = Bus::new(target());
    bus.borrow_mut().shorted[SDA] = true;
    bus.borrow_mut().settle();
    let mut i2c = on(&bus, Speed::Fast);
    assert_eq!(i2c.write(0x76, &[1]), Err(Error::DataHeld));
    bus.borrow_mut().shorted = [false, true];
    bus.borrow_mut().settle();
    assert_eq!(i2c.write(0x76, &[1]), Err(Error::ClockHeld));
    // Mended, the bus works again without being made anew.
    bus.borrow_mut().shorted = [false, false];
    bus.borrow_mut().settle();
    i2c.write(0x76, &[1]).unwrap();
}

/// UM10204, table 11: least nanoseconds of tLOW, tHIGH, tHD;STA, tSU;STA, tSU;STO, tBUF, and most
/// Hz.
#[test]
fn times_are_those_of_the_specification() {
    for (speed, low, high, hold, setup, stop, free, hz) in [
        (Speed::Standard, 4_700, 4_000, 4_000, 4_700, 4_000, 4_700, 100_000),
        (Speed::Fast, 1_300, 600, 600, 600, 600, 1_300, 400_000),
    ] {
        let bus = Bus::new(target());
        let mut i2c = on(&bus, speed);
        let mut bytes = [0; 3];
        i2c.write_read(0x76, &[0x42], &mut bytes).unwrap();
        i2c.write(0x76, &[0x42, 7]).unwrap();
        let bus = bus.borrow();
        for pair in bus.edges.windows(2) {
            let [(from, what), (to, then)] = pair else { unreachable!() };
            let least = match (what, then) {
                ('f', 'r') => low,
                ('r', 'f') => high,
                ('S', 'f') => hold,
                ('r', 'S') => setup,
                ('r', 'P') => stop,
                ('P', 'S') => free,
                other => panic!("{other:?} on the bus"),
            };
            assert!(to - from >= least, "{speed:?}: {what}{then} took {} ns", to - from);
        }
        let rises: Vec<u64> =
            bus.edges.iter().filter(|(_, what)| *what == 'r').map(|(when, _)| *when).collect();
        for pair in rises.windows(2) {
            assert!((pair[1] - pair[0]) * hz >= 1_000_000_000, "{speed:?} is too fast");
        }
    }
}
