//! A bucket is dropped.

use quorate_protocol::versioned::VersionedMap;
use quorate_ring::BucketId;

use super::Next;
use super::account;
use super::all::Steps;
use super::refused::Refused;
use crate::register::Draft;

/// The version in which a bucket is none any more. Where it was the last one of those that keep as many copies, the
/// classes of these end where they stand: none of them moves any more, and no copy is waited for.
///
/// # Errors
/// No bucket has that id, or it was dropped before.
pub fn drop_bucket(version: &VersionedMap, id: BucketId) -> Result<Next, Refused> {
    if !version.is_founded() {
        return Err(Refused::NotFounded);
    }
    let Some(bucket) = version.map.bucket(id) else {
        return Err(if version.has_dropped(id) && id.born() > 0 {
            Refused::Dropped(id)
        } else {
            Refused::NoBucket(id)
        });
    };
    let mut draft = Draft::from(version);
    draft.map.buckets.retain(|other| other.id != id);
    let copies = |n| draft.map.buckets.iter().any(|other| other.props.n == n);
    draft.records.retain(|record| copies(record.class.n));
    let what = format!("{} ({id})", account::printable(&bucket.name));
    let what = account::sentence("the bucket is dropped", vec![what]);
    let steps = Steps::new();
    Ok(Next { draft, steps, what })
}
