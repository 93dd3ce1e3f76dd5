//! The way past records that storage cannot read and cannot even name: a scan just ends there.
//!
//! Scans that begin at later and later keys tell where the damage ends: up to its last key each of
//! them begins with it. That key is found byte by byte.

use std::ops::ControlFlow;

use quorate_protocol::limits::KEY_BYTES_MAX;

use crate::record::keys::KeyRange;
use crate::store::{Family, Store, StoreError};

/// Bytes of the longest storage key: a target, a class, a bucket, a key.
pub(crate) const STORAGE_KEY_BYTES_MAX: usize = KEY_BYTES_MAX + 32;

/// The first part of a range, if the range begins with what cannot be read: exactly that part.
pub(crate) fn unreadable_start(
    store: &dyn Store,
    family: Family,
    (from, to): &KeyRange,
) -> Option<KeyRange> {
    let damage_at = |start: &[u8]| {
        let mut any = false;
        let scanned = store.scan(family, start, to, &mut |_, _| {
            any = true;
            ControlFlow::Break(())
        });
        !any && matches!(scanned, Err(StoreError::Damaged { .. }))
    };
    let mut end = last_start(from, to, damage_at)?;
    end.push(0);
    Some((from.clone(), end))
}

/// The greatest key in the range at which `damage` is met, where it is met up to some key and not
/// beyond. `None` if it is not even met at the beginning.
fn last_start(from: &[u8], to: &[u8], damage: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    if !damage(from) {
        return None;
    }
    // Whatever lies before `from` counts as met, whatever lies behind the range does not.
    let met = |key: &[u8]| key <= from || (key < to && damage(key));
    let mut last: Vec<u8> = Vec::new();
    while last.len() < STORAGE_KEY_BYTES_MAX {
        let with = |byte: u8| [&last[..], &[byte]].concat();
        if !met(&with(0)) {
            break;
        }
        // The greatest byte at which it is met still: 0 is one.
        let (mut low, mut high) = (0, u8::MAX);
        while low < high {
            let middle = high - (high - low) / 2;
            if met(&with(middle)) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        last.push(low);
    }
    Some(last.max(from.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_key_of_what_is_damaged_is_found_byte_by_byte() {
        let (from, to) = (b"bb\0".to_vec(), b"z".to_vec());
        for damaged in [
            &b"bb\0"[..],
            b"bb\0\0",
            b"bc",
            b"key-17",
            b"yzz\xff\xff",
            b"c",
        ] {
            let found = last_start(&from, &to, |start| start <= damaged);
            assert_eq!(found.as_deref(), Some(damaged));
        }
        assert_eq!(last_start(&from, &to, |start| start < &from[..]), None);
    }
}
