//! Delays, by embedded-hal's trait.

use embedded_hal::delay::DelayNs;
use rtos::{CurrentTask, Duration};

/// From so many milliseconds on the task sleeps and leaves the CPU to others; a shorter delay is
/// computed away, because the kernel's clock ticks every 5 ms.
const SLEEP_MS: u32 = 20;

/// Waits at least as long as it is told. Only in tasks.
#[derive(Clone, Copy, Debug)]
pub struct Delay {
    /// Cycles in 1024 ns. Kept, and in a unit that needs a shift, because a division takes as long
    /// as the shortest delays.
    cycles: u32,
}

impl Delay {
    /// By the CPU's clock as it is.
    pub fn new() -> Self {
        Self { cycles: (lx106::clock_hz() / 1_000_000 * 1024).div_ceil(1000) }
    }
}

impl Default for Delay {
    fn default() -> Self {
        Self::new()
    }
}

impl DelayNs for Delay {
    fn delay_ns(&mut self, ns: u32) {
        // In pieces whose cycles fit 32 bits.
        const PIECE: u32 = 1_000_000;
        let mut left = ns;
        loop {
            let piece = left.min(PIECE);
            // SAFETY: computes for so many cycles.
            unsafe { chip_spin((piece * self.cycles + 1023) >> 10) };
            left -= piece;
            if left == 0 {
                return;
            }
        }
    }

    fn delay_us(&mut self, us: u32) {
        let mut left = us;
        while left > 0 {
            let piece = left.min(1000);
            self.delay_ns(piece * 1000);
            left -= piece;
        }
    }

    fn delay_ms(&mut self, ms: u32) {
        if ms < SLEEP_MS {
            self.delay_us(ms * 1000);
            return;
        }
        // The kernel counts whole ticks, and the one that is under way is no whole one.
        const TICK_MS: u32 = 1000 / vendor_sys::configTICK_RATE_HZ;
        CurrentTask::delay(Duration::ms(ms.saturating_add(2 * TICK_MS - 1)));
    }
}

// bsp/esp8266/include/chip.h
unsafe extern "C" {
    fn chip_spin(cycles: u32);
}
