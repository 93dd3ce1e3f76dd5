//! Context tokens against everything a client may send instead.

use bytes::Bytes;
use proptest::prelude::*;
use quorate_core::causality::VersionVector;
use quorate_core::token::{TokenError, TokenKey, open, seal};
use quorate_protocol::{ActorId, ClusterId, Dot};
use quorate_ring::BucketId;

const CLUSTER: ClusterId = ClusterId::new(3, 4);
const BUCKET: BucketId = BucketId::new(5);
const KEY: &[u8] = b"key";

fn secret() -> TokenKey {
    TokenKey::new([7; 32])
}

fn seen() -> impl Strategy<Value = VersionVector> {
    let dot = (any::<u64>(), prop_oneof![1..300u64, any::<u64>()]);
    prop::collection::vec(dot, 0..12).prop_map(|dots| {
        dots.into_iter()
            .map(|(actor, counter)| Dot::new(ActorId::new(actor), counter))
            .collect()
    })
}

fn sealed(seen: &VersionVector) -> Bytes {
    seal(&secret(), CLUSTER, BUCKET, KEY, seen)
}

proptest! {
    #[test]
    fn a_token_opens_where_it_was_sealed(seen in seen(), key in prop::collection::vec(any::<u8>(), 0..40)) {
        let token = seal(&secret(), CLUSTER, BUCKET, &key, &seen);
        prop_assert_eq!(open(&secret(), CLUSTER, BUCKET, &key, &token), Ok(seen));
    }

    #[test]
    fn a_token_opens_nowhere_else(seen in seen(), key in prop::collection::vec(any::<u8>(), 0..6), other in any::<u64>()) {
        let token = sealed(&seen);
        let elsewhere = [
            open(&secret(), CLUSTER, BUCKET, &[KEY, b"x", &key].concat(), &token),
            open(&secret(), CLUSTER, BucketId::new(BUCKET.get() ^ other.max(1)), KEY, &token),
            open(&secret(), ClusterId::new(3, 4 ^ other.max(1)), BUCKET, KEY, &token),
            open(&TokenKey::new([8; 32]), CLUSTER, BUCKET, KEY, &token),
        ];
        for result in elsewhere {
            prop_assert_eq!(result, Err(TokenError::WrongChecksum));
        }
        if key != KEY {
            prop_assert_eq!(open(&secret(), CLUSTER, BUCKET, &key, &token), Err(TokenError::WrongChecksum));
        }
    }

    #[test]
    fn no_flipped_bit_opens(seen in seen()) {
        let token = sealed(&seen);
        for bit in 0..token.len() * 8 {
            let mut flipped = token.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = open(&secret(), CLUSTER, BUCKET, KEY, &flipped).unwrap_err();
            match bit / 8 {
                0 => prop_assert_eq!(error, TokenError::Version { found: flipped[0] }),
                1 => prop_assert_eq!(error, TokenError::UnknownKey { found: flipped[1] }),
                _ => prop_assert_eq!(error, TokenError::WrongChecksum),
            }
        }
    }

    #[test]
    fn no_truncation_opens(seen in seen()) {
        let token = sealed(&seen);
        for length in 0..token.len() {
            let error = open(&secret(), CLUSTER, BUCKET, KEY, &token[..length]).unwrap_err();
            let expected = if length < 18 { TokenError::Truncated { found: length, min: 18 } } else { TokenError::WrongChecksum };
            prop_assert_eq!(error, expected);
        }
    }

    #[test]
    fn no_random_bytes_open(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(open(&secret(), CLUSTER, BUCKET, KEY, &bytes).is_err());
    }
}

#[test]
fn a_token_over_the_limit_is_refused_unread() {
    let found = quorate_protocol::limits::CONTEXT_BYTES_MAX + 1;
    assert_eq!(
        open(&secret(), CLUSTER, BUCKET, KEY, &vec![1; found]),
        Err(TokenError::TooLong { found })
    );
}

#[test]
fn a_secret_is_not_printed() {
    assert_eq!(format!("{:?}", secret()), "TokenKey(secret)");
}
