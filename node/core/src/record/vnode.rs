//! The record of a vnode: who it is, what it has applied, who its actors are.
//!
//! ```text
//! record flags  1 damaged: its absences count for nothing; 2 it is being rebuilt
//!               4 as a newcomer it has all that it needs
//! vnode         u64
//! storage       u64
//! ring          varint: the ring version at the vnode's birth
//! epoch         varint: the version of the map that last moved the class, as far as the vnode knew
//! complete      if flagged, varint: the epoch in which that was found
//! clock         count varint, then each, ascending by actor:
//!   actor u64
//!   base        varint
//!   runs        count varint, then each: gap varint, length varint
//!               (gap: counters missing since the end of what stands before, at least 1; 0 only in front of
//!               the end of a closed actor)
//! settled       as clock: what every member had confirmed when contexts were last dropped
//! actors        count varint, then each, ascending: actor u64, node u64, ring version varint
//! promised      count varint, then each, ascending: actor u64
//! folding       varint: all actors before this generation are promised; 0: none
//! voids         as clock: dots of sealed actors that no write has
//! rebuilding    if flagged, see `rebuilding.rs`
//! ```

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use quorate_protocol::versioned::MapVersion;
use quorate_protocol::{ActorId, StorageId, VnodeId};
use quorate_ring::{NodeId, RingVersion};

use super::body::{Reader, Writer};
use super::error::RecordError;
use super::header::{RecordKind, open, seal, start};
use super::rebuilding::{self, Rebuilding};
use crate::causality::Clock;

const DAMAGED: u8 = 1;
const REBUILDING: u8 = 2;
const COMPLETE: u8 = 4;

/// Actor, base, count of runs.
const CLOCK_ENTRY_BYTES_MIN: usize = 10;
/// Actor, node, ring version.
const ACTOR_BYTES_MIN: usize = 17;

/// Actor.
const PROMISED_BYTES_MIN: usize = 8;

/// A vnode as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VnodeRecord {
    /// The vnode.
    pub vnode: VnodeId,
    /// The storage that its durable clock speaks for.
    pub storage: StorageId,
    /// The ring version at its birth.
    pub ring: RingVersion,
    /// The epoch of its class under which it works; 0 if it never looked.
    pub epoch: MapVersion,
    /// In which epoch it was found to have, as a newcomer, all that the old members had.
    pub complete: Option<MapVersion>,
    /// Its clock at a checkpoint; the dot log holds what came since.
    pub clock: Clock,
    /// What every member of the class was known to have durably when logs were last collected: contexts
    /// that name no more than this may be gone everywhere.
    pub settled: Clock,
    /// Each actor's node and the ring version at the actor's birth.
    pub actors: BTreeMap<ActorId, (NodeId, RingVersion)>,
    /// Retired actors of which new dots are taken by anti-entropy only, until they are sealed.
    pub promised: BTreeSet<ActorId>,
    /// The same of all actors before this generation; 0: of none.
    pub folding: u16,
    /// Dots of sealed actors that no write has. The clock has them, too.
    pub voids: Clock,
    /// Something of its own was unreadable or missing: its absences count for nothing.
    pub damaged: bool,
    /// How far its rebuilding has come, if it is being rebuilt.
    pub rebuilding: Option<Rebuilding>,
}

/// The record to store under `storage_key`.
#[must_use]
pub fn encode_vnode(storage_key: &[u8], vnode: &VnodeRecord) -> Bytes {
    let mut flags = if vnode.damaged { DAMAGED } else { 0 };
    if vnode.rebuilding.is_some() {
        flags |= REBUILDING;
    }
    if vnode.complete.is_some() {
        flags |= COMPLETE;
    }
    let mut record = start(RecordKind::Vnode, flags);
    record.u64(vnode.vnode.get());
    record.u64(vnode.storage.get());
    record.varint(vnode.ring.get());
    record.varint(vnode.epoch.get());
    if let Some(complete) = vnode.complete {
        record.varint(complete.get());
    }
    write_clock(&vnode.clock, &mut record);
    write_clock(&vnode.settled, &mut record);
    record.length(vnode.actors.len());
    for (actor, (node, ring)) in &vnode.actors {
        record.actor(*actor);
        record.u64(node.get());
        record.varint(ring.get());
    }
    record.length(vnode.promised.len());
    for actor in &vnode.promised {
        record.actor(*actor);
    }
    record.varint(u64::from(vnode.folding));
    write_clock(&vnode.voids, &mut record);
    if let Some(rebuilding) = &vnode.rebuilding {
        rebuilding::write(rebuilding, &mut record);
    }
    seal(storage_key, record)
}

