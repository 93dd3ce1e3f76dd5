//! What replicas answer to a read, taken into account.

use quorate_protocol::client::Role;
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::peer::ReplicaState;
use quorate_ring::NodeId;

use super::get::{GetOp, Reply};
use crate::causality::{Body, Clock, Object, check_dots};
use crate::plant::Plant;
use crate::quorum::read::Answer;
use crate::shared::Shared;

impl GetOp {
    pub(super) fn take(&mut self, shared: &mut Shared, from: NodeId, state: ReplicaState) {
        if let Some(error) = state.error {
            self.fail(from, *error);
            return;
        }
        let object = match Object::from_peer(state.object) {
            Ok(object) => object,
            Err(error) => {
                self.fail(from, WireError::new(ErrorCode::Protocol, error.to_string()));
                return;
            }
        };
        if let Err(error) = check_dots(&state.deletes) {
            self.fail(from, WireError::new(ErrorCode::Protocol, error.to_string()));
            return;
        }
        let found = object.is_visible(shared.shown_at_ms());
        let answer = match (state.role, state.catching_up, state.holds) {
            (Role::Primary, true, _) if !shared.breaks(Plant::CatchingUpCounted) => {
                Answer::CatchingUp
            }
            (Role::Primary, _, _) => Answer::Current { found },
            (Role::Fallback, _, true) => Answer::Holds { found },
            (Role::Fallback, _, false) if shared.breaks(Plant::AbsenceClaimedByFallback) => {
                Answer::Current { found }
            }
            (Role::Fallback, _, false) => Answer::Empty,
        };
        let denial = state.denial.map(|denial| *denial).unwrap_or_default();
        let Ok(ground) = Clock::from_wire(&denial.ground) else {
            self.fail(
                from,
                WireError::new(ErrorCode::Protocol, "a malformed clock"),
            );
            return;
        };
        let known = self.replies.remove(&from);
        let (asked, prove) = known
            .as_ref()
            .map(|reply| (reply.asked.clone(), reply.prove.clone()))
            .unwrap_or_default();
        // A replica is believed about the dots that it was asked for, and no others.
        let mut said = state.seen;
        said.retain(|dot| asked.contains(dot));
        let mut reply = Reply {
            role: state.role,
            object,
            holds: state.holds,
            seen: said.clone(),
            said,
            denied: denial.dots,
            ground,
            proven: state.proven && prove.is_some() && matches!(answer, Answer::Current { .. }),
            prove,
            deletes: state.deletes,
            session_met: state.session_met,
            waits_for: state.waits_for,
            asked,
        };
        if let Some(known) = known {
            keep_bodies(&mut reply.object, known.object);
        }
        self.tally.note(from, reply.role, answer);
        self.replies.insert(from, reply);
        self.weigh_denials(shared);
    }

    pub(super) fn fail(&mut self, node: NodeId, error: WireError) {
        let role = if self.stand_ins.contains_key(&node) {
            Role::Fallback
        } else {
            Role::Primary
        };
        self.tally.note(node, role, Answer::Failed);
        self.awaited.remove(&node);
        self.replies.remove(&node);
        self.errors.insert(node, error);
    }
}

/// A later answer without values does not lose the values of an earlier one.
fn keep_bodies(object: &mut Object, known: Object) {
    for version in known.versions {
        if version.body == Body::Absent {
            continue;
        }
        if let Ok(at) = object
            .versions
            .binary_search_by_key(&version.dot, |other| other.dot)
            && object.versions[at].body == Body::Absent
        {
            object.versions[at].body = version.body;
        }
    }
}
