//! The rules that hold between one version and the next, written down apart from what makes the versions.
//! Numbers are those of the rules for ring changes.

use std::collections::{BTreeMap, BTreeSet};

use quorate_core::moves::Heard;
use quorate_protocol::ids::VnodeId;
use quorate_protocol::versioned::{ClassRecord, ClassState, GoingState, Place, VersionedMap};
use quorate_ring::{Class, NodeId};

use crate::world::{Node, classes, standing};

/// What is so, heard or not.
pub(crate) struct Truth<'a> {
    pub(crate) nodes: &'a BTreeMap<NodeId, Node>,
    pub(crate) heard: &'a Heard,
}

/// What was seen of all versions so far.
pub(crate) struct Rules {
    /// Every place that was ever given.
    given: BTreeSet<(Class, NodeId, VnodeId)>,
    /// The largest number of a ring.
    ring: u64,
}

type Verdict = Result<(), String>;

fn demand(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

impl Rules {
    pub(crate) fn new(version: &VersionedMap) -> Self {
        let mut rules = Self {
            given: BTreeSet::new(),
            ring: version.map.ring.version().get(),
        };
        for class in classes(version) {
            rules.note(&standing(version, class));
        }
        rules
    }

    fn note(&mut self, record: &ClassRecord) {
        let places = record.places();
        let given = places
            .iter()
            .map(|place| (record.class, place.node, place.vnode));
        self.given.extend(given);
    }

    /// Whether one version may follow another.
    pub(crate) fn check(
        &mut self,
        before: &VersionedMap,
        after: &VersionedMap,
        truth: &Truth<'_>,
    ) -> Verdict {
        self.check_ring(before, after)?;
        let known: BTreeSet<Class> = classes(before).into_iter().collect();
        for class in classes(after) {
            let record = standing(after, class);
            if known.contains(&class) {
                let step = Step {
                    before: sorted(standing(before, class)),
                    after: sorted(record.clone()),
                    then: before,
                    map: after,
                    truth,
                };
                step.check(&self.given).map_err(|why| {
                    format!("{why}\nbefore {:?}\nafter {:?}", step.before, step.after)
                })?;
            } else {
                let given = |place: &Place| self.given.contains(&(class, place.node, place.vnode));
                let places = record.places();
                let again = places.iter().find(|place| given(place));
                demand(again.is_none(), || {
                    format!("{class} begins anew with {again:?} of before")
                })?;
            }
            self.note(&record);
        }
        check_members(before, after, truth)?;
        check_voters(before, after, truth)
    }

    fn check_ring(&mut self, before: &VersionedMap, after: &VersionedMap) -> Verdict {
        let (old, new) = (&before.map.ring, &after.map.ring);
        if old.digest() == new.digest() {
            return Ok(());
        }
        demand(new.version().get() > self.ring, || {
            "ring: a number was used again".to_owned()
        })?;
        demand(new.parent() == Some(old.digest()), || {
            "ring: the chain is broken".to_owned()
        })?;
        self.ring = new.version().get();
        Ok(())
    }
}

/// The order in which members of a set are asked is nothing that matters here.
fn sorted(mut record: ClassRecord) -> ClassRecord {
    record.old.sort_unstable();
    record.new.sort_unstable();
    record
}

/// What one version does to one class.
struct Step<'a> {
    before: ClassRecord,
    after: ClassRecord,
    then: &'a VersionedMap,
    map: &'a VersionedMap,
    truth: &'a Truth<'a>,
}

