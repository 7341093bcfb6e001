//! The emulated board: QEMU's `kc705-nommu` machine with the ESP8266's CPU.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddrV4;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::console::Console;
use crate::image::IDENTITY_OFFSET;
use process::files::{self, SECRET};
use process::programs::{self, Owned};
use process::scratch;

/// Where the identity region lies in flash.
const IDENTITY_ADDRESS: u32 = slots::WINDOW + IDENTITY_OFFSET;

/// An instruction takes 2^5 ns of the emulated CPU's time: nearly the 25 ns of a cycle.
pub const INSTRUCTION_SHIFT: u8 = 5;

/// QEMU's name of the board's network link.
const NETWORK: &str = "gn";

/// The monitor's socket in the emulator's folder.
const SOCKET: &str = "monitor";

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct EmulatorOptions {
    /// The firmware.
    pub elf: PathBuf,
    /// Content of the identity region; `None` leaves zeros there.
    pub identity: Option<Vec<u8>>,
    /// Semihosting arguments: what test firmware finds as its `argv`.
    pub arguments: Vec<String>,
    /// Counts instructions instead of host time, so that figures repeat exactly: one
    /// instruction is 2^shift ns of emulated time, and idle time is skipped.
    pub icount_shift: Option<u8>,
    /// Gives the board its network.
    pub network: bool,
    /// An address of the board's network, and where on this machine a connection to it ends.
    /// QEMU opens that connection at its start, and only that one.
    pub guest_forward: Option<(SocketAddrV4, SocketAddrV4)>,
    /// Prints the console to standard output too.
    pub echo: bool,
    /// Further command line of QEMU.
    pub further: Vec<OsString>,
}

impl EmulatorOptions {
    /// The firmware with a network and nothing else.
    #[must_use]
    pub fn new(elf: &Path) -> Self {
        Self { elf: elf.to_owned(), network: true, ..Self::default() }
    }

    fn command_line(&self, monitor: &Path, identity: Option<&Path>) -> Vec<OsString> {
        // signal=off: Ctrl-C belongs to the program that runs QEMU.
        const FIXED: &str = "-M kc705-nommu -cpu lx106 -display none -monitor none \
                             -chardev stdio,id=console,signal=off -serial chardev:console";
        let network = match (self.network, self.guest_forward) {
            (false, _) => "none".to_owned(),
            (true, None) => format!("user,id={NETWORK},model=open_eth"),
            (true, Some((from, to))) => {
                format!("user,id={NETWORK},model=open_eth,guestfwd=tcp:{from}-tcp:{to}")
            }
        };
        let mut semihosting = String::from("enable=on,target=native");
        for argument in &self.arguments {
            semihosting.push_str(",arg=");
            semihosting.push_str(&escaped(argument));
        }
        let mut line: Vec<OsString> = FIXED.split(' ').map(OsString::from).collect();
        line.extend(["-qmp".into(), joined("unix:", monitor, ",server=on,wait=off")]);
        line.extend(["-nic".into(), network.into()]);
        line.extend(["-semihosting-config".into(), semihosting.into()]);
        line.extend(["-kernel".into(), self.elf.clone().into()]);
        if let Some(identity) = identity {
            let place = format!(",addr={IDENTITY_ADDRESS:#x},force-raw=on");
            line.extend(["-device".into(), joined("loader,file=", identity, &place)]);
        }
        if let Some(shift) = self.icount_shift {
            line.extend(["-icount".into(), format!("shift={shift},sleep=off").into()]);
        }
        line.extend(self.further.iter().cloned());
        line
    }
}

/// QEMU reads a comma as the end of an option's value unless it is doubled.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

fn joined(before: &str, path: &Path, after: &str) -> OsString {
    format!("{before}{}{after}", escaped(&path.to_string_lossy())).into()
}

/// A running board; killed when dropped.
#[derive(Debug)]
pub struct Emulator {
    /// QEMU.
    pub process: Owned,
    monitor: Option<Monitor>,
    /// What the device writes to its serial console.
    pub console: Console,
    /// Holds the monitor's socket and the identity; removed with the emulator.
    pub(crate) folder: TempDir,
}

