//! Changes of the members are staged one by one, and committed or cleared together.

use quorate_protocol::limits::STAGED_MAX;
use quorate_protocol::map::Member;
use quorate_protocol::versioned::{GoingState, StagedChange, VersionedMap};
use quorate_ring::{Change, NodeId};

use super::Next;
use super::account;
use super::all::Steps;
use super::refused::Refused;
use crate::register::Draft;

/// The version in which this change is staged too.
///
/// # Errors
/// It contradicts the members or another staged change, or changes nothing.
pub fn stage(version: &VersionedMap, change: StagedChange) -> Result<Next, Refused> {
    if !version.is_founded() {
        return Err(Refused::NotFounded);
    }
    if version.staged.len() >= STAGED_MAX {
        return Err(Refused::TooMany);
    }
    check(version, &change)?;
    check_repeated(version, &change)?;
    let mut draft = Draft::from(version);
    draft.staged.push(change.clone());
    let steps = Steps::new();
    let what = account::of_changes("staged", version, &[change], &steps);
    Ok(Next { draft, steps, what })
}

/// The version in which nothing is staged.
///
/// # Errors
/// Nothing is.
pub fn clear(version: &VersionedMap) -> Result<Next, Refused> {
    if version.staged.is_empty() {
        return Err(Refused::NothingStaged);
    }
    let steps = Steps::new();
    let what = account::of_changes("cleared", version, &version.staged, &steps);
    let mut draft = Draft::from(version);
    draft.staged.clear();
    Ok(Next { draft, steps, what })
}

/// Whether a change fits the members.
pub(super) fn check(version: &VersionedMap, staged: &StagedChange) -> Result<(), Refused> {
    if let Some(member) = staged.newcomer() {
        check_newcomer(version, member)?;
    }
    match staged.change()? {
        Change::Join(_) => Ok(()),
        Change::Leave(node) | Change::Replace { node, .. } => staying(version, node).map(drop),
        Change::ForceRemove(node) => removable(version, node),
        Change::Zone { node, zone } => {
            let member = staying(version, node)?;
            differs(version, member, member.zone != zone, "is in that zone")
        }
        Change::Weight { node, weight } => {
            let member = staying(version, node)?;
            differs(version, member, member.weight != weight, "has that weight")
        }
    }
}

fn check_newcomer(version: &VersionedMap, member: &Member) -> Result<(), Refused> {
    let name = || format!("{} ({})", member.name, member.id);
    if version.going(member.id).is_some() {
        return Err(Refused::Goes(name()));
    }
    if version.map.member(member.id).is_some() {
        return Err(Refused::IsMember(name()));
    }
    if version.expelled.binary_search(&member.id).is_ok() {
        return Err(Refused::Expelled(name()));
    }
    let named = |other: &Member| other.name == member.name;
    if version.map.members.iter().any(named) {
        return Err(Refused::NameTaken(member.name.clone()));
    }
    let lists = [
        ("peer", &member.peer_addresses),
        ("client", &member.client_addresses),
    ];
    match lists.into_iter().find(|(_, list)| list.is_empty()) {
        Some((kind, _)) => Err(Refused::NoAddress(member.name.clone(), kind)),
        None => Ok(()),
    }
}

/// The member of that id, which is to stay.
fn staying(version: &VersionedMap, node: NodeId) -> Result<&Member, Refused> {
    let name = || account::name(version, node);
    let member = version.map.member(node);
    let member = member.ok_or_else(|| Refused::NoMember(name()))?;
    match version.going(node) {
        Some(going) if going.is_dead() => Err(Refused::IsDead(name())),
        Some(_) => Err(Refused::Goes(name())),
        None => Ok(member),
    }
}

/// Who leaves may be lost on its way.
fn removable(version: &VersionedMap, node: NodeId) -> Result<(), Refused> {
    let going = version.going(node);
    if going.is_some_and(|going| going.state == GoingState::HandsOver) {
        return Ok(());
    }
    staying(version, node).map(drop)
}

fn differs(
    version: &VersionedMap,
    member: &Member,
    differs: bool,
    what: &'static str,
) -> Result<(), Refused> {
    let name = || account::name(version, member.id);
    if differs {
        Ok(())
    } else {
        Err(Refused::Unchanged(name(), what))
    }
}

/// One node, one change; only zone and weight go together.
fn check_repeated(version: &VersionedMap, staged: &StagedChange) -> Result<(), Refused> {
    for other in &version.staged {
        let together = matches!(
            (staged.change()?, other.change()?),
            (Change::Zone { .. }, Change::Weight { .. })
                | (Change::Weight { .. }, Change::Zone { .. })
        );
        let taken = nodes(other);
        let twice = nodes(staged).into_iter().find(|node| taken.contains(node));
        if let Some(node) = twice.filter(|_| !together) {
            return Err(Refused::Staged(account::name(version, node)));
        }
        let names = [staged, other].map(|change| change.newcomer().map(|member| &member.name));
        if let [Some(name), Some(other)] = names
            && name == other
        {
            return Err(Refused::NameTaken(name.clone()));
        }
    }
    Ok(())
}

/// The nodes that a change is about.
fn nodes(staged: &StagedChange) -> Vec<NodeId> {
    let newcomer = staged.newcomer().map(|member| member.id);
    let mut nodes: Vec<NodeId> = newcomer.into_iter().chain([staged.node()]).collect();
    nodes.dedup();
    nodes
}
