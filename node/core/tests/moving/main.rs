//! Ring changes over real replicas: a class of one partition moves between nodes while clients write and read, nodes
//! crash, lose what they had not fsynced, and messages are lost, late and out of order.
//!
//! The versions of the map come from an oracle that keeps the rules of `quorate_core::moves::next_version`, so that
//! what is tested is what replicas do under them.

#![cfg(feature = "planted")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod clients;
mod dice;
mod directed;
mod disk;
mod end;
mod history;
mod map;
mod node;
mod oracle;
mod pausing;
mod planted;
mod racing;
mod script;
mod swarm;
mod under_way;
mod world;
mod wrong;
