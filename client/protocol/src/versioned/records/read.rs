//! Class records from their bytes.

use quorate_ring::{COPIES_MAX, Class, NodeId, PartitionId};

use super::{FOLLOWS, SAME_EPOCH, SOME_DEAD, SOME_DEPART, follows};
use crate::ids::VnodeId;
use crate::limits::{CLASS_RECORDS_MAX, DEPARTING_MAX, MEMBERS_MAX};
use crate::versioned::{ClassRecord, ClassState, MapVersion, Place};

/// Most nodes that records name: all members, and as many whose copies are not known to be gone.
const NODES_MAX: usize = 2 * MEMBERS_MAX;

/// Why bytes are no class records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordsError {
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
    #[error("a class record has no place: every class has one at least")]
    Empty,
    #[error("bytes follow the class records")]
    Trailing,
}

/// Reads what `encode` wrote; whether it is in its one form is not looked at.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<ClassRecord>, RecordsError> {
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
        if old.is_empty() {
            return Err(RecordsError::Empty);
        }
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
