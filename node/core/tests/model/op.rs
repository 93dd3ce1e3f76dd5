//! What may happen in the model's world, and how often.

use proptest::prelude::*;

use super::{KEYS, Key, VNODES};

/// One thing that happens. Numbers are taken modulo what there is to choose from.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// A client remembers what it reads at a vnode.
    Read { vnode: usize, key: Key },
    /// A write at a vnode, blind or with a remembered token; a delete where `put` is false.
    Write {
        vnode: usize,
        key: Key,
        token: Option<usize>,
        put: bool,
    },
    /// A write that a fallback coordinates for an absent vnode.
    FallbackWrite {
        target: usize,
        key: Key,
        token: Option<usize>,
        put: bool,
    },
    /// A shipped object arrives, once more or for the first time.
    Deliver { ship: usize, vnode: usize },
    /// A shipped object is kept as a hint.
    KeepHint { ship: usize, target: usize },
    /// A hint is delivered and dropped.
    Handoff { target: usize, key: Key },
    /// One vnode asks another for what it misses.
    AntiEntropy { asker: usize, answerer: usize },
    /// A read over two vnodes repairs one of them.
    Repair {
        first: usize,
        second: usize,
        key: Key,
    },
    /// What a vnode has becomes durable.
    Sync { vnode: usize },
    /// A vnode loses what is not durable, and starts a new life.
    Crash { vnode: usize },
    /// A vnode forgets log entries and contexts that nobody needs.
    Collect { vnode: usize },
    /// All vnodes learn from each other and make it durable; then one collects. Hints and messages
    /// stay on their way.
    Quiet { vnode: usize },
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let n = 0..64usize;
    let (vnode, key) = (0..VNODES, 0..KEYS);
    let write = (
        vnode.clone(),
        key.clone(),
        prop::option::weighted(0.7, n.clone()),
        prop::bool::weighted(0.75),
    );
    prop_oneof![
        3 => (vnode.clone(), key.clone()).prop_map(|(vnode, key)| Op::Read { vnode, key }),
        4 => write.clone().prop_map(|(vnode, key, token, put)| Op::Write { vnode, key, token, put }),
        2 => write.prop_map(|(target, key, token, put)| Op::FallbackWrite { target, key, token, put }),
        6 => (n.clone(), vnode.clone()).prop_map(|(ship, vnode)| Op::Deliver { ship, vnode }),
        2 => (n, vnode.clone()).prop_map(|(ship, target)| Op::KeepHint { ship, target }),
        2 => (vnode.clone(), key.clone()).prop_map(|(target, key)| Op::Handoff { target, key }),
        3 => (vnode.clone(), vnode.clone()).prop_map(|(asker, answerer)| Op::AntiEntropy { asker, answerer }),
        2 => (vnode.clone(), vnode.clone(), key).prop_map(|(first, second, key)| Op::Repair { first, second, key }),
        2 => vnode.clone().prop_map(|vnode| Op::Sync { vnode }),
        1 => vnode.clone().prop_map(|vnode| Op::Crash { vnode }),
        2 => vnode.clone().prop_map(|vnode| Op::Collect { vnode }),
        3 => vnode.prop_map(|vnode| Op::Quiet { vnode }),
    ]
}
