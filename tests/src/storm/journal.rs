//! A history of millions of operations, small enough to be kept: some 40 bytes for each, by key.
//!
//! Judges want [`Operation`]s; they get those of one key at a time.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::error::ErrorCode;
use quorate_protocol::ids::{ActorId, Dot};

use crate::history::{History, Key, Kind, Operation, Outcome, Shown, WriteId};

/// What clients did, packed.
#[derive(Debug, Default)]
pub struct Journal {
    keys: BTreeMap<Key, Vec<u8>>,
    damaged: Vec<(Key, String)>,
    operations: u64,
}

impl Journal {
    /// Adds an operation that has ended.
    pub fn add(&mut self, operation: &Operation) {
        self.operations += 1;
        let mut packed = Packer(self.keys.entry(operation.key).or_default());
        packed.operation(operation);
    }

    /// Adds a value that no write wrote.
    pub fn add_damaged(&mut self, key: Key, why: String) {
        self.damaged.push((key, why));
    }

    /// Operations added.
    #[must_use]
    pub const fn operations(&self) -> u64 {
        self.operations
    }

    /// Bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.keys.values().map(Vec::len).sum()
    }

    /// The keys, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.keys.keys().copied().collect()
    }

    /// All that happened to one key, in the order in which it began.
    #[must_use]
    pub fn of(&self, key: Key) -> History {
        let mut open = Unpacker(self.keys.get(&key).map_or(&[], Vec::as_slice));
        let mut operations = Vec::new();
        while !open.0.is_empty() {
            operations.push(open.operation(key));
        }
        operations.sort_by_key(|operation| operation.invoked_us);
        let damaged = self.damaged.iter().filter(|(of, _)| *of == key);
        History {
            operations,
            damaged: damaged.cloned().collect(),
            ..History::default()
        }
    }
}

/// Numbers in groups of seven bits, the lowest first; a set top bit says that more follow.
struct Packer<'a>(&'a mut Vec<u8>);

impl Packer<'_> {
    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    fn dot(&mut self, dot: Dot) {
        self.0.extend(dot.actor.get().to_le_bytes());
        self.number(dot.counter);
    }

    fn flags(&mut self, flags: &[bool]) {
        let add = |bits: u64, flag: &bool| bits << 1 | u64::from(*flag);
        self.number(flags.iter().fold(0, add));
    }

    fn operation(&mut self, operation: &Operation) {
        self.number(operation.client.into());
        self.number(operation.invoked_us);
        self.number(operation.completed_us.saturating_sub(operation.invoked_us));
        self.number(match operation.outcome {
            Outcome::Ok => 0,
            Outcome::Unknown => 1,
            Outcome::Pending => 2,
            Outcome::Failed(code) => 3 + u64::from(code.number()),
        });
        self.number(operation.attempts.into());
        self.kind(&operation.kind, operation.unsure, operation.dot.is_some());
        operation.dot.into_iter().for_each(|dot| self.dot(dot));
        self.number(operation.shown.len() as u64);
        for shown in &operation.shown {
            self.number(shown.write.0);
            self.dot(shown.dot);
        }
    }

    fn kind(&mut self, kind: &Kind, unsure: bool, dot: bool) {
        match kind {
            Kind::Get {
                r,
                sloppy,
                stale_ok,
                session,
            } => {
                self.flags(&[*stale_ok, *session, false, *sloppy, unsure, dot, false]);
                self.number(u64::from(*r));
            }
            Kind::List { here, r } => {
                self.flags(&[false, false, true, false, unsure, dot, false]);
                self.number(u64::from(*r));
                self.number(here.len() as u64);
                here.iter().for_each(|number| self.number((*number).into()));
            }
            Kind::Write {
                id,
                delete,
                seen,
                w,
                pw,
                dw,
                sloppy,
            } => {
                self.flags(&[*delete, seen.is_some(), false, *sloppy, unsure, dot, true]);
                self.number(id.0);
                for count in [w, pw, dw] {
                    self.number(u64::from(*count));
                }
                if let Some(seen) = seen {
                    self.number(seen.len() as u64);
                    seen.iter().for_each(|write| self.number(write.0));
                }
            }
        }
    }
}

/// Reads what [`Packer`] wrote, and nothing else.
struct Unpacker<'a>(&'a [u8]);

