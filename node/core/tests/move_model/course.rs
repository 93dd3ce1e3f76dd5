//! What can happen next.

use crate::rules::{Broken, Rules};
use crate::state::{A, C, Dots, Filling, NODES, Nodes, OLD, Stand, State, Status, Write};

/// By what states follow each other.
pub(crate) struct Course {
    pub(crate) rules: Rules,
    /// The second is asked after the first has ended, for they are of one client; the third at any time.
    pub(crate) writes: usize,
}

impl Course {
    /// All states that follow this one.
    pub(crate) fn nexts(&self, state: &State, next: &mut Vec<State>) {
        self.decide(state, next);
        for node in 0..NODES {
            self.adopt(state, node, next);
            self.sync(state, node, next);
            self.crash(state, node, next);
            self.delete(state, node, next);
            for other in (0..NODES).filter(|&other| other != node) {
                self.pull(state, node, other, next);
                self.hear(state, node, other, next);
            }
        }
        for write in 0..self.writes {
            self.ask(state, write, next);
            for node in 0..NODES {
                self.deliver(state, write, node, next);
            }
        }
        for member in 0..C {
            self.tell(state, member, next);
        }
        self.claim(state, next);
    }

    /// The next version of the map: by whomever, of the newest there is.
    fn decide(&self, state: &State, next: &mut Vec<State>) {
        let decided = state.decided;
        let works = |node: &usize| state.nodes[*node].stand.number() >= decided.number();
        let mut members = (0..NODES).filter(|&node| decided.has(node));
        let adopted = members.all(|node| works(&node)) || self.rules.breaks(Broken::NoBarrier);
        let straight = self.rules.breaks(Broken::NoJointNew);
        let to: &[Stand] = match decided {
            Stand::Old => &[Stand::JointOld],
            Stand::JointOld if !adopted => &[],
            Stand::JointOld if !state.filling.claims => &[Stand::Back],
            Stand::JointOld if straight => &[Stand::New],
            Stand::JointOld => &[Stand::JointNew, Stand::Back],
            Stand::JointNew if adopted => &[Stand::New],
            Stand::JointNew | Stand::New | Stand::Back => &[],
        };
        next.extend(to.iter().map(|&decided| State { decided, ..*state }));
    }

    /// A node takes up the next version, which is on its disk before it works under it.
    fn adopt(&self, state: &State, node: usize, next: &mut Vec<State>) {
        let stand = state.nodes[node].stand;
        if stand.number() < state.decided.number() {
            let mut after = *state;
            self.work_under(&mut after, node, stand.towards(state.decided));
            next.push(after);
        }
    }

    fn work_under(&self, state: &mut State, node: usize, stand: Stand) {
        let place = &mut state.nodes[node];
        place.stand = stand;
        if place.waits != 0 && !self.rules.breaks(Broken::EarlierEpochHeard) {
            place.waits = all_but(node);
        }
        if self.rules.breaks(Broken::DepartingUnheard) {
            place.waits &= stand.members();
        }
        if !stand.has(node) {
            place.waits = 0; // it serves nothing any more
        }
        for number in 0..self.writes {
            let write = state.writes[number];
            if write.status == Status::Open && write.at == 1 << node {
                if stand.has(node) {
                    state.ship(number, node);
                } else {
                    state.end(number, Status::InDoubt);
                }
            }
        }
    }

    fn ask(&self, state: &State, number: usize, next: &mut Vec<State>) {
        let before =
            number == 1 && matches!(state.writes[0].status, Status::Unasked | Status::Open);
        if before || state.writes[number].status != Status::Unasked {
            return;
        }
        for node in 0..NODES {
            if state.nodes[node].stand.has(node) {
                let mut after = *state;
                after.writes[number].status = Status::Open;
                after.writes[number].at = 1 << node;
                self.store(&mut after, node, 1 << number, true);
                after.ship(number, node);
                next.push(after);
            }
        }
    }

    /// A copy of a write arrives.
    fn deliver(&self, state: &State, number: usize, node: usize, next: &mut Vec<State>) {
        let write = state.writes[number];
        if write.flying & 1 << node == 0 {
            return;
        }
        let mut after = *state;
        after.writes[number].flying &= !(1 << node);
        let stand = after.nodes[node].stand;
        let fenced = !self.rules.breaks(Broken::NoFence);
        if fenced && stand.number() < write.epoch.number() {
            return; // it takes the version up first
        }
        if fenced && stand.number() > write.epoch.number() {
            // Refused: the coordinator takes up the newer one and ships the same dot again.
            if let Some(coordinator) = (0..NODES).find(|&node| write.at == 1 << node) {
                self.work_under(&mut after, coordinator, stand);
            }
            return next.push(after);
        }
        if !stand.has(node) {
            return next.push(after);
        }
        self.store(&mut after, node, 1 << number, true);
        after.writes[number].acks |= 1 << node;
        if self.suffices(write.epoch, write.acks | 1 << node) {
            after.end(number, Status::Acknowledged);
        }
        next.push(after);
    }

    fn suffices(&self, epoch: Stand, acks: Nodes) -> bool {
        let two = |set: Nodes| (acks & set).count_ones() >= 2;
        if self.rules.breaks(Broken::QuorumOfTheUnion) {
            return two(epoch.members());
        }
        epoch.written().iter().all(|&set| two(set))
    }

