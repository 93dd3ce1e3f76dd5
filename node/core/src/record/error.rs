//! Why bytes from disk are not the record that should be there.

use super::header::RecordKind;

/// What was wrong with a stored record. It must never be taken for an absence.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RecordError {
    /// The bytes are not those that were written: cut short, altered, or another key's.
    #[error("damaged record: {0}")]
    Damaged(&'static str),
    /// Intact, and written by a newer version of the program.
    #[error(
        "record format {found} is newer than {known}, the newest this version reads: start the newer version again"
    )]
    NewerFormat {
        /// The record's format.
        found: u8,
        /// The newest format known here.
        known: u8,
    },
    /// Intact, and written by a version whose format nothing converts.
    #[error(
        "record format {found} is older than {known}, the oldest this version reads: start the version that wrote it"
    )]
    OlderFormat {
        /// The record's format.
        found: u8,
        /// The oldest format known here.
        known: u8,
    },
    /// Intact, and compressed by a method that this version does not have.
    #[error("record codec {0} is unknown to this version: start the version that wrote it")]
    UnknownCodec(u8),
    /// Intact, and of another kind than its place asks for.
    #[error("a record of kind {found} lies where one of kind {expected:?} belongs")]
    WrongKind {
        /// What belongs there.
        expected: RecordKind,
        /// The kind's number as found.
        found: u8,
    },
    /// Intact by its checksum, and its body does not follow the format: a fault of the program.
    #[error("malformed record body: {0}")]
    Malformed(&'static str),
    /// Some pieces of a value are not there.
    #[error("a value in {expected} pieces has {found}")]
    PiecesMissing {
        /// Pieces that the version names.
        expected: u32,
        /// Pieces that were given.
        found: usize,
    },
    /// The value was asked of a version that holds none.
    #[error("only the existence of this version is stored, not its value")]
    NoBody,
}
