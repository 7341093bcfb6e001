//! Parts that are wired to the board's pins: what one puts on a breadboard.
//!
//! A [`Part`] sees each change of level at its pins, with the board's time, and may hold pins low
//! or high or let them go, at once or later. It is told nothing of the program: it works with any
//! firmware that works with the real part.

mod bme280;
mod button;
mod dht22;
mod ds18b20;
mod i2c;
mod led;
mod servo;
mod spi;
mod ssd1306;

pub use bme280::Bme280;
pub use button::Button;
pub use dht22::Dht22;
pub use ds18b20::Ds18b20;
pub use i2c::{I2c, I2cDevice};
pub use led::Led;
pub use servo::Servo;
pub use spi::{Spi, SpiDevice};
pub use ssd1306::Ssd1306;

use std::collections::VecDeque;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::board::gpio::PINS;
use crate::board::pins::{self, Drive};

/// Nanoseconds of a microsecond.
const US: u64 = 1000;
/// Nanoseconds of a millisecond.
const MS: u64 = 1_000_000;
/// Parts on one board.
const MOST: usize = 32;

/// The board's pins, as a part gets hold of them.
pub struct Wires<'a> {
    now: u64,
    levels: u32,
    low: &'a mut u32,
    high: &'a mut u32,
}

impl Wires<'_> {
    /// The board's time in nanoseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// The level of a pin.
    #[must_use]
    pub fn level(&self, pin: u32) -> bool {
        self.levels >> pin & 1 != 0
    }

    /// Holds a pin, or lets it go.
    pub fn drive(&mut self, pin: u32, drive: Drive) {
        let bit = 1 << pin & PINS;
        *self.low &= !bit;
        *self.high &= !bit;
        match drive {
            Drive::Open => {}
            Drive::Low => *self.low |= bit,
            Drive::High => *self.high |= bit,
        }
    }
}

/// Something wired to pins of the board.
pub trait Part {
    /// What it is, as in `--part KIND:PIN`.
    fn kind(&self) -> &'static str;

    /// Its pins.
    fn pins(&self) -> Vec<u32>;

