//! Counting the answers of a read.
//!
//! What counts, and why:
//!
//! * a primary's answer, found or not, if its replica is current;
//! * a primary that is catching up never counts: its absence is no absence. What it does hold is
//!   merged all the same;
//! * a node that works under another epoch of the class says what it has once the two agree, as one that is
//!   still to answer;
//! * a fallback that holds the key counts for the primary it stands in for, once no primary is outstanding
//!   and beside a current one: it knows what was written while it stood in, and nothing older;
//! * a fallback that holds nothing knows nothing. It counts only where `notfound_ok` says so, only
//!   for a primary that cannot be reached, only beside a node that does know, and only once no
//!   primary is outstanding: otherwise one slow primary and two ignorant fallbacks would hide an
//!   acknowledged write.

use std::collections::BTreeMap;

use quorate_protocol::client::Role;
use quorate_protocol::options::ReadQuorum;
use quorate_ring::NodeId;

/// What one node said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Asked, no answer yet.
    Outstanding,
    /// A primary's replica is current; whether it holds a value.
    Current {
        /// At least one version.
        found: bool,
    },
    /// A primary is catching up.
    CatchingUp,
    /// A node works under another epoch of the class. It is there, and no fallback counts in its place: the two sides of a
    /// change would each find a quorum of their own, one of them with what the other has written since.
    Fenced,
    /// A fallback holds something of the key; whether that is a value.
    Holds {
        /// At least one version.
        found: bool,
    },
    /// A fallback holds nothing of the key.
    Empty,
    /// An error, or the node cannot be reached.
    Failed,
}

/// What is known of a read so far.
#[derive(Clone, Debug)]
pub struct ReadTally {
    need: ReadQuorum,
    answers: BTreeMap<NodeId, (Role, Answer)>,
}

/// What the tally says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadVerdict {
    /// More answers may come.
    Pending,
    /// Enough counted answers.
    Met,
    /// No primary can be reached; what fallbacks hold is all there is.
    FallbacksOnly,
    /// Would be met if replicas that are catching up were current: worth asking again.
    Waiting,
    /// Everybody answered or failed, and it is not enough.
    OutOfReach,
}

impl ReadTally {
    /// Nothing came yet.
    #[must_use]
    pub const fn new(need: ReadQuorum) -> Self {
        Self {
            need,
            answers: BTreeMap::new(),
        }
    }

    /// What is needed.
    #[must_use]
    pub const fn need(&self) -> &ReadQuorum {
        &self.need
    }

    /// Notes a node's answer, replacing what it said before.
    pub fn note(&mut self, node: NodeId, role: Role, answer: Answer) {
        self.answers.insert(node, (role, answer));
    }

    /// A node's last answer.
    #[must_use]
    pub fn answer_of(&self, node: NodeId) -> Option<Answer> {
        self.answers.get(&node).map(|(_, answer)| *answer)
    }

    /// Nodes of which an answer is outstanding.
    pub fn outstanding(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.answers
            .iter()
            .filter(|(_, (_, answer))| *answer == Answer::Outstanding)
            .map(|(&node, _)| node)
    }

    fn number(&self, wanted: impl Fn(Role, Answer) -> bool) -> usize {
        self.answers
            .values()
            .filter(|&&(role, answer)| wanted(role, answer))
            .count()
    }

    /// Primaries whose answer counts.
    #[must_use]
    pub fn primaries(&self) -> usize {
        self.number(|_, answer| matches!(answer, Answer::Current { .. }))
    }

    /// Replicas that answered while catching up, or under another epoch.
    #[must_use]
    pub fn catching_up(&self) -> usize {
        self.number(|_, answer| matches!(answer, Answer::CatchingUp | Answer::Fenced))
    }

    /// Fallbacks that hold something.
    #[must_use]
    pub fn holding(&self) -> usize {
        self.number(|_, answer| matches!(answer, Answer::Holds { .. }))
    }

    fn unreachable_primaries(&self) -> usize {
        self.number(|role, answer| role == Role::Primary && answer == Answer::Failed)
    }

    fn primaries_outstanding(&self) -> bool {
        self.number(|role, answer| role == Role::Primary && answer == Answer::Outstanding) > 0
    }

