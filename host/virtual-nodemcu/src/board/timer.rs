//! The hardware timers FRC1 (23 bits, counts down) and FRC2 (32 bits, counts up to an alarm).

use super::clock::Clock;
use crate::snapshot::{check, keep};

/// Register offsets within a timer.
mod reg {
    pub const LOAD: u32 = 0x00;
    pub const COUNT: u32 = 0x04;
    pub const CTRL: u32 = 0x08;
    pub const INT: u32 = 0x0C;
    pub const ALARM: u32 = 0x10;
}

/// FRC1 holds its line until somebody clears it. Without it each time it reaches 0 is an edge.
const CTRL_LEVEL: u32 = 1 << 0;
const CTRL_AUTOLOAD: u32 = 1 << 6;
const CTRL_ENABLE: u32 = 1 << 7;

/// Which of the two timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Counts down from the load register through 0.
    Frc1,
    /// Counts up; the alarm register says when to interrupt.
    Frc2,
}

/// One timer. Its count is derived from the clock when it is asked for.
#[derive(Clone, Debug)]
pub struct Timer {
    kind: Kind,
    load: u32,
    control: u32,
    alarm: u32,
    /// Count at bus tick `since`.
    count: u32,
    since: u64,
    raised: bool,
    /// A match just now, whether or not somebody cleared the last one.
    pulse: bool,
}

keep!(Timer { load, control, alarm, count, since, raised, pulse } but { kind }, |timer: &Timer| {
    let counts = [timer.load, timer.count];
    check(
        timer.control <= 0x1FF && counts.iter().all(|count| *count <= timer.mask()),
        "a timer cannot count that",
    )
});

impl Timer {
    /// The timer after a reset.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            load: 0,
            control: 0,
            alarm: 0,
            count: 0,
            since: 0,
            raised: false,
            pulse: false,
        }
    }

    /// Whether the timer asks for its interrupt.
    #[must_use]
    pub fn interrupt(&self) -> bool {
        match self.kind {
            Kind::Frc1 if self.control & CTRL_LEVEL != 0 => self.raised,
            Kind::Frc1 | Kind::Frc2 => self.pulse,
        }
    }

    /// Reads the register at `offset` at bus tick `tick`.
    #[must_use]
    pub fn read(&self, offset: u32, tick: u64) -> u32 {
        match offset {
            reg::LOAD => self.load,
            reg::COUNT => self.value(tick),
            reg::CTRL => self.control,
            reg::INT => u32::from(self.raised),
            reg::ALARM if self.kind == Kind::Frc2 => self.alarm,
            _ => 0,
        }
    }

    /// Writes the register at `offset` at bus tick `tick`.
    pub fn write(&mut self, offset: u32, value: u32, tick: u64) {
        self.settle(tick);
        match offset {
            reg::LOAD => {
                self.load = value & self.mask();
                self.count = self.load;
            }
            reg::CTRL => self.control = value & 0x1FF,
            // SDK and Arduino clear it by a word of 0, others by a 1.
            reg::INT => (self.raised, self.pulse) = (false, false),
            reg::ALARM if self.kind == Kind::Frc2 => self.alarm = value,
            _ => {}
        }
    }

    /// Lets the time up to bus tick `tick` pass: raises the interrupt that came due.
    pub fn advance(&mut self, tick: u64) {
        self.pulse = self.next(self.since).is_some_and(|due| due <= tick);
        self.raised |= self.pulse;
        self.settle(tick);
    }

    /// The last bus tick that it knows of.
    pub(super) fn since(&self) -> u64 {
        self.since
    }

    /// The bus tick of the next interrupt after `tick`.
    #[must_use]
    pub fn next(&self, tick: u64) -> Option<u64> {
        if self.control & CTRL_ENABLE == 0 {
            return None;
        }
        let value = self.value(tick);
        let counts = match self.kind {
            Kind::Frc1 if value == 0 && self.control & CTRL_AUTOLOAD == 0 => self.period(),
            Kind::Frc1 if value == 0 => u64::from(self.load).max(1),
            Kind::Frc1 => u64::from(value),
            Kind::Frc2 => match u64::from(self.alarm.wrapping_sub(value)) {
                0 => 1 << 32,
                counts => counts,
            },
        };
        // The prescaler restarts with each write, so counts fall on multiples from `since` on.
        let done = (tick - self.since) >> self.shift();
        Some(self.since + ((done + counts) << self.shift()))
    }

    fn mask(&self) -> u32 {
        match self.kind {
            Kind::Frc1 => 0x7F_FFFF,
            Kind::Frc2 => u32::MAX,
        }
    }

    fn period(&self) -> u64 {
        u64::from(self.mask()) + 1
    }

    /// log2 of the prescaler.
    fn shift(&self) -> u32 {
        match self.control >> 2 & 3 {
            0 => 0,
            1 => 4,
            _ => 8,
        }
    }

    fn value(&self, tick: u64) -> u32 {
        if self.control & CTRL_ENABLE == 0 {
            return self.count;
        }
        let passed = (tick - self.since) >> self.shift();
        match self.kind {
            Kind::Frc2 => self.count.wrapping_add(passed as u32),
            Kind::Frc1 if passed <= u64::from(self.count) => self.count - passed as u32,
            Kind::Frc1 => {
                let beyond = passed - u64::from(self.count);
                if self.control & CTRL_AUTOLOAD != 0 && self.load > 0 {
                    let within = beyond % u64::from(self.load);
                    if within == 0 { 0 } else { self.load - within as u32 }
                } else {
                    (self.period() - beyond % self.period()) as u32 & self.mask()
                }
            }
        }
    }

    fn settle(&mut self, tick: u64) {
        self.count = self.value(tick);
        // Keep the prescaler's phase.
        self.since += ((tick - self.since) >> self.shift()) << self.shift();
    }
}

