//! Why the map does not change, in words and facts.

use quorate_protocol::limits::BUCKETS_MAX;
use quorate_protocol::map::{Bucket, BucketProps, ClusterMap};
use quorate_protocol::options::Count;
use quorate_protocol::{ErrorCode, WireError};
use quorate_ring::NodeId;

use crate::register::Refusal;

/// When a refusal may be gone by itself: about the time in which peers are noticed.
const RETRY_MS: u32 = 1000;

/// Fewer than a majority of the voters answer.
pub(super) fn no_majority(map: &ClusterMap, missing: &[NodeId]) -> WireError {
    let text = format!(
        "the cluster map changes with the votes of more than half of the voters, and there is no answer from {}: \
         nothing was changed, ask again when more of them are up",
        list(map, missing)
    );
    unavailable(text, missing)
}

/// Some voter has never run.
pub(super) fn not_founded(map: &ClusterMap, missing: &[NodeId]) -> WireError {
    let text = if missing.is_empty() {
        "the cluster is not complete yet: its members are about to learn of each other, ask again in a moment"
            .to_owned()
    } else {
        format!(
            "the cluster is not complete yet: every member must have run once before the cluster map can change. \
             Missing: {}",
            list(map, missing)
        )
    };
    unavailable(text, missing)
}

/// The lineage was given up here, and what follows it is not decided.
fn being_recovered(map: &ClusterMap, gone: &[NodeId]) -> WireError {
    let text = format!(
        "the cluster is being recovered without {}, and decides nothing else until that is done: \
         repeat that order",
        list(map, gone)
    );
    unavailable(text, gone)
}

/// A member that is called gone answers.
pub(super) fn gone_answers(map: &ClusterMap, alive: &[NodeId], by: NodeId) -> WireError {
    let text = format!(
        "{} is called gone and answers {}: the cluster is not recovered without a node that lives. \
         Nothing was decided. Stop it for good, or bring a majority back and remove it in the usual way",
        list(map, alive),
        list(map, &[by])
    );
    WireError::new(ErrorCode::Conflict, text).naming(alive.to_vec())
}

/// A member that is left does not answer.
pub(super) fn not_all_left(map: &ClusterMap, missing: &[NodeId]) -> WireError {
    let text = format!(
        "not recovered: every member that is not called gone must answer, and there is no answer from {}. \
         Start it and repeat the order, or call it gone, too, if it is",
        list(map, missing)
    );
    unavailable(text, missing)
}

/// What the register says, for a client.
pub(super) fn of_register(map: &ClusterMap, refusal: &Refusal) -> WireError {
    match refusal {
        Refusal::NoMajority { missing, .. } => no_majority(map, missing),
        Refusal::NotFounded { missing } => not_founded(map, missing),
        Refusal::InDoubt { missing, .. } => {
            let text = format!(
                "in doubt: the change of the cluster map may be made yet, there is no answer from {}: \
                 the same request, asked again, tells",
                list(map, missing)
            );
            let error = WireError::new(ErrorCode::InDoubt, text);
            error.naming(missing.to_vec()).retry_after(RETRY_MS)
        }
        Refusal::Busy(_) => {
            WireError::new(ErrorCode::Overloaded, refusal.to_string()).retry_after(RETRY_MS)
        }
        Refusal::Invalid(_) | Refusal::NotRecoverable(_) => {
            WireError::new(ErrorCode::Invalid, refusal.to_string())
        }
        Refusal::BeingRecovered { gone } => being_recovered(map, gone),
        Refusal::Alive { alive, by } => gone_answers(map, alive, *by),
        Refusal::NotAllAnswered { missing } => not_all_left(map, missing),
        Refusal::NotAMember(_)
        | Refusal::Stale { .. }
        | Refusal::Behind { .. }
        | Refusal::Forgotten { .. } => unavailable(refusal.to_string(), &[]),
    }
}

/// A change of what cannot change.
pub(super) fn cannot_change(current: &Bucket, asked: &BucketProps) -> WireError {
    WireError::new(
        ErrorCode::Conflict,
        format!(
            "bucket {:?} exists (revision {}: {}), asked for are n={} and mode {}: these never change",
            current.name,
            current.revision,
            describe(&current.props),
            asked.n,
            asked.mode.name()
        ),
    )
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

/// A bucket was made by this request, and a later version lacks it.
pub(super) fn gone(name: &str) -> WireError {
    let text =
        format!("bucket {name:?} was made by this request, and is not in the cluster map any more");
    WireError::new(ErrorCode::Conflict, text)
}

fn unavailable(text: String, nodes: &[NodeId]) -> WireError {
    let error = WireError::new(ErrorCode::Unavailable, text);
    error.naming(nodes.to_vec()).retry_after(RETRY_MS)
}

fn list(map: &ClusterMap, nodes: &[NodeId]) -> String {
    let people = |node: &NodeId| {
        let member = map.member(*node);
        member.map_or_else(|| node.to_string(), |member| member.name.clone())
    };
    if nodes.is_empty() {
        "enough of them in time".to_owned()
    } else {
        nodes.iter().map(people).collect::<Vec<_>>().join(", ")
    }
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
