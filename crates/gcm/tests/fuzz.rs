//! Random messages, cut anywhere, against ring.

mod common;

use common::run;
use gcm::Direction;

#[test]
fn agrees_with_ring() {
    use ring::aead;

    let (messages, mut choices) = fuzz::begin(20_000);
    for _ in 0..messages {
        let mut random =
            |length: usize| -> Vec<u8> { (0..length).map(|_| choices.byte()).collect() };
        let choice = random(8);
        let size = if choice[0] & 1 == 0 { 16 } else { 32 };
        let (key, nonce) = (random(size), random(12));
        let additional = random(usize::from(choice[1] % 40));
        let length = match choice[2] % 4 {
            0 => usize::from(choice[3] % 34),
            1 => usize::from(choice[3]) * 16 + usize::from(choice[4] % 3),
            _ => usize::from(choice[3]),
        };
        let plain = random(length);
        let cuts: Vec<usize> = choice[5..].iter().map(|byte| usize::from(byte % 40) + 1).collect();
        let algorithm = if size == 16 { &aead::AES_128_GCM } else { &aead::AES_256_GCM };
        let sealing = aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, &key).unwrap());
        let mut theirs = plain.clone();
        let their_tag = sealing
            .seal_in_place_separate_tag(
                aead::Nonce::try_assume_unique_for_key(&nonce).unwrap(),
                aead::Aad::from(&additional),
                &mut theirs,
            )
            .unwrap();
        let (ours, our_tag) = run(&key, &nonce, &additional, &plain, Direction::Encrypt, &cuts);
        assert_eq!((&ours, &our_tag[..]), (&theirs, their_tag.as_ref()));
        let (opened, tag) = run(&key, &nonce, &additional, &ours, Direction::Decrypt, &cuts);
        assert_eq!((opened, tag), (plain, our_tag));
    }
}
