//! Names inside certificates: who a certificate speaks for, as DNS names.
//!
//! | certificate | DNS names | extended key usage |
//! |---|---|---|
//! | of a node | `node-<16 hex of its id>.quorate`, `cluster-<32 hex>.quorate` | server and client authentication |
//! | of a client | `client.quorate`, `cluster-<32 hex>.quorate`; its common name is the principal | client authentication |
//!
//! Names are no addresses: a node is dialled by the name of its id wherever it is reached. A client
//! that dials a seed does not know the id yet and takes any certificate of its cluster's authority
//! that names a node.

use quorate_ring::NodeId;

use crate::ids::ClusterId;

/// The DNS name that makes a certificate a client's.
pub const CLIENT_NAME: &str = "client.quorate";
/// Longest principal (a client certificate's common name), bytes.
pub const PRINCIPAL_BYTES_MAX: usize = 64;
const SUFFIX: &str = ".quorate";

/// The DNS name of a node, also the name to dial it by.
#[must_use]
pub fn node_name(node: NodeId) -> String {
    format!("node-{node}{SUFFIX}")
}

/// The DNS name of a cluster, present in every certificate of its members and clients.
#[must_use]
pub fn cluster_name(cluster: ClusterId) -> String {
    format!("cluster-{cluster}{SUFFIX}")
}

/// What one DNS name of a certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateName {
    /// It belongs to this node.
    Node(NodeId),
    /// It is valid in this cluster.
    Cluster(ClusterId),
    /// It belongs to a client.
    Client,
    /// Nothing that Quorate reads.
    Other,
}

impl CertificateName {
    /// Reads a DNS name; upper and lower case are the same, as in all DNS names.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        if name == CLIENT_NAME {
            return Self::Client;
        }
        let Some(label) = name.strip_suffix(SUFFIX) else {
            return Self::Other;
        };
        if let Some(id) = label.strip_prefix("node-") {
            return id.parse().map_or(Self::Other, Self::Node);
        }
        match label.strip_prefix("cluster-") {
            // The length and the digits are checked here: the number's own parser takes a sign.
            Some(id) if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                id.parse().map_or(Self::Other, Self::Cluster)
            }
            Some(_) | None => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let (node, cluster) = (NodeId::new(0xbeef), ClusterId::new(1, 2));
        assert_eq!(node_name(node), "node-000000000000beef.quorate");
        assert_eq!(
            CertificateName::parse(&node_name(node)),
            CertificateName::Node(node)
        );
        assert_eq!(
            CertificateName::parse(&cluster_name(cluster)),
            CertificateName::Cluster(cluster)
        );
        assert_eq!(
            CertificateName::parse("Client.QUORATE"),
            CertificateName::Client
        );
    }

    #[test]
    fn other_names_say_nothing() {
        for name in [
            "",
            ".quorate",
            "node-beef.quorate",
            "node-+00000000000beef.quorate",
            "node-000000000000beef.example",
            "node-000000000000beef.quorate.example",
            "cluster-0000.quorate",
            "cluster-+0000000000000000000000000000001.quorate",
            "x.client.quorate",
        ] {
            assert_eq!(
                CertificateName::parse(name),
                CertificateName::Other,
                "{name:?}"
            );
        }
    }
}
