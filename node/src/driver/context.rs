//! What all loops of the driver share.

use std::sync::Arc;

use quorate_protocol::versioned::VersionedMap;
use quorate_ring::NodeId;

use crate::sources::Sources;

use super::clock::Clock;
use super::counters::Counters;
use super::hub::HubOutlet;
use super::sync::SyncDesk;

/// Shared by the hub, the shards and the router.
#[derive(Debug)]
pub(super) struct Context<S, N> {
    /// This node.
    pub(super) node: NodeId,
    /// How many shards there are.
    pub(super) shards: u16,
    /// The key of context tokens.
    pub(super) token_key: [u8; 32],
    /// The replicas' waiting times.
    pub(super) timing: quorate_core::timing::Timing,
    /// The database.
    pub(super) storage: Arc<S>,
    /// Where frames leave.
    pub(super) network: N,
    /// What happened.
    pub(super) counters: Arc<Counters>,
    /// The time.
    pub(super) clock: Clock,
    /// Randomness.
    pub(super) sources: Sources,
    /// Where commits are reported.
    pub(super) desk: Arc<SyncDesk>,
    /// The node's own machines.
    pub(super) hub: HubOutlet,
}

/// A version of the cluster map, as a node starts with it or learns it.
pub(super) type Map = Arc<VersionedMap>;
