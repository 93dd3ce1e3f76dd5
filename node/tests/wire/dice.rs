//! Draws that follow from a seed.

use std::time::Duration;

use quorate_node::sources::Sources;
use tokio::time::Instant;

/// One stream of draws.
#[derive(Debug)]
pub(crate) struct Dice(Sources);

impl Dice {
    /// Streams of other purposes draw other numbers from the same seed.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(Sources::replay(
            seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose,
            Instant::now(),
        ))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0.number() % bound.max(1)
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high - low + 1)
    }

    /// Milliseconds from `low` to `high`.
    pub(crate) fn ms(&mut self, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.between(low, high))
    }

    /// True so often out of a thousand.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.below(from.len() as u64);
        from[usize::try_from(at).unwrap()]
    }
}
