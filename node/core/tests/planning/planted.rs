//! Wrong variants of the next version, each of which the walks must catch, by the rule that it breaks.

use quorate_core::moves::{Complete, Heard, Next};
use quorate_protocol::ids::VnodeId;
use quorate_protocol::versioned::{ClassRecord, ClassState, MapVersion, VersionedMap};

use crate::walk::Walk;

/// A rule broken on purpose.
struct Wrong {
    name: &'static str,
    /// What the walk's verdict must name.
    rule: &'static str,
    /// How what was heard is twisted.
    lie: fn(&VersionedMap, &mut Heard),
    /// How what is proposed is twisted.
    spoil: fn(&VersionedMap, &mut Next),
}

const HONEST: fn(&VersionedMap, &mut Heard) = |_, _| {};
const SOUND: fn(&VersionedMap, &mut Next) = |_, _| {};

const WRONG: [Wrong; 14] = [
    Wrong {
        name: "no barrier: whoever was heard once counts as one who follows",
        rule: "rule 2",
        lie: |_, heard| {
            for word in heard.words.values_mut() {
                word.version = MapVersion::new(u64::MAX);
            }
        },
        spoil: SOUND,
    },
    Wrong {
        name: "a newcomer is read before it has it all",
        rule: "rule 5",
        lie: |version, heard| {
            version
                .records
                .iter()
                .for_each(|record| claim(record, heard))
        },
        spoil: SOUND,
    },
    Wrong {
        name: "a node removed by force is waited for",
        rule: "rule 13",
        lie: HONEST,
        spoil: |_, next| {
            next.draft
                .records
                .iter_mut()
                .for_each(|record| record.dead.clear())
        },
    },
    Wrong {
        name: "the ring of before is in force again under its old number",
        rule: "ring",
        lie: HONEST,
        spoil: |version, next| {
            let new = next.draft.map.ring.digest() != version.map.ring.digest();
            if let (true, Some(before)) = (new, &version.before)
                && next.draft.before.is_none()
            {
                next.draft.map.ring = before.ring.clone();
            }
        },
    },
    Wrong {
        name: "joint-new is left out",
        rule: "rule 6",
        lie: HONEST,
        spoil: |_, next| {
            for record in of_state(next, ClassState::JointNew) {
                record.old = std::mem::take(&mut record.new);
                record.state = ClassState::Stable;
                record.departing.clear();
                record.dead.clear();
            }
        },
    },
    Wrong {
        name: "moves overlap: a class sets out again from the set that it is on its way to",
        rule: "rule 6",
        lie: HONEST,
        spoil: |version, next| {
            for record in of_state(next, ClassState::JointOld) {
                let before = version
                    .records
                    .iter()
                    .find(|known| known.class == record.class);
                let moving = before.filter(|before| before.state == ClassState::JointOld);
                if let Some(before) = moving.filter(|before| before.new != record.new) {
                    record.old.clone_from(&before.new);
                    record
                        .dead
                        .retain(|node| record.new.iter().any(|place| place.node == *node));
                    record.departing.clone_from(&before.departing);
                    let places = record.places();
                    let left = before.places().into_iter();
                    record
                        .departing
                        .extend(left.filter(|place| !places.contains(place)));
                }
            }
        },
    },
    Wrong {
        name: "a node that regains its place gets the vnode that it had",
        rule: "rule 9",
        lie: HONEST,
        spoil: |_, next| {
            for record in of_state(next, ClassState::JointOld) {
                for place in &mut record.new {
                    if !record.old.contains(place) {
                        place.vnode = VnodeId::FOUNDING;
                    }
                }
            }
        },
    },
    Wrong {
        name: "an old copy is forgotten as soon as it has no place",
        rule: "rule 7",
        lie: HONEST,
        spoil: |_, next| {
            for record in of_state(next, ClassState::Stable) {
                record.departing.clear();
            }
        },
    },
    Wrong {
        name: "a copy that departs is taken for deleted",
        rule: "rule 7",
        lie: |_, heard| {
            for word in heard.words.values_mut() {
                word.departing.clear();
            }
        },
        spoil: SOUND,
    },
    Wrong {
        name: "a member that leaves is removed while it hands over",
        rule: "rule 1",
        lie: HONEST,
        spoil: |_, next| {
            let going: Vec<_> = next.draft.going.drain(..).map(|going| going.node).collect();
            next.draft
                .map
                .members
                .retain(|member| !going.contains(&member.id));
            next.draft
                .voters
                .retain(|voter| !going.contains(&voter.node));
        },
    },
    Wrong {
        name: "a member that leaves is removed with all that names it",
        rule: "rule 7",
        lie: HONEST,
        spoil: |_, next| {
            let going: Vec<_> = next.draft.going.drain(..).map(|going| going.node).collect();
            next.draft
                .map
                .members
                .retain(|member| !going.contains(&member.id));
            next.draft
                .voters
                .retain(|voter| !going.contains(&voter.node));
            for record in &mut next.draft.records {
                let gone = |node| going.contains(&node);
                record.old.retain(|place| !gone(place.node));
                record.new.retain(|place| !gone(place.node));
                record.departing.retain(|place| !gone(place.node));
                record.dead.retain(|&node| !gone(node));
            }
        },
    },
    Wrong {
        name: "a class changes under the same epoch",
        rule: "rule 1",
        lie: HONEST,
        spoil: |version, next| {
            for record in &mut next.draft.records {
                let before = version
                    .records
                    .iter()
                    .find(|known| known.class == record.class);
                if let Some(before) = before {
                    (record.epoch, record.before) = (before.epoch, before.before);
                }
            }
        },
    },
    Wrong {
        name: "a class that stands has no record",
        rule: "rule 1",
        lie: HONEST,
        spoil: |_, next| {
            let records = &mut next.draft.records;
            records.retain(|record| record.state != ClassState::Stable);
        },
    },
    Wrong {
        name: "who does not run votes",
        rule: "voters",
        lie: |version, heard| {
            for member in &version.map.members {
                let storage = crate::world::storage(member.id);
                heard.running.insert(member.id, Some(storage));
            }
        },
        spoil: SOUND,
    },
];

fn claim(record: &ClassRecord, heard: &mut Heard) {
    for place in record.newcomers() {
        if let Some(word) = heard.words.get_mut(&place.node) {
            word.complete.push(Complete {
                class: record.class,
                vnode: place.vnode,
                epoch: record.epoch,
            });
        }
    }
}

fn of_state(next: &mut Next, state: ClassState) -> impl Iterator<Item = &mut ClassRecord> {
    let records = next.draft.records.iter_mut();
    records.filter(move |record| record.state == state)
}

#[test]
fn every_wrong_variant_is_caught_by_the_rule_that_it_breaks() {
    const SEEDS: u64 = 60;
    for wrong in &WRONG {
        let caught = (0..SEEDS).find_map(|seed| {
            let mut walk = Walk::new(seed);
            (walk.world.lie, walk.world.spoil) = (wrong.lie, wrong.spoil);
            let verdict = walk.run(300).err()?;
            verdict.starts_with(wrong.rule).then_some((seed, verdict))
        });
        let (seed, verdict) =
            caught.unwrap_or_else(|| panic!("not caught in {SEEDS} seeds: {}", wrong.name));
        let verdict = verdict.lines().next().unwrap_or_default();
        println!("{}: seed {seed}: {verdict}", wrong.name);
    }
}