    /// The level at one of its pins changed, whoever did it.
    fn edge(&mut self, wires: &mut Wires<'_>, pin: u32, high: bool);

    /// The time that it gave by [`next`](Self::next) has come.
    fn wake(&mut self, _wires: &mut Wires<'_>) {}

    /// When it wants to be woken, in nanoseconds of the board's time.
    fn next(&self) -> Option<u64> {
        None
    }

    /// Changes a setting, or what it measures.
    ///
    /// # Errors
    /// What is wrong with `key` or `value`.
    fn set(&mut self, key: &str, value: &str, wires: &mut Wires<'_>) -> Result<(), String>;

    /// What it measures, shows or does at the time `now` (nanoseconds).
    fn state(&self, now: u64) -> Value;

    /// The power came on, or it was wired to a board that has power.
    fn power_on(&mut self, _wires: &mut Wires<'_>) {}
}

/// What a part will do to one pin, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script(VecDeque<(u64, Drive)>);

impl Script {
    pub(crate) fn at(&mut self, time: u64, drive: Drive) {
        self.0.push_back((time, drive));
    }

    pub(crate) fn next(&self) -> Option<u64> {
        self.0.front().map(|(time, _)| *time)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does what is due.
    pub(crate) fn play(&mut self, pin: u32, wires: &mut Wires<'_>) {
        while self.next().is_some_and(|time| time <= wires.now()) {
            if let Some((_, drive)) = self.0.pop_front() {
                wires.drive(pin, drive);
            }
        }
    }
}

struct Wired {
    name: String,
    part: Box<dyn Part>,
    pins: u32,
    low: u32,
    high: u32,
}

impl Wired {
    fn with<T>(
        &mut self,
        now: u64,
        levels: u32,
        act: impl FnOnce(&mut dyn Part, &mut Wires<'_>) -> T,
    ) -> T {
        let mut wires = Wires { now, levels, low: &mut self.low, high: &mut self.high };
        let result = act(self.part.as_mut(), &mut wires);
        // Somebody else's pins are not its own to hold.
        self.low &= self.pins;
        self.high &= self.pins;
        result
    }
}

/// The parts of one board.
#[derive(Default)]
pub struct Parts {
    list: Vec<Wired>,
    pins: u32,
    due: Option<u64>,
}

impl Parts {
    /// The pins at which there is a part, a bit each.
    #[must_use]
    pub fn pins(&self) -> u32 {
        self.pins
    }

    /// The pins that parts hold low, and high.
    #[must_use]
    pub fn held(&self) -> (u32, u32) {
        self.list.iter().fold((0, 0), |(low, high), one| (low | one.low, high | one.high))
    }

    /// When a part wants to be woken, in nanoseconds.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        self.due
    }

    /// The names of the parts at `pin`.
    #[must_use]
    pub fn at(&self, pin: u32) -> Vec<&str> {
        let there = self.list.iter().filter(|one| one.pins >> pin & 1 != 0);
        there.map(|one| one.name.as_str()).collect()
    }

    pub(crate) fn add(
        &mut self,
        name: String,
        part: Box<dyn Part>,
        (now, levels): (u64, u32),
    ) -> Result<(), String> {
        if self.list.len() >= MOST {
            return Err(format!("there are {MOST} parts already"));
        }
        if self.list.iter().any(|one| one.name == name) {
            return Err(format!("there is a part {name} already: give this one another name="));
        }
        let pins = part.pins().into_iter().fold(0, |pins, pin| pins | 1 << pin);
        if pins & !PINS != 0 || pins == 0 {
            return Err(format!("{name}: its pins are not among GPIO0 to GPIO16"));
        }
        let mut wired = Wired { name, part, pins, low: 0, high: 0 };
        wired.with(now, levels, |part, wires| part.power_on(wires));
        self.list.push(wired);
        self.pins |= pins;
        self.plan();
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), String> {
        let at = self.find(name)?;
        self.list.remove(at);
        self.pins = self.list.iter().fold(0, |pins, one| pins | one.pins);
        self.plan();
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize, String> {
        self.list.iter().position(|one| one.name == name).ok_or_else(|| {
            let names: Vec<_> = self.list.iter().map(|one| one.name.as_str()).collect();
            format!("part: there is no {name}; there are: {}", names.join(", "))
        })
    }

    /// Changes settings of a part. If one is refused, those before it are made all the same.
    pub(crate) fn set(
        &mut self,
        name: &str,
        settings: &[(String, String)],
        (now, levels): (u64, u32),
    ) -> Result<(), String> {
        let at = self.find(name)?;
        let done = settings.iter().try_for_each(|(key, value)| {
            self.list[at].with(now, levels, |part, wires| part.set(key, value, wires))
        });
        self.plan();
        done
    }

    /// What each part is, where, and its state.
    #[must_use]
    pub fn states(&self, now: u64) -> Vec<Value> {
        self.list
            .iter()
            .map(|one| {
                json!({
                    "name": one.name,
                    "kind": one.part.kind(),
                    "pins": one.part.pins(),
                    "state": one.part.state(now),
                })
            })
            .collect()
    }

    /// The state of one part.
    pub(crate) fn state(&self, name: &str, now: u64) -> Result<Value, String> {
        Ok(self.list[self.find(name)?].part.state(now))
    }

    pub(crate) fn power_on(&mut self, levels: u32, now: u64) {
        for one in &mut self.list {
            (one.low, one.high) = (0, 0);
            one.with(now, levels, |part, wires| part.power_on(wires));
        }
        self.plan();
    }

    pub(crate) fn edges(&mut self, changed: u32, levels: u32, now: u64) {
        for one in &mut self.list {
            let mut mine = one.pins & changed;
            while mine != 0 {
                let pin = mine.trailing_zeros();
                mine &= mine - 1;
                let high = levels >> pin & 1 != 0;
                one.with(now, levels, |part, wires| part.edge(wires, pin, high));
            }
        }
        self.plan();
    }

    pub(crate) fn wake(&mut self, levels: u32, now: u64) {
        for one in &mut self.list {
            if one.part.next().is_some_and(|due| due <= now) {
                one.with(now, levels, |part, wires| part.wake(wires));
            }
        }
        self.plan();
    }

    fn plan(&mut self) {
        self.due = self.list.iter().filter_map(|one| one.part.next()).min();
    }
}

/// A part as it is given on the command line: `KIND:PIN[+PIN][,key=value]...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name; otherwise its kind and, from the second on, a number.
    pub name: Option<String>,
    kind: String,
    pins: Vec<u32>,
    settings: Vec<(String, String)>,
}

/// The kinds, with how many pins each has and what they are.
const KINDS: [(&str, usize, &str); 8] = [
    ("led", 1, "led:D4"),
    ("button", 1, "button:D3"),
    ("dht22", 1, "dht22:D4,temperature=21.5,humidity=40"),
    ("ds18b20", 1, "ds18b20:D2,temperature=21.5"),
    ("bme280", 2, "bme280:D2+D1,temperature=21.5 (SDA+SCL)"),
    ("bme280spi", 4, "bme280spi:D5+D7+D6+D1 (clock+MOSI+MISO+select)"),
    ("ssd1306", 2, "ssd1306:D2+D1 (SDA+SCL)"),
    ("servo", 1, "servo:D5"),
];

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let examples = || KINDS.map(|(_, _, example)| example).join("; ");
        let mut words = text.split(',');
        let (kind, places) = words
            .next()
            .and_then(|first| first.split_once(':'))
            .ok_or_else(|| format!("KIND:PIN, as in {}", examples()))?;
        let (_, count, example) = KINDS
            .into_iter()
            .find(|(known, _, _)| *known == kind)
            .ok_or_else(|| format!("there is no part {kind}; there are {}", examples()))?;
        let pins: Vec<_> = places.split('+').map(pins::pin).collect::<Result<_, _>>()?;
        if pins.len() != count {
            return Err(format!("{kind} has {count} pins, as in {example}"));
        }
        if (1..count).any(|i| pins[..i].contains(&pins[i])) {
            return Err(format!("{kind}: {count} different pins, as in {example}"));
        }
        let mut spec = Self { name: None, kind: kind.to_owned(), pins, settings: Vec::new() };
        for word in words {
            let (key, value) = word.split_once('=').ok_or_else(|| format!("{word}: KEY=VALUE"))?;
            if key == "name" {
                if value.is_empty() {
                    return Err("name: it is empty".to_owned());
                }
                spec.name = Some(value.to_owned());
            } else {
                spec.settings.push((key.to_owned(), value.to_owned()));
            }
        }
        // What is wrong with a setting shows now.
        spec.make()?;
        Ok(spec)
    }
}

impl Spec {
    /// The part.
    ///
    /// # Errors
    /// What is wrong with a setting.
    pub fn make(&self) -> Result<Box<dyn Part>, String> {
        let [first, second] = [self.pins[0], *self.pins.last().unwrap_or(&0)];
        let mut part: Box<dyn Part> = match self.kind.as_str() {
            "led" => Box::new(Led::new(first)),
            "button" => Box::new(Button::new(first)),
            "dht22" => Box::new(Dht22::new(first)),
            "ds18b20" => Box::new(Ds18b20::new(first)),
            "bme280" => Box::new(I2c::new(first, second, Bme280::default())),
            "bme280spi" => {
                let pins = self.pins.as_slice().try_into().map_err(|_| "four pins".to_owned())?;
                Box::new(Spi::new(pins, Bme280::default()))
            }
            "ssd1306" => Box::new(I2c::new(first, second, Ssd1306::default())),
            "servo" => Box::new(Servo::new(first)),
            other => return Err(format!("there is no part {other}")),
        };
        let (mut low, mut high) = (0, 0);
        let mut wires = Wires { now: 0, levels: 0, low: &mut low, high: &mut high };
        for (key, value) in &self.settings {
            part.set(key, value, &mut wires)?;
        }
        Ok(part)
    }

    /// The name for it among `parts`.
    pub(crate) fn name_among(&self, parts: &Parts) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let taken = |name: &str| parts.list.iter().any(|one| one.name == name);
        let numbered = (2..).map(|number| format!("{}-{number}", self.kind));
        std::iter::once(self.kind.clone())
            .chain(numbered)
            .find(|name| !taken(name))
            .unwrap_or_default()
    }
}

/// A number within limits, for [`Part::set`].
fn number(key: &str, value: &str, least: f64, most: f64) -> Result<f64, String> {
    value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("{key}: a number from {least} to {most}"))
}

/// A truth, for [`Part::set`].
fn truth(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        _ => Err(format!("{key}: on or off")),
    }
}

