//! `virtual-nodemcu`: a NodeMCU (or HUZZAH) without the board.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, ValueEnum};
use virtual_nodemcu::board::Board;
use virtual_nodemcu::board::flash::Flash;
use virtual_nodemcu::board::machine::{End, Led, Machine};
use virtual_nodemcu::board::net::Net;
use virtual_nodemcu::board::serial::Serial;

/// Exit status after a power cut that was armed.
const POWER_CUT: u8 = 3;

/// An ESP8266 board as a program: flash it with esptool, and it boots what was flashed.
///
/// Its serial port is an RFC 2217 server on loopback (or a pseudo-terminal); its console, which
/// shows resets, LEDs and what went wrong, is standard output. Ctrl-C switches it off.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// File with the contents of the flash chip; made blank if it is not there
    #[arg(long, value_name = "FILE")]
    flash: PathBuf,

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

    /// Board: where its LEDs are
    #[arg(long, value_enum, default_value_t = Kind::Nodemcu)]
    board: Kind,

    /// Station address
    #[arg(long, value_name = "MAC", default_value = "5c:cf:7f:12:34:56", value_parser = mac)]
    mac: [u8; 6],

    /// Network behind the network port
    #[arg(long, value_enum, default_value_t = Network::User)]
    net: Network,

    /// Hold GPIO0 low, as the button FLASH does: boots into the serial loader
    #[arg(long)]
    gpio0_low: bool,

    /// Start value of the random source, for runs that repeat; otherwise it differs each time
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Cut the power while flash is written, after so many bytes programmed or erased; the
    /// program then ends with status 3
    #[arg(long, value_name = "BYTES")]
    power_cut_after: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Nodemcu,
    Huzzah,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Network {
    /// The host is 10.0.2.2, the board gets 10.0.2.15
    User,
    /// No cable
    None,
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
    let size = options.flash_size << 20;
    let mut flash = Flash::open(&options.flash, size)
        .with_context(|| format!("flash file {}", options.flash.display()))?;
    if let Some(bytes) = options.power_cut_after {
        flash.cut_power_after(bytes);
    }
    if !options.rfc2217.ip().is_loopback() {
        bail!("{}: the serial port has no password, so it is for loopback only", options.rfc2217);
    }
    let serial = if let Some(link) = &options.pty {
        let serial = Serial::pty(link)
            .with_context(|| format!("pseudo-terminal with a link at {}", link.display()))?;
        println!("[board] serial port: {}", link.display());
        serial
    } else {
        let (serial, address) = Serial::rfc2217(options.rfc2217)
            .with_context(|| format!("{}: is another board running there?", options.rfc2217))?;
        println!("[board] serial port: rfc2217://{address}");
        serial
    };
    let seed = options.seed.unwrap_or_else(|| {
        std::time::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64)
    });
    let mut board = Board::new(flash, options.mac, seed);
    board.drive_pin(0, !options.gpio0_low);
    let leds = match options.board {
        Kind::Nodemcu => vec![Led { name: "blue", pin: 2 }],
        Kind::Huzzah => vec![Led { name: "red", pin: 0 }, Led { name: "blue", pin: 2 }],
    };
    let net = (options.net == Network::User).then(Net::new);
    let console = Box::new(|text: &str| println!("[board] {text}"));
    let mut machine = Machine::new(board, serial, net, leds, console);
    match machine.run(None) {
        End::PowerCut => Ok(ExitCode::from(POWER_CUT)),
        End::Time => Ok(ExitCode::SUCCESS),
    }
}
