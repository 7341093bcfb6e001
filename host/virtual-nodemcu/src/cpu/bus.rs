//! What the core sees of the world: memory, devices and interrupt lines.

use std::ops::Range;

use super::Cause;

/// Memory and devices around the core.
///
/// The core is generic over it, so that these functions are inlined into its loop: keep the
/// path to RAM first and short.
///
/// Addresses of `load16`/`store16` are even, those of `load32`/`store32` are multiples of
/// four: the core raises [`Cause::LoadStoreAlignment`] before it asks.
///
/// An access that the chip refuses returns the cause of the exception: sub-word accesses to
/// IRAM and flash are [`Cause::LoadStoreError`], holes in the memory map
/// [`Cause::LoadProhibited`], [`Cause::StoreProhibited`] and, for
/// [`fetch`](Self::fetch), [`Cause::InstructionFetchProhibited`].
///
/// `now` is the CPU cycle of the access, as [`Cpu::cycles`](super::Cpu::cycles) counts:
/// devices that depend on time derive their state from it.
pub trait Bus {
    /// The aligned 32-bit word at `addr`, for execution. Without side effects: the core
    /// decodes once and keeps the result until the code is invalidated.
    ///
    /// # Errors
    /// The cause of the exception that the core raises.
    fn fetch(&mut self, addr: u32) -> Result<u32, Cause>;

    /// A byte.
    ///
    /// # Errors
    /// The cause of the exception that the core raises.
    fn load8(&mut self, addr: u32, now: u64) -> Result<u8, Cause>;

    /// A little-endian half-word.
    ///
    /// # Errors
    /// The cause of the exception that the core raises.
    fn load16(&mut self, addr: u32, now: u64) -> Result<u16, Cause>;

    /// A little-endian word.
    ///
    /// # Errors
    /// The cause of the exception that the core raises.
    fn load32(&mut self, addr: u32, now: u64) -> Result<u32, Cause>;

    /// Stores a byte.
    ///
    /// # Errors
    /// The cause of the exception that the core raises.
    fn store8(&mut self, addr: u32, value: u8, now: u64) -> Result<(), Cause>;

    /// Stores a little-endian half-word.
    ///
    /// # Errors
    /// The cause of the exception that the core raises.
    fn store16(&mut self, addr: u32, value: u16, now: u64) -> Result<(), Cause>;

    /// Stores a little-endian word.
    ///
    /// # Errors
    /// The cause of the exception that the core raises.
    fn store32(&mut self, addr: u32, value: u32, now: u64) -> Result<(), Cause>;

    /// Whether an access to `addr` can change what [`signals`](Self::signals) says. After such
    /// an access, and only then, the core asks for the signals.
    fn is_device(addr: u32) -> bool;

    /// What the devices tell the core now.
    fn signals(&mut self) -> Signals;
}

/// What devices tell the core. See [`Bus::signals`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// The interrupt inputs that are high now, one bit each (0-5, 8-14). Edge-triggered
    /// inputs (8-14) are latched by the core when they rise.
    pub lines: u32,
    /// Code in this range is no longer what was fetched (flash mapped elsewhere, cache off,
    /// flash written). Stores by the core itself need no such notice.
    pub invalidate: Option<Range<u32>>,
    /// Return from [`Cpu::run`](super::Cpu::run) with
    /// [`Stop::Requested`](super::Stop::Requested) before the next instruction: a device was
    /// programmed so that its next event is nearer, the chip resets, the power goes.
    pub stop: bool,
}
