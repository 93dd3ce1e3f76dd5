//! What the network delivers, handed to the shard or machine it concerns.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use quorate_protocol::client::{ClientReply, ClientRequest, MapReply, Pong, WholeMap};
use quorate_protocol::codec::DecodeError;
use quorate_protocol::frame::{HEADER_BYTES, Header};
use quorate_protocol::hello::{Hello, PROTOCOL_VERSION, PROTOCOL_VERSION_MIN};
use quorate_protocol::limits::DEADLINE_MS_MAX;
use quorate_protocol::peer::PeerMessage;
use quorate_protocol::versioned::MapVersion;
use quorate_protocol::{ErrorCode, WireError};
use quorate_ring::NodeId;

use crate::net::{ClientKey, NetEvent, NetHandler, NoMessage};

use super::clock::Clock;
use super::counters::{Counters, Event};
use super::hub::{HubEvent, HubFrame, HubOutlet};
use super::inbox::{Control, Frame, Full, Outlet};
use super::network::Network;
use super::outbox;
use super::placement::{Handler, Placement};
use super::requests::NodeRequest;
use super::split::{Route, route, shard_of};

/// What a client should wait before it tries an overloaded node again, milliseconds.
const OVERLOADED_RETRY_MS: u32 = 100;

/// Takes the network's events.
pub(super) struct Router<N> {
    pub(super) node: NodeId,
    pub(super) incarnation: u64,
    pub(super) placement: Arc<Placement>,
    pub(super) shards: Vec<Outlet>,
    pub(super) hub: HubOutlet,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: Clock,
    /// Set once the network runs, which is before it delivers anything that needs an answer.
    pub(super) network: OnceLock<N>,
    pub(super) stopping: AtomicBool,
}

impl<N: Network> NetHandler for Router<N> {
    fn on_event(&self, event: NetEvent) -> Result<(), NoMessage> {
        match event {
            NetEvent::PeerUp { node, hello } => {
                tracing::debug!(peer = %node, build = hello.build, "link to peer is up");
                self.hub.tell(HubEvent::Linked(node));
            }
            NetEvent::PeerLost { node, reason } => {
                tracing::debug!(peer = %node, reason, "link to peer is gone");
                self.hub.tell(HubEvent::Unlinked(node));
            }
            NetEvent::TurnedAway { node } => self.hub.tell(HubEvent::TurnedAway(node)),
            NetEvent::RefusedBy { node, version } => {
                self.hub.tell(HubEvent::RefusedBy(node, version));
            }
            NetEvent::PeerFrame { from, header, body } => {
                return self.peer_frame(from, &header, &body);
            }
            NetEvent::ClientFrame {
                client,
                principal,
                header,
                body,
            } => {
                if let Err(error) = self.client_frame(client, principal, header, &body) {
                    self.reply(client, &header, &error.into());
                }
            }
            NetEvent::ClientLost { client } => {
                self.hub.tell(HubEvent::ClientLost(client));
                for shard in &self.shards {
                    shard.tell(Control::ClientLost(client));
                }
            }
        }
        Ok(())
    }

    fn hello(&self) -> Hello {
        let version = self.placement.map();
        let map = &version.map;
        Hello {
            version_min: PROTOCOL_VERSION_MIN,
            version_max: PROTOCOL_VERSION,
            capabilities: 0,
            build: crate::BUILD.to_owned(),
            cluster: Some(map.cluster),
            node: Some(self.node),
            ring: Some(map.ring.version()),
            incarnation: self.incarnation,
            wall_ms: self.clock.now().wall_ms,
        }
    }

    fn map_version(&self) -> MapVersion {
        self.placement.map().version
    }
}

impl<N: Network> Router<N> {
    fn shards(&self) -> u16 {
        // The number of shards is a u16 in the configuration.
        u16::try_from(self.shards.len()).unwrap_or(u16::MAX)
    }

    fn peer_frame(&self, from: NodeId, header: &Header, body: &Bytes) -> Result<(), NoMessage> {
        let opcode = header.opcode;
        let bytes = HEADER_BYTES + body.len();
        self.counters.bytes(Event::PeerBytesReceived, bytes);
        let mut message = match PeerMessage::decode_body(opcode, body) {
            Ok(message) => message,
            Err(error) => {
                self.counters.event(Event::BadPeerFrame);
                tracing::warn!(peer = %from, %error, "a peer sent what is no message");
                return match error {
                    // Of a later version, perhaps: the rest of what it says is understood.
                    DecodeError::UnknownOpcode(_) => Ok(()),
                    DecodeError::Malformed(_) | DecodeError::Trailing => {
                        let reason = error.to_string();
                        Err(NoMessage { opcode, reason })
                    }
                };
            }
        };
        let (deadline_ms, trace) = (header.deadline_ms, header.trace);
        let to_shard = |shard: u16, message| {
            let frame = Frame::Peer {
                from,
                deadline_ms,
                trace,
                message,
            };
            if self.shards[usize::from(shard)].frame(frame, body.len()) == Err(Full) {
                self.counters.event(Event::PeerFrameDropped);
            }
        };
        match route(&mut message, self.shards()) {
            Route::Shard(shard) => to_shard(shard, message),
            Route::Parts(parts) => parts
                .into_iter()
                .for_each(|(shard, part)| to_shard(shard, part)),
            Route::Hub => {
                if !self.hub.frame(HubFrame::Peer { from, message }) {
                    self.counters.event(Event::PeerFrameDropped);
                }
            }
        }
        Ok(())
    }

