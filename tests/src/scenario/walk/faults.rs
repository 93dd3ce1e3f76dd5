//! What happens to nodes and links.

use super::{Walk, Who};
use crate::sim::config::NetworkPlan;
use crate::sim::driven::UNTIL_TOLD_US;
use crate::sim::faults::Fault;
use crate::sim::network::between;

impl Walk<'_> {
    /// `kill -9`.
    pub fn kill(&mut self, who: Who) {
        self.say(format!("{} is killed", self.name(who)));
        let (node, down_us) = (self.place(who), UNTIL_TOLD_US);
        self.world.begin_fault(Fault::Kill { node, down_us });
    }

    /// The power goes off: nothing survives that was not synced.
    pub fn power(&mut self, who: Who) {
        let node = self.place(who);
        let unsynced = self.world.nodes[node].disk.unsynced();
        self.say(format!(
            "the power of {} goes off, {unsynced} batches were not synced and are lost",
            self.name(who)
        ));
        let (kept, down_us) = (0, UNTIL_TOLD_US);
        self.world.begin_fault(Fault::Power {
            node,
            kept,
            down_us,
        });
    }

    /// Killed, and its data directory removed.
    pub fn wipe(&mut self, who: Who) {
        self.say(format!(
            "{} is killed and its data directory is removed",
            self.name(who)
        ));
        let (node, down_us) = (self.place(who), UNTIL_TOLD_US);
        self.world.begin_fault(Fault::Wipe { node, down_us });
    }

    /// The machine is gone for good.
    pub fn bury(&mut self, who: Who) {
        self.say(format!("{}'s machine is gone for good", self.name(who)));
        let node = self.place(who);
        self.world.bury(node);
    }

    /// An operator orders somebody to go on without these.
    pub fn recover(&mut self, by: Who, gone: &[Who]) {
        let names: Vec<String> = gone.iter().map(|&who| self.name(who)).collect();
        let gone = gone.iter().map(|&who| self.place(who)).collect();
        self.say(format!(
            "{} is ordered to go on without {}, which are called gone for good",
            self.name(by),
            names.join(", ")
        ));
        let node = self.place(by);
        self.world.order_recovery(node, gone);
    }

    /// The lineage of the map's newest version at somebody.
    pub fn lineage(&self, who: Who) -> u16 {
        self.world.lineage(self.place(who))
    }

    /// The machine of a node is gone for good, with all that was on its disk.
    pub fn lose(&mut self, node: usize) {
        self.say(format!("n{}'s machine is gone for good", node + 1));
        self.world.lose_machine(node);
    }

    /// `kill -9` of the node at a place.
    pub fn kill_at(&mut self, node: usize) {
        self.say(format!("n{} is killed", node + 1));
        let down_us = UNTIL_TOLD_US;
        self.world.begin_fault(Fault::Kill { node, down_us });
    }

    /// The process of the node at a place starts again.
    pub fn start_at(&mut self, node: usize) {
        self.say(format!("n{} starts", node + 1));
        self.world.begin_process(node);
    }

    /// Cuts everything between two groups of places; returns the name of the cut.
    pub fn cut_at(&mut self, one: &[usize], other: &[usize]) -> u64 {
        let names = |places: &[usize]| {
            let names: Vec<String> = places
                .iter()
                .map(|place| format!("n{}", place + 1))
                .collect();
            names.join(", ")
        };
        let text = format!(
            "{} and {} are cut off from each other",
            names(one),
            names(other)
        );
        self.say(text);
        self.world.begin_cut(between(one, other))
    }

    /// Messages are repeated and overtake each other, also in calm weather, until the walk ends.
    pub fn shake(&mut self) {
        self.say("from now on every third message comes twice, and all overtake each other");
        let plan = self.world.config.network;
        self.world.set_network(NetworkPlan {
            duplication: plan.duplication.max(330),
            delay_more_us: plan.delay_more_us.max(5_000),
            ..plan
        });
    }

    /// Starts a process again.
    pub fn start(&mut self, who: Who) {
        self.say(format!("{} starts", self.name(who)));
        let node = self.place(who);
        self.world.begin_process(node);
    }

    /// SIGSTOP.
    pub fn pause(&mut self, who: Who) {
        self.say(format!("{} is stopped and stands still", self.name(who)));
        let (node, for_us) = (self.place(who), UNTIL_TOLD_US);
        self.world.begin_fault(Fault::Pause { node, for_us });
    }

    /// SIGCONT.
    pub fn go_on(&mut self, who: Who) {
        self.say(format!("{} goes on", self.name(who)));
        let node = self.place(who);
        self.world.end_pause(node);
    }

    /// Cuts everything between two groups; returns the name of the cut.
    pub fn cut(&mut self, one: &[Who], other: &[Who]) -> u64 {
        let text = format!(
            "{} and {} are cut off from each other",
            self.names_of(one),
            self.names_of(other)
        );
        self.say(text);
        self.cut_silently(one, other)
    }

    /// As [`Self::cut`], and not told.
    pub fn cut_silently(&mut self, one: &[Who], other: &[Who]) -> u64 {
        let places = |who: &[Who]| who.iter().map(|&who| self.place(who)).collect::<Vec<_>>();
        let links = between(&places(one), &places(other));
        self.world.begin_cut(links)
    }

    /// Cuts the way from one to another and leaves the way back.
    pub fn cut_one_way(&mut self, from: Who, to: Who) -> u64 {
        self.say(format!(
            "nothing from {} reaches {} any more; the way back works",
            self.name(from),
            self.name(to)
        ));
        let link = (self.place(from), self.place(to));
        self.world.begin_cut([link].into())
    }

    /// Ends a cut.
    pub fn mend(&mut self, cut: u64) {
        self.world.end_cut(cut);
    }

    /// Another fault, which ends with the walk.
    pub fn trouble(&mut self, text: &str, who: Who, fault: impl FnOnce(usize) -> Fault) {
        self.say(format!("{}: {text}", self.name(who)));
        let fault = fault(self.place(who));
        self.world.begin_fault(fault);
    }
}
