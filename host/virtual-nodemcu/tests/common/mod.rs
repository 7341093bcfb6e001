//! What the tests share: a bus that is all memory, the cross compiler, QEMU.

// Each test program uses its own part.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use virtual_nodemcu::cpu::{Bus, Cause, Cpu, Signals, Stop, sr};

/// Where the memory of QEMU's machine begins: data RAM, then three areas of 1 MiB for
/// instructions, all readable and writable.
pub const MEMORY_BASE: u32 = 0x3FFC_0000;
const MEMORY_SIZE: usize = 0x34_0000;
pub const IRAM: u32 = 0x4010_0000;

/// Memory as on QEMU's machine, without a device.
pub struct Memory(Vec<u8>);

impl Memory {
    pub fn new() -> Self {
        Self(vec![0; MEMORY_SIZE])
    }

    pub fn slice(&mut self, addr: u32, length: usize) -> &mut [u8] {
        &mut self.0[(addr - MEMORY_BASE) as usize..][..length]
    }

    pub fn write(&mut self, addr: u32, bytes: &[u8]) {
        self.slice(addr, bytes.len()).copy_from_slice(bytes);
    }

    fn get<const N: usize>(&self, addr: u32) -> Option<[u8; N]> {
        self.0.get(addr.wrapping_sub(MEMORY_BASE) as usize..)?.first_chunk().copied()
    }

    fn set<const N: usize>(&mut self, addr: u32, value: [u8; N]) -> Option<()> {
        let at = addr.wrapping_sub(MEMORY_BASE) as usize;
        *self.0.get_mut(at..)?.first_chunk_mut()? = value;
        Some(())
    }
}

impl Bus for Memory {
    fn fetch(&mut self, addr: u32) -> Result<u32, Cause> {
        self.get(addr).map(u32::from_le_bytes).ok_or(Cause::InstructionFetchProhibited)
    }
    fn load8(&mut self, addr: u32, _: u64) -> Result<u8, Cause> {
        self.get(addr).map(u8::from_le_bytes).ok_or(Cause::LoadProhibited)
    }
    fn load16(&mut self, addr: u32, _: u64) -> Result<u16, Cause> {
        self.get(addr).map(u16::from_le_bytes).ok_or(Cause::LoadProhibited)
    }
    fn load32(&mut self, addr: u32, _: u64) -> Result<u32, Cause> {
        self.get(addr).map(u32::from_le_bytes).ok_or(Cause::LoadProhibited)
    }
    fn store8(&mut self, addr: u32, value: u8, _: u64) -> Result<(), Cause> {
        self.set(addr, value.to_le_bytes()).ok_or(Cause::StoreProhibited)
    }
    fn store16(&mut self, addr: u32, value: u16, _: u64) -> Result<(), Cause> {
        self.set(addr, value.to_le_bytes()).ok_or(Cause::StoreProhibited)
    }
    fn store32(&mut self, addr: u32, value: u32, _: u64) -> Result<(), Cause> {
        self.set(addr, value.to_le_bytes()).ok_or(Cause::StoreProhibited)
    }
    fn is_device(_: u32) -> bool {
        false
    }
    fn signals(&mut self) -> Signals {
        Signals::default()
    }
}

/// Numbers that are the same in every run (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (x ^ x >> 31) as u32
    }

    pub fn below(&mut self, n: u32) -> u32 {
        self.next() % n
    }

    /// A value where arithmetic has its edges as often as any.
    pub fn value(&mut self) -> u32 {
        match self.below(8) {
            0 => 0,
            1 => u32::MAX,
            2 => 0x8000_0000 ^ self.below(3).wrapping_sub(1),
            3 => 1 << self.below(32),
            4 => (1u32 << self.below(32)).wrapping_sub(1),
            5 => self.below(64),
            _ => self.next(),
        }
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize]
    }
}

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/driver").join(name)
}

/// A file next to the running program: in the target folder.
fn output(name: &str) -> PathBuf {
    std::env::current_exe().expect("this program's path").with_file_name(name)
}

/// Runs a program to its end and returns what it printed.
fn run(command: &mut Command) -> Vec<u8> {
    let program = command.get_program().to_string_lossy().into_owned();
    let result = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}; `make setup` installs it"));
    assert!(
        result.status.success(),
        "{command:?}: {}\n{}",
        result.status,
        String::from_utf8_lossy(&result.stderr)
    );
    result.stdout
}

