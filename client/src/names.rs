//! The DNS names by which certificates name nodes, clients and clusters.

use quorate_protocol::ClusterId;
use quorate_ring::NodeId;

const SUFFIX: &str = ".quorate";

/// The name that every client's certificate carries.
#[cfg(feature = "provision")]
pub(crate) const CLIENT: &str = "client.quorate";

/// The name in a node's certificate.
pub(crate) fn node(id: NodeId) -> String {
    format!("node-{id}{SUFFIX}")
}

/// The node that a name means, if it is a node's.
pub(crate) fn parse_node(name: &str) -> Option<NodeId> {
    name.strip_prefix("node-")?.strip_suffix(SUFFIX)?.parse().ok()
}

/// The name that all certificates of a cluster carry.
#[cfg(feature = "provision")]
pub(crate) fn cluster(id: ClusterId) -> String {
    format!("cluster-{id}{SUFFIX}")
}

/// The cluster that a name means, if it is a cluster's.
pub(crate) fn parse_cluster(name: &str) -> Option<ClusterId> {
    let digits = name.strip_prefix("cluster-")?.strip_suffix(SUFFIX)?;
    let plain = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if plain { digits.parse().ok() } else { None }
}

#[cfg(all(test, feature = "provision"))]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let (id, of) = (NodeId::new(0xfe), ClusterId::new(3, 4));
        assert_eq!(parse_node(&node(id)), Some(id));
        assert_eq!(parse_cluster(&cluster(of)), Some(of));
    }

    #[test]
    fn other_names_mean_nothing() {
        for name in ["", CLIENT, "node-1.quorate", "node-00000000000000fe.example", "node-+0000000000000fe.quorate"] {
            assert_eq!(parse_node(name), None, "{name}");
        }
        assert_eq!(parse_cluster("cluster-12.quorate"), None);
        assert_eq!(parse_cluster("cluster-+0000000000000010000000000000002.quorate"), None);
    }
}
