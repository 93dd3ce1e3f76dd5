//! Requests at a fixed rate, whatever becomes of those before: what a client waits for while a cluster has other work.
//!
//! Requests begin when it is their turn, however many are under way, and the time of each counts from then on: a cluster that
//! stands still for a second is seen by every request of that second (Gil Tene, "How NOT to Measure Latency").

mod report;
mod run;

pub use report::{Latencies, Measured};
pub(crate) use report::{QUANTILES, micros};
pub use run::Steady;
