//! What can happen next, and what must never be.

use quorate_protocol::versioned::ClassState;
use quorate_ring::NodeId;

use super::state::{CLIENTS, NODES, Nodes, Op, State, WRITES, Writes, Wrong, nodes};
use super::versions::{Known, Versions};

pub(super) struct Model {
    pub(super) versions: Versions,
    pub(super) ids: [NodeId; NODES],
    pub(super) wrong: Option<Wrong>,
}

/// Why a state must not be.
pub(super) fn broken(model: &Model, state: &State) -> Option<String> {
    let acknowledged = state.acknowledged();
    let copies = state.nodes.iter().filter(|node| node.has);
    let anywhere = copies.fold(0, |all, node| all | node.here);
    if acknowledged & !anywhere != 0 {
        return Some("an acknowledged write is on no copy".to_owned());
    }
    // Whoever coordinates may be behind by any number of versions.
    for version in model.versions.up_to(state.decided) {
        let asked = if model.breaks(Wrong::UnionRead) {
            version.places()
        } else {
            version.read()
        };
        let answers = |node: &usize| model.answers(state, version, *node);
        let ready: Vec<usize> = nodes(asked).filter(answers).collect();
        for (at, &one) in ready.iter().enumerate() {
            for &other in &ready[at + 1..] {
                let seen = state.nodes[one].here | state.nodes[other].here;
                if acknowledged & !seen != 0 {
                    return Some(format!("nodes {one} and {other} give a stale answer"));
                }
            }
        }
    }
    None
}

impl Model {
    fn breaks(&self, wrong: Wrong) -> bool {
        self.wrong == Some(wrong)
    }

    /// Whether a node answers a read of this version's epoch.
    fn answers(&self, state: &State, asked: &Known, node: usize) -> bool {
        let knows = self.versions.get(state.nodes[node].knows);
        let fenced = knows.epoch != asked.epoch;
        let open = self.breaks(Wrong::ReadUnfenced) && knows.epoch > asked.epoch;
        let joins = knows.state == ClassState::JointOld && has(knows.newcomers(), node);
        let union = self.breaks(Wrong::UnionRead);
        state.nodes[node].has && state.nodes[node].sound && (!joins || union) && (!fenced || open)
    }

    /// Every state that can follow.
    pub(super) fn steps(&mut self, state: &State) -> Vec<State> {
        let mut next = Vec::new();
        let decided = self.versions.next(state, &self.ids);
        next.extend(decided.map(|decided| State { decided, ..*state }));
        if state.cancels > 0
            && let Some(decided) = self.versions.cancel(state, &self.ids)
        {
            let cancels = state.cancels - 1;
            next.push(State {
                decided,
                cancels,
                ..*state
            });
        }
        for node in 0..NODES {
            self.adopt(state, node, &mut next);
            self.hear(state, node, &mut next);
            self.end_waiting(state, node, &mut next);
            self.delete(state, node, &mut next);
            self.crash(state, node, &mut next);
        }
        for write in 0..WRITES {
            self.write(state, write, &mut next);
        }
        next
    }

    /// A node takes up the newest version. What it coordinates goes on under it, if it still has a place.
    fn adopt(&self, state: &State, node: usize, next: &mut Vec<State>) {
        if state.nodes[node].knows == state.decided {
            return;
        }
        let mut state = *state;
        let newest = self.versions.get(state.decided);
        let before = self.versions.get(state.nodes[node].knows).epoch;
        let it = &mut state.nodes[node];
        it.knows = state.decided;
        if newest.epoch != before {
            let early = self.breaks(Wrong::EarlyClocks) && newest.state == ClassState::JointOld;
            if !early {
                (it.told, it.must) = (0, 0);
            }
            it.claims = false;
            if has(newest.places(), node) && !it.has {
                it.has = true;
                (it.here, it.firm) = (0, 0);
                it.sound = false;
            }
            for op in &mut state.writes {
                if let Op::UnderWay { at, .. } = *op
                    && usize::from(at) == node
                {
                    *op = self.shipped(&state.nodes, state.decided, node);
                }
            }
        }
        next.push(state);
    }

