//! The time of events, as the core wants it.

use std::time::Duration;

use quorate_core::effects::Now;
use tokio::time::Instant;

use crate::sources::Sources;

/// A monotonic clock with an arbitrary start, beside the wall clock.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    start: Instant,
    sources: Sources,
}

impl Clock {
    /// One that starts now.
    pub(super) fn new(sources: Sources) -> Self {
        Self {
            start: Instant::now(),
            sources,
        }
    }

    /// The time.
    #[must_use]
    pub(super) fn now(&self) -> Now {
        // 64 bits last for half a million years of microseconds.
        Now {
            mono_us: u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX),
            wall_ms: self.sources.wall_ms(),
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
