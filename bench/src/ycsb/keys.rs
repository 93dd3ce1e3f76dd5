//! Which key a request takes.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use xxhash_rust::xxh3::xxh3_64;

/// How unevenly keys are asked for, as in YCSB: of a million keys the first takes one request in fifteen.
const SKEW: f64 = 0.99;

/// Which keys are asked for how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// All equally.
    Uniform,
    /// Few often and most seldom, the popular ones anywhere among the others.
    Zipfian,
    /// The newest most often.
    Latest,
}

impl Distribution {
    /// For people and files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipfian => "zipfian",
            Self::Latest => "latest",
        }
    }
}

/// Draws ranks, the lowest most often, without a table: Gray et al., "Quickly Generating Billion-Record Synthetic
/// Databases", SIGMOD 1994, as YCSB's `ZipfianGenerator` does it.
#[derive(Clone, Copy, Debug)]
struct Zipf {
    count: f64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    fn new(count: u64) -> Self {
        let zeta_of = |count: u64| {
            (1..=count)
                .map(|rank| (rank as f64).powf(-SKEW))
                .sum::<f64>()
        };
        let (zeta, zeta_of_two) = (zeta_of(count), zeta_of(2));
        let tail = 1.0 - (2.0 / count as f64).powf(1.0 - SKEW);
        Self {
            count: count as f64,
            zeta,
            eta: tail / (1.0 - zeta_of_two / zeta),
        }
    }

    /// The rank at this place, which is drawn evenly from 0 to 1. The first two are exact, the rest nearly.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // below `count`, and not negative
    fn rank(&self, place: f64) -> u64 {
        let weight = place * self.zeta;
        if weight < 1.0 {
            return 0;
        }
        if weight < 1.0 + 0.5_f64.powf(SKEW) {
            return 1;
        }
        let rank = self.count * (self.eta * place - self.eta + 1.0).powf(1.0 / (1.0 - SKEW));
        rank.clamp(0.0, self.count - 1.0) as u64
    }
}

/// Draws keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chooser {
    distribution: Distribution,
    keys: u64,
    zipf: Zipf,
}

impl Chooser {
    /// Of `0..keys` at first.
    pub(super) fn new(distribution: Distribution, keys: u64) -> Self {
        let keys = keys.max(1);
        Self {
            distribution,
            keys,
            zipf: Zipf::new(keys),
        }
    }

    /// One of `0..written`, which are at least as many as at first. Ranks stay those of the keys there were at first: the sum
    /// behind them grows too slowly for keys of one run to matter.
    pub(super) fn draw(&self, dice: &mut ChaCha8Rng, written: u64) -> u64 {
        let written = written.max(self.keys);
        let drawn = dice.next_u64();
        match self.distribution {
            Distribution::Uniform => drawn % written,
            // Popular ranks are spread over all keys by a hash, as YCSB's `ScrambledZipfianGenerator` does.
            Distribution::Zipfian => xxh3_64(&self.zipf.rank(part(drawn)).to_be_bytes()) % written,
            Distribution::Latest => written - 1 - self.zipf.rank(part(drawn)),
        }
    }
}

/// From 0 to 1, without 1: as many bits as fit.
fn part(drawn: u64) -> f64 {
    (drawn >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    const KEYS: u64 = 1_000;
    const DRAWN: u32 = 200_000;

    /// Shares of all keys.
    fn shares(distribution: Distribution, written: u64) -> Vec<f64> {
        let (chooser, mut dice) = (
            Chooser::new(distribution, KEYS),
            ChaCha8Rng::seed_from_u64(7),
        );
        let mut shares = vec![0.0; usize::try_from(written).unwrap_or(0)];
        for _ in 0..DRAWN {
            let key = usize::try_from(chooser.draw(&mut dice, written)).unwrap_or(usize::MAX);
            shares[key] += 1.0 / f64::from(DRAWN);
        }
        shares
    }

    fn close(one: f64, other: f64) -> bool {
        (one / other - 1.0).abs() < 0.1
    }

    #[test]
    fn uniform_keys_are_drawn_equally() {
        let shares = shares(Distribution::Uniform, KEYS);
        assert!(
            shares
                .iter()
                .all(|share| (share * 1_000.0 - 1.0).abs() < 0.5)
        );
    }

    #[test]
    fn newest_keys_are_drawn_as_often_as_zipf_says() {
        let shares = shares(Distribution::Latest, KEYS + 50);
        let zeta: f64 = (1..=KEYS).map(|rank| (rank as f64).powf(-SKEW)).sum();
        let newest: Vec<f64> = shares.iter().rev().copied().collect();
        assert!(close(newest[0], 1.0 / zeta), "{}", newest[0]);
        assert!(close(newest[1], 0.5_f64.powf(SKEW) / zeta));
        let exact: f64 = (1..=100)
            .map(|rank| f64::from(rank).powf(-SKEW) / zeta)
            .sum();
        assert!(close(newest[..100].iter().sum(), exact));
    }

    #[test]
    fn popular_keys_lie_among_the_others() {
        let shares = shares(Distribution::Zipfian, KEYS);
        let most = shares.iter().copied().fold(0.0, f64::max);
        assert!(most > 0.1 && shares[0] < most);
    }

    #[test]
    fn one_or_two_keys_are_enough_for_all_distributions() {
        let mut dice = ChaCha8Rng::seed_from_u64(7);
        for distribution in [
            Distribution::Uniform,
            Distribution::Zipfian,
            Distribution::Latest,
        ] {
            for keys in [1, 2, 3] {
                let chooser = Chooser::new(distribution, keys);
                assert!((0..1_000).all(|_| chooser.draw(&mut dice, keys) < keys));
            }
        }
    }
}
