//! The stack that the curve takes of the task that connects.

use std::path::PathBuf;

use curve_tests::{Argument, Program};
use p256_lx106::{GENERATOR, STACK, public_key};

#[test]
fn the_deepest_call_keeps_to_what_is_documented() {
    let elf =
        PathBuf::from(std::env::var_os("FIRMWARE_ELF").expect("FIRMWARE_ELF names the firmware"));
    let mut program = Program::load(&elf).expect("the firmware");
    let (mut secret, mut random, mut hash) = ([0x35; 32], [0x77; 32], [0x99; 32]);
    let (mut point, mut out, mut workspace) = (GENERATOR, [0; 64], [0; 4 * 336]);
    let mut depth = |function: &str, arguments: &mut [Argument<'_>]| {
        let course = program.call(function, arguments).expect("it returns");
        assert_eq!(course.result, 0, "{function}");
        println!(
            "{function}: {} bytes of stack, {} instructions",
            course.stack, course.instructions
        );
        course.stack
    };
    use Argument::{Buffer, Number};
    let key = depth(
        "fw_p256_public_key",
        &mut [Buffer(&mut secret), Buffer(&mut random), Buffer(&mut out)],
    );
    let shared = depth(
        "fw_p256_shared_secret",
        &mut [
            Buffer(&mut secret),
            Buffer(&mut point),
            Buffer(&mut random),
            Buffer(&mut workspace),
            Buffer(&mut out[..32]),
        ],
    );
    let signed = depth(
        "fw_p256_sign",
        &mut [
            Buffer(&mut secret),
            Buffer(&mut hash),
            Number(32),
            Buffer(&mut random),
            Buffer(&mut out),
        ],
    );
    let mut own = public_key(&secret, &random).expect("a good key");
    let verified = depth(
        "fw_p256_verify",
        &mut [
            Buffer(&mut own),
            Buffer(&mut hash),
            Number(32),
            Buffer(&mut out),
            Buffer(&mut workspace),
        ],
    );
    let most = key.max(shared).max(signed).max(verified);
    assert!(most <= STACK as u32, "{most} bytes of stack, documented are {STACK}");
}
