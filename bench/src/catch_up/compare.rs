//! The other ways to make the same two replicas equal: sending everything, and a hash tree.

use std::time::Duration;

use quorate_protocol::codec::DecodeError;
use rustix::time::{ClockId, clock_gettime};

use crate::dataset::Dataset;
use crate::merkle::exchange;

/// What a way costs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Bytes sent, in both directions.
    pub bytes: u64,
    /// CPU time of both sides, without storage and network.
    pub cpu: Duration,
}

/// Both ways on the same data.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    /// Every object is sent, changed or not.
    pub everything: Cost,
    /// Differences are found by comparing trees, and their objects sent; the trees are there already.
    pub tree: Cost,
    /// Bytes of it that are hashes.
    pub hash_bytes: u64,
    /// Messages of hashes.
    pub messages: u64,
    /// Leaves that differed.
    pub leaves: u64,
    /// Objects that differed.
    pub found: u64,
    /// CPU time of building one side's tree from objects in memory.
    pub build: Duration,
}

/// Brings `before`, the replica that was away, to what `after` has.
///
/// # Errors
/// What was written is not what is read.
pub fn compare(before: &Dataset, after: &Dataset, depth: u32) -> Result<Compared, DecodeError> {
    let (bytes, cpu) = timed(|| after.send_all());
    let everything = Cost { bytes: bytes?, cpu };
    let ((mine, theirs), both) = timed(|| (before.tree(depth), after.tree(depth)));
    let (found, searching) = timed(|| exchange(&mine, &theirs));
    let theirs = found.differences.iter().filter_map(|one| one.theirs);
    let (objects, sending) = timed(|| after.send_some(theirs));
    let only_mine = found.differences.iter().filter(|one| one.theirs.is_none());
    let (back, returning) = timed(|| before.send_some(only_mine.filter_map(|one| one.mine)));
    Ok(Compared {
        everything,
        tree: Cost {
            bytes: found.traffic.bytes() + objects? + back?,
            cpu: searching + sending + returning,
        },
        hash_bytes: found.traffic.bytes(),
        messages: found.traffic.messages,
        leaves: found.leaves,
        found: found.differences.len() as u64,
        build: both / 2,
    })
}

/// CPU time of this thread.
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = clock_gettime(ClockId::ThreadCPUTime);
    let done = work();
    let after = clock_gettime(ClockId::ThreadCPUTime);
    // The clock does not go back; a negative number would count as nothing.
    let nanos = |time: rustix::time::Timespec| {
        Duration::new(
            u64::try_from(time.tv_sec).unwrap_or(0),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    };
    (done, nanos(after).saturating_sub(nanos(before)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::catch_up::choose::choose;
    use crate::dataset::Last;
    use crate::merkle::depth_for;
    use crate::workload::Workload;

    #[test]
    fn everything_costs_the_same_and_the_tree_as_many_leaves_as_differ() {
        let (workload, lasts) = (Workload::new(7, 100), vec![Last::Put(0); 10_000]);
        let before = Dataset::new(&workload, lasts.iter().copied().map(Some));
        let depth = depth_for(10_000, 100);
        let compared = |count| {
            let changes = choose(&lasts, count, 1, 7);
            compare(&before, &before.changed(&workload, &changes), depth).unwrap()
        };
        let (none, one, all) = (compared(0), compared(1), compared(10_000));
        assert_eq!([none, one, all].map(|each| each.found), [0, 1, 10_000]);
        assert_eq!([none, one, all].map(|each| each.leaves), [0, 1, 128]);
        assert_eq!(none.everything.bytes, one.everything.bytes);
        assert!(none.tree.bytes < 100 && none.tree.bytes < one.tree.bytes);
        // With all keys changed the hashes come on top of all objects.
        assert!(all.tree.bytes > all.everything.bytes);
        assert_eq!(all.tree.bytes - all.hash_bytes, all.everything.bytes);
    }
}
