//! Who votes on the version after the next one.
//!
//! A member votes once it is heard to work under a version that has it as a member, with the storage that it is known
//! to run with. That is safe at any time, for a version is decided by the voters that the one before it names: a
//! storage that no version has named yet was never asked for a promise, so it has none to forget. For the same reason
//! a voter that has lost its storage is named with its new one. Who was removed by force is not named any more; who
//! leaves votes until it is a member no longer.
//!
//! A version whose voters have no majority that runs could be the last one: it is not made.

use quorate_protocol::map::Member;
use quorate_protocol::versioned::{Going, VersionedMap, Voter};

use super::heard::Heard;

/// The voters for these members, `None` if too few of them are known to run.
pub(super) fn voters(
    version: &VersionedMap,
    members: &[Member],
    going: &[Going],
    heard: &Heard,
) -> Option<Vec<Voter>> {
    if !version.is_founded() {
        // All of them are asked, and named together.
        return None;
    }
    let goes = |member: &Member| going.iter().find(|going| going.node == member.id);
    let voter = |member: &Member| {
        let node = member.id;
        let runs = heard.storage_of(node);
        let known = version.voter(node);
        match (known, goes(member)) {
            (_, Some(going)) if going.is_dead() => None,
            (Some(voter), _) => Some(Voter {
                node,
                storage: runs.or(voter.storage),
            }),
            (None, Some(_)) => None,
            (None, None) => {
                let storage = runs.filter(|_| heard.words.contains_key(&node))?;
                let storage = Some(storage);
                Some(Voter { node, storage })
            }
        }
    };
    let voters: Vec<Voter> = members.iter().filter_map(voter).collect();
    let runs = |voter: &&Voter| heard.storage_of(voter.node).is_some();
    let running = voters.iter().filter(runs).count();
    (2 * running > voters.len()).then_some(voters)
}
