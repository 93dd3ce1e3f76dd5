//! Storage keys: their parts come back, and each range holds exactly what it names.

use bytes::Bytes;
use proptest::prelude::*;
use quorate_core::record::keys::{self, ChunkOwner, KeyRange};
use quorate_protocol::{ActorId, Dot, RequestId};
use quorate_ring::{BucketId, Class, NodeId, PartitionId};

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300u64, any::<u64>(), Just(u64::MAX)]
}

fn dot() -> impl Strategy<Value = Dot> {
    (number(), number()).prop_map(|(actor, counter)| Dot::new(ActorId::new(actor), counter.max(1)))
}

fn request() -> impl Strategy<Value = RequestId> {
    (0..2u64, number()).prop_map(|(high, low)| RequestId::new(high, low))
}

fn bytes(length: usize) -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..length).prop_map(Bytes::from)
}

fn class() -> impl Strategy<Value = Class> {
    let partition = prop_oneof![0..3u16, Just(u16::MAX), any::<u16>()];
    (1..=7u8, partition).prop_map(|(n, partition)| Class {
        n,
        partition: PartitionId::new(partition),
    })
}

fn inside((from, to): &KeyRange, key: &[u8]) -> bool {
    from.as_slice() <= key && key < to.as_slice()
}

proptest! {
    #[test]
    fn storage_keys_give_their_parts_back(class in class(), bucket in number(), key in bytes(30), node in number(), dot in dot(), request in request(), piece in any::<u32>()) {
        let (bucket, node) = (BucketId::new(bucket), NodeId::new(node));
        let (object, hint) = (keys::object_key(class, bucket, &key), keys::hint_key(node, class, bucket, &key));
        prop_assert_eq!(keys::parse_object_key(&object), Some((class, bucket, &key[..])));
        prop_assert_eq!(keys::parse_hint_key(&hint), Some((node, class, bucket, &key[..])));
        prop_assert_eq!(keys::parse_log_key(&keys::log_key(class, dot)), Some((class, dot)));
        prop_assert_eq!(keys::parse_request_key(&keys::request_key(class, request)), Some((class, request)));
        prop_assert_eq!(keys::parse_vnode_key(&keys::vnode_key(class)), Some(class));
        let expiry = keys::expiry_key(dot.counter, class, bucket, &key);
        prop_assert_eq!(keys::parse_expiry_key(&expiry), Some((dot.counter, class, bucket, &key[..])));
        prop_assert_eq!(keys::parse_digest_key(&keys::digest_key(class)), Some(class));
        prop_assert_eq!(keys::parse_vnode_key(&keys::digest_key(class)), None);
        prop_assert!(inside(&keys::class_range(class), &keys::digest_key(class)));
        for owner in [ChunkOwner::Vnode, ChunkOwner::Hint(node)] {
            let chunk = keys::chunk_key(owner, class, bucket, dot, piece);
            prop_assert_eq!(keys::parse_chunk_key(&chunk), Some((owner, class, bucket, dot, piece)));
            prop_assert!(inside(&keys::chunk_range(owner, class, bucket, dot), &chunk));
            prop_assert!(inside(&keys::chunk_class_range(owner, class), &chunk));
        }
    }

    #[test]
    fn a_range_holds_exactly_what_it_names(
        classes in (class(), class()), buckets in (number(), number()), nodes in (number(), number()), key in bytes(30), dots in (dot(), dot()),
    ) {
        let buckets = (BucketId::new(buckets.0), BucketId::new(buckets.1));
        let nodes = (NodeId::new(nodes.0), NodeId::new(nodes.1));
        let object = keys::object_key(classes.0, buckets.0, &key);
        let hint = keys::hint_key(nodes.0, classes.0, buckets.0, &key);
        prop_assert_eq!(inside(&keys::object_range(classes.1, buckets.1), &object), (classes.0, buckets.0) == (classes.1, buckets.1));
        prop_assert_eq!(inside(&keys::class_range(classes.1), &object), classes.0 == classes.1);
        prop_assert_eq!(inside(&keys::hint_range(nodes.1), &hint), nodes.0 == nodes.1);
        prop_assert_eq!(inside(&keys::hint_class_range(nodes.1, classes.1), &hint), (nodes.0, classes.0) == (nodes.1, classes.1));
        let all = (nodes.0, classes.0, buckets.0) == (nodes.1, classes.1, buckets.1);
        prop_assert_eq!(inside(&keys::hint_bucket_range(nodes.1, classes.1, buckets.1), &hint), all);
        let log = keys::log_key(classes.0, dots.0);
        prop_assert_eq!(inside(&keys::log_range(classes.1), &log), classes.0 == classes.1);
        prop_assert!(inside(&keys::vnodes_range(), &keys::vnode_key(classes.0)));
        let (at, from) = (dots.0.counter, dots.1.counter);
        let expiry = keys::expiry_key(at, classes.0, buckets.0, &key);
        prop_assert_eq!(inside(&keys::expiry_range_from(from), &expiry), at >= from);
    }

    #[test]
    fn expiries_order_by_time_first(left in (number(), class(), bytes(9)), right in (number(), class(), bytes(9))) {
        let key = |(at, class, key): &(u64, Class, Bytes)| keys::expiry_key(*at, *class, BucketId::new(1), key);
        if left.0 != right.0 {
            prop_assert_eq!(key(&left).cmp(&key(&right)), left.0.cmp(&right.0));
        }
    }

    #[test]
    fn a_run_of_the_log_is_one_range(class in class(), dot in dot(), first in number(), length in number()) {
        let range = keys::log_run_range(class, dot.actor, first, length);
        let in_run = first <= dot.counter && dot.counter - first < length;
        prop_assert_eq!(inside(&range, &keys::log_key(class, dot)), in_run);
    }

    #[test]
    fn storage_keys_order_as_bucket_and_key(class in class(), left in (number(), bytes(9)), right in (number(), bytes(9))) {
        let key = |(bucket, key): &(u64, Bytes)| keys::object_key(class, BucketId::new(*bucket), key);
        prop_assert_eq!(key(&left).cmp(&key(&right)), left.cmp(&right));
    }

    #[test]
    fn other_bytes_are_no_storage_keys(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let round = |parsed: Option<Vec<u8>>| parsed.is_none_or(|again| again == bytes);
        prop_assert!(round(keys::parse_object_key(&bytes).map(|(class, bucket, key)| keys::object_key(class, bucket, key))));
        prop_assert!(round(keys::parse_hint_key(&bytes).map(|(node, class, bucket, key)| keys::hint_key(node, class, bucket, key))));
        prop_assert!(round(keys::parse_log_key(&bytes).map(|(class, dot)| keys::log_key(class, dot))));
        prop_assert!(round(keys::parse_request_key(&bytes).map(|(class, request)| keys::request_key(class, request))));
        prop_assert!(round(keys::parse_vnode_key(&bytes).map(keys::vnode_key)));
        prop_assert!(round(keys::parse_expiry_key(&bytes).map(|(at, class, bucket, key)| keys::expiry_key(at, class, bucket, key))));
        prop_assert!(round(keys::parse_chunk_key(&bytes).map(|(owner, class, bucket, dot, piece)| keys::chunk_key(owner, class, bucket, dot, piece))));
    }
}
