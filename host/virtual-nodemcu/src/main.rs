//! `virtual-nodemcu`: a NodeMCU (or HUZZAH) without the board.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Parser, ValueEnum};
use virtual_nodemcu::board::Board;
use virtual_nodemcu::board::control::Control;
use virtual_nodemcu::board::flash::{self, Flash};
use virtual_nodemcu::board::machine::{End, Led, Machine};
use virtual_nodemcu::board::net::Net;
use virtual_nodemcu::board::noise;
use virtual_nodemcu::board::radio::pcap::Pcap;
use virtual_nodemcu::board::radio::settings::Settings;
use virtual_nodemcu::board::serial::Serial;
use virtual_nodemcu::debug::Observer;
use virtual_nodemcu::debug::gdb::Server;
use virtual_nodemcu::debug::profile::Profile;
use virtual_nodemcu::debug::symbols::Symbols;
use virtual_nodemcu::debug::trace::Tracer;
use virtual_nodemcu::parts::Spec;
use virtual_nodemcu::snapshot::Snapshot;
use virtual_nodemcu::web;

/// What `--help` says behind the options.
const MANUAL: &str = "\
EXAMPLES
  A board with a page, to be flashed through RFC 2217, which resets by DTR and RTS:
    virtual-nodemcu --flash board.bin --rfc2217 127.0.0.1:4000 --web 127.0.0.1:8080
    esptool --port rfc2217://127.0.0.1:4000 write-flash 0 firmware.bin

  A pseudo-terminal, in the serial loader at first; then the REPL of MicroPython:
    virtual-nodemcu --flash board.bin --pty /tmp/board --gpio0-low
    esptool --port /tmp/board --before no-reset --after no-reset write-flash 0 micropython.bin
    virtual-nodemcu --flash board.bin --pty /tmp/board
    mpremote connect /tmp/board

  A network, a sensor and a screen:
    virtual-nodemcu --flash board.bin --ap ssid=home,psk=passphrase \\
        --part dht22:D5,temperature=21.5 --part ssd1306:D2+D1

  A board that has booted already: saved at Ctrl-C, then started from there as often as wanted:
    virtual-nodemcu --flash board.bin --pty /tmp/board --save booted.snapshot
    virtual-nodemcu --load booted.snapshot --pty /tmp/board

  Scripts rule it by the control socket (CONTROL.md):
    virtual-nodemcu --flash board.bin --control /tmp/control
    echo '{\"do\":\"status\"}' | socat - UNIX-CONNECT:/tmp/control

EXIT STATUS
  0  switched off (Ctrl-C, SIGTERM)
  1  it could not start, or the flash file could not be written any more
  2  an option is wrong
  3  the power cut of --power-cut-after

FILES
  The flash file holds what is in flash, from address 0 on. Only one board at a time can have it.";

/// Exit status after a power cut that was armed.
const POWER_CUT: u8 = 3;
/// Functions of the profile that the console shows; the file has all.
const PROFILE_LINES: usize = 20;

/// An ESP8266 board as a program: flash it with esptool, and it boots what was flashed.
///
/// Its serial port is an RFC 2217 server on loopback (or a pseudo-terminal); its console, which
/// shows resets, LEDs and what went wrong, is standard output. Ctrl-C switches it off.
#[derive(Parser)]
#[command(version, after_long_help = MANUAL)]
struct Options {
    /// File with the contents of the flash chip; made blank if it is not there. With --load it may
    /// be left out: then nothing that the program writes is kept
    #[arg(long, value_name = "FILE", required_unless_present = "load")]
    flash: Option<PathBuf>,