    /// Where only one node may lose anything the others fsync at once. Where all may, writes are acknowledged when they
    /// are fsynced, and nothing else is.
    fn store(&self, state: &mut State, node: usize, dots: Dots, acknowledges: bool) {
        state.nodes[node].has |= dots;
        let at_once = !self.rules.may_lose(node);
        if at_once || (acknowledges && self.rules.loser.is_none()) {
            state.nodes[node].durable |= dots;
        }
    }

    /// Anti-entropy: a member gets all that another copy has fsynced.
    fn pull(&self, state: &State, node: usize, other: usize, next: &mut Vec<State>) {
        let news = state.nodes[other].durable & !state.nodes[node].has;
        if news != 0 && state.nodes[node].stand.has(node) {
            let mut after = *state;
            self.store(&mut after, node, news, false);
            next.push(after);
        }
    }

    fn sync(&self, state: &State, node: usize, next: &mut Vec<State>) {
        let place = &state.nodes[node];
        if self.rules.may_lose(node) && place.durable != place.has {
            let mut after = *state;
            after.nodes[node].durable = place.has;
            next.push(after);
        }
    }

    /// A power cut.
    fn crash(&self, state: &State, node: usize, next: &mut Vec<State>) {
        if state.crashes == 0 {
            return;
        }
        let mut after = *state;
        after.crashes -= 1;
        let place = &mut after.nodes[node];
        if self.rules.may_lose(node) {
            place.has = place.durable;
        }
        if place.stand.has(node) {
            place.waits = all_but(node);
        }
        for number in 0..self.writes {
            let write = after.writes[number];
            if write.status == Status::Open && write.at == 1 << node {
                after.end(number, Status::InDoubt);
            }
        }
        if node == C {
            after.filling = Filling {
                claims: after.filling.claims,
                ..Filling::default()
            };
        }
        next.push(after);
    }

    /// Who started again hears what another one has, also one whose copy has no place any more, and has all of that by then.
    fn hear(&self, state: &State, node: usize, other: usize, next: &mut Vec<State>) {
        let (here, there) = (&state.nodes[node], &state.nodes[other]);
        let waits = here.waits & 1 << other != 0;
        let fenced = there.stand.number() >= here.stand.number()
            || self.rules.breaks(Broken::EarlierEpochHeard);
        if waits && fenced && there.has & !here.has == 0 {
            let mut after = *state;
            after.nodes[node].waits &= !(1 << other);
            next.push(after);
        }
    }

    /// An old member's clock goes to the newcomer, which asked for it. When it arrives makes no difference: what counts is
    /// when it was told, and that the newcomer has not started again since it asked.
    fn tell(&self, state: &State, member: usize, next: &mut Vec<State>) {
        let filling = &state.filling;
        let joint = |node: usize| state.nodes[node].stand == Stand::JointOld;
        let fenced = joint(member) || self.rules.breaks(Broken::AskedBeforeTheFence);
        if joint(C) && fenced && filling.heard & 1 << member == 0 && !filling.claims {
            let mut after = *state;
            after.filling.heard |= 1 << member;
            after.filling.needs |= state.nodes[member].has;
            next.push(after);
        }
    }

    /// The newcomer has, fsynced, all that the old members have said to have.
    fn claim(&self, state: &State, next: &mut Vec<State>) {
        let (filling, newcomer) = (&state.filling, &state.nodes[C]);
        let all = if self.rules.breaks(Broken::CompleteByTwo) {
            filling.heard.count_ones() >= 2
        } else {
            filling.heard == OLD
        };
        let joint = newcomer.stand == Stand::JointOld;
        if joint && all && filling.needs & !newcomer.durable == 0 && !filling.claims {
            let mut after = *state;
            after.filling = Filling {
                claims: true,
                ..Filling::default()
            };
            next.push(after);
        }
    }

    /// A copy without a place goes when all members have durably what it has.
    fn delete(&self, state: &State, node: usize, next: &mut Vec<State>) {
        let place = &state.nodes[node];
        let had_one = node == A || place.stand != Stand::Old;
        if place.deleted || place.stand.has(node) || !had_one {
            return;
        }
        let covered = |member: usize| {
            let member = &state.nodes[member];
            member.stand == place.stand && place.has & !member.durable == 0
        };
        let mut members = (0..NODES).filter(|&member| place.stand.has(member));
        if members.all(covered) || self.rules.breaks(Broken::DeletedUncovered) {
            let mut after = *state;
            let place = &mut after.nodes[node];
            (place.has, place.durable, place.deleted) = (0, 0, true);
            next.push(after);
        }
    }
}

const fn all_but(node: usize) -> Nodes {
    ((1 << NODES) - 1) & !(1 << node)
}

impl State {
    /// A write's client has its answer, or never gets one. Copies that are still under way add nothing that anti-entropy
    /// could not bring. Nobody asks for a write in doubt: it is as if it had never been.
    fn end(&mut self, number: usize, status: Status) {
        self.writes[number] = Write {
            status,
            ..Write::default()
        };
        if status == Status::InDoubt {
            let others = !(1 << number);
            for node in &mut self.nodes {
                node.has &= others;
                node.durable &= others;
            }
            self.filling.needs &= others;
        }
    }

    /// A coordinator sends copies to all that have a place by the version under which it works.
    fn ship(&mut self, number: usize, at: usize) {
        let epoch = self.nodes[at].stand;
        let write = &mut self.writes[number];
        write.epoch = epoch;
        write.acks = 1 << at;
        write.flying = epoch.members() & !(1 << at);
    }
}
