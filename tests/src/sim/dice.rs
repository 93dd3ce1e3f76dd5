//! All chance of a run, drawn from its seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers. Streams with different labels are independent, so that one more draw
/// in one part of the simulator does not change the others.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of this label under this seed.
    #[must_use]
    pub fn new(seed: u64, label: &str) -> Self {
        let mut bytes = [0; 32];
        let (high, low) = bytes.split_at_mut(8);
        high.copy_from_slice(&seed.to_be_bytes());
        let label = xxhash_rust::xxh3::xxh3_64(label.as_bytes());
        low[..8].copy_from_slice(&label.to_be_bytes());
        Self(ChaCha8Rng::from_seed(bytes))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 32 random bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for part in bytes.chunks_exact_mut(8) {
            part.copy_from_slice(&self.bits().to_be_bytes());
        }
        bytes
    }

    /// A number below `bound`, which must not be 0. Slightly biased for huge bounds, which no run has.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in so many of a thousand cases.
    pub fn chance(&mut self, permille: u32) -> bool {
        self.below(1000) < u64::from(permille)
    }

    /// An index into something of this length, which must not be empty.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// One of these, or `None` if there are none.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let index = self.index(from.len());
        from.get(index)
    }

    /// A time with this mean, exponentially distributed and cut off at eight means.
    pub fn exponential(&mut self, mean: u64) -> u64 {
        // A thousandth is fine enough for delays; the logarithm comes from a table of halves:
        // each coin that falls on heads adds ln 2 of a mean.
        let heads = u64::from(self.bits().trailing_ones().min(11));
        let within = self.below(1000);
        (mean * 693 * heads + mean * 693 * within / 1000) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_and_label_give_one_stream() {
        let mut one = Dice::new(7, "network");
        let mut same = Dice::new(7, "network");
        let mut other = Dice::new(7, "disks");
        let draws: Vec<u64> = (0..8).map(|_| one.bits()).collect();
        assert_eq!(draws, (0..8).map(|_| same.bits()).collect::<Vec<_>>());
        assert_ne!(draws, (0..8).map(|_| other.bits()).collect::<Vec<_>>());
    }

    #[test]
    fn an_exponential_time_has_about_its_mean() {
        let mut dice = Dice::new(1, "mean");
        let sum: u64 = (0..10_000).map(|_| dice.exponential(1000)).sum();
        assert!((900..1200).contains(&(sum / 10_000)), "{}", sum / 10_000);
    }
}
