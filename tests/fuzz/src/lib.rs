//! Choices for tests with hostile inputs. All follow from a seed, so that a failure can be
//! repeated.
//!
//! `FUZZ_INPUTS` is the number of inputs and `FUZZ_SEED` the seed (1 when not set); `make fuzz` runs
//! ten million of each test, optimised and with arithmetic still checked.
//!
//! ```
//! let (inputs, mut random) = fuzz::begin(1000);
//! for _ in 0..inputs {
//!     let bytes = random.bytes(40);
//!     assert!(bytes.len() < 40);
//! }
//! ```

use fastrand::Rng;

/// A source of choices.
#[derive(Clone, Debug)]
pub struct Random {
    rng: Rng,
    telling: &'static [u8],
}

/// How many inputs to try (`usual` unless the environment says otherwise), and what chooses them.
///
/// # Panics
/// When the environment has something else than a number.
#[must_use]
pub fn begin(usual: u64) -> (u64, Random) {
    (setting("FUZZ_INPUTS", usual), Random::new(setting("FUZZ_SEED", 1)))
}

fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name)
        .map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

impl Random {
    /// The choices of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), telling: &[] }
    }

    /// The same source, with every other byte one of these, which mean something to what is tested.
    #[must_use]
    pub fn with_telling(self, telling: &'static [u8]) -> Self {
        Self { telling, ..self }
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.rng.u64(..)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.rng.usize(..limit)
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        if !self.telling.is_empty() && self.rng.bool() {
            return self.telling[self.rng.usize(..self.telling.len())];
        }
        self.rng.u8(..)
    }

    /// `N` bytes, whatever is telling.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill(&mut bytes);
        bytes
    }

    /// Fewer bytes than `limit`, which is not 0.
    pub fn bytes(&mut self, limit: usize) -> Vec<u8> {
        let length = self.below(limit);
        (0..length).map(|_| self.byte()).collect()
    }
}
