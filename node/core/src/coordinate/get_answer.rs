//! The end of a read: values fetched, the result chosen, or the reason why there is none.

use std::collections::BTreeMap;

use quorate_protocol::client::{self, Got, ReplyInfo, Role, Sibling, Written};
use quorate_protocol::error::{ErrorCode, WireError};
use quorate_protocol::ids::{Dot, RequestId};
use quorate_protocol::map::BucketMode;
use quorate_protocol::peer::Want;
use quorate_ring::NodeId;

use super::get::GetOp;
use super::{Ask, Work};
use crate::causality::{Body, Object, Version, VersionVector, merge_replies};
use crate::effects::Note;
use crate::plant::Plant;
use crate::quorum::read::Answer;
use crate::shared::{Asker, Cx, Local, Shared};

impl GetOp {
    /// Asks for the values of the result that no answer brought. Returns whether answers are awaited.
    pub(crate) fn fetch_bodies(&mut self, cx: &mut Cx<'_>) -> bool {
        let mut merged = merge_replies(&self.views());
        if !self.answered {
            merged = merged.visible(cx.s.shown_at_ms());
        }
        let mut wanted: BTreeMap<NodeId, Vec<Dot>> = BTreeMap::new();
        for version in merged
            .versions
            .iter()
            .filter(|version| version.body == Body::Absent)
        {
            let holder = self
                .replies
                .iter()
                .find(|(_, reply)| reply.object.has(version.dot));
            if let Some((&node, _)) = holder {
                wanted.entry(node).or_default().push(version.dot);
            }
        }
        let any = !wanted.is_empty();
        wanted.retain(|node, _| !self.awaited.contains_key(node));
        if !wanted.is_empty() {
            if !self.may_ask_again() {
                return false;
            }
            for (node, dots) in wanted {
                let Some(reply) = self.replies.get(&node) else {
                    continue;
                };
                let (role, seen) = (reply.role, reply.asked.iter().copied().collect());
                self.question(cx, node, role, Want { all: false, dots }, seen);
            }
        }
        any
    }

    /// Answers the asker with what was read, or deletes it if that was asked.
    pub(crate) fn answer(&mut self, cx: &mut Cx<'_>, maybe_stale: bool) {
        let Some(merged) = self.presentable(cx.s, maybe_stale) else {
            let error = WireError::new(
                ErrorCode::Unavailable,
                "a value that belongs to the answer could not be fetched: its holder fell silent, or the key changed all the time; retry",
            );
            return cx.s.reply(self.asker, error.retry_after(50));
        };
        // Also what has expired is read: who writes with this context replaces it.
        let seen = merged.read_context();
        let read = merged.versions.len();
        let visible = match cx.s.breaks(Plant::ExpiredShown) {
            true => merged,
            false => merged.visible(cx.s.shown_at_ms()),
        };
        if visible.versions.len() < read {
            cx.s.note(Note::ExpiredHidden);
        }
        if visible.versions.len() > 1 {
            cx.s.note(Note::SiblingsRead);
        }
        let info = self.info(cx.s, &visible);
        if let Some(write) = self.ask.then_delete.take() {
            let nothing = visible.versions.is_empty();
            return self.delete_what_was_read(cx, *write, seen, nothing.then_some(info));
        }
        let got = Got {
            siblings: shown(&visible, self.ask.mode),
            context: cx.s.seal(&self.place, &seen),
            // Also where primaries are up and fallbacks were faster: nobody with a clock has looked at it.
            fallbacks_only: info.primaries == 0,
            maybe_stale,
            info,
        };
        cx.s.reply(self.asker, got);
    }

