//! The driver over real QUIC, in one thread, on a network in memory and on time that stands still
//! while anything can be done: the whole of a run follows from its seed.
//!
//! `QUORATE_WIRE_SEEDS=0..300` says which seeds to run; each is run twice, and the traces must agree.
//! `QUORATE_WIRE_TRACE=FILE` keeps the trace of the last run.

// A test ends at the first thing that it does not expect, whatever it is.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    missing_docs
)]

mod certificates;
mod cluster;
mod dice;
mod ether;
mod hostile;
mod impostor;
mod links;
mod oracle;
mod plan;
mod pressure;
mod run;
mod seeds;
mod tap;
mod trace;
mod versions;
mod workload;
