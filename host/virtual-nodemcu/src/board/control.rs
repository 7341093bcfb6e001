//! The control socket: one JSON object a line, both ways, over a Unix socket.
//!
//! Whoever connects is greeted with `"hello"` and the number of the protocol. A request has `"do"`
//! and may have `"id"`, which its answer repeats; the answer has `"ok"` or `"error"`. `CONTROL.md`
//! of this crate lists the requests. The web page speaks the same over its WebSocket.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use serde_json::{Map, Value, json};

use super::ResetCause;
use super::flash::SECTOR;
use super::gpio::RTC_PIN;
use super::machine::Machine;
use super::pins::{self, Drive, Pull};
use super::radio::ap::{Action, Ap, Forge, Replay};
use super::radio::frame;
use super::radio::settings::{Settings, address};
use super::radio::shared::{Pipe, listen};

/// Longest request.
const MOST: usize = 1 << 16;
/// Clients at a time.
const MOST_CLIENTS: usize = 16;

/// The number of what is spoken: it grows when something is taken away or changes its meaning. What
/// is added does not change it.
pub const PROTOCOL: u64 = 1;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// A line of the console.
    Console,
    /// An output of the chip.
    Outputs,
    /// Bytes that UART0 sent.
    Serial,
    /// The level at a pin, whoever made it.
    Level(u32),
}

/// What a client wants to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    console: bool,
    outputs: bool,
    serial: bool,
    /// Pins, a bit each.
    levels: u32,
}

impl Interest {
    fn covers(self, about: About) -> bool {
        match about {
            About::Console => self.console,
            About::Outputs => self.outputs,
            About::Serial => self.serial,
            About::Level(pin) => self.levels >> pin & 1 != 0,
        }
    }
}

/// The socket and who is connected.
#[derive(Default)]
pub struct Control {
    socket: Option<(UnixListener, PathBuf)>,
    /// Clients that come by another way.
    others: Option<Receiver<UnixStream>>,
    clients: Vec<Client>,
}

struct Client {
    pipe: Pipe,
    interest: Interest,
}

impl Client {
    /// Whether it asks for something, may do so yet, or is to be told something.
    fn stays(&mut self) -> bool {
        let ended = self.pipe.has_ended();
        let asks = ended && !self.pipe.input().is_empty();
        let waits = self.pipe.owes() || self.interest != Interest::default();
        asks || self.pipe.is_open() && (waits || !ended)
    }
}

impl Control {
    /// Listens at `path`.
    ///
    /// # Errors
    /// The path is in use, or cannot be made.
    pub fn new(path: &Path) -> io::Result<Self> {
        let mut control = Self::default();
        control.socket = Some((listen(path)?, path.to_owned()));
        Ok(control)
    }

    /// Takes clients from there too.
    pub fn accept_from(&mut self, others: Receiver<UnixStream>) {
        self.others = Some(others);
    }

    /// Pins that somebody wants to be told of, a bit each.
    #[must_use]
    pub fn watched(&self) -> u32 {
        self.clients.iter().fold(0, |pins, client| pins | client.interest.levels)
    }

