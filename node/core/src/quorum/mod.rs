//! Quorums as values: what came, what is needed, and what that means. No time, no messages.
//!
//! This is where a quorum is counted: [`write::WriteTally`] for writes, [`read::ReadTally`] for reads.

pub mod read;
pub mod write;
