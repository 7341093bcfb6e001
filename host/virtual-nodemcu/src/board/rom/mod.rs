//! The boot ROM, emulated by the host.
//!
//! Nothing of the chip's ROM is in here: its functions are known by their published addresses,
//! and what stands there is done by the host when the core arrives. A few instructions of our
//! own are where the core itself has to wait.

mod crypto;
mod ets;
mod flash;
mod float;
pub mod functions;
mod gpio;
mod guest;
pub mod image;
pub mod loader;
mod memory;
pub mod names;
mod phy;
mod print;
mod script;
mod serial;
mod xtos;

use super::flash::Writer;
use super::{Board, ResetCause};
use crate::cpu::Cpu;
use crate::snapshot::{Keep, Kept, Tape, keep};
use functions::Functions;
use image::Image;
use loader::{Action, Loader};

/// UART0's speed until a program sets it, in baud.
pub const BAUD: u32 = 74_880;
/// Where `esptool` reads which chip it talks to, and what stands there.
pub const CHIP_MAGIC: (u32, u32) = (0x4000_1000, 0xFFF0_C101);
/// `idle: waiti 15; j idle`, where nothing of the ROM's published functions is.
const IDLE: u32 = 0x4000_FF00;
/// Waits until CCOUNT has advanced by a2: `rsr a3; 1: rsr a4; sub a4, a4, a3; bltu a4, a2, 1b; ret`.
const DELAY: u32 = 0x4000_FF08;
/// Sleeps until an interrupt was served: `waiti 0; ret`.
const WAIT: u32 = 0x4000_FF18;
/// Waits for a byte of the UART whose registers are at a4:
/// `1: l32i a5, a4, 28; extui a5, a5, 0, 8; beqz a5, 1b; l32i a2, a4, 0; extui a2, a2, 0, 8; ret`.
const RECEIVE: u32 = 0x4000_FF20;
#[rustfmt::skip]
const CODE: [u32; 13] = [
    0x4600_7F00, 0x0000_FFFE, 0x4003_EA30, 0x4430_03EA, 0xF634_27C0, 0x0000_F00D, 0x0D00_7000, 0x0000_00F0,
    0x5007_2452, 0x6516_7450, 0x0024_22FF, 0x0D74_2020, 0x0000_00F0,
];
/// Where what programs are called for returns to: functions that call, handlers of interrupts and
/// of exceptions.
const RESUME: u32 = 0x4000_FF40;
const RETURN_FROM_INTERRUPT: u32 = 0xFF44;
const RETURN_FROM_HANDLER: u32 = 0xFF48;
/// Where a program's entry function returns to, in the ROM's main().
const RETURN: u32 = 0x4000_1100;
/// What ets_install_uart_printf installs.
const UART_WRITER: u32 = 0x4000_1DCC;
/// Stack pointer of a program's entry function.
const STACK: u32 = 0x3FFF_FFF0;
/// PS of a program's entry function: user mode, interrupts on.
const ENTRY_PS: u32 = 0x20;
/// Exponents of the watchdog that ends a failed boot: 0.8 ms << 10, twice.
const BOOT_WATCHDOG: u32 = 10;

/// The word at `address` of the ROM as data: only what tools look for is there.
#[must_use]
pub fn word(address: u32) -> u32 {
    match address {
        a if a == CHIP_MAGIC.0 => CHIP_MAGIC.1,
        IDLE..RESUME if is_code(address) => CODE[(address - IDLE) as usize / 4],
        _ => 0,
    }
}

/// Whether the ROM can be executed at `address`, apart from the functions.
#[must_use]
pub fn is_code(address: u32) -> bool {
    (IDLE..IDLE + 4 * CODE.len() as u32).contains(&address)
}

/// What the ROM is doing.
#[derive(Debug, Default)]
enum Doing {
    /// Nothing: a program runs, or the core idles until the watchdog bites.
    #[default]
    Nothing,
    /// The serial loader.
    Loading(Loader),
}

impl Keep for Doing {
    fn keep(&mut self, tape: &mut Tape<'_>) -> Kept {
        let mut loader = match std::mem::take(self) {
            Self::Nothing => None,
            Self::Loading(loader) => Some(loader),
        };
        loader.keep(tape)?;
        *self = loader.map_or(Self::Nothing, Self::Loading);
        Ok(())
    }
}

keep!(Rom { doing, functions });

/// The ROM's state.
#[derive(Default)]
pub struct Rom {
    doing: Doing,
    functions: Functions,
}

impl Rom {
    /// Tells the core at which addresses the ROM has to be called.
    pub fn install(cpu: &mut Cpu, board: &Board) {
        if board.has_rom() {
            return;
        }
        for address in (super::ROM.start..super::ROM.end).step_by(4) {
            if !is_code(address) {
                cpu.add_hook(address);
            }
        }
    }

