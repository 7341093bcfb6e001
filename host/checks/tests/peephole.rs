//! What the linker wrapper makes of LLVM's assembly (`tools/xtensa-peephole.awk`): each shortening
//! where it is right, and each reason not to.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// The code that comes out, one instruction or label a line, blanks folded.
fn shortened(source: &str) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/xtensa-peephole.awk");
    let mut awk = Command::new("awk")
        .arg("-f")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("awk");
    let assembly: String = source
        .split(';')
        .map(str::trim)
        .map(|line| match line.split_once(' ') {
            _ if line.ends_with(':') => format!("{line}\n"),
            Some((name, operands)) if !line.starts_with(".literal") => {
                format!("\t{name}\t{}\n", operands.trim_start())
            }
            _ => format!("\t{line}\n"),
        })
        .collect();
    let mut input = awk.stdin.take().unwrap();
    input.write_all(assembly.as_bytes()).unwrap();
    drop(input);
    let output = awk.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[track_caller]
fn becomes(source: &str, wanted: &str) {
    assert_eq!(shortened(source).join("; "), wanted);
}

#[track_caller]
fn stays(source: &str) {
    becomes(source, source);
}

#[test]
fn a_call_by_a_literal_is_direct() {
    becomes(
        ".literal .LCPI0_0, callee; f:; l32r a8, .LCPI0_0; addi a2, a3, 1; callx0 a8; ret",
        "f:; addi a2, a3, 1; call0 callee; ret",
    );
    // Another one still needs the literal.
    becomes(
        ".literal .LCPI0_0, g; f:; l32r a8, .LCPI0_0; callx0 a8; l32r a12, .LCPI0_0; callx0 a12; ret",
        ".literal .LCPI0_0, g; f:; call0 g; l32r a12, .LCPI0_0; callx0 a12; ret",
    );
    // Places for the debugger are in nobody's way.
    becomes(
        ".literal .LCPI0_0, g; f:; l32r a8, .LCPI0_0; .Ltmp1:; callx0 a8; ret",
        "f:; .Ltmp1:; call0 g; ret",
    );
}

#[test]
fn a_call_stays_whose_callee_may_be_another() {
    // A number, an address inside of something, data.
    stays(".literal .LCPI0_0, 1073758720; f:; l32r a8, .LCPI0_0; callx0 a8; ret");
    stays(".literal .LCPI0_0, g+4; f:; l32r a8, .LCPI0_0; callx0 a8; ret");
    // Another way leads to the call.
    stays(".literal .LCPI0_0, g; f:; l32r a8, .LCPI0_0; .LBB0_1:; callx0 a8; ret");
    // The address is used once more.
    stays(".literal .LCPI0_0, g; f:; l32r a8, .LCPI0_0; s32i a8, a1, 4; callx0 a8; ret");
    stays(".literal .LCPI0_0, g; f:; l32r a8, .LCPI0_0; addi a8, a8, 4; callx0 a8; ret");
    // Registers that a callee reads or keeps.
    stays(".literal .LCPI0_0, g; f:; l32r a3, .LCPI0_0; callx0 a3; ret");
    stays(".literal .LCPI0_0, g; f:; l32r a12, .LCPI0_0; callx0 a12; ret");
    // A call in between leaves nothing in a8.
    stays(".literal .LCPI0_0, g; f:; l32r a8, .LCPI0_0; callx0 a9; callx0 a8; ret");
}

