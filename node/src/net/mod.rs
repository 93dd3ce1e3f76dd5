//! QUIC: one endpoint for peers, one for clients, frames in and frames out.
//!
//! This module knows certificates, connections and frames. It knows neither storage nor the core:
//! what arrives goes to a [`NetHandler`] as [`NetEvent`]s, what is to leave comes in by the
//! [`NetHandle`]. Everything runs as tasks of the tokio runtime on which it was started; the handle
//! may be used from any thread.
//!
//! # What travels how: the rules for both sides
//!
//! *Both ports.* TLS 1.3 with certificates on both sides, ALPN as in
//! [`quorate_protocol::hello`]. The first frame of each side is its hello; the connection is closed
//! if it does not come within 3 seconds, names another cluster, or has no version in common. Close
//! codes are those of [`quorate_protocol::close`], always with a reason in words.
//!
//! *Peer port.* One connection per pair of nodes, used both ways.
//! - The node with the smaller id dials. The other one *knocks* while it has no link: it connects,
//!   says hello, and is told to wait; the knock ends the dialler's pause. Of two connections the
//!   later one wins.
//! - Who is no peer is turned away with `no member` and the version of the cluster map by which it is none. It comes
//!   back every few seconds: whoever takes it in dials it, or answers when it dials.
//! - The first unidirectional stream of each side starts with its hello and then carries small
//!   frames (bodies up to `SMALL_BODY_BYTES_MAX`), in order, for as long as the link lives.
//! - Every other unidirectional stream holds exactly one frame of any size.
//! - A datagram holds one or more whole frames; it may be lost.
//!
//! *Client port.* The client opens all bidirectional streams.
//! - The first one starts with the client's hello, answered by the node's on the same stream. Then
//!   it carries small requests one way and small replies the other, for as long as the connection
//!   lives. Replies come in any order, matched by the header's `request`.
//! - A request with a body over `SMALL_BODY_BYTES_MAX` has a stream of its own, bidirectional or
//!   unidirectional, which holds exactly that frame. Nothing comes back on it.
//! - A reply with a body up to `SMALL_BODY_BYTES_MAX` comes on the first stream, whatever its
//!   request came on. A larger one comes on a unidirectional stream that the node opens, which
//!   holds exactly that frame. A client must allow the node 16 such streams or more.
//! - A request that would exceed a bound is answered with `overloaded` and the connection goes on.
//!   So is a large reply for which there is no room; a reply to a write is never replaced.
//! - A request with a body over `CLIENT_BODY_BYTES_MAX` is answered with `too_large`.

mod accept;
mod bounds;
mod budget;
mod client;
mod close;
mod complaints;
mod endpoint;
mod error;
mod events;
mod frames;
mod handle;
mod hello;
mod peer;
mod queue;
mod send;
mod settings;
mod shared;

pub use endpoint::{bare_endpoint, bind};
pub use error::{NetError, SendRefused};
pub use events::{ClientKey, Lane, LinkState, NetEvent, NetHandler, NoMessage};
pub use handle::{NetHandle, NetParts, start};
pub use settings::NetSettings;

#[cfg(test)]
mod tests;
