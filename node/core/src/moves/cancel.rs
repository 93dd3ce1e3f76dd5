//! A change of the ring is taken back, or what a dead node holds is given up.

use quorate_protocol::limits::EXPELLED_MAX;
use quorate_protocol::versioned::{Before, Going, GoingState, VersionedMap};
use quorate_ring::{NodeId, Ring, RingParts, RingVersion};

use super::all::{self, Steps};
use super::commit::place;
use super::heard::{Heard, Index};
use super::refused::Refused;
use super::{Next, account};
use crate::register::Draft;

/// The version in which the ring before the change is the target again, under a new number. Classes that read their
/// old set stay there, others go back, those that have moved move again. Who came goes, who was to go stays.
///
/// # Errors
/// Nothing is under way, or a node that had places before was removed by force.
pub fn cancel(version: &VersionedMap, heard: &Heard) -> Result<Next, Refused> {
    let before = version.before.as_ref().ok_or(Refused::NothingToCancel)?;
    let lost = |node: NodeId| {
        let dead = version.going(node).is_some_and(Going::is_dead);
        dead || version.map.member(node).is_none()
    };
    if let Some(placed) = before.members.iter().find(|placed| lost(placed.id)) {
        return Err(Refused::CannotGoBack(account::name(version, placed.id)));
    }
    let ring = again(before, &version.map.ring)?;
    let going = going(version, before);
    let (records, steps) = all::advance(version, &ring, &going, &Index::new(heard));
    let mut draft = Draft::from(version);
    place(&mut draft.map.members, &before.members);
    draft.map.ring = ring;
    (draft.records, draft.going, draft.before) = (records, going, None);
    let what = account::of_changes("the change of the ring is cancelled", version, &[], &steps);
    Ok(Next { draft, steps, what })
}

/// The ring of before with the number after that of the ring that is: numbers only grow.
fn again(before: &Before, ring: &Ring) -> Result<Ring, Refused> {
    let number: RingVersion = ring.version().next();
    if number == ring.version() {
        return Err(Refused::NoRing("no number is left for it".to_owned()));
    }
    let parts = RingParts {
        version: number,
        parent: Some(ring.digest()),
        ..before.ring.to_parts()
    };
    Ring::from_parts(parts).map_err(|error| Refused::NoRing(error.to_string()))
}

/// Who goes after it: not those that were to stay before, but all who came.
fn going(version: &VersionedMap, before: &Before) -> Vec<Going> {
    let stays = |node: NodeId| {
        let placed = before
            .members
            .binary_search_by_key(&node, |placed| placed.id);
        placed.is_ok()
    };
    let since = version.version.next();
    let members = version.map.members.iter().map(|member| member.id);
    let go = members.filter(|&node| !stays(node)).map(|node| {
        let came = Going {
            node,
            since,
            state: GoingState::HandsOver,
        };
        version.going(node).copied().unwrap_or(came)
    });
    go.collect()
}

/// The version in which nobody waits for the copies of a dead node any more: what only it holds is given up. It must
/// never come back with them.
///
/// # Errors
/// The node was not removed by force.
pub fn forget(version: &VersionedMap, node: NodeId) -> Result<Next, Refused> {
    let mut draft = Draft::from(version);
    let forgotten = draft.going.iter();
    let forgotten = forgotten.filter(|going| going.state == GoingState::Forgotten);
    if draft.expelled.len() + forgotten.count() >= EXPELLED_MAX {
        return Err(Refused::TooManyForgotten(account::name(version, node)));
    }
    let mut going = draft.going.iter_mut();
    let dead = going.find(|going| going.node == node && going.state == GoingState::Dead);
    let Some(dead) = dead else {
        return Err(Refused::NotDead(account::name(version, node)));
    };
    dead.state = GoingState::Forgotten;
    let mut copies = 0;
    for record in &mut draft.records {
        let before = record.departing.len();
        record.departing.retain(|place| place.node != node);
        copies += before - record.departing.len();
    }
    let name = account::name(version, node);
    let what = account::sentence(
        "forgotten",
        vec![format!("what only {name} holds, {copies} copies")],
    );
    let steps = Steps::new();
    Ok(Next { draft, steps, what })
}
