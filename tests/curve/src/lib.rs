//! Calls single functions of a program for the chip on the virtual CPU and sees everything that
//! they do: which instructions, which addresses, how much stack.
//!
//! ```no_run
//! use curve_tests::{Argument, Program};
//!
//! let mut program = Program::build("kernels", &["bsp/lx106/c/p256.S"]).unwrap();
//! let course = program.call("some_function", &mut [Argument::Number(7)]).unwrap();
//! println!("{} instructions, {} bytes of stack", course.instructions, course.stack);
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSegment, ObjectSymbol};
use virtual_nodemcu::cpu::{Bus, Cause, Cpu, Instruction, Signals, Stop, Trace, sr};

/// The chip's data RAM.
const DRAM: u32 = 0x3FFE_8000;
const DRAM_SIZE: usize = 80 * 1024;
/// Instruction RAM and flash, which know only words.
const CODE: u32 = 0x4010_0000;
const CODE_SIZE: usize = 0x20_0000;
/// Stack and arguments of a call lie at the upper end of data RAM, which nothing else uses here.
const STACK: u32 = DRAM + DRAM_SIZE as u32 - 0x2000;
/// Where the first buffer of a call lies: one may point into it.
pub const ARGUMENTS: u32 = STACK;
/// Where a function returns to.
const RETURN: u32 = 0x4000_0000;
/// Instructions that no call comes near.
const LIMIT: u64 = 1_000_000_000;

struct Memory {
    data: Vec<u8>,
    code: Vec<u8>,
    /// A hash of all addresses in their order.
    addresses: u64,
}

/// Goes on with a hash (FNV-1a by words).
fn hashed(hash: u64, word: u32) -> u64 {
    (hash ^ u64::from(word)).wrapping_mul(0x0000_0100_0000_01B3)
}

const EMPTY: u64 = 0xCBF2_9CE4_8422_2325;

impl Memory {
    fn bytes(&mut self, address: u32, length: usize) -> Option<&mut [u8]> {
        let (from, bytes) = if address >= CODE {
            (address - CODE, &mut self.code)
        } else {
            (address.checked_sub(DRAM)?, &mut self.data)
        };
        bytes.get_mut(from as usize..)?.get_mut(..length)
    }

    fn load<const N: usize>(&mut self, address: u32) -> Result<[u8; N], Cause> {
        self.addresses = hashed(self.addresses, address);
        if N < 4 && address >= CODE {
            return Err(Cause::LoadStoreError);
        }
        let bytes = self.bytes(address, N).ok_or(Cause::LoadProhibited)?;
        Ok(bytes.try_into().expect("as many bytes as were asked for"))
    }

    fn store<const N: usize>(&mut self, address: u32, value: [u8; N]) -> Result<(), Cause> {
        self.addresses = hashed(self.addresses, !address);
        if address >= CODE {
            return Err(Cause::LoadStoreError);
        }
        self.bytes(address, N).ok_or(Cause::StoreProhibited)?.copy_from_slice(&value);
        Ok(())
    }
}

impl Bus for Memory {
    fn fetch(&mut self, addr: u32) -> Result<u32, Cause> {
        let bytes = self.bytes(addr, 4).ok_or(Cause::InstructionFetchProhibited)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("four bytes")))
    }
    fn load8(&mut self, addr: u32, _: u64) -> Result<u8, Cause> {
        self.load(addr).map(u8::from_le_bytes)
    }
    fn load16(&mut self, addr: u32, _: u64) -> Result<u16, Cause> {
        self.load(addr).map(u16::from_le_bytes)
    }
    fn load32(&mut self, addr: u32, _: u64) -> Result<u32, Cause> {
        self.load(addr).map(u32::from_le_bytes)
    }
    fn store8(&mut self, addr: u32, value: u8, _: u64) -> Result<(), Cause> {
        self.store(addr, value.to_le_bytes())
    }
    fn store16(&mut self, addr: u32, value: u16, _: u64) -> Result<(), Cause> {
        self.store(addr, value.to_le_bytes())
    }
    fn store32(&mut self, addr: u32, value: u32, _: u64) -> Result<(), Cause> {
        self.store(addr, value.to_le_bytes())
    }
    fn is_device(_: u32) -> bool {
        false
    }
    fn signals(&mut self) -> Signals {
        Signals::default()
    }
}

/// What a call did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Course {
    /// What it returned.
    pub result: u32,
    /// Instructions executed.
    pub instructions: u64,
    /// Bytes of stack that it used.
    pub stack: u32,
    /// A hash of all program counters in their order.
    pub path: u64,
    /// A hash of all addresses read and written in their order.
    pub addresses: u64,
}

/// What is seen of a call: all of it, or with ALL false only whether it went wrong, which is faster.
struct Recorder<const ALL: bool> {
    path: u64,
    lowest: u32,
    highest: u32,
    fault: Option<(Cause, u32)>,
}

impl<const ALL: bool> Trace for Recorder<ALL> {
    const INSTRUCTIONS: bool = ALL;

    fn instruction(&mut self, instruction: Instruction, registers: &[u32; 16], _: u64) {
        self.path = hashed(self.path, instruction.pc());
        self.lowest = self.lowest.min(registers[1]);
        self.highest = self.highest.max(registers[1]);
    }
    fn exception(&mut self, cause: Cause, pc: u32, _: Option<u32>) {
        self.fault.get_or_insert((cause, pc));
    }
}

