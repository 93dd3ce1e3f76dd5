//! What operators want of the members and their places.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::client::{
    ChangeRing, ClientReply, NodeProgress, PlanLine, PlanLoss, PlanWarning, RingChange,
    RingChanged, RingPlan, RingProgress,
};
use quorate_protocol::{ErrorCode, WireError};
use quorate_ring::NodeId;

use super::Keeper;
use super::wish::Judged;
use crate::moves::{
    Allowed, Next, Refused, cancel, clear, commit, drop_bucket, forget, plan, progress, said, stage,
};

impl Keeper {
    /// What an operator's wish comes to with the newest version.
    pub(super) fn judge_ring(&self, asked: &ChangeRing) -> Judged {
        let change = match asked.change() {
            Ok(change) => change,
            Err(error) => {
                return Judged::answered(WireError::new(ErrorCode::Invalid, error.to_string()));
            }
        };
        match self.next_of(change) {
            Ok(next) => Judged::Next(next.what, Box::new(next.draft)),
            Err(refused) => Judged::answered(answer(&refused)),
        }
    }

    fn next_of(&self, change: RingChange) -> Result<Next, Refused> {
        let version = self.map();
        match change {
            RingChange::Stage(change) => stage(&version, change),
            RingChange::Clear => clear(&version),
            RingChange::Commit(asked) => {
                let allowed = Allowed {
                    force: asked.force,
                    loss_of: BTreeSet::from_iter(asked.loss_of),
                    plan: asked.plan,
                };
                commit(&version, &allowed, &self.heard(&version))
            }
            RingChange::Cancel => cancel(&version, &self.heard(&version)),
            RingChange::Forget(node) => forget(&version, node),
            RingChange::Drop(bucket) => drop_bucket(&version, bucket),
        }
    }

    /// What a commit of the staged changes would do now, as far as this node sees.
    ///
    /// # Errors
    /// Nothing is staged, or it cannot be made.
    pub fn plan(&self) -> Result<RingPlan, WireError> {
        let version = self.map();
        let outlook = plan(&version, &self.heard(&version)).map_err(|refused| answer(&refused))?;
        let planned = outlook.staged.as_ref().map(|staged| &staged.plan);
        let lines = planned.iter().flat_map(|plan| &plan.classes);
        let lines = lines.flat_map(|classes| {
            let n = classes.n;
            classes.nodes.iter().map(move |load| PlanLine {
                n,
                node: load.node,
                before: load.copies.before,
                after: load.copies.after,
                receives: load.receives,
                sends: load.sends,
            })
        });
        let warnings = planned.iter().flat_map(|plan| &plan.warnings);
        let warnings = warnings.map(|warning| PlanWarning {
            text: warning.to_string(),
            needs_force: warning.needs_force(),
        });
        let losses = outlook.losses.iter().map(|(&node, &classes)| PlanLoss {
            node,
            classes: u32::try_from(classes).unwrap_or(u32::MAX),
        });
        Ok(RingPlan {
            version: version.version,
            digest: outlook.digest,
            changes: said(&version),
            nodes: lines.collect(),
            warnings: warnings.collect(),
            losses: losses.collect(),
        })
    }

    /// What a change of the ring still has to do; `None` where the members do not tell it what they have done.
    #[must_use]
    pub fn progress(&self) -> Option<RingProgress> {
        if !self.hearers().contains(&self.config.me) {
            return None;
        }
        let version = self.map();
        let left = progress(&version, &self.heard(&version));
        let count = |of: &BTreeMap<NodeId, usize>, node| {
            let count = of.get(&node).copied().unwrap_or_default();
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let named = [&left.filling, &left.awaited, &left.departing];
        let named = named.into_iter().flat_map(BTreeMap::keys);
        let nodes: BTreeSet<NodeId> = named.chain(left.going.keys()).copied().collect();
        let nodes = nodes.into_iter().map(|node| NodeProgress {
            node,
            filling: count(&left.filling, node),
            awaited: count(&left.awaited, node),
            departing: count(&left.departing, node),
            goes: left.going.contains_key(&node),
        });
        Some(RingProgress {
            version: version.version,
            classes: left.classes as u64,
            behind: left.behind as u64,
            reading_old: left.reading_old as u64,
            reading_new: left.reading_new as u64,
            nodes: nodes.collect(),
            can_be_cancelled: left.can_be_cancelled,
        })
    }

    /// What is said when it is done.
    pub(super) fn ring_changed(&self) -> ClientReply {
        let version = self.map();
        RingChanged {
            version: version.version,
            what: version.change.what.clone(),
        }
        .into()
    }
}

/// A refusal, for a client: some go away by themselves, others when somebody does something.
fn answer(refused: &Refused) -> WireError {
    let code = match refused {
        Refused::NotFounded => ErrorCode::Unavailable,
        Refused::NoBucket(_) | Refused::Dropped(_) => ErrorCode::NoSuchBucket,
        Refused::OtherPlan
        | Refused::Staged(_)
        | Refused::NothingStaged
        | Refused::OthersStaged
        | Refused::NothingToCancel => ErrorCode::Conflict,
        Refused::Unreadable(_)
        | Refused::NoMember(_)
        | Refused::IsMember(_)
        | Refused::Goes(_)
        | Refused::IsDead(_)
        | Refused::NameTaken(_)
        | Refused::NoAddress(..)
        | Refused::Unchanged(..)
        | Refused::TooMany
        | Refused::TooManyForgotten(_)
        | Refused::Expelled(_)
        | Refused::Ring(_)
        | Refused::NeedsForce(_)
        | Refused::MayLose { .. }
        | Refused::CannotGoBack(_)
        | Refused::NoRing(_)
        | Refused::NotDead(_) => ErrorCode::Invalid,
    };
    WireError::new(code, refused.to_string())
}