    /// Requests that came since the last call, each with who asked.
    pub fn requests(&mut self) -> Vec<(usize, Vec<u8>)> {
        for client in &mut self.clients {
            client.pipe.poll();
        }
        // Before others come, who would find no place.
        self.clients.retain_mut(Client::stays);
        let mut new = Vec::new();
        if let Some((listener, _)) = &self.socket {
            new.extend(std::iter::from_fn(|| listener.accept().ok()).map(|(stream, _)| stream));
        }
        new.extend(self.others.iter().flat_map(Receiver::try_iter));
        for stream in new {
            if self.clients.len() < MOST_CLIENTS
                && let Ok(mut pipe) = Pipe::new(stream)
            {
                // First what it asks for: who is gone already cannot be greeted.
                pipe.poll();
                pipe.write(format!("{}\n", greeting()).as_bytes());
                self.clients.push(Client { pipe, interest: Interest::default() });
            }
        }
        let mut requests = Vec::new();
        for (who, client) in self.clients.iter_mut().enumerate() {
            let ended = client.pipe.has_ended();
            let input = client.pipe.input();
            while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = input.drain(..=end).collect();
                requests.push((who, line[..end].to_vec()));
            }
            if ended && !input.is_empty() {
                // Its last line has no end.
                requests.push((who, std::mem::take(input)));
            }
            if input.len() > MOST {
                input.clear();
                requests.push((who, Vec::new()));
            }
        }
        requests
    }

    /// Answers a request.
    pub fn answer(&mut self, who: usize, answer: &Value) {
        if let Some(client) = self.clients.get_mut(who) {
            client.pipe.write(format!("{answer}\n").as_bytes());
        }
    }

    /// From now on the client is told of this.
    pub fn set_listening(&mut self, who: usize, interest: Interest) {
        if let Some(client) = self.clients.get_mut(who) {
            client.interest = interest;
        }
    }

    /// Tells what happened to those who want to know.
    pub fn tell(&mut self, about: About, event: &Value) {
        let wants = |client: &&mut Client| client.interest.covers(about);
        let mut line = None;
        for client in self.clients.iter_mut().filter(wants) {
            let line = line.get_or_insert_with(|| format!("{event}\n"));
            client.pipe.write(line.as_bytes());
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if let Some((_, path)) = &self.socket {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn greeting() -> Value {
    json!({
        "hello": "virtual-nodemcu",
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": PROTOCOL,
    })
}

/// Bytes as a text whose characters have their numbers: JSON has no bytes, and what a chip sends
/// need not be UTF-8.
#[must_use]
pub fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Does what a request says; the answer, and whether the client wants to be told what happens, if
/// it said so.
pub fn serve(machine: &mut Machine, line: &[u8]) -> (Value, Option<Interest>) {
    let request: Map<String, Value> = match serde_json::from_slice(line) {
        Ok(request) => request,
        Err(error) => {
            let text = format!("a request is one JSON object on one line: {error}");
            return (json!({ "error": text }), None);
        }
    };
    let id = request.get("id").cloned();
    let mut listens = None;
    let mut answer = match execute(machine, &request, &mut listens) {
        Ok(result) => json!({ "ok": result }),
        Err(error) => json!({ "error": error }),
    };
    if let Some(id) = id {
        answer["id"] = id;
    }
    (answer, listens)
}

type Outcome = Result<Value, String>;

fn execute(
    machine: &mut Machine,
    request: &Map<String, Value>,
    listens: &mut Option<Interest>,
) -> Outcome {
    let what = request
        .get("do")
        .and_then(Value::as_str)
        .ok_or("what to do is missing: {\"do\":\"status\"}")?;
    match what {
        "listen" => {
            let on = flag(request, "on", true)?;
            let mut interest = Interest {
                console: on,
                outputs: flag(request, "outputs", on)?,
                serial: flag(request, "serial", false)?,
                levels: 0,
            };
            if let Some(pins) = request.get("pins") {
                let pins = pins.as_array().ok_or("pins: a list, as [\"D1\",2]")?;
                for pin in pins {
                    interest.levels |= 1 << a_pin(pin)?;
                }
            }
            *listens = Some(interest);
            Ok(Value::Null)
        }
        "status" => Ok(status(machine)),
        "save" => machine.save_file().map(|bytes| json!({ "bytes": bytes })),
        "recent" => Ok(json!({
            "serial": latin1(&machine.recent().sent()),
            "console": machine.recent().lines(),
        })),
        "reset" => {
            if !machine.is_powered_and_held().0 {
                return Err("the power is off: {\"do\":\"power\",\"on\":true}".to_owned());
            }
            machine.reset(ResetCause::External);
            Ok(Value::Null)
        }
        "power" => {
            machine.set_power(flag(request, "on", true)?);
            Ok(Value::Null)
        }
        "button" => {
            let pressed = flag(request, "pressed", true)?;
            match request.get("name").map(Value::as_str) {
                None | Some(Some("FLASH")) => machine.press_button(pressed),
                Some(Some("RST")) => machine.press_reset(pressed),
                Some(_) => return Err("name: FLASH or RST".to_owned()),
            }
            Ok(Value::Null)
        }
        "serial" => {
            let typed = text(request, "text")?;
            let bytes: Option<Vec<u8>> =
                typed.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
            let bytes = bytes.ok_or("text: each character is a byte, up to U+00FF")?;
            machine.type_in(&bytes);
            Ok(Value::Null)
        }
        "adc" => {
            if request.contains_key("value") {
                machine.board.adc = number(request, "value", 0, 0, 1023)? as u16;
            }
            Ok(json!({ "value": machine.board.adc }))
        }
        "pins" => Ok(json!({
            "levels": machine.board.gpio.levels(),
            "outputs": machine.board.gpio.enabled(),
            "pins": (0..=RTC_PIN).map(|pin| pin_state(machine, pin)).collect::<Vec<_>>(),
        })),
        "pin" => {
            let pin = a_pin(request.get("pin").unwrap_or(&Value::Null))?;
            let pull = optional(request, "pull", |word| word.parse())?;
            let drive = match optional(request, "level", |word| word.parse())? {
                None if request.contains_key("high") => {
                    Some(if flag(request, "high", true)? { Drive::High } else { Drive::Low })
                }
                level => level,
            };
            if let Some(pull) = pull {
                machine.board.pull_pin(pin, pull);
            }
            if let Some(drive) = drive {
                machine.board.hold_pin(pin, drive);
            }
            Ok(pin_state(machine, pin))
        }
        "parts" => Ok(machine.board.parts.states(time(machine)).into()),
        "part.add" => {
            let spec = text(request, "settings")?.parse()?;
            Ok(json!({ "name": machine.board.add_part_like(&spec)? }))
        }
        "part.remove" => {
            machine.board.remove_part(text(request, "part")?)?;
            Ok(Value::Null)
        }
        "part" => {
            let name = text(request, "part")?;
            let settings: Vec<_> = request
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "do" | "id" | "part"))
                .map(|(key, value)| (key.clone(), words(value)))
                .collect();
            machine.board.set_part(name, &settings)?;
            machine.board.parts.state(name, time(machine))
        }
        "flash" => Ok(json!({
            "size": machine.board.flash.size(),
            "sector": SECTOR,
            "map": machine.board.flash.map(),
        })),
        "ap.add" => {
            let settings = Settings::parse(text(request, "settings")?)?;
            machine.add_access_point(settings)?;
            Ok(Value::Null)
        }
        "ap.set" => {
            let ap = find(machine, request)?;
            let changes: Vec<_> = request
                .iter()
                .filter(|(key, _)| !matches!(key.as_str(), "do" | "id" | "ap"))
                .collect();
            if changes.is_empty() {
                return Err("nothing to set: {\"do\":\"ap.set\",\"loss\":10}".to_owned());
            }
            let changes: Vec<_> =
                changes.into_iter().map(|(key, value)| (key, words(value))).collect();
            // All or nothing.
            let mut tried = ap.settings().clone();
            for (key, value) in &changes {
                tried.change(key, value)?;
            }
            for (key, value) in &changes {
                ap.change(key, value)?;
            }
            Ok(Value::Null)
        }
        "ap.deauth" => {
            let station = optional(request, "station", |wanted| {
                address(wanted).ok_or_else(|| format!("{wanted}: no address"))
            })?;
            let reason = number(request, "reason", 7, 1, 65_535)? as u16;
            let forged = flag(request, "forged", false)?;
            act(machine, request, &Action::Deauthenticate { station, reason, forged })
        }
        "ap.rekey" => act(machine, request, &Action::Rekey),
        "ap.off" => {
            let seconds = number(request, "seconds", 0, 0, 86_400)?;
            let back = request.contains_key("seconds").then_some(seconds * 1_000_000_000);
            act(machine, request, &Action::Off(back))
        }
        "ap.on" => act(machine, request, &Action::On),
        "ap.switch" => {
            let channel = number(request, "channel", 0, 1, 14)? as u8;
            let beacons = number(request, "beacons", 0, 0, 255)? as u8;
            act(machine, request, &Action::Switch { channel, beacons })
        }
        "ap.replay" => {
            let what = match text(request, "what")? {
                "message1" => Replay::Message1,
                "message3" => Replay::Message3,
                "group" => Replay::Group,
                "data" => Replay::Data,
                _ => return Err("what: one of message1, message3, group, data".to_owned()),
            };
            act(machine, request, &Action::Replay(what))
        }
        "ap.forge" => {
            let what = match text(request, "what")? {
                "message1" => Forge::Message1,
                "message3" => Forge::Message3,
                "group" => Forge::Group,
                "malformed" => Forge::Malformed,
                _ => return Err("what: one of message1, message3, group, malformed".to_owned()),
            };
            act(machine, request, &Action::Forge(what))
        }
        _ => Err(format!(
            "{what}: no such request; there are status, listen, recent, save, reset, power, button, serial, \
             adc, pins, pin, parts, part, part.add, part.remove, flash, ap.add, ap.set, ap.deauth, ap.rekey, \
             ap.off, ap.on, ap.switch, ap.replay, ap.forge"
        )),
    }
}

/// A pin by its number or one of its names.
fn a_pin(value: &Value) -> Result<u32, String> {
    match value {
        Value::String(name) => pins::pin(name),
        Value::Number(number) => pins::pin(&number.to_string()),
        _ => Err("pin: a number from 0 to 16, or a name as D4 or GPIO2".to_owned()),
    }
}

fn pin_state(machine: &Machine, pin: u32) -> Value {
    let board = &machine.board;
    let held = board.wiring().held(pin);
    let bit = |pins: u32| pins >> pin & 1 != 0;
    let (low, high) = board.parts.held();
    let by = if bit(board.gpio.driven()) {
        "chip"
    } else if pin == 0 && machine.button {
        "button"
    } else if held != Drive::Open {
        "outside"
    } else if bit(low | high) {
        "part"
    } else {
        "pull"
    };
    json!({
        "pin": pin,
        "name": pins::place(pin),
        "high": bit(board.gpio.levels()),
        "output": bit(board.gpio.enabled()),
        "by": by,
        "held": match held { Drive::Open => "open", Drive::Low => "low", Drive::High => "high" },
        "pull": match board.wiring().pull(pin) {
            Pull::None => "none",
            Pull::Up => "up",
            Pull::Down => "down",
        },
        "parts": board.parts.at(pin),
    })
}

fn time(machine: &Machine) -> u64 {
    machine.board.clock.nanoseconds(machine.cpu.cycles())
}

fn status(machine: &Machine) -> Value {
    let aps: Vec<_> = machine.board.radio.air.aps.iter().map(access_point).collect();
    let (powered, held) = machine.is_powered_and_held();
    let levels = machine.board.gpio.levels();
    let leds: Vec<_> = machine
        .leds()
        .iter()
        .map(|led| {
            let lit = powered && !held && (levels >> led.pin & 1 != 0) != led.active_low;
            json!({ "name": led.name, "pin": led.pin, "lit": lit })
        })
        .collect();
    json!({
        "time_ns": time(machine),
        "cycles": machine.cpu.cycles(),
        "instructions": machine.cpu.instructions(),
        "cpu_hz": machine.board.clock.cpu_hz(),
        "powered": powered,
        "held": held,
        "button": machine.button,
        "boot": machine.board.gpio.boot_mode(),
        "baud": machine.board.uarts[0].baud(machine.board.clock.bus_hz()),
        "flash_size": machine.board.flash.size(),
        "mac": frame::text(machine.board.mac()),
        "adc": machine.board.adc,
        "leds": leds,
        "reset": machine.board.reset_cause() as u32,
        "channel": machine.board.radio.channel(),
        "rx_overflows": machine.board.radio.mac.overflows(),
        "aps": aps,
    })
}

fn access_point(ap: &Ap) -> Value {
    let settings = ap.settings();
    let stations: Vec<_> = ap
        .clients()
        .iter()
        .map(|client| {
            json!({
                "station": frame::text(client.address),
                "joined": client.joined,
                "asleep": client.asleep,
            })
        })
        .collect();
    json!({
        "ssid": settings.ssid,
        "bssid": frame::text(ap.bssid()),
        "on": ap.is_up(),
        "channel": settings.channel,
        "rssi": settings.rssi,
        "loss": settings.loss,
        "beacons": settings.beacons,
        "acks": settings.acks,
        "dhcp": settings.dhcp,
        "stations": stations,
    })
}

/// The access point that a request names by its name or address; it need not when there is one.
fn find<'a>(machine: &'a mut Machine, request: &Map<String, Value>) -> Result<&'a mut Ap, String> {
    let aps = &mut machine.board.radio.air.aps;
    let at = match request.get("ap") {
        None if aps.len() == 1 => 0,
        None => {
            return Err(format!(
                "there are {} access points: say which, as in \"ap\":\"home\"",
                aps.len()
            ));
        }
        Some(_) => {
            let wanted = text(request, "ap")?;
            let is = |ap: &Ap| ap.settings().ssid == wanted || frame::text(ap.bssid()) == wanted;
            let found: Vec<_> = (0..aps.len()).filter(|i| is(&aps[*i])).collect();
            match found[..] {
                [at] => at,
                [] => return Err(format!("ap: there is no access point {wanted}")),
                _ => return Err(format!("ap: several are called {wanted}: give the address")),
            }
        }
    };
    Ok(&mut aps[at])
}

