//! Staged changes become the ring's target, and the classes set out for it.
//!
//! The nodes that come are members from this version on: the old ones must reach them. Those that go are members until
//! nothing names them ([`super::next_version`]). A class that cannot set out yet keeps its record, which then lags
//! behind the ring: versions to come take it there.

use std::collections::BTreeSet;

use quorate_protocol::map::Member;
use quorate_protocol::versioned::{Before, Going, GoingState, StagedChange, VersionedMap};
use quorate_ring::{NodeId, Placed, RingDigest};

use super::heard::{Heard, Index};
use super::plan::{Outlook, plan, ring_after, staying};
use super::refused::Refused;
use super::stage::stage;
use super::voters::voters;
use super::{Next, account, all};
use crate::register::Draft;

/// What an operator takes into account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Make the cluster worse, if the changes do: fewer copies, fewer zones, a majority of some class's copies lost.
    pub force: bool,
    /// Nodes whose data may be lost.
    pub loss_of: BTreeSet<NodeId>,
    /// The plan that was looked at; nothing else is committed. `None`: whatever it is.
    pub plan: Option<RingDigest>,
}

/// The version in which the staged changes are made.
///
/// # Errors
/// They give no plan, or one that was not allowed.
pub fn commit(version: &VersionedMap, allowed: &Allowed, heard: &Heard) -> Result<Next, Refused> {
    let outlook = plan(version, heard)?;
    check(version, &outlook, allowed)?;
    let index = Index::new(heard);
    let ring = ring_after(&outlook, version).clone();
    let going = going(version, &outlook);
    let (records, steps) = all::advance(version, &ring, &going, &index);
    let mut draft = Draft::from(version);
    draft.map.members = members(version, &outlook);
    draft.voters = voters(version, &draft.map.members, &going, heard).unwrap_or(draft.voters);
    let begins = outlook.staged.is_some() && draft.before.is_none();
    if begins && !all::is_finished(&records, &ring) {
        draft.before = Some(Before {
            ring: std::mem::replace(&mut draft.map.ring, ring),
            members: staying(version),
        });
        draft.map.ring = ring_after(&outlook, version).clone();
    } else {
        draft.map.ring = ring;
    }
    draft.staged.clear();
    (draft.records, draft.going) = (records, going);
    let what = account::of_changes("committed", version, &version.staged, &steps);
    Ok(Next { draft, steps, what })
}

/// The version in which one change is made that nobody has staged.
///
/// # Errors
/// It cannot be staged or committed, or others are staged.
pub fn commit_at_once(
    version: &VersionedMap,
    change: StagedChange,
    allowed: &Allowed,
    heard: &Heard,
) -> Result<Next, Refused> {
    if !version.staged.is_empty() {
        return Err(Refused::OthersStaged);
    }
    let staged = VersionedMap {
        staged: stage(version, change)?.draft.staged,
        ..version.clone()
    };
    commit(&staged, allowed, heard)
}

fn check(version: &VersionedMap, outlook: &Outlook, allowed: &Allowed) -> Result<(), Refused> {
    if allowed.plan.is_some_and(|digest| digest != outlook.digest) {
        return Err(Refused::OtherPlan);
    }
    let mut losses = outlook.losses.iter();
    if let Some((&node, &classes)) = losses.find(|(node, _)| !allowed.loss_of.contains(node)) {
        let node = account::name(version, node);
        return Err(Refused::MayLose { node, classes });
    }
    let grave: Vec<String> = outlook.grave().map(ToString::to_string).collect();
    if grave.is_empty() || allowed.force {
        Ok(())
    } else {
        Err(Refused::NeedsForce(grave.join("; ")))
    }
}

/// The members after it: those who go are members still.
fn members(version: &VersionedMap, outlook: &Outlook) -> Vec<Member> {
    let staged = outlook.staged.as_ref();
    let placed = staged.map_or(&[][..], |staged| &staged.members);
    let newcomers = version.staged.iter().filter_map(StagedChange::newcomer);
    let mut members: Vec<Member> = version
        .map
        .members
        .iter()
        .chain(newcomers)
        .cloned()
        .collect();
    members.sort_by_key(|member| member.id);
    place(&mut members, placed);
    members
}

/// Gives members the zones and weights that they are placed by.
pub(super) fn place(members: &mut [Member], placed: &[Placed]) {
    for member in members {
        if let Ok(at) = placed.binary_search_by_key(&member.id, |placed| placed.id) {
            member.zone = placed[at].zone.clone();
            member.weight = placed[at].weight;
        }
    }
}

/// Who goes after it.
fn going(version: &VersionedMap, outlook: &Outlook) -> Vec<Going> {
    let since = version.version.next();
    let lost: BTreeSet<NodeId> = outlook
        .changes
        .iter()
        .filter_map(|change| change.lost())
        .collect();
    let mut going = version.going.clone();
    for going in going.iter_mut().filter(|going| lost.contains(&going.node)) {
        going.state = GoingState::Dead;
    }
    let staged = outlook.staged.as_ref();
    let stays = |node: NodeId| {
        staged.is_none_or(|staged| staged.members.iter().any(|placed| placed.id == node))
    };
    let before = staying(version);
    let leave = before
        .iter()
        .map(|placed| placed.id)
        .filter(|&node| !stays(node));
    going.extend(leave.map(|node| Going {
        node,
        since,
        state: if lost.contains(&node) {
            GoingState::Dead
        } else {
            GoingState::HandsOver
        },
    }));
    going.sort_by_key(|going| going.node);
    going
}
