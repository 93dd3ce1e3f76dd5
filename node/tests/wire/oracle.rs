//! What clients did and saw, and whether that can be: judged from the history alone, by ids that
//! every value carries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use quorate_client::Dot;

/// A write, by its number.
pub(crate) type WriteId = u64;

const HEAD_BYTES: usize = 16;

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Acknowledged,
    /// Certainly not done.
    Refused,
    /// Perhaps done; also what is still under way.
    Open,
}

#[derive(Clone, Debug)]
struct Write {
    key: u64,
    deletes: bool,
    /// What the writer had read, if it said so.
    replaces: BTreeSet<WriteId>,
    outcome: Outcome,
}

#[derive(Debug, Default)]
struct Seen {
    writes: BTreeMap<WriteId, Write>,
    reads: Vec<(u64, BTreeSet<WriteId>)>,
    /// As which dots each write was seen. A request that was carried out twice has two.
    dots: BTreeMap<WriteId, BTreeSet<Dot>>,
    wrong: Vec<String>,
}

/// The history of one run. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Oracle(Arc<Mutex<Seen>>);

impl Oracle {
    /// A client begins a write.
    pub(crate) fn begin(&self, key: u64, deletes: bool, replaces: BTreeSet<WriteId>) -> WriteId {
        let writes = &mut self.0.lock().unwrap().writes;
        let id = writes.len() as u64 + 1;
        let outcome = Outcome::Open;
        writes.insert(
            id,
            Write {
                key,
                deletes,
                replaces,
                outcome,
            },
        );
        id
    }

    /// And knows how it ended.
    pub(crate) fn end(&self, id: WriteId, outcome: Outcome) {
        if let Some(write) = self.0.lock().unwrap().writes.get_mut(&id) {
            write.outcome = outcome;
        }
    }

    /// A client read a key: returns the writes that the values name.
    pub(crate) fn read<'a>(
        &self,
        key: u64,
        values: impl Iterator<Item = (&'a Bytes, Dot)>,
    ) -> BTreeSet<WriteId> {
        let mut seen = self.0.lock().unwrap();
        let mut ids = BTreeSet::new();
        for (value, dot) in values {
            match name_of(value) {
                Some(id) if ids.insert(id) => {
                    seen.dots.entry(id).or_default().insert(dot);
                }
                Some(id) => seen.wrong.push(format!("key {key}: write {id} came twice")),
                None => seen
                    .wrong
                    .push(format!("key {key}: {} bytes of no write", value.len())),
            }
        }
        seen.reads.push((key, ids.clone()));
        ids
    }

    /// So many writes were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        let seen = self.0.lock().unwrap();
        let all = seen.writes.values();
        all.filter(|write| write.outcome == Outcome::Acknowledged)
            .count()
    }

    /// Everything that cannot be, given what each key holds in the end.
    pub(crate) fn judge(&self, finals: &BTreeMap<u64, BTreeSet<WriteId>>) -> Vec<String> {
        let seen = self.0.lock().unwrap();
        let mut wrong = seen.wrong.clone();
        wrong.extend(seen.invented());
        for (&key, last) in finals {
            wrong.extend(seen.lost(key, last));
            wrong.extend(seen.returned(key, last));
        }
        wrong
    }
}

impl Seen {
    /// Values that nobody wrote there, or whose write was refused.
    fn invented(&self) -> Vec<String> {
        let reads = self.reads.iter();
        let all = reads.flat_map(|(key, ids)| ids.iter().map(move |id| (key, id)));
        all.filter_map(|(key, id)| match self.writes.get(id) {
            None => Some(format!("key {key}: write {id} never began")),
            Some(write) if write.key != *key || write.deletes => {
                Some(format!("key {key}: write {id} was {write:?}"))
            }
            Some(write) if write.outcome == Outcome::Refused => {
                Some(format!("key {key}: write {id} was refused, and is there"))
            }
            Some(_) => None,
        })
        .collect()
    }

    /// Acknowledged writes that are neither there nor replaced by what is, or by a delete.
    fn lost(&self, key: u64, last: &BTreeSet<WriteId>) -> Vec<String> {
        let deletes = self.of(key).filter(|(_, write)| write.deletes);
        let deletes = deletes.filter(|(_, write)| write.outcome != Outcome::Refused);
        let roots = last.iter().copied().chain(deletes.map(|(id, _)| id));
        let known = self.replaced_by(roots.collect());
        self.of(key)
            .filter(|(id, write)| write.outcome == Outcome::Acknowledged && !known.contains(id))
            .map(|(id, _)| format!("key {key}: acknowledged write {id} is lost, left is {last:?}"))
            .collect()
    }

    /// Values that an acknowledged write or delete had replaced. Where a request was carried out twice,
    /// because no node that held the first could be asked, the second time is a later write.
    fn returned(&self, key: u64, last: &BTreeSet<WriteId>) -> Vec<String> {
        let done = self
            .of(key)
            .filter(|(_, write)| write.outcome == Outcome::Acknowledged);
        let roots: BTreeSet<WriteId> = done.flat_map(|(_, write)| write.replaces.clone()).collect();
        let gone = self.replaced_by(roots);
        last.intersection(&gone)
            .filter(|id| self.dots.get(id).is_none_or(|dots| dots.len() < 2))
            .map(|id| format!("key {key}: write {id} had been replaced, and is back"))
            .collect()
    }

