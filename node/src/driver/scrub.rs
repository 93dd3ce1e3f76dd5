//! Orders to read vnodes through, handed to the shards.

use std::time::Duration;

use quorate_core::ScrubOrdered;
use quorate_protocol::client::{ClientReply, RangeProgress, Scrub, ScrubState};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_ring::NodeId;
use tokio::sync::oneshot;

use super::inbox::{Control, Outlet};

/// A shard that does not answer by then is named in the refusal.
const PATIENCE: Duration = Duration::from_secs(2);

/// Gives every shard the order.
pub(super) fn ask(shards: &[Outlet], request: &Scrub) -> Vec<oneshot::Receiver<ScrubOrdered>> {
    let ask_one = |shard: &Outlet| {
        let (report, reported) = oneshot::channel();
        shard.tell(Control::Scrub(request.clone(), report));
        reported
    };
    shards.iter().map(ask_one).collect()
}

/// What came of it. An order that a shard did not take is not carried out as a whole.
pub(super) async fn gather(
    node: NodeId,
    at_ms: u64,
    parts: Vec<oneshot::Receiver<ScrubOrdered>>,
) -> ClientReply {
    let end = tokio::time::Instant::now() + PATIENCE;
    let (mut vnodes, mut paused) = (0_u32, false);
    let mut repair = Some(RangeProgress::default());
    for (number, part) in parts.into_iter().enumerate() {
        match tokio::time::timeout_at(end, part).await {
            Ok(Ok(part)) => {
                vnodes = vnodes.saturating_add(part.vnodes);
                paused |= part.paused;
                repair = repair.zip(part.repair).map(|(all, part)| all.and(part));
            }
            Ok(Err(_)) => return missing(number, "has no storage at the moment"),
            Err(_) => return missing(number, "did not answer in time"),
        }
    }
    ScrubState {
        node,
        at_ms,
        vnodes,
        paused,
        repair,
    }
    .into()
}

fn missing(shard: usize, why: &str) -> ClientReply {
    let message = format!("shard {shard} {why}: its vnodes were not reached, ask again");
    WireError::new(ErrorCode::Unavailable, message)
        .retry_after(500)
        .into()
}
