//! What helps to debug a program on the virtual board: disassembly, trace, profile, GDB.

mod common;
#[path = "board/process.rs"]
mod process;
#[path = "board/program.rs"]
mod program;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object as _, ObjectSymbol as _};
use process::{PATIENCE, Process};
use virtual_nodemcu::cpu::Instruction;

/// A mnemonic and its operands, numbers as numbers.
fn normal(text: &str) -> Vec<String> {
    text.split([' ', ',', '\t'])
        .filter(|word| !word.is_empty())
        .map(|word| {
            let (sign, digits) = word.strip_prefix('-').map_or((1, word), |rest| (-1, rest));
            let value = digits.strip_prefix("0x").map_or_else(
                || digits.parse::<i64>().ok(),
                |hex| i64::from_str_radix(hex, 16).ok(),
            );
            value.map_or_else(|| word.to_owned(), |value| ((sign * value) as u32).to_string())
        })
        .collect()
}

/// Compares every instruction of a program with what objdump writes; how many there were.
fn like_objdump(file: &Path) -> usize {
    let output = Command::new("xtensa-lx106-elf-objdump")
        .args(["-d", "-z"])
        .arg(file)
        .output()
        .expect("xtensa-lx106-elf-objdump (Debian: binutils-xtensa-lx106)");
    assert!(output.status.success());
    let mut count = 0;
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let [address, code, text @ ..] = &line.split('\t').collect::<Vec<_>>()[..] else {
            continue;
        };
        let text = text.join(" ");
        let pc = u32::from_str_radix(address.trim().trim_end_matches(':'), 16).unwrap();
        let Ok(word) = u32::from_str_radix(code.trim(), 16) else { continue };
        // What is no instruction, and literals among the code.
        if text.starts_with(".byte") || text.starts_with("ill") || text.is_empty() {
            continue;
        }
        let mut expected = text.split(" <").next().unwrap().to_owned();
        // Targets are written without 0x where there are symbols.
        if let Some((rest, last)) = expected.rsplit_once(' ')
            && text.contains(" <")
            && !last.starts_with("0x")
        {
            expected = format!("{rest} 0x{last}");
        }
        let instruction = Instruction::decode(pc, word);
        let ours = instruction.to_string();
        let ours_targets = match ours.rsplit_once(' ') {
            Some((rest, last)) if ours.split('.').next().is_some_and(has_target) => {
                format!("{rest} 0x{last}")
            }
            _ => ours.clone(),
        };
        assert_eq!(normal(&ours_targets), normal(&expected), "{line}");
        assert_eq!(instruction.length() as usize * 2, code.trim().len(), "{line}");
        count += 1;
    }
    count
}

fn has_target(text: &str) -> bool {
    let name = text.split(' ').next().unwrap();
    name.starts_with('b') && !name.starts_with("break") || matches!(name, "j" | "call0" | "l32r")
}

const INSTRUCTIONS: &str = "
    call0 . + 8; wsr a3, intset; rsr a3, interrupt; wsr a2, intclear; xsr a2, ps; rsr a4, 176; rsr a4, 208
    rsr a2, epc1; rsr a2, eps2; wsr a2, ccompare0; rsr a2, ibreakenable; rsr a2, excsave1
    rsr a2, prid; rsr a2, debugcause; rsr a9, litbase; wsr a2, icount; wsr a2, ddr; rsr a2, sar
    break 1, 2; break.n 3; simcall; syscall; ret; ret.n; jx a0; jx a3; callx0 a4; nop; nop.n
    extui a2, a3, 4, 5; srli a3, a4, 2; slli a3, a4, 31; srai a3, a4, 31; ssai 9; ssai 31
    bbci a3, 5, .; bbsi a3, 31, .; beqi a3, -1, .; bgeui a2, 32768, .; bltui a2, 65536, .
    blti a2, 256, .; bany a2, a3, .; bnone a2, a3, .; ball a2, a3, .; bnall a2, a3, .
    bbc a2, a3, .; bbs a2, a3, .; bltz a2, .; bgez a2, .; beqz.n a2, .+4; bnez.n a2, .+4
    movi.n a3, -32; movi.n a3, 95; movi a3, -2048; addmi a2, a2, 256; addmi a2, a2, -32768
    addi a2, a2, -1; addi a2, a2, 127; addi.n a2, a4, -1; add.n a1, a2, a3; mov.n a2, a15
    l32i.n a3, a4, 60; s32i.n a3, a4, 0; l8ui a3, a4, 255; l16si a2, a3, 510; s16i a2, a3, 2
    rsil a2, 3; waiti 0; rfi 2; rfi 3; rfe; rfde; memw; extw; isync; rsync; esync; dsync; excw
    witlb a2, a3; wdtlb a2, a3; iitlb a2; idtlb a3; ritlb0 a2, a3; rdtlb1 a2, a3; pitlb a2, a3
    abs a2, a3; neg a2, a3; ssl a2; ssr a2; ssa8l a2; ssa8b a2; sll a2, a3; srl a2, a3
    sra a2, a3; src a2, a3, a4; nsa a2, a3; nsau a2, a3; mul16s a2, a3, a4; mull a2, a3, a4
    subx8 a2, a3, a4; moveqz a2, a3, a4; j .
