//! What clients were told, and what follows from it.

use std::collections::{BTreeMap, BTreeSet};

/// A write: a value, or a delete.
#[derive(Clone, Debug)]
struct Wrote {
    key: u8,
    /// What it had seen, and so replaced.
    saw: BTreeSet<u64>,
    delete: bool,
    acked_at: Option<u64>,
}

/// All writes of a run, by number.
#[derive(Default)]
pub(crate) struct History {
    writes: BTreeMap<u64, Wrote>,
}

impl History {
    /// A write begins.
    pub(crate) fn begin(&mut self, number: u64, key: u8, saw: BTreeSet<u64>, delete: bool) {
        let write = Wrote {
            key,
            saw,
            delete,
            acked_at: None,
        };
        self.writes.insert(number, write);
    }

    /// Its client was told that it is done.
    pub(crate) fn acked(&mut self, number: u64, at: u64) {
        self.writes
            .get_mut(&number)
            .unwrap()
            .acked_at
            .get_or_insert(at);
    }

    /// What is wrong with a read that began at that time, if anything is.
    pub(crate) fn judge(&self, key: u8, began: u64, shown: &BTreeSet<u64>) -> Option<String> {
        let known = |write: &&Wrote| write.acked_at.is_some_and(|at| at <= began);
        let of_key = || self.writes.iter().filter(|(_, write)| write.key == key);
        for (number, write) in of_key().filter(|(_, write)| known(write) && !write.delete) {
            let replaced = of_key().any(|(_, other)| other.saw.contains(number));
            if !shown.contains(number) && !replaced {
                return Some(format!(
                    "key {key}: write {number} was acknowledged and is missing, {write:?}"
                ));
            }
        }
        for number in shown {
            let by = of_key().find(|(_, other)| known(other) && other.saw.contains(number));
            if let Some((other, _)) = by {
                return Some(format!(
                    "key {key}: write {number} is shown although {other} had replaced it"
                ));
            }
        }
        None
    }

    /// How many writes were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.writes
            .values()
            .filter(|write| write.acked_at.is_some())
            .count()
    }
}
