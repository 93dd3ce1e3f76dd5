//! Rings: what they promise, what changes move, and what their bytes are.
#![allow(missing_docs)]

mod common;
mod encoding;
mod golden;
mod join_orders;
mod large;
mod plan;
mod preference;
mod properties;
