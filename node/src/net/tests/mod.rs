//! The network on loopback: nodes, clients and strangers in one process.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

mod clients;
mod harness;
mod hostile;
mod lifecycle;
mod links;
mod refusals;
