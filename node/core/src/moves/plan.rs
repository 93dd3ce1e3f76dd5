//! What a commit of the staged changes would do.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::versioned::{ClassState, VersionedMap};
use quorate_ring::{Change, NodeId, Placed, Ring, RingDigest, Staged, Warning};

use super::all::{copies_in_use, standings};
use super::heard::Heard;
use super::refused::Refused;
use super::stage;

/// What staged changes lead to, for an operator to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The changes, in the order in which they were staged.
    pub changes: Vec<Change>,
    /// The ring to come, what moves for it, and what is to be known before. `None` if the ring stays: a member that
    /// leaves already is only called dead.
    pub staged: Option<Staged>,
    /// Names what would be committed.
    pub digest: RingDigest,
    /// Nodes that are removed by force, with the number of classes of which each may have the last up-to-date copy:
    /// no other member that is read is known to run.
    pub losses: BTreeMap<NodeId, usize>,
    /// Nodes that are removed by force, with the number of copies without a place that they still have to hand over.
    pub departing: BTreeMap<NodeId, usize>,
}

impl Outlook {
    /// The warnings for which a commit has to be forced.
    pub fn grave(&self) -> impl Iterator<Item = &Warning> {
        let warnings = self.staged.iter().flat_map(|staged| &staged.plan.warnings);
        warnings.filter(|warning| warning.needs_force())
    }
}

/// What a commit would do now.
///
/// # Errors
/// Nothing is staged, or the changes do not fit the members (any more), or those left cannot hold the data.
pub fn plan(version: &VersionedMap, heard: &Heard) -> Result<Outlook, Refused> {
    if !version.is_founded() {
        return Err(Refused::NotFounded);
    }
    if version.staged.is_empty() {
        return Err(Refused::NothingStaged);
    }
    let staged = version.staged.iter();
    staged
        .clone()
        .try_for_each(|change| stage::check(version, change))?;
    let changes: Vec<Change> = staged
        .map(|change| change.change())
        .collect::<Result<_, _>>()?;
    // Who leaves already has no place in the ring any more.
    let is_news = |change: &&Change| {
        change
            .lost()
            .is_none_or(|node| version.going(node).is_none())
    };
    let news: Vec<Change> = changes.iter().filter(is_news).cloned().collect();
    let ring = &version.map.ring;
    let staged = if news.is_empty() {
        None
    } else {
        let dead = version.going.iter().filter(|going| going.is_dead());
        let lost: Vec<NodeId> = dead.map(|going| going.node).collect();
        Some(ring.stage(&staying(version), &news, &copies_in_use(version), &lost)?)
    };
    let removed: BTreeSet<NodeId> = changes.iter().filter_map(Change::lost).collect();
    Ok(Outlook {
        digest: staged
            .as_ref()
            .map_or_else(|| ring.digest(), |staged| staged.ring.digest()),
        losses: losses(version, &removed, heard),
        departing: departing(version, &removed),
        staged,
        changes,
    })
}

/// The members that are to stay, as placement sees them.
pub(super) fn staying(version: &VersionedMap) -> Vec<Placed> {
    let members = version.map.members.iter();
    let stay = members.filter(|member| version.going(member.id).is_none());
    stay.map(|member| member.placed()).collect()
}

/// The ring that is in force after a commit.
pub(super) fn ring_after<'a>(outlook: &'a Outlook, version: &'a VersionedMap) -> &'a Ring {
    let staged = outlook.staged.as_ref();
    staged.map_or(&version.map.ring, |staged| &staged.ring)
}

fn losses(
    version: &VersionedMap,
    removed: &BTreeSet<NodeId>,
    heard: &Heard,
) -> BTreeMap<NodeId, usize> {
    let mut losses = BTreeMap::new();
    if removed.is_empty() {
        return losses;
    }
    let is_dead = |node| version.going(node).is_some_and(|going| going.is_dead());
    for record in standings(version) {
        // In joint-new all of both sets have what is acknowledged; before, newcomers need not have anything.
        let holders: Vec<NodeId> = match record.state {
            ClassState::Stable | ClassState::JointOld => record.old.clone(),
            ClassState::JointNew => record.places(),
        }
        .iter()
        .map(|place| place.node)
        .collect();
        let runs = |&&node: &&NodeId| {
            let lost = removed.contains(&node) || record.is_dead(node) || is_dead(node);
            !lost && heard.running.contains_key(&node)
        };
        if holders.iter().find(runs).is_none() {
            let last = holders.iter().filter(|node| removed.contains(node));
            last.for_each(|&node| *losses.entry(node).or_default() += 1);
        }
    }
    losses
}

fn departing(version: &VersionedMap, removed: &BTreeSet<NodeId>) -> BTreeMap<NodeId, usize> {
    let mut copies = BTreeMap::new();
    let places = version.records.iter().flat_map(|record| &record.departing);
    for place in places.filter(|place| removed.contains(&place.node)) {
        *copies.entry(place.node).or_default() += 1;
    }
    copies
}