/// The earlier of the timers' next interrupts, as a CPU cycle.
#[must_use]
pub fn next_cycle(timers: &[Timer], clock: &Clock, now: u64) -> Option<u64> {
    let tick = clock.ticks(now);
    timers.iter().filter_map(|t| t.next(tick)).min().map(|tick| clock.cycle_of_tick(tick))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frc1_counts_down_and_reloads() {
        let mut timer = Timer::new(Kind::Frc1);
        timer.write(reg::LOAD, 1000, 0);
        timer.write(reg::CTRL, CTRL_ENABLE | CTRL_AUTOLOAD | 1 << 2, 0);
        assert_eq!(timer.read(reg::COUNT, 16 * 10), 990);
        assert_eq!(timer.next(0), Some(16000));
        timer.advance(15999);
        assert!(!timer.interrupt());
        timer.advance(16000);
        assert!(timer.interrupt());
        timer.write(reg::INT, 1, 16000);
        assert!(!timer.interrupt());
        assert_eq!(timer.next(16000), Some(32000));
        timer.advance(32000 + 16);
        assert!(timer.interrupt());
        assert_eq!(timer.read(reg::COUNT, 32000 + 16), 999);
    }

    /// Arduino's and the SDK's handlers write 0 to the interrupt register, RTOS programs nothing.
    #[test]
    fn frc1_is_an_edge_each_time_or_a_level_that_is_cleared() {
        for cleared in [Some(0), Some(1), None] {
            let mut timer = Timer::new(Kind::Frc1);
            timer.write(reg::CTRL, CTRL_ENABLE | 1 << 2, 0);
            for start in [0, 16_000, 32_000] {
                timer.write(reg::LOAD, 500, start);
                timer.advance(start + 7_999);
                assert!(!timer.interrupt());
                timer.advance(start + 8_000);
                assert!(timer.interrupt(), "{cleared:?}, {start}");
                assert_eq!(timer.read(reg::INT, start + 8_000), 1);
                if let Some(word) = cleared {
                    timer.write(reg::INT, word, start + 8_001);
                    assert_eq!(timer.read(reg::INT, start + 8_001), 0);
                }
                timer.advance(start + 8_100);
                assert!(!timer.interrupt());
            }
        }
        let mut timer = Timer::new(Kind::Frc1);
        timer.write(reg::LOAD, 500, 0);
        timer.write(reg::CTRL, CTRL_ENABLE | CTRL_LEVEL, 0);
        timer.advance(600);
        timer.advance(700);
        assert!(timer.interrupt());
        timer.write(reg::INT, 0, 701);
        assert!(!timer.interrupt());
    }

    #[test]
    fn frc1_without_reload_wraps_at_23_bits() {
        let mut timer = Timer::new(Kind::Frc1);
        timer.write(reg::LOAD, 5, 0);
        timer.write(reg::CTRL, CTRL_ENABLE, 0);
        assert_eq!(timer.read(reg::COUNT, 5), 0);
        assert_eq!(timer.read(reg::COUNT, 6), 0x7F_FFFF);
    }

    #[test]
    fn frc2_meets_its_alarm_once_a_round() {
        let mut timer = Timer::new(Kind::Frc2);
        timer.write(reg::CTRL, CTRL_ENABLE, 0);
        timer.write(reg::ALARM, 500, 100);
        assert_eq!(timer.read(reg::COUNT, 100), 100);
        assert_eq!(timer.next(100), Some(500));
        timer.advance(500);
        assert!(timer.interrupt());
        assert_eq!(timer.next(500), Some(500 + (1 << 32)));
        // The chip's own handler only sets the next alarm: that must be an edge again.
        timer.write(reg::ALARM, 600, 510);
        timer.advance(520);
        assert!(!timer.interrupt());
        timer.advance(600);
        assert!(timer.interrupt());
    }

    #[test]
    fn a_stopped_timer_stands_still() {
        let mut timer = Timer::new(Kind::Frc1);
        timer.write(reg::LOAD, 7, 0);
        assert_eq!(timer.next(0), None);
        assert_eq!(timer.read(reg::COUNT, 1 << 40), 7);
    }
}
