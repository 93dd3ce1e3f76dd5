//! Which warnings a plan gives rise to.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use super::classes::{ClassesPlan, Shift};
use super::warning::{Skew, Warning};
use crate::ids::{Class, NodeId, PartitionId};
use crate::ring::Ring;
use crate::share::ExactShare;

/// The warnings about the classes of one n.
pub(super) fn warnings(
    ring: &Ring,
    next: &Ring,
    classes: &ClassesPlan,
    lost: &[NodeId],
) -> Vec<Warning> {
    let places = [
        under_replicated(ring, next, classes),
        zones_shared(next, classes),
    ];
    let copies = copies_lost(ring, classes.n, lost);
    let balance = [none_stays(ring, classes), idle(next, classes)];
    places
        .into_iter()
        .flatten()
        .chain(copies)
        .chain(balance.into_iter().flatten())
        .chain(skewed(next, classes))
        .collect()
}

fn under_replicated(ring: &Ring, next: &Ring, classes: &ClassesPlan) -> Option<Warning> {
    let copies = Shift {
        before: places(ring, classes.n),
        after: places(next, classes.n),
    };
    let n = classes.n;
    (copies.after < u32::from(n)).then_some(Warning::UnderReplicated { n, copies })
}

/// How many copies of a class of n have a place.
fn places(ring: &Ring, n: u8) -> u32 {
    // A member count is 4,096 at most.
    u32::try_from(ring.members().len()).map_or(u32::MAX, |members| members.min(u32::from(n)))
}

/// Where no member names a zone, sharing one means nothing, unless it was otherwise before.
fn zones_shared(next: &Ring, classes: &ClassesPlan) -> Option<Warning> {
    let (n, zones) = (classes.n, classes.apart);
    let named = next
        .members()
        .iter()
        .any(|member| !member.zone.as_str().is_empty());
    let shared = zones.after < places(next, n) && (named || zones.after < zones.before);
    shared.then_some(Warning::ZonesShared { n, zones })
}

fn copies_lost(ring: &Ring, n: u8, lost: &[NodeId]) -> Vec<Warning> {
    let mut by_number: BTreeMap<usize, Vec<PartitionId>> = BTreeMap::new();
    for partition in ring.partitions().partitions() {
        let members = ring.primaries(Class { n, partition });
        let gone = members.iter().filter(|node| lost.contains(node)).count();
        if gone > 0 {
            by_number.entry(gone).or_default().push(partition);
        }
    }
    // No list is longer than `COPIES_MAX`.
    let small = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    let places = small(places(ring, n) as usize);
    let warning = |(gone, partitions)| Warning::CopiesLost {
        n,
        lost: small(gone),
        left: places.saturating_sub(small(gone)),
        partitions,
    };
    by_number.into_iter().rev().map(warning).collect()
}

fn none_stays(ring: &Ring, classes: &ClassesPlan) -> Option<Warning> {
    let n = classes.n;
    let all_go = |losses: &[NodeId], partition| {
        losses.len() > 1 && losses.len() == ring.primaries(Class { n, partition }).len()
    };
    let partitions: Vec<PartitionId> = classes
        .moves
        .iter()
        .filter(|class| all_go(&class.losses, class.partition))
        .map(|class| class.partition)
        .collect();
    (!partitions.is_empty()).then_some(Warning::NoneStays { n, partitions })
}

fn idle(next: &Ring, classes: &ClassesPlan) -> Option<Warning> {
    let is_member = |node| next.members().binary_search_by_key(&node, |m| m.id).is_ok();
    let members: Vec<NodeId> = classes
        .nodes
        .iter()
        .filter(|load| load.copies.after == 0 && is_member(load.node))
        .map(|load| load.node)
        .collect();
    let n = classes.n;
    (!members.is_empty()).then_some(Warning::Idle { n, members })
}

/// Members whose share and weight are a partition or more apart.
fn skewed(next: &Ring, classes: &ClassesPlan) -> impl Iterator<Item = Warning> {
    let n = classes.n;
    let sum = next
        .members()
        .iter()
        .map(|member| u64::from(member.weight.get()))
        .sum();
    let sum = NonZeroU64::new(sum).unwrap_or(NonZeroU64::MIN);
    let copies = u64::from(next.partitions().get()) * u64::from(places(next, n));
    let (mut capped, mut burdened) = (Vec::new(), Vec::new());
    for (member, share) in next.members().iter().zip(next.exact_shares(n)) {
        let by_weight = ExactShare::new(copies * u64::from(member.weight.get()), sum);
        let node = member.id;
        let skew = Skew {
            node,
            by_weight,
            share,
        };
        if share.hundredths() + 100 <= by_weight.hundredths() {
            capped.push(skew);
        } else if by_weight.hundredths() + 100 <= share.hundredths() {
            burdened.push(skew);
        }
    }
    let capped = (!capped.is_empty()).then_some(Warning::Capped { n, members: capped });
    let burdened = (!burdened.is_empty()).then_some(Warning::Burdened {
        n,
        members: burdened,
    });
    capped.into_iter().chain(burdened)
}
