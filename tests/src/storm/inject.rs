//! Carries out a plan on a running cluster.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::process::{Cluster, Index, Namespaces, Trouble};
use crate::relay::{Label, LinkFaults, Pair};

use super::plan::{Episode, Fault};

/// How often each kind of fault was made, and left out because it could not be made here.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// Made.
    pub made: [u32; Fault::KINDS.len()],
    /// Left out: the machine lacks the means.
    pub skipped: [u32; Fault::KINDS.len()],
    /// Nodes that ended by themselves, with how; those that may are started again.
    pub ended: Vec<String>,
}

/// The hand that hurts.
pub(super) struct Injector<'a> {
    cluster: &'a mut Cluster,
    /// Episodes that were begun, by their place in the plan.
    begun: BTreeSet<usize>,
    made: &'a mut Made,
}

impl<'a> Injector<'a> {
    /// `made` tells at any time what was done so far: a storm may end before its plan does.
    pub(super) fn new(cluster: &'a mut Cluster, made: &'a mut Made) -> Self {
        Self {
            cluster,
            begun: BTreeSet::new(),
            made,
        }
    }

    /// Plays the whole plan. What it has begun, it has ended when it returns, but for processes that
    /// are still starting.
    pub(super) async fn play(mut self, plan: &[Episode]) -> Result<(), Trouble> {
        let start = Instant::now();
        for (at_ms, place, begins) in marks(plan) {
            let until = start + Duration::from_millis(at_ms);
            tokio::time::sleep_until(until.into()).await;
            self.look_after_the_dead()?;
            if begins {
                self.begin(place, plan[place].fault).await?;
            } else if self.begun.remove(&place) {
                self.end(plan[place].fault)?;
            }
        }
        Ok(())
    }

    async fn begin(&mut self, place: usize, fault: Fault) -> Result<(), Trouble> {
        let done = match fault {
            Fault::Kill(node) => self.kill(node).await?,
            Fault::Pause(node) => self.pause(node)?,
            Fault::Roll => self.roll().await?,
            Fault::Isolate(_) | Fault::Cut(..) | Fault::CutOneWay(..) | Fault::Noise(..) => {
                self.spoil_links(fault, false)?
            }
            Fault::FullDisk(_) | Fault::SlowSync(..) | Fault::FailingSync(_) | Fault::Clock(..) => {
                self.spoil_node(fault, false)?
            }
        };
        let counts = match done {
            Some(true) => &mut self.made.made,
            Some(false) => &mut self.made.skipped,
            None => return Ok(()),
        };
        counts[fault.kind()] += 1;
        if done == Some(true) {
            self.begun.insert(place);
        }
        Ok(())
    }

    fn end(&mut self, fault: Fault) -> Result<(), Trouble> {
        match fault {
            Fault::Kill(node) if !self.cluster.node(node).is_started() => {
                self.cluster.node(node).spawn()
            }
            Fault::Kill(_) | Fault::Roll => Ok(()),
            Fault::Pause(node) => self.resume(node),
            Fault::Isolate(_) | Fault::Cut(..) | Fault::CutOneWay(..) | Fault::Noise(..) => {
                self.spoil_links(fault, true).map(drop)
            }
            Fault::FullDisk(_) | Fault::SlowSync(..) | Fault::FailingSync(_) | Fault::Clock(..) => {
                self.spoil_node(fault, true).map(drop)
            }
        }
    }

    /// `None`: the node is not there to be hurt.
    async fn kill(&mut self, node: Index) -> Result<Option<bool>, Trouble> {
        if !self.cluster.node(node).is_started() {
            return Ok(None);
        }
        self.cluster.kill(node).await?;
        Ok(Some(true))
    }

    fn pause(&mut self, node: Index) -> Result<Option<bool>, Trouble> {
        if !self.cluster.node(node).is_started() {
            return Ok(None);
        }
        self.cluster.pause(node)?;
        Ok(Some(true))
    }

    /// A paused node may have been killed meanwhile.
    fn resume(&mut self, node: Index) -> Result<(), Trouble> {
        if self.cluster.node(node).is_started() {
            self.cluster.resume(node)?;
        }
        Ok(())
    }

    async fn roll(&mut self) -> Result<Option<bool>, Trouble> {
        let up: Vec<Index> = self.cluster.up().collect();
        for node in up {
            self.cluster.stop(node).await?;
            self.cluster.node(node).spawn()?;
            // One that cannot start now, as on a full disk, is started again until it can.
            let ready = self.cluster.node(node).ready().await;
            if ready.is_err() && !self.cluster.node(node).is_started() {
                self.cluster.node(node).spawn()?;
            }
        }
        Ok(Some(true))
    }

