//! Constant time, shown: key pair, ECDH and signature take the same instructions on the same
//! addresses, in the same order, whatever the secret is. The code is the firmware's.
//!
//! CURVE_SCALARS says how many secrets; `make constant-time` takes 1,000.

use std::path::PathBuf;

use curve_tests::Argument::{Buffer, Number};
use curve_tests::{Argument, Course, Program};
use fuzz::Random;
use p256_lx106::{GENERATOR, is_secret_key, public_key};

/// Those of `make test`.
const SCALARS: usize = 40;

/// n, the highest byte first.
const ORDER: [u8; 32] = [
    0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xBC, 0xE6,
    0xFA, 0xAD, 0xA7, 0x17, 0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51,
];

fn firmware() -> Program {
    let elf = std::env::var_os("FIRMWARE_ELF").expect("FIRMWARE_ELF names the firmware's ELF");
    Program::load(&PathBuf::from(elf)).expect("the firmware")
}

/// Secrets that are special: near 0, near n and in its middle, powers of two and what is one less,
/// long runs of ones and zeros; then random ones.
fn secrets(count: usize) -> Vec<[u8; 32]> {
    let mut secrets = Vec::new();
    for small in 1..8 {
        let (mut low, mut high) = ([0; 32], ORDER);
        low[31] = small;
        high[31] -= small;
        secrets.extend([low, high]);
    }
    for byte in [0, 1, 15, 16, 31] {
        let mut power = [0; 32];
        power[byte] = 0x80;
        let mut ones = [0xFF; 32];
        ones[..=byte].fill(0);
        secrets.extend([power, ones]);
    }
    secrets.extend([[0x55; 32], [0xAA; 32], [0x0F; 32]]);
    let mut random = Random::new(7);
    while secrets.len() < count {
        secrets.push(random.array());
    }
    secrets.truncate(count);
    secrets.retain(is_secret_key);
    secrets
}

fn count() -> usize {
    std::env::var("CURVE_SCALARS")
        .map_or(SCALARS, |text| text.parse().expect("CURVE_SCALARS is a number"))
}

/// Fails unless all calls take the same course. What is returned is 0 in each.
fn assert_same(name: &str, mut call: impl FnMut(&[u8; 32]) -> Course) {
    let secrets = secrets(count());
    let first = call(&secrets[0]);
    assert_eq!(first.result, 0, "{name}");
    for secret in &secrets[1..] {
        assert_eq!(call(secret), first, "{name} with {secret:x?}");
    }
    println!("{name}: {} secrets, {} instructions each", secrets.len(), first.instructions);
}

fn call(program: &mut Program, function: &str, arguments: &mut [Argument<'_>]) -> Course {
    program.call(function, arguments).expect("it returns")
}

#[test]
fn key_pair() {
    let mut program = firmware();
    let mut random = Random::new(1);
    assert_same("key pair", |secret| {
        let (mut secret, mut blind, mut out) = (*secret, random.array::<32>(), [0; 64]);
        let wanted = public_key(&secret, &blind).expect("a secret key");
        let arguments = &mut [Buffer(&mut secret), Buffer(&mut blind), Buffer(&mut out)];
        let course = call(&mut program, "fw_p256_public_key", arguments);
        assert_eq!(out, wanted);
        course
    });
}

#[test]
fn shared_secret() {
    let mut program = firmware();
    let mut random = Random::new(2);
    assert_same("ECDH", |secret| {
        let (mut secret, mut blind, mut out) = (*secret, random.array::<32>(), [0; 32]);
        let mut point = GENERATOR;
        let wanted = public_key(&secret, &blind).expect("a secret key");
        let mut workspace = [0; 4 * 336];
        let arguments = &mut [
            Buffer(&mut secret),
            Buffer(&mut point),
            Buffer(&mut blind),
            Buffer(&mut workspace),
            Buffer(&mut out),
        ];
        let course = call(&mut program, "fw_p256_shared_secret", arguments);
        assert_eq!(out, wanted[..32]);
        course
    });
}

#[test]
fn signature() {
    let mut program = firmware();
    let mut random = Random::new(3);
    assert_same("signature", |secret| {
        let (mut secret, mut hash) = (*secret, random.array::<32>());
        let (mut fresh, mut out) = (random.array::<32>(), [0; 64]);
        let arguments = &mut [
            Buffer(&mut secret),
            Buffer(&mut hash),
            Number(32),
            Buffer(&mut fresh),
            Buffer(&mut out),
        ];
        call(&mut program, "fw_p256_sign", arguments)
    });
}

/// What the tests above would do with code that leaks: a comparison that stops at the first
/// difference shows in the path, a table read at a secret place in the addresses.
#[test]
fn a_leak_is_found() {
    let mut program = Program::build("leaks", &["tests/curve/tests/leaks.c"]).expect("it compiles");
    let mut course = |function: &str, first: u8| {
        let mut secret = [first, 1, 2, 3];
        call(&mut program, function, &mut [Buffer(&mut secret)])
    };
    for (leak, by_path) in [("leaks_by_branch", true), ("leaks_by_address", false)] {
        let (a, b) = (course(leak, 0), course(leak, 1));
        assert_ne!(a, b, "{leak}");
        assert_eq!(a.path != b.path, by_path, "{leak}");
        assert_ne!(a.addresses, b.addresses, "{leak}");
    }
    let (a, b) = (course("leaks_nothing", 0), course("leaks_nothing", 1));
    assert_eq!((a.path, a.addresses), (b.path, b.addresses));
}
