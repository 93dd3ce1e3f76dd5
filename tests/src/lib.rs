//! Tests of Quorate as a whole: a simulator that runs the real core of every node of a cluster in one
//! process under virtual time, and the checkers that judge what clients and disks saw.

pub mod checkers;
pub mod fuzz;
pub mod history;
#[cfg(feature = "processes")]
pub mod process;
pub mod relay;
pub mod scenario;
pub mod sim;
#[cfg(feature = "processes")]
pub mod storm;
