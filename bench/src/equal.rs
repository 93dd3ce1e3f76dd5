//! Waiting until all replicas are proved equal.

use std::time::{Duration, Instant};

use quorate_tests::process::{Cluster, Index, Trouble};

use crate::failure::Failure;

/// Pauses between questions whether all is equal: a twentieth of what it took so far, within bounds.
const ASK_EVERY: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(1_000)];

/// Asks until all replicas are proved equal; returns the time since `begin`.
///
/// # Errors
/// They are not after `patience`; the error says what `away`, the node that was away, lacks.
pub(crate) async fn until_equal(
    cluster: &Cluster,
    away: Index,
    begin: Instant,
    patience: Duration,
) -> Result<Duration, Failure> {
    loop {
        let found = cluster.client().convergence().await;
        let took = begin.elapsed();
        if found.is_converged() {
            return Ok(took);
        }
        if took > patience {
            let lacks = found.lacks(cluster.id(away)?);
            return Err(Failure::Cluster(Trouble::NeverHappened {
                what: "all replicas are equal".to_owned(),
                waited: took,
                seen: format!("the node that was away lacks {lacks} writes"),
            }));
        }
        let [least, most] = ASK_EVERY;
        tokio::time::sleep((took / 20).clamp(least, most)).await;
    }
}