    /// Write a snapshot of the whole board to this file at the end (Ctrl-C), and when the control
    /// socket asks for it
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Go on where a snapshot was taken. Parts and access points are those given here; a flash file
    /// has to be new, or hold what the snapshot does
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["flash_size", "rom", "mac", "gpio0_low"]
    )]
    load: Option<PathBuf>,

    /// Size of the flash chip in MiB: 1, 2, 4, 8 or 16
    #[arg(long, value_name = "MIB", default_value_t = 4, value_parser = flash_size)]
    flash_size: usize,

    /// Where the RFC 2217 server listens; port 0 takes a free one, which the console names
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:0",
        conflicts_with = "pty"
    )]
    rfc2217: SocketAddr,

    /// A pseudo-terminal instead, with a link to it here (it has no DTR and RTS: no reset by tools)
    #[arg(long, value_name = "LINK")]
    pty: Option<PathBuf>,

    /// Execute a boot ROM that you dumped from a chip of yours (64 KiB at 0x40000000, by
    /// `esptool dump-mem`) instead of this program's own
    #[arg(long, value_name = "FILE")]
    rom: Option<PathBuf>,

    /// An LED of the board (may be given again): lit while the pin is low, with `:high` while high
    #[arg(long = "led", value_name = "NAME=GPIO[:high]", default_value = "blue=2")]
    leds: Vec<Led>,

    /// Station address
    #[arg(long, value_name = "MAC", default_value = "5c:cf:7f:12:34:56", value_parser = mac)]
    mac: [u8; 6],

    /// Network behind the network port
    #[arg(long, value_enum, default_value_t = Network::usual())]
    net: Network,

    /// A virtual access point, as ssid=home,psk=passphrase,channel=6,rssi=-50, or as @FILE, which has
    /// that in it (other users of this machine can read a command line); may be given several times.
    /// The host is 10.0.2.2 behind it. More keys: docs/virtual-nodemcu.md
    #[arg(long, value_name = "KEY=VALUE,...", value_parser = Settings::given)]
    ap: Vec<Settings>,

    /// Serve the air to other boards at this Unix socket; they join it by --join-air
    #[arg(long, value_name = "SOCKET")]
    air: Option<PathBuf>,

    /// Be on the air of the board that serves it at this Unix socket
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["ap", "air", "pcap"])]
    join_air: Option<PathBuf>,

    /// Take requests at this Unix socket while the board runs, one JSON object a line
    /// (docs/virtual-nodemcu.md)
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,

    /// Show the board on a web page at this address of loopback, as 127.0.0.1:8080; port 0 takes a
    /// free one, which the console names
    #[arg(long, value_name = "ADDRESS:PORT")]
    web: Option<SocketAddr>,

    /// A part wired to pins, as dht22:D4,temperature=21.5; may be given several times. Kinds: led,
    /// button, dht22, ds18b20, bme280, bme280spi, ssd1306, servo
    #[arg(long = "part", value_name = "KIND:PIN[+PIN][,KEY=VALUE]...")]
    parts: Vec<Spec>,

    /// What the ADC measures, 0 to 1023: 0, or what a snapshot says
    #[arg(long, value_name = "VALUE", value_parser = clap::value_parser!(u16).range(0..=1023))]
    adc: Option<u16>,

    /// Write the air to a file as Wireshark reads it: pcap with radiotap headers
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,

    /// Hold GPIO0 low, as the button FLASH does: boots into the serial loader
    #[arg(long)]
    gpio0_low: bool,

    /// A wire from GPIO16 to RST, by which the chip wakes itself from deep sleep
    #[arg(long)]
    wake_wire: bool,

    /// Start value of the random source, for runs that repeat; otherwise it differs each time
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// How good the random source is
    #[arg(long, value_enum, default_value_t = Random::Good)]
    random: Random,

    /// Cut the power while flash is written, after so many bytes programmed or erased; the
    /// program then ends with status 3
    #[arg(long, value_name = "BYTES")]
    power_cut_after: Option<u64>,

    /// Write down what the flash is told to program and to erase, a line each
    #[arg(long, value_name = "FILE")]
    flash_log: Option<PathBuf>,

    /// How long the ROM's functions wait for the flash
    #[arg(long, value_enum, default_value_t = FlashSpeed::AtOnce)]
    flash_speed: FlashSpeed,

    /// The ELF that the image was made of: names functions in trace and profile
    #[arg(long, value_name = "FILE")]
    elf: Option<PathBuf>,

    /// Write a line for each instruction executed: cycle, address, function, instruction, memory
    /// used, registers changed; `-` is standard output. Slow, and gigabytes in minutes: see
    /// --trace-only
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// Trace only these addresses (0x40201000-0x40202000, end not included) or functions (name, or
    /// part of it; needs --elf); may be given several times
    #[arg(long, value_name = "RANGE|FUNCTION", requires = "trace")]
    trace_only: Vec<String>,

    /// Count instructions by function; the table is written at the end, Ctrl-C included, and its
    /// top shown
    #[arg(long, value_name = "FILE", requires = "elf")]
    profile: Option<PathBuf>,

    /// Let GDB connect to this port of loopback (`target remote :PORT`); 0 takes a free one, which
    /// the console names
    #[arg(long, value_name = "PORT")]
    gdb: Option<u16>,

    /// Stand still at the first instruction until GDB connects
    #[arg(long, requires = "gdb")]
    gdb_wait: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Network {
    /// The host is 10.0.2.2, the board gets 10.0.2.15
    User,
    /// No cable
    None,
}

