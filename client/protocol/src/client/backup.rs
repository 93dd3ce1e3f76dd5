//! Backups of a node, on that node: begun, followed, listed, verified and pruned by request. Where they are
//! kept is the node's configuration alone.

use quorate_ring::NodeId;
use serde::{Deserialize, Serialize};

/// What to do about the backups of the node asked. One job runs at a time; while it does, another is
/// refused as a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// What to do.
    pub action: BackupAction,
    /// Names a job that is begun: drawn by the client and kept over retries, so that a job whose answer
    /// was lost is not begun twice.
    pub request: u64,
    /// For people, of the backup that is made; at most [`BACKUP_LABEL_BYTES_MAX`](crate::limits::BACKUP_LABEL_BYTES_MAX)
    /// letters, digits, dots, dashes and underscores; may be empty.
    pub label: String,
    /// The backup that is verified; all of them where none is named.
    pub backup: Option<u64>,
    /// How many backups pruning leaves, the latest; at least 1.
    pub keep: u32,
}

macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident, $unknown:literal { $($(#[$vdoc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u8", into = "u8")]
        pub enum $name {
            $($(#[$vdoc])* $variant,)*
        }

        impl TryFrom<u8> for $name {
            type Error = &'static str;

            fn try_from(raw: u8) -> Result<Self, Self::Error> {
                match raw {
                    $($number => Ok(Self::$variant),)*
                    _ => Err($unknown),
                }
            }
        }

        impl From<$name> for u8 {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => $number,)* }
            }
        }
    };
}

numbered! {
    /// What is done about backups.
    BackupAction, "an action of a later version" {
        /// Say how the job stands that runs, or ran last.
        State = 0,
        /// List the backups, and say how the job stands.
        List = 1,
        /// Make a backup.
        Create = 2,
        /// Read backups and compare them with their checksums.
        Verify = 3,
        /// Remove all but the latest backups.
        Prune = 4,
    }
}

numbered! {
    /// How a job stands.
    JobState, "a state of a later version" {
        /// It runs.
        Running = 0,
        /// It is done.
        Done = 1,
        /// It failed; what it had done was undone.
        Failed = 2,
    }
}

/// A job that runs, or the last one since the node started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupJob {
    /// As its request named it.
    pub request: u64,
    /// What it does.
    pub action: BackupAction,
    /// How it stands.
    pub state: JobState,
    /// The backup that it made.
    pub backup: Option<u64>,
    /// When it began, milliseconds since 1970 by the node's clock.
    pub began_ms: u64,
    /// How long it has run, milliseconds.
    pub ran_ms: u64,
    /// Bytes that it has to copy or read, as far as it knows by now.
    pub bytes_total: u64,
    /// Those that are done.
    pub bytes_done: u64,
    /// Files that were written for this backup.
    pub files_new: u64,
    /// Their bytes.
    pub bytes_new: u64,
    /// Files that earlier backups have too.
    pub files_shared: u64,
    /// Their bytes.
    pub bytes_shared: u64,
    /// Backups that it removed.
    pub removed: Vec<u64>,
    /// Why it failed; empty if it did not.
    pub error: String,
}

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupEntry {
    /// Its number; later ones have greater numbers.
    pub backup: u64,
    /// As it was labelled.
    pub label: String,
    /// When it was begun, milliseconds since 1970 by the node's clock: it holds what the node had then.
    pub began_ms: u64,
    /// Files.
    pub files: u64,
    /// Bytes of all of them, those that other backups share included.
    pub bytes: u64,
    /// Bytes that were written for it.
    pub bytes_new: u64,
    /// What is wrong with it; empty if nothing is known to be.
    pub problem: String,
}

/// The answer to [`Backup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// The node.
    pub node: NodeId,
    /// Where it keeps its backups.
    pub directory: String,
    /// The job that runs, or the last one since the node started.
    pub job: Option<BackupJob>,
    /// All backups in order, where they were to be listed.
    pub backups: Vec<BackupEntry>,
}
