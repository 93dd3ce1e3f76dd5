//! A cluster goes on without members that are gone for good, so many that no majority is left to remove them.

use quorate_protocol::limits::EXPELLED_MAX;
use quorate_protocol::versioned::{Going, GoingState, StagedChange, VersionedMap, Voter};
use quorate_ring::NodeId;

use super::account;
use super::commit::{Allowed, commit};
use super::heard::Heard;
use super::refused::Refused;
use super::{Next, Steps};
use crate::register::Draft;

/// What the first version of the next lineage says: these members are removed by force and forgotten, and those who are left
/// vote. It needs nobody's word: what classes still wait for, later versions see to.
///
/// # Errors
/// Those who are left cannot hold the data, or too many were forgotten before.
pub fn recovered(
    version: &VersionedMap,
    gone: &[NodeId],
    voters: Vec<Voter>,
) -> Result<Next, Refused> {
    let forgotten = version.going.iter().filter(|going| going.is_dead());
    if version.expelled.len() + forgotten.count() + gone.len() > EXPELLED_MAX {
        return Err(Refused::TooManyForgotten(names(version, gone)));
    }
    let dead = |node: NodeId| version.going(node).is_some_and(Going::is_dead);
    let lost = gone.iter().copied().filter(|&node| !dead(node));
    let staged: Vec<StagedChange> = lost.map(StagedChange::force_remove).collect();
    let mut draft = if staged.is_empty() {
        Draft::from(version)
    } else {
        let before = VersionedMap {
            version: version.version.in_next_lineage(),
            voters: voters.clone(),
            staged,
            ..version.clone()
        };
        let allowed = Allowed {
            force: true,
            loss_of: gone.iter().copied().collect(),
            plan: None,
        };
        commit(&before, &allowed, &Heard::default())?.draft
    };
    forget(&mut draft, gone);
    draft.voters = voters;
    draft.staged = still_staged(version, gone);
    // There is no way back to a ring with those who are gone.
    draft.before = None;
    let what = account::sentence(
        "RECOVERED from what was left",
        vec![format!(
            "gone for good and given up: {}",
            names(version, gone)
        )],
    );
    let steps = Steps::new();
    Ok(Next { draft, steps, what })
}

fn names(version: &VersionedMap, nodes: &[NodeId]) -> String {
    let names = nodes.iter().map(|&node| account::name(version, node));
    names.collect::<Vec<_>>().join(", ")
}

/// Nobody waits for their copies, nor lets them in again.
fn forget(draft: &mut Draft, gone: &[NodeId]) {
    let going = draft.going.iter_mut();
    for going in going.filter(|going| gone.contains(&going.node)) {
        going.state = GoingState::Forgotten;
    }
    for record in &mut draft.records {
        record.departing.retain(|place| !gone.contains(&place.node));
    }
}

/// What is staged and has nothing to do with them.
fn still_staged(version: &VersionedMap, gone: &[NodeId]) -> Vec<StagedChange> {
    let staged = version.staged.iter();
    let stays = staged.filter(|change| !gone.contains(&change.node()));
    stays.cloned().collect()
}
