//! The record of who was alive when, as one replica saw it. What the fields mean: `crate::alive`.
//!
//! ```text
//! record flags  1 gap: the field `gap` is there
//! shards        varint: replicas of the node when this was written
//! life          u64
//! position      varint
//! gap           varint
//! lives         count varint, then each, oldest first: life u64, end varint
//! peers         count varint, then each, ascending by node:
//!   node        u64
//!   state       u8: 1 up, 2 excusable
//!   last        varint
//!   marks       count varint, then each, ascending by shard: shard varint, life u64, position varint
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_protocol::ids::LifeId;
use quorate_protocol::peer::AliveMark;
use quorate_ring::NodeId;

use super::body::{Reader, Writer};
use super::error::RecordError;
use super::header::{RecordKind, open, seal, start};

const GAP: u8 = 1;
const UP: u8 = 1;
const EXCUSABLE: u8 = 2;

/// Life and end.
const LIFE_BYTES_MIN: usize = 9;
/// Node, state, last, count of marks.
const PEER_BYTES_MIN: usize = 11;
/// Shard, life, position.
const MARK_BYTES_MIN: usize = 10;

/// What a replica has seen of its peers, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AliveRecord {
    /// How many replicas the node ran: with another number, others keep the record.
    pub shards: u16,
    /// The replica's life that wrote it.
    pub life: LifeId,
    /// The last coming or going that was seen.
    pub position: u64,
    /// Where the last absence of this replica lies of which it does not know yet whom it missed.
    pub gap: Option<u64>,
    /// Earlier lives and the last position of each that was stored, the oldest first.
    pub lives: Vec<(LifeId, u64)>,
    /// Every peer.
    pub peers: BTreeMap<NodeId, AlivePeer>,
}

/// What is stored of one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlivePeer {
    /// It answers.
    pub up: bool,
    /// After a restart it need not be waited for, if others know that it was away all the time.
    pub excusable: bool,
    /// The position of its last going; 0: never seen.
    pub last: u64,
    /// Where its replicas were when this one last knew all that it had to, by shard.
    pub marks: Vec<AliveMark>,
}

/// The record to store under `storage_key`.
#[must_use]
pub fn encode_alive(storage_key: &[u8], alive: &AliveRecord) -> Bytes {
    let flags = if alive.gap.is_some() { GAP } else { 0 };
    let mut record = start(RecordKind::Alive, flags);
    record.varint(u64::from(alive.shards));
    record.u64(alive.life.get());
    record.varint(alive.position);
    alive.gap.iter().for_each(|&gap| record.varint(gap));
    record.length(alive.lives.len());
    for &(life, end) in &alive.lives {
        record.u64(life.get());
        record.varint(end);
    }
    record.length(alive.peers.len());
    for (node, peer) in &alive.peers {
        record.u64(node.get());
        write_peer(peer, &mut record);
    }
    seal(storage_key, record)
}

fn write_peer(peer: &AlivePeer, out: &mut Writer) {
    let state = if peer.up { UP } else { 0 } | if peer.excusable { EXCUSABLE } else { 0 };
    out.u8(state);
    out.varint(peer.last);
    out.length(peer.marks.len());
    for mark in &peer.marks {
        out.varint(u64::from(mark.shard));
        out.u64(mark.life.get());
        out.varint(mark.position);
    }
}

/// Reads what was stored under `storage_key`.
///
/// # Errors
/// The record is damaged, of a newer format, or not of this kind.
pub fn decode_alive(storage_key: &[u8], record: &[u8]) -> Result<AliveRecord, RecordError> {
    let (flags, mut body) = open(storage_key, record, RecordKind::Alive, GAP)?;
    let (shards, life, position) = (shard(&mut body)?, life_of(&mut body)?, body.varint()?);
    let gap = match flags & GAP {
        0 => None,
        _ => Some(body.varint()?),
    };
    let lives = body.count(LIFE_BYTES_MIN)?;
    let lives = (0..lives).map(|_| Ok((life_of(&mut body)?, body.varint()?)));
    let alive = AliveRecord {
        shards,
        life,
        position,
        gap,
        lives: lives.collect::<Result<_, RecordError>>()?,
        peers: read_peers(&mut body)?,
    };
    body.end()?;
    Ok(alive)
}

fn read_peers(body: &mut Reader<'_>) -> Result<BTreeMap<NodeId, AlivePeer>, RecordError> {
    let count = body.count(PEER_BYTES_MIN)?;
    let mut peers = BTreeMap::new();
    for _ in 0..count {
        let node = NodeId::new(body.u64()?);
        if peers
            .last_key_value()
            .is_some_and(|(last, _)| *last >= node)
        {
            return Err(RecordError::Malformed("peers out of order"));
        }
        peers.insert(node, read_peer(body)?);
    }
    Ok(peers)
}

fn read_peer(body: &mut Reader<'_>) -> Result<AlivePeer, RecordError> {
    let state = body.u8()?;
    if state & !(UP | EXCUSABLE) != 0 {
        return Err(RecordError::Malformed("a peer's state that does not exist"));
    }
    let last = body.varint()?;
    let count = body.count(MARK_BYTES_MIN)?;
    let mut marks: Vec<AliveMark> = Vec::with_capacity(count);
    for _ in 0..count {
        let mark = AliveMark {
            shard: shard(body)?,
            life: life_of(body)?,
            position: body.varint()?,
        };
        if marks.last().is_some_and(|last| last.shard >= mark.shard) {
            return Err(RecordError::Malformed("marks out of order"));
        }
        marks.push(mark);
    }
    Ok(AlivePeer {
        up: state & UP != 0,
        excusable: state & EXCUSABLE != 0,
        last,
        marks,
    })
}

fn life_of(body: &mut Reader<'_>) -> Result<LifeId, RecordError> {
    body.u64().map(LifeId::new)
}

fn shard(body: &mut Reader<'_>) -> Result<u16, RecordError> {
    u16::try_from(body.varint()?)
        .map_err(|_| RecordError::Malformed("a number of replicas beyond 65535"))
}