impl Step<'_> {
    fn check(&self, given: &BTreeSet<(Class, NodeId, VnodeId)>) -> Verdict {
        self.check_departing()?;
        if self.before.epoch == self.after.epoch {
            let same = ClassRecord {
                departing: self.after.departing.clone(),
                ..self.before.clone()
            };
            return demand(same == self.after, || {
                "rule 1: where a class stands changed, its epoch did not".to_owned()
            });
        }
        let chained =
            self.after.before == self.before.epoch && self.after.epoch == self.map.version;
        demand(chained, || {
            "rule 1: the chain of epochs is broken".to_owned()
        })?;
        self.check_dead()?;
        self.check_barrier()?;
        self.check_step()?;
        self.check_vnodes(given)
    }

    /// How a node goes by this version, or went that is no member any more.
    fn state(&self, node: NodeId) -> Option<GoingState> {
        let going = self.map.going(node).or_else(|| self.then.going(node));
        going.map(|going| going.state)
    }

    fn counts(&self, node: NodeId) -> bool {
        matches!(self.state(node), None | Some(GoingState::HandsOver))
    }

    /// Rule 2.
    fn check_barrier(&self) -> Verdict {
        let adopted = |node| self.truth.nodes[&node].adopted >= self.before.epoch.get();
        let places = self.before.places();
        let behind = places.iter().find(|place| {
            let founding = self.before.epoch.get() == 1;
            self.counts(place.node) && !founding && !adopted(place.node)
        });
        demand(behind.is_none(), || {
            format!("rule 2: {:?} works under an earlier epoch", behind.unwrap())
        })
    }

    /// Rules 1, 5 and 6.
    fn check_step(&self) -> Verdict {
        use ClassState::{JointNew, JointOld, Stable};
        let (before, after) = (&self.before, &self.after);
        let same_old = before.old == after.old;
        let both = same_old && before.new == after.new;
        let allowed = match (before.state, after.state) {
            (Stable, JointOld) => same_old,
            (JointOld, JointOld) => same_old && (!both || before.dead != after.dead),
            (JointOld, Stable) => same_old,
            (JointOld, JointNew) => {
                let lacking = before.newcomers().find(|place| !self.is_complete(*place));
                demand(lacking.is_none(), || {
                    format!("rule 5: {lacking:?} is not complete")
                })?;
                both
            }
            (JointNew, JointOld) => both,
            (JointNew, Stable) => after.old == before.new,
            (Stable, Stable | JointNew) | (JointNew, JointNew) => false,
        };
        demand(allowed, || {
            "rule 6: no class goes there from where it is".to_owned()
        })
    }

    fn is_complete(&self, place: Place) -> bool {
        let node = &self.truth.nodes[&place.node];
        node.complete.iter().any(|claim| {
            (claim.class, claim.vnode, claim.epoch)
                == (self.before.class, place.vnode, self.before.epoch)
        })
    }

    /// A place that is new was never given before, and bears the number of the version that gives it.
    fn check_vnodes(&self, given: &BTreeSet<(Class, NodeId, VnodeId)>) -> Verdict {
        for place in self.after.places() {
            let stays = self.before.place_of(place.node) == Some(place);
            let again = given.contains(&(self.after.class, place.node, place.vnode));
            let numbered = place.vnode.get() == self.map.version.get();
            demand(stays || (!again && numbered), || {
                format!("rule 9: the vnode of {place:?} is not of its own")
            })?;
        }
        Ok(())
    }

    fn check_dead(&self) -> Verdict {
        for place in self.after.places() {
            let dead = self.after.is_dead(place.node);
            demand(dead != self.counts(place.node), || {
                format!("rule 13: {place:?} is called dead, or is dead and not called so")
            })?;
        }
        Ok(())
    }

    /// Rule 7.
    fn check_departing(&self) -> Verdict {
        let forgotten = |place: Place| self.state(place.node) == Some(GoingState::Forgotten);
        let departs = |place: Place| self.after.departing.contains(&place);
        for place in self.before.places() {
            let stays = self.after.place_of(place.node) == Some(place);
            demand(stays || departs(place) || forgotten(place), || {
                format!("rule 7: {place:?} left and does not depart")
            })?;
        }
        for &place in &self.before.departing {
            let held = self.truth.nodes[&place.node].held.get(&self.before.class);
            let gone = held.is_none_or(|held| held.vnode != place.vnode);
            demand(departs(place) || gone || forgotten(place), || {
                format!("rule 7: {place:?} departs no longer and is there")
            })?;
        }
        let known = |place: &&Place| {
            self.before.departing.contains(place) || self.before.places().contains(place)
        };
        let strange = self.after.departing.iter().find(|place| !known(place));
        demand(strange.is_none(), || {
            format!("rule 7: {strange:?} departs and never was")
        })
    }
}

/// Nobody is a member no longer who holds a copy, or is named.
fn check_members(before: &VersionedMap, after: &VersionedMap, truth: &Truth<'_>) -> Verdict {
    let is_member = |node| after.map.member(node).is_some();
    for gone in before
        .map
        .members
        .iter()
        .filter(|member| !is_member(member.id))
    {
        let node = gone.id;
        let going = before
            .going(node)
            .ok_or_else(|| format!("members: {node} was to stay"))?;
        // What is left of dropped buckets at a dead node is nothing that anybody misses.
        let held = &truth.nodes[&node].held;
        let holds = held.iter().any(|(class, held)| {
            let dead = going.is_dead() && held.vnode < after.first_vnode(class.n);
            !dead && after.used_since(class.n).is_some()
        });
        demand(!holds || going.state == GoingState::Forgotten, || {
            format!("members: {node} is gone and holds copies")
        })?;
        let hints = truth.heard.hinting.contains(&node);
        demand(!hints || going.is_dead(), || {
            format!("members: {node} is gone and holds hints")
        })?;
        let back = before.before.is_some() && after.before.is_some();
        demand(!back, || {
            format!("members: {node} is gone and may be called back")
        })?;
    }
    for class in classes(after) {
        let record = standing(after, class);
        let mut named = [&record.old, &record.new, &record.departing]
            .into_iter()
            .flatten();
        let stranger = named.find(|place| !is_member(place.node));
        demand(stranger.is_none(), || {
            format!("members: {stranger:?} is named and is none")
        })?;
    }
    Ok(())
}

/// Who decides is able to.
fn check_voters(before: &VersionedMap, after: &VersionedMap, truth: &Truth<'_>) -> Verdict {
    if before.voters == after.voters {
        return Ok(());
    }
    let runs = |node: NodeId| truth.heard.running.get(&node).is_some_and(Option::is_some);
    let running = after.voters.iter().filter(|voter| runs(voter.node)).count();
    demand(2 * running > after.voters.len(), || {
        "voters: no majority is known to run".to_owned()
    })?;
    let mut voters = after.voters.iter();
    let dead = voters.find(|voter| after.going(voter.node).is_some_and(|going| going.is_dead()));
    demand(dead.is_none(), || format!("voters: {dead:?} is dead"))
}