    /// A write as its coordinator begins to ship it under a version.
    fn shipped(&self, _nodes: &[super::state::Node; NODES], version: u8, at: usize) -> Op {
        if !has(self.versions.get(version).places(), at) {
            return Op::GivenUp; // its dot leaves with the old copy
        }
        Op::UnderWay {
            at: u8::try_from(at).unwrap(),
            version,
            acks: 1 << at,
        }
    }

    fn write(&self, state: &State, write: usize, next: &mut Vec<State>) {
        match state.writes[write] {
            Op::NotBegun => self.begin(state, write, next),
            Op::UnderWay { version, acks, .. } => {
                self.deliver(state, write, (version, acks), next);
            }
            Op::Acknowledged | Op::GivenUp => {}
        }
    }

    /// A client's write comes to any node with a place. Writes are alike: they begin in one order.
    fn begin(&self, state: &State, write: usize, next: &mut Vec<State>) {
        let running = |op: &&Op| matches!(op, Op::UnderWay { .. });
        let under_way = state.writes.iter().filter(running).count();
        let in_turn = state.writes[..write].iter().all(|op| *op != Op::NotBegun);
        if under_way >= CLIENTS || !in_turn {
            return;
        }
        for node in 0..NODES {
            let knows = state.nodes[node].knows;
            if !has(self.versions.get(knows).places(), node) || !state.nodes[node].has {
                continue;
            }
            let mut state = *state;
            state.nodes[node].here |= 1 << write;
            state.writes[write] = self.shipped(&state.nodes, knows, node);
            next.push(state);
        }
    }

    /// It arrives at one more node of its epoch, or is acknowledged.
    fn deliver(
        &self,
        state: &State,
        write: usize,
        (version, acks): (u8, Nodes),
        next: &mut Vec<State>,
    ) {
        let shipped = self.versions.get(version);
        let Op::UnderWay { at, .. } = state.writes[write] else {
            return;
        };
        for node in nodes(shipped.places() & !acks) {
            let knows = self.versions.get(state.nodes[node].knows);
            let same = knows.epoch == shipped.epoch;
            let open = self.breaks(Wrong::WriteUnfenced) && knows.epoch > shipped.epoch;
            if !(same || open) || !state.nodes[node].has {
                continue;
            }
            let mut state = *state;
            state.nodes[node].here |= 1 << write;
            let acks = acks | 1 << node;
            state.writes[write] = if self.is_enough(shipped, acks) {
                Op::Acknowledged
            } else {
                Op::UnderWay { at, version, acks }
            };
            next.push(state);
        }
    }

    fn is_enough(&self, version: &Known, acks: Nodes) -> bool {
        let two = |set: Nodes| (acks & set).count_ones() >= 2;
        match version.state {
            ClassState::Stable => two(version.old),
            ClassState::JointOld | ClassState::JointNew if self.breaks(Wrong::OneQuorum) => {
                two(version.places())
            }
            ClassState::JointOld | ClassState::JointNew => two(version.old) && two(version.new),
        }
    }

    /// Somebody tells a node what it has, to a newcomer or to one that was away; or that it covers a copy on its way out.
    fn hear(&self, state: &State, node: usize, next: &mut Vec<State>) {
        let it = &state.nodes[node];
        let knows = self.versions.get(it.knows);
        let departs = it.has && !has(knows.places(), node);
        let joins = self.joins(state, node);
        let waits = it.has && !departs && (!it.sound || joins && !it.claims);
        let early = self.breaks(Wrong::EarlyClocks) && node == NODES - 1;
        if !departs && !waits && !early {
            return;
        }
        for other in nodes(self.asked(knows, node) & !it.told) {
            let teller = &state.nodes[other];
            let tells = self.versions.get(teller.knows);
            let of_now = tells.epoch == knows.epoch;
            if !of_now && !early || !teller.has || joins && !teller.sound {
                continue;
            }
            let mut state = *state;
            if departs {
                // All that the copy has it hands over first.
                state.nodes[other].here |= it.here;
                state.nodes[other].firm |= state.nodes[other].here;
            } else {
                state.nodes[node].must |= teller.here;
            }
            state.nodes[node].told |= 1 << other;
            next.push(state);
        }
    }