    /// The reset vector: banner, then the serial loader or the image in flash, as the straps say.
    pub fn boot(&mut self, cpu: &mut Cpu, board: &mut Board) {
        *self = Self::default();
        cpu.reset();
        if board.has_rom() {
            return;
        }
        board.uarts[0].set_baud(BAUD, board.clock.bus_hz());
        board.uarts[0].left_by_the_rom();
        functions::initialise(board);
        let mode = board.gpio.boot_mode();
        let cause = board.reset_cause();
        let banner = format!(
            "\r\n ets Jan  8 2013,rst cause:{}, boot mode:({mode},6)\r\n\r\n",
            cause as u32
        );
        board.uarts[0].send(banner.as_bytes());
        if cause == ResetCause::Watchdog {
            board.uarts[0].send(b"wdt reset\r\n");
        }
        match mode {
            1 => {
                self.doing = Doing::Loading(Loader::default());
                Self::idle(cpu);
            }
            3 => self.boot_flash(cpu, board),
            _ => {
                board.uarts[0].send(b"waiting for host\r\n");
                Self::idle(cpu);
            }
        }
    }

    /// Loads the image at the start of flash and starts it. What is wrong with one is said as
    /// the chip says it; then the watchdog resets.
    pub fn boot_flash(&mut self, cpu: &mut Cpu, board: &mut Board) {
        self.doing = Doing::Nothing;
        board.flash.writer = Writer::Program;
        board.uarts[0].set_hurried(false);
        match Image::load(board) {
            Ok(image) => {
                Self::compare_size(board);
                Self::start(cpu, image.entry);
            }
            Err(_) => {
                board.uarts[0].send(b"ets_main.c \r\n");
                Self::fail(cpu, board);
            }
        }
    }

    /// Programs of the SDK look for their settings where the header's size says; otherwise many of them
    /// reset themselves again and again without a word that says why.
    fn compare_size(board: &mut Board) {
        let (header, chip) = (image::flash_size(board.flash.data()[3]), board.flash.size());
        if let Some(header) = header.filter(|header| *header != chip) {
            board.unmodelled(super::FLASH_WINDOW.start, || {
                format!(
                    "the image's header says {} KiB of flash, the chip has {}: esptool write-flash \
                     --flash-size detect",
                    header >> 10,
                    chip >> 10
                )
            });
        }
    }

    /// Whether the serial loader waits for the host.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        matches!(self.doing, Doing::Loading(_))
    }

    /// Whether the serial loader has not measured the host's baud rate yet.
    #[must_use]
    pub fn measures_baud(&self) -> bool {
        matches!(&self.doing, Doing::Loading(loader) if !loader.synchronised())
    }

    /// Lets the serial loader work on what UART0 received.
    pub fn serve(&mut self, cpu: &mut Cpu, board: &mut Board) {
        while let Doing::Loading(loader) = &mut self.doing {
            let Some(byte) = board.take_received() else { return };
            match loader.receive(byte, board) {
                None => {}
                Some(Action::Run(entry)) => {
                    self.doing = Doing::Nothing;
                    Self::start(cpu, entry);
                }
                Some(Action::Boot) => self.boot_flash(cpu, board),
            }
        }
    }

    /// The core is at a hooked address: does what stands there.
    pub fn call(&mut self, cpu: &mut Cpu, board: &mut Board) {
        let pc = cpu.pc();
        if pc == RETURN {
            // Its tasks run from now on.
            board.uarts[0].send(b"user code done\r\n");
        }
        // Of the serial loader or the SPI registers, which nobody waits for.
        let _ = board.flash.take_work();
        self.functions.call(pc, cpu, board);
        // They wait until the flash has done it. What happens meanwhile the core finds afterwards.
        // A cycle passes in any case: a function that returns to itself must not stop the time.
        let work = board.flash.take_work();
        cpu.pass(board.clock.cycles_in(work).max(1));
        if self.functions.take_boot() {
            self.boot_flash(cpu, board);
        }
    }

    fn start(cpu: &mut Cpu, entry: u32) {
        cpu.set_special(crate::cpu::sr::VECBASE, super::ROM.start);
        cpu.set_special(crate::cpu::sr::PS, ENTRY_PS);
        cpu.set_reg(0, RETURN);
        cpu.set_reg(1, STACK);
        cpu.set_pc(entry);
    }

    fn idle(cpu: &mut Cpu) {
        cpu.set_pc(IDLE);
    }

    /// Nothing goes on from here but the watchdog.
    pub fn fail(cpu: &mut Cpu, board: &mut Board) {
        board.start_watchdog(BOOT_WATCHDOG, cpu.cycles());
        Self::idle(cpu);
    }

    /// Idles in the ROM for ever, or until a watchdog that runs already bites.
    pub fn hang(cpu: &mut Cpu) {
        Self::idle(cpu);
    }

    /// Lets the core wait until CCOUNT advanced by `cycles`, then return to a0.
    fn delay(cpu: &mut Cpu, cycles: u32) {
        cpu.set_reg(2, cycles);
        cpu.set_pc(DELAY);
    }
}
