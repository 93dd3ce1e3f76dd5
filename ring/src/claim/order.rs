//! The order inside each list.
//!
//! A bucket with fewer copies than the ring uses the first ones of each list, so each beginning of
//! the lists is a placement of its own. From the longest to the shortest: of the members in the
//! first t + 1 places, one has the last of them, and the others are the placement for t copies. Who
//! is last is chosen such that
//!
//! 1. the first t are spread over zones like t copies should be, as far as the list allows;
//! 2. loads of the first t are as near to weights as the lists allow: the sum of load² / weight is
//!    the smallest there is. Between members of equal weight that makes the largest load as small
//!    as possible, then the second largest, and so on;
//! 3. as few members as possible are among the first t that were not before (`stay.rs`).
//!
//! Choosing one member of each list so that loads are even is a semi-matching: it is optimal when no
//! chain of exchanges evens out two loads (Harvey, Ladner, Lovász and Tamir 2006; the same holds for
//! every sum of convex functions of the loads).

use std::cmp::Reverse;

use super::spread::Spread;
use super::stay::{self, Old};
use crate::zone_tree::ZoneTree;

/// Lists of one length, one after the other.
pub(super) struct Lists {
    pub(super) places: Vec<usize>,
    /// Above 0.
    pub(super) len: usize,
}

/// Puts the members of each list where they were in the old one (of as many lists), the others into
/// the places left.
pub(super) fn settle(lists: &mut Lists, old: Old<'_>) {
    if old.len == 0 {
        return;
    }
    for (list, old) in lists
        .places
        .chunks_exact_mut(lists.len)
        .zip(old.places.chunks_exact(old.len))
    {
        for (place, &member) in old.iter().enumerate().take(list.len()) {
            if let Some(found) = list.iter().position(|&listed| listed == member) {
                // Nobody who was settled moves again: `found` is not a settled place, for those
                // hold other members of the old list.
                list.swap(place, found);
            }
        }
    }
}

/// Orders the lists by what the head of this file says.
pub(super) fn balance(lists: &mut Lists, zones: &ZoneTree, weights: &[u64], old: Old<'_>) {
    for last in (1..lists.len).rev() {
        let spread = Spread::new(zones, weights.len(), last);
        let mut prefix = Prefix::new(lists, &spread, weights, last);
        prefix.balance();
        stay::stay(&mut prefix, old);
    }
}

/// The placement of the first `last` copies, and who is in place `last`.
pub(super) struct Prefix<'a> {
    lists: &'a mut Lists,
    pub(super) last: usize,
    pub(super) weights: &'a [u64],
    /// How many lists have each member in their first `last` places.
    pub(super) loads: Vec<u64>,
    /// For each member the lists from which it may go to place `last`, unless it is there.
    pub(super) may_leave: Vec<Vec<usize>>,
}

impl<'a> Prefix<'a> {
    pub(super) fn new(
        lists: &'a mut Lists,
        spread: &Spread,
        weights: &'a [u64],
        last: usize,
    ) -> Self {
        let mut may_leave = vec![Vec::new(); weights.len()];
        for (index, list) in lists.places.chunks_exact_mut(lists.len).enumerate() {
            let list = &mut list[..=last];
            let leavers = leavers(list, spread);
            for &place in &leavers {
                may_leave[list[place]].push(index);
            }
            if let Some(&place) = leavers.last() {
                list.swap(place, last);
            }
        }
        let mut loads = vec![0; weights.len()];
        for list in lists.places.chunks_exact(lists.len) {
            for &member in &list[..last] {
                loads[member] += 1;
            }
        }
        Self {
            lists,
            last,
            weights,
            loads,
            may_leave,
        }
    }

    /// Whether one place less for `from` and one more for `to`, another one, makes the sum of
    /// load² / weight smaller.
    fn improves(&self, from: usize, to: usize) -> bool {
        let (heavy, light) = (self.weights[from], self.weights[to]);
        2 * self.loads[from] * light > (2 * self.loads[to] + 1) * heavy + light
    }

    /// Exchanges until no chain of exchanges improves the balance.
    ///
    /// Each exchange makes the sum smaller, so this ends. In practice a few passes do.
    pub(super) fn balance(&mut self) {
        while self.exchange_directly() {}
        while self.exchange_along_chains() {}
    }

