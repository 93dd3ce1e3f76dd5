//! Transfers under way to one replica's vnodes, for those who look on.

use std::collections::BTreeMap;

use quorate_protocol::client::{Moves, Pace, Transfer};
use quorate_protocol::ids::TransferId;
use quorate_protocol::{Extent, StorageId};
use quorate_ring::Class;

use crate::effects::{Effect, TransferNews, TransferStep};
use crate::replica::Replica;
use crate::shared::Shared;
use crate::vnode::Vnode;

/// What one transfer has brought since it began, or since the replica was opened.
#[derive(Clone, Copy, Debug)]
struct Come {
    id: Option<TransferId>,
    since_us: u64,
    bytes: u64,
}

/// What transfers have brought, by class.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    come: BTreeMap<Class, Come>,
}

impl UnderWay {
    /// A page has been taken.
    pub(super) fn took(&mut self, shared: &mut Shared, class: Class, bytes: u64) {
        let id = shared.vnodes.get(&class).and_then(transfer_id);
        let since_us = shared.now.mono_us;
        let fresh = Come {
            id,
            since_us,
            bytes: 0,
        };
        let known = self.come.get(&class).copied();
        let mut come = known.filter(|known| known.id == id).unwrap_or(fresh);
        come.bytes += bytes;
        if come.bytes == bytes
            && let Some(news) = news_of(shared, class, TransferStep::Receives)
        {
            shared.perform(Effect::Transfer(news));
        }
        self.come.insert(class, come);
    }

    /// Those that ended, one way or another, are forgotten.
    pub(super) fn forget_ended(&mut self, shared: &mut Shared) {
        let ended = |class: &Class| {
            let vnode = shared.vnodes.get(class);
            vnode.is_none_or(|vnode| vnode.rebuilding.is_none())
        };
        let classes: Vec<Class> = self.come.keys().copied().filter(ended).collect();
        for class in classes {
            let come = self.come.remove(&class);
            let whole = shared.vnodes.get(&class).is_some_and(Vnode::is_whole);
            if let Some(id) = come.and_then(|come| come.id) {
                let step = if whole {
                    TransferStep::Received
                } else {
                    TransferStep::GivenUp
                };
                let peer = None;
                let news = TransferNews {
                    id,
                    class,
                    peer,
                    step,
                };
                shared.perform(Effect::Transfer(news));
            }
        }
    }
}

fn news_of(shared: &Shared, class: Class, step: TransferStep) -> Option<TransferNews> {
    let vnode = shared.vnodes.get(&class)?;
    let peer = vnode.rebuilding.as_ref()?.source()?.node;
    Some(TransferNews {
        id: transfer_id(vnode)?,
        class,
        peer: Some(peer),
        step,
    })
}

/// The transfer that fills a vnode, once it has a sender.
fn transfer_id(vnode: &Vnode) -> Option<TransferId> {
    let sender: StorageId = vnode.rebuilding.as_ref()?.source()?.storage;
    Some(TransferId::of(sender, vnode.storage))
}

impl Replica {
    /// Takes an order about the copies that travel to this replica and from it, and tells how they do.
    pub fn order_moves(&mut self, order: &Moves) -> (Pace, Vec<Transfer>) {
        let pace = self.shared.order_pace(order);
        let vnodes = self.shared.vnodes.values();
        let travel = vnodes.filter(|vnode| vnode.rebuilding.is_some() || vnode.joining.is_some());
        (pace, travel.map(|vnode| self.transfer(vnode)).collect())
    }

    fn transfer(&self, vnode: &Vnode) -> Transfer {
        let source = vnode.rebuilding.as_ref().and_then(|state| state.source());
        let sender = source.map(|source| source.node);
        let come = self.rebuild.under_way.come.get(&vnode.class);
        let for_us = come.map_or(0, |come| {
            self.shared.now.mono_us.saturating_sub(come.since_us)
        });
        let most = vnode.peers.values().map(|peer| peer.holds).max();
        let there = match sender.and_then(|node| vnode.peers.get(&node)) {
            Some(peer) => peer.holds,
            None => most.unwrap_or(Extent::default()),
        };
        Transfer {
            id: transfer_id(vnode).unwrap_or(TransferId::new(0)),
            class: vnode.class,
            from: sender,
            here: vnode.digest.extent(),
            there,
            received: come.map_or(0, |come| come.bytes),
            for_ms: for_us / 1000,
            newcomer: vnode.joining.is_some(),
        }
    }
}
