//! What Quorate's clients and nodes say to each other: types, limits and bytes.
//!
//! Pure: no sockets, no clock, no randomness. Three layers, top down:
//!
//! * messages: [`client`] (client wire) and [`peer`] (peer wire) list every request and reply with
//!   its opcode; [`hello`] opens a connection of either kind; [`map`] is the cluster map they share;
//! * [`codec`]: one message as bounded MessagePack, in array form, refusing what trails;
//! * [`frame`]: the fixed header in front of every message, and the incremental reader.
//!
//! Every bound is a constant in [`limits`], with the reason beside it.

pub mod client;
pub mod close;
pub mod codec;
pub mod error;
mod extent;
pub mod frame;
pub mod hello;
pub mod ids;
pub mod limits;
pub mod map;
pub mod map_file;
mod messages;
pub mod names;
pub mod options;
pub mod peer;
pub mod versioned;

pub use error::{ErrorCode, WireError};
pub use extent::Extent;
pub use ids::{
    ActorId, ClusterId, ContentDigest, Dot, MapDigest, RequestId, StorageId, TransferId, VnodeId,
};
