//! What goes on in the background: how much of it, and how often.

use quorate_core::Timing;
use serde::Deserialize;

use super::{Config, Problem};

/// More no disk gives.
const SCRUB_RATE_MB_MAX: u32 = 10_000;
/// More no network gives.
const HANDOFF_RATE_MB_MAX: u32 = 10_000;
/// A minute: no client waits for longer.
const HANDOFF_LATENCY_MS_MAX: u32 = 60_000;
/// Ten years.
const SCRUB_MINUTES_MAX: u32 = 5_256_000;
/// As much as a small node has memory for what must be read at its start.
const DOT_LOG_MB_MAX: u32 = 4096;

/// How stored data is read through in the background, to find what was lost or damaged before anybody
/// asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scrub {
    /// At most so much is read, MiB per second and shard.
    pub rate_mb: u32,
    /// Each replica is read through so often, minutes.
    pub every_minutes: u32,
    /// Nothing is read but what is suspected.
    pub paused: bool,
}

impl Default for Scrub {
    fn default() -> Self {
        Self {
            rate_mb: 8,
            every_minutes: 7 * 24 * 60,
            paused: false,
        }
    }
}

impl Scrub {
    pub(super) fn check(&self) -> Result<(), Problem> {
        let within = |key, value: u32, most: u32| {
            let wrong = || (key, format!("= {value} is not from 1 to {most}"));
            (1..=most).contains(&value).then_some(()).ok_or_else(wrong)
        };
        within("scrub.rate_mb", self.rate_mb, SCRUB_RATE_MB_MAX)?;
        within("scrub.every_minutes", self.every_minutes, SCRUB_MINUTES_MAX)
    }
}

/// How fast copies travel to new places, and to what lost something, and hints to those who were away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Handoff {
    /// At most so much is taken in, and so much handed out, MiB per second.
    pub rate_mb: u32,
    /// It slows down while one request of twenty takes longer, milliseconds; 0: than half as much again as while nothing
    /// travels.
    pub latency_ms: u32,
}

impl Default for Handoff {
    fn default() -> Self {
        Self {
            rate_mb: 64,
            latency_ms: 0,
        }
    }
}

impl Handoff {
    pub(super) fn check(&self) -> Result<(), Problem> {
        if !(1..=HANDOFF_RATE_MB_MAX).contains(&self.rate_mb) {
            let problem = format!("= {} is not from 1 to {HANDOFF_RATE_MB_MAX}", self.rate_mb);
            return Err(("handoff.rate_mb", problem));
        }
        if self.latency_ms > HANDOFF_LATENCY_MS_MAX {
            let problem = format!("= {} is above {HANDOFF_LATENCY_MS_MAX}", self.latency_ms);
            return Err(("handoff.latency_ms", problem));
        }
        Ok(())
    }
}

pub(super) const fn default_dot_log_mb() -> u32 {
    32
}

pub(super) fn check_dot_log(mb: u32) -> Result<(), Problem> {
    let wrong = || {
        let problem = format!("= {mb} is not from 1 to {DOT_LOG_MB_MAX}");
        ("dot_log_mb", problem)
    };
    (1..=DOT_LOG_MB_MAX)
        .contains(&mb)
        .then_some(())
        .ok_or_else(wrong)
}

impl Config {
    /// The replica's waiting times and bounds with this configuration.
    #[must_use]
    pub fn timing(&self) -> Timing {
        let rate = u64::from(self.scrub.rate_mb) << 20;
        let handoff = u64::from(self.handoff.rate_mb) << 20;
        Timing {
            scrub_bytes_per_s: if self.scrub.paused { 0 } else { rate },
            // Every shard has its part.
            handoff_bytes_per_s: handoff.div_ceil(u64::from(self.shards.max(1))),
            handoff_latency_us: u64::from(self.handoff.latency_ms) * 1000,
            scrub_every_us: u64::from(self.scrub.every_minutes) * 60_000_000,
            log_bytes_max: u64::from(self.dot_log_mb) << 20,
            ..Timing::default()
        }
    }
}
