//! The replica's side: serving coordinators, and bringing replicas together without them.

mod allowance;
pub(crate) mod anti_entropy;
pub(crate) mod catch_up;
pub(crate) mod collect;
pub(crate) mod cut;
pub(crate) mod denial;
pub(crate) mod digests;
pub(crate) mod handoff;
mod questions;
pub(crate) mod range;
pub(crate) mod rebuild;
pub(crate) mod refused;
pub(crate) mod scrub;
pub(crate) mod seal;
pub(crate) mod serve;
pub(crate) mod settled;
pub(crate) mod throttle;
