//! Workloads for measuring Quorate.
//!
//! Measuring needs values that prove themselves: a load generator that keeps no copy of what it
//! wrote must still be able to say of any answer whether it is a value that some write put under
//! that key, and which one. [`Workload`] names keys and makes such values. What runs workloads
//! against a cluster and reports on them comes with the work on speed; nothing here is
//! measured yet, and no number is claimed anywhere in this repository.

mod workload;

pub use workload::{HEADER_BYTES, Seen, Workload};