fn act(machine: &mut Machine, request: &Map<String, Value>, action: &Action) -> Outcome {
    let now = machine.board.clock.nanoseconds(machine.cpu.cycles());
    find(machine, request)?.act(action, now)?;
    machine.board.radio.serve();
    Ok(Value::Null)
}

/// A value as it is written on the command line.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "on".to_owned(),
        Value::Bool(false) => "off".to_owned(),
        other => other.to_string(),
    }
}

fn text<'a>(request: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    request.get(key).and_then(Value::as_str).ok_or_else(|| format!("{key}: a text is missing"))
}

/// What a text says, if there is one.
fn optional<T>(
    request: &Map<String, Value>,
    key: &str,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let read = || read(text(request, key)?).map_err(|error| format!("{key}: {error}"));
    request.contains_key(key).then(read).transpose()
}

fn flag(request: &Map<String, Value>, key: &str, otherwise: bool) -> Result<bool, String> {
    match request.get(key) {
        None => Ok(otherwise),
        Some(value) => value.as_bool().ok_or_else(|| format!("{key}: true or false")),
    }
}

fn number(
    request: &Map<String, Value>,
    key: &str,
    otherwise: u64,
    least: u64,
    most: u64,
) -> Result<u64, String> {
    let number = match request.get(key) {
        None => Some(otherwise),
        Some(value) => value.as_u64(),
    };
    let number = number.filter(|number| (least..=most).contains(number));
    number.ok_or_else(|| format!("{key}: a number from {least} to {most}"))
}

