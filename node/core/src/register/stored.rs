//! The durable state as bytes.
//!
//! ```text
//!  0                8          12           28
//!  +----------------+----------+------------+---------+------+--------+----------+------------------+--------
//!  | "QREG"  format | checksum | cluster id | storage | anew | newest | promised | ballot, accepted | pledge
//!  +----------------+----------+------------+---------+------+--------+----------+------------------+--------
//! ```
//!
//! The checksum is the CRC-32 of everything after it. The storage's id has 8 bytes. Anew is 1 if the
//! cluster is to be founded anew, and 0 if not. A version is a
//! varint length and its bytes. A ballot is its round (varint), node and life (8 bytes each); round 0 is none,
//! and after an accepted ballot of round 0 no version follows. The pledge is 0 where the lineage is not given up, and else 1,
//! how many members are called gone (varint), each of them, the ballot promised, and ballot and version accepted
//! as above. Fixed numbers are big endian.

use bytes::Bytes;
use quorate_protocol::limits::MEMBERS_MAX;
use quorate_protocol::peer::Ballot;
use quorate_protocol::versioned::MapName;
use quorate_protocol::{ClusterId, StorageId};
use quorate_ring::NodeId;

use super::acceptor::Acceptor;
use super::pledge::Pledge;
use super::version::{Version, VersionError};
use crate::record::{Reader, RecordError, Writer};

const MARK: [u8; 4] = *b"QREG";
const FORMAT: u32 = 4;
const HEADER_BYTES: usize = 12;

/// Why stored bytes are not a register's state.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoredRegisterError {
    /// Not ours, cut short or altered. What was promised cannot be known any more.
    #[error(
        "the stored register is damaged ({0}): this node's votes are lost. Give it a new storage id; it votes again once a version of the cluster map names that"
    )]
    Damaged(&'static str),
    /// Written by a later version.
    #[error(
        "the stored register has format {0}, this build reads format {FORMAT}: use a newer build"
    )]
    Format(u32),
    /// Of another cluster.
    #[error(
        "the stored register belongs to cluster {0}: give this node a data directory of its own"
    )]
    OtherCluster(ClusterId),
    /// It and the version that came with the data directory have one number and differ.
    #[error(
        "the stored register has version {stored} of the cluster map, the one given has {given}: they are of two clusters under one id, start with the map that this directory was made with"
    )]
    OtherMap {
        /// The version that was stored.
        stored: MapName,
        /// The version that was given.
        given: MapName,
    },
    /// The versions in it cannot be used.
    #[error("the stored register cannot be used: {0}")]
    Version(#[from] VersionError),
}

/// What is stored.
pub(super) struct Stored {
    /// The storage for which it was written.
    pub(super) storage: StorageId,
    /// Whether the storages that the newest version names are given up.
    pub(super) anew: bool,
    pub(super) newest: Version,
    pub(super) acceptor: Acceptor,
    /// That the lineage of the newest version is given up.
    pub(super) pledge: Option<Pledge>,
}

/// The bytes of a state.
pub(super) fn encode(stored: &Stored) -> Vec<u8> {
    let Stored {
        storage,
        anew,
        newest,
        acceptor,
        pledge,
    } = stored;
    let mut writer = Writer::new(&newest.map().map.cluster.to_bytes());
    writer.u64(storage.get());
    writer.u8(u8::from(*anew));
    writer.bytes(newest.bytes());
    write_ballot(&mut writer, acceptor.promised);
    write_accepted(&mut writer, acceptor.accepted.as_ref());
    write_pledge(&mut writer, pledge.as_ref());
    let content = writer.into_bytes();
    let mut out = Vec::with_capacity(HEADER_BYTES + content.len());
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&FORMAT.to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&content).to_be_bytes());
    out.extend_from_slice(&content);
    out
}

/// Reads a state of this cluster.
pub(super) fn decode(cluster: ClusterId, bytes: &[u8]) -> Result<Stored, StoredRegisterError> {
    let mut header = Reader::new(bytes);
    if header.array()? != MARK {
        return Err(StoredRegisterError::Damaged("it does not start with QREG"));
    }
    match u32::from_be_bytes(header.array()?) {
        FORMAT => {}
        other => return Err(StoredRegisterError::Format(other)),
    }
    let checksum = u32::from_be_bytes(header.array()?);
    let content = header.rest();
    if crc32fast::hash(content) != checksum {
        return Err(StoredRegisterError::Damaged("its checksum does not match"));
    }
    let mut reader = Reader::new(content);
    let written_for = ClusterId::from_bytes(reader.array()?);
    if written_for != cluster {
        return Err(StoredRegisterError::OtherCluster(written_for));
    }
    let stored = read(&mut reader)?;
    reader.end()?;
    Ok(stored)
}

