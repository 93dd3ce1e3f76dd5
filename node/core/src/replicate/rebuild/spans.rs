//! What both sides hold alike is not handed over: the asker says of a stretch of keys, in spans, what its records
//! sum up to, and of spans that are the same to the byte nothing but that comes back. So a vnode that only
//! lacks a little of what no log has any more is filled by little, whatever it holds.
//!
//! The records are those on disk, contexts included: equal records stand for equal versions that superseded
//! the same. A span in which the asker still keeps a context is handed over all the same, because with each
//! context belong log entries, and these are told with the objects. Nothing is kept between two pages, and no tree of hashes
//! at all: a page costs reading about a thousand records on both sides.

use std::ops::ControlFlow;

use quorate_protocol::ContentDigest;
use quorate_protocol::limits::{BATCH_BYTES, BATCH_ITEMS_MAX};
use quorate_protocol::peer::{SnapshotPage, SnapshotPlace, SnapshotRange, SnapshotSpan};
use quorate_ring::Class;
use xxhash_rust::xxh3::Xxh3Default;

use super::sift::rest_of;
use super::take::key_place;
use crate::plant::Plant;
use crate::record::{KeyPlace, decode_object};
use crate::shared::Cx;
use crate::shelf::Place;
use crate::store::{Family, StoreError};

/// Keys in one span.
const SPAN_KEYS: usize = 32;
/// Spans in one question.
const SPANS_MAX: usize = 32;

/// Records that are summed up.
#[derive(Default)]
struct Sum {
    hasher: Xxh3Default,
    keys: usize,
    last: Option<KeyPlace>,
    has_context: bool,
}

impl Sum {
    fn add(&mut self, storage_key: &[u8], record: &[u8]) {
        self.hasher
            .update(&(storage_key.len() as u64).to_be_bytes());
        self.hasher.update(storage_key);
        self.hasher.update(&(record.len() as u64).to_be_bytes());
        self.hasher.update(record);
        self.keys += 1;
    }

    fn digest(&self) -> ContentDigest {
        ContentDigest::from_bytes(self.hasher.digest128().to_be_bytes())
    }
}

impl Cx<'_> {
    /// What this vnode's records after a key sum up to, for the sender of the next page. Nothing where there is nothing to
    /// compare, or storage gives no answer: then everything is handed over.
    pub(super) fn own_spans(&self, class: Class, after: Option<&KeyPlace>) -> Vec<SnapshotSpan> {
        let (mut spans, mut sum) = (Vec::new(), Sum::default());
        let scanned = self.scan(Family::Objects, rest_of(class, after), |key, record| {
            if sum.keys == SPAN_KEYS {
                spans.push(std::mem::take(&mut sum).into_span());
                if spans.len() == SPANS_MAX {
                    return ControlFlow::Break(());
                }
            }
            let bare = decode_object(key, record).is_ok_and(|object| object.context.is_empty());
            sum.has_context |= !bare;
            sum.last = key_place(key);
            sum.add(key, record);
            ControlFlow::Continue(())
        });
        if spans.len() < SPANS_MAX && sum.keys > 0 {
            sum.last = None; // up to the end
            spans.push(sum.into_span());
        }
        let comparable = spans.iter().any(|span| span.digest.is_some());
        if scanned.is_ok() && comparable {
            spans
        } else {
            Vec::new()
        }
    }

    /// Fills a page with what lies in spans that the asker does not hold alike.
    pub(super) fn fill_differing(
        &self,
        page: &mut SnapshotPage,
        after: Option<&KeyPlace>,
        spans: &[SnapshotSpan],
    ) -> Result<(), StoreError> {
        let mut from = after.cloned();
        let mut same: Vec<SnapshotRange> = Vec::new();
        let mut bytes = 0;
        for span in spans {
            let (digest, found, all) =
                self.span_of(page.class, from.as_ref(), span.upto.as_ref())?;
            let alike = span.digest == Some(digest) || self.s.breaks(Plant::SpansUnchecked);
            if all && alike {
                match same.last_mut().filter(|range| range.upto == from) {
                    Some(range) if range.upto.is_some() => range.upto.clone_from(&span.upto),
                    Some(_) | None => same.push(SnapshotRange {
                        after: from.clone(),
                        upto: span.upto.clone(),
                    }),
                }
            } else {
                for place in found {
                    let full = bytes >= BATCH_BYTES as u64 || page.objects.len() >= BATCH_ITEMS_MAX;
                    if full {
                        end(page, same, from);
                        return Ok(());
                    }
                    from = Some((place.bucket, place.key.clone()));
                    if let Some(object) = self.handed_over(place)? {
                        let versions = object.object.versions.iter();
                        bytes += versions.map(|version| version.size).sum::<u64>();
                        page.objects.push(object);
                    }
                }
                if !all {
                    end(page, same, from);
                    return Ok(());
                }
            }
            from.clone_from(&span.upto);
        }
        end(page, same, from);
        Ok(())
    }

    /// The digest and the keys of a span here, and whether that is all of it.
    fn span_of(
        &self,
        class: Class,
        after: Option<&KeyPlace>,
        upto: Option<&KeyPlace>,
    ) -> Result<(ContentDigest, Vec<Place>, bool), StoreError> {
        let (from, end) = rest_of(class, after);
        let to = upto.map_or(end, |_| rest_of(class, upto).0);
        let (mut sum, mut found, mut all) = (Sum::default(), Vec::new(), true);
        if from >= to {
            return Ok((sum.digest(), found, all));
        }
        self.scan(Family::Objects, (from, to), |key, record| {
            if found.len() >= BATCH_ITEMS_MAX {
                all = false;
                return ControlFlow::Break(());
            }
            sum.add(key, record);
            found.extend(key_place(key).map(|(bucket, key)| Place { class, bucket, key }));
            ControlFlow::Continue(())
        })?;
        Ok((sum.digest(), found, all))
    }
}

impl Sum {
    fn into_span(self) -> SnapshotSpan {
        SnapshotSpan {
            digest: (!self.has_context).then(|| self.digest()),
            upto: self.last,
        }
    }
}

/// Whether a key lies in one of these ranges.
pub(super) fn is_in(ranges: &[SnapshotRange], place: &KeyPlace) -> bool {
    ranges.iter().any(|range| {
        range.after.as_ref().is_none_or(|after| place > after)
            && range.upto.as_ref().is_none_or(|upto| place <= upto)
    })
}

/// Whether a peer's spans can be gone through.
pub(super) fn are_sound(spans: &[SnapshotSpan], after: Option<&KeyPlace>) -> bool {
    let mut before = after;
    let mut ended = false;
    spans.len() <= SPANS_MAX
        && spans.iter().all(|span| {
            let follows = !ended
                && match (before, &span.upto) {
                    (Some(before), Some(upto)) => upto > before,
                    (None, Some(_)) | (_, None) => true,
                };
            ended = span.upto.is_none();
            before = span.upto.as_ref();
            follows
        })
}

/// Ends a page of objects. `reached` is the last key that it judges; `None`: it judges all that are left.
fn end(page: &mut SnapshotPage, same: Vec<SnapshotRange>, reached: Option<KeyPlace>) {
    page.same = same.into();
    page.next = Some(Box::new(SnapshotPlace {
        log: reached.is_none(),
        key: reached,
        dot: None,
    }));
}
