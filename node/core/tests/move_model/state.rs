//! What there is at one moment.

/// Nodes by their places; A leaves and C comes.
pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;
pub(crate) const P: usize = 2;
pub(crate) const C: usize = 3;
pub(crate) const NODES: usize = 4;

/// Sets of nodes, one bit each.
pub(crate) type Nodes = u8;
/// Sets of writes, one bit each.
pub(crate) type Dots = u8;

pub(crate) const OLD: Nodes = 1 << A | 1 << B | 1 << P;
pub(crate) const NEW: Nodes = 1 << C | 1 << B | 1 << P;

/// Where the class stands by a version of the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stand {
    #[default]
    Old,
    JointOld,
    JointNew,
    New,
    /// The move was given up.
    Back,
}

impl Stand {
    /// The number of the version, which is the epoch.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Old => 0,
            Self::JointOld => 1,
            Self::JointNew | Self::Back => 2,
            Self::New => 3,
        }
    }

    /// The sets in each of which a write needs two.
    pub(crate) const fn written(self) -> &'static [Nodes] {
        match self {
            Self::Old | Self::Back => &[OLD],
            Self::JointOld | Self::JointNew => &[OLD, NEW],
            Self::New => &[NEW],
        }
    }

    pub(crate) fn members(self) -> Nodes {
        self.written().iter().fold(0, |all, set| all | set)
    }

    pub(crate) const fn read(self) -> Nodes {
        match self {
            Self::Old | Self::JointOld | Self::Back => OLD,
            Self::JointNew | Self::New => NEW,
        }
    }

    pub(crate) fn has(self, node: usize) -> bool {
        self.members() & 1 << node != 0
    }

    /// The version after this one on the way to where the map is.
    pub(crate) const fn towards(self, decided: Self) -> Self {
        match (self, decided) {
            (Self::Old, _) => Self::JointOld,
            (Self::JointOld, Self::Back) => Self::Back,
            (Self::JointOld, _) => Self::JointNew,
            (_, _) => Self::New,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) stand: Stand,
    pub(crate) has: Dots,
    pub(crate) durable: Dots,
    /// Whom it has not heard since it started again: until then it serves no read.
    pub(crate) waits: Nodes,
    /// Its copy had no place and is deleted.
    pub(crate) deleted: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Status {
    #[default]
    Unasked,
    Open,
    Acknowledged,
    /// Its coordinator is no more.
    InDoubt,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Write {
    pub(crate) status: Status,
    /// Its coordinator, as the one node of a set.
    pub(crate) at: Nodes,
    pub(crate) epoch: Stand,
    /// Who has acknowledged under this epoch.
    pub(crate) acks: Nodes,
    /// To whom a copy is under way.
    pub(crate) flying: Nodes,
}

/// What the newcomer knows of the old members' clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Filling {
    /// Whose clocks it has heard, and all that is in them.
    pub(crate) heard: Nodes,
    pub(crate) needs: Dots,
    /// It has said that it is complete.
    pub(crate) claims: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct State {
    pub(crate) decided: Stand,
    pub(crate) nodes: [Node; NODES],
    pub(crate) filling: Filling,
    pub(crate) writes: [Write; 3],
    pub(crate) crashes: u8,
}

impl State {
    /// What clients were told to be written.
    pub(crate) fn acknowledged(&self) -> Dots {
        let writes = self.writes.iter().enumerate();
        let done = writes.filter(|(_, write)| write.status == Status::Acknowledged);
        done.fold(0, |dots, (number, _)| dots | 1 << number)
    }

    /// Of this state and the one in which B and P have changed places the same one, whichever of them it is.
    pub(crate) fn one_of_two(self) -> Self {
        let mut other = self;
        other.nodes.swap(B, P);
        for node in &mut other.nodes {
            node.waits = swapped(node.waits);
        }
        other.filling.heard = swapped(other.filling.heard);
        for write in &mut other.writes {
            write.acks = swapped(write.acks);
            write.flying = swapped(write.flying);
            write.at = swapped(write.at);
        }
        self.min(other)
    }
}

const fn swapped(nodes: Nodes) -> Nodes {
    let both = 1 << B | 1 << P;
    if (nodes >> B & 1) == (nodes >> P & 1) {
        nodes
    } else {
        nodes ^ both
    }
}
