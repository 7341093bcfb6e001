//! `thing monitor`: a board's console.

use anyhow::Result;
use board::monitor::{self, MonitorOptions};
use board::port::Port;

use crate::verdicts::Elf;

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    firmware: Elf,
    #[command(flatten)]
    port: Port,
    /// Bits per second; 74880 shows what the boot ROM says
    #[arg(long, default_value_t = monitor::FIRMWARE_BAUD)]
    baud: u32,
    /// Do not reset the board first
    #[arg(long)]
    no_reset: bool,
}

/// Shows it until Ctrl-C.
pub fn monitor(arguments: &Arguments) -> Result<()> {
    let Arguments { firmware, port, baud, no_reset } = arguments;
    let options = MonitorOptions { elf: firmware.elf.clone(), baud: *baud, reset: !no_reset };
    monitor::monitor(port, &options)
}
