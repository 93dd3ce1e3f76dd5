//! The node's own machines: who answers, and the cluster map.
//!
//! Both are small and share one loop on the network's runtime. What the shards must know of their
//! decisions is told through the shards' inboxes.

use std::collections::BTreeMap;
use std::sync::Arc;

use quorate_core::effects::Now;
use quorate_core::keeper::{Keeper, KeeperEffect, KeeperInput};
use quorate_core::membership::{MemberEffect, MemberInput, Membership};
use quorate_core::moves::Said;
use quorate_core::register::Version;
use quorate_protocol::client::ClientReply;
use quorate_protocol::frame::Header;
use quorate_protocol::peer::{MapNewest, PeerMessage};
use quorate_protocol::versioned::MapVersion;
use quorate_ring::NodeId;
use tokio::sync::mpsc;

use crate::backup::Desk;
use crate::net::{ClientKey, Lane};
use crate::storage::Storage;

use super::context::Context;
use super::door::Door;
use super::inbox::{Control, Outlet};
use super::network::Network;
use super::persist::Persister;
use super::placement::Placement;
use super::requests::NodeRequest;
use super::tickets::Tickets;
use super::{maps, outbox};

/// Messages and requests that may wait for the hub.
const FRAMES_MAX: usize = 4096;

/// A frame for the hub, decoded.
#[derive(Debug)]
pub(super) enum HubFrame {
    Peer {
        from: NodeId,
        message: PeerMessage,
    },
    Client {
        client: ClientKey,
        header: Header,
        request: NodeRequest,
    },
}

/// What the node tells the hub.
#[derive(Debug)]
pub(super) enum HubEvent {
    /// There is a connection to a peer.
    Linked(NodeId),
    /// The connection is gone.
    Unlinked(NodeId),
    /// A client's connection is gone.
    ClientLost(ClientKey),
    /// The map's state of that number is durable.
    Persisted(u64),
    /// A shard's replica has spoken of ring changes.
    Word(u16, Said),
    /// A shard's replica was opened again: it may know less than its peers were told.
    Reborn,
    /// What the node's checks find wrong now.
    Warn(Vec<String>),
    /// A node that is no member was turned away.
    TurnedAway(NodeId),
    /// A peer refuses this node by that version of the map: it is no member.
    RefusedBy(NodeId, MapVersion),
    /// The node stops.
    Stop,
}

/// The sending half of the hub's queue.
#[derive(Clone, Debug)]
pub(super) struct HubOutlet {
    frames: mpsc::Sender<HubFrame>,
    events: mpsc::UnboundedSender<HubEvent>,
}

/// The receiving half.
#[derive(Debug)]
pub(super) struct HubInbox {
    frames: mpsc::Receiver<HubFrame>,
    events: mpsc::UnboundedReceiver<HubEvent>,
}

/// An empty queue.
pub(super) fn hub_inbox() -> (HubOutlet, HubInbox) {
    let (frames, frames_out) = mpsc::channel(FRAMES_MAX);
    let (events, events_out) = mpsc::unbounded_channel();
    (
        HubOutlet { frames, events },
        HubInbox {
            frames: frames_out,
            events: events_out,
        },
    )
}

impl HubOutlet {
    /// Queues a frame; `false` where there are too many.
    pub(super) fn frame(&self, frame: HubFrame) -> bool {
        self.frames.try_send(frame).is_ok()
    }

    /// Tells the hub something. Never refused.
    pub(super) fn tell(&self, event: HubEvent) {
        let _ = self.events.send(event);
    }
}

/// The hub.
pub(super) struct Hub<S, N> {
    pub(super) context: Arc<Context<S, N>>,
    pub(super) inbox: HubInbox,
    pub(super) own: HubOutlet,
    pub(super) shards: Vec<Outlet>,
    pub(super) membership: Membership,
    pub(super) keeper: Keeper,
    pub(super) placement: Arc<Placement>,
    pub(super) tickets: Tickets,
    /// Stores what the map must not forget; `None` where nothing outlives the process.
    pub(super) persister: Option<Persister>,
    /// Who makes backups; `None` where nothing outlives the process.
    pub(super) backups: Option<Arc<Desk>>,
    /// Things an operator should know, as the node's own checks see them.
    pub(super) warnings: Vec<String>,
    /// Who is let in where.
    pub(super) door: Door,
    /// Peers whose cluster map contradicts the one here, and what is to be said of that.
    pub(super) contradictions: BTreeMap<NodeId, String>,
}

