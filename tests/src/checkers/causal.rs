//! Cause and effect as the history tells them: which writes a write replaced, because its writer had
//! seen them.
//!
//! `R(w)` are the write ids that came with the context that w used; `sup(w)` is the union of `{v}` and
//! `sup(v)` over v in `R(w)`; `cl(X)` is X with all that its members replaced. A write without a context
//! replaced nothing, except that a delete without one reads first: what it replaced, clients cannot know.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::ids::Dot;

use super::Evidence;
use crate::history::{Key, Kind, Operation, Outcome, WriteId};

/// The causal order of one history.
#[derive(Debug)]
pub struct Causal<'a> {
    writes: BTreeMap<WriteId, &'a Operation>,
    by_key: BTreeMap<Key, Vec<WriteId>>,
    dots: BTreeMap<WriteId, BTreeSet<Dot>>,
    /// `sup` of every write that replaced something.
    replaced: BTreeMap<WriteId, BTreeSet<WriteId>>,
    /// From when on writes may be gone because their time has passed, microseconds.
    expire: BTreeMap<WriteId, u64>,
    end_us: u64,
}

impl<'a> Causal<'a> {
    /// The order behind this evidence.
    #[must_use]
    pub fn new(evidence: &Evidence<'a>) -> Self {
        let mut causal = Self {
            writes: BTreeMap::new(),
            by_key: BTreeMap::new(),
            dots: BTreeMap::new(),
            replaced: BTreeMap::new(),
            expire: evidence
                .expiries
                .iter()
                .map(|(&write, expiries)| (write, expiries.hidden_from_us))
                .collect(),
            end_us: evidence.end_us,
        };
        for operation in &evidence.history.operations {
            if let Some(write) = operation.write() {
                causal.writes.insert(write, operation);
                causal.by_key.entry(operation.key).or_default().push(write);
                causal.knows(write, operation.dot);
            }
            for shown in &operation.shown {
                causal.knows(shown.write, Some(shown.dot));
            }
        }
        for shown in evidence.finals.values().flatten() {
            causal.knows(shown.write, Some(shown.dot));
        }
        let writes: Vec<WriteId> = causal.writes.keys().copied().collect();
        for write in writes {
            let replaced = causal.walk(write);
            if !replaced.is_empty() {
                causal.replaced.insert(write, replaced);
            }
        }
        causal
    }

    fn knows(&mut self, write: WriteId, dot: Option<Dot>) {
        self.dots.entry(write).or_default().extend(dot);
    }

    /// The operation behind a write.
    #[must_use]
    pub fn operation(&self, write: WriteId) -> Option<&'a Operation> {
        self.writes.get(&write).copied()
    }

    /// The dots under which a write is known.
    pub fn dots(&self, write: WriteId) -> impl Iterator<Item = &Dot> {
        self.dots.get(&write).into_iter().flatten()
    }

    /// Whether one request was carried out twice, which a retry may do when the first try's holders
    /// could not be reached: the second time counts as a later write, of which the first one's readers
    /// know nothing.
    #[must_use]
    pub fn is_twin(&self, write: WriteId) -> bool {
        self.dots.get(&write).is_some_and(|dots| dots.len() > 1)
    }

    /// Everything that a write replaced.
    #[must_use]
    pub fn replaced_by(&self, write: WriteId) -> &BTreeSet<WriteId> {
        const NOTHING: &BTreeSet<WriteId> = &BTreeSet::new();
        self.replaced.get(&write).unwrap_or(NOTHING)
    }

    fn walk(&self, write: WriteId) -> BTreeSet<WriteId> {
        let mut replaced = BTreeSet::new();
        let mut open = vec![write];
        while let Some(next) = open.pop() {
            // Writes are walked through in the order of their ids: what this one saw is known by now.
            if let Some(known) = self.replaced.get(&next) {
                replaced.extend(known);
                continue;
            }
            let Some(Kind::Write {
                seen: Some(seen), ..
            }) = self.operation(next).map(|operation| &operation.kind)
            else {
                continue;
            };
            open.extend(seen.iter().filter(|write| replaced.insert(**write)));
        }
        replaced
    }

    /// Whether a write is among these or was replaced by one of them.
    #[must_use]
    pub fn in_closure(&self, write: WriteId, of: &BTreeSet<WriteId>) -> bool {
        of.contains(&write)
            || of
                .iter()
                .any(|member| self.replaced_by(*member).contains(&write))
    }

    /// Whether the time of a write may have passed at that time, by the clock of some node.
    #[must_use]
    pub fn may_have_expired(&self, write: WriteId, at_us: u64) -> bool {
        let at_us = at_us.min(self.end_us);
        self.expire
            .get(&write)
            .is_some_and(|&from_us| from_us <= at_us)
    }

    /// Whether a reader who saw `shown` at that time may have missed a write because it was replaced:
    /// by something shown, by a delete that had begun by then, or by something that has expired since.
    #[must_use]
    pub fn accounts_for(
        &self,
        write: WriteId,
        key: Key,
        shown: &BTreeSet<WriteId>,
        at_us: u64,
    ) -> bool {
        if self.in_closure(write, shown) {
            return true;
        }
        let mut deletes = BTreeSet::new();
        for &other in self.by_key.get(&key).into_iter().flatten() {
            if self.may_have_expired(other, at_us) {
                deletes.insert(other);
                continue;
            }
            let Some(delete) = self.operation(other).filter(|op| op.deletes()) else {
                continue;
            };
            if delete.invoked_us > at_us {
                continue;
            }
            if self.may_have_wiped(delete, write) {
                return true;
            }
            deletes.insert(other);
        }
        self.in_closure(write, &deletes)
    }

    /// A delete without a context may have replaced whatever had begun before it ended; one that was
    /// sent several times, whatever there ever was: a try that got stuck somewhere may be carried out
    /// long after another one was answered.
    fn may_have_wiped(&self, delete: &Operation, write: WriteId) -> bool {
        let Kind::Write { seen: None, .. } = delete.kind else {
            return false;
        };
        let ended_us = match delete.outcome {
            Outcome::Ok if delete.attempts <= 1 => delete.completed_us,
            Outcome::Ok => u64::MAX,
            Outcome::Pending | Outcome::Unknown => u64::MAX,
            Outcome::Failed(_) => 0,
        };
        self.operation(write)
            .is_some_and(|operation| operation.invoked_us <= ended_us)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Story, ids};

    #[test]
    fn what_a_write_replaced_is_transitive() {
        let mut story = Story::default();
        story.put(1, None);
        story.put(2, Some(&[1]));
        story.put(3, None);
        story.put(4, Some(&[2, 3]));
        story.judge(|_, causal| {
            assert_eq!(
                causal.replaced_by(ids(&[4])[0]),
                &ids(&[1, 2, 3]).into_iter().collect()
            );
            assert!(causal.replaced_by(ids(&[3])[0]).is_empty());
        });
    }

    #[test]
    fn a_write_carried_out_twice_is_a_twin() {
        let mut story = Story::default();
        story.put(1, None);
        story.read(&[1]);
        story.judge(|_, causal| assert!(!causal.is_twin(ids(&[1])[0])));
        story.read_as(&[(1, 99)]);
        story.judge(|_, causal| assert!(causal.is_twin(ids(&[1])[0])));
    }
}
