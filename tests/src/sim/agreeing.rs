//! Buckets in the end: a settled cluster can be asked for what it was asked for before.
//!
//! What was in the way of a definition is gone: of all that clients asked for under a name one can be had
//! at a node, with no more refusals than there are nodes that may keep another one. What is in force is
//! granted again at every node, and what contradicts it is refused at every node.

use quorate_core::Ticket;
use quorate_protocol::RequestId;
use quorate_protocol::client::{ClientReply, PutBucket};
use quorate_protocol::error::ErrorCode;
use quorate_protocol::map::{Bucket, BucketMode, BucketProps};

use super::asking::is_made;
use super::converge;
use super::event::Event;
use super::world::World;
use crate::checkers::Violation;

/// What a request of the end is given, milliseconds.
const DEADLINE_MS: u32 = 3_000;
/// Within this time what came into force in the end is settled, microseconds.
const SETTLE_US: u64 = 20_000_000;

/// What is wrong with the buckets of a settled cluster.
pub(super) fn judge(world: &mut World<'_>) -> Vec<Violation> {
    let Some(plan) = world.config.founding.clone() else {
        return Vec::new();
    };
    let mut violations = world.founding.maps.at_the_end();
    let mut wrong: Vec<String> = Vec::new();
    for PutBucket { name, .. } in &plan.names {
        wrong.extend(complete(world, name));
    }
    let until_us = world.at_us + SETTLE_US;
    world.run_until_so(until_us, |world| converge::unsettled(world).is_none());
    let in_force = in_force(world);
    for bucket in in_force.iter().filter(|bucket| is_made(bucket)) {
        wrong.extend(repeat(world, bucket));
        wrong.extend(contradict(world, bucket));
    }
    let until_us = world.at_us + SETTLE_US;
    world.run_until_so(until_us, |world| converge::unsettled(world).is_none());
    wrong.extend(converge::unsettled(world));
    violations.extend(world.founding.maps.at_the_end());
    let violation = |what| Violation::general("map", what);
    violations.extend(wrong.into_iter().map(violation));
    violations
}

/// Asks for what was asked for before and is not in force, one after the other, until something is granted.
fn complete(world: &mut World<'_>, name: &str) -> Option<String> {
    let candidates = candidates(world, name);
    // One node, as each refusal is owed to a smaller definition that it did not know.
    let members = world.members();
    let node = members[world.founding.dice.index(members.len())];
    let mut last = None;
    for _ in 0..=world.nodes.len() {
        for props in &candidates {
            let answer = ask(world, &[node], name, props).pop();
            match answer.flatten() {
                Some(ClientReply::BucketStored(_)) => return None,
                Some(ClientReply::Failed(error)) if error.code == ErrorCode::Conflict => {
                    last = Some(error.message);
                }
                other => return Some(format!("{name:?} was asked for as {props:?}: {other:?}")),
            }
        }
    }
    last.map(|last| format!("nothing that clients asked for as {name:?} can be had: {last}"))
}

/// The buckets that are in force at some member.
fn in_force(world: &World<'_>) -> Vec<Bucket> {
    let members = world.members();
    let first = members
        .first()
        .and_then(|&member| world.nodes[member].buckets());
    first.unwrap_or_default().to_vec()
}

fn candidates(world: &World<'_>, name: &str) -> Vec<BucketProps> {
    let buckets = in_force(world);
    let here = buckets.iter().find(|bucket| bucket.name == name);
    let possible = |props: &&BucketProps| {
        here.is_none_or(|here| {
            (props.n, props.mode) == (here.props.n, here.props.mode) && **props != here.props
        })
    };
    let asked = world.founding.maps.asked_for(name).iter();
    asked.filter(possible).cloned().collect()
}

fn repeat(world: &mut World<'_>, bucket: &Bucket) -> Option<String> {
    let everywhere = world.members();
    let answers = ask(world, &everywhere, &bucket.name, &bucket.props);
    let granted = |answer: &Option<ClientReply>| match answer {
        Some(ClientReply::BucketStored(stored)) => !stored.changed && stored.bucket == *bucket,
        Some(_) | None => false,
    };
    let refused = answers.iter().find(|answer| !granted(answer))?;
    Some(format!(
        "{bucket:?} is in force, and asked for again: {refused:?}"
    ))
}

fn contradict(world: &mut World<'_>, bucket: &Bucket) -> Option<String> {
    let everywhere = world.members();
    let mut other = bucket.props.clone();
    other.mode = match other.mode {
        BucketMode::Siblings => BucketMode::Lww,
        BucketMode::Lww => BucketMode::Siblings,
    };
    let answers = ask(world, &everywhere, &bucket.name, &other);
    let refused = |answer: &Option<ClientReply>| match answer {
        Some(ClientReply::Failed(error)) => error.code == ErrorCode::Conflict,
        Some(_) | None => false,
    };
    let granted = answers.iter().find(|answer| !refused(answer))?;
    Some(format!(
        "{bucket:?} is in force, and {other:?} was answered with {granted:?}"
    ))
}

/// Asks some nodes at once, and waits for what they say.
fn ask(
    world: &mut World<'_>,
    nodes: &[usize],
    name: &str,
    props: &BucketProps,
) -> Vec<Option<ClientReply>> {
    let dice = &mut world.founding.dice;
    let request = PutBucket {
        name: name.to_owned(),
        props: props.clone(),
        request: RequestId::new(dice.bits(), dice.bits()),
    };
    let send = |world: &mut World<'_>, node| {
        let ticket = world.new_ticket();
        world.founding.probes.insert(ticket, None);
        let event = Event::Request {
            node,
            ticket,
            request: Box::new(request.clone().into()),
            deadline_ms: DEADLINE_MS,
        };
        world.schedule(1, event);
        ticket
    };
    let tickets: Vec<Ticket> = nodes.iter().map(|&node| send(world, node)).collect();
    let until_us = world.at_us + u64::from(DEADLINE_MS) * 1_500;
    world.run_until_so(until_us, |world| {
        let probes = &world.founding.probes;
        tickets
            .iter()
            .all(|ticket| probes.get(ticket).is_some_and(Option::is_some))
    });
    let answer = |ticket| world.founding.probes.remove(ticket).flatten();
    tickets.iter().map(answer).collect()
}
