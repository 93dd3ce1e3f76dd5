//! What a node keeps and what is in force there, and the rules by which both change.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use quorate_protocol::WireError;
use quorate_protocol::limits::BUCKETS_MAX;
use quorate_protocol::map::Bucket;
use quorate_ring::BucketId;

use super::{refusal, stored};

/// The durable state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    in_force: BTreeMap<String, Bucket>,
    /// For each name the definition voted for, one revision above what is in force.
    kept: BTreeMap<String, Bucket>,
}

/// What became of a definition that somebody asked this node to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It is kept.
    Kept {
        /// And was not before.
        changed: bool,
    },
    /// This other one is kept, being smaller.
    Other(Bucket),
    /// This one of its revision or a later one is in force.
    InForce(Bucket),
    /// It builds on a revision that this node does not know yet.
    Behind,
    /// It breaks a rule that no later knowledge could change.
    Refused(WireError),
}

/// What a definition that is in force elsewhere changed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Learned {
    /// Nothing.
    Nothing,
    /// It is in force here now.
    News,
    /// Another one of its revision was in force.
    Contradiction {
        /// In force from now on.
        kept: Bucket,
        /// In force no longer, or never.
        dropped: Bucket,
    },
}

impl Rules {
    pub(super) fn from_lists(in_force: Vec<Bucket>, kept: Vec<Bucket>) -> Self {
        let by_name = |list: Vec<Bucket>| {
            list.into_iter()
                .map(|bucket| (bucket.name.clone(), bucket))
                .collect()
        };
        Self {
            in_force: by_name(in_force),
            kept: by_name(kept),
        }
    }

    /// Ordered by name.
    pub(super) fn in_force(&self) -> impl ExactSizeIterator<Item = &Bucket> {
        self.in_force.values()
    }

    /// Ordered by name.
    pub(super) fn all_kept(&self) -> impl ExactSizeIterator<Item = &Bucket> {
        self.kept.values()
    }

    pub(super) fn named(&self, name: &str) -> Option<&Bucket> {
        self.in_force.get(name)
    }

    pub(super) fn kept(&self, name: &str) -> Option<&Bucket> {
        self.kept.get(name)
    }

    pub(super) fn uses(&self, id: BucketId) -> bool {
        self.in_force
            .values()
            .chain(self.kept.values())
            .any(|bucket| bucket.id == id)
    }

    /// Keeps a definition if the rules allow it.
    pub(super) fn offer(&mut self, bucket: &Bucket) -> Offer {
        let current = self.in_force.get(&bucket.name);
        if let Some(current) = current.filter(|current| current.revision >= bucket.revision) {
            return Offer::InForce(current.clone());
        }
        if current.map_or(0, |current| current.revision) + 1 != bucket.revision {
            return Offer::Behind;
        }
        if let Err(refused) = current.map_or_else(
            || self.check_new(bucket),
            |current| check_change(current, bucket),
        ) {
            return Offer::Refused(refused);
        }
        match self.kept.get(&bucket.name) {
            Some(kept) if kept == bucket => Offer::Kept { changed: false },
            Some(kept) if smaller_first(kept, bucket).is_lt() => Offer::Other(kept.clone()),
            Some(_) | None => {
                self.kept.insert(bucket.name.clone(), bucket.clone());
                Offer::Kept { changed: true }
            }
        }
    }

    /// Forgets what is in force under a name. Nobody may: see [`crate::Plant::OldRevisionTaken`].
    pub(super) fn forget(&mut self, name: &str) {
        self.in_force.remove(name);
    }

    fn check_new(&self, bucket: &Bucket) -> Result<(), WireError> {
        if self.kept.contains_key(&bucket.name) {
            return Ok(());
        }
        let new = self
            .kept
            .keys()
            .filter(|name| !self.in_force.contains_key(*name))
            .count();
        if self.in_force.len() + new >= BUCKETS_MAX {
            return Err(refusal::too_many());
        }
        if self.uses(bucket.id) {
            Err(refusal::id_in_use(bucket))
        } else {
            Ok(())
        }
    }

    /// Takes a definition that is in force somewhere: the higher revision wins.
    pub(super) fn learn(&mut self, bucket: Bucket) -> Learned {
        let learned = match self.in_force.get(&bucket.name) {
            Some(mine) if *mine == bucket || mine.revision > bucket.revision => {
                return Learned::Nothing;
            }
            Some(mine) if mine.revision == bucket.revision => {
                let mine = mine.clone();
                if smaller_first(&mine, &bucket).is_lt() {
                    return Learned::Contradiction {
                        kept: mine,
                        dropped: bucket,
                    };
                }
                Learned::Contradiction {
                    kept: bucket.clone(),
                    dropped: mine,
                }
            }
            Some(_) | None => Learned::News,
        };
        if self
            .kept
            .get(&bucket.name)
            .is_some_and(|kept| kept.revision <= bucket.revision)
        {
            self.kept.remove(&bucket.name);
        }
        self.in_force.insert(bucket.name.clone(), bucket);
        learned
    }
}

fn check_change(current: &Bucket, next: &Bucket) -> Result<(), WireError> {
    let same =
        |a: &Bucket, b: &Bucket| (a.id, a.props.n, a.props.mode) == (b.id, b.props.n, b.props.mode);
    if same(current, next) {
        Ok(())
    } else {
        Err(refusal::cannot_change(current, next))
    }
}

/// A total order of definitions, which all members share.
fn smaller_first(a: &Bucket, b: &Bucket) -> Ordering {
    let bytes = |bucket: &Bucket| stored::buckets(std::slice::from_ref(bucket));
    a.id.cmp(&b.id).then_with(|| bytes(a).cmp(&bytes(b)))
}
