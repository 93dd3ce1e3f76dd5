//! Between driver and network: what passes is noted, decoded, and passed on as it is.

use std::sync::Arc;

use bytes::Bytes;
use quorate_node::driver::Network;
use quorate_node::net::{ClientKey, Lane, NetEvent, NetHandle, NetHandler, NoMessage, SendRefused};
use quorate_protocol::client::{ClientReply, ClientRequest};
use quorate_protocol::frame::{Header, Reader};
use quorate_protocol::hello::Hello;
use quorate_protocol::limits::FRAME_BODY_BYTES_MAX;
use quorate_protocol::peer::PeerMessage;
use quorate_protocol::versioned::MapVersion;
use quorate_ring::NodeId;

use super::trace::Trace;

/// How a test changes a node's hellos.
pub(crate) type Greeting = fn(Hello) -> Hello;

/// The driver's side of a node's network.
#[derive(Clone)]
pub(crate) struct Sending {
    pub(crate) name: String,
    pub(crate) net: NetHandle,
    pub(crate) trace: Trace,
}

impl Network for Sending {
    fn send_peer(&self, to: NodeId, lane: Lane, frames: Bytes) -> Result<(), SendRefused> {
        let sent = self.net.send_peer(to, lane, frames.clone());
        let refused = if sent.is_ok() { "" } else { " refused" };
        for (header, body) in decode(&frames) {
            let what = peer_message(&header, &body);
            self.trace.note(format_args!(
                "{} to {to} {lane:?} {what}{refused}",
                self.name
            ));
        }
        sent
    }

    fn reply(&self, client: ClientKey, frames: Bytes) -> Result<(), SendRefused> {
        for (header, body) in decode(&frames) {
            let reply = ClientReply::decode_body(header.opcode, &body).unwrap();
            self.trace.note(format_args!(
                "{} to client {} {} {}",
                self.name,
                client.0,
                reply.name(),
                summary(&header, &body)
            ));
        }
        self.net.reply(client, frames)
    }
}

/// The network's side.
pub(crate) struct Hearing {
    pub(crate) name: String,
    pub(crate) driver: Arc<dyn NetHandler>,
    pub(crate) greeting: Greeting,
    pub(crate) trace: Trace,
}

impl NetHandler for Hearing {
    fn on_event(&self, event: NetEvent) -> Result<(), NoMessage> {
        let what = match &event {
            NetEvent::PeerUp { node, hello } => {
                format!("up {node} {:016x} {}", hello.incarnation, hello.wall_ms)
            }
            NetEvent::PeerLost { node, reason } => format!("lost {node}: {reason}"),
            NetEvent::PeerFrame { from, header, body } => {
                format!("from {from} {}", peer_message(header, body))
            }
            NetEvent::ClientFrame {
                client,
                header,
                body,
                ..
            } => {
                let request = ClientRequest::decode_body(header.opcode, body);
                let name = request.map_or("unreadable", |request| request.name());
                format!("from client {} {name} {}", client.0, summary(header, body))
            }
            NetEvent::TurnedAway { node } => format!("turned away {node}"),
            NetEvent::RefusedBy { node, version } => format!("refused by {node} at {version}"),
            NetEvent::ClientLost { client } => format!("lost client {}", client.0),
        };
        self.trace.note(format_args!("{} {what}", self.name));
        self.driver.on_event(event)
    }

    fn hello(&self) -> Hello {
        (self.greeting)(self.driver.hello())
    }

    fn map_version(&self) -> MapVersion {
        self.driver.map_version()
    }
}

/// All frames of a run of whole ones.
pub(crate) fn decode(bytes: &Bytes) -> Vec<(Header, Bytes)> {
    let mut reader = Reader::new(FRAME_BODY_BYTES_MAX);
    reader.push(bytes);
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        frames.push(frame);
    }
    assert_eq!(reader.pending(), 0, "whole frames only");
    frames
}

fn peer_message(header: &Header, body: &Bytes) -> String {
    let message = PeerMessage::decode_body(header.opcode, body);
    let name = message.map_or("unreadable", |message| message.name());
    format!("{name} {}", summary(header, body))
}

fn summary(header: &Header, body: &Bytes) -> String {
    let Header {
        request,
        deadline_ms,
        ..
    } = header;
    format!(
        "#{request} {deadline_ms}ms {} bytes {:08x}",
        body.len(),
        crc32fast::hash(body)
    )
}
