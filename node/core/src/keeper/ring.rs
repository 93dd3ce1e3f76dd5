//! What operators want of the members and their places.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::client::{
    ChangeRing, ClientReply, NodeProgress, PlanLine, PlanLoss, PlanWarning, RingChange,
    RingChanged, RingPlan, RingProgress,
};
use quorate_protocol::versioned::Going;
use quorate_protocol::{ErrorCode, WireError};
use quorate_ring::NodeId;

use super::wish::Judged;
use super::{Keeper, refusal};
use crate::moves::{
    Allowed, Refused, cancel, clear, commit, drop_bucket, forget, plan, progress, said, stage,
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
        let version = self.map();
        let next = match change {
            RingChange::Recover(gone) => return self.judge_recovery(gone),
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
        };
        match next {
            Ok(next) => Judged::Next(next.what, Box::new(next.draft)),
            Err(refused) => Judged::answered(answer(&refused)),
        }
    }

    /// An operator gives up a majority of the members. Who lives is not given up, and who is left must be there: both are
    /// looked at before anybody is asked for his word.
    fn judge_recovery(&self, gone: Vec<NodeId>) -> Judged {
        let (version, me) = (self.map(), self.config.me);
        let over = |node: &NodeId| version.recovered_without(*node).is_some();
        if !gone.is_empty() && gone.iter().all(over) {
            return Judged::answered(self.ring_changed());
        }
        let answers = gone.iter().filter(|node| self.up.contains(node));
        let alive: Vec<NodeId> = answers.copied().collect();
        if !alive.is_empty() {
            return Judged::answered(refusal::gone_answers(&version.map, &alive, me));
        }
        let is_dead = |node| version.going(node).is_some_and(Going::is_dead);
        let members = version.map.members.iter().map(|member| member.id);
        let left = members.filter(|node| !gone.contains(node) && !is_dead(*node));
        let silent = left.filter(|node| *node != me && !self.up.contains(node));
        let silent: Vec<NodeId> = silent.collect();
        if silent.is_empty() {
            Judged::Recover(gone)
        } else {
            Judged::answered(refusal::not_all_left(&version.map, &silent))
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