";

#[test]
fn instructions_read_as_objdump_writes_them() {
    common::assemble("text", &INSTRUCTIONS.replace(';', "\n"));
    // The object file that the assembler left.
    let object = std::env::current_exe().unwrap().with_file_name("text.o");
    let listed = INSTRUCTIONS.split([';', '\n']).filter(|text| !text.trim().is_empty()).count();
    assert_eq!(like_objdump(&object), listed);
    let image = common::build("text-programs", &["programs.c"]);
    assert!(like_objdump(&image.elf) > 500);
    let illegal = Instruction::decode(0, 0x0000_0000).to_string();
    assert_eq!(illegal, "ill 0x0", "the word is shown");
}

/// The program for the tests below in a flash file, and its ELF.
struct Program {
    folder: tempfile::TempDir,
    elf: PathBuf,
    flash: PathBuf,
}

impl Program {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let elf = folder.path().join("program.elf");
        let flash = folder.path().join("flash.bin");
        program::compile("debug", &elf);
        let mut contents = vec![0xFF; 4 << 20];
        for (offset, bytes) in program::files(&elf) {
            contents[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        std::fs::write(&flash, contents).unwrap();
        Self { folder, elf, flash }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a board without a network.
    fn board(&self, options: &[&str]) -> Process {
        let elf = self.elf.to_str().unwrap();
        Process::new(&self.flash, &[&["--net", "none", "--elf", elf], options].concat())
    }

    /// The address of a symbol.
    fn symbol(&self, name: &str) -> u32 {
        let bytes = std::fs::read(&self.elf).unwrap();
        let file = object::File::parse(&*bytes).unwrap();
        let symbol = file.symbols().find(|s| s.name() == Ok(name)).expect(name);
        u32::try_from(symbol.address()).unwrap()
    }
}

/// What the console shows once the program has done all but spinning.
const DONE: &str = "LED blue (GPIO2) on";

#[test]
fn trace_shows_a_function_and_nothing_else() {
    let program = Program::new();
    let trace = program.path("trace.txt");
    let counter = program.symbol("counter");
    let mut board = program.board(&[
        "--trace",
        trace.to_str().unwrap(),
        "--trace-only",
        "count",
        "--trace-only",
        "0x40004a00-0x40004a04",
    ]);
    board.line(DONE);
    assert!(board.interrupt().success());
    let text = std::fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.iter().filter(|line| line.contains(" count ")).count(), 5, "{text}");
    let store = format!("[{counter:08x}]=5");
    assert!(lines.iter().any(|line| line.contains("s32i") && line.contains(&store)), "{text}");
    let result = lines.iter().filter(|line| line.contains("a2=a")).count();
    assert!(result >= 1, "the result of the last call, 10: {text}");
    assert!(lines.iter().all(|line| line.contains("count") || line.contains("ROM function")));
    assert!(lines.last().unwrap().contains("ROM function (30,"), "{text}");
}

#[test]
fn profile_counts_functions_and_is_written_on_ctrl_c() {
    let program = Program::new();
    let profile = program.path("profile.txt");
    let mut board = program.board(&["--profile", profile.to_str().unwrap()]);
    board.line(DONE);
    assert!(board.interrupt().success());
    let text = std::fs::read_to_string(&profile).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().contains(" instructions in "), "{text}");
    // The program spins in start(), into which test() is inlined.
    assert!(lines.nth(1).unwrap().ends_with("  start"), "{text}");
    let count = lines.find(|line| line.ends_with("  count")).expect(&text);
    let count: u64 = count.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(count.is_multiple_of(5) && count > 0, "five calls: {text}");
    assert!(text.contains("0x40004a00"), "the ROM function: {text}");
    let console = board.seen.join("\n");
    assert!(console.contains("percent  instructions  function"), "{console}");
}