    /// Whether every primary that is there has said what it has: one that has not may know more than all fallbacks.
    fn have_primaries_spoken(&self) -> bool {
        let to_come = |answer| matches!(answer, Answer::Outstanding | Answer::Fenced);
        self.number(|role, answer| role == Role::Primary && to_come(answer)) == 0
    }

    /// Empty fallbacks that may stand in for an unreachable primary.
    fn stand_ins(&self) -> usize {
        let known = self.primaries() + self.holding();
        if !self.need.notfound_ok || known == 0 {
            return 0;
        }
        let places = self.unreachable_primaries().saturating_sub(self.holding());
        self.number(|_, answer| answer == Answer::Empty).min(places)
    }

    /// Fallbacks that count once all primaries have spoken.
    fn fallbacks(&self) -> usize {
        self.holding() + self.stand_ins()
    }

    /// Answers that count towards r.
    #[must_use]
    pub fn counted(&self) -> usize {
        if self.have_primaries_spoken() {
            self.primaries() + self.fallbacks()
        } else {
            self.primaries()
        }
    }

    /// Whether a node's answer counts, for a report.
    #[must_use]
    pub fn counts(&self, node: NodeId) -> bool {
        match self.answer_of(node) {
            Some(Answer::Current { .. }) => true,
            Some(Answer::Holds { .. }) => self.have_primaries_spoken(),
            Some(Answer::Empty) => self.have_primaries_spoken() && self.stand_ins() > 0,
            Some(Answer::Outstanding | Answer::CatchingUp | Answer::Fenced | Answer::Failed)
            | None => false,
        }
    }

    fn anything_outstanding(&self) -> bool {
        self.outstanding().next().is_some()
    }

    fn nothing_found(&self) -> bool {
        self.number(|_, answer| {
            matches!(
                answer,
                Answer::Current { found: true }
                    | Answer::Holds { found: true }
                    | Answer::CatchingUp
                    | Answer::Fenced
            )
        }) == 0
    }

    /// `basic_quorum`: more than half of the primaries say that there is nothing.
    fn basic_not_found(&self) -> bool {
        let nothing = self.number(|_, answer| answer == Answer::Current { found: false });
        self.need.basic_quorum && self.nothing_found() && nothing > usize::from(self.need.n) / 2
    }

    fn enough(&self, counted: usize, primaries: usize) -> bool {
        counted >= usize::from(self.need.r) && primaries >= usize::from(self.need.pr)
    }

    /// What all this means.
    #[must_use]
    pub fn verdict(&self) -> ReadVerdict {
        let waiting = self.catching_up();
        if self.primaries() == 0 && waiting == 0 && !self.primaries_outstanding() {
            return self.without_primaries();
        }
        let known = self.primaries() > 0;
        if (known && self.enough(self.counted(), self.primaries())) || self.basic_not_found() {
            ReadVerdict::Met
        } else if self.anything_outstanding() {
            ReadVerdict::Pending
        } else if self.enough(
            self.primaries() + self.fallbacks() + waiting,
            self.primaries() + waiting,
        ) {
            ReadVerdict::Waiting
        } else {
            ReadVerdict::OutOfReach
        }
    }

