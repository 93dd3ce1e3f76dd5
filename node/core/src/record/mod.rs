//! What lies on disk: storage keys and records, versioned, none of them shared with a wire.
//!
//! # Every record
//!
//! ```text
//! byte 0      format    the number of this format: 2
//! byte 1      kind      1 object, 2 hint, 3 log entry, 4 vnode, 5 request, 6 piece of a value,
//!                       7 who was alive, 8 a vnode's digest, 9 what of dropped buckets was removed;
//!                       reserved: 16 mergeable data type, 17 strongly consistent register
//! byte 2      codec     how the body is compressed: 0 not at all
//! byte 3      flags     of the kind, see there
//! bytes 4-7   checksum  CRC-32 (IEEE), big endian, over the storage key, then bytes 0-3, then the body
//! bytes 8-    body      of the kind, see there
//! ```
//!
//! The first eight bytes keep their place and meaning in every later format, so that any version of
//! the program can tell a damaged record from one that a newer version wrote. The checksum covers
//! the storage key: an intact record under another key's place is damage, too. The checksum of a
//! piece covers the part of its key that tells it from all other pieces (`piece.rs` says why).
//!
//! # Inside a body
//!
//! `varint` is an unsigned LEB128 number in its shortest form, at most 10 bytes. `bytes` is a varint
//! length and so many bytes; `text` the same in UTF-8. `dot` is the actor's 8 bytes and the counter
//! as a varint. Fixed numbers are big endian. Nothing follows the last field; a flag that this page
//! does not name is 0. What breaks any of this is refused.
//!
//! # Changing a format
//!
//! Files written by a released version stay readable. A change of any layout gets the next format
//! number here ([`FORMAT`]); readers of the older ones stay. `tests/golden_records.rs` holds every
//! number's bytes: existing fixtures are never edited, a new number adds new ones.

mod alive;
mod body;
mod digest;
mod error;
mod header;
mod hint;
pub mod keys;
mod log;
mod lost;
mod object;
mod piece;
mod rebuilding;
mod request;
mod restored;
mod swept;
mod versions;
mod vnode;

pub use alive::{AlivePeer, AliveRecord, decode_alive, encode_alive};
pub(crate) use body::{Reader, Writer};
pub use digest::{decode_digest, encode_digest};
pub use error::RecordError;
pub use header::{FORMAT, RecordKind};
pub use hint::{HintRecord, decode_hint, encode_hint};
pub use log::{LogKind, LogRecord, decode_log, encode_log};
pub use lost::{Lost, lost_marks};
pub use object::{decode_object, encode_object};
pub use piece::{Piece, assemble};
pub use rebuilding::{KeyPlace, RebuildStage, Rebuilding, SnapshotSource};
pub use request::{RequestRecord, decode_request, encode_request};
pub use restored::{Restored, restored_writes};
pub use swept::{SweptRecord, decode_swept, encode_swept};
pub use vnode::{VnodeRecord, decode_vnode, encode_vnode};
