//! What is wired to the board in tests that look at its pins, and what is to be seen there.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::Sender;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};
use virtual_nodemcu::board::machine::Machine;
use virtual_nodemcu::board::pins::Drive;
use virtual_nodemcu::board::serial::Input;
use virtual_nodemcu::parts::{Part, Wires};

const MISO: u32 = 12;
const MOSI: u32 = 13;
const CLOCK: u32 = 14;
/// What `spi_modes` marks its transfers with.
const MARK: u32 = 5;

/// An edge: time in nanoseconds, levels of all pins after it.
type Edges = Rc<RefCell<Vec<(u64, u32)>>>;

/// Writes down what happens at pins; joins two of them, if so told.
struct Recorder {
    pins: Vec<u32>,
    joined: Option<(u32, u32)>,
    edges: Edges,
}

impl Part for Recorder {
    fn kind(&self) -> &'static str {
        "recorder"
    }

    fn pins(&self) -> Vec<u32> {
        self.pins.clone()
    }

    fn edge(&mut self, wires: &mut Wires<'_>, pin: u32, _high: bool) {
        if let Some((from, to)) = self.joined.filter(|(from, _)| *from == pin) {
            wires.drive(to, if wires.level(from) { Drive::High } else { Drive::Low });
        }
        let levels = self.pins.iter().fold(0, |all, pin| all | u32::from(wires.level(*pin)) << pin);
        self.edges.borrow_mut().push((wires.now(), levels));
    }

    fn set(&mut self, _: &str, _: &str, _: &mut Wires<'_>) -> Result<(), String> {
        Err("nothing can be set".to_owned())
    }

    fn state(&self, _now: u64) -> Value {
        json!({ "edges": self.edges.borrow().len() })
    }
}

/// What belongs to one test.
#[derive(Default)]
pub struct Wiring {
    edges: Edges,
}

impl Wiring {
    /// Wires what the test `name` needs.
    pub fn new(name: &str, machine: &mut Machine) -> Result<Self> {
        let wiring = Self::default();
        let board = &mut machine.board;
        let (pins, joined) = match name {
            "spi-modes" => (vec![MARK, MISO, MOSI, CLOCK], Some((MOSI, MISO))),
            "spi-lengths" => (vec![MISO, MOSI], Some((MOSI, MISO))),
            "pwm" => (vec![4, 5, 12, 13, 14], None),
            _ => (Vec::new(), None),
        };
        if !pins.is_empty() {
            let recorder = Recorder { pins, joined, edges: Rc::clone(&wiring.edges) };
            board.add_part("recorder", Box::new(recorder)).map_err(|error| anyhow!(error))?;
        }
        match name {
            "spi-device" => {
                let spec =
                    "bme280spi:D5+D7+D6+D1".parse().map_err(|error: String| anyhow!(error))?;
                board.add_part_like(&spec).map_err(|error| anyhow!(error))?;
            }
            "adc" => board.adc = 600,
            "deep-sleep" => machine.wake_wire = true,
            _ => {}
        }
        Ok(wiring)
    }

    /// What the host sends when the console shows `line`.
    pub fn answer(line: &str, input: &Sender<Input>) -> Result<()> {
        let bytes = match line {
            "send: short" => b"hello, chip\n".to_vec(),
            "send: long" => vec![b'.'; 300],
            _ => return Ok(()),
        };
        input.send(Input::Data(bytes)).context("the board is gone")
    }

    /// Judges what was seen at the pins in the test `name`.
    pub fn judge(&self, name: &str) -> Result<()> {
        let edges = self.edges.borrow();
        match name {
            "spi-modes" => four_modes(&edges),
            "pwm" => five_pulses(&edges),
            _ => Ok(()),
        }
    }
}

/// Each transfer, looked at as a device in its mode does, is what was sent, at 1 MHz.
fn four_modes(edges: &[(u64, u32)]) -> Result<()> {
    let mut transfers = Vec::new();
    for window in edges.windows(2) {
        let [(_, before), (time, after)] = window else { continue };
        let (fell, clock) = (before & !after, before ^ after);
        if fell >> MARK & 1 != 0 {
            transfers.push((before >> CLOCK & 1, Vec::new()));
        } else if let Some((_, bits)) = transfers.last_mut()
            && clock >> CLOCK & 1 != 0
            && after >> MARK & 1 == 0
        {
            bits.push((*time, after >> CLOCK & 1, before >> MOSI & 1));
        }
    }
    ensure!(transfers.len() == 4, "{} transfers", transfers.len());
    for (mode, (rests, edges)) in transfers.iter().enumerate() {
        let mode = mode as u32;
        ensure!(*rests == mode >> 1, "mode {mode}: the clock rests at {rests}");
        let wanted = u32::from(mode == 0 || mode == 3);
        let sampled: Vec<_> = edges.iter().filter(|(_, level, _)| *level == wanted).collect();
        ensure!(sampled.len() == 24, "mode {mode}: {} bits", sampled.len());
        let bits = sampled.iter().fold(0, |word, (_, _, bit)| word << 1 | bit);
        ensure!(bits == 0xA5_3C00 | mode, "mode {mode}: {bits:#08x}");
        for pair in sampled[..8].windows(2) {
            let period = pair[1].0 - pair[0].0;
            ensure!((990..=1010).contains(&period), "mode {mode}: a bit takes {period} ns");
        }
    }
    Ok(())
}

/// Pulses as `pulses` asks for, of the periods from 20 ms after the first on.
fn five_pulses(edges: &[(u64, u32)]) -> Result<()> {
    let begin = edges.first().map_or(0, |edge| edge.0) + 20_000_000;
    let seen: Vec<_> = edges.iter().filter(|(time, _)| *time >= begin).collect();
    let [first, .., last] = seen.as_slice() else { bail!("no pulses after 20 ms") };
    let (start, end) = (first.0, last.0);
    let high = |pin: u32| {
        let time = seen.windows(2).filter(|pair| pair[0].1 >> pin & 1 != 0);
        time.map(|pair| pair[1].0 - pair[0].0).sum::<u64>() as f64 / (end - start) as f64
    };
    ensure!(end - start > 100_000_000, "pulses for {} ms only", (end - start) / 1_000_000);
    for (pin, wanted, off) in
        [(5, 0.25, 0.005), (4, 0.5, 0.005), (12, 0.0, 0.0), (13, 1.0, 0.0), (14, 0.0001, 0.003)]
    {
        let part = high(pin);
        ensure!((part - wanted).abs() <= off, "GPIO{pin} is high {part:.4} of the time");
    }
    let rising: Vec<_> = seen
        .windows(2)
        .filter(|pair| !pair[0].1 & pair[1].1 & 1 << 5 != 0)
        .map(|pair| pair[1].0)
        .collect();
    for pair in rising.windows(2) {
        let period = pair[1] - pair[0];
        ensure!((980_000..=1_020_000).contains(&period), "a period of {period} ns");
    }
    let mean = (rising[rising.len() - 1] - rising[0]) / (rising.len() as u64 - 1);
    ensure!((999_000..=1_001_000).contains(&mean), "periods of {mean} ns");
    Ok(())
}
