//! The register that decides versions of the cluster map, in a little world of its own: single walks,
//! everything that can go wrong in random order, a small configuration in every order there is,
//! and rules broken on purpose.
#![allow(clippy::unwrap_used, clippy::panic)]

mod explore;
mod facts;
mod golden;
mod lost;
#[cfg(feature = "planted")]
mod planted;
mod swarm;
mod walks;
mod world;