/// What to say of a key that a part does not know.
fn unknown(kind: &str, key: &str, known: &str) -> String {
    format!("{kind} has no {key}; it has {known}")
}

#[cfg(test)]
pub(crate) mod bench {
    //! A wire with one part at it and a test at the other end.

    use super::*;

    pub struct Bench {
        pub parts: Parts,
        pub now: u64,
        chip_low: u32,
        chip_high: u32,
        levels: u32,
        /// Edges seen: time, pin, level.
        pub edges: Vec<(u64, u32, bool)>,
    }

    impl Bench {
        /// Pins with pull-ups, and these parts.
        pub fn new(specs: &[&str]) -> Self {
            let mut bench = Self {
                parts: Parts::default(),
                now: 0,
                chip_low: 0,
                chip_high: 0,
                levels: PINS,
                edges: Vec::new(),
            };
            for text in specs {
                let spec: Spec = text.parse().unwrap();
                let name = spec.name_among(&bench.parts);
                bench.parts.add(name, spec.make().unwrap(), (0, PINS)).unwrap();
            }
            bench.settle();
            bench
        }

        pub fn level(&self, pin: u32) -> bool {
            self.levels >> pin & 1 != 0
        }

        fn settle(&mut self) {
            loop {
                let (low, high) = self.parts.held();
                let levels = self.chip_high | !(self.chip_low | low) & PINS & (high | PINS);
                let changed = levels ^ self.levels;
                if changed == 0 {
                    return;
                }
                self.levels = levels;
                for pin in (0..16).filter(|pin| changed >> pin & 1 != 0) {
                    self.edges.push((self.now, pin, levels >> pin & 1 != 0));
                }
                self.parts.edges(changed, levels, self.now);
            }
        }

