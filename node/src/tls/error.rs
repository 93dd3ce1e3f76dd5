//! What can be wrong with a certificate file, in words that name the file and the remedy.

use std::io;
use std::path::{Path, PathBuf};

use quorate_protocol::ClusterId;
use quorate_ring::NodeId;

use super::identity::IdentityError;

/// Which of the three files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// The cluster's certificate authority.
    Authority,
    /// The own certificate chain.
    Certificate,
    /// The own key.
    Key,
}

impl FileRole {
    pub(super) fn error(self, path: &Path, problem: TlsProblem) -> TlsError {
        TlsError {
            role: self,
            path: path.to_path_buf(),
            problem,
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Authority => "certificate authority",
            Self::Certificate => "certificate",
            Self::Key => "key",
        }
    }
}

/// A certificate file that cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("{} file {}: {problem}", role.words(), path.display())]
pub struct TlsError {
    /// Which file.
    pub role: FileRole,
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub problem: TlsProblem,
}

/// What is wrong with a certificate file.
#[derive(Debug, thiserror::Error)]
pub enum TlsProblem {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// It is far larger than such files are.
    #[error("{0} bytes long, at most {max} are read", max = super::files::FILE_BYTES_MAX)]
    TooLong(u64),
    /// It is not PEM.
    #[error("not PEM ({0}): expected text between -----BEGIN and -----END lines")]
    NotPem(String),
    /// PEM, but without a certificate.
    #[error("holds no certificate (found: {0})")]
    NoCertificate(String),
    /// PEM, but without a private key.
    #[error("holds no private key (found: {0})")]
    NoKey(String),
    /// A certificate in it is no X.509.
    #[error("holds a damaged certificate: {0}")]
    Damaged(String),
    /// Its time is over.
    #[error("expired on {0}: make a new one, or set this machine's clock")]
    Expired(String),
    /// Its time has not come.
    #[error("not valid before {0}: set this machine's clock, or make a new one")]
    NotYetValid(String),
    /// The certificate authority's certificate is not that of an authority.
    #[error("is not the certificate of an authority")]
    NotAnAuthority,
    /// The key belongs to another certificate.
    #[error("does not belong to the certificate in {}", .0.display())]
    OtherKey(PathBuf),
    /// A key that cannot be used.
    #[error("cannot be used: {0}")]
    BadKey(String),
    /// Signed by somebody else.
    #[error("was not signed by the authority in {}", .0.display())]
    OtherAuthority(PathBuf),
    /// The usages in it do not allow what a node does.
    #[error(
        "does not allow {0} authentication: a node's certificate needs server and client usage"
    )]
    Usage(&'static str),
    /// It names nobody whom Quorate knows.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// It names a client.
    #[error("is that of the client '{0}', a node needs a node's certificate")]
    NotOfANode(String),
    /// It names another node or cluster than it must.
    #[error(
        "names node {} of cluster {}, this is node {} of cluster {}",
        named.0, named.1, expected.0, expected.1
    )]
    AnotherNode {
        /// The node and cluster named.
        named: (NodeId, ClusterId),
        /// Those expected.
        expected: (NodeId, ClusterId),
    },
    /// Anything else that TLS finds wrong.
    #[error("refused: {0}")]
    Refused(String),
}