/// Reads what was stored under `storage_key`.
///
/// # Errors
/// The record is damaged, of a newer format, or no vnode's.
pub fn decode_vnode(storage_key: &[u8], record: &[u8]) -> Result<VnodeRecord, RecordError> {
    let known = DAMAGED | REBUILDING | COMPLETE;
    let (flags, mut body) = open(storage_key, record, RecordKind::Vnode, known)?;
    let vnode = VnodeRecord {
        vnode: VnodeId::new(body.u64()?),
        storage: StorageId::new(body.u64()?),
        ring: RingVersion::new(body.varint()?),
        epoch: MapVersion::new(body.varint()?),
        complete: (flags & COMPLETE != 0)
            .then(|| body.varint().map(MapVersion::new))
            .transpose()?,
        clock: read_clock(&mut body)?,
        settled: read_clock(&mut body)?,
        actors: read_actors(&mut body)?,
        promised: read_promised(&mut body)?,
        folding: u16::try_from(body.varint()?).map_err(|_| BAD_GENERATION)?,
        voids: read_clock(&mut body)?,
        damaged: flags & DAMAGED != 0,
        rebuilding: (flags & REBUILDING != 0)
            .then(|| rebuilding::read(&mut body))
            .transpose()?,
    };
    body.end()?;
    Ok(vnode)
}

pub(super) fn write_clock(clock: &Clock, out: &mut Writer) {
    out.length(clock.len_actors());
    for entry in clock.to_wire() {
        out.actor(entry.actor);
        out.varint(entry.base);
        out.length(entry.runs.len());
        let mut end = entry.base;
        for (first, length) in entry.runs {
            // Runs of a clock start beyond what stands before them and never overflow.
            out.varint(first - end - 1);
            out.varint(length);
            end = first + (length - 1);
        }
    }
}

pub(super) fn read_clock(body: &mut Reader<'_>) -> Result<Clock, RecordError> {
    let count = body.count(CLOCK_ENTRY_BYTES_MIN)?;
    let mut clock = Clock::new();
    for _ in 0..count {
        let (actor, base) = (body.actor()?, body.varint()?);
        let runs = read_runs(base, body)?;
        clock
            .push(actor, base, runs.into_iter())
            .map_err(|_| BAD_CLOCK)?;
    }
    Ok(clock)
}

fn read_runs(base: u64, body: &mut Reader<'_>) -> Result<Vec<(u64, u64)>, RecordError> {
    let count = body.count(2)?;
    let mut end = base;
    let mut runs = Vec::with_capacity(count);
    for _ in 0..count {
        let (gap, length) = (body.varint()?, body.varint()?);
        let first = end
            .checked_add(gap)
            .and_then(|last| last.checked_add(1))
            .ok_or(BAD_CLOCK)?;
        end = end
            .checked_add(gap)
            .and_then(|last| last.checked_add(length))
            .ok_or(BAD_CLOCK)?;
        runs.push((first, length));
    }
    Ok(runs)
}

fn read_actors(
    body: &mut Reader<'_>,
) -> Result<BTreeMap<ActorId, (NodeId, RingVersion)>, RecordError> {
    let count = body.count(ACTOR_BYTES_MIN)?;
    let mut actors = BTreeMap::new();
    for _ in 0..count {
        let actor = body.actor()?;
        if actors
            .last_key_value()
            .is_some_and(|(last, _)| *last >= actor)
        {
            return Err(RecordError::Malformed("actors out of order"));
        }
        actors.insert(
            actor,
            (NodeId::new(body.u64()?), RingVersion::new(body.varint()?)),
        );
    }
    Ok(actors)
}

fn read_promised(body: &mut Reader<'_>) -> Result<BTreeSet<ActorId>, RecordError> {
    let count = body.count(PROMISED_BYTES_MIN)?;
    let mut promised = BTreeSet::new();
    for _ in 0..count {
        let actor = body.actor()?;
        if promised.last().is_some_and(|last| *last >= actor) {
            return Err(RecordError::Malformed("promised actors out of order"));
        }
        promised.insert(actor);
    }
    Ok(promised)
}

const BAD_GENERATION: RecordError = RecordError::Malformed("a generation of actors that is none");
const BAD_CLOCK: RecordError = RecordError::Malformed("a clock that is none");