/// A client: asks and listens.
pub struct Remote {
    input: BufReader<UnixStream>,
    output: UnixStream,
    next: u64,
    events: Vec<Value>,
}

impl Remote {
    /// Connects to the board whose control socket is at `path`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let output = UnixStream::connect(path)?;
        let input = BufReader::new(output.try_clone()?);
        let mut remote = Self { input, output, next: 1, events: Vec::new() };
        let greeting = remote.read().map_err(io::Error::other)?;
        if greeting["protocol"] != PROTOCOL {
            return Err(io::Error::other(format!(
                "it speaks another protocol than {PROTOCOL}: {greeting}"
            )));
        }
        Ok(remote)
    }

    /// Sends a request and waits for its answer: the value of `"ok"`.
    ///
    /// # Errors
    /// What the board says is wrong, or that the board is gone.
    pub fn ask(&mut self, mut request: Value) -> Result<Value, String> {
        let id = self.next;
        self.next += 1;
        request["id"] = id.into();
        self.output
            .write_all(format!("{request}\n").as_bytes())
            .map_err(|error| format!("the board is gone: {error}"))?;
        loop {
            let mut message = self.read()?;
            if message.get("id").and_then(Value::as_u64) != Some(id) {
                self.events.push(message);
                continue;
            }
            return match message.get_mut("error") {
                Some(error) => Err(error.as_str().unwrap_or_default().to_owned()),
                None => Ok(message["ok"].take()),
            };
        }
    }

    /// The next event, after a request `listen`.
    ///
    /// # Errors
    /// The board is gone.
    pub fn event(&mut self) -> Result<Value, String> {
        if self.events.is_empty() { self.read() } else { Ok(self.events.remove(0)) }
    }

    fn read(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(count) if count > 0 => {
                serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))
            }
            Ok(_) => Err("the board is gone".to_owned()),
            Err(error) => Err(format!("the board is gone: {error}")),
        }
    }
}
