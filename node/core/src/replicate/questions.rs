//! Questions for missing writes that have no answer yet: one for each vnode at most.

use std::collections::BTreeMap;

use quorate_ring::{Class, NodeId};

#[derive(Debug)]
struct Question {
    to: NodeId,
    number: u64,
    /// When it was sent, or when the peer answered another one that was sent before it.
    waited_from_us: u64,
}

/// All that are under way.
#[derive(Debug, Default)]
pub(super) struct Questions(BTreeMap<Class, Question>);

impl Questions {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn has(&self, class: Class) -> bool {
        self.0.contains_key(&class)
    }

    pub(super) fn add(&mut self, class: Class, to: NodeId, number: u64, now_us: u64) {
        let question = Question {
            to,
            number,
            waited_from_us: now_us,
        };
        self.0.insert(class, question);
    }

    /// What this peer was asked may be lost.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.0.retain(|_, question| question.to != node);
    }

    /// What was waited for so long is lost.
    pub(super) fn forget_late(&mut self, patience_us: u64, now_us: u64) {
        self.0
            .retain(|_, question| question.waited_from_us + patience_us > now_us);
    }

    /// Takes an answer; false if it is none to a question that is under way.
    ///
    /// Then the peer is working on what it was asked after that: slow is not lost. All answers together hold so much
    /// that a busy node takes them in more slowly than questions are repeated, and would be sent it all twice. What
    /// was asked before stays as old as it is.
    pub(super) fn answered(
        &mut self,
        class: Class,
        from: NodeId,
        number: u64,
        now_us: u64,
    ) -> bool {
        let is_answer = |question: &Question| (question.to, question.number) == (from, number);
        if !self.0.get(&class).is_some_and(is_answer) {
            return false;
        }
        self.0.remove(&class);
        let later = |question: &&mut Question| question.to == from && question.number > number;
        for question in self.0.values_mut().filter(later) {
            question.waited_from_us = now_us;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use quorate_ring::PartitionId;

    use super::*;

    const PEER: NodeId = NodeId::new(1);
    const OTHER: NodeId = NodeId::new(2);
    const PATIENCE_US: u64 = 10;

    fn class(number: u16) -> Class {
        Class {
            n: 3,
            partition: PartitionId::new(number),
        }
    }

    /// Questions 1 to 4 of as many classes, all sent at time 0; the last one to another peer.
    fn asked() -> Questions {
        let mut questions = Questions::default();
        for number in 1..=4 {
            let to = if number == 4 { OTHER } else { PEER };
            questions.add(class(number), to, number.into(), 0);
        }
        questions
    }

    fn under_way(questions: &Questions) -> Vec<u64> {
        let questions = questions.0.values();
        questions.map(|question| question.number).collect()
    }

    #[test]
    fn an_answer_gives_the_peer_time_for_what_it_was_asked_after_that() {
        let mut questions = asked();
        assert!(questions.answered(class(1), PEER, 1, 7));
        questions.forget_late(PATIENCE_US, 10);
        assert_eq!(under_way(&questions), [2, 3]);
        questions.forget_late(PATIENCE_US, 17);
        assert_eq!(questions.len(), 0);
    }

    #[test]
    fn what_the_peer_was_asked_before_is_lost_in_its_own_time() {
        let mut questions = asked();
        assert!(questions.answered(class(3), PEER, 3, 7));
        assert_eq!(under_way(&questions), [1, 2, 4]);
        questions.forget_late(PATIENCE_US, 10);
        assert_eq!(questions.len(), 0);
    }

    #[test]
    fn another_number_peer_or_class_is_no_answer() {
        let mut questions = asked();
        assert!(!questions.answered(class(1), PEER, 2, 7));
        assert!(!questions.answered(class(1), OTHER, 1, 7));
        assert!(!questions.answered(class(5), PEER, 1, 7));
        assert_eq!(under_way(&questions), [1, 2, 3, 4]);
        questions.forget(PEER);
        assert_eq!(under_way(&questions), [4]);
        assert!(questions.has(class(4)) && !questions.has(class(1)));
    }
}
