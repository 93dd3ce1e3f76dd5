//! Log lines about strangers, bounded: whoever can send packets can't fill the log.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const GAP: Duration = Duration::from_secs(1);

/// At most one line a second, with the number of those left out.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    left_out: u64,
}

impl Complaints {
    /// A connection attempt from `remote` was refused or failed.
    pub(super) fn refused(&self, remote: SocketAddr, reason: &dyn Display) {
        if let Some(left_out) = self.turn(Instant::now()) {
            tracing::warn!(%remote, left_out, "connection refused: {reason}");
        }
    }

    fn turn(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state
            .last
            .is_some_and(|last| now.duration_since(last) < GAP)
        {
            state.left_out += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_line_and_the_next_says_how_many_were_left_out() {
        let (complaints, start) = (Complaints::default(), Instant::now());
        assert_eq!(complaints.turn(start), Some(0));
        assert_eq!(complaints.turn(start), None);
        assert_eq!(complaints.turn(start + GAP / 2), None);
        assert_eq!(complaints.turn(start + GAP), Some(2));
    }
}