impl<S: Storage, N: Network> Hub<S, N> {
    /// Runs until the node stops.
    pub(super) async fn run(mut self) {
        self.look_at_door();
        loop {
            let timer = self.membership.next_timer().min(self.keeper.next_timer());
            let wake = self.context.clock.instant(timer);
            tokio::select! {
                biased;
                event = self.inbox.events.recv() => match event {
                    Some(HubEvent::Stop) | None => return,
                    Some(event) => self.event(event),
                },
                Some(frame) = self.inbox.frames.recv() => self.frame(frame),
                () = tokio::time::sleep_until(wake) => {}
            }
            self.tick();
        }
    }

    fn tick(&mut self) {
        let now = self.context.clock.now();
        if self.membership.next_timer() <= now.mono_us {
            self.member(now, MemberInput::Tick);
        }
        if self.keeper.next_timer() <= now.mono_us {
            self.keep(now, KeeperInput::Tick);
        }
    }

    fn event(&mut self, event: HubEvent) {
        let now = self.context.clock.now();
        match event {
            HubEvent::Linked(peer) => {
                self.member(now, MemberInput::Linked(peer));
                self.tell_stranger(peer);
            }
            HubEvent::Unlinked(peer) => self.member(now, MemberInput::Unlinked(peer)),
            HubEvent::ClientLost(client) => {
                self.tickets.forget(client);
            }
            HubEvent::Persisted(number) => self.keep(now, KeeperInput::Persisted(number)),
            HubEvent::Word(shard, said) => {
                let shards = u16::try_from(self.shards.len()).unwrap_or(u16::MAX);
                let input = KeeperInput::Word {
                    shard,
                    shards,
                    said,
                };
                self.keep(now, input);
            }
            HubEvent::Reborn => {
                self.member(now, MemberInput::Reborn(self.context.sources.number()))
            }
            HubEvent::Warn(warnings) => self.warnings = warnings,
            HubEvent::TurnedAway(node) => {
                if self.door.turned_away(node, now.mono_us) {
                    tracing::info!(%node, "a node that is no member knocks: it is turned away");
                }
            }
            HubEvent::RefusedBy(peer, version) => {
                self.door.refused_by(peer, version);
                self.look_at_door();
            }
            HubEvent::Stop => {}
        }
    }

    fn frame(&mut self, frame: HubFrame) {
        let now = self.context.clock.now();
        match frame {
            HubFrame::Peer {
                from,
                message: PeerMessage::Heartbeat(hb),
            } => {
                self.member(now, MemberInput::Heartbeat { from, hb });
            }
            HubFrame::Peer {
                from,
                message: PeerMessage::HeartbeatAck(hb),
            } => {
                self.member(now, MemberInput::Ack { from, hb });
            }
            HubFrame::Peer { from, message } => {
                self.member(now, MemberInput::Heard(from));
                self.keep(now, KeeperInput::Peer { from, message });
            }
            HubFrame::Client {
                client,
                header,
                request,
            } => self.request(now, client, header, request),
        }
    }

    fn member(&mut self, now: Now, input: MemberInput) {
        let mut effects = Vec::new();
        self.membership.handle(now, input, &mut effects);
        for effect in effects {
            match effect {
                MemberEffect::Send { to, message } => self.send(to, Lane::Datagram, &message),
                MemberEffect::Up(peer) => {
                    tracing::info!(%peer, "peer answers");
                    self.reachable(now, peer, true);
                }
                MemberEffect::Down(peer) => {
                    tracing::warn!(%peer, "peer does not answer: others stand in for it");
                    self.reachable(now, peer, false);
                }
                MemberEffect::Restarted(peer) => {
                    tracing::info!(%peer, "peer has restarted");
                    // The replicas tell by their view that it is another life.
                    self.reachable(now, peer, true);
                }
                MemberEffect::MapDiffers { peer, newest } => {
                    self.keep(now, KeeperInput::Differs { peer, newest });
                }
            }
        }
    }

