//! A hobby servo: it follows the length of pulses.

use serde_json::{Value, json};

use super::{MS, Part, US, Wires, unknown};

/// Pulses of other lengths it takes for noise.
const PULSES: std::ops::RangeInclusive<u64> = 400 * US..=2600 * US;
/// Without a pulse for so long it lets go.
const PATIENCE: u64 = 100 * MS;

/// A servo: 500 us is 0 degrees, 2500 us 180.
#[derive(Clone, Debug)]
pub struct Servo {
    pin: u32,
    rose: Option<u64>,
    /// Length of the last good pulse, and when it ended.
    pulse: Option<(u64, u64)>,
    /// Time between the starts of the last two.
    period: u64,
    refused: u64,
}

impl Servo {
    /// At `pin`.
    #[must_use]
    pub fn new(pin: u32) -> Self {
        Self { pin, rose: None, pulse: None, period: 0, refused: 0 }
    }

    /// Its angle in degrees, 0 to 180, once there was a pulse.
    #[must_use]
    pub fn angle(&self) -> Option<f64> {
        let (length, _) = self.pulse?;
        Some(((length as f64 / US as f64 - 500.0) * 180.0 / 2000.0).clamp(0.0, 180.0))
    }
}

impl Part for Servo {
    fn kind(&self) -> &'static str {
        "servo"
    }

    fn pins(&self) -> Vec<u32> {
        vec![self.pin]
    }

    fn edge(&mut self, wires: &mut Wires<'_>, _pin: u32, high: bool) {
        let now = wires.now();
        if high {
            if let Some(before) = self.rose.replace(now) {
                self.period = now - before;
            }
        } else if let Some(rose) = self.rose {
            if PULSES.contains(&(now - rose)) {
                self.pulse = Some((now - rose, now));
            } else {
                self.refused += 1;
            }
        }
    }

    fn set(&mut self, key: &str, _value: &str, _wires: &mut Wires<'_>) -> Result<(), String> {
        Err(unknown("servo", key, "no settings"))
    }

    fn state(&self, now: u64) -> Value {
        let held = self.pulse.is_some_and(|(_, end)| now.saturating_sub(end) < PATIENCE);
        json!({
            "angle": self.angle().map(|angle| (angle * 10.0).round() / 10.0),
            "pulse_us": self.pulse.map(|(length, _)| length as f64 / US as f64),
            "period_us": self.period as f64 / US as f64,
            "held": held,
            "refused": self.refused,
        })
    }

    fn power_on(&mut self, _wires: &mut Wires<'_>) {
        *self = Self::new(self.pin);
    }
}

#[cfg(test)]
mod tests {
    use crate::board::pins::Drive;
    use crate::parts::bench::Bench;

    #[test]
    fn it_follows_the_length_of_pulses() {
        let mut bench = Bench::new(&["servo:D5"]);
        bench.drive(14, Drive::Low);
        assert!(bench.state("servo")["angle"].is_null());
        for (us, degrees) in [(1500, 90.0), (500, 0.0), (2500, 180.0), (1000, 45.0)] {
            for _ in 0..2 {
                bench.drive(14, Drive::High);
                bench.wait(us);
                bench.drive(14, Drive::Low);
                bench.wait(20_000 - us);
            }
            let state = bench.state("servo");
            assert_eq!((&state["angle"], &state["held"]), (&degrees.into(), &true.into()));
            assert_eq!(state["period_us"], 20_000.0);
        }
        bench.drive(14, Drive::High);
        bench.wait(50);
        bench.drive(14, Drive::Low);
        assert_eq!(bench.state("servo")["refused"], 1);
        assert_eq!(bench.state("servo")["angle"], 45.0);
        bench.wait(200_000);
        assert_eq!(bench.state("servo")["held"], false);
    }
}
