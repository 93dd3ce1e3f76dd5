//! What a version does, in a sentence.

use quorate_protocol::limits::CHANGE_TEXT_BYTES_MAX;
use quorate_protocol::versioned::{StagedChange, VersionedMap};
use quorate_ring::{Change, NodeId};

use super::Step;
use super::all::Steps;

/// Room for the end of a sentence that leaves something out.
const MORE_BYTES: usize = 32;

/// A node as people know it.
pub(super) fn name(version: &VersionedMap, node: NodeId) -> String {
    let newcomers = version.staged.iter().filter_map(StagedChange::newcomer);
    let mut known = version.map.members.iter().chain(newcomers);
    let member = known.find(|member| member.id == node);
    member.map_or_else(
        || node.to_string(),
        |member| format!("{} ({node})", printable(&member.name)),
    )
}

/// What happens to classes, members and votes.
pub(super) fn of_steps(version: &VersionedMap, steps: &Steps, removed: &[NodeId]) -> String {
    let counted = steps.iter().filter(|(step, _)| **step != Step::Remove);
    let parts = counted.map(|(&step, &times)| phrase(step, times));
    let gone = removed
        .iter()
        .map(|&node| format!("{} is no member any more", name(version, node)));
    sentence("ring change", parts.chain(gone).collect())
}

/// What is staged, a sentence for each change.
#[must_use]
pub fn said(version: &VersionedMap) -> Vec<String> {
    let staged = version.staged.iter();
    staged.map(|staged| of_change(version, staged)).collect()
}

/// What is staged or committed.
pub(super) fn of_changes(
    head: &str,
    version: &VersionedMap,
    changes: &[StagedChange],
    steps: &Steps,
) -> String {
    let part = |staged: &StagedChange| of_change(version, staged);
    let steps = steps.iter().map(|(&step, &times)| phrase(step, times));
    sentence(head, changes.iter().map(part).chain(steps).collect())
}

fn of_change(version: &VersionedMap, staged: &StagedChange) -> String {
    let named = |node| name(version, node);
    match staged.change() {
        Ok(Change::Join(placed)) => joins(staged, placed.id),
        Ok(Change::Leave(node)) => format!("{} leaves", named(node)),
        Ok(Change::ForceRemove(node)) => format!("{} is removed by force", named(node)),
        Ok(Change::Replace { node, by }) => {
            format!("{}, which replaces {}", joins(staged, by.id), named(node))
        }
        Ok(Change::Zone { node, zone }) => {
            format!("{} moves to zone {}", named(node), printable(zone.as_str()))
        }
        Ok(Change::Weight { node, weight }) => format!("{} has weight {weight}", named(node)),
        Err(error) => error.to_string(),
    }
}

fn joins(staged: &StagedChange, node: NodeId) -> String {
    let name = staged.newcomer().map(|member| printable(&member.name));
    format!("{} ({node}) joins", name.unwrap_or_default())
}

fn phrase(step: Step, times: usize) -> String {
    let classes = if times == 1 { "class" } else { "classes" };
    match step {
        Step::Begin => format!("{times} {classes} set out"),
        Step::Retarget => format!("{times} {classes} under way with other newcomers"),
        Step::Bury => format!("{times} {classes} under way without a dead node"),
        Step::ReadNew => format!("{times} {classes} read by the new nodes"),
        Step::Settle => format!("{times} {classes} moved"),
        Step::ReadOld => format!("{times} {classes} read by the old nodes again"),
        Step::Abandon => format!("{times} {classes} stay where they were"),
        Step::Forget => format!("old copies of {times} {classes} gone"),
        Step::Finish => "all classes in their places".to_owned(),
        Step::Remove => format!("{times} members gone"),
        Step::Vote => format!("{times} votes changed"),
    }
}

/// As many parts as fit, and how many are left out.
pub(super) fn sentence(head: &str, parts: Vec<String>) -> String {
    let mut text = head.to_owned();
    let mut left = parts.len();
    for (at, part) in parts.into_iter().enumerate() {
        let joint = if at == 0 { ": " } else { ", " };
        if text.len() + joint.len() + part.len() + MORE_BYTES > CHANGE_TEXT_BYTES_MAX {
            break;
        }
        text.push_str(joint);
        text.push_str(&part);
        left -= 1;
    }
    if left > 0 {
        text.push_str(&format!("; and {left} more"));
    }
    text
}

/// What people typed, as it can stand in a sentence.
pub(super) fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let shown = text.chars().map(|c| if c.is_control() { '?' } else { c });
    shown.take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_never_becomes_too_long() {
        for parts in [0, 1, 5, 5000] {
            for bytes in [1, 100, 470, 600] {
                let text = sentence("head", vec!["x".repeat(bytes); parts]);
                assert!(text.len() <= CHANGE_TEXT_BYTES_MAX && text.starts_with("head"));
                let shown = text.matches(&"x".repeat(bytes)).count();
                assert!(shown == parts || text.contains(" more"), "{text}");
            }
        }
    }

    #[test]
    fn names_are_shown_without_what_would_end_a_line() {
        assert_eq!(printable("a\nb\u{1b}"), "a?b?");
        assert_eq!(printable(&"ü".repeat(100)).chars().count(), 60);
    }
}