        /// The chip drives a pin, or lets it go.
        pub fn drive(&mut self, pin: u32, drive: Drive) {
            self.chip_low &= !(1 << pin);
            self.chip_high &= !(1 << pin);
            match drive {
                Drive::Low => self.chip_low |= 1 << pin,
                Drive::High => self.chip_high |= 1 << pin,
                Drive::Open => {}
            }
            self.settle();
        }

        /// Time passes.
        pub fn wait_ns(&mut self, ns: u64) {
            let end = self.now + ns;
            while let Some(due) = self.parts.next().filter(|due| *due <= end) {
                self.now = self.now.max(due);
                self.parts.wake(self.levels, self.now);
                self.settle();
            }
            self.now = end;
        }

        pub fn wait(&mut self, us: u64) {
            self.wait_ns(us * US);
        }

        pub fn set(&mut self, part: &str, key: &str, value: &str) -> Result<(), String> {
            let at = (self.now, self.levels);
            let done = self.parts.set(part, &[(key.to_owned(), value.to_owned())], at);
            self.settle();
            done
        }

        pub fn state(&self, part: &str) -> Value {
            self.parts.state(part, self.now).unwrap()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_part_is_said() {
        for (text, says) in [
            ("lamp:D4", "there is no part lamp"),
            ("dht22", "KIND:PIN"),
            ("dht22:D9", "GPIO16"),
            ("dht22:D4+D5", "has 1 pins"),
            ("bme280:D2", "SDA+SCL"),
            ("bme280:D2+D2", "2 different"),
            ("bme280spi:D5+D7+D5+D1", "4 different"),
            ("dht22:D4,temperature", "KEY=VALUE"),
            ("dht22:D4,temperature=hot", "from -40 to 80"),
            ("dht22:D4,colour=red", "it has temperature, humidity"),
            ("led:D4,name=", "empty"),
            ("servo:D5,angle=4", "servo has no angle"),
        ] {
            let error = text.parse::<Spec>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn parts_are_named_by_themselves_and_told_apart() {
        let bench = bench::Bench::new(&["led:D1", "led:D2", "led:D4,name=blue"]);
        let states = bench.parts.states(0);
        let names: Vec<_> = states.iter().filter_map(|state| state["name"].as_str()).collect();
        assert_eq!(names, ["led", "led-2", "blue"]);
        assert_eq!(bench.parts.at(4), ["led-2"]);
    }
}