impl Unpacker<'_> {
    fn number(&mut self) -> u64 {
        let (mut number, mut shift) = (0, 0);
        while let Some((&byte, rest)) = self.0.split_first() {
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    fn small<T: TryFrom<u64> + Default>(&mut self) -> T {
        // It was that small when it was packed.
        T::try_from(self.number()).unwrap_or_default()
    }

    fn dot(&mut self) -> Dot {
        let mut actor = [0; 8];
        if let Some((head, rest)) = self.0.split_first_chunk::<8>() {
            (actor, self.0) = (*head, rest);
        }
        Dot::new(ActorId::new(u64::from_le_bytes(actor)), self.number())
    }

    fn operation(&mut self, key: Key) -> Operation {
        let client = self.small();
        let invoked_us = self.number();
        let completed_us = invoked_us + self.number();
        let outcome = match self.number() {
            0 => Outcome::Ok,
            1 => Outcome::Unknown,
            2 => Outcome::Pending,
            code => Outcome::Failed(ErrorCode::from(u16::try_from(code - 3).unwrap_or(0))),
        };
        let attempts = self.small();
        let flags = self.number();
        let kind = self.kind(flags);
        let dot = (flags >> 1 & 1 == 1).then(|| self.dot());
        let count = self.number();
        let shown = (0..count).map(|_| Shown {
            write: WriteId(self.number()),
            dot: self.dot(),
        });
        Operation {
            client,
            key,
            kind,
            invoked_us,
            completed_us,
            outcome,
            attempts,
            shown: shown.collect(),
            dot,
            unsure: flags >> 2 & 1 == 1,
            alone: false,
            only: None,
        }
    }

    fn kind(&mut self, flags: u64) -> Kind {
        let flag = |place: u32| flags >> place & 1 == 1;
        if flag(4) {
            let (r, count) = (self.small(), self.number());
            let here = (0..count).map(|_| self.small()).collect();
            return Kind::List { here, r };
        }
        if !flag(0) {
            return Kind::Get {
                r: self.small(),
                sloppy: flag(3),
                stale_ok: flag(6),
                session: flag(5),
            };
        }
        let id = WriteId(self.number());
        let (w, pw, dw) = (self.small(), self.small(), self.small());
        let seen = flag(5).then(|| {
            let count = self.number();
            (0..count)
                .map(|_| WriteId(self.number()))
                .collect::<BTreeSet<_>>()
        });
        Kind::Write {
            id,
            delete: flag(6),
            seen,
            w,
            pw,
            dw,
            sloppy: flag(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_ring::BucketId;

    use super::*;

    const KEY: Key = Key {
        bucket: BucketId::new(9),
        number: 4,
    };

    fn operation(kind: Kind, outcome: Outcome) -> Operation {
        Operation {
            client: 70_000,
            key: KEY,
            kind,
            invoked_us: 1_000_000,
            completed_us: 1_000_321,
            outcome,
            attempts: 2,
            shown: vec![Shown {
                write: WriteId(300),
                dot: Dot::new(ActorId::new(u64::MAX), 7),
            }],
            dot: Some(Dot::new(ActorId::new(1), 1 << 40)),
            unsure: true,
            alone: false,
            only: None,
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let get = Kind::Get {
            r: 3,
            sloppy: false,
            stale_ok: true,
            session: true,
        };
        let list = Kind::List {
            here: BTreeSet::from([1, 70_000]),
            r: 2,
        };
        let put = |delete, seen: Option<&[u64]>| Kind::Write {
            id: WriteId(1 << 33),
            delete,
            seen: seen.map(|seen| seen.iter().copied().map(WriteId).collect()),
            w: 2,
            pw: 1,
            dw: 0,
            sloppy: true,
        };
        let all = [
            operation(get, Outcome::Ok),
            operation(put(true, None), Outcome::Failed(ErrorCode::Overloaded)),
            operation(put(false, Some(&[])), Outcome::Unknown),
            operation(list, Outcome::Ok),
            operation(put(false, Some(&[1, 200, 70_000])), Outcome::Pending),
        ];
        let mut journal = Journal::default();
        all.iter().for_each(|operation| journal.add(operation));
        let back = journal.of(KEY).operations;
        assert_eq!(format!("{back:?}"), format!("{all:?}"));
        assert_eq!(journal.operations(), 5);
    }

    #[test]
    fn operations_are_told_in_the_order_in_which_they_began() {
        let get = || Kind::Get {
            r: 1,
            sloppy: true,
            stale_ok: false,
            session: false,
        };
        let mut journal = Journal::default();
        for invoked_us in [30, 10, 20] {
            journal.add(&Operation {
                invoked_us,
                completed_us: 40,
                ..operation(get(), Outcome::Ok)
            });
        }
        let began = journal.of(KEY).operations;
        let began: Vec<u64> = began.iter().map(|operation| operation.invoked_us).collect();
        assert_eq!(began, [10, 20, 30]);
    }
}
