//! Waiting: for anything, and for a cluster's replicas to agree.

use std::time::{Duration, Instant};

use quorate_client::StatusReport;

use super::{Cluster, Trouble};

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Ten times the 10 s within which hints are delivered on an idle cluster.
const SETTLE_WAIT: Duration = Duration::from_secs(100);

/// Looks again and again until `look` says `Ok(Ok(..))`. Returns that and how long it took.
///
/// # Errors
/// `look` fails, or `patience` is over: the error has what it said last.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Result<Result<T, String>, Trouble>,
) -> Result<(T, Duration), Trouble> {
    let begin = Instant::now();
    loop {
        match look().await? {
            Ok(seen) => return Ok((seen, begin.elapsed())),
            Err(seen) if begin.elapsed() > patience => {
                return Err(Trouble::NeverHappened {
                    what: what.to_owned(),
                    waited: begin.elapsed(),
                    seen,
                });
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

impl Cluster {
    /// Waits until nothing is left to do: all nodes reach each other, every vnode is current and
    /// undamaged, no hints are left and nobody lacks a write. Returns how long that took.
    ///
    /// # Errors
    /// It does not come to that within ten times the promise; the error says what is left.
    pub async fn settled(&self) -> Result<Duration, Trouble> {
        self.settled_within(SETTLE_WAIT).await
    }

    /// As [`Self::settled`], with a patience of one's own.
    ///
    /// # Errors
    /// As there.
    pub async fn settled_within(&self, patience: Duration) -> Result<Duration, Trouble> {
        let (_, took) = until("all replicas agree", patience, async || {
            for node in self.all() {
                if let Some(open) = open_ends(&self.status(node).await?) {
                    return Ok(Err(format!("n{}: {open}", node + 1)));
                }
            }
            Ok(Ok(()))
        })
        .await?;
        Ok(took)
    }
}

/// What a node has still to do, by its own words.
fn open_ends(status: &StatusReport) -> Option<String> {
    if status.vnodes_current < status.vnodes_total {
        return Some(format!(
            "{} of {} vnodes are current",
            status.vnodes_current, status.vnodes_total
        ));
    }
    if let Some(vnode) = status
        .vnodes
        .iter()
        .find(|vnode| vnode.damaged || vnode.lag > 0)
    {
        return Some(format!("{vnode:?}"));
    }
    let open = |peer: &&quorate_client::PeerStatus| {
        !peer.reachable || peer.hints + peer.hints_in_flight + peer.lag + peer.lead > 0
    };
    status
        .peers
        .iter()
        .find(open)
        .map(|peer| format!("{peer:?}"))
}
