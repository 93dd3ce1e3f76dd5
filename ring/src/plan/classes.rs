//! What moves, of the classes of one n.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::NODES_MAX;
use crate::bounded::at_most;
use crate::hash::PartitionCount;
use crate::ids::{Class, NodeId, PartitionId};
use crate::ring::{COPIES_MAX, Ring};
use crate::share::ExactShare;
use crate::zone::Zone;

/// A number before and after.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shift {
    /// In the ring that is.
    pub before: u32,
    /// In the ring to come.
    pub after: u32,
}

/// What happens to all classes of one n.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClassesPlan {
    /// How many copies they keep.
    pub n: u8,
    /// The classes whose members change, by partition.
    #[serde(deserialize_with = "at_most::<_, _, { PartitionCount::MAX.get() as usize }>")]
    pub moves: Vec<Move>,
    /// What each member of either ring holds, by its id.
    #[serde(deserialize_with = "at_most::<_, _, NODES_MAX>")]
    pub nodes: Vec<NodeLoad>,
    /// What each zone of either ring holds, by its path.
    #[serde(deserialize_with = "at_most::<_, _, NODES_MAX>")]
    pub zones: Vec<ZoneLoad>,
    /// In how many zones, at least, every class has a copy.
    pub apart: Shift,
}

/// A class whose members change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Move {
    /// The partition of the class.
    pub partition: PartitionId,
    /// Who becomes a member, in the order of the new list.
    #[serde(deserialize_with = "at_most::<_, _, { COPIES_MAX as usize }>")]
    pub gains: Vec<Gain>,
    /// Who is a member no longer, in the order of the old list.
    #[serde(deserialize_with = "at_most::<_, _, { COPIES_MAX as usize }>")]
    pub losses: Vec<NodeId>,
}

/// A node that becomes a member of a class.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gain {
    /// The node.
    pub node: NodeId,
    /// The member to take the bulk from, chosen such that members send equally many copies, as far
    /// as that comes without searching; any other member that is not lost will do. None if all
    /// members are lost, or there were none.
    pub from: Option<NodeId>,
}

/// What one node holds of the classes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeLoad {
    /// The node.
    pub node: NodeId,
    /// How many of the classes.
    pub copies: Shift,
    /// How many it should hold in the ring to come, by its weight and as far as distinct nodes and
    /// zones allow.
    pub share: ExactShare,
    /// How many copies it receives.
    pub receives: u32,
    /// How many copies it is to send ([`Gain::from`]).
    pub sends: u32,
}

/// What one zone holds of the classes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ZoneLoad {
    /// The whole path of the zone, as its members give it.
    pub zone: Zone,
    /// How many copies of the classes.
    pub copies: Shift,
}

impl ClassesPlan {
    /// `next` has the partitions of `ring`.
    pub(super) fn new(ring: &Ring, next: &Ring, n: u8, lost: &[NodeId]) -> Self {
        let mut loads = node_loads(ring, next, n);
        let mut moves = Vec::new();
        for partition in ring.partitions().partitions() {
            let class = Class { n, partition };
            let (old, new) = (ring.primaries(class), next.primaries(class));
            count(&mut loads, old, |load| load.copies.before += 1);
            count(&mut loads, new, |load| load.copies.after += 1);
            let losses: Vec<NodeId> = without(old, new).collect();
            let gains: Vec<Gain> = without(new, old)
                .map(|node| gain(&mut loads, node, old, lost))
                .collect();
            if !gains.is_empty() || !losses.is_empty() {
                moves.push(Move {
                    partition,
                    gains,
                    losses,
                });
            }
        }
        Self {
            n,
            moves,
            zones: zone_loads(ring, next, &loads),
            nodes: loads.into_values().collect(),
            apart: Shift {
                before: zones_apart(ring, n),
                after: zones_apart(next, n),
            },
        }
    }
}

/// The nodes of a list that are not in another.
fn without(list: &[NodeId], other: &[NodeId]) -> impl Iterator<Item = NodeId> {
    let missing = |node: &NodeId| !other.contains(node);
    list.iter().copied().filter(missing)
}

/// Loads of all nodes of either ring, nothing counted yet.
fn node_loads(ring: &Ring, next: &Ring, n: u8) -> BTreeMap<NodeId, NodeLoad> {
    let old = ring
        .members()
        .iter()
        .map(|member| (member.id, ExactShare::NOTHING));
    let new = next.members().iter().map(|member| member.id);
    let load = |(node, share)| {
        let load = NodeLoad {
            node,
            copies: Shift::default(),
            share,
            receives: 0,
            sends: 0,
        };
        (node, load)
    };
    old.chain(new.zip(next.exact_shares(n))).map(load).collect()
}

fn count(loads: &mut BTreeMap<NodeId, NodeLoad>, list: &[NodeId], add: impl Fn(&mut NodeLoad)) {
    for node in list {
        loads.get_mut(node).into_iter().for_each(&add);
    }
}

/// Chooses the source of a copy for `node`: of the `old` members that are not lost the one that
/// sends the fewest so far; the first by id among equals.
fn gain(
    loads: &mut BTreeMap<NodeId, NodeLoad>,
    node: NodeId,
    old: &[NodeId],
    lost: &[NodeId],
) -> Gain {
    let sends = |source: NodeId| loads.get(&source).map_or(0, |load| load.sends);
    let from = without(old, lost).min_by_key(|&source| (sends(source), source));
    count(loads, &[node], |load| load.receives += 1);
    count(loads, from.as_slice(), |load| load.sends += 1);
    Gain { node, from }
}

fn zone_loads(ring: &Ring, next: &Ring, loads: &BTreeMap<NodeId, NodeLoad>) -> Vec<ZoneLoad> {
    let mut zones: BTreeMap<&Zone, Shift> = BTreeMap::new();
    for member in ring.members() {
        let held = loads.get(&member.id).map_or(0, |load| load.copies.before);
        zones.entry(&member.zone).or_default().before += held;
    }
    for member in next.members() {
        let held = loads.get(&member.id).map_or(0, |load| load.copies.after);
        zones.entry(&member.zone).or_default().after += held;
    }
    let load = |(zone, copies): (&Zone, Shift)| ZoneLoad {
        zone: zone.clone(),
        copies,
    };
    zones.into_iter().map(load).collect()
}

/// In how many distinct zones, at least, a class has copies.
fn zones_apart(ring: &Ring, n: u8) -> u32 {
    let zones: BTreeMap<NodeId, &Zone> = ring
        .members()
        .iter()
        .map(|member| (member.id, &member.zone))
        .collect();
    let distinct = |partition| {
        let mut found: Vec<&Zone> = ring
            .primaries(Class { n, partition })
            .iter()
            .filter_map(|node| zones.get(node).copied())
            .collect();
        found.sort_unstable();
        found.dedup();
        // No list is longer than `COPIES_MAX`.
        u32::try_from(found.len()).unwrap_or(u32::MAX)
    };
    ring.partitions()
        .partitions()
        .map(distinct)
        .min()
        .unwrap_or(0)
}