    /// The result, if all its values are at hand; never a version without its value, nor a context
    /// that claims one that is not shown. An answer that may be stale makes do with the replies that
    /// are complete in themselves.
    fn presentable(&self, shared: &Shared, maybe_stale: bool) -> Option<Object> {
        let at_ms = shared.shown_at_ms();
        let complete = |object: &Object| {
            let mut versions = object.versions.iter();
            versions.all(|version| version.body != Body::Absent || version.has_expired(at_ms))
        };
        let mut merged = merge_replies(&self.views());
        if shared.breaks(Plant::DominatedShown) {
            self.show_all_of_the_first(&mut merged);
        }
        if self.ask.head || complete(&merged) {
            return Some(merged);
        }
        let mut views = self.views();
        views.retain(|view| complete(view.object));
        let partial = merge_replies(&views);
        (maybe_stale && !partial.versions.is_empty()).then_some(partial)
    }

    /// The planted bug of an answer that depends on who comes first.
    fn show_all_of_the_first(&self, merged: &mut Object) {
        let Some(first) = self.replies.values().next() else {
            return;
        };
        for version in &first.object.versions {
            if !merged.has(version.dot) && version.body != Body::Absent {
                merged.versions.push(version.clone());
            }
        }
        merged.versions.sort_by_key(|version| version.dot);
    }

    /// Deletes what was read; if `nothing` was, there is nothing to delete.
    fn delete_what_was_read(
        &mut self,
        cx: &mut Cx<'_>,
        mut write: super::WriteAsk,
        seen: VersionVector,
        nothing: Option<ReplyInfo>,
    ) {
        let asker = std::mem::replace(&mut self.asker, Asker::Nobody);
        if let Some(info) = nothing {
            let context = cx.s.seal(&self.place, &seen);
            let written = Written {
                dot: None,
                context,
                siblings: 0,
                info,
            };
            let now_us = cx.s.now.mono_us;
            cx.s.void_deletes
                .keep(write.request, &self.place, written.clone(), now_us);
            return cx.s.reply(asker, written);
        }
        write.seen = seen;
        let ask = Ask {
            asker,
            place: self.place.clone(),
            deadline_us: self.deadline_us,
            work: Work::Write(write),
        };
        cx.s.local.push_back(Local::Ask(Box::new(ask)));
    }

    /// Says why there is no answer: everybody has answered or failed.
    pub(crate) fn refuse(&mut self, cx: &mut Cx<'_>) {
        cx.s.note(Note::QuorumNotMet);
        let error = self.why_not("");
        cx.s.reply(self.asker, error);
    }

    /// The deadline passed: answers what `stale_ok` allows, or why there is no answer.
    pub(crate) fn time_out(&mut self, cx: &mut Cx<'_>) {
        cx.s.note(Note::DeadlineExceeded);
        if self.ask.quorum.stale_ok && !self.replies.is_empty() {
            self.answer(cx, true);
            return;
        }
        let error = self.why_not(" before the deadline");
        cx.s.reply(self.asker, error);
    }

    fn why_not(&self, when: &str) -> WireError {
        let need = self.tally.need();
        let primaries = self.tally.primaries();
        let behind = self.tally.catching_up();
        if behind > 0 {
            return self.waiting_for(behind, when);
        }
        if primaries == 0 && need.pr == 0 && self.tally.holding() == 0 {
            return WireError::new(
                ErrorCode::Unavailable,
                format!(
                    "0 of {} primaries of this key answered{when}, and no fallback holds it: whether it exists is not known (down or silent: {})",
                    need.n,
                    names(self.failed())
                ),
            )
            .counted(need.r, 0)
            .naming(self.failed())
            .retry_after(200);
        }
        let (option, needed, got) = if self.tally.counted() < usize::from(need.r) {
            ("r", need.r, self.tally.counted())
        } else if primaries < usize::from(need.pr) {
            ("pr", need.pr, primaries)
        } else {
            return WireError::new(
                ErrorCode::Unavailable,
                format!(
                    "replicas answered, but none knows yet all that the session has seen{when}"
                ),
            )
            .retry_after(200);
        };
        let got = u8::try_from(got).unwrap_or(u8::MAX);
        WireError::new(
            ErrorCode::QuorumNotMet,
            format!(
                "{option}={needed} was asked and {got} answers count{when}; without one: {}; ask for less, or wait for those nodes",
                names(self.failed())
            ),
        )
        .counted(needed, got)
        .naming(self.failed())
        .retry_after(200)
    }

