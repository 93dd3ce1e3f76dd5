//! How often, how patient: the constants of failure detection and how they stretch with size.

/// The times that failure detection works with, for a small cluster.
///
/// With more peers than [`Timing::PEERS_UNSTRETCHED`] all but `pause_ms` grow in proportion, so that
/// one node sends at most `1000 / interval_ms` heartbeats a second for each of so many peers,
/// however many there are: 400 with the defaults, and 1,000 while none of the peers answers. It
/// answers as many as it is sent, which the same bound at the other nodes limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats to a peer that answers, milliseconds.
    pub interval_ms: u32,
    /// Between two heartbeats to a peer that missed one, milliseconds.
    pub fast_ms: u32,
    /// A peer is down when a heartbeat, and all that were sent after it, stayed unanswered so long.
    pub down_after_ms: u32,
    /// A tick that comes later than this means that this process did not run (it was stopped, the
    /// machine slept): what was not heard meanwhile says nothing about the peers.
    pub pause_ms: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            interval_ms: 250,
            fast_ms: 100,
            down_after_ms: 1200,
            pause_ms: 500,
        }
    }
}

impl Timing {
    /// Peers up to which the times are kept as they are.
    pub const PEERS_UNSTRETCHED: u64 = 100;

    pub(super) fn stretched(&self, peers: usize) -> Stretched {
        let peers = (peers as u64).max(Self::PEERS_UNSTRETCHED);
        let stretch = |ms: u32| u64::from(ms) * 1000 * peers / Self::PEERS_UNSTRETCHED;
        Stretched {
            interval_us: stretch(self.interval_ms),
            fast_us: stretch(self.fast_ms),
            down_after_us: stretch(self.down_after_ms),
            pause_us: u64::from(self.pause_ms) * 1000,
        }
    }
}

/// [`Timing`] for a known number of peers, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretched {
    pub(super) interval_us: u64,
    pub(super) fast_us: u64,
    pub(super) down_after_us: u64,
    pub(super) pause_us: u64,
}

/// Timers that fire up to so much late are on time: no driver does better under ordinary load.
pub(super) const TIMER_SLACK_US: u64 = 50_000;

/// Between two reports that a peer's buckets differ: time to exchange them.
pub(super) const MAP_TOLD_EVERY_US: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_sends_at_most_400_heartbeats_a_second_and_1000_when_nobody_answers() {
        let timing = Timing::default();
        for peers in [1, 4, 99, 100, 101, 1000, 4095] {
            let Stretched {
                interval_us,
                fast_us,
                ..
            } = timing.stretched(peers);
            assert!(
                peers as u64 * 1_000_000 / interval_us <= 400,
                "{peers} peers"
            );
            assert!(peers as u64 * 1_000_000 / fast_us <= 1000, "{peers} peers");
        }
    }

    #[test]
    fn a_hundred_peers_change_nothing() {
        let timing = Timing::default();
        assert_eq!(timing.stretched(1), timing.stretched(100));
        assert_eq!(timing.stretched(100).down_after_us, 1_200_000);
    }
}
