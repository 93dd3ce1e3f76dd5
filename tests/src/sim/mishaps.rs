//! Faults as they happen to a world, and their end.

use super::clients::ClientEvent;
use super::event::Event;
use super::faults::Fault;
use super::world::World;
use crate::checkers::Violation;

impl World<'_> {
    /// Ends all faults: links work, clocks agree, every process runs. Clients take a few operations more.
    pub fn heal(&mut self) {
        self.healed = true;
        self.network.heal();
        self.faults.heal();
        self.trace
            .say(self.at_us, || "everything is healed".to_owned());
        for node in 0..self.nodes.len() {
            self.nodes[node].skew_ms = 0;
            if self.nodes[node].paused_until_us > 0 {
                self.resume(node);
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
        if let Some(fault) = self.faults.draw(&self.nodes) {
            let number = self.faults.number();
            self.trace
                .say(self.at_us, || format!("fault {number}: {fault:?}"));
            self.trace.fault(self.at_us, number, &fault);
            self.provoke(fault);
        }
        self.schedule_fault();
    }

    fn provoke(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { node, down_us } => {
                self.stop(node);
                self.schedule(down_us, Event::Restart(node));
            }
            Fault::Power {
                node,
                kept,
                down_us,
            } => {
                self.stop(node);
                let before = self.nodes[node].disk.synced();
                let lost = self.nodes[node].disk.power_cut(kept);
                self.ack_truth.lost(node, before + kept as u64);
                self.power_lost |= lost > 0;
                self.schedule(down_us, Event::Restart(node));
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
            Fault::Clock { node, skew_ms } => self.nodes[node].skew_ms = skew_ms,
        }
    }

    fn stop(&mut self, node: usize) {
        let lost = self.nodes[node].stop();
        for ticket in lost {
            // Some clients learn of it at once, others wait until they lose patience.
            if self.dice.chance(500) {
                self.tell(ticket, ClientEvent::Lost(ticket));
            }
        }
    }

    pub(super) fn resume(&mut self, node: usize) {
        self.nodes[node].paused_until_us = 0;
    }

    pub(super) fn start(&mut self, node: usize) {
        self.trace
            .say(self.at_us, || format!("{} starts", self.nodes[node].id));
        let mut wants = Vec::new();
        let prepare = self.prepare;
        let started = self.nodes[node].start(self.at_us, &mut self.dice, prepare, &mut wants);
        if let Err(why) = started {
            let text = format!("{} could not be opened: {why}", self.nodes[node].id);
            self.violations.push(Violation::general("opening", text));
        }
        self.absorb(node, wants);
    }
}
