//! Backups of a database that is in use: whole, one point in time, sharing what did not change; and how they are
//! restored.

#![allow(clippy::unwrap_used, missing_docs)]

mod making;
mod restoring;
mod stage;