    fn of(&self, key: u64) -> impl Iterator<Item = (WriteId, &Write)> {
        let writes = self.writes.iter();
        writes
            .filter(move |(_, write)| write.key == key)
            .map(|(&id, write)| (id, write))
    }

    /// The writes, and all that they replaced, and what those replaced, and so on.
    fn replaced_by(&self, mut open: BTreeSet<WriteId>) -> BTreeSet<WriteId> {
        let mut all = BTreeSet::new();
        while let Some(id) = open.pop_first() {
            if all.insert(id)
                && let Some(write) = self.writes.get(&id)
            {
                open.extend(write.replaces.iter().copied());
            }
        }
        all
    }
}

/// The value of a write: its number, its length, and a pattern that follows from both.
pub(crate) fn value(id: WriteId, bytes: usize) -> Bytes {
    let mut value = Vec::with_capacity(bytes.max(HEAD_BYTES));
    value.extend_from_slice(&id.to_be_bytes());
    value.extend_from_slice(&(bytes as u64).to_be_bytes());
    let mut state = id ^ (bytes as u64).rotate_left(32);
    while value.len() < bytes {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        value.extend_from_slice(&state.to_be_bytes());
    }
    value.truncate(bytes.max(HEAD_BYTES));
    Bytes::from(value)
}

/// The write that made a value, if every byte of it is as it was.
fn name_of(bytes: &Bytes) -> Option<WriteId> {
    let id = u64::from_be_bytes(*bytes.first_chunk()?);
    let length = u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?);
    (value(id, usize::try_from(length).ok()?) == *bytes).then_some(id)
}

#[cfg(test)]
mod tests {
    use quorate_client::ActorId;

    use super::*;

    fn one(oracle: &Oracle, replaces: &[WriteId]) -> WriteId {
        let id = oracle.begin(1, false, replaces.iter().copied().collect());
        oracle.end(id, Outcome::Acknowledged);
        id
    }

    fn read(oracle: &Oracle, bytes: Bytes, counter: u64) {
        let dot = Dot::new(ActorId::new(1), counter);
        oracle.read(1, [(&bytes, dot)].into_iter());
    }

    fn judge(oracle: &Oracle, last: &[WriteId]) -> usize {
        let finals = BTreeMap::from([(1, last.iter().copied().collect())]);
        oracle.judge(&finals).len()
    }

    #[test]
    fn a_write_counts_as_kept_while_what_replaced_it_is_there() {
        let oracle = Oracle::default();
        let first = one(&oracle, &[]);
        let second = one(&oracle, &[first]);
        assert_eq!(judge(&oracle, &[second]), 0);
        assert_eq!(judge(&oracle, &[first, second]), 1, "it returned");
        assert_eq!(judge(&oracle, &[]), 2, "both are lost");
    }

    #[test]
    fn a_delete_takes_what_it_saw_and_no_more() {
        let oracle = Oracle::default();
        let (first, beside) = (one(&oracle, &[]), one(&oracle, &[]));
        let delete = oracle.begin(1, true, BTreeSet::from([first]));
        oracle.end(delete, Outcome::Open);
        assert_eq!(judge(&oracle, &[beside]), 0, "perhaps it happened");
        assert_eq!(judge(&oracle, &[first, beside]), 0, "perhaps it did not");
        oracle.end(delete, Outcome::Acknowledged);
        assert_eq!(judge(&oracle, &[first, beside]), 1);
        assert_eq!(judge(&oracle, &[]), 1);
    }

    #[test]
    fn what_was_refused_or_never_written_may_not_be_read() {
        let oracle = Oracle::default();
        let refused = oracle.begin(1, false, BTreeSet::new());
        oracle.end(refused, Outcome::Refused);
        read(&oracle, value(refused, 20), 1);
        assert_eq!(judge(&oracle, &[]), 1);
        read(&oracle, value(99, 20), 1);
        assert_eq!(judge(&oracle, &[]), 2);
        read(&oracle, Bytes::from_static(b"?"), 1);
        assert_eq!(judge(&oracle, &[]), 3);
    }

    #[test]
    fn one_write_is_never_two_siblings() {
        let oracle = Oracle::default();
        let bytes = value(one(&oracle, &[]), 20);
        let twins = [1, 2].map(|counter| (&bytes, Dot::new(ActorId::new(1), counter)));
        oracle.read(1, twins.into_iter());
        assert_eq!(judge(&oracle, &[1]), 1);
    }

    #[test]
    fn the_second_time_of_a_request_is_a_later_write() {
        let oracle = Oracle::default();
        let first = one(&oracle, &[]);
        read(&oracle, value(first, 20), 1);
        let second = one(&oracle, &[first]);
        assert_eq!(judge(&oracle, &[first, second]), 1);
        read(&oracle, value(first, 20), 2);
        assert_eq!(judge(&oracle, &[first, second]), 0);
    }
}
