//! Ring changes as functions on a version of the map: random walks over everything that operators and members can do,
//! each version held against rules of its own (`rules.rs`), wrong variants that those rules must catch, single
//! changes step by step, and a large cluster.
#![allow(clippy::unwrap_used, clippy::panic)]

mod changes;
mod dice;
mod exhaustive;
mod lost;
mod planted;
mod refusals;
mod rules;
mod scale;
mod walk;
mod world;
