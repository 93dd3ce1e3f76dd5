//! A node's two clocks. The monotonic one starts anew with each process and runs a little fast or slow;
//! the wall clock does too, and can be set wrong.

use quorate_core::Now;

/// The wall clock at the start of every run, milliseconds since 1970.
pub(super) const WALL_START_MS: u64 = 1_700_000_000_000;

/// Both clocks of one node. Times of the world are `at_us`, microseconds since the run began.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// How much faster than the world it runs, millionths; negative: slower.
    pub drift_ppm: i64,
    /// How far the wall clock is off, milliseconds.
    pub skew_ms: i64,
    /// Whether the wall clock is held right by its neighbours, whatever its own pace is.
    pub disciplined: bool,
    /// When the process began.
    started_us: u64,
}

impl Clock {
    /// A process begins: its monotonic clock starts at 0.
    pub fn restart(&mut self, at_us: u64) {
        self.started_us = at_us;
    }

    /// What the node takes for the time.
    #[must_use]
    pub fn now(&self, at_us: u64) -> Now {
        let drifted = if self.disciplined {
            at_us
        } else {
            self.paced(at_us)
        };
        Now {
            mono_us: self.paced(at_us.saturating_sub(self.started_us)),
            wall_ms: (WALL_START_MS + drifted / 1000).saturating_add_signed(self.skew_ms),
        }
    }

    /// When the monotonic clock will show this.
    #[must_use]
    pub fn when(&self, mono_us: u64) -> u64 {
        let pace = u64::try_from(1_000_000 + self.drift_ppm).unwrap_or(1_000_000);
        // No run lasts for the eons in which this would overflow; "never" stays far away.
        let world_us = mono_us.saturating_mul(1_000_000).div_ceil(pace);
        self.started_us.saturating_add(world_us)
    }

    fn paced(&self, us: u64) -> u64 {
        let signed = i64::try_from(us).unwrap_or(i64::MAX);
        us.saturating_add_signed(signed.saturating_mul(self.drift_ppm) / 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_never_early_whatever_the_drift() {
        for drift_ppm in [-10_000, -1, 0, 3, 10_000] {
            let mut clock = Clock {
                drift_ppm,
                ..Clock::default()
            };
            clock.restart(5_000_000);
            for mono_us in [0, 1, 99_999, 60_000_000] {
                let at_us = clock.when(mono_us);
                assert!(clock.now(at_us).mono_us >= mono_us, "{drift_ppm} {mono_us}");
                assert!(clock.now(at_us).mono_us <= mono_us + 2);
            }
        }
    }

    #[test]
    fn a_fast_clock_gains_and_a_disciplined_one_does_not() {
        let mut clock = Clock {
            drift_ppm: 10_000,
            ..Clock::default()
        };
        let right_ms = Clock::default().now(100_000_000).wall_ms;
        assert_eq!(clock.now(100_000_000).wall_ms, right_ms + 1_000);
        clock.disciplined = true;
        assert_eq!(clock.now(100_000_000).wall_ms, right_ms);
    }
}
