//! Class records as bytes: a version of a large cluster has a record of every class, and travels whole.
//!
//! ```text
//! nodes:  count, then the id of each, 8 bytes, ascending
//! record: mark | [n, partition] | [epoch, epoch - before] | old | [new] | [dead] | [departing]
//! mark:   bits 0-1 the state; 2: the next partition of the same n follows the record before;
//!         3: epoch and before are those of the record before; 4: some are dead; 5: some depart
//! set:    count, then of each place the node's index in `nodes` and the vnode
//! dead:   count, then of each the node's index
//! ```
//!
//! Numbers are in groups of seven bits, the lowest first, the highest bit set in all but the last. There is one
//! form only of the same records.

use std::collections::BTreeMap;
use std::fmt;

use quorate_ring::{COPIES_MAX, Class, NodeId, PartitionId};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

use super::{ClassRecord, ClassState, MapVersion, Place};
use crate::ids::VnodeId;
use crate::limits::{CLASS_RECORDS_MAX, DEPARTING_MAX, MEMBERS_MAX};

const FOLLOWS: u8 = 1 << 2;
const SAME_EPOCH: u8 = 1 << 3;
const SOME_DEAD: u8 = 1 << 4;
const SOME_DEPART: u8 = 1 << 5;

/// Most nodes that records name: all members, and as many whose copies are not known to be gone.
const NODES_MAX: usize = 2 * MEMBERS_MAX;

pub(super) fn serialize<S: Serializer>(
    records: &[ClassRecord],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(&encode(records))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<ClassRecord>, D::Error> {
    let ByteString(bytes) = ByteString::deserialize(deserializer)?;
    let records = decode(&bytes).map_err(D::Error::custom)?;
    if encode(&records) == bytes {
        Ok(records)
    } else {
        Err(D::Error::custom("class records are not in their one form"))
    }
}

fn encode(records: &[ClassRecord]) -> Vec<u8> {
    let named = records.iter().flat_map(|record| {
        let sets = [&record.old, &record.new, &record.departing];
        let places = sets.into_iter().flatten().map(|place| place.node);
        places.chain(record.dead.iter().copied())
    });
    let mut index: BTreeMap<NodeId, u64> = named.map(|node| (node, 0)).collect();
    for (at, place) in (0..).zip(index.values_mut()) {
        *place = at;
    }
    let mut out = Out {
        bytes: Vec::new(),
        index,
    };
    out.number(out.index.len() as u64);
    for node in out.index.keys() {
        out.bytes.extend(node.get().to_be_bytes());
    }
    out.number(records.len() as u64);
    let mut before: Option<&ClassRecord> = None;
    for record in records {
        out.record(record, before);
        before = Some(record);
    }
    out.bytes
}

fn follows(before: Option<&ClassRecord>) -> Option<Class> {
    let before = before?.class;
    let partition = PartitionId::new(before.partition.get().checked_add(1)?);
    Some(Class {
        n: before.n,
        partition,
    })
}

struct Out {
    bytes: Vec<u8>,
    index: BTreeMap<NodeId, u64>,
}

impl Out {
    fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.bytes.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }

    fn node(&mut self, node: NodeId) {
        // Every node that is named was counted.
        let index = self.index.get(&node).copied().unwrap_or(u64::MAX);
        self.number(index);
    }

    fn places(&mut self, places: &[Place]) {
        self.number(places.len() as u64);
        for place in places {
            self.node(place.node);
            self.number(place.vnode.get());
        }
    }

    fn record(&mut self, record: &ClassRecord, before: Option<&ClassRecord>) {
        let follows = follows(before) == Some(record.class);
        let same =
            before.is_some_and(|last| (last.epoch, last.before) == (record.epoch, record.before));
        let flag = |is: bool, bit: u8| if is { bit } else { 0 };
        let state = match record.state {
            ClassState::Stable => 0,
            ClassState::JointOld => 1,
            ClassState::JointNew => 2,
        };
        let mark = state
            | flag(follows, FOLLOWS)
            | flag(same, SAME_EPOCH)
            | flag(!record.dead.is_empty(), SOME_DEAD)
            | flag(!record.departing.is_empty(), SOME_DEPART);
        self.bytes.push(mark);
        if !follows {
            self.bytes.push(record.class.n);
            self.number(u64::from(record.class.partition.get()));
        }
        if !same {
            let (epoch, before) = (record.epoch.get(), record.before.get());
            self.number(epoch);
            self.number(epoch.wrapping_sub(before));
        }
        self.places(&record.old);
        if state != 0 {
            self.places(&record.new);
        }
        if !record.dead.is_empty() {
            self.number(record.dead.len() as u64);
            record.dead.iter().for_each(|&node| self.node(node));
        }
        if !record.departing.is_empty() {
            self.places(&record.departing);
        }
    }
}