impl Network {
    /// What is built in.
    fn usual() -> Self {
        if cfg!(feature = "network") { Self::User } else { Self::None }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum FlashSpeed {
    /// No time
    AtOnce,
    /// As its data sheet calls typical: 0.4 ms a page, 45 ms a sector
    Typical,
    /// The longest of its data sheet: 3 ms a page, 400 ms a sector
    Worst,
}

#[derive(Clone, Copy, ValueEnum)]
enum Random {
    /// As good as the chip's
    Good,
    /// The same values after each reset
    Repeats,
    /// One value again and again, until the program has reset the chip
    FailsOnce,
}

fn flash_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(mib @ (1 | 2 | 4 | 8 | 16)) => Ok(mib),
        _ => Err("the sizes are 1, 2, 4, 8 and 16 MiB".to_owned()),
    }
}

fn mac(text: &str) -> Result<[u8; 6], String> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|part| u8::from_str_radix(part, 16).ok()).collect();
    match bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok()) {
        Some(mac) if mac[0] & 1 == 0 => Ok(mac),
        Some(_) => Err("that is a group address: the first byte must be even".to_owned()),
        None => Err("six bytes in hexadecimal, as in 5c:cf:7f:12:34:56".to_owned()),
    }
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("virtual-nodemcu: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    let snapshot = options
        .load
        .as_ref()
        .map(|path| Snapshot::read(path).with_context(|| format!("--load {}", path.display())));
    let snapshot = snapshot.transpose()?;
    let size = snapshot.as_ref().map_or(options.flash_size << 20, Snapshot::flash_size);
    let mut flash = match &options.flash {
        Some(path) => {
            Flash::open(path, size).with_context(|| format!("flash file {}", path.display()))?
        }
        None => Flash::blank(size),
    };
    if let Some(bytes) = options.power_cut_after {
        flash.cut_power_after(bytes);
    }
    if let Some(path) = &options.flash_log {
        let log = File::create(path);
        flash.log_to(log.with_context(|| format!("--flash-log {}", path.display()))?);
    }
    flash.set_speed(match options.flash_speed {
        FlashSpeed::AtOnce => flash::Speed::AtOnce,
        FlashSpeed::Typical => flash::Speed::Typical,
        FlashSpeed::Worst => flash::Speed::Worst,
    });
    if !options.rfc2217.ip().is_loopback() {
        bail!("{}: the serial port has no password, so it is for loopback only", options.rfc2217);
    }
    let serial = if let Some(link) = &options.pty {
        let serial = Serial::pty(link)
            .with_context(|| format!("pseudo-terminal with a link at {}", link.display()))?;
        say(&format!("serial port: {}", link.display()));
        serial
    } else {
        let (serial, address) = Serial::rfc2217(options.rfc2217)
            .with_context(|| format!("{}: is another board running there?", options.rfc2217))?;
        say(&format!("serial port: rfc2217://{address}"));
        serial
    };
    let seed = options.seed.unwrap_or_else(|| {
        std::time::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64)
    });
    let mut board = Board::new(flash, options.mac, seed);
    if let Some(path) = &options.rom {
        let dump = std::fs::read(path).with_context(|| format!("--rom {}", path.display()))?;
        board.set_rom(&dump).map_err(|text| anyhow!("--rom {}: {text}", path.display()))?;
    }
    board.noise.set_kind(match options.random {
        Random::Good => noise::Kind::Good,
        Random::Repeats => noise::Kind::Repeats,
        Random::FailsOnce => noise::Kind::FailsOnce,
    });
    board.set_gpio0_low(options.gpio0_low);
    for spec in &options.parts {
        board.add_part_like(spec).map_err(|text| anyhow!("--part: {text}"))?;
    }
    let net = (options.net == Network::User).then(Net::new);
    let symbols = Rc::new(match &options.elf {
        Some(path) => Symbols::read(path).with_context(|| format!("--elf {}", path.display()))?,
        None => Symbols::default(),
    });
    let tracer = match &options.trace {
        Some(path) => {
            let only = trace_ranges(&options.trace_only, &symbols)?;
            Some(Tracer::new(output(path)?, Rc::clone(&symbols), only))
        }
        None => None,
    };
    let profile = options.profile.as_ref().map(|_| Profile::new(Rc::clone(&symbols)));
    // Made now, so that what is wrong with it shows before the run and not behind it.
    let mut profile_out = options.profile.as_deref().map(output).transpose()?;
    let gdb = match options.gdb {
        Some(port) => {
            let server = Server::new(port)
                .with_context(|| format!("port {port} for GDB: is another board using it?"))?;
            say(&format!("gdb: target remote {}", server.address()?));
            Some(server)
        }
        None => None,
    };
    // Before the board says that it runs: whoever reads that may send a signal.
    let switch = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The first one switches the board off, the second ends the program whatever it does.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&switch))?;
        signal_hook::flag::register(signal, Arc::clone(&switch))?;
    }
    let leds = options.leds.clone();
    let mut machine = match &snapshot {
        Some(snapshot) => Machine::load(snapshot, board, serial, net, leds, Box::new(say))
            .with_context(|| {
                format!("--load {}", options.load.as_deref().unwrap_or(Path::new("")).display())
            })?,
        None => Machine::new(board, serial, net, leds, Box::new(say)),
    };
    if let Some(value) = options.adc {
        machine.board.adc = value;
    }
    machine.snapshots.clone_from(&options.save);
    machine.switch = switch;
    machine.symbols = symbols;
    machine.wake_wire = options.wake_wire;
    for settings in &options.ap {
        machine.add_access_point(settings.clone()).map_err(|text| anyhow!("--ap: {text}"))?;
    }
    if let Some(path) = &options.pcap {
        let epoch = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64);
        let pcap = File::create(path)
            .and_then(|file| Pcap::new(Box::new(file), epoch))
            .with_context(|| format!("--pcap {}", path.display()))?;
        machine.board.radio.air.pcap = Some(pcap);
    }
    if let Some(path) = &options.air {
        let served = machine.board.radio.serve_air(path);
        served.with_context(|| format!("--air {}", path.display()))?;
    }
    if let Some(path) = &options.join_air {
        machine.board.radio.join_air(path).with_context(|| {
            format!("--join-air {}: is there a board with --air?", path.display())
        })?;
    }
    if options.control.is_some() || options.web.is_some() {
        let mut control = match &options.control {
            Some(path) => {
                Control::new(path).with_context(|| format!("--control {}", path.display()))?
            }
            None => Control::default(),
        };
        if let Some(address) = options.web {
            let (address, pages) =
                web::serve(address).with_context(|| format!("--web {address}"))?;
            say(&format!("page: http://{address}/"));
            control.accept_from(pages);
        }
        machine.set_control(control);
    }
    if tracer.is_some() || profile.is_some() {
        machine.observer = Some(Observer { tracer, profile, ..Observer::default() });
    }
    let end = match &gdb {
        Some(server) => server.run(&mut machine, options.gdb_wait),
        None => machine.run(None),
    };
    if options.save.is_some() && end == End::SwitchedOff {
        machine.save_file().map_err(|text| anyhow!("--save: {text}"))?;
    }
    if let Some(mut observer) = machine.observer.take() {
        observer.finish(machine.cpu.registers()).context("the trace")?;
        if let (Some(profile), Some(out)) = (&observer.profile, &mut profile_out) {
            let idle = machine.cpu.cycles() - machine.cpu.instructions();
            for line in profile.report(idle, PROFILE_LINES).lines() {
                say(line);
            }
            out.write_all(profile.report(idle, usize::MAX).as_bytes())
                .and_then(|()| out.flush())
                .context("the profile")?;
        }
    }
    if let Some(link) = &options.pty {
        // Dangling from now on.
        let _ = std::fs::remove_file(link);
    }
    match end {
        End::PowerCut => Ok(ExitCode::from(POWER_CUT)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A line on the console. Nobody reads it any more: the program ends, quietly, as filters do.
fn say(text: &str) {
    if writeln!(io::stdout(), "[board] {text}").is_err() {
        std::process::exit(1);
    }
}

/// A file to write, or standard output for `-`.
fn output(path: &Path) -> Result<Box<dyn Write>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let file = File::create(path).with_context(|| format!("{}", path.display()))?;
    Ok(Box::new(BufWriter::with_capacity(1 << 16, file)))
}

/// Address ranges and names of functions, as given with --trace-only.
fn trace_ranges(only: &[String], symbols: &Symbols) -> Result<Vec<Range<u32>>> {
    let address = |text: &str| {
        text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let mut ranges = Vec::new();
    for text in only {
        if let Some((start, end)) = text.split_once('-')
            && let (Some(start), Some(end)) = (address(start), address(end))
        {
            if start >= end {
                bail!("--trace-only {text}: the range is empty");
            }
            ranges.push(start..end);
            continue;
        }
        let functions = symbols.find(text);
        if functions.is_empty() {
            bail!(
                "--trace-only {text}: neither a range (0x40201000-0x40202000) nor in the name of a \
                 function of --elf"
            );
        }
        ranges.extend(functions.iter().map(|function| function.range.clone()));
    }
    Ok(ranges)
}
