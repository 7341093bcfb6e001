//! The random source, good and bad.

/// How the random source behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// No value tells the next.
    #[default]
    Good,
    /// Good, but after each reset it gives the same values as after the one before.
    Repeats,
    /// The same value again and again, until the program has reset the chip.
    FailsOnce,
}

/// The random source.
#[derive(Clone, Debug)]
pub struct Noise {
    kind: Kind,
    seed: u64,
    state: u64,
}

impl Noise {
    /// A good one that starts with `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { kind: Kind::Good, seed: seed | 1, state: seed | 1 }
    }

    /// Makes it behave so.
    pub fn set_kind(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// The chip is reset.
    pub fn reset(&mut self) {
        if self.kind == Kind::Repeats {
            self.state = self.seed;
        }
    }

    /// The program has asked for a reset.
    pub fn reset_by_program(&mut self) {
        if self.kind == Kind::FailsOnce {
            self.kind = Kind::Good;
        }
    }

    /// xorshift64*: not cryptographic, and neither is it meant to look so.
    pub fn next_value(&mut self) -> u32 {
        if self.kind == Kind::FailsOnce {
            return 0x5A5A_5A5A;
        }
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(noise: &mut Noise) -> [u32; 8] {
        std::array::from_fn(|_| noise.next_value())
    }

    #[test]
    fn each_kind_does_what_it_says() {
        let mut noise = Noise::new(7);
        let first = values(&mut noise);
        noise.reset();
        assert_ne!(values(&mut noise), first);

        let mut noise = Noise::new(7);
        noise.set_kind(Kind::Repeats);
        for _ in 0..2 {
            noise.reset();
            assert_eq!(values(&mut noise), first);
        }

        noise.set_kind(Kind::FailsOnce);
        for _ in 0..2 {
            noise.reset();
            assert_eq!(values(&mut noise), [0x5A5A_5A5A; 8]);
        }
        noise.reset_by_program();
        assert_ne!(values(&mut noise), [0x5A5A_5A5A; 8]);
    }
}
