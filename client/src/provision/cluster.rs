//! A new cluster, in memory.

use std::collections::BTreeSet;
use std::str::FromStr;

use quorate_protocol::ClusterId;
use quorate_protocol::map::{Bucket, BucketMode, BucketProps, ClusterMap, FORMAT_LEVEL, Member};
use quorate_protocol::versioned::{StagedChange, VersionedMap};
use quorate_ring::{BucketId, NodeId, PartitionCount, Placed, Ring, Weight, Zone};

use super::authority::{Authority, Issued, ProvisionError, Validity};

/// Longest name of a node or cluster, bytes: it becomes a file name.
const NAME_BYTES_MAX: usize = 63;
/// The bucket that every cluster starts with.
const DEFAULT_BUCKET: &str = "default";
/// Its copies, where the cluster has that many.
const DEFAULT_N: u8 = 3;

/// Why a cluster cannot be made as described.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A part of a node's description is wrong.
    #[error(
        "the node description {text:?} {what}: write name=NAME,peer=HOST:PORT,client=HOST:PORT[,zone=A/B][,weight=100]"
    )]
    Node {
        /// The description.
        text: String,
        /// What is wrong with it.
        what: String,
    },
    /// A name that cannot be used.
    #[error(
        "the name {0:?} cannot be used: 1 to {NAME_BYTES_MAX} letters, digits, '-', '_' or '.', starting with a letter or digit"
    )]
    Name(String),
    /// Two nodes with one name or address.
    #[error("{0} is given twice: names and addresses must be distinct")]
    Twice(String),
    /// The ring cannot be computed.
    #[error("no ring can be made: {0}")]
    Ring(#[from] quorate_ring::ClaimError),
    /// A certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] ProvisionError),
    /// The operating system gave no randomness.
    #[error("the operating system gave no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// One node of a cluster to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    /// Its name, unique in the cluster.
    pub name: String,
    /// Where peers reach it, `host:port`.
    pub peers: Vec<String>,
    /// Where clients reach it, `host:port`.
    pub clients: Vec<String>,
    /// Its failure zone.
    pub zone: Zone,
    /// Its relative capacity.
    pub weight: Weight,
}

impl FromStr for NodeSpec {
    type Err = SpecError;

    /// Reads `name=n1,peer=10.0.0.1:4100,client=10.0.0.1:4200,zone=eu/par,weight=100`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |what: String| SpecError::Node {
            text: text.to_owned(),
            what,
        };
        let mut name = None;
        let (mut peers, mut clients) = (Vec::new(), Vec::new());
        let (mut zone, mut weight) = (None, None);
        for part in text.split(',') {
            let (field, value) = part
                .split_once('=')
                .ok_or_else(|| wrong(format!("has '{part}', which is no name=value")))?;
            let twice = match field {
                "name" => name.replace(checked_name(value)?).is_some(),
                "peer" => push(&mut peers, address(value).map_err(&wrong)?),
                "client" => push(&mut clients, address(value).map_err(&wrong)?),
                "zone" => zone
                    .replace(
                        value
                            .parse()
                            .map_err(|error| wrong(format!("has a wrong zone: {error}")))?,
                    )
                    .is_some(),
                "weight" => weight
                    .replace(parse_weight(value).map_err(&wrong)?)
                    .is_some(),
                other => return Err(wrong(format!("has the unknown field '{other}'"))),
            };
            if twice {
                return Err(wrong(format!("gives '{field}' twice")));
            }
        }
        if peers.is_empty() || clients.is_empty() {
            return Err(wrong("lacks an address".to_owned()));
        }
        let name = name.ok_or_else(|| wrong("lacks a name".to_owned()))?;
        Ok(Self {
            name,
            peers,
            clients,
            zone: zone.unwrap_or_default(),
            weight: weight.unwrap_or_default(),
        })
    }
}

fn push(list: &mut Vec<String>, address: String) -> bool {
    let twice = list.contains(&address);
    list.push(address);
    twice
}

fn parse_weight(text: &str) -> Result<Weight, String> {
    let number: u16 = text
        .parse()
        .map_err(|_| format!("has the weight '{text}', which is not from 1 to 1000"))?;
    if number == 0 {
        return Err("has weight 0: a node that a cluster is made of has 1 to 1000".to_owned());
    }
    Weight::new(number).map_err(|error| format!("has {error}"))
}

