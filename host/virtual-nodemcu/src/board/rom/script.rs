//! Functions of the ROM that call the program: their state between two calls lies on the program's
//! stack, as the chip's would, so that interrupts, other tasks and functions may come in between.

use super::RESUME;
use super::guest::{Done, End, Guest, Refused};
use crate::cpu::Cause;

/// Words that a function keeps over its calls. The first six are its arguments.
const LOCALS: usize = 10;
/// Words of a frame: return address, the function and its step, locals.
const FRAME: u32 = 4 * (2 + LOCALS as u32);
/// Where in a frame the locals begin.
pub const LOCALS_AT: u32 = 8;

/// A function between its calls.
pub struct Frame {
    /// Which function it is: its offset in the ROM.
    pub function: u32,
    /// How many calls have returned, unless the function counts otherwise.
    pub step: u32,
    /// What it keeps.
    pub locals: [u32; LOCALS],
    /// What the last call returned.
    pub result: u32,
    /// Where the frame lies.
    pub address: u32,
}

/// What comes next.
pub enum Step {
    /// Call this with these arguments, then go on.
    Call(u32, [u32; 6]),
    /// It is done.
    End(End),
}

/// A function that calls.
pub type Script = fn(&mut Frame, &mut Guest) -> Done<Step>;

/// Starts the function at the ROM's `offset`.
pub fn start(offset: u32, script: Script, guest: &mut Guest) -> Done<()> {
    let [a, b, c, d, e, f] = guest.arguments();
    let address = guest.cpu.reg(1).wrapping_sub(FRAME);
    let locals = [a, b, c, d, e, f, 0, 0, 0, 0];
    let mut frame = Frame { function: offset, step: 0, locals, result: 0, address };
    // Before anything happens, so that a stack that is no memory is refused as a whole.
    let back = guest.cpu.reg(0);
    guest.store32(address, back)?;
    let step = script(&mut frame, guest)?;
    go_on(&frame, step, guest)
}

/// A call returned to [`RESUME`]: goes on with whoever made it. `find` knows the functions.
pub fn resume(guest: &mut Guest, find: impl Fn(u32) -> Option<Script>) -> Done<()> {
    let address = guest.cpu.reg(1);
    let state = guest.load32(address.wrapping_add(4))?;
    let (offset, step) = (state >> 16, state & 0xFFFF);
    let Some(script) = find(offset) else {
        return Err(Refused { cause: Cause::IllegalInstruction, address: RESUME });
    };
    let mut locals = [0; LOCALS];
    for (at, local) in (address.wrapping_add(LOCALS_AT)..).step_by(4).zip(&mut locals) {
        *local = guest.load32(at)?;
    }
    let mut frame =
        Frame { function: offset, step: step + 1, locals, result: guest.cpu.reg(2), address };
    let step = script(&mut frame, guest)?;
    go_on(&frame, step, guest)
}

fn go_on(frame: &Frame, step: Step, guest: &mut Guest) -> Done<()> {
    match step {
        Step::Call(target, arguments) => {
            guest.store32(
                frame.address.wrapping_add(4),
                frame.function << 16 | frame.step & 0xFFFF,
            )?;
            for (at, local) in
                (frame.address.wrapping_add(LOCALS_AT)..).step_by(4).zip(frame.locals)
            {
                guest.store32(at, local)?;
            }
            for (n, argument) in (2..).zip(arguments) {
                guest.cpu.set_reg(n, argument);
            }
            guest.cpu.set_reg(0, RESUME);
            guest.cpu.set_reg(1, frame.address);
            guest.cpu.set_pc(target);
        }
        Step::End(end) => {
            let back = guest.load32(frame.address)?;
            guest.cpu.set_reg(0, back);
            guest.cpu.set_reg(1, frame.address.wrapping_add(FRAME));
            guest.finish(end);
        }
    }
    Ok(())
}
