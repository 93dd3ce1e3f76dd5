//! How much there is of something.

use serde::{Deserialize, Serialize};

/// How much a vnode holds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Extent {
    /// Keys with a value.
    pub keys: u64,
    /// Bytes of these keys and of all their values.
    pub bytes: u64,
}
