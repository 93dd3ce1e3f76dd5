//! Sweeping: of a vnode that lost something, pieces of long values may have outlived the record that named
//! their version. Nothing leads to them any more: whoever asks for a version finds its record first.
//!
//! So before anything is taken from a peer, all objects are gone through for the versions that own pieces,
//! and then all pieces; those that no version owns are removed. Both a bounded part in each tick, and
//! from the start again after a restart: no page is asked for until it is done. Pieces that are stored
//! meanwhile are noted as owned where they are stored.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;
use quorate_protocol::ids::{Dot, StorageId};
use quorate_ring::{BucketId, Class};

use super::Rebuild;
use super::sift::rest_of;
use crate::causality::Body;
use crate::record::keys::{self, ChunkOwner};
use crate::record::{KeyPlace, RebuildStage};
use crate::shared::{Cx, Shared};
use crate::shelf::Place;
use crate::store::{Family, StoreError};

/// Objects looked at in one tick and vnode.
const OBJECTS_PER_TICK: usize = 1024;
/// Pieces looked at in one tick and vnode: they are read along with their keys, 8 MiB of them.
const PIECES_PER_TICK: usize = 128;

/// Versions that own pieces, of one class.
pub(crate) type Owners = BTreeSet<(BucketId, Dot)>;

/// How far the sweep of one vnode has come, and for which storage: one that forgets anew is swept anew.
#[derive(Debug)]
pub(super) struct Sweep {
    storage: StorageId,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Objects up to this one were asked for what they own.
    Owners(Option<KeyPlace>),
    /// Pieces up to this one were looked at.
    Pieces(Option<Vec<u8>>),
    Done,
}

impl Rebuild {
    /// Goes on sweeping all vnodes that need it.
    pub(super) fn sweep_all(&mut self, cx: &mut Cx<'_>) {
        let lost: Vec<(Class, StorageId)> = cx.s.lost_and_sifted().collect();
        let wanted = |class: Class, storage: StorageId| lost.contains(&(class, storage));
        self.sweeps
            .retain(|&class, sweep| wanted(class, sweep.storage));
        let sweeps = &self.sweeps;
        cx.s.piece_owners
            .retain(|class, _| sweeps.contains_key(class));
        for (class, storage) in lost {
            let sweep = self.sweeps.entry(class).or_insert_with(|| Sweep {
                storage,
                stage: Stage::Owners(None),
            });
            // What cannot be read is tried again, or the vnode is damaged and begins anew.
            if let Ok(next) = cx.sweep(class, &sweep.stage) {
                sweep.stage = next;
            }
        }
    }

    /// Whether a vnode may be filled: it lost nothing, or holds nothing any more that it should not.
    pub(super) fn is_swept(&self, shared: &Shared, class: Class) -> bool {
        let lost = |state: &crate::record::Rebuilding| state.lost;
        let vnode = shared.vnodes.get(&class);
        let lost = vnode.is_some_and(|vnode| vnode.rebuilding.as_ref().is_some_and(lost));
        let sweep = self.sweeps.get(&class);
        !lost || sweep.is_some_and(|sweep| matches!(sweep.stage, Stage::Done))
    }
}

impl Shared {
    /// Vnodes that lost something and have thrown out what cannot be read.
    fn lost_and_sifted(&self) -> impl Iterator<Item = (Class, StorageId)> {
        self.vnodes.values().filter_map(|vnode| {
            let state = vnode.rebuilding.as_ref().filter(|state| state.lost)?;
            let sifting = matches!(state.stage, RebuildStage::Sifting { .. });
            (!sifting).then_some((vnode.class, vnode.storage))
        })
    }
}

impl Cx<'_> {
    fn sweep(&mut self, class: Class, stage: &Stage) -> Result<Stage, StoreError> {
        match stage {
            Stage::Owners(after) => self.find_owners(class, after.as_ref()),
            Stage::Pieces(after) => self.remove_stray_pieces(class, after.as_deref()),
            Stage::Done => Ok(Stage::Done),
        }
    }

    fn find_owners(&mut self, class: Class, after: Option<&KeyPlace>) -> Result<Stage, StoreError> {
        let found = self.keys_between(Family::Objects, rest_of(class, after), OBJECTS_PER_TICK);
        let (found, all) = self.watch(class, found)?;
        let (mut owners, mut last) = (Owners::new(), after.cloned());
        for key in &found {
            let Some((_, bucket, name)) = keys::parse_object_key(key) else {
                continue;
            };
            let place = Place {
                class,
                bucket,
                key: Bytes::copy_from_slice(name),
            };
            let loaded = self.load(&place);
            let object = self.watch(class, loaded)?;
            let long = object
                .versions
                .iter()
                .filter(|version| matches!(version.body, Body::Chunked { .. }));
            owners.extend(long.map(|version| (bucket, version.dot)));
            last = Some((bucket, place.key));
        }
        self.s.piece_owners.entry(class).or_default().extend(owners);
        Ok(if all {
            Stage::Pieces(None)
        } else {
            Stage::Owners(last)
        })
    }

    fn remove_stray_pieces(
        &mut self,
        class: Class,
        after: Option<&[u8]>,
    ) -> Result<Stage, StoreError> {
        let (mut from, to) = keys::chunk_class_range(ChunkOwner::Vnode, class);
        if let Some(after) = after {
            from = [after, &[0]].concat();
        }
        let owners = self.s.piece_owners.get(&class);
        let owned = |key: &[u8]| {
            let of = keys::parse_chunk_key(key).map(|(_, _, bucket, dot, _)| (bucket, dot));
            of.is_some_and(|of| owners.is_some_and(|owners| owners.contains(&of)))
        };
        let (mut stray, mut last, mut looked_at) = (Vec::new(), None, 0);
        let scanned = self.scan(Family::Chunks, (from, to), |key, _| {
            looked_at += 1;
            last = Some(key.to_vec());
            if !owned(key) {
                stray.push(key.to_vec());
            }
            if looked_at >= PIECES_PER_TICK {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        self.watch(class, scanned)?;
        for key in stray {
            self.s.delete(Family::Chunks, key);
        }
        Ok(if looked_at < PIECES_PER_TICK {
            Stage::Done
        } else {
            Stage::Pieces(last)
        })
    }
}