/// Why bytes are no class records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum RecordsError {
    #[error("class records end too early")]
    EndsEarly,
    #[error("a number in the class records is too large")]
    Large,
    #[error("class records name {found} of something of which at most {most} can be")]
    Count { found: u64, most: usize },
    #[error("a class record names a node that is not in the list of nodes")]
    Node,
    #[error("a class record has the mark {0:#04x}, which is of a later version")]
    Mark(u8),
    #[error("bytes follow the class records")]
    Trailing,
}

fn decode(bytes: &[u8]) -> Result<Vec<ClassRecord>, RecordsError> {
    let mut input = In {
        rest: bytes,
        nodes: Vec::new(),
    };
    for _ in 0..input.count(NODES_MAX)? {
        let id = input.array()?;
        input.nodes.push(NodeId::new(u64::from_be_bytes(id)));
    }
    let mut records = Vec::new();
    for _ in 0..input.count(CLASS_RECORDS_MAX)? {
        let record = input.record(records.last())?;
        records.push(record);
    }
    if input.rest.is_empty() {
        Ok(records)
    } else {
        Err(RecordsError::Trailing)
    }
}

/// Reads records off the front of bytes; memory grows with what was read, never with what a count announces.
struct In<'a> {
    rest: &'a [u8],
    nodes: Vec<NodeId>,
}

impl In<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordsError> {
        let (array, rest) = self
            .rest
            .split_first_chunk()
            .ok_or(RecordsError::EndsEarly)?;
        self.rest = rest;
        Ok(*array)
    }

    fn number(&mut self) -> Result<u64, RecordsError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let group = u64::from(byte & 0x7f);
            if group << shift >> shift != group {
                return Err(RecordsError::Large);
            }
            number |= group << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(RecordsError::Large)
    }

    fn count(&mut self, most: usize) -> Result<usize, RecordsError> {
        let found = self.number()?;
        let count = usize::try_from(found).ok().filter(|&count| count <= most);
        count.ok_or(RecordsError::Count { found, most })
    }

    fn node(&mut self) -> Result<NodeId, RecordsError> {
        let index = usize::try_from(self.number()?).map_err(|_| RecordsError::Node)?;
        self.nodes.get(index).copied().ok_or(RecordsError::Node)
    }

    fn places(&mut self, most: usize) -> Result<Vec<Place>, RecordsError> {
        let mut places = Vec::new();
        for _ in 0..self.count(most)? {
            places.push(Place {
                node: self.node()?,
                vnode: VnodeId::new(self.number()?),
            });
        }
        Ok(places)
    }

    fn class(&mut self) -> Result<Class, RecordsError> {
        let [n] = self.array()?;
        let partition = u16::try_from(self.number()?).map_err(|_| RecordsError::Large)?;
        Ok(Class {
            n,
            partition: PartitionId::new(partition),
        })
    }

    fn record(&mut self, before: Option<&ClassRecord>) -> Result<ClassRecord, RecordsError> {
        let [mark] = self.array()?;
        let has = |bit: u8| mark & bit != 0;
        let state = match mark & 3 {
            0 => ClassState::Stable,
            1 => ClassState::JointOld,
            2 => ClassState::JointNew,
            _ => return Err(RecordsError::Mark(mark)),
        };
        if mark >= SOME_DEPART << 1 {
            return Err(RecordsError::Mark(mark));
        }
        let class = if has(FOLLOWS) {
            follows(before).ok_or(RecordsError::Mark(mark))?
        } else {
            self.class()?
        };
        let (epoch, before) = if has(SAME_EPOCH) {
            let last = before.ok_or(RecordsError::Mark(mark))?;
            (last.epoch, last.before)
        } else {
            let epoch = self.number()?;
            let before = epoch.wrapping_sub(self.number()?);
            (MapVersion::new(epoch), MapVersion::new(before))
        };
        let copies = usize::from(COPIES_MAX);
        let old = self.places(copies)?;
        let moves = state != ClassState::Stable;
        let new = if moves {
            self.places(copies)?
        } else {
            Vec::new()
        };
        let mut dead = Vec::new();
        if has(SOME_DEAD) {
            for _ in 0..self.count(2 * copies)? {
                dead.push(self.node()?);
            }
        }
        let departing = if has(SOME_DEPART) {
            self.places(DEPARTING_MAX)?
        } else {
            Vec::new()
        };
        Ok(ClassRecord {
            class,
            epoch,
            before,
            state,
            old,
            new,
            dead,
            departing,
        })
    }
}

