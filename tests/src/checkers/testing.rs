//! Small histories for the tests of checkers.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::ids::{ActorId, Dot};
use quorate_ring::BucketId;

use super::causal::Causal;
use super::{Blind, Evidence, Expiries, Lost, Missing, Outage, Unaware, Violation};
use crate::history::{History, Key, Kind, Operation, Outcome, Shown, WriteId};
use crate::sim::config::Profile;

/// The key that stories are about: a plain one.
pub(crate) const KEY: Key = Key {
    bucket: BucketId::new(1),
    number: 1,
};

pub(crate) fn ids(numbers: &[u64]) -> Vec<WriteId> {
    numbers.iter().map(|&number| WriteId(number)).collect()
}

pub(crate) fn dot(number: u64) -> Dot {
    Dot::new(ActorId::new(1), number)
}

fn shown(number: u64, counter: u64) -> Shown {
    Shown {
        write: WriteId(number),
        dot: dot(counter),
    }
}

/// A history of one key, one operation after the other, unless told otherwise.
pub(crate) struct Story {
    history: History,
    finals: BTreeSet<Shown>,
    pub(crate) profile: Profile,
    pub(crate) power_lost: bool,
    pub(crate) client: u32,
    pub(crate) w: u8,
    pub(crate) r: u8,
    pub(crate) sloppy: bool,
    pub(crate) session: bool,
    pub(crate) outages: Vec<Outage>,
    pub(crate) members: Vec<(u64, usize)>,
    pub(crate) blind: Vec<Blind>,
    pub(crate) by_stamp: bool,
    pub(crate) unaware: Vec<Unaware>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) lost: Vec<Lost>,
    pub(crate) stamps: Vec<(u64, u64)>,
    pub(crate) skew_ms: u64,
    pub(crate) expiries: BTreeMap<WriteId, Expiries>,
    pub(crate) end_us: u64,
    /// Operations begin so much later than the last one.
    pause_us: u64,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            history: History::default(),
            finals: BTreeSet::new(),
            profile: Profile::OneDown,
            power_lost: false,
            client: 0,
            w: 2,
            r: 2,
            sloppy: true,
            session: false,
            outages: Vec::new(),
            members: Vec::new(),
            blind: Vec::new(),
            by_stamp: false,
            unaware: Vec::new(),
            missing: Vec::new(),
            lost: Vec::new(),
            stamps: Vec::new(),
            skew_ms: 0,
            expiries: BTreeMap::new(),
            end_us: u64::MAX,
            pause_us: 0,
        }
    }
}

impl Story {
    fn add(&mut self, kind: Kind, dot: Option<Dot>) -> &mut Operation {
        let at_us = self.history.operations.len() as u64 * 10 + self.pause_us;
        self.history.operations.push(Operation {
            client: self.client,
            key: KEY,
            kind,
            invoked_us: at_us,
            completed_us: at_us + 5,
            outcome: Outcome::Ok,
            attempts: 1,
            shown: Vec::new(),
            dot,
            unsure: false,
            alone: false,
            only: None,
        });
        let last = self.history.operations.len() - 1;
        &mut self.history.operations[last]
    }

    fn write(&mut self, id: u64, delete: bool, seen: Option<&[u64]>) -> &mut Operation {
        let kind = Kind::Write {
            id: WriteId(id),
            delete,
            seen: seen.map(|seen| ids(seen).into_iter().collect()),
            w: self.w,
            pw: 0,
            dw: 0,
            sloppy: self.sloppy,
        };
        self.add(kind, Some(dot(id)))
    }

    pub(crate) fn put(&mut self, id: u64, seen: Option<&[u64]>) -> &mut Operation {
        self.write(id, false, seen)
    }

    pub(crate) fn delete(&mut self, id: u64, seen: Option<&[u64]>) -> &mut Operation {
        self.write(id, true, seen)
    }

    pub(crate) fn read(&mut self, writes: &[u64]) -> &mut Operation {
        let shown: Vec<(u64, u64)> = writes.iter().map(|&write| (write, write)).collect();
        self.read_as(&shown)
    }

    pub(crate) fn read_as(&mut self, writes: &[(u64, u64)]) -> &mut Operation {
        let kind = Kind::Get {
            r: self.r,
            sloppy: self.sloppy,
            stale_ok: false,
            session: self.session,
        };
        let operation = self.add(kind, None);
        operation.shown = writes.iter().map(|&(id, dot)| shown(id, dot)).collect();
        operation
    }

    pub(crate) fn list(&mut self, here: &[u32], listed: &[u32]) {
        let kind = Kind::List {
            here: here.iter().copied().collect(),
            r: self.r,
        };
        self.add(kind, None);
        let at = self.history.operations.len() - 1;
        self.history
            .listed
            .insert(at, listed.iter().copied().collect());
    }

    /// A write whose value was to live for so long, milliseconds, and that all nodes stop to show between two times.
    pub(crate) fn expires(&mut self, id: u64, ttl_ms: u64, (from_us, by_us): (u64, u64)) {
        let expiries = Expiries {
            first_us: Some(by_us),
            last_us: Some(by_us),
            hidden_from_us: from_us,
            hidden_by_us: by_us,
        };
        self.expiries.insert(WriteId(id), expiries);
        self.history.lifetimes.insert(WriteId(id), ttl_ms);
    }

    /// A write of which nodes stored that it never expires.
    pub(crate) fn lasts(&mut self, id: u64) {
        let expiries = Expiries {
            first_us: None,
            last_us: None,
            hidden_from_us: u64::MAX,
            hidden_by_us: u64::MAX,
        };
        self.expiries.insert(WriteId(id), expiries);
    }

    /// What follows begins so much later, microseconds.
    pub(crate) const fn later(&mut self, us: u64) {
        self.pause_us += us;
    }

    /// The operation at this place came under a forged context.
    pub(crate) fn forge(&mut self, at: usize) {
        self.history.forged.insert(at);
    }

    pub(crate) fn ends_with(&mut self, writes: &[u64]) {
        self.finals = writes.iter().map(|&id| shown(id, id)).collect();
    }

    pub(crate) fn judge<T>(&self, judge: impl Fn(&Evidence<'_>, &Causal<'_>) -> T) -> T {
        let stamps = self.stamps.iter().map(|&(id, stamp)| (dot(id), stamp));
        let stamps = stamps.collect();
        let evidence = Evidence {
            blind: self.blind.clone(),
            history: &self.history,
            finals: BTreeMap::from([(KEY, self.finals.clone())]),
            copies: BTreeMap::from([(KEY.bucket, 3)]),
            by_stamp: self.by_stamp.then_some(KEY.bucket).into_iter().collect(),
            profile: self.profile,
            power_lost: self.power_lost,
            outages: &self.outages,
            unaware: &self.unaware,
            members: &self.members,
            missing: &self.missing,
            lost: &self.lost,
            stamps: &stamps,
            skew_ms: self.skew_ms,
            expiries: self.expiries.clone(),
            end_us: self.end_us,
        };
        let causal = Causal::new(&evidence);
        judge(&evidence, &causal)
    }

    pub(crate) fn damage(&mut self) {
        self.history.damaged.push((KEY, "damaged".to_owned()));
    }
}

/// Whether something was found.
pub(crate) fn catches(violations: &[Violation]) -> bool {
    !violations.is_empty()
}
