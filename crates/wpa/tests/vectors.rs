//! Published vectors, and other people's implementations.

mod common;

use common::{Aes, Sha1};
use wpa::key::{Hmac, Ptk, pmk, prf, unwrap};

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

/// IEEE 802.11-2020, J.4.2.
#[test]
fn pmk_of_a_passphrase() {
    for (passphrase, ssid, expected) in [
        ("password", "IEEE", "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"),
        (
            "ThisIsAPassword",
            "ThisIsASSID",
            "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af",
        ),
        (
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "ZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "becb93866bb8c3832cb777c2f559807c8c59afcb6eae734885001300a981cc62",
        ),
    ] {
        assert_eq!(pmk::<Sha1>(passphrase.as_bytes(), ssid.as_bytes())[..], hex(expected)[..]);
    }
}

#[test]
fn pmk_is_that_of_another_pbkdf2() {
    for length in [8, 63] {
        let passphrase: Vec<u8> = (0..length).map(|i| b' ' + i * 3 % 95).collect();
        let ssid: Vec<u8> = (0..32).map(|i| i * 8).collect();
        let mut expected = [0; 32];
        pbkdf2::pbkdf2::<hmac::Hmac<sha1::Sha1>>(&passphrase, &ssid, 4096, &mut expected).unwrap();
        assert_eq!(pmk::<Sha1>(&passphrase, &ssid), expected);
    }
}

/// IEEE 802.11-2020, J.3.2.
#[test]
fn pseudo_random_function() {
    for (key, data, expected) in [
        (
            vec![0x0B; 20],
            b"Hi There".to_vec(),
            "bcd4c650b30b9684951829e0d75f9d54b862175ed9f00606e17d8da35402ffee\
             75df78c3d31e0f889f012120c0862beb67753e7439ae242edb8373698356cf5a",
        ),
        (
            b"Jefe".to_vec(),
            b"what do ya want for nothing?".to_vec(),
            "51f4de5b33f249adf81aeb713a3c20f4fe631446fabdfa58244759ae58ef9009\
             a99abf4eac2ca5fa87e692c440eb40023e7babb206d61de7b92f41529092b8fc",
        ),
        (
            vec![0xAA; 20],
            vec![0xDD; 50],
            "e1ac546ec4cb636f9976487be5c86be17a0252ca5d8d8df12cfb0473525249ce\
             9dd8d177ead710bc9b590547239107aef7b4abd43d87f0a68f1cbd9e2b6f7607",
        ),
    ] {
        let mut out = [0; 64];
        prf::<Sha1>(&key, "prefix", [&data, &[], &[], &[]], &mut out);
        assert_eq!(out[..], hex(&expected.replace(' ', ""))[..]);
    }
}

/// IEEE 802.11-2020, J.8: pairwise key derivation.
#[test]
fn pairwise_keys() {
    let mut master = [0; 32];
    master
        .copy_from_slice(&hex("0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af"));
    let array = |text: &str| <[u8; 32]>::try_from(hex(text)).unwrap();
    let access_point = [0xA0, 0xA1, 0xA1, 0xA3, 0xA4, 0xA5];
    let station = [0xB0, 0xB1, 0xB2, 0xB3, 0xB4, 0xB5];
    let snonce = array("c0c1c2c3c4c5c6c7c8c9d0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5");
    let anonce = array("e0e1e2e3e4e5e6e7e8e9f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff000102030405");
    let ptk = Ptk::derive::<Sha1>(&master, [&access_point, &station], [&anonce, &snonce]);
    assert_eq!(ptk.kck[..], hex("379f9852d0199236b94e407ce4c00ec8")[..]);
    assert_eq!(ptk.kek[..], hex("47c9edc01c2c6e5b4910caddfb3e51a7")[..]);
    assert_eq!(ptk.tk[..], hex("b2360c79e9710fdd58bea93deaf06599")[..]);
    let swapped = Ptk::derive::<Sha1>(&master, [&station, &access_point], [&snonce, &anonce]);
    assert!(ptk == swapped);
}

/// RFC 3394, 4.1.
#[test]
fn key_wrap() {
    let kek: [u8; 16] = core::array::from_fn(|i| i as u8);
    let wrapped = hex("1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5");
    let mut bytes = wrapped.clone();
    let plain = unwrap::<Aes>(&kek, &mut bytes).unwrap();
    assert_eq!(plain, hex("00112233445566778899aabbccddeeff"));
    for at in 0..wrapped.len() {
        let mut damaged = wrapped.clone();
        damaged[at] ^= 0x80;
        assert!(unwrap::<Aes>(&kek, &mut damaged).is_none(), "byte {at}");
    }
    for length in (0..24).chain([25, 31]) {
        let mut short = vec![0; length];
        assert!(unwrap::<Aes>(&kek, &mut short).is_none(), "{length} bytes");
    }
}

#[test]
fn key_wrap_is_that_of_another_implementation() {
    let kek: [u8; 16] = core::array::from_fn(|i| (i * 37) as u8);
    for length in [16, 24, 48, 120, 256] {
        let plain: Vec<u8> = (0..length).map(|i| (i * 7) as u8).collect();
        let mut wrapped = vec![0; length + 8];
        aes_kw::KekAes128::from(kek).wrap(&plain, &mut wrapped).unwrap();
        assert_eq!(unwrap::<Aes>(&kek, &mut wrapped).unwrap(), plain);
    }
}

/// RFC 2202, with a key that is longer than a block.
#[test]
fn hmac_sha1() {
    let hmac = Hmac::<Sha1>::new(&[0xAA; 80]);
    let message = b"Test Using Larger Than Block-Size Key and Larger Than One Block-Size Data";
    assert_eq!(
        hmac.of(&[&message[..9], &message[9..]])[..],
        hex("e8e99d0f45237d786d6bbaa7965c7808bbff1a91")[..]
    );
}