    /// Makes all single exchanges that improve the balance; whether there were any. Chains would
    /// find them too, but with more effort.
    fn exchange_directly(&mut self) -> bool {
        let mut improved = false;
        for member in 0..self.weights.len() {
            for at in 0..self.may_leave[member].len() {
                let list = self.may_leave[member][at];
                let last = self.last_of(list);
                if self.improves(member, last) {
                    self.exchange(member, list);
                    self.shift_load(member, last);
                    improved = true;
                }
            }
        }
        improved
    }

    /// Looks once for chains of exchanges that improve the balance, from the member with the
    /// largest load per weight to that with the smallest; whether there were any.
    ///
    /// By load per weight is meant what one place less takes off the sum.
    fn exchange_along_chains(&mut self) -> bool {
        let mut members: Vec<usize> = (0..self.weights.len()).collect();
        // What one place less takes off the sum, as whole numbers: a load is below 2^17, a weight
        // below 2^10, so that two such values that differ do so by more than 2^-20.
        let relief = |member: usize| (2 * self.loads[member]).saturating_sub(1);
        members.sort_by_key(|&member| Reverse((relief(member) << 32) / self.weights[member]));
        let mut pass = Pass {
            met: vec![false; members.len()],
            next: vec![0; members.len()],
        };
        let mut improved = false;
        for member in members {
            while !pass.met[member] && self.relieve(member, &mut pass) {
                improved = true;
            }
        }
        improved
    }

    /// Finds a chain from a member to one that its load is better off with, and exchanges along it.
    fn relieve(&mut self, from: usize, pass: &mut Pass) -> bool {
        pass.met[from] = true;
        let mut chain = vec![from];
        let mut exchanges = Vec::new();
        while let Some(&member) = chain.last() {
            let Some((list, next)) = self.next_exchange(member, pass) else {
                chain.pop();
                exchanges.pop();
                continue;
            };
            pass.met[next] = true;
            chain.push(next);
            exchanges.push((member, list));
            if self.improves(from, next) {
                for (member, list) in exchanges {
                    self.exchange(member, list);
                }
                self.shift_load(from, next);
                for member in chain {
                    pass.met[member] = false;
                }
                return true;
            }
        }
        false
    }

    /// The next list from which `member` may go last for one that was not met.
    fn next_exchange(&self, member: usize, pass: &mut Pass) -> Option<(usize, usize)> {
        while let Some(&list) = self.may_leave[member].get(pass.next[member]) {
            pass.next[member] += 1;
            let last = self.last_of(list);
            if !pass.met[last] {
                return Some((list, last));
            }
        }
        None
    }

    /// Who is in place `last` of a list.
    pub(super) fn last_of(&self, list: usize) -> usize {
        self.lists.places[list * self.lists.len + self.last]
    }

    /// Counts one place less for one member and one more for another.
    pub(super) fn shift_load(&mut self, from: usize, to: usize) {
        self.loads[from] -= 1;
        self.loads[to] += 1;
    }

    /// A member of a list goes last; who was last takes its place.
    pub(super) fn exchange(&mut self, member: usize, list: usize) {
        let list = &mut self.lists.places[list * self.lists.len..][..=self.last];
        let place = list.iter().position(|&listed| listed == member);
        // Members of a list do not change here, only their order.
        list.swap(place.unwrap_or(self.last), self.last);
    }
}

/// What one pass over all members has tried.
struct Pass {
    /// Nothing better can be reached from these, nor for a member that is better off.
    met: Vec<bool>,
    /// The first list each member has not tried to leave.
    next: Vec<usize>,
}

/// The places of a list whose member may go, such that the others are spread like as many copies
/// should be; all places if there is no such member.
fn leavers(list: &[usize], spread: &Spread) -> Vec<usize> {
    let leavers: Vec<usize> = (0..list.len())
        .filter(|&leaver| is_spread_without(list, leaver, spread))
        .collect();
    if leavers.is_empty() {
        (0..list.len()).collect()
    } else {
        leavers
    }
}

fn is_spread_without(list: &[usize], leaver: usize, spread: &Spread) -> bool {
    let mut counts = vec![0; spread.domains.len()];
    for (place, &member) in list.iter().enumerate() {
        if place == leaver {
            continue;
        }
        let group = spread.group_of[member];
        let same_group = |&(other, &listed): &(usize, &usize)| {
            other != leaver && spread.group_of[listed] == group
        };
        if list[..place]
            .iter()
            .enumerate()
            .any(|listed| same_group(&listed))
        {
            return false;
        }
        counts[spread.groups[group].domain] += 1;
    }
    spread.can_complete(&counts, &mut vec![0; counts.len()])
}