fn read(reader: &mut Reader<'_>) -> Result<Stored, StoredRegisterError> {
    let storage = StorageId::new(reader.u64()?);
    let anew = match reader.u8()? {
        0 => false,
        1 => true,
        _ => return Err(StoredRegisterError::Damaged("a field cannot be")),
    };
    let newest = read_version(reader)?;
    let promised = read_ballot(reader)?;
    let accepted = read_accepted(reader)?;
    if let Some((_, version)) = &accepted {
        version.check_follows(&newest)?;
    }
    let pledge = read_pledge(reader, &newest)?;
    let acceptor = Acceptor { promised, accepted };
    Ok(Stored {
        storage,
        anew,
        newest,
        acceptor,
        pledge,
    })
}

fn write_pledge(writer: &mut Writer, pledge: Option<&Pledge>) {
    let Some(pledge) = pledge else {
        return writer.u8(0);
    };
    writer.u8(1);
    writer.varint(pledge.gone.len() as u64);
    for node in &pledge.gone {
        writer.u64(node.get());
    }
    write_ballot(writer, pledge.promised);
    write_accepted(writer, pledge.accepted.as_ref());
}

fn read_pledge(
    reader: &mut Reader<'_>,
    newest: &Version,
) -> Result<Option<Pledge>, StoredRegisterError> {
    match reader.u8()? {
        0 => return Ok(None),
        1 => {}
        _ => return Err(StoredRegisterError::Damaged("a field cannot be")),
    }
    let count = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
    if count > MEMBERS_MAX {
        return Err(StoredRegisterError::Damaged("a field cannot be"));
    }
    let mut gone = Vec::new();
    for _ in 0..count {
        gone.push(NodeId::new(reader.u64()?));
    }
    let promised = read_ballot(reader)?;
    let accepted = read_accepted(reader)?;
    let lineage = newest.name().version.lineage();
    if accepted
        .as_ref()
        .is_some_and(|(_, version)| !version.begins_after(lineage))
    {
        return Err(StoredRegisterError::Damaged("a field cannot be"));
    }
    Ok(Some(Pledge {
        promised,
        gone,
        accepted,
    }))
}

fn write_accepted(writer: &mut Writer, accepted: Option<&(Ballot, Version)>) {
    match accepted {
        None => write_ballot(writer, Ballot::default()),
        Some((ballot, version)) => {
            write_ballot(writer, *ballot);
            writer.bytes(version.bytes());
        }
    }
}

fn read_accepted(
    reader: &mut Reader<'_>,
) -> Result<Option<(Ballot, Version)>, StoredRegisterError> {
    let ballot = read_ballot(reader)?;
    if ballot == Ballot::default() {
        return Ok(None);
    }
    Ok(Some((ballot, read_version(reader)?)))
}

fn read_version(reader: &mut Reader<'_>) -> Result<Version, StoredRegisterError> {
    Ok(Version::parse(&Bytes::copy_from_slice(reader.bytes()?))?)
}

fn write_ballot(writer: &mut Writer, ballot: Ballot) {
    writer.varint(ballot.round);
    writer.u64(ballot.proposer.0);
    writer.u64(ballot.proposer.1);
}

fn read_ballot(reader: &mut Reader<'_>) -> Result<Ballot, RecordError> {
    Ok(Ballot {
        round: reader.varint()?,
        proposer: (reader.u64()?, reader.u64()?),
    })
}

impl From<RecordError> for StoredRegisterError {
    fn from(_: RecordError) -> Self {
        Self::Damaged("a field is cut short or cannot be")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::testing::{ballot, first, version};

    fn bytes() -> Vec<u8> {
        let acceptor = Acceptor {
            promised: ballot(3, 2),
            accepted: Some((ballot(2, 1), version("a"))),
        };
        encode(&Stored {
            storage: StorageId::new(5),
            anew: true,
            newest: first(),
            acceptor,
            pledge: Some(Pledge {
                promised: ballot(7, 3),
                gone: vec![NodeId::new(2), NodeId::new(3)],
                accepted: None,
            }),
        })
    }

    #[test]
    fn a_state_comes_back() {
        let cluster = first().map().map.cluster;
        let stored = decode(cluster, &bytes()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((stored.storage, stored.anew), (StorageId::new(5), true));
        assert_eq!(stored.newest, first());
        assert_eq!(stored.acceptor.promised, ballot(3, 2));
        assert_eq!(stored.acceptor.accepted, Some((ballot(2, 1), version("a"))));
        let pledge = stored.pledge.unwrap_or_default();
        assert_eq!((pledge.promised, pledge.gone.len()), (ballot(7, 3), 2));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let (cluster, whole) = (first().map().map.cluster, bytes());
        for at in 0..whole.len() {
            assert!(decode(cluster, &whole[..at]).is_err(), "cut at {at}");
            let mut flipped = whole.clone();
            flipped[at] ^= 4;
            assert!(decode(cluster, &flipped).is_err(), "flipped at {at}");
        }
    }

    #[test]
    fn another_cluster_and_a_later_format_are_named() {
        let other = ClusterId::new(9, 9);
        let found = first().map().map.cluster;
        assert_eq!(
            decode(other, &bytes()).err(),
            Some(StoredRegisterError::OtherCluster(found))
        );
        let mut later = bytes();
        later[7] = 5;
        assert_eq!(
            decode(found, &later).err(),
            Some(StoredRegisterError::Format(5))
        );
    }
}
