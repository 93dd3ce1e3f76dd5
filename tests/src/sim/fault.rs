//! A fault, as it is drawn and as it begins.

use std::collections::BTreeSet;

use super::network::Link;

/// A fault to begin now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Kill a process and start it again after a while.
    Kill {
        /// Which node.
        node: usize,
        /// Until it starts again, microseconds.
        down_us: u64,
    },
    /// Cut a node's power and start it again after a while.
    Power {
        /// Which node.
        node: usize,
        /// Batches of those not synced that survive.
        kept: usize,
        /// Until it starts again, microseconds.
        down_us: u64,
    },
    /// Let a process stand still.
    Pause {
        /// Which node.
        node: usize,
        /// For how long, microseconds.
        for_us: u64,
    },
    /// Cut links.
    Cut {
        /// Which.
        links: BTreeSet<Link>,
        /// For how long, microseconds.
        for_us: u64,
        /// What it is called in a trace.
        shape: &'static str,
    },
    /// Hold back everything on some links, then let it go.
    Clog {
        /// Which.
        links: BTreeSet<Link>,
        /// For how long, microseconds.
        for_us: u64,
        /// Whether what was held leaves in order, or at once in any order.
        in_order: bool,
    },
    /// Set a wall clock.
    Clock {
        /// Which node.
        node: usize,
        /// How far off it is from now on, milliseconds.
        skew_ms: i64,
    },
    /// Let some of a disk's reads fail.
    BadReads {
        /// Which node.
        node: usize,
        /// How many of a thousand.
        permille: u32,
        /// For how long, microseconds.
        for_us: u64,
    },
    /// Let a disk's next write fail.
    BadWrite {
        /// Which node.
        node: usize,
        /// Whether the bytes arrive all the same.
        arrived: bool,
    },
    /// Let a disk take no writes.
    Full {
        /// Which node.
        node: usize,
        /// For how long, microseconds.
        for_us: u64,
    },
    /// Let fsyncs take long.
    SlowSyncs {
        /// Which node.
        node: usize,
        /// For how long, microseconds.
        for_us: u64,
    },
    /// Let a disk's next fsync fail.
    BadSync {
        /// Which node.
        node: usize,
    },
    /// Kill a process and start it again on an empty disk.
    Wipe {
        /// Which node.
        node: usize,
        /// Until it starts again, microseconds.
        down_us: u64,
    },
    /// Kill a process and start it again on an old copy of its disk.
    Rewind {
        /// Which node.
        node: usize,
        /// Until it starts again, microseconds.
        down_us: u64,
    },
    /// Let records of a disk fail their checksums.
    Damage {
        /// Which node.
        node: usize,
        /// How many.
        records: u64,
        /// If its process is killed too: until it starts again, microseconds.
        down_us: Option<u64>,
    },
    /// Let records of a disk vanish without a sign.
    Vanish {
        /// Which node.
        node: usize,
        /// How many.
        records: u64,
        /// If its process is killed too: until it starts again, microseconds.
        down_us: Option<u64>,
    },
}

impl Fault {
    /// Its name among the counters.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::Power { .. } => "power cut",
            Self::Pause { .. } => "pause",
            Self::Cut { shape, .. } => shape,
            Self::Clog { .. } => "clog",
            Self::Clock { .. } => "clock jump",
            Self::BadReads { .. } => "reads fail",
            Self::BadWrite { .. } => "write fails",
            Self::Full { .. } => "disk full",
            Self::SlowSyncs { .. } => "slow fsyncs",
            Self::BadSync { .. } => "fsync fails",
            Self::Wipe { .. } => "empty disk",
            Self::Rewind { .. } => "old copy of the disk",
            Self::Damage { .. } => "damaged records",
            Self::Vanish { .. } => "vanished records",
        }
    }
}
