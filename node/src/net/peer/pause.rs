//! Pauses between attempts: growing, bounded, and different on every node.

use std::time::Duration;

use super::super::bounds::{PAUSE_MAX, PAUSE_MIN};

/// Doubles from 50 ms to 2 s; each pause is drawn from the upper half of its bound.
#[derive(Debug)]
pub(super) struct Pause {
    bound: Duration,
    state: u64,
}

impl Pause {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            bound: PAUSE_MIN,
            state: seed,
        }
    }

    pub(super) const fn reset(&mut self) {
        self.bound = PAUSE_MIN;
    }

    pub(super) fn next(&mut self) -> Duration {
        let bound = self.bound;
        self.bound = PAUSE_MAX.min(bound * 2);
        let half = bound / 2;
        half + half.mul_f64(self.fraction())
    }

    /// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014),
    /// as a number from 0 to 1. Nothing but the spreading of pauses depends on it.
    fn fraction(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        f64::from(u32::try_from(mixed >> 32).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_start_anew_after_a_success() {
        let mut pause = Pause::new(1);
        let mut bound = PAUSE_MIN;
        for _ in 0..20 {
            let next = pause.next();
            assert!(next >= bound / 2 && next <= bound, "{next:?} of {bound:?}");
            bound = PAUSE_MAX.min(bound * 2);
        }
        pause.reset();
        assert!(pause.next() <= PAUSE_MIN);
    }

    #[test]
    fn other_seeds_pause_otherwise() {
        assert_ne!(Pause::new(1).next(), Pause::new(2).next());
    }
}