fn address(text: &str) -> Result<String, String> {
    let port = text
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty() && !host.contains(char::is_whitespace));
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(1..) => Ok(text.to_owned()),
        Some(0) | None => Err(format!("has the address '{text}', which is not HOST:PORT")),
    }
}

fn checked_name(name: &str) -> Result<String, SpecError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let starts = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain) {
        Ok(name.to_owned())
    } else {
        Err(SpecError::Name(name.to_owned()))
    }
}

/// A cluster to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSpec {
    /// Its name, for people.
    pub name: String,
    /// Into how many partitions keys are placed. Cannot change later.
    pub partitions: PartitionCount,
    /// The most copies a bucket may ask for, 1 to 7.
    pub copies: u8,
    /// Its first members.
    pub nodes: Vec<NodeSpec>,
}

/// Everything that a new cluster's files hold.
pub struct NewCluster {
    /// Its first map, with one bucket named `default`.
    pub map: ClusterMap,
    /// What its nodes authenticate contexts with: 32 random bytes that only nodes may know.
    pub secret: [u8; 32],
    /// Its authority.
    pub authority: Authority,
    /// Each member's name and certificate, in the order of the map.
    pub nodes: Vec<(String, Issued)>,
    /// A first client's certificate.
    pub admin: Issued,
}

impl ClusterSpec {
    /// Makes the cluster: draws its ids, computes its ring, issues its certificates.
    ///
    /// # Errors
    /// Says which part of the description cannot be kept.
    pub fn create(&self) -> Result<NewCluster, SpecError> {
        checked_name(&self.name)?;
        self.check_distinct()?;
        let map = self.map()?;
        let authority = Authority::create(map.cluster, &self.name, Validity::authority())?;
        let nodes = map
            .members
            .iter()
            .map(|member| {
                Ok((
                    member.name.clone(),
                    authority.node(member.id, Validity::leaf())?,
                ))
            })
            .collect::<Result<_, SpecError>>()?;
        let admin = authority.client("admin", Validity::leaf())?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        Ok(NewCluster {
            map,
            secret,
            authority,
            nodes,
            admin,
        })
    }

    fn check_distinct(&self) -> Result<(), SpecError> {
        let mut seen = BTreeSet::new();
        for node in &self.nodes {
            let name = format!("the name '{}'", node.name);
            let addresses = node
                .peers
                .iter()
                .chain(&node.clients)
                .map(|address| format!("the address '{address}'"));
            for taken in addresses.chain([name]) {
                if !seen.insert(taken.clone()) {
                    return Err(SpecError::Twice(taken));
                }
            }
        }
        Ok(())
    }

    fn map(&self) -> Result<ClusterMap, SpecError> {
        let mut members = self
            .nodes
            .iter()
            .map(member)
            .collect::<Result<Vec<_>, SpecError>>()?;
        members.sort_by_key(|member| member.id);
        let placed: Vec<Placed> = members
            .iter()
            .map(|member| Placed {
                id: member.id,
                zone: member.zone.clone(),
                weight: member.weight,
            })
            .collect();
        let ring = Ring::first(self.partitions, self.copies, &placed)?;
        Ok(ClusterMap {
            cluster: ClusterId::new(getrandom::u64()?, getrandom::u64()?),
            name: self.name.clone(),
            format_level: FORMAT_LEVEL,
            members,
            ring,
            buckets: vec![default_bucket(self.copies)?],
        })
    }
}

impl NodeSpec {
    /// The node as a member of a cluster that runs, under an id that nobody had before.
    ///
    /// # Errors
    /// The operating system gave no randomness.
    pub fn newcomer(&self, version: &VersionedMap) -> Result<Member, SpecError> {
        loop {
            let made = member(self)?;
            let id = made.id;
            let staged = version.staged.iter().filter_map(StagedChange::newcomer);
            let mut known = version.map.members.iter().chain(staged);
            let is_taken = known.any(|member| member.id == id) || version.expelled.contains(&id);
            if !is_taken {
                return Ok(made);
            }
        }
    }
}