    fn spoil_links(&mut self, fault: Fault, heal: bool) -> Result<Option<bool>, Trouble> {
        match self.cluster.namespaces() {
            Some(spaces) => spoil_spaces(spaces, fault, heal),
            None => Ok(self.spoil_relay(fault, heal)),
        }
    }

    fn spoil_relay(&self, fault: Fault, heal: bool) -> Option<bool> {
        let nodes = self.cluster.all();
        let Ok(relay) = self.cluster.relay() else {
            return Some(false);
        };
        let cut = LinkFaults {
            cut: true,
            ..LinkFaults::default()
        };
        let set = |from: Index, to: Index, faults: LinkFaults| {
            let faults = if heal { LinkFaults::default() } else { faults };
            relay.set(Pair::new(label(from), label(to)), faults);
        };
        match fault {
            Fault::Isolate(node) => {
                for other in nodes.filter(|&other| other != node) {
                    set(node, other, cut);
                    set(other, node, cut);
                }
            }
            Fault::Cut(one, other) => {
                set(one, other, cut);
                set(other, one, cut);
            }
            Fault::CutOneWay(one, other) => set(one, other, cut),
            Fault::Noise(one, other, faults) => set(one, other, faults),
            Fault::Kill(_)
            | Fault::Pause(_)
            | Fault::Roll
            | Fault::FullDisk(_)
            | Fault::SlowSync(..)
            | Fault::FailingSync(_)
            | Fault::Clock(..) => return None,
        }
        Some(true)
    }

    fn spoil_node(&mut self, fault: Fault, heal: bool) -> Result<Option<bool>, Trouble> {
        if !self.cluster.has_shims() {
            return Ok(Some(false));
        }
        match fault {
            Fault::FullDisk(node) => self.cluster.order(node, |orders| orders.full = !heal)?,
            Fault::SlowSync(node, ms) => self
                .cluster
                .order(node, |orders| orders.sync_ms = if heal { 0 } else { ms })?,
            Fault::FailingSync(node) => self
                .cluster
                .order(node, |orders| orders.sync_fails = !heal)?,
            Fault::Clock(node, ms) => self
                .cluster
                .order(node, |orders| orders.clock_ms = if heal { 0 } else { ms })?,
            Fault::Kill(_)
            | Fault::Pause(_)
            | Fault::Roll
            | Fault::Isolate(_)
            | Fault::Cut(..)
            | Fault::CutOneWay(..)
            | Fault::Noise(..) => return Ok(None),
        }
        Ok(Some(true))
    }

    /// Nodes that ended by themselves are told of and started again.
    fn look_after_the_dead(&mut self) -> Result<(), Trouble> {
        for node in self.cluster.all() {
            if let Some(status) = self.cluster.node(node).ended_by_itself()? {
                let told = format!("n{} ended by itself: {status}", node + 1);
                self.made.ended.push(told);
                self.cluster.node(node).spawn()?;
            }
        }
        Ok(())
    }
}

/// Faults of links where each node has a network of its own.
fn spoil_spaces(spaces: &Namespaces, fault: Fault, heal: bool) -> Result<Option<bool>, Trouble> {
    match fault {
        Fault::Isolate(node) => spaces.set_link(node, heal)?,
        Fault::Cut(one, other) => {
            spaces.set_blocked(one, other, !heal)?;
            spaces.set_blocked(other, one, !heal)?;
        }
        Fault::CutOneWay(one, other) => spaces.set_blocked(one, other, !heal)?,
        Fault::Noise(one, other, faults) => {
            let percent = faults
                .loss
                .max(5.0)
                .round()
                .to_string()
                .parse()
                .unwrap_or(5);
            return Ok(Some(spaces.set_loss(one, other, percent, !heal)));
        }
        Fault::Kill(_)
        | Fault::Pause(_)
        | Fault::Roll
        | Fault::FullDisk(_)
        | Fault::SlowSync(..)
        | Fault::FailingSync(_)
        | Fault::Clock(..) => return Ok(None),
    }
    Ok(Some(true))
}

/// Beginnings and ends, in order of time: when, which episode, whether it begins.
fn marks(plan: &[Episode]) -> Vec<(u64, usize, bool)> {
    let mut marks: Vec<(u64, usize, bool)> = plan
        .iter()
        .enumerate()
        .flat_map(|(place, episode)| {
            [
                (episode.from_ms, place, true),
                (episode.until_ms, place, false),
            ]
        })
        .collect();
    marks.sort_unstable_by_key(|&(at_ms, place, begins)| (at_ms, !begins, place));
    marks
}

fn label(node: Index) -> Label {
    Label(u32::try_from(node + 1).unwrap_or(u32::MAX))
}