/// A program for the chip, loaded.
pub struct Program {
    memory: Memory,
    cpu: Cpu,
    symbols: HashMap<String, u32>,
}

impl Program {
    /// Loads an ELF.
    ///
    /// # Errors
    /// When it is none, or does not fit the chip.
    pub fn load(elf: &Path) -> Result<Self> {
        let bytes = std::fs::read(elf).with_context(|| elf.display().to_string())?;
        let file = object::File::parse(&*bytes)?;
        let mut memory =
            Memory { data: vec![0; DRAM_SIZE], code: vec![0; CODE_SIZE], addresses: EMPTY };
        for segment in file.segments() {
            let data = segment.data()?;
            let address = u32::try_from(segment.address())?;
            memory
                .bytes(address, data.len())
                .with_context(|| format!("a segment at {address:#x} is outside the memory"))?
                .copy_from_slice(data);
        }
        let symbols = file
            .symbols()
            .filter_map(|symbol| Some((symbol.name().ok()?.to_owned(), symbol.address() as u32)))
            .collect();
        let mut cpu = Cpu::new();
        cpu.add_hook(RETURN);
        Ok(Self { memory, cpu, symbols })
    }

    /// Assembles or compiles sources of the repository, and loads what that makes.
    ///
    /// # Errors
    /// When the cross compiler refuses.
    pub fn build(name: &str, sources: &[&str]) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let elf: PathBuf = std::env::current_exe()?.with_file_name(format!("{name}.elf"));
        let script = elf.with_extension("ld");
        std::fs::write(
            &script,
            format!(
                "SECTIONS {{ .text {CODE} : {{ *(.text .text.* .iram.text.* .hot.text.*) }} }}"
            ),
        )?;
        let output = Command::new("xtensa-lx106-elf-gcc")
            .args(["-nostdlib", "-Os", "-mlongcalls", "-mtext-section-literals", "-T"])
            .arg(&script)
            .arg("-I")
            .arg(root.join("bsp/lx106/include"))
            .args(sources.iter().map(|source| root.join(source)))
            .arg("-o")
            .arg(&elf)
            .output()
            .context("xtensa-lx106-elf-gcc (`make setup` installs it)")?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Self::load(&elf)
    }

    /// Calls `function` with pointers to `buffers`, which it may change. Up to six.
    ///
    /// # Errors
    /// When there is no such function, or it does not return.
    pub fn call(&mut self, function: &str, arguments: &mut [Argument<'_>]) -> Result<Course> {
        self.execute::<true>(function, arguments)
    }

    /// The same, for what it returns alone.
    ///
    /// # Errors
    /// As above.
    pub fn result(&mut self, function: &str, arguments: &mut [Argument<'_>]) -> Result<u32> {
        Ok(self.execute::<false>(function, arguments)?.result)
    }

    fn execute<const ALL: bool>(
        &mut self,
        function: &str,
        arguments: &mut [Argument<'_>],
    ) -> Result<Course> {
        let entry =
            *self.symbols.get(function).with_context(|| format!("there is no {function}"))?;
        let mut next = ARGUMENTS;
        let mut placed = Vec::new();
        for (i, argument) in arguments.iter().enumerate() {
            let value = match argument {
                Argument::Number(number) => *number,
                Argument::Buffer(buffer) => {
                    let address = next;
                    self.memory
                        .bytes(address, buffer.len())
                        .context("the arguments are too long")?
                        .copy_from_slice(buffer);
                    next += (buffer.len() as u32).next_multiple_of(16);
                    address
                }
            };
            placed.push(value);
            self.cpu.set_reg(2 + i, value);
        }
        // What a call leaves on the stack must not show in the next.
        self.memory.bytes(STACK - 0x4000, 0x4000).expect("data RAM").fill(0xA5);
        self.memory.addresses = EMPTY;
        self.cpu.set_reg(0, RETURN);
        self.cpu.set_reg(1, STACK);
        self.cpu.set_pc(entry);
        self.cpu.set_special(sr::PS, 0);
        let mut recorder =
            Recorder::<ALL> { path: EMPTY, lowest: STACK, highest: STACK, fault: None };
        let before = self.cpu.instructions();
        let stop = loop {
            let stop = self.cpu.run_traced(&mut self.memory, &mut recorder, 1 << 20);
            let over = self.cpu.instructions() - before > LIMIT || recorder.fault.is_some();
            if stop != Stop::Budget || over {
                break stop;
            }
        };
        if let Some((cause, pc)) = recorder.fault {
            bail!("{function}: {cause:?} at {pc:#x}");
        }
        if recorder.highest > STACK {
            bail!("{function} raises the stack pointer into its caller's frame");
        }
        if self.cpu.pc() != RETURN {
            bail!("{function}: {stop:?} at {:#x}", self.cpu.pc());
        }
        for (argument, address) in arguments.iter_mut().zip(placed) {
            if let Argument::Buffer(buffer) = argument {
                let length = buffer.len();
                buffer.copy_from_slice(self.memory.bytes(address, length).expect("as before"));
            }
        }
        Ok(Course {
            result: self.cpu.reg(2),
            instructions: self.cpu.instructions() - before,
            stack: STACK - recorder.lowest,
            path: recorder.path,
            addresses: self.memory.addresses,
        })
    }
}

/// An argument of a call.
#[derive(Debug)]
pub enum Argument<'a> {
    /// Passed as it is.
    Number(u32),
    /// Passed as a pointer to a copy in the chip's memory.
    Buffer(&'a mut [u8]),
}
