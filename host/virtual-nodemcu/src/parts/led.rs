//! A light-emitting diode, which may be dimmed by pulses.

use serde_json::{Value, json};

use super::{MS, Part, Wires, truth, unknown};

/// Over how long its brightness is what an eye sees.
const WINDOW: u64 = 20 * MS;

/// An LED between a pin and 3.3 V (lit while low), or ground.
#[derive(Clone, Debug)]
pub struct Led {
    pin: u32,
    active_low: bool,
    level: bool,
    since: u64,
    /// Lit time of the window that is over, and of the one that is not.
    before: f64,
    lit: u64,
    window: u64,
    changes: u64,
}

impl Led {
    /// Lit while `pin` is low.
    #[must_use]
    pub fn new(pin: u32) -> Self {
        let level = true;
        Self { pin, active_low: true, level, since: 0, before: 0.0, lit: 0, window: 0, changes: 0 }
    }

    /// Whether it is lit.
    #[must_use]
    pub fn is_lit(&self) -> bool {
        self.level != self.active_low
    }

    /// How bright it is to an eye, 0 to 1.
    #[must_use]
    pub fn brightness(&self, now: u64) -> f64 {
        let mut copy = self.clone();
        copy.account(now);
        copy.before
    }

    /// Counts the time up to `now`.
    fn account(&mut self, now: u64) {
        let mut at = self.since;
        let lit = self.is_lit();
        if now.saturating_sub(self.window) >= 2 * WINDOW {
            // A whole window went by without a change.
            self.before = f64::from(u8::from(lit));
            self.window = now - now % WINDOW;
            self.lit = if lit { now - self.window } else { 0 };
        } else {
            while at < now {
                let end = (self.window + WINDOW).min(now);
                self.lit += if lit { end - at } else { 0 };
                at = end;
                if end == self.window + WINDOW {
                    self.before = self.lit as f64 / WINDOW as f64;
                    (self.window, self.lit) = (end, 0);
                }
            }
        }
        self.since = now;
    }
}

impl Part for Led {
    fn kind(&self) -> &'static str {
        "led"
    }

    fn pins(&self) -> Vec<u32> {
        vec![self.pin]
    }

    fn edge(&mut self, wires: &mut Wires<'_>, _pin: u32, high: bool) {
        self.account(wires.now());
        self.level = high;
        self.changes += 1;
    }

    fn power_on(&mut self, wires: &mut Wires<'_>) {
        self.account(wires.now());
        self.level = wires.level(self.pin);
    }

    fn set(&mut self, key: &str, value: &str, wires: &mut Wires<'_>) -> Result<(), String> {
        match key {
            "high" => {
                self.account(wires.now());
                self.active_low = !truth(key, value)?;
                Ok(())
            }
            _ => Err(unknown("led", key, "high (lit while high)")),
        }
    }

    fn state(&self, now: u64) -> Value {
        json!({
            "lit": self.is_lit(),
            "brightness": (self.brightness(now) * 100.0).round() / 100.0,
            "changes": self.changes,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::board::pins::Drive;
    use crate::parts::bench::Bench;

    #[test]
    fn lit_while_low_and_dimmed_by_pulses() {
        let mut bench = Bench::new(&["led:D4"]);
        assert_eq!(bench.state("led")["lit"], false);
        bench.drive(2, Drive::Low);
        bench.wait(100_000);
        assert_eq!(bench.state("led")["lit"], true);
        assert_eq!(bench.state("led")["brightness"], 1.0);
        for _ in 0..100 {
            bench.drive(2, Drive::Low);
            bench.wait(250);
            bench.drive(2, Drive::High);
            bench.wait(750);
        }
        assert_eq!(bench.state("led")["brightness"], 0.25);
        assert_eq!(bench.state("led")["changes"], 200);
        bench.set("led", "high", "on").unwrap();
        assert_eq!(bench.state("led")["lit"], true);
    }
}
