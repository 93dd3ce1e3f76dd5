//! The digest of each vnode against the objects on its disk, after any history.

use proptest::prelude::*;
use quorate_core::record::{RebuildStage, decode_vnode, keys};
use quorate_core::{Family, Store, digest_of_objects, stored_digest};
use quorate_protocol::client::ClientReply;
use quorate_protocol::options::Count;
use quorate_ring::NodeId;

use crate::walk::{Disk, Walk, a_get};

const NODES: u64 = 4;

/// Something that happens.
#[derive(Clone, Debug)]
enum Event {
    Put {
        at: u64,
        key: u8,
        long: bool,
    },
    Overwrite {
        at: u64,
        key: u8,
    },
    Delete {
        at: u64,
        key: u8,
    },
    Kill(u64),
    /// With all that was written.
    Start(u64),
    /// With what was written up to the last `Remember`.
    StartWithLess(u64),
    Remember(u64),
    /// The nth record of a family fails its checksum.
    Damage {
        at: u64,
        family: usize,
        nth: usize,
    },
    Pass(u16),
}

fn event() -> impl Strategy<Value = Event> {
    let at = || 1..=NODES;
    let key = || 0..6u8;
    prop_oneof![
        4 => (at(), key(), any::<bool>()).prop_map(|(at, key, long)| Event::Put { at, key, long }),
        3 => (at(), key()).prop_map(|(at, key)| Event::Overwrite { at, key }),
        3 => (at(), key()).prop_map(|(at, key)| Event::Delete { at, key }),
        2 => at().prop_map(Event::Kill),
        2 => at().prop_map(Event::Start),
        1 => at().prop_map(Event::StartWithLess),
        1 => at().prop_map(Event::Remember),
        1 => (at(), 0..6usize, any::<usize>())
            .prop_map(|(at, family, nth)| Event::Damage { at, family, nth }),
        2 => (1..1500u16).prop_map(Event::Pass),
    ]
}

struct Course {
    walk: Walk,
    up: Vec<bool>,
    remembered: Vec<Disk>,
}

impl Course {
    fn new() -> Self {
        let nodes = usize::try_from(NODES).unwrap();
        Self {
            walk: Walk::new(NODES),
            up: vec![true; nodes],
            remembered: vec![Disk::default(); nodes],
        }
    }

    fn begin(&mut self, event: &Event) {
        match *event {
            Event::Put { at, key, long } => {
                let value = if long {
                    "x".repeat(150_000)
                } else {
                    "v".to_owned()
                };
                let mut put = self.walk.a_put(&name(key), &value);
                put.options.w = Some(Count::Exactly(1));
                self.walk.begin(NodeId::new(at), put);
                self.walk.deliver();
            }
            Event::Overwrite { at, key } => self.overwrite(NodeId::new(at), &name(key)),
            Event::Delete { at, key } => {
                let delete = self.walk.a_delete(&name(key));
                self.walk.begin(NodeId::new(at), delete);
                self.walk.deliver();
            }
            Event::Kill(at) => {
                if std::mem::replace(&mut self.up[index(at)], false) {
                    self.walk.kill(NodeId::new(at));
                }
            }
            Event::Start(at) => self.start(at),
            Event::StartWithLess(at) => {
                if !self.up[index(at)] {
                    let disk = self.remembered[index(at)].clone();
                    *self.walk.disk_mut(NodeId::new(at)) = disk;
                }
                self.start(at);
            }
            Event::Remember(at) => {
                self.remembered[index(at)] = self.walk.disk(NodeId::new(at)).clone();
            }
            Event::Damage { at, family, nth } => self.damage(NodeId::new(at), family, nth),
            Event::Pass(ms) => self.walk.pass(u64::from(ms)),
        }
    }

    fn start(&mut self, at: u64) {
        if !std::mem::replace(&mut self.up[index(at)], true) {
            self.walk.start(NodeId::new(at));
        }
    }

    /// A read and a put over what it showed.
    fn overwrite(&mut self, at: NodeId, key: &str) {
        if !self.up[index(at.get())] {
            return;
        }
        let ticket = self.walk.begin(at, a_get(key));
        self.walk.deliver();
        // None where the node met damage and began anew.
        let read = self.walk.reply(ticket);
        let mut put = self.walk.a_put(key, "over");
        if let Some(ClientReply::Got(got)) = read {
            put.context = Some(got.context);
        }
        self.walk.begin(at, put);
        self.walk.deliver();
    }

    fn damage(&mut self, at: NodeId, family: usize, nth: usize) {
        let family = Family::ALL[family % Family::ALL.len()];
        let records = self.walk.disk(at).records(family);
        let Some(key) = records.keys().nth(nth % records.len().max(1)) else {
            return;
        };
        self.walk.disk_mut(at).damage(family, key);
    }
}

fn index(node: u64) -> usize {
    usize::try_from(node - 1).unwrap()
}

fn name(key: u8) -> String {
    format!("key {key}")
}

/// Every vnode's digest is exact as far as it and its objects can be read. What a vnode is still
/// sifting is only counted up to where it has come.
fn check(walk: &Walk) -> Result<(), TestCaseError> {
    for id in (1..=NODES).map(NodeId::new) {
        let disk = walk.disk(id).clone();
        for (key, record) in disk.records(Family::Vnodes) {
            let Some(class) = keys::parse_vnode_key(&key) else {
                continue;
            };
            let vnode = decode_vnode(&key, &record).unwrap();
            let stage = vnode.rebuilding.map(|state| state.stage);
            let lost = disk.get(Family::Vnodes, &keys::lost_key(class));
            let sifting = matches!(stage, Some(RebuildStage::Sifting { .. }));
            if vnode.damaged || sifting || lost != Ok(None) {
                continue;
            }
            if let (Ok(stored), Ok(sum)) =
                (stored_digest(&disk, class), digest_of_objects(&disk, class))
            {
                prop_assert_eq!(stored, sum, "{} of {}", class, id);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn after_any_history_every_digest_is_what_the_objects_on_disk_sum_up_to(
        events in prop::collection::vec(event(), 1..40),
    ) {
        let mut course = Course::new();
        for event in &events {
            course.begin(event);
            check(&course.walk)?;
        }
        for node in 1..=NODES {
            course.start(node);
        }
        course.walk.pass(15_000);
        check(&course.walk)?;
    }
}
