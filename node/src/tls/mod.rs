//! Who is who: certificates, the checks on one's own, and the identity of the other side.
//!
//! A node has three PEM files: the cluster's authority, its own certificate chain and the key. All
//! are checked when they are read, so that a wrong one is named at once, by file and reason, and
//! not as a failed handshake on another machine. What the names inside mean is written in
//! [`quorate_protocol::names`].
//!
//! Both sides of every connection show a certificate (TLS 1.3 only, no early data, no resumption:
//! each connection proves its identity anew, also after a reload).

mod check;
mod configs;
mod error;
mod files;
mod identity;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use quorate_protocol::ClusterId;
use quorate_ring::NodeId;

pub use error::{FileRole, TlsError, TlsProblem};
pub use files::Credentials;
pub(crate) use identity::of_chain;
pub use identity::{IdentityError, PeerIdentity, Person};

/// Where the three PEM files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The cluster's certificate authority.
    pub authority: PathBuf,
    /// The node's certificate, then any intermediate ones.
    pub certificate: PathBuf,
    /// The key of the certificate.
    pub key: PathBuf,
}

/// A node's certificates as they are in force, and where they came from.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    node: NodeId,
    cluster: ClusterId,
    current: ArcSwap<Credentials>,
}

impl Tls {
    /// Reads and checks the files of a node.
    ///
    /// # Errors
    /// One of the files is missing, damaged, out of its time, or does not belong to the others.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let credentials = Credentials::read(&files)?;
        let (node, cluster) = own_node(&files, &credentials)?;
        Ok(Self {
            files,
            node,
            cluster,
            current: ArcSwap::from_pointee(credentials),
        })
    }

    /// The node that the certificate names.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The cluster that the certificate names.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Checks that the certificate speaks for this node of this cluster.
    ///
    /// # Errors
    /// It names another node or cluster.
    pub fn must_name(&self, node: NodeId, cluster: ClusterId) -> Result<(), TlsError> {
        if (self.node, self.cluster) == (node, cluster) {
            return Ok(());
        }
        let problem = TlsProblem::AnotherNode {
            named: (self.node, self.cluster),
            expected: (node, cluster),
        };
        Err(FileRole::Certificate.error(&self.files.certificate, problem))
    }

    /// What is in force now.
    #[must_use]
    pub fn current(&self) -> Arc<Credentials> {
        self.current.load_full()
    }

    /// Reads the files again. New connections use what they hold; existing ones go on.
    ///
    /// # Errors
    /// As in [`Self::load`], or they name another node or cluster than before: then what was in
    /// force stays in force.
    pub fn reload(&self) -> Result<(), TlsError> {
        let credentials = Credentials::read(&self.files)?;
        let named = own_node(&self.files, &credentials)?;
        let expected = (self.node, self.cluster);
        if named != expected {
            let problem = TlsProblem::AnotherNode { named, expected };
            return Err(FileRole::Certificate.error(&self.files.certificate, problem));
        }
        self.current.store(Arc::new(credentials));
        Ok(())
    }
}

fn own_node(files: &TlsFiles, credentials: &Credentials) -> Result<(NodeId, ClusterId), TlsError> {
    match &credentials.identity().person {
        Person::Node(node) => Ok((*node, credentials.identity().cluster)),
        Person::Client(principal) => {
            let problem = TlsProblem::NotOfANode(principal.to_string());
            Err(FileRole::Certificate.error(&files.certificate, problem))
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
