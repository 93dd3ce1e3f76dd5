//! The agreement among a few nodes: single walks, and a randomized model of all that can go wrong.

mod cluster;
mod random;
mod walks;
