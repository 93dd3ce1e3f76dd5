//! Storage that was put together from a backup: what must be changed in it before a replica opens it.
//!
//! # One node of a cluster that runs
//!
//! Its peers went on without it. What they settled since (`replicate/settled.rs`) they tell it, and it would find out by
//! itself that it is old. But one thing it cannot: its log of who was alive is as old as its data, and by that log
//! it might excuse a dead node with which it acknowledged a write after the backup. So every vnode that
//! has peers is marked as lost: it is rebuilt from a current peer, waits for every node, and keeps what it can read as
//! a hint to itself. The only member of a class has nobody to learn from. It goes on with what it has.
//!
//! # A whole cluster, each node from its own backup
//!
//! If all were marked, none could fill another. Nor is that needed. Let `t` be the latest moment at which one of a class's
//! vnodes was backed up while it was whole. Whatever any of the others knows to be settled, this vnode had
//! confirmed to have durably, before their backups and so before `t`; it has it still. So it never takes itself
//! for old, lacks no dot that is in no log any more, and becomes current as soon as it has heard the others.
//! Those that are older than what others have settled find that out, and are filled from it.
//!
//! This holds for what whole vnodes know. One that was being rebuilt may be the latest, and know things that no
//! backup of another has. It is marked as lost, and what it knew to be settled counts for nothing any more:
//! its peers would all take themselves for old, and all wait for all.
//!
//! In both cases the storage has a new id: what peers were told of the old one counts for nothing.

use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_protocol::StorageId;
use quorate_ring::Class;

use super::keys;
use super::vnode::{VnodeRecord, decode_vnode, encode_vnode};
use crate::causality::Clock;
use crate::store::{Family, Store, StoreError, Write};

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// One node; the others went on since its backup.
    Node,
    /// All nodes, before any of them serves again.
    Cluster,
}

/// The writes that make a restored storage fit to be opened. `has_peers` says whether a class has other
/// members; `draw` gives random numbers, never the same ones twice.
///
/// # Errors
/// The store failed, or its vnode records are damaged.
pub fn restored_writes(
    store: &dyn Store,
    restored: Restored,
    has_peers: impl Fn(Class) -> bool,
    draw: &mut dyn FnMut() -> u64,
) -> Result<Vec<Write>, StoreError> {
    let (from, to) = keys::vnodes_range();
    let mut writes = Vec::new();
    store.scan(Family::Vnodes, &from, &to, &mut |key, record| {
        if let Some(class) = keys::parse_vnode_key(key) {
            // What cannot be read is found by the replica that opens it.
            let record = decode_vnode(key, record).ok();
            let was_whole = record.as_ref().is_some_and(is_whole);
            let lost = has_peers(class) && (restored == Restored::Node || !was_whole);
            if let Some(record) = record {
                let record = renewed(record, lost && restored == Restored::Cluster, draw());
                writes.push(put(key.to_vec(), encode_vnode(key, &record)));
            }
            if lost {
                writes.push(put(keys::lost_key(class), Bytes::new()));
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(writes)
}

fn is_whole(record: &VnodeRecord) -> bool {
    !record.damaged && record.rebuilding.is_none()
}

fn renewed(record: VnodeRecord, forgets_settled: bool, storage: u64) -> VnodeRecord {
    let settled = if forgets_settled {
        Clock::new()
    } else {
        record.settled
    };
    VnodeRecord {
        storage: StorageId::new(storage),
        settled,
        complete: None,
        ..record
    }
}

const fn put(key: Vec<u8>, value: Bytes) -> Write {
    Write::Put {
        family: Family::Vnodes,
        key,
        value,
    }
}
