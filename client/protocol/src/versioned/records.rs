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

mod read;

use std::collections::BTreeMap;
use std::fmt;

use quorate_ring::{Class, NodeId, PartitionId};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

use self::read::decode;
use super::{ClassRecord, ClassState, Place};

const FOLLOWS: u8 = 1 << 2;
const SAME_EPOCH: u8 = 1 << 3;
const SOME_DEAD: u8 = 1 << 4;
const SOME_DEPART: u8 = 1 << 5;

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
    use super::read::RecordsError;
    use super::*;
    use crate::ids::VnodeId;
    use crate::versioned::MapVersion;

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
        let nowhere = [0, 1, 0, 3, 0, 1, 1, 0];
        assert_eq!(decode(&nowhere), Err(RecordsError::Empty));
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
