//! What is wrong with a state.

use crate::rules::{Broken, Rules};
use crate::state::{C, NODES, Node, Stand, State, Status};

/// A read that would miss an acknowledged write, or one that nobody has any more.
pub(crate) fn wrong(state: &State, rules: Rules) -> Option<String> {
    let acknowledged = state.acknowledged();
    let all = state.nodes.iter().fold(0, |all, node| all | node.has);
    if acknowledged & !all != 0 {
        return Some(format!("an acknowledged write is lost: {state:?}"));
    }
    for epoch in state.nodes.iter().map(|node| node.stand) {
        for one in 0..NODES {
            for other in 0..one {
                let answers = |node| answers(state, rules, epoch, node);
                let seen = state.nodes[one].has | state.nodes[other].has;
                if answers(one) && answers(other) && acknowledged & !seen != 0 {
                    return Some(format!("nodes {other} and {one} answer old: {state:?}"));
                }
            }
        }
    }
    None
}

/// Whether a node's answer to a read of this epoch counts.
fn answers(state: &State, rules: Rules, epoch: Stand, number: usize) -> bool {
    let Node {
        stand,
        waits,
        deleted,
        ..
    } = state.nodes[number];
    let set = if rules.breaks(Broken::ReadOfTheUnion) {
        epoch.members()
    } else {
        epoch.read()
    };
    let place = set & 1 << number != 0 && !deleted;
    let whole = waits == 0 || rules.breaks(Broken::ServesWhileBehind);
    let fenced = stand == epoch || rules.breaks(Broken::NoFence);
    place && whole && fenced
}

/// Where nothing can happen any more: whether everything is as it should be.
pub(crate) fn unfinished(state: &State) -> Option<String> {
    let decided = state.decided;
    let over = matches!(decided, Stand::New | Stand::Back);
    let members = (0..NODES).filter(|&node| decided.has(node));
    let acknowledged = state.acknowledged();
    let settled = |node: usize| {
        let node = &state.nodes[node];
        node.stand == decided && node.waits == 0 && acknowledged & !node.durable == 0
    };
    let written = state
        .writes
        .iter()
        .all(|write| !matches!(write.status, Status::Open));
    let out = if decided == Stand::Back { C } else { 0 };
    let fine = over && written && members.into_iter().all(settled) && state.nodes[out].deleted;
    (!fine).then(|| format!("it comes to no end: {state:?}"))
}
