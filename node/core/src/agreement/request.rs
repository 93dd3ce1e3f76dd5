//! What a client's request comes to.

use quorate_protocol::WireError;
use quorate_protocol::client::PutBucket;
use quorate_protocol::map::Bucket;
use quorate_ring::NodeId;

use super::rules::Offer;
use super::{Agreement, refusal};

/// What a request comes to.
pub(super) enum Wanted {
    /// It is so already.
    InForce(Bucket),
    /// This definition, which is kept here now, is to come into force.
    Next(Bucket),
}

impl Agreement {
    /// Judges a request by what this node knows and keeps the definition it asks for.
    pub(super) fn definition(&mut self, request: PutBucket) -> Result<Wanted, WireError> {
        let PutBucket { name, props } = request;
        let current = self.rules.named(&name).cloned();
        if let Some(current) = current.as_ref().filter(|current| current.props == props) {
            return Ok(Wanted::InForce(current.clone()));
        }
        let kept = self.rules.kept(&name).cloned();
        if let Some(kept) = kept.as_ref().filter(|kept| kept.props != props) {
            return Err(refusal::differs_pending(kept, &props));
        }
        let bucket = match (kept, current) {
            (Some(kept), _) => kept,
            (None, Some(current)) => Bucket {
                revision: current.revision + 1,
                props,
                ..current
            },
            (None, None) => Bucket {
                id: self.draw_id(),
                name,
                revision: 1,
                props,
            },
        };
        bucket.check(self.map.ring.copies())?;
        let down: Vec<NodeId> = self
            .peers()
            .into_iter()
            .filter(|node| !self.up.contains(node))
            .collect();
        if !down.is_empty() {
            return Err(refusal::missing(&self.map, &bucket.name, down));
        }
        match self.rules.offer(&bucket) {
            Offer::Kept { changed } => {
                if changed {
                    self.outbox.changed();
                }
                Ok(Wanted::Next(bucket))
            }
            Offer::Refused(error) => Err(error),
            // This node judged by its own rules a moment ago: neither can be.
            Offer::Other(other) | Offer::InForce(other) => Err(refusal::differs_in_force(&other)),
            Offer::Behind => Err(refusal::behind(&bucket)),
        }
    }
}
