//! The part of a vnode's record that says how far its rebuilding has come.
//!
//! ```text
//! stage         u8: 1 sifting, 2 waiting for a sender, 3 taking objects, 4 taking the log;
//!               plus 16: something of the vnode was lost; plus 32: it is united with its sender
//! objects       varint: taken so far
//! source        in stages 3 and 4: node u64, storage u64, its clock as the vnode's clock is written
//! after         in stages 1 and 3: 0, or 1 and bucket u64, key bytes
//!               in stage 4: 0, or 1 and dot
//! ```

use bytes::Bytes;
use quorate_protocol::{Dot, StorageId};
use quorate_ring::{BucketId, NodeId};

use super::body::{Reader, Writer};
use super::error::RecordError;
use super::vnode::{read_clock, write_clock};
use crate::causality::Clock;

const SIFTING: u8 = 1;
const WAITING: u8 = 2;
const OBJECTS: u8 = 3;
const LOG: u8 = 4;
const LOST: u8 = 16;
const UNITED: u8 = 32;

/// A bucket and a key in it.
pub type KeyPlace = (BucketId, Bytes);

/// From where a vnode is filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotSource {
    /// The sender.
    pub node: NodeId,
    /// Its storage: another one cannot go on where this one stopped.
    pub storage: StorageId,
    /// Its durable clock at the start: what the vnode may claim at the end.
    pub clock: Clock,
}

/// How far a rebuilding has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RebuildStage {
    /// What is unreadable is thrown out; the keys up to `after` were looked at.
    Sifting {
        /// The last key looked at.
        after: Option<KeyPlace>,
    },
    /// No peer that could hand over what it has was found yet.
    Waiting,
    /// Objects are taken over; those up to `after` are.
    Objects {
        /// From where.
        source: SnapshotSource,
        /// The last key taken.
        after: Option<KeyPlace>,
    },
    /// All objects are taken over, and log entries up to `after`.
    Log {
        /// From where.
        source: SnapshotSource,
        /// The last dot taken.
        after: Option<Dot>,
    },
}

/// A vnode that is filled again from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilding {
    /// Something of its own was lost, so that what it had seen is not known: its clock was thrown
    /// away, and of its old objects each version counts only once the sender's clock has judged it.
    /// Otherwise it merely lacks what no log answers any more.
    pub lost: bool,
    /// It has seen what its sender has, and holds something else: versions that one side lacks go by contexts
    /// alone, not by clocks.
    pub united: bool,
    /// Objects taken so far.
    pub objects: u64,
    /// Where it stands.
    pub stage: RebuildStage,
}

impl Rebuilding {
    /// From where the vnode is filled, once a sender was found.
    #[must_use]
    pub const fn source(&self) -> Option<&SnapshotSource> {
        match &self.stage {
            RebuildStage::Sifting { .. } | RebuildStage::Waiting => None,
            RebuildStage::Objects { source, .. } | RebuildStage::Log { source, .. } => Some(source),
        }
    }
}

pub(super) fn write(rebuilding: &Rebuilding, out: &mut Writer) {
    let stage = match rebuilding.stage {
        RebuildStage::Sifting { .. } => SIFTING,
        RebuildStage::Waiting => WAITING,
        RebuildStage::Objects { .. } => OBJECTS,
        RebuildStage::Log { .. } => LOG,
    };
    let lost = if rebuilding.lost { LOST } else { 0 };
    let united = if rebuilding.united { UNITED } else { 0 };
    out.u8(stage | lost | united);
    out.varint(rebuilding.objects);
    if let Some(source) = rebuilding.source() {
        out.u64(source.node.get());
        out.u64(source.storage.get());
        write_clock(&source.clock, out);
    }
    match &rebuilding.stage {
        RebuildStage::Waiting => {}
        RebuildStage::Sifting { after } | RebuildStage::Objects { after, .. } => {
            out.u8(u8::from(after.is_some()));
            if let Some((bucket, key)) = after {
                out.u64(bucket.get());
                out.bytes(key);
            }
        }
        RebuildStage::Log { after, .. } => {
            out.u8(u8::from(after.is_some()));
            if let Some(dot) = after {
                out.dot(*dot);
            }
        }
    }
}

pub(super) fn read(body: &mut Reader<'_>) -> Result<Rebuilding, RecordError> {
    let first = body.u8()?;
    let objects = body.varint()?;
    let stage = match first & !(LOST | UNITED) {
        SIFTING => RebuildStage::Sifting {
            after: optional(body, read_place)?,
        },
        WAITING => RebuildStage::Waiting,
        OBJECTS => RebuildStage::Objects {
            source: read_source(body)?,
            after: optional(body, read_place)?,
        },
        LOG => RebuildStage::Log {
            source: read_source(body)?,
            after: optional(body, Reader::dot)?,
        },
        _ => return Err(RecordError::Malformed("an unknown stage of rebuilding")),
    };
    Ok(Rebuilding {
        lost: first & LOST != 0,
        united: first & UNITED != 0,
        objects,
        stage,
    })
}

fn read_source(body: &mut Reader<'_>) -> Result<SnapshotSource, RecordError> {
    Ok(SnapshotSource {
        node: NodeId::new(body.u64()?),
        storage: StorageId::new(body.u64()?),
        clock: read_clock(body)?,
    })
}

fn read_place(body: &mut Reader<'_>) -> Result<KeyPlace, RecordError> {
    Ok((BucketId::new(body.u64()?), body.owned()?))
}

fn optional<'a, T>(
    body: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, RecordError>,
) -> Result<Option<T>, RecordError> {
    match body.u8()? {
        0 => Ok(None),
        1 => read(body).map(Some),
        _ => Err(RecordError::Malformed("neither there nor missing")),
    }
}
