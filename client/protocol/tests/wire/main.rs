//! What travels: every message of both wires, sound and broken.

#![allow(clippy::unwrap_used, clippy::panic)]

mod draw;
mod frames;
mod golden;
mod hostile;
mod kinds;
mod round_trip;
