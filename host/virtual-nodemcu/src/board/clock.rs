//! Cycles, bus ticks and nanoseconds.

use crate::snapshot::{LATEST, check, keep};

/// CPU and bus clock after the ROM, in hertz: the PLL is not set up for the 26 MHz crystal yet.
pub const ROM_HZ: u64 = 52_000_000;
/// The bus (and CPU) clock once the PLL is set up for the crystal, in hertz.
pub const PLL_HZ: u64 = 80_000_000;

/// Turns the core's cycle count into time while frequencies change under way.
#[derive(Clone, Debug)]
pub struct Clock {
    cycles: u64,
    ticks: u64,
    nanoseconds: u64,
    bus_hz: u64,
    double: bool,
}

keep!(Clock { cycles, ticks, nanoseconds, bus_hz, double }, |clock: &Clock| {
    let moments = [clock.cycles, clock.ticks, clock.nanoseconds];
    check(
        matches!(clock.bus_hz, ROM_HZ | PLL_HZ) && moments.iter().all(|at| *at < LATEST),
        "the clock has no such frequency or time",
    )
});

impl Clock {
    /// The clock at a reset, at CPU cycle `now` and `nanoseconds` since the board was made.
    #[must_use]
    pub fn new(now: u64, nanoseconds: u64) -> Self {
        Self { cycles: now, ticks: 0, nanoseconds, bus_hz: ROM_HZ, double: false }
    }

    /// Bus clock in hertz: what UART and timers count.
    #[must_use]
    pub fn bus_hz(&self) -> u64 {
        self.bus_hz
    }

    /// CPU clock in hertz.
    #[must_use]
    pub fn cpu_hz(&self) -> u64 {
        self.bus_hz << u32::from(self.double)
    }

    /// Bus ticks since reset at CPU cycle `now`.
    #[must_use]
    pub fn ticks(&self, now: u64) -> u64 {
        self.ticks + ((now - self.cycles) >> u32::from(self.double))
    }

    /// The cycle before which it knows nothing.
    pub(super) fn start(&self) -> u64 {
        self.cycles
    }

    /// Nanoseconds since the board was made, at CPU cycle `now`.
    #[must_use]
    pub fn nanoseconds(&self, now: u64) -> u64 {
        let passed = u128::from(now - self.cycles) * 1_000_000_000 / u128::from(self.cpu_hz());
        self.nanoseconds + passed as u64
    }

    /// The CPU cycle at which `ticks` bus ticks will have passed since reset.
    #[must_use]
    pub fn cycle_of_tick(&self, ticks: u64) -> u64 {
        self.cycles.saturating_add(
            ticks.saturating_sub(self.ticks).saturating_mul(1 + u64::from(self.double)),
        )
    }

    /// CPU cycles that take `nanoseconds`.
    #[must_use]
    pub fn cycles_in(&self, nanoseconds: u64) -> u64 {
        (u128::from(nanoseconds) * u128::from(self.cpu_hz()) / 1_000_000_000) as u64
    }

    /// Time passes in which the core does nothing.
    pub fn pass(&mut self, nanoseconds: u64) {
        self.nanoseconds += nanoseconds;
    }

    /// Another bus clock from cycle `now` on.
    pub fn set_bus_hz(&mut self, hz: u64, now: u64) {
        self.rebase(now);
        self.bus_hz = hz;
    }

    /// The CPU at twice the bus clock, or at the bus clock, from cycle `now` on.
    pub fn set_double(&mut self, double: bool, now: u64) {
        self.rebase(now);
        self.double = double;
    }

    fn rebase(&mut self, now: u64) {
        self.ticks = self.ticks(now);
        self.nanoseconds = self.nanoseconds(now);
        self.cycles = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_continuous_over_changes_of_frequency() {
        let mut clock = Clock::new(100, 5);
        assert_eq!(clock.ticks(152), 52);
        assert_eq!(clock.nanoseconds(152), 1005);
        clock.set_bus_hz(PLL_HZ, 152);
        clock.set_double(true, 152);
        assert_eq!((clock.bus_hz(), clock.cpu_hz()), (80_000_000, 160_000_000));
        assert_eq!(clock.ticks(152 + 160), 52 + 80);
        assert_eq!(clock.nanoseconds(152 + 160), 2005);
        assert_eq!(clock.cycle_of_tick(52 + 80), 152 + 160);
        assert_eq!(clock.cycles_in(1000), 160);
    }
}
