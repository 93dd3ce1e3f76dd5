//! Who changed what: the log of versions that every version carries with it.

use quorate_ring::NodeId;
use serde::{Deserialize, Serialize};

use super::MapName;
use crate::ids::RequestId;
use crate::limits::CHANGE_TEXT_BYTES_MAX;

/// What made a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapChange {
    /// Of whom the change was asked for, kept over retries: at most one version has it.
    pub request: RequestId,
    /// The node that proposed it.
    pub by: NodeId,
    /// When, by that node's clock: milliseconds since 1970. For people; nothing is decided by it.
    pub wall_ms: u64,
    /// What changed, in a sentence.
    pub what: String,
}

/// A version of before, as far as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastVersion {
    /// Which.
    pub name: MapName,
    /// What made it.
    pub change: MapChange,
}

impl MapChange {
    /// # Errors
    /// The sentence is empty, too long, or holds control characters.
    pub(super) fn check(&self) -> Result<(), String> {
        let what = &self.what;
        if what.is_empty() || what.len() > CHANGE_TEXT_BYTES_MAX {
            return Err(format!(
                "the sentence that says what changed has {} bytes, 1 to {CHANGE_TEXT_BYTES_MAX} are allowed",
                what.len()
            ));
        }
        if what.chars().any(char::is_control) {
            return Err("the sentence that says what changed holds a control character".to_owned());
        }
        Ok(())
    }
}
