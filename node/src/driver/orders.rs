//! Orders to all shards of the node, and what each of them answers.

use std::time::Duration;

use quorate_protocol::client::ClientReply;
use quorate_protocol::error::{ErrorCode, WireError};
use tokio::sync::oneshot;

use super::inbox::{Control, Outlet};

/// A shard that does not answer by then is named in the refusal.
const PATIENCE: Duration = Duration::from_secs(2);

/// Gives every shard an order, which takes along where to answer.
pub(super) fn give<T>(
    shards: &[Outlet],
    order: impl Fn(oneshot::Sender<T>) -> Control,
) -> Vec<oneshot::Receiver<T>> {
    let give_one = |shard: &Outlet| {
        let (report, reported) = oneshot::channel();
        shard.tell(order(report));
        reported
    };
    shards.iter().map(give_one).collect()
}

/// What all of them answer. An order that a shard did not take is not carried out as a whole: then this is the refusal.
pub(super) async fn taken<T>(parts: Vec<oneshot::Receiver<T>>) -> Result<Vec<T>, ClientReply> {
    let end = tokio::time::Instant::now() + PATIENCE;
    let mut answers = Vec::with_capacity(parts.len());
    for (number, part) in parts.into_iter().enumerate() {
        match tokio::time::timeout_at(end, part).await {
            Ok(Ok(answer)) => answers.push(answer),
            Ok(Err(_)) => return Err(missing(number, "has no storage at the moment")),
            Err(_) => return Err(missing(number, "did not answer in time")),
        }
    }
    Ok(answers)
}

fn missing(shard: usize, why: &str) -> ClientReply {
    let message = format!("shard {shard} {why}: its vnodes were not reached, ask again");
    WireError::new(ErrorCode::Unavailable, message)
        .retry_after(500)
        .into()
}
