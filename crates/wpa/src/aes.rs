//! AES-128 (FIPS 197), its inverse cipher alone and in few bytes of code: a key is unwrapped a few
//! times an hour.

use crate::Aes128;

/// A block, and a round key: bytes in the standard's order, column by column.
type Block = [u8; 16];

const ROUNDS: usize = 10;

/// The S-box and its inverse (FIPS 197, 5.1.1 and 5.3.2), computed: it is the inverse in
/// GF(2^8), then an affine map.
const BOXES: ([u8; 256], [u8; 256]) = {
    let mut forward = [0; 256];
    let mut backward = [0; 256];
    // p runs through all powers of 3, q through those of its inverse.
    let (mut p, mut q) = (1_u8, 1_u8);
    loop {
        p ^= double(p);
        q ^= q << 1;
        q ^= q << 2;
        q ^= q << 4;
        if q & 0x80 != 0 {
            q ^= 0x09;
        }
        let image =
            q ^ q.rotate_left(1) ^ q.rotate_left(2) ^ q.rotate_left(3) ^ q.rotate_left(4) ^ 0x63;
        forward[p as usize] = image;
        backward[image as usize] = p;
        if p == 1 {
            break;
        }
    }
    forward[0] = 0x63;
    backward[0x63] = 0;
    (forward, backward)
};
static SBOX: [u8; 256] = BOXES.0;
static INVERSE: [u8; 256] = BOXES.1;

/// 2 times `byte` in GF(2^8).
const fn double(byte: u8) -> u8 {
    byte << 1 ^ if byte & 0x80 != 0 { 0x1B } else { 0 }
}

/// AES-128 with a key, for decryption.
pub struct SmallAes128 {
    keys: [Block; ROUNDS + 1],
}

impl Aes128 for SmallAes128 {
    fn new(key: &[u8; 16]) -> Self {
        let mut keys = [*key; ROUNDS + 1];
        let mut constant = 1;
        for round in 1..=ROUNDS {
            let mut key = keys[round - 1];
            for i in 0..4 {
                key[i] ^= SBOX[usize::from(key[12 + (i + 1) % 4])];
            }
            key[0] ^= constant;
            constant = double(constant);
            for i in 4..16 {
                key[i] ^= key[i - 4];
            }
            keys[round] = key;
        }
        Self { keys }
    }

    fn decrypt(&self, block: &mut Block) {
        add(block, &self.keys[ROUNDS]);
        for round in (0..ROUNDS).rev() {
            // InvShiftRows and InvSubBytes.
            let old = *block;
            for (i, byte) in block.iter_mut().enumerate() {
                *byte = INVERSE[usize::from(old[(i + 12 * (i % 4)) % 16])];
            }
            add(block, &self.keys[round]);
            if round > 0 {
                block.chunks_exact_mut(4).for_each(mix);
            }
        }
    }
}

fn add(block: &mut Block, key: &Block) {
    for (byte, key) in block.iter_mut().zip(key) {
        *byte ^= key;
    }
}

/// InvMixColumns on one column: 14, 11, 13 and 9 times its bytes.
fn mix(column: &mut [u8]) {
    let mut sums = [0; 4];
    for (i, &byte) in column.iter().enumerate() {
        let two = double(byte);
        let four = double(two);
        let eight = double(four);
        sums[i] ^= eight ^ four ^ two;
        sums[(i + 1) % 4] ^= eight ^ byte;
        sums[(i + 2) % 4] ^= eight ^ four ^ byte;
        sums[(i + 3) % 4] ^= eight ^ two ^ byte;
    }
    column.copy_from_slice(&sums);
}