#[test]
fn what_cannot_be_debugged_is_refused_with_the_reason() {
    let program = Program::new();
    let host = std::env::current_exe().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let elf = program.elf.to_str().unwrap();
    for (options, reason) in [
        (&["--elf", host.to_str().unwrap()][..], "not for Xtensa"),
        (&["--elf", "/nowhere"], "/nowhere"),
        (&["--profile", "p"], "--elf"),
        (&["--trace-only", "count"], "--trace"),
        (&["--trace", "-", "--trace-only", "count"], "--elf"),
        (&["--elf", elf, "--trace", "-", "--trace-only", "nobody"], "nobody"),
        (&["--trace", "-", "--trace-only", "0x2-0x1"], "empty"),
        (&["--trace", "/nowhere/x"], "/nowhere/x"),
        (&["--gdb", &taken], &taken),
        (&["--gdb-wait"], "--gdb"),
    ] {
        refused(&[&["--flash", program.flash.to_str().unwrap()], options].concat(), reason);
    }
}

/// A board with these options does not start, and says so.
#[track_caller]
fn refused(options: &[&str], reason: &str) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_virtual-nodemcu")).args(options).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{options:?}");
    assert!(text.contains(reason), "{options:?}: {text}");
}

#[test]
fn a_board_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (long, used, free, file) = (path("long"), path("used"), path("free"), path("file"));
    std::fs::write(&long, vec![0; (4 << 20) + 1]).unwrap();
    std::fs::write(&file, "").unwrap();
    let mut running = Process::new(Path::new(&used), &["--net", "none"]);
    let port = running.port();
    let port = port.trim_start_matches("rfc2217://");
    for (options, reason) in [
        (&["--flash", &long][..], "give --flash-size"),
        (&["--flash", "/"], "flash file /"),
        (&["--flash", "/dev/null"], "no plain file"),
        (&["--flash", "/no/such/folder/flash.bin"], "No such file"),
        (&["--flash", &used], "another board uses it"),
        (&["--flash", &free, "--rfc2217", port], "is another board running there"),
        (&["--flash", &free, "--rfc2217", "0.0.0.0:0"], "for loopback only"),
        (&["--flash", &free, "--pty", &file], "is no link"),
        (&["--flash", &free, "--flash-size", "3"], "the sizes are"),
        (&["--flash", &free, "--mac", "01:00:00:00:00:00"], "group address"),
    ] {
        refused(options, reason);
    }
    assert!(running.interrupt().success());
}

/// The other end of GDB's remote protocol.
struct Gdb {
    stream: TcpStream,
}

impl Gdb {
    fn new(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.stream.read_exact(&mut byte).expect("an answer");
        byte[0]
    }

    fn send(&mut self, packet: &str) {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        write!(self.stream, "${packet}#{sum:02x}").unwrap();
        assert_eq!(self.byte(), b'+', "{packet}");
    }

    fn receive(&mut self) -> String {
        while self.byte() != b'$' {}
        let mut text = Vec::new();
        let mut sum = 0u8;
        loop {
            match self.byte() {
                b'#' => break,
                byte => {
                    sum = sum.wrapping_add(byte);
                    text.push(byte);
                }
            }
        }
        let given = [self.byte(), self.byte()];
        assert_eq!(format!("{sum:02x}").as_bytes(), given);
        self.stream.write_all(b"+").unwrap();
        // Run lengths: `x*c` is x repeated.
        let mut plain = Vec::new();
        let mut bytes = text.into_iter();
        while let Some(byte) = bytes.next() {
            if byte == b'*' {
                let count = bytes.next().unwrap() - 29;
                let last = *plain.last().unwrap();
                plain.extend(std::iter::repeat_n(last, usize::from(count)));
            } else {
                plain.push(byte);
            }
        }
        String::from_utf8(plain).unwrap()
    }

    fn ask(&mut self, packet: &str) -> String {
        self.send(packet);
        self.receive()
    }

    fn ok(&mut self, packet: &str) {
        assert_eq!(self.ask(packet), "OK", "{packet}");
    }

    /// Register by GDB's number, with packet `p`.
    fn register(&mut self, number: usize) -> u32 {
        word(&self.ask(&format!("p{number:x}")))
    }

    fn memory(&mut self, address: u32) -> u32 {
        word(&self.ask(&format!("m{address:x},4")))
    }
}

/// Eight hexadecimal digits, lowest byte first.
fn word(text: &str) -> u32 {
    assert_eq!(text.len(), 8, "{text}");
    u32::from_str_radix(text, 16).unwrap().swap_bytes()
}

const PC: usize = 16;

