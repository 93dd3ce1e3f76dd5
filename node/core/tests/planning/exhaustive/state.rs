//! One moment of the model.

/// Three members and one newcomer.
pub(super) const NODES: usize = 4;
/// Writes at most, by two clients.
pub(super) const WRITES: usize = 3;
/// Under way at a time.
pub(super) const CLIENTS: usize = 2;

/// A set of nodes, a bit each.
pub(super) type Nodes = u8;
/// A set of writes, a bit each.
pub(super) type Writes = u8;

/// A rule that is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// Rule 1: the new set alone follows while the old one is read.
    NoJointNew,
    /// Rule 2: the next version does not wait for the last one.
    NoBarrier,
    /// Rule 2: a version is worked under before it is on disk.
    AdoptedUnsynced,
    /// Rule 3: whoever knows a later epoch answers reads of an earlier one.
    ReadUnfenced,
    /// Rule 3: the same for writes.
    WriteUnfenced,
    /// Rule 4: one quorum for both sets.
    OneQuorum,
    /// Rule 4: a read is answered from both sets.
    UnionRead,
    /// Rule 5: clocks of before the fence count.
    EarlyClocks,
    /// Rule 5: the clocks of two are enough.
    TwoClocks,
    /// Rule 5: what was said before a restart counts.
    ClocksOfAnEarlierLife,
    /// Rule 12: a member answers after a restart before it has heard the others.
    NotCaughtUp,
}

impl Wrong {
    pub(super) const ALL: [Self; 11] = [
        Self::NoJointNew,
        Self::NoBarrier,
        Self::AdoptedUnsynced,
        Self::ReadUnfenced,
        Self::WriteUnfenced,
        Self::OneQuorum,
        Self::UnionRead,
        Self::EarlyClocks,
        Self::TwoClocks,
        Self::ClocksOfAnEarlierLife,
        Self::NotCaughtUp,
    ];

    /// How many power cuts it takes to see the harm.
    pub(super) const fn power_cuts(self) -> u8 {
        match self {
            Self::NoJointNew
            | Self::NoBarrier
            | Self::ReadUnfenced
            | Self::OneQuorum
            | Self::UnionRead
            | Self::EarlyClocks => 0,
            Self::AdoptedUnsynced
            | Self::WriteUnfenced
            | Self::TwoClocks
            | Self::ClocksOfAnEarlierLife
            | Self::NotCaughtUp => 1,
        }
    }
}

/// What may happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) writes: usize,
    pub(super) kills: u8,
    pub(super) power_cuts: u8,
    pub(super) cancels: u8,
}

/// A node and its copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Node {
    /// The version that it works under.
    pub(super) knows: u8,
    /// Whether it has a copy, with a place or on its way out.
    pub(super) has: bool,
    /// What the copy has.
    pub(super) here: Writes,
    /// What of it no power cut takes.
    pub(super) firm: Writes,
    /// It answers reads: it has heard all others since its start, or was never away.
    pub(super) sound: bool,
    /// Who has told it what it had: to a newcomer in its epoch, to one that was away since its start, to a copy on
    /// its way out who covers it.
    pub(super) told: Nodes,
    /// What they had.
    pub(super) must: Writes,
    /// It has proven to be complete, in the epoch it works under.
    pub(super) claims: bool,
}

/// A write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Op {
    #[default]
    NotBegun,
    UnderWay {
        at: u8,
        /// The version by which its coordinator ships it.
        version: u8,
        acks: Nodes,
    },
    Acknowledged,
    /// Nobody will ever hear of its end.
    GivenUp,
}

/// All there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) decided: u8,
    pub(super) nodes: [Node; NODES],
    pub(super) writes: [Op; WRITES],
    pub(super) kills: u8,
    pub(super) power_cuts: u8,
    pub(super) cancels: u8,
}

impl State {
    /// The move has just begun, and nobody knows; the first three are members.
    pub(super) fn first(budget: Budget) -> Self {
        let member = Node {
            has: true,
            sound: true,
            ..Node::default()
        };
        Self {
            decided: 1,
            nodes: [member, member, member, Node::default()],
            writes: std::array::from_fn(|write| {
                if write < budget.writes {
                    Op::NotBegun
                } else {
                    Op::GivenUp
                }
            }),
            kills: budget.kills,
            power_cuts: budget.power_cuts,
            cancels: budget.cancels,
        }
    }

    /// The same with the two members that stay in each other's place.
    pub(super) fn mirrored(&self) -> Self {
        let mut other = *self;
        other.nodes.swap(1, 2);
        for node in &mut other.nodes {
            node.told = swapped(node.told);
        }
        for op in &mut other.writes {
            if let Op::UnderWay { at, acks, .. } = op {
                *acks = swapped(*acks);
                *at = match *at {
                    1 => 2,
                    2 => 1,
                    at => at,
                };
            }
        }
        other
    }

    /// All of it, to be hashed.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.decided, self.kills, self.power_cuts, self.cancels];
        for node in &self.nodes {
            let flags = u8::from(node.has) | u8::from(node.sound) << 1 | u8::from(node.claims) << 2;
            bytes.extend([
                node.knows, flags, node.here, node.firm, node.told, node.must,
            ]);
        }
        for op in &self.writes {
            bytes.extend(match *op {
                Op::NotBegun => [0, 0, 0, 0],
                Op::UnderWay { at, version, acks } => [1, at, version, acks],
                Op::Acknowledged => [2, 0, 0, 0],
                Op::GivenUp => [3, 0, 0, 0],
            });
        }
        bytes
    }

    pub(super) fn acknowledged(&self) -> Writes {
        let done = |(_, op): &(usize, &Op)| **op == Op::Acknowledged;
        let bits = self.writes.iter().enumerate().filter(done);
        bits.fold(0, |mask, (write, _)| mask | 1 << write)
    }
}

const fn swapped(set: Nodes) -> Nodes {
    set & 0b1001 | (set & 0b0010) << 1 | (set & 0b0100) >> 1
}

/// The nodes of a set.
pub(super) fn nodes(set: Nodes) -> impl Iterator<Item = usize> {
    (0..NODES).filter(move |node| set & (1 << node) != 0)
}
