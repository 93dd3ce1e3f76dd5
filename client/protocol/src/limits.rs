//! Every bound on what may travel, each with its reason. Checked before anything is allocated.

use quorate_ring::{COPIES_MAX, PartitionCount};

/// Longest key, bytes. Keys are held whole in indexes and in the dot log.
pub const KEY_BYTES_MAX: usize = 4 * 1024;
/// Longest value, bytes. A value is held whole in memory by each node that serves it.
pub const VALUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// All user metadata of one value together (names and contents), bytes.
pub const META_BYTES_MAX: usize = 4 * 1024;
/// Longest content type, bytes.
pub const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// Longest bucket name, bytes.
pub const BUCKET_NAME_BYTES_MAX: usize = 255;
/// Most buckets in one cluster: the map travels whole.
pub const BUCKETS_MAX: usize = 4096;
/// Most members of one cluster.
pub const MEMBERS_MAX: usize = 4096;
/// Most siblings at which a client write is still accepted; repair is never stopped by it.
pub const SIBLINGS_MAX: usize = 100;
/// Siblings from which replies carry a warning.
pub const SIBLINGS_WARN: usize = 10;
/// Bytes of one object's siblings together at which a client write is still accepted.
pub const OBJECT_BYTES_MAX: usize = 4 * VALUE_BYTES_MAX;
/// Bytes of one object's siblings together from which replies carry a warning.
pub const OBJECT_BYTES_WARN: usize = VALUE_BYTES_MAX;
/// Longest context token, bytes: a version vector of a few hundred actors.
pub const CONTEXT_BYTES_MAX: usize = 8 * 1024;
/// Largest frame body. Room for an object at the refusal level plus one more value: repair and
/// handoff must be able to carry what two sides of a partition accepted.
pub const FRAME_BODY_BYTES_MAX: usize = 2 * OBJECT_BYTES_MAX;
/// Largest body on the stream of small messages; larger ones travel on streams of their own.
pub const SMALL_BODY_BYTES_MAX: usize = 64 * 1024;
/// Size of the pieces in which large bodies are written and stored.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Largest body that a client may send: one value, its key and what goes with them.
pub const CLIENT_BODY_BYTES_MAX: usize = VALUE_BYTES_MAX + 64 * 1024;
/// Deepest nesting of MessagePack that is decoded. Ours needs 8.
pub const NESTING_MAX: usize = 16;
/// Most elements of all lists in one message together, structs being lists. An element of one byte may
/// take fifty in memory, so the length of a frame alone is no bound. The largest ring has half as many.
pub const ITEMS_MAX: usize = 1024 * 1024;
/// Longest deadline a client may ask for, milliseconds.
pub const DEADLINE_MS_MAX: u32 = 55_000;
/// How long a request id is remembered, milliseconds. Longer than any deadline, so that a retry
/// within its deadline always meets the memory of its first try.
pub const RETRY_WINDOW_MS: u64 = 60_000;
/// Most items of one batched peer message (anti-entropy answers, hints).
pub const BATCH_ITEMS_MAX: usize = 1024;
/// Bytes after which a batched peer message takes no further item.
pub const BATCH_BYTES: usize = 256 * 1024;
/// Most keys on one page of a listing.
pub const KEYS_PAGE_MAX: usize = 1000;
/// Most exact positions in one session token.
pub const SESSION_DOTS_MAX: usize = 1024;
/// Longest error text, bytes.
pub const ERROR_TEXT_BYTES_MAX: usize = 2048;
/// Longest time to live of a value, milliseconds: ten years. Whoever means longer means for ever.
pub const TTL_MS_MAX: u64 = 3_650 * 24 * 60 * 60 * 1000;
/// How far a hybrid time stamp may run ahead of the receiver's clock, milliseconds.
pub const CLOCK_AHEAD_MS_MAX: u64 = 1000;
/// Longest label of a backup, bytes: a column of a table.
pub const BACKUP_LABEL_BYTES_MAX: usize = 64;
/// Most backups that one node keeps: they are listed in one message.
pub const BACKUPS_MAX: usize = 1024;
/// Versions of the cluster map that each version remembers: enough to find out what became of any change
/// that somebody still waits for, and a page for people.
pub const PAST_VERSIONS_MAX: usize = 64;
/// Longest sentence that says what a version changed, bytes.
pub const CHANGE_TEXT_BYTES_MAX: usize = 512;
/// Most changes of the members that wait to be committed: each member may be replaced.
pub const STAGED_MAX: usize = 2 * MEMBERS_MAX;
/// Most copies of one class that depart at a time: nodes that come and go while others hand over.
pub const DEPARTING_MAX: usize = 64;
/// Most classes that a map has records of: every class that there can be, since a class that has moved once keeps
/// its record. They travel as bytes, about a dozen for a class of three copies that stands, twice that while it moves.
pub const CLASS_RECORDS_MAX: usize = PartitionCount::MAX.get() as usize * COPIES_MAX as usize;
/// Most nodes that are remembered because what they hold was given up: they must never come back with it.
pub const EXPELLED_MAX: usize = 64 * 1024;
/// Most times that one cluster is recovered after a majority of its members was gone for good.
pub const RECOVERIES_MAX: usize = 64;
/// Most copies on their way that a node tells of in one report: a page for people.
pub const TRANSFERS_SHOWN_MAX: usize = 256;
/// Most claims, and most departing copies, in one word of a node on ring changes: a quarter of a megabyte each.
pub const WORD_ITEMS_MAX: usize = 16 * 1024;
