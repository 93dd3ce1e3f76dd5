//! Buckets in the map: what may be made and changed.

use quorate_protocol::client::{BucketStored, ClientReply};
use quorate_protocol::limits::BUCKETS_MAX;
use quorate_protocol::map::{Bucket, BucketProps};
use quorate_ring::BucketId;
use rand_chacha::rand_core::Rng;

use super::wish::Judged;
use super::{Keeper, refusal};
use crate::plant::Plant;
use crate::register::Version;

impl Keeper {
    pub(super) fn judge_put(
        &mut self,
        newest: &Version,
        name: &str,
        props: &BucketProps,
    ) -> Judged {
        let map = &newest.map().map;
        let current = map.bucket_named(name);
        let bucket = match current {
            Some(current) if current.props == *props => {
                let bucket = current.clone();
                let changed = false;
                return Judged::answered(BucketStored { bucket, changed });
            }
            Some(current) => Bucket {
                revision: current.revision + 1,
                props: props.clone(),
                ..current.clone()
            },
            None => Bucket {
                id: self.draw_id(newest, name),
                name: name.to_owned(),
                revision: 1,
                props: props.clone(),
            },
        };
        let fits = |current: &Bucket| {
            (current.props.n, current.props.mode) == (bucket.props.n, bucket.props.mode)
        };
        if let Err(error) = bucket.check(map.ring.copies()) {
            return Judged::answered(error);
        }
        if let Some(current) = current.filter(|current| !fits(current)) {
            let error = refusal::cannot_change(current, &bucket.props);
            return Judged::answered(error);
        }
        if current.is_none() && map.buckets.len() >= BUCKETS_MAX {
            return Judged::answered(refusal::too_many());
        }
        let what = if current.is_none() {
            format!("bucket {name:?} was made, with n={}", bucket.props.n)
        } else {
            format!("bucket {name:?} has other defaults")
        };
        let mut draft = newest.draft();
        draft.map.buckets.retain(|other| other.name != name);
        draft.map.buckets.push(bucket);
        draft.map.buckets.sort_by(|a, b| a.name.cmp(&b.name));
        Judged::Next(short(what), Box::new(draft))
    }

    /// An id that no bucket ever had: the next version makes this one, and no other.
    fn draw_id(&mut self, newest: &Version, name: &str) -> BucketId {
        if self.register.breaks(Plant::DroppedIdUsedAgain) {
            return BucketId::made(0, u32::try_from(name.len()).unwrap_or(0));
        }
        let made_by = newest.name().version.next().count();
        let made_by = u32::try_from(made_by).unwrap_or(u32::MAX);
        BucketId::made(made_by, self.rng.next_u32())
    }

    /// A bucket was made or changed, by this try or an earlier one; what became of it since is told too.
    pub(super) fn put_made(newest: &Version, name: &str) -> ClientReply {
        match newest.map().map.bucket_named(name) {
            Some(bucket) => {
                let (bucket, changed) = (bucket.clone(), true);
                BucketStored { bucket, changed }.into()
            }
            None => refusal::gone(name).into(),
        }
    }
}

/// A sentence that fits into a version's log: names may be long.
fn short(what: String) -> String {
    let most = quorate_protocol::limits::CHANGE_TEXT_BYTES_MAX;
    if what.len() <= most {
        return what;
    }
    what.chars().take(most / 4).collect()
}
