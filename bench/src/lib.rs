//! Workloads and benchmarks of Quorate.
//!
//! Measuring needs values that prove themselves: a load generator that keeps no copy of what it
//! wrote must still be able to say of any answer whether it is a value that some write put under
//! that key, and which one. [`Workload`] names keys and makes such values.
//!
//! The program `quorate-bench` (feature `processes`) fills a cluster, and measures what it costs a node
//! that was away to catch up, and shows that what was deleted meanwhile stays deleted; see its help.
//! [`merkle`] and [`dataset`] are what that is compared with. What requests cost is measured by `ycsb`, and what they cannot cost less than by `floor`.

#[cfg(feature = "processes")]
pub mod catch_up;
#[cfg(feature = "processes")]
pub mod churn;
#[cfg(feature = "processes")]
pub mod compare;
#[cfg(feature = "processes")]
mod cpu;
pub mod dataset;
#[cfg(feature = "processes")]
pub mod deletes;
#[cfg(feature = "processes")]
mod draw;
#[cfg(feature = "processes")]
mod equal;
#[cfg(feature = "processes")]
mod failure;
#[cfg(feature = "processes")]
pub mod floor;
#[cfg(feature = "processes")]
pub mod load;
#[cfg(feature = "processes")]
mod many;
pub mod merkle;
#[cfg(feature = "processes")]
mod progress;
#[cfg(feature = "processes")]
pub mod rate;
#[cfg(feature = "processes")]
mod spread;
#[cfg(feature = "processes")]
mod stage;
mod workload;
#[cfg(feature = "processes")]
pub mod ycsb;

#[cfg(feature = "processes")]
pub use failure::Failure;
pub use workload::{HEADER_BYTES, Seen, Workload};
