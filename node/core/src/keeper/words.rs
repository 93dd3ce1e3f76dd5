//! What members have done of what the map asks for: this node's own word, and those of others.
//!
//! # Why old and repeated words do no harm
//!
//! What a node says under one version only grows: it works under that version or a later one, a newcomer was complete at
//! some time in its epoch, a copy without a place is deleted and never comes back. So two words under one version
//! are taken together, in whatever order they come, and one under an earlier version than was heard already is left out.
//! A node that loses its storage takes back a claim: a newcomer that was complete is not any more. Who counts it all the same
//! does no harm. Every write that was acknowledged until then is at the old members, and every later one too, for
//! both sets are written; so the loss is that of any member's disk, and as any such member it serves nothing until it has heard
//! from all the others what it lacks.

use std::collections::{BTreeMap, BTreeSet};

use quorate_protocol::ids::{StorageId, VnodeId};
use quorate_protocol::peer::MapWord;
use quorate_protocol::versioned::VersionedMap;
use quorate_ring::{Class, NodeId};

use crate::moves::{Complete, Heard, Said, Word};

/// What a peer has said.
#[derive(Clone, Debug)]
struct Told {
    word: Word,
    /// It has more copies without a place than a message names.
    keeps_all: bool,
    hinting: bool,
    /// `None` since it was last seen to go or to come back: it may have another one.
    storage: Option<StorageId>,
}

/// Words, own and heard.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// By shard.
    own: BTreeMap<u16, Said>,
    shards: u16,
    heard: BTreeMap<NodeId, Told>,
    /// What was told last, to whom, and when, microseconds.
    pub(super) told: Option<(MapWord, BTreeSet<NodeId>, u64)>,
    /// When something is told next, microseconds.
    pub(super) tell_at_us: Option<u64>,
}

impl Words {
    /// A shard has spoken.
    pub(super) fn say(&mut self, shard: u16, shards: u16, said: Said) {
        self.shards = shards;
        self.own.insert(shard, said);
    }

    /// A peer has spoken. Returns whether that is news.
    pub(super) fn hear(&mut self, from: NodeId, word: MapWord) -> bool {
        let news = Told::from(word);
        let Some(known) = self.heard.get_mut(&from) else {
            self.heard.insert(from, news);
            return true;
        };
        if news.word.version < known.word.version {
            return false;
        }
        let before = known.clone();
        if news.word.version > known.word.version {
            *known = news;
        } else {
            known.join(news);
        }
        before.says_other_than(known)
    }

    /// A peer went or came back: its storage may be another one.
    pub(super) fn doubt_storage(&mut self, peer: NodeId) {
        if let Some(told) = self.heard.get_mut(&peer) {
            told.storage = None;
        }
    }

    /// Who is a member no longer is forgotten.
    pub(super) fn follow(&mut self, version: &VersionedMap) {
        self.heard
            .retain(|&node, _| version.map.member(node).is_some());
    }

    /// What all shards of this node say together, once each has said something.
    pub(super) fn own(&self) -> Option<Said> {
        if self.shards == 0 || self.own.len() < usize::from(self.shards) {
            return None;
        }
        let mut all = self.own.values().cloned();
        let mut sum = all.next()?;
        for said in all {
            sum.word.merge(said.word);
            sum.hinting |= said.hinting;
            sum.generation = sum.generation.max(said.generation);
        }
        Some(sum)
    }

    pub(super) const fn next_timer(&self) -> Option<u64> {
        self.tell_at_us
    }

    /// What is known of all members by now, at a node with this storage that hears these.
    pub(super) fn all(
        &self,
        (me, storage): (NodeId, StorageId),
        up: &BTreeSet<NodeId>,
        version: &VersionedMap,
    ) -> Heard {
        let mut heard = Heard::default();
        for (&node, told) in &self.heard {
            let mut word = told.word.clone();
            if told.keeps_all {
                word.departing.extend(departing_at(version, node));
            }
            if told.hinting {
                heard.hinting.insert(node);
            }
            heard.words.insert(node, word);
        }
        if let Some(own) = self.own() {
            if own.hinting {
                heard.hinting.insert(me);
            }
            heard.words.insert(me, own.word);
        }
        heard.running = self.running(up);
        heard.running.insert(me, Some(storage));
        heard
    }

    /// With which storage each of these runs. Who came back and has not said that yet may have lost the one that is named;
    /// and while the map asks for nothing, nobody says anything.
    fn running(&self, up: &BTreeSet<NodeId>) -> BTreeMap<NodeId, Option<StorageId>> {
        let said = |node| self.heard.get(node).and_then(|told| told.storage);
        up.iter().map(|node| (*node, said(node))).collect()
    }
}

/// The copies that a version names as departing from a node.
fn departing_at(
    version: &VersionedMap,
    node: NodeId,
) -> impl Iterator<Item = (Class, VnodeId)> + '_ {
    version.records.iter().flat_map(move |record| {
        let left = record
            .departing
            .iter()
            .filter(move |place| place.node == node);
        left.map(|place| (record.class, place.vnode))
    })
}

