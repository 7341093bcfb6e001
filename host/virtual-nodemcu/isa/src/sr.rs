//! Numbers of the special registers that the LX106 has, as RSR, WSR and XSR encode them.
//!
//! The list is what both QEMU's lx106 and `xtensa-lx106-elf-as` know: their tables come from the
//! core's configuration.

/// Shift amount, 6 bits.
pub const SAR: u8 = 3;
/// Base of absolute literals; bit 0 turns them on.
pub const LITBASE: u8 = 5;
/// Bit 0 enables IBREAKA0.
pub const IBREAKENABLE: u8 = 96;
/// Data exchanged with an on-chip debugger.
pub const DDR: u8 = 104;
/// Address of the instruction breakpoint.
pub const IBREAKA0: u8 = 128;
/// Address of the data breakpoint.
pub const DBREAKA0: u8 = 144;
/// Control of the data breakpoint: bits 0-5 mask, 30 loads, 31 stores.
pub const DBREAKC0: u8 = 160;
/// Upper half of the configuration's identity (read only).
pub const CONFIGID0: u8 = 176;
/// Where level-1 exceptions and interrupts happened.
pub const EPC1: u8 = 177;
/// Where the debug exception happened.
pub const EPC2: u8 = 178;
/// Where the NMI happened.
pub const EPC3: u8 = 179;
/// Where a double exception happened.
pub const DEPC: u8 = 192;
/// PS before the debug exception.
pub const EPS2: u8 = 194;
/// PS before the NMI.
pub const EPS3: u8 = 195;
/// Lower half of the configuration's identity (read only).
pub const CONFIGID1: u8 = 208;
/// Scratch register of level 1.
pub const EXCSAVE1: u8 = 209;
/// Scratch register of level 2.
pub const EXCSAVE2: u8 = 210;
/// Scratch register of level 3.
pub const EXCSAVE3: u8 = 211;
/// Pending interrupts (read); INTSET when written.
pub const INTERRUPT: u8 = 226;
/// Clears edge-triggered and software interrupts (write only).
pub const INTCLEAR: u8 = 227;
/// Enabled interrupts.
pub const INTENABLE: u8 = 228;
/// Processor state.
pub const PS: u8 = 230;
/// Base of the vectors.
pub const VECBASE: u8 = 231;
/// Cause of the last level-1 exception.
pub const EXCCAUSE: u8 = 232;
/// Cause of the last debug exception (read only).
pub const DEBUGCAUSE: u8 = 233;
/// Cycle counter.
pub const CCOUNT: u8 = 234;
/// Processor identity (read only).
pub const PRID: u8 = 235;
/// Counts instructions for single-stepping.
pub const ICOUNT: u8 = 236;
/// ICOUNT counts below this interrupt level.
pub const ICOUNTLEVEL: u8 = 237;
/// Address that the last faulting access used.
pub const EXCVADDR: u8 = 238;
/// CCOUNT value that raises the timer interrupt.
pub const CCOMPARE0: u8 = 240;

/// The instruction that accesses a special register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// RSR
    Read,
    /// WSR
    Write,
    /// XSR
    Exchange,
}

/// Whether the core has this combination; others are illegal instructions.
#[must_use]
pub fn exists(sr: u8, access: Access) -> bool {
    match sr {
        SAR | LITBASE | IBREAKENABLE | DDR | IBREAKA0 | DBREAKA0 | DBREAKC0 | EPC1 | EPC2
        | EPC3 | DEPC | EPS2 | EPS3 | EXCSAVE1 | EXCSAVE2 | EXCSAVE3 | INTENABLE | PS | VECBASE
        | EXCCAUSE | CCOUNT | ICOUNT | ICOUNTLEVEL | EXCVADDR | CCOMPARE0 => true,
        INTERRUPT => access != Access::Exchange,
        INTCLEAR => access == Access::Write,
        CONFIGID0 | CONFIGID1 | DEBUGCAUSE | PRID => access == Access::Read,
        _ => false,
    }
}
