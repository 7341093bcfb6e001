//! SHA-1 (FIPS 180-4, 6.1), in few bytes of code: some twenty blocks a handshake are hashed.

use crate::Sha1;

/// Bytes of a block.
const BLOCK: usize = 64;

/// A running SHA-1.
#[derive(Clone)]
pub struct SmallSha1 {
    state: [u32; 5],
    block: [u8; BLOCK],
    /// Bytes so far.
    length: usize,
}

impl Sha1 for SmallSha1 {
    fn new() -> Self {
        Self {
            state: [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0],
            block: [0; BLOCK],
            length: 0,
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = &mut self.block[self.length % BLOCK..];
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.length += now.len();
            bytes = later;
            if self.length.is_multiple_of(BLOCK) {
                self.compress();
            }
        }
    }

    fn finish(mut self) -> [u8; 20] {
        let bits = (self.length as u64 * 8).to_be_bytes();
        let zeros = (2 * BLOCK - 1 - bits.len() - self.length % BLOCK) % BLOCK;
        self.update(&[0x80]);
        self.update(&[0; BLOCK][..zeros]);
        self.update(&bits);
        let mut digest = [0; 20];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

impl SmallSha1 {
    #[inline(never)]
    fn compress(&mut self) {
        // The last sixteen words of the schedule, word t at t % 16.
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(self.block.chunks_exact(4)) {
            *word = bytes.iter().fold(0, |word, &byte| word << 8 | u32::from(byte));
        }
        let mut sums = self.state;
        rounds(&mut sums, &mut words, 0, 0x5A82_7999, |b, c, d| d ^ (b & (c ^ d)));
        rounds(&mut sums, &mut words, 20, 0x6ED9_EBA1, |b, c, d| b ^ c ^ d);
        rounds(&mut sums, &mut words, 40, 0x8F1B_BCDC, |b, c, d| (b & c) | (d & (b | c)));
        rounds(&mut sums, &mut words, 60, 0xCA62_C1D6, |b, c, d| b ^ c ^ d);
        for (state, word) in self.state.iter_mut().zip(sums) {
            *state = state.wrapping_add(word);
        }
    }
}

/// Twenty rounds from round `first` on.
#[inline]
fn rounds(
    sums: &mut [u32; 5],
    words: &mut [u32; 16],
    first: usize,
    constant: u32,
    choose: impl Fn(u32, u32, u32) -> u32,
) {
    let [mut a, mut b, mut c, mut d, mut e] = *sums;
    for t in first..first + 20 {
        let word = words[t % 16];
        let next = word ^ words[(t + 2) % 16] ^ words[(t + 8) % 16] ^ words[(t + 13) % 16];
        words[t % 16] = next.rotate_left(1);
        let sum = a
            .rotate_left(5)
            .wrapping_add(choose(b, c, d))
            .wrapping_add(e)
            .wrapping_add(constant)
            .wrapping_add(word);
        (a, b, c, d, e) = (sum, a, b.rotate_left(30), c, d);
    }
    *sums = [a, b, c, d, e];
}
