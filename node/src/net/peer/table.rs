//! Who the peers are, where they listen, and the link to each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use quorate_protocol::close::CloseCode;
use quorate_ring::NodeId;
use tokio::sync::{Notify, watch};

use super::super::error::SendRefused;
use super::super::events::{Lane, LinkState};
use super::super::shared::Shared;
use super::dial;
use super::link::Link;

/// All peers by id.
#[derive(Default)]
pub(crate) struct Peers {
    all: ArcSwap<BTreeMap<NodeId, Arc<Peer>>>,
    changing: Mutex<()>,
}

/// One peer, for as long as it is a member.
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    addresses: Mutex<Vec<String>>,
    link: ArcSwapOption<Link>,
    /// Told whenever the link or the addresses change.
    changes: watch::Sender<()>,
    /// Ends the pause between attempts.
    pub(super) wake: Notify,
    /// Ends the peer's task.
    pub(super) gone: Notify,
    /// Held by the link whose events are being told: the next one waits.
    pub(super) turn: tokio::sync::Mutex<()>,
    last_error: Mutex<Option<String>>,
}

impl Peers {
    pub(crate) fn get(&self, node: NodeId) -> Option<Arc<Peer>> {
        self.all.load().get(&node).cloned()
    }

    pub(crate) fn send(&self, to: NodeId, lane: Lane, frames: Bytes) -> Result<(), SendRefused> {
        let all = self.all.load();
        let link = all.get(&to).and_then(|peer| peer.link.load_full());
        link.ok_or(SendRefused::NoLink(to))?.send(lane, frames)
    }

    pub(crate) fn set(shared: &Arc<Shared>, peers: Vec<(NodeId, Vec<String>)>) {
        let changing = shared.peers.changing.lock();
        let before = shared.peers.all.load_full();
        let mut after = BTreeMap::new();
        for (node, addresses) in peers.into_iter().filter(|(node, _)| *node != shared.node) {
            let known = before.get(&node).cloned();
            let peer = known.unwrap_or_else(|| dial::keep(shared, Peer::new(node)));
            peer.listens_at(addresses);
            after.insert(node, peer);
        }
        let leaving: Vec<_> = before
            .values()
            .filter(|peer| !after.contains_key(&peer.node))
            .cloned()
            .collect();
        shared.peers.all.store(Arc::new(after));
        drop(changing);
        for peer in leaving {
            peer.leave();
        }
    }

    pub(crate) fn states(&self) -> Vec<LinkState> {
        self.all.load().values().map(|peer| peer.state()).collect()
    }
}

impl Peer {
    fn new(node: NodeId) -> Arc<Self> {
        Arc::new(Self {
            node,
            addresses: Mutex::default(),
            link: ArcSwapOption::empty(),
            changes: watch::Sender::new(()),
            wake: Notify::new(),
            gone: Notify::new(),
            turn: tokio::sync::Mutex::default(),
            last_error: Mutex::default(),
        })
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn listens_at(&self, addresses: Vec<String>) {
        let mut now = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let changed = *now != addresses;
        *now = addresses;
        // Whoever is told asks for the addresses: the lock must be free by then.
        drop(now);
        if changed {
            self.wake.notify_one();
            self.changes.send_replace(());
        }
    }

    fn leave(&self) {
        self.gone.notify_one();
        if let Some(link) = self.link.load_full() {
            link.close(
                CloseCode::Done,
                "this node is no member of the cluster any more",
            );
        }
    }

    /// It tried to connect although it is to be dialled: it is up and sees no link.
    pub(super) fn knocked(&self, incarnation: u64) {
        if let Some(link) = self.link.load_full()
            && link.incarnation != incarnation
        {
            link.close(CloseCode::Replaced, "the other side restarted");
        }
        self.wake.notify_one();
    }

    /// Puts a new link in the place of what there was.
    pub(super) fn take_over(&self, link: &Arc<Link>) {
        if let Some(before) = self.link.swap(Some(Arc::clone(link))) {
            before.close(
                CloseCode::Replaced,
                "a newer connection took the place of this one",
            );
        }
        self.changes.send_replace(());
        *self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Forgets a link that has ended, unless another took its place already.
    pub(super) fn let_go(&self, link: &Arc<Link>, reason: &str) {
        let before = self.link.compare_and_swap(link, None);
        if before
            .as_ref()
            .is_some_and(|before| Arc::ptr_eq(before, link))
        {
            self.changes.send_replace(());
            self.failed(reason);
        }
    }

    /// Whether there is no link, or one by an address that is the peer's no more.
    pub(super) fn wants_link(&self) -> bool {
        let addresses = self.addresses();
        self.link.load().as_ref().is_none_or(|link| {
            let dialled_as = link.dialled_as.as_ref();
            dialled_as.is_some_and(|address| !addresses.contains(address))
        })
    }

    pub(super) async fn until_wants_link(&self, wants: bool) {
        let mut changes = self.changes.subscribe();
        // The sender lives as long as this peer.
        while self.wants_link() != wants && changes.changed().await.is_ok() {}
    }

    /// Remembers why there is no link, and logs it when it is something new.
    pub(super) fn failed(&self, reason: &str) {
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() != Some(reason) {
            tracing::warn!(peer = %self.node, "no link: {reason}");
            *last = Some(reason.to_owned());
        }
    }

    fn state(&self) -> LinkState {
        let link = self.link.load_full();
        LinkState {
            node: self.node,
            up: link.is_some(),
            last_error: self
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            queued_bytes: link.as_ref().map_or(0, |link| link.queued_bytes()),
            rtt_us: link.and_then(|link| u64::try_from(link.connection.rtt().as_micros()).ok()),
        }
    }
}