fn member(node: &NodeSpec) -> Result<Member, SpecError> {
    Ok(Member {
        id: NodeId::new(getrandom::u64()?),
        name: node.name.clone(),
        peer_addresses: node.peers.clone(),
        client_addresses: node.clients.clone(),
        zone: node.zone.clone(),
        weight: node.weight,
    })
}

fn default_bucket(copies: u8) -> Result<Bucket, SpecError> {
    let props = BucketProps {
        n: copies.min(DEFAULT_N),
        mode: BucketMode::Siblings,
        defaults: Default::default(),
    };
    Ok(Bucket {
        id: BucketId::made(0, getrandom::u32()?),
        name: DEFAULT_BUCKET.to_owned(),
        revision: 1,
        props,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use quorate_protocol::map_file;
    use quorate_protocol::versioned::VersionedMap;

    use super::*;

    fn spec(nodes: usize) -> ClusterSpec {
        let node = |index: usize| {
            format!(
                "name=n{index},peer=127.0.0.1:{},client=127.0.0.1:{}",
                4100 + index,
                4200 + index
            )
        };
        ClusterSpec {
            name: "test".to_owned(),
            partitions: PartitionCount::new(64).unwrap(),
            copies: 3,
            nodes: (0..nodes)
                .map(|index| node(index).parse().unwrap())
                .collect(),
        }
    }

    #[test]
    fn a_node_is_described_in_one_line() {
        let node: NodeSpec = "name=n1,peer=[::1]:4100,peer=h:1,client=h:2,zone=eu/par,weight=200"
            .parse()
            .unwrap();
        assert_eq!(node.peers, ["[::1]:4100", "h:1"]);
        assert_eq!((node.zone.as_str(), node.weight.get()), ("eu/par", 200));
    }

    #[test]
    fn wrong_descriptions_are_refused_with_the_reason() {
        for (text, reason) in [
            ("name=n1,peer=h:1", "lacks an address"),
            ("peer=h:1,client=h:2", "lacks a name"),
            ("name=n1,name=n2,peer=h:1,client=h:2", "gives 'name' twice"),
            (
                "name=n1,peer=h,client=h:2",
                "has the address 'h', which is not HOST:PORT",
            ),
            (
                "name=n1,peer=h:0,client=h:2",
                "has the address 'h:0', which is not HOST:PORT",
            ),
            ("name=n1,peer=h:1,client=h:2,weight=0", "has weight 0"),
            ("name=n1,peer=h:1,client=h:2,zone=a//b", "has a wrong zone"),
            (
                "name=n1,peer=h:1,client=h:2,rack=7",
                "has the unknown field 'rack'",
            ),
            ("n1", "has 'n1', which is no name=value"),
            ("name=../x,peer=h:1,client=h:2", "cannot be used"),
        ] {
            let error = text.parse::<NodeSpec>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_new_cluster_is_whole_and_its_map_survives_its_file() {
        let made = spec(5).create().unwrap();
        let first = VersionedMap::created(made.map.clone(), 0);
        assert_eq!(map_file::decode(&map_file::encode(&first)), Ok(first));
        assert_eq!(made.nodes.len(), 5);
        assert_eq!(made.map.bucket_named("default").unwrap().props.n, 3);
        assert_eq!(made.authority.cluster(), made.map.cluster);
        assert_ne!(made.secret, [0; 32]);
    }

    #[test]
    fn two_clusters_made_from_one_description_share_nothing() {
        let (one, other) = (spec(3).create().unwrap(), spec(3).create().unwrap());
        assert_ne!(one.map.cluster, other.map.cluster);
        assert_ne!(one.secret, other.secret);
        assert_ne!(one.map.members[0].id, other.map.members[0].id);
    }

    #[test]
    fn names_and_addresses_are_given_once() {
        let mut twice = spec(2);
        twice.nodes[1].clients = twice.nodes[0].peers.clone();
        assert!(matches!(twice.create(), Err(SpecError::Twice(_))));
        let mut none = spec(0);
        assert!(matches!(none.create(), Err(SpecError::Ring(_))));
        none.name = String::new();
        assert!(matches!(none.create(), Err(SpecError::Name(_))));
    }
}