impl Told {
    /// Another word under the same version.
    fn join(&mut self, other: Self) {
        let claims: BTreeSet<Complete> = self
            .word
            .complete
            .iter()
            .copied()
            .chain(other.word.complete)
            .collect();
        self.word.complete = claims.into_iter().collect();
        match (self.keeps_all, other.keeps_all) {
            (_, true) => {}
            (true, false) => self.word.departing = other.word.departing,
            (false, false) => {
                let left: BTreeSet<_> = other.word.departing.into_iter().collect();
                self.word.departing.retain(|copy| left.contains(copy));
            }
        }
        self.keeps_all &= other.keeps_all;
        self.hinting = other.hinting;
        self.storage = other.storage;
    }

    fn says_other_than(&self, other: &Self) -> bool {
        self.word != other.word
            || self.keeps_all != other.keeps_all
            || self.hinting != other.hinting
            || self.storage != other.storage
    }
}

impl From<MapWord> for Told {
    fn from(word: MapWord) -> Self {
        let claims = word.complete.into_iter().map(|claim| Complete {
            class: claim.class,
            vnode: claim.vnode,
            epoch: claim.epoch,
        });
        let keeps_all = word.departing.is_none();
        let left = word.departing.into_iter().flatten();
        Self {
            word: Word {
                version: word.version,
                complete: claims.collect(),
                departing: left.map(|left| (left.class, left.vnode)).collect(),
            },
            keeps_all,
            hinting: word.hinting,
            storage: Some(word.storage),
        }
    }
}

#[cfg(test)]
mod tests {
    use quorate_protocol::peer::{MapClaim, MapLeft};
    use quorate_protocol::versioned::MapVersion;
    use quorate_ring::PartitionId;

    use super::*;

    fn class(partition: u16) -> Class {
        Class {
            n: 3,
            partition: PartitionId::new(partition),
        }
    }

    fn word(version: u64, complete: &[u16], departing: Option<&[u16]>) -> MapWord {
        let vnode = VnodeId::new(1);
        let claim = |&partition: &u16| MapClaim {
            class: class(partition),
            vnode,
            epoch: MapVersion::new(version),
        };
        let left = |&partition: &u16| MapLeft {
            class: class(partition),
            vnode,
        };
        MapWord {
            storage: StorageId::new(5),
            version: MapVersion::new(version),
            complete: complete.iter().map(claim).collect(),
            departing: departing.map(|left_of| left_of.iter().map(left).collect()),
            hinting: false,
        }
    }

    fn heard(words: &Words) -> (u64, Vec<u16>, Vec<u16>) {
        let word = &words.heard[&NodeId::new(2)].word;
        let claims = word
            .complete
            .iter()
            .map(|claim| claim.class.partition.get());
        let left = word
            .departing
            .iter()
            .map(|(class, _)| class.partition.get());
        (word.version.get(), claims.collect(), left.collect())
    }

    #[test]
    fn the_storage_of_who_came_back_is_not_known_until_it_is_said() {
        let node = NodeId::new(2);
        let up = BTreeSet::from([node]);
        let running = |words: &Words| words.running(&up)[&node];
        let mut words = Words::default();
        assert_eq!(running(&words), None);
        words.hear(node, word(7, &[], None));
        assert_eq!(running(&words), Some(StorageId::new(5)));
        words.doubt_storage(node);
        assert_eq!(running(&words), None);
        words.hear(node, word(7, &[], None));
        assert_eq!(running(&words), Some(StorageId::new(5)));
    }

    #[test]
    fn words_under_one_version_add_up_in_whatever_order_they_come() {
        let early = word(7, &[1], Some(&[4, 5]));
        let late = word(7, &[1, 2], Some(&[5]));
        for order in [[&early, &late], [&late, &early]] {
            let mut words = Words::default();
            for said in order.into_iter().chain(order) {
                words.hear(NodeId::new(2), said.clone());
            }
            assert_eq!(heard(&words), (7, vec![1, 2], vec![5]));
        }
    }

    #[test]
    fn a_word_under_an_earlier_version_is_left_out_and_one_under_a_later_one_replaces_all() {
        let mut words = Words::default();
        let from = NodeId::new(2);
        assert!(words.hear(from, word(7, &[1], Some(&[4]))));
        assert!(!words.hear(from, word(6, &[1, 2], Some(&[]))));
        assert_eq!(heard(&words), (7, vec![1], vec![4]));
        assert!(words.hear(from, word(8, &[], Some(&[4, 6]))));
        assert_eq!(heard(&words), (8, vec![], vec![4, 6]));
    }

    #[test]
    fn too_many_departing_copies_to_name_are_none_that_is_gone_until_they_can_be_named() {
        let mut words = Words::default();
        let from = NodeId::new(2);
        words.hear(from, word(7, &[], None));
        assert!(words.heard[&from].keeps_all);
        words.hear(from, word(7, &[], Some(&[3])));
        words.hear(from, word(7, &[], None));
        assert!(!words.heard[&from].keeps_all);
        assert_eq!(heard(&words), (7, vec![], vec![3]));
    }

    #[test]
    fn a_node_says_nothing_before_all_its_shards_have_and_then_the_least_of_it() {
        let said = |version, hinting| Said {
            generation: 0,
            word: Word {
                version: MapVersion::new(version),
                complete: Vec::new(),
                departing: Vec::new(),
            },
            hinting,
        };
        let mut words = Words::default();
        assert_eq!(words.own(), None);
        words.say(0, 2, said(7, true));
        assert_eq!(words.own(), None);
        words.say(1, 2, said(6, false));
        assert_eq!(words.own(), Some(said(6, true)));
    }
}
