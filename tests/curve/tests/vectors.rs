//! Project Wycheproof's vectors on the chip's own code: the firmware's functions, called on the
//! virtual CPU. One of NIST's and the key of RFC 6979's too. `crates/p256` and `crates/rsa` have them on this machine.
//!
//! Each computes millions of instructions: a part of each set is taken, and all of it when
//! VECTORS=all.

use std::path::PathBuf;

use crypto_tests::{Agreed, EcdsaSet, RsaSet, SHA256, SHA384, SHA512, Sha, Signed, bytes};
use curve_tests::Argument::{Buffer, Number};
use curve_tests::{ARGUMENTS, Program};

/// Bytes of `struct fw_p256_workspace`.
const P256_WORKSPACE: usize = 4 * 336;
/// -1, as a function returns it.
const REFUSED: u32 = u32::MAX;

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

fn ecdsa_set(set: EcdsaSet, sha: Sha) {
    let (mut program, mut part) = (firmware(), Part::new(16));
    for Signed { name, mut key, mut hash, signature, valid } in crypto_tests::ecdsa(set, sha) {
        let Ok(mut signature) = <[u8; 64]>::try_from(signature) else { continue };
        if !part.takes(valid) {
            continue;
        }
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
        assert_eq!(result, if valid { 0 } else { REFUSED }, "{name}");
    }
    part.check(&format!("{set:?}"));
}

#[test]
fn ecdsa_p256() {
    ecdsa_set(EcdsaSet::EcdsaSecp256r1Sha256P1363, SHA256);
    ecdsa_set(EcdsaSet::EcdsaSecp256r1Sha512P1363, SHA512);
}

#[test]
fn ecdh_p256() {
    let (mut program, mut part) = (firmware(), Part::new(8));
    for Agreed { name, mut secret, public, shared: wanted } in crypto_tests::ecdh() {
        let Some(mut public) = public else { continue };
        if !part.takes(wanted.is_some()) {
            continue;
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
        assert_eq!(result, if wanted.is_some() { 0 } else { REFUSED }, "{name}");
        assert!(wanted.is_none_or(|wanted| shared == wanted), "{name}");
    }
    part.check("ECDH");
}

/// The first of NIST's component test for ECDH on P-256 (CAVS 14.1).
#[test]
fn nist_ecdh() {
    let mut secret =
        bytes::<32>("7D7DC5F71EB29DDAF80D6214632EEAE03D9058AF1FB6D22ED80BADB62BC1A534");
    let mut public: [u8; 64] = bytes(concat!(
        "700C48F77F56584C5CC632CA65640DB91B6BACCE3A4DF6B42CE7CC838833D287",
        "DB71E509E3FD9B060DDB20BA5C51DCC5948D46FBF640DFE0441782CAB85FA4AC"
    ));
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
    let wanted = bytes::<32>("46FC62106420FF012E54A434FBDD2D25CCC5852060561E68040DD7778997BD7B");
    assert_eq!(shared, wanted);
}

fn rsa_set(set: RsaSet, every: usize, sha: Sha) {
    let (mut program, mut part) = (firmware(), Part::new(every));
    for Signed { name, key: (n, e), mut hash, mut signature, valid } in crypto_tests::rsa(set, sha)
    {
        // The glue refuses other lengths.
        if signature.len() != n.len() || !part.takes(valid) {
            continue;
        }
        // struct fw_rsa_key, and what it points to behind it.
        let words = [ARGUMENTS + 12, n.len() as u32, e].map(u32::to_le_bytes);
        let mut key = [words.as_flattened(), &n].concat();
        let size = program.result("fw_rsa_workspace", &mut [Buffer(&mut key)]).expect("it returns")
            as usize;
        assert!((1..4096).contains(&size), "{size}");
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
        assert_eq!(result, if valid { 0 } else { REFUSED }, "{name}");
    }
    part.check(&format!("{set:?}"));
}

#[test]
fn rsa_2048() {
    rsa_set(RsaSet::Rsa2048Sha256, 16, SHA256);
    rsa_set(RsaSet::Rsa2048Sha384, 32, SHA384);
    rsa_set(RsaSet::Rsa2048Sha512, 32, SHA512);
}

#[test]
fn rsa_3072_and_4096() {
    rsa_set(RsaSet::Rsa3072Sha256, 64, SHA256);
    rsa_set(RsaSet::Rsa4096Sha384, 64, SHA384);
}

/// The key of RFC 6979, A.2.5. The firmware signs with fresh bytes, which the RFC's signatures do
/// without: `crates/p256` has those, and the chip's are compared with its own.
#[test]
fn signatures_are_those_of_this_machine() {
    let mut program = firmware();
    let secret = bytes::<32>("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
    let mut signatures = Vec::new();
    for fresh in [0, 1] {
        let (mut key, mut secret) = ([0; 64], secret);
        let arguments = &mut [Buffer(&mut secret), Buffer(&mut [1; 32]), Buffer(&mut key)];
        assert_eq!(program.result("fw_p256_public_key", arguments).expect("it returns"), 0);
        assert_eq!(
            key[..32],
            bytes::<32>("60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6")
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
        let wanted =
            p256_lx106::sign::<crypto_tests::Hash>(&secret, &hash, &[fresh; 32]).expect("a key");
        assert_eq!(signature, wanted, "as this machine signs");
        signatures.push(signature);
    }
    assert_ne!(signatures[0], signatures[1]);
}
