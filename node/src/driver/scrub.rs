//! Orders to read vnodes through, handed to the shards.

use quorate_core::ScrubOrdered;
use quorate_protocol::client::{ClientReply, RangeProgress, Scrub, ScrubState};
use quorate_ring::NodeId;
use tokio::sync::oneshot;

use super::inbox::{Control, Outlet};
use super::orders;

/// Gives every shard the order.
pub(super) fn ask(shards: &[Outlet], request: &Scrub) -> Vec<oneshot::Receiver<ScrubOrdered>> {
    orders::give(shards, |report| Control::Scrub(request.clone(), report))
}

/// What came of it. An order that a shard did not take is not carried out as a whole.
pub(super) async fn gather(
    node: NodeId,
    at_ms: u64,
    parts: Vec<oneshot::Receiver<ScrubOrdered>>,
) -> ClientReply {
    let answers = match orders::taken(parts).await {
        Ok(answers) => answers,
        Err(refusal) => return refusal,
    };
    let (mut vnodes, mut paused) = (0_u32, false);
    let mut repair = Some(RangeProgress::default());
    for part in answers {
        vnodes = vnodes.saturating_add(part.vnodes);
        paused |= part.paused;
        repair = repair.zip(part.repair).map(|(all, part)| all.and(part));
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
