//! What may be lost, and which rule is left out.

/// A rule of ring changes, left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// From joint-old straight to the new set.
    NoJointNew,
    /// A version follows before everybody works under the last one.
    NoBarrier,
    /// A replica takes writes and answers reads of any epoch.
    NoFence,
    /// A write needs two nodes of both sets together.
    QuorumOfTheUnion,
    /// A read takes its answers from both sets together.
    ReadOfTheUnion,
    /// A newcomer is complete by the clocks of two old members.
    CompleteByTwo,
    /// A newcomer counts clocks that were told before the joint epoch.
    AskedBeforeTheFence,
    /// Who started again serves at once.
    ServesWhileBehind,
    /// Who started again does not wait for copies without a place.
    DepartingUnheard,
    /// Who started again counts what others say under an earlier version, or said before there was a later one.
    EarlierEpochHeard,
    /// A copy without a place is deleted unasked.
    DeletedUncovered,
}

impl Broken {
    /// Rules without which something is wrong. Those of one set keep the same, each of them without the other.
    pub(crate) const SETS: [&'static [Self]; 10] = [
        &[Self::NoJointNew],
        &[Self::NoBarrier],
        &[Self::NoFence],
        &[Self::QuorumOfTheUnion],
        &[Self::ReadOfTheUnion],
        &[Self::CompleteByTwo],
        &[Self::AskedBeforeTheFence],
        &[Self::ServesWhileBehind],
        &[Self::DepartingUnheard, Self::EarlierEpochHeard],
        &[Self::DeletedUncovered],
    ];
}

/// By what a search goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The only node that may lose what it had not fsynced; without one all may, and acknowledgements are of what is fsynced.
    pub(crate) loser: Option<usize>,
    pub(crate) broken: &'static [Broken],
}

impl Rules {
    pub(crate) const fn losing(node: usize) -> Self {
        Self {
            loser: Some(node),
            broken: &[],
        }
    }

    pub(crate) const fn all_losing() -> Self {
        Self {
            loser: None,
            broken: &[],
        }
    }

    pub(crate) fn breaks(self, broken: Broken) -> bool {
        self.broken.contains(&broken)
    }

    pub(crate) fn may_lose(self, node: usize) -> bool {
        self.loser.is_none_or(|loser| loser == node)
    }
}
