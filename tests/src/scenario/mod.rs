//! Scenarios: what the store does in each of the cases that its users ask about, walked step by step on a
//! simulated cluster and told in plain words. `quorate-sim --scenario r10` walks one.
//!
//! ```text
//! stage      five nodes, 64 partitions, three copies, and the weather
//! walk       the language: who there is, what happens to them, what is waited for
//! request    what can be asked
//! orders     changes of the ring, and how far they have come
//! old_client a client that goes by the map that it has
//! load       ascending values and reads beside a walk; guard watches copies of what rests
//! ask        requests and what came of them; tell puts them into words
//! failure    why a walk does not hold what its scenario promises
//! command    `quorate-sim --scenario`
//! play       one walk from its beginning to the end that every walk has
//! requests   R01 to R08   who is asked, who answers, what the reply says
//! returning  R09 to R13   what happens when a node comes back
//! causality  R14 to R17   what clients see of their own and of others' writes
//! losing     R18 to R20, R24   power cuts, deletes, writes in doubt
//! restoring  backups: one node restored, all of them restored
//! moving     A02 to A06, A08   classes that move under load, half full, diverged
//! joining    A01, A09 to A11   plans, old rings, the pace of copies, zones
//! large      A12        plans for a thousand nodes
//! killing    A07        processes that die at each step of a transfer
//! versions   V02 to V05 versions that are missed, or cannot be decided, and what they cost
//! trouble    R21 to R23   links and disks that are neither well nor dead
//! ```
//!
//! A walk holds in any weather: beside what it provokes, messages may be late, come twice or not at all,
//! clocks jump and fsyncs be slow. Where only counts of answers depend on that, they are demanded in calm
//! weather alone.

pub mod ask;
mod causality;
pub mod command;
pub mod failure;
mod guard;
mod joining;
mod killing;
mod large;
mod load;
mod losing;
mod lost;
mod moving;
mod old_client;
mod orders;
pub mod play;
pub mod request;
mod requests;
mod restoring;
mod returning;
pub mod stage;
mod tell;
mod trouble;
mod versions;
pub mod walk;

use failure::Failure;
use stage::{Stage, Weather};
use walk::Walk;

/// A scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its number, as `r10`.
    pub name: &'static str,
    /// What it promises.
    pub sentence: &'static str,
    /// The worst weather in which it is to hold.
    pub weather: Weather,
    /// Who there is.
    pub stage: Stage,
    /// The walk.
    pub walk: fn(&mut Walk<'_>) -> Result<(), Failure>,
}

/// All scenarios, in order.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let mut all = Vec::new();
    all.extend_from_slice(requests::ALL);
    all.extend_from_slice(returning::ALL);
    all.extend_from_slice(causality::ALL);
    all.extend_from_slice(losing::ALL);
    all.extend_from_slice(lost::ALL);
    all.extend_from_slice(moving::ALL);
    all.extend_from_slice(joining::ALL);
    all.extend_from_slice(large::ALL);
    all.extend_from_slice(killing::ALL);
    all.extend_from_slice(versions::ALL);
    all.extend_from_slice(trouble::ALL);
    all.extend_from_slice(restoring::ALL);
    all.sort_by_key(|scenario| scenario.name);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_each_has_its_sentence() {
        let all = all();
        assert!(all.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(all.iter().all(|scenario| scenario.sentence.len() > 20));
    }
}
