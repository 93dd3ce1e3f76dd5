//! A fixed order that looks like none.

/// A sequence of numbers without visible pattern, the same for the same start on every machine.
///
/// SplitMix64 (Steele, Lea and Flood 2014). Spreads choices that are free; nothing relies on its
/// quality, and no answer is better or worse for another sequence.
pub(super) struct Scramble(u64);

impl Scramble {
    pub(super) const fn new(start: u64) -> Self {
        Self(start)
    }

    /// A number below `bound`, which is above 0 and below 2^32.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The upper half of the product of a 32-bit fraction and the bound: below the bound.
        usize::try_from(((mixed >> 32) * bound as u64) >> 32).unwrap_or(0)
    }

    /// Brings a slice into an order that depends on the start and its length.
    pub(super) fn shuffle<T>(&mut self, slice: &mut [T]) {
        for last in (1..slice.len()).rev() {
            slice.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut scramble = Scramble::new(7);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[scramble.below(5)] += 1;
        }
        assert!(seen.iter().all(|&times| times > 150), "{seen:?}");
    }

    #[test]
    fn a_shuffle_loses_nothing_and_depends_on_its_start() {
        let shuffled = |start| {
            let mut numbers: Vec<u32> = (0..50).collect();
            Scramble::new(start).shuffle(&mut numbers);
            numbers
        };
        assert_eq!(shuffled(1), shuffled(1));
        assert_ne!(shuffled(1), shuffled(2));
        let mut back = shuffled(1);
        back.sort_unstable();
        assert!(back.into_iter().eq(0..50));
    }
}
