//! Distinct numbers by chance.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Draws `count` distinct numbers below `total`, in the order of chance; all of them if there are no more.
pub(crate) fn draw(total: usize, count: usize, seed: u64) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut numbers: Vec<usize> = (0..total).collect();
    let count = count.min(total);
    for place in 0..count {
        // The bias of a remainder of 64 random bits is of no account here.
        let rest = (total - place) as u64;
        let drawn = usize::try_from(random.next_u64() % rest).unwrap_or(0);
        numbers.swap(place, place + drawn);
    }
    numbers.truncate(count);
    numbers
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn as_many_distinct_numbers_are_drawn_as_asked_and_there_are() {
        for count in [0, 1, 100, 1_000, 5_000] {
            let drawn = draw(1_000, count, 7);
            let distinct: BTreeSet<usize> = drawn.iter().copied().collect();
            assert_eq!(
                (drawn.len(), distinct.len()),
                (count.min(1_000), count.min(1_000))
            );
            assert!(drawn.iter().all(|&number| number < 1_000));
        }
    }

    #[test]
    fn another_seed_draws_others() {
        assert_eq!(draw(1_000, 10, 7), draw(1_000, 10, 7));
        assert_ne!(draw(1_000, 10, 7), draw(1_000, 10, 8));
    }
}
