//! The network on loopback: nodes, clients and strangers in one process.
#![allow(clippy::unwrap_used)]

mod clients;
mod harness;
mod hostile;
mod lifecycle;
mod links;
mod refusals;
