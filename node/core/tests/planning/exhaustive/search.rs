//! All states that can be reached, breadth first: what is found is found by a shortest way.

use std::collections::BTreeSet;

use quorate_protocol::versioned::ClassState;
use quorate_ring::NodeId;
use xxhash_rust::xxh3::xxh3_128;

use super::state::{Budget, NODES, State, Wrong};
use super::steps::{Model, broken};
use super::versions::Versions;

/// What came out.
pub(super) enum Found {
    /// Every state is good.
    Nothing {
        states: usize,
        /// Those of the versions that were met.
        versions: Vec<ClassState>,
    },
    /// One is not, and this leads to it.
    Bad { why: String, path: Vec<String> },
}

pub(super) fn search(budget: Budget, wrong: Option<Wrong>) -> Found {
    let (versions, ids): (Versions, [NodeId; NODES]) = Versions::new(wrong);
    let mut model = Model {
        versions,
        ids,
        wrong,
    };
    let first = State::first(budget);
    let mut met = BTreeSet::from([print(&first)]);
    let mut states = vec![(first, 0)];
    let mut at = 0;
    while at < states.len() {
        for next in model.steps(&states[at].0) {
            if !met.insert(print(&next)) {
                continue;
            }
            states.push((next, at));
            if let Some(why) = broken(&model, &next) {
                let path = path(&states);
                return Found::Bad { why, path };
            }
        }
        at += 1;
    }
    Found::Nothing {
        states: states.len(),
        versions: model.versions.states(),
    }
}

/// A state's fingerprint; two states that differ only in the members that stay are one.
fn print(state: &State) -> u128 {
    let mirrored = state.mirrored();
    xxh3_128(&state.bytes()).min(xxh3_128(&mirrored.bytes()))
}

fn path(states: &[(State, usize)]) -> Vec<String> {
    let (mut at, mut path) = (states.len() - 1, Vec::new());
    while at > 0 {
        path.push(format!("{:?}", states[at].0));
        at = states[at].1;
    }
    path.reverse();
    path
}
