//! The control socket: one JSON object a line, both ways, over a Unix socket.
//!
//! A request has `"do"` and may have `"id"`, which its answer repeats; the answer has `"ok"` or
//! `"error"`. `docs/virtual-nodemcu.md` lists the requests.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::ResetCause;
use super::machine::Machine;
use super::radio::ap::{Action, Ap, Forge, Replay};
use super::radio::frame;
use super::radio::settings::{Settings, address};
use super::radio::shared::{Pipe, listen};

/// Longest request.
const MOST: usize = 1 << 16;
/// Clients at a time.
const MOST_CLIENTS: usize = 16;

/// The socket and who is connected.
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
}

struct Client {
    pipe: Pipe,
    /// Whether it is told what happens.
    listens: bool,
}

impl Control {
    /// Listens at `path`.
    ///
    /// # Errors
    /// The path is in use, or cannot be made.
    pub fn new(path: &Path) -> io::Result<Self> {
        Ok(Self { listener: listen(path)?, path: path.to_owned(), clients: Vec::new() })
    }

    /// Requests that came since the last call, each with who asked.
    pub fn requests(&mut self) -> Vec<(usize, Vec<u8>)> {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.clients.len() < MOST_CLIENTS
                && let Ok(pipe) = Pipe::new(stream)
            {
                self.clients.push(Client { pipe, listens: false });
            }
        }
        self.clients.retain(|client| client.pipe.is_open());
        let mut requests = Vec::new();
        for (who, client) in self.clients.iter_mut().enumerate() {
            let input = client.pipe.poll();
            while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = input.drain(..=end).collect();
                requests.push((who, line[..end].to_vec()));
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

    /// From now on the client is told what happens, or not.
    pub fn set_listening(&mut self, who: usize, listens: bool) {
        if let Some(client) = self.clients.get_mut(who) {
            client.listens = listens;
        }
    }

    /// Tells what happened to those who want to know.
    pub fn tell(&mut self, event: &Value) {
        if self.clients.iter().any(|client| client.listens) {
            let line = format!("{event}\n");
            for client in self.clients.iter_mut().filter(|client| client.listens) {
                client.pipe.write(line.as_bytes());
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Does what a request says; the answer, and whether the client wants to be told what happens, if
/// it said so.
pub fn serve(machine: &mut Machine, line: &[u8]) -> (Value, Option<bool>) {
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
    listens: &mut Option<bool>,
) -> Outcome {
    let what = request
        .get("do")
        .and_then(Value::as_str)
        .ok_or("what to do is missing: {\"do\":\"status\"}")?;
    match what {
        "listen" => {
            *listens = Some(flag(request, "on", true)?);
            Ok(Value::Null)
        }
        "status" => Ok(status(machine)),
        "reset" => {
            machine.reset(ResetCause::External);
            Ok(Value::Null)
        }
        "power" => {
            machine.reset(ResetCause::PowerOn);
            Ok(Value::Null)
        }
        "button" => {
            machine.press_button(flag(request, "pressed", true)?);
            Ok(Value::Null)
        }
        "pins" => Ok(json!({
            "levels": machine.board.gpio.levels(),
            "outputs": machine.board.gpio.enabled(),
        })),
        "pin" => {
            let pin = match request.get("pin") {
                Some(_) => number(request, "pin", 0, 0, 15)? as u32,
                None => return Err("pin: a number from 0 to 15".to_owned()),
            };
            machine.board.drive_pin(pin, flag(request, "high", true)?);
            Ok(Value::Null)
        }
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
            let station = match request.get("station") {
                None => None,
                Some(_) => {
                    let wanted = text(request, "station")?;
                    Some(address(wanted).ok_or_else(|| format!("station: {wanted}: no address"))?)
                }
            };
            let reason = number(request, "reason", 7, 1, 65_535)? as u16;
            let forged = flag(request, "forged", false)?;
            act(machine, request, &Action::Deauthenticate { station, reason, forged })
        }
        "ap.rekey" => act(machine, request, &Action::Rekey),
        "ap.off" => {
            let back = match request.get("seconds") {
                None => None,
                Some(_) => Some(number(request, "seconds", 0, 0, 86_400)? * 1_000_000_000),
            };
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
            "{what}: no such request; there are status, listen, reset, power, button, pins, pin, \
             ap.add, ap.set, ap.deauth, ap.rekey, ap.off, ap.on, ap.switch, ap.replay, ap.forge"
        )),
    }
}

fn status(machine: &Machine) -> Value {
    let aps: Vec<_> = machine.board.radio.air.aps.iter().map(access_point).collect();
    json!({
        "time_ns": machine.board.clock.nanoseconds(machine.cpu.cycles()),
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
        Ok(Self { input, output, next: 1, events: Vec::new() })
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
