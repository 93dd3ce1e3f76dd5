//! A constant load while nodes come and go, and the check that nothing of it is missing.
//!
//! Each key belongs to one client, which does one thing at a time: it writes the key for the first time, or reads it,
//! judges what it read, and replaces that. So it knows of every read what it must return:
//!
//! * the write acknowledged last, or one that replaced it and whose acknowledgement did not come;
//! * beside it writes that are in doubt, and nothing else.
//!
//! When the changes are over, and all replicas have the same, every key is read once more.

mod page;
mod report;
mod run;

pub use page::{Page, Wrong};
pub use report::Churned;
pub use run::{Churn, Until};
