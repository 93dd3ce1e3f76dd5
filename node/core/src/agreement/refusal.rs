//! Why a bucket does not come into force, in words and facts.

use quorate_protocol::limits::BUCKETS_MAX;
use quorate_protocol::map::{Bucket, BucketProps, ClusterMap};
use quorate_protocol::options::Count;
use quorate_protocol::{ErrorCode, WireError};
use quorate_ring::NodeId;

/// When a refusal may be gone by itself: about the time in which peers are noticed.
const RETRY_MS: u32 = 1000;

/// The votes of these members are missing.
pub(super) fn missing(map: &ClusterMap, name: &str, nodes: Vec<NodeId>) -> WireError {
    let people = |node: &NodeId| {
        map.member(*node)
            .map_or_else(|| node.to_string(), |member| member.name.clone())
    };
    let list = nodes.iter().map(people).collect::<Vec<_>>().join(", ");
    WireError::new(
        ErrorCode::Unavailable,
        format!(
            "bucket {name:?} needs the yes of every member, and there is no answer from {list}: \
             ask again with the same definition when all members are up"
        ),
    )
    .naming(nodes)
    .retry_after(RETRY_MS)
}

/// Another definition is in force.
pub(super) fn differs_in_force(current: &Bucket) -> WireError {
    WireError::new(
        ErrorCode::Conflict,
        format!(
            "bucket {:?} exists with another definition (revision {}): {}",
            current.name,
            current.revision,
            describe(&current.props)
        ),
    )
}

/// Another definition was asked for and is not in force yet.
pub(super) fn differs_pending(kept: &Bucket, asked: &BucketProps) -> WireError {
    WireError::new(
        ErrorCode::Conflict,
        format!(
            "another definition of bucket {:?} waits for the yes of all members: waiting is {}; asked for is {}. \
             Ask for the waiting one to complete it, or choose another name",
            kept.name,
            describe(&kept.props),
            describe(asked)
        ),
    )
}

/// A change of what cannot change.
pub(super) fn cannot_change(current: &Bucket, next: &Bucket) -> WireError {
    WireError::new(
        ErrorCode::Conflict,
        format!(
            "bucket {:?} exists with n={} and mode {}, asked for are n={} and mode {}: these never change",
            current.name,
            current.props.n,
            current.props.mode.name(),
            next.props.n,
            next.props.mode.name()
        ),
    )
}

/// This node has yet to learn what the definition builds on.
pub(super) fn behind(bucket: &Bucket) -> WireError {
    WireError::new(
        ErrorCode::Unavailable,
        format!(
            "revision {} of bucket {:?} builds on one that this node has yet to learn",
            bucket.revision, bucket.name
        ),
    )
    .retry_after(RETRY_MS)
}

/// The cluster has as many buckets as it can have.
pub(super) fn too_many() -> WireError {
    WireError::new(
        ErrorCode::Invalid,
        format!(
            "this cluster has {BUCKETS_MAX} buckets, the most there can be: put the data into an existing one"
        ),
    )
}

/// A random id was drawn twice.
pub(super) fn id_in_use(bucket: &Bucket) -> WireError {
    WireError::new(
        ErrorCode::Invalid,
        format!(
            "the id {} drawn for bucket {:?} is in use: ask again",
            bucket.id, bucket.name
        ),
    )
}

fn describe(props: &BucketProps) -> String {
    let defaults = &props.defaults;
    let optional =
        |count: Option<Count>| count.map_or_else(|| "0".to_owned(), |count| count.to_string());
    format!(
        "n={} mode={} r={} pr={} w={} pw={} dw={} notfound_ok={} basic_quorum={} sloppy={} ttl_ms={}",
        props.n,
        props.mode.name(),
        defaults.r,
        optional(defaults.pr),
        defaults.w,
        optional(defaults.pw),
        optional(defaults.dw),
        defaults.notfound_ok,
        defaults.basic_quorum,
        defaults.sloppy,
        defaults.ttl_ms
    )
}
