//! A push button whose contact bounces, as contacts do.

use serde_json::{Value, json};

use super::{MS, Part, Script, US, Wires, number, truth, unknown};
use crate::board::pins::Drive;

/// A button from a pin to ground; pressed it pulls the pin low.
#[derive(Clone, Debug)]
pub struct Button {
    pin: u32,
    pressed: bool,
    /// How long the contact bounces, in nanoseconds.
    bounce: u64,
    script: Script,
    noise: u32,
}

impl Button {
    /// A button at `pin` that bounces for 2 ms.
    #[must_use]
    pub fn new(pin: u32) -> Self {
        Self { pin, pressed: false, bounce: 2 * MS, script: Script::default(), noise: 1 }
    }

    /// Presses it, or lets it go.
    pub fn press(&mut self, pressed: bool, wires: &mut Wires<'_>) {
        if pressed == self.pressed {
            return;
        }
        self.pressed = pressed;
        self.script.clear();
        let [closed, open] = [Drive::Low, Drive::Open];
        let (last, other) = if pressed { (closed, open) } else { (open, closed) };
        wires.drive(self.pin, last);
        // Ever longer at the new state: 20 to 280 us each.
        let (mut at, end) = (wires.now(), wires.now() + self.bounce);
        loop {
            for drive in [other, last] {
                self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                at += (20 + u64::from(self.noise >> 24)) * US;
                if at >= end {
                    // The contact comes to rest as it should.
                    if drive == last {
                        self.script.at(end.max(wires.now()), last);
                    }
                    return;
                }
                self.script.at(at, drive);
            }
        }
    }
}

impl Part for Button {
    fn kind(&self) -> &'static str {
        "button"
    }

    fn pins(&self) -> Vec<u32> {
        vec![self.pin]
    }

    fn edge(&mut self, _wires: &mut Wires<'_>, _pin: u32, _high: bool) {}

    fn wake(&mut self, wires: &mut Wires<'_>) {
        self.script.play(self.pin, wires);
        if self.script.is_empty() {
            wires.drive(self.pin, if self.pressed { Drive::Low } else { Drive::Open });
        }
    }

    fn next(&self) -> Option<u64> {
        self.script.next()
    }

    fn set(&mut self, key: &str, value: &str, wires: &mut Wires<'_>) -> Result<(), String> {
        match key {
            "pressed" => self.press(truth(key, value)?, wires),
            "bounce_ms" => self.bounce = (number(key, value, 0.0, 1000.0)? * MS as f64) as u64,
            _ => return Err(unknown("button", key, "pressed, bounce_ms")),
        }
        Ok(())
    }

    fn power_on(&mut self, wires: &mut Wires<'_>) {
        // Whoever presses it goes on pressing.
        self.script.clear();
        wires.drive(self.pin, if self.pressed { Drive::Low } else { Drive::Open });
    }

    fn state(&self, _now: u64) -> Value {
        json!({ "pressed": self.pressed, "bounce_ms": self.bounce as f64 / MS as f64 })
    }
}

#[cfg(test)]
mod tests {
    use crate::parts::bench::Bench;

    #[test]
    fn it_bounces_and_then_rests() {
        let mut bench = Bench::new(&["button:D3"]);
        bench.set("button", "pressed", "on").unwrap();
        assert!(!bench.level(0), "it makes contact at once");
        bench.wait(5_000);
        let edges = bench.edges.len();
        assert!(edges > 4, "{edges}");
        assert!(bench.edges.iter().all(|(time, _, _)| *time <= 2_000_000));
        assert!(!bench.level(0));
        bench.set("button", "pressed", "off").unwrap();
        bench.wait(5_000);
        assert!(bench.level(0));
        // A clean one.
        bench.set("button", "bounce_ms", "0").unwrap();
        let before = bench.edges.len();
        bench.set("button", "pressed", "on").unwrap();
        bench.wait(5_000);
        bench.set("button", "pressed", "off").unwrap();
        bench.wait(5_000);
        assert_eq!(bench.edges.len() - before, 2);
    }
}
