//! Which keys change while a node is away, and how.

use crate::dataset::{Change, Last};
use crate::draw::draw;

/// One change in so many is a delete, the others are puts.
pub const DELETE_EVERY: usize = 10;

/// Changes `count` distinct keys, drawn at random; all of them if there are no more. What is deleted
/// already is put again. `write` is the number of all these writes.
#[must_use]
pub fn choose(lasts: &[Last], count: usize, write: u64, seed: u64) -> Vec<Change> {
    let chosen = draw(lasts.len(), count, seed);
    let chosen = chosen.iter().enumerate();
    chosen
        .map(|(place, &key)| {
            let delete = place % DELETE_EVERY == DELETE_EVERY - 1;
            let last = match lasts[key] {
                Last::Put(_) if delete => Last::Deleted(write),
                Last::Put(_) | Last::Deleted(_) => Last::Put(write),
            };
            Change {
                key: key as u64,
                last,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn as_many_distinct_keys_change_as_asked_and_one_in_ten_is_deleted() {
        let lasts = vec![Last::Put(0); 1_000];
        for count in [0, 1, 100, 1_000, 5_000] {
            let changes = choose(&lasts, count, 1, 7);
            let keys: BTreeSet<u64> = changes.iter().map(|change| change.key).collect();
            assert_eq!(
                (changes.len(), keys.len()),
                (count.min(1_000), count.min(1_000))
            );
            let deletes = changes
                .iter()
                .filter(|change| change.last == Last::Deleted(1));
            assert_eq!(deletes.count(), count.min(1_000) / DELETE_EVERY);
        }
    }

    #[test]
    fn what_is_deleted_already_is_put_again() {
        let changes = choose(&[Last::Deleted(1); 40], 40, 2, 7);
        assert!(changes.iter().all(|change| change.last == Last::Put(2)));
    }
}