impl Emulator {
    /// Starts the board.
    ///
    /// # Errors
    /// When QEMU or the firmware is missing.
    pub fn start(options: &EmulatorOptions) -> Result<Self> {
        let program = programs::find("qemu-system-xtensa", "qemu-system-misc")?;
        if !options.elf.is_file() {
            bail!("there is no firmware at {}: build it first", options.elf.display());
        }
        let folder = scratch::folder()?;
        let identity = folder.path().join("identity.bin");
        if let Some(region) = &options.identity {
            files::write(&identity, region, SECRET)?;
        }
        let identity = options.identity.is_some().then_some(&*identity);
        let line = options.command_line(&folder.path().join(SOCKET), identity);
        let (process, output) = Owned::spawn_read(Command::new(program).args(line))?;
        let console = Console::attach(output, &options.elf, options.echo)?;
        Ok(Self { process, monitor: None, console, folder })
    }

    /// Plugs the network cable in or out.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn set_link(&mut self, up: bool) -> Result<()> {
        self.monitor()?.execute("set_link", json!({"name": NETWORK, "up": up}))
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn reset(&mut self) -> Result<()> {
        self.monitor()?.execute("system_reset", json!({}))
    }

    /// Halts the CPU and its clocks.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn pause(&mut self) -> Result<()> {
        self.monitor()?.execute("stop", json!({}))
    }

    /// Lets a halted CPU go on.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn resume(&mut self) -> Result<()> {
        self.monitor()?.execute("cont", json!({}))
    }

    fn monitor(&mut self) -> Result<&mut Monitor> {
        Ok(match &mut self.monitor {
            Some(monitor) => monitor,
            none => none.insert(Monitor::connect(&self.folder.path().join(SOCKET))?),
        })
    }
}

/// A connection to QEMU's monitor (QMP).
#[derive(Debug)]
struct Monitor {
    stream: UnixStream,
    replies: BufReader<UnixStream>,
}

impl Monitor {
    fn connect(socket: &Path) -> Result<Self> {
        const LIMIT: Duration = Duration::from_secs(5);
        let deadline = Instant::now() + LIMIT;
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => {
                    return Err(error).context("QEMU's monitor cannot be reached");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        stream.set_read_timeout(Some(LIMIT))?;
        let replies = BufReader::new(stream.try_clone()?);
        let mut monitor = Self { stream, replies };
        monitor.receive()?; // The greeting.
        monitor.execute("qmp_capabilities", json!({}))?;
        Ok(monitor)
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.replies.read_line(&mut line)? == 0 {
            bail!("QEMU has ended");
        }
        Ok(serde_json::from_str(&line)?)
    }

    fn execute(&mut self, command: &str, arguments: Value) -> Result<()> {
        let mut line = serde_json::to_vec(&json!({"execute": command, "arguments": arguments}))?;
        line.push(b'\n');
        self.stream.write_all(&line)?;
        loop {
            let reply = self.receive()?;
            if let Some(error) = reply.get("error") {
                bail!("QEMU refuses {command}: {error}");
            }
            // Events come in between.
            if reply.get("return").is_some() {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(options: &EmulatorOptions) -> String {
        options
            .command_line(Path::new("/s,1"), Some(Path::new("/i")))
            .iter()
            .map(|part| part.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn command_line_follows_the_options() {
        let mut options = EmulatorOptions::new(Path::new("a.elf"));
        let line = text(&options);
        assert!(line.contains("-M kc705-nommu -cpu lx106"), "{line}");
        assert!(line.contains("-nic user,id=gn,model=open_eth"), "{line}");
        assert!(line.contains("-device loader,file=/i,addr=0x402f8000,force-raw=on"), "{line}");
        assert!(line.contains("unix:/s,,1,server=on"), "{line}");
        assert!(!line.contains("-icount"), "{line}");
        options.guest_forward =
            Some(("10.0.2.9:443".parse().unwrap(), "127.0.0.1:1".parse().unwrap()));
        let line = text(&options);
        assert!(line.contains(",guestfwd=tcp:10.0.2.9:443-tcp:127.0.0.1:1 "), "{line}");
        options.arguments = vec!["one".to_owned(), "two,three".to_owned()];
        options.icount_shift = Some(5);
        options.network = false;
        let line = text(&options);
        assert!(line.contains(",arg=one,arg=two,,three"), "{line}");
        assert!(line.contains("-icount shift=5,sleep=off"), "{line}");
        assert!(line.contains("-nic none"), "{line}");
    }
}
