//! The retry budget: retries must not turn a cluster's bad moment into a flood.
//!
//! Every request earns a tenth of a retry, and a second earns one whole while fewer than the
//! reserve are left. So in the long run at most one request in ten, and one a second beside, is a
//! retry, while a burst of losses, such as a node's death under load, is covered by what was earned
//! before.

use std::time::Duration;

use tokio::time::Instant;

/// Retries at hand from the start, and what time alone refills.
const RESERVE: u32 = 32;
/// The most that can be earned.
const MOST: u32 = 256;
const TENTHS: u32 = 10;

/// How many retries a client may still make.
#[derive(Debug)]
pub(crate) struct Budget {
    tenths: u32,
    refilled: Instant,
}

impl Budget {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            tenths: RESERVE * TENTHS,
            refilled: now,
        }
    }

    /// A request begins.
    pub(crate) fn earn(&mut self) {
        self.tenths = (self.tenths + 1).min(MOST * TENTHS);
    }

    /// Takes one retry, if one is left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let left = self.tenths.checked_sub(TENTHS);
        self.tenths = left.unwrap_or(self.tenths);
        left.is_some()
    }

    fn refill(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.refilled).as_secs();
        self.refilled += Duration::from_secs(seconds);
        if self.tenths < RESERVE * TENTHS {
            let earned = u32::try_from(seconds)
                .unwrap_or(u32::MAX)
                .saturating_mul(TENTHS);
            self.tenths = self.tenths.saturating_add(earned).min(RESERVE * TENTHS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(budget: &mut Budget, now: Instant) -> usize {
        (0..1000).take_while(|_| budget.take(now)).count()
    }

    #[test]
    fn an_idle_client_has_its_reserve_and_no_more() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        assert_eq!(taken(&mut budget, now), 32);
        assert_eq!(taken(&mut budget, now + Duration::from_millis(2900)), 2);
        assert_eq!(taken(&mut budget, now + Duration::from_secs(3600)), 32);
    }

    #[test]
    fn ten_requests_earn_a_retry_up_to_the_most() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        taken(&mut budget, now);
        (0..50).for_each(|_| budget.earn());
        assert_eq!(taken(&mut budget, now), 5);
        (0..100_000).for_each(|_| budget.earn());
        assert_eq!(taken(&mut budget, now), 256);
    }
}