/// Assembles instructions as they stand (no narrowing, no widening), in one piece.
pub fn assemble(name: &str, text: &str) -> Vec<u8> {
    let [from, object, flat] = ["s", "o", "flat"].map(|ext| output(&format!("{name}.{ext}")));
    std::fs::write(&from, format!(".begin no-transform\n{text}\n"))
        .expect("a file in the target folder");
    run(Command::new("xtensa-lx106-elf-as").arg(&from).arg("-o").arg(&object));
    run(Command::new("xtensa-lx106-elf-objcopy")
        .args(["-O", "binary", "-j", ".text"])
        .arg(&object)
        .arg(&flat));
    std::fs::read(&flat).expect("objcopy's output")
}

/// CPU time that this thread has used, in seconds: what else runs does not count.
pub fn cpu_seconds() -> f64 {
    let path = "/proc/thread-self/schedstat";
    let text = std::fs::read_to_string(path).expect(path);
    let nanoseconds: f64 = text.split(' ').next().expect(path).parse().expect(path);
    nanoseconds / 1e9
}

/// An ELF for the chip and its flat image, to be loaded at [`IRAM`].
pub struct Image {
    pub elf: PathBuf,
    pub bytes: Vec<u8>,
    pub entry: u32,
}

/// Compiles sources of `tests/driver` for the chip.
pub fn build(name: &str, sources: &[&str]) -> Image {
    let elf = output(&format!("{name}.elf"));
    let flat = output(&format!("{name}.bin"));
    run(Command::new("xtensa-lx106-elf-gcc")
        .args(["-nostdlib", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding"])
        .args(["-mlongcalls", "-mtext-section-literals", "-T"])
        .arg(source("driver.ld"))
        .args(sources.iter().map(|s| source(s)))
        .arg("-lgcc")
        .arg("-o")
        .arg(&elf));
    run(Command::new("xtensa-lx106-elf-objcopy").args(["-O", "binary"]).arg(&elf).arg(&flat));
    let elf_bytes = std::fs::read(&elf).expect("the linker's output");
    let entry = u32::from_le_bytes(elf_bytes[24..28].try_into().expect("4 bytes"));
    Image { elf, bytes: std::fs::read(&flat).expect("objcopy's output"), entry }
}

/// Runs the image on QEMU with `data` in memory; returns what it wrote to file 1.
pub fn run_on_qemu(name: &str, image: &Image, data: &[(u32, &[u8])]) -> Vec<u8> {
    let mut qemu = Command::new("timeout");
    qemu.args(["60", "qemu-system-xtensa", "-M", "kc705-nommu", "-cpu", "lx106"])
        .args(["-display", "none", "-serial", "none", "-monitor", "none", "-semihosting"])
        .arg("-kernel")
        .arg(&image.elf);
    for (i, (addr, bytes)) in data.iter().enumerate() {
        let file = output(&format!("{name}-{i}.data"));
        std::fs::write(&file, bytes).expect("a file in the target folder");
        qemu.arg("-device")
            .arg(format!("loader,file={},addr={addr:#x},force-raw=on", file.display()));
    }
    run(&mut qemu)
}

/// The same on the crate's core. `limit` is in instructions.
pub fn run_on_cpu(image: &Image, data: &[(u32, &[u8])], limit: u64) -> (Vec<u8>, Cpu) {
    let mut memory = Memory::new();
    let mut cpu = Cpu::new();
    cpu.stop_at_simcall(true);
    let written = run_again(&mut cpu, &mut memory, image, data, limit);
    (written, cpu)
}

/// Loads and runs the image on a core that may have run it before.
pub fn run_again(
    cpu: &mut Cpu,
    memory: &mut Memory,
    image: &Image,
    data: &[(u32, &[u8])],
    limit: u64,
) -> Vec<u8> {
    memory.write(IRAM, &image.bytes);
    for (addr, bytes) in data {
        memory.write(*addr, bytes);
    }
    cpu.set_pc(image.entry);
    cpu.set_special(sr::PS, 0x10);
    let end = cpu.instructions().saturating_add(limit);
    let mut written = Vec::new();
    loop {
        let stop = cpu.run(memory, end - cpu.instructions());
        assert_eq!(stop, Stop::Simcall, "at {:#x} after {}", cpu.pc(), cpu.instructions());
        match cpu.reg(2) {
            1 => return written,
            4 => written.extend_from_slice(memory.slice(cpu.reg(4), cpu.reg(5) as usize)),
            other => panic!("simcall {other}"),
        }
    }
}