    fn reachable(&mut self, now: Now, peer: NodeId, up: bool) {
        for shard in &self.shards {
            shard.tell(if up {
                Control::PeerUp(peer)
            } else {
                Control::PeerDown(peer)
            });
        }
        let input = if up {
            KeeperInput::PeerUp(peer)
        } else {
            KeeperInput::PeerDown(peer)
        };
        self.keep(now, input);
    }

    pub(super) fn keep(&mut self, now: Now, input: KeeperInput) {
        let mut effects = Vec::new();
        self.keeper.handle(now, input, &mut effects);
        for effect in effects {
            match effect {
                KeeperEffect::Persist { number, bytes } => self.persist(number, bytes),
                KeeperEffect::Send { to, message } => self.send(to, Lane::Small, &message),
                KeeperEffect::Reply { ticket, reply } => {
                    if let Some(waiting) = self.tickets.close(ticket) {
                        self.reply(waiting.client, &waiting.header, &reply);
                    }
                }
                KeeperEffect::Changed(version) => self.map_changed(now, &version),
                KeeperEffect::Contradiction { here, there, peer } => {
                    let text = maps::contradiction(here, there, peer);
                    tracing::error!("{text}");
                    self.contradictions.insert(peer, text);
                }
                KeeperEffect::GivenUp { by, peer } => {
                    self.door.refused_by(peer, by.version);
                    self.look_at_door();
                }
            }
        }
    }

    fn map_changed(&mut self, now: Now, version: &Version) {
        let name = version.name();
        tracing::info!(version = %name, what = version.map().change.what, "the cluster map has a new version");
        let before = self.placement.map();
        self.placement.set(version.shared());
        for shard in &self.shards {
            shard.tell(Control::Map(version.shared()));
        }
        self.member(now, MemberInput::Newest(name));
        let members = version.map().map.members.iter();
        let members = members.map(|member| member.id);
        let members = members.filter(|&node| version.map().admits(node)).collect();
        self.member(now, MemberInput::Peers(members));
        for member in &before.map.members {
            self.tell_stranger(member.id);
        }
        self.look_at_door();
    }

    /// Who is no member any more, and still has a link, hears of the version by which it is none.
    fn tell_stranger(&self, peer: NodeId) {
        let newest = self.keeper.register().newest();
        if !newest.map().admits(peer) {
            let newest = newest.name();
            self.send(peer, Lane::Small, &MapNewest { newest }.into());
        }
    }

    /// Whether this node is a member may be something else now.
    fn look_at_door(&mut self) {
        let closed = self.door.closed(self.context.node, &self.keeper.map());
        let before = self.placement.closed();
        if closed.as_ref() == before.as_deref() {
            return;
        }
        match &closed {
            Some(why) => tracing::warn!("{why}"),
            None => tracing::info!("this node is a member of the cluster"),
        }
        self.placement.close(closed);
    }

    pub(super) fn reply(&self, client: ClientKey, header: &Header, reply: &ClientReply) {
        let Context {
            network, counters, ..
        } = &*self.context;
        let ring = self.placement.ring_version();
        outbox::reply_now(network, counters, ring, client, header, reply);
    }

    fn send(&self, to: NodeId, lane: Lane, message: &PeerMessage) {
        let Context {
            network, counters, ..
        } = &*self.context;
        outbox::send_now(
            network,
            counters,
            self.placement.ring_version(),
            to,
            lane,
            message,
        );
    }

    fn persist(&self, number: u64, bytes: Vec<u8>) {
        match &self.persister {
            Some(persister) => persister.store(number, bytes),
            None => self.own.tell(HubEvent::Persisted(number)),
        }
    }
}
