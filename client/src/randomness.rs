//! Where the client's random numbers come from.

use crate::error::Error;

/// The system's generator, or numbers that follow from a seed.
#[derive(Debug, Default)]
pub(crate) struct Randomness {
    state: Option<u64>,
}

impl Randomness {
    /// The same numbers for the same seed, by SplitMix64 (Steele, Lea, Flood: "Fast splittable
    /// pseudorandom number generators", 2014).
    #[cfg(any(test, feature = "replay"))]
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self { state: Some(seed) }
    }

    /// A number that was never drawn.
    pub(crate) fn draw(&mut self) -> Result<u64, Error> {
        let Some(state) = &mut self.state else {
            return getrandom::u64()
                .map_err(|error| Error::unavailable(format!("no random numbers: {error}")));
        };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(mixed ^ (mixed >> 31))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_numbers_again_and_the_system_never() {
        let draw = |mut randomness: Randomness| [(); 2].map(|()| randomness.draw().unwrap());
        assert_eq!(draw(Randomness::seeded(1)), draw(Randomness::seeded(1)));
        assert_ne!(draw(Randomness::seeded(1)), draw(Randomness::seeded(2)));
        assert_ne!(draw(Randomness::default()), draw(Randomness::default()));
    }
}