/// A byte string of a message.
pub(super) struct ByteString(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for ByteString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ByteVisitor)
    }
}

struct ByteVisitor;

impl Visitor<'_> for ByteVisitor {
    type Value = ByteString;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<ByteString, E> {
        Ok(ByteString(bytes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(node: u64, vnode: u64) -> Place {
        Place {
            node: NodeId::new(node),
            vnode: VnodeId::new(vnode),
        }
    }

    fn class(n: u8, partition: u16) -> Class {
        Class {
            n,
            partition: PartitionId::new(partition),
        }
    }

    fn records() -> Vec<ClassRecord> {
        let first = ClassRecord {
            class: class(3, 7),
            epoch: MapVersion::new(300),
            before: MapVersion::new(2),
            state: ClassState::Stable,
            old: vec![place(9, 0), place(u64::MAX, 299)],
            new: Vec::new(),
            dead: Vec::new(),
            departing: vec![place(4, 5)],
        };
        let second = ClassRecord {
            class: class(3, 8),
            state: ClassState::JointOld,
            new: vec![place(9, 0), place(1, 300)],
            dead: vec![NodeId::new(1)],
            departing: Vec::new(),
            ..first.clone()
        };
        let third = ClassRecord {
            class: class(5, 0),
            epoch: MapVersion::new(301),
            state: ClassState::JointNew,
            ..second.clone()
        };
        let last = ClassRecord {
            class: class(5, u16::MAX),
            ..first.clone()
        };
        vec![first, second, third, last]
    }

    #[test]
    fn records_come_back_from_their_bytes() {
        assert_eq!(decode(&encode(&records())), Ok(records()));
        assert_eq!(decode(&encode(&[])), Ok(Vec::new()));
    }

    #[test]
    fn bytes_cut_off_or_drawn_out_are_no_records() {
        let bytes = encode(&records());
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err(), "{cut}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert_eq!(decode(&longer), Err(RecordsError::Trailing));
    }

    #[test]
    fn any_flipped_bit_gives_an_error_or_other_records_in_their_one_form_or_is_seen_as_another_form()
     {
        let (bytes, right) = (encode(&records()), records());
        for at in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[at / 8] ^= 1 << (at % 8);
            if let Ok(read) = decode(&wrong) {
                assert!(read != right || encode(&read) != wrong, "bit {at}");
            }
        }
    }

    #[test]
    fn counts_beyond_the_bounds_are_refused_before_anything_is_read() {
        let huge = [0, 0xff, 0xff, 0xff, 0x7f];
        assert!(matches!(decode(&huge), Err(RecordsError::Count { .. })));
        let longer_than_64_bits = [0xff; 11];
        assert_eq!(decode(&longer_than_64_bits), Err(RecordsError::Large));
        let follows_nothing = [0, 1, FOLLOWS | SAME_EPOCH, 0];
        assert!(matches!(
            decode(&follows_nothing),
            Err(RecordsError::Mark(_))
        ));
    }

    #[test]
    fn a_stable_class_of_three_copies_takes_few_bytes() {
        let record = |partition| ClassRecord {
            class: class(3, partition),
            epoch: MapVersion::new(1000),
            before: MapVersion::new(999),
            state: ClassState::Stable,
            old: (0..3)
                .map(|at| place(u64::from(partition) % 997 + at, 998))
                .collect(),
            new: Vec::new(),
            dead: Vec::new(),
            departing: Vec::new(),
        };
        let records: Vec<ClassRecord> = (0..16_384).map(record).collect();
        let bytes = encode(&records).len();
        assert!(bytes < 16_384 * 14 + 8 * 1000 + 10, "{bytes}");
    }
}
