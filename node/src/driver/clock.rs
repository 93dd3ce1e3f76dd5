//! The time of events, as the core wants it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use quorate_core::effects::Now;
use tokio::time::Instant;

/// A monotonic clock with an arbitrary start, beside the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Clock {
    /// The time.
    #[must_use]
    pub(super) fn now(&self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        // 64 bits last for half a million years of microseconds.
        Now {
            mono_us: u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX),
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// When [`Now::mono_us`] will be `mono_us`; a day from now at the latest.
    #[must_use]
    pub(super) fn instant(&self, mono_us: u64) -> Instant {
        let day = Duration::from_secs(86_400);
        let wait = Duration::from_micros(mono_us).saturating_sub(self.start.elapsed());
        Instant::now() + wait.min(day)
    }

    /// Since the clock was made, milliseconds.
    #[must_use]
    pub(super) fn uptime_ms(&self) -> u64 {
        self.now().mono_us / 1000
    }
}