    fn waiting_for(&self, behind: usize, when: &str) -> WireError {
        let mut awaited: Vec<NodeId> = self
            .replies
            .values()
            .flat_map(|reply| reply.waits_for.iter().copied())
            .collect();
        awaited.sort_unstable();
        awaited.dedup();
        WireError::new(
            ErrorCode::Unavailable,
            format!(
                "{behind} replicas of this key are still catching up{when} and wait for {}: answering now could be stale; retry, or read with stale_ok",
                names(awaited.iter().copied())
            ),
        )
        .counted(self.tally.need().r, u8::try_from(self.tally.counted()).unwrap_or(u8::MAX))
        .naming(awaited)
        .retry_after(200)
    }

    fn failed(&self) -> impl Iterator<Item = NodeId> + '_ {
        let silent = self.tally.outstanding();
        let failed = self
            .errors
            .keys()
            .copied()
            .filter(|&node| self.tally.answer_of(node) == Some(Answer::Failed));
        failed.chain(silent)
    }
}

/// Nodes that an error names one by one; of more only the number is told.
const NAMES_MAX: usize = 16;

fn names(mut nodes: impl Iterator<Item = NodeId>) -> String {
    let names: Vec<String> = nodes
        .by_ref()
        .take(NAMES_MAX)
        .map(|node| node.to_string())
        .collect();
    match (names.is_empty(), nodes.count()) {
        (true, _) => "nobody".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}

/// The siblings to show: twins of one request collapse to the latest, and an `lww` bucket shows
/// the latest stamp only. Nothing of this is written back: only what is shown is chosen.
fn shown(object: &Object, mode: BucketMode) -> Vec<Sibling> {
    let mut by_request: BTreeMap<RequestId, &Version> = BTreeMap::new();
    for version in &object.versions {
        let kept = by_request.entry(version.request).or_insert(version);
        if (version.stamp, version.dot) > (kept.stamp, kept.dot) {
            *kept = version;
        }
    }
    let mut versions: Vec<&Version> = by_request.into_values().collect();
    if mode == BucketMode::Lww {
        versions = versions
            .into_iter()
            .max_by_key(|version| (version.stamp, version.dot))
            .into_iter()
            .collect();
    }
    versions.sort_unstable_by_key(|version| version.dot);
    versions.into_iter().map(sibling).collect()
}

fn sibling(version: &Version) -> Sibling {
    let content = match &version.body {
        Body::Whole(content) => client::Content {
            value: content.value.clone(),
            content_type: content.content_type.clone(),
            meta: content.meta.clone(),
        },
        Body::Chunked {
            content_type, meta, ..
        } => client::Content {
            value: Default::default(),
            content_type: content_type.clone(),
            meta: meta.clone(),
        },
        Body::Absent => client::Content::default(),
    };
    Sibling {
        dot: version.dot,
        content,
        size: version.size,
        modified_ms: version.stamp >> 16,
        expires_ms: version.expires_ms,
    }
}

/// The name of an answer in a report.
pub(crate) const fn answer_name(answer: Answer) -> &'static str {
    match answer {
        Answer::Outstanding => "waiting",
        Answer::Current { found: true } | Answer::Holds { found: true } => "value",
        Answer::Current { found: false } | Answer::Holds { found: false } | Answer::Empty => {
            "empty"
        }
        Answer::CatchingUp => "catching_up",
        Answer::Fenced => "stale_ring",
        Answer::Failed => "failed",
    }
}

/// The role of a node in a read.
pub(crate) const fn role_of(fallback: bool) -> Role {
    if fallback {
        Role::Fallback
    } else {
        Role::Primary
    }
}
