//! Faults as they happen to a world, and their end.

use super::clients::ClientEvent;
use super::counters::Counter;
use super::dice::Dice;
use super::disk::Writes;
use super::event::{DiskTrouble, Event};
use super::faults::Fault;
use super::node::Want;
use super::vanishing::Vanished;
use super::world::World;
use crate::checkers::{Outage, Violation};

/// Between two tries to start a process whose disk does not answer, microseconds.
const START_AGAIN_US: u64 = 1_000_000;

impl World<'_> {
    /// Ends all faults: links and disks work, clocks agree, every process runs. Clients take a few
    /// operations more.
    pub fn heal(&mut self) {
        self.healed = true;
        self.forget_dropped();
        let drifted = self.config.drift_ppm * (self.at_us / 1000) / 1_000_000;
        let drifted_ms = i64::try_from(drifted).unwrap_or(i64::MAX);
        self.skews_ms.0 -= drifted_ms;
        self.skews_ms.1 += drifted_ms;
        self.network.heal();
        self.nodes.iter().for_each(|node| node.disk.meet_damage());
        self.faults.heal();
        self.trace
            .say(self.at_us, || "everything is healed".to_owned());
        for node in 0..self.nodes.len() {
            self.nodes[node].clock.skew_ms = 0;
            self.nodes[node].clock.disciplined = true;
            self.nodes[node].disk.writes = Writes::Work;
            self.disk_works(node, DiskTrouble::Reads);
            self.disk_works(node, DiskTrouble::Full);
            if self.nodes[node].paused_until_us > 0 {
                self.release(node);
            }
            if !self.nodes[node].is_running() {
                self.start(node);
            }
        }
        for client in &mut self.clients {
            client.wind_down(5);
        }
    }

    pub(super) fn fault(&mut self) {
        if self.healed {
            return;
        }
        if let Some(fault) = self.faults.draw(&self.nodes)
            && self.is_bearable(&fault)
        {
            let number = self.faults.number();
            self.trace
                .say(self.at_us, || format!("fault {number}: {fault:?}"));
            self.trace.fault(self.at_us, number, &fault);
            self.counters.count(Counter::Fault(fault.name()));
            self.provoke(fault);
        }
        if self.config.faults.rewind {
            self.maybe_copy_a_disk();
        }
        self.schedule_fault();
    }

    /// What destroys copies must leave another one of every acknowledged write, and no second disk is
    /// destroyed before the first is rebuilt.
    fn is_bearable(&mut self, fault: &Fault) -> bool {
        let (node, after) = match fault {
            Fault::Wipe { node, .. } | Fault::Damage { node, .. } | Fault::Vanish { node, .. } => {
                (*node, 0)
            }
            Fault::Rewind { node, .. } => match self.old_copies.get(node) {
                Some(copy) => (*node, copy.upto),
                None => return false,
            },
            // Who loses its tail is filled by others: by one that has lost something and cannot know it, too.
            Fault::Power { node, .. } | Fault::BadSync { node } => {
                let node = *node;
                self.look_after_the_vanished();
                return !(0..self.nodes.len())
                    .any(|other| other != node && self.misses_something(other));
            }
            Fault::Kill { .. }
            | Fault::Pause { .. }
            | Fault::Cut { .. }
            | Fault::Clog { .. }
            | Fault::Clock { .. }
            | Fault::BadReads { .. }
            | Fault::BadWrite { .. }
            | Fault::Full { .. }
            | Fault::SlowSyncs { .. } => return true,
        };
        let spared = self.something_is_destroyed();
        let synced = |node: usize| self.nodes[node].disk.synced();
        let bearable = !spared
            && self.nodes[node].is_running()
            && !self.is_back_from_the_gone(node)
            && self.copies.may_lose(node, after, synced)
            && self.may_lose_votes(node);
        if bearable {
            self.destroyed = Some(node);
            self.faults.owe(&self.nodes, node);
        }
        bearable
    }

    /// Whether something was destroyed, or taken for lost, that is not made good.
    pub(super) fn something_is_destroyed(&mut self) -> bool {
        self.look_after_the_vanished();
        let whole = |node: usize| self.is_rebuilt(node) && !self.misses_something(node);
        if self.destroyed.is_some_and(whole) {
            self.destroyed = None;
        }
        self.destroyed.is_some() || self.lacks_a_majority()
    }

    /// Whether something vanished from a node and is not made good.
    pub(super) fn misses_something(&self, node: usize) -> bool {
        let open = |vanished: &Vanished| vanished.node == node && vanished.until_us == u64::MAX;
        self.vanished.iter().any(open)
    }

    /// Whether nothing of a node is missing or damaged any more.
    #[must_use]
    pub fn is_rebuilt(&self, node: usize) -> bool {
        if self.is_buried(node) {
            return self.is_replaced(node);
        }
        let is_out = !self.members().contains(&node);
        let knows_all = self.founding.maps.knows_all(node) || (is_out && self.is_replaced(node));
        let node = &self.nodes[node];
        knows_all
            && node.disk.damaged_records() == 0
            && node.status().is_some_and(|replicas| {
                let mut vnodes = replicas.iter().flat_map(|replica| &replica.vnodes);
                vnodes.all(|vnode| vnode.current && !vnode.damaged && vnode.lag == 0)
            })
    }

    fn maybe_copy_a_disk(&mut self) {
        let node = self.dice.index(self.nodes.len());
        // What vanished once is not to vanish again with an old copy.
        if self.dice.chance(100) && !self.misses_something(node) {
            let copy = self.nodes[node].disk.copy();
            self.old_copies.insert(node, copy);
            self.copy_file(node);
        }
    }

    pub(super) fn provoke(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { node, down_us } => self.kill(node, down_us),
            Fault::Power {
                node,
                kept,
                down_us,
            } => {
                self.kill(node, down_us);
                let before = self.nodes[node].disk.synced();
                let lost = self.nodes[node].disk.power_cut(kept);
                self.tail_lost(node, before + kept as u64, lost);
            }
            Fault::Pause { node, for_us } => {
                self.nodes[node].paused_until_us = self.at_us + for_us;
                let life = self.nodes[node].life;
                self.schedule(for_us, Event::Resume(node, life));
            }
            Fault::Cut { links, for_us, .. } => {
                let cut = self.network.cut(links);
                self.schedule(for_us, Event::Mend(cut));
            }
            Fault::Clog {
                links,
                for_us,
                in_order,
            } => {
                let until_us = self.at_us + for_us;
                for link in links {
                    self.network.clog(link, until_us, in_order);
                }
            }
            Fault::Clock { node, skew_ms } => {
                self.nodes[node].clock.skew_ms = skew_ms;
                let (least, most) = self.skews_ms;
                self.skews_ms = (least.min(skew_ms), most.max(skew_ms));
            }
            Fault::BadReads { .. }
            | Fault::BadWrite { .. }
            | Fault::Full { .. }
            | Fault::SlowSyncs { .. }
            | Fault::BadSync { .. } => self.trouble_disk(&fault),
            Fault::Wipe { .. }
            | Fault::Rewind { .. }
            | Fault::Damage { .. }
            | Fault::Vanish { .. } => {
                self.destroy(&fault);
            }
        }
    }

    fn trouble_disk(&mut self, fault: &Fault) {
        match *fault {
            Fault::BadReads {
                node,
                permille,
                for_us,
            } => {
                let dice = Dice::new(self.dice.bits(), "reads");
                self.nodes[node].disk.fail_reads(permille, dice);
                self.schedule(for_us, Event::DiskWorks(node, DiskTrouble::Reads));
            }
            Fault::BadWrite { node, arrived } => {
                self.nodes[node].disk.writes = Writes::FailOnce { arrived };
            }
            Fault::Full { node, for_us } => {
                self.set_writable(node, false);
                self.schedule(for_us, Event::DiskWorks(node, DiskTrouble::Full));
            }
            Fault::SlowSyncs { node, for_us } => {
                self.faults.set_slow(node, true);
                self.schedule(for_us, Event::DiskWorks(node, DiskTrouble::SlowSyncs));
            }
            Fault::BadSync { node } => self.faults.fail_sync(node),
            Fault::Kill { .. }
            | Fault::Power { .. }
            | Fault::Pause { .. }
            | Fault::Cut { .. }
            | Fault::Clog { .. }
            | Fault::Clock { .. }
            | Fault::Wipe { .. }
            | Fault::Rewind { .. }
            | Fault::Damage { .. }
            | Fault::Vanish { .. } => {}
        }
    }

    fn destroy(&mut self, fault: &Fault) {
        match *fault {
            Fault::Wipe { node, down_us } => {
                self.kill(node, down_us);
                let synced = self.nodes[node].disk.synced();
                self.nodes[node].disk.wipe();
                self.lose_file(node, false);
                self.destroyed(node, 0, synced);
            }
            Fault::Rewind { node, down_us } => {
                self.kill(node, down_us);
                if let Some(copy) = self.old_copies.remove(&node) {
                    let (upto, synced) = (copy.upto, self.nodes[node].disk.synced());
                    let copy = self.maybe_made_fit(copy);
                    self.nodes[node].disk.restore(copy);
                    self.lose_file(node, true);
                    self.destroyed(node, upto, synced);
                }
            }
            Fault::Damage {
                node,
                records,
                down_us,
            } => {
                // A dot that nobody else has leaves a gap as a power cut does.
                self.power_lost = true;
                for _ in 0..records {
                    self.nodes[node].disk.damage(&mut self.dice);
                }
                if let Some(down_us) = down_us {
                    self.kill(node, down_us);
                    self.maybe_damage_file(node);
                } else if self.dice.chance(300) {
                    self.nodes[node].disk.meet_damage();
                }
            }
            Fault::Vanish {
                node,
                records,
                down_us,
            } => {
                self.power_lost = true; // as above
                if let Some(down_us) = down_us {
                    self.kill(node, down_us);
                }
                self.vanish(node, records);
            }
            Fault::Kill { .. }
            | Fault::Power { .. }
            | Fault::Pause { .. }
            | Fault::Cut { .. }
            | Fault::Clog { .. }
            | Fault::Clock { .. }
            | Fault::BadReads { .. }
            | Fault::BadWrite { .. }
            | Fault::Full { .. }
            | Fault::SlowSyncs { .. }
            | Fault::BadSync { .. } => {}
        }
    }

    /// A node lost what was not synced.
    fn forget(&mut self, node: usize, after: u64) {
        self.destroyed(node, after, after);
    }

    /// A node lost what was written after some batch. What was synced had been durable there all the
    /// same: nobody promises that no disk is destroyed later.
    pub(super) fn destroyed(&mut self, node: usize, after: u64, synced: u64) {
        self.ack_truth.lost(node, synced);
        self.copies.lost(node, after, self.at_us);
        self.power_lost = true;
    }

    fn tail_lost(&mut self, node: usize, after: u64, batches: usize) {
        if batches > 0 {
            self.lose_again(node);
            self.forget(node, after);
        }
    }

    pub(super) fn kill(&mut self, node: usize, down_us: u64) {
        self.release(node);
        self.outages.push(Outage {
            node,
            from_us: self.at_us,
            until_us: u64::MAX,
        });
        let lost = self.nodes[node].stop();
        self.cut_off_file(node);
        for ticket in lost {
            self.left_unanswered(ticket);
            // Some clients learn of it at once, others wait until they lose patience.
            if self.dice.chance(500) {
                self.tell(ticket, ClientEvent::Lost(ticket));
            }
        }
        self.schedule(down_us, Event::Restart(node));
    }

    fn set_writable(&mut self, node: usize, writable: bool) {
        let mut wants = self.spare_wants();
        self.nodes[node].set_writable(self.at_us, writable, &mut wants);
        self.absorb(node, wants);
    }

    pub(super) fn disk_works(&mut self, node: usize, trouble: DiskTrouble) {
        match trouble {
            DiskTrouble::Reads => {
                let dice = Dice::new(0, "reads");
                self.nodes[node].disk.fail_reads(0, dice);
            }
            DiskTrouble::Full if self.nodes[node].writable => {}
            DiskTrouble::Full => self.set_writable(node, true),
            DiskTrouble::SlowSyncs => self.faults.set_slow(node, false),
        }
    }

    /// Of what was not synced a part may be lost, if nobody else lost something of late.
    pub(super) fn sync_failed(&mut self, node: usize, wants: &mut Vec<Want>) {
        self.counters.count(Counter::World("an fsync failed"));
        let kept = self.faults.tail_kept(&self.nodes, node);
        let kept = kept.unwrap_or(self.nodes[node].disk.unsynced());
        let before = self.nodes[node].disk.synced();
        let lost = self.nodes[node].sync_failed(kept, wants);
        self.tail_lost(node, before + kept as u64, lost);
    }

    pub(super) fn start(&mut self, node: usize) {
        if self.is_buried(node) {
            return;
        }
        self.trace
            .say(self.at_us, || format!("{} starts", self.nodes[node].id));
        let at_us = self.at_us;
        let is_open = |outage: &&mut Outage| outage.node == node && outage.until_us == u64::MAX;
        self.outages
            .iter_mut()
            .filter(is_open)
            .for_each(|outage| outage.until_us = at_us);
        let mut wants = self.spare_wants();
        let prepare = self.prepare;
        let started = self.nodes[node].start(self.at_us, &mut self.dice, prepare, &mut wants);
        if let Err(why) = started {
            self.not_opened(node, &why);
            self.schedule(START_AGAIN_US, Event::Restart(node));
        }
        if let Some(newest) = self.nodes[node].newest().cloned() {
            self.note_in_force(node, &newest);
        }
        self.absorb(node, wants);
    }

    pub(super) fn revive(&mut self, node: usize, shard: u16, wants: &mut Vec<Want>) {
        let prepare = self.prepare;
        let opened = self.nodes[node].revive(self.at_us, shard, &mut self.dice, prepare, wants);
        if let Err(why) = opened {
            self.not_opened(node, &why);
            wants.push(Want::Revive(shard, START_AGAIN_US));
        }
    }

    /// A replica may refuse to open while its disk does not answer; otherwise that is a bug.
    fn not_opened(&mut self, node: usize, why: &str) {
        self.counters
            .count(Counter::World("a node could not start"));
        if !self.nodes[node].disk.reads_fail() {
            let text = format!("{} could not be opened: {why}", self.nodes[node].id);
            self.violations.push(Violation::general("opening", text));
        }
    }
}