    fn without_primaries(&self) -> ReadVerdict {
        if self.anything_outstanding() {
            ReadVerdict::Pending
        } else if self.holding() > 0 && self.need.pr == 0 {
            ReadVerdict::FallbacksOnly
        } else {
            ReadVerdict::OutOfReach
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(r: u8, notfound_ok: bool, answers: &[(Role, Answer)]) -> ReadTally {
        let need = ReadQuorum {
            n: 3,
            r,
            pr: 0,
            notfound_ok,
            basic_quorum: false,
            sloppy: true,
            stale_ok: false,
        };
        let mut tally = ReadTally::new(need);
        for (index, (role, answer)) in answers.iter().enumerate() {
            tally.note(NodeId::new(index as u64 + 1), *role, *answer);
        }
        tally
    }

    const VALUE: (Role, Answer) = (Role::Primary, Answer::Current { found: true });
    const NOTHING: (Role, Answer) = (Role::Primary, Answer::Current { found: false });
    const DOWN: (Role, Answer) = (Role::Primary, Answer::Failed);
    const SLOW: (Role, Answer) = (Role::Primary, Answer::Outstanding);
    const BEHIND: (Role, Answer) = (Role::Primary, Answer::CatchingUp);
    const FENCED: (Role, Answer) = (Role::Primary, Answer::Fenced);
    const EMPTY: (Role, Answer) = (Role::Fallback, Answer::Empty);
    const HOLDS: (Role, Answer) = (Role::Fallback, Answer::Holds { found: true });

    #[test]
    fn an_empty_fallback_counts_only_with_notfound_ok() {
        assert_eq!(
            tally(3, true, &[VALUE, VALUE, DOWN, EMPTY]).verdict(),
            ReadVerdict::Met
        );
        let strict = tally(3, false, &[VALUE, VALUE, DOWN, EMPTY]);
        assert_eq!(
            (strict.verdict(), strict.counted()),
            (ReadVerdict::OutOfReach, 2)
        );
    }

    #[test]
    fn an_empty_fallback_never_overtakes_a_slow_primary() {
        assert_eq!(
            tally(2, true, &[DOWN, SLOW, NOTHING, EMPTY]).verdict(),
            ReadVerdict::Pending
        );
        assert_eq!(
            tally(2, true, &[DOWN, VALUE, NOTHING, EMPTY]).verdict(),
            ReadVerdict::Met
        );
    }

    #[test]
    fn a_replica_that_is_catching_up_never_counts() {
        assert_eq!(
            tally(2, true, &[BEHIND, BEHIND, DOWN, EMPTY]).verdict(),
            ReadVerdict::Waiting
        );
        assert_eq!(
            tally(1, true, &[BEHIND, BEHIND, VALUE]).verdict(),
            ReadVerdict::Met
        );
        assert_eq!(
            tally(1, true, &[BEHIND, BEHIND, DOWN, EMPTY]).verdict(),
            ReadVerdict::Waiting
        );
    }

    #[test]
    fn no_fallback_overtakes_a_primary_of_another_epoch() {
        for fallback in [HOLDS, EMPTY] {
            for r in [2, 3] {
                let fenced = tally(r, true, &[VALUE, DOWN, FENCED, fallback]);
                assert_eq!(fenced.verdict(), ReadVerdict::Waiting);
                assert_eq!(fenced.counted(), 1);
            }
            let met = tally(2, true, &[VALUE, DOWN, DOWN, fallback]);
            assert_eq!(met.verdict(), ReadVerdict::Met);
        }
        assert_eq!(
            tally(2, true, &[VALUE, VALUE, FENCED]).verdict(),
            ReadVerdict::Met
        );
    }

    #[test]
    fn fallbacks_that_hold_something_overtake_no_primary_and_answer_nothing_alone() {
        for (r, n) in [(1, 1), (2, 2)] {
            let holds = vec![HOLDS; n];
            let with = |primary: (Role, Answer)| {
                let answers = [&[primary, DOWN, DOWN][..], &holds[..]].concat();
                tally(r, true, &answers).verdict()
            };
            assert_eq!(with(SLOW), ReadVerdict::Pending);
            assert_eq!(with(BEHIND), ReadVerdict::Waiting);
            assert_eq!(with(VALUE), ReadVerdict::Met);
            assert_eq!(with(DOWN), ReadVerdict::FallbacksOnly);
        }
    }

    #[test]
    fn without_any_primary_only_what_fallbacks_hold_is_an_answer() {
        assert_eq!(
            tally(3, true, &[DOWN, DOWN, DOWN, EMPTY, EMPTY, EMPTY]).verdict(),
            ReadVerdict::OutOfReach
        );
        assert_eq!(
            tally(3, true, &[DOWN, DOWN, DOWN, HOLDS, EMPTY]).verdict(),
            ReadVerdict::FallbacksOnly
        );
    }

    #[test]
    fn basic_quorum_answers_not_found_early() {
        let mut early = tally(3, true, &[NOTHING, NOTHING, SLOW]);
        assert_eq!(early.verdict(), ReadVerdict::Pending);
        early.need.basic_quorum = true;
        assert_eq!(early.verdict(), ReadVerdict::Met);
        early.note(
            NodeId::new(2),
            Role::Primary,
            Answer::Current { found: true },
        );
        assert_eq!(early.verdict(), ReadVerdict::Pending);
    }

    #[test]
    fn a_fallback_counts_for_one_primary_only() {
        assert_eq!(
            tally(3, true, &[VALUE, BEHIND, DOWN, HOLDS, EMPTY]).counted(),
            2
        );
    }
}
