//! The client library for Quorate, a replicated key-value store.

mod names;
#[cfg(feature = "provision")]
pub mod provision;
