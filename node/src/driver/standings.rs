//! Where a node's replicas stand, put together from its shards.

use std::time::Duration;

use quorate_core::ReplicaStandings;
use quorate_protocol::client::{ClientReply, ReplicaPage, Replicas};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_ring::{NodeId, RingVersion};
use tokio::sync::oneshot;

use super::inbox::{Control, Outlet};

/// Classes in one page: with hundreds of actors in each clock it still fits a frame.
const CLASSES_PER_PAGE: usize = 256;
/// A shard that does not report by then is named in the refusal.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks every shard for its part.
pub(super) fn ask(
    shards: &[Outlet],
    request: Replicas,
) -> Vec<oneshot::Receiver<ReplicaStandings>> {
    let ask_one = |shard: &Outlet| {
        let (report, reported) = oneshot::channel();
        shard.tell(Control::Standings {
            after: request.after,
            classes_max: CLASSES_PER_PAGE,
            report,
        });
        reported
    };
    shards.iter().map(ask_one).collect()
}

/// One page of all parts. A part that is missing is no report of nothing: then there is no page.
pub(super) async fn gather(
    node: NodeId,
    ring: RingVersion,
    parts: Vec<oneshot::Receiver<ReplicaStandings>>,
) -> ClientReply {
    let end = tokio::time::Instant::now() + PATIENCE;
    let mut all = ReplicaStandings::default();
    for (number, part) in parts.into_iter().enumerate() {
        match tokio::time::timeout_at(end, part).await {
            Ok(Ok(part)) => all.merge(part),
            Ok(Err(_)) => return missing(number, "has no storage at the moment"),
            Err(_) => return missing(number, "did not report in time"),
        }
    }
    ReplicaPage {
        node,
        ring,
        vnodes: all.vnodes,
        hints: all.hints,
        hints_in_flight: all.hints_in_flight,
        next: all.next,
    }
    .into()
}

fn missing(shard: usize, why: &str) -> ClientReply {
    let message = format!("shard {shard} {why}: where its vnodes stand is not known, ask again");
    WireError::new(ErrorCode::Unavailable, message)
        .retry_after(500)
        .into()
}
