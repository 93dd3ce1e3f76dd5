//! Every waiting time and pace of the replica, with its reason. Times in microseconds.

/// Waiting times and paces. The defaults are those of production.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// A write whose quorum has not come by then asks fallbacks for the silent primaries; a read
    /// likewise. Far above a healthy round trip, far below a client's patience.
    pub hedge_us: u64,
    /// After the answer, how long late replies are awaited for read repair.
    pub linger_us: u64,
    /// Between two tries at replicas that were catching up.
    pub retry_us: u64,
    /// How long other replicas are asked about a retried request id before it counts as unseen.
    pub find_us: u64,
    /// Background tick: anti-entropy, handoff and collection look for work so often.
    pub tick_us: u64,
    /// Clocks are sent to a peer at most so often.
    pub clocks_us: u64,
    /// Clocks that did not change are sent once more after this time: the last frame may be lost.
    pub clocks_again_us: u64,
    /// A missing dot must be this old before it is asked for: writes in flight are not missing.
    pub missing_us: u64,
    /// An unanswered question or hint batch is repeated after this time.
    pub resend_us: u64,
    /// How long a peer that has not answered since this node started is presumed to be there.
    pub presume_us: u64,
    /// Hinted handoff sends at most so many bytes a second to one target, and copies that travel bring as many at most.
    pub handoff_bytes_per_s: u64,
    /// They slow down while one request of twenty takes longer; 0: than it does while nothing travels.
    pub handoff_latency_us: u64,
    /// Scrubbing reads at most so many bytes a second; 0: it does not read but what is suspected.
    pub scrub_bytes_per_s: u64,
    /// A vnode is scrubbed again so long after it was.
    pub scrub_every_us: u64,
    /// The dot log of one vnode is cut where it grows beyond so many bytes: a member that was away for longer is filled by
    /// comparing ranges of keys.
    pub log_bytes_max: u64,
    /// With so many retired actors in the clock of one vnode the next generation of actors begins, and they are folded:
    /// some 2 KiB of clock, against a version of the cluster map.
    pub fold_actors: usize,
    /// Requests in flight on one replica beyond which new ones are refused as overloaded.
    pub requests_max: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            hedge_us: 300_000,
            linger_us: 1_000_000,
            retry_us: 50_000,
            find_us: 1_000_000,
            tick_us: 100_000,
            clocks_us: 1_000_000,
            clocks_again_us: 10_000_000,
            missing_us: 500_000,
            resend_us: 3_000_000,
            presume_us: 1_500_000,
            handoff_bytes_per_s: 32 * 1024 * 1024,
            handoff_latency_us: 0,
            scrub_bytes_per_s: 8 * 1024 * 1024,
            scrub_every_us: 7 * 24 * 3_600_000_000,
            log_bytes_max: 32 * 1024 * 1024,
            fold_actors: 64,
            requests_max: 20_000,
        }
    }
}
