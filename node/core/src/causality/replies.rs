//! The answers of several replicas to one read become one object.

use std::collections::BTreeMap;

use quorate_protocol::Dot;

use super::{Body, Object, Version};

/// One replica's answer.
#[derive(Clone, Copy, Debug)]
pub struct ReplyView<'a> {
    /// What it holds.
    pub object: &'a Object,
    /// Dots that it has seen beyond what its object says; empty for a keeper of hints, whose absences
    /// prove nothing.
    pub seen: &'a [Dot],
}

impl ReplyView<'_> {
    /// Whether this replica knows the version to be superseded: seen and not held.
    fn supersedes(&self, dot: Dot) -> bool {
        !self.object.has(dot) && (self.object.context.covers(dot) || self.seen.contains(&dot))
    }

    /// Whether this replica said nothing about the version.
    fn silent_about(&self, dot: Dot) -> bool {
        !self.object.has(dot) && !self.supersedes(dot)
    }
}

/// All versions that are held by a reply and that no reply knows to be superseded, under the
/// joined contexts. The order of the replies does not matter.
#[must_use]
pub fn merge_replies(replies: &[ReplyView<'_>]) -> Object {
    let mut versions: BTreeMap<Dot, &Version> = BTreeMap::new();
    let mut merged = Object::default();
    for reply in replies {
        merged.context.join(&reply.object.context);
        for version in &reply.object.versions {
            let best = versions.entry(version.dot).or_insert(version);
            if at_hand(&version.body) > at_hand(&best.body) {
                *best = version;
            }
        }
    }
    versions.retain(|dot, _| !superseded(replies, *dot));
    merged.versions = versions.into_values().cloned().collect();
    merged
}

/// The versions, ascending, that some reply holds, no reply knows to be superseded, and at least
/// one says nothing about. Each replica that lacks one must be asked whether it has seen it, before
/// [`merge_replies`] may count on the result.
#[must_use]
pub fn differing(replies: &[ReplyView<'_>]) -> Vec<Dot> {
    let mut dots: Vec<Dot> = replies
        .iter()
        .flat_map(|reply| reply.object.dots())
        .collect();
    dots.sort_unstable();
    dots.dedup();
    dots.retain(|dot| {
        !superseded(replies, *dot) && replies.iter().any(|reply| reply.silent_about(*dot))
    });
    dots
}

fn superseded(replies: &[ReplyView<'_>], dot: Dot) -> bool {
    replies.iter().any(|reply| reply.supersedes(dot))
}

/// More is better.
fn at_hand(body: &Body) -> u8 {
    match body {
        Body::Absent => 0,
        Body::Chunked { .. } => 1,
        Body::Whole(_) => 2,
    }
}