    fn joins(&self, state: &State, node: usize) -> bool {
        let knows = self.versions.get(state.nodes[node].knows);
        knows.state == ClassState::JointOld && has(knows.newcomers(), node)
    }

    /// Whom a node has to hear.
    fn asked(&self, knows: &Known, node: usize) -> Nodes {
        let joins = knows.state == ClassState::JointOld && has(knows.newcomers(), node);
        let all = if joins || self.breaks(Wrong::EarlyClocks) && node == NODES - 1 {
            knows.old
        } else {
            knows.places()
        };
        all & !(1 << node)
    }

    /// It has heard all and takes what it lacks: a newcomer is complete, one that was away answers again.
    fn end_waiting(&self, state: &State, node: usize, next: &mut Vec<State>) {
        let it = &state.nodes[node];
        let knows = self.versions.get(it.knows);
        let joins = self.joins(state, node);
        let place = it.has && has(knows.places(), node);
        if !place || it.sound && (!joins || it.claims) {
            return;
        }
        let asked = self.asked(knows, node);
        let all = asked & !it.told == 0;
        let two = self.breaks(Wrong::TwoClocks) && joins && it.told.count_ones() >= 2;
        if !all && !two {
            return;
        }
        let copies = state.nodes.iter().filter(|node| node.has);
        let anywhere: Writes = copies.fold(0, |all, node| all | node.here);
        if it.must & !anywhere != 0 {
            return; // nobody has any more what was said to be there
        }
        let mut state = *state;
        let it = &mut state.nodes[node];
        it.here |= it.must;
        it.sound = true;
        if joins {
            it.claims = true;
            it.firm |= it.here;
        }
        (it.told, it.must) = (0, 0);
        next.push(state);
    }

    /// A copy without a place goes when all members cover it.
    fn delete(&self, state: &State, node: usize, next: &mut Vec<State>) {
        let it = &state.nodes[node];
        let places = self.versions.get(it.knows).places();
        if !it.has || has(places, node) {
            return;
        }
        if places & !it.told != 0 {
            return;
        }
        let mut state = *state;
        let it = &mut state.nodes[node];
        (it.has, it.here, it.firm, it.told, it.sound) = (false, 0, 0, 0, false);
        next.push(state);
    }

    /// A process ends, or the power does: then any of what is not on disk is gone. It starts again at once; one that
    /// stays away sends nothing.
    fn crash(&self, state: &State, node: usize, next: &mut Vec<State>) {
        if state.kills > 0 {
            let mut killed = *state;
            killed.kills -= 1;
            self.restart(&mut killed, node);
            next.push(killed);
        }
        if state.power_cuts == 0 {
            return;
        }
        let it = &state.nodes[node];
        let loose = it.here & !it.firm;
        for lost in (1..1 << WRITES).filter(|lost| lost & !loose == 0) {
            let mut cut = *state;
            cut.power_cuts -= 1;
            cut.nodes[node].here &= !lost;
            self.restart(&mut cut, node);
            if self.breaks(Wrong::AdoptedUnsynced)
                && let Some(parent) = self.versions.get(it.knows).parent
            {
                let mut back = cut;
                back.nodes[node].knows = parent;
                back.nodes[node].sound = true;
                next.push(back);
            }
            next.push(cut);
        }
    }

    fn restart(&self, state: &mut State, node: usize) {
        let it = &mut state.nodes[node];
        it.sound = it.sound && self.breaks(Wrong::NotCaughtUp);
        if !self.breaks(Wrong::ClocksOfAnEarlierLife) {
            (it.told, it.must) = (0, 0);
        }
        for op in &mut state.writes {
            if matches!(*op, Op::UnderWay { at, .. } if usize::from(at) == node) {
                *op = Op::GivenUp;
            }
        }
    }
}

const fn has(set: Nodes, node: usize) -> bool {
    set & (1 << node) != 0
}
