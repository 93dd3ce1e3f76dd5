//! Every key, read through one node.

use std::collections::BTreeSet;

use quorate_client::{Bucket, Error};

use crate::load::{may_help, pause};
use crate::many::many;
use crate::progress::Progress;
use crate::workload::{Seen, Workload};

/// What a read of a key that was written once, and deleted or not, says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there with its value, or was deleted and is not there.
    Right,
    /// It was deleted and is there.
    Resurrected,
    /// It was not deleted and is not there.
    Missing,
    /// It is there with something else than its value.
    Wrong,
}

/// Judges what was read.
#[must_use]
pub fn judge(deleted: bool, values: &[Seen]) -> Outcome {
    match (deleted, values) {
        (true, []) | (false, [Seen::Write(0)]) => Outcome::Right,
        (true, _) => Outcome::Resurrected,
        (false, []) => Outcome::Missing,
        (false, _) => Outcome::Wrong,
    }
}

/// What reading every key through one node found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Keys read.
    pub read: u64,
    /// Deleted keys that are there.
    pub resurrected: u64,
    /// Keys that are not there and were not deleted.
    pub missing: u64,
    /// Keys with something else than their value.
    pub wrong: u64,
    /// Keys that could not be read.
    pub unread: u64,
    /// The first key that is not right, and what is wrong with it.
    pub first: Option<String>,
}

impl Checked {
    /// Keys that are not as they must be, or could not be read.
    #[must_use]
    pub const fn not_right(&self) -> u64 {
        self.resurrected + self.missing + self.wrong + self.unread
    }

    fn add(&mut self, key: u64, answer: Result<Outcome, Error>) -> bool {
        self.read += 1;
        let what = match answer {
            Ok(Outcome::Right) => return true,
            Ok(Outcome::Resurrected) => {
                self.resurrected += 1;
                "is back".to_owned()
            }
            Ok(Outcome::Missing) => {
                self.missing += 1;
                "is missing".to_owned()
            }
            Ok(Outcome::Wrong) => {
                self.wrong += 1;
                "has another value".to_owned()
            }
            Err(error) => {
                self.unread += 1;
                error.to_string()
            }
        };
        self.first
            .get_or_insert_with(|| format!("key {key}: {what}"));
        false
    }
}

/// Reads keys `0..keys` with one answer each.
pub(super) async fn check(
    what: &str,
    bucket: &Bucket,
    workload: Workload,
    keys: u64,
    deleted: &BTreeSet<u64>,
    clients: usize,
) -> Checked {
    let (mut progress, mut checked) = (Progress::new(what, keys), Checked::default());
    let work = |key| {
        let (bucket, gone) = (bucket.clone(), deleted.contains(&key));
        async move { (key, look(&bucket, workload, key, gone).await) }
    };
    many(clients, 0..keys, work, |(key, answer)| {
        let right = checked.add(key, answer);
        progress.step(right);
    })
    .await;
    progress.finish();
    checked
}

async fn look(
    bucket: &Bucket,
    workload: Workload,
    key: u64,
    deleted: bool,
) -> Result<Outcome, Error> {
    let name = workload.key(key);
    let mut tries = 1;
    loop {
        match bucket.get(&name).r(1).send().await {
            Ok(read) => {
                let values = read.siblings.iter();
                let values = values.map(|value| workload.recognise(key, &value.data));
                return Ok(judge(deleted, &values.collect::<Vec<_>>()));
            }
            Err(error) if may_help(&error, tries) => pause(&error, tries).await,
            Err(error) => return Err(error),
        }
        tries += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_key_must_be_gone_and_any_other_have_its_value() {
        assert_eq!(judge(true, &[]), Outcome::Right);
        assert_eq!(judge(true, &[Seen::Write(0)]), Outcome::Resurrected);
        assert_eq!(judge(true, &[Seen::Foreign]), Outcome::Resurrected);
        assert_eq!(judge(false, &[Seen::Write(0)]), Outcome::Right);
        assert_eq!(judge(false, &[]), Outcome::Missing);
        for values in [
            &[Seen::Foreign][..],
            &[Seen::Write(1)],
            &[Seen::OtherKey { key: 3 }],
            &[Seen::Write(0), Seen::Write(0)],
        ] {
            assert_eq!(judge(false, values), Outcome::Wrong);
        }
    }

    #[test]
    fn every_kind_is_counted_and_the_first_key_named() {
        let mut checked = Checked::default();
        let outcomes = [
            Outcome::Right,
            Outcome::Missing,
            Outcome::Resurrected,
            Outcome::Wrong,
            Outcome::Resurrected,
        ];
        for (key, outcome) in (0..).zip(outcomes) {
            assert_eq!(checked.add(key, Ok(outcome)), outcome == Outcome::Right);
        }
        let counts = (
            checked.read,
            checked.resurrected,
            checked.missing,
            checked.wrong,
        );
        assert_eq!(counts, (5, 2, 1, 1));
        assert_eq!(checked.first.as_deref(), Some("key 1: is missing"));
    }
}
