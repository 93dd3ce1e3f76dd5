//! What can go wrong with the network as a whole, and with one message.

use std::io;
use std::net::SocketAddr;

use quorate_ring::NodeId;

use super::events::ClientKey;
use crate::sources::NoRandomness;
use crate::tls::TlsError;

/// The network cannot start. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {}", bind_words(source))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A socket cannot be handed to QUIC.
    #[error("cannot use the UDP socket: {0}")]
    Socket(io::Error),
    /// A certificate is wrong.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The TLS library lacks what QUIC needs.
    #[error("TLS lacks a cipher suite that QUIC needs: {0}")]
    NoSuite(String),
    /// The system gives no random bytes.
    #[error(transparent)]
    Random(#[from] NoRandomness),
    /// A setting is out of its range.
    #[error("network setting {name} is {value}: it must be {range}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        range: &'static str,
    },
}

fn bind_words(error: &io::Error) -> String {
    // Only the kinds that have a remedy of their own get words of their own.
    if error.kind() == io::ErrorKind::AddrInUse {
        return "another process uses this port; stop it or configure another port".into();
    }
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        return "this machine does not have that address".into();
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        return "not allowed; ports below 1024 need privileges".into();
    }
    if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
        return "too many open files; raise the limit (ulimit -n)".into();
    }
    error.to_string()
}

/// A message was not taken. Nothing of it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendRefused {
    /// There is no link to that peer now.
    #[error("no link to node {0}")]
    NoLink(NodeId),
    /// That client has gone.
    #[error("client {} has gone", .0.0)]
    ClientGone(ClientKey),
    /// The queue to it holds as many bytes as it may.
    #[error("{queued} bytes wait to be sent already, at most {max} may")]
    QueueFull {
        /// Bytes in the queue.
        queued: usize,
        /// Its bound.
        max: usize,
    },
    /// All queues together hold as many bytes as they may.
    #[error("{queued} bytes wait to be sent on all connections together, at most {max} may")]
    TotalFull {
        /// Bytes in all queues.
        queued: usize,
        /// Their bound.
        max: usize,
    },
}
