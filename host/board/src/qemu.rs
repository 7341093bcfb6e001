//! The emulated board: QEMU's `kc705-nommu` machine with the ESP8266's CPU.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddrV4;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::console::Console;
use crate::image::IDENTITY_OFFSET;
use crate::machine::Machine;
use process::files::{self, SECRET};
use process::programs::{self, Owned};
use process::scratch;

/// Where the identity region lies in flash.
const IDENTITY_ADDRESS: u32 = slots::WINDOW + IDENTITY_OFFSET;

/// An instruction takes 2^5 ns of the emulated CPU's time: nearly the 25 ns of a cycle.
pub const INSTRUCTION_SHIFT: u8 = 5;

/// QEMU's name of the board's network link.
const NETWORK: &str = "gn";

/// What to run.
#[derive(Clone, Debug)]
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
        Self {
            elf: elf.to_owned(),
            identity: None,
            arguments: Vec::new(),
            icount_shift: None,
            network: true,
            guest_forward: None,
            echo: false,
            further: Vec::new(),
        }
    }

    fn command_line(&self, monitor: &Path, identity: Option<&Path>) -> Vec<OsString> {
        let mut line: Vec<OsString> = [
            "-M",
            "kc705-nommu",
            "-cpu",
            "lx106",
            "-display",
            "none",
            "-monitor",
            "none",
            // signal=off: Ctrl-C belongs to the program that runs QEMU.
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
        ]
        .into_iter()
        .map(OsString::from)
        .collect();
        line.push("-qmp".into());
        line.push(joined("unix:", monitor, ",server=on,wait=off"));
        line.push("-nic".into());
        line.push(match (self.network, self.guest_forward) {
            (false, _) => "none".into(),
            (true, None) => format!("user,id={NETWORK},model=open_eth").into(),
            (true, Some((from, to))) => {
                format!("user,id={NETWORK},model=open_eth,guestfwd=tcp:{from}-tcp:{to}").into()
            }
        });
        let mut semihosting = String::from("enable=on,target=native");
        for argument in &self.arguments {
            semihosting.push_str(",arg=");
            semihosting.push_str(&escaped(argument));
        }
        line.push("-semihosting-config".into());
        line.push(semihosting.into());
        line.push("-kernel".into());
        line.push(self.elf.clone().into());
        if let Some(identity) = identity {
            line.push("-device".into());
            line.push(joined(
                "loader,file=",
                identity,
                &format!(",addr={IDENTITY_ADDRESS:#x},force-raw=on"),
            ));
        }
        if let Some(shift) = self.icount_shift {
            line.push("-icount".into());
            line.push(format!("shift={shift},sleep=off").into());
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
    process: Owned,
    monitor: Option<Monitor>,
    socket: PathBuf,
    /// What the device writes to its serial console.
    pub console: Console,
    /// Holds the monitor's socket and the identity; removed with the emulator.
    _folder: TempDir,
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
        let socket = folder.path().join("monitor");
        let identity = match &options.identity {
            None => None,
            Some(region) => {
                let path = folder.path().join("identity.bin");
                files::write(&path, region, SECRET)?;
                Some(path)
            }
        };
        let mut process = Owned::spawn(
            Command::new(program)
                .args(options.command_line(&socket, identity.as_deref()))
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit()),
        )?;
        let output = process.child().stdout.take().context("QEMU has no standard output")?;
        Ok(Self {
            process,
            monitor: None,
            socket,
            console: Console::attach(output, &options.elf, options.echo)?,
            _folder: folder,
        })
    }

    /// The exit status when QEMU has ended.
    ///
    /// # Errors
    /// When the operating system does not answer.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.process.exited()
    }

    /// Waits for QEMU's end; `None` when `limit` passes first.
    ///
    /// # Errors
    /// When the operating system does not answer.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        self.process.wait(limit)
    }

    /// CPU time that QEMU has used so far, to a hundredth of a second.
    ///
    /// # Errors
    /// When QEMU has ended or the kernel does not tell.
    pub fn cpu_time(&self) -> Result<Duration> {
        self.process.cpu_time()
    }

    /// Ends QEMU and returns all lines of the console.
    #[must_use]
    pub fn finish(mut self) -> Vec<String> {
        self.process.kill();
        self.console.finish()
    }

    /// Plugs the network cable in or out.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn set_link(&mut self, up: bool) -> Result<()> {
        self.monitor()?.execute("set_link", json!({"name": NETWORK, "up": up})).map(drop)
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn reset(&mut self) -> Result<()> {
        self.monitor()?.execute("system_reset", json!({})).map(drop)
    }

    /// Halts the CPU and its clocks.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn pause(&mut self) -> Result<()> {
        self.monitor()?.execute("stop", json!({})).map(drop)
    }

    /// Lets a halted CPU go on.
    ///
    /// # Errors
    /// When QEMU does not answer.
    pub fn resume(&mut self) -> Result<()> {
        self.monitor()?.execute("cont", json!({})).map(drop)
    }

    fn monitor(&mut self) -> Result<&mut Monitor> {
        if self.monitor.is_none() {
            self.monitor = Some(Monitor::connect(&self.socket)?);
        }
        self.monitor.as_mut().context("no monitor")
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

    fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut line = serde_json::to_vec(&json!({"execute": command, "arguments": arguments}))?;
        line.push(b'\n');
        self.stream.write_all(&line)?;
        loop {
            let mut reply = self.receive()?;
            if let Some(error) = reply.get("error") {
                bail!("QEMU refuses {command}: {error}");
            }
            // Events come in between.
            if let Some(result) = reply.get_mut("return") {
                return Ok(result.take());
            }
        }
    }
}

impl Machine for Emulator {
    fn console(&self) -> &Console {
        &self.console
    }

    fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        Self::wait(self, limit)
    }

    fn finish(self: Box<Self>) -> Vec<String> {
        Self::finish(*self)
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