    fn client_frame(
        &self,
        client: ClientKey,
        principal: Arc<str>,
        header: Header,
        body: &Bytes,
    ) -> Result<(), WireError> {
        if self.stopping.load(Ordering::Relaxed) {
            let text = "this node is stopping: nothing was done, ask another node";
            return Err(WireError::new(ErrorCode::Stopping, text).retry_after(OVERLOADED_RETRY_MS));
        }
        let request = ClientRequest::decode_body(header.opcode, body)
            .map_err(|error| self.bad_request(&error))?;
        self.check_member(&request)?;
        match self.placement.handler(&request)? {
            Handler::Node => self.node_request(client, header, request),
            Handler::Partition(partition) => {
                check_deadline(header.deadline_ms)?;
                let shard = shard_of(partition, self.shards());
                let frame = Frame::Client {
                    client,
                    principal,
                    header,
                    request,
                };
                self.shards[usize::from(shard)]
                    .frame(frame, body.len())
                    .map_err(|Full| self.overloaded())
            }
        }
    }

    /// Who is no member answers nothing but questions about itself: its map would lead clients astray.
    fn check_member(&self, request: &ClientRequest) -> Result<(), WireError> {
        let about_itself = matches!(
            request,
            ClientRequest::Ping(_) | ClientRequest::Status(_) | ClientRequest::MapHistory(_)
        );
        match self.placement.closed() {
            Some(why) if !about_itself => Err(WireError::new(ErrorCode::NoMember, why.as_str())),
            Some(_) | None => Ok(()),
        }
    }

    fn node_request(
        &self,
        client: ClientKey,
        header: Header,
        request: ClientRequest,
    ) -> Result<(), WireError> {
        let version = self.placement.map();
        let map = &version.map;
        let for_hub = match request {
            ClientRequest::Ping(ping) => {
                let pong = Pong {
                    nonce: ping.nonce,
                    node: self.node,
                    cluster: map.cluster,
                    build: crate::BUILD.to_owned(),
                };
                self.reply(client, &header, &pong.into());
                return Ok(());
            }
            ClientRequest::GetMap(_) => {
                let reply = MapReply {
                    map: map.clone(),
                    node: self.node,
                };
                self.reply(client, &header, &reply.into());
                return Ok(());
            }
            ClientRequest::GetVersion(_) => {
                let reply = WholeMap {
                    version: Box::new((*version).clone()),
                    node: self.node,
                };
                self.reply(client, &header, &reply.into());
                return Ok(());
            }
            ClientRequest::PutBucket(request) => {
                check_deadline(header.deadline_ms)?;
                NodeRequest::PutBucket(request)
            }
            ClientRequest::ChangeRing(request) => {
                check_deadline(header.deadline_ms)?;
                NodeRequest::ChangeRing(request)
            }
            ClientRequest::PlanRing(_) => NodeRequest::PlanRing,
            ClientRequest::MapHistory(request) => NodeRequest::MapHistory(request),
            ClientRequest::Status(request) => NodeRequest::Status(request),
            ClientRequest::Replicas(request) => NodeRequest::Replicas(request),
            ClientRequest::Backup(request) => NodeRequest::Backup(request),
            ClientRequest::Scrub(request) => NodeRequest::Scrub(request),
            ClientRequest::Moves(request) => NodeRequest::Moves(request),
            ClientRequest::Get(_)
            | ClientRequest::Put(_)
            | ClientRequest::Delete(_)
            | ClientRequest::Keys(_) => {
                return Err(WireError::new(
                    ErrorCode::Protocol,
                    "a request for a key reached the node's own machines",
                ));
            }
        };
        if self.hub.frame(HubFrame::Client {
            client,
            header,
            request: for_hub,
        }) {
            Ok(())
        } else {
            Err(self.overloaded())
        }
    }

    fn reply(&self, client: ClientKey, header: &Header, reply: &ClientReply) {
        if let Some(network) = self.network.get() {
            outbox::reply_now(
                network,
                &self.counters,
                self.placement.ring_version(),
                client,
                header,
                reply,
            );
        }
    }

    fn bad_request(&self, error: &DecodeError) -> WireError {
        self.counters.event(Event::BadRequest);
        let code = match error {
            DecodeError::UnknownOpcode(_) => ErrorCode::NotSupported,
            DecodeError::Malformed(_) | DecodeError::Trailing => ErrorCode::Protocol,
        };
        WireError::new(code, error.to_string())
    }

    fn overloaded(&self) -> WireError {
        self.counters.event(Event::Overloaded);
        let text = "this node has more requests waiting than it takes: nothing was done";
        WireError::new(ErrorCode::Overloaded, text).retry_after(OVERLOADED_RETRY_MS)
    }
}

fn check_deadline(deadline_ms: u32) -> Result<(), WireError> {
    if (1..=DEADLINE_MS_MAX).contains(&deadline_ms) {
        return Ok(());
    }
    let text = format!("a deadline of {deadline_ms} ms: it must be from 1 to {DEADLINE_MS_MAX}");
    Err(WireError::new(ErrorCode::Invalid, text))
}
