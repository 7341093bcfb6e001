//! The comparison with a dumped boot ROM, by a ROM made up here: some functions right, some wrong.

mod common;

use virtual_nodemcu::compare::Comparison;

const ROUNDS: u32 = 200;

/// A ROM with a start-up, what makes it one, and these functions at their offsets.
fn rom(name: &str, functions: &[(u32, &str)]) -> Vec<u8> {
    let mut parts = vec![(0x80, "j main"), (0x0FEC, "main: j main"), (0x1000, ".word 0xFFF0C101")];
    parts.extend(functions);
    parts.sort();
    let text: Vec<_> = parts.iter().map(|(at, code)| format!(".org {at:#x}\n{code}\n")).collect();
    let mut rom = common::assemble(name, &text.concat());
    rom.resize(0x1_0000, 0);
    rom
}

/// What the comparison says of the function; none if the ROM's does the same.
fn difference(rom: &[u8], name: &str) -> Option<String> {
    Comparison::new(rom, 1).unwrap().one(name, ROUNDS).unwrap().difference
}

const ROUNDUP2: &str = "add a2, a2, a3\n addi a2, a2, -1\n neg a3, a3\n and a2, a2, a3\n ret";
const STRLEN: &str = "mov a3, a2\n 1: l8ui a4, a2, 0\n addi a2, a2, 1\n bnez a4, 1b\n \
                      sub a2, a2, a3\n addi a2, a2, -1\n ret";
const BZERO: &str = "movi a4, 0\n j 2f\n 1: s8i a4, a2, 0\n addi a2, a2, 1\n addi a3, a3, -1\n \
                     2: bnez a3, 1b\n ret";
/// By subtraction of the divisor, doubled as often as it goes; zero ends at the ROM's own place.
const UMODSI3: &str = "j 3f\n .org 0xE296\n ill\n 3: beqz a3, 3b-3\n mov a4, a3\n \
                       1: bltz a4, 2f\n add a5, a4, a4\n bltu a2, a5, 2f\n mov a4, a5\n j 1b\n \
                       2: bltu a2, a4, 4f\n sub a2, a2, a4\n 4: beq a4, a3, 5f\n srli a4, a4, 1\n \
                       j 2b\n 5: ret";

#[test]
fn what_the_rom_does_as_well_is_equal() {
    let right =
        rom("right", &[(0x31B4, ROUNDUP2), (0xBF4C, STRLEN), (0xDE84, BZERO), (0xE268, UMODSI3)]);
    for name in ["roundup2", "strlen", "bzero", "__umodsi3"] {
        assert_eq!(difference(&right, name), None);
    }
    let verdicts = Comparison::new(&right, 2).unwrap().all(3);
    let equal: Vec<_> =
        verdicts.iter().filter(|v| v.difference.is_none()).map(|v| v.name).collect();
    assert_eq!(equal, ["__umodsi3", "roundup2", "bzero", "strlen"]);
    assert_eq!(verdicts.len(), Comparison::names().count());
}

#[test]
fn what_it_does_otherwise_is_named() {
    let wrong = rom(
        "wrong",
        &[
            // One too many; a byte behind the end; once too often; elsewhere.
            (0x31B4, &ROUNDUP2.replace("ret", "addi a2, a2, 1\n ret")),
            (0xDE84, &BZERO.replace("2: bnez a3, 1b", "2: bgez a3, 1b")),
            (0xBF4C, "1: j 1b"),
            (0xE268, "ill"),
        ],
    );
    let text = difference(&wrong, "roundup2").unwrap();
    assert!(text.starts_with("roundup2(0x") && text.contains("the dump's returns 0x"), "{text}");
    let text = difference(&wrong, "bzero").unwrap();
    assert!(text.contains(" leaves 0x") && text.ends_with("the dump's 0x00"), "{text}");
    let text = difference(&wrong, "strlen").unwrap();
    assert!(text.ends_with("the dump's does not return"), "{text}");
    let text = difference(&wrong, "__umodsi3").unwrap();
    assert!(text.ends_with("the dump's raises exception 0 at 0x4000e268"), "{text}");
}

#[test]
fn what_is_no_dump_is_refused() {
    let refused = |dump: &[u8]| Comparison::new(dump, 1).err().unwrap();
    assert!(refused(&[0; 100]).contains("has 65536 bytes, this has 100"));
    assert!(refused(&[0; 0x1_0000]).contains("no ESP8266's boot ROM"));
    let mut dead = rom("dead", &[]);
    dead[0x80..0x83].fill(0);
    assert!(refused(&dead).contains("does not come to its main()"));
    assert_eq!(Comparison::new(&rom("empty", &[]), 1).unwrap().one("ets_run", 1), None);
}
