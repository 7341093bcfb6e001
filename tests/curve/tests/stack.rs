//! The stack that the curve and RSA take of the task that connects.

use std::path::PathBuf;

use curve_tests::{ARGUMENTS, Argument, Program};
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
    // A key of 4096 bits that nobody has, and a signature that is none.
    let mut rsa = Vec::new();
    for word in [ARGUMENTS + 12, 512, 65537] {
        rsa.extend(word.to_le_bytes());
    }
    rsa.extend([0xC5; 512]);
    let (mut none, mut memory) = ([0x31; 512], [0; 2560]);
    let course = program
        .call(
            "fw_rsa_verify",
            &mut [
                Buffer(&mut rsa),
                Buffer(&mut hash),
                Number(32),
                Buffer(&mut none),
                Buffer(&mut memory),
            ],
        )
        .expect("it returns");
    println!(
        "fw_rsa_verify, 4096 bits: {} bytes of stack, {} instructions",
        course.stack, course.instructions
    );
    assert_eq!(course.result, u32::MAX);
    assert!(course.stack <= rsa_lx106::STACK as u32, "{} bytes of stack", course.stack);
    let most = key.max(shared).max(signed).max(verified);
    assert!(most <= STACK as u32, "{most} bytes of stack, documented are {STACK}");
}
