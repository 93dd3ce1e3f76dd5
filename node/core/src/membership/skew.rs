//! How far a peer's wall clock stands from ours.

use quorate_protocol::limits::CLOCK_AHEAD_MS_MAX;

/// An estimate of `peer's wall clock - ours`, and how wrong it can be at most.
///
/// The peer read its clock at some moment between our question and its answer's arrival, so the
/// middle of the two is off by half of the round trip at most (Cristian, "Probabilistic clock
/// synchronization", 1989). Of the last few answers the quickest one says the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skew {
    /// Milliseconds; positive where the peer's clock is ahead.
    pub ms: i64,
    /// The true value lies within so many milliseconds of it.
    pub error_ms: u64,
}

impl Skew {
    /// Whether the clocks certainly differ by more than what time stamps are allowed to.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.ms.unsigned_abs() > CLOCK_AHEAD_MS_MAX + self.error_ms
    }
}

/// Answers after which a quick one is forgotten: clocks drift and are set.
const ANSWERS_KEPT: usize = 8;

/// The last few measurements, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Estimator {
    recent: Vec<Skew>,
}

impl Estimator {
    /// Takes the clock that an answer carried, which arrived at `wall_ms` after `rtt_us`.
    pub(super) fn measure(&mut self, theirs_ms: u64, wall_ms: u64, rtt_us: u64) {
        let error_ms = rtt_us.div_ceil(2000);
        let middle = wall_ms.saturating_sub(error_ms);
        let difference = i128::from(theirs_ms) - i128::from(middle);
        let ms =
            i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX });
        if self.recent.len() == ANSWERS_KEPT {
            self.recent.remove(0);
        }
        self.recent.push(Skew { ms, error_ms });
    }

    pub(super) fn best(&self) -> Option<Skew> {
        self.recent.iter().min_by_key(|skew| skew.error_ms).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_of_the_recent_answers_decides() {
        let mut estimator = Estimator::default();
        assert_eq!(estimator.best(), None);
        estimator.measure(10_000, 10_000, 600_000);
        assert_eq!(
            estimator.best(),
            Some(Skew {
                ms: 300,
                error_ms: 300
            })
        );
        estimator.measure(10_000, 10_010, 2000);
        assert_eq!(
            estimator.best(),
            Some(Skew {
                ms: -9,
                error_ms: 1
            })
        );
        for _ in 0..ANSWERS_KEPT {
            estimator.measure(15_000, 10_050, 100_000);
        }
        let skew = estimator.best().unwrap();
        assert_eq!(
            skew,
            Skew {
                ms: 5000,
                error_ms: 50
            }
        );
        assert!(skew.is_off());
    }

    #[test]
    fn absurd_clocks_are_measured_without_overflow() {
        let mut estimator = Estimator::default();
        estimator.measure(u64::MAX, 0, u64::MAX);
        assert_eq!(estimator.best().unwrap().ms, i64::MAX);
        estimator.measure(0, u64::MAX, 0);
        assert!(estimator.best().unwrap().is_off());
    }

    #[test]
    fn a_difference_within_the_error_of_measurement_is_no_alarm() {
        assert!(
            !Skew {
                ms: 1200,
                error_ms: 300
            }
            .is_off()
        );
        assert!(
            Skew {
                ms: -1400,
                error_ms: 300
            }
            .is_off()
        );
    }
}