#[test]
fn a_result_goes_to_its_place_at_once() {
    becomes("f:; addi a8, a1, -64; or a1, a8, a8; ret", "f:; addi a1, a1, -64; ret");
    becomes("f:; addi a8, a9, 0; ret", "f:; mov a8, a9; ret");
    becomes("f:; or a8, a8, a8; ret", "f:; ret");
    becomes(
        "f:; l32i a8, a3, 4; or a2, a8, a8; movi a8, 1; ret",
        "f:; l32i a2, a3, 4; movi a8, 1; ret",
    );
    // a8 is read again: at once, behind a branch, at its target, in a loop.
    becomes(
        "f:; addi a8, a3, 8; or a2, a8, a8; s32i a8, a1, 0; ret",
        "f:; addi a8, a3, 8; mov a2, a8; s32i a8, a1, 0; ret",
    );
    becomes(
        "f:; addi a8, a3, 8; or a2, a8, a8; beqz a2, .LBB0_1; add a2, a2, a8; .LBB0_1:; ret",
        "f:; addi a8, a3, 8; mov a2, a8; beqz a2, .LBB0_1; add a2, a2, a8; .LBB0_1:; ret",
    );
    becomes(
        "f:; addi a8, a3, 8; or a2, a8, a8; beqz a2, .LBB0_1; ret; .LBB0_1:; add a2, a2, a8; ret",
        "f:; addi a8, a3, 8; mov a2, a8; beqz a2, .LBB0_1; ret; .LBB0_1:; add a2, a2, a8; ret",
    );
    becomes(
        ".LBB0_0:; s32i a8, a1, 0; addi a8, a3, 8; or a2, a8, a8; j .LBB0_0",
        ".LBB0_0:; s32i a8, a1, 0; addi a8, a3, 8; mov a2, a8; j .LBB0_0",
    );
    // Nobody knows where that leads, or what that is.
    becomes("f:; addi a8, a3, 8; or a2, a8, a8; jx a4", "f:; addi a8, a3, 8; mov a2, a8; jx a4");
    becomes(
        "f:; addi a8, a3, 8; or a2, a8, a8; wsr a8, ps",
        "f:; addi a8, a3, 8; mov a2, a8; wsr a8, ps",
    );
    // A callee reads a2 to a7 and keeps a12 to a15.
    becomes(
        "f:; addi a3, a1, 8; or a2, a3, a3; call0 g",
        "f:; addi a3, a1, 8; mov a2, a3; call0 g",
    );
    becomes("f:; addi a12, a1, 8; or a2, a12, a12; ret", "f:; addi a12, a1, 8; mov a2, a12; ret");
    // Only some of the times a8 gets a new value.
    becomes("f:; moveqz a8, a3, a4; or a2, a8, a8; ret", "f:; moveqz a8, a3, a4; mov a2, a8; ret");
}

#[test]
fn masks_and_comparisons_hold_their_constant() {
    becomes("f:; movi a8, 255; and a2, a2, a8; ret", "f:; extui a2, a2, 0, 8; ret");
    becomes(
        "f:; movi a8, 1; and a8, a8, a3; s32i a8, a1, 0; ret",
        "f:; extui a8, a3, 0, 1; s32i a8, a1, 0; ret",
    );
    becomes(
        "f:; movi a8, 4; beq a2, a8, .L1; ret; .L1:; ret",
        "f:; beqi a2, 4, .L1; ret; .L1:; ret",
    );
    becomes("f:; movi a8, 0; bne a8, a2, .L1; ret; .L1:; ret", "f:; bnez a2, .L1; ret; .L1:; ret");
    becomes(
        "f:; movi a8, 2; bltu a2, a8, .L1; ret; .L1:; ret",
        "f:; bltui a2, 2, .L1; ret; .L1:; ret",
    );
    // No mask from bit 0, no such immediate, not the same when turned round.
    stays("f:; movi a8, 254; and a2, a2, a8; ret");
    stays("f:; movi a8, 0; and a2, a2, a8; ret");
    stays("f:; movi a8, 9; beq a2, a8, .L1; ret; .L1:; ret");
    stays("f:; movi a8, 1; bltu a2, a8, .L1; ret; .L1:; ret");
    stays("f:; movi a8, 2; bltu a8, a2, .L1; ret; .L1:; ret");
    // The constant is used again.
    stays("f:; movi a8, 255; and a2, a2, a8; and a3, a3, a8; ret");
    stays("f:; movi a8, 4; beq a2, a8, .L1; ret; .L1:; s32i a8, a1, 0; ret");
    stays("f:; movi a8, 4; beq a2, a8, .L1; s32i a8, a1, 0; .L1:; ret");
    stays("f:; movi a8, 255; .L1:; and a2, a2, a8; ret");
}

#[test]
fn a_branch_over_a_jump_is_the_opposite_branch() {
    becomes(
        "f:; beq a2, a3, .L1; j .L2; .L1:; ret; .L2:; movi a2, 1; ret",
        "f:; bne a2, a3, .L2; .L1:; ret; .L2:; movi a2, 1; ret",
    );
    becomes(
        "f:; bltz a2, .L1; j .L2; .L1:; ret; .L2:; ret",
        "f:; bgez a2, .L2; .L1:; ret; .L2:; ret",
    );
    // More than a jump, or a jump that others come to.
    stays("f:; beq a2, a3, .L1; movi a2, 1; j .L2; .L1:; ret; .L2:; ret");
    stays("f:; beq a2, a3, .L1; .L3:; j .L2; .L1:; ret; .L2:; j .L3");
}
