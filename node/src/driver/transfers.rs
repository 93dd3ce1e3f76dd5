//! Copies on their way to this node and from it: orders about their pace, what they tell of themselves, and the log.

use quorate_core::effects::{TransferNews, TransferStep};
use quorate_protocol::client::{ClientReply, Moves, MovesReport, Pace, RingProgress, Transfer};
use quorate_protocol::limits::TRANSFERS_SHOWN_MAX;
use quorate_ring::NodeId;
use tokio::sync::oneshot;

use super::inbox::{Control, Outlet};
use super::orders;

/// What one shard says.
pub(super) type Part = (Pace, Vec<Transfer>);

/// Gives every shard its part of the order.
pub(super) fn ask(shards: &[Outlet], order: Moves) -> Vec<oneshot::Receiver<Part>> {
    let count = shards.len().max(1) as u64;
    let part = Moves {
        bytes_per_s: order.bytes_per_s.map(|rate| rate.div_ceil(count)),
        ..order
    };
    orders::give(shards, |report| Control::Moves(part, report))
}

/// What came of it. An order that a shard did not take is not carried out as a whole.
pub(super) async fn gather(
    node: NodeId,
    ring: Option<RingProgress>,
    parts: Vec<oneshot::Receiver<Part>>,
) -> ClientReply {
    let answers = match orders::taken(parts).await {
        Ok(answers) => answers,
        Err(refusal) => return refusal,
    };
    let (mut pace, mut transfers) = (Pace::default(), Vec::new());
    for (of_shard, more) in answers {
        pace = pace.and(of_shard);
        transfers.extend(more);
    }
    transfers.sort_by_key(|transfer| (transfer.from.is_none(), transfer.class));
    let more = transfers.len().saturating_sub(TRANSFERS_SHOWN_MAX);
    transfers.truncate(TRANSFERS_SHOWN_MAX);
    MovesReport {
        node,
        pace,
        transfers,
        more: more as u64,
        ring,
    }
    .into()
}

/// What a new life of a shard must be told of the orders that its former ones were given.
pub(super) fn remember(known: &mut Moves, order: &Moves) {
    known.pause = order.pause.or(known.pause);
    known.bytes_per_s = order.bytes_per_s.or(known.bytes_per_s);
    known.latency_us = order.latency_us.or(known.latency_us);
}

/// Both ends of a transfer log its number.
pub(super) fn log(news: &TransferNews) {
    let (transfer, class) = (news.id, news.class);
    let peer = news.peer.map(|node| node.to_string());
    let peer = peer.as_deref().unwrap_or("-");
    let what = match news.step {
        TransferStep::Receives => "a copy comes in",
        TransferStep::Received => "a copy has come in",
        TransferStep::GivenUp => "a copy is not taken in any further",
        TransferStep::Sends => "a copy goes out",
        TransferStep::Sent => "a copy has gone out",
    };
    tracing::info!(%transfer, %class, peer, "{what}");
}
