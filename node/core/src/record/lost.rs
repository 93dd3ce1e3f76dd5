//! What storage could not read any more and left out when it was opened again, and how the vnodes
//! that it belonged to are told.
//!
//! A database may know of damaged data only where in the order of keys it lies. It goes on without
//! it, and writes a mark for each vnode of which something could have been there, durably, before the
//! gap can be seen. A replica that finds such a mark takes its vnode for damaged, whatever its record
//! says, and removes the mark with the same batch.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_ring::Class;

use super::keys::{self, ChunkOwner, KeyRange};
use crate::store::{Family, Store, StoreError, Write};

/// A range of keys in one family that was not read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where.
    pub family: Family,
    /// From the first key that may have been there up to one that comes after the last.
    pub range: KeyRange,
}

/// The marks for all vnodes that may have lost something, of those that left any trace in what
/// `store` can still read.
///
/// Hints get none: their other holders are asked for what they held.
///
/// # Errors
/// The store failed, or is still damaged.
pub fn lost_marks(store: &dyn Store, lost: &[Lost]) -> Result<Vec<Write>, StoreError> {
    let mut classes = BTreeSet::new();
    for family in [Family::Vnodes, Family::Log, Family::Objects] {
        add_classes(store, family, &mut classes)?;
    }
    classes.retain(|&class| lost.iter().any(|lost| touches(lost, class)));
    let mark = |class| Write::Put {
        family: Family::Vnodes,
        key: keys::lost_key(class),
        value: Bytes::new(),
    };
    Ok(classes.into_iter().map(mark).collect())
}

fn touches(lost: &Lost, class: Class) -> bool {
    let (from, to) = match lost.family {
        Family::Objects | Family::Log | Family::Requests => keys::class_range(class),
        Family::Vnodes => (keys::vnode_key(class), keys::class_range(class).1),
        Family::Chunks => keys::chunk_class_range(ChunkOwner::Vnode, class),
        Family::Hints => return false,
        // By time: an object of any class may have been noted there, and would never be removed.
        Family::Expiry => return true,
    };
    lost.range.0 < to && from < lost.range.1
}

/// Adds the classes with which a family's keys start, by one look for each.
fn add_classes(
    store: &dyn Store,
    family: Family,
    classes: &mut BTreeSet<Class>,
) -> Result<(), StoreError> {
    let (mut from, to) = keys::vnodes_range();
    loop {
        let mut found = None;
        store.scan(family, &from, &to, &mut |key, _| {
            found = keys::class_of_key(key);
            ControlFlow::Break(())
        })?;
        let Some(class) = found else {
            return Ok(());
        };
        classes.insert(class);
        from = keys::class_range(class).1;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use quorate_ring::{BucketId, NodeId, PartitionId};

    use super::*;
    use crate::store::Visit;

    #[derive(Default)]
    struct Keys(BTreeMap<Family, BTreeSet<Vec<u8>>>);

    impl Store for Keys {
        fn get(&self, _: Family, _: &[u8]) -> Result<Option<Bytes>, StoreError> {
            Ok(None)
        }

        fn scan(
            &self,
            family: Family,
            from: &[u8],
            to: &[u8],
            visit: &mut Visit<'_>,
        ) -> Result<(), StoreError> {
            let inside = |key: &&Vec<u8>| from <= &key[..] && &key[..] < to;
            for key in self.0.get(&family).into_iter().flatten().filter(inside) {
                if visit(key, &[]).is_break() {
                    break;
                }
            }
            Ok(())
        }
    }

    const fn class(partition: u16) -> Class {
        Class {
            n: 3,
            partition: PartitionId::new(partition),
        }
    }

    fn object(partition: u16, key: &[u8]) -> Vec<u8> {
        keys::object_key(class(partition), BucketId::new(7), key)
    }

    fn marked(lost: &[Lost]) -> Vec<u16> {
        let mut store = Keys::default();
        let mut add = |family, key| store.0.entry(family).or_default().insert(key);
        add(Family::Vnodes, keys::vnode_key(class(0)));
        add(Family::Vnodes, keys::alive_key(0));
        add(Family::Objects, object(1, b"a"));
        add(Family::Objects, object(1, b"b"));
        add(Family::Objects, object(300, b"a"));
        let marks = lost_marks(&store, lost).unwrap();
        let all = (0..400).filter(|&partition| {
            let key = keys::lost_key(class(partition));
            marks.contains(&Write::Put {
                family: Family::Vnodes,
                key,
                value: Bytes::new(),
            })
        });
        let all: Vec<u16> = all.collect();
        assert_eq!(all.len(), marks.len());
        all
    }

    fn lost(family: Family, from: &[u8], to: &[u8]) -> Lost {
        Lost {
            family,
            range: (from.to_vec(), to.to_vec()),
        }
    }

    #[test]
    fn every_vnode_with_a_trace_that_a_lost_range_touches_is_marked() {
        let up_to_1 = lost(Family::Objects, &object(0, b"x"), &object(1, b"a\0"));
        assert_eq!(marked(&[up_to_1]), [0, 1]);
        let behind_1 = lost(Family::Objects, &object(1, b"z"), &object(299, b"z"));
        assert_eq!(marked(&[behind_1]), [1]);
        let pieces = keys::chunk_class_range(ChunkOwner::Vnode, class(300));
        assert_eq!(marked(&[lost(Family::Chunks, &pieces.0, &pieces.1)]), [300]);
        let all = lost(Family::Log, &[], &[u8::MAX]);
        assert_eq!(marked(&[all]), [0, 1, 300]);
        let record = keys::vnode_key(class(0));
        assert_eq!(marked(&[lost(Family::Vnodes, &record, &[3, 0, 0, 0])]), [0]);
    }

    #[test]
    fn lost_expiries_mark_every_vnode() {
        let noted = keys::expiry_key(7, class(1), BucketId::new(7), b"a");
        assert_eq!(
            marked(&[lost(Family::Expiry, &noted, &[u8::MAX])]),
            [0, 1, 300]
        );
    }

    #[test]
    fn lost_hints_and_other_nodes_pieces_mark_no_vnode() {
        let target = NodeId::new(9);
        let hints = keys::hint_range(target);
        let pieces = keys::chunk_class_range(ChunkOwner::Hint(target), class(1));
        let lost = [
            lost(Family::Hints, &hints.0, &hints.1),
            lost(Family::Chunks, &pieces.0, &pieces.1),
        ];
        assert_eq!(marked(&lost), []);
    }
}
