//! Scenarios walked on real replicas over a perfect network, named after their lines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    clippy::wildcard_enum_match_arm
)]

mod behind;
mod catching_up;
mod cutting;
mod denial;
mod digests;
mod dropping;
mod expiry;
mod folding;
mod metadata;
mod old_storage;
#[cfg(feature = "planted")]
mod planted;
mod ranges;
mod rebuilding;
#[cfg(feature = "planted")]
mod rebuilding_planted;
mod requests;
mod restoring;
#[cfg(feature = "planted")]
mod restoring_planted;
mod retries;
mod scrubbing;
mod sealing;
mod unreadable;
mod versions;
mod void_deletes;
mod walk;

use quorate_protocol::options::Count;
use quorate_ring::NodeId;
use walk::{SIBLINGS, Walk, a_get, values};

const KEY: &str = "a key";

fn primaries(walk: &Walk) -> Vec<NodeId> {
    walk.preference(SIBLINGS, KEY).primaries
}

fn fallbacks(walk: &Walk) -> Vec<NodeId> {
    walk.preference(SIBLINGS, KEY).fallbacks
}

fn read_r(walk: &mut Walk, at: NodeId, r: u8) -> Result<Vec<String>, quorate_protocol::WireError> {
    let mut get = a_get(KEY);
    get.options.r = Some(Count::Exactly(r));
    walk.get(at, get).map(|got| values(&got))
}