#[test]
fn gdb_stops_looks_changes_and_goes() {
    let program = Program::new();
    let mut board = program.board(&["--gdb", "0", "--gdb-wait"]);
    let address = board.line("gdb: target remote ");
    let [start, count, counter, limit] =
        ["start", "count", "counter", "limit"].map(|name| program.symbol(name));
    let mut gdb = Gdb::new(&address);
    assert!(gdb.ask("qSupported:swbreak+;hwbreak+;xmlRegisters=xtensa").contains("PacketSize="));
    assert!(gdb.ask("?").starts_with(['S', 'T']));

    // Registers, all at once and one by one, by the numbers that a GDB for the LX106 has.
    let all = gdb.ask("g");
    assert_eq!(all.len(), 22 * 8);
    assert_eq!(word(&all[PC * 8..][..8]), start, "it waits at the first instruction");
    assert_eq!(gdb.register(PC), start);
    assert_eq!(gdb.register(21), 0x20, "ps");
    assert_eq!(gdb.register(41), 0x4000_0000, "vecbase");
    assert_eq!(gdb.ask("p16"), "xxxxxxxx", "mmid is write only");
    assert_eq!(gdb.ask("p7f"), "", "no such register");
    gdb.ok("P11=1f000000");
    assert_eq!(gdb.register(17), 0x1F, "sar");
    let xml = gdb.ask("qXfer:features:read:target.xml:0,1000");
    for text in ["<architecture>xtensa</architecture>", "name=\"a15\" bitsize=\"32\" regnum=\"15\""]
    {
        assert!(xml.contains(text), "{xml}");
    }

    // A breakpoint, an argument, a step, changed memory.
    gdb.ok(&format!("Z0,{count:x},3"));
    assert!(gdb.ask("c").contains("swbreak"));
    assert_eq!((gdb.register(PC), gdb.register(2)), (count, 1));
    assert_eq!(gdb.memory(counter), 0);
    assert_eq!(gdb.ask("s"), "S05");
    let next = gdb.register(PC);
    assert!(next == count + 2 || next == count + 3, "{next:#x}");
    gdb.ok("P2=03000000");
    gdb.ok(&format!("M{limit:x},4:64000000"));
    assert_eq!(gdb.memory(limit), 100);
    assert!(gdb.ask("c").contains("swbreak"));
    assert_eq!(gdb.memory(counter), 3, "the changed argument");
    gdb.ok(&format!("z0,{count:x},3"));

    // Watched memory.
    gdb.ok(&format!("Z2,{counter:x},4"));
    assert!(gdb.ask("c").contains(&format!("watch:{counter:x}")));
    assert_eq!(gdb.memory(counter), 4);
    gdb.ok(&format!("z2,{counter:x},4"));

    // On until interrupted.
    gdb.send("c");
    board.line(DONE);
    gdb.stream.write_all(&[3]).unwrap();
    assert_eq!(gdb.receive(), "S02");
    gdb.ok(&format!("Z1,{start:x},3"));

    // What is not there, and what cannot be written.
    assert!(gdb.ask("m0,4").starts_with('E'));
    assert!(gdb.ask("M40200000,4:00000000").starts_with('E'));
    // A word of a device and RAM byte by byte.
    assert_eq!(gdb.memory(0x6000_0078), 0x0006_2000, "UART0's date");
    assert_eq!(gdb.ask(&format!("m{:x},2", limit + 1)), "0000");

    // Reset, from where it stops at the breakpoint again at once.
    gdb.send("qRcmd,7265736574");
    let mut answer = gdb.receive();
    while answer != "OK" {
        assert!(answer.starts_with('O'));
        answer = gdb.receive();
    }
    assert_eq!(gdb.register(PC), start);
    board.line("reset: EN pin");

    // Detached, the board runs on past what was a breakpoint, and another GDB can come.
    gdb.ok("D");
    board.line("gdb: detached");
    let mut gdb = Gdb::new(&address);
    assert!(gdb.ask("?").starts_with(['S', 'T']));
    assert_ne!(gdb.register(PC), start);
    drop(gdb);
    board.line("the connection ended");
}

#[test]
fn a_hostile_gdb_harms_nobody_and_ctrl_c_ends_a_stopped_board() {
    let program = Program::new();
    let mut board = program.board(&["--gdb", "0"]);
    let address = board.line("gdb: target remote ");
    let mut random = common::Random(7);
    for round in 0..20 {
        let mut stream = TcpStream::connect(&address).unwrap();
        let mut garbage: Vec<u8> = (0..5000).map(|_| random.next() as u8).collect();
        if round % 2 == 0 {
            // Packets with nonsense in them.
            garbage = (0..50)
                .flat_map(|_| {
                    let letter = random.pick(b"gGmMpPcsZzHTvqQDk?XRbF");
                    let body: Vec<u8> = (0..random.below(40))
                        .map(|_| random.pick(b"0123456789abcdef,;:=-fffff*"))
                        .collect();
                    let packet = [&[letter], &body[..]].concat();
                    let sum = packet.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
                    [b"$", &packet[..], format!("#{sum:02x}").as_bytes()].concat()
                })
                .collect();
        }
        // It may be gone before it has read all.
        let _ = stream.write_all(&garbage);
    }
    let mut gdb = Gdb::new(&address);
    assert!(gdb.ask("?").starts_with(['S', 'T']));
    assert!(board.interrupt().success(), "{:?}", board.seen);
}
