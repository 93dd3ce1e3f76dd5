//! Making clusters: the certificate authority, certificates, and the first cluster map.
//!
//! A cluster is born on one machine, from names and addresses alone: [`ClusterSpec::create`]
//! draws the ids, computes the first ring and issues the certificates, all in memory. Writing them
//! to files, with the right permissions, is the business of `quorate cluster create`.
//!
//! How certificates name their holders, and what a verifier may rely on:
//!
//! | holder | common name | DNS names | extended key usage |
//! |---|---|---|---|
//! | authority | `quorate authority of <name>` (unit: the cluster's DNS name) | `cluster-<32 hex>.quorate` | none (a CA, path length 0) |
//! | node | `node-<16 hex>.quorate` | the same, `cluster-<32 hex>.quorate` | server and client |
//! | client | the principal | `client.quorate`, `cluster-<32 hex>.quorate` | client only |
//!
//! All keys are Ed25519.

mod authority;
mod cluster;

pub use authority::{Authority, Issued, ProvisionError, Validity};
pub use cluster::{ClusterSpec, NewCluster, NodeSpec, SpecError};
