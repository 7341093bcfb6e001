//! AES's round keys (FIPS 197, section 5.2).

use crate::kernel;

/// Room for AES-256: 15 round keys of four words.
const WORDS: usize = 60;

#[derive(Clone)]
pub struct Schedule {
    pub keys: [u32; WORDS],
    pub rounds: u32,
}

impl Schedule {
    pub const EMPTY: Self = Self { keys: [0; WORDS], rounds: 0 };

    /// False unless the key has 16, 24 or 32 bytes.
    pub fn set(&mut self, key: &[u8]) -> bool {
        let (words, []) = key.as_chunks::<4>() else { return false };
        let size = words.len();
        if !matches!(size, 4 | 6 | 8) {
            return false;
        }
        let rounds = size + 6;
        let keys = &mut self.keys;
        for (to, word) in keys.iter_mut().zip(words) {
            *to = u32::from_le_bytes(*word);
        }
        let mut round_constant = 1;
        for i in size..4 * (rounds + 1) {
            let mut word = keys[i - 1];
            if i % size == 0 {
                word = kernel::substitute(word.rotate_right(8)) ^ round_constant;
                // Times x in AES's field.
                round_constant = (round_constant << 1) ^ ((round_constant >> 7) * 0x11B);
            } else if size == 8 && i % size == 4 {
                word = kernel::substitute(word);
            }
            keys[i] = keys[i - size] ^ word;
        }
        self.rounds = rounds as u32;
        true
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        wipe(&mut self.keys);
    }
}

/// Overwrites secrets, also where the compiler sees that nobody reads them again.
pub fn wipe(words: &mut [u32]) {
    words.fill(0);
    core::hint::black_box(words);
}
