//! What a node cannot compute: random numbers and the time of day.
//!
//! Both come from the system, or, in tests that run a whole cluster twice and compare, from a seed
//! and from the runtime's own clock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The time of day at which a replayed run begins, milliseconds since 1970: any moment will do.
const REPLAY_WALL_MS: u64 = 1_800_000_000_000;

/// The operating system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes: {0}")]
pub struct NoRandomness(String);

/// Where random numbers and the time of day come from. Clones share one source.
#[derive(Clone)]
pub struct Sources(Source);

#[derive(Clone)]
enum Source {
    System,
    Replay(Arc<Replay>),
}

struct Replay {
    key: [u8; blake3::KEY_LEN],
    drawn: AtomicU64,
    start: Instant,
}

impl Sources {
    /// The operating system's.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// The same numbers in the same order for the same seed, and a time of day that is measured from
    /// `start` by the runtime's clock. For tests only: whoever knows the seed knows all that is drawn.
    #[must_use]
    pub fn replay(seed: u64, start: Instant) -> Self {
        let key = blake3::derive_key("quorate 2026 replayed randomness", &seed.to_be_bytes());
        Self(Source::Replay(Arc::new(Replay {
            key,
            drawn: AtomicU64::new(0),
            start,
        })))
    }

    /// Fresh random bytes, at the start, when it can still be told that there are none.
    ///
    /// # Errors
    /// The system has none to give.
    pub fn try_seed(&self) -> Result<[u8; 32], NoRandomness> {
        match &self.0 {
            Source::System => {
                let mut bytes = [0; 32];
                getrandom::fill(&mut bytes).map_err(|error| NoRandomness(error.to_string()))?;
                Ok(bytes)
            }
            Source::Replay(replay) => Ok(replay.draw()),
        }
    }

    /// Fresh random bytes. Where the system has none to give the caller panics: nothing that must
    /// never repeat could be named any more.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        match &self.0 {
            Source::System => rand::random(),
            Source::Replay(replay) => replay.draw(),
        }
    }

    /// A fresh random number, as [`Self::seed`].
    #[must_use]
    pub fn number(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.seed();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        let since_1970 = match &self.0 {
            Source::System => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            Source::Replay(replay) => {
                Duration::from_millis(REPLAY_WALL_MS) + replay.start.elapsed()
            }
        };
        u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Replay {
    fn draw(&self) -> [u8; 32] {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        *blake3::keyed_hash(&self.key, &number.to_be_bytes()).as_bytes()
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::System => "Sources::system",
            Source::Replay(_) => "Sources::replay",
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_numbers_again_and_another_one_others() {
        let draw = |seed| {
            let sources = Sources::replay(seed, Instant::now());
            (
                sources.number(),
                sources.number(),
                sources.try_seed().unwrap(),
            )
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_ne!(draw(1).0, draw(1).1);
    }

    #[test]
    fn clones_of_a_replayed_source_never_draw_the_same_number() {
        let sources = Sources::replay(1, Instant::now());
        let clone = sources.clone();
        assert_ne!(sources.number(), clone.number());
    }
}
