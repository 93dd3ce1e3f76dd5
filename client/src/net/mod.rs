//! Connections to nodes: one QUIC connection each, made when first needed.
//!
//! * [`dial`](mod@dial): from an address to a connection whose other side has said who it is;
//! * [`connection`]: requests and replies over one connection;
//! * [`waiting`]: who waits for which reply;
//! * [`pool`]: which nodes are connected, being dialled, or down.

pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod pool;
mod silence;
mod waiting;

pub(crate) use connection::{Answer, CallError, Connection, Envelope};
pub(crate) use dial::{DialError, Dialer};
pub(crate) use pool::{PATIENCE, Pool};
